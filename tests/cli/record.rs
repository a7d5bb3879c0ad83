//! Launch records: that a start is recorded and taken from there, and that nothing old is ever
//! taken where something has changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pyw::Pyw;
use crate::store;

/// What was changed just now may be changed again unseen, and is not relied on.
fn settle() {
    std::thread::sleep(Duration::from_millis(120));
}

fn records(pyw: &Pyw) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(pyw.store().join("cache/launches")) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// A store of its own in which starts are recorded at once, as all else is made.
fn ready() -> Pyw {
    let pyw = Pyw::with_own_store();
    let _ = std::fs::remove_dir_all(pyw.store().join("cache/launches"));
    let pyw = pyw.args(["warm", "-c", "1"]).any_stderr().run();
    // Other tests link what is in the shared store, which a record would take for a change.
    let plan = pyw.output_of(&["--dry-run", "--format", "json", "-c", "1"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
    let args = plan["plan"]["args"].as_array().unwrap().iter();
    let mut words = args.map(|arg| arg.as_str().unwrap());
    let compiled = words.find(|word| word.ends_with("/python.cwasm"));
    store::unlink(Path::new(compiled.unwrap()));
    settle();
    pyw
}

/// Makes the interpreter's description unreadable, which a start without a record has to read.
fn hide_interpreter(pyw: &Pyw) -> impl FnOnce() + use<> {
    let folders = std::fs::read_dir(pyw.store().join("interpreters")).unwrap();
    let files: Vec<PathBuf> = folders
        .map(|folder| folder.unwrap().path().join("pyw.json"))
        .collect();
    let hidden = |file: &Path| file.with_extension("hidden");
    for file in &files {
        std::fs::rename(file, hidden(file)).unwrap();
    }
    move || {
        for file in &files {
            std::fs::rename(hidden(file), file).unwrap();
        }
    }
}

#[test]
fn a_start_like_one_before_finds_nothing_out() {
    let run = ["-c", "import sys; print(sys.argv[1:])"];
    let pyw = ready().args(run).stdout("[]\n").run();
    assert_eq!(records(&pyw).len(), 1);
    let back = hide_interpreter(&pyw);
    // Arguments are the program's and no part of it.
    let pyw = pyw
        .args([&run[..], &["a b", "--runtime", "x"]].concat())
        .stdout("['a b', '--runtime', 'x']\n")
        .run();
    let other = ["--offline", "-c", "import sys; print(sys.argv[2:])"];
    let pyw = pyw.args(other).any_stderr().any_code().run();
    assert_ne!(pyw.output.code, 0, "what has no record reads it");
    back();
    assert_eq!(records(&pyw).len(), 1);
}

#[test]
fn scripts_streams_and_exit_codes_are_the_same() {
    let script = "import os, sys\nopen('/tmp/x', 'w').close()\nprint(len(sys.stdin.read()), \
                  os.listdir('/tmp'), os.getcwd(), file=sys.stderr)\nsys.exit(200)\n";
    let mut pyw = ready().write("app.py", script);
    settle();
    for _ in 0..3 {
        pyw = pyw
            .args(["app.py"])
            .stdin("four")
            .stderr("4 ['x'] {dir}\n")
            .code(200)
            .run();
    }
    assert_eq!(records(&pyw).len(), 1);
}

#[test]
fn what_changed_is_seen() {
    let mut pyw = ready()
        .write("app.py", "print('one')\n")
        .mkdir("data")
        .write("data/text", "1")
        .mkdir("other")
        .write("other/text", "2");
    std::os::unix::fs::symlink("data", pyw.dir().join("link")).unwrap();
    settle();
    for _ in 0..2 {
        pyw = pyw.args(["app.py"]).stdout("one\n").run();
    }
    assert_eq!(records(&pyw).len(), 1);

    // The script: at once, and also what its header asks for.
    let pyw = pyw.write("app.py", "print('two')\n");
    let pyw = pyw.args(["app.py"]).stdout("two\n").run();
    let header = "# /// script\n# requires-python = '>=4'\n# ///\nprint('three')\n";
    let pyw = pyw.write("app.py", header);
    let pyw = pyw.args(["app.py"]).any_stderr().any_code().run();
    assert!(pyw.output.stderr.contains(">=4"), "{}", pyw.output.stderr);

    // Where a link leads to.
    let show = ["--mount", "link:/x", "-c", "print(open('/x/text').read())"];
    let mut pyw = pyw;
    for _ in 0..2 {
        pyw = pyw.args(show).stdout("1\n").run();
    }
    std::fs::remove_file(pyw.dir().join("link")).unwrap();
    std::os::unix::fs::symlink("other", pyw.dir().join("link")).unwrap();
    pyw = pyw.args(show).stdout("2\n").run();
    std::fs::remove_file(pyw.dir().join("link")).unwrap();
    pyw = pyw.args(show).any_stderr().any_code().run();
    assert!(pyw.output.stderr.contains("/link"), "{}", pyw.output.stderr);

    // Files that were not there, and variables.
    let wide = ["-c", "import os; print(os.environ.get('TZ'))"];
    for _ in 0..2 {
        pyw = pyw.args(wide).stdout("None\n").run();
    }
    pyw = pyw.env("TZ", "UTC+1").args(wide).stdout("UTC+1\n").run();
    pyw = pyw.write("pyw.toml", "runtime = 'none-such'\n");
    pyw = pyw.args(wide).any_stderr().any_code().run();
    assert!(
        pyw.output.stderr.contains("none-such"),
        "{}",
        pyw.output.stderr
    );
    std::fs::remove_file(pyw.dir().join("pyw.toml")).unwrap();
    let config = pyw.fill("{home}/.config/pyw/config.toml");
    pyw = pyw.write(config, "memory = '1K'\n");
    pyw = pyw.args(wide).any_stderr().any_code().run();
    assert!(
        pyw.output.stderr.contains("1 KiB of memory"),
        "{}",
        pyw.output.stderr
    );
}

#[test]
fn a_runtime_or_an_entry_of_the_store_that_is_gone_is_found_out_about() {
    let mut pyw = ready();
    let bin = pyw.dir().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let copy = bin.join("wasmtime");
    std::fs::copy(pyw.fill("{wasmtime}"), &copy).unwrap();
    settle();
    pyw = pyw.env("PYW_RUNTIME_WASMTIME", &copy);
    let run = ["--runtime", "wasmtime", "-c", "print(1)"];
    for _ in 0..3 {
        pyw = pyw.args(run).stdout("1\n").any_stderr().run();
    }
    assert!(!records(&pyw).is_empty());
    // Another program in its place is looked at, before anything is started with it.
    std::fs::write(&copy, "#!/bin/sh\necho wasmtime 1.0.0\n").unwrap();
    pyw = pyw.args(run).any_stderr().any_code().run();
    assert_ne!(pyw.output.code, 0);
    assert!(pyw.output.stderr.contains("1.0.0"), "{}", pyw.output.stderr);

    let mut pyw = ready();
    for _ in 0..2 {
        pyw = pyw.args(run).stdout("1\n").run();
    }
    assert_eq!(records(&pyw).len(), 1);
    for folder in ["compiled", "roots"] {
        std::fs::remove_dir_all(pyw.store().join(folder)).unwrap();
        pyw = pyw.args(run).stdout("1\n").any_stderr().run();
    }
}

#[test]
fn a_record_that_is_damaged_is_none() {
    let run = ["-c", "print(1)"];
    let mut pyw = ready().args(run).stdout("1\n").run();
    let [record] = records(&pyw).try_into().unwrap();
    let whole = std::fs::read(&record).unwrap();
    for text in [
        &b""[..],
        b"\n",
        b"x\n{}",
        &whole[..whole.len() / 2],
        b"\xff",
    ] {
        std::fs::write(&record, text).unwrap();
        pyw = pyw.args(run).stdout("1\n").run();
        // It is made anew.
        assert_eq!(std::fs::read(&record).unwrap().len(), whole.len());
    }
}

#[test]
fn one_that_others_could_have_written_is_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let run = ["-c", "print(1)"];
    let pyw = ready().args(run).stdout("1\n").run();
    let [record] = records(&pyw).try_into().unwrap();
    let text = std::fs::read_to_string(&record).unwrap();
    // As somebody would who wants another program executed.
    std::fs::write(&record, text.replace(&pyw.fill("{wasmtime}"), "/bin/false")).unwrap();
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&record, open).unwrap();
    let pyw = pyw.args(run).stdout("1\n").run();
    assert_eq!(std::fs::read_to_string(&record).unwrap().len(), text.len());
    let mode = std::fs::metadata(&record).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(pyw);
}

