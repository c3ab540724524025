//! Who may knock, and how often: address lists and rate limits, decided before a byte of the body is read.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::ORIGIN;
use http::{HeaderMap, HeaderName};

use super::limiter::ClientLimiter;
use super::refusal::{Code, Refusal};
use crate::config::{ForwardedHeader, RateLimit, Webhooks};
use crate::domain::net::{Cidr, ClientKey, ForwardingStyle, client_address};
use crate::ports::Clock;

/// What shows that a request did not come straight over loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indirect {
    /// The server is bound to an address that others reach.
    Listener,
    /// A header that browsers send with what a page posts.
    Browser,
    /// A header that a proxy or a tunnel adds.
    Proxy(HeaderName),
}

impl fmt::Display for Indirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener => f.write_str("this server listens beyond this machine"),
            Self::Browser => f.write_str("this one has the header origin, so a page in a browser sent it"),
            Self::Proxy(name) => {
                // The name is the client's own, of any length.
                let name: String = name.as_str().chars().take(PROXY_HEADER_CHARS_MAX).collect();
                write!(f, "this one has the header {name}, so a proxy or a tunnel handed it on")
            }
        }
    }
}

/// Longest name of a header that is told back, in characters.
const PROXY_HEADER_CHARS_MAX: usize = 60;

/// The rules that hold for every route.
#[derive(Debug)]
pub struct Admission {
    allowed: Vec<Cidr>,
    trusted_proxies: Vec<Cidr>,
    style: ForwardingStyle,
    limiter: Option<Arc<ClientLimiter>>,
    /// The listener is bound to a loopback address.
    loopback: bool,
}

impl Admission {
    /// The rules that `config` sets.
    pub fn new(config: &Webhooks, clock: &Arc<dyn Clock>) -> Self {
        Self {
            allowed: config.allowed_ips.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            style: match config.forwarded_header {
                ForwardedHeader::XForwardedFor => ForwardingStyle::XForwardedFor,
                ForwardedHeader::Forwarded => ForwardingStyle::Forwarded,
            },
            limiter: config.rate_limit.map(|limit| Arc::new(ClientLimiter::new(limit, Arc::clone(clock)))),
            loopback: config.host.to_canonical().is_loopback(),
        }
    }

    /// The limiter of a route: its own, the common one, or none.
    pub fn limiter_for(&self, own: Option<Option<RateLimit>>, clock: &Arc<dyn Clock>) -> Option<Arc<ClientLimiter>> {
        match own {
            None => self.limiter.clone(),
            Some(limit) => limit.map(|limit| Arc::new(ClientLimiter::new(limit, Arc::clone(clock)))),
        }
    }

    /// The client behind `peer`.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.trusted_proxies.is_empty() {
            return peer.to_canonical();
        }
        let name = match self.style {
            ForwardingStyle::XForwardedFor => "x-forwarded-for",
            ForwardingStyle::Forwarded => "forwarded",
        };
        let lines = headers.get_all(name).iter().map(|value| value.as_bytes());
        client_address(peer, &self.trusted_proxies, self.style, lines)
    }

    /// Whether `peer` may open as many connections as it likes.
    pub fn is_uncapped(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_loopback() || self.trusted_proxies.iter().any(|range| range.contains(peer))
    }

    /// Whether a request may come without a signature though nothing was configured: only straight over loopback, and not from
    /// a browser. Any web page can post to this machine through its reader's browser, which says so in `Origin`.
    ///
    /// # Errors
    /// What shows that it did not: a header, or that the server listens beyond this machine.
    pub fn direct_loopback(&self, headers: &HeaderMap) -> Result<(), Indirect> {
        if !self.loopback {
            return Err(Indirect::Listener);
        }
        let tells = |name: &str| name == "forwarded" || name.starts_with("x-forwarded-");
        if headers.contains_key(ORIGIN) {
            return Err(Indirect::Browser);
        }
        headers.keys().find(|name| tells(name.as_str())).map_or(Ok(()), |name| Err(Indirect::Proxy(name.clone())))
    }

    /// Admits `client` to a route with a list and limiter of its own; both lists must admit it.
    ///
    /// # Errors
    /// `ip_not_allowed` or `rate_limited`.
    pub fn admit(&self, client: IpAddr, allowed: &[Cidr], limiter: Option<&Arc<ClientLimiter>>) -> Result<(), Refusal> {
        let admits = |list: &[Cidr]| list.is_empty() || list.iter().any(|range| range.contains(client));
        if !admits(&self.allowed) || !admits(allowed) {
            return Err(Refusal::new(Code::IpNotAllowed, "this address may not send here"));
        }
        let Some(limiter) = limiter else { return Ok(()) };
        limiter.check(ClientKey::of(client)).map_err(|seconds| {
            Refusal::new(Code::RateLimited, "too many requests from this address").retry_after(seconds)
        })
    }
}
