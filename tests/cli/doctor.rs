//! What `pyw doctor` finds.

use crate::pyw::Pyw;

#[test]
fn what_is_there_and_what_is_wrong_with_it() {
    let old = "#!/bin/sh\necho 'wasmedge version 0.16.0'\n";
    let vulnerable = "#!/bin/sh\necho 'wasmtime 47.0.4 (0123456789 2026-08-20)'\n";
    let pyw = Pyw::new().args(["doctor"]).any_stdout().run();
    let text = &pyw.output.stdout;
    let row = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(row("wasmtime ")[2..4], ["wasi", "strong"]);
    // Other tests install it into the store that they share.
    let node = &row("node ")[2..4];
    assert!(
        node == ["emscripten", "-"] || node == ["emscripten", "process"],
        "{text}"
    );
    assert!(row("3.12.0").contains(&"wasmtime".to_owned()), "{text}");
    pyw.executable("wasmedge", old)
        .executable("wasmtime", vulnerable)
        .env("PYW_RUNTIME_WASMEDGE", "{dir}/wasmedge")
        .env("PYW_RUNTIME_WASMTIME", "{dir}/wasmtime")
        .args(["doctor", "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|report| {
            let runtimes = report["runtimes"].as_array().unwrap();
            let find = |name: &str| runtimes.iter().find(|r| r["name"] == name).unwrap();
            assert_eq!(find("wasmtime")["problem"], "has known security holes");
            assert_eq!(find("wasmtime")["advisories"][0]["refuse"], true);
            let problem = find("wasmedge")["problem"].as_str().unwrap();
            assert!(
                problem.contains("version 0.16.0; pyw needs 0.17.1"),
                "{problem}"
            );
            let advice = report["advice"].as_array().unwrap();
            let about = |name: &str| advice.iter().any(|a| a["about"] == name);
            assert!(about("wasmtime") && about("wasmedge"), "{advice:?}");
            // Nothing that is here can run it.
            let interpreters = report["interpreters"].as_array().unwrap();
            let first = interpreters.iter().find(|i| i["version"] == "3.12.0");
            assert_eq!(first.unwrap()["runtimes"], serde_json::json!([]));
        });
}
