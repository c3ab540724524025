//! What persons do to runs: decide, cancel, retry. One transaction each, which says truthfully what it changed.

use jiff::Timestamp;

use super::super::tx::{Tx, WriteError};
use super::approvals::{changed, close, is_fresh, use_up};
use super::end::{Ending, cancel_steps, end};
use super::rows::{approval_by_id, decisions};
use super::start::{find, is_full, poke};
use crate::domain::approval::{ApprovalKind, ApprovalState, Vote, person};
use crate::domain::run::RunState;
use crate::ledger::LedgerError;
use crate::ledger::runs::{ApprovalRow, CancelOutcome, CancelRun, DecideOutcome, NewDecision, RetryOutcome, RetryRun};

/// See [`crate::ledger::runs::RunLedger::decide`].
pub(super) fn decide(tx: &mut Tx<'_>, decision: &NewDecision) -> Result<DecideOutcome, WriteError> {
    let Some((seq, approval)) = approval_by_id(tx.conn, decision.approval)? else { return Ok(DecideOutcome::Unknown) };
    if approval.kind != ApprovalKind::Gate {
        return Err(LedgerError::Invalid("this asks what became of a step: settle it instead".into()).into());
    }
    let at_ms = decision.at.as_millisecond();
    let run_seq = run_of(tx, seq)?;
    if let Some(outcome) = closed(&approval) {
        return Ok(outcome);
    }
    if let Some(expires_at) = approval.expires_at.filter(|at| *at <= decision.at) {
        close(tx, seq, ApprovalState::Expired, Some("nobody decided in time"), at_ms)?;
        poke(tx, run_seq, at_ms)?;
        return Ok(DecideOutcome::Expired { at: expires_at });
    }
    let verdict = decision.verdict.as_str();
    if let Some(hash) = &decision.nonce
        && !is_fresh(tx, seq, hash, verdict)?
    {
        return Ok(DecideOutcome::StaleButton);
    }
    // Whoever said yes may still say no; the other way round there is nothing left to say.
    if let Some(vote) = approval.decisions.iter().find(|vote| vote.by == decision.by && vote.verdict == verdict) {
        return Ok(DecideOutcome::AlreadyVoted { at: vote.at, verdict: vote.verdict.clone() });
    }
    tx.execute(
        "INSERT INTO approval_votes (approval_seq, voter, channel, verdict, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (approval_seq, voter) DO UPDATE SET channel = excluded.channel, verdict = excluded.verdict,
             reason = excluded.reason, at = excluded.at",
        (seq, &decision.by, &decision.channel, verdict, &decision.reason, at_ms),
    )?;
    let votes = count_yes(tx, seq, &decision.void)?;
    let state = match decision.verdict {
        Vote::Deny => ApprovalState::Denied,
        Vote::Approve if votes >= approval.votes_needed => ApprovalState::Approved,
        Vote::Approve => {
            changed(tx, seq, at_ms)?;
            return Ok(DecideOutcome::VoteCounted { votes, needed: approval.votes_needed });
        }
    };
    close(tx, seq, state, decision.reason.as_deref(), at_ms)?;
    use_up(tx, seq, at_ms)?;
    poke(tx, run_seq, at_ms)?;
    let decided = ApprovalRow {
        state,
        reason: decision.reason.clone(),
        closed_at: Some(decision.at),
        decisions: decisions(tx.conn, seq)?,
        ..approval
    };
    Ok(DecideOutcome::Decided { approval: Box::new(decided) })
}

fn run_of(tx: &Tx<'_>, approval_seq: i64) -> rusqlite::Result<i64> {
    tx.conn.prepare_cached("SELECT run_seq FROM approvals WHERE seq = ?1")?.query_row([approval_seq], |row| row.get(0))
}

