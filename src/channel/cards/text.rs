//! The words of a card: what is asked, the action in full, who may decide, and how it ended.
//!
//! Pure, and the only place that words them; channels dress them, the command line prints them.

use jiff::Timestamp;

use crate::domain::action_text as action;
use crate::domain::approval::{ApprovalKind, ApprovalState, Settle, person};
use crate::domain::card::{Block, Button, Card};
use crate::domain::notice::{Message, Severity};
use crate::domain::text::{TAINT_CLOSE, TAINT_OPEN, clip_chars, one_line};
use crate::ledger::runs::{ApprovalRow, DecisionRow};
use crate::ports::Document;

/// Longest title of an event on a card, in characters.
const EVENT_CHARS_MAX: usize = 200;
/// Longest note and reason, in characters.
const NOTE_CHARS_MAX: usize = 500;
/// Votes that are listed; more are counted.
const VOTES_LISTED_MAX: usize = 20;

/// What a button of a card does; kept beside the hash of its nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Purpose {
    /// The word that is kept.
    pub(super) word: &'static str,
    /// What is written on the button.
    label: &'static str,
}

const GATE: [[Purpose; 2]; 1] =
    [[Purpose { word: "approve", label: "✅ Approve" }, Purpose { word: "deny", label: "✖ Deny" }]];
const DETAILS: Purpose = Purpose { word: "details", label: "Details" };
const SETTLE: [Purpose; 3] = [
    Purpose { word: "happened", label: "It happened" },
    Purpose { word: "not-happened", label: "It did not" },
    Purpose { word: "leave", label: "Leave the run" },
];

/// The buttons of a question of this kind, in rows.
pub(super) fn purposes(kind: ApprovalKind) -> Vec<Vec<Purpose>> {
    match kind {
        ApprovalKind::Gate => vec![GATE[0].to_vec(), vec![DETAILS]],
        ApprovalKind::Settle => vec![SETTLE[..2].to_vec(), vec![SETTLE[2], DETAILS]],
    }
}

/// Buttons with their nonces, which come in the order of [`purposes`].
pub(super) fn buttons(kind: ApprovalKind, nonces: Vec<String>) -> Vec<Vec<Button>> {
    let mut nonces = nonces.into_iter();
    let row = |purposes: Vec<Purpose>| {
        purposes
            .into_iter()
            .filter_map(|purpose| Some(Button { label: purpose.label, data: nonces.next()? }))
            .collect::<Vec<_>>()
    };
    purposes(kind).into_iter().map(row).filter(|row| !row.is_empty()).collect()
}

/// How people are told to decide without buttons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// In a chat.
    Chat,
    /// In a terminal.
    Terminal,
}

/// A card without its buttons, the action in full.
pub(super) fn card(approval: &ApprovalRow, hint: Hint) -> Card {
    let lines = action::lines(&approval.action);
    with_action(approval, hint, vec![Block::Code(lines.join("\n"))])
}

/// The same, for an action that is too long for a message and went before as a file.
pub(super) fn card_beside_file(approval: &ApprovalRow, hint: Hint) -> Card {
    let lines = action::lines(&approval.action).len();
    let text = format!(
        "What would run is too long for a message: it is in the file {} above, {lines} lines. Read it whole before you decide.",
        document_name(approval)
    );
    with_action(
        approval,
        hint,
        vec![Block::Text(format!("Tool: {}", one_line(&approval.action.tool))), Block::Text(text)],
    )
}

/// The whole card as a file.
pub(super) fn document(approval: &ApprovalRow, hint: Hint) -> Document {
    Document {
        name: document_name(approval),
        text: format!("{}\n\nDigest: {}\n", card(approval, hint).plain(), approval.digest),
        caption: format!(
            "{}, step {}: what would run, in full",
            one_line(&approval.workflow),
            one_line(&approval.step)
        ),
    }
}

fn document_name(approval: &ApprovalRow) -> String {
    format!("{}.txt", approval.id)
}

/// What stands where a card was that has been sent anew below.
pub(super) fn moved(approval: &ApprovalRow) -> Card {
    Card {
        title: format!("{}, step {}", one_line(&approval.workflow), one_line(&approval.step)),
        severity: Severity::Info,
        blocks: vec![Block::Text("Asked again below.".into())],
        buttons: Vec::new(),
    }
}

/// What has changed about a card, for a place where it cannot be changed itself.
pub(super) fn brief(approval: &ApprovalRow) -> Card {
    let (title, severity) = title(approval);
    let mut blocks = Vec::new();
    let mut text = |line: String| blocks.push(Block::Text(line));
    votes(approval, &mut text);
    if approval.state != ApprovalState::Pending {
        text(ended(approval));
    }
    text(approval.id.to_string());
    Card { title, severity, blocks, buttons: Vec::new() }
}

