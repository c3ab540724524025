//! Memory and notices, and what every tool declares.

use hookhand::domain::notice::ChatKey;
use hookhand::domain::run::Effect;
use hookhand::ledger::Ledger;
use hookhand::tool::{FACT_BYTES_MAX, MEMORY_LIMIT_MAX, Role, TEXT_CHARS_MAX, ToolRegistry};
use serde_json::{Map, json};

use super::Bench;

#[tokio::test]
async fn a_fact_is_kept_once_for_a_step_and_found_by_its_words() {
    let bench = Bench::new().await;
    let fact = json!({"section": "Deployments", "fact": "Release v1 went out on Tuesday"});
    bench.value("memory_store", fact.clone()).await;
    bench.value("memory_store", fact).await;
    let found = bench.value("memory_search", json!({"query": "release tuesday"})).await;
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found[0]["section"], "Deployments");
    let mut call = bench.call(json!({"fact": "The \"quoted\" OR fact* AND (more"}));
    call.idempotency_key = "another".into();
    bench.run_call("memory_store", &call).await.expect("keeps");
    let found = bench.value("memory_search", json!({"query": "\"quoted\" AND (", "limit": 5})).await;
    assert_eq!(found[0]["section"], "General", "{found}");
    let none = bench.value("memory_search", json!({"query": "release", "section": "General"})).await;
    assert_eq!(none, json!([]));
}

#[tokio::test]
async fn facts_and_searches_are_bounded() {
    let bench = Bench::new().await;
    let long = "x".repeat(FACT_BYTES_MAX + 1);
    assert!(bench.refusal("memory_store", json!({"fact": long})).await.contains("more than"));
    assert!(bench.refusal("memory_store", json!({"fact": " \n"})).await.contains("empty"));
    assert!(bench.refusal("memory_store", json!({})).await.contains("'fact' is missing"));
    let many = json!({"query": "x", "limit": MEMORY_LIMIT_MAX + 1});
    assert!(bench.refusal("memory_search", many).await.contains("from 1 to 100"));
}

#[tokio::test]
async fn a_step_notifies_once_however_often_it_is_attempted() {
    let bench = Bench::new().await;
    let args = json!({"chat": "ops", "text": "\nDeployed v1\nby alice\n\n"});
    for attempt in 1..=3 {
        let mut call = bench.call(args.clone());
        call.attempt = attempt;
        bench.run_call("notify", &call).await.expect("is kept");
    }
    let chat = ChatKey::telegram(-100, Some(7));
    let waiting = bench.ledger.notices_waiting(&chat, 10).await.expect("answers");
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (waiting[0].message.title.as_str(), &waiting[0].message.lines),
        ("Deployed v1", &vec!["by alice".to_owned()])
    );
    let mut other = bench.call(args);
    other.step = "another".into();
    other.idempotency_key = "run/another".into();
    bench.run_call("notify", &other).await.expect("is kept");
    assert_eq!(bench.ledger.notices_waiting(&chat, 10).await.expect("answers").len(), 2);
}

#[tokio::test]
async fn a_notice_goes_to_the_chat_of_the_handler_else_to_the_default() {
    let mut bench = Bench::new().await;
    assert_eq!(bench.value("notify", json!({"text": "a"})).await["chat"], "terminal");
    bench.context.chat = Some(ChatKey::telegram(5, None));
    assert_eq!(bench.value("notify", json!({"text": "a"})).await["chat"], "telegram:5");
    assert_eq!(bench.value("notify", json!({"text": "a", "chat": "default"})).await["chat"], "terminal");
    let message = bench.refusal("notify", json!({"text": "a", "chat": "opps"})).await;
    assert!(message.contains("no chat \"opps\"") && message.contains("ops"), "{message}");
    assert!(bench.refusal("notify", json!({"text": " \n"})).await.contains("empty"));
    let long = bench.run("notify", json!({"text": "x".repeat(TEXT_CHARS_MAX + 1)})).await.expect("is kept");
    assert!(long.truncated);
}

#[test]
fn the_table_of_tools_is_the_contracts() {
    let registry = ToolRegistry::declared();
    let mut lines = String::new();
    for spec in registry.specs() {
        let effect = (spec.default_effect)(&Map::new());
        lines.push_str(&format!("{} ({}, {}):", spec.name, spec.risk, effect));
        for arg in spec.args {
            let role = match arg.role {
                Role::Control => " c",
                Role::Data => "",
                Role::Argv => " argv",
                Role::Named => " names c",
                Role::Url => " url",
            };
            lines.push_str(&format!(" {}{}{role},", arg.name, if arg.required { "!" } else { "" }));
        }
        lines.pop();
        lines.push('\n');
    }
    insta::assert_snapshot!(lines, @r"
    hook (network, idempotent): url! c, method c, headers names c, json, body, secret c, timeout c
    http_request (network, read): method c, url! url, headers names c, json, body, timeout c
    memory_search (read, read): query!, section, limit
    memory_store (write, idempotent): section, fact!
    model_prompt (read, read): task! c, data, returns c
    notify (write, idempotent): chat c, text!
    read_file (read, read): path! c
    run_workflow (execute, idempotent): workflow! c, inputs
    script (execute, once): language! c, code! c
    shell_exec (execute, once): argv argv, command c, cwd c, env names c, stdin
    wait_for_event (read, read): handler! c, events c, when c, timeout c
    write_file (write, idempotent): path! c, content!
    ");
    let get = &hookhand::tool::specs::HTTP_REQUEST.default_effect;
    let method = |method: &str| get(json!({"method": method}).as_object().expect("a map"));
    assert_eq!([method("get"), method("HEAD"), method("POST")], [Effect::Read, Effect::Read, Effect::Once]);
}

#[test]
fn every_tool_has_a_schema_that_refuses_what_it_does_not_know() {
    for spec in ToolRegistry::declared().specs() {
        let schema = spec.json_schema();
        assert_eq!(schema["additionalProperties"], false, "{}", spec.name);
        assert_eq!(schema["properties"].as_object().map(Map::len), Some(spec.args.len()), "{}", spec.name);
        let named = |name: &&str| spec.arg(name).is_some();
        assert!(spec.choices.iter().flat_map(|choice| choice.of).all(named), "{}", spec.name);
    }
    let schema = hookhand::tool::specs::SHELL_EXEC.json_schema();
    assert_eq!(schema["allOf"][0]["oneOf"], json!([{"required": ["argv"]}, {"required": ["command"]}]));
}
