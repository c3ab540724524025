//! The section `mcp`: servers of the Model Context Protocol, and what the operator says of their tools.
//!
//! What a server says about itself is not trusted; what is written here is. How a server is started is `tool`'s business.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::effective::Origin;
use super::reader::{Reader, Section};
use super::{Secret, files, values};
use crate::domain::run::Risk;

/// Most servers.
pub const MCP_SERVERS_MAX: usize = 32;
/// Longest name of a server, in bytes: it is part of its tools' names.
pub const MCP_NAME_BYTES_MAX: usize = 24;

/// The variables of this process that servers get.
const BASE_ENV: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

const RISKS: &[(&str, Risk)] =
    &[("read", Risk::Read), ("write", Risk::Write), ("network", Risk::Network), ("execute", Risk::Execute)];

/// The servers.
#[derive(Debug, Clone, Default)]
pub struct Mcp {
    /// By name.
    pub servers: BTreeMap<String, McpServer>,
    /// The few variables of this process that every server gets.
    pub base_env: Vec<(String, String)>,
}

/// One server.
#[derive(Debug, Clone)]
pub struct McpServer {
    /// Its name.
    pub name: String,
    /// Whether it is started.
    pub enabled: bool,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The folder to run in.
    pub cwd: PathBuf,
    /// Variables besides the usual few.
    pub env: BTreeMap<String, Secret>,
    /// What its tools can do.
    pub risk: Risk,
    /// The longest that a call may take.
    pub timeout: Duration,
    /// The tools that are taken; empty takes all.
    pub only: BTreeSet<String>,
    /// What is said of single tools.
    pub tools: BTreeMap<String, McpToolRules>,
}

/// What is said of one tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct McpToolRules {
    /// What it can do, when it is not what its server's tools can.
    pub risk: Option<Risk>,
    /// Arguments that no payload may fill.
    pub control: BTreeSet<String>,
}

/// Reads the section.
pub(super) fn read(r: &mut Reader<'_>, top: &Section) -> Mcp {
    let s = r.section(top, "mcp");
    let mut servers = BTreeMap::new();
    let Some(parts) = r.named(&s, "servers") else {
        r.record("mcp.servers".to_owned(), serde_json::Value::Null, Origin::Default);
        return Mcp::default();
    };
    if parts.len() > MCP_SERVERS_MAX {
        let site = r.site_of(&s, "servers");
        r.fault(&site, "mcp.servers", format!("more than {MCP_SERVERS_MAX} servers"), None);
    }
    for (entry, part) in parts.into_iter().take(MCP_SERVERS_MAX) {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if entry.key.is_empty() || entry.key.len() > MCP_NAME_BYTES_MAX || !entry.key.bytes().all(known) {
            let site = r.site(entry.at);
            let message = format!("a server's name is 1 to {MCP_NAME_BYTES_MAX} small letters and digits");
            r.fault(&site, "mcp.servers", message, Some("it is part of its tools' names".to_owned()));
            continue;
        }
        let part = r.checked_part(&entry, part);
        let server = server(r, &part, entry.key.clone());
        servers.insert(entry.key, server);
    }
    let base_env = BASE_ENV.iter().filter_map(|name| Some(((*name).to_owned(), r.vars.get_filled(name)?.value)));
    let base_env = base_env.collect();
    Mcp { servers, base_env }
}

fn server(r: &mut Reader<'_>, s: &Section, name: String) -> McpServer {
    let enabled = r.defaulted(s, "enabled", values::flag);
    let command = r.list(s, "command", false, values::text);
    if command.is_empty() {
        let site = r.site_of(s, "command");
        let hint = "such as [npx, -y, \"@modelcontextprotocol/server-everything\"]".to_owned();
        r.fault(&site, &s.path_of("command"), "is missing: the program and its arguments", Some(hint));
    }
    let cwd = r.value(s, "cwd", values::text);
    let cwd = cwd.map_or_else(|| r.folder.clone(), |cwd| files::resolve(&r.folder, &cwd));
    let env = r.secret_map(s, "env", |name| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(known)
    });
    let risk = r.defaulted(s, "risk", values::word(RISKS));
    let timeout =
        Duration::from_secs(r.defaulted(s, "timeout_seconds", values::integer("mcp.servers.*.timeout_seconds")));
    let only = r.list(s, "only", true, values::text).into_iter().collect();
    let mut tools = BTreeMap::new();
    for (entry, part) in r.named(s, "tools").unwrap_or_default() {
        let part = r.checked_part(&entry, part);
        let risk = r.value(&part, "risk", values::word(RISKS));
        let control = r.list(&part, "control", true, values::text).into_iter().collect();
        tools.insert(entry.key, McpToolRules { risk, control });
    }
    McpServer { name, enabled, command, cwd, env, risk, timeout, only, tools }
}
