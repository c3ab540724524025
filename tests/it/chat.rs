//! The assistant as people meet it: what is answered, what is only proposed, and what happens when something breaks.

mod actions;
mod corpus;
mod foreign;
mod injections;
mod odd;
mod personas;
mod quiet;
mod talk;
mod terminal;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hookhand::ports::{Model, ModelError, ModelReply, ModelRequest, Purpose};
use tokio::sync::mpsc;

use crate::harness::app::{CHAT, TestApp, delivery, pull_request};
use crate::harness::bot_api::SeenMessage;
use crate::harness::model::ScriptedModel;

/// Moves of the clock before a test gives up.
const MOVES_MAX: usize = 4000;

/// An agent with a scripted model.
async fn app(model: &Arc<ScriptedModel>) -> TestApp {
    app_with("", model).await
}

/// The same with more keys at the top of the configuration.
async fn app_with(keys: &str, model: &Arc<ScriptedModel>) -> TestApp {
    TestApp::with_keys_and_model(keys, Arc::new(Conversing(model.clone()))).await
}

/// A model that is not there for summaries of notices, so that what a test told it is for the conversation.
#[derive(Debug)]
struct Conversing(Arc<ScriptedModel>);

#[async_trait]
impl Model for Conversing {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn complete(
        &self,
        request: ModelRequest,
        deltas: Option<mpsc::Sender<String>>,
    ) -> Result<ModelReply, ModelError> {
        if request.purpose == Purpose::Summary {
            return Err(ModelError::Unavailable { message: "summaries are not what this is about".into() });
        }
        self.0.complete(request, deltas).await
    }
}

/// The message of the chat that `holds`, once it is there.
async fn message(app: &TestApp, holds: impl Fn(&SeenMessage) -> bool) -> SeenMessage {
    message_in(app, CHAT, holds).await
}

/// The message of `chat` that `holds`, once it is there.
async fn message_in(app: &TestApp, chat: i64, holds: impl Fn(&SeenMessage) -> bool) -> SeenMessage {
    let seen = until(app, || app.telegram.messages(chat).into_iter().find(&holds));
    seen.await.unwrap_or_else(|| panic!("it does not come; there are: {:#?}", app.telegram.messages(chat)))
}

/// What `look` finds, once it does. The clock moves a little at a time, and between two moves the ledger has written what
/// waited: a clock that runs ahead of the disk would let steps time out.
async fn until<T>(app: &TestApp, look: impl Fn() -> Option<T>) -> Option<T> {
    for _ in 0..MOVES_MAX {
        if let Some(found) = look() {
            return Some(found);
        }
        // Nothing is replayed, but the answer comes behind everything that was to be written.
        app.api("POST", "/api/events/evt_00000000000000000000000000/replay").await;
        app.clock.advance(Duration::from_millis(250));
    }
    None
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
