//! `kill -9` at every commit of a run: with a gate, a retry, a group, a program and a hook. Every effect outside is counted; each
//! happens at most once, or it is one that may be repeated, and what is not known is `in_doubt` (P3).
//!
//! The process that is killed is this test binary itself, which is asked by its environment to be the agent: it ends itself
//! at the n-th commit as `abort` does, and a second one takes over on the same ledger.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hookhand::domain::approval::{ApprovalKind, ApprovalState, Vote};
use hookhand::domain::ids::EventId;
use hookhand::domain::notice::ChatKey;
use hookhand::domain::reach::AllowList;
use hookhand::domain::run::{Effect, Risk, RunSource, RunState, StepState};
use hookhand::ledger::runs::{ApprovalFilter, RunContext, RunFilter, RunLedger, RunRow};
use hookhand::ledger::sqlite::{AbortPoint, SqliteLedger, SqliteOptions};
use hookhand::ledger::{Ledger, LedgerError};
use hookhand::outbound::{GuardedClient, GuardedOptions, SystemResolver};
use hookhand::ports::{RandomIds, SystemClock};
use hookhand::telemetry::{AuditLog, Redactor, audit_path};
use hookhand::tool::files::Files;
use hookhand::tool::hook::Hook;
use hookhand::tool::process::Sandbox;
use hookhand::tool::{
    ArgKind, ArgSpec, Call, Chats, LedgerMemory, Role, Secrets, Tool, ToolContext, ToolFailure, ToolOutput,
    ToolRegistry, ToolSpec,
};
use hookhand::workflow::definition::{Known, Workflow};
use hookhand::workflow::engine::{Decider, Decision, Engine, EngineDeps, People, StartRequest, Workflows};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::harness::receiver::{Receiver, json as answer};

/// Names the folder of the process that is to be killed.
const DIR: &str = "HOOKHAND_TEST_CRASH_DIR";
/// Names its abort point: `before 3`, `after 3`, `never`.
const ABORT: &str = "HOOKHAND_TEST_CRASH_AT";
/// Where its hook goes.
const PORT: &str = "HOOKHAND_TEST_CRASH_PORT";
/// Commits after which the walk gives up.
const COMMITS_MAX: u64 = 60;
/// Processes side by side.
const AT_ONCE: usize = 3;

fn once(_: &Map<String, Value>) -> Effect {
    Effect::Once
}

/// A tool that leaves a line in a file outside, and fails after its first line where it is told so.
static MARK: ToolSpec = ToolSpec {
    name: "mark",
    summary: "Leaves a line.",
    risk: Risk::Write,
    default_effect: once,
    args: &[ArgSpec {
        name: "fail_first",
        kind: ArgKind::Text,
        role: Role::Control,
        required: false,
        doc: "Whether the first time fails.",
    }],
    choices: &[],
    timeout_default: Duration::from_secs(60),
};

#[derive(Debug)]
struct Mark(PathBuf);

#[async_trait]
impl Tool for Mark {
    fn spec(&self) -> &'static ToolSpec {
        &MARK
    }

    async fn run(&self, call: &Call, _: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.0).expect("opened");
        writeln!(file, "{}", call.step).expect("written");
        let times = lines(&self.0).get(&call.step).copied().unwrap_or_default();
        if call.args.contains_key("fail_first") && times == 1 {
            return Err(ToolFailure::failed("the first time fails"));
        }
        Ok(ToolOutput::of(times))
    }
}

