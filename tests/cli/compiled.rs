//! Modules compiled ahead: when they are made, when they are used, and when they are not trusted.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::pyw::Pyw;
use crate::store;

const COMPILES: &str = "pyw: wasmtime {wasmtime-version} compiles CPython 3.12.0, once\n";

/// The compiled modules of a test's store, and their bytes.
fn compiled(pyw: &Pyw) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(pyw.store().join("compiled")) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path().join("python.cwasm"))
        .filter_map(|file| Some((file.clone(), std::fs::read(&file).ok()?)))
        .collect();
    found.sort();
    found
}

/// A store in which nothing is compiled for the module that programs are run with.
fn uncompiled() -> Pyw {
    let pyw = Pyw::with_own_store();
    std::fs::remove_dir_all(pyw.store().join("compiled")).unwrap();
    pyw
}

#[test]
fn the_first_run_compiles_and_the_next_one_takes_it() {
    let pyw = uncompiled()
        .args(["--dry-run", "-c", "1"])
        .any_stdout()
        .run();
    // Only to show what would be run takes no seconds.
    assert!(compiled(&pyw).is_empty());
    assert!(!pyw.output.stdout.contains("--allow-precompiled"));
    let pyw = pyw
        .args(["--quiet", "-c", "print(1)"])
        .stdout("1\n")
        .stderr("")
        .run();
    let [(file, first)] = compiled(&pyw).try_into().unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
    let pyw = pyw.args(["-c", "print(2)"]).stdout("2\n").run();
    assert_eq!(compiled(&pyw), [(file.clone(), first)]);
    let pyw = pyw.args(["--dry-run", "-c", "1"]).any_stdout().run();
    let shown = &pyw.output.stdout;
    assert!(shown.contains(" --allow-precompiled "), "{shown}");
    assert!(shown.contains(file.to_str().unwrap()), "{shown}");
}

