//! `agent runs`: what workflows did, and a person's word on it.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use http::Method;
use jiff::Timestamp;
use serde_json::json;

use super::context::{self, Context};
use super::events::{parse_limit, parse_since};
use super::{Common, local, out, small_runtime};
use crate::domain::approval::person;
use crate::domain::ids::RunId;
use crate::domain::run::RunState;
use crate::ledger::RunLedger;
use crate::ledger::runs::{RunFilter, RunRow, StepRow};

/// Runs that are listed when nobody says how many.
const LIST_DEFAULT: usize = 30;
/// Longest output of a step that `show` prints, in characters; `--json` has all of it.
const OUTPUT_CHARS_MAX: usize = 400;

#[derive(Debug, Subcommand)]
pub(super) enum RunsCommand {
    /// List runs, newest first
    List {
        /// Only this workflow
        #[arg(long)]
        workflow: Option<String>,
        /// Only this state: running, waiting, success, error, denied, expired, cancelled or in_doubt
        #[arg(long)]
        state: Option<RunState>,
        /// Only those of this event
        #[arg(long, value_name = "ID")]
        event: Option<crate::domain::ids::EventId>,
        /// Only since then: 30m, 2h, 7d or 2026-01-31T12:00:00Z
        #[arg(long, value_parser = parse_since)]
        since: Option<Timestamp>,
        /// Runs to list
        #[arg(long, default_value_t = LIST_DEFAULT, value_name = "N", value_parser = parse_limit)]
        limit: usize,
        /// Go on where a list ended (its `next`)
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one run and its steps
    Show {
        /// The run's id
        id: RunId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a run: nothing further of it happens
    Cancel {
        /// The run's id
        id: RunId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Go on with a failed run from its failed step; gates ask again
    Retry {
        /// The run's id
        id: RunId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say whether a step in doubt happened
    Settle {
        /// The run's id
        run: RunId,
        /// The step's name
        step: String,
        /// What is known about it
        verdict: Verdict,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A word on a step in doubt.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Verdict {
    /// It happened: the run goes on
    Happened,
    /// It did not: the step may run again
    NotHappened,
    /// Nobody knows: leave the run as it is
    Leave,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Happened => "happened",
            Self::NotHappened => "not-happened",
            Self::Leave => "leave",
        }
    }
}

pub(super) fn runs(common: &Common, command: RunsCommand) -> anyhow::Result<ExitCode> {
    let context = context::load(common)?;
    small_runtime()?.block_on(async {
        match command {
            RunsCommand::List { workflow, state, event, since, limit, cursor, json } => {
                let filter = RunFilter { workflow, state, event, since, limit, cursor };
                list(&*context.runs()?, filter, json).await
            }
            RunsCommand::Show { id, json } => show(&*context.runs()?, id, json).await,
            RunsCommand::Cancel { id, json } => act(&context, id, "cancel", None, json).await,
            RunsCommand::Retry { id, json } => act(&context, id, "retry", None, json).await,
            RunsCommand::Settle { run, step, verdict, json } => {
                let body = json!({ "step": step, "verdict": verdict.word(), "channel": "cli" });
                act(&context, run, "settle", Some(body), json).await
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn list(ledger: &dyn RunLedger, filter: RunFilter, json: bool) -> anyhow::Result<()> {
    let page = ledger.runs(filter).await?;
    let cells = |run: &RunRow| {
        vec![
            run.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            run.id.to_string(),
            out::harmless(&run.workflow),
            state(run).to_owned(),
            out::harmless(&person(&run.started_by)),
            why(run).map(out::harmless).unwrap_or_default(),
        ]
    };
    out::page(&page, json, "no runs", &["STARTED", "ID", "WORKFLOW", "STATE", "BY", "WHY"], cells)
}

async fn show(ledger: &dyn RunLedger, id: RunId, json: bool) -> anyhow::Result<()> {
    let Some(run) = ledger.run(id).await? else { anyhow::bail!("there is no run {id}: 'agent runs list' shows them") };
    if json {
        return out::json(&run);
    }
    let field = |name: &str, value: &str| out::line(format!("{name:<10} {}", out::harmless(value)));
    field("run", &run.id.to_string())?;
    field("workflow", &run.workflow)?;
    field("state", state(&run))?;
    if let Some(why) = why(&run) {
        field("why", why)?;
    }
    field("started", &format!("{} by {}", run.started_at, person(&run.started_by)))?;
    if let Some(at) = run.ended_at {
        field("ended", &at.to_string())?;
    }
    if let Some(event) = run.event_id {
        field("event", &event.to_string())?;
    }
    field("definition", &run.workflow_hash)?;
    out::line("steps")?;
    for step in &run.steps {
        print_step(step)?;
    }
    Ok(())
}

/// A run's state for people: one that waits for its turn does not run.
fn state(run: &RunRow) -> &'static str {
    if run.queued { "queued" } else { run.state.as_str() }
}

/// Why a run is where it is.
fn why(run: &RunRow) -> Option<&str> {
    run.reason
        .as_deref()
        .or_else(|| run.queued.then_some("waits for its turn: other runs with its concurrency key go first"))
}

fn print_step(step: &StepRow) -> anyhow::Result<()> {
    let mut line = format!("  {:<10} {}", step.state.as_str(), out::harmless(&step.name));
    if let Some(tool) = &step.tool {
        line.push_str(&format!("  ({})", out::harmless(tool)));
    }
    if step.attempt > 1 {
        line.push_str(&format!("  attempt {}", step.attempt));
    }
    if let Some(approval) = step.approval_id {
        line.push_str(&format!("  {approval}"));
    }
    out::line(line)?;
    if let Some(error) = &step.error {
        out::line(format!("             {}", out::harmless(error)))?;
    }
    if let Some(output) = &step.output {
        let text = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
        let text = crate::domain::text::clip_chars(&out::harmless(text.trim_end()), OUTPUT_CHARS_MAX);
        if !text.is_empty() && text != "null" {
            out::line(format!("             {text}"))?;
        }
    }
    Ok(())
}

async fn act(
    context: &Context,
    id: RunId,
    what: &str,
    body: Option<serde_json::Value>,
    json: bool,
) -> anyhow::Result<()> {
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let answer = local::call(context, Method::POST, &format!("/api/runs/{id}/{what}"), body).await?;
    if json {
        return out::json(&answer);
    }
    out::line(format!("{id}: {}", answer["status"].as_str().unwrap_or("done")))?;
    Ok(())
}
