//! The slash commands about workflows, runs and approvals: text in, messages out, through [`Operations`].

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::cards::{Deciding, details, settled, told, who};
use super::operations::{Operations, Person, Word};
use crate::domain::action_text;
use crate::domain::approval::{ApprovalState, Settle, Vote};
use crate::domain::ids::{ApprovalId, IdError, RunId};
use crate::domain::notice::{Message, Severity};
use crate::domain::run::{RunState, StepState};
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::LedgerError;
use crate::ledger::runs::{ApprovalFilter, ApprovalRow, CancelOutcome, RunFilter, RunRow};

/// Runs and approvals that a list shows.
const LISTED_MAX: usize = 10;
/// Longest error of a step, in characters.
const ERROR_CHARS_MAX: usize = 300;

/// Answers commands about workflows.
#[derive(Debug, Clone)]
pub(super) struct WorkflowCommands {
    operations: Arc<dyn Operations>,
}

impl WorkflowCommands {
    pub(super) fn new(operations: Arc<dyn Operations>) -> Self {
        Self { operations }
    }

    /// The answer to a command of this module; `None` for another one. `text` is everything behind the command.
    pub(super) async fn answer(
        &self,
        command: &str,
        text: &str,
        person: Person,
        now: Timestamp,
    ) -> Result<Option<Message>, LedgerError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(Some(match command {
            "/approvals" => self.approvals(&words, now).await?,
            "/approve" => self.decide(Vote::Approve, text, person).await?,
            "/deny" => self.decide(Vote::Deny, text, person).await?,
            "/runs" => self.runs(&words, now).await?,
            "/cancel" => self.cancel(&words, person).await?,
            "/settle" => self.settle(&words, person).await?,
            "/workflow" | "/workflows" => self.workflow(&words, person).await?,
            _ => return Ok(None),
        }))
    }

    async fn approvals(&self, words: &[&str], now: Timestamp) -> Result<Message, LedgerError> {
        if let Some(word) = words.first().filter(|word| **word != "all") {
            let row = match approval_id(word) {
                Ok(id) => self.operations.runs().approval(id).await?,
                Err(error) => return Ok(Message::title(error.to_string())),
            };
            return Ok(row.map_or_else(|| Message::title("There is no such approval."), |row| details(&row)));
        }
        let state = if words.is_empty() { Some(ApprovalState::Pending) } else { None };
        let filter = ApprovalFilter { state, limit: LISTED_MAX, ..ApprovalFilter::default() };
        let page = self.operations.runs().approvals(filter).await?;
        if page.items.is_empty() {
            return Ok(Message::title("Nothing waits for a decision."));
        }
        let mut lines: Vec<String> = page.items.iter().map(|row| listed_approval(row, now)).collect();
        if page.next.is_some() {
            lines.push("… and more: agent approvals list".into());
        }
        lines.push("/approvals ID shows one; /approve ID and /deny ID reason decide.".into());
        let title = if state.is_some() { "Waiting for a decision" } else { "Approvals, newest first" };
        Ok(Message { lines, ..Message::title(title) })
    }

    async fn decide(&self, verdict: Vote, text: &str, person: Person) -> Result<Message, LedgerError> {
        let text = text.trim();
        let (id, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if id.is_empty() {
            return Ok(Message::title(format!("Which approval? Write /{verdict} and an id from /approvals.")));
        }
        match approval_id(id) {
            Ok(id) => {
                let reason = Some(rest.trim().to_owned()).filter(|why| !why.is_empty());
                Deciding::new(Arc::clone(&self.operations)).vote(person, id, verdict, reason).await
            }
            Err(error) => Ok(Message::title(error.to_string())),
        }
    }

    async fn runs(&self, words: &[&str], now: Timestamp) -> Result<Message, LedgerError> {
        let mut filter = RunFilter { limit: LISTED_MAX, ..RunFilter::default() };
        for word in words {
            if let Ok(id) = run_id(word) {
                let run = self.operations.runs().run(id).await?;
                return Ok(run.map_or_else(|| Message::title("There is no such run."), |run| described(&run)));
            }
            match word.parse::<RunState>() {
                Ok(state) => filter.state = Some(state),
                Err(_) => filter.workflow = Some((*word).to_owned()),
            }
        }
        let page = self.operations.runs().runs(filter).await?;
        if page.items.is_empty() {
            return Ok(Message::title(if words.is_empty() { "No runs yet." } else { "No runs like that yet." }));
        }
        let mut lines: Vec<String> = page.items.iter().map(|run| listed_run(run, now)).collect();
        lines.push("/runs ID shows one.".into());
        Ok(Message { lines, ..Message::title("The newest runs, newest first") })
    }

    async fn cancel(&self, words: &[&str], person: Person) -> Result<Message, LedgerError> {
        let Some(word) = words.first() else {
            return Ok(Message::title("Which run? Write /cancel and an id from /runs."));
        };
        let run = match run_id(word) {
            Ok(run) => run,
            Err(error) => return Ok(Message::title(error.to_string())),
        };
        Ok(Message::title(cancelled(&self.operations.cancel(run, person).await?, run)))
    }

    async fn settle(&self, words: &[&str], person: Person) -> Result<Message, LedgerError> {
        let usage = "Write /settle RUN STEP and happened, not-happened or leave.";
        let [run, step, verdict] = words else { return Ok(Message::title(usage)) };
        let (Ok(run), Ok(verdict)) = (run_id(run), verdict.parse::<Settle>()) else { return Ok(Message::title(usage)) };
        let channel = person.channel();
        let word = Word { run, step: (*step).to_owned(), verdict, by: person, channel, nonce: None };
        let outcome = self.operations.settle(word).await?;
        Ok(Message::title(settled(&outcome, verdict, person)))
    }

    async fn workflow(&self, words: &[&str], person: Person) -> Result<Message, LedgerError> {
        match words {
            [] | ["list"] => Ok(self.list()),
            ["reload"] => {
                let (served, faults) = self.operations.reload();
                let title = match (served, faults.len()) {
                    (served, 0) => format!("Read again: {served} workflows."),
                    (served, 1) => format!("Read again: {served} workflows, 1 fault. The last good version is kept."),
                    (served, many) => {
                        format!("Read again: {served} workflows, {many} faults. The last good versions are kept.")
                    }
                };
                Ok(Message { lines: faults, ..Message::title(title) })
            }
            ["run", name, inputs @ ..] => {
                let inputs = match inputs.iter().map(|pair| input(pair)).collect::<Result<Map<_, _>, _>>() {
                    Ok(inputs) => inputs,
                    Err(fault) => return Ok(Message::title(fault)),
                };
                Ok(match self.operations.start(name, inputs, person).await? {
                    Ok(run) => Message::title(format!("Started: {run}")),
                    Err(why) => Message { severity: Severity::Warning, ..Message::title(why) },
                })
            }
            _ => Ok(Message::title("I know /workflow list, /workflow run NAME key=value …, and /workflow reload.")),
        }
    }

    fn list(&self) -> Message {
        let workflows = self.operations.workflows();
        if workflows.is_empty() {
            return Message::title("There are no workflows yet: put a file into data/workflows/.");
        }
        let lines = workflows
            .into_iter()
            .map(|workflow| {
                let state = if workflow.enabled { "enabled" } else { "disabled" };
                let stale = if workflow.stale { ", its file has faults: the last good version is served" } else { "" };
                let about = one_line(&workflow.description);
                let about =
                    if about.is_empty() { about } else { format!(" – {}", clip_chars(&about, ERROR_CHARS_MAX)) };
                let next = workflow.next.map(|next| format!(", {next}")).unwrap_or_default();
                format!("  {}  [{state}, {}{next}{stale}]{about}", workflow.name, workflow.trigger)
            })
            .collect();
        Message { lines, ..Message::title("Workflows:") }
    }
}