fn with_action(approval: &ApprovalRow, hint: Hint, action: Vec<Block>) -> Card {
    let (title, severity) = title(approval);
    let mut blocks = Vec::new();
    let mut text = |line: String| blocks.push(Block::Text(line));
    if let Some(event) = &approval.event_title {
        text(format!("Event: {TAINT_OPEN}{}{TAINT_CLOSE}", clip_chars(&unmarked(event), EVENT_CHARS_MAX)));
    }
    if let Some(note) = &approval.note {
        text(clip_chars(&unmarked(note), NOTE_CHARS_MAX));
    }
    blocks.extend(action);
    let mut text = |line: String| blocks.push(Block::Text(line));
    if action::is_tainted(&approval.action) {
        text(format!("{TAINT_OPEN}…{TAINT_CLOSE} came from the payload."));
    }
    match approval.state {
        ApprovalState::Pending => {
            match (hint, approval.approvers.is_empty()) {
                // Without a chat nobody is on a list.
                (Hint::Terminal, true) => text("May decide: whoever may use the agent's command line here".into()),
                (Hint::Terminal | Hint::Chat, _) => text(may_decide(approval)),
            }
            votes(approval, &mut text);
            if let Some(at) = approval.expires_at {
                text(format!("Expires {}", told(at)));
            }
            text(how(approval, hint));
        }
        ApprovalState::Approved | ApprovalState::Denied | ApprovalState::Expired | ApprovalState::Cancelled => {
            votes(approval, &mut text);
            text(ended(approval));
            text(approval.id.to_string());
        }
    }
    Card { title, severity, blocks, buttons: Vec::new() }
}

fn title(approval: &ApprovalRow) -> (String, Severity) {
    let what = format!("{}, step {}", one_line(&approval.workflow), one_line(&approval.step));
    match (approval.kind, approval.state) {
        (ApprovalKind::Gate, ApprovalState::Pending) if approval.reminders > 0 => {
            (format!("Reminder: approve {what}?"), Severity::Warning)
        }
        (ApprovalKind::Gate, ApprovalState::Pending) => (format!("Approve {what}?"), Severity::Warning),
        (ApprovalKind::Gate, ApprovalState::Approved) => (format!("Approved: {what}"), Severity::Good),
        (ApprovalKind::Gate, ApprovalState::Denied) => (format!("Denied: {what}"), Severity::Info),
        (ApprovalKind::Gate, ApprovalState::Expired) => (format!("Expired: {what}"), Severity::Info),
        (ApprovalKind::Gate, ApprovalState::Cancelled) => (format!("Withdrawn: {what}"), Severity::Info),
        (ApprovalKind::Settle, ApprovalState::Pending) => (format!("Did it happen? {what}"), Severity::Critical),
        (ApprovalKind::Settle, ApprovalState::Cancelled) if was_left(approval) => {
            (format!("Left in doubt: {what}"), Severity::Warning)
        }
        (ApprovalKind::Settle, ApprovalState::Cancelled) => (format!("No longer asked: {what}"), Severity::Info),
        (ApprovalKind::Settle, _) => (format!("Settled: {what}"), Severity::Info),
    }
}

/// Whether somebody said that nobody knows.
fn was_left(approval: &ApprovalRow) -> bool {
    approval.decisions.last().is_some_and(|vote| vote.verdict == Settle::Leave.as_str())
}

fn may_decide(approval: &ApprovalRow) -> String {
    let who = approvers(&approval.approvers);
    match approval.votes_needed {
        0 | 1 => format!("May decide: {who}"),
        votes => format!("May decide: {who} ({votes} votes)"),
    }
}

/// The people who may decide, in words.
pub(super) fn approvers(names: &[String]) -> String {
    if names.is_empty() {
        return "everybody on the list of allowed users".into();
    }
    names.iter().map(|name| who(name)).collect::<Vec<_>>().join(", ")
}

fn votes(approval: &ApprovalRow, text: &mut impl FnMut(String)) {
    let pending = approval.state == ApprovalState::Pending;
    if pending && approval.votes_needed > 1 {
        let yes = approval.decisions.iter().filter(|vote| vote.verdict == "approve").count();
        text(format!("Votes: {yes} of {}", approval.votes_needed));
    }
    // A single vote is the decision itself, which is told by itself.
    if pending || approval.decisions.len() > 1 {
        for vote in approval.decisions.iter().take(VOTES_LISTED_MAX) {
            text(format!("  {}", vote_line(vote)));
        }
        if let Some(more) = approval.decisions.len().checked_sub(VOTES_LISTED_MAX + 1) {
            text(format!("  and {} more votes", more + 1));
        }
    }
}

