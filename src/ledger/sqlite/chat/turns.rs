//! Turns of conversations: kept once, answered in order, cancelled; and what they proposed.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::readers::ReadError;
use super::super::rows::{int, time, word};
use super::super::tx::{Tx, WriteError};
use crate::domain::ids::{EventId, RunId, TurnId};
use crate::domain::notice::ChatKey;
use crate::ledger::LedgerError;
use crate::ledger::chat::{CancelledTurn, EndedAction, NewTurn, TurnAnswer, TurnRow};
use crate::ledger::runs::{NewRun, Proposal};

/// Turns and messages that one transaction forgets at most.
const SLICE_MAX: i64 = 500;
/// Events of one message that are named.
const EVENTS_OF_MESSAGE_MAX: i64 = 100;
/// The columns that [`turn_row`] reads.
const COLUMNS: &str = "t.seq, t.session_seq, t.id, t.key, s.chat, t.kind, t.person, t.text, t.about, t.reply_to, t.at, t.state, t.attempts,
     t.answer, t.links, t.message_id, t.shown,
     (SELECT json_group_array(a.run_id) FROM chat_actions a WHERE a.turn_seq = t.seq)";

fn turn_row(row: &Row<'_>) -> rusqlite::Result<TurnRow> {
    Ok(TurnRow {
        seq: row.get(0)?,
        session: row.get(1)?,
        turn: NewTurn {
            id: word(row, 2)?,
            key: row.get(3)?,
            chat: ChatKey::from_stored(row.get(4)?),
            kind: word(row, 5)?,
            person: row.get(6)?,
            text: row.get(7)?,
            about: ids(row, 8)?,
            reply_to: row.get(9)?,
            at: time(row, 10)?,
        },
        state: word(row, 11)?,
        attempts: row.get(12)?,
        answer: row.get(13)?,
        links: serde_json::from_str(row.get_ref(14)?.as_str()?).unwrap_or_default(),
        message_id: row.get(15)?,
        shown: row.get(16)?,
        proposed: ids(row, 17)?,
    })
}

/// A JSON list of ids; what is not one is left out.
fn ids<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<Vec<T>> {
    let texts: Vec<String> = serde_json::from_str(row.get_ref(index)?.as_str()?).unwrap_or_default();
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// See [`crate::ledger::ChatLedger::say`].
pub(super) fn say(tx: &mut Tx<'_>, turn: &NewTurn) -> Result<Option<TurnId>, WriteError> {
    tx.execute(
        "INSERT INTO chat_sessions (chat, started_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        (turn.chat.as_str(), turn.at.as_millisecond()),
    )?;
    let about: Vec<String> = turn.about.iter().map(EventId::to_string).collect();
    let about = serde_json::to_string(&about).map_err(|error| LedgerError::Invalid(error.to_string()))?;
    let kept = tx
        .conn
        .prepare_cached(
            "INSERT INTO chat_turns (id, session_seq, key, kind, person, text, about, reply_to, state, at)
             VALUES (?1, (SELECT seq FROM chat_sessions WHERE chat = ?2), ?3, ?4, ?5, ?6, ?7, ?8, 'waiting', ?9)
             ON CONFLICT DO NOTHING",
        )?
        .execute(rusqlite::params![
            turn.id.to_string(),
            turn.chat.as_str(),
            turn.key,
            turn.kind.as_str(),
            turn.person,
            turn.text,
            about,
            turn.reply_to,
            turn.at.as_millisecond(),
        ])?;
    tx.tally.chats |= kept > 0;
    Ok((kept > 0).then_some(turn.id))
}

/// See [`crate::ledger::ChatLedger::turns_open`].
pub(super) fn open(conn: &Connection, limit: usize) -> Result<Vec<TurnRow>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM chat_turns t JOIN chat_sessions s ON s.seq = t.session_seq
         WHERE t.seq IN (SELECT min(seq) FROM chat_turns WHERE state IN ('waiting', 'working', 'answered')
                         GROUP BY session_seq)
         ORDER BY t.seq LIMIT ?1"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    Ok(statement.query_map([int(limit)], turn_row)?.collect::<Result<_, _>>()?)
}

