//! What each method does with chats, messages and updates.

use std::time::Duration;

use serde_json::{Value, json};

use super::entities::parse;
use super::params::integer;
use super::{BOT_ID, BOT_NAME, SeenButton, SeenMessage, Shared, TapAnswer};

/// A refusal: code, description, and seconds to wait for a 429.
pub(super) type Refusal = (u16, String, Option<u64>);

pub(super) fn bad(description: &str) -> Refusal {
    (400, format!("Bad Request: {description}"), None)
}

pub(super) async fn perform(shared: &Shared, method: &str, params: &Value) -> Result<Value, Refusal> {
    match method {
        "getme" => Ok(json!({
            "id": BOT_ID, "is_bot": true, "first_name": "hookhand", "username": BOT_NAME, "can_join_groups": true,
            "can_read_all_group_messages": false, "supports_inline_queries": false, "can_connect_to_business": false,
            "has_main_web_app": false,
        })),
        "getupdates" => get_updates(shared, params).await,
        "sendmessage" => send_message(shared, params),
        "senddocument" => send_document(shared, params),
        "editmessagetext" => edit_message_text(shared, params),
        "answercallbackquery" => {
            let id = params["callback_query_id"].as_str().unwrap_or_default().to_owned();
            let text = params["text"].as_str().unwrap_or_default().to_owned();
            if text.chars().count() > 200 {
                return Err(bad("MESSAGE_TOO_LONG"));
            }
            let answer = TapAnswer { text, alert: params["show_alert"].as_bool().unwrap_or(false) };
            shared.with(|state| {
                if !state.open_callbacks.remove(&id) {
                    return Err(bad("query is too old and response timeout expired or query ID is invalid"));
                }
                state.answered_callbacks.insert(id, answer);
                Ok(true.into())
            })
        }
        "sendchataction" => Ok(true.into()),
        "setmycommands" => {
            shared.with(|state| state.commands = params["commands"].clone());
            Ok(true.into())
        }
        "deletewebhook" => {
            shared.with(|state| state.webhook_set = false);
            Ok(true.into())
        }
        _ => Err((404, "Not Found: method not found".into(), None)),
    }
}

