//! Replaying an event: first what it would start and say, then the button.

use maud::{Markup, html};

use super::layout::Place;
use super::parts::{self, Tone};
use super::{Answer, Page, View, event};
use crate::agent::DryRun;
use crate::dashboard::problem::Problem;
use crate::domain::ids::EventId;
use crate::workflow::definition::{Backtest, StepForecast};

/// Most workflows that are listed.
const WORKFLOWS_MAX: usize = 100;

pub(super) async fn show(view: View<'_>, id: &str) -> Result<Page, Problem> {
    let detail = event::find(view, id).await?;
    if event::is_refused(detail.row.status) {
        return Err(Problem::conflict("Only the first bytes of its body were kept, so it cannot be replayed."));
    }
    let dry = view.api.triggers.dry_run(&detail);
    let name = event::name(&detail.row);
    let starting = dry.workflows.iter().filter(|(_, test)| test.starts).count();
    let body = html! {
        div.head { div {
            p.crumb { a href="/events" { "Events" } a href={ "/events/" (detail.row.id) } { (name) } }
            h1 { "Replay" }
            p.sub { "Nothing has happened yet. This is what handling the event once more would do, by the workflows of now." }
        } }
        div.split {
            div {
                section aria-labelledby="h-start" {
                    div.title { h2 id="h-start" { "What would start" } }
                    (workflows(&dry))
                }
                section aria-labelledby="h-said" {
                    div.title { h2 id="h-said" { "What would be said" } }
                    (message(&dry))
                }
            }
            aside aria-label="Replay" {
                div.note.warn[starting > 0] {
                    p {
                        "A new event is made of this one's body and headers. "
                        @match starting {
                            0 => "No workflow starts.",
                            1 => "One workflow starts, with its real effects.",
                            more => { (more) " workflows start, with their real effects." }
                        }
                    }
                }
                div.acts.gap {
                    (parts::change(&format!("/events/{}/replay", detail.row.id), view.csrf, &html! { button.primary { "Replay now" } }))
                    a.button href={ "/events/" (detail.row.id) } { "Cancel" }
                }
            }
        }
    };
    Ok(Page::new(Place::Events, "Replay", body))
}

pub(super) async fn act(view: View<'_>, id: &str) -> Result<Answer, Problem> {
    let original = event::find(view, id).await?.row.id;
    let replay = EventId::new(view.api.ids.ulid(view.now));
    view.api.ledger.replay(original, replay, view.now).await?;
    Ok(Answer::See(format!("/events/{replay}?done=replayed")))
}

fn workflows(dry: &DryRun) -> Markup {
    html! {
        @if dry.workflows.is_empty() {
            (parts::empty("Nothing", &html! { "No workflow listens to this handler." }))
        } @else {
            table.loose {
                thead { tr { th { "Workflow" } th { "Would" } th { "Why, or with which steps" } } }
                tbody {
                    @for (name, test) in dry.workflows.iter().take(WORKFLOWS_MAX) {
                        tr {
                            td { a href={ "/workflows/" (name) } { (name) } }
                            td { (outcome(test)) }
                            td { (why(test)) }
                        }
                    }
                }
            }
        }
    }
}

/// Whether a workflow starts.
pub(super) fn outcome(test: &Backtest) -> Markup {
    if test.starts { parts::state(Tone::Good, "start") } else { parts::state(Tone::Idle, "not start") }
}

/// The reason, or what each step would do.
pub(super) fn why(test: &Backtest) -> Markup {
    html! {
        @if let Some(reason) = &test.reason { span.soft { (parts::title(reason)) } }
        @for step in &test.steps {
            div { (step_forecast(step)) }
        }
    }
}

fn step_forecast(step: &StepForecast) -> Markup {
    let (tone, words) = match step.outcome {
        "runs" => (Tone::Good, ""),
        "asks" => (Tone::Warn, " asks first"),
        "skipped" => (Tone::Idle, " is skipped"),
        "depends" => (Tone::Busy, " depends on earlier steps"),
        _ => (Tone::Bad, " fails"),
    };
    html! {
        (parts::state(tone, &format!("{}{words}", step.step)))
        @if let Some(reason) = &step.reason { small { ": " (parts::title(reason)) } }
    }
}

fn message(dry: &DryRun) -> Markup {
    html! {
        @match (&dry.message, &dry.chat) {
            (Some(message), Some(chat)) => {
                div.chat { (parts::bubble(message)) small { "to " (chat) } }
            }
            (Some(_), None) => { (parts::empty("Nothing", &html! { "This handler's notices go to nobody." })) }
            (None, _) => { (parts::empty("The outcome only", &html! { "It came to a workflow's own route: what the run comes to is told when it ends." })) }
        }
    }
}
