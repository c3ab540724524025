//! MCP both ways, with real processes: the tools of servers in workflows, and what this agent serves to other assistants.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use hookhand::config::{self, LoadOptions};
use hookhand::ports::{Clock, SystemClock};
use hookhand::telemetry::Redactor;
use hookhand::tool::ToolRegistry;
use hookhand::tool::mcp::{McpServers, State};
use hookhand::workflow::definition::{Known, Workflow};
use rmcp::ServiceExt;
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{RoleClient, RunningService};
use serde_json::{Value, json};

use crate::harness::app::{TestApp, delivery, pull_request};
use crate::harness::clock::patiently;

/// A server of tests; its secret must be seen nowhere.
fn odd_server() -> String {
    odd_server_that("")
}

/// The same with a way of its own to misbehave.
fn odd_server_that(mode: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mcp_server.py");
    format!(
        "mcp: {{ servers: {{ odd: {{ command: [python3, {}{mode}], env: {{ TOKEN: hunter2secret }}, tools: {{ echo: {{ risk: read, control: [path] }} }} }} }} }}",
        script.display()
    )
}

/// A workflow whose steps call `calls` of the server `odd`.
fn calling(calls: &[(&str, &str)]) -> String {
    let steps = calls.iter().enumerate().map(|(at, (tool, args))| {
        format!("  - {{ name: s{at}, tool: mcp_odd_{tool}, args: {args}, on_error: continue }}\n")
    });
    format!("name: w\ntrigger: manual\nsteps:\n{}", steps.collect::<String>())
}

