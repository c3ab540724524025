//! The outside world as traits: time, identifiers, channels and models. Tests put fakes behind them.
//!
//! Nothing else reads a clock or makes a random number. What the real ones are is decided in `app`.

mod model;

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use ulid::Ulid;

use crate::domain::card::Card;
use crate::domain::notice::{ChatKey, Message, Severity};
use crate::domain::speech::Speech;

pub use model::{Finish, Model, ModelError, ModelMessage, ModelReply, ModelRequest, Purpose, ToolCall, ToolOffer};

/// Time, UTC.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// Returns once `now()` is at or past `at`; at once if it already is.
    async fn sleep_until(&self, at: Timestamp);

    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration).await;
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let wait = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        tokio::time::sleep(wait).await;
    }
}

/// Maker of identifiers.
pub trait Ids: fmt::Debug + Send + Sync + 'static {
    /// A ULID for something that happens at `at`, greater than every one made before in this process.
    fn ulid(&self, at: Timestamp) -> Ulid;

    /// A secret token of 160 random bits, in hex.
    fn token(&self) -> String;
}

/// Random ULIDs, monotonic within the process, so that ids sort in the order in which they were made.
#[derive(Debug, Default)]
pub struct RandomIds(Mutex<Option<Ulid>>);

impl Ids for RandomIds {
    fn ulid(&self, at: Timestamp) -> Ulid {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        let next = match *last {
            Some(previous) if previous.timestamp_ms() >= millis => previous.increment().unwrap_or_else(Ulid::new),
            _ => Ulid::from_parts(millis, Ulid::new().random()),
        };
        *last = Some(next);
        next
    }

    fn token(&self) -> String {
        format!("{:020x}{:020x}", Ulid::new().random(), Ulid::new().random())
    }
}

/// What became of one attempt to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The channel confirmed it, with the message's id where it has one.
    Sent {
        /// The channel's own id of the message.
        message_id: Option<i64>,
    },
    /// Certainly not sent, and worth another attempt (the connection was refused, the server was down).
    NotSent {
        /// What went wrong, without secrets.
        error: String,
    },
    /// The channel asks to wait; this is no attempt.
    RetryAfter {
        /// How long.
        wait: Duration,
    },
    /// The request left and no answer came: it may be there.
    Unanswered {
        /// What went wrong, without secrets.
        error: String,
    },
    /// The chat will never take it.
    Refused {
        /// Why, in the channel's words.
        error: String,
    },
}

/// How fast one chat takes messages, and whether a flood folds into digests there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Least time between two messages to this chat.
    pub chat_interval: Duration,
    /// Least time between two messages of the whole channel, whatever their chats.
    pub channel_interval: Duration,
    /// More than this many notices of events within `digest_window` become a digest; `None` where nothing folds.
    pub digest_after: Option<usize>,
    /// The window, and so the longest wait of a notice that folds.
    pub digest_window: Duration,
    /// Notices that may be sent in one go (1 for a chat, more for a terminal).
    pub batch: usize,
}

