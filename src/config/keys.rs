//! The one table of keys. Readers, unknown-key hints, `config schema`, `docs/CONFIG.md` and the test of `config.example.yaml` are all
//! driven by it, so they cannot drift apart.
//!
//! `*` in a path stands for a name that the user chooses.

use std::sync::LazyLock;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Keys beneath it.
    Section,
    /// Names that the user chooses, each with what `path.*` says.
    Named,
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Integer { min: u64, max: u64 },
    /// A number, 0 or more.
    Number,
    /// A text.
    Text,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// An IP address.
    Address,
    /// A file or folder.
    Path,
    /// An http(s) URL.
    Url,
    /// A secret; `<key>_file` may name a file instead.
    Secret,
    /// Secrets, each a text or `{file: path}`.
    Secrets,
    /// A list of texts.
    Texts,
    /// A list of addresses and ranges.
    Cidrs,
    /// A list of addresses, ranges and host names.
    Reachable,
    /// A list of Telegram user ids.
    Users,
    /// A Telegram chat: its id, or `{id, thread}`.
    Chat,
    /// A Telegram id that may be negative.
    ChatId,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// The default as YAML; `null` is none.
    pub(super) default: &'static str,
    pub(super) required: bool,
    /// Environment variables that set it, first wins. They beat the file, except for secrets, which they only fill.
    pub(super) env: &'static [&'static str],
    pub(super) flag: Option<&'static str>,
    pub(super) doc: &'static str,
}

pub(super) const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { path, kind, default, required: false, env: &[], flag: None, doc }
}

impl Key {
    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn env(mut self, names: &'static [&'static str]) -> Self {
        self.env = names;
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    /// The last part of the path.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Whether it only holds other keys.
    pub(super) fn is_section(&self) -> bool {
        matches!(self.kind, Kind::Section | Kind::Named)
    }
}

const MILLION: u64 = 1_000_000;
const DAY_SECONDS: u64 = 86_400;
/// Largest body limit that can be asked for, in bytes.
const BODY_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Every key, sections before what is in them.
pub(super) static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| [MAIN, super::keys_around::KEYS].concat());

