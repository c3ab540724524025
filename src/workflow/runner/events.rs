//! Events that steps wait for: each is shown to the waits of its handler, and the first that wants it has it.

use std::sync::Arc;

use serde_json::Value;

use super::Core;
use super::held::scope_of;
use crate::domain::ids::{EventId, RunId};
use crate::ledger::LedgerError;
use crate::ledger::runs::{EventWait, RunContext};
use crate::workflow::expr::Expr;

/// Waits that are read at once.
const WAITS_PAGE: usize = 100;

/// Shows an event to the waits of its handler; how many it ended.
pub(in crate::workflow) async fn arrived(
    core: &Arc<Core>,
    event: EventId,
    context: &RunContext,
) -> Result<usize, LedgerError> {
    let text = |key: &str| context.event.get(key).and_then(Value::as_str).unwrap_or_default();
    let (mut ended, mut seen) = (0, 0);
    loop {
        let waits = core.deps.ledger.event_waits(text("handler"), seen, WAITS_PAGE).await?;
        let Some(last) = waits.last() else { return Ok(ended) };
        seen = last.id;
        for wait in waits.iter().filter(|wait| is_meant(&wait.wait.events, text("event"))) {
            if !holds(wait, context) {
                continue;
            }
            let output = serde_json::json!({ "event": context.event, "payload": context.payload });
            let now = core.deps.clock.now();
            if core.deps.ledger.event_matched(wait.id, event, super::settle::bounded_value(output), now).await? {
                core.poke(wait.run);
                ended += 1;
            }
        }
    }
}

/// The runs with a step that would take an event. Nothing is changed.
pub(in crate::workflow) async fn wanted(core: &Arc<Core>, context: &RunContext) -> Result<Vec<RunId>, LedgerError> {
    let text = |key: &str| context.event.get(key).and_then(Value::as_str).unwrap_or_default();
    let (mut runs, mut seen) = (Vec::new(), 0);
    loop {
        let waits = core.deps.ledger.event_waits(text("handler"), seen, WAITS_PAGE).await?;
        let Some(last) = waits.last() else { return Ok(runs) };
        seen = last.id;
        let meant = waits.iter().filter(|wait| is_meant(&wait.wait.events, text("event")));
        for wait in meant.filter(|wait| holds(wait, context)) {
            if !runs.contains(&wait.run) {
                runs.push(wait.run);
            }
        }
    }
}

/// Whether an event's type is among those that are waited for; `pull_request` covers `pull_request.opened`.
fn is_meant(events: &[String], event: &str) -> bool {
    let covers = |wanted: &String| {
        event == wanted || event.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('.'))
    };
    events.is_empty() || events.iter().any(covers)
}

fn holds(wait: &EventWait, arrived: &RunContext) -> bool {
    let Some(source) = &wait.wait.when else { return true };
    let RunContext { payload, event, facts, inputs: _ } = arrived.clone();
    let scope = scope_of(&wait.context).arriving_value(event, payload, facts);
    // A condition that cannot be asked of this event does not hold for it.
    Expr::compile(source).and_then(|when| when.is_true(&scope)).unwrap_or_else(|error| {
        tracing::info!(run.id = %wait.run, %error, "a waiting step's condition cannot be asked of an event");
        false
    })
}
