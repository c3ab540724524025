//! Models: what is sent to providers, what their answers and failures become, retries, fallbacks, the budget.

use std::sync::Arc;
use std::time::Duration;

use hookhand::config::{self, LoadOptions};
use hookhand::domain::ids::EventId;
use hookhand::ledger::ModelLedger;
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::model::{Models, ModelsParts, check};
use hookhand::ports::{
    Clock, Finish, Model, ModelError, ModelMessage, ModelReply, ModelRequest, Purpose, ToolCall, ToolOffer,
};
use hookhand::telemetry::Redactor;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::harness::clock::{FakeClock, patiently};
use crate::harness::provider::{Provider, openai_text};

const KEY: &str = "acme-live-0123456789abcdef";

struct World {
    provider: Provider,
    clock: Arc<FakeClock>,
    ledger: Arc<SqliteLedger>,
    models: Models,
    _dir: tempfile::TempDir,
}

impl World {
    /// A model of OpenAI's kind at a provider on loopback; `more` are keys under `model:`.
    fn new(more: &str) -> Self {
        let provider = Provider::start();
        Self::with(provider, "openai", more)
    }

    fn with(provider: Provider, kind: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let more = more.replace("URL", &provider.url);
        let yaml = format!(
            "model:\n  provider: {kind}\n  name: gpt-4o-mini\n  base_url: {}\n  api_key: {KEY}\n{more}\n",
            provider.url
        );
        let config = load(dir.path(), &yaml);
        let clock = FakeClock::new();
        let ledger = SqliteLedger::open(SqliteOptions::new(dir.path().join("l.db"), clock.clone())).expect("a ledger");
        let models = Models::new(ModelsParts {
            config: &config,
            ledger: Arc::clone(&ledger) as Arc<dyn ModelLedger>,
            clock: clock.clone(),
            redactor: Redactor::new([KEY.to_owned()]),
        })
        .expect("models");
        Self { provider, clock, ledger, models, _dir: dir }
    }

    async fn ask(&self, request: ModelRequest) -> Result<ModelReply, ModelError> {
        patiently(self.models.complete(request, None)).await
    }

    /// The same, the clock moving over every pause between attempts once `requests` were seen.
    async fn ask_through_pauses(&self, request: ModelRequest, pauses: usize) -> Result<ModelReply, ModelError> {
        let moving = async {
            for pause in 1..=pauses {
                self.provider.asked(pause).await;
                // One sleeper is the deadline of the call; a pause has a nearer end.
                let deadline = self.clock.now() + Duration::from_secs(11);
                loop {
                    self.clock.until_sleeping(1).await;
                    match self.clock.next_deadline() {
                        Some(at) if at < deadline => break,
                        _ => tokio::task::yield_now().await,
                    }
                }
                self.clock.advance_to_next();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = self.ask(request) => answer,
            () = moving => unreachable!("it never ends"),
        }
    }

    async fn calls(&self) -> Vec<Vec<Value>> {
        use hookhand::ledger::Ledger as _;
        let sql = "SELECT purpose, model, tokens_in, tokens_out, micro_usd, outcome FROM model_calls ORDER BY seq";
        self.ledger.query(sql, 100).await.expect("queried").rows
    }
}

fn load(dir: &std::path::Path, yaml: &str) -> config::Model {
    std::fs::write(dir.join("config.yaml"), yaml).expect("written");
    let options = LoadOptions { cwd: dir.to_owned(), ..LoadOptions::default() };
    let loaded = config::load(&options, &std::collections::BTreeMap::new());
    let faults: Vec<String> = loaded.faults.iter().map(ToString::to_string).collect();
    loaded.config.unwrap_or_else(|| panic!("{faults:?}")).model.expect("a model")
}

fn question() -> ModelRequest {
    ModelRequest::new(Purpose::Chat, "Be brief.", "How are you?", 100)
}

fn with_tools() -> ModelRequest {
    let schema = json!({"type": "object", "properties": {"id": {"type": "string"}}});
    let tool = ToolOffer { name: "event".into(), description: "Shows one event.".into(), schema };
    ModelRequest { tools: vec![tool], ..question() }
}

fn chunk(delta: &Value, finish: Option<&str>) -> String {
    format!("data: {}", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
}

#[tokio::test]
async fn a_question_is_asked_once_and_its_cost_is_in_the_ledger() {
    let world = World::new("");
    world.provider.says("Fine.");
    let reply = world.ask(question()).await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.model.as_str()), ("Fine.", "openai/gpt-4o-mini"));
    assert_eq!((reply.tokens_in, reply.tokens_out, reply.finish), (100, 20, Finish::Done));
    // 100 tokens at $0.15 and 20 at $0.60 a million.
    assert_eq!(reply.micro_usd, 27);
    assert_eq!(
        world.calls().await,
        [[json!("chat"), json!("openai/gpt-4o-mini"), json!(100), json!(20), json!(27), json!("done")]]
    );
    let spent = world.ledger.spent_since(Timestamp::UNIX_EPOCH).await.expect("spent");
    assert_eq!((spent.calls, spent.micro_usd), (1, 27));
    let asked = &world.provider.asked(1).await[0];
    assert_eq!(asked.path, "/chat/completions");
    assert!(asked.headers.to_lowercase().contains(&format!("authorization: bearer {KEY}")));
    assert_eq!(asked.body["model"], "gpt-4o-mini");
    assert_eq!(asked.body["max_tokens"], 100);
    assert_eq!(asked.body["messages"][0], json!({"role": "system", "content": "Be brief."}));
    assert_eq!(asked.body["messages"][1], json!({"role": "user", "content": "How are you?"}));
    assert!(asked.body.get("tools").is_none());
}

