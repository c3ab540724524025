//! The one thread that writes. It takes whatever waits, does it in one transaction, commits, and only then answers.
//!
//! A command that fails by itself (a constraint) costs the batch a second run with a savepoint per command; the usual batch
//! pays for none. A store that fails answers everybody `Unavailable`; after an I/O error nothing is acknowledged until the
//! file was opened anew and its log moved into the database, because a log whose fsync failed once cannot be trusted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::checkpoint::Signal;
use super::files::Files;
use super::inbox::{Batch, Inbox};
use super::tx::{Tally, Tx, WriteError};
use super::{AbortPoint, aborted_path, open, refused};
use crate::ledger::{Changes, LedgerError};
use crate::ports::Clock;

/// Something to write. It may run twice in different transactions, of which at most one commits.
pub(super) trait Command: Send {
    /// Bytes it holds.
    fn bytes(&self) -> usize;
    /// Writes, and keeps the answer for later.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), WriteError>;
    /// Answers the caller: what `run` kept, or this error.
    fn answer(self: Box<Self>, failed: Option<LedgerError>);
    /// Keeps an error as the answer, while the batch goes on.
    fn refuse(&mut self, error: LedgerError);
    /// What of the ledger it is, such as `ingest`.
    fn name(&self) -> &'static str;
}

/// A command made of a closure and the caller's end of a channel.
pub(super) struct Call<T, F> {
    pub work: F,
    pub bytes: usize,
    pub kept: Option<Result<T, LedgerError>>,
    pub reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, F> Command for Call<T, F>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, WriteError> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), WriteError> {
        self.kept = Some(Ok((self.work)(tx)?));
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<LedgerError>) {
        let answer = match (failed, self.kept) {
            (Some(error), _) => Err(error),
            (None, Some(kept)) => kept,
            (None, None) => Err(LedgerError::Unavailable("the command did not run".into())),
        };
        // A caller that went away does not want to know.
        let _ = self.reply.send(answer);
    }

    fn refuse(&mut self, error: LedgerError) {
        self.kept = Some(Err(error));
    }

    fn name(&self) -> &'static str {
        // The closure's type has the path of the function that wrote it.
        let path = std::any::type_name::<F>();
        let name = path.rsplit("::").find(|part| !part.starts_with('{')).unwrap_or(path);
        name.split('<').next().unwrap_or(name)
    }
}

/// The state of the writing thread.
pub(super) struct Writer {
    pub path: PathBuf,
    /// What is committed to.
    pub files: Files,
    /// `None` after an I/O error, until the file could be opened anew.
    pub conn: Option<Connection>,
    pub inbox: Arc<Inbox>,
    pub changes: Arc<Changes>,
    pub checkpoint: Arc<Signal>,
    pub clock: Arc<dyn Clock>,
    pub rejected_max: i64,
    pub abort: Option<AbortPoint>,
    /// The last `seq` that was ever given to an event.
    pub seq_last: i64,
    /// Commits so far.
    pub commits: u64,
    /// Whether the last batch failed, so that a failure is logged once.
    pub failing: bool,
}

/// How a batch failed.
enum BatchError {
    /// One command cannot be done; the batch can be run again with more care.
    Command,
    /// The store failed.
    Store(rusqlite::Error),
}

impl Writer {
    /// Works until the inbox is closed and empty.
    pub(super) fn run(mut self) {
        let _guard = FailOnPanic(self.inbox.clone());
        while let Some(batch) = self.inbox.take() {
            self.serve(batch);
        }
        if let Some(conn) = self.conn.take() {
            // The checkpointer may be at work still, and a second checkpoint would be refused.
            let _turn = self.checkpoint.turn();
            // With readers of other processes about, what cannot be moved now is moved at the next start.
            let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
            if let Err((_, error)) = conn.close() {
                tracing::warn!(%error, "the ledger's connection did not close cleanly");
            }
        }
    }