/// Starts `w` with `inputs` and gives the run once it has ended.
async fn ran(app: &TestApp, inputs: Value) -> Value {
    let answer = app.api_with("POST", "/api/workflows/w/run", json!({ "inputs": inputs }).to_string()).await.json();
    let id = answer["run_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    // The clock stands still: processes take real time.
    app.ended(&id).await
}

#[tokio::test]
async fn a_servers_tools_are_steps_and_what_it_does_badly_hurts_nobody() {
    let text = calling(&[
        ("echo", "{ text: \"{{ inputs.word }}\", many: [1, true] }"),
        ("env", "{}"),
        ("big", "{}"),
        ("no", "{}"),
        ("nothing", "{}"),
        ("a_b_c", "{}"),
    ]);
    let app = TestApp::with_keys(&odd_server(), &[("w", &text)]).await;
    let run = ran(&app, json!({ "word": "hi {{ payload }}" })).await;
    let steps = run["steps"].as_array().expect("steps");
    assert_eq!(steps[0]["output"], json!({ "text": "hi {{ payload }}", "many": [1, true] }), "{run}");
    let names = steps[1]["output"].as_str().expect("names");
    assert!(names.contains("TOKEN"), "{names}");
    assert!(!names.contains("CARGO") && !names.contains("TELEGRAM"), "{names}");
    assert_eq!((steps[2]["output"].as_str().expect("text").len(), &steps[2]["state"]), (64 * 1024, &json!("success")));
    assert_eq!(steps[3]["error"], "the MCP server 'odd' says: not today: ***");
    let error = steps[4]["error"].as_str().expect("an error");
    assert!(error.contains("has no tool 'nothing'; it has: echo, env, big, no, die, a_b_c"), "{error}");
    assert_eq!(steps[5]["output"], "called a.b/c");
    assert!(!run.to_string().contains("hunter2secret"));
}

#[tokio::test]
async fn a_server_that_ended_is_started_again_and_its_call_is_in_doubt() {
    let (_, servers) = known(&odd_server());
    let server = servers.all().next().expect("one").clone();
    let stop = tokio_util::sync::CancellationToken::new();
    let (running, token) = (server.clone(), stop.clone());
    let task = tokio::spawn(async move { running.run(token).await });
    let peer = ready(&server).await;
    peer.call_tool(CallToolRequestParams::new("die")).await.expect_err("it ends");
    let reason = patiently(async {
        loop {
            if let State::Down { reason } = server.state() {
                return reason;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(reason, "it ended; it said last: I fell over with ***");
    let peer = ready(&server).await;
    peer.call_tool(CallToolRequestParams::new("echo")).await.expect("it answers again");
    stop.cancel();
    task.await.expect("it ends");

    let app = TestApp::with_keys(&odd_server(), &[("w", &calling(&[("die", "{}")]))]).await;
    let answer = app.api_with("POST", "/api/workflows/w/run", "{}").await.json();
    let path = format!("/api/runs/{}", answer["run_id"].as_str().expect("a run"));
    let in_doubt = async {
        loop {
            let run = app.api("GET", &path).await.json();
            if run["state"] == "in_doubt" {
                return run;
            }
            tokio::task::yield_now().await;
        }
    };
    let run = patiently(in_doubt).await;
    assert_eq!(run["steps"][0]["state"], "in_doubt", "{run}");
}

/// Runs the one server of `servers` while `look` lasts.
async fn while_it_runs(servers: &McpServers, look: impl AsyncFnOnce(&hookhand::tool::mcp::Server)) {
    let server = servers.all().next().expect("one").clone();
    let stop = tokio_util::sync::CancellationToken::new();
    let (running, token) = (server.clone(), stop.clone());
    let task = tokio::spawn(async move { running.run(token).await });
    look(&server).await;
    stop.cancel();
    task.await.expect("it ends");
}

/// Why the server is down, once it is.
async fn down(server: &hookhand::tool::mcp::Server) -> String {
    patiently(async {
        loop {
            if let State::Down { reason } = server.state() {
                return reason;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_always_has_one_more_page_of_tools_is_listened_to_so_far() {
    let (known, servers) = known(&odd_server_that(", endless"));
    while_it_runs(&servers, async |server| {
        ready(server).await;
        let offers = known.tools.mcp_offers();
        assert_eq!((offers.len(), offers[0].name.as_str()), (64, "mcp_odd_page0"));
    })
    .await;
}

#[tokio::test]
async fn what_a_server_prints_besides_its_answers_is_passed_over() {
    let (known, servers) = known(&odd_server_that(", noise"));
    while_it_runs(&servers, async |server| {
        ready(server).await;
        assert_eq!(known.tools.mcp_offers().len(), 6);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_ends_at_once_says_why_and_is_offered_to_nobody() {
    let (known, servers) = known(&odd_server_that(", die"));
    while_it_runs(&servers, async |server| {
        let reason = down(server).await;
        assert!(reason.contains("it said last: no licence"), "{reason}");
        assert_eq!(known.tools.mcp_offers(), []);
    })
    .await;
}

/// The way to the server once it runs.
async fn ready(server: &hookhand::tool::mcp::Server) -> rmcp::Peer<RoleClient> {
    patiently(async {
        loop {
            if let State::Ready { peer, .. } = server.state() {
                return peer;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn known(yaml: &str) -> (Known, Arc<McpServers>) {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("config.yaml"), yaml).expect("written");
    let environment = std::collections::BTreeMap::<String, String>::new();
    let loaded = config::load(&LoadOptions { cwd: dir.path().to_owned(), ..LoadOptions::default() }, &environment);
    let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.faults));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let servers = Arc::new(McpServers::new(&config.mcp, &clock, Arc::new(Redactor::new(["hunter2secret".to_owned()]))));
    // The working folder of its servers must outlive them; `python3` needs none of its own.
    std::mem::forget(dir);
    (Known::tools(ToolRegistry::declared().with_mcp(servers.clone())), servers)
}

#[test]
fn arguments_are_data_unless_the_configuration_says_control() {
    let (known, _) = known(&odd_server());
    let said = |args: &str| {
        let text = format!("name: w\nsteps:\n  - {{ name: a, tool: mcp_odd_echo, args: {args} }}\n");
        match Workflow::parse("w.yaml", &text, &known) {
            Ok(_) => String::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    };
    assert_eq!(said("{ text: \"{{ payload.a }}\", deep: { er: [\"{{ payload.b }}\"] } }"), "");
    assert_eq!(said("{ path: /srv/x, text: \"{{ payload.a }}\" }"), "");
    assert!(
        said("{ path: \"{{ payload.a }}\" }").contains("payload.a comes from outside"),
        "{}",
        said("{ path: \"{{ payload.a }}\" }")
    );
    assert!(said("{ path: { deep: [\"/srv/{{ inputs.a }}\"] } }").contains("inputs.a comes from outside"));
    // A server that is not configured has no tools.
    let text = "name: w\nsteps:\n  - { name: a, tool: mcp_other_echo, args: {} }\n";
    assert!(Workflow::parse("w.yaml", text, &known).expect_err("unknown")[0].to_string().contains("there is no tool"));
    let read = known.tools.spec("mcp_odd_echo").expect("known");
    let execute = known.tools.spec("mcp_odd_env").expect("known");
    assert_eq!((read.risk.as_str(), execute.risk.as_str()), ("read", "execute"));
    // The same declaration each time, so that reading files again and again keeps no more of them.
    assert!(std::ptr::eq(read, known.tools.spec("mcp_odd_echo").expect("known")));
}

#[tokio::test]
async fn what_a_model_sees_of_a_server_is_bounded_and_marked() {
    let (known, servers) = known(&odd_server());
    let server = servers.all().next().expect("one").clone();
    let stop = tokio_util::sync::CancellationToken::new();
    let (running, token) = (server.clone(), stop.clone());
    let task = tokio::spawn(async move { running.run(token).await });
    ready(&server).await;
    let offers = known.tools.mcp_offers();
    let names: Vec<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
    assert_eq!(names, ["mcp_odd_echo", "mcp_odd_env", "mcp_odd_big", "mcp_odd_no", "mcp_odd_die", "mcp_odd_a_b_c"]);
    let echo = &offers[0].description;
    assert!(echo.starts_with("(In the words of the MCP server 'odd', which nobody checked:) Gives back"), "{echo}");
    assert!(echo.chars().count() < 1100 && !echo.contains('\n'), "{echo}");
    assert_eq!(offers[2].schema, json!({ "type": "object" }), "a schema without bound is left out");
    stop.cancel();
    task.await.expect("it ends");
    assert!(matches!(server.state(), State::Down { .. }));
    assert_eq!(known.tools.mcp_offers(), []);
}

#[tokio::test]
async fn an_approval_covers_the_servers_command() {
    let text = "name: w\ntrigger: manual\nsteps:\n  - { name: a, tool: mcp_odd_echo, args: { text: hi }, requires_approval: true }\n";
    let mut app = TestApp::with_keys(&odd_server(), &[("w", text)]).await;
    app.api_with("POST", "/api/workflows/w/run", "{}").await;
    let card = app.messages(1).await.remove(0);
    assert!(card.text.contains("MCP server odd: [\"python3\"") && card.text.contains("with TOKEN"), "{}", card.text);
    assert!(!card.text.contains("hunter2secret"));
    let first = app.api("GET", "/api/approvals").await.json()["items"][0].clone();
    // Another program behind the same name is another action: what was approved does not run it.
    app.stop().await;
    let path = app.dir.path().join("config.yaml");
    let config = std::fs::read_to_string(&path).expect("read").replace("[python3, ", "[python3, -B, ");
    std::fs::write(&path, config).expect("written");
    app.run().await;
    let id = first["id"].as_str().expect("an id");
    app.api_with("POST", &format!("/api/approvals/{id}"), "{\"verdict\":\"approve\"}").await;
    let asked_again = async {
        loop {
            let all = app.api("GET", "/api/approvals").await.json();
            if all["items"].as_array().expect("items").len() == 2 {
                return all["items"][0].clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let second = app.clock.run_until(patiently(asked_again)).await;
    assert_eq!(second["state"], "pending");
    assert_ne!(first["digest"], second["digest"]);
    app.stop().await;
}

/// Another assistant, talking to `agent mcp` over this agent's folder.
async fn assistant(app: &TestApp) -> RunningService<RoleClient, ()> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_agent"));
    command.args(["mcp", "--config", "config.yaml"]).current_dir(app.dir.path()).stderr(Stdio::inherit());
    let transport = rmcp::transport::TokioChildProcess::new(command).expect("it starts");
    patiently(().serve(transport)).await.expect("it says hello")
}

async fn asked(client: &RunningService<RoleClient, ()>, tool: &str, arguments: Value) -> CallToolResult {
    let arguments = arguments.as_object().cloned().expect("an object");
    let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
    patiently(client.call_tool(params)).await.expect("an answer")
}

fn said(result: &CallToolResult) -> String {
    result.content[0].as_text().expect("text").text.clone()
}

fn value(result: &CallToolResult) -> Value {
    let text = said(result);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

#[tokio::test]
async fn another_assistant_reads_everything_starts_workflows_and_decides_nothing() {
    let gated = "name: deploy\ntrigger: manual\nsteps:\n  - { name: a, tool: notify, args: { text: hi }, requires_approval: true }\n";
    let off = "name: off\ntrigger: manual\nenabled: false\nsteps:\n  - { name: a, tool: notify, args: { text: hi } }\n";
    let mut app = TestApp::with_workflows("", &[("deploy", gated), ("off", off)]).await;
    app.send(delivery("a", "pull_request", &pull_request(1, "Fix the till"))).await;
    app.messages(1).await;
    let client = assistant(&app).await;
    let tools = patiently(client.list_all_tools()).await.expect("tools");
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(
        names,
        [
            "search_events",
            "event",
            "runs",
            "run",
            "approvals",
            "approval",
            "memory_search",
            "workflows",
            "workflow",
            "run_workflow"
        ]
    );
    let found = value(&asked(&client, "search_events", json!({ "search": "till", "limit": 5 })).await);
    let id = found["items"][0]["id"].as_str().expect("an id").to_owned();
    let event = value(&asked(&client, "event", json!({ "id": id })).await);
    assert_eq!(event["payload"]["pull_request"]["title"], "Fix the till");
    assert_eq!(event["headers"]["x-hub-signature-256"], "***");
    let started = value(&asked(&client, "run_workflow", json!({ "workflow": "deploy", "inputs": { "a": 1 } })).await);
    let run = started["run_id"].as_str().expect("a run").to_owned();
    app.messages(2).await;
    let pending = value(&asked(&client, "approvals", json!({ "state": "pending" })).await);
    assert_eq!(pending["items"][0]["run_id"], json!(run));
    let row = value(&asked(&client, "run", json!({ "id": run })).await);
    assert_eq!((&row["state"], &row["started_by"]), (&json!("waiting"), &json!("local admin through mcp")));
    for (tool, arguments, expected) in [
        ("run_workflow", json!({ "workflow": "off" }), "disabled"),
        ("run_workflow", json!({ "workflow": "../x" }), "there is no workflow"),
        ("event", json!({ "id": "x" }), "evt_"),
        ("search_events", json!({ "serch": "x" }), "unknown field `serch`"),
        ("runs", json!({ "state": "asleep" }), "there is no state 'asleep'"),
    ] {
        let answer = asked(&client, tool, arguments).await;
        assert!(answer.is_error == Some(true) && said(&answer).contains(expected), "{tool}: {}", said(&answer));
    }
    let workflows = value(&asked(&client, "workflows", json!({})).await);
    assert_eq!(workflows["items"][0]["gated_steps"], json!(["a"]));
    // Without a running agent everything can still be read.
    app.stop().await;
    assert_eq!(value(&asked(&client, "runs", json!({})).await)["items"][0]["id"], json!(run));
    let answer = asked(&client, "run_workflow", json!({ "workflow": "deploy" })).await;
    assert!(said(&answer).contains("no agent is running"), "{}", said(&answer));
    client.cancel().await.expect("it ends");
}

#[tokio::test]
async fn this_agent_can_be_its_own_server() {
    let server = format!(
        "mcp: {{ servers: {{ own: {{ command: [\"{}\", mcp, --config, config.yaml], risk: read }} }} }}",
        env!("CARGO_BIN_EXE_agent")
    );
    let text = "name: w\ntrigger: manual\nsteps:\n  - { name: look, tool: mcp_own_search_events, args: { search: \"{{ inputs.word }}\" } }\n";
    let app = TestApp::with_keys(&server, &[("w", text)]).await;
    // Nothing waits for the notice: the clock would jump, and the server's time to say hello with it.
    app.send(delivery("a", "pull_request", &pull_request(1, "Fix the till"))).await;
    let run = ran(&app, json!({ "word": "till" })).await;
    assert_eq!(run["steps"][0]["output"]["items"][0]["event"], "pull_request.opened", "{run}");
}
