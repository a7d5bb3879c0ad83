//! Names of projects and extras, normalised as PEP 503 says.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a project: lower-case, every run of `-`, `_` and `.` one `-`.
///
/// Two spellings of the same project are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(Box<str>);

/// The name of an extra, normalised like that of a project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtraName(Box<str>);

/// A text that cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a name: it must begin and end with an ASCII letter or digit and hold only \
     those and `-`, `_`, `.`"
)]
pub struct NameError {
    /// What was given.
    pub text: String,
}

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// Reads a name in any spelling.
            ///
            /// # Errors
            /// It holds what a name must not hold.
            pub fn new(text: &str) -> Result<Self, NameError> {
                normalize(text).map(|name| $name(name.into()))
            }

            /// The normalised name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $name::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                $name::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(PackageName);
name!(ExtraName);

impl PackageName {
    /// As it stands in the file name of a wheel or sdist: with `_` for `-`.
    #[must_use]
    pub fn as_file_name(&self) -> String {
        self.0.replace('-', "_")
    }
}

fn normalize(text: &str) -> Result<String, NameError> {
    let wrong = || NameError {
        text: text.to_owned(),
    };
    let ends = [text.bytes().next(), text.bytes().next_back()];
    if !ends
        .iter()
        .all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
    {
        return Err(wrong());
    }
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => name.push(char::from(byte)),
            b'A'..=b'Z' => name.push(char::from(byte.to_ascii_lowercase())),
            b'-' | b'_' | b'.' if name.ends_with('-') => {}
            b'-' | b'_' | b'.' => name.push('-'),
            _ => return Err(wrong()),
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_equal() {
        for text in ["ruamel.yaml", "Ruamel_YAML", "ruamel-.__yaml"] {
            assert_eq!(PackageName::new(text).unwrap(), "ruamel-yaml");
        }
        let name: PackageName = "Jinja2".parse().unwrap();
        assert_eq!(name.to_string(), "jinja2");
        assert_eq!(PackageName::new("a.b-c").unwrap().as_file_name(), "a_b_c");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "-",
            "-a",
            "a-",
            "a b",
            "a/b",
            "ä",
            "a\u{212a}",
            "..",
            "a\n",
        ] {
            assert!(PackageName::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn stands_as_a_string_in_json() {
        let name: PackageName = serde_json::from_str("\"Foo_Bar\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"foo-bar\"");
        assert!(serde_json::from_str::<PackageName>("\"../x\"").is_err());
    }
}
