//! Where the running agent is, and requests to it.

use std::net::IpAddr;

use anyhow::{Context as _, bail};
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::Value;

use super::context::Context;
use crate::app::data_dir::{self, Presence};
use crate::outbound::{Answer, OperatorClient};

/// The base URL of the webhook server: of the running agent, else as configured.
pub(super) fn webhook_base(context: &Context) -> anyhow::Result<String> {
    if let Some(presence) = data_dir::running(&context.config.data_dir) {
        return presence.webhooks.context(
            "the running agent has no webhook server: start it with 'agent --webhooks', or set webhooks.enabled to true",
        );
    }
    let webhooks = &context.config.webhooks;
    let scheme = if webhooks.tls.is_some() { "https" } else { "http" };
    let host = match webhooks.host {
        any if any.is_unspecified() && any.is_ipv4() => "127.0.0.1".to_owned(),
        any if any.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    Ok(format!("{scheme}://{host}:{}", webhooks.port))
}

/// A client for `url`.
pub(super) fn client_for(url: &str) -> anyhow::Result<OperatorClient> {
    let uri: http::Uri = url.parse().with_context(|| format!("'{url}' is not a URL"))?;
    let host = uri.host().with_context(|| format!("'{url}' names no host: write http://127.0.0.1:8080/webhooks/…"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    Ok(OperatorClient::new(loopback)?)
}

/// The running agent's presence, or an error that says how to start it.
pub(super) fn running(context: &Context) -> anyhow::Result<Presence> {
    data_dir::running(&context.config.data_dir).with_context(|| {
        format!("no agent is running on {}: start it with 'agent --webhooks'", context.config.data_dir.display())
    })
}

/// Calls the running agent's local API and reads its answer; a refusal becomes an error with the API's own words.
pub(super) async fn call(context: &Context, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
    let answer = api(context, method, path, body).await?;
    let value: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    if answer.status.is_success() {
        return Ok(value);
    }
    bail!("{}", refusal(&answer))
}

/// Calls the running agent's local API.
pub(super) async fn api(context: &Context, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Answer> {
    let Some(base) = running(context)?.api else {
        bail!("the running agent has no local API: set dashboard.enabled to true");
    };
    let url = format!("{base}{path}");
    let token = data_dir::read_token(&context.config.data_dir)?;
    let mut headers = HeaderMap::new();
    let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose())).context("the token cannot be sent")?;
    headers.insert(AUTHORIZATION, bearer);
    Ok(client_for(&url)?.send(method, &url, headers, body).await?)
}

/// What the local API said when it refused, as a sentence.
pub(super) fn refusal(answer: &Answer) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_str(&answer.body).ok();
    match problem.as_ref().and_then(|problem| problem["detail"].as_str()) {
        Some(detail) => detail.to_owned(),
        None => format!("the agent answered {}: {}", answer.status, super::out::harmless(&answer.body)),
    }
}
