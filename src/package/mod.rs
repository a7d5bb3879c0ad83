//! Packages: from what a program asks for to the wheels that it gets.
//!
//! A [`Brief`] says what is wanted, a [`Blueprint`] which files that comes to, and an
//! [`environment`] is those files on disk. Between the first two stands resolving (requirements,
//! indexes, candidates, a [`PackageName`] with one version each) or a [`lock`], between the last two
//! installing ([`wheel`], [`bytecode`]).

pub mod blueprint;
pub mod brief;
pub mod bytecode;
pub mod candidate;
pub mod credentials;
pub mod distribution;
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
pub mod prune;
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

pub use blueprint::Blueprint;
pub use brief::Brief;
pub use error::PackageError;
pub use index::Index;
pub use name::{ExtraName, NameError, PackageName};
pub use requirement::Requirement;
pub use resolution::{Asked, Resolution, ResolveRequest, Resolved};
pub use resolve::resolve;
