//! Models behind [`ports::Model`](crate::ports::Model): several of them in order of preference, with retries, a circuit breaker,
//! and the bounds on money and tokens that hold before a call leaves.
//!
//! It knows providers only through the `genai` library (`client`) and nothing of what is asked or why. What every call cost
//! is in the ledger. No error, log line or row holds a key, a header or a prompt (`fault` sees to that).

mod breaker;
mod check;
mod client;
mod fault;
mod prices;
mod router;
mod wire;

pub use check::{ModelCheck, check};
pub use prices::{PRICES_DATE, Price};
pub use router::{Models, ModelsParts};

use std::sync::Arc;

/// Why models cannot be used at all. Nothing is contacted to find that out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("model: {0}")]
pub struct ModelSetupError(String);

/// The one HTTP client of all models: our TLS, no proxy from the environment, no redirects, since both would carry the key to
/// where the operator did not point.
fn http_client() -> Result<reqwest13::Client, ModelSetupError> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ModelSetupError(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest13::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .no_proxy()
        .redirect(reqwest13::redirect::Policy::none())
        .build()
        .map_err(|error| ModelSetupError(error.without_url().to_string()))
}

/// The longest wait for a connection.
const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
