//! Calls to a Bot API server: teloxide's payload types, our own connection, and an answer that says what is known.
//!
//! teloxide's sender sleeps ten seconds on every 5xx, turns a success that it cannot read into an error, and follows proxy
//! variables; a durable outbox has to know exactly what happened, so requests go out here. The token is in the URL of every
//! request: no error leaves this file with its URL.

use std::error::Error as _;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use teloxide::requests::Payload;

use crate::config::Secret;
use crate::domain::text::{clip_chars, one_line};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to a call that does not poll.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// An idle connection is dropped before servers usually do: a request on a dead one is a send without an answer.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer that is read: a hundred updates of the largest kind are well below.
const RESPONSE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest error text that is kept.
const ERROR_CHARS_MAX: usize = 300;

/// A client for one bot.
pub(super) struct Api {
    client: reqwest::Client,
    base: reqwest::Url,
    token: Secret,
    /// The server's time in its last answer, in Unix seconds; 0 for none.
    answered_at: AtomicI64,
}

/// What is known after a call.
#[derive(Debug)]
pub(super) enum Reply {
    /// `"ok": true`, with the result as JSON text.
    Done(Box<RawValue>),
    /// A success by its status or its first bytes, with a body that cannot be read to its end.
    DoneUnread(String),
    /// `"ok": false`: the server refused.
    Said(ApiError),
    /// The server certainly did not do it.
    NotSent(String),
    /// The request left; nobody knows what became of it.
    Unanswered(String),
}

/// A refusal in the server's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ApiError {
    /// Like an HTTP status.
    #[serde(default)]
    pub(super) error_code: u16,
    /// For people.
    #[serde(default)]
    pub(super) description: String,
    /// For programs.
    #[serde(default)]
    pub(super) parameters: Parameters,
}

/// What a program can do about a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Parameters {
    /// Seconds to wait.
    pub(super) retry_after: Option<u64>,
    /// The chat has become a supergroup with this id.
    pub(super) migrate_to_chat_id: Option<i64>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    ok: bool,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

/// Why a client cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TelegramError {
    /// The configured address is no base for requests.
    #[error("telegram.api_url is not an http or https address")]
    ApiUrl,
    /// The TLS back end does not start.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
}

impl Api {
    /// A client that calls `api_url` with `token`.
    pub(super) fn new(token: &Secret, api_url: &str) -> Result<Self, TelegramError> {
        let base = reqwest::Url::parse(api_url).map_err(|_| TelegramError::ApiUrl)?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(TelegramError::ApiUrl);
        }
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_nodelay(true)
            // The address is the operator's choice; a proxy variable set for other programs must not see the token, and a
            // redirect must not carry it elsewhere.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| TelegramError::Client(error.without_url().to_string()))?;
        Ok(Self { client, base, token: token.clone(), answered_at: AtomicI64::new(0) })
    }

    /// One call, answered within `timeout`.
    pub(super) async fn call<P: Payload + Serialize>(&self, payload: &P, timeout: Duration) -> Reply {
        let Ok(body) = serde_json::to_vec(payload) else {
            return Reply::NotSent("the request cannot be written as JSON".into());
        };
        let request = self
            .client
            .post(self.method_url(P::NAME))
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .timeout(timeout)
            .body(body);
        self.answer(request).await
    }

    /// One call with a file.
    pub(super) async fn upload(&self, method: &str, form: reqwest::multipart::Form, timeout: Duration) -> Reply {
        self.answer(self.client.post(self.method_url(method)).timeout(timeout).multipart(form)).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = match request.send().await {
            Ok(response) => response,
            // No connection, or a request that could not be built: not a byte of it has left.
            Err(error) if error.is_connect() || error.is_builder() => return Reply::NotSent(self.tell(error)),
            Err(error) => return Reply::Unanswered(self.tell(error)),
        };
        let answered_at = crate::outbound::date(response.headers());
        self.answered_at.store(answered_at.map_or(0, Timestamp::as_second), Relaxed);
        let status = response.status().as_u16();
        match self.read(response).await {
            Ok(body) => self.judge(status, &body),
            // The head of a success arrived, but perhaps not from the Bot API.
            Err(error) if status == 200 => Reply::Unanswered(format!("the answer broke off: {error}")),
            Err(error) => Reply::NotSent(format!("HTTP {status}, and the answer broke off: {error}")),
        }
    }

    /// The server's time in its last answer, to the second.
    pub(super) fn answered_at(&self) -> Option<Timestamp> {
        Some(self.answered_at.load(Relaxed)).filter(|at| *at != 0).and_then(|at| Timestamp::from_second(at).ok())
    }

    /// Text for logs and the ledger: bounded, one line, without the token whatever it came from.
    pub(super) fn redact(&self, text: &str) -> String {
        clip_chars(&one_line(&text.replace(self.token.expose(), "***")), ERROR_CHARS_MAX)
    }

    fn method_url(&self, method: &str) -> reqwest::Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(&format!("bot{}", self.token.expose())).push(method);
        }
        url
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<String, String> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.tell(error))? {
            if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
                return Err("it is too long".into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// What `status` and `body` say together.
    fn judge(&self, status: u16, body: &str) -> Reply {
        if let Ok(Envelope { ok: true, result: Some(result) }) = serde_json::from_str(body) {
            return Reply::Done(result.to_owned());
        }
        if let Ok(Envelope { ok: false, .. }) = serde_json::from_str(body)
            && let Ok(mut error) = serde_json::from_str::<ApiError>(body)
        {
            error.error_code = if error.error_code == 0 { status } else { error.error_code };
            error.description = self.redact(&error.description);
            // A gateway's "no answer in time" is the one server error after which the message may be there.
            return match error.error_code {
                504 => Reply::Unanswered(error.to_string()),
                500.. => Reply::NotSent(error.to_string()),
                _ => Reply::Said(error),
            };
        }
        let compact: String = body.chars().take(200).filter(|c| !c.is_whitespace()).collect();
        match status {
            200 if compact.starts_with("{\"ok\":true") => Reply::DoneUnread(body.to_owned()),
            // Somebody else's page (a captive portal, a proxy), not the Bot API's answer.
            200 if compact.starts_with('<') => Reply::NotSent("the answer is a web page, not the Bot API's".into()),
            200 | 504 => Reply::Unanswered(format!("HTTP {status} with an answer that cannot be read")),
            // Telegram answers 5xx, usually with a gateway's page, when it could not take the request. Were it to have
            // taken one all the same, a repeated notice is the lesser harm than a lost one.
            500.. => Reply::NotSent(format!("HTTP {status}")),
            300..400 => Reply::NotSent(format!("HTTP {status}: the address redirects; telegram.api_url is wrong")),
            429 => Reply::Said(ApiError {
                error_code: 429,
                description: "HTTP 429".into(),
                parameters: Parameters::default(),
            }),
            _ => Reply::NotSent(format!("HTTP {status} with an answer that is not the Bot API's")),
        }
    }

    /// An error with its causes, without the URL.
    fn tell(&self, error: reqwest::Error) -> String {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        self.redact(&text)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.error_code, self.description)
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}
