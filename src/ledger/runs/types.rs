//! What goes into the ledger and comes out of it about workflows: plain data, no behaviour.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::ids::{ApprovalId, EventId, RunId};
use crate::domain::notice::ChatKey;
use crate::domain::run::{Effect, RunSource, RunState, StepKind, StepState};
use crate::ledger::NewNotice;

/// Runs and approvals on a page when nobody says otherwise.
pub const RUNS_PAGE_DEFAULT: usize = 50;
/// Most runs or approvals on a page.
pub const RUNS_PAGE_MAX: usize = 500;
/// Deepest nesting of child runs.
pub const RUN_DEPTH_MAX: u32 = 8;

/// What expressions of a run see of its cause. Kept with the run, so that it outlives the event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct RunContext {
    /// The payload; null for a run without one.
    pub payload: Value,
    /// About the event: id, handler, event type, …
    pub event: Value,
    /// What the provider's manifest reads from it.
    pub facts: Value,
    /// What the starter gave.
    pub inputs: Value,
}

/// The step of another run that started this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ParentStep {
    /// The run.
    pub run: RunId,
    /// The step's key.
    pub step: String,
}

/// How many runs with one key work side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConcurrencySlot {
    /// The rendered key.
    pub key: String,
    /// The limit.
    pub limit: u32,
}

/// A run to start.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The workflow.
    pub workflow: String,
    /// The content hash of its definition.
    pub workflow_hash: String,
    /// The definition's source text.
    pub definition: String,
    /// The event that started it; a second run of the workflow for it is not started.
    pub event: Option<EventId>,
    /// What started it.
    pub source: RunSource,
    /// Who or what, in words.
    pub started_by: String,
    /// The step whose child it is.
    pub parent: Option<ParentStep>,
    /// Where its notices and cards go; `None` for nobody.
    pub chat: Option<ChatKey>,
    /// What its expressions see.
    pub context: RunContext,
    /// Its steps, in order.
    pub steps: Vec<StepRow>,
    /// Its place among others with the same key.
    pub concurrency: Option<ConcurrencySlot>,
    /// When it must have ended.
    pub deadline_at: Option<Timestamp>,
    /// When it starts.
    pub at: Timestamp,
}

/// Where a proposed run comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The turn of a conversation, by its order.
    pub turn: i64,
    /// The tool that it wants used.
    pub tool: String,
}

/// A schedule that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// `workflow:<name>` and the like.
    pub name: String,
    /// What tells it from others of that name.
    pub rule: String,
    /// Times before this are none of its.
    pub since: Timestamp,
    /// The last time that was dealt with.
    pub fired_for: Option<Timestamp>,
}

impl ScheduleRow {
    /// Times up to this are done with.
    pub fn after(&self) -> Timestamp {
        self.fired_for.map_or(self.since, |fired| fired.max(self.since))
    }
}

/// What `start_run` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunStarted {
    /// It is kept and due, or queued behind others with its concurrency key.
    Started {
        /// Whether it waits for its turn.
        queued: bool,
    },
    /// There is one already for this event or parent step.
    Exists {
        /// That run.
        run: RunId,
        /// Where it is.
        state: RunState,
    },
    /// It would never come to its end (nested too deep, or waiting for a run above it), or nobody wants it any more.
    Refused {
        /// Why.
        reason: String,
    },
}

/// One row of a run's steps, as it is written and read.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct StepRow {
    /// Unique in the run: the step's name, `name[3]` for an item, `on_failure.name`.
    #[serde(skip)]
    pub key: String,
    /// As people see it.
    pub name: String,
    /// The tool; `None` for a group.
    pub tool: Option<String>,
    /// What it stands for.
    pub kind: StepKind,
    /// Where it is.
    pub state: StepState,
    /// Attempts begun.
    pub attempt: u32,
    /// Whether it may be done again; known once it began.
    pub effect: Option<Effect>,
    /// What it gave.
    pub output: Option<Value>,
    /// Whether the output was cut.
    pub truncated: bool,
    /// Whether the output derives from a payload.
    pub tainted: bool,
    /// What went wrong, or why it was skipped.
    pub error: Option<String>,
    /// The approval that it waits for or ran under.
    pub approval_id: Option<ApprovalId>,
    /// Revision of the latest question about it; 0 before the first.
    #[serde(skip)]
    pub revision: u32,
    /// When its (last) attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When its next attempt is due, while it waits for that.
    #[serde(skip)]
    pub due_at: Option<Timestamp>,
    /// The epoch under which it began; a `started` row of another epoch was cut off.
    #[serde(skip)]
    pub epoch: i64,
}

