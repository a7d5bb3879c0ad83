//! What is told when there is no solution, to the letter.

use pyw::error::Code;
use pyw::package::resolution::{Alternative, ResolveRequest};

use crate::support::repo::{Entry, pure, serve, wheel};
use crate::{Scratch, name, request, run, told};

/// What is told; `{index}` stands for the index.
fn report(entries: &[Entry], request: &ResolveRequest) -> String {
    let scratch = Scratch::new();
    let server = serve(entries.to_vec());
    let url = server.url("/simple/");
    let index = scratch.index(&[&url]);
    let error = run(request, &index).unwrap_err();
    assert_eq!(error.code(), Code::Resolution, "{error}");
    told(&error).replace(&url, "{index}")
}

fn native(name: &str, version: &str) -> Vec<Entry> {
    [
        "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "cp312-cp312-macosx_11_0_arm64",
        "cp312-cp312-win_amd64",
    ]
    .iter()
    .map(|tags| wheel(&format!("{name}-{version}-{tags}.whl"), &[]))
    .collect()
}

#[test]
fn native_only() {
    let mut entries = native("numpy", "2.3.5");
    entries.extend(native("numpy", "2.3.4"));
    assert_eq!(
        report(&entries, &request(&["numpy>=2"])),
        "`numpy>=2` (app.py) cannot be had\n  \
         numpy 2.3.5 has only wheels for Linux, macOS and Windows; so it is with every release \
         that fits\n\
         hint: use something else than numpy: no release of it has a wheel for a Python in \
         WebAssembly, or a pure one"
    );
}

#[test]
fn native_only_deep_in_the_tree_with_what_would_work() {
    let mut entries = native("core", "2.0");
    entries.extend(native("core", "2.1"));
    entries.push(pure("core", "1.9", &[]));
    entries.push(wheel(
        "core-2.1-cp314-cp314-pyemscripten_2026_0_wasm32.whl",
        &[],
    ));
    entries.push(pure("model", "2.0", &["core==2.0"]));
    entries.push(pure("model", "2.1", &["core==2.1"]));
    entries.push(pure("web", "1.0", &["model>=2"]));
    let mut asked = request(&["web", "unrelated"]);
    entries.push(pure("unrelated", "1", &[]));
    asked.alternatives = vec![Alternative {
        python: "big".into(),
        packages: [name("core")].into(),
    }];
    assert_eq!(
        report(&entries, &asked),
        "`web` (app.py) cannot be had\n  \
         web 1.0 needs model>=2\n  \
         model 2.0 to 2.1 need core (2.1 needs core==2.1)\n  \
         core 2.1 has only wheels for Linux, macOS, Windows and Emscripten; so it is with every \
         release that fits\n\
         hint: `--python big` brings core; or core has a wheel for Emscripten and Python 3.14: \
         `--platform emscripten`"
    );
    assert_eq!(
        report(&entries, &request(&["core>=2"])),
        "`core>=2` (app.py) cannot be had\n  \
         core 2.1 has only wheels for Linux, macOS, Windows and Emscripten; so it is with every \
         release that fits\n\
         hint: core has a wheel for Emscripten and Python 3.14: `--platform emscripten`; \
         or core 1.9 is the newest release that runs here: ask for `core==1.9`"
    );
}

#[test]
fn wheels_for_another_python_on_this_platform() {
    let entries = [wheel("a-1.0-cp313-cp313-wasi_wasm32.whl", &[])];
    assert_eq!(
        report(&entries, &request(&["a"])),
        "`a` (app.py) cannot be had\n  \
         a 1.0 has wheels for this platform only for Python 3.13\n\
         hint: a has a wheel for WASI and Python 3.13: `--python 3.13`"
    );
}

#[test]
fn source_only() {
    let entries = [Entry::file("a-1.0.tar.gz"), Entry::file("a-0.9.tar.gz")];
    assert_eq!(
        report(&entries, &request(&["a"])),
        "`a` (app.py) cannot be had\n  \
         a 1.0 is only there as source, which pyw cannot build yet, as every release that fits\n\
         hint: if a works without compiled code, build a pure wheel of it elsewhere and name \
         its folder with --find-links"
    );
}

