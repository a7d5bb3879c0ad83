//! Archives that are sound, and archives that are not.

use std::io::{Read as _, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use zip::write::SimpleFileOptions;

use super::info::tests::metadata;
use super::read::{Verified, unpack};
use super::*;
use crate::interpreter::wasm::PREVIEW1;
use crate::store::record::{self, Hash, Line};
use crate::store::{Sha256, StoreError};

const FILE: &str = "cpython-3.13.5-wasi_wasm32.pybi";

/// What passes for CPython as far as one can tell without running it.
const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32)))
    (memory 1)
    (func (export "_start") (call $exit (i32.extend8_s (i32.const 0))))
    (data (i32.const 0) "PYTHONHOME\00PyImport_\00Py_Initialize"))"#;

struct Bench {
    _folder: tempfile::TempDir,
    root: Utf8PathBuf,
}

/// A name, the mode with its type, and the content.
type Entry = (String, u32, Vec<u8>);

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let tree = root.join("tree");
        for (name, bytes) in [
            ("bin/python.wasm", wat::parse_str(MODULE).unwrap()),
            ("lib/python3.13/os.py", b"pass\n".to_vec()),
            (
                "lib/python3.13/site-packages/a-1.dist-info/METADATA",
                Vec::new(),
            ),
            ("pybi-info/licenses/LICENSE", b"free\n".to_vec()),
        ] {
            std::fs::create_dir_all(tree.join(name).parent().unwrap()).unwrap();
            std::fs::write(tree.join(name), bytes).unwrap();
        }
        std::fs::create_dir(tree.join("lib/python3.13/lib-dynload")).unwrap();
        Self {
            _folder: folder,
            root,
        }
    }

    fn write(&self, folder: &str) -> Utf8PathBuf {
        let tree = self.root.join("tree");
        write::write(&tree, &pybi(), &metadata(), &self.root.join(folder)).unwrap()
    }

    /// What is in the archive, and RECORD apart from it.
    fn entries(&self) -> (Vec<Entry>, Vec<Line>) {
        let file = std::fs::File::open(self.write("good")).unwrap();
        let mut archive = zip::ZipArchive::new(file).unwrap();
        let mut entries = Vec::new();
        let mut lines = Vec::new();
        for at in 0..archive.len() {
            let mut entry = archive.by_index(at).unwrap();
            let name = entry.name().unwrap().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if name == RECORD {
                lines = record::parse(std::str::from_utf8(&bytes).unwrap()).unwrap();
            } else {
                entries.push((name, entry.unix_mode().unwrap(), bytes));
            }
        }
        (entries, lines)
    }

    /// Takes in an archive of these entries and this RECORD.
    fn unpack(&self, file: &str, entries: &[Entry], lines: &[Line]) -> Result<Verified, PybiError> {
        let path = self.root.join("bad.pybi");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        for (name, mode, bytes) in entries {
            let options = SimpleFileOptions::default().unix_permissions(mode & 0o777);
            if mode & 0o170_000 == 0o120_000 {
                let target = String::from_utf8(bytes.clone()).unwrap();
                zip.add_symlink(name, target, options).unwrap();
            } else if name.ends_with('/') {
                zip.add_directory(name, options).unwrap();
            } else {
                zip.start_file(name, options).unwrap();
                zip.write_all(bytes).unwrap();
            }
        }
        zip.start_file(RECORD, SimpleFileOptions::default())
            .unwrap();
        zip.write_all(record::format(lines).as_bytes()).unwrap();
        zip.finish().unwrap();
        let dest = self.root.join("dest");
        let _ = std::fs::remove_dir_all(&dest);
        unpack(&path, file, &dest)
    }

    /// As [`Self::unpack`], with one file changed and RECORD made to agree.
    fn with(&self, name: &str, change: impl Fn(&str) -> String) -> String {
        let (mut entries, mut lines) = self.entries();
        for (entry, _, bytes) in &mut entries {
            if entry == name {
                *bytes = change(std::str::from_utf8(bytes).unwrap()).into_bytes();
                let line = lines.iter_mut().find(|line| line.path == *name).unwrap();
                *line = Line::of(name, Sha256::of(bytes), bytes.len() as u64);
            }
        }
        error(self.unpack(FILE, &entries, &lines))
    }
}

