//! Moves the log into the database beside the writer, so that no commit waits for it.
//!
//! PASSIVE does the bulk without a lock that the writer needs. Under constant load it never reaches the log's end, so from
//! a size on a RESTART follows at once: it holds the writer up for the short rest, after which the log begins anew.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::open;

/// Pages (8 KiB) of log that are not in the database yet when a PASSIVE checkpoint is worth it: 8 MiB.
const PASSIVE_PAGES: i32 = 1024;
/// Pages of log from which it is made to begin anew: 32 MiB, well below the 64 MiB that it may reach.
const RESTART_PAGES: i32 = 4096;

/// How the writer tells the checkpointer that the log has grown.
#[derive(Debug, Default)]
pub(super) struct Signal {
    wal_pages: Arc<AtomicI32>,
    moved_pages: AtomicI32,
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

    /// To be called after each commit: wakes the checkpointer when there is enough to do.
    pub(super) fn committed(&self) {
        let pages = self.wal_pages.load(Ordering::Relaxed);
        let moved = self.moved_pages.load(Ordering::Relaxed);
        // A log shorter than what was moved has begun anew.
        let unmoved = if pages < moved { pages } else { pages - moved };
        if unmoved >= PASSIVE_PAGES {
            self.change(|state| state.due = true);
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
    let (log, moved) = pragma(conn, "PRAGMA wal_checkpoint(PASSIVE)")?;
    signal.moved_pages.store(moved, Ordering::Relaxed);
    if log >= RESTART_PAGES {
        let (_, moved) = pragma(conn, "PRAGMA wal_checkpoint(RESTART)")?;
        signal.moved_pages.store(moved, Ordering::Relaxed);
    }
    Ok(())
}

/// Pages in the log, and how many of them are in the database.
fn pragma(conn: &Connection, sql: &str) -> rusqlite::Result<(i32, i32)> {
    conn.query_row(sql, (), |row| Ok((row.get(1)?, row.get(2)?)))
}
