//! Workflows over the API: what is there, taking a file into use, a start by hand, a backtest.

use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use warp::reply::Response;

use super::call::{Call, ok, with};
use crate::agent::Tested;
use crate::dashboard::problem::Problem;
use crate::dashboard::{ADMIN, LocalApi};
use crate::domain::fault::Fault;
use crate::domain::ids::RunId;
use crate::domain::run::RunSource;
use crate::ledger::runs::RunContext;
use crate::workflow::definition::Workflow;
use crate::workflow::engine::{StartError, StartRequest};

/// Events that a backtest looks at when nobody says how many, and at most.
const BACKTEST_DEFAULT: usize = 20;
const BACKTEST_MAX: usize = 500;

/// A workflow as lists show it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Shown {
    name: String,
    description: String,
    /// `webhook`, `manual` or `schedule`.
    trigger: &'static str,
    enabled: bool,
    /// Which stored events start it.
    on: Option<ShownOn>,
    /// Its content hash.
    hash: String,
    /// Its file.
    config_path: String,
    /// Its path on the webhook server.
    path: String,
    /// Names of its steps.
    steps: Vec<String>,
    /// Whether its file has faults now, and this is the last good version.
    stale: bool,
    /// When the clock starts it; `null` where it does not.
    schedule: Value,
}

/// Which stored events start a workflow.
#[derive(Debug, Serialize, JsonSchema)]
struct ShownOn {
    handler: Option<String>,
    events: Vec<String>,
    when: Option<String>,
}

/// One workflow with its source.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Whole {
    #[serde(flatten)]
    shown: Shown,
    /// The file's text.
    source: String,
    /// What its author should know.
    notes: Vec<Fault>,
}

/// All workflows.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct List {
    items: Vec<Shown>,
    /// Always `null`: all of them are here.
    next: Option<String>,
    /// What is wrong with files.
    faults: Vec<Fault>,
}

/// What reading the files again found.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Reloaded {
    /// How many workflows there are.
    workflows: usize,
    faults: Vec<Fault>,
}

/// A file to take into use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    /// The workflow's name.
    name: String,
    /// A file that lies in the workflows folder.
    config_path: String,
}

/// Whether a workflow is to be in use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    /// Written into the workflow's file.
    enabled: bool,
}

/// A start by hand.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    /// What steps see as `inputs` and `payload`.
    #[serde(default)]
    inputs: Map<String, Value>,
    /// What hands the wish on, as `mcp`: 1 to 16 small letters.
    via: Option<String>,
}

/// A run that was started.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Started {
    /// `accepted`.
    status: &'static str,
    workflow: String,
    run_id: RunId,
}

/// What a workflow would have done with the newest events.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Backtested {
    items: Vec<Tested>,
    /// Always `null`.
    next: Option<String>,
}

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let catalog = &call.api.triggers.catalog;
    let items = catalog.list().iter().map(|workflow| shown(&call.api, workflow)).collect();
    ok(&List { items, next: None, faults: catalog.faults() })
}

pub(super) async fn reload(call: Call) -> Result<Response, Problem> {
    let catalog = &call.api.triggers.catalog;
    catalog.reload();
    ok(&Reloaded { workflows: catalog.list().len(), faults: catalog.faults() })
}

pub(super) async fn one(call: Call) -> Result<Response, Problem> {
    let workflow = workflow(&call.api, call.var(0))?;
    let (source, notes) = (workflow.source.to_string(), workflow.notes.clone());
    ok(&Whole { shown: shown(&call.api, &workflow), source, notes })
}

pub(super) async fn register(call: Call) -> Result<Response, Problem> {
    let Registration { name, config_path } = call.read()?;
    let catalog = &call.api.triggers.catalog;
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
        Some(workflow) => with(StatusCode::CREATED, &shown(&call.api, &workflow)),
        None => Err(Problem::unprocessable(format!("{file_name} does not hold a workflow named '{name}'"))),
    }
}

pub(super) async fn switch(call: Call) -> Result<Response, Problem> {
    let name = workflow(&call.api, call.var(0))?.name.clone();
    let Switch { enabled } = call.read()?;
    call.api.triggers.catalog.set_enabled(&name, enabled).map_err(Problem::conflict)?;
    tracing::info!(workflow.name = name, enabled, "a workflow was switched over the API");
    ok(&shown(&call.api, workflow(&call.api, &name)?.as_ref()))
}

pub(super) async fn start(call: Call) -> Result<Response, Problem> {
    let workflow = workflow(&call.api, call.var(0))?;
    let Start { inputs, via } = if call.has_body() { call.read()? } else { Start::default() };
    let is_word = |via: &String| (1..=16).contains(&via.len()) && via.bytes().all(|b| b.is_ascii_lowercase());
    let started_by = via.filter(is_word).map_or_else(|| ADMIN.to_owned(), |via| format!("{ADMIN} through {via}"));
    let inputs = Value::Object(inputs);
    let nothing = || Value::Object(Map::new());
    let request = StartRequest {
        workflow: workflow.name.clone(),
        event: None,
        context: RunContext { payload: inputs.clone(), event: nothing(), facts: nothing(), inputs },
        source: RunSource::Manual,
        started_by,
        chat: call.api.triggers.desks.fallback.chat.clone(),
    };
    match call.api.triggers.engine.start(request).await {
        Ok(started) => {
            let started = Started { status: "accepted", workflow: workflow.name.clone(), run_id: started.run };
            with(StatusCode::ACCEPTED, &started)
        }
        Err(error @ StartError::Unknown(_)) => Err(Problem::not_found(error.to_string())),
        Err(error @ StartError::Disabled(_)) => Err(Problem::conflict(error.to_string())),
        Err(error @ StartError::Refused(_)) => Err(Problem::unprocessable(error.to_string())),
        Err(StartError::Ledger(error)) => Err(error.into()),
    }
}

pub(super) async fn backtest(call: Call) -> Result<Response, Problem> {
    let workflow = workflow(&call.api, call.var(0))?;
    let last = call.number("last")?.unwrap_or(BACKTEST_DEFAULT).min(BACKTEST_MAX);
    let items = call.api.triggers.backtest(call.api.ledger.as_ref(), &workflow, last).await?;
    ok(&Backtested { items, next: None })
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

fn shown(api: &LocalApi, workflow: &Workflow) -> Shown {
    let on = workflow.on.as_ref().map(|on| ShownOn {
        handler: on.handler.clone(),
        events: on.events.clone(),
        when: on.when.as_ref().map(|when| when.source().to_owned()),
    });
    Shown {
        name: workflow.name.clone(),
        description: workflow.description.clone(),
        trigger: workflow.trigger.as_str(),
        enabled: workflow.enabled,
        on,
        hash: workflow.hash.to_string(),
        config_path: workflow.file.to_string(),
        path: format!("/webhooks/{}", workflow.name),
        steps: workflow.steps.iter().map(|step| step.name.clone()).collect(),
        stale: api.triggers.catalog.faults().iter().any(|fault| fault.file == workflow.file),
        schedule: workflow.schedule_shown(api.clock.now()),
    }
}