fn pybi() -> Pybi {
    Pybi {
        generator: "pyw test".into(),
        tags: vec!["wasi_wasm32".into()],
        build: None,
        wasm: Wasm {
            module: Some("bin/python.wasm".into()),
            abi: Some(PREVIEW1.into()),
            imports: ["wasi_snapshot_preview1 sock_open".parse().unwrap()].into(),
            features: ["sign-ext".to_owned()].into(),
            library: Some("/usr/local/lib".into()),
            builtin_modules: ["sys".to_owned()].into(),
        },
    }
}

#[track_caller]
fn error(result: Result<Verified, PybiError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code(), crate::error::Code::Integrity);
    error.to_string()
}

#[track_caller]
fn assert_says(found: &str, expected: &str) {
    assert!(found.contains(expected), "{found}");
}

#[test]
fn a_pybi_is_written_the_same_twice_and_read() {
    let bench = Bench::new();
    let first = bench.write("one");
    assert_eq!(first.file_name(), Some(FILE));
    let again = bench.write("two");
    assert_eq!(
        std::fs::read(&first).unwrap(),
        std::fs::read(&again).unwrap()
    );
    let (entries, lines) = bench.entries();
    let names: Vec<&str> = entries.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "bin/python.wasm",
            "lib/python3.13/lib-dynload/",
            "lib/python3.13/os.py",
            "lib/python3.13/site-packages/a-1.dist-info/METADATA",
            "pybi-info/licenses/LICENSE",
            METADATA,
            PYBI,
        ]
    );
    let modes: Vec<u32> = entries.iter().map(|(_, mode, _)| *mode).collect();
    assert_eq!(modes[..3], [0o100_755, 0o040_755, 0o100_644]);
    assert_eq!(lines.len(), names.len());
    let read = bench.unpack(FILE, &entries, &lines).unwrap();
    assert_eq!((read.pybi, read.metadata), (pybi(), metadata()));
    assert_eq!(read.module.as_deref(), Some("bin/python.wasm"));
    assert_eq!(read.packages, ["a-1"]);
    // The tags of one platform.
    let other = "cpython-3.13.5-wasi_0_0_0_wasm32.pybi";
    assert!(bench.unpack(other, &entries, &lines).is_ok());
}

#[test]
fn the_name_of_the_file_counts() {
    let bench = Bench::new();
    let (entries, lines) = bench.entries();
    for (file, message) in [
        ("python.pybi", "its name is not NAME-VERSION"),
        (
            "pypy-3.13.5-wasi_wasm32.pybi",
            "the name of the file, pypy, and Name cpython",
        ),
        (
            "cpython-3.13.6-wasi_wasm32.pybi",
            "version 3.13.6 in the name of the file",
        ),
        (
            "cpython-3.13.5-1-wasi_wasm32.pybi",
            "the build 1 in the name of the file and Build -",
        ),
        (
            "cpython-3.13.5-wasi_0_1_0_wasm32.pybi",
            "the platform wasi_0_1_0_wasm32",
        ),
    ] {
        assert_says(&error(bench.unpack(file, &entries, &lines)), message);
    }
}

