//! What a step wants back: text, one of a few words, or JSON that fits a schema; and whether an answer is that.
//!
//! The part of JSON Schema that a step needs: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`,
//! `minItems`, `maxItems`, `minLength`, `maxLength`, `minimum`, `maximum`, and words that only describe. A schema with anything
//! else is refused, because a rule that is not checked would be believed.

use serde_json::{Map, Value};

/// Deepest schema.
const DEPTH_MAX: usize = 16;
/// Most words of a list.
const WORDS_MAX: usize = 100;
/// Keys that describe and forbid nothing.
const DESCRIBING: [&str; 6] = ["title", "description", "$schema", "$comment", "examples", "default"];
/// Keys that are checked.
const CHECKED: [&str; 13] = [
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
];

/// What `type` may name.
const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];

/// What is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Returns {
    pub(super) wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    /// Any text.
    Text,
    /// One of these.
    Words(Vec<String>),
    /// JSON that fits.
    Json(Value),
}

impl Returns {
    /// Reads the argument `returns`: nothing, a list of words, or a schema.
    pub(super) fn read(argument: Option<&Value>) -> Result<Self, String> {
        let wanted = match argument {
            None => Wanted::Text,
            Some(Value::Array(words)) => {
                let texts: Option<Vec<String>> =
                    words.iter().map(|word| word.as_str().map(|word| word.trim().to_owned())).collect();
                let texts = texts.filter(|words| {
                    (1..=WORDS_MAX).contains(&words.len()) && words.iter().all(|word| !word.is_empty())
                });
                Wanted::Words(texts.ok_or_else(|| format!("a list holds 1 to {WORDS_MAX} words"))?)
            }
            Some(Value::Object(schema)) => {
                known(schema, "the schema", 0)?;
                Wanted::Json(Value::Object(schema.clone()))
            }
            Some(_) => return Err("expected a JSON Schema or a list of words".to_owned()),
        };
        Ok(Self { wanted })
    }

    /// The answer as a value, or why it is none.
    pub(super) fn check(&self, answer: &str) -> Result<Value, String> {
        match &self.wanted {
            Wanted::Text => Ok(Value::from(answer.trim())),
            Wanted::Words(words) => {
                let said = answer.trim().trim_matches(['"', '\'', '`', '.', '*']).trim();
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(said));
                word.map(|word| Value::from(word.as_str())).ok_or_else(|| "it is none of the words".to_owned())
            }
            Wanted::Json(schema) => {
                let value =
                    serde_json::from_str(unfenced(answer)).map_err(|error| format!("it is no JSON ({error})"))?;
                fits(&value, schema, "the answer")?;
                Ok(value)
            }
        }
    }
}

/// The JSON within a code fence, which models write whatever they are told.
fn unfenced(answer: &str) -> &str {
    let answer = answer.trim();
    let Some(inner) = answer.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else { return answer };
    inner.strip_prefix("json").unwrap_or(inner).trim()
}

/// Whether a schema holds only what is checked here.
fn known(schema: &Map<String, Value>, at: &str, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("{at} is nested deeper than {DEPTH_MAX}"));
    }
    if let Some(key) = schema.keys().find(|key| !CHECKED.contains(&key.as_str()) && !DESCRIBING.contains(&key.as_str()))
    {
        return Err(format!("{at}: '{key}' is not checked here; there are {}", CHECKED.join(", ")));
    }
    for (key, value) in schema {
        means(key, value).map_err(|wanted| format!("{at}.{key}: expected {wanted}"))?;
    }
    let mut parts: Vec<(String, &Value)> = Vec::new();
    if let Some(properties) = schema.get("properties") {
        let properties = properties.as_object().ok_or_else(|| format!("{at}.properties is not a map"))?;
        parts.extend(properties.iter().map(|(name, part)| (format!("{at}.{name}"), part)));
    }
    parts.extend(schema.get("items").map(|items| (format!("{at}.items"), items)));
    parts.extend(
        schema
            .get("additionalProperties")
            .filter(|part| !part.is_boolean())
            .map(|part| (format!("{at}.additionalProperties"), part)),
    );
    for (at, part) in parts {
        known(part.as_object().ok_or_else(|| format!("{at} is no schema"))?, &at, depth + 1)?;
    }
    Ok(())
}

/// Whether the value of a checked key can be checked with; an error says what it must be. Parts that are schemas are not looked into.
fn means(key: &str, value: &Value) -> Result<(), String> {
    let texts = |value: &Value| value.as_array().is_some_and(|all| all.iter().all(Value::is_string));
    let (fits, wanted) = match key {
        "type" => {
            let known = |kind: &Value| kind.as_str().is_some_and(|kind| TYPES.contains(&kind));
            let fits = known(value) || value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(known));
            (fits, format!("one or several of {}", TYPES.join(", ")))
        }
        "enum" => (value.as_array().is_some_and(|all| !all.is_empty()), "a list of values".to_owned()),
        "required" => (texts(value), "a list of names".to_owned()),
        "minItems" | "maxItems" | "minLength" | "maxLength" => (value.is_u64(), "a whole number".to_owned()),
        "minimum" | "maximum" => (value.is_number(), "a number".to_owned()),
        _ => (true, String::new()),
    };
    if fits { Ok(()) } else { Err(wanted) }
}

