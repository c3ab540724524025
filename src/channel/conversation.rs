//! What channels ask of the assistant. The application puts it behind this trait; without a model there is none.

use async_trait::async_trait;

use super::Person;
use crate::domain::ids::{EventId, TurnId};
use crate::domain::notice::ChatKey;
use crate::ledger::LedgerError;

/// Something that a person said and that is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The same words that arrive twice have one key.
    pub key: String,
    /// Where.
    pub chat: ChatKey,
    /// Who.
    pub person: Person,
    /// What.
    pub text: String,
    /// The events of the notice that it answers.
    pub about: Vec<EventId>,
    /// The message to answer.
    pub reply_to: Option<i64>,
}

/// Somebody who answers.
#[async_trait]
pub trait Conversation: std::fmt::Debug + Send + Sync + 'static {
    /// Keeps what was said; it is answered in its own time. `None`: it was kept before.
    async fn said(&self, words: Words) -> Result<Option<TurnId>, LedgerError>;

    /// Ends the answer that is being made in `chat`. Returns how many questions wait behind it; `None`: there was no answer.
    async fn cancel(&self, chat: &ChatKey) -> Result<Option<usize>, LedgerError>;
}

/// What somebody who wanted an answer stopped is told; see [`Conversation::cancel`].
pub fn stopped(behind: Option<usize>) -> String {
    match behind {
        None => "I am answering nothing here.".to_owned(),
        Some(0) => "Stopped.".to_owned(),
        Some(1) => "Stopped. The question behind it is answered next.".to_owned(),
        Some(several) => format!("Stopped. The {several} questions behind it are answered next."),
    }
}
