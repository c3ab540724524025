//! What a committed event starts: workflows whose `on:` matches it, the workflow whose own route it came to, and steps of
//! runs that wait for it.
//!
//! Asked twice of every event: by the webhook server, so that the answer can name the runs, and by the queue, so that a
//! process that ends in between loses none. One event starts a workflow once, so whoever comes second finds the runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::Desks;
use crate::domain::event::{Arrival, EventStatus, ROUTE_PROVIDER, Verdict};
use crate::domain::ids::{EventId, RunId};
use crate::domain::notice::{ChatKey, Message};
use crate::domain::run::RunSource;
use crate::ledger::runs::RunContext;
use crate::ledger::{EventDetail, EventFilter, Ledger, LedgerError};
use crate::provider::Registry;
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::{Backtest, Trigger, Workflow};
use crate::workflow::engine::{Engine, StartError, StartRequest};
use crate::workflow::expr::{EventView, Scope};

/// Most waiting runs that an answer names.
const AWAITED_MAX: usize = 100;

/// Starts workflows for events.
#[derive(Debug, Clone)]
pub struct Triggers {
    /// The workflows.
    pub catalog: Arc<Catalog>,
    /// What carries them out.
    pub engine: Engine,
    /// Manifests, for facts and titles.
    pub providers: Arc<Registry>,
    /// Where runs of a handler's events are told.
    pub desks: Arc<Desks>,
}

/// What became of an event among the workflows that listen to its handler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Workflows that it started, now or before.
    pub runs: Vec<(String, RunId)>,
    /// Why none wants it; `None` when one does, or none listens.
    pub reason: Option<String>,
    /// Workflows that want it and cannot start, with the reason.
    pub refused: Vec<(String, String)>,
}

impl Triggers {
    /// Whether an enabled workflow's `on:` takes events of `handler`.
    pub fn listens_to(&self, handler: &str) -> bool {
        self.catalog.list().iter().any(|workflow| listens(workflow, handler))
    }

    /// Starts the workflows that want `event`.
    ///
    /// # Errors
    /// When the ledger did not keep a run; those before are started.
    pub async fn on_event(&self, event: &Arrival<'_>) -> Result<Outcome, LedgerError> {
        let listening: Vec<Arc<Workflow>> =
            self.catalog.list().into_iter().filter(|workflow| listens(workflow, event.handler)).collect();
        let mut outcome = Outcome::default();
        if listening.is_empty() {
            return Ok(outcome);
        }
        let (view, facts) = self.view(event);
        let scope = Scope::of_event(&view, event.payload.clone(), facts.clone());
        let context = RunContext {
            payload: event.payload.clone(),
            event: serde_json::to_value(&view).unwrap_or_default(),
            facts,
            inputs: Value::Object(serde_json::Map::new()),
        };
        let mut reasons = BTreeSet::new();
        for workflow in listening {
            if let Err(reason) = workflow.starts_for(&scope) {
                reasons.insert(reason);
                continue;
            }
            let request = StartRequest {
                workflow: workflow.name.clone(),
                event: Some(event.id),
                context: context.clone(),
                source: RunSource::Event,
                started_by: format!("handler {}", event.handler),
                chat: self.desks.of(event.handler).chat.clone(),
            };
            match self.engine.start(request).await {
                Ok(started) => outcome.runs.push((workflow.name.clone(), started.run)),
                Err(StartError::Ledger(error)) => return Err(error),
                Err(error) => outcome.refused.push((workflow.name.clone(), error.to_string())),
            }
        }
        if outcome.runs.is_empty() && outcome.refused.is_empty() {
            outcome.reason = Some(reasons.into_iter().collect::<Vec<_>>().join("; "));
        }
        Ok(outcome)
    }

