//! JSON as template values that cannot spoil a sentence: `null` is undefined, objects print as nothing, lists as their
//! plain items with commas. So no template, however it is written, puts raw JSON, `null` or `none` before a person.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use serde_json::Value as Json;

#[derive(Debug)]
struct Map {
    keys: Vec<Arc<str>>,
    values: BTreeMap<Arc<str>, Value>,
}

impl Object for Map {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.values.get(key.as_str()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.keys.iter().map(Value::from).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.keys.len())
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

#[derive(Debug)]
struct List(Vec<Value>);

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.0.iter().filter(|item| is_plain(item)).map(text).filter(|text| !text.is_empty());
        for (index, text) in texts.enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(&text)?;
        }
        Ok(())
    }
}

/// A JSON value for templates.
pub(super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::UNDEFINED,
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), _, _) => Value::from(n),
            (None, Some(n), _) => Value::from(n),
            (None, None, Some(n)) => Value::from(n),
            (None, None, None) => Value::UNDEFINED,
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from_object(List(items.iter().map(from_json).collect())),
        Json::Object(map) => {
            let keys: Vec<Arc<str>> = map.keys().map(|key| Arc::from(key.as_str())).collect();
            let values = keys.iter().cloned().zip(map.values().map(from_json)).collect();
            Value::from_object(Map { keys, values })
        }
    }
}

/// What templates see by name. It can grow between two templates, since each fact is there for the ones after it.
#[derive(Debug, Default)]
pub(super) struct Scope(RwLock<BTreeMap<Arc<str>, Value>>);

impl Scope {
    pub(super) fn set(&self, name: &str, value: Value) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(Arc::from(name), value);
    }

    pub(super) fn get(&self, name: &str) -> Option<Value> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?)
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Whether a value is a text, a number or a truth value.
pub(super) fn is_plain(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::String | ValueKind::Number | ValueKind::Bool)
}

/// A value as JSON; what has no JSON of its own is null.
pub(super) fn to_json(value: &Value) -> Json {
    let items = |value: &Value| value.try_iter().map(|items| items.collect::<Vec<_>>()).unwrap_or_default();
    match value.kind() {
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => {
            let whole = i64::try_from(value.clone()).ok().map(serde_json::Number::from);
            let number = whole.or_else(|| serde_json::Number::from_f64(f64::try_from(value.clone()).ok()?));
            number.map_or(Json::Null, Json::Number)
        }
        ValueKind::String => Json::String(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Seq | ValueKind::Iterable => Json::Array(items(value).iter().map(to_json).collect()),
        ValueKind::Map => {
            let entry = |key: Value| Some((key.as_str()?.to_owned(), to_json(&value.get_item(&key).ok()?)));
            Json::Object(items(value).into_iter().filter_map(entry).collect())
        }
        _ => Json::Null,
    }
}

/// A value as a person reads it; nothing for what is not there and for objects.
pub(super) fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None | ValueKind::Map | ValueKind::Invalid | ValueKind::Bytes => {
            String::new()
        }
        ValueKind::Bool => if value.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Seq | ValueKind::Iterable => value.try_iter().map(joined).unwrap_or_default(),
        _ => value.to_string(),
    }
}

fn joined(items: impl Iterator<Item = Value>) -> String {
    let texts: Vec<String> = items.filter(is_plain).map(|item| text(&item)).filter(|t| !t.is_empty()).collect();
    texts.join(", ")
}
