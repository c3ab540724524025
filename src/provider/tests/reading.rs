//! Event types, delivery ids and handshakes, where each sender has them.

use serde_json::{Value, json};

use super::senders::{CLOUDEVENTS, DISCORD, GRAFANA, LINEAR, PAGERDUTY, SLACK};
use super::*;
use crate::provider::{DELIVERY_ID_BYTES_MAX, EVENT_CHARS_MAX, wanted};

fn read(provider: &Provider, pairs: &[(&str, &str)], payload: Value) -> (String, Option<String>) {
    let reading = provider.read(&headers(pairs), &payload).expect("an event type");
    (reading.event, reading.delivery_id)
}

#[test]
fn the_event_type_comes_from_where_the_sender_has_it() {
    let github = builtin("github");
    let pairs = [("X-GitHub-Event", "pull_request"), ("X-GitHub-Delivery", "d1")];
    assert_eq!(read(&github, &pairs, json!({"action": "opened"})), ("pull_request.opened".into(), Some("d1".into())));
    assert_eq!(read(&github, &pairs, json!({"action": 7})).0, "pull_request.7");
    assert_eq!(read(&github, &pairs, json!({"action": null})).0, "pull_request");
    assert_eq!(read(&github, &pairs, json!([1])).0, "pull_request");
    let missing = github.read(&headers(&[]), &json!({"action": "opened"})).expect_err("no event type");
    assert_eq!(missing.to_string(), "the request does not say which event it is: header x-github-event is missing");
    let stripe = builtin("stripe");
    assert_eq!(
        read(&stripe, &[], json!({"id": "evt_1", "type": "invoice.paid"})),
        ("invoice.paid".into(), Some("evt_1".into()))
    );
    assert!(stripe.read(&headers(&[]), &json!("text")).is_err());
    let slack = provider(SLACK);
    assert_eq!(
        read(&slack, &[], json!({"type": "event_callback", "event": {"type": "message"}, "event_id": "Ev1"})).0,
        "message"
    );
    assert_eq!(
        read(&provider(PAGERDUTY), &[], json!({"event": {"event_type": "incident.triggered", "id": "x"}})).1,
        Some("x".into())
    );
    assert_eq!(read(&provider(GRAFANA), &[], json!({})).0, "alert");
    assert_eq!(read(&provider(LINEAR), &[], json!({"type": "Issue", "action": "create"})).0, "Issue.create");
}

#[test]
fn custom_reads_three_names_and_takes_anything() {
    let custom = builtin("custom");
    for (payload, event, id) in [
        (json!({"event_type": "a", "event": "b", "type": "c", "id": 7}), "a", Some("7")),
        (json!({"event": "b", "type": "c", "event_id": "e"}), "b", Some("e")),
        (json!({"type": "c", "webhook_id": "w"}), "c", Some("w")),
        (json!({"event": {"nested": true}, "type": "c"}), "c", Some("key")),
        (json!({"event": "  "}), "unknown", Some("key")),
        (json!([]), "unknown", Some("key")),
        (json!(null), "unknown", Some("key")),
        (json!("text"), "unknown", Some("key")),
    ] {
        let found = read(&custom, &[("Idempotency-Key", "key"), ("X-Request-Id", "r")], payload.clone());
        assert_eq!(found, (event.to_owned(), id.map(str::to_owned)), "{payload}");
    }
    assert_eq!(read(&custom, &[("X-Request-Id", "r")], json!({})).1, Some("r".into()));
    assert_eq!(read(&custom, &[], json!({})).1, None);
}

#[test]
fn what_is_read_is_short_and_harmless() {
    let custom = builtin("custom");
    let (event, _) = read(&custom, &[], json!({"event": format!("a\n<b>{}", "é".repeat(500))}));
    assert_eq!(event.chars().count(), EVENT_CHARS_MAX);
    assert!(event.starts_with("a__b_"), "{event}");
    let long = "x".repeat(DELIVERY_ID_BYTES_MAX + 1);
    let (_, id) = read(&custom, &[], json!({"id": long}));
    let id = id.expect("an id");
    assert!(id.starts_with("sha256:") && id.len() < 80, "{id}");
    assert_ne!(Some(id), read(&custom, &[], json!({"id": format!("{long}y")})).1);
    assert!(read(&custom, &[], json!({"id": "a\nb"})).1.is_some_and(|id| id.starts_with("sha256:")));
}

