//! Isolation has a name: how much stands between a program and the host.

use std::fmt;
use std::str::FromStr;

/// How well a program is kept from what it was not granted, weakest first.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum IsolationLevel {
    /// Something that was withheld is held by nobody.
    None,
    /// Only the fence around the runtime's process: the runtime is no sandbox.
    Process,
    /// Only the runtime, which is made for programs that nobody trusts.
    Runtime,
    /// Such a runtime, and the whole fence around its process.
    #[default]
    Strong,
}

impl IsolationLevel {
    /// All of them, strongest first.
    pub const ALL: [Self; 4] = [Self::Strong, Self::Runtime, Self::Process, Self::None];

    /// As users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Runtime => "runtime",
            Self::Process => "process",
            Self::None => "none",
        }
    }

    /// What it means, in half a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Strong => "a sandboxing runtime inside the fence",
            Self::Runtime => "a sandboxing runtime without a fence",
            Self::Process => "only the fence, around a runtime that is no sandbox",
            Self::None => "something that was withheld is held by nobody",
        }
    }
}

impl fmt::Display for IsolationLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for IsolationLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == text.trim())
            .ok_or_else(|| {
                format!(
                    "`{text}` is not a level of isolation; write `strong`, `runtime`, `process` or \
                     `none`"
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_ordered() {
        for level in IsolationLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!(IsolationLevel::ALL.is_sorted_by(|a, b| a > b));
        assert_eq!(
            "Strong".parse::<IsolationLevel>(),
            Err(
                "`Strong` is not a level of isolation; write `strong`, `runtime`, `process` or \
                 `none`"
                    .into()
            )
        );
    }
}
