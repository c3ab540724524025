//! Signature headers of every scheme: nothing verifies by chance, nothing that is said tells a secret.
//!
//! Input: `UNIX-SECONDS`, header lines, an empty line, a body.

use hookhand::config::Secret;
use hookhand::provider::{FINDINGS_MAX, SignRequest, SignedRequest, Suspect, Verification};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::{REGISTRY, first_line};

/// No sender knows them.
const SECRETS: [&str; 3] =
    ["a-secret-nobody-can-guess-5150", "whsec_bm9ib2R5LWNhbi1ndWVzcy10aGlzLWVpdGhlcg==", "user:nor-this-one-7741"];
const URL: &str = "https://hooks.example.com/webhooks/x?bodySHA256=00";

/// Checks one input.
pub fn check(data: &[u8]) {
    // A fuzzer that watches comparisons may learn them.
    if SECRETS.iter().any(|secret| data.windows(secret.len()).any(|part| part == secret.as_bytes())) {
        return;
    }
    let (now, mut rest) = first_line(data);
    let now = std::str::from_utf8(now).ok().and_then(|text| text.trim().parse().ok());
    let now = now.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut headers = HeaderMap::new();
    loop {
        let (line, after) = first_line(rest);
        rest = after;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let secrets = SECRETS.map(|secret| Secret::new(secret).expect("not empty"));
    let request = SignedRequest { method: "POST", url: URL, headers: &headers, body: rest };
    for provider in REGISTRY.iter() {
        let name = provider.name();
        let verdict = provider.verify(&secrets, &request, now);
        let present = provider.signature_headers().iter().any(|header| headers.contains_key(header));
        let said = match &verdict {
            Verification::Valid { .. } => panic!("{name} verifies by chance"),
            Verification::Stale { .. } => panic!("{name} has the right signature by chance"),
            Verification::Missing { message } => {
                assert!(!present, "{name}: a signature that is there is missing: {message}");
                message
            }
            Verification::Invalid { message } => {
                assert!(present, "{name}: there is no signature that could be wrong: {message}");
                message
            }
        };
        tells_no_secret(name, said);
        assert_eq!(verdict, provider.verify(&secrets, &request, now), "{name} changes its mind");
    }
    signed_by_us(&headers, rest, now, &secrets);
    // Slow beside the rest, so one provider an input.
    let nth = rest.len() % REGISTRY.names().len();
    let provider = REGISTRY.iter().nth(nth).expect("within the list");
    let suspect = Suspect {
        handler: "x",
        secrets: &secrets[..1],
        others: &[("handler 'x'".into(), secrets[1].clone())],
        request,
        now,
    };
    let findings = REGISTRY.diagnose(provider, &suspect);
    assert!(findings.len() <= FINDINGS_MAX);
    findings.iter().for_each(|finding| tells_no_secret(provider.name(), finding));
}

/// A request that we signed, with the input's headers laid over it: it verifies under no other secret.
fn signed_by_us(over: &HeaderMap, body: &[u8], now: Timestamp, secrets: &[Secret]) {
    for provider in REGISTRY.iter().filter(|provider| !provider.signs_with_private_key()) {
        let request = SignRequest { url: URL, body, delivery_id: "d-1", event: "some.event", now };
        for (ours, other) in [(0, 1), (1, 0)] {
            let mut headers: HeaderMap = provider.sign_request(Some(&secrets[ours]), &request).into_iter().collect();
            over.iter().for_each(|(name, value)| drop(headers.insert(name.clone(), value.clone())));
            let signed = SignedRequest { method: "POST", url: URL, headers: &headers, body };
            match provider.verify(&secrets[other..=other], &signed, now) {
                Verification::Valid { .. } | Verification::Stale { .. } => {
                    panic!("{} takes what another secret signed", provider.name())
                }
                Verification::Missing { message } | Verification::Invalid { message } => {
                    tells_no_secret(provider.name(), &message);
                }
            }
        }
    }
}

fn tells_no_secret(name: &str, said: &str) {
    assert!(!said.is_empty(), "{name}");
    for secret in SECRETS {
        let (start, end) = secret.split_at(secret.len() / 2);
        assert!(!said.contains(start) && !said.contains(end), "{name} tells a secret: {said}");
    }
    assert!(said.len() <= 2000, "{name}: {} bytes", said.len());
}
