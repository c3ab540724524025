//! The newest lines of the audit log, for people to look at. Whether they are to be believed is `verify`'s to say.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// Bytes of the end of the file that are looked at.
const TAIL_BYTES_MAX: u64 = 512 * 1024;

/// At most `limit` of the newest lines at `path`, oldest first; fewer where they are very long. What is not JSON is left out.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn audit_tail(path: &Path, limit: usize) -> io::Result<Vec<Value>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let begin = file.metadata()?.len().saturating_sub(TAIL_BYTES_MAX);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // Where the file is longer, the first line here is the end of one.
    let lines: Vec<&str> = text.lines().skip(usize::from(begin > 0)).collect();
    Ok(lines[lines.len().saturating_sub(limit)..].iter().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_found_at_the_end_of_a_long_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("audit.jsonl");
        assert_eq!(audit_tail(&path, 5).expect("no file is no line"), Vec::<Value>::new());
        let text: String = (0..20_000).map(|n| format!("{{\"seq\":{n},\"fill\":\"{}\"}}\n", "x".repeat(40))).collect();
        std::fs::write(&path, text).expect("written");
        let seen: Vec<u64> =
            audit_tail(&path, 3).expect("read").iter().filter_map(|line| line["seq"].as_u64()).collect();
        assert_eq!(seen, [19_997, 19_998, 19_999]);
    }
}
