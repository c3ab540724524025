//! `agent workflow`: what is there, what it would have done, and a start by hand.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::context::{self, Context, fault_list};
use super::{Common, local, out, small_runtime};
use crate::agent::{self, Tested};
use crate::app;
use crate::channel::input;
use crate::ports::{Clock, SystemClock};
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::Workflow;

/// Events that `test` looks at when nobody says how many.
const LAST_DEFAULT: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum WorkflowCommand {
    /// List the workflows and what starts them
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one workflow as it is loaded
    Show {
        /// The workflow's name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start a workflow by hand
    Run {
        /// The workflow's name
        name: String,
        /// An input: JSON where it is JSON, else text
        #[arg(long = "input", value_name = "KEY=VALUE")]
        inputs: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have the running agent read the files again
    Reload {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what the workflow would have done with the events that came last; changes nothing
    Test {
        /// The workflow's name
        name: String,
        /// Events to look at
        #[arg(long, default_value_t = LAST_DEFAULT, value_name = "N")]
        last: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn workflow(common: &Common, command: WorkflowCommand) -> anyhow::Result<ExitCode> {
    let context = context::load(common)?;
    small_runtime()?.block_on(async {
        match command {
            WorkflowCommand::List { json } => list(&context, json).await,
            WorkflowCommand::Show { name, json } => show(&context, &name, json).await,
            WorkflowCommand::Run { name, inputs, json } => run(&context, &name, &inputs, json).await,
            WorkflowCommand::Reload { json } => reload(&context, json).await,
            WorkflowCommand::Test { name, last, json } => test(&context, &name, last, json).await,
        }
    })
}

fn shown(workflow: &Workflow) -> Value {
    let on = workflow.on.as_ref().map(
        |on| json!({ "handler": on.handler, "events": on.events, "when": on.when.as_ref().map(|when| when.source()) }),
    );
    let steps: Vec<&str> = workflow.steps.iter().map(|step| step.name.as_str()).collect();
    json!({
        "name": workflow.name, "description": workflow.description, "trigger": workflow.trigger.as_str(),
        "enabled": workflow.enabled, "on": on, "hash": workflow.hash, "config_path": workflow.file, "steps": steps,
        "schedule": workflow.schedule_shown(SystemClock.now()),
    })
}

/// What the running agent answers, which serves the last good version of a file that has faults now; `None` without one.
async fn served(context: &Context, path: &str) -> anyhow::Result<Option<Value>> {
    let runs = app::data_dir::running(&context.config.data_dir).is_some_and(|presence| presence.api.is_some());
    Ok(if runs { Some(local::call(context, Method::GET, path, Vec::new()).await?) } else { None })
}

async fn list(context: &Context, json: bool) -> anyhow::Result<ExitCode> {
    let catalog = app::load_workflows(&context.config);
    let faults = catalog.faults();
    let answer = match served(context, "/api/workflows").await? {
        Some(answer) => answer,
        None => {
            let items: Vec<Value> = catalog.list().iter().map(|workflow| shown(workflow)).collect();
            json!({ "items": items, "next": null, "faults": faults })
        }
    };
    if json {
        out::json(&answer)?;
    } else {
        let rows: Vec<Vec<String>> = answer["items"].as_array().into_iter().flatten().map(cells).collect();
        if rows.is_empty() {
            out::line(format!("no workflows: put files into {}", catalog.folder().display()))?;
        } else {
            out::table(&["NAME", "STATE", "STARTED BY", "ABOUT"], &rows)?;
        }
        for fault in &faults {
            out::line(format!("fault: {fault}"))?;
        }
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cells(workflow: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut by = vec![text(&workflow["trigger"])];
    if let Some(on) = workflow["on"].as_object() {
        let events: Vec<&str> = on["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let events = if events.is_empty() { "every event".to_owned() } else { events.join(", ") };
        by.push(format!("{}: {events}", on["handler"].as_str().unwrap_or("any handler")));
    }
    by.extend(["rule", "next"].iter().filter_map(|key| workflow["schedule"][key].as_str()).map(str::to_owned));
    let enabled = if workflow["enabled"] == true { "enabled" } else { "disabled" };
    let stale = if workflow["stale"] == true { ", last good version" } else { "" };
    vec![
        text(&workflow["name"]),
        format!("{enabled}{stale}"),
        out::harmless(&by.join(", ")),
        out::harmless(&text(&workflow["description"])),
    ]
}

fn named(catalog: &Catalog, name: &str) -> anyhow::Result<Arc<Workflow>> {
    if let Some(workflow) = catalog.get(name) {
        return Ok(workflow);
    }
    let faults = catalog.faults();
    if !faults.is_empty() {
        bail!("there is no workflow '{name}', and {}", fault_list("the folder", &faults));
    }
    let names: Vec<String> = catalog.list().iter().map(|workflow| workflow.name.clone()).collect();
    match names.is_empty() {
        true => bail!("there is no workflow '{name}': there are none in {}", catalog.folder().display()),
        false => bail!("there is no workflow '{name}'; there are: {}", names.join(", ")),
    }
}

async fn show(context: &Context, name: &str, json: bool) -> anyhow::Result<ExitCode> {
    let whole = match served(context, &format!("/api/workflows/{name}")).await? {
        Some(whole) => whole,
        None => {
            let workflow = named(&app::load_workflows(&context.config), name)?;
            let mut whole = shown(&workflow);
            whole["source"] = json!(workflow.source);
            whole["notes"] = json!(workflow.notes);
            whole
        }
    };
    if json {
        out::json(&whole)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |key: &str| whole[key].as_str().unwrap_or_default();
    out::line(format!("# {} ({})", text("config_path"), text("hash")))?;
    if whole["stale"] == true {
        out::line("# The file has faults now: this is the last good version, which is served.")?;
    }
    if let Some(next) = whole["schedule"]["next"].as_str() {
        out::line(format!("# {next}"))?;
    }
    for line in text("source").lines() {
        out::line(out::harmless(line))?;
    }
    for note in app::load_workflows(&context.config).get(name).iter().flat_map(|workflow| &workflow.notes) {
        out::line(format!("note: {note}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(context: &Context, name: &str, inputs: &[String], json: bool) -> anyhow::Result<ExitCode> {
    let inputs: Map<String, Value> =
        inputs.iter().map(|pair| input(pair)).collect::<Result<_, _>>().map_err(anyhow::Error::msg)?;
    let body = json!({ "inputs": inputs }).to_string().into_bytes();
    let answer = local::call(context, Method::POST, &format!("/api/workflows/{name}/run"), body).await?;
    if json {
        out::json(&answer)?;
    } else {
        let run = answer["run_id"].as_str().unwrap_or("a run");
        out::line(format!("started {run}; see it with: agent runs show {run}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn reload(context: &Context, json: bool) -> anyhow::Result<ExitCode> {
    let answer = local::call(context, Method::POST, "/api/workflows/reload", Vec::new()).await?;
    let faults = answer["faults"].as_array().cloned().unwrap_or_default();
    if json {
        out::json(&answer)?;
    } else {
        out::line(format!("{} workflows", answer["workflows"]))?;
        // The files are the same on this side, and so are their faults, in words.
        for fault in app::load_workflows(&context.config).faults() {
            out::line(format!("fault: {fault}"))?;
        }
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn test(context: &Context, name: &str, last: usize, json: bool) -> anyhow::Result<ExitCode> {
    let workflow = named(&app::load_workflows(&context.config), name)?;
    let (providers, _faults) = app::load_providers(&context.config);
    let ledger = context.ledger()?;
    let tested = agent::backtest(&providers, &*ledger, &workflow, last).await?;
    if json {
        out::json(&json!({ "items": tested, "next": null }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if tested.is_empty() {
        out::line("no events to test with: 'agent webhook send' makes some")?;
    }
    for event in &tested {
        print_tested(event)?;
    }
    let starts = tested.iter().filter(|event| event.outcome.starts).count();
    out::line(format!("{starts} of {} events start '{name}'", tested.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn print_tested(event: &Tested) -> anyhow::Result<()> {
    let what = event.title.as_deref().unwrap_or(&event.event);
    let word = if event.outcome.starts { "starts" } else { "no" };
    let why = event.outcome.reason.as_deref().map(|why| format!(": {}", out::harmless(why))).unwrap_or_default();
    out::line(format!("{word:<7} {}  {}{why}", event.event_id, out::harmless(what)))?;
    for step in &event.outcome.steps {
        let why = step.reason.as_deref().map(|why| format!(" ({})", out::harmless(why))).unwrap_or_default();
        out::line(format!("          {}: {}{why}", out::harmless(&step.step), step.outcome))?;
    }
    Ok(())
}
