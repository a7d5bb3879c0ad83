//! Pybis: packed from every layout, verified, taken from indexes; and what is wrong with others.
//!
//! The interpreter is the default one of the shared store, the 3.12.0 whose library was inside its
//! module.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pyw::store::Sha256;
use pyw::store::record::{self, Line};
use wasm_encoder::reencode::{self, Reencode};

use crate::pyw::Pyw;
use crate::store;
use crate::support::server::{File, Reply, Server};

const FILE: &str = "cpython-3.12.0-wasi_wasm32.pybi";

/// The default interpreter as a pybi, packed once.
fn packed() -> &'static [u8] {
    static PACKED: OnceLock<Vec<u8>> = OnceLock::new();
    PACKED.get_or_init(|| {
        let pyw = Pyw::new()
            .args(["python", "-q", "pack", "cpython-3.12.0", "-o", "out"])
            .stdout(&format!("out/{FILE}\n"))
            .run();
        std::fs::read(pyw.dir().join("out").join(FILE)).unwrap()
    })
}

/// Packs `source` and compares the archive with the one that the installed interpreter makes.
fn packs_to_the_same(pyw: Pyw, source: &str) -> Pyw {
    let pyw = pyw
        .args(["python", "-q", "pack", source, "-o", "again"])
        .stdout(&format!("again/{FILE}\n"))
        .run();
    let again = std::fs::read(pyw.dir().join("again").join(FILE)).unwrap();
    // Not `assert_eq`, which would print megabytes.
    assert!(again == packed(), "{source} makes another archive");
    pyw
}

type Files = Vec<(String, Vec<u8>)>;

fn files() -> Files {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(packed())).unwrap();
    let mut files = Files::new();
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).unwrap();
        if entry.is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.push((entry.name().unwrap().into_owned(), bytes));
        }
    }
    files
}

/// The pybi with a text of it changed.
fn changed(name: &str, from: &str, to: &str) -> Vec<u8> {
    changed_by(&|path, bytes| match path == name {
        true => {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "{text}");
            text.replace(from, to).into_bytes()
        }
        false => bytes,
    })
}

