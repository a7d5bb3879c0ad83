//! Resolving against indexes on loopback that say and do as told, and against the real one.
#![cfg(unix)]

mod directs;
mod distributions;
mod real;
mod reports;
mod resolving;
mod serving;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use pyw::config::{Origin, Setting};
use pyw::interpreter::Info;
use pyw::package::resolution::{Asked, ResolveRequest};
use pyw::package::{Index, PackageError, PackageName, Requirement, Resolution, resolve};
use pyw::store::Fetcher;
use pyw::store::fetch::Patience;
use pyw::store::indexes::{IndexSettings, Links};

/// A store of a test's own, with indexes.
#[derive(Default)]
pub struct Scratch(support::Scratch);

impl std::ops::Deref for Scratch {
    type Target = support::Scratch;

    fn deref(&self) -> &support::Scratch {
        &self.0
    }
}

impl Scratch {
    pub fn new() -> Self {
        Scratch::default()
    }

    /// These indexes, asked in this order.
    pub fn index(&self, urls: &[&str]) -> Index {
        self.index_with(urls, &[], false)
    }

    pub fn index_with(&self, urls: &[&str], links: &[Links], offline: bool) -> Index {
        let setting = |url: &&str| Setting {
            value: reqwest::Url::parse(url).unwrap(),
            origin: Origin::Default,
        };
        let settings = IndexSettings {
            looked_for: Vec::new(),
            index: urls.last().map(setting),
            extra: urls.iter().rev().skip(1).rev().map(setting).collect(),
            find_links: links
                .iter()
                .map(|links| Setting {
                    value: links.clone(),
                    origin: Origin::Default,
                })
                .collect(),
            pyodide_packages: None,
        };
        let fetcher = Fetcher::new(offline)
            .with_store(&self.store)
            .with_patience(Patience {
                backoff: Duration::from_millis(10),
                retries: 1,
                stall: Duration::from_secs(5),
                ..Patience::default()
            });
        Index::new(settings, Arc::new(fetcher), &self.store).with_netrc("")
    }
}

/// CPython 3.12.0 for WASI.
pub fn python() -> Info {
    python_of("3.12")
}

pub fn python_of(minor: &str) -> Info {
    support::python::info(minor)
}

/// A request for these requirements, as the command line would make it.
pub fn request(requirements: &[&str]) -> ResolveRequest {
    ResolveRequest {
        requirements: requirements
            .iter()
            .map(|text| Asked {
                requirement: requirement(text),
                origin: "app.py".to_owned(),
            })
            .collect(),
        ..ResolveRequest::default()
    }
}

pub fn requirement(text: &str) -> Requirement {
    Requirement::parse(text, Utf8Path::new("/nowhere")).unwrap()
}

pub fn name(text: &str) -> PackageName {
    PackageName::new(text).unwrap()
}

/// The pins of a resolution, `a==1 b==2`.
pub fn pins(resolution: &Resolution) -> String {
    let pins: Vec<String> = resolution
        .packages
        .iter()
        .map(|package| format!("{}=={}", package.name, package.version))
        .collect();
    pins.join(" ")
}

pub fn run(request: &ResolveRequest, index: &Index) -> Result<Resolution, PackageError> {
    resolve(request, &python(), index)
}

/// Message and hint, as they would be shown.
pub fn told(error: &PackageError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}
