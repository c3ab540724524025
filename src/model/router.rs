//! The models of the configuration behind one face: which is asked, how often, and whether there is money for it.
//!
//! For each model in order: is it left alone by its breaker, do the bounds admit what the call may take at most (written down
//! first, corrected afterwards), then up to a few attempts. Once a part of an answer was passed on nothing is tried again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::breaker::Breaker;
use super::client::Client;
use super::fault::{Failure, Scrub};
use super::prices::{self, Price};
use super::wire::Answer;
use super::{ModelSetupError, http_client};
use crate::config;
use crate::domain::money;
use crate::ledger::ModelLedger;
use crate::ledger::models::{ModelBounds, ModelCallBegun, ModelCallEnded, NewModelCall};
use crate::ports::{Clock, Model, ModelError, ModelReply, ModelRequest};
use crate::telemetry::Redactor;

/// Attempts at one model within one call.
const ATTEMPTS_MAX: u32 = 3;
/// The pause before the second attempt, when the provider names none; it doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause within a call: beyond it the next model is asked, or nobody.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// The longest that a streamed answer may take in all, when the request says nothing.
const STREAM_MAX: Duration = Duration::from_secs(600);

/// What the models are made from.
#[derive(Debug)]
pub struct ModelsParts<'a> {
    /// The section `model` of the configuration.
    pub config: &'a config::Model,
    /// Where calls are written down.
    pub ledger: Arc<dyn ModelLedger>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Cuts secrets out of what providers say.
    pub redactor: Redactor,
}

/// The configured models.
#[derive(Debug)]
pub struct Models {
    entries: Vec<Entry>,
    ledger: Arc<dyn ModelLedger>,
    clock: Arc<dyn Clock>,
    day_micro_usd_max: u64,
    event_tokens_max: u64,
}

#[derive(Debug)]
struct Entry {
    /// `openai/gpt-4o-mini`.
    label: String,
    /// The model's name, and its key in `model.fallbacks`.
    names: Vec<String>,
    /// Whether it is asked by requests that do not prefer it.
    for_all: bool,
    client: Client,
    price: Price,
    /// Whether anybody said what it costs.
    price_known: bool,
    breaker: Mutex<Breaker>,
}

/// Attempts at one model within one call.
struct Tries {
    made: u32,
    /// The pause before the next one.
    pause: Duration,
}

/// A call that is written down as open.
struct Open {
    seq: i64,
    tokens_in: u64,
}

impl Models {
    /// What all of them may cost in a day, in millionths of a US dollar.
    pub fn day_micro_usd_max(config: &config::Model) -> u64 {
        micro_usd(config.daily_budget_usd)
    }

