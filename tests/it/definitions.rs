//! Workflow files: what loads, what is said of what does not, and that a payload stays data wherever it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hookhand::domain::run::StepState;
use hookhand::tool::ToolRegistry;
use hookhand::workflow::catalog::Catalog;
use hookhand::workflow::definition::{Known, Rendered, ToolStep, Workflow};
use hookhand::workflow::expr::{EventView, Scope, StepView};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The cases: name, file, and what is said.
const CASES: &str = include_str!("definitions/cases.txt");

fn known() -> Known {
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    let group = |name: &str, users: &[u64]| (name.to_owned(), users.iter().copied().collect::<BTreeSet<_>>());
    Known {
        tools: ToolRegistry::declared(),
        groups: Some(BTreeMap::from([group("oncall", &[1, 2]), group("leads", &[2]), group("nobody", &[])])),
        users: BTreeSet::from([1, 2]),
        chats: names(&["default", "ops"]),
        handlers: names(&["github", "stripe"]),
        model: false,
    }
}

fn said(text: &str) -> String {
    let lines = match Workflow::parse("w.yaml", text, &known()) {
        Ok(workflow) => workflow.notes.iter().map(|note| format!("note {note}\n")).collect::<Vec<_>>(),
        Err(faults) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
    };
    lines.concat()
}

fn workflow(text: &str) -> Workflow {
    Workflow::parse("w.yaml", text, &known()).unwrap_or_else(|faults| {
        let told: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
        panic!("{text}\n{told}")
    })
}

