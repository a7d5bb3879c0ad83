//! Environments out of wheels that are made here, with a guest that only pretends to compile.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use camino::Utf8PathBuf;
use pyw::error::Code;
use pyw::interpreter::Interpreter;
use pyw::package::environment::{self, Bytecode, Contents, Environment, EnvironmentError};
use pyw::package::prune;
use pyw::package::wheel::{self, WheelRef};
use pyw::store::Kind;
use pyw::store::usage::Use;

use crate::guest::Pretended;
use crate::support::archive::Made;
use crate::support::python::interpreter;
use crate::support::{Scratch, files};
use crate::{offline, remove_unused};

fn build_with(
    scratch: &Scratch,
    wheels: &[WheelRef],
    guest: &Pretended,
) -> Result<Environment, EnvironmentError> {
    let interpreter = interpreter(&scratch.path, "cpython");
    let contents = Contents { wheels, roots: &[] };
    let store = &scratch.store;
    environment::provide_compiled(contents, &interpreter, store, &offline(), guest)
        .map(|(environment, _)| environment)
}

fn build(scratch: &Scratch, made: &[Made]) -> Result<Environment, EnvironmentError> {
    let wheels: Vec<WheelRef> = made.iter().map(|made| made.pin(&scratch.path)).collect();
    build_with(scratch, &wheels, &Pretended::default())
}

#[test]
fn a_wheel_becomes_a_tree() {
    let scratch = Scratch::new();
    let mut made = Made::new("Some_Thing", "1.0")
        .with("some/__init__.py", "x = 1\n")
        .with("some/data.txt", "text")
        .with("some/__pycache__/__init__.cpython-312.pyc", "stale")
        .with("Some_Thing-1.0.data/purelib/some/more.py", "y = 2\n")
        .with("Some_Thing-1.0.data/platlib/other.py", "")
        .with("Some_Thing-1.0.data/data/share/man/some.1", "man")
        .with("Some_Thing-1.0.data/data/lib/x", "no")
        .with("Some_Thing-1.0.data/headers/some.h", "int x;")
        .with(
            "Some_Thing-1.0.data/scripts/some-script",
            "#!python\nprint(1)\n",
        )
        .with("Some_Thing-1.0.data/scripts/shell", "#!/bin/sh\nrm -rf /\n")
        .with("hooks.pth", "import os; os.system('x')\n")
        .with("paths.pth", "# a folder\nsome/inner\n")
        .with("up.pth", "../elsewhere\n")
        .with("late.start", "some:main\n")
        .with_info(
            "entry_points.txt",
            "[console_scripts]\nsome = some.more:cli.main\n",
        );
    made.put_info("licenses/LICENSE", "free\n");
    let environment = build(&scratch, &[made]).unwrap();
    let site = environment.site_packages();
    assert_eq!(
        files(&environment.folder),
        [
            "bin/shell",
            "bin/some",
            "bin/some-script",
            "data/share/man/some.1",
            "pyw.json",
            "site-packages/Some_Thing-1.0.dist-info/INSTALLER",
            "site-packages/Some_Thing-1.0.dist-info/METADATA",
            "site-packages/Some_Thing-1.0.dist-info/RECORD",
            "site-packages/Some_Thing-1.0.dist-info/WHEEL",
            "site-packages/Some_Thing-1.0.dist-info/entry_points.txt",
            "site-packages/Some_Thing-1.0.dist-info/licenses/LICENSE",
            "site-packages/__pycache__/other.cpython-312.pyc",
            "site-packages/other.py",
            "site-packages/paths.pth",
            "site-packages/some/__init__.py",
            "site-packages/some/__pycache__/__init__.cpython-312.pyc",
            "site-packages/some/__pycache__/more.cpython-312.pyc",
            "site-packages/some/data.txt",
            "site-packages/some/more.py",
        ]
    );
    // Compiled for where the guest sees it.
    let read = |path: &str| std::fs::read_to_string(site.join(path)).unwrap();
    assert_eq!(
        read("some/__pycache__/more.cpython-312.pyc"),
        "/usr/local/lib/python3.12/site-packages/some/more.py\ny = 2\n"
    );
    let record = read("Some_Thing-1.0.dist-info/RECORD");
    assert!(!record.contains("../"), "{record}");
    assert!(record.contains("some/more.py,sha256="), "{record}");
    for gone in ["data/", "hooks.pth", "__pycache__", "late.start"] {
        assert!(!record.contains(gone), "{record}");
    }
    assert_eq!(read("Some_Thing-1.0.dist-info/INSTALLER"), "pyw\n");
    // The files are those of the wheel.
    let links = std::fs::metadata(site.join("some/data.txt"))
        .unwrap()
        .nlink();
    assert_eq!(links, 2);

    let interpreter = interpreter(&scratch.path, "cpython");
    let command = |name: &str| environment.command(name, &interpreter);
    assert_eq!(command("some").unwrap(), "/usr/local/bin/some");
    assert_eq!(
        std::fs::read_to_string(environment.folder.join("bin/some")).unwrap(),
        "import sys\nfrom some.more import cli\nif __name__ == '__main__':\n    \
         sys.exit(cli.main())\n"
    );
    assert_eq!(
        command("some-script").unwrap(),
        "/usr/local/bin/some-script"
    );
    let error = command("shell").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the command `shell` of some-thing is not a Python script, and nothing else can run in \
         the sandbox"
    );
    let error = command("sone").unwrap_err();
    assert_eq!(error.to_string(), "no package here has a command `sone`");
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(error.hint().unwrap(), "there are: shell, some, some-script");
    let mounts: Vec<(String, String)> = environment
        .mounts(&interpreter, true)
        .into_iter()
        .map(|mount| {
            let host = mount.host.strip_prefix(&environment.folder).unwrap();
            (host.to_string(), mount.guest)
        })
        .collect();
    let expected = [
        ("site-packages", "/usr/local/lib/python3.12/site-packages"),
        ("data/share", "/usr/local/share"),
        ("bin", "/usr/local/bin"),
    ];
    assert_eq!(mounts, expected.map(|(h, g)| (h.to_owned(), g.to_owned())));
}

