//! A bounded pool of read-only connections. Reads see everything that was answered `Ok` before they began, and hold up
//! neither the writer nor, for longer than a moment, a checkpoint.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::open::{self, OpenError};
use super::search::Health;
use crate::ledger::LedgerError;

/// Reads that may wait for a connection.
const WAITING_MAX: usize = 256;

/// Why a read has no answer.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It makes no sense.
    Refused(LedgerError),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<LedgerError> for ReadError {
    fn from(error: LedgerError) -> Self {
        Self::Refused(error)
    }
}

impl ReadError {
    fn outside(self) -> LedgerError {
        match self {
            Self::Refused(error) => error,
            Self::Sqlite(error) => LedgerError::Unavailable(error.to_string()),
        }
    }
}

/// The pool.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    size: usize,
    slots: Arc<Semaphore>,
    /// One at a time for a person's own SQL, which must not keep the agent's reads waiting.
    apart: Arc<Semaphore>,
    waiting: AtomicUsize,
    health: Arc<Health>,
    idle: Arc<Mutex<Vec<Pooled>>>,
}

/// A connection, and which search index it has open.
#[derive(Debug)]
struct Pooled {
    conn: Connection,
    index: u64,
}

impl Pooled {
    fn open(path: &Path, health: &Health) -> Result<Self, OpenError> {
        let index = health.index();
        let conn = open::reader(path)?;
        super::search::attach(&conn, path);
        Ok(Self { conn, index })
    }
}

impl Readers {
    /// A pool of at most `size` connections; the first is opened at once, so that faults show at the start.
    pub(super) fn open(path: &Path, size: usize, health: Arc<Health>) -> Result<Self, OpenError> {
        let size = size.max(1);
        let first = Pooled::open(path, &health)?;
        super::migrate::expect_newest(&first.conn, path)?;
        Ok(Self {
            path: path.to_owned(),
            size,
            slots: Arc::new(Semaphore::new(size)),
            apart: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
            health,
            idle: Arc::new(Mutex::new(vec![first])),
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of the search index.
    pub(super) fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Runs a read on a thread where it may block.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let permit = self.admit(&self.slots).await?;
        let (idle, path, health) = (self.idle.clone(), self.path.clone(), self.health.clone());
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut pooled = match pooled.filter(|pooled| pooled.index == health.index()) {
                Some(pooled) => pooled,
                None => Pooled::open(&path, &health).map_err(|e| LedgerError::Unavailable(e.to_string()))?,
            };
            let conn = &mut pooled.conn;
            // One snapshot for all statements of a read.
            let outcome = bracket(conn, "BEGIN").map_err(ReadError::from).and_then(|()| read(conn));
            let ended = conn.is_autocommit() || bracket(conn, "ROLLBACK").is_ok();
            if ended && !matches!(outcome, Err(ReadError::Sqlite(_))) {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(pooled);
            }
            outcome.map_err(ReadError::outside)
        });
        task.await.map_err(|_| LedgerError::Unavailable("a read was cut off".into()))?
    }

    /// Runs a read that opens a connection of its own.
    pub(super) async fn run_apart<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let permit = self.admit(&self.apart).await?;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read().map_err(ReadError::outside)
        });
        task.await.map_err(|_| LedgerError::Unavailable("a read was cut off".into()))?
    }

    async fn admit(&self, slots: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, LedgerError> {
        let _place = Place::take(&self.waiting)?;
        slots.clone().acquire_owned().await.map_err(|_| closed())
    }

    /// Lets running reads end and closes the connections. Later reads answer `Unavailable`.
    pub(super) async fn close(&self) {
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        if let Ok(permits) = self.slots.acquire_many(all).await {
            self.slots.close();
            drop(permits);
        }
        if let Ok(permit) = self.apart.acquire().await {
            self.apart.close();
            drop(permit);
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn bracket(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute(()).map(drop)
}

fn closed() -> LedgerError {
    LedgerError::Unavailable("it is closed".into())
}

/// A place among those who wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, LedgerError> {
        if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(LedgerError::Busy);
        }
        Ok(Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
