//! `on:`, which stored events start a workflow, and the reason when one does not.

use super::reader::{Reader, Section};
use super::refs::Place;
use crate::domain::tree::{Node, shown};
use crate::workflow::expr::{Expr, Scope, event_mismatch, list_words};
use crate::workflow::nearest::nearest;

/// Which stored events start a workflow. Everything that is written must hold.
#[derive(Debug, Clone, Default)]
pub struct On {
    /// The handler; `None` for any.
    pub handler: Option<String>,
    /// Event types; `pull_request` covers `pull_request.opened`; empty for any.
    pub events: Vec<String>,
    /// A condition over `payload`, `event` and `facts`.
    pub when: Option<Expr>,
}

impl On {
    /// Whether the event of `scope` starts the workflow; else why not, in words: "not an issues event", "label is not ai:run".
    pub fn matches(&self, scope: &Scope) -> Result<(), String> {
        let field = |name: &str| {
            let event = scope.root("event").and_then(|event| event.get(name));
            event.and_then(serde_json::Value::as_str).unwrap_or_default()
        };
        if let Some(handler) = &self.handler
            && handler != field("handler")
        {
            return Err(format!("not an event of handler {handler}"));
        }
        let event = field("event");
        let covers = |wanted: &String| {
            event.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if !self.events.is_empty() && !self.events.iter().any(covers) {
            return Err(event_mismatch(&self.events, event));
        }
        self.when.as_ref().map_or(Ok(()), |when| when.holds(scope))
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn or_list(words: &[&str]) -> String {
    list_words(words)
}

/// Reads `on:`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<On> {
    let section: Section<'_> = reader.section(node, path, &["handler", "events", "when"])?;
    let mut on = On::default();
    if let Some(entry) = section.get("handler") {
        let path = section.path_of("handler");
        on.handler = reader.text(&entry.value, &path).map(str::to_owned);
        let unknown =
            on.handler.as_ref().zip(reader.known.handlers.as_ref()).filter(|(name, known)| !known.contains(*name));
        if let Some((name, known)) = unknown {
            let hint = nearest(name, known.iter().map(String::as_str)).map(|near| format!("did you mean '{near}'?"));
            let message = format!("no handler is named {}, so no event starts this yet", shown(name));
            reader.note(entry.value.at, &path, message, hint);
        }
    }
    if let Some(entry) = section.get("events") {
        let path = section.path_of("events");
        for (text, node) in reader.texts(&entry.value, &path) {
            if text.contains('*') {
                let family = text.trim_end_matches('*').trim_end_matches('.');
                let hint = match family {
                    "" => "leave 'events' out to take all".to_owned(),
                    family => format!("'{family}' covers all that begin with '{family}.'"),
                };
                reader.fault(node.at, &path, "'*' is not used in event types", Some(hint));
            } else if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
                let message = format!("expected an event type such as pull_request.opened, found {}", shown(text));
                reader.fault(node.at, &path, message, None);
            } else {
                on.events.push(text.to_owned());
            }
        }
    }
    if let Some(entry) = section.get("when") {
        on.when = reader.condition(&entry.value, &section.path_of("when"), &Place::trigger());
    }
    Some(on)
}
