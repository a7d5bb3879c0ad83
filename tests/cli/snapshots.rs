//! Snapshots: when they are made, when runs begin from them, and when they don't.

use std::process::{Command, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use pyw::interpreter::Interpreter;
use pyw::interpreter::snapshot::{Again, Capture, Found, Wanted};
use pyw::sandbox::{Access, Mount, Purpose};
use pyw::store::{Kind, Store};

use crate::pyw::Pyw;
use crate::store;

/// A store of its own in which no snapshot was thought of.
fn with_snapshots() -> Pyw {
    let pyw = Pyw::with_own_store();
    for folder in [
        "snapshots",
        "cache/snapshots",
        "cache/imports",
        "cache/launches",
    ] {
        let _ = std::fs::remove_dir_all(pyw.store().join(folder));
    }
    pyw.env("PYW_SNAPSHOTS", "1")
}

fn snapshots(pyw: &Pyw) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(pyw.store().join("snapshots")) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// What `--dry-run` says of the start.
fn start(pyw: &Pyw, args: &[&str]) -> String {
    let output = pyw.output_of(&[&["--dry-run"], args].concat());
    let line = output
        .stdout
        .lines()
        .find(|line| line.starts_with("# start: "));
    line.unwrap_or(&output.stderr).to_owned()
}

#[test]
fn the_second_run_makes_one_and_the_next_ones_begin_there() {
    let pyw = with_snapshots();
    let run = ["-c", "import json; print(json.dumps('x'))"];
    assert_eq!(
        start(&pyw, &run),
        "# start: without a snapshot: no snapshot was made yet"
    );
    let pyw = pyw.args(run).stdout("\"x\"\n").run();
    assert_eq!(snapshots(&pyw), [] as [std::path::PathBuf; 0]);
    let pyw = pyw.args(run).stdout("\"x\"\n").stderr("").run();
    assert_eq!(snapshots(&pyw).len(), 1);
    let pyw = pyw.args(run).stdout("\"x\"\n").stderr("").run();
    let from = start(&pyw, &run);
    assert!(from.starts_with("# start: from a snapshot with "), "{from}");

    // What asks for CPython's own start gets it, and the plan says why.
    for (args, reason) in [
        (
            &["--no-snapshot", "-c", "1"][..],
            "snapshots are switched off (--no-snapshot)",
        ),
        (&["-O", "-c", "1"], "-O changes how Python starts"),
        (&["-Xutf8", "-c", "1"], "-X changes how Python starts"),
        (&["-bb", "-c", "1"], "-b changes how Python starts"),
        (
            &["--env", "PYTHONHASHSEED=1", "-c", "1"],
            "PYTHONHASHSEED changes how Python starts",
        ),
        (
            &["--env", "LC_ALL=C", "-c", "1"],
            "LC_ALL=C changes how Python starts",
        ),
        (
            &["--memory", "30M", "-c", "1"],
            "--memory leaves too little beside the ",
        ),
    ] {
        let start = start(&pyw, args);
        let expected = format!("# start: without a snapshot: {reason}");
        assert!(start.starts_with(&expected), "{start}");
    }
    let from = start(&pyw, &["--memory", "64M", "-c", "1"]);
    assert!(from.starts_with("# start: from a snapshot with "), "{from}");

    // What other programs import of the library is no reason to make another one.
    let old = snapshots(&pyw);
    let run = ["-c", "import colorsys; print(colorsys.rgb_to_hsv(0, 0, 0))"];
    let mut pyw = pyw;
    for _ in 0..2 {
        pyw = pyw.args(run).stdout("(0.0, 0.0, 0)\n").stderr("").run();
    }
    assert_eq!(snapshots(&pyw), old);
}

#[test]
fn one_that_does_not_work_on_a_runtime_is_set_aside_there() {
    let descriptor = include_str!("../../runtimes/wasmtime.toml");
    let twin = descriptor.replace("name = \"wasmtime\"", "name = \"twin\"");
    let pyw = with_snapshots()
        .write("../home/.config/pyw/runtimes/twin.toml", &twin)
        .env("PYW_RUNTIME_TWIN", "{wasmtime}");
    let run = ["-c", "print(1)"];
    let on_twin = ["--runtime", "twin", "-c", "print(1)"];
    let pyw = pyw.args(run).stdout("1\n").run();
    let pyw = pyw.args(run).stdout("1\n").any_stderr().run();
    let [folder] = snapshots(&pyw).try_into().unwrap();
    // Neither tried nor compiled yet, and broken.
    for cache in ["compiled", "modules"] {
        std::fs::remove_dir_all(pyw.store().join(cache)).unwrap();
    }
    let notes = pyw.store().join("cache/snapshots");
    let mut tried = 0;
    for note in std::fs::read_dir(notes).unwrap().flatten() {
        if std::fs::read_to_string(note.path())
            .unwrap()
            .contains("wrong")
        {
            std::fs::remove_file(note.path()).unwrap();
            tried += 1;
        }
    }
    assert_eq!(tried, 1);
    let module = folder.join("python.wasm");
    let whole = std::fs::read(&module).unwrap();
    let mut permissions = std::fs::metadata(&module).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    std::fs::set_permissions(&module, permissions).unwrap();
    let broken = wat::parse_str(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
            (memory (export "memory") 1) (func (export "_start") unreachable))"#,
    )
    .unwrap();
    std::fs::write(&module, broken).unwrap();
    let pyw = pyw.args(run).stdout("1\n").any_stderr().run();
    assert!(
        pyw.output
            .stderr
            .contains("pyw: the snapshot does not work: wasmtime "),
        "{}",
        pyw.output.stderr
    );
    let why = start(&pyw, &run);
    assert!(
        why.starts_with("# start: without a snapshot: the snapshot does not work: "),
        "{why}"
    );
    // Nobody tries again.
    let pyw = pyw.args(run).stdout("1\n").stderr("").run();

    // It is tried on other runtimes, where it may work. So it does when it is whole.
    assert_eq!(
        start(&pyw, &on_twin),
        "# start: without a snapshot: the snapshot was not tried on this runtime yet"
    );
    std::fs::write(&module, whole).unwrap();
    std::fs::remove_dir_all(pyw.store().join("modules")).unwrap();
    let pyw = pyw.args(on_twin).stdout("1\n").any_stderr().run();
    let from = start(&pyw, &on_twin);
    assert!(from.starts_with("# start: from a snapshot with "), "{from}");
    assert_eq!(start(&pyw, &run), why);
}

