//! Drafts of workflows, and what rules would keep quiet: checked, tried on what is stored, told; nothing is changed.

use std::sync::Arc;

use super::Assistant;
use super::chat_tools::file_of;
use super::reads::Found;
use crate::agent::triggers::Tested;
use crate::domain::run::Risk;
use crate::domain::text::clip_chars;
use crate::ledger::LedgerError;
use crate::ledger::chat::MuteRule;
use crate::workflow::definition::{Trigger, Workflow};

/// Stored events that a draft is tried on.
const BACKTEST_EVENTS: usize = 200;
/// Events that would have started a draft and are named.
const NAMED_MAX: usize = 5;
/// Longest list of steps on a card, in characters.
const STEPS_CHARS_MAX: usize = 80;
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
            lines.push(format!("{}: {}", tested.event_id, steps.join(", ")));
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
        let before = catalog.get(&workflow.name);
        let how = if before.is_some() || place.exists() { "replaces the workflow" } else { "installs" };
        let (forecast, _) = self.forecast(&workflow, yaml).await?;
        let asks = asking(&workflow, before.as_deref());
        Ok(Ok(format!("It {how} '{}', {state}. {asks} {forecast}", workflow.name)))
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
        // By its id: the words of an event are a stranger's, and this is said in our own voice.
        let newest = starts.first().map(|tested| format!(", last for {}", tested.event_id));
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

/// Which steps of a workflow ask a person, and which do not although they do something; and which of those asked `before`.
fn asking(workflow: &Workflow, before: Option<&Workflow>) -> String {
    let gated = |workflow: &Workflow| -> Vec<String> {
        let gated = workflow.all_steps().filter(|step| step.tool_step().is_some_and(|tool| tool.gate.is_some()));
        gated.map(|step| step.name.clone()).collect()
    };
    let asks = gated(workflow);
    let silent = workflow.all_steps().filter_map(|step| {
        let tool = step.tool_step().filter(|tool| tool.gate.is_none() && tool.tool.risk != Risk::Read)?;
        Some((step.name.clone(), tool.tool.name))
    });
    let silent: Vec<(String, &str)> = silent.collect();
    let asked_before = before.map(gated).unwrap_or_default();
    let lost: Vec<&str> = silent
        .iter()
        .map(|(step, _)| step.as_str())
        .filter(|step| asked_before.iter().any(|asked| asked == step))
        .collect();
    let named = |names: &[&str]| clip_chars(&names.join(", "), STEPS_CHARS_MAX);
    let mut told = match asks.as_slice() {
        [] => "It asks nobody.".to_owned(),
        asks => format!("It asks before {}.", named(&asks.iter().map(String::as_str).collect::<Vec<_>>())),
    };
    if !silent.is_empty() {
        let steps: Vec<String> = silent.iter().map(|(step, tool)| format!("{step} ({tool})")).collect();
        told.push_str(&format!(" Without asking: {}.", named(&steps.iter().map(String::as_str).collect::<Vec<_>>())));
    }
    if !lost.is_empty() {
        told.push_str(&format!(" ⚠️ The one in use asks before {}.", named(&lost)));
    }
    told
}
