//! One webhook from its admission to its answer, in the order of the contract's table, with the commit before the answer.
//!
//! Each step either goes on or ends in a [`Refusal`]; there is one place that answers, records and logs refusals, and it
//! is the caller. No lock is held across an await, and nothing here knows what events are for.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::Stream;
use http::{Method, StatusCode};
use warp::reply::Response;

use super::Inner;
use super::body::{BodyFaultKind, Incoming, Share};
use super::judged::{Judged, judge, new_event, question};
use super::limits::{ANSWER_MARGIN, ANSWER_WITHIN_DEFAULT, BODY_INLINE_BYTES_MAX, STORE_RETRY_AFTER_SECONDS};
use super::metrics::Outcome;
use super::record::{self, AcceptedLine, Repeated, Seen};
use super::refusal::{Code, Refusal};
use super::reply::{self, Answer, RunRef};
use super::routes::{Route, RouteKind};
use super::verify::{Exchange, Received};
use super::workflows::Matched;
use crate::domain::event::{Arrival, Verdict};
use crate::domain::ids::{EventId, RunId};
use crate::ledger::{Ingested, LedgerError, NewEvent};
use crate::provider::wanted;
use crate::telemetry::AckKey;

impl Inner {
    /// Takes one request to `route`.
    ///
    /// # Errors
    /// The refusal, and what was read of the body.
    pub(super) async fn receive<S, B, E>(
        &self,
        exchange: &Exchange,
        route: &Arc<Route>,
        body: &mut Incoming<S>,
    ) -> Result<Response, (Refusal, Seen)>
    where
        S: Stream<Item = Result<B, E>> + Unpin,
        B: Buf,
    {
        self.admit(exchange, route).map_err(|refusal| (for_sender(route, refusal), Seen::default()))?;
        let mut share = self.bodies.share();
        let raw = self.read_body(exchange, body, &mut share).await;
        let raw = raw.map_err(|(refusal, seen)| (for_sender(route, refusal), seen))?;
        let received = Received {
            exchange: exchange.clone(),
            route: Arc::clone(route),
            body: raw,
            public_url: self.public_url.clone(),
            direct_loopback: self.admission.direct_loopback(&exchange.head.headers),
        };
        let outcome = match self.judge(&received).await {
            Ok(judged) => self.settle(&received, judged).await,
            Err(refusal) => Err(refusal),
        };
        match outcome {
            Ok(response) => Ok(response),
            Err(refusal) => {
                let refusal = self.diagnosed(&received, for_sender(route, refusal)).await;
                Err((refusal, Seen::whole(&received.body)))
            }
        }
    }

    /// The checks that need no body.
    fn admit(&self, exchange: &Exchange, route: &Route) -> Result<(), Refusal> {
        if exchange.head.method != Method::POST && question(&exchange.head, route).is_none() {
            let allow = match route.kind {
                RouteKind::Handler | RouteKind::Workflow => "POST",
                RouteKind::Generic => "GET, HEAD, POST",
            };
            return Err(Refusal::new(Code::MethodNotAllowed, format!("send webhooks with {allow}")).allow(allow));
        }
        self.admission.admit(exchange.client, &route.allowed, route.limiter.as_ref())?;
        if !self.is_ready() {
            return Err(Refusal::new(Code::NotReady, "the agent is still starting").retry_after(1));
        }
        if !route.enabled {
            let what = if route.kind == RouteKind::Workflow { "workflow" } else { "handler" };
            return Err(Refusal::new(Code::Disabled, format!("{what} '{}' is disabled", route.name)));
        }
        Ok(())
    }

    async fn read_body<S, B, E>(
        &self,
        exchange: &Exchange,
        body: &mut Incoming<S>,
        share: &mut Share<'_>,
    ) -> Result<Bytes, (Refusal, Seen)>
    where
        S: Stream<Item = Result<B, E>> + Unpin,
        B: Buf,
    {
        let (limit, time) = (self.body_bytes_max, self.limits.body);
        body.read(exchange.head.content_length(), limit, time, share).await.map_err(|fault| {
            let refusal = match fault.kind {
                BodyFaultKind::TooLarge => {
                    Refusal::new(Code::BodyTooLarge, format!("the body is larger than {limit} bytes"))
                }
                BodyFaultKind::TooSlow => {
                    Refusal::new(Code::BodyTimeout, format!("the body was not there within {} s", time.as_secs_f32()))
                }
                BodyFaultKind::Broken => Refusal::new(Code::InvalidPayload, "the connection ended before the body did"),
                BodyFaultKind::NoRoom => {
                    let message = "too many large bodies are in hand, send this one again";
                    Refusal::new(Code::NotReady, message).retry_after(STORE_RETRY_AFTER_SECONDS)
                }
            };
            (refusal, Seen { bytes: fault.prefix, read: fault.read, whole: false })
        })
    }

