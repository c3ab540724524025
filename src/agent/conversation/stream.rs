//! What people see while an answer is made: "typing…", then the answer as it grows, at the pace of the chat.
//!
//! Only the first message grows; it is a preview, and the kept answer replaces it. Whatever fails here is left to that.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Assistant, Live};
use crate::domain::speech::Speech;
use crate::ledger::chat::TurnRow;
use crate::ports::{ModelError, ModelReply, ModelRequest, SendOutcome};

/// How often "typing…" is repeated; Telegram shows it for five seconds.
const TYPING_EVERY: Duration = Duration::from_secs(4);
/// Parts of an answer that may wait to be shown.
const DELTAS_MAX: usize = 64;
/// How much must be there before a first message is sent, in characters.
const FIRST_CHARS: usize = 24;
/// How often a message is changed, in paces of its chat: the others belong to notices.
const PACES_PER_EDIT: u32 = 2;

/// The message that grows.
#[derive(Debug)]
pub(super) struct Preview {
    /// The message, once it is there.
    pub(super) message: Option<i64>,
    /// What it shows.
    shown: String,
    /// It did not work: only the kept answer is shown.
    failed: bool,
}

impl Preview {
    /// One that may be there from an earlier attempt.
    pub(super) fn of(message: Option<i64>) -> Self {
        Self { message, shown: String::new(), failed: false }
    }
}

impl Assistant {
    /// Makes one call, and shows what comes of it.
    pub(super) async fn call(
        &self,
        row: &TurnRow,
        live: &Live,
        request: ModelRequest,
        links: &[String],
        preview: &mut Preview,
    ) -> Result<ModelReply, ModelError> {
        let (sender, receiver) = mpsc::channel(DELTAS_MAX);
        let call = self.parts.model.complete(request, Some(sender));
        let (reply, ()) = tokio::join!(call, self.follow(row, live, receiver, links, preview));
        reply
    }

    async fn follow(
        &self,
        row: &TurnRow,
        live: &Live,
        mut deltas: mpsc::Receiver<String>,
        links: &[String],
        preview: &mut Preview,
    ) {
        let (clock, chat) = (&self.parts.clock, &row.turn.chat);
        let pace = self.parts.voice.pace(chat).map(|pace| pace * PACES_PER_EDIT);
        let mut text = String::new();
        let mut typing_at = clock.now();
        let mut edit_at = clock.now();
        loop {
            let grown =
                pace.is_some() && !preview.failed && text.chars().count() > FIRST_CHARS && text != preview.shown;
            tokio::select! {
                biased;
                delta = deltas.recv() => match delta {
                    Some(delta) => {
                        text.push_str(&delta);
                        live.text.send_replace(text.clone());
                    }
                    None => return,
                },
                () = clock.sleep_until(edit_at), if grown => {
                    self.grow(row, &text, links, preview).await;
                    edit_at = clock.now() + pace.unwrap_or_default();
                }
                () = clock.sleep_until(typing_at), if pace.is_some() && preview.message.is_none() => {
                    self.parts.voice.typing(chat).await;
                    typing_at = clock.now() + TYPING_EVERY;
                }
            }
        }
    }

    async fn grow(&self, row: &TurnRow, text: &str, links: &[String], preview: &mut Preview) {
        let (voice, chat) = (&self.parts.voice, &row.turn.chat);
        preview.shown = text.to_owned();
        // Cleaned as the kept answer will be: what must not be shown is never shown for a moment.
        let clean = self.parts.context.redactor.clean(text);
        let speech = Speech::parse(&format!("{clean} …"), links);
        let Some(part) = voice.parts(chat, &speech).into_iter().next() else { return };
        let outcome = match preview.message {
            Some(message) => voice.revise(chat, message, &part).await,
            None => voice.say(chat, &part, row.turn.reply_to).await,
        };
        match (outcome, preview.message) {
            (SendOutcome::Sent { message_id: Some(id) }, None) => {
                preview.message = Some(id);
                if let Err(error) = self.parts.chats.turn_appears(row.seq, id).await {
                    tracing::debug!(%error, "the message of a growing answer is not kept");
                }
            }
            (SendOutcome::Sent { .. }, _) => {}
            (_, _) => preview.failed = true,
        }
    }
}