#[test]
fn what_pyw_did_not_make_is_not_executed() {
    let mut pyw = Pyw::with_own_store();
    let dry = ["--dry-run", "-c", "1"];
    pyw = pyw.args(dry).any_stdout().run();
    assert!(pyw.output.stdout.contains("--allow-precompiled"));
    let used = |pyw: &Pyw| {
        let words = pyw.output.stdout.split_whitespace();
        let file = words.rev().find(|word| word.ends_with("python.cwasm"));
        PathBuf::from(file.unwrap())
    };
    let file = used(&pyw);
    // The store's files are links to those of other tests.
    let bytes = std::fs::read(&file).unwrap();
    let rewrite = |bytes: &[u8], mode: u32| {
        let _ = std::fs::remove_file(&file);
        std::fs::write(&file, bytes).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // A faithful copy with another time is recognized by its content.
    rewrite(&bytes, 0o400);
    pyw = pyw.args(dry).any_stdout().run();
    assert_eq!(used(&pyw), file);

    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (what, bytes, mode) in [
        ("other bytes", &changed, 0o400),
        ("others may write it", &bytes, 0o422),
        ("it is cut off", &bytes[..1000].to_vec(), 0o400),
    ] {
        rewrite(bytes, mode);
        pyw = pyw.args(dry).any_stdout().run();
        assert!(
            !pyw.output.stdout.contains("--allow-precompiled"),
            "{what}: {}",
            pyw.output.stdout
        );
        // It is gone, and made again by who needs it.
        assert!(!file.exists(), "{what}");
        pyw = pyw
            .args(["--quiet", "-c", "1"])
            .run()
            .args(dry)
            .any_stdout()
            .run();
        assert_eq!(used(&pyw), file);
    }
}

/// A folder with the tests' wasmtime in it, and a script for its lean executable.
fn with_lean(script: &str) -> Pyw {
    let pyw = uncompiled().executable("../lean/wasmtime-min", script);
    let copy = pyw.dir().with_file_name("lean").join("wasmtime");
    std::fs::copy(&store::shared().wasmtime, &copy).unwrap();
    pyw.env("PYW_RUNTIME_WASMTIME", copy)
}

/// What a start of wasmtime's would run.
fn shown(pyw: Pyw) -> (Pyw, String) {
    let pyw = pyw.args(["--dry-run", "-c", "1"]).any_stdout().run();
    let command = pyw.output.stdout.lines().find(|l| l.starts_with("env -i"));
    let command = command.unwrap().to_owned();
    (pyw, command)
}

#[test]
fn the_lean_executable_runs_what_was_compiled() {
    let pyw = uncompiled();
    let (pyw, command) = shown(pyw);
    assert!(command.contains("/wasmtime run "), "{command}");
    let pyw = pyw.args(["--quiet", "-c", "print(1)"]).stdout("1\n").run();
    let (_, command) = shown(pyw);
    assert!(command.contains("/wasmtime-min run "), "{command}");
}

#[test]
fn a_lean_executable_of_another_release_is_none() {
    let pyw = with_lean("#!/bin/sh\necho 'wasmtime 1.2.3 (0123456 2026-01-01)'\n");
    let pyw = pyw.args(["--quiet", "-c", "print(1)"]).stdout("1\n").run();
    let (_, command) = shown(pyw);
    assert!(command.contains("/wasmtime run "), "{command}");
    assert!(command.contains("--allow-precompiled"), "{command}");
}

#[test]
fn what_the_lean_executable_cannot_run_is_left_to_the_other() {
    let script = "#!/bin/sh\n\
        if [ \"$1\" = --version ]; then exec \"${0%-min}\" --version; fi\n\
        echo 'it has no such feature' >&2; exit 1\n";
    let pyw = with_lean(script);
    let pyw = pyw.args(["--quiet", "-c", "print(1)"]).stdout("1\n").run();
    let (_, command) = shown(pyw);
    assert!(command.contains("/wasmtime run "), "{command}");
    assert!(command.contains("--allow-precompiled"), "{command}");
}

#[test]
fn where_compiling_fails_programs_run_all_the_same() {
    let descriptor = include_str!("../../runtimes/wasmtime.toml").replace(
        "[\"compile\", \"-C\"",
        "[\"compile\", \"--no-such-option\", \"-C\"",
    );
    let pyw = uncompiled().write("../home/.config/pyw/runtimes/wasmtime.toml", &descriptor);
    let run = |pyw: Pyw| pyw.args(["-c", "print(1)"]).stdout("1\n");
    let pyw = run(pyw)
        .stderr(
            "pyw: wasmtime {wasmtime-version} could not compile the interpreter ahead, so that \
             every start is slow: exit status: 2: [..]\n",
        )
        .run();
    // It is told once, and not tried at every start.
    let pyw = run(pyw).run();
    let pyw = pyw
        .args(["warm", "--runtime", "wasmtime"])
        .code(117)
        .stderr(
            "pyw: wasmtime {wasmtime-version} could not compile the interpreter: exit status: 2: \
             [..]\nhint: programs run all the same, more slowly; another runtime may do better: \
             --runtime\n",
        )
        .run();
    assert!(compiled(&pyw).is_empty());
}

#[test]
fn warm_makes_ready_and_runs_nothing() {
    let pyw = uncompiled()
        .write("app.py", "open('/tmp/x', 'w'); print('I was run')")
        .args(["warm", "-v", "app.py"])
        .stderr(&format!(
            "{COMPILES}pyw: CPython 3.12.0 is compiled for wasmtime {{wasmtime-version}}\n"
        ))
        .run();
    assert_eq!(compiled(&pyw).len(), 1);
    pyw.args(["warm", "--no-such"])
        .code(2)
        .stderr("pyw: pyw has no option `--no-such`\nhint: options of the program's own stand behind it; pyw's are in `pyw --help`\n")
        .run();
}
