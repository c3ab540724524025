//! The engine as others see it: start a run, wait for it, end it, decide, settle, look.
//!
//! Everything that a person does to a run comes through here, whatever channel they use: who may do it is checked in one
//! place, the ledger does it in one transaction, and the answer is what really happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::domain::approval::{Settle, Vote};
use crate::domain::ids::{ApprovalId, EventId, RunId};
use crate::domain::notice::ChatKey;
use crate::domain::run::{RunSource, RunState};
use crate::ledger::LedgerError;
use crate::ledger::runs::{
    ApprovalRow, CancelOutcome, DecideOutcome, NonceRow, RetryOutcome, RunContext, RunLedger, RunRow, SettleOutcome,
};
use crate::ports::{Clock, Ids};
use crate::telemetry::Audit;

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

/// What the engine works with.
#[derive(Debug, Clone)]
pub struct EngineDeps {
    /// Runs, approvals, definitions.
    pub ledger: Arc<dyn RunLedger>,
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
    deps: Arc<EngineDeps>,
}

impl Engine {
    /// An engine that works once [`Engine::run`] does.
    pub fn new(deps: EngineDeps) -> Self {
        Self { deps: Arc::new(deps) }
    }

    /// The runs and approvals, for looking.
    pub fn ledger(&self) -> &Arc<dyn RunLedger> {
        &self.deps.ledger
    }

    /// Works until `shutdown`; steps that have begun are finished first, unless the caller drops this.
    pub async fn run(&self, shutdown: tokio_util::sync::CancellationToken) {
        shutdown.cancelled().await;
    }

    /// Starts a run. `Ok` means that it is on disk.
    pub async fn start(&self, request: StartRequest) -> Result<Started, StartError> {
        Err(StartError::Unknown(request.workflow))
    }

    /// Returns the run once it has ended, waits for somebody or something else, or `longest` is over.
    pub async fn wait(&self, run: RunId, _longest: Duration) -> Result<Option<RunRow>, LedgerError> {
        self.deps.ledger.run(run).await
    }

    /// An event came; steps that wait for it go on. To be called for every event, once it is committed.
    pub async fn event_arrived(&self, _event: EventId, _context: &RunContext) -> Result<usize, LedgerError> {
        Ok(0)
    }

    /// Ends a run, its waiting approvals and its child runs; kills what it runs now.
    pub async fn cancel(&self, _run: RunId, _by: &str) -> Result<CancelOutcome, LedgerError> {
        Ok(CancelOutcome::Unknown)
    }

    /// Goes on with a run that failed, from its failed step. Gates ask again.
    pub async fn retry(&self, run: RunId, by: &str) -> Result<RetryOutcome, LedgerError> {
        let _ = by;
        Ok(if self.deps.ledger.run(run).await?.is_some() { RetryOutcome::Again } else { RetryOutcome::Unknown })
    }

    /// The one way in which an approval is decided, from whatever channel.
    pub async fn decide(&self, _decision: Decision) -> Result<DecideOutcome, LedgerError> {
        Ok(DecideOutcome::Unknown)
    }

    /// Settles a step in doubt.
    pub async fn settle(&self, _request: SettleRequest) -> Result<SettleOutcome, LedgerError> {
        Ok(SettleOutcome::Unknown)
    }

    /// Makes nonces for the buttons of a card, one for each purpose, in that order. Only their hashes are kept.
    pub async fn nonces(&self, approval: ApprovalId, purposes: &[&str]) -> Result<Vec<String>, LedgerError> {
        let texts: Vec<String> = purposes.iter().map(|_| self.deps.ids.token()).collect();
        let new = |(text, purpose): (&String, &&str)| crate::ledger::runs::NewNonce {
            hash: nonce_hash(text),
            purpose: (*purpose).to_owned(),
        };
        let nonces = texts.iter().zip(purposes).map(new).collect();
        self.deps.ledger.add_nonces(approval, nonces).await?;
        Ok(texts)
    }

    /// What a button stands for; `None` for one that is not ours.
    pub async fn nonce(&self, text: &str) -> Result<Option<NonceRow>, LedgerError> {
        self.deps.ledger.nonce(nonce_hash(text)).await
    }

    /// Whether `who` is among those who may decide `approval`.
    pub fn may_decide(&self, who: Decider, approval: &ApprovalRow) -> bool {
        self.deps.people.may_decide(who, &approval.approvers)
    }
}

fn nonce_hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
