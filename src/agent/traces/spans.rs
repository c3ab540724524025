//! From records to spans: which trace each belongs to, beneath what, and what it says. No payload, output or text of a person
//! is among it.
//!
//! A trace's id is the ULID of the event at its beginning, or of its first run: 128 bits both. A span's id is the beginning
//! of a SHA-256 of what it stands for. Calls of models use the GenAI semantic conventions of OpenTelemetry.

use std::time::SystemTime;

use jiff::Timestamp;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::domain::ids::{EventId, RunId};
use crate::ledger::traces::{EventTrace, ModelTrace, RunTrace, StepTrace, TraceRecord, TraceRoot};

/// The spans of one record.
pub fn spans_of(record: &TraceRecord) -> Vec<SpanData> {
    match record {
        TraceRecord::Event(event) => event_spans(event),
        TraceRecord::Run(run) => run_spans(run),
        TraceRecord::Model(model) => vec![model_span(model)],
    }
}

/// What a span needs to be told.
struct Told {
    trace: TraceId,
    id: SpanId,
    parent: SpanId,
    kind: SpanKind,
    name: String,
    from: Timestamp,
    to: Timestamp,
    attributes: Vec<KeyValue>,
    /// Why it counts as failed.
    failed: Option<String>,
}

fn event_spans(event: &EventTrace) -> Vec<SpanData> {
    let (trace, root) = (TraceId::from_bytes(event.id.ulid().to_bytes()), event_span(event.id));
    let failed = (event.status == "failed").then(|| "it could not be processed".to_owned());
    let whole = Told {
        trace,
        id: root,
        parent: SpanId::INVALID,
        kind: SpanKind::Server,
        name: format!("webhook {}", event.handler),
        from: event.received_at,
        to: event.processed_at,
        attributes: vec![
            KeyValue::new("hookhand.event.id", event.id.to_string()),
            KeyValue::new("hookhand.handler", event.handler.clone()),
            KeyValue::new("hookhand.provider", event.provider.clone()),
            KeyValue::new("hookhand.event.type", event.event.clone()),
            KeyValue::new("hookhand.event.verdict", event.verdict.clone()),
            KeyValue::new("hookhand.event.status", event.status.clone()),
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.request.body.size", event.body_bytes),
        ],
        failed: failed.clone(),
    };
    let part = |name: &str, from, to, failed| Told {
        trace,
        id: span_id(&[name, &event.id.to_string()]),
        parent: root,
        kind: SpanKind::Internal,
        name: name.to_owned(),
        from,
        to,
        attributes: Vec::new(),
        failed,
    };
    let ingress = part("ingress", event.received_at, event.committed_at, None);
    let triage = part("triage", event.committed_at, event.processed_at, failed);
    [whole, ingress, triage].into_iter().map(span).collect()
}

fn run_spans(run: &RunTrace) -> Vec<SpanData> {
    let trace = trace_id(&run.root).unwrap_or_else(|| TraceId::from_bytes(run.id.ulid().to_bytes()));
    let id = run_span(run.id);
    let parent = match (&run.parent, run.root.event) {
        (Some((parent, step)), _) => step_span(*parent, step),
        (None, Some(event)) => event_span(event),
        (None, None) => SpanId::INVALID,
    };
    let whole = Told {
        trace,
        id,
        parent,
        kind: SpanKind::Internal,
        name: format!("run {}", run.workflow),
        from: run.started_at,
        to: run.ended_at,
        attributes: vec![
            KeyValue::new("hookhand.run.id", run.id.to_string()),
            KeyValue::new("hookhand.workflow", run.workflow.clone()),
            KeyValue::new("hookhand.workflow.hash", run.workflow_hash.clone()),
            KeyValue::new("hookhand.run.source", run.source.clone()),
            KeyValue::new("hookhand.run.state", run.state.clone()),
        ],
        failed: (run.state != "success").then(|| run.state.clone()),
    };
    let steps = run.steps.iter().map(|step| step_told(run, step, trace, id));
    std::iter::once(whole).chain(steps).map(span).collect()
}

