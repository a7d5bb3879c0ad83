//! How indexes are asked: pages, caches, metadata, passwords, and servers that mean no good.

use std::time::{Duration, Instant};

use pyw::error::Code;
use pyw::package::Resolution;
use pyw::store::Sha256;
use pyw::store::indexes::Links;

use crate::support::repo::{Entry, metadata, page, part, pure, serve, serve_but, usual};
use crate::support::server::{Reply, Request, Server};
use crate::support::zip;
use crate::{Scratch, name, pins, request, run, told};

/// The paths that were asked for, without the host.
fn paths(server: &Server) -> Vec<String> {
    let mut paths: Vec<String> = server.log().into_iter().map(|r| r.path).collect();
    paths.sort();
    paths
}

fn basic(request: &Request) -> Option<&str> {
    request.headers.get("authorization").map(String::as_str)
}

/// `u:p` in Base64.
const SECRET: &str = "Basic dTpw";

fn with_password(url: &str) -> String {
    url.replace("http://", "http://u:p@")
}

#[test]
fn metadata_come_from_beside_the_wheel() {
    let digest = |bytes: &[u8]| Some(Sha256::of(bytes));
    let text = metadata("a", "1.0", &[]);
    for (sidecar, expected) in [
        ((digest(&text), text.clone()), Ok(())),
        ((None, text.clone()), Ok(())),
        ((digest(b"other"), text.clone()), Err(Code::Integrity)),
    ] {
        let scratch = Scratch::new();
        let mut entry = pure("a", "1.0", &[]);
        entry.sidecar = Some(sidecar);
        let server = serve(vec![entry]);
        let index = scratch.index(&[&server.url("/simple/")]);
        let result = run(&request(&["a"]), &index);
        assert_eq!(result.map(drop).map_err(|error| error.code()), expected);
        assert_eq!(
            paths(&server),
            ["/files/a-1.0-py3-none-any.whl.metadata", "/simple/a/"]
        );
    }
}

#[test]
fn metadata_come_from_the_end_of_the_wheel() {
    for no_size in [false, true] {
        let scratch = Scratch::new();
        let mut entry = pure("a", "1.0", &["b"]);
        // A big one, whose metadata are not at the end.
        let noise = crate::serving::noise(400_000);
        let text = metadata("a", "1.0", &["b"]);
        entry.body = zip::zip(&[
            zip::Entry::file("a-1.0.dist-info/METADATA", text),
            zip::Entry::file("a/noise", noise),
        ]);
        entry.no_size = no_size;
        // Promised, but not there.
        let mut other = pure("b", "1.0", &[]);
        other.sidecar = Some((None, Vec::new()));
        let server = serve_but(vec![entry, other], |request, _| {
            let promised = request.path.ends_with(".metadata");
            promised.then(|| Reply::Status(404, Vec::new()))
        });
        let index = scratch.index(&[&server.url("/simple/")]);
        let resolution = run(&request(&["a"]), &index).unwrap();
        assert_eq!(pins(&resolution), "a==1.0 b==1.0");
        let log = server.log();
        let wheels = log.iter().filter(|request| request.path.ends_with(".whl"));
        assert!(
            wheels
                .clone()
                .all(|request| request.headers.contains_key("range"))
        );
        assert_eq!(wheels.count(), 3);
    }
}

pub fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

#[test]
fn metadata_come_from_the_whole_wheel_where_there_are_no_ranges() {
    let scratch = Scratch::new();
    let entry = pure("a", "1.0", &[]);
    let digest = Sha256::of(&entry.body);
    let server = serve_but(vec![entry], |request, projects| {
        let mut request = request.clone();
        request.headers.remove("range");
        Some(usual(&request, projects))
    });
    let index = scratch.index(&[&server.url("/simple/")]);
    assert_eq!(pins(&run(&request(&["a"]), &index).unwrap()), "a==1.0");
    let kept = index.downloaded(digest).unwrap();
    assert_eq!(Sha256::of_file(&kept).unwrap(), digest);
    // A file that is not the listed one is refused.
    let scratch = Scratch::new();
    let server = serve_but(vec![pure("a", "1.0", &[])], |request, _| {
        let is_wheel = request.path.ends_with(".whl");
        is_wheel.then(|| Reply::Other(200, Vec::new(), vec![b'x'; 186]))
    });
    let index = scratch.index(&[&server.url("/simple/")]);
    let error = run(&request(&["a"]), &index).unwrap_err();
    assert_eq!(error.code(), Code::Integrity, "{error}");
}

