//! From a sender's request to the message that a person reads: the whole agent, over real sockets.

use std::time::Duration;

use hookhand::domain::event::EventStatus;
use hookhand::ledger::EventFilter;
use serde_json::json;

use crate::harness::app::{CHAT, TestApp, delivery, pull_request};
use crate::harness::http::Request;

#[tokio::test]
async fn a_pull_request_becomes_one_line_in_the_chat() {
    let mut app = TestApp::start().await;
    let reply = app.send(delivery("d-1", "pull_request", &pull_request(42, "Fix login"))).await;
    assert_eq!((reply.status, reply.word().as_str()), (200, "accepted"));
    let answer = reply.json();
    assert_eq!(answer["event"], "pull_request.opened");

    let message = app.messages(1).await.remove(0);
    assert_eq!(message.text.lines().next(), Some("octocat opened pull request acme/shop#42: Fix login"));
    assert!(message.links.iter().any(|link| link == "https://github.com/acme/shop/pull/42"), "{message:?}");

    let row = app.events(EventFilter::default()).await.remove(0);
    assert_eq!(row.id.to_string(), answer["event_id"]);
    assert_eq!(row.status, EventStatus::Processed);
    assert_eq!(row.title.as_deref(), Some("octocat opened pull request acme/shop#42: Fix login"));
    assert_eq!(row.subject.as_deref(), Some("acme/shop#42"));
    app.stop().await;
}

#[tokio::test]
async fn a_redelivery_is_told_apart_and_makes_no_second_message() {
    let mut app = TestApp::start().await;
    let first = app.send(delivery("same", "pull_request", &pull_request(1, "One"))).await.json();
    let second = app.send(delivery("same", "pull_request", &pull_request(1, "One"))).await.json();
    assert_eq!(second["status"], "duplicate");
    assert_eq!(second["event_id"], first["event_id"]);
    app.send(delivery("other", "pull_request", &pull_request(2, "Two"))).await;
    let texts: Vec<String> = app.messages(2).await.into_iter().map(|message| message.text).collect();
    assert!(texts[0].contains("#1: One") && texts[1].contains("#2: Two"), "{texts:?}");
    app.stop().await;
}

