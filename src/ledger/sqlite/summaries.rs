//! Notices that wait for a model's sentences, from the transaction that makes them to the change of the message.
//!
//! A row is `wanted`, then `ready` and `shown`, or `stands`: each moves on once, so that a process which dies in between
//! repeats a question or a change and never loses one.

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::readers::ReadError;
use super::rows::{int, time, word};
use super::tx::{Tx, WriteError};
use crate::domain::ids::NoticeId;
use crate::domain::notice::{ChatKey, Message};
use crate::ledger::models::{EditSettled, SummarySettled, WaitingEdit, WantedSummary};

/// Most notices of one message.
const NOTICES_OF_MESSAGE_MAX: usize = 500;

/// The oldest messages whose notices want sentences.
pub(super) const WANTED: &str =
    "SELECT n.id, e.id, n.chat, n.message_id, s.digest IS NOT NULL, n.state IN ('sent', 'maybe_sent', 'edited'),
            s.wanted_at, s.attempts, n.message, e.handler
     FROM notice_summaries s CROSS JOIN notices n ON n.seq = s.notice_seq CROSS JOIN events e ON e.seq = n.event_seq
     WHERE s.state = 'wanted' AND n.state NOT IN ('pending', 'sending')
     ORDER BY s.notice_seq LIMIT ?1";
/// The oldest sentences that are to be edited in.
pub(super) const READY: &str = "SELECT n.id, n.chat, n.message_id, s.text, s.digest, n.message
     FROM notice_summaries s CROSS JOIN notices n ON n.seq = s.notice_seq
     WHERE s.state = 'ready' ORDER BY s.notice_seq LIMIT ?1";
/// The notices of one message.
pub(super) const OF_MESSAGE: &str =
    "SELECT id, message FROM notices WHERE chat = ?1 AND message_id = ?2 ORDER BY seq LIMIT ?3";

/// The event notices that a settlement just brought want sentences.
pub(super) fn want(tx: &mut Tx<'_>, event_seq: i64, at: Timestamp) -> Result<(), WriteError> {
    tx.execute(
        "INSERT INTO notice_summaries (notice_seq, state, wanted_at)
         SELECT seq, 'wanted', ?2 FROM notices WHERE event_seq = ?1 AND kind = 'event' AND state = 'pending'
         ON CONFLICT DO NOTHING",
        (event_seq, at.as_millisecond()),
    )?;
    Ok(())
}

/// A notice that was sent may have its sentences written now; `digest` is the title under which it went.
pub(super) fn sent(tx: &mut Tx<'_>, notice: &str, digest: Option<&str>) -> rusqlite::Result<()> {
    let wanted = tx.execute(
        "UPDATE notice_summaries SET digest = ?2
         WHERE notice_seq = (SELECT seq FROM notices WHERE id = ?1) AND state = 'wanted'",
        (notice, digest),
    )?;
    tx.tally.summaries |= wanted > 0;
    Ok(())
}

/// See [`crate::ledger::models::ModelLedger::summaries_wanted`].
pub(super) fn wanted(conn: &Connection, limit: usize) -> Result<Vec<WantedSummary>, ReadError> {
    let mut statement = conn.prepare_cached(WANTED)?;
    // Enough rows that the digests among them are whole.
    let rows = statement.query_map([int(limit.saturating_mul(NOTICES_OF_MESSAGE_MAX))], |row| {
        Ok(WantedSummary {
            notice: word(row, 0)?,
            event: word(row, 1)?,
            handler: row.get(9)?,
            chat: ChatKey::from_stored(row.get(2)?),
            message_id: row.get(3)?,
            digest: row.get(4)?,
            sent: row.get(5)?,
            wanted_at: time(row, 6)?,
            attempts: row.get(7)?,
            message: message(row, 8)?,
        })
    })?;
    let mut messages: Vec<Vec<WantedSummary>> = Vec::new();
    for row in rows {
        let row = row?;
        let known = messages.iter().position(|known| {
            row.message_id.is_some() && known[0].message_id == row.message_id && known[0].chat == row.chat
        });
        match known {
            Some(known) => messages[known].push(row),
            // A digest that was begun is read to its end; the rows of others may stand in between.
            None if messages.len() >= limit && messages.iter().any(|message| message[0].digest) => {}
            None if messages.len() >= limit => break,
            None => messages.push(vec![row]),
        }
    }
    Ok(messages.into_iter().flatten().collect())
}

/// See [`crate::ledger::models::ModelLedger::begin_summaries`].
pub(super) fn begin(tx: &mut Tx<'_>, notices: &[NoticeId]) -> Result<(), WriteError> {
    for notice in notices {
        tx.execute(
            "UPDATE notice_summaries SET attempts = attempts + 1
             WHERE notice_seq = (SELECT seq FROM notices WHERE id = ?1)",
            [notice.to_string()],
        )?;
    }
    Ok(())
}

