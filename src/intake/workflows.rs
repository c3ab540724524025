//! What the webhook server asks of workflows, and the routes that start one: `/webhooks/<workflow>` and `generic`.
//!
//! The event is committed first; then the run is started and waited for, and the queue starts it all the same should this
//! process end in between (one event starts a workflow once). The server knows nothing of steps but their names and ends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::Inner;
use super::judged::{Judged, delivery_row, new_event};
use super::limits::{WORKFLOW_WAIT_DEFAULT, WORKFLOW_WAIT_MAX};
use super::metrics::Outcome;
use super::record::shown;
use super::refusal::{Code, Refusal};
use super::reply::{self, Answer, RunRef};
use super::routes::{GENERIC, PREFIXES, Route, RouteKind};
use super::verify::Received;
use crate::domain::event::{Arrival, DeliveryKey, HandlerName, ROUTE_PROVIDER};
use crate::domain::ids::{EventId, RunId};
use crate::domain::run::{RunState, StepState};
use crate::ledger::runs::{RunRow, StepRow};
use crate::ledger::{Ingested, LedgerError};

/// Headers that name a delivery on a workflow's route. Its payload does not: an `id` there is some thing's, not the delivery's.
const DELIVERY_HEADERS: [&str; 4] = ["idempotency-key", "webhook-id", "x-github-delivery", "x-request-id"];

/// A workflow as a route shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRoute {
    /// Whether it starts at all.
    pub enabled: bool,
}

/// What an event did to the workflows that listen to its handler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matched {
    /// Workflows that it started, now or before.
    pub runs: Vec<(String, RunId)>,
    /// Why no workflow wants it; `None` when one does, or none listens to this handler.
    pub reason: Option<String>,
}

/// What the webhook server asks of workflows.
#[async_trait]
pub trait Workflows: std::fmt::Debug + Send + Sync + 'static {
    /// The workflow `name`, if it has `trigger: webhook`.
    fn route(&self, name: &str) -> Option<WorkflowRoute>;

    /// Whether some enabled workflow's `on:` names this handler.
    fn listens_to(&self, handler: &str) -> bool;

    /// Starts the workflows whose `on:` matches a committed event. The queue does the same later; whoever comes second
    /// finds the runs.
    async fn on_event(&self, event: &Arrival<'_>) -> Result<Matched, LedgerError>;

    /// Starts the workflow `event.handler` for a committed event of its own route. The inner error is a sentence for the
    /// sender.
    async fn start(&self, event: &Arrival<'_>) -> Result<Result<RunId, String>, LedgerError>;

    /// The run once it has ended or waits for somebody, or `longest` is over.
    async fn wait(&self, run: RunId, longest: Duration) -> Result<Option<RunRow>, LedgerError>;
}

/// There are none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWorkflows;

#[async_trait]
impl Workflows for NoWorkflows {
    fn route(&self, _: &str) -> Option<WorkflowRoute> {
        None
    }

    fn listens_to(&self, _: &str) -> bool {
        false
    }

    async fn on_event(&self, _: &Arrival<'_>) -> Result<Matched, LedgerError> {
        Ok(Matched::default())
    }

    async fn start(&self, _: &Arrival<'_>) -> Result<Result<RunId, String>, LedgerError> {
        Ok(Err("there are no workflows here".into()))
    }

    async fn wait(&self, _: RunId, _: Duration) -> Result<Option<RunRow>, LedgerError> {
        Ok(None)
    }
}

/// What a workflow route answers once its run is known.
#[derive(Debug, Serialize)]
struct RunAnswer<'a> {
    status: &'static str,
    workflow: &'a str,
    event_id: EventId,
    run_id: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    results: Vec<Value>,
}

/// How long the sender wants to wait (RFC 7240).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Preference {
    wait: Duration,
    /// What `Preference-Applied` says; nothing when nothing was asked.
    applied: Option<u64>,
}