const MAIN: &[Key] = &[
    key(
        "data_dir",
        Kind::Path,
        "./data",
        "The folder of the ledger, logs, workflows and providers. A relative path starts at the config file's folder.",
    ),
    key("files", Kind::Section, "null", "Files that the tools of workflows may use."),
    key(
        "files.roots",
        Kind::Texts,
        "[]",
        "Folders besides `data/files/` that tools may read and write, and whose files steps' processes may. Never the agent's own files in them. A relative path starts at the config file's folder.",
    ),
    key("webhooks", Kind::Section, "null", "The webhook server."),
    key("webhooks.enabled", Kind::Bool, "false", "Whether it runs. `--webhooks` and `--webhook-port` turn it on.")
        .env(&["ASSISTANT_WEBHOOK_ENABLED"])
        .flag("--webhooks"),
    key(
        "webhooks.host",
        Kind::Address,
        "127.0.0.1",
        "The address to listen on: `127.0.0.1` for this machine only, `0.0.0.0` or `::` for every network.",
    )
    .env(&["ASSISTANT_HOST"]),
    key("webhooks.port", Kind::Integer { min: 0, max: 65_535 }, "8080", "The port; 0 takes a free one.")
        .env(&["ASSISTANT_PORT"])
        .flag("--webhook-port"),
    key(
        "webhooks.public_url",
        Kind::Url,
        "null",
        "The address that senders reach, such as `https://hooks.example.com`; used wherever a URL is shown.",
    ),
    key(
        "webhooks.max_body_bytes",
        Kind::Integer { min: 1, max: BODY_BYTES_MAX },
        "26214400",
        "The largest body in bytes; a larger one is answered 413.",
    ),
    key(
        "webhooks.allowed_ips",
        Kind::Cidrs,
        "[]",
        "Client addresses and ranges (IPv4 and IPv6) that are admitted; empty admits all.",
    ),
    key("webhooks.trusted_proxies", Kind::Cidrs, "[]", "Only from these addresses is the forwarding header believed."),
    key(
        "webhooks.forwarded_header",
        Kind::Word(&["x-forwarded-for", "forwarded"]),
        "x-forwarded-for",
        "The header in which those proxies say who the client is.",
    ),
    key("webhooks.rate_limit", Kind::Section, "null", "The limit for one client address (IPv6: for one /64)."),
    key("webhooks.rate_limit.enabled", Kind::Bool, "true", "Whether there is a limit."),
    key(
        "webhooks.rate_limit.max_requests",
        Kind::Integer { min: 1, max: MILLION },
        "100",
        "Requests within the window; the next one is answered 429.",
    ),
    key(
        "webhooks.rate_limit.window_seconds",
        Kind::Integer { min: 1, max: DAY_SECONDS },
        "60",
        "The window in seconds.",
    ),
    key("webhooks.ssl", Kind::Section, "null", "TLS. Certificate and key are read again when the files change."),
    key(
        "webhooks.ssl.enabled",
        Kind::Bool,
        "false",
        "Whether TLS is spoken. Giving `cert` and `key` turns it on unless `false` is written here.",
    ),
    key("webhooks.ssl.cert", Kind::Path, "null", "The certificate chain, PEM."),
    key("webhooks.ssl.key", Kind::Path, "null", "The private key, PEM."),
    key("webhooks.logging", Kind::Section, "null", "What is logged of requests."),
    key("webhooks.logging.enabled", Kind::Bool, "true", "Whether requests are logged."),
    key(
        "webhooks.logging.level",
        Kind::Word(&["TRACE", "DEBUG", "INFO", "WARN", "ERROR"]),
        "INFO",
        "The least level of those lines: refusals are INFO, those for want of the agent WARN, accepted events DEBUG (INFO with one of the next two).",
    ),
    key("webhooks.logging.include_headers", Kind::Bool, "false", "Log headers too, secrets masked."),
    key(
        "webhooks.logging.include_payload",
        Kind::Bool,
        "false",
        "Log bodies too, the first 2048 bytes of each. They may hold what should not be in a log.",
    ),
    key(
        "webhooks.allow_unsigned",
        Kind::Bool,
        "false",
        "Accept unsigned requests at every handler that does not say otherwise, from any network.",
    ),
    key(
        "webhooks.handlers",
        Kind::Named,
        "null",
        "The handlers by name. Without this key every built-in provider has one; with it, only those written here exist.",
    ),
    key(
        "webhooks.handlers.*",
        Kind::Section,
        "null",
        "One handler, served at `/webhook/<name>`, `/webhooks/<name>` and `/api/webhooks/<name>`.",
    ),
    key("webhooks.handlers.*.enabled", Kind::Bool, "true", "A disabled handler answers 409."),
    key(
        "webhooks.handlers.*.provider",
        Kind::Text,
        "null",
        "Whose deliveries it takes. Default: the provider of the handler's own name, else `custom`.",
    ),
    key("webhooks.handlers.*.path", Kind::Text, "null", "The one path where it is served instead of the three above."),
    key(
        "webhooks.handlers.*.secret",
        Kind::Secret,
        "null",
        "The secret that the sender signs with. Without one: `<NAME>_WEBHOOK_SECRET`, then `WEBHOOK_SECRET`, then `ASSISTANT_WEBHOOK_SECRET` from the environment.",
    ),
    key("webhooks.handlers.*.secret_file", Kind::Path, "null", "A file that holds the secret."),
    key(
        "webhooks.handlers.*.secrets",
        Kind::Secrets,
        "[]",
        "Several secrets while one replaces another, each a text or `{file: path}`; all are accepted.",
    ),
    key(
        "webhooks.handlers.*.events",
        Kind::Texts,
        "[]",
        "The event types that are wanted; empty wants all. `pull_request` covers `pull_request.opened`.",
    ),
    key("webhooks.handlers.*.response_type", Kind::Word(&["json", "text"]), "json", "How answers are written."),
    key(
        "webhooks.handlers.*.allowed_ips",
        Kind::Cidrs,
        "[]",
        "Addresses and ranges admitted here; the common list applies too.",
    ),
    key(
        "webhooks.handlers.*.rate_limit",
        Kind::Section,
        "null",
        "A limit of its own instead of the common one; `{ enabled: false }` lifts it.",
    ),
    key("webhooks.handlers.*.rate_limit.enabled", Kind::Bool, "true", "Whether there is a limit here."),
    key(
        "webhooks.handlers.*.rate_limit.max_requests",
        Kind::Integer { min: 1, max: MILLION },
        "100",
        "Requests within the window.",
    ),
    key(
        "webhooks.handlers.*.rate_limit.window_seconds",
        Kind::Integer { min: 1, max: DAY_SECONDS },
        "60",
        "The window in seconds.",
    ),
    key(
        "webhooks.handlers.*.allow_unsigned",
        Kind::Bool,
        "null",
        "Accept unsigned requests here, from any network. Default: `webhooks.allow_unsigned`. A wrong signature is refused all the same.",
    ),
    key(
        "webhooks.handlers.*.notify",
        Kind::Text,
        "default",
        "The chat that hears of its events, or `none`; what a person must decide is asked in `default` then.",
    ),
    key(
        "webhooks.handlers.*.summarize",
        Kind::Word(&["auto", "template", "model", "none"]),
        "auto",
        "How its events are summarized: `auto` by a model where there is one, `template`, `model`, or `none` for the event's name only.",
    ),
    key("telegram", Kind::Section, "null", "Telegram. Without it notices appear in the terminal."),
    key("telegram.token", Kind::Secret, "null", "The bot's token from @BotFather. Empty: Telegram is off.")
        .env(&["TELEGRAM_BOT_TOKEN"]),
    key("telegram.token_file", Kind::Path, "null", "A file that holds the token."),
    key(
        "telegram.chats",
        Kind::Named,
        "null",
        "Chats by name; `default` is where notices go unless a handler's `notify` says otherwise.",
    ),
    key("telegram.chats.*", Kind::Chat, "null", "A chat's numeric id, or `{ id, thread }` for a topic of a forum."),
    key("telegram.chats.*.id", Kind::ChatId, "null", "The chat's numeric id; a group's is negative.").required(),
    key("telegram.chats.*.thread", Kind::Integer { min: 1, max: i32::MAX as u64 }, "null", "The topic's id."),
    key(
        "telegram.allowed_users",
        Kind::Users,
        "[]",
        "Numeric ids of those who may command and decide; empty means nobody.",
    ),
    key("telegram.groups", Kind::Named, "null", "Named groups of users, for approvals."),
    key("telegram.groups.*", Kind::Users, "[]", "The numeric ids of its members."),
    key("telegram.api_url", Kind::Url, "https://api.telegram.org", "The Bot API server."),
    key(
        "model",
        Kind::Section,
        "null",
        "A language model: for summaries, for the conversation and for `model_prompt` steps. Without it summaries are the built-in ones.",
    ),
    key(
        "model.provider",
        Kind::Text,
        "null",
        "`openai`, `anthropic`, `gemini`, `ollama`, or any name with a `base_url` that speaks OpenAI's API.",
    )
    .required(),
    key("model.name", Kind::Text, "null", "The model's name, such as `gpt-4o-mini`.").required(),
    key("model.base_url", Kind::Url, "null", "Where it is served, when not at the provider's own address."),
    key("model.api_key", Kind::Secret, "null", "The key for it."),
    key("model.api_key_file", Kind::Path, "null", "A file that holds the key."),
    key(
        "model.timeout_seconds",
        Kind::Integer { min: 1, max: 600 },
        "20",
        "The longest wait for an answer, or for the next part of one that is streamed, in seconds.",
    ),
    key(
        "model.daily_budget_usd",
        Kind::Number,
        "1.00",
        "The most US dollars that all models together may cost in a day (UTC). A call that could go beyond it is not made.",
    ),
    key(
        "model.event_tokens_max",
        Kind::Integer { min: 1, max: 100 * MILLION },
        "50000",
        "The most tokens, read and written, that are spent on one event.",
    ),
    key(
        "model.price",
        Kind::Section,
        "null",
        "What the model costs, where the built-in table is wrong or does not know it. An unknown model counts as a dear one.",
    ),
    key("model.price.input", Kind::Number, "null", "US dollars for a million tokens that it reads."),
    key("model.price.output", Kind::Number, "null", "US dollars for a million tokens that it writes."),
    key(
        "model.fallbacks",
        Kind::Named,
        "null",
        "More models by names of your choice, tried in this order when the one before does not answer.",
    ),
    key("model.fallbacks.*", Kind::Section, "null", "One of them; its keys mean what they mean above."),
    key("model.fallbacks.*.provider", Kind::Text, "null", "Its provider.").required(),
    key("model.fallbacks.*.name", Kind::Text, "null", "The model's name.").required(),
    key("model.fallbacks.*.base_url", Kind::Url, "null", "Where it is served."),
    key("model.fallbacks.*.api_key", Kind::Secret, "null", "The key for it."),
    key("model.fallbacks.*.api_key_file", Kind::Path, "null", "A file that holds the key."),
    key(
        "model.fallbacks.*.timeout_seconds",
        Kind::Integer { min: 1, max: 600 },
        "20",
        "The longest wait for its answer, in seconds.",
    ),
    key("model.fallbacks.*.price", Kind::Section, "null", "What it costs."),
    key("model.fallbacks.*.price.input", Kind::Number, "null", "US dollars for a million tokens that it reads."),
    key("model.fallbacks.*.price.output", Kind::Number, "null", "US dollars for a million tokens that it writes."),
    key("dashboard", Kind::Section, "null", "The dashboard and the local API."),
    key(
        "dashboard.enabled",
        Kind::Bool,
        "true",
        "Whether it runs. Commands such as `agent events` need it while the agent runs.",
    ),
    key(
        "dashboard.host",
        Kind::Address,
        "127.0.0.1",
        "The address to listen on. It speaks no TLS: leave it on this machine.",
    ),
    key("dashboard.port", Kind::Integer { min: 0, max: 65_535 }, "51430", "The port; 0 takes a free one."),
    key(
        "dashboard.names",
        Kind::Texts,
        "[]",
        "Host names by which a proxy on this machine reaches it, such as hooks.example.com. Requests for others are refused.",
    ),
    key(
        "dashboard.insecure",
        Kind::Bool,
        "false",
        "Whether it may listen beyond this machine. Token and pages then cross the network in the clear.",
    ),
    key("network", Kind::Section, "null", "Where the tools of workflows may send requests."),
    key(
        "network.allow",
        Kind::Reachable,
        "[]",
        "What tools may reach besides public addresses: addresses, ranges, and exact host names, whose private addresses are then reached. Link-local and metadata addresses only by address.",
    ),
    key("retention", Kind::Section, "null", "How long things are kept."),
    key(
        "retention.events_days",
        Kind::Integer { min: 0, max: 36_500 },
        "90",
        "Days that events are kept; 0 keeps them for ever.",
    ),
    key(
        "retention.rejected_max",
        Kind::Integer { min: 0, max: 10 * MILLION },
        "10000",
        "The most refused requests that are kept.",
    ),
];