#[test]
fn every_file_of_the_table_is_told_what_the_table_says() {
    let cases: Vec<(&str, &str, &str)> = CASES
        .split("\n=== ")
        .skip(1)
        .map(|case| {
            let (name, rest) = case.split_once('\n').expect("a case has a name");
            let (text, expected) = rest.split_once("\n---\n").expect("a case has a file and what is said of it");
            (name, text, expected)
        })
        .collect();
    assert!(cases.len() > 60, "{}", cases.len());
    let mut wrong = String::new();
    for (name, text, expected) in cases {
        let found = said(text);
        if found.trim() != expected.trim() {
            wrong.push_str(&format!("{name}:\n{text}\nfound:\n{found}expected:\n{expected}\n"));
        }
        let loads = !found.lines().any(|line| line.starts_with("w.yaml:"));
        assert_eq!(loads, name.starts_with("good: ") || name.starts_with("note: "), "{name}: {found}");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_files_of_the_reference_load_as_they_are_written() {
    let blocks = |text: &str| text.lines().filter(|line| line.starts_with("name: ")).count();
    let mut loaded = 0;
    for file in CASES.split("\n=== good: the reference's ").skip(1) {
        let text = file.split_once('\n').expect("a name").1.split_once("\n---").expect("an end").0;
        assert_eq!(blocks(text), 1);
        let workflow = workflow(text);
        assert!(workflow.enabled && !workflow.steps.is_empty() && workflow.notes.is_empty());
        loaded += 1;
    }
    assert_eq!(loaded, 3);
}

#[test]
fn what_the_documentation_shows_is_true() {
    let docs = include_str!("../../docs/WORKFLOWS.md");
    let blocks: Vec<&str> = docs.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        assert_eq!(said(block), "", "{block}");
    }
    let tools = docs.split("## Tools").nth(1).expect("a section").split("## ").next().expect("its text");
    for spec in known().tools.specs() {
        let row = tools
            .lines()
            .find(|line| line.starts_with(&format!("| `{}`", spec.name)))
            .unwrap_or_else(|| panic!("{}", spec.name));
        for arg in spec.args {
            assert!(row.contains(&format!("`{}`", arg.name)), "{} {}", spec.name, arg.name);
        }
    }
    // The left column of the table of refusals is refused, the right one not.
    for (args, good) in [
        ("shell_exec|command: \"./deploy.sh {{ payload.tag }}\"", false),
        ("shell_exec|argv: [\"./deploy.sh\", \"{{ payload.tag }}\"]", true),
        ("shell_exec|command: 'echo \"$TITLE\"', env: { TITLE: \"{{ payload.title }}\" }", true),
        ("shell_exec|argv: [git, log, \"--{{ payload.x }}\"]", false),
        ("shell_exec|argv: [git, log, \"--author={{ payload.x }}\"]", true),
        ("shell_exec|argv: [bash, deploy.sh, \"{{ payload.tag }}\"]", true),
        ("script|language: python, code: \"import json, sys; print(json.load(sys.stdin)['x'])\"", true),
        ("script|language: python, code: \"print('{{ payload.x }}')\"", false),
        ("http_request|url: \"https://api.example.com/items/{{ payload.id }}\"", true),
        ("http_request|url: \"https://{{ payload.host }}/\"", false),
    ] {
        let (tool, args) = args.split_once('|').expect("two parts");
        let text =
            format!("name: w\ntrigger: webhook\nsteps:\n  - name: one\n    tool: {tool}\n    args: {{ {args} }}\n");
        assert_eq!(said(&text).is_empty(), good, "{args}: {}", said(&text));
    }
}

#[test]
fn bounds_are_kept() {
    let step = |name: String| format!("  - {{ name: {name}, tool: notify, args: {{ text: hi }} }}\n");
    let file =
        |count: usize| format!("name: w\nsteps:\n{}", (0..count).map(|n| step(format!("s{n}"))).collect::<String>());
    assert_eq!(said(&file(200)), "");
    assert!(said(&file(201)).contains("a workflow has at most 200 steps"));
    let group = |count: usize| {
        let inner: String = (0..count).map(|n| format!("    {}", step(format!("s{n}")))).collect();
        format!("name: w\nsteps:\n  - name: g\n    parallel:\n{inner}")
    };
    assert_eq!(said(&group(32)), "");
    assert!(said(&group(33)).contains("a group has 1 to 32 steps, and this one 33"));
    assert!(said(&"#".repeat(256 * 1024 + 1)).contains("is larger than 262144 bytes"));
    let text = |bytes: usize| {
        format!(
            "name: w\nsteps:\n  - {{ name: a, tool: notify, args: {{ text: \"{}{{{{ payload }}}}\" }} }}",
            "x".repeat(bytes)
        )
    };
    assert!(said(&text(64 * 1024)).contains("is a template longer than 65536 bytes"));
    let deep = format!("name: w\nsteps: {}{}", "[".repeat(40), "]".repeat(40));
    assert!(said(&deep).contains("this is not YAML"), "{}", said(&deep));
    let faults = Workflow::parse("w.yaml", &format!("name: w\nsteps:\n{}", "  - { tool: x }\n".repeat(150)), &known());
    let faults = faults.expect_err("bad");
    assert_eq!(faults.len(), 100);
    assert!(faults[99].message.ends_with("and 50 faults more"), "{}", faults[99]);
}

/// Values as an attacker would send them.
fn hostile() -> Vec<String> {
    let mut values: Vec<String> = [
        "",
        " ",
        "'",
        "\"",
        "'\"'\"'",
        "\\",
        "\\'",
        "`id`",
        "$(id)",
        "${HOME}",
        "$HOME",
        "$((1+1))",
        "; id",
        "&& id",
        "| id",
        "|| id",
        "> /tmp/x",
        "< /etc/passwd",
        "& id &",
        "a\nid",
        "a\r\nX-Evil: 1",
        "\n",
        "\r",
        "\t",
        "a\u{b}b",
        "\0",
        "a\0b",
        "-rf",
        "--help",
        "-",
        "--",
        "-oProxyCommand=id",
        "../../etc/passwd",
        "..",
        ".",
        "/etc/passwd",
        "..\\..\\x",
        "%2e%2e/x",
        "%2e%2e%2f",
        "%00",
        "%0d%0a",
        "{{ 7 * 7 }}",
        "{% set x = 1 %}",
        "{{ payload }}",
        "{# x #}",
        "{{ payload.__class__ }}",
        "${jndi:ldap://x}",
        "#{7*7}",
        "<script>alert(1)</script>",
        "&amp;<b>",
        "?admin=true",
        "#fragment",
        "@evil.example",
        ":8080/",
        "//evil.example/x",
        "http://evil.example/",
        "\\\\evil\\share",
        "a b",
        "*",
        "?",
        "[a-z]",
        "~",
        "~root",
        "!!",
        "!ruby/object:x",
        "- a\n- b",
        "a: b",
        "null",
        "true",
        "0",
        "1e309",
        "\u{202e}evil",
        "e\u{301}",
        "\u{feff}x",
        "\u{200b}",
        "ﬀ",
        "．．／",
        "Ａ",
        "🦀",
        "\u{fffd}",
        "\u{10ffff}",
        "a\u{2028}b",
        "' OR 1=1 --",
        "\u{1b}[31mred\u{1b}[0m",
        "\x07",
    ]
    .iter()
    .map(|value| (*value).to_owned())
    .collect();
    values.push("A".repeat(100_000));
    values.push("{{".repeat(1000));
    values
}

const SINKS: &str = r#"
name: sinks
trigger: webhook
steps:
  - name: shell
    tool: shell_exec
    args:
      argv: [./run, "{{ payload.v }}", "--tag={{ payload.v }}", end]
      env: { VALUE: "{{ payload.v }}", MIXED: "<{{ payload.v }}>" }
      stdin: { v: "{{ payload.v }}", list: ["{{ payload.v }}", 1] }
  - name: environment
    tool: shell_exec
    args: { command: 'echo "$VALUE"', env: { VALUE: "{{ payload.v }}" } }
  - name: request
    tool: http_request
    args:
      url: "https://api.example.com/items/{{ payload.v }}/x?q={{ payload.v }}"
      method: POST
      headers: { X-Value: "{{ payload.v }}" }
      body: "{{ payload.v }}"
  - name: send
    tool: hook
    args: { url: https://hooks.example.com/, json: { v: "{{ payload.v }}", text: "v: {{ payload.v }}" } }
  - name: forward
    tool: hook
    args: { url: https://hooks.example.com/ }
  - name: remember
    tool: memory_store
    args: { section: "{{ payload.v }}", fact: "It is {{ payload.v }}." }
  - name: write
    tool: write_file
    args: { path: out.txt, content: "{{ payload.v }}" }
  - name: tell
    tool: notify
    args: { text: "{{ payload.v }}" }
  - name: child
    tool: run_workflow
    args: { workflow: other, inputs: { v: "{{ payload.v }}" } }
"#;

fn step<'w>(workflow: &'w Workflow, name: &str) -> &'w ToolStep {
    workflow.step(name).and_then(|step| step.tool_step()).expect("it is there")
}

fn at<'r>(rendered: &'r Rendered, pointer: &str) -> &'r Value {
    let (first, rest) = pointer[1..].split_once('/').map_or((&pointer[1..], ""), |(first, rest)| (first, rest));
    let rest = if rest.is_empty() { String::new() } else { format!("/{rest}") };
    rendered.args.get(first).and_then(|value| value.pointer(&rest)).expect(pointer)
}

