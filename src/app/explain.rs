//! Why a request was refused, and what to do about it; the command line and the dashboard say it in the same words.
//!
//! What was found out when the request was refused is in its row (a signature is not kept, so nothing can be found out later);
//! the configuration of now says the rest.

use std::sync::Arc;

use super::handlers::secrets_of;
use crate::config::{Config, Handler};
use crate::dashboard::{Advice, Advisor};
use crate::domain::event::EventStatus;
use crate::intake::{Code, paths};
use crate::ledger::EventDetail;
use crate::provider::{NOT_LOOKED_INTO, Provider, Registry, advice};

/// Paths further from every served one than this, in edits, are like none of them.
const NEAR_EDITS_MAX: usize = 8;

/// Explains by the configuration and the manifests of now.
#[derive(Debug)]
pub(super) struct Explainer {
    pub(super) config: Arc<Config>,
    pub(super) registry: Arc<Registry>,
}

impl Advisor for Explainer {
    fn explain(&self, event: &EventDetail) -> Advice {
        explanation(&self.config, &self.registry, event)
    }
}

/// What there is to say of one request.
pub fn explanation(config: &Config, registry: &Registry, event: &EventDetail) -> Advice {
    let reason = event.row.reason.as_deref().unwrap_or_default();
    let mut lines = reason.lines();
    let first = lines.next().unwrap_or_default();
    let mut findings: Vec<String> = lines.map(str::to_owned).collect();
    let plain = |what: String, advice: &str| Advice { what, findings: Vec::new(), advice: vec![advice.to_owned()] };
    match event.row.status {
        EventStatus::Accepted | EventStatus::Processed => {
            let verdict = event.row.verdict.map_or("none", |verdict| verdict.as_str());
            plain(
                format!("It was not refused: it was accepted, signature {verdict}."),
                "'agent events show' has its timeline",
            )
        }
        EventStatus::Failed => plain(
            format!("It was accepted, and handling it failed: {first}"),
            "redeliver it at the sender, or 'agent events replay', once the cause is gone",
        ),
        EventStatus::Ignored => plain(
            format!("It was taken and not wanted: {first}"),
            "add the event type to the handler's `events`, then redeliver it",
        ),
        EventStatus::Duplicate => plain(
            format!("It had been delivered before: {first}"),
            "nothing: the first one counts; 'agent events replay' with its id handles that one once more",
        ),
        EventStatus::Rejected => {
            let (code, message) = first.split_once(": ").unwrap_or((first, ""));
            let what = format!("It was refused with {code}: {message}");
            let handler = event.row.handler.as_deref();
            let handler = handler.and_then(|name| config.webhooks.handlers.values().find(|h| h.name.as_str() == name));
            let case = Case { config, registry, event, handler, message, findings: &findings };
            let code = code.parse().ok();
            let advice = code.map(|code| case.advice(code)).unwrap_or_default();
            if findings.is_empty() && code.is_some_and(|code| case.is_looked_into(code)) {
                findings.push(format!("{NOT_LOOKED_INTO}; let the sender send it again"));
            }
            Advice { what, findings, advice }
        }
    }
}

/// A refusal beside the configuration of now.
struct Case<'c> {
    config: &'c Config,
    registry: &'c Registry,
    event: &'c EventDetail,
    handler: Option<&'c Handler>,
    message: &'c str,
    findings: &'c [String],
}

/// Whether two paths could name one thing: what they begin with is the same everywhere, so their ends tell.
fn is_like(asked: &str, path: &str) -> bool {
    let end = |path: &'_ str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let (asked, path) = (end(asked), end(path));
    let edits = strsim::damerau_levenshtein(&asked, &path);
    edits <= (asked.chars().count() / 3).max(1)
        || (!asked.is_empty() && (asked.starts_with(&path) || path.starts_with(&asked)))
}

