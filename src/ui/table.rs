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

#[cfg(test)]
mod tests {
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
