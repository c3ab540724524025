//! What each route of the local API does.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use warp::reply::{Reply, Response};

use super::problem::Problem;
use super::{LocalApi, chat, workflows};
use crate::domain::ids::EventId;
use crate::ledger::EventFilter;

/// `GET /health`: no secret needed.
pub(super) async fn health(api: &LocalApi, method: &Method) -> Result<Response, Problem> {
    get(method)?;
    let stats = api.ledger.stats().await?;
    let uptime = Duration::try_from(api.clock.now().duration_since(api.started_at)).unwrap_or_default();
    Ok(ok(&json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": uptime.as_secs(),
        "queue_depth": stats.queue_depth,
        "handlers": api.handlers,
    })))
}

/// Routes under the token.
pub(super) async fn dispatch(
    api: &LocalApi,
    method: &Method,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Response, Problem> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if let Some(answered) = workflows::dispatch(api, method, &parts, query, body).await {
        return answered;
    }
    if let ["api", "chat", rest @ ..] = parts.as_slice() {
        return chat::dispatch(api, method, rest, query, body).await;
    }
    match parts.as_slice() {
        ["api", "events"] => {
            get(method)?;
            Ok(ok(&api.ledger.events(filter(query)?).await?))
        }
        ["api", "events", id] => {
            get(method)?;
            let id = event_id(id)?;
            let event = api.ledger.event(id).await?.ok_or_else(|| missing(id))?;
            Ok(ok(&event))
        }
        ["api", "events", id, "replay"] => {
            if method != Method::POST {
                return Err(Problem::method("POST"));
            }
            replay(api, event_id(id)?).await
        }
        _ => Err(Problem::not_found(format!("there is nothing at {path}"))),
    }
}

async fn replay(api: &LocalApi, original: EventId) -> Result<Response, Problem> {
    let now = api.clock.now();
    let replay = EventId::new(api.ids.ulid(now));
    api.ledger.replay(original, replay, now).await?;
    let body = json!({ "status": "queued", "event_id": replay, "replay_of": original });
    Ok(warp::reply::with_status(warp::reply::json(&body), StatusCode::ACCEPTED).into_response())
}

fn missing(id: EventId) -> Problem {
    Problem::not_found(format!("there is no event {id}"))
}

fn event_id(text: &str) -> Result<EventId, Problem> {
    text.parse().map_err(|error: crate::domain::ids::IdError| Problem::bad_request(error.to_string()))
}

pub(super) fn get(method: &Method) -> Result<(), Problem> {
    if method == Method::GET || method == Method::HEAD { Ok(()) } else { Err(Problem::method("GET, HEAD")) }
}

pub(super) fn ok(body: &impl serde::Serialize) -> Response {
    warp::reply::json(body).into_response()
}

/// Reads the filters of `agent events list` from a query; an unknown one is refused, for a typo would list everything.
fn filter(query: &str) -> Result<EventFilter, Problem> {
    let mut filter = EventFilter::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let fault = |what: &str| Problem::bad_request(format!("{name}={value}: {what}"));
        match &*name {
            "handler" => filter.handler = Some(value.into_owned()),
            "type" => filter.event = Some(value.into_owned()),
            "status" => {
                let status = value.parse::<crate::domain::event::EventStatus>();
                filter.status = Some(status.map_err(|error| Problem::bad_request(error.to_string()))?);
            }
            "since" => {
                let at: Result<Timestamp, _> = value.parse();
                filter.since = Some(at.map_err(|_| fault("write 2026-01-31T12:00:00Z"))?);
            }
            "search" => filter.search = Some(value.into_owned()),
            "limit" => filter.limit = value.parse().map_err(|_| fault("write a number"))?,
            "cursor" => filter.cursor = Some(value.into_owned()),
            _ => return Err(fault("the filters are handler, type, status, since, search, limit and cursor")),
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_a_typo_is_told() {
        let filter = filter("type=push&status=rejected&limit=5&since=2026-01-31T12:00:00Z").expect("valid");
        assert_eq!((filter.event.as_deref(), filter.limit), (Some("push"), 5));
        for bad in ["statsu=rejected", "status=done", "limit=x", "since=yesterday"] {
            assert!(super::filter(bad).is_err(), "{bad}");
        }
    }
}
