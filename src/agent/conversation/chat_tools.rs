//! Tools that only a conversation proposes: an event again, rules that keep notices quiet, a workflow's file. Files of workflows
//! do not know them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::domain::duration;
use crate::domain::ids::EventId;
use crate::domain::run::{Effect, Risk};
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::LedgerError;
use crate::ledger::chat::{ChatLedger, MuteRule};
use crate::tool::specs::LOCAL_TIMEOUT_DEFAULT;
use crate::tool::{ArgKind, ArgSpec, Call, Role, Tool, ToolContext, ToolFailure, ToolOutput, ToolSpec};
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::Workflow;

/// Longest part of a rule, in characters.
const RULE_CHARS_MAX: usize = 100;

const fn arg(name: &'static str, kind: ArgKind, required: bool, doc: &'static str) -> ArgSpec {
    ArgSpec { name, kind, role: Role::Control, required, doc }
}

fn once(_args: &Map<String, Value>) -> Effect {
    Effect::Once
}

fn idempotent(_args: &Map<String, Value>) -> Effect {
    Effect::Idempotent
}

static REPLAY_EVENT: ToolSpec = ToolSpec {
    name: "replay_event",
    summary: "Puts a stored event into the queue once more, as a new event.",
    risk: Risk::Execute,
    default_effect: once,
    args: &[arg("event", ArgKind::Text, true, "The event, evt_….")],
    choices: &[],
    timeout_default: LOCAL_TIMEOUT_DEFAULT,
};

static MUTE_NOTICES: ToolSpec = ToolSpec {
    name: "mute_notices",
    summary: "Keeps notices of events quiet that match all that is given. They are stored and counted all the same.",
    risk: Risk::Write,
    default_effect: once,
    args: &[
        arg("handler", ArgKind::Text, false, "Only events of this handler."),
        arg("event", ArgKind::Text, false, "Only this type; pull_request covers pull_request.opened."),
        arg("words", ArgKind::Text, false, "Only titles that contain this."),
        arg("for", ArgKind::Duration, false, "How long, such as 8h or 7d; for ever when left out."),
    ],
    choices: &[],
    timeout_default: LOCAL_TIMEOUT_DEFAULT,
};

static UNMUTE_NOTICES: ToolSpec = ToolSpec {
    name: "unmute_notices",
    summary: "Ends a rule that keeps notices quiet.",
    risk: Risk::Write,
    default_effect: idempotent,
    args: &[arg("rule", ArgKind::Integer { min: 1, max: i64::MAX as u64 }, true, "The rule's number.")],
    choices: &[],
    timeout_default: LOCAL_TIMEOUT_DEFAULT,
};

static INSTALL_WORKFLOW: ToolSpec = ToolSpec {
    name: "install_workflow",
    summary: "Writes a workflow file, which is then served. Its text says whether it is enabled.",
    risk: Risk::Write,
    default_effect: idempotent,
    args: &[arg("yaml", ArgKind::Text, true, "The whole file, as draft_workflow found it valid.")],
    choices: &[],
    timeout_default: LOCAL_TIMEOUT_DEFAULT,
};

/// All of them.
pub(super) static SPECS: [&ToolSpec; 4] = [&REPLAY_EVENT, &MUTE_NOTICES, &UNMUTE_NOTICES, &INSTALL_WORKFLOW];

/// `replay_event`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplayEvent;

#[async_trait]
impl Tool for ReplayEvent {
    fn spec(&self) -> &'static ToolSpec {
        &REPLAY_EVENT
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let original: EventId = call.needed_text("event")?.parse().map_err(never)?;
        let now = context.clock.now();
        let replay = EventId::new(context.ids.ulid(now));
        context.ledger.replay(original, replay, now).await.map_err(failure)?;
        Ok(ToolOutput::of(json!({ "event": replay, "replay_of": original })))
    }
}

/// `mute_notices`.
#[derive(Debug, Clone)]
pub struct MuteNotices(pub Arc<dyn ChatLedger>);

#[async_trait]
impl Tool for MuteNotices {
    fn spec(&self) -> &'static ToolSpec {
        &MUTE_NOTICES
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let now = context.clock.now();
        let rule = rule(&call.args, now).map_err(ToolFailure::never_began)?;
        let id = self.0.mute(rule.clone(), &format!("assistant ({})", call.run), now).await.map_err(failure)?;
        Ok(ToolOutput::of(json!({ "rule": id, "until": rule.until })))
    }
}

