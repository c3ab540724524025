//! Rules that look at more than one key: who claims which path, who may be unsigned, which chats exist, which ports collide.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::handlers::secret_variable;
use super::reader::{Reader, Section, Site};
use super::{Config, Handler, Notify, agents, around};
use crate::domain::fault::Fault;

/// The prefixes under which a handler without a `path` is served.
pub const PATH_PREFIXES: [&str; 3] = ["/webhook/", "/webhooks/", "/api/webhooks/"];

impl Handler {
    /// Every path that this handler is served at: its own, or the three aliases.
    pub fn paths(&self) -> Vec<String> {
        match &self.path {
            Some(path) => vec![path.clone()],
            None => PATH_PREFIXES.iter().map(|prefix| format!("{prefix}{}", self.name)).collect(),
        }
    }
}

/// Checks the whole.
pub(super) fn check(r: &mut Reader<'_>, top: &Section, config: &Config) {
    let webhooks = part(top, "webhooks");
    let handlers = part(&webhooks, "handlers");
    paths(r, &webhooks, &handlers, config);
    unsigned(r, &webhooks, &handlers, config);
    chats(r, top, &handlers, config);
    addresses(r, top, config);
    agents::check(r, top, config);
    around::check(r, top, config);
}

fn part(parent: &Section, key: &str) -> Section {
    let mut part = parent.unwritten(key, key);
    part.node = parent.written(key).map(|entry| std::rc::Rc::clone(&entry.value));
    part
}

fn paths(r: &mut Reader<'_>, webhooks: &Section, handlers: &Section, config: &Config) {
    let mut claims: BTreeMap<String, String> = BTreeMap::new();
    claims.insert("/health".to_owned(), "the health check".to_owned());
    for prefix in PATH_PREFIXES {
        claims.insert(format!("{prefix}generic"), "the route that starts any workflow by name".to_owned());
    }
    for handler in config.webhooks.handlers.values() {
        let name = handler.name.as_str();
        let described = handler.paths().into_iter().map(|path| format!("{path}/test"));
        let served = handler.paths().into_iter().map(|path| (path.clone(), is_description(&path)));
        let mut taken = served.chain(described.map(|path| (path, None))).filter_map(|(path, description)| {
            let by = claims.get(&path).cloned().or(description)?;
            Some((path, by))
        });
        if let Some((path, by)) = taken.next() {
            let own = part(handlers, name);
            let key = if own.written("path").is_some() { own.path_of("path") } else { own.path.clone() };
            let site = if own.node.is_some() { r.site_of(&own, "path") } else { r.site_of(webhooks, "handlers") };
            let hint = "give one of the two another name or 'path'".to_owned();
            r.fault(&site, &key, format!("{path} already belongs to {by}"), Some(hint));
            // What it claims is told once, here, and not again at those whose paths these are.
            continue;
        }
        for path in handler.paths() {
            claims.entry(format!("{path}/test")).or_insert_with(|| format!("the description of handler '{name}'"));
            claims.entry(path).or_insert_with(|| format!("handler '{name}'"));
        }
    }
}

/// `GET /webhooks/<name>/test` describes a handler.
fn is_description(path: &str) -> Option<String> {
    let name = PATH_PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix))?.strip_suffix("/test")?;
    (!name.is_empty() && !name.contains('/')).then(|| "the description of a handler".to_owned())
}

/// No handler is open to the network by forgetting a key.
fn unsigned(r: &mut Reader<'_>, webhooks: &Section, handlers: &Section, config: &Config) {
    let host = config.webhooks.host;
    if !config.webhooks.enabled || host.to_canonical().is_loopback() {
        return;
    }
    for handler in config.webhooks.handlers.values() {
        if !handler.enabled || handler.allow_unsigned || !handler.secrets.is_empty() {
            continue;
        }
        let own = part(handlers, handler.name.as_str());
        let site = if own.node.is_some() { r.site_of(&own, "secret") } else { r.site_of(webhooks, "host") };
        let message = format!("is missing, and the server listens beyond this machine ({host})");
        let variable = secret_variable(&handler.name);
        let hint = format!("set it or {variable}; or write allow_unsigned: true to accept anyone's requests");
        r.fault(&site, &own.path_of("secret"), message, Some(hint));
    }
}

