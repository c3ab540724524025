//! What a person sees of a chat with the bot, and the ways in which a call can fail.

use jiff::Timestamp;

/// The token of the fake's only bot.
pub const TOKEN: &str = "424242:AAHfakeFakeFAKEfakeFakeFAKEfakeFake-_1";
/// The bot's numeric id.
pub const BOT_ID: i64 = 424_242;
/// The bot's name after the `@`.
pub const BOT_NAME: &str = "hookhand_test_bot";

/// A way in which one call fails. Each is used up by one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// 429 with `retry_after` in seconds.
    RetryAfter(u64),
    /// The call is done; the connection closes without an answer.
    DropAfterAccept,
    /// The connection closes without an answer and nothing is done.
    DropBefore,
    /// A 5xx with a gateway's page; nothing is done.
    ServerError(u16),
    /// The call is done; 200 with `{"ok":true,"result":{"message_id":…` that breaks off.
    TornAnswer,
    /// Nothing is done; 200 with a web page (a captive portal).
    WebPage,
    /// A refusal in Telegram's words.
    Refuse(u16, &'static str),
    /// The group has become a supergroup with this id.
    Migrated(i64),
}

/// A message in a chat, as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMessage {
    /// Telegram's number of the message within the chat.
    pub id: i64,
    /// Visible text, entities parsed.
    pub text: String,
    /// Targets of links that have one.
    pub links: Vec<String>,
    /// The text as it was sent.
    pub raw: String,
    /// Whether it was sent as HTML.
    pub html: bool,
    /// The topic of a forum.
    pub thread: Option<i64>,
    /// The message that it answers.
    pub reply_to: Option<i64>,
    /// When it came.
    pub at: Timestamp,
    /// Bytes of the document, when it is one.
    pub document: Option<Vec<u8>>,
    /// Rows of buttons.
    pub buttons: Vec<Vec<SeenButton>>,
    /// How often it was changed.
    pub edits: usize,
    /// Whether Telegram would fetch and show what a link leads to.
    pub preview: bool,
}

impl SeenMessage {
    /// What the button whose label contains `label` carries, if there is one.
    pub fn find_button(&self, label: &str) -> Option<String> {
        let found = self.buttons.iter().flatten().find(|button| button.label.contains(label));
        found.map(|button| button.data.clone())
    }

    /// The same for a button that must be there.
    ///
    /// # Panics
    /// When it is not.
    pub fn button(&self, label: &str) -> String {
        self.find_button(label).unwrap_or_else(|| panic!("no button '{label}' on {self:#?}"))
    }
}

/// A button as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenButton {
    /// What is written on it.
    pub label: String,
    /// What it carries.
    pub data: String,
}

/// What the one who tapped reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapAnswer {
    /// The words.
    pub text: String,
    /// Whether they stand in a window that has to be closed.
    pub alert: bool,
}
