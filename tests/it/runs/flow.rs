//! The order of steps, conditions, lists, groups, failures, time, children, events.

use std::time::Duration;

use hookhand::domain::ids::EventId;
use hookhand::domain::run::RunState;
use hookhand::ledger::runs::{CancelOutcome, RetryOutcome, RunContext};
use hookhand::tool::ToolFailure;
use hookhand::workflow::engine::StartError;
use serde_json::{Value, json};
use ulid::Ulid;

use super::world::{Act, World, assert_state, error, nothing, output, states, steps};

fn event(number: u64) -> EventId {
    EventId::new(Ulid::from_parts(number, 1))
}

#[tokio::test]
async fn steps_run_in_order_and_the_notice_reads_as_the_reference_shows() {
    let world = World::new();
    world.workflow(
        "name: deploy-notify\ndescription: Notify on deployment events\ntrigger: webhook\nenabled: true\nsteps:\n  - name: log-event\n    tool: probe\n    args: { say: one }\n  - name: record-in-memory\n    tool: memory_store\n    args: { section: Deployments, fact: \"Deployment event received\" }\n",
    );
    let run = world.start("deploy-notify", json!({"ref": "refs/heads/main"})).await;
    let row = world.rest(run).await;
    assert_state(&row, RunState::Success);
    assert_eq!(states(&row), ["log-event: success", "record-in-memory: success"]);
    assert_eq!(
        world.notices().await,
        ["Webhook 'deploy-notify' triggered workflow:\n  log-event: success\n  record-in-memory: success"]
    );
}

#[tokio::test]
async fn one_event_starts_a_workflow_once_and_every_workflow_tells_its_own_outcome() {
    let world = World::new();
    world.workflow(&steps("  - { name: a, tool: probe }\n"));
    world.workflow("name: v\nsteps:\n  - { name: a, tool: probe }\n");
    let mut request = world.request("w", nothing());
    request.event = Some(event(1));
    let first = world.engine.start(request.clone()).await.expect("started");
    world.rest(first.run).await;
    let again = world.engine.start(request.clone()).await.expect("answered");
    assert_eq!((again.run, again.existed, again.state), (first.run, true, RunState::Success));
    request.workflow = "v".into();
    let other = world.engine.start(request).await.expect("started");
    assert!(!other.existed);
    world.rest(other.run).await;
    assert_eq!(world.probe.steps(), ["a", "a"]);
    assert_eq!(world.notices().await.len(), 2);
}

#[tokio::test]
async fn an_unknown_or_disabled_workflow_does_not_start() {
    let world = World::new();
    world.workflow("name: w\nenabled: false\nsteps:\n  - { name: a, tool: probe }\n");
    let refused = |name: &str| world.engine.start(world.request(name, nothing()));
    assert_eq!(refused("w").await, Err(StartError::Disabled("w".into())));
    assert_eq!(refused("x").await, Err(StartError::Unknown("x".into())));
}

#[tokio::test]
async fn values_flow_from_step_to_step() {
    let world = World::new();
    let row = world
        .run(
            &steps(
                "  - { name: a, tool: probe, args: { say: \"{{ payload.n }}\" } }\n  - { name: no, tool: probe, when: payload.n > 10 }\n  - { name: b, tool: probe, when: steps.a.status == \"success\", args: { say: \"{{ previous_output }} {{ steps.a.output }} {{ steps.no.status }}\" } }\n",
            ),
            json!({"n": 3}),
        )
        .await;
    assert_state(&row, RunState::Success);
    assert_eq!(states(&row), ["a: success", "no: skipped", "b: success"]);
    assert_eq!(output(&row, "b"), json!("3 3 skipped"));
    assert_eq!(error(&row, "no"), "n is not above 10");
}

#[tokio::test]
async fn a_step_whose_condition_compares_different_kinds_fails() {
    let world = World::new();
    let text = steps("  - { name: a, tool: probe, when: payload.amount < 100 }\n");
    for amount in [json!(null), json!("5"), json!("5000")] {
        let row = world.run(&text, json!({ "amount": amount })).await;
        assert_state(&row, RunState::Error);
        assert!(error(&row, "a").contains("and < compares it with a number"), "{}", error(&row, "a"));
    }
    assert!(world.probe.steps().is_empty());
    let long: Value = serde_json::from_str("123456789012345678901234567890").expect("JSON");
    let text = steps("  - { name: a, tool: probe, args: { say: \"x{{ payload.v }}\" } }\n");
    let row = world.run(&text, json!({ "v": long })).await;
    assert_eq!(states(&row), ["a: error"]);
    assert!(error(&row, "a").contains("payload.v is a number beyond 64 bits"), "{}", error(&row, "a"));
}