/// See [`crate::ledger::models::ModelLedger::settle_summaries`].
pub(super) fn settle(tx: &mut Tx<'_>, settled: &[(NoticeId, SummarySettled)], at: Timestamp) -> Result<(), WriteError> {
    for (notice, settled) in settled {
        let (state, text, model, reason) = match settled {
            SummarySettled::Ready { text, model } => ("ready", Some(text), Some(model), None),
            SummarySettled::Stands { reason } => ("stands", None, None, Some(reason)),
        };
        let changed = tx.execute(
            "UPDATE notice_summaries SET state = ?2, text = ?3, model = ?4, reason = ?5
             WHERE notice_seq = (SELECT seq FROM notices WHERE id = ?1) AND state = 'wanted'",
            (notice.to_string(), state, text, model, reason),
        )?;
        if changed == 0 {
            continue;
        }
        tx.tally.edits |= text.is_some();
        if let Some(reason) = reason {
            log(tx, *notice, at, "summary_kept", Some(reason))?;
        }
    }
    Ok(())
}

/// See [`crate::ledger::models::ModelLedger::edits_waiting`].
pub(super) fn edits(conn: &Connection, limit: usize) -> Result<Vec<WaitingEdit>, ReadError> {
    let mut statement = conn.prepare_cached(READY)?;
    let mut rows = statement.query([int(limit.saturating_mul(NOTICES_OF_MESSAGE_MAX))])?;
    let mut edits: Vec<WaitingEdit> = Vec::new();
    while let Some(row) = rows.next()? {
        let (chat, message_id) = (ChatKey::from_stored(row.get(1)?), row.get::<_, Option<i64>>(2)?);
        if message_id.is_some() && edits.iter().any(|edit| edit.message_id == message_id && edit.chat == chat) {
            continue;
        }
        if edits.len() >= limit {
            break;
        }
        let digest: Option<String> = row.get(4)?;
        let notices = match (&digest, message_id) {
            (Some(_), Some(id)) => of_message(conn, &chat, id)?,
            _ => vec![(word(row, 0)?, message(row, 5)?)],
        };
        edits.push(WaitingEdit { chat, message_id, text: row.get(3)?, digest, notices });
    }
    Ok(edits)
}

/// See [`crate::ledger::models::ModelLedger::settle_edit`].
pub(super) fn settle_edit(
    tx: &mut Tx<'_>,
    notices: &[NoticeId],
    outcome: &EditSettled,
    at: Timestamp,
) -> Result<(), WriteError> {
    for notice in notices {
        let (state, reason) = match outcome {
            EditSettled::Shown => ("shown", None),
            EditSettled::Dropped { reason } => ("stands", Some(reason)),
        };
        let changed = tx.execute(
            "UPDATE notice_summaries SET state = ?2, reason = ?3
             WHERE notice_seq = (SELECT seq FROM notices WHERE id = ?1) AND state = 'ready'",
            (notice.to_string(), state, reason),
        )?;
        match reason {
            None => {
                // Also those of a digest that wanted no sentences: their message has changed with the others.
                tx.execute(
                    "UPDATE notices SET state = 'edited' WHERE id = ?1 AND state IN ('sent', 'maybe_sent')",
                    [notice.to_string()],
                )?;
                let model = tx.first(
                    "SELECT model FROM notice_summaries
                     WHERE notice_seq = (SELECT seq FROM notices WHERE id = ?1) AND state = 'shown'",
                    [notice.to_string()],
                    |row| row.get::<_, Option<String>>(0),
                )?;
                log(tx, *notice, at, "notice_edited", model.flatten().as_deref())?;
            }
            Some(reason) if changed > 0 => log(tx, *notice, at, "summary_kept", Some(reason))?,
            Some(_) => {}
        }
    }
    Ok(())
}

/// Deletes what waits for the notices of an event.
pub(super) fn prune(tx: &Tx<'_>, event_seq: i64) -> rusqlite::Result<()> {
    tx.execute(
        "DELETE FROM notice_summaries WHERE notice_seq IN (SELECT seq FROM notices WHERE event_seq = ?1)",
        [event_seq],
    )?;
    Ok(())
}

fn log(tx: &mut Tx<'_>, notice: NoticeId, at: Timestamp, what: &str, detail: Option<&str>) -> Result<(), WriteError> {
    let seq = tx.first("SELECT event_seq FROM notices WHERE id = ?1", [notice.to_string()], |row| {
        row.get::<_, Option<i64>>(0)
    })?;
    if let Some(seq) = seq.flatten() {
        tx.log(seq, at.as_millisecond(), what, detail)?;
        tx.tally.changed = true;
    }
    Ok(())
}

fn of_message(conn: &Connection, chat: &ChatKey, message_id: i64) -> rusqlite::Result<Vec<(NoticeId, Message)>> {
    let mut statement = conn.prepare_cached(OF_MESSAGE)?;
    let rows = statement.query_map((chat.as_str(), message_id, int(NOTICES_OF_MESSAGE_MAX)), |row| {
        Ok((word(row, 0)?, message(row, 1)?))
    })?;
    rows.collect()
}

fn message(row: &Row<'_>, index: usize) -> rusqlite::Result<Message> {
    serde_json::from_str(row.get_ref(index)?.as_str()?)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(e)))
}
