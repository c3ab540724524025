//! The numbers of the overview. Each is one step into an index or a count of what has not ended, never of all there is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Connection;

use super::readers::ReadError;
use super::rows::time_opt;
use super::search::{self, Health};
use super::waiting;
use crate::ledger::{Minute, Overview};

/// Milliseconds of a minute.
pub(super) const MINUTE_MS: i64 = 60_000;

/// Events behind the search index that are counted one by one, at most.
const UNINDEXED_MAX: i64 = 20_000;

/// Notices that are not confirmed; each part has an index that holds no others.
pub(super) const OUTBOX: &str = "SELECT state, count(*) FROM notices WHERE state = 'pending' GROUP BY state
     UNION ALL SELECT state, count(*) FROM notices WHERE state = 'sending' GROUP BY state
     UNION ALL SELECT state, count(*) FROM notices WHERE state IN ('failed', 'maybe_sent') GROUP BY state";

/// Runs that have not ended.
const RUNS: &str = "SELECT state, count(*) FROM runs WHERE state IN ('running', 'waiting', 'in_doubt') GROUP BY state";

/// See [`crate::ledger::Ledger::overview`].
pub(super) fn overview(conn: &Connection, health: &Health, from: Timestamp) -> Result<Overview, ReadError> {
    let oldest = "SELECT min(created_at) FROM notices WHERE seq IN
         (SELECT min(seq) FROM notices WHERE state = 'pending' GROUP BY chat)";
    let pending = "SELECT count(*) FROM approvals WHERE state = 'pending'";
    Ok(Overview {
        stats: waiting::stats(conn)?,
        minutes: minutes(conn, health, from)?,
        outbox: counts(conn, OUTBOX)?,
        oldest_notice_at: conn.prepare_cached(oldest)?.query_row((), |row| time_opt(row, 0))?,
        runs: counts(conn, RUNS)?,
        approvals_pending: conn.prepare_cached(pending)?.query_row((), |row| row.get::<_, i64>(0))?.unsigned_abs(),
    })
}

fn counts(conn: &Connection, sql: &str) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
    rows.collect()
}

/// Counts by the minute: of the search index as far as it goes, of the events themselves behind that.
fn minutes(conn: &Connection, health: &Health, from: Timestamp) -> rusqlite::Result<Vec<Minute>> {
    let from_ms = from.as_millisecond().div_euclid(MINUTE_MS) * MINUTE_MS;
    let mut counts = BTreeMap::new();
    let indexed = match search::indexed_to(conn) {
        None => None,
        Some(seq) => match indexed_minutes(conn, from_ms, &mut counts) {
            Ok(()) => Some(seq),
            Err(error) => {
                health.failed(&error);
                counts.clear();
                None
            }
        },
    };
    let sql = "SELECT received_at / ?3 * ?3, coalesce(handler, ''),
                CASE WHEN status IN ('ignored', 'duplicate', 'rejected') THEN status ELSE 'accepted' END, count(*)
         FROM (SELECT received_at, handler, status FROM events WHERE seq > ?1 ORDER BY seq DESC LIMIT ?4)
         WHERE received_at >= ?2 GROUP BY 1, 2, 3";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query((indexed.unwrap_or(0), from_ms, MINUTE_MS, UNINDEXED_MAX))?;
    while let Some(row) = rows.next()? {
        tally(&mut counts, row)?;
    }
    let minute = |((at, handler, outcome), count)| {
        let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
        Minute { at, handler, outcome, count }
    };
    Ok(counts.into_iter().map(minute).collect())
}

fn indexed_minutes(
    conn: &Connection,
    from_ms: i64,
    counts: &mut BTreeMap<(i64, String, String), u64>,
) -> rusqlite::Result<()> {
    let sql = "SELECT at, handler, outcome, count FROM search.minutes WHERE at >= ?1";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([from_ms])?;
    while let Some(row) = rows.next()? {
        tally(counts, row)?;
    }
    Ok(())
}

fn tally(counts: &mut BTreeMap<(i64, String, String), u64>, row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
    *counts.entry((row.get(0)?, row.get(1)?, row.get(2)?)).or_default() += row.get::<_, i64>(3)?.unsigned_abs();
    Ok(())
}