#[tokio::test]
async fn tools_are_offered_called_and_answered() {
    let world = World::new("");
    let call = json!({"tool_calls": [{"index": 0, "id": "call_7", "type": "function",
        "function": {"name": "event", "arguments": "{\"id\""}}]});
    let rest = json!({"tool_calls": [{"index": 0, "function": {"arguments": ": \"evt_1\"}"}}]});
    world.provider.streams(&[&chunk(&call, None), &chunk(&rest, Some("tool_calls")), "data: [DONE]"]);
    let reply = world.ask(with_tools()).await.expect("an answer");
    let call = ToolCall { id: "call_7".into(), name: "event".into(), args: json!({"id": "evt_1"}) };
    assert_eq!((reply.finish, &reply.calls), (Finish::Tools, &vec![call.clone()]));

    world.provider.streams(&[&chunk(&json!({"content": "It is done."}), Some("stop")), "data: [DONE]"]);
    let mut next = with_tools();
    next.messages.push(ModelMessage::Assistant { text: String::new(), calls: vec![call] });
    next.messages.push(ModelMessage::Tool { call_id: "call_7".into(), text: "{\"title\":\"x\"}".into() });
    let reply = world.ask(next).await.expect("an answer");
    assert_eq!(reply.text, "It is done.");
    let body = &world.provider.asked(2).await[1].body;
    assert_eq!(body["tools"][0]["function"]["name"], "event");
    assert_eq!(body["messages"][2]["tool_calls"][0]["function"]["name"], "event");
    assert_eq!(body["messages"][3], json!({"role": "tool", "tool_call_id": "call_7", "content": "{\"title\":\"x\"}"}));
}

#[tokio::test]
async fn arguments_that_are_no_json_arrive_as_text_and_missing_ones_as_an_empty_object() {
    let world = World::new("");
    for (arguments, expected) in [("{\"id\": oops", json!("{\"id\": oops")), ("", json!({}))] {
        let call = json!({"tool_calls": [{"index": 0, "id": "c", "type": "function",
            "function": {"name": "event", "arguments": arguments}}]});
        world.provider.streams(&[&chunk(&call, Some("tool_calls")), "data: [DONE]"]);
        let reply = world.ask(with_tools()).await.expect("an answer");
        assert_eq!(reply.calls[0].args, expected);
    }
}

