//! What an instrumented interpreter wrote: what it tells of itself, its globals and its memory.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::instrument::{GLOBALS_AT, MAGIC};
use super::shape::Shape;
use super::{SLOT_NAME, SLOTS, SnapshotError};

/// What the boot script says of where things are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    /// The builtin function `exec`.
    pub exec: u32,
    /// What it is to execute, and with which globals.
    pub code: u32,
    pub globals: u32,
    /// The byte arrays for what a run is given, and for all of memory.
    pub buffer: u32,
    pub memory: u32,
    /// The size of the buffer.
    pub capacity: u32,
    /// `sys.getrecursionlimit()`.
    pub recursion_limit: u32,
    /// The first descriptor of a preopen.
    pub preopens: u32,
}

/// An image, taken apart.
pub(super) struct Image {
    pub told: Told,
    /// The values of the globals that change, as bits.
    pub globals: Vec<u64>,
    pub memory: Vec<u8>,
}

/// The addresses that the first instructions of a snapshot need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The index in the table of what C calls `exec` by.
    pub vectorcall: u32,
    /// The buffer's bytes.
    pub buffer: u32,
    /// libc's table of preopens, and how many entries it has.
    pub table: u32,
    pub entries: u32,
}

/// What the byte arrays begin with; boot.py writes it.
const BUFFER_MARK: &[u8] = b"PYW-START-BUFFER";
const MEMORY_MARK: &[u8] = b"PYW-WHOLE-MEMORY";
/// What a byte array that covers all memory says of its size, the largest there is.
const ALL: u32 = 0x7fff_fffe;
/// How far below the limit the count of recursions may stand.
const DEEPEST: u32 = 64;
/// Where the resuming script finds the size of the captured memory.
const END_AT: u32 = 24;
/// Where the resuming script finds the address of the count of recursions.
pub(super) const RECURSION_AT: u32 = 28;

fn odd(what: impl Into<String>) -> SnapshotError {
    SnapshotError::Image(what.into())
}

impl Image {
    /// Takes apart what was written to stdout.
    ///
    /// # Errors
    /// It is cut off, or something else.
    pub fn parse(written: Vec<u8>, shape: &Shape) -> Result<Image, SnapshotError> {
        let end = written
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| odd("it has no first line"))?;
        let told: Told =
            serde_json::from_slice(&written[..end]).map_err(|e| odd(format!("first line: {e}")))?;
        let header = &written[end + 1..];
        let word = |at: usize| -> Result<u32, SnapshotError> {
            let bytes = header.get(at..at + 4).ok_or_else(|| odd("it is cut off"))?;
            Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        if !header.starts_with(&MAGIC) {
            return Err(odd("the memory was not written"));
        }
        if word(8)? as usize != shape.mutable.len() {
            return Err(odd("it has other globals"));
        }
        let pages = word(12)? as usize;
        let mut globals = Vec::new();
        for i in 0..shape.mutable.len() {
            let at = GLOBALS_AT + 8 * i;
            globals.push(u64::from(word(at)?) | u64::from(word(at + 4)?) << 32);
        }
        let start = end + 1 + GLOBALS_AT + 8 * shape.mutable.len();
        if written.len() != start + (pages << 16) {
            return Err(odd(format!(
                "{} bytes of {pages} pages were written",
                written.len() - start.min(written.len())
            )));
        }
        let mut memory = written;
        memory.drain(..start);
        Ok(Image {
            told,
            globals,
            memory,
        })
    }

