//! Requests that are a question about ourselves (GitHub's `ping`, Slack's `url_verification`) and their answers.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::manifest::HandshakeSpec;
use super::reading::{PayloadPath, header_text};

/// Longest text that an answer gives back, in bytes. Slack's challenge has 52 characters.
const ECHO_BYTES_MAX: usize = 1024;

/// The answer to a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeReply {
    /// The status.
    pub status: u16,
    /// The type of `body`; empty when there is none.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
    /// Headers that the sender looks for.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Keep the request as an event, so that people read that the sender is connected.
    pub keep: bool,
}

/// One handshake of a manifest.
#[derive(Debug, Clone)]
pub(super) struct Handshake {
    method: String,
    when: Vec<(Subject, Value)>,
    status: u16,
    body: Body,
    headers: Vec<(HeaderName, Text)>,
    keep: bool,
}

#[derive(Debug, Clone)]
enum Subject {
    Event,
    Header(HeaderName),
    Payload(PayloadPath),
}

#[derive(Debug, Clone)]
enum Body {
    Nothing,
    Json(Value),
    JsonEcho(String, PayloadPath),
    Text(String),
    TextEcho(PayloadPath),
}

/// A header's value: as written, or that of a request header.
#[derive(Debug, Clone)]
enum Text {
    Fixed(HeaderValue),
    Echo(HeaderName),
}

impl Handshake {
    /// Checks one entry of `handshake`; the error is a sentence.
    pub(super) fn compile(spec: &HandshakeSpec) -> Result<Self, String> {
        let mut method = "POST".to_owned();
        let mut when = Vec::new();
        for (key, value) in &spec.when {
            let subject = match key.split_once('.') {
                None if key == "event" => Subject::Event,
                None if key == "method" => {
                    method = value.as_str().ok_or("`method` is not a text")?.to_ascii_uppercase();
                    continue;
                }
                Some(("payload", path)) => Subject::Payload(PayloadPath::parse(path).ok_or("an empty payload path")?),
                Some(("header", name)) => Subject::Header(name.parse().map_err(|_| format!("'{name}' is no header"))?),
                _ => return Err(format!("`{key}` is not one of: event, method, payload.<path>, header.<name>")),
            };
            when.push((subject, value.clone()));
        }
        if when.is_empty() {
            return Err("`when` names no event, payload field or header, so every request would be a handshake".into());
        }
        let reply = &spec.reply;
        let path = |text: &str| PayloadPath::parse(text).ok_or("an empty payload path".to_owned());
        let body = match (&reply.json, &reply.json_echo, &reply.text, &reply.text_echo) {
            (None, None, None, None) => Body::Nothing,
            (Some(json), None, None, None) => Body::Json(json.clone()),
            (None, Some(key), None, None) => {
                Body::JsonEcho(key.rsplit('.').next().unwrap_or(key).to_owned(), path(key)?)
            }
            (None, None, Some(text), None) => Body::Text(text.clone()),
            (None, None, None, Some(key)) => Body::TextEcho(path(key)?),
            _ => return Err("give one of `json`, `json_echo`, `text` and `text_echo`".into()),
        };
        let status = reply.status.unwrap_or(200);
        if !(200..300).contains(&status) {
            return Err(format!("a handshake is answered with a 2xx status, not {status}"));
        }
        let headers = reply.headers.0.iter().map(|(name, value)| header(name, value)).collect::<Result<_, _>>()?;
        Ok(Self { method, when, status, body, headers, keep: spec.keep })
    }

    /// The answer, when this request is that question.
    pub(super) fn answer(
        &self,
        method: &str,
        event: &str,
        headers: &HeaderMap,
        payload: &Value,
    ) -> Option<HandshakeReply> {
        let asked = self.when.iter().all(|(subject, expected)| match subject {
            Subject::Event => expected == "*" || expected == event,
            Subject::Header(name) => {
                header_text(headers, name).is_some_and(|text| expected == "*" || expected == &text)
            }
            Subject::Payload(path) => path.find(payload).is_some_and(|found| expected == "*" || expected == found),
        });
        if !asked || !method.eq_ignore_ascii_case(&self.method) {
            return None;
        }
        let (content_type, body) = self.body(payload);
        let mut reply_headers = Vec::new();
        for (name, text) in &self.headers {
            let value = match text {
                Text::Fixed(value) => Some(value.clone()),
                Text::Echo(from) => headers.get(from).filter(|value| value.len() <= ECHO_BYTES_MAX).cloned(),
            };
            reply_headers.extend(value.map(|value| (name.clone(), value)));
        }
        Some(HandshakeReply { status: self.status, content_type, body, headers: reply_headers, keep: self.keep })
    }

    fn body(&self, payload: &Value) -> (&'static str, String) {
        const JSON: &str = "application/json";
        const TEXT: &str = "text/plain; charset=utf-8";
        let echo = |path: &PayloadPath| {
            path.find_text(payload).filter(|text| text.len() <= ECHO_BYTES_MAX).unwrap_or_default()
        };
        match &self.body {
            Body::Nothing => ("", String::new()),
            Body::Json(json) => (JSON, json.to_string()),
            Body::JsonEcho(key, path) => {
                (JSON, Value::from(serde_json::Map::from_iter([(key.clone(), Value::from(echo(path)))])).to_string())
            }
            Body::Text(text) => (TEXT, text.clone()),
            Body::TextEcho(path) => (TEXT, echo(path)),
        }
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, Text), String> {
    let name: HeaderName = name.parse().map_err(|_| format!("'{name}' is no header name"))?;
    let text = match value.strip_prefix("{header:").and_then(|rest| rest.strip_suffix('}')) {
        Some(from) => Text::Echo(from.parse().map_err(|_| format!("'{from}' is no header name"))?),
        None => Text::Fixed(HeaderValue::from_str(value).map_err(|_| format!("'{value}' is no header value"))?),
    };
    Ok((name, text))
}

/// The answer of the first handshake that this request is.
pub(super) fn first_answer(
    handshakes: &[Handshake],
    method: &str,
    event: &str,
    headers: &HeaderMap,
    payload: &Value,
) -> Option<HandshakeReply> {
    handshakes.iter().find_map(|handshake| handshake.answer(method, event, headers, payload))
}
