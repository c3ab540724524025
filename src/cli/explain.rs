//! `agent webhook explain`: why a request was refused, and what to do about it.
//!
//! The words are `app`'s, which the dashboard has too.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::json;

use super::context::Context;
use super::out;
use crate::app;
use crate::domain::ids::EventId;
use crate::ledger::EventDetail;
use crate::ports::{Clock as _, SystemClock};

/// A refusal is in the ledger this long after its answer at the latest.
const RECORDED_WITHIN: Duration = Duration::from_secs(2);
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn explain(context: &Context, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let (typed, id) = (out::harmless(id.trim()), event_id(id)?);
    let event = found(context, id).await?.with_context(|| {
        format!(
            "nothing is kept under {typed}; 'agent events list --status rejected' shows what was refused and is kept"
        )
    })?;
    let (registry, _faults) = app::load_providers(&context.config);
    let told = app::explanation(&context.config, &registry, &event);
    if json {
        out::json(&json!({
            "id": id, "status": event.row.status, "verdict": event.row.verdict, "handler": event.row.handler,
            "what": told.what, "findings": told.findings, "advice": told.advice,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let handler = event.row.handler.as_deref().unwrap_or("no handler");
    out::line(format!("{id} at {handler}, {}", event.row.received_at.strftime("%Y-%m-%d %H:%M:%S UTC")))?;
    out::line(out::harmless(&told.what))?;
    section("What was found", &told.findings)?;
    section("What to do", &told.advice)?;
    Ok(ExitCode::SUCCESS)
}

/// The row of an id. A refusal is written beside its answer, so whoever asks at once may have to wait a moment for it.
async fn found(context: &Context, id: EventId) -> anyhow::Result<Option<EventDetail>> {
    let ledger = context.ledger()?;
    let until = SystemClock.now() + RECORDED_WITHIN;
    loop {
        let event = ledger.event(id).await?;
        let written_by_now = app::data_dir::running(&context.config.data_dir).is_none() || SystemClock.now() >= until;
        if event.is_some() || written_by_now || !is_recent(id, SystemClock.now()) {
            return Ok(event);
        }
        SystemClock.sleep(LOOK_EVERY).await;
    }
}

/// Whether a row of that id may still be on its way.
fn is_recent(id: EventId, now: Timestamp) -> bool {
    let made_ms = i64::try_from(id.ulid().timestamp_ms()).unwrap_or(i64::MAX);
    now.as_millisecond().abs_diff(made_ms) <= RECORDED_WITHIN.as_millis() as u64
}

fn section(title: &str, lines: &[String]) -> anyhow::Result<()> {
    if !lines.is_empty() {
        out::line(format!("\n{title}"))?;
    }
    for line in lines {
        out::line(format!("  - {}", out::harmless(line)))?;
    }
    Ok(())
}

/// A refusal's row has the id of its request, so both words for it lead there.
fn event_id(text: &str) -> anyhow::Result<EventId> {
    let text = text.trim();
    let text = text.strip_prefix("req_").map_or_else(|| text.to_owned(), |ulid| format!("evt_{ulid}"));
    Ok(text.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_in_an_answer_leads_to_the_row() {
        let id = "01KAX0000000000000000000AB";
        let of = |prefix: &str| event_id(&format!("{prefix}_{id}")).expect("an id").to_string();
        assert_eq!((of("req"), of("evt")), (format!("evt_{id}"), format!("evt_{id}")));
        assert!(event_id("41").is_err());
    }

    #[test]
    fn only_a_row_that_may_be_on_its_way_is_waited_for() {
        let now = Timestamp::from_second(1_790_000_000).expect("in range");
        let id = |ms: u64| EventId::new(ulid::Ulid::from_parts(ms, 7));
        assert!(is_recent(id(1_790_000_000_000), now) && is_recent(id(1_789_999_999_000), now));
        assert!(!is_recent(id(1_789_999_000_000), now) && !is_recent(id(0), now) && !is_recent(id(1 << 47), now));
    }
}
