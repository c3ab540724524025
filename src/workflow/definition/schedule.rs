//! `schedule:`, when the clock starts a workflow.

use jiff::Timestamp;

use super::reader::Reader;
use super::types::Workflow;
use crate::domain::schedule::{Schedule, ScheduleError};
use crate::domain::tree::{Entry, Node};

const UTC: &str = "UTC";

/// When the clock starts a workflow, and what becomes of times that passed while nobody looked.
#[derive(Debug, Clone)]
pub struct ScheduledStart {
    /// When.
    pub when: Schedule,
    /// What is done about times that were missed.
    pub missed: Missed,
}

/// What is done about times that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// One run for all of them.
    RunOnce,
    /// Nothing.
    Skip,
}

impl Missed {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunOnce => "run_once",
            Self::Skip => "skip",
        }
    }
}

impl Workflow {
    /// When the clock starts it next; `None` where it does not.
    pub fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.schedule.as_ref().filter(|_| self.enabled)?.when.next_after(now)
    }

    /// `{cron, timezone, missed, next_at}` as lists and pages show it; null without a schedule.
    pub fn schedule_shown(&self, now: Timestamp) -> serde_json::Value {
        let Some(start) = &self.schedule else { return serde_json::Value::Null };
        serde_json::json!({
            "cron": start.when.line(), "timezone": start.when.zone_name(), "missed": start.missed.as_str(),
            "next_at": self.next_at(now), "rule": start.when.rule(), "next": self.next_words(now),
        })
    }

    /// The same for people: `next 2026-03-29 09:00 CEST`.
    pub fn next_words(&self, now: Timestamp) -> Option<String> {
        let when = &self.schedule.as_ref()?.when;
        Some(format!("next {}", when.words(self.next_at(now)?)))
    }
}

/// Reads `schedule`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<ScheduledStart> {
    let section = reader.section(node, "schedule", &["cron", "timezone", "missed"])?;
    // Each is read whatever is wrong with the others, so that all of it is told at once.
    let missed = match section.get("missed") {
        Some(entry) => {
            reader.word(&entry.value, "schedule.missed", &[("run_once", Missed::RunOnce), ("skip", Missed::Skip)])
        }
        None => Some(Missed::RunOnce),
    };
    let zone = match section.get("timezone") {
        Some(entry) => reader.text(&entry.value, "schedule.timezone").filter(|zone| read_zone(reader, entry, zone)),
        None => Some(UTC),
    };
    let Some(cron) = section.get("cron") else {
        let hint = "such as cron: \"0 9 * * 1-5\"".to_owned();
        reader.fault(node.at, "schedule.cron", "is missing", Some(hint));
        return None;
    };
    let line = reader.text(&cron.value, "schedule.cron")?;
    match Schedule::parse(line, zone.unwrap_or(UTC)) {
        Ok(when) => zone.and(missed).map(|missed| ScheduledStart { when, missed }),
        Err(error) => {
            let hint = "such as \"0 9 * * 1-5\": at nine on working days".to_owned();
            reader.fault(cron.value.at, "schedule.cron", error.to_string(), Some(hint));
            None
        }
    }
}

/// Whether there is such a time zone; else that is told.
fn read_zone(reader: &mut Reader<'_>, entry: &Entry, zone: &str) -> bool {
    let is_known = !matches!(Schedule::daily((0, 0), zone), Err(ScheduleError::Zone(_)));
    if !is_known {
        let hint = "such as Europe/Berlin or UTC".to_owned();
        reader.fault(entry.value.at, "schedule.timezone", "there is no time zone of that name", Some(hint));
    }
    is_known
}
