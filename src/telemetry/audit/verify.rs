//! Whether a log is whole: each line's hash, and its place behind the line before.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::line::split_hash;
use super::{AUDIT_LINE_BYTES_MAX, GENESIS};

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
