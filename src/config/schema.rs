//! The JSON Schema of the configuration file, for editors: made from the table of keys.

use serde_json::{Map, Value, json};

use super::keys::{self, Key, Kind};

/// The schema (draft 2020-12). Typed keys also take a text with `${VAR}` in it.
pub fn schema() -> Value {
    let mut schema = object("");
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!("hookhand configuration"));
    schema.insert("$defs".into(), json!({ "variable": { "type": "string", "pattern": "\\$\\{" } }));
    let order = ["$schema", "title", "type"].map(str::to_owned);
    let mut sorted: Map<String, Value> = order.iter().filter_map(|k| Some((k.clone(), schema.remove(k)?))).collect();
    sorted.extend(schema);
    Value::Object(sorted)
}

fn object(path: &str) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut others = json!(false);
    let mut required = Vec::new();
    for key in keys::children(path) {
        if key.name() == "*" {
            others = value(key);
            continue;
        }
        if key.required {
            required.push(key.name());
        }
        properties.insert(key.name().to_owned(), value(key));
    }
    let mut object = Map::new();
    object.insert("type".into(), json!("object"));
    if !required.is_empty() {
        object.insert("required".into(), json!(required));
    }
    if !properties.is_empty() {
        object.insert("properties".into(), Value::Object(properties));
    }
    object.insert("additionalProperties".into(), others);
    object
}

fn value(key: &Key) -> Value {
    let null = json!({ "type": "null" });
    let variable = json!({ "$ref": "#/$defs/variable" });
    let text = json!({ "type": "string" });
    let list = |item: Value| json!({ "type": "array", "items": item });
    let forms = match key.kind {
        Kind::Section | Kind::Named => vec![Value::Object(object(key.path)), null],
        Kind::Bool => vec![json!({ "type": "boolean" }), variable, null],
        Kind::Integer { min, max } => {
            vec![json!({ "type": "integer", "minimum": min, "maximum": max }), variable, null]
        }
        Kind::Number => vec![json!({ "type": "number", "minimum": 0 }), variable, null],
        Kind::ChatId => vec![json!({ "type": "integer" }), variable, null],
        Kind::Word(words) => vec![json!({ "enum": words }), variable, null],
        Kind::Url => vec![json!({ "type": "string", "pattern": "^https?://" }), variable, null],
        Kind::Text | Kind::Address | Kind::Path | Kind::Secret => vec![text, null],
        Kind::Texts | Kind::Cidrs | Kind::Reachable => vec![list(text), null],
        Kind::Users => vec![list(json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, variable] })), null],
        Kind::Secrets => {
            let file = json!({
                "type": "object", "properties": { "file": text }, "required": ["file"], "additionalProperties": false
            });
            vec![list(json!({ "anyOf": [text, file] })), null]
        }
        Kind::Chat => vec![json!({ "type": "integer" }), variable, Value::Object(object(key.path)), null],
    };
    let mut value = json!({ "description": key.doc, "anyOf": forms });
    if !key.is_section() && key.default != "null" {
        let shown = super::reader::shown_json(key.kind, key.default);
        value["default"] = shown;
    }
    value
}