/// Compiling takes minutes on such a runtime, so only `pyw warm` does it, and of one module only.
#[test]
fn where_compiling_is_slow_the_compiled_interpreter_is_preferred() {
    let descriptor = include_str!("../../runtimes/wasmtime.toml");
    let mut slow = descriptor.to_owned();
    for (from, to) in [
        ("name = \"wasmtime\"", "name = \"slow\""),
        ("[compile]\n", "[compile]\nslow = true\n"),
        // Quicker, as each run compiles.
        ("\"cache=n\"", "\"cache=n\", \"-C\", \"compiler=winch\""),
    ] {
        assert!(slow.contains(from));
        slow = slow.replace(from, to);
    }
    let pyw = with_snapshots()
        .write("../home/.config/pyw/runtimes/slow.toml", &slow)
        .env("PYW_RUNTIME_SLOW", "{wasmtime}");
    let run = ["--runtime", "slow", "-c", "print(1)"];
    let pyw = pyw.args(run).stdout("1\n").any_stderr().run();
    let pyw = pyw.args(run).stdout("1\n").any_stderr().run();
    let from = start(&pyw, &run);
    assert!(from.starts_with("# start: from a snapshot with "), "{from}");

    let compiled = |pyw: &Pyw| {
        let entries = std::fs::read_dir(pyw.store().join("compiled")).unwrap();
        let names = entries.flatten().map(|entry| entry.file_name());
        let slow = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("slow-");
        names.filter(slow).count()
    };
    assert_eq!(compiled(&pyw), 0);
    let warm = ["warm", "--runtime", "slow", "-c", "print(1)"];
    let pyw = pyw.args(warm).any_stdout().any_stderr().run();
    assert_eq!(compiled(&pyw), 1);
    let why = start(&pyw, &run);
    let expected = "starts the compiled interpreter sooner than it interprets a snapshot";
    assert!(
        why.starts_with("# start: without a snapshot: ") && why.ends_with(expected),
        "{why}"
    );
    pyw.args(run).stdout("1\n").stderr("").run();
}

/// Runs the guest on wasmtime, and kills it soon after it began to import `hangs`.
struct Wasmtime {
    root: Utf8PathBuf,
}

