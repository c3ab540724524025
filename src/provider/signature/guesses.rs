//! What usual mistakes make of a body, of a key and of what is signed. Each comes with the words that explain it.

use base64::Engine as _;
use http::HeaderMap;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::entries::BASE64;

/// What a mistake makes of something, and the mistake in words.
pub(super) type Guess = (&'static str, Vec<u8>);

const REWRITTEN: &str = "and the body was read and written anew on its way (a proxy, or software that parses JSON and writes it again): the raw bytes must come through";

/// Segments of a public path that may be too many.
const BASE_SEGMENTS_MAX: usize = 2;

/// What the sender may have signed instead of this body.
pub(super) fn bodies(body: &[u8]) -> Vec<Guess> {
    let mut guesses: Vec<Guess> = vec![
        (
            "for this body with a line break at its end: something on the way took it off, or the sender signed one that it did not send",
            [body, b"\n"].concat(),
        ),
        (
            "for this body with a line break (CR LF) at its end: something on the way took it off",
            [body, b"\r\n"].concat(),
        ),
        (
            "for this body without the white space at its ends: something on the way added it (`echo` without -n does)",
            body.trim_ascii().to_vec(),
        ),
        (
            "for this body with LF where it has CR LF: something on the way changes line ends",
            replace(body, b"\r\n", b"\n"),
        ),
        (
            "for this body with CR LF where it has LF: something on the way changes line ends",
            replace(&replace(body, b"\r\n", b"\n"), b"\n", b"\r\n"),
        ),
        ("for an empty body: the sender signed nothing, or the body was put in later", Vec::new()),
    ];
    if let Some(rest) = body.strip_prefix(b"\xef\xbb\xbf") {
        guesses.push(("for this body without the byte order mark at its beginning", rest.to_vec()));
    }
    if let Some(payload) = form_payload(body) {
        guesses.push(("for the JSON in the form's `payload` field: the sender signed that and sent a form", payload));
    }
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        guesses.extend(rewritten(&json));
    }
    guesses.retain(|(_, guess)| guess != body);
    guesses
}

/// The same JSON as other programs write it.
fn rewritten(json: &Value) -> Vec<Guess> {
    let compact = json.to_string();
    let spaced = written(json, Spaced);
    let mut sorted = json.clone();
    sorted.sort_all_objects();
    let pretty = |indent: &[u8]| written(json, PrettyFormatter::with_indent(indent));
    let variants = [
        ("for the same JSON written compactly", compact.clone()),
        ("for the same JSON written with spaces after ':' and ','", spaced.clone()),
        ("for the same JSON written compactly with \\u escapes", ascii(&compact)),
        ("for the same JSON written with spaces and \\u escapes", ascii(&spaced)),
        ("for the same JSON written with '\\/' for '/'", compact.replace('/', "\\/")),
        ("for the same JSON written with \\u escapes and '\\/' for '/'", ascii(&compact).replace('/', "\\/")),
        ("for the same JSON written with \\u003c for '<'", html_escaped(&compact)),
        ("for the same JSON indented by two", pretty(b"  ")),
        ("for the same JSON indented by four", pretty(b"    ")),
        ("for the same JSON with its keys sorted", sorted.to_string()),
        ("for the same JSON with its keys sorted, with spaces", written(&sorted, Spaced)),
    ];
    variants.into_iter().map(|(words, text)| (words, text.into_bytes())).collect()
}

/// The words that follow those of a body's guess.
pub(super) fn body_advice(words: &str) -> &'static str {
    if words.contains("same JSON") { REWRITTEN } else { "" }
}

/// What a key may be instead of what it is here.
pub(super) fn keys(secret: &str) -> Vec<Guess> {
    let mut guesses: Vec<Guess> = vec![
        (
            "under the whole text of the secret as the key, while this sender's are decoded first",
            secret.as_bytes().to_vec(),
        ),
        (
            "under the secret with a line break at its end: it was stored with one at the sender",
            format!("{secret}\n").into_bytes(),
        ),
        ("under the secret without the white space at its ends: take that off here", secret.trim().as_bytes().to_vec()),
        (
            "under the secret without its quotation marks: take them off here",
            secret.trim_matches(['"', '\'']).as_bytes().to_vec(),
        ),
        ("under the secret in double quotes: they are part of it at the sender", format!("\"{secret}\"").into_bytes()),
        ("under the secret in lower case", secret.to_lowercase().into_bytes()),
        ("under the secret in upper case", secret.to_uppercase().into_bytes()),
    ];
    let bare = secret.trim();
    match bare.strip_prefix("whsec_") {
        Some(rest) => {
            guesses.push(("under the text after `whsec_` as the key, not decoded", rest.as_bytes().to_vec()));
            guesses.extend(BASE64.decode(rest).ok().map(|key| ("under the base64 after `whsec_` decoded, as Standard Webhooks and Svix have it; here the whole secret is the key", key)));
        }
        None => guesses
            .push(("under the secret with `whsec_` before it: copy it whole", format!("whsec_{bare}").into_bytes())),
    }
    guesses.extend(BASE64.decode(bare).ok().map(|key| ("under the secret decoded from base64", key)));
    guesses.extend(hex::decode(bare).ok().map(|key| ("under the secret decoded from hexadecimal", key)));
    guesses.retain(|(_, key)| !key.is_empty());
    guesses
}

