//! Looking at runs and approvals: one, lists by keyset, what is due.

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::super::readers::ReadError;
use super::super::rows::{int, time_opt, word};
use super::rows::{
    APPROVAL_COLUMNS, APPROVAL_COLUMNS_COUNT, RUN_COLUMNS, approval_row, decisions, json, news, run_row, steps,
};
use crate::domain::ids::{ApprovalId, RunId};
use crate::domain::notice::ChatKey;
use crate::ledger::runs::{
    ApprovalFilter, ApprovalRow, CardDue, CardPlace, NonceRow, RUNS_PAGE_DEFAULT, RUNS_PAGE_MAX, RunContext, RunFilter,
    RunNews, RunRow,
};
use crate::ledger::{LedgerError, Page};

/// When something must be looked at next: each part is one step into an index.
pub(in super::super) const NEXT_DUE: &str = "SELECT min(at) FROM (
         SELECT min(due_at) AS at FROM runs WHERE due_at IS NOT NULL AND due_at > ?1
         UNION ALL SELECT min(wake_at) FROM approvals WHERE wake_at IS NOT NULL AND wake_at > ?1
         UNION ALL SELECT min(expires_at) FROM event_waits
             WHERE state = 'waiting' AND expires_at IS NOT NULL AND expires_at > ?1)";

/// Whether [`super::approvals::expire`] has something to do.
pub(in super::super) const EXPIRES: &str =
    "SELECT EXISTS (SELECT 1 FROM approvals WHERE wake_at IS NOT NULL AND wake_at <= ?1)
         OR EXISTS (SELECT 1 FROM event_waits WHERE state = 'waiting' AND expires_at IS NOT NULL AND expires_at <= ?1)";

/// Cards of one approval that are kept true: each reminder sends one more.
const PLACES_MAX: i64 = 8;
/// Approvals whose card must be sent or changed.
const CARDS: &str = "a.card_version > a.card_shown ORDER BY a.state = 'pending', a.card_at, a.seq LIMIT ?1";

/// See [`crate::ledger::runs::RunLedger::definition`].
pub(super) fn definition(conn: &Connection, hash: &str) -> Result<Option<String>, ReadError> {
    let sql = "SELECT source FROM definitions WHERE hash = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([hash], |row| row.get(0)).optional()?)
}

/// See [`crate::ledger::runs::RunLedger::run_context`].
pub(super) fn context(conn: &Connection, run: RunId) -> Result<Option<RunContext>, ReadError> {
    let sql = "SELECT c.context FROM run_contexts c JOIN runs r ON r.seq = c.run_seq WHERE r.id = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([run.to_string()], |row| json(row, 0)).optional()?)
}

/// See [`crate::ledger::runs::RunLedger::run_news`].
pub(super) fn news_of(conn: &Connection, run: RunId) -> Result<Option<RunNews>, ReadError> {
    let seq = conn
        .prepare_cached("SELECT seq FROM runs WHERE id = ?1")?
        .query_row([run.to_string()], |row| row.get(0))
        .optional()?;
    Ok(seq.map(|seq| news(conn, seq)).transpose()?)
}

/// See [`crate::ledger::runs::RunLedger::next_run_due`].
pub(super) fn next_due(conn: &Connection, now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
    Ok(conn.prepare_cached(NEXT_DUE)?.query_row([now.as_millisecond()], |row| time_opt(row, 0))?)
}

/// Whether an approval or a wait runs out at `now`, or people must be reminded.
pub(super) fn something_expires(conn: &Connection, now: Timestamp) -> Result<bool, ReadError> {
    Ok(conn.prepare_cached(EXPIRES)?.query_row([now.as_millisecond()], |row| row.get(0))?)
}

