//! The daily digest as a chat reads it: every event in exactly one of them, through restarts and days that were missed.

use std::time::Duration;

use hookhand::domain::event::EventStatus;
use hookhand::ledger::EventFilter;
use jiff::Timestamp;
use serde_json::json;

use crate::harness::app::{CHAT, OPS, TestApp, delivery, pull_request};
use crate::harness::clock::patiently;
use crate::harness::http::Request;

/// The clock of tests begins at 03:04:05 UTC, which is 04:04:05 in Berlin.
const KEYS: &str = "digest: { at: \"18:00\", timezone: Europe/Berlin, chat: ops }";

/// The first `count` digests. The clock stands still until the last of them is made, for that takes real time.
async fn digests(app: &TestApp, count: usize) -> Vec<String> {
    let made = async {
        while app.sql("SELECT count(*) FROM digests").await[0][0].as_u64() != u64::try_from(count).ok() {
            tokio::task::yield_now().await;
        }
    };
    patiently(made).await;
    let messages = app.clock.run_until(app.telegram.wait_for_messages(OPS, count)).await;
    messages.into_iter().map(|message| message.text).collect()
}

/// Moves the clock to `at`, most of the way at one stroke.
fn jump(app: &TestApp, at: &str) {
    let at: Timestamp = at.parse().expect("a timestamp");
    app.clock.advance(at.duration_since(hookhand::ports::Clock::now(&*app.clock)).unsigned_abs());
}

async fn processed(app: &TestApp, count: usize) {
    let done = async {
        loop {
            let filter = EventFilter { status: Some(EventStatus::Processed), ..EventFilter::default() };
            if app.events(filter).await.len() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    patiently(done).await;
}

#[tokio::test]
async fn every_event_is_in_one_digest() {
    let mut app = TestApp::with_keys(KEYS, &[]).await;
    for (id, number) in [("a", 1), ("b", 2)] {
        app.send(delivery(id, "pull_request", &pull_request(number, "Fix"))).await;
    }
    app.send(Request::post("/webhooks/plain", "{\"type\":\"paid\"}").header("content-type", "application/json")).await;
    // Not taken: an event that nobody asked for, a second delivery, and a signature that is wrong.
    app.send(delivery("c", "push", &json!({}))).await;
    app.send(delivery("a", "pull_request", &pull_request(1, "Fix"))).await;
    app.send(delivery("d", "push", &json!({})).header("x-hub-signature-256", "sha256=00")).await;
    processed(&app, 3).await;
    jump(&app, "2026-01-02T17:00:00Z");
    insta::assert_snapshot!(digests(&app, 1).await[0], @"
    Daily digest: 3 events
    Since 2026-01-01 18:00 CET
    github: 2 (pull_request.opened 2)
    plain: 1 (paid 1)
    Processed 3, waiting 0, failed 0
    Not taken: rejected 1, ignored 1, duplicate 1
    ");

    // The next day nothing comes, and the day after one; the agent does not run when that one's digest is due.
    jump(&app, "2026-01-03T17:00:00Z");
    assert_eq!(digests(&app, 2).await[1], "Daily digest: no events\nSince 2026-01-02 18:00 CET");
    app.send(delivery("e", "pull_request", &pull_request(3, "Fix"))).await;
    processed(&app, 4).await;
    app.stop().await;
    app.clock.advance(Duration::from_secs(3 * 86_400));
    app.run().await;
    assert_eq!(
        digests(&app, 3).await[2],
        "Daily digest: 1 event\nSince 2026-01-03 18:00 CET\ngithub: 1 (pull_request.opened 1)\nProcessed 1, waiting 0, failed 0"
    );
    // Restarts tell nothing again.
    app.stop().await;
    app.run().await;
    jump(&app, "2026-01-07T17:00:00Z");
    assert_eq!(digests(&app, 4).await[3].lines().next(), Some("Daily digest: no events"));
    app.stop().await;
}

/// Waits for a message that begins so, the clock moving.
async fn said(app: &TestApp, beginning: &str) {
    let seen = async {
        while !app.telegram.messages(CHAT).iter().any(|seen| seen.text.starts_with(beginning)) {
            tokio::task::yield_now().await;
        }
    };
    app.clock.run_until(patiently(seen)).await;
}

#[tokio::test]
async fn what_rules_keep_quiet_is_counted_by_handler_and_rule_and_replays_are_named() {
    let mut app = TestApp::with_keys(KEYS, &[]).await;
    app.telegram.user_says(CHAT, CHAT, "/mute github pull_request");
    said(&app, "Muted: github").await;
    let mut ids = Vec::new();
    for (id, number) in [("a", 1), ("b", 2)] {
        let reply = app.send(delivery(id, "pull_request", &pull_request(number, "Fix"))).await;
        ids.push(reply.json()["event_id"].as_str().expect("an id").to_owned());
    }
    app.send(Request::post("/webhooks/plain", "{\"type\":\"paid\"}").header("content-type", "application/json")).await;
    processed(&app, 3).await;
    app.api_with("POST", &format!("/api/events/{}/replay", ids[0]), "{}").await;
    processed(&app, 4).await;
    // The rule ends, and what it did is still told with its words.
    app.telegram.user_says(CHAT, CHAT, "/unmute 1");
    said(&app, "Rule 1 is over.").await;
    jump(&app, "2026-01-02T17:00:00Z");
    insta::assert_snapshot!(digests(&app, 1).await[0], @"
    Daily digest: 4 events
    Since 2026-01-01 18:00 CET
    github: 3 (pull_request.opened 3)
    plain: 1 (paid 1)
    Processed 4, waiting 0, failed 0; 1 of them replayed
    Kept quiet: 3 (github 3 by rule 1 (github pull_request))
    ");
    let event = app.api("GET", &format!("/api/events/{}", ids[0])).await.json();
    let entries = event["timeline"].as_array().expect("a timeline");
    let muted = entries.iter().find(|entry| entry["what"] == "notice_muted").expect("the timeline says so");
    assert!(muted["detail"].as_str().expect("a text").ends_with(": rule 1 (github pull_request)"), "{muted}");
    app.stop().await;
}

#[tokio::test]
async fn a_digest_at_a_time_that_clocks_skip_and_one_that_comes_twice_are_one_each() {
    let mut app = TestApp::with_keys("digest: { at: \"02:30\", timezone: Europe/Berlin, chat: ops }", &[]).await;
    let in_use = async {
        while app.sql("SELECT count(*) FROM schedules WHERE active = 1").await[0][0] != json!(1) {
            tokio::task::yield_now().await;
        }
    };
    patiently(in_use).await;
    jump(&app, "2026-03-28T01:30:00Z");
    digests(&app, 1).await;
    // On the 29th 02:30 does not exist; 01:00 UTC is 03:00 in summer time.
    jump(&app, "2026-03-29T01:00:00Z");
    assert_eq!(digests(&app, 2).await[1], "Daily digest: no events\nSince 2026-03-28 02:30 CET");
    jump(&app, "2026-10-25T00:30:00Z");
    assert_eq!(digests(&app, 3).await[2], "Daily digest: no events\nSince 2026-03-29 03:00 CEST");
    // 02:30 comes again an hour later and is nobody's.
    jump(&app, "2026-10-26T01:30:00Z");
    assert_eq!(digests(&app, 4).await[3], "Daily digest: no events\nSince 2026-10-25 02:30 CEST");
    app.stop().await;
}