#[test]
fn the_same_wheels_are_the_same_environment() {
    let scratch = Scratch::new();
    let one = Made::new("one", "1").with("one.py", "").pin(&scratch.path);
    let two = Made::new("two", "1").with("two.py", "").pin(&scratch.path);
    let guest = Pretended::default();
    let first = build_with(&scratch, &[one.clone(), two.clone()], &guest).unwrap();
    // Nothing is wanted of the wheels' files any more.
    for made in ["one-1-py3-none-any.whl", "two-1-py3-none-any.whl"] {
        std::fs::remove_file(scratch.path.join(made)).unwrap();
    }
    let again = build_with(&scratch, &[two.clone(), one.clone(), one.clone()], &guest).unwrap();
    assert_eq!(first, again);
    assert_eq!(guest.starts.load(Ordering::Relaxed), 1, "both in one start");
    let part = build_with(&scratch, std::slice::from_ref(&one), &guest).unwrap();
    assert_ne!(part.key, first.key);
    let provide = |interpreter: &Interpreter, roots, guest: &Pretended| {
        let contents = Contents {
            wheels: std::slice::from_ref(&one),
            roots,
        };
        environment::provide(
            contents,
            interpreter,
            &scratch.store,
            &offline(),
            guest,
            Bytecode::SecondRun,
        )
        .unwrap()
        .0
    };
    let own = interpreter(&scratch.path, "cpython");
    assert_eq!(
        provide(&own, &[], &guest),
        part,
        "the compiled one, at once"
    );
    let source = ["/src".to_owned()];
    let with_source = provide(&own, &source, &guest);
    assert!(
        !with_source
            .key
            .contains(part.key.trim_end_matches("-compiled"))
    );
    assert_eq!(guest.starts.load(Ordering::Relaxed), 1, "compiled once");
    // Another interpreter compiles for itself.
    let other = interpreter(&scratch.path, "other");
    let guest = Pretended::default();
    let plain = provide(&other, &[], &guest);
    let compiled = provide(&other, &[], &guest);
    assert!(!plain.is_compiled() && compiled.is_compiled());
    assert_ne!(compiled.key, part.key);
    assert_eq!(guest.starts.load(Ordering::Relaxed), 1);
    assert_eq!(scratch.store.list(Kind::Wheel).unwrap().len(), 2);
    assert_eq!(scratch.store.list(Kind::Bytecode).unwrap().len(), 3);
}

fn provide(scratch: &Scratch, wheels: &[WheelRef], guest: &Pretended) -> (Environment, Use) {
    let interpreter = interpreter(&scratch.path, "cpython");
    let contents = Contents { wheels, roots: &[] };
    let store = &scratch.store;
    environment::provide(
        contents,
        &interpreter,
        store,
        &offline(),
        guest,
        Bytecode::SecondRun,
    )
    .unwrap()
}

