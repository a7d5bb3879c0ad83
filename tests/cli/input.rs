//! Programs, grants and limits that are wrong: each with its own message and exit code.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::pyw::Pyw;
use crate::support::left_out;

/// Runs each case in the same folders.
#[track_caller]
fn refused(mut pyw: Pyw, cases: &[(&[&str], i32, &str)]) {
    for (args, code, stderr) in cases {
        pyw = pyw.args(*args).stderr(stderr).code(*code).run();
    }
}

#[test]
fn programs_that_are_none() {
    let pyw = Pyw::new().mkdir("empty");
    let dir = pyw.dir();
    std::os::unix::fs::symlink("nowhere", dir.join("dangling.py")).unwrap();
    std::os::unix::fs::symlink("loop.py", dir.join("loop.py")).unwrap();
    std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    let pipe = dir.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    refused(
        pyw,
        &[
            (&["no.py"], 111, "pyw: there is no script `no.py`\n"),
            (
                &["lst", "x"],
                111,
                "pyw: there is no script `lst`\n\
                 hint: a module is run with -m, code with -c; commands are in `pyw --help`\n",
            ),
            // Behind an option, a command is no command.
            (
                &["--offline", "runtime", "list"],
                111,
                "pyw: there is no script `runtime`\n\
                 hint: a module is run with -m, code with -c; commands are in `pyw --help`\n",
            ),
            (
                &["empty"],
                111,
                "pyw: `empty` is a folder without a __main__.py\n\
                 hint: a folder is run through its __main__.py; to run a package, say -m NAME\n",
            ),
            (
                &["dangling.py"],
                111,
                "pyw: there is no script `dangling.py`\n",
            ),
            (
                &["loop.py"],
                111,
                "pyw: cannot read the script `loop.py`: \
                 Too many levels of symbolic links (os error 40)\n",
            ),
            // Opening it would wait for ever.
            (
                &["pipe"],
                111,
                "pyw: `pipe` is neither a file nor a folder, so it cannot be run\n\
                 hint: a program is read from a pipe as `-`: pyw - < pipe\n",
            ),
            (
                &["socket"],
                111,
                "pyw: `socket` is neither a file nor a folder, so it cannot be run\n\
                 hint: a program is read from a pipe as `-`: pyw - < socket\n",
            ),
            (&["--", "-x.py"], 111, "pyw: there is no script `-x.py`\n"),
        ],
    );
}

#[test]
fn a_script_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let pyw = Pyw::new().write("secret.py", "print(1)");
    let script = pyw.dir().join("secret.py");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&script).is_ok() {
        left_out(&"permissions do not bind the user who runs the tests");
        return;
    }
    pyw.args(["secret.py"])
        .stderr("pyw: cannot read the script `secret.py`: Permission denied (os error 13)\n")
        .code(111)
        .run();
}

#[test]
fn text_that_is_not_utf8() {
    let bytes = OsStr::from_bytes(b"a\xffb");
    let pyw = Pyw::new()
        .args([OsStr::new("app.py"), bytes])
        .stderr("pyw: `a\u{fffd}b` is not UTF-8, which runtimes cannot be given\n")
        .code(2)
        .run()
        .env("LANG", bytes)
        // As an unset one: it is not pyw's to refuse a locale that the program may never look at.
        .args(["-c", "import os; print(os.environ.get('LANG'))"])
        .stdout("None\n")
        .run()
        .env_remove("LANG")
        .env("OWN", bytes)
        .args(["--env", "OWN", "-c", "1"])
        .stderr(
            "pyw: the host's variable `OWN` is not UTF-8 and cannot be copied\n\
             hint: `pyw --help` tells more\n",
        )
        .code(2)
        .run();
    let folder = pyw.dir().join(bytes);
    std::fs::create_dir(&folder).unwrap();
    pyw.cwd(bytes)
        .args(["-c", "1"])
        .stderr("pyw: `{dir}/a\u{fffd}b` is not UTF-8, which runtimes cannot be given\n")
        .code(2)
        .run();
}

