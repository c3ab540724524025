//! What the configuration and the manifests say together: which provider reads a handler, with which secrets, and where its
//! notices go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::agent::{Desk, Desks};
use crate::config::{Config, Handler, Model, Notify, Secret, Summarize, secret_variable};
use crate::dashboard::HandlerFacts;
use crate::domain::fault::Fault;
use crate::domain::notice::ChatKey;
use crate::intake::{GENERIC, PROVIDER_DEFAULT};
use crate::provider::{Provider, Registry};
use crate::workflow::catalog::Catalog;
use crate::workflow::definition::{Trigger, Workflow};

/// Loads the built-in manifests and those of `config`: `data/providers/` and `integrations/` beside the config file.
pub fn load_providers(config: &Config) -> (Registry, Vec<Fault>) {
    let (providers, integrations) = provider_folders(config);
    Registry::load(&providers, &integrations)
}

fn provider_folders(config: &Config) -> (PathBuf, PathBuf) {
    let beside = config.file.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    (config.data_dir.join("providers"), beside.join("integrations"))
}

/// Names of the providers whose files the user added, besides the built-in ones: with those each is a handler where the
/// configuration writes none.
pub fn own_providers(config: &Config) -> Vec<String> {
    let (providers, integrations) = provider_folders(config);
    if !Registry::has_own(&providers, &integrations) {
        return Vec::new();
    }
    let (registry, _faults) = Registry::load(&providers, &integrations);
    let is_own = |name: &&str| !Registry::builtin_names().any(|builtin| builtin == *name) && *name != GENERIC;
    registry.names().into_iter().filter(is_own).map(str::to_owned).collect()
}

/// The name of a handler's provider: as configured, else its own name where such a provider exists, else `custom`.
pub fn provider_name(handler: &Handler, registry: &Registry) -> String {
    match &handler.provider {
        Some(name) => name.clone(),
        None if registry.get(handler.name.as_str()).is_some() => handler.name.to_string(),
        None => PROVIDER_DEFAULT.to_owned(),
    }
}

/// A handler's provider, where it is installed.
pub fn provider_of(handler: &Handler, registry: &Registry) -> Option<Arc<Provider>> {
    registry.get(&provider_name(handler, registry)).map(Arc::clone)
}

/// The secrets that a handler accepts: its own, else the common one.
pub fn secrets_of(handler: &Handler, config: &Config) -> Vec<Secret> {
    if handler.secrets.is_empty() {
        config.webhooks.common_secret.iter().cloned().collect()
    } else {
        handler.secrets.clone()
    }
}

/// The configuration's file as faults name it.
pub fn config_file(config: &Config) -> String {
    config.file.as_ref().map_or_else(|| "defaults".into(), |file| file.display().to_string())
}

/// A fault for each handler whose provider is not installed.
pub fn missing_providers(config: &Config, registry: &Registry) -> Vec<Fault> {
    let known = registry.names();
    config
        .webhooks
        .handlers
        .values()
        .filter_map(|handler| {
            let name = handler.provider.as_deref()?;
            registry.get(name).is_none().then(|| Fault {
                file: config_file(config),
                line: None,
                column: None,
                key: Some(format!("webhooks.handlers.{}.provider", handler.name)),
                message: format!("there is no provider '{name}'"),
                hint: Some(format!("the providers are: {}", known.join(", "))),
            })
        })
        .collect()
}

/// `/webhook list`: one line a handler, then one a workflow with a route of its own.
pub fn webhook_lines(config: &Config, catalog: &Catalog) -> Vec<String> {
    let handlers = config.webhooks.handlers.values().map(|handler| (handler_path(handler), handler.enabled));
    let routes = workflow_routes(config, catalog).into_iter().map(|(path, workflow)| (path, workflow.enabled));
    let all: Vec<(String, bool)> = handlers.chain(routes).collect();
    if all.is_empty() {
        return vec!["No webhooks are configured: add one under webhooks.handlers, or a workflow".into()];
    }
    let width = all.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
    let mut lines = vec!["Webhooks:".to_owned()];
    lines.extend(all.iter().map(|(path, enabled)| {
        let state = if *enabled { "[enabled]" } else { "[disabled]" };
        format!("  POST {path:<width$}  {state}")
    }));
    lines
}

