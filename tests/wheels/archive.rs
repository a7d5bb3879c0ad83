//! Making wheels, good ones and others. The zips are written by hand here, since a decent library
//! refuses to write what an attacker would.

use camino::{Utf8Path, Utf8PathBuf};
use pyw::package::wheel::WheelRef;
use pyw::store::Sha256;
use pyw::store::record::{self, Line};

/// An entry of a zip.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub body: Vec<u8>,
    pub mode: u32,
    /// Compresses it.
    pub deflate: bool,
    /// The size to declare, true or not.
    pub size: u32,
}

impl Entry {
    pub fn file(name: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Entry {
            name: name.to_owned(),
            mode: 0o100_644,
            deflate: false,
            size: body.len() as u32,
            body,
        }
    }
}

/// A zip of these entries.
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let mut crc = flate2::Crc::new();
        crc.update(&entry.body);
        let data = if entry.deflate {
            let mut deflate =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut deflate, &entry.body).unwrap();
            deflate.finish().unwrap()
        } else {
            entry.body.clone()
        };
        let mut common = Vec::new();
        common.extend(20_u16.to_le_bytes());
        common.extend(0x0800_u16.to_le_bytes());
        common.extend((if entry.deflate { 8_u16 } else { 0 }).to_le_bytes());
        common.extend([0, 0, 0x21, 0]);
        common.extend(crc.sum().to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend(entry.size.to_le_bytes());
        common.extend((entry.name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        let start = out.len() as u32;
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(entry.name.as_bytes());
        out.extend(&data);
        directory.extend(b"PK\x01\x02");
        directory.extend(0x0314_u16.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(start.to_le_bytes());
        directory.extend(entry.name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

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
        self.entries.retain(|entry| entry.name != path);
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
                .filter(|entry| !entry.name.ends_with('/'))
                .map(|e| Line::of(&e.name, Sha256::of(&e.body), e.body.len() as u64))
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
