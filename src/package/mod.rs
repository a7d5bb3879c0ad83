//! Packages: from what a program asks for to the wheels that it gets.
//!
//! Resolving stands on one side (requirements, indexes, candidates, a [`name::PackageName`] with
//! one version each), and installing on the other (wheels, environments, locks).

pub mod name;

pub use name::{ExtraName, NameError, PackageName};