#[test]
fn what_was_seen_is_not_asked_for_again() {
    let scratch = Scratch::new();
    let entries = vec![pure("a", "1.0", &["b"]), pure("b", "1.0", &[])];
    let server = serve_but(entries, |request, projects| {
        let project = request.path.strip_prefix("/simple/")?.trim_matches('/');
        if request
            .headers
            .get("if-none-match")
            .is_some_and(|tag| tag == "\"v1\"")
        {
            return Some(Reply::Other(304, Vec::new(), Vec::new()));
        }
        let headers = vec![
            ("Content-Type", crate::support::repo::JSON.to_owned()),
            ("ETag", "\"v1\"".to_owned()),
            (
                "Cache-Control",
                if project == "a" {
                    "max-age=600"
                } else {
                    "max-age=0"
                }
                .to_owned(),
            ),
        ];
        let body = page(project, projects.get(project)?);
        Some(Reply::Other(200, headers, body.into_bytes()))
    });
    let url = server.url("/simple/");
    let first = run(&request(&["a"]), &scratch.index(&[&url])).unwrap();
    assert_eq!(server.log().len(), 4);
    // `a` is young enough, `b` is asked for with its ETag, and metadata never change.
    let again = run(&request(&["a"]), &scratch.index(&[&url])).unwrap();
    assert_eq!(again, first);
    let log = server.log();
    assert_eq!(log.len(), 5);
    assert_eq!(log[4].path, "/simple/b/");
    assert!(log[4].headers.contains_key("if-none-match"));
    // Offline any age will do.
    let offline = scratch.index_with(&[&url], &[], true);
    assert_eq!(run(&request(&["a"]), &offline).unwrap(), first);
    let error = run(&request(&["c"]), &offline).unwrap_err();
    assert_eq!(error.code(), Code::Network);
    assert!(error.to_string().contains("--offline"), "{error}");
    assert_eq!(server.log().len(), 5);
    let refreshed = scratch.index(&[&url]).with_refresh();
    assert_eq!(run(&request(&["a"]), &refreshed).unwrap(), first);
    assert_eq!(server.log().len(), 7);
}

#[test]
fn html_pages_are_read() {
    let scratch = Scratch::new();
    let entries = vec![
        pure("a", "1.0", &["b"]),
        pure("a", "2.0", &[]),
        pure("b", "1.0", &[]),
    ];
    let server = serve_but(entries, |request, projects| {
        let project = request.path.strip_prefix("/simple/")?.trim_matches('/');
        let mut body = String::from("<!DOCTYPE html><html><body><h1>Links</h1>\n");
        for entry in projects.get(project)? {
            let limit = if entry.filename.starts_with("a-2") {
                "&gt;=4"
            } else {
                "&gt;=3"
            };
            body += &format!(
                "<a href=\"../../files/{0}#sha256={1}\" data-requires-python=\"{limit}\">{0}</a>\n",
                entry.filename,
                Sha256::of(&entry.body)
            );
        }
        Some(Reply::Page("text/html; charset=utf-8", body))
    });
    let resolution = run(&request(&["a"]), &scratch.index(&[&server.url("/simple/")])).unwrap();
    assert_eq!(pins(&resolution), "a==1.0 b==1.0");
    let file = resolution.get(&name("a")).unwrap().file().unwrap();
    assert_eq!(
        file.sha256,
        Some(Sha256::of(&pure("a", "1.0", &["b"]).body))
    );
}

#[test]
fn links_add_to_the_index() {
    let scratch = Scratch::new();
    let folder = scratch.path.join("wheels");
    std::fs::create_dir(&folder).unwrap();
    for entry in [pure("a", "2.0", &["b", "c"]), pure("abc", "1.0", &[])] {
        std::fs::write(folder.join(&entry.filename), &entry.body).unwrap();
    }
    let server = serve(vec![pure("a", "1.0", &[]), pure("b", "1.0", &[])]);
    let more = serve_but(vec![pure("c", "1.0", &[])], |request, _| {
        let links = "<a href='files/c-1.0-py3-none-any.whl'>c</a>";
        (request.path == "/links.html").then(|| Reply::Page("text/html", links.to_owned()))
    });
    let page = reqwest::Url::parse(&more.url("/links.html")).unwrap();
    let links = [Links::Folder(folder.clone()), Links::Page(page)];
    let index = scratch.index_with(&[&server.url("/simple/")], &links, false);
    let resolution = run(&request(&["a"]), &index).unwrap();
    assert_eq!(pins(&resolution), "a==2.0 b==1.0 c==1.0");
    let file = resolution.get(&name("a")).unwrap().file().unwrap();
    assert_eq!(
        file.sha256,
        Some(Sha256::of(&pure("a", "2.0", &["b", "c"]).body))
    );
    let alone = scratch.index_with(&[], &links[..1], false);
    let error = run(&request(&["a"]), &alone).unwrap_err();
    assert!(
        told(&error).contains("there is no project b in the links"),
        "{error}"
    );
    let missing = [Links::Folder(scratch.path.join("nothing"))];
    let error = run(&request(&["a"]), &scratch.index_with(&[], &missing, false)).unwrap_err();
    assert_eq!(error.code(), Code::Usage, "{error}");
}

