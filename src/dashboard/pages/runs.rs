//! The list of runs.

use maud::{Markup, html};

use super::layout::Place;
use super::{Page, View, parts};
use crate::dashboard::problem::Problem;
use crate::domain::ids::EventId;
use crate::domain::run::{RunState, StepState};
use crate::ledger::runs::{RunFilter, RunRow};

/// Runs on a page.
const PAGE_RUNS: usize = 50;

pub(super) async fn show(view: View<'_>) -> Result<Page, Problem> {
    let state = view.query.get("state").map(str::parse::<RunState>).transpose();
    let event = view.query.get("event").map(str::parse::<EventId>).transpose();
    let filter = RunFilter {
        workflow: view.query.get("workflow").map(str::to_owned),
        state: state.map_err(|error| Problem::bad_request(error.to_string()))?,
        event: event.map_err(|error| Problem::bad_request(error.to_string()))?,
        since: None,
        limit: PAGE_RUNS,
        cursor: view.query.get("cursor").map(str::to_owned),
    };
    let filtered = filter.workflow.is_some() || filter.state.is_some() || filter.event.is_some();
    let found = view.api.triggers.engine.ledger().runs(filter).await?;
    let body = html! {
        div.head { div { h1 { "Runs" } } div.acts { span id="live" class="st idle" data-js hidden { "connecting" } } }
        (filters(view))
        div id="runs" data-live[view.query.get("cursor").is_none()] {
            @if !found.items.is_empty() {
                (table(view, &found.items))
            } @else if filtered || view.query.get("cursor").is_some() {
                (parts::empty("Nothing matches", &html! { a href="/runs" { "Show all" } }))
            } @else {
                (parts::empty("No runs yet", &html! { "A run begins when an event matches a " a href="/workflows" { "workflow" } ", or when you start one by hand." }))
            }
        }
        div.more {
            @if view.query.get("cursor").is_some() { a href=(view.query.with("/runs", "cursor", "", &[])) { "← Newest" } } @else { span {} }
            @if let Some(next) = &found.next { a rel="next" href=(view.query.with("/runs", "cursor", next, &["done"])) { "Older →" } }
        }
    };
    Ok(Page::new(Place::Runs, "Runs", body))
}

fn filters(view: View<'_>) -> Markup {
    let state = view.query.get("state").unwrap_or_default();
    let workflow = view.query.get("workflow").unwrap_or_default();
    html! {
        form.filters.auto action="/runs" {
            div.field {
                label for="workflow" { "Workflow" }
                select id="workflow" name="workflow" {
                    option value="" { "all" }
                    @for known in view.api.triggers.catalog.list() { option selected[known.name == workflow] { (known.name) } }
                }
            }
            div.field {
                label for="state" { "State" }
                select id="state" name="state" {
                    option value="" { "any" }
                    @for known in RunState::ALL { option value=(known) selected[known.as_str() == state] { (parts::words_of(known.as_str())) } }
                }
            }
            button { "Apply" }
        }
    }
}

/// A table of runs; a workflow's page shows one too.
pub(super) fn table(view: View<'_>, rows: &[RunRow]) -> Markup {
    html! {
        table.list {
            thead { tr { th { "Run" } th { "State" } th.num.hide { "Took" } th.num { "Started" } } }
            tbody {
                @for row in rows {
                    tr data-id=(row.id) {
                        td.grow {
                            a.what.clip href={ "/runs/" (row.id) } { (row.workflow) }
                            small.clip { (where_it_is(row)) }
                        }
                        td { (parts::run_state(row.state)) }
                        td.num.hide.nowrap { @if let Some(ended) = row.ended_at { (parts::span(ended.duration_since(row.started_at))) } @else { span.soft { "—" } } }
                        td.num { (parts::ago(row.started_at, view.now)) }
                    }
                }
            }
        }
    }
}

/// The step at which a run stands, or what started it.
fn where_it_is(row: &RunRow) -> String {
    let at = row.steps.iter().find(|step| {
        matches!(
            step.state,
            StepState::Waiting
                | StepState::Started
                | StepState::Error
                | StepState::InDoubt
                | StepState::Denied
                | StepState::Expired
        )
    });
    let at = at.map(|step| format!("at {}", step.name));
    let queued = (row.queued && row.reason.is_none()).then(|| "waits for its turn".to_owned());
    let told = [at, Some(row.started_by.clone()), queued, row.reason.clone()];
    parts::row_more(&told.into_iter().flatten().collect::<Vec<_>>().join(" · "))
}
