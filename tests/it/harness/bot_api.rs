//! The Bot API server that `agent prove` has, with patience that ends: what a test waits for and does not come fails it.

use std::ops::Deref;
use std::sync::Arc;

use hookhand::ports::Clock;
use hookhand::prove::telegram;
#[allow(unused_imports, reason = "a benchmark has this file too, and wants less")]
pub use hookhand::prove::telegram::{BOT_NAME, Fault, SeenMessage, TOKEN, TapAnswer};

use super::clock::patiently;

/// The server.
#[derive(Debug)]
pub struct BotApi(telegram::BotApi);

impl Deref for BotApi {
    type Target = telegram::BotApi;

    fn deref(&self) -> &telegram::BotApi {
        &self.0
    }
}

impl BotApi {
    /// A server that stamps messages with the machine's time.
    pub async fn start() -> Self {
        Self(telegram::BotApi::start().await)
    }

    /// A server that stamps messages with `clock`'s time.
    pub async fn start_with(clock: Arc<dyn Clock>) -> Self {
        Self(telegram::BotApi::start_with(clock).await)
    }

    /// Returns once the tap was answered, with what the one who tapped reads.
    pub async fn wait_for_tap_answer(&self, callback: &str) -> TapAnswer {
        patiently(self.0.wait_for_tap_answer(callback)).await
    }

    /// Returns once the message was changed so that `holds`.
    pub async fn wait_for_message(&self, chat: i64, message: i64, holds: impl Fn(&SeenMessage) -> bool) -> SeenMessage {
        patiently(self.0.wait_for_message(chat, message, holds)).await
    }

    /// Returns once `chat` has at least `count` messages.
    pub async fn wait_for_messages(&self, chat: i64, count: usize) -> Vec<SeenMessage> {
        patiently(self.0.wait_for_messages(chat, count)).await
    }

    /// Returns once every update was fetched and confirmed.
    pub async fn wait_until_confirmed(&self) {
        patiently(self.0.wait_until_confirmed()).await;
    }

    /// Returns once `method` was called at least `count` times.
    pub async fn wait_for_calls(&self, method: &str, count: usize) {
        patiently(self.0.wait_for_calls(method, count)).await;
    }

    /// Ends the test's use: fails when a message was never read or a fault never happened.
    pub fn finish(self) {
        assert_eq!(self.0.left_over(), Vec::<String>::new(), "what the test did not look at");
    }
}
