//! Resolving: one version of every package that a program needs, directly or not.
//!
//! The search is pubgrub's. What is special here:
//!
//! * An extra is a package of its own that is always at the version of its project.
//! * Pre-releases are taken of projects of which the user names one, where a requirement allows
//!   nothing else, and, in a second try, where the first one failed for want of anything else.
//! * Withdrawn releases are taken only where some requirement pins their version.
//! * A release without a wheel for the interpreter is no candidate, but stays known, so that the
//!   report can tell about it ([`super::report`]).
//! * After 25 releases of a project were tried in vain only the newest of each older series
//!   (`2.7`, `2.6`, …) is, after 15 of those the search leaps back further and further, and after
//!   11 leaps the project is given up.
//! * Packages that the interpreter brings are taken if they fit.
//!
//! The same request gives the same resolution as long as the indexes say the same.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::Version;
use pep508_rs::MarkerEnvironment;
use pubgrub::{PubGrubError, Ranges};

use super::candidate::{Filter, Unusable};
use super::error::PackageError;
use super::filename::WheelName;
use super::index::{Index, MetadataError, Place};
use super::marker;
use super::name::{ExtraName, PackageName};
use super::project_file;
use super::provider::{Direct, Learned, Node, Problem, Provider, State, Stop, root_version};
use super::report;
use super::requirement::{Requirement, Wanted};
use super::resolution::{
    File, FilePlace, Prereleases, Resolution, ResolveRequest, Resolved, Source, Why,
};
use super::scout::Scout;
use super::tags::Tags;
use crate::interpreter::Info;
use crate::store::Sha256;
use crate::ui::progress::Progress;

/// How often the search begins anew because of what it learned. Each time it learned something, so
/// this only guards against an index without end.
const TRIES: usize = 100;

/// Finds the packages that a request needs on this interpreter.
///
/// # Errors
/// There are none that fit together, or an index failed.
pub fn resolve(
    request: &ResolveRequest,
    interpreter: &Info,
    index: &Index,
) -> Result<Resolution, PackageError> {
    let _progress = Progress::spinner("resolving");
    let environment = marker::environment(interpreter)
        .map_err(|problem| PackageError::Interpreter { problem })?;
    let python = environment.python_full_version().version.only_release();
    let hashes = hashes(request, &environment)?;
    let tags = Tags::of(interpreter);
    let filter = Filter {
        tags: tags.clone(),
        python,
        upload_before: request.upload_before,
        hashes: hashes.clone(),
    };
    let mut constraints: BTreeMap<PackageName, Ranges<Version>> = BTreeMap::new();
    let mut direct = BTreeMap::new();
    for asked in &request.requirements {
        if asked.requirement.applies(&environment) {
            add_direct(&asked.requirement, index, &tags, &hashes, &mut direct)?;
        }
    }
    for constraint in &request.constraints {
        if constraint.applies(&environment) {
            add_direct(constraint, index, &tags, &hashes, &mut direct)?;
            let limit = constraint.ranges();
            let entry = constraints.entry(constraint.name.clone());
            let range = entry.or_insert_with(Ranges::full);
            *range = range.intersection(&limit);
        }
    }
    let settled = direct
        .keys()
        .chain(request.installed.iter().map(|installed| &installed.name))
        .cloned()
        .collect();
    let scout = Scout::new(
        index,
        filter,
        &environment,
        settled,
        request.preferences.clone(),
    );
    let mut learned = Learned::default();
    let asked = request.requirements.iter().map(|asked| &asked.requirement);
    for named in asked.chain(&request.constraints) {
        if named.names_prerelease() && named.applies(&environment) {
            learned.prereleases.insert(named.name.clone());
        }
    }
    for constraint in &request.constraints {
        if let Some(pin) = constraint.pin() {
            learned.pins.insert((constraint.name.clone(), pin.clone()));
        }
    }
    // The report of the first complete failure: a later try with pre-releases explains less.
    let mut failure: Option<PackageError> = None;
    for _ in 0..TRIES {
        let provider = Provider {
            request,
            scout: &scout,
            environment: &environment,
            direct: &direct,
            constraints: &constraints,
            state: RefCell::new(State::knowing(learned.clone())),
        };
        let result = pubgrub::resolve(&provider, Node::Root, root_version());
        let tree = match result {
            Ok(solution) => {
                let mut resolution = assemble(&provider, solution)?;
                resolution
                    .notes
                    .extend(report::held_back(&provider, &resolution));
                if request.require_hashes || !hashes.is_empty() {
                    check_hashes(&resolution, &hashes)?;
                }
                return Ok(resolution);
            }
            Err(PubGrubError::NoSolution(tree)) => tree,
            Err(
                PubGrubError::ErrorChoosingVersion { source, .. }
                | PubGrubError::ErrorRetrievingDependencies { source, .. }
                | PubGrubError::ErrorInShouldCancel(source),
            ) => match source {
                Stop::Failed(error) => return Err(failure.unwrap_or(error)),
                Stop::Direct(need) => {
                    add_direct(&need, index, &tags, &hashes, &mut direct)?;
                    continue;
                }
            },
        };
        // What was learned on the way may have come too late for decisions before it.
        let now = provider.state.borrow().learned.clone();
        if now != learned {
            learned = now;
            continue;
        }
        let more = if request.prereleases == Prereleases::IfNeeded && failure.is_none() {
            report::prereleases_that_might_help(&provider, &tree)
        } else {
            BTreeSet::new()
        };
        let report = report::explain(&provider, &tree);
        if more.is_empty() {
            return Err(failure.unwrap_or_else(|| report.into()));
        }
        failure = Some(report.into());
        learned.prereleases.extend(more);
    }
    Err(failure.unwrap_or_else(|| PackageError::Internal {
        problem: format!("it began anew {TRIES} times"),
    }))
}

