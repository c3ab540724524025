//! Looks into signatures that were refused, for the operator.
//!
//! A signature is not kept, so this is the one moment in which it can be compared with what a usual mistake would have made of
//! it. So many a second and no more, off the event loop, and what is found goes into the ledger and never into the answer.

use std::sync::Arc;

use super::Inner;
use super::limits::{DIAGNOSED_BODY_BYTES_MAX, DIAGNOSES_PER_SECOND};
use super::refusal::{Code, Refusal};
use super::verify::Received;
use crate::config::Secret;
use crate::provider::{SignedRequest, Suspect};

impl Inner {
    /// The refusal with what was found out about it.
    pub(super) async fn diagnosed(&self, received: &Received, mut refusal: Refusal) -> Refusal {
        match refusal.code {
            Code::MissingSignature | Code::InvalidSignature | Code::StaleSignature => {}
            Code::BadRequest
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::IpNotAllowed
            | Code::RateLimited
            | Code::NotReady
            | Code::StorageUnavailable
            | Code::Disabled
            | Code::BodyTooLarge
            | Code::BodyTimeout
            | Code::InvalidPayload
            | Code::MissingEventType
            | Code::Internal => return refusal,
        }
        let (now, small) = (self.clock.now(), received.body.len() <= DIAGNOSED_BODY_BYTES_MAX);
        if received.route.secrets.is_empty() || !small || !self.diagnoses.admits(now, DIAGNOSES_PER_SECOND) {
            return refusal;
        }
        let (received, routes, others) = (received.clone(), self.routes.load_full(), self.other_secrets(received));
        let look = tokio::task::spawn_blocking(move || {
            let head = Arc::clone(&received.exchange.head);
            let (url, route) = (received.url(), &received.route);
            let request =
                SignedRequest { method: head.method.as_str(), url: &url, headers: &head.headers, body: &received.body };
            let suspect =
                Suspect { handler: route.name.as_str(), secrets: &route.secrets, others: &others, request, now };
            routes.registry.diagnose(&route.provider, &suspect)
        });
        // A failure here costs the findings and nothing else: the refusal stands.
        refusal.findings = look.await.unwrap_or_default();
        refusal
    }

    /// The secrets of the other handlers, with the names of these.
    fn other_secrets(&self, received: &Received) -> Vec<(String, Secret)> {
        let others = self.config.handlers.values().filter(|handler| handler.name != received.route.name);
        let named = |handler: &crate::config::Handler| {
            let name = format!("handler '{}'", handler.name);
            handler.secrets.iter().map(|secret| (name.clone(), secret.clone())).collect::<Vec<_>>()
        };
        let common = self.config.common_secret.iter().map(|secret| ("WEBHOOK_SECRET".to_owned(), secret.clone()));
        let own = |secret: &Secret| received.route.secrets.iter().any(|own| own.expose() == secret.expose());
        others.flat_map(named).chain(common).filter(|(_, secret)| !own(secret)).collect()
    }
}
