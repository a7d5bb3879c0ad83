//! What a configuration becomes, and the exact text of every complaint.

use std::ffi::OsString;
use std::fs;

use super::*;
use crate::sandbox::mount::Access;

/// A throw-away machine: a home, a project below it, and an environment.
struct Machine {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
    env: BTreeMap<String, OsString>,
    cli: Partial,
    cwd: &'static str,
}

impl Machine {
    fn new() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let root = root.canonicalize_utf8().unwrap();
        fs::create_dir_all(root.join("home/project/sub/deep")).unwrap();
        fs::create_dir_all(root.join("home/.config/pyw")).unwrap();
        Machine {
            _dir: dir,
            root,
            env: BTreeMap::new(),
            cli: Partial::default(),
            cwd: "home/project/sub",
        }
    }

    fn file(self, path: &str, text: impl AsRef<[u8]>) -> Machine {
        fs::write(self.root.join(path), text).unwrap();
        self
    }

    fn user(self, text: &str) -> Machine {
        self.file("home/.config/pyw/config.toml", text)
    }

    fn project(self, text: &str) -> Machine {
        self.file("home/project/pyw.toml", text)
    }

    fn var(mut self, name: &str, value: impl Into<OsString>) -> Machine {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    fn cwd(mut self, cwd: &'static str) -> Machine {
        self.cwd = cwd;
        self
    }

    fn cli(mut self, change: impl FnOnce(&mut Partial)) -> Machine {
        change(&mut self.cli);
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&Inputs {
            script: None,
            cwd: &self.root.join(self.cwd),
            home: Some(&self.root.join("home")),
            user_config_dir: Some(&self.root.join("home/.config/pyw")),
            env: &|name| self.env.get(name).cloned(),
            cli: self.cli.clone(),
        })
    }

    fn ok(&self) -> Config {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The message and the hint, with the machine's root as `~~`.
    fn error(&self) -> String {
        let error = self.load().expect_err("a wrong configuration was taken");
        assert_eq!(error.code(), Code::Usage);
        let hint = error.hint().map(|hint| format!("\nhint: {hint}"));
        format!("{error}{}", hint.unwrap_or_default()).replace(self.root.as_str(), "~~")
    }

    /// What is not a default, as `key = value (from)`.
    fn rows(&self) -> Vec<String> {
        show_rows(&self.ok())
            .iter()
            .filter(|row| row.from != Origin::Default)
            .map(|row| {
                let value = row.value.as_deref().unwrap_or("-");
                format!("{} = {value} ({})", row.key, row.from).replace(self.root.as_str(), "~~")
            })
            .collect()
    }
}

#[test]
fn nothing_at_all_is_the_default() {
    let machine = Machine::new();
    assert_eq!(machine.rows(), [] as [&str; 0]);
    let mut config = machine.ok();
    let looked_for = std::mem::take(&mut config.looked_for).into_iter();
    let looked_for = looked_for.map(|file| file.as_str().replace(machine.root.as_str(), "~~"));
    assert_eq!(
        looked_for.collect::<Vec<_>>(),
        [
            "~~/home/.config/pyw/config.toml",
            "~~/home/project/sub/pyw.toml",
            "~~/home/project/sub/pyproject.toml",
            "~~/home/project/pyw.toml",
            "~~/home/project/pyproject.toml",
        ]
    );
    assert_eq!(config.runtime.value, RuntimeChoice::Auto);
    assert_eq!(config.network.value, Network::None);
    assert!(!config.offline.value);
    assert!(config.snapshots.value);
    assert!(config.files.is_empty());
    let bare = Inputs {
        script: None,
        cwd: Utf8Path::new("/"),
        home: None,
        user_config_dir: None,
        env: &|_| None,
        cli: Partial::default(),
    };
    assert_eq!(Config::load(&bare).unwrap(), config);
    let json = serde_json::to_value(&show_rows(&config)[7]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"key": "memory", "value": null, "from": {"kind": "default"}})
    );
}

const EVERYTHING: &str = r#"runtime = "WasmEdge"
runtimes = ["wasmtime", "wasmedge"]
python = "builds/python.wasm"
store = "~/store"
offline = true
network = "host"
memory = "512M"
stack = "8MiB"
timeout = "90"
cwd = "/work/../srv"
mounts = [
  "data:/data",
  '/opt/x:rw', "~/y"
]
env = ["TOKEN", "A=1"]

[paths]
wasmtime = "/opt/wasmtime"
my-runtime = "bin/mine"
"#;

