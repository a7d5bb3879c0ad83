//! Limits that pyw holds itself: the exact messages and codes, and what a program notices of them.

use std::time::Duration;

use crate::pyw::Pyw;

#[test]
fn processor_time() {
    let pyw = Pyw::new()
        .args(["--cpu-time", "1s", "-c", "while True: pass"])
        .stderr(
            "pyw: the program used more than 1s of processor time and was stopped\n\
             hint: allow more with --cpu-time\n",
        )
        .code(120)
        .run();
    assert!(pyw.output.took >= Duration::from_secs(1));
    // Waiting is free, however long.
    pyw.args([
        "--cpu-time",
        "3s",
        "-c",
        "import time; time.sleep(4); print('rested')",
    ])
    .stdout("rested\n")
    .run();
}

/// Where there is nearly enough for one large object, the heap is left as it was: nothing aborts.
#[test]
fn memory_that_nearly_suffices() {
    let code = "try: x = bytearray(60 << 20)\n\
                except MemoryError: x = bytearray(30 << 20)\n\
                print('goes on')";
    let mut pyw = Pyw::new();
    for kibibytes in (76 * 1024..82 * 1024).step_by(512) {
        let limit = format!("{kibibytes}K");
        pyw = pyw.args(["--memory", &limit, "-c", code]);
        pyw = pyw.stdout("goes on\n").run();
    }
}

/// A MemoryError is Python's own, so a program may go on; when it ends by one, pyw says why.
#[test]
fn memory() {
    Pyw::new()
        .args(["--memory", "32M", "-c", "x = bytearray(99 << 20)"])
        .stderr(
            "Traceback (most recent call last):\n  \
             File \"<string>\", line 1, in <module>\n\
             MemoryError\n\
             pyw: the program ran out of memory: it was given 32 MiB\n\
             hint: allow more with --memory\n",
        )
        .code(122)
        .run()
        .args([
            "--memory",
            "32M",
            "-c",
            "import sys\n\
             try: bytearray(99 << 20)\n\
             except MemoryError: print('handled', 'atexit' in sys.modules)\n\
             sys.exit(1)",
        ])
        .stdout("handled False\n")
        .stderr("")
        .code(1)
        .run()
        // Without a limit it is nobody's doing.
        .args(["-c", "raise MemoryError"])
        .stdout("")
        .stderr(
            "Traceback (most recent call last):\n  \
             File \"<string>\", line 1, in <module>\n\
             MemoryError\n",
        )
        .code(1)
        .run();
}

#[test]
fn output() {
    Pyw::new()
        .args([
            "--output-size",
            "10K",
            "-c",
            "while True: print('x' * 99, flush=True)",
        ])
        .stdout(&format!("{}\n", "x".repeat(99)).repeat(103)[..10240])
        .stderr(
            "pyw: the program wrote more than 10 KiB and was stopped\n\
             hint: allow more with --output-size\n",
        )
        .code(121)
        .run()
        // Exactly as much as it may, on both streams together, and its own code.
        .args([
            "--output-size",
            "10",
            "-c",
            "import sys; print('1234'); print('5678', file=sys.stderr); sys.exit(7)",
        ])
        .stdout("1234\n")
        .stderr("5678\n")
        .code(7)
        .run()
        .args(["--output-size", "9", "-c", "print('123456789')"])
        .stdout("123456789")
        .stderr(
            "pyw: the program wrote more than 9 bytes and was stopped\n\
             hint: allow more with --output-size\n",
        )
        .code(121)
        .run();
}

#[test]
fn open_files() {
    Pyw::new()
        .args([
            "--open-files",
            "64",
            "-c",
            "files = []\n\
             try:\n    while True: files.append(open('/tmp/x', 'w'))\n\
             except OSError as e: print(type(e).__name__, 20 < len(files) < 64)",
        ])
        .stdout("OSError True\n")
        .run()
        .args(["--open-files", "63", "-c", "1"])
        .stdout("")
        .stderr(
            "pyw: wasmtime {wasmtime-version} cannot run this as asked, so it is not run\n  \
             at most 63 open files: the runtime and its mounts need up to 64\n    \
             - allow at least so many: --open-files 64\n",
        )
        .code(110)
        .run()
        .args(["--open-files", "many", "-c", "1"])
        .stderr(
            "pyw: --open-files: `many` is not a number of at least 1; write for example `256`\n\
             hint: `pyw --help` tells more\n",
        )
        .code(2)
        .run();
}

