//! The audit log: what was done and refused, newest first, and whether its chain holds.

use std::path::PathBuf;

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::layout::Place;
use super::{Page, View, parts};
use crate::dashboard::problem::Problem;
use crate::domain::text::clip_chars;
use crate::telemetry::{AuditReport, audit_tail, verify};

/// Lines on the page.
const LINES_LISTED: usize = 100;
/// Longest value of a detail, in characters, and most details of a line.
const DETAIL_CHARS_MAX: usize = 80;
const DETAILS_MAX: usize = 10;
/// What is shown of a hash, in characters.
const HASH_CHARS_MAX: usize = 16;

pub(super) async fn show(view: View<'_>) -> Result<Page, Problem> {
    let path = view.site().audit.clone();
    let report = match view.query.get("verify") {
        Some(_) => Some(verified(path.clone()).await?),
        None => None,
    };
    let lines = blocking(move || audit_tail(&path, LINES_LISTED)).await?;
    let body = html! {
        div.head {
            div { h1 { "Audit" } p.sub { "Every tool execution, decision and refusal; each line carries the hash of the one before." } }
            div.acts { form action="/audit" { input type="hidden" name="verify" value="1"; button { "Verify the chain" } } }
        }
        @if let Some(report) = &report { (told(report)) }
        @if lines.is_empty() {
            (parts::empty("Nothing is written down yet", &html! { "The first tool that runs, or the first decision, begins the log." }))
        } @else {
            table.list {
                thead { tr { th { "What" } th { "By" } th.num { "When" } } }
                tbody { @for line in lines.iter().rev() { (row(view, line)) } }
            }
        }
    };
    Ok(Page::new(Place::Audit, "Audit", body))
}

async fn verified(path: PathBuf) -> Result<AuditReport, Problem> {
    blocking(move || verify(&path)).await
}

/// Reads a file away from the tasks that answer.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Problem> {
    let read = tokio::task::spawn_blocking(read).await;
    let ended = || Problem::unavailable("Reading the audit log was cut off.");
    read.map_err(|_| ended())?.map_err(|error| Problem::unavailable(format!("The audit log cannot be read: {error}.")))
}

fn told(report: &AuditReport) -> Markup {
    html! {
        @match &report.broken {
            None => {
                div.note.good role="status" {
                    p { strong { "The chain holds: " (parts::number(report.lines)) " lines." } }
                    p { "Last hash " span.mono { (report.last_hash) } " " (parts::copy(&report.last_hash)) }
                    p { small { "Note it elsewhere to show later that nothing is missing at the end." } }
                    @if report.unfinished { p { small { "The last line is being written right now." } } }
                }
            }
            Some(broken) => {
                div.note.bad role="alert" {
                    p { strong { "The chain breaks at line " (broken.line) "." } }
                    p { (parts::told(&broken.reason)) }
                }
            }
        }
    }
}

fn row(view: View<'_>, line: &Value) -> Markup {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let at: Option<Timestamp> = line["at"].as_str().and_then(|at| at.parse().ok());
    let details = line["details"].as_object();
    html! {
        tr {
            td.grow {
                span.what { (parts::title(&text("what"))) span.soft { " #" (line["seq"]) } }
                @if let Some(details) = details {
                    small { @for (index, (name, value)) in details.iter().filter(|(_, value)| is_told(value)).take(DETAILS_MAX).enumerate() {
                        @if index > 0 { " · " }
                        (told_as(name, value))
                    } }
                }
            }
            td.nowrap { (parts::title(&text("by"))) }
            td.num { @if let Some(at) = at { (parts::ago(at, view.now)) } }
        }
    }
}

/// Whether a detail says anything.
fn is_told(value: &Value) -> bool {
    !value.is_null() && *value != Value::Bool(false)
}

/// A detail with its name, unless it says by itself what it is.
fn told_as(name: &str, value: &Value) -> Markup {
    html! {
        @match (name, value.as_i64()) {
            ("run" | "approval" | "event", _) => (detail(name, value)),
            ("duration_ms", Some(ms)) => (parts::span(jiff::SignedDuration::from_millis(ms))),
            _ => { (parts::title(&parts::words_of(name))) " " (detail(name, value)) }
        }
    }
}

/// A detail; ids lead to their pages.
fn detail(name: &str, value: &Value) -> Markup {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let page = match name {
        "run" => Some("runs"),
        "approval" => Some("approvals"),
        "event" => Some("events"),
        _ => None,
    };
    let is_id = text.len() < 40 && text.contains('_') && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    html! {
        @match page.filter(|_| is_id) {
            Some(page) => a href={ "/" (page) "/" (text) } { (parts::short_id(&text)) },
            None => (clip_chars(&parts::title(&text), if text.starts_with("sha256:") { HASH_CHARS_MAX } else { DETAIL_CHARS_MAX })),
        }
    }
}
