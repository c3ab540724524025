//! The desk that keeps cards true: sends those that are due, changes those that show something old, sends anew what a
//! reminder or a long outage asks for.
//!
//! What is due is in the ledger; a process that dies between a send and its commit sends the card once more, and both tell the
//! truth when they are pressed. Buttons get fresh nonces each time, because only their hashes are kept. Cards go out beside the
//! notices, at the same pace, and never fold into a digest.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::text::{self, Hint, Purpose, buttons, purposes};
use crate::channel::operations::Operations;
use crate::channel::pace::{Backoff, Gate};
use crate::domain::approval::ApprovalState;
use crate::domain::card::Card;
use crate::domain::notice::ChatKey;
use crate::ledger::LedgerError;
use crate::ledger::runs::{ApprovalRow, CardDue, CardPlace};
use crate::ports::{Channel, Clock, SendOutcome};

/// Cards that are read at once.
const CARDS_MAX: usize = 500;
/// Sends of one card that may stay unanswered before it is taken as sent.
const UNANSWERED_MAX: u32 = 2;

/// Sends and changes cards.
#[derive(Debug)]
pub(crate) struct Desk {
    operations: Arc<dyn Operations>,
    channels: HashMap<&'static str, (Arc<dyn Channel>, Arc<Gate>)>,
    clock: Arc<dyn Clock>,
    /// Where the questions of events go whose handler is told nowhere.
    fallback: Option<ChatKey>,
}

/// What is remembered of a chat between its turns.
#[derive(Debug, Clone, Default)]
struct Pace {
    backoff: Backoff,
    /// Unanswered sends of the card that is first in line.
    unanswered: u32,
}

impl Desk {
    pub(crate) fn new(
        operations: Arc<dyn Operations>,
        channels: HashMap<&'static str, (Arc<dyn Channel>, Arc<Gate>)>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { operations, channels, clock, fallback: None }
    }

    /// Asks in this chat what events of handlers with `notify: none` ask.
    pub(crate) fn with_fallback(self, fallback: Option<ChatKey>) -> Self {
        Self { fallback, ..self }
    }

    /// Where a card goes. Silence about a handler's events is none about what a person must decide: a question that is put
    /// to nobody would wait for ever. What was asked over the local API is decided there, and has no event.
    fn home(&self, approval: &ApprovalRow) -> ChatKey {
        let of_event = approval.event_id.is_some() || approval.event_title.is_some();
        let fallback = || self.fallback.clone().filter(|_| of_event);
        approval.chat.clone().or_else(fallback).unwrap_or_else(|| ChatKey::from_stored(String::new()))
    }

    /// Works until `shutdown`; what is being sent then is finished.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let desk = Arc::new(self);
        let mut busy: JoinSet<(ChatKey, Pace)> = JoinSet::new();
        let mut paces: HashMap<ChatKey, Option<Pace>> = HashMap::new();
        let runs = Arc::clone(desk.operations.runs());
        let mut backoff = Backoff::default();
        loop {
            // Registered before the ledger is read, so that a commit in between is not missed.
            let changed = runs.changes().approvals.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match runs.cards_due(CARDS_MAX).await {
                Ok(due) => {
                    backoff.reset();
                    desk.serve(due, &mut paces, &mut busy, &shutdown);
                }
                Err(error) => {
                    let pause = backoff.after_failure();
                    tracing::warn!(%error, pause_s = pause.as_secs(), "cards wait for the ledger");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = desk.clock.sleep(pause) => continue,
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = changed => {}
                Some(ended) = busy.join_next(), if !busy.is_empty() => match ended {
                    Ok((chat, pace)) => {
                        paces.insert(chat, Some(pace));
                    }
                    Err(error) => {
                        tracing::error!(%error, "the sender of a chat's cards ended badly and is started again");
                        paces.retain(|_, pace| pace.is_some());
                    }
                },
            }
        }
        while busy.join_next().await.is_some() {}
    }

