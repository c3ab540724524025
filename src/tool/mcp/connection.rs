//! One server: started, asked what it has, started again when it ends, and called while it runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams};
use rmcp::service::{NotificationContext, RoleClient, ServiceError};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{ClientHandler, Peer, ServiceExt};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::process::{self, Process};
use super::{DESCRIPTION_CHARS_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, PREFIX, SCHEMA_BYTES_MAX, TOOLS_MAX};
use crate::config::McpServer;
use crate::domain::text::{clip_chars, one_line};
use crate::ports::{Clock, ToolOffer};
use crate::telemetry::Redactor;

/// The longest that a server may take to say hello and what it has.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(30);
/// The longest that a call waits for a server that is being started.
pub const READY_WAIT_MAX: Duration = Duration::from_secs(15);
/// The wait before a server is started again, at first and at most; it doubles in between.
const RESTART_WAIT_MIN: Duration = Duration::from_secs(1);
const RESTART_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long the end of what it says is waited for once it has ended.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(1);
/// A server that ran as long as this is started again at once.
const RAN_WELL: Duration = Duration::from_secs(60);
/// Most pages of a list of tools.
const PAGES_MAX: usize = 64;
/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 300;

/// Where a server is.
#[derive(Debug, Clone, Default)]
pub enum State {
    /// It is being started for the first time.
    #[default]
    Starting,
    /// It runs.
    Ready {
        /// The way to it.
        peer: Peer<RoleClient>,
        /// What it has.
        tools: Arc<Vec<ForeignTool>>,
    },
    /// It does not run; it is started again after a while.
    Down {
        /// Why.
        reason: String,
    },
}

/// A tool as its server describes it, bounded.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignTool {
    /// Its name there.
    pub name: String,
    /// Its name here, after the server's.
    pub short: String,
    description: String,
    schema: Value,
}

/// One server.
#[derive(Debug)]
pub struct Server {
    config: McpServer,
    base_env: Vec<(String, String)>,
    clock: Arc<dyn Clock>,
    redactor: Arc<Redactor>,
    state: watch::Sender<State>,
    last_words: Mutex<String>,
}

/// What we are to a server: somebody of whom it can ask nothing.
#[derive(Debug, Clone)]
struct Client {
    relist: Arc<Notify>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let implementation = Implementation::new("hookhand", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), implementation)
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.relist.notify_one();
    }
}

impl Server {
    pub(super) fn new(
        config: McpServer,
        base_env: Vec<(String, String)>,
        clock: Arc<dyn Clock>,
        redactor: Arc<Redactor>,
    ) -> Self {
        let last_words = Mutex::new(String::new());
        Self { config, base_env, clock, redactor, state: watch::Sender::new(State::Starting), last_words }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Where it is now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The same, as it changes.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(super) fn config(&self) -> &McpServer {
        &self.config
    }

    /// Whether the configuration takes its tool `short`.
    pub(super) fn takes(&self, short: &str) -> bool {
        !short.is_empty()
            && (self.config.only.is_empty() || self.config.only.iter().any(|name| short_of(name) == short))
    }

    /// The program in words, as an approval shows it: names of variables without their values.
    pub(super) fn described(&self) -> String {
        let command = serde_json::to_string(&self.config.command).unwrap_or_default();
        let names: Vec<&str> = self.config.env.keys().map(String::as_str).collect();
        let env = if names.is_empty() { String::new() } else { format!(" with {}", names.join(", ")) };
        format!("MCP server {}: {command} in {}{env}", self.config.name, self.config.cwd.display())
    }

    /// The way to the server and its own name for `short`, once it runs.
    pub(super) async fn ready(&self, short: &str) -> Result<(Peer<RoleClient>, String), String> {
        let mut watched = self.state.subscribe();
        let running = async {
            loop {
                if let State::Ready { peer, tools } = &*watched.borrow_and_update() {
                    let found = tools.iter().find(|tool| tool.short == short).map(|tool| tool.name.clone());
                    return match found {
                        Some(name) => Ok((peer.clone(), name)),
                        None => {
                            let names: Vec<&str> = tools.iter().map(|tool| tool.short.as_str()).collect();
                            let names = clip_chars(&names.join(", "), REASON_CHARS_MAX);
                            Err(format!("the MCP server '{}' has no tool '{short}'; it has: {names}", self.name()))
                        }
                    };
                }
                if watched.changed().await.is_err() {
                    return Err(self.absent());
                }
            }
        };
        tokio::select! {
            found = running => found,
            () = self.clock.sleep(READY_WAIT_MAX) => Err(self.absent()),
        }
    }

    fn absent(&self) -> String {
        let why = match self.state() {
            State::Down { reason } => format!(": {reason}"),
            State::Starting | State::Ready { .. } => String::new(),
        };
        format!("the MCP server '{}' does not run{why}", self.name())
    }

    /// Its tools for a model; none while it does not run.
    pub(super) fn offers(&self) -> Vec<ToolOffer> {
        let State::Ready { tools, .. } = self.state() else { return Vec::new() };
        let offer = |tool: &ForeignTool| ToolOffer {
            name: format!("{PREFIX}{}_{}", self.name(), tool.short),
            description: format!(
                "(In the words of the MCP server '{}', which nobody checked:) {}",
                self.name(),
                tool.description
            ),
            schema: tool.schema.clone(),
        };
        tools.iter().filter(|tool| self.takes(&tool.short)).map(offer).collect()
    }

    /// Keeps it running until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut wait = RESTART_WAIT_MIN;
        loop {
            let began = self.clock.now();
            let ended = tokio::select! {
                () = stop.cancelled() => None,
                ended = self.once() => Some(ended),
            };
            let Some(reason) = ended else {
                self.state.send_replace(State::Down { reason: "the agent stops".to_owned() });
                return;
            };
            let reason = clip_chars(&one_line(&self.redactor.clean(&reason)), REASON_CHARS_MAX);
            tracing::warn!(mcp.server = self.name(), reason, "an MCP server ended; it is started again");
            self.state.send_replace(State::Down { reason });
            if self.clock.now().duration_since(began).unsigned_abs() >= RAN_WELL {
                wait = RESTART_WAIT_MIN;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(wait) => {}
            }
            wait = (wait * 2).min(RESTART_WAIT_MAX);
        }
    }