impl StepRow {
    /// A step that has not begun.
    pub fn new(key: impl Into<String>, name: impl Into<String>, kind: StepKind, tool: Option<String>) -> Self {
        Self {
            key: key.into(),
            name: name.into(),
            tool,
            kind,
            state: StepState::Ready,
            attempt: 0,
            effect: None,
            output: None,
            truncated: false,
            tainted: false,
            error: None,
            approval_id: None,
            revision: 0,
            started_at: None,
            ended_at: None,
            due_at: None,
            epoch: 0,
        }
    }
}

/// A run as lists and pages show it (section 14 of the contract).
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct RunRow {
    /// `run_…`.
    pub id: RunId,
    /// The workflow.
    pub workflow: String,
    /// The content hash that it is pinned to.
    pub workflow_hash: String,
    /// The event that started it.
    pub event_id: Option<EventId>,
    /// What started it.
    pub source: RunSource,
    /// Who or what, in words.
    pub started_by: String,
    /// The run and step whose child it is.
    pub parent: Option<ParentStep>,
    /// Where it is.
    pub state: RunState,
    /// Why it ended, where that needs saying.
    pub reason: Option<String>,
    /// Whether it waits for its turn behind others with its concurrency key.
    pub queued: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where its notices and cards go.
    #[serde(skip)]
    pub chat: Option<ChatKey>,
    /// Its steps, in order.
    pub steps: Vec<StepRow>,
}

/// A wish to end a run.
#[derive(Debug, Clone)]
pub struct CancelRun {
    /// The run.
    pub run: RunId,
    /// Who wants it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What to say when it ends in this transaction.
    pub notices: Vec<NewNotice>,
}

/// What became of a wish to end a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It has ended.
    Ended {
        /// Runs that ended or were asked to with it.
        touched: Vec<RunId>,
    },
    /// Its worker is told.
    Asked,
    /// It had ended before.
    AlreadyEnded {
        /// How.
        state: RunState,
    },
    /// There is no such run.
    Unknown,
}

/// A wish to go on with a run that failed.
#[derive(Debug, Clone)]
pub struct RetryRun {
    /// The run.
    pub run: RunId,
    /// Keys of steps that are `ready` again; rows that are not there are left out.
    pub reset: Vec<String>,
    /// When it must have ended now.
    pub deadline_at: Option<Timestamp>,
    /// When.
    pub at: Timestamp,
}

/// What became of a wish to go on from the failed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryOutcome {
    /// It goes on.
    Again,
    /// Only a run that failed can go on.
    NotFailed {
        /// Where it is.
        state: RunState,
    },
    /// There is no such run.
    Unknown,
}

/// A wait for an event to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEventWait {
    /// The step's key.
    pub step: String,
    /// The handler.
    pub handler: String,
    /// Event types; empty for every one.
    pub events: Vec<String>,
    /// A condition over the event.
    pub when: Option<String>,
    /// When it runs out.
    pub expires_at: Option<Timestamp>,
}

/// A wait for an event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventWait {
    /// Its number.
    pub id: i64,
    /// The run.
    pub run: RunId,
    /// What is waited for.
    pub wait: NewEventWait,
    /// What expressions of its run see.
    pub context: RunContext,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only this workflow.
    pub workflow: Option<String>,
    /// Only this state.
    pub state: Option<RunState>,
    /// Only those of this event.
    pub event: Option<EventId>,
    /// Only those started at or after.
    pub since: Option<Timestamp>,
    /// At most this many; 0 means [`RUNS_PAGE_DEFAULT`]. Capped at [`RUNS_PAGE_MAX`].
    pub limit: usize,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// A fact to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMemory {
    /// The section.
    pub section: String,
    /// The fact.
    pub fact: String,
    /// Kept once per key (`run_…/step`), which tells where it came from.
    pub key: Option<String>,
    /// Whether text from outside stands in it.
    pub tainted: bool,
    /// When.
    pub at: Timestamp,
}

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct MemoryRow {
    /// Its number.
    pub id: i64,
    /// The section.
    pub section: String,
    /// The fact.
    pub fact: String,
    /// When it was kept.
    pub at: Timestamp,
    /// Where it came from: the run and step that kept it (`run_…/step`).
    pub source: Option<String>,
    /// Whether text from outside stands in it.
    pub tainted: bool,
}
