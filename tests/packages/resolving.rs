//! Which versions are taken.

use pyw::package::metadata::Metadata;
use pyw::package::resolution::{Prereleases, ResolveRequest, Source, Upgrade, Why};
use pyw::package::{Resolution, resolve};

use crate::support::repo::{Entry, metadata, pure, serve, wheel};
use crate::support::zip;
use crate::{Scratch, name, pins, python, python_of, request, requirement, run, told};

/// Resolves against an index of these files.
fn solve(entries: &[Entry], request: &ResolveRequest) -> Result<Resolution, String> {
    let scratch = Scratch::new();
    let server = serve(entries.to_vec());
    let index = scratch.index(&[&server.url("/simple/")]);
    run(request, &index).map_err(|error| told(&error))
}

fn pinned(entries: &[Entry], requirements: &[&str]) -> String {
    match solve(entries, &request(requirements)) {
        Ok(resolution) => pins(&resolution),
        Err(error) => error,
    }
}

#[test]
fn the_newest_that_fit_together_are_taken() {
    let entries = [
        pure("a", "1.0", &["b<2"]),
        pure("a", "2.0", &["b>=1", "c"]),
        pure("b", "1.0", &[]),
        pure("b", "1.5", &[]),
        pure("b", "2.0", &["c>=3"]),
        pure("c", "2.0", &[]),
        wheel("c-1.0-cp312-cp312-wasi_wasm32.whl", &[]),
    ];
    assert_eq!(pinned(&entries, &["a"]), "a==2.0 b==1.5 c==2.0");
    assert_eq!(pinned(&entries, &["a<2"]), "a==1.0 b==1.5");
    assert_eq!(pinned(&entries, &["a", "c<2"]), "a==2.0 b==1.5 c==1.0");
    assert_eq!(pinned(&entries, &["A>=1,<3", "a!=2.0"]), "a==1.0 b==1.5");
    assert_eq!(pinned(&entries, &[]), "");
}

#[test]
fn the_result_tells_files_edges_and_reasons() {
    let entries = [
        pure("a", "1.0", &["b[x]>=1", "c; sys_platform == 'win32'"]),
        pure("b", "1.0", &["extra:x", "d; extra == 'x'"]),
        pure("d", "1.0", &[]),
    ];
    let resolution = solve(&entries, &request(&["a>0"])).unwrap();
    assert_eq!(pins(&resolution), "a==1.0 b==1.0 d==1.0");
    let a = resolution.get(&name("a")).unwrap();
    let b = resolution.get(&name("b")).unwrap();
    assert_eq!(
        a.why,
        [Why::Asked {
            requirement: "a>0".into(),
            origin: "app.py".into()
        }]
    );
    assert_eq!(
        b.why,
        [Why::Needed {
            by: name("a"),
            requirement: "b[x]>=1".into()
        }]
    );
    assert_eq!(a.dependencies, [name("b")].into());
    assert_eq!(b.dependencies, [name("d")].into());
    assert_eq!(b.extras.len(), 1);
    let file = b.file().unwrap();
    assert_eq!(file.filename, "b-1.0-py3-none-any.whl");
    assert_eq!(file.size, Some(entries[1].body.len() as u64));
    assert_eq!(file.sha256, Some(pyw::store::Sha256::of(&entries[1].body)));
    // It can be written down and read again.
    let text = serde_json::to_string(&resolution).unwrap();
    assert_eq!(
        serde_json::from_str::<Resolution>(&text).unwrap(),
        resolution
    );
}

#[test]
fn extras_bring_what_they_need() {
    let entries = [
        pure(
            "a",
            "1.0",
            &[
                "extra:all",
                "extra:x",
                "extra:y",
                "b; extra == 'x'",
                "c>=2; extra == 'y' and python_version >= '3'",
                "d; extra == 'y' and sys_platform == 'linux'",
                "a[x,y]; extra == 'all'",
            ],
        ),
        pure("b", "1.0", &[]),
        pure("c", "2.0", &[]),
        pure("d", "1.0", &[]),
    ];
    assert_eq!(pinned(&entries, &["a"]), "a==1.0");
    assert_eq!(pinned(&entries, &["a[x]"]), "a==1.0 b==1.0");
    assert_eq!(pinned(&entries, &["a[all]"]), "a==1.0 b==1.0 c==2.0");
    let resolution = solve(&entries, &request(&["a[nothing]"])).unwrap();
    assert_eq!(pins(&resolution), "a==1.0");
    assert_eq!(resolution.notes, ["a 1.0 has no extra `nothing`"]);
}

