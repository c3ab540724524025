//! What a run does next: decided from its definition, its rows and the time alone, so that a crash changes nothing about it.
//!
//! The planner starts nothing and writes nothing; it says which steps' turn has come, which rows have an end, when to look
//! again, and whether the run is over.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::rows::{FAILURE_PREFIX, Rows, item_key};
use crate::domain::approval::{ApprovalState, person};
use crate::domain::ids::RunId;
use crate::domain::run::{RunState, StepKind, StepState};
use crate::ledger::runs::{RunNews, StepRow};
use crate::workflow::definition::{OnError, Step, StepBody, Workflow};

/// Times that one step may be begun and cut off by the end of the process, before it is given up: one that brings the
/// process down would do so at every start.
pub(super) const BEGINNINGS_MAX: u32 = 50;

/// A step at its place in the run.
#[derive(Debug, Clone)]
pub(super) struct Place<'w> {
    /// Its definition.
    pub step: &'w Step,
    /// Its key.
    pub key: String,
    /// Which item of `for_each`.
    pub item: Option<usize>,
    /// The key of the step before it, whose output is `previous_output`.
    pub previous: Option<String>,
    /// Whether it belongs to `on_failure`.
    pub in_failure: bool,
}

/// What is to be done about a step.
#[derive(Debug, Clone)]
pub(super) enum Intent<'w> {
    /// Its turn has come: it begins if its condition and its gate agree.
    Begin(Place<'w>),
    /// It was begun by a process that is gone, and may not be done again: find out whether it happened.
    Doubt(Place<'w>),
    /// A child run took too long.
    EndChild(RunId),
}

/// What a failed step says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// The step's name.
    pub step: String,
    /// What went wrong.
    pub message: String,
}

/// What the planner looks at.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub rows: &'a Rows,
    pub news: &'a RunNews,
    /// The items of loops that have begun.
    pub items: &'a HashMap<String, Vec<Value>>,
    pub now: Timestamp,
    /// The lease's epoch: `started` rows of another one were cut off.
    pub epoch: i64,
    /// Set once the run's time is over: what to say.
    pub over: Option<&'a str>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// Something is under way, or somebody or something is waited for.
    Wait,
    /// A person must settle a step first.
    Doubt,
    /// The run ends.
    End { state: RunState, failure: Option<Failure> },
}

/// The plan.
#[derive(Debug)]
pub(super) struct Plan<'w> {
    pub intents: Vec<Intent<'w>>,
    /// Rows that have an end now.
    pub writes: Vec<StepRow>,
    /// When to look again.
    pub wake: Option<Timestamp>,
    pub next: Next,
    /// What went wrong in the main part, for `error` in `on_failure`.
    pub failure: Option<Failure>,
}

/// How far a step or a list of them is.
#[derive(Debug, Clone, PartialEq)]
enum Progress {
    Done,
    Failed(Failure),
    /// Denied, expired or cancelled: nothing further of the run happens.
    Stopped(StepState),
    Busy,
    Doubt,
}

