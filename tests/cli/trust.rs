//! What scripts and projects ask for, and who grants it.

use crate::pyw::Pyw;

const SCRIPT: &str = "\
# /// script
# [tool.pyw]
# mounts = ['../data', '../out:/out:rw']
# env = ['TOKEN', 'LEVEL=3']
# ///
import os
print(open('{data}/a.txt').read(), os.environ.get('TOKEN'), os.environ['LEVEL'])
open('/out/made', 'w').close()
";

fn asking() -> Pyw {
    let pyw = Pyw::new()
        .write("../data/a.txt", "secret")
        .write("../data/b.txt", "more")
        .mkdir("../out")
        .env("TOKEN", "t0k");
    let data = std::fs::canonicalize(pyw.dir().join("../data")).unwrap();
    let script = SCRIPT.replace("{data}", data.to_str().unwrap());
    pyw.write("app.py", &script)
}

/// Paths in messages are those that links and `..` lead to.
fn refused(pyw: &Pyw) -> String {
    REFUSED.replace("{root}", root(pyw).to_str().unwrap())
}

fn root(pyw: &Pyw) -> std::path::PathBuf {
    pyw.dir().parent().unwrap().to_owned()
}

const REFUSED: &str = "\
pyw: {dir}/app.py asks for what it was not granted
  read {root}/data  (--mount {root}/data)
  write {root}/out as /out  (--mount {root}/out:/out:rw)
  see your variable TOKEN  (--env TOKEN)
hint: look at it, and then allow it for good with `pyw trust {dir}/app.py`, or for one run with the flags above
";

#[test]
fn nobody_agreed() {
    let pyw = asking();
    let message = refused(&pyw);
    let out = root(&pyw).join("out");
    let out = out.to_str().unwrap();
    let pyw = pyw.args(["app.py"]).stderr(&message).code(119).run();
    assert!(!pyw.dir().join("../out/made").exists());
    // A part of it is not enough.
    pyw.args(["--env", "TOKEN", "--mount", "../data", "app.py"])
        .stderr(&format!(
            "pyw: {{dir}}/app.py asks for what it was not granted\n  \
             write {out} as /out  (--mount {out}:/out:rw)\n\
             hint: look at it, and then allow it for good with `pyw trust {{dir}}/app.py`, or for one run with the flags above\n"
        ))
        .code(119)
        .run();
}

#[test]
fn the_command_line_agrees() {
    let pyw = asking()
        .args([
            "--env",
            "TOKEN",
            "--mount",
            "../data",
            "--mount",
            "../out:/out:rw",
            "app.py",
        ])
        .stdout("secret t0k 3\n")
        .run();
    assert!(pyw.dir().join("../out/made").exists());
}

#[test]
fn trust_is_about_one_request() {
    let pyw = asking();
    let message = refused(&pyw);
    let root = root(&pyw);
    let what = format!(
        "  read {0}/data\n  write {0}/out as /out\n  see your variable TOKEN\n",
        root.to_str().unwrap()
    );
    let pyw = pyw
        .args(["trust", "app.py"])
        .stdout(&format!("{{dir}}/app.py may from now on\n{what}"))
        .run()
        .args(["app.py"])
        .stdout("secret t0k 3\n")
        .run()
        .args(["trust", "--list"])
        .stdout(&format!("{{dir}}/app.py\n{what}"))
        .run();
    let script = std::fs::read_to_string(pyw.dir().join("app.py")).unwrap();
    // Other code with the same request is what was agreed to.
    let pyw = pyw
        .write("app.py", &format!("{script}print('more')\n"))
        .args(["app.py"])
        .stdout("secret t0k 3\nmore\n")
        .run();
    // Another request is not, nor the same one of another file.
    pyw.write("app.py", &script.replace("'TOKEN'", "'TOKEN', 'HOME'"))
        .args(["app.py"])
        .any_stderr()
        .code(119)
        .run()
        .write("other.py", &script)
        .args(["other.py"])
        .any_stderr()
        .code(119)
        .run()
        .write("app.py", &script)
        .args(["trust", "--forget", "app.py"])
        .stdout("forgot {dir}/app.py\n")
        .run()
        .args(["app.py"])
        .stderr(&message)
        .code(119)
        .run()
        .args(["trust", "--forget", "app.py"])
        .stderr(
            "pyw: nothing of `{dir}/app.py` is recorded\nhint: `pyw trust --list` shows what is\n",
        )
        .code(111)
        .run();
}

