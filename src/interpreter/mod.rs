//! CPython builds for wasm: where they come from and what they are.
pub mod adapt;
pub mod wasm;
