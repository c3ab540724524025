//! Rules that keep notices quiet.

use serde_json::json;

use super::{app, message, told};
use crate::harness::app::{CHAT, TestApp, delivery, pull_request};
use crate::harness::model::ScriptedModel;

#[tokio::test]
async fn muted_notices_are_kept_counted_and_not_sent() {
    let mut app = TestApp::start().await;
    told(&app, 1, "Loud").await;
    app.telegram.user_says(CHAT, CHAT, "/mute");
    let proposed = message(&app, |seen| seen.text.starts_with("Nothing is muted.")).await;
    assert!(proposed.text.contains("1×  /mute github pull_request.opened"), "{}", proposed.text);
    app.telegram.user_says(CHAT, CHAT, "/mute github pull_request 8h");
    let made = message(&app, |seen| seen.text.starts_with("Muted: github pull_request until 2026-01-02")).await;
    assert!(made.text.contains("it would have kept 1 of 1 events quiet"), "{}", made.text);

    let reply = app.send(delivery("d-2", "pull_request", &pull_request(2, "Quiet"))).await;
    let event = reply.json()["event_id"].as_str().expect("an id").to_owned();
    let kept = async {
        loop {
            let row = app.api("GET", &format!("/api/events/{event}")).await.json();
            if row["status"] == "processed" {
                return row;
            }
            tokio::task::yield_now().await;
        }
    };
    let row = crate::harness::clock::patiently(kept).await;
    assert_eq!(row["notices"][0]["state"], "muted");
    app.telegram.user_says(CHAT, CHAT, "/mute");
    let rules = message(&app, |seen| seen.text.starts_with("Muted\n")).await;
    assert!(rules.text.contains("1  github pull_request until") && rules.text.contains("1 so far, by telegram:7001"));
    app.telegram.user_says(CHAT, CHAT, "/unmute 1");
    message(&app, |seen| seen.text == "Rule 1 is over.").await;
    told(&app, 3, "Loud again").await;
    assert!(app.telegram.messages(CHAT).iter().all(|seen| !seen.text.contains("Quiet")));
    app.stop().await;
}

#[tokio::test]
async fn the_assistant_proposes_a_rule_with_its_counts() {
    let model = ScriptedModel::new();
    let mut app = app(&model).await;
    told(&app, 1, "STÖRUNG behoben").await;
    told(&app, 2, "Fix rounding").await;
    model.calls("mute_notices", json!({ "handler": "github", "words": "Störung", "for": "7d" }));
    app.telegram.user_says(CHAT, CHAT, "mute the bumps for a week");
    let card = message(&app, |seen| !seen.buttons.is_empty()).await;
    assert!(card.text.contains("it would have kept 1 of 2 notices quiet"), "{}", card.text);
    model.says("Muted.");
    app.tap(CHAT, &card, "Approve").await;
    message(&app, |seen| seen.text == "✅ mute_notices is done.\n\nMuted.").await;
    told(&app, 4, "Fix more").await;
    app.telegram.user_says(CHAT, CHAT, "/mute");
    let rules = message(&app, |seen| seen.text.starts_with("Muted\n")).await;
    assert!(rules.text.contains("github with 'Störung' in the title until 2026-01-09"), "{}", rules.text);
    app.stop().await;
}
