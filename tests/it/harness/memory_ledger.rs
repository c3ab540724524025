//! A ledger in memory for tests of the intake alone: it keeps events and refusals, and fails when it is told to.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use hookhand::domain::event::{DeliveryKey, EventStatus};
use hookhand::domain::ids::{EventId, NoticeId};
use hookhand::domain::notice::{ChatKey, NoticeKind};
use hookhand::ledger::*;
use jiff::Timestamp;
use tokio::sync::watch;

/// What the next calls do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Good,
    Busy,
    Broken,
    Panics,
}

#[derive(Debug)]
pub struct MemoryLedger {
    changes: Changes,
    state: Mutex<State>,
    mood: watch::Sender<Mood>,
    /// While `true`, `ingest` waits before it commits.
    held: watch::Sender<bool>,
    /// How many wait so.
    waiting: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<NewEvent>,
    refused: Vec<RefusedRequest>,
    keys: HashMap<DeliveryKey, EventId>,
    failed: Vec<EventId>,
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self {
            changes: Changes::default(),
            state: Mutex::default(),
            mood: watch::Sender::new(Mood::Good),
            held: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        }
    }
}

impl MemoryLedger {
    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Keeps commits back until [`MemoryLedger::release`].
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Returns once a commit is held back.
    pub async fn until_held(&self) {
        self.waiting.subscribe().wait_for(|count| *count > 0).await.expect("lives");
    }

    pub fn events(&self) -> Vec<NewEvent> {
        self.state.lock().expect("not poisoned").events.clone()
    }

    pub fn refused(&self) -> Vec<RefusedRequest> {
        self.state.lock().expect("not poisoned").refused.clone()
    }

    /// Lets an event end as failed.
    pub fn fail(&self, id: EventId) {
        self.state.lock().expect("not poisoned").failed.push(id);
    }

    fn broken<T>(&self) -> Result<T, LedgerError> {
        Err(LedgerError::Unavailable("not part of this fake".into()))
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    fn changes(&self) -> &Changes {
        &self.changes
    }

    async fn ingest(&self, event: NewEvent) -> Result<Ingested, LedgerError> {
        self.waiting.send_modify(|count| *count += 1);
        self.held.subscribe().wait_for(|held| !held).await.expect("lives");
        self.waiting.send_modify(|count| *count -= 1);
        match *self.mood.borrow() {
            Mood::Good => {}
            Mood::Busy => return Err(LedgerError::Busy),
            Mood::Broken => return Err(LedgerError::Unavailable("disk full at /secret/place".into())),
            Mood::Panics => panic!("the ledger panics"),
        }
        let mut state = self.state.lock().expect("not poisoned");
        if let Some(key) = event.delivery_key {
            if let Some(first) = state.keys.get(&key).copied() {
                if let Some(at) = state.failed.iter().position(|id| *id == first) {
                    state.failed.remove(at);
                    return Ok(Ingested::Requeued { event: first });
                }
                return Ok(Ingested::Duplicate { first });
            }
            state.keys.insert(key, event.id);
        }
        assert!(matches!(event.status, EventStatus::Accepted | EventStatus::Ignored));
        state.events.push(event);
        Ok(Ingested::Kept)
    }

    fn record_refused(&self, refused: RefusedRequest) -> bool {
        self.state.lock().expect("not poisoned").refused.push(refused);
        true
    }

    async fn stats(&self) -> Result<Stats, LedgerError> {
        match *self.mood.borrow() {
            Mood::Broken => Err(LedgerError::Unavailable("disk full".into())),
            _ => Ok(Stats { queue_depth: self.events().len() as u64, ..Stats::default() }),
        }
    }

    async fn claim(&self, _: Timestamp, _: Duration, _: usize) -> Result<Vec<ClaimedEvent>, LedgerError> {
        self.broken()
    }
    async fn settle(&self, _: Vec<Settlement>) -> Result<Vec<bool>, LedgerError> {
        self.broken()
    }
    async fn next_due(&self, _: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        self.broken()
    }
    async fn replay(&self, _: EventId, _: EventId, _: Timestamp) -> Result<(), LedgerError> {
        self.broken()
    }
    async fn add_notices(&self, _: Vec<NewNotice>) -> Result<(), LedgerError> {
        self.broken()
    }
    async fn chats_waiting(&self) -> Result<Vec<ChatKey>, LedgerError> {
        self.broken()
    }
    async fn notices_waiting(&self, _: &ChatKey, _: usize) -> Result<Vec<WaitingNotice>, LedgerError> {
        self.broken()
    }
    async fn recover_claims(&self, _: Timestamp) -> Result<usize, LedgerError> {
        self.broken()
    }
    async fn notices_waiting_apart(&self, _: &ChatKey, _: usize) -> Result<Vec<WaitingNotice>, LedgerError> {
        self.broken()
    }
    async fn begin_send(&self, _: &[NoticeId], _: Timestamp) -> Result<(), LedgerError> {
        self.broken()
    }
    async fn settle_send(&self, _: Vec<SendSettlement>) -> Result<(), LedgerError> {
        self.broken()
    }
    async fn recover_sends(&self) -> Result<usize, LedgerError> {
        self.broken()
    }
    async fn keep_inbound(&self, _: &str, _: Vec<InboundItem>) -> Result<(), LedgerError> {
        self.broken()
    }
    async fn inbound_waiting(&self, _: &str, _: usize) -> Result<Vec<InboundItem>, LedgerError> {
        self.broken()
    }
    async fn inbound_done(&self, _: &str, _: i64, _: Vec<NewNotice>) -> Result<(), LedgerError> {
        self.broken()
    }
    async fn has_notice_since(&self, _: &ChatKey, _: NoticeKind, _: Timestamp) -> Result<bool, LedgerError> {
        self.broken()
    }
    async fn event(&self, _: EventId) -> Result<Option<EventDetail>, LedgerError> {
        self.broken()
    }
    async fn body_of(&self, _: EventId) -> Result<Option<Vec<u8>>, LedgerError> {
        self.broken()
    }
    async fn messages_of(&self, _: EventId) -> Result<Vec<NoticeMessage>, LedgerError> {
        self.broken()
    }
    async fn events(&self, _: EventFilter) -> Result<Page<EventRow>, LedgerError> {
        self.broken()
    }
    async fn index(&self) -> Result<usize, LedgerError> {
        self.broken()
    }
    async fn overview(&self, _: Timestamp) -> Result<hookhand::ledger::Overview, LedgerError> {
        self.broken()
    }
    async fn prune(&self, _: Timestamp) -> Result<usize, LedgerError> {
        self.broken()
    }
    async fn query(&self, _: &str, _: usize) -> Result<QueryResult, LedgerError> {
        self.broken()
    }
    async fn close(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}
