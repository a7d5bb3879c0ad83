//! Requirements that name an address or a path.

use camino::Utf8Path;
use pyw::error::Code;
use pyw::package::resolution::{Asked, FilePlace, ResolveRequest, Source};
use pyw::package::{Requirement, requirements_file};
use pyw::store::Sha256;

use crate::support::repo::{pure, serve, wheel};
use crate::{Scratch, name, pins, request, run, told};

fn ask(base: &Utf8Path, requirements: &[&str]) -> ResolveRequest {
    ResolveRequest {
        requirements: requirements
            .iter()
            .map(|text| Asked {
                requirement: Requirement::parse(text, base).unwrap(),
                origin: "--with".to_owned(),
            })
            .collect(),
        ..ResolveRequest::default()
    }
}

#[test]
fn wheels_at_a_path() {
    let scratch = Scratch::new();
    let entry = pure("a", "1.0", &["extra:x", "b", "c; extra == 'x'"]);
    std::fs::write(scratch.path.join(&entry.filename), &entry.body).unwrap();
    let server = serve(vec![
        pure("a", "9.0", &[]),
        pure("b", "1.0", &["a"]),
        pure("c", "1.0", &[]),
    ]);
    let index = scratch.index(&[&server.url("/simple/")]);
    let asked = ask(&scratch.path, &["./a-1.0-py3-none-any.whl[x]"]);
    let resolution = run(&asked, &index).unwrap();
    assert_eq!(pins(&resolution), "a==1.0 b==1.0 c==1.0");
    let file = resolution.get(&name("a")).unwrap().file().unwrap();
    assert_eq!(file.sha256, Some(Sha256::of(&entry.body)));
    let path = scratch.path.join(&entry.filename);
    assert_eq!(file.place, FilePlace::Path(path));
    let conflict = ask(&scratch.path, &["./a-1.0-py3-none-any.whl", "a>=2"]);
    let error = run(&conflict, &index).unwrap_err();
    assert_eq!(
        told(&error).replace(scratch.path.as_str(), "DIR"),
        "`a @ DIR/a-1.0-py3-none-any.whl` and `a>=2` cannot be had together\n  \
         a is 1.0, since it was named by its place\n\
         hint: loosen one of the requirements"
    );
    let missing = ask(&scratch.path, &["./b-1.0-py3-none-any.whl"]);
    let error = run(&missing, &index).unwrap_err();
    assert_eq!(error.code(), Code::Resolution);
    assert!(
        error.to_string().ends_with("there is no such file"),
        "{error}"
    );
}

#[test]
fn wheels_at_an_address() {
    let scratch = Scratch::new();
    let entry = pure("a", "1.0", &["b"]);
    let digest = Sha256::of(&entry.body);
    let server = serve(vec![entry, pure("b", "1.0", &[])]);
    let index = scratch.index(&[&server.url("/simple/")]);
    let url = server.url("/files/a-1.0-py3-none-any.whl");
    let resolution = run(&request(&[&format!("a @ {url}")]), &index).unwrap();
    assert_eq!(pins(&resolution), "a==1.0 b==1.0");
    let file = resolution.get(&name("a")).unwrap().file().unwrap();
    assert_eq!(file.sha256, Some(digest));
    assert!(index.downloaded(digest).is_some());
    let pinned = format!("{url}#sha256={digest}");
    assert_eq!(
        pins(&run(&request(&[&pinned]), &index).unwrap()),
        "a==1.0 b==1.0"
    );
    let secret = pinned.replace("http://", "http://me:secret@");
    let resolution = run(&request(&[&secret]), &index).unwrap();
    let text = serde_json::to_string(&resolution).unwrap();
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn packages_may_need_what_is_at_an_address() {
    let scratch = Scratch::new();
    let files = serve(vec![pure("b", "7.0", &["c"])]);
    let url = files.url("/files/b-7.0-py3-none-any.whl");
    let server = serve(vec![
        pure("a", "1.0", &[&format!("b @ {url}")]),
        pure("b", "1.0", &[]),
        pure("c", "1.0", &["b"]),
    ]);
    let index = scratch.index(&[&server.url("/simple/")]);
    let resolution = run(&request(&["c", "a"]), &index).unwrap();
    assert_eq!(pins(&resolution), "a==1.0 b==7.0 c==1.0");
}

#[test]
fn projects_in_a_folder() {
    let scratch = Scratch::new();
    let project = scratch.path.join("lib");
    std::fs::create_dir(&project).unwrap();
    let file = project.join("pyproject.toml");
    std::fs::write(
        &file,
        "[project]\nname = 'My_Lib'\nversion = '0.1'\ndependencies = ['b']\n\
         [project.optional-dependencies]\ntest = ['c']\n",
    )
    .unwrap();
    let server = serve(vec![pure("b", "1.0", &[]), pure("c", "1.0", &[])]);
    let index = scratch.index(&[&server.url("/simple/")]);
    let resolution = run(&ask(&scratch.path, &["./lib"]), &index).unwrap();
    assert_eq!(pins(&resolution), "b==1.0 my-lib==0.1");
    let resolution = run(&ask(&scratch.path, &["./lib[test]"]), &index).unwrap();
    assert_eq!(pins(&resolution), "b==1.0 c==1.0 my-lib==0.1");
    let source = &resolution.get(&name("my-lib")).unwrap().source;
    assert_eq!(*source, Source::Folder(project.clone()));
    std::fs::write(&file, "[project]\nname = 'x'\ndynamic = ['version']\n").unwrap();
    let error = Requirement::parse("./lib", &scratch.path).unwrap_err();
    assert!(error.contains("pyw cannot build a project yet"), "{error}");
}

#[test]
fn wheels_that_are_not_for_this_interpreter() {
    let scratch = Scratch::new();
    let entry = wheel("a-1.0-cp312-cp312-win_amd64.whl", &[]);
    std::fs::write(scratch.path.join(&entry.filename), &entry.body).unwrap();
    let index = scratch.index(&[]);
    let asked = ask(&scratch.path, &["./a-1.0-cp312-cp312-win_amd64.whl"]);
    let error = run(&asked, &index).unwrap_err();
    assert!(
        error.to_string().contains("has only wheels for Windows"),
        "{error}"
    );
}

#[test]
fn requirements_files_are_resolved() {
    let scratch = Scratch::new();
    let server = serve(vec![
        pure("a", "1.0", &["b"]),
        pure("b", "1.0", &[]),
        pure("b", "2.0", &[]),
    ]);
    std::fs::write(scratch.path.join("r.txt"), "a # it\n-c c.txt\n").unwrap();
    std::fs::write(scratch.path.join("c.txt"), "b<2\n").unwrap();
    let file = requirements_file::read(&scratch.path.join("r.txt"), &|_| None).unwrap();
    let asked = ResolveRequest {
        requirements: file.requirements,
        constraints: file.constraints,
        ..ResolveRequest::default()
    };
    let index = scratch.index(&[&server.url("/simple/")]);
    assert_eq!(pins(&run(&asked, &index).unwrap()), "a==1.0 b==1.0");
}
