//! A log file of bounded size: `app.log`, and the few before it as `app.log.1`, `app.log.2`, …

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::redact::LineSink;

/// Size at which the log moves on to a new file.
pub const LOG_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Older files that are kept.
pub const LOG_FILES_KEPT: u32 = 4;

/// The open log.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    bytes_max: u64,
    open: Mutex<(File, u64)>,
}

impl RotatingFile {
    /// Opens `path` for appending, makes its folder, and moves on once a file holds `bytes_max`. What it makes is its owner's
    /// alone: a log may hold headers and payloads, and on the first start its folder brings the data folder with it.
    pub fn open(path: PathBuf, bytes_max: u64) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let file = append(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, bytes_max, open: Mutex::new((file, bytes)) })
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn rotate(&self) -> io::Result<File> {
        // Somebody may have taken the file away: then the older ones stay what they are.
        if self.path.exists() {
            for number in (1..LOG_FILES_KEPT).rev() {
                let from = self.numbered(number);
                if from.exists() {
                    fs::rename(from, self.numbered(number + 1))?;
                }
            }
            fs::rename(&self.path, self.numbered(1))?;
        }
        append(&self.path)
    }
}

fn append(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

impl LineSink for RotatingFile {
    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.1 >= self.bytes_max {
            // Without a new file the old one is written on, and the next try is half a file later.
            *open = match self.rotate() {
                Ok(file) => (file, 0),
                Err(_) => (open.0.try_clone()?, self.bytes_max / 2),
            };
        }
        open.0.write_all(line)?;
        open.1 += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_can_read_what_it_makes() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = RotatingFile::open(dir.path().join("data/logs/app.log"), 1).expect("opens");
        log.write_line(b"1").and_then(|()| log.write_line(b"2")).expect("writes");
        let mode = |name: &str| fs::metadata(dir.path().join(name)).expect("is there").permissions().mode() & 0o777;
        assert_eq!((mode("data"), mode("data/logs")), (0o700, 0o700));
        assert_eq!((mode("data/logs/app.log"), mode("data/logs/app.log.1")), (0o600, 0o600));
    }

    #[test]
    fn a_full_log_moves_on_and_only_a_few_old_ones_stay() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = RotatingFile::open(dir.path().join("logs/app.log"), 8).expect("opens");
        let line = b"12345678";
        for _ in 0..LOG_FILES_KEPT + 3 {
            log.write_line(line).expect("writes");
        }
        let files = fs::read_dir(dir.path().join("logs")).expect("is there").count();
        assert_eq!(files, LOG_FILES_KEPT as usize + 1);
    }

    #[test]
    fn a_log_that_was_taken_away_begins_anew_and_costs_no_older_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("app.log");
        let log = RotatingFile::open(path.clone(), 2).expect("opens");
        for line in [b"1\n", b"2\n"] {
            log.write_line(line).expect("writes");
        }
        fs::remove_file(&path).expect("removed");
        log.write_line(b"3\n").expect("writes");
        let read = |path: &std::path::Path| fs::read_to_string(path).expect("is there");
        assert_eq!((read(&path), read(&dir.path().join("app.log.1"))), ("3\n".into(), "1\n".into()));
    }

    #[test]
    fn a_log_that_cannot_move_on_is_written_on() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("app.log");
        let log = RotatingFile::open(path.clone(), 2).expect("opens");
        // Folders in the way of the older files.
        for number in 1..=LOG_FILES_KEPT {
            fs::create_dir_all(dir.path().join(format!("app.log.{number}/x"))).expect("made");
        }
        for line in [b"1\n", b"2\n", b"3\n"] {
            log.write_line(line).expect("writes");
        }
        assert_eq!(fs::read_to_string(path).expect("is there"), "1\n2\n3\n");
    }
}
