//! Packages that were built along with an interpreter: Pyodide's lock beside an index.

use camino::Utf8PathBuf;
use pyw::error::Code;
use pyw::interpreter::{Info, Interpreter, PACKAGES};
use pyw::package::distribution::Distribution;
use pyw::package::{Index, PackageError, resolve};
use pyw::store::Sha256;
use pyw::store::indexes::Links;

use crate::support::repo::{Entry, pure, serve, wheel};
use crate::support::server::{Reply, Server};
use crate::{Scratch, name, pins, request, told};

const TAG: &str = "cp314-cp314-pyemscripten_2026_0_wasm32.whl";

fn info() -> Info {
    Info {
        platform: "pyemscripten_2026_0_wasm32".to_owned(),
        stdlib: "/lib/python314.zip".to_owned(),
        ..crate::python_of("3.14")
    }
}

/// An interpreter with a lock of these wheels, each with what the lock says that it needs.
fn interpreter(scratch: &Scratch, wheels: &[(&Entry, &[&str])]) -> Interpreter {
    let packages: serde_json::Map<_, _> = wheels
        .iter()
        .map(|(entry, depends)| {
            let name = entry.filename.split('-').next().unwrap();
            let entry = serde_json::json!({
                "name": name, "version": "1", "file_name": entry.filename,
                "install_dir": "site", "package_type": "package", "imports": [name],
                "sha256": Sha256::of(&entry.body).to_string(), "depends": depends,
            });
            (name.to_owned(), entry)
        })
        .collect();
    let lock = serde_json::json!({ "info": { "abi_version": "2026_0" }, "packages": packages });
    let folder = scratch.path.join("interpreter");
    let library = folder.join("lib/python314.zip/pyodide");
    std::fs::create_dir_all(&library).unwrap();
    std::fs::write(folder.join(PACKAGES), lock.to_string()).unwrap();
    std::fs::write(library.join("__init__.py"), "__version__ = \"314.0.7\"\n").unwrap();
    Interpreter {
        key: "test".to_owned(),
        folder,
        info: info(),
    }
}

/// A server that has these files.
fn files(entries: &[&Entry]) -> Server {
    let files: Vec<(String, Vec<u8>)> = entries
        .iter()
        .map(|entry| (format!("/{}", entry.filename), entry.body.clone()))
        .collect();
    Server::start(move |request| {
        let found = files.iter().find(|(path, _)| *path == request.path);
        match found {
            Some((_, body)) => crate::support::repo::part(request, body),
            None => Reply::Status(404, Vec::new()),
        }
    })
}

fn at(server: &Server) -> Option<Links> {
    Some(Links::Page(server.url("/").parse().unwrap()))
}

fn run(asked: &[&str], index: Index) -> Result<String, PackageError> {
    resolve(&request(asked), &info(), &index).map(|resolution| pins(&resolution))
}

#[test]
fn they_are_taken_where_the_index_has_nothing_that_runs() {
    let scratch = Scratch::new();
    let num = wheel(&format!("num-2.0-{TAG}"), &[]);
    let other = wheel("other-1.0-py3-none-any.whl", &[]);
    let plot = wheel(&format!("plot-1.0-{TAG}"), &["num>=1"]);
    let lock = interpreter(&scratch, &[(&num, &["other"]), (&other, &[]), (&plot, &[])]);
    let index = serve(vec![
        wheel("num-2.0-cp314-cp314-manylinux_2_28_x86_64.whl", &[]),
        wheel("num-2.1-cp314-cp314-manylinux_2_28_x86_64.whl", &[]),
        pure("other", "3.0", &[]),
    ]);
    let place = files(&[&num, &other, &plot]);
    let of_urls = |folder: Option<Links>| {
        scratch
            .index(&[&index.url("/simple/")])
            .with_distribution(Distribution::of(&lock, folder).unwrap())
    };
    // What the lock says that `num` needs comes from the index, which has a newer one.
    let expected = "num==2.0 other==3.0 plot==1.0";
    assert_eq!(run(&["plot"], of_urls(at(&place))).unwrap(), expected);
    assert!(
        place
            .log()
            .iter()
            .all(|asked| !asked.path.contains("other"))
    );
    // Without the lock there is none.
    let error = run(&["plot"], scratch.index(&[&index.url("/simple/")])).unwrap_err();
    assert_eq!(error.code(), Code::Resolution);
    // The same from a folder.
    let folder = scratch.path.join("files");
    std::fs::create_dir(&folder).unwrap();
    for entry in [&num, &other, &plot] {
        std::fs::write(folder.join(&entry.filename), &entry.body).unwrap();
    }
    assert_eq!(
        run(&["plot"], of_urls(Some(Links::Folder(folder)))).unwrap(),
        expected
    );
}