/// What a program writes to its `/tmp`, and to what else is made for it, has a size; the code that
/// it ends with has a place of its own.
#[cfg(target_os = "linux")]
#[test]
fn tmp_size() {
    let fill = "import sys\n\
         for path in '/tmp/x', '/dev/null':\n    \
             written = 0\n    \
             try:\n        \
                 with open(path, 'wb', 0) as file:\n            \
                     while written < 16 << 20: written += file.write(bytes(65536))\n    \
             except OSError as e: print(path, e.strerror, written <= 1 << 20)\n\
         try:\n    \
             for i in range(9999): open(f'/tmp/{i}', 'w').close()\n\
         except OSError as e: print(e.strerror, i < 256)\n\
         sys.exit(200)";
    Pyw::new()
        .args(["--tmp-size", "1M", "-c", fill])
        .stdout(
            "/tmp/x No space left on device True\n\
             /dev/null No space left on device True\n\
             No space left on device True\n",
        )
        .code(200)
        .run()
        // What fits does.
        .args([
            "--tmp-size",
            "1M",
            "-c",
            "open('/tmp/x', 'wb').write(bytes(900000)); print(len(open('/tmp/x', 'rb').read()))",
        ])
        .stdout("900000\n")
        .code(0)
        .run()
        .mkdir("out")
        .args(["--tmp-size", "1M", "--mount", "out:/tmp:rw", "-c", "1"])
        .stdout("")
        .stderr(
            "pyw: wasmtime {wasmtime-version} cannot run this as asked, so it is not run\n  \
             at most 1 MiB in the private /tmp: /tmp is {dir}/out here, which has no size of its own\n    \
             - mount that elsewhere than at /tmp\n    \
             - run without --tmp-size\n",
        )
        .code(110)
        .run();
}

/// Single hosts are refused: nothing could tell them from the rest of the network.
#[test]
fn single_hosts() {
    Pyw::new()
        .args(["--allow-net", "example.org:443", "-c", "1"])
        .stderr(
            "pyw: wasmtime {wasmtime-version} cannot run this as asked, so it is not run\n  \
             the network at example.org:443: wasmtime has no way to give it to a WASI preview 1 program\n    \
             - run without it: --network none\n",
        )
        .code(110)
        .run()
        .args(["--allow-net", "example.org", "-c", "1"])
        .stderr(
            "pyw: --allow-net: `example.org` is not a host and a port: the port is missing; write \
             for example `example.org:443` or `[::1]:8080`\nhint: `pyw --help` tells more\n",
        )
        .code(2)
        .run();
}

#[test]
fn isolation_is_insisted_on() {
    Pyw::new()
        .args(["--require-isolation", "strong", "-c", "print(1)"])
        .stdout("1\n")
        .run()
        .args(["--require-isolation", "much", "-c", "print(1)"])
        .stdout("")
        .stderr(
            "pyw: --require-isolation: `much` is not a level of isolation; write `strong`, \
             `runtime`, `process` or `none`\nhint: `pyw --help` tells more\n",
        )
        .code(2)
        .run();
}

/// What steers runtimes and loaders in the caller's environment does not reach the runtime.
#[cfg(target_os = "linux")]
#[test]
fn the_runtime_has_a_clean_environment() {
    let mut pyw = Pyw::new();
    for (name, value) in [
        ("LD_LIBRARY_PATH", "/nonexistent"),
        ("WASMTIME_LOG", "trace"),
        ("RUST_LOG", "trace"),
        ("NODE_OPTIONS", "--title=x"),
        ("PYTHONHOME", "/nonexistent"),
    ] {
        pyw = pyw.env(name, value);
    }
    let pyw = pyw.args(["-c", "import time; time.sleep(300)"]);
    let mut child = pyw.spawn();
    let runtime = (0..2000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let id = child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        let runtime = children.split_whitespace().next()?.to_owned();
        let command = std::fs::read_to_string(format!("/proc/{runtime}/cmdline")).ok()?;
        // Between fork and exec it is pyw still, with pyw's own environment.
        let program = std::fs::read_link(format!("/proc/{runtime}/exe")).ok()?;
        if program.file_name() == Some(std::ffi::OsStr::new("pyw")) {
            return None;
        }
        // One that is asked for its version, or compiles, comes before.
        command.contains("time.sleep").then_some(runtime)
    });
    let environment = runtime.map(|id| std::fs::read_to_string(format!("/proc/{id}/environ")));
    child.kill().unwrap();
    child.wait().unwrap();
    let environment = environment.expect("a runtime that runs").unwrap();
    let names: Vec<&str> = environment
        .split_terminator('\0')
        .filter_map(|variable| variable.split('=').next())
        .collect();
    assert_eq!(names, ["RUST_BACKTRACE"]);
}
