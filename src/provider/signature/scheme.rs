//! One way to sign, compiled: which header, what it covers, which key, how old it may be.

use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::Choice;

use super::super::manifest::{Algorithm, KeyForm};
use super::super::reading::{PayloadPath, header_text};
use super::age::{Place, Stamp};
use super::content::{Content, Parts, query_field, url_variants};
use super::entries::{Entries, Form};
use super::{SignedRequest, Verification, key};
use crate::config::Secret;

/// One way to sign.
#[derive(Debug, Clone)]
pub(super) struct Scheme {
    pub header: HeaderName,
    pub shown: String,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A MAC or a signature over the request.
    Signed(Box<Signed>),
    /// The secret itself, after a prefix such as `Bearer `.
    Token { prefix: String },
    /// RFC 7617: the secret is `user:password`, or a password for any user.
    Basic,
}

#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub algorithm: Option<Algorithm>,
    pub form: Form,
    pub content: Content,
    pub key_form: KeyForm,
    pub key_prefix: String,
    pub stamp: Option<Stamp>,
    pub id_header: Option<HeaderName>,
    pub body_hash_query: Option<String>,
}

impl Scheme {
    /// Whether the header, which is present, is written in this scheme's way. Schemes that share a header differ in it.
    pub(super) fn applies(&self, request: &SignedRequest<'_>) -> bool {
        match &self.kind {
            Kind::Signed(signed) => {
                let asked = signed.body_hash_query.as_deref();
                let query = asked.is_none_or(|name| query_field(request.url, name).is_some());
                query && signed.form.read(request.headers, &self.header).is_ok_and(|entries| entries.tagged > 0)
            }
            Kind::Token { prefix } => after_prefix(request.headers, &self.header, prefix).is_some(),
            Kind::Basic => after_prefix(request.headers, &self.header, "Basic ").is_some(),
        }
    }

    /// Whether the other headers that this scheme reads are there. Where two schemes share a header and one of them signs a
    /// timestamp as well, this tells which of them the sender used.
    pub(super) fn complete(&self, request: &SignedRequest<'_>) -> bool {
        let Kind::Signed(signed) = &self.kind else { return true };
        let stamp = signed.stamp.as_ref().and_then(|stamp| match &stamp.place {
            Place::Header(name) => Some(name),
            Place::Field(_) | Place::Payload(_) => None,
        });
        stamp.into_iter().chain(&signed.id_header).all(|name| request.headers.contains_key(name))
    }

    /// What a value of this header looks like, for a message.
    pub(super) fn shape(&self) -> String {
        match &self.kind {
            Kind::Signed(signed) => signed.form.shape(),
            Kind::Token { prefix } => prefix.trim_end().to_owned(),
            Kind::Basic => "Basic".to_owned(),
        }
    }

    /// The secrets that can be a key of this scheme; the error tells what they should look like.
    pub(super) fn usable<'s>(&self, secrets: &'s [Secret]) -> Result<Vec<&'s Secret>, String> {
        let Kind::Signed(signed) = &self.kind else { return Ok(secrets.iter().collect()) };
        let mut wrong = String::new();
        let mut usable = Vec::new();
        for secret in secrets {
            let checked = signed.key_of(secret).and_then(|key| match signed.algorithm {
                Some(_) => Ok(()),
                None => key::verifying(&key).map(drop),
            });
            match checked {
                Ok(()) => usable.push(secret),
                Err(message) => wrong = message,
            }
        }
        if usable.is_empty() { Err(wrong) } else { Ok(usable) }
    }

    /// Checks the request under these secrets.
    pub(super) fn check(
        &self,
        secrets: &[&Secret],
        request: &SignedRequest<'_>,
        now: Timestamp,
        title: &str,
    ) -> Verification {
        let name = &self.header;
        if !matches!(&self.kind, Kind::Signed(_)) && request.headers.get_all(name).iter().count() > 1 {
            return Verification::Invalid { message: format!("{name} was sent more than once") };
        }
        match &self.kind {
            Kind::Signed(signed) => signed.check(self, secrets, request, now, title),
            Kind::Token { prefix } => {
                let given = after_prefix(request.headers, name, prefix).unwrap_or_default();
                let right = secrets.iter().fold(Choice::from(0), |r, s| r | key::same(given, s.expose().as_bytes()));
                self.verdict(right, title)
            }
            Kind::Basic => self.verdict(basic(after_prefix(request.headers, name, "Basic "), secrets), title),
        }
    }

    fn verdict(&self, right: Choice, title: &str) -> Verification {
        if right.into() {
            return Verification::Valid { replay_key: None };
        }
        let name = &self.header;
        Verification::Invalid {
            message: format!("{name} does not hold the configured secret; is it the same at {title}?"),
        }
    }
}

