//! The packages as pubgrub sees them.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use pep440_rs::Version;
use pep508_rs::MarkerEnvironment;
use pubgrub::{Dependencies, DependencyProvider, PackageResolutionStatistics, Ranges};

use super::candidate::Project;
use super::error::PackageError;
use super::metadata::Metadata;
use super::name::{ExtraName, PackageName};
use super::requirement::{Requirement, Wanted};
use super::resolution::{Prereleases, ResolveRequest, Source, Upgrade};
use super::scout::{Failure, Scout};

/// After so many releases of a project were tried, only the newest of each series is.
const LOOK_BACK: usize = 25;
/// After so many series the search leaps further and further back.
const SERIES: usize = 15;
/// After so many leaps it gives the project up: the last one passes over a thousand releases.
const LEAPS: usize = 11;
/// So many at most are fetched ahead of a search that looks back.
const AHEAD: usize = 16;
/// From so many tries on, the next ones are fetched ahead.
const STRUGGLING: usize = 2;

/// What is decided on: a project, or an extra of it, which is at the version of the project.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Root,
    Project(PackageName),
    Extra(PackageName, ExtraName),
}

impl Node {
    pub fn name(&self) -> Option<&PackageName> {
        match self {
            Node::Root => None,
            Node::Project(name) | Node::Extra(name, _) => Some(name),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Root => f.write_str("the program"),
            Node::Project(name) => name.fmt(f),
            Node::Extra(name, extra) => write!(f, "{name}[{extra}]"),
        }
    }
}

/// A package that is not looked for on an index: there is one version of it.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    pub metadata: Arc<Metadata>,
    pub source: Source,
    pub wanted: Wanted,
}

/// What was found out during the search and holds for the next try as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// Projects of which pre-releases will do.
    pub prereleases: BTreeSet<PackageName>,
    /// Versions that are pinned somewhere, so that they will do though they were withdrawn.
    pub pins: BTreeSet<(PackageName, Version)>,
}

/// Why the search was broken off.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(PackageError),
    /// A package needs one that is at an address or a path, which has to be looked at first.
    Direct(Box<Requirement>),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Stop {}

pub(super) struct Provider<'a> {
    pub request: &'a ResolveRequest,
    pub scout: &'a Scout,
    pub environment: &'a MarkerEnvironment,
    pub direct: &'a BTreeMap<PackageName, Direct>,
    pub constraints: &'a BTreeMap<PackageName, Ranges<Version>>,
    pub state: RefCell<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub learned: Learned,
    /// In which order projects were met.
    order: HashMap<PackageName, usize>,
    /// The ranges in which a project is asked for somewhere.
    asked: HashMap<PackageName, Vec<Ranges<Version>>>,
    /// The versions whose dependencies were looked at.
    pub tried: HashMap<PackageName, BTreeSet<Version>>,
    /// The projects of which not all versions were looked at.
    pub given_up: BTreeSet<PackageName>,
    last: HashMap<PackageName, Version>,
    /// How many releases had been tried when the search began to leap.
    leaping: HashMap<PackageName, usize>,
}

impl State {
    /// The state at the beginning of a try.
    pub fn knowing(learned: Learned) -> State {
        State {
            learned,
            ..State::default()
        }
    }
}

type Ask = (Node, Ranges<Version>);

