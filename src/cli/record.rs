//! Launch records: what a start came to, so that the next one like it is spared finding it out.
//!
//! A record holds a plan and what was looked at to make it. Its name is the digest of all that a
//! plan depends on and that costs nothing to ask for: the command line, the working directory, the
//! variables that pyw reads, the terminals. A start that finds one looks at files and folders
//! (times, sizes, numbers, where links lead to) and reads none. Whatever differs, it is as if there
//! were no record.
//!
//! What is recorded is a start that left nothing to be done or told: packages and modules are
//! compiled, the snapshot is made, no note was printed. Projects, requirement files, questions of
//! trust and the like are looked at anew each time. The program's text and arguments and the
//! variables that it is given are never written down, as they may be secrets. A record names what is
//! executed, so one that another user could have written counts for nothing.

use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::context::{Context, current_folder};
use super::options::RunOptions;
use super::split::{Program, Split};
use crate::launch;
use crate::package::Brief;
use crate::plan::Plan;
use crate::request::inherited;
use crate::store::stamp::Stamp;
use crate::store::{Kind, Sha256, Store, usage};
use crate::ui::progress;

/// The cache that holds them.
const CACHE: &str = "launches";

/// The most records that are kept, roughly.
const MOST: usize = 1000;

/// What was changed less than this before pyw began may have been changed after it was read, by a
/// clock that moves in steps.
const SETTLED: Duration = Duration::from_millis(50);

/// Variables besides pyw's own, and those that programs inherit, that decide what a start does.
const VARIABLES: [&str; 8] = [
    "HOME",
    "PATH",
    "TMPDIR",
    "USERPROFILE",
    "VIRTUAL_ENV",
    "XDG_CONFIG_DIRS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];

/// Beginnings of further ones: pyw's own, and those that name indexes of packages.
const FAMILIES: [&str; 3] = ["PYW_", "PIP_", "UV_"];

/// The name of a record, and where the program's own words begin.
pub struct Key {
    store: Store,
    name: String,
    /// Program text and arguments.
    tail: Vec<String>,
    /// When pyw began.
    began: SystemTime,
}

/// A start that was found out before.
pub struct Found {
    pub store: Store,
    pub plan: Plan,
    /// What of the store the plan needs.
    pub needs: Vec<Utf8PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    /// Without the program's text and arguments.
    plan: Plan,
    needs: Vec<Utf8PathBuf>,
    files: Vec<(Utf8PathBuf, Option<Stamp>)>,
    places: Vec<Place>,
    resolution: Option<Resolved>,
    is_fenced: bool,
    is_quiet: bool,
}

/// Which versions of packages were chosen, in a file whose time tells when it was used last.
#[derive(Serialize, Deserialize)]
struct Resolved {
    file: Utf8PathBuf,
    sha256: Sha256,
}

impl Resolved {
    fn of(file: &Utf8Path) -> Option<Self> {
        Some(Self {
            file: file.to_owned(),
            sha256: Sha256::of(&std::fs::read(file).ok()?),
        })
    }

    fn is_current(&self) -> bool {
        let is_same = Self::of(&self.file).is_some_and(|now| now.sha256 == self.sha256);
        if is_same && let Ok(file) = std::fs::File::open(&self.file) {
            usage::touch(&file);
        }
        is_same
    }
}

/// A path as it was written, and what it leads to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    path: Utf8PathBuf,
    real: Utf8PathBuf,
    is_folder: bool,
}

impl Place {
    fn of(path: &Utf8Path) -> Option<Self> {
        let real = path.canonicalize_utf8().ok()?;
        Some(Self {
            is_folder: real.is_dir(),
            path: path.to_owned(),
            real,
        })
    }
}

