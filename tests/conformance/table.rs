//! The table runtime × case that is shown at the end and kept in `target/conformance/table.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;

/// How a trial went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Same,
    Wrong,
    /// A difference that the runtime's descriptor lists.
    Known,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Same => "ok",
            Self::Wrong => "FAIL",
            Self::Known => "diff",
        })
    }
}

/// Outcomes as they come in, by case and subject.
#[derive(Default)]
pub struct Table(Mutex<BTreeMap<String, BTreeMap<String, Outcome>>>);

impl Table {
    pub fn record(&self, case: &str, subject: &str, outcome: Outcome) {
        self.0
            .lock()
            .unwrap()
            .entry(case.to_owned())
            .or_default()
            .insert(subject.to_owned(), outcome);
    }

    /// The table in Markdown, aligned so that it reads well on a terminal too.
    pub fn render(&self, subjects: &[&str]) -> String {
        let rows = self.0.lock().unwrap();
        let wide = rows.keys().map(String::len).max().unwrap_or(0).max(4);
        let mut text = format!("| {:wide$} |", "case");
        let mut rule = format!("| {} |", "-".repeat(wide));
        let mut counts = format!("| {:wide$} |", format!("{} cases", rows.len()));
        for subject in subjects {
            let column = subject.len().max(10);
            text += &format!(" {subject:column$} |");
            rule += &format!(" {} |", "-".repeat(column));
            let of = |outcome| {
                rows.values()
                    .filter(|row| row.get(*subject) == Some(&outcome))
                    .count()
            };
            let count = [
                (of(Outcome::Same), ""),
                (of(Outcome::Wrong), "F"),
                (of(Outcome::Known), "d"),
            ]
            .iter()
            .filter(|(n, letter)| *n > 0 || letter.is_empty())
            .map(|(n, letter)| format!("{n}{letter}"))
            .collect::<Vec<_>>()
            .join(" ");
            counts += &format!(" {count:column$} |");
        }
        text = format!("{text}\n{rule}\n");
        for (case, row) in rows.iter() {
            text += &format!("| {case:wide$} |");
            for subject in subjects {
                let column = subject.len().max(10);
                match row.get(*subject) {
                    Some(outcome) => text += &format!(" {outcome:column$} |"),
                    None => text += &format!(" {:column$} |", "-"),
                }
            }
            text.push('\n');
        }
        format!("{text}{counts}\n")
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    /// Shows the table and writes it to its file.
    pub fn publish(&self, subjects: &[&str]) {
        let text = self.render(subjects);
        println!("{text}");
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .unwrap()
            .join("conformance");
        let written = std::fs::create_dir_all(&dir)
            .and_then(|()| std::fs::write(dir.join("table.md"), &text));
        if let Err(e) = written {
            eprintln!("{}: {e}", dir.display());
        }
    }
}