#[test]
fn markers_are_those_of_the_interpreter() {
    let entries = [
        pure("a", "1.0", &[]),
        pure("b", "1.0", &[]),
        pure("c", "1.0", &[]),
    ];
    let asked = [
        "a; sys_platform == 'wasi'",
        "b; sys_platform == 'linux' or platform_machine == 'x86_64'",
        "c; python_full_version < '3.12.1' and platform_system == 'wasi'",
    ];
    assert_eq!(pinned(&entries, &asked), "a==1.0 c==1.0");
}

#[test]
fn prereleases_are_taken_when_asked_for_or_when_nothing_else_fits() {
    let entries = [
        pure("a", "1.0", &[]),
        pure("a", "2.0rc1", &[]),
        pure("b", "1.0.dev1", &[]),
        pure("c", "1.0", &["a>=2.0b1"]),
        pure("d", "1.0", &["a<3"]),
        pure("e", "1.0", &["a>1"]),
        pure("a", "3.0", &[]),
    ];
    let before = &entries[..6];
    assert_eq!(pinned(before, &["a"]), "a==1.0");
    assert_eq!(pinned(before, &["a>=2.0rc1"]), "a==2.0rc1");
    assert_eq!(pinned(before, &["a>1"]), "a==2.0rc1");
    assert_eq!(pinned(before, &["b"]), "b==1.0.dev1");
    assert_eq!(pinned(before, &["c", "a"]), "a==2.0rc1 c==1.0");
    // Each of the two has a release that is none, but not both together.
    assert_eq!(pinned(&entries, &["d", "e"]), "a==2.0rc1 d==1.0 e==1.0");
    let mut allowed = request(&["a<3"]);
    allowed.prereleases = Prereleases::Allowed;
    assert_eq!(pins(&solve(&entries, &allowed).unwrap()), "a==2.0rc1");
}

#[test]
fn withdrawn_releases_are_taken_only_when_pinned() {
    let entries = [
        pure("a", "1.0", &[]),
        pure("a", "2.0", &[]).yanked("broken"),
        pure("b", "1.0", &["a==2.0"]),
    ];
    assert_eq!(pinned(&entries, &["a"]), "a==1.0");
    assert_eq!(pinned(&entries, &["a==2.0"]), "a==2.0");
    assert_eq!(pinned(&entries, &["b", "a"]), "a==2.0 b==1.0");
    let mut locked = request(&["a"]);
    locked.preferences = [(name("a"), "2.0".parse().unwrap())].into();
    assert_eq!(pins(&solve(&entries, &locked).unwrap()), "a==2.0");
}

#[test]
fn releases_for_other_pythons_are_passed_over() {
    let mut hidden = pure("a", "3.0", &[]);
    // Only the metadata say it, as on an index that doesn't tell.
    hidden = Entry {
        body: zip::zip(&[zip::Entry::file(
            "a-3.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: a\nVersion: 3.0\nRequires-Python: >=3.13\n",
        )]),
        ..hidden
    };
    let entries = [
        pure("a", "1.0", &[]),
        pure("a", "2.0", &[]).python(">=3.13"),
        hidden,
    ];
    assert_eq!(pinned(&entries, &["a"]), "a==1.0");
    let scratch = Scratch::new();
    let server = serve(entries.to_vec());
    let index = scratch.index(&[&server.url("/simple/")]);
    let newer = resolve(&request(&["a"]), &python_of("3.13"), &index).unwrap();
    assert_eq!(pins(&newer), "a==3.0");
}