    /// Verifies and reads; large bodies off the event loop, so that they do not hold up small ones.
    async fn judge(&self, received: &Received) -> Result<Judged, Refusal> {
        let now = self.clock.now();
        let keep = received.route.kind != RouteKind::Handler || self.workflows.listens_to(received.route.name.as_str());
        if received.body.len() <= BODY_INLINE_BYTES_MAX {
            return judge(&received.verify(now)?, keep);
        }
        let large = received.clone();
        let judged = tokio::task::spawn_blocking(move || judge(&large.verify(now)?, keep)).await;
        match judged {
            Ok(judged) => judged,
            Err(fault) => match fault.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Refusal::new(Code::NotReady, "the agent is stopping").retry_after(1)),
            },
        }
    }

    /// Commits what was judged, then answers.
    async fn settle(&self, received: &Received, mut judged: Judged) -> Result<Response, Refusal> {
        let route = &*received.route;
        if route.kind != RouteKind::Handler {
            return self.settle_route(received, judged).await;
        }
        let handshake = judged.handshake.take();
        if let Some(reply) = &handshake
            && !reply.keep
        {
            self.metrics.count(Outcome::Handshake);
            return Ok(reply::handshake(reply));
        }
        // A handshake says that the connection stands; the filter is about events.
        let is_wanted = handshake.is_some() || wanted(&route.events, &judged.event);
        let reason = (!is_wanted).then(|| format!("event '{}' is not in the handler's `events`", judged.event));
        let event_id = EventId::new(self.ids.ulid(self.clock.now()));
        let event = new_event(event_id, received, &judged, reason.clone());
        let headers = if judged.payload.is_some() { event.headers.clone() } else { Vec::new() };
        let ingested = self.commit(received, event).await.map_err(|refusal| refusal.verdict(judged.verdict))?;
        let matched = match (ingested, &reason) {
            (Ingested::Kept, None) => self.matched(received, &judged, event_id, &headers).await,
            _ => Matched::default(),
        };
        let (answer, outcome) = self.answer_for(received, &judged, event_id, ingested, reason.as_deref(), &matched);
        self.finish(received, &judged, answer.event_id(), outcome);
        Ok(match &handshake {
            Some(reply) => reply::handshake(reply),
            None => {
                let status = StatusCode::from_u16(route.provider.success_status()).unwrap_or(StatusCode::OK);
                reply::answer(status, route.response_type, &answer)
            }
        })
    }

    /// Commits while the sender listens: an answer after its time-out would be an attempt that failed, and a late `accepted`
    /// helps nobody. The commit may still come to be; then the sender's next attempt is a duplicate.
    pub(super) async fn commit(&self, received: &Received, event: NewEvent) -> Result<Ingested, Refusal> {
        let route = &*received.route;
        let spent = self.clock.now().duration_since(received.exchange.received_at);
        let spent = Duration::try_from(spent).unwrap_or_default();
        let wait = patience(route.provider.answer_within(), spent).max(self.limits.commit_min);
        let outcome = tokio::time::timeout(wait, self.ledger.ingest(event)).await;
        // A full inbox is a rush, not a fault of the store.
        if !matches!(outcome, Ok(Err(LedgerError::Busy))) {
            self.health.committed(matches!(outcome, Ok(Ok(_))), self.clock.now());
        }
        match outcome {
            Ok(ingested) => ingested.map_err(|fault| store_refusal(route, &fault)),
            Err(_) => {
                let handler = route.name.as_str();
                let waited_ms = wait.as_millis();
                tracing::error!(handler.name = handler, waited_ms, "a commit took longer than its sender waits");
                let message = "the event could not be kept within the time that its sender waits, send it again";
                Err(Refusal::new(Code::StorageUnavailable, message).retry_after(STORE_RETRY_AFTER_SECONDS))
            }
        }
    }

    fn answer_for<'a>(
        &self,
        received: &'a Received,
        judged: &'a Judged,
        event_id: EventId,
        ingested: Ingested,
        reason: Option<&'a str>,
        matched: &'a Matched,
    ) -> (Answer<'a>, Outcome) {
        let route = &*received.route;
        match (ingested, reason) {
            (Ingested::Kept, None) => {
                if let Some(reason) = &matched.reason {
                    // It is kept and told like any other; only no workflow wants it.
                    return (Answer::Ignored { reason, event_id }, Outcome::Accepted);
                }
                let run = |(workflow, run_id): &(String, RunId)| RunRef { workflow: workflow.clone(), run_id: *run_id };
                let runs = matched.runs.iter().map(run).collect();
                (Answer::accepted(event_id, route.provider.name(), &judged.event, runs), Outcome::Accepted)
            }
            (Ingested::Kept, Some(reason)) => (Answer::Ignored { reason, event_id }, Outcome::Ignored),
            (Ingested::Duplicate { first }, _) => {
                let (event, id) = (judged.event.as_str(), judged.delivery_id.as_deref());
                (self.duplicate(received, event, id, judged.verdict, first), Outcome::Duplicate)
            }
            (Ingested::Requeued { event }, _) => (Answer::Requeued { event_id: event }, Outcome::Requeued),
        }
    }

    /// Keeps the row of a duplicate.
    pub(super) fn duplicate(
        &self,
        received: &Received,
        event: &str,
        delivery_id: Option<&str>,
        verdict: Verdict,
        first: EventId,
    ) -> Answer<'static> {
        let what = Repeated { event, delivery_id, verdict, first };
        let row = record::duplicate(&received.exchange, &received.route, &received.body, what);
        if !self.ledger.record_refused(row) {
            self.metrics.count_refusal_dropped();
        }
        Answer::Duplicate { event_id: first }
    }

    /// What the workflows that listen to the handler make of a committed event. When the ledger cannot say, the queue does
    /// it later and the answer names no runs.
    async fn matched(
        &self,
        received: &Received,
        judged: &Judged,
        id: EventId,
        headers: &[(String, String)],
    ) -> Matched {
        let Some(payload) = &judged.payload else { return Matched::default() };
        let route = &*received.route;
        let event = Arrival {
            id,
            handler: route.name.as_str(),
            provider: route.provider.name(),
            event: &judged.event,
            delivery_id: judged.delivery_id.as_deref(),
            verdict: judged.verdict,
            received_at: received.exchange.received_at,
            headers,
            payload,
        };
        let spent = self.clock.now().duration_since(received.exchange.received_at);
        let spent = Duration::try_from(spent).unwrap_or_default();
        let wait = patience(route.provider.answer_within(), spent).max(self.limits.commit_min);
        match tokio::time::timeout(wait, self.workflows.on_event(&event)).await {
            Ok(Ok(matched)) => matched,
            Ok(Err(error)) => {
                tracing::warn!(event.id = %id, %error, "the queue starts this event's runs");
                Matched::default()
            }
            Err(_) => {
                tracing::warn!(event.id = %id, "the queue starts this event's runs: the sender waits no longer");
                Matched::default()
            }
        }
    }

    pub(super) fn finish(&self, received: &Received, judged: &Judged, event_id: EventId, outcome: Outcome) {
        let (event, now) = (judged.event.as_str(), self.clock.now());
        let took = now.duration_since(received.exchange.received_at);
        let took = Duration::try_from(took).unwrap_or_default();
        self.metrics.count(outcome);
        self.metrics.acknowledged(took);
        let handler = received.route.name.as_str().to_owned();
        let key = AckKey { handler, verdict: judged.verdict.as_str(), outcome: outcome.as_str() };
        self.metrics.meters().acknowledged(key, took, now);
        let duration_ms = took.as_secs_f64() * 1000.0;
        let line = AcceptedLine { event_id, event, outcome: outcome.as_str(), duration_ms };
        self.log.accepted(&received.exchange, &received.route, &line, &received.body);
    }
}

