//! Why there is no solution, and what would help: written for people.
//!
//! The first line names what the user asks for. The lines below follow the dependencies from
//! there to where it ends: to a project without a release that can be used, or to requirements
//! that contradict each other. Whole families of releases that say the same are one line.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use pep440_rs::Version;
use pubgrub::{DerivationTree, External, Ranges};

use super::candidate::{Native, Project, Release, Unusable, list};
use super::name::PackageName;
use super::provider::{Node, Provider};
use super::resolution::Resolution;
use super::tags::Platform;

/// More lines help nobody.
const LINES: usize = 12;

/// So far goes the reason for an older release.
const DEPTH: usize = 4;

type Tree = DerivationTree<Node, Ranges<Version>, String>;

/// The requirements cannot be met, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NoSolution {
    /// What the user asks for, of what is part of the problem, with who asks.
    pub asked: Vec<(String, String)>,
    /// Why that cannot be had, one sentence each, in the order of the dependencies.
    pub facts: Vec<String>,
    /// What would help, the most promising first.
    pub hints: Vec<String>,
}

impl fmt::Display for NoSolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.asked.iter().map(|(text, _)| format!("`{text}`"));
        match self.asked.as_slice() {
            [] => f.write_str("the packages cannot be had together")?,
            [(text, origin)] => write!(f, "`{text}` ({origin}) cannot be had")?,
            _ => write!(f, "{} cannot be had together", list(quoted))?,
        }
        for (number, fact) in self.facts.iter().enumerate() {
            if number == LINES {
                return write!(f, "\n  … and {} lines more", self.facts.len() - LINES);
            }
            write!(f, "\n  {fact}")?;
        }
        Ok(())
    }
}

impl NoSolution {
    /// What would help, in one sentence.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        (!self.hints.is_empty()).then(|| self.hints.join("; or "))
    }
}

/// What the leaves of a derivation say.
#[derive(Default)]
struct Leaves {
    /// Releases of the first need releases of the second.
    needs: Vec<(Node, Ranges<Version>, Node, Ranges<Version>)>,
    /// There are none of these.
    none: Vec<(Node, Ranges<Version>)>,
    /// These are of no use, and why.
    unusable: Vec<(Node, Ranges<Version>, String)>,
}

impl Leaves {
    fn of(tree: &Tree) -> Leaves {
        let mut leaves = Leaves::default();
        // Not by recursion: a long search makes a deep tree. Shared parts are met once.
        let mut seen = BTreeSet::new();
        let mut todo = vec![tree];
        while let Some(tree) = todo.pop() {
            match tree {
                DerivationTree::Derived(derived) => {
                    let fresh = derived.shared_id.is_none_or(|id| seen.insert(id));
                    if fresh {
                        todo.push(&derived.cause2);
                        todo.push(&derived.cause1);
                    }
                }
                DerivationTree::External(External::NotRoot(..)) => {}
                DerivationTree::External(External::NoVersions(node, range)) => {
                    leaves.none.push((node.clone(), range.clone()));
                }
                DerivationTree::External(External::FromDependencyOf(from, r1, to, r2)) => {
                    let need = (from.clone(), r1.clone(), to.clone(), r2.clone());
                    if !leaves.needs.contains(&need) {
                        leaves.needs.push(need);
                    }
                }
                DerivationTree::External(External::Custom(node, range, reason)) => {
                    leaves
                        .unusable
                        .push((node.clone(), range.clone(), reason.clone()));
                }
            }
        }
        leaves
    }
}

/// Projects of which pre-releases would fit where the search found nothing.
pub(super) fn prereleases_that_might_help(
    provider: &Provider<'_>,
    tree: &Tree,
) -> BTreeSet<PackageName> {
    let leaves = Leaves::of(tree);
    let state = provider.state.borrow();
    let learned = &state.learned.prereleases;
    let helps = |(node, range): &(Node, Ranges<Version>)| {
        let name = node.name()?;
        let project = provider.scout.known(name)?;
        let mut releases = project.releases.iter();
        let pre = releases.any(|(version, release)| {
            !version.is_stable()
                && release.wheel.is_ok()
                && release.yanked.is_none()
                && range.contains(version)
        });
        // Where a stable release fits, its lack of a wheel is the news, and not that there is a
        // pre-release with one.
        let stable = project.releases.iter().any(|(version, release)| {
            version.is_stable() && release.yanked.is_none() && range.contains(version)
        });
        // And where one was tried, the trouble is with what it needs.
        let (low, high) = range.bounding_range()?;
        let hull: Ranges<Version> =
            Ranges::from_range_bounds::<_, Version>((low.cloned(), high.cloned()));
        let mut tried = state.tried.get(name).into_iter().flatten();
        let stable = stable || tried.any(|tried| tried.is_stable() && hull.contains(tried));
        (pre && !stable && !learned.contains(name)).then(|| name.clone())
    };
    leaves.none.iter().filter_map(helps).collect()
}

