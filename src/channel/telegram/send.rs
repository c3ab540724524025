//! One message to one Telegram chat: the attempts that a refusal suggests, and the outcome as the outbox wants it.

use std::time::Duration;

use serde::Deserialize;
use teloxide::payloads::{SendMessage, SendMessageSetters as _};
use teloxide::types::{
    ChatId, InlineKeyboardMarkup, LinkPreviewOptions, MessageId, ParseMode, ReplyParameters, ThreadId,
};

use super::TelegramChannel;
use super::api::{ApiError, CALL_TIMEOUT, Reply};
use super::render::Rendered;
use crate::domain::notice::ChatKey;
use crate::ports::SendOutcome;

/// Sends that one notice may take: dressed, plain, without its topic, to where the chat has moved.
const VARIANTS_MAX: usize = 4;
/// The pause when a 429 names none.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(5);
/// The longest pause that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How the message is sent this time.
#[derive(Debug, Clone, Copy)]
struct Variant {
    chat: i64,
    thread: Option<i32>,
    html: bool,
}

impl TelegramChannel {
    /// Sends `text` and says what became of it.
    pub(super) async fn deliver(
        &self,
        key: &ChatKey,
        text: &Rendered,
        reply_to: Option<i64>,
        keyboard: Option<&InlineKeyboardMarkup>,
    ) -> SendOutcome {
        let Some((chat, thread)) = key.as_telegram() else {
            return SendOutcome::Refused { error: format!("'{key}' is no Telegram chat") };
        };
        let mut variant = Variant { chat: self.moved(chat), thread, html: true };
        for _ in 0..VARIANTS_MAX {
            let reply = self.api.call(&request(variant, text, reply_to, keyboard), CALL_TIMEOUT).await;
            self.heard(&reply);
            let error = match reply {
                Reply::Done(result) => return SendOutcome::Sent { message_id: message_id(result.get()) },
                Reply::DoneUnread(body) => return SendOutcome::Sent { message_id: message_id_in(&body) },
                Reply::NotSent(error) => return SendOutcome::NotSent { error },
                Reply::Unanswered(error) => return SendOutcome::Unanswered { error },
                Reply::Said(error) => error,
            };
            match self.another(variant, &error) {
                Some(next) => variant = next,
                None => return refused(&error),
            }
        }
        SendOutcome::Refused { error: "every way of sending it was refused".into() }
    }

    /// The variant that has a chance after this refusal.
    fn another(&self, tried: Variant, error: &ApiError) -> Option<Variant> {
        if let Some(chat) = error.parameters.migrate_to_chat_id {
            self.moves(tried.chat, chat);
            // Topics belong to the old group.
            return Some(Variant { chat, ..tried });
        }
        let said = error.description.to_ascii_lowercase();
        if error.error_code != 400 {
            return None;
        }
        if tried.html && (said.contains("can't parse entities") || said.contains("too long")) {
            tracing::warn!(chat = tried.chat, error = %error, "Telegram refuses the markup; the notice goes as plain text");
            return Some(Variant { html: false, ..tried });
        }
        if tried.thread.is_some() && said.contains("thread not found") {
            tracing::warn!(
                chat = tried.chat,
                thread = tried.thread,
                "the topic is gone; the notice goes to the chat itself"
            );
            return Some(Variant { thread: None, ..tried });
        }
        None
    }
}

/// Links in our messages show no preview.
pub(super) fn no_preview() -> LinkPreviewOptions {
    LinkPreviewOptions {
        is_disabled: true,
        url: None,
        prefer_small_media: false,
        prefer_large_media: false,
        show_above_text: false,
    }
}

fn request(
    variant: Variant,
    text: &Rendered,
    reply_to: Option<i64>,
    keyboard: Option<&InlineKeyboardMarkup>,
) -> SendMessage {
    let body = if variant.html { &text.html } else { &text.plain };
    let mut request = SendMessage::new(ChatId(variant.chat), body).link_preview_options(no_preview());
    if variant.html {
        request = request.parse_mode(ParseMode::Html);
    }
    if let Some(keyboard) = keyboard {
        request = request.reply_markup(keyboard.clone());
    }
    if let Some(thread) = variant.thread {
        request = request.message_thread_id(ThreadId(MessageId(thread)));
    }
    if let Some(id) = reply_to.and_then(|id| i32::try_from(id).ok()) {
        request = request.reply_parameters(ReplyParameters::new(MessageId(id)).allow_sending_without_reply());
    }
    request
}

/// The outcome of a refusal that no variant mends.
pub(super) fn refused(error: &ApiError) -> SendOutcome {
    match error.error_code {
        429 => {
            let wait = error.parameters.retry_after.map_or(RETRY_AFTER_DEFAULT, Duration::from_secs);
            SendOutcome::RetryAfter { wait: wait.min(RETRY_AFTER_MAX) }
        }
        // A wrong token is the operator's to mend; the notices wait for that.
        401 | 404 => SendOutcome::NotSent { error: format!("Telegram refuses the bot's token ({error})") },
        // Blocked, kicked, not found, no rights, or a request that will be as wrong the next time.
        _ => SendOutcome::Refused { error: error.to_string() },
    }
}

pub(super) fn message_id(result: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Sent {
        message_id: i64,
    }
    serde_json::from_str::<Sent>(result).ok().map(|sent| sent.message_id).or_else(|| message_id_in(result))
}

/// The first `"message_id": 123` in a text that is no longer JSON.
pub(super) fn message_id_in(text: &str) -> Option<i64> {
    let after = text.split_once("\"message_id\"")?.1.trim_start().strip_prefix(':')?.trim_start();
    let digits = after.find(|c: char| !c.is_ascii_digit()).map_or("", |end| &after[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_an_answer_that_broke_off() {
        assert_eq!(message_id_in(r#"{"ok":true,"result":{"message_id": 77,"chat":{"id"#), Some(77));
        assert_eq!(message_id_in(r#"{"ok":true,"result":{"message_id":7"#), None, "the number itself may be cut");
        assert_eq!(message_id_in(r#"{"ok":true,"#), None);
    }

    #[test]
    fn refusals_are_told_apart() {
        let said = |error_code, description: &str| ApiError {
            error_code,
            description: description.into(),
            parameters: super::super::api::Parameters::default(),
        };
        assert!(matches!(refused(&said(403, "Forbidden: bot was blocked by the user")), SendOutcome::Refused { .. }));
        assert!(matches!(refused(&said(400, "Bad Request: chat not found")), SendOutcome::Refused { .. }));
        assert!(matches!(refused(&said(401, "Unauthorized")), SendOutcome::NotSent { .. }));
        assert_eq!(refused(&said(429, "Too Many Requests")), SendOutcome::RetryAfter { wait: RETRY_AFTER_DEFAULT });
    }
}