    /// Starts it and stays with it; gives the reason of its end.
    async fn once(&self) -> String {
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let (process, pipes) = match process::start(&self.config, &self.base_env) {
            Ok(started) => started,
            Err(error) => {
                return format!(
                    "{} cannot be started: {error}",
                    self.config.command.first().map_or("it", String::as_str)
                );
            }
        };
        let transport = AsyncRwTransport::new_client(pipes.stdout, pipes.stdin).with_max_line_length(MESSAGE_BYTES_MAX);
        let keep = |line: String| {
            if !line.is_empty() {
                *self.last_words.lock().unwrap_or_else(PoisonError::into_inner) = line;
            }
        };
        let heard = process::drain(pipes.stderr, keep);
        let worked = self.work(process, transport);
        tokio::pin!(heard, worked);
        let reason = tokio::select! {
            reason = &mut worked => {
                // Its process is gone, so its pipe ends, unless somebody else holds it.
                tokio::select! {
                    () = &mut heard => {}
                    () = self.clock.sleep(LAST_WORDS_WAIT) => {}
                }
                reason
            }
            // It closed its standard error and may go on.
            () = &mut heard => worked.await,
        };
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if words.is_empty() { reason } else { format!("{reason}; it said last: {words}") }
    }

    async fn work(
        &self,
        process: Process,
        transport: AsyncRwTransport<RoleClient, tokio::process::ChildStdout, tokio::process::ChildStdin>,
    ) -> String {
        // Ends with this function, however that ends.
        let _process = process;
        let relist = Arc::new(Notify::new());
        let client = Client { relist: Arc::clone(&relist) };
        let hello = async {
            let service = client.serve(transport).await.map_err(|error| format!("no hello: {error}"))?;
            let tools = self.list(service.peer()).await?;
            Ok::<_, String>((service, tools))
        };
        let (service, tools) = tokio::select! {
            said = hello => match said {
                Ok(said) => said,
                Err(reason) => return reason,
            },
            () = self.clock.sleep(HELLO_WAIT_MAX) => return "it did not say hello in time".to_owned(),
        };
        tracing::info!(mcp.server = self.name(), tools = tools.len(), "an MCP server runs");
        let peer = service.peer().clone();
        self.state.send_replace(State::Ready { peer: peer.clone(), tools: Arc::new(tools) });
        let ended = service.waiting();
        tokio::pin!(ended);
        loop {
            tokio::select! {
                _ = &mut ended => return "it ended".to_owned(),
                () = relist.notified() => match self.list(&peer).await {
                    Ok(tools) => { self.state.send_replace(State::Ready { peer: peer.clone(), tools: Arc::new(tools) }); }
                    Err(reason) => return reason,
                },
            }
        }
    }

    async fn list(&self, peer: &Peer<RoleClient>) -> Result<Vec<ForeignTool>, String> {
        let listed = tokio::select! {
            listed = listed(peer) => listed.map_err(|error| format!("it does not list its tools: {error}"))?,
            () = self.clock.sleep(HELLO_WAIT_MAX) => return Err("it did not list its tools in time".to_owned()),
        };
        if listed.len() > TOOLS_MAX {
            tracing::warn!(
                mcp.server = self.name(),
                "an MCP server has too many tools; the first {TOOLS_MAX} are taken"
            );
        }
        let mut tools: Vec<ForeignTool> = Vec::new();
        let shorts: Vec<String> = listed.iter().map(|tool| short_of(&tool.name)).collect();
        for (tool, short) in listed.into_iter().zip(shorts.iter().cloned()).take(TOOLS_MAX) {
            let fits = !short.is_empty() && PREFIX.len() + self.name().len() + 1 + short.len() <= NAME_BYTES_MAX;
            // None of several with one name here is taken: their order would say which one a workflow means.
            let is_alone = shorts.iter().filter(|other| **other == short).count() == 1;
            if !fits || !is_alone {
                tracing::warn!(mcp.server = self.name(), tool = %clip_chars(&one_line(&tool.name), 80), "a tool has a name that cannot be used here");
                continue;
            }
            let schema = Value::Object((*tool.input_schema).clone());
            let schema =
                if schema.to_string().len() <= SCHEMA_BYTES_MAX { schema } else { json!({ "type": "object" }) };
            let description =
                clip_chars(&one_line(tool.description.as_deref().unwrap_or_default()), DESCRIPTION_CHARS_MAX);
            tools.push(ForeignTool { name: tool.name.into_owned(), short, description, schema });
        }
        Ok(tools)
    }
}

/// The tools of a server, page by page, until there is more than is taken. The library's own would go on for ever with a
/// server that always has one page more.
async fn listed(peer: &Peer<RoleClient>) -> Result<Vec<rmcp::model::Tool>, ServiceError> {
    let mut listed = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let page = peer.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await?;
        listed.extend(page.tools);
        if listed.len() > TOOLS_MAX || page.next_cursor.is_none() {
            break;
        }
        cursor = page.next_cursor;
    }
    Ok(listed)
}

/// A tool's name with only what names here may have.
fn short_of(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).collect()
}