/// Plans.
pub(super) fn plan<'w>(workflow: &'w Workflow, view: &View<'_>) -> Plan<'w> {
    let mut planner = Planner { view, intents: Vec::new(), writes: Vec::new(), wake: None, in_failure: false };
    let mut failure = None;
    let mut progress = planner.list(&workflow.steps, "");
    if let Progress::Failed(failed) = progress {
        planner.in_failure = true;
        progress = match planner.list(&workflow.on_failure, FAILURE_PREFIX) {
            Progress::Done | Progress::Failed(_) | Progress::Stopped(_) => Progress::Failed(failed.clone()),
            other @ (Progress::Busy | Progress::Doubt) => other,
        };
        failure = Some(failed);
    }
    let stopped = view.rows.iter().chain(&planner.writes).any(|row| is_stop(row.state));
    if stopped {
        // What runs beside a step that was denied may end; nothing new begins.
        planner.intents.retain(|intent| matches!(intent, Intent::Doubt(_)));
    }
    let in_flight = view.rows.iter().any(|row| is_in_flight(row, view.epoch));
    let next = match progress {
        _ if in_flight || !planner.intents.is_empty() => Next::Wait,
        Progress::Done => Next::End { state: RunState::Success, failure: None },
        Progress::Failed(failed) => Next::End { state: RunState::Error, failure: Some(failed) },
        Progress::Stopped(state) => Next::End { state: run_state(state), failure: None },
        Progress::Busy if stopped && failure.is_none() => {
            let state = view.rows.iter().chain(&planner.writes).find(|row| is_stop(row.state)).map(|row| row.state);
            Next::End { state: state.map_or(RunState::Cancelled, run_state), failure: None }
        }
        Progress::Busy => Next::Wait,
        Progress::Doubt => Next::Doubt,
    };
    let Planner { intents, writes, wake, .. } = planner;
    Plan { intents, writes, wake, next, failure }
}

fn is_stop(state: StepState) -> bool {
    matches!(state, StepState::Denied | StepState::Expired | StepState::Cancelled)
}

/// Whether this worker has it under way.
pub(super) fn is_in_flight(row: &StepRow, epoch: i64) -> bool {
    row.state == StepState::Started && row.kind == StepKind::Tool && row.epoch == epoch
}

fn run_state(state: StepState) -> RunState {
    match state {
        StepState::Denied => RunState::Denied,
        StepState::Expired => RunState::Expired,
        _ => RunState::Cancelled,
    }
}

struct Planner<'w, 'v, 'a> {
    view: &'v View<'a>,
    intents: Vec<Intent<'w>>,
    writes: Vec<StepRow>,
    wake: Option<Timestamp>,
    in_failure: bool,
}

impl<'w> Planner<'w, '_, '_> {
    fn list(&mut self, steps: &'w [Step], prefix: &str) -> Progress {
        let mut previous = None;
        for step in steps {
            let key = format!("{prefix}{}", step.name);
            let place = Place { step, key, item: None, previous: previous.clone(), in_failure: self.in_failure };
            match self.step(&place, prefix) {
                Progress::Done => {
                    let skipped = self.view.rows.get(&place.key).is_some_and(|row| row.state == StepState::Skipped);
                    if !skipped {
                        previous = Some(place.key);
                    }
                }
                other => return other,
            }
        }
        Progress::Done
    }

    fn step(&mut self, place: &Place<'w>, prefix: &str) -> Progress {
        let row = self.view.rows.of(place.step, &place.key, place.item.is_some());
        match row.state {
            StepState::Success | StepState::Skipped => Progress::Done,
            StepState::Error => self.failed(place, &row),
            StepState::Denied | StepState::Expired | StepState::Cancelled => Progress::Stopped(row.state),
            StepState::InDoubt => Progress::Doubt,
            StepState::Ready => self.begin(place, row),
            StepState::Waiting | StepState::Started => match (row.kind, &place.step.body) {
                (StepKind::Group, StepBody::Parallel(steps)) => self.group(place, row, steps, prefix),
                (StepKind::Loop, _) => self.each(place, row),
                _ if row.state == StepState::Started => self.started(place, row),
                _ => self.waiting(place, row),
            },
        }
    }

    /// A failed step, in the light of its `on_error`. An item's failure is its loop's affair.
    fn failed(&self, place: &Place<'_>, row: &StepRow) -> Progress {
        if place.item.is_none() && place.step.on_error == OnError::Continue {
            return Progress::Done;
        }
        let message = row.error.clone().unwrap_or_else(|| "it failed".into());
        Progress::Failed(Failure { step: row.name.clone(), message })
    }

    fn begin(&mut self, place: &Place<'w>, row: StepRow) -> Progress {
        if let Some(progress) = self.too_late(place, &row) {
            return progress;
        }
        self.intents.push(Intent::Begin(place.clone()));
        Progress::Busy
    }

