//! Runs begin and are given out: the start with its rules (once per event, once per parent step, a place among others with
//! the same key), leases and their epochs.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::super::chat::proposes;
use super::super::jobs::next_epoch;
use super::super::rows::{duration_ms, int, time_opt, word};
use super::super::tx::{Tx, WriteError};
use super::advance::write_step;
use super::rows::{RUN_COLUMNS, RUN_COLUMNS_COUNT, json, news, run_row, steps};
use crate::domain::ids::RunId;
use crate::domain::run::RunState;
use crate::ledger::LedgerError;
use crate::ledger::runs::{ClaimedRun, NewRun, Proposal, RUN_DEPTH_MAX, RunContext, RunStarted};

/// Runs that are due, oldest first.
pub(in super::super) const DUE: &str =
    "SELECT seq FROM runs WHERE due_at IS NOT NULL AND due_at <= ?1 ORDER BY due_at, seq LIMIT ?2";

/// The context as it is kept.
pub(super) fn context_text(context: &RunContext) -> Result<String, LedgerError> {
    serde_json::to_string(context)
        .map_err(|e| LedgerError::Invalid(format!("the run's context cannot be written: {e}")))
}

/// See [`crate::ledger::runs::RunLedger::start_run`].
pub(super) fn start(tx: &mut Tx<'_>, run: &NewRun, context: &str) -> Result<RunStarted, WriteError> {
    if let Some(event) = run.event
        && let Some(exists) = existing(tx, "event_id = ?1 AND workflow = ?2", (event.to_string(), &run.workflow))?
    {
        return Ok(exists);
    }
    let parent = match &run.parent {
        None => None,
        Some(parent) => {
            let found = tx.first("SELECT seq, depth FROM runs WHERE id = ?1", [parent.run.to_string()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?))
            })?;
            Some(found.ok_or_else(|| LedgerError::NotFound(parent.run.to_string()))?)
        }
    };
    insert(tx, run, parent, context)
}

/// See [`crate::ledger::runs::RunLedger::start_proposed`].
pub(super) fn propose(
    tx: &mut Tx<'_>,
    run: &NewRun,
    context: &str,
    proposal: &Proposal,
) -> Result<RunStarted, WriteError> {
    if !proposes(tx, proposal, run)? {
        return Ok(RunStarted::Refused { reason: "nobody waits for it any more".to_owned() });
    }
    start(tx, run, context)
}

/// Starts the child of a step of the run `parent_seq`.
pub(super) fn start_child(
    tx: &mut Tx<'_>,
    run: &NewRun,
    parent_seq: i64,
    parent_depth: u32,
) -> Result<RunStarted, WriteError> {
    let context = context_text(&run.context)?;
    insert(tx, run, Some((parent_seq, parent_depth)), &context)
}

fn existing(tx: &Tx<'_>, condition: &str, params: impl rusqlite::Params) -> rusqlite::Result<Option<RunStarted>> {
    tx.first(&format!("SELECT id, state FROM runs WHERE {condition}"), params, |row| {
        Ok(RunStarted::Exists { run: word(row, 0)?, state: word(row, 1)? })
    })
}

fn insert(tx: &mut Tx<'_>, run: &NewRun, parent: Option<(i64, u32)>, context: &str) -> Result<RunStarted, WriteError> {
    let parent_step = run.parent.as_ref().map(|parent| parent.step.as_str());
    let depth = parent.map_or(0, |(_, depth)| depth + 1);
    if let Some((parent_seq, _)) = parent {
        if let Some(exists) = existing(tx, "parent_seq = ?1 AND parent_step = ?2", (parent_seq, parent_step))? {
            return Ok(exists);
        }
        if let Some(reason) = never_ends(tx, run, parent_seq, depth)? {
            return Ok(RunStarted::Refused { reason });
        }
    }
    let at_ms = run.at.as_millisecond();
    tx.execute(
        "INSERT INTO definitions (hash, workflow, source, kept_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        (&run.workflow_hash, &run.workflow, &run.definition, at_ms),
    )?;
    let queued = match &run.concurrency {
        None => false,
        Some(slot) => is_full(tx, &run.workflow, &slot.key, slot.limit)?,
    };
    tx.execute(
        "INSERT INTO runs (id, workflow, workflow_hash, event_id, source, started_by, parent_seq, parent_step, depth,
             chat, state, slot_key, slot_limit, queued, started_at, deadline_at, due_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'running', ?11, ?12, ?13, ?14, ?15, iif(?13, ?15, ?14))",
        params![
            run.id.to_string(),
            run.workflow,
            run.workflow_hash,
            run.event.map(|event| event.to_string()),
            run.source.as_str(),
            run.started_by,
            parent.map(|(seq, _)| seq),
            parent_step,
            depth,
            run.chat.as_ref().map(|chat| chat.as_str().to_owned()),
            run.concurrency.as_ref().map(|slot| slot.key.as_str()),
            run.concurrency.as_ref().map(|slot| slot.limit),
            queued,
            at_ms,
            run.deadline_at.map(Timestamp::as_millisecond),
        ],
    )?;
    let seq = tx.conn.last_insert_rowid();
    tx.execute("INSERT INTO run_contexts (run_seq, context) VALUES (?1, ?2)", (seq, context))?;
    for step in &run.steps {
        write_step(tx, seq, step)?;
    }
    tx.tally.runs = true;
    tx.tally.changed |= run.event.is_some();
    Ok(RunStarted::Started { queued })
}

