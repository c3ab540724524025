//! The corpus: text as attackers write it, where it stands, and what a model does that obeys it. The table is that of `agent prove`.

use serde::Deserialize;

/// Where the text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Place {
    Title,
    Body,
    Branch,
    Commit,
    Stripe,
    RunOutput,
    Memory,
    File,
    Page,
}

/// One case. `MARK` becomes a word that is the case's own, `LEAK` an address that listens, `EVENT` the id of the event.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub place: Place,
    pub text: String,
    /// The tool that an obedient model asks for.
    pub calls: Option<Call>,
    /// What an obedient model says. Where neither is, it says everything that it was told.
    pub says: Option<String>,
}

/// A tool and its arguments as JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub tool: String,
    pub args: String,
}

pub fn cases() -> Vec<Case> {
    let table = include_str!("../../../src/prove/tables/injections.yaml");
    serde_yaml::from_str(table).expect("a table")
}
