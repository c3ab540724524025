//! What a person wrote to the bot: which updates are words for us, and who said them.
//!
//! Pure. It decides nothing about rights; it only makes sure that a name, a forward or an anonymous post cannot pass for a
//! person's numeric id.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use teloxide::types::{Message, Update, UpdateKind};

use crate::channel::commands;
use crate::domain::notice::ChatKey;
use crate::domain::text::clip_chars;

/// Older messages are not answered: nobody waits for the answer any more.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest text that is looked at; Telegram's own limit.
const TEXT_CHARS_MAX: usize = 4096;

/// The bot itself, as `getMe` tells.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Me {
    /// Its numeric id.
    pub(super) id: u64,
    /// Its name after the `@`.
    pub(super) username: String,
}

/// Words for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// Where, and so where the answer goes.
    pub(super) chat: ChatKey,
    /// The message, to answer it.
    pub(super) message_id: i64,
    /// Who; `None` for an anonymous administrator or a channel.
    pub(super) user: Option<u64>,
    /// In a private chat, or with our name: somebody expects an answer.
    pub(super) addressed: bool,
    /// What: a command without the bot's name, or free text.
    pub(super) text: String,
}

/// The words in one update, when they are for us.
pub(super) fn read(update: &str, me: &Me, now: Timestamp) -> Option<Said> {
    // From text, not from a value: teloxide's type silently becomes an error otherwise.
    let update: Update = serde_json::from_str(update).ok()?;
    let UpdateKind::Message(message) = update.kind else { return None };
    let sent = Timestamp::from_second(message.date.timestamp()).ok()?;
    let from = message.from.as_ref()?;
    let anonymous = message.sender_chat.is_some();
    if sent < now - AGE_MAX || message.chat.is_channel() || (from.is_bot && !anonymous) {
        return None;
    }
    let (text, addressed) = words_for_us(&message, me)?;
    let thread = message.thread_id.filter(|_| message.is_topic_message).map(|thread| thread.0.0);
    Some(Said {
        chat: ChatKey::telegram(message.chat.id.0, thread),
        message_id: i64::from(message.id.0),
        user: (!anonymous).then_some(from.id.0),
        addressed,
        text: clip_chars(text.trim(), TEXT_CHARS_MAX),
    })
}

/// The text without our name, and whether it was said to us in particular.
fn words_for_us(message: &Message, me: &Me) -> Option<(String, bool)> {
    let text = message.text()?.trim();
    let private = message.chat.is_private();
    // A forwarded command is somebody else's.
    if text.starts_with('/') && message.forward_origin().is_none() {
        let (command, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
        return match command.split_once('@') {
            Some((command, name)) if name.eq_ignore_ascii_case(&me.username) => {
                Some((format!("{command}{rest}"), true))
            }
            Some(_) => None,
            None if private => Some((text.to_owned(), true)),
            // In a group a bare command may be for any bot; ours is only what we know.
            None => commands::is_known(command).then(|| (text.to_owned(), false)),
        };
    }
    if private {
        return Some((text.to_owned(), true));
    }
    let answers_us =
        message.reply_to_message().and_then(|replied| replied.from.as_ref()).is_some_and(|author| author.id.0 == me.id);
    if answers_us {
        return Some((text.to_owned(), true));
    }
    let mention = format!("@{}", me.username);
    let mentioned = text
        .split_whitespace()
        .any(|word| word.trim_end_matches([',', ':', '.', '?', '!']).eq_ignore_ascii_case(&mention));
    let rest = text
        .split_whitespace()
        .filter(|word| !word.trim_end_matches([',', ':', '.', '?', '!']).eq_ignore_ascii_case(&mention))
        .collect::<Vec<_>>()
        .join(" ");
    mentioned.then_some((rest, true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn me() -> Me {
        Me { id: 42, username: "hook_bot".into() }
    }

    fn said(chat: serde_json::Value, text: &str, extra: serde_json::Value) -> Option<Said> {
        let mut message = json!({
            "message_id": 5, "date": 1_700_000_000, "chat": chat, "text": text,
            "from": {"id": 7, "is_bot": false, "first_name": "Ann", "username": "ann"},
        });
        for (key, value) in extra.as_object().expect("an object") {
            message[key] = value.clone();
        }
        let update = json!({"update_id": 1, "message": message}).to_string();
        read(&update, &me(), Timestamp::from_second(1_700_000_100).expect("in range"))
    }

    fn private() -> serde_json::Value {
        json!({"id": 7, "type": "private", "first_name": "Ann"})
    }

    fn group() -> serde_json::Value {
        json!({"id": -100, "type": "supergroup", "title": "Ops"})
    }

    #[test]
    fn in_private_everything_is_for_us() {
        let heard = said(private(), " /events 3 ", json!({})).expect("for us");
        assert_eq!((heard.text.as_str(), heard.user, heard.addressed), ("/events 3", Some(7), true));
        assert_eq!(heard.chat, ChatKey::telegram(7, None));
        assert!(said(private(), "hello", json!({})).is_some());
        assert_eq!(said(private(), "/status@other_bot", json!({})), None);
    }

    #[test]
    fn in_a_group_only_what_names_us_or_what_we_know() {
        assert_eq!(said(group(), "hello all", json!({})), None);
        assert_eq!(said(group(), "/roll", json!({})), None);
        assert_eq!(said(group(), "/status@other_bot", json!({})), None);
        assert_eq!(
            said(group(), "/roll@Hook_Bot x", json!({})).map(|s| (s.text, s.addressed)),
            Some(("/roll x".into(), true))
        );
        assert_eq!(said(group(), "/status", json!({})).map(|s| s.addressed), Some(false));
        assert_eq!(said(group(), "@hook_bot, what broke?", json!({})).map(|s| s.text), Some("what broke?".into()));
        let topic = said(group(), "/status", json!({"message_thread_id": 9, "is_topic_message": true}));
        assert_eq!(topic.map(|s| s.chat), Some(ChatKey::telegram(-100, Some(9))));
    }

    #[test]
    fn a_forward_an_old_message_a_bot_and_an_unknown_update_say_nothing_to_us() {
        let origin = json!({"type": "hidden_user", "sender_user_name": "x", "date": 1_700_000_000});
        assert_eq!(said(group(), "/status", json!({"forward_origin": origin})), None);
        assert_eq!(said(private(), "/status", json!({"date": 1_600_000_000})), None);
        let bot = json!({"from": {"id": 8, "is_bot": true, "first_name": "B"}});
        assert_eq!(said(private(), "/status", bot), None);
        assert_eq!(read(r#"{"update_id":3,"a_kind_of_tomorrow":{"x":1}}"#, &me(), Timestamp::UNIX_EPOCH), None);
        assert_eq!(read("not json", &me(), Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn an_anonymous_administrator_has_no_id() {
        let extra = json!({
            "sender_chat": {"id": -100, "type": "supergroup", "title": "Ops"},
            "from": {"id": 1_087_968_824, "is_bot": true, "first_name": "Group", "username": "GroupAnonymousBot"},
        });
        assert_eq!(said(group(), "/status", extra).map(|s| s.user), Some(None));
    }
}
