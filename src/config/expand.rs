//! `${VAR}` and `${VAR:-default}` inside one value. What a variable holds is never looked at again, and the YAML text is never
//! touched, so no variable can add a key.

use super::environment::{VarSource, Vars};

/// A value with its variables put in. No `Debug`: it may be a secret.
pub(super) struct Expanded {
    pub(super) text: String,
    /// The variables that gave something, in order.
    pub(super) used: Vec<(String, VarSource)>,
    /// Whether anything was expanded, defaults included.
    pub(super) changed: bool,
}

/// Why a value cannot be expanded. Never holds what a variable holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExpandError {
    /// The variable is not set and there is no default.
    Unset(String),
    /// Not of the form `${NAME}` or `${NAME:-default}`.
    Malformed,
}

/// Expands `text`. `${` is always a variable; `$${` writes `${`; any other `$` is itself.
pub(super) fn expand(text: &str, vars: &Vars<'_>) -> Result<Expanded, Vec<ExpandError>> {
    let mut out = Expanded { text: String::with_capacity(text.len()), used: Vec::new(), changed: false };
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(literal) = before.strip_suffix('$') {
            out.text.push_str(literal);
            out.text.push_str("${");
            rest = after;
            continue;
        }
        out.text.push_str(before);
        let Some((inside, tail)) = after.split_once('}') else {
            errors.push(ExpandError::Malformed);
            return Err(errors);
        };
        rest = tail;
        out.changed = true;
        match one(inside, vars) {
            Ok((value, source)) => {
                out.text.push_str(&value);
                out.used.extend(source);
            }
            Err(error) => errors.push(error),
        }
    }
    out.text.push_str(rest);
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

type Piece = (String, Option<(String, VarSource)>);

fn one(inside: &str, vars: &Vars<'_>) -> Result<Piece, ExpandError> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let all_known = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !starts_well || !all_known || default.is_some_and(|default| default.contains("${")) {
        return Err(ExpandError::Malformed);
    }
    match (vars.get(name), default) {
        (Some(found), Some(default)) if found.value.is_empty() => Ok((default.to_owned(), None)),
        (Some(found), _) => Ok((found.value, Some((name.to_owned(), found.source)))),
        (None, Some(default)) => Ok((default.to_owned(), None)),
        (None, None) => Err(ExpandError::Unset(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::dotenv::DotEnv;

    fn expanded(text: &str) -> Result<String, Vec<ExpandError>> {
        let pairs = [("A", "1"), ("EMPTY", ""), ("TRICK", "${A}"), ("long_Name9", "x")];
        let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        expand(text, &Vars::new(&map, DotEnv::default())).map(|expanded| expanded.text)
    }

    #[test]
    fn variables_defaults_escapes_and_plain_dollars() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}", "1"),
            ("a${A}b${long_Name9}c", "a1bxc"),
            ("${NONE:-fallback}", "fallback"),
            ("${NONE:-}", ""),
            ("${EMPTY:-fallback}", "fallback"),
            ("${EMPTY}", ""),
            ("${NONE:-http://h:1/:-x}", "http://h:1/:-x"),
            ("${TRICK}", "${A}"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("pa$$word$ $A", "pa$$word$ $A"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_unset_variable_of_a_value_is_named_and_bad_forms_are_refused() {
        let unset = |names: &[&str]| Err(names.iter().map(|n| ExpandError::Unset((*n).to_owned())).collect());
        assert_eq!(expanded("${X}${A}${Y}"), unset(&["X", "Y"]));
        for bad in ["${", "${A", "${}", "${1A}", "${A-b}", "${A:-${B}}", "${A B}"] {
            assert_eq!(expanded(bad), Err(vec![ExpandError::Malformed]), "{bad}");
        }
    }
}
