//! The engine as others see it: start a run, wait for it, end it, decide, settle, look.
//!
//! Everything that a person does to a run comes through here, whatever channel they use: who may do it is checked in one
//! place, the ledger does it in one transaction, and the answer is what really happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::catalog::Catalog;
use super::definition::Workflow;
use super::runner::{self, Core};
use crate::domain::approval::{ApprovalKind, Settle, Vote, person};
use crate::domain::ids::{ApprovalId, EventId, RunId};
use crate::domain::notice::ChatKey;
use crate::domain::run::{RunSource, RunState, StepState};
use crate::ledger::LedgerError;
use crate::ledger::runs::{
    ApprovalFilter, ApprovalRow, CancelOutcome, CancelRun, DecideOutcome, NewDecision, NewRun, NonceRow, Proposal,
    RUNS_PAGE_MAX, RetryOutcome, RetryRun, RunContext, RunLedger, RunRow, RunStarted, SettleOutcome, SettleStep,
    StepRow,
};
use crate::ports::{Clock, Ids};
use crate::telemetry::{Audit, AuditEntry};
use crate::tool::{ToolContext, ToolRegistry};

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

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// A Telegram user, by the numeric id that Telegram vouches for.
    Telegram(u64),
    /// Whoever holds the data folder's token or the terminal that the agent runs in.
    LocalAdmin,
}

impl std::fmt::Display for Decider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Telegram(user) => write!(f, "telegram:{user}"),
            Self::LocalAdmin => f.write_str("local admin"),
        }
    }
}

impl std::str::FromStr for Decider {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_prefix("telegram:") {
            Some(user) => user.parse().map(Self::Telegram).map_err(|_| ()),
            None if text == "local admin" => Ok(Self::LocalAdmin),
            None => Err(()),
        }
    }
}

/// A decision about an approval.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The approval.
    pub approval: ApprovalId,
    /// Who decides.
    pub by: Decider,
    /// From where: `telegram`, `terminal`, `cli`, `dashboard`.
    pub channel: String,
    /// What.
    pub verdict: Vote,
    /// Why.
    pub reason: Option<String>,
    /// The button's nonce, when a button was pressed.
    pub nonce: Option<String>,
}

/// A word on a step in doubt.
#[derive(Debug, Clone)]
pub struct SettleRequest {
    /// The run.
    pub run: RunId,
    /// The step's name.
    pub step: String,
    /// The word.
    pub verdict: Settle,
    /// Who says it.
    pub by: Decider,
    /// From where.
    pub channel: String,
    /// The button's nonce, when a button was pressed.
    pub nonce: Option<String>,
}

/// People who may decide, from the configuration.
#[derive(Debug, Clone, Default)]
pub struct People {
    /// Users who may command the agent and decide gates that name nobody.
    pub allowed: Vec<u64>,
    /// Groups by name.
    pub groups: BTreeMap<String, Vec<u64>>,
}

impl People {
    /// Whether `who` may decide what `approvers` (names of groups, `telegram:ID` for one user; empty for every allowed user)
    /// decide. The local admin always may; it is recorded as such.
    pub fn may_decide(&self, who: Decider, approvers: &[String]) -> bool {
        let Decider::Telegram(user) = who else { return true };
        if approvers.is_empty() {
            return self.allowed.contains(&user);
        }
        let single = who.to_string();
        approvers
            .iter()
            .any(|name| *name == single || self.groups.get(name).is_some_and(|members| members.contains(&user)))
    }
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

