//! The audit log, `data/logs/audit.jsonl`: every tool execution, decision and refusal, on disk before the caller goes on.
//!
//! Each line carries the hash of the one before and its own, so that a line that was changed, taken out or put in breaks the
//! chain (`agent audit verify`). The chain cannot show that whole lines are missing at its end, or that somebody wrote the whole
//! file anew: note the last hash elsewhere for that. What is written says what was done, never a secret or a body.
//!
//! One thread writes; lines that wait together share one `fsync`, as the ledger's commits do.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::Redactor;

/// Longest line. What would be longer keeps the size and the hash of its details instead of the details.
pub const AUDIT_LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes that are looked through at a time for the last line end.
const LOOK_BACK_BYTES: u64 = 128 * 1024;
/// Longest text in the details of a line that is already too long, in bytes; a longer one is left out, and says so.
const TEXT_BYTES_MAX: usize = 1024;
/// Lines that wait for the writer; more callers wait their turn.
const INBOX_LINES_MAX: usize = 1024;
/// Lines that share one `fsync`.
const GROUP_LINES_MAX: usize = 256;
/// The hash before the first line.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What stands before a line's own hash; it is the last key, so that everything before it is what was hashed.
const HASH_KEY: &str = ",\"hash\":\"";

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

/// A line without its end, and its hash.
fn line(seq: u64, entry: &AuditEntry, prev: &str, torn_bytes: u64, redactor: &Redactor) -> (String, String) {
    let mut details = entry.details.clone();
    let size = |details: &Map<String, Value>| serde_json::to_vec(details).map_or(0, |text| text.len());
    if size(&details) > AUDIT_LINE_BYTES_MAX / 2 {
        // What is long goes first: what was decided about what must stay.
        for value in details.values_mut().filter(|value| value.to_string().len() > TEXT_BYTES_MAX) {
            *value = omitted(value.to_string().as_bytes());
        }
    }
    if size(&details) > AUDIT_LINE_BYTES_MAX / 2 {
        let text = serde_json::to_vec(&details).unwrap_or_default();
        details = Map::from_iter([("omitted".to_owned(), omitted(&text))]);
    }
    if torn_bytes > 0 {
        details.insert("after_torn_line_of_bytes".to_owned(), torn_bytes.into());
    }
    let body = json!({
        "seq": seq, "at": entry.at, "what": entry.what, "by": entry.by, "details": details, "prev": prev,
    });
    let text = redactor.clean(&body.to_string()).into_owned();
    let open = text.strip_suffix('}').unwrap_or(&text);
    let hash = hex::encode(Sha256::digest(open.as_bytes()));
    (format!("{open}{HASH_KEY}{hash}\"}}"), hash)
}

fn omitted(text: &[u8]) -> Value {
    json!({ "bytes": text.len(), "sha256": hex::encode(Sha256::digest(text)) })
}

/// Cuts what follows the last line end; returns how many bytes that were. More than a line is kept at `aside`: a crash of the
/// machine may leave any bytes behind, and nobody has looked at them.
fn cut_torn_line(file: &mut File, aside: &Path) -> io::Result<u64> {
    let bytes = file.metadata()?.len();
    let keep = last_line_end(file, bytes)?.map_or(0, |at| at + 1);
    if keep < bytes {
        if bytes - keep > AUDIT_LINE_BYTES_MAX as u64 {
            let mut copy = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(aside)?;
            file.seek(SeekFrom::Start(keep))?;
            io::copy(file, &mut copy)?;
            copy.sync_data()?;
            tracing::warn!(file = %aside.display(), "what stood behind the last line of the audit log is kept");
        }
        file.set_len(keep)?;
        file.sync_data()?;
    }
    Ok(bytes - keep)
}

/// Where a long rest of a torn log is kept.
fn torn_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".torn");
    name.into()
}