/// See [`crate::ledger::ChatLedger::turn`].
pub(super) fn by_id(conn: &Connection, id: TurnId) -> Result<Option<TurnRow>, ReadError> {
    let sql =
        format!("SELECT {COLUMNS} FROM chat_turns t JOIN chat_sessions s ON s.seq = t.session_seq WHERE t.id = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([id.to_string()], turn_row).optional()?)
}

/// See [`crate::ledger::ChatLedger::turn_of_run`].
pub(super) fn of_run(conn: &Connection, run: RunId) -> Result<Option<TurnRow>, ReadError> {
    let sql =
        format!("SELECT {COLUMNS} FROM chat_turns t JOIN chat_sessions s ON s.seq = t.session_seq WHERE t.key = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([format!("run:{run}")], turn_row).optional()?)
}

/// See [`crate::ledger::ChatLedger::begin_turn`].
pub(super) fn begin(tx: &mut Tx<'_>, seq: i64) -> Result<bool, WriteError> {
    let changed = tx.execute(
        "UPDATE chat_turns SET state = 'working', attempts = attempts + 1
         WHERE seq = ?1 AND state IN ('waiting', 'working')",
        [seq],
    )?;
    Ok(changed > 0)
}

/// See [`crate::ledger::ChatLedger::turn_appears`].
pub(super) fn appears(tx: &mut Tx<'_>, seq: i64, message_id: i64) -> Result<(), WriteError> {
    tx.execute("UPDATE chat_turns SET message_id = ?2 WHERE seq = ?1", (seq, message_id))?;
    Ok(())
}

/// See [`crate::ledger::ChatLedger::answer_turn`].
pub(super) fn answer(tx: &mut Tx<'_>, answer: &TurnAnswer) -> Result<bool, WriteError> {
    let links = serde_json::to_string(&answer.links).map_err(|error| LedgerError::Invalid(error.to_string()))?;
    let changed = tx.execute(
        "UPDATE chat_turns SET state = 'answered', answer = ?2, links = ?3, message_id = coalesce(?4, message_id)
         WHERE seq = ?1 AND state = 'working'",
        (answer.turn, &answer.text, links, answer.message_id),
    )?;
    if changed == 0 {
        return Ok(false);
    }
    for message in &answer.messages {
        // Behind what a summary covers too: the messages themselves may all be forgotten.
        tx.execute(
            "INSERT INTO chat_messages (seq, session_seq, turn_seq, body, tainted, at)
             SELECT 1 + max((SELECT coalesce(max(seq), 0) FROM chat_messages),
                            (SELECT coalesce(max(summary_to), 0) FROM chat_sessions)),
                 session_seq, seq, ?2, ?3, ?4 FROM chat_turns WHERE seq = ?1",
            (answer.turn, message.body.to_string(), message.tainted, answer.at.as_millisecond()),
        )?;
    }
    tx.tally.chats = true;
    Ok(true)
}

/// See [`crate::ledger::ChatLedger::turn_shown`].
pub(super) fn shown(
    tx: &mut Tx<'_>,
    seq: i64,
    shown: u32,
    message_id: Option<i64>,
    done: bool,
    at: Timestamp,
) -> Result<(), WriteError> {
    tx.execute(
        "UPDATE chat_turns SET shown = ?2, message_id = coalesce(?3, message_id), state = iif(?4, 'done', state),
             ended_at = iif(?4, ?5, ended_at)
         WHERE seq = ?1 AND state = 'answered'",
        (seq, shown, message_id, done, at.as_millisecond()),
    )?;
    tx.tally.chats |= done;
    Ok(())
}

/// See [`crate::ledger::ChatLedger::cancel_turn`].
pub(super) fn cancel(tx: &mut Tx<'_>, chat: &ChatKey, at: Timestamp) -> Result<Option<CancelledTurn>, WriteError> {
    let id = tx.first(
        "UPDATE chat_turns SET state = 'cancelled', ended_at = ?2 WHERE seq = (
             SELECT min(seq) FROM chat_turns
             WHERE session_seq = (SELECT seq FROM chat_sessions WHERE chat = ?1) AND state IN ('waiting', 'working'))
         RETURNING id",
        (chat.as_str(), at.as_millisecond()),
        |row| word(row, 0),
    )?;
    let Some(id) = id else { return Ok(None) };
    let behind: i64 = tx
        .conn
        .prepare_cached(
            "SELECT count(*) FROM chat_turns
             WHERE session_seq = (SELECT seq FROM chat_sessions WHERE chat = ?1) AND state IN ('waiting', 'working')",
        )?
        .query_row([chat.as_str()], |row| row.get(0))?;
    tx.tally.chats = true;
    Ok(Some(CancelledTurn { id, behind: usize::try_from(behind).unwrap_or(0) }))
}

/// Keeps that a turn which is worked on proposes `run`. `false`: it is not worked on any more.
pub(in super::super) fn proposes(tx: &mut Tx<'_>, proposal: &Proposal, run: &NewRun) -> Result<bool, WriteError> {
    let kept = tx.execute(
        "INSERT INTO chat_actions (run_id, session_seq, turn_seq, tool, at)
         SELECT ?2, session_seq, seq, ?3, ?4 FROM chat_turns WHERE seq = ?1 AND state = 'working'",
        (proposal.turn, run.id.to_string(), &proposal.tool, run.at.as_millisecond()),
    )?;
    Ok(kept > 0)
}

/// See [`crate::ledger::ChatLedger::actions_ended`].
pub(super) fn actions_ended(conn: &Connection, limit: usize) -> Result<Vec<EndedAction>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS}, c.run_id, c.tool FROM chat_actions c
         JOIN chat_turns t ON t.seq = c.turn_seq JOIN chat_sessions s ON s.seq = c.session_seq
         LEFT JOIN runs r ON r.id = c.run_id
         WHERE c.told = 0 AND (r.id IS NULL OR r.ended_at IS NOT NULL) ORDER BY c.run_id LIMIT ?1"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let ended = statement.query_map([int(limit)], |row| {
        Ok(EndedAction { run: word(row, 18)?, tool: row.get(19)?, turn: turn_row(row)? })
    })?;
    Ok(ended.collect::<Result<_, _>>()?)
}

