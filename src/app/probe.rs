//! Requests to the running agent's own webhooks, signed as their sender would sign them: the command line's `webhook test` and
//! `webhook send`, and the chat's `/webhook test`.

use std::sync::Arc;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::handlers;
use crate::config::{Config, Handler, Secret};
use crate::outbound::{Answer, OperatorClient, OutboundError};
use crate::ports::{Clock, Ids};
use crate::provider::{self, Provider, Registry, SignRequest};
use crate::workflow::catalog::Catalog;

/// Why a webhook could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No handler and no workflow has that name.
    #[error("there is no webhook '{name}'; there are: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Its provider's manifest is not there.
    #[error("the provider of handler '{0}' is not installed; 'agent check' says more")]
    NoProvider(String),
    /// There is nothing to send.
    #[error("the provider '{provider}' has no example of an event that '{handler}' wants")]
    NoExample {
        /// The provider.
        provider: String,
        /// The handler.
        handler: String,
    },
    /// Only the sender can sign.
    #[error(
        "{0} signs with a private key that only it has: send a test from there, or try a pair of your own with 'agent webhook send {1} EVENT --key-file FILE'"
    )]
    PrivateKey(String, String),
    /// The request got no answer.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
}

/// What samples are sent with, to one place.
#[derive(Debug)]
pub struct Sender {
    /// The connection.
    pub client: OperatorClient,
    /// Where to.
    pub url: String,
    /// What a sender that signs the URL takes it to be; see [`signed_url`].
    pub signed_url: String,
    /// Whose sender is played.
    pub provider: Arc<Provider>,
    /// What it signs with.
    pub secret: Option<Secret>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Delivery ids.
    pub ids: Arc<dyn Ids>,
}

impl Sender {
    /// Sends `payload` as `event` under a delivery id of its own.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn send(&self, event: &str, mut payload: Value) -> Result<Answer, OutboundError> {
        let now = self.clock.now();
        let delivery_id = self.ids.ulid(now).to_string();
        self.provider.fill(&mut payload, &delivery_id, now);
        let body = self.provider.encode(&payload);
        let request = SignRequest { url: &self.signed_url, body: &body, delivery_id: &delivery_id, event, now };
        let signed = self.provider.sign_request(self.secret.as_ref(), &request);
        let headers: HeaderMap = signed.into_iter().collect();
        self.client.send(Method::POST, &self.url, headers, body).await
    }
}

/// What a test needs to know.
#[derive(Debug)]
pub struct Probe<'a> {
    /// Handlers and secrets.
    pub config: &'a Config,
    /// Manifests.
    pub registry: &'a Registry,
    /// Workflows with a route of their own.
    pub catalog: &'a Catalog,
    /// Where the webhook server is, such as `http://127.0.0.1:8080`.
    pub base: &'a str,
    /// For that place.
    pub client: OperatorClient,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Delivery ids.
    pub ids: Arc<dyn Ids>,
}

impl Probe<'_> {
    /// Sends a signed sample of an event to the handler or workflow `name`.
    ///
    /// # Errors
    /// When there is no such webhook, nothing to send, or no answer.
    pub async fn test(self, name: &str) -> Result<Answer, ProbeError> {
        let Probe { config, registry, catalog, base, client, clock, ids } = self;
        let handler = config.webhooks.handlers.values().find(|handler| handler.name.as_str() == name);
        let (path, provider, secret, event, payload) = match handler {
            Some(handler) => {
                let (provider, event, payload) = sample(handler, registry)?;
                let secret = handlers::secrets_of(handler, config).into_iter().next();
                if secret.is_some() && provider.signs_with_private_key() {
                    return Err(ProbeError::PrivateKey(provider.title().to_owned(), name.to_owned()));
                }
                (handlers::handler_path(handler), provider, secret, event, payload)
            }
            None => {
                let routes = handlers::workflow_routes(config, catalog);
                let Some((path, _)) = routes.into_iter().find(|(_, workflow)| workflow.name == name) else {
                    return Err(unknown(config, catalog, name));
                };
                let custom = registry.get(crate::intake::PROVIDER_DEFAULT);
                let custom = custom.ok_or_else(|| ProbeError::NoProvider(name.to_owned()))?;
                let secret = config.webhooks.common_secret.clone();
                (path, Arc::clone(custom), secret, "test".to_owned(), json!({ "event": "test" }))
            }
        };
        let url = format!("{base}{path}");
        let signed_url = signed_url(config, base, &url);
        let sender = Sender { client, url, signed_url, provider, secret, clock, ids };
        Ok(sender.send(&event, payload).await?)
    }
}

/// The URL that the signature of a request to `url` covers, where its sender signs the URL. `base` is where our own webhook
/// server is: whoever calls that checks by `webhooks.public_url`, which is what senders know it as. Other places are taken
/// as they are.
pub fn signed_url(config: &Config, base: &str, url: &str) -> String {
    let named = url.replacen("://localhost:", "://127.0.0.1:", 1);
    let target = named.strip_prefix(base).filter(|target| target.starts_with(['/', '?']));
    match (&config.webhooks.public_url, target) {
        (Some(public), Some(target)) => format!("{public}{target}"),
        _ => url.to_owned(),
    }
}

/// An example of an event that `handler` wants.
fn sample(handler: &Handler, registry: &Registry) -> Result<(Arc<Provider>, String, Value), ProbeError> {
    let name = handler.name.as_str();
    let provider = handlers::provider_of(handler, registry).ok_or_else(|| ProbeError::NoProvider(name.to_owned()))?;
    let wanted = |event: &str| handler.events.is_empty() || provider::wanted(&handler.events, event);
    let event = provider
        .events()
        .iter()
        .filter(|event| event.example.is_some())
        .map(|event| event.name.clone())
        .find(|event| wanted(event))
        .ok_or_else(|| ProbeError::NoExample { provider: provider.name().to_owned(), handler: name.to_owned() })?;
    let payload = provider.prepare_example(&event).unwrap_or_else(|| json!({}));
    Ok((provider, event, payload))
}

fn unknown(config: &Config, catalog: &Catalog, name: &str) -> ProbeError {
    let handlers = config.webhooks.handlers.keys().map(ToString::to_string);
    let workflows = handlers::workflow_routes(config, catalog).into_iter().map(|(_, workflow)| workflow.name.clone());
    ProbeError::Unknown { name: name.to_owned(), known: handlers.chain(workflows).collect() }
}
