//! Systems on which pyw has no fence yet.

use camino::Utf8Path;

use crate::plan::{Abilities, Confinement, Fence};

/// Nothing, with the reason that users are shown.
#[must_use]
pub fn abilities() -> Fence {
    let why = why();
    Fence {
        paths: Abilities::Missing(why.clone()),
        calls: Abilities::Missing(why.clone()),
        mounts: Abilities::Missing(why),
        system: Vec::new(),
    }
}

fn why() -> String {
    format!("pyw has no fence on {} yet", std::env::consts::OS)
}

/// Nothing either.
#[must_use]
pub fn own_mounts() -> Abilities {
    Abilities::Missing(why())
}

/// Never made: the planner refuses a size.
#[derive(Debug)]
pub struct Limited;

/// # Errors
/// Always.
pub fn limit(_: &Utf8Path, _: u64) -> std::io::Result<Limited> {
    Err(std::io::Error::other(why()))
}

/// There are none to give up.
///
/// # Errors
/// Never.
pub fn drop_privileges() -> std::io::Result<()> {
    Ok(())
}

/// Never made: the planner asks for no confinement where there is none.
#[derive(Debug)]
pub struct Prepared;

impl Prepared {
    /// # Errors
    /// Always.
    pub fn new(_: &Confinement) -> Result<Self, String> {
        Err("this system has no fence".into())
    }

    /// # Errors
    /// Always.
    pub fn enforce(self) -> Result<(), String> {
        Err("this system has no fence".into())
    }
}
