//! Keys and the arithmetic over them: HMACs, Ed25519, and comparisons that take as long for a near miss as for a far one.

use base64::Engine as _;
use ed25519_dalek::{Signature as EdSignature, Signer as _, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq as _};

use super::super::manifest::{Algorithm, KeyForm};
use super::content::{Content, Parts};
use super::entries::BASE64;
use crate::config::Secret;

/// The key bytes of a secret under a form; the error says, without the secret, what it should look like.
pub(super) fn bytes(secret: &Secret, form: KeyForm, prefix: &str) -> Result<Vec<u8>, String> {
    let text = secret.expose();
    match form {
        KeyForm::Raw => Ok(text.as_bytes().to_vec()),
        KeyForm::Base64AfterPrefix => {
            let encoded = text.trim().strip_prefix(prefix).unwrap_or(text.trim());
            let wrong = || format!("the configured secret is not base64 (after '{prefix}'), as this sender's are");
            BASE64.decode(encoded).ok().filter(|key| !key.is_empty()).ok_or_else(wrong)
        }
        KeyForm::Hex => hex::decode(text.trim())
            .map_err(|_| "the configured secret is not hexadecimal, as this sender's are".into()),
    }
}

/// The HMAC of the content under a key.
pub(super) fn hmac(algorithm: Algorithm, key: &[u8], content: &Content, parts: &Parts<'_>) -> Result<Vec<u8>, String> {
    macro_rules! mac {
        ($hash:ty) => {{
            let mut mac = Hmac::<$hash>::new_from_slice(key).expect("HMAC takes keys of any length");
            content.feed(parts, &mut |bytes| mac.update(bytes))?;
            Ok(mac.finalize().into_bytes().to_vec())
        }};
    }
    match algorithm {
        Algorithm::Sha1 => mac!(Sha1),
        Algorithm::Sha256 => mac!(Sha256),
        Algorithm::Sha512 => mac!(Sha512),
    }
}

/// Whether any candidate is the expected MAC. Looks at all of them.
pub(super) fn any_equal(expected: &[u8], candidates: &[Vec<u8>]) -> Choice {
    candidates.iter().fold(Choice::from(0), |found, candidate| found | expected.ct_eq(candidate))
}

/// Whether two texts are the same, telling nothing by time, not even their lengths.
pub(super) fn same(a: &[u8], b: &[u8]) -> Choice {
    Sha256::digest(a).as_slice().ct_eq(Sha256::digest(b).as_slice())
}

/// The public key in these bytes.
pub(super) fn verifying(key: &[u8]) -> Result<VerifyingKey, String> {
    let wrong = "the configured secret is no Ed25519 public key of 32 bytes";
    let bytes: [u8; 32] = key.try_into().map_err(|_| wrong)?;
    VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak()).ok_or_else(|| wrong.into())
}

/// Whether any candidate is a signature of the message under the key.
pub(super) fn any_verifies(key: &VerifyingKey, message: &[u8], candidates: &[Vec<u8>]) -> bool {
    candidates.iter().fold(false, |found, candidate| {
        let signature = EdSignature::from_slice(candidate).ok();
        found | signature.is_some_and(|signature| key.verify_strict(message, &signature).is_ok())
    })
}

/// Signs with a private key: its 32 bytes, or those followed by the public key.
pub(super) fn ed25519_sign(key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let seed: [u8; 32] = key.get(..32)?.try_into().ok()?;
    Some(SigningKey::from_bytes(&seed).sign(message).to_bytes().to_vec())
}