    /// An event came; steps that wait for it go on. To be called for every event, once it is committed; `context` is what a
    /// run of it would see. Returns how many waits it ended.
    pub async fn event_arrived(&self, event: EventId, context: &RunContext) -> Result<usize, LedgerError> {
        runner::arrived(&self.core, event, context).await
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

    /// The one way in which an approval is decided, from whatever channel.
    pub async fn decide(&self, decision: Decision) -> Result<DecideOutcome, LedgerError> {
        let deps = &self.core.deps;
        let Some(approval) = deps.ledger.approval(decision.approval).await? else { return Ok(DecideOutcome::Unknown) };
        let by = decision.by.to_string();
        let details = |outcome: &str| {
            json!({
                "approval": approval.id, "run": approval.run_id, "workflow": approval.workflow, "step": approval.step,
                "digest": approval.digest, "channel": decision.channel, "verdict": decision.verdict,
                "reason": decision.reason, "outcome": outcome,
            })
        };
        if !deps.people.may_decide(decision.by, &approval.approvers) {
            self.note("decision.refused", &by, details("not an approver")).await;
            return Ok(DecideOutcome::NotApprover { approvers: approval.approvers });
        }
        // Somebody who voted and was taken off the list since has no say any more.
        let void = approval.decisions.iter().map(|vote| vote.by.clone());
        let void = void.filter(|by| by.parse().is_ok_and(|who| !deps.people.may_decide(who, &approval.approvers)));
        let outcome = deps
            .ledger
            .decide(NewDecision {
                void: void.collect(),
                approval: decision.approval,
                by: by.clone(),
                channel: decision.channel.clone(),
                verdict: decision.verdict,
                reason: decision.reason.clone(),
                nonce: decision.nonce.as_deref().map(nonce_hash),
                at: deps.clock.now(),
            })
            .await?;
        let (what, word) = told(&outcome);
        if what == "decision" {
            self.core.poke(approval.run_id);
        }
        self.note(what, &by, details(word)).await;
        Ok(outcome)
    }

    /// Settles a step in doubt.
    pub async fn settle(&self, request: SettleRequest) -> Result<SettleOutcome, LedgerError> {
        let deps = &self.core.deps;
        let Some(row) = deps.ledger.run(request.run).await? else { return Ok(SettleOutcome::Unknown) };
        let by = request.by.to_string();
        let approvers = self.settlers(&row, &request.step).await?;
        let details = json!({
            "run": row.id, "workflow": row.workflow, "step": request.step, "verdict": request.verdict,
            "channel": request.channel,
        });
        if !deps.people.may_decide(request.by, &approvers) {
            self.note("settle.refused", &by, details).await;
            return Ok(SettleOutcome::NotApprover { approvers });
        }
        let reason = format!("left in doubt by {by}");
        let notices = match request.verdict {
            Settle::Leave => {
                runner::notices(&self.core, &row, row.steps.iter(), RunState::InDoubt, Some(reason.as_str()))
            }
            Settle::Happened | Settle::NotHappened => Vec::new(),
        };
        let settle = SettleStep {
            run: request.run,
            step: request.step,
            verdict: request.verdict,
            by: by.clone(),
            channel: request.channel,
            nonce: request.nonce.as_deref().map(nonce_hash),
            at: deps.clock.now(),
            notices,
        };
        let outcome = deps.ledger.settle_step(settle).await?;
        if outcome == SettleOutcome::Settled {
            self.core.poke(request.run);
            self.core.touched(request.run);
            self.note("step.settled", &by, details).await;
        }
        Ok(outcome)
    }

    /// Who may settle a step: those whom the question about it names, else every allowed user.
    async fn settlers(&self, run: &RunRow, step: &str) -> Result<Vec<String>, LedgerError> {
        let filter = ApprovalFilter { run: Some(run.id), limit: RUNS_PAGE_MAX, ..ApprovalFilter::default() };
        let asked = self.core.deps.ledger.approvals(filter).await?.items;
        let about = |approval: &ApprovalRow| approval.kind == ApprovalKind::Settle && approval.step == step;
        Ok(asked.into_iter().find(about).map(|approval| approval.approvers).unwrap_or_default())
    }

    /// Writes down what a person did. It has happened already, so a failure is only told in the log.
    async fn note(&self, what: &'static str, by: &str, details: serde_json::Value) {
        let entry = AuditEntry::new(self.core.deps.clock.now(), what, by, details);
        if let Err(error) = self.core.deps.audit.record(entry).await {
            tracing::error!(what, by, %error, "something is not in the audit log");
        }
    }

    /// Makes nonces for the buttons of a card, one for each purpose, in that order. Only their hashes are kept.
    pub async fn nonces(&self, approval: ApprovalId, purposes: &[&str]) -> Result<Vec<String>, LedgerError> {
        let texts: Vec<String> = purposes.iter().map(|_| self.core.deps.ids.token()).collect();
        let new = |(text, purpose): (&String, &&str)| crate::ledger::runs::NewNonce {
            hash: nonce_hash(text),
            purpose: (*purpose).to_owned(),
        };
        let nonces = texts.iter().zip(purposes).map(new).collect();
        self.core.deps.ledger.add_nonces(approval, nonces).await?;
        Ok(texts)
    }

    /// What a button stands for; `None` for one that is not ours.
    pub async fn nonce(&self, text: &str) -> Result<Option<NonceRow>, LedgerError> {
        self.core.deps.ledger.nonce(nonce_hash(text)).await
    }

    /// Whether `who` is among those who may decide `approval`.
    pub fn may_decide(&self, who: Decider, approval: &ApprovalRow) -> bool {
        self.core.deps.people.may_decide(who, &approval.approvers)
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

/// What the audit log calls an outcome.
fn told(outcome: &DecideOutcome) -> (&'static str, &'static str) {
    match outcome {
        DecideOutcome::Decided { .. } => ("decision", "decided"),
        DecideOutcome::VoteCounted { .. } => ("decision", "counted"),
        DecideOutcome::AlreadyVoted { .. } => ("decision.refused", "voted before"),
        DecideOutcome::NotApprover { .. } => ("decision.refused", "not an approver"),
        DecideOutcome::AlreadyDecided { .. } => ("decision.refused", "decided before"),
        DecideOutcome::Expired { .. } => ("decision.refused", "expired"),
        DecideOutcome::Cancelled { .. } => ("decision.refused", "cancelled"),
        DecideOutcome::StaleButton => ("decision.refused", "stale button"),
        DecideOutcome::Unknown => ("decision.refused", "unknown approval"),
    }
}

fn nonce_hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
