//! The tools of `agent mcp`: what each takes, and what it gives, in the shapes of `--json`.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use http::Method;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::app;
use crate::cli::context::Context;
use crate::cli::local;
use crate::domain::approval::ApprovalState;
use crate::domain::event::EventStatus;
use crate::domain::ids::{ApprovalId, EventId, RunId};
use crate::domain::run::RunState;
use crate::ledger::EventFilter;
use crate::ledger::runs::{ApprovalFilter, RunFilter};
use crate::ports::{Clock, SystemClock};
use crate::workflow::definition::Workflow;

/// Items of a list when nobody says how many, and at most.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// One tool: name, what it is for, its arguments (name, JSON type, required, doc), and whether it only reads.
struct Offer(&'static str, &'static str, &'static [Arg], bool);

type Arg = (&'static str, &'static str, bool, &'static str);

const LIMIT: Arg = ("limit", "integer", false, "At most this many, up to 100.");
const CURSOR: Arg = ("cursor", "string", false, "`next` of the page before.");

const OFFERS: &[Offer] = &[
    Offer(
        "search_events",
        "Events that came in, newest first, without their payloads.",
        &[
            ("search", "string", false, "A text in title, type, delivery id, reason or payload."),
            ("handler", "string", false, "Only this handler."),
            ("type", "string", false, "Only this type; pull_request covers pull_request.opened."),
            ("status", "string", false, "accepted, processed, failed, ignored, duplicate or rejected."),
            ("since", "string", false, "Only those received at or after this time (RFC 3339)."),
            LIMIT,
            CURSOR,
        ],
        true,
    ),
    Offer(
        "event",
        "One event: headers (secrets masked), payload, timeline, notices, runs.",
        &[("id", "string", true, "evt_…")],
        true,
    ),
    Offer(
        "runs",
        "Runs of workflows, newest first.",
        &[
            ("workflow", "string", false, "Only this workflow."),
            ("state", "string", false, "running, waiting, success, error, denied, expired, cancelled or in_doubt."),
            ("event", "string", false, "Only those of this event."),
            LIMIT,
            CURSOR,
        ],
        true,
    ),
    Offer("run", "One run with its steps and their outputs.", &[("id", "string", true, "run_…")], true),
    Offer(
        "approvals",
        "Questions to approvers, newest first, with the action that would run. Only people decide them.",
        &[("state", "string", false, "pending, approved, denied, expired or cancelled."), LIMIT, CURSOR],
        true,
    ),
    Offer("approval", "One approval.", &[("id", "string", true, "apr_…")], true),
    Offer(
        "memory_search",
        "Facts that were told to be remembered.",
        &[
            ("query", "string", false, "Words; without any the newest facts come."),
            ("section", "string", false, "Only this section."),
            LIMIT,
        ],
        true,
    ),
    Offer("workflows", "The workflows, what starts each, and when the clock does so next.", &[], true),
    Offer("workflow", "One workflow with its source.", &[("name", "string", true, "Its name.")], true),
    Offer(
        "run_workflow",
        "Starts an enabled workflow by hand. Its gates ask people as ever. Needs the running agent.",
        &[
            ("workflow", "string", true, "Its name."),
            ("inputs", "object", false, "What its expressions see as `inputs` and `payload`."),
        ],
        false,
    ),
];

/// The tools as they are listed.
pub(super) fn list() -> Vec<Tool> {
    OFFERS
        .iter()
        .map(|Offer(name, about, args, reads)| {
            let hints = ToolAnnotations::new().read_only(*reads).open_world(false);
            Tool::new(*name, *about, Arc::new(schema(args))).with_annotations(hints)
        })
        .collect()
}

fn schema(args: &[Arg]) -> JsonObject {
    let properties: Map<String, Value> = args
        .iter()
        .map(|(name, kind, _, doc)| ((*name).to_owned(), json!({ "type": kind, "description": doc })))
        .collect();
    let required: Vec<&str> = args.iter().filter(|(_, _, required, _)| *required).map(|(name, ..)| *name).collect();
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    schema.as_object().cloned().unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    search: Option<String>,
    handler: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    status: Option<String>,
    since: Option<jiff::Timestamp>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Runs {
    workflow: Option<String>,
    state: Option<String>,
    event: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approvals {
    state: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    #[serde(default)]
    query: String,
    section: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    workflow: String,
    #[serde(default)]
    inputs: Map<String, Value>,
}

/// What the tool `name` gives; `None` when there is none of that name.
pub(super) async fn call(context: &Context, name: &str, arguments: &JsonObject) -> Option<anyhow::Result<Value>> {
    Some(match name {
        "search_events" => events(context, arguments).await,
        "event" => event(context, arguments).await,
        "runs" => runs(context, arguments).await,
        "run" => run(context, arguments).await,
        "approvals" => approvals(context, arguments).await,
        "approval" => approval(context, arguments).await,
        "memory_search" => facts(context, arguments).await,
        "workflows" => workflows(context, arguments),
        "workflow" => workflow(context, arguments),
        "run_workflow" => start(context, arguments).await,
        _ => return None,
    })
}

fn read<T: DeserializeOwned>(arguments: &JsonObject) -> anyhow::Result<T> {
    serde_json::from_value(Value::Object(arguments.clone())).context("the arguments do not fit")
}

fn limit(wanted: Option<usize>) -> usize {
    wanted.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
}

fn word<T: std::str::FromStr>(text: Option<String>, what: &str) -> anyhow::Result<Option<T>> {
    match text {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(word) => Ok(Some(word)),
            Err(_) => bail!("there is no {what} '{text}'"),
        },
    }
}

async fn events(context: &Context, arguments: &JsonObject) -> anyhow::Result<Value> {
    let Events { search, handler, kind, status, since, limit: wanted, cursor } = read(arguments)?;
    let status = word::<EventStatus>(status, "status")?;
    let filter = EventFilter { handler, event: kind, status, since, search, limit: limit(wanted), cursor, after: None };
    Ok(serde_json::to_value(context.ledger()?.events(filter).await?)?)
}

async fn event(context: &Context, arguments: &JsonObject) -> anyhow::Result<Value> {
    let id: EventId = read::<One>(arguments)?.id.parse()?;
    let event = context.ledger()?.event(id).await?.with_context(|| format!("there is no event {id}"))?;
    Ok(serde_json::to_value(event)?)
}

async fn runs(context: &Context, arguments: &JsonObject) -> anyhow::Result<Value> {
    let Runs { workflow, state, event, limit: wanted, cursor } = read(arguments)?;
    let event = event.map(|event| event.parse::<EventId>()).transpose()?;
    let state = word::<RunState>(state, "state")?;
    let filter = RunFilter { workflow, state, event, since: None, limit: limit(wanted), cursor };
    Ok(serde_json::to_value(context.runs()?.runs(filter).await?)?)
}

async fn run(context: &Context, arguments: &JsonObject) -> anyhow::Result<Value> {
    let id: RunId = read::<One>(arguments)?.id.parse()?;
    let run = context.runs()?.run(id).await?.with_context(|| format!("there is no run {id}"))?;
    Ok(serde_json::to_value(run)?)
}

async fn approvals(context: &Context, arguments: &JsonObject) -> anyhow::Result<Value> {
    let Approvals { state, limit: wanted, cursor } = read(arguments)?;
    let state = word::<ApprovalState>(state, "state")?;
    let filter = ApprovalFilter { state, run: None, limit: limit(wanted), cursor };
    Ok(serde_json::to_value(context.runs()?.approvals(filter).await?)?)
}

async fn approval(context: &Context, arguments: &JsonObject) -> anyhow::Result<Value> {
    let id: ApprovalId = read::<One>(arguments)?.id.parse()?;
    let approval = context.runs()?.approval(id).await?.with_context(|| format!("there is no approval {id}"))?;
    Ok(serde_json::to_value(approval)?)
}

async fn facts(context: &Context, arguments: &JsonObject) -> anyhow::Result<Value> {
    let Facts { query, section, limit: wanted } = read(arguments)?;
    let found = context.runs()?.recall(&query, section.as_deref(), limit(wanted)).await?;
    let items: Vec<Value> = found
        .into_iter()
        .map(|fact| json!({ "id": fact.id, "section": fact.section, "fact": fact.fact, "at": fact.at }))
        .collect();
    Ok(json!({ "items": items, "next": null }))
}

fn workflows(context: &Context, arguments: &JsonObject) -> anyhow::Result<Value> {
    let Nothing {} = read(arguments)?;
    let catalog = app::load_workflows(&context.config);
    let items: Vec<Value> = catalog.list().iter().map(|workflow| shown(workflow)).collect();
    Ok(json!({ "items": items, "next": null, "faults": catalog.faults() }))
}

fn workflow(context: &Context, arguments: &JsonObject) -> anyhow::Result<Value> {
    let Named { name } = read(arguments)?;
    let workflow = app::load_workflows(&context.config).get(&name);
    let workflow = workflow.with_context(|| format!("there is no workflow '{name}'"))?;
    let mut whole = shown(&workflow);
    whole["source"] = json!(workflow.source);
    Ok(whole)
}

fn shown(workflow: &Workflow) -> Value {
    let gated: Vec<&str> = workflow
        .all_steps()
        .filter(|step| step.tool_step().is_some_and(|tool| tool.gate.is_some()))
        .map(|step| step.name.as_str())
        .collect();
    json!({
        "name": workflow.name, "description": workflow.description, "trigger": workflow.trigger.as_str(),
        "enabled": workflow.enabled, "hash": workflow.hash, "gated_steps": gated,
        "schedule": workflow.schedule_shown(SystemClock.now()),
    })
}

async fn start(context: &Context, arguments: &JsonObject) -> anyhow::Result<Value> {
    let Start { workflow, inputs } = read(arguments)?;
    let workflow = app::load_workflows(&context.config)
        .get(&workflow)
        .with_context(|| format!("there is no workflow '{workflow}'"))?;
    let body = json!({ "inputs": inputs, "via": "mcp" }).to_string().into_bytes();
    local::call(context, Method::POST, &format!("/api/workflows/{}/run", workflow.name), body).await
}
