//! The list of handlers: where senders are connected, and what last came.

use std::collections::BTreeMap;

use maud::html;

use super::layout::Place;
use super::parts::{self, Tone};
use super::{HandlerFacts, Page, View};
use crate::dashboard::problem::Problem;

pub(super) async fn show(view: View<'_>) -> Result<Page, Problem> {
    let seen: BTreeMap<_, _> = view.api.ledger.stats().await?.last_event_at;
    // Those that are used first; the built-in ones that nobody uses are many.
    let mut all: Vec<&HandlerFacts> = view.site().handlers.iter().collect();
    all.sort_by_key(|handler| {
        (std::cmp::Reverse(seen.get(&handler.name)), handler.secret.is_none(), handler.name.clone())
    });
    let body = html! {
        div.head { div { h1 { "Handlers" } p.sub { "Where senders deliver. Each page has the URL and the values to paste." } } }
        @if view.site().webhooks.is_none() {
            p.note.warn { "The webhook server is off: start the agent with " code { "--webhooks" } "." }
        }
        @if all.is_empty() {
            (parts::empty("No handlers", &html! { "Add one under " code { "webhooks.handlers" } " in the configuration." }))
        } @else {
            div id="handlers" data-live {
                table.list {
                    thead { tr { th { "Handler" } th { "State" } th.num { "Last event" } } }
                    tbody {
                        @for handler in all {
                            tr {
                                td.grow {
                                    a.what.clip href={ "/handlers/" (handler.name) } { (handler.name) }
                                    small.clip { span.mono { (handler.path) } @if handler.provider != handler.name { " · read as " (handler.provider) } }
                                }
                                td { (state(handler)) }
                                td.num { @if let Some(at) = seen.get(&handler.name) { (parts::ago(*at, view.now)) } @else { span.soft { "never" } } }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(Page::new(Place::Handlers, "Handlers", body))
}

/// Whether it answers, and whether it can tell its sender from others.
pub(super) fn state(handler: &HandlerFacts) -> maud::Markup {
    match (handler.enabled, handler.secret.is_some()) {
        (false, _) => parts::state(Tone::Idle, "disabled"),
        (true, true) => parts::state(Tone::Good, "signed"),
        (true, false) => parts::state(Tone::Warn, "no secret"),
    }
}
