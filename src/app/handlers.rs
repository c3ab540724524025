//! What the configuration and the manifests say together: which provider reads a handler, with which secrets, and where its
//! notices go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::agent::{Desk, Desks};
use crate::config::{Config, Handler, Model, Notify, Origin, Secret, Summarize, secret_variable};
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

/// What the configuration says of handlers and the manifests say is wrong: a provider that is not installed, a secret of
/// its own that can verify nothing.
pub fn handler_faults(config: &Config, registry: &Registry) -> Vec<Fault> {
    let mut faults = Vec::new();
    for handler in config.webhooks.handlers.values() {
        let key = |part: &str| format!("webhooks.handlers.{}.{part}", handler.name);
        let mut fault = |key: String, message: String, hint: String| {
            let (file, line) = place(config, &key);
            faults.push(Fault { file, line, column: None, key: Some(key), message, hint: Some(hint) });
        };
        let Some(provider) = provider_of(handler, registry) else {
            let name = provider_name(handler, registry);
            fault(key("provider"), format!("there is no provider '{name}'"), provider_hint(&name, registry));
            continue;
        };
        if !handler.secrets.is_empty() && !provider.signs() {
            let message = format!(
                "the manifest of provider '{}' has no `signature`, so the secret verifies nothing and every request would be refused",
                provider.name()
            );
            fault(key("secret"), message, "describe in it how the sender signs, or remove the secret".to_owned());
        } else if let Some(why) = handler.secrets.iter().find_map(|secret| provider.secret_fault(secret)) {
            let message = format!("this can be no secret of {} and would verify nothing: {why}", provider.title());
            fault(key("secret"), message, provider.secret_hint());
        }
    }
    faults
}

/// A note for each wanted event that its sender is not known to send: one misspelt word and every event is ignored.
pub fn strange_events(config: &Config, registry: &Registry) -> Vec<Fault> {
    let mut notes = Vec::new();
    for handler in config.webhooks.handlers.values() {
        let Some(provider) = provider_of(handler, registry).filter(|provider| !provider.is_generic()) else { continue };
        let known: Vec<&str> = provider.events().iter().map(|event| event.name.as_str()).collect();
        for wanted in &handler.events {
            let wanted = wanted.as_str();
            let covers = |known: &&str| crate::provider::wanted(&[wanted.to_owned()], known);
            let is_part = |known: &&str| crate::provider::wanted(&[(*known).to_owned()], wanted);
            let near = known.iter().map(|known| (strsim::damerau_levenshtein(wanted, known), known)).min();
            let Some((edits, near)) = near.filter(|_| !known.iter().any(covers)) else { continue };
            // Only what looks like a slip: manifests do not know every event, and `reopened` is not `opened`.
            let slips_max = if known.iter().any(is_part) { 1 } else { 1 + wanted.len() / 6 };
            if edits <= slips_max {
                let key = format!("webhooks.handlers.{}.events", handler.name);
                let (file, line) = place(config, &key);
                let message = format!("{} is not known to send '{wanted}'", provider.title());
                let hint = Some(format!("did you mean '{near}'?"));
                notes.push(Fault { file, line, column: None, key: Some(key), message, hint });
            }
        }
    }
    notes
}

/// Where a key stands, as far as the configuration remembers it: a secret may come from a variable.
fn place(config: &Config, key: &str) -> (String, Option<u64>) {
    match config.effective.get(key).map(|entry| &entry.origin) {
        Some(Origin::File { file, line, .. }) => (file.clone(), Some(*line)),
        Some(Origin::Environment(_) | Origin::DotEnv(_) | Origin::Flag(_) | Origin::Default) | None => {
            (config_file(config), None)
        }
    }
}

fn provider_hint(name: &str, registry: &Registry) -> String {
    let known = registry.names();
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match near {
        Some((edits, near)) if edits <= 1 + near.len() / 4 => format!("did you mean '{near}'?"),
        Some(_) | None => format!("the providers are: {}", known.join(", ")),
    }
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
