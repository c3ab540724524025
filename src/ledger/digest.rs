//! The ledger's account of the events since the last digest, and the digest that is told of it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{LedgerError, NewNotice};
use crate::domain::ids::EventId;

/// Most handlers' types that an account lists one by one.
pub const ACCOUNT_GROUPS_MAX: usize = 500;
/// Most lines of muted notices that an account lists one by one.
pub const ACCOUNT_MUTED_MAX: usize = 200;
/// Most failed events that an account names.
pub const ACCOUNT_FAILED_MAX: usize = 5;

/// What the ledger does for a digest. A trait of its own, because nobody else needs it.
#[async_trait]
pub trait DigestLedger: std::fmt::Debug + Send + Sync + 'static {
    /// Everything that came after the last digest, up to now; without one, since `first_from`.
    async fn account(&self, first_from: Timestamp) -> Result<Account, LedgerError>;

    /// Keeps the digest for `fire_at` and its notice. `false`: that time was dealt with before. The next account begins
    /// where this one ends.
    async fn tell_digest(&self, told: ToldDigest) -> Result<bool, LedgerError>;
}

/// A digest to be told.
#[derive(Debug, Clone)]
pub struct ToldDigest {
    /// The schedule's name.
    pub schedule: String,
    /// Which of its times.
    pub fire_at: Timestamp,
    /// The account's end.
    pub upto_seq: i64,
    /// The events that it accounts for.
    pub events: u64,
    /// What is told.
    pub notice: NewNotice,
}

/// What came since the last digest. Each event is in exactly one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// When the last digest was told.
    pub since: Option<Timestamp>,
    /// Where it ends.
    pub upto_seq: i64,
    /// Events by status, those beyond [`ACCOUNT_GROUPS_MAX`] included.
    pub statuses: BTreeMap<String, u64>,
    /// Events that were accepted, by handler and type, most first.
    pub groups: Vec<AccountGroup>,
    /// The newest of those that failed, of the last account's included that failed since.
    pub failed: Vec<EventId>,
    /// Accepted events that are replays of earlier ones.
    pub replayed: u64,
    /// What became of events of earlier accounts that were settled since the last one: those that waited then, and failed
    /// ones that came again. By status.
    pub earlier: BTreeMap<String, u64>,
    /// Notices that rules kept quiet, by handler and rule, most first; the events are among the others.
    pub muted: Vec<MutedGroup>,
    /// All of them, those beyond [`ACCOUNT_MUTED_MAX`] included.
    pub muted_total: u64,
    /// Runs that were started meanwhile, by state.
    pub runs: BTreeMap<String, u64>,
    /// Approvals that wait now.
    pub approvals_pending: u64,
    /// Events that wait now, whenever they came.
    pub queue_depth: u64,
    /// Notices that no chat took, of this time.
    pub notices_failed: u64,
}

/// Accepted events of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountGroup {
    /// The handler.
    pub handler: String,
    /// The type.
    pub event: String,
    /// How many.
    pub count: u64,
}

/// Notices of a handler that one rule kept quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MutedGroup {
    /// The handler.
    pub handler: String,
    /// The rule in words; empty where it was not written down.
    pub rule: String,
    /// How many.
    pub count: u64,
}

impl Account {
    /// Events that were accepted, whatever became of them.
    pub fn accepted(&self) -> u64 {
        ["accepted", "processed", "failed"].iter().map(|status| self.with_status(status)).sum()
    }

    /// Every event and refusal.
    pub fn total(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Those of one status.
    pub fn with_status(&self, status: &str) -> u64 {
        self.statuses.get(status).copied().unwrap_or(0)
    }
}
