//! Content-addressed files on disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {}