#[test]
fn contradicting_requirements() {
    let entries = [
        pure("requests", "2.32", &["urllib3>=1.21.1,<3"]),
        pure("urllib3", "1.20", &[]),
        pure("urllib3", "2.5", &[]),
    ];
    assert_eq!(
        report(&entries, &request(&["requests>=2.31", "urllib3<1.21"])),
        "`requests>=2.31` and `urllib3<1.21` cannot be had together\n  \
         requests 2.32 needs urllib3>=1.21.1,<3\n\
         hint: loosen one of the requirements"
    );
    assert_eq!(
        report(&entries, &request(&["urllib3<2", "urllib3>=2"])),
        "`urllib3<2` and `urllib3>=2` cannot be had together\n\
         hint: loosen one of the requirements"
    );
}

#[test]
fn contradictions_further_down() {
    let entries = [
        pure("a", "1.0", &["c<2"]),
        pure("b", "1.0", &["c>=2"]),
        pure("b", "2.0", &["c>=2"]),
        pure("c", "1.0", &[]),
        pure("c", "2.0", &[]),
    ];
    assert_eq!(
        report(&entries, &request(&["a", "b"])),
        "`a` and `b` cannot be had together\n  \
         a 1.0 needs c<2\n  \
         b 1.0 to 2.0 need c>=2\n\
         hint: loosen one of the requirements"
    );
}

#[test]
fn nothing_there() {
    let entries = [pure("rich", "14.2", &[])];
    assert_eq!(
        report(&entries, &request(&["richh"])),
        "`richh` (app.py) cannot be had\n  \
         there is no project richh on {index}\n\
         hint: check its spelling, or name its index with --extra-index-url"
    );
    assert_eq!(
        report(&entries, &request(&["rich>=99"])),
        "`rich>=99` (app.py) cannot be had\n  \
         no release of rich fits; the newest is 14.2"
    );
}

#[test]
fn other_pythons_dates_and_withdrawn_releases() {
    let entries = [
        pure("a", "2.0", &[]).python(">=3.13"),
        pure("b", "1.0", &[]).yanked("it deletes files"),
        pure("c", "1.0", &[]).uploaded("2025-01-01T00:00:00Z"),
    ];
    assert_eq!(
        report(&entries, &request(&["a"])),
        "`a` (app.py) cannot be had\n  \
         a 2.0 needs Python >=3.13\n\
         hint: choose another Python with --python (>=3.13)"
    );
    assert_eq!(
        report(&entries, &request(&["b"])),
        "`b` (app.py) cannot be had\n  \
         b 1.0 was withdrawn from the index: it deletes files\n\
         hint: pin it with `b==1.0` to have it all the same"
    );
    let mut early = request(&["c"]);
    early.upload_before = Some(humantime::parse_rfc3339("2024-06-01T00:00:00Z").unwrap());
    assert_eq!(
        report(&entries, &early),
        "`c` (app.py) cannot be had\n  \
         c 1.0 was uploaded too late for --upload-before\n\
         hint: move the date of --upload-before"
    );
}

#[test]
fn releases_with_wrong_metadata() {
    let entries = [
        wheel("a-1.0-py3-none-any.whl", &["???"]),
        Entry {
            filename: "b-1.0-py3-none-any.whl".into(),
            ..pure("c", "1.0", &[])
        },
        Entry::file("d-1.0-py3-none-any.whl"),
    ];
    let wrong = report(&entries, &request(&["a"]));
    assert!(
        wrong.starts_with(
            "`a` (app.py) cannot be had\n  a 1.0 its metadata are wrong: \"???\" is not"
        ),
        "{wrong}"
    );
    let other = report(&entries, &request(&["b"]));
    assert!(
        other.contains("its wheel is broken: it holds \"c-1.0.dist-info"),
        "{other}"
    );
    let no_zip = report(&entries, &request(&["d"]));
    assert!(no_zip.contains("d 1.0 its wheel is broken"), "{no_zip}");
}