#[cfg(unix)]
#[test]
fn the_user_may_say_everything() {
    let machine = Machine::new().user(EVERYTHING);
    let at = "~~/home/.config/pyw/config.toml";
    let expected: Vec<String> = [
        ("runtime = wasmedge", 1),
        ("runtimes = wasmtime, wasmedge", 2),
        ("python = ~~/home/.config/pyw/builds/python.wasm", 3),
        ("store = ~~/home/store", 4),
        ("offline = true", 5),
        ("network = host", 6),
        ("memory = 512 MiB", 7),
        ("stack = 8 MiB", 8),
        ("timeout = 1m 30s", 9),
        ("cwd = /srv", 10),
        ("mounts = ~~/home/.config/pyw/data:/data", 12),
        ("mounts = /opt/x:rw", 13),
        ("mounts = ~~/home/y", 13),
        ("env = TOKEN", 15),
        ("env = A=1", 15),
        ("paths.my-runtime = ~~/home/.config/pyw/bin/mine", 19),
        ("paths.wasmtime = /opt/wasmtime", 18),
    ]
    .iter()
    .map(|(setting, line)| format!("{setting} ({at}:{line})"))
    .collect();
    assert_eq!(machine.rows(), expected);
    let config = machine.ok();
    assert_eq!(config.memory.value, Some(512 << 20));
    assert_eq!(config.mounts[1].value.access, Some(Access::Write));
    assert_eq!(
        config.files,
        [machine.root.join("home/.config/pyw/config.toml")]
    );
}

#[cfg(unix)]
#[test]
fn later_sources_win_and_lists_add_up() {
    let machine = Machine::new()
        .user(EVERYTHING)
        .project("runtime = 'wasmtime'\npython = './py.wasm'\nmemory = '256M'")
        .var("PYW_RUNTIME", "node")
        .var("PYW_RUNTIMES", "node, Wasmer")
        .var("PYW_OFFLINE", "False")
        .var("PYW_NETWORK", "none")
        .var("PYW_MEMORY", "1G")
        .var("PYW_STACK", "")
        .var("PYW_STORE", "s")
        .var("PYW_UNKNOWN", "x")
        .cli(|cli| {
            cli.timeout = Some(Duration::from_secs(1));
            cli.cwd = Some("x/..".to_owned());
            cli.mounts = vec![MountSpec::parse("./data/:/m").unwrap()];
            cli.env = vec![EnvSpec::parse("A=3").unwrap()];
            cli.env_files = vec![EnvSpec::parse("A=2").unwrap()];
        });
    let at = "~~/home/.config/pyw/config.toml";
    assert_eq!(
        machine.rows(),
        [
            "runtime = node (PYW_RUNTIME)",
            "runtimes = node, wasmer (PYW_RUNTIMES)",
            "python = ~~/home/project/py.wasm (~~/home/project/pyw.toml:2)",
            "store = ~~/home/project/sub/s (PYW_STORE)",
            "offline = false (PYW_OFFLINE)",
            "network = none (PYW_NETWORK)",
            "memory = 1 GiB (PYW_MEMORY)",
            &format!("stack = 8 MiB ({at}:8)"),
            "timeout = 1s (--timeout)",
            "cwd = ~~/home/project/sub (--cwd)",
            &format!("mounts = ~~/home/.config/pyw/data:/data ({at}:12)"),
            &format!("mounts = /opt/x:rw ({at}:13)"),
            &format!("mounts = ~~/home/y ({at}:13)"),
            "mounts = ~~/home/project/sub/data:/m (--mount)",
            &format!("env = TOKEN ({at}:15)"),
            &format!("env = A=1 ({at}:15)"),
            "env = A=2 (--env-file)",
            "env = A=3 (--env)",
            &format!("paths.my-runtime = ~~/home/.config/pyw/bin/mine ({at}:19)"),
            &format!("paths.wasmtime = /opt/wasmtime ({at}:18)"),
        ]
    );
}

