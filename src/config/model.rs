//! The section `model`: the models in order of preference, and what they may cost.

use std::time::Duration;

use super::effective::Origin;
use super::reader::{Reader, Section};
use super::{Model, ModelEndpoint, ModelPrice, values};

/// The providers whose address is known.
pub const MODEL_PROVIDERS: [&str; 4] = ["openai", "anthropic", "gemini", "ollama"];
/// Most models besides the first.
const FALLBACKS_MAX: usize = 8;

/// Reads the section; `None` when there is none.
pub(super) fn read(r: &mut Reader<'_>, top: &Section) -> Option<Model> {
    if top.written("model").is_none() {
        r.record("model".to_owned(), serde_json::Value::Null, Origin::Default);
        return None;
    }
    let s = r.section(top, "model");
    let first = endpoint(r, &s);
    let daily_budget_usd = r.defaulted(&s, "daily_budget_usd", values::amount);
    let event_tokens_max = r.defaulted(&s, "event_tokens_max", values::integer("model.event_tokens_max"));
    let mut fallbacks = Vec::new();
    for (entry, part) in r.named(&s, "fallbacks").unwrap_or_default() {
        let part = r.checked_part(&entry, part);
        if fallbacks.len() >= FALLBACKS_MAX {
            let site = r.site(entry.at);
            r.fault(&site, &part.path, format!("there are more than {FALLBACKS_MAX}"), None);
            break;
        }
        if let Some(endpoint) = endpoint(r, &part) {
            fallbacks.push((entry.key, endpoint));
        }
    }
    Some(Model { first: first?, fallbacks, preferred: Vec::new(), daily_budget_usd, event_tokens_max })
}

/// One model.
fn endpoint(r: &mut Reader<'_>, s: &Section) -> Option<ModelEndpoint> {
    let provider = r.value(s, "provider", values::text);
    let name = r.value(s, "name", values::text);
    let base_url = r.value(s, "base_url", values::url);
    let api_key = r.secret(s, "api_key", "api_key_file");
    let timeout = Duration::from_secs(r.defaulted(s, "timeout_seconds", values::integer("model.timeout_seconds")));
    let price = price(r, s);
    let (provider, name) = (provider?, name?);
    let known = MODEL_PROVIDERS.contains(&provider.as_str());
    if !known && base_url.is_none() && s.written("base_url").is_none() {
        let site = r.site_of(s, "provider");
        let hint = format!("known without one: {}", MODEL_PROVIDERS.join(", "));
        r.fault(&site, &s.path_of("base_url"), "is missing: this provider's address is not known", Some(hint));
    }
    if known && provider != "ollama" && base_url.is_none() && api_key.is_none() {
        let site = r.site_of(s, "provider");
        let hint = "set it, or api_key_file".to_owned();
        r.note(&site, &s.path_of("api_key"), "there is none; this provider refuses requests without", Some(hint));
    }
    Some(ModelEndpoint { provider, name, base_url, api_key, timeout, price })
}

/// Both numbers, or neither.
fn price(r: &mut Reader<'_>, s: &Section) -> Option<ModelPrice> {
    let part = r.section(s, "price");
    let input = r.value(&part, "input", values::amount);
    let output = r.value(&part, "output", values::amount);
    match (input, output) {
        (Some(input), Some(output)) => Some(ModelPrice { input, output }),
        (None, None) => None,
        (given, _) => {
            let missing = if given.is_some() { "output" } else { "input" };
            let site = r.site_of(&part, missing);
            r.fault(&site, &part.path_of(missing), "is missing: a price has both", None);
            None
        }
    }
}
