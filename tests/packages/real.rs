//! The real index. Left out where it cannot be reached.

use std::sync::Arc;

use pyw::error::Code;
use pyw::package::{Index, PackageError, Resolution};
use pyw::store::Fetcher;
use pyw::store::indexes::{IndexArguments, IndexSettings};

use crate::{Scratch, name, pins, request, run, told};

/// Projects that many programs use, pure down to the last of what they need; the bench installs
/// the same.
const TWENTY: &str = include_str!("../../benches/packages/20.txt");
const SIXTY: &str = include_str!("../../benches/packages/60.txt");

fn index(scratch: &Scratch) -> Index {
    let fetcher = Fetcher::new(false).with_store(&scratch.store);
    // What the machine's settings say of links would make the result the machine's own.
    let mut settings = IndexSettings::from_process(&IndexArguments::default()).unwrap();
    settings.find_links.clear();
    Index::new(settings, Arc::new(fetcher), &scratch.store)
}

/// Resolves, or says that the index cannot be reached.
fn reach(requirements: &[&str]) -> Option<Result<Resolution, PackageError>> {
    let scratch = Scratch::new();
    match run(&request(requirements), &index(&scratch)) {
        Err(error) if error.code() == Code::Network => {
            crate::support::left_out(&error);
            None
        }
        result => Some(result),
    }
}

#[test]
fn well_known_projects() {
    for (asked, needs) in [
        ("rich", "pygments"),
        ("httpx>=0.27", "httpcore"),
        ("pytest", "pluggy"),
    ] {
        let Some(result) = reach(&[asked]) else {
            return;
        };
        let resolution = result.unwrap_or_else(|error| panic!("{}", told(&error)));
        assert!(
            resolution.get(&name(needs)).is_some(),
            "{}",
            pins(&resolution)
        );
        for package in &resolution.packages {
            let file = package.file().unwrap();
            assert!(file.sha256.is_some() && file.size.is_some(), "{file:?}");
            assert!(file.filename.ends_with("-any.whl"), "{file:?}");
        }
    }
}

#[test]
fn native_only_is_told() {
    let Some(result) = reach(&["numpy>=2"]) else {
        return;
    };
    let error = told(&result.unwrap_err());
    assert!(
        error.starts_with("`numpy>=2` (app.py) cannot be had\n  numpy 2."),
        "{error}"
    );
    assert!(error.contains("only wheels for Linux, macOS"), "{error}");
    let Some(Err(error)) = reach(&["jinja2"]) else {
        return;
    };
    let error = told(&error);
    assert!(
        error.starts_with("`jinja2` (app.py) cannot be had\n  jinja2 "),
        "{error}"
    );
    assert!(error.contains("3.1.6 needs markupsafe>=2.0"), "{error}");
    assert!(error.contains("only wheels for Linux, macOS"), "{error}");
    assert!(error.contains("build a pure wheel"), "{error}");
}

#[test]
fn twenty_and_sixty_projects() {
    for list in [TWENTY, SIXTY] {
        let set: Vec<&str> = list.lines().collect();
        let Some(result) = reach(&set) else { return };
        let resolution = result.unwrap_or_else(|error| panic!("{}", told(&error)));
        assert!(resolution.packages.len() >= set.len());
    }
}
