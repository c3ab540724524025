//! Candidates: events that may match a filter, newest first, from the index and from what is not indexed yet.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::text::{query, terms};
use crate::ledger::EventFilter;
use crate::ledger::sqlite::rows::int;

/// Candidates that one page takes from the index, at most.
const CANDIDATES_MAX: usize = 20_000;
/// The newest events, in which parts of words are found too.
const NEWEST_SCANNED: i64 = 2000;
/// Events that are not indexed yet and are looked at one by one, at most.
const UNINDEXED_MAX: i64 = 20_000;

/// Events that may match, newest first.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Candidates {
    /// Their `seq`.
    pub(in super::super) seqs: Vec<i64>,
    /// Below this nobody has looked; `None` when these are all.
    pub(in super::super) floor: Option<i64>,
}

/// A stretch of the ledger: `seq` from `low` to below `top`.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Stretch {
    pub(in super::super) low: i64,
    pub(in super::super) top: i64,
    /// Up to here events are indexed.
    pub(in super::super) indexed: i64,
}

/// Events that hold the words of the filter's search; `None` where the index does not know them, or too much is not indexed
/// yet.
pub(in super::super) fn by_words(
    conn: &Connection,
    search: &str,
    stretch: Stretch,
) -> rusqlite::Result<Option<Candidates>> {
    let Stretch { low, top, indexed } = stretch;
    let newest: i64 =
        conn.prepare_cached("SELECT coalesce(max(seq), 0) FROM events")?.query_row((), |row| row.get(0))?;
    let Some(words) = query(search).filter(|_| newest - indexed <= UNINDEXED_MAX) else { return Ok(None) };
    let scanned = (newest - NEWEST_SCANNED).min(indexed) + 1;
    let mut seqs = if top > scanned { scan(conn, search, scanned.max(low), top)? } else { Vec::new() };
    let mut floor = None;
    let sql = "SELECT rowid FROM search.words WHERE words MATCH ?1 AND rowid < ?2 AND rowid >= ?3
               ORDER BY rowid DESC LIMIT ?4";
    let mut found: Vec<i64> = conn
        .prepare_cached(sql)?
        .query_map((words, top, low, int(CANDIDATES_MAX)), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if found.len() >= CANDIDATES_MAX {
        floor = found.last().copied();
    }
    seqs.append(&mut found);
    Ok(Some(sorted(seqs, floor)))
}

/// Events in which every part of the search is somewhere.
fn scan(conn: &Connection, search: &str, from: i64, top: i64) -> rusqlite::Result<Vec<i64>> {
    let mut sql = "SELECT e.seq FROM events e JOIN event_bodies b ON b.event_seq = e.seq
                   WHERE e.seq >= ?1 AND e.seq < ?2"
        .to_owned();
    let mut params = vec![Value::Integer(from), Value::Integer(top)];
    for term in terms(search) {
        params.push(Value::Text(term));
        let n = params.len();
        let found = |column: &str| format!("instr(lower({column}), ?{n}) > 0");
        let columns = ["e.title", "e.event", "e.delivery_id", "e.reason", "CAST(coalesce(b.payload, b.body) AS TEXT)"];
        sql.push_str(&format!(" AND ({})", columns.map(found).join(" OR ")));
    }
    conn.prepare_cached(&sql)?.query_map(rusqlite::params_from_iter(params), |row| row.get(0))?.collect()
}

/// Events of the filter's handler or event type: those of the index, refusals (which are few and not in it), and what is
/// not indexed yet. `None` where that is too much.
pub(in super::super) fn by_posting(
    conn: &Connection,
    filter: &EventFilter,
    stretch: Stretch,
    wanted: usize,
) -> rusqlite::Result<Option<Candidates>> {
    let Stretch { low, top, indexed } = stretch;
    let newest: i64 =
        conn.prepare_cached("SELECT coalesce(max(seq), 0) FROM events")?.query_row((), |row| row.get(0))?;
    if newest - indexed > UNINDEXED_MAX {
        return Ok(None);
    }
    // With one condition every candidate matches; with more of them most may not.
    let single = filter.status.is_none() && (filter.handler.is_none() || filter.event.is_none());
    let most = if single { wanted * 2 } else { CANDIDATES_MAX };
    let (sql, term) = match (&filter.event, &filter.handler) {
        (Some(event), _) => ("e:", event),
        (None, Some(handler)) => ("h:", handler),
        (None, None) => return Ok(None),
    };
    let term = format!("{sql}{term}");
    let read = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<Vec<i64>> {
        conn.prepare_cached(sql)?.query_map(params, |row| row.get(0))?.collect()
    };
    let postings = "SELECT seq FROM search.postings WHERE term = ?1 AND seq < ?2 AND seq >= ?3
                    ORDER BY seq DESC LIMIT ?4";
    let mut seqs = read(postings, &[&term, &top, &low, &int(most)])?;
    let mut floor = if seqs.len() >= most { seqs.last().copied() } else { None };
    for status in ["rejected", "duplicate"] {
        let (found, end) = refused(conn, status, filter, floor.unwrap_or(low)..top, most)?;
        seqs.extend(found);
        floor = floor.max(end);
    }
    let low = floor.unwrap_or(low);
    let fresh = "SELECT seq FROM events WHERE seq > ?1 AND seq < ?2 AND seq >= ?3 ORDER BY seq DESC LIMIT ?4";
    seqs.extend(read(fresh, &[&indexed, &top, &low, &UNINDEXED_MAX])?);
    Ok(Some(sorted(seqs, floor)))
}

/// Refusals of `status` in `stretch` that match the filter's handler and event, newest first, and where the search for them was
/// cut off.
fn refused(
    conn: &Connection,
    status: &str,
    filter: &EventFilter,
    stretch: std::ops::Range<i64>,
    most: usize,
) -> rusqlite::Result<(Vec<i64>, Option<i64>)> {
    let sql = "SELECT seq, (?4 IS NULL OR handler = ?4)
                AND (?5 IS NULL OR event = ?5 OR (event >= ?5 || '.' AND event < ?5 || '/'))
         FROM events WHERE status = ?1 AND status IN ('ignored', 'duplicate', 'rejected', 'failed')
         AND seq < ?2 AND seq >= ?3 ORDER BY seq DESC LIMIT ?6";
    let mut statement = conn.prepare_cached(sql)?;
    let limit = int(CANDIDATES_MAX);
    let mut rows = statement.query((status, stretch.end, stretch.start, &filter.handler, &filter.event, limit))?;
    let (mut found, mut looked_at) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        looked_at += 1;
        if row.get::<_, Option<bool>>(1)? == Some(true) {
            found.push(seq);
        }
        if found.len() >= most || looked_at >= CANDIDATES_MAX {
            return Ok((found, Some(seq)));
        }
    }
    Ok((found, None))
}

fn sorted(mut seqs: Vec<i64>, floor: Option<i64>) -> Candidates {
    seqs.sort_unstable_by(|a, b| b.cmp(a));
    seqs.dedup();
    if let Some(floor) = floor {
        seqs.retain(|seq| *seq >= floor);
    }
    Candidates { seqs, floor }
}
