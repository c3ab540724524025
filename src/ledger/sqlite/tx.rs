//! The open transaction that commands write into, and the tally of what they changed.
//!
//! Counts and wake-up calls are collected here and applied once per transaction: one update per status and handler,
//! however many events it brings.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension, Params};

use crate::domain::event::{EventStatus, HandlerName};
use crate::ledger::{Changes, LedgerError};

/// Why a command wrote nothing.
#[derive(Debug)]
pub(super) enum WriteError {
    /// It makes no sense; the others of the batch are not concerned.
    Refused(LedgerError),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<LedgerError> for WriteError {
    fn from(error: LedgerError) -> Self {
        Self::Refused(error)
    }
}

/// The transaction of one batch.
pub(super) struct Tx<'a> {
    /// The writer's connection, inside a transaction.
    pub conn: &'a Connection,
    /// When the transaction began, in milliseconds.
    pub began_ms: i64,
    /// The `seq` of the next event.
    pub seq_next: i64,
    /// What changed so far.
    pub tally: Tally,
}

impl Tx<'_> {
    /// Runs a statement that is prepared once per connection.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.conn.prepare_cached(sql)?.execute(params)
    }

    /// The first row of a statement that is prepared once per connection.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.conn.prepare_cached(sql)?.query_row(params, read).optional()
    }

    /// Takes the next `seq`.
    pub(super) fn take_seq(&mut self) -> i64 {
        let seq = self.seq_next;
        self.seq_next += 1;
        seq
    }

    /// Adds to an event's history, unless it is long already.
    pub(super) fn log(&self, event_seq: i64, at_ms: i64, what: &str, detail: Option<&str>) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO event_log (event_seq, at, what, detail) SELECT ?1, ?2, ?3, ?4
             WHERE (SELECT count(*) FROM event_log WHERE event_seq = ?1) < ?5",
            (event_seq, at_ms, what, detail, EVENT_LOG_ENTRIES_MAX),
        )?;
        Ok(())
    }
}

/// Most unusual entries in the history of one event.
const EVENT_LOG_ENTRIES_MAX: i64 = 100;

/// What a transaction changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    events: BTreeMap<&'static str, i64>,
    seen: HashMap<HandlerName, i64>,
    /// There may be jobs to claim.
    pub jobs: bool,
    /// There may be notices to send.
    pub notices: bool,
    /// There may be runs to claim.
    pub runs: bool,
    /// There may be cards to send or to change.
    pub approvals: bool,
    /// There may be something to answer in a conversation.
    pub chats: bool,
    /// There may be notices for a model to write about.
    pub summaries: bool,
    /// There may be messages to change.
    pub edits: bool,
    /// Something that an event's page shows changed.
    pub changed: bool,
}

impl Tally {
    /// An event came with this status.
    pub(super) fn came(&mut self, status: EventStatus) {
        *self.events.entry(status.as_str()).or_default() += 1;
        self.changed = true;
    }

    /// An event with this status went.
    pub(super) fn went(&mut self, status: EventStatus) {
        *self.events.entry(status.as_str()).or_default() -= 1;
        self.changed = true;
    }

    /// A handler accepted an event.
    pub(super) fn saw(&mut self, handler: &HandlerName, at_ms: i64) {
        match self.seen.get_mut(handler) {
            Some(last) => *last = at_ms.max(*last),
            None => {
                self.seen.insert(handler.clone(), at_ms);
            }
        }
    }

    /// Writes the counts.
    pub(super) fn write(&self, conn: &Connection) -> rusqlite::Result<()> {
        let mut count = conn.prepare_cached(
            "INSERT INTO counters (name, value) VALUES ('events.' || ?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        )?;
        for (status, delta) in self.events.iter().filter(|(_, delta)| **delta != 0) {
            count.execute((status, delta))?;
        }
        let mut seen = conn.prepare_cached(
            "INSERT INTO handlers_seen (handler, last_at) VALUES (?1, ?2)
             ON CONFLICT (handler) DO UPDATE SET last_at = max(last_at, excluded.last_at)",
        )?;
        for (handler, at_ms) in &self.seen {
            seen.execute((handler.as_str(), at_ms))?;
        }
        Ok(())
    }

    /// Wakes those who wait for what changed. To be called after the commit.
    pub(super) fn announce(&self, changes: &Changes) {
        if self.jobs {
            changes.jobs.notify_one();
        }
        if self.notices {
            changes.notices.notify_one();
        }
        if self.runs {
            changes.runs.notify_one();
        }
        if self.approvals {
            changes.approvals.notify_one();
        }
        if self.chats {
            changes.chats.notify_one();
        }
        if self.summaries {
            changes.summaries.notify_one();
        }
        if self.edits {
            changes.edits.notify_one();
        }
        changes.commits.fetch_add(1, Ordering::Relaxed);
        // Nearly every commit changes something that lists show; the few others cost a look.
        changes.news.send_modify(|count| *count = count.wrapping_add(1));
        if self.changed {
            changes.events.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}
