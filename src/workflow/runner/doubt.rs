//! Steps that may or may not have happened (P3): `verify` is asked where there is one, else people.

use super::Core;
use super::call::{Begun, What};
use super::gate::{action_of, approvers};
use super::held::Held;
use super::plan::Place;
use super::prepare::call_of;
use crate::domain::approval::{Action, ApprovalKind};
use crate::domain::ids::ApprovalId;
use crate::domain::run::StepState;
use crate::ledger::runs::NewApproval;
use crate::tool::Call;
use crate::workflow::definition::{Rendered, ToolStep};

/// The tool that `verify` is a call of.
const VERIFY_TOOL: &str = "shell_exec";

/// Asks `verify`, or else people.
pub(super) async fn doubt(core: &Core, held: &mut Held, place: &Place<'_>, step: &ToolStep) -> Option<Begun> {
    if let Some(begun) = ask_verify(core, held, place, step) {
        let mut row = held.row(place);
        // Still `started`, under this epoch: a crash while `verify` runs asks it again.
        row.state = StepState::Started;
        row.epoch = held.epoch;
        held.put(row);
        return Some(begun);
    }
    ask_people(core, held, place, step).await;
    None
}

fn ask_verify(core: &Core, held: &mut Held, place: &Place<'_>, step: &ToolStep) -> Option<Begun> {
    let verify = step.verify.as_ref()?;
    let tool = core.deps.tools.get(VERIFY_TOOL)?;
    let scope = held.scope(place);
    let own = step.render(&scope).map(|rendered| rendered.args).unwrap_or_default();
    let rendered = verify.render(&scope, &own).ok()?;
    let row = held.row(place);
    let Rendered { args, tainted, tainted_first } = rendered;
    let call = Call {
        args,
        tainted,
        tainted_first,
        timeout: tool.spec().timeout_default,
        ..call_of(held, place, &row, step, Rendered::default())
    };
    Some(Begun { key: place.key.clone(), what: What::Verify, tool, call, approved: None })
}

/// The step is `in_doubt`, and people are asked what became of it.
pub(super) async fn ask_people(core: &Core, held: &mut Held, place: &Place<'_>, step: &ToolStep) {
    let now = core.deps.clock.now();
    let mut row = held.row(place);
    let why = row.error.clone().unwrap_or_else(|| "the agent ended while it ran".into());
    row.state = StepState::InDoubt;
    row.error = Some(format!("whether it happened is not known: {why}"));
    row.due_at = None;
    let action = what_ran(core, held, place, step).await;
    held.ask(NewApproval {
        id: ApprovalId::new(core.deps.ids.ulid(now)),
        kind: ApprovalKind::Settle,
        step: place.key.clone(),
        digest: action.digest(),
        action,
        approvers: step.gate.as_ref().map(approvers).unwrap_or_default(),
        votes_needed: 1,
        expires_at: None,
        remind_every: None,
        note: Some(why),
    });
    held.put(row);
}

/// The action, rendered from what was known when it began.
async fn what_ran(core: &Core, held: &mut Held, place: &Place<'_>, step: &ToolStep) -> Action {
    let scope = held.scope(place);
    let rendered = step.render(&scope).unwrap_or_default();
    let row = held.row(place);
    let call = call_of(held, place, &row, step, rendered);
    action_of(core, held, &call, step.tool.name, row.revision.max(1)).await
}
