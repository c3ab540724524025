//! Approvals as people meet them in Telegram: what a card shows, who may decide, and what happens to the card.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::app::{CHAT, LEAD, STRANGER, TestApp};
use crate::harness::bot_api::{Fault, SeenMessage};
use crate::harness::http::Request;
use crate::harness::receiver::{Receiver, Script};

const REMEMBER: &str = r#"
name: remember
description: Remember what was deployed
trigger: webhook
enabled: true
steps:
  - name: keep
    tool: memory_store
    args: { section: Deploys, fact: "{{ payload.fact }}" }
    requires_approval: { from: [oncall], expires: 7d }
"#;

const WRITE: &str = r#"
name: remember
trigger: webhook
enabled: true
steps:
  - name: keep
    tool: write_file
    args: { path: notes.txt, content: "{{ payload.fact }}" }
    requires_approval: { from: [oncall] }
"#;

const TWO_VOTES: &str = r#"
name: remember
trigger: webhook
enabled: true
steps:
  - name: keep
    tool: memory_store
    args: { section: Deploys, fact: "{{ payload.fact }}" }
    requires_approval: { from: [leads], votes: 2 }
"#;

/// An agent with that workflow, a run of it that waits, and its card.
async fn asked(workflow: &str, fact: &str) -> (TestApp, String, SeenMessage) {
    let app = TestApp::with_workflows("", &[("remember", workflow)]).await;
    let (run, card) = ask(&app, fact, 1).await;
    (app, run, card)
}

/// Starts the workflow; its card is the `count`-th message.
async fn ask(app: &TestApp, fact: &str, count: usize) -> (String, SeenMessage) {
    let body = json!({ "fact": fact }).to_string();
    let reply = app.send(Request::post("/webhooks/remember", body)).await;
    let answer = reply.json();
    assert_eq!((reply.status, &answer["status"]), (200, &json!("pending_approval")), "{answer}");
    let run = answer["run_id"].as_str().expect("a run").to_owned();
    let card = app.messages(count).await.remove(count - 1);
    (run, card)
}

async fn approval_of(app: &TestApp, run: &str) -> Value {
    let page = app.api("GET", &format!("/api/approvals?run={run}")).await.json();
    page["items"][0].clone()
}

async fn facts(app: &TestApp, run: &str) -> Value {
    let row = app.ended(run).await;
    row["steps"][0]["state"].clone()
}

