//! Templates and expressions: bounded, pure, and what does not read a name does not change with it.
//!
//! Input: a template, a line with `---`, a payload.

use hookhand::workflow::expr::{Expr, FOR_EACH_ITEMS_MAX, Mode, Scope, TEXT_BYTES_MAX, Template};
use serde_json::{Value, json};

/// Checks one input.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (source, payload) = text.split_once("\n---\n").unwrap_or((text, "null"));
    let payload: Value = serde_json::from_str(payload).unwrap_or(Value::Null);
    // The same names with other values.
    let (scope, other) = (scope(payload.clone(), "one"), scope(other(&payload), "two"));
    for mode in [Mode::Value, Mode::Text, Mode::Word, Mode::Url] {
        let Ok(template) = Template::compile(source, mode) else { continue };
        let given = template.value(&scope);
        assert_eq!(given, template.value(&scope), "{source:?}");
        if let Ok(text) = template.text(&scope) {
            assert!(text.len() <= TEXT_BYTES_MAX);
        }
        let read = tainted().into_iter().any(|name| template.reads().reads(name));
        if !read {
            assert_eq!(given, template.value(&other), "{source:?} reads what it does not tell");
        }
    }
    let Ok(expr) = Expr::compile(source) else { return };
    let given = expr.value(&scope);
    assert_eq!(given, expr.value(&scope), "{source:?}");
    let _holds = expr.is_true(&scope);
    if let Ok(items) = expr.items(&scope) {
        assert!(items.len() <= FOR_EACH_ITEMS_MAX);
    }
    if !tainted().into_iter().any(|name| expr.reads().reads(name)) {
        assert_eq!(given, expr.value(&other), "{source:?} reads what it does not tell");
    }
}

fn tainted() -> [&'static str; 6] {
    ["payload", "item", "inputs", "facts", "steps", "previous_output"]
}

fn scope(payload: Value, said: &str) -> Scope {
    Scope::new(payload)
        .item(json!({"v": said}))
        .inputs(json!({"v": said}))
        .facts(json!({"v": said}))
        .previous_output(json!(said))
}

fn other(value: &Value) -> Value {
    match value {
        Value::Null => json!(0),
        Value::Bool(flag) => json!(!flag),
        Value::Number(_) => json!(77),
        Value::String(text) => json!(format!("{text}?")),
        Value::Array(items) => items.iter().map(other).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), other(value))).collect(),
    }
}
