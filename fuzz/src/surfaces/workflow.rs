//! Workflow files: any text loads, or is refused with the lines that are wrong; and of what loads no payload changes a part
//! that decides what happens.
//!
//! The second is the promise of the static taint check, tested from outside: the same step is rendered with two payloads that
//! differ in everything, and every control part must come out the same.
//!
//! Input: a YAML file.

use std::collections::{BTreeMap, BTreeSet};

use hookhand::domain::run::StepState;
use hookhand::tool::{Role, ToolRegistry};
use hookhand::workflow::definition::{FAULTS_MAX, FILE_BYTES_MAX, Known, ToolStep, Workflow};
use hookhand::workflow::expr::{ErrorView, EventView, Scope, StepView};
use serde_json::{Map, Value, json};

use super::faults_have_lines;

/// Programs that run a text that follows `-c` or `-e`.
const INTERPRETERS: [&str; 10] = ["sh", "bash", "dash", "zsh", "ksh", "python", "python3", "node", "perl", "ruby"];

/// Checks one input.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > FILE_BYTES_MAX {
        return;
    }
    match Workflow::parse("w.yaml", text, &known()) {
        Err(faults) => {
            assert!(faults.len() <= FAULTS_MAX + 1, "{} faults", faults.len());
            faults_have_lines(&faults, text);
            for fault in &faults {
                assert!(!fault.to_string().chars().any(char::is_control), "{fault:?}");
            }
        }
        Ok(workflow) => {
            let steps: Vec<&ToolStep> = workflow.all_steps().filter_map(|step| step.tool_step()).collect();
            let scopes: Vec<Scope> = (0..VOICES.len()).map(|voice| scope(&workflow, voice)).collect();
            for step in steps {
                no_payload_decides(step, &scopes);
            }
        }
    }
}

fn known() -> Known {
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    Known {
        tools: ToolRegistry::declared(),
        groups: Some(BTreeMap::from([("oncall".to_owned(), BTreeSet::from([1, 2]))])),
        users: BTreeSet::from([1, 2]),
        chats: names(&["default", "ops"]),
        handlers: names(&["github", "stripe"]),
        model: true,
    }
}

/// What three senders say: somebody, somebody else, and somebody who means harm.
const VOICES: [&str; 3] = ["one", "two/2", "-x; $(touch y) 'http://evil.example/\"\n"];

/// Everything that a sender chooses, in this voice; the rest is the same in every voice.
fn scope(workflow: &Workflow, voice: usize) -> Scope {
    let said = VOICES[voice];
    let leaf = json!(said);
    let inner = json!({"v": said, "x": said, "id": said, "name": said, "title": said, "tag": said, "tag_name": said,
        "full_name": said, "number": voice, "url": said, "n": voice,
        "items": [said, said], "hosts": [said]});
    let keys = [
        "v", "x", "id", "tag", "title", "name", "host", "url", "fact", "section", "path", "cwd", "command", "text",
        "chat", "workflow", "query", "content", "data", "task", "body", "method", "code", "language", "secret",
        "stdin",
    ];
    let mut payload: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), leaf.clone())).collect();
    for key in ["a", "release", "repository", "pull_request", "issue"] {
        payload.insert(key.to_owned(), inner.clone());
    }
    payload.insert("n".to_owned(), json!(voice));
    payload.insert("flag".to_owned(), json!(voice == 0));
    payload.insert("items".to_owned(), json!([said, said]));
    payload.insert("all".to_owned(), json!([inner, inner]));
    payload.insert(said.to_owned(), json!(said));
    let event = EventView {
        id: "evt_1".into(),
        handler: "github".into(),
        provider: "github".into(),
        event: said.into(),
        delivery_id: Some(said.into()),
        verdict: "valid".into(),
        received_at: jiff::Timestamp::UNIX_EPOCH,
        title: Some(said.into()),
        url: Some(said.into()),
        subject: Some(said.into()),
    };
    let view = || StepView {
        status: StepState::Success,
        output: json!({"v": said, "x": said, "n": voice}),
        error: Some(said.into()),
    };
    let steps = workflow.all_steps().map(|step| (step.name.clone(), view())).collect();
    Scope::of_event(&event, Value::Object(payload.clone()), json!({"repo": said, "v": said}))
        .inputs(Value::Object(payload))
        .item(json!(said))
        .steps(&steps)
        .previous_output(json!(said))
        .error(&ErrorView { step: "one".into(), message: said.into() })
}

fn no_payload_decides(step: &ToolStep, scopes: &[Scope]) {
    let mut first: Option<Map<String, Value>> = None;
    for scope in scopes {
        let rendered = match step.render(scope) {
            Ok(rendered) => rendered,
            Err(error) => {
                assert!(!error.to_string().contains("$(touch"), "an error shows a value: {error}");
                continue;
            }
        };
        assert_eq!(Some(&rendered), step.render(scope).ok().as_ref(), "the same scope gives the same arguments");
        let Some(first) = &first else {
            first = Some(rendered.args);
            continue;
        };
        for (name, value) in &rendered.args {
            let Some(spec) = step.tool.arg(name) else { continue };
            let before = first.get(name);
            let same = match spec.role {
                Role::Control => before == Some(value),
                Role::Data => true,
                Role::Argv => before.is_some_and(|before| same_command(before, value)),
                Role::Named => {
                    let names = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
                    before.is_some_and(|before| names(before) == names(value))
                }
                Role::Url => before.is_some_and(|before| place(before) == place(value)),
            };
            assert!(same, "a payload decides {}.{name}: {before:?} and {value:?}", step.tool.name);
        }
        for (name, _) in first.iter().filter(|(name, _)| !rendered.args.contains_key(*name)) {
            let role = step.tool.arg(name).map(|spec| spec.role);
            assert!(role == Some(Role::Data), "a payload takes {}.{name} away", step.tool.name);
        }
    }
}

/// The same program with the same number of words, and no text that an interpreter runs has changed.
fn same_command(before: &Value, after: &Value) -> bool {
    let words = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let (Some(before), Some(after)) = (words(before), words(after)) else { return false };
    if before.len() != after.len() || before.first() != after.first() {
        return false;
    }
    let program = after.first().map_or("", |program| program.rsplit('/').next().unwrap_or_default());
    if !INTERPRETERS.contains(&program) {
        return true;
    }
    let runs = |word: &str| word.starts_with('-') && !word.starts_with("--") && word.ends_with(['c', 'e']);
    let options = after.iter().skip(1).take_while(|word| word.starts_with('-')).count();
    let text = (1..=options).find(|at| runs(&after[*at])).map(|at| at + 1);
    text.is_none_or(|at| before.get(at) == after.get(at))
}

/// Scheme, user, host and port.
fn place(url: &Value) -> Option<String> {
    let text = url.as_str()?;
    let start = text.find("://")? + 3;
    let end = text[start..].find(['/', '?', '#', '\\']).map_or(text.len(), |at| start + at);
    Some(text[..end].to_owned())
}