#[test]
fn projects_narrow_and_never_loosen() {
    let tight = "memory = '1M'\nstack = '1M'\ntimeout = '1s'\ncpu-time = '1s'\noutput-size = '1M'\ntmp-size = '1M'\nopen-files = 64\nisolation = 'strong'\nnetwork = 'none'\noffline = true";
    let loose = "memory = '2M'\nstack = '2M'\ntimeout = '2s'\ncpu-time = '2s'\noutput-size = '2M'\ntmp-size = '2M'\nopen-files = 128\nisolation = 'runtime'\nnetwork = 'host'\noffline = false";
    let limits = |config: &Config| {
        (
            config.memory.value,
            config.stack.value,
            config.timeout.value,
            config.cpu_time.value,
            config.output_size.value,
            config.tmp_size.value,
            config.open_files.value,
            config.isolation.value,
            config.network.value,
            config.offline.value,
        )
    };
    let expected = (
        Some(1 << 20),
        Some(1 << 20),
        Some(Duration::from_secs(1)),
        Some(Duration::from_secs(1)),
        Some(1 << 20),
        Some(1 << 20),
        Some(64),
        Some(IsolationLevel::Strong),
        Network::None,
        true,
    );

    let from_project = |origin: &Origin| matches!(origin, Origin::ProjectFile { .. });
    for user in ["", loose] {
        let config = Machine::new().user(user).project(tight).ok();
        assert_eq!(limits(&config), expected);
        assert!(from_project(&config.memory.origin));
        assert!(from_project(&config.network.origin));
        assert!(from_project(&config.offline.origin));
    }
    let wide = "memory = '3M'\nstack = '3M'\ntimeout = '3s'\ncpu-time = '3s'\noutput-size = '3M'\ntmp-size = '3M'\nopen-files = 256\nisolation = 'none'\nnetwork = 'none'\noffline = true";
    let config = Machine::new().user(tight).project(wide).ok();
    assert_eq!(limits(&config), expected);
    assert!(!from_project(&config.memory.origin));
    assert!(!from_project(&config.network.origin));
    assert!(!from_project(&config.offline.origin));
}

#[test]
fn the_nearest_project_counts() {
    let at = |path: &str, cwd| {
        let machine = Machine::new()
            .file("home/pyw.toml", "runtime = 'home'")
            .file("home/project/pyproject.toml", "[tool.pyw]\nruntime = 'py'")
            .file(
                "home/project/sub/deep/pyproject.toml",
                "[tool.other]\npyw = 1",
            )
            .file(path, "runtime = 'other'")
            .cwd(cwd);
        machine.rows()
    };
    // A `pyproject.toml` without the table is passed by.
    assert_eq!(
        at("home/x", "home/project/sub/deep"),
        ["runtime = py (~~/home/project/pyproject.toml:2)"]
    );
    assert_eq!(
        at("home/project/sub/pyw.toml", "home/project/sub/deep"),
        ["runtime = other (~~/home/project/sub/pyw.toml:1)"]
    );
    assert_eq!(
        at("home/project/pyw.toml", "home/project/sub/deep"),
        ["runtime = other (~~/home/project/pyw.toml:1)"]
    );
    // The home directory is no project.
    assert_eq!(at("home/x", "home"), [] as [&str; 0]);
    assert_eq!(at("home/x", "home/.config"), [] as [&str; 0]);
}

#[cfg(unix)]
#[test]
fn a_home_behind_a_link_is_no_project_either() {
    let machine = Machine::new()
        .file("home/pyw.toml", "runtime = 'home'")
        .cwd("home/project");
    let link = machine.root.join("link");
    std::os::unix::fs::symlink(machine.root.join("home"), &link).unwrap();
    let config = Config::load(&Inputs {
        script: None,
        cwd: &machine.root.join("home/project"),
        home: Some(&link),
        user_config_dir: None,
        env: &|_| None,
        cli: Partial::default(),
    });
    assert_eq!(config.unwrap().runtime.value, RuntimeChoice::Auto);
}

#[test]
fn another_user_file() {
    let machine = || {
        Machine::new()
            .user("runtime = 'usual'")
            .file("home/project/sub/mine.toml", "runtime = 'mine'")
    };
    assert_eq!(
        machine().var("PYW_CONFIG", "mine.toml").rows(),
        ["runtime = mine (~~/home/project/sub/mine.toml:1)"]
    );
    assert_eq!(machine().var("PYW_CONFIG", "").rows(), [] as [&str; 0]);
    assert_eq!(
        machine().var("PYW_CONFIG", "none.toml").error(),
        "~~/home/project/sub/none.toml: PYW_CONFIG names this file, and it does not exist\n\
         hint: an empty PYW_CONFIG means no configuration file"
    );
    // A project's file that the user names is the user's, and not a project's as well.
    let named = Machine::new()
        .project("store = '/s'")
        .var("PYW_CONFIG", "../pyw.toml");
    assert_eq!(named.ok().store.value.as_deref(), Some(Utf8Path::new("/s")));
    assert_eq!(named.ok().files.len(), 1);
}