impl Capture for Wasmtime {
    fn capture(
        &self,
        module: &Utf8Path,
        _: Again,
        mounts: Vec<Mount>,
        args: Vec<String>,
        output: &Utf8Path,
    ) -> Result<(), String> {
        let mut command = Command::new(&store::shared().wasmtime);
        // Each run compiles, so the quick way.
        command.args(["run", "-C", "cache=n", "-C", "compiler=winch"]);
        command.args(["-W", "max-wasm-stack=8388608"]);
        command.args(["--dir", &format!("{}::/", self.root)]);
        for mount in mounts {
            let dir = format!("{}::{}", mount.host, mount.guest);
            command.args(["--dir", &dir]);
        }
        command.arg(module).args(args);
        command.stdin(Stdio::null());
        command.stdout(std::fs::File::create(output).unwrap());
        let mut child = command.spawn().unwrap();
        let mut left = 20;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                let ended = status.success().then_some(());
                return ended.ok_or_else(|| status.to_string());
            }
            if left == 0 {
                child.kill().unwrap();
                child.wait().unwrap();
                return Err("it did not end".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
            let printed = std::fs::read(output).unwrap();
            if printed.ends_with(b"{\"importing\":\"hangs\"}\n") {
                left -= 1;
            }
        }
    }
}

#[test]
fn modules_whose_import_does_not_end_are_left_out() {
    let pyw = Pyw::with_empty_store()
        .write("site/alone.py", "import json\n")
        .write("site/ends.py", "import os\nos._exit(3)\n")
        .write("site/hangs/__init__.py", "import time\ntime.sleep(1e9)\n")
        .write("site/hangs/more.py", "")
        .mkdir("root");
    let folder = Utf8PathBuf::from_path_buf(store::shared().interpreter.clone()).unwrap();
    let interpreter = Interpreter::open(&folder).unwrap();
    let mounts = [Mount {
        host: Utf8PathBuf::from_path_buf(pyw.dir().join("site")).unwrap(),
        guest: interpreter.info.site.clone(),
        access: Access::Read,
        purpose: Purpose::Packages,
    }];
    let names = ["alone", "ends", "hangs", "hangs.more", "textwrap"].map(str::to_owned);
    let wanted = Wanted {
        interpreter: &interpreter,
        packages: Some(("some", &mounts)),
        names: &names,
    };
    let store = Store::at(Utf8PathBuf::from_path_buf(pyw.store().to_owned()).unwrap());
    let guest = Wasmtime {
        root: Utf8PathBuf::from_path_buf(pyw.dir().join("root")).unwrap(),
    };
    let Found::Ready(snapshot) = wanted.make(&store, &guest).unwrap() else {
        panic!("{:?}", wanted.find(&store));
    };
    let left_out: Vec<_> = snapshot
        .left_out
        .iter()
        .map(|(name, reason)| (name.as_str(), reason.as_str()))
        .collect();
    assert_eq!(
        left_out,
        [
            ("ends", "exit status: 3"),
            ("hangs", "it did not end"),
            ("hangs.more", "it did not end"),
        ]
    );
    for name in ["alone", "json", "textwrap"] {
        assert!(snapshot.modules.iter().any(|one| one == name), "{name}");
    }
}

#[test]
fn what_the_programs_own_modules_import_is_part_of_it() {
    let mut pyw = with_snapshots()
        .write("app.py", "import near\nnear.show()\n")
        .write(
            "near/__init__.py",
            "import colorsys\n\ndef show():\n    print(colorsys.ONE_THIRD < 1, __file__)\n",
        );
    for _ in 0..3 {
        pyw = pyw
            .args(["app.py"])
            .stdout("True {dir}/near/__init__.py\n")
            .any_stderr()
            .run();
    }
    let [snapshot] = snapshots(&pyw).try_into().unwrap();
    let made = std::fs::read_to_string(snapshot.join("snapshot.json")).unwrap();
    assert!(made.contains("\"colorsys\""), "{made}");
    assert!(made.contains("\"near\": \"ModuleNotFoundError"), "{made}");
}