fn decoded(url: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = url.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).expect("hex"), 16).expect("hex"));
            rest = &tail[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).expect("what was text")
}

/// Renders every sink with `v` and checks that each byte arrives where it belongs and nowhere else. Gives the names of the steps
/// that were refused.
fn through_every_sink(workflow: &Workflow, v: &str) -> Vec<String> {
    let scope = Scope::new(json!({ "v": v }));
    let mut refused = Vec::new();
    for name in ["shell", "environment", "request", "send", "forward", "remember", "write", "tell", "child"] {
        let rendered = match step(workflow, name).render(&scope) {
            Ok(rendered) => rendered,
            Err(error) => {
                assert!(!error.to_string().contains(v) || v.len() < 4, "{error} shows the value");
                refused.push(name.to_owned());
                continue;
            }
        };
        let expected: Vec<(&str, String)> = match name {
            "shell" => vec![
                ("/argv/0", "./run".into()),
                ("/argv/1", v.into()),
                ("/argv/2", format!("--tag={v}")),
                ("/argv/3", "end".into()),
                ("/env/VALUE", v.into()),
                ("/env/MIXED", format!("<{v}>")),
                ("/stdin/v", v.into()),
                ("/stdin/list/0", v.into()),
            ],
            "environment" => vec![("/command", "echo \"$VALUE\"".into()), ("/env/VALUE", v.into())],
            "request" => vec![("/headers/X-Value", v.into()), ("/body", v.into())],
            "send" => vec![
                ("/url", "https://hooks.example.com/".into()),
                ("/json/v", v.into()),
                ("/json/text", format!("v: {v}")),
            ],
            "forward" => vec![("/json/v", v.into())],
            "remember" => vec![("/section", v.into()), ("/fact", format!("It is {v}."))],
            "write" => vec![("/path", "out.txt".into()), ("/content", v.into())],
            "tell" => vec![("/text", v.into())],
            _ => vec![("/workflow", "other".into()), ("/inputs/v", v.into())],
        };
        for (pointer, value) in expected {
            assert_eq!(at(&rendered, pointer), &Value::String(value), "{name} {pointer} of {v:?}");
        }
        if name == "shell" {
            assert_eq!(rendered.args["argv"].as_array().map(Vec::len), Some(4));
            assert_eq!(
                rendered.tainted,
                ["/argv/1", "/argv/2", "/env/VALUE", "/env/MIXED", "/stdin/v", "/stdin/list/0"]
            );
            assert_eq!(rendered.tainted_first, ["/argv/1", "/env/VALUE", "/stdin/v", "/stdin/list/0"]);
            assert!(!v.starts_with('-') && !v.contains('\0'));
        }
        if name == "request" {
            let url = at(&rendered, "/url").as_str().expect("a text");
            let rest = url.strip_prefix("https://api.example.com/items/").expect("the author's part");
            assert_eq!(rest.matches('?').count(), 1, "{url}");
            let (path, query) = rest.split_once('?').expect("one");
            assert!(!url.contains('#') && url.is_ascii());
            assert_eq!(decoded(path), format!("{v}/x"));
            assert_eq!(decoded(query), format!("q={v}"));
            assert!(!path.split('/').any(|part| part == ".." || part == "."), "{path}");
            assert!(!v.contains(['\r', '\n', '\0']));
        }
    }
    refused
}

