//! Channels: how notices reach people and what people write reaches the agent.
//!
//! A channel moves notices and words; it decides nothing, and knows nothing of workflows, models or sockets that take
//! webhooks. What it owes to people waits in the ledger ([`outbox`]); what people wrote is in the ledger before the channel's
//! server hears that we have it.

mod cards;
pub mod commands;
mod conversation;
mod digest;
mod listing;
mod operations;
pub mod outbox;
mod pace;
mod quiet_commands;
mod sender;
mod speaker;
mod summaries;
pub mod telegram;
pub mod terminal;
mod workflow_commands;

use async_trait::async_trait;
use jiff::Timestamp;

pub use cards::{card_text, decided, settled};
pub use commands::Commands;
pub use conversation::{Conversation, Words, stopped};
pub use operations::{Ballot, Operations, Person, Word, WorkflowInfo};
pub use outbox::Outbox;
pub use pace::Gate;
pub use speaker::Speaker;
pub use telegram::{Poller, TelegramChannel};
pub use terminal::Terminal;
pub use workflow_commands::input;

/// What stands before sentences that a model wrote, so that a reader can tell them from the agent's own.
const SUMMARY_MARK: &str = "✦";

/// What the commands tell about the running agent; the application knows it.
#[async_trait]
pub trait AgentInfo: std::fmt::Debug + Send + Sync + 'static {
    /// The version of the program.
    fn version(&self) -> String;

    /// When this process started.
    fn started_at(&self) -> Timestamp;

    /// Every handler, in the order in which lists show them.
    fn handlers(&self) -> Vec<HandlerInfo>;

    /// What the agent listens on, as a person would type it (`http://127.0.0.1:8080`).
    fn listening(&self) -> Vec<String>;

    /// Sends a signed sample to the agent's own webhook `name` and gives its answer, or a sentence that says why there is none.
    async fn test_webhook(&self, name: &str) -> Result<Tested, String>;

    /// The model, where there is one.
    fn model(&self) -> Option<ModelInfo> {
        None
    }

    /// The agents of the configuration besides `default`, each with whose questions and events are its, as lines of `/status`.
    fn agents(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a webhook answered to a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// `200 OK`.
    pub status: String,
    /// Whether that is a success.
    pub accepted: bool,
    /// The body.
    pub body: String,
}

/// The model as `/status` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The model that is tried first.
    pub name: String,
    /// What all of them may cost in a day, in millionths of a US dollar.
    pub day_micro_usd_max: u64,
}

/// A handler as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerInfo {
    /// Its name.
    pub name: String,
    /// Where it is served (`/webhooks/github`).
    pub path: String,
    /// The same with the public or local base before it, for a sender's settings.
    pub url: Option<String>,
    /// A disabled one answers 409.
    pub enabled: bool,
    /// Whether it is a workflow's own route.
    pub workflow: bool,
}
