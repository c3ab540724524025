//! What people decide: approvals, steps in doubt, and the nonces of the buttons that they press.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Decider, Engine};
use crate::domain::approval::{ApprovalKind, Settle, Vote, person};
use crate::domain::ids::{ApprovalId, RunId};
use crate::domain::run::RunState;
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::LedgerError;
use crate::ledger::runs::{
    ApprovalFilter, ApprovalRow, DecideOutcome, NewDecision, NewNonce, NonceRow, RUNS_PAGE_MAX, RunRow, SettleOutcome,
    SettleStep,
};
use crate::workflow::runner;

/// Longest reason of a decision, in characters.
const REASON_CHARS_MAX: usize = 500;

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

impl Engine {
    /// The one way in which an approval is decided, from whatever channel.
    pub async fn decide(&self, decision: Decision) -> Result<DecideOutcome, LedgerError> {
        let deps = &self.core.deps;
        let Some(approval) = deps.ledger.approval(decision.approval).await? else { return Ok(DecideOutcome::Unknown) };
        let by = decision.by.to_string();
        let reason = decision.reason.as_deref().map(|reason| clip_chars(&one_line(reason), REASON_CHARS_MAX));
        let reason = reason.filter(|reason| !reason.is_empty());
        let details = |outcome: &str| {
            json!({
                "approval": approval.id, "run": approval.run_id, "workflow": approval.workflow, "step": approval.step,
                "digest": approval.digest, "channel": decision.channel, "verdict": decision.verdict,
                "reason": reason, "outcome": outcome,
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
                reason: reason.clone(),
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
        let reason = format!("left in doubt by {}", person(&by));
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

    /// Makes nonces for the buttons of a card, one for each purpose, in that order. Only their hashes are kept.
    pub async fn nonces(&self, approval: ApprovalId, purposes: &[&str]) -> Result<Vec<String>, LedgerError> {
        let texts: Vec<String> = purposes.iter().map(|_| self.core.deps.ids.token()).collect();
        let new =
            |(text, purpose): (&String, &&str)| NewNonce { hash: nonce_hash(text), purpose: (*purpose).to_owned() };
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
