//! Steps and groups.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::args::{self, Args};
use super::gate;
use super::reader::{Reader, Section};
use super::refs::Place;
use super::types::{Gate, OnError, Retry, Step, StepBody, ToolStep, Verify};
use super::{PARALLEL_MAX, STEPS_MAX};
use crate::domain::run::Effect;
use crate::domain::tree::{At, Node, Value, describe, shown};
use crate::workflow::expr::Expr;
use crate::workflow::nearest::nearest;

/// Longest name of a step, in bytes.
const NAME_BYTES_MAX: usize = 64;
const STEP_KEYS: [&str; 12] = [
    "name",
    "tool",
    "args",
    "verbatim",
    "when",
    "for_each",
    "requires_approval",
    "effect",
    "verify",
    "retry",
    "timeout",
    "on_error",
];
const GROUP_KEYS: [&str; 4] = ["name", "parallel", "when", "on_error"];

/// What steps of one file share while they are read.
pub(super) struct Steps<'w> {
    /// The workflow's name.
    pub(super) workflow: &'w str,
    /// Every name of the file.
    pub(super) all: BTreeSet<String>,
    /// Whether a payload or inputs may fill what a step leaves out.
    pub(super) filled: bool,
}

/// Every name of a list of steps, those within groups included; what is used twice is told.
pub(super) fn collect_names(reader: &mut Reader<'_>, lists: &[&Node]) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, (String, u64)> = BTreeMap::new();
    for list in lists {
        let Value::List(items) = &list.value else { continue };
        for item in items {
            name_of(reader, item, &mut seen);
            let parallel = item.entries().and_then(|entries| entries.iter().find(|entry| entry.key == "parallel"));
            if let Some(Value::List(inner)) = parallel.map(|entry| &entry.value.value) {
                for item in inner {
                    name_of(reader, item, &mut seen);
                }
            }
        }
    }
    seen.into_values().map(|(name, _)| name).collect()
}

fn name_of(reader: &mut Reader<'_>, step: &Node, seen: &mut BTreeMap<String, (String, u64)>) {
    let entry = step.entries().and_then(|entries| entries.iter().find(|entry| entry.key == "name"));
    let Some(entry) = entry else { return };
    let Value::Scalar(name) = &entry.value.value else { return };
    // `steps.a-b` is read as `steps.a_b`, so these two are one.
    let alike = name.replace(['-', '.'], "_");
    match seen.get(&alike) {
        Some((first, line)) if first == name => {
            let message = format!("two steps are named {}; the first is on line {line}", shown(name));
            reader.fault(entry.value.at, "steps", message, None);
        }
        Some((first, line)) => {
            let message = format!("{} and '{first}' on line {line} read alike", shown(name));
            reader.fault(entry.value.at, "steps", message, None);
        }
        None => {
            seen.insert(alike, (name.clone(), entry.value.at.line));
        }
    }
}

/// Reads a list of steps. `before` grows by the names of those that are read.
pub(super) fn read_list(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
    steps: &Steps<'_>,
    before: &mut BTreeSet<String>,
    error: bool,
) -> Vec<Step> {
    let Value::List(items) = &node.value else {
        reader.fault(node.at, path, format!("expected a list of steps, found {}", describe(node)), None);
        return Vec::new();
    };
    let mut read = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = path_of(item, path, index);
        let place = Place::step(before.clone(), &steps.all, error);
        if let Some(step) = read_step(reader, item, &path, steps, &place, false) {
            before.insert(step.name.clone());
            if let StepBody::Parallel(inner) = &step.body {
                before.extend(inner.iter().map(|step| step.name.clone()));
            }
            read.push(step);
        }
    }
    read
}

