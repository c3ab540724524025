//! A model that says what a test told it to, and keeps what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use hookhand::ports::{Finish, Model, ModelError, ModelReply, ModelRequest, ToolCall};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::clock::patiently;

type Answer = Result<ModelReply, ModelError>;
type Rule = Box<dyn Fn(&ModelRequest) -> Option<Answer> + Send + Sync>;

/// The scripted model. Answers come from the queue, then from the rule; when neither has one, no model answers.
pub struct ScriptedModel {
    state: Mutex<State>,
    asked: watch::Sender<usize>,
    /// Calls are answered while this is true.
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    rule: Option<Rule>,
    requests: Vec<ModelRequest>,
    /// Words that are streamed before a call hangs.
    before_holding: usize,
    /// How the next answer ends, once all of it was streamed.
    breaks: Option<ModelError>,
}

impl std::fmt::Debug for ScriptedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptedModel")
    }
}

impl ScriptedModel {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), asked: watch::Sender::new(0), open: watch::Sender::new(true) })
    }

    /// One that answers by `rule`: it sees the request, and `None` means that no model answers.
    pub fn ruled(rule: impl Fn(&ModelRequest) -> Option<Answer> + Send + Sync + 'static) -> Arc<Self> {
        let model = Self::new();
        model.state().rule = Some(Box::new(rule));
        model
    }

    /// The next answer that nothing was told for yet.
    pub fn then(&self, answer: Answer) -> &Self {
        self.state().answers.push_back(answer);
        self
    }

    /// The next answer is this text.
    pub fn says(&self, text: &str) -> &Self {
        self.then(Ok(text_reply(text)))
    }

    /// The next answer streams this text, then its connection breaks off.
    pub fn breaks_off(&self, text: &str, message: &str) -> &Self {
        self.state().breaks = Some(ModelError::Cut { message: message.to_owned() });
        self.says(text)
    }

    /// The next answer asks for this tool.
    pub fn calls(&self, tool: &str, args: Value) -> &Self {
        self.then(Ok(call_reply(tool, args)))
    }

    /// Calls hang until [`Self::go_on`].
    pub fn hold(&self) {
        self.hold_after(0);
    }

    /// Calls stream so many words of their answer, then hang until [`Self::go_on`].
    pub fn hold_after(&self, words: usize) {
        self.state().before_holding = words;
        self.open.send_replace(false);
    }

    /// Calls that hang, and later ones, are answered.
    pub fn go_on(&self) {
        self.open.send_replace(true);
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<ModelRequest> {
        self.state().requests.clone()
    }

    /// What it was asked, once that is `count` calls.
    pub async fn asked(&self, count: usize) -> Vec<ModelRequest> {
        let mut asked = self.asked.subscribe();
        patiently(async move {
            asked.wait_for(|seen| *seen >= count).await.expect("the model is there");
        })
        .await;
        self.requests()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }
}

/// A reply of text.
pub fn text_reply(text: &str) -> ModelReply {
    ModelReply {
        text: text.to_owned(),
        calls: Vec::new(),
        tokens_in: 10,
        tokens_out: 5,
        micro_usd: 7,
        model: "test/scripted".to_owned(),
        finish: Finish::Done,
    }
}

/// A reply that asks for a tool.
pub fn call_reply(tool: &str, args: Value) -> ModelReply {
    let call = ToolCall { id: format!("call_{tool}"), name: tool.to_owned(), args };
    ModelReply { calls: vec![call], finish: Finish::Tools, ..text_reply("") }
}

#[async_trait]
impl Model for ScriptedModel {
    fn name(&self) -> &str {
        "test/scripted"
    }

    async fn complete(&self, request: ModelRequest, deltas: Option<mpsc::Sender<String>>) -> Answer {
        let (answer, before_holding, breaks) = {
            let mut state = self.state();
            state.requests.push(request.clone());
            let queued = state.answers.pop_front();
            (
                queued.or_else(|| state.rule.as_ref().and_then(|rule| rule(&request))),
                state.before_holding,
                state.breaks.take(),
            )
        };
        self.asked.send_modify(|count| *count += 1);
        let mut open = self.open.subscribe();
        let answer = answer.unwrap_or_else(|| Err(ModelError::Unavailable { message: "nothing was told".into() }));
        let text = answer.as_ref().map_or("", |reply| reply.text.as_str());
        // Word by word, as a stream comes.
        for (index, part) in text.split_inclusive(' ').enumerate() {
            if index == before_holding {
                open.wait_for(|open| *open).await.expect("the model is there");
            }
            if let Some(deltas) = &deltas {
                let _gone = deltas.send(part.to_owned()).await;
            }
        }
        open.wait_for(|open| *open).await.expect("the model is there");
        breaks.map_or(answer, Err)
    }
}
