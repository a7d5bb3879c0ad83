//! A brief: the packages that a program is to have, as they are written down in its header, its
//! project, on the command line and in files. Nothing is looked up yet; that is what
//! [`super::blueprint`] does.
//!
//! What a script or a project asks for was written by somebody whom the user may not trust. It may
//! name packages of an index and addresses, but of this machine only what the program sees anyway:
//! a wheel or folder elsewhere would be a grant, and has to be named by the user.

use std::collections::BTreeSet;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use pep440_rs::VersionSpecifiers;

use super::error::PackageError;
use super::lock;
use super::name::{ExtraName, PackageName};
use super::project::{self, Project, ProjectError};
use super::requirement::{Requirement, Wanted, parse_specifiers};
use super::requirements_file;
use super::resolution::{Asked, Prereleases, Upgrade};
use super::script::{Scan, ScriptError};
use crate::config::excerpt::Excerpt;
use crate::error::Error;
use crate::store::Sha256;
use crate::store::indexes::IndexArguments;

/// What a program is to have.
#[derive(Clone, Debug, Default)]
pub struct Brief {
    /// The packages, with who asks for each.
    pub requirements: Vec<Asked>,
    /// Limits on packages, for when they are needed.
    pub constraints: Vec<Requirement>,
    /// Which indexes are asked, as far as the command line and files say so.
    pub index: IndexArguments,
    /// Whether pre-releases will do.
    pub prereleases: Prereleases,
    /// Whether every file must have one of the hashes that its requirement names.
    pub require_hashes: bool,
    /// Files must have been uploaded before.
    pub upload_before: Option<SystemTime>,
    /// Which of the versions that were chosen before are given up.
    pub upgrade: Upgrade,
    /// The versions of Python that will do.
    pub python: Vec<PythonWanted>,
    /// Folders whose modules are importable as they are: a project's own.
    pub roots: Vec<Utf8PathBuf>,
    /// The lock of the script or project, whether or not it is there.
    pub lock: Option<Utf8PathBuf>,
    /// A lock that was named instead of requirements.
    pub named_lock: Option<Utf8PathBuf>,
    /// Whether nothing but the lock will do.
    pub locked: bool,
    /// What the script or project asks for, as it is written there: what its lock is made from.
    written: Vec<String>,
    /// How many of the requirements are the script's or project's.
    own: usize,
}

/// Versions of Python that will do for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonWanted {
    /// The versions.
    pub versions: VersionSpecifiers,
    /// Who says so, as `app.py`.
    pub origin: String,
}

/// Where things are that a brief is made from.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Where pyw was started.
    pub cwd: &'a Utf8Path,
    /// The user's home, which no script or project may ask for.
    pub home: Option<&'a Utf8Path>,
}

impl Surroundings<'_> {
    /// How messages name a path: relative to the working directory where it is below.
    fn shown(&self, path: &Utf8Path) -> String {
        match path.strip_prefix(self.cwd) {
            Ok(inside) if !inside.as_str().is_empty() => inside.to_string(),
            _ => path.to_string(),
        }
    }

    /// Whether a folder is one that programs see by default.
    fn is_open(&self, folder: &Utf8Path) -> bool {
        folder.parent().is_some() && !self.home.is_some_and(|home| home.starts_with(folder))
    }
}

