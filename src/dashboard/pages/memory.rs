//! What the agent remembers.

use maud::{Markup, html};

use super::layout::Place;
use super::{Answer, Page, View, parts};
use crate::dashboard::problem::Problem;
use crate::domain::ids::RunId;
use crate::domain::text::{clip_chars, spelled_line};
use crate::ledger::runs::MemoryRow;

/// Facts on a page.
const FACTS_LISTED: usize = 50;
/// Longest fact and search, in characters.
const FACT_CHARS_MAX: usize = 600;
/// The same in bytes of HTML.
const FACT_BYTES_MAX: usize = 650;
const SEARCH_CHARS_MAX: usize = 200;

/// Forgets a fact, as `/memory forget` does in the chat.
pub(super) async fn forget(view: View<'_>, id: &str) -> Result<Answer, Problem> {
    let id: i64 = id.parse().map_err(|_| Problem::not_found("A fact is named by its number."))?;
    if !view.api.chats.forget(id).await? {
        return Err(Problem::not_found(format!("There is no fact {id}.")));
    }
    Ok(Answer::See("/memory?done=forgotten".to_owned()))
}

/// The run whose step kept it.
fn run_of(fact: &MemoryRow) -> Option<RunId> {
    fact.source.as_deref()?.split('/').next()?.parse().ok()
}

/// Two presses, for nothing brings a fact back.
fn forget_form(view: View<'_>, fact: &MemoryRow) -> Markup {
    html! {
        details.sure {
            summary aria-label={ "Forget fact " (fact.id) "…" } { "forget…" }
            (parts::change(&format!("/memory/{}/forget", fact.id), view.csrf, &html! { button.danger { "Forget it" } }))
        }
    }
}

pub(super) async fn show(view: View<'_>) -> Result<Page, Problem> {
    let search = clip_chars(view.query.get("search").unwrap_or_default(), SEARCH_CHARS_MAX);
    let section = view.query.get("section");
    let (ledger, cursor) = (view.api.triggers.engine.ledger(), view.query.get("cursor"));
    let (facts, next) = if search.is_empty() {
        let page = ledger.facts(section, cursor, FACTS_LISTED).await?;
        (page.items, page.next)
    } else {
        (ledger.recall(&search, section, FACTS_LISTED).await?, None)
    };
    let body = html! {
        div.head { div { h1 { "Memory" } p.sub { span { "Facts that workflows and people had the agent keep. Steps find them with " code { "memory_search" } "." } } } }
        form.filters action="/memory" role="search" {
            div.field.search {
                label for="search" { "Search" }
                input type="search" id="search" name="search" value=(search) maxlength=(SEARCH_CHARS_MAX);
            }
            div.field {
                label for="section" { "Section" }
                input id="section" name="section" value=(section.unwrap_or_default()) size="14";
            }
            button { "Search" }
        }
        @if facts.is_empty() {
            @if search.is_empty() && section.is_none() && cursor.is_none() {
                (parts::empty("Nothing is remembered yet", &html! { "A step with " code { "tool: memory_store" } " keeps a fact here." }))
            } @else {
                (parts::empty("Nothing matches", &html! { a href="/memory" { "Show all" } }))
            }
        } @else {
            table {
                thead { tr { th { "Fact" } th { "Section" } th.num { "Kept" } th.num { span.sr { "Forget" } } } }
                tbody {
                    @for fact in &facts {
                        tr {
                            td.grow {
                                (parts::clip_html(&clip_chars(&spelled_line(&fact.fact), FACT_CHARS_MAX), FACT_BYTES_MAX))
                                small {
                                    "#" (fact.id)
                                    @if let Some(run) = run_of(fact) { " · by " a href={ "/runs/" (run) } { "a run" } }
                                    @if fact.tainted { " · holds text from outside" }
                                }
                            }
                            td.soft.nowrap { (parts::title(&fact.section)) }
                            td.num { (parts::ago(fact.at, view.now)) }
                            td.num { (forget_form(view, fact)) }
                        }
                    }
                }
            }
            @if !search.is_empty() && facts.len() == FACTS_LISTED { p.soft.gap { "The " (FACTS_LISTED) " best are shown." } }
        }
        div.more {
            @if cursor.is_some() { a href=(view.query.with("/memory", "cursor", "", &["done"])) { "← Newest" } } @else { span {} }
            @if let Some(next) = &next { a rel="next" href=(view.query.with("/memory", "cursor", next, &["done"])) { "Older →" } }
        }
    };
    Ok(Page::new(Place::Memory, "Memory", body))
}