#[tokio::test]
async fn the_card_shows_what_would_run_and_the_approvers_tap_runs_it() {
    let (mut app, run, card) = asked(REMEMBER, "v1 <b>&\n › now").await;
    let approval = approval_of(&app, &run).await;
    let id = approval["id"].as_str().expect("an id");
    assert_eq!(
        card.text,
        format!(
            "⚠️ Approve remember, step keep?\nEvent: ‹Webhook 'remember' called›\nmemory_store\n  section: Deploys\n  fact:\n    \
             ‹v1 <b>&\\n›\n    ‹ \\u{{203a}} now›\n‹…› came from the payload.\nMay decide: oncall\nExpires 2026-01-09 03:04 UTC\n\
             {id}: press a button, answer yes or no (no: reason), or write /approve or /deny and the id."
        )
    );
    assert_eq!(card.buttons.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    // What a button carries says nothing and is nowhere in the clear.
    assert!(card.buttons.iter().flatten().all(|button| button.data.len() >= 32 && !button.data.contains("apr_")));

    let answer = app.tap(CHAT, &card, "Approve").await;
    assert_eq!((answer.text.as_str(), answer.alert), ("Approved: remember, step keep. It runs now.", false));
    assert_eq!(facts(&app, &run).await, "success");

    let decided = app.changed(&card, |seen| seen.buttons.is_empty()).await;
    assert!(decided.text.starts_with("✅ Approved: remember, step keep\n"), "{}", decided.text);
    assert!(decided.text.contains("\nApproved by user 7001 from telegram, 2026-01-02 03:"), "{}", decided.text);
    let outcome = app.messages(2).await.remove(1);
    assert_eq!(outcome.text, "✅ Webhook 'remember' triggered workflow:\n  keep: success");

    let approval = approval_of(&app, &run).await;
    assert_eq!(approval["state"], "approved");
    assert_eq!(
        (&approval["decisions"][0]["by"], &approval["decisions"][0]["channel"]),
        (&json!("telegram:7001"), &json!("telegram"))
    );
    app.stop().await;
}

#[tokio::test]
async fn a_bystanders_tap_is_answered_in_private_and_changes_nothing() {
    let (mut app, run, card) = asked(REMEMBER, "v1").await;
    for (user, label) in [(STRANGER, "Approve"), (LEAD, "Approve"), (LEAD, "Deny"), (STRANGER, "Details")] {
        let answer = app.tap(user, &card, label).await;
        assert!(answer.alert, "{answer:?}");
        let told = format!("Only oncall may decide this. Your Telegram id is {user}. Nothing changed.");
        assert_eq!(answer.text, told);
    }
    let approval = approval_of(&app, &run).await;
    assert_eq!((&approval["state"], &approval["decisions"]), (&json!("pending"), &json!([])));
    assert_eq!(app.telegram.messages(CHAT).len(), 1, "nobody else hears of it");
    app.stop().await;
}

#[tokio::test]
async fn late_double_and_forged_taps_hear_the_truth() {
    let (mut app, run, card) = asked(REMEMBER, "v1").await;
    assert!(!app.tap(CHAT, &card, "Deny").await.alert);
    let row = app.ended(&run).await;
    assert_eq!((&row["state"], &row["steps"][0]["state"]), (&json!("denied"), &json!("denied")));
    for label in ["Deny", "Approve"] {
        let answer = app.tap(CHAT, &card, label).await;
        assert!(answer.alert, "{answer:?}");
        assert!(answer.text.starts_with("Already denied by user 7001 from telegram at 2026-01-02 03:"), "{answer:?}");
    }
    let forged = app.telegram.user_taps(CHAT, CHAT, card.id, "0123456789012345678901234567890123456789");
    let answer = app.telegram.wait_for_tap_answer(&forged).await;
    assert_eq!(answer.text, "This button is not mine, or too old. Nothing changed.");
    app.stop().await;
}

#[tokio::test]
async fn a_reply_of_no_with_a_reason_denies_and_anything_else_does_not_decide() {
    let (mut app, run, card) = asked(REMEMBER, "v1").await;
    app.telegram.user_replies(CHAT, CHAT, card.id, "what is this?");
    app.messages(2).await;
    assert_eq!(approval_of(&app, &run).await["state"], "pending");
    app.telegram.user_replies(LEAD, CHAT, card.id, "yes");
    let answer = app.messages(3).await.remove(2).text;
    assert!(answer.contains("Only oncall may decide this."), "{answer}");
    app.telegram.user_replies(CHAT, CHAT, card.id, "No: not on a Friday");
    let row = app.ended(&run).await;
    assert_eq!(row["state"], "denied");
    let decided = app.changed(&card, |seen| seen.buttons.is_empty()).await;
    assert!(decided.text.contains("Denied by user 7001 from telegram"), "{}", decided.text);
    assert!(decided.text.contains(": not on a Friday"), "{}", decided.text);
    app.stop().await;
}

#[tokio::test]
async fn commands_decide_by_id() {
    let (mut app, run, _card) = asked(REMEMBER, "v1").await;
    let id = approval_of(&app, &run).await["id"].as_str().expect("an id").to_owned();
    app.telegram.user_says(CHAT, CHAT, "/approvals");
    let list = app.messages(2).await.remove(1).text;
    assert!(list.contains(&id) && list.contains("remember, step keep"), "{list}");
    app.telegram.user_says(CHAT, CHAT, "/approve apr_01K00000000000000000000000");
    assert_eq!(app.messages(3).await.remove(2).text, "There is no such approval. Nothing changed.");
    app.telegram.user_says(CHAT, CHAT, &format!("/deny {id} wrong tag"));
    let row = app.ended(&run).await;
    assert_eq!(row["state"], "denied");
    let approval = approval_of(&app, &run).await;
    assert_eq!(approval["decisions"][0]["reason"], "wrong tag");
    app.stop().await;
}

#[tokio::test]
async fn votes_are_counted_shown_and_one_person_has_one() {
    let (mut app, run, card) = asked(TWO_VOTES, "v1").await;
    assert!(card.text.contains("May decide: leads (2 votes)\nVotes: 0 of 2"), "{}", card.text);
    assert_eq!(app.tap(LEAD, &card, "Approve").await.text, "Your vote counts: 1 of 2.");
    let card = app.changed(&card, |seen| seen.text.contains("Votes: 1 of 2")).await;
    assert!(card.text.contains("user 7002: approve from telegram"), "{}", card.text);
    let again = app.tap(LEAD, &card, "Approve").await;
    assert!(again.alert && again.text.contains("You have voted before: approve"), "{again:?}");
    assert_eq!(approval_of(&app, &run).await["state"], "pending");
    assert_eq!(app.tap(CHAT, &card, "Approve").await.text, "Approved: remember, step keep. It runs now.");
    assert_eq!(app.ended(&run).await["state"], "success");
    app.stop().await;
}

#[tokio::test]
async fn two_taps_in_the_same_instant_have_one_effect() {
    let (mut app, run, card) = asked(&REMEMBER.replace("[oncall]", "[leads]"), "v1").await;
    let approve = app.telegram.user_taps(CHAT, CHAT, card.id, &card.button("Approve"));
    let deny = app.telegram.user_taps(LEAD, CHAT, card.id, &card.button("Deny"));
    let (first, second) =
        (app.telegram.wait_for_tap_answer(&approve).await, app.telegram.wait_for_tap_answer(&deny).await);
    assert!(first.text.starts_with("Approved"), "{first:?}");
    assert!(second.text.starts_with("Already approved by user 7001"), "{second:?}");
    let row = app.ended(&run).await;
    assert_eq!(row["state"], "success");
    let approval = approval_of(&app, &run).await;
    assert_eq!(approval["decisions"].as_array().map(Vec::len), Some(1), "{approval}");
    app.stop().await;
}

#[tokio::test]
async fn details_are_written_below_the_card() {
    let (mut app, run, card) = asked(REMEMBER, "v1").await;
    let approval = approval_of(&app, &run).await;
    assert_eq!(app.tap(CHAT, &card, "Details").await.text, "The details are below.");
    let details = app.messages(2).await.remove(1);
    assert_eq!(details.reply_to, Some(card.id));
    assert!(details.text.contains(approval["digest"].as_str().expect("a digest")), "{}", details.text);
    assert!(details.text.contains(&run), "{}", details.text);
    app.stop().await;
}

#[tokio::test]
async fn people_are_reminded_and_in_the_end_the_card_says_that_it_is_too_late() {
    // Far apart, so that a machine that is busy with the reminder does not see the end come meanwhile.
    let gate = "expires: 5h, remind: 3h, on_expiry: deny";
    let (mut app, run, card) = asked(&REMEMBER.replace("expires: 7d", gate), "v1").await;
    app.clock.run_for(Duration::from_secs(3 * 3600 + 1)).await;
    let reminder = app.messages(2).await.remove(1);
    assert!(reminder.text.starts_with("⚠️ Reminder: approve remember, step keep?"), "{}", reminder.text);
    assert_eq!(reminder.buttons.len(), 2);
    let old = app.changed(&card, |seen| seen.buttons.is_empty()).await;
    assert!(old.text.contains("Asked again below."), "{}", old.text);
    app.clock.run_for(Duration::from_secs(2 * 3600 + 60)).await;
    let row = app.ended(&run).await;
    assert_eq!((&row["state"], &row["steps"][0]["state"]), (&json!("expired"), &json!("expired")));
    let closed = app.changed(&reminder, |seen| seen.buttons.is_empty()).await;
    assert!(closed.text.starts_with("Expired: remember, step keep"), "{}", closed.text);
    assert!(closed.text.contains("Nobody decided in time, 2026-01-02 08:"), "{}", closed.text);
    assert!(app.messages(3).await[2].text.contains("keep: expired"));
    let late = app.tap(CHAT, &reminder, "Approve").await;
    assert!(late.alert && late.text.contains("Nothing changed"), "{late:?}");
    assert!(late.text.contains("expired at"), "{late:?}");
    app.stop().await;
}

#[tokio::test]
async fn what_is_too_long_for_a_message_comes_whole_as_a_file_before_the_buttons() {
    let fact = (0..400).map(|line| format!("line {line:03} {}", "é".repeat(20))).collect::<Vec<_>>().join("\n");
    let app = TestApp::with_workflows("", &[("remember", WRITE)]).await;
    let (run, file) = ask(&app, &fact, 1).await;
    let mut app = app;
    let text = String::from_utf8(file.document.clone().expect("a file")).expect("text");
    for line in [0, 199, 399] {
        assert!(text.contains(&format!("line {line:03}")), "line {line} is missing");
    }
    let approval = approval_of(&app, &run).await;
    assert!(text.contains(approval["digest"].as_str().expect("a digest")), "{text}");
    assert!(file.buttons.is_empty());
    let card = app.messages(2).await.remove(1);
    assert!(card.text.contains("is in the file") && card.text.contains("Read it whole"), "{}", card.text);
    assert!(!card.text.contains("line 000") && card.buttons.len() == 2, "{}", card.text);
    app.tap(CHAT, &card, "Approve").await;
    assert_eq!(app.ended(&run).await["state"], "success");
    let written = std::fs::read_to_string(app.dir.path().join("data/files/notes.txt")).expect("written");
    assert_eq!(written, fact);
    app.stop().await;
}

#[tokio::test]
async fn a_card_waits_out_a_bad_network_and_a_429() {
    let app = TestApp::with_workflows("", &[("remember", REMEMBER)]).await;
    let mut app = app;
    app.telegram.fault_on("sendmessage", Fault::ServerError(502));
    app.telegram.fault_on("sendmessage", Fault::RetryAfter(3));
    let (run, card) = ask(&app, "v1", 1).await;
    app.telegram.fault_on("editmessagetext", Fault::DropBefore);
    app.tap(CHAT, &card, "Approve").await;
    app.ended(&run).await;
    app.changed(&card, |seen| seen.buttons.is_empty()).await;
    let cards = app.messages(2).await.iter().filter(|seen| seen.text.contains("step keep")).count();
    assert_eq!(cards, 1);
    app.stop().await;
}

#[tokio::test]
async fn a_pending_card_survives_a_restart_and_is_sent_anew_after_a_day_of_silence() {
    let (mut app, run, card) = asked(REMEMBER, "v1").await;
    app.stop().await;
    app.run().await;
    // A short stop needs no new card: the old one works.
    app.telegram.user_says(CHAT, CHAT, "/status");
    assert!(app.messages(2).await[1].text.contains("hookhand"));
    app.stop().await;
    app.telegram.user_taps(CHAT, CHAT, card.id, &card.button("Deny"));
    app.clock.advance(Duration::from_secs(25 * 3600));
    app.telegram.forget_updates();
    app.run().await;
    let anew = app.messages(3).await.remove(2);
    assert!(anew.text.starts_with("⚠️ Approve remember, step keep?"), "{}", anew.text);
    let old = app.changed(&card, |seen| seen.buttons.is_empty()).await;
    assert!(old.text.contains("Asked again below."), "{}", old.text);
    assert_eq!(app.tap(CHAT, &anew, "Approve").await.text, "Approved: remember, step keep. It runs now.");
    assert_eq!(app.ended(&run).await["state"], "success");
    app.stop().await;
}

#[tokio::test]
async fn no_nonce_is_in_the_data_folder() {
    let (mut app, _run, card) = asked(REMEMBER, "v1").await;
    app.tap(STRANGER, &card, "Approve").await;
    app.stop().await;
    let mut files = vec![app.dir.path().join("data")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).expect("readable").map(|entry| entry.expect("an entry").path()));
            continue;
        }
        // What Telegram sent us holds the tap's nonce; it is used up or worthless once it was handled.
        let bytes = std::fs::read(&path).expect("readable");
        for button in card.buttons.iter().flatten().filter(|button| button.label != card.buttons[0][0].label) {
            let found = bytes.windows(button.data.len()).any(|window| window == button.data.as_bytes());
            assert!(!found, "{} holds the nonce of '{}'", path.display(), button.label);
        }
    }
}