impl Signed {
    pub(super) fn key_of(&self, secret: &Secret) -> Result<Vec<u8>, String> {
        key::bytes(secret, self.key_form, &self.key_prefix)
    }

    fn check(
        &self,
        scheme: &Scheme,
        secrets: &[&Secret],
        request: &SignedRequest<'_>,
        now: Timestamp,
        title: &str,
    ) -> Verification {
        let invalid = |message: String| Verification::Invalid { message };
        let entries = match scheme_entries(self, scheme, request) {
            Ok(entries) => entries,
            Err(message) => return invalid(message),
        };
        let (timestamp, id) = match (self.timestamp(request, &entries), self.id(request)) {
            (Ok(timestamp), Ok(id)) => (timestamp, id),
            (Err(message), _) | (_, Err(message)) => return invalid(message),
        };
        let variants = if self.content.has_url() { url_variants(request.url) } else { vec![request.url.to_owned()] };
        let parts = Parts {
            body: request.body,
            timestamp: timestamp.as_deref(),
            id: id.as_deref(),
            url: "",
            headers: request.headers,
            fields: &entries.fields,
        };
        let mut right = Choice::from(0);
        for url in &variants {
            for secret in secrets {
                match self.matches(secret, &Parts { url, ..parts }, &entries.candidates) {
                    Ok(found) => right |= found,
                    Err(message) => return invalid(message),
                }
            }
        }
        if !bool::from(right) || !self.body_hash_matches(request) {
            return invalid(format!(
                "{} does not match the request under the configured secret; is the secret the same at {title}, and does a proxy change the body?",
                scheme.header
            ));
        }
        self.aged(&parts, now, request)
    }

    fn matches(&self, secret: &Secret, parts: &Parts<'_>, candidates: &[Vec<u8>]) -> Result<Choice, String> {
        let key = self.key_of(secret)?;
        match self.algorithm {
            Some(algorithm) => Ok(key::any_equal(&key::hmac(algorithm, &key, &self.content, parts)?, candidates)),
            None => {
                let verifying = key::verifying(&key)?;
                let message = self.message(parts)?;
                Ok(Choice::from(u8::from(key::any_verifies(&verifying, &message, candidates))))
            }
        }
    }

    /// The signed bytes in one piece, for Ed25519.
    pub(super) fn message(&self, parts: &Parts<'_>) -> Result<Vec<u8>, String> {
        let mut message = Vec::with_capacity(parts.body.len() + 128);
        self.content.feed(parts, &mut |bytes| message.extend_from_slice(bytes))?;
        Ok(message)
    }

