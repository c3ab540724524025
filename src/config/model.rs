//! The section `model`. It is read and checked, so that a file written for a later version is told its faults now.

use std::time::Duration;

use super::Model;
use super::effective::Origin;
use super::reader::{Reader, Section};
use super::values;

/// The providers whose address is known.
const PROVIDERS: [&str; 4] = ["openai", "anthropic", "gemini", "ollama"];

/// Reads the section; `None` when there is none.
pub(super) fn read(r: &mut Reader<'_>, top: &Section) -> Option<Model> {
    if top.written("model").is_none() {
        r.record("model".to_owned(), serde_json::Value::Null, Origin::Default);
        return None;
    }
    let s = r.section(top, "model");
    let provider = r.value(&s, "provider", values::text);
    let name = r.value(&s, "name", values::text);
    let base_url = r.value(&s, "base_url", values::url);
    let api_key = r.secret(&s, "api_key", "api_key_file");
    let timeout = Duration::from_secs(r.defaulted(&s, "timeout_seconds", values::integer("model.timeout_seconds")));
    let daily_budget_usd = r.defaulted(&s, "daily_budget_usd", values::amount);
    let site = r.site_of(top, "model");
    r.note(&site, "model", "this version does not use a model yet; summaries are the built-in ones", None);
    let (provider, name) = (provider?, name?);
    if !PROVIDERS.contains(&provider.as_str()) && base_url.is_none() && s.written("base_url").is_none() {
        let site = r.site_of(&s, "provider");
        let hint = format!("known without one: {}", PROVIDERS.join(", "));
        r.fault(&site, "model.base_url", "is missing: this provider's address is not known", Some(hint));
    }
    Some(Model { provider, name, base_url, api_key, timeout, daily_budget_usd })
}
