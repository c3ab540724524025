//! The schema's versions: SQL files that are embedded, applied in order, each in a transaction of its own.
//!
//! The version is `PRAGMA user_version`; `application_id` says that the file is ours. A file is never taken back.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::open::OpenError;

/// Every migration; the n-th makes version n. `0006` is the schema of the search index, a file of its own.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/0001_init.sql"),
    include_str!("../../../migrations/0002_runs.sql"),
    include_str!("../../../migrations/0003_models.sql"),
    include_str!("../../../migrations/0004_chat.sql"),
    include_str!("../../../migrations/0005_schedules.sql"),
    include_str!("../../../migrations/0007_notices_lost.sql"),
    include_str!("../../../migrations/0008_one_index.sql"),
];

/// `hkhd`: marks a file as a ledger of ours.
const APPLICATION_ID: i64 = 0x686b_6864;

/// Applies what is missing.
pub(super) fn to_newest(conn: &mut Connection, path: &Path) -> Result<(), OpenError> {
    apply(conn, path, MIGRATIONS)
}

/// Checks that a read-only connection sees the newest version.
pub(super) fn expect_newest(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let found = version(conn, path)?;
    let known = newest(MIGRATIONS);
    match found.cmp(&known) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(OpenError::Older { path: path.to_owned(), found, known }),
        std::cmp::Ordering::Greater => Err(OpenError::Newer { path: path.to_owned(), found, known }),
    }
}

pub(super) fn apply(conn: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), OpenError> {
    let fault = |e| OpenError::from_sqlite(path, e);
    let found = version(conn, path)?;
    let known = newest(migrations);
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    let done = usize::try_from(found).map_err(|_| OpenError::NotALedger(path.to_owned()))?;
    for (index, sql) in migrations.iter().enumerate().skip(done) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
        tx.execute_batch(sql).map_err(fault)?;
        let reached = i64::try_from(index + 1).expect("there are few migrations");
        tx.pragma_update(None, "user_version", reached).map_err(fault)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(fault)?;
        tx.commit().map_err(fault)?;
    }
    Ok(())
}

/// The file's version; 0 for an empty one.
fn version(conn: &Connection, path: &Path) -> Result<i64, OpenError> {
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let read = || -> rusqlite::Result<(i64, i64, i64)> {
        let tables = conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, tables))
    };
    match read().map_err(|e| OpenError::from_sqlite(path, e))? {
        (APPLICATION_ID, version, _) => Ok(version),
        (0, 0, 0) => Ok(0),
        _ => Err(OpenError::NotALedger(path.to_owned())),
    }
}

fn newest(migrations: &[&str]) -> i64 {
    i64::try_from(migrations.len()).expect("there are few migrations")
}
