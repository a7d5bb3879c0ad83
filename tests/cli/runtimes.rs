//! Runtimes that are missing, broken or not what they are taken for, and descriptors of users.

use std::time::Duration;

use crate::pyw::Pyw;
use crate::store;
use crate::support::left_out;

const HINT: &str =
    "hint: choose another with --runtime, or name a working one by PYW_RUNTIME_<NAME>\n";

#[test]
fn runtimes_that_are_named_and_do_not_work() {
    let pyw = Pyw::new()
        .write("not-executable", "#!/bin/sh\n")
        .executable(
            "nonsense",
            "#!/bin/sh\necho 'wasmtime? never heard of it'\n",
        )
        .executable("silent", "#!/bin/sh\n")
        .executable(
            "old",
            "#!/bin/sh\necho 'wasmtime 12.0.1 (abc 2023-09-01)'\n",
        )
        .executable(
            "fails",
            "#!/bin/sh\necho 'libz.so: not found' >&2\nexit 3\n",
        )
        .executable("dies", "#!/bin/sh\nkill -SEGV $$\n")
        .executable("no-interpreter", "#!/no/such/shell\n")
        .write_bytes("garbage", b"\x7fELF\x00\x01garbage");
    let garbage = pyw.dir().join("garbage");
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(garbage, std::fs::Permissions::from_mode(0o755)).unwrap();
    let bad = |name: &str| {
        format!(
            "pyw: $PYW_RUNTIME_WASMTIME names `{{dir}}/{name}`, which is not an executable file\n"
        )
    };
    let failed =
        |name: &str, why: &str| format!("pyw: `{{dir}}/{name} --version` failed: {why}\n{HINT}");
    let other = |name: &str, answer: &str| {
        format!(
            "pyw: `{{dir}}/{name}` does not look like wasmtime: to `--version` it answered \
             `{answer}`\n{HINT}"
        )
    };
    let cases = [
        ("no", 111, bad("no")),
        ("not-executable", 111, bad("not-executable")),
        (
            "nonsense",
            117,
            other("nonsense", "wasmtime? never heard of it"),
        ),
        ("silent", 117, other("silent", "")),
        (
            "old",
            117,
            "pyw: wasmtime at `{dir}/old` is version 12.0.1; pyw needs 36.0.0 or newer\n\
             hint: update it, or choose another with --runtime\n"
                .to_owned(),
        ),
        (
            "fails",
            117,
            failed("fails", "exit status: 3: libz.so: not found"),
        ),
        ("dies", 117, failed("dies", "signal: 11 (SIGSEGV)")),
        (
            "no-interpreter",
            117,
            failed("no-interpreter", "No such file or directory (os error 2)"),
        ),
        (
            "garbage",
            117,
            failed("garbage", "Exec format error (os error 8)"),
        ),
    ];
    let mut pyw = pyw;
    for (name, code, stderr) in &cases {
        pyw = pyw
            .env("PYW_RUNTIME_WASMTIME", format!("{{dir}}/{name}"))
            .args(["--runtime", "wasmtime", "-c", "1"])
            .stderr(stderr)
            .code(*code)
            .run();
    }
}

#[test]
fn a_runtime_that_hangs_is_given_up() {
    let pyw = Pyw::new()
        .executable("hangs", "#!/bin/sh\nexec sleep 1000\n")
        .env("PYW_RUNTIME_WASMTIME", "{dir}/hangs")
        .args(["--runtime", "wasmtime", "-c", "1"])
        .stderr(&format!(
            "pyw: `{{dir}}/hangs` did not answer `--version` within 10 seconds\n{HINT}"
        ))
        .code(117)
        .run();
    assert!(pyw.output.took < Duration::from_secs(20));
}

#[test]
fn a_runtime_that_is_a_script_is_refused_where_it_would_be_confined() {
    let pyw = Pyw::new()
        .executable("wrapped", "#!/bin/sh\nexec {wasmtime} \"$@\"\n")
        .env("PYW_RUNTIME_WASMTIME", "{dir}/wrapped")
        .args(["--runtime", "wasmtime", "-c", "print(1)"]);
    pyw.stderr("pyw: wasmtime {wasmtime-version} cannot run this as asked, so it is not run\n  \
         confinement of the runtime: {dir}/wrapped is a script, and what it starts is not known\n    \
         - name the real executable: PYW_RUNTIME_WASMTIME=PATH\n").code(110).run();
}

