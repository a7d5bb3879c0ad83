//! Wheels that lie or reach out, each of them refused with nothing left behind.

use pyw::error::Code;
use pyw::package::wheel::{self, Fault, Origin, WheelError, WheelRef};
use pyw::store::record::{Hash, Line};
use pyw::store::{Kind, Sha256, StoreError};

use crate::offline;
use crate::support::archive::Made;
use crate::support::zip::Entry;
use crate::support::{Scratch, files};

fn good() -> Made {
    Made::new("evil", "1.0").with("evil/__init__.py", "x = 1\n")
}

/// Wants the wheel and gets the refusal; looks that there is nothing but the wheel afterwards.
fn refused(made: &Made) -> WheelError {
    let scratch = Scratch::new();
    let incoming = scratch.path.join("incoming");
    std::fs::create_dir(&incoming).unwrap();
    let path = made.write(&incoming);
    let pin = WheelRef {
        filename: made.filename.clone(),
        sha256: Sha256::of_file(&path).unwrap(),
        size: None,
        origin: Origin::File(path.clone()),
    };
    let error = wheel::provide(&[pin], &scratch.store, &offline()).unwrap_err();
    assert_eq!(error.code(), Code::Integrity, "{error}");
    // Only locks are left of it in the store, and nothing outside.
    let left: Vec<String> = files(&scratch.path)
        .into_iter()
        .filter(|file| !file.starts_with("store/locks/"))
        .collect();
    assert_eq!(left, [format!("incoming/{}", made.filename)]);
    assert_eq!(scratch.store.list(Kind::Wheel).unwrap(), []);
    error
}

fn fault(made: &Made) -> Fault {
    match refused(made) {
        WheelError::Refused { file, fault } => {
            assert_eq!(file, made.filename);
            fault
        }
        error => panic!("{error:?}"),
    }
}

