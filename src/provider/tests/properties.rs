//! What holds for every input: nothing panics, every limit is kept, and what we sign we accept.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::notice::Summary;
use crate::provider::{LINE_CHARS_MAX, LINES_MAX, SUBJECT_CHARS_MAX, SignRequest, TITLE_CHARS_MAX, URL_BYTES_MAX};

fn every_provider() -> Vec<std::sync::Arc<Provider>> {
    let tests = senders::ALL.iter().map(|yaml| std::sync::Arc::new(provider(yaml)));
    registry().iter().cloned().chain(tests).collect()
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        any::<String>().prop_map(Value::from),
        "[\\PC\u{202E}\n]{0,400}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let key = prop_oneof![
            any::<String>(),
            prop::sample::select(vec![
                "action",
                "sender",
                "login",
                "repository",
                "full_name",
                "html_url",
                "pull_request",
                "number",
                "title",
                "commits",
                "ref",
                "data",
                "object",
                "amount",
                "currency",
                "type",
                "event",
                "id",
                "name",
                "message",
                "user",
                "email",
                "url",
            ])
            .prop_map(str::to_owned),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..8).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn keeps_the_limits(summary: &Summary) {
    let one_line = |text: &str, max: usize| {
        assert!(text.chars().count() <= max, "{} characters", text.chars().count());
        assert!(
            !text.chars().any(|c| c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')),
            "{text:?}"
        );
        assert_eq!(text.trim(), text);
    };
    assert!(!summary.message.title.is_empty());
    one_line(&summary.message.title, TITLE_CHARS_MAX);
    assert!(summary.message.lines.len() <= LINES_MAX);
    for line in &summary.message.lines {
        one_line(line, LINE_CHARS_MAX);
        assert!(!line.is_empty());
    }
    if let Some(url) = &summary.message.url {
        assert!(url.len() <= URL_BYTES_MAX && (url.starts_with("http://") || url.starts_with("https://")), "{url}");
    }
    one_line(summary.subject.as_deref().unwrap_or_default(), SUBJECT_CHARS_MAX);
}

/// Every path of an example replaced by something that does not belong there.
fn spoil(example: &Value, with: &Value, nth: usize) -> Value {
    fn walk(value: &mut Value, with: &Value, left: &mut usize) {
        if *left == 0 {
            *value = with.clone();
            *left = usize::MAX;
            return;
        }
        *left = left.saturating_sub(1);
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| {
                if *left != usize::MAX {
                    walk(item, with, left)
                }
            }),
            Value::Object(map) => map.values_mut().for_each(|item| {
                if *left != usize::MAX {
                    walk(item, with, left)
                }
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let (mut copy, mut left) = (example.clone(), nth);
    walk(&mut copy, with, &mut left);
    copy
}

#[test]
fn a_missing_or_strange_field_never_breaks_a_summary() {
    for provider in every_provider_cached() {
        for info in provider.events() {
            let Some(example) = &info.example else { continue };
            let strange = [
                Value::Null,
                json!({}),
                json!([]),
                json!(-1),
                json!("x"),
                json!({"a": {"b": [1]}}),
                json!("\u{202E}\n"),
            ];
            for nth in 0..40 {
                // One shape a place, shifted by the event's name, so that every shape meets many places.
                let with = &strange[(nth + info.name.len()) % strange.len()];
                keeps_the_limits(&provider.summarize(&info.name, &spoil(example, with, nth), &[]));
            }
        }
    }
}

#[test]
fn what_a_sender_signs_verifies_and_one_changed_bit_does_not() {
    let signing = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
    let public = hex::encode(signing.verifying_key().to_bytes());
    let private = hex::encode(signing.to_bytes());
    let now = at(1_790_000_000);
    for provider in every_provider_cached() {
        let event = provider.events().first().map_or("some.event", |info| info.name.as_str());
        let mut payload = provider.prepare_example(event).unwrap_or_else(|| json!({"type": event}));
        provider.fill(&mut payload, "d-1", now);
        let body = provider.encode(&payload);
        let texts: &[(&str, &str)] = match provider.name() {
            "discord" => &[(private.as_str(), public.as_str())],
            "standard-webhooks" | "svix" => &[("whsec_c2VjcmV0LXNlY3JldA==", "whsec_c2VjcmV0LXNlY3JldA==")],
            "gitlab" => &[("token", "token"), ("whsec_c2VjcmV0LXNlY3JldA==", "whsec_c2VjcmV0LXNlY3JldA==")],
            _ => &[("s3cret", "s3cret"), ("user:pass:word", "user:pass:word")],
        };
        let url = "https://hooks.example.com/webhooks/x?y=1";
        for (ours, theirs) in texts {
            let request = SignRequest { url, body: &body, delivery_id: "d-1", event, now };
            let headers: HeaderMap = provider.sign_request(Some(&secret(ours)), &request).into_iter().collect();
            let verify = |body: &[u8], key: &str| {
                provider.verify(&[secret(key)], &SignedRequest { method: "POST", url, headers: &headers, body }, now)
            };
            let verdict = verify(&body, theirs);
            assert_eq!(word(&verdict), "valid", "{}: {} {headers:?}", provider.name(), message(&verdict));
            // These send the secret itself.
            let token =
                ["alertmanager", "basic", "bearer", "cloudevents"].contains(&provider.name()) || *ours == "token";
            let covers_body = !token;
            let mut changed = body.clone();
            changed[0] ^= 1;
            if covers_body {
                assert_eq!(word(&verify(&changed, theirs)), "invalid", "{}", provider.name());
            }
            assert_eq!(word(&verify(&body, "b3RoZXI=")), "invalid", "{}", provider.name());
            let reading = provider.read(&headers, &payload).expect("an event type");
            if !["discord", "grafana", "twilio", "convoy", "outpost", "sentry"].contains(&provider.name()) {
                assert_eq!(reading.event, event, "{}", provider.name());
            }
        }
    }
}

fn any_header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop::sample::select(vec![
        "x-hub-signature-256",
        "x-signature",
        "x-webhook-signature",
        "x-webhook-signature-v2",
        "x-webhook-timestamp",
        "stripe-signature",
        "x-slack-signature",
        "x-slack-request-timestamp",
        "webhook-signature",
        "webhook-id",
        "webhook-timestamp",
        "x-gitlab-token",
        "linear-signature",
        "x-pagerduty-signature",
        "x-twilio-signature",
        "x-signature-ed25519",
        "x-signature-timestamp",
        "x-hook0-signature",
        "x-convoy-signature",
        "authorization",
        "x-grafana-alerting-signature",
        "content-type",
        "x-github-event",
        "x-github-delivery",
        "ce-type",
        "ce-id",
        "ce-source",
    ]);
    let value = prop_oneof![
        prop::collection::vec(0x20_u8..=0xff, 0..60),
        "(t=|v1=|v0=|sha256=|v1,|h=|Basic |Bearer |[0-9a-f]{2,64}|[,. =-])*".prop_map(String::into_bytes),
    ];
    (name.prop_map(str::to_owned), value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_reads_within_the_limits(payload in any_json(), event in "[a-z_.]{0,24}|[\\PC]{0,300}") {
        for provider in every_provider_cached() {
            keeps_the_limits(&provider.summarize(&event, &payload, &[]));
            for info in provider.events().iter().take(4) {
                keeps_the_limits(&provider.summarize(&info.name, &payload, &[]));
            }
        }
    }

    #[test]
    fn no_header_and_no_payload_panics_or_verifies_by_chance(
        pairs in prop::collection::vec(any_header(), 0..6),
        body in prop::collection::vec(any::<u8>(), 0..80),
        payload in any_json(),
        now in any::<i32>(),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().expect("a header name");
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name, value);
            }
        }
        let secrets = [secret("a-secret-nobody-can-guess"), secret("whsec_c2VjcmV0LXNlY3JldA==")];
        for provider in every_provider_cached() {
            let request = SignedRequest { method: "POST", url: "https://h.io/?bodySHA256=00", headers: &headers, body: &body };
            let verdict = provider.verify(&secrets, &request, at(i64::from(now)));
            prop_assert_ne!(word(&verdict), "valid");
            prop_assert_eq!(word(&verdict) == "missing", !provider.signature_headers().iter().any(|n| headers.contains_key(n)));
            let event = provider.read(&headers, &payload).map_or_else(|e| e.message, |reading| reading.event);
            prop_assert!(!event.is_empty());
            let _answer = provider.handshake(&event, &headers, &payload);
        }
    }
}

fn every_provider_cached() -> &'static [std::sync::Arc<Provider>] {
    static ALL: std::sync::OnceLock<Vec<std::sync::Arc<Provider>>> = std::sync::OnceLock::new();
    ALL.get_or_init(every_provider)
}
