//! The handlers of the section `webhooks`, and where each gets its secret.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::effective::Origin;
use super::reader::{Reader, Section};
use super::secrets::Known;
use super::webhooks;
use super::{Handler, Notify, ResponseType, Summarize, values};
use crate::domain::event::HandlerName;

/// Most handlers.
pub const HANDLERS_MAX: usize = 1000;
/// What the names of the handlers' variables end in.
const SECRET_SUFFIX: &str = "_WEBHOOK_SECRET";

const RESPONSE_TYPES: &[(&str, ResponseType)] = &[("json", ResponseType::Json), ("text", ResponseType::Text)];
const SUMMARIZE: &[(&str, Summarize)] = &[
    ("auto", Summarize::Auto),
    ("template", Summarize::Template),
    ("model", Summarize::Model),
    ("none", Summarize::Nothing),
];

/// The variable that gives handler `name` its secret: `GITHUB_WEBHOOK_SECRET`, `MY_SERVICE_WEBHOOK_SECRET`.
pub fn secret_variable(name: &HandlerName) -> String {
    let stem: String =
        name.as_str().chars().map(|c| if matches!(c, '-' | '.') { '_' } else { c.to_ascii_uppercase() }).collect();
    stem + SECRET_SUFFIX
}

/// What a handler takes when it has none of its own.
#[derive(Clone, Copy)]
pub(super) struct Fallback<'a> {
    /// The secret of every route without one.
    pub(super) common: Option<&'a Known>,
    /// The variables in which manifests say that secrets are, by provider.
    pub(super) secret_variables: &'a BTreeMap<String, String>,
    /// Whether unsigned requests are accepted.
    pub(super) allow_unsigned: bool,
}

/// Reads the handlers that are written; without any key `handlers` those of `default_names` exist with every default.
pub(super) fn read(
    r: &mut Reader<'_>,
    s: &Section,
    default_names: &[&str],
    fallback: Fallback<'_>,
) -> BTreeMap<HandlerName, Handler> {
    let mut handlers = BTreeMap::new();
    match r.named(s, "handlers") {
        Some(parts) => {
            if parts.len() > HANDLERS_MAX {
                let site = r.site_of(s, "handlers");
                r.fault(&site, &s.path_of("handlers"), format!("more than {HANDLERS_MAX} handlers"), None);
            }
            for (entry, part) in parts.into_iter().take(HANDLERS_MAX) {
                match entry.key.parse::<HandlerName>() {
                    Ok(name) => {
                        let part = r.checked_part(&entry, part);
                        handlers.insert(name.clone(), handler(r, &part, name, fallback));
                    }
                    Err(error) => {
                        let site = r.site(entry.at);
                        r.fault(&site, &s.path_of("handlers"), error.to_string(), None);
                    }
                }
            }
        }
        None => {
            let all = s.unwritten("handlers", "handlers");
            for name in default_names.iter().filter_map(|name| name.parse::<HandlerName>().ok()) {
                let part = all.unwritten(name.as_str(), "*");
                handlers.insert(name.clone(), handler(r, &part, name, fallback));
            }
        }
    }
    note_unused_variables(r, &handlers, fallback.secret_variables);
    handlers
}

fn handler(r: &mut Reader<'_>, s: &Section, name: HandlerName, fallback: Fallback<'_>) -> Handler {
    let enabled = r.defaulted(s, "enabled", values::flag);
    let provider = r.value(s, "provider", values::text);
    let path = r.value(s, "path", values::served_path);
    let named = fallback.secret_variables.get(provider.as_deref().unwrap_or(name.as_str())).map(String::as_str);
    let secrets = secrets(r, s, &name, named, fallback.common);
    let events = r.list(s, "events", false, values::event);
    let response_type = r.defaulted(s, "response_type", values::word(RESPONSE_TYPES));
    let allowed_ips = r.list(s, "allowed_ips", false, values::cidr);
    let rate_limit = s.written("rate_limit").is_some().then(|| webhooks::rate_limit(r, s));
    if rate_limit.is_none() {
        r.record(s.path_of("rate_limit"), Json::Null, Origin::Default);
    }
    let allow_unsigned = r.value(s, "allow_unsigned", values::flag).unwrap_or(fallback.allow_unsigned);
    let notify = r.defaulted(s, "notify", values::text);
    let notify = if notify == "none" { Notify::Nobody } else { Notify::Chat(notify) };
    let summarize = r.defaulted(s, "summarize", values::word(SUMMARIZE));
    Handler {
        name,
        enabled,
        provider,
        path,
        secrets: secrets.into_iter().map(|known| known.secret).collect(),
        events,
        response_type,
        allowed_ips,
        rate_limit,
        allow_unsigned,
        notify,
        summarize,
    }
}

/// A handler's own secrets; else that of its variable; else that of the variable that its provider's manifest names; else the
/// common one.
fn secrets(
    r: &mut Reader<'_>,
    s: &Section,
    name: &HandlerName,
    named: Option<&str>,
    common: Option<&Known>,
) -> Vec<Known> {
    let one = r.secret_of(s, "secret", "secret_file");
    let many = r.secret_list(s, "secrets");
    if one.is_some() && !many.is_empty() {
        let site = r.site_of(s, "secrets");
        let hint = "list them all in 'secrets'".to_owned();
        r.fault(&site, &s.path_of("secrets"), "a single secret is given too", Some(hint));
    }
    let variable = secret_variable(name);
    let from_variable = r.secret_variable(std::iter::once(variable.as_str()));
    let own: Vec<Known> = one.into_iter().chain(many).collect();
    if let (Some(unused), false) = (&from_variable, own.is_empty())
        && own.iter().all(|known| known.secret.expose() != unused.secret.expose())
    {
        let site = r.site_of(s, "secret");
        let message = format!("{variable} is set to something else and not used: the handler has a secret of its own");
        r.note(&site, &s.path_of("secret"), message, None);
    }
    let filled = if own.is_empty() {
        let from_manifest = || r.secret_variable(named.into_iter());
        from_variable.or_else(from_manifest).or_else(|| common.cloned()).into_iter().collect()
    } else {
        own
    };
    let several = s.written("secrets").is_some() && filled.len() > 1;
    r.record_secret(s.path_of("secret"), filled.first().filter(|_| !several));
    let (list, origin) = match filled.first().filter(|_| several) {
        Some(first) => (vec![json!("***"); filled.len()], first.origin.clone()),
        None => (Vec::new(), Origin::Default),
    };
    r.record(s.path_of("secrets"), Json::Array(list), origin);
    filled
}

/// A variable that looks like a handler's and belongs to none is most likely a misspelt name.
fn note_unused_variables(
    r: &mut Reader<'_>,
    handlers: &BTreeMap<HandlerName, Handler>,
    secret_variables: &BTreeMap<String, String>,
) {
    let used: Vec<String> = handlers.keys().map(secret_variable).chain(secret_variables.values().cloned()).collect();
    let unused: Vec<String> = r.vars.names().into_iter().filter(|name| is_unused(name, &used)).collect();
    for name in unused {
        let Some(scalar) = r.variable(&name) else { continue };
        r.note(&scalar.site, "", format!("{name} is set, and no handler of that name exists"), None);
    }
}

fn is_unused(name: &str, used: &[String]) -> bool {
    let stem = name.strip_suffix(SECRET_SUFFIX).filter(|stem| !stem.is_empty());
    let common = webhooks::COMMON_SECRET_VARIABLES.contains(&name);
    stem.is_some() && !common && !used.iter().any(|variable| variable == name)
}
