//! The webhook server: from a socket to a committed event and its answer.
//!
//! One pipeline serves every route (`receive`): route → address list → rate limit → body → **verify** → payload → filter →
//! **commit** → answer. What is refused is answered by its code, recorded and logged in one place (`Inner::refuse`).
//! The server knows nothing of workflows' insides, agents, models or chats: it verifies, stores and answers.
//!
//! warp is used as a service only (`warp::service`) under an accept loop of our own (`listener`), because its own server has no
//! TLS, no time-outs and no cap on connections. Routing is one catch-all dispatcher over a table: chains of filters turn 404
//! into 405 and let rejections fall through.

mod admission;
mod body;
mod connection;
mod diagnose;
mod framing;
mod judged;
mod limiter;
mod limits;
mod listener;
mod mask;
mod mend;
mod metrics;
mod pages;
mod payload;
mod receive;
mod record;
mod refusal;
mod reply;
mod routes;
mod tls;
mod verify;
mod workflows;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;
use bytes::Buf;
use futures::{FutureExt, Stream};
use http::Method;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use warp::Filter;
use warp::reply::Response;

pub use self::limits::ServerLimits;
pub use self::listener::{BindError, Server};
pub use self::mask::{MASK, Masker};
pub use self::metrics::{IntakeMetrics, IntakeSnapshot, LATENCY_BUCKETS_US, Outcome};
pub use self::refusal::Code;
pub use self::routes::{GENERIC, PREFIXES, PROVIDER_DEFAULT, paths};
pub use self::tls::{TlsFault, certificate};
pub use self::verify::Peer;
pub use self::workflows::{Matched, NoWorkflows, WorkflowRoute, Workflows, is_reserved};

use self::admission::Admission;
use self::body::{Incoming, Room};
use self::limits::DRAIN_BYTES_MAX;
use self::pages::HealthCache;
use self::record::{PerSecond, Recorder, RequestLog, Seen};
use self::refusal::Refusal;
use self::routes::{Route, RouteKind, Routes, Target};
use self::verify::{Exchange, Head};
use crate::config::{ResponseType, Webhooks};
use crate::domain::fault::Fault;
use crate::domain::ids::RequestId;
use crate::ledger::Ledger;
use crate::lifecycle::{Shutdown, Tasks, panic_message};
use crate::ports::{Clock, Ids};
use crate::provider::Registry;

/// What the webhook server is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its section of the configuration.
    pub config: Webhooks,
    /// The providers.
    pub registry: Arc<Registry>,
    /// Where events are kept.
    pub ledger: Arc<dyn Ledger>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
    /// Workflows.
    pub workflows: Arc<dyn Workflows>,
    /// Where short tasks are started.
    pub tasks: Tasks,
    /// Time-outs and caps.
    pub limits: ServerLimits,
}

/// The webhook server without its sockets. Clones share it.
#[derive(Debug, Clone)]
pub struct Intake(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Webhooks,
    admission: Admission,
    routes: ArcSwap<Routes>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    workflows: Arc<dyn Workflows>,
    tasks: Tasks,
    limits: ServerLimits,
    body_bytes_max: usize,
    public_url: Option<Arc<str>>,
    started_at: Timestamp,
    ready: AtomicBool,
    health: HealthCache,
    recorder: Recorder,
    bodies: Room,
    log: RequestLog,
    masker: Masker,
    diagnoses: PerSecond,
    metrics: Arc<IntakeMetrics>,
}

impl Intake {
    /// Builds it.
    ///
    /// # Errors
    /// Every fault in the table of routes: a provider that does not exist, two things that claim one path.
    pub fn new(parts: Parts) -> Result<Self, Vec<Fault>> {
        let Parts { config, registry, ledger, clock, ids, workflows, tasks, limits } = parts;
        let admission = Admission::new(&config, &clock);
        let routes = Routes::build(&config, &registry, &admission, &clock)?;
        let secrets = config.handlers.values().flat_map(|handler| &handler.secrets).chain(&config.common_secret);
        Ok(Self(Arc::new(Inner {
            masker: Masker::new(&[], secrets.cloned().collect()),
            admission,
            routes: ArcSwap::from_pointee(routes),
            started_at: clock.now(),
            body_bytes_max: config.max_body_bytes,
            public_url: config.public_url.as_deref().map(Arc::from),
            log: RequestLog(config.logging.clone()),
            config,
            ledger,
            clock,
            ids,
            workflows,
            tasks,
            limits,
            ready: AtomicBool::new(true),
            health: HealthCache::default(),
            recorder: Recorder::default(),
            bodies: Room::new(limits.bodies_bytes),
            diagnoses: PerSecond::default(),
            metrics: Arc::default(),
        })))
    }

    /// Takes changed providers into use; requests in flight end with the old ones. Rate limits start afresh only for
    /// handlers with a limit of their own.
    ///
    /// # Errors
    /// The faults; the old table stays.
    pub fn reload(&self, registry: &Registry) -> Result<(), Vec<Fault>> {
        let routes = Routes::build(&self.0.config, registry, &self.0.admission, &self.0.clock)?;
        self.0.routes.store(Arc::new(routes));
        Ok(())
    }

