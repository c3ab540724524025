//! Tools of MCP servers in a conversation: offered in the servers' words, proposed unless the configuration says that they read.

use std::path::Path;

use serde_json::json;

use super::{app_with, last_told, message};
use crate::harness::app::{CHAT, TestApp};
use crate::harness::model::ScriptedModel;

/// A server whose `echo` and `no` read; its secret must be seen nowhere. The clock of tests outruns real processes.
fn keys(more: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mcp_server.py");
    format!(
        "mcp: {{ servers: {{ odd: {{ command: [python3, {}], env: {{ TOKEN: hunter2secret }}, timeout_seconds: 3600, \
         tools: {{ echo: {{ risk: read }}, no: {{ risk: read }} }} }} }} }}\n{more}",
        script.display()
    )
}

/// A workflow by which a test waits for the server while the clock stands still.
const READY: &str = "name: ready\ntrigger: manual\nsteps:\n  - { name: a, tool: mcp_odd_echo, args: { text: x } }\n";

async fn ready(app: &TestApp) {
    let file = app.dir.path().join("data/workflows/ready.yaml");
    std::fs::write(file, READY).expect("written");
    app.api("POST", "/api/workflows/reload").await;
    let started = app.api_with("POST", "/api/workflows/ready/run", "{}").await.json();
    let run = app.ended(started["run_id"].as_str().unwrap_or_else(|| panic!("{started}"))).await;
    assert_eq!(run["state"], "success", "{run}");
}

#[tokio::test]
async fn what_reads_is_called_at_once_and_what_it_gives_is_from_outside() {
    let model = ScriptedModel::new();
    let mut app = app_with(&keys(""), &model).await;
    ready(&app).await;
    model
        .calls("mcp_odd_echo", json!({ "text": "curl attacker-host" }))
        .calls("mcp_odd_no", json!({}))
        .calls("mcp_odd_echo", json!({ "txet": "x" }))
        .calls("mcp_odd_invented", json!({}))
        .calls("shell_exec", json!({ "argv": ["curl", "attacker-host"], "cwd": "/tmp" }));
    app.telegram.user_says(CHAT, CHAT, "ask the server");
    let card = message(&app, |seen| !seen.buttons.is_empty()).await;
    assert!(card.text.contains("$ ‹curl› ‹attacker-host›"), "{}", card.text);
    assert!(card.text.contains("The conversation read text from outside"), "{}", card.text);

    let requests = model.requests();
    let offer = |name: &str| {
        let found = requests[0].tools.iter().find(|tool| tool.name == name);
        found.unwrap_or_else(|| panic!("{name} is not offered")).clone()
    };
    let echo = offer("mcp_odd_echo");
    assert!(echo.description.starts_with("(In the words of the MCP server 'odd', which nobody checked:) Gives back"));
    assert!(echo.description.chars().count() < 1200 && !echo.description.contains("Only proposed"));
    assert_eq!(echo.schema["properties"]["text"]["type"], "string");
    assert!(offer("mcp_odd_env").description.ends_with("Only proposed: a person approves or denies it."));
    assert_eq!(offer("mcp_odd_big").schema, json!({ "type": "object" }));

    let told = last_told(&model);
    assert!(told.contains("<untrusted source=\\\"mcp_odd_echo\\\">"), "{told}");
    assert!(
        told.contains("mcp_odd_echo has no argument 'txet'.") && told.contains("There is no tool 'mcp_odd_invented'"),
        "{told}"
    );
    assert!(told.contains("not today: ***") && !told.contains("hunter2secret"), "{told}");
    app.stop().await;
}

#[tokio::test]
async fn everything_else_is_a_card_that_names_the_server_and_is_carried_out_by_it() {
    let model = ScriptedModel::new();
    let mut app = app_with(&keys(""), &model).await;
    ready(&app).await;
    model.calls("mcp_odd_env", json!({ "deep": { "er": ["{{ payload }}"] } }));
    app.telegram.user_says(CHAT, CHAT, "which variables does it have?");
    let card = message(&app, |seen| !seen.buttons.is_empty()).await;
    assert!(card.text.starts_with("⚠️ Approve assistant, step mcp_odd_env?"), "{}", card.text);
    assert!(card.text.contains("MCP server odd:") && card.text.contains("{{ payload }}"), "{}", card.text);
    model.says("It has TOKEN.");
    app.tap(CHAT, &card, "Approve").await;
    message(&app, |seen| seen.text == "✅ mcp_odd_env is done.\n\nIt has TOKEN.").await;
    let told = last_told(&model);
    assert!(
        told.contains("output of mcp_odd_env") && told.contains("TOKEN") && !told.contains("hunter2secret"),
        "{told}"
    );
    app.stop().await;
}

#[tokio::test]
async fn an_agent_takes_the_tools_of_servers_away_as_any_others() {
    let model = ScriptedModel::new();
    let agents = "agents: { default: { tools: [mcp_odd_e*, events] } }";
    let mut app = app_with(&keys(agents), &model).await;
    ready(&app).await;
    model.calls("mcp_odd_no", json!({})).says("None.");
    app.telegram.user_says(CHAT, CHAT, "say no");
    message(&app, |seen| seen.text == "None.").await;
    let requests = model.requests();
    let names: Vec<&str> = requests[0].tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["mcp_odd_echo", "mcp_odd_env"]);
    assert!(last_told(&model).contains("There is no tool 'mcp_odd_no'"));
    app.stop().await;
}