impl Inner {
    /// The workflow's route at `path`, and whether its test page is asked for.
    pub(super) fn workflow_route(&self, path: &str) -> Option<(Arc<Route>, Option<String>)> {
        let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        let rest = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix))?;
        let (name, test) = match rest.strip_suffix("/test") {
            Some(name) => (name, path.strip_suffix("/test").map(str::to_owned)),
            None => (rest, None),
        };
        let workflow = self.workflows.route(name)?;
        let name: HandlerName = name.parse().ok()?;
        let template = self.routes.load().workflow()?;
        let route = Route { name, kind: RouteKind::Workflow, enabled: workflow.enabled, ..Route::clone(&template) };
        Some((Arc::new(route), test))
    }

    /// Commits a request to a workflow's route, starts the run and waits for it.
    ///
    /// # Errors
    /// `not_found`, `disabled`, `invalid_payload`, `storage_unavailable`.
    pub(super) async fn settle_route(&self, received: &Received, judged: Judged) -> Result<Response, Refusal> {
        let (received, judged) = self.named(received, judged)?;
        let (route, headers) = (&*received.route, &received.exchange.head.headers);
        let delivery_id = delivery_id(headers);
        let key = delivery_id.as_ref().map(|id| DeliveryKey::new(&route.name, id));
        let id = EventId::new(self.ids.ulid(self.clock.now()));
        let mut event = new_event(id, &received, &judged, None);
        event.provider = ROUTE_PROVIDER.to_owned();
        event.delivery_id = delivery_id.as_deref().map(|id| delivery_row(route, id));
        event.delivery_key = key.or(event.delivery_key);
        let (shown_id, kept_headers) = (event.delivery_id.clone(), event.headers.clone());
        let ingested = self.commit(&received, event).await;
        match ingested.map_err(|refusal| refusal.verdict(judged.verdict))? {
            Ingested::Kept => {}
            Ingested::Duplicate { first } => {
                let answer = self.duplicate(&received, &judged.event, shown_id.as_deref(), judged.verdict, first);
                self.finish(&received, &judged, first, Outcome::Duplicate);
                return Ok(reply::answer(StatusCode::OK, route.response_type, &answer));
            }
            Ingested::Requeued { event } => {
                self.finish(&received, &judged, event, Outcome::Requeued);
                let answer = Answer::Requeued { event_id: event };
                return Ok(reply::answer(StatusCode::OK, route.response_type, &answer));
            }
        }
        self.finish(&received, &judged, id, Outcome::Accepted);
        let payload = judged.payload.unwrap_or_default();
        let arrived = Arrival {
            id,
            handler: route.name.as_str(),
            provider: ROUTE_PROVIDER,
            event: &judged.event,
            delivery_id: shown_id.as_deref(),
            verdict: judged.verdict,
            received_at: received.exchange.received_at,
            headers: &kept_headers,
            payload: &payload,
        };
        Ok(self.run_and_answer(&arrived, preference(headers)).await)
    }

    /// For `generic`: the workflow that the payload names takes the place of the route's name, and its inputs that of the
    /// payload. For a workflow's own route nothing changes.
    fn named(&self, received: &Received, mut judged: Judged) -> Result<(Received, Judged), Refusal> {
        if received.route.kind != RouteKind::Generic {
            return Ok((received.clone(), judged));
        }
        let verdict = judged.verdict;
        let payload = judged.payload.take().unwrap_or_default();
        let Some(name) = payload.get("workflow_name").and_then(Value::as_str) else {
            let message = "say which workflow: {\"workflow_name\": \"…\", \"inputs\": {…}}";
            return Err(Refusal::new(Code::InvalidPayload, message).verdict(verdict));
        };
        let unknown = || {
            let message = format!("there is no workflow '{}' with a webhook trigger", shown(name, 80));
            Refusal::new(Code::NotFound, message).verdict(verdict)
        };
        let workflow = self.workflows.route(name).ok_or_else(unknown)?;
        let handler: HandlerName = name.parse().map_err(|_| unknown())?;
        if !workflow.enabled {
            return Err(Refusal::new(Code::Disabled, format!("workflow '{handler}' is disabled")).verdict(verdict));
        }
        let inputs = match payload.get("inputs") {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(inputs @ Value::Object(_)) => inputs.clone(),
            Some(_) => {
                return Err(Refusal::new(Code::InvalidPayload, "`inputs` must be an object").verdict(verdict));
            }
        };
        let mut received = received.clone();
        received.route = Arc::new(Route { name: handler, ..Route::clone(&received.route) });
        judged.event = inputs.get("event_type").and_then(Value::as_str).map_or(judged.event, |event| shown(event, 256));
        judged.text = Some(inputs.to_string().into());
        judged.payload = Some(inputs);
        Ok((received, judged))
    }

    async fn run_and_answer(&self, event: &Arrival<'_>, preference: Preference) -> Response {
        let workflow = event.handler;
        let answer =
            |status, run_id, error, results| RunAnswer { status, workflow, event_id: event.id, run_id, error, results };
        let run = match self.workflows.start(event).await {
            Ok(Ok(run)) => run,
            Ok(Err(reason)) => {
                return applied(json_ok(&answer("error", None, Some(reason), Vec::new())), preference);
            }
            Err(error) => {
                // It is committed, and the queue starts it.
                tracing::warn!(event.id = %event.id, %error, "the queue starts this event's run");
                return applied(accepted(event, None), preference);
            }
        };
        let row = match preference.wait {
            Duration::ZERO => None,
            longest => self.workflows.wait(run, longest).await.unwrap_or_else(|error| {
                tracing::warn!(run.id = %run, %error, "a run could not be waited for");
                None
            }),
        };
        let response = match row.as_ref().map(|row| (row, status(row))) {
            Some((row, Some(status))) => {
                json_ok(&answer(status, Some(run), row.reason.clone().filter(|_| status != "ok"), results(row)))
            }
            Some((_, None)) | None => accepted(event, Some(run)),
        };
        applied(response, preference)
    }
}

fn json_ok(answer: &RunAnswer<'_>) -> Response {
    reply::json(StatusCode::OK, answer)
}

