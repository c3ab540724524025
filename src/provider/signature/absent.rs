//! When the sender's signature is not there: whether another header of the request holds one that is right.

use http::{HeaderMap, HeaderName};

use super::super::diagnosis::Suspect;
use super::super::manifest::Algorithm;
use super::super::remedy::{DROPPED, HOLDS_RIGHT, RIGHT};
use super::content::{Content, Parts};
use super::diagnose::loose;
use super::{Signature, key};

/// Parts of names of headers that look like a signature.
const TELLING: [&str; 4] = ["signature", "hmac", "token", "authorization"];
/// Most headers that are looked at.
const NAMES_MAX: usize = 3;
/// Most secrets under which they are looked at.
const SECRETS_MAX: usize = 4;

impl Signature {
    /// Headers that look like a signature and are not this sender's.
    pub(in super::super) fn strange<'r>(&self, headers: &'r HeaderMap) -> Vec<&'r HeaderName> {
        let telling = |name: &&HeaderName| TELLING.iter().any(|part| name.as_str().contains(part));
        let own = |name: &HeaderName| self.headers.contains(name) || self.is_refused(name);
        headers.keys().filter(telling).filter(|name| !own(name)).take(NAMES_MAX).collect()
    }

    /// Headers that are a signature of a kind that is not taken.
    pub(in super::super) fn not_taken<'r>(&self, headers: &'r HeaderMap) -> Vec<&'r HeaderName> {
        headers.keys().filter(|name| self.is_refused(name)).take(NAMES_MAX).collect()
    }

    fn is_refused(&self, name: &HeaderName) -> bool {
        self.refused.iter().any(|(refused, _)| refused == name)
    }

    /// What is right in another header than the sender's.
    pub(in super::super) fn why_missing(&self, suspect: &Suspect<'_>, sender: &str) -> Option<String> {
        let headers = suspect.request.headers;
        let wanted = self.header_shown();
        for name in self.not_taken(headers) {
            if let Some(hash) = right_hash(suspect, name) {
                return Some(format!(
                    "{RIGHT} in {name}, with {hash}, which alone is not taken; {wanted} {DROPPED}: a proxy drops it, or this {sender} is too old to send it"
                ));
            }
        }
        for name in self.strange(headers) {
            if let Some(hash) = right_hash(suspect, name) {
                return Some(format!(
                    "{RIGHT} in {name}, as HMAC with {hash} of the body, and this handler's `provider` does not read that header"
                ));
            }
            if holds_secret(suspect, name) {
                return Some(format!(
                    "{name} {HOLDS_RIGHT} secret itself, and this handler's `provider` expects {wanted}"
                ));
            }
        }
        None
    }
}

/// The hash under which a header holds an HMAC of the body.
fn right_hash(suspect: &Suspect<'_>, name: &HeaderName) -> Option<&'static str> {
    let request = &suspect.request;
    let candidates: Vec<Vec<u8>> = loose(request.headers, name).into_iter().map(|loose| loose.bytes).collect();
    let content = Content::parse("{body}").ok().filter(|_| !candidates.is_empty())?;
    let parts = Parts { body: request.body, timestamp: None, id: None, url: "", headers: request.headers, fields: &[] };
    let hashes = [(Algorithm::Sha1, "SHA-1"), (Algorithm::Sha256, "SHA-256"), (Algorithm::Sha512, "SHA-512")];
    let right = |algorithm: Algorithm| {
        suspect.secrets.iter().take(SECRETS_MAX).any(|secret| {
            let mac = key::hmac(algorithm, secret.expose().as_bytes(), &content, &parts);
            mac.is_ok_and(|mac| bool::from(key::any_equal(&mac, &candidates)))
        })
    };
    hashes.into_iter().find(|(algorithm, _)| right(*algorithm)).map(|(_, words)| words)
}

fn holds_secret(suspect: &Suspect<'_>, name: &HeaderName) -> bool {
    let value = suspect.request.headers.get(name).map(|value| value.as_bytes().trim_ascii()).unwrap_or_default();
    let bare = value.rsplit(|b| *b == b' ').next().unwrap_or_default();
    suspect.secrets.iter().any(|secret| bool::from(key::same(bare, secret.expose().as_bytes())))
}