    /// Starts a sender for each chat that has cards due and none.
    fn serve(
        self: &Arc<Self>,
        due: Vec<CardDue>,
        paces: &mut HashMap<ChatKey, Option<Pace>>,
        busy: &mut JoinSet<(ChatKey, Pace)>,
        shutdown: &CancellationToken,
    ) {
        let mut by_chat: HashMap<ChatKey, Vec<CardDue>> = HashMap::new();
        for card in due {
            by_chat.entry(self.home(&card.approval)).or_default().push(card);
        }
        for (chat, cards) in by_chat {
            let pace = match paces.insert(chat.clone(), None) {
                // Its sender is at work and the next look finds what is due then.
                Some(None) => continue,
                Some(Some(pace)) => pace,
                None => Pace::default(),
            };
            let (desk, shutdown) = (Arc::clone(self), shutdown.clone());
            busy.spawn(async move {
                let mut pace = pace;
                let work = desk.chat(&chat, cards, &mut pace, &shutdown);
                if let Err(error) = work.await {
                    let pause = pace.backoff.after_failure();
                    tracing::warn!(%chat, %error, pause_s = pause.as_secs(), "a card waits for the ledger");
                    desk.pause(pause, &shutdown).await;
                }
                (chat, pace)
            });
        }
    }

    /// Sends and changes the cards of one chat, in order, until one fails.
    async fn chat(
        &self,
        chat: &ChatKey,
        cards: Vec<CardDue>,
        pace: &mut Pace,
        shutdown: &CancellationToken,
    ) -> Result<(), LedgerError> {
        let Some((channel, gate)) = self.channels.get(chat.channel()) else {
            // Nobody is there to read these; they can be decided by the command line all the same.
            for card in cards {
                let (id, now) = (card.approval.id, self.clock.now());
                self.operations.runs().card_shown(id, card.version, None, now).await?;
            }
            return Ok(());
        };
        for card in cards {
            if shutdown.is_cancelled() {
                return Ok(());
            }
            if !self.show(channel.as_ref(), gate, chat, &card, pace, shutdown).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes one card true. `false`: it did not work, and the chat has waited.
    async fn show(
        &self,
        channel: &dyn Channel,
        gate: &Gate,
        chat: &ChatKey,
        due: &CardDue,
        pace: &mut Pace,
        shutdown: &CancellationToken,
    ) -> Result<bool, LedgerError> {
        let shown: Vec<i64> =
            due.places.iter().filter(|place| place.chat == *chat).filter_map(|place| place.message_id).collect();
        let is_pending = due.approval.state == ApprovalState::Pending;
        let fresh = due.places.is_empty() || (due.anew && is_pending);
        if !fresh {
            return self.change(channel, gate, chat, due, &shown, pace, shutdown).await;
        }
        if due.places.is_empty() && !is_pending && due.approval.decisions.is_empty() {
            // Nobody was asked and nobody needs to hear that it is over.
            self.operations.runs().card_shown(due.approval.id, due.version, None, self.clock.now()).await?;
            return Ok(true);
        }
        if pace.unanswered > 0
            && let Err(error) = channel.probe().await
        {
            tracing::debug!(%chat, %error, "the channel does not answer yet");
            let pause = pace.backoff.after_failure();
            self.pause(pause, shutdown).await;
            return Ok(false);
        }
        let hint = hint_of(channel);
        let mut card = text::card(&due.approval, hint);
        self.press(&due.approval, &mut card).await?;
        if !self.turn(channel, gate, chat, shutdown).await {
            return Ok(false);
        }
        if !channel.card_fits(&card) {
            let document = text::document(&due.approval, hint);
            let outcome = channel.send_document(chat, &document).await;
            if !matches!(outcome, SendOutcome::Sent { .. }) {
                return self.failed(chat, due, outcome, pace, shutdown).await;
            }
            let buttons = card.buttons;
            card = Card { buttons, ..text::card_beside_file(&due.approval, hint) };
            // Waited for even at a stop: the file would be sent again with the card.
            gate.turn(self.clock.as_ref(), chat, channel.pacing(chat)).await;
        }
        match channel.send_card(chat, &card).await {
            SendOutcome::Sent { message_id } => {
                (pace.backoff, pace.unanswered) = (Backoff::default(), 0);
                let place = CardPlace { chat: chat.clone(), message_id };
                let (id, now) = (due.approval.id, self.clock.now());
                self.operations.runs().card_shown(id, due.version, Some(place), now).await?;
                // The ones before it say so already.
                if let Some(old) = shown.first()
                    && self.turn(channel, gate, chat, shutdown).await
                {
                    // It may be gone or too old to change; its buttons tell the truth all the same.
                    let _old = channel.edit_card(chat, *old, &text::moved(&due.approval)).await;
                }
                Ok(true)
            }
            outcome => self.failed(chat, due, outcome, pace, shutdown).await,
        }
    }

    /// Makes the messages of a card that was sent show it as it is now.
    #[allow(clippy::too_many_arguments, reason = "what one chat's sender knows")]
    async fn change(
        &self,
        channel: &dyn Channel,
        gate: &Gate,
        chat: &ChatKey,
        due: &CardDue,
        shown: &[i64],
        pace: &mut Pace,
        shutdown: &CancellationToken,
    ) -> Result<bool, LedgerError> {
        let hint = hint_of(channel);
        if shown.is_empty() && hint == Hint::Terminal {
            // What is printed cannot be changed; how it goes on is printed beneath.
            let _printed = channel.send_card(chat, &text::brief(&due.approval)).await;
        }
        let mut card = text::card(&due.approval, hint);
        if due.approval.state == ApprovalState::Pending {
            self.press(&due.approval, &mut card).await?;
        }
        if !channel.card_fits(&card) {
            let buttons = card.buttons;
            card = Card { buttons, ..text::card_beside_file(&due.approval, hint) };
        }
        for message_id in shown {
            if !self.turn(channel, gate, chat, shutdown).await {
                return Ok(false);
            }
            match channel.edit_card(chat, *message_id, &card).await {
                SendOutcome::Sent { .. } => {}
                SendOutcome::Refused { error } => tracing::info!(%chat, %error, "a card can no longer be changed"),
                // Changing it twice is the same as changing it once.
                SendOutcome::Unanswered { error } => {
                    return self.failed(chat, due, SendOutcome::NotSent { error }, pace, shutdown).await;
                }
                outcome @ (SendOutcome::NotSent { .. } | SendOutcome::RetryAfter { .. }) => {
                    return self.failed(chat, due, outcome, pace, shutdown).await;
                }
            }
        }
        pace.backoff.reset();
        self.operations.runs().card_shown(due.approval.id, due.version, None, self.clock.now()).await?;
        Ok(true)
    }

    /// Puts buttons with fresh nonces on a card of a question that is open.
    async fn press(&self, approval: &ApprovalRow, card: &mut Card) -> Result<(), LedgerError> {
        if approval.state != ApprovalState::Pending {
            return Ok(());
        }
        let words: Vec<&str> = purposes(approval.kind).iter().flatten().map(|Purpose { word, .. }| *word).collect();
        let nonces = self.operations.nonces(approval.id, &words).await?;
        card.buttons = buttons(approval.kind, nonces);
        Ok(())
    }

    /// After a send that did not work: waits, or gives the card up as far as this chat goes.
    async fn failed(
        &self,
        chat: &ChatKey,
        due: &CardDue,
        outcome: SendOutcome,
        pace: &mut Pace,
        shutdown: &CancellationToken,
    ) -> Result<bool, LedgerError> {
        let (id, now) = (due.approval.id, self.clock.now());
        let wait = match outcome {
            SendOutcome::RetryAfter { wait } => wait,
            SendOutcome::Refused { error } => {
                tracing::warn!(approval.id = %id, %chat, %error, "the chat refuses a card: decide by 'agent approvals'");
                self.operations.runs().card_shown(id, due.version, None, now).await?;
                return Ok(true);
            }
            SendOutcome::Unanswered { error } => {
                pace.unanswered += 1;
                if pace.unanswered >= UNANSWERED_MAX {
                    tracing::warn!(approval.id = %id, %chat, %error, "a card may have been sent twice");
                    pace.unanswered = 0;
                    let place = CardPlace { chat: chat.clone(), message_id: None };
                    self.operations.runs().card_shown(id, due.version, Some(place), now).await?;
                    return Ok(true);
                }
                pace.backoff.after_failure()
            }
            SendOutcome::NotSent { error } => {
                let pause = pace.backoff.after_failure();
                tracing::warn!(approval.id = %id, %chat, %error, pause_s = pause.as_secs(), "a card was not delivered yet");
                pause
            }
            SendOutcome::Sent { .. } => return Ok(true),
        };
        self.pause(wait, shutdown).await;
        Ok(false)
    }

    /// Waits for the chat's turn. `false`: the agent stops first, and what is due is due for the next one.
    async fn turn(&self, channel: &dyn Channel, gate: &Gate, chat: &ChatKey, shutdown: &CancellationToken) -> bool {
        tokio::select! {
            () = shutdown.cancelled() => false,
            () = gate.turn(self.clock.as_ref(), chat, channel.pacing(chat)) => true,
        }
    }

    async fn pause(&self, wait: std::time::Duration, shutdown: &CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.clock.sleep(wait) => {}
        }
    }
}

fn hint_of(channel: &dyn Channel) -> Hint {
    if channel.name() == "terminal" { Hint::Terminal } else { Hint::Chat }
}
