//! Providers: how a sender signs, where its event type and delivery id are, and how its events read to a person.
//!
//! Everything about one sender is in its manifest (`providers/*.yaml`, `data/providers/`, `integrations/*/provider.yaml`);
//! the code here knows schemes and templates, and no sender by name. It opens no socket and keeps nothing.

mod compile;
mod describe;
mod diagnosis;
mod faults;
mod handshake;
mod manifest;
mod reading;
mod reference;
mod registry;
mod remedy;
mod signature;
mod summary;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;

pub use diagnosis::{FINDINGS_MAX, Suspect};
pub use handshake::HandshakeReply;
pub use reading::{DELIVERY_ID_BYTES_MAX, EVENT_CHARS_MAX, MissingEventType, Reading, UNKNOWN_EVENT, wanted};
pub use registry::Registry;
pub use remedy::{NOT_LOOKED_INTO, advice};
pub use signature::{SignRequest, SignedRequest, Verification};
pub use summary::{LINE_CHARS_MAX, LINES_MAX, SUBJECT_CHARS_MAX, TITLE_CHARS_MAX, URL_BYTES_MAX};

use crate::config::Secret;
use crate::domain::notice::Summary;

/// An event that a provider is known to send.
#[derive(Debug, Clone, PartialEq)]
pub struct EventInfo {
    /// The event type, with its action where the example has one.
    pub name: String,
    /// What it tells.
    pub description: String,
    /// A realistic payload.
    pub example: Option<Value>,
    /// Headers that the sender adds to it, besides those that every event has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the manifest names a schema of the payload.
    pub has_schema: bool,
}

/// One sender, as its manifest describes it.
#[derive(Debug)]
pub struct Provider {
    name: String,
    title: String,
    docs: Option<String>,
    setup: Vec<String>,
    timeout: Option<String>,
    answer_within: Option<Duration>,
    retries: Option<String>,
    secret_env: Option<String>,
    body: manifest::BodyForm,
    overload_status: u16,
    rate_limit_status: u16,
    success_status: u16,
    issues_secret: bool,
    generic: bool,
    signature: signature::Signature,
    event: reading::EventLookup,
    delivery: reading::DeliveryLookup,
    handshakes: Vec<handshake::Handshake>,
    headers: Vec<String>,
    summaries: summary::Summaries,
    events: Vec<EventInfo>,
}

impl Provider {
    /// The name by which handlers choose it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sender's name as people write it.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The sender in a sentence: its name, or "the sender" where the title is that of a way to sign.
    pub fn sender(&self) -> &str {
        if self.generic { "the sender" } else { &self.title }
    }

    /// Whether it is a way to sign that many services have, and so knows none of their events.
    pub fn is_generic(&self) -> bool {
        self.generic
    }

    /// The sender's documentation of its webhooks.
    pub fn docs(&self) -> Option<&str> {
        self.docs.as_deref()
    }

    /// What a person does at the sender to connect it, a step each.
    pub fn setup(&self) -> &[String] {
        &self.setup
    }

    /// How long the sender waits for an answer, where that is known.
    pub fn answer_within(&self) -> Option<Duration> {
        self.answer_within
    }

    /// How long the sender waits for an answer, in its own words.
    pub fn sender_timeout(&self) -> Option<&str> {
        self.timeout.as_deref()
    }

    /// How often the sender tries again, in its own words.
    pub fn sender_retries(&self) -> Option<&str> {
        self.retries.as_deref()
    }

    /// The environment variable in which the manifest says the secret is.
    pub fn secret_env(&self) -> Option<&str> {
        self.secret_env.as_deref()
    }

    /// Every header that can carry a signature, in the manifest's order.
    pub fn signature_headers(&self) -> &[HeaderName] {
        self.signature.headers()
    }

    /// The header of the first scheme as the sender writes it; empty when this sender does not sign.
    pub fn signature_header_shown(&self) -> &str {
        self.signature.header_shown()
    }

    /// Whether the sender signs with a private key, so that the secret here is the public one and signs nothing.
    pub fn signs_with_private_key(&self) -> bool {
        self.signature.is_asymmetric()
    }

    /// Whether its manifest describes any way to sign.
    pub fn signs(&self) -> bool {
        !self.signature.headers().is_empty()
    }

    /// Why a secret can verify nothing of this sender's; `None` where it may be one of its secrets.
    pub fn secret_fault(&self, secret: &Secret) -> Option<String> {
        self.signature.secret_fault(secret)
    }

    /// What a secret of this sender is, for whoever gave another.
    pub fn secret_hint(&self) -> String {
        let title = &self.title;
        if self.issues_secret || self.signs_with_private_key() {
            format!("copy it whole from where {title} shows it")
        } else {
            format!("'agent webhook add {}' makes one", self.name)
        }
    }

    /// The events that the sender is known to send.
    pub fn events(&self) -> &[EventInfo] {
        &self.events
    }

    /// Names, in lower case, of the headers that templates may see.
    pub fn visible_headers(&self) -> &[String] {
        &self.headers
    }

    /// The status that makes this sender try again when we cannot take an event now.
    pub fn overload_status(&self) -> u16 {
        self.overload_status
    }

    /// The status for a client over its rate: 429, save for senders that take a 4xx for the end of the hook.
    pub fn rate_limit_status(&self) -> u16 {
        self.rate_limit_status
    }

