//! `agent approvals`: what waits for a decision, and the decision.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::context::{self, Context};
use super::events::parse_limit;
use super::{Common, local, out, small_runtime};
use crate::channel::card_text;
use crate::domain::action_text;
use crate::domain::approval::ApprovalState;
use crate::domain::ids::ApprovalId;
use crate::domain::text::clip_chars;
use crate::ledger::RunLedger;
use crate::ledger::runs::{ApprovalFilter, ApprovalRow};

/// Approvals that are listed when nobody says how many.
const LIST_DEFAULT: usize = 30;

#[derive(Debug, Subcommand)]
pub(super) enum ApprovalsCommand {
    /// List approvals that wait for a decision, newest first
    List {
        /// Decided ones too
        #[arg(long)]
        all: bool,
        /// Only this state: pending, approved, denied, expired or cancelled
        #[arg(long, conflicts_with = "all")]
        state: Option<ApprovalState>,
        /// Only those of this run
        #[arg(long, value_name = "ID")]
        run: Option<crate::domain::ids::RunId>,
        /// Approvals to list
        #[arg(long, default_value_t = LIST_DEFAULT, value_name = "N", value_parser = parse_limit)]
        limit: usize,
        /// Go on where a list ended (its `next`)
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one: what would run, in full
    Show {
        /// The approval's id
        id: ApprovalId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say yes
    Approve {
        /// The approval's id
        id: ApprovalId,
        /// Why
        #[arg(long)]
        reason: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say no: nothing further of the run happens
    Deny {
        /// The approval's id
        id: ApprovalId,
        /// Why
        #[arg(long)]
        reason: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Longest action in a list, in characters.
const ACTION_CHARS_MAX: usize = 80;

pub(super) fn approvals(common: &Common, command: ApprovalsCommand) -> anyhow::Result<ExitCode> {
    let context = context::load(common)?;
    small_runtime()?.block_on(async {
        match command {
            ApprovalsCommand::List { all, state, run, limit, cursor, json } => {
                let state = if all { None } else { Some(state.unwrap_or(ApprovalState::Pending)) };
                list(&*context.runs()?, ApprovalFilter { state, run, limit, cursor }, json).await
            }
            ApprovalsCommand::Show { id, json } => show(&*context.runs()?, id, json).await,
            ApprovalsCommand::Approve { id, reason, json } => decide(&context, id, "approve", reason, json).await,
            ApprovalsCommand::Deny { id, reason, json } => decide(&context, id, "deny", reason, json).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn list(ledger: &dyn RunLedger, filter: ApprovalFilter, json: bool) -> anyhow::Result<()> {
    let page = ledger.approvals(filter).await?;
    let cells = |row: &ApprovalRow| {
        vec![
            row.requested_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            row.id.to_string(),
            out::harmless(&row.workflow),
            out::harmless(&row.step),
            row.state.to_string(),
            row.expires_at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default(),
            clip_chars(&out::harmless(&action_text::in_short(&row.action)), ACTION_CHARS_MAX),
        ]
    };
    out::page(&page, json, "no approvals", &["ASKED", "ID", "WORKFLOW", "STEP", "STATE", "EXPIRES", "ACTION"], cells)
}

async fn show(ledger: &dyn RunLedger, id: ApprovalId, json: bool) -> anyhow::Result<()> {
    let Some(row) = ledger.approval(id).await? else {
        anyhow::bail!("there is no approval {id}: 'agent approvals list --all' shows them")
    };
    if json {
        return out::json(&row);
    }
    for line in card_text(&row).lines() {
        out::line(out::harmless(line))?;
    }
    Ok(())
}

async fn decide(
    context: &Context,
    id: ApprovalId,
    verdict: &str,
    reason: Option<String>,
    json: bool,
) -> anyhow::Result<()> {
    let body = json!({ "verdict": verdict, "reason": reason, "channel": "cli" }).to_string().into_bytes();
    let answer = local::call(context, Method::POST, &format!("/api/approvals/{id}"), body).await?;
    if json {
        return out::json(&answer);
    }
    match (answer["votes"].as_u64(), answer["votes_needed"].as_u64(), answer["state"].as_str()) {
        (Some(votes), Some(needed), _) => out::line(format!("{id}: your vote counts, {votes} of {needed}"))?,
        (_, _, Some(state)) => out::line(format!("{id}: {state}"))?,
        _ => out::line(format!("{id}: done"))?,
    }
    Ok(())
}
