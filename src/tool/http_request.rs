//! The tool `http_request`: one request, once, and its answer.
//!
//! It never repeats anything: whether a step may be tried again depends on its effect, which the runner knows. An answer of
//! 400 and above is a failure that keeps what was answered.

use async_trait::async_trait;
use http::header::{self, HeaderName};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use super::{Call, Tool, ToolContext, ToolFailure, ToolOutput, ToolSpec, net, specs};
use crate::outbound::{Follow, GuardedClient, GuardedRequest, Limits};

/// Longest value of an answer's header that is kept, in bytes.
const ANSWER_HEADER_BYTES_MAX: usize = 1024;

/// The headers of an answer that a later step may want. Cookies are not among them.
const KEPT: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::LOCATION,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LINK,
    header::RETRY_AFTER,
    header::DATE,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-ratelimit-remaining"),
];

/// Sends requests.
#[derive(Debug, Clone)]
pub struct HttpRequest(GuardedClient);

impl HttpRequest {
    /// The tool, over a client that knows where it may go.
    pub fn new(client: GuardedClient) -> Self {
        Self(client)
    }
}

#[async_trait]
impl Tool for HttpRequest {
    fn spec(&self) -> &'static ToolSpec {
        &specs::HTTP_REQUEST
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let target = net::target(call)?;
        let method = net::method(call, Method::GET)?;
        let mut headers = net::headers(call, &[])?;
        let body = net::body(call, None, &mut headers)?;
        let wait = call.duration("timeout")?.unwrap_or(call.timeout).min(call.timeout);
        let limits = Limits { clock: &*context.clock, wait, cancel: &context.cancel };
        let request = GuardedRequest { method, target: target.clone(), headers, body, follow: Follow::All };
        let answer = self.0.send(request, &limits).await.map_err(net::failure)?;
        let value = json!({
            "status": answer.status.as_u16(),
            "headers": kept(&answer.headers, context),
            "body": net::value(&answer, &context.redactor),
        });
        let output = ToolOutput { value, truncated: answer.truncated, ..ToolOutput::default() };
        if answer.status.as_u16() < 400 {
            return Ok(output);
        }
        Err(ToolFailure::Failed { message: net::answered(&target, &answer), output: Some(Box::new(output)) })
    }
}

fn kept(headers: &HeaderMap, context: &ToolContext) -> Map<String, Value> {
    let kept = KEPT.into_iter().filter_map(|name| {
        let value = headers.get(&name).filter(|value| value.len() <= ANSWER_HEADER_BYTES_MAX)?.to_str().ok()?;
        Some((name.as_str().to_owned(), Value::String(context.redactor.clean(value).into_owned())))
    });
    kept.collect()
}
