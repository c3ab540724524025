//! Opening connections to the file: flags, pragmas, permissions, the lock that keeps a second agent out.
//!
//! Every connection of the engine is made here, so that durability (`synchronous=FULL`) and the bounds on memory are
//! decided in one place.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::migrate;

/// Page cache of the writer, in KiB.
const WRITER_CACHE_KIB: i64 = 8 * 1024;
/// Page cache of one reader, in KiB.
const READER_CACHE_KIB: i64 = 1024;
/// How long a connection waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a checkpoint waits for readers before it does only what it can. Short: a writer waits behind it.
const CHECKPOINT_BUSY_TIMEOUT: Duration = Duration::from_millis(20);
/// Prepared statements kept per connection.
const STATEMENTS_KEPT: usize = 160;
/// Size of a page, in bytes. Small, because a delivery key dirties a random page and each goes through the log whole.
const PAGE_BYTES: i64 = 4096;
/// Permissions of the ledger: nobody but its owner.
const FILE_MODE: u32 = 0o600;

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A read-only open of a file that is not there.
    #[error("no ledger at {}: has the agent run here?", .0.display())]
    Missing(PathBuf),
    /// Another agent has it open.
    #[error("the ledger at {} is in use: another agent runs on it", .0.display())]
    InUse(PathBuf),
    /// The file's schema is of a later program.
    #[error("the ledger at {} has schema {found}, this program knows up to {known}: use the newer program, or restore a backup", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest known one.
        known: i64,
    },
    /// The file's schema is older and this opening may not change it.
    #[error("the ledger at {} has schema {found}, this program reads {known}: start the agent once, it will migrate it", .path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that can be read.
        known: i64,
    },
    /// The file is something else.
    #[error("{} is not a ledger: it is no SQLite database or belongs to another program", .0.display())]
    NotALedger(PathBuf),
    /// The file is damaged.
    #[error("the ledger at {} is damaged ({reason}): restore a backup, or move it away to start anew", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The file or its folder cannot be used.
    #[error("cannot open the ledger at {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("cannot open the ledger at {}: {source}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// Sorts what SQLite said about `path`.
    pub(super) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotALedger(path),
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, reason: source.to_string() },
            _ => Self::Sqlite { path, source },
        }
    }
}

/// Takes the lock beside the ledger that one agent holds while it runs. It ends with the process or the returned file.
///
/// A file of its own, because closing a second descriptor of the database would drop SQLite's own locks.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let fault = |source| OpenError::Io { path: path.to_owned(), source };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(beside(path, ".lock"))
        .map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(fault(source)),
    }
}

/// Makes the file where it is missing, readable by its owner only, brings its schema up to date and returns the writer's
/// connection.
pub(super) fn writer(path: &Path) -> Result<Connection, OpenError> {
    private_file(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_CACHE_KIB)?;
    migrate::to_newest(&mut conn, path)?;
    Ok(conn)
}

/// A second writing connection that only checkpoints.
pub(super) fn checkpointer(path: &Path) -> Result<Connection, OpenError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, READER_CACHE_KIB)?;
    conn.busy_timeout(CHECKPOINT_BUSY_TIMEOUT).map_err(|e| OpenError::from_sqlite(path, e))?;
    Ok(conn)
}

/// A read-only connection. The file must be there.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing(path.to_owned()));
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB)?;
    conn.pragma_update(None, "query_only", true).map_err(|e| OpenError::from_sqlite(path, e))?;
    Ok(conn)
}

/// Runs `work` while the connection waits for locks only as long as a checkpoint may.
pub(super) fn without_waiting<T>(conn: &Connection, work: impl FnOnce() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    conn.busy_timeout(CHECKPOINT_BUSY_TIMEOUT)?;
    let outcome = work();
    conn.busy_timeout(BUSY_TIMEOUT)?;
    outcome
}

/// Path of a file that belongs to the ledger: `suffix` after its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn connect(path: &Path, access: OpenFlags, cache_kib: i64) -> Result<Connection, OpenError> {
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        stable_plans(&conn)?;
        if access.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
            conn.pragma_update(None, "page_size", PAGE_BYTES)?;
            conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
            conn.pragma_update(None, "synchronous", "FULL")?;
            conn.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        }
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.pragma_update(None, "cache_size", -cache_kib)?;
        conn.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(())).or_else(none_is_fine)?;
        // Sorts and materialised views of any size must not show up as memory.
        conn.pragma_update(None, "temp_store", "FILE")?;
        // Text that a sender chose must not reach functions with side effects through a view of a foreign file.
        conn.pragma_update(None, "trusted_schema", false)?;
        Ok(conn)
    };
    open().map_err(|e| OpenError::from_sqlite(path, e))
}

/// Has statements planned once, whatever is bound to them. SQLite else looks whether a value would let it use a partial index,
/// and for that compiles the statement anew each time that another is bound, which took a sixth of an event's life.
/// Statements here repeat the condition of the partial index that they mean.
pub(super) fn stable_plans(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// `PRAGMA mmap_size` answers nothing where memory mapping is compiled out.
fn none_is_fine(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

/// SQLite gives its `-wal` and `-shm` files the mode of the database.
pub(super) fn private_file(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(path)?;
    let mut permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o777 != FILE_MODE {
        permissions.set_mode(FILE_MODE);
        file.set_permissions(permissions)?;
    }
    Ok(())
}
