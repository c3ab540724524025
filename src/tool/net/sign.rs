//! Signing as Standard Webhooks describes it: HMAC-SHA256 over `{id}.{timestamp}.{body}`, base64, marked `v1`.
//!
//! Source: the specification of Standard Webhooks, "Webhook headers" and "Signature scheme".

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::config::Secret;

/// The message's id, the same for every attempt.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// When this attempt was made, in seconds.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The signature.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What begins a secret whose rest is the key in base64.
const PREFIX: &str = "whsec_";
/// Hexadecimal digits of an id: 128 bits.
const ID_DIGITS: usize = 32;

/// Takes base64 with and without padding.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// A secret that begins with `whsec_` and does not go on in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret begins with '{PREFIX}', and what follows is not base64")]
pub struct KeyError;

/// A key to sign with. It does not print.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

impl SigningKey {
    /// The key of a secret: what the base64 after `whsec_` stands for, else the secret's own bytes.
    ///
    /// # Errors
    /// When there is no base64 after `whsec_`.
    pub fn new(secret: &Secret) -> Result<Self, KeyError> {
        match secret.expose().trim().strip_prefix(PREFIX) {
            None => Ok(Self(secret.expose().as_bytes().to_vec())),
            Some(encoded) => KEY.decode(encoded).ok().filter(|key| !key.is_empty()).map(Self).ok_or(KeyError),
        }
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The id of the message that belongs to an idempotency key. It is a digest, so that whatever the key is made of fits a
/// header and holds no `.`, which the specification keeps for itself.
pub fn message_id(idempotency_key: &str) -> String {
    format!("msg_{}", &hex::encode(Sha256::digest(idempotency_key))[..ID_DIGITS])
}

/// Adds id, timestamp and, with a key, the signature of one attempt.
pub fn add(headers: &mut HeaderMap, key: Option<&SigningKey>, id: &str, now: Timestamp, body: &[u8]) {
    let value = |text: &str| HeaderValue::from_str(text).expect("digits, letters and base64 fit a header");
    headers.insert(ID, value(id));
    headers.insert(TIMESTAMP, now.as_second().into());
    if let Some(key) = key {
        headers.insert(SIGNATURE, value(&key.sign(id, now.as_second(), body)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_own_example_is_signed_alike() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("not empty");
        let key = SigningKey::new(&secret).expect("base64");
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_id_is_stable_and_fits_a_header() {
        let id = message_id("run_01/step é\n.7");
        assert_eq!(id, message_id("run_01/step é\n.7"));
        assert!(id != message_id("run_01/step") && id.len() == 36 && !id.contains('.'));
    }

    #[test]
    fn a_secret_is_a_key_in_base64_or_its_own_bytes_and_does_not_print() {
        let key = |text: &str| SigningKey::new(&Secret::new(text).expect("not empty"));
        assert_eq!(key("whsec_aHVudGVyMg").expect("base64").0, b"hunter2");
        assert_eq!(key("hunter2").expect("bytes").0, b"hunter2");
        assert_eq!(key("whsec_?").expect_err("no base64"), KeyError);
        assert_eq!(format!("{:?}", key("hunter2")), "Ok(SigningKey(***))");
    }
}
