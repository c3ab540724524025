//! What a verified request says, and the row that is kept of it. Pure: the steps around it are in `receive`.

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::limits::{DELIVERY_ID_BYTES_MAX, EVENT_BYTES_MAX};
use super::record::shown;
use super::refusal::{Code, Refusal};
use super::routes::{Route, RouteKind};
use super::verify::{Head, Received, Verified};
use super::workflows;
use crate::domain::event::{DeliveryKey, EventStatus, Verdict};
use crate::domain::ids::EventId;
use crate::ledger::NewEvent;
use crate::provider::HandshakeReply;

/// What was read of a verified request.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    replay_key: Option<String>,
    pub(super) event: String,
    pub(super) delivery_id: Option<String>,
    pub(super) handshake: Option<HandshakeReply>,
    /// The payload's JSON text where it is not the body itself.
    pub(super) text: Option<Bytes>,
    /// The payload, where workflows may want it.
    pub(super) payload: Option<Value>,
}

/// Reads a verified request. Pure, and the only part whose time grows with the body.
pub(super) fn judge(verified: &Verified<'_>, keep_payload: bool) -> Result<Judged, Refusal> {
    let (provider, headers) = (&*verified.route().provider, verified.headers());
    let head = verified.head();
    if head.method != Method::POST {
        return Ok(Judged {
            verdict: verified.verdict(),
            replay_key: None,
            event: head.method.as_str().to_ascii_lowercase(),
            delivery_id: None,
            handshake: question(head, verified.route()),
            text: Some(Bytes::from_static(b"{}")),
            payload: None,
        });
    }
    let payload = verified.payload()?;
    let mut judged = Judged {
        verdict: verified.verdict(),
        replay_key: verified.replay_key().map(str::to_owned),
        event: String::new(),
        delivery_id: None,
        handshake: None,
        text: payload.text,
        payload: None,
    };
    if verified.route().kind != RouteKind::Handler {
        let read = provider.read(headers, &payload.value).ok().map(|reading| reading.event);
        judged.event = shorter(workflows::event_type(headers, &payload.value, read), EVENT_BYTES_MAX);
        judged.payload = Some(payload.value);
        return Ok(judged);
    }
    let reading = provider
        .read(headers, &payload.value)
        .map_err(|missing| Refusal::new(Code::MissingEventType, missing.message).verdict(verified.verdict()))?;
    judged.event = shorter(reading.event, EVENT_BYTES_MAX);
    judged.delivery_id = reading.delivery_id.filter(|id| !id.is_empty());
    judged.handshake = provider.handshake(&judged.event, headers, &payload.value);
    judged.payload = keep_payload.then_some(payload.value);
    Ok(judged)
}

/// The answer to a question that is asked by another method than `POST` (`CloudEvents` asks by `OPTIONS` whether it may send).
pub(super) fn question(head: &Head, route: &Route) -> Option<HandshakeReply> {
    if route.kind != RouteKind::Handler || head.method == Method::POST {
        return None;
    }
    route.provider.handshake_of(head.method.as_str(), "", &head.headers, &serde_json::Value::Null)
}

/// A delivery id as it is kept: bounded and without secrets.
pub(super) fn delivery_row(route: &Route, id: &str) -> String {
    shown(&route.masker.text(id.to_owned()), DELIVERY_ID_BYTES_MAX)
}

pub(super) fn new_event(id: EventId, received: &Received, judged: &Judged, ignored: Option<String>) -> NewEvent {
    let (route, exchange) = (&*received.route, &received.exchange);
    NewEvent {
        id,
        handler: route.name.clone(),
        provider: route.provider.name().to_owned(),
        event: judged.event.clone(),
        delivery_id: judged.delivery_id.as_deref().map(|id| delivery_row(route, id)),
        // What nobody wanted claims no key: once the filter is widened, a redelivery is an event.
        delivery_key: if ignored.is_some() { None } else { delivery_key(route, judged) },
        verdict: judged.verdict,
        status: if ignored.is_some() { EventStatus::Ignored } else { EventStatus::Accepted },
        reason: ignored.map(|reason| route.masker.sentence(reason)),
        received_at: exchange.received_at,
        client_ip: exchange.client,
        headers: route.masker.headers(&exchange.head.headers),
        body: received.body.clone(),
        body_sha256: Sha256::digest(&received.body).into(),
        payload: judged.text.clone(),
    }
}

/// The delivery id, else what a timestamped signature makes unique; never a hash of the body alone, because two equal
/// alarms are two events.
fn delivery_key(route: &Route, judged: &Judged) -> Option<DeliveryKey> {
    match (&judged.delivery_id, &judged.replay_key) {
        (Some(id), _) => Some(DeliveryKey::new(&route.name, id)),
        // The NUL keeps these apart from what senders call their deliveries.
        (None, Some(key)) => Some(DeliveryKey::new(&route.name, &format!("\0replay:{key}"))),
        (None, None) => None,
    }
}

fn shorter(text: String, limit: usize) -> String {
    match text.len() <= limit {
        true => text,
        false => shown(&text, limit),
    }
}