const POST: &str = r#"
name: order
trigger: webhook
enabled: true
steps:
  - name: send
    tool: http_request
    args: { method: POST, url: "http://ADDRESS/order", json: { n: "{{ payload.n }}" } }
  - name: after
    tool: memory_store
    args: { section: Orders, fact: "ordered {{ payload.n }}" }
"#;

#[tokio::test]
async fn a_step_in_doubt_is_settled_by_a_button() {
    for (label, state, answer) in [
        ("It happened", "success", "Settled: it happened. The run goes on."),
        ("Leave the run", "in_doubt", "The run is left as it is."),
    ] {
        let mut shop = Receiver::start([Script::Answer(Vec::new())]).await;
        let workflow = POST.replace("ADDRESS", &shop.address.to_string());
        let mut app = TestApp::with_workflows("", &[("order", &workflow)]).await;
        let reply = app.send(Request::post("/webhooks/order", r#"{"n":1}"#).header("prefer", "respond-async")).await;
        let run = reply.json()["runs"][0]["run_id"].as_str().expect("a run").to_owned();
        shop.next().await;
        let card = app.messages(1).await.remove(0);
        assert!(card.text.starts_with("🔴 Did it happen? order, step send"), "{}", card.text);
        assert!(card.text.contains(&format!("url: http://{}/order", shop.address)), "{}", card.text);
        assert_eq!(card.buttons.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        let foreign = app.tap(STRANGER, &card, label).await;
        assert!(foreign.alert && foreign.text.contains("Nothing changed"), "{foreign:?}");
        assert_eq!(app.tap(CHAT, &card, label).await.text, answer);
        let row = app.ended(&run).await;
        assert_eq!(row["state"], state, "{row}");
        let closed = app.changed(&card, |seen| seen.buttons.is_empty()).await;
        assert!(closed.text.contains("user 7001 from telegram"), "{}", closed.text);
        let late = app.tap(CHAT, &card, label).await;
        assert!(late.alert && late.text.contains("Nothing changed"), "{late:?}");
        app.stop().await;
    }
}

const QUIET: &str = r#"
name: quiet
trigger: webhook
on: { handler: plain }
steps:
  - { name: keep, tool: memory_store, args: { section: Deploys, fact: "{{ payload.fact }}" }, requires_approval: true }
"#;

#[tokio::test]
async fn a_handler_that_is_told_nowhere_still_asks() {
    let mut app = TestApp::with_workflows("", &[("quiet", QUIET)]).await;
    app.stop().await;
    let file = app.dir.path().join("config.yaml");
    let config = std::fs::read_to_string(&file).expect("read");
    let quiet = config.replace("response_type: text", "notify: none");
    assert_ne!(config, quiet);
    std::fs::write(&file, quiet).expect("written");
    app.run().await;
    let answer = app.send(Request::post("/webhooks/plain", r#"{"event":"go","fact":"x"}"#)).await.json();
    let run = answer["runs"][0]["run_id"].as_str().expect("a run").to_owned();
    // The event itself is silent; the question is the first message.
    let card = app.messages(1).await.remove(0);
    assert!(card.text.contains("Approve quiet, step keep?"), "{}", card.text);
    app.tap(CHAT, &card, "Approve").await;
    assert_eq!(app.ended(&run).await["state"], "success");
    app.stop().await;
}
