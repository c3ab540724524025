//! What a user of the module can see: senders' own signature vectors, the traps of each formula, how events read.

mod loading;
mod properties;
mod reading;
mod senders;
mod signatures;
mod summaries;
mod vectors;

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::compile;
use super::{Provider, Registry, SignedRequest, Verification};
use crate::config::Secret;

/// The built-in providers, read once for all tests.
fn registry() -> &'static Registry {
    static BUILTIN: LazyLock<Registry> = LazyLock::new(Registry::builtin);
    &BUILTIN
}

fn builtin(name: &str) -> Arc<Provider> {
    Arc::clone(registry().get(name).expect("built in"))
}

/// A provider of a manifest that must be right.
fn provider(yaml: &str) -> Provider {
    compile::parse(yaml, "test.yaml", None).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// The faults of a manifest, a line each.
fn faults(yaml: &str) -> String {
    let faults = compile::parse(yaml, "test.yaml", None).expect_err("the manifest is wrong");
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

fn secret(text: &str) -> Secret {
    Secret::new(text).expect("not empty")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("in range")
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().expect("a header name");
        map.append(name, HeaderValue::from_str(value).expect("a header value"));
    }
    map
}

/// Checks a POST without a URL.
fn check(provider: &Provider, secrets: &[&str], pairs: &[(&str, &str)], body: &[u8], now: i64) -> Verification {
    check_url(provider, secrets, "https://hooks.example.com/webhooks/x", pairs, body, now)
}

fn check_url(
    provider: &Provider,
    secrets: &[&str],
    url: &str,
    pairs: &[(&str, &str)],
    body: &[u8],
    now: i64,
) -> Verification {
    let secrets: Vec<Secret> = secrets.iter().map(|text| secret(text)).collect();
    let headers = headers(pairs);
    provider.verify(&secrets, &SignedRequest { method: "POST", url, headers: &headers, body }, at(now))
}

/// `valid`, `missing`, `invalid` or `stale`.
fn word(verification: &Verification) -> &'static str {
    match verification {
        Verification::Valid { .. } => "valid",
        Verification::Missing { .. } => "missing",
        Verification::Invalid { .. } => "invalid",
        Verification::Stale { .. } => "stale",
    }
}

fn message(verification: &Verification) -> &str {
    match verification {
        Verification::Valid { .. } => "",
        Verification::Missing { message } | Verification::Invalid { message } | Verification::Stale { message } => {
            message
        }
    }
}

/// An HMAC-SHA256 made without the code under test.
fn hmac_sha256(key: &[u8], content: &[u8]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("any length");
    mac.update(content);
    mac.finalize().into_bytes().to_vec()
}

fn hex_hmac(key: &str, content: &str) -> String {
    hex::encode(hmac_sha256(key.as_bytes(), content.as_bytes()))
}
