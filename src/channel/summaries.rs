//! Puts the sentences of a model beneath notices that were sent: the last step of a notice, and the only one that may be left out.
//!
//! What waits is in the ledger. A change that is made twice shows the same, so a process that dies in between repeats it. The
//! changes of a chat share its pace with its notices.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pace::{Backoff, Gate};
use crate::domain::ids::NoticeId;
use crate::domain::notice::ChatKey;
use crate::ledger::models::{EditSettled, WaitingEdit};
use crate::ledger::{Ledger, LedgerError, ModelLedger};
use crate::ports::{Channel, Clock, DigestLine, SendOutcome, Sent, Summarized};

/// Changes that are read at once.
const EDITS_MAX: usize = 100;
/// How long a change lets notices go first, and how often it looks whether any is left.
const YIELD_MAX: Duration = Duration::from_secs(60);
const YIELD_LOOK: Duration = Duration::from_secs(1);
/// Failures after which the template stands.
const ATTEMPTS_MAX: u32 = 8;

/// Changes messages.
#[derive(Debug)]
pub(super) struct Editor {
    ledger: Arc<dyn ModelLedger>,
    notices: Arc<dyn Ledger>,
    channels: HashMap<&'static str, (Arc<dyn Channel>, Arc<Gate>)>,
    clock: Arc<dyn Clock>,
}

impl Editor {
    pub(super) fn new(
        ledger: Arc<dyn ModelLedger>,
        notices: Arc<dyn Ledger>,
        channels: HashMap<&'static str, (Arc<dyn Channel>, Arc<Gate>)>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { ledger, notices, channels, clock }
    }

    /// Works until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let editor = Arc::new(self);
        let mut tasks: JoinSet<ChatKey> = JoinSet::new();
        let mut busy: HashSet<ChatKey> = HashSet::new();
        let mut backoff = Backoff::default();
        loop {
            // Registered before the ledger is read, so that a commit in between is not missed.
            let changed = editor.ledger.changes().edits.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match editor.ledger.edits_waiting(EDITS_MAX).await {
                Ok(edits) => {
                    backoff.reset();
                    editor.serve(edits, &mut busy, &mut tasks, &shutdown);
                }
                Err(error) => {
                    let pause = backoff.after_failure();
                    tracing::warn!(%error, pause_s = pause.as_secs(), "summaries wait for the ledger");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = editor.clock.sleep(pause) => continue,
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = changed => {}
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => match ended {
                    Ok(chat) => drop(busy.remove(&chat)),
                    Err(error) => {
                        tracing::error!(%error, "the changes of a chat's messages ended badly and are started again");
                        busy.clear();
                    }
                },
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Starts a task for each chat that has changes waiting and none.
    fn serve(
        self: &Arc<Self>,
        edits: Vec<WaitingEdit>,
        busy: &mut HashSet<ChatKey>,
        tasks: &mut JoinSet<ChatKey>,
        shutdown: &CancellationToken,
    ) {
        let mut by_chat: HashMap<ChatKey, Vec<WaitingEdit>> = HashMap::new();
        for edit in edits {
            by_chat.entry(edit.chat.clone()).or_default().push(edit);
        }
        for (chat, edits) in by_chat {
            if !busy.insert(chat.clone()) {
                continue;
            }
            let (editor, shutdown) = (Arc::clone(self), shutdown.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = editor.chat(&chat, edits) => {}
                }
                chat
            });
        }
    }

    /// Makes the changes of one chat, in order.
    async fn chat(&self, chat: &ChatKey, edits: Vec<WaitingEdit>) {
        let mut backoff = Backoff::default();
        for edit in edits {
            let outcome = self.change(chat, &edit).await;
            let notices: Vec<NoticeId> = edit.notices.iter().map(|(id, _)| *id).collect();
            while let Err(error) = self.settle(notices.clone(), outcome.clone()).await {
                let pause = backoff.after_failure();
                tracing::warn!(%chat, %error, pause_s = pause.as_secs(), "a summary waits for the ledger");
                self.clock.sleep(pause).await;
            }
            backoff.reset();
        }
    }

    /// Returns once no notice waits for the chat: what is new goes before what is said better. Not for ever, so that a chat
    /// that is never quiet has its summaries too.
    async fn after_notices(&self, chat: &ChatKey) {
        let latest = self.clock.now() + YIELD_MAX;
        while self.clock.now() < latest
            && self.notices.notices_waiting(chat, 1).await.is_ok_and(|waiting| !waiting.is_empty())
        {
            self.clock.sleep(YIELD_LOOK).await;
        }
    }

    async fn settle(&self, notices: Vec<NoticeId>, outcome: EditSettled) -> Result<(), LedgerError> {
        self.ledger.settle_edit(notices, outcome, self.clock.now()).await
    }

    /// One change, until it is made or will never be.
    async fn change(&self, chat: &ChatKey, edit: &WaitingEdit) -> EditSettled {
        let dropped = |reason: &str| EditSettled::Dropped { reason: reason.to_owned() };
        let Some((channel, gate)) = self.channels.get(chat.channel()) else {
            return dropped("its channel is not configured");
        };
        let lines: Vec<DigestLine> = edit
            .notices
            .iter()
            .map(|(_, message)| DigestLine {
                title: message.title.clone(),
                url: message.url.clone(),
                severity: message.severity,
            })
            .collect();
        let sent = match (&edit.digest, edit.notices.first()) {
            (_, None) => return dropped("its notices are gone"),
            (Some(title), _) => Sent::Digest { title, lines: &lines },
            (None, Some((_, message))) => Sent::Notice(message),
        };
        let summarized = Summarized { text: &edit.text, sent };
        let mut backoff = Backoff::default();
        for _ in 0..ATTEMPTS_MAX {
            self.after_notices(chat).await;
            gate.turn(self.clock.as_ref(), chat, channel.pacing(chat)).await;
            let pause = match channel.add_summary(chat, edit.message_id, &summarized).await {
                SendOutcome::Sent { .. } => return EditSettled::Shown,
                SendOutcome::Refused { error } => return EditSettled::Dropped { reason: error },
                SendOutcome::RetryAfter { wait } => {
                    gate.hold(chat, self.clock.now() + wait);
                    wait
                }
                SendOutcome::NotSent { error } | SendOutcome::Unanswered { error } => {
                    let pause = backoff.after_failure();
                    tracing::debug!(%chat, %error, pause_s = pause.as_secs(), "a summary was not shown yet");
                    pause
                }
            };
            self.clock.sleep(pause).await;
        }
        dropped("the channel does not take it")
    }
}
