//! Agents of the configuration: each chat and each handler is answered by its own, with its words, its model and its tools.

use std::sync::Arc;

use hookhand::ports::{ModelError, ModelReply, ModelRequest, Purpose};
use serde_json::json;

use super::{app_with, message, message_in};
use crate::harness::app::{CHAT, OPS, TestApp, delivery, pull_request};
use crate::harness::clock::patiently;
use crate::harness::http::Request;
use crate::harness::model::{ScriptedModel, call_reply, text_reply};

/// `plain` is Ops' handler and `ops` its chat; `default` has the rest.
const TWO: &str = "agents:
  ops: { prompt: You are Ops., model: big-1, tools: [search_events, memory_*], chats: [ops], handlers: [plain] }
  default: { prompt: You are Front. }";

fn names(request: &ModelRequest) -> Vec<&str> {
    request.tools.iter().map(|tool| tool.name.as_str()).collect()
}

#[tokio::test]
async fn each_chat_is_answered_by_its_own_agent() {
    let model = ScriptedModel::new();
    let mut app = app_with(TWO, &model).await;
    model.says("Front here.");
    app.telegram.user_says(CHAT, CHAT, "who are you?");
    message(&app, |seen| seen.text == "Front here.").await;
    model.says("Ops here.");
    app.telegram.user_says_in(CHAT, OPS, None, "@hookhand_test_bot who are you?");
    message_in(&app, OPS, |seen| seen.text == "Ops here.").await;
    let requests = model.requests();
    assert!(requests[0].system.starts_with("You are Front.\n\nYou are the assistant of a webhook receiver."));
    assert!(requests[1].system.starts_with("You are Ops.\n\nYou are the assistant of a webhook receiver."));
    assert_eq!((requests[0].prefer.as_deref(), requests[1].prefer.as_deref()), (None, Some("big-1")));
    assert!(names(&requests[0]).contains(&"shell_exec") && requests[0].system.contains("write a workflow file"));
    assert_eq!(names(&requests[1]), ["search_events", "memory_search", "memory_store"]);
    assert!(!requests[1].system.contains("write a workflow file"), "it could not install one");
    app.stop().await;
}

#[tokio::test]
async fn a_tool_that_an_agent_is_not_offered_does_not_exist_when_its_model_names_it() {
    let model = ScriptedModel::new();
    let mut app = app_with(TWO, &model).await;
    model
        .calls("shell_exec", json!({ "argv": ["true"], "cwd": "/tmp" }))
        .calls("count_events", json!({}))
        .says("I have no such tools.");
    app.telegram.user_says_in(CHAT, OPS, None, "@hookhand_test_bot run true");
    message_in(&app, OPS, |seen| seen.text == "I have no such tools.").await;
    let told = super::last_told(&model);
    assert!(
        told.contains("There is no tool 'shell_exec'") && told.contains("There is no tool 'count_events'"),
        "{told}"
    );
    assert!(app.api("GET", "/api/runs").await.json()["items"].as_array().expect("a list").is_empty());
    // The same in a chat where it is offered: a card.
    model.calls("shell_exec", json!({ "argv": ["true"], "cwd": "/tmp" }));
    app.telegram.user_says(CHAT, CHAT, "run true");
    message(&app, |seen| seen.text.contains("step shell_exec?")).await;
    app.stop().await;
}

fn summary(request: &ModelRequest) -> Option<Result<ModelReply, ModelError>> {
    (request.purpose == Purpose::Summary).then(|| Ok(text_reply("One file is changed.")))
}

/// What was asked about summaries so far.
fn about(model: &Arc<ScriptedModel>) -> Vec<ModelRequest> {
    model.requests().into_iter().filter(|request| request.purpose == Purpose::Summary).collect()
}

async fn plain(app: &TestApp, number: u64) {
    let payload = json!({ "event_type": "job", "id": format!("j-{number}"), "text": "One file is changed." });
    let request = Request::post("/webhooks/plain", payload.to_string()).header("content-type", "application/json");
    assert_eq!(app.send(request).await.status, 200);
}

#[tokio::test]
async fn each_handlers_events_are_told_in_its_agents_chat_and_summarized_by_it() {
    let model = ScriptedModel::ruled(summary);
    let mut app = TestApp::with_keys_and_model(TWO, model.clone()).await;
    plain(&app, 1).await;
    app.send(delivery("d-1", "pull_request", &pull_request(1, "Fix login"))).await;
    // Each in its chat, and the sentences after it.
    message_in(&app, OPS, |seen| seen.text.contains('✦')).await;
    message(&app, |seen| seen.text.contains('✦')).await;
    for request in about(&model) {
        let ops = format!("{:?}", request.messages).contains("Event: job");
        let (prompt, prefer) = if ops { ("You are Ops.", Some("big-1")) } else { ("You are Front.", None) };
        assert!(
            request.system.starts_with(&format!("{prompt}\n\nYou write what a busy person reads")),
            "{}",
            request.system
        );
        assert_eq!(request.prefer.as_deref(), prefer);
    }
    assert_eq!(about(&model).len(), 2);
    app.stop().await;
}

#[tokio::test]
async fn a_burst_is_its_agents_or_nobodys_own() {
    for (github, prompt) in [("github, ", "You are Ops."), ("", "You are Front.")] {
        // No chats of its own: both handlers write to one chat.
        let keys = format!(
            "agents: {{ ops: {{ prompt: You are Ops., handlers: [{github}plain] }}, default: {{ prompt: You are Front. }} }}"
        );
        let model = ScriptedModel::ruled(summary);
        let mut app = TestApp::with_keys_and_model(&keys, model.clone()).await;
        for number in 1..=5 {
            plain(&app, number).await;
            app.send(delivery(&format!("d-{number}"), "pull_request", &pull_request(number, "Fix login"))).await;
        }
        let digest = message(&app, |seen| seen.text.contains("more events")).await;
        assert!(digest.text.contains("Fix login") && digest.text.contains("Job:"), "{}", digest.text);
        let asked = patiently(async {
            loop {
                if let Some(request) =
                    about(&model).into_iter().find(|request| request.system.contains("list of events"))
                {
                    return request;
                }
                app.clock.advance(std::time::Duration::from_millis(250));
                tokio::task::yield_now().await;
            }
        });
        assert!(asked.await.system.starts_with(prompt), "{prompt}");
        app.stop().await;
    }
}

#[tokio::test]
async fn status_says_whose_chats_and_handlers_are_whose() {
    let keys = format!("{TWO}\nmodel: {{ provider: ollama, name: m }}");
    let mut app =
        TestApp::with_keys_and_model(&keys, ScriptedModel::ruled(|_| Some(Ok(call_reply("x", json!({})))))).await;
    app.telegram.user_says(CHAT, CHAT, "/status");
    let status = message(&app, |seen| seen.text.contains("up ")).await;
    assert!(status.text.contains("Agent ops: answers in ops, writes about plain"), "{}", status.text);
    app.stop().await;
}
