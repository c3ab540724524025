//! Keeps and tells what was refused, and tells what was accepted: the ledger's rows of refusals, and the log lines.
//!
//! Rows have bounds of their own, so that a scanner or a flood can neither fill the store nor push out the refusals that
//! somebody will want to read. One line per refusal; one per accepted event only at DEBUG, or at INFO once the user asked
//! for headers or payloads in the log: a line per event costs a fifth of the server's throughput.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::limits::{
    BODY_PREFIX_BYTES, DELIVERY_ID_BYTES_MAX, RATE_LIMITED_RECORDED_PER_SECOND, UNKNOWN_PATHS_RECORDED_PER_SECOND,
};
use super::mask::Masker;
use super::refusal::{Code, Refusal};
use super::routes::Route;
use super::verify::Exchange;
use crate::config::RequestLogging;
use crate::domain::event::{EventStatus, Verdict};
use crate::domain::ids::EventId;
use crate::ledger::RefusedRequest;

/// Longest path that is kept, in bytes.
const PATH_BYTES_MAX: usize = 200;
/// Longest method that is kept of such a request, in bytes.
const METHOD_BYTES_MAX: usize = 32;

/// What was read of a refused body.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The first bytes, or all.
    pub bytes: Bytes,
    /// How many bytes were read.
    pub read: u64,
    /// Whether `bytes` is the whole body.
    pub whole: bool,
}

impl Seen {
    /// A body that was read to its end.
    pub fn whole(body: &Bytes) -> Self {
        Self { bytes: body.clone(), read: body.len() as u64, whole: true }
    }
}

/// Lets through so many a second.
#[derive(Debug, Default)]
pub struct PerSecond {
    second: AtomicI64,
    count: AtomicU32,
}

impl PerSecond {
    /// Whether one more at `now` is within `max`. Two threads may disagree about the first of a second; it is no meter.
    pub fn admits(&self, now: Timestamp, max: u32) -> bool {
        if self.second.swap(now.as_second(), Relaxed) != now.as_second() {
            self.count.store(0, Relaxed);
        }
        self.count.fetch_add(1, Relaxed) < max
    }
}

/// The bounds of what is recorded.
#[derive(Debug, Default)]
pub struct Recorder {
    unknown_paths: PerSecond,
    rate_limited: PerSecond,
}

impl Recorder {
    /// Whether this refusal gets a row.
    pub fn keeps(&self, code: Code, now: Timestamp) -> bool {
        match code {
            Code::NotFound | Code::BadRequest => self.unknown_paths.admits(now, UNKNOWN_PATHS_RECORDED_PER_SECOND),
            Code::RateLimited => self.rate_limited.admits(now, RATE_LIMITED_RECORDED_PER_SECOND),
            Code::MethodNotAllowed
            | Code::IpNotAllowed
            | Code::NotReady
            | Code::StorageUnavailable
            | Code::Disabled
            | Code::BodyTooLarge
            | Code::BodyTimeout
            | Code::MissingSignature
            | Code::InvalidSignature
            | Code::StaleSignature
            | Code::InvalidPayload
            | Code::MissingEventType
            | Code::Internal => true,
        }
    }
}

/// The row of a request to a path where nothing is: only where and who, because the rest is a scanner's.
pub fn unknown_path(exchange: &Exchange, masker: &Masker, refusal: &Refusal) -> RefusedRequest {
    // Masked before it is cut: a part of a secret is too much as well. Any word may be a method, of any length.
    let path = shown(&masker.text(exchange.head.uri.path().to_owned()), PATH_BYTES_MAX);
    let method = shown(&masker.text(exchange.head.method.to_string()), METHOD_BYTES_MAX);
    RefusedRequest {
        id: EventId::new(exchange.id.ulid()),
        handler: None,
        provider: None,
        event: None,
        delivery_id: None,
        verdict: None,
        status: EventStatus::Rejected,
        reason: format!("{}: {method} {path}", refusal.code),
        received_at: exchange.received_at,
        client_ip: exchange.client,
        headers: Vec::new(),
        body_prefix: Bytes::new(),
        body_bytes: 0,
        body_sha256: None,
    }
}

/// The row of a refusal at a route. Its id is the request's, so that a sender's `req_…` finds the row `evt_…`.
pub fn refused(exchange: &Exchange, route: &Route, refusal: &Refusal, seen: &Seen) -> RefusedRequest {
    RefusedRequest {
        id: EventId::new(exchange.id.ulid()),
        handler: Some(route.name.clone()),
        provider: Some(route.provider.name().to_owned()),
        event: None,
        delivery_id: None,
        verdict: refusal.verdict,
        status: EventStatus::Rejected,
        reason: route.masker.sentence(refusal.reason()),
        received_at: exchange.received_at,
        client_ip: exchange.client,
        headers: route.masker.headers(&exchange.head.headers),
        body_prefix: route.masker.prefix(&seen.bytes, BODY_PREFIX_BYTES),
        body_bytes: seen.read,
        body_sha256: seen.whole.then(|| Sha256::digest(&seen.bytes).into()),
    }
}

