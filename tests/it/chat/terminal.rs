//! `agent chat` on the real binary: alone, with a model behind HTTP, and without one.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::process::{Process, stdout};
use crate::harness::provider::Provider;
use crate::harness::scripted_bot::{agent, said};

fn folder(model: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let config = format!(
        "webhooks: {{ port: 0, handlers: {{ github: {{ secret: chat-secret-0123 }} }} }}\ndashboard: {{ port: 0 }}\n{model}"
    );
    std::fs::write(dir.path().join("config.yaml"), config).expect("written");
    dir
}

fn with_model(provider: &Provider) -> String {
    format!("model: {{ provider: openai, name: gpt-4o-mini, base_url: \"{}\", api_key: sk-chat-test }}\n", provider.url)
}

fn chunk(delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    format!("data: {}", json!({ "id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice] }))
}

fn says(provider: &Provider, text: &str) {
    provider.streams(&[&chunk(&json!({ "content": text }), Some("stop")), "data: [DONE]"]);
}

fn calls(provider: &Provider, tool: &str, args: &Value) {
    let call = json!({ "tool_calls": [{ "index": 0, "id": "call_1", "type": "function",
        "function": { "name": tool, "arguments": args.to_string() } }] });
    provider.streams(&[&chunk(&call, Some("tool_calls")), "data: [DONE]"]);
}

fn talk(dir: &Path, lines: &str) -> String {
    let output = agent(dir, &["chat"], &[("NO_COLOR", "1")], lines);
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_shown_decided_and_told_in_the_terminal() {
    let provider = Provider::start();
    let dir = folder(&with_model(&provider));
    calls(&provider, "write_file", &json!({ "path": "note.txt", "content": "tea {{ now }}" }));
    says(&provider, "The **note** is written, see https://evil.example/x");
    let dir_path = dir.path().to_owned();
    let said = tokio::task::spawn_blocking(move || talk(&dir_path, "write a note about tea\nyes\n/memory\n/quit\n"));
    let said = said.await.expect("it ends");
    for text in [
        "No agent is running: one runs here",
        "Proposed, and waiting for your decision on the card: write_file",
        "content: tea {{ now }}",
        "The note is written, see https[:]//evil.example/x",
        "I remember nothing yet.",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("data/files/note.txt")).expect("written"), "tea {{ now }}");
    let history = dir.path().join("data/chat_history");
    assert!(std::fs::read_to_string(&history).expect("kept").contains("write a note about tea"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&history).expect("there").permissions());
    assert_eq!(mode & 0o077, 0);
    // The key is nowhere in what was kept.
    let ledger = std::fs::read(dir.path().join("data/ledger.db")).expect("there");
    assert!(!ledger.windows(12).any(|window| window == b"sk-chat-test"));
}

#[test]
fn over_a_running_agent_commands_and_words_are_answered_without_a_model() {
    let dir = folder("");
    let agent = Process::start(dir.path());
    stdout(dir.path(), &["webhook", "send", "github", "pull_request.opened"]);
    agent.wait_for("opened");
    let said = talk(dir.path(), "/status\nwhat about octocat\n/nonsense\n");
    assert!(said.contains("hookhand ") && said.contains("Events kept: 1 "), "{said}");
    assert!(said.contains("The newest events with 'octocat'") || said.contains("I found no events with"), "{said}");
    assert!(said.contains("I don't know /nonsense") && !said.contains("one runs here"), "{said}");
    assert!(stdout(dir.path(), &["chat", "/events"]).contains("The newest event"), "one line asks and ends");
    agent.interrupt();
}
