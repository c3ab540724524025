//! A ledger, an engine, workflows from text, and a tool whose every call is seen and answered by the test.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hookhand::domain::approval::{Settle, Vote};
use hookhand::domain::ids::{ApprovalId, RunId};
use hookhand::domain::notice::ChatKey;
use hookhand::domain::run::{Effect, Risk, RunSource, RunState};
use hookhand::ledger::Ledger;
use hookhand::ledger::runs::{
    ApprovalFilter, ApprovalRow, DecideOutcome, RunContext, RunLedger, RunRow, SettleOutcome,
};
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ports::{Clock, RandomIds};
use hookhand::telemetry::{NoAudit, Redactor};
use hookhand::tool::files::Files;
use hookhand::tool::process::Sandbox;
use hookhand::tool::{
    ArgKind, ArgSpec, Call, Chats, LedgerMemory, Role, Secrets, Tool, ToolContext, ToolFailure, ToolOutput,
    ToolRegistry, ToolSpec,
};
use hookhand::workflow::definition::{Known, Workflow};
use hookhand::workflow::engine::{
    Decider, Decision, Engine, EngineDeps, People, SettleRequest, StartRequest, Started, Workflows,
};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::clock::FakeClock;

/// Members of the group `oncall`.
pub const ONCALL: [u64; 2] = [7001, 7002];
/// An allowed user outside of every group.
pub const BOSS: u64 = 7009;
/// Nobody.
pub const STRANGER: u64 = 666;

fn probe_effect(args: &Map<String, Value>) -> Effect {
    match args.get("effect").and_then(Value::as_str) {
        Some("read") => Effect::Read,
        Some("idempotent") => Effect::Idempotent,
        _ => Effect::Once,
    }
}

const fn arg(name: &'static str, kind: ArgKind, role: Role) -> ArgSpec {
    ArgSpec { name, kind, role, required: false, doc: "An argument." }
}

/// What the probe declares.
static PROBE: ToolSpec = ToolSpec {
    name: "probe",
    summary: "Does what the test says.",
    risk: Risk::Write,
    default_effect: probe_effect,
    args: &[
        arg("say", ArgKind::Json, Role::Data),
        arg("effect", ArgKind::Text, Role::Control),
        arg("program", ArgKind::Text, Role::Control),
    ],
    choices: &[],
    timeout_default: Duration::from_secs(60),
};

/// What one call of the probe does.
#[derive(Debug, Clone)]
pub enum Act {
    /// It gives this.
    Give(Value),
    /// It fails so.
    Fail(ToolFailure),
    /// It waits until the test lets it go, or it is cancelled.
    Hold,
}

/// The probe: a tool whose calls are recorded.
#[derive(Debug, Default)]
pub struct Probe {
    calls: Mutex<Vec<Call>>,
    acts: Mutex<HashMap<String, VecDeque<Act>>>,
    called: Notify,
    release: Notify,
}

impl Probe {
    /// What the next call of step `step` does; without any it echoes its `say`.
    pub fn act(&self, step: &str, act: Act) {
        self.acts.lock().expect("not poisoned").entry(step.to_owned()).or_default().push_back(act);
    }

    /// The steps that were called, in order.
    pub fn steps(&self) -> Vec<String> {
        self.calls.lock().expect("not poisoned").iter().map(|call| call.step.clone()).collect()
    }

    /// What the calls said.
    pub fn said(&self) -> Vec<Value> {
        let calls = self.calls.lock().expect("not poisoned");
        calls.iter().map(|call| call.args.get("say").cloned().unwrap_or(Value::Null)).collect()
    }

    /// The calls.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("not poisoned").clone()
    }

    /// How often `step` was called.
    pub fn count(&self, step: &str) -> usize {
        self.steps().iter().filter(|called| *called == step).count()
    }

    /// Returns once `count` calls were made.
    pub async fn until_called(&self, count: usize) {
        loop {
            let called = self.called.notified();
            if self.calls.lock().expect("not poisoned").len() >= count {
                return;
            }
            called.await;
        }
    }

    /// Lets every held call go.
    pub fn release(&self) {
        self.release.notify_waiters();
    }
}

#[async_trait]
impl Tool for Probe {
    fn spec(&self) -> &'static ToolSpec {
        &PROBE
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let act = self.acts.lock().expect("not poisoned").get_mut(&call.step).and_then(VecDeque::pop_front);
        let released = self.release.notified();
        self.calls.lock().expect("not poisoned").push(call.clone());
        self.called.notify_waiters();
        let echo = || Ok(ToolOutput::of(call.args.get("say").cloned().unwrap_or(Value::Null)));
        match act {
            None => echo(),
            Some(Act::Give(value)) => Ok(ToolOutput::of(value)),
            Some(Act::Fail(failure)) => Err(failure),
            Some(Act::Hold) => tokio::select! {
                () = released => echo(),
                () = context.cancel.cancelled() => Err(ToolFailure::Cancelled),
            },
        }
    }

    fn programs(&self, call: &Call, _: &ToolContext) -> Vec<PathBuf> {
        call.args.get("program").and_then(Value::as_str).map(PathBuf::from).into_iter().collect()
    }
}