impl Provider<'_> {
    /// What a requirement means: the project and its extras, within the constraints.
    fn nodes(&self, need: &Requirement, out: &mut Vec<Ask>) -> Result<(), Problem> {
        if !matches!(need.wanted, Wanted::Versions(_)) {
            match self.direct.get(&need.name) {
                None => return Err(Problem::Stop(Stop::Direct(Box::new(need.clone())))),
                Some(direct) if direct.wanted != need.wanted => {
                    return Err(Problem::Unavailable(format!(
                        "needs {need}, while {} is taken from elsewhere",
                        need.name
                    )));
                }
                Some(_) => {}
            }
        }
        let mut range = need.ranges();
        if let Some(limit) = self.constraints.get(&need.name) {
            range = range.intersection(limit);
        }
        {
            let mut state = self.state.borrow_mut();
            let next = state.order.len();
            state.order.entry(need.name.clone()).or_insert(next);
            if let Some(pin) = need.pin() {
                state.learned.pins.insert((need.name.clone(), pin.clone()));
            }
            let asked = state.asked.entry(need.name.clone()).or_default();
            if !asked.contains(&range) {
                asked.push(range.clone());
            }
        }
        self.scout.follow(&need.name, &need.extras, &range);
        for extra in &need.extras {
            let node = Node::Extra(need.name.clone(), extra.clone());
            out.push((node, range.clone()));
        }
        out.push((Node::Project(need.name.clone()), range));
        Ok(())
    }

    /// What a release says of itself.
    pub fn metadata(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> Result<Arc<Metadata>, Problem> {
        if let Some(direct) = self.direct.get(name) {
            return Ok(Arc::clone(&direct.metadata));
        }
        if let Some(installed) = self.installed(name)
            && installed.version == *version
        {
            return Ok(Arc::new(installed.clone()));
        }
        self.scout
            .metadata(name, version)
            .map_err(|failure| match &*failure {
                Failure::Wrong(problem) => Problem::Unavailable(problem.clone()),
                Failure::Fatal(_) => Problem::Stop(Stop::Failed(failure.error())),
            })
    }

    pub fn installed(&self, name: &PackageName) -> Option<&Metadata> {
        self.request.installed.iter().find(|i| i.name == *name)
    }

    /// The version that a lock or the like wants.
    pub fn preference(&self, name: &PackageName) -> Option<&Version> {
        let upgraded = match &self.request.upgrade {
            Upgrade::None => false,
            Upgrade::All => true,
            Upgrade::Packages(names) => names.contains(name),
        };
        self.request.preferences.get(name).filter(|_| !upgraded)
    }

    /// The ranges in which pre-releases of a project will do.
    fn prereleases(&self, name: &PackageName, project: &Project) -> Ranges<Version> {
        let state = self.state.borrow();
        if self.request.prereleases == Prereleases::Allowed
            || state.learned.prereleases.contains(name)
        {
            return Ranges::full();
        }
        // Where someone asks for what only pre-releases can be.
        let none_stable = |range: &&Ranges<Version>| {
            !project.releases.iter().any(|(version, release)| {
                version.is_stable() && release.yanked.is_none() && range.contains(version)
            })
        };
        let asked = state.asked.get(name).into_iter().flatten();
        asked
            .filter(none_stable)
            .fold(Ranges::empty(), |all, range| all.union(range))
    }

    /// The releases that could be taken, the newest first.
    fn candidates<'p>(
        &self,
        name: &PackageName,
        project: &'p Project,
        range: &Ranges<Version>,
    ) -> Vec<&'p Version> {
        let prereleases = self.prereleases(name, project);
        let state = self.state.borrow();
        let pinned = |version: &Version| {
            let key = (name.clone(), version.clone());
            state.learned.pins.contains(&key) || self.preference(name) == Some(version)
        };
        let fits = |(version, release): &(&Version, &super::candidate::Release)| {
            release.wheel.is_ok()
                && (version.is_stable()
                    || prereleases.contains(*version)
                    || self.preference(name) == Some(*version))
                && range.contains(*version)
                && (release.yanked.is_none() || pinned(version))
        };
        let all = project.releases.iter().rev().filter(fits);
        all.map(|(version, _)| version).collect()
    }

    /// The version to try next.
    fn choose(&self, name: &PackageName, range: &Ranges<Version>) -> Result<Option<Version>, Stop> {
        if let Some(direct) = self.direct.get(name) {
            let version = &direct.metadata.version;
            return Ok(range.contains(version).then(|| version.clone()));
        }
        // An extra best follows its project, and a project that was decided on before is best
        // decided on in the same way.
        let last = self.state.borrow().last.get(name).cloned();
        if let Some(last) = last
            && range.contains(&last)
        {
            return Ok(Some(last));
        }
        if let Some(installed) = self.installed(name)
            && range.contains(&installed.version)
        {
            return Ok(Some(installed.version.clone()));
        }
        let project = self
            .scout
            .project(name)
            .map_err(|failure| Stop::Failed(failure.error()))?;
        let candidates = self.candidates(name, &project, range);
        if let Some(preference) = self.preference(name)
            && candidates.contains(&preference)
        {
            return Ok(Some(preference.clone()));
        }
        let none = BTreeSet::new();
        let mut state = self.state.borrow_mut();
        let State { tried, leaping, .. } = &mut *state;
        let tried = tried.get(name).unwrap_or(&none);
        let mut ahead = look_back(&candidates, tried);
        if ahead.is_empty() && !candidates.is_empty() {
            let start = *leaping.entry(name.clone()).or_insert(tried.len());
            ahead = leap(&candidates, tried, tried.len() - start);
        }
        if tried.len() >= STRUGGLING {
            for version in ahead.iter().take((2 * tried.len()).min(AHEAD)) {
                self.scout.prefetch(name, version);
            }
        }
        let next = ahead.first().map(|version| (*version).clone());
        if next.is_none() && !candidates.is_empty() {
            state.given_up.insert(name.clone());
        }
        Ok(next)
    }

    /// What a release needs, of itself or for an extra.
    pub fn needs<'m>(
        &'m self,
        metadata: &'m Metadata,
        extra: Option<&'m ExtraName>,
    ) -> impl Iterator<Item = &'m Requirement> {
        metadata.requires.iter().filter(move |need| match extra {
            None => need.applies(self.environment),
            Some(extra) => need.applies_for(self.environment, extra),
        })
    }

    fn dependencies(&self, node: &Node, version: &Version) -> Result<Vec<Ask>, Problem> {
        let mut out = Vec::new();
        let (name, extra) = match node {
            Node::Root => {
                for asked in &self.request.requirements {
                    if asked.requirement.applies(self.environment) {
                        self.nodes(&asked.requirement, &mut out)?;
                    }
                }
                return Ok(out);
            }
            Node::Project(name) => (name, None),
            Node::Extra(name, extra) => (name, Some(extra)),
        };
        {
            let mut state = self.state.borrow_mut();
            state.last.insert(name.clone(), version.clone());
            let tried = state.tried.entry(name.clone()).or_default();
            tried.insert(version.clone());
        }
        let metadata = self.metadata(name, version)?;
        if let Some(wanted) = &metadata.requires_python
            && !wanted.contains(&self.scout.filter().python)
        {
            return Err(Problem::Unavailable(format!("needs Python {wanted}")));
        }
        if extra.is_some() {
            out.push((
                Node::Project(name.clone()),
                Ranges::singleton(version.clone()),
            ));
        }
        for need in self.needs(&metadata, extra) {
            if need.name != *name {
                self.nodes(need, &mut out)?;
                continue;
            }
            // `all = ["me[a,b]"]`: the same release, with other extras.
            for other in &need.extras {
                if Some(other) != extra {
                    let node = Node::Extra(name.clone(), other.clone());
                    out.push((node, Ranges::singleton(version.clone())));
                }
            }
        }
        Ok(out)
    }
}

