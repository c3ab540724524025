//! What a redirect turns a request into, or why it is not followed. Pure.

use http::header::{self, HeaderName};
use http::{HeaderMap, Method, StatusCode};

use super::guarded::{Follow, GuardedAnswer, GuardedRequest};

/// Most redirects that are followed for one request.
pub const REDIRECTS_MAX: usize = 5;

/// The headers that still go along to another origin. Every other header may be meant for the first one only.
const KEPT_ELSEWHERE: [HeaderName; 8] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("webhook-timestamp"),
    HeaderName::from_static("webhook-signature"),
];

/// The request that `answer` asks for instead of `request`; `None` when the answer is the last one.
///
/// # Errors
/// When it asks for something that is not done, in words for people.
pub(super) fn next(request: &GuardedRequest, answer: &GuardedAnswer) -> Result<Option<GuardedRequest>, String> {
    let redirects = [301, 302, 303, 307, 308].contains(&answer.status.as_u16());
    let Some(location) = answer.headers.get(header::LOCATION).filter(|_| redirects) else { return Ok(None) };
    let method = method_after(answer.status, &request.method);
    if method != request.method && request.follow == Follow::SameMethod {
        return Ok(None);
    }
    let from = request.target.shown();
    let bad = |why: &str| format!("{from} answered {} and redirects {why}", answer.status.as_u16());
    let location = location.to_str().map_err(|_| bad("to something that is no URL"))?;
    let target =
        request.target.join(location).map_err(|error| bad(&format!("to a place that cannot be used ({error})")))?;
    if request.target.is_tls() && !target.is_tls() {
        return Err(bad(&format!("from https to {}, without TLS", target.shown())));
    }
    let mut headers = request.headers.clone();
    if !request.target.shares_credentials_with(&target) {
        headers = kept_elsewhere(&headers);
    }
    let mut body = request.body.clone();
    if method != request.method {
        body = bytes::Bytes::new();
        headers.remove(header::CONTENT_TYPE);
    }
    Ok(Some(GuardedRequest { method, target, headers, body, follow: request.follow }))
}

/// As browsers do: 303 asks for the result with GET, 301 and 302 make a GET of a POST, 307 and 308 change nothing.
fn method_after(status: StatusCode, method: &Method) -> Method {
    match status {
        StatusCode::SEE_OTHER if *method != Method::HEAD => Method::GET,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if *method == Method::POST => Method::GET,
        _ => method.clone(),
    }
}

fn kept_elsewhere(headers: &HeaderMap) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| KEPT_ELSEWHERE.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::super::Target;
    use super::*;

    fn request(method: &str, url: &str) -> GuardedRequest {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "x-api-key", "accept", "content-type", "idempotency-key"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        let target = Target::parse(url).expect("a URL");
        GuardedRequest {
            method: method.parse().expect("a method"),
            target,
            headers,
            body: Bytes::from("b"),
            follow: Follow::All,
        }
    }

    fn after(request: &GuardedRequest, status: u16, location: &str) -> Result<Option<GuardedRequest>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_str(location).expect("a value"));
        let status = StatusCode::from_u16(status).expect("a status");
        next(request, &GuardedAnswer { status, headers, body: Vec::new(), truncated: false })
    }

    fn names(request: &GuardedRequest) -> Vec<&str> {
        let mut names: Vec<&str> = request.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn methods_change_as_they_do_in_browsers() {
        let table = [
            ("POST", 301, "GET"),
            ("POST", 302, "GET"),
            ("POST", 303, "GET"),
            ("POST", 307, "POST"),
            ("POST", 308, "POST"),
            ("PUT", 302, "PUT"),
            ("PUT", 303, "GET"),
            ("HEAD", 303, "HEAD"),
            ("GET", 301, "GET"),
            ("DELETE", 307, "DELETE"),
        ];
        for (method, status, expected) in table {
            let next =
                after(&request(method, "https://a.example/"), status, "/x").expect("followed").expect("a redirect");
            assert_eq!(next.method, expected, "{method} {status}");
            assert_eq!(next.body.is_empty(), method != expected, "{method} {status}");
            assert_eq!(next.headers.contains_key("content-type"), method == expected, "{method} {status}");
        }
        let mut hook = request("POST", "https://a.example/");
        hook.follow = Follow::SameMethod;
        assert!(after(&hook, 302, "/x").expect("not followed").is_none());
        assert!(after(&hook, 307, "/x").expect("followed").is_some());
        for last in [200, 300, 304, 305, 404] {
            assert!(after(&hook, last, "/x").expect("the last").is_none(), "{last}");
        }
    }

    #[test]
    fn what_was_meant_for_one_origin_does_not_go_to_another() {
        let request = request("PUT", "http://a.example/");
        let all = ["accept", "authorization", "content-type", "cookie", "idempotency-key", "x-api-key"];
        for (location, expected) in [
            ("/x", &all[..]),
            ("https://a.example/", &all[..]),
            ("http://a.example:81/", &["accept", "content-type", "idempotency-key"][..]),
            ("https://a.example:8443/", &["accept", "content-type", "idempotency-key"][..]),
            ("http://b.example/", &["accept", "content-type", "idempotency-key"][..]),
            ("//b.example/", &["accept", "content-type", "idempotency-key"][..]),
        ] {
            let next = after(&request, 307, location).expect("followed").expect("a redirect");
            assert_eq!(names(&next), expected, "{location}");
        }
    }

    #[test]
    fn a_redirect_that_gives_tls_up_or_leaves_http_is_refused() {
        let request = request("GET", "https://a.example/hunter2");
        for (location, why) in [
            ("http://a.example/", "without TLS"),
            ("http://b.example/hunter2", "without TLS"),
            ("file:///etc/passwd", "scheme must be"),
            ("gopher://a.example/", "scheme must be"),
            ("https://", "cannot be used"),
        ] {
            let error = after(&request, 302, location).expect_err(location);
            assert!(error.contains(why) && !error.contains("hunter2"), "{location}: {error}");
        }
    }
}
