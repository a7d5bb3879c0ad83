//! Importing a CPython with its library beside it, in each layout in which it is handed around.
//!
//! The build comes from `cpython-3.13.5-wasi_wasm32.pybi` in `../shared/pybis` beside the checkout,
//! or in the folder that `PYW_TEST_PYBIS` names. Without it these tests are left out.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::pyw::Pyw;
use crate::store;
use crate::support::left_out;

/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

/// The pybi and what is in it; `None`, and plainly so, when it isn't there.
fn build() -> Option<(PathBuf, Files)> {
    let folder = match std::env::var_os("PYW_TEST_PYBIS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/pybis"),
    };
    let pybi = folder.join("cpython-3.13.5-wasi_wasm32.pybi");
    let Ok(file) = std::fs::File::open(&pybi) else {
        left_out(&format!("there is no {}", pybi.display()));
        return None;
    };
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut files = Files::new();
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).unwrap();
        let name = entry.name().unwrap().into_owned();
        if entry.is_file() && !name.contains("__pycache__") {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.push((name, bytes));
        }
    }
    Some((pybi, files))
}

/// As cpython-wasi-build packs it: `python.wasm`, `lib/python3.13`, `LICENSE`.
fn release(files: &[(String, Vec<u8>)]) -> impl Iterator<Item = (&str, &[u8])> {
    files
        .iter()
        .filter_map(|(name, bytes)| match name.as_str() {
            "bin/python.wasm" => Some(("python.wasm", bytes.as_slice())),
            name if name.starts_with("pybi-info") => None,
            name => Some((name, bytes.as_slice())),
        })
}

const PROBE: &str = "import json, sys\nprint(sys.path[-3:], sys.prefix, sys.base_prefix, \
                     sys.executable, json.__cached__)\n";
const PROBED: &str = "['/usr/local/lib/python3.13', '/usr/local/lib/python3.13/lib-dynload', \
                      '/usr/local/lib/python3.13/site-packages'] /usr/local /usr/local \
                      /usr/local/bin/python3.13 \
                      /usr/local/lib/python3.13/json/__pycache__/__init__.cpython-313.pyc\n";

#[test]
fn a_release_zip_is_imported_inspected_used_and_removed() {
    let Some((_, files)) = build() else { return };
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in release(&files) {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    let python = "python-3.13.5-wasi_sdk-24.zip";
    let pyw = Pyw::with_own_store()
        .write_bytes(python, &zip)
        .write("sub/app.py", PROBE)
        .args([
            "--quiet",
            "--python",
            python,
            "-c",
            "import sys; print(sys.version[:6])",
        ])
        .stdout("3.13.5\n")
        .run()
        .args(["--python", python, "sub/app.py"])
        .stdout(PROBED)
        .run();
    let imported = std::fs::read_dir(pyw.store().join("interpreters")).unwrap();
    let imported: Vec<_> = imported
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("python-3.13.5-")
        })
        .collect();
    let [imported] = imported.as_slice() else {
        panic!("{imported:?}")
    };
    // Every module has its byte code, which is never checked against the source.
    let library = imported.path().join("lib/python3.13");
    let mut sources = 0;
    for entry in walkdir::WalkDir::new(&library).into_iter().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "py") {
            sources += 1;
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let compiled = path
                .parent()
                .unwrap()
                .join(format!("__pycache__/{stem}.cpython-313.pyc"));
            let compiled = std::fs::read(&compiled).unwrap();
            assert_eq!(compiled[4..8], [1, 0, 0, 0], "{stem}");
        }
    }
    assert!(sources > 400, "{sources}");
    let key = imported.file_name().to_str().unwrap().to_owned();
    pyw.args(["python", "inspect", python])
        .stdout(&format!(
            "name                  {key}\n\
             version               3.13.5\n\
             build                 3.13.5 [..]\n\
             platform              wasi_0_0_0_wasm32\n\
             imported from         {{dir}}/{python}\n\
             folder                {{store}}/interpreters/{key}\n\
             standard library      /usr/local/lib/python3.13 in the sandbox\n\
             memory at start       [..]\n\
             sha256 of the module  [..]\n\
             built-in modules      _abc [..]\n"
        ))
        .run()
        .args(["python", "list", "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|rows| {
            let rows = rows.as_array().unwrap();
            let row = rows.iter().find(|row| row["name"] == *key).unwrap();
            assert_eq!(
                (&row["version"], &row["installed"]),
                (&"3.13.5".into(), &true.into())
            );
        })
        // What is installed goes before what would have to be downloaded.
        .args([
            "--offline",
            "--python",
            ">=3.13",
            "-c",
            "import sys; print(sys.version[:6])",
        ])
        .stdout("3.13.5\n")
        .run()
        .args([
            "-I",
            "--python",
            "3.13.5",
            "-c",
            "import sys; print(sys.flags.isolated, '' in sys.path)",
        ])
        .stdout("1 False\n")
        .run()
        .args([
            "-SE",
            "--python",
            "3.13.5",
            "-c",
            "import sys; print('site' in sys.modules, sys.flags.ignore_environment)",
        ])
        .stdout("False 1\n")
        .run()
        .args([
            "--python",
            "3.13.5",
            "--cwd",
            "sub",
            "-c",
            "import os; print(os.listdir('.'), os.getcwd())",
        ])
        .stdout("['app.py'] {dir}/sub\n")
        .run()
        .args(["python", "remove", &key])
        .stdout(&format!("removed {key}\n"))
        .run()
        .args(["--offline", "--python", "3.13.5", "-c", "1"])
        .stderr("pyw: no interpreter fits `==3.13.5 for wasi`\nhint: known are: cpython-[..]\n")
        .code(111)
        .run();
}

#[test]
fn a_pybi_a_tree_and_a_lone_module_are_the_same() {
    let Some((pybi, files)) = build() else { return };
    let mut pyw = Pyw::with_own_store().write("app.py", PROBE);
    for (name, bytes) in release(&files) {
        pyw = pyw.write_bytes(Path::new("tree").join(name), bytes);
    }
    for python in [pybi.to_str().unwrap(), "./tree", "./tree/python.wasm"] {
        pyw = pyw
            .args(["--quiet", "--python", python, "app.py"])
            .stdout(PROBED)
            .run();
    }
}

/// Each runtime calls a module by another name, near which CPython looks for its library.
#[test]
fn the_library_is_found_at_the_same_place_on_every_runtime() {
    let Some((pybi, _)) = build() else { return };
    let python = pybi.to_str().unwrap();
    let mut pyw = Pyw::new().write("app.py", PROBE);
    for name in ["wasmtime", "wasmer", "wasmedge"] {
        if name != "wasmtime" {
            let Some(path) = store::other_runtime(name) else {
                continue;
            };
            pyw = pyw.env(&format!("PYW_RUNTIME_{}", name.to_uppercase()), path);
        }
        pyw = pyw
            .args(["--quiet", "--runtime", name, "--python", python, "app.py"])
            .stdout(PROBED)
            .run();
    }
}

/// An imported interpreter can be copied elsewhere and imported again.
#[test]
fn a_tree_of_pyws_own_is_imported_again() {
    let pyw = Pyw::with_own_store();
    store::link_tree(&store::shared().interpreter, &pyw.dir().join("copy"));
    pyw.args([
        "--quiet",
        "--python",
        "./copy",
        "-c",
        "import os; print(os.getcwd())",
    ])
    .stdout("{dir}\n")
    .run();
}