    /// The models of a configuration. Nothing is contacted.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(parts: ModelsParts<'_>) -> Result<Self, ModelSetupError> {
        let http = http_client()?;
        let keys = parts.config.endpoints().filter_map(|endpoint| endpoint.api_key.as_ref());
        let scrub = Scrub::new(parts.redactor, keys.map(|key| key.expose().to_owned()));
        let named = std::iter::once((None, &parts.config.first, true))
            .chain(parts.config.fallbacks.iter().map(|(key, endpoint)| (Some(key), endpoint, true)))
            .chain(parts.config.preferred.iter().map(|endpoint| (None, endpoint, false)));
        let mut entries = Vec::new();
        for (key, endpoint, for_all) in named {
            let (price, known) = Price::of(endpoint);
            let label = endpoint.label();
            if !known {
                tracing::info!(
                    model = label,
                    "its price is not known; it counts as a dear one until model.price says more"
                );
            }
            entries.push(Entry {
                names: std::iter::once(&endpoint.name).chain(key).cloned().collect(),
                label,
                for_all,
                client: Client::new(endpoint, http.clone(), scrub.clone(), Arc::clone(&parts.clock))?,
                price,
                price_known: known,
                breaker: Mutex::default(),
            });
        }
        Ok(Self {
            entries,
            ledger: parts.ledger,
            clock: parts.clock,
            day_micro_usd_max: micro_usd(parts.config.daily_budget_usd),
            event_tokens_max: parts.config.event_tokens_max,
        })
    }

    /// The models in the order in which this request asks them.
    fn order(&self, prefer: Option<&str>) -> Vec<&Entry> {
        let called = |entry: &&Entry| {
            prefer.is_some_and(|wanted| entry.label == wanted || entry.names.iter().any(|name| name == wanted))
        };
        let first = self.entries.iter().find(called);
        let others = self.entries.iter().filter(|entry| entry.for_all);
        let others = others.filter(|entry| !first.is_some_and(|first| std::ptr::eq(first, *entry)));
        first.into_iter().chain(others).collect()
    }

    /// Writes the call down, if there is money for it.
    async fn open(&self, entry: &Entry, request: &ModelRequest) -> Result<Open, ModelError> {
        let at = self.clock.now();
        let tokens_in = prices::tokens_in(request);
        let tokens_out = u64::from(request.max_tokens);
        let most = entry.price.micro_usd(tokens_in, tokens_out);
        let call = NewModelCall {
            at,
            purpose: request.purpose,
            model: entry.label.clone(),
            event: request.event,
            run: request.run,
            tokens_in,
            tokens_out,
            micro_usd: most,
        };
        let bounds = ModelBounds {
            day_began: money::day_began(at),
            day_micro_usd_max: self.day_micro_usd_max,
            event_tokens_max: self.event_tokens_max,
        };
        match self.ledger.begin_model_call(call, bounds).await {
            Ok(ModelCallBegun::Begun(seq)) => Ok(Open { seq, tokens_in }),
            Ok(ModelCallBegun::OverBudget { micro_usd }) => Err(ModelError::OverBudget {
                message: format!(
                    "the day's budget does not admit a call of {}, which may cost {}{}: {} of {} are spent or reserved; it starts anew at midnight UTC",
                    entry.label,
                    money::micro_usd(most),
                    if entry.price_known { "" } else { " (its price is not known: model.price says it)" },
                    money::micro_usd(micro_usd),
                    money::micro_usd(self.day_micro_usd_max)
                ),
            }),
            Ok(ModelCallBegun::EventFull { tokens }) => Err(ModelError::OverBudget {
                message: format!(
                    "{} of the {} tokens for one event are spent, and the call could go beyond (model.event_tokens_max)",
                    money::grouped(&tokens.to_string()),
                    money::grouped(&self.event_tokens_max.to_string())
                ),
            }),
            // Without the ledger nobody knows what was spent.
            Err(error) => Err(ModelError::Unavailable { message: error.to_string() }),
        }
    }

    async fn close(&self, call: &Open, tokens_in: u64, tokens_out: u64, price: Price, outcome: &'static str) -> u64 {
        let cost = price.micro_usd(tokens_in, tokens_out);
        let ended = ModelCallEnded { at: self.clock.now(), tokens_in, tokens_out, micro_usd: cost, outcome };
        if let Err(error) = self.ledger.end_model_call(call.seq, ended).await {
            tracing::warn!(%error, "what a call of a model cost is not written down; what was reserved for it stands");
        }
        cost
    }

    /// Asks one model until it answers, refuses, has written something that is lost, or there is no use in asking again.
    async fn attempts(
        &self,
        entry: &Entry,
        request: &ModelRequest,
        deltas: Option<&mpsc::Sender<String>>,
        deadline: Timestamp,
        tries: &mut Tries,
    ) -> Result<Answer, Failure> {
        loop {
            let began = self.clock.now();
            let late = || {
                let after = Duration::try_from(deadline.duration_since(began)).unwrap_or_default();
                Failure::TooSlow { after, passed_on: deltas.is_some() }
            };
            let outcome = tokio::select! {
                biased;
                outcome = entry.client.ask(request, deltas) => outcome,
                () = self.clock.sleep_until(deadline) => Err(late()),
            };
            let Err(Failure::Busy { wait, message }) = &outcome else { return outcome };
            tracing::debug!(model = entry.label, attempt = tries.made + 1, error = message, "a model did not answer");
            if !self.may_try_again(tries, *wait, deadline).await {
                return outcome;
            }
        }
    }

    /// Waits for the next attempt. `false`: there is none.
    async fn may_try_again(&self, tries: &mut Tries, wait: Option<Duration>, deadline: Timestamp) -> bool {
        let wait = wait.unwrap_or(tries.pause);
        let resumes = self.clock.now() + wait;
        tries.made += 1;
        if tries.made >= ATTEMPTS_MAX || wait > RETRY_PAUSE_MAX || resumes >= deadline {
            return false;
        }
        self.clock.sleep_until(resumes).await;
        tries.pause *= 2;
        true
    }

    /// One model's part of a call. The inner result is the end of the call; `Err` lets the next model try.
    async fn one(
        &self,
        entry: &Entry,
        request: &ModelRequest,
        deltas: Option<&mpsc::Sender<String>>,
        deadline: Timestamp,
    ) -> Result<Result<ModelReply, ModelError>, ModelError> {
        let mut tries = Tries { made: 0, pause: RETRY_PAUSE };
        let (call, outcome) = loop {
            let call = match self.open(entry, request).await {
                Ok(call) => call,
                Err(error) => {
                    entry.breaker().not_tried(self.clock.now());
                    return Err(error);
                }
            };
            let outcome = self.attempts(entry, request, deltas, deadline, &mut tries).await;
            // Nobody has seen anything of an answer that broke off, but it is paid for: the next attempt is a call of its own.
            if let Err(Failure::Cut { passed_on: false, .. }) = &outcome
                && self.may_try_again(&mut tries, None, deadline).await
            {
                self.close(&call, call.tokens_in, u64::from(request.max_tokens), entry.price, "cut").await;
                continue;
            }
            break (call, outcome);
        };
        let now = self.clock.now();
        match &outcome {
            // A refusal is an answer: of a model that is there.
            Ok(_) | Err(Failure::Refused { .. } | Failure::Malformed { .. }) => entry.breaker().succeeded(),
            Err(Failure::Busy { .. } | Failure::TooSlow { .. }) => entry.breaker().failed(now),
            Err(Failure::Cut { .. }) => {}
        }
        let failure = match outcome {
            Ok(answer) => {
                let written = prices::tokens(&answer.text)
                    + answer.calls.iter().map(|call| prices::tokens(&call.args.to_string())).sum::<u64>();
                let tokens_in = answer.tokens_in.unwrap_or(call.tokens_in);
                let tokens_out = answer.tokens_out.unwrap_or(written);
                let micro_usd = self.close(&call, tokens_in, tokens_out, entry.price, "done").await;
                let Answer { text, calls, finish, .. } = answer;
                let model = entry.label.clone();
                return Ok(Ok(ModelReply { text, calls, tokens_in, tokens_out, micro_usd, model, finish }));
            }
            Err(failure) => failure,
        };
        let (error, read, ends) = match failure {
            // Nothing was worked on, as far as anybody can tell.
            Failure::Busy { message, .. } => {
                (ModelError::Unavailable { message: format!("{}: {message}", entry.label) }, 0, false)
            }
            Failure::Refused { status, message } => (ModelError::Refused { status, message }, 0, false),
            // The request was read and is paid for, and so may be all that it could have written: thinking is not seen.
            Failure::Malformed { message } => (ModelError::Malformed { message }, call.tokens_in, false),
            Failure::TooSlow { after, passed_on } => (ModelError::TooSlow { after }, call.tokens_in, passed_on),
            Failure::Cut { message, passed_on } => (ModelError::Cut { message }, call.tokens_in, passed_on),
        };
        let written = if read > 0 { u64::from(request.max_tokens) } else { 0 };
        self.close(&call, read, written, entry.price, error.code()).await;
        tracing::warn!(model = entry.label, purpose = %request.purpose, error = %error, "a model gave no answer");
        if ends { Ok(Err(error)) } else { Err(error) }
    }
}