    /// The status of an accepted event.
    pub fn success_status(&self) -> u16 {
        self.success_status
    }

    /// Checks the signature of a request under any of the secrets: the MAC first, then its age. Called only for handlers
    /// that have a secret.
    pub fn verify(&self, secrets: &[Secret], request: &SignedRequest<'_>, now: Timestamp) -> Verification {
        self.signature.verify(secrets, request, now, self.sender())
    }

    /// Whether a request carries a signature of any kind, known to be wrong or not.
    pub fn presence(&self, headers: &HeaderMap) -> bool {
        self.signature.presence(headers)
    }

    /// The event type and the delivery id of a request.
    pub fn read(&self, headers: &HeaderMap, payload: &Value) -> Result<Reading, MissingEventType> {
        let event = self.event.read(headers, payload)?;
        let signed = self.signature.signed_id(headers);
        Ok(Reading { event, delivery_id: self.delivery.read(headers, payload, signed) })
    }

    /// The answer to a `POST` that is a handshake.
    pub fn handshake(&self, event: &str, headers: &HeaderMap, payload: &Value) -> Option<HandshakeReply> {
        self.handshake_of("POST", event, headers, payload)
    }

    /// The answer to a handshake by any method (`CloudEvents` asks by `OPTIONS`, before there is an event).
    pub fn handshake_of(
        &self,
        method: &str,
        event: &str,
        headers: &HeaderMap,
        payload: &Value,
    ) -> Option<HandshakeReply> {
        handshake::first_answer(&self.handshakes, method, event, headers, payload)
    }

    /// How an event reads to a person. Always gives a message, within the limits of this module. `headers` are names in
    /// lower case; templates see those that the manifest names.
    pub fn summarize(&self, event: &str, payload: &Value, headers: &[(String, String)]) -> Summary {
        self.summaries.summarize(event, payload, headers)
    }

    /// What the manifest reads from an event (`facts`), for conditions of workflows. A fact that the event does not have is
    /// left out.
    pub fn facts(&self, event: &str, payload: &Value, headers: &[(String, String)]) -> serde_json::Map<String, Value> {
        self.summaries.facts(event, payload, headers)
    }

    /// What the sender would send with `body`: content type, event, delivery id, and the signature when there is a
    /// secret. A scheme that signs the URL needs [`Provider::sign_request`]. An Ed25519 scheme takes the private key as
    /// the secret, which no handler has.
    pub fn sign(
        &self,
        secret: Option<&Secret>,
        body: &[u8],
        delivery_id: &str,
        event: &str,
        now: Timestamp,
    ) -> Vec<(HeaderName, HeaderValue)> {
        self.sign_request(secret, &SignRequest { url: "", body, delivery_id, event, now })
    }

    /// Like [`Provider::sign`], with the URL that the request goes to.
    pub fn sign_request(&self, secret: Option<&Secret>, request: &SignRequest<'_>) -> Vec<(HeaderName, HeaderValue)> {
        let content_type = match self.body {
            manifest::BodyForm::Json => "application/json",
            manifest::BodyForm::Form => "application/x-www-form-urlencoded",
        };
        let mut headers = vec![(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
        let (base, _) = self.event.split(request.event);
        let named = [(self.event.sources.first(), base), (self.delivery.sources.first(), request.delivery_id)];
        for (source, text) in named {
            if let Some(reading::Source::Header(names)) = source {
                for (index, name) in names.iter().enumerate() {
                    // A part of a joined name that is there already (Shopify's topic) keeps its value.
                    if index + 1 < names.len() && headers.iter().any(|(known, _)| known == name) {
                        continue;
                    }
                    let text = if index + 1 == names.len() { text } else { "hookhand" };
                    headers.extend(HeaderValue::from_str(text).ok().map(|value| (name.clone(), value)));
                }
            }
        }
        if let Some(info) = self.event_info(request.event) {
            headers.extend(info.headers.iter().cloned());
        }
        if let Some(secret) = secret {
            self.signature.sign(secret, request, &mut headers);
        }
        headers
    }

    /// A payload as this sender would write it into a body.
    pub fn encode(&self, payload: &Value) -> Vec<u8> {
        match (self.body, payload) {
            (manifest::BodyForm::Form, Value::Object(fields)) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for (name, value) in fields {
                    form.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                }
                form.finish().into_bytes()
            }
            _ => payload.to_string().into_bytes(),
        }
    }

    /// The example of an event with its event type and action filled in, ready to be sent; `None` without an example.
    pub fn prepare_example(&self, event: &str) -> Option<Value> {
        let mut payload = self.event_info(event)?.example.clone()?;
        self.event.fill(&mut payload, event);
        Some(payload)
    }

    /// Writes the delivery id and the time into a payload, for senders that have them there.
    pub fn fill(&self, payload: &mut Value, delivery_id: &str, now: Timestamp) {
        self.delivery.fill(payload, delivery_id);
        self.signature.fill(payload, now);
    }

    /// What is known of an event: of itself, else of the longest known prefix, else of any event that it covers.
    fn event_info(&self, event: &str) -> Option<&EventInfo> {
        let covering = self.events.iter().filter(|info| reading::covers(&info.name, event));
        let beneath = || self.events.iter().find(|info| reading::covers(event, &info.name));
        covering.max_by_key(|info| info.name.len()).or_else(beneath)
    }
}
