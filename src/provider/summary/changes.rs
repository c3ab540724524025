//! What a payload says was changed, with the values where these are words: `name (FOO → Bar), default branch (main → trunk)`.
//!
//! Senders write it in three ways: the old values by name (Stripe, Linear), pairs of `from` and `to` (GitHub, where `to` is
//! often left to the object itself), pairs of `previous` and `current` (GitLab). Ids, long texts and bookkeeping tell a
//! person nothing, so of these there is the name alone or nothing.

use minijinja::value::{Value, ValueKind};

use super::clean;
use super::filters::words;
use super::values::{is_plain, text};

/// Changes that are named; the rest is counted.
const NAMED_MAX: usize = 4;
/// Most characters of one value.
const VALUE_CHARS_MAX: usize = 40;
/// Longest value that is shown, in characters; a longer one is a text and not a setting.
const SHOWN_CHARS_MAX: usize = 120;
/// A word with digits in it of this length or more is an id or a hash.
const ID_CHARS_MIN: usize = 20;
/// Changes that every change brings along.
const BOOKKEEPING: [&str; 9] = [
    "updated",
    "updated_at",
    "updatedAt",
    "updated_by_id",
    "last_edited_at",
    "last_edited_by_id",
    "relative_position",
    "sortOrder",
    "node_id",
];

