//! What expressions and templates see: the event, the inputs, and what earlier steps gave.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use minijinja::value::{Object, Value};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::convert::from_json;
use super::reads::{NAMES, RUN};
use crate::domain::run::StepState;

/// The event that started a run, as `event` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EventView {
    /// `evt_…`.
    pub id: String,
    /// The handler that it came to.
    pub handler: String,
    /// The provider that read it.
    pub provider: String,
    /// `pull_request.opened`.
    pub event: String,
    /// The sender's id of the delivery.
    pub delivery_id: Option<String>,
    /// `valid` or `unsigned`.
    pub verdict: String,
    /// When it came.
    pub received_at: Timestamp,
    /// The notice's first line.
    pub title: Option<String>,
    /// A link for a person.
    pub url: Option<String>,
    /// The thing it is about.
    pub subject: Option<String>,
}

impl EventView {
    /// The keys of `event`.
    pub const KEYS: [&'static str; 10] =
        ["id", "handler", "provider", "event", "delivery_id", "verdict", "received_at", "title", "url", "subject"];
    /// Those that no sender chooses.
    pub const TRUSTED: [&'static str; 5] = ["id", "handler", "provider", "verdict", "received_at"];
}

/// A step that ended, as `steps.<name>` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepView {
    /// How it ended.
    pub status: StepState,
    /// What it gave.
    pub output: Json,
    /// Why it failed.
    pub error: Option<String>,
}

impl StepView {
    /// The keys of `steps.<name>`.
    pub const KEYS: [&'static str; 3] = ["status", "output", "error"];
}

/// The step that failed, as `error` shows it to the steps of `on_failure`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorView {
    /// Its name.
    pub step: String,
    /// What went wrong.
    pub message: String,
}

impl ErrorView {
    /// The keys of `error`.
    pub const KEYS: [&'static str; 2] = ["step", "message"];
}

/// What an expression or a template sees. Cheap to clone; a value is converted for the engine once, when it is first read.
#[derive(Clone, Default)]
pub struct Scope {
    roots: HashMap<&'static str, Arc<Root>>,
}

/// One name's value.
struct Root {
    json: Json,
    value: OnceLock<Value>,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: payloads do not belong in logs.
        f.debug_set().entries(self.roots.keys()).finish()
    }
}

impl Scope {
    /// A scope with `payload`, no inputs, no steps, and `previous_output` null.
    pub fn new(payload: Json) -> Self {
        let empty = || Json::Object(Map::new());
        Self::default()
            .with("payload", payload)
            .with("event", empty())
            .with("facts", empty())
            .with("inputs", empty())
            .with("steps", empty())
            .with("previous_output", Json::Null)
    }

    /// A scope for an event that may start a workflow.
    pub fn of_event(event: &EventView, payload: Json, facts: Json) -> Self {
        Self::new(payload).event(event).facts(facts)
    }

    /// With this `event`.
    pub fn event(self, event: &EventView) -> Self {
        let event = serde_json::to_value(event).unwrap_or_default();
        self.with("event", event)
    }

    /// With this `event`, as it was kept with a run.
    pub(crate) fn event_value(self, event: Json) -> Self {
        self.with("event", event)
    }

    /// With these `facts`.
    pub fn facts(self, facts: Json) -> Self {
        self.with("facts", facts)
    }

    /// With these `inputs`.
    pub fn inputs(self, inputs: Json) -> Self {
        self.with("inputs", inputs)
    }

    /// With this `item` of a `for_each`.
    pub fn item(self, item: Json) -> Self {
        self.with("item", item)
    }

    /// With these ended `steps`. A name with dashes can be read with underscores too, since `steps.log-event` would be a
    /// subtraction.
    pub fn steps(self, steps: &BTreeMap<String, StepView>) -> Self {
        let mut map = Map::new();
        for (name, view) in steps {
            let view = serde_json::to_value(view).unwrap_or_default();
            let alias = name.replace(['-', '.'], "_");
            if alias != *name && !steps.contains_key(&alias) {
                map.insert(alias, view.clone());
            }
            map.insert(name.clone(), view);
        }
        self.with("steps", Json::Object(map))
    }

    /// With this `previous_output`.
    pub fn previous_output(self, output: Json) -> Self {
        self.with("previous_output", output)
    }

    /// With this `error`, for the steps of `on_failure`.
    pub fn error(self, error: &ErrorView) -> Self {
        let error = serde_json::to_value(error).unwrap_or_default();
        self.with("error", error)
    }

    /// For `wait_for_event.when`: `payload`, `event` and `facts` are those of the event that arrived, `run.payload` and
    /// `run.event` those that the run itself came from.
    pub fn arriving(&self, event: &EventView, payload: Json, facts: Json) -> Self {
        self.arriving_value(serde_json::to_value(event).unwrap_or_default(), payload, facts)
    }

    /// The same with the event as it is kept with a run.
    pub(crate) fn arriving_value(&self, event: Json, payload: Json, facts: Json) -> Self {
        let own = |name: &str| self.root(name).cloned().unwrap_or_default();
        let run = serde_json::json!({ "payload": own("payload"), "event": own("event") });
        self.clone().with(RUN, run).with("payload", payload).event_value(event).facts(facts)
    }

    /// The value of a name.
    pub fn root(&self, name: &str) -> Option<&Json> {
        self.roots.get(name).map(|root| &root.json)
    }

    fn with(mut self, name: &'static str, json: Json) -> Self {
        debug_assert!(NAMES.contains(&name) || name == RUN);
        self.roots.insert(name, Arc::new(Root { json, value: OnceLock::new() }));
        self
    }

    /// For the engine.
    pub(super) fn value(&self) -> Value {
        Value::from_object(Context(self.clone()))
    }
}

/// The scope as the engine asks for it: one name at a time.
struct Context(Scope);

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let root = self.0.roots.get(key.as_str()?)?;
        Some(root.value.get_or_init(|| from_json(&root.json)).clone())
    }
}
