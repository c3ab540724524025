//! HTTP requests that the agent's own command line makes to the agent.
//!
//! This client goes where the operator points it, and so knows no rules about addresses.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;

use super::root_cause;

/// Longest wait for a whole answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(35);
/// Longest wait for a connection.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer that are kept.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Nobody listens there.
    #[error("nothing answers at {url}: is the agent running there?")]
    Unreachable {
        /// Where.
        url: String,
    },
    /// Anything else.
    #[error("the request to {url} failed: {reason}")]
    Failed {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body as text.
    pub body: String,
    /// The server's time, where it tells it.
    pub date: Option<Timestamp>,
}

/// The time in the header `Date`, to the second.
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(http::header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// A client for the operator's own requests.
#[derive(Debug, Clone)]
pub struct OperatorClient(reqwest::Client);

impl OperatorClient {
    /// A client. On loopback a certificate that no authority signed is accepted: whoever could stand in between there is on
    /// this machine already.
    pub fn new(loopback: bool) -> Result<Self, OutboundError> {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WAIT_MAX)
            .timeout(ANSWER_WAIT_MAX)
            .danger_accept_invalid_certs(loopback)
            .build()
            .map(Self)
            .map_err(|error| OutboundError::Failed { url: String::new(), reason: error.to_string() })
    }

    /// Sends one request.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, OutboundError> {
        let failed = |error: reqwest::Error| {
            if error.is_connect() {
                OutboundError::Unreachable { url: url.to_owned() }
            } else {
                OutboundError::Failed { url: url.to_owned(), reason: root_cause(&error) }
            }
        };
        let mut response = self.0.request(method, url).headers(headers).body(body).send().await.map_err(failed)?;
        let status = response.status();
        let date = date(response.headers());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(OutboundError::Failed { url: url.to_owned(), reason: "the answer is too long".into() });
            }
        }
        Ok(Answer { status, body: String::from_utf8_lossy(&bytes).into_owned(), date })
    }
}
