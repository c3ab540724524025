//! A step in doubt is settled: by a person, whatever their channel, in one transaction with the question about it.

use super::super::tx::{Tx, WriteError};
use super::approvals::{close, is_fresh, use_up};
use super::end::{Ending, end};
use super::people::reopen;
use super::start::{find, poke};
use crate::domain::approval::{ApprovalState, Settle, person};
use crate::domain::run::{RunState, StepState};
use crate::ledger::runs::{SettleOutcome, SettleStep};
use crate::ledger::sqlite::rows::word;

/// See [`crate::ledger::runs::RunLedger::settle_step`].
pub(super) fn settle(tx: &mut Tx<'_>, settle: &SettleStep) -> Result<SettleOutcome, WriteError> {
    let Some(run) = find(tx, settle.run)? else { return Ok(SettleOutcome::Unknown) };
    let step = tx.first(
        "SELECT key, state FROM run_steps WHERE run_seq = ?1 AND (key = ?2 OR name = ?2)
         ORDER BY state = 'in_doubt' DESC, key = ?2 DESC, pos LIMIT 1",
        (run.seq, &settle.step),
        |row| Ok((row.get::<_, String>(0)?, word::<StepState>(row, 1)?)),
    )?;
    let Some((key, state)) = step else { return Ok(SettleOutcome::Unknown) };
    if state != StepState::InDoubt {
        return Ok(SettleOutcome::NotInDoubt { state });
    }
    let question = question(tx, run.seq, &key)?;
    // A button of a question that is closed does nothing, however the step stands.
    if let Some(hash) = &settle.nonce {
        let fresh = match question {
            Some(question) => is_fresh(tx, question, hash, settle.verdict.as_str())?,
            None => false,
        };
        if !fresh {
            return Ok(SettleOutcome::StaleButton);
        }
    }
    let at_ms = settle.at.as_millisecond();
    if let Some(question) = question {
        answer(tx, question, settle, at_ms)?;
    }
    write_step(tx, run.seq, &key, settle, at_ms)?;
    match settle.verdict {
        Settle::Leave => {
            let reason = format!("left in doubt by {}", person(&settle.by));
            let ending =
                Ending { state: RunState::InDoubt, reason: Some(reason.as_str()), notices: &settle.notices, at_ms };
            end(tx, run.seq, &ending, &mut Vec::new())?;
        }
        Settle::Happened | Settle::NotHappened if run.ended && run.state == RunState::InDoubt => {
            reopen(tx, run.seq, None, settle.at)?;
        }
        // Of a run that was denied, expired or cancelled nothing further happens; the step's truth is known all the same.
        Settle::Happened | Settle::NotHappened => {
            tx.execute("UPDATE runs SET state = 'running' WHERE seq = ?1 AND ended_at IS NULL", [run.seq])?;
            poke(tx, run.seq, at_ms)?;
        }
    }
    Ok(SettleOutcome::Settled)
}

/// The question about a step in doubt that stands open.
fn question(tx: &Tx<'_>, run_seq: i64, key: &str) -> rusqlite::Result<Option<i64>> {
    tx.first(
        "SELECT seq FROM approvals WHERE run_seq = ?1 AND step_key = ?2 AND kind = 'settle' AND state = 'pending'
         ORDER BY seq DESC LIMIT 1",
        (run_seq, key),
        |row| row.get(0),
    )
}

fn answer(tx: &mut Tx<'_>, question: i64, settle: &SettleStep, at_ms: i64) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO approval_votes (approval_seq, voter, channel, verdict, at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
        (question, &settle.by, &settle.channel, settle.verdict.as_str(), at_ms),
    )?;
    let (state, reason) = match settle.verdict {
        Settle::Happened => (ApprovalState::Approved, None),
        Settle::NotHappened => (ApprovalState::Denied, None),
        Settle::Leave => (ApprovalState::Cancelled, Some("left in doubt")),
    };
    close(tx, question, state, reason, at_ms)?;
    use_up(tx, question, at_ms)
}

fn write_step(tx: &Tx<'_>, run_seq: i64, key: &str, settle: &SettleStep, at_ms: i64) -> rusqlite::Result<()> {
    let by = person(&settle.by);
    match settle.verdict {
        Settle::Happened => tx.execute(
            "UPDATE run_steps SET state = 'success', ended_at = ?3, error = ?4 WHERE run_seq = ?1 AND key = ?2",
            (run_seq, key, at_ms, format!("settled by {by}: it happened")),
        )?,
        // Its gate asks again: what was approved then may not be wanted now.
        Settle::NotHappened => tx.execute(
            "UPDATE run_steps SET state = 'ready', approval_id = NULL, due_at = NULL, error = ?3
             WHERE run_seq = ?1 AND key = ?2",
            (run_seq, key, format!("settled by {by}: it did not happen")),
        )?,
        Settle::Leave => 0,
    };
    Ok(())
}