#[tokio::test]
async fn a_list_is_done_item_by_item_and_gives_a_list() {
    let world = World::new();
    let text = steps(
        "  - { name: each, tool: probe, for_each: payload.hosts, args: { say: \"{{ item.name }}\" } }\n  - { name: after, tool: probe, args: { say: \"{{ previous_output }}\" } }\n",
    );
    let row = world.run(&text, json!({"hosts": [{"name": "a"}, {"name": "b"}]})).await;
    assert_state(&row, RunState::Success);
    assert_eq!(states(&row), ["each: success", "each[0]: success", "each[1]: success", "after: success"]);
    assert_eq!(output(&row, "after"), json!(["a", "b"]));
    let empty = world.run(&text, json!({"hosts": []})).await;
    assert_eq!(output(&empty, "each"), json!([]));
    let wrong = world.run(&text, json!({"hosts": "a"})).await;
    assert_state(&wrong, RunState::Error);
    assert!(error(&wrong, "each").contains("for_each"), "{}", error(&wrong, "each"));
}

#[tokio::test]
async fn a_list_ends_at_its_first_failure_unless_it_goes_on() {
    let world = World::new();
    for (goes_on, calls, state) in [("", 2, RunState::Error), (", on_error: continue", 3, RunState::Success)] {
        world.probe.act("each[1]", Act::Fail(ToolFailure::failed("no")));
        let before = world.probe.steps().len();
        let text = steps(&format!(
            "  - {{ name: each, tool: probe, for_each: payload.all{goes_on}, args: {{ say: \"{{{{ item }}}}\" }} }}\n"
        ));
        let row = world.run(&text, json!({"all": [1, 2, 3]})).await;
        assert_state(&row, state);
        assert_eq!(world.probe.steps().len() - before, calls);
        assert_eq!(error(&row, "each"), "each[1]: no");
    }
}

#[tokio::test]
async fn a_group_runs_side_by_side_and_gives_what_each_gave() {
    let world = World::new();
    world.probe.act("a", Act::Hold);
    world.probe.act("b", Act::Hold);
    world.workflow(&steps("  - name: both\n    parallel:\n      - { name: a, tool: probe, args: { say: 1 } }\n      - { name: b, tool: probe, args: { say: 2 } }\n  - { name: after, tool: probe, args: { say: \"{{ steps.both.output }}\" } }\n"));
    let run = world.start("w", nothing()).await;
    world.probe.until_called(2).await;
    world.probe.release();
    let row = world.rest(run).await;
    assert_state(&row, RunState::Success);
    assert_eq!(output(&row, "after"), json!({"a": 1, "b": 2}));
}

#[tokio::test]
async fn a_failure_ends_the_run_and_on_failure_is_told() {
    let world = World::new();
    world.probe.act("bad", Act::Fail(ToolFailure::failed("it broke")));
    let text = "name: w\nsteps:\n  - { name: bad, tool: probe }\n  - { name: never, tool: probe }\non_failure:\n  - { name: tell, tool: probe, args: { say: \"Failed at {{ error.step }}: {{ error.message }}\" } }\n";
    let row = world.run(text, nothing()).await;
    assert_state(&row, RunState::Error);
    assert_eq!(row.reason.as_deref(), Some("bad: it broke"));
    assert_eq!(states(&row), ["bad: error", "never: skipped", "tell: success"]);
    assert_eq!(output(&row, "tell"), json!("Failed at bad: it broke"));
    assert_eq!(
        world.notices().await,
        ["Webhook 'w' triggered workflow:\n  bad: error (it broke)\n  never: skipped\n  tell: success"]
    );
}

#[tokio::test]
async fn a_failure_that_is_allowed_does_not_end_the_run() {
    let world = World::new();
    world.probe.act("bad", Act::Fail(ToolFailure::failed("it broke")));
    let text = steps(
        "  - { name: bad, tool: probe, on_error: continue }\n  - { name: after, tool: probe, args: { say: \"{{ steps.bad.error }}\" } }\n",
    );
    let row = world.run(&text, nothing()).await;
    assert_state(&row, RunState::Success);
    assert_eq!(output(&row, "after"), json!("it broke"));
}

