//! The start of the agent: each part from what it needs, and its tasks with their policies.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::chat::{LocalChat, Talking};
use super::data_dir::{DataDir, DataDirError, Presence};
use super::explain::Explainer;
use super::info::{self, Info};
use super::workflows::{Parts, Workflows, claimed_twice};
use super::{Agent, Deps, chat, handlers, ledger_options};
use crate::agent::conversation::Assistant;
use crate::agent::{Daily, Summaries, Traces, Triage};
use crate::channel::{Commands, Conversation, Gate, Operations, Outbox, Poller, Speaker, TelegramChannel, Terminal};
use crate::config::{Config, Telegram};
use crate::dashboard::{self, LocalApi};
use crate::domain::fault::Fault;
use crate::domain::schedule::Schedule;
use crate::intake::{self, BindError, Intake, Server, ServerLimits};
use crate::ledger::digest::DigestLedger;
use crate::ledger::sqlite::{OpenError, SqliteLedger};
use crate::ledger::traces::TraceLedger;
use crate::ledger::{ChatLedger, Ledger, ModelLedger, RunLedger};
use crate::lifecycle::{Policy, Shutdown, Tasks};
use crate::model::{ModelSetupError, Models, ModelsParts};
use crate::outbound::{Collector, CollectorSettings};
use crate::ports::{Channel, Clock, Model};
use crate::provider::Registry;
use crate::queue::Queue;
use crate::telemetry::{AuditLog, Meters, Redactor, audit_path};
use crate::tool::process::Sandbox;

/// How often what is too old is deleted.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// The pause between two slices of a deletion, so that webhooks get the disk in between.
const RETENTION_PAUSE: Duration = Duration::from_millis(50);

/// The pause between two slices of the search index, so that webhooks get the disk in between.
const INDEX_PAUSE: Duration = Duration::from_millis(5);
/// Changes are indexed together for so long.
const INDEX_EVERY: Duration = Duration::from_millis(500);

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
struct Base {
    config: Arc<Config>,
    ledger: Arc<dyn Ledger>,
    /// The same, for what only some need of it.
    sqlite: Arc<SqliteLedger>,
    models: Arc<dyn ModelLedger>,
    chats: Arc<dyn ChatLedger>,
    registry: Arc<Registry>,
    workflows: Workflows,
    tasks: Tasks,
    started_at: Timestamp,
    deps: Deps,
}

impl Agent {
    /// Starts the agent; it runs until `shutdown`. To be called within a runtime.
    ///
    /// # Errors
    /// What keeps it from starting, with what to change.
    pub async fn start(config: Config, mut deps: Deps, shutdown: Shutdown) -> Result<Self, StartError> {
        crate::tool::process::keep_private();
        let (registry, faults) = handlers::load_providers(&config);
        for fault in &faults {
            tracing::warn!(fault = %fault, "a provider's file is not used");
        }
        let missing = handlers::missing_providers(&config, &registry);
        if !missing.is_empty() {
            return Err(StartError::Faults(missing));
        }
        let data_dir = DataDir::open(&config.data_dir)?;
        let token = data_dir.token(&*deps.ids)?;
        let ledger = SqliteLedger::open(ledger_options(&config, Arc::clone(&deps.clock)))?;
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
            limits: ServerLimits { bodies_bytes, ..usual },
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

    /// Starts the dashboard and the local API; the link that logs in once.
    fn serve_api(
        &self,
        listener: tokio::net::TcpListener,
        address: std::net::SocketAddr,
        token: crate::config::Secret,
        talk: &Talk,
        webhooks: Option<String>,
        meters: Option<Arc<Meters>>,
    ) -> String {
        let chat = LocalChat {
            commands: talk.commands.clone(),
            assistant: talk.assistant.clone(),
            chats: Arc::clone(&self.chats),
            clock: Arc::clone(&self.deps.clock),
            ids: Arc::clone(&self.deps.ids),
        };
        let auth = dashboard::Auth::new(token, Arc::clone(&self.deps.ids), address.port());
        let login = format!("{}/login?token={}", info::base_url(address, false), auth.new_link(self.started_at));
        let api = Arc::new(LocalApi {
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.deps.clock),
            ids: Arc::clone(&self.deps.ids),
            auth,
            address,
            names: self.config.dashboard.names.clone(),
            started_at: self.started_at,
            handlers: self.config.webhooks.handlers.keys().map(ToString::to_string).collect(),
            triggers: self.workflows.triggers.clone(),
            chat: Arc::new(chat),
            meters,
            streams: dashboard::Streams::new(self.tasks.shutdown().soft().clone()),
            site: self.site(webhooks),
        });
        let shutdown = self.tasks.shutdown().clone();
        let listener = Arc::new(listener);
        self.tasks.spawn("local API", Policy::RESTART, move || {
            let (api, listener, shutdown) = (Arc::clone(&api), Arc::clone(&listener), shutdown.clone());
            async move {
                dashboard::serve(&listener, dashboard::routes(api), shutdown).await;
                Ok::<(), Infallible>(())
            }
        });
        login
    }

