//! The list of events: filters, search, pages.

use maud::{Markup, html};
use serde_json::Value;

use super::layout::Place;
use super::{Answer, Page, View, event, parts};
use crate::dashboard::problem::Problem;
use crate::domain::duration;
use crate::domain::event::EventStatus;
use crate::domain::ids::{ApprovalId, EventId, RequestId, RunId};
use crate::domain::text::clip_chars;
use crate::ledger::{EventFilter, EventRow};

/// Events on a page.
const PAGE_EVENTS: usize = 50;
/// Longest search, in characters.
const SEARCH_CHARS_MAX: usize = 200;
/// Ages that can be chosen.
const AGES: [&str; 3] = ["1h", "24h", "7d"];

pub(super) async fn show(view: View<'_>) -> Result<Answer, Problem> {
    // An id that a colleague or a sender sent is looked for here too.
    if let Some(place) = view.query.get("search").and_then(place_of) {
        return Ok(Answer::See(place));
    }
    let filter = filter(view)?;
    let found = view.api.ledger.events(filter).await?;
    let filtered = ["handler", "type", "status", "since", "search"].iter().any(|name| view.query.get(name).is_some());
    let body = html! {
        div.head { div { h1 { "Events" } } div.acts { span id="live" class="st idle" data-js hidden { "connecting" } } }
        (filters(view))
        div id="events" data-live[view.query.get("cursor").is_none()] {
            @if found.items.is_empty() {
                @if filtered || view.query.get("cursor").is_some() {
                    @let more = found.next.is_some();
                    (parts::empty("Nothing matches", &html! { @if more { "Among the newest that were looked at; older ones may. " } a href="/events" { "Show all" } }))
                } @else {
                    (parts::empty("No events yet", &html! { "Paste the URL of a " a href="/handlers" { "handler" } " at a sender, or press its test button." }))
                }
            } @else {
                (table(view, &found.items))
            }
        }
        div.more {
            @if view.query.get("cursor").is_some() { a href=(view.query.with("/events", "cursor", "", &[])) { "← Newest" } } @else { span {} }
            @if let Some(next) = &found.next { a rel="next" href=(view.query.with("/events", "cursor", next, &["done"])) { "Older →" } }
        }
    };
    Ok(Page::new(Place::Events, "Events", body).into())
}

/// The page of the thing that an id names.
fn place_of(text: &str) -> Option<String> {
    let (prefix, _) = text.split_once('_')?;
    let (section, is_id) = match prefix {
        "evt" => ("events", text.parse::<EventId>().is_ok()),
        "req" => ("events", text.parse::<RequestId>().is_ok()),
        "run" => ("runs", text.parse::<RunId>().is_ok()),
        "apr" => ("approvals", text.parse::<ApprovalId>().is_ok()),
        _ => return None,
    };
    is_id.then(|| format!("/{section}/{text}"))
}

fn filter(view: View<'_>) -> Result<EventFilter, Problem> {
    let text = |name: &str| view.query.get(name).map(|text| clip_chars(text, SEARCH_CHARS_MAX));
    let status = view.query.get("status").map(str::parse::<EventStatus>).transpose();
    let since = view.query.get("since").map(|since| {
        let wrong = || Problem::bad_request("since: write 30m, 2h, 7d or 2026-01-31T12:00:00Z");
        duration::since(since, view.now).ok_or_else(wrong)
    });
    Ok(EventFilter {
        handler: text("handler"),
        event: text("type"),
        status: status.map_err(|error| Problem::bad_request(error.to_string()))?,
        since: since.transpose()?,
        search: text("search"),
        limit: PAGE_EVENTS,
        cursor: view.query.get("cursor").map(str::to_owned),
        after: None,
    })
}

fn filters(view: View<'_>) -> Markup {
    let chosen = |name: &str| view.query.get(name).unwrap_or_default().to_owned();
    let (handler, status, since) = (chosen("handler"), chosen("status"), chosen("since"));
    html! {
        form.filters.auto action="/events" role="search" {
            div.field.search {
                label for="search" { "Search" }
                input type="search" id="search" name="search" value=(chosen("search")) maxlength=(SEARCH_CHARS_MAX) placeholder="Words in titles and payloads, or an id";
            }
            div.field {
                label for="handler" { "Handler" }
                select id="handler" name="handler" {
                    option value="" { "all" }
                    @for facts in &view.site().handlers { option selected[facts.name == handler] { (facts.name) } }
                    @if !handler.is_empty() && view.site().handler(&handler).is_none() { option selected { (clip_chars(&handler, 64)) } }
                }
            }
            div.field {
                label for="type" { "Type" }
                input id="type" name="type" value=(chosen("type")) size="16" placeholder="pull_request";
            }
            div.field {
                label for="status" { "Status" }
                select id="status" name="status" {
                    option value="" { "any" }
                    @for known in EventStatus::ALL { option selected[known.as_str() == status] { (known) } }
                }
            }
            div.field {
                label for="since" { "Since" }
                select id="since" name="since" {
                    option value="" { "ever" }
                    @for age in AGES { option value=(age) selected[age == since] { "last " (age) } }
                    @if !since.is_empty() && !AGES.contains(&since.as_str()) { option selected { (clip_chars(&since, 32)) } }
                }
            }
            button { "Apply" }
        }
    }
}

/// A table of events, newest first; the overview shows one too.
pub(super) fn table(view: View<'_>, rows: &[EventRow]) -> Markup {
    html! {
        table.list {
            thead { tr { th { "Event" } th { "Status" } th.hide { "Notice" } th.num { "Received" } } }
            tbody { @for row in rows { (line(view, row)) } }
        }
    }
}

/// Where it came to, what it is, why it went no further.
fn beneath(row: &EventRow) -> String {
    let kind = row.event.as_deref().filter(|_| row.title.is_some());
    let reason = row.reason.as_deref().and_then(|reason| reason.lines().next());
    let ended_badly = |run: &&Value| matches!(run["state"].as_str(), Some("error" | "in_doubt"));
    let runs = match (row.runs.len(), row.runs.iter().filter(ended_badly).count()) {
        (0, _) => None,
        (1, 0) => Some("1 run".to_owned()),
        (1, _) => Some("its run failed".to_owned()),
        (more, 0) => Some(format!("{more} runs")),
        (more, bad) => Some(format!("{bad} of {more} runs failed")),
    };
    let told = [row.handler.as_deref(), kind, reason].into_iter().flatten().map(parts::title);
    told.chain(runs).collect::<Vec<_>>().join(" · ")
}

fn line(view: View<'_>, row: &EventRow) -> Markup {
    let notice = row.notices.last();
    html! {
        tr data-id=(row.id) {
            td.grow {
                a.what.clip href={ "/events/" (row.id) } { (parts::row_title(&event::name(row))) }
                small.clip { (parts::row_more(&beneath(row))) }
            }
            td { (parts::event_state(row.status)) }
            td.hide { @if let Some(notice) = notice { (parts::notice_state(notice.state)) } @else { span.soft { "—" } } }
            td.num { (parts::ago(row.received_at, view.now)) }
        }
    }
}
