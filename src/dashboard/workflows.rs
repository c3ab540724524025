//! The routes of the local API about workflows, runs and approvals.
//!
//! Whoever presents the token is the local admin: the engine is asked like by any channel, and its answer is the truth.

use std::path::Path;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use warp::reply::{Reply, Response};

use super::api::{get, ok};
use super::problem::Problem;
use super::{ADMIN, LocalApi};
use crate::domain::approval::{ApprovalState, Settle, Vote};
use crate::domain::ids::{ApprovalId, EventId, IdError, RunId};
use crate::domain::run::{RunSource, RunState};
use crate::ledger::runs::{
    ApprovalFilter, CancelOutcome, DecideOutcome, RetryOutcome, RunContext, RunFilter, RunRow, SettleOutcome,
};
use crate::workflow::definition::Workflow;
use crate::workflow::engine::{Decider, Decision, SettleRequest, StartError, StartRequest};

/// Events that a backtest looks at when nobody says how many, and at most.
const BACKTEST_DEFAULT: usize = 20;
const BACKTEST_MAX: usize = 500;

/// Answers what begins with `/api/workflows`, `/api/runs` or `/api/approvals`; `None` for another path.
pub(super) async fn dispatch(
    api: &LocalApi,
    method: &Method,
    parts: &[&str],
    query: &str,
    body: &[u8],
) -> Option<Result<Response, Problem>> {
    Some(match parts {
        ["api", "workflows", rest @ ..] => workflows(api, method, rest, query, body).await,
        ["api", "runs", rest @ ..] => runs(api, method, rest, query, body).await,
        ["api", "approvals", rest @ ..] => approvals(api, method, rest, query, body).await,
        _ => return None,
    })
}

async fn workflows(
    api: &LocalApi,
    method: &Method,
    rest: &[&str],
    query: &str,
    body: &[u8],
) -> Result<Response, Problem> {
    match rest {
        [] if method == Method::POST => register(api, body),
        [] => {
            if method != Method::GET && method != Method::HEAD {
                return Err(Problem::method("GET, HEAD, POST"));
            }
            let catalog = &api.triggers.catalog;
            let items: Vec<Value> = catalog.list().iter().map(|workflow| shown(api, workflow)).collect();
            Ok(ok(&json!({ "items": items, "next": null, "faults": catalog.faults() })))
        }
        ["reload"] => {
            post(method)?;
            api.triggers.catalog.reload();
            let catalog = &api.triggers.catalog;
            Ok(ok(&json!({ "workflows": catalog.list().len(), "faults": catalog.faults() })))
        }
        [name] => {
            get(method)?;
            let workflow = workflow(api, name)?;
            let mut whole = shown(api, &workflow);
            whole["source"] = json!(workflow.source);
            whole["notes"] = json!(workflow.notes);
            Ok(ok(&whole))
        }
        [name, "run"] => {
            post(method)?;
            start(api, name, body).await
        }
        [name, "test"] => {
            get(method)?;
            backtest(api, name, query).await
        }
        _ => Err(Problem::not_found("there is nothing at this path")),
    }
}

fn workflow(api: &LocalApi, name: &str) -> Result<Arc<Workflow>, Problem> {
    let known = || api.triggers.catalog.list().iter().map(|workflow| workflow.name.clone()).collect::<Vec<_>>();
    api.triggers.catalog.get(name).ok_or_else(|| {
        let known = known();
        match known.is_empty() {
            true => Problem::not_found(format!("there is no workflow '{name}'; there are none yet")),
            false => Problem::not_found(format!("there is no workflow '{name}'; there are: {}", known.join(", "))),
        }
    })
}

fn shown(api: &LocalApi, workflow: &Workflow) -> Value {
    let steps: Vec<&str> = workflow.steps.iter().map(|step| step.name.as_str()).collect();
    let on = workflow.on.as_ref().map(
        |on| json!({ "handler": on.handler, "events": on.events, "when": on.when.as_ref().map(|when| when.source()) }),
    );
    let faults = api.triggers.catalog.faults();
    let stale = faults.iter().any(|fault| fault.file == workflow.file);
    json!({
        "name": workflow.name, "description": workflow.description, "trigger": workflow.trigger.as_str(),
        "enabled": workflow.enabled, "on": on, "hash": workflow.hash, "config_path": workflow.file,
        "path": format!("/webhooks/{}", workflow.name), "steps": steps, "stale": stale,
    })
}

