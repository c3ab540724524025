//! Whether a model answers: what `agent doctor` asks each of them, one short question without a ledger.

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::fault::{Failure, Scrub};
use super::prices::Price;
use super::{ModelSetupError, http_client};
use crate::config;
use crate::ports::{Clock, ModelRequest, Purpose};
use crate::telemetry::Redactor;

/// Tokens that an answer to the check may have; models that think need some before they say anything.
const CHECK_TOKENS_MAX: u32 = 64;
/// The longest that a check waits.
const CHECK_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// What a model said to the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCheck {
    /// `provider/name`.
    pub label: String,
    /// Whether its price is known.
    pub price_known: bool,
    /// Nothing, or why it gives no answer.
    pub outcome: Result<(), String>,
}

/// Asks every configured model for one word.
///
/// # Errors
/// When no HTTP client can be made.
pub async fn check(
    config: &config::Model,
    clock: Arc<dyn Clock>,
    redactor: Redactor,
) -> Result<Vec<ModelCheck>, ModelSetupError> {
    let http = http_client()?;
    let keys = config.endpoints().filter_map(|endpoint| endpoint.api_key.as_ref());
    let scrub = Scrub::new(redactor, keys.map(|key| key.expose().to_owned()));
    let mut checks = Vec::new();
    for endpoint in config.endpoints() {
        let mut client = Client::new(endpoint, http.clone(), scrub.clone(), Arc::clone(&clock))?;
        client.timeout = endpoint.timeout.min(CHECK_TIMEOUT_MAX);
        let request = ModelRequest::new(Purpose::Chat, "", "Answer with the word: ready", CHECK_TOKENS_MAX);
        let outcome = match client.ask(&request, None).await {
            Ok(_) => Ok(()),
            Err(Failure::TooSlow { after, .. }) => Err(format!("it does not answer within {} s", after.as_secs())),
            Err(
                Failure::Busy { message, .. }
                | Failure::Refused { message, .. }
                | Failure::Malformed { message }
                | Failure::Cut { message, .. },
            ) => Err(message),
        };
        let label = endpoint.label();
        checks.push(ModelCheck { label, price_known: Price::of(endpoint).1, outcome });
    }
    Ok(checks)
}
