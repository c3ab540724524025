//! The configuration: read once at start, every fault at once, and typed from there on.
//!
//! What is here is what later layers see. How files, `.env`, `${VAR}`, `*_file` and flags become it is [`load`]'s business;
//! nobody else reads the environment.

mod agents;
mod around;
mod dotenv;
mod effective;
mod environment;
mod expand;
mod files;
mod handlers;
mod keys;
mod keys_around;
mod lists;
mod load;
mod mcp;
mod model;
mod reader;
mod reference;
mod rules;
mod schema;
mod secret;
mod secrets;
mod telegram;
mod values;
mod webhooks;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use crate::domain::tree::NODES_MAX;
pub use agents::{PERSONA_DEFAULT, PERSONAS_MAX, PROMPT_CHARS_MAX, Persona, Personas};
pub use around::{Digest, Otlp};
pub use effective::{Effective, EffectiveKey, Origin};
pub use environment::{Environment, ProcessEnvironment};
pub use files::{CONFIG_BYTES_MAX, DOTENV_BYTES_MAX, SECRET_FILE_BYTES_MAX};
pub use handlers::{HANDLERS_MAX, secret_variable};
pub use load::{LoadOptions, Loaded, SecretVariables, load};
pub use mcp::{MCP_NAME_BYTES_MAX, MCP_SERVERS_MAX, Mcp, McpServer, McpToolRules};
pub use model::MODEL_PROVIDERS;
pub use reference::{key_paths, reference_markdown};
pub use rules::PATH_PREFIXES;
pub use schema::schema;
pub use secret::Secret;

use crate::domain::event::HandlerName;
use crate::domain::net::Cidr;
use crate::domain::notice::ChatKey;
use crate::domain::reach::Allowed;

/// Everything the agent was told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from; `None` for defaults.
    pub file: Option<PathBuf>,
    /// Where the ledger, logs and user files are.
    pub data_dir: PathBuf,
    /// Files that tools may use.
    pub files: Files,
    /// The webhook server.
    pub webhooks: Webhooks,
    /// Telegram, when a token is configured.
    pub telegram: Option<Telegram>,
    /// A model, when one is configured.
    pub model: Option<Model>,
    /// The dashboard and local API.
    pub dashboard: Dashboard,
    /// Where tools may send requests.
    pub network: Network,
    /// How long things are kept.
    pub retention: Retention,
    /// The agents, whose each chat and each handler is.
    pub personas: Personas,
    /// The daily digest, when there is one.
    pub digest: Option<Digest>,
    /// MCP servers whose tools the agent may use.
    pub mcp: Mcp,
    /// Where traces go, when they go anywhere.
    pub otlp: Option<Otlp>,
    /// Every key as it is in effect, secrets masked, with where it came from; for people to look at.
    pub effective: Arc<Effective>,
}

/// Files that tools may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Folders besides the files folder, as absolute paths.
    pub roots: Vec<PathBuf>,
}

/// The webhook server.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Whether it runs (`--webhooks` and `--webhook-port` imply it).
    pub enabled: bool,
    /// The address it binds.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The base of every URL that is shown, without a trailing slash.
    pub public_url: Option<String>,
    /// Largest body, in bytes.
    pub max_body_bytes: usize,
    /// Clients that are admitted; empty admits all.
    pub allowed_ips: Vec<Cidr>,
    /// Peers whose forwarding header is believed.
    pub trusted_proxies: Vec<Cidr>,
    /// Which header they use.
    pub forwarded_header: ForwardedHeader,
    /// The limit per client address; `None` when disabled.
    pub rate_limit: Option<RateLimit>,
    /// TLS, when enabled.
    pub tls: Option<Tls>,
    /// What is logged of requests.
    pub logging: RequestLogging,
    /// Accept unsigned requests at every handler that does not say otherwise.
    pub allow_unsigned: bool,
    /// `WEBHOOK_SECRET` / `ASSISTANT_WEBHOOK_SECRET`: the secret of every route without one of its own.
    pub common_secret: Option<Secret>,
    /// The handlers, by name.
    pub handlers: BTreeMap<HandlerName, Handler>,
}

/// The header in which a proxy says who the client was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// So many requests in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests.
    pub max_requests: NonZeroU32,
    /// The window.
    pub window: Duration,
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What is logged of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLogging {
    /// Whether requests are logged at all.
    pub enabled: bool,
    /// The least level of the webhook server's log lines.
    pub level: tracing::Level,
    /// Log header names and masked values.
    pub include_headers: bool,
    /// Log payloads.
    pub include_payload: bool,
}

