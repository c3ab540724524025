//! One event: what came, what was said of it and why, and what became of it.

use maud::{Markup, html};
use serde_json::Value;
use warp::reply::Response;

use super::layout::Place;
use super::parts::{self, Tone};
use super::tree::tree_within;
use super::{Page, View, download};
use crate::dashboard::problem::Problem;
use crate::domain::event::EventStatus;
use crate::domain::ids::{EventId, IdError};
use crate::domain::text::clip_chars;
use crate::ledger::{EventDetail, EventRow, NoticeMessage, TimelineEntry};

/// Bytes of markup that the page has besides its frame; the payload's tree has what the rest leaves.
const PAGE_BYTES: usize = 64 * 1024;
/// Bytes of markup for headers, messages and the timeline, each.
const PART_BYTES_MAX: usize = 10 * 1024;
/// Longest value of a header that is shown, in characters.
const HEADER_CHARS_MAX: usize = 400;
/// Most runs.
const LISTED_MAX: usize = 20;
/// Longest beginning of a refused body, in characters.
const BODY_CHARS_MAX: usize = 4000;
/// Longest detail of the timeline, in characters.
const DETAIL_CHARS_MAX: usize = 300;

/// Reads an event by the id in an address; `req_…`, which senders are answered, leads there too.
pub(super) async fn find(view: View<'_>, id: &str) -> Result<EventDetail, Problem> {
    let text = id.strip_prefix("req_").map_or_else(|| id.to_owned(), |ulid| format!("evt_{ulid}"));
    let id: EventId = text.parse().map_err(|error: IdError| Problem::not_found(error.to_string()))?;
    view.api.ledger.event(id).await?.ok_or_else(|| Problem::not_found(format!("There is no event {id}.")))
}

pub(super) async fn show(view: View<'_>, id: &str) -> Result<Page, Problem> {
    let event = find(view, id).await?;
    let messages = view.api.ledger.messages_of(event.row.id).await?;
    let name = name(&event.row);
    let went_on = matches!(event.row.status, EventStatus::Processed | EventStatus::Accepted);
    let explained = if went_on {
        html! {}
    } else {
        explained(view, &event)
    };
    let aside = html! { (facts(&event.row)) (runs(&event.row)) (said(&messages)) (timeline(&event)) };
    let headers = headers(&event);
    let around = explained.0.len() + aside.0.len() + headers.0.len();
    let body = html! {
        (head(&event.row, &name))
        div id="event" data-live {
            (explained)
            div.split {
                div {
                    section aria-labelledby="h-payload" {
                        div.title {
                            h2 id="h-payload" { @if is_refused(event.row.status) { "First bytes of the body" } @else { "Payload" } }
                            small {
                                (parts::bytes(event.row.body_bytes)) " · " a href={ "/events/" (event.row.id) "/payload" } { "download" }
                                @if !is_refused(event.row.status) { noscript { " · " a href={ "/events/" (event.row.id) "/paths" } { "paths" } } }
                            }
                        }
                        (payload_tree(&event, PAGE_BYTES.saturating_sub(around)))
                    }
                    (headers)
                }
                aside aria-label="About this event" { (aside) }
            }
        }
    };
    Ok(Page::new(Place::Events, name, body))
}

/// The body as a file, byte for byte as it was sent: what the hash on the page is of.
pub(super) async fn payload(view: View<'_>, id: &str) -> Result<Response, Problem> {
    let event = find(view, id).await?.row.id;
    let body = view.api.ledger.body_of(event).await?;
    let body = body.ok_or_else(|| Problem::not_found(format!("There is no event {event}.")))?;
    let extension = if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() { "json" } else { "txt" };
    Ok(download(body, &format!("{event}.{extension}")))
}

/// What people call the event: its title, else its type.
pub(super) fn name(row: &EventRow) -> String {
    match (&row.title, &row.event, &row.handler) {
        (Some(title), _, _) => parts::title(title),
        (None, Some(event), Some(handler)) => parts::title(&format!("{event} at {handler}")),
        (None, None, Some(handler)) => parts::title(&format!("Request to {handler}")),
        (None, _, None) => "Request to an unknown path".into(),
    }
}

