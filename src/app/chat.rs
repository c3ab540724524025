//! The assistant within the agent: what it is made of, and what channels and the local API ask of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::handlers;
use super::workflows::Workflows;
use crate::agent::conversation::{
    Assistant, HandlerFacts, InstallWorkflow, MuteNotices, Parts, ReplayEvent, Said, UnmuteNotices, tool_names,
};
use crate::channel::{Commands, Conversation, Person, Words, stopped};
use crate::config::Config;
use crate::dashboard::{ChatDesk, ChatHeard, ChatTurn};
use crate::domain::fault::Fault;
use crate::domain::ids::{RunId, TurnId};
use crate::domain::notice::{ChatKey, Message};
use crate::ledger::chat::ChatLedger;
use crate::ledger::{Ledger, LedgerError};
use crate::ports::{Clock, Ids, Model, Voice};
use crate::tool::{ToolRegistry, mcp};
use crate::workflow::catalog::Catalog;

/// The tools that may be proposed: those of workflows, and those that only a conversation has.
pub(super) fn tools(tools: ToolRegistry, chats: &Arc<dyn ChatLedger>, catalog: &Arc<Catalog>) -> ToolRegistry {
    tools
        .with(Arc::new(ReplayEvent))
        .with(Arc::new(MuteNotices(Arc::clone(chats))))
        .with(Arc::new(UnmuteNotices(Arc::clone(chats))))
        .with(Arc::new(InstallWorkflow(Arc::clone(catalog))))
}

/// A note for each tool of an agent in the configuration that there is not: the agent would silently have less.
pub fn strange_tools(config: &Config) -> Vec<Fault> {
    let known = tool_names();
    let exists = |wanted: &str| match wanted.strip_suffix('*') {
        Some(beginning) => known.iter().any(|name| name.starts_with(beginning)) || beginning.starts_with(mcp::PREFIX),
        // Only its server knows what it has.
        None => known.contains(&wanted) || wanted.starts_with(mcp::PREFIX),
    };
    let mut notes = Vec::new();
    for persona in config.personas.all() {
        for wanted in persona.tools.iter().filter(|wanted| !exists(wanted)) {
            notes.push(Fault {
                file: handlers::config_file(config),
                line: None,
                column: None,
                key: Some(format!("agents.{}.tools", persona.name)),
                message: format!("there is no tool '{wanted}'"),
                hint: Some(format!("there are: {}, and mcp_<server>_<tool>", known.join(", "))),
            });
        }
    }
    notes
}

/// What the assistant takes from the start.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) chats: Arc<dyn ChatLedger>,
    pub(super) workflows: &'a Workflows,
    pub(super) model: Arc<dyn Model>,
    pub(super) voice: Arc<dyn Voice>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn Ids>,
}

/// Makes the assistant.
pub(super) fn assistant(from: Surroundings<'_>) -> Arc<Assistant> {
    let Surroundings { config, ledger, chats, workflows, model, voice, clock, ids } = from;
    let handlers = config.webhooks.handlers.values().map(|handler| HandlerFacts {
        name: handler.name.to_string(),
        path: handlers::handler_path(handler),
        events: handler.events.clone(),
        enabled: handler.enabled,
    });
    Assistant::new(Parts {
        ledger,
        chats,
        model,
        voice,
        engine: workflows.engine.clone(),
        triggers: workflows.triggers.clone(),
        tools: Arc::clone(&workflows.tools),
        context: workflows.context.clone(),
        personas: config.personas.clone(),
        handlers: handlers.collect(),
        audit: Arc::clone(&workflows.audit),
        clock,
        ids,
    })
}

/// The assistant as channels see it.
#[derive(Debug, Clone)]
pub(super) struct Talking(pub(super) Arc<Assistant>);

#[async_trait]
impl Conversation for Talking {
    async fn said(&self, words: Words) -> Result<Option<TurnId>, LedgerError> {
        let Words { key, chat, person, text, about, reply_to } = words;
        self.0.said(Said { key, chat, person: person.to_string(), text, about, reply_to }).await
    }

    async fn cancel(&self, chat: &ChatKey) -> Result<Option<usize>, LedgerError> {
        self.0.cancel(chat).await
    }
}

/// The person on this machine: commands, and the assistant where there is one.
#[derive(Debug)]
pub(super) struct LocalChat {
    pub(super) commands: Commands,
    pub(super) assistant: Option<Arc<Assistant>>,
    pub(super) chats: Arc<dyn ChatLedger>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn Ids>,
}

#[async_trait]
impl ChatDesk for LocalChat {
    async fn say(&self, text: &str) -> Result<ChatHeard, LedgerError> {
        let text = text.trim();
        let person = Person::LocalAdmin;
        let Some(assistant) = &self.assistant else {
            return Ok(ChatHeard::Told(self.commands.answer(person, text).await?));
        };
        if text.eq_ignore_ascii_case("/cancel") {
            let behind = assistant.cancel(&ChatKey::local()).await?;
            return Ok(ChatHeard::Told(vec![Message::title(stopped(behind))]));
        }
        if text.starts_with('/') {
            return Ok(ChatHeard::Told(self.commands.answer(person, text).await?));
        }
        let said = Said {
            key: format!("local:{}", self.ids.ulid(self.clock.now())),
            chat: ChatKey::local(),
            person: person.to_string(),
            text: text.to_owned(),
            about: Vec::new(),
            reply_to: None,
        };
        match assistant.said(said).await? {
            Some(turn) => Ok(ChatHeard::Turn(turn)),
            None => Ok(ChatHeard::Told(Vec::new())),
        }
    }

    async fn turn(
        &self,
        id: TurnId,
        part: usize,
        seen: usize,
        wait: Duration,
    ) -> Result<Option<ChatTurn>, LedgerError> {
        let Some(assistant) = &self.assistant else { return Ok(None) };
        let view = assistant.watch(id, part, seen, self.clock.sleep(wait)).await?;
        Ok(view.map(|view| ChatTurn {
            id: view.row.turn.id,
            state: view.row.state.to_string(),
            text: view.text,
            links: view.links,
            part: view.part,
            ended: view.ended,
            proposed: view.row.proposed,
        }))
    }

    async fn turn_of_run(&self, run: RunId) -> Result<Option<TurnId>, LedgerError> {
        Ok(self.chats.turn_of_run(run).await?.map(|row| row.turn.id))
    }
}