#[test]
fn bytecode_is_made_at_the_second_use() {
    let scratch = Scratch::new();
    let pins = [Made::new("one", "1")
        .with("one.py", "x = 1\n")
        .pin(&scratch.path)];
    let guest = Pretended::default();
    let (plain, held) = provide(&scratch, &pins, &guest);
    assert!(!plain.is_compiled() && !plain.site_packages().join("__pycache__").exists());
    assert_eq!(guest.starts.load(Ordering::Relaxed), 0);
    assert_eq!(scratch.store.list(Kind::Bytecode).unwrap(), []);
    let (compiled, held_too) = provide(&scratch, &pins, &guest);
    assert!(compiled.is_compiled());
    assert_eq!(compiled.info, plain.info);
    let pyc = "__pycache__/one.cpython-312.pyc";
    assert!(compiled.site_packages().join(pyc).is_file());
    assert_eq!(provide(&scratch, &pins, &guest).0, compiled);
    assert_eq!(guest.starts.load(Ordering::Relaxed), 1);
    // Both are held, from before the caller knew of them.
    let prune = || {
        let pruned = remove_unused(&scratch.store, &[Kind::Environment]);
        pruned.removed.len()
    };
    assert_eq!(prune(), 0);
    drop((held, held_too));
    assert_eq!(prune(), 2);
}

#[test]
fn what_cannot_be_compiled_runs_without_bytecode() {
    let scratch = Scratch::new();
    let made = Made::new("one", "1").with("one.py", "").with("two.py", "");
    let pins = [made.pin(&scratch.path)];
    let guest = Pretended {
        dies_at: Some(".py".into()),
        ..Pretended::default()
    };
    let plain = provide(&scratch, &pins, &guest).0;
    for _ in 0..2 {
        assert_eq!(provide(&scratch, &pins, &guest).0, plain);
    }
    assert_ne!(guest.starts.load(Ordering::Relaxed), 0, "it was tried");
    // Nothing is fetched or unpacked for the sake of bytecode.
    let guest = Pretended::default();
    remove_unused(&scratch.store, &[Kind::Wheel]);
    assert_eq!(provide(&scratch, &pins, &guest).0, plain);
    assert_eq!(scratch.store.list(Kind::Wheel).unwrap(), []);
    // Where there is nothing to compile there is nothing to make.
    provide(&scratch, &[], &guest);
    assert!(!provide(&scratch, &[], &guest).0.is_compiled());
    assert_eq!(guest.starts.load(Ordering::Relaxed), 0);
}

#[test]
fn what_environments_are_made_of_stays_with_them() {
    let scratch = Scratch::new();
    let pin = |name: &str| {
        let made = Made::new(name, "1").with(&format!("{name}.py"), "x = 1\n");
        made.pin(&scratch.path)
    };
    let (one, two, three) = (pin("one"), pin("two"), pin("three"));
    let guest = Pretended::default();
    // A compiled one and the plain one that it replaced; a plain one; one that nobody uses.
    let used = [one.clone(), two.clone()];
    let replaced = provide(&scratch, &used, &guest).0;
    let used = provide(&scratch, &used, &guest).0;
    let plain = provide(&scratch, std::slice::from_ref(&one), &guest).0;
    let unused = provide(&scratch, std::slice::from_ref(&three), &guest).0;
    let age = |path: Utf8PathBuf| {
        let old = SystemTime::now() - Duration::from_secs(40 * 24 * 3600);
        let file = std::fs::File::open(path).unwrap();
        file.set_modified(old).unwrap();
    };
    for kind in [Kind::Wheel, Kind::Bytecode] {
        for entry in scratch.store.list(kind).unwrap() {
            age(entry.path);
            let uses = scratch.store.root().join("uses");
            age(uses.join(format!("{}-{}", kind.folder(), entry.key)));
        }
    }
    age(unused.folder.clone());
    age(scratch
        .store
        .root()
        .join(format!("uses/environments-{}", unused.key)));
    let month = Duration::from_secs(30 * 24 * 3600);
    let told = prune::prune(&scratch.store, month, true).unwrap();
    assert!(unused.folder.exists());
    let pruned = prune::prune(&scratch.store, month, false).unwrap();
    assert_eq!(told, pruned);
    let mut removed = pruned.removed;
    removed.sort();
    let mut expected = vec![
        (Kind::Wheel, three.key()),
        (Kind::Environment, replaced.key),
        (Kind::Environment, unused.key),
    ];
    expected.sort();
    assert_eq!(removed, expected);
    assert!(pruned.freed > 0);
    // What stays is whole, and is all that is needed.
    assert_eq!(provide(&scratch, &[one.clone(), two], &guest).0, used);
    assert_eq!(guest.starts.load(Ordering::Relaxed), 1);
    assert!(plain.site_packages().join("one.py").exists());
    let compiled = provide(&scratch, &[one], &guest).0;
    assert!(compiled.is_compiled());
    assert_eq!(
        guest.starts.load(Ordering::Relaxed),
        1,
        "there was bytecode"
    );
}