#[tokio::test]
async fn telegram_is_down_for_a_minute_and_the_message_comes_after() {
    let mut app = TestApp::start().await;
    app.telegram.go_down().await;
    let reply = app.send(delivery("d", "pull_request", &pull_request(7, "Patience"))).await;
    assert_eq!(reply.status, 200, "a webhook does not wait for Telegram");
    app.clock.run_for(Duration::from_secs(60)).await;
    app.telegram.come_back().await;
    let messages = app.messages(1).await;
    assert!(messages[0].text.contains("#7: Patience"));
    assert_eq!(messages.len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn what_was_not_told_before_a_stop_is_told_after_the_next_start() {
    let mut app = TestApp::start().await;
    app.telegram.go_down().await;
    app.send(delivery("d", "pull_request", &pull_request(8, "Later"))).await;
    app.stop().await;
    app.telegram.come_back().await;
    app.run().await;
    assert!(app.messages(1).await[0].text.contains("#8: Later"));
    app.stop().await;
}

#[tokio::test]
async fn three_hundred_events_are_a_handful_of_messages_that_name_every_one() {
    let mut app = TestApp::start().await;
    for number in 1..=300 {
        let title = format!("Case {number:04}");
        let reply = app.send(delivery(&number.to_string(), "pull_request", &pull_request(number, &title))).await;
        assert_eq!(reply.word(), "accepted");
    }
    let mut seen = app.messages(6).await;
    let named = |seen: &[crate::harness::bot_api::SeenMessage]| {
        (1..=300).filter(|n| seen.iter().any(|message| message.text.contains(&format!("Case {n:04}")))).count()
    };
    while named(&seen) < 300 {
        seen = app.messages(seen.len() + 1).await;
        assert!(seen.len() <= 20, "{} messages name {} of 300", seen.len(), named(&seen));
    }
    let doubled: Vec<u64> = (1..=300)
        .filter(|n| seen.iter().map(|m| m.text.matches(&format!("Case {n:04}")).count()).sum::<usize>() != 1)
        .collect();
    assert!(doubled.is_empty(), "named more than once: {doubled:?}");
    app.stop().await;
}

#[tokio::test]
async fn refusals_are_kept_with_their_reason() {
    let mut app = TestApp::start().await;
    let good = pull_request(1, "x").to_string();
    let forged = Request::post("/webhooks/github", &good).header("x-github-event", "pull_request").signed("wrong");
    let unsigned = Request::post("/webhooks/github", &good).header("x-github-event", "pull_request");
    let broken = Request::post("/webhooks/plain", "{\"a\":");
    assert_eq!(app.send(forged).await.status, 401);
    assert_eq!(app.send(unsigned).await.status, 401);
    assert_eq!(app.send(broken).await.status, 400);
    app.send(delivery("ok", "pull_request", &pull_request(2, "y"))).await;
    // Refusals are written behind accepted events; once this event's message is out, they are there.
    app.messages(1).await;
    let filter = EventFilter { status: Some(EventStatus::Rejected), ..EventFilter::default() };
    let mut reasons: Vec<String> = Vec::new();
    while reasons.len() < 3 {
        reasons = app.events(filter.clone()).await.into_iter().filter_map(|row| row.reason).collect();
        tokio::task::yield_now().await;
    }
    for code in ["invalid_signature", "missing_signature", "invalid_payload"] {
        assert!(reasons.iter().any(|reason| reason.starts_with(code)), "{code}: {reasons:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn an_event_that_nobody_wants_is_acknowledged_kept_and_not_told() {
    let mut app = TestApp::start().await;
    let star = json!({ "action": "created", "repository": { "full_name": "acme/shop" }, "sender": { "login": "bob" } });
    let reply = app.send(delivery("s", "star", &star)).await;
    assert_eq!((reply.status, reply.word().as_str()), (200, "ignored"));
    app.send(delivery("p", "pull_request", &pull_request(3, "Wanted"))).await;
    assert!(app.messages(1).await[0].text.contains("Wanted"));
    let filter = EventFilter { status: Some(EventStatus::Ignored), ..EventFilter::default() };
    assert_eq!(app.events(filter).await.len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_ping_is_answered_and_told_once_as_a_connection() {
    let mut app = TestApp::start().await;
    let ping = json!({ "zen": "Keep it logically awesome.", "hook_id": 1, "hook": { "type": "Repository" },
        "repository": { "full_name": "acme/shop", "html_url": "https://github.com/acme/shop" }, "sender": { "login": "bob" } });
    assert_eq!(app.send(delivery("ping", "ping", &ping)).await.status, 200);
    let text = app.messages(1).await.remove(0).text;
    assert!(text.contains("acme/shop") && text.to_lowercase().contains("connected"), "{text}");
    app.stop().await;
}

#[tokio::test]
async fn the_local_api_wants_the_token_and_replays() {
    let mut app = TestApp::start().await;
    let first = app.send(delivery("d", "pull_request", &pull_request(5, "Once more"))).await.json();
    app.messages(1).await;
    let id = first["event_id"].as_str().expect("an id");

    let event = app.api("GET", &format!("/api/events/{id}")).await.json();
    assert_eq!(event["verdict"], "valid");
    assert_eq!(event["payload"]["number"], 5);
    assert!(
        event["headers"]["x-hub-signature-256"].as_str().is_some_and(|value| !value.contains("sha256=")),
        "{event}"
    );

    let replay = app.api("POST", &format!("/api/events/{id}/replay")).await;
    assert_eq!(replay.status, 202);
    let texts = app.messages(2).await;
    assert!(texts[1].text.starts_with("Replay: octocat opened"), "{texts:?}");

    let address = app.api_address();
    for path in ["/api/events", "/api/nothing", &format!("/api/events/{id}/replay")] {
        let bare = Request::new("GET", path).header("host", "localhost").send(address).await;
        assert_eq!(bare.status, 401, "{path}");
        let foreign = Request::new("GET", path).header("host", "evil.example").send(address).await;
        assert_eq!(foreign.status, 421, "{path}");
    }
    assert_eq!(app.api("DELETE", "/api/events").await.status, 405);
    assert_eq!(app.api("GET", "/api/events?statsu=x").await.status, 400);
    assert_eq!(app.api("GET", "/api/events/evt_01K00000000000000000000000").await.status, 404);
    app.stop().await;
}

#[tokio::test]
async fn the_chat_can_ask_what_came_in() {
    let mut app = TestApp::start().await;
    app.send(delivery("d", "pull_request", &pull_request(9, "Ask me"))).await;
    app.messages(1).await;
    app.telegram.user_says(CHAT, CHAT, "/events");
    let answer = app.messages(2).await.remove(1).text;
    assert!(answer.contains("acme/shop#9: Ask me"), "{answer}");
    app.telegram.user_says(CHAT, CHAT, "/webhook list");
    let answer = app.messages(3).await.remove(2).text;
    assert!(answer.contains("POST /webhooks/github  [enabled]"), "{answer}");
    app.stop().await;
}