/// Explains a failure.
pub(super) fn explain(provider: &Provider<'_>, tree: &Tree) -> NoSolution {
    let mut report = Reporter {
        provider,
        leaves: Leaves::of(tree),
        facts: Vec::new(),
        hints: Vec::new(),
        told: BTreeSet::new(),
    };
    let asked = report.asked();
    report.walk();
    if asked.len() > 1 && report.hints.is_empty() {
        report
            .hints
            .push("loosen one of the requirements".to_owned());
    }
    NoSolution {
        asked,
        facts: report.facts,
        hints: report.hints,
    }
}

struct Reporter<'a> {
    provider: &'a Provider<'a>,
    leaves: Leaves,
    facts: Vec<String>,
    hints: Vec<String>,
    /// Projects of which it was told why nothing of them can be used.
    told: BTreeSet<PackageName>,
}

impl Reporter<'_> {
    /// The user's requirements that are part of the problem.
    fn asked(&self) -> Vec<(String, String)> {
        let mut out: Vec<(String, String)> = Vec::new();
        for asked in &self.provider.request.requirements {
            let requirement = &asked.requirement;
            let involved = self.leaves.needs.iter().any(|(from, _, to, _)| {
                *from == Node::Root && to.name() == Some(&requirement.name)
            });
            let entry = (requirement.to_string(), asked.origin.clone());
            if involved && requirement.applies(self.provider.environment) && !out.contains(&entry) {
                out.push(entry);
            }
        }
        out
    }

    /// Tells the facts in the order of the dependencies, from the program on.
    fn walk(&mut self) {
        let mut seen: BTreeSet<PackageName> = BTreeSet::new();
        let mut todo: VecDeque<PackageName> = VecDeque::new();
        for (from, _, to, _) in &self.leaves.needs {
            if let (Node::Root, Some(name)) = (from, to.name())
                && seen.insert(name.clone())
            {
                todo.push_back(name.clone());
            }
        }
        // Whatever else plays a part comes last, for want of a way to it.
        let none = self.leaves.none.iter().map(|(node, _)| node);
        let unusable = self.leaves.unusable.iter().map(|(node, _, _)| node);
        let mut rest: Vec<PackageName> = none
            .chain(unusable)
            .filter_map(|node| node.name().cloned())
            .collect();
        rest.reverse();
        let mut given_up = Vec::new();
        while let Some(name) = todo
            .pop_front()
            .or_else(|| std::iter::from_fn(|| rest.pop()).find(|name| seen.insert(name.clone())))
        {
            self.useless_releases(&name);
            for next in self.needs_of(&name) {
                if seen.insert(next.clone()) {
                    todo.push_back(next);
                }
            }
            if self.provider.state.borrow().given_up.contains(&name) {
                given_up.push(name);
            } else {
                self.no_releases(&name);
            }
        }
        for name in given_up {
            self.given_up(&name);
        }
    }

    /// Says that older releases were left out.
    fn given_up(&mut self, name: &PackageName) {
        let state = self.provider.state.borrow();
        let Some(tried) = state.tried.get(name) else {
            return;
        };
        self.facts.push(format!(
            "{} releases of {name} were tried, and others were not",
            tried.len()
        ));
        if let Some(oldest) = tried.first()
            && self.hints.is_empty()
        {
            self.hints
                .push(format!("name an older release, as `{name}<{oldest}`"));
        }
    }

    /// What releases of a project need, as lines; gives the projects that they need.
    fn needs_of(&mut self, name: &PackageName) -> Vec<PackageName> {
        let mut by_target: BTreeMap<PackageName, Vec<(Node, Ranges<Version>)>> = BTreeMap::new();
        let mut order = Vec::new();
        for (from, versions, to, _) in &self.leaves.needs {
            let (Some(from_name), Some(target)) = (from.name(), to.name()) else {
                continue;
            };
            if from_name != name || target == name {
                continue;
            }
            if !order.contains(target) {
                order.push(target.clone());
            }
            let entry = by_target.entry(target.clone()).or_default();
            entry.push((from.clone(), versions.clone()));
        }
        for target in &order {
            let sources = by_target.remove(target).unwrap_or_default();
            if let Some(line) = self.need_line(name, target, &sources) {
                self.facts.push(line);
            }
        }
        order
    }

    /// As `pandas 2.0 to 2.3.3 need numpy>=1.22.4`.
    fn need_line(
        &self,
        name: &PackageName,
        target: &PackageName,
        sources: &[(Node, Ranges<Version>)],
    ) -> Option<String> {
        let state = self.provider.state.borrow();
        let tried = state.tried.get(name)?;
        // What each of the releases says, in its own words.
        let mut texts: BTreeMap<&Version, BTreeSet<String>> = BTreeMap::new();
        for version in tried {
            for (node, range) in sources {
                if !range.contains(version) {
                    continue;
                }
                let extra = match node {
                    Node::Extra(_, extra) => Some(extra),
                    _ => None,
                };
                let Ok(metadata) = self.provider.metadata(name, version) else {
                    continue;
                };
                let needs = self.provider.needs(&metadata, extra);
                let needs = needs.filter(|need| need.name == *target);
                texts
                    .entry(version)
                    .or_default()
                    .extend(needs.map(ToString::to_string));
            }
        }
        texts.retain(|_, needs| !needs.is_empty());
        let (newest, text) = texts.last_key_value()?;
        let (oldest, _) = texts.first_key_value()?;
        let text = list(text.iter());
        let extra = sources.iter().find_map(|(node, _)| match node {
            Node::Extra(_, extra) => Some(format!("[{extra}]")),
            _ => None,
        });
        let who = format!("{name}{}", extra.unwrap_or_default());
        if texts.len() == 1 {
            return Some(format!("{who} {newest} needs {text}"));
        }
        if texts.values().all(|needs| list(needs.iter()) == text) {
            return Some(format!("{who} {oldest} to {newest} need {text}"));
        }
        Some(format!(
            "{who} {oldest} to {newest} need {target} ({newest} needs {text})"
        ))
    }

    /// Releases that turned out to be of no use when they were looked at.
    fn useless_releases(&mut self, name: &PackageName) {
        let mut reasons: Vec<(&String, Vec<&Version>)> = Vec::new();
        let state = self.provider.state.borrow();
        for (node, range, reason) in &self.leaves.unusable {
            if node.name() != Some(name) {
                continue;
            }
            let versions = state.tried.get(name).into_iter().flatten();
            let versions = versions.filter(|version| range.contains(*version));
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, known)) => known.extend(versions),
                None => reasons.push((reason, versions.collect())),
            }
        }
        for (reason, mut versions) in reasons {
            versions.sort();
            versions.dedup();
            let line = match versions.as_slice() {
                [] => format!("{name} {reason}"),
                [one] => format!("{name} {one} {reason}"),
                [first, .., last] => format!("{name} {first} to {last}: each {reason}"),
            };
            self.facts.push(line);
        }
    }

    /// Why a project has no release that fits.
    fn no_releases(&mut self, name: &PackageName) {
        let mut range = Ranges::empty();
        for (node, none) in &self.leaves.none {
            if node.name() == Some(name) {
                range = range.union(none);
            }
        }
        // What every release of a project that was asked for needs is part of the story even if
        // the story does not end here.
        if range.is_empty() || !self.told.insert(name.clone()) {
            return;
        }
        if let Some(direct) = self.provider.direct.get(name) {
            let version = &direct.metadata.version;
            self.facts.push(format!(
                "{name} is {version}, since it was named by its place"
            ));
            return;
        }
        let Some(project) = self.provider.scout.known(name) else {
            return;
        };
        if project.releases.is_empty() {
            let index = match project.index.as_str() {
                "" => "in the links (no index is used)".to_owned(),
                index => format!("on {index}"),
            };
            self.facts
                .push(format!("there is no project {name} {index}"));
            self.hints
                .push("check its spelling, or name its index with --extra-index-url".to_owned());
            return;
        }
        let wanted = self.wanted(name);
        let fitting: Vec<(&Version, &Release)> = project
            .releases
            .iter()
            .rev()
            .filter(|(version, _)| range.contains(*version) && wanted.contains(*version))
            .collect();
        self.tell(name, &project, &fitting);
    }

    /// The range in which everybody wants a project, as far as it is known.
    fn wanted(&self, name: &PackageName) -> Ranges<Version> {
        let needs = self.leaves.needs.iter();
        let ranges =
            needs.filter(|(from, _, to, _)| to.name() == Some(name) && from.name() != Some(name));
        let all = ranges.fold(Ranges::empty(), |all, (_, _, _, range)| all.union(range));
        if all.is_empty() { Ranges::full() } else { all }
    }

    /// Tells why none of these releases will do, and what would.
    fn tell(&mut self, name: &PackageName, project: &Project, fitting: &[(&Version, &Release)]) {
        let stable = fitting.iter().find(|(version, _)| version.is_stable());
        let Some((version, release)) = stable.or(fitting.first()) else {
            self.nothing_fits(name, project);
            return;
        };
        let version = *version;
        match (&release.wheel, &release.yanked) {
            (Err(unusable), _) => {
                let same = fitting.len() > 1
                    && fitting.iter().all(|(_, release)| {
                        release
                            .wheel
                            .as_ref()
                            .is_err_and(|other| alike(other, unusable))
                    });
                let all = match (same, unusable) {
                    (true, Unusable::Native(_)) => "; so it is with every release that fits",
                    (true, _) => ", as every release that fits",
                    (false, _) => "",
                };
                self.facts.push(format!("{name} {version} {unusable}{all}"));
                self.advise(name, project, version, unusable);
            }
            (Ok(_), Some(reason)) => {
                let reason = match reason.trim() {
                    "" => String::new(),
                    reason => format!(": {reason}"),
                };
                self.facts.push(format!(
                    "{name} {version} was withdrawn from the index{reason}"
                ));
                self.hints.push(format!(
                    "pin it with `{name}=={version}` to have it all the same"
                ));
            }
            (Ok(_), None) if !version.is_stable() => {
                self.facts
                    .push(format!("{name} {version} is a pre-release"));
            }
            (Ok(_), None) => self.nothing_fits(name, project),
        }
    }

    /// No release is in the range at all.
    fn nothing_fits(&mut self, name: &PackageName, project: &Project) {
        // Two that contradict each other are told by what they need.
        let needs = self.leaves.needs.iter();
        let wanted = needs.filter(|(_, _, to, _)| to.name() == Some(name));
        let mut ranges: Vec<&Ranges<Version>> = Vec::new();
        for (_, _, _, range) in wanted {
            if !ranges.contains(&range) {
                ranges.push(range);
            }
        }
        // So are those that were tried: their own needs are told.
        let state = self.provider.state.borrow();
        let tried = state.tried.get(name);
        if tried.is_some_and(|tried| ranges.iter().any(|r| tried.iter().any(|v| r.contains(v)))) {
            return;
        }
        drop(state);
        let alone = |range: &&Ranges<Version>| {
            project
                .releases
                .keys()
                .any(|version| range.contains(version))
        };
        if ranges.len() > 1 && ranges.iter().all(alone) {
            return;
        }
        let mut versions = project.releases.keys().rev();
        let newest = versions.clone().find(|v| v.is_stable()).or(versions.next());
        if let Some(newest) = newest {
            self.facts
                .push(format!("no release of {name} fits; the newest is {newest}"));
        }
    }

    /// What would help where a release cannot be used.
    fn advise(
        &mut self,
        name: &PackageName,
        project: &Project,
        version: &Version,
        unusable: &Unusable,
    ) {
        let provider = self.provider;
        let brings = provider
            .request
            .alternatives
            .iter()
            .find(|other| other.packages.contains(name));
        if let Some(other) = brings {
            self.hints
                .push(format!("`--python {}` brings {name}", other.python));
        }
        if let Unusable::Native(native) = unusable {
            self.advise_python(name, native);
        }
        match unusable {
            Unusable::Native(_) | Unusable::SdistOnly => {
                // Only where the user says which releases will do: what packages say of each
                // other was tried, and cannot be changed.
                let request = provider.request;
                let direct = request
                    .requirements
                    .iter()
                    .any(|asked| asked.requirement.name == *name);
                let usable = project
                    .releases
                    .iter()
                    .rev()
                    .find(|(_, release)| release.wheel.is_ok() && release.yanked.is_none());
                if let (true, Some((usable, _))) = (direct, usable) {
                    let age = if usable < version { "newest" } else { "next" };
                    self.hints.push(format!(
                        "{name} {usable} is the {age} release that runs here: ask for \
                         `{name}=={usable}`"
                    ));
                } else if unusable.has_source() && self.hints.is_empty() {
                    self.hints.push(format!(
                        "if {name} works without compiled code, build a pure wheel of it \
                         elsewhere and name its folder with --find-links"
                    ));
                }
            }
            Unusable::Python(wanted) => {
                self.hints
                    .push(format!("choose another Python with --python ({wanted})"));
            }
            Unusable::TooNew => self
                .hints
                .push("move the date of --upload-before".to_owned()),
            Unusable::Hash => self.hints.push(format!(
                "renew the hashes of {name}, if you trust its files"
            )),
            Unusable::Quarantined | Unusable::NoFiles => {}
        }
        if self.hints.is_empty() && matches!(unusable, Unusable::Native(_)) {
            self.hints.push(format!(
                "use something else than {name}: no release of it has a wheel for a Python in \
                 WebAssembly, or a pure one"
            ));
        }
    }

    /// Other Pythons that the wheels are for.
    fn advise_python(&mut self, name: &PackageName, native: &Native) {
        let here = self.provider.scout.filter().tags.platform();
        if let Some(python) = native.pythons.last() {
            self.hints.push(format!(
                "{name} has a wheel for {here} and Python {python}: `--python {python}`"
            ));
        }
        if native.pythons.is_empty() && !native.abis.is_empty() {
            self.hints.push(format!(
                "use another release of {name}, or an interpreter of the ABI that its wheels are for"
            ));
        }
        if here != Platform::Emscripten
            && let Some(python) = native.emscripten.last()
        {
            self.hints.push(format!(
                "{name} has a wheel for Emscripten and Python {python}: `--platform emscripten`"
            ));
        }
    }
}