impl Key {
    /// The key of a command line; `None` if its starts are not recorded.
    #[must_use]
    pub fn of(split: &Split) -> Option<Self> {
        if split.help || split.verbose {
            return None;
        }
        let began = SystemTime::now();
        let mut text = format!("{}\n", env!("CARGO_PKG_VERSION"));
        let mut add = |part: &str| {
            // With its length, so that no two lists make one text.
            text.push_str(&part.len().to_string());
            text.push(' ');
            text.push_str(part);
        };
        add(&format!("{:?}", Stamp::of(&executable()?)));
        add(current_folder().ok()?.as_str());
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            let is_read = inherited(name)
                || VARIABLES.contains(&name)
                || FAMILIES.iter().any(|family| name.starts_with(family));
            if is_read {
                add(name);
                add(value.to_str()?);
            }
        }
        let streams = [
            std::io::stdin().is_terminal(),
            std::io::stdout().is_terminal(),
            std::io::stderr().is_terminal(),
        ];
        add(&format!("{streams:?} {:?}", launch::terminal_size()));
        let mut tail = Vec::new();
        for list in [&split.own, &split.python] {
            add(&list.len().to_string());
            list.iter().for_each(|part| add(part));
        }
        let (kind, word) = match &split.program {
            Program::Script(path) => ("script", path.as_str()),
            Program::Module(name) => ("module", name.as_str()),
            Program::Stdin => ("stdin", ""),
            Program::Prompt => ("prompt", ""),
            Program::Code(code) => {
                tail.push(code.clone());
                ("code", code.as_str())
            }
        };
        add(kind);
        add(word);
        tail.extend(split.args.iter().cloned());
        Some(Self {
            store: Store::at(Store::default_root().ok()?),
            name: Sha256::of(text.as_bytes()).to_string(),
            tail,
            began,
        })
    }

    /// The start of this name, if nothing that it depends on has changed.
    #[must_use]
    pub fn find(&self) -> Option<Found> {
        let text = self.store.own_text(CACHE, &self.name)?;
        let (old, record) = text.split_once('\n')?;
        let mut record: Record = match old {
            "" => serde_json::from_str(record),
            old => {
                let root = launch::scratch::choose();
                serde_json::from_str(&record.replace(old, &in_json(&root)?))
            }
        }
        .ok()?;
        let same = |(path, stamp): &(Utf8PathBuf, Option<Stamp>)| Stamp::of(path) == *stamp;
        let is_current = record.files.iter().all(same)
            && record
                .places
                .iter()
                .all(|place| Place::of(&place.path).is_some_and(|now| now == *place))
            && record.is_fenced == launch::fence::abilities().missing().is_none()
            && record.resolution.as_ref().is_none_or(Resolved::is_current);
        if !is_current {
            return None;
        }
        progress::init(super::context::verbosity(false, record.is_quiet));
        record.plan.args.extend(self.tail.iter().cloned());
        Some(Found {
            store: self.store.clone(),
            plan: record.plan,
            needs: record.needs,
        })
    }

    /// Writes down what a start came to, where that can be used again.
    pub fn record(self, start: &Start<'_>) {
        let Some(record) = self.worth_recording(start) else {
            return;
        };
        let root = match &record.plan.scratch {
            Some(scratch) => in_json(&scratch.root),
            None => Some(String::new()),
        };
        if let (Some(root), Ok(text)) = (root, serde_json::to_string(&record)) {
            let text = format!("{root}\n{text}");
            self.store.put_text(CACHE, &self.name, &text);
            // Every now and then.
            if self.name.starts_with("00") {
                self.store.keep_newest(CACHE, MOST);
            }
        }
    }

    fn worth_recording(&self, start: &Start<'_>) -> Option<Record> {
        let (config, brief) = (&start.context.config, start.brief);
        let is_plain = start.is_settled
            && !progress::was_eventful()
            && !start.options.verbose
            && !start.options.packages.names_files()
            && brief.is_by_name()
            && config.env.is_empty()
            && config.tmp_size.value.is_none()
            && *start.context.store.root() == *self.store.root();
        if !is_plain {
            return None;
        }
        let mut plan = start.plan.clone();
        let kept = plan.args.len().checked_sub(self.tail.len())?;
        // What a host script is told holds them as well.
        let is_told = plan.scratch.as_ref().is_some_and(|s| !s.texts.is_empty());
        if is_told || plan.args[kept..] != self.tail {
            return None;
        }
        plan.args.truncate(kept);
        plan.grants.clear();
        let mut places = Vec::new();
        for path in start.places.iter().chain(&start.context.home) {
            places.push(Place::of(path)?);
        }
        Some(Record {
            needs: self.in_store(start.needs),
            files: self.stamped(self.files(start, &plan))?,
            places,
            resolution: match &start.resolution {
                Some(file) => Some(Resolved::of(file)?),
                None => None,
            },
            is_fenced: plan.fence.is_some(),
            is_quiet: progress::is_quiet(),
            plan,
        })
    }

    /// Other paths are nobody's to prune.
    fn in_store(&self, paths: &[Utf8PathBuf]) -> Vec<Utf8PathBuf> {
        let inside = |path: &&Utf8PathBuf| path.starts_with(self.store.root());
        paths.iter().filter(inside).cloned().collect()
    }

    /// All that was looked at, there or not.
    fn files(&self, start: &Start<'_>, plan: &Plan) -> Vec<Utf8PathBuf> {
        let mut files = start.context.config.looked_for.clone();
        files.extend(start.files.iter().cloned());
        files.extend(start.brief.lock.clone());
        files.push(plan.program.clone());
        for kind in [Kind::Interpreter, Kind::Runtime] {
            files.push(self.store.root().join(kind.folder()));
        }
        if let Some(folder) = start.context.config_folder() {
            let folder = folder.join("runtimes");
            let listing = folder.read_dir_utf8().into_iter().flatten().flatten();
            files.extend(listing.map(camino::Utf8DirEntry::into_path));
            files.push(folder);
        }
        // A runtime that is installed there may be the better one.
        let path = std::env::var_os("PATH").unwrap_or_default();
        files.extend(std::env::split_paths(&path).filter_map(|path| path.try_into().ok()));
        files
    }

    fn stamped(&self, files: Vec<Utf8PathBuf>) -> Option<Vec<(Utf8PathBuf, Option<Stamp>)>> {
        let before = self.began.checked_sub(SETTLED)?;
        let stamped = files.into_iter().map(|file| {
            let stamp = Stamp::of(&file);
            let is_settled = stamp.is_none_or(|stamp| stamp.is_older_than(before));
            is_settled.then_some((file, stamp))
        });
        stamped.collect()
    }
}

/// A start, as it was found out.
pub struct Start<'a> {
    pub context: &'a Context,
    pub options: &'a RunOptions,
    pub brief: &'a Brief,
    pub plan: &'a Plan,
    pub needs: &'a [Utf8PathBuf],
    /// A later start would not be made better than this one.
    pub is_settled: bool,
    /// What else was looked at to find it out.
    pub files: Vec<Utf8PathBuf>,
    /// The paths that the request names.
    pub places: Vec<Utf8PathBuf>,
    /// The record of the versions that were chosen.
    pub resolution: Option<Utf8PathBuf>,
}

/// pyw itself: another build makes other plans.
fn executable() -> Option<Utf8PathBuf> {
    Utf8PathBuf::from_path_buf(std::env::current_exe().ok()?).ok()
}

/// A path as it stands inside a text of JSON.
fn in_json(path: &Utf8Path) -> Option<String> {
    let text = serde_json::to_string(path).ok()?;
    Some(text.trim_matches('"').to_owned())
}
