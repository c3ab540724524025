//! Reading rendered arguments. A value of the wrong kind is told before anything happens.

use std::time::Duration;

use serde_json::Value;

use super::{Call, ToolFailure};
use crate::domain::duration;

impl Call {
    /// The argument `name`; JSON's `null` counts as left out.
    pub fn arg(&self, name: &str) -> Option<&Value> {
        self.args.get(name).filter(|value| !value.is_null())
    }

    /// A text, a number or a boolean as text.
    pub fn text(&self, name: &str) -> Result<Option<String>, ToolFailure> {
        self.arg(name).map(|value| scalar(name, value)).transpose()
    }

    /// As [`Call::text`], and it must be there.
    pub fn needed_text(&self, name: &str) -> Result<String, ToolFailure> {
        self.text(name)?.ok_or_else(|| ToolFailure::never_began(format!("the argument '{name}' is missing")))
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>, ToolFailure> {
        let Some(value) = self.arg(name) else { return Ok(None) };
        let Value::Array(items) = value else { return Err(wrong(name, "a list", value)) };
        items
            .iter()
            .enumerate()
            .map(|(at, item)| scalar(&format!("{name}[{at}]"), item))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Names with texts, in the order in which they are written.
    pub fn text_map(&self, name: &str) -> Result<Vec<(String, String)>, ToolFailure> {
        let Some(value) = self.arg(name) else { return Ok(Vec::new()) };
        let Value::Object(fields) = value else { return Err(wrong(name, "names with values", value)) };
        fields.iter().map(|(key, value)| Ok((key.clone(), scalar(&format!("{name}.{key}"), value)?))).collect()
    }

    /// A whole number from `min` to `max`.
    pub fn integer(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, ToolFailure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = text.trim().parse().ok().filter(|number| (min..=max).contains(number));
        number.map(Some).ok_or_else(|| {
            ToolFailure::never_began(format!("the argument '{name}' must be a whole number from {min} to {max}"))
        })
    }

    /// A duration: `5s`, or a number of seconds.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, ToolFailure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let wrong = |error| ToolFailure::never_began(format!("the argument '{name}': {error}"));
        duration::parse(&text).map(Some).map_err(wrong)
    }

    /// Whether payload text stands at `pointer` (`/argv/2`), or in the whole of what it is part of.
    pub fn is_tainted(&self, pointer: &str) -> bool {
        covers(&self.tainted, pointer)
    }

    /// Whether the first character at `pointer` is the payload's.
    pub fn begins_with_payload(&self, pointer: &str) -> bool {
        covers(&self.tainted_first, pointer)
    }
}

fn covers(pointers: &[String], pointer: &str) -> bool {
    pointers.iter().any(|tainted| {
        pointer.strip_prefix(tainted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn scalar(name: &str, value: &Value) -> Result<String, ToolFailure> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(wrong(name, "a text", value)),
    }
}

fn wrong(name: &str, expected: &str, found: &Value) -> ToolFailure {
    let found = match found {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    };
    ToolFailure::never_began(format!("the argument '{name}' must be {expected}, not {found}"))
}
