//! Writes answers: JSON or, for handlers that ask for it, one line of text. Every answer carries `X-Request-Id`.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use warp::reply::Response;

use super::refusal::Refusal;
use crate::config::ResponseType;
use crate::domain::ids::{EventId, RequestId, RunId};
use crate::provider::HandshakeReply;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What a handler answers to a verified request.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Answer<'a> {
    /// A new event.
    Accepted {
        /// Its id.
        event_id: EventId,
        /// Who read it.
        provider: &'a str,
        /// Its type.
        event: &'a str,
        /// What to ask for later: the first run, else the event.
        execution_id: String,
        /// The runs that it started.
        runs: Vec<RunRef>,
    },
    /// Kept and wanted by nobody.
    Ignored {
        /// Why.
        reason: &'a str,
        /// Its id.
        event_id: EventId,
    },
    /// Seen before.
    Duplicate {
        /// The first event's id.
        event_id: EventId,
    },
    /// Seen before, had failed, queued again.
    Requeued {
        /// That event's id.
        event_id: EventId,
    },
}

/// A run as answers name it.
#[derive(Debug, Clone, Serialize)]
pub struct RunRef {
    /// The workflow.
    pub workflow: String,
    /// Its run.
    pub run_id: RunId,
}

impl<'a> Answer<'a> {
    /// A new event.
    pub fn accepted(event_id: EventId, provider: &'a str, event: &'a str, runs: Vec<RunRef>) -> Self {
        let execution_id = runs.first().map_or_else(|| event_id.to_string(), |run| run.run_id.to_string());
        Self::Accepted { event_id, provider, event, execution_id, runs }
    }

    /// The event that it is about.
    pub fn event_id(&self) -> EventId {
        match self {
            Self::Accepted { event_id, .. }
            | Self::Ignored { event_id, .. }
            | Self::Duplicate { event_id }
            | Self::Requeued { event_id } => *event_id,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Accepted { event_id, .. } => format!("accepted {event_id}\n"),
            Self::Ignored { reason, .. } => format!("ignored: {reason}\n"),
            Self::Duplicate { event_id } => format!("duplicate {event_id}\n"),
            Self::Requeued { event_id } => format!("requeued {event_id}\n"),
        }
    }
}

/// The answer to a verified request. A provider whose senders want 204 gets it, without a body.
pub fn answer(status: StatusCode, response_type: ResponseType, answer: &Answer<'_>) -> Response {
    if status == StatusCode::NO_CONTENT {
        return empty(status);
    }
    match response_type {
        ResponseType::Json => json(status, answer),
        ResponseType::Text => body(status, TEXT, answer.text().into()),
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("our own answers have text keys and no failing serializer");
    body(status, JSON, text.into())
}

/// A sender's handshake reply, as its manifest words it.
pub fn handshake(reply: &HandshakeReply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let mut response = if reply.body.is_empty() {
        empty(status)
    } else {
        body(status, HeaderValue::from_str(reply.content_type).unwrap_or(TEXT), reply.body.clone().into())
    };
    response.headers_mut().extend(reply.headers.iter().cloned());
    response
}

/// A refusal.
pub fn refusal(id: RequestId, response_type: ResponseType, refusal: &Refusal) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        error: Error<'a>,
    }
    #[derive(Serialize)]
    struct Error<'a> {
        code: &'a str,
        message: &'a str,
        request_id: RequestId,
    }
    let (code, message) = (refusal.code.as_str(), &*refusal.message);
    let mut response = match response_type {
        ResponseType::Json => json(refusal.status, &Body { error: Error { code, message, request_id: id } }),
        ResponseType::Text => body(refusal.status, TEXT, format!("{code}: {message} ({id})\n").into()),
    };
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(methods) = refusal.allow {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    }
    response
}

/// Puts the request's id on an answer.
pub fn with_id(mut response: Response, id: RequestId) -> Response {
    let value = HeaderValue::from_str(&id.to_string()).expect("letters, digits and '_'");
    response.headers_mut().insert("x-request-id", value);
    response
}

/// Says that the connection ends after this answer.
pub fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

fn body(status: StatusCode, content_type: HeaderValue, text: Bytes) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