#[test]
fn an_environment_of_nothing() {
    let scratch = Scratch::new();
    let environment = build(&scratch, &[]).unwrap();
    assert_eq!(files(&environment.folder), ["pyw.json"]);
    assert!(environment.site_packages().is_dir());
}

#[test]
fn namespace_packages_merge() {
    let scratch = Scratch::new();
    let environment = build(
        &scratch,
        &[
            Made::new("ns_a", "1")
                .with("ns/a/__init__.py", "")
                .with("old/__init__.py", "same\n"),
            Made::new("ns_b", "1")
                .with("ns/b.py", "")
                .with("old/__init__.py", "same\n"),
        ],
    )
    .unwrap();
    let site = environment.site_packages();
    for file in ["ns/a/__init__.py", "ns/b.py", "old/__init__.py"] {
        assert!(site.join(file).is_file(), "{file}");
    }
    assert!(!site.join("ns/__init__.py").exists());
}

#[test]
fn two_wheels_with_one_file() {
    let scratch = Scratch::new();
    let conflict = |a: Made, b: Made| build(&scratch, &[a, b]).unwrap_err().to_string();
    assert_eq!(
        conflict(
            Made::new("a", "1").with("tests/__init__.py", "a"),
            Made::new("b", "1").with("tests/__init__.py", "b"),
        ),
        "a-1-py3-none-any.whl and b-1-py3-none-any.whl both bring \"tests/__init__.py\", and not \
         the same"
    );
    assert_eq!(
        conflict(
            Made::new("c", "1").with("x/Y.py", ""),
            Made::new("d", "1").with("x/y.py", ""),
        ),
        "c-1-py3-none-any.whl and d-1-py3-none-any.whl both bring \"x/y.py\", and not the same"
    );
    for (one, other) in [("m/x", "m"), ("m", "m/x"), ("m/x/y", "m/x")] {
        let message = conflict(
            Made::new("e", "1").with(one, ""),
            Made::new("f", "1").with(other, ""),
        );
        assert!(
            message.starts_with("e-1-py3-none-any.whl and f-1"),
            "{message}"
        );
    }
    assert_eq!(
        conflict(Made::new("g", "1"), Made::new("g", "2")),
        "g-1-py3-none-any.whl and g-2-py3-none-any.whl are both g"
    );
    let error = build(
        &scratch,
        &[
            Made::new("a", "1").with("m.py", "a"),
            Made::new("b", "1").with("m.py", "b"),
        ],
    )
    .unwrap_err();
    assert_eq!(error.code(), Code::Resolution);
    assert!(error.hint().unwrap().contains("leave one of them out"));
    // What is no module and lies about at the top does no harm.
    build(
        &scratch,
        &[
            Made::new("h", "1")
                .with("LICENSE", "h")
                .with("README.md", "h"),
            Made::new("i", "1")
                .with("LICENSE", "i")
                .with("README.md", "i"),
        ],
    )
    .unwrap();
    assert_eq!(scratch.store.list(Kind::Environment).unwrap().len(), 1);
}

