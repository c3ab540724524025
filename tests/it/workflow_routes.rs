//! Workflows on the webhook server: their own routes, `generic`, and what events of handlers start.

use serde_json::{Value, json};

use crate::harness::app::{CHAT, SECRET, TestApp, delivery, pull_request};
use crate::harness::http::Request;

const NOTE: &str = r#"
name: deploy-notify
description: Notify on deployment events
trigger: webhook
enabled: true
steps:
  - name: record-in-memory
    tool: memory_store
    args: { section: Deployments }
  - name: log-event
    tool: memory_search
    args: { query: "{{ payload.fact }}" }
"#;

const OFF: &str = "name: old-hook\ntrigger: webhook\nenabled: false\nsteps:\n  - { name: a, tool: memory_search, args: { query: x } }\n";
const MANUAL: &str =
    "name: by-hand\ntrigger: manual\nenabled: true\nsteps:\n  - { name: a, tool: memory_search, args: { query: x } }\n";
const FAILS: &str = "name: fails\ntrigger: webhook\nenabled: true\nsteps:\n  - { name: a, tool: read_file, args: { path: no-such-file } }\n  - { name: b, tool: memory_search, args: { query: x } }\n";
const WAITS: &str = "name: waits\ntrigger: webhook\nenabled: true\nsteps:\n  - { name: a, tool: wait_for_event, args: { handler: github, timeout: 1h } }\n";
const LABELS: &str = r#"
name: label-run
trigger: webhook
enabled: true
on:
  handler: github
  events: [issues.labeled]
  when: payload.label.name == "ai:run"
steps:
  - { name: keep, tool: memory_store, args: { section: Issues, fact: "{{ payload.issue.title }}" } }
"#;

async fn app() -> TestApp {
    let files =
        [("note", NOTE), ("off", OFF), ("manual", MANUAL), ("fails", FAILS), ("waits", WAITS), ("labels", LABELS)];
    TestApp::with_workflows("", &files).await
}

fn post(path: &str, body: &Value) -> Request {
    Request::post(path, body.to_string()).header("content-type", "application/json")
}

#[tokio::test]
async fn a_workflows_route_answers_with_its_results_and_tells_the_outcome_once() {
    let mut app = app().await;
    let reply = app.send(post("/webhooks/deploy-notify", &json!({ "fact": "v1 is out" }))).await;
    let answer = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!((&answer["status"], &answer["workflow"]), (&json!("ok"), &json!("deploy-notify")));
    assert!(answer["event_id"].as_str().is_some_and(|id| id.starts_with("evt_")), "{answer}");
    assert!(answer["run_id"].as_str().is_some_and(|id| id.starts_with("run_")), "{answer}");
    let steps: Vec<(&Value, &Value)> =
        answer["results"].as_array().expect("results").iter().map(|r| (&r["step"], &r["status"])).collect();
    let success = json!("success");
    assert_eq!(steps, [(&json!("record-in-memory"), &success), (&json!("log-event"), &success)]);
    assert_eq!(
        app.messages(1).await[0].text,
        "✅ Webhook 'deploy-notify' triggered workflow:\n  record-in-memory: success\n  log-event: success"
    );
    // The event is kept like any other, and made no notice of its own.
    let id = answer["event_id"].as_str().expect("an id");
    let event = app.api("GET", &format!("/api/events/{id}")).await.json();
    assert_eq!((&event["handler"], &event["verdict"]), (&json!("deploy-notify"), &json!("unsigned")));
    assert_eq!(event["payload"], json!({ "fact": "v1 is out" }));
    app.stop().await;
}

