//! What the tools that send requests share: arguments into a request, an answer into a value, and a failure into what it
//! means for the step.
//!
//! Where a request may go is decided by `outbound`; what became of it is told here in the words of tools. A request that may
//! have left and was not answered is `Unknown`, never a plain failure: whoever repeats it would do it twice.

pub mod retry_after;
pub mod sign;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::Value;

use super::{Call, ToolFailure};
use crate::outbound::{GuardedAnswer, SendError, Target, climbs};
use crate::telemetry::Redactor;

/// Most headers that a step may give.
pub const HEADERS_MAX: usize = 64;
/// Longest value of a header, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 8 * 1024;

/// Headers that the connection decides about.
const OWN: [HeaderName; 10] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
];

/// The place in the argument `url`. A path that climbs is refused where payload text stands in it.
pub(super) fn target(call: &Call) -> Result<Target, ToolFailure> {
    let url = call.needed_text("url")?;
    if call.is_tainted("/url") && climbs(&url) {
        let message = "the URL's path has a '..' segment, and payload text stands in the URL: refused";
        return Err(ToolFailure::never_began(message));
    }
    Target::parse(&url).map_err(|error| ToolFailure::never_began(format!("the argument 'url': {error}")))
}

/// The argument `method`, else `default`.
pub(super) fn method(call: &Call, default: Method) -> Result<Method, ToolFailure> {
    let Some(text) = call.text("method")? else { return Ok(default) };
    let wrong = |_| ToolFailure::never_began("the argument 'method' is no HTTP method");
    Method::from_bytes(text.trim().to_ascii_uppercase().as_bytes()).map_err(wrong)
}

/// The argument `headers`, without those that are the client's or the tool's `own`.
pub(super) fn headers(call: &Call, own: &[HeaderName]) -> Result<HeaderMap, ToolFailure> {
    let given = call.text_map("headers")?;
    if given.len() > HEADERS_MAX {
        return Err(ToolFailure::never_began(format!("more than {HEADERS_MAX} headers")));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        let wrong = |why: &str| ToolFailure::never_began(format!("the header '{shown}' {why}"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("has no name that a header can have"))?;
        if OWN.contains(&name) || own.contains(&name) {
            return Err(wrong("is set by this tool itself"));
        }
        if value.len() > HEADER_VALUE_BYTES_MAX {
            return Err(wrong(&format!("is longer than {HEADER_VALUE_BYTES_MAX} bytes")));
        }
        let value = HeaderValue::from_bytes(value.trim().as_bytes());
        headers.insert(name, value.map_err(|_| wrong("has a line break or another control character in its value"))?);
    }
    Ok(headers)
}

/// The body in `json` or `body`, else `default` as JSON; its content type goes to the headers that have none.
pub(super) fn body(call: &Call, default: Option<&Value>, headers: &mut HeaderMap) -> Result<Bytes, ToolFailure> {
    // `json: null` is a body; a `json` that is left out is none.
    let json = call.args.get("json");
    let text = call.text("body")?;
    if json.is_some() && text.is_some() {
        return Err(ToolFailure::never_began("'json' and 'body' are given, and a request has one body"));
    }
    let (bytes, kind) = match (text, json.or(default)) {
        (Some(text), _) => (text.into_bytes(), "text/plain; charset=utf-8"),
        (None, Some(json)) => {
            let wrong =
                |error: serde_json::Error| ToolFailure::never_began(format!("the body cannot be written: {error}"));
            (serde_json::to_vec(json).map_err(wrong)?, "application/json")
        }
        (None, None) => return Ok(Bytes::new()),
    };
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
    Ok(bytes.into())
}

/// A body as a value: JSON where it is JSON, else text; null when it is empty. Secrets that an answer repeats are cut out.
pub(super) fn value(answer: &GuardedAnswer, redactor: &Redactor) -> Value {
    if answer.body.is_empty() {
        return Value::Null;
    }
    let bytes = match std::str::from_utf8(&answer.body) {
        // The cut fell within a character.
        Err(error) if answer.truncated && error.error_len().is_none() => &answer.body[..error.valid_up_to()],
        _ => &answer.body,
    };
    let text = String::from_utf8_lossy(bytes);
    let text = redactor.clean(&text);
    serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
}

/// `https://a.example answered 404 Not Found`.
pub(super) fn answered(target: &Target, answer: &GuardedAnswer) -> String {
    format!("{} answered {}", target.shown(), answer.status)
}

/// What a request without an answer means for the step.
pub(super) fn failure(error: SendError) -> ToolFailure {
    match error {
        SendError::Refused { message } | SendError::NotSent { message } => ToolFailure::NeverBegan { message },
        SendError::Redirect { message } => ToolFailure::Failed { message, output: None },
        SendError::Unanswered { message } => ToolFailure::Unknown { message },
        SendError::TimedOut { left: false, .. } => ToolFailure::NeverBegan { message: error.to_string() },
        SendError::TimedOut { left: true, .. } => {
            ToolFailure::Unknown { message: format!("{error}, and the request may have arrived") }
        }
        SendError::Cancelled => ToolFailure::Cancelled,
    }
}
