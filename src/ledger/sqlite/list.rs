//! Lists of events: keyset pages, newest first, with filters that never scan without a bound.
//!
//! A page whose filters match little ends where the scan's bound is and may then be short, even empty; its `next` goes on
//! from there.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::readers::ReadError;
use super::rows::{EVENT_COLUMNS, NOTICE_COLUMNS, event_row, int, notice_row};
use super::runs;
use super::search::{self, Candidates, Health, Stretch};
use crate::domain::event::EventStatus;
use crate::ledger::{EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX, EventFilter, EventRow, LedgerError, Page};

/// Events that one page looks at, at most.
const SCAN_EVENTS_MAX: i64 = 200_000;
/// The same where each one's payload is searched.
const SEARCH_EVENTS_MAX: i64 = 50_000;
/// How far the order of receipt may differ from the order of commit, in events.
const RECEIPT_DISORDER_MAX: i64 = 10_000;
/// Longest text to search for, in bytes.
const SEARCH_BYTES_MAX: usize = 1024;

/// See [`crate::ledger::Ledger::events`].
pub(super) fn events(conn: &Connection, health: &Health, filter: &EventFilter) -> Result<Page<EventRow>, ReadError> {
    let limit = match filter.limit {
        0 => EVENTS_PAGE_DEFAULT,
        limit => limit.min(EVENTS_PAGE_MAX),
    };
    let scan = Scan::plan(conn, filter)?;
    if let Some(candidates) = scan.candidates(conn, health, filter, limit)? {
        return among(conn, filter, &candidates, limit);
    }
    let (sql, params) = scan.statement(filter, limit + 1)?;
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query_map(params_from_iter(params), event_row)?.collect::<Result<Vec<_>, _>>()?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = match rows.last() {
        _ if scan.ascending => None,
        Some((seq, _)) if more => Some(*seq),
        // Below the scan's floor nobody has looked yet.
        _ => scan.floor.filter(|floor| scan.lowest.is_some_and(|lowest| lowest < *floor)),
    };
    attach(conn, &mut rows)?;
    Ok(Page { items: rows.into_iter().map(|(_, event)| event).collect(), next: next.map(cursor_text) })
}

/// Rows that are read at a time among candidates.
const AMONG_ROWS: usize = 200;

