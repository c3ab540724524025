//! The numbers of the overview. Each is one step into an index or a count of what has not ended, never of all there is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Connection;

use super::readers::ReadError;
use super::rows::{time, time_opt};
use super::waiting;
use crate::ledger::{Minute, Overview};

/// Milliseconds of a minute.
pub(super) const MINUTE_MS: i64 = 60_000;

/// Notices that are not confirmed.
const OUTBOX: &str = "SELECT state, count(*) FROM notices WHERE state = 'pending' GROUP BY state
     UNION ALL SELECT state, count(*) FROM notices WHERE state = 'sending' GROUP BY state
     UNION ALL SELECT state, count(*) FROM notices WHERE state IN ('failed', 'maybe_sent') GROUP BY state";

/// Runs that have not ended.
const RUNS: &str = "SELECT state, count(*) FROM runs WHERE state IN ('running', 'waiting', 'in_doubt') GROUP BY state";

/// See [`crate::ledger::Ledger::overview`].
pub(super) fn overview(conn: &Connection, from: Timestamp) -> Result<Overview, ReadError> {
    let oldest = "SELECT min(created_at) FROM notices WHERE seq IN
         (SELECT min(seq) FROM notices WHERE state = 'pending' GROUP BY chat)";
    let pending = "SELECT count(*) FROM approvals WHERE state = 'pending'";
    Ok(Overview {
        stats: waiting::stats(conn)?,
        minutes: minutes(conn, from)?,
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

fn minutes(conn: &Connection, from: Timestamp) -> rusqlite::Result<Vec<Minute>> {
    let mut statement = conn.prepare_cached(
        "SELECT received_at / ?2 * ?2 AS minute, coalesce(handler, '') AS handler,
                CASE WHEN status IN ('ignored', 'duplicate', 'rejected') THEN status ELSE 'accepted' END AS outcome,
                count(*)
         FROM events WHERE received_at >= ?1 / ?2 * ?2 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    )?;
    let rows = statement.query_map((from.as_millisecond(), MINUTE_MS), |row| {
        let count: i64 = row.get(3)?;
        Ok(Minute { at: time(row, 0)?, handler: row.get(1)?, outcome: row.get(2)?, count: count.unsigned_abs() })
    })?;
    rows.collect()
}
