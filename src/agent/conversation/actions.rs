//! What a model wants done becomes a run of one step behind an approval card.
//!
//! The definition is made here, from the tool's name and the arguments as they are (`verbatim`: no template in them is read),
//! and goes through the same reader, engine, digest and cards as a workflow's. The card says who proposed it, marks what came
//! from outside, and a person decides; nothing here can.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Assistant;
use super::history::Talk;
use super::reads::text;
use crate::domain::fault::Fault;
use crate::domain::ids::RunId;
use crate::domain::notice::ChatKey;
use crate::domain::run::RunSource;
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::LedgerError;
use crate::ledger::chat::TurnRow;
use crate::ledger::runs::{Proposal, RunContext};
use crate::tool::ToolSpec;
use crate::workflow::definition::{Known, Workflow};
use crate::workflow::engine::{StartError, StartRequest};

/// The workflow that proposals run as.
pub(super) const WORKFLOW: &str = "assistant";
/// How long a proposal stands.
const EXPIRES: &str = "24h";
/// Longest note on a card, in characters.
const NOTE_CHARS_MAX: usize = 480;
/// Faults of arguments that a model is told.
const FAULTS_TOLD_MAX: usize = 5;

impl Assistant {
    /// Proposes a call. The inner error is a sentence for the model.
    pub(super) async fn propose(
        &self,
        row: &TurnRow,
        talk: &Talk,
        spec: &'static ToolSpec,
        args: Map<String, Value>,
    ) -> Result<Result<RunId, String>, LedgerError> {
        if let Some(strange) = self.strange_argument(spec, &args).filter(|_| spec.is_foreign()) {
            return Ok(Err(strange));
        }
        let about = match self.about(spec, &args).await? {
            Ok(about) => about,
            Err(why) => return Ok(Err(why)),
        };
        let args = Value::Object(args);
        let tainted = talk.material.tainted_in(&args);
        let mut note = format!("Proposed by the assistant for {}.", row.turn.person);
        if talk.material.tainted {
            note.push_str(" The conversation read text from outside: check every argument.");
        }
        if !about.is_empty() {
            let _ = write!(note, " {about}");
        }
        let definition = json!({
            "name": WORKFLOW,
            "description": "Proposed in a conversation",
            "trigger": "manual",
            "steps": [{
                "name": spec.name,
                "tool": spec.name,
                "verbatim": { "tainted": tainted },
                "args": args,
                "requires_approval": { "expires": EXPIRES, "note": clip_chars(&note, NOTE_CHARS_MAX) },
            }],
        });
        let catalog = &self.parts.triggers.catalog;
        let known = Known { tools: (*self.parts.tools).clone(), ..(**catalog.known()).clone() };
        let workflow = match Workflow::parse("proposal", &yaml(&definition), &known) {
            Ok(workflow) => Arc::new(workflow),
            Err(faults) => return Ok(Err(refused(&faults))),
        };
        let nothing = || Value::Null;
        let request = StartRequest {
            workflow: WORKFLOW.to_owned(),
            event: None,
            context: RunContext { payload: nothing(), event: nothing(), facts: nothing(), inputs: nothing() },
            source: RunSource::Chat,
            started_by: format!("assistant for {}", row.turn.person),
            // Whoever talks over the local API decides there; no channel has a card for them.
            chat: Some(row.turn.chat.clone()).filter(|chat| *chat != ChatKey::local()),
        };
        let proposal = Proposal { turn: row.seq, tool: spec.name.to_owned() };
        match self.parts.engine.start_proposed(&workflow, request, proposal).await {
            Ok(started) => Ok(Ok(started.run)),
            Err(StartError::Ledger(error)) => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// What the card says beside the action, for the tools that change what the agent itself does. The inner error is a
    /// sentence for the model: such a proposal makes no sense.
    async fn about(&self, spec: &ToolSpec, args: &Map<String, Value>) -> Result<Result<String, String>, LedgerError> {
        match spec.name {
            "install_workflow" => self.installing(text(args, "yaml").unwrap_or_default()).await,
            "mute_notices" => match super::chat_tools::rule(args, self.parts.clock.now()) {
                Ok(rule) => self.muting(&rule).await.map(Ok),
                Err(why) => Ok(Err(why)),
            },
            "run_workflow" => {
                let name = text(args, "workflow").unwrap_or_default();
                Ok(match self.parts.triggers.catalog.get(name) {
                    Some(workflow) if workflow.enabled => Ok(clip_chars(&one_line(&workflow.description), 200)),
                    Some(_) => Err("that workflow is disabled".to_owned()),
                    None => Err("there is no such workflow".to_owned()),
                })
            }
            _ => Ok(Ok(String::new())),
        }
    }
}

fn refused(faults: &[Fault]) -> String {
    let told = faults.iter().take(FAULTS_TOLD_MAX).map(|fault| {
        let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}: {}{hint}", fault.key.as_deref().unwrap_or("args"), fault.message)
    });
    format!("Not proposed. {}", told.collect::<Vec<_>>().join("; "))
}

/// JSON that a YAML reader takes for the same value: whatever is not printable is written as an escape.
fn yaml(value: &Value) -> String {
    let json = value.to_string();
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        let printable = !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}');
        if printable {
            text.push(c);
        } else {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tool::ToolRegistry;
    use crate::workflow::expr::Scope;

    fn rendered(tool: &str, args: &Value) -> Map<String, Value> {
        let definition = json!({
            "name": WORKFLOW, "trigger": "manual",
            "steps": [{ "name": tool, "tool": tool, "verbatim": { "tainted": ["/text"] }, "args": args, "requires_approval": true }],
        });
        let known = Known::tools(ToolRegistry::declared());
        let workflow = Workflow::parse("proposal", &yaml(&definition), &known).expect("valid");
        let step = workflow.steps[0].tool_step().expect("a tool");
        assert!(step.gate.is_some());
        let scope = Scope::new(json!({ "secret": "s", "text": "from the payload" }));
        step.render(&scope).expect("rendered").args
    }

    #[test]
    fn no_template_in_an_argument_is_read() {
        for text in
            ["{{ payload.secret }}", "{% raw %}", "{{", "}}{#", "\u{85}\u{2028}\u{7f}\r\n\ttab", "\"; '& *x !tag %y"]
        {
            let args = json!({ "text": text });
            assert_eq!(Value::Object(rendered("notify", &args)), args, "{text:?}");
        }
        let args = json!({ "command": "echo {{ payload.secret }} '{%'", "env": { "A": "{{ 1 }}" } });
        assert_eq!(Value::Object(rendered("shell_exec", &args)), args);
        let args =
            json!({ "url": "https://{{ payload.host }}/", "json": { "a": ["{{ x }}", 1, true, null, "1", "null"] } });
        assert_eq!(Value::Object(rendered("http_request", &args)), args);
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_arrives_as_it_is(text in ".{1,60}") {
            let args = json!({ "text": text });
            prop_assert_eq!(Value::Object(rendered("notify", &args)), args);
        }
    }
}
