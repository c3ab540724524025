//! One event with everything about it. The timeline is put together when somebody looks: the usual steps are columns, only
//! the unusual ones were written down.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::list::attach;
use super::readers::ReadError;
use super::rows::{
    EVENT_COLUMNS, NOTICE_COLUMNS, event_row, headers_map, is_refused, notice_row, time, time_opt, word,
};
use crate::domain::event::EventStatus;
use crate::domain::ids::EventId;
use crate::ledger::{EventDetail, EventRow, NoticeMessage, TimelineEntry};

/// Most notices of one event that are read.
const MESSAGES_MAX: usize = 100;

/// See [`crate::ledger::Ledger::event`].
pub(super) fn event(conn: &Connection, id: EventId) -> Result<Option<EventDetail>, ReadError> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, e.committed_at, b.headers, coalesce(b.payload, b.body)
         FROM events e JOIN event_bodies b ON b.event_seq = e.seq WHERE e.id = ?1"
    );
    let read = |row: &Row<'_>| {
        let headers = headers_map(row.get_ref(20)?.as_str()?);
        let payload = payload_value(row.get_ref(21)?.as_bytes()?);
        Ok((event_row(row)?, time(row, 19)?, headers, payload))
    };
    let found = conn.prepare_cached(&sql)?.query_row([id.to_string()], read).optional()?;
    let Some((row, committed_at, headers, payload)) = found else { return Ok(None) };
    let mut rows = [row];
    attach(conn, &mut rows)?;
    let [(seq, row)] = rows;
    let timeline = timeline(conn, seq, &row, committed_at)?;
    Ok(Some(EventDetail { row, headers, payload, timeline }))
}

/// See [`crate::ledger::Ledger::body_of`].
pub(super) fn body_of(conn: &Connection, id: EventId) -> Result<Option<Vec<u8>>, ReadError> {
    let sql = "SELECT b.body FROM events e JOIN event_bodies b ON b.event_seq = e.seq WHERE e.id = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([id.to_string()], |row| row.get(0)).optional()?)
}

/// See [`crate::ledger::Ledger::messages_of`].
pub(super) fn messages_of(conn: &Connection, id: EventId) -> Result<Vec<NoticeMessage>, ReadError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {NOTICE_COLUMNS}, n.kind, n.message FROM notices n
         WHERE n.event_seq = (SELECT seq FROM events WHERE id = ?1) ORDER BY n.seq LIMIT {MESSAGES_MAX}"
    ))?;
    let read = |row: &Row<'_>| {
        let message = serde_json::from_str(row.get_ref(9)?.as_str()?)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(9, rusqlite::types::Type::Text, Box::new(e)))?;
        Ok(NoticeMessage { row: notice_row(row)?.1, kind: word(row, 8)?, message })
    };
    Ok(statement.query_map([id.to_string()], read)?.collect::<Result<_, _>>()?)
}

/// JSON where it is JSON, else text.
fn payload_value(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| serde_json::Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

fn timeline(
    conn: &Connection,
    seq: i64,
    row: &EventRow,
    committed_at: Timestamp,
) -> rusqlite::Result<Vec<TimelineEntry>> {
    let mut entries = vec![entry(row.received_at, "received", Some(format!("from {}", row.client_ip)))];
    if let Some(original) = row.replay_of {
        entries.push(entry(row.received_at, "replay", Some(format!("of {original}"))));
    } else if let Some(verdict) = row.verdict {
        entries.push(entry(row.received_at, "verified", Some(format!("signature {verdict}"))));
    }
    if is_refused(row.status) || row.status == EventStatus::Ignored {
        entries.push(entry(committed_at, row.status.as_str(), row.reason.clone()));
    } else {
        entries.push(entry(committed_at, "committed", None));
    }
    let mut log = conn.prepare_cached("SELECT at, what, detail FROM event_log WHERE event_seq = ?1 ORDER BY seq")?;
    for logged in log.query_map([seq], |row| Ok((time(row, 0)?, row.get::<_, String>(1)?, row.get(2)?)))? {
        let (at, what, detail) = logged?;
        entries.push(entry(at, &what, detail));
    }
    if let Some(at) = row.processed_at {
        let detail = if row.status == EventStatus::Failed { row.reason.clone() } else { row.title.clone() };
        entries.push(entry(at, row.status.as_str(), detail));
    }
    add_notices(conn, seq, &mut entries)?;
    // Stable: what happened within one millisecond stays in the order above.
    entries.sort_by_key(|entry| entry.at);
    Ok(entries)
}

fn add_notices(conn: &Connection, seq: i64, entries: &mut Vec<TimelineEntry>) -> rusqlite::Result<()> {
    let mut notices = conn.prepare_cached(
        "SELECT id, chat, state, created_at, began_at, sent_at, error FROM notices WHERE event_seq = ?1 ORDER BY seq",
    )?;
    let mut rows = notices.query([seq])?;
    while let Some(row) = rows.next()? {
        let (id, chat, state): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (created_at, began_at, sent_at) = (time(row, 3)?, time_opt(row, 4)?, time_opt(row, 5)?);
        let error: Option<String> = row.get(6)?;
        entries.push(entry(created_at, "notice_made", Some(format!("{id} to {chat}"))));
        let with_error = |text: String| Some(error.map_or(text.clone(), |error| format!("{text}: {error}")));
        match (state.as_str(), sent_at, began_at) {
            ("failed", _, began) => {
                entries.push(entry(
                    began.unwrap_or(created_at),
                    "notice_failed",
                    with_error(format!("{id} to {chat}")),
                ));
            }
            ("muted", ..) => entries.push(entry(created_at, "notice_muted", with_error(format!("{id} to {chat}")))),
            ("maybe_sent", sent, began) => {
                let at = sent.or(began).unwrap_or(created_at);
                entries.push(entry(at, "notice_maybe_sent", with_error(format!("{id} to {chat}"))));
            }
            (_, Some(sent), _) => entries.push(entry(sent, "notice_sent", Some(format!("{id} to {chat}")))),
            (_, None, Some(began)) => {
                entries.push(entry(began, "notice_tried", with_error(format!("{id} to {chat}"))));
            }
            (_, None, None) => {}
        }
    }
    Ok(())
}

fn entry(at: Timestamp, what: &str, detail: Option<String>) -> TimelineEntry {
    TimelineEntry { at, what: what.to_owned(), detail }
}