    /// Starts the workflow whose route `event` came to. The inner error is a sentence for the sender.
    ///
    /// # Errors
    /// When the ledger did not keep the run.
    pub async fn on_route(&self, event: &Arrival<'_>) -> Result<Result<RunId, String>, LedgerError> {
        let view = EventView { title: Some(route_title(event.handler)), ..plain_view(event) };
        let inputs = match event.payload {
            Value::Object(_) => event.payload.clone(),
            _ => Value::Object(serde_json::Map::new()),
        };
        let request = StartRequest {
            workflow: event.handler.to_owned(),
            event: Some(event.id),
            context: RunContext {
                payload: event.payload.clone(),
                event: serde_json::to_value(&view).unwrap_or_default(),
                facts: Value::Object(serde_json::Map::new()),
                inputs,
            },
            source: RunSource::Route,
            started_by: format!("POST /webhooks/{}", event.handler),
            chat: self.desks.of(event.handler).chat.clone(),
        };
        match self.engine.start(request).await {
            Ok(started) => Ok(Ok(started.run)),
            Err(StartError::Ledger(error)) => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Steps that wait for `event` go on.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn wake(&self, event: &Arrival<'_>) -> Result<(), LedgerError> {
        // Most events find nobody waiting, and facts are worth more than one look.
        if self.engine.ledger().event_waits(event.handler, 0, 1).await?.is_empty() {
            return Ok(());
        }
        self.engine.event_arrived(event.id, &self.context(event)).await.map(drop)
    }

    /// The runs with a step that waits for `event` and will have it, with their workflows.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn awaited(&self, event: &Arrival<'_>) -> Result<Vec<(String, RunId)>, LedgerError> {
        let ledger = self.engine.ledger();
        if ledger.event_waits(event.handler, 0, 1).await?.is_empty() {
            return Ok(Vec::new());
        }
        let mut runs = Vec::new();
        for run in self.engine.event_wanted(&self.context(event)).await?.into_iter().take(AWAITED_MAX) {
            if let Some(row) = ledger.run(run).await? {
                runs.push((row.workflow, run));
            }
        }
        Ok(runs)
    }

    /// What a run of `event` would see.
    fn context(&self, event: &Arrival<'_>) -> RunContext {
        let (view, facts) = self.view(event);
        RunContext {
            payload: event.payload.clone(),
            event: serde_json::to_value(&view).unwrap_or_default(),
            facts,
            inputs: Value::Null,
        }
    }

    /// What `workflow` would have done with the newest `last` events that were kept for it to see.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn backtest(
        &self,
        ledger: &dyn Ledger,
        workflow: &Workflow,
        last: usize,
    ) -> Result<Vec<Tested>, LedgerError> {
        backtest(&self.providers, ledger, workflow, last).await
    }

    /// What handling a kept event once more would start and say. Nothing is changed.
    pub fn dry_run(&self, event: &EventDetail) -> DryRun {
        let stored = Stored::new(event);
        let arrival = stored.arrival(event);
        let (view, facts) = self.view(&arrival);
        let scope = Scope::of_event(&view, event.payload.clone(), facts);
        let workflows: Vec<(String, Backtest)> = if arrival.provider == ROUTE_PROVIDER {
            // The request came to the workflow's own route, where nothing else is asked.
            let own = self.catalog.get(arrival.handler);
            own.iter().map(|workflow| (workflow.name.clone(), workflow.forecast(&scope))).collect()
        } else {
            let listening = self.catalog.list().into_iter().filter(|workflow| listens(workflow, arrival.handler));
            listening.map(|workflow| (workflow.name.clone(), workflow.backtest(&scope))).collect()
        };
        let message = self.providers.get(arrival.provider).map(|provider| {
            let mut message = provider.summarize(arrival.event, &event.payload, &stored.headers).message;
            message.title = format!("Replay: {}", message.title);
            message
        });
        DryRun { message, chat: self.desks.of(arrival.handler).chat.clone(), workflows }
    }

    /// The event as expressions see it.
    fn view(&self, event: &Arrival<'_>) -> (EventView, Value) {
        view(&self.providers, event)
    }
}

