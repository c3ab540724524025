//! Takes secrets out of what is kept or logged of a request.
//!
//! A header is masked by its name (signatures, authorization, cookies, tokens), and any header or body that repeats a
//! configured secret is masked by its content, because senders put them in the strangest places.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::limits::HEADER_VALUE_BYTES_MAX;
use crate::config::Secret;

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// A header whose name holds one of these is never kept.
const TELLING_NAMES: [&str; 10] =
    ["authorization", "cookie", "token", "secret", "signature", "password", "api-key", "apikey", "hmac", "credential"];

/// A secret shorter than this is looked for as a whole value only: as a part it would match by chance.
const SECRET_PART_BYTES_MIN: usize = 4;

/// Knows the names and secrets of one handler.
#[derive(Debug, Clone)]
pub struct Masker {
    names: Vec<HeaderName>,
    secrets: Vec<Secret>,
}

impl Masker {
    /// Masks `names`, telling names, and whatever contains one of `secrets`.
    pub fn new(names: &[HeaderName], secrets: Vec<Secret>) -> Self {
        Self { names: names.to_vec(), secrets }
    }

    /// Names in lower case and values, both without secrets.
    pub fn headers(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| (self.text(name.as_str().to_owned()), self.value(name, value))).collect()
    }

    fn value(&self, name: &HeaderName, value: &HeaderValue) -> String {
        let value = value.as_bytes();
        let named = self.names.contains(name) || TELLING_NAMES.iter().any(|part| name.as_str().contains(part));
        if named || self.secrets.iter().any(|secret| holds(value, secret)) {
            return MASK.to_owned();
        }
        String::from_utf8_lossy(&value[..value.len().min(HEADER_VALUE_BYTES_MAX)]).into_owned()
    }

    /// A text (a path, a delivery id) without secrets.
    pub fn text(&self, text: String) -> String {
        if self.secrets.iter().any(|secret| holds(text.as_bytes(), secret)) { MASK.to_owned() } else { text }
    }

    /// A sentence of ours that repeats what the request said, with every configured secret in it replaced.
    pub fn sentence(&self, text: String) -> String {
        if !self.secrets.iter().any(|secret| holds(text.as_bytes(), secret)) {
            return text;
        }
        let mut bytes = text.into_bytes();
        self.secrets.iter().for_each(|secret| replace(&mut bytes, secret.expose().as_bytes()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The first `limit` bytes of a body, with every configured secret in them replaced, also one that `limit` cuts.
    pub fn prefix(&self, body: &[u8], limit: usize) -> Bytes {
        let longest = self.secrets.iter().map(|secret| secret.expose().len()).max().unwrap_or(0);
        let mut kept = body[..body.len().min(limit + longest)].to_vec();
        for secret in &self.secrets {
            replace(&mut kept, secret.expose().as_bytes());
        }
        kept.truncate(limit);
        Bytes::from(kept)
    }
}

fn holds(value: &[u8], secret: &Secret) -> bool {
    let secret = secret.expose().as_bytes();
    if secret.len() < SECRET_PART_BYTES_MIN { value == secret } else { find(value, secret).is_some() }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn replace(text: &mut Vec<u8>, secret: &[u8]) {
    if secret.len() < SECRET_PART_BYTES_MIN {
        return;
    }
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| find(rest, secret)) {
        text.splice(from + at..from + at + secret.len(), MASK.bytes());
        from += at + MASK.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masker() -> Masker {
        let secrets = ["hunter22", "x"].map(|text| Secret::new(text).expect("not empty")).to_vec();
        Masker::new(&[HeaderName::from_static("x-odd")], secrets)
    }

    #[test]
    fn headers_are_masked_by_name_and_by_content() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-odd", "1"),
            ("authorization", "Bearer abc"),
            ("x-gitlab-token", "abc"),
            ("x-hub-signature-256", "sha256=00"),
            ("x-note", "it is hunter22!"),
            ("x-short", "x"),
            ("user-agent", "fox"),
            ("a-hunter22", "y"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let (names, shown): (Vec<String>, Vec<String>) = masker().headers(&headers).into_iter().unzip();
        assert_eq!(shown, ["***", "***", "***", "***", "***", "***", "fox", "y"]);
        assert_eq!(names[6..], ["user-agent", "***"]);
    }

    #[test]
    fn a_sentence_stays_one_without_what_it_must_not_tell() {
        assert_eq!(masker().sentence("there is x-hunter22 instead".into()), "there is x-*** instead");
        assert_eq!(masker().sentence("there is nothing".into()), "there is nothing");
    }

    #[test]
    fn a_body_loses_its_secrets_even_where_the_prefix_ends() {
        assert_eq!(masker().prefix(b"a hunter22 and hunter22", 64), Bytes::from_static(b"a *** and ***"));
        assert_eq!(masker().prefix(b"0123456hunter22 and more", 10), Bytes::from_static(b"0123456***"));
    }
}
