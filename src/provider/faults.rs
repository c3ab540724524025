//! Faults of manifests: from a parser's error or a checked value to file, line, column and the nearest valid key.

use serde_yaml::{Error as YamlError, Location, Spanned};

use crate::domain::fault::Fault;

/// A key further from every valid one than this, in edits, gets no suggestion.
const SUGGESTION_EDITS_MAX: usize = 3;

/// The faults of one file.
#[derive(Debug)]
pub(super) struct Faults {
    file: String,
    list: Vec<Fault>,
}

impl Faults {
    pub(super) fn of(file: &str) -> Self {
        Self { file: file.to_owned(), list: Vec::new() }
    }

    /// The file's name.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// A fault at a place in the file.
    pub(super) fn at(&mut self, location: Location, key: impl Into<String>, message: impl Into<String>) {
        self.push(Some(location), Some(key.into()), message.into(), None);
    }

    /// A fault at a value in the file.
    pub(super) fn on<T>(&mut self, value: &Spanned<T>, key: impl Into<String>, message: impl Into<String>) {
        self.at(value.referenced, key, message);
    }

    /// A fault of the file as a whole.
    pub(super) fn whole(&mut self, message: impl Into<String>) {
        self.push(None, None, message.into(), None);
    }

    /// What to do about the last fault.
    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        if let Some(fault) = self.list.last_mut() {
            fault.hint = Some(hint.into());
        }
    }

    /// A file that does not parse.
    pub(super) fn yaml(&mut self, error: &YamlError) {
        let error = error.without_snippet();
        let location = error.location();
        match error {
            YamlError::SerdeUnknownField { field, expected, .. } => {
                self.push(location, Some(field.clone()), "unknown key".into(), nearest(field, expected));
            }
            YamlError::SerdeUnknownVariant { variant, expected, .. } => {
                let message = format!("'{variant}' is not one of: {}", expected.join(", "));
                self.push(location, None, message, nearest(variant, expected));
            }
            YamlError::SerdeMissingField { field, .. } => {
                self.push(location, Some((*field).to_owned()), "this key is missing".into(), None);
            }
            other => {
                let text = other.to_string();
                let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("unreadable").trim();
                self.push(location, None, first.to_owned(), None);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<Fault> {
        self.list
    }

    fn push(&mut self, location: Option<Location>, key: Option<String>, message: String, hint: Option<String>) {
        let location = location.filter(|location| *location != Location::UNKNOWN);
        self.list.push(Fault {
            file: self.file.clone(),
            line: location.map(|location| location.line()),
            column: location.map(|location| location.column()),
            key,
            message,
            hint,
        });
    }
}

/// `did you mean …`, or the list of what is valid.
fn nearest(given: &str, valid: &[&str]) -> Option<String> {
    let near = valid.iter().map(|key| (strsim::damerau_levenshtein(given, key), key)).min()?;
    if near.0 <= SUGGESTION_EDITS_MAX.min(given.chars().count().div_ceil(2)) {
        Some(format!("did you mean '{}'?", near.1))
    } else {
        Some(format!("valid here: {}", valid.join(", ")))
    }
}
