//! A line of a text file with a caret under the place that is meant.
//!
//! Files of strangers are shown here, so nothing in them may reach the terminal as a control code
//! or turn the order of the text around.

use std::fmt;
use std::ops::Range;

use camino::{Utf8Path, Utf8PathBuf};

/// Longer lines are cut around the caret, which keeps a minified file from filling the screen.
const MOST_COLUMNS: usize = 140;
/// How much of a long line stands before the caret.
const LEAD: usize = 60;

/// A place in a text file, with a copy of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The file, as messages name it.
    pub file: Utf8PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    shown: String,
    pad: String,
    carets: usize,
}

impl Excerpt {
    /// The place of the bytes `span` in `text`. Only the first line of a longer span is marked, and
    /// a span that does not fit `text` marks the nearest place that does.
    #[must_use]
    pub fn new(file: &Utf8Path, text: &str, span: Range<usize>) -> Excerpt {
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.floor_char_boundary(span.end.clamp(start, text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let before = text[line_start..start].chars().count();
        let marked = text[start..end.min(line_end)].chars().count();

        let line: Vec<char> = text[line_start..line_end].trim_end().chars().collect();
        let cut = line.len() > MOST_COLUMNS;
        let first = if cut { before.saturating_sub(LEAD) } else { 0 };
        let last = if cut {
            (first + MOST_COLUMNS).min(line.len())
        } else {
            line.len()
        };
        let (mut shown, mut pad) = (String::new(), String::new());
        if first > 0 {
            shown.push('…');
            pad.push(' ');
        }
        let mut carets = 0;
        for at in first..last.max(before) {
            let c = line.get(at).copied().map_or(' ', visible);
            if at < last {
                shown.push(c);
            }
            // A tab stays one, so that the caret stands right whatever its width.
            match (at < before, c) {
                (true, '\t') => pad.push('\t'),
                (true, _) => pad.extend(std::iter::repeat_n(' ', columns(c))),
                (false, _) if at < before + marked => carets += columns(c),
                (false, _) => {}
            }
        }
        if last < line.len() {
            shown.push('…');
        }
        Excerpt {
            file: file.to_owned(),
            line: text[..start].bytes().filter(|&byte| byte == b'\n').count() + 1,
            column: before + 1,
            shown,
            pad,
            carets: carets.max(1),
        }
    }

    /// Writes `FILE:LINE:COLUMN: MESSAGE`, the line and the caret, without a newline at the end.
    ///
    /// # Errors
    ///
    /// When `f` does not take it.
    pub fn write(&self, f: &mut impl fmt::Write, message: &str) -> fmt::Result {
        let Excerpt { line, column, .. } = self;
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let harmless = |text: &str| text.chars().map(visible).collect::<String>();
        let (file, message) = (harmless(self.file.as_str()), harmless(message));
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", self.shown)?;
        write!(f, "{gutter} | {}{}", self.pad, "^".repeat(self.carets))
    }
}

/// The character, or a stand-in for one that would act on the terminal.
pub(crate) fn visible(c: char) -> char {
    let turns_order =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if (c.is_control() && c != '\t') || turns_order {
        '\u{fffd}'
    } else {
        c
    }
}

/// How many columns a terminal gives to `c`: East Asian wide characters and emoji take two.
fn columns(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, span: Range<usize>) -> String {
        let mut out = String::new();
        Excerpt::new(Utf8Path::new("f"), text, span)
            .write(&mut out, "no")
            .unwrap();
        out
    }

    #[test]
    fn places() {
        for (text, span, shown) in [
            ("a = 1", 4..5, "f:1:5: no\n  |\n1 | a = 1\n  |     ^"),
            (
                "x\nabc = 12\ny",
                2..5,
                "f:2:1: no\n  |\n2 | abc = 12\n  | ^^^",
            ),
            (
                "a = '''\nb'''",
                4..12,
                "f:1:5: no\n  |\n1 | a = '''\n  |     ^^^",
            ),
            ("a\r\nb = 1\r\n", 3..4, "f:2:1: no\n  |\n2 | b = 1\n  | ^"),
            ("\ta = 1", 5..6, "f:1:6: no\n  |\n1 | \ta = 1\n  | \t    ^"),
            ("é = 1", 5..6, "f:1:5: no\n  |\n1 | é = 1\n  |     ^"),
            (
                "'日本' = 12",
                11..13,
                "f:1:8: no\n  |\n1 | '日本' = 12\n  |          ^^",
            ),
            ("'日' = 1", 1..4, "f:1:2: no\n  |\n1 | '日' = 1\n  |  ^^"),
            ("", 0..0, "f:1:1: no\n  |\n1 | \n  | ^"),
            ("a =", 3..3, "f:1:4: no\n  |\n1 | a =\n  |    ^"),
            ("a =  ", 5..5, "f:1:6: no\n  |\n1 | a =\n  |      ^"),
            ("a\n", 2..2, "f:2:1: no\n  |\n2 | \n  | ^"),
            // Spans that do not fit.
            ("é", 1..1, "f:1:1: no\n  |\n1 | é\n  | ^"),
            ("ab", 7..9, "f:1:3: no\n  |\n1 | ab\n  |   ^"),
            (
                "a = '\u{1b}[31m\u{202e}'",
                4..5,
                "f:1:5: no\n  |\n1 | a = '\u{fffd}[31m\u{fffd}'\n  |     ^",
            ),
        ] {
            assert_eq!(show(text, span), shown, "{text:?}");
        }
        let tenth = "\n".repeat(9) + "x";
        assert_eq!(show(&tenth, 9..10), "f:10:1: no\n   |\n10 | x\n   | ^");
    }

    #[test]
    fn long_lines_are_cut() {
        let text = format!("{}here{}", "a".repeat(100), "b".repeat(500));
        let shown = show(&text, 100..104);
        let expected = format!(
            "f:1:101: no\n  |\n1 | …{}here{}…\n  | {}^^^^",
            "a".repeat(60),
            "b".repeat(76),
            " ".repeat(61),
        );
        assert_eq!(shown, expected);
        let shown = show(&text, 0..600);
        assert!(
            shown.lines().all(|line| line.chars().count() < 150),
            "{shown}"
        );
    }

    #[test]
    fn any_span_is_shown_without_panic() {
        let text = "é=\n\t'日\u{1b}'\r\n\n";
        for start in 0..text.len() + 3 {
            for end in 0..text.len() + 3 {
                show(text, start..end);
            }
        }
    }
}