/// `payload.changes | changes(payload.repository)`. `now` has the values of today where the changes have only the old ones.
/// Numbers are amounts or codes at some senders, so they are shown only where `numbers` says so.
pub(super) fn changes(changes: &Value, now: Option<Value>, numbers: Option<bool>) -> String {
    if changes.kind() != ValueKind::Map {
        return String::new();
    }
    let Ok(names) = changes.try_iter() else { return String::new() };
    let now = now.unwrap_or(Value::UNDEFINED);
    let mut told = names.filter_map(|name| {
        let name = name.as_str()?.to_owned();
        if BOOKKEEPING.contains(&name.as_str()) {
            return None;
        }
        Some(one(&name, &changes.get_attr(&name).ok()?, &now, numbers.unwrap_or(false)))
    });
    let shown: Vec<String> = told.by_ref().take(NAMED_MAX).filter(|text| !text.is_empty()).collect();
    match told.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn one(name: &str, change: &Value, now: &Value, numbers: bool) -> String {
    let part = |key: &str| change.get_attr(key).unwrap_or_default();
    let is_pair = change.kind() == ValueKind::Map;
    let old = if is_pair { there(part("from")).or_else(|| there(part("previous"))) } else { there(change.clone()) };
    let own = || if is_pair { there(part("to")).or_else(|| there(part("current"))) } else { None };
    let new = own().or_else(|| there(now.get_attr(name).unwrap_or_default()));
    let stem = ["_ids", "_id", "Ids", "Id"].iter().find_map(|end| name.strip_suffix(end)).filter(|s| !s.is_empty());
    let label = words(stem.unwrap_or(name));
    let said = |value: Option<Value>| value.filter(|_| stem.is_none()).and_then(|value| said(&value, numbers));
    match (said(old), said(new)) {
        (Some(old), Some(new)) if old != new => format!("{label} ({old} → {new})"),
        (Some(old), None) => format!("{label} (was {old})"),
        (None, Some(new)) if change_is_from_nothing(change, is_pair) => format!("{label} (now {new})"),
        (Some(_) | None, Some(_)) | (None, None) => label,
    }
}

/// Whether there was nothing before: an old value that is there and is not told must not read as none.
fn change_is_from_nothing(change: &Value, is_pair: bool) -> bool {
    let nothing = |value: Value| there(value).is_none_or(|value| value.as_str().is_some_and(|t| t.trim().is_empty()));
    let part = |key: &str| change.get_attr(key).unwrap_or_default();
    if is_pair { nothing(part("from")) && nothing(part("previous")) } else { nothing(change.clone()) }
}

fn there(value: Value) -> Option<Value> {
    (!matches!(value.kind(), ValueKind::Undefined | ValueKind::None)).then_some(value)
}

/// A value as a person reads it, where it is one that tells something.
fn said(value: &Value, numbers: bool) -> Option<String> {
    match value.kind() {
        ValueKind::Bool => Some(if value.is_true() { "on" } else { "off" }.to_owned()),
        ValueKind::Number if numbers => Some(text(value)),
        ValueKind::Seq => {
            let all: Vec<Value> = value.try_iter().ok()?.collect();
            let plain = !all.is_empty() && all.iter().all(|item| is_plain(item) && item.kind() == ValueKind::String);
            plain.then(|| clean::line(&text(value), VALUE_CHARS_MAX))
        }
        ValueKind::String => {
            let text = text(value);
            let text = text.trim();
            let short = !text.is_empty() && text.chars().count() <= SHOWN_CHARS_MAX && !text.contains('\n');
            (short && !is_id(text) && !is_instant(text)).then(|| clean::line(text, VALUE_CHARS_MAX))
        }
        _ => None,
    }
}

/// `pm_1NxYz…`, a UUID, a hash.
fn is_id(text: &str) -> bool {
    let one_word = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let digits = text.chars().any(|c| c.is_ascii_digit());
    let prefixed = text.split_once('_').is_some_and(|(_, rest)| {
        rest.len() >= 8 && rest.chars().any(|c| c.is_ascii_digit()) && rest.chars().any(|c| c.is_ascii_alphabetic())
    });
    one_word && digits && (prefixed || text.len() >= ID_CHARS_MIN)
}

fn is_instant(text: &str) -> bool {
    text.len() > "2026-10-03".len()
        && text.replacen(" UTC", "Z", 1).replacen(' ', "T", 1).parse::<jiff::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::values::from_json;
    use super::*;

    fn told(was: serde_json::Value, now: serde_json::Value) -> String {
        changes(&from_json(&was), Some(from_json(&now)), None)
    }

    #[test]
    fn what_changed_is_told_with_its_values_whoever_writes_it() {
        let github = json!({"default_branch": {"from": "main"}, "name": {"from": "FOO"}, "body": {"from": ""}});
        assert_eq!(
            told(github.clone(), json!({"default_branch": "trunk", "name": null, "body": "1\n2"})),
            "default branch (main → trunk), name (was FOO), body"
        );
        assert_eq!(changes(&from_json(&github), None, None), "default branch (was main), name (was FOO), body");
        let gitlab = json!({
            "title": {"previous": "Old", "current": "New"}, "updated_at": {"previous": "x", "current": "y"},
            "milestone_id": {"previous": null, "current": 7}, "draft": {"previous": true, "current": false},
            "labels": {"previous": [{"id": 1}], "current": []}
        });
        assert_eq!(told(gitlab, json!({})), "title (Old → New), milestone, draft (on → off), labels");
        let stripe =
            json!({"email": null, "default_source": "card_1NxYz23eZvKYlo2C", "amount": 2000, "currency": "usd"});
        assert_eq!(
            told(
                stripe,
                json!({"email": "a@b.example", "default_source": "card_9", "amount": 2999, "currency": "eur"})
            ),
            "email (now a@b.example), default source, amount, currency (usd → eur)"
        );
    }

    #[test]
    fn what_tells_a_person_nothing_is_named_alone_and_much_is_counted() {
        let was = json!({"a": "x".repeat(200), "b": {"from": {"user": {}}}, "c": "2026-10-03T14:05:00Z", "d": [1], "e": 1, "f": 2});
        assert_eq!(told(was, json!({})), "a, b, c, d and 2 more");
        assert_eq!(told(json!({"n": 1}), json!({"n": 2})), "n");
        assert_eq!(changes(&from_json(&json!({"n": 1})), Some(from_json(&json!({"n": 2}))), Some(true)), "n (1 → 2)");
        assert_eq!(told(json!({"topics": {"from": ["a", "b"]}}), json!({"topics": ["a"]})), "topics (a, b → a)");
        assert_eq!(told(json!({"same": "x"}), json!({"same": "x"})), "same");
        for none in [json!(null), json!([]), json!("text"), json!(1), json!({})] {
            assert_eq!(told(none, json!({"a": 1})), "");
        }
        let long = told(json!({"name": "x y ".repeat(20)}), json!({}));
        assert!(long.ends_with("…)") && long.chars().count() < 60, "{long}");
    }
}