    /// What the pages know besides the ledger.
    fn site(&self, webhooks: Option<String>) -> dashboard::Site {
        dashboard::Site {
            effective: Arc::clone(&self.config.effective),
            handlers: handlers::facts(&self.config, &self.registry),
            public: self.config.webhooks.public_url.clone(),
            webhooks,
            audit: audit_path(&self.config.data_dir.join("logs")),
            advisor: Box::new(Explainer { config: Arc::clone(&self.config), registry: Arc::clone(&self.registry) }),
        }
    }

    fn start_queue(&self) {
        let worker = Arc::new(Triage {
            providers: Arc::clone(&self.registry),
            desks: Arc::new(handlers::desks(&self.config)),
            summaries: self.deps.model.is_some(),
            triggers: Some(self.workflows.triggers.clone()),
            clock: Arc::clone(&self.deps.clock),
            ids: Arc::clone(&self.deps.ids),
        });
        let queue = Arc::new(Queue { ledger: Arc::clone(&self.ledger), worker, clock: Arc::clone(&self.deps.clock) });
        let soft = self.tasks.shutdown().soft().clone();
        self.tasks.spawn("queue", Policy::RESTART, move || {
            let (queue, soft) = (Arc::clone(&queue), soft.clone());
            async move {
                queue.run(soft).await;
                Ok::<(), Infallible>(())
            }
        });
    }

    /// The runner of workflows, and the watch over their files.
    fn start_engine(&self) {
        let soft = self.tasks.shutdown().soft().clone();
        let engine = self.workflows.engine.clone();
        self.tasks.spawn("workflow engine", Policy::RESTART, move || {
            let (engine, soft) = (engine.clone(), soft.clone());
            async move {
                engine.run(soft).await;
                Ok::<(), Infallible>(())
            }
        });
        let soft = self.tasks.shutdown().soft().clone();
        let scheduler = self.workflows.scheduler();
        self.tasks.spawn("schedules", Policy::RESTART, move || {
            let (scheduler, soft) = (scheduler.clone(), soft.clone());
            async move {
                scheduler.run(soft).await;
                Ok::<(), Infallible>(())
            }
        });
        let soft = self.tasks.shutdown().soft().clone();
        let workflows = self.workflows.clone();
        self.tasks.spawn("workflow files", Policy::RESTART, move || {
            let (workflows, soft) = (workflows.clone(), soft.clone());
            async move {
                workflows.watch(&soft).await;
                Ok::<(), Infallible>(())
            }
        });
    }

    /// The daily digest. Without one a last look marks the schedule as not in use.
    fn start_digest(&self) {
        let digest = self.config.digest.as_ref();
        let when = digest.and_then(|digest| Schedule::daily(digest.at, &digest.timezone).ok());
        let daily = Daily {
            when,
            chat: handlers::chat_named(digest.map_or("default", |digest| digest.chat.as_str()), &self.config),
            digests: Arc::clone(&self.sqlite) as Arc<dyn DigestLedger>,
            schedules: Arc::clone(&self.sqlite) as Arc<dyn RunLedger>,
            clock: Arc::clone(&self.deps.clock),
            ids: Arc::clone(&self.deps.ids),
        };
        let soft = self.tasks.shutdown().soft().clone();
        self.tasks.spawn("daily digest", Policy::RESTART, move || {
            let (daily, soft) = (daily.clone(), soft.clone());
            async move {
                daily.run(soft).await;
                Ok::<(), Infallible>(())
            }
        });
    }

    /// What writes beneath notices, where there is a model.
    fn start_summaries(&self) {
        let Some(model) = self.deps.model.clone() else { return };
        let writer = Arc::new(Summaries {
            model,
            ledger: Arc::clone(&self.ledger),
            waiting: Arc::clone(&self.models),
            clock: Arc::clone(&self.deps.clock),
            redactor: Redactor::new(handlers::all_secrets(&self.config)),
        });
        let soft = self.tasks.shutdown().soft().clone();
        self.tasks.spawn("summaries", Policy::RESTART, move || {
            let (writer, soft) = (Arc::clone(&writer), soft.clone());
            async move {
                writer.run(soft).await;
                Ok::<(), Infallible>(())
            }
        });
    }

