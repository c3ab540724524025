//! What runs cost: steps with a tool that does nothing, from decision to beginning, and many pending approvals.
//!
//! `cargo bench --bench runs`. Each number is printed as it is measured; docs/PERFORMANCE.md has those of one machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hookhand::domain::approval::{ApprovalState, Vote};
use hookhand::domain::ids::{ApprovalId, RunId};
use hookhand::domain::notice::ChatKey;
use hookhand::domain::run::{Effect, Risk, RunSource};
use hookhand::ledger::Ledger;
use hookhand::ledger::runs::{ApprovalFilter, RunContext, RunLedger};
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ports::{RandomIds, SystemClock};
use hookhand::telemetry::{NoAudit, Redactor};
use hookhand::tool::files::Files;
use hookhand::tool::process::Sandbox;
use hookhand::tool::{
    Call, Chats, LedgerMemory, Secrets, Tool, ToolContext, ToolFailure, ToolOutput, ToolRegistry, ToolSpec,
};
use hookhand::workflow::definition::{Known, Workflow};
use hookhand::workflow::engine::{Decider, Decision, Engine, EngineDeps, People, StartRequest, Workflows};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

/// Runs that are started for the steps.
const RUNS: usize = 2000;
/// Steps of each.
const STEPS: usize = 10;
/// Decisions that are timed.
const TAPS: usize = 500;
/// Approvals that wait while they are.
const PENDING: usize = 10_000;

fn once(_: &Map<String, Value>) -> Effect {
    Effect::Once
}

static NOOP: ToolSpec = ToolSpec {
    name: "noop",
    summary: "Does nothing.",
    risk: Risk::Write,
    default_effect: once,
    args: &[],
    choices: &[],
    timeout_default: Duration::from_secs(60),
};

/// Does nothing, and says when it began.
#[derive(Debug, Default)]
struct Noop(Mutex<BTreeMap<RunId, Instant>>);

#[async_trait]
impl Tool for Noop {
    fn spec(&self) -> &'static ToolSpec {
        &NOOP
    }

    async fn run(&self, call: &Call, _: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        self.0.lock().expect("not poisoned").insert(call.run, Instant::now());
        Ok(ToolOutput::default())
    }
}

