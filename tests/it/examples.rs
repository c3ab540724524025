//! The workflows under `examples/`: each is loaded as it is, and does what it says.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hookhand::config::Secret;
use hookhand::ports::Clock;
use hookhand::provider::Registry;
use serde_json::{Value, json};

use crate::harness::app::{CHAT, OPS, SECRET, TestApp, delivery};
use crate::harness::bot_api::SeenMessage;
use crate::harness::clock::patiently;
use crate::harness::http::Request;
use crate::harness::receiver::{Receiver, json as says};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("{name}.yaml"));
    std::fs::read_to_string(path).expect("an example")
}

async fn app(name: &str, text: &str) -> TestApp {
    TestApp::with_workflows("", &[(name, text)]).await
}

/// A script within `data/files/`.
fn script(app: &TestApp, path: &str, text: &str) {
    let file = app.dir.path().join("data/files").join(path);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    std::fs::write(&file, text).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("set");
}

fn files(app: &TestApp, path: &str) -> String {
    std::fs::read_to_string(app.dir.path().join("data/files").join(path)).unwrap_or_default()
}

fn release(tag: &str, prerelease: bool) -> Value {
    json!({
        "action": "published",
        "release": {
            "tag_name": tag, "name": tag, "prerelease": prerelease, "draft": false, "body": "Notes",
            "html_url": format!("https://github.com/acme/shop/releases/tag/{tag}"), "author": { "login": "alice" },
        },
        "repository": { "id": 1, "full_name": "acme/shop", "html_url": "https://github.com/acme/shop" },
        "sender": { "login": "alice" },
    })
}

/// The first message of `chat` whose text holds `what`.
async fn message(app: &TestApp, chat: i64, what: &str) -> SeenMessage {
    message_that(app, chat, |seen| seen.text.contains(what)).await
}

