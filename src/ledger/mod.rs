//! The ledger: everything that must survive, behind one trait.
//!
//! It keeps events, refusals, the queue, notices and what chats sent us, and promises that whatever a method has returned `Ok`
//! for is on disk. It knows nothing of sockets, providers or channels. SQLite is the engine ([`sqlite`]); a second one
//! implements [`Ledger`] and passes the conformance suite in `tests/it/ledger.rs`.

pub mod chat;
pub mod digest;
pub mod models;
pub mod runs;
pub mod sqlite;
pub mod traces;
mod types;
mod words;

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

pub use chat::ChatLedger;
pub use models::ModelLedger;
pub use runs::RunLedger;
pub use types::*;
pub use words::by_words;

use crate::domain::ids::{EventId, NoticeId};
use crate::domain::notice::ChatKey;

/// Why the ledger did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// More is waiting than the bound allows; try again in a moment. Nothing was kept.
    #[error("the ledger is busy: its inbox is full")]
    Busy,
    /// The store cannot commit (disk full, I/O error, closed). Whether the change was kept is not known.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// The request makes no sense to the ledger (a bad cursor, SQL that writes).
    #[error("{0}")]
    Invalid(String),
    /// What was asked for is not there.
    #[error("{0} is not in the ledger")]
    NotFound(String),
}

/// Wake-up calls after commits, so that nobody has to poll.
#[derive(Debug, Default)]
pub struct Changes {
    /// There may be jobs to claim.
    pub jobs: Notify,
    /// There may be notices to send.
    pub notices: Notify,
    /// There may be runs to claim, or something became due earlier.
    pub runs: Notify,
    /// There may be cards to send or to change.
    pub approvals: Notify,
    /// There may be something to answer in a conversation.
    pub chats: Notify,
    /// There may be notices for a model to write about.
    pub summaries: Notify,
    /// There may be messages to change.
    pub edits: Notify,
    /// Counts commits that changed an event; for live views.
    pub events: watch::Sender<u64>,
    /// Counts commits that changed anything that lists show: events, notices, runs, approvals; for live views.
    pub news: watch::Sender<u64>,
    /// Commits since the start.
    pub commits: AtomicU64,
    /// Whether the last commit failed, so that nothing was kept since.
    pub failing: AtomicBool,
}

