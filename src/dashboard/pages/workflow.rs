//! One workflow: its source with what is wrong at the line, a run by hand, and what it would have done with past events.

use maud::{Markup, html};

use super::layout::Place;
use super::parts::{self, Tone};
use super::source::source;
use super::{Page, View, replay, runs, workflows};
use crate::agent::Tested;
use crate::dashboard::problem::Problem;
use crate::domain::fault::Fault;
use crate::domain::text::clip_chars;
use crate::ledger::runs::RunFilter;
use crate::workflow::definition::{Step, StepBody, Trigger, Workflow};

/// Runs that are listed.
const RUNS_LISTED: usize = 8;
/// Longest condition, in characters.
const WHEN_CHARS_MAX: usize = 240;
/// Bytes of markup that the rows of a backtest take.
const TESTED_BYTES_MAX: usize = 24 * 1024;
/// Events that a backtest can look at.
const BACKTESTS: [usize; 3] = [20, 50, 200];

/// What was typed into the form for a run by hand, and why it did not start.
pub(super) struct Refused<'a> {
    pub(super) inputs: &'a str,
    pub(super) why: String,
}

pub(super) async fn show(view: View<'_>, name: &str, refused: Option<Refused<'_>>) -> Result<Page, Problem> {
    let catalog = &view.api.triggers.catalog;
    let workflow = catalog.get(name).ok_or_else(|| {
        Problem::not_found(
            "There is no such workflow, or its file never loaded: the list of workflows shows such files.",
        )
    })?;
    let faults: Vec<Fault> = catalog.faults().into_iter().filter(|fault| fault.file == workflow.file).collect();
    let filter = RunFilter { workflow: Some(workflow.name.clone()), limit: RUNS_LISTED, ..RunFilter::default() };
    let last = view.api.triggers.engine.ledger().runs(filter).await?.items;
    let tested = backtest(view, &workflow).await?;
    // The file as it is on disk is not what runs while it has faults.
    let on_disk = catalog.file_text(&workflow.name).unwrap_or_else(|| workflow.source.to_string());
    let body = html! {
        (head(view, &workflow, !faults.is_empty()))
        div.split {
            div {
                (source(&workflow.file, &on_disk, &faults, &workflow.notes, "The file has faults. Its last good version runs until they are mended."))
                (test(view, &workflow, tested.as_deref()))
                @if !last.is_empty() {
                    section aria-labelledby="h-runs" {
                        div.title { h2 id="h-runs" { "Last runs" } a href={ "/runs?workflow=" (workflow.name) } { "all" } }
                        div id="runs" data-live { (runs::table(view, &last)) }
                    }
                }
            }
            aside aria-label="About this workflow" {
                (facts(view, &workflow))
                (by_hand(view, &workflow, refused))
            }
        }
    };
    Ok(Page::new(Place::Workflows, workflow.name.clone(), body))
}

fn head(view: View<'_>, workflow: &Workflow, stale: bool) -> Markup {
    let (word, to) = if workflow.enabled { ("Disable", "false") } else { ("Enable", "true") };
    html! {
        div.head {
            div {
                p.crumb { a href="/workflows" { "Workflows" } }
                h1 { (workflow.name) }
                p.sub {
                    (workflows::state(workflow, stale))
                    @if !workflow.description.is_empty() { span { (parts::told(&workflow.description)) } }
                }
            }
            div.acts {
                (parts::change(&format!("/workflows/{}/enabled", workflow.name), view.csrf, &html! {
                    input type="hidden" name="enabled" value=(to);
                    button { (word) }
                }))
            }
        }
    }
}

async fn backtest(view: View<'_>, workflow: &Workflow) -> Result<Option<Vec<Tested>>, Problem> {
    let Some(last) = view.query.get("last").and_then(|last| last.parse::<usize>().ok()) else { return Ok(None) };
    let most = BACKTESTS[BACKTESTS.len() - 1];
    let tested = view.api.triggers.backtest(view.api.ledger.as_ref(), workflow, last.clamp(1, most)).await?;
    Ok(Some(tested))
}

