//! What a conversation remembers: the newest messages as they were, the older ones as a summary.

use rusqlite::{Connection, OptionalExtension};

use super::super::readers::ReadError;
use super::super::rows::int;
use super::super::tx::{Tx, WriteError};
use crate::ledger::chat::{ChatHistory, ChatMessage};

/// Messages that one look reads at most.
const MESSAGES_MAX: i64 = 500;

struct Kept {
    message: ChatMessage,
    bytes: usize,
}

/// See [`crate::ledger::ChatLedger::history`].
pub(super) fn newest(conn: &Connection, session: i64, bytes_max: usize) -> Result<ChatHistory, ReadError> {
    let summary = conn
        .prepare_cached("SELECT summary, summary_to, summary_tainted FROM chat_sessions WHERE seq = ?1")?
        .query_row([session], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?)))
        .optional()?;
    let Some((summary, to, summary_tainted)) = summary else { return Ok(ChatHistory::default()) };
    let all = after(conn, session, to)?;
    let total = all.len();
    let mut messages = within(all, bytes_max);
    messages.reverse();
    Ok(ChatHistory { summary, summary_tainted, cut: messages.len() < total, messages })
}

/// See [`crate::ledger::ChatLedger::history_old`].
pub(super) fn old(
    conn: &Connection,
    session: i64,
    bytes_kept: usize,
    bytes_max: usize,
) -> Result<Vec<ChatMessage>, ReadError> {
    let to: Option<i64> = conn
        .prepare_cached("SELECT summary_to FROM chat_sessions WHERE seq = ?1")?
        .query_row([session], |row| row.get(0))
        .optional()?;
    let mut all = after(conn, session, to.unwrap_or(0))?;
    let mut bytes = 0;
    let kept = all.iter().take_while(|kept| {
        bytes += kept.bytes;
        bytes <= bytes_kept
    });
    let kept = kept.count();
    let mut older = all.split_off(kept);
    older.reverse();
    // One at least: a message that is longer than all of it would never go.
    let first = older.first().map_or(0, |kept| kept.bytes);
    Ok(within(older, bytes_max.max(first)))
}

/// The messages after `to`, newest first.
fn after(conn: &Connection, session: i64, to: i64) -> Result<Vec<Kept>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, body, tainted FROM chat_messages WHERE session_seq = ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3",
    )?;
    let rows = statement.query_map((session, to, MESSAGES_MAX), |row| {
        let body: String = row.get(1)?;
        let bytes = body.len();
        let body = serde_json::from_str(&body).unwrap_or_default();
        Ok(Kept { message: ChatMessage { seq: row.get(0)?, body, tainted: row.get(2)? }, bytes })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The first of them that together are no longer than `bytes_max`.
fn within(all: Vec<Kept>, bytes_max: usize) -> Vec<ChatMessage> {
    let mut bytes = 0;
    let fitting = all.into_iter().take_while(|kept| {
        bytes += kept.bytes;
        bytes <= bytes_max
    });
    fitting.map(|kept| kept.message).collect()
}

/// See [`crate::ledger::ChatLedger::keep_summary`].
pub(super) fn keep(tx: &mut Tx<'_>, session: i64, to: i64, summary: &str, tainted: bool) -> Result<(), WriteError> {
    tx.execute(
        "UPDATE chat_sessions SET summary = ?3, summary_to = ?2, summary_tainted = summary_tainted OR ?4
         WHERE seq = ?1 AND summary_to < ?2",
        (session, to, summary, tainted),
    )?;
    tx.execute(
        "DELETE FROM chat_messages WHERE session_seq = ?1 AND seq <= ?2 AND seq IN
             (SELECT seq FROM chat_messages WHERE session_seq = ?1 ORDER BY seq LIMIT ?3)",
        (session, to, int(MESSAGES_MAX as usize)),
    )?;
    Ok(())
}
