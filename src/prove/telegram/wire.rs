//! Calls as they travel: who may call, the faults that were asked for, the shapes of answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::methods::{Refusal, perform};
use super::params::{integer, params};
use super::{Fault, Shared, TOKEN};

/// The connection closes without an answer.
#[derive(Debug)]
pub(super) struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the fake hangs up")
    }
}

impl std::error::Error for HangUp {}

pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, HangUp> {
    let path = request.uri().path().to_owned();
    let kind = request.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map_err(|_| HangUp)?.to_bytes();
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (bot, method) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().to_ascii_lowercase());
    let now = shared.clock.now();
    shared.with(|state| state.calls.push((method.clone(), now)));
    if !bot.starts_with("bot") {
        return Ok(refusal(404, "Not Found"));
    }
    if bot != format!("bot{TOKEN}") || !shared.with(|state| state.token_accepted) {
        return Ok(refusal(401, "Unauthorized"));
    }
    let params = match params(&kind, &query, &body) {
        Ok(params) => params,
        Err(error) => return Ok(refusal(400, &format!("Bad Request: {error}"))),
    };
    let sends = (method.starts_with("send") && method != "sendchataction") || method.starts_with("edit");
    let mut changed = shared.changed.subscribe();
    while sends && shared.state.lock().expect("not poisoned").held {
        changed.changed().await.expect("the server outlives its calls");
    }
    let chat = integer(&params["chat_id"]).filter(|_| sends);
    if let Some(chat) = chat {
        shared.with(|state| {
            if let Some(until) = state.waits.get(&chat).filter(|until| now < **until) {
                state.early.push(format!("chat {chat} was sent to at {now}, and was to rest until {until}"));
            }
        });
    }
    let fault = shared.with(|state| {
        let index = state.faults.iter().position(|(on, _)| on.map_or(sends, |on| on == method))?;
        state.faults.remove(index).map(|(_, fault)| fault)
    });
    match fault {
        None => Ok(respond(perform(&shared, &method, &params).await)),
        Some(Fault::RetryAfter(seconds)) => {
            if let Some(chat) = chat {
                shared.with(|state| state.waits.insert(chat, now + Duration::from_secs(seconds)));
            }
            Ok(too_many(seconds))
        }
        Some(Fault::DropBefore) => Err(HangUp),
        Some(Fault::DropAfterAccept) => {
            perform(&shared, &method, &params).await.expect("what is accepted is right");
            Err(HangUp)
        }
        Some(Fault::ServerError(status)) => Ok(text(status, "text/html", "<html><h1>Bad Gateway</h1></html>".into())),
        Some(Fault::WebPage) => Ok(text(200, "text/html", "<html>Welcome to Hotel Wi-Fi</html>".into())),
        Some(Fault::TornAnswer) => {
            let result = perform(&shared, &method, &params).await.expect("what is accepted is right");
            let id = &result["message_id"];
            Ok(text(200, "application/json", format!("{{\"ok\":true,\"result\":{{\"message_id\":{id},\"from\":{{\"id")))
        }
        Some(Fault::Refuse(code, description)) => Ok(refusal(code, description)),
        Some(Fault::Migrated(to)) => {
            let mut body = error_body(400, "Bad Request: group chat was upgraded to a supergroup chat");
            body["parameters"] = json!({"migrate_to_chat_id": to});
            Ok(text(400, "application/json", body.to_string()))
        }
    }
}

fn respond(result: Result<Value, Refusal>) -> Response<Full<Bytes>> {
    match result {
        Ok(result) => text(200, "application/json", json!({"ok": true, "result": result}).to_string()),
        Err((_, _, Some(seconds))) => too_many(seconds),
        Err((code, description, None)) => refusal(code, &description),
    }
}

fn too_many(seconds: u64) -> Response<Full<Bytes>> {
    let mut body = error_body(429, &format!("Too Many Requests: retry after {seconds}"));
    body["parameters"] = json!({"retry_after": seconds});
    text(429, "application/json", body.to_string())
}

fn refusal(code: u16, description: &str) -> Response<Full<Bytes>> {
    text(code, "application/json", error_body(code, description).to_string())
}

fn error_body(code: u16, description: &str) -> Value {
    json!({"ok": false, "error_code": code, "description": description})
}

fn text(status: u16, kind: &str, body: String) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(status).expect("a status");
    let response = Response::builder().status(status).header("content-type", kind).body(Full::new(Bytes::from(body)));
    response.expect("a valid answer")
}