/// The modules that the one snapshot of a store was made with.
fn modules(pyw: &Pyw) -> Vec<String> {
    let [snapshot] = snapshots(pyw).try_into().unwrap();
    let made = std::fs::read_to_string(snapshot.join("snapshot.json")).unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let names = made["made"]["modules"].as_array().unwrap().iter();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_only_a_run_shows_is_learned_from_the_first_one() {
    let script = "import importlib, sys\nimport near\n\
        name = 'xml.' + 'dom.' + 'minidom'\n\
        print(importlib.import_module(name).parseString('<a/>').documentElement.tagName)\n\
        sys.exit(3)\n";
    let mut pyw = with_snapshots()
        .write("app.py", script)
        .write("near.py", "__import__('wave' + '')\n")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    for _ in 0..2 {
        pyw = pyw
            .args(["app.py"])
            .stdout("a\n")
            .any_stderr()
            .code(3)
            .run();
    }
    let made = modules(&pyw);
    for (name, is_in) in [
        ("xml.dom.minidom", true),
        // With its parent, which it brings along.
        ("xml.dom", true),
        ("wave", true),
        ("near", false),
        ("turtle", false),
    ] {
        assert_eq!(made.iter().any(|one| one == name), is_in, "{name}");
    }
    // That was all there is to learn.
    let key = || snapshots(&pyw).pop();
    let old = key();
    let pyw = pyw.args(["app.py"]).stdout("a\n").stderr("").code(3).run();
    assert_eq!(old, snapshots(&pyw).pop());
    assert_eq!(launches(&pyw), 1);
}

/// How many starts are recorded.
fn launches(pyw: &Pyw) -> usize {
    let entries = std::fs::read_dir(pyw.store().join("cache/launches"));
    entries.map_or(0, Iterator::count)
}

#[test]
fn a_snapshot_that_lacks_what_takes_time_is_made_anew() {
    let script = "__import__('xml.' + 'dom.minidom').dom.minidom\nprint('ok')\n";
    let pyw = with_snapshots().write("app.py", script);
    // Its text names nothing.
    let pyw = pyw.args(["warm", "app.py"]).any_stderr().run();
    let is_in = |pyw: &Pyw| modules(pyw).iter().any(|one| one == "xml.dom.minidom");
    assert!(!is_in(&pyw));
    let compiled = |pyw: &Pyw| {
        let entries = std::fs::read_dir(pyw.store().join("compiled")).unwrap();
        entries.count()
    };
    let before = compiled(&pyw);
    // Another start has just found the first one, and will look for what is compiled of it.
    let [first] = snapshots(&pyw).try_into().unwrap();
    let name = first.file_name().unwrap().to_str().unwrap();
    let store = Store::at(Utf8PathBuf::from_path_buf(pyw.store().to_owned()).unwrap());
    let held = store.hold(Kind::Snapshot, name).unwrap().unwrap();
    // The first run is watched. The one after is the second that lacks something.
    let mut pyw = pyw;
    for _ in 0..3 {
        pyw = pyw.args(["app.py"]).stdout("ok\n").any_stderr().run();
    }
    assert!(first.is_dir());
    assert_eq!(compiled(&pyw), before + 1);
    drop(held);
    std::fs::remove_dir_all(&first).unwrap();
    assert!(is_in(&pyw));
    let pyw = pyw.args(["app.py"]).stdout("ok\n").stderr("").run();
    assert_eq!(launches(&pyw), 1);
}

#[test]
fn what_a_program_tells_of_itself_is_not_believed() {
    // A program can write where the bootstrap does, and end before that has its say.
    let script = "import os, sys\n\
        with open('/.pyw/rc/imports', 'w') as file:\n    \
            file.write('9000000 colorsys\\n9000000 ../up\\n' * 2)\n    \
            file.write('1 a b\\n99999999999999 wave\\n')\n\
        sys.stdout.write('ok\\n')\nsys.stdout.flush()\nos._exit(0)\n";
    let endless = "import os\nos.symlink('../../../../../../dev/zero', '/.pyw/rc/imports')\n\
        os.symlink('../../../../../../dev/zero', '/.pyw/rc/code')\nos._exit(0)\n";
    let mut pyw = with_snapshots()
        .write("app.py", script)
        .write("endless.py", endless);
    for _ in 0..2 {
        pyw = pyw.args(["app.py"]).stdout("ok\n").any_stderr().run();
    }
    let made = modules(&pyw);
    assert!(made.iter().any(|one| one == "colorsys"), "{made:?}");
    assert!(!made.iter().any(|one| one == "wave"), "{made:?}");
    // Nothing was learned from these, which is known as well.
    for _ in 0..2 {
        pyw = pyw.args(["endless.py"]).stdout("").any_stderr().run();
    }
    assert_eq!(modules(&pyw), made);
    assert_eq!(launches(&pyw), 1);
}
