//! What goes into the ledger and what comes out: plain data, no behaviour.

use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::event::{DeliveryKey, EventStatus, HandlerName, Verdict};
use crate::domain::ids::{EventId, NoticeId};
use crate::domain::notice::{ChatKey, Message, NoticeKind, NoticeState, Severity};

/// A verified request on its way into the ledger.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// The handler it came to.
    pub handler: HandlerName,
    /// The provider that read it.
    pub provider: String,
    /// The event type with its action (`pull_request.opened`).
    pub event: String,
    /// The sender's id of this delivery, as shown.
    pub delivery_id: Option<String>,
    /// The dedupe key; `None` when every request is its own event.
    pub delivery_key: Option<DeliveryKey>,
    /// `Valid` or `Unsigned`.
    pub verdict: Verdict,
    /// `Accepted` (queued) or `Ignored` (kept, not queued, claims no delivery key).
    pub status: EventStatus,
    /// Why it is ignored.
    pub reason: Option<String>,
    /// When its head was read.
    pub received_at: Timestamp,
    /// The client, behind trusted proxies.
    pub client_ip: IpAddr,
    /// Header names in lower case, secrets masked.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Bytes,
    /// SHA-256 of `body`.
    pub body_sha256: [u8; 32],
    /// The JSON payload where it is not the body itself (a form's `payload=` field; `{}` for an empty body).
    pub payload: Option<Bytes>,
}

/// What `ingest` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingested {
    /// Kept as a new event.
    Kept,
    /// Seen before.
    Duplicate {
        /// The event that came first.
        first: EventId,
    },
    /// Seen before, had failed, and is in the queue again.
    Requeued {
        /// That event.
        event: EventId,
    },
}

/// A request that did not become an event: refused, or a duplicate.
#[derive(Debug, Clone)]
pub struct RefusedRequest {
    /// Its id.
    pub id: EventId,
    /// The handler it was for; `None` when the path was unknown.
    pub handler: Option<HandlerName>,
    /// The provider of that handler.
    pub provider: Option<String>,
    /// The event type, where it was read.
    pub event: Option<String>,
    /// The delivery id, where it was read.
    pub delivery_id: Option<String>,
    /// What the signature check said, when it came to that.
    pub verdict: Option<Verdict>,
    /// `Rejected` or `Duplicate`.
    pub status: EventStatus,
    /// `code: sentence`, without secrets; further lines say what probably went wrong.
    pub reason: String,
    /// When its head was read.
    pub received_at: Timestamp,
    /// The client, behind trusted proxies.
    pub client_ip: IpAddr,
    /// Header names in lower case, secrets masked.
    pub headers: Vec<(String, String)>,
    /// The first bytes of the body.
    pub body_prefix: Bytes,
    /// Bytes of the body that were read.
    pub body_bytes: u64,
    /// SHA-256 of the body, when it was read to its end.
    pub body_sha256: Option<[u8; 32]>,
}

/// A job that this worker holds.
#[derive(Debug, Clone)]
pub struct ClaimedEvent {
    /// The event.
    pub id: EventId,
    /// The lease's epoch; settling carries it.
    pub epoch: i64,
    /// 1 on the first attempt.
    pub attempt: u32,
    /// The handler it came to.
    pub handler: HandlerName,
    /// The provider that read it.
    pub provider: String,
    /// The event type with its action.
    pub event: String,
    /// The sender's id of the delivery.
    pub delivery_id: Option<String>,
    /// What the signature check said.
    pub verdict: Verdict,
    /// When it was received.
    pub received_at: Timestamp,
    /// The event that this one repeats.
    pub replay_of: Option<EventId>,
    /// Headers, masked.
    pub headers: Vec<(String, String)>,
    /// The JSON payload.
    pub payload: Bytes,
}

/// How a claimed job ends.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The event.
    pub id: EventId,
    /// The epoch under which it was claimed.
    pub epoch: i64,
    /// When.
    pub at: Timestamp,
    /// The outcome.
    pub outcome: Settled,
}

