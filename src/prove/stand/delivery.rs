//! A sender: GitHub's deliveries, signed by code of our own, and sent again until they are acknowledged as GitHub's user would.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{SECRET, SecretBook};
use crate::outbound::{Answer, OperatorClient};

/// A request to the webhook server.
#[derive(Debug, Clone)]
pub(in crate::prove) struct Delivery {
    pub(in crate::prove) path: String,
    pub(in crate::prove) headers: Vec<(&'static str, String)>,
    pub(in crate::prove) body: Vec<u8>,
}

/// An answer that says that the event is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::prove) struct Acknowledged {
    pub(in crate::prove) id: String,
    pub(in crate::prove) status: String,
}

/// A pull request that was opened, titled `title`.
pub(in crate::prove) fn github(handler: &str, delivery_id: &str, number: u64, title: &str) -> Delivery {
    let page = format!("https://github.com/acme/shop/pull/{number}");
    let payload = json!({
        "action": "opened", "number": number,
        "pull_request": {
            "number": number, "title": title, "html_url": page, "user": { "login": "octocat" },
            "head": { "ref": "fix" }, "base": { "ref": "main" },
            "additions": 3, "deletions": 1, "changed_files": 1, "body": null,
        },
        "repository": { "full_name": "acme/shop", "html_url": "https://github.com/acme/shop" },
        "sender": { "login": "octocat" },
    });
    Delivery::signed(handler, delivery_id, "pull_request", &payload, SECRET)
}

impl Delivery {
    /// Signed as GitHub does.
    pub(in crate::prove) fn signed(handler: &str, id: &str, event: &str, payload: &Value, secret: &str) -> Self {
        let body = payload.to_string().into_bytes();
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-github-event", event.to_owned()),
            ("x-github-delivery", id.to_owned()),
            ("x-hub-signature-256", format!("sha256={}", mac(secret, &body))),
        ];
        Self { path: format!("/webhooks/{handler}"), headers, body }
    }

    /// JSON without a signature, for a route that needs none.
    pub(in crate::prove) fn plain(name: &str, payload: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { path: format!("/webhooks/{name}"), headers, body: payload.to_string().into_bytes() }
    }

    /// The same with another header.
    pub(in crate::prove) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// The HMAC-SHA256 in hex.
pub(in crate::prove) fn mac(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Whoever sends.
#[derive(Debug, Clone)]
pub(in crate::prove) struct Sender {
    client: OperatorClient,
    secrets: SecretBook,
}

impl Sender {
    pub(in crate::prove) fn new(secrets: SecretBook) -> Result<Self, String> {
        let client = OperatorClient::new(false).map_err(|error| error.to_string())?;
        Ok(Self { client, secrets })
    }

    pub(in crate::prove) fn client(&self) -> &OperatorClient {
        &self.client
    }

    /// Sends; `None` when there is no answer.
    pub(in crate::prove) async fn send(&self, to: SocketAddr, delivery: &Delivery) -> Option<Answer> {
        let mut headers = HeaderMap::new();
        for (name, value) in &delivery.headers {
            if let Some((_, signature)) = value.split_once('=').filter(|_| name.contains("signature")) {
                self.secrets.add(signature);
            }
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).ok()?);
        }
        let url = format!("http://{to}{}", delivery.path);
        let answer = self.client.send(Method::POST, &url, headers, delivery.body.clone()).await.ok()?;
        self.secrets.said("a sender", answer.body.clone());
        Some(answer)
    }

    /// Sends; `Ok(None)` when there is no answer or one that asks to come again, an error when the answer is wrong.
    pub(in crate::prove) async fn deliver(
        &self,
        to: SocketAddr,
        delivery: &Delivery,
    ) -> Result<Option<Acknowledged>, String> {
        let Some(answer) = self.send(to, delivery).await else { return Ok(None) };
        if answer.status.as_u16() == 503 {
            return Ok(None);
        }
        let body: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        let word = |key: &str| body[key].as_str().map(str::to_owned);
        match (answer.status.as_u16(), word("event_id"), word("status")) {
            (200, Some(id), Some(status)) => Ok(Some(Acknowledged { id, status })),
            _ => Err(format!("a delivery was answered {}: {}", answer.status, answer.body)),
        }
    }
}