    /// The age, after the MAC; and what identifies this signed request, where its time is part of what was signed.
    fn aged(&self, parts: &Parts<'_>, now: Timestamp, request: &SignedRequest<'_>) -> Verification {
        let Some(stamp) = &self.stamp else { return Verification::Valid { replay_key: None } };
        let (text, signed) = match &stamp.place {
            Place::Header(_) | Place::Field(_) => {
                (parts.timestamp.unwrap_or_default().to_owned(), self.content.has_timestamp())
            }
            Place::Payload(path) => match payload_text(path, request.body) {
                Some(text) => (text, true),
                None => {
                    return Verification::Invalid {
                        message: "the payload lacks the timestamp that this sender signs".into(),
                    };
                }
            },
        };
        if let Err(message) = stamp.check(&text, now) {
            return Verification::Stale { message };
        }
        // Over what was signed and not over the header: entries that verify nothing can be added to a header at will.
        let mut hash = Sha256::new();
        let fed = self.content.feed(parts, &mut |bytes| hash.update(bytes));
        let replay_key = (signed && self.content.covers_body() && fed.is_ok())
            .then(|| format!("{text}:{}", hex::encode(hash.finalize())));
        Verification::Valid { replay_key }
    }

    pub(super) fn timestamp(&self, request: &SignedRequest<'_>, entries: &Entries) -> Result<Option<String>, String> {
        match self.stamp.as_ref().map(|stamp| &stamp.place) {
            None | Some(Place::Payload(_)) => Ok(None),
            Some(Place::Header(name)) => single(request.headers, name).map(Some),
            Some(Place::Field(field)) => {
                let mut found = entries.fields.iter().filter(|(key, _)| key == field).map(|(_, value)| value.clone());
                match (found.next(), found.next()) {
                    (Some(text), None) => Ok(Some(text)),
                    (None, _) => Err(format!("'{field}=' is missing in the signature header")),
                    (Some(_), Some(_)) => Err(format!("'{field}=' is in the signature header more than once")),
                }
            }
        }
    }

    pub(super) fn id(&self, request: &SignedRequest<'_>) -> Result<Option<String>, String> {
        self.id_header.as_ref().map(|name| single(request.headers, name)).transpose()
    }

    pub(super) fn body_hash_matches(&self, request: &SignedRequest<'_>) -> bool {
        let Some(name) = &self.body_hash_query else { return true };
        let given = query_field(request.url, name).and_then(|text| hex::decode(text).ok()).unwrap_or_default();
        bool::from(key::same(&given, &Sha256::digest(request.body)))
    }
}

fn scheme_entries(signed: &Signed, scheme: &Scheme, request: &SignedRequest<'_>) -> Result<Entries, String> {
    signed.form.read(request.headers, &scheme.header)
}

/// A header that must be there once.
fn single(headers: &HeaderMap, name: &HeaderName) -> Result<String, String> {
    if headers.get_all(name).iter().count() > 1 {
        return Err(format!("{name} was sent more than once"));
    }
    header_text(headers, name).ok_or_else(|| format!("{name} is missing"))
}

fn payload_text(path: &PayloadPath, body: &[u8]) -> Option<String> {
    path.find_text(&serde_json::from_slice(body).ok()?)
}

/// What follows a prefix, in which the case of letters does not matter (`bearer`), nor the white space at its end.
fn after_prefix<'r>(headers: &'r HeaderMap, name: &HeaderName, prefix: &str) -> Option<&'r [u8]> {
    let value = headers.get(name)?.as_bytes();
    let (start, rest) = value.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then(|| rest.trim_ascii())
}

/// RFC 7617: base64 of `user:password`, split at the first colon, since passwords may hold more of them.
fn basic(given: Option<&[u8]>, secrets: &[&Secret]) -> Choice {
    use base64::Engine as _;
    let pair = given.and_then(|text| super::entries::BASE64.decode(text).ok()).unwrap_or_default();
    let colon = pair.iter().position(|b| *b == b':');
    let password = colon.map_or(&[] as &[u8], |at| &pair[at + 1..]);
    secrets.iter().fold(Choice::from(0), |right, secret| {
        let secret = secret.expose();
        let whole = if secret.contains(':') { pair.as_slice() } else { password };
        right | (key::same(whole, secret.as_bytes()) & Choice::from(u8::from(colon.is_some())))
    })
}