#[tokio::test]
async fn anthropic_streams_too_and_its_broken_arguments_arrive_as_text() {
    let event = |name: &str, data: Value| format!("event: {name}\ndata: {data}");
    let events = [
        event(
            "message_start",
            json!({"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}),
        ),
        event(
            "content_block_start",
            json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "tool_use", "id": "toolu_1", "name": "event", "input": {}}}),
        ),
        event(
            "content_block_delta",
            json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": "{\"id\": oops"}}),
        ),
        event("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        event(
            "message_delta",
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}}),
        ),
        event("message_stop", json!({"type": "message_stop"})),
    ];
    let provider = Provider::start();
    provider.streams(&events.iter().map(String::as_str).collect::<Vec<_>>());
    let world = World::with(provider, "anthropic", "");
    let reply = world.ask(with_tools()).await.expect("an answer");
    assert_eq!((reply.calls[0].args.clone(), reply.finish), (json!("{\"id\": oops"), Finish::Tools));
    assert_eq!((reply.tokens_in, reply.tokens_out), (9, 4));
    // One that breaks off before anybody saw a part of it is asked for again.
    let whole: Vec<&str> = events.iter().map(String::as_str).collect();
    world.provider.streams(&whole[..3]).streams(&whole);
    let asked = world.provider.times();
    let pause = async {
        world.provider.asked(asked + 1).await;
        loop {
            world.clock.until_sleeping(1).await;
            match world.clock.next_deadline() {
                Some(at) if at <= world.clock.now() + Duration::from_millis(500) => break,
                _ => tokio::task::yield_now().await,
            }
        }
        world.clock.advance_to_next();
        std::future::pending::<()>().await;
    };
    let reply = tokio::select! {
        reply = world.ask(with_tools()) => reply.expect("an answer"),
        () = pause => unreachable!("it never ends"),
    };
    assert_eq!((reply.calls.len(), world.provider.times()), (1, asked + 2));
}

