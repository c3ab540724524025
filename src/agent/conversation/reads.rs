//! What the model may look at freely. Everything that it finds is data: framed, bounded, without headers, and without secrets.
//!
//! Everybody who may talk to the assistant may see every event, run and fact (docs/ASSISTANT.md), so nothing is filtered by chat.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::Assistant;
use super::taint::frame;
use super::turn::framed_event;
use crate::domain::approval::ApprovalState;
use crate::domain::duration;
use crate::domain::event::EventStatus;
use crate::domain::ids::{EventId, RunId};
use crate::domain::run::RunState;
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::chat::{MuteRule, TurnRow};
use crate::ledger::runs::{ApprovalFilter, RunFilter, RunRow};
use crate::ledger::{EventFilter, EventRow, LedgerError};
use crate::tool::{Call, ToolSpec};

/// Rows of a list when nobody says how many, and at most.
const LISTED: usize = 10;
const LISTED_MAX: usize = 20;
/// Longest payload that a model is shown, in characters.
const PAYLOAD_CHARS_MAX: usize = 8000;
/// Longest output of a step in a list of steps, in characters.
const OUTPUT_CHARS_MAX: usize = 2000;
/// How far a count looks back when nobody says.
const COUNT_HOURS: i64 = 7 * 24;
/// Longest text to search for, in characters.
const QUERY_CHARS_MAX: usize = 200;

/// What a model is told of a time that cannot be read.
const NO_TIME: &str = "'since' is a duration such as 24h, or an RFC 3339 time.";

/// What a tool gave a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) text: String,
    /// Text from outside stands in it.
    pub(super) tainted: bool,
    /// Links that it brought.
    pub(super) links: Vec<String>,
}

impl Found {
    /// A sentence of our own.
    pub(super) fn told(text: impl Into<String>) -> Self {
        Self { text: text.into(), tainted: false, links: Vec::new() }
    }

    fn outside(source: &str, text: &str, links: Vec<String>) -> Self {
        Self { text: frame(source, text), tainted: true, links }
    }
}

impl Assistant {
    /// One of the assistant's own looks.
    pub(super) async fn look_up(&self, name: &str, args: &Map<String, Value>) -> Result<Found, LedgerError> {
        let looked = match name {
            "search_events" => self.search_events(args).await,
            "count_events" => self.count_events(args).await,
            "event" => self.one_event(args).await,
            "runs" => self.list_runs(args).await,
            "run" => self.one_run(args).await,
            "approvals" => self.list_approvals(args).await,
            "workflows" => Ok(self.list_workflows(args)),
            "handlers" => self.list_handlers().await,
            "draft_workflow" => self.draft(text(args, "yaml").unwrap_or_default()).await,
            _ => Ok(Found::told("There is no such tool.")),
        };
        match looked {
            Err(LedgerError::Invalid(why) | LedgerError::NotFound(why)) => Ok(Found::told(why)),
            other => other,
        }
    }

    /// A tool of the registry that only reads.
    pub(super) async fn read_free(&self, row: &TurnRow, spec: &'static ToolSpec, args: Map<String, Value>) -> Found {
        let Some(tool) = self.parts.tools.get(spec.name) else {
            return Found::told(format!("{} cannot be used here.", spec.name));
        };
        if let Some(strange) = self.strange_argument(spec, &args) {
            return Found::told(strange);
        }
        let call = Call {
            args,
            tainted: Vec::new(),
            tainted_first: Vec::new(),
            payload: Value::Null,
            run: RunId::new(self.parts.ids.ulid(self.parts.clock.now())),
            step: spec.name.to_owned(),
            effect: crate::domain::run::Effect::Read,
            attempt: 1,
            idempotency_key: row.turn.id.to_string(),
            timeout: spec.timeout_default,
        };
        let context = self.parts.context.for_call(CancellationToken::new(), None, Some(row.turn.chat.clone()));
        let outcome = tokio::select! {
            outcome = tool.run(&call, &context) => outcome,
            () = self.parts.clock.sleep(spec.timeout_default) => return Found::told("It took too long."),
        };
        match outcome {
            Ok(output) => {
                let text = match &output.value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                Found::outside(spec.name, &text, Vec::new())
            }
            // A message may repeat what stood in the arguments, and no more.
            Err(failure) => Found::outside(spec.name, &failure.to_string(), Vec::new()),
        }
    }

