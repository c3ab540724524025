//! What a route of the API is: the one description that requests are judged by and the OpenAPI document is made of.

use futures::future::BoxFuture;
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use crate::dashboard::problem::Problem;

/// One method of one path.
pub(super) struct Route {
    /// The method; `GET` answers `HEAD` too.
    pub(super) method: Method,
    /// The path, with variables in braces.
    pub(super) path: &'static str,
    /// Its name in the document.
    pub(super) id: &'static str,
    /// What it does, in a line.
    pub(super) about: &'static str,
    /// Parameters of the query.
    pub(super) query: &'static [Param],
    /// What its body must be; `None` where it takes none.
    pub(super) body: Option<Body>,
    /// What it answers when it did what was asked.
    pub(super) answers: &'static [Answer],
    /// Refusals besides 400, 401, 403, 421 and 503, which every route has.
    pub(super) refusals: &'static [u16],
    /// Who does it.
    pub(super) handler: fn(Call) -> BoxFuture<'static, Result<Response, Problem>>,
}

/// A parameter of a query.
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) required: bool,
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
}

/// A body in JSON.
pub(super) struct Body {
    /// Whether it must be there.
    pub(super) required: bool,
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) about: &'static str,
    pub(super) content: Content,
}

/// What an answer holds.
pub(super) enum Content {
    /// JSON of this shape.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Text of this content type.
    Text(&'static str),
}

impl Route {
    /// The variables of `path` where it is this route's.
    pub(super) fn matches(&self, path: &str) -> Option<Vec<String>> {
        let (mut wanted, mut given) = (self.path.split('/'), path.split('/'));
        let mut vars = Vec::new();
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return Some(vars),
                (Some(name), Some(value)) if name.starts_with('{') && !value.is_empty() => vars.push(value.to_owned()),
                (Some(name), Some(value)) if name == value => {}
                _ => return None,
            }
        }
    }

    /// Names of the path's variables.
    pub(super) fn vars(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// The shape of `T`, as a reference into the document.
pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A schema that is written by hand.
pub(super) fn schema(value: Value) -> Schema {
    Schema::try_from(value).expect("written as an object")
}

/// Longest value of a query's parameter, in characters.
pub(super) const VALUE_CHARS_MAX: usize = 256;

/// Text.
pub(super) fn text(_: &mut SchemaGenerator) -> Schema {
    schema(json!({ "type": "string", "maxLength": VALUE_CHARS_MAX }))
}

/// A number from 0.
pub(super) fn count(_: &mut SchemaGenerator) -> Schema {
    schema(json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }))
}

/// A time: an instant, or how long ago.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    let ago = json!({ "type": "string", "pattern": "^[0-9]{1,6}[smhd]$", "examples": ["30m", "2h", "7d"] });
    let instant = json!({ "type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00Z"] });
    schema(json!({ "anyOf": [instant, ago] }))
}

/// How many.
pub(super) fn limit(_: &mut SchemaGenerator) -> Schema {
    schema(json!({ "type": "integer", "minimum": 1, "description": "More than 500 count as 500." }))
}

/// Where the page of events before ended.
pub(super) fn event_cursor(_: &mut SchemaGenerator) -> Schema {
    schema(json!({ "type": "string", "pattern": "^s[1-9a-f][0-9a-f]{0,14}$" }))
}

/// Where the page before ended.
pub(super) fn cursor(_: &mut SchemaGenerator) -> Schema {
    schema(json!({ "type": "string", "pattern": "^[1-9a-f][0-9a-f]{0,14}$" }))
}

/// Yes or no.
pub(super) fn flag(_: &mut SchemaGenerator) -> Schema {
    schema(json!({ "type": "boolean", "default": false }))
}

/// A parameter that may be left out.
pub(super) const fn may(name: &'static str, schema: fn(&mut SchemaGenerator) -> Schema, about: &'static str) -> Param {
    Param { name, about, required: false, schema }
}

/// The answer of a route that has one.
pub(super) const fn json(status: u16, schema: fn(&mut SchemaGenerator) -> Schema, about: &'static str) -> Answer {
    Answer { status, about, content: Content::Json(schema) }
}
