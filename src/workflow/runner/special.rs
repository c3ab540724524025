//! The two steps that the engine carries out itself: a child run, and the wait for another event. Neither keeps a worker.

use serde_json::Value;

use super::Core;
use super::held::Held;
use super::prepare::ended;
use crate::domain::duration;
use crate::domain::ids::RunId;
use crate::domain::run::{RunSource, StepState};
use crate::ledger::runs::{NewEventWait, NewRun, ParentStep, RunContext, StepRow};
use crate::tool::Call;
use crate::workflow::definition::ToolStep;

/// Whether the engine carries out this tool.
pub(super) fn is_special(tool: &str) -> bool {
    matches!(tool, "run_workflow" | "wait_for_event")
}

/// Begins the child run or the wait; the step waits.
pub(super) fn begin(core: &Core, held: &mut Held, mut row: StepRow, step: &ToolStep, call: &Call) {
    let now = core.deps.clock.now();
    row.effect = Some(step.effect(&call.args));
    row.attempt += 1;
    row.started_at = Some(now);
    row.error = None;
    row.state = StepState::Waiting;
    if step.tool.name == "run_workflow" {
        row.due_at = Some(now + call.timeout);
        begin_child(core, held, row, call);
        return;
    }
    let given = call.args.get("timeout").and_then(Value::as_str).and_then(|text| duration::parse(text).ok());
    let expires_at = now + step.timeout.or(given).unwrap_or(step.tool.timeout_default);
    let texts = |name: &str| {
        let items = call.args.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    row.due_at = Some(expires_at);
    held.await_event(NewEventWait {
        step: row.key.clone(),
        handler: call.args.get("handler").and_then(Value::as_str).unwrap_or_default().to_owned(),
        events: texts("events"),
        when: call.args.get("when").and_then(Value::as_str).map(str::to_owned),
        expires_at: Some(expires_at),
    });
    held.put(row);
}

fn begin_child(core: &Core, held: &mut Held, row: StepRow, call: &Call) {
    let name = call.args.get("workflow").and_then(Value::as_str).unwrap_or_default();
    let Some(workflow) = core.deps.workflows.get(name) else {
        held.put(ended(core, row, StepState::Error, format!("there is no workflow '{name}'")));
        return;
    };
    if !workflow.enabled {
        held.put(ended(core, row, StepState::Error, format!("the workflow '{name}' is disabled")));
        return;
    }
    let now = core.deps.clock.now();
    let context = RunContext {
        payload: held.context.payload.clone(),
        event: held.context.event.clone(),
        facts: held.context.facts.clone(),
        inputs: call.args.get("inputs").cloned().unwrap_or(Value::Null),
    };
    let base = NewRun {
        id: RunId::new(core.deps.ids.ulid(now)),
        workflow: String::new(),
        workflow_hash: String::new(),
        definition: String::new(),
        event: None,
        source: RunSource::Child,
        started_by: format!("{} of {}", row.key, held.run.id),
        parent: Some(ParentStep { run: held.run.id, step: row.key.clone() }),
        chat: held.run.chat.clone(),
        context,
        steps: Vec::new(),
        concurrency: None,
        deadline_at: None,
        at: now,
    };
    match super::fill(base, &workflow) {
        Ok(child) => {
            let key = row.key.clone();
            held.put(row);
            held.start_child(&key, child);
        }
        Err(error) => held.put(ended(core, row, StepState::Error, error)),
    }
}
