//! Builds the agent from its configuration and starts its tasks, in the order in which they need each other; ends them in the
//! other.
//!
//! Only the command line and tests look at this module. What time, identifiers and the terminal are, the caller says.

mod background;
mod chat;
pub mod data_dir;
mod explain;
mod handlers;
mod info;
mod people;
mod probe;
mod start;
mod workflows;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::domain::ids::EventId;
use crate::ledger::sqlite::{AbortPoint, OpenError, SqliteLedger, SqliteOptions};
use crate::ledger::{Ledger, LedgerError};
use crate::lifecycle::{STOP_GRACE, TaskFailed, Tasks};
use crate::ports::{Clock, Ids, Model, RandomIds, SystemClock};
use crate::workflow::catalog::Catalog;

pub use background::collector;
pub use chat::strange_tools;
pub use data_dir::{DataDir, DataDirError};
pub use explain::explanation;
pub use handlers::{
    all_secrets, handler_faults, handler_path, load_providers, own_providers, provider_name, provider_of, secrets_of,
    strange_events, webhook_lines, workflow_routes,
};
pub use probe::{Probe, ProbeError, Sender, signed_url};
pub use start::StartError;
pub use workflows::{
    claimed_twice, load_workflows, outside_files, strange_workflow_events, vain_requests, workflows_dir,
};

/// What the agent takes from its surroundings.
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
    /// Where notices go when there is no Telegram.
    pub terminal: Box<dyn Write + Send>,
    /// Whether that takes colour.
    pub colour: bool,
    /// This binary, which supervises the processes of steps.
    pub program: PathBuf,
    /// What processes of steps get from the agent's environment (LANG, TZ).
    pub process_env: Vec<(String, String)>,
    /// The model to use instead of the configured ones; `None` makes them from the configuration.
    pub model: Option<Arc<dyn Model>>,
    /// Where the process ends itself as `kill -9` would; for crash tests.
    pub abort: Option<AbortPoint>,
}

impl Deps {
    /// The system's clock and ids; nobody reads the terminal, and steps' processes get nothing of the environment.
    pub fn unattended(program: PathBuf) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds::default()),
            terminal: Box::new(std::io::sink()),
            colour: false,
            program,
            process_env: Vec::new(),
            model: None,
            abort: None,
        }
    }
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    config: Arc<Config>,
    ledger: Arc<dyn Ledger>,
    catalog: Arc<Catalog>,
    tasks: Tasks,
    webhooks: Option<SocketAddr>,
    api: Option<SocketAddr>,
    /// The link that logs in at the dashboard once.
    login: Option<String>,
    /// Held as long as the agent runs.
    _data_dir: DataDir,
}

impl Agent {
    /// Where the webhook server listens, if it runs.
    pub fn webhooks_address(&self) -> Option<SocketAddr> {
        self.webhooks
    }

    /// Where the local API listens, if it runs.
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.api
    }

    /// The link that logs in at the dashboard once, if that runs.
    pub fn login_link(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// The ledger.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// Returns once a stop was asked for and everything has ended: what is in flight is finished, and the ledger closed.
    ///
    /// # Errors
    /// The failure of the task that stopped the agent.
    pub async fn finish(self) -> Result<(), TaskFailed> {
        let ended = self.tasks.finish(STOP_GRACE).await;
        if let Err(error) = self.ledger.close().await {
            tracing::error!(error = %error, "the ledger did not close cleanly; what was acknowledged is on disk all the same");
        }
        ended
    }

    /// What a person wants to read after the start; `command` is how they call this program.
    pub fn banner(&self, command: &str) -> Vec<String> {
        info::banner(self, command)
    }
}

/// Where the ledger is within the data folder.
pub fn ledger_path(data_dir: &Path) -> PathBuf {
    data_dir.join("ledger.db")
}

fn ledger_options(config: &Config, clock: Arc<dyn Clock>, abort: Option<AbortPoint>) -> SqliteOptions {
    SqliteOptions {
        rejected_max: config.retention.rejected_max as usize,
        abort,
        ..SqliteOptions::new(ledger_path(&config.data_dir), clock)
    }
}

/// Why an event could not be replayed without a running agent.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Puts a kept event into the queue of an agent that does not run now.
///
/// # Errors
/// When an agent runs after all, or the ledger has no such event.
pub async fn replay_offline(config: &Config, original: EventId) -> Result<EventId, OfflineError> {
    let _held = DataDir::open(&config.data_dir)?;
    let ledger = SqliteLedger::open(ledger_options(config, Arc::new(SystemClock), None))?;
    let now = SystemClock.now();
    let replay = EventId::new(RandomIds::default().ulid(now));
    let replayed = ledger.replay(original, replay, now).await;
    ledger.close().await?;
    replayed?;
    Ok(replay)
}