/// One `key=value` of a start by hand; the value is JSON where it is JSON, else text.
pub fn input(pair: &str) -> Result<(String, Value), String> {
    let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err(format!("'{}' is no input: write key=value", clip_chars(&one_line(pair), 60)));
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.to_owned(), value))
}

/// What became of a wish to end a run, in a sentence.
fn cancelled(outcome: &CancelOutcome, run: RunId) -> String {
    match outcome {
        CancelOutcome::Ended { .. } => format!("Cancelled: {run}. Nothing further of it happens."),
        CancelOutcome::Asked => format!("Told to stop: {run}."),
        CancelOutcome::AlreadyEnded { state } => format!("{run} has ended before: {state}. Nothing changed."),
        CancelOutcome::Unknown => "There is no such run.".to_owned(),
    }
}

fn approval_id(word: &str) -> Result<ApprovalId, IdError> {
    prefixed(word, ApprovalId::PREFIX).parse()
}

fn run_id(word: &str) -> Result<RunId, IdError> {
    prefixed(word, RunId::PREFIX).parse()
}

fn prefixed(word: &str, prefix: &str) -> String {
    if word.starts_with(prefix) { word.to_owned() } else { format!("{prefix}{word}") }
}

fn listed_approval(row: &ApprovalRow, now: Timestamp) -> String {
    let mut line = format!("{}  {}, step {}", row.id, one_line(&row.workflow), one_line(&row.step));
    if row.state != ApprovalState::Pending {
        line.push_str(&format!("  {}", row.state));
    }
    if let Some(at) = row.expires_at.filter(|at| *at > now && row.state == ApprovalState::Pending) {
        line.push_str(&format!(", expires {}", told(at)));
    }
    // Whoever decides from the list knows what about; the card has all of it.
    line.push_str(&format!("\n  {}", one_line(&action_text::in_short(&row.action))));
    line
}