/// The message of an archive that is refused before its content is looked at.
fn archive(made: &Made) -> String {
    match refused(made) {
        WheelError::Store(error @ StoreError::Archive { .. }) => error.to_string(),
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_good_one_is_not_refused() {
    let scratch = Scratch::new();
    let pin = good().pin(&scratch.path);
    let wheels = wheel::provide(&[pin], &scratch.store, &offline()).unwrap();
    assert_eq!(wheels[0].info.version, "1.0");
}

#[test]
fn names_that_lead_out() {
    for (name, problem) in [
        ("../evil.py", "has `..` in its name"),
        ("evil/../../evil.py", "has `..` in its name"),
        ("/tmp/evil.py", "has an absolute name"),
        ("//tmp/evil.py", "has an absolute name"),
        ("c:/evil.py", "has a drive letter in its name"),
        ("c:evil.py", "has a drive letter in its name"),
        ("evil\\..\\..\\evil.py", "has a backslash in its name"),
        ("..\\evil.py", "has a backslash in its name"),
        ("evil-1.0.data/data/../../x", "has `..` in its name"),
        ("evil/\u{1b}[31m.py", "has a control character in its name"),
    ] {
        let message = archive(&good().with(name, "x"));
        assert_eq!(
            message,
            format!(
                "the archive evil-1.0-py3-none-any.whl cannot be unpacked: \
                 the entry {name:?} {problem}"
            )
        );
    }
}

#[test]
fn symbolic_links() {
    for target in ["../../../etc/passwd", "/etc/passwd", "__init__.py"] {
        let mut made = good();
        made.entries.push(Entry {
            mode: 0o120_777,
            ..Entry::file("evil/link.py", target)
        });
        let message = archive(&made);
        assert!(
            message.ends_with("\"evil/link.py\" is a symbolic link"),
            "{message}"
        );
    }
}

#[test]
fn names_that_differ_only_in_case() {
    let message = archive(&good().with("Evil/other.py", ""));
    assert!(
        message.contains("differs from \"evil\" only in case"),
        "{message}"
    );
    // Also where the scheme folders bring them together.
    let made = good().with("evil-1.0.data/purelib/EVIL/__init__.py", "x = 2\n");
    assert_eq!(
        fault(&made),
        Fault::Clash {
            first: "evil-1.0.data/purelib/EVIL/__init__.py".into(),
            second: "evil/__init__.py".into(),
        }
    );
}

#[test]
fn files_that_are_there_twice() {
    let mut made = good();
    made.entries
        .push(Entry::file("evil/__init__.py", "x = 2\n"));
    assert!(archive(&made).ends_with("two entries have the same name"));
    let message = archive(&good().with("./evil/__init__.py", "x = 2\n"));
    assert!(message.ends_with("is there twice"), "{message}");
    let made = good().with("evil-1.0.data/platlib/evil/__init__.py", "x = 2\n");
    assert!(matches!(fault(&made), Fault::Clash { .. }));
    // A file where another one needs a folder.
    let message = archive(&good().with("evil", "x"));
    assert!(message.contains("\"evil\""), "{message}");
    let made = good().with("evil-1.0.data/purelib/evil", "x");
    assert!(matches!(fault(&made), Fault::Clash { .. }));
}

#[test]
fn bombs() {
    let mut made = good();
    made.entries.push(Entry {
        deflate: true,
        ..Entry::file("evil/bomb", vec![0; 80 << 20])
    });
    let message = archive(&made);
    assert!(
        message.contains("\"evil/bomb\" makes it unpack to more than"),
        "{message}"
    );
}

#[test]
fn sizes_that_lie() {
    for size in [1, 3000] {
        let mut made = good();
        made.entries.push(Entry {
            size,
            deflate: true,
            ..Entry::file("evil/liar", vec![b'x'; 2000])
        });
        let message = archive(&made);
        assert!(message.contains("\"evil/liar\""), "{message}");
    }
    let mut made = good();
    made.record = |lines| lines[0].size = Some(7);
    assert_eq!(
        refused(&made).to_string(),
        "the wheel evil-1.0-py3-none-any.whl is refused: \
         \"evil-1.0.dist-info/METADATA\" has 55 bytes where its RECORD says 7"
    );
}

#[test]
fn records_that_do_not_match() {
    let with = |record: fn(&mut Vec<Line>)| {
        let mut made = good();
        made.record = record;
        fault(&made)
    };
    let path = || "evil/__init__.py".to_owned();
    assert_eq!(
        with(|lines| lines[2].hash = Some(Hash::Sha256(Sha256::of(b"other")))),
        Fault::Hash { path: path() }
    );
    assert_eq!(
        with(|lines| lines[2].hash = Some(Hash::Sha512(vec![0; 64]))),
        Fault::Hash { path: path() }
    );
    assert_eq!(
        with(|lines| lines[2].hash = None),
        Fault::NoHash { path: path() }
    );
    assert_eq!(
        with(|lines| drop(lines.remove(2))),
        Fault::NotRecorded { path: path() }
    );
    assert_eq!(
        with(|lines| lines.push(Line::of("evil/more.py", Sha256::of(b""), 0))),
        Fault::NotThere {
            path: "evil/more.py".into()
        }
    );
    assert_eq!(
        with(|lines| lines.push(Line::of("../../../bin/x", Sha256::of(b""), 0))),
        Fault::NotThere {
            path: "../../../bin/x".into()
        }
    );
    assert_eq!(
        with(|lines| lines.push(lines[2].clone())),
        Fault::RecordedTwice { path: path() }
    );
    let mut made = good();
    made.has_record = false;
    assert_eq!(
        fault(&made),
        Fault::Missing {
            path: "evil-1.0.dist-info/RECORD".into()
        }
    );
    assert_eq!(
        fault(&made.clone().with_info("RECORD", "evil/__init__.py\n")),
        Fault::Malformed {
            path: "evil-1.0.dist-info/RECORD".into(),
            reason: "line 1 has not the three fields path, hash and size".into()
        }
    );
}

#[test]
fn signatures_need_no_line_and_others_do() {
    let scratch = Scratch::new();
    let mut made = good()
        .with_info("RECORD.jws", "{}")
        .with_info("RECORD.p7s", "");
    made.record = |lines| lines.retain(|line| !line.path.contains("RECORD."));
    wheel::provide(&[made.pin(&scratch.path)], &scratch.store, &offline()).unwrap();
    let mut made = good().with("RECORD.jws", "{}");
    made.record = |lines| lines.retain(|line| line.path != "RECORD.jws");
    assert!(matches!(fault(&made), Fault::NotRecorded { .. }));
}

#[test]
fn names_that_are_another_project_s() {
    let mut made = good();
    made.filename = "requests-1.0-py3-none-any.whl".into();
    assert_eq!(
        refused(&made).to_string(),
        "the wheel requests-1.0-py3-none-any.whl is refused: \
         its file name says requests and its .dist-info folder says \"evil-1.0\""
    );
    let made = good().with_info("METADATA", "Name: requests\nVersion: 1.0\n");
    assert_eq!(
        refused(&made).to_string(),
        "the wheel evil-1.0-py3-none-any.whl is refused: \
         its file name says evil and its METADATA says \"requests\""
    );
    let made = good().with_info("METADATA", "Name: evil\nVersion: 2.0\n");
    assert_eq!(
        refused(&made).to_string(),
        "the wheel evil-1.0-py3-none-any.whl is refused: \
         its file name says version 1.0 and its METADATA says \"2.0\""
    );
    let mut made = good();
    made.filename = "evil-2.0-py3-none-any.whl".into();
    assert!(matches!(fault(&made), Fault::Version { .. }));
    let made = good().with_info("METADATA", "Summary: nameless\n");
    assert!(matches!(fault(&made), Fault::Malformed { .. }));
}

#[test]
fn metadata_of_other_projects() {
    let made = good().with("requests-2.0.dist-info/METADATA", "Name: requests\n");
    assert_eq!(
        fault(&made),
        Fault::DistInfos {
            found: vec!["evil-1.0.dist-info".into(), "requests-2.0.dist-info".into()]
        }
    );
    let made = good().with(
        "evil-1.0.data/purelib/requests-2.0.dist-info/METADATA",
        "Name: requests\n",
    );
    assert!(matches!(fault(&made), Fault::DistInfos { .. }));
    let mut made = good();
    made.entries.retain(|e| !e.shown().contains("dist-info"));
    made.has_record = false;
    assert_eq!(
        refused(&made).to_string(),
        "the wheel evil-1.0-py3-none-any.whl is refused: \
         it has 0 .dist-info folders where there should be one"
    );
}

#[test]
fn file_names_that_are_none() {
    for name in [
        "evil.whl",
        "evil-1.0.zip",
        "evil-1.0-py3-none.whl",
        "-1.0-py3-none-any.whl",
        "evil-x-py3-none-any.whl",
        "evil-99999999999999999999-py3-none-any.whl",
    ] {
        let mut made = good();
        made.filename = name.into();
        assert_eq!(fault(&made), Fault::FileName, "{name}");
    }
}

#[test]
fn formats_of_the_future() {
    let made = good().with_info("WHEEL", "Wheel-Version: 2.0\n");
    assert_eq!(
        fault(&made),
        Fault::WheelVersion {
            version: "2.0".into()
        }
    );
    let made = good().with_info("WHEEL", "Generator: x\n");
    assert!(matches!(fault(&made), Fault::Malformed { .. }));
    let made = good().with("evil-1.0.data/elsewhere/x", "");
    assert!(matches!(fault(&made), Fault::Scheme { .. }));
    let made = good().with("evil-1.0.data/x", "");
    assert!(matches!(fault(&made), Fault::Scheme { .. }));
    let made = good().with("evil-1.0.data/scripts/a/b", "");
    assert!(matches!(fault(&made), Fault::Scheme { .. }));
}

#[test]
fn commands_that_are_code() {
    let made = good().with_info(
        "entry_points.txt",
        "[console_scripts]\nx = os:system('rm')\n",
    );
    assert!(matches!(fault(&made), Fault::EntryPoint { .. }));
}

#[test]
fn bytes_that_are_not_the_pinned_ones() {
    let scratch = Scratch::new();
    let mut pin = good().pin(&scratch.path);
    pin.sha256 = Sha256::of(b"other");
    let error = wheel::provide(&[pin], &scratch.store, &offline()).unwrap_err();
    assert!(matches!(
        error,
        WheelError::Store(StoreError::Integrity { .. })
    ));
    assert_eq!(error.code(), Code::Integrity);
    assert_eq!(scratch.store.list(Kind::Wheel).unwrap(), []);
}

#[test]
fn what_is_no_zip() {
    let scratch = Scratch::new();
    let path = scratch.path.join("evil-1.0-py3-none-any.whl");
    for bytes in [&b""[..], b"PK\x05\x06", b"not a zip at all"] {
        std::fs::write(&path, bytes).unwrap();
        let pin = WheelRef::local(&path).unwrap();
        let error = wheel::provide(&[pin], &scratch.store, &offline()).unwrap_err();
        assert_eq!(error.code(), Code::Integrity, "{error}");
    }
    // Cut off, and with a bit turned, at every place.
    let whole = good().bytes();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x11;
        std::fs::write(&path, &bytes).unwrap();
        let _ = wheel::unpack(&path, "evil-1.0-py3-none-any.whl", &scratch.path.join("a"));
        let _ = std::fs::remove_dir_all(scratch.path.join("a"));
        std::fs::write(&path, &whole[..at]).unwrap();
        let cut = wheel::unpack(&path, "evil-1.0-py3-none-any.whl", &scratch.path.join("a"));
        assert!(cut.is_err(), "{at}");
        let _ = std::fs::remove_dir_all(scratch.path.join("a"));
    }
    assert_eq!(files(&scratch.path.join("a")), Vec::<String>::new());
}