    /// The MCP servers of the configuration, each in a task of its own.
    fn start_mcp(&self) {
        for server in self.workflows.mcp.all() {
            let (server, soft) = (Arc::clone(server), self.tasks.shutdown().soft().clone());
            self.tasks.spawn("MCP server", Policy::RESTART, move || {
                let (server, soft) = (Arc::clone(&server), soft.clone());
                async move {
                    server.run(soft).await;
                    Ok::<(), Infallible>(())
                }
            });
        }
    }

    /// Traces; without a collector a last look forgets what waits for one.
    fn start_traces(&self) -> Result<(), StartError> {
        let collector = match &self.config.otlp {
            None => None,
            Some(otlp) => {
                let headers = otlp.headers.iter().map(|(name, secret)| (name.clone(), secret.expose().to_owned()));
                let settings = CollectorSettings {
                    endpoint: otlp.endpoint.clone(),
                    headers: headers.collect(),
                    service_name: otlp.service_name.clone(),
                    timeout: otlp.timeout,
                };
                Some(Arc::new(Collector::new(settings).map_err(StartError::Traces)?))
            }
        };
        let ledger = Arc::clone(&self.sqlite) as Arc<dyn TraceLedger>;
        let traces = Traces { ledger, collector, clock: Arc::clone(&self.deps.clock) };
        let soft = self.tasks.shutdown().soft().clone();
        self.tasks.spawn("traces", Policy::RESTART, move || {
            let (traces, soft) = (traces.clone(), soft.clone());
            async move { traces.run(soft).await }
        });
        Ok(())
    }

    /// The search index, behind everything else.
    fn start_index(&self) {
        let (ledger, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.deps.clock));
        let shutdown = self.tasks.shutdown().clone();
        self.tasks.spawn("search index", Policy::RESTART, move || {
            let (ledger, clock, shutdown) = (Arc::clone(&ledger), Arc::clone(&clock), shutdown.clone());
            async move {
                tokio::select! {
                    result = index(&*ledger, &*clock) => result,
                    () = shutdown.stopping() => Ok(()),
                }
            }
        });
    }

    fn start_retention(&self) {
        let days = self.config.retention.events_days;
        if days == 0 {
            return;
        }
        let (ledger, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.deps.clock));
        let shutdown = self.tasks.shutdown().clone();
        self.tasks.spawn("retention", Policy::RESTART, move || {
            let (ledger, clock, shutdown) = (Arc::clone(&ledger), Arc::clone(&clock), shutdown.clone());
            async move {
                tokio::select! {
                    result = retain(&*ledger, &*clock, days) => result,
                    () = shutdown.stopping() => Ok(()),
                }
            }
        });
    }

    /// What speaks with people; nothing of it runs yet.
    fn talk(&mut self, presence: &Presence) -> Result<Talk, StartError> {
        let terminal = std::mem::replace(&mut self.deps.terminal, Box::new(std::io::sink()));
        let telegram = self.config.telegram.as_ref();
        let telegram = telegram.map(|telegram| telegram_channel(telegram, &self.deps.clock)).transpose()?.map(Arc::new);
        let channel: Arc<dyn Channel> = match &telegram {
            Some(telegram) => Arc::<TelegramChannel>::clone(telegram),
            None => Arc::new(Terminal::new(terminal, self.deps.colour)),
        };
        let gate = Arc::new(Gate::new());
        let info = Info {
            config: Arc::clone(&self.config),
            started_at: self.started_at,
            listening: presence.webhooks.iter().chain(&presence.api).cloned().collect(),
            base: self.config.webhooks.public_url.clone().or_else(|| presence.webhooks.clone()),
            webhooks: presence.webhooks.clone(),
            catalog: Arc::clone(&self.workflows.catalog),
            registry: Arc::clone(&self.registry),
            clock: Arc::clone(&self.deps.clock),
            ids: Arc::clone(&self.deps.ids),
        };
        let speaker = Speaker::new(Arc::clone(&channel), Arc::clone(&gate), Arc::clone(&self.deps.clock));
        let assistant = self.deps.model.as_ref().map(|model| {
            chat::assistant(chat::Surroundings {
                config: &self.config,
                ledger: Arc::clone(&self.ledger),
                chats: Arc::clone(&self.chats),
                workflows: &self.workflows,
                model: Arc::clone(model),
                voice: Arc::new(speaker),
                clock: Arc::clone(&self.deps.clock),
                ids: Arc::clone(&self.deps.ids),
            })
        });
        let commands = Commands::new(Arc::clone(&self.ledger), Arc::clone(&self.deps.clock), Arc::new(info))
            .with_operations(Arc::new(self.workflows.clone()))
            .with_spending(Arc::clone(&self.models))
            .with_chats(Arc::clone(&self.chats), assistant.is_some());
        Ok(Talk { commands, channel, telegram, gate, assistant })
    }

    fn start_channels(&self, talk: Talk) {
        let Talk { commands, channel, telegram, gate, assistant } = talk;
        if let Some(assistant) = assistant.clone() {
            let soft = self.tasks.shutdown().soft().clone();
            self.tasks.spawn("assistant", Policy::RESTART, move || {
                let (assistant, soft) = (Arc::clone(&assistant), soft.clone());
                async move {
                    assistant.run(soft).await;
                    Ok::<(), Infallible>(())
                }
            });
        }
        if let (Some(channel), Some(telegram)) = (telegram, &self.config.telegram) {
            let poll = Poll {
                channel,
                ledger: Arc::clone(&self.ledger),
                clock: Arc::clone(&self.deps.clock),
                ids: Arc::clone(&self.deps.ids),
                commands,
                conversation: assistant.map(|assistant| Arc::new(Talking(assistant)) as Arc<dyn Conversation>),
                allowed_users: telegram.allowed_users.clone(),
            };
            let soft = self.tasks.shutdown().soft().clone();
            self.tasks.spawn("telegram poller", Policy::RESTART, move || {
                let (poller, soft) = (poll.poller(), soft.clone());
                async move {
                    poller.run(soft).await;
                    Ok::<(), Infallible>(())
                }
            });
        }
        let soft = self.tasks.shutdown().soft().clone();
        let (ledger, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.deps.clock));
        let operations: Arc<dyn Operations> = Arc::new(self.workflows.clone());
        let models = Arc::clone(&self.models);
        self.tasks.spawn("outbox", Policy::RESTART, move || {
            let channels = vec![Arc::clone(&channel)];
            let outbox = Outbox::new(Arc::clone(&ledger), channels, Arc::clone(&clock))
                .with_gate(channel.name(), Arc::clone(&gate))
                .with_cards(Arc::clone(&operations))
                .with_summaries(Arc::clone(&models));
            let soft = soft.clone();
            async move {
                outbox.run(soft).await;
                Ok::<(), Infallible>(())
            }
        });
    }
}