/// Why a release has no dependencies to tell.
pub(super) enum Problem {
    /// It is of no use; goes on after its version, as "needs Python >=3.13".
    Unavailable(String),
    Stop(Stop),
}

impl DependencyProvider for Provider<'_> {
    type P = Node;
    type V = Version;
    type VS = Ranges<Version>;
    type M = String;
    type Err = Stop;
    /// Dead ends first, since they end the search soonest; then what is pinned, then what made
    /// trouble, then in the order in which projects were met.
    type Priority = (bool, bool, u32, Reverse<usize>, bool);

    fn prioritize(
        &self,
        node: &Node,
        range: &Ranges<Version>,
        statistics: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let Some(name) = node.name() else {
            return (true, true, u32::MAX, Reverse(0), true);
        };
        let dead = match self.direct.get(name) {
            Some(direct) => !range.contains(&direct.metadata.version),
            None => {
                let installed = self.installed(name);
                !installed.is_some_and(|installed| range.contains(&installed.version))
                    && match self.scout.project(name) {
                        Ok(project) => self.candidates(name, &project, range).is_empty(),
                        // Choosing a version will tell.
                        Err(_) => true,
                    }
            }
        };
        let pinned = self.direct.contains_key(name) || is_pin(range);
        let order = self.state.borrow().order.get(name).copied();
        (
            dead,
            pinned,
            statistics.conflict_count() / 4,
            Reverse(order.unwrap_or(usize::MAX)),
            matches!(node, Node::Project(_)),
        )
    }

    fn choose_version(
        &self,
        node: &Node,
        range: &Ranges<Version>,
    ) -> Result<Option<Version>, Stop> {
        match node.name() {
            None => Ok(Some(root_version())),
            Some(name) => self.choose(name, range),
        }
    }

    fn get_dependencies(
        &self,
        node: &Node,
        version: &Version,
    ) -> Result<Dependencies<Node, Ranges<Version>, String>, Stop> {
        match self.dependencies(node, version) {
            Ok(asks) => Ok(Dependencies::Available(asks.into_iter().collect())),
            Err(Problem::Unavailable(reason)) => Ok(Dependencies::Unavailable(reason)),
            Err(Problem::Stop(stop)) => Err(stop),
        }
    }
}

