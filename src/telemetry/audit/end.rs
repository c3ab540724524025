//! The end of the file as an earlier process left it: its last whole line, and what a crash left behind that.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::line::split_hash;
use super::{AUDIT_LINE_BYTES_MAX, GENESIS};

/// Bytes that are looked through at a time for the last line end.
const LOOK_BACK_BYTES: u64 = 128 * 1024;

/// Cuts what follows the last line end; returns how many bytes that were. More than a line is kept at `aside`: a crash of the
/// machine may leave any bytes behind, and nobody has looked at them.
pub(super) fn cut_torn_line(file: &mut File, aside: &Path) -> io::Result<u64> {
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
pub(super) fn torn_path(path: &Path) -> PathBuf {
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
pub(super) fn tail(file: &mut File) -> io::Result<(u64, String)> {
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