fn head(row: &EventRow, name: &str) -> Markup {
    html! {
        div.head {
            div {
                p.crumb { a href="/events" { "Events" } }
                h1 { (name) }
                p.sub {
                    (parts::event_state(row.status))
                    @if let Some(verdict) = row.verdict { (parts::verdict_state(verdict)) }
                    (parts::moment(row.received_at))
                    @if let Some(url) = &row.url { (parts::outside_link(url, "open at the sender ↗")) }
                }
            }
            @if !is_refused(row.status) {
                div.acts { a.button href={ "/events/" (row.id) "/replay" } { "Replay…" } }
            }
        }
    }
}

/// Why it went no further, and what to do.
fn explained(view: View<'_>, event: &EventDetail) -> Markup {
    let told = view.site().advisor.explain(event);
    let tone = match event.row.status {
        EventStatus::Rejected | EventStatus::Failed => "bad",
        EventStatus::Accepted | EventStatus::Processed | EventStatus::Ignored | EventStatus::Duplicate => "",
    };
    html! {
        div class={ "note " (tone) } role="note" {
            p { strong { (parts::told(&told.what)) } }
            @if !told.findings.is_empty() {
                h2.less { "What was found" }
                ul { @for line in &told.findings { li { (parts::prose(line)) } } }
            }
            @if !told.advice.is_empty() {
                h2.less { "What to do" }
                ul { @for line in &told.advice { li { (parts::prose(line)) } } }
            }
        }
    }
}

fn payload_tree(event: &EventDetail, bytes_max: usize) -> Markup {
    match &event.payload {
        Value::String(text) if is_refused(event.row.status) => {
            let text = clip_chars(&parts::spelled_lines(text), BODY_CHARS_MAX);
            html! { pre.code.wrap tabindex="0" { (parts::clip_html(&text, bytes_max)) } }
        }
        payload => tree_within(payload, "payload", bytes_max),
    }
}

/// Whether only the first bytes of its body are kept.
pub(super) fn is_refused(status: EventStatus) -> bool {
    matches!(status, EventStatus::Rejected | EventStatus::Duplicate)
}

fn headers(event: &EventDetail) -> Markup {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    };
    let all: Vec<(&String, &Value)> = event.headers.iter().collect();
    let row = |(name, value): &(&String, &Value)| {
        html! {
            tr {
                td.mono { (clip_chars(name, 80)) }
                td.mono { (clip_chars(&parts::spelled_lines(&text(value)), HEADER_CHARS_MAX)) }
            }
        }
    };
    let shown = parts::within(&all, PART_BYTES_MAX, |_| false, row);
    html! {
        section aria-labelledby="h-headers" {
            div.title {
                h2 id="h-headers" { "Headers" }
                small { "signatures and credentials are masked" }
            }
            table.keys {
                thead.sr { tr { th { "Header" } th { "Value" } } }
                tbody { @for row in &shown { (row) } }
            }
            @if all.len() > shown.len() { p.soft.gap { "and " (all.len() - shown.len()) " more; " a href={ "/api/events/" (event.row.id) } { "all as JSON" } } }
        }
    }
}

fn facts(row: &EventRow) -> Markup {
    html! {
        section aria-labelledby="h-facts" {
            h2.sr id="h-facts" { "Facts" }
            dl.facts {
                @if let Some(handler) = &row.handler { dt { "Handler" } dd { a href={ "/handlers/" (handler) } { (handler) } } }
                @if let Some(event) = &row.event { dt { "Event" } dd { (parts::title(event)) } }
                @if let Some(subject) = &row.subject { dt { "About" } dd { (parts::title(subject)) } }
                @if let Some(id) = &row.delivery_id { dt { "Delivery" } dd.mono { (parts::title(id)) } }
                @if let Some(first) = row.replay_of { dt { "Replay of" } dd { a.mono href={ "/events/" (first) } { (parts::short_id(&first.to_string())) } } }
                dt { "Client" } dd.mono { (row.client_ip) }
                @if let Some(sha256) = &row.body_sha256 { dt { "SHA-256" } dd.mono { (sha256.chars().take(16).collect::<String>()) "… " (parts::copy(sha256)) } }
                dt { "Id" } dd.mono { (parts::short_id(&row.id.to_string())) " " (parts::copy(&row.id.to_string())) }
            }
        }
    }
}

