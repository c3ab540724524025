//! Reading the tree of a workflow file: each read checks what it finds and adds a fault instead of stopping.

use std::time::Duration;

use super::Known;
use crate::domain::duration;
use crate::domain::fault::Fault;
use crate::domain::tree::{At, Entry, Node, Value, describe, shown};
use crate::workflow::expr::{ExprError, has_tags};
use crate::workflow::nearest::nearest;

/// Collects faults and notes of one file.
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    pub(super) known: &'a Known,
    pub(super) faults: Vec<Fault>,
    pub(super) notes: Vec<Fault>,
    /// Steps seen so far.
    pub(super) steps: usize,
    /// The arguments that are read now hold no templates.
    pub(super) verbatim: bool,
}

/// A map and its key path.
#[derive(Clone, Copy)]
pub(super) struct Section<'n> {
    pub(super) node: &'n Node,
    pub(super) path: &'n str,
}

impl<'n> Section<'n> {
    /// What is written at `key`, unless that is null.
    pub(super) fn get(&self, key: &str) -> Option<&'n Entry> {
        let entries = self.node.entries().unwrap_or_default();
        entries.iter().find(|entry| entry.key == key).filter(|entry| !matches!(entry.value.value, Value::Null))
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Reader<'_> {
    /// Whether a text is a template here.
    pub(super) fn has_tags(&self, text: &str) -> bool {
        !self.verbatim && has_tags(text)
    }

    pub(super) fn fault(&mut self, at: At, key: &str, message: impl Into<String>, hint: Option<String>) {
        let fault = self.told(at, key, message.into(), hint);
        self.faults.push(fault);
    }

    pub(super) fn note(&mut self, at: At, key: &str, message: impl Into<String>, hint: Option<String>) {
        let note = self.told(at, key, message.into(), hint);
        self.notes.push(note);
    }

    pub(super) fn expr_fault(&mut self, at: At, key: &str, error: ExprError) {
        self.fault(at, key, error.message, error.hint);
    }

    fn told(&self, at: At, key: &str, message: String, hint: Option<String>) -> Fault {
        Fault {
            file: self.file.to_owned(),
            line: Some(at.line),
            column: Some(at.column),
            key: (!key.is_empty()).then(|| key.to_owned()),
            message,
            hint,
        }
    }

    /// The node as a map with only these keys; each other one is told.
    pub(super) fn section<'n>(&mut self, node: &'n Node, path: &'n str, known: &[&str]) -> Option<Section<'n>> {
        let Some(entries) = node.entries() else {
            let hint = Some(format!("keys here: {}", known.join(", ")));
            let what = if path.is_empty() { "the keys of a workflow" } else { "keys beneath it" };
            self.fault(node.at, path, format!("expected {what}, found {}", describe(node)), hint);
            return None;
        };
        let section = Section { node, path };
        for entry in entries {
            if !known.contains(&entry.key.as_str()) {
                let key: String = entry.key.chars().take(80).collect();
                let hint = match nearest(&entry.key, known.iter().copied()) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("keys here: {}", known.join(", ")),
                };
                self.fault(entry.at, &section.path_of(&key), "there is no such key", Some(hint));
            }
        }
        Some(section)
    }

    /// The text of a node.
    pub(super) fn text<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n str> {
        match &node.value {
            Value::Scalar(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.fault(node.at, path, format!("expected a text, found {}", describe(node)), None);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, path: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, path)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = nearest(text, known.iter().copied()).map(|near| format!("did you mean '{near}'?"));
        let message = format!("expected {}, found {}", super::on::or_list(&known), shown(text));
        self.fault(node.at, path, message, hint);
        None
    }

    pub(super) fn boolean(&mut self, node: &Node, path: &str) -> Option<bool> {
        let text = self.text(node, path)?;
        match (text.to_ascii_lowercase().as_str(), node.plain) {
            ("true", true) => Some(true),
            ("false", true) => Some(false),
            _ => {
                self.fault(node.at, path, format!("expected true or false, found {}", shown(text)), None);
                None
            }
        }
    }

    pub(super) fn integer(&mut self, node: &Node, path: &str, min: u64, max: u64) -> Option<u64> {
        let text = self.text(node, path)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && (min..=max).contains(number));
        if number.is_none() {
            let message = format!("expected a whole number from {min} to {max}, found {}", shown(text));
            self.fault(node.at, path, message, None);
        }
        number
    }

    /// A duration of more than nothing.
    pub(super) fn duration(&mut self, node: &Node, path: &str) -> Option<Duration> {
        let text = self.text(node, path)?;
        match duration::parse(text) {
            Ok(duration) if duration.is_zero() => {
                self.fault(node.at, path, "must be longer than nothing", None);
                None
            }
            Ok(duration) => Some(duration),
            Err(error) => {
                self.fault(node.at, path, error.to_string(), None);
                None
            }
        }
    }

    /// A text or a list of texts, each with its place.
    pub(super) fn texts<'n>(&mut self, node: &'n Node, path: &str) -> Vec<(&'n str, &'n Node)> {
        match &node.value {
            Value::List(items) => {
                let mut texts = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    if let Some(text) = self.text(item, &format!("{path}[{index}]")) {
                        texts.push((text, &**item));
                    }
                }
                texts
            }
            Value::Scalar(text) => vec![(text, node)],
            Value::Null | Value::Map(_) => {
                self.fault(node.at, path, format!("expected a list, found {}", describe(node)), None);
                Vec::new()
            }
        }
    }
}
