//! Events over the API.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use warp::reply::Response;

use super::call::{Call, ok, with};
use crate::agent::DryRun;
use crate::dashboard::problem::Problem;
use crate::domain::ids::EventId;
use crate::domain::notice::{ChatKey, Message};
use crate::ledger::{EventDetail, EventFilter};
use crate::workflow::definition::Backtest;

/// A replay that was queued.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Queued {
    /// `queued`.
    status: &'static str,
    /// The new event.
    event_id: EventId,
    /// The event that it repeats.
    replay_of: EventId,
}

/// What a replay would do.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Dry {
    /// The event that it would repeat.
    replay_of: EventId,
    /// What would be said; `null` for an event of a workflow's own route, whose outcome is told.
    message: Option<Message>,
    /// To whom; `null` for nobody.
    chat: Option<ChatKey>,
    /// What each workflow that listens would do.
    workflows: Vec<DryWorkflow>,
}

/// What one workflow would do.
#[derive(Debug, Serialize, JsonSchema)]
struct DryWorkflow {
    /// Its name.
    workflow: String,
    #[serde(flatten)]
    forecast: Backtest,
}

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let filter = EventFilter {
        handler: call.text("handler"),
        event: call.text("type"),
        status: call.get_as("status")?,
        since: call.time("since")?,
        search: call.text("search"),
        limit: call.number("limit")?.unwrap_or_default(),
        cursor: call.text("cursor"),
        after: None,
    };
    ok(&call.api.ledger.events(filter).await?)
}

pub(super) async fn one(call: Call) -> Result<Response, Problem> {
    ok(&event(&call, call.var_as(0)?).await?)
}

pub(super) async fn replay(call: Call) -> Result<Response, Problem> {
    let original = call.var_as(0)?;
    if call.flag("dry_run")? {
        let DryRun { message, chat, workflows } = call.api.triggers.dry_run(&event(&call, original).await?);
        let workflows = workflows.into_iter().map(|(workflow, forecast)| DryWorkflow { workflow, forecast }).collect();
        return ok(&Dry { replay_of: original, message, chat, workflows });
    }
    let now = call.api.clock.now();
    let replay = EventId::new(call.api.ids.ulid(now));
    call.api.ledger.replay(original, replay, now).await?;
    with(StatusCode::ACCEPTED, &Queued { status: "queued", event_id: replay, replay_of: original })
}

async fn event(call: &Call, id: EventId) -> Result<EventDetail, Problem> {
    let found = call.api.ledger.event(id).await?;
    found.ok_or_else(|| Problem::not_found(format!("there is no event {id}")))
}