fn runs(row: &EventRow) -> Markup {
    let text = |run: &Value, key: &str| run[key].as_str().unwrap_or_default().to_owned();
    html! {
        @if !row.runs.is_empty() {
            section aria-labelledby="h-runs" {
                div.title { h2 id="h-runs" { "Runs" } }
                ul {
                    @for run in row.runs.iter().take(LISTED_MAX) {
                        li.gap {
                            a href={ "/runs/" (text(run, "id")) } { (text(run, "workflow")) } " "
                            @if let Ok(state) = text(run, "state").parse() { (parts::run_state(state)) }
                        }
                    }
                }
            }
        }
    }
}

fn said(messages: &[NoticeMessage]) -> Markup {
    let bubble = |said: &NoticeMessage| {
        html! {
            (parts::bubble(&said.message))
            small {
                (parts::notice_state(said.row.state)) " · " (said.row.chat)
                @if said.row.attempts > 1 { " · " (said.row.attempts) " attempts" }
                @if let Some(error) = &said.row.error { " · " (parts::title(error)) }
            }
        }
    };
    let shown = parts::within(messages, PART_BYTES_MAX, |_| false, bubble);
    html! {
        @if !messages.is_empty() {
            section aria-labelledby="h-said" {
                div.title { h2 id="h-said" { "As the chat shows it" } }
                div.chat {
                    @for bubble in &shown { (bubble) }
                    @if messages.len() > shown.len() { small { "and " (messages.len() - shown.len()) " more" } }
                }
            }
        }
    }
}

fn timeline(event: &EventDetail) -> Markup {
    let entries = &event.timeline;
    let first = entries.first().map(|entry| entry.at);
    let line = |entry: &TimelineEntry| {
        html! {
            li class=(tone_of(&entry.what).class()) {
                span.nowrap title=(entry.at) { "+" (first.map_or_else(String::new, |first| parts::span(entry.at.duration_since(first)))) }
                div {
                    (step_words(&entry.what))
                    @if let Some(detail) = detail(entry, &event.row) {
                        br; small { (clip_chars(&parts::title(&detail), DETAIL_CHARS_MAX)) }
                    }
                }
            }
        }
    };
    let shown = parts::within(entries, PART_BYTES_MAX, |_| false, line);
    html! {
        section aria-labelledby="h-timeline" {
            div.title { h2 id="h-timeline" { "Timeline" } }
            ol.line { @for line in &shown { (line) } }
            @if entries.len() > shown.len() { p.soft { "and " (entries.len() - shown.len()) " more" } }
        }
    }
}

/// What a step says besides its name, unless the page says it elsewhere.
fn detail(entry: &TimelineEntry, row: &EventRow) -> Option<String> {
    if let ("verified", Some(verdict)) = (entry.what.as_str(), row.verdict) {
        return Some(parts::verdict_words(verdict).to_owned());
    }
    let detail = entry.detail.as_deref()?.lines().next()?;
    if row.title.as_deref() == Some(detail) {
        return None;
    }
    if row.reason.as_deref().is_some_and(|reason| reason.starts_with(detail)) {
        // The page begins with it; its code is enough here.
        return detail.split_once(": ").map(|(code, _)| code.to_owned());
    }
    // `ntc_… to telegram:7001`: the message itself stands above, with its chat.
    let to = detail.strip_prefix("ntc_").and_then(|rest| rest.split_once(" to "));
    Some(to.map_or_else(|| detail.to_owned(), |(_, chat)| format!("to {chat}")))
}

fn tone_of(what: &str) -> Tone {
    match what {
        "processed" | "notice_sent" => Tone::Good,
        "rejected" | "failed" | "notice_failed" => Tone::Bad,
        _ => Tone::Quiet,
    }
}

/// What the ledger calls a step on an event's way, in words.
fn step_words(what: &str) -> String {
    match what {
        "received" => "Received".into(),
        "verified" => "Checked".into(),
        "committed" => "Committed to disk".into(),
        "processed" => "Worked on".into(),
        "notice_made" => "Notice written".into(),
        "notice_tried" => "Notice tried".into(),
        "notice_sent" => "Notice sent".into(),
        "notice_failed" => "Notice not taken".into(),
        "notice_maybe_sent" => "Notice sent, unanswered".into(),
        other => {
            let words = parts::words_of(other);
            let mut chars = words.chars();
            chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
        }
    }
}