/// The key at `path`, names the user chose written as `*`.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The keys right beneath `path` (empty for the top).
pub(super) fn children(path: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| match key.path.rsplit_once('.') {
        Some((parent, _)) => parent == path,
        None => path.is_empty(),
    })
}

/// What to say about a key that does not exist beneath `parent`, so that it can be mended at once.
pub(super) fn hint_for_unknown(parent: &str, unknown: &str) -> String {
    let known: Vec<&str> = children(parent).map(Key::name).collect();
    if let Some(nearest) = nearest(unknown, known.iter().copied()) {
        return format!("did you mean '{nearest}'?");
    }
    let nested = if parent.is_empty() { unknown.to_owned() } else { format!("{parent}.{unknown}") };
    if unknown.contains('.') && find(&nested).is_some() {
        return "write one key beneath the other instead of a dot".to_owned();
    }
    let elsewhere = KEYS.iter().find(|key| key.name() == unknown && !key.path.ends_with(".*"));
    match elsewhere {
        Some(key) => format!("did you mean {}?", key.path.replace('*', "<name>")),
        None => format!("valid here: {}", known.join(", ")),
    }
}

/// The word that `text` was most likely meant to be, when one is near.
pub(super) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text: String = text.chars().take(64).collect::<String>().to_lowercase().replace('-', "_");
    let distance = |word: &str| strsim::damerau_levenshtein(&text, &word.to_lowercase().replace('-', "_"));
    let near = words.map(|word| (distance(word), word)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, word)| *distance <= 1 + word.len() / 4).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_lies_in_a_section_and_none_is_there_twice() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|other| other.path != key.path), "{} is there twice", key.path);
            let parent = key.path.rsplit_once('.').map(|(parent, _)| parent);
            assert!(parent.is_none_or(|parent| KEYS[..index].iter().any(|k| k.path == parent)), "{}", key.path);
        }
    }

    #[test]
    fn a_misspelt_key_gets_its_neighbour_and_a_misplaced_one_its_place() {
        for (parent, unknown, expected) in [
            ("webhooks", "prot", "did you mean 'port'?"),
            ("webhooks", "allowed-ips", "did you mean 'allowed_ips'?"),
            ("webhooks.handlers.*", "event", "did you mean 'events'?"),
            ("", "handlers", "did you mean webhooks.handlers?"),
            ("webhooks", "response_type", "did you mean webhooks.handlers.<name>.response_type?"),
            ("webhooks", "ssl.cert", "write one key beneath the other instead of a dot"),
            ("retention", "zzz", "valid here: events_days, rejected_max"),
        ] {
            assert_eq!(hint_for_unknown(parent, unknown), expected, "{parent} {unknown}");
        }
    }
}