/// The pybi with other files, and a RECORD that agrees.
fn changed_by(change: &dyn Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut lines = Vec::new();
    for (path, bytes) in files() {
        let mut bytes = change(&path, bytes);
        if path == "pybi-info/RECORD" {
            lines.push(Line::bare(&path));
            bytes = record::format(&lines).into_bytes();
        } else {
            lines.push(Line::of(&path, Sha256::of(&bytes), bytes.len() as u64));
        }
        zip.start_file(path, options).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn packing_again_makes_the_same_bytes() {
    let pyw = packs_to_the_same(Pyw::new().write_bytes(FILE, packed()), "cpython-3.12.0");
    packs_to_the_same(pyw, FILE);
}

#[test]
fn other_layouts_make_the_same_bytes() {
    let module = |files: &mut Files, name: &str| {
        let module = files.iter_mut().find(|(path, _)| path == "bin/python.wasm");
        module.unwrap().0 = name.to_owned();
        files.retain(|(path, _)| !path.starts_with("pybi-info") && !path.contains("__pycache__"));
    };
    // A release zip.
    let mut release = files();
    module(&mut release, "python.wasm");
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, bytes) in &release {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(path, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    let pyw = Pyw::new().write_bytes("release.zip", &zip);
    let pyw = packs_to_the_same(pyw, "release.zip");
    // A folder with the module, and the module beside its library.
    let mut pyw = pyw;
    for (path, bytes) in &release {
        let path = Path::new("folder").join(path);
        pyw = pyw.mkdir(path.parent().unwrap()).write_bytes(path, bytes);
    }
    let pyw = packs_to_the_same(pyw, "./folder");
    let pyw = packs_to_the_same(pyw, "folder/python.wasm");
    // CPython's own package.
    let mut package = files();
    module(&mut package, "lib-wasm/python3.12.wasm");
    let encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0));
    let mut tar = tar::Builder::new(encoder.unwrap());
    let top = "python-3.12.0-wasm32-wasip1";
    for (path, bytes) in &package {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{top}/{path}"), bytes.as_slice())
            .unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(
        &mut header,
        format!("{top}/bin/python3.wasmtime"),
        "python3.12.wasmtime",
    )
    .unwrap();
    let tarball = tar.into_inner().unwrap().finish().unwrap();
    let name = format!("{top}.tar.xz");
    packs_to_the_same(pyw.write_bytes(&name, &tarball), &name);
}

#[test]
fn a_pybi_is_verified_inspected_and_installed() {
    let pyw = Pyw::with_own_store()
        .write_bytes(FILE, packed())
        .args(["python", "verify", FILE])
        .stdout(&format!(
            "{FILE} is sound: CPython 3.12.0 for wasi_wasm32, [..] files, 0 links\n"
        ))
        .run()
        .args(["python", "inspect", FILE])
        .stdout(
            "name                  cpython\n\
             version               3.12.0\n\
             platform              wasi_wasm32\n\
             made by               pyw [..]\n\
             files                 [..], 0 links\n\
             best wheel tag        cp312-cp312-PLATFORM\n\
             library expected at   /usr/local/lib\n\
             packages              -\n\
             built-in modules      _abc [..]\n\
             module                bin/python.wasm\n\
             kind                  command\n\
             imports               wasi_snapshot_preview1 (43)\n\
             memory at start       [..]\n\
             beyond preview 1      -\n\
             provided by           wasmtime wasmer wasmedge\n\
             features              [..]\n\
             can be run            yes\n",
        )
        .run()
        .args(["python", "inspect", FILE, "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|found| {
            assert_eq!(found["pybi"]["tags"], serde_json::json!(["wasi_wasm32"]));
            assert_eq!(found["pybi"]["wasm"]["abi"], "wasi_snapshot_preview1");
            assert_eq!(found["metadata"]["markers"]["sys_platform"], "wasi");
            assert_eq!(found["metadata"]["paths"]["stdlib"], "lib/python3.12");
            assert_eq!(found["metadata"]["wheel_tags"][0], "cp312-cp312-PLATFORM");
            assert_eq!(found["module_info"]["kind"], "command");
        })
        .args(["python", "-q", "install", FILE])
        .stdout("CPython 3.12.0 is installed as cpython-3.12.0-wasi_wasm32-[..]\n")
        .run();
    // Its byte code is taken over where the sources are the same.
    let compiled = "lib/python3.12/__pycache__/os.cpython-312.pyc";
    let (_, bytes) = files()
        .into_iter()
        .find(|(path, _)| path == compiled)
        .unwrap();
    let installed = |pyw: &Pyw| -> PathBuf {
        let all = std::fs::read_dir(pyw.store().join("interpreters")).unwrap();
        let all = all.flatten().map(|entry| entry.path());
        let mut all = all.filter(|path| {
            !store::shared()
                .interpreter
                .ends_with(path.file_name().unwrap())
        });
        all.next().unwrap()
    };
    assert_eq!(
        std::fs::read(installed(&pyw).join(compiled)).unwrap(),
        bytes
    );
    pyw.args([
        "--python",
        FILE,
        "-c",
        "import sys, zlib; print(zlib.crc32(b'a'), sys.path[-1])",
    ])
    .stdout("3904355907 /usr/local/lib/python3.12/lib-dynload\n")
    .run();
}

#[test]
fn pybis_come_from_folders_indexes_and_addresses() {
    let sha256 = Sha256::of(packed());
    let wrong = Sha256::of(b"");
    let other = "cpython-3.11.9-wasi_wasm32.pybi";
    let file = File::new(packed());
    let server = Server::start(move |request| match request.path.as_str() {
        "/simple/cpython/" => Reply::Page(
            "application/vnd.pypi.simple.v1+json",
            format!(
                r#"{{"meta":{{"api-version":"1.0"}},"files":[
                {{"filename":"{FILE}","url":"/files/{FILE}","hashes":{{"sha256":"{sha256}"}}}},
                {{"filename":"{other}","url":"/files/{FILE}","hashes":{{"sha256":"{wrong}"}}}},
                {{"filename":"cpython-3.13.0-win_amd64.pybi","url":"x","hashes":{{}}}}]}}"#
            ),
        ),
        "/links" => Reply::Page("text/html", format!("<a href='files/{FILE}'>it</a>")),
        path if path.starts_with("/files/") => Reply::File(file.clone()),
        _ => Reply::Status(404, Vec::new()),
    });
    let installed = "CPython 3.12.0 is installed as cpython-3.12.0-wasi_wasm32-[..]\n";
    let index = server.url("/simple");
    let address = server.url(&format!("/files/{FILE}"));
    let pyw = Pyw::with_own_store()
        .mkdir("pybis")
        .write_bytes(format!("pybis/{FILE}"), packed())
        .args([
            "python",
            "-q",
            "install",
            "cpython>=3.11",
            "--index",
            "pybis",
        ])
        .stdout(installed)
        .run()
        .args([
            "python",
            "-q",
            "install",
            "cpython>=3.13",
            "--index",
            "pybis",
        ])
        .stderr(&format!(
            "pyw: {{dir}}/pybis has no cpython>=3.13 for WASI or Emscripten\nhint: it has {FILE}\n"
        ))
        .code(111)
        .run()
        .args([
            "python",
            "-q",
            "install",
            "cpython>=3.12",
            "--index",
            "nowhere",
        ])
        .stderr(
            "pyw: `nowhere` is neither a folder nor the address of an index: there is no such \
             folder\nhint: say --index FOLDER or --index https://…\n",
        )
        .code(2)
        .run();
    // What is there already would be taken without a look at the index's file.
    for (which, index) in [
        ("3.12", Some(index.clone())),
        ("cpython", Some(server.url("/links"))),
        (&address, None),
    ] {
        let mut args = vec!["python", "-q", "install", which];
        if let Some(index) = &index {
            args.extend(["--index", index]);
        }
        Pyw::with_own_store().args(args).stdout(installed).run();
    }
    let pinned = format!("{address}#sha256={wrong}");
    pyw.args([
        "python",
        "-q",
        "install",
        "cpython==3.11.*",
        "--index",
        &index,
    ])
    .stderr(&format!(
        "pyw: {other} could not be downloaded from [..]: the sha256 should be {wrong} but is \
             {sha256}\nhint: the bytes were thrown away[..]\n"
    ))
    .code(114)
    .run()
    .args(["python", "-q", "install", &pinned])
    .stderr(&format!(
        "pyw: {FILE} could not be downloaded from [..]: the sha256 should be {wrong} but is \
             {sha256}\nhint: the bytes were thrown away[..]\n"
    ))
    .code(114)
    .run()
    .args(["python", "install", "--offline", &address])
    .stderr(&format!(
        "pyw: {FILE} is not in the store and --offline forbids to download it from [..]\n\
             hint: run it once without --offline\n"
    ))
    .code(113)
    .run();
}