/// The page of those among `candidates` that match.
fn among(
    conn: &Connection,
    filter: &EventFilter,
    candidates: &Candidates,
    limit: usize,
) -> Result<Page<EventRow>, ReadError> {
    let mut clauses = Clauses { sql: "TRUE".into(), params: vec![Value::Null] };
    clauses.filter(&EventFilter { search: None, ..filter.clone() })?;
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM json_each(?1) c CROSS JOIN events e ON e.seq = c.value WHERE {}
         ORDER BY e.seq DESC LIMIT {}",
        clauses.sql,
        int(limit + 1)
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = Vec::new();
    for seqs in candidates.seqs.chunks(AMONG_ROWS) {
        clauses.params[0] = Value::Text(serde_json::Value::from(seqs).to_string());
        for row in statement.query_map(params_from_iter(&clauses.params), event_row)? {
            rows.push(row?);
        }
        if rows.len() > limit {
            break;
        }
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = match rows.last() {
        Some((seq, _)) if more => Some(*seq),
        _ => candidates.floor,
    };
    attach(conn, &mut rows)?;
    Ok(Page { items: rows.into_iter().map(|(_, event)| event).collect(), next: next.map(cursor_text) })
}

/// Which stretch of `seq` a page looks at.
struct Scan {
    ascending: bool,
    /// Exclusive.
    above: Option<i64>,
    /// Exclusive.
    below: Option<i64>,
    /// Inclusive; where the bound on the scan ends it.
    floor: Option<i64>,
    lowest: Option<i64>,
}

impl Scan {
    fn plan(conn: &Connection, filter: &EventFilter) -> Result<Self, ReadError> {
        if let Some(after) = filter.after {
            if filter.cursor.is_some() {
                return Err(LedgerError::Invalid("'after' and 'cursor' exclude one another".into()).into());
            }
            // The event itself may be gone; ids sort by time.
            let above =
                first(conn, "SELECT seq FROM events WHERE id <= ?1 ORDER BY id DESC LIMIT 1", [after.to_string()])?;
            return Ok(Self { ascending: true, above, below: None, floor: None, lowest: None });
        }
        let below = filter.cursor.as_deref().map(parse_cursor).transpose()?;
        let since = match filter.since {
            None => None,
            Some(since) => Some(since_floor(conn, since.as_millisecond())?),
        };
        let lowest = match since {
            Some(since) => Some(since),
            None => first(conn, "SELECT min(seq) FROM events", [])?,
        };
        let top = match below {
            Some(below) => Some(below - 1),
            None => first(conn, "SELECT max(seq) FROM events", [])?,
        };
        let floor = filter.scans_at_most().zip(top).map(|(span, top)| top.saturating_sub(span - 1));
        Ok(Self { ascending: false, above: since.map(|seq| seq - 1), below, floor, lowest })
    }

    /// Where the search index knows better than a scan: the events that may match.
    fn candidates(
        &self,
        conn: &Connection,
        health: &Health,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<Option<Candidates>, ReadError> {
        let named = filter.handler.is_some() || filter.event.is_some();
        let unusual = filter.status.is_some_and(|status| is_unusual(status) || status == EventStatus::Accepted);
        if self.ascending || !(filter.search.is_some() || named && !unusual) {
            return Ok(None);
        }
        let Some(indexed) = search::indexed_to(conn) else { return Ok(None) };
        let stretch = Stretch {
            low: self.above.map_or(i64::MIN, |above| above + 1),
            top: self.below.unwrap_or(i64::MAX),
            indexed,
        };
        let found = match &filter.search {
            Some(text) => {
                bounded(text)?;
                search::by_words(conn, text, stretch)
            }
            None => search::by_posting(conn, filter, stretch, limit + 1),
        };
        // What is wrong with the ledger itself the scan says.
        Ok(found.unwrap_or_else(|error| {
            health.failed(&error);
            None
        }))
    }

    fn statement(&self, filter: &EventFilter, limit: usize) -> Result<(String, Vec<Value>), ReadError> {
        let mut clauses = Clauses::default();
        clauses.seq(self);
        clauses.filter(filter)?;
        let bodies = if filter.search.is_some() { " JOIN event_bodies b ON b.event_seq = e.seq" } else { "" };
        let order = if self.ascending { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM events e{bodies} WHERE {} ORDER BY e.seq {order} LIMIT {}",
            clauses.sql,
            int(limit)
        );
        Ok((sql, clauses.params))
    }
}

impl EventFilter {
    /// How many events a page may look at; `None` where an index finds them.
    fn scans_at_most(&self) -> Option<i64> {
        let by_index = self.status.is_some_and(|status| is_unusual(status) || status == EventStatus::Accepted);
        if self.search.is_some() {
            Some(SEARCH_EVENTS_MAX)
        } else if by_index && self.handler.is_none() && self.event.is_none() {
            None
        } else {
            Some(SCAN_EVENTS_MAX)
        }
    }
}

/// Whether the partial index `events_unusual` has events of this status.
fn is_unusual(status: EventStatus) -> bool {
    match status {
        EventStatus::Ignored | EventStatus::Duplicate | EventStatus::Rejected | EventStatus::Failed => true,
        EventStatus::Accepted | EventStatus::Processed => false,
    }
}

#[derive(Default)]
struct Clauses {
    sql: String,
    params: Vec<Value>,
}

impl Clauses {
    fn seq(&mut self, scan: &Scan) {
        self.sql.push_str("TRUE");
        for (seq, clause) in [(scan.above, "e.seq > "), (scan.below, "e.seq < "), (scan.floor, "e.seq >= ")] {
            if let Some(seq) = seq {
                self.and(clause, Value::Integer(seq));
            }
        }
    }

    fn filter(&mut self, filter: &EventFilter) -> Result<(), LedgerError> {
        if let Some(handler) = &filter.handler {
            self.and("e.handler = ", Value::Text(handler.clone()));
        }
        if let Some(event) = &filter.event {
            let n = self.param(Value::Text(event.clone()));
            // '/' follows '.' in the order of bytes.
            self.sql.push_str(&format!(" AND (e.event = ?{n} OR (e.event >= ?{n} || '.' AND e.event < ?{n} || '/'))"));
        }
        if let Some(since) = filter.since {
            self.and("e.received_at >= ", Value::Integer(since.as_millisecond()));
        }
        match filter.status {
            Some(EventStatus::Accepted) => {
                self.sql.push_str(" AND e.status = 'accepted' AND e.seq IN (SELECT event_seq FROM jobs)");
            }
            Some(status) => {
                self.and("e.status = ", Value::Text(status.as_str().to_owned()));
                if is_unusual(status) {
                    self.sql.push_str(" AND e.status IN ('ignored', 'duplicate', 'rejected', 'failed')");
                }
            }
            None => {}
        }
        if let Some(search) = &filter.search {
            bounded(search)?;
            for term in search::terms(search) {
                let n = self.param(Value::Text(term));
                let found = |column: &str| format!("instr(lower({column}), ?{n}) > 0");
                let columns =
                    ["e.title", "e.event", "e.delivery_id", "e.reason", "CAST(coalesce(b.payload, b.body) AS TEXT)"];
                self.sql.push_str(&format!(" AND ({})", columns.map(found).join(" OR ")));
            }
        }
        Ok(())
    }

    fn and(&mut self, clause: &str, value: Value) {
        let n = self.param(value);
        self.sql.push_str(&format!(" AND {clause}?{n}"));
    }

    fn param(&mut self, value: Value) -> usize {
        self.params.push(value);
        self.params.len()
    }
}

fn bounded(search: &str) -> Result<(), LedgerError> {
    match search.len() {
        0..=SEARCH_BYTES_MAX => Ok(()),
        _ => Err(LedgerError::Invalid(format!("a search is at most {SEARCH_BYTES_MAX} bytes long"))),
    }
}

/// A `seq` below which nothing was received at or after `since_ms`.
fn since_floor(conn: &Connection, since_ms: i64) -> rusqlite::Result<i64> {
    let earliest = first(
        conn,
        "SELECT seq FROM events INDEXED BY events_received WHERE received_at >= ?1 ORDER BY received_at, seq LIMIT 1",
        [since_ms],
    )?;
    Ok(earliest.map_or(i64::MAX, |seq| seq.saturating_sub(RECEIPT_DISORDER_MAX)))
}

fn first(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Option<i64>> {
    Ok(conn.prepare_cached(sql)?.query_row(params, |row| row.get::<_, Option<i64>>(0)).optional()?.flatten())
}

/// Gives each event its notices, in one query for all, and its runs.
pub(super) fn attach(conn: &Connection, events: &mut [(i64, EventRow)]) -> rusqlite::Result<()> {
    let seqs: Vec<i64> = events.iter().map(|(seq, _)| *seq).collect();
    let json = serde_json::Value::from(seqs).to_string();
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {NOTICE_COLUMNS} FROM notices n WHERE n.event_seq IN (SELECT value FROM json_each(?1)) ORDER BY n.seq"
    ))?;
    let mut by_event = std::collections::HashMap::<i64, Vec<_>>::new();
    for notice in statement.query_map([json], notice_row)? {
        let (seq, notice) = notice?;
        by_event.entry(seq).or_default().push(notice);
    }
    for (seq, event) in events {
        event.notices = by_event.remove(seq).unwrap_or_default();
        event.runs = runs::of_event(conn, &event.id.to_string())?;
    }
    Ok(())
}

fn cursor_text(seq: i64) -> String {
    format!("s{seq:x}")
}

fn parse_cursor(text: &str) -> Result<i64, LedgerError> {
    text.strip_prefix('s')
        .and_then(|hex| i64::from_str_radix(hex, 16).ok())
        .filter(|seq| *seq > 0)
        .ok_or_else(|| LedgerError::Invalid("the cursor is not one that a list gave out".into()))
}

/// The statement behind a filter, for a test of its plan.
#[cfg(test)]
pub(super) fn sql_of(conn: &Connection, filter: &EventFilter) -> String {
    let scan = Scan::plan(conn, filter).expect("valid");
    scan.statement(filter, 1).expect("valid").0
}