#[test]
fn a_wrong_record_is_refused() {
    let bench = Bench::new();
    let (entries, lines) = bench.entries();
    let with = |change: &dyn Fn(&mut Vec<Line>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        error(bench.unpack(FILE, &entries, &lines))
    };
    let os = lines
        .iter()
        .position(|l| l.path.ends_with("os.py"))
        .unwrap();
    for (change, message) in [
        (
            &|l: &mut Vec<Line>| drop(l.remove(os)) as _,
            "os.py\" is not in its RECORD",
        ),
        (
            &|l: &mut Vec<Line>| l[os].hash = None,
            "no hash for \"lib/python3.13/os.py\"",
        ),
        (
            &|l: &mut Vec<Line>| l[os].size = Some(6),
            "has 5 bytes where its RECORD says 6",
        ),
        (
            &|l: &mut Vec<Line>| l[os].hash = Some(Hash::Sha256(Sha256::of(b""))),
            "os.py\" has not the hash",
        ),
        (
            &|l: &mut Vec<Line>| l[os].hash = Some(Hash::Symlink("x".into())),
            "os.py\" to \"x\" of its RECORD is a file",
        ),
        (
            &|l: &mut Vec<Line>| l.push(Line::of("gone", Sha256::of(b""), 0)),
            "its RECORD names \"gone\", which is not in it",
        ),
        (&|l: &mut Vec<Line>| l.push(l[os].clone()), "os.py\" twice"),
    ] as [(&dyn Fn(&mut Vec<Line>), &str); 7]
    {
        assert_says(&with(change), message);
    }
    let missing = |name: &str| {
        let entries: Vec<Entry> = entries
            .iter()
            .filter(|(n, ..)| n != name)
            .cloned()
            .collect();
        let lines: Vec<Line> = lines.iter().filter(|l| l.path != name).cloned().collect();
        error(bench.unpack(FILE, &entries, &lines))
    };
    assert_says(
        &missing("bin/python.wasm"),
        "it has no \"bin/python.wasm\", its module",
    );
    assert_says(&missing(PYBI), "it has no pybi-info/PYBI");
    assert_says(&missing(METADATA), "it has no pybi-info/METADATA");
}

