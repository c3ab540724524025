//! The ledger's part for models: what calls cost, and which notices wait for a model's sentences.
//!
//! A trait beside [`Ledger`](super::Ledger). The bounds on money and tokens are enforced here, in the transaction that writes
//! the call down, so that two calls at once cannot both take the last cent.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use super::{Changes, LedgerError};
use crate::domain::ids::{EventId, NoticeId, RunId};
use crate::domain::notice::{ChatKey, Message};
use crate::ports::Purpose;

/// A call that is about to be made.
#[derive(Debug, Clone)]
pub struct NewModelCall {
    /// When.
    pub at: Timestamp,
    /// What it is for.
    pub purpose: Purpose,
    /// `provider/name`.
    pub model: String,
    /// The event that it is about.
    pub event: Option<EventId>,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// Tokens that it will read, at most.
    pub tokens_in: u64,
    /// Tokens that it may write.
    pub tokens_out: u64,
    /// What those cost, in millionths of a US dollar.
    pub micro_usd: u64,
}

/// The bounds that a call must keep to.
#[derive(Debug, Clone, Copy)]
pub struct ModelBounds {
    /// When the day began.
    pub day_began: Timestamp,
    /// Most millionths of a US dollar since then.
    pub day_micro_usd_max: u64,
    /// Most tokens of all calls about one event.
    pub event_tokens_max: u64,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelCallBegun {
    /// It is written down under this number and may be made.
    Begun(i64),
    /// It could go beyond the day's money.
    OverBudget {
        /// Spent and reserved today, in millionths of a US dollar.
        micro_usd: u64,
    },
    /// It could go beyond the event's tokens.
    EventFull {
        /// Spent and reserved on the event.
        tokens: u64,
    },
}

/// What became of a call.
#[derive(Debug, Clone)]
pub struct ModelCallEnded {
    /// When.
    pub at: Timestamp,
    /// Tokens that it read.
    pub tokens_in: u64,
    /// Tokens that it wrote.
    pub tokens_out: u64,
    /// What it cost.
    pub micro_usd: u64,
    /// `done`, or why nothing came.
    pub outcome: &'static str,
}

/// What was spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// Calls made.
    pub calls: u64,
    /// Tokens read.
    pub tokens_in: u64,
    /// Tokens written.
    pub tokens_out: u64,
    /// Millionths of a US dollar, with what open calls may take.
    pub micro_usd: u64,
}

/// A notice that is in its chat, or will never be, and waits for a model's sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedSummary {
    /// The notice.
    pub notice: NoticeId,
    /// Its event.
    pub event: EventId,
    /// The handler that it came to.
    pub handler: Option<String>,
    /// Its chat.
    pub chat: ChatKey,
    /// The message that it went out in; several notices share that of a digest.
    pub message_id: Option<i64>,
    /// Whether it went out in a digest.
    pub digest: bool,
    /// Whether it reached its chat.
    pub sent: bool,
    /// Since when.
    pub wanted_at: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// What the template says.
    pub message: Message,
}

/// How the wait of a notice for sentences ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SummarySettled {
    /// These are to be edited in.
    Ready {
        /// The sentences.
        text: String,
        /// Who wrote them.
        model: String,
    },
    /// The template stands.
    Stands {
        /// Why, for a person.
        reason: String,
    },
}

/// A message that is to be changed: the model's sentences go beneath its title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEdit {
    /// Where it is.
    pub chat: ChatKey,
    /// Which it is; `None` where messages have no number.
    pub message_id: Option<i64>,
    /// The sentences.
    pub text: String,
    /// The title of the digest, when it is one.
    pub digest: Option<String>,
    /// Its notices with what their templates say, in order: one, or those of a digest.
    pub notices: Vec<(NoticeId, Message)>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditSettled {
    /// It is shown.
    Shown,
    /// It never will be: the message is gone, or can no longer be changed.
    Dropped {
        /// Why.
        reason: String,
    },
}

/// Everything durable about models. `Ok` means committed.
#[async_trait]
pub trait ModelLedger: std::fmt::Debug + Send + Sync + 'static {
    /// Wake-up calls: `summaries`, `edits`.
    fn changes(&self) -> &Changes;

    /// Writes a call down, if the bounds admit what it may take at most.
    async fn begin_model_call(&self, call: NewModelCall, bounds: ModelBounds) -> Result<ModelCallBegun, LedgerError>;

    /// Writes what became of a call.
    async fn end_model_call(&self, call: i64, ended: ModelCallEnded) -> Result<(), LedgerError>;

    /// What was spent at or after `since`.
    async fn spent_since(&self, since: Timestamp) -> Result<Spent, LedgerError>;

    /// Notices that wait for sentences and were sent, or failed; oldest first, those of one message together. At most `limit`
    /// messages.
    async fn summaries_wanted(&self, limit: usize) -> Result<Vec<WantedSummary>, LedgerError>;

    /// Counts an attempt for each, before the model is asked.
    async fn begin_summaries(&self, notices: Vec<NoticeId>) -> Result<(), LedgerError>;

    /// Ends waits. One that has ended changes nothing.
    async fn settle_summaries(
        &self,
        settled: Vec<(NoticeId, SummarySettled)>,
        at: Timestamp,
    ) -> Result<(), LedgerError>;

    /// Messages that are to be changed, oldest first.
    async fn edits_waiting(&self, limit: usize) -> Result<Vec<WaitingEdit>, LedgerError>;

    /// Writes what became of the change of one message.
    async fn settle_edit(&self, notices: Vec<NoticeId>, outcome: EditSettled, at: Timestamp)
    -> Result<(), LedgerError>;
}
