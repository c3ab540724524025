//! The client of tools: it goes only where `domain::reach` admits, and says truthfully how far a request came.
//!
//! A name is looked up once a hop; every address of it must be admitted, and the connection goes to one of exactly these.
//! So a name that resolves to something else a moment later gains nothing. Redirects are followed by hand, each hop checked
//! like the first. Certificates are verified, always.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::Full;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::redirect::{self, REDIRECTS_MAX};
use super::resolve::Resolver;
use super::target::Target;
use super::{connect, root_cause};
use crate::domain::duration;
use crate::domain::reach::AllowList;
use crate::ports::Clock;

/// Bytes of an answer's body that are kept.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Largest body of a request, in bytes: a payload of the largest default size, written again as JSON.
pub const REQUEST_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest wait for the resolver.
const RESOLVE_WAIT_MAX: Duration = Duration::from_secs(10);

/// What the client says it is, unless a request says otherwise.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("hookhand/", env!("CARGO_PKG_VERSION")));

/// What a client is made from.
#[derive(Debug)]
pub struct GuardedOptions {
    /// What may be reached besides public addresses.
    pub allow: AllowList,
    /// Who looks names up.
    pub resolver: Arc<dyn Resolver>,
    /// Certificates (PEM) of authorities to trust besides the public ones; usually empty.
    pub authorities: Vec<u8>,
}

/// A certificate of [`GuardedOptions::authorities`] that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an authority's certificate cannot be used: {0}")]
pub struct CertificateError(String);

/// Which redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// All, as browsers do.
    All,
    /// Those that repeat the request as it is (307, 308, and others that change nothing). Another one is the last answer.
    SameMethod,
}

/// A request.
#[derive(Debug, Clone)]
pub struct GuardedRequest {
    /// The method.
    pub method: Method,
    /// Where to.
    pub target: Target,
    /// Headers; `Host`, lengths and those of the connection are the client's own.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Which redirects are followed.
    pub follow: Follow,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct GuardedAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The first [`ANSWER_BYTES_MAX`] bytes of the body.
    pub body: Vec<u8>,
    /// Whether there was more.
    pub truncated: bool,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// What the wait is measured by.
    pub clock: &'a dyn Clock,
    /// Longest wait for the whole answer, all redirects included.
    pub wait: Duration,
    /// Stops it at once.
    pub cancel: &'a CancellationToken,
}

/// Why there is no answer. Messages hold no path, no query and no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The guard does not let it go there. Nothing was sent.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
    },
    /// The name is not known, nobody listens, or the other side could not prove who it is. Nothing was sent.
    #[error("{message}")]
    NotSent {
        /// Why.
        message: String,
    },
    /// The first place answered with a redirect, and that led nowhere.
    #[error("{message}")]
    Redirect {
        /// Why.
        message: String,
    },
    /// The request may have arrived, and there is no whole answer.
    #[error("{message}")]
    Unanswered {
        /// What is known.
        message: String,
    },
    /// It took too long.
    #[error("no answer within {}{}", duration::shown(*.after), if *.left { "" } else { ", the request has not left" })]
    TimedOut {
        /// The bound.
        after: Duration,
        /// Whether the request may have left.
        left: bool,
    },
    /// Somebody asked for the stop.
    #[error("cancelled")]
    Cancelled,
}

/// A client for requests that a workflow or a model drives. Clones share everything.
#[derive(Clone)]
pub struct GuardedClient {
    allow: Arc<AllowList>,
    resolver: Arc<dyn Resolver>,
    tls: TlsConnector,
}

impl fmt::Debug for GuardedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedClient")
            .field("allow", &self.allow)
            .field("resolver", &self.resolver)
            .finish_non_exhaustive()
    }
}

impl GuardedClient {
    /// A client.
    ///
    /// # Errors
    /// When an authority's certificate cannot be read.
    pub fn new(options: GuardedOptions) -> Result<Self, CertificateError> {
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in CertificateDer::pem_slice_iter(&options.authorities) {
            let certificate = certificate.map_err(|error| CertificateError(error.to_string()))?;
            roots.add(certificate).map_err(|error| CertificateError(error.to_string()))?;
        }
        Ok(Self { allow: Arc::new(options.allow), resolver: options.resolver, tls: connect::connector(roots) })
    }

