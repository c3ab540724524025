//! Declarations of tools that other programs have. They come from the configuration alone and live as long as the process, as
//! those of our own tools do; how many there may be is bounded.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::McpServer;
use crate::domain::run::{Effect, Risk};
use crate::tool::spec::{ArgKind, ArgSpec, Role, ToolSpec};

/// What the names of these tools begin with.
pub const PREFIX: &str = "mcp_";
/// Most declarations, and most names of arguments, that a process keeps.
const KEPT_MAX: usize = 4096;
/// Longest name of an argument, in bytes.
const ARG_NAME_BYTES_MAX: usize = 128;

type Key = (String, Risk, Duration, Vec<String>);

static SPECS: Mutex<BTreeMap<String, Vec<(Key, &'static ToolSpec)>>> = Mutex::new(BTreeMap::new());
static ARGS: Mutex<BTreeMap<String, &'static ArgSpec>> = Mutex::new(BTreeMap::new());

fn once(_args: &Map<String, Value>) -> Effect {
    Effect::Once
}

fn read(_args: &Map<String, Value>) -> Effect {
    Effect::Read
}

/// The declaration of `tool` of `server`, called `name` here.
pub(super) fn spec_of(name: &str, tool: &str, server: &McpServer) -> Option<&'static ToolSpec> {
    let rules = server.tools.get(tool);
    let risk = rules.and_then(|rules| rules.risk).unwrap_or(server.risk);
    let control: Vec<String> = rules.map(|rules| rules.control.iter().cloned().collect()).unwrap_or_default();
    let key: Key = (server.name.clone(), risk, server.timeout, control);
    let mut all = SPECS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, spec)) = all.get(name).and_then(|kept| kept.iter().find(|(kept, _)| *kept == key)) {
        return Some(spec);
    }
    if all.values().map(Vec::len).sum::<usize>() >= KEPT_MAX {
        return None;
    }
    let args: Vec<ArgSpec> = key.3.iter().map(|name| arg(name, Role::Control)).collect();
    let spec: &'static ToolSpec = Box::leak(Box::new(ToolSpec {
        name: Box::leak(name.to_owned().into_boxed_str()),
        summary: Box::leak(format!("A tool of the MCP server '{}'.", server.name).into_boxed_str()),
        risk,
        default_effect: if risk == Risk::Read { read } else { once },
        args: Box::leak(args.into_boxed_slice()),
        choices: &[],
        timeout_default: server.timeout,
    }));
    all.entry(name.to_owned()).or_default().push((key, spec));
    Some(spec)
}

/// An argument that nobody declared: data.
pub fn open_arg(name: &str) -> Option<&'static ArgSpec> {
    let mut all = ARGS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(spec) = all.get(name) {
        return Some(spec);
    }
    if all.len() >= KEPT_MAX || name.len() > ARG_NAME_BYTES_MAX || name.is_empty() {
        return None;
    }
    let spec: &'static ArgSpec = Box::leak(Box::new(arg(name, Role::Data)));
    all.insert(name.to_owned(), spec);
    Some(spec)
}

fn arg(name: &str, role: Role) -> ArgSpec {
    let doc = match role {
        Role::Control => "Control: no payload may fill it.",
        Role::Data | Role::Argv | Role::Named | Role::Url => "Handed on as it is.",
    };
    ArgSpec { name: Box::leak(name.to_owned().into_boxed_str()), kind: ArgKind::Json, role, required: false, doc }
}
