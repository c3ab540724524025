//! The start of the agent: the parts that all others share, and the order in which these are made and begin to work.

use std::sync::Arc;

use jiff::Timestamp;

use super::data_dir::{DataDir, DataDirError, Presence};
use super::info::{self};
use super::workflows::{Parts, Workflows, claimed_twice};
use super::{Agent, Deps, handlers, ledger_options};
use crate::config::Config;
use crate::domain::fault::Fault;
use crate::intake::{self, BindError, Intake, Server, ServerLimits};
use crate::ledger::sqlite::{OpenError, SqliteLedger};
use crate::ledger::{ChatLedger, Ledger, ModelLedger, RunLedger};
use crate::lifecycle::{self, Policy, Shutdown, Tasks};
use crate::model::{ModelSetupError, Models, ModelsParts};
use crate::ports::{Clock, Model};
use crate::provider::Registry;
use crate::telemetry::{AuditLog, Redactor, audit_path};
use crate::tool::process::Sandbox;

/// Files that may be open at one time, as the unit of `agent service` has it. Many shells start programs with 1024.
const OPEN_FILES_WANTED: u64 = 65_536;
/// Of these, what is left for the ledger, logs, tools and connections that go out.
const OPEN_FILES_RESERVED: u64 = 256;

/// Why the agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// The configuration asks for what is not there.
    #[error("{}", list(.0))]
    Faults(Vec<Fault>),
    /// The webhook server cannot listen.
    #[error(transparent)]
    Webhooks(#[from] BindError),
    /// The local API cannot listen.
    #[error("the local API cannot listen on {address}: {source} (dashboard.port; 0 takes a free one)")]
    Api {
        /// Where.
        address: std::net::SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The audit log cannot be written; without it no step runs.
    #[error("the audit log in data/logs cannot be opened: {0}")]
    Audit(std::io::Error),
    /// The models' client cannot be built.
    #[error(transparent)]
    Model(#[from] ModelSetupError),
    /// The way to the collector of traces cannot be built.
    #[error("telemetry.otlp: {0}")]
    Traces(String),
    /// The Telegram client cannot be built.
    #[error("Telegram: {0}")]
    Telegram(String),
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}

/// What all parts share.
pub(super) struct Base {
    pub(super) config: Arc<Config>,
    pub(super) ledger: Arc<dyn Ledger>,
    /// The same, for what only some need of it.
    pub(super) sqlite: Arc<SqliteLedger>,
    pub(super) models: Arc<dyn ModelLedger>,
    pub(super) chats: Arc<dyn ChatLedger>,
    pub(super) registry: Arc<Registry>,
    pub(super) workflows: Workflows,
    pub(super) tasks: Tasks,
    pub(super) started_at: Timestamp,
    pub(super) deps: Deps,
}

impl Agent {
    /// Starts the agent; it runs until `shutdown`. To be called within a runtime.
    ///
    /// # Errors
    /// What keeps it from starting, with what to change.
    pub async fn start(config: Config, mut deps: Deps, shutdown: Shutdown) -> Result<Self, StartError> {
        crate::tool::process::keep_private();
        if let Err(error) = lifecycle::outlive_file_size_limit() {
            tracing::warn!(%error, "a limit of file sizes would end the agent");
        }
        let (registry, faults) = handlers::load_providers(&config);
        for fault in &faults {
            tracing::warn!(fault = %fault, "a provider's file is not used");
        }
        let wrong = handlers::handler_faults(&config, &registry);
        if !wrong.is_empty() {
            return Err(StartError::Faults(wrong));
        }
        let data_dir = DataDir::open(&config.data_dir)?;
        let token = data_dir.token(&*deps.ids)?;
        let ledger = SqliteLedger::open(ledger_options(&config, Arc::clone(&deps.clock), deps.abort))?;
        let started_at = deps.clock.now();
        let tasks = Tasks::new(shutdown);
        let registry = Arc::new(registry);
        let audit =
            AuditLog::open(&audit_path(&config.data_dir.join("logs")), Redactor::new(handlers::all_secrets(&config)))
                .map_err(StartError::Audit)?;
        if deps.model.is_none() {
            deps.model = models(&config, &ledger, &deps.clock)?;
        }
        let workflows = Workflows::new(Parts {
            config: &config,
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            runs: Arc::clone(&ledger) as Arc<dyn RunLedger>,
            chats: Arc::clone(&ledger) as Arc<dyn ChatLedger>,
            registry: Arc::clone(&registry),
            audit: Arc::new(audit),
            clock: Arc::clone(&deps.clock),
            ids: Arc::clone(&deps.ids),
            sandbox: Sandbox::new(deps.program.clone(), deps.process_env.clone()),
            model: deps.model.clone(),
        });
        for fault in claimed_twice(&config, &workflows.catalog) {
            tracing::warn!(fault = %fault, "a workflow has no route of its own");
        }
        let sqlite = Arc::clone(&ledger);
        let models = Arc::clone(&ledger) as Arc<dyn ModelLedger>;
        let chats = Arc::clone(&ledger) as Arc<dyn ChatLedger>;
        let config = Arc::new(config);
        let mut base = Base { config, ledger, sqlite, models, chats, registry, workflows, tasks, started_at, deps };

        let webhooks = base.config.webhooks.enabled.then(|| base.bind_webhooks()).transpose()?;
        let meters = webhooks.as_ref().map(|server| server.metrics().meters());
        let api = if base.config.dashboard.enabled { Some(base.bind_api().await?) } else { None };
        let webhooks_address = webhooks.as_ref().map(Server::local_addr);
        let api_address = api.as_ref().and_then(|api| api.local_addr().ok());
        let tls = base.config.webhooks.tls.is_some();
        let presence = Presence {
            pid: std::process::id(),
            webhooks: webhooks_address.map(|address| info::base_url(address, tls)),
            api: api_address.map(|address| info::base_url(address, false)),
        };
        data_dir.announce(&presence)?;
        let talk = base.talk(&presence)?;

        if let Some(server) = webhooks {
            base.serve_webhooks(server);
        }
        let mut login = None;
        if let (Some(listener), Some(address)) = (api, api_address) {
            login = Some(base.serve_api(listener, address, token, &talk, presence.webhooks.clone(), meters));
        }
        base.start_mcp();
        base.start_engine();
        base.start_queue();
        base.start_summaries();
        base.start_retention();
        base.start_index();
        base.start_digest();
        base.start_traces()?;
        base.start_channels(talk);
        let Base { config, ledger, tasks, workflows, .. } = base;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "the agent has started");
        let catalog = workflows.catalog;
        Ok(Self {
            config,
            ledger,
            catalog,
            tasks,
            webhooks: webhooks_address,
            api: api_address,
            login,
            _data_dir: data_dir,
        })
    }
}

impl Base {
    fn bind_webhooks(&self) -> Result<Server, StartError> {
        let usual = ServerLimits::default();
        let open_files = lifecycle::raise_open_files(OPEN_FILES_WANTED);
        let connections = connections_for(open_files, usual.connections);
        if connections < usual.connections {
            let key = "raise `ulimit -n` for more";
            tracing::warn!(open_files, connections, "the system lets few connections be open at one time: {key}");
        }
        // One body that the user admits must fit.
        let bodies_bytes = usual.bodies_bytes.max(self.config.webhooks.max_body_bytes);
        let intake = Intake::new(intake::Parts {
            config: self.config.webhooks.clone(),
            registry: Arc::clone(&self.registry),
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.deps.clock),
            ids: Arc::clone(&self.deps.ids),
            workflows: Arc::new(self.workflows.clone()),
            tasks: self.tasks.clone(),
            limits: ServerLimits { bodies_bytes, connections, ..usual },
        })
        .map_err(|mut faults| {
            // Routes know their keys, and not the file that these stand in.
            faults.iter_mut().for_each(|fault| fault.file = handlers::config_file(&self.config));
            StartError::Faults(faults)
        })?;
        Ok(Server::bind(intake)?)
    }

    async fn bind_api(&self) -> Result<tokio::net::TcpListener, StartError> {
        let address = self.config.dashboard.address;
        tokio::net::TcpListener::bind(address).await.map_err(|source| StartError::Api { address, source })
    }

    fn serve_webhooks(&self, server: Server) {
        let shutdown = self.tasks.shutdown().clone();
        let mut server = Some(server);
        self.tasks.spawn("webhook server", Policy::StopProcess, move || {
            let (server, shutdown) = (server.take(), shutdown.clone());
            async move {
                let server = server.ok_or("the webhook server cannot start twice")?;
                server.run(shutdown).await;
                Ok::<(), &str>(())
            }
        });
    }
}

/// Connections that the webhook server takes at one time: never so many that the ledger finds no file free for itself.
fn connections_for(open_files: u64, usual: usize) -> usize {
    let left = open_files.saturating_sub(OPEN_FILES_RESERVED).max(open_files / 2);
    usize::try_from(left).unwrap_or(usize::MAX).clamp(1, usual)
}

/// The configured models; nothing is contacted, so that one that is down keeps nobody from starting.
fn models(
    config: &Config,
    ledger: &Arc<SqliteLedger>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<dyn Model>>, StartError> {
    let Some(model) = &config.model else { return Ok(None) };
    let models = Models::new(ModelsParts {
        config: model,
        ledger: Arc::clone(ledger) as Arc<dyn ModelLedger>,
        clock: Arc::clone(clock),
        redactor: Redactor::new(handlers::all_secrets(config)),
    })?;
    Ok(Some(Arc::new(models)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        let for_files = |open_files| connections_for(open_files, 4096);
        assert_eq!([65_536, 4352, 1024, 256, 2, 0].map(for_files), [4096, 4096, 768, 128, 1, 1]);
    }
}
