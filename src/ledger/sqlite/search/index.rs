//! Filling the index: events in the order of their commits, a slice in each transaction; then what settled, and what is gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::Unusable;
use super::health::{Health, is_damage};
use super::text::{PAYLOAD_BYTES_MAX, Words, prefixes};
use crate::domain::event::EventStatus;
use crate::ledger::sqlite::open::{self, OpenError};
use crate::ledger::sqlite::overview::MINUTE_MS;
use crate::ledger::sqlite::rows::{is_refused, word};

/// Events of one slice.
const SLICE_EVENTS_MAX: usize = 256;
/// Bytes of payloads after which a slice ends.
const SLICE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Events that waited for their settlement, and refusals, that are looked at again in one slice.
const AGAIN_MAX: i64 = 256;
/// Events that are gone from the ledger before the index forgets them, and that it forgets in one slice.
const FORGOTTEN_MIN: i64 = 1000;
const FORGOTTEN_MAX: i64 = 5000;
/// How long counts by the minute are kept.
const MINUTES_KEPT_MS: i64 = 48 * 3_600_000;

/// The index's writer.
#[derive(Debug)]
pub(in super::super) struct Index {
    ledger: PathBuf,
    health: Arc<Health>,
    conns: Option<Conns>,
    /// Whether it was said that the index cannot be written.
    failing: bool,
}

#[derive(Debug)]
struct Conns {
    index: Connection,
    ledger: Connection,
    /// Where the ledger is.
    path: PathBuf,
}

/// What went wrong, and with which of the two files.
#[derive(Debug)]
enum Fault {
    Index(Unusable),
    Ledger(OpenError),
}

impl From<Unusable> for Fault {
    fn from(error: Unusable) -> Self {
        Self::Index(error)
    }
}

/// What the index needs of one event.
struct Row {
    seq: i64,
    handler: String,
    event: String,
    status: EventStatus,
    received_ms: i64,
    words: String,
}

impl Index {
    /// Opens the index of the ledger at `ledger`, or makes it. Without it everything goes on, and the next slice tries again.
    ///
    /// # Errors
    /// Those of the ledger.
    pub(in super::super) fn open(ledger: &Path, health: Arc<Health>) -> Result<Self, OpenError> {
        let mut index = Self { ledger: ledger.to_owned(), health, conns: None, failing: false };
        match index.connect() {
            Ok(conns) => index.conns = Some(conns),
            Err(Fault::Index(error)) => drop(index.without(&error)),
            Err(Fault::Ledger(error)) => return Err(error),
        }
        Ok(index)
    }

    /// Indexes one slice; how much there was to do. An index that is damaged is made anew; one that cannot be written is
    /// left alone until the next call, and the log says so once.
    ///
    /// # Errors
    /// Those of the ledger. After one the connections are opened anew.
    pub(in super::super) fn slice(&mut self) -> Result<usize, OpenError> {
        if self.health.is_damaged() {
            self.conns = None;
        }
        let conns = self.conns.take().map_or_else(|| self.connect(), Ok);
        let done = conns.and_then(|mut conns| {
            let done = conns.slice()?;
            self.conns = Some(conns);
            Ok(done)
        });
        match done {
            Ok(done) => {
                self.failing = false;
                Ok(done)
            }
            Err(Fault::Index(Unusable::Sqlite(error))) if is_damage(&error) => {
                self.health.failed(&error);
                // There is more to do: all of it.
                Ok(1)
            }
            Err(Fault::Index(error)) => Ok(self.without(&error)),
            Err(Fault::Ledger(error)) => Err(error),
        }
    }

    fn connect(&self) -> Result<Conns, Fault> {
        let path = super::path(&self.ledger);
        let ledger = open::reader(&self.ledger).map_err(Fault::Ledger)?;
        let opened = if self.health.is_damaged() { Err(Unusable::Damaged) } else { super::open(&path) };
        let index = match opened {
            Ok(index) => index,
            Err(error) if error.is_for_good() => {
                tracing::warn!(%error, "the search index is made anew");
                super::remove(&path);
                self.health.removed();
                super::open(&path)?
            }
            Err(error) => return Err(Fault::Index(error)),
        };
        self.health.opened();
        Ok(Conns { index, ledger, path: self.ledger.clone() })
    }

    /// Nothing was done.
    fn without(&mut self, error: &Unusable) -> usize {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "the search index cannot be written: lists and searches look at the events themselves meanwhile");
        }
        0
    }
}

