//! Approvals over the API: decided by the same function as everywhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warp::reply::Response;

use super::call::{Call, ok};
use crate::dashboard::REASON_CHARS_MAX;
use crate::dashboard::problem::Problem;
use crate::domain::approval::Vote;
use crate::domain::ids::ApprovalId;
use crate::ledger::runs::{ApprovalFilter, ApprovalRow, DecideOutcome};
use crate::workflow::engine::{Decider, Decision};

/// From where a decision comes: the command line and the dashboard say so.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum From {
    Cli,
    Dashboard,
    #[default]
    Api,
}

impl From {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Dashboard => "dashboard",
            Self::Api => "api",
        }
    }
}

/// A decision.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Decision")]
pub(super) struct Verdict {
    /// Yes or no.
    #[schemars(with = "Vote")]
    verdict: String,
    /// Why; at most 500 characters.
    #[serde(default)]
    #[schemars(length(max = 500))]
    reason: Option<String>,
    /// From where; `api` when it is left out.
    #[serde(default)]
    channel: Option<From>,
}

/// What became of a decision.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Decided {
    /// It decided.
    Closed(Box<ApprovalRow>),
    /// It counts, and more votes are needed.
    Counted {
        /// `vote_counted`.
        status: &'static str,
        id: ApprovalId,
        votes: u32,
        votes_needed: u32,
    },
}

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let filter = ApprovalFilter {
        state: call.get_as("state")?,
        run: call.get_as("run")?,
        limit: call.number("limit")?.unwrap_or_default(),
        cursor: call.text("cursor"),
    };
    ok(&call.api.triggers.engine.ledger().approvals(filter).await?)
}

pub(super) async fn one(call: Call) -> Result<Response, Problem> {
    let id = call.var_as::<ApprovalId>(0)?;
    let row = call.api.triggers.engine.ledger().approval(id).await?;
    ok(&row.ok_or_else(|| Problem::not_found(format!("there is no approval {id}")))?)
}

pub(super) async fn decide(call: Call) -> Result<Response, Problem> {
    let approval = call.var_as::<ApprovalId>(0)?;
    let Verdict { verdict, reason, channel } = call.read()?;
    let verdict: Vote = verdict.parse().map_err(|_| Problem::bad_request("verdict is approve or deny"))?;
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return Err(Problem::bad_request(format!(
            "a reason is at most {REASON_CHARS_MAX} characters long; nothing changed"
        )));
    }
    let channel = channel.unwrap_or_default().as_str().to_owned();
    let decision = Decision { approval, by: Decider::LocalAdmin, channel, verdict, reason, nonce: None };
    let conflict = |detail: String| Err(Problem::conflict(format!("{detail}; nothing changed")));
    match call.api.triggers.engine.decide(decision).await? {
        DecideOutcome::Decided { approval } => ok(&Decided::Closed(approval)),
        DecideOutcome::VoteCounted { votes, needed } => {
            ok(&Decided::Counted { status: "vote_counted", id: approval, votes, votes_needed: needed })
        }
        DecideOutcome::AlreadyVoted { at, verdict } => conflict(format!("you voted before: {verdict}, at {at}")),
        DecideOutcome::AlreadyDecided { state, by, channel, at } => {
            conflict(format!("already {state} by {by} from {channel} at {at}"))
        }
        DecideOutcome::Expired { at } => conflict(format!("it expired at {at}")),
        DecideOutcome::Cancelled { reason } => conflict(format!("it is no longer asked: {reason}")),
        DecideOutcome::NotApprover { .. } | DecideOutcome::StaleButton => Err(Problem::forbidden("nothing changed")),
        DecideOutcome::Unknown => Err(Problem::not_found(format!("there is no approval {approval}"))),
    }
}
