//! What a signature covers: a template of literals and pieces of the request, fed to the MAC piece by piece so that a body
//! is never copied or decoded.

use http::{HeaderMap, HeaderName};

/// Most query or form fields that are sorted for a signature; a request with more is refused.
const FORM_FIELDS_MAX: usize = 1000;

/// A parsed content template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Body,
    Timestamp,
    Id,
    Url,
    FormSorted,
    Header(HeaderName),
    /// A pair of the signature header.
    Field(String),
    /// The values, joined by dots, of the headers that a pair of the signature header names.
    Values(String),
}

/// The request's side of a content template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'r> {
    pub body: &'r [u8],
    pub timestamp: Option<&'r str>,
    pub id: Option<&'r str>,
    pub url: &'r str,
    pub headers: &'r HeaderMap,
    pub fields: &'r [(String, String)],
}

impl Content {
    /// Parses `{timestamp}.{body}`; the error is a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            let (name, after) = after.split_once('}').ok_or("a `{` without its `}`")?;
            pieces.push(Piece::parse(name)?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        if !pieces.iter().any(|piece| matches!(piece, Piece::Body | Piece::Url | Piece::FormSorted)) {
            return Err("covers neither `{body}` nor `{url}`, so it would sign nothing".into());
        }
        Ok(Self(pieces))
    }

    /// The template, as a manifest writes it.
    pub(super) fn template(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Body => "{body}".to_owned(),
            Piece::Timestamp => "{timestamp}".to_owned(),
            Piece::Id => "{id}".to_owned(),
            Piece::Url => "{url}".to_owned(),
            Piece::FormSorted => "{form_sorted}".to_owned(),
            Piece::Header(name) => format!("{{header:{name}}}"),
            Piece::Field(name) => format!("{{field:{name}}}"),
            Piece::Values(name) => format!("{{values:{name}}}"),
        };
        self.0.iter().map(piece).collect()
    }

    pub(super) fn has_timestamp(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Timestamp))
    }

    pub(super) fn has_id(&self) -> bool {
        self.0.contains(&Piece::Id)
    }

    pub(super) fn has_url(&self) -> bool {
        self.0.contains(&Piece::Url)
    }

    /// The field that names other headers, if there is one.
    pub(super) fn values_field(&self) -> Option<&str> {
        self.0.iter().find_map(|piece| if let Piece::Values(field) = piece { Some(field.as_str()) } else { None })
    }

    /// Whether anything but the body is covered that a redelivery could not carry over.
    pub(super) fn covers_body(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Body | Piece::FormSorted))
    }

    /// Feeds the signed bytes, in order. The error names what the request lacks.
    pub(super) fn feed(&self, parts: &Parts<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => sink(text.as_bytes()),
                Piece::Body => sink(parts.body),
                Piece::Timestamp => sink(parts.timestamp.ok_or("the timestamp is missing")?.as_bytes()),
                Piece::Id => sink(parts.id.ok_or("the message id is missing")?.as_bytes()),
                Piece::Url => sink(parts.url.as_bytes()),
                Piece::FormSorted => {
                    for (name, value) in form_sorted(parts)? {
                        sink(name.as_bytes());
                        sink(value.as_bytes());
                    }
                }
                Piece::Header(name) => {
                    sink(parts.headers.get(name).ok_or_else(|| format!("header {name} is missing"))?.as_bytes());
                }
                Piece::Field(name) => sink(field(parts.fields, name)?.as_bytes()),
                Piece::Values(name) => {
                    for (index, header) in field(parts.fields, name)?.split_whitespace().enumerate() {
                        if index > 0 {
                            sink(b".");
                        }
                        sink(
                            parts.headers.get(header).ok_or_else(|| format!("header {header} is missing"))?.as_bytes(),
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

impl Piece {
    fn parse(name: &str) -> Result<Self, String> {
        match name.split_once(':') {
            None => match name {
                "body" => Ok(Self::Body),
                "timestamp" => Ok(Self::Timestamp),
                "id" => Ok(Self::Id),
                "url" => Ok(Self::Url),
                "form_sorted" => Ok(Self::FormSorted),
                _ => Err(unknown(name)),
            },
            Some(("header", header)) => {
                header.parse().map(Self::Header).map_err(|_| format!("'{header}' is no header name"))
            }
            Some(("field", field)) => Ok(Self::Field(field.to_owned())),
            Some(("values", field)) => Ok(Self::Values(field.to_owned())),
            Some(_) => Err(unknown(name)),
        }
    }
}

fn unknown(name: &str) -> String {
    format!("'{{{name}}}' is not one of: body, timestamp, id, url, form_sorted, header:NAME, field:NAME, values:FIELD")
}

fn field<'r>(fields: &'r [(String, String)], name: &str) -> Result<&'r str, String> {
    let found = fields.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str()).ok_or_else(|| format!("'{name}=' is missing in the signature header"))
}

/// The fields of a form, sorted by name, equal pairs once: Twilio's order
/// (twilio-python `request_validator.py`, `compute_signature`). A body that is no form is refused.
fn form_sorted(parts: &Parts<'_>) -> Result<Vec<(String, String)>, String> {
    let form = parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded"));
    if parts.body.is_empty() {
        return Ok(Vec::new());
    }
    if !form {
        // Its bytes would be in nothing that is signed, so anybody could put others in their place.
        return Err("the body is no form, and this signature covers forms only".into());
    }
    let mut fields: Vec<(String, String)> = Vec::new();
    for pair in parts.body.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        if fields.len() == FORM_FIELDS_MAX {
            return Err(format!("the form has more than {FORM_FIELDS_MAX} fields"));
        }
        let mut sides = pair.splitn(2, |b| *b == b'=');
        let (name, value) = (sides.next().unwrap_or_default(), sides.next().unwrap_or_default());
        fields.push((decoded(name), decoded(value)));
    }
    fields.sort();
    fields.dedup();
    Ok(fields)
}

