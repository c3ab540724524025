//! The audit log, `data/logs/audit.jsonl`: every tool execution, decision and refusal, on disk before the caller goes on.
//!
//! Each line carries the hash of the one before and its own, so that a line that was changed, taken out or put in breaks the
//! chain (`agent audit verify`). The chain cannot show that whole lines are missing at its end, or that somebody wrote the whole
//! file anew: note the last hash elsewhere for that. What is written says what was done, never a secret or a body.
//!
//! One thread writes; lines that wait together share one `fsync`, as the ledger's commits do.

mod end;
mod line;
mod newest;
mod verify;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

pub use newest::audit_tail;
pub use verify::{AuditBreak, AuditReport, verify};

use self::end::{cut_torn_line, tail, torn_path};
use self::line::line;
use super::Redactor;

/// Longest line. What would be longer keeps the size and the hash of its details instead of the details.
pub const AUDIT_LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines that wait for the writer; more callers wait their turn.
const INBOX_LINES_MAX: usize = 1024;
/// Lines that share one `fsync`.
const GROUP_LINES_MAX: usize = 256;
/// The hash before the first line.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One thing that was done or refused.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// What kind of thing, in a few words with dots: `step.started`, `step.ended`, `decision`, `decision.refused`,
    /// `run.cancelled`, `step.settled`, `workflow.registered`, …
    pub what: &'static str,
    /// Who did it (`agent`, `local admin`, `telegram:7001`).
    pub by: String,
    /// The rest: ids, digests, outcomes. No secrets, no bodies.
    pub details: Map<String, Value>,
}

impl AuditEntry {
    /// An entry with `details`, which must be a JSON object; anything else becomes its `value`.
    pub fn new(at: Timestamp, what: &'static str, by: impl Into<String>, details: Value) -> Self {
        let details = match details {
            Value::Object(details) => details,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self { at, what, by: by.into(), details }
    }
}

/// Why something could not be written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written: {0}")]
pub struct AuditError(pub String);

/// Where things are written down.
#[async_trait]
pub trait Audit: std::fmt::Debug + Send + Sync + 'static {
    /// Writes `entry` and returns once it is on disk.
    async fn record(&self, entry: AuditEntry) -> Result<(), AuditError>;
}

/// Keeps nothing; for tests and measurements.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAudit;

#[async_trait]
impl Audit for NoAudit {
    async fn record(&self, _: AuditEntry) -> Result<(), AuditError> {
        Ok(())
    }
}

/// The path of the audit log within `data/logs`.
pub fn audit_path(logs: &Path) -> PathBuf {
    logs.join("audit.jsonl")
}

type Waiting = (AuditEntry, oneshot::Sender<Result<(), AuditError>>);

/// The audit log in a file.
#[derive(Debug)]
pub struct AuditLog {
    inbox: mpsc::Sender<Waiting>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl AuditLog {
    /// Opens `path` (0600) and goes on with its chain. A line that a crash left unfinished was never acknowledged; it is cut
    /// off, and a line says so. `redactor` cuts configured secrets out of every line.
    ///
    /// # Errors
    /// When the file cannot be opened, read or cut.
    pub fn open(path: &Path, redactor: Redactor) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
        let torn_bytes = cut_torn_line(&mut file, &torn_path(path))?;
        if torn_bytes > 0 {
            tracing::warn!(bytes = torn_bytes, "the audit log ended in an unfinished line, which was cut off");
        }
        let (seq, last) = tail(&mut file)?;
        let bytes = file.metadata()?.len();
        let chain = Chain { file, bytes, seq, last, redactor, torn_bytes };
        let (inbox, receiver) = mpsc::channel(INBOX_LINES_MAX);
        let writer = std::thread::Builder::new().name("audit".into()).spawn(move || chain.write_all(receiver))?;
        Ok(Self { inbox, writer: Mutex::new(Some(writer)) })
    }

    /// Waits for the writer to end; it does when nobody can send to it any more.
    fn join(&mut self) {
        let closed = mpsc::channel(1).0;
        drop(std::mem::replace(&mut self.inbox, closed));
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // It panics on nothing; and if it did, there is nothing left to do for it.
            let _ended = writer.join();
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.join();
    }
}

