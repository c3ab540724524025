//! The tools that a model is offered, and what each of them is: free to read, or proposed to a person.

use serde_json::{Map, Value, json};

use super::Assistant;
use crate::config::Persona;
use crate::domain::run::Risk;
use crate::domain::text::{clip_chars, one_line};
use crate::ports::ToolOffer;
use crate::tool::{ToolRegistry, ToolSpec, mcp};

/// Tools of workflows that make no sense in a conversation.
const NOT_OFFERED: [&str; 2] = ["wait_for_event", "model_prompt"];

/// Most tools that a model is told of: providers refuse longer lists.
const OFFERS_MAX: usize = 128;
/// Most of what MCP servers say of their tools that a model is told, in bytes.
const FOREIGN_BYTES_MAX: usize = 96 * 1024;
/// Arguments of a tool of an MCP server that names none.
const FOREIGN_ARGS_MAX: usize = 16;
/// Longest name of a wrong argument that a model is told, in characters.
const ARG_NAME_CHARS_TOLD: usize = 60;

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
            json!({ "handler": text("Only this handler."), "event": text("Only this type."), "query": text("Only titles with these words."), "since": since }),
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

/// Names of every tool of a conversation but those of MCP servers, which only these know.
pub fn tool_names() -> Vec<&'static str> {
    let own = looks().into_iter().map(|(name, ..)| name);
    let declared = ToolRegistry::declared();
    let tools = declared.specs().map(|spec| spec.name).filter(|name| !NOT_OFFERED.contains(name));
    own.chain(tools).chain(super::chat_tools::SPECS.map(|spec| spec.name)).collect()
}

impl Assistant {
    /// What the model is offered in a conversation of `persona`.
    pub(super) fn offers(&self, persona: &Persona) -> Vec<ToolOffer> {
        let own = looks().into_iter().map(|(name, about, properties, required)| ToolOffer {
            name: name.to_owned(),
            description: about.to_owned(),
            schema: json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false }),
        });
        let tools = self.parts.tools.specs().filter(|spec| !NOT_OFFERED.contains(&spec.name)).map(|spec| ToolOffer {
            name: spec.name.to_owned(),
            description: described(spec, spec.summary),
            schema: spec.json_schema(),
        });
        let mut offers: Vec<ToolOffer> = own.chain(tools).filter(|offer| persona.offers(&offer.name)).collect();
        let room = OFFERS_MAX.saturating_sub(offers.len());
        let foreign = self.foreign(persona).into_iter().take(room).map(|offer| {
            let spec = self.parts.tools.spec(&offer.name);
            ToolOffer {
                description: spec.map_or_else(String::new, |spec| described(spec, &offer.description)),
                ..offer
            }
        });
        offers.extend(foreign);
        offers
    }

    /// The tools of MCP servers that run, as many as a model can be told of. Their words are the servers'.
    fn foreign(&self, persona: &Persona) -> Vec<ToolOffer> {
        let redactor = &self.parts.context.redactor;
        let mut bytes = 0;
        let offers = self.parts.tools.mcp_offers().into_iter().filter(|offer| persona.offers(&offer.name));
        let clean = offers.map(|offer| {
            let schema = offer.schema.to_string();
            // A server that was given a secret may say it again.
            let schema = if redactor.clean(&schema) == schema { offer.schema } else { json!({ "type": "object" }) };
            ToolOffer { description: redactor.clean(&offer.description).into_owned(), schema, name: offer.name }
        });
        let fitting = clean.take_while(|offer| {
            bytes += offer.name.len() + offer.description.len() + offer.schema.to_string().len();
            bytes <= FOREIGN_BYTES_MAX
        });
        fitting.collect()
    }

    /// The tool that a model named. One that its persona is not offered does not exist for it.
    pub(super) fn offered(&self, persona: &Persona, name: &str) -> Option<Offered> {
        if !persona.offers(name) {
            return None;
        }
        if let Some((name, ..)) = looks().into_iter().find(|(own, ..)| *own == name) {
            return Some(Offered::Look(name));
        }
        // Declarations of tools of MCP servers are kept for ever: made only for what a server has, never for what a model invents.
        if name.starts_with(mcp::PREFIX) && !self.foreign(persona).iter().any(|offer| offer.name == name) {
            return None;
        }
        let spec = self.parts.tools.spec(name).filter(|spec| !NOT_OFFERED.contains(&spec.name))?;
        Some(match spec.risk {
            Risk::Read => Offered::Free(spec),
            Risk::Write | Risk::Execute | Risk::Network => Offered::Propose(spec),
        })
    }

    /// What is wrong with the names of arguments for a tool, for the model. Names for a tool of an MCP server are those of its
    /// schema; where that has none, a few of any.
    pub(super) fn strange_argument(&self, spec: &ToolSpec, args: &Map<String, Value>) -> Option<String> {
        let told = |name: &String| {
            let name = clip_chars(&one_line(name), ARG_NAME_CHARS_TOLD);
            format!("{} has no argument '{name}'.", spec.name)
        };
        if !spec.is_foreign() {
            return args.keys().find(|name| spec.arg(name).is_none()).map(told);
        }
        let offer = self.parts.tools.mcp_offers().into_iter().find(|offer| offer.name == spec.name);
        let named =
            offer.as_ref().and_then(|offer| offer.schema["properties"].as_object()).filter(|some| !some.is_empty());
        match named {
            Some(named) => args.keys().find(|name| !named.contains_key(*name)).map(told),
            None if args.len() > FOREIGN_ARGS_MAX => Some(format!("{} takes fewer arguments.", spec.name)),
            None => None,
        }
    }
}

/// What is wrong with arguments for one of the assistant's own looks, for the model: one that was left out unseen would make it
/// take everything for what it asked for.
pub(super) fn strange_look(name: &str, args: &Map<String, Value>) -> Option<String> {
    let (_, _, properties, required) = looks().into_iter().find(|(own, ..)| *own == name)?;
    let properties = properties.as_object()?;
    let known = || properties.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let given = args.iter().filter(|(_, value)| !value.is_null());
    for (arg, value) in given {
        let told = clip_chars(&one_line(arg), ARG_NAME_CHARS_TOLD);
        let Some(property) = properties.get(arg) else {
            return Some(match known() {
                known if known.is_empty() => format!("{name} has no argument '{told}'; it has none."),
                known => format!("{name} has no argument '{told}'; it has {known}."),
            });
        };
        let (fits, kind) = match property["type"].as_str() {
            Some("integer") => (value.is_u64(), "a whole number"),
            _ => (value.is_string(), "a text"),
        };
        if !fits {
            return Some(format!("'{told}' of {name} must be {kind}."));
        }
    }
    let missing = required.iter().find(|arg| args.get(**arg).is_none_or(Value::is_null))?;
    Some(format!("{name} needs '{missing}'."))
}

fn described(spec: &ToolSpec, summary: &str) -> String {
    match spec.risk {
        Risk::Read => summary.to_owned(),
        Risk::Write | Risk::Execute | Risk::Network => {
            format!("{summary} Only proposed: a person approves or denies it.")
        }
    }
}
