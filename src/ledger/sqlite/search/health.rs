//! Whether the index can be believed: what its readers find, and what its writer mends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rusqlite::ErrorCode;

/// Shared by the writer of the index and all its readers.
#[derive(Debug, Default)]
pub(in super::super) struct Health {
    damaged: AtomicBool,
    opened: AtomicU64,
}

impl Health {
    /// Reading or writing the index failed. Where that is because it is damaged, its writer makes it anew.
    pub(in super::super) fn failed(&self, error: &rusqlite::Error) {
        if is_damage(error) && !self.damaged.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the search index is damaged; the ledger is not concerned");
        }
    }

    /// Whether damage was met and not mended.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// The damaged index is gone.
    pub(super) fn removed(&self) {
        self.damaged.store(false, Ordering::Relaxed);
    }

    /// The writer has opened the index, which may be another file than before: readers shall open it again.
    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Release);
    }

    /// Which index it is: how often the writer has opened one.
    pub(in super::super) fn index(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }
}

/// Whether SQLite says that a file is not what it wrote.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