    /// Until this is `true` again webhooks are answered 503 `not_ready`. It is `true` at first.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Relaxed);
    }

    /// The counters.
    pub fn metrics(&self) -> Arc<IntakeMetrics> {
        Arc::clone(&self.0.metrics)
    }

    /// Serves one connection of HTTP/1.1 over `io`, as the listener does with a socket of `peer`; for fuzzing.
    #[doc(hidden)]
    pub async fn serve_bytes<IO>(&self, io: IO, peer: SocketAddr, shutdown: Shutdown)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        connection::serve_h1(io, peer, false, self.clone(), self.0.limits, shutdown).await;
    }

    /// The whole server as one filter. It expects the request's head as an extension, which `connection` puts there.
    fn filter(
        &self,
    ) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static + use<> {
        let inner = Arc::clone(&self.0);
        warp::ext::get::<Arc<Head>>().and(warp::body::stream()).and_then(move |head, stream| {
            let inner = Arc::clone(&inner);
            async move { Ok::<_, warp::Rejection>(inner.respond(head, stream).await) }
        })
    }
}

impl Inner {
    fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    /// Answers one request, whatever happens.
    async fn respond<S, B, E>(&self, head: Arc<Head>, stream: S) -> Response
    where
        S: Stream<Item = Result<B, E>> + Send + Unpin + 'static,
        B: Buf + Send,
        E: Send,
    {
        let received_at = self.clock.now();
        let client = self.admission.client(head.peer.0.ip(), &head.headers);
        let id = RequestId::new(self.ids.ulid(received_at));
        let exchange = Exchange { id, received_at, client, head };
        let mut body = Incoming::new(stream);
        // A panic must cost one answer and not the connection, on which other requests may be in flight.
        let guarded = AssertUnwindSafe(self.dispatch(&exchange, &mut body)).catch_unwind().await;
        let response = guarded.unwrap_or_else(|panic| {
            tracing::error!(request.id = %id, error = panic_message(&*panic), "a request panicked");
            let refusal = Refusal::new(Code::Internal, "the agent failed, its log has more under this request id");
            self.metrics.count_refusal(refusal.code);
            let response_type = match self.routes.load().find(exchange.head.uri.path()) {
                Some(Target::Route(route)) => route.response_type,
                Some(Target::Test(..) | Target::Health) | None => ResponseType::Json,
            };
            reply::refusal(id, response_type, &refusal)
        });
        self.leave_body(&exchange.head, body, reply::with_id(response, id))
    }

    async fn dispatch<S, B, E>(&self, exchange: &Exchange, body: &mut Incoming<S>) -> Response
    where
        S: Stream<Item = Result<B, E>> + Unpin,
        B: Buf,
    {
        let path = exchange.head.uri.path();
        let target = self.routes.load().find(path).or_else(|| {
            self.workflow_route(path).map(|(route, test)| match test {
                Some(path) => Target::Test(route, path.into()),
                None => Target::Route(route),
            })
        });
        if let Err(refusal) = framing::check(&exchange.head) {
            let route = match target {
                Some(Target::Route(route) | Target::Test(route, _)) => Some(route),
                Some(Target::Health) | None => None,
            };
            return self.refuse(exchange, route.as_deref(), &refusal, &Seen::default());
        }
        let (route, outcome) = match target {
            None => (None, Err((Refusal::new(Code::NotFound, "nothing is served at this path"), Seen::default()))),
            Some(Target::Health) => (None, self.health(exchange).await.map_err(unread)),
            Some(Target::Test(route, path)) => {
                let page = self.test_page(exchange, &route, &path).map_err(unread);
                (Some(route), page)
            }
            Some(Target::Route(route)) => {
                let is_read = matches!(exchange.head.method, Method::GET | Method::HEAD);
                let outcome = if route.kind == RouteKind::Generic && is_read {
                    self.generic_page(exchange, &route).map_err(unread)
                } else {
                    self.receive(exchange, &route, body).await
                };
                (Some(route), outcome)
            }
        };
        outcome.unwrap_or_else(|(refusal, seen)| self.refuse(exchange, route.as_deref(), &refusal, &seen))
    }

    /// Answers a refusal, and records and logs it.
    fn refuse(&self, exchange: &Exchange, route: Option<&Route>, refusal: &Refusal, seen: &Seen) -> Response {
        self.metrics.count_refusal(refusal.code);
        if self.recorder.keeps(refusal.code, exchange.received_at) {
            let row = match route {
                Some(route) => record::refused(exchange, route, refusal, seen),
                None => record::unknown_path(exchange, &self.masker, refusal),
            };
            if !self.ledger.record_refused(row) {
                self.metrics.count_refusal_dropped();
            }
            let masker = route.map_or(&self.masker, |route| &route.masker);
            self.log.refused(exchange, route, masker, refusal, &seen.bytes);
        } else {
            self.metrics.count_refusal_dropped();
        }
        let response_type = route.map_or(ResponseType::Json, |route| route.response_type);
        reply::refusal(exchange.id, response_type, refusal)
    }

    /// Deals with a body that was not read to its end. Closing a socket with unread bytes resets it, and the client would
    /// see the reset instead of the answer: so the answer goes out, and what still comes is read away for a while.
    fn leave_body<S, B, E>(&self, head: &Head, mut body: Incoming<S>, response: Response) -> Response
    where
        S: Stream<Item = Result<B, E>> + Send + Unpin + 'static,
        B: Buf + Send,
        E: Send,
    {
        let waits_for_continue = !body.is_begun() && head.header("expect").is_some();
        let done = !waits_for_continue && body.drain(0).now_or_never().unwrap_or(false);
        if done {
            return response;
        }
        if !waits_for_continue {
            let time = self.limits.drain;
            self.tasks.spawn_short("intake drain", async move {
                // Whether the end was reached makes no difference any more: the connection closes either way.
                let _ = tokio::time::timeout(time, body.drain(DRAIN_BYTES_MAX)).await;
            });
        }
        if head.is_http1() { reply::closing(response) } else { response }
    }
}

fn unread(refusal: Refusal) -> (Refusal, Seen) {
    (refusal, Seen::default())
}
