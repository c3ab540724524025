//! Who is called by steps: a server on loopback that counts, by path and by the id of the request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::prove::Sabotage;

/// Requests of one path: the `webhook-id` of each, empty where there was none.
type Seen = BTreeMap<String, Vec<String>>;

/// The server; it ends with this value.
#[derive(Debug)]
pub(in crate::prove) struct Receiver {
    pub(in crate::prove) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    pages: Arc<Mutex<BTreeMap<String, String>>>,
    accepting: AbortHandle,
}

impl Receiver {
    /// Listens on a free port. With sabotage it is a bad witness.
    pub(in crate::prove) async fn start(sabotage: Option<Sabotage>) -> Result<Self, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let seen = Arc::new(Mutex::new(Seen::new()));
        let times = match sabotage {
            Some(Sabotage::DropEffects) => 0,
            Some(Sabotage::DoubleEffects) => 2,
            Some(Sabotage::Tables | Sabotage::Leak) | None => 1,
        };
        let pages = Arc::new(Mutex::new(BTreeMap::new()));
        let (kept, served) = (Arc::clone(&seen), Arc::clone(&pages));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, served) = (Arc::clone(&kept), Arc::clone(&served));
                tokio::spawn(async move {
                    let service =
                        service_fn(move |request| answer(Arc::clone(&kept), Arc::clone(&served), times, request));
                    // Whoever calls may be killed at any time.
                    let _ended = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { address, seen, pages, accepting: task.abort_handle() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `path` is answered with this text.
    pub(in crate::prove) fn serve(&self, path: &str, text: &str) {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), text.to_owned());
    }

    /// How often `path` was called.
    pub(in crate::prove) fn count(&self, path: &str) -> usize {
        self.seen().get(path).map_or(0, Vec::len)
    }

    /// Under how many ids `path` was called.
    pub(in crate::prove) fn ids(&self, path: &str) -> usize {
        let mut ids = self.seen().get(path).cloned().unwrap_or_default();
        ids.sort();
        ids.dedup();
        ids.len()
    }

    /// How often anything was called.
    pub(in crate::prove) fn total(&self) -> usize {
        self.seen().values().map(Vec::len).sum()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(
    seen: Arc<Mutex<Seen>>,
    pages: Arc<Mutex<BTreeMap<String, String>>>,
    times: usize,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let id = request.headers().get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    // It happened as soon as the head was here, whether the body comes or not.
    let page = pages.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
    {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(path).or_default().extend(std::iter::repeat_n(id, times));
    }
    let _body = request.into_body().collect().await;
    let (kind, text) = page.map_or(("application/json", "{}".to_owned()), |page| ("text/plain", page));
    let answer = Response::builder().header("content-type", kind).body(Full::new(Bytes::from(text)));
    Ok(answer.expect("a known header makes an answer"))
}
