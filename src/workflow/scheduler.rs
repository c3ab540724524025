//! The clock as a starter: workflows with `trigger: schedule` are started when their time comes, once for each time.
//!
//! What was dealt with is in the ledger, so a restart neither forgets a time nor starts it again. Nothing sleeps while no
//! workflow has a schedule. Files that change are looked at at once: another line or another zone counts from then.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::catalog::Catalog;
use super::definition::{Missed, ScheduledStart, Workflow};
use super::engine::{Engine, StartError, StartRequest};
use crate::domain::ids::NoticeId;
use crate::domain::notice::{ChatKey, Message, NoticeKind, Severity};
use crate::domain::run::RunSource;
use crate::domain::schedule::{Due, LATE_MAX};
use crate::ledger::runs::{RunContext, ScheduleRow};
use crate::ledger::{Ledger, LedgerError, NewNotice};
use crate::ports::{Clock, Ids};

/// What names of workflows' schedules begin with in the ledger.
const PREFIX: &str = "workflow:";
/// The longest sleep: a clock that was set, or a machine that slept, is noticed after this.
pub const LOOK_MAX: Duration = Duration::from_secs(60);
/// The wait after the ledger did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Starts workflows when their time comes.
#[derive(Debug, Clone)]
pub struct Scheduler {
    /// The workflows as they are now.
    pub catalog: Arc<Catalog>,
    /// What carries them out.
    pub engine: Engine,
    /// Where troubles are kept to be told.
    pub ledger: Arc<dyn Ledger>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
    /// Where runs and troubles are told; `None` for nobody.
    pub chat: Option<ChatKey>,
}

/// What one look did.
#[derive(Debug, Default)]
struct Looked {
    next: Option<Timestamp>,
}

impl Scheduler {
    /// Works until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut changed = self.catalog.changed();
        loop {
            changed.mark_unchanged();
            let wake_at = match self.look().await {
                Ok(looked) => looked.next.map(|next| next.min(self.clock.now() + LOOK_MAX)),
                Err(error) => {
                    tracing::warn!(%error, "schedules could not be looked at; trying again");
                    Some(self.clock.now() + RETRY_AFTER)
                }
            };
            let asleep = async {
                match wake_at {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = asleep => {}
                answer = changed.changed() => if answer.is_err() { return },
            }
        }
    }

    /// Starts what is due and says when to look again.
    async fn look(&self) -> Result<Looked, LedgerError> {
        let scheduled: Vec<(Arc<Workflow>, ScheduledStart)> = self
            .catalog
            .list()
            .into_iter()
            .filter(|workflow| workflow.enabled)
            .filter_map(|workflow| workflow.schedule.clone().map(|schedule| (workflow, schedule)))
            .collect();
        let rules = scheduled.iter().map(|(workflow, start)| (name_of(workflow), start.when.rule())).collect();
        let rows = self.engine.ledger().sync_schedules(PREFIX, rules, self.clock.now()).await?;
        let mut looked = Looked::default();
        for (workflow, start) in &scheduled {
            let Some(row) = rows.iter().find(|row| row.name == name_of(workflow)) else { continue };
            let next = self.deal(workflow, start, row).await?;
            looked.next = [looked.next, next].into_iter().flatten().min();
        }
        Ok(looked)
    }

    /// Deals with the times of one workflow that came, and gives the next.
    async fn deal(
        &self,
        workflow: &Workflow,
        start: &ScheduledStart,
        row: &ScheduleRow,
    ) -> Result<Option<Timestamp>, LedgerError> {
        let now = self.clock.now();
        let Some(due) = start.when.due(row.after(), now) else { return Ok(start.when.next_after(row.after())) };
        let late = now.duration_since(due.latest).unsigned_abs() > LATE_MAX;
        if late && start.missed == Missed::Skip {
            self.engine.ledger().start_scheduled(&row.name, due.latest, None).await?;
            tracing::warn!(
                workflow.name = workflow.name,
                missed = due.before + 1,
                "times of a schedule passed while nobody looked; they are skipped"
            );
        } else {
            self.start(workflow, start, row, due, late).await?;
        }
        Ok(start.when.next_after(now.max(due.latest)))
    }

    async fn start(
        &self,
        workflow: &Workflow,
        start: &ScheduledStart,
        row: &ScheduleRow,
        due: Due,
        late: bool,
    ) -> Result<(), LedgerError> {
        let missed = match start.missed {
            Missed::RunOnce => due.before + usize::from(late),
            Missed::Skip => 0,
        };
        let inputs = json!({ "scheduled_for": start.when.shown(due.latest), "missed": missed });
        let nothing = || Value::Object(Map::new());
        let request = StartRequest {
            workflow: workflow.name.clone(),
            event: None,
            context: RunContext { payload: inputs.clone(), event: nothing(), facts: nothing(), inputs },
            source: RunSource::Schedule,
            started_by: format!("schedule {}", start.when.rule()),
            chat: self.chat.clone(),
        };
        match self.engine.start_scheduled(request, &row.name, due.latest).await {
            Ok(Some(started)) => {
                tracing::info!(workflow.name = workflow.name, run.id = %started.run, missed, "a schedule's time came");
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(StartError::Ledger(error)) => Err(error),
            Err(error @ (StartError::Unknown(_) | StartError::Disabled(_) | StartError::Refused(_))) => {
                tracing::warn!(workflow.name = workflow.name, %error, "a schedule's time came, and its workflow did not start");
                self.engine.ledger().start_scheduled(&row.name, due.latest, None).await?;
                self.tell(workflow, &start.when.words(due.latest), &error).await
            }
        }
    }

    async fn tell(&self, workflow: &Workflow, when: &str, why: &StartError) -> Result<(), LedgerError> {
        let Some(chat) = self.chat.clone() else { return Ok(()) };
        let created_at = self.clock.now();
        let message = Message {
            title: format!("Workflow '{}' did not start at {when}", workflow.name),
            lines: vec![why.to_string()],
            url: None,
            severity: Severity::Warning,
        };
        let id = NoticeId::new(self.ids.ulid(created_at));
        let kind = NoticeKind::System;
        self.ledger
            .add_notices(vec![NewNotice { id, chat, kind, event: None, reply_to: None, message, created_at }])
            .await
    }
}

fn name_of(workflow: &Workflow) -> String {
    format!("{PREFIX}{}", workflow.name)
}
