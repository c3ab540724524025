//! The list of approvals: those that wait first.

use maud::{Markup, html};

use super::layout::Place;
use super::{Page, View, approval, parts};
use crate::dashboard::problem::Problem;
use crate::domain::action_text;
use crate::domain::approval::{ApprovalKind, ApprovalState};
use crate::ledger;
use crate::ledger::runs::{ApprovalFilter, ApprovalRow};

/// Approvals on a page; the first has as many that wait besides.
const PAGE_APPROVALS: usize = 25;
/// Longest action in a line, in bytes of HTML without its marks.
const SHORT_BYTES_MAX: usize = 400;

pub(super) async fn show(view: View<'_>) -> Result<Page, Problem> {
    let cursor = view.query.get("cursor").map(str::to_owned);
    let state = view.query.get("state").map(str::parse::<ApprovalState>).transpose();
    let state = state.map_err(|error| Problem::bad_request(error.to_string()))?;
    if cursor.is_some() || state.is_some() {
        return older(view, state, cursor).await;
    }
    let pending = pending(view, PAGE_APPROVALS).await?;
    let filter = ApprovalFilter { limit: PAGE_APPROVALS, ..ApprovalFilter::default() };
    let found = view.api.triggers.engine.ledger().approvals(filter).await?;
    let is_listed = |approval: &&ApprovalRow| !pending.items.iter().any(|asked| asked.id == approval.id);
    let mut decided: Vec<&ApprovalRow> = found.items.iter().filter(is_listed).collect();
    decided.sort_by_key(|approval| std::cmp::Reverse(approval.closed_at));
    let body = html! {
        div.head { div { h1 { "Approvals" } } div.acts { span id="live" class="st idle" data-js hidden { "connecting" } } }
        div id="approvals" data-live {
            @if !pending.items.is_empty() {
                (asks(view, &pending.items))
                @if let Some(next) = &pending.next { p.gap { a href={ "/approvals?state=pending&cursor=" (next) } { "Older ones that wait →" } } }
            } @else {
                (parts::empty("Nothing waits for you", &html! { "A step with " code { "requires_approval" } " asks here, in the chat and in the terminal before it runs." }))
            }
            @if !decided.is_empty() {
                section aria-labelledby="h-decided" {
                    div.title { h2 id="h-decided" { "Decided" } }
                    (table(view, &decided))
                }
            }
        }
        div.more { span {} (next(view, found.next.as_deref())) }
    };
    Ok(Page::new(Place::Approvals, "Approvals", body))
}

/// A page of the list without what waits on top: everything there is, or all in one state, newest first.
async fn older(view: View<'_>, state: Option<ApprovalState>, cursor: Option<String>) -> Result<Page, Problem> {
    let filter = ApprovalFilter { state, cursor, limit: PAGE_APPROVALS, ..ApprovalFilter::default() };
    let found = view.api.triggers.engine.ledger().approvals(filter).await?;
    let waits = state == Some(ApprovalState::Pending);
    let body = html! {
        div.head { div {
            p.crumb { a href="/approvals" { "Approvals" } }
            h1 { @if waits { "Waiting for you" } @else { "Older approvals" } }
        } }
        @if found.items.is_empty() {
            (parts::empty("Nothing is left here", &html! { a href="/approvals" { "Show all" } }))
        } @else if waits {
            (asks(view, &found.items))
        } @else {
            (table(view, &found.items.iter().collect::<Vec<_>>()))
        }
        div.more { a href="/approvals" { "← Newest" } (next(view, found.next.as_deref())) }
    };
    Ok(Page::new(Place::Approvals, "Approvals", body))
}

fn next(view: View<'_>, cursor: Option<&str>) -> Markup {
    html! { @if let Some(cursor) = cursor { a rel="next" href=(view.query.with("/approvals", "cursor", cursor, &["done"])) { "Older →" } } }
}

/// What waits for a decision, newest first.
pub(super) async fn pending(view: View<'_>, limit: usize) -> Result<ledger::Page<ApprovalRow>, Problem> {
    let filter = ApprovalFilter { state: Some(ApprovalState::Pending), limit, ..ApprovalFilter::default() };
    Ok(view.api.triggers.engine.ledger().approvals(filter).await?)
}

/// What waits, with a way to it.
pub(super) fn asks(view: View<'_>, pending: &[ApprovalRow]) -> Markup {
    html! {
        ul.asks aria-label="Waiting for you" {
            @for asked in pending {
                li data-id=(asked.id) {
                    div {
                        a.what.clip href={ "/approvals/" (asked.id) } { (question(asked)) }
                        p.act { (in_short(asked)) }
                        small.clip {
                            "asked " (parts::ago(asked.requested_at, view.now))
                            @if let Some(at) = asked.expires_at { " · expires in " (parts::span(at.duration_since(view.now))) }
                            @if asked.votes_needed > 1 { " · " (yes(asked)) " of " (asked.votes_needed) " votes" }
                            @if let Some(title) = &asked.event_title { " · " (parts::row_more(title)) }
                        }
                    }
                    a.button href={ "/approvals/" (asked.id) } tabindex="-1" aria-hidden="true" { "Review" }
                }
            }
        }
    }
}

/// What would run, in a line: what tells two questions of one step apart.
pub(super) fn in_short(approval: &ApprovalRow) -> Markup {
    approval::marked(&parts::clip_html(&action_text::in_short(&approval.action), SHORT_BYTES_MAX))
}

/// The question in a line; what became of it once it is closed.
pub(super) fn question(approval: &ApprovalRow) -> String {
    let what = format!("{}, step {}", parts::title(&approval.workflow), parts::title(&approval.step));
    match (approval.kind, approval.state) {
        (ApprovalKind::Gate, ApprovalState::Pending) => format!("Approve {what}?"),
        (ApprovalKind::Gate, ApprovalState::Approved) => format!("Approved: {what}"),
        (ApprovalKind::Gate, ApprovalState::Denied) => format!("Denied: {what}"),
        (ApprovalKind::Gate, ApprovalState::Expired) => format!("Expired: {what}"),
        (ApprovalKind::Gate, ApprovalState::Cancelled) => format!("Withdrawn: {what}"),
        (ApprovalKind::Settle, ApprovalState::Pending) => format!("Did it happen? {what}"),
        (ApprovalKind::Settle, _) => format!("No longer asked: did {what} happen?"),
    }
}

/// Votes for it.
pub(super) fn yes(approval: &ApprovalRow) -> usize {
    approval.decisions.iter().filter(|vote| vote.verdict == "approve").count()
}

fn table(view: View<'_>, rows: &[&ApprovalRow]) -> Markup {
    html! {
        table.list {
            thead { tr { th { "Step" } th { "Decision" } th.hide { "By" } th.num { "When" } } }
            tbody {
                @for row in rows {
                    tr data-id=(row.id) {
                        td.grow {
                            a.what.clip href={ "/approvals/" (row.id) } { (parts::title(&row.workflow)) ", " (parts::title(&row.step)) }
                            p.act { (in_short(row)) }
                            @if let Some(told) = row.reason.as_ref().or(row.event_title.as_ref()) { small.clip { (parts::row_more(told)) } }
                        }
                        td { (parts::approval_state(row.state)) }
                        td.hide.nowrap { @if let Some(vote) = row.decisions.last() { (parts::title(&vote.by)) br; small { "from " (parts::title(&vote.channel)) } } @else { span.soft { "—" } } }
                        td.num { (parts::ago(row.closed_at.unwrap_or(row.requested_at), view.now)) }
                    }
                }
            }
        }
    }
}