impl Conns {
    fn slice(&mut self) -> Result<usize, Fault> {
        let newest = self.number("SELECT coalesce(max(seq), 0) FROM events")?.unwrap_or(0);
        let from = match mark(&self.index, "seq").map_err(of_index)? {
            // A ledger that is younger than its index is another one.
            Some(seq) if seq > newest => {
                start_anew(&mut self.index).map_err(of_index)?;
                0
            }
            seq => seq.unwrap_or(0),
        };
        let rows = if newest > from { self.rows("e.seq > ?1 ORDER BY e.seq LIMIT ?2", from)? } else { Vec::new() };
        let settled = self.settled()?;
        let gone = self.gone()?;
        let floor = self.number("SELECT min(seq) FROM events")?;
        self.write(&rows, &settled, gone, floor).map_err(of_index)
    }

    fn of_ledger(&self, error: rusqlite::Error) -> Fault {
        Fault::Ledger(OpenError::from_sqlite(&self.path, error))
    }

    /// The one number that `sql` gives.
    fn number(&self, sql: &str) -> Result<Option<i64>, Fault> {
        let found = self.ledger.prepare_cached(sql).and_then(|mut statement| statement.query_row((), |row| row.get(0)));
        found.map_err(|error| self.of_ledger(error))
    }

    fn write(&mut self, rows: &[Row], settled: &[Row], gone: Vec<i64>, floor: Option<i64>) -> rusqlite::Result<usize> {
        let tx = self.index.transaction()?;
        let done = rows.len() + settled.len();
        add(&tx, rows)?;
        for row in settled {
            add_words(&tx, row)?;
            tx.prepare_cached("DELETE FROM unsettled WHERE seq = ?1")?.execute([row.seq])?;
        }
        for seq in gone {
            tx.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([seq])?;
            tx.prepare_cached("DELETE FROM refused WHERE seq = ?1")?.execute([seq])?;
        }
        let forgotten = floor.map_or(Ok(0), |floor| forget(&tx, floor))?;
        tx.commit()?;
        Ok(done + forgotten)
    }

    fn rows(&self, which: &str, from: i64) -> Result<Vec<Row>, Fault> {
        self.read_rows(which, from).map_err(|error| self.of_ledger(error))
    }

    /// Events with their words.
    fn read_rows(&self, which: &str, from: i64) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.ledger.prepare_cached(&format!(
            "SELECT e.seq, e.handler, e.event, e.status, e.received_at, e.title, e.subject, e.delivery_id, e.reason,
                    coalesce(b.payload, b.body)
             FROM events e JOIN event_bodies b ON b.event_seq = e.seq WHERE {which}"
        ))?;
        let mut found = statement.query((from, super::super::rows::int(SLICE_EVENTS_MAX)))?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < SLICE_BYTES_MAX
            && let Some(row) = found.next()?
        {
            let text = |index| row.get::<_, Option<String>>(index).map(Option::unwrap_or_default);
            let status: EventStatus = word(row, 3)?;
            let (handler, event) = (text(1)?, text(2)?);
            let mut words = Words::default();
            if status != EventStatus::Accepted {
                for index in 5..=8 {
                    words.add(&text(index)?);
                }
                words.add(&handler);
                words.add(&event);
                let payload = match row.get_ref(9)? {
                    ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes,
                    _ => &[],
                };
                let payload = &payload[..payload.len().min(PAYLOAD_BYTES_MAX)];
                bytes += payload.len();
                words.add_payload(payload);
            }
            rows.push(Row { seq: row.get(0)?, handler, event, status, received_ms: row.get(4)?, words: words.text() });
        }
        Ok(rows)
    }

    /// Events that waited for their settlement and have it.
    fn settled(&self) -> Result<Vec<Row>, Fault> {
        let mut settled = Vec::new();
        let unsettled = seqs(&self.index, "SELECT seq FROM unsettled ORDER BY seq LIMIT ?1");
        for seq in unsettled.map_err(of_index)? {
            match self.rows("e.seq = ?1 LIMIT ?2", seq)?.pop() {
                Some(row) if row.status == EventStatus::Accepted => {}
                Some(row) => settled.push(row),
                None => settled.push(Row {
                    seq,
                    handler: String::new(),
                    event: String::new(),
                    status: EventStatus::Failed,
                    received_ms: 0,
                    words: String::new(),
                }),
            }
        }
        Ok(settled)
    }

    /// The oldest refusals of the index that the ledger has forgotten.
    fn gone(&self) -> Result<Vec<i64>, Fault> {
        let refused = seqs(&self.index, "SELECT seq FROM refused ORDER BY seq LIMIT ?1").map_err(of_index)?;
        let there = self.ledger.prepare_cached("SELECT 1 FROM events WHERE seq = ?1");
        let mut there = there.map_err(|error| self.of_ledger(error))?;
        let mut gone = Vec::new();
        for seq in refused {
            if there.exists([seq]).map_err(|error| self.of_ledger(error))? {
                break;
            }
            gone.push(seq);
        }
        Ok(gone)
    }
}

