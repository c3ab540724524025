//! What a person wrote to the bot: which updates are words for us, and who said them.
//!
//! Pure. It decides nothing about rights; it only makes sure that a name, a forward or an anonymous post cannot pass for a
//! person's numeric id.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use teloxide::types::{Message, MessageKind, Update, UpdateKind};

use crate::channel::commands;
use crate::domain::card::BUTTON_DATA_BYTES_MAX;
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

/// Something for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// Words.
    Said(Said),
    /// A button of ours was pressed.
    Tapped(Tap),
}

/// A tap on a button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tap {
    /// Its id, to answer it.
    pub(super) id: String,
    /// Who, as Telegram vouches for.
    pub(super) user: u64,
    /// Where the card is; `None` when it is too old to be known.
    pub(super) chat: Option<ChatKey>,
    /// The card.
    pub(super) message_id: Option<i64>,
    /// What the button carries.
    pub(super) data: String,
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
    /// The message of ours that it answers.
    pub(super) answers: Option<i64>,
}

impl Said {
    /// Whether it was something without words, sent to us alone.
    pub(super) fn is_wordless(&self) -> bool {
        self.text.is_empty() && self.chat.as_telegram().is_some_and(|(id, _)| id > 0)
    }
}

/// What one update has for us.
pub(super) fn read(update: &str, me: &Me, now: Timestamp) -> Option<Heard> {
    tapped(update).map(Heard::Tapped).or_else(|| said(update, me, now).map(Heard::Said))
}

/// A tap. It is read with types of our own, for a card that is too old comes without most of its fields.
fn tapped(update: &str) -> Option<Tap> {
    #[derive(Deserialize)]
    struct Outer {
        callback_query: Query,
    }
    #[derive(Deserialize)]
    struct Query {
        id: String,
        from: From,
        message: Option<Card>,
        data: Option<String>,
    }
    #[derive(Deserialize)]
    struct From {
        id: u64,
    }
    #[derive(Deserialize)]
    struct Card {
        message_id: i64,
        chat: Chat,
        message_thread_id: Option<i32>,
        #[serde(default)]
        is_topic_message: bool,
    }
    #[derive(Deserialize)]
    struct Chat {
        id: i64,
    }
    let Outer { callback_query: Query { id, from, message, data } } = serde_json::from_str(update).ok()?;
    let place = |card: &Card| ChatKey::telegram(card.chat.id, card.message_thread_id.filter(|_| card.is_topic_message));
    Some(Tap {
        id,
        user: from.id,
        chat: message.as_ref().map(place),
        message_id: message.map(|card| card.message_id),
        data: clip_chars(&data.unwrap_or_default(), BUTTON_DATA_BYTES_MAX),
    })
}

/// The words in one update, when they are for us.
fn said(update: &str, me: &Me, now: Timestamp) -> Option<Said> {
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
    let answers = answered(&message, me);
    let thread = message.thread_id.filter(|_| message.is_topic_message).map(|thread| thread.0.0);
    Some(Said {
        chat: ChatKey::telegram(message.chat.id.0, thread),
        message_id: i64::from(message.id.0),
        user: (!anonymous).then_some(from.id.0),
        addressed,
        text: clip_chars(text.trim(), TEXT_CHARS_MAX),
        answers,
    })
}

/// The message of ours that `message` answers. What is forwarded answers nothing: the words are somebody else's.
fn answered(message: &Message, me: &Me) -> Option<i64> {
    if message.forward_origin().is_some() {
        return None;
    }
    let replied = message.reply_to_message()?;
    replied.from.as_ref().filter(|author| author.id.0 == me.id).map(|_| i64::from(replied.id.0))
}

/// The text without our name, and whether it was said to us in particular.
fn words_for_us(message: &Message, me: &Me) -> Option<(String, bool)> {
    let private = message.chat.is_private();
    let Some(text) = message.text().or(message.caption()) else {
        // A photo, a voice: silence would read as if nobody were there.
        let is_content = matches!(message.kind, MessageKind::Common(_));
        return (is_content && private).then(|| (String::new(), true));
    };
    let text = text.trim();
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
    if answered(message, me).is_some() {
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

    fn words(update: &str, now: Timestamp) -> Option<Said> {
        match read(update, &me(), now)? {
            Heard::Said(said) => Some(said),
            Heard::Tapped(tap) => panic!("{tap:?}"),
        }
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
        words(&update, Timestamp::from_second(1_700_000_100).expect("in range"))
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
    fn a_tap_is_who_pressed_what_where_even_on_a_card_that_is_too_old() {
        let tap = |message: serde_json::Value| {
            let from = json!({"id": 7, "is_bot": false, "first_name": "Ann"});
            let query = json!({"id": "cb1", "from": from, "data": "abc", "chat_instance": "1", "message": message});
            match read(&json!({"update_id": 1, "callback_query": query}).to_string(), &me(), Timestamp::UNIX_EPOCH) {
                Some(Heard::Tapped(tap)) => tap,
                other => panic!("{other:?}"),
            }
        };
        let old = tap(json!({"message_id": 5, "date": 0, "chat": group()}));
        assert_eq!((old.user, old.message_id, old.data.as_str()), (7, Some(5), "abc"));
        assert_eq!(old.chat, Some(ChatKey::telegram(-100, None)));
        assert_eq!(tap(json!(null)).chat, None);
    }

    #[test]
    fn an_answer_to_our_message_names_it() {
        let card = json!({"message_id": 4, "date": 1_700_000_000, "chat": group(), "text": "card",
            "from": {"id": 42, "is_bot": true, "first_name": "hook", "username": "hook_bot"}});
        let heard = said(group(), "yes", json!({"reply_to_message": card.clone()})).expect("for us");
        assert_eq!((heard.text.as_str(), heard.answers), ("yes", Some(4)));
        let origin = json!({"type": "hidden_user", "sender_user_name": "x", "date": 1_700_000_000});
        let forwarded = json!({"reply_to_message": card, "forward_origin": origin});
        assert_eq!(said(group(), "yes", forwarded.clone()), None);
        assert_eq!(said(private(), "yes", forwarded).map(|said| said.answers), Some(None));
    }

    #[test]
    fn a_picture_has_the_words_beneath_it_or_none() {
        let picture = |chat: serde_json::Value, extra: serde_json::Value| {
            let mut message = json!({
                "message_id": 5, "date": 1_700_000_000, "chat": chat,
                "from": {"id": 7, "is_bot": false, "first_name": "Ann"},
                "photo": [{"file_id": "a", "file_unique_id": "b", "width": 1, "height": 1}],
            });
            for (key, value) in extra.as_object().expect("an object") {
                message[key] = value.clone();
            }
            words(
                &json!({"update_id": 1, "message": message}).to_string(),
                Timestamp::from_second(1_700_000_100).expect("ok"),
            )
        };
        let captioned = picture(private(), json!({"caption": "what is this?"})).expect("for us");
        assert_eq!((captioned.text.as_str(), captioned.is_wordless()), ("what is this?", false));
        assert!(picture(private(), json!({})).expect("for us").is_wordless());
        assert_eq!(picture(group(), json!({})), None);
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