#[test]
fn an_id_of_two_parts_needs_both() {
    let cloudevents = provider(CLOUDEVENTS);
    let pairs = [("ce-type", "com.acme.created"), ("ce-source", "/a"), ("ce-id", "1")];
    assert_eq!(read(&cloudevents, &pairs, json!({})), ("com.acme.created".into(), Some("/a/1".into())));
    assert_eq!(read(&cloudevents, &pairs[..2], json!({})).1, None);
    assert_eq!(read(&cloudevents, &[], json!({"type": "t", "source": "s", "id": "i"})).1, Some("s/i".into()));
}

#[test]
fn an_unsigned_id_does_not_make_a_replay_another_delivery() {
    let provider = builtin("standard-webhooks");
    let replayed = [("svix-id", "msg_1"), ("svix-signature", "v1,AAAA"), ("webhook-id", "another")];
    assert_eq!(read(&provider, &replayed, json!({"type": "a"})).1, Some("msg_1".into()));
    assert_eq!(read(&provider, &[("webhook-id", "msg_2")], json!({"type": "a"})).1, Some("msg_2".into()));
}

#[test]
fn handshakes_are_answered_as_each_sender_asks() {
    let none = headers(&[]);
    let reply = builtin("github").handshake("ping", &none, &json!({})).expect("a handshake");
    assert_eq!((reply.status, reply.keep), (200, true));
    assert!(builtin("github").handshake("push", &none, &json!({})).is_none());
    let slack = provider(SLACK);
    let asked = json!({"type": "url_verification", "challenge": "3eZb\"x"});
    let reply = slack.handshake("url_verification", &none, &asked).expect("a handshake");
    assert_eq!((reply.status, reply.content_type, reply.keep), (200, "application/json", false));
    assert_eq!(reply.body, r#"{"challenge":"3eZb\"x"}"#);
    let reply =
        slack.handshake("url_verification", &none, &json!({"type": "url_verification", "challenge": "x".repeat(5000)}));
    assert_eq!(reply.expect("a handshake").body, r#"{"challenge":""}"#, "we are no mirror for arbitrary content");
    let discord = provider(DISCORD);
    let reply = discord.handshake("0", &none, &json!({"type": 0})).expect("a handshake");
    assert_eq!((reply.status, reply.body.as_str(), reply.content_type), (204, "", ""));
    let agent = headers(&[("User-Agent", "Discord")]);
    assert_eq!(discord.handshake("1", &agent, &json!({"type": 1})).expect("a handshake").body, r#"{"type":1}"#);
    assert!(discord.handshake("1", &none, &json!({"type": 1})).is_none());
    assert!(discord.handshake("0", &none, &json!({"type": "0"})).is_none());
    let cloudevents = provider(CLOUDEVENTS);
    let origin = headers(&[("WebHook-Request-Origin", "eventemitter.example.com")]);
    assert!(cloudevents.handshake("unknown", &origin, &json!({})).is_none(), "a POST is no OPTIONS");
    let reply = cloudevents.handshake_of("OPTIONS", "", &origin, &json!(null)).expect("a handshake");
    let sent: Vec<String> = reply.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().expect("text"))).collect();
    assert_eq!(sent, ["webhook-allowed-origin: eventemitter.example.com", "webhook-allowed-rate: *", "allow: POST"]);
}

#[test]
fn a_handler_wants_an_event_by_itself_or_by_a_whole_prefix() {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    for (events, event, expected) in [
        (&[][..], "anything", true),
        (&["push"], "push", true),
        (&["push"], "pushed", false),
        (&["pull_request"], "pull_request.opened", true),
        (&["pull_request.*"], "pull_request.opened", true),
        (&["pull_request.*"], "pull_request_review.submitted", false),
        (&["pull_request.opened"], "pull_request.closed", false),
        (&["invoice.*"], "invoice.payment_failed", true),
        (&["push", "*"], "release.published", true),
    ] {
        assert_eq!(wanted(&list(events), event), expected, "{events:?} {event}");
    }
}
