//! Plain paths such as `payload.items[0]["a b"]`: found in JSON without the template engine, so that a value arrives as it
//! came, and told to people when they lead nowhere.

use serde_json::Value as Json;

use super::scope::Scope;
use super::{ExprError, Reads};
use crate::workflow::nearest::nearest;

/// Most keys that a message names.
const KEYS_SHOWN_MAX: usize = 8;

/// A path of one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Key(String),
    Index(usize),
}

impl Path {
    /// The path that `code` is, if it is nothing but one.
    pub(super) fn parse(code: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let (first, mut rest) = word(code.trim())?;
        parts.push(Part::Key(first.to_owned()));
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let (key, after) = word(after)?;
                parts.push(Part::Key(key.to_owned()));
                rest = after;
                continue;
            }
            let inner = rest.strip_prefix('[')?;
            if let Some(quote) = inner.chars().next().filter(|c| matches!(c, '"' | '\'')) {
                let (key, after) = inner[1..].split_once(quote)?;
                if key.contains('\\') {
                    return None;
                }
                parts.push(Part::Key(key.to_owned()));
                rest = after.strip_prefix(']')?;
            } else {
                let (index, after) = inner.split_once(']')?;
                parts.push(Part::Index(index.trim().parse().ok()?));
                rest = after;
            }
        }
        // Words of the language and values of its own: `true`, `none`, `loop.index`.
        super::reads::NAMES.contains(&first).then_some(Self(parts))
    }

    /// The value at the path; an error that names the first part that is not there.
    pub(super) fn find<'s>(&self, scope: &'s Scope) -> Result<&'s Json, ExprError> {
        let mut walked = String::new();
        let mut at: Option<&Json> = None;
        for part in &self.0 {
            let next = match (at, part) {
                (None, Part::Key(name)) => scope.root(name),
                (Some(Json::Object(map)), Part::Key(key)) => map.get(key),
                (Some(Json::Array(items)), Part::Index(index)) => items.get(*index),
                (Some(_) | None, Part::Key(_) | Part::Index(_)) => None,
            };
            match next {
                Some(value) => at = Some(value),
                None => return Err(missing(&walked, part, at)),
            }
            part.write_to(&mut walked);
        }
        at.ok_or_else(|| ExprError::new("names nothing"))
    }
}

impl Part {
    fn write_to(&self, path: &mut String) {
        match self {
            Self::Key(key) if path.is_empty() => path.push_str(key),
            Self::Key(key) if word(key).is_some_and(|(_, rest)| rest.is_empty()) => {
                path.push('.');
                path.push_str(key);
            }
            Self::Key(key) => path.push_str(&format!("[\"{key}\"]")),
            Self::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
}

fn word(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_').then_some((word, rest))
}

fn missing(walked: &str, part: &Part, parent: Option<&Json>) -> ExprError {
    let mut path = walked.to_owned();
    part.write_to(&mut path);
    let error = ExprError::new(format!("{path} is not there"));
    match (part, parent) {
        (_, None) => error.hint("it has no value in this run"),
        (Part::Key(key), Some(Json::Object(map))) => {
            if let Some(near) = nearest(key, map.keys().map(String::as_str)) {
                return error.hint(format!("{walked} has '{near}'"));
            }
            let keys: Vec<&str> = map.keys().take(KEYS_SHOWN_MAX).map(String::as_str).collect();
            let more = if map.len() > keys.len() { ", …" } else { "" };
            match keys.is_empty() {
                true => error.hint(format!("{walked} is empty")),
                false => error.hint(format!("{walked} has {}{more}", keys.join(", "))),
            }
        }
        (Part::Index(_), Some(Json::Array(items))) => error.hint(format!("{walked} has {} items", items.len())),
        (_, Some(other)) => error.hint(format!("{walked} is {}", shape(other))),
    }
}

/// What a JSON value is, in words.
pub(super) fn shape(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// Which of the paths that a template reads leads nowhere, for the message of an engine that only says "undefined".
pub(super) fn explain_missing(reads: &Reads, scope: &Scope) -> Option<ExprError> {
    reads.paths.iter().filter_map(|path| Path::parse(path)).find_map(|path| path.find(scope).err())
}

/// The first path that a template reads and whose value is of a kind that cannot stand in a text.
pub(super) fn explain_shape(
    reads: &Reads,
    scope: &Scope,
    wanted: impl Fn(&Json) -> bool,
) -> Option<(String, &'static str)> {
    reads.paths.iter().find_map(|path| {
        let value = Path::parse(path)?.find(scope).ok()?;
        wanted(value).then(|| (path.clone(), shape(value)))
    })
}
