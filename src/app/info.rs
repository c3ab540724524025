//! What the agent says about itself: at the start, and in the chat.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Agent, Probe, handlers};
use crate::channel::{AgentInfo, HandlerInfo, ModelInfo, Tested};
use crate::config::{Config, Handler, PERSONA_DEFAULT};
use crate::domain::event::HandlerName;
use crate::domain::money;
use crate::model::Models;
use crate::outbound::OperatorClient;
use crate::ports::{Clock, Ids};
use crate::provider::Registry;
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::Workflow;

/// Handlers that get a line each at the start.
const HANDLER_LINES_MAX: usize = 12;
/// Names on one line, beyond that.
const NAMES_PER_LINE: usize = 9;

/// The facts behind `/status` and `/webhook list`.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) config: Arc<Config>,
    pub(super) started_at: Timestamp,
    pub(super) listening: Vec<String>,
    pub(super) base: Option<String>,
    /// Where the webhook server is for this machine.
    pub(super) webhooks: Option<String>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) registry: Arc<Registry>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn Ids>,
}

#[async_trait]
impl AgentInfo for Info {
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn started_at(&self) -> Timestamp {
        self.started_at
    }

    fn handlers(&self) -> Vec<HandlerInfo> {
        let url = |path: &str| self.base.as_ref().map(|base| format!("{base}{path}"));
        let handler = |handler: &Handler| {
            let path = handlers::handler_path(handler);
            let (name, url) = (handler.name.to_string(), url(&path));
            HandlerInfo { name, path, url, enabled: handler.enabled, workflow: false }
        };
        let workflow = |(path, workflow): (String, Arc<Workflow>)| HandlerInfo {
            name: workflow.name.clone(),
            url: url(&path),
            path,
            enabled: workflow.enabled,
            workflow: true,
        };
        let routes = handlers::workflow_routes(&self.config, &self.catalog).into_iter().map(workflow);
        self.config.webhooks.handlers.values().map(handler).chain(routes).collect()
    }

    fn listening(&self) -> Vec<String> {
        self.listening.clone()
    }

    async fn test_webhook(&self, name: &str) -> Result<Tested, String> {
        let base = self.webhooks.as_deref().ok_or("The webhook server is off: start the agent with --webhooks.")?;
        // Whoever could stand in between on this machine is on it already; an address of its own is no other machine.
        let client = OperatorClient::new(true).map_err(|error| error.to_string())?;
        let probe = Probe {
            config: &self.config,
            registry: &self.registry,
            catalog: &self.catalog,
            base,
            client,
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
        };
        let answer = probe.test(name).await.map_err(|error| error.to_string())?;
        let reason = answer.status.canonical_reason().unwrap_or_default();
        let status = format!("{} {reason}", answer.status.as_u16());
        Ok(Tested { status, accepted: answer.status.is_success(), body: answer.body })
    }

    fn model(&self) -> Option<ModelInfo> {
        let config = self.config.model.as_ref()?;
        let name = config.first.label();
        Some(ModelInfo { name, day_micro_usd_max: Models::day_micro_usd_max(config) })
    }

    fn agents(&self) -> Vec<String> {
        if self.config.model.is_none() {
            return Vec::new();
        }
        let all = self.config.personas.all().filter(|persona| persona.name != PERSONA_DEFAULT);
        let lines = all.take(HANDLER_LINES_MAX).map(|persona| {
            let handlers: Vec<&str> = persona.handlers.iter().map(HandlerName::as_str).collect();
            let chats = if persona.chats.is_empty() { "no chat".to_owned() } else { persona.chats.join(", ") };
            let handlers = if handlers.is_empty() { "no handler".to_owned() } else { handlers.join(", ") };
            format!("Agent {}: answers in {chats}, writes about {handlers}", persona.name)
        });
        lines.collect()
    }
}

