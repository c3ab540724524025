//! Rules that keep notices quiet, asked in the transaction that keeps the notice, so that none slips through between.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::readers::ReadError;
use super::super::rows::{time, time_opt};
use super::super::tx::{Tx, WriteError};
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::LedgerError;
use crate::ledger::chat::{EventCount, MuteRow, MuteRule};

/// Most rules in force.
const RULES_MAX: i64 = 200;
/// Longest description of a rule at a notice, in characters.
const RULE_WORDS_CHARS_MAX: usize = 80;
/// Lines of a count.
const COUNTS_MAX: i64 = 50;
/// Events that a count looks at, newest first.
const EVENTS_COUNTED_MAX: i64 = 50_000;

/// The rule that keeps a notice of this event quiet, in words that stay with the notice, since rules end and their numbers
/// are taken again; `None` when none does. The rule counts it.
pub(in super::super) fn keeps_quiet(
    tx: &Tx<'_>,
    event_seq: i64,
    title: &str,
    now_ms: i64,
) -> rusqlite::Result<Option<String>> {
    let mut rules = tx.conn.prepare_cached(
        "SELECT m.id, m.handler, m.event, m.words FROM mutes m JOIN events e ON e.seq = ?1
         WHERE (m.until_at IS NULL OR m.until_at > ?2)
           AND (m.handler IS NULL OR m.handler = e.handler)
           AND (m.event IS NULL OR m.event = e.event OR substr(e.event, 1, length(m.event) + 1) = m.event || '.')
         ORDER BY m.id",
    )?;
    let mut rules = rules.query((event_seq, now_ms))?;
    // Here and not in SQL, which knows capitals of ASCII only.
    let title = title.to_lowercase();
    while let Some(row) = rules.next()? {
        let part = |index| row.get::<_, Option<String>>(index);
        let words = part(3)?;
        if words.as_ref().is_none_or(|words| title.contains(&words.to_lowercase())) {
            let id: i64 = row.get(0)?;
            tx.execute("UPDATE mutes SET matched = matched + 1, last_at = ?2 WHERE id = ?1", (id, now_ms))?;
            return Ok(Some(rule_words(id, [part(1)?, part(2)?, words])));
        }
    }
    Ok(None)
}

/// `rule 3 (github push "nightly")`.
fn rule_words(id: i64, [handler, event, words]: [Option<String>; 3]) -> String {
    let quoted = words.map(|words| format!("{words:?}"));
    let parts: Vec<String> =
        [Some(handler.unwrap_or_else(|| "*".to_owned())), event, quoted].into_iter().flatten().collect();
    format!("rule {id} ({})", clip_chars(&one_line(&parts.join(" ")), RULE_WORDS_CHARS_MAX))
}

/// See [`crate::ledger::ChatLedger::mute`].
pub(super) fn add(tx: &mut Tx<'_>, rule: &MuteRule, by: &str, at: Timestamp) -> Result<i64, WriteError> {
    let now_ms = at.as_millisecond();
    tx.execute("DELETE FROM mutes WHERE until_at <= ?1", [now_ms])?;
    let count: i64 = tx.conn.prepare_cached("SELECT count(*) FROM mutes")?.query_row((), |row| row.get(0))?;
    if count >= RULES_MAX {
        return Err(LedgerError::Invalid(format!("there are {RULES_MAX} rules already; /unmute some first")).into());
    }
    tx.execute(
        "INSERT INTO mutes (handler, event, words, until_at, made_by, made_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (&rule.handler, &rule.event, &rule.words, rule.until.map(Timestamp::as_millisecond), by, now_ms),
    )?;
    Ok(tx.conn.last_insert_rowid())
}

/// See [`crate::ledger::ChatLedger::unmute`].
pub(super) fn remove(tx: &mut Tx<'_>, id: i64) -> Result<bool, WriteError> {
    Ok(tx.execute("DELETE FROM mutes WHERE id = ?1", [id])? > 0)
}

