//! Who answers the person on this machine: the seam between the local API and the assistant, which the application fills.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::ids::{RunId, TurnId};
use crate::domain::notice::Message;
use crate::ledger::LedgerError;

/// What became of something that was said.
#[derive(Debug)]
pub enum ChatHeard {
    /// This is the answer.
    Told(Vec<Message>),
    /// The answer comes in this turn.
    Turn(TurnId),
}

/// A turn as far as it has come.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ChatTurn {
    /// Its id.
    pub id: TurnId,
    /// `waiting`, `working`, `answered`, `done` or `cancelled`.
    pub state: String,
    /// What is there of the answer, in the marks that a model writes.
    pub text: String,
    /// Links that it may show.
    pub links: Vec<String>,
    /// Which text of the model this is: after it has used tools it begins anew.
    pub part: usize,
    /// Whether nothing more comes.
    pub ended: bool,
    /// Runs that it proposed.
    pub proposed: Vec<RunId>,
}

/// Somebody who answers the person on this machine.
#[async_trait]
pub trait ChatDesk: std::fmt::Debug + Send + Sync + 'static {
    /// Answers `text`, or says where the answer will be.
    async fn say(&self, text: &str) -> Result<ChatHeard, LedgerError>;

    /// A turn, once the model's text number `part` has more than `seen` characters, or it is at a later one, or it has ended, or
    /// after `wait`.
    async fn turn(&self, id: TurnId, part: usize, seen: usize, wait: Duration)
    -> Result<Option<ChatTurn>, LedgerError>;

    /// The turn about the end of a run that was proposed, once there is one.
    async fn turn_of_run(&self, run: RunId) -> Result<Option<TurnId>, LedgerError>;
}
