//! What `--python` is given that is no interpreter.

use std::io::Write as _;

use crate::pyw::Pyw;

/// A WebAssembly module from its text.
fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        out.start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap().into_inner()
}

#[test]
fn files_that_are_no_interpreter() {
    let program = "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32)))
        (memory (export \"memory\") 1) (func (export \"_start\") i32.const 7 call 0))";
    let truncated = {
        let mut bytes = module(program);
        bytes.truncate(bytes.len() - 3);
        bytes
    };
    let layout = "hint: pyw imports a single python.wasm, a folder, zip or tarball with a module and \
                  lib/python3.X, the npm package pyodide, and a .pybi\n";
    let cases: &[(&str, &[u8], i32, &str)] = &[
        (
            "program.wasm",
            &module(program),
            116,
            "a WASI program, but it does not seem to hold CPython\n\
             hint: name a CPython built for `wasm32-wasip1`\n",
        ),
        (
            "reactor.wasm",
            &module("(module (func (export \"_initialize\")) (memory (export \"memory\") 1))"),
            116,
            "a WebAssembly library (reactor) without a `_start` function, not a program\n\
             hint: take the build that has a command line, usually named `python.wasm`\n",
        ),
        (
            "component.wasm",
            b"\0asm\x0d\0\x01\0",
            116,
            "a WebAssembly component, but pyw needs a core module for WASI preview 1\n\
             hint: take a CPython built for `wasm32-wasip1` (or `wasm32-wasi`), not for wasip2\n",
        ),
        (
            "truncated.wasm",
            &truncated,
            116,
            "the WebAssembly module is cut off after [..] bytes\n\
             hint: download or copy the file again\n",
        ),
        (
            "text.wasm",
            b"print('hello')\n",
            116,
            "not a WebAssembly module: it [..]\n\
             hint: this is the place of the interpreter, a `.wasm` file, not of a program\n",
        ),
        (
            "empty.wasm",
            b"",
            116,
            "not a WebAssembly module: it [..]\n",
        ),
        (
            "elf.wasm",
            b"\x7fELF\x02\x01\x01\0",
            116,
            "not a WebAssembly module: it [..]\n\
             hint: name the `.wasm` file; pyw precompiles it by itself where the runtime can\n",
        ),
    ];
    let mut pyw = Pyw::new();
    for (name, bytes, code, stderr) in cases {
        pyw = pyw
            .write_bytes(name, bytes)
            .args(["--python", &format!("./{name}"), "-c", "1"])
            .stderr(&format!("pyw: {{dir}}/{name}: {stderr}"))
            .code(*code)
            .run();
    }
    pyw.write_bytes("empty.zip", &zip(&[("README", b"nothing")]))
        .args(["--python", "empty.zip", "-c", "1"])
        .stderr(&format!(
            "pyw: `{{dir}}/empty.zip` holds no interpreter: there is no python.wasm in it\n{layout}"
        ))
        .code(116)
        .run()
        .write_bytes(
            "cpython-1-wasi_wasm32.pybi",
            &zip(&[("bin/python.wasm", b"x")])[..40],
        )
        .args(["--python", "cpython-1-wasi_wasm32.pybi", "-c", "1"])
        .stderr("pyw: the archive cpython-1-wasi_wasm32.pybi cannot be unpacked: [..]\n")
        .code(114)
        .run()
        .mkdir("folder")
        .args(["--python", "./folder", "-c", "1"])
        .stderr(&format!(
            "pyw: `{{dir}}/folder` holds no interpreter: there is no python.wasm in it\n{layout}"
        ))
        .code(116)
        .run()
        .write("two/a.wasm", "")
        .write("two/b.wasm", "")
        .args(["--python", "./two", "-c", "1"])
        .stderr(&format!(
            "pyw: `{{dir}}/two` holds no interpreter: it has more than one module (a.wasm, \
             b.wasm); name the file\n{layout}"
        ))
        .code(116)
        .run();
}

#[test]
fn interpreters_that_nobody_knows() {
    let forms = "hint: say a version (3.14), a specifier (>=3.13), a name from `pyw python list`, \
                 or the path of a .wasm, a folder, a release zip or a .pybi\n";
    Pyw::new()
        .args(["--python", "./missing.wasm", "-c", "1"])
        .stderr("pyw: there is no file or folder `{dir}/missing.wasm`\n")
        .code(111)
        .run()
        .args(["--python", "2.7", "-c", "1"])
        .stderr(
            "pyw: no interpreter fits `==2.7.* for wasi`\n\
             hint: known are: cpython-3.14.7, cpython-3.14.2-emscripten, cpython-3.13.15, cpython-3.12.0[..]\n",
        )
        .code(111)
        .run()
        .args(["--python", "nonsense", "-c", "1"])
        .stderr(&format!(
            "pyw: `nonsense` is neither a version, nor a catalog name, nor a file or folder\n{forms}"
        ))
        .code(2)
        .run()
        .args(["--python", "", "-c", "1"])
        .stderr(&format!(
            "pyw: `` is neither a version, nor a catalog name, nor a file or folder\n{forms}"
        ))
        .code(2)
        .run()
        .args(["python", "inspect", "./missing.wasm"])
        .stderr("pyw: there is no file or folder `{dir}/missing.wasm`\n")
        .code(111)
        .run();
}

#[test]
fn a_module_is_inspected_without_being_run() {
    Pyw::new()
        .write_bytes(
            "python.wasm",
            &module(
                "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32)))
                 (memory (export \"memory\") 3) (func (export \"_start\")))",
            ),
        )
        .args(["python", "inspect", "python.wasm"])
        .stdout(
            "kind                  command\n\
             imports               wasi_snapshot_preview1 (1)\n\
             memory at start       192 KiB\n\
             beyond preview 1      -\n\
             provided by           wasmtime wasmer wasmedge\n\
             features              -\n\
             can be run            no: a WASI program, but it does not seem to hold CPython\n",
        )
        .run();
}