#[test]
fn wrong_pybis_are_refused_and_leave_nothing() {
    let refused = "hint: nothing of it was kept; take another build, and tell those who made it. \
                   `pyw python pack` makes a sound one of a build that runs\n";
    let before = |pyw: &Pyw| {
        let all = std::fs::read_dir(pyw.store().join("interpreters")).unwrap();
        all.count()
    };
    let forbidden = changed("pybi-info/METADATA", "Name:", "Requires-Dist: six\nName:");
    let pyw = Pyw::with_own_store().write_bytes(FILE, &forbidden);
    let count = before(&pyw);
    let message = format!(
        "pyw: the pybi {FILE} is refused: its METADATA has Requires-Dist, which PEP 711 forbids\n{refused}"
    );
    let pyw = pyw
        .args(["python", "-q", "verify", FILE])
        .stderr(&message)
        .code(114)
        .run()
        .args(["python", "-q", "install", FILE])
        .stderr(&message)
        .code(114)
        .run()
        .args(["-q", "--python", FILE, "-c", "1"])
        .stderr(&message)
        .code(114)
        .run();
    // What only the interpreter itself can deny.
    let lies = changed(
        "pybi-info/METADATA",
        "\"os_name\":\"posix\"",
        "\"os_name\":\"nt\"",
    );
    let pyw = pyw
        .write_bytes(FILE, &lies)
        .args(["python", "-q", "verify", FILE])
        .any_stdout()
        .run()
        .args(["python", "-q", "install", FILE])
        .stderr(&format!(
            "pyw: the pybi {{dir}}/{FILE} is refused: the marker os_name in METADATA, \"nt\", and \
             what the interpreter itself says, \"posix\", contradict each other\n{refused}"
        ))
        .code(114)
        .run();
    // A module that another runtime is built for.
    let foreign = changed(
        "pybi-info/PYBI",
        "Wasm-Feature:",
        "Wasm-Import: wasi_snapshot_preview1 sock_open\nWasm-Feature:",
    );
    let pyw = pyw
        .write_bytes(FILE, &foreign)
        .args(["python", "-q", "install", FILE])
        .stderr(&format!(
            "pyw: the pybi {FILE} is refused: Wasm-Import in PYBI (wasi_snapshot_preview1 \
             sock_open) and its module, which imports nothing beyond wasi_snapshot_preview1, \
             contradict each other\n{refused}"
        ))
        .code(114)
        .run()
        .write_bytes("python-3.14.1-wasi_sdk-24.zip", b"PK")
        .args(["python", "-q", "install", "python-3.14.1-wasi_sdk-24.zip"])
        .stderr(
            "pyw: python-3.14.1-wasi_sdk-24.zip is known not to work: its standard library was \
             packed wrongly, so that no Python starts from it (https://github.com/brettcannon/\
             cpython-wasi-build/issues/11)\nhint: take another version of it\n",
        )
        .code(116)
        .run()
        .args(["python", "verify", "gone.pybi"])
        .stderr("pyw: there is no file or folder `{dir}/gone.pybi`\n")
        .code(111)
        .run()
        .args(["python", "pack", "./gone", "-o", "out"])
        .stderr("pyw: there is no file or folder `{dir}/gone`\n")
        .code(111)
        .run();
    // What does not hold together, each as a user meets it.
    let swapped = Change {
        renamed: &|name| name.replace("-wasi_wasm32", "-pyemscripten_2026_0_wasm32"),
        ..Change::default()
    };
    let escaping = Change {
        link: Some(("lib/away", "../../outside")),
        ..Change::default()
    };
    let without = Change {
        dropped: Some("bin/python.wasm"),
        ..Change::default()
    };
    let torn = Change {
        torn: Some("lib/python3.12/os.pyc"),
        ..Change::default()
    };
    let mut pyw = pyw;
    let is_refused =
        |file: &str, fault: &str| format!("pyw: the pybi {file} is refused: {fault}\n{refused}");
    for (change, message) in [
        (
            torn,
            is_refused(
                FILE,
                "\"lib/python3.12/os.pyc\" has not the hash that its RECORD says",
            ),
        ),
        (
            without,
            is_refused(FILE, "it has no \"bin/python.wasm\", its module"),
        ),
        (
            escaping,
            format!(
                "pyw: the archive {FILE} cannot be unpacked: the entry \"lib/away\" is a symbolic \
                 link to outside\n"
            ),
        ),
        (
            swapped,
            is_refused(
                "cpython-3.12.0-pyemscripten_2026_0_wasm32.pybi",
                "the platform pyemscripten_2026_0_wasm32 in the name of the file and Tag \
                 wasi_wasm32 in PYBI contradict each other",
            ),
        ),
    ] {
        let file = (change.renamed)(FILE);
        pyw = pyw
            .write_bytes(&file, &change.pybi())
            .args(["python", "-q", "install", &file])
            .stderr(&message)
            .code(114)
            .run();
    }
    assert_eq!(before(&pyw), count);
    assert!(!pyw.dir().join("out").exists());
}