fn of_index(error: rusqlite::Error) -> Fault {
    Fault::Index(Unusable::Sqlite(error))
}

fn add(tx: &Transaction<'_>, rows: &[Row]) -> rusqlite::Result<()> {
    let mut minutes: BTreeMap<(i64, &str, &str), i64> = BTreeMap::new();
    for row in rows {
        let outcome = match row.status {
            EventStatus::Ignored | EventStatus::Duplicate | EventStatus::Rejected => row.status.as_str(),
            EventStatus::Accepted | EventStatus::Processed | EventStatus::Failed => "accepted",
        };
        let minute = row.received_ms.div_euclid(MINUTE_MS) * MINUTE_MS;
        *minutes.entry((minute, &row.handler, outcome)).or_default() += 1;
        if is_refused(row.status) {
            tx.prepare_cached("INSERT OR IGNORE INTO refused (seq) VALUES (?1)")?.execute([row.seq])?;
        } else {
            let mut posting = tx.prepare_cached("INSERT OR IGNORE INTO postings (term, seq) VALUES (?1, ?2)")?;
            posting.execute((format!("h:{}", row.handler), row.seq))?;
            for prefix in prefixes(&row.event) {
                posting.execute((format!("e:{prefix}"), row.seq))?;
            }
        }
        if row.status == EventStatus::Accepted {
            tx.prepare_cached("INSERT OR IGNORE INTO unsettled (seq) VALUES (?1)")?.execute([row.seq])?;
        } else {
            add_words(tx, row)?;
        }
    }
    let mut count = tx.prepare_cached(
        "INSERT INTO minutes (at, handler, outcome, count) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (at, handler, outcome) DO UPDATE SET count = count + excluded.count",
    )?;
    for ((minute, handler, outcome), n) in &minutes {
        count.execute((minute, handler, outcome, n))?;
    }
    if let (Some(last), Some(((newest, ..), _))) = (rows.last(), minutes.last_key_value()) {
        tx.prepare_cached("DELETE FROM minutes WHERE at < ?1")?.execute([newest - MINUTES_KEPT_MS])?;
        set_mark(tx, "seq", last.seq)?;
    }
    Ok(())
}

fn add_words(tx: &Transaction<'_>, row: &Row) -> rusqlite::Result<()> {
    if !row.words.is_empty() {
        let sql = "INSERT OR REPLACE INTO words (rowid, text) VALUES (?1, ?2)";
        tx.prepare_cached(sql)?.execute((row.seq, &row.words))?;
    }
    Ok(())
}

/// Forgets what the ledger has nothing below `floor` of.
fn forget(tx: &Transaction<'_>, floor: i64) -> rusqlite::Result<usize> {
    let known = mark(tx, "floor")?.unwrap_or(0);
    if floor - known < FORGOTTEN_MIN {
        return Ok(0);
    }
    let floor = floor.min(known + FORGOTTEN_MAX);
    // A step from term to term; DISTINCT would read them all.
    let terms = "WITH RECURSIVE t (term) AS (SELECT min(term) FROM postings UNION ALL
             SELECT (SELECT min(term) FROM postings WHERE term > t.term) FROM t WHERE t.term IS NOT NULL)
         SELECT term FROM t WHERE term IS NOT NULL";
    let terms: Vec<String> =
        tx.prepare_cached(terms)?.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for term in terms {
        tx.prepare_cached("DELETE FROM postings WHERE term = ?1 AND seq < ?2")?.execute((term, floor))?;
    }
    let mut word = tx.prepare_cached("DELETE FROM words WHERE rowid = ?1")?;
    for seq in known..floor {
        word.execute([seq])?;
    }
    set_mark(tx, "floor", floor)?;
    Ok(1)
}

fn start_anew(index: &mut Connection) -> rusqlite::Result<()> {
    index.execute_batch(
        "BEGIN; DELETE FROM words; DELETE FROM postings; DELETE FROM minutes; DELETE FROM unsettled; DELETE FROM refused;
         DELETE FROM marks; COMMIT",
    )
}

fn seqs(conn: &Connection, sql: &str) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached(sql)?.query_map([AGAIN_MAX], |row| row.get(0))?.collect()
}

fn mark(conn: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT value FROM marks WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

fn set_mark(tx: &Transaction<'_>, name: &str, value: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.prepare_cached(sql)?.execute((name, value)).map(drop)
}
