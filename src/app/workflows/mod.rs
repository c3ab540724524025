//! Workflows within the agent: their files, their engine, and what channels, the webhook server and the local API ask of them.

mod asked;
mod files;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

pub use files::{claimed_twice, load_workflows, outside_files, strange_workflow_events, vain_requests, workflows_dir};

use super::handlers;
use crate::agent::{Desks, Triggers};
use crate::config::Config;
use crate::domain::notice::ChatKey;
use crate::domain::reach::AllowList;
use crate::domain::run::RunSource;
use crate::ledger::runs::{RunContext, RunLedger};
use crate::ledger::{ChatLedger, Ledger};
use crate::outbound::{GuardedClient, GuardedOptions, SystemResolver};
use crate::ports::{Clock, Ids, Model};
use crate::telemetry::{Audit, Redactor};
use crate::tool::files::Files;
use crate::tool::hook::Hook;
use crate::tool::http_request::HttpRequest;
use crate::tool::mcp::McpServers;
use crate::tool::process::Sandbox;
use crate::tool::{Chats, LedgerMemory, ModelPrompt, Secrets, ToolContext, ToolRegistry};
use crate::workflow::catalog::Catalog;
use crate::workflow::engine::{Engine, EngineDeps, People, StartRequest};
use crate::workflow::scheduler::Scheduler;

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
    /// Names whose routes are handlers'.
    routes_taken: Arc<BTreeSet<String>>,
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
        let known = files::known(config, tools.clone(), has_model);
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
        let routes_taken = Arc::new(files::routes_taken(config));
        Self { routes_taken, engine, catalog, triggers, mcp, tools, context, audit, desks, ledger, clock, ids }
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