/// Everything durable. All methods may be called from any task; `Ok` means committed.
#[async_trait]
pub trait Ledger: std::fmt::Debug + Send + Sync + 'static {
    /// Wake-up calls.
    fn changes(&self) -> &Changes;

    /// Keeps an event and, when it is `Accepted`, its place in the queue, in one transaction. A delivery key that was seen
    /// before keeps nothing new: the answer names the first event; one that ended `failed` goes back into the queue.
    async fn ingest(&self, event: NewEvent) -> Result<Ingested, LedgerError>;

    /// Keeps a refusal or a duplicate without waiting for the commit. `false`: the inbox was full and it was dropped
    /// (refusals must never cost an accepted event its place). Only the newest `rejected_max` are kept.
    fn record_refused(&self, refused: RefusedRequest) -> bool;

    /// Leases up to `limit` jobs that are due at `now`, fresh ones in order of acceptance before those that are tried again, until `now + lease`, and raises their epoch.
    async fn claim(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ClaimedEvent>, LedgerError>;

    /// At start, before the first claim: jobs that a dead process held are due at once, and its leases settle nothing more.
    /// Returns how many. Only for a ledger that no other process works on, as SQLite's lock file ensures.
    async fn recover_claims(&self, now: Timestamp) -> Result<usize, LedgerError>;

    /// Ends claimed jobs, in one transaction: event columns, notices and queue row. A settlement whose epoch is no longer
    /// the job's changes nothing; `false` in its place says so.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<bool>, LedgerError>;

    /// When the next job that nobody may claim now becomes claimable (a retry that waits, a lease that runs out).
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError>;

    /// Makes a new event from a kept one (its body and headers, no delivery id, `replay_of` set) and queues it.
    async fn replay(&self, original: EventId, replay: EventId, now: Timestamp) -> Result<(), LedgerError>;

    /// Adds notices that belong to no claimed event.
    async fn add_notices(&self, notices: Vec<NewNotice>) -> Result<(), LedgerError>;

    /// Chats with notices that wait.
    async fn chats_waiting(&self) -> Result<Vec<ChatKey>, LedgerError>;

    /// The oldest notices that wait for `chat`, in order of acceptance, at most `limit`.
    async fn notices_waiting(&self, chat: &ChatKey, limit: usize) -> Result<Vec<WaitingNotice>, LedgerError>;

    /// Like [`Ledger::notices_waiting`], leaving out those that fold into a digest: what overtakes those that are being collected
    /// for a digest.
    async fn notices_waiting_apart(&self, chat: &ChatKey, limit: usize) -> Result<Vec<WaitingNotice>, LedgerError>;

    /// Commits the intent to send: the notices become `sending`. To be called before the send leaves.
    async fn begin_send(&self, notices: &[NoticeId], now: Timestamp) -> Result<(), LedgerError>;

    /// Commits what became of sends.
    async fn settle_send(&self, settlements: Vec<SendSettlement>) -> Result<(), LedgerError>;

    /// At start: sends that a dead process began and never settled wait again, marked unanswered. Returns how many.
    async fn recover_sends(&self) -> Result<usize, LedgerError>;

    /// Keeps what a chat sent us, before the channel is told that we have it. Items seen before change nothing.
    async fn keep_inbound(&self, channel: &str, items: Vec<InboundItem>) -> Result<(), LedgerError>;

    /// Kept items that are not done, oldest first, at most `limit`.
    async fn inbound_waiting(&self, channel: &str, limit: usize) -> Result<Vec<InboundItem>, LedgerError>;

    /// Marks an item done and keeps the notices that answer it, in one transaction. An item done before changes nothing.
    async fn inbound_done(&self, channel: &str, external_id: i64, replies: Vec<NewNotice>) -> Result<(), LedgerError>;

    /// Whether a notice of `kind` for `chat` was made at or after `since`.
    async fn has_notice_since(
        &self,
        chat: &ChatKey,
        kind: crate::domain::notice::NoticeKind,
        since: Timestamp,
    ) -> Result<bool, LedgerError>;

    /// One event with everything about it.
    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, LedgerError>;

    /// The body of an event, byte for byte as it came; of one that was refused its first bytes.
    async fn body_of(&self, event: EventId) -> Result<Option<Vec<u8>>, LedgerError>;

    /// What was said of an event, in full, oldest first.
    async fn messages_of(&self, event: EventId) -> Result<Vec<NoticeMessage>, LedgerError>;

    /// Events, newest first.
    async fn events(&self, filter: EventFilter) -> Result<Page<EventRow>, LedgerError>;

    /// Counts for `/health`, `/status` and metrics.
    async fn stats(&self) -> Result<Stats, LedgerError>;

    /// Brings the search index forward by a bounded number of events and returns how much there was to do; 0 when it is up to
    /// date. What is not indexed is found all the same, slower and only among the newest.
    async fn index(&self) -> Result<usize, LedgerError>;

    /// What the overview shows; minutes from the one of `from` on.
    async fn overview(&self, from: Timestamp) -> Result<Overview, LedgerError>;

    /// Deletes at most a bounded number of events (with their notices and bodies) received before `before` and returns how
    /// many; 0 when there are none left.
    async fn prune(&self, before: Timestamp) -> Result<usize, LedgerError>;

    /// Runs one read-only statement. Writing is refused by the engine, not by looking at the text.
    async fn query(&self, sql: &str, rows_max: usize) -> Result<QueryResult, LedgerError>;

    /// Finishes what waits, checkpoints and closes. Later calls answer `Unavailable`.
    async fn close(&self) -> Result<(), LedgerError>;
}
