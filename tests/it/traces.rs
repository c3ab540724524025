//! Traces as a collector gets them: real requests, decoded with the protocol's own messages.

use std::collections::BTreeMap;

use hookhand::ledger::models::{ModelBounds, ModelCallBegun, ModelCallEnded, ModelLedger, NewModelCall};
use hookhand::ports::Purpose;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};

use crate::harness::app::{TestApp, delivery, pull_request};
use crate::harness::clock::patiently;
use crate::harness::receiver::{Received, Receiver, Script, answer};

fn keys(collector: &Receiver) -> String {
    format!(
        "telemetry: {{ otlp: {{ endpoint: \"http://{}\", headers: {{ x-mlflow-experiment-id: hunter2secret }}, service_name: hooks }} }}",
        collector.address
    )
}

fn taken(count: usize) -> Vec<Script> {
    vec![answer(200, &[("content-type", "application/x-protobuf")], ""); count]
}

/// A collector's view: spans by name, and every request.
struct Collected {
    spans: BTreeMap<String, Span>,
    requests: Vec<Received>,
}

impl Collected {
    fn attribute(&self, span: &str, key: &str) -> Value {
        let found = self.spans[span].attributes.iter().find(|attribute| attribute.key == key);
        match found.and_then(|attribute| attribute.value.clone()?.value) {
            Some(AnyValue::StringValue(text)) => json!(text),
            Some(AnyValue::IntValue(number)) => json!(number),
            other => panic!("{span} {key}: {other:?}"),
        }
    }

    /// The name of the span above.
    fn above(&self, span: &str) -> Option<&str> {
        let parent = &self.spans[span].parent_span_id;
        self.spans.iter().find(|(_, span)| span.span_id == *parent).map(|(name, _)| name.as_str())
    }
}

/// Requests until there are spans of all these names.
async fn collected(app: &TestApp, collector: &mut Receiver, names: &[&str]) -> Collected {
    let mut collected = Collected { spans: BTreeMap::new(), requests: Vec::new() };
    while !names.iter().all(|name| collected.spans.contains_key(*name)) {
        let request = app.clock.run_until(collector.next()).await;
        for span in spans(&request) {
            collected.spans.insert(span.name.clone(), span);
        }
        collected.requests.push(request);
    }
    collected
}

fn decoded(request: &Received) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(request.body.as_slice()).expect("a request of the protocol")
}