impl Brief {
    /// Whether the program gets nothing beside the interpreter's own library.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && self.roots.is_empty() && self.named_lock.is_none()
    }

    /// Whether its packages are known by name and version only: no folder or file of this machine
    /// is among them, and none is looked for anew.
    #[must_use]
    pub fn is_by_name(&self) -> bool {
        let by_name = |asked: &Asked| matches!(asked.requirement.wanted, Wanted::Versions(_));
        self.requirements.iter().all(by_name)
            && self.roots.is_empty()
            && self.named_lock.is_none()
            && self.constraints.is_empty()
            && self.upgrade == Upgrade::None
    }

    /// Whether there is anything that the script or project does not ask for itself.
    #[must_use]
    pub fn has_more_than_its_own(&self) -> bool {
        self.requirements.len() > self.own
            || !self.constraints.is_empty()
            || self.named_lock.is_some()
    }

    /// The digest of what the script or project asks for: whether its lock still matches. Paths
    /// and indexes of this machine are no part of it, so that a lock can be shared.
    #[must_use]
    pub fn inputs(&self) -> Sha256 {
        lock::inputs(self.written.iter().map(String::as_str))
    }

    /// What the script or project says of Python, for its lock.
    #[must_use]
    pub fn requires_python(&self) -> Option<String> {
        let all: Vec<String> = self
            .python
            .iter()
            .flat_map(|wanted| wanted.versions.iter().map(ToString::to_string))
            .collect();
        (!all.is_empty()).then(|| all.join(","))
    }

    /// Adds what the header of the script at `path`, which is absolute, asks for; one without a
    /// header asks for nothing.
    ///
    /// # Errors
    /// A requirement is wrong.
    pub fn add_script(
        &mut self,
        path: &Utf8Path,
        scan: &Scan,
        around: &Surroundings<'_>,
    ) -> Result<(), ScriptError> {
        let shown = around.shown(path);
        if let Some(line) = scan.unclosed {
            crate::ui::progress::note(&format!(
                "{shown}:{line}: this `# /// script` is never closed by a `# ///`, so it counts \
                 for nothing"
            ));
        }
        // Beside the script itself, not beside a link to it.
        let real = crate::paths::real(path);
        self.lock = Some(lock::path_for_script(&real));
        let Some(header) = &scan.header else {
            return Ok(());
        };
        let place = |span: &std::ops::Range<usize>| {
            Excerpt::new(Utf8Path::new(&shown), &scan.text, span.clone())
        };
        let wrong = |span: &std::ops::Range<usize>, message: String| ScriptError::Toml {
            excerpt: Box::new(place(span)),
            message,
        };
        for key in &header.unknown {
            crate::ui::progress::note(&format!(
                "{shown}: the header has the key `{key}`, which PEP 723 does not know"
            ));
        }
        if let Some(item) = &header.requires_python {
            let versions =
                parse_specifiers(&item.text).map_err(|problem| wrong(&item.span, problem))?;
            self.written
                .push(format!("requires-python {}", item.text.trim()));
            self.python.push(PythonWanted {
                versions,
                origin: shown.clone(),
            });
        }
        let folder = real.parent().unwrap_or(&real).to_owned();
        let seen = open_folders(&[&folder, around.cwd], around);
        for item in header.dependencies.iter().flatten() {
            let requirement = Requirement::parse(&item.text, &folder)
                .and_then(|requirement| check_place(requirement, &seen))
                .map_err(|problem| wrong(&item.span, problem))?;
            self.written.push(item.text.trim().to_owned());
            self.requirements.push(Asked {
                requirement,
                origin: shown.clone(),
            });
            self.own += 1;
        }
        Ok(())
    }

    /// Adds what a project needs, with some of its extras and dependency groups, and makes its own
    /// modules importable.
    ///
    /// # Errors
    /// It has no such extra or group; a requirement is wrong; only a build would tell what it
    /// needs.
    pub fn add_project(
        &mut self,
        project: &Project,
        extras: &[String],
        groups: &[String],
        around: &Surroundings<'_>,
    ) -> Result<(), Error> {
        let wrong = |item: &project::Item, message: String| ProjectError::Wrong {
            excerpt: Box::new(project.excerpt(item)),
            message,
        };
        let shown = around.shown(&project.file());
        self.lock = Some(lock::path_for_project(&project.root));
        if let Some(item) = &project.requires_python {
            let versions = parse_specifiers(&item.text).map_err(|problem| wrong(item, problem))?;
            self.written
                .push(format!("requires-python {}", item.text.trim()));
            self.python.push(PythonWanted {
                versions,
                origin: shown.clone(),
            });
        }
        let extras = extras
            .iter()
            .map(|text| name("--extra", text))
            .collect::<Result<Vec<ExtraName>, _>>()?;
        let mut items: Vec<(&project::Item, String)> = project
            .needs(&extras)?
            .into_iter()
            .map(|item| (item, shown.clone()))
            .collect();
        for group in groups {
            let origin = format!("{shown} (group {group})");
            let members = project.group(group)?;
            items.extend(members.into_iter().map(|item| (item, origin.clone())));
        }
        let seen = open_folders(&[&project.root, around.cwd], around);
        for (item, origin) in items {
            let requirement = Requirement::parse(&item.text, &project.root)
                .and_then(|requirement| check_place(requirement, &seen))
                .map_err(|problem| wrong(item, problem))?;
            self.written.push(item.text.trim().to_owned());
            self.requirements.push(Asked {
                requirement,
                origin,
            });
            self.own += 1;
        }
        self.roots.extend(project.import_roots());
        Ok(())
    }

    /// Adds what a `--with` names; relative paths start at the working directory.
    ///
    /// # Errors
    /// It is no requirement.
    pub fn add_requirement(
        &mut self,
        text: &str,
        around: &Surroundings<'_>,
    ) -> Result<(), PackageError> {
        let origin = "--with".to_owned();
        match Requirement::parse(text, around.cwd) {
            Ok(requirement) => self.requirements.push(Asked {
                requirement,
                origin,
            }),
            Err(problem) => return Err(PackageError::Requirement { origin, problem }),
        }
        Ok(())
    }

    /// Adds what a `--with-requirements` names: a requirements file, or a `pylock.toml`.
    ///
    /// # Errors
    /// It cannot be read or understood; a lock stands beside other requirements.
    pub fn add_file(&mut self, file: &str, around: &Surroundings<'_>) -> Result<(), PackageError> {
        if lock::is_lock(Utf8Path::new(file)) {
            if let Some(other) = self.named_lock.replace(around.cwd.join(file)) {
                return Err(PackageError::Setting {
                    setting: "--with-requirements".to_owned(),
                    problem: format!(
                        "{} and {file} are both locks, and each is a whole environment",
                        around.shown(&other)
                    ),
                });
            }
            return Ok(());
        }
        let read = requirements_file::read(Utf8Path::new(file), &variable)?;
        self.take(read);
        Ok(())
    }

    /// Adds the limits in a constraints file.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub fn add_constraints(&mut self, file: &str) -> Result<(), PackageError> {
        let read = requirements_file::read_constraints(Utf8Path::new(file), &variable)?;
        self.take(read);
        Ok(())
    }

    fn take(&mut self, file: requirements_file::RequirementsFile) {
        self.requirements.extend(file.requirements);
        self.constraints.extend(file.constraints);
        self.index.merge(file.index);
        self.require_hashes |= file.require_hashes;
        if file.prereleases {
            self.prereleases = Prereleases::Allowed;
        }
    }

    /// Has everything chosen anew, or these packages.
    ///
    /// # Errors
    /// Something is no package's name.
    pub fn set_upgrade(&mut self, all: bool, packages: &[String]) -> Result<(), PackageError> {
        let names = packages
            .iter()
            .map(|text| name("--upgrade-package", text))
            .collect::<Result<BTreeSet<PackageName>, _>>()?;
        self.upgrade = match (all, names.is_empty()) {
            (true, _) => Upgrade::All,
            (false, true) => Upgrade::None,
            (false, false) => Upgrade::Packages(names),
        };
        Ok(())
    }

    /// Checks that what was asked for makes sense together.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&self) -> Result<(), PackageError> {
        let contradiction = |setting: &str, problem: &str| {
            Err(PackageError::Setting {
                setting: setting.to_owned(),
                problem: problem.to_owned(),
            })
        };
        if self.named_lock.is_some() && !self.requirements.is_empty() {
            return contradiction(
                "--with-requirements",
                "a lock is a whole environment, so nothing else can be asked for beside it",
            );
        }
        if self.locked && self.upgrade != Upgrade::None {
            return contradiction("--locked", "what is locked cannot be upgraded as well");
        }
        if self.locked && self.named_lock.is_none() {
            if self.has_more_than_its_own() {
                return contradiction(
                    "--locked",
                    "the lock has only what the script or project itself asks for; leave \
                     --locked or the other requirements out",
                );
            }
            if self.lock.is_none() {
                return contradiction(
                    "--locked",
                    "there is neither a script nor a project here that could have a lock",
                );
            }
        }
        Ok(())
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn name<T>(setting: &str, text: &str) -> Result<T, PackageError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| PackageError::Setting {
        setting: setting.to_owned(),
        problem: error.to_string(),
    })
}

/// Those of these folders that programs see by default, without links.
fn open_folders(folders: &[&Utf8Path], around: &Surroundings<'_>) -> Vec<Utf8PathBuf> {
    folders
        .iter()
        .filter(|folder| around.is_open(folder))
        .filter_map(|folder| folder.canonicalize_utf8().ok())
        .collect()
}

/// Refuses a path outside of what the program sees.
fn check_place(requirement: Requirement, seen: &[Utf8PathBuf]) -> Result<Requirement, String> {
    let Wanted::Path(path) = &requirement.wanted else {
        return Ok(requirement);
    };
    let real = crate::paths::real(path);
    if seen.iter().any(|folder| real.starts_with(folder)) {
        return Ok(requirement);
    }
    Err(format!(
        "`{path}` lies outside of what the program sees; to allow it, ask for it yourself: \
         --with {path}"
    ))
}
