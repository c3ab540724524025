//! From text to typed values: one small function a type, each with words for what it expected.

use std::net::IpAddr;
use std::str::FromStr;

use super::keys;
use super::reader::Problem;
use crate::domain::event::HandlerName;
use crate::domain::net::Cidr;
use crate::domain::reach::Allowed;

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2048;
/// Longest path of a handler, in bytes.
const PATH_BYTES_MAX: usize = 256;
/// Longest name of an event type, in bytes.
const EVENT_BYTES_MAX: usize = 128;

/// Any text.
pub(super) fn text(text: &str) -> Result<String, Problem> {
    Ok(text.to_owned())
}

/// A text of at most `chars_max` characters.
pub(super) fn prose(chars_max: usize) -> impl Fn(&str) -> Result<String, Problem> {
    move |text| match text.chars().nth(chars_max) {
        Some(_) => Err(Problem::says(format!("is longer than {chars_max} characters"))),
        None => Ok(text.to_owned()),
    }
}

/// The name of a handler.
pub(super) fn handler(text: &str) -> Result<HandlerName, Problem> {
    text.parse().map_err(|_| Problem::expected("the name of a handler"))
}

/// The words for true and false, also those that environment files like.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Result<bool, Problem> {
    boolean(text).ok_or_else(|| Problem::expected("true or false"))
}

/// A whole number within the bounds that the table says for `key`.
pub(super) fn integer<T: TryFrom<u64>>(key: &'static str) -> impl Fn(&str) -> Result<T, Problem> {
    let (min, max) = match keys::find(key).map(|key| key.kind) {
        Some(keys::Kind::Integer { min, max }) => (min, max),
        _ => (0, u64::MAX),
    };
    move |text| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            return Err(Problem::expected(format!("a number from {min} to {max}")));
        }
        let number = text.parse::<u64>().ok().filter(|number| (min..=max).contains(number));
        let fitting = number.and_then(|number| T::try_from(number).ok());
        fitting.ok_or_else(|| Problem::expected(format!("a number from {min} to {max}")))
    }
}

/// A number, 0 or more.
pub(super) fn amount(text: &str) -> Result<f64, Problem> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| Problem::expected("a number, 0 or more"))
}

/// An IP address to listen on.
pub(super) fn address(text: &str) -> Result<IpAddr, Problem> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let expected = || Problem::expected("an IP address such as 127.0.0.1, 0.0.0.0 or ::1");
    bare.parse().map_err(|_| expected().hint("names are not looked up"))
}

/// An address or a range.
pub(super) fn cidr(text: &str) -> Result<Cidr, Problem> {
    let expected = "an address or a range such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32";
    Cidr::from_str(text).map_err(|_| Problem::expected(expected))
}

/// An address, a range or a host name that tools may reach.
pub(super) fn reachable(text: &str) -> Result<Allowed, Problem> {
    let expected = "an address, a range or a host name such as 127.0.0.1, 10.0.0.0/8 or internal.example.com";
    Allowed::from_str(text).map_err(|error| Problem::expected(expected).hint(error.message))
}

/// One of a few words, in any case.
pub(super) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Result<T, Problem> {
    move |text| {
        if let Some((_, value)) = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            return Ok(*value);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let problem = Problem::expected(format!("one of {}", known.join(", ")));
        Err(match keys::nearest(text, known.iter().copied()) {
            Some(near) => problem.hint(format!("did you mean '{near}'?")),
            None => problem,
        })
    }
}

/// An http(s) URL without credentials, query and fragment; a trailing slash is taken off.
pub(super) fn url(text: &str) -> Result<String, Problem> {
    let expected = || Problem::expected("a URL that begins with http:// or https://");
    let sane = text.len() <= URL_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic());
    let (scheme, rest) = text.split_once("://").filter(|_| sane).ok_or_else(expected)?;
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(expected());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Problem::says("a URL here has no user or password in it"));
    }
    if rest.contains(['?', '#']) {
        return Err(Problem::says("a URL here has no '?' or '#' part"));
    }
    let parsed = text.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    parsed.map(|_| text.trim_end_matches('/').to_owned()).ok_or_else(expected)
}

