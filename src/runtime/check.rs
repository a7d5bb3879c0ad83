//! What a descriptor claims of its runtime, held against what probes saw of it.
//!
//! Pure: the probes are run by `pyw runtime check` (in [`crate::cli::check`]). A claim that was
//! seen to be false costs safety, so it is an error; what a runtime can do and its descriptor does
//! not say costs only comfort.

use serde::Serialize;

/// What came of holding a claim against an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is as claimed.
    Holds,
    /// It is not.
    Refuted,
    /// Nothing is claimed, and pyw neither relies on it nor offers it.
    Unclaimed,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::Refuted => "REFUTED",
            Self::Unclaimed => "-",
        })
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    pub claim: String,
    pub observed: String,
    pub verdict: Verdict,
}

impl Finding {
    /// A claim and whether it was seen to be true.
    #[must_use]
    pub fn of(
        what: &str,
        claim: impl Into<String>,
        observed: impl Into<String>,
        holds: bool,
    ) -> Self {
        Self {
            what: what.to_owned(),
            claim: claim.into(),
            observed: observed.into(),
            verdict: if holds {
                Verdict::Holds
            } else {
                Verdict::Refuted
            },
        }
    }

    /// What is not claimed.
    #[must_use]
    pub fn unclaimed(what: &str, observed: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            claim: "nothing".to_owned(),
            observed: observed.into(),
            verdict: Verdict::Unclaimed,
        }
    }

    /// A claim that nothing got through, and what did.
    #[must_use]
    pub fn confines(what: &str, claim: &str, through: &[String]) -> Self {
        let observed = match through {
            [] => "nothing got through".to_owned(),
            all => format!("got through: {}", all.join(", ")),
        };
        Self::of(what, claim, observed, through.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gets_through_refutes_a_claim() {
        let through = ["mkdir".to_owned()];
        assert_eq!(Finding::confines("x", "y", &[]).verdict, Verdict::Holds);
        let refuted = Finding::confines("x", "y", &through);
        assert_eq!(refuted.verdict, Verdict::Refuted);
        assert_eq!(refuted.observed, "got through: mkdir");
    }
}
