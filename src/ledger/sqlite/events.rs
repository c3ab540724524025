//! Writing events: accepting, recognising what came before, replaying.
//!
//! This is the hot path: four inserts for an accepted event, none of which reads anything.

use jiff::Timestamp;
use rusqlite::OptionalExtension;

use super::rows::{int, is_refused, word};
use super::tx::{Tx, WriteError};
use crate::domain::event::{DeliveryKey, EventStatus, HandlerName, Verdict};
use crate::domain::ids::EventId;
use crate::ledger::{Ingested, LedgerError, NewEvent};

/// The columns of a fresh event.
pub(super) struct Fresh<'a> {
    pub id: EventId,
    pub handler: Option<&'a str>,
    pub provider: Option<&'a str>,
    pub event: Option<&'a str>,
    pub delivery_id: Option<&'a str>,
    pub delivery_key: Option<DeliveryKey>,
    pub verdict: Option<Verdict>,
    pub status: EventStatus,
    pub reason: Option<&'a str>,
    pub received_at: Timestamp,
    pub client_ip: std::net::IpAddr,
    pub body_bytes: i64,
    pub body_sha256: Option<&'a [u8; 32]>,
    /// As [`super::rows::headers_to_json`] writes them.
    pub headers: &'a str,
    pub payload: Option<&'a [u8]>,
    pub body: &'a [u8],
}

/// Writes an event and its body under `seq`.
pub(super) fn insert(tx: &mut Tx<'_>, seq: i64, event: &Fresh<'_>) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO events (seq, id, handler, provider, event, delivery_id, delivery_key, verdict, status, reason,
                 received_at, committed_at, client_ip, body_bytes, body_sha256)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(rusqlite::params![
            seq,
            event.id.to_string(),
            event.handler,
            event.provider,
            event.event,
            event.delivery_id,
            event.delivery_key.as_ref().map(|key| key.0.as_slice()),
            event.verdict.map(Verdict::as_str),
            event.status.as_str(),
            event.reason,
            event.received_at.as_millisecond(),
            tx.began_ms,
            event.client_ip.to_string(),
            event.body_bytes,
            event.body_sha256.map(<[u8; 32]>::as_slice),
        ])?;
    tx.execute(
        "INSERT INTO event_bodies (event_seq, headers, payload, body) VALUES (?1, ?2, ?3, ?4)",
        (seq, event.headers, event.payload, event.body),
    )?;
    tx.tally.came(event.status);
    Ok(())
}

/// See [`crate::ledger::Ledger::ingest`]. `headers` are the event's as they are kept; whoever hands the event in writes them, so
/// that the one writing thread need not.
pub(super) fn ingest(tx: &mut Tx<'_>, event: &NewEvent, headers: &str) -> Result<Ingested, WriteError> {
    let accepted = match event.status {
        EventStatus::Accepted => true,
        EventStatus::Ignored => false,
        other => return Err(LedgerError::Invalid(format!("an event cannot come as {other}")).into()),
    };
    let key = event.delivery_key.filter(|_| accepted);
    let seq = tx.seq_next;
    if let Some(key) = key {
        let claimed = tx.execute(
            "INSERT INTO deliveries (key, event_seq) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
            (key.0.as_slice(), seq),
        )?;
        if claimed == 0
            && let Some(seen) = came_before(tx, event, key, seq)?
        {
            return Ok(seen);
        }
    }
    tx.take_seq();
    let fresh = Fresh {
        id: event.id,
        handler: Some(event.handler.as_str()),
        provider: Some(&event.provider),
        event: Some(&event.event),
        delivery_id: event.delivery_id.as_deref(),
        delivery_key: key,
        verdict: Some(event.verdict),
        status: event.status,
        reason: event.reason.as_deref(),
        received_at: event.received_at,
        client_ip: event.client_ip,
        body_bytes: int(event.body.len()),
        body_sha256: Some(&event.body_sha256),
        headers,
        payload: event.payload.as_deref(),
        body: &event.body,
    };
    insert(tx, seq, &fresh)?;
    if accepted {
        queue(tx, seq)?;
        tx.tally.saw(&event.handler, event.received_at.as_millisecond());
    }
    Ok(Ingested::Kept)
}

