//! What a runner and the ledger tell each other while a run is worked on: plain data, no behaviour.

use jiff::Timestamp;
use serde_json::Value;

use super::{NewApproval, NewEventWait, NewRun, RunContext, RunRow, StepRow};
use crate::domain::approval::ApprovalState;
use crate::domain::ids::{ApprovalId, RunId};
use crate::domain::run::RunState;
use crate::ledger::NewNotice;

/// A run that this worker holds.
#[derive(Debug, Clone)]
pub struct ClaimedRun {
    /// The run and its steps.
    pub row: RunRow,
    /// The lease's epoch; every write carries it.
    pub epoch: i64,
    /// What expressions see.
    pub context: RunContext,
    /// When it must have ended.
    pub deadline_at: Option<Timestamp>,
    /// How deep it is nested; 0 for a run of its own.
    pub depth: u32,
    /// What others may have changed.
    pub news: RunNews,
}

/// What others may have changed about a run while it is held.
#[derive(Debug, Clone, Default)]
pub struct RunNews {
    /// Who wants it to end.
    pub cancelled_by: Option<String>,
    /// Approvals that its steps wait for, by the step's current `approval_id`.
    pub approvals: Vec<ApprovalBrief>,
    /// Its child runs.
    pub children: Vec<ChildBrief>,
    /// Its waits for events.
    pub waits: Vec<WaitBrief>,
}

/// What a runner needs to know of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalBrief {
    /// Its id.
    pub id: ApprovalId,
    /// The step's key.
    pub step: String,
    /// Its state.
    pub state: ApprovalState,
    /// The digest that was approved.
    pub digest: String,
    /// Why it was denied or cancelled.
    pub reason: Option<String>,
    /// Who decided.
    pub decided_by: Option<String>,
}

/// What a runner needs to know of a child run.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildBrief {
    /// Its id.
    pub run: RunId,
    /// The parent step's key.
    pub step: String,
    /// Where it is.
    pub state: RunState,
    /// Why it ended.
    pub reason: Option<String>,
    /// Whether it has ended.
    pub ended: bool,
    /// The output of its last step that has one.
    pub output: Option<Value>,
}

/// What a runner needs to know of a wait for an event.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitBrief {
    /// The step's key.
    pub step: String,
    /// What came, once it came.
    pub output: Option<Value>,
    /// Whether its time is over.
    pub expired: bool,
}

/// What became of a run, written all or nothing.
#[derive(Debug, Clone)]
pub struct Advance {
    /// The run.
    pub run: RunId,
    /// The epoch under which it is held.
    pub epoch: i64,
    /// When.
    pub at: Timestamp,
    /// What changed, in this order.
    pub changes: Vec<RunChange>,
}

/// One change of a run.
#[derive(Debug, Clone)]
pub enum RunChange {
    /// A step's row, whole.
    Step(Box<StepRow>),
    /// A question to approvers. The step's row names it.
    Ask(Box<NewApproval>),
    /// A pending or unused approval that will not be used.
    Close {
        /// The approval.
        approval: ApprovalId,
        /// `Cancelled` or `Expired`.
        state: ApprovalState,
        /// Why.
        reason: String,
    },
    /// A wait for an event.
    Await(Box<NewEventWait>),
    /// A child run. Where it was started before, or is refused, nothing changes; `RunNews::children` tells.
    Child(Box<NewRun>),
    /// The lease is given back.
    Release {
        /// `Running`, `Waiting` or `InDoubt`.
        state: RunState,
        /// When the run must be looked at again; `None` when only somebody else can move it.
        due_at: Option<Timestamp>,
    },
    /// The run ends: open approvals and waits are closed, child runs cancelled, the next run in line is let go, the parent
    /// is woken and the notices are kept.
    End {
        /// An ended state, or `InDoubt` for a run that is left so.
        state: RunState,
        /// Why, where that needs saying.
        reason: Option<String>,
        /// What to say to whom.
        notices: Vec<NewNotice>,
    },
}

/// What `advance` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advanced {
    /// Whether the epoch held the run; nothing was written if not.
    pub held: bool,
    /// Somebody else changed something meanwhile: read [`RunNews`] before waiting.
    pub disturbed: bool,
    /// Other runs that ended with it or were asked to.
    pub touched: Vec<RunId>,
    /// Child runs that were refused, by the parent step's key.
    pub refused: Vec<(String, String)>,
}

/// Something whose time was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expired {
    /// An approval became `expired`.
    Approval {
        /// It.
        approval: ApprovalId,
        /// Its run.
        run: RunId,
    },
    /// A wait for an event ran out.
    Wait {
        /// Its run.
        run: RunId,
    },
    /// People are reminded of an approval.
    Reminder {
        /// It.
        approval: ApprovalId,
    },
}
