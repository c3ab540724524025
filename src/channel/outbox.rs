//! The outbox: sees to it that every notice in the ledger reaches its chat, or is known not to.
//!
//! It owns one task per chat that has notices waiting (`sender`) and starts them when the ledger says that something
//! changed; it never polls. Everything that matters is in the ledger, so a process that dies here loses nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::cards::Desk;
use super::operations::Operations;
use super::pace::{Backoff, Gate};
use super::sender::Sender;
use super::summaries::Editor;
use crate::domain::notice::ChatKey;
use crate::ledger::{Ledger, ModelLedger};
use crate::ports::{Channel, Clock};

/// Most chats that are served at the same time; more wait until one of these has nothing left.
const CHAT_TASKS_MAX: usize = 1024;

/// Sends what the ledger holds for people.
#[derive(Debug)]
pub struct Outbox {
    ledger: Arc<dyn Ledger>,
    channels: HashMap<&'static str, (Arc<dyn Channel>, Arc<Gate>)>,
    clock: Arc<dyn Clock>,
    /// Chats whose channel is not configured, told once each.
    homeless: HashSet<ChatKey>,
    /// What cards are made from, where there are workflows.
    operations: Option<Arc<dyn Operations>>,
    /// Where the questions of events go whose handler is told nowhere.
    questions: Option<ChatKey>,
    /// Where sentences of a model wait, where there is one.
    summaries: Option<Arc<dyn ModelLedger>>,
}

impl Outbox {
    /// An outbox over `ledger` that sends through `channels`, one of each name.
    pub fn new(ledger: Arc<dyn Ledger>, channels: Vec<Arc<dyn Channel>>, clock: Arc<dyn Clock>) -> Self {
        let channels = channels.into_iter().map(|channel| (channel.name(), (channel, Arc::new(Gate::new())))).collect();
        Self { ledger, channels, clock, homeless: HashSet::new(), operations: None, questions: None, summaries: None }
    }

    /// Shares the pace of the channel `name` with others who send there.
    pub fn with_gate(mut self, name: &str, gate: Arc<Gate>) -> Self {
        if let Some((_, own)) = self.channels.get_mut(name) {
            *own = gate;
        }
        self
    }

    /// Sends the cards of approvals too.
    pub fn with_cards(self, operations: Arc<dyn Operations>) -> Self {
        Self { operations: Some(operations), ..self }
    }

    /// Puts the questions of events there whose handler has `notify: none`.
    pub fn with_questions_to(self, chat: ChatKey) -> Self {
        Self { questions: Some(chat), ..self }
    }

    /// Puts the sentences of a model beneath notices too.
    pub fn with_summaries(self, summaries: Arc<dyn ModelLedger>) -> Self {
        Self { summaries: Some(summaries), ..self }
    }

    /// Sends until `shutdown`; then finishes the sends in flight and returns. What waits stays in the ledger.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let (channels, clock) = (self.channels.clone(), Arc::clone(&self.clock));
        let questions = self.questions.take();
        let desk = self
            .operations
            .take()
            .map(|operations| Desk::new(operations, channels.clone(), Arc::clone(&clock)).with_fallback(questions));
        let editor =
            self.summaries.take().map(|summaries| Editor::new(summaries, Arc::clone(&self.ledger), channels, clock));
        let cards = async {
            if let Some(desk) = desk {
                desk.run(shutdown.clone()).await;
            }
        };
        let edits = async {
            if let Some(editor) = editor {
                editor.run(shutdown.clone()).await;
            }
        };
        tokio::join!(cards, edits, self.run_notices(shutdown.clone()));
    }

    async fn run_notices(mut self, shutdown: CancellationToken) {
        if !self.recover(&shutdown).await {
            return;
        }
        let ledger = Arc::clone(&self.ledger);
        let wake = watch::Sender::new(0_u64);
        let mut tasks = JoinSet::new();
        let mut served: HashMap<Id, ChatKey> = HashMap::new();
        let mut backoff = Backoff::default();
        loop {
            // Registered before the ledger is read, so that a commit in between is not missed.
            let changed = ledger.changes().notices.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match ledger.chats_waiting().await {
                Ok(chats) => {
                    backoff.reset();
                    self.serve(chats, &mut served, &mut tasks, &wake, &shutdown);
                }
                Err(error) => {
                    let pause = backoff.after_failure();
                    tracing::warn!(%error, pause_s = pause.as_secs(), "the outbox cannot read the ledger");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = self.clock.sleep(pause) => continue,
                    }
                }
            }
            wake.send_modify(|changes| *changes = changes.wrapping_add(1));
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = changed => {}
                Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                    let id = match &ended {
                        Ok((id, ())) => *id,
                        Err(error) => {
                            tracing::error!(%error, "the sender of a chat ended badly and is started again");
                            error.id()
                        }
                    };
                    served.remove(&id);
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Starts a sender for every chat that has none, up to the bound.
    fn serve(
        &mut self,
        chats: Vec<ChatKey>,
        served: &mut HashMap<Id, ChatKey>,
        tasks: &mut JoinSet<()>,
        wake: &watch::Sender<u64>,
        shutdown: &CancellationToken,
    ) {
        let busy: HashSet<&ChatKey> = served.values().collect();
        let idle: Vec<ChatKey> = chats.into_iter().filter(|chat| !busy.contains(chat)).collect();
        for chat in idle {
            let Some((channel, gate)) = self.channels.get(chat.channel()) else {
                if self.homeless.insert(chat.clone()) {
                    tracing::warn!(%chat, "notices wait for a chat whose channel is not configured");
                }
                continue;
            };
            if served.len() >= CHAT_TASKS_MAX {
                return;
            }
            let sender = Sender::new(
                Arc::clone(&self.ledger),
                Arc::clone(channel),
                Arc::clone(&self.clock),
                Arc::clone(gate),
                chat.clone(),
                wake.subscribe(),
                shutdown.clone(),
            );
            served.insert(tasks.spawn(sender.run()).id(), chat);
        }
    }

    /// Puts back what a dead process was sending; `false` when shutdown came first.
    async fn recover(&self, shutdown: &CancellationToken) -> bool {
        let mut backoff = Backoff::default();
        loop {
            match self.ledger.recover_sends().await {
                Ok(0) => return true,
                Ok(count) => {
                    tracing::info!(count, "notices that an earlier process was sending are checked and sent once more");
                    return true;
                }
                Err(error) => {
                    let pause = backoff.after_failure();
                    tracing::warn!(%error, pause_s = pause.as_secs(), "the outbox cannot read the ledger");
                    tokio::select! {
                        () = shutdown.cancelled() => return false,
                        () = self.clock.sleep(pause) => {}
                    }
                }
            }
        }
    }
}