/// What names a duplicate.
#[derive(Debug, Clone, Copy)]
pub struct Repeated<'a> {
    /// Its type.
    pub event: &'a str,
    /// Its delivery id.
    pub delivery_id: Option<&'a str>,
    /// `Valid` or `Unsigned`.
    pub verdict: Verdict,
    /// The event that came first.
    pub first: EventId,
}

/// The row of a duplicate.
pub fn duplicate(exchange: &Exchange, route: &Route, body: &Bytes, what: Repeated<'_>) -> RefusedRequest {
    RefusedRequest {
        id: EventId::new(exchange.id.ulid()),
        handler: Some(route.name.clone()),
        provider: Some(route.provider.name().to_owned()),
        event: Some(what.event.to_owned()),
        delivery_id: what.delivery_id.map(|id| shown(&route.masker.text(id.to_owned()), DELIVERY_ID_BYTES_MAX)),
        verdict: Some(what.verdict),
        status: EventStatus::Duplicate,
        reason: format!("same delivery as {}", what.first),
        received_at: exchange.received_at,
        client_ip: exchange.client,
        headers: route.masker.headers(&exchange.head.headers),
        body_prefix: route.masker.prefix(body, BODY_PREFIX_BYTES),
        body_bytes: body.len() as u64,
        body_sha256: Some(Sha256::digest(body).into()),
    }
}

/// At most `limit` bytes of a text, cut between characters.
pub fn shown(text: &str, limit: usize) -> String {
    text[..text.floor_char_boundary(limit)].to_owned()
}

/// What is logged, and at which level.
#[derive(Debug, Clone)]
pub struct RequestLog(pub RequestLogging);

impl RequestLog {
    fn logs(&self, level: tracing::Level) -> bool {
        self.0.enabled && level <= self.0.level
    }

    fn headers(&self, exchange: &Exchange, masker: &Masker) -> Option<String> {
        self.0.include_headers.then(|| {
            let pairs = masker.headers(&exchange.head.headers);
            pairs.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ")
        })
    }

    fn payload(&self, masker: &Masker, body: &[u8]) -> Option<String> {
        self.0.include_payload.then(|| String::from_utf8_lossy(&masker.prefix(body, BODY_PREFIX_BYTES)).into_owned())
    }

    /// One line per refusal. `route` and `body` are `None` where there is none.
    pub fn refused(&self, exchange: &Exchange, route: Option<&Route>, masker: &Masker, refusal: &Refusal, body: &[u8]) {
        // Not by its status: that is chosen for the sender.
        let ours = refusal.code.status().is_server_error();
        if !self.logs(if ours { tracing::Level::WARN } else { tracing::Level::INFO }) {
            return;
        }
        let (headers, payload) = (self.headers(exchange, masker), self.payload(masker, body));
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    request.id = %exchange.id,
                    handler.name = route.map(|route| route.name.as_str()),
                    status = refusal.status.as_u16(),
                    code = refusal.code.as_str(),
                    client.ip = %exchange.client,
                    headers,
                    payload,
                    "webhook refused: {}",
                    refusal.message
                )
            };
        }
        if ours { line!(tracing::Level::WARN) } else { line!(tracing::Level::INFO) }
    }

    /// One line per event, at DEBUG, or at INFO when headers or payloads are to be seen.
    pub fn accepted(&self, exchange: &Exchange, route: &Route, line: &AcceptedLine<'_>, body: &[u8]) {
        let asked_for = self.0.include_headers || self.0.include_payload;
        if !self.logs(if asked_for { tracing::Level::INFO } else { tracing::Level::DEBUG }) {
            return;
        }
        let masker = &route.masker;
        let (headers, payload) = (self.headers(exchange, masker), self.payload(masker, body));
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    event.id = %line.event_id,
                    request.id = %exchange.id,
                    handler.name = route.name.as_str(),
                    event.name = line.event,
                    status = line.outcome,
                    client.ip = %exchange.client,
                    duration_ms = line.duration_ms,
                    headers,
                    payload,
                    "webhook {}",
                    line.outcome
                )
            };
        }
        if asked_for { line!(tracing::Level::INFO) } else { line!(tracing::Level::DEBUG) }
    }
}

/// What the line of an event says.
#[derive(Debug, Clone, Copy)]
pub struct AcceptedLine<'a> {
    /// The event, or the first one of a duplicate.
    pub event_id: EventId,
    /// Its type.
    pub event: &'a str,
    /// `accepted`, `ignored`, `duplicate`, `requeued` or `handshake`.
    pub outcome: &'a str,
    /// From the head to the commit.
    pub duration_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_and_then_again_in_the_next() {
        let gate = PerSecond::default();
        let now = Timestamp::from_second(1_700_000_000).expect("in range");
        let later = Timestamp::from_second(1_700_000_001).expect("in range");
        assert_eq!([gate.admits(now, 2), gate.admits(now, 2), gate.admits(now, 2)], [true, true, false]);
        assert!(gate.admits(later, 2));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shown("aé", 2), "a");
        assert_eq!(shown("aé", 3), "aé");
    }
}
