//! The engine as others see it: start a run, wait for it, end it, look; what people decide is in `decide`.
//!
//! Everything that a person does to a run comes through here, whatever channel they use: who may do it is checked in one
//! place, the ledger does it in one transaction, and the answer is what really happened.

mod decide;
mod people;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::catalog::Catalog;
use super::definition::Workflow;
use super::runner::{self, Core};
use crate::domain::approval::person;
use crate::domain::ids::{EventId, RunId};
use crate::domain::notice::ChatKey;
use crate::domain::run::{RunSource, RunState, StepState};
use crate::ledger::LedgerError;
use crate::ledger::runs::{
    CancelOutcome, CancelRun, NewRun, Proposal, RetryOutcome, RetryRun, RunContext, RunLedger, RunRow, RunStarted,
    StepRow,
};
use crate::ports::{Clock, Ids};
use crate::telemetry::{Audit, AuditEntry};
use crate::tool::{ToolContext, ToolRegistry};

pub use decide::{Decision, SettleRequest};
pub use people::{Decider, People};

/// A run to start.
#[derive(Debug, Clone)]
pub struct StartRequest {
    /// The workflow's name.
    pub workflow: String,
    /// The event that starts it: a workflow runs once for one event.
    pub event: Option<EventId>,
    /// What its expressions see: payload, event, facts, inputs.
    pub context: RunContext,
    /// What starts it.
    pub source: RunSource,
    /// Who or what, in words (`local admin`, `telegram:7001`, `POST /webhooks/deploy`).
    pub started_by: String,
    /// Where its notices and cards go; `None` for nobody.
    pub chat: Option<ChatKey>,
}

/// A run that was started, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// Where it is.
    pub state: RunState,
    /// The event had started it before.
    pub existed: bool,
}

/// Why no run was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// No such workflow.
    #[error("there is no workflow '{0}'")]
    Unknown(String),
    /// `enabled: false`.
    #[error("the workflow '{0}' is disabled")]
    Disabled(String),
    /// It cannot start with these values.
    #[error("the workflow cannot start: {0}")]
    Refused(String),
    /// The ledger did not keep it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Where definitions come from.
pub trait Workflows: std::fmt::Debug + Send + Sync + 'static {
    /// The last good version of the workflow `name`.
    fn get(&self, name: &str) -> Option<Arc<Workflow>>;
}

impl Workflows for Catalog {
    fn get(&self, name: &str) -> Option<Arc<Workflow>> {
        Catalog::get(self, name)
    }
}

/// What the engine works with.
#[derive(Debug, Clone)]
pub struct EngineDeps {
    /// Runs, approvals, definitions.
    pub ledger: Arc<dyn RunLedger>,
    /// Definitions as they are now.
    pub workflows: Arc<dyn Workflows>,
    /// Tools.
    pub tools: Arc<ToolRegistry>,
    /// What tools work with.
    pub context: ToolContext,
    /// Who may decide.
    pub people: People,
    /// Where executions and decisions are written down.
    pub audit: Arc<dyn Audit>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
}

/// The engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Engine {
    core: Arc<Core>,
}

impl Engine {
    /// An engine that works once [`Engine::run`] does.
    pub fn new(deps: EngineDeps) -> Self {
        Self { core: Core::new(deps) }
    }

    /// The runs and approvals, for looking.
    pub fn ledger(&self) -> &Arc<dyn RunLedger> {
        &self.core.deps.ledger
    }

    /// Works until `shutdown`; steps that have begun are finished first, unless the caller drops this.
    pub async fn run(&self, shutdown: CancellationToken) {
        self.core.run(shutdown).await;
    }

    /// Starts a run. `Ok` means that it is on disk.
    pub async fn start(&self, request: StartRequest) -> Result<Started, StartError> {
        let workflow = self.startable(&request.workflow)?;
        let by = request.started_by.clone();
        let run = self.prepared(request, &workflow)?;
        let (id, event) = (run.id, run.event);
        let started = self.core.deps.ledger.start_run(run).await?;
        self.started(started, id, event, &workflow, &by).await
    }

