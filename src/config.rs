//! Configuration files.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {}
