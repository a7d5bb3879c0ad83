//! Several processes at once, processes that are killed, and a disk that is full.

use std::process::Command;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use pyw::error::Code;
use pyw::package::environment::{self, Bytecode, Contents, Environment, EnvironmentError};
use pyw::package::wheel::WheelRef;
use pyw::store::{Kind, Store};

use crate::guest::Pretended;
use crate::support::archive::Made;
use crate::support::process::{
    Killed, READ_ONLY, SMALL_DISK, child_command, done, wait_for, with_mount,
};
use crate::support::python::interpreter;
use crate::support::{Scratch, files};
use crate::{offline, remove_unused};

const WHEELS: usize = 6;

fn make_wheels(folder: &Utf8Path) {
    for number in 0..WHEELS {
        let mut made = Made::new(&format!("w{number}"), "1.0");
        for module in 0..30 {
            made.put(
                &format!("ns/w{number}/m{module}.py"),
                &format!("x = {module}\n").repeat(50),
            );
        }
        made.put("ns/common.py", "same for all\n");
        made.write(folder);
    }
}

fn pins(folder: &Utf8Path, numbers: impl Iterator<Item = usize>) -> Vec<WheelRef> {
    numbers
        .map(|n| WheelRef::local(&folder.join(format!("w{n}-1.0-py3-none-any.whl"))).unwrap())
        .collect()
}

fn get(
    folder: &Utf8Path,
    store: &Store,
    wheels: &[WheelRef],
) -> Result<Environment, EnvironmentError> {
    let contents = Contents { wheels, roots: &[] };
    let interpreter = interpreter(folder, "cpython");
    let guest = Pretended::default();
    environment::provide(
        contents,
        &interpreter,
        store,
        &offline(),
        &guest,
        Bytecode::SecondRun,
    )
    .map(|(environment, _)| environment)
}

/// Every file of the environment, and what is in it.
fn check(environment: &Environment, wheels: usize) {
    let site = environment.site_packages();
    // 30 modules and four files of the dist-info for each, and one more module for all; the
    // modules with their bytecode or all of them without.
    let modules = wheels * 30 + 1;
    let expected = match environment.is_compiled() {
        true => 2 * modules + wheels * 4,
        false => modules + wheels * 4,
    };
    assert_eq!(files(&site).len(), expected, "{}", environment.folder);
    for file in files(&site) {
        let text = std::fs::read_to_string(site.join(&file)).unwrap();
        assert!(!text.is_empty(), "{file}");
        if file.ends_with(".pyc") {
            assert!(
                text.ends_with('\n') && text.starts_with("/usr/local/"),
                "{file}"
            );
        }
    }
}

/// Child: waits for the file `go`, then wants an environment, as in a first and a second run; which
/// one is in PYW_TEST_ROTATE.
pub fn build(folder: &Utf8Path) {
    wait_for("go", || folder.join("go").exists());
    let rotate: usize = std::env::var("PYW_TEST_ROTATE").unwrap().parse().unwrap();
    let pins = pins(folder, (0..WHEELS - 1).map(|n| (n + rotate) % WHEELS));
    for _ in 0..2 {
        let environment = get(folder, &Store::at(folder.join("store")), &pins).unwrap();
        check(&environment, WHEELS - 1);
    }
}

fn builder(folder: &Utf8Path, rotate: usize) -> Command {
    let mut command = child_command("build", folder);
    command.env("PYW_TEST_ROTATE", rotate.to_string());
    command
}

#[test]
fn fifty_at_once() {
    let scratch = Scratch::new();
    make_wheels(&scratch.path);
    let mut children: Vec<Killed> = (0..50)
        .map(|n| {
            // Half want the same, the others five that overlap.
            let rotate = if n % 2 == 0 { 0 } else { n % WHEELS };
            Killed(builder(&scratch.path, rotate).spawn().unwrap())
        })
        .collect();
    std::fs::write(scratch.path.join("go"), "").unwrap();
    for child in &mut children {
        assert!(child.0.wait().unwrap().success());
    }
    assert_eq!(done(&scratch.path), 50);
    let count = |kind| scratch.store.list(kind).unwrap().len();
    // 0 and the odd ones of 1 to 5, each plain and compiled.
    assert_eq!(count(Kind::Environment), 8);
    assert_eq!(
        (count(Kind::Wheel), count(Kind::Bytecode)),
        (WHEELS, WHEELS)
    );
    assert_eq!(
        files(&scratch.store.root().join("staging")),
        Vec::<String>::new()
    );
}

