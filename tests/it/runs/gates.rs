//! Gates within runs: what is asked, what follows each answer, and that waiting keeps nobody busy.

use std::time::Duration;

use hookhand::domain::approval::{ApprovalState, Vote};
use hookhand::domain::run::RunState;
use hookhand::ledger::RunLedger;
use hookhand::ledger::runs::{DecideOutcome, NewDecision};
use hookhand::workflow::engine::Decider;
use serde_json::json;

use super::world::{Act, BOSS, ONCALL, World, assert_state, nothing, states, steps};

const GATED: &str = "name: w\nsteps:\n  - { name: a, tool: probe }\n  - { name: deploy, tool: probe, requires_approval: { from: [oncall], expires: 30m, remind: 10m }, args: { say: \"{{ payload.tag }}\" } }\n  - { name: after, tool: probe }\non_failure:\n  - { name: tell, tool: probe }\n";

#[tokio::test]
async fn the_question_shows_the_action_in_full_and_a_yes_runs_it() {
    let world = World::new();
    let row = world.run(GATED, json!({"tag": "v1"})).await;
    assert_state(&row, RunState::Waiting);
    assert_eq!(states(&row), ["a: success", "deploy: waiting", "after: ready"]);
    let asked = world.pending(row.id).await;
    assert_eq!(asked.action.args["say"], json!("v1"));
    assert_eq!(asked.action.tainted, ["/say"]);
    assert_eq!(asked.action.workflow_hash, row.workflow_hash);
    assert_eq!(asked.digest, asked.action.digest());
    assert_eq!(asked.approvers, ["oncall"]);
    assert_eq!(asked.expires_at, Some(world.now() + Duration::from_secs(1800)));
    world.approve(asked.id).await;
    let row = world.rest(row.id).await;
    assert_state(&row, RunState::Success);
    assert_eq!(world.probe.steps(), ["a", "deploy", "after"]);
    assert_eq!(world.approvals(row.id).await[0].decisions[0].by, "telegram:7001");
}

#[tokio::test]
async fn after_a_no_nothing_further_happens() {
    let world = World::new();
    let row = world.run(GATED, json!({"tag": "v1"})).await;
    let asked = world.pending(row.id).await;
    world.decide(asked.id, Decider::Telegram(ONCALL[1]), Vote::Deny).await;
    let row = world.rest(row.id).await;
    assert_state(&row, RunState::Denied);
    assert_eq!(states(&row), ["a: success", "deploy: denied", "after: skipped"]);
    assert_eq!(world.probe.steps(), ["a"]);
    assert_eq!(
        world.notices().await,
        ["Webhook 'w' triggered workflow:\n  a: success\n  deploy: denied (denied by user 7002)\n  after: skipped"]
    );
}

#[tokio::test]
async fn a_question_that_nobody_answers_reminds_and_expires() {
    let world = World::new();
    let row = world.run(GATED, json!({"tag": "v1"})).await;
    let asked = world.pending(row.id).await;
    let row = world.clock.run_until(world.rest_ended(row.id)).await;
    assert_state(&row, RunState::Expired);
    assert_eq!(states(&row), ["a: success", "deploy: expired", "after: skipped"]);
    let asked = world.ledger.approval(asked.id).await.expect("read").expect("there");
    assert_eq!((asked.state, asked.reminders), (ApprovalState::Expired, 2));
    assert_eq!(world.probe.steps(), ["a"]);
    let late = world.decide(asked.id, Decider::Telegram(ONCALL[0]), Vote::Approve).await;
    assert!(matches!(late, DecideOutcome::Expired { .. }), "{late:?}");
}

#[tokio::test]
async fn a_decision_at_the_very_end_counts_as_late_even_if_no_timer_came_first() {
    let mut world = World::new();
    let row = world.run(GATED, json!({"tag": "v1"})).await;
    let asked = world.pending(row.id).await;
    world.stop().await;
    world.clock.advance(Duration::from_secs(1800));
    let late = world.decide(asked.id, Decider::LocalAdmin, Vote::Approve).await;
    assert!(matches!(late, DecideOutcome::Expired { .. }), "{late:?}");
    world.engine = world.fresh_engine();
    world.wake();
    assert_state(&world.rest_ended(row.id).await, RunState::Expired);
}

#[tokio::test]
async fn cancelling_a_waiting_run_closes_its_question() {
    let world = World::new();
    let row = world.run(GATED, json!({"tag": "v1"})).await;
    let asked = world.pending(row.id).await;
    world.engine.cancel(row.id, "ann").await.expect("cancelled");
    let row = world.row(row.id).await;
    assert_state(&row, RunState::Cancelled);
    assert_eq!(states(&row), ["a: success", "deploy: cancelled", "after: skipped"]);
    let late = world.decide(asked.id, Decider::Telegram(ONCALL[0]), Vote::Approve).await;
    assert!(matches!(late, DecideOutcome::Cancelled { .. }), "{late:?}");
    assert_eq!(world.probe.steps(), ["a"]);
}