#[cfg(unix)]
#[test]
fn a_user_file_may_be_a_device() {
    let machine = Machine::new().var("PYW_CONFIG", "/dev/null");
    assert_eq!(machine.rows(), [] as [&str; 0]);
}

#[test]
fn what_projects_may_not_say() {
    for (text, message) in [
        (
            "cwd = '/'",
            "~~/home/project/pyw.toml:1:7: `cwd` may not stand in a project file, since it \
             widens the sandbox\n  \
             |\n\
             1 | cwd = '/'\n  \
             |       ^^^\n\
             hint: it may stand in your own ~~/home/.config/pyw/config.toml, or on the command \
             line (`--cwd`)",
        ),
        (
            "store = 's'",
            "~~/home/project/pyw.toml:1:9: `store` may not stand in a project file, since it \
             decides where pyw writes on the host\n  \
             |\n\
             1 | store = 's'\n  \
             |         ^^^\n\
             hint: it may stand in your own ~~/home/.config/pyw/config.toml, or in the \
             environment (`PYW_STORE`)",
        ),
        (
            "[paths]\nwasmtime = 'x'",
            "~~/home/project/pyw.toml:1:1: `paths` may not stand in a project file, since it \
             names programs that run outside the sandbox\n  \
             |\n\
             1 | [paths]\n  \
             | ^^^^^^^\n\
             hint: it may stand in your own ~~/home/.config/pyw/config.toml, or in the \
             environment (`PYW_RUNTIME_NAME`)",
        ),
        (
            "offline = false",
            "~~/home/project/pyw.toml:1:11: a project file may forbid downloads, but not allow \
             them\n  \
             |\n\
             1 | offline = false\n  \
             |           ^^^^^\n\
             hint: it may stand in your own ~~/home/.config/pyw/config.toml, or in the \
             environment (`PYW_OFFLINE=0`)",
        ),
    ] {
        assert_eq!(Machine::new().project(text).error(), message);
    }
    let pyproject = Machine::new()
        .file(
            "home/project/pyproject.toml",
            "[project]\nname = 'x'\n\n[tool.pyw.paths]\nnode = './evil'\n",
        )
        .var("PYW_CONFIG", "");
    assert_eq!(
        pyproject.error(),
        "~~/home/project/pyproject.toml:4:1: `paths` may not stand in a project file, since it \
         names programs that run outside the sandbox\n  \
         |\n\
         4 | [tool.pyw.paths]\n  \
         | ^^^^^^^^^^^^^^^^\n\
         hint: it may stand in the environment (`PYW_RUNTIME_NAME`)"
    );
}

