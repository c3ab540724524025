//! Workflows within the agent: their files, their engine, and what channels, the webhook server and the local API ask of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::handlers;
use crate::agent::{Desks, Triggers};
use crate::channel::{Ballot, Operations, Person, Word, WorkflowInfo};
use crate::config::Config;
use crate::domain::event::Arrival;
use crate::domain::fault::Fault;
use crate::domain::ids::{ApprovalId, NoticeId, RunId};
use crate::domain::notice::{ChatKey, Message, NoticeKind, Severity};
use crate::domain::reach::AllowList;
use crate::domain::run::RunSource;
use crate::intake::{Matched, WorkflowRoute, Workflows as Routes};
use crate::ledger::runs::{
    ApprovalRow, CancelOutcome, DecideOutcome, NonceRow, RetryOutcome, RunContext, RunLedger, RunRow, SettleOutcome,
};
use crate::ledger::{ChatLedger, Ledger, LedgerError, NewNotice};
use crate::outbound::{GuardedClient, GuardedOptions, SystemResolver};
use crate::ports::{Clock, Ids, Model};
use crate::telemetry::{Audit, Redactor};
use crate::tool::files::Files;
use crate::tool::hook::Hook;
use crate::tool::http_request::HttpRequest;
use crate::tool::mcp::McpServers;
use crate::tool::process::Sandbox;
use crate::tool::{Chats, LedgerMemory, ModelPrompt, Secrets, ToolContext, ToolRegistry};
use crate::workflow::catalog::{Catalog, Changes};
use crate::workflow::definition::{Known, Trigger};
use crate::workflow::engine::{Decider, Decision, Engine, EngineDeps, People, SettleRequest, StartError, StartRequest};
use crate::workflow::scheduler::Scheduler;

/// Faults that one notice about bad files lists.
const FAULTS_TOLD_MAX: usize = 10;

/// Where workflow files are within the data folder.
pub fn workflows_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("workflows")
}

/// The workflow files of `config`, with nothing that could carry them out.
pub fn load_workflows(config: &Config) -> Catalog {
    let redactor = Arc::new(Redactor::new(handlers::all_secrets(config)));
    let clock: Arc<dyn Clock> = Arc::new(crate::ports::SystemClock);
    let tools = ToolRegistry::declared().with_mcp(Arc::new(McpServers::new(&config.mcp, &clock, redactor)));
    let known = known(config, tools, config.model.is_some());
    Catalog::load(&workflows_dir(&config.data_dir), Arc::new(known))
}

/// A fault for each workflow with a route that a handler has.
pub fn claimed_twice(config: &Config, catalog: &Catalog) -> Vec<Fault> {
    let taken = |name: &str| {
        crate::intake::is_reserved(name)
            || config.webhooks.handlers.values().any(|handler| handler.name.as_str() == name && handler.path.is_none())
    };
    let workflows = catalog.list();
    let doubles = workflows.iter().filter(|workflow| workflow.trigger == Trigger::Webhook && taken(&workflow.name));
    doubles
        .map(|workflow| Fault {
            file: workflow.file.clone(),
            line: None,
            column: None,
            key: Some("name".into()),
            message: format!("a handler is served at /webhooks/{0}, so the workflow '{0}' has no route", workflow.name),
            hint: Some("rename the workflow, or start it by 'on:'".into()),
        })
        .collect()
}

/// A note for each step whose folder or file no tool may use, since it would fail after somebody has agreed to it.
pub fn outside_files(config: &Config, catalog: &Catalog) -> Vec<Fault> {
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let home = data_dir.join("files");
    let within = |path: &Path| path.starts_with(&home) || config.files.roots.iter().any(|root| path.starts_with(root));
    let mut notes = Vec::new();
    for workflow in &catalog.list() {
        for step in workflow.all_steps() {
            let Some(tool) = step.tool_step() else { continue };
            for name in ["cwd", "path"] {
                let Some(path) = tool.args.literal(name).and_then(Value::as_str).map(Path::new) else { continue };
                if path.is_absolute() && !within(path) {
                    notes.push(Fault {
                        file: workflow.file.clone(),
                        line: Some(step.line),
                        column: None,
                        key: Some(format!("steps.{}.args.{name}", step.name)),
                        message: format!(
                            "{} lies outside {} and files.roots, so this step will fail",
                            path.display(),
                            home.display()
                        ),
                        hint: Some("add its folder to files.roots".into()),
                    });
                }
            }
        }
    }
    notes
}

