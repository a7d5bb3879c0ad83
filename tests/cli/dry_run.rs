//! `--dry-run`: what it prints can be pasted into a shell, and tools can read it.

use crate::pyw::Pyw;

const PROGRAM: &str = "import os, sys\nprint(sys.argv, os.getcwd(), os.environ.get('GREETING'))\n\
                       print(sorted(os.listdir('/data')), sys.stdin.read())\nsys.exit(3)\n";

#[test]
fn what_is_printed_runs_in_a_shell_with_the_same_result() {
    let args = [
        "--mount",
        "in put:/data",
        "--env",
        "GREETING=it's \"me\"\n$HOME `x` ",
        "my app.py",
        "two words",
        "",
        "it's",
        "\"quoted\" $HOME `ls` \\",
        "line\nbreak",
        "größe",
        "--help",
    ];
    let ours = Pyw::new()
        .write("my app.py", PROGRAM)
        .write("in put/file", "")
        .args(args)
        .stdin("typed\n")
        .any_stdout()
        .code(3)
        .run();
    let expected = ours.output.stdout.clone();
    assert!(expected.contains("['file'] typed"), "{expected}");
    let mut dry = vec!["--dry-run"];
    dry.extend(args);
    let printed = ours.args(dry).any_stdout().run();
    let script = printed.output.stdout.clone();
    // The command is what stands before the empty line; behind it is the table.
    let script = script.split("\n\ngrant").next().unwrap().to_owned();
    printed
        .program("{root}/bin/sh")
        .args(["-c", &script])
        .stdin("typed\n")
        .stdout(&expected)
        .any_code()
        .run();
}

#[test]
fn the_table_tells_who_enforces_what() {
    let pyw = Pyw::new()
        .write("app.py", "")
        .mkdir("out")
        .args([
            "--dry-run",
            "--mount",
            "out:/out:rw",
            "--memory",
            "64M",
            "--timeout",
            "5s",
            "--env",
            "A=1",
            "app.py",
        ])
        .any_stdout()
        .run();
    let table = pyw.output.stdout.split("\n\n").nth(1).unwrap().to_owned();
    let expected = pyw.fill(
        "grant                                     [..]enforced by\n\
         read / (only the folders that lead to the mounts)[..]fence (Landlock), module (times) (wasmtime alone does not)\n\
         write {dir}/out as /out  wasmtime, fence (Landlock)\n\
         read {dir} [..]fence (Landlock), module (times) (wasmtime alone does not)\n\
         read the standard library (/usr/local/lib)[..]fence (Landlock), module (times) (wasmtime alone does not)\n\
         write a private /tmp, removed afterwards[..]wasmtime, fence (Landlock)\n\
         write a private /dev, removed afterwards[..]wasmtime, fence (Landlock)\n\
         pyw's own channel for how it ends[..]wasmtime, fence (Landlock)\n\
         environment: A[..]wasmtime\n\
         at most 64 MiB of memory[..]wasmtime\n\
         at most 5s of time[..]pyw (kills it)\n\
         no network[..]wasmtime, fence (seccomp)\n\
         no other processes[..]wasmtime, fence (seccomp)"
    );
    assert!(crate::pyw::matches(&expected, &table), "{table}");
}

#[test]
fn tools_get_json() {
    Pyw::new()
        .write("app.py", "")
        .args([
            "--dry-run",
            "--format",
            "json",
            "--timeout",
            "1.5s",
            "app.py",
            "a b",
        ])
        .any_stdout()
        .run()
        .check_json(|json| {
            let plan = &json["plan"];
            assert_eq!(plan["runtime"], "wasmtime");
            assert_eq!(plan["watch"]["timeout"], 1.5);
            let args = plan["args"].as_array().unwrap();
            assert_eq!(args[0], "run");
            assert_eq!(args.last().unwrap(), "a b");
            // The lean one, where this wasmtime came with it.
            let program = plan["program"].as_str().unwrap();
            let name = program.rsplit('/').next().unwrap();
            assert!(["wasmtime", "wasmtime-min"].contains(&name), "{program}");
            assert_eq!(plan["env"]["RUST_BACKTRACE"], "0");
            for part in ["execute", "read", "write"] {
                assert!(
                    !plan["fence"][part].as_array().unwrap().is_empty(),
                    "{part}"
                );
            }
            let rows = plan["grants"].as_array().unwrap();
            assert!(
                rows.iter()
                    .all(|row| row["grant"].is_string() && row["enforced_by"].is_string())
            );
            assert_eq!(json["interpreter"]["version"], "3.12.0");
            assert_eq!(json["found"], "$PYW_RUNTIME_WASMTIME");
            let shell = json["shell"].as_array().unwrap();
            assert!(
                shell
                    .iter()
                    .any(|line| line.as_str().unwrap().starts_with("env -i "))
            );
        });
}

/// A shell makes the folders of a pasted command; pyw must get along with what is left of them.
#[test]
fn a_pasted_command_is_not_in_the_way_of_pyw() {
    let printed = Pyw::new()
        .args(["--dry-run", "-c", "print(1)"])
        .any_stdout()
        .run();
    let script = printed.output.stdout.clone();
    let made = script.lines().find(|line| line.contains("mkdir")).unwrap();
    let printed = printed
        .program("{root}/bin/sh")
        .args(["-c", made])
        .leaves_scratch()
        .run();
    let left: Vec<_> = std::fs::read_dir(printed.dir().join("../tmp"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert_eq!(left.len(), 1);
    let printed = printed
        .program(env!("CARGO_BIN_EXE_pyw"))
        .args(["-c", "print(2)"])
        .stdout("2\n")
        .run();
    assert!(left[0].exists(), "pyw removed what a shell may still use");
    drop(printed);
}

/// Nothing is made for a plan that is only looked at.
#[test]
fn nothing_is_left_by_looking() {
    let pyw = Pyw::new()
        .write("app.py", "open('made', 'w')")
        .args(["--dry-run", "--mount", ".:rw", "app.py"])
        .any_stdout()
        .run();
    assert!(!pyw.dir().join("made").exists());
}