#[test]
fn auto_passes_over_a_broken_one_and_says_so() {
    let pyw = Pyw::with_own_store()
        .env_remove("PYW_RUNTIME_WASMTIME")
        .executable("bin/wasmer", "#!/bin/sh\nexit 1\n")
        .executable("bin/wasmedge", "#!/bin/sh\necho wasmedge version 0.9.0\n")
        .env("PATH", "{dir}/bin")
        .env("PYW_RUNTIMES", "wasmer,wasmedge,wasmtime");
    if !pyw.store().join("runtimes").exists() {
        left_out(&"wasmtime is not in the tests' store but named by PYW_RUNTIME_WASMTIME");
        return;
    }
    let passed = "pyw: passing over wasmer: `{dir}/bin/wasmer --version` failed: exit status: 1\n\
                  pyw: passing over wasmedge: wasmedge at `{dir}/bin/wasmedge` is \
                  version 0.9.0; pyw needs 0.17.1 or newer\n";
    let using = "pyw: using wasmtime {wasmtime-version} ({store}/runtimes/[..], from store) and \
                 CPython 3.12.0 (cpython-3.12.0-wasi_wasm32-[..]\n";
    // Quiet, for the runtime may have to compile the interpreter first, and tells so.
    pyw.args(["--quiet", "-c", "print(1)"])
        .stdout("1\n")
        .run()
        .args(["--verbose", "-c", "print(1)"])
        .stdout("1\n")
        .stderr(&format!(
            "{passed}{using}pyw: starting without a snapshot: snapshots are switched off \
             (PYW_SNAPSHOTS)\n"
        ))
        .run()
        // The user named this one, so it is not passed over.
        .env("PYW_RUNTIME_WASMER", "{dir}/no")
        .args(["-c", "print(1)"])
        .stderr("pyw: $PYW_RUNTIME_WASMER names `{dir}/no`, which is not an executable file\n")
        .code(111)
        .run();
}

#[test]
fn a_users_descriptor_takes_the_place_of_a_built_in_one() {
    let own = include_str!("../../runtimes/wasmtime.toml")
        .replace("summary = \"Byte", "summary = \"My own. Byte")
        .replace("\nstack = [", "\n# stack = [")
        .replace("\ndefault-stack = ", "\n# default-stack = ");
    Pyw::new()
        .write("../home/.config/pyw/runtimes/mine.toml", &own)
        .args(["runtime", "list", "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|rows| {
            assert_eq!(rows.as_array().unwrap().len(), 6);
            assert_eq!(rows[0]["name"], "wasmtime");
            assert_eq!(rows[0]["stack"], false);
            assert!(rows[0]["summary"].as_str().unwrap().starts_with("My own."));
            let file = rows[0]["descriptor"].as_str().unwrap();
            assert!(file.ends_with("/home/.config/pyw/runtimes/mine.toml"));
        })
        .args(["--stack", "1M", "-c", "1"])
        .stderr(
            "pyw: wasmtime {wasmtime-version} cannot run this as asked, so it is not run\n  \
             a stack of 1 MiB: wasmtime cannot set the stack\n    \
             - use a runtime that can: --runtime wasmer\n    \
             - run without --stack\n",
        )
        .code(110)
        .run();
}

#[test]
fn a_broken_descriptor_is_shown_with_its_line() {
    let file = "../home/.config/pyw/runtimes/tiny.toml";
    let hint = "hint: the grammar is in runtimes/README.md of pyw's sources\n";
    let good = "name = \"tiny\"\nsummary = \"x\"\nexecutables = [\"tiny\"]\n\
                [probe]\nargs = [\"--version\"]\n\
                [command]\nfirst = []\nmodule = [\"{module}\"]\n\
                [env]\nset = [\"-e\", \"{name}={value}\"]\n";
    Pyw::new()
        .write(file, good)
        .args(["runtime", "which", "tiny"])
        .stderr(
            "pyw: tiny was not found\nhint: put it on PATH, or name its path in PYW_RUNTIME_TINY\n",
        )
        .code(111)
        .run()
        .write(file, &good.replace("summary", "sumary"))
        .args(["runtime", "list"])
        .stderr(&format!(
            "pyw: {{home}}/.config/pyw/runtimes/tiny.toml: TOML parse error at line 2, column 1\n  \
             |\n2 | sumary = \"x\"\n  | ^^^^^^\n\
             unknown field `sumary`, expected one of [..]\n{hint}"
        ))
        .code(2)
        .run()
        .write(file, &good.replace("{module}", "{modul}"))
        .args(["-c", "1"])
        .stderr(&format!(
            "pyw: {{home}}/.config/pyw/runtimes/tiny.toml: `command.module` knows no `{{modul}}`, \
             only {{module}}\n{hint}"
        ))
        .code(2)
        .run();
}

