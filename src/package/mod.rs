//! Packages: from what a program asks for to the wheels that it gets.
//!
//! Resolving stands on one side (requirements, indexes, candidates, a [`name::PackageName`] with
//! one version each), and installing on the other (wheels, environments, locks).

pub mod bytecode;
pub mod entry_points;
pub mod environment;
pub mod name;
pub mod record;
pub mod script;
pub mod wheel;

pub use name::{ExtraName, NameError, PackageName};
