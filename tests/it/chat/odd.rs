//! What a crash leaves half done, and what hostile models write.

use std::collections::HashSet;

use hookhand::ports::{ModelMessage, ModelReply, ToolCall};
use serde_json::json;

use super::{app, message};
use crate::harness::app::{CHAT, TestApp};
use crate::harness::model::{ScriptedModel, text_reply};

/// Puts the ledger where a crash leaves it between a proposal and the answer that tells of it.
fn as_before_the_answer(app: &TestApp) {
    let ledger = rusqlite::Connection::open(app.dir.path().join("data/ledger.db")).expect("opened");
    let sql = "UPDATE chat_turns SET state = 'working', answer = NULL, shown = 0, message_id = NULL, ended_at = NULL;
               DELETE FROM chat_messages;";
    ledger.execute_batch(sql).expect("changed");
}

#[tokio::test]
async fn a_turn_that_proposed_before_a_crash_says_so_and_its_end_is_told() {
    let model = ScriptedModel::new();
    let mut app = app(&model).await;
    model.calls("memory_store", json!({ "fact": "tea is at four" }));
    app.telegram.user_says(CHAT, CHAT, "remember: tea is at four");
    let card = message(&app, |seen| !seen.buttons.is_empty()).await;
    message(&app, |seen| seen.text.contains("waiting for your decision")).await;
    app.stop().await;
    as_before_the_answer(&app);
    app.run().await;
    message(&app, |seen| seen.text.starts_with("I was interrupted. Proposed before that")).await;
    assert_eq!(model.requests().len(), 1, "it would propose it once more");
    assert_eq!(app.api("GET", "/api/runs").await.json()["items"].as_array().map(Vec::len), Some(1));
    model.says("Kept.");
    app.tap(CHAT, &card, "Approve").await;
    message(&app, |seen| seen.text == "✅ memory_store is done.\n\nKept.").await;
    app.stop().await;
}

#[tokio::test]
async fn whatever_a_model_calls_the_next_request_is_one_that_providers_take() {
    let model = ScriptedModel::new();
    let mut app = app(&model).await;
    let call = |name: &str, args| ToolCall { id: "same".into(), name: name.into(), args };
    let mut calls = vec![
        call("", json!({})),
        call("ev\u{202e}ent <script>", json!(null)),
        call("search_events", json!({ "query": "x".repeat(10 * 1024 * 1024) })),
        call("write_file", json!("no object")),
    ];
    calls.extend((0..1000).map(|_| call("event", json!({ "id": "🙂" }))));
    model.then(Ok(ModelReply { calls, ..text_reply("") })).says("Enough.");
    app.telegram.user_says(CHAT, CHAT, "go");
    message(&app, |seen| seen.text == "Enough.").await;
    let requests = model.requests();
    let calls: Vec<&ToolCall> = requests[1].messages.iter().flat_map(calls_of).collect();
    assert_eq!(calls.len(), 6);
    assert_eq!(calls.iter().map(|call| &call.id).collect::<HashSet<_>>().len(), 6);
    assert!(calls.iter().all(|call| !call.name.is_empty() && call.name.is_ascii() && !call.name.contains('<')));
    let told = format!("{:?}", requests[1].messages);
    assert!(told.len() < 16 * 1024, "{}", told.len());
    assert!(told.contains("998 more calls") && told.contains("longer than 65536 bytes"), "{told}");
    app.stop().await;
}

fn calls_of(message: &ModelMessage) -> &[ToolCall] {
    match message {
        ModelMessage::Assistant { calls, .. } => calls,
        ModelMessage::User { .. } | ModelMessage::Tool { .. } => &[],
    }
}
