//! The assistant: what people say is answered by a model with tools, in the order in which each conversation says it.
//!
//! Reading is free. Everything else is proposed: it becomes a run of one step behind an approval card (`actions`), by the same
//! engine, digest and cards as any workflow's gate; there is no other way from a model to an effect. Text from outside is
//! framed as data and marked (`taint`). `turn` is one answer, `reads` the free tools, `stream` what is shown while it is made,
//! `history` what is remembered, `outcome` how a proposal ended. It knows no channel: it speaks through [`Voice`].

mod actions;
mod chat_tools;
mod drafts;
mod history;
mod offers;
mod outcome;
mod prompt;
mod reads;
mod stream;
mod taint;
mod turn;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use chat_tools::{InstallWorkflow, MuteNotices, ReplayEvent, UnmuteNotices};
pub use offers::tool_names;

use super::Triggers;
use crate::config::Personas;
use crate::domain::ids::{EventId, TurnId};
use crate::domain::notice::ChatKey;
use crate::ledger::chat::{ChatLedger, NewTurn, TurnKind, TurnRow, TurnState};
use crate::ledger::{Ledger, LedgerError};
use crate::ports::{Clock, Ids, Model, Voice};
use crate::telemetry::Audit;
use crate::tool::{ToolContext, ToolRegistry};
use crate::workflow::engine::Engine;

/// Longest text of one turn, in characters; the rest is cut.
pub const SAID_CHARS_MAX: usize = 8000;

/// A handler as the assistant tells of it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct HandlerFacts {
    /// Its name.
    pub name: String,
    /// Where it is served.
    pub path: String,
    /// The event types that it takes; empty for every one.
    pub events: Vec<String>,
    /// A disabled one answers 409.
    pub enabled: bool,
}

/// What the assistant works with.
#[derive(Debug)]
pub struct Parts {
    /// Events.
    pub ledger: Arc<dyn Ledger>,
    /// Conversations.
    pub chats: Arc<dyn ChatLedger>,
    /// Who answers.
    pub model: Arc<dyn Model>,
    /// How answers reach people.
    pub voice: Arc<dyn Voice>,
    /// What carries out what was approved.
    pub engine: Engine,
    /// Workflows and what events start.
    pub triggers: Triggers,
    /// Every tool that may be proposed, those of `chat_tools` among them.
    pub tools: Arc<ToolRegistry>,
    /// What free tools work with.
    pub context: ToolContext,
    /// Who answers in which chat.
    pub personas: Personas,
    /// Handlers, for looking.
    pub handlers: Vec<HandlerFacts>,
    /// Where what was done is written down.
    pub audit: Arc<dyn Audit>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
}

/// Something that a person said.
#[derive(Debug, Clone)]
pub struct Said {
    /// The same words that arrive twice have one key.
    pub key: String,
    /// Where.
    pub chat: ChatKey,
    /// Who (`telegram:7001`, `local admin`).
    pub person: String,
    /// What.
    pub text: String,
    /// Events of the notice that it answers.
    pub about: Vec<EventId>,
    /// The message to answer.
    pub reply_to: Option<i64>,
}

/// A turn as somebody who waits for it sees it.
#[derive(Debug, Clone)]
pub struct TurnView {
    /// The turn.
    pub row: TurnRow,
    /// What is there of the answer.
    pub text: String,
    /// Links that it may show.
    pub links: Vec<String>,
    /// Which text of the model this is: it may say something, use tools, and begin anew.
    pub part: usize,
    /// Whether nothing more comes.
    pub ended: bool,
}

/// The assistant.
#[derive(Debug)]
pub struct Assistant {
    parts: Parts,
    live: Mutex<HashMap<TurnId, Live>>,
    /// Messages on their way, with what is written down of them.
    sends: TaskTracker,
    /// Counts turns that ended, for those who wait.
    ended: watch::Sender<u64>,
}

/// A turn that is worked on.
#[derive(Debug, Clone)]
struct Live {
    cancel: CancellationToken,
    /// The answer so far.
    so_far: Arc<watch::Sender<SoFar>>,
    /// Held while its first message is on its way.
    sending: Arc<tokio::sync::Mutex<()>>,
}

/// An answer that is being made, as it may be shown.
#[derive(Debug, Clone, Default)]
struct SoFar {
    part: usize,
    text: String,
    links: Vec<String>,
}

impl Assistant {
    /// An assistant that answers once [`Assistant::run`] runs.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self { parts, live: Mutex::default(), sends: TaskTracker::new(), ended: watch::Sender::new(0) })
    }

    /// Keeps what was said. `None`: it was kept before.
    ///
    /// # Errors
    /// When the ledger did not keep it.
    pub async fn said(&self, said: Said) -> Result<Option<TurnId>, LedgerError> {
        let now = self.parts.clock.now();
        let text = crate::domain::text::clip_chars(&said.text, SAID_CHARS_MAX);
        let turn = NewTurn {
            id: TurnId::new(self.parts.ids.ulid(now)),
            key: said.key,
            chat: said.chat,
            kind: TurnKind::Said,
            person: said.person,
            text,
            about: said.about,
            reply_to: said.reply_to,
            at: now,
        };
        self.parts.chats.say(turn).await
    }

    /// Ends the answer that is being made in `chat`. Returns how many questions wait behind it; `None`: there was no answer.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn cancel(&self, chat: &ChatKey) -> Result<Option<usize>, LedgerError> {
        let cancelled = self.parts.chats.cancel_turn(chat, self.parts.clock.now()).await?;
        if let Some(turn) = &cancelled
            && let Some(live) = self.lock().get(&turn.id)
        {
            live.cancel.cancel();
        }
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
        Ok(cancelled.map(|turn| turn.behind))
    }

    /// The turn, once more than `seen` characters of the model's text number `part` are there, or of a later one, or it has ended,
    /// or `stop` ends the wait.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn watch(
        &self,
        turn: TurnId,
        part: usize,
        seen: usize,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Option<TurnView>, LedgerError> {
        let mut ended = self.ended.subscribe();
        let mut stop = std::pin::pin!(stop);
        let mut stopped = false;
        loop {
            let _seen = ended.borrow_and_update();
            drop(_seen);
            let Some(row) = self.parts.chats.turn(turn).await? else { return Ok(None) };
            let over = !matches!(row.state, TurnState::Waiting | TurnState::Working);
            let mut growing = self.lock().get(&turn).map(|live| live.so_far.subscribe());
            let so_far = growing.as_mut().map(|growing| growing.borrow_and_update().clone()).unwrap_or_default();
            let is_more = so_far.part > part || so_far.text.chars().count() > seen;
            if over || stopped || is_more {
                let view = match row.answer.clone() {
                    Some(text) => TurnView { text, links: row.links.clone(), part: so_far.part, ended: over, row },
                    None => TurnView { text: so_far.text, links: so_far.links, part: so_far.part, ended: over, row },
                };
                return Ok(Some(view));
            }
            let grows = async {
                // Without a sender nothing grows any more; the end of the turn wakes whoever waits.
                let changed = match &mut growing {
                    Some(growing) => growing.changed().await.is_ok(),
                    None => false,
                };
                if !changed {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = &mut stop => stopped = true,
                _ = ended.changed() => {}
                () = grows => {}
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TurnId, Live>> {
        // Nothing under this lock can panic half-way through a change.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
