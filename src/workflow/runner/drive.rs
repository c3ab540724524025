//! Drives one run while it is held: plan, commit, act, and again, until it ends or has only to wait.
//!
//! What a turn decides is committed in one transaction, the ends of steps together with the beginnings of the next; effects
//! begin after it. The lease is given back as soon as nothing is under way.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::call::{Around, Begun, Done, carry_out};
use super::held::Held;
use super::plan::{Failure, Intent, Next, Place, plan};
use super::rows::{FAILURE_PREFIX, Rows};
use super::settle::{Follow, Stopped};
use super::{Active, Core, doubt, outcome, prepare, settle};
use crate::domain::approval::{ApprovalState, person};
use crate::domain::duration;
use crate::domain::run::{RunState, StepKind, StepState};
use crate::ledger::runs::{Advance, Advanced, ApprovalBrief, CancelRun, ClaimedRun, RunChange, StepRow};
use crate::workflow::definition::{Step, StepBody, ToolStep, Workflow};

/// Plans within one turn, at most: each brings a step forward.
const PLANS_MAX: usize = 10_000;

/// Drives a claimed run until it ends, waits, or is lost.
pub(super) async fn drive(core: Arc<Core>, claimed: ClaimedRun, active: Arc<Active>) {
    let run = claimed.row.id;
    let workflow = match core.definition(&claimed.row).await {
        Ok(Some(workflow)) => workflow,
        Ok(None) => {
            end_unreadable(&core, claimed).await;
            return;
        }
        Err(error) => {
            tracing::warn!(run.id = %run, %error, "the definition of a run cannot be read; it goes on when its lease is over");
            return;
        }
    };
    let mut driver =
        Driver { held: Held::new(claimed, workflow), core, active, cancel: CancellationToken::new(), over: None };
    driver.recall_items();
    driver.run().await;
    driver.core.touched(run);
}

/// Ends a run whose definition this program cannot read.
async fn end_unreadable(core: &Core, claimed: ClaimedRun) {
    let reason = "its definition cannot be read by this version".to_owned();
    let notices =
        outcome::notices(core, &claimed.row, claimed.row.steps.iter(), RunState::Error, Some(reason.as_str()));
    let change = RunChange::End { state: RunState::Error, reason: Some(reason), notices };
    let at = core.deps.clock.now();
    let advance = Advance { run: claimed.row.id, epoch: claimed.epoch, at, changes: vec![change] };
    if let Err(error) = core.deps.ledger.advance(advance).await {
        tracing::warn!(run.id = %claimed.row.id, %error, "a run could not be ended; it is tried again");
    }
    core.touched(claimed.row.id);
}

struct Driver {
    core: Arc<Core>,
    held: Held,
    active: Arc<Active>,
    /// Stops what is under way.
    cancel: CancellationToken,
    /// Set once the run's time is over.
    over: Option<String>,
}

/// What a turn decided.
struct Turn {
    begun: Vec<Begun>,
    wake: Option<Timestamp>,
    /// The run was given back or has ended.
    leaves: bool,
}

impl Driver {
    async fn run(&mut self) {
        let mut flying = FuturesUnordered::new();
        loop {
            self.look_at_the_clock();
            let turn = self.turn(flying.is_empty()).await;
            if self.held.is_changed() || turn.leaves {
                match self.commit().await {
                    Some(advanced) if advanced.held => {
                        self.heed(&advanced, turn.leaves);
                        if advanced.disturbed && !turn.begun.is_empty() {
                            self.read_news().await;
                        }
                    }
                    // Another worker has it, or the process ends: what is under way is not ours to settle.
                    Some(_) | None => return,
                }
            }
            if turn.leaves {
                return;
            }
            // A cancellation or denial that was committed before this turn's beginnings comes before them: nothing of them
            // happens any more.
            if self.is_stopped() && !turn.begun.is_empty() {
                for begun in turn.begun {
                    self.settle(Done::withdrawn(begun)).await;
                }
                continue;
            }
            for begun in turn.begun {
                flying.push(carry_out(Arc::clone(&self.core), begun, self.around()));
            }
            self.wait(&mut flying, turn.wake).await;
            if self.active.lost.is_cancelled() {
                tracing::warn!(run.id = %self.held.run.id, "the lease of a run was lost while it was worked on");
                return;
            }
        }
    }

    /// Whether somebody cancelled the run, or one of its gates was denied or has expired.
    fn is_stopped(&self) -> bool {
        let ends = |state| matches!(state, ApprovalState::Denied | ApprovalState::Expired);
        let news = &self.held.news;
        let gates = news.approvals.iter().filter(|approval| ends(approval.state));
        let open = |approval: &ApprovalBrief| {
            let row = self.held.rows.get(&approval.step);
            row.is_some_and(|row| row.approval_id == Some(approval.id) && row.state == StepState::Waiting)
        };
        news.cancelled_by.is_some() || gates.into_iter().any(open)
    }