/// The base URL of a listener.
pub(super) fn base_url(address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let mut shown = address;
    if address.ip().is_unspecified() {
        let loopback =
            if address.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        shown.set_ip(loopback);
    }
    format!("{scheme}://{shown}")
}

pub(super) fn banner(agent: &Agent, command: &str) -> Vec<String> {
    let config = &agent.config;
    let mut lines = vec![format!("hookhand {}", env!("CARGO_PKG_VERSION"))];
    let mut row = |name: &str, what: String| lines.push(format!("  {name:<10} {what}"));
    match agent.webhooks {
        Some(address) => {
            let base =
                config.webhooks.public_url.clone().unwrap_or_else(|| base_url(address, config.webhooks.tls.is_some()));
            row("webhooks", base.clone());
            for line in served(config) {
                row("", line);
            }
            for (path, workflow) in handlers::workflow_routes(config, &agent.catalog) {
                row("", format!("POST {path}  ({})", if workflow.enabled { "workflow" } else { "workflow, disabled" }));
            }
        }
        None => row("webhooks", format!("off: '{command} --webhooks' takes them")),
    }
    let (workflows, faults) = (agent.catalog.list().len(), agent.catalog.faults().len());
    let dir = super::workflows_dir(&config.data_dir);
    row(
        "workflows",
        match (workflows, faults) {
            (0, 0) => format!("none yet: put files into {}", dir.display()),
            (count, 0) => format!("{count} in {}", dir.display()),
            (count, faults) => format!("{count} in {}, and {faults} faults: '{command} check'", dir.display()),
        },
    );
    if let Some(link) = &agent.login {
        row("dashboard", format!("{link}  (logs in once, within an hour)"));
    }
    if let Some(address) = agent.api {
        row(
            "local API",
            format!(
                "{} (token in {})",
                base_url(address, false),
                super::data_dir::token_path(&config.data_dir).display()
            ),
        );
    }
    row("data", config.data_dir.display().to_string());
    row(
        "notices",
        match &config.telegram {
            Some(telegram) => format!("to Telegram ({} chats)", telegram.chats.len()),
            None => "in this terminal".into(),
        },
    );
    if let Some(model) = &config.model {
        let row = format!(
            "  {:<10} {}/{}, at most {} a day",
            "model",
            model.first.provider,
            model.first.name,
            money::micro_usd(Models::day_micro_usd_max(model))
        );
        lines.push(row);
    }
    if agent.webhooks.is_some() {
        lines.push(format!("Try, in another terminal:  {command} {}", first_try(config)));
    }
    lines.push("Ctrl-C stops it.".into());
    lines
}

/// What is served, a line each; handlers at their usual path share one where there would be many lines.
fn served(config: &Config) -> Vec<String> {
    let all = &config.webhooks.handlers;
    let mut shared: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut lines = Vec::new();
    for handler in all.values() {
        let state = match handlers::secrets_of(handler, config).is_empty() {
            _ if !handler.enabled => "disabled",
            true => "unsigned: takes requests from this machine only",
            false => "signed",
        };
        if all.len() > HANDLER_LINES_MAX && handler.path.is_none() {
            shared.entry(state).or_default().push(handler.name.as_str());
        } else {
            lines.push(format!("POST {}  ({state})", handlers::handler_path(handler)));
        }
    }
    for (state, names) in shared {
        lines.push(format!("POST /webhooks/NAME  ({state})"));
        for names in names.chunks(NAMES_PER_LINE) {
            lines.push(format!("  {}", names.join(" ")));
        }
    }
    lines
}

/// The command that shows a newcomer the most.
fn first_try(config: &Config) -> String {
    let enabled: Vec<&str> = config
        .webhooks
        .handlers
        .values()
        .filter(|handler| handler.enabled)
        .map(|handler| handler.name.as_str())
        .collect();
    match enabled.first() {
        _ if enabled.contains(&"github") => "webhook send github pull_request.opened".into(),
        Some(name) => format!("webhook test {name}"),
        None => "webhook list".into(),
    }
}