#[tokio::test]
async fn an_answer_is_streamed_part_by_part_and_counted_at_its_end() {
    let world = World::new("");
    let usage = format!(
        "data: {}",
        json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}})
    );
    let parts = [chunk(&json!({"content": "All "}), None), chunk(&json!({"content": "quiet."}), Some("stop")), usage];
    world.provider.streams(&[&parts[0], &parts[1], &parts[2], "data: [DONE]"]);
    let (deltas, mut seen) = mpsc::channel(8);
    let reply = patiently(world.models.complete(question(), Some(deltas))).await.expect("an answer");
    let mut text = String::new();
    while let Some(part) = seen.recv().await {
        text.push_str(&part);
    }
    assert_eq!((text.as_str(), reply.text.as_str()), ("All quiet.", "All quiet."));
    assert_eq!((reply.tokens_in, reply.tokens_out), (9, 4));
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_nothing_up() {
    let world = World::new("");
    let words: Vec<String> = (0..50).map(|n| chunk(&json!({"content": format!("{n} ")}), None)).collect();
    let mut events: Vec<&str> = words.iter().map(String::as_str).collect();
    let end = chunk(&json!({}), Some("stop"));
    events.extend([end.as_str(), "data: [DONE]"]);
    world.provider.streams(&events);
    let (deltas, _unread) = mpsc::channel(1);
    let reply = patiently(world.models.complete(question(), Some(deltas))).await.expect("an answer");
    assert!(reply.text.starts_with("0 1 2") && reply.text.ends_with("48 49 "), "{}", reply.text);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_an_error_and_is_not_repeated_once_a_part_was_passed_on() {
    let world = World::new("");
    world.provider.streams(&[&chunk(&json!({"content": "Half of"}), None)]).says("a second try");
    let (deltas, mut seen) = mpsc::channel(8);
    let error = patiently(world.models.complete(question(), Some(deltas))).await.expect_err("half an answer");
    assert!(matches!(error, ModelError::Cut { .. }), "{error}");
    assert_eq!(seen.recv().await.as_deref(), Some("Half of"));
    assert_eq!(world.provider.times(), 1);
    let calls = world.calls().await;
    assert_eq!(calls[0][5], json!("cut"));
    assert!(calls[0][4].as_u64() > Some(0), "what may have been paid is counted: {calls:?}");
}

#[tokio::test]
async fn a_provider_that_asks_to_wait_is_asked_again_when_it_said() {
    let world = World::new("");
    let busy = r#"{"error":{"message":"slow down"}}"#;
    world.provider.then(429, &[("retry-after", "7")], busy).then(500, &[], busy).says("Here I am.");
    let began = world.clock.now();
    let reply = world.ask_through_pauses(question(), 2).await.expect("an answer");
    assert_eq!(reply.text, "Here I am.");
    assert_eq!(world.clock.now(), began + Duration::from_secs(8), "7 s as asked, then 1 s of its own");
    assert_eq!(world.calls().await.len(), 1, "one call, however many attempts");
}

#[tokio::test]
async fn a_long_wait_is_not_waited_for_and_the_next_model_answers() {
    let world = World::new(
        "  fallbacks:\n    second: { provider: acme, name: m2, base_url: \"URL/second\", price: { input: 1, output: 1 } }\n",
    );
    world.provider.then(429, &[("retry-after", "3000")], "{}").says("From the second.");
    let reply = world.ask(question()).await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.model.as_str()), ("From the second.", "acme/m2"));
    assert_eq!(world.provider.asked(2).await[1].path, "/second/chat/completions");
    let outcomes: Vec<Value> = world.calls().await.into_iter().map(|row| row[5].clone()).collect();
    assert_eq!(outcomes, [json!("unavailable"), json!("done")]);
    // A request may prefer it.
    world.provider.says("Again.");
    let reply = world.ask(ModelRequest { prefer: Some("second".into()), ..question() }).await.expect("an answer");
    assert_eq!(reply.model, "acme/m2");
}

#[tokio::test]
async fn the_model_of_an_agent_is_asked_at_the_same_provider_and_only_where_it_is_preferred() {
    let world = World::new("agents: { ops: { model: gpt-4o }, two: { model: gpt-4o-mini }, three: { model: gpt-4o } }");
    let prefer = |name: &str| ModelRequest { prefer: Some(name.to_owned()), ..question() };
    world.provider.says("Big.").says("Usual.").says("Usual again.").then(401, &[], "{}").says("In its place.");
    assert_eq!(world.ask(prefer("gpt-4o")).await.expect("an answer").model, "openai/gpt-4o");
    assert_eq!(world.ask(question()).await.expect("an answer").model, "openai/gpt-4o-mini");
    assert_eq!(world.ask(prefer("nobody-knows-it")).await.expect("an answer").model, "openai/gpt-4o-mini");
    let reply = world.ask(prefer("gpt-4o")).await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.model.as_str()), ("In its place.", "openai/gpt-4o-mini"));
    let asked = world.provider.asked(5).await;
    let models: Vec<&str> = asked.iter().map(|asked| asked.body["model"].as_str().expect("a name")).collect();
    assert_eq!(models, ["gpt-4o", "gpt-4o-mini", "gpt-4o-mini", "gpt-4o", "gpt-4o-mini"]);
    assert!(asked[0].headers.contains(KEY), "with the same key");
    // 10 tokens read, 5 written: at the table's price of each.
    let costs: Vec<Value> = world.calls().await.into_iter().map(|row| row[4].clone()).collect();
    assert!(costs[0].as_u64() > costs[1].as_u64(), "{costs:?}");
}

