//! Where a request goes: a URL that was read once, and from then on is the only truth about scheme, host and port.
//!
//! It is read as browsers read URLs, so an address in an odd notation (`0x7f.1`, `0177.0.0.1`, `2130706433`) is the address
//! that it means before anything is checked. Messages show scheme, host and port alone: path and query of a webhook's URL
//! are often a secret.

use std::fmt;
use std::net::IpAddr;

use http::header::HeaderValue;
use reqwest::Url;

use crate::domain::reach::HOST_BYTES_MAX;

/// Longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 8 * 1024;

/// Why a text is no place to send a request to. Without the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Too long.
    #[error("the URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// Control characters, which readers of URLs drop without a word.
    #[error("the URL has a control character in it")]
    Control,
    /// No URL.
    #[error("this is no URL: {0}")]
    NoUrl(String),
    /// Another scheme.
    #[error("the URL's scheme must be http or https")]
    Scheme,
    /// No host, or none that a name server could be asked about.
    #[error("the URL's host is no host name and no address")]
    Host,
}

/// A place to send a request to.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

/// The place without what may be secret.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none, or none of http or https.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        check_text(text)?;
        Url::parse(text).map_err(|error| TargetError::NoUrl(error.to_string())).and_then(Self::checked)
    }

    /// Reads a reference that an answer of this place makes (`Location`). Credentials in it are dropped: they would be the
    /// answer's, not the author's.
    pub(super) fn join(&self, reference: &str) -> Result<Self, TargetError> {
        check_text(reference)?;
        let url = self.0.join(reference).map_err(|error| TargetError::NoUrl(error.to_string()))?;
        let mut next = Self::checked(url)?;
        let (user, password) =
            if self.same_origin(&next) { (self.0.username(), self.0.password()) } else { ("", None) };
        // Only URLs without a host refuse this, and `checked` has seen one.
        let _ = next.0.set_username(user);
        let _ = next.0.set_password(password);
        Ok(next)
    }

    fn checked(mut url: Url) -> Result<Self, TargetError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetError::Scheme);
        }
        let host = url.host_str().unwrap_or_default();
        if host.is_empty() || host.len() > HOST_BYTES_MAX {
            return Err(TargetError::Host);
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// Scheme, host and port.
    pub fn shown(&self) -> String {
        format!("{}://{}", self.0.scheme(), self.authority())
    }

    /// The host without brackets: a name in lower case, or an address.
    pub fn host(&self) -> &str {
        let host = self.0.host_str().unwrap_or_default();
        host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
    }

    /// The address, when the host is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Host and port as the `Host` header has them.
    pub(super) fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Path and query, as the first line of a request has them.
    pub(super) fn origin_form(&self) -> String {
        match self.0.query() {
            Some(query) => format!("{}?{query}", self.0.path()),
            None => self.0.path().to_owned(),
        }
    }

    /// User and password of the URL, as a header.
    pub(super) fn credentials(&self) -> Option<HeaderValue> {
        use base64::Engine as _;
        if self.0.username().is_empty() && self.0.password().is_none() {
            return None;
        }
        let mut pair = decoded(self.0.username());
        pair.push(b':');
        pair.extend(decoded(self.0.password().unwrap_or_default()));
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn same_origin(&self, other: &Self) -> bool {
        self.0.scheme() == other.0.scheme() && self.host() == other.host() && self.port() == other.port()
    }

    /// Whether what is meant for this place only may go to `other` as well: the same origin, or the same host when it moves
    /// from http to https on the usual ports.
    pub(super) fn shares_credentials_with(&self, other: &Self) -> bool {
        let upgraded = !self.is_tls() && other.is_tls() && self.port() == 80 && other.port() == 443;
        self.same_origin(other) || (upgraded && self.host() == other.host())
    }
}

/// Whether the path of a URL climbs: it has a `..` segment, written in any of the ways that servers and libraries read so.
pub fn climbs(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let plain = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    plain.split(['/', '\\']).any(|segment| segment.split(';').next() == Some(".."))
}

fn check_text(text: &str) -> Result<(), TargetError> {
    if text.len() > URL_BYTES_MAX {
        return Err(TargetError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(TargetError::Control);
    }
    Ok(())
}

/// Takes percent escapes back.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let byte =
            escaped.and_then(|pair| std::str::from_utf8(pair).ok()).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_address_however_it_is_written() {
        for (text, address) in [
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://0177.0.0.1/", "127.0.0.1"),
            ("http://2130706433", "127.0.0.1"),
            ("http://0x7F000001:80/", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://017700000001/", "127.0.0.1"),
            ("http://%31%32%37.0.0.1/", "127.0.0.1"),
            ("http://１２７。０。０。１/", "127.0.0.1"),
            ("http://127.0.0.1./", "127.0.0.1"),
            ("http://user@0xa9fea9fe/", "169.254.169.254"),
            ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
            ("http://[0:0:0:0:0:0:0:1]:8080/", "::1"),
            ("https://8.8.8.8\\@127.0.0.1/", "8.8.8.8"),
        ] {
            let target = Target::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(target.address(), Some(address.parse().expect("an address")), "{text}");
        }
        assert_eq!(Target::parse("http://localhost/").expect("a URL").address(), None);
    }

    #[test]
    fn what_is_no_http_url_is_refused_and_never_repeated() {
        for bad in [
            "",
            "example.com",
            "/x",
            "ftp://hunter2.example/",
            "file:///etc/passwd",
            "gopher://a",
            "http://",
            "http://:80/",
            "http://a\nb/",
            "http://a/\thunter2",
            "http://256.256.256.256/",
            "http://[::1",
            "http://a:99999/",
            "http://0x100000000/",
            "data:,x",
            "javascript:1",
            "http://a b/",
        ] {
            let error = Target::parse(bad).expect_err(bad);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        let target =
            Target::parse("https://user:hunter2@Hooks.example.com:8443/services/T0/secret?key=1#f").expect("a URL");
        assert_eq!(target.shown(), "https://hooks.example.com:8443");
        assert_eq!(format!("{target:?}"), "https://hooks.example.com:8443");
        assert_eq!(target.origin_form(), "/services/T0/secret?key=1");
        assert_eq!(target.credentials().expect("some").as_bytes(), b"Basic dXNlcjpodW50ZXIy");
    }

    #[test]
    fn a_reference_keeps_the_authors_credentials_only_within_the_origin() {
        let target = Target::parse("https://u:p%40@a.example/x/y").expect("a URL");
        let to = |reference: &str| target.join(reference).expect(reference);
        assert!(to("../z").credentials().is_some() && to("https://a.example:443/").credentials().is_some());
        for elsewhere in ["https://b.example/", "http://a.example/", "https://a.example:8443/", "//evil:pw@b.example/"]
        {
            assert!(to(elsewhere).credentials().is_none(), "{elsewhere}");
        }
        assert!(!to("https://v:q@a.example/").credentials().expect("the author's").is_empty());
        assert_eq!(to("https://v:q@a.example/").credentials(), target.credentials());
        assert!(target.join("file:///etc/passwd").is_err());
    }

    #[test]
    fn a_path_that_climbs_is_seen_in_every_spelling() {
        for bad in [
            "https://a/x/../y",
            "https://a/..",
            "https://a/%2e%2E/y",
            "https://a/.%2e/y",
            "https://a/x\\..\\y",
            "https://a/x%2f..%2fy",
            "https://a/x%5C..",
            "https://a/..;v=1/y",
            "https://a/../?q",
        ] {
            assert!(climbs(bad), "{bad}");
        }
        for fine in
            ["https://a/x/y", "https://a/...", "https://a/a..b", "https://a/?q=../..", "https://a/#/../", "https://a/."]
        {
            assert!(!climbs(fine), "{fine}");
        }
    }
}
