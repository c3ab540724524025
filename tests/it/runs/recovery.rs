//! A process that ends in the middle of a step: what may be repeated is, what may not is never (P3).

use hookhand::domain::approval::Settle;
use hookhand::domain::run::RunState;
use hookhand::ledger::runs::{RunLedger, SettleOutcome};
use hookhand::tool::ToolFailure;
use serde_json::json;

use super::world::{Act, World, assert_state, error, nothing, states, steps};

/// A world whose run of `text` was cut off within its first step `a`.
async fn cut_off(text: &str) -> (World, hookhand::domain::ids::RunId) {
    let mut world = World::new();
    world.probe.act("a", Act::Hold);
    world.workflow(text);
    let run = world.start("w", nothing()).await;
    world.probe.until_called(1).await;
    world.crash().await;
    assert_eq!(states(&world.row(run).await)[0], "a: started");
    world.wake();
    (world, run)
}

#[tokio::test]
async fn a_once_step_that_was_cut_off_is_in_doubt_and_never_repeated() {
    let (world, run) = cut_off(&steps("  - { name: a, tool: probe }\n  - { name: b, tool: probe }\n")).await;
    let row = world.rest(run).await;
    assert_state(&row, RunState::InDoubt);
    assert_eq!(states(&row), ["a: in_doubt", "b: ready"]);
    assert_eq!(world.probe.steps(), ["a"]);
    let question = world.pending(run).await;
    assert_eq!((question.kind.as_str(), question.step.as_str()), ("settle", "a"));
    assert_eq!(question.action.tool, "probe");
    assert_eq!(world.settle(run, "a", Settle::Happened).await, SettleOutcome::Settled);
    let row = world.rest(run).await;
    assert_state(&row, RunState::Success);
    assert_eq!(world.probe.steps(), ["a", "b"]);
    assert_eq!(error(&row, "a"), "settled by local admin: it happened");
}

#[tokio::test]
async fn what_a_person_says_did_not_happen_runs_again_and_what_is_left_stays() {
    let (world, run) = cut_off(&steps("  - { name: a, tool: probe }\n")).await;
    world.rest(run).await;
    world.settle(run, "a", Settle::NotHappened).await;
    assert_state(&world.rest(run).await, RunState::Success);
    assert_eq!(world.probe.steps(), ["a", "a"]);

    let (world, run) = cut_off(&steps("  - { name: a, tool: probe }\n")).await;
    world.rest(run).await;
    world.settle(run, "a", Settle::Leave).await;
    let row = world.row(run).await;
    assert_state(&row, RunState::InDoubt);
    assert!(row.ended_at.is_some());
    assert_eq!(world.notices().await.len(), 1);
    // The truth may still be told later.
    world.settle(run, "a", Settle::Happened).await;
    assert_state(
        &world.until(run, |row| row.state != RunState::InDoubt && row.ended_at.is_some()).await,
        RunState::Success,
    );
    assert_eq!(world.probe.steps(), ["a"]);
}

#[tokio::test]
async fn a_gated_step_that_did_not_happen_asks_again() {
    let mut world = World::new();
    world.probe.act("a", Act::Hold);
    world.workflow(&steps("  - { name: a, tool: probe, requires_approval: { from: [oncall] } }\n"));
    let run = world.start("w", nothing()).await;
    world.rest(run).await;
    world.approve(world.pending(run).await.id).await;
    world.probe.until_called(1).await;
    world.crash().await;
    world.wake();
    assert_state(&world.rest(run).await, RunState::InDoubt);
    world.settle(run, "a", Settle::NotHappened).await;
    let row = world.rest(run).await;
    assert_state(&row, RunState::Waiting);
    assert_eq!(world.pending(run).await.action.revision, 2);
    assert_eq!(world.probe.steps(), ["a"]);
}

#[tokio::test]
async fn repeatable_steps_that_were_cut_off_run_again() {
    for effect in ["idempotent", "read"] {
        let (world, run) = cut_off(&steps(&format!("  - {{ name: a, tool: probe, effect: {effect} }}\n"))).await;
        assert_state(&world.rest(run).await, RunState::Success);
        assert_eq!(world.probe.steps(), ["a", "a"]);
    }
}

