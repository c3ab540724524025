//! Tools as a step meets them: a call in; an output, a failure, a file, a notice out. Processes are real.

mod files;
mod hostile;
mod processes;
mod records;
mod sandbox;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hookhand::domain::ids::RunId;
use hookhand::domain::notice::ChatKey;
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ports::RandomIds;
use hookhand::telemetry::Redactor;
use hookhand::tool::files::Files;
use hookhand::tool::process::{Limits, Sandbox};
use hookhand::tool::{Call, Chats, Effect, LedgerMemory, Secrets, ToolContext, ToolFailure, ToolOutput, ToolRegistry};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::harness::clock::FakeClock;

/// What a call may take; the clock stands still unless a test moves it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A secret that no output may show.
const SECRET: &str = "whsec_very_secret_value";

/// A data folder beside a configuration, a root beside both, and the tools.
struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<FakeClock>,
    ledger: Arc<SqliteLedger>,
    registry: ToolRegistry,
    context: ToolContext,
    payload: Value,
}

impl Bench {
    async fn new() -> Self {
        Self::with_limits(Limits::STANDARD).await
    }

    async fn with_limits(limits: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let place = dir.path().to_path_buf();
        for folder in ["data/files", "data/workflows", "root", "mixed", "outside"] {
            std::fs::create_dir_all(place.join(folder)).expect("a folder");
        }
        for own in
            ["data/admin_token", "data/workflows/w.yaml", "config.yaml", ".env", "outside/secret", "mixed/own.yaml"]
        {
            std::fs::write(place.join(own), "hands off").expect("a file");
        }
        let clock = FakeClock::new();
        let data = place.join("data");
        let ledger = SqliteLedger::open(SqliteOptions::new(data.join("ledger.db"), clock.clone())).expect("a ledger");
        let protected = vec![place.join("config.yaml"), place.join(".env"), place.join("mixed/own.yaml")];
        let ops = ChatKey::telegram(-100, Some(7));
        let context = ToolContext {
            cancel: CancellationToken::new(),
            event: None,
            chat: None,
            clock: clock.clone(),
            ids: Arc::new(RandomIds::default()),
            ledger: ledger.clone(),
            memory: Arc::new(LedgerMemory::new(ledger.clone())),
            files: Arc::new(Files::new(&data, vec![place.join("root"), place.join("mixed")], protected)),
            sandbox: Arc::new(Sandbox::new(env!("CARGO_BIN_EXE_agent").into(), Vec::new()).with_limits(limits)),
            chats: Arc::new(Chats { named: [("ops".to_owned(), ops)].into(), default: ChatKey::terminal() }),
            secrets: Arc::new(Secrets::default()),
            redactor: Arc::new(Redactor::new([SECRET.to_owned()])),
        };
        Self { dir, clock, ledger, registry: ToolRegistry::standard(), context, payload: json!({}) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// A file that can be run.
    fn program(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.file(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
        path
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    fn call(&self, args: Value) -> Call {
        let Value::Object(args) = args else { panic!("arguments are a map") };
        Call {
            args,
            tainted: Vec::new(),
            tainted_first: Vec::new(),
            payload: self.payload.clone(),
            run: RunId::new(Ulid::from_parts(1_700_000_000_000, 1)),
            step: "step".into(),
            attempt: 1,
            idempotency_key: "run/step".into(),
            timeout: TIMEOUT,
            effect: Effect::Once,
        }
    }

    async fn run(&self, tool: &str, args: Value) -> Result<ToolOutput, ToolFailure> {
        self.run_call(tool, &self.call(args)).await
    }

    async fn run_call(&self, tool: &str, call: &Call) -> Result<ToolOutput, ToolFailure> {
        self.registry.get(tool).expect("a tool").run(call, &self.context).await
    }

    /// The output of a call that must go well.
    async fn value(&self, tool: &str, args: Value) -> Value {
        self.run(tool, args).await.expect("goes well").value
    }

    /// What a call that must not begin says.
    async fn refusal(&self, tool: &str, args: Value) -> String {
        match self.run(tool, args).await {
            Err(ToolFailure::NeverBegan { message }) => message,
            other => panic!("began: {other:?}"),
        }
    }

    /// A pipe in the files folder, by which a test follows processes.
    fn pipe(&self) -> Pipe {
        let path = self.path("data/files/pipe");
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
        Pipe(path)
    }
}

/// A named pipe. Processes hold it open as long as they live, so its end is theirs.
struct Pipe(PathBuf);

impl Pipe {
    /// Opens it, waits for the first byte, and gives what follows as a task that returns once nobody holds the pipe any more.
    async fn opened(self) -> tokio::task::JoinHandle<String> {
        let path = self.0;
        tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::open(path).expect("opens once somebody writes");
            let mut first = [0];
            file.read_exact(&mut first).expect("a first byte");
            tokio::task::spawn_blocking(move || {
                let mut rest = String::new();
                file.read_to_string(&mut rest).expect("text");
                rest
            })
        })
        .await
        .expect("no panic")
    }
}

fn is_alive(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}
