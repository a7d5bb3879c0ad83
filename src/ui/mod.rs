//! Progress, tables, error reports.