#[test]
fn killed_at_any_point() {
    let scratch = Scratch::new();
    make_wheels(&scratch.path);
    std::fs::write(scratch.path.join("go"), "").unwrap();
    // How long it takes when nobody disturbs it, on a store of its own.
    let start = Instant::now();
    assert!(builder(&scratch.path, 0).status().unwrap().success());
    let whole = start.elapsed();
    std::fs::remove_dir_all(scratch.store.root()).unwrap();
    let rounds: u32 = 40;
    let mut interrupted = 0;
    for round in 0..rounds {
        let mut child = Killed(builder(&scratch.path, 0).spawn().unwrap());
        std::thread::sleep(whole * round / rounds);
        child.0.kill().unwrap();
        let ended = child.0.wait().unwrap();
        interrupted += usize::from(!ended.success());
        // Whatever is there is whole.
        for kind in [Kind::Wheel, Kind::Bytecode] {
            for entry in scratch.store.list(kind).unwrap() {
                let expected = match kind {
                    // 31 modules, five of the dist-info with INSTALLER, one record.
                    Kind::Wheel => 31 + 4 + 1,
                    _ => 31,
                };
                assert_eq!(files(&entry.path).len(), expected, "{}", entry.path);
            }
        }
        for entry in scratch.store.list(Kind::Environment).unwrap() {
            check(&Environment::open(&entry.path).unwrap(), WHEELS - 1);
        }
        // Now and then from the beginning.
        if round % 3 == 2 {
            let _ = std::fs::remove_dir_all(scratch.store.root());
        }
    }
    assert!(interrupted > 5, "only {interrupted} were interrupted");
    assert!(builder(&scratch.path, 1).status().unwrap().success());
    assert_eq!(
        files(&scratch.store.root().join("staging")),
        Vec::<String>::new()
    );
}

/// Child: uses an environment and becomes another program, as pyw becomes the runtime.
pub fn hold(folder: &Utf8Path) {
    use std::os::unix::process::CommandExt;
    let store = Store::at(folder.join("store"));
    let key = std::env::var("PYW_TEST_KEY").unwrap();
    let held = store.hold(Kind::Environment, &key).unwrap().unwrap();
    held.pass_on();
    std::fs::write(folder.join("held"), "").unwrap();
    panic!("{}", Command::new("sleep").arg("60").exec());
}

#[test]
fn what_a_running_program_uses_is_not_pruned() {
    let scratch = Scratch::new();
    make_wheels(&scratch.path);
    let used = get(&scratch.path, &scratch.store, &pins(&scratch.path, 0..2)).unwrap();
    let other = get(&scratch.path, &scratch.store, &pins(&scratch.path, 2..4)).unwrap();
    let mut child = Killed(
        child_command("hold", &scratch.path)
            .env("PYW_TEST_KEY", &used.key)
            .spawn()
            .unwrap(),
    );
    wait_for("user", || scratch.path.join("held").exists());
    let command = format!("/proc/{}/comm", child.0.id());
    if cfg!(target_os = "linux") {
        wait_for("sleep", || {
            std::fs::read_to_string(&command).is_ok_and(|name| name.trim() == "sleep")
        });
    }
    let prune = || remove_unused(&scratch.store, &[Kind::Environment]);
    let pruned = prune();
    assert_eq!(pruned.in_use, [(Kind::Environment, used.key.clone())]);
    assert_eq!(pruned.removed, [(Kind::Environment, other.key)]);
    check(&used, 2);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    assert_eq!(prune().removed, [(Kind::Environment, used.key)]);
    // Environments share their files with wheels, so those may go before them.
    let again = || get(&scratch.path, &scratch.store, &pins(&scratch.path, 0..2)).unwrap();
    let (plain, used) = (again(), again());
    assert!(!plain.is_compiled() && used.is_compiled());
    let pruned = remove_unused(&scratch.store, &[Kind::Wheel, Kind::Bytecode]);
    assert_eq!(pruned.removed.len(), 4 + 2);
    check(&plain, 2);
    check(&used, 2);
}