    /// The end of a step that cannot begin or go on because the run's time is over.
    fn too_late(&mut self, place: &Place<'_>, row: &StepRow) -> Option<Progress> {
        let over = self.view.over.filter(|_| !self.in_failure)?.to_owned();
        self.end(row.clone(), StepState::Error, Some(over.clone()));
        // Whatever its `on_error` says: what follows is too late as well.
        Some(Progress::Failed(Failure { step: place.step.name.clone(), message: over }))
    }

    fn end(&mut self, mut row: StepRow, state: StepState, error: Option<String>) -> StepRow {
        row.state = state;
        row.error = error;
        row.ended_at = Some(self.view.now);
        row.due_at = None;
        self.writes.push(row.clone());
        row
    }

    fn started(&mut self, place: &Place<'w>, row: StepRow) -> Progress {
        if is_in_flight(&row, self.view.epoch) {
            return Progress::Busy;
        }
        if row.attempt >= BEGINNINGS_MAX {
            let message = format!("the agent ended {BEGINNINGS_MAX} times while it ran");
            let row = self.end(row, StepState::Error, Some(message));
            return self.failed(place, &row);
        }
        if row.effect.is_some_and(|effect| effect.is_repeatable()) {
            return self.begin(place, row);
        }
        self.intents.push(Intent::Doubt(place.clone()));
        Progress::Busy
    }

    fn waiting(&mut self, place: &Place<'w>, row: StepRow) -> Progress {
        let tool = row.tool.as_deref().unwrap_or_default();
        match (tool, row.due_at) {
            ("run_workflow", Some(due)) if row.attempt > 0 => self.child(place, row, due),
            ("wait_for_event", _) if row.attempt > 0 => self.event(place, row),
            (_, Some(due)) if due <= self.view.now => self.begin(place, row),
            (_, Some(due)) => self.too_late(place, &row).unwrap_or_else(|| self.busy_until(due)),
            (_, None) => self.gate(place, row),
        }
    }

    fn busy_until(&mut self, at: Timestamp) -> Progress {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        Progress::Busy
    }

    fn gate(&mut self, place: &Place<'w>, row: StepRow) -> Progress {
        let found = self.view.news.approvals.iter().find(|approval| Some(approval.id) == row.approval_id);
        let Some(approval) = found else { return self.begin(place, row) };
        let who = approval.decided_by.as_deref().map_or_else(|| "somebody".into(), person);
        let why = approval.reason.clone();
        match approval.state {
            ApprovalState::Approved => self.begin(place, row),
            ApprovalState::Pending if self.view.over.is_some() && !self.in_failure => {
                let over = self.view.over.map(str::to_owned);
                self.stop(row, StepState::Expired, over)
            }
            ApprovalState::Pending => Progress::Busy,
            ApprovalState::Denied => {
                let words = why.map_or_else(|| format!("denied by {who}"), |why| format!("denied by {who}: {why}"));
                self.stop(row, StepState::Denied, Some(words))
            }
            ApprovalState::Expired => self.stop(row, StepState::Expired, why),
            ApprovalState::Cancelled => self.stop(row, StepState::Cancelled, why),
        }
    }

    fn stop(&mut self, row: StepRow, state: StepState, error: Option<String>) -> Progress {
        self.end(row, state, error);
        Progress::Stopped(state)
    }

    fn child(&mut self, place: &Place<'w>, mut row: StepRow, due: Timestamp) -> Progress {
        let Some(child) = self.view.news.children.iter().find(|child| child.step == row.key) else {
            return self.begin(place, row);
        };
        if child.ended {
            let output = child.output.clone().unwrap_or(Value::Null);
            row.output = Some(json!({ "run_id": child.run, "state": child.state, "output": output }));
            row.tainted = true;
            if child.state == RunState::Success {
                self.end(row, StepState::Success, None);
                return Progress::Done;
            }
            let why = child.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let message = format!("the child run {} ended as {}{why}", child.run, child.state);
            let row = self.end(row, StepState::Error, Some(message));
            return self.failed(place, &row);
        }
        if due <= self.view.now || (self.view.over.is_some() && !self.in_failure) {
            self.intents.push(Intent::EndChild(child.run));
            let message = format!("the child run {} took too long", child.run);
            let row = self.end(row, StepState::Error, Some(message));
            return self.failed(place, &row);
        }
        self.busy_until(due)
    }