    async fn search_events(&self, args: &Map<String, Value>) -> Result<Found, LedgerError> {
        let since = match text(args, "since").map(|since| self.since(since)) {
            Some(None) => return Ok(Found::told(NO_TIME)),
            Some(since) => since,
            None => None,
        };
        let status = match text(args, "status").map(str::parse::<EventStatus>) {
            Some(Err(error)) => return Ok(Found::told(error.to_string())),
            Some(Ok(status)) => Some(status),
            None => None,
        };
        let query = text(args, "query").map(|query| clip_chars(&one_line(query), QUERY_CHARS_MAX));
        let longest = query.as_deref().and_then(|query| query.split(' ').max_by_key(|word| word.chars().count()));
        // The words as they stand, else the longest of them.
        let mut tries = vec![query.clone()];
        tries.extend(longest.filter(|word| Some(*word) != query.as_deref()).map(|word| Some(word.to_owned())));
        for search in tries {
            let filter = EventFilter {
                handler: text(args, "handler").map(str::to_owned),
                event: text(args, "event").map(str::to_owned),
                status,
                since,
                search,
                limit: limit(args),
                ..EventFilter::default()
            };
            let page = self.parts.ledger.events(filter).await?;
            if !page.items.is_empty() {
                let links = page.items.iter().filter_map(|event| event.url.clone()).collect();
                let lines: Vec<String> = page.items.iter().map(event_line).collect();
                let more = if page.next.is_some() { "\n(there are more)" } else { "" };
                return Ok(Found::outside("events", &format!("{}{more}", lines.join("\n")), links));
            }
        }
        Ok(Found::told("No events like that."))
    }

    async fn count_events(&self, args: &Map<String, Value>) -> Result<Found, LedgerError> {
        let since = match text(args, "since").map(|since| self.since(since)) {
            Some(None) => return Ok(Found::told(NO_TIME)),
            Some(Some(since)) => since,
            None => self.parts.clock.now() - jiff::SignedDuration::from_hours(COUNT_HOURS),
        };
        let rule = MuteRule {
            handler: text(args, "handler").map(str::to_owned),
            event: text(args, "event").map(str::to_owned),
            words: text(args, "query").map(str::to_owned),
            until: None,
        };
        let counts = self.parts.chats.would_mute(&rule, since).await?;
        if counts.is_empty() {
            return Ok(Found::told(format!("0 events since {since}")));
        }
        let total: u64 = counts.iter().map(|count| count.count).sum();
        let lines: Vec<String> =
            counts.iter().map(|count| format!("{} {}: {}", count.handler, count.event, count.count)).collect();
        Ok(Found::outside("counts", &format!("{total} events since {since}\n{}", lines.join("\n")), Vec::new()))
    }

    async fn one_event(&self, args: &Map<String, Value>) -> Result<Found, LedgerError> {
        match text(args, "id").unwrap_or_default().parse::<EventId>() {
            Ok(id) => self.event_found(id).await,
            Err(error) => Ok(Found::told(error.to_string())),
        }
    }

    /// One event as data.
    pub(super) async fn event_found(&self, id: EventId) -> Result<Found, LedgerError> {
        self.event_within(id, PAYLOAD_CHARS_MAX).await
    }

    /// The same with at most `chars_max` characters of its payload.
    pub(super) async fn event_within(&self, id: EventId, chars_max: usize) -> Result<Found, LedgerError> {
        let Some(event) = self.parts.ledger.event(id).await? else {
            return Ok(Found::told(format!("{id} is not kept any more.")));
        };
        let timeline: Vec<String> = event
            .timeline
            .iter()
            .map(|entry| format!("{} {} {}", entry.at, entry.what, entry.detail.as_deref().unwrap_or_default()))
            .collect();
        let payload = serde_json::to_string(&event.payload).unwrap_or_default();
        let whole = json!({
            "id": id, "handler": event.row.handler, "event": event.row.event, "status": event.row.status,
            "verdict": event.row.verdict, "reason": event.row.reason, "title": event.row.title, "url": event.row.url,
            "received_at": event.row.received_at, "timeline": timeline, "runs": event.row.runs,
        });
        let body = format!("{whole}\npayload: {}", clip_chars(&payload, chars_max.min(PAYLOAD_CHARS_MAX)));
        Ok(Found {
            text: framed_event(&id.to_string(), &body),
            tainted: true,
            links: event.row.url.into_iter().collect(),
        })
    }

    async fn list_runs(&self, args: &Map<String, Value>) -> Result<Found, LedgerError> {
        let state = match text(args, "state").map(str::parse::<RunState>) {
            Some(Err(error)) => return Ok(Found::told(error.to_string())),
            Some(Ok(state)) => Some(state),
            None => None,
        };
        let event = match text(args, "event").map(str::parse::<EventId>) {
            Some(Err(error)) => return Ok(Found::told(error.to_string())),
            Some(Ok(id)) => Some(id),
            None => None,
        };
        let filter = RunFilter {
            workflow: text(args, "workflow").map(str::to_owned),
            state,
            event,
            limit: limit(args),
            ..RunFilter::default()
        };
        let page = self.parts.engine.ledger().runs(filter).await?;
        if page.items.is_empty() {
            return Ok(Found::told("No runs like that."));
        }
        let lines: Vec<String> = page.items.iter().map(run_line).collect();
        Ok(Found::outside("runs", &lines.join("\n"), Vec::new()))
    }

