//! Pybis: archives of interpreters as PEP 711 describes them.
//!
//! A pybi is a zip with a `pybi-info` folder in it: `PYBI` tells of the archive, `METADATA` of the
//! interpreter, `RECORD` lists every file with its hash and every link with its target. PEP 711
//! wants an executable `python`, which a build for WebAssembly cannot have; what pyw's pybis have
//! instead is written down in `interpreters/README.md`.
//!
//! [`info`] is what the two texts say, [`name`] what a file name says, [`write`](mod@write) makes
//! archives and [`read`] takes them in, never without verifying all of it.

pub mod fault;
mod headers;
pub mod info;
pub mod name;
pub mod read;
#[cfg(test)]
mod tests;
pub mod write;

pub use fault::{Fault, PybiError};
pub use info::{Metadata, Pybi, Wasm};
pub use name::PybiName;

/// The folder of an archive that describes it.
pub const INFO: &str = "pybi-info";
/// The text that tells of the archive.
pub const PYBI: &str = "pybi-info/PYBI";
/// The text that tells of the interpreter.
pub const METADATA: &str = "pybi-info/METADATA";
/// The list of everything in the archive.
pub const RECORD: &str = "pybi-info/RECORD";
/// The folder for licences, as PEP 639 has it in a `.dist-info`.
pub const LICENSES: &str = "pybi-info/licenses";
