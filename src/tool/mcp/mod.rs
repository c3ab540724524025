//! Tools of other programs, over the Model Context Protocol.
//!
//! A server is a process of the operator's choice (`mcp.servers` in the configuration). Its tools are known by name before it
//! runs: `mcp_<server>_<tool>`, so that workflows load, are gated and are pinned whether it runs or not. What it says of itself
//! is not trusted: risk and control arguments come from the configuration, descriptions are bounded and marked, and what its
//! tools give is tainted. It can ask us for nothing.

mod connection;
mod process;
mod specs;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock};
use rmcp::service::ServiceError;
use serde_json::{Map, Value};

pub use connection::{READY_WAIT_MAX, Server, State};
pub use specs::{PREFIX, open_arg};

use super::{Call, OUTPUT_BYTES_MAX, Tool, ToolContext, ToolFailure, ToolOutput, ToolSpec};
use crate::config::Mcp;
use crate::ports::{Clock, ToolOffer};
use crate::telemetry::Redactor;

/// Longest message of a server, in bytes; a longer line is thrown away.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most tools of one server.
pub const TOOLS_MAX: usize = 128;
/// Longest description of a tool that a model sees, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 1000;
/// Largest schema of a tool's arguments that a model sees, in bytes; instead of a larger one it sees none.
pub const SCHEMA_BYTES_MAX: usize = 16 * 1024;
/// Longest name of a tool as a model sees it, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest part of a failure's message that is the server's, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// The servers of the configuration.
#[derive(Debug)]
pub struct McpServers {
    servers: BTreeMap<String, Arc<Server>>,
}

impl McpServers {
    /// The servers that are enabled. None runs until [`Server::run`].
    pub fn new(config: &Mcp, clock: &Arc<dyn Clock>, redactor: Arc<Redactor>) -> Self {
        let enabled = config.servers.values().filter(|server| server.enabled);
        let servers = enabled.map(|server| {
            let server = Server::new(server.clone(), config.base_env.clone(), Arc::clone(clock), Arc::clone(&redactor));
            (server.name().to_owned(), Arc::new(server))
        });
        Self { servers: servers.collect() }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values()
    }

    /// The server and its tool that `name` means.
    fn find<'n>(&self, name: &'n str) -> Option<(&Arc<Server>, &'n str)> {
        let (server, tool) = name.strip_prefix(PREFIX)?.split_once('_')?;
        let server = self.servers.get(server)?;
        (name.len() <= NAME_BYTES_MAX && server.takes(tool)).then_some((server, tool))
    }

    /// The declaration of the tool `name`, if it is one of ours. Whether its server has it shows when it is called.
    pub fn spec(&self, name: &str) -> Option<&'static ToolSpec> {
        let (server, tool) = self.find(name)?;
        specs::spec_of(name, tool, server.config())
    }

    /// The tool `name`.
    pub fn tool(&self, name: &str) -> Option<Arc<dyn Tool>> {
        let (server, tool) = self.find(name)?;
        let spec = specs::spec_of(name, tool, server.config())?;
        Some(Arc::new(McpTool { server: Arc::clone(server), tool: tool.to_owned(), spec }))
    }

    /// The tools that there are right now, for a model.
    pub fn offers(&self) -> Vec<ToolOffer> {
        self.servers.values().flat_map(|server| server.offers()).collect()
    }
}

/// One tool of one server.
#[derive(Debug)]
struct McpTool {
    server: Arc<Server>,
    /// Its name after the server's.
    tool: String,
    spec: &'static ToolSpec,
}

#[async_trait]
impl Tool for McpTool {
    fn spec(&self) -> &'static ToolSpec {
        self.spec
    }

    fn carried_out_by(&self) -> Option<String> {
        Some(self.server.described())
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let timeout = call.timeout;
        let (peer, name) = tokio::select! {
            ready = self.server.ready(&self.tool) => ready.map_err(ToolFailure::never_began)?,
            () = context.cancel.cancelled() => return Err(ToolFailure::Cancelled),
        };
        let arguments: Map<String, Value> = call.args.clone();
        let params = CallToolRequestParams::new(name).with_arguments(arguments);
        let answer = tokio::select! {
            answer = peer.call_tool(params) => answer,
            () = context.cancel.cancelled() => return Err(ToolFailure::Cancelled),
            () = context.clock.sleep(timeout) => return Err(ToolFailure::TimedOut { after: timeout, output: None }),
        };
        let clean = |mut output: ToolOutput| {
            clean(&mut output.value, &context.redactor);
            output
        };
        match answer {
            Ok(result) if result.is_error == Some(true) => {
                let output = clean(output_of(&result));
                let said = shown(&output.value);
                let message = format!("the MCP server '{}' says: {said}", self.server.name());
                Err(ToolFailure::Failed {
                    message: context.redactor.clean(&message).into_owned(),
                    output: Some(Box::new(output)),
                })
            }
            Ok(result) => Ok(clean(output_of(&result))),
            Err(error) => Err(self.failure(&error, context)),
        }
    }
}

impl McpTool {
    fn failure(&self, error: &ServiceError, context: &ToolContext) -> ToolFailure {
        let words =
            crate::domain::text::clip_chars(&crate::domain::text::one_line(&error.to_string()), MESSAGE_CHARS_MAX);
        let message = format!("the MCP server '{}': {words}", self.server.name());
        let message = context.redactor.clean(&message).into_owned();
        match error {
            // It answered, and the answer is no.
            ServiceError::McpError(_) => ToolFailure::failed(message),
            // It was on its way.
            _ => ToolFailure::Unknown { message },
        }
    }
}

/// What a result gives, bounded.
fn output_of(result: &CallToolResult) -> ToolOutput {
    let fits = |value: &Value| !value.is_null() && value.to_string().len() <= OUTPUT_BYTES_MAX;
    if let Some(value) = result.structured_content.clone().filter(fits) {
        return ToolOutput::of(value);
    }
    let mut text = String::new();
    for block in &result.content {
        if !text.is_empty() {
            text.push('\n');
        }
        match block {
            ContentBlock::Text(part) => text.push_str(&part.text),
            ContentBlock::Image(part) => text.push_str(&format!("[an image, {}]", part.mime_type)),
            ContentBlock::Audio(part) => text.push_str(&format!("[a sound, {}]", part.mime_type)),
            ContentBlock::Resource(_) => text.push_str("[a resource]"),
            ContentBlock::ResourceLink(link) => text.push_str(&format!("[{}]", link.uri)),
            _ => text.push_str("[something else]"),
        }
        if text.len() > OUTPUT_BYTES_MAX {
            let end = (0..=OUTPUT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            return ToolOutput { value: Value::String(text), truncated: true, logs: String::new() };
        }
    }
    ToolOutput::of(serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text)))
}

/// Cuts the secrets of the configuration out: a server that was given one may say it again.
fn clean(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => {
            if let std::borrow::Cow::Owned(cleaned) = redactor.clean(text) {
                *text = cleaned;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clean(item, redactor)),
        Value::Object(fields) => fields.values_mut().for_each(|field| clean(field, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    crate::domain::text::clip_chars(&crate::domain::text::one_line(&text), MESSAGE_CHARS_MAX)
}