async fn get_updates(shared: &Shared, params: &Value) -> Result<Value, Refusal> {
    let offset = integer(&params["offset"]);
    let limit = integer(&params["limit"]).unwrap_or(100).clamp(1, 100) as usize;
    let timeout = Duration::from_secs(integer(&params["timeout"]).unwrap_or(0).clamp(0, 50) as u64);
    let allowed = params["allowed_updates"].as_array().cloned().unwrap_or_default();
    let mut changed = shared.changed.subscribe();
    let (generation, ended) = shared.with(|state| {
        state.offsets.push(offset);
        state.poll_generation += 1;
        if let Some(offset) = offset {
            state.updates.retain(|update| update["update_id"].as_i64() >= Some(offset));
        }
        if !allowed.is_empty() {
            let wanted =
                |update: &Value| allowed.iter().any(|kind| update.get(kind.as_str().unwrap_or_default()).is_some());
            state.updates.retain(wanted);
        }
        (state.poll_generation, state.polls_ended)
    });
    let arrived = async {
        loop {
            {
                let state = shared.state.lock().expect("not poisoned");
                if state.webhook_set {
                    return Err((409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first".to_owned(), None));
                }
                if state.poll_generation != generation {
                    return Err((409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running".to_owned(), None));
                }
                if state.polls_ended != ended {
                    return Ok(json!([]));
                }
                if !state.updates.is_empty() {
                    return Ok(Value::Array(state.updates.iter().take(limit).cloned().collect()));
                }
            }
            changed.changed().await.expect("the server outlives its polls");
        }
    };
    tokio::time::timeout(timeout, arrived).await.unwrap_or_else(|_| Ok(json!([])))
}

fn send_message(shared: &Shared, params: &Value) -> Result<Value, Refusal> {
    let chat = integer(&params["chat_id"]).ok_or_else(|| bad("chat_id is empty"))?;
    let raw = params["text"].as_str().unwrap_or_default().to_owned();
    let (visible, links, html) = parse(params, &raw)?;
    if visible.trim().is_empty() {
        return Err(bad("message text is empty"));
    }
    if visible.encode_utf16().count() > 4096 {
        return Err(bad("message is too long"));
    }
    keep(shared, chat, params, visible, links, raw, html, None)
}

fn send_document(shared: &Shared, params: &Value) -> Result<Value, Refusal> {
    let chat = integer(&params["chat_id"]).ok_or_else(|| bad("chat_id is empty"))?;
    let caption = params["caption"].as_str().unwrap_or_default().to_owned();
    let (visible, links, html) = parse(params, &caption)?;
    if visible.encode_utf16().count() > 1024 {
        return Err(bad("message caption is too long"));
    }
    let document = params["document"].as_str().ok_or_else(|| bad("there is no document in the request"))?;
    // The file itself is in a part of its own.
    let part = document.strip_prefix("attach://").map_or(Some(document), |name| params[name].as_str());
    let bytes = part.ok_or_else(|| bad("the attached file is missing"))?.as_bytes().to_vec();
    keep(shared, chat, params, visible, links, caption, html, Some(bytes))
}

fn edit_message_text(shared: &Shared, params: &Value) -> Result<Value, Refusal> {
    let chat = integer(&params["chat_id"]).ok_or_else(|| bad("chat_id is empty"))?;
    let id = integer(&params["message_id"]).ok_or_else(|| bad("message identifier is not specified"))?;
    let raw = params["text"].as_str().unwrap_or_default().to_owned();
    let (visible, links, html) = parse(params, &raw)?;
    if visible.encode_utf16().count() > 4096 {
        return Err(bad("MESSAGE_TOO_LONG"));
    }
    let buttons = buttons(params)?;
    shared.with(|state| {
        let messages = &mut state.chats.entry(chat).or_default().messages;
        let message = messages.iter_mut().find(|m| m.id == id).ok_or_else(|| bad("message to edit not found"))?;
        if message.text == visible && message.links == links && message.buttons == buttons {
            return Err(bad(
                "message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message",
            ));
        }
        (message.text, message.links, message.raw, message.html) = (visible, links, raw, html);
        message.buttons = buttons;
        message.preview |= previews(params);
        message.edits += 1;
        Ok(message_json(chat, message))
    })
}

#[allow(clippy::too_many_arguments)]
fn keep(
    shared: &Shared,
    chat_id: i64,
    params: &Value,
    visible: String,
    links: Vec<String>,
    raw: String,
    html: bool,
    document: Option<Vec<u8>>,
) -> Result<Value, Refusal> {
    let now = shared.clock.now();
    let buttons = buttons(params)?;
    shared.with(|state| {
        state.next_message += 1;
        let id = state.next_message;
        let enforce = state.enforce_rates;
        let chat = state.chats.entry(chat_id).or_default();
        if chat.unknown {
            return Err(bad("chat not found"));
        }
        if chat.blocked {
            return Err((403, "Forbidden: bot was blocked by the user".into(), None));
        }
        let early = chat.last_at.is_some_and(|last| now < last + Duration::from_secs(1));
        if enforce && early {
            return Err((429, "Too Many Requests: retry after 1".into(), Some(1)));
        }
        chat.last_at = Some(now);
        let message = SeenMessage {
            id,
            text: visible,
            links,
            raw,
            html,
            thread: integer(&params["message_thread_id"]),
            reply_to: integer(&params["reply_parameters"]["message_id"]),
            at: now,
            document,
            buttons,
            edits: 0,
            preview: previews(params),
        };
        let shown = message_json(chat_id, &message);
        chat.messages.push(message);
        Ok(shown)
    })
}

/// A file's caption never has one.
fn previews(params: &Value) -> bool {
    params.get("document").is_none() && params["link_preview_options"]["is_disabled"] != json!(true)
}

/// The inline keyboard of a call, within Telegram's limits.
fn buttons(params: &Value) -> Result<Vec<Vec<SeenButton>>, Refusal> {
    let rows = params["reply_markup"]["inline_keyboard"].as_array().cloned().unwrap_or_default();
    let button = |button: &Value| {
        let text = |key: &str| button[key].as_str().unwrap_or_default().to_owned();
        let (label, data) = (text("text"), text("callback_data"));
        match label.is_empty() || data.is_empty() || data.len() > 64 {
            true => Err(bad("BUTTON_DATA_INVALID")),
            false => Ok(SeenButton { label, data }),
        }
    };
    rows.iter().map(|row| row.as_array().into_iter().flatten().map(button).collect()).collect()
}

pub(super) fn chat_json(chat: i64) -> Value {
    if chat < 0 {
        json!({"id": chat, "type": "supergroup", "title": "A group"})
    } else {
        json!({"id": chat, "type": "private", "first_name": "User", "username": format!("user{chat}")})
    }
}

fn message_json(chat: i64, message: &SeenMessage) -> Value {
    json!({
        "message_id": message.id, "date": message.at.as_second(), "chat": chat_json(chat), "text": message.text,
        "from": {"id": BOT_ID, "is_bot": true, "first_name": "hookhand", "username": BOT_NAME},
    })
}
