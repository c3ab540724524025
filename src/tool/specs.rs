//! The table of all tools: names, arguments, who may fill them, effects and bounds (section 16 of the contract).
//!
//! It also declares what others carry out: the runner does `run_workflow` and `wait_for_event` itself, and `model_prompt`
//! needs a model, which this version does not have.

use std::time::Duration;

use serde_json::{Map, Value};

use super::context::MEMORY_LIMIT_MAX;
use super::spec::{ArgKind, ArgSpec, Choice, Role, ToolSpec};
use crate::domain::run::{Effect, Risk};

/// How long a process may take when the step does not say.
pub const PROCESS_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// How long a request may take when neither step nor arguments say.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How long work on the ledger or on a file may take when the step does not say.
pub const LOCAL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How long a child run may take when the step does not say.
pub const CHILD_RUN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3600);
/// How long an event is waited for when neither step nor arguments say.
pub const WAIT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// Methods that a request may have.
pub const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Methods that an outgoing webhook may have.
pub const HOOK_METHODS: &[&str] = &["POST", "PUT", "PATCH"];
/// Languages of inline scripts.
pub const LANGUAGES: &[&str] = &["bash", "python", "node"];

const fn arg(name: &'static str, kind: ArgKind, role: Role, doc: &'static str) -> ArgSpec {
    ArgSpec { name, kind, role, required: false, doc }
}

const fn needs(name: &'static str, kind: ArgKind, role: Role, doc: &'static str) -> ArgSpec {
    ArgSpec { name, kind, role, required: true, doc }
}

fn once(_args: &Map<String, Value>) -> Effect {
    Effect::Once
}

fn idempotent(_args: &Map<String, Value>) -> Effect {
    Effect::Idempotent
}

fn read(_args: &Map<String, Value>) -> Effect {
    Effect::Read
}

/// Reading for GET and HEAD, which is what a request without a method is.
fn by_method(args: &Map<String, Value>) -> Effect {
    match args.get("method").and_then(Value::as_str) {
        None if args.contains_key("method") => Effect::Once,
        None => Effect::Read,
        Some(method) if ["GET", "HEAD"].iter().any(|safe| method.eq_ignore_ascii_case(safe)) => Effect::Read,
        Some(_) => Effect::Once,
    }
}

/// Runs a program.
pub static SHELL_EXEC: ToolSpec = ToolSpec {
    name: "shell_exec",
    summary: "Runs a program. It reads the payload as JSON on its standard input; its standard output is the result.",
    risk: Risk::Execute,
    default_effect: once,
    args: &[
        arg("argv", ArgKind::Texts, Role::Argv, "The program and its arguments; no shell reads them."),
        arg("command", ArgKind::Text, Role::Control, "A line for `sh -c`, without payload text."),
        arg("cwd", ArgKind::Text, Role::Control, "The folder to run in; relative to the files folder, its default."),
        arg("env", ArgKind::TextMap, Role::Named, "Environment variables besides the few that every process gets."),
        arg("stdin", ArgKind::Json, Role::Data, "What it reads instead of the payload; a text as it is, else JSON."),
    ],
    choices: &[Choice { of: &["argv", "command"], required: true }],
    timeout_default: PROCESS_TIMEOUT_DEFAULT,
};

/// Runs inline code.
pub static SCRIPT: ToolSpec = ToolSpec {
    name: "script",
    summary: "Runs inline code. It reads the payload as JSON on its standard input; its standard output is the result.",
    risk: Risk::Execute,
    default_effect: once,
    args: &[
        needs("language", ArgKind::Word(LANGUAGES), Role::Control, "`bash`, `python` or `node`."),
        needs("code", ArgKind::Text, Role::Control, "The code, without payload text."),
    ],
    choices: &[],
    timeout_default: PROCESS_TIMEOUT_DEFAULT,
};

/// Sends a request.
pub static HTTP_REQUEST: ToolSpec = ToolSpec {
    name: "http_request",
    summary: "Sends an HTTP request and gives back status, headers and body.",
    risk: Risk::Network,
    default_effect: by_method,
    args: &[
        arg("method", ArgKind::Word(METHODS), Role::Control, "The method; GET when left out."),
        needs("url", ArgKind::Text, Role::Url, "Where to; the payload may be in its path and query."),
        arg("headers", ArgKind::TextMap, Role::Named, "Headers by name."),
        arg("json", ArgKind::Json, Role::Data, "A body, sent as JSON."),
        arg("body", ArgKind::Text, Role::Data, "A body, sent as it is."),
        arg("timeout", ArgKind::Duration, Role::Control, "The longest wait for the whole answer."),
    ],
    choices: &[Choice { of: &["json", "body"], required: false }],
    timeout_default: REQUEST_TIMEOUT_DEFAULT,
};

/// Sends an outgoing webhook.
pub static HOOK: ToolSpec = ToolSpec {
    name: "hook",
    summary: "Sends a signed webhook (Standard Webhooks), repeated with the same id until it is taken.",
    risk: Risk::Network,
    default_effect: idempotent,
    args: &[
        needs("url", ArgKind::Text, Role::Control, "Where to."),
        arg("method", ArgKind::Word(HOOK_METHODS), Role::Control, "The method; POST when left out."),
        arg("headers", ArgKind::TextMap, Role::Named, "Headers by name."),
        arg("json", ArgKind::Json, Role::Data, "The body, sent as JSON; the payload when left out."),
        arg("body", ArgKind::Text, Role::Data, "The body, sent as it is."),
        arg("secret", ArgKind::SecretName, Role::Control, "The name of the secret to sign with."),
        arg("timeout", ArgKind::Duration, Role::Control, "The longest wait for one answer; 30 s when left out."),
    ],
    choices: &[Choice { of: &["json", "body"], required: false }],
    timeout_default: PROCESS_TIMEOUT_DEFAULT,
};

