//! Keeping refusals and duplicates, and forgetting the oldest of them as new ones come.

use super::events::{self, Fresh};
use super::rows::{headers_to_json, is_refused};
use super::tx::Tx;
use crate::domain::event::{DeliveryKey, EventStatus};
use crate::ledger::RefusedRequest;

/// Most old refusals that one transaction forgets beyond the number that it adds, so that a lowered limit is reached in steps.
const FORGOTTEN_MORE_MAX: i64 = 256;

/// The oldest refusals: one half per status, so that each reads `events_unusual` from its beginning.
pub(super) const OLDEST: &str = "SELECT seq, status FROM (
             SELECT * FROM (SELECT seq, status FROM events WHERE status = 'rejected'
                 AND status IN ('ignored', 'duplicate', 'rejected', 'failed') ORDER BY seq LIMIT ?1)
             UNION ALL
             SELECT * FROM (SELECT seq, status FROM events WHERE status = 'duplicate'
                 AND status IN ('ignored', 'duplicate', 'rejected', 'failed') ORDER BY seq LIMIT ?1)
         ) ORDER BY seq LIMIT ?1";

/// Writes refusals and keeps only the newest `kept_max`.
pub(super) fn keep(tx: &mut Tx<'_>, refused: &[RefusedRequest], kept_max: i64) -> rusqlite::Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let mut added = 0;
    for request in refused {
        if request.status == EventStatus::Duplicate {
            mark_first(tx, request)?;
        }
        if kept_max > 0 && is_refused(request.status) && events::seq_of(tx, request.id)?.is_none() {
            insert(tx, request)?;
            added += 1;
        }
    }
    let before: i64 = tx
        .first(
            "SELECT coalesce(sum(value), 0) FROM counters WHERE name IN ('events.rejected', 'events.duplicate')",
            (),
            |row| row.get(0),
        )?
        .unwrap_or(0);
    let excess = before + added - kept_max;
    if excess > 0 { forget_oldest(tx, excess.min(added + FORGOTTEN_MORE_MAX)) } else { Ok(()) }
}

/// A line in the history of the event that came first.
fn mark_first(tx: &Tx<'_>, request: &RefusedRequest) -> rusqlite::Result<()> {
    let (Some(handler), Some(delivery_id)) = (&request.handler, &request.delivery_id) else { return Ok(()) };
    let key = DeliveryKey::new(handler, delivery_id);
    let first = tx.first(
        "SELECT d.event_seq FROM deliveries d JOIN events e ON e.seq = d.event_seq WHERE d.key = ?1",
        [key.0.as_slice()],
        |row| row.get(0),
    )?;
    match first {
        Some(seq) => tx.log(seq, request.received_at.as_millisecond(), "delivered_again", None),
        None => Ok(()),
    }
}

fn insert(tx: &mut Tx<'_>, request: &RefusedRequest) -> rusqlite::Result<()> {
    let seq = tx.take_seq();
    let fresh = Fresh {
        id: request.id,
        handler: request.handler.as_ref().map(|h| h.as_str()),
        provider: request.provider.as_deref(),
        event: request.event.as_deref(),
        delivery_id: request.delivery_id.as_deref(),
        delivery_key: None,
        verdict: request.verdict,
        status: request.status,
        reason: Some(&request.reason),
        received_at: request.received_at,
        client_ip: request.client_ip,
        body_bytes: i64::try_from(request.body_bytes).unwrap_or(i64::MAX),
        body_sha256: request.body_sha256.as_ref(),
        headers: &headers_to_json(&request.headers),
        payload: None,
        body: &request.body_prefix,
    };
    events::insert(tx, seq, &fresh)
}

fn forget_oldest(tx: &mut Tx<'_>, count: i64) -> rusqlite::Result<()> {
    let mut oldest = tx.conn.prepare_cached(OLDEST)?;
    let rows =
        oldest.query_map([count], |row| Ok((row.get::<_, i64>(0)?, super::rows::word::<EventStatus>(row, 1)?)))?;
    for (seq, status) in rows.collect::<Result<Vec<_>, _>>()? {
        tx.execute("DELETE FROM event_bodies WHERE event_seq = ?1", [seq])?;
        tx.execute("DELETE FROM events WHERE seq = ?1", [seq])?;
        tx.tally.went(status);
    }
    Ok(())
}