#[test]
fn what_the_interpreter_brings_stays_importable() {
    let scratch = Scratch::new();
    let own = interpreter(&scratch.path, "cpython").site();
    let put = |path: &str, text: &str| {
        let path = own.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("README.txt", "interpreter");
    put("numpy/__init__.py", "numpy 1");
    put("numpy-1.0.dist-info/METADATA", "");
    put(
        "numpy-1.0.dist-info/RECORD",
        "numpy/__init__.py,,\nnumpy/old.py,,\n",
    );
    put("numpy/old.py", "");
    put("kept/__init__.py", "");
    put("kept-1.0.dist-info/RECORD", "kept/__init__.py,,\n");
    let site = |made: &[Made]| build(&scratch, made).unwrap().site_packages();
    let plain = site(&[Made::new("a", "1").with("README.txt", "a")]);
    let read = |site: &Utf8PathBuf, path: &str| std::fs::read_to_string(site.join(path)).unwrap();
    assert_eq!(read(&plain, "numpy/__init__.py"), "numpy 1");
    assert_eq!(read(&plain, "README.txt"), "a");
    assert!(plain.join("numpy-1.0.dist-info/METADATA").exists());
    let newer = site(&[Made::new("numpy", "2.0").with("numpy/__init__.py", "numpy 2")]);
    assert_eq!(read(&newer, "numpy/__init__.py"), "numpy 2");
    assert!(!newer.join("numpy-1.0.dist-info").exists());
    assert!(!newer.join("numpy/old.py").exists());
    assert!(newer.join("kept/__init__.py").exists());
}

#[test]
fn sources_of_a_project_are_importable() {
    let scratch = Scratch::new();
    let roots = ["/home/me/project/src".to_owned()];
    let contents = Contents {
        wheels: &[],
        roots: &roots,
    };
    let interpreter = interpreter(&scratch.path, "cpython");
    let guest = Pretended::default();
    let store = &scratch.store;
    let (environment, _) = environment::provide(
        contents,
        &interpreter,
        store,
        &offline(),
        &guest,
        Bytecode::SecondRun,
    )
    .unwrap();
    let file = environment.site_packages().join("_pyw_project.pth");
    assert_eq!(
        std::fs::read_to_string(file).unwrap(),
        "/home/me/project/src\n"
    );
    assert_eq!(guest.starts.load(Ordering::Relaxed), 0);
}

#[test]
fn modules_that_kill_the_compiler_are_left_out() {
    let scratch = Scratch::new();
    let wheel = Made::new("deep", "1")
        .with("deep/a.py", "1")
        .with("deep/deep.py", "((((((")
        .with("deep/z.py", "1")
        .pin(&scratch.path);
    let guest = Pretended {
        dies_at: Some("/deep.py".into()),
        ..Pretended::default()
    };
    let environment = build_with(&scratch, &[wheel], &guest).unwrap();
    let cache = environment.site_packages().join("deep/__pycache__");
    assert_eq!(files(&cache), ["a.cpython-312.pyc", "z.cpython-312.pyc"]);
    // An interpreter that does nothing at all is another matter.
    let wheel = Made::new("none", "1")
        .with("a.py", "1")
        .with("b.py", "1")
        .pin(&scratch.path);
    let guest = Pretended {
        dies_at: Some(".py".into()),
        ..Pretended::default()
    };
    let error = build_with(&scratch, &[wheel], &guest).unwrap_err();
    assert_eq!(
        error.to_string(),
        "byte-compiling packages failed: wasm trap: call stack exhausted"
    );
    assert_eq!(error.code(), Code::Interpreter);
}

#[test]
fn what_was_unpacked_before_a_failure_is_kept() {
    let scratch = Scratch::new();
    let good = Made::new("good", "1").pin(&scratch.path);
    let bad = Made::new("bad", "1")
        .with_info("WHEEL", "")
        .pin(&scratch.path);
    // The good one first: several threads take them in order.
    let mut pins = vec![good, bad];
    pins.sort_by_key(WheelRef::key);
    wheel::provide(&pins, &scratch.store, &offline()).unwrap_err();
    assert!(scratch.store.list(Kind::Wheel).unwrap().len() <= 1);
    assert_eq!(
        files(&scratch.store.root().join("staging")),
        Vec::<String>::new()
    );
}

#[test]
fn records_of_the_store_that_are_damaged_are_told() {
    let scratch = Scratch::new();
    let environment = build(&scratch, &[]).unwrap();
    let file = environment.folder.join("pyw.json");
    std::fs::write(&file, "{").unwrap();
    let error = build(&scratch, &[]).unwrap_err();
    assert!(error.to_string().starts_with(&format!(
        "`{file}` is not a record that this pyw can read: "
    )));
    assert_eq!(error.code(), Code::Storage);
    assert_eq!(
        error.hint().unwrap(),
        format!("delete {}, and it is made again", environment.folder)
    );
}
