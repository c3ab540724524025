//! What a verified request is about: its event type and its delivery id, found where the manifest says.
//!
//! Payloads are anything that is JSON, headers are anything that HTTP lets through; nothing here can fail on either. What
//! comes out is short and of harmless characters, since it goes into logs, keys and messages.

use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

/// Longest event type, in characters.
pub const EVENT_CHARS_MAX: usize = 100;
/// Longest delivery id that is kept as it is, in bytes; a longer one is kept as its hash.
pub const DELIVERY_ID_BYTES_MAX: usize = 200;
/// Whole numbers up to this are exact in floating point: 2^53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// The event type of an event that has none.
pub const UNKNOWN_EVENT: &str = "unknown";

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The event type with its action: `pull_request.opened`.
    pub event: String,
    /// The sender's own id of the delivery, where it has one.
    pub delivery_id: Option<String>,
}

/// The request does not say which event it is, and this sender always does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MissingEventType {
    /// What is missing, in a sentence.
    pub message: String,
}

/// A path into a payload: `event.type`, `items.0.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PayloadPath(Vec<String>);

impl PayloadPath {
    /// Splits a dotted path; `None` when a segment is empty.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let segments: Vec<String> = text.split('.').map(|s| s.trim().to_owned()).collect();
        segments.iter().all(|s| !s.is_empty()).then_some(Self(segments))
    }

    /// The value there.
    pub(super) fn find<'v>(&self, payload: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(payload, |value, segment| match value {
            Value::Object(map) => map.get(segment),
            Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// The value there as a text: texts and numbers only, and no empty ones.
    pub(super) fn find_text(&self, payload: &Value) -> Option<String> {
        match self.find(payload)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Like [`PayloadPath::find_text`] without numbers beyond 64 bits: neighbours are one and the same number here, and as
    /// delivery ids they would swallow each other.
    fn find_exact(&self, payload: &Value) -> Option<String> {
        let is_exact = |number: &Number| !number.is_f64() || number.as_f64().is_some_and(|n| n.abs() <= EXACT_MAX);
        let is_rough = matches!(self.find(payload)?, Value::Number(number) if !is_exact(number));
        if is_rough { None } else { self.find_text(payload) }
    }

    /// Puts a value there, making the objects on the way. Anything in the way that is no object stays as it is.
    pub(super) fn put(&self, payload: &mut Value, new: Value) {
        let Some((last, way)) = self.0.split_last() else { return };
        let mut place = payload;
        for segment in way {
            let Value::Object(map) = place else { return };
            place = map.entry(segment.clone()).or_insert_with(|| Value::Object(serde_json::Map::new()));
        }
        if let Value::Object(map) = place {
            map.insert(last.clone(), new);
        }
    }
}

impl std::fmt::Display for PayloadPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// One place where a value may stand. Several parts are joined with `/`, and all must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Header(Vec<HeaderName>),
    /// With a label, what is found is `label.` and that: a status says nothing without what has it.
    Payload(Option<String>, Vec<PayloadPath>),
}

impl Source {
    fn find(&self, headers: &HeaderMap, payload: &Value) -> Option<String> {
        let parts: Option<Vec<String>> = match self {
            Self::Header(names) => names.iter().map(|name| header_text(headers, name)).collect(),
            Self::Payload(_, paths) => paths.iter().map(|path| path.find_exact(payload)).collect(),
        };
        let text = parts.map(|parts| parts.join("/")).filter(|text| !text.is_empty())?;
        match self {
            Self::Payload(Some(label), _) => Some(format!("{label}.{text}")),
            Self::Payload(None, _) | Self::Header(_) => Some(text),
        }
    }
}

/// Where the event type stands.
#[derive(Debug, Clone)]
pub(super) struct EventLookup {
    pub sources: Vec<Source>,
    pub actions: Vec<PayloadPath>,
    pub required: bool,
    pub default: String,
}

impl EventLookup {
    pub(super) fn read(&self, headers: &HeaderMap, payload: &Value) -> Result<String, MissingEventType> {
        let found = self.sources.iter().filter_map(|s| s.find(headers, payload)).map(|t| clean_event(&t));
        let event = match found.into_iter().find(|text| !text.is_empty()) {
            Some(event) => event,
            None if self.required => return Err(self.missing()),
            // Nothing is known of it, so an action says nothing either.
            None if self.default == UNKNOWN_EVENT => return Ok(self.default.clone()),
            None => self.default.clone(),
        };
        Ok(match self.actions.iter().find_map(|path| path.find_text(payload)) {
            Some(action) => clean_event(&format!("{event}.{action}")),
            None => event,
        })
    }

    fn missing(&self) -> MissingEventType {
        let places: Vec<String> = self.sources.iter().map(Source::describe).collect();
        MissingEventType {
            message: format!("the request does not say which event it is: {} is missing", places.join(" or ")),
        }
    }