/// How often each line stands in a file.
fn lines(path: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

fn definition(port: &str) -> String {
    format!(
        r#"name: w
steps:
  - {{ name: first, tool: mark }}
  - {{ name: flaky, tool: mark, effect: idempotent, retry: {{ max: 9, backoff: 1ms }}, args: {{ fail_first: "yes" }} }}
  - {{ name: deploy, tool: mark, requires_approval: true }}
  - name: both
    parallel:
      - {{ name: left, tool: mark }}
      - {{ name: right, tool: mark }}
  - name: program
    tool: shell_exec
    args: {{ command: "echo program >> program.log" }}
    verify: {{ argv: ["sh", "-c", "test -e program.log"] }}
  - {{ name: hook, tool: hook, args: {{ url: "http://127.0.0.1:{port}/in", json: {{ a: 1 }} }} }}
"#
    )
}

#[derive(Debug)]
struct One(Arc<Workflow>);

impl Workflows for One {
    fn get(&self, _: &str) -> Option<Arc<Workflow>> {
        Some(self.0.clone())
    }
}

fn build(dir: &Path, abort: Option<AbortPoint>, port: &str) -> (Arc<SqliteLedger>, Engine) {
    let data = dir.join("data");
    let clock = Arc::new(SystemClock);
    let options = SqliteOptions { abort, ..SqliteOptions::new(data.join("ledger.db"), clock.clone()) };
    let ledger = SqliteLedger::open(options).expect("a ledger");
    let guarded = GuardedOptions {
        allow: AllowList::new(vec!["127.0.0.1/32".parse().expect("an entry")]),
        resolver: Arc::new(SystemResolver),
        authorities: Vec::new(),
    };
    let tools = ToolRegistry::standard()
        .with(Arc::new(Mark(dir.join("effects.log"))))
        .with(Arc::new(Hook::new(GuardedClient::new(guarded).expect("a client"))));
    let ids = Arc::new(RandomIds::default());
    let context = ToolContext {
        cancel: CancellationToken::new(),
        event: None,
        chat: None,
        clock: clock.clone(),
        ids: ids.clone(),
        ledger: ledger.clone(),
        memory: Arc::new(LedgerMemory::new(ledger.clone())),
        files: Arc::new(Files::new(&data, Vec::new(), Vec::new())),
        sandbox: Arc::new(Sandbox::new(env!("CARGO_BIN_EXE_agent").into(), Vec::new())),
        chats: Arc::new(Chats { named: BTreeMap::new(), default: ChatKey::terminal() }),
        secrets: Arc::new(Secrets::default()),
        redactor: Arc::new(Redactor::new([])),
    };
    let text = definition(port);
    let workflow = Workflow::parse("w.yaml", &text, &Known::tools(tools.clone())).expect("valid");
    let audit = AuditLog::open(&audit_path(&data.join("logs")), Redactor::new([])).expect("an audit log");
    let engine = Engine::new(EngineDeps {
        ledger: ledger.clone(),
        workflows: Arc::new(One(Arc::new(workflow))),
        tools: Arc::new(tools),
        context,
        people: People::default(),
        audit: Arc::new(audit),
        clock,
        ids,
    });
    (ledger, engine)
}

/// Not a test by itself: the process that the walk starts and that ends itself. Without the walk it has nothing to do.
#[test]
fn the_process_that_is_killed() {
    let Some(dir) = told(DIR) else { return };
    let abort = told(ABORT).expect("told");
    let abort = match abort.split_once(' ') {
        Some(("before", at)) => Some(AbortPoint::Before(at.parse().expect("a number"))),
        Some(("after", at)) => Some(AbortPoint::After(at.parse().expect("a number"))),
        _ => None,
    };
    let port = told(PORT).expect("told");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(be_the_agent(Path::new(&dir), abort, &port));
}

#[allow(clippy::disallowed_methods, reason = "the walk tells its process by its environment what to do")]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn be_the_agent(dir: &Path, abort: Option<AbortPoint>, port: &str) {
    let (ledger, engine) = build(dir, abort, port);
    let stop = CancellationToken::new();
    let worker = tokio::spawn({
        let (engine, stop) = (engine.clone(), stop.clone());
        async move { engine.run(stop).await }
    });
    let request = StartRequest {
        workflow: "w".into(),
        event: Some(EventId::new(Ulid::from_parts(1, 1))),
        context: RunContext { payload: json!({}), ..RunContext::default() },
        source: RunSource::Event,
        started_by: "test".into(),
        chat: Some(ChatKey::terminal()),
    };
    let run = engine.start(request).await.expect("started").run;
    loop {
        let row = engine.wait(run, Duration::from_secs(120)).await.expect("read").expect("there");
        let gates = ApprovalFilter { state: Some(ApprovalState::Pending), run: Some(run), ..ApprovalFilter::default() };
        let pending = ledger.approvals(gates).await.expect("listed").items;
        let gate = pending.into_iter().find(|approval| approval.kind == ApprovalKind::Gate);
        let Some(gate) = gate else {
            assert!(row.ended_at.is_some() || row.state == RunState::InDoubt, "{row:?}");
            break;
        };
        let (by, channel, verdict) = (Decider::LocalAdmin, "cli".to_owned(), Vote::Approve);
        let decision = Decision { approval: gate.id, by, channel, verdict, reason: None, nonce: None };
        engine.decide(decision).await.expect("decided");
    }
    stop.cancel();
    worker.await.expect("no panic");
    ledger.close().await.expect("closed");
}