/// What is left of the time for which a sender waits, after `spent` of it, with a margin for the way of the answer.
fn patience(answer_within: Option<Duration>, spent: Duration) -> Duration {
    answer_within.unwrap_or(ANSWER_WITHIN_DEFAULT).saturating_sub(ANSWER_MARGIN).saturating_sub(spent)
}

/// Gives a refusal for want of capacity the status that makes this sender try again. Some senders switch a hook off for one
/// kind of status, others drop an event for good after it: the manifest knows.
fn for_sender(route: &Route, refusal: Refusal) -> Refusal {
    let status = match refusal.code {
        Code::RateLimited => route.provider.rate_limit_status(),
        Code::NotReady | Code::StorageUnavailable => route.provider.overload_status(),
        Code::BadRequest
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::IpNotAllowed
        | Code::Disabled
        | Code::BodyTooLarge
        | Code::BodyTimeout
        | Code::MissingSignature
        | Code::InvalidSignature
        | Code::StaleSignature
        | Code::InvalidPayload
        | Code::MissingEventType
        | Code::Internal => return refusal,
    };
    let usual = refusal.code.status();
    refusal.status(StatusCode::from_u16(status).unwrap_or(usual))
}

pub(super) fn store_refusal(route: &Route, fault: &LedgerError) -> Refusal {
    match fault {
        LedgerError::Busy => {}
        LedgerError::Unavailable(_) | LedgerError::Invalid(_) | LedgerError::NotFound(_) => {
            tracing::error!(handler.name = route.name.as_str(), error = %fault, "an event could not be kept");
        }
    }
    Refusal::new(Code::StorageUnavailable, "the event could not be kept, send it again")
        .retry_after(STORE_RETRY_AFTER_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_has_what_the_sender_and_the_body_leave_of_its_time() {
        let ms = Duration::from_millis;
        assert_eq!(patience(Some(ms(1000)), ms(0)), ms(750));
        assert_eq!(patience(Some(ms(3000)), ms(2000)), ms(750));
        assert_eq!(patience(Some(ms(100)), ms(9)), ms(0));
        assert_eq!(patience(None, ms(0)), ms(9750));
    }
}