#[tokio::test]
async fn every_prefix_is_the_same_place_and_every_refusal_has_its_code() {
    let mut app = app().await;
    let body = json!({ "fact": "x" });
    for prefix in ["/webhook/", "/webhooks/", "/api/webhooks/"] {
        let reply = app.send(post(&format!("{prefix}deploy-notify"), &body)).await;
        assert_eq!((reply.status, reply.word().as_str()), (200, "ok"), "{prefix}");
    }
    for (path, status, code) in [
        ("/webhooks/nothing", 404, "not_found"),
        ("/webhooks/by-hand", 404, "not_found"),
        ("/webhooks/old-hook", 409, "disabled"),
    ] {
        let reply = app.send(post(path, &body)).await;
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (status, Some(code)), "{path}");
    }
    let reply = app.send(Request::new("GET", "/webhooks/deploy-notify")).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    let page = app.send(Request::new("GET", "/webhooks/deploy-notify/test")).await.json();
    assert_eq!((&page["webhook_support"], &page["webhook_url"]), (&json!(true), &json!("/webhooks/deploy-notify")));
    let broken = app.send(Request::post("/webhooks/deploy-notify", "{\"a\":")).await;
    assert_eq!((broken.status, broken.json()["error"]["code"].as_str()), (400, Some("invalid_payload")));
    app.stop().await;
}

#[tokio::test]
async fn with_a_common_secret_a_missing_signature_is_401_and_a_wrong_one_403() {
    let mut app = TestApp::with_env("WEBHOOK_SECRET", SECRET, &[("note", NOTE)]).await;
    let body = json!({ "fact": "x" });
    for path in ["/webhooks/deploy-notify", "/webhooks/generic"] {
        let missing = app.send(post(path, &body)).await;
        assert_eq!(
            (missing.status, missing.json()["error"]["code"].as_str()),
            (401, Some("missing_signature")),
            "{path}"
        );
        let wrong = app.send(post(path, &body).signed("something else")).await;
        assert_eq!((wrong.status, wrong.json()["error"]["code"].as_str()), (403, Some("invalid_signature")), "{path}");
    }
    let right = app.send(post("/webhooks/deploy-notify", &body).signed(SECRET)).await;
    assert_eq!((right.status, right.word().as_str()), (200, "ok"));
    let named = json!({ "workflow_name": "deploy-notify", "inputs": { "fact": "y" } });
    let right = app.send(post("/webhooks/generic", &named).signed(SECRET)).await;
    assert_eq!((right.status, right.word().as_str()), (200, "ok"));
    app.stop().await;
}

#[tokio::test]
async fn generic_starts_a_workflow_by_name_with_inputs() {
    let mut app = app().await;
    let named =
        |name: &str| json!({ "workflow_name": name, "inputs": { "fact": "by name", "event_type": "deployment" } });
    let answer = app.send(post("/webhooks/generic", &named("deploy-notify"))).await.json();
    assert_eq!((&answer["status"], &answer["workflow"]), (&json!("ok"), &json!("deploy-notify")), "{answer}");
    for (body, status, code) in [
        (named("nothing"), 404, "not_found"),
        (named("by-hand"), 404, "not_found"),
        (named("old-hook"), 409, "disabled"),
        (json!({ "inputs": {} }), 400, "invalid_payload"),
        (json!({ "workflow_name": "deploy-notify", "inputs": [1] }), 400, "invalid_payload"),
    ] {
        let reply = app.send(post("/webhooks/generic", &body)).await;
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (status, Some(code)), "{body}");
    }
    let page = app.send(Request::new("GET", "/webhooks/generic")).await;
    assert_eq!(page.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_failed_run_answers_200_with_error_and_one_that_goes_on_with_accepted() {
    let mut app = app().await;
    let answer = app.send(post("/webhooks/fails", &json!({}))).await.json();
    assert_eq!(answer["status"], "error", "{answer}");
    assert_eq!(answer["results"][0]["status"], "error");
    assert!(answer["results"][0]["error"].as_str().is_some_and(|why| !why.is_empty()), "{answer}");

    let reply = app.send(post("/webhooks/waits", &json!({})).header("prefer", "respond-async")).await;
    let answer = reply.json();
    assert_eq!((&answer["status"], reply.header("preference-applied")), (&json!("accepted"), Some("respond-async")));
    assert_eq!(answer["execution_id"], answer["runs"][0]["run_id"]);
    assert_eq!(answer["runs"][0]["workflow"], "waits");

    let waiting = post("/webhooks/waits", &json!({ "n": 2 })).header("prefer", "wait=2");
    let reply = app.clock.run_until(app.send(waiting)).await;
    assert_eq!((reply.word().as_str(), reply.header("preference-applied")), ("accepted", Some("wait=2")));
    app.stop().await;
}

#[tokio::test]
async fn the_same_delivery_starts_one_run() {
    let mut app = app().await;
    let request = || post("/webhooks/deploy-notify", &json!({ "fact": "once" })).header("idempotency-key", "k-1");
    let first = app.send(request()).await.json();
    let second = app.send(request()).await.json();
    assert_eq!((&second["status"], &second["event_id"]), (&json!("duplicate"), &first["event_id"]));
    // An id in the payload is some thing's, not the delivery's.
    for _ in 0..2 {
        assert_eq!(app.send(post("/webhooks/deploy-notify", &json!({ "fact": "x", "id": 7 }))).await.word(), "ok");
    }
    let runs = app.api("GET", "/api/runs?workflow=deploy-notify").await.json();
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(3), "{runs}");
    app.stop().await;
}

