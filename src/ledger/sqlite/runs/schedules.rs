//! What the clock starts: which schedules are in use, and the last time of each that was dealt with.
//!
//! A time is dealt with in the transaction that raises `fired_for` to it. That only rises, so whoever comes second, after a
//! crash or from another process, starts nothing.

use jiff::Timestamp;
use rusqlite::Row;

use super::super::rows::{time, time_opt};
use super::super::tx::{Tx, WriteError};
use super::start;
use crate::ledger::runs::{NewRun, RunStarted, ScheduleRow};

/// How far the clock may go back, in milliseconds, without a time being started a second time. Schedules that are further
/// ahead than this count from now.
const CLOCK_BACK_MS_MAX: i64 = 24 * 3_600_000;

/// See [`crate::ledger::runs::RunLedger::sync_schedules`].
pub(super) fn sync(
    tx: &mut Tx<'_>,
    prefix: &str,
    rules: &[(String, String)],
    now: Timestamp,
) -> Result<Vec<ScheduleRow>, WriteError> {
    let now_ms = now.as_millisecond();
    // A clock that ran far ahead and was set back: else nothing would be due until the wrong time comes by itself.
    let ahead = tx.execute(
        "UPDATE schedules SET since = ?2, fired_for = NULL
         WHERE substr(name, 1, length(?1)) = ?1 AND max(since, coalesce(fired_for, since)) > ?3",
        (prefix, now_ms, now_ms + CLOCK_BACK_MS_MAX),
    )?;
    if ahead > 0 {
        tracing::warn!(schedules = ahead, "the clock was set back by more than a day; schedules count from now on");
    }
    let known = in_use(tx, prefix)?;
    for row in &known {
        if !rules.iter().any(|(name, _)| *name == row.name) {
            tx.execute("UPDATE schedules SET active = 0 WHERE name = ?1", [&row.name])?;
        }
    }
    for (name, rule) in rules {
        if known.iter().any(|row| row.name == *name && row.rule == *rule) {
            continue;
        }
        tx.execute(
            "INSERT INTO schedules (name, rule, since, active) VALUES (?1, ?2, ?3, 1)
             ON CONFLICT (name) DO UPDATE SET rule = ?2, since = ?3, active = 1",
            (name, rule, now_ms),
        )?;
    }
    Ok(in_use(tx, prefix)?)
}

fn in_use(tx: &Tx<'_>, prefix: &str) -> rusqlite::Result<Vec<ScheduleRow>> {
    let mut all = tx.conn.prepare_cached(
        "SELECT name, rule, since, fired_for FROM schedules WHERE active = 1 AND substr(name, 1, length(?1)) = ?1",
    )?;
    all.query_map([prefix], row)?.collect()
}

fn row(row: &Row<'_>) -> rusqlite::Result<ScheduleRow> {
    Ok(ScheduleRow { name: row.get(0)?, rule: row.get(1)?, since: time(row, 2)?, fired_for: time_opt(row, 3)? })
}

/// Raises `fired_for`; `false`: `fire_at` was dealt with before, or the schedule is not in use.
pub(in super::super) fn take(tx: &Tx<'_>, name: &str, fire_at: Timestamp) -> rusqlite::Result<bool> {
    let taken = tx.execute(
        "UPDATE schedules SET fired_for = ?2 WHERE name = ?1 AND active = 1 AND (fired_for IS NULL OR fired_for < ?2)",
        (name, fire_at.as_millisecond()),
    )?;
    Ok(taken > 0)
}

/// See [`crate::ledger::runs::RunLedger::start_scheduled`].
pub(super) fn start(
    tx: &mut Tx<'_>,
    name: &str,
    fire_at: Timestamp,
    run: Option<(&NewRun, &str)>,
) -> Result<Option<RunStarted>, WriteError> {
    if !take(tx, name, fire_at)? {
        return Ok(None);
    }
    run.map(|(run, context)| start::start(tx, run, context)).transpose()
}
