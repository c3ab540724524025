//! Retention: the oldest go, a slice at a time, so that the writer is never held up for long. Freed pages are used again;
//! the file does not shrink.

use super::tx::{Tx, WriteError};
use super::{chat, models, runs, summaries};
use crate::domain::event::EventStatus;

/// Most events in a slice. Each dirties a random page of the delivery keys, and senders wait behind all of them.
const SLICE_EVENTS_MAX: i64 = 64;
/// Bytes of bodies after which a slice ends.
const SLICE_BYTES_MAX: i64 = 32 * 1024 * 1024;

/// The oldest events without a job and without a notice that waits.
pub(super) const OLDEST: &str = "SELECT e.seq, e.status, e.delivery_key, e.body_bytes FROM events e
         WHERE e.received_at < ?1
           AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.event_seq = e.seq)
           AND NOT EXISTS (SELECT 1 FROM notices n WHERE n.event_seq = e.seq AND n.state IN ('pending', 'sending'))
         ORDER BY e.received_at LIMIT ?2";

/// See [`crate::ledger::Ledger::prune`].
pub(super) fn prune(tx: &mut Tx<'_>, before_ms: i64) -> Result<usize, WriteError> {
    let slice = oldest(tx, before_ms)?;
    for event in &slice {
        if let Some(key) = &event.delivery_key {
            tx.execute("DELETE FROM deliveries WHERE key = ?1 AND event_seq = ?2", (key, event.seq))?;
        }
        summaries::prune(tx, event.seq)?;
        tx.execute("DELETE FROM notices WHERE event_seq = ?1", [event.seq])?;
        tx.execute("DELETE FROM event_log WHERE event_seq = ?1", [event.seq])?;
        tx.execute("DELETE FROM event_bodies WHERE event_seq = ?1", [event.seq])?;
        tx.execute("DELETE FROM events WHERE seq = ?1", [event.seq])?;
        tx.tally.went(event.status);
    }
    tx.execute(
        "DELETE FROM notices WHERE seq IN (SELECT seq FROM notices WHERE event_seq IS NULL AND created_at < ?1
             AND state NOT IN ('pending', 'sending') ORDER BY created_at LIMIT ?2)",
        (before_ms, SLICE_EVENTS_MAX),
    )?;
    tx.execute(
        "DELETE FROM inbound WHERE (channel, external_id) IN (SELECT channel, external_id FROM inbound
             WHERE done = 1 AND received_at < ?1 ORDER BY received_at LIMIT ?2)",
        (before_ms, SLICE_EVENTS_MAX),
    )?;
    chat::prune(tx, before_ms)?;
    models::prune(tx, before_ms)?;
    Ok(slice.len() + runs::prune(tx, before_ms)?)
}

struct Old {
    seq: i64,
    status: EventStatus,
    delivery_key: Option<Vec<u8>>,
}

/// The oldest events that nobody needs: no job, no notice that waits.
fn oldest(tx: &Tx<'_>, before_ms: i64) -> rusqlite::Result<Vec<Old>> {
    let mut statement = tx.conn.prepare_cached(OLDEST)?;
    let mut rows = statement.query((before_ms, SLICE_EVENTS_MAX))?;
    let mut slice = Vec::new();
    let mut bytes: i64 = 0;
    while bytes < SLICE_BYTES_MAX
        && let Some(row) = rows.next()?
    {
        bytes = bytes.saturating_add(row.get(3)?);
        slice.push(Old { seq: row.get(0)?, status: super::rows::word(row, 1)?, delivery_key: row.get(2)? });
    }
    Ok(slice)
}