/// The outcome of a job.
#[derive(Debug, Clone)]
pub enum Settled {
    /// Done.
    Processed {
        /// The notice's first line as plain text.
        title: String,
        /// A link for a person.
        url: Option<String>,
        /// The thing it is about.
        subject: Option<String>,
        /// How much it asks for attention.
        severity: Severity,
        /// What to say to whom. A second notice of one event, kind and chat is not kept.
        notices: Vec<NewNotice>,
        /// Whether a model shall write beneath those of kind `event`.
        summarize: bool,
    },
    /// Not done; due again later.
    Retry {
        /// When.
        due_at: Timestamp,
        /// Why, without secrets.
        error: String,
    },
    /// Given up: a dead letter.
    Failed {
        /// Why, without secrets.
        error: String,
        /// What to say to whom.
        notices: Vec<NewNotice>,
    },
}

/// A notice to keep.
#[derive(Debug, Clone)]
pub struct NewNotice {
    /// Its id.
    pub id: NoticeId,
    /// Where it goes.
    pub chat: ChatKey,
    /// Why it exists.
    pub kind: NoticeKind,
    /// The event it tells of.
    pub event: Option<EventId>,
    /// The message it answers, by the channel's id.
    pub reply_to: Option<i64>,
    /// What it says.
    pub message: Message,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A notice that waits to be sent.
#[derive(Debug, Clone)]
pub struct WaitingNotice {
    /// Its id.
    pub id: NoticeId,
    /// Why it exists.
    pub kind: NoticeKind,
    /// The message it answers, by the channel's id.
    pub reply_to: Option<i64>,
    /// What it says.
    pub message: Message,
    /// When it was made.
    pub created_at: Timestamp,
    /// Sends begun so far.
    pub attempts: u32,
    /// Earlier sends that left and were never answered.
    pub unanswered: u32,
}

/// What became of one send of one notice.
#[derive(Debug, Clone)]
pub struct SendSettlement {
    /// The notice.
    pub id: NoticeId,
    /// When.
    pub at: Timestamp,
    /// The outcome.
    pub outcome: SendSettled,
}

/// The outcome of a send, as the ledger keeps it.
#[derive(Debug, Clone)]
pub enum SendSettled {
    /// Confirmed. The state becomes `sent`, or `maybe_sent` if an earlier send was unanswered.
    Sent {
        /// The channel's id of the message.
        message_id: Option<i64>,
        /// The title of the digest that it went out in.
        digest: Option<String>,
    },
    /// Waits again. Unanswered sends are counted and never forgotten; `counts: false` takes the attempt back (a 429).
    Waits {
        /// Why, without secrets.
        error: String,
        /// The send left and was not answered.
        unanswered: bool,
        /// Whether it counts as an attempt.
        counts: bool,
    },
    /// Sent again and again, never answered: it stays `maybe_sent` and is not sent again.
    GivenUp {
        /// Why, without secrets.
        error: String,
    },
    /// The chat will never take it.
    Failed {
        /// Why, in the channel's words.
        error: String,
    },
}

/// Something a chat sent us, kept before it is handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundItem {
    /// The channel's own, rising id (Telegram: `update_id`).
    pub external_id: i64,
    /// The item as JSON text.
    pub body: String,
    /// When it was fetched.
    pub received_at: Timestamp,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Only this handler.
    pub handler: Option<String>,
    /// Only this event type; `pull_request` covers `pull_request.opened`.
    pub event: Option<String>,
    /// Only this status.
    pub status: Option<EventStatus>,
    /// Only those received at or after.
    pub since: Option<Timestamp>,
    /// Only those whose title, event type, delivery id, reason or payload contains this text (ASCII case ignored).
    pub search: Option<String>,
    /// At most this many; 0 means [`EVENTS_PAGE_DEFAULT`]. Capped at [`EVENTS_PAGE_MAX`].
    pub limit: usize,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Only events newer than this one, oldest first (for `tail`); excludes `cursor`.
    pub after: Option<EventId>,
}

