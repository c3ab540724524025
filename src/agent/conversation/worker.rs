//! Works off turns: one at a time in a conversation, several conversations side by side.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Assistant, Live, turn};
use crate::domain::retry::Backoff;
use crate::domain::speech::Speech;
use crate::ledger::LedgerError;
use crate::ledger::chat::{TurnRow, TurnState};
use crate::ports::SendOutcome;

/// Conversations that are answered side by side.
const CONVERSATIONS_MAX: usize = 16;
/// Open turns that are looked at.
const OPEN_MAX: usize = 256;
/// Ended proposals that are looked at.
const ENDED_MAX: usize = 32;
/// Times that an answer is begun before the turn is given up: a turn that ends the process must not do so for ever.
const ATTEMPTS_MAX: u32 = 3;
/// Sends of one part that may stay unanswered before it counts as sent.
const UNANSWERED_MAX: u32 = 3;
/// Attempts to show one part before it is given up.
const SHOW_ATTEMPTS_MAX: u32 = 500;
/// Waits while the ledger or the chat does not answer.
const WAIT: Backoff = Backoff { first: Duration::from_secs(1), factor: 2, longest: Duration::from_secs(60) };

impl Assistant {
    /// Answers until `stop`; what is being made then is made again by the next process.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tasks: JoinSet<i64> = JoinSet::new();
        let mut busy: HashSet<i64> = HashSet::new();
        let mut failures = 0;
        while !stop.is_cancelled() {
            // Registered before the ledger is read, so that a commit in between is not missed.
            let changed = self.parts.chats.changes().chats.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.look(&mut busy, &mut tasks).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "conversations wait for the ledger");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = self.parts.clock.sleep(WAIT.after(failures)) => continue,
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = changed => {}
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => match ended {
                    Ok(session) => drop(busy.remove(&session)),
                    Err(error) => {
                        tracing::error!(%error, "an answer ended badly");
                        // Which one is not known; a session that is still at work finds its turn taken.
                        busy.clear();
                    }
                },
            }
        }
        tasks.shutdown().await;
    }

    async fn look(self: &Arc<Self>, busy: &mut HashSet<i64>, tasks: &mut JoinSet<i64>) -> Result<(), LedgerError> {
        for ended in self.parts.chats.actions_ended(ENDED_MAX).await? {
            self.tell_outcome(ended).await?;
        }
        for turn in self.parts.chats.turns_open(OPEN_MAX).await? {
            if tasks.len() >= CONVERSATIONS_MAX {
                break;
            }
            if busy.insert(turn.session) {
                let assistant = Arc::clone(self);
                tasks.spawn(async move {
                    let session = turn.session;
                    assistant.work(turn).await;
                    session
                });
            }
        }
        Ok(())
    }

    /// Answers one turn and shows the answer.
    async fn work(&self, row: TurnRow) {
        let id = row.turn.id;
        let mut failures = 0;
        loop {
            match self.answer(&row).await {
                Ok(()) => break,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(turn.id = %id, %error, failures, "an answer waits for the ledger");
                    self.parts.clock.sleep(WAIT.after(failures)).await;
                }
            }
        }
        self.lock().remove(&id);
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
    }

    async fn answer(&self, row: &TurnRow) -> Result<(), LedgerError> {
        if row.state != TurnState::Answered {
            if !self.parts.chats.begin_turn(row.seq).await? {
                return Ok(());
            }
            let live = Live { cancel: CancellationToken::new(), text: Arc::new(watch::Sender::new(String::new())) };
            self.lock().insert(row.turn.id, live.clone());
            let made = async {
                if row.attempts >= ATTEMPTS_MAX { Ok(turn::given_up(row)) } else { self.make(row, &live).await }
            };
            let made = tokio::select! {
                made = made => made?,
                () = live.cancel.cancelled() => return self.take_back(row).await,
            };
            if !self.parts.chats.answer_turn(made.into_answer(row, self.parts.clock.now())).await? {
                return self.take_back(row).await;
            }
        }
        match self.parts.chats.turn(row.turn.id).await? {
            Some(answered) => self.show(answered).await,
            None => Ok(()),
        }
    }

    /// What was shown of an answer that nobody wants says so.
    async fn take_back(&self, row: &TurnRow) -> Result<(), LedgerError> {
        let shown = self.parts.chats.turn(row.turn.id).await?.and_then(|turn| turn.message_id);
        if let Some(message) = shown {
            let _told = self.parts.voice.revise(&row.turn.chat, message, &Speech::parse("_Cancelled._", &[])).await;
        }
        Ok(())
    }

    /// Shows what is not shown yet of a kept answer.
    async fn show(&self, row: TurnRow) -> Result<(), LedgerError> {
        let chat = &row.turn.chat;
        let speech = Speech::parse(row.answer.as_deref().unwrap_or_default(), &row.links);
        let parts = self.parts.voice.parts(chat, &speech);
        let mut message = row.message_id.filter(|_| row.shown == 0);
        let all = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        for (at, part) in (0..).zip(&parts).skip(row.shown as usize) {
            let shown = self.show_part(&row, part, message.take(), at == 0).await;
            let now = self.parts.clock.now();
            self.parts.chats.turn_shown(row.seq, at + 1, shown.filter(|_| at == 0), at + 1 == all, now).await?;
        }
        if row.shown >= all {
            self.parts.chats.turn_shown(row.seq, all, None, true, self.parts.clock.now()).await?;
        }
        Ok(())
    }

    /// Shows one part, however long the chat takes; gives the message's id.
    async fn show_part(&self, row: &TurnRow, part: &Speech, message: Option<i64>, first: bool) -> Option<i64> {
        let (voice, chat) = (&self.parts.voice, &row.turn.chat);
        let mut message = message;
        let mut unanswered = 0;
        for failures in 1..=SHOW_ATTEMPTS_MAX {
            let outcome = match message {
                Some(message) => voice.revise(chat, message, part).await,
                None => voice.say(chat, part, row.turn.reply_to.filter(|_| first)).await,
            };
            let wait = match outcome {
                SendOutcome::Sent { message_id } => return message_id.or(message),
                // The message is gone: the answer is not.
                SendOutcome::Refused { .. } if message.take().is_some() => continue,
                SendOutcome::Refused { error } => {
                    tracing::warn!(%chat, %error, "the chat refuses an answer");
                    return None;
                }
                SendOutcome::RetryAfter { wait } => wait,
                SendOutcome::Unanswered { error } => {
                    unanswered += 1;
                    if message.is_none() && unanswered >= UNANSWERED_MAX {
                        tracing::warn!(%chat, %error, "an answer may not have arrived");
                        return None;
                    }
                    WAIT.after(failures)
                }
                SendOutcome::NotSent { error } => {
                    tracing::debug!(%chat, %error, "an answer was not delivered yet");
                    WAIT.after(failures)
                }
            };
            self.parts.clock.sleep(wait).await;
        }
        tracing::warn!(%chat, "an answer was not delivered");
        None
    }
}