fn chats(r: &mut Reader<'_>, top: &Section, handlers: &Section, config: &Config) {
    let Some(telegram) = &config.telegram else { return };
    let known: Vec<&str> = telegram.chats.keys().map(String::as_str).collect();
    // A chat that is written and faulty was told already.
    let written = part(&part(top, "telegram"), "chats");
    let mut default_missing = Vec::new();
    for handler in config.webhooks.handlers.values() {
        let Notify::Chat(chat) = &handler.notify else { continue };
        let path = written.path_of(chat);
        let told = |fault: &Fault| fault.key.as_ref().is_some_and(|key| key.starts_with(&path));
        let faulty = written.written(chat).is_some() && r.faults.iter().any(told);
        if known.contains(&chat.as_str()) || faulty {
            continue;
        }
        let own = part(handlers, handler.name.as_str());
        if own.written("notify").is_none() {
            default_missing.push(handler.name.as_str());
            continue;
        }
        let hint = match super::keys::nearest(chat, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None if known.is_empty() => "telegram.chats names none".to_owned(),
            None => format!("telegram.chats names: {}", known.join(", ")),
        };
        let site = r.site_of(&own, "notify");
        r.fault(&site, &own.path_of("notify"), "telegram.chats has no chat of that name", Some(hint));
    }
    if !default_missing.is_empty() {
        let site = r.site_of(&part(top, "telegram"), "chats");
        let message = format!("is missing, and these handlers write to it: {}", default_missing.join(", "));
        let hint = "write the chat's numeric id, or 'notify' at each handler".to_owned();
        r.fault(&site, "telegram.chats.default", message, Some(hint));
    }
}

/// Tells when `telegram.chats` has no `chat`. Without Telegram every name means the terminal.
pub(super) fn chat_exists(r: &mut Reader<'_>, config: &Config, site: &Site, path: &str, chat: &str) {
    let Some(telegram) = &config.telegram else { return };
    let path_of_chat = format!("telegram.chats.{chat}");
    let told = |fault: &Fault| fault.key.as_ref().is_some_and(|key| key.starts_with(&path_of_chat));
    if telegram.chats.contains_key(chat) || r.faults.iter().any(told) {
        return;
    }
    let known: Vec<&str> = telegram.chats.keys().map(String::as_str).collect();
    let hint = match super::keys::nearest(chat, known.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None if known.is_empty() => "telegram.chats names none".to_owned(),
        None => format!("telegram.chats names: {}", known.join(", ")),
    };
    r.fault(site, path, format!("telegram.chats has no chat named '{chat}'"), Some(hint));
}

fn addresses(r: &mut Reader<'_>, top: &Section, config: &Config) {
    let dashboard = config.dashboard.address;
    if !config.dashboard.enabled {
        return;
    }
    let section = part(top, "dashboard");
    let webhooks = SocketAddr::new(config.webhooks.host, config.webhooks.port);
    let same_port = webhooks.port() != 0 && webhooks.port() == dashboard.port();
    if config.webhooks.enabled && same_port && overlap(webhooks.ip(), dashboard.ip()) {
        let site = r.site_of(&section, "port");
        let hint = "give one of the two another port".to_owned();
        r.fault(&site, "dashboard.port", format!("{webhooks} is where the webhook server listens"), Some(hint));
    }
    if !dashboard.ip().to_canonical().is_loopback() {
        let site = r.site_of(&section, "host");
        let message = "the dashboard would listen beyond this machine, without TLS";
        if config.dashboard.insecure {
            let message = "the dashboard listens beyond this machine, without TLS";
            r.note(&site, "dashboard.host", message, Some("reach it through a tunnel or a proxy with TLS".to_owned()));
        } else {
            let hint = "reach it through a tunnel or a proxy with TLS; or write dashboard.insecure: true".to_owned();
            r.fault(&site, "dashboard.host", message.to_owned(), Some(hint));
        }
    }
}

fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || a.is_unspecified() || b.is_unspecified()
}
