//! What a wasm file is.
#[derive(Debug, thiserror::Error)]
pub enum WasmError {}
