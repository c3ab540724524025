//! The configuration in effect and where each value came from. It is changed in its file, not here.

use maud::{Markup, html};
use serde_json::Value;

use super::layout::Place;
use super::{Page, View, parts};
use crate::config::{EffectiveKey, Origin};
use crate::domain::text::clip_chars;

/// Longest value, in characters.
const VALUE_CHARS_MAX: usize = 200;
/// Keys on the page.
const KEYS_MAX: usize = 400;

pub(super) fn show(view: View<'_>) -> Page {
    let effective = &view.site().effective;
    let only_set = view.query.get("all").is_none();
    let search = view.query.get("search").unwrap_or_default().to_lowercase();
    let wanted = |entry: &&EffectiveKey| {
        (!only_set || entry.origin != Origin::Default)
            && (search.is_empty() || entry.key.to_lowercase().contains(&search))
    };
    let shown: Vec<&EffectiveKey> = effective.keys.iter().filter(wanted).collect();
    let body = html! {
        div.head { div {
            h1 { "Settings" }
            p.sub { span {
                "In effect since the start, from "
                @match &effective.file { Some(file) => span.mono { (file) }, None => "defaults: there is no file" }
                ". Changes there count from the next start."
            } }
        } }
        form.filters.auto action="/settings" role="search" {
            div.field.search { label for="search" { "Key" } input type="search" id="search" name="search" value=(search) placeholder="webhooks.port"; }
            div.field {
                label for="all" { "Show" }
                select id="all" name="all" {
                    option value="" selected[only_set] { "what was set" }
                    option value="1" selected[!only_set] { "everything" }
                }
            }
            button { "Apply" }
        }
        @if shown.is_empty() {
            (parts::empty("Nothing was set", &html! { "Everything is at its default. " a href="/settings?all=1" { "Show everything" } }))
        } @else {
            table.keys {
                thead { tr { th { "Key" } th { "Value" } th { "From" } } }
                tbody { @for entry in shown.iter().take(KEYS_MAX) { (row(entry)) } }
            }
            @if shown.len() > KEYS_MAX { p.soft.gap { "and " (shown.len() - KEYS_MAX) " more; search for them" } }
        }
    };
    Page::new(Place::Settings, "Settings", body)
}

fn row(entry: &EffectiveKey) -> Markup {
    let value = match &entry.value {
        Value::String(text) => text.clone(),
        Value::Null => "—".into(),
        Value::Array(items) if items.is_empty() => "[ ]".into(),
        other => other.to_string(),
    };
    html! {
        tr {
            td.mono { (entry.key) }
            td.mono { (clip_chars(&parts::title(&value), VALUE_CHARS_MAX)) }
            td.soft { (entry.origin) }
        }
    }
}