/// One handler.
#[derive(Debug, Clone)]
pub struct Handler {
    /// Its name.
    pub name: HandlerName,
    /// A disabled handler answers 409.
    pub enabled: bool,
    /// The provider's name; existence is checked when providers are loaded.
    pub provider: Option<String>,
    /// Where it is served instead of the three aliases.
    pub path: Option<String>,
    /// Secrets, all of which are accepted (rotation). Empty: none.
    pub secrets: Vec<Secret>,
    /// Event types that are wanted; empty wants all.
    pub events: Vec<String>,
    /// How refusals and acceptances are written.
    pub response_type: ResponseType,
    /// Clients that are admitted here, besides the common list.
    pub allowed_ips: Vec<Cidr>,
    /// Overrides the common limit: `Some(None)` lifts it.
    pub rate_limit: Option<Option<RateLimit>>,
    /// Accept unsigned requests here.
    pub allow_unsigned: bool,
    /// Where its notices go.
    pub notify: Notify,
    /// How they are summarized.
    pub summarize: Summarize,
}

/// JSON or plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseType {
    /// `application/json`.
    Json,
    /// `text/plain`.
    Text,
}

/// Where a handler's notices go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    /// To this key of `telegram.chats` (or the terminal, when there is no Telegram).
    Chat(String),
    /// Nowhere.
    Nobody,
}

/// How a handler's events are summarized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summarize {
    /// By the model where there is one.
    Auto,
    /// By the template.
    Template,
    /// By the model.
    Model,
    /// Not at all: the event's name only.
    Nothing,
}

/// Telegram.
#[derive(Debug, Clone)]
pub struct Telegram {
    /// The bot's token.
    pub token: Secret,
    /// Chats by name.
    pub chats: BTreeMap<String, ChatKey>,
    /// Numeric ids of those who may command and decide.
    pub allowed_users: Vec<u64>,
    /// Named groups of users.
    pub groups: BTreeMap<String, Vec<u64>>,
    /// The Bot API server.
    pub api_url: String,
}

/// The models, and what they may cost.
#[derive(Debug, Clone)]
pub struct Model {
    /// The model that is tried first.
    pub first: ModelEndpoint,
    /// More models by name, in the order in which they are tried after it.
    pub fallbacks: Vec<(String, ModelEndpoint)>,
    /// Models that only agents name, at the provider of `first`: asked before the others where one is preferred, else never.
    pub preferred: Vec<ModelEndpoint>,
    /// Most US dollars a day.
    pub daily_budget_usd: f64,
    /// Most tokens for one event.
    pub event_tokens_max: u64,
}

impl Model {
    /// Every model, in order of preference; those that only agents name come last.
    pub fn endpoints(&self) -> impl Iterator<Item = &ModelEndpoint> {
        let fallbacks = self.fallbacks.iter().map(|(_, endpoint)| endpoint);
        std::iter::once(&self.first).chain(fallbacks).chain(&self.preferred)
    }

    /// Whether `name` is a configured model: its name, `provider/name`, or its key in `fallbacks`.
    pub fn knows(&self, name: &str) -> bool {
        self.fallbacks.iter().any(|(key, _)| key == name)
            || self.endpoints().any(|endpoint| endpoint.name == name || endpoint.label() == name)
    }
}

/// One model.
#[derive(Debug, Clone)]
pub struct ModelEndpoint {
    /// `openai`, `anthropic`, `gemini`, `ollama` or another name with a `base_url`.
    pub provider: String,
    /// The model's name.
    pub name: String,
    /// Where it is served.
    pub base_url: Option<String>,
    /// Its key.
    pub api_key: Option<Secret>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// What it costs; `None` for what the built-in table says.
    pub price: Option<ModelPrice>,
}

impl ModelEndpoint {
    /// `openai/gpt-4o-mini`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.provider, self.name)
    }
}

/// What a model costs, in US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelPrice {
    /// That it reads.
    pub input: f64,
    /// That it writes.
    pub output: f64,
}

/// The dashboard and local API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dashboard {
    /// Whether it runs.
    pub enabled: bool,
    /// Where it listens.
    pub address: SocketAddr,
    /// Names by which a proxy reaches it.
    pub names: Vec<String>,
    /// Whether it may listen beyond this machine without TLS.
    pub insecure: bool,
}

/// Where tools may send requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// What they may reach besides public addresses.
    pub allow: Vec<Allowed>,
}

/// How long things are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Days that events are kept; 0 keeps them for ever.
    pub events_days: u32,
    /// Most refused requests that are kept.
    pub rejected_max: u32,
}
