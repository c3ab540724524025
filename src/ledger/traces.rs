//! What the ledger tells of work that ended, for a collector of traces: plain facts without payloads, outputs or texts.

use async_trait::async_trait;
use jiff::Timestamp;

use super::LedgerError;
use crate::domain::ids::{EventId, RunId};

/// Most records that wait for a collector; beyond that the oldest are forgotten.
pub const TRACES_WAITING_MAX: usize = 20_000;

/// What the ledger does for traces. A trait of its own, because nobody else needs it.
#[async_trait]
pub trait TraceLedger: std::fmt::Debug + Send + Sync + 'static {
    /// From now on what ends is kept for a collector, or no longer is; then what waits is forgotten too.
    async fn keep_traces(&self, keep: bool) -> Result<(), LedgerError>;

    /// What waits, oldest first, at most `limit`; and how many were forgotten because too many waited.
    async fn traces_waiting(&self, limit: usize) -> Result<TracesWaiting, LedgerError>;

    /// The collector has everything up to `seq`.
    async fn traces_told(&self, seq: i64) -> Result<(), LedgerError>;
}

/// What waits for a collector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TracesWaiting {
    /// Up to where these go; to be given back to [`TraceLedger::traces_told`]. `None`: nothing waits.
    pub upto: Option<i64>,
    /// The records. Those whose rows were deleted meanwhile are left out.
    pub records: Vec<TraceRecord>,
    /// How many were forgotten now.
    pub forgotten: usize,
}

/// Something that ended.
#[derive(Debug, Clone, PartialEq)]
pub enum TraceRecord {
    /// An event was dealt with.
    Event(EventTrace),
    /// A run ended.
    Run(RunTrace),
    /// A model answered, or did not.
    Model(ModelTrace),
}

/// An event from its receipt to the end of its processing.
#[derive(Debug, Clone, PartialEq)]
pub struct EventTrace {
    /// Its id.
    pub id: EventId,
    /// The handler.
    pub handler: String,
    /// The provider.
    pub provider: String,
    /// Its type.
    pub event: String,
    /// What its signature was worth.
    pub verdict: String,
    /// `processed` or `failed`.
    pub status: String,
    /// When it was received.
    pub received_at: Timestamp,
    /// When it was on disk, and the sender was answered.
    pub committed_at: Timestamp,
    /// When the queue was done with it.
    pub processed_at: Timestamp,
    /// The size of its body.
    pub body_bytes: i64,
}

/// Where a trace begins: the event, else the run that nothing else started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceRoot {
    /// The event at the beginning.
    pub event: Option<EventId>,
    /// The first run.
    pub run: Option<RunId>,
}

/// A run and its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct RunTrace {
    /// Its id.
    pub id: RunId,
    /// Where its trace begins.
    pub root: TraceRoot,
    /// The run and the step's key whose child it is.
    pub parent: Option<(RunId, String)>,
    /// The workflow.
    pub workflow: String,
    /// The content hash that it is pinned to.
    pub workflow_hash: String,
    /// What started it.
    pub source: String,
    /// How it ended.
    pub state: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Its steps that began.
    pub steps: Vec<StepTrace>,
}

/// A step that began.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTrace {
    /// Its key.
    pub key: String,
    /// The tool; `None` for a group.
    pub tool: Option<String>,
    /// How it ended.
    pub state: String,
    /// Attempts begun.
    pub attempt: i64,
    /// When its last attempt began.
    pub started_at: Timestamp,
    /// When it ended; `None` where nobody knows.
    pub ended_at: Option<Timestamp>,
}

/// A call of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelTrace {
    /// Its number.
    pub seq: i64,
    /// Where its trace begins.
    pub root: TraceRoot,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// `provider/name`.
    pub model: String,
    /// What for.
    pub purpose: String,
    /// `done`, or why nothing came.
    pub outcome: String,
    /// Tokens that went in.
    pub tokens_in: i64,
    /// Tokens that came out.
    pub tokens_out: i64,
    /// What it cost, in millionths of a US dollar.
    pub micro_usd: i64,
    /// When it was asked.
    pub at: Timestamp,
    /// When it had answered.
    pub ended_at: Timestamp,
}