fn spans(request: &Received) -> Vec<Span> {
    let resources = decoded(request).resource_spans;
    resources.into_iter().flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

const PARENT: &str = "name: parent
trigger: webhook
on: { handler: github, events: [pull_request.opened] }
steps:
  - { name: tell, tool: notify, args: { text: \"{{ payload.pull_request.title }}\" } }
  - { name: below, tool: run_workflow, args: { workflow: child, inputs: { a: 1 } }, on_error: continue }
";
const CHILD: &str = "name: child
trigger: manual
steps:
  - { name: fails, tool: read_file, args: { path: nowhere.txt } }
";

#[tokio::test]
async fn an_event_and_all_that_came_of_it_are_one_trace() {
    let mut collector = Receiver::start(taken(20)).await;
    let app = TestApp::with_keys(&keys(&collector), &[("parent", PARENT), ("child", CHILD)]).await;
    let reply = app.send(delivery("a", "pull_request", &pull_request(1, "Fix the till"))).await.json();
    let event = reply["event_id"].as_str().expect("an id").to_owned();
    // Work takes real time: the clock stands still until it is done.
    app.ended(reply["runs"][0]["run_id"].as_str().expect("a run")).await;
    let names =
        ["webhook github", "ingress", "triage", "run parent", "step tell", "step below", "run child", "step fails"];
    let collected = collected(&app, &mut collector, &names).await;
    let trace = collected.spans["webhook github"].trace_id.clone();
    let ulid: ulid::Ulid = event.strip_prefix("evt_").expect("a prefix").parse().expect("an id");
    assert_eq!(trace, ulid.to_bytes());
    for name in names {
        assert_eq!(collected.spans[name].trace_id, trace, "{name}");
        let span = &collected.spans[name];
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0, "{name}");
    }
    let above: Vec<_> = names.iter().map(|name| collected.above(name)).collect();
    assert_eq!(
        above,
        [
            None,
            Some("webhook github"),
            Some("webhook github"),
            Some("webhook github"),
            Some("run parent"),
            Some("run parent"),
            Some("step below"),
            Some("run child"),
        ]
    );
    let failed = |name: &str| collected.spans[name].status.as_ref().is_some_and(|status| status.code == 2);
    assert!(failed("step fails") && failed("run child") && !failed("step tell") && !failed("webhook github"));
    assert_eq!(collected.attribute("webhook github", "hookhand.event.type"), "pull_request.opened");
    assert_eq!(collected.attribute("webhook github", "hookhand.event.verdict"), "valid");
    assert_eq!(collected.attribute("run parent", "hookhand.run.source"), "event");
    assert_eq!(collected.attribute("step tell", "hookhand.tool"), "notify");
    let request = &collected.requests[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/traces"));
    assert_eq!(request.header("x-mlflow-experiment-id"), Some("hunter2secret"));
    let resource = decoded(request).resource_spans.remove(0).resource.expect("a resource");
    assert!(format!("{:?}", resource.attributes).contains("\"hooks\""));
    // What people wrote and what is secret is not told.
    for request in &collected.requests {
        let text = String::from_utf8_lossy(&request.body);
        assert!(!text.contains("Fix the till") && !text.contains("hunter2secret") && !text.contains("nowhere"));
    }
}

async fn waiting(app: &TestApp) -> i64 {
    app.sql("SELECT count(*) FROM trace_queue").await[0][0].as_i64().expect("a number")
}

#[tokio::test]
async fn a_collector_that_is_away_gets_everything_later_and_a_restart_loses_nothing() {
    let mut collector = Receiver::start([answer(503, &[], "")].into_iter().chain(taken(9))).await;
    let mut app = TestApp::with_keys(&keys(&collector), &[]).await;
    app.send(delivery("a", "pull_request", &pull_request(1, "Fix"))).await;
    let refused = app.clock.run_until(collector.next()).await;
    assert_eq!(spans(&refused).len(), 3);
    assert_eq!(waiting(&app).await, 1);
    app.stop().await;
    app.run().await;
    app.send(delivery("b", "pull_request", &pull_request(2, "Fix"))).await;
    let mut again = Vec::new();
    while again.iter().filter(|span: &&Span| span.name == "ingress").count() < 2 {
        again.extend(spans(&app.clock.run_until(collector.next()).await));
    }
    // The same span under the same id, and nothing twice.
    assert!(spans(&refused).iter().all(|span| again.iter().filter(|other| other.span_id == span.span_id).count() == 1));
    assert_eq!(again.len(), 6);
    let empty = async {
        while waiting(&app).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    patiently(empty).await;
    assert!(collector.rest().is_empty());
    app.stop().await;
}

#[tokio::test]
async fn without_a_collector_nothing_is_queued() {
    let app = TestApp::start().await;
    app.send(delivery("a", "pull_request", &pull_request(1, "Fix"))).await;
    app.messages(1).await;
    assert_eq!(waiting(&app).await, 0);
}

#[tokio::test]
async fn calls_of_models_follow_the_conventions_for_generative_ai() {
    use hookhand::ledger::Ledger;
    use hookhand::ledger::traces::{TraceLedger, TraceRecord};
    let world = crate::runs::world::World::new();
    let ledger = &world.ledger;
    ledger.keep_traces(true).await.expect("kept");
    let event: hookhand::domain::ids::EventId = "evt_00000000010000000000000001".parse().expect("an id");
    let call = NewModelCall {
        at: world.now(),
        purpose: Purpose::Summary,
        model: "openai/gpt-4o-mini".into(),
        event: Some(event),
        run: None,
        tokens_in: 10,
        tokens_out: 5,
        micro_usd: 7,
    };
    let bounds = ModelBounds { day_began: world.now(), day_micro_usd_max: 1000, event_tokens_max: 1000 };
    let ModelCallBegun::Begun(seq) = ledger.begin_model_call(call, bounds).await.expect("kept") else {
        panic!("it may be made");
    };
    let ended = ModelCallEnded { at: world.now(), tokens_in: 9, tokens_out: 4, micro_usd: 6, outcome: "done" };
    ledger.end_model_call(seq, ended).await.expect("kept");
    let waiting = ledger.traces_waiting(10).await.expect("read");
    let [TraceRecord::Model(model)] = waiting.records.as_slice() else { panic!("{waiting:?}") };
    let spans = hookhand::agent::spans_of(&TraceRecord::Model(model.clone()));
    let span = &spans[0];
    assert_eq!(span.span_context.trace_id().to_bytes(), event.ulid().to_bytes());
    assert_eq!(span.name, "chat gpt-4o-mini");
    let text = format!("{:?}", span.attributes);
    for key in [
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
    ] {
        assert!(text.contains(key), "{text}");
    }
    ledger.traces_told(waiting.upto.expect("one")).await.expect("told");
    assert_eq!(ledger.traces_waiting(10).await.expect("read").upto, None);
    ledger.close().await.expect("closed");
}
