//! Talks to a simulator of models' providers that nobody here wrote, in OpenAI's and in Anthropic's way: `tests/interop/models.sh`
//! starts both. Prints a line for each case and fails when one is not as it should be.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program run by hand")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use hookhand::config::{self, LoadOptions};
use hookhand::ledger::ModelLedger;
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::model::{Models, ModelsParts};
use hookhand::ports::{
    Finish, Model, ModelError, ModelMessage, ModelReply, ModelRequest, Purpose, SystemClock, ToolOffer,
};
use hookhand::telemetry::Redactor;
use serde_json::json;
use tokio::sync::mpsc;

const KEY: &str = "interop-key-0123456789";

struct Face {
    name: &'static str,
    models: Models,
    ledger: Arc<SqliteLedger>,
    failed: usize,
    _dir: tempfile::TempDir,
}

impl Face {
    fn new(name: &'static str, model: &str, base: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let yaml = format!(
            "model: {{ provider: {name}, name: {model}, base_url: \"{base}/v1\", api_key: {KEY}, timeout_seconds: 2 }}\n"
        );
        std::fs::write(dir.path().join("config.yaml"), yaml).expect("written");
        let options = LoadOptions { cwd: dir.path().to_owned(), ..LoadOptions::default() };
        let config = config::load(&options, &BTreeMap::new()).config.expect("it is right").model.expect("a model");
        let clock = Arc::new(SystemClock);
        let ledger = SqliteLedger::open(SqliteOptions::new(dir.path().join("l.db"), clock.clone())).expect("a ledger");
        let models = Models::new(ModelsParts {
            config: &config,
            ledger: Arc::clone(&ledger) as Arc<dyn ModelLedger>,
            clock,
            redactor: Redactor::new([KEY.to_owned()]),
        })
        .expect("models");
        Self { name, models, ledger, failed: 0, _dir: dir }
    }

    async fn ask(&self, request: ModelRequest, streamed: bool) -> (Result<ModelReply, ModelError>, String) {
        if !streamed {
            return (self.models.complete(request, None).await, String::new());
        }
        let (deltas, mut seen) = mpsc::channel(1024);
        let reply = self.models.complete(request, Some(deltas)).await;
        let mut text = String::new();
        while let Some(part) = seen.recv().await {
            text.push_str(&part);
        }
        (reply, text)
    }

    fn case(&mut self, what: &str, good: bool, seen: &impl std::fmt::Debug) {
        println!(
            "{} {:9} {what}{}",
            if good { "ok  " } else { "FAIL" },
            self.name,
            if good { String::new() } else { format!(": {seen:?}") }
        );
        self.failed += usize::from(!good);
        if format!("{seen:?}").contains(KEY) {
            println!("FAIL {:9} {what}: the key is in it", self.name);
            self.failed += 1;
        }
    }

    async fn bad_arguments(&mut self) {
        let (reply, _) = self.ask(with_tool("bad arguments"), false).await;
        let kept = reply.as_ref().is_ok_and(|r| r.calls.first().is_some_and(|call| !call.args.is_object()));
        self.case("arguments that are no JSON are kept as text", kept, &reply);
    }

    async fn run(&mut self) {
        let (reply, _) = self.ask(question("plain"), false).await;
        let good = reply.as_ref().is_ok_and(|r| r.text == "All is quiet in acme/shop." && r.finish == Finish::Done);
        self.case("chat, whole", good && reply.as_ref().is_ok_and(|r| r.tokens_out > 0 && r.micro_usd > 0), &reply);
        let (reply, parts) = self.ask(question("plain"), true).await;
        let whole = reply.as_ref().is_ok_and(|r| r.text == parts && parts == "All is quiet in acme/shop.");
        self.case("chat, streamed part by part", whole, &(reply, parts));

        for streamed in [false, true] {
            let mut request = with_tool("tool please");
            let (reply, _) = self.ask(request.clone(), streamed).await;
            let calls = reply.as_ref().map(|r| r.calls.clone()).unwrap_or_default();
            let wanted = json!({"id": "evt_1", "fields": ["title", "url"]});
            let good = calls.len() == 1 && calls[0].name == "event" && calls[0].args == wanted;
            self.case(if streamed { "a tool is called, streamed" } else { "a tool is called" }, good, &reply);
            let Some(call) = calls.first() else { continue };
            request.messages.push(ModelMessage::Assistant { text: String::new(), calls: calls.clone() });
            request
                .messages
                .push(ModelMessage::Tool { call_id: call.id.clone(), text: "{\"title\":\"a push\"}".into() });
            let (reply, _) = self.ask(request, streamed).await;
            let good = reply.as_ref().is_ok_and(|r| r.text == "The event is a push.");
            self.case(
                if streamed { "its result is understood, streamed" } else { "its result is understood" },
                good,
                &reply,
            );
        }
        // The simulator's face of Anthropic makes an empty object of them; tests/it/model.rs has that case.
        if self.name == "openai" {
            self.bad_arguments().await;
        }

        let (reply, _) = self.ask(question("limited"), false).await;
        self.case("429 with Retry-After, then an answer", text(&reply) == "After the limit.", &reply);
        let (reply, _) = self.ask(question("broken once"), true).await;
        self.case("500 while streaming, then an answer", text(&reply) == "It works again.", &reply);
        let (reply, _) = self.ask(question("broken"), false).await;
        self.case("500 for ever", matches!(reply, Err(ModelError::Unavailable { .. })), &reply);
        let (reply, _) = self.ask(question("refused"), false).await;
        self.case("a wrong key", matches!(reply, Err(ModelError::Refused { status: 401, .. })), &reply);
        let (reply, parts) = self.ask(question("cut"), true).await;
        let good = matches!(reply, Err(ModelError::Cut { .. })) && !parts.is_empty();
        self.case("a stream that is cut", good, &(reply, parts));
        let (reply, _) = self.ask(question("slow"), false).await;
        self.case("an answer that is too slow", matches!(reply, Err(ModelError::TooSlow { .. })), &reply);
        let (reply, _) = self.ask(question("slow"), true).await;
        self.case("a stream that is too slow", matches!(reply, Err(ModelError::TooSlow { .. })), &reply);

        let spent = self.ledger.spent_since(jiff::Timestamp::UNIX_EPOCH).await;
        self.case(
            "every call is in the ledger",
            spent.as_ref().is_ok_and(|s| s.calls >= 13 && s.micro_usd > 0),
            &spent,
        );
    }
}

fn question(text: &str) -> ModelRequest {
    ModelRequest::new(Purpose::Chat, "Be brief.", text, 200)
}

fn with_tool(text: &str) -> ModelRequest {
    let schema = json!({"type": "object", "properties": {"id": {"type": "string"}, "fields": {"type": "array", "items": {"type": "string"}}}});
    let tool = ToolOffer { name: "event".into(), description: "Shows one event.".into(), schema };
    ModelRequest { tools: vec![tool], ..question(text) }
}

fn text(reply: &Result<ModelReply, ModelError>) -> &str {
    reply.as_ref().map_or("", |reply| reply.text.as_str())
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(base) = std::env::args().nth(1) else {
        eprintln!("usage: interop_models URL, as tests/interop/models.sh calls it");
        return ExitCode::from(2);
    };
    let mut failed = 0;
    for (name, model) in [("openai", "gpt-4o-mini"), ("anthropic", "claude-haiku-4-5")] {
        let mut face = Face::new(name, model, &base);
        face.run().await;
        failed += face.failed;
    }
    println!("{}", if failed == 0 { "all as it should be".to_owned() } else { format!("{failed} cases are not") });
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