/// The example of a runtime that a user adds is a sound descriptor.
#[test]
fn the_example_descriptor_is_known() {
    Pyw::new()
        .write(
            "../home/.config/pyw/runtimes/wazero.toml",
            include_str!("../../examples/runtimes/wazero.toml"),
        )
        .args(["runtime", "list", "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|rows| assert_eq!(rows[6]["name"], "wazero"));
}

#[test]
fn a_runtime_with_a_known_hole_is_refused() {
    let old = "#!/bin/sh\necho 'wasmtime 47.0.4 (0123456789 2026-08-20)'\n";
    Pyw::new()
        .executable("old/wasmtime", old)
        .env("PYW_RUNTIME_WASMTIME", "{dir}/old/wasmtime")
        .args(["--runtime", "wasmtime", "-c", "1"])
        .stderr(
            "pyw: wasmtime 47.0.4 has a known security hole: memory of the runtime can be corrupted \
             (garbage collector, callbacks of components) (RUSTSEC-2026-0325, RUSTSEC-2026-0326, RUSTSEC-2026-0327)\n\
             hint: update it (fixed in 36.0.15, 48.0.5, 49.0.2), choose another with --runtime, or accept it: \
             --allow-vulnerable-runtime\n",
        )
        .code(110)
        .run()
        // Accepted, it fails for the next reason: what a script starts is not known.
        .args(["--runtime", "wasmtime", "--allow-vulnerable-runtime", "-c", "1"])
        .stderr("pyw: wasmtime 47.0.4 cannot run this as asked, so it is not run\n  confinement[..]\n[..]\n")
        .code(110)
        .run();
}

/// What descriptors say that a runtime provides is asked of the real ones, by a module that imports
/// it and does nothing else.
#[test]
fn runtimes_provide_what_their_descriptors_say() {
    let catalog = pyw::runtime::catalog::Catalog::load(None).unwrap();
    let special = |text: &str| text.parse::<pyw::interpreter::imports::Import>().unwrap();
    let mut asked = vec![
        special("wasi_snapshot_preview1 sock_nothing"),
        special("wasix_32v1 proc_id"),
        special("wasix_32v1 proc_fork"),
    ];
    for name in [
        "open",
        "bind",
        "listen",
        "connect",
        "recv_from",
        "send_to",
        "getsockopt",
        "setsockopt",
        "getlocaladdr",
        "getpeeraddr",
        "getaddrinfo",
        "open_v2",
        "accept_v2",
        "bind_v2",
        "listen_v2",
        "connect_v2",
        "recv_v2",
        "recv_from_v2",
        "send_v2",
        "send_to_v2",
        "getlocaladdr_v2",
        "getpeeraddr_v2",
    ] {
        asked.push(special(&format!("wasi_snapshot_preview1 sock_{name}")));
    }
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("a.wasm");
    for name in ["wasmtime", "wasmer", "wasmedge"] {
        let executable = match name {
            "wasmtime" => store::shared().wasmtime.clone(),
            name => match store::other_runtime(name) {
                Some(found) => found,
                None => continue,
            },
        };
        let descriptor = catalog.get(name).unwrap().describe(None).unwrap();
        for import in &asked {
            let text = format!(
                "(module (import \"{}\" \"{}\" (func)) (memory (export \"memory\") 1) \
                 (func (export \"_start\")))",
                import.module, import.name
            );
            std::fs::write(&module, wat::parse_str(text).unwrap()).unwrap();
            let output = std::process::Command::new(&executable)
                .arg("run")
                .arg(&module)
                .env("WASMER_DIR", folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).to_lowercase()
                + &String::from_utf8_lossy(&output.stdout).to_lowercase();
            // No such function has no parameters: a runtime that has it finds the type wrong.
            assert!(!output.status.success(), "{name}: {import}: {said}");
            let there = said.contains("incompatible import type");
            let missing = said.contains("unknown import");
            assert!(there != missing, "{name}: {import}: {said}");
            let provided = descriptor.lacking(&[import.clone()].into()).is_empty();
            assert_eq!(there, provided, "{name}: {import}: {said}");
        }
    }
}