#[tokio::test]
async fn verify_settles_what_was_cut_off() {
    for (code, state, calls) in [(0, RunState::Success, 1), (1, RunState::Success, 2), (2, RunState::InDoubt, 1)] {
        let text =
            steps(&format!("  - {{ name: a, tool: probe, verify: {{ argv: [\"sh\", \"-c\", \"exit {code}\"] }} }}\n"));
        let (world, run) = cut_off(&text).await;
        let row = world.rest(run).await;
        assert_state(&row, state);
        assert_eq!(world.probe.count("a"), calls, "verify ended with {code}");
    }
}

#[tokio::test]
async fn an_outcome_that_cannot_be_known_is_in_doubt_without_a_crash() {
    let world = World::new();
    world.probe.act("a", Act::Fail(ToolFailure::Unknown { message: "no answer came".into() }));
    let row = world.run(&steps("  - { name: a, tool: probe, retry: { max: 3, backoff: 1s } }\n"), nothing()).await;
    assert_state(&row, RunState::InDoubt);
    assert_eq!(error(&row, "a"), "whether it happened is not known: no answer came");
    assert_eq!(world.settle(run_of(&row), "b", Settle::Happened).await, SettleOutcome::Unknown);
}

fn run_of(row: &hookhand::ledger::runs::RunRow) -> hookhand::domain::ids::RunId {
    row.id
}

#[tokio::test]
async fn a_list_that_was_cut_off_goes_on_with_the_item_it_was_at() {
    let mut world = World::new();
    world.probe.act("each[1]", Act::Hold);
    world.workflow(&steps(
        "  - { name: each, tool: probe, effect: idempotent, for_each: payload.all, args: { say: \"{{ item }}\" } }\n",
    ));
    let run = world.start("w", json!({"all": [1, 2, 3]})).await;
    world.probe.until_called(2).await;
    world.crash().await;
    world.wake();
    let row = world.rest(run).await;
    assert_state(&row, RunState::Success);
    assert_eq!(world.probe.steps(), ["each[0]", "each[1]", "each[1]", "each[2]"]);
}

#[tokio::test]
async fn cancelling_a_run_that_was_cut_off_does_not_hide_that_its_step_may_have_happened() {
    // Before anybody holds it again, and after.
    for recovered in [false, true] {
        let mut world = World::new();
        world.probe.act("a", Act::Hold);
        world.workflow(&steps("  - { name: a, tool: probe }\n  - { name: b, tool: probe }\n"));
        let run = world.start("w", nothing()).await;
        world.probe.until_called(1).await;
        world.crash().await;
        if recovered {
            world.ledger.recover_runs(world.now()).await.expect("recovered");
        }
        world.engine.cancel(run, "ann").await.expect("cancelled");
        world.wake();
        let row = world.rest_ended(run).await;
        assert_state(&row, RunState::Cancelled);
        assert_eq!(states(&row), ["a: in_doubt", "b: skipped"]);
        assert_eq!(world.settle(run, "a", Settle::Happened).await, SettleOutcome::Settled);
        let row = world.row(run).await;
        assert_state(&row, RunState::Cancelled);
        assert_eq!((states(&row)[0].as_str(), world.probe.count("a")), ("a: success", 1));
    }
}

#[tokio::test]
async fn a_run_that_waits_for_a_child_in_doubt_says_so() {
    let world = World::new();
    world.probe.act("inner", Act::Fail(ToolFailure::Unknown { message: "no answer came".into() }));
    world.workflow("name: child\nsteps:\n  - { name: inner, tool: probe }\n");
    world.workflow(&steps("  - { name: call, tool: run_workflow, args: { workflow: child } }\n"));
    let run = world.start("w", nothing()).await;
    let row = world.until(run, |row| row.reason.as_deref().is_some_and(|why| why.contains("in doubt"))).await;
    let why = row.reason.unwrap_or_default();
    assert!(why.starts_with("waits for its child run_") && why.contains("until somebody settles it"), "{why}");
    assert!(row.ended_at.is_none());
}
