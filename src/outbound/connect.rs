//! One connection and one request over it.
//!
//! The connection is made here by hand and not by a client with a pool: it goes to the addresses that it is given and to no
//! other, nothing looks a name up behind the guard's back, no proxy of the environment and no silent repetition comes in
//! between, and it is always known whether a byte of the request may have left.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::guarded::{ANSWER_BYTES_MAX, GuardedAnswer, SendError};
use super::root_cause;
use super::target::Target;

/// Longest wait for a connection to one address, TLS included.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Most addresses of a host that are tried one after the other.
const CONNECT_TRIES_MAX: usize = 4;
/// Most headers of an answer.
const HEADERS_MAX: usize = 128;
/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A byte stream, with TLS or without.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Connects to the first of `addresses` that answers; the name in `target` is what a certificate is checked against.
pub(super) async fn connect(
    addresses: &[IpAddr],
    target: &Target,
    tls: &TlsConnector,
) -> Result<Box<dyn Io>, SendError> {
    let mut last = "it has no address".to_owned();
    for address in addresses.iter().take(CONNECT_TRIES_MAX) {
        let socket = SocketAddr::new(address.to_canonical(), target.port());
        match tokio::time::timeout(CONNECT_WAIT_MAX, open(socket, target, tls)).await {
            Ok(Ok(io)) => return Ok(io),
            Ok(Err(error)) => last = error,
            Err(_) => last = format!("no connection within {} s", CONNECT_WAIT_MAX.as_secs()),
        }
    }
    Err(SendError::NotSent { message: format!("{} cannot be reached: {last}", target.shown()) })
}

async fn open(socket: SocketAddr, target: &Target, tls: &TlsConnector) -> Result<Box<dyn Io>, String> {
    let stream = TcpStream::connect(socket).await.map_err(|error| root_cause(&error))?;
    // Only a matter of speed.
    let _ = stream.set_nodelay(true);
    if !target.is_tls() {
        return Ok(Box::new(stream));
    }
    let host = target.host();
    let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned())
        .map_err(|_| "no certificate can be made out to this host name".to_owned())?;
    let stream = tls.connect(name, stream).await.map_err(|error| format!("TLS: {}", root_cause(&error)))?;
    Ok(Box::new(stream))
}

/// A client's TLS, which trusts `roots` and speaks HTTP/1.1.
pub(super) fn connector(roots: rustls::RootCertStore) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Sends `request` and reads its answer. `left` becomes true when a byte of it may have left.
pub(super) async fn exchange(
    io: Box<dyn Io>,
    request: Request<Full<Bytes>>,
    shown: &str,
    left: &AtomicBool,
) -> Result<GuardedAnswer, SendError> {
    let not_sent = |error: &dyn std::error::Error| SendError::NotSent {
        message: format!("the connection to {shown} ended before the request: {}", root_cause(error)),
    };
    let handshake =
        http1::Builder::new().max_headers(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(io)).await;
    let (mut sender, connection) = handshake.map_err(|error| not_sent(&error))?;
    let work = async move {
        let before = left.swap(true, Ordering::SeqCst);
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            // The request came back whole, so nothing of it was written.
            Err(error) if error.message().is_some() => {
                left.store(before, Ordering::SeqCst);
                return Err(not_sent(error.error()));
            }
            Err(error) => {
                let why = root_cause(error.error());
                return Err(SendError::Unanswered {
                    message: format!("the request to {shown} left and no answer came: {why}"),
                });
            }
        };
        read(response, shown).await
    };
    // The connection moves only while it is polled; it lives and ends with this request.
    tokio::pin!(work, connection);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = &mut connection, if open => open = false,
        }
    }
}

/// Reads as much of the body as is kept; the rest is not waited for.
async fn read(response: http::Response<hyper::body::Incoming>, shown: &str) -> Result<GuardedAnswer, SendError> {
    let (head, mut incoming) = response.into_parts();
    let mut answer = GuardedAnswer { status: head.status, headers: head.headers, body: Vec::new(), truncated: false };
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| SendError::Unanswered {
            message: format!(
                "{shown} answered {} and the answer broke off: {}",
                answer.status.as_u16(),
                root_cause(&error)
            ),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let room = ANSWER_BYTES_MAX - answer.body.len();
        answer.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            answer.truncated = true;
            break;
        }
    }
    Ok(answer)
}
