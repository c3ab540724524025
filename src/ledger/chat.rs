//! The ledger's third part: conversations, what they proposed, and the rules that keep notices quiet.
//!
//! A trait beside [`Ledger`](super::Ledger), because intake and the queue need nothing of it. The same promise: `Ok` means
//! committed. A turn is on disk before its channel hears that we have the words, and its answer before anybody reads it, so
//! that a process that ends in between answers once more and never twice in two ways.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Changes, LedgerError};
use crate::domain::event::words;
use crate::domain::ids::{EventId, RunId, TurnId};
use crate::domain::notice::ChatKey;

words! {
    /// Why a turn exists.
    TurnKind {
        /// A person said something.
        Said = "said",
        /// Something that the conversation proposed has ended.
        Outcome = "outcome",
    }
}

words! {
    /// How far a turn has come.
    TurnState {
        /// Nobody works on it.
        Waiting = "waiting",
        /// The answer is being made.
        Working = "working",
        /// The answer is kept and not yet shown whole.
        Answered = "answered",
        /// Everything is shown.
        Done = "done",
        /// A person wanted no answer any more.
        Cancelled = "cancelled",
    }
}

/// Something to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTurn {
    /// Its id.
    pub id: TurnId,
    /// The same words that arrive twice have one key and are one turn.
    pub key: String,
    /// Where it was said, and where the answer goes.
    pub chat: ChatKey,
    /// Why it exists.
    pub kind: TurnKind,
    /// Who said it (`telegram:7001`, `local admin`).
    pub person: String,
    /// What.
    pub text: String,
    /// Events of the notice that it answers.
    pub about: Vec<EventId>,
    /// The message to answer, by the channel's id.
    pub reply_to: Option<i64>,
    /// When.
    pub at: Timestamp,
}

/// A turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnRow {
    /// Its order.
    pub seq: i64,
    /// Its conversation.
    pub session: i64,
    /// What there is to answer.
    pub turn: NewTurn,
    /// How far it has come.
    pub state: TurnState,
    /// Attempts begun.
    pub attempts: u32,
    /// The answer, once it is kept.
    pub answer: Option<String>,
    /// Links that the answer may show.
    pub links: Vec<String>,
    /// The message that shows the first part.
    pub message_id: Option<i64>,
    /// Parts that are shown.
    pub shown: u32,
    /// Runs that it proposed.
    pub proposed: Vec<RunId>,
}

/// One message of a conversation as a model is given it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatMessage {
    /// Its order; 0 before it is kept.
    pub seq: i64,
    /// The message, in the agent's own form.
    pub body: Value,
    /// Whether text from outside stands in it.
    pub tainted: bool,
}

/// What a conversation remembers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatHistory {
    /// What was said before `messages`, shortened.
    pub summary: Option<String>,
    /// Whether text from outside went into the summary.
    pub summary_tainted: bool,
    /// The newest messages, oldest first.
    pub messages: Vec<ChatMessage>,
    /// More lie between the summary and the oldest of them.
    pub cut: bool,
}

/// An answer to keep.
#[derive(Debug, Clone)]
pub struct TurnAnswer {
    /// The turn.
    pub turn: i64,
    /// The text, in the marks of `domain::speech`.
    pub text: String,
    /// Links that it may show.
    pub links: Vec<String>,
    /// The message that shows its beginning already.
    pub message_id: Option<i64>,
    /// What the conversation remembers of it.
    pub messages: Vec<ChatMessage>,
    /// When.
    pub at: Timestamp,
}

/// A turn that nobody wants an answer to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelledTurn {
    /// The turn.
    pub id: TurnId,
    /// Turns behind it that still wait for an answer.
    pub behind: usize,
}

/// Something proposed that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedAction {
    /// The run.
    pub run: RunId,
    /// The tool.
    pub tool: String,
    /// The turn that proposed it.
    pub turn: TurnRow,
}

/// Which notices of events are kept quiet. What is `None` matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MuteRule {
    /// Only this handler.
    pub handler: Option<String>,
    /// Only this event type; `pull_request` covers `pull_request.opened`.
    pub event: Option<String>,
    /// Only titles that contain this, capitals or not.
    pub words: Option<String>,
    /// Until then; `None` for ever.
    pub until: Option<Timestamp>,
}

/// A rule that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MuteRow {
    /// Its number.
    pub id: i64,
    /// What it matches.
    #[serde(flatten)]
    pub rule: MuteRule,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: Timestamp,
    /// Notices that it kept quiet.
    pub matched: u64,
}

