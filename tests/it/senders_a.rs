//! GitLab, Slack, Shopify, Linear, Sentry and PagerDuty: signed requests made by an independent computation, handshakes,
//! event types and delivery ids, what each sender does with our answers, and how every example reads.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookhand::config::Secret;
use hookhand::domain::notice::Severity;
use hookhand::provider::{EventInfo, Provider, Registry, SignedRequest, Verification};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;

use super::summaries::{absent_word, shape_faults};

const NAMES: [&str; 6] = ["gitlab", "linear", "pagerduty", "sentry", "shopify", "slack"];
const NOW_S: i64 = 1_772_445_600;

fn registry() -> Registry {
    Registry::builtin()
}

fn provider<'r>(registry: &'r Registry, name: &str) -> &'r Provider {
    registry.get(name).expect("built in")
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).expect("a time")
}

/// HMAC-SHA256 as RFC 2104 has it, over the parts in a row.
fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn hex_mac(key: &str, parts: &[&[u8]]) -> String {
    hex::encode(mac(key.as_bytes(), parts))
}

fn header_map(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Verdict {
    Valid,
    Missing,
    Invalid,
    Stale,
}

fn verdict(name: &str, secrets: &[&str], headers: &[(&str, &str)], body: &[u8]) -> Verdict {
    let registry = registry();
    let secrets: Vec<Secret> = secrets.iter().filter_map(|text| Secret::new(*text)).collect();
    let headers = header_map(headers);
    let request = SignedRequest { method: "POST", url: "https://hooks.example.com/webhook/x", headers: &headers, body };
    match provider(&registry, name).verify(&secrets, &request, now()) {
        Verification::Valid { .. } => Verdict::Valid,
        Verification::Missing { .. } => Verdict::Missing,
        Verification::Invalid { message } | Verification::Stale { message }
            if secrets.iter().any(|secret| message.contains(secret.expose())) =>
        {
            panic!("a secret in a message: {message}")
        }
        Verification::Invalid { .. } => Verdict::Invalid,
        Verification::Stale { .. } => Verdict::Stale,
    }
}

#[test]
fn gitlab_takes_its_token_and_nothing_like_it() {
    let check = |secrets: &[&str], headers: &[(&str, &str)]| verdict("gitlab", secrets, headers, b"{}");
    assert_eq!(check(&["t0ken"], &[("X-Gitlab-Token", "t0ken")]), Verdict::Valid);
    assert_eq!(check(&["new", "t0ken"], &[("X-Gitlab-Token", "t0ken")]), Verdict::Valid, "rotation");
    for wrong in ["t0ke", "t0kenn", "T0KEN", "", "t0ken,t0ken"] {
        assert_eq!(check(&["t0ken"], &[("X-Gitlab-Token", wrong)]), Verdict::Invalid, "{wrong}");
    }
    assert_eq!(check(&["t0ken"], &[("X-Gitlab-Token", "t0ken"), ("X-Gitlab-Token", "t0ken")]), Verdict::Invalid);
    assert_eq!(check(&["t0ken"], &[]), Verdict::Missing);
    // GitLab sends these two to every hook; alone they choose nothing.
    let plain = [("webhook-id", "1"), ("webhook-timestamp", "1"), ("X-Gitlab-Token", "t0ken")];
    assert_eq!(check(&["t0ken"], &plain), Verdict::Valid);
}

#[test]
fn gitlab_takes_its_signing_token_only_when_there_is_a_signature() {
    let key = b"0123456789abcdef0123456789abcdef";
    let secret = format!("whsec_{}", STANDARD.encode(key));
    let body = br#"{"object_kind":"push"}"#;
    let sign = |at: i64, key: &[u8]| {
        format!("v1,{}", STANDARD.encode(mac(key, &[b"msg_1.", at.to_string().as_bytes(), b".", body])))
    };
    let check = |secrets: &[&str], at: i64, signature: &str, more: &[(&str, &str)]| {
        let at = at.to_string();
        let mut headers = vec![("webhook-id", "msg_1"), ("webhook-timestamp", &*at), ("webhook-signature", signature)];
        headers.extend_from_slice(more);
        verdict("gitlab", secrets, &headers, body)
    };
    let right = sign(NOW_S, key);
    assert_eq!(check(&[&secret], NOW_S, &right, &[]), Verdict::Valid);
    let other = format!("whsec_{}", STANDARD.encode(b"another key, another key, another"));
    assert_eq!(check(&[&other, &secret], NOW_S, &right, &[]), Verdict::Valid, "two secrets here");
    let both = format!("{} {right}", sign(NOW_S, b"older"));
    assert_eq!(check(&[&secret], NOW_S, &both, &[]), Verdict::Valid, "two signatures there");
    assert_eq!(check(&[&secret], NOW_S - 301, &sign(NOW_S - 301, key), &[]), Verdict::Stale);
    assert_eq!(check(&[&secret], NOW_S + 301, &sign(NOW_S + 301, key), &[]), Verdict::Stale);
    for wrong in [&*sign(NOW_S, b"no"), "v1,AAAA", "v1,!", "v2,AAAA", ""] {
        // A wrong signature is not rescued by a right token.
        assert_eq!(check(&[&secret], NOW_S, wrong, &[("X-Gitlab-Token", &secret)]), Verdict::Invalid, "{wrong}");
    }
    assert_eq!(check(&[&secret], NOW_S - 10, &right, &[]), Verdict::Invalid, "another time than was signed");
}

#[test]
fn slack_takes_its_documented_example_and_nothing_like_it() {
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let body: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let documented = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let headers = |at: &'static str, signature: &'static str| {
        [("X-Slack-Request-Timestamp", at), ("X-Slack-Signature", signature)]
    };
    // It is of 2018: right and stale says that the signature was found right.
    assert_eq!(verdict("slack", &[secret], &headers("1531420618", documented), body), Verdict::Stale);
    assert_eq!(verdict("slack", &[secret], &headers("1531420619", documented), body), Verdict::Invalid);
    let signed = |key: &str, at: i64| format!("v0={}", hex_mac(key, &[b"v0:", at.to_string().as_bytes(), b":", body]));
    let check = |secrets: &[&str], at: i64, signature: &str| {
        let at = at.to_string();
        verdict("slack", secrets, &[("X-Slack-Request-Timestamp", &at), ("X-Slack-Signature", signature)], body)
    };
    assert_eq!(check(&[secret], NOW_S, &signed(secret, NOW_S)), Verdict::Valid);
    assert_eq!(check(&[secret], NOW_S - 300, &signed(secret, NOW_S - 300)), Verdict::Valid);
    assert_eq!(check(&[secret], NOW_S - 301, &signed(secret, NOW_S - 301)), Verdict::Stale);
    assert_eq!(check(&[secret], NOW_S + 301, &signed(secret, NOW_S + 301)), Verdict::Stale);
    assert_eq!(check(&["new", secret], NOW_S, &signed(secret, NOW_S)), Verdict::Valid, "rotation");
    for wrong in [&*signed("wrong", NOW_S), "v0=00", "v0=", "v1=00", "", &signed(secret, NOW_S)[3..]] {
        assert_eq!(check(&[secret], NOW_S, wrong), Verdict::Invalid, "{wrong}");
    }
    assert_eq!(verdict("slack", &[secret], &[("X-Slack-Request-Timestamp", "1")], body), Verdict::Missing);
    let without_time = [("X-Slack-Signature", documented)];
    assert_eq!(verdict("slack", &[secret], &without_time, body), Verdict::Invalid);
    assert_eq!(verdict("slack", &[secret], &headers("99999999999999999999", documented), body), Verdict::Invalid);
}

#[test]
fn shopify_takes_both_sets_of_headers() {
    let body = br#"{"id":820982911946154508,"total_price":"129.90"}"#;
    let signature = STANDARD.encode(mac(b"client secret", &[body]));
    for header in ["X-Shopify-Hmac-Sha256", "shopify-hmac-sha256"] {
        let check = |secrets: &[&str], value: &str| verdict("shopify", secrets, &[(header, value)], body);
        assert_eq!(check(&["client secret"], &signature), Verdict::Valid);
        assert_eq!(check(&["newer", "client secret"], &signature), Verdict::Valid, "rotation");
        let hex = hex_mac("client secret", &[body]);
        for wrong in [&*STANDARD.encode(mac(b"other", &[body])), &hex, "AAAA", "not base64!", ""] {
            assert_eq!(check(&["client secret"], wrong), Verdict::Invalid, "{wrong}");
        }
    }
    assert_eq!(verdict("shopify", &["client secret"], &[], body), Verdict::Missing);
    // Presence commits: the older header decides, and a right newer one does not rescue it.
    let both = [("X-Shopify-Hmac-Sha256", "AAAA"), ("shopify-hmac-sha256", &*signature)];
    assert_eq!(verdict("shopify", &["client secret"], &both, body), Verdict::Invalid);
}

#[test]
fn linear_looks_at_the_time_inside_the_body() {
    let check = |secrets: &[&str], body: &str, key: &str| {
        let signature = hex_mac(key, &[body.as_bytes()]);
        verdict("linear", secrets, &[("Linear-Signature", &signature)], body.as_bytes())
    };
    let body = |ms: i64| json!({"action": "create", "type": "Issue", "webhookTimestamp": ms}).to_string();
    let now_ms = NOW_S * 1000;
    assert_eq!(check(&["linear-1"], &body(now_ms), "linear-1"), Verdict::Valid);
    assert_eq!(check(&["linear-1"], &body(now_ms - 60_000), "linear-1"), Verdict::Valid);
    assert_eq!(check(&["linear-1"], &body(now_ms - 60_001), "linear-1"), Verdict::Stale);
    assert_eq!(check(&["linear-1"], &body(now_ms + 61_000), "linear-1"), Verdict::Stale);
    assert_eq!(check(&["linear-1"], &body(i64::MAX), "linear-1"), Verdict::Stale);
    assert_eq!(check(&["linear-2", "linear-1"], &body(now_ms), "linear-1"), Verdict::Valid, "rotation");
    assert_eq!(check(&["linear-1"], &body(now_ms), "wrong"), Verdict::Invalid);
    assert_eq!(check(&["linear-1"], r#"{"action":"create"}"#, "linear-1"), Verdict::Invalid, "no time at all");
    assert_eq!(check(&["linear-1"], "not json", "linear-1"), Verdict::Invalid);
    assert_eq!(verdict("linear", &["linear-1"], &[("Linear-Signature", "zz")], b"{}"), Verdict::Invalid);
    assert_eq!(verdict("linear", &["linear-1"], &[], b"{}"), Verdict::Missing);
}

#[test]
fn sentry_takes_the_hex_of_the_body() {
    let body = "{\"action\":\"created\",\"title\":\"naïve\"}".as_bytes();
    let right = hex_mac("client", &[body]);
    let check = |secrets: &[&str], value: &str| verdict("sentry", secrets, &[("Sentry-Hook-Signature", value)], body);
    assert_eq!(check(&["client"], &right), Verdict::Valid);
    assert_eq!(check(&["client"], &right.to_uppercase()), Verdict::Valid);
    assert_eq!(check(&["newer", "client"], &right), Verdict::Valid, "rotation");
    for wrong in [&*hex_mac("other", &[body]), &right[..62], "zz", "", &format!("sha256={right}")] {
        assert_eq!(check(&["client"], wrong), Verdict::Invalid, "{wrong}");
    }
    assert_eq!(verdict("sentry", &["client"], &[("Sentry-Hook-Timestamp", "1")], body), Verdict::Missing);
}

#[test]
fn pagerduty_takes_any_of_its_signatures() {
    let body = br#"{"event":{"id":"1","event_type":"incident.triggered"}}"#;
    let right = format!("v1={}", hex_mac("pager-1", &[body]));
    let other = format!("v1={}", hex_mac("older", &[body]));
    let check =
        |secrets: &[&str], value: &str| verdict("pagerduty", secrets, &[("X-PagerDuty-Signature", value)], body);
    assert_eq!(check(&["pager-1"], &right), Verdict::Valid);
    assert_eq!(check(&["pager-1"], &format!("{other},{right}")), Verdict::Valid, "two signatures there");
    assert_eq!(check(&["pager-1"], &format!("{other}, {right}")), Verdict::Valid, "with a space");
    assert_eq!(check(&["newer", "pager-1"], &right), Verdict::Valid, "two secrets here");
    for wrong in [&*other, "v1=00", "v1=", "v2=00", "", &right[3..]] {
        assert_eq!(check(&["pager-1"], wrong), Verdict::Invalid, "{wrong}");
    }
    assert_eq!(verdict("pagerduty", &["pager-1"], &[], body), Verdict::Missing);
}

/// Event type and delivery id of a request.
fn read(name: &str, headers: &[(&str, &str)], payload: &Value) -> (String, Option<String>) {
    let reading = provider(&registry(), name).read(&header_map(headers), payload).expect("an event type");
    (reading.event, reading.delivery_id)
}

#[test]
fn every_sender_has_its_event_type_and_its_delivery_id() {
    let some = |event: &str, id: &str| (event.to_owned(), Some(id.to_owned()));
    let none = |event: &str| (event.to_owned(), None);
    let merge = json!({"object_kind": "merge_request", "object_attributes": {"action": "open"}});
    let hook = ("X-Gitlab-Event", "Merge Request Hook");
    assert_eq!(read("gitlab", &[hook, ("Idempotency-Key", "k1")], &merge), some("merge_request.open", "k1"));
    assert_eq!(read("gitlab", &[hook, ("webhook-id", "m1")], &merge), some("merge_request.open", "m1"));
    // Shared by every event that one action set off, so two of them would be taken for one.
    assert_eq!(read("gitlab", &[hook, ("X-Gitlab-Event-UUID", "u")], &merge), none("merge_request.open"));
    for (payload, event) in [
        (json!({"object_kind": "push", "event_name": "push"}), "push"),
        (json!({"object_kind": "pipeline", "object_attributes": {"status": "failed"}}), "pipeline.failed"),
        (json!({"object_kind": "build", "build_status": "success"}), "build.success"),
        (json!({"object_kind": "deployment", "status": "running"}), "deployment.running"),
        (json!({"object_kind": "release", "action": "create"}), "release.create"),
        (json!({"event_name": "user_add_to_group"}), "user_add_to_group"),
        (json!({}), "Merge Request Hook"),
    ] {
        assert_eq!(read("gitlab", &[hook], &payload), none(event));
    }

    let message = |subtype: Value| json!({"type": "event_callback", "event_id": "Ev1", "event": {"type": "message", "subtype": subtype}});
    assert_eq!(read("slack", &[], &message(json!(null))), some("message", "Ev1"));
    assert_eq!(read("slack", &[], &message(json!("message_changed"))), some("message.message_changed", "Ev1"));
    assert_eq!(
        read("slack", &[], &json!({"type": "block_actions", "trigger_id": "1.2"})),
        some("block_actions", "1.2")
    );
    assert_eq!(read("slack", &[], &json!({"command": "/deploy", "trigger_id": "3.4"})), some("slash_command", "3.4"));
    assert_eq!(read("slack", &[], &json!({"type": "view_closed"})), none("view_closed"));

    let topic = ("X-Shopify-Topic", "orders/paid");
    let ids = [topic, ("X-Shopify-Event-Id", "e1"), ("X-Shopify-Webhook-Id", "w1")];
    assert_eq!(read("shopify", &ids, &json!({})), some("orders/paid", "orders/paid/e1"));
    let newer = [("shopify-topic", "orders/paid"), ("shopify-event-id", "e1")];
    assert_eq!(read("shopify", &newer, &json!({})), some("orders/paid", "orders/paid/e1"));
    assert_eq!(read("shopify", &[topic, ("X-Shopify-Webhook-Id", "w1")], &json!({})), some("orders/paid", "w1"));
    // One action of a merchant, two topics: two events.
    let other = [("X-Shopify-Topic", "orders/updated"), ("X-Shopify-Event-Id", "e1")];
    assert_ne!(read("shopify", &other, &json!({})).1, read("shopify", &ids, &json!({})).1);

    let issue = json!({"type": "Issue", "action": "create"});
    assert_eq!(
        read("linear", &[("Linear-Event", "Issue"), ("Linear-Delivery", "d")], &issue),
        some("Issue.create", "d")
    );
    assert_eq!(read("linear", &[], &issue), none("Issue.create"));
    let issue = json!({"action": "resolved"});
    let resource = ("Sentry-Hook-Resource", "issue");
    assert_eq!(read("sentry", &[resource, ("Request-ID", "r")], &issue), some("issue.resolved", "r"));
    assert_eq!(read("sentry", &[resource], &issue), none("issue.resolved"));
    let incident = json!({"event": {"id": "01DEN", "event_type": "incident.triggered"}});
    assert_eq!(read("pagerduty", &[("X-Webhook-Id", "w")], &incident), some("incident.triggered", "w"));
    assert_eq!(read("pagerduty", &[], &incident), some("incident.triggered", "01DEN"));
    for name in NAMES.iter().filter(|name| **name != "slack") {
        assert!(provider(&registry(), name).read(&HeaderMap::new(), &json!({})).is_err(), "{name}");
    }
}

#[test]
fn a_family_of_topics_is_one_filter() {
    let wanted = |pattern: &str, event: &str| hookhand::provider::wanted(&[pattern.to_owned()], event);
    assert!(wanted("orders", "orders/paid") && wanted("orders/*", "orders/paid") && wanted("orders.*", "orders/paid"));
    assert!(!wanted("orders", "orders_x/paid") && !wanted("orders/paid", "orders/create"));
    assert!(wanted("pipeline", "pipeline.failed") && wanted("message", "message.bot_message"));
}

#[test]
fn slack_is_answered_as_it_expects() {
    let registry = registry();
    let slack = provider(&registry, "slack");
    let answer = |payload: Value| {
        let reading = slack.read(&HeaderMap::new(), &payload).expect("an event");
        slack.handshake(&reading.event, &HeaderMap::new(), &payload)
    };
    let challenge =
        answer(json!({"type": "url_verification", "challenge": "3eZ\"x", "token": "t"})).expect("an answer");
    assert_eq!(challenge.status, 200);
    assert_eq!(challenge.content_type, "application/json");
    assert_eq!(serde_json::from_str::<Value>(&challenge.body).expect("JSON"), json!({"challenge": "3eZ\"x"}));
    // An unknown body would be shown as an error to whoever sent the form or typed the command.
    for payload in [
        json!({"type": "view_submission"}),
        json!({"type": "block_actions"}),
        json!({"type": "shortcut"}),
        json!({"command": "/deploy", "text": ""}),
    ] {
        let reply = answer(payload).expect("an answer");
        assert_eq!((reply.status, reply.body.as_str(), reply.keep), (200, "", true));
    }
    assert!(answer(json!({"type": "event_callback", "event": {"type": "message"}})).is_none());
}

/// What a sender does with a status that is not 2xx.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Does {
    /// Sends the event again.
    Retries,
    /// Sends nothing for a while, comes back by itself, and the event can be resent by hand.
    Pauses,
    /// The event is lost.
    Drops,
    /// The hook is off until a person enables it.
    Disables,
}

/// What each sender is documented to do; sources are in its manifest and its documentation.
fn policy(name: &str, status: u16, no_retry_header: bool) -> Does {
    match (name, status) {
        // "5xx … temporarily disabled; 4xx … disabled until you manually re-enable them".
        ("gitlab", 500..=599) => Does::Pauses,
        ("gitlab", _) => Does::Disables,
        ("slack", _) if no_retry_header => Does::Drops,
        ("slack" | "shopify", _) => Does::Retries,
        ("linear", _) => Does::Retries,
        // A client error is not tried again.
        ("sentry", 500..=599) => Does::Retries,
        ("sentry", _) => Does::Drops,
        ("pagerduty", 429 | 500..=599) => Does::Retries,
        ("pagerduty", _) => Does::Drops,
        other => panic!("no policy for {other:?}"),
    }
}

#[test]
fn under_overload_every_sender_comes_back() {
    let registry = registry();
    for name in NAMES {
        let provider = provider(&registry, name);
        let does = policy(name, provider.overload_status(), false);
        let expected = if name == "gitlab" { Does::Pauses } else { Does::Retries };
        assert_eq!(does, expected, "{name} gets {}", provider.overload_status());
        assert!((200..300).contains(&provider.success_status()), "{name}");
    }
    // The table tells good answers from bad ones.
    assert_eq!(policy("gitlab", 429, false), Does::Disables);
    assert_eq!(policy("pagerduty", 409, false), Does::Drops);
    assert_eq!(policy("slack", 503, true), Does::Drops);
    assert_eq!(policy("sentry", 429, false), Does::Drops);
}

#[test]
fn every_sender_says_how_it_is_set_up_and_what_it_sends() {
    let registry = registry();
    for name in NAMES.iter().chain(&["github", "stripe"]) {
        let provider = provider(&registry, name);
        assert!(provider.setup().len() >= 3, "{name}");
        assert!(provider.setup().iter().any(|step| step.contains("`secret`")), "{name}: where the secret goes");
        assert!(provider.setup().iter().any(|step| step.contains(&format!("/webhooks/{name}"))), "{name}: the address");
        assert!(provider.events().iter().all(|info| !info.description.is_empty()), "{name}");
        let examples = provider.events().iter().filter(|info| info.example.is_some()).count();
        assert!(examples >= if *name == "gitlab" { 8 } else { 6 }, "{name} has {examples} examples");
    }
}

#[test]
fn what_is_sent_as_a_sample_is_accepted() {
    let registry = registry();
    for name in NAMES {
        let provider = provider(&registry, name);
        let secret = Secret::new(if name == "gitlab" { "not base64 at all!" } else { "a secret" }).expect("text");
        for info in provider.events().iter().filter(|info| info.example.is_some()) {
            let mut payload = provider.prepare_example(&info.name).expect("an example");
            provider.fill(&mut payload, "delivery-1", now());
            let body = serde_json::to_vec(&payload).expect("JSON");
            let headers: HeaderMap =
                provider.sign(Some(&secret), &body, "delivery-1", &info.name, now()).into_iter().collect();
            let request =
                SignedRequest { method: "POST", url: "https://h.example.com/", headers: &headers, body: &body };
            let verified = provider.verify(std::slice::from_ref(&secret), &request, now());
            assert!(matches!(verified, Verification::Valid { .. }), "{name} {}: {verified:?}", info.name);
            let reading = provider.read(&headers, &payload).expect("an event type");
            assert_eq!(reading.event, info.name, "{name}");
            if info.name != "url_verification" {
                assert!(reading.delivery_id.is_some_and(|id| id.contains("delivery-1")), "{name} {}", info.name);
            }
        }
    }
}

fn visible(info: &EventInfo) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
    info.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// What a message of a sender must name: pointers of which the first that is there has to be in the title.
const TITLES: &[(&str, &[&[&str]])] = &[
    (
        "gitlab",
        &[
            &["/project/path_with_namespace", "/group_path"],
            &["/user/username", "/user_username"],
            &["/object_attributes/title", "/ref", "/object_attributes/ref", "/merge_request/title"],
        ],
    ),
    ("linear", &[&["/data/identifier", "/data/issue/identifier", "/issueData/identifier"], &["/actor/name"]]),
    ("pagerduty", &[&["/event/data/title", "/event/data/incident/summary", "/event/data/summary"]]),
    (
        "sentry",
        &[&["/data/issue/shortId", "/data/error/title", "/data/event/title", "/data/metric_alert/alert_rule/name"]],
    ),
    ("shopify", &[&["/name", "/title", "/first_name", "/location_id"]]),
    (
        "slack",
        &[&["/user/name", "/user_name", "/event/user/name", "/event/user", "/event/username", "/event/message/user"]],
    ),
];

#[test]
fn every_example_says_who_did_what_to_which_thing_where() {
    let registry = registry();
    let mut faults = Vec::new();
    for name in NAMES {
        let provider = provider(&registry, name);
        let must = TITLES.iter().find(|(sender, _)| *sender == name).map_or(&[] as &[_], |(_, must)| must);
        for info in provider.events() {
            let Some(example) = &info.example else { continue };
            let headers = visible(info);
            let summary = provider.summarize(&info.name, example, &headers);
            let title = &summary.message.title;
            let mut tell = |fault: String| faults.push(format!("{name} {}: {fault}: {title}", info.name));
            shape_faults(&summary).into_iter().for_each(&mut tell);
            absent_word(&summary).into_iter().for_each(|word| tell(format!("says {word}")));
            let all = format!("{summary:?}");
            for machine in ["/api/0/", "://api.", "authenticate?key", "invoices/secret", "token", "secret"] {
                if all.contains(machine) && !all.contains("Access token") {
                    tell(format!("shows {machine}"));
                }
            }
            for pointers in must {
                let value = pointers.iter().find_map(|p| match example.pointer(p)? {
                    Value::String(text) => Some(text.replace("refs/heads/", "").replace("refs/tags/", "")),
                    Value::Number(number) => Some(number.to_string()),
                    _ => None,
                });
                if let Some(value) = value.filter(|value| !title.contains(&**value)) {
                    tell(format!("{pointers:?} is missing: {value}"));
                }
            }
            let shop = headers.iter().find(|(name, _)| name == "x-shopify-shop-domain");
            if shop.is_some() && !title.contains("acme") {
                tell("no shop".into());
            }
            if summary.subject.is_none() && !["url_verification", "pagey.ping"].contains(&&*info.name) {
                tell("no subject".into());
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// All examples as people read them.
fn rendered(provider: &Provider) -> String {
    let mut text = String::new();
    for info in provider.events() {
        let Some(example) = &info.example else { continue };
        let summary = provider.summarize(&info.name, example, &visible(info));
        let mark = match summary.message.severity {
            Severity::Info => "",
            Severity::Good => " (good)",
            Severity::Warning => " (warning)",
            Severity::Critical => " (critical)",
        };
        text += &format!("[{}]{mark}\n{}\n", info.name, summary.message.title);
        summary.message.lines.iter().for_each(|line| text += &format!("  {line}\n"));
        summary.message.url.iter().for_each(|url| text += &format!("  {url}\n"));
        summary.subject.iter().for_each(|subject| text += &format!("  = {subject}\n"));
        text.push('\n');
    }
    text
}

/// The exact words. `UPDATE_MESSAGES=1` writes them anew: read the difference as a stranger would before it is kept.
#[test]
fn every_example_reads_as_it_did() {
    let registry = registry();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/messages");
    for name in NAMES {
        let (file, now) = (folder.join(format!("{name}.txt")), rendered(provider(&registry, name)));
        if std::env::var_os("UPDATE_MESSAGES").is_some() {
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(&file, &now).expect("a writable file");
        }
        let kept = std::fs::read_to_string(&file).expect("the kept messages");
        let differs = now.lines().zip(kept.lines()).find(|(now, kept)| now != kept);
        assert!(now == kept, "{name} reads otherwise: {differs:?}");
    }
}

/// Every value of a payload, one after the other, absent or of another kind; and payloads without anything.
#[test]
fn odd_payloads_leave_no_holes() {
    let registry = registry();
    let shapes = [json!(null), json!([1]), json!("text"), json!({"data": 3, "event": [], "object_attributes": "x"})];
    let odd = [json!({"a": 1}), json!(7), json!("x\n\u{202E}{{ 7 }}<b>")];
    // Nothing at all for every pattern, and nothing for every value; the other odd things take turns.
    let (mut shapes, mut odd) = (shapes.iter().cycle(), odd.iter().cycle());
    let mut faults = Vec::new();
    for name in NAMES {
        let provider = provider(&registry, name);
        for pattern in patterns(name) {
            for (action, shape) in [("", &json!({})), (".failed", &json!({})), ("", shapes.next().expect("a cycle"))] {
                let event = format!("{pattern}{action}");
                let summary = provider.summarize(&event, shape, &[]);
                for fault in shape_faults(&summary).into_iter().chain(absent_word(&summary).map(str::to_owned)) {
                    faults.push(format!("{name} {event} {shape}: {fault}: {:?}", summary.message.title));
                }
            }
        }
        for info in provider.events() {
            let Some(example) = &info.example else { continue };
            let headers = visible(info);
            let plain = provider.summarize(&info.name, example, &headers);
            for pointer in pointers(example) {
                let mut changed_to = |value: &Value| {
                    let mut changed = example.clone();
                    if let Some(place) = changed.pointer_mut(&pointer) {
                        *place = value.clone();
                    }
                    let summary = provider.summarize(&info.name, &changed, &headers);
                    let ours = |fault: &String| !value.is_string() || !fault.starts_with("a hole");
                    let found = shape_faults(&summary).into_iter().filter(ours);
                    for fault in found.chain(absent_word(&summary).map(str::to_owned)) {
                        let title = &summary.message.title;
                        faults.push(format!("{name} {} {pointer} {value}: {fault}: {title:?}", info.name));
                    }
                    summary
                };
                // Most of a payload is never read, and is not worth more time.
                if changed_to(&Value::Null) != plain {
                    changed_to(odd.next().expect("a cycle"));
                }
            }
        }
    }
    faults.dedup();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults[..faults.len().min(60)].join("\n"));
}

/// Every pattern that a built-in manifest has a summary for.
fn patterns(name: &str) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("providers/{name}.yaml"));
    let text = std::fs::read_to_string(file).expect("a manifest");
    let summaries =
        text.split("\nsummaries:").nth(1).and_then(|rest| rest.split("\nevents:").next()).expect("summaries");
    let key = |line: &str| {
        let rest = line.strip_prefix("  ")?;
        let key = rest.split(':').next().filter(|_| rest.contains(':'))?;
        key.chars().all(|c| c.is_ascii_alphanumeric() || "_./".contains(c)).then(|| key.to_owned())
    };
    let keys: Vec<String> = summaries.lines().filter_map(key).collect();
    assert!(keys.len() > 10 && keys.contains(&"default".to_owned()), "{name}: {keys:?}");
    keys
}

fn pointers(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, child)| (key.replace('/', "~1"), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, child)| (n.to_string(), child)).collect(),
        _ => Vec::new(),
    };
    let below = |(key, child): (String, &Value)| {
        let deeper = pointers(child).into_iter().map(|rest| format!("/{key}{rest}")).collect::<Vec<_>>();
        std::iter::once(format!("/{key}")).chain(deeper).collect::<Vec<_>>()
    };
    children.into_iter().flat_map(below).collect()
}