/// An index behind a password, whose files are elsewhere.
fn locked(elsewhere: String) -> Server {
    let entries = vec![pure("a", "1.0", &[]), pure("b", "1.0", &[])];
    serve_but(entries, move |request, projects| {
        if basic(request) != Some(SECRET) {
            return Some(Reply::Status(401, Vec::new()));
        }
        let project = request.path.strip_prefix("/simple/")?.trim_matches('/');
        let body = page(project, projects.get(project)?);
        // The files of `b` are on another host.
        let body = match project {
            "b" => body.replace("../../files", &elsewhere),
            _ => body,
        };
        Some(Reply::Page(crate::support::repo::JSON, body))
    })
}

#[test]
fn passwords_go_to_their_host_alone_and_stand_nowhere() {
    let scratch = Scratch::new();
    let files = serve(vec![pure("b", "1.0", &[])]);
    let server = locked(files.url("/files"));
    let url = with_password(&server.url("/simple/"));
    let resolution = run(&request(&["a", "b"]), &scratch.index(&[&url])).unwrap();
    assert_eq!(pins(&resolution), "a==1.0 b==1.0");
    assert!(
        server
            .log()
            .iter()
            .all(|request| basic(request) == Some(SECRET))
    );
    assert!(files.log().iter().all(|request| basic(request).is_none()));
    let text = serde_json::to_string(&resolution).unwrap();
    assert!(!text.contains("u:p@"), "{text}");
    assert!(!written(&scratch).contains("u:p@"));
    // Without it the message names the host and no secret.
    let wrong = url.replace("u:p", "u:secret");
    let error = run(&request(&["a"]), &Scratch::new().index(&[&wrong])).unwrap_err();
    assert_eq!(error.code(), Code::Network);
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
    assert!(error.to_string().contains("401"), "{error}");
}

/// All that is in the store, as text.
fn written(scratch: &Scratch) -> String {
    let files = walkdir::WalkDir::new(scratch.store.root()).into_iter();
    let files = files.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok());
    files
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

#[test]
fn netrc_has_passwords_too() {
    let scratch = Scratch::new();
    let server = locked(String::new());
    let index = scratch
        .index(&[&server.url("/simple/")])
        .with_netrc("machine 127.0.0.1 login u password p");
    let resolution: Resolution = run(&request(&["a"]), &index).unwrap();
    assert_eq!(pins(&resolution), "a==1.0");
}

#[test]
fn redirects_take_no_password_along() {
    let scratch = Scratch::new();
    let other = serve(vec![pure("a", "1.0", &[])]);
    let target = other.url("");
    let server = Server::start(move |request| {
        let to = format!("{target}{}", request.path);
        Reply::Status(302, vec![("Location", to)])
    });
    let url = with_password(&server.url("/simple/"));
    let resolution = run(&request(&["a"]), &scratch.index(&[&url])).unwrap();
    assert_eq!(pins(&resolution), "a==1.0");
    assert!(
        server
            .log()
            .iter()
            .any(|request| basic(request) == Some(SECRET))
    );
    assert!(!other.log().is_empty());
    assert!(other.log().iter().all(|request| basic(request).is_none()));
}

#[test]
fn redirects_with_a_password_are_refused() {
    let scratch = Scratch::new();
    let other = serve(vec![pure("a", "1.0", &[])]);
    let target = with_password(&other.url(""));
    let server = Server::start(move |request| {
        let to = format!("{target}{}", request.path);
        Reply::Status(302, vec![("Location", to)])
    });
    let error = run(&request(&["a"]), &scratch.index(&[&server.url("/simple/")])).unwrap_err();
    assert_eq!(error.code(), Code::Network);
    assert!(
        error
            .to_string()
            .contains("redirects to another host with a password"),
        "{error}"
    );
    assert!(!error.to_string().contains("u:p"), "{error}");
    assert!(other.log().is_empty());
}

#[test]
fn pages_that_are_too_big_are_refused() {
    let json = || ("Content-Type", crate::support::repo::JSON.to_owned());
    let bomb = {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let mut gzip = gzip;
        std::io::copy(
            &mut std::io::Read::take(std::io::repeat(b' '), 100 << 20),
            &mut gzip,
        )
        .unwrap();
        gzip.finish().unwrap()
    };
    let replies: [Box<dyn Fn() -> Reply + Send + Sync>; 3] = [
        // It says that five gigabytes come.
        Box::new(move || {
            let length = ("Content-Length", (5_u64 << 30).to_string());
            Reply::Other(200, vec![json(), length], vec![b' '; 1000])
        }),
        Box::new(|| Reply::Endless),
        Box::new(move || {
            let encoding = ("Content-Encoding", "gzip".to_owned());
            Reply::Other(200, vec![json(), encoding], bomb.clone())
        }),
    ];
    for reply in replies {
        let scratch = Scratch::new();
        let server = Server::start(move |_| reply());
        let start = Instant::now();
        let error = run(&request(&["a"]), &scratch.index(&[&server.url("/simple/")])).unwrap_err();
        assert_eq!(error.code(), Code::Integrity, "{error}");
        assert!(start.elapsed() < Duration::from_secs(60));
        assert_eq!(server.log().len(), 1);
    }
}