/// Whether two reasons are of a kind.
fn alike(a: &Unusable, b: &Unusable) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// Says where an older release was taken because newer ones cannot be used: nobody should wonder
/// about it later.
pub(super) fn held_back(provider: &Provider<'_>, resolution: &Resolution) -> Vec<String> {
    let mut notes = Vec::new();
    for package in &resolution.packages {
        let name = &package.name;
        let Some(project) = provider.scout.known(name) else {
            continue;
        };
        if provider.preference(name) == Some(&package.version) {
            continue;
        }
        let mut wanted = provider
            .constraints
            .get(name)
            .cloned()
            .unwrap_or_else(Ranges::full);
        for other in &resolution.packages {
            if other.dependencies.contains(name)
                && let Ok(metadata) = provider.metadata(&other.name, &other.version)
            {
                for extra in std::iter::once(None).chain(other.extras.iter().map(Some)) {
                    for need in provider.needs(&metadata, extra).filter(|n| n.name == *name) {
                        wanted = wanted.intersection(&need.ranges());
                    }
                }
            }
        }
        for asked in &provider.request.requirements {
            if asked.requirement.name == *name {
                wanted = wanted.intersection(&asked.requirement.ranges());
            }
        }
        let newest = project.releases.iter().rev().find(|(version, release)| {
            version.is_stable() && release.yanked.is_none() && wanted.contains(*version)
        });
        let Some((version, release)) = newest.filter(|(v, _)| **v > package.version) else {
            continue;
        };
        let why = match &release.wheel {
            Err(unusable) => unusable.to_string(),
            Ok(_) => match missing_need(provider, name, version, DEPTH) {
                Some(why) => why,
                None => continue,
            },
        };
        notes.push(format!(
            "{name} {} is used, since {name} {version} {why}",
            package.version
        ));
    }
    notes
}

