//! JSON as a tree that folds: an element a value, its key in an attribute, from which the script makes paths to copy.
//!
//! A page is small whatever the payload is: nodes, depth, texts and bytes are bounded, and what is left out is counted and can
//! be had whole from the link above the tree.

use maud::{Markup, html};
use serde_json::Value;

use super::plan::{Asks, Plan, entries, entry_count};
use crate::domain::text::{clip_chars, spelled_out};

/// Most values that a tree shows.
const NODES_MAX: usize = 600;
/// Most bytes of markup that a tree takes, about.
const TREE_BYTES_MAX: usize = 56 * 1024;
/// What a value costs besides its texts, and one with entries, whose last line may say that there are more.
const LEAF_BYTES: usize = 80;
const NODE_BYTES: usize = 215;
/// Deepest level that is unfolded into elements; what lies deeper stands on one line.
const DEPTH_MAX: usize = 24;
/// Longest text, in characters.
const TEXT_CHARS_MAX: usize = 1200;
/// Longest key, in characters.
const KEY_CHARS_MAX: usize = 120;
/// Longest line for what lies too deep.
const DEEP_CHARS_MAX: usize = 120;
/// Objects and lists with more entries than this are folded at first, beneath the top level.
const OPEN_ENTRIES_MAX: usize = 32;
/// Levels that are open at first.
const OPEN_DEPTH: usize = 2;

/// The tree of `value`, whose paths begin with `root`, in at most so many bytes of markup, about.
pub(super) fn tree_within(value: &Value, root: &str, bytes_max: usize) -> Markup {
    let mut budget = Budget { nodes: NODES_MAX, bytes: bytes_max.min(TREE_BYTES_MAX) };
    let plan = Plan::new(value, DEPTH_MAX, |asks| budget.take(asks));
    html! {
        div.tree data-root=(root) { (node(value, None, 0, &plan)) }
    }
}

struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Budget {
    /// Takes what a value costs, if there is so much.
    fn take(&mut self, asks: &Asks<'_>) -> bool {
        let own = match entry_count(asks.value) {
            0 => LEAF_BYTES + escaped_len(&shown(asks.value)),
            _ if asks.depth >= DEPTH_MAX => LEAF_BYTES + escaped_len(&too_deep(asks.value)),
            _ => NODE_BYTES,
        };
        let bytes = own + escaped_len(&asks.key.shown()) + escaped_len(&asks.key.path().unwrap_or_default());
        let has_room = self.nodes > 0 && self.bytes >= bytes;
        if has_room {
            self.nodes -= 1;
            self.bytes -= bytes;
        }
        has_room
    }
}

/// A key as the row shows it and as the path needs it.
#[derive(Clone)]
pub(super) enum Key<'a> {
    Name(&'a str),
    Index(usize),
}

impl Key<'_> {
    fn shown(&self) -> String {
        match self {
            Self::Name(name) => clip_chars(&spelled_out(name), KEY_CHARS_MAX),
            Self::Index(index) => index.to_string(),
        }
    }

    /// The part of a path that leads from a value to this one of its entries; `None` for a key that is too long to be one.
    pub(super) fn step(&self) -> Option<String> {
        let path = self.path()?;
        Some(if path.starts_with('[') { path } else { format!(".{path}") })
    }

    fn path(&self) -> Option<String> {
        match self {
            // A part of a key would be a path to nothing.
            Self::Name(name) if name.chars().nth(KEY_CHARS_MAX).is_some() => None,
            Self::Name(name) if is_plain(name) => Some((*name).to_owned()),
            // As expressions take it, and nothing in it hides or turns the reading direction.
            Self::Name(name) => Some(format!("[\"{}\"]", escaped(name))),
            Self::Index(index) => Some(format!("[{index}]")),
        }
    }
}

/// Whether a name can follow a dot in an expression.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A name within quotes, in printable ASCII.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            _ => text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    text
}

fn node(value: &Value, key: Option<&Key<'_>>, depth: usize, plan: &Plan) -> Markup {
    let entries = entry_count(value);
    if entries == 0 {
        return leaf(&shown(value), class(value), key);
    }
    if depth >= DEPTH_MAX {
        return leaf(&too_deep(value), "c", key);
    }
    let (open, close) = brackets(value);
    let is_open = depth < OPEN_DEPTH && (depth == 0 || entries <= OPEN_ENTRIES_MAX);
    html! {
        details open[is_open] data-k=[key.and_then(Key::path)] data-none[key.is_some_and(|key| key.path().is_none())] {
            summary {
                @if let Some(key) = key { span.k { (key.shown()) } }
                span.c { (open) " " (entries) @if entries == 1 { " entry " } @else { " entries " } (close) }
            }
            div { (children(value, depth, plan)) }
        }
    }
}

fn children(value: &Value, depth: usize, plan: &Plan) -> Markup {
    let shown = plan.shown(value);
    let left_out = entry_count(value) - shown;
    html! {
        @for (key, value) in entries(value).take(shown) { (node(value, Some(&key), depth + 1, plan)) }
        @if left_out > 0 { div.row { span.c { "… " (left_out) " more, not shown here" } } }
    }
}

fn brackets(value: &Value) -> (&'static str, &'static str) {
    if value.is_object() { ("{", "}") } else { ("[", "]") }
}

