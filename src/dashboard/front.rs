//! What every request meets before it is looked at, and what every answer carries: the name it was sent to, where it comes
//! from, and the headers that keep browsers from doing more than a page asks for.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Method};
use warp::reply::Response;

/// What a page may load and do. No inline script or style, nothing from elsewhere, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Headers of every answer; `cache-control` unless the answer has its own.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// Adds the headers of every answer.
pub(super) fn shielded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether the request names this listener as a person on this machine would, or as one of `names`. A page that made its
/// own name resolve to 127.0.0.1 (DNS rebinding) sends that name here.
pub(super) fn host_is_ours(headers: &HeaderMap, address: SocketAddr, names: &[String]) -> bool {
    let Some(authority) = host(headers) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    match name.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip == address.ip() || address.ip().is_unspecified(),
        Err(_) => name.eq_ignore_ascii_case("localhost") || names.iter().any(|known| name.eq_ignore_ascii_case(known)),
    }
}

/// Whether a browser says that a page of another site made it send this. Clients that say nothing are no browsers.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let origin = origin.and_then(|(_, authority)| authority.parse::<Authority>().ok());
    origin.is_none() || origin != host(headers)
}

/// The address within this dashboard of the page that a form was on, where the browser says so.
pub(super) fn page_before(headers: &HeaderMap) -> Option<String> {
    let referer: http::Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let is_ours = referer.authority().is_some() && referer.authority() == host(headers).as_ref();
    is_ours.then(|| referer.path_and_query().map_or("/", |at| at.as_str()).to_owned())
}

/// Whether a method only looks.
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair =
            |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().expect("a header"));
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_foreign_host_name_is_refused() {
        let address: SocketAddr = "127.0.0.1:51430".parse().expect("valid");
        let names = ["hooks.example.com".to_owned()];
        for ours in ["127.0.0.1:51430", "localhost:51430", "LOCALHOST", "[::1]:51430", "Hooks.example.com"] {
            assert!(host_is_ours(&with(&[("host", ours)]), address, &names), "{ours}");
        }
        for foreign in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:51430", "10.0.0.1"] {
            assert!(!host_is_ours(&with(&[("host", foreign)]), address, &names), "{foreign}");
        }
        assert!(!host_is_ours(&HeaderMap::new(), address, &names));
    }

    #[test]
    fn the_page_before_is_one_of_ours() {
        let before = |referer: &str| page_before(&with(&[("host", "localhost:51430"), ("referer", referer)]));
        assert_eq!(before("http://localhost:51430/runs/run_1?a=b").as_deref(), Some("/runs/run_1?a=b"));
        for foreign in ["https://evil.example/x", "http://localhost:8080/x", "/runs", "nonsense"] {
            assert_eq!(before(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_request_that_another_site_made_is_told_apart() {
        let host = ("host", "localhost:51430");
        for ours in [
            with(&[host]),
            with(&[host, ("sec-fetch-site", "same-origin"), ("origin", "null")]),
            with(&[host, ("sec-fetch-site", "none")]),
            with(&[host, ("origin", "http://localhost:51430")]),
        ] {
            assert!(!is_from_elsewhere(&ours), "{ours:?}");
        }
        for foreign in [
            with(&[host, ("sec-fetch-site", "cross-site"), ("origin", "http://localhost:51430")]),
            with(&[host, ("sec-fetch-site", "same-site")]),
            with(&[host, ("origin", "null")]),
            with(&[host, ("origin", "http://localhost:8080")]),
            with(&[host, ("origin", "https://evil.example")]),
        ] {
            assert!(is_from_elsewhere(&foreign), "{foreign:?}");
        }
    }
}
