//! CPython for Emscripten on node: what a program can reach, through files, links, C functions and
//! JavaScript. What is the same on every runtime is the conformance suite's.

use std::os::unix::fs::PermissionsExt as _;

use pyw::interpreter::catalog;
use pyw::store::fetch::{Expected, Fetcher};

use crate::pyw::Pyw;
use crate::store;

/// A test on node, where node is there.
fn on_node() -> Option<Pyw> {
    let node = store::other_runtime("node")?;
    Some(Pyw::new().env("PYW_RUNTIME_NODE", node))
}

const ON_NODE: [&str; 3] = ["--quiet", "--platform", "emscripten"];

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&ON_NODE, more].concat()
}

#[test]
fn a_platform_chooses_interpreter_and_runtime() {
    let Some(pyw) = on_node() else { return };
    let probe = "import sys; print(sys.platform)";
    pyw.args(args(&["-c", probe]))
        .stdout("emscripten\n")
        .run()
        .args(["--quiet", "--python", "3.14-emscripten", "-c", probe])
        .stdout("emscripten\n")
        .run()
        .args(["--quiet", "--runtime", "node", "-c", probe])
        .stdout("emscripten\n")
        .run()
        .args(["--platform", "wasi", "-c", probe])
        .stdout("wasi\n")
        .run()
        .args(["--platform", "wasi", "--runtime", "node", "-c", probe])
        .stderr(
            "pyw: node runs interpreters built for emscripten, and this one is built for wasi\n\
             hint: choose another runtime with --runtime, or say --platform emscripten\n",
        )
        .code(2)
        .run()
        .args([
            "--platform",
            "wasi",
            "--python",
            "3.14-emscripten",
            "-c",
            probe,
        ])
        .stderr(
            "pyw: --platform wasi contradicts --python, which asks for ==3.14.* for emscripten\n\
             hint: `pyw --help` tells more\n",
        )
        .code(2)
        .run()
        .args(["--platform", "wasix", "-c", probe])
        .stderr(
            "pyw: --platform: `wasix` is not a platform; write `wasi` or `emscripten`\n\
             hint: `pyw --help` tells more\n",
        )
        .code(2)
        .run();
}

#[test]
fn a_node_that_is_too_old_is_refused() {
    let Some(pyw) = on_node() else { return };
    // Importing the interpreter needs a node that works.
    pyw.args(args(&["-c", "1"]))
        .run()
        .executable("node", "#!/bin/sh\necho v18.20.1\n")
        .env("PYW_RUNTIME_NODE", "{dir}/node")
        .args(["--runtime", "node", "-c", "1"])
        .stderr(
            "pyw: node at `{dir}/node` is version 18.20.1; pyw needs 20.0.0 or newer\n\
             hint: update it, or choose another with --runtime\n",
        )
        .code(117)
        .run();
}

/// The file system is the host script's own, so every way out of a mount is tried, and every way
/// to change what may only be read.
#[test]
fn mounts_are_neither_left_nor_changed() {
    let Some(pyw) = on_node() else { return };
    let pyw = pyw
        .mkdir("rw/sub")
        .mkdir("ro/folder")
        .write("ro/file", "read\n")
        .write("secret/file", "secret\n")
        .write("app.py", include_str!("scripts/mounts.py"));
    let secret = pyw.dir().join("secret");
    let rw = pyw.dir().join("rw");
    for (target, link) in [
        (secret.join("file"), "absolute"),
        ("../secret/file".into(), "relative"),
        (secret.clone(), "folder"),
        ("loop".into(), "loop"),
    ] {
        std::os::unix::fs::symlink(target, rw.join(link)).unwrap();
    }
    let seen = |pyw: &Pyw| {
        ["ro/file", "ro/folder", "secret/file"].map(|path| {
            use std::os::unix::fs::MetadataExt as _;
            let found = std::fs::metadata(pyw.dir().join(path)).unwrap();
            (found.mode(), found.mtime_nsec(), found.mtime(), found.len())
        })
    };
    let before = seen(&pyw);
    let pyw = pyw
        .mkdir("empty")
        .cwd("empty")
        .args(args(&[
            "--mount",
            "../rw:/data:rw",
            "--mount",
            "../ro:/ro",
            "--mount",
            "../app.py:/p/app.py",
            "-c",
            "exec(open('/p/app.py').read())",
        ]))
        .stdout("done\n")
        .run();
    assert_eq!(seen(&pyw), before);
    let names = |folder: &str| std::fs::read_dir(pyw.dir().join(folder)).unwrap().count();
    assert_eq!(
        (names("ro"), names("secret"), names("ro/folder")),
        (2, 1, 0)
    );
}

