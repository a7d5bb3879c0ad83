//! Interpreters that are only described: enough to resolve for and to lay packages out for.

use camino::Utf8Path;
use pyw::interpreter::{Info, Interpreter};

/// What CPython for WASI of that minor version says of itself.
pub fn info(minor: &str) -> Info {
    let full = format!("{minor}.0");
    let tag = minor.replace('.', "");
    serde_json::from_value(serde_json::json!({
        "version": full,
        "banner": "",
        "stdlib": format!("/usr/local/lib/python{minor}"),
        "prefix": "/usr/local",
        "markers": {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": "wasm32",
            "platform_python_implementation": "CPython",
            "platform_release": "0.0.0",
            "platform_system": "wasi",
            "platform_version": "0.0.0",
            "python_full_version": full,
            "python_version": minor,
            "sys_platform": "wasi",
        },
        "platform": "wasi_0_0_0_wasm32",
        "soabi": format!("cpython-{tag}-wasm32-wasi"),
        "paths": {},
        "builtin_modules": [],
        "site": format!("/usr/local/lib/python{minor}/site-packages"),
        "module_sha256": "0".repeat(64),
    }))
    .unwrap()
}

/// An interpreter of CPython 3.12 that is an empty library in a folder.
pub fn interpreter(folder: &Utf8Path, key: &str) -> Interpreter {
    let folder = folder.join(key);
    std::fs::create_dir_all(folder.join("lib/python3.12")).unwrap();
    Interpreter {
        key: key.to_owned(),
        folder,
        info: info("3.12"),
    }
}
