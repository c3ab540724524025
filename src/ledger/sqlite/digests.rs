//! Accounts of events since the last digest. They go by `seq`, the order of commit, so that no event is between two of them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::readers::ReadError;
use super::rows::{int, time, word};
use super::runs::schedules;
use super::store::SMALL_BYTES;
use super::tx::{Tx, WriteError};
use super::{SqliteLedger, notices};
use crate::ledger::LedgerError;
use crate::ledger::digest::{
    ACCOUNT_FAILED_MAX, ACCOUNT_GROUPS_MAX, ACCOUNT_MUTED_MAX, Account, AccountGroup, DigestLedger, MutedGroup,
    ToldDigest,
};

/// How far before the last digest an event may have come whose end is told in the next one, in milliseconds. Bounds what is
/// looked through; attempts at an event end long before.
const EARLIER_SPAN_MS: i64 = 48 * 3_600_000;

/// Events before the last digest that were settled since.
pub(super) const EARLIER: &str = "SELECT status, count(*) FROM events INDEXED BY events_received
     WHERE received_at >= ?3 AND seq <= ?1 AND processed_at >= ?2 GROUP BY status";
/// Notices that were given up since; the first condition is that of their index.
pub(super) const LOST: &str = "SELECT count(*) FROM notices
     WHERE state IN ('failed', 'maybe_sent') AND state = 'failed' AND created_at >= ?1";

#[async_trait]
impl DigestLedger for SqliteLedger {
    async fn account(&self, first_from: Timestamp) -> Result<Account, LedgerError> {
        self.readers.run(move |conn| account(conn, first_from)).await
    }

    async fn tell_digest(&self, told: ToldDigest) -> Result<bool, LedgerError> {
        self.write(2 * SMALL_BYTES, move |tx| tell(tx, &told)).await
    }
}

fn account(conn: &Connection, first_from: Timestamp) -> Result<Account, ReadError> {
    // A read is one snapshot, so the parts agree.
    let last = conn
        // Not by the time it was for: a clock that was set back makes a later digest of an earlier time.
        .query_row("SELECT told_at, upto_seq FROM digests ORDER BY upto_seq DESC, told_at DESC LIMIT 1", [], |row| {
            Ok((time(row, 0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let (since, after) = match last {
        Some((told_at, upto_seq)) => (Some(told_at), upto_seq),
        None => (None, before(conn, first_from)?),
    };
    let upto_seq: i64 = conn.query_row("SELECT coalesce(max(seq), ?1) FROM events", [after], |row| row.get(0))?;
    let statuses = counts(
        conn,
        "SELECT status, count(*) FROM events WHERE seq > ?1 AND seq <= ?2 GROUP BY status",
        (after, upto_seq),
    )?;
    let groups = conn
        .prepare_cached(
            "SELECT coalesce(handler, ''), coalesce(event, ''), count(*) FROM events
             WHERE seq > ?1 AND seq <= ?2 AND status IN ('accepted', 'processed', 'failed')
             GROUP BY handler, event ORDER BY count(*) DESC, handler, event LIMIT ?3",
        )?
        .query_map((after, upto_seq, int(ACCOUNT_GROUPS_MAX)), |row| {
            Ok(AccountGroup { handler: row.get(0)?, event: row.get(1)?, count: unsigned(row, 2)? })
        })?
        .collect::<Result<_, _>>()?;
    let from_ms = since.unwrap_or(first_from).as_millisecond();
    let failed = conn
        .prepare_cached(
            "SELECT id FROM events WHERE status = 'failed' AND status IN ('ignored', 'duplicate', 'rejected', 'failed')
                 AND (seq > ?1 AND seq <= ?2 OR seq <= ?1 AND processed_at >= ?4) ORDER BY seq DESC LIMIT ?3",
        )?
        .query_map((after, upto_seq, int(ACCOUNT_FAILED_MAX), from_ms), |row| word(row, 0))?
        .collect::<Result<_, _>>()?;
    let one = |sql: &str, params: &[&dyn rusqlite::ToSql]| conn.query_row(sql, params, |row| unsigned(row, 0));
    let (muted, muted_total) = muted(conn, (after, upto_seq), from_ms)?;
    Ok(Account {
        since,
        upto_seq,
        statuses,
        groups,
        failed,
        replayed: one(
            "SELECT count(*) FROM events WHERE seq > ?1 AND seq <= ?2 AND replay_of IS NOT NULL",
            &[&after, &upto_seq],
        )?,
        earlier: counts(conn, EARLIER, (after, from_ms, from_ms - EARLIER_SPAN_MS))?,
        muted,
        muted_total,
        runs: counts(conn, "SELECT state, count(*) FROM runs WHERE started_at >= ?1 GROUP BY state", [from_ms])?,
        approvals_pending: one("SELECT count(*) FROM approvals WHERE state = 'pending'", &[])?,
        queue_depth: one("SELECT count(*) FROM jobs", &[])?,
        notices_failed: one(LOST, &[&from_ms])?,
    })
}

/// Notices that were kept quiet, of the events between two `seq` and of earlier ones that were settled since `from_ms`.
fn muted(conn: &Connection, (after, upto): (i64, i64), from_ms: i64) -> rusqlite::Result<(Vec<MutedGroup>, u64)> {
    let mut groups: Vec<MutedGroup> = conn
        .prepare_cached(
            "SELECT coalesce(e.handler, ''), coalesce(n.error, ''), count(*)
             FROM notices n JOIN events e ON e.seq = n.event_seq
             WHERE n.state = 'muted' AND n.created_at >= ?4
               AND (e.seq > ?1 AND e.seq <= ?2 OR e.seq <= ?1 AND e.processed_at >= ?3)
             GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
        )?
        .query_map((after, upto, from_ms, from_ms - EARLIER_SPAN_MS), |row| {
            Ok(MutedGroup { handler: row.get(0)?, rule: row.get(1)?, count: unsigned(row, 2)? })
        })?
        .collect::<Result<_, _>>()?;
    let total = groups.iter().map(|group| group.count).sum();
    groups.truncate(ACCOUNT_MUTED_MAX);
    Ok((groups, total))
}

/// The `seq` before the first event that was received at or after `from`.
fn before(conn: &Connection, from: Timestamp) -> rusqlite::Result<i64> {
    let first = "SELECT (SELECT min(seq) FROM events WHERE received_at >= ?1) - 1";
    let first: Option<i64> = conn.query_row(first, [from.as_millisecond()], |row| row.get(0))?;
    match first {
        Some(before) => Ok(before),
        None => conn.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0)),
    }
}

fn counts(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<BTreeMap<String, u64>> {
    conn.prepare_cached(sql)?.query_map(params, |row| Ok((row.get(0)?, unsigned(row, 1)?)))?.collect()
}

/// A count, which is never negative.
fn unsigned(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(index)?.unsigned_abs())
}

fn tell(tx: &mut Tx<'_>, told: &ToldDigest) -> Result<bool, WriteError> {
    if !schedules::take(tx, &told.schedule, told.fire_at)? {
        return Ok(false);
    }
    tx.execute(
        // A time that was told before came again: the clock was set back by a lot.
        "INSERT INTO digests (fire_at, told_at, upto_seq, events) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (fire_at) DO UPDATE SET told_at = ?2, upto_seq = ?3, events = ?4",
        (
            told.fire_at.as_millisecond(),
            told.notice.created_at.as_millisecond(),
            told.upto_seq,
            i64::try_from(told.events).unwrap_or(i64::MAX),
        ),
    )?;
    notices::insert_all(tx, std::slice::from_ref(&told.notice), None)?;
    Ok(true)
}
