//! Drafts of workflows, and what rules would keep quiet: checked, tried on what is stored, told; nothing is changed.

use std::sync::Arc;

use super::Assistant;
use super::chat_tools::file_of;
use super::reads::Found;
use crate::agent::triggers::Tested;
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::LedgerError;
use crate::ledger::chat::MuteRule;
use crate::workflow::definition::{Trigger, Workflow};

/// Stored events that a draft is tried on.
const BACKTEST_EVENTS: usize = 200;
/// Events that would have started a draft and are named.
const NAMED_MAX: usize = 5;
/// How far a rule is tried on what came, in hours.
const RULE_HOURS: i64 = 7 * 24;

impl Assistant {
    /// Checks a draft.
    pub(super) async fn draft(&self, yaml: &str) -> Result<Found, LedgerError> {
        let workflow = match self.parsed(yaml) {
            Ok(workflow) => workflow,
            Err(faults) => return Ok(Found::told(format!("The draft has faults:\n{faults}"))),
        };
        let (forecast, starts) = self.forecast(&workflow, yaml).await?;
        let mut lines = vec!["The draft is valid.".to_owned(), forecast];
        for tested in starts.iter().take(NAMED_MAX) {
            let steps: Vec<String> =
                tested.outcome.steps.iter().map(|step| format!("{} {}", step.step, step.outcome)).collect();
            lines.push(format!("{} {}: {}", tested.event_id, tested.event, steps.join(", ")));
        }
        lines.extend(workflow.notes.iter().map(ToString::to_string));
        lines.push("Propose it with install_workflow and the same text.".to_owned());
        Ok(Found::told(lines.join("\n")))
    }

    /// What the card of an installation says. The inner error is for the model.
    pub(super) async fn installing(&self, yaml: &str) -> Result<Result<String, String>, LedgerError> {
        let workflow = match self.parsed(yaml) {
            Ok(workflow) => workflow,
            Err(faults) => return Ok(Err(format!("Not proposed, the workflow has faults:\n{faults}"))),
        };
        let state = if workflow.enabled { "enabled" } else { "disabled" };
        let catalog = &self.parts.triggers.catalog;
        let place = file_of(catalog.folder(), &workflow.name);
        let how =
            if catalog.get(&workflow.name).is_some() || place.exists() { "replaces the workflow" } else { "installs" };
        let (forecast, _) = self.forecast(&workflow, yaml).await?;
        Ok(Ok(format!("It {how} '{}', {state}. {forecast}", workflow.name)))
    }

    fn parsed(&self, yaml: &str) -> Result<Arc<Workflow>, String> {
        let known = self.parts.triggers.catalog.known();
        Workflow::parse("draft.yaml", yaml, known)
            .map(Arc::new)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    /// What the draft would have done with stored events, as if it were enabled.
    async fn forecast(&self, workflow: &Workflow, yaml: &str) -> Result<(String, Vec<Tested>), LedgerError> {
        if workflow.trigger != Trigger::Webhook || workflow.on.is_none() {
            return Ok((
                format!("No stored event starts it: its trigger is {}.", workflow.trigger.as_str()),
                Vec::new(),
            ));
        }
        let known = self.parts.triggers.catalog.known();
        let Ok(parsed) = Workflow::parse("draft.yaml", yaml, known) else {
            return Ok(("It cannot be read.".to_owned(), Vec::new()));
        };
        let enabled = Workflow { enabled: true, ..parsed };
        let tested = self.parts.triggers.backtest(&*self.parts.ledger, &enabled, BACKTEST_EVENTS).await?;
        let looked = tested.len();
        let starts: Vec<Tested> = tested.into_iter().filter(|tested| tested.outcome.starts).collect();
        let times = if starts.len() == 1 { "once".to_owned() } else { format!("{} times", starts.len()) };
        let newest = starts.first().map(|tested| {
            let title = tested.title.as_deref().unwrap_or(&tested.event);
            format!(", last for '{}'", clip_chars(&one_line(title), 80))
        });
        let forecast = format!(
            "It would have started {times} for the last {looked} stored events of its handler{}.",
            newest.unwrap_or_default()
        );
        Ok((forecast, starts))
    }

    /// What a rule would have kept quiet.
    pub(super) async fn muting(&self, rule: &MuteRule) -> Result<String, LedgerError> {
        let since = self.parts.clock.now() - jiff::SignedDuration::from_hours(RULE_HOURS);
        let all = self.parts.chats.would_mute(&MuteRule::default(), since).await?;
        let matched = self.parts.chats.would_mute(rule, since).await?;
        let sum = |counts: &[crate::ledger::chat::EventCount]| counts.iter().map(|count| count.count).sum::<u64>();
        Ok(format!("In the last 7 days it would have kept {} of {} notices quiet.", sum(&matched), sum(&all)))
    }
}