    /// Starts a run of a definition that is in no file, which a turn of a conversation proposes; the ledger keeps it.
    /// `request.workflow` is not looked at.
    pub async fn start_proposed(
        &self,
        workflow: &Arc<Workflow>,
        request: StartRequest,
        proposal: Proposal,
    ) -> Result<Started, StartError> {
        let by = request.started_by.clone();
        let run = self.prepared(request, workflow)?;
        let (id, event) = (run.id, run.event);
        let started = self.core.deps.ledger.start_proposed(run, proposal).await?;
        self.started(started, id, event, workflow, &by).await
    }

    /// Starts the run of a schedule's time, unless that time was dealt with before: then it is `None`.
    pub async fn start_scheduled(
        &self,
        request: StartRequest,
        schedule: &str,
        fire_at: Timestamp,
    ) -> Result<Option<Started>, StartError> {
        let workflow = self.startable(&request.workflow)?;
        let by = request.started_by.clone();
        let run = self.prepared(request, &workflow)?;
        let (id, event) = (run.id, run.event);
        match self.core.deps.ledger.start_scheduled(schedule, fire_at, Some(run)).await? {
            Some(started) => self.started(started, id, event, &workflow, &by).await.map(Some),
            None => Ok(None),
        }
    }

    /// The workflow of this name, if it may start.
    fn startable(&self, name: &str) -> Result<Arc<Workflow>, StartError> {
        let workflow = self.core.deps.workflows.get(name).ok_or_else(|| StartError::Unknown(name.to_owned()))?;
        if workflow.enabled { Ok(workflow) } else { Err(StartError::Disabled(name.to_owned())) }
    }

    /// The run as it will be kept.
    fn prepared(&self, request: StartRequest, workflow: &Arc<Workflow>) -> Result<NewRun, StartError> {
        let deps = &self.core.deps;
        let now = deps.clock.now();
        let run = NewRun {
            id: RunId::new(deps.ids.ulid(now)),
            workflow: String::new(),
            workflow_hash: String::new(),
            definition: String::new(),
            event: request.event,
            source: request.source,
            started_by: request.started_by,
            parent: None,
            chat: request.chat,
            context: request.context,
            steps: Vec::new(),
            concurrency: None,
            deadline_at: None,
            at: now,
        };
        let run = runner::fill(run, workflow).map_err(StartError::Refused)?;
        self.core.keep_definition(workflow);
        Ok(run)
    }

    /// What became of a start, written down.
    async fn started(
        &self,
        started: RunStarted,
        id: RunId,
        event: Option<EventId>,
        workflow: &Workflow,
        by: &str,
    ) -> Result<Started, StartError> {
        match started {
            RunStarted::Started { queued } => {
                let details = json!({
                    "run": id, "workflow": workflow.name, "workflow_hash": workflow.hash,
                    "event": event, "queued": queued,
                });
                self.note("run.started", by, details).await;
                Ok(Started { run: id, state: RunState::Running, existed: false })
            }
            RunStarted::Exists { run, state } => Ok(Started { run, state, existed: true }),
            RunStarted::Refused { reason } => Err(StartError::Refused(reason)),
        }
    }

    /// Returns the run once it has ended or waits for a person, or `longest` is over; `None` when there is no such run.
    pub async fn wait(&self, run: RunId, longest: Duration) -> Result<Option<RunRow>, LedgerError> {
        let clock = &self.core.deps.clock;
        let until = clock.now() + longest;
        let waiter = self.core.waiter(run);
        loop {
            let notified = waiter.notify.notified();
            tokio::pin!(notified);
            // From here on no notification is missed, so the look at the ledger comes after it.
            notified.as_mut().enable();
            let row = self.core.deps.ledger.run(run).await?;
            let Some(row) = row else { return Ok(None) };
            if row.ended_at.is_some() || waits_for_a_person(&row) || clock.now() >= until {
                return Ok(Some(row));
            }
            tokio::select! {
                () = notified => {}
                () = clock.sleep_until(until) => {}
            }
        }
    }

