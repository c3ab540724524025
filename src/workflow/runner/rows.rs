//! A run's steps in memory while it is held: by key, in order, with what changed since the last commit.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::domain::run::StepKind;
use crate::ledger::runs::StepRow;
use crate::workflow::definition::{Step, StepBody};
use crate::workflow::expr::StepView;

/// What stands before the keys of steps of `on_failure`.
pub(super) const FAILURE_PREFIX: &str = "on_failure.";

/// The key of one item's row.
pub(super) fn item_key(key: &str, index: usize) -> String {
    format!("{key}[{index}]")
}

/// Whether a key is that of an item.
pub(super) fn is_item(key: &str) -> bool {
    key.ends_with(']')
}

/// The rows of steps that have not begun: groups before their steps, no items.
pub(super) fn fresh(steps: &[Step], prefix: &str) -> Vec<StepRow> {
    let mut rows = Vec::new();
    for step in steps {
        let key = format!("{prefix}{}", step.name);
        let inner: &[Step] = match &step.body {
            StepBody::Tool(_) => &[],
            StepBody::Parallel(steps) => steps,
        };
        rows.push(StepRow::new(key, &step.name, kind_of(step), tool_of(step)));
        rows.extend(fresh(inner, prefix));
    }
    rows
}

fn kind_of(step: &Step) -> StepKind {
    match (&step.body, &step.for_each) {
        (StepBody::Parallel(_), _) => StepKind::Group,
        (StepBody::Tool(_), Some(_)) => StepKind::Loop,
        (StepBody::Tool(_), None) => StepKind::Tool,
    }
}

fn tool_of(step: &Step) -> Option<String> {
    step.tool_step().map(|tool| tool.tool.name.to_owned())
}

/// The rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    list: Vec<StepRow>,
    places: HashMap<String, usize>,
    changed: Vec<String>,
}

impl Rows {
    /// Takes what the ledger has.
    pub(super) fn new(list: Vec<StepRow>) -> Self {
        let places = list.iter().enumerate().map(|(place, row)| (row.key.clone(), place)).collect();
        Self { list, places, changed: Vec::new() }
    }

    /// The row of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&StepRow> {
        self.places.get(key).map(|place| &self.list[*place])
    }

    /// The row of a step as it is, or as it will be when it is made.
    pub(super) fn of(&self, step: &Step, key: &str, is_item: bool) -> StepRow {
        self.get(key).cloned().unwrap_or_else(|| {
            let kind = if is_item { StepKind::Tool } else { kind_of(step) };
            let name = if is_item { key.strip_prefix(FAILURE_PREFIX).unwrap_or(key) } else { &step.name };
            StepRow::new(key, name, kind, tool_of(step))
        })
    }

    /// Puts a row in its place; it is part of the next commit.
    pub(super) fn put(&mut self, row: StepRow) {
        if !self.changed.contains(&row.key) {
            self.changed.push(row.key.clone());
        }
        match self.places.get(&row.key) {
            Some(place) => self.list[*place] = row,
            None => {
                self.places.insert(row.key.clone(), self.list.len());
                self.list.push(row);
            }
        }
    }

    /// Every row.
    pub(super) fn iter(&self) -> impl Iterator<Item = &StepRow> {
        self.list.iter()
    }

    /// What the next commit must write.
    pub(super) fn take_changed(&mut self) -> Vec<StepRow> {
        let keys = std::mem::take(&mut self.changed);
        keys.iter().filter_map(|key| self.get(key).cloned()).collect()
    }

    /// Whether the next commit has something to write.
    pub(super) fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What expressions see of ended steps, by name.
    pub(super) fn views(&self) -> BTreeMap<String, StepView> {
        let ended = self.list.iter().filter(|row| row.state.is_ended() && !is_item(&row.key));
        ended
            .map(|row| {
                let view = StepView {
                    status: row.state,
                    output: row.output.clone().unwrap_or(Value::Null),
                    error: row.error.clone(),
                };
                (row.name.clone(), view)
            })
            .collect()
    }
}