#[test]
fn every_byte_of_a_hostile_payload_arrives_as_data_or_the_step_is_refused() {
    let workflow = workflow(SINKS);
    let values = hostile();
    assert!(values.len() > 40);
    let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for value in &values {
        for name in through_every_sink(&workflow, value) {
            refused.entry(name).or_default().push(value.clone());
        }
    }
    // These take any text; only commands, variables, headers and URLs have values that they cannot hold.
    for name in ["send", "forward", "remember", "write", "tell", "child"] {
        assert_eq!(refused.get(name), None, "{name}");
    }
    assert_eq!(refused["environment"], ["\0", "a\0b"]);
    assert_eq!(refused["shell"], ["\0", "a\0b", "-rf", "--help", "-", "--", "-oProxyCommand=id", "- a\n- b"]);
    let request = &refused["request"];
    for value in ["..", ".", "../../etc/passwd", "a\r\nX-Evil: 1", "\0"] {
        assert!(request.contains(&value.to_owned()), "{value:?}");
    }
}

#[test]
fn what_cannot_be_a_text_is_refused_and_told_by_its_path() {
    let error = |args: &str, payload: Value| {
        let text = format!("name: w\ntrigger: webhook\nsteps:\n  - name: one\n{args}");
        let workflow = workflow(&text);
        step(&workflow, "one").render(&Scope::new(payload)).expect_err("refused").to_string()
    };
    let notify = "    tool: notify\n    args: { text: \"Tag {{ payload.release.tag }}\" }";
    let argv = "    tool: shell_exec\n    args: { argv: [./x, \"{{ payload.a }}\"] }";
    for (args, payload, expected) in [
        (
            notify,
            json!({ "release": { "tag_name": "v1" } }),
            "args.text: payload.release.tag is not there (payload.release has tag_name)",
        ),
        (
            notify,
            json!({ "release": { "tags": "v1" } }),
            "args.text: payload.release.tag is not there (payload.release has 'tags')",
        ),
        (notify, json!({}), "args.text: payload.release is not there (payload is empty)"),
        (notify, json!("text"), "args.text: payload.release is not there (payload is a text)"),
        (
            notify,
            json!({ "release": { "tag": {} } }),
            "args.text: payload.release.tag is an object, and a text is needed (write it as JSON: {{ payload.release.tag | tojson }})",
        ),
        (
            argv,
            json!({ "a": [] }),
            "args.argv.1: payload.a is a list, and a text is needed (write it as JSON: {{ payload.a | tojson }})",
        ),
        (
            argv,
            json!({ "a": null }),
            "args.argv.1: payload.a is null, and a text is needed (give it another value: {{ payload.a | default(\"-\", true) }})",
        ),
        (
            argv,
            json!({ "a": "-x" }),
            "args.argv.1: payload.a begins with '-', and the program would take it for an option (put a word before it, such as --name={{ … }})",
        ),
        (
            "    tool: memory_store",
            json!({ "section": "x" }),
            "args.fact: is left out, and neither payload nor inputs have 'fact'",
        ),
        (
            "    tool: memory_store",
            json!({ "fact": {} }),
            "args.fact: is left out, and payload.fact is nothing that it can hold",
        ),
        (
            "    tool: memory_search\n    args: { query: x, limit: \"{{ payload.n }}\" }",
            json!({ "n": 1000 }),
            "args.limit: expected a whole number from 1 to 100, found '1000'",
        ),
        (
            "    tool: run_workflow\n    args: { workflow: o, inputs: \"{{ payload.n }}\" }",
            json!({ "n": 1 }),
            "args.inputs: needs names with values",
        ),
        (
            "    tool: notify\n    args: { text: \"{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}\" }",
            json!({}),
            "args.text: takes too much work to evaluate",
        ),
    ] {
        assert_eq!(error(args, payload), expected);
    }
}

