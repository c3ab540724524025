//! One run: where it stands, and what a person may do about it; `run_steps` and `run_values` show the rest of its page.

use jiff::Timestamp;
use maud::{Markup, html};

use super::layout::Place;
use super::parts;
use super::query::Query;
use super::{Answer, Page, View, approvals, run_steps, run_values};
use crate::dashboard::ADMIN;
use crate::dashboard::problem::Problem;
use crate::domain::approval::{ApprovalState, Settle};
use crate::domain::ids::{IdError, RunId};
use crate::domain::run::{RunState, StepState};
use crate::ledger::runs::{
    ApprovalFilter, ApprovalRow, CancelOutcome, RUNS_PAGE_MAX, RetryOutcome, RunRow, SettleOutcome, StepRow,
};
use crate::workflow::engine::{Decider, SettleRequest};

async fn find(view: View<'_>, id: &str) -> Result<RunRow, Problem> {
    let id: RunId = id.parse().map_err(|error: IdError| Problem::not_found(error.to_string()))?;
    let row = view.api.triggers.engine.ledger().run(id).await?;
    row.ok_or_else(|| Problem::not_found(format!("There is no run {id}.")))
}

pub(super) async fn show(view: View<'_>, id: &str) -> Result<Page, Problem> {
    let run = find(view, id).await?;
    let ledger = view.api.triggers.engine.ledger();
    let filter = ApprovalFilter { run: Some(run.id), limit: RUNS_PAGE_MAX, ..ApprovalFilter::default() };
    let approvals = ledger.approvals(filter).await?.items;
    let context = ledger.run_context(run.id).await?.unwrap_or_default();
    let definition = view.api.triggers.engine.definition(&run).await?;
    let body = html! {
        div id="run" data-live {
            (head(view, &run))
            @if let Some(asked) = approvals.iter().find(|approval| approval.state == ApprovalState::Pending) {
                (waiting(asked))
            } @else if let Some(step) = run.steps.iter().find(|step| step.state == StepState::InDoubt) {
                (doubt(view, &run, step))
            } @else if let Some(reason) = &run.reason {
                p.note.bad[run.state == RunState::Error] { (parts::told(reason)) }
            }
            (run_steps::steps(view, &run, definition.as_deref(), &approvals))
            (run_values::values(&run, &context))
        }
    };
    Ok(Page::new(Place::Runs, format!("{} · run", run.workflow), body))
}

fn head(view: View<'_>, run: &RunRow) -> Markup {
    let at = |what: &str| format!("/runs/{}/{what}", run.id);
    html! {
        div.head {
            div {
                p.crumb { a href="/runs" { "Runs" } }
                h1 { (run.workflow) }
                p.sub {
                    (parts::run_state(run.state))
                    span { (parts::moment(run.started_at)) }
                    span { (took(run, view.now)) }
                    span { "by " (parts::title(&run.started_by)) }
                    @if let Some(event) = run.event_id { a href={ "/events/" (event) } { "its event" } }
                    @if let Some(parent) = &run.parent { a href={ "/runs/" (parent.run) } { "its parent run" } }
                    a href={ "/workflows/" (run.workflow) } { "workflow" }
                    span.mono title=(run.workflow_hash) { (run.workflow_hash.chars().take(15).collect::<String>()) }
                    span.mono { (parts::short_id(&run.id.to_string())) " " (parts::copy(&run.id.to_string())) }
                }
            }
            div.acts {
                @if run.state == RunState::Error { (parts::change(&at("retry"), view.csrf, &html! { button.primary { "Retry from the failed step" } })) }
                @if !run.state.is_ended() { (parts::change(&at("cancel"), view.csrf, &html! { button.danger { "Cancel run" } })) }
            }
        }
    }
}

fn took(run: &RunRow, now: Timestamp) -> String {
    match run.ended_at {
        Some(ended) => format!("took {}", parts::span(ended.duration_since(run.started_at))),
        None => format!("for {} now", parts::span(now.duration_since(run.started_at))),
    }
}

fn waiting(asked: &ApprovalRow) -> Markup {
    html! {
        ul.asks aria-label="Waiting for you" {
            li {
                div { strong { (asked.step) " waits for a decision" } p.act { (approvals::in_short(asked)) } small { "asked " (parts::moment(asked.requested_at)) } }
                a.button.primary href={ "/approvals/" (asked.id) } { "Review" }
            }
        }
    }
}

/// A step of which nobody knows whether it happened.
fn doubt(view: View<'_>, run: &RunRow, step: &StepRow) -> Markup {
    html! {
        div.note.bad {
            p { strong { "Did " (step.name) " happen?" } }
            p { "The agent ended between its beginning and its end. It is not run again until somebody says." }
            (parts::change(&format!("/runs/{}/settle", run.id), view.csrf, &html! {
                input type="hidden" name="step" value=(step.key);
                div.acts.gap {
                    button name="verdict" value="happened" { "It happened" }
                    button name="verdict" value="not-happened" { "It did not" }
                    button name="verdict" value="leave" { "Leave the run" }
                }
            }))
        }
    }
}

pub(super) async fn act(view: View<'_>, id: &str, what: &str, form: &Query) -> Result<Answer, Problem> {
    let run = find(view, id).await?.id;
    let engine = &view.api.triggers.engine;
    let done = match what {
        "cancel" => match engine.cancel(run, ADMIN).await? {
            CancelOutcome::Ended { .. } => "cancelled",
            CancelOutcome::Asked => "stopping",
            CancelOutcome::AlreadyEnded { state } => {
                return Err(Problem::conflict(format!("The run has ended: {state}.")));
            }
            CancelOutcome::Unknown => return Err(Problem::not_found("There is no such run.")),
        },
        "retry" => match engine.retry(run, ADMIN).await? {
            RetryOutcome::Again => "retried",
            RetryOutcome::NotFailed { state } => {
                return Err(Problem::conflict(format!("Only a run that failed can go on; it is {state}.")));
            }
            RetryOutcome::Unknown => return Err(Problem::not_found("There is no such run.")),
        },
        _ => settle(view, run, form).await?,
    };
    Ok(Answer::See(format!("/runs/{run}?done={done}")))
}

/// Says what became of a step in doubt.
pub(super) async fn settle(view: View<'_>, run: RunId, form: &Query) -> Result<&'static str, Problem> {
    let step = form.get("step").unwrap_or_default().to_owned();
    let verdict: Settle = form
        .get("verdict")
        .unwrap_or_default()
        .parse()
        .map_err(|_| Problem::bad_request("Say happened, not-happened or leave."))?;
    let request =
        SettleRequest { run, step, verdict, by: Decider::LocalAdmin, channel: "dashboard".to_owned(), nonce: None };
    match view.api.triggers.engine.settle(request).await? {
        SettleOutcome::Settled if verdict == Settle::Leave => Ok("left"),
        SettleOutcome::Settled => Ok("settled"),
        SettleOutcome::NotInDoubt { state } => {
            Err(Problem::conflict(format!("The step is not in doubt any more: it is {state}.")))
        }
        SettleOutcome::NotApprover { .. } | SettleOutcome::StaleButton => Err(Problem::forbidden("Nothing changed.")),
        SettleOutcome::Unknown => Err(Problem::not_found("There is no such run or step.")),
    }
}