/// Workflows by name.
#[derive(Debug, Default)]
pub struct Book(Mutex<BTreeMap<String, Arc<Workflow>>>);

impl Workflows for Book {
    fn get(&self, name: &str) -> Option<Arc<Workflow>> {
        self.0.lock().expect("not poisoned").get(name).cloned()
    }
}

/// Everything of one test.
pub struct World {
    pub dir: tempfile::TempDir,
    pub clock: Arc<FakeClock>,
    pub ledger: Arc<SqliteLedger>,
    pub probe: Arc<Probe>,
    pub book: Arc<Book>,
    pub engine: Engine,
    known: Known,
    deps: EngineDeps,
    running: Option<(JoinHandle<()>, CancellationToken)>,
}

impl World {
    /// An engine that works.
    pub fn new() -> Self {
        let mut world = Self::resting();
        world.wake();
        world
    }

    /// The same before its engine works.
    pub fn resting() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir_all(dir.path().join("data/files")).expect("folders");
        let clock = FakeClock::new();
        let options = SqliteOptions::new(dir.path().join("data/ledger.db"), clock.clone());
        let ledger = SqliteLedger::open(options).expect("a ledger");
        let probe = Arc::new(Probe::default());
        let tools = ToolRegistry::standard().with(probe.clone());
        let ids = Arc::new(RandomIds::default());
        let context = ToolContext {
            cancel: CancellationToken::new(),
            event: None,
            chat: None,
            clock: clock.clone(),
            ids: ids.clone(),
            ledger: ledger.clone(),
            memory: Arc::new(LedgerMemory::new(ledger.clone())),
            files: Arc::new(Files::new(&dir.path().join("data"), Vec::new(), Vec::new())),
            sandbox: Arc::new(Sandbox::new(env!("CARGO_BIN_EXE_agent").into(), Vec::new())),
            chats: Arc::new(Chats { named: BTreeMap::new(), default: ChatKey::terminal() }),
            secrets: Arc::new(Secrets::default()),
            redactor: Arc::new(Redactor::new([])),
        };
        let book = Arc::new(Book::default());
        let deps = EngineDeps {
            ledger: ledger.clone(),
            workflows: book.clone(),
            tools: Arc::new(tools.clone()),
            context,
            people: People {
                allowed: vec![ONCALL[0], ONCALL[1], BOSS],
                groups: BTreeMap::from([("oncall".to_owned(), ONCALL.to_vec())]),
            },
            audit: Arc::new(NoAudit),
            clock: clock.clone(),
            ids,
        };
        let engine = Engine::new(deps.clone());
        let known = Known::tools(tools);
        Self { dir, clock, ledger, probe, book, engine, known, deps, running: None }
    }

    /// Lets the engine work.
    pub fn wake(&mut self) {
        let stop = CancellationToken::new();
        let (engine, token) = (self.engine.clone(), stop.clone());
        self.running = Some((tokio::spawn(async move { engine.run(token).await }), stop));
    }

    /// Ends the engine's work as the end of the process would, whatever is under way, and starts another on the same ledger.
    pub async fn crash(&mut self) {
        let (task, _) = self.running.take().expect("it works");
        task.abort();
        let _aborted = task.await;
        self.engine = Engine::new(self.deps.clone());
    }

    /// Starts it anew with other members of `oncall`.
    pub async fn regroup(&mut self, members: &[u64]) {
        self.deps.people.groups.insert("oncall".into(), members.to_vec());
        self.crash().await;
        self.wake();
    }

    /// Stops it softly.
    pub async fn stop(&mut self) {
        let (task, stop) = self.running.take().expect("it works");
        stop.cancel();
        task.await.expect("no panic");
    }

    /// Keeps a workflow; `text` begins with its name.
    pub fn workflow(&self, text: &str) -> Arc<Workflow> {
        let workflow = Workflow::parse("test.yaml", text, &self.known).unwrap_or_else(|faults| {
            panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        let workflow = Arc::new(workflow);
        self.book.0.lock().expect("not poisoned").insert(workflow.name.clone(), workflow.clone());
        workflow
    }

    /// What starts the workflow `name` with `payload`.
    pub fn request(&self, name: &str, payload: Value) -> StartRequest {
        StartRequest {
            workflow: name.into(),
            event: None,
            context: RunContext { payload, ..RunContext::default() },
            source: RunSource::Route,
            started_by: "test".into(),
            chat: Some(ChatKey::terminal()),
        }
    }

    /// Starts it.
    pub async fn start(&self, name: &str, payload: Value) -> RunId {
        let Started { run, existed, .. } = self.engine.start(self.request(name, payload)).await.expect("it starts");
        assert!(!existed);
        run
    }

    /// Keeps `text` as the workflow `w`, starts it and returns it once it has ended or waits for a person.
    pub async fn run(&self, text: &str, payload: Value) -> RunRow {
        self.workflow(text);
        let run = self.start("w", payload).await;
        self.rest(run).await
    }

    /// The run once it has ended or waits for a person.
    pub async fn rest(&self, run: RunId) -> RunRow {
        let row = self.engine.wait(run, Duration::from_secs(365 * 86_400)).await;
        row.expect("read").expect("it is there")
    }

    /// The run once it has ended, whatever it waits for meanwhile.
    pub async fn rest_ended(&self, run: RunId) -> RunRow {
        self.until(run, |row| row.ended_at.is_some()).await
    }

    /// The run once it waits for a person with a question that is pending now.
    pub async fn rest_pending(&self, run: RunId) -> RunRow {
        loop {
            let row = self.rest(run).await;
            let pending = self.approvals(run).await.iter().any(|approval| approval.state.as_str() == "pending");
            if pending && row.state == RunState::Waiting {
                return row;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The run once `holds` holds.
    pub async fn until(&self, run: RunId, holds: impl Fn(&RunRow) -> bool) -> RunRow {
        loop {
            let row = self.row(run).await;
            if holds(&row) {
                return row;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Another engine on the same ledger.
    pub fn fresh_engine(&self) -> Engine {
        Engine::new(self.deps.clone())
    }

    /// The run as it is.
    pub async fn row(&self, run: RunId) -> RunRow {
        RunLedger::run(&*self.ledger, run).await.expect("read").expect("it is there")
    }

    /// Approvals of a run, oldest first.
    pub async fn approvals(&self, run: RunId) -> Vec<ApprovalRow> {
        let filter = ApprovalFilter { run: Some(run), ..ApprovalFilter::default() };
        let mut items = self.ledger.approvals(filter).await.expect("listed").items;
        items.reverse();
        items
    }

    /// The one approval of a run that is pending.
    pub async fn pending(&self, run: RunId) -> ApprovalRow {
        let pending = |approval: &ApprovalRow| approval.state.as_str() == "pending";
        let found: Vec<_> = self.approvals(run).await.into_iter().filter(pending).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().expect("one")
    }

    /// Decides.
    pub async fn decide(&self, approval: ApprovalId, by: Decider, verdict: Vote) -> DecideOutcome {
        let channel = if by == Decider::LocalAdmin { "cli" } else { "telegram" };
        let decision = Decision { approval, by, channel: channel.into(), verdict, reason: None, nonce: None };
        self.engine.decide(decision).await.expect("decided")
    }

    /// Approves as the first of `oncall`.
    pub async fn approve(&self, approval: ApprovalId) {
        let outcome = self.decide(approval, Decider::Telegram(ONCALL[0]), Vote::Approve).await;
        assert!(matches!(outcome, DecideOutcome::Decided { .. }), "{outcome:?}");
    }

    /// Settles.
    pub async fn settle(&self, run: RunId, step: &str, verdict: Settle) -> SettleOutcome {
        let request = SettleRequest {
            run,
            step: step.into(),
            verdict,
            by: Decider::LocalAdmin,
            channel: "cli".into(),
            nonce: None,
        };
        self.engine.settle(request).await.expect("settled")
    }

    /// Titles and lines of the notices that wait, a text each.
    pub async fn notices(&self) -> Vec<String> {
        let waiting = self.ledger.notices_waiting(&ChatKey::terminal(), 100).await.expect("read");
        let text = |notice: hookhand::ledger::WaitingNotice| {
            std::iter::once(notice.message.title).chain(notice.message.lines).collect::<Vec<_>>().join("\n")
        };
        waiting.into_iter().map(text).collect()
    }

    /// The clock as a trait.
    pub fn now(&self) -> jiff::Timestamp {
        Clock::now(&*self.clock)
    }
}

/// `step: state` of every row.
pub fn states(run: &RunRow) -> Vec<String> {
    run.steps.iter().map(|step| format!("{}: {}", step.name, step.state)).collect()
}

/// The output of a step.
pub fn output(run: &RunRow, step: &str) -> Value {
    let found = run.steps.iter().find(|row| row.name == step).expect("the step is there");
    found.output.clone().unwrap_or(Value::Null)
}

/// The error of a step.
pub fn error(run: &RunRow, step: &str) -> String {
    let found = run.steps.iter().find(|row| row.name == step).expect("the step is there");
    found.error.clone().unwrap_or_default()
}

/// A workflow `w` with these steps.
pub fn steps(steps: &str) -> String {
    format!("name: w\nsteps:\n{steps}")
}

/// Nothing to say.
pub fn nothing() -> Value {
    json!({})
}

/// Asserts a run's state with its reason in the message.
pub fn assert_state(run: &RunRow, state: RunState) {
    assert_eq!(run.state, state, "{:?} {:?}", run.reason, states(run));
}