#[test]
fn a_payload_fills_data_that_a_step_leaves_out_and_never_control() {
    let text = "name: w\ntrigger: webhook\nsteps:
  - { name: store, tool: memory_store }
  - { name: shell, tool: shell_exec, args: { argv: [./x] } }
  - { name: tell, tool: notify }
  - { name: get, tool: http_request, args: { url: https://a.example/, json: {} } }
  - { name: send, tool: hook, args: { url: https://a.example/ } }";
    let workflow = workflow(text);
    let payload = json!({
        "fact": "f", "section": 7, "cwd": "/etc", "env": { "LD_PRELOAD": "x" }, "command": "id", "stdin": "x", "chat": "evil",
        "text": "t", "url": "http://evil", "method": "DELETE", "headers": { "a": "b" }, "body": "b", "json": [1], "secret": "s"
    });
    let scope = Scope::new(payload.clone());
    let args = |name: &str| Value::Object(step(&workflow, name).render(&scope).expect(name).args);
    assert_eq!(args("store"), json!({ "section": "7", "fact": "f" }));
    assert_eq!(args("shell"), json!({ "argv": ["./x"] }));
    assert_eq!(args("tell"), json!({ "text": "t" }));
    assert_eq!(args("get"), json!({ "url": "https://a.example/", "json": {} }));
    assert_eq!(args("send"), json!({ "url": "https://a.example/", "json": payload }));
    let store = step(&workflow, "store").render(&scope).expect("rendered");
    assert_eq!(store.tainted, ["/section", "/fact"]);
}

#[test]
fn a_template_that_is_one_expression_keeps_the_kind_and_the_order_of_its_value() {
    let text = "name: w\ntrigger: webhook\nsteps:
  - name: one
    tool: hook
    args:
      url: https://a.example/
      json: { all: \"{{ payload }}\", same: \"{{ payload | default({}) }}\", n: \"{{ payload.n }}\", s: \"{{ payload.s }}\", t: \"n={{ payload.n }}\", yes: true, five: 5, text: \"5\" }";
    let payload: Value =
        serde_json::from_str(r#"{"z":1,"n":18446744073709551615,"a":[1.5,null,{"y":true}],"s":"5"}"#).expect("JSON");
    let workflow = workflow(text);
    let rendered = step(&workflow, "one").render(&Scope::new(payload)).expect("rendered");
    let expected = r#"{"all":{"z":1,"n":18446744073709551615,"a":[1.5,null,{"y":true}],"s":"5"},"same":{"z":1,"n":18446744073709551615,"a":[1.5,null,{"y":true}],"s":"5"},"n":18446744073709551615,"s":"5","t":"n=18446744073709551615","yes":true,"five":5,"text":"5"}"#;
    assert_eq!(rendered.args["json"].to_string(), expected);
}

#[test]
fn an_event_starts_a_workflow_or_is_told_why_not() {
    let text = "name: w\ntrigger: webhook
on: { handler: github, events: [issues.labeled], when: payload.label.name == \"ai:run\" }
steps:
  - { name: tell, tool: notify, when: payload.issue.number > 10, args: { text: hi } }
  - { name: ask, tool: notify, args: { text: \"{{ payload.issue.title }}\" }, requires_approval: true }
  - { name: last, tool: notify, when: steps.tell.status == 'success', args: { text: hi } }";
    let labelled = workflow(text);
    let scope = |handler: &str, event: &str, payload: Value| {
        let event = EventView { handler: handler.into(), event: event.into(), ..EventView::default() };
        Scope::of_event(&event, payload, json!({}))
    };
    let label =
        |name: &str| json!({ "action": "labeled", "label": { "name": name }, "issue": { "number": 7, "title": "t" } });
    for (scope, reason) in [
        (scope("stripe", "issues.labeled", label("ai:run")), "not an event of handler github"),
        (scope("github", "push", label("ai:run")), "not an issues event"),
        (scope("github", "issues.opened", label("ai:run")), "action is not labeled"),
        (scope("github", "issues.labeled", label("bug")), "label is not ai:run"),
        (scope("github", "issues.labeled", json!({})), "label is not there"),
    ] {
        assert_eq!(labelled.starts_for(&scope), Err(reason.to_owned()));
    }
    let good = scope("github", "issues.labeled", label("ai:run"));
    assert_eq!(labelled.starts_for(&good), Ok(()));
    let told: Vec<String> = labelled
        .backtest(&good)
        .steps
        .iter()
        .map(|step| format!("{} {} {}", step.step, step.outcome, step.reason.as_deref().unwrap_or("")))
        .collect();
    assert_eq!(told, ["tell skipped issue number is not above 10", "ask asks ", "last depends "]);
    let disabled = workflow(&text.replace("on:", "enabled: false\non:"));
    assert_eq!(disabled.starts_for(&good), Err("the workflow is disabled".to_owned()));
}

#[test]
fn one_fault_hides_no_other() {
    let text = "name: w
trigger: schedule
schedule: { cron: '61 * * * *', timezone: Mars/Base, missed: all }
steps:
  - { name: a, tool: notfy, timeout: 5 minutes, retry: 3, when: payload.x = 1 }
  - { name: b, tool: http_request, args: { url: example.com } }
  - { name: c, tool: http_request, args: { url: \"ftp://x/{{ payload.y }}\" }, when: payload.a && payload.b }
  - { name: d, tool: hook, args: { url: \"ftp://x/\" }, when: not payload.a || payload.b }
  - { name: e, tool: notify, args: { text: x }, when: '!payload.a' }";
    let told = Workflow::parse("w.yaml", text, &known()).expect_err("faults");
    let told: String = told.iter().map(|fault| format!("{fault}\n")).collect();
    for said in [
        "schedule.cron: the minute goes from 0 to 59, and 61 is beyond that",
        "schedule.timezone: there is no time zone of that name",
        "schedule.missed: expected run_once or skip",
        "steps.a.tool: there is no tool 'notfy'",
        "steps.a.timeout",
        "steps.a.retry",
        "== compares; = gives a value a name",
        "steps.b.args.url",
        "steps.c.args.url: 'ftp' is neither http nor https",
        "'and' is the word for &&",
        "steps.d.args.url",
        "'or' is the word for ||",
        "'not' is the word for !",
    ] {
        assert!(told.contains(said), "{said}\n{told}");
    }
}

#[test]
fn an_amount_of_another_kind_starts_nothing_and_says_so() {
    let workflow = workflow(
        "name: w\ntrigger: webhook\non: { when: payload.n > 2 }\nsteps:\n  - { name: a, tool: notify, args: { text: hi } }",
    );
    let starts = |n: Value| workflow.starts_for(&Scope::new(json!({ "n": n })));
    assert_eq!(starts(json!(3)), Ok(()));
    for (n, kind) in [
        (json!("0"), "a text"),
        (json!("3"), "a text"),
        (json!("abc"), "a text"),
        (json!(""), "a text"),
        (json!([]), "a list"),
        (json!(null), "null"),
        (json!(true), "true or false"),
    ] {
        assert_eq!(starts(n), Err(format!("n is {kind}, and > compares it with a number")));
    }
    assert_eq!(starts(json!({})), Err("n is an object, which is neither above nor below anything (>)".to_owned()));
}

#[test]
fn steps_and_items_are_seen() {
    let text = "name: w\ntrigger: webhook\nsteps:
  - { name: log-event, tool: notify, args: { text: hi } }
  - { name: each, tool: notify, for_each: \"payload.list | selectattr('on')\", args: { text: \"{{ item.name }} {{ steps.log_event.output.n }} {{ previous_output }}\" } }";
    let workflow = workflow(text);
    let steps = BTreeMap::from([(
        "log-event".to_owned(),
        StepView { status: StepState::Success, output: json!({ "n": 3 }), error: None },
    )]);
    let payload = json!({ "list": [{ "name": "a", "on": true }, { "name": "b", "on": false }] });
    let scope = Scope::new(payload).steps(&steps).previous_output(json!("p"));
    let each = workflow.step("each").expect("there");
    let items = each.items(&scope).expect("a list").expect("a list");
    assert_eq!(items, [json!({ "name": "a", "on": true })]);
    let rendered = each.tool_step().expect("a call").render(&scope.clone().item(items[0].clone())).expect("rendered");
    assert_eq!(rendered.args["text"], "a 3 p");
    let many = Scope::new(json!({ "list": vec![json!({ "on": true }); 1001] }));
    let error = each.items(&many).expect("a list").expect_err("too many");
    assert_eq!(error.to_string(), "for_each: has 1001 items, more than 1000");
}

#[test]
fn what_a_url_gets_is_encoded_once_whatever_a_template_does_with_it() {
    let url = |url: &str, payload: Value| {
        let text = format!(
            "name: w\ntrigger: webhook\nsteps:\n  - {{ name: one, tool: http_request, args: {{ url: {} }} }}",
            Value::from(url)
        );
        let rendered = step(&workflow(&text), "one").render(&Scope::new(payload));
        rendered
            .map(|rendered| rendered.args["url"].as_str().expect("a text").to_owned())
            .map_err(|error| error.message)
    };
    let evil = || json!({ "x": "a/b?c=1#d", "up": "..", "list": ["a", "?b"] });
    for (template, expected) in [
        ("https://h/{{ payload.x }}", "https://h/a/b%3Fc%3D1%23d"),
        ("https://h/{{ payload.x | urlencode }}", "https://h/a%2Fb%3Fc%3D1%23d"),
        ("https://h/{{ ('a' | urlencode) ~ payload.x }}", "https://h/aa/b%3Fc%3D1%23d"),
        ("https://h/{{ payload.x | replace('a', 'b' | urlencode) }}", "https://h/b/b%3Fc%3D1%23d"),
        ("https://h/{{ payload.list | join('/' | urlencode) }}", "https://h/a%252F%3Fb"),
        ("https://h/{% set y %}{{ payload.x }}{% endset %}{{ y }}", "https://h/a/b%253Fc%253D1%2523d"),
        ("https://h/{{ '%s' | format(payload.x) }}", "https://h/a/b%3Fc%3D1%23d"),
    ] {
        assert_eq!(url(template, evil()).as_deref(), Ok(expected), "{template}");
    }
    for template in [
        "https://h/{{ payload.up }}/x",
        "https://h/{{ payload.up | urlencode }}/x",
        "https://h/.{{ payload.up | first }}/x",
        "https://h/x/{{- payload.up }}",
    ] {
        assert!(url(template, evil()).expect_err(template).contains("'..' or '.' segment"), "{template}");
    }
}

#[test]
fn a_folder_keeps_what_was_good_and_tells_each_fault_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let file = |name: &str, text: &str| {
        format!("name: {name}\nsteps:\n  - {{ name: one, tool: notify, args: {{ text: {text} }} }}\n")
    };
    let text_of = |catalog: &Catalog, name: &str| {
        let workflow = catalog.get(name)?;
        workflow.steps[0].tool_step()?.args.literal("text")?.as_str().map(str::to_owned)
    };
    let names = |catalog: &Catalog| catalog.list().iter().map(|workflow| workflow.name.clone()).collect::<Vec<_>>();
    write("a.yaml", &file("a", "first"));
    write("b.yml", &file("b", "b"));
    write("bad.yaml", "name: bad\nsteps: []\n");
    write(".hidden.yaml", "broken: [");
    write("notes.txt", "broken: [");
    let catalog = Catalog::load(folder.path(), Arc::new(known()));
    assert_eq!(names(&catalog), ["a", "b"]);
    assert_eq!(catalog.faults().len(), 1);
    assert!(catalog.refresh().is_empty() && catalog.reload().is_empty(), "nothing changed");

    write("a.yaml", &file("a", "[broken"));
    let changes = catalog.refresh();
    assert_eq!((changes.kept, changes.loaded, changes.faults.len()), (vec!["a".to_owned()], vec![], 1));
    assert_eq!(text_of(&catalog, "a").as_deref(), Some("first"));
    assert!(catalog.reload().is_empty(), "a fault is told once");

    write("a.yaml", &file("a", "second text"));
    let changes = catalog.refresh();
    assert_eq!((changes.loaded, changes.faults), (vec!["a".to_owned()], vec![]));
    assert_eq!(text_of(&catalog, "a").as_deref(), Some("second text"));

    write("z.yaml", &file("a", "double"));
    let changes = catalog.refresh();
    assert_eq!(changes.loaded, Vec::<String>::new());
    assert!(changes.faults[0].message.starts_with("the name is taken by "), "{:?}", changes.faults);
    assert_eq!(text_of(&catalog, "a").as_deref(), Some("second text"));
    assert!(catalog.refresh().is_empty());
    std::fs::remove_file(folder.path().join("a.yaml")).expect("removed");
    catalog.refresh();
    assert_eq!(text_of(&catalog, "a").as_deref(), Some("double"), "the other file takes over");

    std::fs::remove_file(folder.path().join("b.yml")).expect("removed");
    assert_eq!(catalog.refresh().removed, ["b"]);
    write("bad.yaml", &file("c", "c").replace("notify, args: { text: c }", "run_workflow, args: { workflow: aa }"));
    assert_eq!(catalog.refresh().loaded, ["c"]);
    let notes: Vec<String> = catalog.notes().iter().map(|note| note.message.clone()).collect();
    assert_eq!(notes, ["there is no workflow 'aa', so this step will fail"]);
    let nowhere = Catalog::load(&folder.path().join("nowhere"), Arc::new(known()));
    assert!(nowhere.list().is_empty() && nowhere.faults().is_empty());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| json!(n)),
        any::<String>().prop_map(Value::String),
        prop::sample::select(hostile()).prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        said(&text);
    }

    #[test]
    fn any_damaged_file_is_read_without_panic(case in 0_usize..100, at in 0_usize..2000, cut in 0_usize..40, put in "[-{}\\[\\]:|%'\"a-z \n]{0,12}") {
        let texts: Vec<&str> = CASES.split("\n=== ").skip(1).filter_map(|case| Some(case.split_once('\n')?.1.split_once("\n---")?.0)).collect();
        let text = texts[case % texts.len()];
        let at = text.char_indices().map(|(at, _)| at).nth(at % text.len().max(1)).unwrap_or(0);
        let end = text[at..].char_indices().map(|(offset, _)| at + offset).nth(cut).unwrap_or(text.len());
        said(&format!("{}{put}{}", &text[..at], &text[end..]));
    }

    #[test]
    fn any_template_is_read_and_rendered_without_panic(template in "(\\{\\{|\\}\\}|\\{%|%\\}|payload|item|steps|[.| ()'\"a-z0-9~+*/-]){0,14}", value in any_json()) {
        let text = format!("name: w\ntrigger: webhook\nsteps:\n  - name: one\n    tool: notify\n    args: {{ text: {} }}", Value::String(template));
        if let Ok(workflow) = Workflow::parse("w.yaml", &text, &known()) {
            let _ = step(&workflow, "one").render(&Scope::new(value));
        }
    }

    #[test]
    fn any_text_of_a_payload_arrives_as_data_or_is_refused(value in any::<String>()) {
        through_every_sink(&workflow(SINKS), &value);
    }

    #[test]
    fn no_payload_changes_the_number_of_words(payload in any_json()) {
        let workflow = workflow(SINKS);
        for payload in [payload.clone(), json!({ "v": payload })] {
            if let Ok(rendered) = step(&workflow, "shell").render(&Scope::new(payload)) {
                prop_assert_eq!(rendered.args["argv"].as_array().map(Vec::len), Some(4));
                prop_assert!(rendered.args["argv"].as_array().is_some_and(|words| words.iter().all(Value::is_string)));
                prop_assert_eq!(rendered.args["env"].as_object().map(serde_json::Map::len), Some(2));
            }
        }
    }
}