/// What stands at a sender where the secret should be when its configuration was not filled in.
pub(super) fn placeholders(handler: &str) -> Vec<Guess> {
    const VARIABLE: &str =
        "under the name of a variable (such as `${WEBHOOK_SECRET}`) as the secret: it was not filled in at the sender";
    let mut guesses = vec![("under an empty secret: none is set at the sender", Vec::new())];
    let own = format!("{}_WEBHOOK_SECRET", handler.to_uppercase().replace(['-', '.'], "_"));
    for variable in [own, "WEBHOOK_SECRET".to_owned()] {
        let written = [
            format!("${{{variable}}}"),
            format!("${variable}"),
            format!("${{{{ secrets.{variable} }}}}"),
            format!("{{{{ {variable} }}}}"),
            variable,
        ];
        guesses.extend(written.map(|text| (VARIABLE, text.into_bytes())));
    }
    guesses
}

/// What may stand before the body in what is signed.
pub(super) fn prefixes(headers: &HeaderMap, timestamp: Option<&str>, id: Option<&str>) -> Vec<Guess> {
    let named = |part: &str| {
        let found = headers.iter().find(|(name, _)| name.as_str().contains(part));
        found.and_then(|(_, value)| value.to_str().ok()).map(|text| text.trim().to_owned())
    };
    let timestamp = timestamp.map(str::to_owned).or_else(|| named("timestamp"));
    let id = id.map(str::to_owned).or_else(|| headers.get("webhook-id")?.to_str().ok().map(str::to_owned));
    let mut guesses: Vec<Guess> = vec![("for the body alone, and here more than that is signed", Vec::new())];
    if let Some(t) = timestamp {
        guesses.push(("for `timestamp.body`", format!("{t}.").into_bytes()));
        guesses.push(("for `timestamp:body`", format!("{t}:").into_bytes()));
        guesses.push(("for the timestamp and the body without anything between", t.clone().into_bytes()));
        guesses.push(("for `v0:timestamp:body`, as Slack signs", format!("v0:{t}:").into_bytes()));
        guesses.extend(
            id.map(|id| ("for `id.timestamp.body`, as Standard Webhooks signs", format!("{id}.{t}.").into_bytes())),
        );
    }
    guesses
}

/// The URL as a sender may have known it.
pub(super) fn urls(url: &str, headers: &HeaderMap) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return Vec::new() };
    let (host, target) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
    let told = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned);
    let told = ["x-forwarded-host", "x-original-host", "host"].into_iter().flat_map(|name| told(name).take(2));
    let mut hosts: Vec<String> = std::iter::once(host.to_owned()).chain(told).collect();
    // A proxy that hands on its own port means nothing by it where the scheme is another.
    let bare =
        |host: &String| Some(host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok())?.0.to_owned());
    hosts.extend(hosts.iter().filter_map(bare).collect::<Vec<_>>());
    let path = target.split('?').next().unwrap_or_default();
    let query = target.strip_prefix(path).unwrap_or_default();
    let mut targets = vec![
        target.to_owned(),
        format!("{}/{query}", path.trim_end_matches('/')),
        format!("{}{query}", path.trim_end_matches('/')),
        path.to_owned(),
    ];
    // A public_url with a path that the sender's address lacks.
    let inner = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0 && *at + 1 < path.len());
    targets.extend(inner.take(BASE_SEGMENTS_MAX).map(|at| format!("{}{query}", &path[at..])));
    let mut urls = Vec::new();
    for other in [scheme, if scheme == "https" { "http" } else { "https" }] {
        for host in &hosts {
            for target in &targets {
                let guess = format!("{other}://{host}{target}");
                if guess != url && !urls.contains(&guess) {
                    urls.push(guess);
                }
            }
        }
    }
    urls
}

/// `{"a": 1, "b": 2}`: how Python writes JSON.
struct Spaced;

impl Formatter for Spaced {
    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }

    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}

fn written(json: &Value, formatter: impl Formatter) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, formatter);
    match serde::Serialize::serialize(json, &mut serializer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

/// Writes what is not ASCII as `\uXXXX`.
fn ascii(json: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// As Go's encoder writes it.
fn html_escaped(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn form_payload(body: &[u8]) -> Option<Vec<u8>> {
    form_urlencoded::parse(body).find(|(name, _)| name == "payload").map(|(_, value)| value.into_owned().into_bytes())
}
