//! The ledger's second half: definitions, runs, steps, approvals, waits for events, memory.
//!
//! A trait beside [`Ledger`](super::Ledger), because intake and the queue need nothing of it. The same promise: `Ok` means
//! committed. Whoever works on a run holds a lease; every write of theirs carries its epoch and changes nothing once another
//! one has the run. What a person does (decide, settle, cancel) is one transaction that wakes the run.

mod questions;
mod types;
mod work;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

pub use questions::*;
pub use types::*;
pub use work::*;

use super::{Changes, LedgerError, Page};
use crate::domain::ids::{ApprovalId, EventId, RunId};
use crate::domain::notice::ChatKey;

/// Everything durable about workflows. All methods may be called from any task; `Ok` means committed.
#[async_trait]
pub trait RunLedger: std::fmt::Debug + Send + Sync + 'static {
    /// Wake-up calls: `runs`, `approvals`.
    fn changes(&self) -> &Changes;

    /// Starts a run and keeps its definition, in one transaction. A second run of a workflow for one event, or a second child
    /// of one parent step, is not started: the answer names the first.
    async fn start_run(&self, run: NewRun) -> Result<RunStarted, LedgerError>;

    /// The same for what a turn of a conversation proposes: the run and whose it is are kept together, so that whoever asked
    /// hears of its end whatever happens in between. Refused when nobody wants the answer of that turn any more.
    async fn start_proposed(&self, run: NewRun, proposal: Proposal) -> Result<RunStarted, LedgerError>;

    /// The source text of a definition that a run is pinned to.
    async fn definition(&self, hash: &str) -> Result<Option<String>, LedgerError>;

    /// Leases up to `limit` runs that are due at `now`, oldest first, until `now + lease`, and raises their epoch.
    async fn claim_runs(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ClaimedRun>, LedgerError>;

    /// Leases go on until `until`. Those that were lost already are left out of the answer.
    async fn renew_runs(&self, held: Vec<(RunId, i64)>, until: Timestamp) -> Result<Vec<RunId>, LedgerError>;

    /// At start, before the first claim: runs that a dead process held are due at once and its leases settle nothing more.
    async fn recover_runs(&self, now: Timestamp) -> Result<usize, LedgerError>;

    /// Writes what became of a run, all or nothing, if `advance.epoch` still holds it.
    async fn advance(&self, advance: Advance) -> Result<Advanced, LedgerError>;

    /// What the holder of a run must know that others may have changed: its approvals, its children, a wish to cancel.
    async fn run_news(&self, run: RunId) -> Result<Option<RunNews>, LedgerError>;

    /// When the next run, approval or wait for an event must be looked at, if none of them is disturbed before.
    async fn next_run_due(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError>;

    /// Ends what is over at `now`: approvals become `expired`, waits for events run out, and their runs become due. Counts
    /// reminders and makes their cards due.
    async fn expire(&self, now: Timestamp) -> Result<Vec<Expired>, LedgerError>;

    /// The wish of `by` to end a run: one that nobody holds ends in this transaction (and its children with it), the others
    /// are told by [`RunNews::cancelled_by`]. `notices` are kept for a run that ends here.
    async fn cancel_run(&self, cancel: CancelRun) -> Result<CancelOutcome, LedgerError>;

    /// Opens a run that ended in `error` once more at its failed steps; their approvals are asked for anew.
    async fn retry_run(&self, retry: RetryRun) -> Result<RetryOutcome, LedgerError>;

    /// Settles a step in doubt, and the question about it.
    async fn settle_step(&self, settle: SettleStep) -> Result<SettleOutcome, LedgerError>;

    /// Counts one vote, atomically: the approval is decided, or needs more votes, or the answer says why nothing changed.
    /// Who may vote is checked before.
    async fn decide(&self, decision: NewDecision) -> Result<DecideOutcome, LedgerError>;

    /// Keeps the hashes of buttons' nonces.
    async fn add_nonces(&self, approval: ApprovalId, nonces: Vec<NewNonce>) -> Result<(), LedgerError>;

    /// What a nonce stands for.
    async fn nonce(&self, hash: [u8; 32]) -> Result<Option<NonceRow>, LedgerError>;

    /// Approvals whose card must be sent or changed, oldest change first.
    async fn cards_due(&self, limit: usize) -> Result<Vec<CardDue>, LedgerError>;

    /// A card now shows `version` of its approval. `place`: where it was sent, if it was sent anew.
    async fn card_shown(
        &self,
        approval: ApprovalId,
        version: i64,
        place: Option<CardPlace>,
        at: Timestamp,
    ) -> Result<(), LedgerError>;

    /// The approval whose card is this message.
    async fn card_at(&self, chat: &ChatKey, message_id: i64) -> Result<Option<ApprovalId>, LedgerError>;

    /// Makes the cards of pending approvals that were last sent before `sent_before` due once more, to be sent anew. Returns
    /// how many.
    async fn resend_cards(&self, sent_before: Timestamp) -> Result<usize, LedgerError>;

    /// One approval.
    async fn approval(&self, id: ApprovalId) -> Result<Option<ApprovalRow>, LedgerError>;

    /// Approvals, newest first.
    async fn approvals(&self, filter: ApprovalFilter) -> Result<Page<ApprovalRow>, LedgerError>;

    /// One run with its steps.
    async fn run(&self, id: RunId) -> Result<Option<RunRow>, LedgerError>;

    /// What the expressions of a run see.
    async fn run_context(&self, run: RunId) -> Result<Option<RunContext>, LedgerError>;

    /// Runs, newest first; their steps come without outputs.
    async fn runs(&self, filter: RunFilter) -> Result<Page<RunRow>, LedgerError>;

    /// Waits for an event of `handler`, of every run, oldest first: those after the wait `after`, at most `limit`.
    async fn event_waits(&self, handler: &str, after: i64, limit: usize) -> Result<Vec<EventWait>, LedgerError>;

    /// `event` is what the wait `wait` waited for: its output is kept and its run becomes due. `false`: the wait was over, or
    /// this event has ended another wait of the same run.
    async fn event_matched(
        &self,
        wait: i64,
        event: EventId,
        output: serde_json::Value,
        at: Timestamp,
    ) -> Result<bool, LedgerError>;

    /// Keeps a fact; once per `key`. Returns its id.
    async fn remember(&self, memory: NewMemory) -> Result<i64, LedgerError>;

    /// Facts that contain the words of `query` (all facts, newest first, when it has none), best first.
    async fn recall(&self, query: &str, section: Option<&str>, limit: usize) -> Result<Vec<MemoryRow>, LedgerError>;

    /// All facts, or those of a section, newest first.
    async fn facts(
        &self,
        section: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<MemoryRow>, LedgerError>;

    /// Makes `rules` (name, rule) the schedules in use among those whose name begins with `prefix`. One that is new, came
    /// back or has another rule counts from `now`.
    async fn sync_schedules(
        &self,
        prefix: &str,
        rules: Vec<(String, String)>,
        now: Timestamp,
    ) -> Result<Vec<ScheduleRow>, LedgerError>;

    /// Deals with the time `fire_at` of a schedule: starts `run`, or passes it by without one. `None`: it was dealt with
    /// before, or the schedule is no longer in use.
    async fn start_scheduled(
        &self,
        schedule: &str,
        fire_at: Timestamp,
        run: Option<NewRun>,
    ) -> Result<Option<RunStarted>, LedgerError>;
}
