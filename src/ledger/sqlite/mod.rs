//! The SQLite engine: one writing thread that commits in groups, a pool of readers, a checkpointer beside them.
//!
//! This folder is the only user of `rusqlite`. `writer` owns the one connection that changes data; `events`, `refused`,
//! `jobs`, `notices`, `inbound` and `prune` say what is written; `list`, `detail`, `waiting` and `sql` read.

mod chat;
mod checkpoint;
mod detail;
mod digests;
mod events;
mod files;
mod inbound;
mod inbox;
mod jobs;
mod list;
mod migrate;
mod models;
mod notices;
mod open;
mod overview;
mod prune;
mod readers;
mod refused;
mod rows;
mod runs;
mod search;
mod sql;
mod store;
mod summaries;
#[cfg(test)]
mod tests;
mod traces;
mod tx;
mod waiting;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use open::OpenError;

use self::checkpoint::Signal;
use self::files::Files;
use self::inbox::{Inbox, Urgency};
use self::readers::Readers;
use self::search::{Health, Index};
use self::tx::{Tx, WriteError};
use self::writer::{Call, Writer};
use super::{Changes, LedgerError};
use crate::ports::Clock;

/// Refusals kept when nobody says otherwise.
const REJECTED_MAX_DEFAULT: usize = 10_000;
/// Commands that may wait when nobody says otherwise.
const INBOX_MAX_DEFAULT: usize = 4096;
/// Reading connections when nobody says otherwise.
const READERS_DEFAULT: usize = 3;

/// How to open a ledger.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The file; made when it is missing.
    pub path: PathBuf,
    /// Refused requests that are kept.
    pub rejected_max: usize,
    /// Commands that may wait for the writer; beyond it callers get `Busy`.
    pub inbox_max: usize,
    /// Reading connections.
    pub readers: usize,
    /// Tells when a transaction began (`committed` in timelines).
    pub clock: Arc<dyn Clock>,
    /// Where the process ends itself; for crash tests.
    pub abort: Option<AbortPoint>,
}

impl SqliteOptions {
    /// The usual options for `path`.
    pub fn new(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            path: path.into(),
            rejected_max: REJECTED_MAX_DEFAULT,
            inbox_max: INBOX_MAX_DEFAULT,
            readers: READERS_DEFAULT,
            clock,
            abort: None,
        }
    }
}

/// Where a crash test ends the process, as `kill -9` would: at the n-th commit, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortPoint {
    /// Just before it: nothing of that group may be there afterwards.
    Before(u64),
    /// Just after it, before anybody was answered: all of it must be there.
    After(u64),
}

/// Why a text is no [`AbortPoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an abort point is before:N or after:N")]
pub struct AbortPointError;

impl std::str::FromStr for AbortPoint {
    type Err = AbortPointError;

    fn from_str(text: &str) -> Result<Self, AbortPointError> {
        let (side, number) = text.split_once(':').ok_or(AbortPointError)?;
        let number = number.parse().map_err(|_| AbortPointError)?;
        match side {
            "before" => Ok(Self::Before(number)),
            "after" => Ok(Self::After(number)),
            _ => Err(AbortPointError),
        }
    }
}

impl std::fmt::Display for AbortPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Before(number) => write!(f, "before:{number}"),
            Self::After(number) => write!(f, "after:{number}"),
        }
    }
}

/// Where a process that ended itself at an [`AbortPoint`] leaves the names of what was being committed, beside the ledger.
pub fn aborted_path(ledger: &Path) -> PathBuf {
    ledger.with_extension("aborted")
}

/// The ledger on SQLite.
#[derive(Debug)]
pub struct SqliteLedger {
    changes: Arc<Changes>,
    readers: Readers,
    /// `None` when opened read-only.
    index: Option<Arc<Mutex<Index>>>,
    /// `None` when opened read-only.
    engine: Option<Arc<Engine>>,
}

#[derive(Debug)]
struct Engine {
    inbox: Arc<Inbox>,
    checkpoint: Arc<Signal>,
    threads: Mutex<Option<Threads>>,
}

#[derive(Debug)]
struct Threads {
    writer: JoinHandle<()>,
    checkpointer: JoinHandle<()>,
    /// Keeps a second agent out; declared last, so that it outlives the threads.
    _lock: File,
}

