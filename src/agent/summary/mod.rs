//! A model's two or three sentences beneath notices that were sent: what is asked, when, and whether the answer may be shown.
//!
//! Never in the way of anything: the notice from the template is in its chat before a model is asked (the rows that this works
//! off turn up when the send is confirmed). A model that is down, slow, over budget or talks nonsense leaves the template as it
//! is. A summary call has no tools, so that a payload which talks the model into something can change these sentences and
//! nothing else; and sentences pass only when every number, link and name in them stands in the event ([`check`]).

mod check;
mod figures;
mod prompt;
mod spelled;
mod vocabulary;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::check::Source;
use crate::config::{Persona, Personas};
use crate::domain::ids::NoticeId;
use crate::domain::notice::ChatKey;
use crate::ledger::models::{SummarySettled, WantedSummary};
use crate::ledger::{Ledger, LedgerError, ModelLedger};
use crate::ports::{Clock, Finish, Model};
use crate::telemetry::Redactor;

/// Messages that are worked on at once.
const MESSAGES_AT_ONCE: usize = 4;
/// Messages that are looked at to see whether there are too many.
const MESSAGES_READ: usize = 32;
/// Printed notices that wait at once and are still told one by one.
const PRINTED_MAX: usize = 5;
/// Attempts at one notice, by processes that ended in between: a model answers once, or the template stands.
const ATTEMPTS_MAX: u32 = 3;
/// After this long nobody waits for sentences any more.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The pause while the ledger does not answer.
const LEDGER_PAUSE: Duration = Duration::from_secs(5);

/// Writes beneath notices.
#[derive(Debug)]
pub struct Summaries {
    /// The model.
    pub model: Arc<dyn Model>,
    /// The events.
    pub ledger: Arc<dyn Ledger>,
    /// The notices that wait.
    pub waiting: Arc<dyn ModelLedger>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Cuts configured secrets out of what is sent to the model.
    pub redactor: Redactor,
    /// Who writes about the events of which handler.
    pub personas: Personas,
}

impl Summaries {
    /// Works until `stop`. A question that is under way then is asked again by the next process.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        loop {
            // Registered before the ledger is read, so that a commit in between is not missed.
            let changed = self.waiting.changes().summaries.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.round().await {
                Ok(0) => changed.await,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "summaries wait for the ledger");
                    self.clock.sleep(LEDGER_PAUSE).await;
                }
            }
        }
    }

    /// Works off the oldest messages; says how many.
    async fn round(&self) -> Result<usize, LedgerError> {
        let messages = by_message(self.waiting.summaries_wanted(MESSAGES_READ).await?);
        let printed: Vec<NoticeId> = messages
            .iter()
            .filter(|message| message[0].message_id.is_none())
            .map(|message| message[0].notice)
            .collect();
        if printed.len() > PRINTED_MAX {
            // Where nothing folds into digests, a burst would be a call for each line.
            let reason = "too many events at once".to_owned();
            let stands = |id| (id, SummarySettled::Stands { reason: reason.clone() });
            let count = printed.len();
            let settled = printed.into_iter().map(stands).collect();
            return self.waiting.settle_summaries(settled, self.clock.now()).await.map(|()| count);
        }
        let now = &messages[..messages.len().min(MESSAGES_AT_ONCE)];
        let worked = futures::future::join_all(now.iter().map(|message| self.message(message))).await;
        worked.into_iter().collect::<Result<(), LedgerError>>().map(|()| now.len())
    }

    /// The notices of one message: one, or those of a digest.
    async fn message(&self, notices: &[WantedSummary]) -> Result<(), LedgerError> {
        let Some(first) = notices.first() else { return Ok(()) };
        let ids: Vec<NoticeId> = notices.iter().map(|notice| notice.notice).collect();
        let settled = match self.hopeless(first) {
            Some(reason) => SummarySettled::Stands { reason: reason.to_owned() },
            None => {
                self.waiting.begin_summaries(ids.clone()).await?;
                match self.write(notices).await? {
                    Ok((text, model)) => SummarySettled::Ready { text, model },
                    Err(reason) => {
                        tracing::info!(event.id = %first.event, notices = ids.len(), reason, "the template stands");
                        SummarySettled::Stands { reason }
                    }
                }
            }
        };
        let settled = ids.into_iter().map(|id| (id, settled.clone())).collect();
        self.waiting.settle_summaries(settled, self.clock.now()).await
    }

    /// Why it is not worth asking.
    fn hopeless(&self, notice: &WantedSummary) -> Option<&'static str> {
        let age = Duration::try_from(self.clock.now().duration_since(notice.wanted_at)).unwrap_or_default();
        let numbered = notice.message_id.is_some() || notice.chat == ChatKey::terminal();
        if !notice.sent {
            Some("the notice did not reach its chat")
        } else if !numbered {
            Some("the message's number is not known")
        } else if age > AGE_MAX {
            Some("it is too late for a summary")
        } else if notice.attempts >= ATTEMPTS_MAX {
            Some("the agent ended too often while it was written")
        } else {
            None
        }
    }

    /// Who writes beneath these: whose the events' handler is. Events of several personas in one message are nobody's own, and
    /// `default` writes.
    fn persona(&self, notices: &[WantedSummary]) -> &Persona {
        let of = |notice: &WantedSummary| {
            let handler = notice.handler.as_ref().and_then(|handler| handler.parse().ok());
            handler.map_or(self.personas.fallback(), |handler| self.personas.of_handler(&handler))
        };
        let mut all = notices.iter().map(of);
        let first = all.next().unwrap_or(self.personas.fallback());
        if all.all(|other| other.name == first.name) { first } else { self.personas.fallback() }
    }

    /// The sentences and who wrote them, or why the template stands.
    async fn write(&self, notices: &[WantedSummary]) -> Result<Result<(String, String), String>, LedgerError> {
        let persona = self.persona(notices);
        let (request, source) = match notices {
            [notice] if !notice.digest => {
                let Some(event) = self.ledger.event(notice.event).await? else {
                    return Ok(Err("the event is gone".to_owned()));
                };
                let source = Source::of_event(&event, &notice.message);
                (prompt::of_event(persona, &event, &notice.message, &self.redactor), source)
            }
            several => (prompt::of_digest(persona, several, &self.redactor), Source::of_digest(several)),
        };
        let reply = match self.model.complete(request, None).await {
            Ok(reply) => reply,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if reply.finish != Finish::Done {
            return Ok(Err("the model did not come to an end".to_owned()));
        }
        let text = match notices {
            [notice] if !notice.digest => Ok(reply.text),
            several => prompt::digest_text(&reply.text, several),
        };
        let checked = text.and_then(|text| source.check(&text)).and_then(|text| {
            // Even where a payload holds one.
            let clean = self.redactor.clean(&text) == text;
            if clean { Ok(text) } else { Err("it holds a configured secret".to_owned()) }
        });
        Ok(checked.map(|text| (text, reply.model)))
    }
}

/// Those of one message together, in order.
fn by_message(notices: Vec<WantedSummary>) -> Vec<Vec<WantedSummary>> {
    let mut messages: Vec<Vec<WantedSummary>> = Vec::new();
    for notice in notices {
        match messages.last_mut() {
            Some(last) if notice.digest && last[0].chat == notice.chat && last[0].message_id == notice.message_id => {
                last.push(notice);
            }
            _ => messages.push(vec![notice]),
        }
    }
    messages
}
