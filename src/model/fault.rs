//! What went wrong with a call: from the library's errors to what the router does about it, in words without secrets.
//!
//! The library's errors may hold whole requests, answers and URLs, and providers repeat parts of a wrong key in their answers;
//! only chosen parts come through here, shortened and scrubbed.

use std::error::Error as _;
use std::time::Duration;

use genai::Error;
use genai::webc::Error as WebError;
use jiff::Timestamp;
use reqwest13::header::HeaderMap;

use crate::domain::text::{clip_chars, one_line};
use crate::telemetry::Redactor;

/// Longest message that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 300;
/// Longest pause that a provider's word is taken for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Shortest key of which a beginning is searched for, and the length of that beginning.
const KEY_CHARS_MIN: usize = 16;
const KEY_BEGINNING_CHARS: usize = 6;
/// How keys of providers begin.
const KEY_MARKS: [&str; 6] = ["sk-", "sk_", "AIza", "gsk_", "xai-", "hf_"];

/// Why one attempt gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Overloaded, limited, broken or not reached: worth another attempt.
    Busy {
        /// How long the provider asks to wait.
        wait: Option<Duration>,
        /// What it says.
        message: String,
    },
    /// The same request will be refused again.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The answer makes no sense.
    Malformed {
        /// What is wrong with it.
        message: String,
    },
    /// The stream ended before the answer did.
    Cut {
        /// What is known.
        message: String,
        /// Whether parts of it were passed on.
        passed_on: bool,
    },
    /// Nothing came in time.
    TooSlow {
        /// The time that it had.
        after: Duration,
        /// Whether parts of it were passed on.
        passed_on: bool,
    },
}

/// Takes secrets out of texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Scrub {
    redactor: Redactor,
    /// The first characters of keys, which providers show when they refuse one.
    beginnings: Vec<String>,
}

impl Scrub {
    /// One that knows these keys, besides what `redactor` knows.
    pub(super) fn new(redactor: Redactor, keys: impl IntoIterator<Item = String>) -> Self {
        let beginning = |key: String| {
            (key.chars().count() >= KEY_CHARS_MIN).then(|| key.chars().take(KEY_BEGINNING_CHARS).collect())
        };
        Self { redactor, beginnings: keys.into_iter().filter_map(beginning).collect() }
    }

    /// `text` on one line, shortened, without secrets and without anything that looks like a part of one.
    pub(super) fn clean(&self, text: &str) -> String {
        let line = one_line(&self.redactor.clean(text));
        let words = line.split(' ').map(|word| {
            let secret = KEY_MARKS.iter().any(|mark| holds_key(word, mark))
                || self.beginnings.iter().any(|beginning| word.contains(beginning.as_str()));
            if secret { "***" } else { word }
        });
        clip_chars(&words.collect::<Vec<_>>().join(" "), MESSAGE_CHARS_MAX)
    }
}

/// Whether `word` holds something that begins as keys do: not within a longer word, such as `task-id`.
fn holds_key(word: &str, mark: &str) -> bool {
    word.match_indices(mark).any(|(at, _)| !word[..at].ends_with(char::is_alphanumeric))
}

impl Failure {
    /// What an error of the library means. `passed_on`: parts of the answer were given to the caller.
    pub(super) fn of(error: Error, scrub: &Scrub, now: Timestamp, passed_on: bool) -> Self {
        let told = |status: u16, body: &str, headers: &HeaderMap| answered(status, body, headers, scrub, now);
        match error {
            Error::WebModelCall { webc_error, .. } | Error::WebAdapterCall { webc_error, .. } => match webc_error {
                WebError::ResponseFailedStatus { status, body, headers } => told(status.as_u16(), &body, &headers),
                WebError::ResponseFailedNotJson { content_type, .. } => Self::Malformed {
                    message: scrub.clean(&format!("it is {content_type}, not JSON: is model.base_url right?")),
                },
                WebError::ResponseFailedInvalidJson { cause, .. } => Self::Malformed { message: scrub.clean(&cause) },
                WebError::Reqwest(error) => transport(error, scrub, passed_on),
                WebError::JsonValueExt(_) => Self::Malformed { message: "a part of it is missing".into() },
            },
            Error::HttpError { status, body, headers, .. } => told(status.as_u16(), &body, &headers),
            Error::WebStream { error, .. } => match error.downcast::<Error>() {
                Ok(inner) => Self::of(*inner, scrub, now, passed_on),
                Err(error) => match error.downcast::<reqwest13::Error>() {
                    Ok(error) => transport(*error, scrub, passed_on),
                    Err(error) => Self::Cut { message: scrub.clean(&error.to_string()), passed_on },
                },
            },
            Error::ChatResponse { body, .. } => {
                let message = scrub.clean(&said(&body.to_string()));
                if passed_on { Self::Cut { message, passed_on } } else { Self::Busy { wait: None, message } }
            }
            Error::ChatResponseGeneration { cause, .. } => Self::Malformed { message: scrub.clean(&cause) },
            Error::StreamParse { serde_error, .. } | Error::SerdeJson(serde_error) => {
                Self::Malformed { message: scrub.clean(&serde_error.to_string()) }
            }
            Error::JsonValueExt(_) | Error::InvalidJsonResponseElement { .. } | Error::NoChatResponse { .. } => {
                Self::Malformed { message: "a part of it is missing".into() }
            }
            other => Self::Refused { status: 400, message: scrub.clean(&other.to_string()) },
        }
    }
}

