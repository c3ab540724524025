//! What works behind the scenes: the queue, the engine, the model's writer, the search index, retention, digests and traces.
//! Each is a task that ends with the soft stop and is started again after a fault.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::handlers;
use super::start::{Base, StartError};
use crate::agent::{Daily, Summaries, Traces, Triage};
use crate::config::Otlp;
use crate::domain::schedule::Schedule;
use crate::ledger::digest::DigestLedger;
use crate::ledger::traces::TraceLedger;
use crate::ledger::{Ledger, RunLedger};
use crate::lifecycle::Policy;
use crate::outbound::{Collector, CollectorSettings};
use crate::ports::Clock;
use crate::queue::Queue;
use crate::telemetry::Redactor;

/// How often what is too old is deleted.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// The shortest pause between two slices of a deletion, so that webhooks get the disk in between.
const RETENTION_PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest one.
const RETENTION_PAUSE_MAX: Duration = Duration::from_secs(1);
/// A pause is so many times as long as the slice before it took: a fifth of the writer at most goes into deleting, and less of
/// one that is busy.
const RETENTION_PAUSE_SLICES: u32 = 4;

/// The pause between two slices of the search index, so that webhooks get the disk in between.
const INDEX_PAUSE: Duration = Duration::from_millis(5);
/// Changes are indexed together for so long.
const INDEX_EVERY: Duration = Duration::from_millis(500);

impl Base {
    pub(super) fn start_queue(&self) {
        let worker = Arc::new(Triage {
            providers: Arc::clone(&self.registry),
            desks: Arc::new(handlers::desks(&self.config)),
            summaries: self.deps.model.is_some(),
            triggers: Some(self.workflows.triggers.clone()),
            clock: Arc::clone(&self.deps.clock),
            ids: Arc::clone(&self.deps.ids),
        });
        let queue = Arc::new(Queue { ledger: Arc::clone(&self.ledger), worker, clock: Arc::clone(&self.deps.clock) });
        self.tasks.keep("queue", queue, |queue, soft| async move { queue.run(soft).await });
    }

    /// The runner of workflows, and the watch over their files.
    pub(super) fn start_engine(&self) {
        let engine = self.workflows.engine.clone();
        self.tasks.keep("workflow engine", engine, |engine, soft| async move { engine.run(soft).await });
        let scheduler = self.workflows.scheduler();
        self.tasks.keep("schedules", scheduler, |scheduler, soft| async move { scheduler.run(soft).await });
        let workflows = self.workflows.clone();
        self.tasks.keep("workflow files", workflows, |workflows, soft| async move { workflows.watch(&soft).await });
    }

    /// The daily digest. Without one a last look marks the schedule as not in use.
    pub(super) fn start_digest(&self) {
        let digest = self.config.digest.as_ref();
        let when = digest.and_then(|digest| Schedule::daily(digest.at, &digest.timezone).ok());
        let daily = Daily {
            when,
            chat: handlers::chat_named(digest.map_or("default", |digest| digest.chat.as_str()), &self.config),
            digests: Arc::clone(&self.sqlite) as Arc<dyn DigestLedger>,
            schedules: Arc::clone(&self.sqlite) as Arc<dyn RunLedger>,
            clock: Arc::clone(&self.deps.clock),
            ids: Arc::clone(&self.deps.ids),
        };
        self.tasks.keep("daily digest", daily, |daily, soft| async move { daily.run(soft).await });
    }

    /// What writes beneath notices, where there is a model.
    pub(super) fn start_summaries(&self) {
        let Some(model) = self.deps.model.clone() else { return };
        let writer = Arc::new(Summaries {
            model,
            ledger: Arc::clone(&self.ledger),
            waiting: Arc::clone(&self.models),
            clock: Arc::clone(&self.deps.clock),
            redactor: Redactor::new(handlers::all_secrets(&self.config)),
            personas: self.config.personas.clone(),
        });
        self.tasks.keep("summaries", writer, |writer, soft| async move { writer.run(soft).await });
    }

    /// The MCP servers of the configuration, each in a task of its own.
    pub(super) fn start_mcp(&self) {
        for server in self.workflows.mcp.all() {
            self.tasks.keep("MCP server", Arc::clone(server), |server, soft| async move { server.run(soft).await });
        }
    }

