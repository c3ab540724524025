//! From a request that was received to one that is verified: two types, so that nothing unverified can be read by mistake.
//!
//! Only [`Received::verify`] makes a [`Verified`], and only a `Verified` gives out a payload.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use jiff::Timestamp;

use super::admission::Indirect;
use super::payload::{self, Payload};
use super::refusal::{Code, Refusal};
use super::routes::{Route, RouteKind};
use crate::domain::event::Verdict;
use crate::domain::ids::RequestId;
use crate::provider::{SignedRequest, Verification};

/// The address at the other end of the connection; not the client, when there is a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub std::net::SocketAddr);

/// A request without its body. Taken out of hyper's request whole, so that headers are never copied.
#[derive(Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The target as it was sent.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// Who sent it.
    pub peer: Peer,
    /// Whether it came over TLS.
    pub secure: bool,
    /// The version; over HTTP/1 a connection may have to be closed.
    pub version: Version,
}

impl Head {
    /// A header as bytes.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(http::HeaderValue::as_bytes)
    }

    /// Whether it came over HTTP/1.
    pub fn is_http1(&self) -> bool {
        self.version <= Version::HTTP_11
    }

    /// The declared length of the body.
    pub fn content_length(&self) -> Option<u64> {
        std::str::from_utf8(self.header("content-length")?).ok()?.trim().parse().ok()
    }
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Its id, told in every answer.
    pub id: RequestId,
    /// When its head was read.
    pub received_at: Timestamp,
    /// The client, behind trusted proxies.
    pub client: IpAddr,
    /// The head.
    pub head: Arc<Head>,
}

/// A request whose body is there and whose signature was not looked at.
#[derive(Debug, Clone)]
pub struct Received {
    /// The exchange.
    pub exchange: Exchange,
    /// Where it came in.
    pub route: Arc<Route>,
    /// The raw bytes.
    pub body: Bytes,
    /// The public base of our URLs, for schemes that sign the URL.
    pub public_url: Option<Arc<str>>,
    /// Whether it came straight over loopback, or what shows that it did not.
    pub direct_loopback: Result<(), Indirect>,
}

/// A request that the handler's rule admits: signed, or unsigned where that is allowed.
#[derive(Debug)]
pub struct Verified<'a> {
    received: &'a Received,
    verdict: Verdict,
    replay_key: Option<String>,
}

impl Received {
    /// Checks the signature by the handler's rule.
    ///
    /// # Errors
    /// `missing_signature`, `invalid_signature` or `stale_signature`.
    pub fn verify(&self, now: Timestamp) -> Result<Verified<'_>, Refusal> {
        let (route, headers) = (&*self.route, &self.exchange.head.headers);
        // Who asks by another method than POST whether it may send has agreed on nothing yet and signs nothing; a signature
        // that is there must be right all the same.
        let asks = self.exchange.head.method != Method::POST;
        if route.secrets.is_empty() {
            return match &self.direct_loopback {
                Err(indirect) if !(route.allow_unsigned || asks) => {
                    let message = format!(
                        "this handler has no secret yet, so it takes unsigned requests only straight over loopback, and {indirect}"
                    );
                    Err(Refusal::new(Code::MissingSignature, message).verdict(Verdict::Missing))
                }
                Ok(()) | Err(_) => Ok(self.unsigned()),
            };
        }
        if (route.allow_unsigned || asks) && !route.provider.presence(headers) {
            return Ok(self.unsigned());
        }
        let url = self.url();
        let request =
            SignedRequest { method: self.exchange.head.method.as_str(), url: &url, headers, body: &self.body };
        match route.provider.verify(&route.secrets, &request, now) {
            Verification::Valid { replay_key } => Ok(Verified { received: self, verdict: Verdict::Valid, replay_key }),
            Verification::Missing { message } => {
                Err(Refusal::new(Code::MissingSignature, message).verdict(Verdict::Missing))
            }
            Verification::Invalid { message } => {
                Err(self.wrong(Refusal::new(Code::InvalidSignature, message).verdict(Verdict::Invalid)))
            }
            Verification::Stale { message } => {
                Err(self.wrong(Refusal::new(Code::StaleSignature, message).verdict(Verdict::Stale)))
            }
        }
    }

    fn unsigned(&self) -> Verified<'_> {
        Verified { received: self, verdict: Verdict::Unsigned, replay_key: None }
    }

    fn wrong(&self, refusal: Refusal) -> Refusal {
        match self.route.kind {
            RouteKind::Handler => refusal,
            RouteKind::Generic | RouteKind::Workflow => refusal.status(StatusCode::FORBIDDEN),
        }
    }

    /// The URL as the sender knows it.
    pub fn url(&self) -> String {
        let head = &*self.exchange.head;
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        if let Some(base) = &self.public_url {
            return format!("{base}{target}");
        }
        let scheme = if head.secure { "https" } else { "http" };
        // What the request line says goes before the header (RFC 9112, 3.2.2).
        let authority = head.uri.authority().map(|authority| authority.as_str());
        let header = || head.header("host").and_then(|host| std::str::from_utf8(host).ok());
        let host = authority.or_else(header).unwrap_or_default();
        format!("{scheme}://{host}{target}")
    }
}

impl Verified<'_> {
    /// `Valid` or `Unsigned`.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What tells a byte-identical replay of a timestamped signature.
    pub fn replay_key(&self) -> Option<&str> {
        self.replay_key.as_deref()
    }

    /// The route.
    pub fn route(&self) -> &Route {
        &self.received.route
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.received.exchange.head
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.received.exchange.head.headers
    }

    /// What the body is packed in. No sender compresses, and unpacking would give a small request a large body.
    fn coding(&self) -> Option<&'static str> {
        let value = self.received.exchange.head.header("content-encoding")?.trim_ascii();
        let is = |name: &&&str| value.eq_ignore_ascii_case(name.as_bytes());
        let known = ["gzip", "x-gzip", "deflate", "br", "zstd", "compress"].iter().find(is);
        match known {
            Some(name) => Some(name),
            None if value.is_empty() || value.eq_ignore_ascii_case(b"identity") => None,
            None => Some("of another kind"),
        }
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// `invalid_payload`.
    pub fn payload(&self) -> Result<Payload, Refusal> {
        if let Some(coding) = self.coding() {
            let message = format!("a body with content-encoding {coding} is not taken: send it as it is");
            return Err(Refusal::new(Code::InvalidPayload, message).verdict(self.verdict));
        }
        payload::read(self.received.exchange.head.header("content-type"), &self.received.body)
            .map_err(|fault| Refusal::new(Code::InvalidPayload, fault.to_string()).verdict(self.verdict))
    }
}
