//! Runs ahead of the search: fetches what it will most likely ask for, many things at a time.
//!
//! The search decides one package after the other and would wait for the network each time. The
//! scout follows the dependencies on its own, always by the newest release that fits, so that
//! most answers are there before the question. What it fetches in vain does no harm, and what
//! the search asks for first the search fetches itself: results never depend on who was faster.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use pep440_rs::Version;
use pep508_rs::MarkerEnvironment;
use pubgrub::Ranges;

use super::candidate::{Filter, Project};
use super::error::PackageError;
use super::index::{Index, MetadataError};
use super::metadata::Metadata;
use super::name::{ExtraName, PackageName};

/// Requests in flight at most.
const THREADS: usize = 24;
/// No program needs more projects: an index that makes up ever more of them is up to no good.
const PROJECTS: usize = 20_000;

/// What a fetch gave; errors are shared by all who asked.
type Fetched<T> = Result<Arc<T>, Arc<Failure>>;
type Cells<K, T> = Mutex<HashMap<K, Arc<OnceLock<Fetched<T>>>>>;

/// Why a fetch gave nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// This release is of no use.
    Wrong(String),
    /// Nothing can be done without it.
    Fatal(Arc<PackageError>),
}

impl Failure {
    /// The error, where it is one.
    pub fn error(&self) -> PackageError {
        match self {
            Failure::Wrong(problem) => PackageError::Internal {
                problem: problem.clone(),
            },
            Failure::Fatal(error) => PackageError::Shared(Arc::clone(error)),
        }
    }
}

/// Knows what was fetched, and fetches ahead. When it is dropped it stops.
#[derive(Debug)]
pub(super) struct Scout {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    index: Index,
    filter: Filter,
    environment: MarkerEnvironment,
    /// Projects that no index is asked for.
    settled: BTreeSet<PackageName>,
    preferences: BTreeMap<PackageName, Version>,
    projects: Cells<PackageName, Project>,
    metadata: Cells<(PackageName, Version), Metadata>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    seen: HashSet<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Job {
    /// Find the release that a requirement most likely gets, and go on with what that needs.
    Follow(PackageName, BTreeSet<ExtraName>, Ranges<Version>),
    /// Get the metadata of a release.
    Metadata(PackageName, Version),
}

impl Drop for Scout {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.closed = true;
        queue.jobs.clear();
        self.shared.wake.notify_all();
    }
}

impl Scout {
    pub fn new(
        index: &Index,
        filter: Filter,
        environment: &MarkerEnvironment,
        settled: BTreeSet<PackageName>,
        preferences: BTreeMap<PackageName, Version>,
    ) -> Self {
        Scout {
            shared: Arc::new(Shared {
                index: index.clone(),
                filter,
                environment: environment.clone(),
                settled,
                preferences,
                projects: Mutex::default(),
                metadata: Mutex::default(),
                queue: Mutex::default(),
                wake: Condvar::new(),
            }),
        }
    }

    pub fn index(&self) -> &Index {
        &self.shared.index
    }

    pub fn filter(&self) -> &Filter {
        &self.shared.filter
    }

    /// What the indexes have of a project.
    pub fn project(&self, name: &PackageName) -> Fetched<Project> {
        self.shared.project(name)
    }

    /// What the indexes have of a project, if that was asked before.
    pub fn known(&self, name: &PackageName) -> Option<Arc<Project>> {
        let projects = lock(&self.shared.projects);
        projects.get(name)?.get()?.as_ref().ok().cloned()
    }

    /// The metadata of a release that has a wheel.
    pub fn metadata(&self, name: &PackageName, version: &Version) -> Fetched<Metadata> {
        self.shared.metadata(name, version)
    }

    /// Says that a requirement will be met.
    pub fn follow(
        &self,
        name: &PackageName,
        extras: &BTreeSet<ExtraName>,
        ranges: &Ranges<Version>,
    ) {
        let job = Job::Follow(name.clone(), extras.clone(), ranges.clone());
        Shared::push(&self.shared, job);
    }

