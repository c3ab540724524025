//! Works off turns: one at a time in a conversation, several conversations side by side.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Assistant, Live, SoFar, turn};
use crate::domain::notice::ChatKey;
use crate::domain::retry::Backoff;
use crate::domain::speech::Speech;
use crate::domain::text::clip_chars;
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
/// Attempts to say beneath an answer that it was stopped.
const TAKE_BACK_ATTEMPTS: u32 = 5;
/// What stays of an answer that was stopped, in characters: one message.
const TAKEN_BACK_CHARS_MAX: usize = 3000;
/// Waits while the ledger or the chat does not answer.
const WAIT: Backoff = Backoff { first: Duration::from_secs(1), factor: 2, longest: Duration::from_secs(60) };

impl Assistant {
    /// Answers until `stop`; what is being made then is made again by the next process.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tasks: JoinSet<()> = JoinSet::new();
        // Conversations that are worked on, by their tasks.
        let mut busy: HashMap<Id, i64> = HashMap::new();
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
                Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => match ended {
                    Ok((id, ())) => drop(busy.remove(&id)),
                    Err(error) => {
                        tracing::error!(%error, "an answer ended badly");
                        busy.remove(&error.id());
                    }
                },
            }
        }
        tasks.shutdown().await;
        // What was on its way to a chat arrives, and is written down: the next process goes on from there.
        self.sends.close();
        self.sends.wait().await;
        self.sends.reopen();
    }

    async fn look(self: &Arc<Self>, busy: &mut HashMap<Id, i64>, tasks: &mut JoinSet<()>) -> Result<(), LedgerError> {
        for ended in self.parts.chats.actions_ended(ENDED_MAX).await? {
            self.tell_outcome(ended).await?;
        }
        for turn in self.parts.chats.turns_open(OPEN_MAX).await? {
            // Chats that answer nothing do not keep the person at this machine waiting.
            let is_full = tasks.len() >= CONVERSATIONS_MAX && turn.turn.chat != ChatKey::local();
            if !is_full && !busy.values().any(|session| *session == turn.session) {
                let (assistant, session) = (Arc::clone(self), turn.session);
                let task = tasks.spawn(async move { assistant.work(turn).await });
                busy.insert(task.id(), session);
            }
        }
        Ok(())
    }

    /// Answers one turn and shows the answer.
    async fn work(&self, row: TurnRow) {
        let id = row.turn.id;
        let mut row = row;
        let mut failures = 0;
        loop {
            match self.answer(&row).await {
                Ok(()) => break,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(turn.id = %id, %error, failures, "an answer waits for the ledger");
                    self.parts.clock.sleep(WAIT.after(failures)).await;
                    // What was begun, proposed or kept before the ledger failed is not done twice.
                    match self.parts.chats.turn(id).await {
                        Ok(Some(now)) => row = now,
                        Ok(None) => break,
                        Err(error) => tracing::debug!(%error, "a turn is not read"),
                    }
                }
            }
        }
        self.lock().remove(&id);
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
    }

    async fn answer(&self, row: &TurnRow) -> Result<(), LedgerError> {
        if row.state != TurnState::Answered {
            let live = Live {
                cancel: CancellationToken::new(),
                so_far: Arc::new(watch::Sender::new(SoFar::default())),
                sending: Arc::default(),
            };
            // Before the state changes: whoever cancels from then on finds it.
            self.lock().insert(row.turn.id, live.clone());
            if !self.parts.chats.begin_turn(row.seq).await? {
                return Ok(());
            }
            let made = async {
                if row.attempts >= ATTEMPTS_MAX { Ok(turn::given_up(row)) } else { self.make(row, &live).await }
            };
            let made = tokio::select! {
                made = made => made?,
                () = live.cancel.cancelled() => return self.take_back(row, &live).await,
            };
            if !self.parts.chats.answer_turn(made.into_answer(row, self.parts.clock.now())).await? {
                return self.take_back(row, &live).await;
            }
        }
        match self.parts.chats.turn(row.turn.id).await? {
            Some(answered) => self.show(answered).await,
            None => Ok(()),
        }
    }

    /// What was shown of an answer that nobody wants stays, and says so.
    async fn take_back(&self, row: &TurnRow, live: &Live) -> Result<(), LedgerError> {
        drop(live.sending.lock().await);
        let shown = self.parts.chats.turn(row.turn.id).await?.and_then(|turn| turn.message_id);
        if let Some(message) = shown {
            let SoFar { text, links, .. } = live.so_far.borrow().clone();
            let text = clip_chars(&text, TAKEN_BACK_CHARS_MAX);
            let text = if text.is_empty() { "_Stopped._".to_owned() } else { format!("{text} …\n\n_Stopped here._") };
            let speech = Speech::parse(&text, &links);
            let first = self.parts.voice.parts(&row.turn.chat, &speech).into_iter().next().unwrap_or(speech);
            for attempt in 1..=TAKE_BACK_ATTEMPTS {
                match self.parts.voice.revise(&row.turn.chat, message, &first).await {
                    SendOutcome::Sent { .. } | SendOutcome::Refused { .. } => break,
                    SendOutcome::RetryAfter { wait } => self.parts.clock.sleep(wait).await,
                    SendOutcome::NotSent { .. } | SendOutcome::Unanswered { .. } => {
                        self.parts.clock.sleep(WAIT.after(attempt)).await;
                    }
                }
            }
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
            let shown = self.show_part(&row, part, message.take(), (at, all)).await;
            let now = self.parts.clock.now();
            self.parts.chats.turn_shown(row.seq, at + 1, shown.filter(|_| at == 0), at + 1 == all, now).await?;
        }
        if row.shown >= all {
            self.parts.chats.turn_shown(row.seq, all, None, true, self.parts.clock.now()).await?;
        }
        Ok(())
    }

    /// Says a part, and writes down that it was said before anything can come in between.
    async fn say_part(&self, row: &TurnRow, part: &Speech, (at, all): (u32, u32)) -> SendOutcome {
        let (voice, chats, clock) =
            (Arc::clone(&self.parts.voice), Arc::clone(&self.parts.chats), Arc::clone(&self.parts.clock));
        let (chat, part, seq) = (row.turn.chat.clone(), part.clone(), row.seq);
        let reply_to = row.turn.reply_to.filter(|_| at == 0);
        let sent = self.unbroken(async move {
            let outcome = voice.say(&chat, &part, reply_to).await;
            if let SendOutcome::Sent { message_id } = &outcome {
                let first = message_id.filter(|_| at == 0);
                if let Err(error) = chats.turn_shown(seq, at + 1, first, at + 1 == all, clock.now()).await {
                    tracing::debug!(%error, "a part that is shown is not written down yet");
                }
            }
            outcome
        });
        sent.await
    }

    /// Shows one part, however long the chat takes; gives the message's id.
    async fn show_part(
        &self,
        row: &TurnRow,
        part: &Speech,
        message: Option<i64>,
        (at, all): (u32, u32),
    ) -> Option<i64> {
        let (voice, chat) = (&self.parts.voice, &row.turn.chat);
        let mut message = message;
        let mut unanswered = 0;
        for failures in 1..=SHOW_ATTEMPTS_MAX {
            let outcome = match message {
                Some(message) => voice.revise(chat, message, part).await,
                None => self.say_part(row, part, (at, all)).await,
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
