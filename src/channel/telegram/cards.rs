//! Cards in Telegram: messages with buttons that are changed later, and files for what no message holds.

use teloxide::payloads::{
    AnswerCallbackQuery, AnswerCallbackQuerySetters as _, EditMessageText, EditMessageTextSetters as _,
};
use teloxide::types::{
    CallbackQueryId, ChatId, InlineKeyboardButton, InlineKeyboardButtonKind, InlineKeyboardMarkup, MessageId, ParseMode,
};

use super::TelegramChannel;
use super::api::{ApiError, CALL_TIMEOUT, Reply};
use super::render::{self, Rendered};
use super::send::{message_id, message_id_in, no_preview, refused};
use crate::domain::card::{Button, Card};
use crate::domain::notice::ChatKey;
use crate::domain::text::{clip_chars, clip_utf16, html_escape, one_line};
use crate::ports::{Document, SendOutcome};

/// Longest answer to a tap. <https://core.telegram.org/bots/api#answercallbackquery>
const TAP_ANSWER_CHARS_MAX: usize = 200;
/// Longest caption of a file.
const CAPTION_UNITS_MAX: usize = 1024;

impl TelegramChannel {
    /// Sends a card.
    pub(super) async fn deliver_card(&self, chat: &ChatKey, card: &Card) -> SendOutcome {
        let keyboard = keyboard(&card.buttons);
        self.deliver(chat, &render::card(card), None, keyboard.as_ref()).await
    }

    /// Changes a message that is a card.
    pub(super) async fn change_card(&self, chat: &ChatKey, message: i64, card: &Card) -> SendOutcome {
        self.change(chat, message, &render::card(card), keyboard(&card.buttons).as_ref()).await
    }

    /// Makes a message show `text`, with these buttons or none.
    pub(super) async fn change(
        &self,
        chat: &ChatKey,
        message: i64,
        text: &Rendered,
        keyboard: Option<&InlineKeyboardMarkup>,
    ) -> SendOutcome {
        let (Some((id, _)), Ok(message)) = (chat.as_telegram(), i32::try_from(message)) else {
            return SendOutcome::Refused { error: format!("'{chat}' is no Telegram chat, or {message} no message") };
        };
        for html in [true, false] {
            let request = edit(self.moved(id), message, text, html, keyboard);
            let reply = self.api.call(&request, CALL_TIMEOUT).await;
            self.heard(&reply);
            match reply {
                Reply::Done(_) | Reply::DoneUnread(_) => return SendOutcome::Sent { message_id: Some(message.into()) },
                Reply::NotSent(error) => return SendOutcome::NotSent { error },
                Reply::Unanswered(error) => return SendOutcome::Unanswered { error },
                Reply::Said(error) if says(&error, "message is not modified") => {
                    return SendOutcome::Sent { message_id: Some(message.into()) };
                }
                Reply::Said(error) if html && says(&error, "can't parse entities") => {}
                Reply::Said(error) => return refused(&error),
            }
        }
        SendOutcome::Refused { error: "every way of changing it was refused".into() }
    }

    /// Sends a file.
    pub(super) async fn deliver_document(&self, chat: &ChatKey, document: &Document) -> SendOutcome {
        let Some((id, mut thread)) = chat.as_telegram() else {
            return SendOutcome::Refused { error: format!("'{chat}' is no Telegram chat") };
        };
        let caption = html_escape(&clip_utf16(&one_line(&document.caption), CAPTION_UNITS_MAX / 2));
        loop {
            let file = reqwest::multipart::Part::text(document.text.clone()).file_name(document.name.clone());
            let file = match file.mime_str("text/plain") {
                Ok(file) => file,
                Err(error) => return SendOutcome::Refused { error: error.without_url().to_string() },
            };
            let mut form = reqwest::multipart::Form::new()
                .text("chat_id", self.moved(id).to_string())
                .text("caption", caption.clone())
                .text("parse_mode", "HTML");
            if let Some(thread) = thread {
                form = form.text("message_thread_id", thread.to_string());
            }
            let reply = self.api.upload("SendDocument", form.part("document", file), CALL_TIMEOUT).await;
            self.heard(&reply);
            return match reply {
                Reply::Done(result) => SendOutcome::Sent { message_id: message_id(result.get()) },
                Reply::DoneUnread(body) => SendOutcome::Sent { message_id: message_id_in(&body) },
                Reply::NotSent(error) => SendOutcome::NotSent { error },
                Reply::Unanswered(error) => SendOutcome::Unanswered { error },
                Reply::Said(error) if thread.is_some() && says(&error, "thread not found") => {
                    thread = None;
                    continue;
                }
                Reply::Said(error) => refused(&error),
            };
        }
    }

    /// Answers a tap, for the one who tapped only. A tap that Telegram has forgotten needs no answer any more.
    pub(super) async fn answer_tap(&self, tap: &str, text: &str, alert: bool) {
        let request = AnswerCallbackQuery::new(CallbackQueryId(tap.to_owned()))
            .text(clip_chars(text, TAP_ANSWER_CHARS_MAX))
            .show_alert(alert);
        let reply = self.api.call(&request, CALL_TIMEOUT).await;
        self.heard(&reply);
        match reply {
            Reply::Done(_) | Reply::DoneUnread(_) => {}
            Reply::Said(error) => tracing::debug!(%error, "a tap could not be answered"),
            Reply::NotSent(error) | Reply::Unanswered(error) => tracing::debug!(error, "a tap could not be answered"),
        }
    }
}

fn says(error: &ApiError, what: &str) -> bool {
    error.error_code == 400 && error.description.to_ascii_lowercase().contains(what)
}

fn keyboard(buttons: &[Vec<Button>]) -> Option<InlineKeyboardMarkup> {
    let button = |button: &Button| {
        InlineKeyboardButton::new(button.label, InlineKeyboardButtonKind::CallbackData(button.data.clone()))
    };
    let rows: Vec<Vec<InlineKeyboardButton>> = buttons.iter().map(|row| row.iter().map(button).collect()).collect();
    (!rows.is_empty()).then(|| InlineKeyboardMarkup::new(rows))
}

/// Without a keyboard the message loses the one it had.
fn edit(
    chat: i64,
    message: i32,
    text: &Rendered,
    html: bool,
    keyboard: Option<&InlineKeyboardMarkup>,
) -> EditMessageText {
    let body = if html { &text.html } else { &text.plain };
    let mut request = EditMessageText::new(ChatId(chat), MessageId(message), body).link_preview_options(no_preview());
    if html {
        request = request.parse_mode(ParseMode::Html);
    }
    if let Some(keyboard) = keyboard {
        request = request.reply_markup(keyboard.clone());
    }
    request
}
