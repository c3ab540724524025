//! Triage: an event becomes a title, facts and a notice, by its provider's templates alone (no model stands in this way).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::config::Summarize;
use crate::domain::ids::NoticeId;
use crate::domain::notice::{ChatKey, Message, NoticeKind, Severity, Summary};
use crate::ledger::{ClaimedEvent, NewNotice};
use crate::ports::{Clock, Ids};
use crate::provider::Registry;
use crate::queue::{EventWorker, Worked};

/// What is done with the events of one handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desk {
    /// The chat that reads about them; `None` for nobody.
    pub chat: Option<ChatKey>,
    /// How they are summarized.
    pub summarize: Summarize,
}

/// Turns events into notices.
#[derive(Debug)]
pub struct Triage {
    /// Manifests.
    pub providers: Arc<Registry>,
    /// By handler name.
    pub desks: BTreeMap<String, Desk>,
    /// For events of handlers that are no longer configured.
    pub fallback: Desk,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
}

impl Triage {
    fn desk(&self, event: &ClaimedEvent) -> &Desk {
        self.desks.get(event.handler.as_str()).unwrap_or(&self.fallback)
    }

    fn summary(&self, event: &ClaimedEvent, desk: &Desk) -> Result<Summary, String> {
        let named = |message| Summary { message, subject: None };
        if desk.summarize == Summarize::Nothing {
            return Ok(named(Message::title(format!("{}: {}", event.handler, event.event))));
        }
        let payload: serde_json::Value = serde_json::from_slice(&event.payload)
            .map_err(|error| format!("the stored payload is not JSON ({error}), though it was when it was accepted"))?;
        Ok(match self.providers.get(&event.provider) {
            Some(provider) => provider.summarize(&event.event, &payload, &event.headers),
            None => named(Message::title(format!(
                "{}: {} (its provider '{}' is no longer installed)",
                event.handler, event.event, event.provider
            ))),
        })
    }

    fn notices(&self, event: &ClaimedEvent, kind: NoticeKind, message: &Message) -> Vec<NewNotice> {
        let now = self.clock.now();
        self.desk(event)
            .chat
            .iter()
            .map(|chat| NewNotice {
                id: NoticeId::new(self.ids.ulid(now)),
                chat: chat.clone(),
                kind,
                event: Some(event.id),
                reply_to: None,
                message: message.clone(),
                created_at: now,
            })
            .collect()
    }
}

#[async_trait]
impl EventWorker for Triage {
    async fn work(&self, event: &ClaimedEvent) -> Result<Worked, String> {
        let Summary { mut message, subject } = self.summary(event, self.desk(event))?;
        if event.replay_of.is_some() {
            message.title = format!("Replay: {}", message.title);
        }
        let notices = self.notices(event, NoticeKind::Event, &message);
        let Message { title, url, severity, lines: _ } = message;
        Ok(Worked { title, url, subject, severity, notices })
    }

    fn give_up(&self, event: &ClaimedEvent, error: &str) -> Vec<NewNotice> {
        let message = Message {
            title: format!("{}: could not process {} after {} attempts", event.handler, event.event, event.attempt),
            lines: vec![
                error.to_owned(),
                format!(
                    "It is kept as {}. Press Redeliver at the sender, or run: agent events replay {}",
                    event.id, event.id
                ),
            ],
            url: None,
            severity: Severity::Warning,
        };
        self.notices(event, NoticeKind::System, &message)
    }
}