/// What is wrong with a pybi as an archive.
struct Change<'a> {
    /// The file's name.
    renamed: &'a dyn Fn(&str) -> String,
    /// A symbolic link that is added, with its target.
    link: Option<(&'a str, &'a str)>,
    /// A file that is not there.
    dropped: Option<&'a str>,
    /// A file that is another one than its RECORD says, of the same size.
    torn: Option<&'a str>,
}

impl Default for Change<'_> {
    fn default() -> Self {
        Self {
            renamed: &str::to_owned,
            link: None,
            dropped: None,
            torn: None,
        }
    }
}

impl Change<'_> {
    fn pybi(&self) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        for (path, mut bytes) in files() {
            if path == "pybi-info/RECORD" {
                let mut lines = record::parse(std::str::from_utf8(&bytes).unwrap()).unwrap();
                lines.retain(|line| Some(line.path.as_str()) != self.dropped);
                lines.extend(self.link.map(|(at, target)| Line::link(at, target)));
                bytes = record::format(&lines).into_bytes();
            }
            if self.torn == Some(&path) {
                bytes[0] ^= 1;
            }
            if self.dropped != Some(&path) {
                zip.start_file(path, options).unwrap();
                zip.write_all(&bytes).unwrap();
            }
        }
        if let Some((at, target)) = self.link {
            zip.add_symlink(at, target, options).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }
}

