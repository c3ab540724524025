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

/// What reads a payload, in ways that do not look like it.
const VALUES: [&str; 34] = [
    "{{ payload.x }}",
    "{{payload.x}}",
    "{{- payload.x -}}",
    "{{ payload['x'] }}",
    "{{ payload[event.id] }}",
    "{{ (payload).x }}",
    "{{ payload | attr('x') }}",
    "{{ [payload] | map(attribute='x') | first }}",
    "{{ 'a' ~ payload.x }}",
    "{{ '%s' | format(payload.x) }}",
    "{{ [payload.x, 'a'] | join('') }}",
    "{{ 'abc' | replace('b', payload.x) }}",
    "{{ none | default(payload.x) }}",
    "{{ 'a' if payload.x else 'b' }}",
    "{{ payload.x[0:3] }}",
    "{{ {'k': payload.x}.k }}",
    "{{ {payload.x: 1} | first }}",
    "{{ (payload.x, 1) | first }}",
    "{{ item }}",
    "{{ facts.repo }}",
    "{{ inputs.x }}",
    "{{ previous_output }}",
    "{{ steps.first.output }}",
    "{{ steps['first']['output'] }}",
    "{{ steps | dictsort }}",
    "{{ event.title }}",
    "{{ event | attr('url') }}",
    "{{ event.event | upper }}",
    "{% set a = payload.x %}{{ a }}",
    "{% set a %}{{ payload.x }}{% endset %}{{ a }}",
    "{% with a = payload %}{{ a.x }}{% endwith %}",
    "{% for a in payload.all %}{{ a }}{% endfor %}",
    "{% if payload.x == 'a' %}b{% endif %}",
    "{# {{ #}{{ payload.x }}{# }} #}",
];

/// Places where one decides what happens.
const SINKS: [(&str, &str); 36] = [
    ("shell_exec", r#"command: "VALUE""#),
    ("shell_exec", r#"command: "echo VALUE""#),
    ("shell_exec", r#"argv: ["VALUE"]"#),
    ("shell_exec", r#"argv: ["./VALUE", x]"#),
    ("shell_exec", r#"argv: [sh, -c, "VALUE"]"#),
    ("shell_exec", r#"argv: [env, "VALUE", x]"#),
    ("shell_exec", r#"argv: [env, "LD_PRELOAD=VALUE", x]"#),
    ("shell_exec", r#"argv: [timeout, 5, "VALUE"]"#),
    ("shell_exec", r#"argv: [sudo, sh, -c, "echo VALUE"]"#),
    ("shell_exec", r#"argv: [awk, -F, ".", "VALUE"]"#),
    ("shell_exec", r#"argv: [sed, "s/a/VALUE/"]"#),
    ("shell_exec", r#"argv: [make, "TAG=VALUE"]"#),
    ("shell_exec", r#"argv: [git, -c, "core.pager=VALUE", log]"#),
    ("shell_exec", r#"argv: [tar, "--checkpoint-action=exec=VALUE"]"#),
    ("shell_exec", r#"argv: [find, ., -exec, "VALUE", ";"]"#),
    ("shell_exec", r#"argv: [x, "--VALUE"]"#),
    ("shell_exec", r#"argv: [x], cwd: "VALUE""#),
    ("shell_exec", r#"argv: [x], env: { "VALUE": x }"#),
    ("shell_exec", r#"argv: [x], env: { BASH_ENV: "VALUE" }"#),
    ("shell_exec", r#"argv: [x], env: { ld_preload: "VALUE" }"#),
    ("shell_exec", r#"argv: [x], env: { PYTHONSTARTUP: "VALUE" }"#),
    ("shell_exec", r#"argv: [x], env: { NODE_OPTIONS: "VALUE" }"#),
    ("shell_exec", r#"argv: [x], env: { GIT_SSH_COMMAND: "VALUE" }"#),
    ("shell_exec", r#"argv: [x], env: { https_proxy: "VALUE" }"#),
    ("script", r#"language: bash, code: "echo VALUE""#),
    ("http_request", r#"url: "VALUE""#),
    ("http_request", r#"url: "https://VALUE/x""#),
    ("http_request", r#"url: "https://a.exampleVALUE""#),
    ("http_request", r#"url: "https://a.example:VALUE/""#),
    ("http_request", r#"url: "https://VALUE@a.example/""#),
    ("http_request", r#"url: "https://a.example/", method: "VALUE""#),
    ("http_request", r#"url: "https://a.example/", headers: { "VALUE": x }"#),
    ("http_request", r#"url: "https://a.example/", headers: { Host: "VALUE" }"#),
    ("hook", r#"url: "https://a.example/VALUE""#),
    ("notify", r#"chat: "VALUE", text: x"#),
    ("write_file", r#"path: "VALUE", content: x"#),
];

#[test]
fn no_way_of_writing_a_payload_brings_it_to_a_place_that_decides() {
    for value in VALUES {
        for (tool, args) in SINKS {
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
