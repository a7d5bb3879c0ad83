//! `pyw config show`.

use std::process::ExitCode;

use super::context::Context;
use super::options::{ConfigCommand, Format};
use crate::config::{Partial, show_rows};
use crate::error::Error;
use crate::ui::table;

/// Carries the command out.
///
/// # Errors
/// The configuration is wrong.
pub fn execute(command: ConfigCommand) -> Result<ExitCode, Error> {
    let ConfigCommand::Show { output } = command;
    let context = Context::load(Partial::default())?;
    let rows = show_rows(&context.config);
    match output.format {
        Format::Json => super::print_json(&rows)?,
        Format::Text => {
            let cells = rows
                .into_iter()
                .map(|row| {
                    let value = row.value.unwrap_or_else(|| "-".to_owned());
                    vec![row.key, value, row.from.to_string()]
                })
                .collect();
            table::print(&["key", "value", "from"], cells);
        }
    }
    Ok(ExitCode::SUCCESS)
}
