//! What the workers ask for: when to look again, which chats and items wait, the counts.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::readers::ReadError;
use super::rows::{int, time, time_opt, word};
use crate::domain::notice::{ChatKey, NoticeKind};
use crate::ledger::{InboundItem, Stats, WaitingNotice};

/// Chats that one answer names, at most; the others follow once these are served.
const CHATS_MAX: i64 = 10_000;
/// Newest notices looked through for one about an event.
const NOTICES_LOOKED_AT: i64 = 10_000;

/// Chats with notices that wait: one step through the index per chat, however many notices each has.
pub(super) const CHATS: &str = "WITH RECURSIVE waiting (chat) AS (
             SELECT min(chat) FROM notices WHERE state = 'pending'
             UNION ALL
             SELECT (SELECT min(n.chat) FROM notices n WHERE n.state = 'pending' AND n.chat > waiting.chat)
             FROM waiting WHERE waiting.chat IS NOT NULL LIMIT ?1
         ) SELECT chat FROM waiting WHERE chat IS NOT NULL";
/// The oldest notices that wait for a chat.
pub(super) const NOTICES: &str = "SELECT id, kind, message, created_at, attempts, unanswered, reply_to FROM notices
         WHERE chat = ?1 AND state = 'pending' ORDER BY seq LIMIT ?2";
/// The same without those that fold into digests (`NoticeKind::folds`).
pub(super) const NOTICES_APART: &str =
    "SELECT id, kind, message, created_at, attempts, unanswered, reply_to FROM notices
         WHERE chat = ?1 AND state = 'pending' AND kind <> 'event' AND kind <> 'outcome' ORDER BY seq LIMIT ?2";

/// See [`crate::ledger::Ledger::next_due`].
pub(super) fn next_due(conn: &Connection, now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
    let due = conn
        .prepare_cached("SELECT min(due_at) FROM jobs WHERE due_at > ?1")?
        .query_row([now.as_millisecond()], |row| time_opt(row, 0))?;
    Ok(due)
}

/// See [`crate::ledger::Ledger::chats_waiting`].
pub(super) fn chats(conn: &Connection) -> Result<Vec<ChatKey>, ReadError> {
    let mut statement = conn.prepare_cached(CHATS)?;
    let chats = statement.query_map([CHATS_MAX], |row| row.get(0).map(ChatKey::from_stored))?;
    Ok(chats.collect::<Result<_, _>>()?)
}

/// See [`crate::ledger::Ledger::notices_waiting`].
pub(super) fn notices(conn: &Connection, chat: &ChatKey, limit: usize) -> Result<Vec<WaitingNotice>, ReadError> {
    read_notices(conn, NOTICES, chat, limit)
}

/// See [`crate::ledger::Ledger::notices_waiting_apart`].
pub(super) fn notices_apart(conn: &Connection, chat: &ChatKey, limit: usize) -> Result<Vec<WaitingNotice>, ReadError> {
    read_notices(conn, NOTICES_APART, chat, limit)
}

fn read_notices(conn: &Connection, sql: &str, chat: &ChatKey, limit: usize) -> Result<Vec<WaitingNotice>, ReadError> {
    let mut statement = conn.prepare_cached(sql)?;
    let notices = statement.query_map((chat.as_str(), int(limit)), |row| {
        let message = serde_json::from_str(row.get_ref(2)?.as_str()?)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(e)))?;
        Ok(WaitingNotice {
            id: word(row, 0)?,
            kind: word(row, 1)?,
            message,
            created_at: time(row, 3)?,
            attempts: row.get(4)?,
            unanswered: row.get(5)?,
            reply_to: row.get(6)?,
        })
    })?;
    Ok(notices.collect::<Result<_, _>>()?)
}

/// See [`crate::ledger::Ledger::has_notice_since`].
pub(super) fn has_notice_since(
    conn: &Connection,
    chat: &ChatKey,
    kind: NoticeKind,
    since: Timestamp,
) -> Result<bool, ReadError> {
    // Notices of events have no index by time, they are too many; the newest of them are looked through.
    let sql = if kind == NoticeKind::Event {
        "SELECT EXISTS (SELECT 1 FROM (SELECT chat, kind, created_at FROM notices ORDER BY seq DESC LIMIT ?4)
             WHERE chat = ?1 AND kind = ?2 AND created_at >= ?3)"
    } else {
        "SELECT EXISTS (SELECT 1 FROM notices
             WHERE kind <> 'event' AND chat = ?1 AND kind = ?2 AND created_at >= ?3 AND ?4 > 0)"
    };
    let params = (chat.as_str(), kind.as_str(), since.as_millisecond(), NOTICES_LOOKED_AT);
    Ok(conn.prepare_cached(sql)?.query_row(params, |row| row.get(0))?)
}

/// See [`crate::ledger::Ledger::inbound_waiting`].
pub(super) fn inbound(conn: &Connection, channel: &str, limit: usize) -> Result<Vec<InboundItem>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT external_id, body, received_at FROM inbound WHERE channel = ?1 AND done = 0
         ORDER BY external_id LIMIT ?2",
    )?;
    let items = statement.query_map((channel, int(limit)), |row| {
        Ok(InboundItem { external_id: row.get(0)?, body: row.get(1)?, received_at: time(row, 2)? })
    })?;
    Ok(items.collect::<Result<_, _>>()?)
}

/// See [`crate::ledger::Ledger::stats`].
pub(super) fn stats(conn: &Connection) -> Result<Stats, ReadError> {
    let count = |sql: &str| -> rusqlite::Result<u64> {
        conn.prepare_cached(sql)?.query_row((), |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    };
    let oldest_job_at = conn
        .prepare_cached("SELECT received_at FROM events WHERE seq = (SELECT min(event_seq) FROM jobs)")?
        .query_row((), |row| time(row, 0))
        .optional()?;
    let mut events = conn.prepare_cached(
        "SELECT substr(name, 8), value FROM counters WHERE name >= 'events.' AND name < 'events/' AND value > 0",
    )?;
    let mut seen = conn.prepare_cached("SELECT handler, last_at FROM handlers_seen")?;
    Ok(Stats {
        queue_depth: count("SELECT count(*) FROM jobs")?,
        oldest_job_at,
        notices_waiting: count("SELECT count(*) FROM notices WHERE state = 'pending'")?
            + count("SELECT count(*) FROM notices WHERE state = 'sending'")?,
        events: events
            .query_map((), |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
            .collect::<Result<_, _>>()?,
        last_event_at: seen.query_map((), |row| Ok((row.get(0)?, time(row, 1)?)))?.collect::<Result<_, _>>()?,
    })
}
