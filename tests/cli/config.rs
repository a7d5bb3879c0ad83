//! Configuration files and variables that are wrong, and what a project may not say.

use crate::pyw::Pyw;

const USER: &str = "../home/.config/pyw/config.toml";

#[test]
fn mistakes_are_shown_in_their_line() {
    let pyw = Pyw::new();
    let cases = [
        (
            "# mine\npython = \"3.12\"\nmemroy = \"1G\"\n",
            "3:1: unknown key `memroy`; the keys are `runtime`, `runtimes`, `python`, `snapshots`, `offline`, \
             `network`, `memory`, `stack`, `timeout`, `cpu-time`, `output-size`, `tmp-size`, `open-files`, `isolation`, `mounts`, `env`, `store`, `cwd`, `paths`\n  \
             |\n3 | memroy = \"1G\"\n  | ^^^^^^\n",
        ),
        (
            "runtime = [\"wasmtime\"]\n",
            "1:11: invalid type: sequence, expected a string\n  \
             |\n1 | runtime = [\"wasmtime\"]\n  |           ^^^^^^^^^^^^\n",
        ),
        (
            "\ntimeout = \"soon\"\n",
            "2:11: `soon` is not a duration: it must begin with a digit; write for example `90`, \
             `500ms`, `1.5s` or `2m`\n  |\n2 | timeout = \"soon\"\n  |           ^^^^^^\n",
        ),
        (
            "mounts = [\"ok\", \"no:\"]\n",
            "1:17: nothing follows the `:` after `no`; write for example `no:/data`, or `\\:` for \
             a colon that belongs to the path\n  \
             |\n1 | mounts = [\"ok\", \"no:\"]\n  |                 ^^^^^\n",
        ),
    ];
    let mut pyw = pyw;
    for (text, message) in cases {
        pyw = pyw
            .write(USER, text)
            .args(["-c", "1"])
            .stderr(&format!("pyw: {{home}}/.config/pyw/config.toml:{message}"))
            .code(2)
            .run();
    }
}

#[test]
fn a_project_grants_nothing() {
    let own = "{home}/.config/pyw/config.toml";
    let mut pyw = Pyw::new();
    for (text, message, elsewhere) in [
        (
            "store = \"x\"\n",
            "1:9: `store` may not stand in a project file, since it decides where pyw writes on \
             the host\n  |\n1 | store = \"x\"\n",
            "in the environment (`PYW_STORE`)",
        ),
        (
            "[paths]\nwasmtime = \"./evil\"\n",
            "1:1: `paths` may not stand in a project file, since it names programs that run \
             outside the sandbox\n  |\n1 | [paths]\n",
            "in the environment (`PYW_RUNTIME_NAME`)",
        ),
    ] {
        pyw = pyw
            .write("pyw.toml", text)
            .args(["-c", "1"])
            .stderr(&format!(
                "pyw: {{dir}}/pyw.toml:{message}  | [..]\n\
                 hint: it may stand in your own {own}, or {elsewhere}\n"
            ))
            .code(2)
            .run();
    }
}

#[test]
fn a_project_may_choose_and_narrow() {
    Pyw::new()
        .write(USER, "memory = \"64M\"\n")
        .write(
            "pyproject.toml",
            "[project]\nname = \"x\"\n\n[tool.pyw]\nruntime = \"wasmtime\"\nmemory = \"1G\"\n\
             timeout = \"300ms\"\n",
        )
        .mkdir("below/deeper")
        .cwd("below/deeper")
        .args([
            "-c",
            "try:\n    bytearray(100 << 20)\nexcept MemoryError:\n    print('no more')",
        ])
        .env("PYW_TIMEOUT", "100")
        .stdout("no more\n")
        .run()
        .env_remove("PYW_TIMEOUT")
        .args(["-c", "while True: pass"])
        .stderr(
            "pyw: the program ran longer than 300ms and was stopped\n\
             hint: allow more with --timeout\n",
        )
        .code(124)
        .run();
}

#[test]
fn variables_of_the_environment_are_checked() {
    let mut pyw = Pyw::new();
    for (name, value, message) in [
        (
            "PYW_RUNTIME",
            "a/b",
            "`a/b` is a path and not the name of a runtime; paths stand under `[paths]` in the \
             user's configuration file",
        ),
        (
            "PYW_OFFLINE",
            "perhaps",
            "`perhaps` is neither on nor off; write `1` or `0`",
        ),
        (
            "PYW_NETWORK",
            "lan",
            "`lan` is not a network; write `none` or `host`",
        ),
        (
            "PYW_MEMORY",
            "1Q",
            "`1Q` is not a size: `Q` is not a unit; write for example `512M` or `1.5GiB`",
        ),
    ] {
        pyw = pyw
            .env(name, value)
            .args(["-c", "1"])
            .stderr(&format!("pyw: {name}: {message}\n"))
            .code(2)
            .run()
            .env(name, "");
    }
    pyw.env("PYW_CONFIG", "{dir}/no.toml")
        .args(["-c", "1"])
        .stderr(
            "pyw: {dir}/no.toml: PYW_CONFIG names this file, and it does not exist\n\
             hint: an empty PYW_CONFIG means no configuration file\n",
        )
        .code(2)
        .run();
}
