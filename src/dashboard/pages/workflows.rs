//! The list of workflows, and what is wrong with their files.

use maud::{Markup, html};

use super::layout::Place;
use super::query::Query;
use super::source::source;
use super::{Page, View, parts};
use crate::dashboard::problem::Problem;
use crate::domain::fault::Fault;
use crate::workflow::catalog::Unserved;
use crate::workflow::definition::{Trigger, Workflow};

/// Faults that are listed.
const FAULTS_MAX: usize = 50;

pub(super) fn show(view: View<'_>) -> Result<Page, Problem> {
    let catalog = &view.api.triggers.catalog;
    if let Some(name) = view.query.get("file") {
        let file = catalog.unserved().into_iter().find(|file| file.name == name);
        return file.map(|file| unserved(&file)).ok_or_else(|| {
            Problem::not_found("There is no such file in the workflows folder, or it has become a workflow.")
        });
    }
    let all = catalog.list();
    let faults = catalog.faults();
    let unserved = catalog.unserved();
    let stale = |workflow: &Workflow| faults.iter().any(|fault| fault.file == workflow.file);
    let body = html! {
        div.head { div { h1 { "Workflows" } p.sub { span { "Files in " span.mono { (catalog.folder().display()) } ", read again when they change." } } } }
        (wrong(&faults))
        @if all.is_empty() && unserved.is_empty() {
            (parts::empty("No workflows yet", &html! { "Put a " code { ".yaml" } " file into the folder above; the examples of the documentation are a beginning." }))
        } @else {
            table.list {
                thead { tr { th { "Workflow" } th { "State" } th.hide { "Starts" } th.num.hide { "Steps" } } }
                tbody {
                    @for file in &unserved {
                        tr {
                            td.grow {
                                a.what.clip href=(Query::default().with("/workflows", "file", &file.name, &[])) { (parts::title(&file.name)) }
                                small.clip { (count(file.faults.len())) }
                            }
                            td { (not_loaded()) }
                            td.hide { span.soft { "—" } }
                            td.num.hide { span.soft { "—" } }
                        }
                    }
                    @for workflow in &all {
                        tr {
                            td.grow {
                                a.what.clip href={ "/workflows/" (workflow.name) } { (workflow.name) }
                                small.clip { (parts::title(&workflow.description)) }
                            }
                            td { (state(workflow, stale(workflow))) }
                            td.hide.nowrap { (starts(workflow)) }
                            td.num.hide { (workflow.steps.len()) }
                        }
                    }
                }
            }
        }
    };
    Ok(Page::new(Place::Workflows, "Workflows", body))
}

/// A file that serves no workflow: what is wrong with it, and where.
fn unserved(file: &Unserved) -> Page {
    let told = "No workflow is served from this file until its faults are mended. It is read again when it changes.";
    let body = html! {
        div.head { div {
            p.crumb { a href="/workflows" { "Workflows" } }
            h1 { (parts::title(&file.name)) }
            p.sub { (not_loaded()) }
        } }
        (source(&file.path.display().to_string(), &file.text().unwrap_or_default(), &file.faults, &[], told))
    };
    Page::new(Place::Workflows, parts::title(&file.name), body)
}

/// The state of a file that serves no workflow.
pub(super) fn not_loaded() -> Markup {
    parts::state(parts::Tone::Bad, "not loaded")
}

fn count(faults: usize) -> String {
    if faults == 1 { "1 fault".to_owned() } else { format!("{faults} faults") }
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
