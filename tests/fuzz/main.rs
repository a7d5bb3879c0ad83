//! Every parser that reads bytes of strangers is given mutated ones: it may refuse them, and must
//! neither panic nor hang.
//!
//! `PROPTEST_CASES=1000000 cargo test --release --test fuzz` runs for longer.
//! With 200000 cases a parser of text and 4000 to 25000 an archive, about 2.7 million in all, what was
//! found is mended: a folded header of a pybi kept a space.

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use pyw::config::{Config as Settings, Inputs, Partial, ScriptHeader};
use pyw::interpreter::adapt::{self, Adaptation};
use pyw::interpreter::{pybi, wasm};
use pyw::package::{entry_points, filename, lock, metadata, page, requirement, script, wheel};
use pyw::store::Sha256;
use pyw::store::fetch::Page;
use pyw::store::record;
use pyw::store::unpack::{self, Format, Unpack};

/// How often each parser is tried where `PROPTEST_CASES` does not say.
const CASES: u32 = 400;

/// One change of the bytes; places are parts of 2^16, so that they fit texts of any length.
#[derive(Clone, Debug)]
enum Edit {
    Flip(u16, u8),
    Cut(u16, u8),
    Insert(u16, Vec<u8>),
    Repeat(u16, u8, u8),
}

/// What a parser may treat in a way of its own.
const WORDS: [&str; 16] = [
    "\0",
    "\n",
    "\r\n",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "\\",
    "# ///",
    "\u{feff}",
    "\u{202e}",
    "99999999999999999999",
    "../",
    "-1",
];

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Edit::Flip(at, byte)),
        (any::<u16>(), any::<u8>()).prop_map(|(at, count)| Edit::Cut(at, count)),
        (any::<u16>(), 0..WORDS.len()).prop_map(|(at, word)| Edit::Insert(at, WORDS[word].into())),
        (any::<u16>(), prop::collection::vec(any::<u8>(), 0..8))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (any::<u16>(), any::<u8>(), any::<u8>())
            .prop_map(|(at, count, times)| Edit::Repeat(at, count, times)),
    ]
}

