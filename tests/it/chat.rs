//! The assistant as people meet it: what is answered, what is only proposed, and what happens when something breaks.

mod actions;
mod quiet;
mod talk;

use std::sync::Arc;

use serde_json::Value;

use crate::harness::app::{CHAT, TestApp, delivery, pull_request};
use crate::harness::bot_api::SeenMessage;
use crate::harness::model::ScriptedModel;

/// An agent with a scripted model.
async fn app(model: &Arc<ScriptedModel>) -> TestApp {
    TestApp::with_model("", &[], model.clone()).await
}

/// The message of the chat that `holds`, once it is there.
async fn message(app: &TestApp, holds: impl Fn(&SeenMessage) -> bool) -> SeenMessage {
    let mut count = 1;
    loop {
        let messages = app.messages(count).await;
        if let Some(found) = messages.into_iter().find(&holds) {
            return found;
        }
        count = app.telegram.messages(CHAT).len() + 1;
    }
}

/// A pull request came in and was told; its notice and its id.
async fn told(app: &TestApp, number: u64, title: &str) -> (SeenMessage, String) {
    let reply = app.send(delivery(&format!("d-{number}"), "pull_request", &pull_request(number, title))).await;
    let event = reply.json()["event_id"].as_str().expect("an id").to_owned();
    let notice = message(app, |seen| seen.text.contains(&format!("#{number}"))).await;
    (notice, event)
}

/// What the model was told last, as text.
fn last_told(model: &ScriptedModel) -> String {
    format!("{:?}", model.requests().last().expect("it was asked").messages)
}

fn object(value: Value) -> Value {
    value
}
