//! The reference of keys as Markdown: the part of `docs/CONFIG.md` that a test keeps equal to the table.

use std::fmt::Write;

use super::keys::{KEYS, Key, Kind};

/// The path of every key; `*` stands for a name that the user chooses.
pub fn key_paths() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.path)
}

/// One table a section, in the order of the file.
pub fn reference_markdown() -> String {
    let parent = |key: &Key| key.path.rsplit_once('.').map_or("", |(parent, _)| parent);
    let keys: Vec<&Key> = KEYS.iter().filter(|key| !key.is_section()).collect();
    let mut out = String::new();
    for (index, first) in keys.iter().enumerate() {
        let section = parent(first);
        if keys[..index].iter().any(|key| parent(key) == section) {
            continue;
        }
        heading(&mut out, section);
        keys.iter().filter(|key| parent(key) == section).for_each(|key| row(&mut out, key));
    }
    out
}

fn heading(out: &mut String, parent: &str) {
    let title = if parent.is_empty() { "top".to_owned() } else { format!("`{}`", shown(parent)) };
    let docs = KEYS.iter().find(|key| key.path == parent).map(|key| format!("\n{}\n", key.doc));
    let gap = if out.is_empty() { "" } else { "\n" };
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{gap}### {title}\n{}\n| key | value | default | meaning |\n|---|---|---|---|\n",
        docs.unwrap_or_default()
    );
}

fn row(out: &mut String, key: &Key) {
    let mut meaning = key.doc.replace('|', "\\|");
    if !key.env.is_empty() {
        let names: Vec<String> = key.env.iter().map(|name| format!("`{name}`")).collect();
        let _ = write!(meaning, " Environment: {}.", names.join(", "));
    }
    if let Some(flag) = key.flag {
        let _ = write!(meaning, " Flag: `{flag}`.");
    }
    let default = match key.default {
        "null" if key.required => "required".to_owned(),
        "null" => "none".to_owned(),
        default => format!("`{default}`"),
    };
    let name = if key.name() == "*" { "<name>" } else { key.name() };
    let _ = writeln!(out, "| `{name}` | {} | {default} | {meaning} |", kind(key.kind));
}

fn shown(path: &str) -> String {
    path.replace('*', "<name>")
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Section | Kind::Named => "keys".into(),
        Kind::Bool => "true, false".into(),
        Kind::Integer { min, max } => format!("{min} to {max}"),
        Kind::Number => "number".into(),
        Kind::Text => "text".into(),
        Kind::Word(words) => words.join(", "),
        Kind::Address => "IP address".into(),
        Kind::Path => "path".into(),
        Kind::Url => "URL".into(),
        Kind::Secret => "secret".into(),
        Kind::Secrets => "list of secrets".into(),
        Kind::Texts => "list".into(),
        Kind::Cidrs => "list of addresses and ranges".into(),
        Kind::Reachable => "list of addresses, ranges and host names".into(),
        Kind::Users => "list of user ids".into(),
        Kind::Chat => "chat id, or keys".into(),
        Kind::ChatId => "chat id".into(),
    }
}