    /// Says that the metadata of a release may be asked for.
    pub fn prefetch(&self, name: &PackageName, version: &Version) {
        let job = Job::Metadata(name.clone(), version.clone());
        Shared::push(&self.shared, job);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    fn push(shared: &Arc<Shared>, job: Job) {
        let mut queue = shared.queue();
        if queue.closed || !queue.seen.insert(job.clone()) {
            return;
        }
        queue.jobs.push_back(job);
        if queue.idle >= queue.jobs.len() || queue.threads >= THREADS {
            shared.wake.notify_one();
            return;
        }
        queue.threads += 1;
        drop(queue);
        let worker = Arc::clone(shared);
        let spawned = std::thread::Builder::new()
            .name("scout".to_owned())
            .spawn(move || Shared::work(&worker));
        if spawned.is_err() {
            // Then the search does it all itself.
            shared.queue().threads -= 1;
        }
    }

    fn work(shared: &Arc<Shared>) {
        loop {
            let mut queue = shared.queue();
            let job = loop {
                if queue.closed {
                    return;
                }
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                queue.idle += 1;
                queue = shared
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            };
            drop(queue);
            match job {
                Job::Follow(name, extras, ranges) => {
                    Shared::follow(shared, &name, &extras, &ranges);
                }
                // A failure waits in its cell for the search to ask.
                Job::Metadata(name, version) => drop(shared.metadata(&name, &version)),
            }
        }
    }

    fn follow(
        shared: &Arc<Shared>,
        name: &PackageName,
        extras: &BTreeSet<ExtraName>,
        ranges: &Ranges<Version>,
    ) {
        if shared.settled.contains(name) {
            return;
        }
        let Ok(project) = shared.project(name) else {
            return;
        };
        let preferred = shared.preferences.get(name);
        let preferred = preferred.filter(|version| ranges.contains(*version));
        let newest = || {
            let fitting = project.releases.iter().rev().filter(|(version, release)| {
                release.wheel.is_ok() && release.yanked.is_none() && ranges.contains(*version)
            });
            let stable = fitting.clone().find(|(version, _)| version.is_stable());
            stable.or_else(|| fitting.clone().next()).map(|(v, _)| v)
        };
        let Some(version) = preferred.or_else(newest) else {
            return;
        };
        let Ok(metadata) = shared.metadata(name, version) else {
            return;
        };
        for need in &metadata.requires {
            let wanted = need.applies(&shared.environment)
                || extras
                    .iter()
                    .any(|extra| need.applies_for(&shared.environment, extra));
            if wanted {
                let job = Job::Follow(need.name.clone(), need.extras.clone(), need.ranges());
                Shared::push(shared, job);
            }
        }
    }

    fn project(&self, name: &PackageName) -> Fetched<Project> {
        let cell = {
            let mut projects = lock(&self.projects);
            if projects.len() >= PROJECTS {
                let problem = format!("more than {PROJECTS} projects are needed");
                let error = PackageError::Direct {
                    requirement: name.to_string(),
                    problem,
                };
                return Err(Arc::new(Failure::Fatal(Arc::new(error))));
            }
            Arc::clone(projects.entry(name.clone()).or_default())
        };
        cell.get_or_init(|| {
            let project = self.index.project(name, &self.filter);
            let fatal = |error| Arc::new(Failure::Fatal(Arc::new(error)));
            project.map(Arc::new).map_err(fatal)
        })
        .clone()
    }

    fn metadata(&self, name: &PackageName, version: &Version) -> Fetched<Metadata> {
        let project = self.project(name)?;
        let key = (name.clone(), version.clone());
        let cell = Arc::clone(lock(&self.metadata).entry(key).or_default());
        cell.get_or_init(|| {
            let wrong = |problem: String| Arc::new(Failure::Wrong(problem));
            let wheel = match project.releases.get(version).map(|r| &r.wheel) {
                Some(Ok(wheel)) => wheel,
                Some(Err(unusable)) => return Err(wrong(unusable.to_string())),
                None => return Err(wrong("does not exist".to_owned())),
            };
            match self.index.metadata(wheel) {
                Ok(metadata) => Ok(Arc::new(metadata)),
                Err(MetadataError::Wrong(problem)) => Err(wrong(problem)),
                Err(MetadataError::Store(error)) => {
                    Err(Arc::new(Failure::Fatal(Arc::new(error.into()))))
                }
                Err(MetadataError::Distribution(error)) => {
                    Err(Arc::new(Failure::Fatal(Arc::new(error))))
                }
            }
        })
        .clone()
    }
}

/// Locks; a thread that panicked holding one has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