    async fn one_run(&self, args: &Map<String, Value>) -> Result<Found, LedgerError> {
        let id = match text(args, "id").unwrap_or_default().parse::<RunId>() {
            Ok(id) => id,
            Err(error) => return Ok(Found::told(error.to_string())),
        };
        let Some(run) = self.parts.engine.ledger().run(id).await? else {
            return Ok(Found::told(format!("There is no run {id}.")));
        };
        let mut lines = vec![run_line(&run)];
        for step in &run.steps {
            let output = step.output.as_ref().map(Value::to_string).unwrap_or_default();
            let error = step.error.as_deref().unwrap_or_default();
            lines.push(format!(
                "step {} ({}): {} {} {}",
                step.name,
                step.tool.as_deref().unwrap_or("group"),
                step.state,
                clip_chars(error, OUTPUT_CHARS_MAX),
                clip_chars(&output, OUTPUT_CHARS_MAX)
            ));
        }
        Ok(Found::outside(&format!("run {id}"), &lines.join("\n"), Vec::new()))
    }

    async fn list_approvals(&self, args: &Map<String, Value>) -> Result<Found, LedgerError> {
        let state = match text(args, "state").unwrap_or("pending").parse::<ApprovalState>() {
            Ok(state) => Some(state),
            Err(error) => return Ok(Found::told(error.to_string())),
        };
        let filter = ApprovalFilter { state, limit: LISTED_MAX, ..ApprovalFilter::default() };
        let page = self.parts.engine.ledger().approvals(filter).await?;
        if page.items.is_empty() {
            return Ok(Found::told("No approvals like that."));
        }
        let line = |row: &crate::ledger::runs::ApprovalRow| {
            format!(
                "{} {} step {} of {}: {} {}, asked {}",
                row.id, row.run_id, row.step, row.workflow, row.action.tool, row.state, row.requested_at
            )
        };
        let lines: Vec<String> = page.items.iter().map(line).collect();
        Ok(Found::outside("approvals", &lines.join("\n"), Vec::new()))
    }

    fn list_workflows(&self, args: &Map<String, Value>) -> Found {
        let catalog = &self.parts.triggers.catalog;
        if let Some(name) = text(args, "name") {
            return match catalog.get(name) {
                Some(workflow) => Found::outside(&format!("workflow {}", workflow.name), &workflow.source, Vec::new()),
                None => Found::told("There is no such workflow."),
            };
        }
        let line = |workflow: &std::sync::Arc<crate::workflow::definition::Workflow>| {
            let state = if workflow.enabled { "enabled" } else { "disabled" };
            format!("{} ({}, {state}) {}", workflow.name, workflow.trigger.as_str(), one_line(&workflow.description))
        };
        let lines: Vec<String> = catalog.list().iter().map(line).collect();
        Found::told(if lines.is_empty() { "There are no workflows yet.".to_owned() } else { lines.join("\n") })
    }

    async fn list_handlers(&self) -> Result<Found, LedgerError> {
        let mutes = self.parts.chats.mutes(self.parts.clock.now()).await?;
        Ok(Found::told(json!({ "handlers": self.parts.handlers, "muted": mutes }).to_string()))
    }

    /// A duration back from now, or a time.
    fn since(&self, text: &str) -> Option<Timestamp> {
        if let Ok(at) = text.parse::<Timestamp>() {
            return Some(at);
        }
        let back = duration::parse(text).ok()?;
        self.parts.clock.now().checked_sub(back).ok()
    }
}

/// A text among arguments, unless it is empty.
pub(super) fn text<'a>(args: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    args.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn limit(args: &Map<String, Value>) -> usize {
    let limit = args.get("limit").and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(LISTED).clamp(1, LISTED_MAX)
}

fn event_line(event: &EventRow) -> String {
    format!(
        "{} {} {} {} {}: {} {}",
        event.id,
        event.received_at,
        event.handler.as_deref().unwrap_or("-"),
        event.event.as_deref().unwrap_or("-"),
        event.status,
        one_line(event.title.as_deref().unwrap_or_default()),
        event.url.as_deref().unwrap_or_default()
    )
}

fn run_line(run: &RunRow) -> String {
    format!(
        "{} {}: {} {} started {} by {}",
        run.id,
        run.workflow,
        run.state,
        run.reason.as_deref().unwrap_or_default(),
        run.started_at,
        run.started_by
    )
}
