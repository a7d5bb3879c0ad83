//! The texts of a `pybi-info` folder: headers like those of an e-mail, read strictly.

/// Headers in their order, names as they are spelt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    /// Reads headers up to the first empty line.
    ///
    /// # Errors
    /// A sentence that says which line is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() {
                break;
            }
            let wrong = || format!("line {} is not `NAME: VALUE`", number + 1);
            if line.starts_with([' ', '\t']) {
                let (_, value) = headers.last_mut().ok_or_else(wrong)?;
                // Either part may be empty.
                *value = format!("{value} {}", line.trim()).trim().to_owned();
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(wrong)?;
            let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if name.is_empty() || !name.chars().all(word) {
                return Err(wrong());
            }
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Self(headers))
    }

    pub(super) fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// The names, with their spelling.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// All values of a header.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.iter();
        let values = values.filter(|(n, _)| n.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.clone()).collect()
    }

    /// The value of a header that may stand once.
    ///
    /// # Errors
    /// It stands there several times.
    pub(super) fn one(&self, name: &str) -> Result<Option<String>, String> {
        let mut all = self.all(name);
        match all.len() {
            0 => Ok(None),
            1 => Ok(all.pop()),
            several => Err(format!("it has {name} {several} times")),
        }
    }

    /// The value of a header that has to stand there once.
    ///
    /// # Errors
    /// It is missing or repeated.
    pub(super) fn required(&self, name: &str) -> Result<String, String> {
        self.one(name)?
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("it has no {name}"))
    }

    /// The text.
    pub(super) fn text(&self) -> String {
        self.0.iter().fold(String::new(), |text, (name, value)| {
            text + name + ": " + value + "\n"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_strictly() {
        let text = "A: 1\nb-c:  two\n words\nA: 3\n\nbody";
        let headers = Headers::parse(text).unwrap();
        assert_eq!(headers.all("a"), ["1", "3"]);
        assert_eq!(headers.one("B-C").unwrap().as_deref(), Some("two words"));
        assert_eq!(headers.one("A").unwrap_err(), "it has A 2 times");
        assert_eq!(headers.required("X").unwrap_err(), "it has no X");
        assert_eq!(headers.text(), "A: 1\nb-c: two words\nA: 3\n");
        for wrong in [" a: 1", "a", "a b: 1", ": 1", "ok: 1\nnot so"] {
            assert!(Headers::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