#[tokio::test]
async fn a_gate_survives_a_restart_and_the_definition_may_change_meanwhile() {
    let mut world = World::new();
    let row = world.run(GATED, json!({"tag": "v1"})).await;
    world.crash().await;
    world.workflow(&steps("  - { name: other, tool: probe }\n"));
    world.wake();
    world.approve(world.pending(row.id).await.id).await;
    let row = world.rest_ended(row.id).await;
    assert_state(&row, RunState::Success);
    assert_eq!(world.probe.steps(), ["a", "deploy", "after"]);
}

#[tokio::test]
async fn a_script_that_changed_while_its_approval_was_pending_does_not_run() {
    let world = World::new();
    let script = world.dir.path().join("deploy.sh");
    std::fs::write(&script, "echo good").expect("written");
    let text = steps(&format!(
        "  - {{ name: deploy, tool: probe, requires_approval: {{ from: [oncall] }}, args: {{ program: {} }} }}\n",
        script.display()
    ));
    let row = world.run(&text, nothing()).await;
    let first = world.pending(row.id).await;
    std::fs::write(&script, "echo evil").expect("written");
    world.approve(first.id).await;
    let row = world.rest(row.id).await;
    assert_state(&row, RunState::Waiting);
    assert!(world.probe.steps().is_empty());
    let second = world.pending(row.id).await;
    assert_ne!(second.digest, first.digest);
    let first = world.ledger.approval(first.id).await.expect("read").expect("there");
    assert_eq!(first.state, ApprovalState::Cancelled);
    assert_eq!(first.reason.as_deref(), Some("what would run has changed since it was approved"));
    world.approve(second.id).await;
    assert_state(&world.rest_ended(row.id).await, RunState::Success);
    assert_eq!(world.probe.steps(), ["deploy"]);
}

#[tokio::test]
async fn a_denial_in_a_group_stops_what_has_not_begun() {
    let world = World::new();
    let text = steps(
        "  - name: both\n    parallel:\n      - { name: a, tool: probe, requires_approval: { from: [oncall] } }\n      - { name: b, tool: probe, requires_approval: { from: [oncall] } }\n  - { name: after, tool: probe }\n",
    );
    let row = world.run(&text, nothing()).await;
    let asked = world.approvals(row.id).await;
    world.decide(asked[0].id, Decider::LocalAdmin, Vote::Deny).await;
    let row = world.rest_ended(row.id).await;
    assert_state(&row, RunState::Denied);
    let late = world.decide(asked[1].id, Decider::LocalAdmin, Vote::Approve).await;
    assert!(matches!(late, DecideOutcome::Cancelled { .. }), "{late:?}");
    assert!(world.probe.steps().is_empty());
    assert_eq!(states(&row), ["both: denied", "a: denied", "b: cancelled", "after: skipped"]);
}

#[tokio::test]
async fn each_item_of_a_list_has_a_question_of_its_own() {
    let world = World::new();
    let text = steps(
        "  - { name: each, tool: probe, for_each: payload.all, requires_approval: { from: [oncall] }, args: { say: \"{{ item }}\" } }\n",
    );
    let row = world.run(&text, json!({"all": ["x", "y"]})).await;
    let first = world.pending(row.id).await;
    assert_eq!((first.step.as_str(), &first.action.args["say"]), ("each[0]", &json!("x")));
    world.approve(first.id).await;
    let row = world.rest_pending(row.id).await;
    assert_eq!(world.pending(row.id).await.action.args["say"], json!("y"));
    assert_eq!(world.probe.said(), [json!("x")]);
}

#[tokio::test]
async fn many_gates_keep_no_worker() {
    let world = World::new();
    world.workflow(GATED);
    for number in 0..300 {
        world.start("w", json!({"tag": number})).await;
    }
    world.workflow("name: v\nsteps:\n  - { name: free, tool: probe }\n");
    let free = world.start("v", nothing()).await;
    assert_state(&world.rest(free).await, RunState::Success);
}

#[tokio::test]
async fn what_cannot_be_read_cannot_be_approved() {
    let world = World::new();
    let text = steps(&format!(
        "  - {{ name: deploy, tool: probe, requires_approval: true, args: {{ program: {} }} }}\n",
        world.dir.path().display()
    ));
    let row = world.run(&text, nothing()).await;
    assert_state(&row, RunState::Error);
    assert!(super::world::error(&row, "deploy").contains("nobody could approve what would run"));
    assert!(world.approvals(row.id).await.is_empty() && world.probe.steps().is_empty());
}

