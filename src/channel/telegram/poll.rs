//! Fetching what people write: updates are in the ledger before Telegram hears that we have them, and answers are notices.
//!
//! One loop does both: fetch, keep, handle, fetch. A crash anywhere fetches or handles again what was not finished; the
//! ledger knows what was.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use teloxide::payloads::{GetMe, GetUpdates, GetUpdatesSetters as _, SetMyCommands};
use teloxide::types::{AllowedUpdate, BotCommand};
use tokio_util::sync::CancellationToken;

use super::TelegramChannel;
use super::api::{CALL_TIMEOUT, Reply};
use super::inbound::{Heard, Me, Said, Tap, read};
use crate::channel::commands::{COMMANDS, Commands};
use crate::channel::conversation::{Conversation, Words, stopped};
use crate::channel::operations::Person;
use crate::channel::pace::Backoff;
use crate::domain::ids::NoticeId;
use crate::domain::notice::{ChatKey, Message, NoticeKind};
use crate::ledger::{InboundItem, Ledger, LedgerError, NewNotice};
use crate::ports::{Channel as _, Clock, Ids};

/// How long the server may hold a poll open.
const POLL_SECONDS: u32 = 15;
/// How long we wait for it.
const POLL_TIMEOUT: Duration = Duration::from_secs(25);
/// Updates in one poll; Telegram's own limit.
const UPDATES_MAX: u8 = 100;
/// Kept items that are read at once.
const ITEMS_MAX: usize = 50;
/// Largest update that is kept whole.
const UPDATE_BYTES_MAX: usize = 256 * 1024;
/// Telegram forgets what nobody fetched in this time, taps among it: cards are sent anew after a longer silence.
const KEPT_BY_TELEGRAM: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest pause that a server can make us keep.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);
/// A stranger gets one refusal in this time.
const REFUSAL_EVERY: Duration = Duration::from_secs(60 * 60);

/// Fetches and answers what people write to the bot.
#[derive(Debug)]
pub struct Poller {
    channel: Arc<TelegramChannel>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    commands: Commands,
    conversation: Option<Arc<dyn Conversation>>,
    allowed_users: HashSet<u64>,
}

/// What a fetch brought.
enum Fetched {
    /// Updates, perhaps none.
    Items(Vec<InboundItem>),
    /// Nothing; try again after this long.
    Failed(Duration),
}

impl Poller {
    /// A poller for `channel`'s bot that answers `allowed_users` through `commands`.
    pub fn new(
        channel: Arc<TelegramChannel>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        commands: Commands,
        allowed_users: impl IntoIterator<Item = u64>,
    ) -> Self {
        let allowed_users = allowed_users.into_iter().collect();
        Self { channel, ledger, clock, ids, commands, conversation: None, allowed_users }
    }

    /// What is no command is answered by `conversation`.
    pub fn with_conversation(self, conversation: Option<Arc<dyn Conversation>>) -> Self {
        Self { conversation, ..self }
    }

