//! The end of a run: what its rows say then, and the one notice about it.

use jiff::Timestamp;

use super::Core;
use super::held::Held;
use super::rows::{FAILURE_PREFIX, is_item};
use crate::domain::ids::NoticeId;
use crate::domain::notice::{Message, NoticeKind, Severity};
use crate::domain::run::{RunSource, RunState, StepKind, StepState};
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::NewNotice;
use crate::ledger::runs::{RunRow, StepRow};

/// Longest reason on a line of the notice, in characters.
const REASON_CHARS_MAX: usize = 200;
/// Steps that the notice names at most.
const STEPS_SHOWN_MAX: usize = 40;

/// Gives every row that has no end one.
pub(super) fn close_rows(held: &mut Held, state: RunState, now: Timestamp) {
    let open: Vec<StepRow> = held.rows.iter().filter(|row| !row.state.is_ended()).cloned().collect();
    for mut row in open {
        let end = match (row.state, row.kind) {
            // It stays what it is, and its truth may still be told.
            (StepState::InDoubt, _) => continue,
            // A process that is gone began it: that the run is over does not tell whether it happened.
            (StepState::Started, StepKind::Tool) if row.epoch != held.epoch && !is_repeatable(&row) => {
                row.state = StepState::InDoubt;
                row.error = Some("whether it happened is not known: the agent ended while it ran".into());
                row.due_at = None;
                held.put(row);
                continue;
            }
            (StepState::Ready, _) => StepState::Skipped,
            (_, StepKind::Group | StepKind::Loop) => group_end(state),
            (_, StepKind::Tool) => StepState::Cancelled,
        };
        if end == StepState::Skipped {
            let unneeded = row.key.starts_with(FAILURE_PREFIX) && state == RunState::Success;
            row.error = Some(if unneeded { "nothing failed" } else { "the run ended before it" }.into());
        }
        row.state = end;
        row.ended_at = Some(now);
        row.due_at = None;
        held.put(row);
    }
}

fn is_repeatable(row: &StepRow) -> bool {
    row.effect.is_some_and(|effect| effect.is_repeatable())
}

fn group_end(state: RunState) -> StepState {
    match state {
        RunState::Success | RunState::Running | RunState::Waiting => StepState::Success,
        RunState::Error | RunState::InDoubt => StepState::Error,
        RunState::Denied => StepState::Denied,
        RunState::Expired => StepState::Expired,
        RunState::Cancelled => StepState::Cancelled,
    }
}

/// The notice about the end of a run; none for a child, whose parent tells, for what a conversation proposed, which tells
/// itself, and where nobody reads.
pub(in crate::workflow) fn notices<'r>(
    core: &Core,
    run: &RunRow,
    steps: impl Iterator<Item = &'r StepRow>,
    state: RunState,
    reason: Option<&str>,
) -> Vec<NewNotice> {
    let told_elsewhere = matches!(run.source, RunSource::Child | RunSource::Chat);
    let (Some(chat), false) = (&run.chat, told_elsewhere) else { return Vec::new() };
    let now = core.deps.clock.now();
    vec![NewNotice {
        id: NoticeId::new(core.deps.ids.ulid(now)),
        chat: chat.clone(),
        kind: NoticeKind::Outcome,
        event: run.event_id,
        reply_to: None,
        message: message(run, steps, state, reason),
        created_at: now,
    }]
}

fn message<'r>(
    run: &RunRow,
    steps: impl Iterator<Item = &'r StepRow>,
    state: RunState,
    reason: Option<&str>,
) -> Message {
    let title = match run.source {
        RunSource::Event | RunSource::Route => format!("Webhook '{}' triggered workflow:", run.workflow),
        RunSource::Manual | RunSource::Child | RunSource::Schedule | RunSource::Chat => {
            format!("Workflow '{}' ran:", run.workflow)
        }
    };
    let shown = steps.filter(|row| row.kind != StepKind::Group && !is_item(&row.key)).filter(|row| {
        // Steps of `on_failure` that nobody needed say nothing.
        !row.key.starts_with(FAILURE_PREFIX) || row.state != StepState::Skipped
    });
    let mut lines: Vec<String> = shown.map(line).collect();
    if lines.len() > STEPS_SHOWN_MAX {
        let more = lines.len() - STEPS_SHOWN_MAX;
        lines.truncate(STEPS_SHOWN_MAX);
        lines.push(format!("  and {more} more"));
    }
    let told = matches!(state, RunState::Success | RunState::Error | RunState::Denied | RunState::Expired);
    if let (false, Some(reason)) = (told, reason) {
        let reason = clip_chars(&one_line(reason), REASON_CHARS_MAX);
        // "cancelled by user 7" says the state itself.
        let says_so = reason.starts_with(state.as_str());
        lines.push(if says_so { format!("The run was {reason}.") } else { format!("The run is {state}: {reason}") });
    }
    let severity = match state {
        RunState::Success => Severity::Good,
        RunState::Running | RunState::Waiting | RunState::Denied | RunState::Cancelled => Severity::Info,
        RunState::Error | RunState::Expired => Severity::Warning,
        RunState::InDoubt => Severity::Critical,
    };
    Message { title, lines, url: None, severity }
}

fn line(row: &StepRow) -> String {
    let why = row.error.as_ref().filter(|_| row.state != StepState::Success && row.state != StepState::Skipped);
    match why {
        Some(why) => format!("  {}: {} ({})", row.name, row.state, clip_chars(&one_line(why), REASON_CHARS_MAX)),
        None => format!("  {}: {}", row.name, row.state),
    }
}