/// Form encoding undone: `+` and `%XX`.
fn decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => match after.get(..2).and_then(|digits| hex::decode(digits).ok()) {
                Some(byte) => {
                    bytes.extend(byte);
                    rest = &after[2..];
                }
                None => bytes.push(b'%'),
            },
            other => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The ways in which a sender may have written our URL: as it is, without a port, with the port of its scheme.
/// Source: Twilio tries both (twilio-python `request_validator.py`, `add_port` and `remove_port`).
pub(super) fn url_variants(url: &str) -> Vec<String> {
    let mut variants = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return variants };
    let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    let host_end = authority.rfind(']').map_or(0, |at| at + 1);
    let host = authority[host_end..].find(':').map_or(authority, |at| &authority[..host_end + at]);
    let port = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    for other in [format!("{scheme}://{host}{path}"), format!("{scheme}://{host}:{port}{path}")] {
        if !variants.contains(&other) {
            variants.push(other);
        }
    }
    variants
}

/// A field of a URL's query, decoded.
pub(super) fn query_field(url: &str, name: &str) -> Option<String> {
    let query = url.split_once('?')?.1.split('#').next()?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| decoded(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_tried_with_and_without_its_port() {
        assert_eq!(url_variants("https://a.io/x?y"), ["https://a.io/x?y", "https://a.io:443/x?y"]);
        assert_eq!(url_variants("http://a.io:8080/"), ["http://a.io:8080/", "http://a.io/", "http://a.io:80/"]);
        assert_eq!(url_variants("https://[::1]:9/"), ["https://[::1]:9/", "https://[::1]/", "https://[::1]:443/"]);
        assert_eq!(url_variants("nonsense"), ["nonsense"]);
    }

    #[test]
    fn a_content_that_signs_nothing_does_not_parse() {
        for bad in ["", "{timestamp}", "{boddy}", "{body", "{header:}{body}"] {
            assert!(Content::parse(bad).is_err(), "{bad}");
        }
        assert!(Content::parse("v0:{timestamp}:{body}").is_ok());
    }

    #[test]
    fn a_form_is_decoded_leniently() {
        assert_eq!(decoded(b"a+b%20c%2"), "a b c%2");
        assert_eq!(query_field("https://a/?x=1&bodySHA256=ab%63#f", "bodySHA256").as_deref(), Some("abc"));
    }
}
