//! Carries out runs: claims those that are due, drives each until it ends or waits, and looks again when something changes.
//!
//! `plan` decides (pure), `prepare` and `gate` let a step begin, `call` carries it out, `settle` and `doubt` write what came of
//! it, `drive` puts them together for one run, `outcome` says how it ended. This file holds what all runs share. It wakes by
//! commits and by one timer; it never polls.

mod call;
mod doubt;
mod drive;
mod events;
mod gate;
mod held;
mod outcome;
mod plan;
mod prepare;
mod rows;
mod settle;
mod special;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) use self::events::{arrived, wanted};
pub(super) use self::outcome::notices;
use super::definition::{Known, OnError, Workflow};
use super::engine::EngineDeps;
use crate::domain::ids::RunId;
use crate::domain::retry::Backoff;
use crate::domain::run::StepState;
use crate::ledger::LedgerError;
use crate::ledger::runs::{Advance, Advanced, ClaimedRun, ConcurrencySlot, Expired, NewRun, RunRow};

/// How long a worker may hold a run without saying that it still does.
pub const LEASE: Duration = Duration::from_secs(60);
/// How often it says so.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// Runs that are worked on side by side. One that only waits is none of them.
pub const RUNS_AT_ONCE_MAX: usize = 256;
/// Runs claimed in one transaction.
const CLAIM_MAX: usize = 64;
/// Definitions kept ready; more are read again when they are needed.
const DEFINITIONS_KEPT: usize = 256;
/// Waits while the ledger does not answer.
const LEDGER_DOWN: Backoff = Backoff { first: Duration::from_millis(100), factor: 2, longest: Duration::from_secs(10) };

/// What all runs share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) deps: EngineDeps,
    active: Mutex<HashMap<RunId, Arc<Active>>>,
    waiters: Mutex<HashMap<RunId, Arc<Notify>>>,
    definitions: Mutex<HashMap<String, Arc<Workflow>>>,
    /// Once it is cancelled, nothing new begins.
    shutdown: OnceLock<CancellationToken>,
}

/// A run that is held.
#[derive(Debug)]
struct Active {
    epoch: i64,
    /// Somebody changed something about it.
    poke: Notify,
    /// Another worker has it.
    lost: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing under these locks can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(super) fn new(deps: EngineDeps) -> Arc<Self> {
        Arc::new(Self {
            deps,
            active: Mutex::default(),
            waiters: Mutex::default(),
            definitions: Mutex::default(),
            shutdown: OnceLock::new(),
        })
    }