/// What workflows may name. Without Telegram nobody is listed, and the local admin decides.
fn known(config: &Config, tools: ToolRegistry, model: bool) -> Known {
    let telegram = config.telegram.as_ref();
    let members = |users: &Vec<u64>| users.iter().copied().collect::<BTreeSet<u64>>();
    Known {
        tools,
        groups: telegram
            .map(|telegram| telegram.groups.iter().map(|(name, users)| (name.clone(), members(users))).collect()),
        users: telegram.map(|telegram| members(&telegram.allowed_users)).unwrap_or_default(),
        chats: telegram.map(|telegram| telegram.chats.keys().cloned().collect()),
        handlers: Some(config.webhooks.handlers.keys().map(ToString::to_string).collect()),
        model,
    }
}

/// Workflows, running.
#[derive(Debug, Clone)]
pub(super) struct Workflows {
    pub(super) engine: Engine,
    pub(super) catalog: Arc<Catalog>,
    pub(super) triggers: Triggers,
    pub(super) mcp: Arc<McpServers>,
    /// Every tool that a run may use, those that only a conversation proposes among them.
    pub(super) tools: Arc<ToolRegistry>,
    pub(super) context: ToolContext,
    pub(super) audit: Arc<dyn Audit>,
    desks: Arc<Desks>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

/// What workflows are made of.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) runs: Arc<dyn RunLedger>,
    pub(super) chats: Arc<dyn ChatLedger>,
    pub(super) registry: Arc<crate::provider::Registry>,
    pub(super) audit: Arc<dyn Audit>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) sandbox: Sandbox,
    pub(super) model: Option<Arc<dyn Model>>,
}

impl Workflows {
    /// Loads the files and makes the engine; [`Engine::run`] starts it.
    pub(super) fn new(parts: Parts<'_>) -> Self {
        let Parts { config, ledger, runs, chats, registry, audit, clock, ids, sandbox, model } = parts;
        let desks = Arc::new(handlers::desks(config));
        let options = GuardedOptions {
            allow: AllowList::new(config.network.allow.clone()),
            resolver: Arc::new(SystemResolver),
            authorities: Vec::new(),
        };
        let client = GuardedClient::new(options).expect("there are no authorities of our own to misread");
        let tools =
            ToolRegistry::standard().with(Arc::new(HttpRequest::new(client.clone()))).with(Arc::new(Hook::new(client)));
        let redactor = Arc::new(Redactor::new(handlers::all_secrets(config)));
        let mcp = Arc::new(McpServers::new(&config.mcp, &clock, redactor));
        let tools = tools.with_mcp(Arc::clone(&mcp));
        let has_model = model.is_some();
        let tools = model.into_iter().fold(tools, |tools, model| tools.with(Arc::new(ModelPrompt::new(model))));
        let known = known(config, tools.clone(), has_model);
        let catalog = Arc::new(Catalog::load(&workflows_dir(&config.data_dir), Arc::new(known)));
        let telegram = config.telegram.as_ref();
        let people = People {
            allowed: telegram.map(|telegram| telegram.allowed_users.clone()).unwrap_or_default(),
            groups: telegram.map(|telegram| telegram.groups.clone()).unwrap_or_default(),
        };
        // The files do not know the tools of conversations, the engine does.
        let tools = Arc::new(super::chat::tools(tools, &chats, &catalog));
        let context = tool_context(config, &ledger, Arc::clone(&runs), &clock, &ids, sandbox);
        let engine = Engine::new(EngineDeps {
            ledger: Arc::clone(&runs),
            workflows: Arc::clone(&catalog) as Arc<dyn crate::workflow::engine::Workflows>,
            tools: Arc::clone(&tools),
            context: context.clone(),
            people,
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
        });
        let triggers = Triggers {
            catalog: Arc::clone(&catalog),
            engine: engine.clone(),
            providers: registry,
            desks: Arc::clone(&desks),
        };
        Self { engine, catalog, triggers, mcp, tools, context, audit, desks, ledger, clock, ids }
    }

    /// What starts workflows when their time comes.
    pub(super) fn scheduler(&self) -> Scheduler {
        Scheduler {
            catalog: Arc::clone(&self.catalog),
            engine: self.engine.clone(),
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            chat: self.desks.fallback.chat.clone(),
        }
    }