/// Remembers a fact.
pub static MEMORY_STORE: ToolSpec = ToolSpec {
    name: "memory_store",
    summary: "Remembers a fact.",
    risk: Risk::Write,
    default_effect: idempotent,
    args: &[
        arg("section", ArgKind::Text, Role::Data, "What it belongs to; `General` when left out."),
        needs("fact", ArgKind::Text, Role::Data, "The fact, in a sentence."),
    ],
    choices: &[],
    timeout_default: LOCAL_TIMEOUT_DEFAULT,
};

/// Finds facts.
pub static MEMORY_SEARCH: ToolSpec = ToolSpec {
    name: "memory_search",
    summary: "Finds remembered facts by their words, best first.",
    risk: Risk::Read,
    default_effect: read,
    args: &[
        needs("query", ArgKind::Text, Role::Data, "Words to look for."),
        arg("section", ArgKind::Text, Role::Data, "Only facts of this section."),
        arg(
            "limit",
            ArgKind::Integer { min: 1, max: MEMORY_LIMIT_MAX as u64 },
            Role::Data,
            "The most facts; 10 when left out.",
        ),
    ],
    choices: &[],
    timeout_default: LOCAL_TIMEOUT_DEFAULT,
};

/// Reads a file.
pub static READ_FILE: ToolSpec = ToolSpec {
    name: "read_file",
    summary: "Reads a text file of the files folder or of a folder that the configuration adds.",
    risk: Risk::Read,
    default_effect: read,
    args: &[needs("path", ArgKind::Text, Role::Control, "Its path; relative to the files folder.")],
    choices: &[],
    timeout_default: LOCAL_TIMEOUT_DEFAULT,
};

/// Writes a file.
pub static WRITE_FILE: ToolSpec = ToolSpec {
    name: "write_file",
    summary: "Writes a file of the files folder or of a folder that the configuration adds, as a whole or not at all.",
    risk: Risk::Write,
    default_effect: idempotent,
    args: &[
        needs("path", ArgKind::Text, Role::Control, "Its path; relative to the files folder."),
        needs("content", ArgKind::Json, Role::Data, "What it shall hold; a text as it is, else JSON."),
    ],
    choices: &[],
    timeout_default: LOCAL_TIMEOUT_DEFAULT,
};

/// Asks a model.
pub static MODEL_PROMPT: ToolSpec = ToolSpec {
    name: "model_prompt",
    summary: "Asks a language model about data that it must not take for instructions.",
    risk: Risk::Read,
    default_effect: read,
    args: &[
        needs("task", ArgKind::Text, Role::Control, "What to do, without payload text."),
        arg("data", ArgKind::Json, Role::Data, "What to do it with; the payload when left out."),
        arg(
            "returns",
            ArgKind::Answer,
            Role::Control,
            "A JSON Schema of the answer, or a list of words of which it is one.",
        ),
    ],
    choices: &[],
    timeout_default: Duration::from_secs(60),
};

/// Writes to a chat.
pub static NOTIFY: ToolSpec = ToolSpec {
    name: "notify",
    summary: "Writes a message to a chat.",
    risk: Risk::Write,
    default_effect: idempotent,
    args: &[
        arg(
            "chat",
            ArgKind::Text,
            Role::Control,
            "A chat's name; the handler's chat, else the default one, when left out.",
        ),
        needs("text", ArgKind::Text, Role::Data, "The message, plain text."),
    ],
    choices: &[],
    timeout_default: LOCAL_TIMEOUT_DEFAULT,
};

/// Starts another workflow.
pub static RUN_WORKFLOW: ToolSpec = ToolSpec {
    name: "run_workflow",
    summary: "Runs another workflow and waits for its end; one child run per step of a run.",
    risk: Risk::Execute,
    default_effect: idempotent,
    args: &[
        needs("workflow", ArgKind::Text, Role::Control, "Its name."),
        arg("inputs", ArgKind::JsonMap, Role::Data, "Its inputs by name."),
    ],
    choices: &[],
    timeout_default: CHILD_RUN_TIMEOUT_DEFAULT,
};

/// Waits for another event.
pub static WAIT_FOR_EVENT: ToolSpec = ToolSpec {
    name: "wait_for_event",
    summary: "Waits for an event to come in after this step began.",
    risk: Risk::Read,
    default_effect: read,
    args: &[
        needs("handler", ArgKind::Text, Role::Control, "The handler that it comes to."),
        arg("events", ArgKind::Texts, Role::Control, "Event types; any when left out."),
        arg("when", ArgKind::Expression, Role::Control, "A condition over the new event."),
        arg("timeout", ArgKind::Duration, Role::Control, "The longest wait; 24 h when left out."),
    ],
    choices: &[],
    timeout_default: WAIT_TIMEOUT_DEFAULT,
};

/// Every tool there is.
pub static ALL: [&ToolSpec; 12] = [
    &SHELL_EXEC,
    &SCRIPT,
    &HTTP_REQUEST,
    &HOOK,
    &MEMORY_STORE,
    &MEMORY_SEARCH,
    &READ_FILE,
    &WRITE_FILE,
    &MODEL_PROMPT,
    &NOTIFY,
    &RUN_WORKFLOW,
    &WAIT_FOR_EVENT,
];
