//! Tables for people: columns padded to their widest cell, the last one left as it is.

use anstyle::Style;

const HEAD: Style = Style::new().bold();

/// Prints a table on stdout.
pub fn print(head: &[&str], rows: Vec<Vec<String>>) {
    anstream::print!("{}", render(head, &rows));
}

/// The table as text, with styles as escape sequences.
#[must_use]
pub fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(head.get(column).map_or(0, |h| h.len()))
    };
    let line = |cells: &[&str]| {
        let mut out = String::new();
        for (column, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < cells.len() {
                let padding = width(column).saturating_sub(cell.chars().count()) + 2;
                out.push_str(&" ".repeat(padding));
            }
        }
        out.truncate(out.trim_end().len());
        out
    };
    let mut out = format!("{HEAD}{}{HEAD:#}\n", line(head));
    for row in rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        out.push_str(&line(&cells));
        out.push('\n');
    }
    out
}

/// How wide text for people is at most, where it has words to break at.
const WIDTH: usize = 100;

/// Labels with their texts, indented, and broken between words where a line would be too long.
#[must_use]
pub fn indented(rows: &[(&str, String)]) -> String {
    const LABEL: usize = 10;
    let start = format!("    {:LABEL$}", "");
    let mut out = String::new();
    for (label, text) in rows {
        let mut line = format!("    {label:LABEL$}");
        let mut fresh = true;
        for word in text.split(' ') {
            let more = word.chars().count() + usize::from(!fresh);
            if !fresh && line.chars().count() + more > WIDTH {
                out.push_str(&line);
                out.push('\n');
                line.clone_from(&start);
                fresh = true;
            }
            if !fresh {
                line.push(' ');
            }
            line.push_str(word);
            fresh = false;
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_texts_are_broken_between_words() {
        let text = super::indented(&[("has", "word ".repeat(40).trim_end().to_owned())]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() <= super::WIDTH));
        assert!(
            lines[0].starts_with("    has       word")
                && lines[1].starts_with("              word")
        );
        let url = "x".repeat(150);
        assert_eq!(
            super::indented(&[("a", url.clone())]),
            format!("    a         {url}\n")
        );
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["a".into(), "bb".into()],
            vec!["größer".into(), "c".into()],
        ];
        let text = super::render(&["x", "y"], &rows);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(text, "x       y\na       bb\ngrößer  c\n");
    }
}
