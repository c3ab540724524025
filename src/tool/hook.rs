//! The tool `hook`: an outgoing webhook as Standard Webhooks describes it, repeated until it is taken or given up.
//!
//! Every attempt carries the same `webhook-id` and `Idempotency-Key`, which are the step's own and survive a restart, so a
//! receiver can tell a repetition; timestamp and signature are the attempt's. What is worth another attempt: no connection,
//! no answer, 408, 425, 429 and 5xx; when the step's effect is `once`, only what certainly never left. Waits grow, with full jitter so that many hooks that failed together do not come back
//! together, and are at least what `Retry-After` asks for.

use std::time::Duration;

use async_trait::async_trait;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;

use super::net::sign::{self, SigningKey};
use super::{Call, Tool, ToolContext, ToolFailure, ToolOutput, ToolSpec, net, specs};
use crate::domain::retry::Backoff;
use crate::outbound::{Follow, GuardedAnswer, GuardedClient, GuardedRequest, Limits, SendError, Target};
use crate::ports::Ids;

/// Most attempts of one call.
pub const ATTEMPTS_MAX: u32 = 6;
/// Longest wait for one answer when the step does not say.
pub const ANSWER_WAIT_DEFAULT: Duration = specs::REQUEST_TIMEOUT_DEFAULT;
/// Longest wait that a server is granted between two attempts; more than this is cut to this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);
/// The bounds between which the wait before each further attempt is drawn.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(2), factor: 3, longest: Duration::from_secs(60) };

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The headers that are this tool's own.
const OWN: [HeaderName; 3] = [sign::ID, sign::TIMESTAMP, sign::SIGNATURE];

/// Sends outgoing webhooks.
#[derive(Debug, Clone)]
pub struct Hook(GuardedClient);

impl Hook {
    /// The tool, over a client that knows where it may go.
    pub fn new(client: GuardedClient) -> Self {
        Self(client)
    }
}

#[async_trait]
impl Tool for Hook {
    fn spec(&self) -> &'static ToolSpec {
        &specs::HOOK
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let message = Message::of(call, context)?;
        let began = context.clock.now();
        let left = |now: Timestamp| {
            let passed = Duration::try_from(now.duration_since(began)).unwrap_or_default();
            call.timeout.saturating_sub(passed)
        };
        let mut may_have_arrived = false;
        for attempt in 1.. {
            let now = context.clock.now();
            let limits =
                Limits { clock: &*context.clock, wait: message.answer_wait.min(left(now)), cancel: &context.cancel };
            let sent = self.0.send(message.request(now), &limits).await;
            let failed = match sent {
                Ok(answer) if answer.status.is_success() => return Ok(taken(&answer, context)),
                Ok(answer) => refused(&message.target, answer, context),
                Err(error) => unanswered(error),
            };
            may_have_arrived |= matches!(failed.failure, ToolFailure::Unknown { .. });
            let wait = pause(attempt, failed.ask(context.clock.now()), &*context.ids);
            let over = attempt >= ATTEMPTS_MAX || wait >= left(context.clock.now());
            // Where the author says `once`, only what certainly never arrived is sent again.
            let may_repeat = call.effect.is_repeatable() || matches!(failed.failure, ToolFailure::NeverBegan { .. });
            if !failed.again || over || !may_repeat {
                return Err(given_up(failed, attempt, may_have_arrived));
            }
            tokio::select! {
                () = context.cancel.cancelled() => return Err(ToolFailure::Cancelled),
                () = context.clock.sleep(wait) => {}
            }
        }
        unreachable!("the last attempt returns")
    }
}

/// What every attempt sends.
struct Message {
    method: Method,
    target: Target,
    headers: HeaderMap,
    body: bytes::Bytes,
    id: String,
    key: Option<SigningKey>,
    answer_wait: Duration,
}

impl Message {
    fn of(call: &Call, context: &ToolContext) -> Result<Self, ToolFailure> {
        let mut headers = net::headers(call, &OWN)?;
        let body = net::body(call, Some(&call.payload), &mut headers)?;
        let id = sign::message_id(&call.idempotency_key);
        let own_key = HeaderValue::from_str(&call.idempotency_key).ok().filter(|key| !key.is_empty());
        let fallback = || HeaderValue::from_str(&id).expect("letters and digits fit a header");
        headers.entry(IDEMPOTENCY_KEY).or_insert_with(|| own_key.unwrap_or_else(fallback));
        Ok(Self {
            method: net::method(call, Method::POST)?,
            target: net::target(call)?,
            headers,
            body,
            id,
            key: key(call, context)?,
            answer_wait: call.duration("timeout")?.unwrap_or(ANSWER_WAIT_DEFAULT),
        })
    }

