//! Questions to people, their answers, and the cards that carry them: plain data, no behaviour.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::approval::{Action, ApprovalKind, ApprovalState, Settle, Vote};
use crate::domain::ids::{ApprovalId, EventId, RunId};
use crate::domain::notice::ChatKey;
use crate::domain::run::StepState;
use crate::ledger::NewNotice;

/// A question to approvers.
#[derive(Debug, Clone)]
pub struct NewApproval {
    /// Its id.
    pub id: ApprovalId,
    /// What is asked.
    pub kind: ApprovalKind,
    /// The step's key.
    pub step: String,
    /// What would run, or has perhaps run.
    pub action: Action,
    /// Its digest.
    pub digest: String,
    /// Groups whose members may decide; empty for every allowed user.
    pub approvers: Vec<String>,
    /// Votes that it needs.
    pub votes_needed: u32,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// How often people are reminded.
    pub remind_every: Option<std::time::Duration>,
    /// What there is to say beside the action.
    pub note: Option<String>,
}

/// An approval as lists and cards show it (section 14 of the contract).
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ApprovalRow {
    /// `apr_…`.
    pub id: ApprovalId,
    /// What is asked.
    pub kind: ApprovalKind,
    /// The run.
    pub run_id: RunId,
    /// The workflow.
    pub workflow: String,
    /// The step, as people see it.
    pub step: String,
    /// The event that started the run.
    pub event_id: Option<EventId>,
    /// The event's title, where it has one.
    pub event_title: Option<String>,
    /// Where it is.
    pub state: ApprovalState,
    /// What would run.
    pub action: Action,
    /// Its digest.
    pub digest: String,
    /// Groups whose members may decide; empty for every allowed user.
    pub approvers: Vec<String>,
    /// Votes that it needs.
    pub votes_needed: u32,
    /// What there is to say beside the action.
    pub note: Option<String>,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was decided, expired or cancelled.
    pub closed_at: Option<Timestamp>,
    /// Why it was denied or cancelled.
    pub reason: Option<String>,
    /// Reminders so far.
    pub reminders: u32,
    /// Where its card goes.
    #[serde(skip)]
    pub chat: Option<ChatKey>,
    /// Votes so far.
    pub decisions: Vec<DecisionRow>,
}

/// One vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct DecisionRow {
    /// Who: `telegram:123`, `local admin`.
    pub by: String,
    /// From where: `telegram`, `cli`, `dashboard`, `terminal`.
    pub channel: String,
    /// What; for a settled doubt: `happened`, `not-happened`, `leave`.
    pub verdict: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// One vote to count.
#[derive(Debug, Clone)]
pub struct NewDecision {
    /// The approval.
    pub approval: ApprovalId,
    /// Who: one voter has one vote.
    pub by: String,
    /// From where.
    pub channel: String,
    /// What.
    pub verdict: Vote,
    /// Why.
    pub reason: Option<String>,
    /// The hash of the button's nonce, when a button was pressed.
    pub nonce: Option<[u8; 32]>,
    /// Voters who have voted and may no longer decide: their yes does not count.
    pub void: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// What became of a decision; each is the truth to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum DecideOutcome {
    /// It decided: `Approved` or `Denied`.
    Decided {
        /// The approval now.
        approval: Box<ApprovalRow>,
    },
    /// It counts, and more votes are needed.
    VoteCounted {
        /// Votes so far.
        votes: u32,
        /// Votes needed.
        needed: u32,
    },
    /// This person has voted before; nothing changed.
    AlreadyVoted {
        /// When.
        at: Timestamp,
        /// What.
        verdict: String,
    },
    /// Nobody listed; nothing changed.
    NotApprover {
        /// Groups that may decide; empty for every allowed user.
        approvers: Vec<String>,
    },
    /// Decided before; nothing changed.
    AlreadyDecided {
        /// `Approved` or `Denied`.
        state: ApprovalState,
        /// Who.
        by: String,
        /// From where.
        channel: String,
        /// When.
        at: Timestamp,
    },
    /// Its time is over.
    Expired {
        /// Since when.
        at: Timestamp,
    },
    /// It was withdrawn.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// The button belongs to something else, or was used.
    StaleButton,
    /// There is no such approval.
    Unknown,
}

/// A button's nonce, as a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNonce {
    /// SHA-256 of it.
    pub hash: [u8; 32],
    /// What the button does: `approve`, `deny`, `details`, `happened`, …
    pub purpose: String,
}

/// What a nonce stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonceRow {
    /// The approval.
    pub approval: ApprovalId,
    /// What the button does.
    pub purpose: String,
    /// Whether a decision came of it.
    pub used: bool,
}

/// A card to send or to change.
#[derive(Debug, Clone, PartialEq)]
pub struct CardDue {
    /// The approval now.
    pub approval: ApprovalRow,
    /// What the card will show; `card_shown` repeats it.
    pub version: i64,
    /// Where the card is; empty when it was never sent.
    pub places: Vec<CardPlace>,
    /// A reminder, or an outage longer than the channel keeps taps: send it anew instead of changing it.
    pub anew: bool,
}

/// A message that is a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardPlace {
    /// The chat.
    pub chat: ChatKey,
    /// The channel's id of the message, where it has one.
    pub message_id: Option<i64>,
}

/// A person's (or `verify`'s) word on a step in doubt.
#[derive(Debug, Clone)]
pub struct SettleStep {
    /// The run.
    pub run: RunId,
    /// The step's key or name.
    pub step: String,
    /// The word.
    pub verdict: Settle,
    /// Who.
    pub by: String,
    /// From where.
    pub channel: String,
    /// The hash of the button's nonce, when a button was pressed.
    pub nonce: Option<[u8; 32]>,
    /// When.
    pub at: Timestamp,
    /// What to say if this ends the run (`Leave`).
    pub notices: Vec<NewNotice>,
}

/// What became of a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleOutcome {
    /// It is settled.
    Settled,
    /// The step is not in doubt.
    NotInDoubt {
        /// Where it is.
        state: StepState,
    },
    /// Only approvers of the step, or allowed users, settle it.
    NotApprover {
        /// Groups that may; empty for every allowed user.
        approvers: Vec<String>,
    },
    /// The button belongs to something else, or was used.
    StaleButton,
    /// There is no such run or step.
    Unknown,
}

/// Which approvals to list.
#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    /// Only this state.
    pub state: Option<ApprovalState>,
    /// Only those of this run.
    pub run: Option<RunId>,
    /// At most this many; 0 means [`super::RUNS_PAGE_DEFAULT`]. Capped at [`super::RUNS_PAGE_MAX`].
    pub limit: usize,
    /// `next` of the page before.
    pub cursor: Option<String>,
}
