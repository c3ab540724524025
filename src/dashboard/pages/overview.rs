//! The overview: what waits for a person first, then how it goes, then what just came in.

use maud::{Markup, html};

use super::layout::Place;
use super::{Page, View, approvals, events, parts};
use crate::dashboard::problem::Problem;
use crate::ledger::{EventFilter, Stats};

/// Events of the feed.
const FEED_EVENTS: usize = 15;
/// Approvals that are listed here.
const PENDING_LISTED: usize = 5;

pub(super) async fn show(view: View<'_>) -> Result<Page, Problem> {
    let pending = approvals::pending(view, PENDING_LISTED + 1).await?;
    let stats = view.api.ledger.stats().await?;
    let feed = view.api.ledger.events(EventFilter { limit: FEED_EVENTS, ..EventFilter::default() }).await?.items;
    let body = html! {
        div.head { div { h1 { "Overview" } } div.acts { span id="live" class="st idle" data-js hidden { "connecting" } } }
        div id="waiting" data-live {
            @if !pending.is_empty() {
                h2.sr { "Waiting for you" }
                (approvals::asks(view, &pending[..pending.len().min(PENDING_LISTED)]))
                @if pending.len() > PENDING_LISTED { p.gap { a href="/approvals" { "All that wait" } } }
            }
        }
        section aria-labelledby="h-now" {
            h2.sr id="h-now" { "Now" }
            div id="figures" data-live { (figures(view, &stats)) }
        }
        section aria-labelledby="h-feed" {
            div.title { h2 id="h-feed" { "Latest events" } a href="/events" { "all events" } }
            div id="feed" data-live {
                @if feed.is_empty() {
                    (parts::empty("No events yet", &html! { "Paste the URL of a " a href="/handlers" { "handler" } " at a sender, or press its test button. They appear here as they come." }))
                } @else {
                    (events::table(view, &feed))
                }
            }
        }
    };
    Ok(Page::new(Place::Overview, "Overview", body))
}

fn figures(view: View<'_>, stats: &Stats) -> Markup {
    let kept: u64 = stats.events.values().sum();
    let refused = stats.events.get("rejected").copied().unwrap_or_default();
    html! {
        dl.figures {
            div { dt { "Queue" } dd { (parts::number(stats.queue_depth)) small { @if let Some(at) = stats.oldest_job_at { "oldest " (parts::ago(at, view.now)) } @else { "nothing waits" } } } }
            div { dt { "Outbox" } dd { (parts::number(stats.notices_waiting)) small { @if stats.notices_waiting == 0 { "all sent" } @else { "not confirmed yet" } } } }
            div { dt { "Events kept" } dd { (parts::number(kept)) small { (parts::number(refused)) " refused" } } }
        }
    }
}