/// A count of events by handler and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventCount {
    /// The handler.
    pub handler: String,
    /// The event type.
    pub event: String,
    /// How many.
    pub count: u64,
}

/// Conversations and quiet.
#[async_trait]
pub trait ChatLedger: std::fmt::Debug + Send + Sync + 'static {
    /// Wake-up calls: `chats`.
    fn changes(&self) -> &Changes;

    /// Keeps something to answer. `None`: its key was kept before, and nothing changed.
    async fn say(&self, turn: NewTurn) -> Result<Option<TurnId>, LedgerError>;

    /// The oldest turn of each conversation that is not done or cancelled, at most `limit`.
    async fn turns_open(&self, limit: usize) -> Result<Vec<TurnRow>, LedgerError>;

    /// One turn.
    async fn turn(&self, id: TurnId) -> Result<Option<TurnRow>, LedgerError>;

    /// The turn about the end of `run`, once there is one.
    async fn turn_of_run(&self, run: RunId) -> Result<Option<TurnRow>, LedgerError>;

    /// Somebody works on a turn now. `false`: it was cancelled meanwhile.
    async fn begin_turn(&self, seq: i64) -> Result<bool, LedgerError>;

    /// Remembers which message shows the beginning of an answer.
    async fn turn_appears(&self, seq: i64, message_id: i64) -> Result<(), LedgerError>;

    /// Keeps an answer and what the conversation remembers of it. `false`: it was cancelled meanwhile, and nothing changed.
    async fn answer_turn(&self, answer: TurnAnswer) -> Result<bool, LedgerError>;

    /// So many parts of an answer are shown; `done` when these are all.
    async fn turn_shown(
        &self,
        seq: i64,
        shown: u32,
        message_id: Option<i64>,
        done: bool,
        at: Timestamp,
    ) -> Result<(), LedgerError>;

    /// Ends the oldest turn that waits or is worked on in `chat`; those behind it are answered. `None`: there is none.
    async fn cancel_turn(&self, chat: &ChatKey, at: Timestamp) -> Result<Option<CancelledTurn>, LedgerError>;

    /// The newest messages of a conversation, at most `bytes_max` of them together, and the summary of what came before.
    async fn history(&self, session: i64, bytes_max: usize) -> Result<ChatHistory, LedgerError>;

    /// The messages between the summary and the newest `bytes_kept`, oldest first, at most `bytes_max` and one at least.
    async fn history_old(
        &self,
        session: i64,
        bytes_kept: usize,
        bytes_max: usize,
    ) -> Result<Vec<ChatMessage>, LedgerError>;

    /// Replaces the messages up to `to` by a summary.
    async fn keep_summary(&self, session: i64, to: i64, summary: &str, tainted: bool) -> Result<(), LedgerError>;

    /// Proposals that have ended and whose conversation does not know it, oldest first.
    async fn actions_ended(&self, limit: usize) -> Result<Vec<EndedAction>, LedgerError>;

    /// Keeps the turn about the end of a proposal; `None` where nobody needs to be told. Once per run.
    async fn tell_outcome(&self, run: RunId, turn: Option<NewTurn>) -> Result<(), LedgerError>;

    /// The events that the message `message_id` of `chat` tells of; a digest tells of several.
    async fn events_of_message(&self, chat: &ChatKey, message_id: i64) -> Result<Vec<EventId>, LedgerError>;

    /// Keeps notices quiet that match. Returns the rule's number.
    async fn mute(&self, rule: MuteRule, by: &str, at: Timestamp) -> Result<i64, LedgerError>;

    /// Ends a rule. `false`: there is no such rule.
    async fn unmute(&self, id: i64) -> Result<bool, LedgerError>;

    /// Rules in force at `now`, oldest first.
    async fn mutes(&self, now: Timestamp) -> Result<Vec<MuteRow>, LedgerError>;

    /// How many events since `since` the rule would have matched, by handler and type, most first.
    async fn would_mute(&self, rule: &MuteRule, since: Timestamp) -> Result<Vec<EventCount>, LedgerError>;

    /// Notices kept quiet since `since`, by handler and type, most first.
    async fn muted_since(&self, since: Timestamp) -> Result<Vec<EventCount>, LedgerError>;

    /// Forgets a fact. `false`: there is no such fact.
    async fn forget(&self, id: i64) -> Result<bool, LedgerError>;
}
