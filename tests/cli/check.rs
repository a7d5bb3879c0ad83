//! `pyw runtime check`: a runtime that keeps what is claimed of it, and a descriptor that lies.

use crate::pyw::Pyw;

fn verdict(json: &serde_json::Value, what: &str) -> String {
    let findings = json[0]["findings"].as_array().unwrap();
    let found = findings.iter().find(|f| f["what"] == what);
    found.unwrap()["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn wasmtime_keeps_its_claims() {
    Pyw::new()
        .args([
            "runtime", "check", "wasmtime", "--quiet", "--format", "json",
        ])
        .any_stdout()
        .run()
        .check_json(|json| {
            assert_eq!(verdict(json, "confinement"), "holds");
            assert_eq!(verdict(json, "read-only mounts"), "holds");
            let alone = "read-only mounts by the runtime alone";
            assert_eq!(verdict(json, alone), "unclaimed");
        });
}

#[test]
fn a_descriptor_that_lies_is_found_out() {
    let text = include_str!("../../runtimes/wasmtime.toml");
    let honest = text.split("[install]").next().unwrap();
    let lies = honest
        .replace("name = \"wasmtime\"", "name = \"liar\"")
        .replace(
            "[mount]",
            "[mount]\nread = [\"--dir\", \"{{host}::{guest}\"]",
        )
        .replace("{{host}", "{host}")
        .replace("\"exit-code\", ", "");
    assert_ne!(lies, honest);
    let pyw = Pyw::new()
        .env("XDG_CONFIG_HOME", "{home}")
        .env("PYW_RUNTIME_LIAR", "{wasmtime}");
    let folder = pyw.dir().with_file_name("home").join("pyw/runtimes");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("liar.toml"), lies).unwrap();
    pyw.args(["runtime", "check", "liar", "--quiet", "--format", "json"])
        .any_stdout()
        .any_stderr()
        .code(117)
        .run()
        .check_json(|json| {
            assert_eq!(verdict(json, "exit codes"), "refuted");
            let alone = "read-only mounts by the runtime alone";
            assert_eq!(verdict(json, alone), "refuted");
        });
}