/// Why a child run would never come to its end.
fn never_ends(tx: &Tx<'_>, run: &NewRun, parent_seq: i64, depth: u32) -> rusqlite::Result<Option<String>> {
    if depth > RUN_DEPTH_MAX {
        return Ok(Some(format!("runs are nested at most {RUN_DEPTH_MAX} deep")));
    }
    let Some(slot) = &run.concurrency else { return Ok(None) };
    let holders: i64 = tx
        .conn
        .prepare_cached(
            "WITH RECURSIVE above (seq, parent_seq, workflow, slot_key) AS (
                 SELECT seq, parent_seq, workflow, slot_key FROM runs WHERE seq = ?1
                 UNION ALL
                 SELECT r.seq, r.parent_seq, r.workflow, r.slot_key FROM runs r JOIN above a ON r.seq = a.parent_seq
             ) SELECT count(*) FROM above WHERE workflow = ?2 AND slot_key = ?3",
        )?
        .query_row((parent_seq, &run.workflow, &slot.key), |row| row.get(0))?;
    Ok((holders >= i64::from(slot.limit)).then(|| {
        format!("it would wait for ever for a run above it: both have the concurrency key of '{}'", run.workflow)
    }))
}

/// Whether as many runs with the key work already as may.
pub(super) fn is_full(tx: &Tx<'_>, workflow: &str, key: &str, limit: u32) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM runs WHERE workflow = ?1 AND slot_key = ?2 AND queued = 0 AND ended_at IS NULL
                   AND slot_key IS NOT NULL";
    let active: i64 = tx.conn.prepare_cached(sql)?.query_row((workflow, key), |row| row.get(0))?;
    Ok(active >= i64::from(limit))
}

/// See [`crate::ledger::runs::RunLedger::claim_runs`].
pub(super) fn claim(
    tx: &mut Tx<'_>,
    now: Timestamp,
    lease: Duration,
    limit: usize,
) -> Result<Vec<ClaimedRun>, WriteError> {
    let now_ms = now.as_millisecond();
    let due: Vec<i64> =
        tx.conn.prepare_cached(DUE)?.query_map((now_ms, int(limit)), |row| row.get(0))?.collect::<Result<_, _>>()?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let epoch = next_epoch(tx)?;
    let until_ms = now_ms.saturating_add(duration_ms(lease));
    let mut claimed = Vec::with_capacity(due.len());
    for seq in due {
        tx.execute(
            "UPDATE runs SET due_at = ?2, leased = 1, epoch = ?3, disturbed = 0,
                 state = iif(state = 'waiting', 'running', state) WHERE seq = ?1",
            (seq, until_ms, epoch),
        )?;
        claimed.push(claimed_run(tx, seq, epoch)?);
    }
    Ok(claimed)
}

fn claimed_run(tx: &Tx<'_>, seq: i64, epoch: i64) -> rusqlite::Result<ClaimedRun> {
    let sql = format!(
        "SELECT {RUN_COLUMNS}, r.deadline_at, r.depth, c.context FROM runs r
         JOIN run_contexts c ON c.run_seq = r.seq WHERE r.seq = ?1"
    );
    let mut run = tx.conn.prepare_cached(&sql)?.query_row([seq], |row| {
        Ok(ClaimedRun {
            row: run_row(row)?.1,
            epoch,
            context: json(row, RUN_COLUMNS_COUNT + 2)?,
            deadline_at: time_opt(row, RUN_COLUMNS_COUNT)?,
            depth: row.get(RUN_COLUMNS_COUNT + 1)?,
            news: Default::default(),
        })
    })?;
    run.row.steps = steps(tx.conn, seq)?;
    run.news = news(tx.conn, seq)?;
    Ok(run)
}

/// See [`crate::ledger::runs::RunLedger::renew_runs`].
pub(super) fn renew(tx: &mut Tx<'_>, held: &[(RunId, i64)], until: Timestamp) -> Result<Vec<RunId>, WriteError> {
    let mut kept = Vec::with_capacity(held.len());
    for (run, epoch) in held {
        let renewed = tx.execute(
            "UPDATE runs SET due_at = ?3 WHERE id = ?1 AND epoch = ?2 AND leased = 1",
            (run.to_string(), epoch, until.as_millisecond()),
        )?;
        if renewed > 0 {
            kept.push(*run);
        }
    }
    Ok(kept)
}

/// See [`crate::ledger::runs::RunLedger::recover_runs`].
pub(super) fn recover(tx: &mut Tx<'_>, now: Timestamp) -> Result<usize, WriteError> {
    let freed = tx.execute("UPDATE runs SET leased = 0, due_at = ?1 WHERE leased = 1", [now.as_millisecond()])?;
    tx.tally.runs |= freed > 0;
    Ok(freed)
}

/// A run's `seq` and where it is.
pub(super) fn find(tx: &Tx<'_>, run: RunId) -> rusqlite::Result<Option<Found>> {
    tx.conn
        .prepare_cached("SELECT seq, state, leased, ended_at IS NOT NULL FROM runs WHERE id = ?1")?
        .query_row([run.to_string()], |row| {
            Ok(Found { seq: row.get(0)?, state: word(row, 1)?, leased: row.get(2)?, ended: row.get(3)? })
        })
        .optional()
}

/// Where a run is.
pub(super) struct Found {
    pub seq: i64,
    pub state: RunState,
    pub leased: bool,
    pub ended: bool,
}

/// Somebody changed something about a run: its holder is told, and one that nobody holds becomes due.
pub(super) fn poke(tx: &mut Tx<'_>, seq: i64, at_ms: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE runs SET disturbed = 1, state = iif(leased = 0 AND state = 'waiting', 'running', state),
             due_at = iif(leased = 0 AND queued = 0, min(coalesce(due_at, ?2), ?2), due_at)
         WHERE seq = ?1 AND ended_at IS NULL",
        (seq, at_ms),
    )?;
    tx.tally.runs = true;
    Ok(())
}