/// `steps.deploy` where it has a name, else `steps[1]`.
fn path_of(item: &Node, path: &str, index: usize) -> String {
    let entry = item.entries().and_then(|entries| entries.iter().find(|entry| entry.key == "name"));
    match entry.map(|entry| &entry.value.value) {
        Some(Value::Scalar(name)) if is_name(name) => format!("{path}.{name}"),
        _ => format!("{path}[{index}]"),
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn read_step(
    reader: &mut Reader<'_>,
    node: &Node,
    path: &str,
    steps: &Steps<'_>,
    place: &Place,
    in_group: bool,
) -> Option<Step> {
    reader.steps += 1;
    if reader.steps > STEPS_MAX {
        if reader.steps == STEPS_MAX + 1 {
            reader.fault(node.at, path, format!("a workflow has at most {STEPS_MAX} steps"), None);
        }
        return None;
    }
    let is_group = node.entries().is_some_and(|entries| entries.iter().any(|entry| entry.key == "parallel"));
    if is_group && in_group {
        reader.fault(node.at, path, "a group holds steps, no groups", None);
        return None;
    }
    let mut keys: Vec<&str> = if is_group { GROUP_KEYS.to_vec() } else { STEP_KEYS.to_vec() };
    if !is_group && !in_group {
        keys.push("parallel");
    }
    let section = reader.section(node, path, &keys)?;
    let (name, line) = read_name(reader, &section)?;
    let when = section.get("when").and_then(|entry| {
        // Asked once, before there is an item.
        reader.condition(&entry.value, &section.path_of("when"), place)
    });
    let on_error = match section.get("on_error") {
        Some(entry) => {
            let words = [("stop", OnError::Stop), ("continue", OnError::Continue)];
            reader.word(&entry.value, &section.path_of("on_error"), &words).unwrap_or_default()
        }
        None => OnError::default(),
    };
    let (body, for_each) = if is_group {
        (read_group(reader, &section, steps, place)?, None)
    } else {
        let for_each = read_for_each(reader, &section, place);
        let place = Place { item: section.get("for_each").is_some(), ..place.clone() };
        (StepBody::Tool(Box::new(read_tool_step(reader, &section, steps, &place)?)), for_each)
    };
    Some(Step { name, when, for_each, on_error, body, line })
}

fn read_name(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<(String, u64)> {
    let Some(entry) = section.get("name") else {
        reader.fault(section.node.at, section.path, "a step needs a 'name'", None);
        return None;
    };
    let name = reader.text(&entry.value, &section.path_of("name"))?;
    if !is_name(name) {
        let message = format!("{} cannot name a step", shown(name));
        let hint =
            format!("use 1 to {NAME_BYTES_MAX} letters, digits, '_', '-' or '.', beginning with a letter or digit");
        reader.fault(entry.value.at, &section.path_of("name"), message, Some(hint));
        return None;
    }
    Some((name.to_owned(), entry.value.at.line))
}

fn read_group(reader: &mut Reader<'_>, section: &Section<'_>, steps: &Steps<'_>, place: &Place) -> Option<StepBody> {
    let path = section.path_of("parallel");
    let entry = section.get("parallel");
    let Some(Value::List(items)) = entry.map(|entry| &entry.value.value) else {
        let at: At = entry.map_or(section.node.at, |entry| entry.value.at);
        reader.fault(at, &path, "expected a list of steps", None);
        return None;
    };
    if items.is_empty() || items.len() > PARALLEL_MAX {
        reader.fault(
            section.node.at,
            &path,
            format!("a group has 1 to {PARALLEL_MAX} steps, and this one {}", items.len()),
            None,
        );
    }
    let mut inner = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = path_of(item, &path, index);
        inner.extend(read_step(reader, item, &path, steps, place, true));
    }
    Some(StepBody::Parallel(inner))
}

fn read_for_each(reader: &mut Reader<'_>, section: &Section<'_>, place: &Place) -> Option<Expr> {
    let entry = section.get("for_each")?;
    let path = section.path_of("for_each");
    let Value::List(items) = &entry.value.value else {
        return reader.condition(&entry.value, &path, place);
    };
    // A list that is written out is an expression too: JSON is part of the language.
    let mut texts = Vec::new();
    for (index, item) in items.iter().enumerate() {
        texts.push(reader.text(item, &format!("{path}[{index}]"))?);
    }
    let source = serde_json::to_string(&texts).ok()?;
    Expr::compile(&source).map_err(|error| reader.expr_fault(entry.value.at, &path, error)).ok()
}

fn read_tool_step(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    steps: &Steps<'_>,
    place: &Place,
) -> Option<ToolStep> {
    let Some(entry) = section.get("tool") else {
        let hint = Some("or 'parallel', a list of steps".to_owned());
        reader.fault(section.node.at, section.path, "a step needs a 'tool'", hint);
        return None;
    };
    let path = section.path_of("tool");
    let name = reader.text(&entry.value, &path)?;
    let Some(tool) = reader.known.tools.spec(name) else {
        let known: Vec<&str> = reader.known.tools.specs().map(|spec| spec.name).collect();
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("there are {}", known.join(", ")),
        };
        reader.fault(entry.value.at, &path, format!("there is no tool {}", shown(name)), Some(hint));
        // What else is wrong with the step is told at once.
        let _rest = read_rest(reader, section, place);
        return None;
    };
    if tool.name == "model_prompt" && !reader.known.model {
        reader.fault(entry.value.at, &path, "model_prompt needs a model: set 'model' in the configuration", None);
    }
    let verbatim = section.get("verbatim");
    let verbatim = verbatim.and_then(|entry| gate::read_verbatim(reader, &entry.value, &section.path_of("verbatim")));
    reader.verbatim = verbatim.is_some();
    let args = read_args(reader, section, tool, steps, place);
    reader.verbatim = false;
    check_names(reader, section, tool.name, &args, steps);
    let Rest { gate, effect, verify, retry, timeout } = read_rest(reader, section, place);
    let step = ToolStep { tool, args, verbatim, gate, effect, verify, retry, timeout };
    note_effect(reader, section, &step);
    Some(step)
}

/// The keys of a step that do not depend on its tool.
struct Rest {
    gate: Option<Gate>,
    effect: Option<Effect>,
    verify: Option<Verify>,
    retry: Option<Retry>,
    timeout: Option<Duration>,
}

fn read_rest(reader: &mut Reader<'_>, section: &Section<'_>, place: &Place) -> Rest {
    let gate = section.get("requires_approval");
    let gate = gate.and_then(|entry| gate::read_gate(reader, &entry.value, &section.path_of("requires_approval")));
    let effect = section.get("effect").and_then(|entry| {
        let words = [("once", Effect::Once), ("idempotent", Effect::Idempotent), ("read", Effect::Read)];
        reader.word(&entry.value, &section.path_of("effect"), &words)
    });
    let verify = section.get("verify");
    let verify = verify.and_then(|entry| gate::read_verify(reader, &entry.value, &section.path_of("verify"), place));
    let retry = section.get("retry");
    let retry = retry.and_then(|entry| gate::read_retry(reader, &entry.value, &section.path_of("retry")));
    let timeout = section.get("timeout");
    let timeout = timeout.and_then(|entry| reader.duration(&entry.value, &section.path_of("timeout")));
    Rest { gate, effect, verify, retry, timeout }
}

fn read_args(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    tool: &'static crate::tool::ToolSpec,
    steps: &Steps<'_>,
    place: &Place,
) -> Args {
    let path = section.path_of("args");
    let filled = steps.filled && !reader.verbatim;
    let Some(entry) = section.get("args") else {
        return args::read(reader, tool, None, section.node, &path, place, filled);
    };
    if entry.value.entries().is_none() {
        let message = format!("expected arguments beneath it, found {}", describe(&entry.value));
        let names: Vec<&str> = tool.args.iter().map(|arg| arg.name).collect();
        reader.fault(entry.value.at, &path, message, Some(format!("{} takes {}", tool.name, names.join(", "))));
        return Args::default();
    }
    let args_section = Section { node: &entry.value, path: &path };
    args::read(reader, tool, Some(args_section), &entry.value, &path, place, filled)
}

/// What a literal argument names must exist.
fn check_names(reader: &mut Reader<'_>, section: &Section<'_>, tool: &str, args: &Args, steps: &Steps<'_>) {
    let arg_at = |name: &str| {
        let args = section.get("args")?.value.entries()?;
        args.iter().find(|entry| entry.key == name).map(|entry| entry.value.at)
    };
    let literal = |name: &str| args.literal(name).and_then(serde_json::Value::as_str);
    if let ("run_workflow", Some(workflow), Some(at)) = (tool, literal("workflow"), arg_at("workflow"))
        && workflow == steps.workflow
    {
        let path = section.path_of("args.workflow");
        reader.fault(at, &path, "a workflow that runs itself never ends", None);
    }
    if let ("notify", Some(chat), Some(at)) = (tool, literal("chat"), arg_at("chat"))
        && let Some(chats) = &reader.known.chats
        && !chats.contains(chat)
    {
        let path = section.path_of("args.chat");
        let hint = match nearest(chat, chats.iter().map(String::as_str)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => "chats are named in telegram.chats".to_owned(),
        };
        let message = format!("there is no chat {}", shown(chat));
        if chats.is_empty() {
            reader.note(at, &path, message, Some(hint));
        } else {
            reader.fault(at, &path, message, Some(hint));
        }
    }
    if let ("wait_for_event", Some(handler), Some(at)) = (tool, literal("handler"), arg_at("handler"))
        && let Some(handlers) = &reader.known.handlers
        && !handlers.contains(handler)
    {
        let path = section.path_of("args.handler");
        let hint = nearest(handler, handlers.iter().map(String::as_str)).map(|near| format!("did you mean '{near}'?"));
        reader.note(
            at,
            &path,
            format!("no handler is named {}, so the wait ends only by its timeout", shown(handler)),
            hint,
        );
    }
}

/// Tells what a step's effect makes of its `retry` and `verify`.
fn note_effect(reader: &mut Reader<'_>, section: &Section<'_>, step: &ToolStep) {
    let effect = step.effect(&step.args.sketch());
    if let (Some(entry), Effect::Once) = (section.get("retry"), effect) {
        let message = "the step's effect is once, so this repeats only what certainly never began (program not found, connection refused)";
        let hint = Some("say effect: idempotent if doing it twice is harmless".to_owned());
        reader.note(entry.value.at, &section.path_of("retry"), message, hint);
    }
    if let (Some(entry), true) = (section.get("verify"), effect.is_repeatable()) {
        let message = format!("is never asked: the step's effect is {effect}, so it is simply done again");
        reader.note(entry.value.at, &section.path_of("verify"), message, None);
    }
}
