//! The signatures that senders publish in their documents and libraries: none of them was made by our code.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Verdict, table};
use crate::config::Secret;
use crate::prove::stand::{Delivery, SECRET, Sender, Setup, Wanted, github, mac};
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
    let tried = refused(context, &mut faults).await?;
    let seen =
        format!("{} requests of {}; {tried} forgeries refused by a running agent", vectors.len(), providers.join(", "));
    Ok(Verdict::of(seen, faults))
}

/// Forgeries sent to an agent, none of which it may take; how many there were.
async fn refused(context: &Context, faults: &mut Vec<String>) -> Result<usize, String> {
    let setup = Setup::write(&context.folder.join("signatures"), &Wanted::default(), &context.secrets).await?;
    let agent = setup.up(&context.options.program).await?;
    let sender = Sender::new(context.secrets.clone())?;
    let right = github("github", "d-1", 1, "Forged");
    // What it would have had to be is a secret that no answer, log or row may tell.
    let expected = mac(SECRET, &right.body);
    context.secrets.add(expected.clone());
    let changed = Delivery { body: b"{}".to_vec(), ..right.clone() };
    let name = "x-hub-signature-256";
    let without = {
        let mut without = right.clone();
        without.headers.retain(|(known, _)| *known != name);
        without
    };
    let forgeries = [
        ("none", without.clone(), "missing_signature"),
        (
            "SHA-1 alone",
            without.with("x-hub-signature", "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            "missing_signature",
        ),
        ("of another body", changed, "invalid_signature"),
        (
            "of another key",
            right.clone().with(name, &format!("sha256={}", mac("another", &right.body))),
            "invalid_signature",
        ),
        ("cut", right.clone().with(name, &format!("sha256={}", &expected[..62])), "invalid_signature"),
        ("longer", right.clone().with(name, &format!("sha256={expected}00")), "invalid_signature"),
        ("empty", right.clone().with(name, "sha256="), "invalid_signature"),
        ("without its prefix", right.clone().with(name, &expected), "invalid_signature"),
    ];
    let tried = forgeries.len();
    for (what, delivery, code) in forgeries {
        let answer = sender.send(agent.webhooks, &delivery).await.ok_or("the agent does not answer")?;
        let body: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        if answer.status.as_u16() != 401 || body["error"]["code"] != code {
            faults.push(format!("a signature that is {what} was answered {}: {}", answer.status, answer.body));
        }
    }
    let answer = sender.deliver(agent.webhooks, &right).await?;
    if answer.is_none_or(|answer| answer.status != "accepted") {
        faults.push("the right signature was refused after the forgeries".into());
    }
    agent.kill().await;
    Ok(tried)
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