impl Case<'_> {
    fn advice(&self, code: Code) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match code {
            Code::BadRequest => one(
                "the request breaks HTTP itself, which senders don't: look at the proxy in front of the agent, or take it for a scanner's",
            ),
            Code::NotFound => self.not_found(),
            Code::MethodNotAllowed => one(
                "webhooks are posted: set the sender's method to POST; a GET is a browser, a health check, or a redirect that turned the POST into a GET (http to https, a missing or an extra slash)",
            ),
            Code::IpNotAllowed => self.not_allowed(),
            Code::RateLimited => one(
                "raise webhooks.rate_limit or the handler's own `rate_limit`; behind a proxy name it in webhooks.trusted_proxies, else every sender counts as one address",
            ),
            Code::NotReady => one("the agent was starting or stopping; the sender was told to try again"),
            Code::StorageUnavailable => one(
                "the store could not commit: look at the free disk space and at 'agent logs'; the sender was told to try again",
            ),
            Code::Disabled => one("set `enabled: true` for this handler, and restart the agent"),
            Code::BodyTooLarge => one("raise webhooks.max_body_bytes, or let the sender send less"),
            Code::BodyTimeout => one("the body came too slowly: a proxy that waits, or a broken connection"),
            Code::MissingSignature => self.unsigned(),
            Code::InvalidSignature => self.wrong_signature(),
            Code::StaleSignature => self.by_findings().unwrap_or_else(|| {
                one("compare this machine's clock with the sender's; a request that was held back or sent again later is refused on purpose")
            }),
            Code::InvalidPayload => self.invalid_payload(),
            Code::MissingEventType => self.no_event_type(),
            Code::Internal => one("the agent failed: 'agent logs' has more under this request id; please report it"),
        }
    }

    fn not_found(&self) -> Vec<String> {
        let asked = self.message.split_once(' ').map_or(self.message, |(_, path)| path);
        let handlers = self.config.webhooks.handlers.values().filter(|handler| handler.enabled);
        let served: Vec<String> = handlers.flat_map(paths).filter(|path| is_like(asked, path)).collect();
        let near = served.iter().map(|path| (strsim::damerau_levenshtein(asked, path), path)).min();
        match near {
            Some((edits, path)) if edits <= NEAR_EDITS_MAX => vec![format!("the nearest path that is served is {path}: correct the URL at the sender, or add a handler")],
            _ => vec!["no path is like it: add a handler under webhooks.handlers, or take it for a scanner's; 'agent webhook list' shows what is served".to_owned()],
        }
    }

    fn not_allowed(&self) -> Vec<String> {
        let client = self.event.row.client_ip.parse::<std::net::IpAddr>().ok();
        let admits = |list: &[crate::domain::net::Cidr]| {
            list.is_empty() || client.is_some_and(|client| list.iter().any(|range| range.contains(client)))
        };
        let mut lists = Vec::new();
        if !admits(&self.config.webhooks.allowed_ips) {
            lists.push("webhooks.allowed_ips".to_owned());
        }
        if let Some(handler) = self.handler.filter(|handler| !admits(&handler.allowed_ips)) {
            lists.push(format!("webhooks.handlers.{}.allowed_ips", handler.name));
        }
        let ip = &self.event.row.client_ip;
        if lists.is_empty() {
            return vec![format!("the lists of now admit {ip}: they were changed since")];
        }
        vec![
            format!("{ip} is not in {}: add it, or the sender's published range", lists.join(" nor in ")),
            "if that is the address of your own proxy, name it in webhooks.trusted_proxies".to_owned(),
        ]
    }

    fn unsigned(&self) -> Vec<String> {
        let Some(handler) = self.handler else { return Vec::new() };
        if secrets_of(handler, self.config).is_empty() {
            return vec![
                format!("set webhooks.handlers.{}.secret to the secret that the sender has", handler.name),
                format!(
                    "for a trial without a secret set webhooks.handlers.{}.allow_unsigned: true, and then whoever reaches it may post",
                    handler.name
                ),
            ];
        }
        if let Some(advice) = self.by_findings() {
            return advice;
        }
        let mut advice = vec![format!(
            "enter the secret at {} too: what it sent was not signed as this handler expects it",
            self.sender()
        )];
        advice.extend(self.provider().into_iter().flat_map(|provider| provider.setup().to_vec()));
        advice
    }

    fn wrong_signature(&self) -> Vec<String> {
        if let Some(advice) = self.by_findings() {
            return advice;
        }
        vec![
            format!(
                "set the same secret here and at {}; both may be given for a while as `secrets: [new, old]`",
                self.sender()
            ),
            "'agent webhook test' sends a request that is signed rightly".to_owned(),
        ]
    }

    /// What the findings ask for. A secret that was found to be right must not be changed.
    fn by_findings(&self) -> Option<Vec<String>> {
        advice(self.findings, self.sender())
    }

    /// Whether somebody would have looked into such a refusal if there had been time.
    fn is_looked_into(&self, code: Code) -> bool {
        let signed = || self.handler.is_some_and(|handler| !secrets_of(handler, self.config).is_empty());
        matches!(code, Code::InvalidSignature | Code::StaleSignature) || (code == Code::MissingSignature && signed())
    }

    fn invalid_payload(&self) -> Vec<String> {
        let header =
            |name: &str| self.event.headers.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let (kind, encoding) = (header("content-type"), header("content-encoding"));
        let mut advice = Vec::new();
        if !encoding.is_empty() && encoding != "identity" {
            advice
                .push(format!("the body came compressed ({encoding}): switch that off at the sender or at the proxy"));
        }
        if kind.contains("form-urlencoded") {
            advice.push("it came as a form: set the sender's content type to application/json".to_owned());
        } else if kind.contains("multipart") || kind.contains("xml") {
            advice.push(format!("it came as {kind}: set the sender's format to JSON"));
        } else if self.message.contains("is not UTF-8") {
            advice.push("let the sender encode the body in UTF-8, as JSON asks for".to_owned());
        } else if self.message.contains("nested deeper") || self.message.contains("holds more than") {
            advice.push(
                "it is JSON, and larger in this way than the agent takes: let the sender send less at once".to_owned(),
            );
        } else {
            advice.push("the body is not JSON: 'agent events show' has its first bytes; a template at the sender probably forgets to quote a value".to_owned());
        }
        advice
    }

    fn no_event_type(&self) -> Vec<String> {
        vec![
            format!("this is not how {} calls an event: is the handler's `provider` right?", self.sender()),
            "for a service of your own use `provider: custom`, which needs no event type".to_owned(),
        ]
    }

    fn provider(&self) -> Option<&Provider> {
        self.registry.get(self.event.row.provider.as_deref()?).map(|provider| &**provider)
    }

    fn sender(&self) -> &str {
        self.provider().map_or("the sender", Provider::sender)
    }
}
