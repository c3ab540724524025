//! The pages of the webhook server that take no webhook: `/health`, what a handler expects, what `generic` expects.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use warp::reply::Response;

use super::Inner;
use super::limits::{HEALTH_AGE_MAX, HEALTH_FAILURE_TOLD};
use super::metrics::Outcome;
use super::refusal::{Code, Refusal};
use super::reply;
use super::routes::{Route, RouteKind};
use super::verify::Exchange;
use crate::domain::event::HandlerName;
use crate::ledger::LedgerError;

/// The last look at the store. `/health` is never limited, so it must not cost a query each time.
#[derive(Debug, Default)]
pub struct HealthCache {
    looked_at_ms: AtomicI64,
    state: ArcSwapOption<StoreState>,
    /// When the last commit failed; 0 when it succeeded.
    commit_failed_at_ms: AtomicI64,
}

impl HealthCache {
    /// Notes what became of a commit. Reading goes on when a disk is full, so it alone says nothing about health.
    pub fn committed(&self, succeeded: bool, now: Timestamp) {
        let failed_at_ms = if succeeded { 0 } else { now.as_millisecond() };
        if self.commit_failed_at_ms.load(Relaxed) != failed_at_ms {
            self.commit_failed_at_ms.store(failed_at_ms, Relaxed);
        }
    }

    fn commits(&self, now: Timestamp) -> bool {
        let failed_at_ms = self.commit_failed_at_ms.load(Relaxed);
        failed_at_ms == 0 || Duration::from_millis(now.as_millisecond().abs_diff(failed_at_ms)) > HEALTH_FAILURE_TOLD
    }
}

/// What the store said; `None` when it did not answer.
#[derive(Debug, Clone, Copy)]
struct StoreState {
    queue_depth: Option<u64>,
}

impl Inner {
    /// `GET /health`: 200, or 503 with `degraded` when the store does not answer.
    ///
    /// # Errors
    /// `method_not_allowed`.
    pub(super) async fn health(&self, exchange: &Exchange) -> Result<Response, Refusal> {
        #[derive(Serialize)]
        struct Health<'a> {
            status: &'static str,
            version: &'static str,
            uptime_seconds: i64,
            queue_depth: Option<u64>,
            handlers: &'a [HandlerName],
        }
        only_get(exchange)?;
        let store = self.store_state().await;
        let (status, word) = match store.queue_depth {
            Some(_) if self.health.commits(self.clock.now()) => (StatusCode::OK, "ok"),
            Some(_) | None => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
        };
        let health = Health {
            status: word,
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.clock.now().duration_since(self.started_at).as_secs().max(0),
            queue_depth: store.queue_depth,
            handlers: &self.routes.load().enabled,
        };
        self.metrics.count(Outcome::Page);
        Ok(reply::json(status, &health))
    }

    /// One look at the store at most in [`HEALTH_AGE_MAX`]: who finds it due looks, the others take the last answer.
    async fn store_state(&self) -> StoreState {
        let cache = &self.health;
        let now = self.clock.now().as_millisecond();
        let looked_at = cache.looked_at_ms.load(Relaxed);
        let age = Duration::from_millis(now.abs_diff(looked_at));
        if let Some(state) = cache.state.load().as_deref()
            && (age < HEALTH_AGE_MAX || cache.looked_at_ms.compare_exchange(looked_at, now, Relaxed, Relaxed).is_err())
        {
            return *state;
        }
        cache.looked_at_ms.store(now, Relaxed);
        let queue_depth = match self.ledger.stats().await {
            Ok(stats) => Some(stats.queue_depth),
            Err(LedgerError::Busy) => cache.state.load().as_deref().and_then(|last| last.queue_depth),
            Err(LedgerError::Unavailable(_) | LedgerError::Invalid(_) | LedgerError::NotFound(_)) => None,
        };
        let state = StoreState { queue_depth };
        cache.state.store(Some(Arc::new(state)));
        state
    }

    /// `GET <handler>/test`: what it expects.
    ///
    /// # Errors
    /// `method_not_allowed`, `ip_not_allowed`, `rate_limited`.
    pub(super) fn test_page(&self, exchange: &Exchange, route: &Route, path: &str) -> Result<Response, Refusal> {
        #[derive(Serialize)]
        struct Event<'a> {
            name: &'a str,
            description: &'a str,
            has_schema: bool,
        }
        #[derive(Serialize)]
        struct Page<'a> {
            provider: &'a str,
            webhook_support: bool,
            webhook_url: String,
            supported_events: Vec<Event<'a>>,
            signature_validation: bool,
            signature_header: &'a str,
        }
        only_get(exchange)?;
        self.admission.admit(exchange.client, &route.allowed, route.limiter.as_ref())?;
        // A workflow takes whatever its sender sends.
        let known = if route.kind == RouteKind::Workflow { &[][..] } else { route.provider.events() };
        let events = known.iter().map(|event| Event {
            name: &event.name,
            description: &event.description,
            has_schema: event.has_schema,
        });
        self.metrics.count(Outcome::Page);
        Ok(reply::json(
            StatusCode::OK,
            &Page {
                provider: if route.kind == RouteKind::Workflow { route.name.as_str() } else { route.provider.name() },
                webhook_support: true,
                webhook_url: format!("{}{path}", self.public_url.as_deref().unwrap_or_default()),
                supported_events: events.collect(),
                signature_validation: !route.secrets.is_empty(),
                signature_header: route.provider.signature_header_shown(),
            },
        ))
    }

    /// `GET /webhooks/generic`: what it expects.
    ///
    /// # Errors
    /// `ip_not_allowed`, `rate_limited`.
    pub(super) fn generic_page(&self, exchange: &Exchange, route: &Route) -> Result<Response, Refusal> {
        self.admission.admit(exchange.client, &route.allowed, route.limiter.as_ref())?;
        self.metrics.count(Outcome::Page);
        Ok(reply::json(
            StatusCode::OK,
            &json!({
                "description": "POST starts a workflow by its name",
                "method": "POST",
                "content_type": "application/json",
                "expects": {"workflow_name": "the workflow's name", "inputs": "an object, optional"},
                "signature_validation": !route.secrets.is_empty(),
                "signature_header": route.provider.signature_header_shown(),
            }),
        ))
    }
}

fn only_get(exchange: &Exchange) -> Result<(), Refusal> {
    if matches!(exchange.head.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    Err(Refusal::new(Code::MethodNotAllowed, "this page is read with GET").allow("GET, HEAD"))
}
