//! Runs over the API. Whoever calls is the local admin: the engine is asked like by any channel, and its answer is the truth.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use warp::reply::Response;

use super::approvals::From;
use super::call::{Call, ok};
use crate::dashboard::ADMIN;
use crate::dashboard::problem::Problem;
use crate::domain::approval::Settle;
use crate::domain::ids::RunId;
use crate::domain::run::StepState;
use crate::ledger::runs::{CancelOutcome, RetryOutcome, RunFilter, RunRow, SettleOutcome};
use crate::workflow::engine::{Decider, SettleRequest};

/// What the steps of a run left behind.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Artifacts {
    run_id: RunId,
    workflow: String,
    items: Vec<Artifact>,
    /// Always `null`: all of them are here.
    next: Option<String>,
}

/// What one step left behind.
#[derive(Debug, Serialize, JsonSchema)]
struct Artifact {
    step: String,
    tool: Option<String>,
    state: StepState,
    attempt: u32,
    output: Option<Value>,
    /// Whether the output was cut.
    truncated: bool,
    error: Option<String>,
}

/// What became of a wish about a run.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Changed {
    /// `cancelled`, `stopping`, `running` or `settled`.
    status: &'static str,
    run_id: RunId,
    /// The word that settled a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Settle>,
}

/// A word on a step that may or may not have happened.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settlement {
    /// The step.
    step: String,
    /// The word.
    #[schemars(with = "Settle")]
    verdict: String,
    /// From where; `api` when it is left out.
    #[serde(default)]
    channel: Option<From>,
}

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let filter = RunFilter {
        workflow: call.text("workflow"),
        state: call.get_as("state")?,
        event: call.get_as("event")?,
        since: call.time("since")?,
        limit: call.number("limit")?.unwrap_or_default(),
        cursor: call.text("cursor"),
    };
    ok(&call.api.triggers.engine.ledger().runs(filter).await?)
}

pub(super) async fn one(call: Call) -> Result<Response, Problem> {
    ok(&run(&call).await?)
}

pub(super) async fn artifacts(call: Call) -> Result<Response, Problem> {
    let run = run(&call).await?;
    let steps = run.steps.into_iter().filter(|step| step.output.is_some() || step.error.is_some());
    let items = steps.map(|step| Artifact {
        step: step.name,
        tool: step.tool,
        state: step.state,
        attempt: step.attempt,
        output: step.output,
        truncated: step.truncated,
        error: step.error,
    });
    ok(&Artifacts { run_id: run.id, workflow: run.workflow, items: items.collect(), next: None })
}

pub(super) async fn cancel(call: Call) -> Result<Response, Problem> {
    let run_id = call.var_as(0)?;
    match call.api.triggers.engine.cancel(run_id, ADMIN).await? {
        CancelOutcome::Ended { .. } => ok(&Changed { status: "cancelled", run_id, verdict: None }),
        CancelOutcome::Asked => ok(&Changed { status: "stopping", run_id, verdict: None }),
        CancelOutcome::AlreadyEnded { state } => Err(Problem::conflict(format!("{run_id} has ended: {state}"))),
        CancelOutcome::Unknown => Err(no_run(run_id)),
    }
}

pub(super) async fn retry(call: Call) -> Result<Response, Problem> {
    let run_id = call.var_as(0)?;
    match call.api.triggers.engine.retry(run_id, ADMIN).await? {
        RetryOutcome::Again => ok(&Changed { status: "running", run_id, verdict: None }),
        RetryOutcome::NotFailed { state } => {
            Err(Problem::conflict(format!("only a run that failed can go on; {run_id} is {state}")))
        }
        RetryOutcome::Unknown => Err(no_run(run_id)),
    }
}

pub(super) async fn settle(call: Call) -> Result<Response, Problem> {
    let run = call.var_as(0)?;
    let Settlement { step, verdict, channel } = call.read()?;
    let verdict: Settle =
        verdict.parse().map_err(|_| Problem::bad_request("verdict is happened, not-happened or leave"))?;
    let channel = channel.unwrap_or_default().as_str().to_owned();
    let request = SettleRequest { run, step, verdict, by: Decider::LocalAdmin, channel, nonce: None };
    match call.api.triggers.engine.settle(request).await? {
        SettleOutcome::Settled => ok(&Changed { status: "settled", run_id: run, verdict: Some(verdict) }),
        SettleOutcome::NotInDoubt { state } => {
            Err(Problem::conflict(format!("the step is not in doubt; it is {state}")))
        }
        SettleOutcome::NotApprover { .. } | SettleOutcome::StaleButton => Err(Problem::forbidden("nothing changed")),
        SettleOutcome::Unknown => Err(Problem::not_found("there is no such run or step")),
    }
}

async fn run(call: &Call) -> Result<RunRow, Problem> {
    let id = call.var_as(0)?;
    call.api.triggers.engine.ledger().run(id).await?.ok_or_else(|| no_run(id))
}

fn no_run(id: RunId) -> Problem {
    Problem::not_found(format!("there is no run {id}"))
}