/// A fresh job is due at once, whatever the clock says later: one that steps back must not hold events up.
fn queue(tx: &mut Tx<'_>, seq: i64) -> rusqlite::Result<()> {
    tx.execute("INSERT INTO jobs (event_seq, due_at) VALUES (?1, 0)", [seq])?;
    tx.tally.jobs = true;
    Ok(())
}

/// What to do about a key that is taken; `None` when the event behind it is gone and `seq` has taken its place.
fn came_before(tx: &mut Tx<'_>, event: &NewEvent, key: DeliveryKey, seq: i64) -> Result<Option<Ingested>, WriteError> {
    let first = tx.first(
        "SELECT e.seq, e.id, e.status, e.reason FROM deliveries d JOIN events e ON e.seq = d.event_seq WHERE d.key = ?1",
        [key.0.as_slice()],
        |row| Ok((row.get::<_, i64>(0)?, word::<EventId>(row, 1)?, word::<EventStatus>(row, 2)?, row.get(3)?)),
    )?;
    let Some((first_seq, first, status, reason)): Option<(_, _, _, Option<String>)> = first else {
        tx.execute("UPDATE deliveries SET event_seq = ?2 WHERE key = ?1", (key.0.as_slice(), seq))?;
        return Ok(None);
    };
    if first == event.id {
        // The caller was told `Unavailable`, the event had been kept all the same, and it tries again.
        return Ok(Some(Ingested::Kept));
    }
    if status != EventStatus::Failed {
        return Ok(Some(Ingested::Duplicate { first }));
    }
    let at_ms = event.received_at.as_millisecond();
    tx.execute(
        "UPDATE events SET status = 'accepted', reason = NULL, processed_at = NULL WHERE seq = ?1",
        [first_seq],
    )?;
    tx.tally.went(EventStatus::Failed);
    tx.tally.came(EventStatus::Accepted);
    tx.tally.saw(&event.handler, at_ms);
    queue(tx, first_seq)?;
    tx.log(
        first_seq,
        at_ms,
        "requeued",
        Some(&format!("delivered again; had failed: {}", reason.unwrap_or_default())),
    )?;
    Ok(Some(Ingested::Requeued { event: first }))
}

/// See [`crate::ledger::Ledger::replay`].
pub(super) fn replay(tx: &mut Tx<'_>, original: EventId, replay: EventId, now: Timestamp) -> Result<(), WriteError> {
    let found = tx.first("SELECT seq, status, handler FROM events WHERE id = ?1", [original.to_string()], |row| {
        Ok((row.get::<_, i64>(0)?, word::<EventStatus>(row, 1)?, row.get::<_, Option<String>>(2)?))
    })?;
    let Some((first_seq, status, handler)) = found else {
        return Err(LedgerError::NotFound(original.to_string()).into());
    };
    let handler: Option<HandlerName> = handler.and_then(|name| name.parse().ok());
    let Some(handler) = handler.filter(|_| !is_refused(status)) else {
        let why = format!("{original} was refused ({status}) and its body was not kept: it cannot be replayed");
        return Err(LedgerError::Invalid(why).into());
    };
    let now_ms = now.as_millisecond();
    let seq = tx.take_seq();
    tx.execute(
        "INSERT INTO events (seq, id, handler, provider, event, verdict, status, received_at, committed_at, client_ip,
             body_bytes, body_sha256, replay_of)
         SELECT ?2, ?3, handler, provider, event, verdict, 'accepted', ?4, ?5, client_ip, body_bytes, body_sha256, id
         FROM events WHERE seq = ?1",
        (first_seq, seq, replay.to_string(), now_ms, tx.began_ms),
    )?;
    tx.execute(
        "INSERT INTO event_bodies (event_seq, headers, payload, body)
         SELECT ?2, headers, payload, body FROM event_bodies WHERE event_seq = ?1",
        (first_seq, seq),
    )?;
    tx.tally.came(EventStatus::Accepted);
    tx.tally.saw(&handler, now_ms);
    queue(tx, seq)?;
    tx.log(first_seq, now_ms, "replayed", Some(&format!("as {replay}")))?;
    Ok(())
}

/// The `seq` of an event.
pub(super) fn seq_of(tx: &Tx<'_>, id: EventId) -> rusqlite::Result<Option<i64>> {
    tx.conn
        .prepare_cached("SELECT seq FROM events WHERE id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()
}
