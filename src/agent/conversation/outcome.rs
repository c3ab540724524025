//! How a proposal ended: the conversation is told once, and answers once.

use serde::{Deserialize, Serialize};

use super::Assistant;
use super::history::{Entry, Remembered};
use super::taint::frame;
use crate::domain::ids::{RunId, TurnId};
use crate::domain::run::RunState;
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::LedgerError;
use crate::ledger::chat::{EndedAction, NewTurn, TurnKind, TurnRow};

/// Longest output that is told, in characters.
const OUTPUT_CHARS_MAX: usize = 8000;
/// Longest output that is shown without a model, in characters.
const SHOWN_CHARS_MAX: usize = 1500;
/// Longest error in the line that says how a proposal ended, in characters.
const ERROR_CHARS_MAX: usize = 300;

/// The text of such a turn.
#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    run: RunText,
    tool: String,
    state: String,
    error: String,
    output: String,
}

type RunText = String;

impl Assistant {
    /// Makes the turn about the end of a proposal.
    pub(super) async fn tell_outcome(&self, ended: EndedAction) -> Result<(), LedgerError> {
        let Some(run) = self.parts.engine.ledger().run(ended.run).await? else {
            return self.parts.chats.tell_outcome(ended.run, None).await;
        };
        let step = run.steps.first();
        let output = step.and_then(|step| step.output.as_ref()).map(|output| match output {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let error = step.and_then(|step| step.error.clone()).or(run.reason.clone());
        let text = Ended {
            run: run.id.to_string(),
            tool: ended.tool,
            state: run.state.to_string(),
            error: self.parts.context.redactor.clean(&error.unwrap_or_default()).into_owned(),
            output: clip_chars(&self.parts.context.redactor.clean(&output.unwrap_or_default()), OUTPUT_CHARS_MAX),
        };
        let now = self.parts.clock.now();
        let proposer = ended.turn.turn;
        let turn = NewTurn {
            id: TurnId::new(self.parts.ids.ulid(now)),
            key: outcome_key(run.id),
            chat: proposer.chat,
            kind: TurnKind::Outcome,
            person: proposer.person,
            text: serde_json::to_string(&text).unwrap_or_default(),
            about: Vec::new(),
            reply_to: proposer.reply_to,
            at: now,
        };
        self.parts.chats.tell_outcome(ended.run, Some(turn)).await
    }

    /// The outcome as a model is told it.
    pub(super) fn outcome_opening(&self, row: &TurnRow) -> Remembered {
        let Ok(ended) = serde_json::from_str::<Ended>(&row.turn.text) else {
            return Remembered {
                entry: Entry::User { text: "(A proposal has ended.)".into(), framed: String::new(), links: Vec::new() },
                tainted: false,
            };
        };
        let Ended { run, tool, state, error, output } = ended;
        let text = format!("(The proposed {tool}, {run}, has ended: {state}. Tell the person what came of it.)");
        let framed = frame(&format!("output of {tool}"), &format!("{error}\n{output}"));
        Remembered { entry: Entry::User { text, framed, links: Vec::new() }, tainted: true }
    }
}

/// The key of the turn about a run's end.
pub(super) fn outcome_key(run: RunId) -> String {
    format!("run:{run}")
}

/// The answer to an end that needs no model: a person decided against it, or nobody decided.
pub(super) fn needs_no_model(text: &str) -> Option<String> {
    let ended: Ended = serde_json::from_str(text).ok()?;
    match ended.state.parse::<RunState>().ok()? {
        RunState::Denied | RunState::Expired | RunState::Cancelled => {
            Some(format!("Not done: `{}` was {}.", ended.tool, ended.state))
        }
        RunState::Running | RunState::Waiting | RunState::Success | RunState::Error | RunState::InDoubt => None,
    }
}

/// How a proposal ended, in words of our own: whoever approved it learns that from the engine, whatever a model makes of it.
pub(super) fn headline(text: &str) -> Option<String> {
    let ended: Ended = serde_json::from_str(text).ok()?;
    let error = clip_chars(&one_line(&ended.error), ERROR_CHARS_MAX);
    let why = if error.is_empty() { String::new() } else { format!(": {error}") };
    Some(match ended.state.parse::<RunState>().ok()? {
        RunState::Success => format!("✅ `{}` is done.", ended.tool),
        RunState::InDoubt => format!("❓ `{}` is in doubt{why}", ended.tool),
        state => format!("❌ `{}` ended with {state}{why}", ended.tool),
    })
}

/// The end of a proposal in plain words, where no model answers.
pub(super) fn plain(text: &str) -> String {
    let Ok(ended) = serde_json::from_str::<Ended>(text) else { return "It has ended.".to_owned() };
    let mut told = headline(text).unwrap_or_else(|| format!("`{}`: {}", ended.tool, ended.state));
    if !ended.output.is_empty() {
        let output = clip_chars(&ended.output, SHOWN_CHARS_MAX).replace("```", "'''");
        told.push_str(&format!("\n```\n{output}\n```"));
    }
    told
}
