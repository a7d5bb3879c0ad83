//! What pyw shows: progress, tables, plans, error reports.

pub mod dry_run;
pub mod progress;
pub mod report;
pub mod table;