#[cfg(unix)]
#[test]
fn links_obey_the_pep() {
    let bench = Bench::new();
    let (entries, lines) = bench.entries();
    let with = |links: &[(&str, &str)], recorded: &[(&str, &str)]| {
        let (mut entries, mut lines) = (entries.clone(), lines.clone());
        for (name, target) in links {
            entries.push(((*name).to_owned(), 0o120_777, target.as_bytes().to_vec()));
        }
        lines.extend(
            recorded
                .iter()
                .map(|(name, target)| Line::link(name, target)),
        );
        bench.unpack(FILE, &entries, &lines)
    };
    let good = [("bin/python", "python.wasm"), ("share/lib", "../lib")];
    let read = with(&good, &good).unwrap();
    assert_eq!(read.links, 2);
    for (links, recorded, message) in [
        (
            &[("bin/a", "python.wasm")][..],
            &[][..],
            "\"bin/a\" is not in its RECORD",
        ),
        (
            &[],
            &[("bin/a", "python.wasm")],
            "its RECORD names \"bin/a\"",
        ),
        (
            &[("bin/a", "python.wasm")],
            &[("bin/a", "other")],
            "leads to \"python.wasm\" where its RECORD says \"other\"",
        ),
        (
            &[("bin/a", "b")],
            &[("bin/a", "b")],
            "leads to \"b\", where nothing is",
        ),
        (
            &[("bin/a", "b"), ("bin/b", "a")],
            &[("bin/a", "b"), ("bin/b", "a")],
            "leads in a circle",
        ),
        (
            &[("bin/a", "/etc/passwd")],
            &[],
            "is a symbolic link to outside",
        ),
        (
            &[("bin/a", "../../x")],
            &[],
            "is a symbolic link to outside",
        ),
        (
            &[("pybi-info/a", "../bin")],
            &[("pybi-info/a", "../bin")],
            "lies in pybi-info",
        ),
        (
            &[("a", "bin"), ("a/b", "x")],
            &[("a", "bin")],
            "to be a folder, which it is not",
        ),
    ] {
        assert_says(&error(with(links, recorded)), message);
    }
    // Links are packed as links.
    let tree = bench.root.join("tree");
    std::os::unix::fs::symlink("python.wasm", tree.join("bin/python")).unwrap();
    let (entries, lines) = bench.entries();
    assert!(lines.contains(&Line::link("bin/python", "python.wasm")));
    assert_eq!(bench.unpack(FILE, &entries, &lines).unwrap().links, 1);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let bench = Bench::new();
    for (file, from, to, message) in [
        (
            METADATA,
            "Summary",
            "Requires-Dist: a\nSummary",
            "Requires-Dist, which PEP 711 forbids",
        ),
        (
            METADATA,
            "Name:",
            "Requires-Python: >3\nName:",
            "Requires-Python, which PEP 711 forbids",
        ),
        (
            METADATA,
            "\"sys_platform\":\"wasi\"",
            "\"sys_platform\":\"linux\"",
            "the marker sys_platform",
        ),
        (
            PYBI,
            "Tag: wasi_wasm32",
            "Tag: win_amd64\nTag: wasi_wasm32",
            "it is for win_amd64",
        ),
        (
            PYBI,
            "Tag: wasi_wasm32",
            "Tag: pyemscripten_2026_0_wasm32",
            "the platform wasi_wasm32",
        ),
        (
            PYBI,
            "Tag: wasi_wasm32",
            "Tag: wasi_wasm32\nTag: pyemscripten_2026_0_wasm32",
            "Tag wasi_wasm32 in PYBI and Tag pyemscripten_2026_0_wasm32 contradict",
        ),
        (
            PYBI,
            "Wasm-ABI: wasi_snapshot_preview1",
            "Wasm-ABI: emscripten",
            "its Wasm-ABI, emscripten",
        ),
        (
            PYBI,
            "Wasm-Module: bin/python.wasm",
            "Wasm-Module: bin/p",
            "it has no \"bin/p\", its module",
        ),
        (
            PYBI,
            "Wasm-Module: bin/python.wasm",
            "Wasm-Module: lib/python3.13/os.py",
            "it looks like text",
        ),
        (
            PYBI,
            "Wasm-Import: wasi_snapshot_preview1 sock_open\n",
            "",
            "imports wasi_snapshot_preview1 sock_open beyond",
        ),
        (
            PYBI,
            "Wasm-Feature: sign-ext",
            "Wasm-Feature: threads",
            "which uses sign-ext",
        ),
    ] {
        let text = |t: &str| {
            let t = match file {
                METADATA => t.replace("Version: 3.13.5\n", "Version: 3.13.5\nSummary: x\n"),
                _ => t.to_owned(),
            };
            assert!(t.contains(from), "{from}");
            t.replacen(from, to, 1)
        };
        assert_says(&bench.with(file, text), message);
    }
}

#[test]
fn a_module_for_another_system_is_refused() {
    let bench = Bench::new();
    for (module, message) in [
        (
            "(module (func (export \"_initialize\")))",
            "a WebAssembly library (reactor)",
        ),
        (
            "(module (import \"env\" \"now\" (func)))",
            "an Emscripten module",
        ),
        (
            "(module (func (export \"_start\")))",
            "does not seem to hold CPython",
        ),
    ] {
        let path = bench.root.join("tree/bin/python.wasm");
        std::fs::write(&path, wat::parse_str(module).unwrap()).unwrap();
        let (entries, lines) = bench.entries();
        let found = error(bench.unpack(FILE, &entries, &lines));
        assert_says(&found, "bin/python.wasm does not fit the tag wasi_wasm32");
        assert_says(&found, message);
    }
}

#[test]
fn cut_off_archives_are_refused() {
    let bench = Bench::new();
    let path = bench.write("good");
    let bytes = std::fs::read(&path).unwrap();
    for end in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..end]).unwrap();
        let dest = bench.root.join(format!("dest{end}"));
        let error = unpack(Utf8Path::new(&path), FILE, &dest).unwrap_err();
        assert!(
            matches!(error, PybiError::Store(StoreError::Archive { .. })),
            "{error}"
        );
    }
}
