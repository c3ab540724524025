//! The agent as a process: started, asked, killed.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::app::data_dir::Presence;
use crate::ledger::sqlite::{AbortPoint, aborted_path};
use crate::outbound::OperatorClient;

/// From the start of a process until it must say where it listens.
const START_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running agent. It is killed when this value goes.
#[derive(Debug)]
pub(in crate::prove) struct AgentProcess {
    child: Child,
    pub(in crate::prove) webhooks: SocketAddr,
    api: Option<SocketAddr>,
    folder: PathBuf,
}

/// What came of a start.
#[derive(Debug)]
pub(in crate::prove) enum Started {
    /// It listens.
    Up(Box<AgentProcess>),
    /// It ended before it listened.
    Ended(ExitStatus),
}

impl AgentProcess {
    /// Starts `agent --webhooks` in `folder`, which has a `config.yaml`; it ends itself at `abort`.
    pub(in crate::prove) async fn start(
        program: &Path,
        folder: &Path,
        abort: Option<AbortPoint>,
    ) -> Result<Started, String> {
        let mut child = Self::spawn(program, folder, abort)?;
        let presence_path = folder.join("data/agent.json");
        let mut waited = Duration::ZERO;
        loop {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Ok(Started::Ended(status));
            }
            let presence = std::fs::read(&presence_path).ok();
            let presence: Option<Presence> = presence.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            if let Some(presence) = presence.filter(|presence| Some(presence.pid) == child.id()) {
                let address = |url: Option<String>| url?.strip_prefix("http://")?.parse().ok();
                let webhooks = address(presence.webhooks).ok_or("the agent does not serve webhooks")?;
                let api = address(presence.api);
                let agent = Self { child, webhooks, api, folder: folder.to_owned() };
                return Ok(Started::Up(Box::new(agent)));
            }
            if waited > START_WAIT_MAX {
                return Err("the agent does not start".into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }

    /// The same without waiting for it.
    pub(in crate::prove) fn spawn(program: &Path, folder: &Path, abort: Option<AbortPoint>) -> Result<Child, String> {
        // A note of an earlier process would be taken for this one's.
        let _none = std::fs::remove_file(folder.join("data/agent.json"));
        let said = OpenOptions::new().create(true).append(true).open(folder.join("said.log"));
        let said = said.map_err(|error| format!("{}: {error}", folder.display()))?;
        let again = said.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg("--webhooks").current_dir(folder).env_clear().env("NO_COLOR", "1").kill_on_drop(true);
        if let Some(point) = abort {
            command.args(["--abort-at", &point.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(said).stderr(again);
        command.spawn().map_err(|error| format!("{}: {error}", program.display()))
    }

    /// Starts an agent that must come up.
    pub(in crate::prove) async fn up(program: &Path, folder: &Path) -> Result<Self, String> {
        match Self::start(program, folder, None).await? {
            Started::Up(agent) => Ok(*agent),
            Started::Ended(status) => {
                let said = std::fs::read_to_string(folder.join("said.log")).unwrap_or_default();
                let last = said.lines().last().unwrap_or_default().to_owned();
                Err(format!("the agent ended at its start ({status}): {last}"))
            }
        }
    }

    /// Its process id, as long as it runs.
    pub(in crate::prove) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has ended.
    pub(in crate::prove) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// `kill -9`.
    pub(in crate::prove) async fn kill(mut self) {
        self.kill_now().await;
    }

    /// The same where another one takes its place.
    pub(in crate::prove) async fn kill_now(&mut self) {
        // One that ended by itself is gone as well.
        let _gone = self.child.kill().await;
    }

    /// Asks the local API.
    pub(in crate::prove) async fn api(&self, client: &OperatorClient, path: &str) -> Result<Value, String> {
        self.api_with(client, Method::GET, path).await
    }

    /// The same with another method, and nothing in its body.
    pub(in crate::prove) async fn api_with(
        &self,
        client: &OperatorClient,
        method: Method,
        path: &str,
    ) -> Result<Value, String> {
        let api = self.api.ok_or("the agent has no local API")?;
        let token = std::fs::read_to_string(self.folder.join("data/admin_token")).map_err(|e| e.to_string())?;
        let bearer = format!("Bearer {}", token.trim()).parse().map_err(|_| "the token is no header")?;
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, bearer)]);
        let answer = client.send(method, &format!("http://{api}{path}"), headers, Vec::new()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        serde_json::from_str(&answer.body).map_err(|error| format!("{path}: {error}: {}", answer.body))
    }
}

/// What the process that ended itself in `folder` was committing, by the ledger's names.
pub(in crate::prove) fn aborted_at(folder: &Path) -> Vec<String> {
    let noted = std::fs::read_to_string(aborted_path(&folder.join("data/ledger.db"))).unwrap_or_default();
    noted.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
