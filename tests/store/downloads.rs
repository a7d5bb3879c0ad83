//! Downloads over connections and from servers that misbehave.

use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use pyw::error::Code;
use pyw::store::fetch::Patience;
use pyw::store::source::Place;
use pyw::store::{Expected, Fetcher, Sha256, Source, StoreError};

use crate::support::Scratch;
use crate::support::server::{File, Reply, Server};

pub fn fetcher(scratch: &Scratch) -> Fetcher {
    Fetcher::new(false)
        .with_store(&scratch.store)
        .with_patience(Patience {
            stall: Duration::from_millis(500),
            backoff: Duration::from_millis(10),
            ..Patience::default()
        })
}

pub fn source(url: &str) -> Source {
    Source {
        place: Place::Url(reqwest::Url::parse(url).unwrap()),
        sha256: None,
        member: None,
    }
}

pub fn expected(body: &[u8]) -> Expected {
    Expected {
        sha256: Sha256::of(body),
        size: Some(body.len() as u64),
    }
}

/// Bytes that differ everywhere, so that a shift or a gap is noticed.
pub fn bytes(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn get(scratch: &Scratch, urls: &[String], body: &[u8]) -> Result<Utf8PathBuf, StoreError> {
    let sources: Vec<_> = urls.iter().map(|url| source(url)).collect();
    let dest = scratch.path.join("dest");
    fetcher(scratch).fetch_first("the thing", &sources, expected(body), &dest)?;
    Ok(dest)
}

fn assert_got(scratch: &Scratch, urls: &[String], body: &[u8]) {
    let dest = get(scratch, urls, body).unwrap();
    assert!(std::fs::read(dest).unwrap() == body);
    assert_nothing_left(scratch);
}

fn assert_nothing_left(scratch: &Scratch) {
    assert_eq!(scratch.names("downloads"), Vec::<String>::new());
}

/// The error of the only source.
fn only(error: StoreError) -> StoreError {
    match error {
        StoreError::Sources { mut failures, .. } if failures.len() == 1 => failures.remove(0).error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_plain_download() {
    let scratch = Scratch::new();
    let body = bytes(300_000);
    let server = Server::of(&body);
    assert_got(&scratch, &[server.url("/x")], &body);
    assert_eq!(server.starts(), [None]);
    // Without a store everything happens beside the destination.
    let dest = scratch.path.join("other");
    let sources = [source(&server.url("/y"))];
    Fetcher::new(false)
        .fetch_first("y", &sources, expected(&body), &dest)
        .unwrap();
    assert_eq!(
        crate::support::names(&scratch.path),
        ["dest", "other", "store"]
    );
}

#[test]
fn a_cut_is_resumed() {
    let scratch = Scratch::new();
    let body = bytes(300_000);
    let file = File {
        etag: Some("\"one\""),
        cut: Some(100_000),
        ..File::new(&body)
    };
    let server = Server::start(move |_| Reply::File(file.clone()));
    assert_got(&scratch, &[server.url("/x")], &body);
    assert_eq!(server.starts(), [None, Some(100_000), Some(200_000)]);
    assert_eq!(server.log()[1].headers["if-range"], "\"one\"");
}

#[test]
fn many_cuts_are_no_failure_as_long_as_it_goes_on() {
    let scratch = Scratch::new();
    let body = bytes(1_000_000);
    let file = File {
        cut: Some(100_000),
        ..File::new(&body)
    };
    let server = Server::start(move |_| Reply::File(file.clone()));
    assert_got(&scratch, &[server.url("/x")], &body);
    assert_eq!(server.starts().len(), 10);
}

#[test]
fn a_cut_without_range_support_starts_over() {
    let scratch = Scratch::new();
    let body = bytes(300_000);
    let file = File {
        ranges: false,
        ..File::new(&body)
    };
    let server = Server::start(move |request| {
        Reply::File(File {
            cut: (request.nth == 0).then_some(100_000),
            ..file.clone()
        })
    });
    assert_got(&scratch, &[server.url("/x")], &body);
    assert_eq!(server.starts(), [None, Some(100_000)]);
}

#[test]
fn endless_cuts_come_to_an_end() {
    let scratch = Scratch::new();
    let body = bytes(300_000);
    let file = File {
        ranges: false,
        cut: Some(100_000),
        ..File::new(&body)
    };
    let server = Server::start(move |_| Reply::File(file.clone()));
    let error = get(&scratch, &[server.url("/x")], &body).unwrap_err();
    assert_eq!(error.code(), Code::Network);
    // It always got equally far, so only the first one brought something new.
    assert_eq!(server.log().len(), 4);
}

#[test]
fn a_file_that_changed_between_two_tries_starts_over() {
    let scratch = Scratch::new();
    let (old, new) = (bytes(300_000), vec![b'n'; 300_000]);
    let (first, then) = (
        File {
            etag: Some("\"old\""),
            cut: Some(100_000),
            ..File::new(&old)
        },
        File {
            etag: Some("\"new\""),
            ..File::new(&new)
        },
    );
    let server = Server::start(move |request| {
        Reply::File(if request.nth == 0 { &first } else { &then }.clone())
    });
    assert_got(&scratch, &[server.url("/x")], &new);
    assert_eq!(server.log().len(), 2);
}

#[test]
fn a_range_that_was_not_asked_for_is_not_taken() {
    let scratch = Scratch::new();
    let body = bytes(300_000);
    let file = File::new(&body);
    let server = Server::start(move |request| {
        Reply::File(File {
            cut: (request.nth == 0).then_some(100_000),
            shift: if request.nth == 1 { 7 } else { 0 },
            ..file.clone()
        })
    });
    assert_got(&scratch, &[server.url("/x")], &body);
    assert_eq!(server.starts(), [None, Some(100_000), None]);
}

/// What an earlier process left for a download of `body`.
fn leave_part(scratch: &Scratch, body: &[u8], part: &[u8]) {
    let folder = scratch.store.root().join("downloads");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{}.part", Sha256::of(body))), part).unwrap();
}

#[test]
fn what_an_earlier_run_left_is_used_if_it_is_right() {
    let body = bytes(300_000);
    let wrong = vec![b'w'; 100_000];
    let longer = bytes(300_001);
    for (part, starts) in [
        (&body[..100_000], vec![Some(100_000)]),
        (&body[..], vec![]),
        (&wrong[..], vec![Some(100_000), None]),
        (&longer[..], vec![None]),
        (&vec![b'w'; 300_000][..], vec![None]),
    ] {
        let scratch = Scratch::new();
        let server = Server::of(&body);
        leave_part(&scratch, &body, part);
        assert_got(&scratch, &[server.url("/x")], &body);
        assert_eq!(server.starts(), starts);
    }
    // Of unknown size the server must be asked, who says 416.
    let scratch = Scratch::new();
    let server = Server::of(&body);
    leave_part(&scratch, &body, &body);
    let sources = [source(&server.url("/x"))];
    let unsized_ = Expected {
        size: None,
        ..expected(&body)
    };
    fetcher(&scratch)
        .fetch_first("x", &sources, unsized_, &scratch.path.join("dest"))
        .unwrap();
    assert_eq!(server.starts(), [Some(300_000), None]);
}

#[test]
fn wrong_bytes_lead_to_the_next_source() {
    let scratch = Scratch::new();
    let body = bytes(1000);
    let bad = Server::of(&vec![b'b'; 1000]);
    let good = Server::of(&body);
    let sources = [source(&bad.url("/x")), source(&good.url("/x"))];
    let dest = scratch.path.join("dest");
    let used = fetcher(&scratch)
        .fetch_first("x", &sources, expected(&body), &dest)
        .unwrap();
    assert_eq!(used, &sources[1]);
    assert!(std::fs::read(dest).unwrap() == body);

    let scratch = Scratch::new();
    let error = get(&scratch, &[bad.url("/x"), bad.url("/missing")], &body).unwrap_err();
    assert_eq!(error.code(), Code::Integrity);
    let text = error.to_string();
    for part in [
        "2 sources",
        &bad.url("/x"),
        &bad.url("/missing"),
        &Sha256::of(&body).to_string(),
        &Sha256::of(&vec![b'b'; 1000]).to_string(),
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!scratch.path.join("dest").exists());
    assert_nothing_left(&scratch);
    // Twice the same wrong bytes: no third try.
    assert_eq!(bad.log().len(), 3);
}

#[test]
fn a_pin_of_the_source_counts_as_well() {
    let scratch = Scratch::new();
    let body = bytes(1000);
    let server = Server::of(&body);
    let pinned = Source {
        sha256: Some(Sha256::of(b"other")),
        ..source(&server.url("/x"))
    };
    let error = fetcher(&scratch)
        .fetch_first("x", &[pinned], expected(&body), &scratch.path.join("dest"))
        .unwrap_err();
    assert!(matches!(only(error), StoreError::Integrity { .. }));
}

#[test]
fn a_busy_server_is_asked_again_and_a_clear_no_is_not() {
    let body = bytes(1000);
    for (status, headers, requests) in [
        (500, vec![], 3),
        (503, vec![("Retry-After", "0".to_owned())], 3),
        (429, vec![("Retry-After", "1".to_owned())], 3),
        (404, vec![], 1),
        (403, vec![], 1),
    ] {
        let scratch = Scratch::new();
        let file = File::new(&body);
        let server = Server::start(move |request| match request.nth {
            0 | 1 => Reply::Status(status, headers.clone()),
            _ => Reply::File(file.clone()),
        });
        let start = Instant::now();
        let result = get(&scratch, &[server.url("/x")], &body);
        assert_eq!(server.log().len(), requests, "{status}");
        match requests {
            1 => {
                let text = result.unwrap_err().to_string();
                assert!(text.contains(&status.to_string()), "{text}");
            }
            _ => assert!(result.is_ok()),
        }
        let waited = start.elapsed() >= Duration::from_secs(2);
        assert_eq!(waited, status == 429, "{status}");
    }
    let scratch = Scratch::new();
    let server = Server::start(|_| Reply::Status(500, vec![]));
    let error = get(&scratch, &[server.url("/x")], &body).unwrap_err();
    assert!(matches!(only(error), StoreError::Status { .. }));
    assert_eq!(server.log().len(), 4);
}

#[test]
fn a_stalled_server_is_asked_again() {
    let scratch = Scratch::new();
    let body = bytes(300_000);
    let file = File::new(&body);
    let server = Server::start(move |request| {
        Reply::File(File {
            stall: (request.nth == 0).then_some(100_000),
            ..file.clone()
        })
    });
    assert_got(&scratch, &[server.url("/x")], &body);
    assert_eq!(server.starts(), [None, Some(100_000)]);
}

#[test]
fn nothing_is_taken_beyond_the_declared_size() {
    let scratch = Scratch::new();
    let body = bytes(1_000_000);
    let server = Server::start(|_| Reply::Endless);
    let error = get(&scratch, &[server.url("/x")], &body).unwrap_err();
    assert_eq!(error.code(), Code::Integrity);
    let error = only(error);
    assert!(
        error.to_string().contains("more than 1000000 bytes"),
        "{error}"
    );
    assert_nothing_left(&scratch);

    // A wrong Content-Length is seen before the body comes.
    let server = Server::of(&bytes(1_000_001));
    let error = only(get(&scratch, &[server.url("/x")], &body).unwrap_err());
    assert!(error.to_string().contains("1000001 bytes"), "{error}");
    assert_eq!(server.log().len(), 1);
}

#[test]
fn an_endless_page_is_capped() {
    let scratch = Scratch::new();
    let server = Server::start(|_| Reply::Endless);
    let url = reqwest::Url::parse(&server.url("/simple/")).unwrap();
    let error = fetcher(&scratch).page("x", &url, "*/*").unwrap_err();
    assert!(matches!(error, StoreError::Size { .. }), "{error}");
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let scratch = Scratch::new();
    let body = bytes(1000);
    let file = File::new(&body);
    let server = Server::start(move |request| match &request.path[1..] {
        "0" => Reply::File(file.clone()),
        "loop" => Reply::Status(302, vec![("Location", "/loop".to_owned())]),
        number => {
            let next = number.parse::<u32>().unwrap() - 1;
            Reply::Status(302, vec![("Location", format!("/{next}"))])
        }
    });
    assert_got(&scratch, &[server.url("/5")], &body);
    let before = server.log().len();
    for path in ["/6", "/loop"] {
        let error = only(get(&scratch, &[server.url(path)], &body).unwrap_err());
        assert!(
            error.to_string().contains("redirects more than 5 times"),
            "{error}"
        );
    }
    // No retries: 6 requests each.
    assert_eq!(server.log().len(), before + 12);
}

#[test]
fn offline_asks_nobody() {
    let scratch = Scratch::new();
    let server = Server::of(b"x");
    let sources = [source(&server.url("/a")), source(&server.url("/b"))];
    let fetcher = Fetcher::new(true).with_store(&scratch.store);
    let error = fetcher
        .fetch_first("wasmtime 49.0.4", &sources, expected(b"x"), "dest".into())
        .unwrap_err();
    assert_eq!(error.code(), Code::Network);
    let text = error.to_string();
    for part in ["wasmtime 49.0.4", "--offline", &server.url("/b")] {
        assert!(text.contains(part), "{text}");
    }
    assert!(error.hint().unwrap().contains("--offline"));
    let url = reqwest::Url::parse(&server.url("/")).unwrap();
    assert!(fetcher.page("x", &url, "*/*").is_err());
    assert!(server.log().is_empty());
    assert!(!scratch.store.root().exists());
}

#[test]
fn passwords_are_sent_and_not_shown() {
    let scratch = Scratch::new();
    let server = Server::start(|_| Reply::Status(404, vec![]));
    let url = server
        .url("/x?signature=hidden")
        .replace("//", "//me:hidden@");
    let error = get(&scratch, &[url], b"x").unwrap_err();
    assert_eq!(
        server.log()[0].headers["authorization"],
        "Basic bWU6aGlkZGVu"
    );
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("hidden") && text.contains("***@"), "{text}");
    }
}

#[test]
fn a_refused_connection_says_so() {
    let scratch = Scratch::new();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}/x");
    let error = get(&scratch, &[url], b"x").unwrap_err();
    assert_eq!(error.code(), Code::Network);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn many_threads_want_the_same_file() {
    let scratch = Scratch::new();
    let body = bytes(300_000);
    let server = Server::of(&body);
    let fetcher = fetcher(&scratch);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (scratch, server, fetcher, body) = (&scratch, &server, &fetcher, &body);
            scope.spawn(move || {
                let dest = scratch.path.join(format!("dest-{number}"));
                let sources = [source(&server.url("/x"))];
                fetcher
                    .fetch_first("x", &sources, expected(body), &dest)
                    .unwrap();
                assert!(&std::fs::read(dest).unwrap() == body);
            });
        }
    });
    assert_nothing_left(&scratch);
}
