//! One run: its steps on a time axis, what went in and came out, and what a person may do about it.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::layout::Place;
use super::parts::{self, Tone};
use super::query::Query;
use super::tree::tree;
use super::{Answer, Page, View, approvals};
use crate::dashboard::ADMIN;
use crate::dashboard::problem::Problem;
use crate::domain::approval::{ApprovalState, Settle};
use crate::domain::ids::{IdError, RunId};
use crate::domain::run::{RunState, StepKind, StepState};
use crate::domain::text::{clip_chars, spelled_line};
use crate::ledger::runs::{
    ApprovalFilter, ApprovalRow, CancelOutcome, RUNS_PAGE_MAX, RetryOutcome, RunContext, RunRow, SettleOutcome, StepRow,
};
use crate::workflow::engine::{Decider, SettleRequest};

/// Most steps that are shown; a loop has one for each item.
const STEPS_MAX: usize = 200;
/// Outputs that are shown unfolded into trees; each is bounded by itself.
const OUTPUTS_MAX: usize = 12;
/// Longest text of an output or an error, in characters.
const TEXT_CHARS_MAX: usize = 4000;
/// Width of the time axis in its own units.
const AXIS: i64 = 1000;
/// The least that a step is wide, so that it can be seen.
const STEP_WIDTH_MIN: i64 = 6;

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
            (steps(view, &run, &approvals))
            (outputs(&run))
            (inputs(&context))
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
                div { strong { (asked.step) " waits for a decision" } p.act { (approvals::in_short(asked)) } small { (parts::words_of(asked.kind.as_str())) " · asked " (parts::moment(asked.requested_at)) } }
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

fn steps(view: View<'_>, run: &RunRow, approvals: &[ApprovalRow]) -> Markup {
    let axis = Axis { begin: run.started_at, end: run.ended_at.unwrap_or(view.now) };
    html! {
        section aria-labelledby="h-steps" {
            div.title { h2 id="h-steps" { "Steps" } small.nowrap { (parts::span(axis.end.duration_since(axis.begin))) " in all" } }
            table.steps {
                thead { tr { th { "Step" } th { "State" } th.num.hide { "Took" } th.axis aria-hidden="true" {} } }
                tbody {
                    @for step in run.steps.iter().take(STEPS_MAX) {
                        tr.child[step.key.contains('[')] {
                            td {
                                span.what { (parts::title(&step.name)) }
                                small {
                                    @if let Some(tool) = &step.tool { (tool) } @else { (kind(step.kind)) }
                                    @if step.attempt > 1 { " · attempt " (step.attempt) }
                                    @if let Some(approval) = step.approval_id { " · " a href={ "/approvals/" (approval) } { "approval" } }
                                }
                            }
                            td { (parts::state(parts::step_tone(step.state), &parts::words_of(step.state.as_str()))) }
                            td.num.hide.nowrap { (duration(step)) }
                            td.axis aria-hidden="true" { (axis.bar(step, approvals)) }
                        }
                    }
                }
            }
            @if run.steps.len() > STEPS_MAX { p.soft.gap { "and " (run.steps.len() - STEPS_MAX) " more steps" } }
        }
    }
}

fn kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Tool => "",
        StepKind::Group => "side by side",
        StepKind::Loop => "for each",
    }
}

fn duration(step: &StepRow) -> Markup {
    html! {
        @match (step.started_at, step.ended_at) {
            (Some(began), Some(ended)) => (parts::span(ended.duration_since(began))),
            _ => span.soft { "—" },
        }
    }
}

/// The time of a run, from its first to its last moment.
struct Axis {
    begin: Timestamp,
    end: Timestamp,
}

impl Axis {
    fn at(&self, moment: Timestamp) -> i64 {
        let whole = i64::try_from(self.end.duration_since(self.begin).as_millis()).unwrap_or(i64::MAX).max(1);
        let part = i64::try_from(moment.duration_since(self.begin).as_millis()).unwrap_or(0).clamp(0, whole);
        i64::try_from(i128::from(part) * i128::from(AXIS) / i128::from(whole)).unwrap_or(AXIS)
    }

    fn rect(&self, from: Timestamp, to: Timestamp, tone: Tone, title: &str) -> Markup {
        let width = (self.at(to) - self.at(from)).max(STEP_WIDTH_MIN);
        let x = self.at(from).min(AXIS - width);
        html! { rect class=(tone.class()) x=(x) y="2" width=(width) height="8" rx="1" { title { (title) } } }
    }

