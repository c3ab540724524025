//! The overview: what waits for a person first, then how it goes, then what just came in.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::layout::Place;
use super::plots::{Plot, SERIES_MAX, Series, colours};
use super::{Page, View, approvals, events, parts};
use crate::dashboard::overview::{self, Overview};
use crate::dashboard::problem::Problem;
use crate::ledger::EventFilter;

/// Events of the feed.
const FEED_EVENTS: usize = 12;
/// Approvals that are listed here.
const PENDING_LISTED: usize = 5;
/// Minutes of the plots.
const MINUTES: i64 = 60;

pub(super) async fn show(view: View<'_>) -> Result<Page, Problem> {
    let pending = approvals::pending(view, PENDING_LISTED).await?;
    let now = overview::read(view.api).await?;
    let feed = view.api.ledger.events(EventFilter { limit: FEED_EVENTS, ..EventFilter::default() }).await?.items;
    let body = html! {
        div.head {
            div { h1 { "Overview" } }
            div.acts { span id="live" class="st idle" data-js hidden { "connecting" } }
        }
        div id="waiting" data-live {
            @if !pending.items.is_empty() {
                h2.sr { "Waiting for you" }
                (approvals::asks(view, &pending.items))
                @if pending.next.is_some() { p.gap { a href="/approvals" { "All that wait" } } }
            }
        }
        section aria-labelledby="h-now" {
            h2.sr id="h-now" { "Now" }
            div id="figures" data-live { (figures(view, &now)) }
        }
        div id="plots" data-live { (plots(view, &now)) }
        section aria-labelledby="h-feed" {
            div.title { h2 id="h-feed" { "Latest events" } a href="/events" { "all events" } }
            div id="feed" data-live {
                @if feed.is_empty() {
                    (parts::empty("No events yet", &html! {
                        "Paste the URL of a " a href="/handlers" { "handler" }
                        " at a sender, or press its test button. They appear here as they come."
                    }))
                } @else {
                    (events::table(view, &feed))
                }
            }
        }
    };
    Ok(Page::new(Place::Overview, "Overview", body))
}

fn figures(view: View<'_>, now: &Overview) -> Markup {
    let stats = &now.ledger.stats;
    let hour: u64 = now.ledger.minutes.iter().map(|minute| minute.count).sum();
    let refused: u64 =
        now.ledger.minutes.iter().filter(|minute| minute.outcome == "rejected").map(|minute| minute.count).sum();
    let outbox = |state: &str| now.ledger.outbox.get(state).copied().unwrap_or_default();
    let waits = outbox("pending") + outbox("sending");
    let running: u64 = now.ledger.runs.values().sum();
    let under = |text: &str| html! { small { (text) } };
    html! {
        dl.figures {
            div { dt { "Requests, last hour" } dd { (parts::number(hour)) @if refused > 0 { small { a href="/events?status=rejected&since=1h" { (parts::number(refused)) " refused" } } } @else { (under("none refused")) } } }
            div {
                dt { "Acknowledged in" }
                dd {
                    @match &now.acknowledgements.hour {
                        Some(hour) => { (ms(hour.p50_ms)) " " span.unit { "p50" } small { (ms(hour.p99_ms)) " p99" } }
                        None => { "—" small { @if let Some(start) = started(view, now.at) { "not measured before " (clock(start)) } @else { "nothing yet" } } }
                    }
                }
            }
            div {
                dt { "Queue" }
                dd {
                    (parts::number(stats.queue_depth))
                    small { @if let Some(at) = stats.oldest_job_at { "oldest " (parts::ago(at, view.now)) } @else { "nothing waits" } }
                }
            }
            div {
                dt { "Outbox" }
                dd {
                    (parts::number(waits))
                    small {
                        @if let Some(at) = now.ledger.oldest_notice_at.filter(|_| waits > 0) { "oldest " (parts::ago(at, view.now)) }
                        @else if outbox("failed") > 0 { (parts::number(outbox("failed"))) " not taken by their chats" }
                        @else { "all sent" }
                    }
                }
            }
            div { dt { "Runs under way" } dd { (parts::number(running)) small { a href="/runs" { @if let Some(waiting) = now.ledger.runs.get("waiting") { (parts::number(*waiting)) " waiting" } @else { "none waiting" } } } } }
        }
    }
}