    /// Tells about bad files at the start, and about every change of the files until `stop`.
    pub(super) async fn watch(&self, stop: &CancellationToken) {
        let faults = self.catalog.faults();
        if !faults.is_empty() {
            self.tell(&Changes { faults, ..Changes::default() }).await;
        }
        let (sender, mut changed) = tokio::sync::mpsc::channel(8);
        let told = async {
            while let Some(changes) = changed.recv().await {
                self.tell(&changes).await;
            }
        };
        let watched = async {
            // A full channel means that several changes are still untold; the files themselves are read all the same.
            self.catalog.watch(self.clock.as_ref(), stop, |changes| drop(sender.try_send(changes))).await;
            drop(sender);
        };
        tokio::join!(told, watched);
    }

    /// Says what a change of the files did: in the log, and in the chat where something is wrong.
    async fn tell(&self, changes: &Changes) {
        for workflow in &changes.loaded {
            tracing::info!(workflow.name = workflow, "a workflow was read");
        }
        for workflow in &changes.removed {
            tracing::info!(workflow.name = workflow, "a workflow is gone");
        }
        for fault in &changes.faults {
            tracing::warn!(fault = %fault, "a workflow's file is not used");
        }
        let Some(chat) = self.desks.fallback.chat.clone().filter(|_| !changes.faults.is_empty()) else { return };
        let notice = self.notice(chat, faulty(changes));
        if let Err(error) = self.ledger.add_notices(vec![notice]).await {
            tracing::warn!(%error, "nobody could be told of a bad workflow file");
        }
    }

    fn notice(&self, chat: ChatKey, message: Message) -> NewNotice {
        let created_at = self.clock.now();
        NewNotice {
            id: NoticeId::new(self.ids.ulid(created_at)),
            chat,
            kind: NoticeKind::System,
            event: None,
            reply_to: None,
            message,
            created_at,
        }
    }
}

/// What is said about files that are bad.
fn faulty(changes: &Changes) -> Message {
    let mut lines: Vec<String> = changes.faults.iter().take(FAULTS_TOLD_MAX).map(Fault::to_string).collect();
    if changes.faults.len() > FAULTS_TOLD_MAX {
        lines.push(format!("and {} more: agent check", changes.faults.len() - FAULTS_TOLD_MAX));
    }
    let title = match changes.kept.as_slice() {
        [] => "A workflow file has faults and is not used".to_owned(),
        [one] => format!("The file of workflow '{one}' has faults: its last good version stays in use"),
        several => {
            format!("The files of {} workflows have faults: their last good versions stay in use", several.len())
        }
    };
    Message { title, lines, url: None, severity: Severity::Warning }
}

fn tool_context(
    config: &Config,
    ledger: &Arc<dyn Ledger>,
    runs: Arc<dyn RunLedger>,
    clock: &Arc<dyn Clock>,
    ids: &Arc<dyn Ids>,
    sandbox: Sandbox,
) -> ToolContext {
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let file = config.file.as_ref().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone()));
    let beside = file.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let protected = file.into_iter().chain(beside.map(|dir| dir.join(".env"))).collect();
    let named = config.telegram.as_ref().map(|telegram| telegram.chats.clone()).unwrap_or_default();
    let default = named.get("default").cloned().unwrap_or_else(ChatKey::terminal);
    let own = config
        .webhooks
        .handlers
        .values()
        .filter_map(|handler| Some((handler.name.to_string(), handler.secrets.first()?.clone())));
    let common = config.webhooks.common_secret.iter().map(|secret| ("webhooks".to_owned(), secret.clone()));
    let secrets: BTreeMap<_, _> = common.chain(own).collect();
    let files = Files::new(&data_dir, config.files.roots.clone(), protected);
    if let Err(error) = files.clean_scratch() {
        tracing::warn!(error = %error, "temporary files of an earlier agent's steps could not be deleted");
    }
    ToolContext {
        cancel: CancellationToken::new(),
        event: None,
        chat: None,
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
        ledger: Arc::clone(ledger),
        memory: Arc::new(LedgerMemory::new(runs)),
        files: Arc::new(files),
        sandbox: Arc::new(sandbox),
        chats: Arc::new(Chats { named, default }),
        secrets: Arc::new(Secrets::new(secrets)),
        redactor: Arc::new(Redactor::new(handlers::all_secrets(config))),
    }
}

fn decider(person: Person) -> Decider {
    match person {
        Person::Telegram(user) => Decider::Telegram(user),
        Person::LocalAdmin => Decider::LocalAdmin,
    }
}

