//! One approval: the action in full, what of it came from a payload, and the decision.
//!
//! What is shown is made of the bytes that will run, by the same code as the chat's card; a decision goes through the
//! engine's one `decide`.

use maud::{Markup, html};

use super::layout::Place;
use super::query::Query;
use super::{Answer, Page, View, approvals, download, parts, run};
use crate::dashboard::REASON_CHARS_MAX;
use crate::dashboard::problem::Problem;
use crate::domain::action_text;
use crate::domain::approval::{ApprovalKind, ApprovalState, Vote};
use crate::domain::ids::{ApprovalId, IdError};
use crate::domain::text::{TAINT_CLOSE, TAINT_OPEN};
use crate::ledger::runs::{ApprovalRow, DecideOutcome};
use crate::workflow::engine::{Decider, Decision};

/// Bytes of markup that the action takes, and bytes of HTML of one of its lines.
const ACTION_BYTES_MAX: usize = 40 * 1024;
const LINE_BYTES_MAX: usize = 8 * 1024;
/// Votes that are listed.
const VOTES_MAX: usize = 50;
/// Files of an action that are listed beside it.
const FILES_MAX: usize = 20;

async fn find(view: View<'_>, id: &str) -> Result<ApprovalRow, Problem> {
    let id: ApprovalId = id.parse().map_err(|error: IdError| Problem::not_found(error.to_string()))?;
    let row = view.api.triggers.engine.ledger().approval(id).await?;
    row.ok_or_else(|| Problem::not_found(format!("There is no approval {id}.")))
}

pub(super) async fn show(view: View<'_>, id: &str) -> Result<Page, Problem> {
    let approval = find(view, id).await?;
    let question = approvals::question(&approval);
    let (action, is_whole) = action(&approval);
    let body = html! {
        div id="question" data-live {
            div.head { div {
                p.crumb { a href="/approvals" { "Approvals" } }
                h1 { (question) }
                p.sub {
                    (parts::approval_state(approval.state))
                    span { "asked " (parts::moment(approval.requested_at)) }
                    @if let Some(at) = approval.expires_at.filter(|_| approval.state == ApprovalState::Pending) { span { "expires " (parts::moment(at)) } }
                }
            } }
        }
        @if let Some(note) = &approval.note { p.note { (parts::told(note)) } }
        div.split {
            div {
                section aria-labelledby="h-action" {
                    div.title { h2 id="h-action" { "What would run" @if is_whole { ", in full" } } small { (approval.action.tool) } }
                    (action)
                }
                // Apart: whoever types a reason sees above what others decide meanwhile.
                div id="decide" data-live { @if approval.state == ApprovalState::Pending { (decide(view, &approval)) } }
                div id="votes" data-live { (votes(&approval)) }
            }
            aside id="facts" aria-label="About this approval" data-live { (facts(&approval)) }
        }
    };
    Ok(Page::new(Place::Approvals, question, body))
}

/// Every line; what came from a payload is marked, and nothing that came from one can look like a mark. An action that is
/// larger than a page says so, and leads to the whole of it.
fn action(approval: &ApprovalRow) -> (Markup, bool) {
    let lines = action_text::lines(&approval.action);
    let clipped: Vec<String> = lines.iter().map(|line| parts::clip_html(line, LINE_BYTES_MAX)).collect();
    let shown = parts::within(&clipped, ACTION_BYTES_MAX, |_| false, |line| html! { (marked(line)) "\n" });
    let is_cut = clipped != lines;
    let is_whole = shown.len() == lines.len() && !is_cut;
    let markup = html! {
        pre.code.wrap tabindex="0" { @for line in &shown { (line) } }
        @if !is_whole {
            p.note.warn.gap {
                "It is larger than this page: " (shown.len()) " of " (lines.len()) " lines are here" @if is_cut { ", long ones cut" } ". Read "
                a href={ "/approvals/" (approval.id) "/action" } { "the whole action" } " before you decide."
            }
        }
        @if action_text::is_tainted(&approval.action) {
            p.gap { small { mark { (TAINT_OPEN) "…" (TAINT_CLOSE) } " came from the payload." } }
        }
    };
    (markup, is_whole)
}

/// A text in which the marks of what came from a payload stand out.
pub(super) fn marked(text: &str) -> Markup {
    html! {
        @for (index, piece) in text.split(TAINT_OPEN).enumerate() {
            @if index == 0 {
                (piece)
            } @else if let Some((inside, after)) = piece.split_once(TAINT_CLOSE) {
                mark { (TAINT_OPEN) (inside) (TAINT_CLOSE) } (after)
            } @else {
                mark { (TAINT_OPEN) (piece) }
            }
        }
    }
}

fn decide(view: View<'_>, approval: &ApprovalRow) -> Markup {
    let to = format!("/approvals/{}", approval.id);
    let form = match approval.kind {
        ApprovalKind::Gate => html! {
            div.stack {
                div.field {
                    label for="reason" { "Reason (kept with the decision; optional)" }
                    input id="reason" name="reason" maxlength=(REASON_CHARS_MAX) autocomplete="off";
                }
                div.acts {
                    button.primary name="verdict" value="approve" { "Approve" }
                    button.danger name="verdict" value="deny" { "Deny" }
                }
            }
        },
        ApprovalKind::Settle => html! {
            input type="hidden" name="step" value=(approval.action.step);
            div.acts {
                button name="verdict" value="happened" { "It happened" }
                button name="verdict" value="not-happened" { "It did not" }
                button name="verdict" value="leave" { "Leave the run" }
            }
        },
    };
    html! {
        section aria-labelledby="h-decide" {
            div.title { h2 id="h-decide" { "Your decision" } }
            (parts::change(&to, view.csrf, &form))
            p.gap { small { "Recorded as " strong { "local admin" } " from the dashboard, in the audit log too." } }
        }
    }
}

