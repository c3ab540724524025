//! The routes that are about the agent itself: its health, its numbers, its memory, its handlers, its own description.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use warp::reply::Response;

use super::call::{Call, ok, with};
use crate::dashboard::overview;
use crate::dashboard::problem::Problem;
use crate::ledger::runs::MemoryRow;

/// Facts in one answer when nobody says how many.
const FACTS_DEFAULT: usize = 50;

/// How the agent is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    /// `ok`, or `degraded` with 503 while nothing can be kept or read.
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    /// Events that wait for their handling; `null` where the ledger does not answer.
    queue_depth: Option<u64>,
    /// Names of the handlers.
    handlers: Vec<String>,
}

/// A handler as it is configured, and when it was last heard of.
#[derive(Debug, Serialize, JsonSchema)]
struct Handler {
    name: String,
    provider: String,
    enabled: bool,
    /// The address for its sender.
    url: String,
    /// Event types that are wanted; empty wants all.
    events: Vec<String>,
    /// Whether it has a secret.
    signed: bool,
    /// When it last had an event accepted.
    last_event_at: Option<Timestamp>,
}

/// All handlers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Handlers {
    items: Vec<Handler>,
    /// Always `null`: all of them are here.
    next: Option<String>,
}

/// Facts.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Facts {
    items: Vec<MemoryRow>,
    /// The cursor of the next page; `null` for a search, which gives its best facts: ask for more with `limit`.
    next: Option<String>,
}

/// A fact that is gone.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Forgotten {
    /// `forgotten`.
    status: &'static str,
    /// The fact's number.
    id: i64,
}

pub(super) async fn health(call: Call) -> Result<Response, Problem> {
    let api = &call.api;
    let queue_depth = api.ledger.stats().await.ok().map(|stats| stats.queue_depth);
    let is_well = queue_depth.is_some() && !api.ledger.changes().failing.load(Relaxed);
    let (code, status) = if is_well { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "degraded") };
    let uptime = Duration::try_from(api.clock.now().duration_since(api.started_at)).unwrap_or_default();
    let health = Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: uptime.as_secs(),
        queue_depth,
        handlers: api.handlers.clone(),
    };
    with(code, &health)
}

pub(super) async fn overview(call: Call) -> Result<Response, Problem> {
    ok(&overview::read(&call.api).await?)
}

pub(super) async fn handlers(call: Call) -> Result<Response, Problem> {
    let (site, last) = (&call.api.site, call.api.ledger.stats().await?.last_event_at);
    let items = site.handlers.iter().map(|handler| Handler {
        name: handler.name.clone(),
        provider: handler.provider.clone(),
        enabled: handler.enabled,
        url: site.url(&handler.path),
        events: handler.events.clone(),
        signed: handler.secret.is_some(),
        last_event_at: last.get(&handler.name).copied(),
    });
    ok(&Handlers { items: items.collect(), next: None })
}

pub(super) async fn memory(call: Call) -> Result<Response, Problem> {
    let limit = call.number("limit")?.unwrap_or(FACTS_DEFAULT);
    let (ledger, section) = (call.api.triggers.engine.ledger(), call.get("section"));
    match (call.get("query").filter(|query| !query.trim().is_empty()), call.get("cursor")) {
        // A search has one page, so behind it is nothing.
        (Some(_), cursor @ Some(_)) => {
            ledger.facts(section, cursor, 1).await?;
            ok(&Facts { items: Vec::new(), next: None })
        }
        (Some(query), None) => ok(&Facts { items: ledger.recall(query, section, limit).await?, next: None }),
        (None, cursor) => {
            let page = ledger.facts(section, cursor, limit).await?;
            ok(&Facts { items: page.items, next: page.next })
        }
    }
}

pub(super) async fn forget(call: Call) -> Result<Response, Problem> {
    let id = call.var(0).parse().map_err(|_| Problem::bad_request("a fact is named by its number"))?;
    match call.api.chats.forget(id).await? {
        true => ok(&Forgotten { status: "forgotten", id }),
        false => Err(Problem::not_found(format!("there is no fact {id}"))),
    }
}

pub(super) async fn openapi(_call: Call) -> Result<Response, Problem> {
    ok(&*super::openapi::DOCUMENT)
}
