//! A model's provider on loopback, of OpenAI's kind, whose model does whatever it reads: it streams what a rule tells it to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::SecretBook;

/// What the model does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::prove) enum Obeys {
    /// It asks for this tool, with these arguments as JSON text.
    Calls(String, String),
    /// It says this.
    Says(String),
}

type Rule = Arc<dyn Fn(&str) -> Obeys + Send + Sync>;

/// The server; it ends with this value.
#[derive(Debug)]
pub(in crate::prove) struct ModelServer {
    pub(in crate::prove) address: SocketAddr,
    accepting: AbortHandle,
}

impl ModelServer {
    /// A model that does what `rule` makes of all the text that it is told, one message a line.
    pub(in crate::prove) async fn start(
        secrets: SecretBook,
        rule: impl Fn(&str) -> Obeys + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let rule: Rule = Arc::new(rule);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (rule, secrets) = (Arc::clone(&rule), secrets.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&rule), secrets.clone(), request));
                    // The agent may give up a call.
                    let _ended = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { address, accepting: task.abort_handle() })
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(
    rule: Rule,
    secrets: SecretBook,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    // What a model is told leaves the machine, so no secret may be in it.
    secrets.said("the model", String::from_utf8_lossy(&body).into_owned());
    let asked: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let obeys = rule(&told(&asked));
    let (kind, text) = if asked["stream"] == true {
        ("text/event-stream", stream(&obeys))
    } else {
        ("application/json", whole(&obeys).to_string())
    };
    let answer = Response::builder().header("content-type", kind).body(Full::new(Bytes::from(text)));
    Ok(answer.expect("a known header makes an answer"))
}

/// All text of a request.
fn told(asked: &Value) -> String {
    let text = |content: &Value| match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    };
    let messages = asked["messages"].as_array().map_or(&[][..], Vec::as_slice);
    messages.iter().map(|message| text(&message["content"])).collect::<Vec<_>>().join("\n")
}

fn delta(obeys: &Obeys) -> (Value, &'static str) {
    match obeys {
        Obeys::Says(text) => (json!({ "role": "assistant", "content": text }), "stop"),
        Obeys::Calls(tool, args) => {
            let call = json!({ "index": 0, "id": "call_1", "type": "function", "function": { "name": tool, "arguments": args } });
            (json!({ "role": "assistant", "tool_calls": [call] }), "tool_calls")
        }
    }
}

fn stream(obeys: &Obeys) -> String {
    let (delta, reason) = delta(obeys);
    let chunk = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "prove",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }],
    });
    let usage = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "prove", "choices": [],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 },
    });
    format!("data: {chunk}\n\ndata: {usage}\n\ndata: [DONE]\n\n")
}

fn whole(obeys: &Obeys) -> Value {
    let (message, reason) = delta(obeys);
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "prove",
        "choices": [{ "index": 0, "message": message, "finish_reason": reason }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 },
    })
}
