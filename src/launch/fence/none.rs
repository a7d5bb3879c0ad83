//! Systems on which pyw has no fence yet.

use crate::plan::{Abilities, Confinement, Fence};

/// Nothing, with the reason that users are shown.
#[must_use]
pub fn abilities() -> Fence {
    let why = format!("pyw has no fence on {} yet", std::env::consts::OS);
    Fence {
        paths: Abilities::Missing(why.clone()),
        calls: Abilities::Missing(why),
        system: Vec::new(),
    }
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