fn step_told(run: &RunTrace, step: &StepTrace, trace: TraceId, parent: SpanId) -> Told {
    let mut attributes = vec![
        KeyValue::new("hookhand.run.id", run.id.to_string()),
        KeyValue::new("hookhand.step", step.key.clone()),
        KeyValue::new("hookhand.step.state", step.state.clone()),
        KeyValue::new("hookhand.step.attempt", step.attempt),
    ];
    attributes.extend(step.tool.clone().map(|tool| KeyValue::new("hookhand.tool", tool)));
    Told {
        trace,
        id: step_span(run.id, &step.key),
        parent,
        kind: SpanKind::Internal,
        name: format!("step {}", step.key),
        from: step.started_at,
        to: step.ended_at.unwrap_or(run.ended_at),
        attributes,
        failed: (!matches!(step.state.as_str(), "success" | "skipped")).then(|| step.state.clone()),
    }
}

fn model_span(model: &ModelTrace) -> SpanData {
    let own = hash(&["model", &model.seq.to_string(), &model.at.to_string()]);
    let own_trace = || TraceId::from_bytes(own[..16].try_into().expect("sixteen of thirty-two bytes"));
    let parent = match (model.run, model.root.event) {
        (Some(run), _) => run_span(run),
        (None, Some(event)) => event_span(event),
        (None, None) => SpanId::INVALID,
    };
    let (provider, name) = model.model.split_once('/').unwrap_or(("", &model.model));
    span(Told {
        trace: trace_id(&model.root).unwrap_or_else(own_trace),
        id: span_id(&["model", &model.seq.to_string(), &model.at.to_string()]),
        parent,
        kind: SpanKind::Client,
        name: format!("chat {name}"),
        from: model.at,
        to: model.ended_at,
        attributes: vec![
            KeyValue::new("gen_ai.operation.name", "chat"),
            KeyValue::new("gen_ai.provider.name", provider.to_owned()),
            KeyValue::new("gen_ai.request.model", name.to_owned()),
            KeyValue::new("gen_ai.usage.input_tokens", model.tokens_in),
            KeyValue::new("gen_ai.usage.output_tokens", model.tokens_out),
            KeyValue::new("hookhand.model.purpose", model.purpose.clone()),
            KeyValue::new("hookhand.model.outcome", model.outcome.clone()),
            KeyValue::new("hookhand.model.micro_usd", model.micro_usd),
        ],
        failed: (model.outcome != "done").then(|| model.outcome.clone()),
    })
}

fn trace_id(root: &TraceRoot) -> Option<TraceId> {
    let ulid: Ulid = root.event.map(|event| event.ulid()).or_else(|| root.run.map(|run| run.ulid()))?;
    Some(TraceId::from_bytes(ulid.to_bytes()))
}

fn event_span(event: EventId) -> SpanId {
    span_id(&["event", &event.to_string()])
}

fn run_span(run: RunId) -> SpanId {
    span_id(&["run", &run.to_string()])
}

fn step_span(run: RunId, key: &str) -> SpanId {
    span_id(&["step", &run.to_string(), key])
}

fn span_id(parts: &[&str]) -> SpanId {
    let mut bytes: [u8; 8] = hash(parts)[..8].try_into().expect("eight of thirty-two bytes");
    // Zero is no id.
    bytes[7] |= 1;
    SpanId::from_bytes(bytes)
}

fn hash(parts: &[&str]) -> [u8; 32] {
    Sha256::digest(parts.join("\0")).into()
}

fn span(told: Told) -> SpanData {
    let Told { trace, id, parent, kind, name, from, to, attributes, failed } = told;
    SpanData {
        span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: parent,
        parent_span_is_remote: false,
        span_kind: kind,
        name: name.into(),
        start_time: SystemTime::from(from),
        // A clock that was set back makes no span of less than nothing.
        end_time: SystemTime::from(to.max(from)),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: failed.map_or(Status::Ok, Status::error),
        instrumentation_scope: InstrumentationScope::builder("hookhand")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}
