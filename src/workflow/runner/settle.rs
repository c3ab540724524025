//! What came of a call, as the row of its step: done, failed, once more, or in doubt.

use serde_json::Value;

use super::Core;
use super::call::{Done, What};
use super::held::Held;
use crate::domain::run::{Effect, StepState};
use crate::ledger::runs::StepRow;
use crate::tool::{OUTPUT_BYTES_MAX, ToolFailure, ToolOutput};
use crate::workflow::definition::{Retry, ToolStep};

/// Longest message about a failure that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 2000;
/// What `verify` says when the step did not happen: it ends with exit code 1.
const DID_NOT_HAPPEN: &str = "exit code 1";

/// Why a call may have been stopped from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped<'a> {
    /// Nobody did.
    No,
    /// Somebody cancelled the run.
    Cancelled,
    /// The run's time was over.
    Over(&'a str),
}

/// What must follow beside the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follow {
    Nothing,
    /// It is not known whether it happened: `verify`, or a person.
    Doubt,
    /// Not even `verify` knows: a person.
    Ask,
}

/// Writes what came of `done` into its row.
pub(super) fn settle(core: &Core, held: &mut Held, done: Done, step: &ToolStep, stopped: Stopped<'_>) -> Follow {
    let Some(row) = held.rows.get(&done.key).cloned() else { return Follow::Nothing };
    let mut row = row;
    if done.changed {
        // Its gate is asked once more, and asks people.
        row.state = StepState::Ready;
        row.attempt = row.attempt.saturating_sub(1);
        row.started_at = None;
        held.put(row);
        return Follow::Nothing;
    }
    let follow = match done.what {
        What::Verify => verified(core, &mut row, &done.outcome),
        What::Step => ended(core, &mut row, done.outcome, step.retry, stopped),
    };
    held.put(row);
    follow
}

fn verified(core: &Core, row: &mut StepRow, outcome: &Result<ToolOutput, ToolFailure>) -> Follow {
    match outcome {
        Ok(_) => {
            end(core, row, StepState::Success, Some("verify says that it happened".into()));
            Follow::Nothing
        }
        Err(ToolFailure::Failed { message, .. })
            if message == DID_NOT_HAPPEN || message.starts_with(&format!("{DID_NOT_HAPPEN}:")) =>
        {
            row.state = StepState::Ready;
            row.error = Some("verify says that it did not happen".into());
            Follow::Nothing
        }
        Err(failure) => {
            row.error = Some(clipped(&format!("verify could not tell: {failure}")));
            Follow::Ask
        }
    }
}

fn ended(
    core: &Core,
    row: &mut StepRow,
    outcome: Result<ToolOutput, ToolFailure>,
    retry: Option<Retry>,
    stopped: Stopped<'_>,
) -> Follow {
    let repeatable = row.effect.unwrap_or(Effect::Once).is_repeatable();
    let failure = match outcome {
        Ok(output) => {
            row.output = Some(output.value);
            row.truncated = output.truncated;
            end(core, row, StepState::Success, None);
            return Follow::Nothing;
        }
        Err(failure) => failure,
    };
    if let Some(output) = failure.output() {
        let kept = bounded(output.clone());
        row.output = Some(kept.value);
        row.truncated = kept.truncated;
    }
    let message = clipped(&failure.to_string());
    match (&failure, stopped) {
        (ToolFailure::Unknown { .. }, _) if !repeatable => {
            row.error = Some(message);
            return Follow::Doubt;
        }
        (ToolFailure::Cancelled, Stopped::Cancelled) => {
            end(core, row, StepState::Cancelled, Some("stopped while it ran; part of it may have been done".into()));
            return Follow::Nothing;
        }
        (ToolFailure::Cancelled, Stopped::Over(over)) => {
            end(core, row, StepState::Error, Some(format!("stopped while it ran: {over}")));
            return Follow::Nothing;
        }
        _ => {}
    }
    let again = match &failure {
        ToolFailure::NeverBegan { .. } => true,
        ToolFailure::Failed { .. } | ToolFailure::TimedOut { .. } | ToolFailure::Unknown { .. } => repeatable,
        ToolFailure::Cancelled => false,
    };
    match retry.filter(|retry| again && stopped == Stopped::No && row.attempt <= retry.max) {
        Some(retry) => {
            row.state = StepState::Waiting;
            row.due_at = Some(core.deps.clock.now() + retry.backoff.after(row.attempt));
            row.error = Some(message);
        }
        None => end(core, row, StepState::Error, Some(message)),
    }
    Follow::Nothing
}

fn end(core: &Core, row: &mut StepRow, state: StepState, error: Option<String>) {
    row.state = state;
    row.error = error;
    row.ended_at = Some(core.deps.clock.now());
    row.due_at = None;
}

fn clipped(message: &str) -> String {
    crate::domain::text::clip_chars(message, MESSAGE_CHARS_MAX)
}

/// An output cut to what is kept. Tools cut by themselves; this holds for all of them.
pub(super) fn bounded(mut output: ToolOutput) -> ToolOutput {
    if let Value::String(text) = &mut output.value {
        if text.len() > OUTPUT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(OUTPUT_BYTES_MAX));
            output.truncated = true;
        }
        return output;
    }
    let mut text = output.value.to_string();
    if text.len() > OUTPUT_BYTES_MAX {
        // Half a JSON value is none; as text it can still be read.
        text.truncate(text.floor_char_boundary(OUTPUT_BYTES_MAX));
        output.value = Value::String(text);
        output.truncated = true;
    }
    output
}

/// A value cut to what is kept.
pub(super) fn bounded_value(value: Value) -> Value {
    bounded(ToolOutput::of(value)).value
}
