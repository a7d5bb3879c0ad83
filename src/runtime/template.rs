//! The placeholders of a descriptor: `{name}` inside one argument.
//!
//! A template never makes more than one argument and no shell ever sees it, so a path or a value
//! can hold any character. Which placeholders exist depends on the place; an unknown one is found
//! when the descriptor is read, not when a program is run.

use std::fmt;

use serde::Deserialize;

/// One argument with placeholders, such as `--dir={host}::{guest}`. `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A message for the descriptor's author when a brace is left open or a name is not a word.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.peek() == Some(&c) => {
                    rest.next();
                    literal.push(c);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(c) if c.is_ascii_lowercase() || c == '-' => name.push(c),
                            Some(c) => {
                                return Err(format!(
                                    "`{c}` cannot stand in a placeholder's name (in `{text}`)"
                                ));
                            }
                            None => return Err(format!("`{{` is never closed in `{text}`")),
                        }
                    }
                    if name.is_empty() {
                        return Err(format!("a placeholder without a name in `{text}`"));
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Placeholder(name));
                }
                '}' => return Err(format!("`}}` closes nothing in `{text}`")),
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// The names of the placeholders, in the order in which they stand.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The argument, each placeholder replaced by its value. A placeholder without a value, which
    /// [`super::descriptor`] rules out, stays as it stands.
    #[must_use]
    pub fn fill(&self, values: &[(&str, &str)]) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Placeholder(name) => match values.iter().find(|(key, _)| key == name) {
                    Some((_, value)) => out.push_str(value),
                    None => {
                        out.push('{');
                        out.push_str(name);
                        out.push('}');
                    }
                },
            }
        }
        out
    }
}

/// Fills every template of a list.
#[must_use]
pub fn fill_all(templates: &[Template], values: &[(&str, &str)]) -> Vec<String> {
    templates
        .iter()
        .map(|template| template.fill(values))
        .collect()
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Template;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, with placeholders in braces")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Template, E> {
                Template::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_never_split_or_reread() {
        let template = Template::parse("--dir={host}::{guest}").unwrap();
        let values = [("host", "/a b/{guest}"), ("guest", "/x;y")];
        assert_eq!(template.fill(&values), "--dir=/a b/{guest}::/x;y");
    }

    #[test]
    fn doubled_braces_are_braces() {
        let template = Template::parse("{{{name}}}").unwrap();
        assert_eq!(template.fill(&[("name", "x")]), "{x}");
    }

    #[test]
    fn broken_templates_say_what_is_wrong() {
        assert_eq!(
            Template::parse("{host").unwrap_err(),
            "`{` is never closed in `{host`"
        );
        assert_eq!(
            Template::parse("a}").unwrap_err(),
            "`}` closes nothing in `a}`"
        );
        assert_eq!(
            Template::parse("{}").unwrap_err(),
            "a placeholder without a name in `{}`"
        );
        assert_eq!(
            Template::parse("{a b}").unwrap_err(),
            "` ` cannot stand in a placeholder's name (in `{a b}`)"
        );
    }
}