#[test]
fn mounts_that_contradict() {
    let pyw = Pyw::new()
        .write("app.py", "print(1)")
        .write("data/file", "")
        .mkdir("other");
    std::os::unix::net::UnixListener::bind(pyw.dir().join("socket")).unwrap();
    let reserved = |guest: &str| {
        format!(
            "pyw: {guest} belongs to pyw inside the sandbox, so nothing can be mounted there\n\
             hint: give it another path: --mount HOST:GUEST\n"
        )
    };
    refused(
        pyw,
        &[
            (
                &["--mount", "no", "app.py"],
                111,
                "pyw: there is no `{dir}/no` to mount\n",
            ),
            (
                &["--mount", "data:guest", "app.py"],
                111,
                "pyw: there is no `{dir}/data:guest` to mount\n\
                 hint: the path inside the sandbox begins with `/`: --mount HOST:/GUEST\n",
            ),
            (
                &["--mount", "data", "--mount", "data:rw", "app.py"],
                2,
                "pyw: `{dir}/data` is mounted twice with different rights\n\
                 hint: grant it once, with :ro or with :rw\n",
            ),
            (
                &["--mount", "data:/d", "--mount", "other:/d/.", "app.py"],
                2,
                "pyw: `{dir}/data` and `{dir}/other` are both mounted at /d\n\
                 hint: give one of them another path: --mount HOST:GUEST\n",
            ),
            (
                &["--mount", "socket", "app.py"],
                2,
                "pyw: `{dir}/socket` is neither a folder nor a regular file, so it cannot be \
                 mounted\n",
            ),
            (
                &[
                    "--mount",
                    "data:/d",
                    "--mount",
                    "app.py:/d/app.py",
                    "app.py",
                ],
                2,
                "pyw: the file `{dir}/app.py` cannot be mounted at /d/app.py: the folder \
                 `{dir}/data` is there\n\
                 hint: give it another path: --mount HOST:GUEST\n",
            ),
            (&["--mount", "data:/.pyw", "app.py"], 2, &reserved("/.pyw")),
            (
                &["--mount", "data:/.pyw/x", "app.py"],
                2,
                &reserved("/.pyw/x"),
            ),
            (&["--mount", "data:/dev", "app.py"], 2, &reserved("/dev")),
            (&["--mount", "data:/", "app.py"], 2, &reserved("/")),
            (
                &["--mount", "data:/usr/local/lib", "app.py"],
                2,
                &reserved("/usr/local/lib"),
            ),
            (
                &["--mount", "", "app.py"],
                2,
                "pyw: --mount: `` names no host path; write for example `data`, `data:/data` or \
                 `data:/data:rw`\nhint: `pyw --help` tells more\n",
            ),
            (
                &["--mount", "data:", "app.py"],
                2,
                "pyw: --mount: nothing follows the `:` after `data`; write for example \
                 `data:/data`, or `\\:` for a colon that belongs to the path\n\
                 hint: `pyw --help` tells more\n",
            ),
            (
                &["--mount", "data:/../x", "app.py"],
                2,
                "pyw: --mount: the guest path `/../x` leads above `/`\n\
                 hint: `pyw --help` tells more\n",
            ),
        ],
    );
}

#[test]
fn a_mount_may_be_a_file_or_be_named_twice() {
    Pyw::new()
        .write("../secret", "top")
        .write("../folder/inner", "deep")
        .write(
            "app.py",
            "import os, sys\nprint(sorted(os.listdir('/m')), open('/m/secret').read())\n\
             try:\n    open('/m/secret', 'w')\nexcept OSError as e:\n    print(type(e).__name__)\n",
        )
        .args([
            "--mount",
            "../secret:/m/secret",
            "--mount",
            "../folder:/f:ro",
            "--mount",
            "../folder:/f",
            "app.py",
        ])
        .stdout("['secret'] top\nPermissionError\n")
        .run();
}

