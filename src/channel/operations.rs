//! What channels ask of the workflows: decide, settle, start, end, look. The application puts the engine behind it.

use async_trait::async_trait;
use serde_json::{Map, Value};
use std::sync::Arc;

use crate::domain::approval::{Settle, Vote};
use crate::domain::ids::{ApprovalId, RunId};
use crate::ledger::LedgerError;
use crate::ledger::runs::{
    ApprovalRow, CancelOutcome, DecideOutcome, NonceRow, RetryOutcome, RunLedger, SettleOutcome,
};

/// Somebody who asks for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// A Telegram user, by the numeric id that Telegram vouches for.
    Telegram(u64),
    /// Whoever has the terminal that the agent runs in, or its token.
    LocalAdmin,
}

impl Person {
    /// From where they ask, when they write in their channel.
    pub fn channel(self) -> &'static str {
        match self {
            Self::Telegram(_) => "telegram",
            Self::LocalAdmin => "terminal",
        }
    }
}

impl std::fmt::Display for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Telegram(user) => write!(f, "telegram:{user}"),
            Self::LocalAdmin => f.write_str("local admin"),
        }
    }
}

/// A vote as it comes from a channel.
#[derive(Debug, Clone)]
pub struct Ballot {
    /// The approval.
    pub approval: ApprovalId,
    /// Who decides.
    pub by: Person,
    /// From where: `telegram`, `terminal`, `cli`, `dashboard`.
    pub channel: &'static str,
    /// What.
    pub verdict: Vote,
    /// Why.
    pub reason: Option<String>,
    /// The button's nonce, when a button was pressed.
    pub nonce: Option<String>,
}

/// A word on a step in doubt as it comes from a channel.
#[derive(Debug, Clone)]
pub struct Word {
    /// The run.
    pub run: RunId,
    /// The step's key.
    pub step: String,
    /// The word.
    pub verdict: Settle,
    /// Who says it.
    pub by: Person,
    /// From where.
    pub channel: &'static str,
    /// The button's nonce, when a button was pressed.
    pub nonce: Option<String>,
}

/// A workflow as people see it in lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowInfo {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// `webhook`, `manual` or `schedule`.
    pub trigger: String,
    /// Whether it starts at all.
    pub enabled: bool,
    /// When the clock starts it next (`next 2026-03-29 09:00 CEST`); `None` where it does not.
    pub next: Option<String>,
    /// Whether the last good version is served because the file has faults now.
    pub stale: bool,
}

/// What a person may do to workflows and runs.
#[async_trait]
pub trait Operations: std::fmt::Debug + Send + Sync + 'static {
    /// Runs and approvals, for looking.
    fn runs(&self) -> &Arc<dyn RunLedger>;

    /// The one way in which an approval is decided.
    async fn decide(&self, ballot: Ballot) -> Result<DecideOutcome, LedgerError>;

    /// Settles a step in doubt.
    async fn settle(&self, word: Word) -> Result<SettleOutcome, LedgerError>;

    /// Whether `who` is among those who may decide `approval`.
    fn may_decide(&self, who: Person, approval: &ApprovalRow) -> bool;

    /// Makes nonces for buttons, one for each purpose, in that order.
    async fn nonces(&self, approval: ApprovalId, purposes: &[&str]) -> Result<Vec<String>, LedgerError>;

    /// What a button stands for; `None` for one that is not ours.
    async fn nonce(&self, text: &str) -> Result<Option<NonceRow>, LedgerError>;

    /// Every workflow that is loaded, by name.
    fn workflows(&self) -> Vec<WorkflowInfo>;

    /// Starts a workflow by hand. The outer error is the ledger's, the inner one is a sentence for the person.
    async fn start(
        &self,
        workflow: &str,
        inputs: Map<String, Value>,
        by: Person,
    ) -> Result<Result<RunId, String>, LedgerError>;

    /// Reads the workflow files again; gives the number that is served and a line for each fault.
    fn reload(&self) -> (usize, Vec<String>);

    /// Ends a run.
    async fn cancel(&self, run: RunId, by: Person) -> Result<CancelOutcome, LedgerError>;

    /// Goes on with a failed run from its failed step.
    async fn retry(&self, run: RunId, by: Person) -> Result<RetryOutcome, LedgerError>;
}
