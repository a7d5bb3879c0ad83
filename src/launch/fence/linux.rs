//! Landlock (Linux 5.13 and newer): the runtime's process can reach the plan's paths and no
//! other, whatever the runtime itself allows. Where the kernel can, also no TCP port (Linux 6.7), no
//! abstract socket and no process outside (6.12); the system-call filter holds these on all.
//!
//! Rules add up along a path, so nothing can be taken back below a folder that was granted; the
//! planner refuses such sandboxes. Landlock does not cover metadata: times and modes of files that
//! may only be read can still be changed by a runtime that lets its guest do so.

use std::os::fd::OwnedFd;

use camino::{Utf8Path, Utf8PathBuf};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{calls, metadata};
use crate::plan::{Abilities, Confinement, Fence};

/// The rights that are handled: all of the file system as of Linux 6.2, where truncation, without
/// which a read-only mount is not read-only, came in (ABI 3).
const HANDLED: ABI = ABI::V3;

/// What this kernel can do.
#[must_use]
pub fn abilities() -> Fence {
    let paths = match ruleset(false) {
        Ok(_) => Abilities::Available("fence (Landlock)".into()),
        Err(reason) => Abilities::Missing(reason),
    };
    // What a dynamically linked program needs to start. A folder that isn't there is left out
    // when the rules are made.
    let system = [
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/etc/ld.so.cache",
    ]
    .map(Utf8PathBuf::from)
    .into();
    let calls = match calls::ready() {
        Ok(()) => Abilities::Available("fence (seccomp)".into()),
        Err(reason) => Abilities::Missing(reason),
    };
    Fence {
        paths,
        calls,
        // Found out only where they are needed.
        mounts: Abilities::default(),
        system,
    }
}

/// As much as this kernel can: what came in after [`HANDLED`] is wanted whole or not at all, so that
/// what is put on is always fully enforced.
fn ruleset(network: bool) -> Result<RulesetCreated, String> {
    let files = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(HANDLED))
    };
    let ports = || match network {
        true => files(),
        false => files()?.handle_access(AccessNet::from_all(ABI::V4)),
    };
    let scopes = || ports()?.scope(Scope::from_all(ABI::V6));
    scopes()
        .and_then(Ruleset::create)
        .or_else(|_| ports()?.create())
        .or_else(|_| files()?.create())
        .map_err(|e| {
            format!(
                "this kernel has no Landlock of Linux 6.2 or newer, or it is switched off ({e})"
            )
        })
}

/// Rules that are ready to be put on.
#[derive(Debug)]
pub struct Prepared {
    rules: RulesetCreated,
    calls: Option<calls::Filter>,
    metadata: Option<metadata::Filter>,
}

impl Prepared {
    /// Makes the rules, opening every path of the confinement.
    ///
    /// # Errors
    /// Landlock is missing, or a path of the plan cannot be opened.
    pub fn new(confinement: &Confinement) -> Result<Self, String> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let run = read | AccessFs::Execute;
        let write = AccessFs::from_all(HANDLED) & !AccessFs::Execute;
        let mut rules = ruleset(confinement.network)?;
        let must = |path: &Utf8PathBuf| open(path)?.ok_or_else(|| no_rule(path, &Errno::NOENT));
        for path in &confinement.execute {
            if let Some(file) = open(path)? {
                rules = add(rules, path, file, run)?;
            }
        }
        for path in &confinement.read {
            rules = add(rules, path, must(path)?, read)?;
        }
        for path in &confinement.write {
            rules = add(rules, path, must(path)?, write)?;
        }
        // Rust's runtime opens it where a standard stream is closed.
        let null = Utf8PathBuf::from("/dev/null");
        rules = add(rules, &null, must(&null)?, write)?;
        let calls = confinement
            .calls
            .then(|| calls::Filter::new(confinement.network))
            .transpose()?;
        let metadata = confinement
            .metadata
            .then(metadata::Filter::new)
            .transpose()?;
        Ok(Self {
            rules,
            calls,
            metadata,
        })
    }

    /// Confines the calling process, for good, and all that it starts.
    ///
    /// # Errors
    /// The kernel does not enforce all of it.
    pub fn enforce(self) -> Result<(), String> {
        let status = self.rules.restrict_self().map_err(|e| e.to_string())?;
        match status.ruleset {
            RulesetStatus::FullyEnforced => {}
            other => return Err(format!("Landlock is {other:?}, not fully enforced")),
        }
        self.metadata.map_or(Ok(()), |filter| filter.enforce())?;
        self.calls.map_or(Ok(()), |filter| filter.enforce())
    }
}

fn no_rule(path: &Utf8Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot make a rule for `{path}`: {error}")
}

/// A path to make a rule for; `None` if there is nothing.
fn open(path: &Utf8Path) -> Result<Option<OwnedFd>, String> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match rustix::fs::open(path.as_std_path(), flags, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(no_rule(path, &error)),
    }
}

fn add(
    rules: RulesetCreated,
    path: &Utf8Path,
    file: OwnedFd,
    rights: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, String> {
    let seen = rustix::fs::fstat(&file).map_err(|error| no_rule(path, &error))?;
    // Rights on the contents of a folder cannot be given for a file.
    let rights = match FileType::from_raw_mode(seen.st_mode) {
        FileType::Directory => rights,
        _ => rights & AccessFs::from_file(HANDLED),
    };
    rules
        .add_rule(PathBeneath::new(file, rights))
        .map_err(|error| no_rule(path, &error))
}
