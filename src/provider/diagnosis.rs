//! Why a signature was refused: the usual mistakes, tried one after the other on the request that was refused.
//!
//! This is for the operator and runs for refused requests only, a few a second. What it finds it says in sentences that hold
//! neither a secret nor a signature. It proves where it can: "is right for the same JSON written compactly" was computed.
//! What it cannot prove it puts as a question.

use jiff::Timestamp;

use super::signature::{SignedRequest, Verification};
use super::{Provider, Registry};
use crate::config::Secret;

/// Most findings about one request.
pub const FINDINGS_MAX: usize = 5;
/// Most secrets of other handlers that are tried.
const OTHERS_MAX: usize = 64;
/// Parts of names of headers that look like a signature.
const TELLING: [&str; 4] = ["signature", "hmac", "token", "authorization"];
/// Headers that a proxy adds.
const PROXY: [&str; 5] = ["via", "x-forwarded-for", "forwarded", "cf-ray", "x-real-ip"];

/// A refused request, and what may explain it.
#[derive(Debug)]
pub struct Suspect<'r> {
    /// The handler's secrets.
    pub secrets: &'r [Secret],
    /// Other secrets, each with a name for it: `handler 'x'`.
    pub others: &'r [(String, Secret)],
    /// The request.
    pub request: SignedRequest<'r>,
    /// When it was refused.
    pub now: Timestamp,
}

impl Registry {
    /// What probably went wrong with a request that `provider` refused; empty when nothing usual explains it. Slow beside a
    /// verification, with a bound on the work; to be called off the event loop.
    pub fn diagnose(&self, provider: &Provider, suspect: &Suspect<'_>) -> Vec<String> {
        let mut findings = Vec::new();
        let verdict = provider.verify(suspect.secrets, &suspect.request, suspect.now);
        match verdict {
            Verification::Valid { .. } => return findings,
            Verification::Stale { .. } => findings.extend(provider.signature.why_stale(suspect)),
            Verification::Missing { .. } | Verification::Invalid { .. } => {
                findings.extend(other_secret(provider, suspect));
                if findings.is_empty() {
                    findings.extend(provider.signature.why_wrong(suspect));
                }
                if findings.is_empty() {
                    findings.extend(self.other_sender(provider, suspect));
                }
                if findings.is_empty() {
                    findings.extend(provider.signature.why_odd(suspect));
                }
                if findings.is_empty() {
                    findings.extend(questions(provider, suspect, matches!(verdict, Verification::Missing { .. })));
                }
            }
        }
        findings.truncate(FINDINGS_MAX);
        findings
    }

    /// Whether it is signed in the way of another provider.
    fn other_sender(&self, provider: &Provider, suspect: &Suspect<'_>) -> Option<String> {
        let headers = suspect.request.headers;
        let others = || self.iter().filter(|other| other.name != provider.name && other.presence(headers));
        let signs = |other: &Provider| {
            matches!(
                other.verify(suspect.secrets, &suspect.request, suspect.now),
                Verification::Valid { .. } | Verification::Stale { .. }
            )
        };
        let found = others().find(|other| signs(other))?;
        Some(format!(
            "the signature is right in the way of {}: set `provider: {}` for this handler, or let the sender sign as {} does",
            found.title, found.name, provider.title
        ))
    }
}

/// Whether another handler's secret fits.
fn other_secret(provider: &Provider, suspect: &Suspect<'_>) -> Option<String> {
    let fits = |secret: &Secret| {
        let verdict = provider.verify(std::slice::from_ref(secret), &suspect.request, suspect.now);
        matches!(verdict, Verification::Valid { .. } | Verification::Stale { .. })
    };
    let (name, _) = suspect.others.iter().take(OTHERS_MAX).find(|(_, secret)| fits(secret))?;
    Some(format!(
        "the signature is right under the secret of {name}: the sender has that one's secret, or posts to the wrong path"
    ))
}

/// What cannot be proved and is worth a look.
fn questions(provider: &Provider, suspect: &Suspect<'_>, missing: bool) -> Vec<String> {
    let headers = suspect.request.headers;
    let mut asked = Vec::new();
    if let Some(kind) =
        headers.get("content-encoding").and_then(|value| value.to_str().ok()).filter(|k| *k != "identity")
    {
        let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        asked.push(format!("the body came compressed ({kind}): was the signature made before it was compressed?"));
    }
    if missing {
        let own = provider.signature_headers();
        let telling = |name: &&str| TELLING.iter().any(|part| name.contains(part));
        let named: Vec<&str> =
            headers.keys().filter(|name| !own.contains(name)).map(http::HeaderName::as_str).collect();
        let named: Vec<String> =
            named.into_iter().filter(telling).take(3).map(|name| name.chars().take(60).collect()).collect();
        if !named.is_empty() {
            asked.push(format!(
                "there is {} instead, which {} does not sign with: is this handler's `provider` right?",
                named.join(" and "),
                provider.title
            ));
        }
    } else if suspect.request.body.is_empty() {
        asked.push("the body is empty: was it lost in a redirect, for instance from http to https?".to_owned());
    }
    let proxies: Vec<&str> = PROXY.into_iter().filter(|name| headers.contains_key(*name)).collect();
    if !proxies.is_empty() {
        let (what, names) =
            (if missing { "drop the signature's header" } else { "change the body" }, proxies.join(", "));
        asked.push(format!("a proxy stands in between ({names}): does it {what}?"));
    }
    if !missing && asked.is_empty() {
        asked.push(format!("no usual mistake explains it: {} probably has another secret", provider.title));
    }
    asked
}