/// The first message of `chat` that `holds`. Real programs run meanwhile, which must not run out of the fake clock's time: it
/// moves little by little, with pauses in real time.
async fn message_that(app: &TestApp, chat: i64, holds: impl Fn(&SeenMessage) -> bool) -> SeenMessage {
    let found = async {
        loop {
            if let Some(message) = app.telegram.messages(chat).into_iter().find(&holds) {
                return message;
            }
            // A second is what Telegram's pace asks for between two messages.
            app.clock.advance(std::time::Duration::from_millis(20));
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    patiently(found).await
}

#[tokio::test]
async fn every_example_loads_without_a_fault_or_a_note() {
    let names: Vec<String> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"))
        .expect("examples")
        .filter_map(|entry| entry.expect("an entry").path().file_stem()?.to_str().map(str::to_owned))
        .filter(|name| name != "README")
        .collect();
    assert_eq!(names.len(), 4, "a new example needs a test: {names:?}");
    let texts: Vec<(String, String)> = names.iter().map(|name| (name.clone(), example(name))).collect();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut app = TestApp::with_workflows("", &texts).await;
    let list = app.api("GET", "/api/workflows").await.json();
    assert_eq!((list["items"].as_array().map(Vec::len), &list["faults"]), (Some(4), &json!([])), "{list}");
    for (name, _) in &texts {
        let shown = app.api("GET", &format!("/api/workflows/{name}")).await.json();
        assert_eq!(shown["notes"], json!([]), "{name}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_release_is_deployed_after_the_tap_and_told_in_the_other_chat() {
    let mut app = app("release-deploy", &example("release-deploy")).await;
    script(&app, "deploy/deploy.sh", "#!/bin/sh\necho \"$@\" >> deployed\ncat > payload.json\n");
    script(&app, "deploy/status.sh", "#!/bin/sh\nexit 1\n");

    let early = app.send(delivery("1", "release", &release("v2-rc", true))).await.json();
    assert_eq!(early["status"], "ignored", "{early}");
    let answer = app.send(delivery("2", "release", &release("v2;rm -rf /", false))).await.json();
    assert_eq!(answer["runs"][0]["workflow"], "release-deploy", "{answer}");
    let card = message(&app, CHAT, "Approve release-deploy, step deploy?").await;
    assert!(card.text.contains("$ ./deploy.sh --tag ‹\"v2;rm -rf /\"›"), "{}", card.text);
    assert!(card.text.contains("deploy.sh (sha256 "), "{}", card.text);
    assert_eq!(files(&app, "deploy/deployed"), "", "nothing runs before the tap");

    assert!(!app.tap(CHAT, &card, "Approve").await.alert);
    let told = message(&app, OPS, "Deployed").await;
    assert_eq!(told.text, "Deployed v2;rm -rf / of acme/shop");
    assert_eq!(files(&app, "deploy/deployed"), "--tag v2;rm -rf /\n");
    let payload: Value = serde_json::from_str(&files(&app, "deploy/payload.json")).expect("JSON on standard input");
    assert_eq!(payload["release"]["tag_name"], "v2;rm -rf /");
    message(&app, CHAT, "Webhook 'release-deploy' triggered workflow:").await;
    app.stop().await;
}

#[tokio::test]
async fn a_script_that_changes_while_its_approval_is_pending_does_not_run_unseen() {
    let mut app = app("release-deploy", &example("release-deploy")).await;
    script(&app, "deploy/deploy.sh", "#!/bin/sh\necho good >> deployed\n");
    script(&app, "deploy/status.sh", "#!/bin/sh\nexit 1\n");
    app.send(delivery("1", "release", &release("v2", false))).await;
    let card = message(&app, CHAT, "Approve release-deploy").await;
    script(&app, "deploy/deploy.sh", "#!/bin/sh\necho evil >> deployed\n");
    app.tap(CHAT, &card, "Approve").await;
    let is_anew = |seen: &SeenMessage| seen.id != card.id && seen.text.contains("Approve release-deploy");
    let anew = message_that(&app, CHAT, is_anew).await;
    assert_eq!(files(&app, "deploy/deployed"), "", "neither version ran");
    assert!(app.tap(CHAT, &anew, "Deny").await.text.starts_with("Denied"));
    assert_eq!(files(&app, "deploy/deployed"), "");
    app.stop().await;
}

#[tokio::test]
async fn a_labelled_issue_is_handed_to_a_program() {
    let mut app = app("issue-run", &example("issue-run")).await;
    script(&app, "work-on-issue.sh", "#!/bin/sh\ncat > issue.json\necho \"looked at $1 $2\"\n");
    let issue = |label: &str| {
        json!({
            "action": "labeled", "label": { "name": label },
            "issue": { "number": 42, "title": "Crash $(reboot)", "body": "…", "html_url": "https://github.com/acme/shop/issues/42", "user": { "login": "bob" } },
            "repository": { "full_name": "acme/shop", "html_url": "https://github.com/acme/shop" }, "sender": { "login": "bob" },
        })
    };
    let other = app.send(delivery("1", "issues", &issue("bug"))).await.json();
    assert_eq!((&other["status"], &other["reason"]), (&json!("ignored"), &json!("label is not ai:run")));
    app.send(delivery("2", "issues", &issue("ai:run"))).await;
    let told = message(&app, CHAT, "acme/shop#42: looked at").await;
    assert_eq!(told.text.trim_end(), "acme/shop#42: looked at acme/shop 42");
    let seen: Value = serde_json::from_str(&files(&app, "issue.json")).expect("JSON on standard input");
    assert_eq!(seen["issue"]["title"], "Crash $(reboot)");
    app.stop().await;
}

fn failed_payment(app: &TestApp, id: &str, amount: i64) -> Request {
    let (registry, faults) = Registry::load(Path::new("none"), Path::new("none"));
    assert!(faults.is_empty(), "{faults:?}");
    let stripe = registry.get("stripe").expect("built in");
    let mut payload = stripe.prepare_example("invoice.payment_failed").expect("an example");
    payload["data"]["object"]["amount_due"] = amount.into();
    payload["data"]["object"]["customer"] = "cus_42".into();
    let now = app.clock.now();
    stripe.fill(&mut payload, id, now);
    let body = payload.to_string();
    let secret = Secret::new(format!("whsec_{SECRET}")).expect("not empty");
    let signed = stripe.sign(Some(&secret), body.as_bytes(), id, "invoice.payment_failed", now);
    signed.iter().fold(Request::post("/webhooks/stripe", body.clone()), |request, (name, value)| {
        request.header(name.as_str(), value.to_str().expect("text"))
    })
}

#[tokio::test]
async fn a_large_failed_payment_is_followed_up_once_somebody_agrees() {
    let mut crm = Receiver::start([says(200, "{\"ok\":true}")]).await;
    let text = example("payment-failed").replace("https://crm.example.com", &format!("http://{}", crm.address));
    let mut app = app("payment-failed", &text).await;
    let small = app.send(failed_payment(&app, "evt_small", 900)).await.json();
    let run = small["runs"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{small}")).to_owned();
    let row = app.ended(&run).await;
    assert_eq!((&row["state"], &row["steps"][2]["state"]), (&json!("success"), &json!("skipped")), "{row}");

    let large = app.send(failed_payment(&app, "evt_large", 90_000)).await.json();
    let run = large["runs"][0]["run_id"].as_str().unwrap_or_else(|| panic!("{large}")).to_owned();
    let card = message(&app, CHAT, "Approve payment-failed, step follow-up?").await;
    assert!(card.text.contains("\"customer\": ‹\"cus_42\"›"), "{}", card.text);
    app.tap(CHAT, &card, "Approve").await;
    let sent = crm.next().await;
    let body: Value = serde_json::from_slice(&sent.body).expect("JSON");
    assert_eq!((&body["customer"], &body["amount_due"]), (&json!("cus_42"), &json!(90_000)));
    assert!(body["earlier"].to_string().contains("cus_42 did not pay"), "{body}");
    assert!(sent.header("webhook-id").is_some() && sent.header("idempotency-key").is_some());
    assert_eq!(app.ended(&run).await["state"], "success");
    app.stop().await;
}

#[tokio::test]
async fn one_event_reaches_two_chats_and_one_that_fails_does_not_keep_the_other_from_it() {
    let mut slack = Receiver::start([says(404, "{}")]).await;
    let mut discord = Receiver::start([says(200, "{}")]).await;
    let text = example("fan-out")
        .replace("https://hooks.slack.com", &format!("http://{}", slack.address))
        .replace("https://discord.com", &format!("http://{}", discord.address));
    let mut app = app("fan-out", &text).await;
    let body = json!({ "service": "api", "version": "1.2.3" }).to_string();
    let answer = app.send(Request::post("/webhooks/fan-out", body)).await.json();
    let (to_slack, to_discord) = (slack.next().await, discord.next().await);
    let text = |body: &[u8]| serde_json::from_slice::<Value>(body).expect("JSON");
    assert_eq!(text(&to_slack.body), json!({ "text": "api 1.2.3 is deployed" }));
    assert_eq!(text(&to_discord.body), json!({ "content": "api 1.2.3 is deployed" }));
    let run = answer["run_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    let row = app.ended(&run).await;
    let state = |name: &str| {
        row["steps"].as_array().into_iter().flatten().find(|step| step["name"] == name).expect("a step")["state"]
            .clone()
    };
    assert_eq!((state("slack"), state("discord")), (json!("error"), json!("success")));
    app.stop().await;
}