#[test]
fn no_javascript_is_reached_unless_it_is_granted() {
    let Some(pyw) = on_node() else { return };
    let crashed = |name: &str| {
        format!(
            "pyw: the interpreter crashed: the program called {name}, a function of JavaScript's \
             that it was not given\n"
        )
    };
    pyw.write(
        "app.py",
        "import js\n\
         print([name for name in dir(js) if not name.startswith('__')])\n\
         for attempt in ('import pyodide_js', 'from js import eval',\n\
         \x20               'import pyodide.code; pyodide.code.run_js(\"1\")',\n\
         \x20               'import pyodide.ffi; print(type(pyodide.ffi.to_js({})).__name__)'):\n\
         \x20   try:\n\
         \x20       exec(attempt)\n\
         \x20   except ImportError as e:\n\
         \x20       print(type(e).__name__)\n",
    )
    .args(args(&["app.py"]))
    .stdout("[]\nModuleNotFoundError\nImportError\nImportError\ndict\n")
    .run()
    // Past Python's modules, to the functions that its own machine code calls.
    .args(args(&[
        "-c",
        "import ctypes; ctypes.CDLL(None).emscripten_run_script(b'process.exit(3)')",
    ]))
    .stderr(&crashed("emscripten_run_script"))
    .code(118)
    .run()
    .args(args(&["-c", "import _pyodide_core"]))
    .stderr(&crashed("jslib_init_buffers_js"))
    .code(118)
    .run()
    .args(["--js", "-c", "1"])
    .stderr(
        "pyw: wasmtime {wasmtime-version} cannot run this as asked, so it is not run\n  \
         JavaScript: wasmtime has none to give\n    \
         - use an interpreter built for Emscripten: --platform emscripten\n    \
         - run without --js\n",
    )
    .code(110)
    .run();
}

#[test]
fn granted_javascript_is_made_of_text_as_well() {
    let Some(pyw) = on_node() else { return };
    pyw.write(
        "app.py",
        "import js\n\
         from pyodide.code import run_js\n\
         print(run_js('x => x * 2')(21), js.Function('return 7')(), js.eval('process').release.name)\n",
    )
    .args(args(&["--js", "app.py"]))
    .stdout("42 7 node\n")
    .run();
}

/// With JavaScript a program has all of node; the fence around its process still holds.
#[test]
fn granted_javascript_stays_in_the_fence() {
    let Some(pyw) = on_node() else { return };
    pyw.write("app.py", include_str!("scripts/fence.py"))
        .write("../home/secret", "secret")
        .args(args(&["--js", "app.py", "{home}/secret", "{dir}"]))
        .stdout(
            "node\n\
             read EACCES\n\
             write EACCES\n\
             list EACCES\n\
             socket EPERM\n\
             spawn EPERM\n\
             spawn alone EPERM\n\
             signal EPERM\n\
             OPENSSL_CONF TZ\n",
        )
        .run();
}

/// Extension modules for Emscripten from PyPI.
#[test]
fn wheels_with_machine_code_are_imported_and_run() {
    let Some(pyw) = on_node() else { return };
    pyw.write(
        "app.py",
        "import cbor2, msgspec, pydantic, pydantic_core\n\
         class Point(pydantic.BaseModel):\n\
         \x20   x: int\n\
         print(Point(x='3'))\n\
         try:\n\
         \x20   Point(x='three')\n\
         except pydantic.ValidationError as e:\n\
         \x20   print(e.error_count())\n\
         print(cbor2.loads(cbor2.dumps({'a': [1, 2.5]})))\n\
         print(msgspec.json.decode(b'[1, 2]', type=list[int]))\n\
         for module in (pydantic_core._pydantic_core, cbor2._cbor2, msgspec._core):\n\
         \x20   print(module.__file__.rpartition('.')[2])\n",
    )
    .args(args(&[
        "--with", "pydantic", "--with", "cbor2", "--with", "msgspec", "app.py",
    ]))
    .stdout("x=3\n1\n{'a': [1, 2.5]}\n[1, 2]\nso\nso\nso\n")
    .run();
}

