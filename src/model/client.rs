//! One model at one provider, through the `genai` library: one attempt, its time-out, and its stream.
//!
//! It retries nothing and counts no money. Whoever drops the future closes the connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use genai::adapter::AdapterKind;
use genai::chat::{ChatStreamEvent, Usage};
use genai::resolver::{AuthData, Endpoint};
use genai::{ModelIden, ServiceTarget};
use tokio::sync::mpsc;

use super::ModelSetupError;
use super::fault::{Failure, Scrub};
use super::wire::{self, Answer};
use crate::config::ModelEndpoint;
use crate::ports::{Clock, Finish, ModelRequest};

/// Longest answer, text and arguments of tools together; nothing asks for that many tokens.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// What stands for a key where none is configured: local servers take anything, others say that it is wrong.
const NO_KEY: &str = "none";

/// A model that can be asked.
pub(super) struct Client {
    genai: genai::Client,
    target: ServiceTarget,
    scrub: Scrub,
    clock: Arc<dyn Clock>,
    /// Longest wait for an answer, or for its next part.
    pub(super) timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The target holds the key.
        f.debug_struct("Client").field("model", &self.target.model.model_name).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for `endpoint`. Opens no connection yet.
    pub(super) fn new(
        endpoint: &ModelEndpoint,
        http: reqwest13::Client,
        scrub: Scrub,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ModelSetupError> {
        let (kind, usual) = match endpoint.provider.as_str() {
            "anthropic" => (AdapterKind::Anthropic, "https://api.anthropic.com/v1"),
            "gemini" => (AdapterKind::Gemini, "https://generativelanguage.googleapis.com/v1beta"),
            "ollama" => (AdapterKind::Ollama, "http://localhost:11434"),
            // Whoever gives a base URL speaks OpenAI's API.
            _ => (AdapterKind::OpenAI, "https://api.openai.com/v1"),
        };
        let base = endpoint.base_url.as_deref().unwrap_or(usual);
        let key = endpoint.api_key.as_ref().map_or(NO_KEY, |key| key.expose());
        let target = ServiceTarget {
            // The library appends to it.
            endpoint: Endpoint::from_owned(format!("{}/", base.trim_end_matches('/'))),
            auth: AuthData::Key(key.to_owned()),
            model: ModelIden::new(kind, endpoint.name.as_str()),
        };
        let genai = genai::Client::builder()
            .with_reqwest(http)
            .build()
            .map_err(|error| ModelSetupError(scrub.clean(&error.to_string())))?;
        Ok(Self { genai, target, scrub, clock, timeout: endpoint.timeout })
    }

    /// One attempt. Tools and streams go through the streaming interface, the only one in which arguments that are no JSON
    /// arrive as what they are.
    pub(super) async fn ask(
        &self,
        request: &ModelRequest,
        deltas: Option<&mpsc::Sender<String>>,
    ) -> Result<Answer, Failure> {
        let answer = if deltas.is_none() && request.tools.is_empty() {
            tokio::select! {
                biased;
                answer = self.whole(request) => answer?,
                () = self.clock.sleep(self.timeout) => {
                    return Err(Failure::TooSlow { after: self.timeout, passed_on: false });
                }
            }
        } else {
            self.streamed(request, deltas).await?
        };
        if answer.text.trim().is_empty() && answer.calls.is_empty() {
            let why = if answer.finish == Finish::Length { ": all its tokens went into thinking" } else { "" };
            return Err(Failure::Malformed { message: format!("it is empty{why}") });
        }
        Ok(answer)
    }

    async fn whole(&self, request: &ModelRequest) -> Result<Answer, Failure> {
        let options = wire::options(request);
        let response = self
            .genai
            .exec_chat(self.target.clone(), wire::request(request), Some(&options))
            .await
            .map_err(|error| self.failure(error, false))?;
        Ok(wire::answer(response.content, &response.usage, response.stop_reason.as_ref()))
    }

    async fn streamed(&self, request: &ModelRequest, deltas: Option<&mpsc::Sender<String>>) -> Result<Answer, Failure> {
        let options = wire::options(request);
        let opened = self.genai.exec_chat_stream(self.target.clone(), wire::request(request), Some(&options));
        let mut out = Deltas { to: deltas, held: String::new(), passed_on: false };
        let mut stream = opened.await.map_err(|error| self.failure(error, false))?.stream;
        let mut bytes = 0;
        loop {
            let next = tokio::select! {
                biased;
                next = stream.next() => next,
                () = self.clock.sleep(self.timeout) => {
                    return Err(Failure::TooSlow { after: self.timeout, passed_on: out.passed_on });
                }
            };
            let part = match next {
                None => {
                    let message = "the connection closed in the middle of it".to_owned();
                    return Err(Failure::Cut { message, passed_on: out.passed_on });
                }
                Some(Err(error)) => return Err(self.failure(error, out.passed_on)),
                Some(Ok(part)) => part,
            };
            match part {
                ChatStreamEvent::Chunk(chunk) => {
                    bytes += chunk.content.len();
                    out.pass_on(&chunk.content);
                }
                ChatStreamEvent::ReasoningChunk(chunk) => bytes += chunk.content.len(),
                // Each piece repeats those before it, so only the last one counts.
                ChatStreamEvent::ToolCallChunk(chunk) => {
                    let length = chunk.tool_call.fn_arguments.as_str().map_or(0, str::len);
                    if length > ANSWER_BYTES_MAX {
                        bytes = length;
                    }
                }
                ChatStreamEvent::End(end) => {
                    out.flush();
                    let usage = end.captured_usage.unwrap_or_else(Usage::default);
                    let content = end.captured_content.unwrap_or_default();
                    return Ok(wire::answer(content, &usage, end.captured_stop_reason.as_ref()));
                }
                ChatStreamEvent::Start | ChatStreamEvent::ThoughtSignatureChunk(_) | ChatStreamEvent::Heartbeat => {}
            }
            if bytes > ANSWER_BYTES_MAX {
                let message = format!("it is longer than {ANSWER_BYTES_MAX} bytes");
                return Err(Failure::Cut { message, passed_on: out.passed_on });
            }
        }
    }

    fn failure(&self, error: genai::Error, passed_on: bool) -> Failure {
        Failure::of(error, &self.scrub, self.clock.now(), passed_on)
    }
}

/// Passes parts on without ever waiting for the reader.
struct Deltas<'a> {
    to: Option<&'a mpsc::Sender<String>>,
    /// What did not fit yet.
    held: String,
    passed_on: bool,
}

impl Deltas<'_> {
    fn pass_on(&mut self, part: &str) {
        self.held.push_str(part);
        self.flush();
    }

    fn flush(&mut self) {
        let Some(to) = self.to else { return };
        if self.held.is_empty() {
            return;
        }
        match to.try_send(std::mem::take(&mut self.held)) {
            Ok(()) => self.passed_on = true,
            Err(mpsc::error::TrySendError::Full(held)) => self.held = held,
            Err(mpsc::error::TrySendError::Closed(_)) => self.to = None,
        }
    }
}
