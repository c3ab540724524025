//! What the holder of a run writes: all or nothing, and only while the epoch is theirs.

use rusqlite::params;

use super::super::rows::duration_ms;
use super::super::tx::{Tx, WriteError};
use super::{approvals, end, start, waits};
use crate::ledger::LedgerError;
use crate::ledger::runs::{Advance, Advanced, RunChange, RunStarted, StepRow};

/// Bytes that a change holds beside its row.
pub(super) fn output_bytes(change: &RunChange) -> usize {
    match change {
        RunChange::Step(step) => step.output.as_ref().map_or(0, rough_bytes),
        RunChange::Child(run) => {
            run.definition.len() + rough_bytes(&run.context.payload) + rough_bytes(&run.context.inputs)
        }
        RunChange::Ask(_)
        | RunChange::Close { .. }
        | RunChange::Await(_)
        | RunChange::Release { .. }
        | RunChange::End { .. } => 0,
    }
}

/// About how long `value` is as text.
fn rough_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(rough_bytes).sum::<usize>() + 8,
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + rough_bytes(value)).sum::<usize>() + 8,
    }
}

struct Held {
    seq: i64,
    disturbed: bool,
    depth: u32,
}

/// See [`crate::ledger::runs::RunLedger::advance`].
pub(super) fn advance(tx: &mut Tx<'_>, advance: &Advance) -> Result<Advanced, WriteError> {
    let held = tx.first(
        "SELECT seq, disturbed, depth FROM runs WHERE id = ?1 AND epoch = ?2 AND leased = 1",
        (advance.run.to_string(), advance.epoch),
        |row| Ok(Held { seq: row.get(0)?, disturbed: row.get(1)?, depth: row.get(2)? }),
    )?;
    let Some(mut held) = held else { return Ok(Advanced::default()) };
    let at_ms = advance.at.as_millisecond();
    let mut advanced = Advanced { held: true, disturbed: held.disturbed, ..Advanced::default() };
    for change in &advance.changes {
        match change {
            RunChange::Step(step) => write_step(tx, held.seq, step)?,
            RunChange::Ask(approval) => approvals::ask(tx, held.seq, approval, at_ms)?,
            RunChange::Close { approval, state, reason } => {
                approvals::close_by_id(tx, *approval, *state, reason, at_ms)?;
            }
            RunChange::Await(wait) => waits::register(tx, held.seq, wait)?,
            RunChange::Child(run) => {
                if let RunStarted::Refused { reason } = start::start_child(tx, run, held.seq, held.depth)? {
                    let step = run.parent.as_ref().map(|parent| parent.step.clone()).unwrap_or_default();
                    refuse(tx, held.seq, &step, &reason, at_ms)?;
                    held.disturbed = true;
                    advanced.refused.push((step, reason));
                }
            }
            RunChange::Release { state, due_at } => {
                // Whoever disturbed it while it was held could not make it due.
                let due_ms = due_at.map(jiff::Timestamp::as_millisecond);
                let due_ms = if held.disturbed { Some(at_ms) } else { due_ms };
                tx.execute(
                    "UPDATE runs SET leased = 0, state = ?2, due_at = ?3 WHERE seq = ?1",
                    (held.seq, state.as_str(), due_ms),
                )?;
                tx.tally.runs |= due_ms.is_some();
            }
            RunChange::End { state, reason, notices } => {
                let ending = end::Ending { state: *state, reason: reason.as_deref(), notices, at_ms };
                end::end(tx, held.seq, &ending, &mut advanced.touched)?;
            }
        }
    }
    Ok(advanced)
}

/// The step whose child run cannot start has failed; whoever holds the run, or takes it next, goes on from there.
fn refuse(tx: &Tx<'_>, run_seq: i64, key: &str, reason: &str, at_ms: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE run_steps SET state = 'error', error = ?3, ended_at = ?4, due_at = NULL WHERE run_seq = ?1 AND key = ?2",
        (run_seq, key, reason, at_ms),
    )?;
    Ok(())
}

/// Writes a step's row; a new one comes last.
pub(super) fn write_step(tx: &Tx<'_>, run_seq: i64, step: &StepRow) -> Result<(), WriteError> {
    let output = match &step.output {
        None => None,
        Some(output) => Some(
            serde_json::to_string(output)
                .map_err(|e| LedgerError::Invalid(format!("the output of '{}' cannot be written: {e}", step.key)))?,
        ),
    };
    let ms = |at: Option<jiff::Timestamp>| at.map(jiff::Timestamp::as_millisecond);
    tx.execute(
        "INSERT INTO run_steps (run_seq, key, pos, name, tool, kind, state, attempt, effect, output, truncated, tainted,
             error, approval_id, revision, started_at, ended_at, due_at, epoch)
         VALUES (?1, ?2, (SELECT coalesce(max(pos), 0) + 1 FROM run_steps WHERE run_seq = ?1),
             ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
         ON CONFLICT (run_seq, key) DO UPDATE SET state = excluded.state, attempt = excluded.attempt,
             effect = excluded.effect, output = excluded.output, truncated = excluded.truncated,
             tainted = excluded.tainted, error = excluded.error, approval_id = excluded.approval_id,
             revision = excluded.revision, started_at = excluded.started_at, ended_at = excluded.ended_at,
             due_at = excluded.due_at, epoch = excluded.epoch",
        params![
            run_seq,
            step.key,
            step.name,
            step.tool,
            step.kind.as_str(),
            step.state.as_str(),
            step.attempt,
            step.effect.map(|effect| effect.as_str()),
            output,
            step.truncated,
            step.tainted,
            step.error,
            step.approval_id.map(|id| id.to_string()),
            step.revision,
            ms(step.started_at),
            ms(step.ended_at),
            ms(step.due_at),
            step.epoch,
        ],
    )?;
    Ok(())
}

/// A duration as a column, where there is one.
pub(super) fn ms_of(duration: Option<std::time::Duration>) -> Option<i64> {
    duration.map(duration_ms)
}