fn listed_run(run: &RunRow, now: Timestamp) -> String {
    let recent = now.duration_since(run.started_at).as_hours() < 20;
    let at = run.started_at.strftime(if recent { "%H:%M" } else { "%Y-%m-%d %H:%M" });
    let state = if run.queued { "waits for its turn" } else { run.state.as_str() };
    format!("{at}  {}: {state}  {}", one_line(&run.workflow), run.id)
}

/// Everything a person asks about one run.
fn described(run: &RunRow) -> Message {
    let mut lines = vec![run.id.to_string(), format!("State: {}", run.state)];
    if let Some(reason) = &run.reason {
        lines.push(format!("Why: {}", clip_chars(&one_line(reason), ERROR_CHARS_MAX)));
    }
    lines.push(format!("Started {} by {}", told(run.started_at), who(&run.started_by)));
    lines.extend(run.event_id.map(|event| format!("Event: {event}")));
    lines.extend(run.ended_at.map(|at| format!("Ended {}", told(at))));
    for step in &run.steps {
        let mut line = format!("  {}: {}", one_line(&step.name), step.state);
        if let Some(error) = &step.error {
            line.push_str(&format!(" ({})", clip_chars(&one_line(error), ERROR_CHARS_MAX)));
        }
        if let Some(approval) = step.approval_id.filter(|_| step.state == StepState::Waiting) {
            line.push_str(&format!(" {approval}"));
        }
        lines.push(line);
    }
    let severity = match run.state {
        RunState::Error | RunState::InDoubt => Severity::Warning,
        RunState::Success => Severity::Good,
        RunState::Running | RunState::Waiting | RunState::Denied | RunState::Expired | RunState::Cancelled => {
            Severity::Info
        }
    };
    Message { lines, url: None, severity, title: format!("Run of {}", one_line(&run.workflow)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inputs_are_json_where_they_are_json() {
        assert_eq!(input("n=3"), Ok(("n".into(), json!(3))));
        assert_eq!(input("tag=v1.2=x"), Ok(("tag".into(), json!("v1.2=x"))));
        assert_eq!(input("list=[1,2]"), Ok(("list".into(), json!([1, 2]))));
        assert!(input("novalue").is_err() && input("=x").is_err());
    }
}