fn vote_line(vote: &DecisionRow) -> String {
    let mut line = format!("{}: {} from {}, {}", who(&vote.by), vote.verdict, one_line(&vote.channel), told(vote.at));
    if let Some(reason) = &vote.reason {
        line.push_str(&format!(" ({})", clip_chars(&unmarked(reason), NOTE_CHARS_MAX)));
    }
    line
}

/// How it ended: who, when, from where, why.
fn ended(approval: &ApprovalRow) -> String {
    let last = approval.decisions.last();
    let at = approval.closed_at.map_or_else(String::new, |at| format!(", {}", told(at)));
    let reason = approval.reason.as_deref().or(last.and_then(|vote| vote.reason.as_deref()));
    let why = reason.map_or_else(String::new, |reason| format!(": {}", clip_chars(&unmarked(reason), NOTE_CHARS_MAX)));
    let by = last.map_or_else(String::new, |vote| format!(" by {} from {}", who(&vote.by), one_line(&vote.channel)));
    match (approval.kind, approval.state) {
        (_, ApprovalState::Pending) => String::new(),
        (_, ApprovalState::Expired) => format!("Nobody decided in time{at}. Nothing further of this run happens."),
        (ApprovalKind::Settle, ApprovalState::Cancelled) if was_left(approval) => format!("The run was left{by}{at}"),
        (_, ApprovalState::Cancelled) => format!("Withdrawn{at}{why}"),
        (ApprovalKind::Gate, ApprovalState::Approved) => format!("Approved{by}{at}{why}"),
        (ApprovalKind::Gate, ApprovalState::Denied) => format!("Denied{by}{at}{why}"),
        (ApprovalKind::Settle, _) => {
            let word = last.map_or("settled", |vote| match vote.verdict.as_str() {
                "happened" => "It happened, says",
                "not-happened" => "It did not happen, says",
                _ => "Settled by",
            });
            let from =
                last.map_or_else(String::new, |vote| format!(" {} from {}", who(&vote.by), one_line(&vote.channel)));
            format!("{word}{from}{at}{why}")
        }
    }
}

fn how(approval: &ApprovalRow, hint: Hint) -> String {
    let id = approval.id;
    match (approval.kind, hint) {
        (ApprovalKind::Gate, Hint::Chat) => {
            format!("{id}: press a button, answer yes or no (no: reason), or write /approve or /deny and the id.")
        }
        (ApprovalKind::Gate, Hint::Terminal) => {
            format!("Decide: agent approvals approve {id}  or  agent approvals deny {id} --reason '…'")
        }
        (ApprovalKind::Settle, Hint::Chat) => format!("{id} of {}: press a button.", approval.run_id),
        (ApprovalKind::Settle, Hint::Terminal) => format!(
            "Settle: agent runs settle {} {} happened  or  not-happened  or  leave",
            approval.run_id, approval.action.step
        ),
    }
}

/// Everything about an approval that the card leaves out.
pub(crate) fn details(approval: &ApprovalRow) -> Message {
    let action = &approval.action;
    let mut lines = vec![
        format!("State: {}", approval.state),
        format!("Run: {}", approval.run_id),
        format!("Step: {} (question {})", one_line(&action.step), action.revision),
        format!("Tool: {}", one_line(&action.tool)),
        format!("Workflow: {} ({})", one_line(&approval.workflow), action.workflow_hash),
        format!("Digest: {}", approval.digest),
    ];
    lines.extend(approval.event_id.map(|event| format!("Event: {event}")));
    lines.extend(action.files.iter().map(|file| format!("File: {} sha256 {}", one_line(&file.path), file.sha256)));
    lines.push(may_decide(approval));
    lines.push(format!("Asked {}", told(approval.requested_at)));
    lines.extend(approval.expires_at.map(|at| format!("Expires {}", told(at))));
    lines.extend(approval.decisions.iter().take(VOTES_LISTED_MAX).map(vote_line));
    Message { lines, ..Message::title(format!("{}: {}", approval.id, title(approval).0)) }
}

/// A person as the ledger names them, in words.
pub(crate) fn who(by: &str) -> String {
    person(&one_line(by))
}

/// A moment as cards write it.
pub(crate) fn told(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// One line that has none of our marks in it.
fn unmarked(text: &str) -> String {
    one_line(text).replace([TAINT_OPEN, TAINT_CLOSE], "'")
}