/// What a release needs and cannot have, perhaps because of what that needs in turn. Only what the
/// search looked at is looked at: this is worth no further request.
fn missing_need(
    provider: &Provider<'_>,
    name: &PackageName,
    version: &Version,
    depth: usize,
) -> Option<String> {
    let is_tried = |name: &PackageName, version: &Version| {
        let state = provider.state.borrow();
        let tried = state.tried.get(name);
        tried.is_some_and(|tried| tried.contains(version))
    };
    if depth == 0 || !is_tried(name, version) {
        return None;
    }
    let metadata = provider.metadata(name, version).ok()?;
    provider.needs(&metadata, None).find_map(|need| {
        if provider.installed(&need.name).is_some() || provider.direct.contains_key(&need.name) {
            return None;
        }
        let project = provider.scout.known(&need.name)?;
        let range = need.ranges();
        let releases = project.releases.iter().rev();
        let fitting = || {
            releases
                .clone()
                .filter(|(version, _)| range.contains(*version))
        };
        let usable = fitting().find(|(version, release)| {
            release.wheel.is_ok() && release.yanked.is_none() && version.is_stable()
        });
        let Some((newest, _)) = usable else {
            let (newest, release) = fitting().next()?;
            let unusable = release.wheel.as_ref().err()?;
            return Some(format!(
                "needs {need}, and {} {newest} {unusable}",
                need.name
            ));
        };
        let further = missing_need(provider, &need.name, newest, depth - 1)?;
        Some(format!(
            "needs {need}, and {} {newest} {further}",
            need.name
        ))
    })
}