/// What an answer with an error status means.
fn answered(status: u16, body: &str, headers: &HeaderMap, scrub: &Scrub, now: Timestamp) -> Failure {
    let message = scrub.clean(&format!("HTTP {status}: {}", said(body)));
    match status {
        // Money that has run out does not come back by waiting.
        429 if body.contains("insufficient_quota") => Failure::Refused { status, message },
        408 | 409 | 425 | 429 | 500..=599 => Failure::Busy { wait: retry_after(headers, now), message },
        _ => Failure::Refused { status, message },
    }
}

fn transport(error: reqwest13::Error, scrub: &Scrub, passed_on: bool) -> Failure {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    let message = scrub.clean(&text);
    if passed_on { Failure::Cut { message, passed_on } } else { Failure::Busy { wait: None, message } }
}

/// The sentence in an error's body: providers put it at `error.message`, `message` or `error`.
fn said(body: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let json =
        if let serde_json::Value::Array(list) = &json { list.first().cloned().unwrap_or_default() } else { json };
    ["/error/message", "/message", "/error"]
        .iter()
        .find_map(|pointer| json.pointer(pointer)?.as_str().map(str::to_owned))
        .unwrap_or_else(|| if body.trim_start().starts_with('<') { "a web page".into() } else { body.to_owned() })
}

/// `retry-after-ms`, or `Retry-After` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = text("retry-after-ms").and_then(|ms| ms.parse::<u64>().ok()).map(Duration::from_millis);
    let wait = millis.or_else(|| {
        let text = text("retry-after")?;
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
    });
    wait.map(|wait| wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "acme-live-0123456789abcdef";

    fn scrub() -> Scrub {
        Scrub::new(Redactor::new([KEY.to_owned()]), [KEY.to_owned()])
    }

    #[test]
    fn neither_a_key_nor_the_part_of_one_that_a_provider_repeats_comes_through() {
        for text in [
            format!("Incorrect API key provided: {KEY}. You can find it at https://x"),
            "Incorrect API key provided: acme-l***************cdef.".to_owned(),
            "Incorrect API key provided: sk-proj-abcd***wxyz.".to_owned(),
            format!("header Authorization: Bearer {KEY}"),
        ] {
            let clean = scrub().clean(&text);
            assert!(!clean.contains("acme-l") && !clean.contains("cdef") && !clean.contains("sk-"), "{clean}");
            assert!(clean.contains("***"), "{clean}");
        }
        let harmless = "unknown field task-budget, is the disk-quota used up?";
        assert_eq!(scrub().clean(harmless), harmless);
    }

    #[test]
    fn an_error_that_holds_the_request_shows_the_cause_only() {
        let model_iden = genai::ModelIden::new(genai::adapter::AdapterKind::OpenAI, "m");
        let request_payload = Box::new(serde_json::json!({"messages": "the prompt"}));
        let response_body = Box::new(serde_json::json!({"secret": KEY}));
        let error =
            Error::ChatResponseGeneration { model_iden, request_payload, response_body, cause: "no choices".into() };
        let failure = Failure::of(error, &scrub(), Timestamp::UNIX_EPOCH, false);
        assert_eq!(failure, Failure::Malformed { message: "no choices".into() });
    }

    #[test]
    fn statuses_say_what_to_do() {
        let now: Timestamp = "2025-01-01T00:00:00Z".parse().expect("a time");
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().expect("a value"));
        let busy = |status| answered(status, r#"{"error":{"message":"slow down"}}"#, &headers, &scrub(), now);
        for status in [429, 500, 503, 529] {
            let wait = Some(Duration::from_secs(7));
            assert_eq!(busy(status), Failure::Busy { wait, message: format!("HTTP {status}: slow down") });
        }
        assert!(matches!(busy(401), Failure::Refused { status: 401, .. }));
        assert!(matches!(busy(404), Failure::Refused { status: 404, .. }));
        let broke = answered(429, r#"{"error":{"code":"insufficient_quota"}}"#, &headers, &scrub(), now);
        assert!(matches!(broke, Failure::Refused { status: 429, .. }), "{broke:?}");
        headers.insert("retry-after", "Wed, 01 Jan 2025 00:00:30 GMT".parse().expect("a value"));
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(30)));
        headers.insert("retry-after-ms", "250".parse().expect("a value"));
        assert_eq!(retry_after(&headers, now), Some(Duration::from_millis(250)));
        headers.insert("retry-after-ms", "999999999999".parse().expect("a value"));
        assert_eq!(retry_after(&headers, now), Some(RETRY_AFTER_MAX));
    }
}
