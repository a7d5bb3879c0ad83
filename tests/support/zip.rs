//! Zips, hostile and not. They are written by hand, since a decent library refuses to write what an
//! attacker would.

/// An entry of a zip, which is stored or, with `deflate`, compressed.
#[derive(Clone)]
pub struct Entry {
    /// Its name, which need not be UTF-8.
    pub name: Vec<u8>,
    pub body: Vec<u8>,
    pub mode: u32,
    pub deflate: bool,
    /// The size to declare, true or not.
    pub size: u32,
}

impl Entry {
    pub fn file(name: &str, body: impl AsRef<[u8]>) -> Self {
        Self::with_mode(name, body, 0o100_644)
    }

    pub fn link(name: &str, target: &str) -> Self {
        Self::with_mode(name, target, 0o120_777)
    }

    pub fn folder(name: &str) -> Self {
        Self::with_mode(name, "", 0o040_755)
    }

    pub fn with_mode(name: &str, body: impl AsRef<[u8]>, mode: u32) -> Self {
        let body = body.as_ref().to_vec();
        Entry {
            name: name.into(),
            mode,
            deflate: false,
            size: body.len() as u32,
            body,
        }
    }

    /// Its name as text.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
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
        out.extend(&entry.name);
        out.extend(&data);
        directory.extend(b"PK\x01\x02");
        directory.extend(0x0314_u16.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(start.to_le_bytes());
        directory.extend(&entry.name);
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
