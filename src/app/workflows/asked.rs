//! What channels and the webhook server ask of workflows, through the traits that they own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Workflows, manual};
use crate::channel::{Ballot, Operations, Person, Word, WorkflowInfo};
use crate::domain::event::Arrival;
use crate::domain::fault::Fault;
use crate::domain::ids::{ApprovalId, RunId};
use crate::intake::{Matched, WorkflowRoute, Workflows as Routes};
use crate::ledger::LedgerError;
use crate::ledger::runs::{
    ApprovalRow, CancelOutcome, DecideOutcome, NonceRow, RetryOutcome, RunLedger, RunRow, SettleOutcome,
};
use crate::workflow::definition::Trigger;
use crate::workflow::engine::{Decider, Decision, SettleRequest, StartError};

fn decider(person: Person) -> Decider {
    match person {
        Person::Telegram(user) => Decider::Telegram(user),
        Person::LocalAdmin => Decider::LocalAdmin,
    }
}

#[async_trait]
impl Operations for Workflows {
    fn runs(&self) -> &Arc<dyn RunLedger> {
        self.engine.ledger()
    }

    async fn decide(&self, ballot: Ballot) -> Result<DecideOutcome, LedgerError> {
        let Ballot { approval, by, channel, verdict, reason, nonce } = ballot;
        let channel = channel.to_owned();
        self.engine.decide(Decision { approval, by: decider(by), channel, verdict, reason, nonce }).await
    }

    async fn settle(&self, word: Word) -> Result<SettleOutcome, LedgerError> {
        let Word { run, step, verdict, by, channel, nonce } = word;
        let channel = channel.to_owned();
        self.engine.settle(SettleRequest { run, step, verdict, by: decider(by), channel, nonce }).await
    }

    fn may_decide(&self, who: Person, approval: &ApprovalRow) -> bool {
        self.engine.may_decide(decider(who), approval)
    }

    async fn nonces(&self, approval: ApprovalId, purposes: &[&str]) -> Result<Vec<String>, LedgerError> {
        self.engine.nonces(approval, purposes).await
    }

    async fn nonce(&self, text: &str) -> Result<Option<NonceRow>, LedgerError> {
        self.engine.nonce(text).await
    }

    fn workflows(&self) -> Vec<WorkflowInfo> {
        let faults = self.catalog.faults();
        let info = |workflow: &Arc<crate::workflow::definition::Workflow>| WorkflowInfo {
            name: workflow.name.clone(),
            description: workflow.description.clone(),
            trigger: workflow.trigger.as_str().to_owned(),
            enabled: workflow.enabled,
            next: workflow.next_words(self.clock.now()),
            stale: faults.iter().any(|fault| fault.file == workflow.file),
        };
        self.catalog.list().iter().map(info).collect()
    }

    async fn start(
        &self,
        workflow: &str,
        inputs: Map<String, Value>,
        by: Person,
    ) -> Result<Result<RunId, String>, LedgerError> {
        let request = manual(workflow, inputs, by.to_string(), self.desks.fallback.chat.clone());
        match self.engine.start(request).await {
            Ok(started) => Ok(Ok(started.run)),
            Err(StartError::Ledger(error)) => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    fn reload(&self) -> (usize, Vec<String>) {
        self.catalog.reload();
        let faults = self.catalog.faults().iter().map(Fault::to_string).collect();
        (self.catalog.list().len(), faults)
    }

    async fn cancel(&self, run: RunId, by: Person) -> Result<CancelOutcome, LedgerError> {
        self.engine.cancel(run, &by.to_string()).await
    }

    async fn retry(&self, run: RunId, by: Person) -> Result<RetryOutcome, LedgerError> {
        self.engine.retry(run, &by.to_string()).await
    }
}

#[async_trait]
impl Routes for Workflows {
    fn route(&self, name: &str) -> Option<WorkflowRoute> {
        let workflow = self.catalog.get(name).filter(|workflow| workflow.trigger == Trigger::Webhook)?;
        Some(WorkflowRoute { enabled: workflow.enabled })
    }

    fn listens_to(&self, handler: &str) -> bool {
        self.triggers.listens_to(handler)
    }

    async fn on_event(&self, event: &Arrival<'_>) -> Result<Matched, LedgerError> {
        let mut outcome = self.triggers.on_event(event).await?;
        if outcome.reason.is_some() {
            // No workflow starts for it, but a step may be waiting for this very event: then it was not for nothing.
            let awaited = self.triggers.awaited(event).await?;
            outcome.reason = outcome.reason.filter(|_| awaited.is_empty());
            outcome.runs.extend(awaited);
        }
        Ok(Matched { runs: outcome.runs, reason: outcome.reason })
    }

    async fn start(&self, event: &Arrival<'_>) -> Result<Result<RunId, String>, LedgerError> {
        self.triggers.on_route(event).await
    }

    async fn wait(&self, run: RunId, longest: Duration) -> Result<Option<RunRow>, LedgerError> {
        self.engine.wait(run, longest).await
    }
}