    /// Splits `pull_request.opened` into what the sources hold and what the action holds.
    pub(super) fn split<'e>(&self, event: &'e str) -> (&'e str, Option<&'e str>) {
        match event.split_once('.') {
            Some((base, action)) if !self.actions.is_empty() => (base, Some(action)),
            _ => (event, None),
        }
    }

    /// Writes the event type into an example, where the sender has it in the payload.
    pub(super) fn fill(&self, payload: &mut Value, event: &str) {
        let (base, action) = self.split(event);
        let in_header = matches!(self.sources.first(), Some(Source::Header(_)));
        let by_absence =
            base == self.default && self.sources.iter().all(|s| s.find(&HeaderMap::new(), payload).is_none());
        if !in_header && !by_absence {
            fill_first(&self.sources, payload, base);
        }
        let there = self.actions.iter().find(|path| path.find_text(payload).is_some());
        if let (Some(path), Some(action)) = (there.or(self.actions.first()), action) {
            path.put(payload, Value::String(action.to_owned()));
        }
    }
}

/// Where the delivery id stands.
#[derive(Debug, Clone, Default)]
pub(super) struct DeliveryLookup {
    pub sources: Vec<Source>,
}

impl DeliveryLookup {
    /// `signed` is the id header that the request's signature covers. Where it is one of the sources it comes first: an id
    /// that nobody signed, added to a captured request, would make a replay look like another delivery.
    pub(super) fn read(&self, headers: &HeaderMap, payload: &Value, signed: Option<&HeaderName>) -> Option<String> {
        let is_signed =
            |source: &&Source| matches!((source, signed), (Source::Header(n), Some(s)) if n.as_slice() == [s.clone()]);
        let first = self.sources.iter().filter(is_signed);
        first.chain(&self.sources).find_map(|source| source.find(headers, payload)).map(|id| {
            if id.len() <= DELIVERY_ID_BYTES_MAX && !id.chars().any(char::is_control) {
                id
            } else {
                format!("sha256:{}", hex::encode(Sha256::digest(id.as_bytes())))
            }
        })
    }

    /// Writes the delivery id into an example, where the sender has it in the payload alone.
    pub(super) fn fill(&self, payload: &mut Value, delivery_id: &str) {
        if !matches!(self.sources.first(), Some(Source::Header(_))) {
            fill_first(&self.sources, payload, delivery_id);
        }
    }
}

fn fill_first(sources: &[Source], payload: &mut Value, text: &str) {
    let labelled = sources.iter().find_map(|source| match source {
        Source::Payload(Some(label), paths) => {
            Some((paths.last()?, text.strip_prefix(label.as_str())?.strip_prefix('.')?))
        }
        Source::Payload(None, _) | Source::Header(_) => None,
    });
    if let Some((path, rest)) = labelled {
        return path.put(payload, Value::String(rest.to_owned()));
    }
    let mut paths = sources.iter().filter_map(|source| match source {
        Source::Payload(None, paths) => paths.last(),
        Source::Payload(Some(_), _) | Source::Header(_) => None,
    });
    let first = paths.clone().next();
    if let Some(path) = paths.find(|path| path.find_text(payload).is_some()).or(first) {
        path.put(payload, Value::String(text.to_owned()));
    }
}

impl Source {
    fn describe(&self) -> String {
        match self {
            Self::Header(names) => names.iter().map(|name| format!("header {name}")).collect::<Vec<_>>().join(" with "),
            Self::Payload(_, paths) => {
                paths.iter().map(|path| format!("field '{}'", path.0.join("."))).collect::<Vec<_>>().join(" with ")
            }
        }
    }
}

/// The first value of a header as text, trimmed; `None` when it is absent, empty or not UTF-8.
pub(super) fn header_text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = std::str::from_utf8(headers.get(name)?.as_bytes()).ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Bounds an event type and replaces what does not belong into one.
pub(super) fn clean_event(text: &str) -> String {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-' | '/' | ' ');
    text.trim().chars().take(EVENT_CHARS_MAX).map(|c| if known(c) { c } else { '_' }).collect()
}

/// `now` as a sender would write it.
pub(super) fn timestamp_text(now: Timestamp, unit: super::manifest::TimeUnit) -> String {
    match unit {
        super::manifest::TimeUnit::S => now.as_second().to_string(),
        super::manifest::TimeUnit::Ms => now.as_millisecond().to_string(),
        super::manifest::TimeUnit::Rfc3339 => now.to_string(),
    }
}

/// Whether `event` is among those a handler wants. An empty list wants all; `pull_request` covers `pull_request.opened`,
/// and so does `pull_request.*`.
pub fn wanted(events: &[String], event: &str) -> bool {
    events.is_empty() || events.iter().any(|pattern| covers(pattern, event))
}

/// What separates the segments of an event type: `pull_request.opened`, `orders/paid`.
pub(super) const SEPARATORS: [char; 2] = ['.', '/'];

/// Whether a pattern covers an event: `*`, the event itself, a prefix of whole segments, or that prefix with `.*`.
pub(super) fn covers(pattern: &str, event: &str) -> bool {
    let pattern = pattern.trim();
    if pattern == "*" || pattern == event {
        return true;
    }
    let prefix = pattern.strip_suffix(".*").or_else(|| pattern.strip_suffix("/*")).unwrap_or(pattern);
    event.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(SEPARATORS))
}