#[tokio::test]
async fn a_vote_of_somebody_who_was_taken_off_the_list_does_not_count() {
    let mut world = World::new();
    let text = steps("  - { name: deploy, tool: probe, requires_approval: { from: [oncall], votes: 2 } }\n");
    let row = world.run(&text, nothing()).await;
    let asked = world.pending(row.id).await;
    let first = world.decide(asked.id, Decider::Telegram(ONCALL[0]), Vote::Approve).await;
    assert!(matches!(first, DecideOutcome::VoteCounted { votes: 1, needed: 2 }), "{first:?}");
    world.regroup(&[ONCALL[1], BOSS]).await;
    let second = world.decide(asked.id, Decider::Telegram(ONCALL[1]), Vote::Approve).await;
    assert!(matches!(second, DecideOutcome::VoteCounted { votes: 1, needed: 2 }), "{second:?}");
    assert!(world.probe.steps().is_empty());
    let third = world.decide(asked.id, Decider::Telegram(BOSS), Vote::Approve).await;
    assert!(matches!(third, DecideOutcome::Decided { .. }), "{third:?}");
    assert_state(&world.rest_ended(row.id).await, RunState::Success);
}

#[tokio::test]
async fn what_begins_after_a_denial_was_kept_does_not_happen() {
    let world = World::new();
    let text = steps(
        "  - name: both\n    parallel:\n      - { name: gated, tool: probe, requires_approval: true }\n      - { name: each, tool: probe, for_each: payload.all }\n",
    );
    world.probe.act("each[0]", Act::Hold);
    world.workflow(&text);
    let run = world.start("w", json!({"all": ["x", "y"]})).await;
    world.probe.until_called(1).await;
    let asked = world.pending(run).await;
    // Straight into the ledger: as when the decision comes between the plan and its commit.
    let no = NewDecision {
        approval: asked.id,
        by: "telegram:7001".into(),
        channel: "telegram".into(),
        verdict: Vote::Deny,
        reason: None,
        nonce: None,
        void: Vec::new(),
        at: world.now(),
    };
    world.ledger.decide(no).await.expect("decided");
    world.probe.release();
    assert_state(&world.rest_ended(run).await, RunState::Denied);
    assert_eq!(world.probe.steps(), ["each[0]"]);
}

#[tokio::test]
async fn a_child_workflow_that_changed_while_its_approval_was_pending_does_not_start() {
    let world = World::new();
    world.workflow("name: child\nsteps:\n  - { name: good, tool: probe }\n");
    let text = steps(
        "  - { name: ship, tool: run_workflow, requires_approval: { from: [oncall] }, args: { workflow: child } }\n",
    );
    let row = world.run(&text, nothing()).await;
    let first = world.pending(row.id).await;
    world.workflow("name: child\nsteps:\n  - { name: evil, tool: probe }\n");
    world.approve(first.id).await;
    let row = world.rest_pending(row.id).await;
    assert!(world.probe.steps().is_empty());
    let second = world.pending(row.id).await;
    assert_ne!((second.id, &second.digest), (first.id, &first.digest));
    world.decide(second.id, Decider::LocalAdmin, Vote::Deny).await;
    assert_state(&world.rest_ended(row.id).await, RunState::Denied);
    assert!(world.probe.steps().is_empty());
}

#[tokio::test]
async fn a_folder_that_is_another_one_by_the_time_of_the_decision_is_asked_about_again() {
    let world = World::new();
    let folder = |name: &str| world.dir.path().join("data/files").join(name);
    let link = |to: &str| std::os::unix::fs::symlink(folder(to), folder("current")).expect("linked");
    ["good", "evil"].iter().for_each(|name| std::fs::create_dir_all(folder(name)).expect("made"));
    link("good");
    let row = world
        .run(
            &steps("  - { name: see, tool: shell_exec, requires_approval: { from: [oncall] }, args: { argv: [pwd], cwd: current } }\n"),
            nothing(),
        )
        .await;
    let first = world.pending(row.id).await;
    assert!(first.action.cwd.as_deref().is_some_and(|cwd| cwd.ends_with("/good")), "{:?}", first.action.cwd);
    std::fs::remove_file(folder("current")).expect("removed");
    link("evil");
    world.approve(first.id).await;
    let second = world.rest_pending(row.id).await;
    assert_state(&second, RunState::Waiting);
    assert!(world.pending(row.id).await.action.cwd.is_some_and(|cwd| cwd.ends_with("/evil")));
}
