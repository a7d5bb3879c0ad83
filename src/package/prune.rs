//! What of the store is worth keeping: entries that were used lately, and what these are made of.
//!
//! The store itself knows ages and who uses what; here stands what entries mean to each other. A
//! wheel of an environment that stays is kept however old it is: its files are the environment's
//! files, so that removing it would free nothing.

use std::collections::HashSet;
use std::time::Duration;

use super::environment::{self, Environment};
use super::{bytecode, wheel};
use crate::interpreter;
use crate::store::prune::Pruned;
use crate::store::{Entry, Kind, Store, StoreError};

/// The caches that only pyw itself writes; the others are runtimes'.
const OWN_CACHES: [&str; 5] = ["metadata", "pages", "probes", "resolutions", "wheels"];

/// Removes what nobody used for so long, what another release of pyw left and this one cannot
/// use, and plain environments that compiled ones have replaced. With `dry` it only tells.
///
/// # Errors
/// The store cannot be listed or written.
pub fn prune(store: &Store, unused: Duration, dry: bool) -> Result<Pruned, StoreError> {
    let mut pruning = store.pruning(dry);
    // First of all, since removing entries sweeps them as well, and does not tell.
    pruning.leftovers()?;
    pruning.entries(Kind::Environment, |key, age| {
        let replaced = || {
            let better = environment::compiled_key(key)?;
            store.get(Kind::Environment, &better)
        };
        age >= unused || !environment::is_current(key) || replaced().is_some()
    })?;
    let parts = Parts::of_what_stays(store, pruning.done())?;
    pruning.entries(Kind::Bytecode, |key, age| {
        let needed = age < unused || parts.compiled.contains(bytecode::wheel_of(key));
        !needed || !bytecode::is_current(key)
    })?;
    pruning.entries(Kind::Wheel, |key, age| {
        let needed = age < unused || parts.wheels.contains(key);
        !needed || !wheel::is_current(key)
    })?;
    pruning.entries(Kind::Interpreter, |key, age| {
        age >= unused || !interpreter::is_current(key)
    })?;
    pruning.entries(Kind::Module, |key, age| {
        age >= unused || !interpreter::is_current_module(key)
    })?;
    pruning.entries(Kind::Snapshot, |key, age| {
        age >= unused || !interpreter::snapshot::is_current(key)
    })?;
    for kind in [Kind::Compiled, Kind::Runtime, Kind::Root] {
        pruning.entries(kind, |_, age| age >= unused)?;
    }
    pruning.caches(unused, |_| false)?;
    pruning.downloads(unused)?;
    Ok(pruning.finish())
}

/// Removes everything that is not in use.
///
/// # Errors
/// The store cannot be listed or written.
pub fn clear(store: &Store) -> Result<Pruned, StoreError> {
    let mut pruning = store.pruning(false);
    pruning.leftovers()?;
    for kind in Kind::ALL {
        pruning.entries(kind, |_, _| true)?;
    }
    // A runtime that is running may be writing into its cache right now.
    let running = !pruning.done().in_use.is_empty();
    pruning.caches(Duration::ZERO, |name| {
        running && !OWN_CACHES.contains(&name)
    })?;
    pruning.downloads(Duration::ZERO)?;
    Ok(pruning.finish())
}

/// What environments are made of.
#[derive(Default)]
struct Parts {
    wheels: HashSet<String>,
    /// The wheels of those that are compiled.
    compiled: HashSet<String>,
}

impl Parts {
    fn of_what_stays(store: &Store, pruned: &Pruned) -> Result<Parts, StoreError> {
        let gone: HashSet<&str> = pruned.removed.iter().map(|(_, key)| key.as_str()).collect();
        let mut parts = Parts::default();
        for Entry { key, path } in store.list(Kind::Environment)? {
            // One that cannot be read keeps nothing.
            let Ok(environment) = Environment::open(&path) else {
                continue;
            };
            if gone.contains(key.as_str()) {
                continue;
            }
            for package in &environment.info.packages {
                let wheel = wheel::key(package.sha256);
                if environment.is_compiled() {
                    parts.compiled.insert(wheel.clone());
                }
                parts.wheels.insert(wheel);
            }
        }
        Ok(parts)
    }
}