fn test(view: View<'_>, workflow: &Workflow, tested: Option<&[Tested]>) -> Markup {
    let last = view.query.get("last").unwrap_or_default();
    let row = |test: &Tested| {
        html! {
            tr {
                td { a href={ "/events/" (test.event_id) } { (parts::row_title(test.title.as_deref().unwrap_or(&test.event))) } br; small { (parts::row_more(&test.event)) } }
                td { (replay::outcome(&test.outcome)) }
                td { (replay::why(&test.outcome)) }
            }
        }
    };
    let rows = parts::within(tested.unwrap_or_default(), TESTED_BYTES_MAX, |test| test.outcome.starts, row);
    html! {
        section aria-labelledby="test" {
            div.title { h2 id="test" { "Backtest" } small { "asks the trigger and the conditions; changes nothing" } }
            form.filters action={ "/workflows/" (workflow.name) "#test" } {
                div.field {
                    label for="last" { "Against the last" }
                    select id="last" name="last" {
                        @for count in BACKTESTS { option value=(count) selected[count.to_string() == last] { (count) " events" } }
                    }
                }
                button { "Test" }
            }
            @match tested {
                None => {}
                Some([]) => (parts::empty("No events to test with", &html! { "None that it listens to is kept." })),
                Some(tested) => {
                    p.soft { (tested.iter().filter(|test| test.outcome.starts).count()) " of " (tested.len()) " events would start it." }
                    table.loose {
                        thead { tr { th { "Event" } th { "Would" } th { "Why, or with which steps" } } }
                        tbody { @for row in &rows { (row) } }
                    }
                    @if tested.len() > rows.len() { p.soft.gap { "and " (tested.len() - rows.len()) " more; " code { "agent workflow test" } " lists all" } }
                }
            }
        }
    }
}

fn facts(view: View<'_>, workflow: &Workflow) -> Markup {
    html! {
        section aria-labelledby="h-facts" {
            h2.sr id="h-facts" { "Facts" }
            dl.facts {
                dt { "Starts" } dd { (workflows::starts(workflow)) }
                @if let Some(when) = workflow.on.as_ref().and_then(|on| on.when.as_ref()) { dt { "When" } dd.mono { (clip_chars(when.source(), WHEN_CHARS_MAX)) } }
                @if workflow.trigger == Trigger::Webhook {
                    dt { "Route" } dd.mono { (view.site().url(&format!("/webhooks/{}", workflow.name))) }
                }
                @if let Some(timeout) = workflow.timeout { dt { "Timeout" } dd { (parts::span(jiff::SignedDuration::try_from(timeout).unwrap_or_default())) } }
                @if let Some(concurrency) = &workflow.concurrency { dt { "At once" } dd { (concurrency.limit) " per key" } }
                dt { "Steps" }
                dd {
                    (steps(&workflow.steps))
                    @if !workflow.on_failure.is_empty() { small { "on failure" } (steps(&workflow.on_failure)) }
                }
                dt { "Hash" } dd.mono title=(workflow.hash) { (workflow.hash.chars().take(15).collect::<String>()) "…" }
            }
        }
    }
}

/// Steps with their tools; a group's members stand beneath it.
fn steps(steps: &[Step]) -> Markup {
    html! {
        ol { @for step in steps {
            li {
                (step.name)
                @match &step.body {
                    StepBody::Tool(tool) => {
                        small { " " (tool.tool.name) @if step.for_each.is_some() { " for each" } }
                        @if tool.gate.is_some() { " " (parts::state(Tone::Warn, "asks")) }
                    }
                    StepBody::Parallel(members) => { small { " side by side" } div.members { (self::steps(members)) } }
                }
            }
        } }
    }
}

fn by_hand(view: View<'_>, workflow: &Workflow, refused: Option<Refused<'_>>) -> Markup {
    let typed = refused.as_ref().map_or("{\n}", |refused| refused.inputs);
    html! {
        section aria-labelledby="h-run" {
            div.title { h2 id="h-run" { "Run by hand" } }
            @if let Some(refused) = &refused { p.note.bad role="alert" { (parts::told(&refused.why)) } }
            @if workflow.enabled {
                (parts::change(&format!("/workflows/{}/run", workflow.name), view.csrf, &html! {
                    div.stack {
                        div.field {
                            label for="inputs" { "Inputs, a JSON object; steps see it as " code { "inputs" } " and " code { "payload" } }
                            textarea id="inputs" name="inputs" rows="5" spellcheck="false" { (typed) }
                        }
                        div.acts { button.primary { "Run now" } }
                    }
                }))
            } @else {
                p.soft { "It is disabled." }
            }
        }
    }
}
