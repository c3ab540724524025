//! The list of workflows, and what is wrong with their files.

use maud::{Markup, html};

use super::layout::Place;
use super::{Page, View, parts};
use crate::domain::fault::Fault;
use crate::workflow::definition::{Trigger, Workflow};

/// Faults that are listed.
const FAULTS_MAX: usize = 50;

pub(super) fn show(view: View<'_>) -> Page {
    let catalog = &view.api.triggers.catalog;
    let all = catalog.list();
    let faults = catalog.faults();
    let stale = |workflow: &Workflow| faults.iter().any(|fault| fault.file == workflow.file);
    let body = html! {
        div.head { div { h1 { "Workflows" } p.sub { span { "Files in " span.mono { (catalog.folder().display()) } ", read again when they change." } } } }
        (wrong(&faults))
        @if all.is_empty() {
            (parts::empty("No workflows yet", &html! { "Put a " code { ".yaml" } " file into the folder above; the examples of the documentation are a beginning." }))
        } @else {
            table.list {
                thead { tr { th { "Workflow" } th { "State" } th.hide { "Starts" } th.num.hide { "Steps" } } }
                tbody {
                    @for workflow in &all {
                        tr {
                            td.grow {
                                a.what.clip href={ "/workflows/" (workflow.name) } { (workflow.name) }
                                small.clip { (parts::title(&workflow.description)) }
                            }
                            td { (state(workflow, stale(workflow))) }
                            td.hide { (starts(workflow)) }
                            td.num.hide { (workflow.steps.len()) }
                        }
                    }
                }
            }
        }
    };
    Page::new(Place::Workflows, "Workflows", body)
}

/// Enabled, disabled, or served from an older version than the file.
pub(super) fn state(workflow: &Workflow, stale: bool) -> Markup {
    match (stale, workflow.enabled) {
        (true, _) => parts::state(parts::Tone::Bad, "file has faults"),
        (false, true) => parts::state(parts::Tone::Good, "enabled"),
        (false, false) => parts::state(parts::Tone::Idle, "disabled"),
    }
}

/// What starts it, in a few words.
pub(super) fn starts(workflow: &Workflow) -> String {
    match (workflow.trigger, &workflow.on) {
        (Trigger::Webhook, Some(on)) => {
            let handler = on.handler.as_deref().unwrap_or("any handler");
            let events = match on.events.as_slice() {
                [] => String::new(),
                [one] => format!(" {one}"),
                [one, rest @ ..] => format!(" {one} and {} more", rest.len()),
            };
            format!("{handler}{events}")
        }
        (Trigger::Webhook, None) => "its own route".into(),
        (Trigger::Manual, _) => "by hand".into(),
        (Trigger::Schedule, _) => "by the clock".into(),
    }
}

fn wrong(faults: &[Fault]) -> Markup {
    html! {
        @if !faults.is_empty() {
            div.note.bad role="note" {
                h2 { @if faults.len() == 1 { "A file has a fault" } @else { (faults.len()) " faults in the files" } }
                p { "What was loaded before stays in use." }
                ul { @for fault in faults.iter().take(FAULTS_MAX) { li { (parts::title(&fault.to_string())) } } }
            }
        }
    }
}