/// What is built for the ABI of another year's Emscripten does not load here.
#[test]
fn wheels_for_another_abi_are_refused() {
    let Some(pyw) = on_node() else { return };
    const FILE: &str = "demo-1.0-cp314-cp314-pyemscripten_2025_0_wasm32.whl";
    let other = "has wheels for pyemscripten_2025_0_wasm32, and this interpreter is \
                 pyemscripten_2026_0_wasm32";
    // Its name tells, so it is never opened.
    pyw.write(format!("wheels/{FILE}"), "")
        .args(args(&[
            "--no-index",
            "--find-links",
            "wheels",
            "--with",
            "demo",
            "-c",
            "1",
        ]))
        .stderr(&format!(
            "pyw: `demo` (--with) cannot be had\n  demo 1.0 {other}\n\
             hint: use another release of demo, or an interpreter of the ABI that its wheels are for\n"
        ))
        .code(112)
        .run();
}

/// The first start has V8 compile, and later ones take what it made, also with the flags and the
/// module of --js and --memory.
#[test]
fn code_that_was_compiled_before_is_taken() {
    let Some(node) = store::other_runtime("node") else {
        return;
    };
    let mut pyw = Pyw::with_own_store().env("PYW_RUNTIME_NODE", node);
    let folder = pyw.store().join("compiled");
    // Installing the interpreter has it compiled as well.
    pyw = pyw.args(args(&["-c", "1"])).run();
    std::fs::remove_dir_all(&folder).unwrap();
    let dry = args(&["--dry-run", "-c", "1"]);
    pyw = pyw.args(dry.clone()).any_stdout().run();
    assert!(pyw.output.stdout.contains(r#"\"compiled\":null"#));
    pyw = pyw.args(args(&["-c", "print(1)"])).stdout("1\n").run();
    let made: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
    let [made] = made.as_slice() else {
        panic!("{made:?}");
    };
    let file = made.path().join("python.v8");
    let seen = std::fs::metadata(&file).unwrap();
    assert_eq!(seen.permissions().mode() & 0o777, 0o400);
    pyw = pyw.args(dry).any_stdout().run();
    let told = format!(r#"\"compiled\":\"{}\""#, file.display());
    assert!(pyw.output.stdout.contains(&told), "{}", pyw.output.stdout);
    let limited = "try:\n    bytearray(200 << 20)\nexcept MemoryError:\n    print('limited')";
    let granted = "from pyodide.code import run_js; print(run_js('1 + 4'))";
    pyw = pyw
        .args(args(&["--memory", "64M", "-c", limited]))
        .stdout("limited\n")
        .run()
        .args(args(&["--js", "-c", granted]))
        .stdout("5\n")
        .run();
    // That it is taken is seen from what comes of it where it is none.
    let damaged = vec![0; usize::try_from(seen.len()).unwrap()];
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, damaged).unwrap();
    let times = std::fs::FileTimes::new().set_modified(seen.modified().unwrap());
    let open = std::fs::File::options().write(true).open(&file).unwrap();
    open.set_times(times).unwrap();
    pyw.args(args(&["-c", "print(1)"]))
        .stderr("pyw: the interpreter crashed: V8 refuses [..]/python.v8\n[..]")
        .code(118)
        .run();
}

/// Deno runs node's host script: files, memory and JavaScript are held there, too.
#[test]
fn deno_runs_the_same_script() {
    let Some(deno) = store::other_runtime("deno") else {
        return;
    };
    Pyw::new()
        .env("PYW_RUNTIME_DENO", deno)
        .write(
            "app.py",
            "import js, sys\n\
             print(sys.platform, [name for name in vars(js) if not name.startswith('__')])\n\
             for attempt in (\"open('x', 'w')\", \"open('/etc/passwd')\", 'bytearray(200 << 20)'):\n\
             \x20   try:\n\
             \x20       eval(attempt)\n\
             \x20   except (OSError, MemoryError) as e:\n\
             \x20       print(type(e).__name__)\n\
             print(input())\n\
             sys.exit(200)\n",
        )
        .stdin("typed\n")
        .args(["--quiet", "--runtime", "deno", "--memory", "64M", "app.py"])
        .stdout("emscripten []\nOSError\nFileNotFoundError\nMemoryError\ntyped\n")
        .code(200)
        .run();
}

/// Node's own WASI runs what other runtimes for WASI do, under the fence: what it may only read it
/// cannot change, and links lead nowhere.
#[test]
fn node_runs_builds_for_wasi_as_well() {
    let Some(pyw) = on_node() else { return };
    let pyw = pyw
        .write("ro/file", "as it was\n")
        .write("../outside/file", "secret\n")
        .mkdir("rw")
        .write(
            "app.py",
            "import os, sys, time\n\
             print(sys.platform, sys.argv, os.getcwd(), sys.stdin.isatty(), input())\n\
             def attempt(what, call):\n\
             \x20   try:\n\
             \x20       print(what, call())\n\
             \x20   except (OSError, MemoryError) as e:\n\
             \x20       print(what, type(e).__name__)\n\
             attempt('write', lambda: open('ro/file', 'w'))\n\
             attempt('remove', lambda: os.unlink('ro/file'))\n\
             attempt('times', lambda: os.utime('ro/file', (1, 1)))\n\
             attempt('list', lambda: os.listdir('rw/folder/'))\n\
             attempt('make', lambda: os.mkdir('rw/folder/made'))\n\
             attempt('times outside', lambda: os.utime('rw/folder/', (1, 1)))\n\
             attempt('rw', lambda: open('rw/new', 'w').write('new'))\n\
             attempt('tmp', lambda: open('/tmp/new', 'w').write('new'))\n\
             attempt('memory', lambda: len(bytearray(200 << 20)))\n\
             start = time.monotonic()\n\
             time.sleep(0.2)\n\
             print(0.1 < time.monotonic() - start < 5)\n\
             sys.exit(200)\n",
        );
    std::os::unix::fs::symlink("../../outside", pyw.dir().join("rw/folder")).unwrap();
    let pyw = pyw
        .stdin("typed\n")
        .args([
            "--runtime",
            "node-wasi",
            "--no-snapshot",
            "--memory",
            "128M",
            "--mount",
            "rw:rw",
            "app.py",
            "two words",
        ])
        .stdout(
            "wasi ['app.py', 'two words'] {dir} False typed\n\
             write PermissionError\n\
             remove PermissionError\n\
             times PermissionError\n\
             list PermissionError\n\
             make PermissionError\n\
             times outside PermissionError\n\
             rw 3\n\
             tmp 3\n\
             memory MemoryError\n\
             True\n",
        )
        .code(200)
        .run();
    let read = |path: &str| std::fs::read_to_string(pyw.dir().join(path)).unwrap();
    assert_eq!(read("ro/file"), "as it was\n");
    assert_eq!(read("rw/new"), "new");
    // Node 20 crashes every other time without the option that its descriptor has.
    pyw.stdin("0123456789abcdef".repeat(1 << 20))
        .args([
            "--runtime",
            "node-wasi",
            "--no-snapshot",
            "-c",
            "import sys; print(len(sys.stdin.buffer.read()))",
        ])
        .stdout("16777216\n")
        .run();
}

/// It is no sandbox, so only a user who names it gets it.
#[test]
fn node_for_wasi_is_chosen_by_nobody_else() {
    let Some(pyw) = on_node() else { return };
    let refused = "pyw: node-wasi [..] cannot run this as asked, so it is not run\n  \
                   isolation `strong`: node-wasi is no sandbox by itself, so that this reaches `process`\n    \
                   - use a runtime that can: --runtime wasmtime, wasmer, wasmedge\n    \
                   - accept less: --require-isolation process\n";
    pyw.args(["doctor", "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|report| {
            let rows = report["runtimes"].as_array().unwrap();
            let row = rows.iter().find(|row| row["name"] == "node-wasi").unwrap();
            assert_eq!(row["isolation"], "process");
            assert_eq!(row["problem"], serde_json::Value::Null);
            for one in report["interpreters"].as_array().unwrap() {
                let usable = one["runtimes"].as_array().unwrap();
                assert!(!usable.iter().any(|name| name == "node-wasi"), "{one}");
            }
        })
        .write("pyw.toml", "runtime = 'node-wasi'\n")
        .args(["-c", "1"])
        .stderr(refused)
        .code(110)
        .run()
        // To name an interpreter is not to name the runtime.
        .args(["--python", "cpython-3.12.0", "-c", "1"])
        .stderr(refused)
        .code(110)
        .run()
        .write("pyw.toml", "runtimes = ['node-wasi', 'wasmtime']\n")
        .args(["-c", "1"])
        .stderr(
            "pyw: node-wasi cannot stand in `runtimes`: only a run that names it gets it\n\
             hint: take it out of `runtimes`, and say --runtime node-wasi where you want it\n",
        )
        .code(2)
        .run();
}

/// The tarball of the npm package, as its registry has it.
fn npm_tarball(folder: &std::path::Path) -> String {
    let entries = catalog::entries().unwrap();
    let known = entries
        .into_iter()
        .find(|entry| entry.name == "cpython-3.14.2-emscripten")
        .unwrap();
    let path = folder.join(&known.file);
    let expected = Expected {
        sha256: known.sha256,
        size: known.size,
    };
    let path = path.as_path().try_into().unwrap();
    Fetcher::new(false)
        .fetch_first(&known.file, &known.sources, expected, path)
        .unwrap();
    known.file
}

/// The build of the npm package, packed twice to the same bytes, once from the package itself, runs
/// from its pybi and still has the lock of its packages.
#[test]
fn an_emscripten_build_is_packed_and_brings_its_lock() {
    let Some(pyw) = on_node() else { return };
    let file = "cpython-3.14.2-pyemscripten_2026_0_wasm32.pybi";
    let packed = |pyw: Pyw, source: &str, folder: &str| {
        let pyw = pyw
            .args(["python", "-q", "pack", source, "-o", folder])
            .stdout(&format!("{folder}/{file}\n"))
            .run();
        let bytes = std::fs::read(pyw.dir().join(folder).join(file)).unwrap();
        (pyw, bytes)
    };
    let (pyw, one) = packed(pyw, "cpython-3.14.2-emscripten", "one");
    let tarball = npm_tarball(&pyw.dir());
    let (pyw, two) = packed(pyw, &tarball, "two");
    // Not `assert_eq`, which would print megabytes.
    assert!(one == two, "the second archive is another");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(one)).unwrap();
    assert!(archive.by_name("lib/pyodide-lock.json").is_ok());
    let place = pyw.dir().join("none");
    pyw.mkdir("none")
        .args(["python", "-q", "verify", &format!("one/{file}")])
        .any_stdout()
        .run()
        .args(["python", "-q", "install", &format!("one/{file}")])
        .stdout("CPython 3.14.2 is installed as cpython-3.14.2-pyemscripten_2026_0_wasm32-[..]\n")
        .run()
        .args([
            "--quiet",
            "--python",
            &format!("one/{file}"),
            "-c",
            "print('packed')",
        ])
        .stdout("packed\n")
        .run()
        .args([
            "--quiet",
            "--python",
            &format!("one/{file}"),
            "--no-index",
            "--pyodide-packages",
            "none",
            "--with",
            "numpy",
            "-c",
            "1",
        ])
        .stderr(&format!(
            "pyw: numpy-2.4.6-cp314-cp314-pyemscripten_2026_0_wasm32.whl is of the interpreter's \
             own distribution, and is not to be had from {place}: reading \
             {place}/numpy-2.4.6-cp314-cp314-pyemscripten_2026_0_wasm32.whl failed: No such file \
             or directory (os error 2)\n\
             hint: name a folder or address that has these files with --pyodide-packages or \
             PYW_PYODIDE_PACKAGES; Pyodide's release archive has them\n",
            place = place.display()
        ))
        .code(113)
        .run();
}