#[derive(Debug)]
struct Book(BTreeMap<&'static str, Arc<Workflow>>);

impl Workflows for Book {
    fn get(&self, name: &str) -> Option<Arc<Workflow>> {
        self.0.get(name).cloned()
    }
}

struct Bench {
    ledger: Arc<SqliteLedger>,
    engine: Engine,
    noop: Arc<Noop>,
    _dir: tempfile::TempDir,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(SystemClock);
    let ledger = SqliteLedger::open(SqliteOptions::new(dir.path().join("ledger.db"), clock.clone())).expect("a ledger");
    let noop = Arc::new(Noop::default());
    let tools = ToolRegistry::declared().with(noop.clone());
    let known = Known::tools(tools.clone());
    let parse = |text: &str| Arc::new(Workflow::parse("bench.yaml", text, &known).expect("valid"));
    let steps: String = (0..STEPS).map(|n| format!("  - {{ name: s{n}, tool: noop }}\n")).collect();
    let book = BTreeMap::from([
        ("plain", parse(&format!("name: plain\nsteps:\n{steps}"))),
        ("gated", parse("name: gated\nsteps:\n  - { name: gate, tool: noop, requires_approval: { expires: 1h } }\n")),
    ]);
    let ids = Arc::new(RandomIds::default());
    let context = ToolContext {
        cancel: CancellationToken::new(),
        event: None,
        chat: None,
        clock: clock.clone(),
        ids: ids.clone(),
        ledger: ledger.clone(),
        memory: Arc::new(LedgerMemory::new(ledger.clone())),
        files: Arc::new(Files::new(dir.path(), Vec::new(), Vec::new())),
        sandbox: Arc::new(Sandbox::new("/nowhere".into(), Vec::new())),
        chats: Arc::new(Chats { named: BTreeMap::new(), default: ChatKey::terminal() }),
        secrets: Arc::new(Secrets::default()),
        redactor: Arc::new(Redactor::new([])),
    };
    let engine = Engine::new(EngineDeps {
        ledger: ledger.clone(),
        workflows: Arc::new(Book(book)),
        tools: Arc::new(tools),
        context,
        people: People::default(),
        audit: Arc::new(NoAudit),
        clock,
        ids,
    });
    Bench { ledger, engine, noop, _dir: dir }
}

impl Bench {
    async fn start(&self, workflow: &str) -> RunId {
        let request = StartRequest {
            workflow: workflow.into(),
            event: None,
            context: RunContext { payload: json!({"ref": "refs/heads/main"}), ..RunContext::default() },
            source: RunSource::Manual,
            started_by: "bench".into(),
            chat: None,
        };
        self.engine.start(request).await.expect("started").run
    }

    /// Starts `count` runs, many at once.
    async fn start_all(&self, workflow: &'static str, count: usize) -> Vec<RunId> {
        let starts = (0..count).map(|_| self.start(workflow));
        let mut all = Vec::with_capacity(count);
        let mut starts = starts.collect::<std::collections::VecDeque<_>>();
        while !starts.is_empty() {
            let some: Vec<_> = starts.drain(..starts.len().min(200)).collect();
            all.extend(futures::future::join_all(some).await);
        }
        all
    }

    async fn count(&self, sql: &str) -> i64 {
        self.ledger.query(sql, 1).await.expect("read").rows[0][0].as_i64().expect("a number")
    }

    async fn until(&self, sql: &str, wanted: i64) {
        while self.count(sql).await < wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[allow(clippy::print_stdout, reason = "numbers are what a benchmark shows")]
fn say(line: &str) {
    println!("{line}");
}

fn number(count: usize) -> i64 {
    i64::try_from(count).expect("small")
}

async fn steps_per_second() {
    let bench = bench();
    let stop = CancellationToken::new();
    let (engine, token) = (bench.engine.clone(), stop.clone());
    let worker = tokio::spawn(async move { engine.run(token).await });
    let began = Instant::now();
    bench.start_all("plain", RUNS).await;
    let started = began.elapsed();
    bench.until("SELECT count(*) FROM runs WHERE state = 'success'", number(RUNS)).await;
    let took = began.elapsed();
    let steps = (RUNS * STEPS) as f64;
    say(&format!(
        "steps: {RUNS} runs of {STEPS} steps in {took:.2?} (started in {started:.2?}): {:.0} durable steps/s",
        steps / took.as_secs_f64()
    ));
    stop.cancel();
    worker.await.expect("no panic");
}

async fn taps() {
    let bench = bench();
    let stop = CancellationToken::new();
    let (engine, token) = (bench.engine.clone(), stop.clone());
    let worker = tokio::spawn(async move { engine.run(token).await });
    let began = Instant::now();
    bench.start_all("gated", PENDING + TAPS).await;
    let wanted = number(PENDING + TAPS);
    bench.until("SELECT count(*) FROM approvals WHERE state = 'pending'", wanted).await;
    say(&format!("approvals: {} asked in {:.2?}", PENDING + TAPS, began.elapsed()));
    let filter = ApprovalFilter { state: Some(ApprovalState::Pending), limit: TAPS, ..ApprovalFilter::default() };
    let looked = Instant::now();
    let pending = bench.ledger.approvals(filter).await.expect("listed").items;
    say(&format!("approvals: a page of {TAPS} among them in {:.2?}", looked.elapsed()));
    let looked = Instant::now();
    let due = bench.ledger.cards_due(50).await.expect("read");
    say(&format!("approvals: the {} oldest cards in {:.2?}", due.len(), looked.elapsed()));
    let mut waits: Vec<Duration> = Vec::new();
    for approval in &pending {
        let began = Instant::now();
        decide(&bench, approval.id).await;
        let begun = loop {
            if let Some(at) = bench.noop.0.lock().expect("not poisoned").get(&approval.run_id).copied() {
                break at;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        };
        waits.push(begun.duration_since(began));
    }
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    say(&format!(
        "tap to start, {PENDING} pending: p50 {:.2?}, p99 {:.2?}, longest {:.2?}",
        at(0.5),
        at(0.99),
        at(1.0)
    ));
    stop.cancel();
    worker.await.expect("no panic");
}

async fn decide(bench: &Bench, approval: ApprovalId) {
    let (by, channel, verdict) = (Decider::LocalAdmin, "cli".to_owned(), Vote::Approve);
    let decision = Decision { approval, by, channel, verdict, reason: None, nonce: None };
    bench.engine.decide(decision).await.expect("decided");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        steps_per_second().await;
        taps().await;
    });
}
