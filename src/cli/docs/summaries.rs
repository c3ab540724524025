//! The review page: every example with the message that it makes, to be read as a stranger would.

use serde_json::Value;

use crate::domain::notice::{Message, Severity};
use crate::provider::{EventInfo, Provider, Registry};

/// Facts of a payload that are shown.
const FACTS_MAX: usize = 16;
/// Longest value of a fact, in characters.
const VALUE_CHARS_MAX: usize = 100;
/// Deepest level of a payload that is looked at.
const DEPTH_MAX: usize = 4;
/// Keys whose values say nothing to a reader.
const NOISE: &[&str] =
    &["node_id", "gravatar_id", "tree_id", "site_admin", "api_version", "pending_webhooks", "request"];

/// The page.
pub(super) fn page(registry: &Registry) -> String {
    let mut text = String::from(
        "<!-- Made from the manifests by 'agent docs summaries'; changes belong there. -->\n\n# Summaries\n\n\
         What people read for the sample of every event: title, lines, link. `(good)`, `(warning)` and `(critical)` are how much\n\
         it asks for attention. The facts of the payload are folded away.\n\n",
    );
    for provider in registry.iter() {
        text.push_str(&format!("- [{}](#{})\n", provider.title(), anchor(provider.title())));
    }
    for provider in registry.iter() {
        text.push_str(&format!("\n## {}\n", provider.title()));
        for event in provider.events() {
            if let Some(example) = &event.example {
                text.push_str(&entry(provider, event, example));
            }
        }
    }
    text
}

fn anchor(title: &str) -> String {
    let kept = title
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>();
    kept.replace(' ', "-")
}

fn entry(provider: &Provider, event: &EventInfo, example: &Value) -> String {
    let headers: Vec<(String, String)> = event
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let summary = provider.summarize(&event.name, example, &headers);
    let mut text = format!("\n### `{}`\n\n```text\n{}\n```\n\n", event.name, shown(&summary.message));
    text.push_str("<details><summary>Payload</summary>\n\n");
    if let Some(subject) = &summary.subject {
        text.push_str(&format!("Told together with others about `{subject}`.\n\n"));
    }
    text.push_str("```text\n");
    let mut facts = Vec::new();
    collect("", example, 0, &mut facts);
    // What is near the top is what a reader looks for.
    facts.sort_by_key(|(path, _)| path.matches('.').count());
    for (path, value) in facts.iter().take(FACTS_MAX) {
        text.push_str(&format!("{path} = {value}\n"));
    }
    if facts.len() > FACTS_MAX {
        text.push_str(&format!("… and {} more\n", facts.len() - FACTS_MAX));
    }
    text.push_str("```\n\n</details>\n");
    text
}

fn shown(message: &Message) -> String {
    let mark = match message.severity {
        Severity::Info => String::new(),
        other => format!("  ({})", other.as_str()),
    };
    let mut lines = vec![format!("{}{mark}", message.title)];
    lines.extend(message.lines.iter().map(|line| format!("  {line}")));
    lines.extend(message.url.iter().map(|url| format!("  {url}")));
    // A fence in a payload must not end the block.
    lines.join("\n").replace("```", "'''")
}

/// The texts, numbers and flags of a payload with their paths. API addresses and opaque ids say nothing to a reader.
fn collect(path: &str, value: &Value, depth: usize, facts: &mut Vec<(String, String)>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) if depth < DEPTH_MAX => {
            for (key, value) in fields {
                let noise = key.ends_with("_url") && key != "html_url" || NOISE.contains(&key.as_str());
                if !noise {
                    collect(&below(key), value, depth + 1, facts);
                }
            }
        }
        Value::Array(items) if depth < DEPTH_MAX => {
            for (at, item) in items.iter().take(2).enumerate() {
                collect(&below(&at.to_string()), item, depth + 1, facts);
            }
        }
        Value::Object(_) | Value::Array(_) | Value::Null => {}
        Value::String(text) if text.is_empty() || text.starts_with("https://api.") => {}
        Value::String(text) => {
            let line = crate::domain::text::one_line(text);
            facts
                .push((path.to_owned(), crate::domain::text::clip_chars(&line, VALUE_CHARS_MAX).replace("```", "'''")));
        }
        Value::Bool(_) | Value::Number(_) => facts.push((path.to_owned(), value.to_string())),
    }
}
