//! What a workflow file says, read whole: every fault at once, each with its place, and the safe way to write what was refused.
//!
//! A [`Workflow`] that exists is one that may run: its names are known, its durations are durations, its templates compile,
//! and no payload text can get where it would be control. Nothing here does anything.

mod args;
mod backtest;
mod flow;
mod gate;
mod on;
mod reader;
mod refs;
mod render;
mod schedule;
mod step;
mod types;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::fault::Fault;
use crate::tool::ToolRegistry;

pub use args::Args;
pub use backtest::{Backtest, StepForecast};
pub use on::On;
pub use render::{RenderError, Rendered};
pub use schedule::{Missed, ScheduledStart};
pub use types::{
    Approver, Concurrency, Gate, OnError, Retry, Step, StepBody, ToolStep, Trigger, Verbatim, Verify, Workflow,
};

/// Largest workflow file, in bytes.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// Most steps of one workflow, those of groups and of `on_failure` counted.
pub const STEPS_MAX: usize = 200;
/// Most steps of one group.
pub const PARALLEL_MAX: usize = 32;
/// Most faults that are told of one file.
pub const FAULTS_MAX: usize = 100;
/// Most attempts that `retry.max` may ask for.
pub const RETRIES_MAX: u64 = 100;
/// Largest `concurrency.limit`.
pub const CONCURRENCY_MAX: u64 = 1000;
/// Longest wait between two attempts.
pub const BACKOFF_MAX: std::time::Duration = std::time::Duration::from_secs(3600);

/// What a workflow may name. A set that is `None` is not checked, as when a pinned definition is read again.
#[derive(Debug, Clone)]
pub struct Known {
    /// The tools.
    pub tools: ToolRegistry,
    /// Groups of the configuration and their members.
    pub groups: Option<BTreeMap<String, BTreeSet<u64>>>,
    /// Allowed users.
    pub users: BTreeSet<u64>,
    /// Names of chats.
    pub chats: Option<BTreeSet<String>>,
    /// Names of handlers.
    pub handlers: Option<BTreeSet<String>>,
    /// Whether there is a model for `model_prompt`.
    pub model: bool,
}

impl Known {
    /// Only the tools; for a definition that was accepted before.
    pub fn tools(tools: ToolRegistry) -> Self {
        Self { tools, groups: None, users: BTreeSet::new(), chats: None, handlers: None, model: true }
    }
}

/// What is said of a file that is not used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected {
    /// What is wrong with it; at least one.
    pub faults: Vec<Fault>,
    /// What is allowed and probably not meant.
    pub notes: Vec<Fault>,
}

impl Workflow {
    /// Reads a workflow. `file` is its name as faults show it.
    pub fn parse(file: &str, text: &str, known: &Known) -> Result<Self, Vec<Fault>> {
        whole::parse(file, text, known).map_err(|rejected| rejected.faults)
    }

    /// The same, with what is probably not meant beside the faults.
    pub fn parse_with_notes(file: &str, text: &str, known: &Known) -> Result<Self, Rejected> {
        whole::parse(file, text, known)
    }

    /// `sha256:…` of a file's bytes.
    pub fn hash_of(text: &str) -> String {
        use sha2::{Digest, Sha256};
        format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes())))
    }

    /// Every step, in order: steps, then those of `on_failure`; a group before its steps.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(&self.on_failure).flat_map(|step| {
            let inner: &[Step] = match &step.body {
                StepBody::Tool(_) => &[],
                StepBody::Parallel(steps) => steps,
            };
            std::iter::once(step).chain(inner)
        })
    }

    /// The step or group `name`.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.all_steps().find(|step| step.name == name)
    }
}
