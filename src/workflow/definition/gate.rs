//! `requires_approval`, `retry` and `verify`: who must agree, what is repeated, and how doubt is settled.

use std::collections::BTreeSet;
use std::time::Duration;

use super::args;
use super::reader::Reader;
use super::refs::Place;
use super::types::{Approver, Gate, Retry, Verbatim, Verify};
use super::{BACKOFF_MAX, RETRIES_MAX};
use crate::domain::retry::Backoff;
use crate::domain::tree::{Node, Value, shown};
use crate::workflow::nearest::nearest;

/// Most votes that a gate may ask for.
const VOTES_MAX: u64 = 100;
/// The wait before the first repetition when nobody says.
const BACKOFF_DEFAULT: Duration = Duration::from_secs(5);
/// What each further wait is multiplied by.
const BACKOFF_FACTOR: u32 = 2;
/// The tool that `verify` is a call of.
const VERIFY_TOOL: &str = "shell_exec";

/// Reads `requires_approval`: `true`, `false`, or who and how long.
pub(super) fn read_gate(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Gate> {
    if matches!(node.value, Value::Scalar(_)) {
        let gate = Gate { from: Vec::new(), votes: 1, expires: None, remind: None, note: None };
        let asked = reader.boolean(node, path)?;
        if asked {
            check_votes(reader, node, path, &gate);
        }
        return asked.then_some(gate);
    }
    let section = reader.section(node, path, &["from", "votes", "expires", "remind", "on_expiry", "note"])?;
    let mut gate = Gate { from: Vec::new(), votes: 1, expires: None, remind: None, note: None };
    if let Some(entry) = section.get("from") {
        gate.from = read_from(reader, &entry.value, &section.path_of("from"));
    }
    if let Some(entry) = section.get("votes") {
        let votes = reader.integer(&entry.value, &section.path_of("votes"), 1, VOTES_MAX);
        gate.votes = votes.and_then(|votes| u32::try_from(votes).ok()).unwrap_or(1);
    }
    if let Some(entry) = section.get("expires") {
        gate.expires = reader.duration(&entry.value, &section.path_of("expires"));
    }
    if let Some(entry) = section.get("remind") {
        gate.remind = reader.duration(&entry.value, &section.path_of("remind"));
        if let (Some(remind), Some(expires)) = (gate.remind, gate.expires)
            && remind >= expires
        {
            reader.note(
                entry.value.at,
                &section.path_of("remind"),
                "is not shorter than 'expires', so nobody is reminded",
                None,
            );
        }
    }
    if let Some(entry) = section.get("on_expiry") {
        reader.word(&entry.value, &section.path_of("on_expiry"), &[("deny", ())]);
        if gate.expires.is_none() {
            let hint = Some("add expires: 30m".to_owned());
            reader.note(entry.value.at, &section.path_of("on_expiry"), "nothing expires without 'expires'", hint);
        }
    }
    if let Some(entry) = section.get("note") {
        gate.note = reader.text(&entry.value, &section.path_of("note")).map(str::to_owned);
    }
    check_votes(reader, node, path, &gate);
    Some(gate)
}

fn read_from(reader: &mut Reader<'_>, node: &Node, path: &str) -> Vec<Approver> {
    let mut from = Vec::new();
    for (text, node) in reader.texts(node, path) {
        if let Ok(user) = text.parse::<u64>() {
            from.push(Approver::User(user));
            continue;
        }
        if let Some(groups) = &reader.known.groups
            && !groups.contains_key(text)
        {
            let hint = match nearest(text, groups.keys().map(String::as_str)) {
                Some(near) => format!("did you mean '{near}'?"),
                None if groups.is_empty() => "the configuration has no telegram.groups".to_owned(),
                None => format!("there are {}", groups.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
            };
            reader.fault(node.at, path, format!("there is no group {}", shown(text)), Some(hint));
            continue;
        }
        from.push(Approver::Group(text.to_owned()));
    }
    from
}

/// More votes than people can never be reached. Nobody at all is another matter: then the local admin decides.
fn check_votes(reader: &mut Reader<'_>, node: &Node, path: &str, gate: &Gate) {
    let Some(groups) = &reader.known.groups else { return };
    let mut people: BTreeSet<u64> = BTreeSet::new();
    for approver in &gate.from {
        match approver {
            Approver::Group(name) => people.extend(groups.get(name).into_iter().flatten()),
            Approver::User(id) => {
                people.insert(*id);
            }
        }
    }
    if gate.from.is_empty() {
        people.clone_from(&reader.known.users);
    }
    if gate.votes as usize > people.len().max(1) {
        let message = format!("asks for {} votes and {} could vote", gate.votes, people.len());
        reader.fault(node.at, path, message, Some("name more approvers or ask for fewer votes".to_owned()));
    } else if people.is_empty() {
        let hint = Some("add them to telegram.allowed_users or telegram.groups".to_owned());
        reader.note(
            node.at,
            path,
            "nobody in chat can approve this; only the local admin (command line, dashboard) can",
            hint,
        );
    }
}

/// Reads `retry`.
pub(super) fn read_retry(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Retry> {
    let section = reader.section(node, path, &["max", "backoff"])?;
    let Some(max) = section.get("max") else {
        reader.fault(node.at, path, "needs 'max', the number of attempts after the first", None);
        return None;
    };
    let max = reader.integer(&max.value, &section.path_of("max"), 1, RETRIES_MAX);
    let first = match section.get("backoff") {
        Some(entry) => reader.duration(&entry.value, &section.path_of("backoff"))?,
        None => BACKOFF_DEFAULT,
    };
    let max = u32::try_from(max?).ok()?;
    Some(Retry { max, backoff: Backoff { first, factor: BACKOFF_FACTOR, longest: BACKOFF_MAX.max(first) } })
}

/// Reads `verbatim`: `true`, `false`, or which arguments hold text from outside.
pub(super) fn read_verbatim(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Verbatim> {
    if matches!(node.value, Value::Scalar(_)) {
        return reader.boolean(node, path)?.then(Verbatim::default);
    }
    let section = reader.section(node, path, &["tainted"])?;
    let tainted = section.get("tainted").map(|entry| reader.texts(&entry.value, &section.path_of("tainted")));
    Some(Verbatim { tainted: tainted.into_iter().flatten().map(|(text, _)| text.to_owned()).collect() })
}

/// Reads `verify`, a call of `shell_exec`.
pub(super) fn read_verify(reader: &mut Reader<'_>, node: &Node, path: &str, place: &Place) -> Option<Verify> {
    let tool = reader.known.tools.spec(VERIFY_TOOL)?;
    let known: Vec<&str> = tool.args.iter().map(|arg| arg.name).collect();
    if node.entries().is_none() {
        reader.section(node, path, &known);
        return None;
    }
    let section = super::reader::Section { node, path };
    Some(Verify { args: args::read(reader, tool, Some(section), node, path, place, false) })
}
