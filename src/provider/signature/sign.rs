//! The sender's side: what a real sender would put into the headers, for tests and for `agent webhook send`.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::super::reading::timestamp_text;
use super::age::Place;
use super::content::Parts;
use super::scheme::{Kind, Scheme, Signed};
use super::{Signature, key};
use crate::config::Secret;

/// A request that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct SignRequest<'r> {
    /// Where it goes, with its query; only senders that sign the URL need it.
    pub url: &'r str,
    /// The body.
    pub body: &'r [u8],
    /// The delivery id.
    pub delivery_id: &'r str,
    /// The event type with its action.
    pub event: &'r str,
    /// When.
    pub now: Timestamp,
}

impl Signature {
    /// Adds the headers of the first scheme that the secret fits.
    pub(in super::super) fn sign(
        &self,
        secret: &Secret,
        request: &SignRequest<'_>,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
    ) {
        for scheme in &self.schemes {
            if let Some(added) = scheme.sign(secret, request, headers) {
                for (name, value) in added {
                    headers.retain(|(known, _)| *known != name);
                    headers.push((name, value));
                }
                return;
            }
        }
    }

    /// Writes the time into a payload, for senders that sign it there.
    pub(in super::super) fn fill(&self, payload: &mut Value, now: Timestamp) {
        for scheme in &self.schemes {
            if let Kind::Signed(signed) = &scheme.kind
                && let Some(stamp) = &signed.stamp
                && let Place::Payload(path) = &stamp.place
            {
                let text = timestamp_text(now, stamp.unit);
                path.put(payload, text.parse::<i64>().map_or(Value::String(text), Value::from));
            }
        }
    }
}

impl Scheme {
    fn sign(
        &self,
        secret: &Secret,
        request: &SignRequest<'_>,
        sent: &[(HeaderName, HeaderValue)],
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        use base64::Engine as _;
        let one = |text: String| Some(vec![(self.header.clone(), HeaderValue::from_str(&text).ok()?)]);
        match &self.kind {
            Kind::Signed(signed) => signed.sign(self, secret, request, sent),
            Kind::Token { prefix } => one(format!("{prefix}{}", secret.expose())),
            Kind::Basic => {
                let pair = if secret.expose().contains(':') {
                    secret.expose().to_owned()
                } else {
                    format!("hookhand:{}", secret.expose())
                };
                one(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
            }
        }
    }
}

impl Signed {
    fn sign(
        &self,
        scheme: &Scheme,
        secret: &Secret,
        request: &SignRequest<'_>,
        sent: &[(HeaderName, HeaderValue)],
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let key = self.key_of(secret).ok()?;
        if let Some(name) = &self.body_hash_query
            && super::content::query_field(request.url, name) != Some(hex::encode(Sha256::digest(request.body)))
        {
            return None;
        }
        let mut added = Vec::new();
        let mut fields = Vec::new();
        let timestamp = self.stamp.as_ref().map(|stamp| timestamp_text(request.now, stamp.unit));
        if let (Some(stamp), Some(text)) = (&self.stamp, &timestamp) {
            match &stamp.place {
                Place::Header(name) => added.push((name.clone(), HeaderValue::from_str(text).ok()?)),
                Place::Field(field) => fields.push((field.clone(), text.clone())),
                Place::Payload(_) => {}
            }
        }
        if let Some(name) = &self.id_header {
            added.push((name.clone(), HeaderValue::from_str(request.delivery_id).ok()?));
        }
        let mut headers: HeaderMap = sent.iter().cloned().collect();
        headers.extend(added.iter().cloned());
        if let Some(field) = self.content.values_field() {
            let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
            fields.push((field.to_owned(), names.join(" ")));
        }
        let parts = Parts {
            body: request.body,
            timestamp: timestamp.as_deref(),
            id: Some(request.delivery_id),
            url: request.url,
            headers: &headers,
            fields: &fields,
        };
        let signature = match self.algorithm {
            Some(algorithm) => key::hmac(algorithm, &key, &self.content, &parts).ok()?,
            None => key::ed25519_sign(&key, &self.message(&parts).ok()?)?,
        };
        added.push((scheme.header.clone(), HeaderValue::from_str(&self.form.write(&signature, &fields)).ok()?));
        Some(added)
    }
}