    /// Fetches and answers until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        // Dropping it anywhere is safe: what was fetched and not kept is fetched again, what was kept and not done is in the
        // ledger.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        let me = self.introduce().await;
        let mut backoff = Backoff::default();
        // Without an offset the server gives what nobody confirmed, and the ledger knows what it has: ids start anywhere
        // after a quiet week, so an offset from the ledger could skip over new ones.
        let mut offset: Option<i64> = None;
        let mut silence = Silence::default();
        loop {
            let pause = match self.turn(&me, offset, &mut silence, &mut backoff).await {
                Ok((next, pause)) => {
                    offset = next;
                    pause
                }
                Err(error) => {
                    let pause = backoff.after_failure();
                    tracing::warn!(%error, pause_s = pause.as_secs(), "what people wrote waits for the ledger");
                    Some(pause)
                }
            };
            if let Some(pause) = pause {
                self.clock.sleep(pause).await;
            }
        }
    }

    /// Handles what is kept, then fetches and keeps more. Returns the offset of the next fetch and a pause before it.
    async fn turn(
        &self,
        me: &Me,
        offset: Option<i64>,
        silence: &mut Silence,
        backoff: &mut Backoff,
    ) -> Result<(Option<i64>, Option<Duration>), LedgerError> {
        self.handle_kept(me).await?;
        // After what was kept is handled: a tap that did arrive needs no new card.
        self.ask_again(silence).await?;
        // The first one only looks what is there: what follows from an outage must not wait for somebody to write.
        let hold = if silence.last.is_none() { 0 } else { POLL_SECONDS };
        let items = match self.fetch(offset, hold, backoff).await {
            Fetched::Items(items) => items,
            Fetched::Failed(pause) => return Ok((offset, Some(pause))),
        };
        // An empty answer means that everything is confirmed.
        let next = items.iter().map(|item| item.external_id + 1).max();
        if !items.is_empty() {
            self.ledger.keep_inbound(self.channel.name(), items).await?;
        }
        silence.heard(self.clock.now());
        backoff.reset();
        Ok((next, None))
    }

    /// Sends cards anew whose taps Telegram may have forgotten.
    async fn ask_again(&self, silence: &mut Silence) -> Result<(), LedgerError> {
        let (Some(sent_before), Some(operations)) = (silence.lost_before, self.commands.operations()) else {
            return Ok(());
        };
        let count = operations.runs().resend_cards(sent_before).await?;
        if count > 0 {
            tracing::info!(count, "Telegram may have forgotten taps on these cards: they are sent anew");
        }
        silence.lost_before = None;
        Ok(())
    }

    /// Asks who we are until the server answers, and tells it our commands.
    async fn introduce(&self) -> Me {
        let mut backoff = Backoff::default();
        let me = loop {
            let reply = self.channel.api.call(&GetMe::new(), CALL_TIMEOUT).await;
            self.channel.heard(&reply);
            let error = match reply {
                Reply::Done(result) => match serde_json::from_str::<Me>(result.get()) {
                    Ok(me) => break me,
                    Err(error) => format!("getMe answers something else: {error}"),
                },
                Reply::DoneUnread(_) => "the answer cannot be read".to_owned(),
                Reply::Said(error) => error.to_string(),
                Reply::NotSent(error) | Reply::Unanswered(error) => error,
            };
            let pause = backoff.after_failure();
            tracing::warn!(%error, pause_s = pause.as_secs(), "Telegram does not answer yet");
            self.clock.sleep(pause).await;
        };
        let menu = COMMANDS.iter().map(|command| BotCommand::new(command.menu_name(), command.about));
        if !matches!(self.channel.api.call(&SetMyCommands::new(menu), CALL_TIMEOUT).await, Reply::Done(_)) {
            tracing::debug!("the menu of commands was not accepted; the commands work without it");
        }
        tracing::info!(bot = %me.username, "listening to Telegram");
        me
    }

    async fn fetch(&self, offset: Option<i64>, hold_seconds: u32, backoff: &mut Backoff) -> Fetched {
        let mut request = GetUpdates::new()
            .limit(UPDATES_MAX)
            .timeout(hold_seconds)
            .allowed_updates([AllowedUpdate::Message, AllowedUpdate::CallbackQuery]);
        if let Some(offset) = offset.and_then(|offset| i32::try_from(offset).ok()) {
            request = request.offset(offset);
        }
        let reply = self.channel.api.call(&request, POLL_TIMEOUT).await;
        self.channel.heard(&reply);
        let error = match reply {
            Reply::Done(result) => match self.items(&result) {
                Ok(items) => return Fetched::Items(items),
                Err(error) => error.to_string(),
            },
            Reply::Said(error) if error.error_code == 409 => {
                let pause = backoff.after_failure();
                tracing::warn!(
                    %error,
                    pause_s = pause.as_secs(),
                    "somebody else reads this bot's messages: stop the other process, or delete the bot's webhook"
                );
                return Fetched::Failed(pause);
            }
            Reply::Said(error) => match error.parameters.retry_after {
                Some(seconds) => return Fetched::Failed(Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
                None => error.to_string(),
            },
            Reply::DoneUnread(_) => "the answer cannot be read".to_owned(),
            Reply::NotSent(error) | Reply::Unanswered(error) => error,
        };
        let pause = backoff.after_failure();
        tracing::warn!(%error, pause_s = pause.as_secs(), "cannot fetch messages from Telegram");
        Fetched::Failed(pause)
    }

    /// The updates of an answer, each with its id, whatever else is in it.
    fn items(&self, result: &RawValue) -> serde_json::Result<Vec<InboundItem>> {
        #[derive(Deserialize)]
        struct Numbered {
            update_id: i64,
        }
        let updates: Vec<&RawValue> = serde_json::from_str(result.get())?;
        let now = self.clock.now();
        updates
            .into_iter()
            .map(|update| {
                let Numbered { update_id } = serde_json::from_str(update.get())?;
                let whole = update.get().len() <= UPDATE_BYTES_MAX;
                let body = if whole { update.get().to_owned() } else { format!("{{\"update_id\":{update_id}}}") };
                Ok(InboundItem { external_id: update_id, body, received_at: now })
            })
            .collect()
    }

    /// Answers what is kept and not done.
    async fn handle_kept(&self, me: &Me) -> Result<(), LedgerError> {
        loop {
            let items = self.ledger.inbound_waiting(self.channel.name(), ITEMS_MAX).await?;
            if items.is_empty() {
                return Ok(());
            }
            for item in items {
                let replies = match read(&item.body, me, self.clock.now()) {
                    Some(Heard::Said(said)) => self.replies(item.external_id, &said).await?,
                    Some(Heard::Tapped(tap)) => self.tapped(&tap).await?,
                    None => Vec::new(),
                };
                self.ledger.inbound_done(self.channel.name(), item.external_id, replies).await?;
            }
        }
    }

    /// What we answer to `said`.
    async fn replies(&self, external_id: i64, said: &Said) -> Result<Vec<NewNotice>, LedgerError> {
        let (kind, messages) = match said.user {
            Some(user) if self.allowed_users.contains(&user) => {
                (NoticeKind::Reply, self.answer(Person::Telegram(user), external_id, said).await?)
            }
            // In a group a stranger's bare command may be for another bot.
            _ if !said.addressed => return Ok(Vec::new()),
            user => {
                let since = self.clock.now() - REFUSAL_EVERY;
                if self.ledger.has_notice_since(&said.chat, NoticeKind::Refusal, since).await? {
                    return Ok(Vec::new());
                }
                tracing::info!(user, chat = %said.chat, "somebody who is not in telegram.allowed_users wrote to the bot");
                (NoticeKind::Refusal, vec![refusal(user)])
            }
        };
        Ok(self.notices(&said.chat, kind, Some(said.message_id), messages))
    }

    /// A yes or no to a card decides; anything else is a command or a question.
    async fn answer(&self, person: Person, external_id: i64, said: &Said) -> Result<Vec<Message>, LedgerError> {
        if let (Some(card), Some(deciding)) = (said.answers, self.commands.deciding())
            && let Some(message) = deciding.reply(person, &said.chat, card, &said.text).await?
        {
            return Ok(vec![message]);
        }
        if let (None, Some(card), Some(deciding)) = (&self.conversation, said.answers, self.commands.deciding())
            && !said.text.starts_with('/')
            && let Some(message) = deciding.unclear(&said.chat, card).await?
        {
            return Ok(vec![message]);
        }
        if let Some(conversation) = &self.conversation
            && said.text.trim().eq_ignore_ascii_case("/cancel")
        {
            let title = stopped(conversation.cancel(&said.chat).await?);
            return Ok(vec![Message::title(title)]);
        }
        if said.is_wordless() {
            return Ok(vec![Message::title("I read text only: write me a question, or /help.")]);
        }
        if said.text.starts_with('/') || said.text.trim().is_empty() {
            return self.commands.answer(person, &said.text).await;
        }
        let about = match said.answers {
            Some(message) => self.commands.events_of(&said.chat, message).await?,
            None => Vec::new(),
        };
        let Some(conversation) = &self.conversation else {
            let told = self.commands.about(&about).await?;
            return if told.is_empty() { self.commands.answer(person, &said.text).await } else { Ok(told) };
        };
        let words = Words {
            key: format!("{}:{external_id}", self.channel.name()),
            chat: said.chat.clone(),
            person,
            text: said.text.clone(),
            about,
            reply_to: Some(said.message_id),
        };
        // The answer comes in its own time; taps and commands must not wait for it.
        conversation.said(words).await?;
        Ok(Vec::new())
    }

    /// Does what a button stands for, tells the one who pressed it, and gives what is written into the chat. A crash in
    /// between does it once more, and the second time the truth is that it was done.
    async fn tapped(&self, tap: &Tap) -> Result<Vec<NewNotice>, LedgerError> {
        let Some(deciding) = self.commands.deciding() else {
            self.channel.answer_tap(&tap.id, "There are no workflows here any more. Nothing changed.", true).await;
            return Ok(Vec::new());
        };
        let tapped = deciding.tap(Person::Telegram(tap.user), &tap.data).await?;
        self.channel.answer_tap(&tap.id, &tapped.text, tapped.alert).await;
        Ok(match &tap.chat {
            Some(chat) => self.notices(chat, NoticeKind::Reply, tap.message_id, tapped.replies),
            None => Vec::new(),
        })
    }

    fn notices(
        &self,
        chat: &ChatKey,
        kind: NoticeKind,
        reply_to: Option<i64>,
        messages: Vec<Message>,
    ) -> Vec<NewNotice> {
        let created_at = self.clock.now();
        let notice = |message| NewNotice {
            id: NoticeId::new(self.ids.ulid(created_at)),
            chat: chat.clone(),
            kind,
            event: None,
            reply_to,
            message,
            created_at,
        };
        messages.into_iter().map(notice).collect()
    }
}

/// How long Telegram was not heard.
#[derive(Debug, Default)]
struct Silence {
    last: Option<Timestamp>,
    /// Taps on cards that were sent before this may be lost.
    lost_before: Option<Timestamp>,
}

impl Silence {
    /// A poll was answered at `now`. How long an earlier process was silent is not known, so its cards are sent anew once they
    /// are as old as what Telegram forgets.
    fn heard(&mut self, now: Timestamp) {
        match self.last {
            None => self.lost_before = Some(now - KEPT_BY_TELEGRAM),
            Some(last) if now > last + KEPT_BY_TELEGRAM => self.lost_before = Some(now),
            Some(_) => {}
        }
        self.last = Some(now);
    }
}

fn refusal(user: Option<u64>) -> Message {
    match user {
        Some(user) => Message {
            lines: vec![format!("Your Telegram id is {user}. The owner can add it to telegram.allowed_users.")],
            ..Message::title("Sorry, I only answer people on my list.")
        },
        None => Message {
            lines: vec!["Anonymous administrators and channels have no id of their own: write under your name.".into()],
            ..Message::title("Sorry, I cannot tell who wrote that.")
        },
    }
}