#[async_trait]
impl Operations for Workflows {
    fn runs(&self) -> &Arc<dyn RunLedger> {
        self.engine.ledger()
    }

    async fn decide(&self, ballot: Ballot) -> Result<DecideOutcome, LedgerError> {
        let Ballot { approval, by, channel, verdict, reason, nonce } = ballot;
        let channel = channel.to_owned();
        self.engine.decide(Decision { approval, by: decider(by), channel, verdict, reason, nonce }).await
    }

    async fn settle(&self, word: Word) -> Result<SettleOutcome, LedgerError> {
        let Word { run, step, verdict, by, channel, nonce } = word;
        let channel = channel.to_owned();
        self.engine.settle(SettleRequest { run, step, verdict, by: decider(by), channel, nonce }).await
    }

    fn may_decide(&self, who: Person, approval: &ApprovalRow) -> bool {
        self.engine.may_decide(decider(who), approval)
    }

    async fn nonces(&self, approval: ApprovalId, purposes: &[&str]) -> Result<Vec<String>, LedgerError> {
        self.engine.nonces(approval, purposes).await
    }

    async fn nonce(&self, text: &str) -> Result<Option<NonceRow>, LedgerError> {
        self.engine.nonce(text).await
    }

    fn workflows(&self) -> Vec<WorkflowInfo> {
        let faults = self.catalog.faults();
        let info = |workflow: &Arc<crate::workflow::definition::Workflow>| WorkflowInfo {
            name: workflow.name.clone(),
            description: workflow.description.clone(),
            trigger: workflow.trigger.as_str().to_owned(),
            enabled: workflow.enabled,
            next: workflow.next_words(self.clock.now()),
            stale: faults.iter().any(|fault| fault.file == workflow.file),
        };
        self.catalog.list().iter().map(info).collect()
    }

    async fn start(
        &self,
        workflow: &str,
        inputs: Map<String, Value>,
        by: Person,
    ) -> Result<Result<RunId, String>, LedgerError> {
        let request = manual(workflow, inputs, by.to_string(), self.desks.fallback.chat.clone());
        match self.engine.start(request).await {
            Ok(started) => Ok(Ok(started.run)),
            Err(StartError::Ledger(error)) => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    fn reload(&self) -> (usize, Vec<String>) {
        self.catalog.reload();
        let faults = self.catalog.faults().iter().map(Fault::to_string).collect();
        (self.catalog.list().len(), faults)
    }

    async fn cancel(&self, run: RunId, by: Person) -> Result<CancelOutcome, LedgerError> {
        self.engine.cancel(run, &by.to_string()).await
    }

    async fn retry(&self, run: RunId, by: Person) -> Result<RetryOutcome, LedgerError> {
        self.engine.retry(run, &by.to_string()).await
    }
}

/// A start by hand: the inputs are the payload too, so that a workflow does not need to know how it was started.
pub(super) fn manual(
    workflow: &str,
    inputs: Map<String, Value>,
    started_by: String,
    chat: Option<ChatKey>,
) -> StartRequest {
    let inputs = Value::Object(inputs);
    let nothing = || Value::Object(Map::new());
    StartRequest {
        workflow: workflow.to_owned(),
        event: None,
        context: RunContext { payload: inputs.clone(), event: nothing(), facts: nothing(), inputs },
        source: RunSource::Manual,
        started_by,
        chat,
    }
}

#[async_trait]
impl Routes for Workflows {
    fn route(&self, name: &str) -> Option<WorkflowRoute> {
        let workflow = self.catalog.get(name).filter(|workflow| workflow.trigger == Trigger::Webhook)?;
        Some(WorkflowRoute { enabled: workflow.enabled })
    }

    fn listens_to(&self, handler: &str) -> bool {
        self.triggers.listens_to(handler)
    }

    async fn on_event(&self, event: &Arrival<'_>) -> Result<Matched, LedgerError> {
        let outcome = self.triggers.on_event(event).await?;
        Ok(Matched { runs: outcome.runs, reason: outcome.reason })
    }

    async fn start(&self, event: &Arrival<'_>) -> Result<Result<RunId, String>, LedgerError> {
        self.triggers.on_route(event).await
    }

    async fn wait(&self, run: RunId, longest: Duration) -> Result<Option<RunRow>, LedgerError> {
        self.engine.wait(run, longest).await
    }
}
