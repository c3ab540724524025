//! The voice of the agent: answers that leave while they are being made, at the pace that a chat shares with its notices.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::pace::Gate;
use crate::domain::notice::ChatKey;
use crate::domain::speech::Speech;
use crate::ports::{Channel, Clock, SendOutcome, Voice};

/// Speaks in the chats of one channel. Elsewhere nobody listens: whoever asked fetches the answer.
#[derive(Debug)]
pub struct Speaker {
    channel: Arc<dyn Channel>,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
}

impl Speaker {
    /// A voice in `channel`, at the pace of `gate`.
    pub fn new(channel: Arc<dyn Channel>, gate: Arc<Gate>, clock: Arc<dyn Clock>) -> Self {
        Self { channel, gate, clock }
    }

    fn is_here(&self, chat: &ChatKey) -> bool {
        chat.channel() == self.channel.name()
    }

    async fn turn(&self, chat: &ChatKey) {
        self.gate.turn(self.clock.as_ref(), chat, self.channel.pacing(chat)).await;
    }

    /// The outcome; a channel that asks to wait is asked nothing before.
    fn heeded(&self, chat: &ChatKey, outcome: SendOutcome) -> SendOutcome {
        if let SendOutcome::RetryAfter { wait } = outcome {
            self.gate.hold(chat, self.clock.now() + wait);
        }
        outcome
    }
}

#[async_trait]
impl Voice for Speaker {
    fn parts(&self, chat: &ChatKey, speech: &Speech) -> Vec<Speech> {
        if self.is_here(chat) { self.channel.speech_parts(speech) } else { vec![speech.clone()] }
    }

    fn pace(&self, chat: &ChatKey) -> Option<Duration> {
        let pace = self.channel.pacing(chat).chat_interval;
        Some(pace).filter(|pace| self.is_here(chat) && !pace.is_zero())
    }

    async fn say(&self, chat: &ChatKey, part: &Speech, reply_to: Option<i64>) -> SendOutcome {
        if !self.is_here(chat) {
            return SendOutcome::Sent { message_id: None };
        }
        self.turn(chat).await;
        self.heeded(chat, self.channel.say(chat, part, reply_to).await)
    }

    async fn revise(&self, chat: &ChatKey, message_id: i64, part: &Speech) -> SendOutcome {
        if !self.is_here(chat) {
            return SendOutcome::Sent { message_id: None };
        }
        self.turn(chat).await;
        self.heeded(chat, self.channel.revise(chat, message_id, part).await)
    }

    async fn typing(&self, chat: &ChatKey) {
        if self.is_here(chat) {
            self.channel.typing(chat).await;
        }
    }
}
