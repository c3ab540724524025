//! The whole file: its keys, and the checks that need all of them.

use std::collections::BTreeSet;

use super::flow;
use super::on;
use super::reader::{Reader, Section};
use super::schedule;
use super::step::{self, Steps};
use super::types::{Trigger, Workflow};
use super::{FAULTS_MAX, FILE_BYTES_MAX, Known, Rejected};
use crate::domain::event::HandlerName;
use crate::domain::fault::Fault;
use crate::domain::tree::{self, Node, Value, shown};

const KEYS: [&str; 10] =
    ["name", "description", "trigger", "on", "schedule", "enabled", "concurrency", "timeout", "steps", "on_failure"];
/// Names that routes have already.
const RESERVED: [&str; 1] = ["generic"];

/// Reads a file.
pub(super) fn parse(file: &str, text: &str, known: &Known) -> Result<Workflow, Rejected> {
    let mut reader = Reader { file, known, faults: Vec::new(), notes: Vec::new(), steps: 0, verbatim: false };
    let workflow = if text.len() > FILE_BYTES_MAX {
        reader.faults.push(Fault {
            file: file.to_owned(),
            line: None,
            column: None,
            key: None,
            message: format!("is larger than {FILE_BYTES_MAX} bytes"),
            hint: None,
        });
        None
    } else {
        read(&mut reader, text)
    };
    let Reader { mut faults, notes, .. } = reader;
    faults.sort_by_key(|fault| (fault.line, fault.column));
    match workflow {
        Some(workflow) if faults.is_empty() => Ok(Workflow { notes, ..workflow }),
        _ => Err(Rejected { faults: cut(faults), notes }),
    }
}

/// The first faults, and how many more there are.
fn cut(mut faults: Vec<Fault>) -> Vec<Fault> {
    let more = faults.len().saturating_sub(FAULTS_MAX);
    faults.truncate(FAULTS_MAX);
    if let (true, Some(last)) = (more > 0, faults.last_mut()) {
        last.message.push_str(&format!("; and {more} faults more"));
    }
    faults
}

fn read(reader: &mut Reader<'_>, text: &str) -> Option<Workflow> {
    let mut faults = Vec::new();
    let root = tree::parse(reader.file, text, &mut faults);
    reader.faults.append(&mut faults);
    let root = root?;
    let section = reader.section(&root, "", &KEYS)?;
    let name = read_name(reader, &section);
    let description =
        section.get("description").and_then(|entry| reader.text(&entry.value, "description")).unwrap_or_default();
    let trigger = read_trigger(reader, &section);
    let on = section.get("on").and_then(|entry| on::read(reader, &entry.value, "on"));
    let schedule = section.get("schedule").and_then(|entry| schedule::read(reader, &entry.value));
    let enabled = section.get("enabled").and_then(|entry| reader.boolean(&entry.value, "enabled")).unwrap_or(true);
    let concurrency =
        section.get("concurrency").and_then(|entry| flow::read_concurrency(reader, &entry.value, "concurrency"));
    let timeout = section.get("timeout").and_then(|entry| reader.duration(&entry.value, "timeout"));
    let lists = (section.get("steps").map(|entry| &*entry.value), section.get("on_failure").map(|entry| &*entry.value));
    let all: Vec<&Node> = [lists.0, lists.1].into_iter().flatten().collect();
    let shared =
        Steps { workflow: name.as_deref().unwrap_or_default(), all: step::collect_names(reader, &all), filled: true };
    let mut before = BTreeSet::new();
    let steps = match lists.0 {
        Some(node) => step::read_list(reader, node, "steps", &shared, &mut before, false),
        None => Vec::new(),
    };
    let is_empty = lists.0.is_none_or(|node| matches!(&node.value, Value::List(items) if items.is_empty()));
    if is_empty {
        reader.fault(root.at, "steps", "a workflow needs at least one step", None);
    }
    let on_failure = match lists.1 {
        Some(node) => step::read_list(reader, node, "on_failure", &shared, &mut before, true),
        None => Vec::new(),
    };
    Some(Workflow {
        name: name?,
        description: description.to_owned(),
        trigger,
        on,
        schedule,
        enabled,
        concurrency,
        timeout,
        steps,
        on_failure,
        hash: Workflow::hash_of(text),
        source: text.into(),
        file: reader.file.to_owned(),
        notes: Vec::new(),
    })
}

fn read_name(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<String> {
    let Some(entry) = section.get("name") else {
        let file = reader.file.rsplit(['/', '\\']).next().unwrap_or_default();
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let hint = stem.parse::<HandlerName>().is_ok().then(|| format!("add name: {stem}"));
        reader.fault(section.node.at, "name", "is missing", hint);
        return None;
    };
    let name = reader.text(&entry.value, "name")?;
    if name.parse::<HandlerName>().is_err() {
        let hint =
            "use 1 to 64 letters, digits, '_', '-' or '.', beginning with a letter or digit: it is a route's name too";
        reader.fault(entry.value.at, "name", format!("{} cannot name a workflow", shown(name)), Some(hint.to_owned()));
        return None;
    }
    if RESERVED.contains(&name) {
        reader.fault(entry.value.at, "name", format!("'{name}' is a route of its own"), None);
        return None;
    }
    Some(name.to_owned())
}

fn read_trigger(reader: &mut Reader<'_>, section: &Section<'_>) -> Trigger {
    let words = [("webhook", Trigger::Webhook), ("manual", Trigger::Manual), ("schedule", Trigger::Schedule)];
    let written = section.get("trigger");
    let trigger = match written {
        Some(entry) => reader.word(&entry.value, "trigger", &words).unwrap_or(Trigger::Webhook),
        None => Trigger::Manual,
    };
    if let (Some(on), Trigger::Manual | Trigger::Schedule) = (section.get("on"), trigger) {
        let message = format!("'on' is only for trigger: webhook, and this one's is {}", trigger.as_str());
        reader.fault(on.at, "on", message, Some("add trigger: webhook".to_owned()));
    }
    match (section.get("schedule"), trigger) {
        (None, Trigger::Schedule) => {
            let at = written.map_or(section.node.at, |entry| entry.value.at);
            let hint = "such as schedule: { cron: \"0 9 * * 1-5\", timezone: Europe/Berlin }".to_owned();
            reader.fault(at, "schedule", "is missing: trigger: schedule needs to know when", Some(hint));
        }
        (Some(entry), Trigger::Webhook | Trigger::Manual) => {
            let message = format!("'schedule' is only for trigger: schedule, and this one's is {}", trigger.as_str());
            reader.fault(entry.at, "schedule", message, Some("write trigger: schedule".to_owned()));
        }
        (None, Trigger::Webhook | Trigger::Manual) | (Some(_), Trigger::Schedule) => {}
    }
    trigger
}