#[test]
fn variables_that_are_none() {
    let pyw = Pyw::new()
        .write("app.py", "print(1)")
        .write("bad.env", "A=1\n\n# comment\nB C=2\n")
        .write("open.env", "A=\"x\ny\n")
        .write_bytes("binary.env", b"A=1\n\xff=2\n");
    refused(
        pyw,
        &[
            (
                &["--env", "", "app.py"],
                2,
                "pyw: --env: `` names no variable; write `NAME=VALUE`, or `NAME` to copy the \
                 host's\nhint: `pyw --help` tells more\n",
            ),
            (
                &["--env", "=x", "app.py"],
                2,
                "pyw: --env: `=x` names no variable; write `NAME=VALUE`, or `NAME` to copy the \
                 host's\nhint: `pyw --help` tells more\n",
            ),
            (
                &["--env", "PYW_START=1", "app.py"],
                2,
                "pyw: the variable PYW_START is pyw's own\n",
            ),
            (
                &["--env-file", "no.env", "app.py"],
                2,
                "pyw: --env-file: no.env: cannot read this environment file: No such file or \
                 directory (os error 2)\nhint: `pyw --help` tells more\n",
            ),
            (
                &["--env-file", "bad.env", "app.py"],
                2,
                "pyw: --env-file: bad.env:4: `B C` is not the name of a variable; write \
                 `NAME=VALUE`, or `NAME` to copy the host's\nhint: `pyw --help` tells more\n",
            ),
            (
                &["--env-file", "open.env", "app.py"],
                2,
                "pyw: --env-file: open.env:1: the value of `A` begins with \" but does not end \
                 with it\nhint: `pyw --help` tells more\n",
            ),
            (
                &["--env-file", "binary.env", "app.py"],
                2,
                "pyw: --env-file: binary.env: not UTF-8 at byte 4\n\
                 hint: `pyw --help` tells more\n",
            ),
        ],
    );
}

