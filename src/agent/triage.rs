//! Triage: an event becomes a title, facts and a notice, by its provider's templates alone (no model stands in this way), and
//! starts what it starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use serde_json::Value;

use super::triggers::{Triggers, route_title};
use crate::config::Summarize;
use crate::domain::event::{Arrival, ROUTE_PROVIDER};
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

/// The desks of all handlers.
#[derive(Debug, Clone)]
pub struct Desks {
    /// By handler name.
    pub named: BTreeMap<String, Desk>,
    /// For events of handlers that are no longer configured, and of workflows' own routes.
    pub fallback: Desk,
}

impl Desks {
    /// The desk of `handler`.
    pub fn of(&self, handler: &str) -> &Desk {
        self.named.get(handler).unwrap_or(&self.fallback)
    }
}

/// Turns events into notices and runs.
#[derive(Debug)]
pub struct Triage {
    /// Manifests.
    pub providers: Arc<Registry>,
    /// Who reads about what.
    pub desks: Arc<Desks>,
    /// Whether there is a model to write beneath notices.
    pub summaries: bool,
    /// What events start; `None` without workflows.
    pub triggers: Option<Triggers>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
}

impl Triage {
    fn desk(&self, event: &ClaimedEvent) -> &Desk {
        self.desks.of(event.handler.as_str())
    }

    fn summary(&self, event: &ClaimedEvent, payload: &Value) -> Summary {
        let named = |message| Summary { message, subject: None };
        if self.desk(event).summarize == Summarize::Nothing {
            return named(Message::title(format!("{}: {}", event.handler, event.event)));
        }
        match self.providers.get(&event.provider) {
            Some(provider) => provider.summarize(&event.event, payload, &event.headers),
            None => named(Message::title(format!(
                "{}: {} (its provider '{}' is no longer installed)",
                event.handler, event.event, event.provider
            ))),
        }
    }

    /// An event of a workflow's own route: the run's outcome is what is told.
    async fn route(&self, event: &ClaimedEvent, payload: &Value) -> Result<Worked, String> {
        let title = route_title(event.handler.as_str());
        let started = match &self.triggers {
            Some(triggers) => triggers.on_route(&arrival(event, payload)).await.map_err(|error| error.to_string())?,
            None => Err("workflows are switched off".to_owned()),
        };
        let (severity, notices) = match started {
            Ok(_run) => (Severity::Info, Vec::new()),
            Err(why) => (Severity::Warning, self.not_started(event, &[(event.handler.to_string(), why)])),
        };
        Ok(Worked { title, url: None, subject: None, severity, notices, summarize: false })
    }

    /// What is said about workflows that want an event and cannot start.
    fn not_started(&self, event: &ClaimedEvent, refused: &[(String, String)]) -> Vec<NewNotice> {
        let title = match refused {
            [] => return Vec::new(),
            [(workflow, _)] => format!("Workflow '{workflow}' did not start for {} of {}", event.event, event.handler),
            several => {
                format!("{} workflows did not start for {} of {}", several.len(), event.event, event.handler)
            }
        };
        let lines = refused.iter().map(|(workflow, why)| format!("{workflow}: {why}")).collect();
        self.notices(event, NoticeKind::System, &Message { title, lines, url: None, severity: Severity::Warning })
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

fn arrival<'a>(event: &'a ClaimedEvent, payload: &'a Value) -> Arrival<'a> {
    Arrival {
        id: event.id,
        handler: event.handler.as_str(),
        provider: &event.provider,
        event: &event.event,
        delivery_id: None,
        verdict: event.verdict,
        received_at: event.received_at,
        headers: &event.headers,
        payload,
    }
}

#[async_trait]
impl EventWorker for Triage {
    async fn work(&self, event: &ClaimedEvent) -> Result<Worked, String> {
        let payload: Value = serde_json::from_slice(&event.payload)
            .map_err(|error| format!("the stored payload is not JSON ({error}), though it was when it was accepted"))?;
        if event.provider == ROUTE_PROVIDER {
            return self.route(event, &payload).await;
        }
        let Summary { mut message, subject } = self.summary(event, &payload);
        if event.replay_of.is_some() {
            message.title = format!("Replay: {}", message.title);
        }
        let mut notices = self.notices(event, NoticeKind::Event, &message);
        if let Some(triggers) = &self.triggers {
            let arrival = arrival(event, &payload);
            let started = triggers.on_event(&arrival).await.map_err(|error| error.to_string())?;
            notices.extend(self.not_started(event, &started.refused));
            triggers.wake(&arrival).await.map_err(|error| error.to_string())?;
        }
        let summarize = self.summaries && matches!(self.desk(event).summarize, Summarize::Auto | Summarize::Model);
        let Message { title, url, severity, lines: _ } = message;
        Ok(Worked { title, url, subject, severity, notices, summarize })
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
