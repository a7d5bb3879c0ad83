//! Moving a standard library that is inside a module out of the way.
//!
//! wasi-vfs links a file system into a module and puts it at a top folder such as `/usr`. pyw
//! unpacks it and mounts it at the same place, which is faster and takes the bootstrap in. Most
//! runtimes make a preopen of each mount, and the guest's libc then prefers the mount, the longer
//! path of the two; wasmer makes one preopen, `/`, and the built-in copy would win. So the name of
//! the built-in folder is changed, in place, to one that nobody looks for.

use wasmparser::{Parser, Payload};

/// Renames the built-in top folder `top` (such as `/usr`). Answers whether there was exactly one
/// place that could be its name; otherwise nothing is changed.
#[must_use]
pub fn hide(module: &mut [u8], top: &str) -> bool {
    let mut name = top.as_bytes().to_vec();
    name.push(0);
    let mut places = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let Ok(payload) = payload else { return false };
        let Payload::DataSection(section) = payload else {
            continue;
        };
        for segment in section {
            let Ok(segment) = segment else { return false };
            let end = usize::try_from(segment.range.end).unwrap_or(usize::MAX);
            let Some(start) = end.checked_sub(segment.data.len()) else {
                return false;
            };
            let found = segment.data.windows(name.len()).enumerate();
            places.extend(found.filter(|(_, w)| *w == name).map(|(at, _)| start + at));
        }
    }
    let [place] = places[..] else { return false };
    for byte in &mut module[place + 1..place + top.len()] {
        *byte = b'~';
    }
    true
}

/// The first folder of an absolute guest path: `/usr` of `/usr/local/lib`.
#[must_use]
pub fn top(guest: &str) -> &str {
    let end = guest
        .char_indices()
        .skip(1)
        .find(|(_, c)| *c == '/')
        .map(|(at, _)| at);
    &guest[..end.unwrap_or(guest.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(data: &str) -> Vec<u8> {
        wat::parse_str(format!(
            "(module (memory 1) (data (i32.const 8) \"{data}\"))"
        ))
        .unwrap()
    }

    #[test]
    fn the_one_name_is_changed_and_nothing_else() {
        let mut bytes = module("/usr/lib\\00abc/usr\\00/usrx\\00");
        let before = bytes.clone();
        assert!(hide(&mut bytes, "/usr"));
        let changed: Vec<usize> = (0..bytes.len())
            .filter(|i| bytes[*i] != before[*i])
            .collect();
        assert_eq!(changed.len(), 3);
        assert!(bytes.windows(5).any(|w| w == b"/~~~\0"));
    }

    #[test]
    fn what_is_not_clear_is_left_alone() {
        for data in ["", "/usr", "/usr\\00 /usr\\00"] {
            let mut bytes = module(data);
            let before = bytes.clone();
            assert!(!hide(&mut bytes, "/usr"), "{data}");
            assert_eq!(bytes, before);
        }
        assert!(!hide(&mut b"not wasm".to_vec(), "/usr"));
    }

    #[test]
    fn tops() {
        assert_eq!(top("/usr/local/lib"), "/usr");
        assert_eq!(top("/lib"), "/lib");
    }
}