    /// Works until `shutdown`; what has begun is finished first.
    pub(super) async fn run(self: &Arc<Self>, shutdown: CancellationToken) {
        // A second call of this on one engine is stopped by the first one's wish as well.
        self.shutdown.get_or_init(|| shutdown.clone());
        self.recover(&shutdown).await;
        let mut tasks = JoinSet::new();
        let mut renew_at = self.deps.clock.now() + RENEW_EVERY;
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            while let Some(ended) = tasks.try_join_next() {
                note_panic(ended);
            }
            let now = self.deps.clock.now();
            match self.turn(now, &mut renew_at, &mut tasks).await {
                Ok(true) => failures = 0,
                Ok(false) => {
                    failures = 0;
                    self.wait_for_work(now, renew_at, &mut tasks, &shutdown).await;
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "workflows cannot reach the ledger and try again");
                    self.pause(LEDGER_DOWN.after(failures), &shutdown).await;
                }
            }
        }
        while let Some(ended) = tasks.join_next().await {
            note_panic(ended);
        }
    }

    /// Whether the process ends.
    fn is_stopping(&self) -> bool {
        self.shutdown.get().is_some_and(CancellationToken::is_cancelled)
    }

    /// Runs that a dead process held are due at once.
    async fn recover(&self, shutdown: &CancellationToken) {
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            match self.deps.ledger.recover_runs(self.deps.clock.now()).await {
                Ok(0) => return,
                Ok(runs) => {
                    tracing::info!(runs, "runs that the agent was working on when it ended go on");
                    return;
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "runs of the process before cannot be taken over yet");
                    self.pause(LEDGER_DOWN.after(failures), shutdown).await;
                }
            }
        }
    }

    /// Expires, renews, claims; `true` when there may be more to claim.
    async fn turn(
        self: &Arc<Self>,
        now: Timestamp,
        renew_at: &mut Timestamp,
        tasks: &mut JoinSet<()>,
    ) -> Result<bool, LedgerError> {
        if *renew_at <= now {
            self.renew(now).await?;
            *renew_at = now + RENEW_EVERY;
        }
        for expired in self.deps.ledger.expire(now).await? {
            match expired {
                Expired::Approval { run, .. } | Expired::Wait { run } => self.poke(run),
                Expired::Reminder { .. } => {}
            }
        }
        let limit = CLAIM_MAX.min(RUNS_AT_ONCE_MAX.saturating_sub(tasks.len()));
        if limit == 0 {
            return Ok(false);
        }
        let claimed = self.deps.ledger.claim_runs(now, LEASE, limit).await?;
        let more = claimed.len() == limit;
        for run in claimed {
            let held = self.hold(&run);
            let core = Arc::clone(self);
            tasks.spawn(async move {
                let active = Arc::clone(&held.active);
                drive::drive(core, run, active).await;
                drop(held);
            });
        }
        Ok(more)
    }

    async fn renew(&self, now: Timestamp) -> Result<(), LedgerError> {
        let held: Vec<(RunId, i64)> = lock(&self.active).iter().map(|(run, active)| (*run, active.epoch)).collect();
        if held.is_empty() {
            return Ok(());
        }
        let kept = self.deps.ledger.renew_runs(held.clone(), now + LEASE).await?;
        for (run, epoch) in held.iter().filter(|(run, _)| !kept.contains(run)) {
            // One that was given back meanwhile is not there any more.
            if let Some(active) = lock(&self.active).get(run).filter(|active| active.epoch == *epoch) {
                active.poke.notify_one();
            }
        }
        Ok(())
    }

    async fn wait_for_work(
        &self,
        now: Timestamp,
        renew_at: Timestamp,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        let due = match self.deps.ledger.next_run_due(now).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "workflows cannot learn what is due next");
                Some(now + LEDGER_DOWN.longest)
            }
        };
        let renew_at = (!tasks.is_empty()).then_some(renew_at);
        let at = [due, renew_at].into_iter().flatten().min();
        let timer = async {
            match at {
                Some(at) => self.deps.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let is_full = tasks.len() >= RUNS_AT_ONCE_MAX;
        tokio::select! {
            () = self.deps.ledger.changes().runs.notified(), if !is_full => {}
            ended = tasks.join_next(), if is_full => {
                if let Some(ended) = ended {
                    note_panic(ended);
                }
            }
            () = timer => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn pause(&self, wait: Duration, shutdown: &CancellationToken) {
        tokio::select! {
            () = self.deps.clock.sleep(wait) => {}
            () = shutdown.cancelled() => {}
        }
    }

    fn hold(self: &Arc<Self>, run: &ClaimedRun) -> Hold {
        let active = Arc::new(Active { epoch: run.epoch, poke: Notify::new(), lost: CancellationToken::new() });
        let before = lock(&self.active).insert(run.row.id, Arc::clone(&active));
        if let Some(before) = before {
            before.lost.cancel();
        }
        Hold { core: Arc::clone(self), run: run.row.id, active }
    }

    /// Tells the holder of a run that something changed.
    pub(super) fn poke(&self, run: RunId) {
        if let Some(active) = lock(&self.active).get(&run) {
            active.poke.notify_one();
        }
    }

    /// Wakes those who wait for a run.
    pub(super) fn touched(&self, run: RunId) {
        if let Some(waiters) = lock(&self.waiters).get(&run) {
            waiters.notify_waiters();
        }
    }

    /// What wakes those who wait for `run`, until it is dropped.
    pub(super) fn waiter(self: &Arc<Self>, run: RunId) -> Waiter {
        let notify = Arc::clone(lock(&self.waiters).entry(run).or_default());
        Waiter { core: Arc::clone(self), run, notify }
    }

    /// The definition that a run is pinned to.
    ///
    /// # Errors
    /// When the ledger does not answer: that is no word about the definition.
    pub(super) async fn definition(&self, run: &RunRow) -> Result<Option<Arc<Workflow>>, LedgerError> {
        if let Some(known) = lock(&self.definitions).get(&run.workflow_hash) {
            return Ok(Some(Arc::clone(known)));
        }
        if let Some(current) = self.deps.workflows.get(&run.workflow).filter(|w| w.hash == run.workflow_hash) {
            self.keep_definition(&current);
            return Ok(Some(current));
        }
        let Some(source) = self.deps.ledger.definition(&run.workflow_hash).await? else { return Ok(None) };
        let known = Known::tools((*self.deps.tools).clone());
        match Workflow::parse(&format!("{}.yaml", run.workflow), &source, &known) {
            Ok(workflow) => {
                let workflow = Arc::new(workflow);
                self.keep_definition(&workflow);
                Ok(Some(workflow))
            }
            Err(faults) => {
                let first = faults.first().map(ToString::to_string).unwrap_or_default();
                tracing::error!(run.id = %run.id, fault = first, "the definition of a run is not valid any more");
                Ok(None)
            }
        }
    }

    /// Keeps a definition ready.
    pub(super) fn keep_definition(&self, workflow: &Arc<Workflow>) {
        let mut definitions = lock(&self.definitions);
        if definitions.len() >= DEFINITIONS_KEPT {
            definitions.clear();
        }
        definitions.insert(workflow.hash.clone(), Arc::clone(workflow));
    }

    /// Writes `advance`, however often it must be tried: an effect that has happened must not be forgotten. `None` when the
    /// process ends first.
    async fn advance(&self, advance: Advance) -> Option<Advanced> {
        let mut failures = 0;
        loop {
            match self.deps.ledger.advance(advance.clone()).await {
                Ok(advanced) => return Some(advanced),
                Err(error @ (LedgerError::Invalid(_) | LedgerError::NotFound(_))) => {
                    tracing::error!(run.id = %advance.run, %error, "the ledger refuses what became of a run");
                    return None;
                }
                Err(error @ (LedgerError::Busy | LedgerError::Unavailable(_))) => {
                    failures += 1;
                    tracing::warn!(run.id = %advance.run, %error, failures, "what became of a run is not kept yet");
                }
            }
            if self.is_stopping() {
                return None;
            }
            self.deps.clock.sleep(LEDGER_DOWN.after(failures)).await;
        }
    }
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        let panic = error.into_panic();
        let said = crate::lifecycle::panic_message(&*panic).to_owned();
        tracing::error!(error = said, "a run's worker panicked; the run goes on when its lease is over");
    }
}

/// A run held by this process, until dropped.
struct Hold {
    core: Arc<Core>,
    run: RunId,
    active: Arc<Active>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut active = lock(&self.core.active);
        if active.get(&self.run).is_some_and(|active| Arc::ptr_eq(active, &self.active)) {
            active.remove(&self.run);
        }
    }
}

