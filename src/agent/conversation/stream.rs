//! What people see while an answer is made: "typing…", then the answer as it grows, at the pace of the chat.
//!
//! Only the first message grows; it is a preview, and the kept answer replaces it. Whatever fails here is left to that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::turn::ANSWER_CHARS_MAX;
use super::{Assistant, Live, SoFar};
use crate::domain::speech::Speech;
use crate::domain::text::clip_chars;
use crate::ledger::chat::TurnRow;
use crate::ports::{ModelError, ModelReply, ModelRequest, SendOutcome};

/// How often "typing…" is repeated; Telegram shows it for five seconds.
const TYPING_EVERY: Duration = Duration::from_secs(4);
/// Parts of an answer that may wait to be shown.
const DELTAS_MAX: usize = 64;
/// How much must be there before a first message is sent, in characters.
const FIRST_CHARS: usize = 24;
/// How much of an answer is shown while it is made, in bytes.
const STREAMED_BYTES_MAX: usize = 4 * ANSWER_CHARS_MAX;
/// How often a message is changed, in paces of its chat: the others belong to notices.
const PACES_PER_EDIT: u32 = 2;

/// The message that grows.
#[derive(Debug)]
pub(super) struct Preview {
    /// The message, once it is there.
    pub(super) message: Option<i64>,
    /// What stands above everything that the model says.
    pub(super) head: String,
    /// What it shows.
    shown: String,
    /// It did not work: only the kept answer is shown.
    failed: bool,
}

impl Preview {
    /// One that may be there from an earlier attempt.
    pub(super) fn of(message: Option<i64>) -> Self {
        Self { message, head: String::new(), shown: String::new(), failed: false }
    }

    /// The same under a line of our own.
    pub(super) fn under(self, head: Option<String>) -> Self {
        Self { head: head.map(|head| format!("{head}\n\n")).unwrap_or_default(), ..self }
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
        live.so_far.send_modify(|so_far| {
            *so_far = SoFar { part: so_far.part + 1, text: String::new(), links: links.to_vec() };
        });
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
        let (mut whole, mut text) = (String::new(), String::new());
        let mut typing_at = clock.now();
        let mut edit_at = clock.now();
        loop {
            let grown =
                pace.is_some() && !preview.failed && text.chars().count() > FIRST_CHARS && text != preview.shown;
            tokio::select! {
                biased;
                delta = deltas.recv() => match delta {
                    Some(delta) => {
                        whole.push_str(&clip_chars(&delta, ANSWER_CHARS_MAX));
                        if whole.len() > STREAMED_BYTES_MAX {
                            // The kept answer is as long as one may be; what is too long is not waited for here.
                            continue;
                        }
                        let clean = self.parts.context.redactor.clean(whole_words(&whole));
                        let clean = format!("{}{clean}", preview.head);
                        if clean != text {
                            text = clean;
                            live.so_far.send_modify(|so_far| so_far.text.clone_from(&text));
                        }
                    }
                    None => return,
                },
                () = clock.sleep_until(edit_at), if grown => {
                    self.grow(row, live, &text, links, preview).await;
                    edit_at = clock.now() + pace.unwrap_or_default();
                }
                () = clock.sleep_until(typing_at), if pace.is_some() && preview.message.is_none() => {
                    self.parts.voice.typing(chat).await;
                    typing_at = clock.now() + TYPING_EVERY;
                }
            }
        }
    }

    async fn grow(&self, row: &TurnRow, live: &Live, text: &str, links: &[String], preview: &mut Preview) {
        let (voice, chat) = (&self.parts.voice, &row.turn.chat);
        preview.shown = text.to_owned();
        let speech = Speech::parse(&format!("{text} …"), links);
        let Some(part) = voice.parts(chat, &speech).into_iter().next() else { return };
        let outcome = match preview.message {
            Some(message) => voice.revise(chat, message, &part).await,
            None => self.appear(row, live, part).await,
        };
        match (outcome, preview.message) {
            (SendOutcome::Sent { message_id: Some(id) }, None) => preview.message = Some(id),
            (SendOutcome::Sent { .. }, _) => {}
            // The voice waits as long as the channel asks for, then it grows on.
            (SendOutcome::RetryAfter { .. }, _) => preview.shown.clear(),
            (_, _) => preview.failed = true,
        }
    }

    /// Sends the message that will grow. However the turn ends meanwhile, which message it is will be known.
    async fn appear(&self, row: &TurnRow, live: &Live, part: Speech) -> SendOutcome {
        let (voice, chats, sending) =
            (Arc::clone(&self.parts.voice), Arc::clone(&self.parts.chats), Arc::clone(&live.sending));
        let (chat, reply_to, seq) = (row.turn.chat.clone(), row.turn.reply_to, row.seq);
        let held = sending.lock_owned().await;
        let sent = self.unbroken(async move {
            let outcome = voice.say(&chat, &part, reply_to).await;
            if let SendOutcome::Sent { message_id: Some(id) } = &outcome
                && let Err(error) = chats.turn_appears(seq, *id).await
            {
                tracing::debug!(%error, "the message of a growing answer is not kept");
            }
            drop(held);
            outcome
        });
        sent.await
    }

    /// Carries a send and what is written down of it to the end, even when whoever waits for it ends before.
    pub(super) async fn unbroken(&self, send: impl Future<Output = SendOutcome> + Send + 'static) -> SendOutcome {
        let sent = self.sends.spawn(send).await;
        sent.unwrap_or_else(|error| SendOutcome::Unanswered { error: error.to_string() })
    }
}

/// What of a text that is being written may be shown: its last word may be the beginning of something that is cut out.
fn whole_words(text: &str) -> &str {
    text.rfind(char::is_whitespace).map_or("", |end| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_shown_when_it_is_whole() {
        assert_eq!(whole_words("the key is sk-12"), "the key is");
        assert_eq!(whole_words("word\nnext"), "word");
        assert_eq!(whole_words("one"), "");
    }
}
