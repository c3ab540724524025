//! One line and what comes of it: messages at once, or an answer that is waited for, and the cards of what it proposed.

use std::time::Duration;

use anyhow::bail;
use http::Method;
use rustyline::DefaultEditor;
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::{local, out};
use super::interrupts::Interrupts;
use super::show::{self, Growing};
use crate::channel::card_text;
use crate::domain::approval::ApprovalState;
use crate::domain::ids::RunId;
use crate::ledger::runs::{ApprovalFilter, ApprovalRow};

/// Seconds that one request waits for more of an answer.
const WAIT_SECONDS: u64 = 20;
/// The number of the first text of a model in a turn.
const FIRST_PART: u64 = 1;
/// Characters that must be new before an answer is looked at again.
const SEEN_STEP: usize = 40;
/// Pauses between looks for a card or for the end of a run.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks for a card before it is left to `agent approvals`.
const CARD_LOOKS_MAX: usize = 50;
/// Looks for the end of what was decided before it is left to `agent runs`.
const END_LOOKS_MAX: usize = 1500;
/// Answers that follow from one line: what is proposed after an outcome, and so on.
const FOLLOW_MAX: usize = 8;

/// Answers `line`. With an editor what is proposed is asked about; without one it waits for a decision elsewhere.
pub(super) async fn answer(
    context: &Context,
    line: &str,
    mut editor: Option<&mut DefaultEditor>,
    interrupts: &Interrupts,
) -> anyhow::Result<()> {
    let _answering = interrupts.answering();
    let body = json!({ "text": line }).to_string().into_bytes();
    let said = local::call(context, Method::POST, "/api/chat", body).await?;
    if let Some(messages) = said["messages"].as_array() {
        return messages.iter().try_for_each(show::message);
    }
    let Some(turn) = said["turn"].as_str() else { bail!("the agent does not say where the answer is") };
    let mut next = Some(turn.to_owned());
    for _ in 0..FOLLOW_MAX {
        let Some(turn) = next.take() else { break };
        let Some(answered) = wait(context, &turn, interrupts).await? else {
            out::line("Stopped.")?;
            return Ok(());
        };
        let proposed = answered["proposed"].as_array().cloned().unwrap_or_default();
        for run in proposed.iter().filter_map(Value::as_str).filter_map(|run| run.parse::<RunId>().ok()) {
            if ask(context, run, editor.as_deref_mut()).await? {
                next = end_of(context, run, interrupts).await?;
            }
        }
    }
    Ok(())
}

/// Prints the answer as it grows, and gives the turn once it has ended; `None` when it was stopped by Ctrl-C.
async fn wait(context: &Context, turn: &str, interrupts: &Interrupts) -> anyhow::Result<Option<Value>> {
    let mut growing = Growing::default();
    growing.hint("", &[])?;
    let (mut part, mut seen) = (FIRST_PART, 0);
    loop {
        let path = format!("/api/chat/{turn}?part={part}&seen={seen}&wait={WAIT_SECONDS}");
        let look = tokio::select! {
            look = local::call(context, Method::GET, &path, Vec::new()) => look?,
            () = interrupts.cancelled() => {
                growing.clear()?;
                let body = json!({ "text": "/cancel" }).to_string().into_bytes();
                local::call(context, Method::POST, "/api/chat", body).await?;
                return Ok(None);
            }
        };
        let ended = look["ended"] == json!(true);
        if ended && look["state"] == "cancelled" {
            growing.clear()?;
            return Ok(None);
        }
        growing.show(&look)?;
        if ended {
            return Ok(Some(look));
        }
        part = look["part"].as_u64().unwrap_or(part).max(FIRST_PART);
        // A few words at once are enough: nobody reads faster.
        seen = look["text"].as_str().unwrap_or_default().chars().count() + SEEN_STEP;
    }
}

/// Shows the card of a proposal and asks. `true`: it was decided.
async fn ask(context: &Context, run: RunId, editor: Option<&mut DefaultEditor>) -> anyhow::Result<bool> {
    let Some(approval) = card_of(context, run).await? else {
        out::line(format!("{run} asks nothing yet: agent approvals list"))?;
        return Ok(false);
    };
    for line in card_text(&approval).lines() {
        out::line(out::harmless(line))?;
    }
    let Some(editor) = editor else { return Ok(false) };
    let verdict = match editor.readline("Approve? [yes/no, Enter decides later] ") {
        Ok(said) => match said.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => "approve",
            "n" | "no" => "deny",
            _ => {
                out::line("It waits: /approvals lists it.")?;
                return Ok(false);
            }
        },
        Err(_) => return Ok(false),
    };
    let body = json!({ "verdict": verdict, "channel": "cli" }).to_string().into_bytes();
    let decided = local::call(context, Method::POST, &format!("/api/approvals/{}", approval.id), body).await?;
    Ok(decided["state"].as_str().is_some_and(|state| state != "pending"))
}

/// The question that a run asks, once it does.
async fn card_of(context: &Context, run: RunId) -> anyhow::Result<Option<ApprovalRow>> {
    let ledger = context.runs()?;
    for _ in 0..CARD_LOOKS_MAX {
        let filter = ApprovalFilter {
            run: Some(run),
            state: Some(ApprovalState::Pending),
            limit: 1,
            ..ApprovalFilter::default()
        };
        if let Some(approval) = ledger.approvals(filter).await?.items.pop() {
            return Ok(Some(approval));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

/// The turn that tells how a run ended.
async fn end_of(context: &Context, run: RunId, interrupts: &Interrupts) -> anyhow::Result<Option<String>> {
    let path = format!("/api/chat/{run}");
    for _ in 0..END_LOOKS_MAX {
        let answer = local::api(context, Method::GET, &path, Vec::new()).await?;
        if answer.status.is_success() {
            let turn: Value = serde_json::from_str(&answer.body)?;
            return Ok(turn["id"].as_str().map(str::to_owned));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = interrupts.cancelled() => break,
        }
    }
    out::line(format!("It is still at work: agent runs show {run}"))?;
    Ok(None)
}