#[test]
fn a_project_of_the_same_name_is_not_replaced() {
    let scratch = Scratch::new();
    let mine = wheel(&format!("mine-9.0-{TAG}"), &[]);
    let lock = interpreter(&scratch, &[(&mine, &[])]);
    let index = serve(vec![pure("mine", "1.0", &[])]);
    let place = files(&[&mine]);
    let index = scratch
        .index(&[&index.url("/simple/")])
        .with_distribution(Distribution::of(&lock, at(&place)).unwrap());
    assert_eq!(run(&["mine"], index).unwrap(), "mine==1.0");
    assert!(place.log().is_empty());
}

#[test]
fn other_bytes_are_refused() {
    let scratch = Scratch::new();
    let num = wheel(&format!("num-2.0-{TAG}"), &[]);
    let lock = interpreter(&scratch, &[(&num, &[])]);
    let mut other = wheel(&format!("num-2.0-{TAG}"), &["evil"]);
    other.filename.clone_from(&num.filename);
    let body = other.body.clone();
    // Whole, so that its digest is seen at once.
    let place = Server::start(move |_| Reply::Other(200, Vec::new(), body.clone()));
    let index = scratch
        .index(&[])
        .with_distribution(Distribution::of(&lock, at(&place)).unwrap());
    let error = run(&["num"], index).unwrap_err();
    assert_eq!(error.code(), Code::Integrity, "{error}");
}

#[test]
fn a_place_that_has_nothing_is_told() {
    let scratch = Scratch::new();
    let num = wheel(&format!("num-2.0-{TAG}"), &[]);
    let lock = interpreter(&scratch, &[(&num, &[])]);
    let place = files(&[]);
    let index = scratch
        .index(&[])
        .with_distribution(Distribution::of(&lock, at(&place)).unwrap());
    let url = place.url("/");
    let error = run(&["num"], index).unwrap_err();
    assert_eq!(
        told(&error),
        format!(
            "num-2.0-{TAG} is of the interpreter's own distribution, and is not to be had from \
             {url}: {url}num-2.0-{TAG}: the server answered 404 Not Found\n\
             hint: name a folder or address that has these files with --pyodide-packages or \
             PYW_PYODIDE_PACKAGES; Pyodide's release archive has them"
        )
    );
    assert_eq!(error.code(), Code::Network);
    // Nobody said where: its CDN, for the release that the library names.
    let by_itself = Distribution::of(&lock, None).unwrap();
    assert_eq!(
        by_itself.label(),
        "https://cdn.jsdelivr.net/pyodide/v314.0.7/full/"
    );
    assert_eq!(by_itself.files(&name("num")).len(), 1);
}

#[test]
fn a_lock_that_cannot_be_read_is_told() {
    let scratch = Scratch::new();
    let lock = interpreter(&scratch, &[]);
    let path: Utf8PathBuf = lock.folder.join(PACKAGES);
    std::fs::write(&path, "[]").unwrap();
    let error = Distribution::of(&lock, None).unwrap_err();
    assert_eq!(error.code(), Code::Integrity);
    assert!(error.to_string().contains(path.as_str()), "{error}");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        Distribution::of(&lock, None).unwrap(),
        Distribution::default()
    );
}
