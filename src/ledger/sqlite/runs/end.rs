//! Runs end, all of it in one transaction: questions and waits are closed, child runs with them, the next in line is let go,
//! the parent is woken, the notices are kept. And they are forgotten when their time has come.

use rusqlite::OptionalExtension;

use super::super::tx::{Tx, WriteError};
use super::super::{events, notices};
use super::start::{is_full, poke};
use crate::domain::ids::RunId;
use crate::domain::run::RunState;
use crate::ledger::NewNotice;
use crate::ledger::sqlite::rows::word;

/// Runs that one transaction forgets at most.
const SLICE_RUNS_MAX: i64 = 500;

/// How a run ends.
pub(super) struct Ending<'a> {
    pub state: RunState,
    pub reason: Option<&'a str>,
    pub notices: &'a [NewNotice],
    pub at_ms: i64,
}

struct Ended {
    parent: Option<i64>,
    workflow: String,
    slot_key: Option<String>,
    is_new: bool,
}

/// Ends the run `seq`. `touched` gets the child runs that end with it or are asked to.
pub(super) fn end(tx: &mut Tx<'_>, seq: i64, ending: &Ending<'_>, touched: &mut Vec<RunId>) -> Result<(), WriteError> {
    let run = tx
        .conn
        .prepare_cached("SELECT parent_seq, workflow, slot_key, ended_at IS NULL FROM runs WHERE seq = ?1")?
        .query_row([seq], |row| {
            Ok(Ended { parent: row.get(0)?, workflow: row.get(1)?, slot_key: row.get(2)?, is_new: row.get(3)? })
        })?;
    if !run.is_new {
        return Ok(());
    }
    tx.execute(
        "UPDATE runs SET state = ?2, reason = ?3, ended_at = ?4, leased = 0, queued = 0, due_at = NULL,
             cancelled_by = NULL WHERE seq = ?1",
        (seq, ending.state.as_str(), ending.reason, ending.at_ms),
    )?;
    let closed = tx.execute(
        "UPDATE approvals SET state = 'cancelled', reason = ?2, closed_at = ?3, wake_at = NULL,
             card_version = card_version + 1, card_at = ?3
         WHERE run_seq = ?1 AND state = 'pending'",
        (seq, format!("the run ended: {}", ending.state), ending.at_ms),
    )?;
    tx.tally.approvals |= closed > 0;
    tx.execute("UPDATE event_waits SET state = 'expired' WHERE run_seq = ?1 AND state = 'waiting'", [seq])?;
    end_children(tx, seq, ending.at_ms, touched)?;
    if let Some(key) = &run.slot_key {
        let_next_go(tx, &run.workflow, key, ending.at_ms)?;
    }
    if let Some(parent) = run.parent {
        poke(tx, parent, ending.at_ms)?;
    }
    keep_notices(tx, ending.notices)?;
    tx.tally.changed = true;
    // A conversation may have proposed it.
    tx.tally.chats = true;
    Ok(())
}

fn end_children(tx: &mut Tx<'_>, seq: i64, at_ms: i64, touched: &mut Vec<RunId>) -> Result<(), WriteError> {
    let children: Vec<(i64, RunId, bool)> = tx
        .conn
        .prepare_cached("SELECT seq, id, leased FROM runs WHERE parent_seq = ?1 AND ended_at IS NULL")?
        .query_map([seq], |row| Ok((row.get(0)?, word(row, 1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (child, id, leased) in children {
        touched.push(id);
        if leased {
            tx.execute("UPDATE runs SET cancelled_by = 'the run above it' WHERE seq = ?1", [child])?;
            poke(tx, child, at_ms)?;
        } else {
            cancel_steps(tx, child, at_ms)?;
            let reason = Some("the run above it ended");
            end(tx, child, &Ending { state: RunState::Cancelled, reason, notices: &[], at_ms }, touched)?;
        }
    }
    Ok(())
}

/// What was not begun is skipped, what waited is cancelled; what is in doubt stays so, and so becomes what a process that is
/// gone has begun: nobody holds the run.
pub(super) fn cancel_steps(tx: &Tx<'_>, seq: i64, at_ms: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE run_steps SET state = 'in_doubt', due_at = NULL,
             error = 'whether it happened is not known: the agent ended while it ran'
         WHERE run_seq = ?1 AND state = 'started' AND kind = 'tool' AND coalesce(effect, 'once') = 'once'",
        [seq],
    )?;
    tx.execute(
        "UPDATE run_steps SET state = iif(state = 'ready', 'skipped', 'cancelled'), ended_at = ?2,
             error = iif(state = 'ready', 'the run was cancelled before it', error)
         WHERE run_seq = ?1 AND state IN ('ready', 'waiting', 'started')",
        (seq, at_ms),
    )?;
    Ok(())
}

/// A place became free: the run that has waited longest for it goes on.
fn let_next_go(tx: &mut Tx<'_>, workflow: &str, key: &str, at_ms: i64) -> rusqlite::Result<()> {
    let next: Option<(i64, u32)> = tx
        .conn
        .prepare_cached(
            "SELECT seq, slot_limit FROM runs WHERE workflow = ?1 AND slot_key = ?2 AND queued = 1 AND ended_at IS NULL
                 AND slot_key IS NOT NULL ORDER BY seq LIMIT 1",
        )?
        .query_row((workflow, key), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((seq, limit)) = next else { return Ok(()) };
    if is_full(tx, workflow, key, limit)? {
        return Ok(());
    }
    tx.execute("UPDATE runs SET queued = 0, due_at = ?2 WHERE seq = ?1", (seq, at_ms))?;
    tx.tally.runs = true;
    Ok(())
}

/// Keeps notices; one about an event that was forgotten is kept without it.
fn keep_notices(tx: &mut Tx<'_>, new: &[NewNotice]) -> Result<(), WriteError> {
    let mut kept = new.to_vec();
    for notice in &mut kept {
        if let Some(event) = notice.event
            && events::seq_of(tx, event)?.is_none()
        {
            notice.event = None;
        }
    }
    notices::insert_all(tx, &kept, None)
}

/// Forgets runs that ended before; returns how many.
pub(in super::super) fn prune(tx: &mut Tx<'_>, before_ms: i64) -> Result<usize, WriteError> {
    let old: Vec<i64> = tx
        .conn
        .prepare_cached("SELECT seq FROM runs WHERE ended_at IS NOT NULL AND ended_at < ?1 ORDER BY ended_at LIMIT ?2")?
        .query_map((before_ms, SLICE_RUNS_MAX), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for seq in &old {
        for table in ["approval_votes", "approval_nonces", "approval_cards"] {
            tx.execute(
                &format!("DELETE FROM {table} WHERE approval_seq IN (SELECT seq FROM approvals WHERE run_seq = ?1)"),
                [seq],
            )?;
        }
        for table in ["approvals", "event_waits", "run_steps", "run_contexts"] {
            tx.execute(&format!("DELETE FROM {table} WHERE run_seq = ?1"), [seq])?;
        }
        tx.execute("DELETE FROM runs WHERE seq = ?1", [seq])?;
    }
    if !old.is_empty() {
        tx.execute(
            "DELETE FROM definitions WHERE kept_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM runs WHERE workflow = definitions.workflow
                                     AND workflow_hash = definitions.hash)",
            [before_ms],
        )?;
    }
    Ok(old.len())
}