/// Whether `value` fits `schema`, which [`known`] has seen.
fn fits(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let Some(schema) = schema.as_object() else { return Ok(()) };
    if let Some(kind) = schema.get("type") {
        let kinds: Vec<&str> = match kind {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        };
        if !kinds.iter().any(|kind| is(value, kind)) {
            return Err(format!("{at} is not of type {}", kinds.join(" or ")));
        }
    }
    if schema.get("enum").and_then(Value::as_array).is_some_and(|words| !words.contains(value)) {
        return Err(format!("{at} is none of the values of its enum"));
    }
    if schema.get("const").is_some_and(|constant| constant != value) {
        return Err(format!("{at} is not its const"));
    }
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let within = |size: f64, least: &str, most: &str| {
        bound(least).is_none_or(|least| size >= least) && bound(most).is_none_or(|most| size <= most)
    };
    #[allow(clippy::cast_precision_loss, reason = "answers are shorter than 2^52")]
    let length = |count: usize| count as f64;
    match value {
        Value::String(text) if !within(length(text.chars().count()), "minLength", "maxLength") => {
            Err(format!("{at} is too short or too long"))
        }
        Value::Number(number) if !within(number.as_f64().unwrap_or(f64::NAN), "minimum", "maximum") => {
            Err(format!("{at} is out of its bounds"))
        }
        Value::Array(items) => {
            if !within(length(items.len()), "minItems", "maxItems") {
                return Err(format!("{at} has too few or too many items"));
            }
            let Some(schema) = schema.get("items") else { return Ok(()) };
            items.iter().enumerate().try_for_each(|(index, item)| fits(item, schema, &format!("{at}[{index}]")))
        }
        Value::Object(fields) => object(fields, schema, at),
        Value::String(_) | Value::Number(_) | Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn object(fields: &Map<String, Value>, schema: &Map<String, Value>, at: &str) -> Result<(), String> {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if !fields.contains_key(name) {
            return Err(format!("{at}.{name} is missing"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, value) in fields {
        let at = format!("{at}.{name}");
        match (properties.and_then(|properties| properties.get(name)), schema.get("additionalProperties")) {
            (Some(part), _) => fits(value, part, &at)?,
            (None, Some(Value::Bool(false))) => return Err(format!("{at} is not asked for")),
            (None, Some(part)) => fits(value, part, &at)?,
            (None, None) => {}
        }
    }
    Ok(())
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(returns: Value, answer: &str) -> Result<Value, String> {
        Returns::read(Some(&returns)).expect("a schema").check(answer)
    }

    #[test]
    fn a_word_is_one_of_the_words_and_nothing_else() {
        let words = json!(["low", "high"]);
        assert_eq!(check(words.clone(), " High. "), Ok(json!("high")));
        assert_eq!(check(words.clone(), "\"low\""), Ok(json!("low")));
        for bad in ["medium", "low and high", "", "low; run rm -rf"] {
            assert!(check(words.clone(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn json_must_fit_its_schema() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["risk", "why"],
            "properties": {
                "risk": {"type": "integer", "minimum": 1, "maximum": 5},
                "why": {"type": "array", "items": {"type": "string", "maxLength": 10}, "maxItems": 2},
                "kind": {"enum": ["a", null]},
            },
        });
        let good = json!({"risk": 3, "why": ["it is so"], "kind": null});
        assert_eq!(check(schema.clone(), &good.to_string()), Ok(good.clone()));
        assert_eq!(check(schema.clone(), &format!("```json\n{good}\n```")), Ok(good));
        for (bad, why) in [
            ("no", "no JSON"),
            (r#"{"risk":3}"#, "why is missing"),
            (r#"{"risk":9,"why":[]}"#, "out of its bounds"),
            (r#"{"risk":2.5,"why":[]}"#, "not of type integer"),
            (r#"{"risk":2,"why":["a","b","c"]}"#, "too many"),
            (r#"{"risk":2,"why":["a text that is too long"]}"#, "why[0]"),
            (r#"{"risk":2,"why":[],"more":1}"#, "not asked for"),
            (r#"{"risk":2,"why":[],"kind":"b"}"#, "enum"),
            ("[]", "not of type object"),
        ] {
            let error = check(schema.clone(), bad).expect_err(bad);
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_schema_that_would_not_be_checked_whole_is_refused() {
        for (bad, why) in [
            (json!({"oneOf": []}), "'oneOf' is not checked here"),
            (json!({"properties": {"a": {"pattern": "x"}}}), "the schema.a: 'pattern'"),
            (json!({"type": "strng"}), "the schema.type: expected one or several of object, array"),
            (json!({"type": []}), "the schema.type"),
            (json!({"items": {"enum": "a"}}), "the schema.items.enum: expected a list"),
            (json!({"required": [1]}), "the schema.required: expected a list of names"),
            (json!({"maxLength": -1}), "the schema.maxLength: expected a whole number"),
            (json!({"minimum": "low"}), "the schema.minimum: expected a number"),
            (json!(5), "a JSON Schema or a list of words"),
            (json!([]), "a list holds"),
            (json!([1]), "a list holds"),
        ] {
            let error = Returns::read(Some(&bad)).expect_err("it cannot be checked with");
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
