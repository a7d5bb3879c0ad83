//! Errors as users see them: `pyw: ` and what happened, then what to do about it.

use anstyle::{AnsiColor, Style};

use crate::error::Error;

const NAME: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

/// Prints an error on stderr.
pub fn print(error: &Error) {
    anstream::eprint!("{}", render(error));
}

/// The report, with styles as escape sequences.
#[must_use]
pub fn render(error: &Error) -> String {
    let mut out = format!("{NAME}pyw:{NAME:#} {}\n", error.to_string().trim_end());
    if let Error::Refused { refusals, .. } = error {
        for refusal in refusals {
            out.push_str(&format!("  {}: {}\n", refusal.grant, refusal.reason));
            for choice in &refusal.choices {
                out.push_str(&format!("    {HINT}-{HINT:#} {choice}\n"));
            }
        }
    }
    if let Error::NotTrusted { asks } = error {
        for (what, flag) in asks.rows() {
            out.push_str(&format!("  {what}  ({flag})\n"));
        }
    }
    if let Some(hint) = error.hint() {
        out.push_str(&format!("{HINT}hint:{HINT:#} {hint}\n"));
    }
    out
}
