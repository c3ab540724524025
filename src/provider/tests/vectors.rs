//! Signatures that the senders themselves publish. None of them was made by our code. The table is that of `agent prove`.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vector {
    provider: String,
    source: String,
    secret: String,
    url: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
    at: i64,
    expect: String,
}

#[test]
fn what_senders_publish_is_verified_as_they_say() {
    let vectors: Vec<Vector> =
        serde_yaml::from_str(include_str!("../../prove/tables/signatures.yaml")).expect("a table");
    for provider in ["github", "slack", "standard-webhooks", "pagerduty", "twilio"] {
        assert!(vectors.iter().any(|vector| vector.provider == provider), "{provider}");
    }
    for vector in vectors {
        let pairs: Vec<(&str, &str)> = vector.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let url = vector.url.as_deref().unwrap_or("https://hooks.example.com/webhooks/x");
        let provider = builtin(&vector.provider);
        let verdict = check_url(&provider, &[&vector.secret], url, &pairs, vector.body.as_bytes(), vector.at);
        assert_eq!(word(&verdict), vector.expect, "{}: {}: {}", vector.provider, vector.source, message(&verdict));
    }
}