fn labeled(label: &str) -> Value {
    json!({
        "action": "labeled", "label": { "name": label },
        "issue": { "number": 42, "title": "Crash at start", "html_url": "https://github.com/acme/shop/issues/42", "user": { "login": "bob" } },
        "repository": { "full_name": "acme/shop", "html_url": "https://github.com/acme/shop" }, "sender": { "login": "bob" },
    })
}

#[tokio::test]
async fn an_event_of_a_handler_starts_what_wants_it_and_the_answer_says_why_not() {
    let mut app = app().await;
    let answer = app.send(delivery("1", "issues", &labeled("ai:run"))).await.json();
    assert_eq!(answer["status"], "accepted", "{answer}");
    assert_eq!(answer["runs"][0]["workflow"], "label-run");
    let run = answer["runs"][0]["run_id"].as_str().expect("a run");
    assert_eq!(answer["execution_id"], run);
    let row = app.ended(run).await;
    assert_eq!((&row["state"], &row["event_id"]), (&json!("success"), &answer["event_id"]));

    let other = app.send(delivery("2", "issues", &labeled("bug"))).await.json();
    assert_eq!((&other["status"], &other["reason"]), (&json!("ignored"), &json!("label is not ai:run")), "{other}");
    let pull = app.send(delivery("3", "pull_request", &pull_request(1, "x"))).await.json();
    assert_eq!((&pull["status"], &pull["reason"]), (&json!("ignored"), &json!("not an issues event")), "{pull}");
    // A workflow's filter decides about the workflow; each event is told all the same, and the run's outcome besides.
    let texts: Vec<String> = app.messages(4).await.into_iter().map(|message| message.text).collect();
    assert_eq!(texts.iter().filter(|text| text.contains("acme/shop")).count(), 3, "{texts:#?}");
    assert_eq!(texts.iter().filter(|text| text.contains("Webhook 'label-run' triggered")).count(), 1, "{texts:#?}");
    let again = app.send(delivery("1", "issues", &labeled("ai:run"))).await.json();
    assert_eq!(again["status"], "duplicate");
    let runs = app.api("GET", "/api/runs?workflow=label-run").await.json();
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "{runs}");
    app.stop().await;
}

