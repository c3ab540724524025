//! What HTTP demands of a request and hyper lets through: one host, and a body in a form that we can read.
//!
//! A proxy in front that reads a doubtful request otherwise than we do would check one request and hand on another.

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Version};

use super::refusal::{Code, Refusal};
use super::verify::Head;

/// Refuses a request that breaks these rules.
///
/// # Errors
/// `bad_request`, with 400 or 501.
pub(super) fn check(head: &Head) -> Result<(), Refusal> {
    let bad = |message: &'static str| Refusal::new(Code::BadRequest, message);
    host(&head.headers, head.version).map_err(bad)?;
    coding(&head.headers).map_err(|message| bad(message).status(StatusCode::NOT_IMPLEMENTED))
}

/// RFC 9112, 3.2: one `Host` in HTTP/1.1, never two, and it is a host. HTTP/2 has it in the request's own fields.
fn host(headers: &HeaderMap, version: Version) -> Result<(), &'static str> {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err("the request names more than one host"),
        (None, _) if version == Version::HTTP_11 => Err("the request has no Host header"),
        (None, _) => Ok(()),
        // Empty is what a client sends whose target has no authority.
        (Some(value), None) if value.is_empty() => Ok(()),
        (Some(value), None) => {
            let authority = Authority::try_from(value.as_bytes());
            // A comma is what joins two headers in one.
            match authority.is_ok_and(|authority| !authority.as_str().contains(['@', ','])) {
                true => Ok(()),
                false => Err("the Host header is no host"),
            }
        }
    }
}

/// RFC 9112, 6.1: a coding that is not understood is answered 501. A body packed for the transfer would be verified packed.
fn coding(headers: &HeaderMap) -> Result<(), &'static str> {
    let codings = headers.get_all(TRANSFER_ENCODING).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let mut codings = codings.map(|coding| coding.trim_ascii()).filter(|coding| !coding.is_empty());
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if one.eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err("the only transfer coding that is taken is chunked, once"),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: http::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).expect("a value"))).collect()
    }

    #[test]
    fn a_request_names_one_host() {
        let says = |values: &[&str], version| host(&headers(HOST, values), version).is_ok();
        for good in ["hooks.example.com", "hooks.example.com:8443", "127.0.0.1:1", "[::1]:8080", ""] {
            assert!(says(&[good], Version::HTTP_11), "{good}");
        }
        for bad in ["a b", "user@host", "http://a/", "a/b", "a,b", "[::1"] {
            assert!(!says(&[bad], Version::HTTP_11), "{bad}");
        }
        assert!(
            !says(&[], Version::HTTP_11)
                && !says(&["a", "a"], Version::HTTP_11)
                && !says(&["a", "b"], Version::HTTP_10)
        );
        assert!(says(&[], Version::HTTP_10) && says(&[], Version::HTTP_2));
    }

    #[test]
    fn a_body_comes_as_it_is_or_in_chunks() {
        let says = |values: &[&str]| coding(&headers(TRANSFER_ENCODING, values)).is_ok();
        assert!(says(&[]) && says(&["chunked"]) && says(&["Chunked "]));
        for bad in [&["gzip, chunked"][..], &["gzip", "chunked"], &["chunked, chunked"], &["identity"], &["gzip"]] {
            assert!(!says(bad), "{bad:?}");
        }
    }
}
