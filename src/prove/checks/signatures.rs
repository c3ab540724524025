//! The signatures that senders publish in their documents and libraries: none of them was made by our code.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Verdict, table};
use crate::config::Secret;
use crate::prove::{Context, Sabotage};
use crate::provider::{Registry, SignedRequest, Verification};

/// One published request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    provider: String,
    source: String,
    secret: String,
    #[serde(default)]
    url: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
    /// Unix seconds.
    at: i64,
    expect: String,
}

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    let mut vectors: Vec<Vector> = table::read("signatures", include_str!("../tables/signatures.yaml"))?;
    if context.wrong(Sabotage::Tables) {
        let first = vectors.first().cloned().ok_or("the table signatures is empty")?;
        vectors.push(Vector { body: format!("{} ", first.body), ..first });
    }
    let registry = Registry::builtin();
    let mut faults = Vec::new();
    for vector in &vectors {
        let found = verify(&registry, vector)?;
        if found != vector.expect {
            faults.push(format!("{} ({}): {found}, expected {}", vector.provider, vector.source, vector.expect));
        }
    }
    let mut providers: Vec<&str> = vectors.iter().map(|vector| vector.provider.as_str()).collect();
    providers.sort_unstable();
    providers.dedup();
    Ok(Verdict::of(format!("{} requests of {}", vectors.len(), providers.join(", ")), faults))
}

fn verify(registry: &Registry, vector: &Vector) -> Result<&'static str, String> {
    let wrong = |what: &str| format!("the table signatures: {what} of {}", vector.provider);
    let provider = registry.get(&vector.provider).ok_or_else(|| wrong("no manifest"))?;
    let secret = Secret::new(vector.secret.as_str()).ok_or_else(|| wrong("no secret"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &vector.headers {
        let name: HeaderName = name.parse().map_err(|_| wrong("a header's name"))?;
        headers.append(name, HeaderValue::from_str(value).map_err(|_| wrong("a header"))?);
    }
    let url = vector.url.as_deref().unwrap_or("https://hooks.example.com/webhooks/x");
    let request = SignedRequest { method: "POST", url, headers: &headers, body: vector.body.as_bytes() };
    let now = Timestamp::from_second(vector.at).map_err(|_| wrong("a time"))?;
    Ok(match provider.verify(&[secret], &request, now) {
        Verification::Valid { .. } => "valid",
        Verification::Missing { .. } => "missing",
        Verification::Invalid { .. } => "invalid",
        Verification::Stale { .. } => "stale",
    })
}
