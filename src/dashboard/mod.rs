//! The local API: events over HTTP for the command line and for scripts on this machine.
//!
//! It listens on loopback, asks for the token in `data/admin_token`, and checks the `Host` header so that a page in a browser
//! cannot reach it through a name of its own. It reads the ledger, puts events back into the queue, and asks the
//! engine as any channel does; it knows nothing of channels or of the webhook server. Pages come with the dashboard.

mod api;
mod pages;
mod problem;
mod serve;
mod workflows;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use futures::{Stream, StreamExt};
use http::{HeaderMap, Method, header};
use jiff::Timestamp;
use subtle::ConstantTimeEq;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

use crate::agent::Triggers;
use crate::config::Secret;
use crate::ledger::Ledger;
use crate::ports::{Clock, Ids};
use problem::Problem;

pub use pages::{Advice, Advisor, HandlerFacts, Site};
pub use serve::serve;

/// Who acts through the API and the pages, as runs and the audit log name them.
const ADMIN: &str = "local admin";

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// A whole body must be there within this.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// What the API answers from.
#[derive(Debug)]
pub struct LocalApi {
    /// Events and counts.
    pub ledger: Arc<dyn Ledger>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers of replays.
    pub ids: Arc<dyn Ids>,
    /// What callers must present.
    pub token: Secret,
    /// When the agent started.
    pub started_at: Timestamp,
    /// Names of the handlers.
    pub handlers: Vec<String>,
    /// Workflows and what carries them out.
    pub triggers: Triggers,
    /// What the pages know besides.
    pub site: Site,
}

/// The API as a warp filter that answers every request.
pub fn routes(api: Arc<LocalApi>, address: SocketAddr) -> BoxedFilter<(Response,)> {
    warp::any()
        .and(warp::method())
        .and(warp::path::full())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, path: FullPath, query: String, headers: HeaderMap, body| {
            let api = Arc::clone(&api);
            async move { answer(&api, address, &method, path.as_str(), &query, &headers, body).await }
        })
        .boxed()
}

/// Reads a body up to its bound.
async fn read_body<B: Buf>(stream: impl Stream<Item = Result<B, warp::Error>>) -> Result<Vec<u8>, Problem> {
    let mut stream = std::pin::pin!(stream);
    let mut body = Vec::new();
    let read = async {
        while let Some(chunk) = stream.next().await {
            let mut chunk = chunk.map_err(|_| Problem::bad_request("the connection ended before the body did"))?;
            if body.len() + chunk.remaining() > BODY_BYTES_MAX {
                return Err(Problem::too_large(BODY_BYTES_MAX));
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

async fn answer<B: Buf>(
    api: &LocalApi,
    address: SocketAddr,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Response {
    let answered = async {
        if !host_is_ours(headers, address) {
            return Err(Problem::misdirected());
        }
        if path == "/health" {
            return api::health(api, method).await;
        }
        if let Some(asset) = pages::asset(path) {
            return Ok(asset);
        }
        if !token_is_ours(headers, &api.token) {
            return Err(Problem::unauthorized());
        }
        let body = read_body(body).await?;
        if !path.starts_with("/api/") {
            return Ok(pages::dispatch(api, "csrf-to-come", method, path, query, &body).await);
        }
        api::dispatch(api, method, path, query, &body).await
    };
    answered.await.unwrap_or_else(Problem::into_response)
}

/// Whether the request names this listener as a person on this machine would. A page that made its own name resolve to
/// 127.0.0.1 (DNS rebinding) sends that name here.
fn host_is_ours(headers: &HeaderMap, address: SocketAddr) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    match name.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip == address.ip() || address.ip().is_unspecified(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

fn token_is_ours(headers: &HeaderMap, token: &Secret) -> bool {
    let presented = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().split_at_checked(7))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map(|(_, rest)| rest);
    presented.is_some_and(|presented| bool::from(presented.ct_eq(token.expose().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header value"))])
    }

    #[test]
    fn a_foreign_host_name_is_refused() {
        let address: SocketAddr = "127.0.0.1:51430".parse().expect("valid");
        for ours in ["127.0.0.1:51430", "localhost:51430", "LOCALHOST", "[::1]:51430"] {
            assert!(host_is_ours(&with(header::HOST, ours), address), "{ours}");
        }
        for foreign in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:51430", "10.0.0.1"] {
            assert!(!host_is_ours(&with(header::HOST, foreign), address), "{foreign}");
        }
        assert!(!host_is_ours(&HeaderMap::new(), address));
    }

    #[test]
    fn only_the_whole_token_is_taken() {
        let token = Secret::new("0123456789").expect("not empty");
        for (value, taken) in [
            ("Bearer 0123456789", true),
            ("bearer 0123456789", true),
            ("Bearer 012345678", false),
            ("Bearer 01234567890", false),
            ("Bearer ", false),
            ("Basic 0123456789", false),
            ("0123456789", false),
        ] {
            assert_eq!(token_is_ours(&with(header::AUTHORIZATION, value), &token), taken, "{value}");
        }
    }
}
