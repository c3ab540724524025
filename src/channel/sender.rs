//! One chat's sender: the next thing to say, the right moment, the intent on disk, the send, the outcome on disk.
//!
//! It is a loop of small steps over what the ledger says now; between steps it remembers only the pace, an open window and
//! the pages of a digest, all of which a new process can do without.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::digest::{DIGEST_NOTICES_MAX, Digest, Window};
use super::pace::{Backoff, Gate, SetBack, moved};
use crate::domain::ids::NoticeId;
use crate::domain::notice::ChatKey;
use crate::ledger::{Ledger, LedgerError, SendSettled, SendSettlement, WaitingNotice};
use crate::ports::{Channel, Clock, Pacing, SendOutcome};

/// Sends of one notice that may stay unanswered before it is given up, each after the channel answered a question and a
/// longer pause. One repetition is not enough where connections break at random; one without end could fill a chat with
/// copies of one message.
const UNANSWERED_SENDS_MAX: u32 = 8;

/// Sends the notices of one chat, in order.
#[derive(Debug)]
pub(super) struct Sender {
    ledger: Arc<dyn Ledger>,
    channel: Arc<dyn Channel>,
    clock: Arc<dyn Clock>,
    gate: Arc<Gate>,
    chat: ChatKey,
    wake: watch::Receiver<u64>,
    stop: CancellationToken,
    pacing: Pacing,
    /// Nothing goes out before.
    not_before: Timestamp,
    backoff: Backoff,
    window: Option<Window>,
    digest: Option<Digest>,
    set_back: SetBack,
}

/// What to do after a step.
enum Next {
    /// Another step.
    Step,
    /// Another step at this time, or earlier when the ledger changed.
    Look(Timestamp),
    /// Another step at this time.
    Wait(Timestamp),
    /// Nothing is left to do or to remember.
    End,
}