/// Events on a page when nobody says otherwise.
pub const EVENTS_PAGE_DEFAULT: usize = 50;
/// Most events on a page.
pub const EVENTS_PAGE_MAX: usize = 500;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// An event as lists show it (section 14 of the contract).
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct EventRow {
    /// `evt_…`.
    pub id: EventId,
    /// `None` for an unknown path.
    pub handler: Option<String>,
    /// The provider.
    pub provider: Option<String>,
    /// The event type.
    pub event: Option<String>,
    /// The sender's id of the delivery.
    pub delivery_id: Option<String>,
    /// What the signature check said.
    pub verdict: Option<Verdict>,
    /// Where it is on its way.
    pub status: EventStatus,
    /// Why it is there.
    pub reason: Option<String>,
    /// When its head was read.
    pub received_at: Timestamp,
    /// When the agent was done with it.
    pub processed_at: Option<Timestamp>,
    /// The client.
    pub client_ip: String,
    /// Size of the body.
    pub body_bytes: u64,
    /// SHA-256 of the body in hex.
    pub body_sha256: Option<String>,
    /// The notice's first line.
    pub title: Option<String>,
    /// A link for a person.
    pub url: Option<String>,
    /// The thing it is about.
    pub subject: Option<String>,
    /// How much it asks for attention.
    pub severity: Option<Severity>,
    /// The event that this one repeats.
    pub replay_of: Option<EventId>,
    /// Its notices.
    pub notices: Vec<NoticeRow>,
    /// Its runs (none before workflows exist).
    pub runs: Vec<serde_json::Value>,
}

/// A notice as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct NoticeRow {
    /// `ntc_…`.
    pub id: NoticeId,
    /// `terminal` or `telegram`.
    pub channel: String,
    /// The chat within the channel.
    pub chat: ChatKey,
    /// How far it has come.
    pub state: NoticeState,
    /// The channel's id of the message.
    pub message_id: Option<i64>,
    /// Sends begun.
    pub attempts: u32,
    /// When the channel confirmed it.
    pub sent_at: Option<Timestamp>,
    /// The last error.
    pub error: Option<String>,
}

/// A notice and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeMessage {
    /// The notice.
    pub row: NoticeRow,
    /// Why it exists.
    pub kind: NoticeKind,
    /// What it says.
    pub message: Message,
}

/// One event with everything about it.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct EventDetail {
    /// The row.
    #[serde(flatten)]
    pub row: EventRow,
    /// Header names in lower case, secrets masked.
    pub headers: serde_json::Map<String, serde_json::Value>,
    /// The payload: JSON where it is JSON, else text (a refused body's first bytes).
    pub payload: serde_json::Value,
    /// From the socket to the last notice, oldest first.
    pub timeline: Vec<TimelineEntry>,
}

/// One thing that happened to an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// `received`, `verified`, `committed`, `retried`, `processed`, `notice_sent`, …
    pub what: String,
    /// More, in words.
    pub detail: Option<String>,
}

/// Counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Stats {
    /// Jobs not settled.
    pub queue_depth: u64,
    /// When the oldest of them was received.
    pub oldest_job_at: Option<Timestamp>,
    /// Notices not confirmed.
    pub notices_waiting: u64,
    /// Events kept, by status.
    pub events: std::collections::BTreeMap<String, u64>,
    /// When each handler last had an event accepted.
    pub last_event_at: std::collections::BTreeMap<String, Timestamp>,
}

/// What the overview shows of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Overview {
    /// Counts.
    pub stats: Stats,
    /// Requests by minute, handler and what became of them, oldest first. Minutes without any are left out.
    pub minutes: Vec<Minute>,
    /// Notices that are not confirmed, by state: `pending`, `sending`, `failed`, `maybe_sent`.
    pub outbox: std::collections::BTreeMap<String, u64>,
    /// When the oldest notice that waits was made.
    pub oldest_notice_at: Option<Timestamp>,
    /// Runs that have not ended, by state.
    pub runs: std::collections::BTreeMap<String, u64>,
    /// Approvals that wait for a person.
    pub approvals_pending: u64,
}

/// Requests of one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Minute {
    /// When it begins.
    pub at: Timestamp,
    /// The handler; empty for an unknown path.
    pub handler: String,
    /// `accepted` (whatever came of it later), `ignored`, `duplicate` or `rejected`.
    pub outcome: String,
    /// How many.
    pub count: u64,
}

/// Rows of a read-only query.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct QueryResult {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows; blobs as `x'…'` text.
    pub rows: Vec<Vec<serde_json::Value>>,
    /// More rows were there than asked for.
    pub truncated: bool,
}