/// See [`crate::ledger::ChatLedger::tell_outcome`].
pub(super) fn tell(tx: &mut Tx<'_>, run: RunId, turn: Option<&NewTurn>) -> Result<(), WriteError> {
    let changed = tx.execute("UPDATE chat_actions SET told = 1 WHERE run_id = ?1 AND told = 0", [run.to_string()])?;
    if let (true, Some(turn)) = (changed > 0, turn) {
        say(tx, turn)?;
    }
    Ok(())
}

/// See [`crate::ledger::ChatLedger::events_of_message`].
pub(super) fn events_of_message(conn: &Connection, chat: &ChatKey, message_id: i64) -> Result<Vec<EventId>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT e.id FROM notices n JOIN events e ON e.seq = n.event_seq
         WHERE n.chat = ?1 AND n.message_id = ?2 ORDER BY n.seq LIMIT ?3",
    )?;
    let found = statement.query_map((chat.as_str(), message_id, EVENTS_OF_MESSAGE_MAX), |row| word(row, 0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Forgets conversations that are older, and the summary of one of which nothing newer is left.
pub(in super::super) fn prune(tx: &mut Tx<'_>, before_ms: i64) -> Result<(), WriteError> {
    tx.execute(
        "DELETE FROM chat_messages WHERE seq IN (SELECT seq FROM chat_messages WHERE at < ?1 ORDER BY at LIMIT ?2)",
        (before_ms, SLICE_MAX),
    )?;
    let old: Vec<i64> = tx
        .conn
        .prepare_cached(
            "SELECT t.seq FROM chat_turns t WHERE t.at < ?1 AND t.state IN ('done', 'cancelled')
                 AND NOT EXISTS (SELECT 1 FROM chat_actions a WHERE a.turn_seq = t.seq AND a.told = 0)
             ORDER BY t.at LIMIT ?2",
        )?
        .query_map((before_ms, SLICE_MAX), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for seq in old {
        tx.execute("DELETE FROM chat_actions WHERE turn_seq = ?1", [seq])?;
        tx.execute("DELETE FROM chat_turns WHERE seq = ?1", [seq])?;
    }
    tx.execute(
        "UPDATE chat_sessions SET summary = NULL, summary_tainted = 0
         WHERE summary IS NOT NULL AND started_at < ?1
           AND NOT EXISTS (SELECT 1 FROM chat_messages m WHERE m.session_seq = chat_sessions.seq)
           AND NOT EXISTS (SELECT 1 FROM chat_turns t WHERE t.session_seq = chat_sessions.seq)",
        [before_ms],
    )?;
    tx.execute("DELETE FROM mutes WHERE until_at < ?1", [before_ms])?;
    Ok(())
}