fn plots(view: View<'_>, overview: &Overview) -> Markup {
    let slots = slots(view.now);
    let start = started(view, overview.at);
    let rates = rates(&slots, overview);
    let rate = Plot {
        name: "Requests per minute by handler",
        slots: &slots,
        series: &rates,
        unit: |value| format!("{value:.0}"),
    };
    let latencies = latencies(&slots, overview);
    let latency = Plot { name: "Acknowledgement latency", slots: &slots, series: &latencies, unit: ms };
    html! {
        @if !rates.is_empty() {
            div.pair {
                section aria-labelledby="h-rate" { div.title { h2 id="h-rate" { "Requests per minute" } small { "last hour, UTC" } } (rate.bars()) }
                section aria-labelledby="h-latency" {
                    div.title {
                        h2 id="h-latency" { "Acknowledgement latency" }
                        small title=[start.map(|_| "The agent measures this itself, so it knows of nothing before its start.")] {
                            @if let Some(start) = start { "since " (clock(start)) } @else { "last hour, UTC" }
                        }
                    }
                    @if !latencies.is_empty() { (latency.lines()) }
                    @else if let Some(start) = start { p.soft { "Nothing was acknowledged since the agent started at " (clock(start)) ". It measures this itself, so it knows of nothing before." } }
                    @else { p.soft { "Nothing was acknowledged." } }
                }
            }
        }
    }
}

/// When the agent started, if that is within the hour that is shown: latencies of before are not known.
fn started(view: View<'_>, now: Timestamp) -> Option<Timestamp> {
    Some(view.api.started_at).filter(|start| *start > now - overview::LOOKS_BACK)
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M UTC").to_string()
}

/// The minutes of the plots, oldest first; the last is the one that goes on now.
fn slots(now: Timestamp) -> Vec<Timestamp> {
    let minute = now.as_second().div_euclid(60) * 60;
    let last = Timestamp::from_second(minute).unwrap_or(now);
    (0..MINUTES).rev().map(|back| last - SignedDuration::from_mins(back)).collect()
}

fn slot_of(slots: &[Timestamp], at: Timestamp) -> Option<usize> {
    let minutes = at.duration_since(*slots.first()?).as_mins();
    usize::try_from(minutes).ok().filter(|slot| *slot < slots.len())
}

/// A series for each of the busiest handlers, and one for the others together.
fn rates(slots: &[Timestamp], overview: &Overview) -> Vec<Series> {
    let mut by_handler = BTreeMap::<&str, (u64, Vec<u64>)>::new();
    for minute in &overview.ledger.minutes {
        let Some(slot) = slot_of(slots, minute.at) else { continue };
        let name = if minute.handler.is_empty() { "unknown path" } else { minute.handler.as_str() };
        let (total, counts) = by_handler.entry(name).or_insert_with(|| (0, vec![0; slots.len()]));
        *total += minute.count;
        counts[slot] += minute.count;
    }
    let mut busiest: Vec<(&str, u64, Vec<u64>)> =
        by_handler.into_iter().map(|(name, (total, counts))| (name, total, counts)).collect();
    busiest.sort_by_key(|(name, total, _)| (std::cmp::Reverse(*total), *name));
    let others = if busiest.len() > SERIES_MAX { busiest.split_off(SERIES_MAX - 1) } else { Vec::new() };
    if !others.is_empty() {
        let sum = (0..slots.len()).map(|slot| others.iter().map(|(_, _, counts)| counts[slot]).sum()).collect();
        busiest.push(("others", 0, sum));
    }
    let names: Vec<&str> = busiest.iter().map(|(name, _, _)| *name).collect();
    let series = |((name, _, counts), colour): ((&str, u64, Vec<u64>), usize)| Series {
        name: name.to_owned(),
        colour,
        values: counts.into_iter().map(|count| Some(count as f64)).collect(),
    };
    let colours = colours(&names);
    busiest.into_iter().zip(colours).map(series).collect()
}

fn latencies(slots: &[Timestamp], overview: &Overview) -> Vec<Series> {
    let minutes = &overview.acknowledgements.minutes;
    if minutes.is_empty() {
        return Vec::new();
    }
    let line = |name: &str, colour, of: fn(&overview::LatencyView) -> f64| {
        let mut values = vec![None; slots.len()];
        for minute in minutes {
            if let Some(slot) = slot_of(slots, minute.at) {
                values[slot] = Some(of(minute));
            }
        }
        Series { name: name.to_owned(), colour, values }
    };
    vec![line("p50", 0, |minute| minute.p50_ms), line("p99", 1, |minute| minute.p99_ms)]
}

/// Milliseconds as people read them.
fn ms(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        ..10.0 => format!("{value:.1} ms"),
        10.0..1000.0 => format!("{value:.0} ms"),
        _ => format!("{:.1} s", value / 1000.0),
    }
}
