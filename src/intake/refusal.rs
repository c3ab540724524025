//! What a refusal is: a stable code, a status, a sentence that is safe to show, and what the ledger should know of it.

use std::borrow::Cow;

use http::StatusCode;

use crate::domain::event::{Verdict, words};

words! {
    /// Why a request was refused. The written form is part of the contract.
    Code {
        /// The request breaks HTTP's own rules.
        BadRequest = "bad_request",
        /// Nothing is served at this path.
        NotFound = "not_found",
        /// Something is, but not by this method.
        MethodNotAllowed = "method_not_allowed",
        /// The client's address is on no list that admits it.
        IpNotAllowed = "ip_not_allowed",
        /// The client sent more than its share.
        RateLimited = "rate_limited",
        /// The agent is still starting.
        NotReady = "not_ready",
        /// The store cannot commit.
        StorageUnavailable = "storage_unavailable",
        /// The handler is switched off.
        Disabled = "disabled",
        /// The body is over the limit.
        BodyTooLarge = "body_too_large",
        /// The body came too slowly.
        BodyTimeout = "body_timeout",
        /// A signature is needed and there is none.
        MissingSignature = "missing_signature",
        /// The signature is wrong.
        InvalidSignature = "invalid_signature",
        /// The signature is right and too old, or from the future.
        StaleSignature = "stale_signature",
        /// The body is not what its content type says.
        InvalidPayload = "invalid_payload",
        /// The provider's event type is missing.
        MissingEventType = "missing_event_type",
        /// The agent failed.
        Internal = "internal",
    }
}

impl Code {
    /// The status that goes with it, where nothing else decides.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::IpNotAllowed => StatusCode::FORBIDDEN,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::NotReady | Self::StorageUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Disabled => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::MissingSignature | Self::InvalidSignature | Self::StaleSignature => StatusCode::UNAUTHORIZED,
            Self::BadRequest | Self::InvalidPayload | Self::MissingEventType => StatusCode::BAD_REQUEST,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// The status of the answer.
    pub status: StatusCode,
    /// One sentence for the sender's operator; never a secret, never our internals.
    pub message: Cow<'static, str>,
    /// Seconds after which another attempt makes sense.
    pub retry_after: Option<u64>,
    /// The methods that are served here.
    pub allow: Option<&'static str>,
    /// What the signature check said, when it came to that.
    pub verdict: Option<Verdict>,
    /// What probably went wrong, for the operator alone: the sender is never told.
    pub findings: Vec<String>,
}

impl Refusal {
    /// A refusal with its code's usual status.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            status: code.status(),
            message: message.into(),
            retry_after: None,
            allow: None,
            verdict: None,
            findings: Vec::new(),
        }
    }

    /// With a time to wait, at least a second.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// With the methods that are served.
    pub fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// With what the signature check said.
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = Some(verdict);
        self
    }

    /// `code: sentence`, and a line for each finding, as the ledger keeps it.
    pub fn reason(&self) -> String {
        let mut reason = format!("{}: {}", self.code, self.message);
        for finding in &self.findings {
            reason.push('\n');
            reason.push_str(finding);
        }
        reason
    }

    /// With another status.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}
