//! What the agent says about itself: at the start, and in the chat.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Agent, handlers};
use crate::channel::{AgentInfo, HandlerInfo};
use crate::config::{Config, Handler};
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::Workflow;

/// The facts behind `/status` and `/webhook list`.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) config: Arc<Config>,
    pub(super) started_at: Timestamp,
    pub(super) listening: Vec<String>,
    pub(super) base: Option<String>,
    pub(super) catalog: Arc<Catalog>,
}

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
            for handler in config.webhooks.handlers.values() {
                let signed = if handlers::secrets_of(handler, config).is_empty() {
                    "unsigned: takes requests from this machine only"
                } else {
                    "signed"
                };
                let state = if handler.enabled { signed } else { "disabled" };
                row("", format!("POST {}  ({state})", handlers::handler_path(handler)));
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
    if agent.webhooks.is_some() {
        lines.push(format!("Try, in another terminal:  {command} {}", first_try(config)));
    }
    lines.push("Ctrl-C stops it.".into());
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