/// Adds an import that only WasmEdge provides and that nobody calls: all other functions move up.
struct Importing {
    imported: u32,
    /// The type `(i32, i32) -> i32`.
    ty: u32,
}

impl Reencode for Importing {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error<Self::Error>> {
        Ok(index + u32::from(index >= self.imported))
    }

    fn parse_import_section(
        &mut self,
        imports: &mut wasm_encoder::ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        reencode::utils::parse_import_section(self, imports, section)?;
        let ty = wasm_encoder::EntityType::Function(self.ty);
        imports.import("wasi_snapshot_preview1", "sock_listen", ty);
        Ok(())
    }
}

fn importing(module: &[u8]) -> Vec<u8> {
    let mut adder = Importing { imported: 0, ty: 0 };
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            wasmparser::Payload::TypeSection(types) => {
                let two = [wasmparser::ValType::I32; 2];
                let mut types = types.into_iter_err_on_gc_types();
                let fits =
                    |ty: &wasmparser::FuncType| ty.params() == two && ty.results() == &two[1..];
                adder.ty = types.position(|ty| fits(&ty.unwrap())).unwrap() as u32;
            }
            wasmparser::Payload::ImportSection(section) => {
                adder.imported = section.into_imports().count() as u32;
            }
            _ => {}
        }
    }
    let mut out = wasm_encoder::Module::new();
    adder
        .parse_core_module(&mut out, wasmparser::Parser::new(0), module)
        .unwrap();
    out.finish()
}

/// The pybi for WasmEdge alone.
fn for_wasmedge() -> Vec<u8> {
    changed_by(&|path, bytes| match path {
        "bin/python.wasm" => importing(&bytes),
        "pybi-info/PYBI" => {
            let added = b"Wasm-Import: wasi_snapshot_preview1 sock_listen\n";
            [bytes.as_slice(), added].concat()
        }
        _ => bytes,
    })
}

#[test]
fn a_build_for_one_runtime_is_run_by_that_one() {
    let pyw = Pyw::with_own_store()
        .write_bytes(FILE, &for_wasmedge())
        .args(["python", "-q", "install", FILE])
        .stderr(&format!(
            "pyw: importing `{{dir}}/{FILE}` failed: asking what it is: wasmtime {{wasmtime-version}} \
             does not provide sock_listen of `wasi_snapshot_preview1`, which wasmedge does\n\
             hint: see what it says under another runtime (--runtime), or take another build\n"
        ))
        .code(116)
        .run();
    let Some(wasmedge) = store::other_runtime("wasmedge") else {
        return;
    };
    pyw.env("PYW_RUNTIME_WASMEDGE", wasmedge)
        .args(["-q", "--python", FILE, "-c", "print(6 * 7)"])
        .stdout("42\n")
        .run()
        .args(["-q", "--runtime", "wasmtime", "--python", FILE, "-c", "1"])
        .stderr(
            "pyw: wasmtime {wasmtime-version} cannot run this as asked, so it is not run\n  \
             what the interpreter's module imports: wasmtime does not provide sock_listen of \
             `wasi_snapshot_preview1`\n    - use a runtime that can: --runtime wasmedge\n    \
             - use another interpreter: --python\n",
        )
        .code(110)
        .run();
}