#[test]
fn mistakes_in_the_users_file() {
    for (text, message) in [
        (
            "# mine\nmemry = '1G'\n",
            "2:1: unknown key `memry`; the keys are `runtime`, `runtimes`, `python`, `snapshots`, `offline`, \
             `network`, `memory`, `stack`, `timeout`, `cpu-time`, `output-size`, `tmp-size`, `open-files`, `isolation`, `mounts`, `env`, `store`, `cwd`, `paths`\n  \
             |\n\
             2 | memry = '1G'\n  \
             | ^^^^^",
        ),
        (
            "memory = 512",
            "1:10: invalid type: integer `512`, expected a string\n  \
             |\n\
             1 | memory = 512\n  \
             |          ^^^",
        ),
        (
            "offline = \"yes\"",
            "1:11: invalid type: string \"yes\", expected a boolean\n  \
             |\n\
             1 | offline = \"yes\"\n  \
             |           ^^^^^",
        ),
        (
            "runtime = 'x'\nruntime = 'y'",
            "2:1: duplicate key\n  \
             |\n\
             2 | runtime = 'y'\n  \
             | ^^^^^^^",
        ),
        (
            "memory = 1G",
            "1:10: string values must be quoted, expected literal string\n  \
             |\n\
             1 | memory = 1G\n  \
             |          ^^",
        ),
        (
            "runtime = ",
            "1:11: string values must be quoted, expected literal string\n  \
             |\n\
             1 | runtime =\n  \
             |           ^",
        ),
        (
            "memory = '12Q'",
            "1:10: `12Q` is not a size: `Q` is not a unit; write for example `512M` or `1.5GiB`\n  \
             |\n\
             1 | memory = '12Q'\n  \
             |          ^^^^^",
        ),
        (
            "stack = '0'",
            "1:9: `0` is not a size: it must be at least one byte; \
             write for example `512M` or `1.5GiB`\n  \
             |\n\
             1 | stack = '0'\n  \
             |         ^^^",
        ),
        (
            "timeout = 'soon'",
            "1:11: `soon` is not a duration: it must begin with a digit; \
             write for example `90`, `500ms`, `1.5s` or `2m`\n  \
             |\n\
             1 | timeout = 'soon'\n  \
             |           ^^^^^^",
        ),
        (
            "network = 'open'",
            "1:11: `open` is not a network; write `none` or `host`\n  \
             |\n\
             1 | network = 'open'\n  \
             |           ^^^^^^",
        ),
        (
            "runtime = './wasmtime'",
            "1:11: `./wasmtime` is a path and not the name of a runtime; paths stand under \
             `[paths]` in the user's configuration file\n  \
             |\n\
             1 | runtime = './wasmtime'\n  \
             |           ^^^^^^^^^^^^",
        ),
        (
            "runtimes = [\n  'wasmtime',\n  'auto'\n]",
            "3:3: `auto` is not one runtime; write names, for example `wasmtime`\n  \
             |\n\
             3 |   'auto'\n  \
             |   ^^^^^^",
        ),
        (
            "runtimes = []",
            "1:12: the list names no runtime; leave the key out for pyw's own order\n  \
             |\n\
             1 | runtimes = []\n  \
             |            ^^",
        ),
        (
            "mounts = ['a', ':/b']",
            "1:16: `:/b` names no host path; write for example `data`, `data:/data` or \
             `data:/data:rw`\n  \
             |\n\
             1 | mounts = ['a', ':/b']\n  \
             |                ^^^^^",
        ),
        (
            "env = ['=1']",
            "1:8: `=1` names no variable; write `NAME=VALUE`, or `NAME` to copy the host's\n  \
             |\n\
             1 | env = ['=1']\n  \
             |        ^^^^",
        ),
        (
            "cwd = '/..'",
            "1:7: the guest path `/..` leads above `/`\n  \
             |\n\
             1 | cwd = '/..'\n  \
             |       ^^^^^",
        ),
        (
            "store = ''",
            "1:9: the store is empty\n  \
             |\n\
             1 | store = ''\n  \
             |         ^^",
        ),
        (
            "[paths]\nWasmtime = '/a'\nwasmtime = '/b'",
            "3:1: the path of `wasmtime` is given twice\n  \
             |\n\
             3 | wasmtime = '/b'\n  \
             | ^^^^^^^^",
        ),
        (
            "\u{feff}python = ' '",
            "1:10: `python` is empty; write for example `3.13`\n  \
             |\n\
             1 | python = ' '\n  \
             |          ^^^",
        ),
        (
            "runtime = \"\\u001b[2J\"",
            "1:11: `\u{fffd}[2J` is not the name of a runtime; write for example `wasmtime`\n  \
             |\n\
             1 | runtime = \"\\u001b[2J\"\n  \
             |           ^^^^^^^^^^^",
        ),
    ] {
        let expected = format!("~~/home/.config/pyw/config.toml:{message}");
        assert_eq!(Machine::new().user(text).error(), expected, "{text}");
    }
}

#[test]
fn mistakes_in_a_projects_file() {
    let machine = Machine::new().file(
        "home/project/pyproject.toml",
        "[tool.pyw]\nmemory = '1G'\ntimeouts = 3\n",
    );
    assert_eq!(
        machine.error(),
        "~~/home/project/pyproject.toml:3:1: unknown key `timeouts`; the keys are `runtime`, \
         `runtimes`, `python`, `snapshots`, `offline`, `network`, `memory`, `stack`, `timeout`, `cpu-time`, `output-size`, `tmp-size`, `open-files`, `isolation`, `mounts`, \
         `env`\n  \
         |\n\
         3 | timeouts = 3\n  \
         | ^^^^^^^^"
    );
    // Another tool's mistake is not pyw's affair.
    let machine = Machine::new().file("home/project/pyproject.toml", "[tool.x\n");
    assert_eq!(machine.rows(), [] as [&str; 0]);
}

#[test]
fn files_that_cannot_be_read() {
    let machine = Machine::new();
    fs::create_dir(machine.root.join("home/project/pyw.toml")).unwrap();
    assert_eq!(
        machine.error(),
        "~~/home/project/pyw.toml: this is a directory, not a configuration file"
    );
    let machine = Machine::new().var("PYW_CONFIG", "..");
    assert_eq!(
        machine.error(),
        "~~/home/project/sub/..: this is a directory, not a configuration file"
    );
    let machine = Machine::new().file("home/.config/pyw/config.toml", b"# caf\xe9\n");
    assert_eq!(
        machine.error(),
        "~~/home/.config/pyw/config.toml: a configuration file must be UTF-8, and is not at byte 5"
    );
}