#[test]
fn no_secrets_are_written_down() {
    let mut pyw = ready()
        .env("TOKEN", "s3cret-of-the-host")
        .env("PASSED", "1")
        .write("app.py", "# s3cret-script\n");
    settle();
    for args in [
        &["-c", "'s3cret-code'", "s3cret-argument"][..],
        &["app.py", "s3cret-argument"],
        &["--env", "TOKEN", "-c", "1"],
        &["--env", "KEY=s3cret-value", "-c", "1"],
    ] {
        pyw = pyw.args(args).run();
    }
    let written = records(&pyw);
    assert_eq!(written.len(), 2, "those with variables have none");
    for record in written {
        let text = std::fs::read_to_string(record).unwrap();
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn what_was_agreed_to_can_be_taken_back() {
    let script = "# /// script\n# [tool.pyw]\n# mounts = ['{dir}/data:/data:rw']\n# ///\n\
                  open('/data/x', 'w').close()\n";
    let mut pyw = ready().mkdir("data");
    let script = pyw.fill(script);
    pyw = pyw.write("app.py", &script);
    settle();
    pyw = pyw.args(["trust", "app.py"]).any_stdout().run();
    for _ in 0..3 {
        pyw = pyw.args(["app.py"]).run();
    }
    pyw = pyw.args(["trust", "--forget", "app.py"]).any_stdout().run();
    pyw.args(["app.py"]).any_stderr().code(119).run();
}

#[test]
fn what_may_change_in_many_ways_is_looked_at_each_time() {
    let mut pyw = ready()
        .write("mod.py", "print('m')\n")
        .write("pyproject.toml", "[project]\nname = 'p'\nversion = '1'\n")
        .write("none.txt", "\n");
    settle();
    for args in [
        &["-m", "mod"][..],
        &["--with-requirements", "none.txt", "mod.py"],
        &["-v", "-c", "1"],
    ] {
        pyw = pyw.args(args).any_stdout().any_stderr().run();
    }
    assert_eq!(records(&pyw), [] as [PathBuf; 0]);
}