    fn request(&self, now: Timestamp) -> GuardedRequest {
        let mut headers = self.headers.clone();
        sign::add(&mut headers, self.key.as_ref(), &self.id, now, &self.body);
        GuardedRequest {
            method: self.method.clone(),
            target: self.target.clone(),
            headers,
            body: self.body.clone(),
            follow: Follow::SameMethod,
        }
    }
}

fn key(call: &Call, context: &ToolContext) -> Result<Option<SigningKey>, ToolFailure> {
    let Some(name) = call.text("secret")? else { return Ok(None) };
    // The name is not repeated: somebody may have written the secret itself there.
    let unknown = || ToolFailure::never_began("the argument 'secret' names no secret that is configured");
    let secret = context.secrets.get(&name).ok_or_else(unknown)?;
    SigningKey::new(secret).map(Some).map_err(|error| ToolFailure::never_began(error.to_string()))
}

/// An attempt that was not taken.
struct Attempt {
    failure: ToolFailure,
    again: bool,
    headers: HeaderMap,
}

impl Attempt {
    /// What the server asks to wait, cut to what it is granted.
    fn ask(&self, now: Timestamp) -> Duration {
        net::retry_after::retry_after(&self.headers, now).unwrap_or_default().min(RETRY_AFTER_MAX)
    }
}

fn taken(answer: &GuardedAnswer, context: &ToolContext) -> ToolOutput {
    let value = net::value(answer, &context.redactor);
    ToolOutput { value, truncated: answer.truncated, ..ToolOutput::default() }
}

fn refused(target: &Target, answer: GuardedAnswer, context: &ToolContext) -> Attempt {
    let mut message = net::answered(target, &answer);
    let status = answer.status;
    if status.is_redirection() {
        message.push_str(": a webhook follows only 307 and 308, which keep its body");
    } else if status == StatusCode::GONE {
        message.push_str(": this receiver wants no more webhooks");
    }
    let again = status.is_server_error() || [408, 425, 429].contains(&status.as_u16());
    let failure = ToolFailure::Failed { message, output: Some(Box::new(taken(&answer, context))) };
    Attempt { failure, again, headers: answer.headers }
}

fn unanswered(error: SendError) -> Attempt {
    let again = match &error {
        SendError::NotSent { .. } | SendError::Unanswered { .. } | SendError::TimedOut { .. } => true,
        // Neither the operator's list nor a wrong redirect changes by trying.
        SendError::Refused { .. } | SendError::Redirect { .. } | SendError::Cancelled => false,
    };
    Attempt { failure: net::failure(error), again, headers: HeaderMap::new() }
}

/// The wait before the next attempt: anything up to the backoff's bound, and no less than what was asked for.
fn pause(attempt: u32, asked: Duration, ids: &dyn Ids) -> Duration {
    let bound = u64::try_from(BACKOFF.after(attempt).as_millis()).unwrap_or(u64::MAX);
    let token = ids.token();
    let random = token.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(u64::MAX);
    // The high half of the product is uniform in 0..=bound, near enough.
    let drawn = (u128::from(random) * (u128::from(bound) + 1)) >> 64;
    asked.max(Duration::from_millis(u64::try_from(drawn).unwrap_or(bound)))
}

/// The whole call's failure. One attempt that may have arrived makes the whole uncertain, unless the receiver said no since.
fn given_up(last: Attempt, attempts: u32, may_have_arrived: bool) -> ToolFailure {
    let told = |message: String| {
        if attempts == 1 { message } else { format!("{message} (given up after {attempts} attempts)") }
    };
    match last.failure {
        ToolFailure::Failed { message, output } if may_have_arrived && last.again => {
            // The answers say "not now"; an earlier attempt may have been taken all the same.
            let _ = output;
            ToolFailure::Unknown { message: told(format!("{message}, and an earlier attempt may have arrived")) }
        }
        ToolFailure::Failed { message, output } => ToolFailure::Failed { message: told(message), output },
        ToolFailure::NeverBegan { message } if may_have_arrived => {
            ToolFailure::Unknown { message: told(format!("{message}, and an earlier attempt may have arrived")) }
        }
        ToolFailure::NeverBegan { message } => ToolFailure::NeverBegan { message: told(message) },
        ToolFailure::Unknown { message } => ToolFailure::Unknown { message: told(message) },
        ToolFailure::TimedOut { .. } | ToolFailure::Cancelled => last.failure,
    }
}