#[cfg(unix)]
#[test]
fn pipes_are_not_waited_for() {
    let machine = Machine::new();
    let pipe = machine.root.join("home/project/pyw.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        assert_eq!(
            machine.error(),
            "~~/home/project/pyw.toml: this is a pipe or a device, not a configuration file"
        );
    }
}

#[test]
fn mistakes_in_the_environment() {
    for (name, value, message) in [
        (
            "PYW_MEMORY",
            "lots",
            "PYW_MEMORY: `lots` is not a size: it must begin with a digit; \
             write for example `512M` or `1.5GiB`",
        ),
        (
            "PYW_OFFLINE",
            "maybe",
            "PYW_OFFLINE: `maybe` is neither on nor off; write `1` or `0`",
        ),
        (
            "PYW_NETWORK",
            "all",
            "PYW_NETWORK: `all` is not a network; write `none` or `host`",
        ),
        (
            "PYW_RUNTIMES",
            "wasmtime,,node",
            "PYW_RUNTIMES: the name of the runtime is empty; write for example `wasmtime`",
        ),
        (
            "PYW_RUNTIME",
            "a b",
            "PYW_RUNTIME: `a b` is not the name of a runtime; write for example `wasmtime`",
        ),
    ] {
        assert_eq!(Machine::new().var(name, value).error(), message);
    }
    let machine = Machine::new().cli(|cli| cli.cwd = Some("/../x".to_owned()));
    assert_eq!(
        machine.error(),
        "--cwd: the guest path `/../x` leads above `/`"
    );
}

#[cfg(unix)]
#[test]
fn variables_that_are_not_utf8() {
    use std::os::unix::ffi::OsStringExt;
    let value = OsString::from_vec(vec![b'x', 0xff]);
    assert_eq!(
        Machine::new().var("PYW_STORE", value).error(),
        "PYW_STORE: the value is not UTF-8"
    );
}

#[test]
fn names_of_runtimes() {
    assert_eq!(runtime_name(" WasmEdge "), Ok("wasmedge".to_owned()));
    for wrong in ["", "auto", "a/b", r"a\b", "-x", "a b", "é", "a.b", "a\0"] {
        assert!(runtime_name(wrong).is_err(), "{wrong}");
    }
    assert_eq!(runtime_path_variable("wasmtime"), "PYW_RUNTIME_WASMTIME");
    assert_eq!(
        runtime_path_variable("my-run_time"),
        "PYW_RUNTIME_MY_RUN_TIME"
    );
}

#[test]
fn pythons_that_are_paths() {
    for path in [
        "./x",
        "a/b",
        r"C:\x",
        "python.wasm",
        "CPYTHON.PYBI",
        "~/x",
        "x.zip",
    ] {
        assert!(python_is_path(path), "{path}");
    }
    for other in [
        "3.13",
        ">=3.12,<4",
        "cpython-3.13-wasi",
        "https://x/y.wasm",
        "",
        "wasm",
    ] {
        assert!(!python_is_path(other), "{other}");
    }
}

/// No text whatever may make the reader panic.
#[test]
fn mangled_files_are_refused_politely() {
    let text = EVERYTHING;
    let bytes = text.as_bytes();
    for at in 0..bytes.len() {
        for insert in ["", "\"", "[", "=", "\u{1b}", "é", "\n", "\\"] {
            for skip in [0, 1, 7] {
                let end = (at + skip).min(bytes.len());
                let mangled = format!("{}{insert}{}", &text[..at], &text[end..]);
                for owner in [Owner::User, Owner::Project] {
                    let source = Source {
                        shown: None,
                        owner,
                        path: Utf8Path::new("/u/config.toml"),
                        text: &mangled,
                        home: None,
                        user_file: None,
                    };
                    if let Err(error) = source.layer() {
                        assert!(error.to_string().starts_with("/u/config.toml:"));
                    }
                }
            }
        }
    }
    let deep = format!("runtimes = {}", "[".repeat(100_000));
    let source = Source {
        shown: None,
        owner: Owner::User,
        path: Utf8Path::new("/u/config.toml"),
        text: &deep,
        home: None,
        user_file: None,
    };
    assert!(source.layer().is_err());
}
