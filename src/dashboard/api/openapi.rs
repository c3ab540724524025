//! The OpenAPI document, made of the table of routes and the types that handlers read and write.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::route::{Content, Param, Route, schema};
use super::table::ROUTES;

/// The document.
pub(super) static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// What a refusal looks like (RFC 9457).
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its shape is used")]
struct ProblemDetails {
    /// `about:blank`: the status says which kind it is.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong, and what to do.
    detail: String,
}

/// Refusals that every route may answer.
const COMMON: [u16; 5] = [400, 401, 403, 421, 503];
/// Those among them for callers that are not known; one route answers anybody.
const ASKS_WHO: [u16; 2] = [401, 403];
/// What a body may be answered, also where none is asked for.
const BODY: [u16; 2] = [408, 413];
/// Why, for those that are not told by their names.
const WHY: [(u16, &str); 11] = [
    (400, "Something in the request is not what is expected"),
    (401, "The token is missing or wrong"),
    (403, "A browser's change without its session's token, or from another site"),
    (404, "There is no such thing"),
    (408, "The body did not arrive in time"),
    (409, "It cannot be done in the state that the thing is in; nothing changed"),
    (413, "The body is too long"),
    (415, "The body is not JSON"),
    (421, "The Host header names another machine"),
    (422, "The workflow cannot be used as it is"),
    (503, "The ledger does not answer, or too much waits; try again"),
];

/// Any object.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    schema(json!({ "type": "object" }))
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut generator);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    let problem = generator.subschema_for::<ProblemDetails>();
    let responses: Map<String, Value> = WHY
        .iter()
        .map(|(status, why)| {
            let content = json!({ "application/problem+json": { "schema": problem } });
            (status.to_string(), json!({ "description": why, "content": content }))
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hookhand local API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Times are RFC 3339, UTC. Lists are pages: `next` is the cursor of the following one. \
                            A refusal is a problem (RFC 9457), the answer 405 to a method that a path does not have too; \
                            `HEAD` is answered as `GET` is.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": responses,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "The content of data/admin_token" },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let in_path = route.vars().map(|name| {
        let schema = var(route.path, name);
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let in_path: Vec<Value> = in_path.collect();
    let in_query = route.query.iter().map(|param| parameter(param, generator));
    let parameters: Vec<Value> = in_path.into_iter().chain(in_query).collect();
    let mut responses = Map::new();
    for answer in route.answers {
        let content = match &answer.content {
            Content::Json(schema) => json!({ "application/json": { "schema": schema(generator) } }),
            Content::Text(kind) => json!({ *kind: { "schema": { "type": "string" } } }),
        };
        responses.insert(answer.status.to_string(), json!({ "description": answer.about, "content": content }));
    }
    let open = route.path == "/health";
    let common = COMMON.iter().filter(|status| !(open && ASKS_WHO.contains(status)));
    for status in common.chain(route.refusals).chain(BODY.iter().filter(|_| !open)) {
        let reference = json!({ "$ref": format!("#/components/responses/{status}") });
        responses.entry(status.to_string()).or_insert(reference);
    }
    let mut operation = json!({ "operationId": route.id, "summary": route.about, "responses": responses });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = &route.body {
        let content = json!({ "application/json": { "schema": (body.schema)(generator) } });
        operation["requestBody"] = json!({ "required": body.required, "content": content });
    }
    if open {
        operation["security"] = json!([]);
    }
    operation
}

fn parameter(param: &Param, generator: &mut SchemaGenerator) -> Value {
    let schema = (param.schema)(generator);
    json!({ "name": param.name, "in": "query", "description": param.about, "required": param.required, "schema": schema })
}

/// The shape of a path's variable.
fn var(path: &str, name: &str) -> Value {
    let prefix = match path.split('/').nth(2) {
        Some("events") => "evt_",
        Some("runs") => "run_",
        Some("approvals") => "apr_",
        Some("chat") => return json!({ "type": "string", "pattern": "^(turn|run)_[0-7][0-9A-HJKMNP-TV-Z]{25}$" }),
        Some("memory") => return json!({ "type": "integer", "minimum": 1, "maximum": i64::MAX }),
        _ => return json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$" }),
    };
    debug_assert_eq!(name, "id");
    json!({ "type": "string", "pattern": format!("^{prefix}[0-7][0-9A-HJKMNP-TV-Z]{{25}}$") })
}

/// Statuses that a route may answer, for a test.
#[cfg(test)]
fn statuses(route: &Route) -> Vec<u16> {
    route.answers.iter().map(|answer| answer.status).chain(COMMON).chain(route.refusals.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        fn references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
            match value {
                Value::Object(map) => {
                    into.extend(map.get("$ref").and_then(Value::as_str));
                    map.values().for_each(|value| references(value, into));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, into)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        references(&DOCUMENT, &mut found);
        assert!(found.len() > 50, "only {} references", found.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(DOCUMENT.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn names_are_used_once_and_every_status_has_a_reason() {
        let mut ids: Vec<&str> = ROUTES.iter().map(|route| route.id).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
        for route in ROUTES {
            for status in statuses(route) {
                let told = WHY.iter().any(|(known, _)| *known == status);
                let success = StatusCode::from_u16(status).expect("a status").is_success();
                assert!(told || success, "{} {status}", route.path);
            }
        }
    }
}
