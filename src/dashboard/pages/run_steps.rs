//! A run's steps in a table, with their time on an axis. Members of a group and items of a loop stand beneath what they are
//! part of.

use jiff::Timestamp;
use maud::{Markup, html};

use super::View;
use super::parts::{self, Tone};
use super::run_values::matters;
use crate::domain::run::StepKind;
use crate::ledger::runs::{ApprovalRow, RunRow, StepRow};
use crate::workflow::definition::{StepBody, Workflow};

/// Bytes of markup that the rows take; a loop has a row for each item.
const ROWS_BYTES_MAX: usize = 24 * 1024;
/// Width of the time axis in its own units.
const AXIS: i64 = 1000;
/// The least that a step is wide, so that it can be seen.
const STEP_WIDTH_MIN: i64 = 6;
/// What stands before the keys of steps of `on_failure`.
const FAILURE_PREFIX: &str = "on_failure.";

/// The table; `definition` is what the run is pinned to, where that can be read.
pub(super) fn steps(view: View<'_>, run: &RunRow, definition: Option<&Workflow>, approvals: &[ApprovalRow]) -> Markup {
    let axis = Axis { begin: run.started_at, end: run.ended_at.unwrap_or(view.now) };
    let members = members(definition);
    let row = |step: &StepRow| {
        html! {
            tr class=[class(step, &members)] {
                td {
                    span.what { (parts::title(&step.name)) }
                    small {
                        @if let Some(tool) = &step.tool { (tool) } @else { (kind(step.kind)) }
                        @if step.key.starts_with(FAILURE_PREFIX) { " · on failure" }
                        @if step.attempt > 1 { " · attempt " (step.attempt) }
                        @if let Some(approval) = step.approval_id { " · " a href={ "/approvals/" (approval) } { "approval" } }
                    }
                }
                td { (parts::state(parts::step_tone(step.state), &parts::words_of(step.state.as_str()))) }
                td.num.hide.nowrap { (duration(step)) }
                td.axis aria-hidden="true" { (axis.bar(step, approvals)) }
            }
        }
    };
    let shown = parts::within(&run.steps, ROWS_BYTES_MAX, matters, row);
    html! {
        section aria-labelledby="h-steps" {
            div.title { h2 id="h-steps" { "Steps" } small.nowrap { (parts::span(axis.end.duration_since(axis.begin))) " in all" } }
            table.steps {
                thead { tr { th { "Step" } th { "State" } th.num.hide { "Took" } th.axis aria-hidden="true" {} } }
                tbody { @for row in &shown { (row) } }
            }
            @if run.steps.len() > shown.len() {
                p.soft.gap { "and " (run.steps.len() - shown.len()) " more steps; " a href={ "/api/runs/" (run.id) } { "all as JSON" } }
            }
        }
    }
}

/// The steps that stand within a group.
fn members(definition: Option<&Workflow>) -> Vec<&str> {
    let all = definition.into_iter().flat_map(|workflow| workflow.steps.iter().chain(&workflow.on_failure));
    let groups = all.filter_map(|step| match &step.body {
        StepBody::Tool(_) => None,
        StepBody::Parallel(members) => Some(members),
    });
    groups.flatten().map(|step| step.name.as_str()).collect()
}

/// How far a row is moved in.
fn class(step: &StepRow, members: &[&str]) -> Option<&'static str> {
    let whole = step.key.strip_prefix(FAILURE_PREFIX).unwrap_or(&step.key);
    let (name, is_item) = whole.split_once('[').map_or((whole, false), |(name, _)| (name, true));
    match usize::from(members.contains(&name)) + usize::from(is_item) {
        0 => None,
        1 => Some("in1"),
        _ => Some("in2"),
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