/// The candidates that are still worth a try, in the order of the tries: the newest ones, then the
/// newest of each older series. What was tried before and fits again costs nothing.
fn look_back<'c>(candidates: &[&'c Version], tried: &BTreeSet<Version>) -> Vec<&'c Version> {
    let series = |version: &Version| {
        let release = version.release();
        (
            version.epoch(),
            release.first().copied(),
            release.get(1).copied(),
        )
    };
    let mut known: BTreeSet<_> = tried.iter().map(series).collect();
    let mut count = tried.len();
    let mut ahead = Vec::new();
    for version in candidates {
        if tried.contains(*version) {
            ahead.push(*version);
        } else if count < LOOK_BACK
            || (count < LOOK_BACK + SERIES && !known.contains(&series(version)))
        {
            known.insert(series(version));
            count += 1;
            ahead.push(*version);
        }
    }
    ahead
}

/// Candidates older than all that were tried, each twice as far away as the one before. `done` of
/// such leaps were made already.
fn leap<'c>(
    candidates: &[&'c Version],
    tried: &BTreeSet<Version>,
    done: usize,
) -> Vec<&'c Version> {
    let older = |version: &&&Version| tried.first().is_none_or(|oldest| **version < oldest);
    let older: Vec<&Version> = candidates.iter().filter(older).copied().collect();
    let Some(last) = older.len().checked_sub(1) else {
        return Vec::new();
    };
    let mut at = 0;
    let mut ahead = Vec::new();
    for number in done..LEAPS {
        at += 1_usize << number;
        ahead.push(older[(at - 1).min(last)]);
        if at > last {
            break;
        }
    }
    ahead
}

/// The version of the program itself.
pub(super) fn root_version() -> Version {
    Version::new([0])
}

/// Whether a range is one version, with all its local ones perhaps.
fn is_pin(range: &Ranges<Version>) -> bool {
    match range.bounding_range() {
        Some((std::ops::Bound::Included(low), std::ops::Bound::Included(high))) => {
            low == high || *low == high.clone().without_local()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_back_goes_by_single_releases_then_by_series_then_by_leaps() {
        let all: Vec<Version> = (0..40)
            .rev()
            .flat_map(|minor| {
                (0..30)
                    .rev()
                    .map(move |patch| Version::new([1, minor, patch]))
            })
            .collect();
        let mut tried = BTreeSet::new();
        let mut start = None;
        let mut path = Vec::new();
        loop {
            let left: Vec<&Version> = all.iter().filter(|v| !tried.contains(*v)).collect();
            let mut ahead = look_back(&left, &tried);
            if ahead.is_empty() {
                let start = *start.get_or_insert(tried.len());
                ahead = leap(&left, &tried, tried.len() - start);
            }
            let Some(next) = ahead.first() else { break };
            tried.insert((*next).clone());
            path.push(next.to_string());
        }
        assert_eq!(path.len(), LOOK_BACK + SERIES + 10);
        assert_eq!(path[24..28], ["1.39.5", "1.38.29", "1.37.29", "1.36.29"]);
        assert_eq!(path[39..43], ["1.24.29", "1.24.28", "1.24.26", "1.24.22"]);
        assert_eq!(path.last().unwrap(), "1.0.0");
    }
}
