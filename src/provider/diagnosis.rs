//! Why a signature was refused: the usual mistakes, tried one after the other on the request that was refused.
//!
//! This is for the operator and runs for refused requests only, a few a second. What it finds it says in sentences that hold
//! neither a secret nor a signature. It proves where it can: "is right for the same JSON written compactly" was computed.
//! What it cannot prove it puts as a question.

use jiff::Timestamp;

use super::remedy::{RIGHT, SIGNS_URL, UNCOMPARED, UNUSABLE};
use super::signature::{Obstacle, SignedRequest, Verification};
use super::{Provider, Registry};
use crate::config::Secret;

/// Most findings about one request.
pub const FINDINGS_MAX: usize = 5;
/// Most secrets of other handlers that are tried.
const OTHERS_MAX: usize = 64;
/// Headers that a proxy adds.
const PROXY: [&str; 5] = ["via", "x-forwarded-for", "forwarded", "cf-ray", "x-real-ip"];

/// A refused request, and what may explain it.
#[derive(Debug)]
pub struct Suspect<'r> {
    /// The handler's name.
    pub handler: &'r str,
    /// Its secrets.
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
            Verification::Missing { .. } => {
                let proved = self.other_sender(provider, suspect);
                findings.extend(proved.or_else(|| provider.signature.why_missing(suspect, provider.sender())));
                if findings.is_empty() {
                    findings.extend(questions_of_missing(provider, suspect));
                }
            }
            Verification::Invalid { .. } => {
                let proved = other_secret(provider, suspect).or_else(|| provider.signature.why_wrong(suspect));
                let proved = proved.or_else(|| self.other_sender(provider, suspect));
                let odd = || obstacle(provider, suspect).or_else(|| provider.signature.why_odd(suspect));
                findings.extend(proved.or_else(odd));
                if findings.is_empty() {
                    findings.extend(questions(provider, suspect));
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
            "{RIGHT} in the way of {}: set `provider: {}` for this handler, or let the sender sign as {} wants it",
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
    Some(format!("{RIGHT} under the secret of {name}: the sender has that one's secret, or posts to the wrong path"))
}

/// What kept the signature from being compared.
fn obstacle(provider: &Provider, suspect: &Suspect<'_>) -> Option<String> {
    Some(match provider.signature.obstacle(suspect)? {
        Obstacle::Secret(why) => format!("{UNUSABLE}: {why}; was it copied whole, and from the right place?"),
        Obstacle::Header => format!(
            "{UNCOMPARED}, so nothing is known of the secret: does something on the way drop or repeat a header, or is the sender another one than this handler's `provider` says?"
        ),
    })
}

/// What cannot be proved about a wrong signature and is worth a look.
fn questions(provider: &Provider, suspect: &Suspect<'_>) -> Vec<String> {
    let mut asked: Vec<String> = compressed(suspect).into_iter().collect();
    if provider.signature.signs_url(&suspect.request) {
        let url = suspect.request.url.split('?').next().unwrap_or_default();
        asked.push(format!(
            "{} {SIGNS_URL}, and this one was taken to be {url}: is that, letter by letter, the address that is entered there?",
            provider.sender()
        ));
    }
    if suspect.request.body.is_empty() {
        asked.push("the body is empty: was it lost in a redirect, for instance from http to https?".to_owned());
    }
    asked.extend(proxies(suspect, "change the body"));
    if asked.is_empty() {
        asked.push(format!("no usual mistake explains it: {} probably has another secret", provider.sender()));
    }
    asked
}

/// The same of a signature that is not there.
fn questions_of_missing(provider: &Provider, suspect: &Suspect<'_>) -> Vec<String> {
    let headers = suspect.request.headers;
    let named = |names: Vec<&http::HeaderName>| -> Vec<String> {
        names.into_iter().map(|name| name.as_str().chars().take(60).collect()).collect()
    };
    let mut asked: Vec<String> = compressed(suspect).into_iter().collect();
    let (not_taken, strange) =
        (named(provider.signature.not_taken(headers)), named(provider.signature.strange(headers)));
    if !not_taken.is_empty() {
        asked.push(format!(
            "{} is there, and it is not right under this handler's secret either: the secrets differ, or something on the way changes the body",
            not_taken.join(" and ")
        ));
    }
    if !strange.is_empty() {
        asked.push(format!(
            "there is {} instead, which {} does not sign with: is this handler's `provider` right?",
            strange.join(" and "),
            provider.title
        ));
    }
    asked.extend(proxies(suspect, "drop the signature's header"));
    if asked.is_empty() {
        asked.push("nothing in the request looks like a signature".to_owned());
    }
    asked
}

fn compressed(suspect: &Suspect<'_>) -> Option<String> {
    let kind = suspect.request.headers.get("content-encoding")?.to_str().ok().filter(|kind| *kind != "identity")?;
    let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
    Some(format!("the body came compressed ({kind}): was the signature made before it was compressed?"))
}

fn proxies(suspect: &Suspect<'_>, what: &str) -> Option<String> {
    let found: Vec<&str> = PROXY.into_iter().filter(|name| suspect.request.headers.contains_key(*name)).collect();
    (!found.is_empty()).then(|| format!("a proxy stands in between ({}): does it {what}?", found.join(", ")))
}
