//! The search index: a file beside the ledger that says which events hold which words, came to which handler, and how many came
//! in which minute.
//!
//! Made of the ledger by [`Index`], a slice at a time, behind everybody's back: nothing of it is written while a sender
//! waits, and nothing in it is the truth. Who reads it looks at the ledger too: [`find`] returns candidates, and events that
//! are not indexed yet are looked at one by one. Without the file everything still works, slower.

mod find;
mod health;
mod index;
mod text;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

pub(super) use find::{Candidates, Stretch, by_posting, by_words};
pub(super) use health::Health;
use health::is_damage;
pub(super) use index::Index;
pub(super) use text::terms;

use super::open::private_file;

/// The version of the schema; a file with another is made anew.
const VERSION: i64 = 1;
const SCHEMA: &str = include_str!("../../../../migrations/0006_search.sql");
/// Page cache of the index's writer, in KiB.
const CACHE_KIB: i64 = 8 * 1024;

/// Where the index of the ledger at `ledger` is.
pub(super) fn path(ledger: &Path) -> PathBuf {
    ledger.with_extension("search.db")
}

/// Why there is no index to write to.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// The file cannot be made.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// SQLite refused it.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Another version made it, or another program.
    #[error("it is of another version")]
    Foreign,
    /// A reader met damage.
    #[error("it is damaged")]
    Damaged,
}

impl Unusable {
    /// Whether the file will never be an index.
    fn is_for_good(&self) -> bool {
        match self {
            Self::Io(_) => false,
            Self::Sqlite(error) => is_damage(error),
            Self::Foreign | Self::Damaged => true,
        }
    }
}

/// Opens the index at `path` for writing; makes it where it is missing.
fn open(path: &Path) -> Result<Connection, Unusable> {
    private_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    super::open::stable_plans(&conn)?;
    conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    // The disk is waited for at checkpoints only: a power cut takes the newest slices and leaves the rest whole.
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if version == VERSION {
        return Ok(conn);
    }
    if tables > 0 {
        return Err(Unusable::Foreign);
    }
    let tx = conn.transaction()?;
    tx.execute_batch(SCHEMA)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    Ok(conn)
}

/// Removes the index at `path`. Readers that have it open go on with what they have.
fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        // What is not there need not be removed; what cannot be removed shows when it is opened.
        let _ = std::fs::remove_file(super::open::beside(path, suffix));
    }
}

/// Lets a reader of the ledger see the index too, as `search`, if there is one that it understands.
pub(super) fn attach(conn: &Connection, ledger: &Path) {
    let path = path(ledger);
    if !path.exists() {
        return;
    }
    let attached = conn.execute("ATTACH DATABASE ?1 AS search", [path.to_string_lossy()]).is_ok();
    let version = || conn.query_row("PRAGMA search.user_version", (), |row| row.get::<_, i64>(0));
    if attached && version().ok() != Some(VERSION) {
        // It stays attached where even that fails; `indexed_to` then says that nothing is indexed.
        let _ = conn.execute_batch("DETACH DATABASE search");
    }
}

/// The `seq` up to which events are indexed; `None` without an index.
pub(super) fn indexed_to(conn: &Connection) -> Option<i64> {
    let attached = conn
        .prepare_cached("SELECT 1 FROM pragma_database_list WHERE name = 'search'")
        .and_then(|mut statement| statement.query_row((), |_| Ok(())).optional());
    attached.ok().flatten()?;
    let sql = "SELECT value FROM search.marks WHERE name = 'seq'";
    conn.prepare_cached(sql).and_then(|mut statement| statement.query_row((), |row| row.get(0)).optional()).ok()?
}