#[test]
fn older_releases_are_taken_where_newer_ones_are_native_and_it_is_told() {
    let entries = [
        pure("a", "1.0", &[]),
        wheel("a-2.0-cp312-cp312-manylinux_2_17_x86_64.whl", &[]),
        Entry::file("a-3.0.tar.gz"),
        pure("p", "1.0", &[]),
        pure("p", "2.0", &["core==2.0"]),
        wheel("core-2.0-cp312-cp312-win_amd64.whl", &[]),
        pure("q", "1.0", &[]),
        pure("q", "2.0", &["p>=2"]),
    ];
    let resolution = solve(&entries, &request(&["a", "p", "q"])).unwrap();
    assert_eq!(pins(&resolution), "a==1.0 p==1.0 q==1.0");
    assert_eq!(
        resolution.notes,
        [
            "a 1.0 is used, since a 3.0 is only there as source, which pyw cannot build yet",
            "p 1.0 is used, since p 2.0 needs core==2.0, and core 2.0 has only wheels for Windows",
            "q 1.0 is used, since q 2.0 needs p>=2, and p 2.0 needs core==2.0, and core 2.0 has \
             only wheels for Windows",
        ]
    );
}

#[test]
fn constraints_limit_and_ask_for_nothing() {
    let entries = [
        pure("a", "1.0", &[]),
        pure("a", "2.0", &[]),
        pure("b", "1.0", &["a"]),
    ];
    let mut limited = request(&["b"]);
    limited.constraints = vec![requirement("a<2"), requirement("unknown<1")];
    assert_eq!(pins(&solve(&entries, &limited).unwrap()), "a==1.0 b==1.0");
}

#[test]
fn preferences_stay_while_they_fit() {
    let entries = [
        pure("a", "1.0", &[]),
        pure("a", "2.0", &[]),
        pure("b", "1.0", &["a"]),
        pure("b", "2.0", &["a>1"]),
    ];
    let mut locked = request(&["a", "b<2"]);
    locked.preferences = [
        (name("a"), "1.0".parse().unwrap()),
        (name("b"), "1.0".parse().unwrap()),
    ]
    .into();
    assert_eq!(pins(&solve(&entries, &locked).unwrap()), "a==1.0 b==1.0");
    locked.requirements[1].requirement = requirement("b>=2");
    assert_eq!(pins(&solve(&entries, &locked).unwrap()), "a==2.0 b==2.0");
    locked.requirements[1].requirement = requirement("b");
    locked.upgrade = Upgrade::Packages([name("a")].into());
    assert_eq!(pins(&solve(&entries, &locked).unwrap()), "a==2.0 b==1.0");
    locked.upgrade = Upgrade::All;
    assert_eq!(pins(&solve(&entries, &locked).unwrap()), "a==2.0 b==2.0");
}

#[test]
fn what_the_interpreter_brings_is_taken_if_it_fits() {
    let entries = [
        pure("a", "1.0", &["numpy>=2"]),
        pure("numpy", "3.0", &[]),
        pure("dep", "1.0", &[]),
    ];
    let mut with = request(&["a"]);
    with.installed = vec![Metadata::parse(&metadata("numpy", "2.3", &["dep"])).unwrap()];
    let resolution = solve(&entries, &with).unwrap();
    assert_eq!(pins(&resolution), "a==1.0 dep==1.0 numpy==2.3");
    assert_eq!(
        resolution.get(&name("numpy")).unwrap().source,
        Source::Interpreter
    );
    with.requirements[0].requirement = requirement("numpy>=3");
    assert_eq!(pins(&solve(&entries, &with).unwrap()), "numpy==3.0");
}

#[test]
fn files_have_to_be_older_than_a_date() {
    let entries = [
        pure("a", "1.0", &[]).uploaded("2024-01-01T00:00:00Z"),
        pure("a", "2.0", &[]).uploaded("2025-01-01T00:00:00Z"),
    ];
    let mut early = request(&["a"]);
    early.upload_before = Some(humantime::parse_rfc3339("2024-06-01T00:00:00Z").unwrap());
    assert_eq!(pins(&solve(&entries, &early).unwrap()), "a==1.0");
}