/// See [`crate::ledger::runs::RunLedger::nonce`].
pub(super) fn nonce(conn: &Connection, hash: &[u8; 32]) -> Result<Option<NonceRow>, ReadError> {
    let found = conn
        .prepare_cached(
            "SELECT a.id, n.purpose, n.used_at IS NOT NULL FROM approval_nonces n
             JOIN approvals a ON a.seq = n.approval_seq WHERE n.hash = ?1",
        )?
        .query_row([hash.as_slice()], |row| {
            Ok(NonceRow { approval: word(row, 0)?, purpose: row.get(1)?, used: row.get(2)? })
        })
        .optional()?;
    Ok(found)
}

/// See [`crate::ledger::runs::RunLedger::cards_due`].
pub(super) fn cards_due(conn: &Connection, limit: usize) -> Result<Vec<CardDue>, ReadError> {
    let mut statement = conn.prepare_cached(&cards_sql())?;
    let due = statement
        .query_map([int(limit)], |row| {
            let (seq, approval) = approval_row(row)?;
            let version = row.get(APPROVAL_COLUMNS_COUNT)?;
            let anew = row.get(APPROVAL_COLUMNS_COUNT + 1)?;
            Ok((seq, CardDue { approval, version, places: Vec::new(), anew }))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut cards = Vec::with_capacity(due.len());
    for (seq, mut card) in due {
        card.approval.decisions = decisions(conn, seq)?;
        card.places = places(conn, seq)?;
        cards.push(card);
    }
    Ok(cards)
}

/// The statement of [`cards_due`].
pub(in super::super) fn cards_sql() -> String {
    format!(
        "SELECT {APPROVAL_COLUMNS}, a.card_version, a.card_anew FROM approvals a CROSS JOIN runs r ON r.seq = a.run_seq
         WHERE {CARDS}"
    )
}

/// The newest cards, newest first: that one is what people look at.
fn places(conn: &Connection, approval_seq: i64) -> rusqlite::Result<Vec<CardPlace>> {
    let mut statement = conn.prepare_cached(
        "SELECT chat, message_id FROM approval_cards WHERE approval_seq = ?1 ORDER BY seq DESC LIMIT ?2",
    )?;
    let places = statement.query_map((approval_seq, PLACES_MAX), |row| {
        Ok(CardPlace { chat: ChatKey::from_stored(row.get(0)?), message_id: row.get(1)? })
    })?;
    places.collect()
}

/// See [`crate::ledger::runs::RunLedger::card_at`].
pub(super) fn card_at(conn: &Connection, chat: &ChatKey, message_id: i64) -> Result<Option<ApprovalId>, ReadError> {
    let found = conn
        .prepare_cached(
            "SELECT a.id FROM approval_cards c JOIN approvals a ON a.seq = c.approval_seq
             WHERE c.chat = ?1 AND c.message_id = ?2 ORDER BY c.seq DESC LIMIT 1",
        )?
        .query_row((chat.as_str(), message_id), |row| word(row, 0))
        .optional()?;
    Ok(found)
}

/// See [`crate::ledger::runs::RunLedger::run`].
pub(super) fn run(conn: &Connection, id: RunId) -> Result<Option<RunRow>, ReadError> {
    let sql = format!("SELECT {RUN_COLUMNS} FROM runs r WHERE r.id = ?1");
    let found = conn.prepare_cached(&sql)?.query_row([id.to_string()], run_row).optional()?;
    let Some((seq, mut run)) = found else { return Ok(None) };
    run.steps = steps(conn, seq)?;
    Ok(Some(run))
}

/// The runs of an event, as its page names them.
pub(in super::super) fn of_event(conn: &Connection, event: &str) -> rusqlite::Result<Vec<serde_json::Value>> {
    let mut statement =
        conn.prepare_cached("SELECT id, workflow, state FROM runs WHERE event_id = ?1 ORDER BY seq LIMIT 100")?;
    let runs = statement.query_map([event], |row| {
        let text = |index| row.get::<_, String>(index);
        Ok(serde_json::json!({ "id": text(0)?, "workflow": text(1)?, "state": text(2)? }))
    })?;
    runs.collect()
}

/// A list's conditions and cursor.
pub(super) struct Keyset {
    pub(super) sql: String,
    pub(super) params: Vec<Value>,
    pub(super) limit: usize,
}

impl Keyset {
    pub(super) fn new(limit: usize, cursor: Option<&str>, seq: &str) -> Result<Self, LedgerError> {
        let limit = match limit {
            0 => RUNS_PAGE_DEFAULT,
            limit => limit.min(RUNS_PAGE_MAX),
        };
        let mut keyset = Self { sql: "TRUE".into(), params: Vec::new(), limit };
        if let Some(cursor) = cursor {
            let below = i64::from_str_radix(cursor, 16).ok().filter(|seq| *seq > 0 && format!("{seq:x}") == cursor);
            let below = below.ok_or_else(|| LedgerError::Invalid(format!("'{cursor}' is no cursor of ours")))?;
            keyset.and(&format!("{seq} <"), Value::Integer(below));
        }
        Ok(keyset)
    }

    pub(super) fn and(&mut self, clause: &str, value: Value) {
        self.params.push(value);
        self.sql.push_str(&format!(" AND {clause} ?{}", self.params.len()));
    }

    pub(super) fn page<T>(&self, mut rows: Vec<(i64, T)>) -> (Vec<(i64, T)>, Option<String>) {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| more).map(|(seq, _)| format!("{seq:x}"));
        (rows, next)
    }
}

/// See [`crate::ledger::runs::RunLedger::runs`].
pub(super) fn runs(conn: &Connection, filter: &RunFilter) -> Result<Page<RunRow>, ReadError> {
    let mut keyset = Keyset::new(filter.limit, filter.cursor.as_deref(), "r.seq")?;
    if let Some(workflow) = &filter.workflow {
        keyset.and("r.workflow =", Value::Text(workflow.clone()));
    }
    if let Some(state) = filter.state {
        keyset.and("r.state =", Value::Text(state.as_str().into()));
    }
    if let Some(event) = filter.event {
        keyset.and("r.event_id =", Value::Text(event.to_string()));
    }
    if let Some(since) = filter.since {
        keyset.and("r.started_at >=", Value::Integer(since.as_millisecond()));
    }
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM runs r WHERE {} ORDER BY r.seq DESC LIMIT {}",
        keyset.sql,
        int(keyset.limit + 1)
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&keyset.params), run_row)?.collect::<Result<Vec<_>, _>>()?;
    let (rows, next) = keyset.page(rows);
    let mut items = Vec::with_capacity(rows.len());
    for (seq, mut run) in rows {
        run.steps = steps(conn, seq)?;
        for step in &mut run.steps {
            step.output = None;
        }
        items.push(run);
    }
    Ok(Page { items, next })
}

/// See [`crate::ledger::runs::RunLedger::approvals`].
pub(super) fn approvals(conn: &Connection, filter: &ApprovalFilter) -> Result<Page<ApprovalRow>, ReadError> {
    let mut keyset = Keyset::new(filter.limit, filter.cursor.as_deref(), "a.seq")?;
    if let Some(state) = filter.state {
        keyset.and("a.state =", Value::Text(state.as_str().into()));
    }
    if let Some(run) = filter.run {
        keyset.and("r.id =", Value::Text(run.to_string()));
    }
    let sql = format!(
        "SELECT {APPROVAL_COLUMNS} FROM approvals a JOIN runs r ON r.seq = a.run_seq WHERE {}
         ORDER BY a.seq DESC LIMIT {}",
        keyset.sql,
        int(keyset.limit + 1)
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&keyset.params), approval_row)?.collect::<Result<Vec<_>, _>>()?;
    let (rows, next) = keyset.page(rows);
    let mut items = Vec::with_capacity(rows.len());
    for (seq, mut approval) in rows {
        approval.decisions = decisions(conn, seq)?;
        items.push(approval);
    }
    Ok(Page { items, next })
}
