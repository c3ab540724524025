//! The section `telegram`.

use std::collections::BTreeMap;

use serde_json::json;

use super::Telegram;
use super::effective::Origin;
use super::reader::{Reader, Section};
use super::values;
use crate::domain::notice::ChatKey;
use crate::domain::tree::{Entry, Value};

/// Reads the section; `None` when there is none or it has no token.
pub(super) fn read(r: &mut Reader<'_>, top: &Section) -> Option<Telegram> {
    if top.written("telegram").is_none() {
        if let Some(scalar) = r.variable("TELEGRAM_BOT_TOKEN") {
            let hint = "add telegram: { chats: { default: <chat id> }, allowed_users: [<your id>] }".to_owned();
            let message = "TELEGRAM_BOT_TOKEN is set, but without a section 'telegram' nobody would be written to; Telegram is off";
            r.note(&scalar.site, "telegram", message, Some(hint));
        }
        r.record("telegram".to_owned(), serde_json::Value::Null, Origin::Default);
        return None;
    }
    let s = r.section(top, "telegram");
    let before = r.faults.len();
    let token = r.secret(&s, "token", "token_file");
    let token_told = r.faults.len() > before;
    let chats = chats(r, &s);
    let allowed_users = r.list(&s, "allowed_users", true, values::user);
    let groups = groups(r, &s, &allowed_users);
    let api_url = r.defaulted(&s, "api_url", values::url);
    let Some(token) = token else {
        let site = r.site_of(&s, "token");
        let hint = Some("set TELEGRAM_BOT_TOKEN or the key".to_owned());
        if !token_told {
            r.note(
                &site,
                "telegram.token",
                "there is no token; Telegram is off and notices appear in the terminal",
                hint,
            );
        }
        return None;
    };
    Some(Telegram { token, chats, allowed_users, groups, api_url })
}

fn chats(r: &mut Reader<'_>, s: &Section) -> BTreeMap<String, ChatKey> {
    let mut chats = BTreeMap::new();
    for (entry, part) in r.named(s, "chats").unwrap_or_default() {
        if entry.key == "none" {
            let site = r.site(entry.at);
            r.fault(&site, &part.path, "no chat can be named 'none': 'notify: none' means nobody", None);
        } else if let Some(chat) = chat(r, &entry, part) {
            chats.insert(entry.key, chat);
        }
    }
    chats
}

/// One chat: a number, or `{id, thread}`. Empty after expansion: not there.
fn chat(r: &mut Reader<'_>, entry: &Entry, part: Section) -> Option<ChatKey> {
    if let Value::Map(_) = entry.value.value {
        let part = r.checked_part(entry, part);
        let id = r.value(&part, "id", values::chat);
        let thread: Option<u32> = r.value(&part, "thread", values::integer("telegram.chats.*.thread"));
        return Some(ChatKey::telegram(id?, thread.and_then(|thread| i32::try_from(thread).ok())));
    }
    if matches!(entry.value.value, Value::Null) {
        return None;
    }
    let scalar = r.expanded(&entry.value, &part.path, false)?;
    match values::chat(scalar.text.as_deref()?) {
        Ok(id) => {
            r.record(part.path, json!(id), scalar.origin);
            Some(ChatKey::telegram(id, None))
        }
        Err(problem) => {
            r.problem(&scalar, &part.path, problem);
            None
        }
    }
}

fn groups(r: &mut Reader<'_>, s: &Section, allowed: &[u64]) -> BTreeMap<String, Vec<u64>> {
    let mut groups = BTreeMap::new();
    for (entry, part) in r.named(s, "groups").unwrap_or_default() {
        let members = match entry.value.value {
            Value::Null => {
                r.record(part.path.clone(), json!([]), Origin::Default);
                Vec::new()
            }
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => {
                r.list_of(&entry.value, &part.path, true, values::user)
            }
        };
        let strangers: Vec<String> = members.iter().filter(|id| !allowed.contains(id)).map(u64::to_string).collect();
        if !strangers.is_empty() {
            let site = r.site(entry.value.at);
            let message = format!("not in telegram.allowed_users: {}", strangers.join(", "));
            r.note(&site, &part.path, message, None);
        }
        groups.insert(entry.key, members);
    }
    groups
}
