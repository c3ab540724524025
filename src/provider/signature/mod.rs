//! Signatures: is this request from whoever knows the secret, and is it fresh?
//!
//! A manifest lists schemes; which of them decide is chosen by the headers that are present, and presence commits: a
//! signature that is there and wrong is never rescued by another one. Over raw bytes, decoded, in constant time, under
//! every secret. Messages help the operator and hold neither a secret nor a MAC.

mod absent;
mod age;
mod compile;
mod content;
mod describe;
mod diagnose;
mod entries;
mod guesses;
mod key;
mod obstacle;
mod scheme;
mod sign;

use http::{HeaderMap, HeaderName};
use jiff::Timestamp;

use super::manifest::Mode;
use crate::config::Secret;
use scheme::Scheme;

pub(super) use obstacle::Obstacle;
pub use sign::SignRequest;

/// A request as it came, before anything was decoded.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'r> {
    /// The method.
    pub method: &'r str,
    /// The full public URL with its query, for senders that sign it.
    pub url: &'r str,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// The body's bytes.
    pub body: &'r [u8],
}

/// What the check says. Messages are whole sentences without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// The signature is right and fresh.
    Valid {
        /// For senders that sign a timestamp: a text that only this very request has, so that a replay inside the window
        /// can be told when there is no delivery id.
        replay_key: Option<String>,
    },
    /// There is no signature.
    Missing {
        /// What is missing.
        message: String,
    },
    /// There is one, and it is not that of this request.
    Invalid {
        /// What to look at.
        message: String,
    },
    /// It is right and too old, or from the future.
    Stale {
        /// By how much.
        message: String,
    },
}

/// How one sender signs.
#[derive(Debug)]
pub(super) struct Signature {
    mode: Mode,
    schemes: Vec<Scheme>,
    headers: Vec<HeaderName>,
    refused: Vec<(HeaderName, String)>,
}

impl Signature {
    pub(super) fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// Whether every scheme is signed with a private key.
    pub(super) fn is_asymmetric(&self) -> bool {
        let asymmetric =
            |scheme: &Scheme| matches!(&scheme.kind, scheme::Kind::Signed(signed) if signed.algorithm.is_none());
        !self.schemes.is_empty() && self.schemes.iter().all(asymmetric)
    }

    /// Why no scheme can take a secret as its key, in the words of the first.
    pub(super) fn secret_fault(&self, secret: &Secret) -> Option<String> {
        let secret = std::slice::from_ref(secret);
        let mut faults = Vec::new();
        for scheme in &self.schemes {
            faults.push(scheme.usable(secret).err()?);
        }
        faults.into_iter().next()
    }

    pub(super) fn header_shown(&self) -> &str {
        self.schemes.first().map_or("", |scheme| scheme.shown.as_str())
    }

    /// Whether any header is there that is a signature, taken or refused.
    pub(super) fn presence(&self, headers: &HeaderMap) -> bool {
        let refused = self.refused.iter().map(|(name, _)| name);
        self.headers.iter().chain(refused).any(|name| headers.contains_key(name))
    }

    /// The header of the message id that the signature of this request covers.
    pub(super) fn signed_id(&self, headers: &HeaderMap) -> Option<&HeaderName> {
        let deciding = self.schemes.iter().find(|scheme| headers.contains_key(&scheme.header))?;
        match &deciding.kind {
            scheme::Kind::Signed(signed) => signed.id_header.as_ref(),
            scheme::Kind::Token { .. } | scheme::Kind::Basic => None,
        }
    }

    pub(super) fn verify(
        &self,
        secrets: &[Secret],
        request: &SignedRequest<'_>,
        now: Timestamp,
        title: &str,
    ) -> Verification {
        let deciding = self.deciding(request.headers);
        if deciding.is_empty() {
            return self.missing(request.headers, title);
        }
        let mut replay_key = None;
        for name in deciding {
            match self.verify_header(name, secrets, request, now, title) {
                Verification::Valid { replay_key: key } => replay_key = replay_key.or(key),
                refused => return refused,
            }
        }
        Verification::Valid { replay_key }
    }

    /// The headers that decide: of those that are present the first, or all.
    fn deciding(&self, headers: &HeaderMap) -> Vec<&HeaderName> {
        let present = self.headers.iter().filter(|name| headers.contains_key(*name));
        match self.mode {
            Mode::First => present.take(1).collect(),
            Mode::All => present.collect(),
        }
    }

    /// The schemes of a header that are written as it is, the one first whose other headers are there.
    fn applying(&self, name: &HeaderName, request: &SignedRequest<'_>) -> Vec<&Scheme> {
        let schemes = self.schemes.iter().filter(|scheme| scheme.header == *name);
        let mut applying: Vec<&Scheme> = schemes.filter(|scheme| scheme.applies(request)).collect();
        applying.sort_by_key(|scheme| !scheme.complete(request));
        applying
    }

    /// Checks the one header that is present, by the first of its schemes that is written so and has a usable secret.
    fn verify_header(
        &self,
        name: &HeaderName,
        secrets: &[Secret],
        request: &SignedRequest<'_>,
        now: Timestamp,
        title: &str,
    ) -> Verification {
        let applying = self.applying(name, request);
        if applying.is_empty() {
            return Verification::Invalid {
                message: unreadable(name, self.schemes.iter().filter(|scheme| scheme.header == *name), request),
            };
        }
        for scheme in applying {
            if let Ok(usable) = scheme.usable(secrets) {
                return scheme.check(&usable, request, now, title);
            }
        }
        // Of what form it is is no stranger's business; the findings and 'agent check' tell the operator.
        Verification::Invalid { message: format!("{name} cannot be checked with the secret that is set for it") }
    }

    fn missing(&self, headers: &HeaderMap, title: &str) -> Verification {
        if let Some((_, message)) = self.refused.iter().find(|(name, _)| headers.contains_key(name)) {
            return Verification::Missing { message: message.clone() };
        }
        let mut shown: Vec<&str> = Vec::new();
        for scheme in &self.schemes {
            if !shown.contains(&scheme.shown.as_str()) {
                shown.push(&scheme.shown);
            }
        }
        let message = match shown.as_slice() {
            [] => format!("a secret is configured, and {title} does not sign in any way that its manifest describes"),
            names => format!("no signature: {} is missing; is the secret set at {title}?", names.join(" or ")),
        };
        Verification::Missing { message }
    }
}

/// Why none of a header's schemes can read it.
fn unreadable<'s>(name: &HeaderName, schemes: impl Iterator<Item = &'s Scheme>, request: &SignedRequest<'_>) -> String {
    let mut shapes: Vec<String> = Vec::new();
    for scheme in schemes {
        if let scheme::Kind::Signed(signed) = &scheme.kind {
            match signed.form.read(request.headers, name) {
                Err(message) => return message,
                Ok(_) if signed.form.has_hidden_pair(request.headers, name) => {
                    return format!(
                        "{name} has '{}', and not as one of the pairs, which ',' or ';' separate",
                        signed.form.shape()
                    );
                }
                Ok(_) => {}
            }
        }
        let shape = scheme.shape();
        if !shape.is_empty() && !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    match shapes.as_slice() {
        [] => format!("{name} holds no signature"),
        shapes => format!("{name} holds no signature that begins with '{}'", shapes.join("' or '")),
    }
}
