//! Telegram as a channel.
//!
//! [`TelegramChannel`] sends, [`Poller`] fetches what people write. The only place that knows the Bot API; nothing outside
//! sees its types, and the token leaves this folder in request URLs alone.

mod api;
mod cards;
mod check;
#[doc(hidden)]
pub mod fuzzing;
mod inbound;
mod poll;
mod render;
mod send;
mod speech;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use teloxide::payloads::GetMe;

pub use api::TelegramError;
pub use check::{Bot, CheckError, FirstMessage, Heard, TelegramCheck};
pub use poll::Poller;

use self::api::{Api, CALL_TIMEOUT, Reply};
use crate::config::Secret;
use crate::domain::card::Card;
use crate::domain::notice::{ChatKey, Message};
use crate::domain::speech::Speech;
use crate::ports::{Channel, Clock, DigestLine, Document, Pacing, SendOutcome, Summarized};

/// Telegram takes about one message a second in a chat; more is answered 429 sooner or later.
/// <https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this>
const PRIVATE_INTERVAL: Duration = Duration::from_secs(1);
/// Twenty a minute in a group.
const GROUP_INTERVAL: Duration = Duration::from_secs(3);
/// Thirty a second for the whole bot; 25 leaves room for answers to taps.
const CHANNEL_INTERVAL: Duration = Duration::from_millis(40);
/// Notices of events that go alone in a window.
const DIGEST_AFTER: usize = 5;
/// The window.
const DIGEST_WINDOW: Duration = Duration::from_secs(10);
/// A token that is refused is told again after this long.
const BAD_TOKEN_EVERY: Duration = Duration::from_secs(60 * 60);
/// Most moved groups that are remembered.
const MOVED_MAX: usize = 1000;

/// Sends to Telegram chats.
#[derive(Debug)]
pub struct TelegramChannel {
    api: Api,
    clock: Arc<dyn Clock>,
    /// Groups that became supergroups, by old id.
    moved: Mutex<HashMap<i64, i64>>,
    /// When a refused token was last told.
    bad_token_at: Mutex<Option<Timestamp>>,
}

impl TelegramChannel {
    /// A channel for the bot of `token`, over the Bot API server at `api_url`. Opens no connection yet.
    pub fn new(token: &Secret, api_url: &str, clock: Arc<dyn Clock>) -> Result<Self, TelegramError> {
        let api = Api::new(token, api_url)?;
        Ok(Self { api, clock, moved: Mutex::default(), bad_token_at: Mutex::default() })
    }

    /// Where messages for `chat` go now.
    fn moved(&self, chat: i64) -> i64 {
        let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.get(&chat).copied().unwrap_or(chat)
    }

    fn moves(&self, from: i64, to: i64) {
        tracing::warn!(chat = from, now = to, "the group has a new id: change it in telegram.chats");
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        if moved.len() < MOVED_MAX {
            moved.insert(from, to);
        }
    }

    /// Tells the operator about a refused token, once in a while.
    fn heard(&self, reply: &Reply) {
        let mut told = self.bad_token_at.lock().unwrap_or_else(PoisonError::into_inner);
        match reply {
            Reply::Said(error) if matches!(error.error_code, 401 | 404) => {
                let now = self.clock.now();
                if told.is_none_or(|at| now >= at + BAD_TOKEN_EVERY) {
                    tracing::error!(
                        code = error.error_code,
                        "Telegram refuses the bot's token: check telegram.token; notices are kept until it works"
                    );
                    *told = Some(now);
                }
            }
            Reply::Done(_) => *told = None,
            Reply::Said(_) | Reply::DoneUnread(_) | Reply::NotSent(_) | Reply::Unanswered(_) => {}
        }
    }
}

#[async_trait]
impl Channel for TelegramChannel {
    fn name(&self) -> &'static str {
        "telegram"
    }

    fn pacing(&self, chat: &ChatKey) -> Pacing {
        // Groups and channels have negative ids.
        let group = chat.as_telegram().is_some_and(|(chat, _)| chat < 0);
        Pacing {
            chat_interval: if group { GROUP_INTERVAL } else { PRIVATE_INTERVAL },
            channel_interval: CHANNEL_INTERVAL,
            digest_after: Some(DIGEST_AFTER),
            digest_window: DIGEST_WINDOW,
            batch: 1,
        }
    }

    async fn send(&self, chat: &ChatKey, message: &Message, reply_to: Option<i64>) -> SendOutcome {
        self.deliver(chat, &render::message(message), reply_to, None).await
    }

    async fn send_digest(&self, chat: &ChatKey, title: &str, lines: &[DigestLine]) -> SendOutcome {
        self.deliver(chat, &render::digest(title, lines), None, None).await
    }

    fn digest_fits(&self, title: &str, lines: &[DigestLine]) -> usize {
        render::digest_fits(title, lines)
    }

    fn card_fits(&self, card: &Card) -> bool {
        render::card_fits(card)
    }

    async fn send_card(&self, chat: &ChatKey, card: &Card) -> SendOutcome {
        self.deliver_card(chat, card).await
    }

    async fn edit_card(&self, chat: &ChatKey, message_id: i64, card: &Card) -> SendOutcome {
        self.change_card(chat, message_id, card).await
    }

    fn speech_parts(&self, speech: &Speech) -> Vec<Speech> {
        speech::parts(speech)
    }

    async fn say(&self, chat: &ChatKey, part: &Speech, reply_to: Option<i64>) -> SendOutcome {
        self.deliver(chat, &speech::rendered(part), reply_to, None).await
    }

    async fn revise(&self, chat: &ChatKey, message_id: i64, part: &Speech) -> SendOutcome {
        self.change(chat, message_id, &speech::rendered(part), None).await
    }

    async fn typing(&self, chat: &ChatKey) {
        self.show_typing(chat).await;
    }

    async fn add_summary(&self, chat: &ChatKey, message_id: Option<i64>, summarized: &Summarized<'_>) -> SendOutcome {
        match (message_id, render::summarized(summarized)) {
            (Some(id), Some(text)) => self.change(chat, id, &text, None).await,
            (None, _) => SendOutcome::Refused { error: "the message's number is not known".into() },
            (_, None) => SendOutcome::Refused { error: "the message has no room for it".into() },
        }
    }

    async fn send_document(&self, chat: &ChatKey, document: &Document) -> SendOutcome {
        self.deliver_document(chat, document).await
    }

    async fn probe(&self) -> Result<(), String> {
        let reply = self.api.call(&GetMe::new(), CALL_TIMEOUT).await;
        self.heard(&reply);
        match reply {
            Reply::Done(_) => Ok(()),
            Reply::Said(error) => Err(error.to_string()),
            Reply::DoneUnread(_) => Err("the answer cannot be read".into()),
            Reply::NotSent(error) | Reply::Unanswered(error) => Err(error),
        }
    }
}