/// The workflows that have a route of their own, with it; a handler of the same name has the path instead.
pub fn workflow_routes(config: &Config, catalog: &Catalog) -> Vec<(String, Arc<Workflow>)> {
    let free = |workflow: &Arc<Workflow>| {
        let path = format!("/webhooks/{}", workflow.name);
        let taken = config.webhooks.handlers.values().any(|handler| handler_path(handler) == path);
        (!taken && !crate::intake::is_reserved(&workflow.name)).then(|| (path, Arc::clone(workflow)))
    };
    catalog.list().iter().filter(|workflow| workflow.trigger == Trigger::Webhook).filter_map(free).collect()
}

/// The path that a handler is called by.
pub fn handler_path(handler: &Handler) -> String {
    handler.path.clone().unwrap_or_else(|| format!("/webhooks/{}", handler.name))
}

/// The chat of that name; the terminal without Telegram.
pub fn chat_named(name: &str, config: &Config) -> ChatKey {
    chat(&Notify::Chat(name.to_owned()), config).unwrap_or_else(ChatKey::terminal)
}

/// The chat that `notify` means.
fn chat(notify: &Notify, config: &Config) -> Option<ChatKey> {
    match (notify, &config.telegram) {
        (Notify::Nobody, _) => None,
        (Notify::Chat(_), None) => Some(ChatKey::terminal()),
        (Notify::Chat(name), Some(telegram)) => {
            telegram.chats.get(name).or_else(|| telegram.chats.get("default")).cloned()
        }
    }
}

/// What is done with each handler's events, and with those of handlers that are gone.
pub fn desks(config: &Config) -> Desks {
    let desk = |handler: &Handler| Desk { chat: chat(&handler.notify, config), summarize: handler.summarize };
    let named = config.webhooks.handlers.values().map(|handler| (handler.name.to_string(), desk(handler))).collect();
    let fallback = Desk { chat: chat(&Notify::Chat("default".into()), config), summarize: Summarize::Template };
    Desks { named, fallback }
}

/// The handlers as the dashboard shows them.
pub(super) fn facts(config: &Config, registry: &Registry) -> Vec<HandlerFacts> {
    let fact = |handler: &Handler| {
        let provider = provider_name(handler, registry);
        let named = registry.get(&provider).and_then(|provider| provider.secret_env().map(str::to_owned));
        HandlerFacts {
            name: handler.name.to_string(),
            enabled: handler.enabled,
            path: handler_path(handler),
            events: handler.events.clone(),
            secret_variable: named.unwrap_or_else(|| secret_variable(&handler.name)),
            secret: secrets_of(handler, config).into_iter().next(),
            chat: chat(&handler.notify, config).map(|chat| chat.to_string()),
            provider,
        }
    };
    config.webhooks.handlers.values().map(fact).collect()
}

/// Every secret of the configuration, to be cut out of logs.
pub fn all_secrets(config: &Config) -> Vec<String> {
    let handlers = config.webhooks.handlers.values().flat_map(|handler| &handler.secrets);
    let telegram = config.telegram.iter().map(|telegram| &telegram.token);
    let model = config.model.iter().flat_map(Model::endpoints).filter_map(|model| model.api_key.as_ref());
    handlers
        .chain(&config.webhooks.common_secret)
        .chain(telegram)
        .chain(model)
        .chain(config.mcp.servers.values().flat_map(|server| server.env.values()))
        .chain(config.otlp.iter().flat_map(|otlp| otlp.headers.values()))
        .map(|secret| secret.expose().to_owned())
        .collect()
}
