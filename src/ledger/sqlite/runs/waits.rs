//! Waits for events: registered with the step that waits, ended by one event or by time.

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::readers::ReadError;
use super::super::rows::{int, time_opt, word};
use super::super::tx::{Tx, WriteError};
use super::rows::json;
use super::start::poke;
use crate::domain::ids::EventId;
use crate::ledger::LedgerError;
use crate::ledger::runs::{EventWait, NewEventWait};

/// Keeps a wait. One that is there already stays as it is.
pub(super) fn register(tx: &mut Tx<'_>, run_seq: i64, wait: &NewEventWait) -> Result<(), WriteError> {
    let events = serde_json::to_string(&wait.events).map_err(|e| LedgerError::Invalid(e.to_string()))?;
    tx.execute(
        "INSERT INTO event_waits (run_seq, step_key, handler, events, condition, expires_at, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'waiting') ON CONFLICT (run_seq, step_key) DO NOTHING",
        (run_seq, &wait.step, &wait.handler, events, &wait.when, wait.expires_at.map(Timestamp::as_millisecond)),
    )?;
    // Whoever sleeps until the next thing is due must learn of an earlier one.
    tx.tally.runs |= wait.expires_at.is_some();
    Ok(())
}

/// See [`crate::ledger::runs::RunLedger::event_waits`].
pub(super) fn of_handler(
    conn: &Connection,
    handler: &str,
    after: i64,
    limit: usize,
) -> Result<Vec<EventWait>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT w.seq, r.id, w.step_key, w.handler, w.events, w.condition, w.expires_at, c.context
         FROM event_waits w JOIN runs r ON r.seq = w.run_seq JOIN run_contexts c ON c.run_seq = w.run_seq
         WHERE w.handler = ?1 AND w.state = 'waiting' AND w.seq > ?2 ORDER BY w.seq LIMIT ?3",
    )?;
    let waits = statement.query_map((handler, after, int(limit)), |row| {
        Ok(EventWait {
            id: row.get(0)?,
            run: word(row, 1)?,
            wait: NewEventWait {
                step: row.get(2)?,
                handler: row.get(3)?,
                events: json(row, 4)?,
                when: row.get(5)?,
                expires_at: time_opt(row, 6)?,
            },
            context: json(row, 7)?,
        })
    })?;
    Ok(waits.collect::<Result<_, _>>()?)
}

/// See [`crate::ledger::runs::RunLedger::event_matched`].
pub(super) fn matched(
    tx: &mut Tx<'_>,
    wait: i64,
    event: EventId,
    output: &serde_json::Value,
    at: Timestamp,
) -> Result<bool, WriteError> {
    let run_seq = tx.first(
        "SELECT run_seq FROM event_waits w WHERE seq = ?1 AND state = 'waiting'
             AND NOT EXISTS (SELECT 1 FROM event_waits o WHERE o.run_seq = w.run_seq AND o.event_id = ?2)",
        (wait, event.to_string()),
        |row| row.get::<_, i64>(0),
    )?;
    let Some(run_seq) = run_seq else { return Ok(false) };
    tx.execute(
        "UPDATE event_waits SET state = 'came', output = ?2, event_id = ?3 WHERE seq = ?1",
        (wait, output.to_string(), event.to_string()),
    )?;
    poke(tx, run_seq, at.as_millisecond())?;
    Ok(true)
}