/// A way to reach people. It sends and edits; it decides nothing.
#[async_trait]
pub trait Channel: fmt::Debug + Send + Sync + 'static {
    /// `terminal` or `telegram`: the part of a [`ChatKey`] before the colon.
    fn name(&self) -> &'static str;

    /// The pace of `chat`.
    fn pacing(&self, chat: &ChatKey) -> Pacing;

    /// Sends one message, as an answer to the message `reply_to` where the channel can show that.
    async fn send(&self, chat: &ChatKey, message: &Message, reply_to: Option<i64>) -> SendOutcome;

    /// Sends one digest page: `lines[i]` is the line of the i-th notice. The caller has seen to it that
    /// [`Channel::digest_fits`] holds.
    async fn send_digest(&self, chat: &ChatKey, title: &str, lines: &[DigestLine]) -> SendOutcome;

    /// How many of `lines`, from the first, fit beneath `title` in one message; at least 1.
    fn digest_fits(&self, title: &str, lines: &[DigestLine]) -> usize;

    /// Whether `card` fits one message as it is; a channel never shortens a card.
    fn card_fits(&self, card: &Card) -> bool;

    /// Sends a card with its buttons.
    async fn send_card(&self, chat: &ChatKey, card: &Card) -> SendOutcome;

    /// Makes the message `message_id` show `card`, with its buttons or without. `Refused`: the message is gone or can no
    /// longer be changed.
    async fn edit_card(&self, chat: &ChatKey, message_id: i64, card: &Card) -> SendOutcome;

    /// `speech` as messages that each keep the channel's limits.
    fn speech_parts(&self, speech: &Speech) -> Vec<Speech>;

    /// Sends one part of an answer.
    async fn say(&self, chat: &ChatKey, part: &Speech, reply_to: Option<i64>) -> SendOutcome;

    /// Makes the message `message_id` show `part`.
    async fn revise(&self, chat: &ChatKey, message_id: i64, part: &Speech) -> SendOutcome;

    /// Shows that an answer is being made, for some seconds. Nothing depends on it.
    async fn typing(&self, _chat: &ChatKey) {}

    /// Puts a model's sentences beneath the title of a notice that was sent; what else it says stays. A channel that cannot
    /// change a message may say them after it. `Refused`: the message is gone, can no longer be changed, or has no room.
    async fn add_summary(
        &self,
        _chat: &ChatKey,
        _message_id: Option<i64>,
        _summarized: &Summarized<'_>,
    ) -> SendOutcome {
        SendOutcome::Refused { error: "this channel changes no messages".into() }
    }

    /// Sends a text file.
    async fn send_document(&self, chat: &ChatKey, document: &Document) -> SendOutcome;

    /// Returns once the channel answers a harmless question. Called before an unanswered send is repeated, so that an
    /// outage does not use up the one repetition. An error says that it does not answer now.
    async fn probe(&self) -> Result<(), String>;
}

/// How an answer that is being made reaches a chat: at once, part by part, and changed as it grows. What must arrive
/// whatever happens is owed by the outbox instead, or by whoever keeps the answer.
#[async_trait]
pub trait Voice: fmt::Debug + Send + Sync + 'static {
    /// `speech` as messages of `chat`.
    fn parts(&self, chat: &ChatKey, speech: &Speech) -> Vec<Speech>;

    /// How often a message of `chat` may be changed; `None` where what is said stays.
    fn pace(&self, chat: &ChatKey) -> Option<Duration>;

    /// Says one part, when it is the chat's turn.
    async fn say(&self, chat: &ChatKey, part: &Speech, reply_to: Option<i64>) -> SendOutcome;

    /// Changes what was said, when it is the chat's turn.
    async fn revise(&self, chat: &ChatKey, message_id: i64, part: &Speech) -> SendOutcome;

    /// Shows that an answer is being made.
    async fn typing(&self, chat: &ChatKey);
}

/// A notice as it was sent, and the sentences that go beneath its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summarized<'a> {
    /// The sentences, plain text on one line.
    pub text: &'a str,
    /// What was sent.
    pub sent: Sent<'a>,
}

/// What a message that was sent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent<'a> {
    /// One notice.
    Notice(&'a Message),
    /// A page of a digest.
    Digest {
        /// Its title.
        title: &'a str,
        /// Its lines.
        lines: &'a [DigestLine],
    },
}

/// A text file for a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// What it holds.
    pub text: String,
    /// One line beneath it.
    pub caption: String,
}

/// One notice as a line of a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestLine {
    /// The notice's title.
    pub title: String,
    /// Its link.
    pub url: Option<String>,
    /// How much it asks for attention.
    pub severity: Severity,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_made_in_one_millisecond_or_with_a_clock_that_steps_back_still_sort_in_the_order_they_were_made() {
        let ids = RandomIds::default();
        let at = Timestamp::from_millisecond(1_700_000_000_000).expect("in range");
        let earlier = Timestamp::from_millisecond(1_600_000_000_000).expect("in range");
        let made = [ids.ulid(at), ids.ulid(at), ids.ulid(earlier), ids.ulid(at)];
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
    }
}