fn apply(seed: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for edit in edits {
        let place = |at: &u16| usize::from(*at) * bytes.len() / 65536;
        match edit {
            Edit::Flip(at, byte) => {
                let at = place(at);
                if let Some(found) = bytes.get_mut(at) {
                    *found = *byte;
                }
            }
            Edit::Cut(at, count) => {
                let at = place(at);
                let end = (at + usize::from(*count)).min(bytes.len());
                bytes.drain(at..end);
            }
            Edit::Insert(at, what) => {
                let at = place(at);
                bytes.splice(at..at, what.iter().copied());
            }
            Edit::Repeat(at, count, times) => {
                let at = place(at);
                let end = (at + usize::from(*count)).min(bytes.len());
                let part = bytes[at..end].repeat(usize::from(*times));
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// Gives the parser each seed, changed in all ways.
fn fuzz(seeds: &[&[u8]], parse: impl Fn(&[u8])) {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut runner = TestRunner::new(Config {
        cases: cases.unwrap_or(CASES),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    });
    seeds.iter().for_each(|seed| parse(seed));
    let input = (0..seeds.len(), prop::collection::vec(edit(), 0..12));
    let result = runner.run(&input, |(seed, edits)| {
        parse(&apply(seeds[seed], &edits));
        Ok(())
    });
    if let Err(why) = result {
        panic!("{why}");
    }
}

fn text(parse: impl Fn(&str)) -> impl Fn(&[u8]) {
    move |bytes| parse(&String::from_utf8_lossy(bytes))
}

const SCRIPT: &[u8] = b"#!/usr/bin/env pyw\n# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\"rich>=1; python_version < '3.13'\"]\n# [tool.pyw]\n# x = 1\n# ///\nprint(1)\n";
const REQUIREMENTS: [&[u8]; 4] = [
    b"rich[a,b]>=13,<14 ; python_version >= '3.8' and (sys_platform == 'linux' or extra == 'x')",
    b"x @ https://example.org/x-1.0-py3-none-any.whl#sha256=00 ; os_name != 'nt'",
    b"name (==1.0.*)",
    b"./dist/x-1.0-py3-none-any.whl",
];

#[test]
fn script_headers() {
    fuzz(&[SCRIPT], |bytes| {
        drop(script::scan(Utf8Path::new("x.py"), bytes))
    });
}

#[test]
fn requirements_and_markers() {
    fuzz(
        &REQUIREMENTS,
        text(|text| {
            let _ = requirement::Requirement::parse(text, Utf8Path::new("/base"));
            let _ = requirement::Requirement::parse_lenient(text);
            let _ = requirement::parse_specifiers(text);
        }),
    );
}

#[test]
fn file_names() {
    fuzz(
        &[
            b"rich-13.7.1-py3-none-any.whl",
            b"a_b-1!2.0.post1+local.1-1build-cp312.cp313-abi3-wasi_0_1_wasm32.any.whl",
        ],
        text(|text| {
            let _ = filename::WheelName::parse(text);
            let _ = filename::parse_version(text);
        }),
    );
}

#[test]
fn records() {
    fuzz(&[b"a/b.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\r\n\"a,\"\"b\".py,,\nx-1.dist-info/RECORD,,\n"], text(|text| drop(record::parse(text))));
}

#[test]
fn metadata_files() {
    fuzz(&[b"Metadata-Version: 2.4\nName: x\nVersion: 1.0\nRequires-Python: >=3.8\nRequires-Dist: y>=1; extra == 'z'\nProvides-Extra: z\n folded\n\nBody: text\n"], |bytes| drop(metadata::Metadata::parse(bytes)));
}

#[test]
fn entry_point_files() {
    fuzz(
        &[b"[console_scripts]\na = b.c:d.e [extra]\n; comment\n[x.y]\nz=w\n"],
        text(|text| drop(entry_points::parse(text))),
    );
}

#[test]
fn locks() {
    let lock = b"lock-version = '1.0'\nrequires-python = '>=3.11'\ncreated-by = 'x'\n[[packages]]\nname = 'a'\nversion = '1.0'\nmarker = \"sys_platform == 'linux'\"\n[[packages.wheels]]\nname = 'a-1.0-py3-none-any.whl'\nurl = 'https://e.org/a-1.0-py3-none-any.whl'\nsize = 3\n[packages.wheels.hashes]\nsha256 = 'c3fab56da31d4ff4ff31a056c5482d201df3321cf52871b388ff326e64d29da3'\n";
    fuzz(
        &[lock],
        text(|text| drop(lock::Lock::parse(Utf8Path::new("pylock.toml"), text))),
    );
}

#[test]
fn index_pages() {
    let json = br#"{"meta":{"api-version":"1.4"},"name":"a","files":[{"filename":"a-1-py3-none-any.whl","url":"../a.whl","hashes":{"sha256":"c3fab56da31d4ff4ff31a056c5482d201df3321cf52871b388ff326e64d29da3"},"requires-python":">=3.8","size":7,"yanked":"bad","upload-time":"2024-01-01T00:00:00Z"}]}"#;
    let html = b"<!DOCTYPE html><base href='/x/'><!-- c --><a href=\"a-1-py3-none-any.whl#sha256=00\" data-requires-python='&gt;=3.8' data-yanked>a-1</a><A HREF=x.tar.gz>";
    for (kind, body) in [
        ("application/vnd.pypi.simple.v1+json", json.as_slice()),
        ("text/html", html.as_slice()),
    ] {
        let url: reqwest::Url = "https://e.org/simple/a/".parse().unwrap();
        fuzz(&[body], |bytes| {
            let _ = page::read(&Page {
                url: url.clone(),
                content_type: kind.to_owned(),
                body: bytes.to_vec(),
            });
        });
    }
}

#[test]
fn descriptors() {
    let seeds: Vec<Vec<u8>> = [
        "wasmtime",
        "wasmer",
        "wasmedge",
        "node",
        "deno",
        "node-wasi",
    ]
    .iter()
    .map(|name| {
        std::fs::read(format!(
            "{}/runtimes/{name}.toml",
            env!("CARGO_MANIFEST_DIR")
        ))
        .unwrap()
    })
    .collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    fuzz(
        &seeds,
        text(|text| {
            if let Ok(parsed) = pyw::runtime::descriptor::Text::parse(text) {
                let _ = parsed.for_version(None);
            }
        }),
    );
}

#[test]
fn wasm_modules() {
    let module = wat::parse_str(
        r#"(module
            (type (func (param i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "fd_fdstat_get" (func (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff" (func (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2) (global $sp (mut i32) (i32.const 1024))
            (table 2 funcref) (elem (i32.const 0) $exit) (data (i32.const 8) "data")
            (func (export "_start") i32.const 3 call $exit))"#,
    )
    .unwrap();
    let all: BTreeSet<Adaptation> = Adaptation::ALL.into_iter().collect();
    fuzz(&[&module], |bytes| {
        let _ = wasm::inspect(bytes);
        let _ = adapt::adapt(bytes, &all);
    });
}

const PYBI_FILE: &str = "cpython-3.13.5-wasi_wasm32.pybi";

const PYBI: &str = "Pybi-Version: 1.0\nGenerator: pyw test\nTag: wasi_wasm32\nWasm-Module: bin/python.wasm\nWasm-ABI: wasi_snapshot_preview1\nWasm-Import: wasi_snapshot_preview1 sock_open\nWasm-Feature: sign-ext\nWasm-Library: /usr/local/lib\nWasm-Builtin-Modules: sys zlib\n";

const PYBI_METADATA: &str = r#"Metadata-Version: 2.2
Name: cpython
Version: 3.13.5
Pybi-Environment-Marker-Variables: {"implementation_name":"cpython","os_name":"posix","platform_python_implementation":"CPython","platform_system":"wasi","python_full_version":"3.13.5","python_version":"3.13","sys_platform":"wasi"}
Pybi-Paths: {"data":"lib","include":"lib","platinclude":"lib","platlib":"lib","platstdlib":"lib","purelib":"lib","scripts":"lib","stdlib":"lib"}
Pybi-Wheel-Tag: cp313-cp313-PLATFORM
Pybi-Wheel-Tag: py3-none-any
"#;

#[test]
fn texts_of_pybis() {
    pybi::Pybi::parse(PYBI).unwrap();
    pybi::Metadata::parse(PYBI_METADATA).unwrap();
    fuzz(
        &[
            PYBI.as_bytes(),
            PYBI_METADATA.as_bytes(),
            PYBI_FILE.as_bytes(),
        ],
        text(|text| {
            if let Ok(pybi) = pybi::Pybi::parse(text) {
                assert_eq!(pybi::Pybi::parse(&pybi.text()).unwrap(), pybi);
            }
            if let Ok(metadata) = pybi::Metadata::parse(text) {
                assert_eq!(pybi::Metadata::parse(&metadata.text()).unwrap(), metadata);
            }
            let _ = pybi::PybiName::parse(text);
        }),
    );
}

/// What passes for CPython as far as one can tell without running it.
const PYTHON: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32)))
    (memory 1)
    (func (export "_start") (call $exit (i32.extend8_s (i32.const 0))))
    (data (i32.const 0) "PYTHONHOME\00PyImport_\00Py_Initialize"))"#;

/// Both the bytes of an archive, and one whose parts were changed and whose RECORD agrees.
#[test]
fn pybis() {
    use support::zip::{Entry, zip};
    let parts: Vec<(&str, Vec<u8>)> = vec![
        ("bin/python.wasm", wat::parse_str(PYTHON).unwrap()),
        ("lib/python3.13/os.py", b"pass\n".to_vec()),
        ("pybi-info/PYBI", PYBI.into()),
        ("pybi-info/METADATA", PYBI_METADATA.into()),
        ("pybi-info/RECORD", Vec::new()),
        ("lib/link", b"python3.13/os.py".to_vec()),
    ];
    let archive = |changed: usize, bytes: &[u8]| {
        let mut entries = Vec::new();
        let mut lines = Vec::new();
        for (at, (name, body)) in parts.iter().enumerate() {
            let body = if at == changed { bytes } else { body };
            match *name {
                "pybi-info/RECORD" => continue,
                "lib/link" => {
                    let target = String::from_utf8_lossy(body);
                    lines.push(record::Line::link(name, &target));
                    entries.push(Entry::link(name, &target));
                }
                _ => {
                    let sha256 = Sha256::of(body);
                    lines.push(record::Line::of(name, sha256, body.len() as u64));
                    entries.push(Entry::file(name, body));
                }
            }
        }
        let told = record::format(&lines);
        let told = if changed == 4 { bytes } else { told.as_bytes() };
        entries.push(Entry::file("pybi-info/RECORD", told));
        zip(&entries)
    };
    let scratch = support::Scratch::new();
    let file = scratch.path.join(PYBI_FILE);
    let dest = scratch.path.join("out");
    let take_in = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let _ = std::fs::remove_dir_all(&dest);
        let taken = pybi::read::unpack(&file, PYBI_FILE, &dest).map(drop);
        let mut left = support::names(&scratch.path);
        left.retain(|name| name != "out" && name != "store" && !name.ends_with(".pybi"));
        assert!(left.is_empty(), "it wrote outside: {left:?}");
        taken
    };
    let whole = archive(usize::MAX, b"");
    take_in(&whole).unwrap();
    fuzz(&[&whole], |bytes| drop(take_in(bytes)));
    for (at, (name, body)) in parts.iter().enumerate() {
        let seed = match *name {
            "pybi-info/RECORD" => {
                b"lib/python3.13/os.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,5\n"
            }
            _ => body.as_slice(),
        };
        fuzz(&[seed], |bytes| drop(take_in(&archive(at, bytes))));
    }
}

/// What `pyw.toml` and a script's header say, and what the user would be shown of it.
#[test]
fn settings_of_strangers() {
    let seed = b"runtime = 'wasmtime'\nmemory = '64M'\ntimeout = '1m 30s'\nopen-files = 64\nnetwork = 'host'\nmounts = ['data', '/srv/x:/y:rw', '~/z:ro']\nenv = ['A', 'B=c']\n";
    fuzz(
        &[seed],
        text(|toml| {
            let loaded = Settings::load(&Inputs {
                cwd: Utf8Path::new("/nonexistent"),
                home: Some(Utf8Path::new("/nonexistent/home")),
                user_config_dir: None,
                env: &|_| None,
                script: Some(ScriptHeader {
                    path: Utf8Path::new("/nonexistent/x.py"),
                    toml,
                    text: toml,
                }),
                cli: Partial::default(),
            });
            match loaded {
                Ok(settings) => {
                    for asks in &settings.asks {
                        for (what, flag) in asks.rows() {
                            assert!(!what.contains(char::is_control), "{what:?}");
                            assert!(!flag.contains(char::is_control), "{flag:?}");
                        }
                    }
                }
                Err(error) => drop(error.to_string()),
            }
        }),
    );
}

#[test]
fn tars() {
    use std::io::Write as _;
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(5);
    header.set_mode(0o644);
    builder
        .append_data(&mut header.clone(), "package/a.txt", &b"hello"[..])
        .unwrap();
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Symlink);
    builder
        .append_link(&mut header, "package/link", "a.txt")
        .unwrap();
    let seed = builder.into_inner().unwrap();
    let scratch = support::Scratch::new();
    let file = scratch.path.join("x.tgz");
    let dest = scratch.path.join("out");
    fuzz(&[&seed], |bytes| {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(bytes).unwrap();
        std::fs::write(&file, gz.finish().unwrap()).unwrap();
        let _ = std::fs::remove_dir_all(&dest);
        let _ = unpack::unpack(Format::Tgz, &file, &dest, &Unpack::default());
        let mut left = support::names(&scratch.path);
        left.retain(|name| name != "out" && name != "store" && name != "x.tgz");
        assert!(left.is_empty(), "it wrote outside: {left:?}");
    });
}

#[test]
fn wheels() {
    let scratch = support::Scratch::new();
    let seed = support::archive::Made::new("fuzzed", "1.0")
        .with("fuzzed/__init__.py", "x = 1\n")
        .bytes();
    let file: Utf8PathBuf = scratch.path.join("fuzzed-1.0-py3-none-any.whl");
    let dest = scratch.path.join("out");
    fuzz(&[&seed], |bytes| {
        std::fs::write(&file, bytes).unwrap();
        let _ = std::fs::remove_dir_all(&dest);
        std::fs::create_dir(&dest).unwrap();
        let _ = wheel::unpack(&file, "fuzzed-1.0-py3-none-any.whl", &dest);
        let mut left = support::names(&scratch.path);
        left.retain(|name| name != "out" && name != "store" && !name.ends_with(".whl"));
        assert!(left.is_empty(), "it wrote outside: {left:?}");
    });
}