#[tokio::test]
async fn a_repeatable_step_is_tried_again_after_its_wait_and_keeps_its_key() {
    let world = World::new();
    world.probe.act("a", Act::Fail(ToolFailure::failed("1")));
    world.probe.act("a", Act::Fail(ToolFailure::failed("2")));
    let text = steps(
        "  - { name: a, tool: probe, effect: idempotent, retry: { max: 2, backoff: 5s }, args: { say: done } }\n",
    );
    world.workflow(&text);
    let run = world.start("w", nothing()).await;
    let row = world.clock.run_until(world.rest_ended(run)).await;
    assert_state(&row, RunState::Success);
    let calls = world.probe.calls();
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(calls.iter().all(|call| call.idempotency_key == calls[0].idempotency_key));
    assert_eq!(row.steps[0].attempt, 3);
}

#[tokio::test]
async fn a_once_step_is_tried_again_only_when_it_certainly_never_began() {
    let world = World::new();
    let text = steps("  - { name: a, tool: probe, retry: { max: 3, backoff: 1s } }\n");
    world.probe.act("a", Act::Fail(ToolFailure::never_began("no such program")));
    world.probe.act("a", Act::Fail(ToolFailure::failed("exit code 3")));
    world.workflow(&text);
    let run = world.start("w", nothing()).await;
    let row = world.clock.run_until(world.rest_ended(run)).await;
    assert_state(&row, RunState::Error);
    assert_eq!(world.probe.count("a"), 2);
    assert_eq!(error(&row, "a"), "exit code 3");
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped_and_on_failure_runs() {
    let world = World::new();
    world.probe.act("long", Act::Hold);
    world.workflow("name: w\ntimeout: 30s\nsteps:\n  - { name: long, tool: probe }\n  - { name: never, tool: probe }\non_failure:\n  - { name: tell, tool: probe }\n");
    let run = world.start("w", nothing()).await;
    world.probe.until_called(1).await;
    world.clock.advance(Duration::from_secs(31));
    let row = world.rest(run).await;
    assert_state(&row, RunState::Error);
    assert_eq!(states(&row), ["long: error", "never: skipped", "tell: success"]);
    assert!(error(&row, "long").contains("the run took longer than 30s"), "{}", error(&row, "long"));
}

#[tokio::test]
async fn cancelling_kills_what_runs_and_nothing_follows() {
    let world = World::new();
    world.probe.act("long", Act::Hold);
    world.workflow("name: w\nsteps:\n  - { name: long, tool: probe }\n  - { name: never, tool: probe }\non_failure:\n  - { name: tell, tool: probe }\n");
    let run = world.start("w", nothing()).await;
    world.probe.until_called(1).await;
    assert_eq!(world.engine.cancel(run, "telegram:7").await, Ok(CancelOutcome::Asked));
    let row = world.rest(run).await;
    assert_state(&row, RunState::Cancelled);
    assert_eq!(row.reason.as_deref(), Some("cancelled by user 7"));
    assert_eq!(states(&row), ["long: cancelled", "never: skipped"]);
    assert_eq!(world.probe.steps(), ["long"]);
    assert_eq!(world.engine.cancel(run, "ann").await, Ok(CancelOutcome::AlreadyEnded { state: RunState::Cancelled }));
    let notices = world.notices().await;
    assert_eq!(
        notices,
        [
            "Webhook 'w' triggered workflow:\n  long: cancelled (stopped while it ran; part of it may have been done)\n  never: skipped\nThe run was cancelled by user 7."
        ]
    );
}

#[tokio::test]
async fn runs_with_one_key_wait_in_the_order_of_their_start() {
    let world = World::new();
    let text = "name: w\nconcurrency: { key: \"{{ payload.repo }}\", limit: 1 }\nsteps:\n  - { name: a, tool: probe, args: { say: \"{{ payload.n }}\" } }\n";
    world.workflow(text);
    world.probe.act("a", Act::Hold);
    let first = world.start("w", json!({"repo": "x", "n": 1})).await;
    world.probe.until_called(1).await;
    let second = world.start("w", json!({"repo": "x", "n": 2})).await;
    let third = world.start("w", json!({"repo": "x", "n": 3})).await;
    let other = world.start("w", json!({"repo": "y", "n": 9})).await;
    world.rest(other).await;
    assert!(world.row(second).await.queued && world.row(third).await.queued);
    let why = world.row(third).await.reason.unwrap_or_default();
    assert_eq!(why, format!("waits for its turn behind {first}, which has its concurrency key and is running"));
    assert_eq!(world.probe.said(), [json!(1), json!(9)]);
    world.probe.release();
    world.rest(third).await;
    world.rest(first).await;
    assert_eq!(world.probe.said(), [json!(1), json!(9), json!(2), json!(3)]);
}

#[tokio::test]
async fn a_child_run_gives_its_output_and_fails_its_step() {
    let world = World::new();
    world.workflow(
        "name: child\ntrigger: manual\nsteps:\n  - { name: inner, tool: probe, args: { say: \"{{ inputs.x }}\" } }\n",
    );
    let text = steps(
        "  - { name: call, tool: run_workflow, args: { workflow: child, inputs: { x: \"{{ payload.v }}\" } } }\n",
    );
    let row = world.run(&text, json!({"v": 5})).await;
    assert_state(&row, RunState::Success);
    assert_eq!(output(&row, "call")["output"], json!(5));
    world.probe.act("inner", Act::Fail(ToolFailure::failed("no")));
    let row = world.run(&text, json!({"v": 6})).await;
    assert_state(&row, RunState::Error);
    assert!(error(&row, "call").ends_with("ended as error: inner: no"), "{}", error(&row, "call"));
    // Only runs of their own tell their outcome.
    assert_eq!(world.notices().await.len(), 2);
}

#[tokio::test]
async fn workflows_that_call_each_other_come_to_an_end() {
    let world = World::new();
    let calls = |name: &str, more: &str, other: &str| {
        format!("name: {name}\n{more}steps:\n  - {{ name: call, tool: run_workflow, args: {{ workflow: {other} }} }}\n")
    };
    world.workflow(&calls("v", "", "w"));
    let row = world.run(&calls("w", "", "v"), nothing()).await;
    assert_state(&row, RunState::Error);
    let all = hookhand::ledger::RunLedger::runs(&*world.ledger, hookhand::ledger::runs::RunFilter::default()).await;
    assert_eq!(all.expect("listed").items.len(), 9);
    let limited = world.run(&calls("w", "concurrency: { limit: 1 }\n", "v"), nothing()).await;
    assert_state(&limited, RunState::Error);
    assert!(error(&limited, "call").contains("ended as error"), "{}", error(&limited, "call"));
}

#[tokio::test]
async fn cancelling_a_run_cancels_its_child() {
    let world = World::new();
    world.probe.act("inner", Act::Hold);
    world.workflow("name: child\nsteps:\n  - { name: inner, tool: probe }\n");
    world.workflow(&steps("  - { name: call, tool: run_workflow, args: { workflow: child } }\n"));
    let run = world.start("w", nothing()).await;
    world.probe.until_called(1).await;
    world.engine.cancel(run, "ann").await.expect("cancelled");
    assert_state(&world.rest(run).await, RunState::Cancelled);
    let all = hookhand::ledger::RunLedger::runs(&*world.ledger, hookhand::ledger::runs::RunFilter::default()).await;
    let child = all.expect("listed").items.into_iter().find(|row| row.workflow == "child").expect("a child");
    assert_state(&world.rest(child.id).await, RunState::Cancelled);
}

fn arriving(number: u64, kind: &str) -> (EventId, RunContext) {
    let context = RunContext {
        payload: json!({"number": number}),
        event: json!({"id": event(number).to_string(), "handler": "github", "event": kind}),
        ..RunContext::default()
    };
    (event(number), context)
}

#[tokio::test]
async fn a_step_waits_for_the_event_it_means_and_one_event_ends_one_wait() {
    let mut world = World::new();
    world.workflow(&steps("  - { name: first, tool: wait_for_event, args: { handler: github, events: [check_run], when: payload.number > 1, timeout: 1h } }\n  - { name: second, tool: wait_for_event, args: { handler: github, timeout: 1h } }\n  - { name: after, tool: probe, args: { say: \"{{ steps.first.output.payload.number }}\" } }\n"));
    let run = world.start("w", nothing()).await;
    // The engine sleeps for other reasons too; the wait is there once the run is given back.
    world.until(run, |row| row.state == RunState::Waiting && row.steps[0].state.as_str() == "waiting").await;
    for (number, kind, ended) in [(1, "check_run.completed", 0), (2, "push", 0), (3, "check_run.completed", 1)] {
        let (id, context) = arriving(number, kind);
        assert_eq!(world.engine.event_arrived(id, &context).await, Ok(ended), "event {number}");
    }
    // The wait survives a restart; the event that ended the first one cannot end the second.
    world.stop().await;
    world.engine = world.fresh_engine();
    world.wake();
    while world.row(run).await.steps[1].state.as_str() != "waiting" || world.row(run).await.state != RunState::Waiting {
        tokio::task::yield_now().await;
    }
    let (id, context) = arriving(3, "check_run.completed");
    assert_eq!(world.engine.event_arrived(id, &context).await, Ok(0));
    let (id, context) = arriving(4, "push");
    assert_eq!(world.engine.event_arrived(id, &context).await, Ok(1));
    let row = world.rest(run).await;
    assert_state(&row, RunState::Success);
    assert_eq!(output(&row, "after"), json!(3));
}

#[tokio::test]
async fn an_event_is_shown_to_everybody_who_waits_however_many() {
    let world = World::new();
    world.workflow(&steps("  - { name: first, tool: wait_for_event, args: { handler: github, timeout: 1h } }\n"));
    let mut runs = Vec::new();
    for number in 0..120 {
        runs.push(world.start("w", json!({ "number": number })).await);
    }
    for run in &runs {
        world.until(*run, |row| row.steps[0].state.as_str() == "waiting").await;
    }
    let (id, context) = arriving(1, "push");
    assert_eq!(world.engine.event_arrived(id, &context).await, Ok(runs.len()));
}

#[tokio::test]
async fn a_wait_that_is_over_fails_its_step() {
    let world = World::new();
    world.workflow(&steps("  - { name: first, tool: wait_for_event, args: { handler: github, timeout: 1h } }\n"));
    let run = world.start("w", nothing()).await;
    let row = world.clock.run_until(world.rest_ended(run)).await;
    assert_state(&row, RunState::Error);
    assert_eq!(error(&row, "first"), "no such event came in time");
}

#[tokio::test]
async fn a_run_that_failed_goes_on_from_its_failed_step_and_asks_again() {
    let world = World::new();
    world.probe.act("gated", Act::Fail(ToolFailure::failed("it broke")));
    world.workflow(&steps("  - { name: a, tool: probe }\n  - { name: gated, tool: probe, requires_approval: { from: [oncall] }, args: { say: x } }\n  - { name: after, tool: probe }\n"));
    let run = world.start("w", nothing()).await;
    world.rest(run).await;
    let first = world.pending(run).await;
    world.approve(first.id).await;
    assert_state(&world.rest(run).await, RunState::Error);
    assert_eq!(world.engine.retry(run, "ann").await, Ok(RetryOutcome::Again));
    world.rest(run).await;
    let second = world.pending(run).await;
    assert_eq!((second.action.revision, world.probe.count("gated")), (2, 1));
    assert_ne!(second.digest, first.digest);
    world.approve(second.id).await;
    let row = world.rest(run).await;
    assert_state(&row, RunState::Success);
    assert_eq!(world.probe.steps(), ["a", "gated", "gated", "after"]);
    assert_eq!(world.engine.retry(run, "ann").await, Ok(RetryOutcome::NotFailed { state: RunState::Success }));
}

#[tokio::test]
async fn large_outputs_are_cut_and_say_so() {
    let world = World::new();
    world.probe.act("a", Act::Give(Value::String("é".repeat(60_000))));
    let row = world.run(&steps("  - { name: a, tool: probe }\n"), nothing()).await;
    assert_state(&row, RunState::Success);
    assert!(row.steps[0].truncated);
    assert_eq!(output(&row, "a").as_str().expect("a text").len(), 64 * 1024);
}

#[tokio::test]
async fn a_softly_stopped_engine_finishes_the_step_and_the_next_one_goes_on() {
    let mut world = World::new();
    world.probe.act("a", Act::Hold);
    world.workflow(&steps("  - { name: a, tool: probe }\n  - { name: b, tool: probe }\n"));
    let run = world.start("w", nothing()).await;
    world.probe.until_called(1).await;
    let probe = world.probe.clone();
    tokio::join!(world.stop(), async move {
        tokio::task::yield_now().await;
        probe.release();
    });
    assert_eq!(states(&world.row(run).await), ["a: success", "b: ready"]);
    world.engine = world.fresh_engine();
    world.wake();
    assert_state(&world.rest(run).await, RunState::Success);
    assert_eq!(world.probe.steps(), ["a", "b"]);
}
