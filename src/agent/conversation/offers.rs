//! The tools that a model is offered, and what each of them is: free to read, or proposed to a person.

use serde_json::{Value, json};

use super::Assistant;
use crate::domain::run::Risk;
use crate::ports::ToolOffer;
use crate::tool::ToolSpec;

/// Tools of workflows that make no sense in a conversation.
const NOT_OFFERED: [&str; 2] = ["wait_for_event", "model_prompt"];

/// A tool by what may happen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Offered {
    /// The assistant looks for itself.
    Look(&'static str),
    /// A tool of the registry that only reads.
    Free(&'static ToolSpec),
    /// Everything else: a person decides.
    Propose(&'static ToolSpec),
}

/// The assistant's own ways to look: name, description, properties, required ones.
fn looks() -> [(&'static str, &'static str, Value, &'static [&'static str]); 9] {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 20 });
    let since = text("At or after: a duration back from now (24h, 7d) or an RFC 3339 time.");
    [
        (
            "search_events",
            "Lists stored events, newest first; the words are looked for in titles and payloads.",
            json!({ "query": text("Words."), "handler": text("Only this handler."), "event": text("Only this type, such as pull_request or pull_request.opened."), "status": text("accepted, processed, failed, ignored, rejected or duplicate."), "since": since, "limit": limit }),
            &[],
        ),
        (
            "count_events",
            "Counts stored events by handler and type.",
            json!({ "handler": text("Only this handler."), "event": text("Only this type."), "words": text("Only titles with these words."), "since": since }),
            &[],
        ),
        ("event", "One event with its payload and timeline.", json!({ "id": text("evt_…") }), &["id"]),
        (
            "runs",
            "Lists runs of workflows, newest first.",
            json!({ "workflow": text("Only this workflow."), "state": text("running, waiting, success, error, denied, expired, cancelled or in_doubt."), "event": text("Only those of this event."), "limit": limit }),
            &[],
        ),
        ("run", "One run with its steps and outputs.", json!({ "id": text("run_…") }), &["id"]),
        (
            "approvals",
            "Lists what waits for a decision, or was decided. You cannot decide.",
            json!({ "state": text("pending, approved, denied, expired or cancelled; pending when left out.") }),
            &[],
        ),
        ("workflows", "Lists the workflows; with a name the text of one.", json!({ "name": text("A workflow.") }), &[]),
        ("handlers", "Lists the handlers, and the rules that keep notices quiet.", json!({}), &[]),
        (
            "draft_workflow",
            "Checks the text of a workflow file and tells what it would have done with stored events. Installs nothing.",
            json!({ "yaml": text("The whole file.") }),
            &["yaml"],
        ),
    ]
}

impl Assistant {
    /// What the model is offered.
    pub(super) fn offers(&self) -> Vec<ToolOffer> {
        let own = looks().into_iter().map(|(name, about, properties, required)| ToolOffer {
            name: name.to_owned(),
            description: about.to_owned(),
            schema: json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false }),
        });
        let tools = self.parts.tools.specs().filter(|spec| !NOT_OFFERED.contains(&spec.name)).map(|spec| ToolOffer {
            name: spec.name.to_owned(),
            description: match spec.risk {
                Risk::Read => spec.summary.to_owned(),
                Risk::Write | Risk::Execute | Risk::Network => {
                    format!("{} Only proposed: a person approves or denies it.", spec.summary)
                }
            },
            schema: spec.json_schema(),
        });
        own.chain(tools).collect()
    }

    /// The tool that a model named.
    pub(super) fn offered(&self, name: &str) -> Option<Offered> {
        if let Some((name, ..)) = looks().into_iter().find(|(own, ..)| *own == name) {
            return Some(Offered::Look(name));
        }
        let spec = self.parts.tools.spec(name).filter(|spec| !NOT_OFFERED.contains(&spec.name))?;
        Some(match spec.risk {
            Risk::Read => Offered::Free(spec),
            Risk::Write | Risk::Execute | Risk::Network => Offered::Propose(spec),
        })
    }
}