/// The digests that are asked for, by project.
fn hashes(
    request: &ResolveRequest,
    environment: &MarkerEnvironment,
) -> Result<BTreeMap<PackageName, BTreeSet<Sha256>>, PackageError> {
    let mut hashes: BTreeMap<PackageName, BTreeSet<Sha256>> = BTreeMap::new();
    let asked = request.requirements.iter().map(|asked| &asked.requirement);
    for requirement in asked.chain(&request.constraints) {
        // A digest in an address is about that file alone, and checked with it.
        let is_listed = matches!(requirement.wanted, Wanted::Versions(_));
        if !requirement.hashes.is_empty() && is_listed && requirement.applies(environment) {
            let known = hashes.entry(requirement.name.clone()).or_default();
            // Two requirements of one project must both be met.
            let both: BTreeSet<_> = known.intersection(&requirement.hashes).copied().collect();
            if known.is_empty() {
                known.extend(&requirement.hashes);
            } else if both.is_empty() {
                return Err(PackageError::Requirement {
                    origin: requirement.to_string(),
                    problem: "its hashes contradict those of another requirement".to_owned(),
                });
            } else {
                *known = both;
            }
        }
    }
    Ok(hashes)
}

/// Looks at what a requirement names by its address or path.
fn add_direct(
    requirement: &Requirement,
    index: &Index,
    tags: &Tags,
    hashes: &BTreeMap<PackageName, BTreeSet<Sha256>>,
    direct: &mut BTreeMap<PackageName, Direct>,
) -> Result<(), PackageError> {
    let unusable = |problem: String| PackageError::Direct {
        requirement: requirement.to_string(),
        problem,
    };
    if let Some(known) = direct.get(&requirement.name)
        && !matches!(requirement.wanted, Wanted::Versions(_))
        && known.wanted != requirement.wanted
    {
        return Err(unusable(format!(
            "{} is asked for from another place as well",
            requirement.name
        )));
    }
    let mut pins = requirement.hashes.clone();
    pins.extend(hashes.get(&requirement.name).into_iter().flatten());
    let found = match &requirement.wanted {
        Wanted::Versions(_) => return Ok(()),
        _ if direct.contains_key(&requirement.name) => return Ok(()),
        Wanted::Path(path) if path.is_dir() => {
            let metadata = project_file::read(path).map_err(unusable)?;
            (metadata, Source::Folder(path.clone()))
        }
        wanted => {
            let found = match wanted {
                Wanted::Path(path) => index.wheel_at_path(path, &pins),
                Wanted::Url(url) => index.wheel_at_url(url, &pins),
                Wanted::Versions(_) => return Ok(()),
            };
            let (wheel, metadata) = found.map_err(|error| match error {
                MetadataError::Wrong(problem) => unusable(problem),
                MetadataError::Store(error) => error.into(),
                MetadataError::Distribution(error) => error,
            })?;
            let unfit = WheelName::parse(&wheel.filename)
                .ok()
                .and_then(|name| Unusable::of_name(&name, tags));
            if let Some(unfit) = unfit {
                return Err(unusable(format!("it {unfit}")));
            }
            let file = file(index, &wheel, None)?;
            (metadata, Source::Wheel(file))
        }
    };
    let (metadata, source) = found;
    if metadata.name != requirement.name {
        return Err(unusable(format!("it is {}", metadata.name)));
    }
    direct.insert(
        requirement.name.clone(),
        Direct {
            metadata: metadata.into(),
            source,
            wanted: requirement.wanted.clone(),
        },
    );
    Ok(())
}