/// See [`crate::ledger::ChatLedger::mutes`].
pub(super) fn in_force(conn: &Connection, now: Timestamp) -> Result<Vec<MuteRow>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, handler, event, words, until_at, made_by, made_at, matched FROM mutes
         WHERE until_at IS NULL OR until_at > ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map((now.as_millisecond(), RULES_MAX), |row| {
        Ok(MuteRow {
            id: row.get(0)?,
            rule: MuteRule { handler: row.get(1)?, event: row.get(2)?, words: row.get(3)?, until: time_opt(row, 4)? },
            made_by: row.get(5)?,
            made_at: time(row, 6)?,
            matched: row.get::<_, i64>(7)?.unsigned_abs(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// See [`crate::ledger::ChatLedger::would_mute`].
pub(super) fn would(conn: &Connection, rule: &MuteRule, since: Timestamp) -> Result<Vec<EventCount>, ReadError> {
    if let Some(words) = &rule.words {
        return would_with_words(conn, rule, &words.to_lowercase(), since);
    }
    let mut statement = conn.prepare_cached(
        "SELECT handler, event, count(*) FROM (
             SELECT handler, event FROM events
             WHERE received_at >= ?1 AND status IN ('accepted', 'processed', 'failed') AND event IS NOT NULL
             ORDER BY received_at DESC LIMIT ?4)
         WHERE (?2 IS NULL OR handler = ?2)
           AND (?3 IS NULL OR event = ?3 OR substr(event, 1, length(?3) + 1) = ?3 || '.')
         GROUP BY handler, event ORDER BY count(*) DESC, handler, event LIMIT ?5",
    )?;
    let rows = statement
        .query_map((since.as_millisecond(), &rule.handler, &rule.event, EVENTS_COUNTED_MAX, COUNTS_MAX), count)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The same for a rule with words, in lower case.
fn would_with_words(
    conn: &Connection,
    rule: &MuteRule,
    words: &str,
    since: Timestamp,
) -> Result<Vec<EventCount>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT handler, event, coalesce(title, '') FROM (
             SELECT handler, event, title FROM events
             WHERE received_at >= ?1 AND status IN ('accepted', 'processed', 'failed') AND event IS NOT NULL
             ORDER BY received_at DESC LIMIT ?4)
         WHERE (?2 IS NULL OR handler = ?2)
           AND (?3 IS NULL OR event = ?3 OR substr(event, 1, length(?3) + 1) = ?3 || '.')",
    )?;
    let mut rows = statement.query((since.as_millisecond(), &rule.handler, &rule.event, EVENTS_COUNTED_MAX))?;
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let title: String = row.get(2)?;
        if title.to_lowercase().contains(words) {
            *counts.entry((row.get::<_, Option<String>>(0)?.unwrap_or_default(), row.get(1)?)).or_default() += 1;
        }
    }
    let mut counts: Vec<EventCount> =
        counts.into_iter().map(|((handler, event), count)| EventCount { handler, event, count }).collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.count));
    counts.truncate(usize::try_from(COUNTS_MAX).unwrap_or(usize::MAX));
    Ok(counts)
}

/// See [`crate::ledger::ChatLedger::muted_since`].
pub(super) fn muted_since(conn: &Connection, since: Timestamp) -> Result<Vec<EventCount>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT e.handler, e.event, count(*) FROM notices n JOIN events e ON e.seq = n.event_seq
         WHERE n.state = 'muted' AND n.created_at >= ?1
         GROUP BY e.handler, e.event ORDER BY count(*) DESC, e.handler, e.event LIMIT ?2",
    )?;
    let rows = statement.query_map((since.as_millisecond(), COUNTS_MAX), count)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn count(row: &rusqlite::Row<'_>) -> rusqlite::Result<EventCount> {
    Ok(EventCount {
        handler: row.get::<_, Option<String>>(0)?.unwrap_or_default(),
        event: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
        count: row.get::<_, i64>(2)?.unsigned_abs(),
    })
}
