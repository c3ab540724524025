//! A run while it is held: its rows, what others changed, and what the next commit writes.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::plan::{Failure, Place, View};
use super::rows::Rows;
use crate::domain::approval::ApprovalState;
use crate::domain::run::RunState;
use crate::ledger::runs::{
    ApprovalBrief, ChildBrief, ClaimedRun, NewApproval, NewEventWait, NewRun, RunChange, RunContext, RunNews, RunRow,
    StepRow, WaitBrief,
};
use crate::workflow::definition::Workflow;
use crate::workflow::expr::{ErrorView, Scope};

/// A run that this worker holds.
#[derive(Debug)]
pub(super) struct Held {
    /// The run without its steps.
    pub run: RunRow,
    pub epoch: i64,
    pub deadline_at: Option<Timestamp>,
    pub context: RunContext,
    pub news: RunNews,
    pub workflow: Arc<Workflow>,
    pub rows: Rows,
    /// The items of loops that have begun.
    pub items: HashMap<String, Vec<Value>>,
    /// What the next commit writes beside rows.
    pub changes: Vec<RunChange>,
    /// What went wrong in the main part.
    pub failure: Option<Failure>,
    base: Scope,
    /// The scope with the steps that had ended when it was made.
    stepped: Option<Scope>,
}

impl Held {
    /// Takes a claimed run.
    pub(super) fn new(claimed: ClaimedRun, workflow: Arc<Workflow>) -> Self {
        let ClaimedRun { mut row, epoch, context, deadline_at, depth: _, news } = claimed;
        let rows = Rows::new(std::mem::take(&mut row.steps));
        let base = scope_of(&context);
        Self {
            run: row,
            epoch,
            deadline_at,
            context,
            news,
            workflow,
            rows,
            items: HashMap::new(),
            changes: Vec::new(),
            failure: None,
            base,
            stepped: None,
        }
    }

    /// What the planner looks at.
    pub(super) fn view<'a>(&'a self, now: Timestamp, over: Option<&'a str>) -> View<'a> {
        View { rows: &self.rows, news: &self.news, items: &self.items, now, epoch: self.epoch, over }
    }

    /// Puts a row in its place.
    pub(super) fn put(&mut self, row: StepRow) {
        if row.state.is_ended() {
            self.stepped = None;
        }
        self.rows.put(row);
    }

    /// The row of a place as it is, or as it will be made.
    pub(super) fn row(&self, place: &Place<'_>) -> StepRow {
        self.rows.of(place.step, &place.key, place.item.is_some())
    }

    /// What the expressions of a step see.
    pub(super) fn scope(&mut self, place: &Place<'_>) -> Scope {
        let stepped = match &self.stepped {
            Some(stepped) => stepped.clone(),
            None => {
                let stepped = self.base.clone().steps(&self.rows.views());
                self.stepped = Some(stepped.clone());
                stepped
            }
        };
        let previous = place.previous.as_ref().and_then(|key| self.rows.get(key)).and_then(|row| row.output.clone());
        let mut scope = stepped.previous_output(previous.unwrap_or(Value::Null));
        if let Some(item) = place.item {
            let loop_key = place.key.rsplit_once('[').map_or(place.key.as_str(), |(base, _)| base);
            let items = self.items.get(loop_key);
            scope = scope.item(items.and_then(|items| items.get(item)).cloned().unwrap_or(Value::Null));
        }
        if let (true, Some(failure)) = (place.in_failure, &self.failure) {
            scope = scope.error(&ErrorView { step: failure.step.clone(), message: failure.message.clone() });
        }
        scope
    }

    /// Asks approvers.
    pub(super) fn ask(&mut self, approval: NewApproval) {
        self.news.approvals.push(ApprovalBrief {
            id: approval.id,
            step: approval.step.clone(),
            state: ApprovalState::Pending,
            digest: approval.digest.clone(),
            reason: None,
            decided_by: None,
        });
        self.changes.push(RunChange::Ask(Box::new(approval)));
    }

    /// Starts a child run.
    pub(super) fn start_child(&mut self, key: &str, child: NewRun) {
        self.news.children.push(ChildBrief {
            run: child.id,
            step: key.to_owned(),
            state: RunState::Running,
            reason: None,
            ended: false,
            output: None,
        });
        self.changes.push(RunChange::Child(Box::new(child)));
    }

    /// Waits for an event.
    pub(super) fn await_event(&mut self, wait: NewEventWait) {
        self.news.waits.push(WaitBrief { step: wait.step.clone(), output: None, expired: false });
        self.changes.push(RunChange::Await(Box::new(wait)));
    }

    /// Everything that the next commit writes.
    pub(super) fn take_changes(&mut self) -> Vec<RunChange> {
        let rows = self.rows.take_changed().into_iter().map(|row| RunChange::Step(Box::new(row)));
        let others = std::mem::take(&mut self.changes);
        rows.chain(others).collect()
    }

    /// Whether the next commit has something to write.
    pub(super) fn is_changed(&self) -> bool {
        self.rows.is_changed() || !self.changes.is_empty()
    }
}

/// What the expressions of a run see before its first step.
pub(super) fn scope_of(context: &RunContext) -> Scope {
    Scope::new(context.payload.clone())
        .event_value(object(&context.event))
        .facts(object(&context.facts))
        .inputs(object(&context.inputs))
}

fn object(value: &Value) -> Value {
    if value.is_null() { Value::Object(serde_json::Map::new()) } else { value.clone() }
}