fn file(
    index: &Index,
    wheel: &super::candidate::Wheel,
    from: Option<&str>,
) -> Result<File, PackageError> {
    Ok(File {
        filename: wheel.filename.clone(),
        place: match index.locate(wheel)? {
            Place::Url(url) => FilePlace::Url(url),
            Place::Path(path) => FilePlace::Path(path),
        },
        sha256: wheel.sha256,
        size: wheel.size,
        index: from.map(str::to_owned),
    })
}

/// Turns a solution into packages.
fn assemble(
    provider: &Provider<'_>,
    solution: pubgrub::SelectedDependencies<Node, Version>,
) -> Result<Resolution, PackageError> {
    let mut versions: BTreeMap<PackageName, Version> = BTreeMap::new();
    let mut extras: BTreeMap<PackageName, BTreeSet<ExtraName>> = BTreeMap::new();
    for (node, version) in solution {
        match node {
            Node::Root => {}
            Node::Project(name) => drop(versions.insert(name, version)),
            Node::Extra(name, extra) => {
                extras.entry(name).or_default().insert(extra);
            }
        }
    }
    let internal = |problem: String| PackageError::Internal { problem };
    let mut whys: BTreeMap<PackageName, BTreeSet<Why>> = BTreeMap::new();
    for asked in &provider.request.requirements {
        if asked.requirement.applies(provider.environment) {
            let why = Why::Asked {
                requirement: asked.requirement.to_string(),
                origin: asked.origin.clone(),
            };
            whys.entry(asked.requirement.name.clone())
                .or_default()
                .insert(why);
        }
    }
    let mut notes = Vec::new();
    let mut packages = Vec::new();
    for (name, version) in &versions {
        let metadata = match provider.metadata(name, version) {
            Ok(metadata) => metadata,
            Err(Problem::Stop(Stop::Failed(error))) => return Err(error),
            Err(_) => return Err(internal(format!("{name} {version} has no metadata"))),
        };
        let own = extras.remove(name).unwrap_or_default();
        for extra in &own {
            if !metadata.extras.contains(extra) {
                notes.push(format!("{name} {version} has no extra `{extra}`"));
            }
        }
        let mut dependencies = BTreeSet::new();
        let wanted = std::iter::once(None).chain(own.iter().map(Some));
        for extra in wanted {
            for need in provider.needs(&metadata, extra) {
                if need.name != *name {
                    dependencies.insert(need.name.clone());
                    let why = Why::Needed {
                        by: name.clone(),
                        requirement: need.to_string(),
                    };
                    whys.entry(need.name.clone()).or_default().insert(why);
                }
            }
        }
        packages.push(Resolved {
            name: name.clone(),
            version: version.clone(),
            source: source(provider, name, version)?,
            extras: own,
            dependencies,
            why: Vec::new(),
        });
    }
    for package in &mut packages {
        let why = whys.remove(&package.name).unwrap_or_default();
        package.why = why.into_iter().collect();
    }
    Ok(Resolution { packages, notes })
}

/// Where a package of the solution comes from.
fn source(
    provider: &Provider<'_>,
    name: &PackageName,
    version: &Version,
) -> Result<Source, PackageError> {
    if let Some(direct) = provider.direct.get(name) {
        return Ok(direct.source.clone());
    }
    if let Some(installed) = provider.installed(name)
        && installed.version == *version
    {
        return Ok(Source::Interpreter);
    }
    let project = provider
        .scout
        .project(name)
        .map_err(|failure| failure.error())?;
    let release = project.releases.get(version);
    match release.map(|release| &release.wheel) {
        Some(Ok(wheel)) => {
            let mut wheel = wheel.clone();
            if let super::candidate::Link::Path(path) = &wheel.link
                && wheel.sha256.is_none()
            {
                wheel.sha256 = Some(Sha256::of_file(path)?);
                wheel.size = path.metadata().ok().map(|metadata| metadata.len());
            }
            let index = provider.scout.index();
            let label = index.label(name, &wheel, &project);
            file(index, &wheel, Some(&label)).map(Source::Wheel)
        }
        _ => Err(PackageError::Internal {
            problem: format!("{name} {version} was chosen and has no wheel"),
        }),
    }
}

/// Where hashes are asked for, every file has to have one of them.
fn check_hashes(
    resolution: &Resolution,
    hashes: &BTreeMap<PackageName, BTreeSet<Sha256>>,
) -> Result<(), PackageError> {
    for package in &resolution.packages {
        let Some(file) = package.file() else { continue };
        // One that was named directly has its own.
        if file.index.is_some() && !hashes.contains_key(&package.name) {
            return Err(PackageError::Requirement {
                origin: format!("{}=={}", package.name, package.version),
                problem: "hashes are asked for, and this package has none; name it with its hash"
                    .to_owned(),
            });
        }
    }
    Ok(())
}