    fn word(&self, at: u32) -> Result<u32, SnapshotError> {
        let at = at as usize;
        let bytes = self
            .memory
            .get(at..at + 4)
            .ok_or_else(|| odd(format!("{at:#x} lies outside of memory")))?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn set(&mut self, at: u32, value: u32) -> Result<(), SnapshotError> {
        let at = at as usize;
        self.memory
            .get_mut(at..at + 4)
            .ok_or_else(|| odd(format!("{at:#x} lies outside of memory")))?
            .copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    /// Finds what is needed, and changes what the resuming script relies on.
    ///
    /// # Errors
    /// Something is not where CPython 3.12 and 3.13 and wasi-libc have it.
    pub fn prepare(&mut self) -> Result<Layout, SnapshotError> {
        let layout = Layout {
            vectorcall: self.vectorcall()?,
            buffer: self.byte_array(self.told.buffer, BUFFER_MARK)?,
            table: 0,
            entries: 0,
        };
        let (table, entries) = self.preopens()?;
        self.cover_memory()?;
        let count = self.recursion_count()?;
        self.set(layout.buffer + RECURSION_AT, count)?;
        let end = u32::try_from(self.memory.len()).map_err(|_| odd("its memory is too large"))?;
        self.set(layout.buffer + END_AT, end)?;
        Ok(Layout {
            table,
            entries,
            ..layout
        })
    }

    /// `PyCFunctionObject`: `m_ml` (whose first field is the name) at 8, `vectorcall` at 24.
    fn vectorcall(&self) -> Result<u32, SnapshotError> {
        let exec = self.told.exec;
        let definition = self.word(exec + 8)?;
        let name = self.word(definition)? as usize;
        if self.memory.get(name..name + 5) != Some(b"exec\0") {
            return Err(odd("a builtin function is laid out otherwise"));
        }
        self.word(exec + 24)
    }

    /// `PyByteArrayObject`: size 8, allocated 12, bytes 16, start 20, exports 24.
    fn byte_array(&self, at: u32, mark: &[u8]) -> Result<u32, SnapshotError> {
        let start = self.word(at + 20)?;
        let bytes = self.memory.get(start as usize..start as usize + mark.len());
        if bytes != Some(mark) || self.word(at + 16)? != start || self.word(at + 24)? != 0 {
            return Err(odd("a byte array is laid out otherwise"));
        }
        Ok(start)
    }

    /// Makes a byte array one of all memory, by which Python code can look at and change it.
    fn cover_memory(&mut self) -> Result<(), SnapshotError> {
        let at = self.told.memory;
        self.byte_array(at, MEMORY_MARK)?;
        self.set(at + 8, ALL)?;
        self.set(at + 12, ALL + 1)?;
        self.set(at + 16, 0)?;
        self.set(at + 20, 0)
    }

    /// `PyThreadState` counts down from the limit, which stands behind the count. The boot script
    /// set one that is unlikely to stand elsewhere.
    fn recursion_count(&self) -> Result<u32, SnapshotError> {
        let limit = self.told.recursion_limit;
        let words: Vec<u32> = self
            .memory
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let found: Vec<usize> = words
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| pair[1] == limit && pair[0] < limit && pair[0] + DEEPEST > limit)
            .map(|(at, _)| at * 4)
            .collect();
        match found.as_slice() {
            [one] => Ok(*one as u32),
            _ => Err(odd(format!(
                "the count of recursions could be in {} places",
                found.len()
            ))),
        }
    }

    /// wasi-libc's table, `{const char *name; int fd;}[]`, is found by the invented names. It grew
    /// by copying, so pairs may be left of older ones: of the whole table there is one.
    fn preopens(&self) -> Result<(u32, u32), SnapshotError> {
        let mut names: BTreeMap<u32, u32> = BTreeMap::new();
        let mark = SLOT_NAME.as_bytes();
        for at in find_all(&self.memory, mark) {
            let digits = self.memory.get(at + mark.len()..at + mark.len() + 3);
            if let Some([a @ b'0'..=b'9', b @ b'0'..=b'9', 0]) = digits {
                let slot = u32::from(a - b'0') * 10 + u32::from(b - b'0');
                names.insert(at as u32, slot);
            }
        }
        // Where a pair is that leads to an invented name: which one.
        let mut pairs: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        for (i, bytes) in self.memory.chunks_exact(4).enumerate() {
            let pointer = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            if let Some(slot) = names.get(&pointer) {
                let at = i as u32 * 4;
                if let Ok(fd) = self.word(at + 4) {
                    pairs.insert(at, (*slot, fd));
                }
            }
        }
        let whole = |first: u32| {
            let fd = pairs.get(&first).filter(|(slot, _)| *slot == 0)?.1;
            (0..SLOTS as u32)
                .all(|slot| pairs.get(&(first + 8 * slot)) == Some(&(slot, fd + slot)))
                .then_some((first, fd))
        };
        let tables: Vec<(u32, u32)> = pairs.keys().filter_map(|first| whole(*first)).collect();
        let &[(first, fd)] = tables.as_slice() else {
            return Err(odd(format!(
                "libc's table of preopens could be in {} places",
                tables.len()
            )));
        };
        // The real ones of the captured run stand before.
        let real = fd
            .checked_sub(self.told.preopens)
            .filter(|real| *real < 1000 && first > real * 8)
            .ok_or_else(|| odd("libc's table of preopens does not begin with the first one"))?;
        let table = first - real * 8;
        for i in 0..real {
            if self.word(table + 8 * i + 4)? != self.told.preopens + i {
                return Err(odd("libc's table of preopens has gaps"));
            }
        }
        Ok((table, real + SLOTS as u32))
    }

    /// The parts of memory that are not zero: where each begins and ends. Gaps are long enough to
    /// be worth it.
    pub fn segments(&self) -> Vec<(usize, usize)> {
        const GAP: usize = 4096;
        let mut all: Vec<(usize, usize)> = Vec::new();
        for (i, block) in self.memory.chunks(64).enumerate() {
            if block.iter().all(|byte| *byte == 0) {
                continue;
            }
            let (start, end) = (i * 64, i * 64 + block.len());
            match all.last_mut() {
                Some(last) if start < last.1 + GAP => last.1 = end,
                _ => all.push((start, end)),
            }
        }
        all
    }
}

/// Where `needle` stands.
fn find_all(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    bytes
        .windows(needle.len())
        .enumerate()
        .filter(|(_, window)| *window == needle)
        .map(|(at, _)| at)
        .collect()
}
