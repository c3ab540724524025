//! Cuts configured secrets out of whatever is about to be written.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use tracing_subscriber::fmt::MakeWriter;

/// Shortest secret that is searched for. A shorter one would cut holes into ordinary words.
pub const REDACTED_BYTES_MIN: usize = 6;

/// The secrets to cut out. It can be printed: it shows how many there are.
#[derive(Default, Clone)]
pub struct Redactor(Vec<String>);

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.0.len())
    }
}

impl Redactor {
    /// Takes the secrets, longest first, so that one which contains another is cut out whole. Log lines are JSON, in which a
    /// secret with quotes or backslashes is written in another way, so that way is cut out too.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let long = secrets.into_iter().filter(|s| s.len() >= REDACTED_BYTES_MIN);
        let mut secrets: Vec<String> = long.flat_map(|secret| [in_json(&secret), secret]).collect();
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self(secrets)
    }

    /// `text` without the secrets.
    pub fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut cleaned = Cow::Borrowed(text);
        for secret in &self.0 {
            if cleaned.contains(secret.as_str()) {
                cleaned = Cow::Owned(cleaned.replace(secret.as_str(), "***"));
            }
        }
        cleaned
    }
}

/// A text as it stands in a JSON string.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Something that whole log lines can be written to from any thread.
pub trait LineSink: Send + Sync + 'static {
    /// Writes one line, its end included.
    fn write_line(&self, line: &[u8]) -> io::Result<()>;
}

/// Standard error.
#[derive(Debug)]
pub struct Stderr;

impl LineSink for Stderr {
    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        io::stderr().lock().write_all(line)
    }
}

/// A writer for tracing that cleans each line and hands it on whole.
pub(super) struct Redacting<S> {
    redactor: Arc<Redactor>,
    sink: Arc<S>,
}

impl<S> Redacting<S> {
    pub(super) fn new(redactor: Arc<Redactor>, sink: Arc<S>) -> Self {
        Self { redactor, sink }
    }
}

impl<'a, S: LineSink> MakeWriter<'a> for Redacting<S> {
    type Writer = Line<'a, S>;

    fn make_writer(&'a self) -> Line<'a, S> {
        Line { to: self, line: Vec::new() }
    }
}

/// One line on its way; handed on when dropped.
pub(super) struct Line<'a, S: LineSink> {
    to: &'a Redacting<S>,
    line: Vec<u8>,
}

impl<S: LineSink> Write for Line<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: LineSink> Drop for Line<'_, S> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        // A log that cannot be written must not stop the agent; the next line tries again.
        let _lost = self.to.sink.write_line(self.to.redactor.clean(&text).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_inside_another_leaves_no_rest_and_short_ones_are_left_alone() {
        let redactor = Redactor::new(["whsec_abc".into(), "whsec_abcdef".into(), "x".into()]);
        assert_eq!(redactor.clean("key=whsec_abcdef; x=whsec_abc"), "key=***; x=***");
        assert_eq!(format!("{redactor:?}"), "Redactor(2 secrets)");
        let quoted = Redactor::new([r#"a"b\cdef"#.to_owned()]);
        assert_eq!(quoted.clean(r#"{"m":"a\"b\\cdef"}, a"b\cdef"#), r#"{"m":"***"}, ***"#);
    }
}
