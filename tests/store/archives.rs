//! Archives, hostile and not.

use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use pyw::error::Code;
use pyw::store::StoreError;
use pyw::store::unpack::{Format, Limits, Unpack, unpack, unpack_zip};

use crate::support::zip::{Entry, zip};
use crate::support::{Scratch, names};

/// A gzipped tarball of entries, whose names are written as they are.
fn tgz(entries: &[(&str, tar::EntryType, &str, u32)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, kind, content, mode) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        let mut body = content.as_bytes();
        if !matches!(kind, tar::EntryType::Regular) {
            header.as_old_mut().linkname[..body.len()].copy_from_slice(body);
            body = b"";
        }
        header.set_size(body.len() as u64);
        header.set_cksum();
        tar.append(&header, body).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

struct Bench {
    scratch: Scratch,
    dest: Utf8PathBuf,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let dest = scratch.path.join("deep/dest");
        Bench { scratch, dest }
    }

    fn zip(&self, entries: &[Entry], what: &Unpack<'_>) -> Result<(), StoreError> {
        let archive = self.scratch.path.join("a.zip");
        std::fs::write(&archive, zip(entries)).unwrap();
        unpack_zip(&archive, &self.dest, what)
    }

    fn tgz(&self, bytes: &[u8], what: &Unpack<'_>) -> Result<(), StoreError> {
        let archive = self.scratch.path.join("a.tgz");
        std::fs::write(&archive, bytes).unwrap();
        unpack(Format::Tgz, &archive, &self.dest, what)
    }

    /// Every file and link below the destination, with content and mode or target.
    fn found(&self) -> Vec<String> {
        fn walk(root: &Utf8Path, folder: &Utf8Path, found: &mut Vec<String>) {
            for name in names(folder) {
                let path = folder.join(name);
                let short = path.strip_prefix(root).unwrap();
                let metadata = path.symlink_metadata().unwrap();
                if metadata.is_symlink() {
                    found.push(format!("{short} -> {}", path.read_link_utf8().unwrap()));
                } else if metadata.is_dir() {
                    let before = found.len();
                    walk(root, &path, found);
                    if found.len() == before {
                        found.push(format!("{short}/"));
                    }
                } else {
                    let x = metadata.permissions().mode() & 0o100 != 0;
                    let content = std::fs::read_to_string(&path).unwrap();
                    found.push(format!("{short}{} {content}", if x { "*" } else { "" }));
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.dest, &self.dest, &mut found);
        found
    }

    /// Nothing may have appeared beside the destination.
    fn assert_clean(&self) {
        for name in names(&self.scratch.path) {
            assert!(["a.zip", "a.tgz", "deep"].contains(&&*name), "{name}");
        }
        for name in names(&self.scratch.path.join("deep")) {
            assert_eq!(name, "dest");
        }
    }
}

#[track_caller]
fn assert_refused(bench: &Bench, result: Result<(), StoreError>, message: &str) {
    let error = result.expect_err(message);
    assert_eq!(error.code(), Code::Integrity, "{error}");
    assert!(error.to_string().contains(message), "{error}");
    bench.assert_clean();
}

#[test]
fn a_decent_zip() {
    let bench = Bench::new();
    let mut big = Entry::file("pkg/lib/big.txt", "b".repeat(100_000).as_bytes());
    big.deflate = true;
    let entries = [
        Entry::with_mode("pkg/bin/python", b"run", 0o100_755),
        Entry::folder("pkg/empty/"),
        big,
        Entry::link("pkg/bin/python3", "python"),
        Entry::link("pkg/lib/up", "../bin"),
        Entry::file("other/x", b"x"),
        // Made where there are no modes.
        Entry::with_mode("pkg/plain", b"p", 0),
    ];
    bench.zip(&entries, &Unpack::default()).unwrap();
    assert_eq!(
        bench.found(),
        [
            "other/x x",
            "pkg/bin/python* run",
            "pkg/bin/python3 -> python",
            "pkg/empty/",
            &format!("pkg/lib/big.txt {}", "b".repeat(100_000)),
            "pkg/lib/up -> ../bin",
            "pkg/plain p",
        ]
    );
    bench.assert_clean();
}

#[test]
fn a_part_of_a_zip() {
    let entries = [
        Entry::file("pkg/a.py", b"a"),
        Entry::file("pkg/b.txt", b"b"),
        Entry::folder("pkg/c/"),
        Entry::file("pkgs/d.py", b"d"),
    ];
    let bench = Bench::new();
    let filter = |name: &str| name.ends_with(".py");
    let what = Unpack {
        strip_prefix: Some("pkg/"),
        filter: Some(&filter),
        ..Unpack::default()
    };
    bench.zip(&entries, &what).unwrap();
    assert_eq!(bench.found(), ["a.py a"]);
    // What is left out is checked all the same.
    let hostile = [Entry::file("pkg/a.py", b"a"), Entry::file("../x", b"x")];
    let bench = Bench::new();
    assert_refused(&bench, bench.zip(&hostile, &what), "`..`");
}

#[test]
fn names_that_lead_elsewhere() {
    for (name, message) in [
        ("/tmp/pyw-evil", "absolute name"),
        ("../evil", "`..`"),
        ("a/../../evil", "`..`"),
        ("..\\evil", "backslash"),
        ("a\\b", "backslash"),
        ("c:/evil", "drive letter"),
        ("C:evil", "drive letter"),
        ("a\0b", "control character"),
        ("", "empty name"),
    ] {
        let bench = Bench::new();
        let entries = [Entry::file("first", b"1"), Entry::file(name, b"evil")];
        assert_refused(&bench, bench.zip(&entries, &Unpack::default()), message);
        assert_eq!(bench.found(), Vec::<String>::new(), "{name:?}");
        if name.is_empty() {
            continue;
        }
        let bench = Bench::new();
        // A tar header ends a name at a NUL, so that one is not evil there.
        let bytes = tgz(&[(name, tar::EntryType::Regular, "evil", 0o644)]);
        let result = bench.tgz(&bytes, &Unpack::default());
        if name.contains('\0') {
            result.unwrap();
        } else {
            assert_refused(&bench, result, message);
        }
    }
    assert!(!Utf8Path::new("/tmp/pyw-evil").exists());
    let bench = Bench::new();
    let mut entry = Entry::file("x", b"x");
    entry.name = b"\xff".to_vec();
    assert_refused(&bench, bench.zip(&[entry], &Unpack::default()), "not UTF-8");
}

#[test]
fn names_that_are_one_on_some_system() {
    for (first, second, message) in [
        ("a", "a", "same name"),
        ("a/b", "./a/b", "there twice"),
        ("a/b", "a//b", "there twice"),
        ("Readme", "README", "only in case"),
        ("pkg/a", "PKG/b", "only in case"),
        ("a", "a/b", "to be a folder"),
        ("a/b", "a", "there twice"),
    ] {
        let bench = Bench::new();
        let entries = [Entry::file(first, b"1"), Entry::file(second, b"2")];
        assert_refused(&bench, bench.zip(&entries, &Unpack::default()), message);
        let bench = Bench::new();
        let bytes = tgz(&[
            (first, tar::EntryType::Regular, "1", 0o644),
            (second, tar::EntryType::Regular, "2", 0o644),
        ]);
        let message = message.replace("same name", "there twice");
        assert_refused(&bench, bench.tgz(&bytes, &Unpack::default()), &message);
    }
}

#[test]
fn links_that_lead_elsewhere() {
    for (name, target) in [
        ("l", "/etc/passwd"),
        ("l", "../evil"),
        ("a/l", "../../evil"),
        ("l", "a/../../evil"),
        ("l", ""),
        ("l", "..\\evil"),
    ] {
        let bench = Bench::new();
        let entries = [Entry::file("a/x", b"1"), Entry::link(name, target)];
        assert_refused(&bench, bench.zip(&entries, &Unpack::default()), "outside");
        let bench = Bench::new();
        let bytes = tgz(&[(name, tar::EntryType::Symlink, target, 0o777)]);
        assert_refused(&bench, bench.tgz(&bytes, &Unpack::default()), "outside");
    }
    // Through a link that leads up from a place far down.
    let bench = Bench::new();
    let entries = [
        Entry::link("a/b/up", "../.."),
        Entry::link("evil", "a/b/up/../x"),
    ];
    assert_refused(&bench, bench.zip(&entries, &Unpack::default()), "outside");
    // Writing through a link.
    let bench = Bench::new();
    let entries = [Entry::link("l", "a"), Entry::file("l/x", b"evil")];
    assert_refused(
        &bench,
        bench.zip(&entries, &Unpack::default()),
        "to be a folder",
    );
    let bench = Bench::new();
    let long = "a/".repeat(3000);
    let entries = [Entry::link("l", &long)];
    assert_refused(&bench, bench.zip(&entries, &Unpack::default()), "too long");
}

#[test]
fn a_zip_does_not_replace_what_is_there() {
    let bench = Bench::new();
    std::fs::create_dir_all(&bench.dest).unwrap();
    let outside = bench.scratch.path.join("deep/outside");
    std::os::unix::fs::symlink(&outside, bench.dest.join("x")).unwrap();
    let error = bench
        .zip(&[Entry::file("x", b"evil")], &Unpack::default())
        .unwrap_err();
    assert_eq!(error.code(), Code::Storage);
    assert!(!outside.exists());
}

#[test]
fn entries_that_lie_about_their_size() {
    for deflate in [false, true] {
        let mut long = Entry::file("x", [b'x'; 100_000]);
        long.deflate = deflate;
        long.size = 10;
        let bench = Bench::new();
        let error = bench.zip(&[long.clone()], &Unpack::default()).unwrap_err();
        assert_eq!(error.code(), Code::Integrity, "{error}");
        let written = bench.dest.join("x").metadata().map_or(0, |m| m.len());
        assert!(written <= 10, "{written}");
        long.size = 200_000;
        let bench = Bench::new();
        let error = bench.zip(&[long], &Unpack::default()).unwrap_err();
        assert_eq!(error.code(), Code::Integrity, "{error}");
    }
}

#[test]
fn bombs() {
    let mut big = Entry::file("x", vec![0; 1_000_000]);
    big.deflate = true;
    let what = Unpack {
        limits: Limits {
            bytes: 1_500_000,
            entries: 10,
        },
        ..Unpack::default()
    };
    let other = Entry {
        name: b"y".to_vec(),
        ..big.clone()
    };
    let bench = Bench::new();
    let result = bench.zip(&[big, other], &what);
    assert_refused(&bench, result, "more than 1500000 bytes");
    assert_eq!(bench.found(), Vec::<String>::new());

    let many: Vec<_> = (0..11)
        .map(|number| Entry::file(&format!("f{number}"), b""))
        .collect();
    let bench = Bench::new();
    assert_refused(&bench, bench.zip(&many, &what), "limit is 10");

    let bench = Bench::new();
    let million = "x".repeat(1_000_000);
    let bytes = tgz(&[
        ("x", tar::EntryType::Regular, &million, 0o644),
        ("y", tar::EntryType::Regular, &million, 0o644),
    ]);
    assert_refused(&bench, bench.tgz(&bytes, &what), "more than 1500000 bytes");

    // What is not even taken out counts too: reading it takes the time.
    let bench = Bench::new();
    let nothing = |_: &str| false;
    let what = Unpack {
        filter: Some(&nothing),
        ..what
    };
    assert_refused(&bench, bench.tgz(&bytes, &what), "more than is allowed");
}

#[test]
fn damaged_archives() {
    let bench = Bench::new();
    let archive = bench.scratch.path.join("a.zip");
    let mut bytes = zip(&[Entry::file("x", b"some content")]);
    bytes[40] ^= 1;
    std::fs::write(&archive, &bytes).unwrap();
    let result = unpack_zip(&archive, &bench.dest, &Unpack::default());
    assert_refused(&bench, result, "is damaged");
    std::fs::write(&archive, b"<html>").unwrap();
    let result = unpack_zip(&archive, &bench.dest, &Unpack::default());
    assert_refused(&bench, result, "a.zip");
    let bench = Bench::new();
    let good = tgz(&[("x", tar::EntryType::Regular, &"x".repeat(100_000), 0o644)]);
    let result = bench.tgz(&good[..good.len() / 2], &Unpack::default());
    assert_refused(&bench, result, "a.tgz");
    let error = unpack_zip("/missing.zip".into(), &bench.dest, &Unpack::default()).unwrap_err();
    assert_eq!(error.code(), Code::Storage);
    assert!(error.to_string().contains("/missing.zip"), "{error}");
}

#[test]
fn a_decent_tarball_and_what_else_tars_can_hold() {
    use tar::EntryType::*;
    let bench = Bench::new();
    let bytes = tgz(&[
        ("./", Directory, "", 0o755),
        ("./v1/bin/tool", Regular, "run", 0o755),
        ("./v1/readme", Regular, "text", 0o600),
        ("./v1/empty", Directory, "", 0o755),
        ("./v1/link", Symlink, "bin/tool", 0o777),
    ]);
    let what = Unpack {
        strip_prefix: Some("v1"),
        ..Unpack::default()
    };
    bench.tgz(&bytes, &what).unwrap();
    assert_eq!(
        bench.found(),
        ["bin/tool* run", "empty/", "link -> bin/tool", "readme text"]
    );
    for (kind, message) in [
        (Link, "hard link"),
        (Char, "neither a file"),
        (Block, "neither a file"),
        (Fifo, "neither a file"),
    ] {
        let bench = Bench::new();
        let bytes = tgz(&[("x", kind, "readme", 0o644)]);
        assert_refused(&bench, bench.tgz(&bytes, &Unpack::default()), message);
    }
}