/// Runs the process; whether it came to its end.
fn process(dir: &Path, abort: &str, port: u16) -> bool {
    // By a name that stays when a build puts another program in this one's place.
    let own = Path::new("/proc/self/exe");
    let own = if own.exists() { own.to_path_buf() } else { std::env::current_exe().expect("known") };
    let status = Command::new(own)
        .args(["--exact", "crash_runs::the_process_that_is_killed", "--nocapture", "--test-threads", "1"])
        .envs([(DIR, dir.as_os_str()), (ABORT, abort.as_ref()), (PORT, port.to_string().as_ref())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("it starts");
    status.success()
}

/// What was there after a kill and a recovery.
struct Walked {
    abort: String,
    killed: bool,
    run: RunRow,
    effects: BTreeMap<String, usize>,
    notices: usize,
}

async fn read(dir: &Path) -> Result<(RunRow, usize), LedgerError> {
    let ledger = SqliteLedger::open_read_only(dir.join("data/ledger.db")).expect("a ledger");
    let runs = RunLedger::runs(&*ledger, RunFilter::default()).await?.items;
    assert_eq!(runs.len(), 1, "one event, one run");
    let run = RunLedger::run(&*ledger, runs[0].id).await?.expect("there");
    let notices = ledger.notices_waiting(&ChatKey::terminal(), 10).await?.len();
    Ok((run, notices))
}

fn walk_one(abort: String, port: u16) -> Walked {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(dir.path().join("data/files")).expect("folders");
    let killed = !process(dir.path(), &abort, port);
    assert!(process(dir.path(), "never", port), "{abort}: the second process does not come to its end");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (run, notices) = runtime.block_on(read(dir.path())).expect("read");
    let mut effects = lines(&dir.path().join("effects.log"));
    effects.extend(lines(&dir.path().join("data/files/program.log")));
    Walked { abort, killed, run, effects, notices }
}

fn check(walked: &Walked) {
    let Walked { abort, run, effects, notices, .. } = walked;
    let state = |name: &str| run.steps.iter().find(|step| step.name == name).expect("a step").state;
    for step in ["first", "deploy", "left", "right", "program"] {
        let count = effects.get(step).copied().unwrap_or_default();
        match state(step) {
            StepState::Success => assert_eq!(count, 1, "{abort}: {step}"),
            StepState::InDoubt => assert!(count <= 1, "{abort}: {step} is in doubt and happened {count} times"),
            _ => assert_eq!(count, 0, "{abort}: {step}"),
        }
    }
    assert_ne!(state("program"), StepState::InDoubt, "{abort}: verify knows");
    match run.state {
        RunState::Success => assert_eq!(*notices, 1, "{abort}"),
        RunState::InDoubt => {
            assert!(run.steps.iter().any(|step| step.state == StepState::InDoubt), "{abort}");
            assert_eq!(*notices, 0, "{abort}");
        }
        other => panic!("{abort}: the run is {other}: {:?}", run.reason),
    }
}

fn table(walked: &[Walked]) -> String {
    let mut text = format!("{:<10} {:<7} {:<9} steps (times that it happened)\n", "kill", "killed", "run");
    for row in walked {
        let steps = row.run.steps.iter().filter(|step| step.kind.as_str() == "tool").map(|step| {
            let count = row.effects.get(&step.name).map(|count| format!("×{count}")).unwrap_or_default();
            format!("{} {}{count}", step.name, step.state)
        });
        let steps = steps.collect::<Vec<_>>().join(", ");
        text.push_str(&format!("{:<10} {:<7} {:<9} {steps}\n", row.abort, row.killed, row.run.state));
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_run_that_is_killed_at_any_commit_does_nothing_twice() {
    let answers = (0..COMMITS_MAX * 8).map(|_| answer(200, "{}"));
    let mut receiver = Receiver::start(answers).await;
    let port = receiver.address.port();
    let mut walked: Vec<Walked> = Vec::new();
    let mut next = 1;
    let mut goes_on = true;
    while goes_on {
        assert!(next <= COMMITS_MAX, "the run does not come to its end:\n{}", table(&walked));
        let batch: Vec<_> = (next..next + AT_ONCE as u64)
            .flat_map(|at| [format!("before {at}"), format!("after {at}")])
            .map(|abort| tokio::task::spawn_blocking(move || walk_one(abort, port)))
            .collect();
        goes_on = false;
        for one in batch {
            let one = one.await.expect("it ended well");
            goes_on |= one.killed;
            walked.push(one);
        }
        next += AT_ONCE as u64;
    }
    let table = table(&walked);
    print(&table);
    walked.iter().for_each(check);
    assert!(walked.iter().filter(|row| row.killed).count() >= 20, "too few kills to mean something:\n{table}");
    assert!(walked.iter().any(|row| row.run.state == RunState::InDoubt), "no kill hit an effect:\n{table}");
    // A hook may be sent again, always under the id of its step.
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    for request in receiver.rest() {
        *ids.entry(request.header("webhook-id").expect("signed or not, it has one").to_owned()).or_default() += 1;
    }
    let done = walked.iter().filter(|row| row.run.state == RunState::Success).count();
    assert_eq!(ids.len(), done, "one id for each run that came so far");
}

#[allow(clippy::print_stdout, reason = "the table is what the test shows")]
fn print(table: &str) {
    println!("{table}");
}
