//! The queue's writes: leasing jobs and ending them.
//!
//! Epochs come from one rising counter, so that a lease of an event's earlier life in the queue can never end a later one.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::Row;

use super::rows::{duration_ms, headers_pairs, int, time, word, word_opt};
use super::tx::{Tx, WriteError};
use super::{notices, summaries};
use crate::domain::event::EventStatus;
use crate::ledger::{ClaimedEvent, Settled, Settlement};

/// Bytes of payload after which a claim takes no further job.
const CLAIM_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Jobs that are due, oldest first.
pub(super) const DUE: &str =
    "SELECT j.event_seq, j.leased, j.due_at, j.attempt, e.id, e.handler, e.provider, e.event, e.verdict, e.received_at,
                e.replay_of, b.headers, coalesce(b.payload, b.body)
         FROM jobs j CROSS JOIN events e ON e.seq = j.event_seq CROSS JOIN event_bodies b ON b.event_seq = j.event_seq
         WHERE j.due_at <= ?1 ORDER BY j.due_at, j.event_seq LIMIT ?2";

/// See [`crate::ledger::Ledger::claim`].
pub(super) fn claim(
    tx: &mut Tx<'_>,
    now: Timestamp,
    lease: Duration,
    limit: usize,
) -> Result<Vec<ClaimedEvent>, WriteError> {
    let now_ms = now.as_millisecond();
    let mut due = tx.conn.prepare_cached(DUE)?;
    let mut rows = due.query((now_ms, int(limit)))?;
    let mut claimed = Vec::new();
    let mut bytes = 0;
    while bytes < CLAIM_BYTES_MAX
        && let Some(row) = rows.next()?
    {
        let job = due_job(row)?;
        bytes += job.event.payload.len();
        claimed.push(job);
    }
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    let epoch = next_epoch(tx)?;
    let until_ms = now_ms.saturating_add(duration_ms(lease));
    let mut events = Vec::with_capacity(claimed.len());
    for DueJob { seq, lost_at_ms, mut event } in claimed {
        tx.execute(
            "UPDATE jobs SET due_at = ?2, leased = 1, epoch = ?3, attempt = ?4 WHERE event_seq = ?1",
            (seq, until_ms, epoch, event.attempt),
        )?;
        if let Some(at_ms) = lost_at_ms {
            tx.log(seq, at_ms, "lease_lost", Some("its worker did not finish in time; it is done again"))?;
        }
        event.epoch = epoch;
        events.push(event);
    }
    Ok(events)
}

struct DueJob {
    seq: i64,
    /// When the lease of a worker ended that did not settle.
    lost_at_ms: Option<i64>,
    event: ClaimedEvent,
}

fn due_job(row: &Row<'_>) -> rusqlite::Result<DueJob> {
    let leased: bool = row.get(1)?;
    let event = ClaimedEvent {
        id: word(row, 4)?,
        epoch: 0,
        attempt: row.get::<_, u32>(3)?.saturating_add(1),
        handler: word(row, 5)?,
        provider: row.get(6)?,
        event: row.get(7)?,
        verdict: word(row, 8)?,
        received_at: time(row, 9)?,
        replay_of: word_opt(row, 10)?,
        headers: headers_pairs(row.get_ref(11)?.as_str()?),
        payload: Bytes::copy_from_slice(row.get_ref(12)?.as_bytes()?),
    };
    Ok(DueJob { seq: row.get(0)?, lost_at_ms: leased.then(|| row.get(2)).transpose()?, event })
}

/// See [`crate::ledger::Ledger::recover_claims`].
pub(super) fn recover_claims(tx: &mut Tx<'_>, now: Timestamp) -> Result<usize, WriteError> {
    let held: Vec<i64> = tx
        .conn
        .prepare_cached("SELECT event_seq FROM jobs WHERE leased = 1")?
        .query_map((), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for seq in &held {
        tx.execute("UPDATE jobs SET due_at = 0, leased = 0 WHERE event_seq = ?1", [seq])?;
        tx.log(
            *seq,
            now.as_millisecond(),
            "lease_lost",
            Some("the agent ended while it was worked on; it is done again"),
        )?;
    }
    tx.tally.jobs |= !held.is_empty();
    Ok(held.len())
}

pub(super) fn next_epoch(tx: &Tx<'_>) -> rusqlite::Result<i64> {
    tx.conn
        .prepare_cached(
            "INSERT INTO counters (name, value) VALUES ('lease_epoch', 1)
             ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        )?
        .query_row((), |row| row.get(0))
}

/// See [`crate::ledger::Ledger::settle`].
pub(super) fn settle(tx: &mut Tx<'_>, settlements: &[Settlement]) -> Result<Vec<bool>, WriteError> {
    settlements.iter().map(|settlement| settle_one(tx, settlement)).collect()
}

fn settle_one(tx: &mut Tx<'_>, settlement: &Settlement) -> Result<bool, WriteError> {
    let held = tx.first(
        "SELECT j.event_seq FROM events e JOIN jobs j ON j.event_seq = e.seq
         WHERE e.id = ?1 AND j.epoch = ?2 AND j.leased = 1",
        (settlement.id.to_string(), settlement.epoch),
        |row| row.get(0),
    )?;
    let Some(seq) = held else { return Ok(false) };
    let at_ms = settlement.at.as_millisecond();
    match &settlement.outcome {
        Settled::Processed { title, url, subject, severity, notices, summarize } => {
            tx.execute(
                "UPDATE events SET status = 'processed', reason = NULL, processed_at = ?2, title = ?3, url = ?4,
                     subject = ?5, severity = ?6 WHERE seq = ?1",
                (seq, at_ms, title, url, subject, severity.as_str()),
            )?;
            end(tx, seq, EventStatus::Processed)?;
            notices::insert_all(tx, notices, Some((settlement.id, seq)))?;
            if *summarize {
                summaries::want(tx, seq, settlement.at)?;
            }
        }
        Settled::Failed { error, notices } => {
            tx.execute(
                "UPDATE events SET status = 'failed', reason = ?3, processed_at = ?2 WHERE seq = ?1",
                (seq, at_ms, error),
            )?;
            end(tx, seq, EventStatus::Failed)?;
            notices::insert_all(tx, notices, Some((settlement.id, seq)))?;
        }
        Settled::Retry { due_at, error } => {
            let due_ms = due_at.as_millisecond();
            tx.execute("UPDATE jobs SET due_at = ?2, leased = 0 WHERE event_seq = ?1", (seq, due_ms))?;
            tx.execute("UPDATE events SET reason = ?2 WHERE seq = ?1", (seq, error))?;
            tx.log(seq, at_ms, "retried", Some(&format!("again at {due_at}: {error}")))?;
            tx.tally.jobs = true;
            tx.tally.changed = true;
        }
    }
    Ok(true)
}

fn end(tx: &mut Tx<'_>, seq: i64, status: EventStatus) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM jobs WHERE event_seq = ?1", [seq])?;
    tx.tally.went(EventStatus::Accepted);
    tx.tally.came(status);
    Ok(())
}
