//! `agent events`: what came in, why it was taken or refused, and once more.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;

use super::context::{self, Context};
use super::{Common, local, out, small_runtime};
use crate::app;
use crate::domain::duration;
use crate::domain::event::EventStatus;
use crate::domain::ids::EventId;
use crate::ledger::{EVENTS_PAGE_MAX, EventDetail, EventFilter, EventRow, Ledger};
use crate::ports::{Clock, SystemClock};

/// How often `tail` looks for what is new.
const TAIL_EVERY: Duration = Duration::from_millis(300);
/// A handler's name further from what was typed than this, in edits, is not meant by it.
const NEAR_EDITS_MAX: usize = 3;
/// Events that are listed when nobody says how many.
const LIST_DEFAULT: usize = 30;

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// List events, newest first
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// Events to list
        #[arg(long, default_value_t = LIST_DEFAULT, value_name = "N", value_parser = parse_limit)]
        limit: usize,
        /// Go on where a list ended (its `next`)
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one event: verdict, headers, payload and timeline
    Show {
        /// The event's id
        id: EventId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Handle a kept event once more, as a new event
    Replay {
        /// The event's id
        id: EventId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print events as they come
    Tail {
        #[command(flatten)]
        filter: FilterArgs,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct FilterArgs {
    /// Only this handler
    #[arg(long)]
    handler: Option<String>,
    /// Only this event type; `pull_request` covers `pull_request.opened`
    #[arg(long = "type", value_name = "TYPE")]
    event: Option<String>,
    /// Only this status: accepted, ignored, duplicate, rejected, processed or failed
    #[arg(long)]
    status: Option<EventStatus>,
    /// Only since then: 30m, 2h, 7d or 2026-01-31T12:00:00Z
    #[arg(long, value_parser = parse_since)]
    since: Option<Timestamp>,
    /// Only with this text in title, type, delivery id, reason or payload
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

/// A number of events to list; the ledger would cut a larger one without a word.
pub(super) fn parse_limit(text: &str) -> Result<usize, String> {
    let fault = || format!("'{text}' is no number from 1 to {EVENTS_PAGE_MAX}; --cursor goes on where a list ended");
    text.parse().ok().filter(|limit| (1..=EVENTS_PAGE_MAX).contains(limit)).ok_or_else(fault)
}

pub(super) fn parse_since(text: &str) -> Result<Timestamp, String> {
    let fault = || format!("'{text}' is no time: write 30m, 2h, 7d or 2026-01-31T12:00:00Z");
    duration::since(text, SystemClock.now()).ok_or_else(fault)
}

impl FilterArgs {
    fn filter(&self) -> EventFilter {
        EventFilter {
            handler: self.handler.clone(),
            event: self.event.clone(),
            status: self.status,
            since: self.since,
            search: self.search.clone(),
            ..EventFilter::default()
        }
    }
}

pub(super) fn events(common: &Common, command: EventsCommand) -> anyhow::Result<ExitCode> {
    let context = context::load(common)?;
    small_runtime()?.block_on(async {
        match command {
            EventsCommand::List { filter, limit, cursor, json } => {
                let filter = EventFilter { limit, cursor, ..filter.filter() };
                let ledger = context.ledger()?;
                known_handler(&context, &*ledger, filter.handler.as_deref()).await?;
                list(&*ledger, filter, json).await
            }
            EventsCommand::Show { id, json } => show(&*context.ledger()?, id, json).await,
            EventsCommand::Replay { id, json } => replay(&context, id, json).await,
            EventsCommand::Tail { filter, json } => tail(&*context.ledger()?, &filter.filter(), json).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses a handler that is neither configured nor in any kept event: an empty list would read as "nothing came".
async fn known_handler(context: &Context, ledger: &dyn Ledger, name: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = name else { return Ok(()) };
    let handlers = || context.config.webhooks.handlers.keys().map(|handler| handler.as_str());
    if handlers().any(|handler| handler == name) {
        return Ok(());
    }
    let any = EventFilter { handler: Some(name.to_owned()), limit: 1, ..EventFilter::default() };
    if !ledger.events(any).await?.items.is_empty() {
        return Ok(());
    }
    let near = handlers().map(|handler| (strsim::damerau_levenshtein(name, handler), handler)).min();
    let hint = match near {
        Some((edits, handler)) if edits <= NEAR_EDITS_MAX => format!("did you mean '{handler}'?"),
        Some(_) => format!("there is {}", handlers().collect::<Vec<_>>().join(", ")),
        None => "'agent webhook add' makes one".to_owned(),
    };
    bail!("no event of '{}' is kept, and there is no handler of that name: {hint}", out::harmless(name))
}

async fn list(ledger: &dyn Ledger, filter: EventFilter, json: bool) -> anyhow::Result<()> {
    let page = ledger.events(filter).await?;
    out::page(&page, json, "no events", &["RECEIVED", "ID", "HANDLER", "EVENT", "STATUS", "WHAT"], cells)
}

fn cells(row: &EventRow) -> Vec<String> {
    let what = row.title.as_deref().or(row.reason.as_deref().map(first_line)).unwrap_or("");
    [
        &row.received_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        &row.id.to_string(),
        row.handler.as_deref().unwrap_or("-"),
        row.event.as_deref().unwrap_or("-"),
        row.status.as_str(),
        what,
    ]
    .map(out::harmless)
    .into()
}

async fn show(ledger: &dyn Ledger, id: EventId, json: bool) -> anyhow::Result<()> {
    let event = ledger.event(id).await?.with_context(|| format!("there is no event {id}"))?;
    if json {
        return out::json(&event);
    }
    for line in describe(&event)? {
        out::line(line)?;
    }
    Ok(())
}

fn describe(event: &EventDetail) -> anyhow::Result<Vec<String>> {
    let row = &event.row;
    let mut lines = Vec::new();
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            lines.push(format!("{name:<10} {}", out::harmless(value)));
        }
    };
    field("event", Some(&row.id.to_string()));
    field("title", row.title.as_deref());
    field("status", Some(row.status.as_str()));
    field("verdict", row.verdict.map(|verdict| verdict.as_str()));
    let mut reasons = row.reason.as_deref().unwrap_or_default().lines();
    field("reason", reasons.next());
    reasons.for_each(|finding| field("likely", Some(finding)));
    field("handler", row.handler.as_deref());
    field("provider", row.provider.as_deref());
    field("type", row.event.as_deref());
    field("delivery", row.delivery_id.as_deref());
    field("client", Some(&row.client_ip));
    field("subject", row.subject.as_deref());
    field("url", row.url.as_deref());
    field("replay of", row.replay_of.map(|id| id.to_string()).as_deref());
    field(
        "body",
        Some(&format!("{} bytes, sha256 {}", row.body_bytes, row.body_sha256.as_deref().unwrap_or("not read"))),
    );
    lines.push("timeline".into());
    for entry in &event.timeline {
        let at = entry.at.strftime("%Y-%m-%d %H:%M:%S%.3f");
        lines.push(format!(
            "  {at}  {:<12} {}",
            entry.what,
            out::harmless(first_line(entry.detail.as_deref().unwrap_or("")))
        ));
    }
    lines.push("headers".into());
    for (name, value) in &event.headers {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        lines.push(format!("  {}: {}", out::harmless(name), out::harmless(&value)));
    }
    lines.push("payload".into());
    let payload = match &event.payload {
        serde_json::Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other)?,
    };
    lines.extend(payload.lines().map(|line| format!("  {}", out::harmless(line))));
    Ok(lines)
}

/// What went wrong, without the findings beneath it.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

async fn replay(context: &Context, id: EventId, json: bool) -> anyhow::Result<()> {
    let answer = if app::data_dir::running(&context.config.data_dir).is_some_and(|presence| presence.api.is_some()) {
        let answer = local::api(context, Method::POST, &format!("/api/events/{id}/replay"), Vec::new()).await?;
        if !answer.status.is_success() {
            bail!("{}", local::refusal(&answer));
        }
        serde_json::from_str(&answer.body).context("the agent's answer is not JSON")?
    } else {
        let replay = app::replay_offline(&context.config, id).await?;
        serde_json::json!({ "status": "queued", "event_id": replay, "replay_of": id })
    };
    if json {
        return out::json(&answer);
    }
    let new = answer.get("event_id").and_then(|id| id.as_str()).unwrap_or("?");
    out::line(format!("{id} is in the queue once more, as {new}"))?;
    Ok(())
}

async fn tail(ledger: &dyn Ledger, filter: &EventFilter, json: bool) -> anyhow::Result<()> {
    let newest = ledger.events(EventFilter { limit: 1, ..EventFilter::default() }).await?;
    let mut after = newest.items.first().map(|row| row.id).unwrap_or(EventId::new(ulid::Ulid::nil()));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    loop {
        let page = ledger.events(EventFilter { after: Some(after), ..filter.clone() }).await?;
        for row in &page.items {
            after = row.id;
            if json {
                out::json_line(row)?;
            } else {
                out::line(cells(row).join("  "))?;
            }
        }
        if page.items.is_empty() {
            clock.sleep(TAIL_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_would_be_another_one_is_refused() {
        assert_eq!((parse_limit("1"), parse_limit("500")), (Ok(1), Ok(EVENTS_PAGE_MAX)));
        for bad in ["0", "501", "99999999", "-1", "many", ""] {
            assert!(parse_limit(bad).expect_err(bad).contains("from 1 to 500"), "{bad}");
        }
    }

    #[test]
    fn since_takes_ages_and_instants_and_says_what_it_takes() {
        assert!(parse_since("30m").is_ok());
        assert!(parse_since("7d").is_ok());
        assert_eq!(parse_since("2026-01-31T12:00:00Z"), Ok("2026-01-31T12:00:00Z".parse().expect("valid")));
        for bad in ["", "m", "30", "30x", "99999999999999999999d", "yesterday"] {
            let error = parse_since(bad).expect_err(bad);
            assert!(error.contains("2h"), "{error}");
        }
    }
}
