//! The section `agents`: personas, and which chat or handler is whose.
//!
//! There is always one named `default`, whose is everything that no other one claims. Nothing here knows what a model is asked.

use std::collections::BTreeMap;

use super::effective::Origin;
use super::reader::{Reader, Section};
use super::{Config, ModelEndpoint, Notify, Telegram, values};
use crate::domain::event::HandlerName;
use crate::domain::notice::ChatKey;

/// The persona whose is everything that no other one claims.
pub const PERSONA_DEFAULT: &str = "default";
/// Most personas.
pub const PERSONAS_MAX: usize = 50;
/// Longest prompt, in characters.
pub const PROMPT_CHARS_MAX: usize = 16_000;

/// One agent as a person set it up: who it is, what it may use, and whose questions and events it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Persona {
    /// Its name.
    pub name: String,
    /// What it is told about itself, in the operator's words: trusted text, said before everything else.
    pub prompt: Option<String>,
    /// The model that is asked before the others: a configured one by its name or its key in `model.fallbacks`, else the name
    /// of one at the provider of the section `model`.
    pub model: Option<String>,
    /// The tools that it is offered; empty offers all. A name that ends in `*` stands for all that begin so.
    pub tools: Vec<String>,
    /// Names of `telegram.chats` where it answers.
    pub chats: Vec<String>,
    /// Handlers whose events it summarizes.
    pub handlers: Vec<HandlerName>,
}

impl Persona {
    /// Whether the persona is offered `tool`. What a tool may do is decided elsewhere: this only takes away.
    pub fn offers(&self, tool: &str) -> bool {
        let matches = |wanted: &String| match wanted.strip_suffix('*') {
            Some(beginning) => tool.starts_with(beginning),
            None => wanted == tool,
        };
        self.tools.is_empty() || self.tools.iter().any(matches)
    }
}

/// All personas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Personas {
    /// By name; `default` is always among them.
    named: BTreeMap<String, Persona>,
    /// Who answers in a chat.
    chats: BTreeMap<ChatKey, String>,
}

impl Default for Personas {
    fn default() -> Self {
        Self::new(BTreeMap::new(), None)
    }
}

impl Personas {
    /// The personas of `named`, and a plain `default` if it is not among them. `telegram` says which chat a name is.
    pub fn new(mut named: BTreeMap<String, Persona>, telegram: Option<&Telegram>) -> Self {
        named
            .entry(PERSONA_DEFAULT.to_owned())
            .or_insert_with_key(|name| Persona { name: name.clone(), ..Persona::default() });
        let places = telegram.map(|telegram| &telegram.chats);
        let chats = named.values().flat_map(|persona| {
            let keys = persona.chats.iter().filter_map(|chat| places?.get(chat).cloned());
            keys.map(|key| (key, persona.name.clone()))
        });
        Self { chats: chats.collect(), named }
    }

    /// The persona `name`.
    pub fn get(&self, name: &str) -> Option<&Persona> {
        self.named.get(name)
    }

    /// The one whose is everything else.
    pub fn fallback(&self) -> &Persona {
        self.get(PERSONA_DEFAULT).expect("'new' puts it there")
    }

    /// Who answers in `chat`. A topic of a forum that nobody claims is as its forum.
    pub fn of_chat(&self, chat: &ChatKey) -> &Persona {
        let whole = chat.as_telegram().map(|(id, _)| ChatKey::telegram(id, None));
        let name = self.chats.get(chat).or_else(|| self.chats.get(&whole?));
        name.and_then(|name| self.get(name)).unwrap_or_else(|| self.fallback())
    }

