//! What a tool works with: the outside world as the process offers it, and the wish to stop.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::files::Files;
use super::process::Sandbox;
use crate::config::Secret;
use crate::domain::ids::EventId;
use crate::domain::notice::ChatKey;
use crate::ledger::runs::{NewMemory, RunLedger};
use crate::ledger::{Ledger, LedgerError};
use crate::ports::{Clock, Ids};
use crate::telemetry::Redactor;

/// Facts that a search gives when nobody says how many.
pub const MEMORY_LIMIT_DEFAULT: usize = 10;
/// Most facts that a search gives.
pub const MEMORY_LIMIT_MAX: usize = 100;

/// What a tool works with. Clones are cheap and share everything.
#[derive(Debug, Clone)]
pub struct ToolContext {
    /// Cancelled when this call shall stop. One per call: `context.for_call(cancel)`.
    pub cancel: CancellationToken,
    /// The event that began the run.
    pub event: Option<EventId>,
    /// The chat of the handler that the event came to.
    pub chat: Option<ChatKey>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
    /// The outbox and everything else durable.
    pub ledger: Arc<dyn Ledger>,
    /// Remembered facts.
    pub memory: Arc<dyn Memory>,
    /// Where files may be.
    pub files: Arc<Files>,
    /// How processes are held.
    pub sandbox: Arc<Sandbox>,
    /// Chats by name.
    pub chats: Arc<Chats>,
    /// Secrets by name, for signing.
    pub secrets: Arc<Secrets>,
    /// Cuts secrets out of what tools say.
    pub redactor: Arc<Redactor>,
}

impl ToolContext {
    /// The same, for one call: `cancel` stops it, `event` and `chat` are those of its run.
    pub fn for_call(&self, cancel: CancellationToken, event: Option<EventId>, chat: Option<ChatKey>) -> Self {
        Self { cancel, event, chat, ..self.clone() }
    }
}

/// Chats by the names that the configuration gives them.
#[derive(Debug, Clone)]
pub struct Chats {
    /// By name.
    pub named: BTreeMap<String, ChatKey>,
    /// Where things go when nobody says.
    pub default: ChatKey,
}

/// Secrets by name, for signing. Printing shows names only.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, Secret>);

impl Secrets {
    /// Takes them.
    pub fn new(secrets: BTreeMap<String, Secret>) -> Self {
        Self(secrets)
    }

    /// The secret `name`.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Remembered facts. The ledger of runs implements it.
#[async_trait]
pub trait Memory: fmt::Debug + Send + Sync + 'static {
    /// Keeps a fact; `key` makes a second store of the same one change nothing. `tainted`: text from outside stands in it.
    async fn remember(
        &self,
        key: &str,
        section: &str,
        fact: &str,
        tainted: bool,
        at: Timestamp,
    ) -> Result<(), LedgerError>;

    /// Facts whose words match `query`, best first, at most `limit`.
    async fn recall(&self, query: &str, section: Option<&str>, limit: usize) -> Result<Vec<MemoryFact>, LedgerError>;
}

/// A remembered fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryFact {
    /// What it belongs to.
    pub section: String,
    /// The fact.
    pub fact: String,
    /// When it was remembered.
    pub at: Timestamp,
    /// Whether text from outside stands in it.
    pub tainted: bool,
}

/// The ledger's memory.
#[derive(Debug, Clone)]
pub struct LedgerMemory(Arc<dyn RunLedger>);

impl LedgerMemory {
    /// Facts are kept in `ledger`.
    pub fn new(ledger: Arc<dyn RunLedger>) -> Self {
        Self(ledger)
    }
}

#[async_trait]
impl Memory for LedgerMemory {
    async fn remember(
        &self,
        key: &str,
        section: &str,
        fact: &str,
        tainted: bool,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        let (section, fact, key) = (section.to_owned(), fact.to_owned(), Some(key.to_owned()));
        let memory = NewMemory { section, fact, key, tainted, at };
        self.0.remember(memory).await.map(drop)
    }

    async fn recall(&self, query: &str, section: Option<&str>, limit: usize) -> Result<Vec<MemoryFact>, LedgerError> {
        let rows = self.0.recall(query, section, limit).await?;
        let fact = |row: crate::ledger::runs::MemoryRow| MemoryFact {
            section: row.section,
            fact: row.fact,
            at: row.at,
            tainted: row.tainted,
        };
        Ok(rows.into_iter().map(fact).collect())
    }
}