#[tokio::test]
async fn the_chat_and_the_api_list_start_and_end_workflows() {
    let mut app = app().await;
    app.telegram.user_says(CHAT, CHAT, "/webhook list");
    let list = app.messages(1).await.remove(0).text;
    assert!(list.contains("POST /webhooks/deploy-notify  [enabled]"), "{list}");
    assert!(list.contains("POST /webhooks/old-hook       [disabled]"), "{list}");
    app.telegram.user_says(CHAT, CHAT, "/workflow list");
    let list = app.messages(2).await.remove(1).text;
    assert!(list.contains("deploy-notify  [enabled, webhook] – Notify on deployment events"), "{list}");
    app.telegram.user_says(CHAT, CHAT, "/workflow run waits");
    let started = app.messages(3).await.remove(2).text;
    let run = started.strip_prefix("Started: ").expect("started").to_owned();
    app.telegram.user_says(CHAT, CHAT, &format!("/cancel {run}"));
    assert_eq!(app.ended(&run).await["state"], "cancelled");
    app.telegram.user_says(CHAT, CHAT, "/workflow run old-hook");
    let texts: Vec<String> = app.messages(6).await.into_iter().map(|message| message.text).collect();
    assert!(texts.iter().any(|text| text.contains("is disabled")), "{texts:#?}");

    let started = app.api_with("POST", "/api/workflows/deploy-notify/run", r#"{"inputs":{"fact":"z"}}"#).await;
    assert_eq!(started.status, 202);
    let run = started.json()["run_id"].as_str().expect("a run").to_owned();
    assert_eq!(app.ended(&run).await["state"], "success");
    let artifacts = app.api("GET", &format!("/api/runs/{run}/artifacts")).await.json();
    assert_eq!(artifacts["items"][0]["step"], "record-in-memory");
    app.stop().await;
}

#[tokio::test]
async fn a_file_is_registered_by_the_api_and_a_bad_edit_keeps_the_last_good_version() {
    let mut app = app().await;
    let file = app.dir.path().join("data/workflows/slack_notification.yaml");
    std::fs::write(&file, NOTE.replace("deploy-notify", "slack_notification")).expect("written");
    let body = r#"{"name":"slack_notification","config_path":"slack_notification.yaml"}"#;
    let registered = app.api_with("POST", "/api/workflows", body).await;
    assert_eq!(registered.status, 201, "{}", registered.json());
    let body = json!({ "workflow_name": "slack_notification", "inputs": { "fact": "hi" } });
    assert_eq!(app.send(post("/webhooks/generic", &body)).await.word(), "ok");
    for (body, status) in [
        (r#"{"name":"x","config_path":"../config.yaml"}"#, 400),
        (r#"{"name":"x","config_path":"/etc/passwd"}"#, 400),
        (r#"{"name":"other","config_path":"slack_notification.yaml"}"#, 422),
        (r#"{"nam":"x"}"#, 400),
    ] {
        let reply = app.api_with("POST", "/api/workflows", body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.json());
    }
    app.messages(1).await;
    std::fs::write(&file, "name: slack_notification\nstpes: []\n").expect("written");
    let texts = app.messages(2).await;
    let told = &texts[1].text;
    assert!(told.contains("its last good version stays in use") && told.contains("stpes"), "{told}");
    assert_eq!(app.send(post("/webhooks/generic", &body_of("still"))).await.word(), "ok");
    app.stop().await;
}

fn body_of(fact: &str) -> Value {
    json!({ "workflow_name": "slack_notification", "inputs": { "fact": fact } })
}

#[tokio::test]
async fn an_event_that_a_waiting_step_takes_is_not_answered_ignored() {
    let mut app = app().await;
    let started = app.send(post("/webhooks/waits", &json!({})).header("prefer", "respond-async")).await.json();
    let run = started["runs"][0]["run_id"].as_str().expect("a run").to_owned();
    while app.api("GET", &format!("/api/runs/{run}")).await.json()["state"] != "waiting" {
        tokio::task::yield_now().await;
    }
    let answer = app.send(delivery("1", "issues", &labeled("bug"))).await.json();
    assert_eq!((&answer["status"], &answer["reason"]), (&json!("accepted"), &Value::Null), "{answer}");
    assert_eq!(answer["runs"], json!([{ "workflow": "waits", "run_id": run }]));
    assert_eq!(app.ended(&run).await["state"], "success");
    let again = app.send(delivery("2", "issues", &labeled("bug"))).await.json();
    assert_eq!(again["status"], "ignored", "nobody waits any more: {again}");
    app.stop().await;
}

#[tokio::test]
async fn a_new_file_with_the_name_of_a_handler_is_told_while_the_agent_runs() {
    let mut app = app().await;
    let file = app.dir.path().join("data/workflows/new.yaml");
    std::fs::write(&file, NOTE.replace("deploy-notify", "github")).expect("written");
    let told = app.messages(1).await.remove(0).text;
    assert!(told.contains("has the name of a handler") && told.contains("/webhooks/github"), "{told}");
    app.stop().await;
}
