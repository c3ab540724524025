//! Whether the ledger's files are still those that were opened. Who deletes or replaces them under a running agent leaves it
//! committing into files that nobody will find again: then nothing may be acknowledged.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::open::beside;

/// One file, whatever its name is now: its device and its number there.
type FileId = (u64, u64);

/// The database and its log as they were opened.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    wal_path: PathBuf,
    database: Option<FileId>,
    /// Known from the first commit on.
    wal: Option<FileId>,
}

impl Files {
    /// The files of the database at `path`, which was just opened.
    pub(super) fn opened(path: &Path) -> Self {
        Self { path: path.to_owned(), wal_path: beside(path, "-wal"), database: id(path), wal: None }
    }

    /// To be asked after a commit and before its acknowledgement.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let wal = id(&self.wal_path);
        self.wal = self.wal.or(wal);
        for (path, was, is) in [(&self.path, self.database, id(&self.path)), (&self.wal_path, self.wal, wal)] {
            if was.is_none() || was != is {
                return Err(format!(
                    "{} was deleted or replaced under the running agent: put it back, or start the agent again to begin with what is there",
                    path.display()
                ));
            }
        }
        Ok(())
    }
}

fn id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}
