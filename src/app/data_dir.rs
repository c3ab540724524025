//! The data folder: one agent at a time, its token, and a note of where it listens for the command line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::config::Secret;
use crate::ports::Ids;

/// How often the lock is tried for. A command that looks whether an agent runs holds it for an instant.
const LOCK_TRIES: u32 = 5;
/// The pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another agent works on it.
    #[error("another agent is running on {0}: stop it first, or give this one a data_dir of its own")]
    InUse(PathBuf),
    /// The system refused.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The token file is empty.
    #[error("{0} is empty: delete it and start the agent, which makes a new one")]
    EmptyToken(PathBuf),
}

/// Where a running agent listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Its process id.
    pub pid: u32,
    /// Base URL of the webhook server.
    pub webhooks: Option<String>,
    /// Base URL of the local API.
    pub api: Option<String>,
}

/// The folder, held by this process until dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

fn fault(path: &Path) -> impl FnOnce(io::Error) -> DataDirError + '_ {
    move |source| DataDirError::Io { path: path.to_owned(), source }
}

impl DataDir {
    /// Makes the folder where it is missing (0700) and takes its lock.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        for dir in [path.to_owned(), path.join("logs"), path.join("providers"), path.join("workflows")] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(fault(&dir))?;
        }
        let lock_path = lock_path(path);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(fault(&lock_path))?;
        let mut tries = 1;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if tries < LOCK_TRIES => tries += 1,
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(DataDirError::InUse(path.to_owned())),
                Err(errno) => return Err(DataDirError::Io { path: lock_path, source: errno.into() }),
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        // Until this agent notes where it listens, the note of the one before would send commands to the wrong place.
        let stale = presence_path(path);
        match fs::remove_file(&stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault(&stale)(error)),
            _ => Ok(Self { path: path.to_owned(), _lock: lock }),
        }
    }

    /// The token of the local API, made on the first start (0600).
    pub fn token(&self, ids: &dyn Ids) -> Result<Secret, DataDirError> {
        let path = token_path(&self.path);
        let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
        match made {
            Ok(mut file) => {
                file.write_all(ids.token().as_bytes()).and_then(|()| file.sync_all()).map_err(fault(&path))?
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fault(&path)(error)),
        }
        read_token(&self.path)
    }

    /// Notes where this agent listens.
    pub fn announce(&self, presence: &Presence) -> Result<(), DataDirError> {
        let path = presence_path(&self.path);
        let text = serde_json::to_vec_pretty(presence).map_err(|error| fault(&path)(error.into()))?;
        let draft = path.with_extension("json.new");
        fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path)).map_err(fault(&path))
    }
}

/// The agent that runs on `data_dir` now, if one does.
pub fn running(data_dir: &Path) -> Option<Presence> {
    let lock = File::open(lock_path(data_dir)).ok()?;
    // Whoever can share the lock knows that nobody holds it alone; what an earlier agent noted is then stale.
    if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    serde_json::from_slice(&fs::read(presence_path(data_dir)).ok()?).ok()
}

/// Reads the token of the local API.
pub fn read_token(data_dir: &Path) -> Result<Secret, DataDirError> {
    let path = token_path(data_dir);
    let text = fs::read_to_string(&path).map_err(fault(&path))?;
    Secret::new(text.trim()).ok_or(DataDirError::EmptyToken(path))
}

/// Where the token of the local API is.
pub fn token_path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin_token")
}

fn lock_path(data_dir: &Path) -> PathBuf {
    data_dir.join("agent.lock")
}

fn presence_path(data_dir: &Path) -> PathBuf {
    data_dir.join("agent.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::RandomIds;

    #[test]
    fn one_agent_at_a_time_and_the_note_of_a_dead_one_counts_for_nothing() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let presence = Presence { pid: 1, webhooks: Some("http://127.0.0.1:1".into()), api: None };
        let held = DataDir::open(dir.path()).expect("free");
        held.announce(&presence).expect("writes");
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::InUse(_))));
        assert_eq!(running(dir.path()), Some(presence));
        drop(held);
        assert_eq!(running(dir.path()), None);
        let _next = DataDir::open(dir.path()).expect("free again");
        assert_eq!(running(dir.path()), None, "it has not said yet where it listens");
    }

    #[test]
    fn the_token_is_made_once_and_only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let held = DataDir::open(dir.path()).expect("free");
        let first = held.token(&RandomIds::default()).expect("made");
        let second = held.token(&RandomIds::default()).expect("read");
        assert_eq!(first.expose(), second.expose());
        assert!(first.expose().len() >= 32, "too short to be safe");
        let mode = fs::metadata(token_path(dir.path())).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