/// `POST /api/workflows`: takes a file that lies in the workflows folder into use at once.
fn register(api: &LocalApi, body: &[u8]) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Registration {
        name: String,
        config_path: String,
    }
    let Registration { name, config_path } = read(body)?;
    let catalog = &api.triggers.catalog;
    let outside = || {
        Problem::bad_request(format!(
            "config_path must name a file in {}; copy it there first",
            catalog.folder().display()
        ))
    };
    // As the reference writes it (`webhook_integration.yaml`), or as a path of this machine; judged by where it really is.
    let path = catalog.folder().join(&config_path);
    let real = path.canonicalize().or_else(|_| Path::new(&config_path).canonicalize()).map_err(|_| outside())?;
    let folder = catalog.folder().canonicalize().map_err(|_| outside())?;
    if real.parent() != Some(folder.as_path()) || !real.is_file() {
        return Err(outside());
    }
    catalog.reload();
    let file_name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let of_this_file = |file: &str| Path::new(file).file_name().is_some_and(|name| name.to_string_lossy() == file_name);
    let faults: Vec<String> =
        catalog.faults().iter().filter(|fault| of_this_file(&fault.file)).map(ToString::to_string).collect();
    if !faults.is_empty() {
        return Err(Problem::unprocessable(faults.join("\n")));
    }
    match catalog.get(&name).filter(|workflow| of_this_file(&workflow.file)) {
        Some(workflow) => {
            let body = shown(api, &workflow);
            Ok(warp::reply::with_status(warp::reply::json(&body), StatusCode::CREATED).into_response())
        }
        None => Err(Problem::unprocessable(format!("{file_name} does not hold a workflow named '{name}'"))),
    }
}

async fn start(api: &LocalApi, name: &str, body: &[u8]) -> Result<Response, Problem> {
    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields)]
    struct Start {
        #[serde(default)]
        inputs: Map<String, Value>,
    }
    let workflow = workflow(api, name)?;
    let Start { inputs } = if body.trim_ascii().is_empty() { Start::default() } else { read(body)? };
    let inputs = Value::Object(inputs);
    let nothing = || Value::Object(Map::new());
    let request = StartRequest {
        workflow: workflow.name.clone(),
        event: None,
        context: RunContext { payload: inputs.clone(), event: nothing(), facts: nothing(), inputs },
        source: RunSource::Manual,
        started_by: ADMIN.to_owned(),
        chat: api.triggers.desks.fallback.chat.clone(),
    };
    match api.triggers.engine.start(request).await {
        Ok(started) => {
            let body = json!({ "status": "accepted", "workflow": workflow.name, "run_id": started.run });
            Ok(warp::reply::with_status(warp::reply::json(&body), StatusCode::ACCEPTED).into_response())
        }
        Err(error @ StartError::Unknown(_)) => Err(Problem::not_found(error.to_string())),
        Err(error @ StartError::Disabled(_)) => Err(Problem::conflict(error.to_string())),
        Err(error @ StartError::Refused(_)) => Err(Problem::unprocessable(error.to_string())),
        Err(StartError::Ledger(error)) => Err(error.into()),
    }
}

async fn backtest(api: &LocalApi, name: &str, query: &str) -> Result<Response, Problem> {
    let workflow = workflow(api, name)?;
    let mut last = BACKTEST_DEFAULT;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "last" => last = number(&key, &value)?,
            _ => return Err(unknown_filter(&key, "last")),
        }
    }
    let items = api.triggers.backtest(api.ledger.as_ref(), &workflow, last.clamp(1, BACKTEST_MAX)).await?;
    Ok(ok(&json!({ "items": items, "next": null })))
}