/// What wakes somebody who waits for a run.
pub(super) struct Waiter {
    core: Arc<Core>,
    run: RunId,
    /// Notified whenever the run ended or was given back.
    pub(super) notify: Arc<Notify>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiters = lock(&self.core.waiters);
        // The map's own and this one: nobody else waits.
        if Arc::strong_count(&self.notify) <= 2 {
            waiters.remove(&self.run);
        }
    }
}

/// Fills what a new run takes from its definition.
pub(super) fn fill(mut run: NewRun, workflow: &Workflow) -> Result<NewRun, String> {
    run.workflow = workflow.name.clone();
    run.workflow_hash = workflow.hash.clone();
    run.definition = workflow.source.to_string();
    run.steps = rows::fresh(&workflow.steps, "");
    run.deadline_at = workflow.timeout.map(|timeout| run.at + timeout);
    if let Some(concurrency) = &workflow.concurrency {
        let scope = held::scope_of(&run.context);
        let key = concurrency.key.text(&scope).map_err(|error| format!("concurrency.key: {error}"))?;
        run.concurrency = Some(ConcurrencySlot { key, limit: concurrency.limit });
    }
    Ok(run)
}

/// The keys of steps that are `ready` again when a run that failed is tried once more: the failed step and what follows.
pub(super) fn keys_to_retry(workflow: &Workflow, run: &RunRow) -> Vec<String> {
    let rows = rows::Rows::new(run.steps.clone());
    let is_failed = |name: &str| rows.get(name).is_some_and(|row| row.state == StepState::Error);
    let first = workflow.steps.iter().position(|step| is_failed(&step.name) && step.on_error == OnError::Stop);
    let tail = workflow.steps.get(first.unwrap_or(0)..).unwrap_or_default();
    let names: Vec<String> = rows::fresh(tail, "").into_iter().map(|row| row.key).collect();
    let belongs = |key: &str| {
        let base = key.split_once('[').map_or(key, |(base, _)| base);
        names.iter().any(|name| name == base) || key.starts_with(rows::FAILURE_PREFIX)
    };
    let again = |row: &&crate::ledger::runs::StepRow| {
        // What may have happened is not done again for a failure beside it.
        let known = row.state != StepState::InDoubt;
        known && belongs(&row.key) && (row.state != StepState::Success || row.key.starts_with(rows::FAILURE_PREFIX))
    };
    run.steps.iter().filter(again).map(|row| row.key.clone()).collect()
}
