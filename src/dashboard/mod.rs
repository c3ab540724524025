//! The dashboard and the local API: for people in a browser, for the command line and for scripts on this machine.
//!
//! It has a listener of its own. `front` judges the head of every request, `auth` knows the callers; without one nothing but
//! the login page (with its style, script and icon) and `/health` answers. It reads the ledger, puts events back into the queue, and asks the
//! engine as any channel does; it knows nothing of channels or of the webhook server.

mod api;
mod auth;
mod chat;
mod front;
mod login;
mod overview;
mod pages;
mod problem;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use futures::{Stream, StreamExt};
use http::{HeaderMap, Method, header};
use jiff::Timestamp;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

use crate::agent::Triggers;
use crate::ledger::{ChatLedger, Ledger};
use crate::ports::{Clock, Ids};
use crate::telemetry::Meters;
use auth::{Caller, Session};
use problem::Problem;

pub use api::Streams;
pub use auth::Auth;
pub use chat::{ChatDesk, ChatHeard, ChatTurn};
pub use pages::{Advice, Advisor, HandlerFacts, Site};
pub use serve::serve;

/// Who acts through the API and the pages, as runs and the audit log name them.
const ADMIN: &str = "local admin";

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest body of a login.
const LOGIN_BYTES_MAX: usize = 8 * 1024;
/// Where scripts of a page put their session's token.
const CSRF_HEADER: &str = "x-csrf-token";
/// Where forms put it.
const CSRF_FIELD: &str = "csrf";
/// A whole body must be there within this.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// What the API answers from.
#[derive(Debug)]
pub struct LocalApi {
    /// Events and counts.
    pub ledger: Arc<dyn Ledger>,
    /// What was told to be remembered can be forgotten.
    pub chats: Arc<dyn ChatLedger>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers of replays.
    pub ids: Arc<dyn Ids>,
    /// Who may call.
    pub auth: Auth,
    /// Where it listens.
    pub address: SocketAddr,
    /// Names of this machine by which a proxy reaches it.
    pub names: Vec<String>,
    /// When the agent started.
    pub started_at: Timestamp,
    /// Names of the handlers.
    pub handlers: Vec<String>,
    /// Workflows and what carries them out.
    pub triggers: Triggers,
    /// Who answers what a person says.
    pub chat: Arc<dyn ChatDesk>,
    /// How fast the webhook server acknowledges; `None` when it is off.
    pub meters: Option<Arc<Meters>>,
    /// Places for live streams.
    pub streams: Streams,
    /// What the pages know besides.
    pub site: Site,
}

/// The API as a warp filter that answers every request.
pub fn routes(api: Arc<LocalApi>) -> BoxedFilter<(Response,)> {
    warp::any()
        .and(warp::method())
        .and(warp::path::full())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, path: FullPath, query: String, headers: HeaderMap, body| {
            let api = Arc::clone(&api);
            let asked = Asked { method, path: path.as_str().to_owned(), query, headers };
            async move { answer(&api, asked, body).await }
        })
        .boxed()
}

/// Longest reason of a decision, in characters: it is kept, and told wherever the decision is.
const REASON_CHARS_MAX: usize = 500;

/// A request's head.
struct Asked {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
}

/// Reads a body up to its bound.
async fn read_body<B: Buf>(
    stream: impl Stream<Item = Result<B, warp::Error>>,
    bytes_max: usize,
) -> Result<Vec<u8>, Problem> {
    let mut stream = std::pin::pin!(stream);
    let mut body = Vec::new();
    let read = async {
        while let Some(chunk) = stream.next().await {
            let mut chunk = chunk.map_err(|_| Problem::bad_request("the connection ended before the body did"))?;
            if body.len() + chunk.remaining() > bytes_max {
                return Err(Problem::too_large(bytes_max));
            }
            while chunk.has_remaining() {
                let part = chunk.chunk().len();
                body.extend_from_slice(chunk.chunk());
                chunk.advance(part);
            }
        }
        Ok(())
    };
    tokio::time::timeout(BODY_WAIT_MAX, read).await.map_err(|_| Problem::timeout())??;
    Ok(body)
}

/// Answers a request: who sent it is known before anything of it is looked at but its head.
async fn answer<B: Buf>(
    api: &Arc<LocalApi>,
    request: Asked,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Response {
    let is_page = !is_api(&request.path) && request.path != "/health";
    let answered = async {
        let Asked { method, path, query, headers } = request;
        if !front::host_is_ours(&headers, api.address, &api.names) {
            return Err(Problem::misdirected());
        }
        if path == "/health" {
            return api::dispatch(api, &method, &path, &query, headers, Vec::new()).await;
        }
        if front::is_safe(&method)
            && let Some(asset) = pages::asset(&path)
        {
            return Ok(asset);
        }
        if path == "/login" {
            return login::answer(api, &method, &query, &headers, &read_body(body, LOGIN_BYTES_MAX).await?);
        }
        let Some(caller) = api.auth.caller(&headers, api.clock.now()) else {
            return match (is_page, front::is_safe(&method)) {
                (false, _) => Err(Problem::unauthorized()),
                (true, true) => Ok(login::ask(&path, &query)),
                (true, false) => Ok(login::signed_out(&headers)),
            };
        };
        let body = read_body(body, BODY_BYTES_MAX).await?;
        if let Caller::Session(session) = &caller
            && !front::is_safe(&method)
        {
            check_origin(session, &headers, &body)?;
        }
        let csrf = match &caller {
            Caller::Session(session) => session.csrf(),
            Caller::Token => "",
        };
        match path.as_str() {
            "/logout" => login::leave(api, &method, &caller),
            _ if !is_page => api::dispatch(api, &method, &path, &query, headers, body).await,
            _ => Ok(pages::dispatch(api, csrf, &method, &path, &query, &body).await),
        }
    };
    let told = |problem: Problem| if is_page { pages::refused(&problem) } else { problem.into_response() };
    front::shielded(answered.await.unwrap_or_else(told))
}

/// Whether programs ask there; everything else is for people.
fn is_api(path: &str) -> bool {
    path.starts_with("/api/") || path == "/metrics"
}

/// A browser sends its cookie whoever made it send the request; the token in it says that a page of ours did.
fn check_origin(session: &Session, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    if front::is_from_elsewhere(headers) {
        return Err(Problem::forbidden("this was sent from a page of another site"));
    }
    let in_header = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok().map(str::to_owned));
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let in_form = || {
        let field = form_urlencoded::parse(body).find(|(name, _)| name == CSRF_FIELD)?;
        Some(field.1.into_owned())
    };
    match in_header.or_else(|| is_form.then(in_form).flatten()) {
        Some(presented) if session.csrf_is(&presented) => Ok(()),
        Some(_) => Err(Problem::forbidden(
            "the page is older than this login, so nothing was changed: go back and load it again",
        )),
        None => Err(Problem::forbidden(
            "a change by a browser needs its session's token: the form field 'csrf' or the header 'x-csrf-token'",
        )),
    }
}
