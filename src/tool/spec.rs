//! What a tool declares about itself: arguments and who may fill them, risk, effect and bounds.
//!
//! Validation of workflows, the static taint check, the card of an approval and a model's view of a tool all read this one
//! table, so they cannot disagree.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::mcp;
use crate::domain::run::{Effect, Risk};

/// A tool's declaration.
#[derive(Debug)]
pub struct ToolSpec {
    /// Its name in a workflow's `tool:`.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What it can do to the world.
    pub risk: Risk,
    /// The effect of a call with these arguments when the step does not say. Arguments may be unrendered or missing.
    pub default_effect: fn(&Map<String, Value>) -> Effect,
    /// Its arguments.
    pub args: &'static [ArgSpec],
    /// Arguments of which only one may be given.
    pub choices: &'static [Choice],
    /// The longest a call may take when the step does not say.
    pub timeout_default: Duration,
}

/// Arguments of which at most one may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Their names.
    pub of: &'static [&'static str],
    /// Whether one of them must be.
    pub required: bool,
}

/// One argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArgSpec {
    /// Its name.
    pub name: &'static str,
    /// What it holds once rendered.
    pub kind: ArgKind,
    /// Who may fill it.
    pub role: Role,
    /// Whether it must be given.
    pub required: bool,
    /// One sentence about it.
    pub doc: &'static str,
}

/// What an argument holds once rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// A text (numbers and booleans are taken as they are written).
    Text,
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// A whole number within bounds.
    Integer {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// A duration: `5s`, or a number of seconds.
    Duration,
    /// A list of texts, with at least one when the argument is required.
    Texts,
    /// Names with texts.
    TextMap,
    /// Any JSON value.
    Json,
    /// A JSON Schema or a list of words, as `model_prompt` checks a model's answer with.
    Answer,
    /// Names with any JSON values.
    JsonMap,
    /// A bare expression of the workflow's language, evaluated later and not rendered as a template.
    Expression,
    /// The name of a secret ([`super::Secrets`]), never the secret itself.
    SecretName,
}

/// Who may fill an argument: the workflow's author, or a payload too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The author only.
    Control,
    /// A payload too. A payload's key of the same name fills it when a step leaves it out.
    Data,
    /// A command: its first element is control, the others data.
    Argv,
    /// Names with values: names are control, values data.
    Named,
    /// A URL: scheme, user, host and port are control, path and query data.
    Url,
}

impl Role {
    /// Whether a payload's key of the same name fills the argument when a step leaves it out.
    pub fn filled_by_payload(self) -> bool {
        match self {
            Self::Data => true,
            Self::Control | Self::Argv | Self::Named | Self::Url => false,
        }
    }
}

impl ToolSpec {
    /// The argument `name`. A tool of another program takes any: what it does not declare is data.
    pub fn arg(&self, name: &str) -> Option<&'static ArgSpec> {
        let declared = self.args.iter().find(|arg| arg.name == name);
        declared.or_else(|| if self.is_foreign() { mcp::open_arg(name) } else { None })
    }

    /// Whether another program carries it out, whose output nobody here vouches for.
    pub fn is_foreign(&self) -> bool {
        self.name.starts_with(mcp::PREFIX)
    }

    /// A JSON Schema (2020-12) of the arguments, for a model and for editors.
    pub fn json_schema(&self) -> Value {
        let properties: Map<String, Value> =
            self.args.iter().map(|arg| (arg.name.to_owned(), arg.json_schema())).collect();
        let required: Vec<&str> = self.args.iter().filter(|arg| arg.required).map(|arg| arg.name).collect();
        let mut schema = json!({
            "type": "object",
            "description": self.summary,
            "properties": properties,
            "required": required,
            "additionalProperties": self.is_foreign(),
        });
        let rules: Vec<Value> = self.choices.iter().map(Choice::json_schema).collect();
        if !rules.is_empty() {
            schema["allOf"] = Value::Array(rules);
        }
        schema
    }
}

impl Choice {
    fn json_schema(&self) -> Value {
        let one = self.of.iter().map(|name| json!({ "required": [name] }));
        if self.required {
            return json!({ "oneOf": one.collect::<Vec<_>>() });
        }
        let none = json!({ "not": { "anyOf": one.clone().collect::<Vec<_>>() } });
        json!({ "oneOf": one.chain([none]).collect::<Vec<_>>() })
    }
}

impl ArgSpec {
    fn json_schema(&self) -> Value {
        let text = || json!({ "type": "string" });
        let mut schema = match self.kind {
            ArgKind::Text | ArgKind::Expression | ArgKind::SecretName => text(),
            ArgKind::Word(words) => json!({ "type": "string", "enum": words }),
            ArgKind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            ArgKind::Duration => json!({ "type": ["string", "integer"], "pattern": "^[0-9]+ *(ms|s|m|h|d)?$" }),
            ArgKind::Texts if self.required || self.role == Role::Argv => {
                json!({ "type": "array", "items": text(), "minItems": 1 })
            }
            ArgKind::Texts => json!({ "type": "array", "items": text() }),
            ArgKind::TextMap => json!({ "type": "object", "additionalProperties": text() }),
            ArgKind::Json => json!({}),
            ArgKind::Answer => json!({ "type": ["object", "array"] }),
            ArgKind::JsonMap => json!({ "type": "object" }),
        };
        schema["description"] = self.doc.into();
        schema
    }
}
