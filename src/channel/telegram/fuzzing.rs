//! Doors for fuzzing to what is pure here: an update on its way in, a message on its way out. Nobody else uses them.

use jiff::Timestamp;

use super::inbound::{Heard, Me, read};
use super::render;
use crate::domain::notice::{ChatKey, Message};

/// The numeric id of the bot that [`heard`] reads updates for.
pub const BOT_ID: u64 = 42;
/// Its name.
pub const BOT_NAME: &str = "hook_bot";

/// What an update has for the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Who, as Telegram vouches for.
    pub user: Option<u64>,
    /// Where.
    pub chat: Option<ChatKey>,
    /// The text, or what a button carries.
    pub text: String,
    /// A button was pressed.
    pub tap: bool,
}

/// Reads one update as the poller does.
pub fn heard(update: &str, now: Timestamp) -> Option<Words> {
    let me = Me { id: BOT_ID, username: BOT_NAME.to_owned() };
    Some(match read(update, &me, now)? {
        Heard::Said(said) => Words { user: said.user, chat: Some(said.chat), text: said.text, tap: false },
        Heard::Tapped(tap) => Words { user: Some(tap.user), chat: tap.chat, text: tap.data, tap: true },
    })
}

/// A message as Telegram gets it: as HTML and as plain text.
pub fn rendered(message: &Message) -> (String, String) {
    let rendered = render::message(message);
    (rendered.html, rendered.plain)
}
