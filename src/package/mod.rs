//! Packages: from what a program asks for to the wheels that it gets.
//!
//! Resolving stands on one side (requirements, indexes, candidates, a [`PackageName`] with one
//! version each), and installing on the other (wheels, environments, locks).

pub mod bytecode;
pub mod candidate;
pub mod credentials;
pub mod entry_points;
pub mod environment;
pub mod error;
pub mod filename;
mod html;
pub mod index;
pub mod installed;
pub mod lock;
pub mod marker;
pub mod metadata;
pub mod name;
pub mod page;
pub mod project;
pub mod project_file;
mod provider;
pub mod pybis;
pub mod report;
pub mod requirement;
pub mod requirements_file;
pub mod resolution;
pub mod resolve;
mod scout;
pub mod script;
pub mod tags;
pub mod wheel;

pub use error::PackageError;
pub use index::Index;
pub use name::{ExtraName, NameError, PackageName};
pub use requirement::Requirement;
pub use resolution::{Asked, Resolution, ResolveRequest, Resolved};
pub use resolve::resolve;