#[test]
fn pages_that_make_no_sense_are_refused() {
    for (kind, body, problem) in [
        ("text/plain", "", "neither PEP 691 JSON nor HTML"),
        (crate::support::repo::JSON, "[", "not PEP 691 JSON"),
        (
            crate::support::repo::JSON,
            r#"{"meta":{"api-version":"2.0"},"files":[]}"#,
            "speaks version 2.0",
        ),
    ] {
        let scratch = Scratch::new();
        let server = Server::start(move |_| Reply::Page(kind, body.to_owned()));
        let error = run(&request(&["a"]), &scratch.index(&[&server.url("/simple/")])).unwrap_err();
        assert_eq!(error.code(), Code::Network);
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn projects_in_quarantine_are_refused() {
    let scratch = Scratch::new();
    let server = serve_but(vec![pure("a", "1.0", &[])], |request, projects| {
        let project = request.path.strip_prefix("/simple/")?.trim_matches('/');
        let body = page(project, projects.get(project)?);
        let body = body.replacen('{', r#"{"project-status":{"status":"quarantined"},"#, 1);
        Some(Reply::Page(crate::support::repo::JSON, body))
    });
    let error = run(&request(&["a"]), &scratch.index(&[&server.url("/simple/")])).unwrap_err();
    assert_eq!(
        told(&error),
        "`a` (app.py) cannot be had\n  a 1.0 is in quarantine on its index"
    );
}

#[test]
fn a_server_that_fails_is_tried_again_and_then_named() {
    let scratch = Scratch::new();
    let server = serve_but(vec![pure("a", "1.0", &[])], |request, _| {
        (request.nth == 0).then(|| Reply::Status(503, Vec::new()))
    });
    let index = scratch.index(&[&server.url("/simple/")]);
    assert_eq!(pins(&run(&request(&["a"]), &index).unwrap()), "a==1.0");
    let scratch = Scratch::new();
    let server = Server::start(|_| Reply::Status(500, Vec::new()));
    let url = server.url("/simple/");
    let error = run(&request(&["a"]), &scratch.index(&[&url])).unwrap_err();
    assert_eq!(error.code(), Code::Network);
    assert_eq!(
        error.to_string(),
        format!("{url}a/: the server answered 500 Internal Server Error")
    );
}

/// What is fetched ahead in vain must not be missed.
#[test]
fn a_release_that_is_not_needed_may_be_broken() {
    let scratch = Scratch::new();
    let entries = vec![
        pure("a", "1.0", &["b<2"]),
        pure("c", "1.0", &["b"]),
        pure("b", "2.0", &[]),
        pure("b", "1.0", &[]),
    ];
    let server = serve_but(entries, |request, _| {
        let broken = request.path.contains("b-2.0");
        broken.then(|| Reply::Status(403, Vec::new()))
    });
    let index = scratch.index(&[&server.url("/simple/")]);
    let resolution = run(&request(&["c", "a"]), &index).unwrap();
    assert_eq!(pins(&resolution), "a==1.0 b==1.0 c==1.0");
}

#[test]
fn wheels_are_linked_only_over_http() {
    let scratch = Scratch::new();
    let server = serve_but(vec![pure("a", "1.0", &[])], |request, projects| {
        let project = request.path.strip_prefix("/simple/")?.trim_matches('/');
        let body = page(project, projects.get(project)?);
        let body = body.replace("../../files", "file:///etc");
        Some(Reply::Page(crate::support::repo::JSON, body))
    });
    let error = run(&request(&["a"]), &scratch.index(&[&server.url("/simple/")])).unwrap_err();
    assert!(error.to_string().contains("which is not https"), "{error}");
}

#[test]
fn ranges_are_served_as_the_tests_think() {
    let entry = Entry::file("x");
    let ask = |range: &str| Request {
        path: String::new(),
        headers: [("range".to_owned(), range.to_owned())].into(),
        nth: 0,
    };
    for (range, expected) in [
        ("bytes=0-2", "not"),
        ("bytes=-2", "at"),
        ("bytes=11-99", "at"),
    ] {
        let Reply::Other(206, _, body) = part(&ask(range), &entry.body) else {
            panic!("{range}")
        };
        assert_eq!(body, expected.as_bytes());
    }
}