#[test]
fn hashes_choose_files_and_then_every_file_needs_one() {
    let entries = [
        pure("a", "1.0", &[]),
        pure("a", "2.0", &[]),
        pure("b", "1.0", &["a"]),
    ];
    let mut hashed = request(&["a", "b"]);
    let digest = |entry: &Entry| [pyw::store::Sha256::of(&entry.body)].into();
    hashed.requirements[0].requirement.hashes = digest(&entries[0]);
    let error = solve(&entries, &hashed).unwrap_err();
    assert!(error.starts_with("b==1.0: hashes are asked for"), "{error}");
    hashed.requirements[1].requirement.hashes = digest(&entries[2]);
    assert_eq!(pins(&solve(&entries, &hashed).unwrap()), "a==1.0 b==1.0");
    hashed.requirements[1].requirement.hashes = digest(&entries[0]);
    let error = solve(&entries, &hashed).unwrap_err();
    assert!(error.contains("has no file with a hash"), "{error}");
}

#[test]
fn the_first_index_that_knows_a_project_is_the_only_one_asked() {
    let scratch = Scratch::new();
    let private = serve(vec![pure("a", "1.0", &["b"])]);
    let public = serve(vec![pure("a", "9.0", &[]), pure("b", "1.0", &[])]);
    let index = scratch.index(&[&private.url("/simple/"), &public.url("/simple/")]);
    let resolution = run(&request(&["a"]), &index).unwrap();
    assert_eq!(pins(&resolution), "a==1.0 b==1.0");
    let asked = public.log();
    assert!(asked.iter().all(|request| !request.path.contains("/a")));
    let from = |package: &str| {
        let resolved = resolution.get(&name(package)).unwrap();
        resolved.file().unwrap().index.clone().unwrap()
    };
    assert_eq!(from("a"), private.url("/simple/"));
    assert_eq!(from("b"), public.url("/simple/"));
}

/// Many releases that all fail are not all looked at.
#[test]
fn looking_back_has_an_end() {
    let mut entries: Vec<Entry> = (0..120)
        .map(|patch| pure("a", &format!("3.0.{patch}"), &["core==9"]))
        .collect();
    entries.push(pure("a", "2.5.1", &["core==9"]));
    entries.push(pure("a", "1.4.0", &[]));
    entries.push(pure("core", "1", &[]));
    // Older series are tried even so, and so the one that works is found.
    assert_eq!(pinned(&entries, &["a"]), "a==1.4.0");
    entries.remove(121);
    let scratch = Scratch::new();
    let server = serve(entries);
    let index = scratch.index(&[&server.url("/simple/")]);
    let error = run(&request(&["a"]), &index).unwrap_err();
    assert_eq!(
        told(&error),
        "`a` (app.py) cannot be had\n  \
         a 2.5.1 to 3.0.119 need core==9\n  \
         no release of core fits; the newest is 1\n  \
         26 releases of a were tried, and others were not\n\
         hint: name an older release, as `a<2.5.1`"
    );
    let wheels = server
        .log()
        .into_iter()
        .filter(|r| r.path.ends_with(".whl"));
    let asked = wheels.count();
    assert!(asked < 121, "{asked}");
}

#[test]
fn the_same_request_gives_the_same_resolution() {
    let mut entries = Vec::new();
    for version in 1..6 {
        entries.push(pure("a", &format!("{version}"), &["b", "c"]));
        entries.push(pure("b", &format!("{version}"), &[&format!("c<{version}")]));
        entries.push(pure("c", &format!("{version}"), &["d"]));
        entries.push(pure("d", &format!("{version}"), &["b>=2"]));
    }
    let server = serve(entries);
    let first = {
        let scratch = Scratch::new();
        let index = scratch.index(&[&server.url("/simple/")]);
        run(&request(&["a", "d"]), &index).unwrap()
    };
    assert_eq!(pins(&first), "a==5 b==5 c==4 d==5");
    for _ in 0..8 {
        let scratch = Scratch::new();
        let index = scratch.index(&[&server.url("/simple/")]);
        assert_eq!(
            resolve(&request(&["a", "d"]), &python(), &index).unwrap(),
            first
        );
    }
}