#[tokio::test]
async fn a_model_that_keeps_failing_is_left_alone_for_a_while() {
    let world = World::new("");
    for _ in 0..4 {
        world.provider.then(503, &[("retry-after", "60")], "{}");
        world.ask(question()).await.expect_err("down");
    }
    assert_eq!(world.provider.times(), 4);
    let error = world.ask(question()).await.expect_err("left alone").to_string();
    assert!(error.contains("is left alone until"), "{error}");
    assert_eq!(world.provider.times(), 4, "nothing was sent");
    world.clock.advance(Duration::from_secs(31));
    world.provider.says("Back.");
    assert_eq!(world.ask(question()).await.expect("an answer").text, "Back.");
}

#[tokio::test]
async fn a_silent_model_is_given_up_after_its_time() {
    let world = World::new("  timeout_seconds: 5\n");
    world.provider.stays_silent();
    let giving_up = async {
        world.provider.asked(1).await;
        world.clock.until_sleeping(1).await;
        world.clock.advance(Duration::from_secs(5));
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        answer = world.ask(question()) => answer.expect_err("silence"),
        () = giving_up => unreachable!("it never ends"),
    };
    assert_eq!(error, ModelError::TooSlow { after: Duration::from_secs(5) });
    assert_eq!(world.calls().await[0][5], json!("too_slow"));
}

#[tokio::test]
async fn nothing_is_sent_when_the_call_could_go_beyond_the_days_money() {
    // A call may take 100 tokens out at $0.60 a million: 60 micro-dollars and what it reads.
    let world = World::new("  daily_budget_usd: 0.0001\n");
    world.provider.says("Once.").says("Tomorrow.");
    world.ask(question()).await.expect("the first fits");
    let error = world.ask(ModelRequest { max_tokens: 150, ..question() }).await.expect_err("no money");
    assert!(matches!(error, ModelError::OverBudget { .. }), "{error}");
    assert!(error.to_string().contains("midnight UTC"), "{error}");
    assert_eq!(world.provider.times(), 1);
    world.clock.advance(Duration::from_secs(86_400));
    assert_eq!(world.ask(ModelRequest { max_tokens: 150, ..question() }).await.expect("a new day").text, "Tomorrow.");
}

#[tokio::test]
async fn a_model_that_costs_nothing_answers_when_the_money_is_gone() {
    let world = World::new(
        "  daily_budget_usd: 0\n  fallbacks:\n    free: { provider: acme, name: m2, base_url: \"URL/free\", price: { input: 0, output: 0 } }\n",
    );
    world.provider.says("For free.");
    let reply = world.ask(question()).await.expect("an answer");
    assert_eq!((reply.model.as_str(), reply.micro_usd), ("acme/m2", 0));
}

#[tokio::test]
async fn the_tokens_of_one_event_are_bounded() {
    let world = World::new("  event_tokens_max: 300\n");
    let about = |n| ModelRequest { event: Some(EventId::new(ulid::Ulid::from_parts(1, n))), ..question() };
    world.provider.says("1").says("2").says("3");
    world.ask(about(1)).await.expect("the first");
    world.ask(about(1)).await.expect("the second");
    let error = world.ask(about(1)).await.expect_err("too many").to_string();
    assert!(error.contains("event_tokens_max"), "{error}");
    world.ask(about(2)).await.expect("another event");
    assert_eq!(world.provider.times(), 3);
}

#[tokio::test]
async fn calls_at_once_do_not_take_the_last_cent_twice() {
    let world = World::new("  daily_budget_usd: 0.00015\n");
    for _ in 0..20 {
        world.provider.says("x");
    }
    let answers = futures::future::join_all((0..20).map(|_| world.ask(question()))).await;
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    let spent = world.ledger.spent_since(Timestamp::UNIX_EPOCH).await.expect("spent");
    assert!(answered < 20 && spent.micro_usd <= 150, "{answered} answers for {} micro-dollars", spent.micro_usd);
}

