//! The keys of what stands around the assistant: agents, schedules' digest, MCP servers, traces. Part of the one table in `keys`.

use super::keys::{Key, Kind, key};

const HOUR_SECONDS: u64 = 3600;

/// The keys, sections before what is in them.
pub(super) const KEYS: &[Key] = &[
    key(
        "agents",
        Kind::Named,
        "null",
        "Agents by name, each with chats and handlers of its own. `default` always exists: everything that no other one claims is its.",
    ),
    key("agents.*", Kind::Section, "null", "One agent."),
    key("agents.*.prompt", Kind::Text, "null", "What it is told about itself, before everything else."),
    key(
        "agents.*.model",
        Kind::Text,
        "null",
        "The model that it asks before the others: one of `model.fallbacks`, or any name at `model.provider`.",
    ),
    key(
        "agents.*.tools",
        Kind::Texts,
        "[]",
        "The tools that it is offered; empty offers all. `mcp_files_*` stands for all that begin so. What a tool may do without asking is not decided here.",
    ),
    key("agents.*.chats", Kind::Texts, "[]", "Names of `telegram.chats` where it answers."),
    key(
        "agents.*.handlers",
        Kind::Texts,
        "[]",
        "Handlers whose events it summarizes. One without a `notify` of its own writes to the agent's first chat.",
    ),
    key(
        "digest",
        Kind::Section,
        "null",
        "A message a day that accounts for every event since the last one. Without this key there is none.",
    ),
    key("digest.at", Kind::Text, "18:00", "The time of day, hours and minutes."),
    key("digest.timezone", Kind::Text, "UTC", "The time zone of `at`, such as `Europe/Berlin`."),
    key("digest.chat", Kind::Text, "default", "The chat that gets it, a name of `telegram.chats`."),
    key("mcp", Kind::Section, "null", "Servers of the Model Context Protocol whose tools the agent may use."),
    key("mcp.servers", Kind::Named, "null", "The servers by name; a tool is called `mcp_<server>_<tool>`."),
    key(
        "mcp.servers.*",
        Kind::Section,
        "null",
        "One server, a program that speaks MCP over its standard input and output.",
    ),
    key("mcp.servers.*.enabled", Kind::Bool, "true", "Whether it is started."),
    key(
        "mcp.servers.*.command",
        Kind::Texts,
        "[]",
        "The program and its arguments; no shell reads them. It runs with the agent's own rights, and with none of its secrets.",
    ),
    key("mcp.servers.*.cwd", Kind::Path, "null", "The folder to run in. Default: the folder of the configuration."),
    key(
        "mcp.servers.*.env",
        Kind::Named,
        "null",
        "Variables besides the few that every process gets (PATH, HOME, LANG and the like).",
    ),
    key("mcp.servers.*.env.*", Kind::Secret, "null", "The variable's value; it is shown nowhere."),
    key(
        "mcp.servers.*.risk",
        Kind::Word(&["read", "write", "network", "execute"]),
        "execute",
        "What its tools can do, unless `tools` says otherwise. In a chat only `read` runs without an approval.",
    ),
    key(
        "mcp.servers.*.timeout_seconds",
        Kind::Integer { min: 1, max: HOUR_SECONDS },
        "60",
        "The longest that one call may take, in seconds.",
    ),
    key("mcp.servers.*.only", Kind::Texts, "[]", "The server's tools that are taken; empty takes all."),
    key("mcp.servers.*.tools", Kind::Named, "null", "What is said of single tools, by the server's names for them."),
    key("mcp.servers.*.tools.*", Kind::Section, "null", "One tool."),
    key(
        "mcp.servers.*.tools.*.risk",
        Kind::Word(&["read", "write", "network", "execute"]),
        "null",
        "What it can do. Default: the server's `risk`.",
    ),
    key(
        "mcp.servers.*.tools.*.control",
        Kind::Texts,
        "[]",
        "Arguments that no payload may fill: with a template over one, a workflow is refused.",
    ),
    key("telemetry", Kind::Section, "null", "What the agent tells other systems about its work."),
    key(
        "telemetry.otlp",
        Kind::Section,
        "null",
        "OpenTelemetry traces over OTLP (HTTP, protobuf). Off until there is an `endpoint`.",
    ),
    key(
        "telemetry.otlp.endpoint",
        Kind::Url,
        "null",
        "The collector, such as `http://127.0.0.1:4318` (then `/v1/traces` is added) or a URL that ends in `/v1/traces`.",
    ),
    key("telemetry.otlp.headers", Kind::Named, "null", "Headers of each request, such as `x-mlflow-experiment-id`."),
    key("telemetry.otlp.headers.*", Kind::Secret, "null", "The header's value; it is shown nowhere."),
    key("telemetry.otlp.service_name", Kind::Text, "hookhand", "The name of this agent among the services there."),
    key(
        "telemetry.otlp.timeout_seconds",
        Kind::Integer { min: 1, max: 120 },
        "10",
        "The longest wait for the collector, in seconds.",
    ),
];
