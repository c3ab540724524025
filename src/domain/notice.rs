//! Notices: what is said to people, as plain text that each channel dresses in its own way.

use serde::{Deserialize, Serialize};

use super::event::words;

words! {
    /// How much a message asks for attention.
    Severity {
        /// Something happened.
        Info = "info",
        /// Something good happened.
        Good = "good",
        /// Somebody should look.
        Warning = "warning",
        /// Somebody should look now.
        Critical = "critical",
    }
}

words! {
    /// Why a notice exists; see [`NoticeKind::folds`].
    NoticeKind {
        /// An event came in.
        Event = "event",
        /// An answer to something that a person wrote.
        Reply = "reply",
        /// A polite refusal to somebody who may not command.
        Refusal = "refusal",
        /// The outcome of a run.
        Outcome = "outcome",
        /// Something about the agent itself, or what a step wrote in its own words.
        System = "system",
    }
}

impl NoticeKind {
    /// Whether many of them become a digest. Those fold of which a burst of events makes many, and that a line can tell.
    pub fn folds(self) -> bool {
        match self {
            Self::Event | Self::Outcome => true,
            Self::Reply | Self::Refusal | Self::System => false,
        }
    }
}

words! {
    /// How far a notice has come.
    NoticeState {
        /// Waiting, or being sent right now.
        Pending = "pending",
        /// The channel confirmed it.
        Sent = "sent",
        /// Confirmed, and changed afterwards.
        Edited = "edited",
        /// A send was not answered; it was sent again and may be there more than once.
        MaybeSent = "maybe_sent",
        /// A rule keeps it quiet: it is kept and not sent.
        Muted = "muted",
        /// The chat will never take it (the bot was blocked, the chat is gone).
        Failed = "failed",
    }
}

/// A message before any channel's markup. Every field is plain text; channels escape it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Message {
    /// What happened, in one line.
    pub title: String,
    /// The two or three facts beneath it, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// One link for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How much it asks for attention.
    pub severity: Severity,
}

impl Message {
    /// A message of one line.
    pub fn title(title: impl Into<String>) -> Self {
        Self { title: title.into(), lines: Vec::new(), url: None, severity: Severity::Info }
    }
}

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a provider's manifest makes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The message for people.
    pub message: Message,
    /// The thing this event is about (`acme/shop#42`, `in_1Pabc`), so that events of one thing can be told together.
    pub subject: Option<String>,
}

/// A chat that notices go to, as one text: `terminal`, `telegram:-100123`, `telegram:-100123/7` (chat and thread).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct ChatKey(String);

impl ChatKey {
    /// The person at the terminal.
    pub fn terminal() -> Self {
        Self("terminal".into())
    }

    /// The person who talks over the local API. No channel sends there: whoever asked fetches the answer.
    pub fn local() -> Self {
        Self("local".into())
    }

    /// A Telegram chat, and a thread (forum topic) in it.
    pub fn telegram(chat: i64, thread: Option<i32>) -> Self {
        match thread {
            Some(thread) => Self(format!("telegram:{chat}/{thread}")),
            None => Self(format!("telegram:{chat}")),
        }
    }

    /// Reads a key back from storage, where only keys made above are kept.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Chat id and thread, when this is a Telegram chat.
    pub fn as_telegram(&self) -> Option<(i64, Option<i32>)> {
        let rest = self.0.strip_prefix("telegram:")?;
        match rest.split_once('/') {
            Some((chat, thread)) => Some((chat.parse().ok()?, Some(thread.parse().ok()?))),
            None => Some((rest.parse().ok()?, None)),
        }
    }

    /// `terminal` or `telegram`.
    pub fn channel(&self) -> &str {
        self.0.split_once(':').map_or(self.0.as_str(), |(channel, _)| channel)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ChatKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_key_gives_back_what_it_was_made_of() {
        assert_eq!(ChatKey::telegram(-100, Some(7)).as_telegram(), Some((-100, Some(7))));
        assert_eq!(ChatKey::telegram(5, None).as_telegram(), Some((5, None)));
        assert_eq!(ChatKey::terminal().as_telegram(), None);
        assert_eq!((ChatKey::terminal().channel(), ChatKey::telegram(5, None).channel()), ("terminal", "telegram"));
    }
}
