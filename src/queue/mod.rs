//! The queue: takes committed events from the ledger, has them worked on, and settles what came of it.
//!
//! claim (lease and epoch) → work → settle, a batch at a time. It wakes when the ledger says that something was committed,
//! or when the next retry or lost lease is due; it never polls. It knows nothing of providers or chats: the work is behind
//! [`EventWorker`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::domain::notice::Severity;
use crate::domain::retry::Backoff;
use crate::ledger::{ClaimedEvent, Ledger, LedgerError, NewNotice, Settled, Settlement};
use crate::ports::Clock;

/// How long a worker may hold an event before another one may take it.
pub const LEASE: Duration = Duration::from_secs(60);
/// Events claimed and settled in one transaction.
pub const BATCH_EVENTS_MAX: usize = 32;
/// Attempts before an event is given up and becomes a dead letter.
pub const ATTEMPTS_MAX: u32 = 5;
/// Times that an event may be begun and left by a process that died, before it is given up unseen: one that brings the
/// process down would do so at every start.
pub const BEGINNINGS_MAX: u32 = 50;
/// Waits between the attempts at one event.
pub const RETRY: Backoff = Backoff { first: Duration::from_secs(1), factor: 5, longest: Duration::from_secs(120) };
/// Waits while the ledger itself does not answer.
const LEDGER_DOWN: Backoff = Backoff { first: Duration::from_millis(200), factor: 2, longest: Duration::from_secs(30) };

/// What work on an event gives.
#[derive(Debug, Clone)]
pub struct Worked {
    /// The notice's first line as plain text.
    pub title: String,
    /// A link for a person.
    pub url: Option<String>,
    /// The thing it is about.
    pub subject: Option<String>,
    /// How much it asks for attention.
    pub severity: Severity,
    /// What to say to whom.
    pub notices: Vec<NewNotice>,
    /// Whether a model shall write beneath the notices of the event, once they are sent.
    pub summarize: bool,
}

/// Does the work on one event. May be called again for the same event after a crash or an error.
#[async_trait]
pub trait EventWorker: std::fmt::Debug + Send + Sync + 'static {
    /// Works on `event`. The error is shown to people and must hold no secret.
    async fn work(&self, event: &ClaimedEvent) -> Result<Worked, String>;

    /// What to say when `event` is given up because of `error`.
    fn give_up(&self, event: &ClaimedEvent, error: &str) -> Vec<NewNotice>;
}

/// The loop that empties the queue.
#[derive(Debug)]
pub struct Queue {
    /// Where the events are.
    pub ledger: Arc<dyn Ledger>,
    /// What is done with them.
    pub worker: Arc<dyn EventWorker>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Queue {
    /// Works until `shutdown`; what is claimed then is finished first.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut failures = 0;
        match self.ledger.recover_claims(self.clock.now()).await {
            Ok(0) => {}
            Ok(events) => info!(events, "events that the agent was working on when it ended are done again"),
            // Their leases run out all the same.
            Err(error) => {
                warn!(error = %error, "events that the agent was working on when it ended wait for their leases")
            }
        }
        while !shutdown.is_cancelled() {
            match self.turn().await {
                Ok(0) => {
                    failures = 0;
                    self.wait(&shutdown).await;
                }
                Ok(_) => failures = 0,
                Err(error) => {
                    failures += 1;
                    warn!(error = %error, failures, "the queue cannot reach the ledger and tries again");
                    self.pause(LEDGER_DOWN.after(failures), &shutdown).await;
                }
            }
        }
    }

    /// Claims, works on and settles one batch; returns its size.
    pub async fn turn(&self) -> Result<usize, LedgerError> {
        let claimed = self.ledger.claim(self.clock.now(), LEASE, BATCH_EVENTS_MAX).await?;
        let mut settlements = Vec::with_capacity(claimed.len());
        for event in &claimed {
            settlements.push(self.one(event).await);
            // A batch is milliseconds of computing; whoever answers webhooks on this thread goes first.
            tokio::task::yield_now().await;
        }
        if !settlements.is_empty() {
            let held = self.ledger.settle(settlements).await?;
            for (event, held) in claimed.iter().zip(held) {
                if !held {
                    warn!(event.id = %event.id, "the lease ran out while the event was worked on; another worker has it");
                }
            }
        }
        Ok(claimed.len())
    }

    async fn one(&self, event: &ClaimedEvent) -> Settlement {
        if event.attempt > BEGINNINGS_MAX {
            let outcome = self.failed(event, format!("the agent ended {BEGINNINGS_MAX} times while it worked on it"));
            return Settlement { id: event.id, epoch: event.epoch, at: self.clock.now(), outcome };
        }
        let worked = AssertUnwindSafe(self.worker.work(event)).catch_unwind().await;
        let outcome = match worked {
            Ok(Ok(Worked { title, url, subject, severity, notices, summarize })) => {
                Settled::Processed { title, url, subject, severity, notices, summarize }
            }
            Ok(Err(error)) => self.failed(event, error),
            Err(_panic) => self.failed(event, "the worker panicked; the log has the place".into()),
        };
        Settlement { id: event.id, epoch: event.epoch, at: self.clock.now(), outcome }
    }

    fn failed(&self, event: &ClaimedEvent, error: String) -> Settled {
        if event.attempt >= ATTEMPTS_MAX {
            error!(event.id = %event.id, attempt = event.attempt, error, "the event is given up");
            Settled::Failed { notices: self.worker.give_up(event, &error), error }
        } else {
            info!(event.id = %event.id, attempt = event.attempt, error, "the event is tried again later");
            Settled::Retry { due_at: self.clock.now() + RETRY.after(event.attempt), error }
        }
    }

    async fn wait(&self, shutdown: &CancellationToken) {
        // A commit between the claim and this line has left a permit in the `Notify`, so it is not missed.
        let due = match self.ledger.next_due(self.clock.now()).await {
            Ok(due) => due,
            Err(error) => {
                warn!(error = %error, "the queue cannot learn when the next event is due");
                Some(self.clock.now() + LEDGER_DOWN.longest)
            }
        };
        let timer = async {
            match due {
                Some(at) => self.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.ledger.changes().jobs.notified() => {}
            () = timer => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn pause(&self, wait: Duration, shutdown: &CancellationToken) {
        tokio::select! {
            () = self.clock.sleep(wait) => {}
            () = shutdown.cancelled() => {}
        }
    }
}