async fn runs(api: &LocalApi, method: &Method, rest: &[&str], query: &str, body: &[u8]) -> Result<Response, Problem> {
    let engine = &api.triggers.engine;
    match rest {
        [] => {
            get(method)?;
            Ok(ok(&engine.ledger().runs(run_filter(query)?).await?))
        }
        [id] => {
            get(method)?;
            Ok(ok(&run(api, id).await?))
        }
        [id, "artifacts"] => {
            get(method)?;
            Ok(ok(&artifacts(&run(api, id).await?)))
        }
        [id, "cancel"] => {
            post(method)?;
            let id = id_of::<RunId>(id)?;
            match engine.cancel(id, ADMIN).await? {
                CancelOutcome::Ended { .. } => Ok(ok(&json!({ "status": "cancelled", "run_id": id }))),
                CancelOutcome::Asked => Ok(ok(&json!({ "status": "stopping", "run_id": id }))),
                CancelOutcome::AlreadyEnded { state } => Err(Problem::conflict(format!("{id} has ended: {state}"))),
                CancelOutcome::Unknown => Err(Problem::not_found(format!("there is no run {id}"))),
            }
        }
        [id, "retry"] => {
            post(method)?;
            let id = id_of::<RunId>(id)?;
            match engine.retry(id, ADMIN).await? {
                RetryOutcome::Again => Ok(ok(&json!({ "status": "running", "run_id": id }))),
                RetryOutcome::NotFailed { state } => {
                    Err(Problem::conflict(format!("only a run that failed can go on; {id} is {state}")))
                }
                RetryOutcome::Unknown => Err(Problem::not_found(format!("there is no run {id}"))),
            }
        }
        [id, "settle"] => {
            post(method)?;
            settle(api, id_of(id)?, body).await
        }
        _ => Err(Problem::not_found("there is nothing at this path")),
    }
}

async fn run(api: &LocalApi, id: &str) -> Result<RunRow, Problem> {
    let id = id_of::<RunId>(id)?;
    let row = api.triggers.engine.ledger().run(id).await?;
    row.ok_or_else(|| Problem::not_found(format!("there is no run {id}")))
}

/// What the steps of a run left behind.
fn artifacts(run: &RunRow) -> Value {
    let steps = run.steps.iter().filter(|step| step.output.is_some() || step.error.is_some());
    let items: Vec<Value> = steps
        .map(|step| {
            json!({
                "step": step.name, "tool": step.tool, "state": step.state, "attempt": step.attempt,
                "output": step.output, "truncated": step.truncated, "error": step.error,
            })
        })
        .collect();
    json!({ "run_id": run.id, "workflow": run.workflow, "items": items, "next": null })
}

async fn settle(api: &LocalApi, run: RunId, body: &[u8]) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settlement {
        step: String,
        verdict: String,
        #[serde(default)]
        channel: Option<String>,
    }
    let Settlement { step, verdict, channel } = read(body)?;
    let verdict: Settle =
        verdict.parse().map_err(|_| Problem::bad_request("verdict is happened, not-happened or leave"))?;
    let channel = channel_of(channel.as_deref())?;
    let request = SettleRequest { run, step, verdict, by: Decider::LocalAdmin, channel, nonce: None };
    match api.triggers.engine.settle(request).await? {
        SettleOutcome::Settled => Ok(ok(&json!({ "status": "settled", "run_id": run, "verdict": verdict }))),
        SettleOutcome::NotInDoubt { state } => {
            Err(Problem::conflict(format!("the step is not in doubt; it is {state}")))
        }
        SettleOutcome::NotApprover { .. } | SettleOutcome::StaleButton => Err(Problem::forbidden("nothing changed")),
        SettleOutcome::Unknown => Err(Problem::not_found("there is no such run or step")),
    }
}

async fn approvals(
    api: &LocalApi,
    method: &Method,
    rest: &[&str],
    query: &str,
    body: &[u8],
) -> Result<Response, Problem> {
    let ledger = api.triggers.engine.ledger();
    match rest {
        [] => {
            get(method)?;
            Ok(ok(&ledger.approvals(approval_filter(query)?).await?))
        }
        [id] if method == Method::POST => decide(api, id_of(id)?, body).await,
        [id] => {
            if method != Method::GET && method != Method::HEAD {
                return Err(Problem::method("GET, HEAD, POST"));
            }
            let id = id_of::<ApprovalId>(id)?;
            let row = ledger.approval(id).await?;
            Ok(ok(&row.ok_or_else(|| Problem::not_found(format!("there is no approval {id}")))?))
        }
        _ => Err(Problem::not_found("there is nothing at this path")),
    }
}