fn votes(approval: &ApprovalRow) -> Markup {
    html! {
        @if !approval.decisions.is_empty() {
            section aria-labelledby="h-votes" {
                div.title { h2 id="h-votes" { "Votes" } @if approval.votes_needed > 1 { small { (approvals::yes(approval)) " of " (approval.votes_needed) } } }
                table.loose {
                    thead { tr { th { "Who" } th { "Said" } th { "From" } th.num { "When" } } }
                    tbody {
                        @for vote in approval.decisions.iter().take(VOTES_MAX) {
                            tr {
                                td { (parts::title(&vote.by)) @if let Some(reason) = &vote.reason { br; small { (parts::told(reason)) } } }
                                td { (vote.verdict) }
                                td { (vote.channel) }
                                td.num { (parts::moment(vote.at)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn facts(approval: &ApprovalRow) -> Markup {
    let who =
        if approval.approvers.is_empty() { "every allowed user".to_owned() } else { approval.approvers.join(", ") };
    html! {
        section aria-labelledby="h-facts" {
            h2.sr id="h-facts" { "Facts" }
            dl.facts {
                dt { "Workflow" } dd { a href={ "/workflows/" (approval.workflow) } { (approval.workflow) } }
                dt { "Run" } dd { a.mono href={ "/runs/" (approval.run_id) } { (parts::short_id(&approval.run_id.to_string())) } }
                @if let Some(event) = approval.event_id {
                    dt { "Event" } dd { a href={ "/events/" (event) } { @if let Some(title) = &approval.event_title { (parts::title(title)) } @else { (parts::short_id(&event.to_string())) } } }
                }
                dt { "May decide" } dd { (who) @if approval.votes_needed > 1 { ", " (approval.votes_needed) " votes" } }
                @if let Some(closed) = approval.closed_at { dt { "Closed" } dd { (parts::moment(closed)) } }
                @if let Some(reason) = &approval.reason { dt { "Because" } dd { (parts::told(reason)) } }
                @for file in approval.action.files.iter().take(FILES_MAX) {
                    dt { "File" } dd.mono { (parts::title(&file.path)) br; small { (file.sha256.chars().take(16).collect::<String>()) "…" } }
                }
                dt { "Digest" } dd.mono title=(approval.digest) { (approval.digest.chars().take(23).collect::<String>()) "… " (parts::copy(&approval.digest)) }
                dt { "Id" } dd.mono { (parts::short_id(&approval.id.to_string())) " " (parts::copy(&approval.id.to_string())) }
            }
            p.gap { small { "The decision is bound to the digest: were any byte of the action another, it would be asked anew." } }
        }
    }
}

/// The whole action as a file of text.
pub(super) async fn whole(view: View<'_>, id: &str) -> Result<Answer, Problem> {
    let approval = find(view, id).await?;
    let text = action_text::lines(&approval.action).join("\n") + "\n";
    Ok(Answer::Raw(download(text.into_bytes(), &format!("{}.txt", approval.id))))
}

pub(super) async fn act(view: View<'_>, id: &str, form: &Query) -> Result<Answer, Problem> {
    let approval = find(view, id).await?;
    if approval.kind == ApprovalKind::Settle {
        let done = run::settle(view, approval.run_id, form).await?;
        return Ok(Answer::See(format!("/runs/{}?done={done}", approval.run_id)));
    }
    let verdict: Vote =
        form.get("verdict").unwrap_or_default().parse().map_err(|_| Problem::bad_request("Say approve or deny."))?;
    let decision = Decision {
        approval: approval.id,
        by: Decider::LocalAdmin,
        channel: "dashboard".to_owned(),
        verdict,
        reason: form.get("reason").map(|reason| reason.chars().take(REASON_CHARS_MAX).collect()),
        nonce: None,
    };
    let conflict = |detail: String| Err(Problem::conflict(format!("{detail}. Nothing changed.")));
    match view.api.triggers.engine.decide(decision).await? {
        DecideOutcome::Decided { approval } => {
            let done = if approval.state == ApprovalState::Approved { "approved" } else { "denied" };
            Ok(Answer::See(format!("/runs/{}?done={done}", approval.run_id)))
        }
        DecideOutcome::VoteCounted { .. } => Ok(Answer::See(format!("/approvals/{}?done=counted", approval.id))),
        DecideOutcome::AlreadyVoted { at, verdict } => conflict(format!("You voted before: {verdict}, at {at}")),
        DecideOutcome::AlreadyDecided { state, by, channel, at } => {
            conflict(format!("Already {state} by {by} from {channel} at {at}"))
        }
        DecideOutcome::Expired { at } => conflict(format!("It expired at {at}")),
        DecideOutcome::Cancelled { reason } => conflict(format!("It is no longer asked: {reason}")),
        DecideOutcome::NotApprover { .. } | DecideOutcome::StaleButton => Err(Problem::forbidden("Nothing changed.")),
        DecideOutcome::Unknown => Err(Problem::not_found("There is no such approval.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_a_payload_is_marked_and_cannot_break_out() {
        let shown = marked("$ run ‹<b>x</b>› --tag ‹v1›\nnext").into_string();
        assert_eq!(shown, "$ run <mark>‹&lt;b&gt;x&lt;/b&gt;›</mark> --tag <mark>‹v1›</mark>\nnext");
    }
}