    fn around(&self) -> Around {
        let run = &self.held.run;
        Around {
            run: run.id,
            workflow: run.workflow.clone(),
            event: run.event_id,
            chat: run.chat.clone(),
            cancel: self.cancel.child_token(),
        }
    }

    /// Waits for the next thing that changes the plan.
    async fn wait<F: Future<Output = Done>>(&mut self, flying: &mut FuturesUnordered<F>, wake: Option<Timestamp>) {
        let clock = Arc::clone(&self.core.deps.clock);
        let deadline = self.held.deadline_at.filter(|_| self.over.is_none());
        let at = [wake, deadline].into_iter().flatten().min();
        let timer = async {
            match at {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let active = Arc::clone(&self.active);
        tokio::select! {
            Some(done) = flying.next(), if !flying.is_empty() => {
                self.settle(done).await;
                // What ended meanwhile goes into the same commit.
                while let Some(Some(done)) = futures::FutureExt::now_or_never(flying.next()) {
                    self.settle(done).await;
                }
            }
            () = timer => {}
            () = active.poke.notified() => self.read_news().await,
            () = active.lost.cancelled() => {}
        }
        if self.held.news.cancelled_by.is_some() {
            self.cancel.cancel();
        }
    }

    async fn read_news(&mut self) {
        match self.core.deps.ledger.run_news(self.held.run.id).await {
            Ok(Some(news)) => self.held.news = news,
            Ok(None) => {}
            Err(error) => tracing::warn!(run.id = %self.held.run.id, %error, "what changed about a run cannot be read"),
        }
    }

    /// Notices that the run's time is over, and stops what is under way.
    fn look_at_the_clock(&mut self) {
        let now = self.core.deps.clock.now();
        if self.over.is_none() && self.held.deadline_at.is_some_and(|deadline| deadline <= now) {
            let bound = self.held.workflow.timeout.map(duration::shown).unwrap_or_default();
            self.over = Some(format!("the run took longer than {bound}"));
            if self.held.failure.is_none() {
                self.cancel.cancel();
                // The steps of `on_failure` have a wish to stop of their own.
                self.cancel = CancellationToken::new();
            }
        }
    }

    /// Plans until nothing more can be decided now.
    async fn turn(&mut self, nothing_flies: bool) -> Turn {
        let mut begun = Vec::new();
        let stopping = self.core.is_stopping();
        if let Some(by) = self.held.news.cancelled_by.clone() {
            if nothing_flies {
                self.end(RunState::Cancelled, Some(format!("cancelled by {}", person(&by))));
            }
            return Turn { begun, wake: None, leaves: nothing_flies };
        }
        if stopping {
            if nothing_flies {
                let due_at = Some(self.core.deps.clock.now());
                self.held.changes.push(RunChange::Release { state: RunState::Running, due_at });
            }
            return Turn { begun, wake: None, leaves: nothing_flies };
        }
        let workflow = Arc::clone(&self.held.workflow);
        for _ in 0..PLANS_MAX {
            let plan = plan(&workflow, &self.held.view(self.core.deps.clock.now(), self.over.as_deref()));
            self.held.failure = plan.failure;
            let decided = !plan.writes.is_empty() || !plan.intents.is_empty();
            for row in plan.writes {
                self.held.put(row);
            }
            for intent in plan.intents {
                begun.extend(self.carry(intent).await);
            }
            if decided {
                continue;
            }
            let leaves = nothing_flies && begun.is_empty();
            if leaves {
                self.leave(plan.next, plan.wake);
            }
            return Turn { begun, wake: plan.wake, leaves };
        }
        tracing::error!(run.id = %self.held.run.id, "a run does not come forward; it is ended");
        self.end(RunState::Error, Some("it did not come forward".into()));
        Turn { begun: Vec::new(), wake: None, leaves: true }
    }

    async fn carry(&mut self, intent: Intent<'_>) -> Option<Begun> {
        match intent {
            Intent::Begin(place) => prepare::begin(&self.core, &mut self.held, &place).await,
            Intent::Doubt(place) => match place.step.tool_step() {
                Some(step) => doubt::doubt(&self.core, &mut self.held, &place, step).await,
                None => None,
            },
            Intent::EndChild(run) => {
                let by = format!("run {}, whose step took too long", self.held.run.id);
                let cancel = CancelRun { run, by, at: self.core.deps.clock.now(), notices: Vec::new() };
                if let Err(error) = self.core.deps.ledger.cancel_run(cancel).await {
                    tracing::warn!(run.id = %run, %error, "a child run that took too long could not be cancelled");
                }
                self.core.poke(run);
                None
            }
        }
    }

    /// Nothing is under way: the run ends or is given back.
    fn leave(&mut self, next: Next, wake: Option<Timestamp>) {
        match next {
            Next::End { state, failure } => {
                let reason = failure.map(|Failure { step, message }| format!("{step}: {message}"));
                self.end(state, reason);
            }
            Next::Wait | Next::Doubt => {
                let doubt = self.held.rows.iter().any(|row| row.state == StepState::InDoubt);
                let state = if doubt { RunState::InDoubt } else { RunState::Waiting };
                let deadline = self.held.deadline_at.filter(|_| self.over.is_none());
                let due_at = [wake, deadline].into_iter().flatten().min();
                self.held.changes.push(RunChange::Release { state, due_at });
            }
        }
    }

    fn end(&mut self, state: RunState, reason: Option<String>) {
        outcome::close_rows(&mut self.held, state, self.core.deps.clock.now());
        let held = &self.held;
        let notices = outcome::notices(&self.core, &held.run, held.rows.iter(), state, reason.as_deref());
        self.held.changes.push(RunChange::End { state, reason, notices });
    }

    /// Commits what the turn decided; `None` when the process ends first.
    async fn commit(&mut self) -> Option<Advanced> {
        let changes = self.held.take_changes();
        let at = self.core.deps.clock.now();
        let advance = Advance { run: self.held.run.id, epoch: self.held.epoch, at, changes };
        self.core.advance(advance).await
    }

    /// Takes note of what the commit brought to light.
    fn heed(&mut self, advanced: &Advanced, leaves: bool) {
        for run in &advanced.touched {
            self.core.touched(*run);
            self.core.poke(*run);
        }
        if let (true, Some(parent)) = (leaves, &self.held.run.parent) {
            self.core.poke(parent.run);
        }
        for (key, reason) in &advanced.refused {
            if let Some(row) = self.held.rows.get(key).cloned() {
                self.held.news.children.retain(|child| child.step != *key);
                let row = prepare::ended(&self.core, row, StepState::Error, reason.clone());
                self.held.put(row);
            }
        }
    }

    /// Writes what came of a call into the rows.
    async fn settle(&mut self, done: Done) {
        let workflow = Arc::clone(&self.held.workflow);
        let Some(place) = place_of(&workflow, &self.held.rows, &done.key) else { return };
        let Some(step) = place.step.tool_step() else { return };
        let stopped = match (&self.held.news.cancelled_by, &self.over) {
            (Some(_), _) => Stopped::Cancelled,
            (None, Some(over)) if !place.in_failure => Stopped::Over(over),
            _ => Stopped::No,
        };
        match settle::settle(&self.core, &mut self.held, done, step, stopped) {
            Follow::Nothing => {}
            Follow::Doubt => self.mark_doubtful(&place, step).await,
            Follow::Ask => doubt::ask_people(&self.core, &mut self.held, &place, step).await,
        }
    }

    /// A call whose outcome nobody knows: as if the process had ended in it, so that the planner has it settled.
    async fn mark_doubtful(&mut self, place: &Place<'_>, step: &ToolStep) {
        if step.verify.is_none() || self.held.news.cancelled_by.is_some() {
            doubt::ask_people(&self.core, &mut self.held, place, step).await;
            return;
        }
        let mut row = self.held.row(place);
        row.epoch = 0;
        self.held.put(row);
    }

    /// Items of loops that an earlier holder began: the same scope gives the same ones.
    fn recall_items(&mut self) {
        let workflow = Arc::clone(&self.held.workflow);
        let is_begun = |row: &&StepRow| row.kind == StepKind::Loop && row.state == StepState::Started;
        let begun: Vec<String> = self.held.rows.iter().filter(is_begun).map(|row| row.key.clone()).collect();
        for key in begun {
            let Some(place) = place_of(&workflow, &self.held.rows, &key) else { continue };
            let scope = self.held.scope(&place);
            if let Some(Ok(items)) = place.step.items(&scope) {
                self.held.items.insert(key, items);
            }
        }
    }
}

/// The place of a key.
fn place_of<'w>(workflow: &'w Workflow, rows: &Rows, key: &str) -> Option<Place<'w>> {
    let (base, item) = match key.strip_suffix(']').and_then(|key| key.rsplit_once('[')) {
        Some((base, index)) => (base, Some(index.parse().ok()?)),
        None => (key, None),
    };
    let (steps, prefix) = match base.strip_prefix(FAILURE_PREFIX) {
        Some(_) => (&workflow.on_failure, FAILURE_PREFIX),
        None => (&workflow.steps, ""),
    };
    let name = base.strip_prefix(prefix)?;
    let mut previous = None;
    for outer in steps {
        if let Some(step) = find(outer, name) {
            return Some(Place { step, key: key.to_owned(), item, previous, in_failure: !prefix.is_empty() });
        }
        let key = format!("{prefix}{}", outer.name);
        if rows.get(&key).is_some_and(|row| row.state != StepState::Skipped) {
            previous = Some(key);
        }
    }
    None
}

/// `name` itself, or within the group.
fn find<'w>(step: &'w Step, name: &str) -> Option<&'w Step> {
    match &step.body {
        _ if step.name == name => Some(step),
        StepBody::Parallel(inner) => inner.iter().find(|step| step.name == name),
        StepBody::Tool(_) => None,
    }
}
