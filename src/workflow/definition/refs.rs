//! Which names an expression may read where it stands: steps that come before it, `item` within `for_each`, `error` within
//! `on_failure`.

use std::collections::BTreeSet;

use super::reader::Reader;
use crate::domain::tree::{At, Node};
use crate::workflow::expr::{ErrorView, EventView, Expr, NAMES, Reads, StepView};
use crate::workflow::nearest::nearest;

/// Where an expression stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// Steps that have ended there, by name.
    pub(super) before: BTreeSet<String>,
    /// Every step of the file.
    pub(super) all: BTreeSet<String>,
    /// Whether steps can be read at all.
    pub(super) in_run: bool,
    pub(super) item: bool,
    pub(super) error: bool,
    pub(super) inputs: bool,
    /// `wait_for_event.when`.
    pub(super) waiting: bool,
}

impl Place {
    /// `on.when`: only the event is there.
    pub(super) fn trigger() -> Self {
        Self::default()
    }

    /// `concurrency.key`: the event and the inputs.
    pub(super) fn start() -> Self {
        Self { inputs: true, ..Self::default() }
    }

    /// A step after `before`.
    pub(super) fn step(before: BTreeSet<String>, all: &BTreeSet<String>, error: bool) -> Self {
        Self { before, all: all.clone(), in_run: true, error, inputs: true, ..Self::default() }
    }

    fn names(&self) -> Vec<&'static str> {
        let fits = |name: &&str| match *name {
            "inputs" => self.inputs,
            "item" => self.item,
            "steps" | "previous_output" => self.in_run,
            "error" => self.error,
            _ => true,
        };
        let mut names: Vec<&'static str> = NAMES.into_iter().filter(|name| fits(name)).collect();
        if self.waiting {
            names.push("run");
        }
        names
    }
}

impl Reader<'_> {
    /// A bare expression.
    pub(super) fn condition(&mut self, node: &Node, path: &str, place: &Place) -> Option<Expr> {
        let text = self.text(node, path)?;
        match Expr::compile(text) {
            Ok(expr) => {
                self.check_reads(node.at, path, expr.reads(), place);
                Some(expr)
            }
            Err(error) => {
                self.expr_fault(node.at, path, error);
                None
            }
        }
    }

    /// Tells every name that is not there at `place`.
    pub(super) fn check_reads(&mut self, at: At, path: &str, reads: &Reads, place: &Place) {
        let names = place.names();
        let mut told = BTreeSet::new();
        for read in &reads.paths {
            let parts: Vec<&str> = read.split('.').collect();
            let (root, field) = (parts[0], parts.get(1).copied());
            if !names.contains(&root) {
                if told.insert(root) {
                    let (message, hint) = absent(root, &names);
                    self.fault(at, path, message, hint);
                }
                continue;
            }
            match (root, field) {
                ("event", Some(field)) => self.check_field(at, path, "event", field, &EventView::KEYS),
                ("error", Some(field)) => self.check_field(at, path, "error", field, &ErrorView::KEYS),
                ("steps", Some(step)) => {
                    self.check_step(at, path, step, place);
                    if let Some(field) = parts.get(2) {
                        self.check_field(at, path, &format!("steps.{step}"), field, &StepView::KEYS);
                    }
                }
                _ => {}
            }
        }
        for step in &reads.quoted_steps {
            if names.contains(&"steps") {
                self.check_step(at, path, step, place);
            }
        }
    }

    fn check_field(&mut self, at: At, path: &str, root: &str, field: &str, known: &[&str]) {
        if known.contains(&field) {
            return;
        }
        let hint = match nearest(field, known.iter().copied()) {
            Some(near) => format!("did you mean {root}.{near}?"),
            None => format!("it has {}", known.join(", ")),
        };
        self.fault(at, path, format!("{root} has no '{field}'"), Some(hint));
    }

    fn check_step(&mut self, at: At, path: &str, step: &str, place: &Place) {
        let same = |name: &&String| name.as_str() == step || name.replace(['-', '.'], "_") == step;
        if place.before.iter().any(|name| same(&name)) {
            return;
        }
        if place.all.iter().any(|name| same(&name)) {
            let hint = Some("a step sees those that stand before it, outside of its own group".to_owned());
            self.fault(at, path, format!("the step '{step}' has not ended there"), hint);
            return;
        }
        // `steps.log-event.output` is a subtraction to the language.
        let dashed = place
            .all
            .iter()
            .find(|name| name.starts_with(&format!("{step}-")) || name.starts_with(&format!("{step}.")));
        let hint = match dashed {
            Some(name) => Some(format!("write steps.{} or steps[\"{name}\"]", name.replace(['-', '.'], "_"))),
            None => nearest(step, place.all.iter().map(String::as_str)).map(|near| format!("did you mean '{near}'?")),
        };
        self.fault(at, path, format!("there is no step '{step}'"), hint);
    }
}

fn absent(root: &str, names: &[&'static str]) -> (String, Option<String>) {
    let message = format!("'{root}' is not there");
    let hint = match root {
        "item" => "it exists within a step that has 'for_each', its 'when' aside".to_owned(),
        "error" => "it exists within on_failure".to_owned(),
        "steps" | "previous_output" => "it exists once a run has begun".to_owned(),
        "true" | "false" | "none" => return (message, None),
        other => match nearest(other, names.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("there are {}; a text needs quotes", names.join(", ")),
        },
    };
    (message, Some(hint))
}
