//! What steps and people told the agent to remember, with a full-text index beside it.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::super::readers::ReadError;
use super::super::rows::{int, time};
use super::super::tx::{Tx, WriteError};
use super::read::Keyset;
use crate::ledger::Page;
use crate::ledger::runs::{MemoryRow, NewMemory};

/// Words of a query that are searched for.
const QUERY_WORDS_MAX: usize = 32;
/// Most facts in one answer.
const FACTS_MAX: usize = 500;

/// See [`crate::ledger::runs::RunLedger::remember`].
pub(super) fn remember(tx: &mut Tx<'_>, memory: &NewMemory) -> Result<i64, WriteError> {
    let known: Option<i64> = tx
        .conn
        .prepare_cached("SELECT id FROM memories WHERE key = ?1")?
        .query_row([&memory.key], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    tx.execute(
        "INSERT INTO memories (section, fact, key, at, tainted) VALUES (?1, ?2, ?3, ?4, ?5)",
        (&memory.section, &memory.fact, &memory.key, memory.at.as_millisecond(), memory.tainted),
    )?;
    let id = tx.conn.last_insert_rowid();
    tx.execute(
        "INSERT INTO memories_text (rowid, section, fact) VALUES (?1, ?2, ?3)",
        (id, &memory.section, &memory.fact),
    )?;
    Ok(id)
}

fn fact(row: &rusqlite::Row<'_>) -> rusqlite::Result<MemoryRow> {
    Ok(MemoryRow {
        id: row.get(0)?,
        section: row.get(1)?,
        fact: row.get(2)?,
        at: time(row, 3)?,
        source: row.get(4)?,
        tainted: row.get(5)?,
    })
}

/// See [`crate::ledger::runs::RunLedger::facts`].
pub(super) fn facts(
    conn: &Connection,
    section: Option<String>,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<MemoryRow>, ReadError> {
    let mut keyset = Keyset::new(limit, cursor, "id")?;
    if let Some(section) = section {
        keyset.and("section =", Value::Text(section));
    }
    let sql = format!(
        "SELECT id, section, fact, at, key, tainted FROM memories WHERE {} ORDER BY id DESC LIMIT {}",
        keyset.sql,
        int(keyset.limit + 1)
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&keyset.params), |row| Ok((row.get(0)?, fact(row)?)))?;
    let (rows, next) = keyset.page(rows.collect::<Result<Vec<_>, _>>()?);
    Ok(Page { items: rows.into_iter().map(|(_, fact)| fact).collect(), next })
}

/// See [`crate::ledger::runs::RunLedger::recall`].
pub(super) fn recall(
    conn: &Connection,
    query: &str,
    section: Option<&str>,
    limit: usize,
) -> Result<Vec<MemoryRow>, ReadError> {
    let limit = int(limit.min(FACTS_MAX));
    let words = any_of(query);
    if words.is_empty() {
        let mut all = conn.prepare_cached(
            "SELECT id, section, fact, at, key, tainted FROM memories WHERE ?1 IS NULL OR section = ?1 ORDER BY id DESC LIMIT ?2",
        )?;
        return Ok(all.query_map((section, limit), fact)?.collect::<Result<_, _>>()?);
    }
    let mut found = conn.prepare_cached(
        "SELECT m.id, m.section, m.fact, m.at, m.key, m.tainted FROM memories_text t JOIN memories m ON m.id = t.rowid
         WHERE memories_text MATCH ?1 AND (?2 IS NULL OR m.section = ?2) ORDER BY t.rank, m.id DESC LIMIT ?3",
    )?;
    Ok(found.query_map((words, section, limit), fact)?.collect::<Result<_, _>>()?)
}

/// See [`crate::ledger::ChatLedger::forget`].
pub(in super::super) fn forget(tx: &mut Tx<'_>, id: i64) -> Result<bool, WriteError> {
    let known = tx.first("SELECT section, fact FROM memories WHERE id = ?1", [id], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    let Some((section, fact)) = known else { return Ok(false) };
    // An index without content of its own must be told what it forgets.
    tx.execute(
        "INSERT INTO memories_text (memories_text, rowid, section, fact) VALUES ('delete', ?1, ?2, ?3)",
        (id, section, fact),
    )?;
    tx.execute("DELETE FROM memories WHERE id = ?1", [id])?;
    Ok(true)
}

/// The words of a person's query in the index's language: quoted, so that nothing in them is an operator.
fn any_of(query: &str) -> String {
    let words = query.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.take(QUERY_WORDS_MAX).map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" OR ")
}