    fn bar(&self, step: &StepRow, approvals: &[ApprovalRow]) -> Markup {
        let asked = step.approval_id.and_then(|id| approvals.iter().find(|approval| approval.id == id));
        html! {
            svg.bar viewBox={ "0 0 " (AXIS) " 12" } preserveAspectRatio="none" {
                rect.track x="0" y="2" width=(AXIS) height="8" {}
                @if let Some(asked) = asked {
                    @let until = asked.closed_at.unwrap_or(self.end);
                    (self.rect(asked.requested_at, until, Tone::Warn, &format!("waited for a decision, {}", parts::span(until.duration_since(asked.requested_at)))))
                }
                @if let Some(began) = step.started_at {
                    @let until = step.ended_at.unwrap_or(self.end);
                    (self.rect(began, until, parts::step_tone(step.state), &format!("{}, {}", step.name, parts::span(until.duration_since(began)))))
                }
            }
        }
    }
}

fn outputs(run: &RunRow) -> Markup {
    let with: Vec<&StepRow> = run.steps.iter().filter(|step| step.output.is_some() || step.error.is_some()).collect();
    html! {
        @if !with.is_empty() {
            section aria-labelledby="h-outputs" {
                div.title { h2 id="h-outputs" { "Outputs" } small { a href={ "/api/runs/" (run.id) "/artifacts" } { "as JSON" } } }
                @for step in with.iter().take(OUTPUTS_MAX) {
                    details.out id={ "out-" (step.key) } open[step.error.is_some()] {
                        summary { span { (parts::title(&step.name)) } (parts::state(parts::step_tone(step.state), &parts::words_of(step.state.as_str()))) }
                        div {
                            @if let Some(error) = &step.error { p.note.bad { (clip_chars(&spelled_lines(error), TEXT_CHARS_MAX)) } }
                            @if let Some(output) = &step.output { div.gap { (output_of(output, &step.name)) } }
                            @if step.truncated { p { small { "It was longer and is kept up to here." } } }
                            @if step.tainted && !says_nothing(step) { p { small { "It derives from the payload." } } }
                        }
                    }
                }
                @if with.len() > OUTPUTS_MAX { p.soft.gap { "and " (with.len() - OUTPUTS_MAX) " more; all are in the JSON" } }
            }
        }
    }
}

/// Whether a step printed nothing.
fn says_nothing(step: &StepRow) -> bool {
    step.output.as_ref().and_then(Value::as_str).is_some_and(|text| text.trim().is_empty())
}

fn output_of(output: &Value, step: &str) -> Markup {
    match output {
        Value::String(text) if text.trim().is_empty() => html! { p.soft { "It printed nothing." } },
        Value::String(text) => {
            html! { pre.code.wrap tabindex="0" { (clip_chars(&spelled_lines(text), TEXT_CHARS_MAX)) } }
        }
        other => tree(other, &format!("steps.{step}.output")),
    }
}

fn spelled_lines(text: &str) -> String {
    text.lines().map(spelled_line).collect::<Vec<_>>().join("\n")
}

fn inputs(context: &RunContext) -> Markup {
    let has = |value: &Value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty());
    let parts = [("payload", &context.payload), ("inputs", &context.inputs), ("facts", &context.facts)];
    let shown: Vec<_> = parts
        .into_iter()
        .filter(|(name, value)| has(value) && (*name == "payload" || **value != context.payload))
        .collect();
    html! {
        @if !shown.is_empty() {
            section aria-labelledby="h-inputs" {
                div.title { h2 id="h-inputs" { "What went in" } }
                @for (name, value) in shown {
                    details.out id={ "in-" (name) } {
                        summary { span { (name) } }
                        div { (tree(value, name)) }
                    }
                }
            }
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
        SettleOutcome::Settled => Ok("settled"),
        SettleOutcome::NotInDoubt { state } => {
            Err(Problem::conflict(format!("The step is not in doubt any more: it is {state}.")))
        }
        SettleOutcome::NotApprover { .. } | SettleOutcome::StaleButton => Err(Problem::forbidden("Nothing changed.")),
        SettleOutcome::Unknown => Err(Problem::not_found("There is no such run or step.")),
    }
}