#[test]
fn pruned_while_it_is_built() {
    let scratch = Scratch::new();
    make_wheels(&scratch.path);
    std::fs::write(scratch.path.join("go"), "").unwrap();
    let mut children: Vec<Killed> = (0..6)
        .map(|n| Killed(builder(&scratch.path, n).spawn().unwrap()))
        .collect();
    // Everything but what is in use, all the time.
    let mut running = true;
    while running {
        remove_unused(&scratch.store, &[Kind::Wheel, Kind::Bytecode]);
        running = children
            .iter_mut()
            .any(|child| child.0.try_wait().unwrap().is_none());
    }
    for child in &mut children {
        assert!(child.0.wait().unwrap().success());
    }
}

#[test]
fn a_full_disk() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.store.root()).unwrap();
    let big: String = (0..120_000).map(|n| format!("x{n} = {n}\n")).collect();
    Made::new("big", "1")
        .with("big.py", &big)
        .write(&scratch.path);
    Made::new("half", "1")
        .with("half.py", &big[..big.len() / 3])
        .write(&scratch.path);
    Made::new("small", "1")
        .with("small.py", "x = 1\n")
        .write(&scratch.path);
    with_mount(SMALL_DISK, "full-disk", &scratch.path, &[]);
}

/// Child: the store is on a disk of 1 MiB.
pub fn on_full_disk(folder: &Utf8Path) {
    let store = Store::at(folder.join("store"));
    let local = |name: &str| -> Vec<WheelRef> {
        let path: Utf8PathBuf = folder.join(format!("{name}-1-py3-none-any.whl"));
        vec![WheelRef::local(&path).unwrap()]
    };
    let interpreter = interpreter(folder, "cpython");
    let compiled = |wheels: &[WheelRef]| {
        let (contents, guest) = (Contents { wheels, roots: &[] }, Pretended::default());
        environment::provide_compiled(contents, &interpreter, &store, &offline(), &guest)
    };
    // The first is too big to unpack, the second too big to compile as well.
    for (name, wheels) in [("big", 0), ("half", 1)] {
        let error = compiled(&local(name)).unwrap_err();
        assert_eq!(error.code(), Code::Storage, "{error}");
        assert!(
            error.to_string().starts_with("no space left on the disk")
                || error.to_string().contains("No space left"),
            "{error}"
        );
        assert_eq!(store.list(Kind::Environment).unwrap(), []);
        assert_eq!(store.list(Kind::Bytecode).unwrap(), []);
        assert_eq!(store.list(Kind::Wheel).unwrap().len(), wheels, "{name}");
        assert_eq!(files(&store.root().join("staging")), Vec::<String>::new());
    }
    // A program runs without bytecode just as well.
    for _ in 0..2 {
        assert!(!get(folder, &store, &local("half")).unwrap().is_compiled());
    }
    pyw::package::prune::clear(&store).unwrap();
    get(folder, &store, &local("small")).unwrap();
}

#[test]
fn a_read_only_store() {
    let scratch = Scratch::new();
    make_wheels(&scratch.path);
    let plain = get(&scratch.path, &scratch.store, &pins(&scratch.path, 0..2)).unwrap();
    assert!(!plain.is_compiled());
    with_mount(READ_ONLY, "read-only", &scratch.path, &[]);
}

/// Child: the store can only be read, and serves what is in it.
pub fn on_read_only(folder: &Utf8Path) {
    let store = Store::at(folder.join("store"));
    let plain = get(folder, &store, &pins(folder, 0..2)).unwrap();
    assert!(!plain.is_compiled());
    check(&plain, 2);
    let error = get(folder, &store, &pins(folder, 0..3)).unwrap_err();
    assert_eq!(error.code(), Code::Storage);
}
