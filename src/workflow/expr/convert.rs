//! JSON for the engine and back. Order of keys, whole numbers of 64 bits and every character survive the way there and back.
//! What a sender writes with more digits was rounded when the JSON was read, as JSON's numbers are (RFC 8259, 6).

use minijinja::value::{Value, ValueKind};
use serde_json::{Map, Number, Value as Json};

use super::ExprError;
use super::engine::Encoded;

/// Deepest nesting of a value, that of parsed payloads and some.
const DEPTH_MAX: usize = 160;

/// From here on a whole number has more than 64 bits.
const WHOLE_MAX: f64 = 9_223_372_036_854_775_808.0;

/// Whether a number may have been a whole one whose last digits are lost: an id of thirty digits is another id then.
pub(crate) fn has_lost_digits(json: &Json) -> bool {
    let number = json.as_number().filter(|number| number.as_i64().is_none() && number.as_u64().is_none());
    number.and_then(Number::as_f64).is_some_and(is_rounded)
}

/// The same of a number that the engine has.
pub(super) fn is_rounded_number(value: &Value) -> bool {
    !value.is_integer() && f64::try_from(value.clone()).is_ok_and(is_rounded)
}

fn is_rounded(number: f64) -> bool {
    number.is_finite() && number.abs() >= WHOLE_MAX
}

/// A JSON value for the engine.
pub(super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), _, _) => Value::from(n),
            (None, Some(n), _) => Value::from(n),
            (None, None, Some(n)) => Value::from(n),
            (None, None, None) => Value::from(()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<Value>>()),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(key, value)| (key.as_str(), from_json(value)))),
    }
}

/// The engine's value as JSON. What is undefined within a list or a map is null.
pub(super) fn to_json(value: &Value) -> Result<Json, ExprError> {
    within(value, DEPTH_MAX)
}

fn within(value: &Value, depth: usize) -> Result<Json, ExprError> {
    let wrong = |what: &str| ExprError::new(format!("gives {what}, which is no JSON"));
    let inner = depth.checked_sub(1).ok_or_else(|| wrong("something too deep"))?;
    if let Some(encoded) = value.downcast_object_ref::<Encoded>() {
        return Ok(Json::String(encoded.0.clone()));
    }
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => Json::Number(number(value).ok_or_else(|| wrong("a number beyond bounds"))?),
        ValueKind::String => Json::String(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|_| wrong("something endless"))?;
            Json::Array(items.map(|item| within(&item, inner)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let mut map = Map::new();
            for key in value.try_iter().map_err(|_| wrong("something strange"))? {
                let item = value.get_item(&key).map_err(|_| wrong("something strange"))?;
                let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                map.insert(key, within(&item, inner)?);
            }
            Json::Object(map)
        }
        _ => return Err(wrong("something else")),
    })
}

fn number(value: &Value) -> Option<Number> {
    if value.is_integer() {
        if let Ok(n) = i64::try_from(value.clone()) {
            return Some(Number::from(n));
        }
        return u64::try_from(value.clone()).ok().map(Number::from);
    }
    f64::try_from(value.clone()).ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i64>().prop_map(|n| json!(n)),
            any::<u64>().prop_map(|n| json!(n)),
            any::<f64>().prop_map(|n| json!(n)),
            any::<String>().prop_map(Json::String),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Json::Array),
                prop::collection::vec((any::<String>(), inner), 0..8).prop_map(|pairs| pairs.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same(json in any_json()) {
            prop_assert_eq!(to_json(&from_json(&json)).expect("JSON"), json);
        }
    }
}