#[test]
fn limits_and_places_that_are_none() {
    refused(
        Pyw::new().write("app.py", "print(1)"),
        &[
            (
                &["--memory", "much", "app.py"],
                2,
                "pyw: --memory: `much` is not a size: it must begin with a digit; write for \
                 example `512M` or `1.5GiB`\nhint: `pyw --help` tells more\n",
            ),
            // A value that looks like an option is a value all the same.
            (
                &["--memory", "-1", "app.py"],
                2,
                "pyw: --memory: `-1` is not a size: it must begin with a digit; write for \
                 example `512M` or `1.5GiB`\nhint: `pyw --help` tells more\n",
            ),
            (
                &["--stack", "0", "app.py"],
                2,
                "pyw: --stack: `0` is not a size: it must be at least one byte; write for \
                 example `512M` or `1.5GiB`\nhint: `pyw --help` tells more\n",
            ),
            (
                &["--timeout", "1y", "app.py"],
                2,
                "pyw: --timeout: `1y` is not a duration: `y` is not a unit; write for example \
                 `90`, `500ms`, `1.5s` or `2m`\nhint: `pyw --help` tells more\n",
            ),
            (
                &["--timeout", "0s", "app.py"],
                2,
                "pyw: --timeout: `0s` is not a duration: it must be more than zero; write for \
                 example `90`, `500ms`, `1.5s` or `2m`\nhint: `pyw --help` tells more\n",
            ),
            (
                &["--network", "wifi", "app.py"],
                2,
                "pyw: --network: `wifi` is not a network; write `none` or `host`\n\
                 hint: `pyw --help` tells more\n",
            ),
            (
                &["--cwd", "", "app.py"],
                2,
                "pyw: --cwd: the working directory is empty; write for example `/work`\n",
            ),
            (
                &["--cwd", "no", "app.py"],
                111,
                "pyw: there is no folder {dir}/no to start in\n\
                 hint: name a folder that exists, or one below a --mount\n",
            ),
            (
                &["--cwd", "app.py", "app.py"],
                111,
                "pyw: there is no folder {dir}/app.py to start in\n\
                 hint: name a folder that exists, or one below a --mount\n",
            ),
            (
                &["--mount", ".:/m", "--cwd", "/m/no", "app.py"],
                111,
                "pyw: there is no folder /m/no to start in\n\
                 hint: name a folder that exists, or one below a --mount\n",
            ),
            (
                &["--runtime", "wasmtme", "app.py"],
                2,
                "pyw: there is no runtime named `wasmtme`\n\
                 hint: known are: wasmtime, wasmer, wasmedge, node, deno, node-wasi\n",
            ),
            (
                &["--runtime", "./wasmtime", "app.py"],
                2,
                "pyw: --runtime: `./wasmtime` is a path and not the name of a runtime; paths \
                 stand under `[paths]` in the user's configuration file\n\
                 hint: `pyw --help` tells more\n",
            ),
            (
                &["--runtime", "", "app.py"],
                2,
                "pyw: --runtime: the name of the runtime is empty; write for example `wasmtime`\n\
                 hint: `pyw --help` tells more\n",
            ),
            (
                &["--network", "host", "app.py"],
                110,
                "pyw: wasmtime {wasmtime-version} cannot run this as asked, so it is not run\n  \
                 the host's network: wasmtime has no way to give it to a WASI preview 1 program\n    \
                 - run without it: --network none\n",
            ),
            (
                &["--memory", "9M", "app.py"],
                110,
                "pyw: wasmtime {wasmtime-version} cannot run this as asked, so it is not run\n  \
                 at most 9 MiB of memory: the interpreter itself needs 10 MiB to start\n    \
                 - allow more than 10 MiB: --memory\n",
            ),
        ],
    );
}

#[test]
fn limits_hold() {
    Pyw::new()
        .args([
            "--memory",
            "64M",
            "-c",
            "try:\n    bytearray(100 << 20)\nexcept MemoryError:\n    print('no more')",
        ])
        .stdout("no more\n")
        .run()
        .args(["--timeout", "700ms", "-c", "while True: pass"])
        .stderr(
            "pyw: the program ran longer than 700ms and was stopped\n\
             hint: allow more with --timeout\n",
        )
        .code(124)
        .run();
}

#[test]
fn no_home_and_no_place_to_stand() {
    let pyw = Pyw::new()
        .env_remove("HOME")
        .args(["-c", "print('no home')"])
        .stdout("no home\n")
        .run();
    // Without a store either, and as the users' database knows a home, that one would be taken.
    let pyw = pyw.mkdir("gone");
    let gone = pyw.dir().join("gone");
    let pyw = pyw
        .cwd("gone")
        .program("{root}/bin/sh")
        .args(["-c", "rm -r ../gone && exec \"$PYW\" -c 'print(1)'"])
        .stderr("pyw: cannot find the current folder: No such file or directory (os error 2)\n")
        .code(111)
        .run();
    assert!(!gone.exists());
    drop(pyw);
}

#[test]
fn a_temporary_folder_that_cannot_be_used() {
    Pyw::new()
        .env("TMPDIR", "{dir}/no")
        .args(["-c", "print(1)"])
        .stderr(
            "pyw: cannot make `{dir}/no/[..]`: No such file or directory (os error 2)\n\
             hint: name a folder with room and write access in TMPDIR\n",
        )
        .code(115)
        .run()
        .env("TMPDIR", "{dir}/file")
        .write("file", "")
        .args(["-c", "print(1)"])
        .stderr(
            "pyw: cannot make `{dir}/file/[..]`: Not a directory (os error 20)\n\
             hint: name a folder with room and write access in TMPDIR\n",
        )
        .code(115)
        .run();
}