fn accepted(event: &Arrival<'_>, run: Option<RunId>) -> Response {
    let runs = run.map(|run_id| RunRef { workflow: event.handler.to_owned(), run_id }).into_iter().collect();
    reply::json(StatusCode::OK, &Answer::accepted(event.id, event.provider, event.event, runs))
}

/// The word for a run that has come as far as it will by itself; `None` while it works.
fn status(run: &RunRow) -> Option<&'static str> {
    match run.state {
        RunState::Success => Some("ok"),
        RunState::Waiting => {
            let asks = |step: &StepRow| step.state == StepState::Waiting && step.approval_id.is_some();
            run.steps.iter().any(asks).then_some("pending_approval")
        }
        RunState::Running => None,
        RunState::Error | RunState::Denied | RunState::Expired | RunState::Cancelled | RunState::InDoubt => {
            Some(run.state.as_str())
        }
    }
}

/// The steps that have begun, each with what there is to say about it.
fn results(run: &RunRow) -> Vec<Value> {
    run.steps.iter().filter(|step| step.state != StepState::Ready).map(result).collect()
}

fn result(step: &StepRow) -> Value {
    let mut result = json!({ "step": step.name, "status": step.state });
    let mut set = |key: &str, value: Value| {
        result[key] = value;
    };
    let said = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
    match step.state {
        StepState::Success => set("output", step.output.clone().unwrap_or_default()),
        StepState::Error | StepState::InDoubt => set("error", said(&step.error)),
        StepState::Skipped | StepState::Denied | StepState::Expired | StepState::Cancelled => {
            set("reason", said(&step.error));
        }
        StepState::Waiting => {
            if let Some(approval) = step.approval_id {
                set("approval_id", json!(approval));
            }
        }
        StepState::Ready | StepState::Started => {}
    }
    result
}

fn delivery_id(headers: &HeaderMap) -> Option<String> {
    let text = |name: &&str| headers.get(*name).and_then(|value| value.to_str().ok()).map(str::trim);
    DELIVERY_HEADERS.iter().find_map(|name| text(name).filter(|id| !id.is_empty()).map(str::to_owned))
}

/// Reads `Prefer`: `wait=N` in seconds, `respond-async`. What cannot be read is not preferred.
fn preference(headers: &HeaderMap) -> Preference {
    let mut preference = Preference { wait: WORKFLOW_WAIT_DEFAULT, applied: None };
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    for item in values.flat_map(|value| value.split(',')) {
        let item = item.split(';').next().unwrap_or_default().trim();
        if item.eq_ignore_ascii_case("respond-async") {
            return Preference { wait: Duration::ZERO, applied: Some(0) };
        }
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        if name.trim().eq_ignore_ascii_case("wait")
            && let Ok(seconds) = value.trim().trim_matches('"').parse::<u64>()
        {
            let wait = Duration::from_secs(seconds).min(WORKFLOW_WAIT_MAX);
            preference = Preference { wait, applied: Some(wait.as_secs()) };
        }
    }
    preference
}

fn applied(mut response: Response, preference: Preference) -> Response {
    const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
    let value = match preference.applied {
        None => return response,
        Some(0) if preference.wait == Duration::ZERO => HeaderValue::from_static("respond-async"),
        Some(seconds) => HeaderValue::from_str(&format!("wait={seconds}")).expect("digits"),
    };
    response.headers_mut().insert(APPLIED, value);
    response
}

/// The event type on a workflow's route: GitHub's header, else what the common reading found.
pub(super) fn event_type(headers: &HeaderMap, payload: &Value, read: Option<String>) -> String {
    let github = headers.get("x-github-event").and_then(|value| value.to_str().ok()).filter(|event| !event.is_empty());
    match (github, payload.get("action").and_then(Value::as_str)) {
        (Some(event), Some(action)) => format!("{event}.{action}"),
        (Some(event), None) => event.to_owned(),
        (None, _) => read.unwrap_or_else(|| crate::provider::UNKNOWN_EVENT.to_owned()),
    }
}

/// Whether a name is served by something else than a workflow of that name.
pub fn is_reserved(name: &str) -> bool {
    name == GENERIC
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(value: &str) -> (u64, Option<u64>) {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("prefer"),
            HeaderValue::from_str(value).expect("a header value"),
        )]);
        let preference = preference(&headers);
        (preference.wait.as_secs(), preference.applied)
    }

    #[test]
    fn a_sender_may_wait_shorter_or_longer_within_bounds() {
        assert_eq!(preferred("wait=2"), (2, Some(2)));
        assert_eq!(preferred("handling=lenient, wait=100"), (8, Some(8)));
        assert_eq!(preferred("respond-async, wait=3"), (0, Some(0)));
        assert_eq!(preferred("wait=soon"), (WORKFLOW_WAIT_DEFAULT.as_secs(), None));
        assert_eq!(preference(&HeaderMap::new()).wait, WORKFLOW_WAIT_DEFAULT);
    }
}
