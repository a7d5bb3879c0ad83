//! Making wheels, good ones and others.

use camino::{Utf8Path, Utf8PathBuf};
use pyw::package::wheel::WheelRef;
use pyw::store::Sha256;
use pyw::store::record::{self, Line};

use super::zip::{Entry, zip};

/// A wheel being made.
#[derive(Clone)]
pub struct Made {
    pub filename: String,
    pub dist_info: String,
    pub entries: Vec<Entry>,
    /// Changes what RECORD says.
    pub record: fn(&mut Vec<Line>),
    pub has_record: bool,
}

impl Made {
    /// A wheel of that project with METADATA and WHEEL and nothing else.
    pub fn new(name: &str, version: &str) -> Self {
        let dist_info = format!("{name}-{version}.dist-info");
        let mut made = Made {
            filename: format!("{name}-{version}-py3-none-any.whl"),
            dist_info,
            entries: Vec::new(),
            record: |_| {},
            has_record: true,
        };
        made.put_info(
            "METADATA",
            &format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText: x\n"),
        );
        made.put_info(
            "WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        );
        made
    }

    /// Adds a file, or changes it.
    pub fn put(&mut self, path: &str, body: &str) -> &mut Self {
        self.entries.retain(|entry| entry.name != path.as_bytes());
        self.entries.push(Entry::file(path, body));
        self
    }

    /// Adds a file, for when it is made in one go.
    pub fn with(mut self, path: &str, body: &str) -> Self {
        self.put(path, body);
        self
    }

    /// Adds a file of the `.dist-info`.
    pub fn put_info(&mut self, name: &str, body: &str) -> &mut Self {
        let path = format!("{}/{name}", self.dist_info);
        self.put(&path, body)
    }

    pub fn with_info(mut self, name: &str, body: &str) -> Self {
        self.put_info(name, body);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut entries = self.entries.clone();
        if self.has_record {
            let path = format!("{}/RECORD", self.dist_info);
            let mut lines: Vec<Line> = entries
                .iter()
                .filter(|entry| !entry.name.ends_with(b"/"))
                .map(|e| Line::of(&e.shown(), Sha256::of(&e.body), e.body.len() as u64))
                .collect();
            lines.push(Line::bare(&path));
            (self.record)(&mut lines);
            entries.push(Entry::file(&path, record::format(&lines)));
        }
        zip(&entries)
    }

    /// Writes the wheel into a folder.
    pub fn write(&self, folder: &Utf8Path) -> Utf8PathBuf {
        let path = folder.join(&self.filename);
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }

    /// Writes the wheel and pins it.
    pub fn pin(&self, folder: &Utf8Path) -> WheelRef {
        WheelRef::local(&self.write(folder)).unwrap()
    }
}
