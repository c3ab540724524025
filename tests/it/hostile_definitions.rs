//! Workflow files whose author was careless or was led astray: none that lets a payload choose what happens may load.

use std::collections::{BTreeMap, BTreeSet};

use hookhand::tool::ToolRegistry;
use hookhand::workflow::definition::{Known, Workflow};

fn faults(step: &str) -> Option<String> {
    let text = format!(
        "name: w\ntrigger: webhook\nsteps:\n  - name: first\n    tool: shell_exec\n    args: {{ argv: [ls] }}\n{step}"
    );
    let known = Known {
        groups: Some(BTreeMap::new()),
        chats: Some(BTreeSet::from(["ops".to_owned()])),
        ..Known::tools(ToolRegistry::declared())
    };
    Workflow::parse("w.yaml", &text, &known)
        .err()
        .map(|faults| faults.iter().map(|fault| format!("{fault}\n")).collect())
}

fn step(tool: &str, args: &str) -> String {
    format!("  - name: s\n    tool: {tool}\n    for_each: payload.all\n    args: {{ {args} }}\n")
}

/// The table that `agent prove` has.
#[derive(serde::Deserialize)]
struct Table {
    /// What reads a payload, in ways that do not look like it.
    values: Vec<String>,
    /// Places where one decides what happens.
    sinks: Vec<Sink>,
}

#[derive(serde::Deserialize)]
struct Sink {
    tool: String,
    args: String,
}

fn table() -> Table {
    let table = include_str!("../../src/prove/tables/definitions.yaml");
    let table: Table = serde_yaml::from_str(table).expect("a table");
    assert_eq!((table.values.len(), table.sinks.len()), (34, 43));
    table
}

#[test]
fn no_way_of_writing_a_payload_brings_it_to_a_place_that_decides() {
    let table = table();
    for value in &table.values {
        for Sink { tool, args } in &table.sinks {
            let args = args.replace("VALUE", value);
            let said = faults(&step(tool, &args)).unwrap_or_else(|| panic!("it loads: {tool} {args}"));
            assert!(
                said.contains("comes from outside") || said.contains("a name is never a template"),
                "{args}\n{said}"
            );
        }
    }
}

#[test]
fn the_ways_of_yaml_are_no_way_round() {
    for args in [
        // Anchors and merged maps.
        "    args: { argv: [sh, -c, &v \"{{ payload.x }}\", *v] }\n",
        "    args:\n      <<: { command: \"echo {{ payload.x }}\" }\n",
        "    args:\n      command: |\n        echo\n        {{ payload.x }}\n",
        "    args:\n      command: >-\n        echo {{\n        payload.x }}\n",
        "    args: { command: \"echo \\x7b\\x7b payload.x }}\" }\n",
        "    args: { command: 'echo {{ payload.x }}', command: ls }\n",
        "    args: { \"argv\": \"{{ payload.list }}\" }\n",
        "    args: { argv: \"{{ payload.list }}\" }\n",
        "    args: { argv: [[\"{{ payload.x }}\"]] }\n",
        "    args: { argv: [x], env: \"{{ payload.env }}\" }\n",
        "    args: \"{{ payload.args }}\"\n",
        "    args: { argv: [x], stdin: { \"{{ payload.x }}\": 1 } }\n",
    ] {
        assert!(faults(&format!("  - name: s\n    tool: shell_exec\n{args}")).is_some(), "{args}");
    }
    for step in [
        "  - { name: s, tool: \"{{ payload.tool }}\" }\n",
        "  - { name: \"{{ payload.name }}\", tool: shell_exec, args: { argv: [ls] } }\n",
        "  - { name: s, tool: run_workflow, args: { workflow: \"{{ payload.name }}\" } }\n",
        "  - { name: s, tool: shell_exec, args: { argv: [ls] }, timeout: \"{{ payload.t }}\" }\n",
        "  - { name: s, tool: shell_exec, args: { argv: [ls] }, requires_approval: { from: [\"{{ payload.who }}\"] } }\n",
        "  - { name: s, tool: shell_exec, args: { argv: [ls] }, requires_approval: \"{{ payload.asked }}\" }\n",
        "  - { name: s, tool: shell_exec, args: { argv: [ls] }, verify: { argv: [sh, -c, \"{{ payload.x }}\"] } }\n",
        "  - { name: s, tool: shell_exec, args: { argv: [ls] }, verify: { command: \"test {{ steps.first.output }}\" } }\n",
        "  - { name: s, tool: shell_exec, args: { command: \"{% include payload.x %}\" } }\n",
        "  - { name: s, tool: shell_exec, args: { command: \"{% macro m() %}{{ payload.x }}{% endmacro %}{{ m() }}\" } }\n",
        "  - { name: s, tool: shell_exec, args: { command: \"{% set payload = 1 %}{{ payload }}\" } }\n",
    ] {
        assert!(faults(step).is_some(), "{step}");
    }
}
