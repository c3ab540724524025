//! The list of events: filters, search, pages.

use jiff::SignedDuration;
use maud::{Markup, html};

use super::layout::Place;
use super::{Page, View, event, parts};
use crate::dashboard::problem::Problem;
use crate::domain::event::EventStatus;
use crate::domain::text::clip_chars;
use crate::ledger::{EventFilter, EventRow};

/// Events on a page.
const PAGE_EVENTS: usize = 50;
/// Longest search, in characters.
const SEARCH_CHARS_MAX: usize = 200;
/// Ages that can be chosen, in hours.
const AGES: [(&str, i64); 3] = [("1h", 1), ("24h", 24), ("7d", 24 * 7)];

pub(super) async fn show(view: View<'_>) -> Result<Page, Problem> {
    let filter = filter(view)?;
    let found = view.api.ledger.events(filter).await?;
    let filtered = ["handler", "type", "status", "since", "search"].iter().any(|name| view.query.get(name).is_some());
    let body = html! {
        div.head { div { h1 { "Events" } } div.acts { span id="live" class="st idle" data-js hidden { "connecting" } } }
        (filters(view))
        div id="events" data-live[view.query.get("cursor").is_none()] {
            @if found.items.is_empty() {
                @if filtered || view.query.get("cursor").is_some() {
                    (parts::empty("Nothing matches", &html! { "Of the events that this page looked at. " a href="/events" { "Show all" } }))
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
    Ok(Page::new(Place::Events, "Events", body))
}

fn filter(view: View<'_>) -> Result<EventFilter, Problem> {
    let text = |name: &str| view.query.get(name).map(|text| clip_chars(text, SEARCH_CHARS_MAX));
    let status = view.query.get("status").map(str::parse::<EventStatus>).transpose();
    let hours =
        view.query.get("since").and_then(|age| AGES.iter().find(|(name, _)| *name == age)).map(|(_, hours)| *hours);
    Ok(EventFilter {
        handler: text("handler"),
        event: text("type"),
        status: status.map_err(|error| Problem::bad_request(error.to_string()))?,
        since: hours.and_then(|hours| view.now.checked_sub(SignedDuration::from_hours(hours)).ok()),
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
                input type="search" id="search" name="search" value=(chosen("search")) maxlength=(SEARCH_CHARS_MAX) placeholder="Words in titles and payloads";
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
                    @for (name, _) in AGES { option value=(name) selected[name == since] { "last " (name) } }
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
    let runs = match row.runs.len() {
        0 => None,
        1 => Some("1 run".to_owned()),
        more => Some(format!("{more} runs")),
    };
    let told = [row.handler.as_deref(), kind, reason].into_iter().flatten().map(parts::title);
    told.chain(runs).collect::<Vec<_>>().join(" · ")
}

fn line(view: View<'_>, row: &EventRow) -> Markup {
    let notice = row.notices.last();
    html! {
        tr data-id=(row.id) {
            td.grow {
                a.what.clip href={ "/events/" (row.id) } { (event::name(row)) }
                small.clip { (beneath(row)) }
            }
            td { (parts::event_state(row.status)) }
            td.hide { @if let Some(notice) = notice { (parts::notice_state(notice.state)) } @else { span.soft { "—" } } }
            td.num { (parts::ago(row.received_at, view.now)) }
        }
    }
}