/// What handling an event would do.
#[derive(Debug, Clone)]
pub struct DryRun {
    /// What would be said; `None` for an event of a workflow's own route, whose outcome is told.
    pub message: Option<Message>,
    /// To whom; `None` for nobody.
    pub chat: Option<ChatKey>,
    /// What each workflow that listens would do.
    pub workflows: Vec<(String, Backtest)>,
}

/// The parts of a kept event that an [`Arrival`] borrows.
struct Stored {
    handler: String,
    provider: String,
    event: String,
    headers: Vec<(String, String)>,
}

impl Stored {
    fn new(event: &EventDetail) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let header = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        Self {
            handler: text(&event.row.handler),
            provider: text(&event.row.provider),
            event: text(&event.row.event),
            headers: event.headers.iter().filter_map(header).collect(),
        }
    }

    fn arrival<'a>(&'a self, event: &'a EventDetail) -> Arrival<'a> {
        Arrival {
            id: event.row.id,
            handler: &self.handler,
            provider: &self.provider,
            event: &self.event,
            delivery_id: event.row.delivery_id.as_deref(),
            verdict: event.row.verdict.unwrap_or(Verdict::Unsigned),
            received_at: event.row.received_at,
            headers: &self.headers,
            payload: &event.payload,
        }
    }
}

/// One event of a backtest.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Tested {
    /// The event.
    pub event_id: EventId,
    /// Its type.
    pub event: String,
    /// Its first line.
    pub title: Option<String>,
    /// What the workflow would have done.
    #[serde(flatten)]
    pub outcome: Backtest,
}

/// What `workflow` would have done with the newest `last` events of its handler. Nothing is changed.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn backtest(
    providers: &Registry,
    ledger: &dyn Ledger,
    workflow: &Workflow,
    last: usize,
) -> Result<Vec<Tested>, LedgerError> {
    let handler = workflow.on.as_ref().and_then(|on| on.handler.clone());
    let filter = EventFilter { handler, limit: last, ..EventFilter::default() };
    let mut tested = Vec::new();
    for row in ledger.events(filter).await?.items {
        // A refused or repeated request is no event, and starts nothing.
        if !matches!(row.status, EventStatus::Accepted | EventStatus::Processed | EventStatus::Failed) {
            continue;
        }
        let Some(detail) = ledger.event(row.id).await? else { continue };
        let stored = Stored::new(&detail);
        let (view, facts) = view(providers, &stored.arrival(&detail));
        let outcome = workflow.backtest(&Scope::of_event(&view, detail.payload.clone(), facts));
        tested.push(Tested { event_id: row.id, title: row.title.clone(), event: stored.event, outcome });
    }
    Ok(tested)
}

fn view(providers: &Registry, event: &Arrival<'_>) -> (EventView, Value) {
    let Some(provider) = providers.get(event.provider) else {
        return (plain_view(event), Value::Object(serde_json::Map::new()));
    };
    let summary = provider.summarize(event.event, event.payload, event.headers);
    let facts = provider.facts(event.event, event.payload, event.headers);
    let view = EventView {
        title: Some(summary.message.title),
        url: summary.message.url,
        subject: summary.subject,
        ..plain_view(event)
    };
    (view, Value::Object(facts))
}

/// The title of an event that came to a workflow's own route.
pub(super) fn route_title(workflow: &str) -> String {
    format!("Webhook '{workflow}' called")
}

fn plain_view(event: &Arrival<'_>) -> EventView {
    EventView {
        id: event.id.to_string(),
        handler: event.handler.to_owned(),
        provider: event.provider.to_owned(),
        event: event.event.to_owned(),
        delivery_id: event.delivery_id.map(str::to_owned),
        verdict: event.verdict.to_string(),
        received_at: event.received_at,
        title: None,
        url: None,
        subject: None,
    }
}

/// Whether `workflow` may be started by events of `handler`, as far as its name goes.
fn listens(workflow: &Workflow, handler: &str) -> bool {
    let wanted = |on: &crate::workflow::definition::On| on.handler.as_deref().is_none_or(|name| name == handler);
    workflow.enabled && workflow.trigger == Trigger::Webhook && workflow.on.as_ref().is_some_and(wanted)
}