fn count_yes(tx: &Tx<'_>, approval_seq: i64, void: &[String]) -> rusqlite::Result<u32> {
    let voters: Vec<String> = tx
        .conn
        .prepare_cached("SELECT voter FROM approval_votes WHERE approval_seq = ?1 AND verdict = 'approve'")?
        .query_map([approval_seq], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let counted = voters.iter().filter(|voter| !void.contains(voter)).count();
    Ok(u32::try_from(counted).unwrap_or(u32::MAX))
}

/// What to say of an approval that is closed.
fn closed(approval: &ApprovalRow) -> Option<DecideOutcome> {
    let at = approval.closed_at.unwrap_or(approval.requested_at);
    match approval.state {
        ApprovalState::Pending => None,
        ApprovalState::Approved | ApprovalState::Denied => {
            let last = approval.decisions.iter().max_by_key(|vote| vote.at);
            Some(DecideOutcome::AlreadyDecided {
                state: approval.state,
                by: last.map(|vote| vote.by.clone()).unwrap_or_default(),
                channel: last.map(|vote| vote.channel.clone()).unwrap_or_default(),
                at,
            })
        }
        ApprovalState::Expired => Some(DecideOutcome::Expired { at }),
        ApprovalState::Cancelled => {
            Some(DecideOutcome::Cancelled { reason: approval.reason.clone().unwrap_or_default() })
        }
    }
}

/// See [`crate::ledger::runs::RunLedger::cancel_run`].
pub(super) fn cancel(tx: &mut Tx<'_>, cancel: &CancelRun) -> Result<CancelOutcome, WriteError> {
    let Some(run) = find(tx, cancel.run)? else { return Ok(CancelOutcome::Unknown) };
    if run.ended {
        return Ok(CancelOutcome::AlreadyEnded { state: run.state });
    }
    let at_ms = cancel.at.as_millisecond();
    if run.leased {
        tx.execute("UPDATE runs SET cancelled_by = ?2 WHERE seq = ?1", (run.seq, &cancel.by))?;
        poke(tx, run.seq, at_ms)?;
        return Ok(CancelOutcome::Asked);
    }
    cancel_steps(tx, run.seq, at_ms)?;
    let reason = format!("cancelled by {}", person(&cancel.by));
    let ending = Ending { state: RunState::Cancelled, reason: Some(reason.as_str()), notices: &cancel.notices, at_ms };
    let mut touched = Vec::new();
    end(tx, run.seq, &ending, &mut touched)?;
    Ok(CancelOutcome::Ended { touched })
}

/// See [`crate::ledger::runs::RunLedger::retry_run`].
pub(super) fn retry(tx: &mut Tx<'_>, retry: &RetryRun) -> Result<RetryOutcome, WriteError> {
    let Some(run) = find(tx, retry.run)? else { return Ok(RetryOutcome::Unknown) };
    if !run.ended || run.state != RunState::Error {
        return Ok(RetryOutcome::NotFailed { state: run.state });
    }
    for key in &retry.reset {
        tx.execute(
            "UPDATE run_steps SET state = 'ready', attempt = 0, output = NULL, truncated = 0, tainted = 0, error = NULL,
                 approval_id = NULL, started_at = NULL, ended_at = NULL, due_at = NULL
             WHERE run_seq = ?1 AND key = ?2",
            (run.seq, key),
        )?;
        tx.execute("DELETE FROM event_waits WHERE run_seq = ?1 AND step_key = ?2", (run.seq, key))?;
        // The child of an earlier life keeps its place in the history, not its place in the step.
        tx.execute(
            "UPDATE runs SET parent_step = parent_step || ' (before ' || id || ')'
             WHERE parent_seq = ?1 AND parent_step = ?2",
            (run.seq, key),
        )?;
    }
    reopen(tx, run.seq, retry.deadline_at, retry.at)?;
    Ok(RetryOutcome::Again)
}

/// An ended run goes on, in its turn among those with its concurrency key.
pub(super) fn reopen(
    tx: &mut Tx<'_>,
    seq: i64,
    deadline_at: Option<Timestamp>,
    at: Timestamp,
) -> Result<(), WriteError> {
    let slot = tx
        .conn
        .prepare_cached("SELECT workflow, slot_key, slot_limit FROM runs WHERE seq = ?1")?
        .query_row([seq], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, Option<u32>>(2)?))
        })?;
    let queued = match slot {
        (workflow, Some(key), Some(limit)) => is_full(tx, &workflow, &key, limit)?,
        _ => false,
    };
    let at_ms = at.as_millisecond();
    tx.execute(
        "UPDATE runs SET state = 'running', reason = NULL, ended_at = NULL, cancelled_by = NULL, deadline_at = ?2,
             queued = ?3, due_at = iif(?3, NULL, ?4) WHERE seq = ?1",
        (seq, deadline_at.map(Timestamp::as_millisecond), queued, at_ms),
    )?;
    tx.tally.runs = true;
    Ok(())
}
