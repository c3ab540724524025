//! One connection: TLS where it is on, HTTP/1.1 or HTTP/2, time-outs, and a graceful end.
//!
//! hyper's time-outs work only with a timer set, and its automatic protocol detection has none for the first bytes; so
//! plain text is HTTP/1.1 alone, and TLS chooses by ALPN.

use std::fmt::Display;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::Request;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use warp::reply::Response;

use super::limits::{H2_CONNECTION_WINDOW_BYTES, H2_STREAMS_MAX, H2_WINDOW_BYTES, HEAD_BYTES_MAX, HEADERS_MAX};
use super::verify::{Head, Peer};
use super::{Intake, ServerLimits};
use crate::lifecycle::Shutdown;

/// Serves one connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    intake: Intake,
    shutdown: Shutdown,
) {
    // Answers are small and written at once; waiting to fill a packet would only delay them.
    if stream.set_nodelay(true).is_err() {
        return; // The client has gone already.
    }
    let limits = intake.0.limits;
    let Some(tls) = tls else { return serve_h1(stream, peer, false, intake, limits, shutdown).await };
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(limits.handshake, tls.accept(stream)) => handshake,
        () = shutdown.stopping() => return,
    };
    match handshake {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            serve_h2(stream, peer, intake, limits, shutdown).await;
        }
        Ok(Ok(stream)) => serve_h1(stream, peer, true, intake, limits, shutdown).await,
        Ok(Err(fault)) => {
            tracing::debug!(client.ip = %peer.ip(), error = %fault, "a TLS handshake failed");
        }
        Err(_) => tracing::debug!(client.ip = %peer.ip(), "a TLS handshake took too long"),
    }
}

/// Serves HTTP/1.1 over `io`; `secure` when TLS is around it.
pub(super) async fn serve_h1<IO>(
    io: IO,
    peer: SocketAddr,
    secure: bool,
    intake: Intake,
    limits: ServerLimits,
    shutdown: Shutdown,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        // A client that ends its side after the request still waits for the answer.
        .half_close(true)
        .serve_connection(TokioIo::new(io), service(intake, peer, secure, Arc::clone(&activity)));
    drive(connection, peer.ip(), &activity, None, shutdown).await;
}

async fn serve_h2<IO>(io: IO, peer: SocketAddr, intake: Intake, limits: ServerLimits, shutdown: Shutdown)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).expect("64 KiB"))
        .initial_stream_window_size(H2_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(limits.h2_ping)
        .keep_alive_timeout(limits.h2_ping)
        .serve_connection(TokioIo::new(io), service(intake, peer, true, Arc::clone(&activity)));
    drive(connection, peer.ip(), &activity, Some(limits.h2_idle), shutdown).await;
}

/// Requests of one connection: ever begun, and in flight.
#[derive(Debug, Default)]
struct Activity {
    begun: AtomicU64,
    in_flight: AtomicU64,
}

/// One request in flight.
struct InFlight(Arc<Activity>);

impl InFlight {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Relaxed);
        activity.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// The warp filter as hyper's service. The head moves out of the request into an extension: warp hands out copies of
/// headers, and the peer is not to be had from warp at all under an accept loop of our own.
fn service(
    intake: Intake,
    peer: SocketAddr,
    secure: bool,
    activity: Arc<Activity>,
) -> impl hyper::service::HttpService<
    hyper::body::Incoming,
    ResBody = impl hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> {
    let warp = TowerToHyperService::new(warp::service(intake.filter()));
    hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let in_flight = InFlight::new(&activity);
        let (parts, body) = request.into_parts();
        let version = parts.version;
        let (method, uri, headers) = (parts.method, parts.uri, parts.headers);
        let head = Head { method, uri, headers, peer: Peer(peer), secure, version };
        let mut request = Request::new(body);
        request.extensions_mut().insert(Arc::new(head));
        let answer = warp.call(request);
        async move {
            let answer: Result<Response, _> = answer.await;
            drop(in_flight);
            answer
        }
    })
}

/// Runs a connection until it ends, the process stops, or (HTTP/2) it has idled too long.
async fn drive<C>(connection: C, client: IpAddr, activity: &Activity, idle: Option<Duration>, shutdown: Shutdown)
where
    C: GracefulConnection<Error: Display> + Future<Output = Result<(), <C as GracefulConnection>::Error>>,
{
    let mut connection = pin!(connection);
    let mut ending = false;
    let mut seen = 0;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(fault) = ended {
                    tracing::debug!(client.ip = %client, error = %fault, "a connection broke");
                }
                return;
            }
            () = shutdown.stopping(), if !ending => {
                if activity.begun.load(Relaxed) == 0 {
                    return; // Nothing was asked yet; hyper would wait for a head until its time-out.
                }
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = shutdown.stopped() => return,
            () = idle_tick(idle), if !ending => {
                let begun = activity.begun.load(Relaxed);
                if begun == seen && activity.in_flight.load(Relaxed) == 0 {
                    if begun == 0 {
                        return;
                    }
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                seen = begun;
            }
        }
    }
}

async fn idle_tick(idle: Option<Duration>) {
    match idle {
        Some(idle) => tokio::time::sleep(idle).await,
        None => std::future::pending().await,
    }
}