/// Where the last line end before `end` is, looked for from the end to the beginning.
fn last_line_end(file: &mut File, end: u64) -> io::Result<Option<u64>> {
    let mut end = end;
    while end > 0 {
        let window = end.min(LOOK_BACK_BYTES);
        let begin = end - window;
        file.seek(SeekFrom::Start(begin))?;
        let mut text = Vec::new();
        Read::by_ref(file).take(window).read_to_end(&mut text)?;
        if let Some(at) = text.iter().rposition(|byte| *byte == b'\n') {
            return Ok(Some(begin + at as u64));
        }
        end = begin;
    }
    Ok(None)
}

/// The number and the hash of the last line. One that cannot be read has the hash of its bytes: `verify` names it.
fn tail(file: &mut File) -> io::Result<(u64, String)> {
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Ok((0, GENESIS.to_owned()));
    }
    let begin = last_line_end(file, bytes - 1)?.map_or(0, |at| at + 1);
    file.seek(SeekFrom::Start(begin))?;
    let mut text = Vec::new();
    Read::by_ref(file).take(2 * AUDIT_LINE_BYTES_MAX as u64).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let line = text.trim_end_matches('\n');
    let seq = serde_json::from_str::<Value>(line).ok().and_then(|line| line["seq"].as_u64()).unwrap_or(0);
    let hash =
        split_hash(line).map_or_else(|| hex::encode(Sha256::digest(line.as_bytes())), |(_, hash)| hash.to_owned());
    Ok((seq, hash))
}

/// What was hashed, and the hash.
fn split_hash(line: &str) -> Option<(&str, &str)> {
    let (open, rest) = line.rsplit_once(HASH_KEY)?;
    Some((open, rest.strip_suffix("\"}")?))
}

/// What a look at the whole chain says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Lines that are whole and follow from each other.
    pub lines: u64,
    /// The hash of the last of them; note it elsewhere to show later that nothing is missing.
    pub last_hash: String,
    /// When the last of them was written.
    pub last_at: Option<String>,
    /// The first line that does not follow, from 1, and why.
    pub broken: Option<AuditBreak>,
    /// The file ends in an unfinished line: a write goes on right now, or a crash cut it short.
    pub unfinished: bool,
}

/// Where and why a chain breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditBreak {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads the chain at `path` from its first line and says how far it holds.
///
/// # Errors
/// When the file cannot be read.
pub fn verify(path: &Path) -> io::Result<AuditReport> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut report =
        AuditReport { lines: 0, last_hash: GENESIS.to_owned(), last_at: None, broken: None, unfinished: false };
    loop {
        let mut bytes = Vec::new();
        // A line of any length must not fill the memory.
        let read = Read::by_ref(&mut reader).take(2 * AUDIT_LINE_BYTES_MAX as u64).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(report);
        }
        let whole = bytes.pop_if(|byte| *byte == b'\n').is_some();
        if !whole && read < 2 * AUDIT_LINE_BYTES_MAX {
            report.unfinished = true;
            return Ok(report);
        }
        match follows(&bytes, report.lines + 1, &report.last_hash) {
            Ok((hash, at)) => {
                report.lines += 1;
                (report.last_hash, report.last_at) = (hash, Some(at));
            }
            Err(reason) => {
                report.broken = Some(AuditBreak { line: report.lines + 1, reason });
                return Ok(report);
            }
        }
    }
}

/// The hash and time of a line that follows `prev` as number `seq`.
fn follows(bytes: &[u8], seq: u64, prev: &str) -> Result<(String, String), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let (open, hash) = split_hash(text).ok_or("it carries no hash of its own")?;
    if hex::encode(Sha256::digest(open.as_bytes())) != hash {
        return Err("it was changed: its hash is not that of its text".to_owned());
    }
    if value["prev"].as_str() != Some(prev) {
        return Err("it does not follow the line before: a line was taken out, put in or moved".to_owned());
    }
    if value["seq"].as_u64() != Some(seq) {
        return Err(format!("its number is {} and should be {seq}", value["seq"]));
    }
    Ok((hash.to_owned(), value["at"].as_str().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
