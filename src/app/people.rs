//! What speaks with people: the channel with its poller and its outbox, the assistant, and the dashboard with the local API.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use super::chat::{LocalChat, Talking};
use super::data_dir::Presence;
use super::explain::Explainer;
use super::info::{self, Info};
use super::start::{Base, StartError};
use super::{chat, handlers};
use crate::agent::conversation::Assistant;
use crate::channel::{Commands, Conversation, Gate, Operations, Outbox, Poller, Speaker, TelegramChannel, Terminal};
use crate::config::{Secret, Telegram};
use crate::dashboard::{self, LocalApi};
use crate::ledger::Ledger;
use crate::lifecycle::Policy;
use crate::ports::{Channel, Clock, Ids};
use crate::telemetry::{Meters, audit_path};

/// What speaks with people.
pub(super) struct Talk {
    commands: Commands,
    channel: Arc<dyn Channel>,
    telegram: Option<Arc<TelegramChannel>>,
    /// The pace of the channel, which notices, cards and answers share.
    gate: Arc<Gate>,
    assistant: Option<Arc<Assistant>>,
}

impl Base {
    /// Starts the dashboard and the local API; the link that logs in once.
    pub(super) fn serve_api(
        &self,
        listener: tokio::net::TcpListener,
        address: SocketAddr,
        token: Secret,
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
            chats: Arc::clone(&self.chats),
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

    /// What speaks with people; nothing of it runs yet.
    pub(super) fn talk(&mut self, presence: &Presence) -> Result<Talk, StartError> {
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

    pub(super) fn start_channels(&self, talk: Talk) {
        let Talk { commands, channel, telegram, gate, assistant } = talk;
        if let Some(assistant) = assistant.clone() {
            self.tasks.keep("assistant", assistant, |assistant, soft| async move { assistant.run(soft).await });
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
        let questions = handlers::chat_named("default", &self.config);
        self.tasks.spawn("outbox", Policy::RESTART, move || {
            let channels = vec![Arc::clone(&channel)];
            let outbox = Outbox::new(Arc::clone(&ledger), channels, Arc::clone(&clock))
                .with_gate(channel.name(), Arc::clone(&gate))
                .with_cards(Arc::clone(&operations))
                .with_questions_to(questions.clone())
                .with_summaries(Arc::clone(&models));
            let soft = soft.clone();
            async move {
                outbox.run(soft).await;
                Ok::<(), Infallible>(())
            }
        });
    }
}

/// What a poller is made of, each time it starts.
struct Poll {
    channel: Arc<TelegramChannel>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
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
