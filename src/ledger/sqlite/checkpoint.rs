//! Moves the log into the database beside the writer, so that no commit waits for it.
//!
//! The checkpointer does the bulk (PASSIVE), without a lock that the writer needs. Under constant load it never reaches the
//! log's end, and a lock that the writer takes again and again is never free for it. So the writer itself makes a long log
//! begin anew (RESTART), at a moment when little is left to move; from a size on it does so in any case.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::open;

/// Pages (4 KiB) of log that are not in the database yet when a PASSIVE checkpoint is worth it: 8 MiB.
const PASSIVE_PAGES: i32 = 2048;
/// Pages of log from which it should begin anew: 24 MiB.
const RESTART_PAGES: i32 = 6144;
/// Pages that the writer may have to move for that: 4 MiB.
const RESTART_REST_PAGES: i32 = 1024;
/// Pages of log at which it begins anew whatever is left: 48 MiB.
const RESTART_PAGES_MAX: i32 = 12_288;
/// Pages by which the log grows before a RESTART that readers prevented is tried again: 8 MiB.
const RESTART_STEP_PAGES: i32 = 2048;

/// How the writer tells the checkpointer that the log has grown.
#[derive(Debug, Default)]
pub(super) struct Signal {
    wal_pages: Arc<AtomicI32>,
    moved_pages: AtomicI32,
    /// Pages at which a RESTART is tried again; 0 for at once.
    restart_at: AtomicI32,
    /// Held while checkpointing: SQLite refuses a second checkpoint at once instead of letting it wait.
    turn: Mutex<()>,
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct State {
    due: bool,
    stopped: bool,
}

impl Signal {
    /// The length of the log, kept by the writer's connection.
    pub(super) fn wal_pages(&self) -> Arc<AtomicI32> {
        self.wal_pages.clone()
    }

    /// Waits until nobody else of this process checkpoints, and keeps others from it.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pages of log that are not in the database, and all of its pages.
    fn unmoved(&self) -> (i32, i32) {
        let pages = self.wal_pages.load(Ordering::Relaxed);
        let moved = self.moved_pages.load(Ordering::Relaxed);
        // A log shorter than what was moved has begun anew.
        (if pages < moved { pages } else { pages - moved }, pages)
    }

    /// To be called by the writer after each commit, between transactions.
    pub(super) fn committed(&self, conn: &Connection) {
        let (unmoved, pages) = self.unmoved();
        if unmoved >= PASSIVE_PAGES {
            self.change(|state| state.due = true);
        }
        let retry_at = self.restart_at.load(Ordering::Relaxed);
        if pages < RESTART_PAGES {
            self.restart_at.store(0, Ordering::Relaxed);
        } else if pages >= retry_at && (pages >= RESTART_PAGES_MAX || unmoved <= RESTART_REST_PAGES) {
            self.restart_at.store(pages.saturating_add(RESTART_STEP_PAGES), Ordering::Relaxed);
            self.restart(conn);
        }
    }

    /// Readers that hold the log back are not waited for.
    fn restart(&self, conn: &Connection) {
        let _turn = self.turn();
        match open::without_waiting(conn, || pragma(conn, "PRAGMA wal_checkpoint(RESTART)")) {
            Ok((_, moved)) => self.moved_pages.store(moved, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "the ledger's log could not be moved into the database"),
        }
    }

    /// Ends the checkpointer.
    pub(super) fn stop(&self) {
        self.change(|state| state.stopped = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.ready.notify_one();
    }

    /// Waits for work; `false` at the end.
    fn wait(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.due && !state.stopped {
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.due = false;
        !state.stopped
    }
}

/// Works until told to stop. The connection is opened anew after an error.
pub(super) fn run(path: PathBuf, signal: Arc<Signal>) {
    let mut conn: Option<Connection> = None;
    while signal.wait() {
        let Some(open) = conn.take().or_else(|| open::checkpointer(&path).ok()) else { continue };
        let turn = signal.turn();
        let outcome = checkpoint(&open, &signal);
        drop(turn);
        match outcome {
            Ok(()) => conn = Some(open),
            Err(error) => tracing::warn!(%error, "a checkpoint of the ledger failed; it will be tried again"),
        }
    }
}

fn checkpoint(conn: &Connection, signal: &Signal) -> rusqlite::Result<()> {
    let (_, moved) = pragma(conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
    signal.moved_pages.store(moved, Ordering::Relaxed);
    Ok(())
}

/// Pages in the log, and how many of them are in the database.
fn pragma(conn: &Connection, sql: &str) -> rusqlite::Result<(i32, i32)> {
    conn.query_row(sql, (), |row| Ok((row.get(1)?, row.get(2)?)))
}
