//! A step's turn has come: its condition is asked, its arguments are filled, its gate is asked, and it begins.
//!
//! Nothing happens outside here. What begins is written as `started` in the commit that comes before the effect.

use serde_json::Value;

use super::Core;
use super::call::{Begun, What};
use super::gate::{self, Gated};
use super::held::Held;
use super::plan::Place;
use super::special;
use crate::domain::run::{StepKind, StepState};
use crate::ledger::runs::StepRow;
use crate::tool::Call;
use crate::workflow::definition::{Rendered, StepBody, ToolStep};

/// Does what the turn of `place` asks for; what must run after the commit is given back.
pub(super) async fn begin(core: &Core, held: &mut Held, place: &Place<'_>) -> Option<Begun> {
    let mut row = held.row(place);
    let first_look = row.state == StepState::Ready && row.attempt == 0 && row.revision == 0 && place.item.is_none();
    if let (true, Some(when)) = (first_look, &place.step.when) {
        let scope = held.scope(place);
        match when.is_true(&scope) {
            Ok(true) => {}
            Ok(false) => {
                let words = when
                    .holds(&scope)
                    .err()
                    .unwrap_or_else(|| format!("the condition does not hold: {}", when.source()));
                held.put(ended(core, row, StepState::Skipped, words));
                return None;
            }
            Err(error) => {
                held.put(ended(core, row, StepState::Error, format!("when: {error}")));
                return None;
            }
        }
    }
    let StepBody::Tool(step) = &place.step.body else {
        row.state = StepState::Started;
        row.started_at = Some(core.deps.clock.now());
        held.put(row);
        return None;
    };
    if row.kind == StepKind::Loop {
        begin_loop(core, held, place, row);
        return None;
    }
    begin_tool(core, held, place, row, step).await
}

/// A row that ends without having begun.
pub(super) fn ended(core: &Core, mut row: StepRow, state: StepState, error: String) -> StepRow {
    row.state = state;
    row.error = Some(error);
    row.ended_at = Some(core.deps.clock.now());
    row.due_at = None;
    row
}

fn begin_loop(core: &Core, held: &mut Held, place: &Place<'_>, mut row: StepRow) {
    let scope = held.scope(place);
    match place.step.items(&scope) {
        Some(Ok(items)) => {
            held.items.insert(place.key.clone(), items);
            row.state = StepState::Started;
            row.started_at = Some(core.deps.clock.now());
            held.put(row);
        }
        Some(Err(error)) => held.put(ended(core, row, StepState::Error, error.to_string())),
        None => held.put(ended(core, row, StepState::Error, "it has no for_each".into())),
    }
}

async fn begin_tool(
    core: &Core,
    held: &mut Held,
    place: &Place<'_>,
    mut row: StepRow,
    step: &ToolStep,
) -> Option<Begun> {
    let scope = held.scope(place);
    let rendered = match step.render(&scope) {
        Ok(rendered) => rendered,
        Err(error) => {
            held.put(ended(core, row, StepState::Error, error.to_string()));
            return None;
        }
    };
    let effect = step.effect(&rendered.args);
    let call = Call { effect, ..call_of(held, place, &row, step, rendered) };
    let mut under = None;
    if let Some(wanted) = &step.gate {
        match gate::check(core, held, &row, &call, step).await {
            Gated::Open { approved } => under = Some(approved),
            Gated::Unreadable(why) => {
                held.put(ended(core, row, StepState::Error, why));
                return None;
            }
            Gated::Ask { action, closed } => {
                gate::ask(core, held, row, wanted, action, closed);
                return None;
            }
        }
    }
    if special::is_special(step.tool.name) {
        special::begin(core, held, row, step, &call);
        return None;
    }
    let Some(tool) = core.deps.tools.get(step.tool.name) else {
        let words = format!("the tool {} cannot be used here", step.tool.name);
        held.put(ended(core, row, StepState::Error, words));
        return None;
    };
    row.state = StepState::Started;
    row.attempt += 1;
    row.effect = Some(effect);
    row.error = None;
    row.started_at = Some(core.deps.clock.now());
    row.ended_at = None;
    row.due_at = None;
    row.epoch = held.epoch;
    row.tainted = !call.tainted.is_empty() || is_fed(step, &held.context.payload);
    let call = Call { attempt: row.attempt, ..call };
    let begun = Begun { key: place.key.clone(), what: What::Step, tool, call, approved: under };
    held.put(row);
    Some(begun)
}

/// Whether a payload reaches the step without a template: processes read it on their standard input.
fn is_fed(step: &ToolStep, payload: &Value) -> bool {
    // A model is asked about the payload where the step names no data; what it answers is then the payload's too.
    // Another program says what it likes, whatever it was asked.
    if step.tool.is_foreign() {
        return true;
    }
    let reads = step.tool.risk == crate::domain::run::Risk::Execute || step.tool.name == "model_prompt";
    reads && !payload.is_null()
}

/// The call of a step, filled.
pub(super) fn call_of(held: &Held, place: &Place<'_>, row: &StepRow, step: &ToolStep, rendered: Rendered) -> Call {
    let Rendered { args, tainted, tainted_first } = rendered;
    Call {
        args,
        tainted,
        tainted_first,
        payload: held.context.payload.clone(),
        run: held.run.id,
        step: place.key.clone(),
        attempt: row.attempt,
        idempotency_key: format!("{}/{}", held.run.id, place.key),
        timeout: step.timeout.unwrap_or(step.tool.timeout_default),
        effect: crate::domain::run::Effect::Once,
    }
}
