//! A question to approvers before any channel's markup: what would run, who may decide, and buttons.
//!
//! Its text is made from the action itself (`channel::cards`), never by a model. A channel may dress it and must not shorten it.

use super::notice::Severity;

/// A message with buttons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// What is asked, in one line.
    pub title: String,
    /// How much it asks for attention.
    pub severity: Severity,
    /// What stands beneath, in order.
    pub blocks: Vec<Block>,
    /// Rows of buttons; none once it is decided.
    pub buttons: Vec<Vec<Button>>,
}

/// A part of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A line for reading.
    Text(String),
    /// Lines in which every character counts.
    Code(String),
}

/// A button.
#[derive(Clone, PartialEq, Eq)]
pub struct Button {
    /// What is written on it.
    pub label: &'static str,
    /// What comes back when it is pressed: an opaque nonce, at most [`BUTTON_DATA_BYTES_MAX`].
    pub data: String,
}

/// Telegram's limit for what a button carries. <https://core.telegram.org/bots/api#inlinekeyboardbutton>
pub const BUTTON_DATA_BYTES_MAX: usize = 64;

impl std::fmt::Debug for Button {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whoever has the nonce can press the button.
        write!(f, "Button({})", self.label)
    }
}

impl Card {
    /// The card as plain text, without its buttons: for files and terminals.
    pub fn plain(&self) -> String {
        let mut text = self.title.clone();
        for block in &self.blocks {
            text.push('\n');
            match block {
                Block::Text(line) => text.push_str(line),
                Block::Code(lines) => text.push_str(lines),
            }
        }
        text
    }
}