#[tokio::test]
async fn a_wrong_key_is_told_without_the_key() {
    let world = World::new("");
    let body = json!({"error": {"message": format!("Incorrect API key provided: {KEY} (acme-l****cdef)."), "code": "invalid_api_key"}});
    world.provider.then(401, &[("x-echo", KEY)], body.to_string());
    let error = world.ask(question()).await.expect_err("refused");
    assert!(matches!(error, ModelError::Refused { status: 401, .. }), "{error}");
    for text in [error.to_string(), format!("{error:?}"), format!("{:?}", world.models)] {
        assert!(!text.contains(KEY) && !text.contains("acme-l"), "{text}");
    }
    assert_eq!(world.provider.times(), 1, "it will not be right the next time");
    // The same over the stream, whose errors come another way.
    world.provider.then(401, &[("x-echo", KEY)], body.to_string());
    let (deltas, _seen) = mpsc::channel(8);
    let error = patiently(world.models.complete(question(), Some(deltas))).await.expect_err("refused");
    assert!(matches!(error, ModelError::Refused { status: 401, .. }), "{error}");
    assert!(!format!("{error:?}").contains("acme-l"), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_said_to_and_counts_with_all_that_it_may_have_cost() {
    for body in [
        "not json",
        "[1,2]",
        r#"{"choices":[{"message":{"tool_calls":"x"}}]}"#,
        r#"{"choices":[{"message":{"content":" "}}]}"#,
    ] {
        let world = World::new("");
        world.provider.then(200, &[], body);
        let outcome = world.ask(question()).await;
        assert!(matches!(outcome, Err(ModelError::Malformed { .. })), "{body}: {outcome:?}");
        assert_eq!(world.calls().await[0][3], json!(question().max_tokens), "{body}");
    }
}

#[tokio::test]
async fn anthropic_gemini_and_ollama_are_spoken_to_in_their_own_way() {
    let anthropic = json!({"id": "m", "type": "message", "role": "assistant", "model": "c",
        "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2}});
    let gemini = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}});
    let ollama = json!({"model": "l", "message": {"role": "assistant", "content": "hello"}, "done": true,
        "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2});
    for (kind, answer, path, header) in [
        ("anthropic", anthropic, "/messages", "x-api-key"),
        ("gemini", gemini, "/models/gpt-4o-mini:generateContent", "x-goog-api-key"),
        ("ollama", ollama, "/api/chat", "content-type"),
    ] {
        let provider = Provider::start();
        provider.then(200, &[], answer.to_string());
        let world = World::with(provider, kind, "");
        let reply = world.ask(question()).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!((reply.text.as_str(), reply.tokens_in, reply.tokens_out), ("hello", 3, 2), "{kind}");
        let asked = &world.provider.asked(1).await[0];
        assert_eq!(asked.path.split('?').next(), Some(path), "{kind}");
        assert!(!asked.path.contains(KEY), "{kind}: a key in a URL ends up in logs");
        assert!(asked.headers.to_lowercase().contains(header), "{kind}: {}", asked.headers);
    }
}

#[tokio::test]
async fn the_check_says_what_each_model_answers() {
    let provider = Provider::start();
    provider.then(200, &[], openai_text("ready").to_string());
    provider.then(401, &[], json!({"error": {"message": format!("bad key {KEY}")}}).to_string());
    let dir = tempfile::tempdir().expect("a folder");
    let url = &provider.url;
    let config = load(
        dir.path(),
        &format!(
            "model:\n  provider: openai\n  name: gpt-4o-mini\n  base_url: {url}\n  api_key: {KEY}\n  fallbacks:\n    \
             second: {{ provider: acme, name: m2, base_url: {url}, api_key: {KEY} }}\n    \
             gone: {{ provider: acme, name: m3, base_url: \"http://127.0.0.1:1\" }}\n"
        ),
    );
    let checks = patiently(check(&config, FakeClock::new(), Redactor::new([KEY.to_owned()]))).await.expect("checked");
    let said: Vec<(&str, bool)> = checks.iter().map(|check| (check.label.as_str(), check.outcome.is_ok())).collect();
    assert_eq!(said, [("openai/gpt-4o-mini", true), ("acme/m2", false), ("acme/m3", false)]);
    assert!(!format!("{checks:?}").contains(KEY), "{checks:?}");
}
