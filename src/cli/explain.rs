//! `agent webhook explain`: why a request was refused, and what to do about it.
//!
//! The words are `app`'s, which the dashboard has too.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::context::Context;
use super::out;
use crate::app;
use crate::domain::ids::EventId;

pub(super) async fn explain(context: &Context, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let id = event_id(id)?;
    let event = context.ledger()?.event(id).await?;
    let event = event.with_context(|| {
        format!("there is no event {id}; 'agent events list --status rejected' shows what was refused and is kept")
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
}