    /// Who summarizes the events of `handler`.
    pub fn of_handler(&self, handler: &HandlerName) -> &Persona {
        let claims = |persona: &&Persona| persona.handlers.contains(handler);
        self.named.values().find(claims).unwrap_or_else(|| self.fallback())
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Persona> {
        self.named.values()
    }
}

/// Reads the section.
pub(super) fn read(r: &mut Reader<'_>, top: &Section) -> BTreeMap<String, Persona> {
    let mut personas = BTreeMap::new();
    let Some(parts) = r.named(top, "agents") else {
        r.record("agents".to_owned(), serde_json::Value::Null, Origin::Default);
        return personas;
    };
    if parts.len() > PERSONAS_MAX {
        let site = r.site_of(top, "agents");
        r.fault(&site, "agents", format!("more than {PERSONAS_MAX} agents"), None);
    }
    for (entry, part) in parts.into_iter().take(PERSONAS_MAX) {
        if entry.key.parse::<HandlerName>().is_err() {
            let site = r.site(entry.at);
            let hint = "use 1 to 64 letters, digits, '_', '-' or '.'".to_owned();
            r.fault(&site, "agents", "this cannot name an agent", Some(hint));
            continue;
        }
        let s = r.checked_part(&entry, part);
        let persona = Persona {
            prompt: r.value(&s, "prompt", values::prose(PROMPT_CHARS_MAX)),
            model: r.value(&s, "model", values::text),
            tools: r.list(&s, "tools", true, values::text),
            chats: r.list(&s, "chats", true, values::text),
            handlers: r.list(&s, "handlers", true, values::handler),
            name: entry.key.clone(),
        };
        personas.insert(entry.key, persona);
    }
    personas
}

/// Checks who claims what. Each chat and each handler is one persona's, and there.
pub(super) fn check(r: &mut Reader<'_>, top: &Section, config: &Config) {
    let Some(entry) = top.written("agents") else { return };
    let entries = entry.value.entries().unwrap_or_default();
    let mut owners: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for persona in config.personas.all() {
        let own = entries.iter().find(|entry| entry.key == persona.name);
        let site = r.site(own.unwrap_or(entry).at);
        let chats = persona.chats.iter().map(|chat| ("chats", chat.as_str()));
        let handlers = persona.handlers.iter().map(|handler| ("handlers", handler.as_str()));
        for (key, name) in chats.chain(handlers) {
            let path = format!("agents.{}.{key}", persona.name);
            if let Some(other) = owners.insert((key, name), &persona.name)
                && other != persona.name
            {
                r.fault(&site, &path, format!("'{name}' is agent {other}'s already"), None);
            }
        }
        for chat in &persona.chats {
            let path = format!("agents.{}.chats", persona.name);
            super::rules::chat_exists(r, config, &site, &path, chat);
        }
        for handler in &persona.handlers {
            if !config.webhooks.handlers.contains_key(handler) {
                let hint =
                    super::keys::nearest(handler.as_str(), config.webhooks.handlers.keys().map(HandlerName::as_str));
                let hint = hint.map(|near| format!("did you mean '{near}'?"));
                r.fault(
                    &site,
                    &format!("agents.{}.handlers", persona.name),
                    format!("there is no handler '{handler}'"),
                    hint,
                );
            }
        }
    }
}

/// Handlers that say nothing of their chat write to their agent's first one.
pub(super) fn give_chats(r: &mut Reader<'_>, top: &Section, config: &mut Config) {
    for persona in config.personas.all() {
        let (Some(chat), Some(entry)) = (persona.chats.first(), top.written("agents")) else { continue };
        for name in &persona.handlers {
            let Some(handler) = config.webhooks.handlers.get_mut(name) else { continue };
            let path = format!("webhooks.handlers.{name}.notify");
            let Some(shown) = r.effective.iter_mut().find(|entry| entry.key == path) else { continue };
            if shown.origin == Origin::Default {
                shown.value = chat.as_str().into();
                shown.origin = Origin::File { file: r.file.clone(), line: entry.value.at.line, through: Vec::new() };
                handler.notify = Notify::Chat(chat.clone());
            }
        }
    }
}

/// Models that agents name and nobody configured are asked at the provider of the section `model`, at its address and with its
/// key and time-out. Their price is that of the table: `model.price` is another model's.
pub(super) fn give_models(r: &mut Reader<'_>, top: &Section, config: &mut Config) {
    for persona in config.personas.all() {
        let (Some(name), Some(entry)) = (&persona.model, top.written("agents")) else { continue };
        match &mut config.model {
            Some(model) if model.knows(name) => {}
            Some(model) => {
                let endpoint = ModelEndpoint { name: name.clone(), price: None, ..model.first.clone() };
                model.preferred.push(endpoint);
            }
            None => {
                let site = r.site(entry.at);
                let hint = "without the section 'model' no agent answers and none summarizes".to_owned();
                r.note(&site, &format!("agents.{}.model", persona.name), "there is no model", Some(hint));
            }
        }
    }
}