#[async_trait]
impl Audit for AuditLog {
    async fn record(&self, entry: AuditEntry) -> Result<(), AuditError> {
        let (answer, answered) = oneshot::channel();
        let ended = || AuditError("its writer has ended".into());
        self.inbox.send((entry, answer)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// The file and the end of its chain.
struct Chain {
    file: File,
    /// Length up to the last line that is on disk.
    bytes: u64,
    seq: u64,
    last: String,
    redactor: Redactor,
    /// Told in the next line.
    torn_bytes: u64,
}

impl Chain {
    fn write_all(mut self, mut inbox: mpsc::Receiver<Waiting>) {
        let mut group = Vec::new();
        while inbox.blocking_recv_many(&mut group, GROUP_LINES_MAX) > 0 {
            let (entries, answers): (Vec<AuditEntry>, Vec<_>) = group.drain(..).unzip();
            let written = self.write(&entries);
            if let Err(error) = &written {
                tracing::error!(error = %error, "the audit log takes no lines");
            }
            for answer in answers {
                // Whoever gave up waiting does not need the answer.
                let _gone = answer.send(written.clone());
            }
        }
    }

    fn write(&mut self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        let (mut text, mut seq, mut last) = (String::new(), self.seq, self.last.clone());
        for (index, entry) in entries.iter().enumerate() {
            seq += 1;
            let torn_bytes = if index == 0 { self.torn_bytes } else { 0 };
            let (line, hash) = line(seq, entry, &last, torn_bytes, &self.redactor);
            text.push_str(&line);
            text.push('\n');
            last = hash;
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What part of it is there would make the next line unreadable.
            return Err(AuditError(match self.file.set_len(self.bytes) {
                Ok(()) => error.to_string(),
                Err(second) => format!("{error}; and what was written cannot be taken back: {second}"),
            }));
        }
        self.bytes += text.len() as u64;
        (self.seq, self.last, self.torn_bytes) = (seq, last, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn entry(number: u64) -> AuditEntry {
        AuditEntry::new(Timestamp::UNIX_EPOCH, "step.started", "agent", json!({ "run": "run_1", "number": number }))
    }

    async fn written(path: &Path, count: u64) {
        let log = AuditLog::open(path, Redactor::default()).expect("opens");
        for number in 0..count {
            log.record(entry(number)).await.expect("written");
        }
    }

    fn edit(path: &Path, change: impl FnOnce(&mut Vec<String>)) {
        let mut lines: Vec<String> = std::fs::read_to_string(path).expect("text").lines().map(str::to_owned).collect();
        change(&mut lines);
        std::fs::write(path, lines.join("\n") + "\n").expect("written");
    }

    #[tokio::test]
    async fn a_chain_goes_on_over_restarts_and_holds() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = audit_path(dir.path());
        written(&path, 3).await;
        written(&path, 2).await;
        let report = verify(&path).expect("readable");
        assert_eq!((report.lines, &report.broken, report.unfinished), (5, &None, false));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_changed_removed_moved_or_added_line_is_found() {
        type Change = fn(&mut Vec<String>);
        let changes: [(Change, u64); 5] = [
            (|lines| lines[2] = lines[2].replace("\"number\":2", "\"number\":7"), 3),
            (|lines| drop(lines.remove(1)), 2),
            (|lines| lines.swap(0, 1), 1),
            (|lines| lines.insert(1, lines[0].clone()), 2),
            (|lines| lines[4] = "nonsense".to_owned(), 5),
        ];
        for (change, line) in changes {
            let dir = tempfile::tempdir().expect("a folder");
            let path = audit_path(dir.path());
            written(&path, 5).await;
            edit(&path, change);
            let broken = verify(&path).expect("readable").broken.expect("broken");
            assert_eq!(broken.line, line, "{broken:?}");
        }
    }

    #[tokio::test]
    async fn a_line_that_a_crash_cut_short_is_told_and_the_chain_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = audit_path(dir.path());
        written(&path, 2).await;
        let mut text = std::fs::read(&path).expect("there");
        text.extend_from_slice(b"{\"seq\":3,\"at\":");
        std::fs::write(&path, text).expect("written");
        assert!(verify(&path).expect("readable").unfinished);
        written(&path, 1).await;
        let report = verify(&path).expect("readable");
        assert_eq!((report.lines, &report.broken, report.unfinished), (3, &None, false));
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(text.lines().last().expect("a line").contains("\"after_torn_line_of_bytes\":14"), "{text}");
    }

    #[tokio::test]
    async fn a_long_rest_without_a_line_end_costs_no_line_and_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = audit_path(dir.path());
        written(&path, 3).await;
        let mut text = std::fs::read(&path).expect("there");
        text.extend(vec![0; 300_000]);
        std::fs::write(&path, text).expect("written");
        written(&path, 1).await;
        let report = verify(&path).expect("readable");
        assert_eq!((report.lines, &report.broken, report.unfinished), (4, &None, false));
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(text.ends_with('\n') && text.contains("\"after_torn_line_of_bytes\":300000"), "{text}");
        assert_eq!(std::fs::read(torn_path(&path)).expect("kept"), vec![0; 300_000]);
    }

    #[tokio::test]
    async fn many_writers_share_one_chain_and_nothing_is_secret_or_endless() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = audit_path(dir.path());
        let log = Arc::new(AuditLog::open(&path, Redactor::new(["hunter2-secret".to_owned()])).expect("opens"));
        let writers = (0..50).map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.record(entry(number)).await })
        });
        for writer in futures::future::join_all(writers).await {
            writer.expect("no panic").expect("written");
        }
        let details = json!({ "text": "hunter2-secret", "long": "x".repeat(10) });
        log.record(AuditEntry::new(Timestamp::UNIX_EPOCH, "decision", "agent", details)).await.expect("written");
        let long = json!({ "long": "x".repeat(AUDIT_LINE_BYTES_MAX), "approval": "apr_1" });
        log.record(AuditEntry::new(Timestamp::UNIX_EPOCH, "decision", "agent", long)).await.expect("written");
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(!text.contains("hunter2") && text.contains("***"));
        assert!(text.lines().all(|line| line.len() <= AUDIT_LINE_BYTES_MAX));
        let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        assert_eq!(
            (&last["details"]["approval"], &last["details"]["long"]["bytes"]),
            (&json!("apr_1"), &json!(65_538))
        );
        assert_eq!(verify(&path).expect("readable").lines, 52);
    }
}
