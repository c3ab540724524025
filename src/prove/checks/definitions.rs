//! Workflow files that would let a payload choose what happens: every way of writing it at every place that decides.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Verdict, table};
use crate::prove::{Context, Sabotage};
use crate::tool::ToolRegistry;
use crate::workflow::definition::{Known, Workflow};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    values: Vec<String>,
    sinks: Vec<Sink>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sink {
    tool: String,
    args: String,
}

/// A quick run takes every so manyth way of writing.
const QUICK_EVERY: usize = 4;

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    let mut table: Table = table::read("definitions", include_str!("../tables/definitions.yaml"))?;
    if context.wrong(Sabotage::Tables) {
        table.values.push("nothing of a payload".into());
    }
    let known = Known {
        groups: Some(BTreeMap::new()),
        chats: Some(BTreeSet::from(["ops".to_owned()])),
        ..Known::tools(ToolRegistry::declared())
    };
    let every = if context.options.quick { QUICK_EVERY } else { 1 };
    let table = Table { values: table.values.into_iter().rev().step_by(every).collect(), ..table };
    // It costs the processor alone, and others wait for their clocks meanwhile.
    let tried = tokio::task::spawn_blocking(move || (loaded(&table, &known), table));
    let (faults, table) = tried.await.map_err(|error| error.to_string())?;
    let (values, sinks) = (table.values.len(), table.sinks.len());
    Ok(Verdict::of(format!("{values} ways of writing a payload × {sinks} places that decide"), faults))
}

/// What loads.
fn loaded(table: &Table, known: &Known) -> Vec<String> {
    let mut faults = Vec::new();
    for value in &table.values {
        for Sink { tool, args } in &table.sinks {
            let args = args.replace("VALUE", value);
            let text = format!(
                "name: w\ntrigger: webhook\nsteps:\n  - name: first\n    tool: shell_exec\n    args: {{ argv: [ls] }}\n  - name: s\n    \
                 tool: {tool}\n    for_each: payload.all\n    args: {{ {args} }}\n"
            );
            if Workflow::parse("w.yaml", &text, known).is_ok() {
                faults.push(format!("it loads: {tool} {args}"));
            }
        }
    }
    faults
}