    /// Traces; without a collector a last look forgets what waits for one.
    pub(super) fn start_traces(&self) -> Result<(), StartError> {
        let collector = match &self.config.otlp {
            None => None,
            Some(otlp) => Some(Arc::new(collector(otlp).map_err(StartError::Traces)?)),
        };
        let ledger = Arc::clone(&self.sqlite) as Arc<dyn TraceLedger>;
        let traces = Traces { ledger, collector, clock: Arc::clone(&self.deps.clock) };
        let soft = self.tasks.shutdown().soft().clone();
        self.tasks.spawn("traces", Policy::RESTART, move || {
            let (traces, soft) = (traces.clone(), soft.clone());
            async move { traces.run(soft).await }
        });
        Ok(())
    }

    /// The search index, behind everything else.
    pub(super) fn start_index(&self) {
        let (ledger, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.deps.clock));
        let shutdown = self.tasks.shutdown().clone();
        self.tasks.spawn("search index", Policy::RESTART, move || {
            let (ledger, clock, shutdown) = (Arc::clone(&ledger), Arc::clone(&clock), shutdown.clone());
            async move {
                tokio::select! {
                    result = index(&*ledger, &*clock) => result,
                    () = shutdown.stopping() => Ok(()),
                }
            }
        });
    }

    pub(super) fn start_retention(&self) {
        let days = self.config.retention.events_days;
        if days == 0 {
            return;
        }
        let (ledger, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.deps.clock));
        let shutdown = self.tasks.shutdown().clone();
        self.tasks.spawn("retention", Policy::RESTART, move || {
            let (ledger, clock, shutdown) = (Arc::clone(&ledger), Arc::clone(&clock), shutdown.clone());
            async move {
                tokio::select! {
                    result = retain(&*ledger, &*clock, days) => result,
                    () = shutdown.stopping() => Ok(()),
                }
            }
        });
    }
}

/// Keeps the search index up to date, slice by slice, for ever.
async fn index(ledger: &dyn Ledger, clock: &dyn Clock) -> Result<(), crate::ledger::LedgerError> {
    let mut changed = ledger.changes().events.subscribe();
    loop {
        changed.mark_unchanged();
        while ledger.index().await? > 0 {
            clock.sleep(INDEX_PAUSE).await;
        }
        if changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        clock.sleep(INDEX_EVERY).await;
    }
}

/// Deletes what is older than `days`, slice by slice, for ever.
async fn retain(ledger: &dyn Ledger, clock: &dyn Clock, days: u32) -> Result<(), crate::ledger::LedgerError> {
    let age = SignedDuration::from_hours(24 * i64::from(days));
    loop {
        if let Ok(before) = clock.now().checked_sub(age) {
            let mut begun = clock.now();
            while ledger.prune(before).await? > 0 {
                clock.sleep(pause_after(clock.now().duration_since(begun))).await;
                begun = clock.now();
            }
        }
        clock.sleep(RETENTION_EVERY).await;
    }
}

/// The way to the collector of traces.
///
/// # Errors
/// When its URL or a header is none.
pub fn collector(otlp: &Otlp) -> Result<Collector, String> {
    let headers = otlp.headers.iter().map(|(name, secret)| (name.clone(), secret.expose().to_owned()));
    Collector::new(CollectorSettings {
        endpoint: otlp.endpoint.clone(),
        headers: headers.collect(),
        service_name: otlp.service_name.clone(),
        timeout: otlp.timeout,
    })
}

/// The pause after a slice that took so long, by a clock that may have been set.
fn pause_after(took: SignedDuration) -> Duration {
    let took = Duration::try_from(took).unwrap_or_default();
    took.saturating_mul(RETENTION_PAUSE_SLICES).clamp(RETENTION_PAUSE_MIN, RETENTION_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleting_rests_longer_than_it_works() {
        let pause = |took_ms| pause_after(SignedDuration::from_millis(took_ms)).as_millis();
        assert_eq!([0, 1, 7, 100, 3_600_000, -3_600_000].map(pause), [10, 10, 28, 400, 1000, 10]);
    }
}
