//! Core metadata: the few headers of a wheel's METADATA that resolving needs.

use pep440_rs::{Version, VersionSpecifiers};

use super::filename::parse_version;
use super::name::{ExtraName, PackageName};
use super::requirement::{Requirement, parse_specifiers};

/// No METADATA may be bigger.
pub const METADATA_CAP: u64 = 8 << 20;

/// What a release says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The project.
    pub name: PackageName,
    /// The release.
    pub version: Version,
    /// What it needs.
    pub requires: Vec<Requirement>,
    /// The Python versions that it runs on.
    pub requires_python: Option<VersionSpecifiers>,
    /// The extras that it offers.
    pub extras: Vec<ExtraName>,
}

impl Metadata {
    /// Reads METADATA or PKG-INFO.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Metadata, String> {
        let text = String::from_utf8_lossy(bytes);
        let mut name = None;
        let mut version = None;
        let mut requires = Vec::new();
        let mut requires_python = None;
        let mut extras = Vec::new();
        for (header, value) in headers(&text) {
            match header.to_ascii_lowercase().as_str() {
                "name" => name = Some(PackageName::new(&value).map_err(|error| error.to_string())?),
                "version" => version = Some(parse_version(&value)?),
                "requires-dist" => requires.push(Requirement::parse_lenient(&value)?),
                // What cannot be read limits nothing; installers have always done so.
                "requires-python" => requires_python = parse_specifiers(&value).ok(),
                "provides-extra" => extras.extend(ExtraName::new(&value).ok()),
                _ => {}
            }
        }
        Ok(Metadata {
            name: name.ok_or("it has no Name")?,
            version: version.ok_or("it has no Version")?,
            requires,
            requires_python,
            extras,
        })
    }
}

/// The headers, unfolded, up to the first empty line.
fn headers(text: &str) -> Vec<(&str, String)> {
    let mut headers: Vec<(&str, String)> = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        // A line of spaces goes on with the header before it, as a licence's text does.
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim(), value.trim().to_owned()));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_up_to_the_description() {
        let metadata = Metadata::parse(
            b"Metadata-Version: 2.1\r\nName: Foo.Bar\r\nVersion: 1.0\r\n\
              License: MIT\r\n        \r\n        Text: of it\r\n \r\n\
              Requires-Dist: a (>=1)\r\nRequires-Dist: b>=2;\r\n python_version < '3'\r\n\
              Provides-Extra: Test_X\r\nRequires-Python: >=3.8.*\r\n\r\nRequires-Dist: evil\r\n",
        )
        .unwrap();
        assert_eq!(metadata.name, "foo-bar");
        assert_eq!(metadata.requires.len(), 2);
        assert_eq!(metadata.extras[0], "test-x");
        assert_eq!(metadata.requires_python.unwrap().to_string(), ">=3.8");
    }

    #[test]
    fn what_lacks_a_name_or_has_a_wrong_requirement_is_refused() {
        assert!(Metadata::parse(b"Version: 1").is_err());
        assert!(Metadata::parse(b"Name: a").is_err());
        assert!(Metadata::parse(b"Name: a\nVersion: x").is_err());
        let wrong = Metadata::parse(b"Name: a\nVersion: 1\nRequires-Dist: ???").unwrap_err();
        assert!(wrong.contains("???"), "{wrong}");
        assert!(Metadata::parse(&[0xff; 100]).is_err());
    }
}
