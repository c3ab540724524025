//! The port to a language model: what is asked, what comes back, and the ways in which nothing does.
//!
//! A model decides nothing and runs nothing: it returns text, and tools that it would like to be called. Who makes the call
//! bounds it; what stands behind the port (providers, order of preference, retries, budget) is none of the caller's business.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::domain::ids::{EventId, RunId};

/// What a call is for: it is recorded with what the call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Sentences beneath a notice.
    Summary,
    /// A turn of a conversation.
    Chat,
    /// A `model_prompt` step of a workflow.
    Step,
    /// A draft of a workflow, from words.
    Draft,
    /// Shortening the history of a conversation.
    History,
}

impl Purpose {
    /// The word in the ledger, in logs and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Chat => "chat",
            Self::Step => "step",
            Self::Draft => "draft",
            Self::History => "history",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// What it is for.
    pub purpose: Purpose,
    /// The instructions, which come from this program and its configuration, never from a payload.
    pub system: String,
    /// The conversation, oldest first. It ends with a `User` or a `Tool` message.
    pub messages: Vec<ModelMessage>,
    /// What the model may ask to be called; empty for none.
    pub tools: Vec<ToolOffer>,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// The event it is about: its tokens count against the event's cap.
    pub event: Option<EventId>,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// A configured model (`provider/name`, just its name, or its key) to try before the others. One that is not configured is
    /// not looked for: the others answer.
    pub prefer: Option<String>,
    /// The longest that the whole call may take, with every retry and every further model. `None`: what is configured.
    pub timeout: Option<Duration>,
}

impl ModelRequest {
    /// A request of one question, without tools, an event or a run.
    pub fn new(purpose: Purpose, system: impl Into<String>, question: impl Into<String>, max_tokens: u32) -> Self {
        Self {
            purpose,
            system: system.into(),
            messages: vec![ModelMessage::User { text: question.into() }],
            tools: Vec::new(),
            max_tokens,
            event: None,
            run: None,
            prefer: None,
            timeout: None,
        }
    }
}

/// One message of a conversation with a model.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelMessage {
    /// What it is told or asked.
    User {
        /// The text.
        text: String,
    },
    /// What it answered.
    Assistant {
        /// Its text; empty when it only called tools.
        text: String,
        /// The tools it asked for.
        calls: Vec<ToolCall>,
    },
    /// What one tool gave.
    Tool {
        /// The `id` of the [`ToolCall`] that it answers.
        call_id: String,
        /// The result as text.
        text: String,
    },
}

/// A tool that a model may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOffer {
    /// Its name: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// When to use it.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub schema: Value,
}

/// A tool that a model asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The model's id of this call, to be given back with the result.
    pub id: String,
    /// The tool's name, as the model wrote it: it need not exist.
    pub name: String,
    /// The arguments: any JSON value, since nothing makes a model keep to a schema. Text that is no JSON arrives as a string.
    pub args: Value,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelReply {
    /// The text; empty when it only called tools.
    pub text: String,
    /// The tools it asks for.
    pub calls: Vec<ToolCall>,
    /// Tokens it read, as the provider counted them, else an estimate.
    pub tokens_in: u64,
    /// Tokens it wrote, likewise.
    pub tokens_out: u64,
    /// What that cost, in millionths of a US dollar.
    pub micro_usd: u64,
    /// The model that answered: `openai/gpt-4o-mini`.
    pub model: String,
    /// Why it stopped.
    pub finish: Finish,
}

/// Why a model stopped writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It was done.
    Done,
    /// It waits for the results of tools.
    Tools,
    /// It reached `max_tokens`.
    Length,
    /// The provider withheld the rest.
    Filtered,
}

/// Why no answer came. No message holds a key, a header or a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The money or the tokens allowed are used up; nothing was sent.
    #[error("{message}")]
    OverBudget {
        /// Which bound, what was spent and when more is allowed, for a person.
        message: String,
    },
    /// No model could be reached, or each of them is failing.
    #[error("no model answers: {message}")]
    Unavailable {
        /// What went wrong.
        message: String,
    },
    /// The answer did not come in time.
    #[error("the model did not answer within {} s", .after.as_secs())]
    TooSlow {
        /// The time that it had.
        after: Duration,
    },
    /// The provider refuses the request: a wrong key, an unknown model, a request it does not accept.
    #[error("the model's provider answers {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The provider's words, shortened.
        message: String,
    },
    /// The answer cannot be understood.
    #[error("the model's answer cannot be read: {message}")]
    Malformed {
        /// What is wrong with it.
        message: String,
    },
    /// The answer ended in the middle, after parts of it had been passed on.
    #[error("the model's answer was cut off: {message}")]
    Cut {
        /// What went wrong.
        message: String,
    },
}

impl ModelError {
    /// One word for the ledger and for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OverBudget { .. } => "over_budget",
            Self::Unavailable { .. } => "unavailable",
            Self::TooSlow { .. } => "too_slow",
            Self::Refused { .. } => "refused",
            Self::Malformed { .. } => "malformed",
            Self::Cut { .. } => "cut",
        }
    }
}

/// A language model, or several behind one face.
#[async_trait]
pub trait Model: fmt::Debug + Send + Sync + 'static {
    /// The model that is tried first: `openai/gpt-4o-mini`.
    fn name(&self) -> &str;

    /// Makes one call. With `deltas` the text is streamed there as it comes (the whole of it is in the reply as well); once a
    /// part has been passed on the call is not repeated, and what goes wrong then is [`ModelError::Cut`]. A receiver that is
    /// full or gone never holds up the call; a part that does not fit is joined to the next one. Dropping the future
    /// cancels the call.
    async fn complete(
        &self,
        request: ModelRequest,
        deltas: Option<mpsc::Sender<String>>,
    ) -> Result<ModelReply, ModelError>;
}