    /// The definition that a run is pinned to; `None` when this program cannot read it.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn definition(&self, run: &RunRow) -> Result<Option<Arc<Workflow>>, LedgerError> {
        self.core.definition(run).await
    }

    /// An event came; steps that wait for it go on. To be called for every event, once it is committed; `context` is what a
    /// run of it would see. Returns how many waits it ended.
    pub async fn event_arrived(&self, event: EventId, context: &RunContext) -> Result<usize, LedgerError> {
        runner::arrived(&self.core, event, context).await
    }

    /// The runs with a step that waits for such an event, as far as can be known before it is taken.
    pub async fn event_wanted(&self, context: &RunContext) -> Result<Vec<RunId>, LedgerError> {
        runner::wanted(&self.core, context).await
    }

    /// Ends a run, its waiting approvals and its child runs; kills what it runs now.
    pub async fn cancel(&self, run: RunId, by: &str) -> Result<CancelOutcome, LedgerError> {
        let deps = &self.core.deps;
        let Some(row) = deps.ledger.run(run).await? else { return Ok(CancelOutcome::Unknown) };
        let reason = format!("cancelled by {}", person(by));
        let ended: Vec<StepRow> = row.steps.iter().cloned().map(as_cancelled).collect();
        let notices = runner::notices(&self.core, &row, ended.iter(), RunState::Cancelled, Some(reason.as_str()));
        let cancel = CancelRun { run, by: by.to_owned(), at: deps.clock.now(), notices };
        let outcome = deps.ledger.cancel_run(cancel).await?;
        match &outcome {
            CancelOutcome::Ended { touched } => {
                self.core.touched(run);
                if let Some(parent) = &row.parent {
                    self.core.poke(parent.run);
                }
                for child in touched {
                    self.core.touched(*child);
                    self.core.poke(*child);
                }
            }
            CancelOutcome::Asked => self.core.poke(run),
            CancelOutcome::AlreadyEnded { .. } | CancelOutcome::Unknown => return Ok(outcome),
        }
        self.note("run.cancelled", by, json!({ "run": run, "workflow": row.workflow })).await;
        Ok(outcome)
    }

    /// Goes on with a run that failed, from its failed step. Gates ask again.
    pub async fn retry(&self, run: RunId, by: &str) -> Result<RetryOutcome, LedgerError> {
        let deps = &self.core.deps;
        let Some(row) = deps.ledger.run(run).await? else { return Ok(RetryOutcome::Unknown) };
        if row.state != RunState::Error {
            return Ok(RetryOutcome::NotFailed { state: row.state });
        }
        let Some(workflow) = self.core.definition(&row).await? else {
            return Err(LedgerError::Invalid("its definition cannot be read by this version".into()));
        };
        let now = deps.clock.now();
        let deadline_at = workflow.timeout.map(|timeout| now + timeout);
        let retry = RetryRun { run, reset: runner::keys_to_retry(&workflow, &row), deadline_at, at: now };
        let outcome = deps.ledger.retry_run(retry).await?;
        if outcome == RetryOutcome::Again {
            self.note("run.retried", by, json!({ "run": run, "workflow": row.workflow })).await;
        }
        Ok(outcome)
    }

    /// Writes down what a person did. It has happened already, so a failure is only told in the log.
    pub(super) async fn note(&self, what: &'static str, by: &str, details: serde_json::Value) {
        let entry = AuditEntry::new(self.core.deps.clock.now(), what, by, details);
        if let Err(error) = self.core.deps.audit.record(entry).await {
            tracing::error!(what, by, %error, "something is not in the audit log");
        }
    }
}

/// Whether the run waits for a decision.
fn waits_for_a_person(run: &RunRow) -> bool {
    let asks = |step: &StepRow| {
        // A step that waits for a time, a child or an event has a time at which that is over.
        step.state == StepState::Waiting && step.approval_id.is_some() && step.due_at.is_none()
    };
    match run.state {
        RunState::InDoubt => true,
        RunState::Waiting => run.steps.iter().any(asks),
        _ => false,
    }
}

/// A step as it will be when its run is cancelled while nobody works on it.
fn as_cancelled(mut step: StepRow) -> StepRow {
    step.state = match step.state {
        StepState::Ready => StepState::Skipped,
        StepState::Waiting | StepState::Started => StepState::Cancelled,
        other => other,
    };
    step
}