/// What speaks with people.
struct Talk {
    commands: Commands,
    channel: Arc<dyn Channel>,
    telegram: Option<Arc<TelegramChannel>>,
    /// The pace of the channel, which notices, cards and answers share.
    gate: Arc<Gate>,
    assistant: Option<Arc<Assistant>>,
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

/// What a poller is made of, each time it starts.
struct Poll {
    channel: Arc<TelegramChannel>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn crate::ports::Ids>,
    commands: Commands,
    conversation: Option<Arc<dyn Conversation>>,
    allowed_users: Vec<u64>,
}

impl Poll {
    fn poller(&self) -> Poller {
        Poller::new(
            Arc::clone(&self.channel),
            Arc::clone(&self.ledger),
            Arc::clone(&self.clock),
            Arc::clone(&self.ids),
            self.commands.clone(),
            self.allowed_users.iter().copied(),
        )
        .with_conversation(self.conversation.clone())
    }
}

fn telegram_channel(telegram: &Telegram, clock: &Arc<dyn Clock>) -> Result<TelegramChannel, StartError> {
    TelegramChannel::new(&telegram.token, &telegram.api_url, Arc::clone(clock))
        .map_err(|error| StartError::Telegram(error.to_string()))
}

/// Keeps the search index up to date, slice by slice, for ever.
async fn index(ledger: &dyn Ledger, clock: &dyn Clock) -> Result<(), crate::ledger::LedgerError> {
    let mut changed = ledger.changes().events.subscribe();
    loop {
        changed.mark_unchanged();
        while ledger.index().await? > 0 {
            clock.sleep(INDEX_PAUSE).await;
        }
        if changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        clock.sleep(INDEX_EVERY).await;
    }
}

/// Deletes what is older than `days`, slice by slice, for ever.
async fn retain(ledger: &dyn Ledger, clock: &dyn Clock, days: u32) -> Result<(), crate::ledger::LedgerError> {
    let age = SignedDuration::from_hours(24 * i64::from(days));
    loop {
        if let Ok(before) = clock.now().checked_sub(age) {
            while ledger.prune(before).await? > 0 {
                clock.sleep(RETENTION_PAUSE).await;
            }
        }
        clock.sleep(RETENTION_EVERY).await;
    }
}