/// `unmute_notices`.
#[derive(Debug, Clone)]
pub struct UnmuteNotices(pub Arc<dyn ChatLedger>);

#[async_trait]
impl Tool for UnmuteNotices {
    fn spec(&self) -> &'static ToolSpec {
        &UNMUTE_NOTICES
    }

    async fn run(&self, call: &Call, _context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let id = call.integer("rule", 1, i64::MAX as u64)?.and_then(|id| i64::try_from(id).ok()).unwrap_or_default();
        if self.0.unmute(id).await.map_err(failure)? {
            Ok(ToolOutput::of(json!({ "ended": id })))
        } else {
            Err(ToolFailure::never_began(format!("there is no rule {id}")))
        }
    }
}

/// `install_workflow`.
#[derive(Debug, Clone)]
pub struct InstallWorkflow(pub Arc<Catalog>);

#[async_trait]
impl Tool for InstallWorkflow {
    fn spec(&self) -> &'static ToolSpec {
        &INSTALL_WORKFLOW
    }

    async fn run(&self, call: &Call, _context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let yaml = call.needed_text("yaml")?;
        let catalog = Arc::clone(&self.0);
        let installed = tokio::task::spawn_blocking(move || install(&catalog, &yaml)).await;
        installed.map_err(|error| ToolFailure::failed(error.to_string()))?
    }
}

/// The file of the workflow `name`.
pub(super) fn file_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.yaml"))
}

fn install(catalog: &Catalog, yaml: &str) -> Result<ToolOutput, ToolFailure> {
    let workflow = Workflow::parse("draft.yaml", yaml, catalog.known()).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        ToolFailure::never_began(format!("the workflow has faults: {first}"))
    })?;
    // A workflow that lies in a file of another name is replaced there.
    let place = match catalog.get(&workflow.name) {
        Some(known) => PathBuf::from(&known.file),
        None => file_of(catalog.folder(), &workflow.name),
    };
    write(&place, yaml).map_err(|error| ToolFailure::failed(format!("{}: {error}", place.display())))?;
    catalog.reload();
    match catalog.get(&workflow.name) {
        Some(served) if served.hash == workflow.hash => Ok(ToolOutput::of(json!({
            "workflow": workflow.name, "enabled": workflow.enabled, "hash": workflow.hash,
        }))),
        _ => Err(ToolFailure::failed("the file is written, and another one serves this name: run 'agent check'")),
    }
}

/// Whole or not at all.
fn write(place: &Path, text: &str) -> std::io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Files that begin with a dot are not read as workflows.
    let draft = folder.join(format!(".{name}.new"));
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, place)?;
    std::fs::File::open(folder)?.sync_all()
}

/// The rule that arguments describe.
pub(super) fn rule(args: &Map<String, Value>, now: Timestamp) -> Result<MuteRule, String> {
    let part = |name: &str| {
        let text = args.get(name).and_then(Value::as_str).map(|text| clip_chars(&one_line(text), RULE_CHARS_MAX));
        text.filter(|text| !text.is_empty())
    };
    let until = match args.get("for").filter(|value| !value.is_null()) {
        Some(value) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let length = duration::parse(&text).map_err(|error| format!("for: {error}"))?;
            Some(now.checked_add(length).map_err(|_| "for: is too long".to_owned())?)
        }
        None => None,
    };
    let rule = MuteRule { handler: part("handler"), event: part("event"), words: part("words"), until };
    if rule.handler.is_none() && rule.event.is_none() && rule.words.is_none() {
        return Err("a rule needs a handler, an event or words".to_owned());
    }
    Ok(rule)
}

fn never(error: crate::domain::ids::IdError) -> ToolFailure {
    ToolFailure::never_began(error.to_string())
}

fn failure(error: LedgerError) -> ToolFailure {
    match error {
        LedgerError::Unavailable(_) => ToolFailure::Unknown { message: error.to_string() },
        LedgerError::Busy | LedgerError::Invalid(_) | LedgerError::NotFound(_) => {
            ToolFailure::never_began(error.to_string())
        }
    }
}