    fn event(&mut self, place: &Place<'w>, mut row: StepRow) -> Progress {
        let Some(wait) = self.view.news.waits.iter().find(|wait| wait.step == row.key) else {
            return self.begin(place, row);
        };
        if let Some(output) = &wait.output {
            row.output = Some(output.clone());
            row.tainted = true;
            self.end(row, StepState::Success, None);
            return Progress::Done;
        }
        if wait.expired {
            let row = self.end(row, StepState::Error, Some("no such event came in time".into()));
            return self.failed(place, &row);
        }
        self.too_late(place, &row).unwrap_or(Progress::Busy)
    }

    fn group(&mut self, place: &Place<'w>, mut row: StepRow, steps: &'w [Step], prefix: &str) -> Progress {
        let mut all = Vec::with_capacity(steps.len());
        for step in steps {
            let key = format!("{prefix}{}", step.name);
            let inner = Place { step, key, item: None, previous: place.previous.clone(), in_failure: self.in_failure };
            all.push(self.step(&inner, prefix));
        }
        let found = |wanted: fn(&Progress) -> bool| all.iter().find(|progress| wanted(progress)).cloned();
        if let Some(stopped) = found(|progress| matches!(progress, Progress::Stopped(_))) {
            return stopped;
        }
        if let Some(open) = found(|progress| matches!(progress, Progress::Busy)) {
            return open;
        }
        if let Some(doubt) = found(|progress| matches!(progress, Progress::Doubt)) {
            return doubt;
        }
        if let Some(Progress::Failed(failure)) = found(|progress| matches!(progress, Progress::Failed(_))) {
            self.end(row, StepState::Error, Some(format!("{}: {}", failure.step, failure.message)));
            let goes_on = place.step.on_error == OnError::Continue;
            return if goes_on { Progress::Done } else { Progress::Failed(failure) };
        }
        let output = |step: &Step| self.output(&format!("{prefix}{}", step.name)).unwrap_or(Value::Null);
        row.output = Some(steps.iter().map(|step| (step.name.clone(), output(step))).collect());
        self.end(row, StepState::Success, None);
        Progress::Done
    }

    /// The output of a row, as it is or as it is about to be written.
    fn output(&self, key: &str) -> Option<Value> {
        let written = self.writes.iter().rev().find(|row| row.key == key);
        written.or_else(|| self.view.rows.get(key)).and_then(|row| row.output.clone())
    }

    fn each(&mut self, place: &Place<'w>, mut row: StepRow) -> Progress {
        let count = self.view.items.get(&place.key).map_or(0, Vec::len);
        let mut first_failure: Option<Failure> = None;
        for index in 0..count {
            let item = Place { key: item_key(&place.key, index), item: Some(index), ..place.clone() };
            match self.step(&item, "") {
                Progress::Done => {}
                Progress::Failed(failure) => {
                    let goes_on = place.step.on_error == OnError::Continue;
                    first_failure.get_or_insert(failure);
                    if !goes_on {
                        break;
                    }
                }
                other => return other,
            }
        }
        let outputs = (0..count).map(|index| self.output(&item_key(&place.key, index)).unwrap_or(Value::Null));
        row.output = Some(outputs.collect());
        row.tainted = true;
        match first_failure {
            None => {
                self.end(row, StepState::Success, None);
                Progress::Done
            }
            Some(failure) => {
                let row = self.end(row, StepState::Error, Some(format!("{}: {}", failure.step, failure.message)));
                self.failed(place, &row)
            }
        }
    }
}
