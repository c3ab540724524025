//! What a word is, in events and in queries alike: letters and digits of any script, in lower case.

use std::collections::BTreeSet;

use serde_json::Value;

/// Bytes of a payload that are looked at.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Different words that are kept of one event.
const WORDS_MAX: usize = 4000;
/// Longest word that is kept, in bytes; longer ones are no words of people.
const WORD_BYTES_MAX: usize = 72;
/// Words of a query that count.
const QUERY_WORDS_MAX: usize = 16;
/// Parts of an event type that are indexed (`a`, `a.b`, …).
const PREFIXES_MAX: usize = 8;

/// The different words of some texts, separated by spaces.
#[derive(Debug, Default)]
pub(super) struct Words(BTreeSet<String>);

impl Words {
    /// Adds those of `text`.
    pub(super) fn add(&mut self, text: &str) {
        for word in words(text) {
            if self.0.len() >= WORDS_MAX {
                return;
            }
            if word.len() <= WORD_BYTES_MAX {
                self.0.insert(word.to_lowercase());
            }
        }
    }

    /// Adds keys and values of a payload; what is no JSON, or was cut, as text.
    pub(super) fn add_payload(&mut self, bytes: &[u8]) {
        match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => self.add_value(&value),
            Err(_) => self.add(&String::from_utf8_lossy(bytes)),
        }
    }

    fn add_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Number(number) => self.add(&number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| self.add_value(item)),
            Value::Object(map) => {
                for (key, value) in map {
                    self.add(key);
                    self.add_value(value);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    pub(super) fn text(self) -> String {
        self.0.into_iter().collect::<Vec<_>>().join(" ")
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The parts of a search that spaces separate, in lower case (ASCII); each must be there.
pub(in super::super) fn terms(search: &str) -> Vec<String> {
    search.split_whitespace().take(QUERY_WORDS_MAX).map(str::to_ascii_lowercase).collect()
}

/// The search in the index's language: every word quoted, so that nothing in it is an operator. `None` when it has no word, or
/// one that is too long to be in the index.
pub(in super::super) fn query(search: &str) -> Option<String> {
    let words = words(search).take(QUERY_WORDS_MAX);
    if words.clone().any(|word| word.len() > WORD_BYTES_MAX) {
        return None;
    }
    let quoted: Vec<String> = words.map(|word| format!("\"{}\"", word.to_lowercase())).collect();
    (!quoted.is_empty()).then(|| quoted.join(" AND "))
}

/// An event type and everything that it is part of: `a.b.c`, `a.b`, `a`.
pub(in super::super) fn prefixes(event: &str) -> impl Iterator<Item = &str> {
    let dots = event.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
    std::iter::once(event).chain(dots.map(|at| &event[..at])).take(PREFIXES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_values_and_keys_in_any_script() {
        let mut words = Words::default();
        words.add_payload(r#"{"Title":"Größe 100%\nnext-line","id":42,"tags":["日本", true, null]}"#.as_bytes());
        assert_eq!(words.text(), "100 42 größe id line next tags title 日本");
        let mut cut = Words::default();
        cut.add_payload(b"{\"a\": \"half a pay");
        assert_eq!(cut.text(), "a half pay");
    }

    #[test]
    fn a_query_is_words_and_never_an_operator() {
        assert_eq!(query("acme/Shop OR x*").as_deref(), Some("\"acme\" AND \"shop\" AND \"or\" AND \"x\""));
        assert_eq!(query(" \"% -- "), None);
        assert_eq!(query(&format!("short {}", "x".repeat(100))), None);
        assert_eq!(prefixes("a.b.c").collect::<Vec<_>>(), ["a.b.c", "a", "a.b"]);
        assert_eq!(prefixes("push").collect::<Vec<_>>(), ["push"]);
    }
}