/// The path where a handler is served, without a trailing slash. It is compared byte by byte with what a client sends, so
/// there is one way to write it.
pub(super) fn served_path(text: &str) -> Result<String, Problem> {
    if !text.starts_with('/') {
        return Err(Problem::expected("a path that begins with '/'"));
    }
    if text.contains(['?', '#']) {
        return Err(Problem::says("a path has no '?' or '#' part"));
    }
    let known = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&b);
    if text.len() > PATH_BYTES_MAX || !text.bytes().all(known) {
        return Err(Problem::expected(format!(
            "a path of at most {PATH_BYTES_MAX} plain characters (no spaces, no '%')"
        )));
    }
    let trimmed = text.trim_end_matches('/');
    if trimmed.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
        return Err(Problem::says("a path has no empty, '.' or '..' part"));
    }
    Ok(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
}

/// The name of an event type.
pub(super) fn event(text: &str) -> Result<String, Problem> {
    if let Some(family) = text.strip_suffix('*') {
        let family = family.trim_end_matches('.');
        let problem = Problem::says("'*' is not used in event types");
        return Err(if family.is_empty() {
            problem.hint("an empty list accepts all")
        } else {
            problem.hint(format!("'{family}' covers all that begin with '{family}.'"))
        });
    }
    let fits = !text.is_empty() && text.len() <= EVENT_BYTES_MAX;
    if fits && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(text.to_owned());
    }
    Err(Problem::expected("the name of an event type, such as pull_request or invoice.paid"))
}

/// A user's Telegram id.
pub(super) fn user(text: &str) -> Result<u64, Problem> {
    match text.parse::<i64>() {
        Ok(id) if id > 0 => Ok(id.unsigned_abs()),
        Ok(_) => Err(Problem::expected("a user's numeric id").hint("a negative id is a group's")),
        Err(_) => Err(Problem::expected("a user's numeric id")
            .hint("names can change hands; write to the bot and it tells your id")),
    }
}

/// A chat's Telegram id.
pub(super) fn chat(text: &str) -> Result<i64, Problem> {
    let id = text.parse::<i64>().ok().filter(|id| *id != 0);
    id.ok_or_else(|| Problem::expected("a chat's numeric id").hint("a group's id is negative, such as -1001234567890"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_way_to_be_written() {
        for (text, expected) in [("/a", "/a"), ("/a/b/", "/a/b"), ("/", "/"), ("/a.b-c_d~", "/a.b-c_d~")] {
            assert_eq!(served_path(text).as_deref(), Ok(expected), "{text}");
        }
        for bad in ["a", "", "//a", "/a//b", "/a/../b", "/.", "/a b", "/a%20", "/a?b", "/a#b", "/é"] {
            assert!(served_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_is_http_and_carries_no_password() {
        for (text, expected) in [
            ("https://a.example/", "https://a.example"),
            ("http://127.0.0.1:8081/x", "http://127.0.0.1:8081/x"),
            ("https://[::1]:9", "https://[::1]:9"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(expected), "{text}");
        }
        for bad in
            ["a.example", "ftp://a", "https://", "https://u:hunter2@a", "https://a b", "https://a?x=1", "https://:80"]
        {
            let problem = url(bad).expect_err(bad);
            assert!(!format!("{problem:?}").contains("hunter2"));
        }
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        let port = integer::<u16>("webhooks.port");
        assert_eq!((port("0"), port("65535")), (Ok(0), Ok(65_535)));
        for bad in ["65536", "-1", "+1", "1.5", "0x10", "", "99999999999999999999", "a"] {
            assert!(port(bad).is_err(), "{bad}");
        }
        assert!(amount("nan").is_err() && amount("-1").is_err() && amount("inf").is_err());
        assert_eq!(amount("1.50"), Ok(1.5));
    }
}
