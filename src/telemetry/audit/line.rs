//! One line of the audit log: what it holds, how long it may be, and the hash that ends it.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{AUDIT_LINE_BYTES_MAX, AuditEntry};
use crate::telemetry::Redactor;

/// Longest text in the details of a line that is already too long, in bytes; a longer one is left out, and says so.
const TEXT_BYTES_MAX: usize = 1024;
/// What stands before a line's own hash; it is the last key, so that everything before it is what was hashed.
const HASH_KEY: &str = ",\"hash\":\"";

/// A line without its end, and its hash.
pub(super) fn line(seq: u64, entry: &AuditEntry, prev: &str, torn_bytes: u64, redactor: &Redactor) -> (String, String) {
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

/// What was hashed, and the hash.
pub(super) fn split_hash(line: &str) -> Option<(&str, &str)> {
    let (open, rest) = line.rsplit_once(HASH_KEY)?;
    Some((open, rest.strip_suffix("\"}")?))
}