impl Sender {
    /// A sender for `chat`; `wake` changes whenever notices may have been added.
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        channel: Arc<dyn Channel>,
        clock: Arc<dyn Clock>,
        gate: Arc<Gate>,
        chat: ChatKey,
        wake: watch::Receiver<u64>,
        stop: CancellationToken,
    ) -> Self {
        let pacing = channel.pacing(&chat);
        Self {
            ledger,
            channel,
            clock,
            gate,
            chat,
            wake,
            stop,
            pacing,
            not_before: Timestamp::MIN,
            backoff: Backoff::default(),
            window: None,
            digest: None,
            set_back: SetBack::default(),
        }
    }

    /// Sends until nothing waits for the chat and nothing has to be remembered, or until the stop.
    pub(super) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            // Marked as seen before the ledger is read: a change in between ends the next pause at once.
            self.wake.borrow_and_update();
            let next = self.step().await.unwrap_or_else(|error| {
                let pause = self.backoff.after_failure();
                tracing::warn!(chat = %self.chat, %error, pause_s = pause.as_secs(), "a notice waits for the ledger");
                Next::Wait(self.clock.now() + pause)
            });
            let (until, wakes) = match next {
                Next::Step => continue,
                Next::Look(until) => (until, true),
                Next::Wait(until) => (until, false),
                Next::End => return,
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.clock.sleep_until(until) => {}
                _ = self.wake.changed(), if wakes => {}
            }
        }
    }

    async fn step(&mut self) -> Result<Next, LedgerError> {
        let now = self.clock.now();
        if let Some(by) = self.set_back.look(now) {
            self.not_before = moved(self.not_before, by);
            if let Some(window) = &mut self.window {
                window.until = moved(window.until, by);
            }
        }
        if now < self.not_before {
            return Ok(Next::Wait(self.not_before));
        }
        if let Some(window) = self.window.filter(|window| now >= window.until) {
            self.window = None;
            self.fold(window, now).await?;
        }
        let collecting = self.window.filter(|window| self.pacing.digest_after.is_some_and(|few| window.alone >= few));
        if self.digest.is_some() || collecting.is_some() {
            let apart = self.ledger.notices_waiting_apart(&self.chat, self.pacing.batch).await?;
            if !apart.is_empty() {
                return self.send_alone(apart).await;
            }
        }
        if self.digest.is_some() {
            return self.send_page().await;
        }
        if let Some(window) = collecting {
            return Ok(Next::Look(window.until));
        }
        let waiting = self.ledger.notices_waiting(&self.chat, self.pacing.batch).await?;
        if waiting.is_empty() {
            return Ok(self.window.map_or(Next::End, |window| Next::Look(window.until)));
        }
        self.send_alone(waiting).await
    }

    /// The window has closed: what waits beyond the few that went alone becomes a digest.
    async fn fold(&mut self, window: Window, now: Timestamp) -> Result<(), LedgerError> {
        let Some(few) = self.pacing.digest_after else { return Ok(()) };
        let waiting = self.ledger.notices_waiting(&self.chat, DIGEST_NOTICES_MAX).await?;
        let events = waiting.iter().filter(|n| n.kind.folds() && n.created_at <= window.until).count();
        // A slow chat may not have come to `few` in its window; together they were too many all the same.
        if window.alone + events > few {
            self.digest = Digest::of(waiting, window.until, now, self.channel.as_ref());
        }
        Ok(())
    }

    /// Sends the oldest notices one by one: one for a chat, a batch for a terminal.
    async fn send_alone(&mut self, notices: Vec<WaitingNotice>) -> Result<Next, LedgerError> {
        if let Some(next) = self.not_yet(notices.iter().any(|n| n.unanswered > 0)).await {
            return Ok(next);
        }
        let begun = self.clock.now();
        let ids: Vec<NoticeId> = notices.iter().map(|n| n.id).collect();
        self.ledger.begin_send(&ids, begun).await?;
        let mut settlements = Vec::with_capacity(notices.len());
        let mut last = None;
        for notice in &notices {
            let reached = last.as_ref().is_none_or(|outcome| is_final(outcome) && !self.stop.is_cancelled());
            let outcome = if reached {
                let outcome = self.channel.send(&self.chat, &notice.message, notice.reply_to).await;
                let settled = self.settled(&outcome, notice.unanswered);
                if notice.kind.folds() && !matches!(settled, SendSettled::Waits { .. }) {
                    self.count_alone(begun);
                }
                last = Some(outcome);
                settled
            } else {
                SendSettled::Waits { error: "not reached in its batch".into(), unanswered: false, counts: false }
            };
            settlements.push(SendSettlement { id: notice.id, at: self.clock.now(), outcome });
        }
        self.settle(settlements).await;
        Ok(last.map_or(Next::Step, |outcome| self.paced(&outcome)))
    }

    /// Sends the next page of the digest, for all of its notices at once.
    async fn send_page(&mut self) -> Result<Next, LedgerError> {
        let Some(digest) = self.digest.take() else { return Ok(Next::Step) };
        let Some(page) = digest.pages.front() else {
            self.digest = self.next_digest(digest.cutoff).await?;
            return Ok(Next::Step);
        };
        let (title, lines, notices) = (digest.title_of(page), page.lines.clone(), page.notices.clone());
        // Put back at once, so that no early return forgets the pages.
        self.digest = Some(digest);
        if let Some(next) = self.not_yet(notices.iter().any(|(_, unanswered)| *unanswered > 0)).await {
            return Ok(next);
        }
        let ids: Vec<NoticeId> = notices.iter().map(|(id, _)| *id).collect();
        if let Err(error) = self.ledger.begin_send(&ids, self.clock.now()).await {
            // A notice of the page may be gone (pruned with its event): the pages are made anew from what is there.
            self.digest = None;
            return Err(error);
        }
        let outcome = self.channel.send_digest(&self.chat, &title, &lines).await;
        let at = self.clock.now();
        let settlements = notices
            .iter()
            .map(|(id, unanswered)| {
                let outcome = match self.settled(&outcome, *unanswered) {
                    SendSettled::Sent { message_id, .. } => {
                        SendSettled::Sent { message_id, digest: Some(title.clone()) }
                    }
                    other => other,
                };
                SendSettlement { id: *id, at, outcome }
            })
            .collect();
        self.settle(settlements).await;
        self.turn_page(&outcome);
        Ok(self.paced(&outcome))
    }

    /// After a send of the front page: takes from it what is settled for good.
    fn turn_page(&mut self, outcome: &SendOutcome) {
        let Some(digest) = &mut self.digest else { return };
        if is_final(outcome) {
            digest.pages.pop_front();
        } else if matches!(outcome, SendOutcome::Unanswered { .. })
            && let Some(page) = digest.pages.front_mut()
        {
            // Those that were unanswered too often are given up now; the others are repeated.
            page.notices.iter_mut().for_each(|(_, unanswered)| *unanswered += 1);
            let kept: Vec<bool> = page.notices.iter().map(|(_, times)| *times < UNANSWERED_SENDS_MAX).collect();
            let mut keep = kept.iter().copied();
            page.lines.retain(|_| keep.next().unwrap_or(false));
            page.notices.retain(|(_, times)| *times < UNANSWERED_SENDS_MAX);
            if page.notices.is_empty() {
                digest.pages.pop_front();
            }
        }
    }

    /// The next part of a backlog that one digest could not hold.
    async fn next_digest(&self, cutoff: Timestamp) -> Result<Option<Digest>, LedgerError> {
        let waiting = self.ledger.notices_waiting(&self.chat, DIGEST_NOTICES_MAX).await?;
        Ok(Digest::of(waiting, cutoff, self.clock.now(), self.channel.as_ref()))
    }

    /// Sees to it that an unanswered send is repeated only when the channel answers, and waits for the channel's turn.
    async fn not_yet(&mut self, unanswered: bool) -> Option<Next> {
        if unanswered {
            let answer = tokio::select! {
                () = self.stop.cancelled() => return Some(Next::End),
                answer = self.channel.probe() => answer,
            };
            if let Err(error) = answer {
                let pause = self.backoff.after_failure();
                tracing::debug!(chat = %self.chat, %error, "the channel does not answer yet");
                return Some(Next::Wait(self.clock.now() + pause));
            }
        }
        tokio::select! {
            () = self.stop.cancelled() => return Some(Next::End),
            () = self.gate.turn(self.clock.as_ref(), &self.chat, self.pacing) => {}
        }
        None
    }

    /// The outcome of a send as the ledger keeps it.
    fn settled(&self, outcome: &SendOutcome, unanswered_before: u32) -> SendSettled {
        match outcome.clone() {
            SendOutcome::Sent { message_id } => SendSettled::Sent { message_id, digest: None },
            SendOutcome::NotSent { error } => SendSettled::Waits { error, unanswered: false, counts: true },
            SendOutcome::RetryAfter { wait } => {
                let error = format!("the channel asks to wait {} s", wait.as_secs());
                SendSettled::Waits { error, unanswered: false, counts: false }
            }
            SendOutcome::Unanswered { error } if unanswered_before + 1 >= UNANSWERED_SENDS_MAX => {
                tracing::warn!(chat = %self.chat, %error, "a notice is given up: no send of it was ever answered");
                SendSettled::GivenUp { error }
            }
            SendOutcome::Unanswered { error } => SendSettled::Waits { error, unanswered: true, counts: true },
            SendOutcome::Refused { error } => {
                tracing::warn!(chat = %self.chat, %error, "the chat refuses notices");
                SendSettled::Failed { error }
            }
        }
    }

    /// Commits outcomes, however long the ledger takes. A stop may end that: the next process finds the sends begun and
    /// treats them as unanswered.
    async fn settle(&self, settlements: Vec<SendSettlement>) {
        let mut backoff = Backoff::default();
        while let Err(error) = self.ledger.settle_send(settlements.clone()).await {
            let pause = backoff.after_failure();
            tracing::warn!(chat = %self.chat, %error, "the outcome of a send waits for the ledger");
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.clock.sleep(pause) => {}
            }
        }
    }

    /// When the next send may leave.
    fn paced(&mut self, outcome: &SendOutcome) -> Next {
        let pause = match outcome {
            SendOutcome::Sent { .. } | SendOutcome::Refused { .. } => {
                self.backoff.reset();
                Duration::ZERO
            }
            SendOutcome::RetryAfter { wait } => {
                self.backoff.reset();
                tracing::info!(chat = %self.chat, wait_s = wait.as_secs(), "the channel asks to wait");
                self.gate.hold(&self.chat, self.clock.now() + *wait);
                *wait
            }
            SendOutcome::NotSent { error } | SendOutcome::Unanswered { error } => {
                let pause = self.backoff.after_failure();
                tracing::warn!(chat = %self.chat, %error, pause_s = pause.as_secs(), "a notice was not delivered yet");
                pause
            }
        };
        self.not_before = self.clock.now() + pause.max(self.pacing.chat_interval);
        Next::Step
    }

    fn count_alone(&mut self, at: Timestamp) {
        if self.pacing.digest_after.is_some() {
            let fresh = Window { until: at + self.pacing.digest_window, alone: 0 };
            self.window.get_or_insert(fresh).alone += 1;
        }
    }
}

/// Whether nothing is left to do for what was sent.
fn is_final(outcome: &SendOutcome) -> bool {
    match outcome {
        SendOutcome::Sent { .. } | SendOutcome::Refused { .. } => true,
        SendOutcome::NotSent { .. } | SendOutcome::RetryAfter { .. } | SendOutcome::Unanswered { .. } => false,
    }
}
