//! pyw runs Python programs in a WebAssembly sandbox, on whichever runtime is at hand.
//!
//! Data flows one way: command line, configuration and script header become a
//! [`request`], which picks an [`interpreter`] and a [`runtime`]; together they make a
//! [`sandbox`], which a runtime's descriptor and the fence turn into a [`plan`]; [`launch`]
//! carries the plan out. No module imports one that stands later in that line.

pub mod cli;
pub mod config;
pub mod error;
pub mod guest;
pub mod interpreter;
pub mod launch;
pub mod package;
pub mod paths;
pub mod plan;
pub mod request;
pub mod runtime;
pub mod sandbox;
pub mod store;
pub mod trust;
pub mod ui;

pub use error::{Error, Result};
