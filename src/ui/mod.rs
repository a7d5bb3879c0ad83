//! Progress, tables, error reports.
pub mod progress;