async fn decide(api: &LocalApi, approval: ApprovalId, body: &[u8]) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Verdict {
        verdict: String,
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        channel: Option<String>,
    }
    let Verdict { verdict, reason, channel } = read(body)?;
    let verdict: Vote = verdict.parse().map_err(|_| Problem::bad_request("verdict is approve or deny"))?;
    let channel = channel_of(channel.as_deref())?;
    let decision = Decision { approval, by: Decider::LocalAdmin, channel, verdict, reason, nonce: None };
    let conflict = |detail: String| Err(Problem::conflict(format!("{detail}; nothing changed")));
    match api.triggers.engine.decide(decision).await? {
        DecideOutcome::Decided { approval } => Ok(ok(&approval)),
        DecideOutcome::VoteCounted { votes, needed } => {
            Ok(ok(&json!({ "status": "vote_counted", "id": approval, "votes": votes, "votes_needed": needed })))
        }
        DecideOutcome::AlreadyVoted { at, verdict } => conflict(format!("you voted before: {verdict}, at {at}")),
        DecideOutcome::AlreadyDecided { state, by, channel, at } => {
            conflict(format!("already {state} by {by} from {channel} at {at}"))
        }
        DecideOutcome::Expired { at } => conflict(format!("it expired at {at}")),
        DecideOutcome::Cancelled { reason } => conflict(format!("it is no longer asked: {reason}")),
        DecideOutcome::NotApprover { .. } | DecideOutcome::StaleButton => Err(Problem::forbidden("nothing changed")),
        DecideOutcome::Unknown => Err(Problem::not_found(format!("there is no approval {approval}"))),
    }
}

/// From where: the command line and the dashboard say so.
fn channel_of(channel: Option<&str>) -> Result<String, Problem> {
    match channel {
        None => Ok("api".to_owned()),
        Some(known @ ("cli" | "dashboard" | "api")) => Ok(known.to_owned()),
        Some(_) => Err(Problem::bad_request("channel is cli, dashboard or api")),
    }
}

fn run_filter(query: &str) -> Result<RunFilter, Problem> {
    let mut filter = RunFilter::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "workflow" => filter.workflow = Some(value.into_owned()),
            "state" => filter.state = Some(value.parse::<RunState>().map_err(|e| Problem::bad_request(e.to_string()))?),
            "event" => filter.event = Some(id_of::<EventId>(&value)?),
            "since" => {
                let at = value.parse().map_err(|_| Problem::bad_request("since: write 2026-01-31T12:00:00Z"))?;
                filter.since = Some(at);
            }
            "limit" => filter.limit = number(&name, &value)?,
            "cursor" => filter.cursor = Some(value.into_owned()),
            _ => return Err(unknown_filter(&name, "workflow, state, event, since, limit and cursor")),
        }
    }
    Ok(filter)
}

fn approval_filter(query: &str) -> Result<ApprovalFilter, Problem> {
    let mut filter = ApprovalFilter::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "state" => {
                let state = value.parse::<ApprovalState>().map_err(|e| Problem::bad_request(e.to_string()))?;
                filter.state = Some(state);
            }
            "run" => filter.run = Some(id_of::<RunId>(&value)?),
            "limit" => filter.limit = number(&name, &value)?,
            "cursor" => filter.cursor = Some(value.into_owned()),
            _ => return Err(unknown_filter(&name, "state, run, limit and cursor")),
        }
    }
    Ok(filter)
}

fn number(name: &str, value: &str) -> Result<usize, Problem> {
    value.parse().map_err(|_| Problem::bad_request(format!("{name}={value}: write a number")))
}

fn unknown_filter(name: &str, known: &str) -> Problem {
    Problem::bad_request(format!("'{name}' is no filter here; the filters are {known}"))
}

fn id_of<T: std::str::FromStr<Err = IdError>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: IdError| Problem::bad_request(error.to_string()))
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is not what is expected: {error}")))
}

fn post(method: &Method) -> Result<(), Problem> {
    if method == Method::POST { Ok(()) } else { Err(Problem::method("POST")) }
}
