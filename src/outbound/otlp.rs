//! The way to a collector of traces: OTLP over HTTP with protobuf, by the official exporter over our own client.
//!
//! The collector is the operator's own, so no rule about addresses applies. The exporter never retries by itself.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

/// Longest wait for a connection.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// A collector.
#[derive(Debug)]
pub struct Collector(SpanExporter);

/// Where it is and how it is spoken to.
#[derive(Debug)]
pub struct CollectorSettings {
    /// The whole URL.
    pub endpoint: String,
    /// Headers of each request.
    pub headers: HashMap<String, String>,
    /// The name of this service there.
    pub service_name: String,
    /// The longest wait for an answer.
    pub timeout: Duration,
}

impl Collector {
    /// A way to the collector; nothing is sent yet.
    ///
    /// # Errors
    /// When the URL or a header is none.
    pub fn new(settings: CollectorSettings) -> Result<Self, String> {
        let roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest13::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT_WAIT_MAX)
            .timeout(settings.timeout)
            .redirect(reqwest13::redirect::Policy::none())
            // As everywhere: what the environment names would be shown the collector's key.
            .no_proxy()
            .build()
            .map_err(|error| error.to_string())?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(settings.endpoint)
            .with_timeout(settings.timeout)
            .with_headers(settings.headers)
            .build()
            .map_err(|error| error.to_string())?;
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", settings.service_name),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            ])
            .build();
        exporter.set_resource(&resource);
        Ok(Self(exporter))
    }

    /// Hands spans over. `Ok`: the collector has them.
    ///
    /// # Errors
    /// Why it does not; the words may name the URL, and no header.
    pub async fn export(&self, spans: Vec<SpanData>) -> Result<(), String> {
        self.0.export(spans).await.map_err(|error| error.to_string())
    }
}