    fn serve(&mut self, mut batch: Batch) {
        let outcome = self.commit(&mut batch);
        let failed = match outcome {
            Ok(tally) => {
                if std::mem::take(&mut self.failing) {
                    self.changes.failing.store(false, Ordering::Relaxed);
                    tracing::info!("the ledger commits again");
                }
                tally.announce(&self.changes);
                None
            }
            Err(reason) => {
                if !std::mem::replace(&mut self.failing, true) {
                    self.changes.failing.store(true, Ordering::Relaxed);
                    tracing::error!(reason, "the ledger cannot commit; nothing is acknowledged until it can");
                }
                Some(LedgerError::Unavailable(reason))
            }
        };
        for command in batch.commands {
            command.answer(failed.clone());
        }
        if let Some(conn) = &self.conn {
            self.checkpoint.committed(conn);
        }
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<Tally, String> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => {
                let conn = reopen(&self.path, &self.checkpoint)?;
                self.files = Files::opened(&self.path);
                conn
            }
        };
        let mut outcome = self.attempt(&conn, batch, false);
        if matches!(outcome, Err(BatchError::Command)) {
            outcome = self.attempt(&conn, batch, true);
        }
        match outcome {
            Ok(tally) => {
                self.conn = Some(conn);
                self.files.check().map(|()| tally)
            }
            Err(BatchError::Command) => {
                self.conn = Some(conn);
                Err("a transaction could not be completed".into())
            }
            Err(BatchError::Store(error)) => {
                if can_go_on_after(&error) {
                    self.conn = Some(conn);
                } else {
                    drop(conn);
                }
                Err(error.to_string())
            }
        }
    }

    /// Runs the batch in one transaction. `careful`: each command within a savepoint.
    fn attempt(&mut self, conn: &Connection, batch: &mut Batch, careful: bool) -> Result<Tally, BatchError> {
        let outcome = self.transact(conn, batch, careful);
        if outcome.is_err() && !conn.is_autocommit() {
            // A rollback that fails leaves the transaction open; the next BEGIN then fails and nothing is acknowledged.
            let _ = conn.execute_batch("ROLLBACK");
        }
        outcome
    }

    fn transact(&mut self, conn: &Connection, batch: &mut Batch, careful: bool) -> Result<Tally, BatchError> {
        let store = BatchError::Store;
        let run = |sql: &str| conn.prepare_cached(sql).and_then(|mut s| s.execute(())).map_err(store);
        run("BEGIN IMMEDIATE")?;
        let mut tx = Tx {
            conn,
            began_ms: self.clock.now().as_millisecond(),
            seq_next: next_seq(conn).map_err(store)?.max(self.seq_last + 1),
            tally: Tally::default(),
        };
        for command in &mut batch.commands {
            if careful {
                run_careful(&mut tx, command.as_mut())?;
            } else {
                run_plain(&mut tx, command.as_mut())?;
            }
        }
        refused::keep(&mut tx, &batch.refused, self.rejected_max).map_err(store)?;
        tx.tally.write(conn).map_err(store)?;
        let (tally, seq_next) = (tx.tally, tx.seq_next);
        self.commits += 1;
        self.abort_at(AbortPoint::Before(self.commits), batch);
        run("COMMIT")?;
        self.seq_last = seq_next - 1;
        self.abort_at(AbortPoint::After(self.commits), batch);
        Ok(tally)
    }

    /// Ends the process as `kill -9` would, where a crash test wants it here, and leaves a word about what was committed.
    fn abort_at(&self, point: AbortPoint, batch: &Batch) {
        if self.abort == Some(point) {
            let refusals = (!batch.refused.is_empty()).then_some("refusals");
            let names: Vec<&str> = batch.commands.iter().map(|command| command.name()).chain(refusals).collect();
            // Without the note the test knows less, and goes on.
            let _noted = std::fs::write(aborted_path(&self.path), names.join(" "));
            std::process::abort();
        }
    }
}

fn run_plain(tx: &mut Tx<'_>, command: &mut dyn Command) -> Result<(), BatchError> {
    let before = tx.conn.total_changes();
    match command.run(tx) {
        Ok(()) => Ok(()),
        Err(WriteError::Refused(error)) if tx.conn.total_changes() == before => {
            command.refuse(error);
            Ok(())
        }
        Err(WriteError::Refused(_)) => Err(BatchError::Command),
        Err(WriteError::Sqlite(error)) if concerns_one(&error) => Err(BatchError::Command),
        Err(WriteError::Sqlite(error)) => Err(BatchError::Store(error)),
    }
}

fn run_careful(tx: &mut Tx<'_>, command: &mut dyn Command) -> Result<(), BatchError> {
    let run = |sql: &str| tx.conn.execute_batch(sql).map_err(BatchError::Store);
    run("SAVEPOINT command")?;
    let (tally, seq_next) = (tx.tally.clone(), tx.seq_next);
    let answer = match command.run(tx) {
        Ok(()) => return tx.conn.execute_batch("RELEASE command").map_err(BatchError::Store),
        Err(WriteError::Refused(error)) => error,
        Err(WriteError::Sqlite(error)) if concerns_one(&error) => LedgerError::Invalid(error.to_string()),
        Err(WriteError::Sqlite(error)) => return Err(BatchError::Store(error)),
    };
    tx.conn.execute_batch("ROLLBACK TO command; RELEASE command").map_err(BatchError::Store)?;
    (tx.tally, tx.seq_next) = (tally, seq_next);
    command.refuse(answer);
    Ok(())
}

/// The last `seq` that somebody remembers: where retention has left no event, a digest still knows how far it told.
pub(super) fn last_seq(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT coalesce(max(upto_seq), 0) FROM digests", (), |row| row.get(0))
}

fn next_seq(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM events")?.query_row((), |row| row.get(0))
}

/// Whether an error is about the values of one command and not about the store.
fn concerns_one(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => {
            matches!(code, ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
        }
        None => true,
    }
}

/// Whether the connection is as good as before: a full disk and a lock held elsewhere pass; an I/O error may have left
/// pages that the kernel believes to be written.
fn can_go_on_after(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Opens the file after an I/O error. The log's content must first reach the database and the log start anew: a later fsync
/// of the same log would not cover pages whose write had failed, and what was acknowledged after them would be lost with them.
fn reopen(path: &std::path::Path, checkpoint: &Signal) -> Result<Connection, String> {
    if !path.exists() {
        // Opening would make a new one, and nobody would know what was in the old one.
        return Err(format!("{} is gone", path.display()));
    }
    let mut conn = open::writer(path).map_err(|e| e.to_string())?;
    let turn = checkpoint.turn();
    let truncate = || conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, bool>(0));
    let busy = open::without_waiting(&conn, truncate).map_err(|e| e.to_string())?;
    drop(turn);
    if busy {
        return Err("the log of a failed commit is still being read".into());
    }
    watch_wal(&mut conn, checkpoint.wal_pages()).map_err(|e| e.to_string())?;
    Ok(conn)
}

/// Keeps `pages` at the length of the log.
pub(super) fn watch_wal(conn: &mut Connection, pages: Arc<AtomicI32>) -> rusqlite::Result<()> {
    conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count| {
        pages.store(count, Ordering::Relaxed);
        Ok(())
    }))
}

/// Answers everybody when the writer panics, so that nobody waits for ever.
struct FailOnPanic(Arc<Inbox>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        self.0.fail("its writer has stopped");
    }
}