#[test]
fn a_project_asks_as_well() {
    let refused = "\
pyw: {dir}/pyw.toml asks for what it was not granted
  see your variable TOKEN  (--env TOKEN)
  reach the network  (--network host)
hint: look at it, and then allow it for good with `pyw trust {dir}/pyw.toml`, or for one run with the flags above
";
    Pyw::new()
        .env("TOKEN", "t0k")
        .write("pyw.toml", "env = ['TOKEN']\nnetwork = 'host'\n")
        .args(["-c", "1"])
        .stderr(refused)
        .code(119)
        .run()
        .write("pyw.toml", "env = ['TOKEN']\n")
        .args(["trust"])
        .stdout("{dir}/pyw.toml may from now on\n  see your variable TOKEN\n")
        .run()
        .args(["-c", "import os; print(os.environ['TOKEN'])"])
        .stdout("t0k\n")
        .run()
        .write("pyw.toml", "memory = '64M'\n")
        .args(["trust"])
        .stderr("pyw: `{dir}/.` asks for nothing\n")
        .code(111)
        .run();
}

#[test]
fn a_header_may_choose_and_narrow() {
    let text = |line: &str| format!("# /// script\n# [tool.pyw]\n# {line}\n# ///\nprint('up')\n");
    Pyw::new()
        .write("app.py", &text("timeout = '1ms'"))
        .args(["app.py"])
        .any_stderr()
        .code(124)
        .run()
        .write("app.py", &text("runtime = 'wasmtime'"))
        .args(["app.py"])
        .stdout("up\n")
        .run()
        // What is seen by default needs no asking.
        .write("app.py", &text("mounts = ['.']"))
        .args(["app.py"])
        .stdout("up\n")
        .run()
        .write("app.py", &text("store = 'x'"))
        .args(["app.py"])
        .stderr(
            "pyw: {dir}/app.py:3:11: `store` may not stand in a project file, since it decides where pyw writes on the host\n  |\n\
             3 | # store = 'x'\n  |           ^^^\n\
             hint: it may stand in your own {home}/.config/pyw/config.toml, or in the environment (`PYW_STORE`)\n",
        )
        .code(2)
        .run();
}

#[test]
fn records_that_are_broken() {
    asking()
        .write("../home/.config/pyw/trust.toml", "trusted = 3\n")
        .args(["app.py"])
        .any_stderr()
        .code(2)
        .run();
}

/// A link in the script's folder leads elsewhere, and that is what is asked for.
#[test]
fn links_are_seen_through() {
    let pyw = asking();
    std::os::unix::fs::symlink("../data", pyw.dir().join("near")).unwrap();
    let data = root(&pyw).join("data");
    let data = data.to_str().unwrap();
    pyw.write(
        "app.py",
        "# /// script\n# [tool.pyw]\n# mounts = ['near']\n# ///\n",
    )
    .args(["app.py"])
    .stderr(&format!(
        "pyw: {{dir}}/app.py asks for what it was not granted\n  \
         read {data}  (--mount {data})\n\
         hint: look at it, and then allow it for good with `pyw trust {{dir}}/app.py`, or for one run with the flags above\n"
    ))
    .code(119)
    .run();
}

/// What is asked for cannot write over the question.
#[test]
fn control_characters_are_not_printed() {
    let pyw = Pyw::new()
        .write(
            "app.py",
            "# /// script\n# [tool.pyw]\n# env = [\"A\\u001b[2K\\rB\"]\n# ///\n",
        )
        .args(["app.py"])
        .any_stderr()
        .code(119)
        .run();
    let stderr = &pyw.output.stderr;
    assert!(
        stderr.contains("see your variable A\u{fffd}[2K\u{fffd}B"),
        "{stderr:?}"
    );
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
}