    /// Sends a request and reads its answer, whatever its status.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, request: GuardedRequest, limits: &Limits<'_>) -> Result<GuardedAnswer, SendError> {
        if request.body.len() > REQUEST_BODY_BYTES_MAX {
            let message = format!("the body is longer than {REQUEST_BODY_BYTES_MAX} bytes");
            return Err(SendError::Refused { message });
        }
        let left = AtomicBool::new(false);
        tokio::select! {
            biased;
            () = limits.cancel.cancelled() => Err(SendError::Cancelled),
            answer = self.follow(request, &left) => answer,
            () = limits.clock.sleep(limits.wait) => {
                Err(SendError::TimedOut { after: limits.wait, left: left.load(Ordering::SeqCst) })
            }
        }
    }

    async fn follow(&self, mut request: GuardedRequest, left: &AtomicBool) -> Result<GuardedAnswer, SendError> {
        let first = request.method.clone();
        for hops in 0..=REDIRECTS_MAX {
            let answer = self.hop(&request, left).await;
            // Once a first place has answered, "nothing was sent" would no longer be true.
            let answer =
                if hops == 0 { answer? } else { answer.map_err(|error| redirected(error, &first, &request))? };
            match redirect::next(&request, &answer).map_err(|message| SendError::Redirect { message })? {
                None => return Ok(answer),
                Some(next) => request = next,
            }
        }
        let message = format!("more than {REDIRECTS_MAX} redirects, the last one to {}", request.target.shown());
        Err(SendError::Redirect { message })
    }

    async fn hop(&self, request: &GuardedRequest, left: &AtomicBool) -> Result<GuardedAnswer, SendError> {
        let wire = wire(request)?;
        let addresses = self.addresses(&request.target).await?;
        let io = connect::connect(&addresses, &request.target, &self.tls).await?;
        connect::exchange(io, wire, &request.target.shown(), left).await
    }

    /// The addresses of a host, every one of them admitted.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, SendError> {
        let host = target.host();
        let addresses = match target.address() {
            Some(address) => vec![address],
            None => self.look_up(host).await.map_err(|why| SendError::NotSent {
                message: format!("{} cannot be reached: the name {host} is not resolved: {why}", target.shown()),
            })?,
        };
        for address in &addresses {
            self.allow.admits(host, *address).map_err(|reach| SendError::Refused {
                message: format!(
                    "{} is not reached: its address {address} is {reach}, and network.allow does not list it",
                    target.shown()
                ),
            })?;
        }
        Ok(addresses)
    }

    async fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let found = tokio::time::timeout(RESOLVE_WAIT_MAX, self.resolver.resolve(host)).await;
        let addresses = match found {
            Ok(found) => found.map_err(|error| root_cause(&error))?,
            Err(_) => return Err(format!("no answer within {} s", RESOLVE_WAIT_MAX.as_secs())),
        };
        if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
    }
}

/// The request as it is written to the connection.
fn wire(request: &GuardedRequest) -> Result<Request<Full<Bytes>>, SendError> {
    let target = &request.target;
    let refused = |message: &str| SendError::Refused { message: message.to_owned() };
    let mut wire = Request::new(Full::new(request.body.clone()));
    *wire.method_mut() = request.method.clone();
    *wire.uri_mut() = target.origin_form().parse().map_err(|_| refused("the URL's path cannot be sent"))?;
    let mut headers = request.headers.clone();
    let host = HeaderValue::from_str(&target.authority()).map_err(|_| refused("the URL's host cannot be sent"))?;
    headers.insert(header::HOST, host);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    if let Some(credentials) = target.credentials() {
        headers.entry(header::AUTHORIZATION).or_insert(credentials);
    }
    let bodiless = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&request.method);
    if !request.body.is_empty() || !bodiless {
        headers.insert(header::CONTENT_LENGTH, request.body.len().into());
    }
    *wire.headers_mut() = headers;
    Ok(wire)
}

/// What a failure behind a redirect means for the whole request.
fn redirected(error: SendError, first: &Method, now: &GuardedRequest) -> SendError {
    match error {
        SendError::Refused { message } | SendError::NotSent { message } => {
            SendError::Redirect { message: format!("redirected, and then {message}") }
        }
        // The request itself was answered; only the page about its result was not.
        SendError::Unanswered { message } if *first != now.method => {
            SendError::Redirect { message: format!("redirected, and then {message}") }
        }
        SendError::Unanswered { .. }
        | SendError::Redirect { .. }
        | SendError::TimedOut { .. }
        | SendError::Cancelled => error,
    }
}