impl SqliteLedger {
    /// Opens the ledger for the agent: makes or migrates the file, takes its lock, starts the threads.
    pub fn open(options: SqliteOptions) -> Result<Arc<Self>, OpenError> {
        let path = options.path;
        let lock = open::lock(&path)?;
        let mut conn = open::writer(&path)?;
        let health = Arc::new(Health::default());
        let index = Index::open(&path, health.clone())?;
        let readers = Readers::open(&path, options.readers, health)?;
        let changes = Arc::new(Changes::default());
        let inbox = Arc::new(Inbox::new(options.inbox_max));
        let checkpoint = Arc::new(Signal::default());
        writer::watch_wal(&mut conn, checkpoint.wal_pages()).map_err(|e| OpenError::from_sqlite(&path, e))?;
        let seq_last = writer::last_seq(&conn).map_err(|e| OpenError::from_sqlite(&path, e))?;
        let writer = Writer {
            path: path.clone(),
            files: Files::opened(&path),
            conn: Some(conn),
            inbox: inbox.clone(),
            changes: changes.clone(),
            checkpoint: checkpoint.clone(),
            clock: options.clock,
            rejected_max: rows::int(options.rejected_max),
            abort: options.abort,
            seq_last,
            commits: 0,
            failing: false,
        };
        let fault = |source| OpenError::Io { path: path.clone(), source };
        let signal = checkpoint.clone();
        let checkpointed = path.clone();
        let checkpointer = thread("ledger-ckpt", move || checkpoint::run(checkpointed, signal)).map_err(fault)?;
        let writer = match thread("ledger-writer", move || writer.run()) {
            Ok(writer) => writer,
            Err(error) => {
                checkpoint.stop();
                return Err(fault(error));
            }
        };
        let threads = Mutex::new(Some(Threads { writer, checkpointer, _lock: lock }));
        Ok(Arc::new(Self {
            changes,
            readers,
            index: Some(Arc::new(Mutex::new(index))),
            engine: Some(Arc::new(Engine { inbox, checkpoint, threads })),
        }))
    }

    /// Opens an existing ledger for looking at it, whether an agent runs on it or not. Everything that writes answers
    /// `Unavailable`.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Arc<Self>, OpenError> {
        let readers = Readers::open(path.as_ref(), 1, Arc::default())?;
        Ok(Arc::new(Self { changes: Arc::default(), readers, index: None, engine: None }))
    }

    /// Has the writer run `work` in its next transaction; `Ok` means committed. `bytes`: what `work` holds, about.
    /// Writes what somebody outside waits for.
    async fn write<T, F>(&self, bytes: usize, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, WriteError> + Send + 'static,
    {
        self.submit(Urgency::Foreground, bytes, work).await
    }

    /// Writes what the agent does with events afterwards: it goes behind what senders wait for.
    async fn write_behind<T, F>(&self, bytes: usize, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, WriteError> + Send + 'static,
    {
        self.submit(Urgency::Background, bytes, work).await
    }

    async fn submit<T, F>(&self, urgency: Urgency, bytes: usize, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, WriteError> + Send + 'static,
    {
        let engine = self.engine.as_ref().ok_or_else(read_only)?;
        let (reply, answer) = oneshot::channel();
        engine.inbox.push(Box::new(Call { work, bytes, kept: None, reply }), urgency)?;
        answer.await.unwrap_or_else(|_| Err(LedgerError::Unavailable("its writer has stopped".into())))
    }
}

impl Engine {
    /// Lets the writer finish what waits and waits for both threads. A second call does nothing.
    fn stop(&self) -> Result<(), LedgerError> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(threads) = threads else { return Ok(()) };
        self.inbox.close();
        self.checkpoint.stop();
        let checkpointer = threads.checkpointer.join();
        let writer = threads.writer.join();
        match writer.and(checkpointer) {
            Ok(()) => Ok(()),
            Err(_) => Err(LedgerError::Unavailable("a thread of it had panicked".into())),
        }
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        if let Some(engine) = &self.engine {
            // What waits is committed; nobody is left to be told of an error.
            let _ = engine.stop();
        }
    }
}

fn read_only() -> LedgerError {
    LedgerError::Unavailable("it was opened read-only".into())
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}
