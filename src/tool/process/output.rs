//! What a program prints: drained to its end, kept up to a bound.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::tool::OUTPUT_BYTES_MAX;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 8 * 1024;

/// Which part is kept when there is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// The beginning: a result.
    Head,
    /// The end: what went wrong stands there.
    Tail,
}

/// What is kept of a stream.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    keep: Keep,
    cut: bool,
}

impl Kept {
    pub(super) fn new(keep: Keep) -> Self {
        Self { bytes: Vec::new(), keep, cut: false }
    }

    /// Reads `stream` to its end.
    pub(super) async fn drain(&mut self, mut stream: impl AsyncRead + Unpin) {
        let mut chunk = [0; CHUNK_BYTES];
        // A pipe that breaks is a pipe that ends.
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            self.take(&chunk[..count]);
        }
    }

    fn take(&mut self, chunk: &[u8]) {
        match self.keep {
            Keep::Head => {
                let room = OUTPUT_BYTES_MAX - self.bytes.len();
                self.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
                self.cut |= chunk.len() > room;
            }
            Keep::Tail => {
                self.bytes.extend_from_slice(chunk);
                if self.bytes.len() > OUTPUT_BYTES_MAX + CHUNK_BYTES {
                    self.trim();
                }
            }
        }
    }

    fn trim(&mut self) {
        if let Some(over) = self.bytes.len().checked_sub(OUTPUT_BYTES_MAX).filter(|over| *over > 0) {
            self.bytes.drain(..over);
            self.cut = true;
        }
    }

    /// Whether something is missing.
    pub(super) fn is_cut(&self) -> bool {
        self.cut || self.bytes.len() > OUTPUT_BYTES_MAX
    }

    /// As text; bytes that are no UTF-8 become `U+FFFD`, and a cut leaves no half of a character.
    pub(super) fn text(mut self) -> String {
        self.trim();
        let mut bytes = self.bytes.as_slice();
        if self.cut {
            bytes = match self.keep {
                Keep::Head => &bytes[..whole_characters(bytes)],
                Keep::Tail => &bytes[bytes.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count()..],
            };
        }
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// Bytes up to the end of the last whole character.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.iter().rev().take(4).position(|byte| byte & 0xC0 != 0x80);
    let Some(back) = tail.map(|tail| tail + 1) else { return bytes.len() };
    let start = bytes.len() - back;
    let needed = match bytes[start] {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF7 => 4,
        _ => 1,
    };
    if back < needed { start } else { bytes.len() }
}

/// A program's output as a value: JSON where it is JSON and whole, else text without its last line's end.
pub(super) fn value_of(text: &str, cut: bool) -> Value {
    if !cut && let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    let end = text.strip_suffix('\n').filter(|_| !cut).unwrap_or(text);
    Value::String(end.to_owned())
}

/// The last lines of `text`, as one line for a message.
pub(super) fn last_lines(text: &str, lines_max: usize, chars_max: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(lines_max)..].join(" | ");
    crate::domain::text::clip_chars(&crate::domain::text::one_line(&last), chars_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kept(keep: Keep, bytes: &[u8]) -> Kept {
        let mut kept = Kept::new(keep);
        kept.drain(bytes).await;
        kept
    }

    #[tokio::test]
    async fn a_flood_is_cut_at_the_bound_and_between_characters() {
        let flood = "é".repeat(OUTPUT_BYTES_MAX);
        for keep in [Keep::Head, Keep::Tail] {
            let shifted = format!("x{flood}y");
            let kept = kept(keep, shifted.as_bytes()).await;
            assert!(kept.is_cut());
            let text = kept.text();
            assert!(text.len() <= OUTPUT_BYTES_MAX && text.len() + 2 >= OUTPUT_BYTES_MAX, "{}", text.len());
            assert!(!text.contains('\u{FFFD}'), "{keep:?}");
        }
        let exact = kept(Keep::Tail, &vec![b'a'; OUTPUT_BYTES_MAX]).await;
        assert!(!exact.is_cut());
        assert_eq!(exact.text().len(), OUTPUT_BYTES_MAX);
    }

    #[tokio::test]
    async fn the_end_of_a_log_is_what_is_kept_of_it() {
        let long = format!("{}\nlast words\n", "noise\n".repeat(OUTPUT_BYTES_MAX));
        let text = kept(Keep::Tail, long.as_bytes()).await.text();
        assert!(text.ends_with("noise\n\nlast words\n"));
        assert_eq!(last_lines(&text, 1, 100), "last words");
    }

    #[test]
    fn output_is_json_where_it_is_json() {
        assert_eq!(value_of("{\"a\": [1]}\n", false), serde_json::json!({"a": [1]}));
        assert_eq!(value_of("42\n", false), serde_json::json!(42));
        assert_eq!(value_of("deployed\n", false), serde_json::json!("deployed"));
        assert_eq!(value_of("42", true), serde_json::json!("42"));
        assert_eq!(value_of("", false), serde_json::json!(""));
    }
}