impl Entry {
    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Model for Models {
    fn name(&self) -> &str {
        self.entries.first().map_or("none", |entry| entry.label.as_str())
    }

    async fn complete(
        &self,
        request: ModelRequest,
        deltas: Option<mpsc::Sender<String>>,
    ) -> Result<ModelReply, ModelError> {
        let began = self.clock.now();
        let order = self.order(request.prefer.as_deref());
        let each = |entry: &&Entry| if deltas.is_some() { STREAM_MAX } else { entry.client.timeout * ATTEMPTS_MAX };
        let longest = request.timeout.unwrap_or_else(|| order.iter().map(each).sum());
        let deadline = began + longest;
        let mut last: Option<ModelError> = None;
        let mut down: Option<String> = None;
        for entry in order {
            let now = self.clock.now();
            if now >= deadline {
                break;
            }
            let admitted = entry.breaker().admit(now);
            let ended = match admitted {
                Ok(()) => self.one(entry, &request, deltas.as_ref(), deadline).await,
                Err(until) => Err(ModelError::Unavailable {
                    message: format!(
                        "{} keeps failing and is left alone until {}",
                        entry.label,
                        until.strftime("%H:%M:%S UTC")
                    ),
                }),
            };
            match ended {
                Ok(end) => return end,
                // That money ran out is worth more to know than that another model is down; with a model that is down before it,
                // it is half of the reason.
                Err(ModelError::OverBudget { message }) => {
                    if !matches!(last, Some(ModelError::OverBudget { .. })) {
                        let first = down.take().map(|down| format!("{down}; and ")).unwrap_or_default();
                        last = Some(ModelError::OverBudget { message: format!("{first}{message}") });
                    }
                }
                Err(error) => {
                    if let ModelError::Unavailable { message } = &error {
                        down.get_or_insert(message.clone());
                    }
                    if !matches!(last, Some(ModelError::OverBudget { .. })) {
                        last = Some(error);
                    }
                }
            }
        }
        Err(last.unwrap_or(ModelError::TooSlow { after: longest }))
    }
}

/// US dollars of the configuration in millionths.
fn micro_usd(usd: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
    let micro = (usd * 1e6).round().clamp(0.0, 1e15) as u64;
    micro
}