/// What stands for a value that lies too deep, on a line.
fn too_deep(value: &Value) -> String {
    let (open, close) = brackets(value);
    let head = clip_chars(&spelled_out(&head_of(value)), DEEP_CHARS_MAX);
    format!("{open}…{close} {} entries, too deep to unfold: {head}", entry_count(value))
}

/// The length of `text` in HTML.
fn escaped_len(text: &str) -> usize {
    text.bytes().map(|byte| if matches!(byte, b'<' | b'>' | b'&' | b'"') { 6 } else { 1 }).sum()
}

fn leaf(text: &str, class: &'static str, key: Option<&Key<'_>>) -> Markup {
    html! {
        div.row data-k=[key.and_then(Key::path)] {
            @if let Some(key) = key { span.k { (key.shown()) } }
            span class=(class) { (text) }
        }
    }
}

fn class(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "s",
        Value::Number(_) => "n",
        Value::Bool(_) => "b",
        Value::Null | Value::Array(_) | Value::Object(_) => "c",
    }
}

/// A value that has no entries. The bound is one of what is shown: a hidden character takes eight once it is spelled out.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let head: String = text.chars().take(TEXT_CHARS_MAX).collect();
            let spelled = spelled_out(&head);
            if head.len() == text.len() && spelled.chars().count() <= TEXT_CHARS_MAX {
                return format!("\"{spelled}\"");
            }
            let spelled: String = spelled.chars().take(TEXT_CHARS_MAX).collect();
            format!("\"{spelled}…\" ({} characters)", text.chars().count())
        }
        Value::Array(_) => "[ ]".into(),
        Value::Object(_) => "{ }".into(),
        other => clip_chars(&other.to_string(), TEXT_CHARS_MAX),
    }
}

/// The keys of an object or the number of entries, without writing the whole of it.
fn head_of(value: &Value) -> String {
    match value {
        Value::Object(map) => map.keys().take(5).map(|key| clip_chars(key, 20)).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree(value: &Value, root: &str) -> Markup {
        tree_within(value, root, usize::MAX)
    }

    #[test]
    fn a_payload_folds_and_says_where_each_value_is() {
        let shown = tree(&json!({ "a": { "b": ["x<b>", 1, true, null] } }), "payload").into_string();
        assert!(shown.contains(r#"data-k="a""#) && shown.contains(r#"data-k="[0]""#), "{shown}");
        assert!(shown.contains("&quot;x&lt;b&gt;&quot;") && !shown.contains("<b>"), "{shown}");
    }

    #[test]
    fn the_last_keys_are_there_however_large_the_first_is() {
        let rows: Vec<Value> = (0..5000).map(|n| json!({ "id": n, "text": "x".repeat(200) })).collect();
        let shown =
            tree(&json!({ "rows": rows, "repository": { "name": "shop" }, "sender": 1 }), "payload").into_string();
        for key in ["repository", "name", "sender", "[19]"] {
            assert!(shown.contains(&format!("data-k=\"{key}\"")), "{key}: {shown}");
        }
        assert!(shown.contains("more, not shown here") && shown.len() < TREE_BYTES_MAX, "{} bytes", shown.len());
        let small = tree_within(&json!({ "rows": rows }), "payload", 4096).into_string();
        assert!(small.len() < 4096 && small.contains("[2]"), "{} bytes", small.len());
    }

    #[test]
    fn five_megabytes_make_a_small_page() {
        let rows: Vec<Value> = (0..60_000).map(|n| json!({ "id": n, "name": "x".repeat(60) })).collect();
        let shown = tree(&json!({ "rows": rows }), "payload").into_string();
        assert!(shown.len() < TREE_BYTES_MAX, "{} bytes", shown.len());
        assert!(shown.contains("more, not shown here"));
        let long = tree(&json!({ "text": "<".repeat(5_000_000) }), "payload").into_string();
        assert!(long.len() < 8 * 1024 && long.contains("5000000 characters"), "{} bytes", long.len());
        let hidden = tree(&json!({ "text": "\u{200b}".repeat(100_000) }), "payload").into_string();
        assert!(hidden.len() < 2 * 1024 && hidden.contains("100000 characters"), "{} bytes", hidden.len());
    }

    #[test]
    fn what_is_nested_deeply_ends_in_one_line() {
        let mut deep = json!("<script>");
        for _ in 0..120 {
            deep = json!({ "k": deep });
        }
        let shown = tree(&deep, "payload").into_string();
        assert!(shown.contains("too deep to unfold") && shown.len() < 8 * 1024, "{}", shown.len());
    }

    #[test]
    fn a_key_that_is_too_long_for_a_path_has_none() {
        let shown = tree(&json!({ "k".repeat(121): { "inner": 1 }, "\u{1}".repeat(120): 2 }), "payload").into_string();
        assert!(shown.contains("<details open data-none><summary>"), "{shown}");
        assert!(shown.contains(&format!("data-k=\"[&quot;{}&quot;]\"", "\\u0001".repeat(120))), "whole: {shown}");
    }

    #[test]
    fn direction_and_invisible_characters_are_spelled_out() {
        let shown = tree(&json!({ "\u{202e}k": "a\u{200b}\u{2066}b" }), "payload").into_string();
        assert!(shown.contains(r"\u{200b}\u{2066}") && shown.contains(r"\u{202e}k"), "{shown}");
        assert!(!shown.contains('\u{200b}') && !shown.contains('\u{202e}'));
        assert!(shown.contains(r#"data-k="[&quot;\u202ek&quot;]""#), "{shown}");
    }
}
