//! Tools: what a step of a workflow, or the chat agent, can do in the world. One registry serves both.
//!
//! A tool carries out one [`Call`] and says truthfully what became of it. It knows neither workflows nor approvals: who may
//! call it, and whether the outside effect may be repeated, is decided by those who call. Arguments arrive rendered; which of
//! them a payload may fill is part of each [`ToolSpec`], so that a workflow is refused before it runs.

mod args;
mod context;
pub mod files;
pub mod hook;
pub mod http_request;
pub mod mcp;
mod memory_search;
mod memory_store;
mod model_prompt;
pub mod net;
mod notify;
pub mod process;
mod read_file;
mod registry;
mod script;
mod shell_exec;
mod spec;
pub mod specs;
mod write_file;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Map, Value};

pub use context::{
    Chats, LedgerMemory, MEMORY_LIMIT_DEFAULT, MEMORY_LIMIT_MAX, Memory, MemoryFact, Secrets, ToolContext,
};
pub use memory_store::{FACT_BYTES_MAX, SECTION_CHARS_MAX, SECTION_DEFAULT};
pub use model_prompt::{ModelPrompt, check_returns};
pub use notify::TEXT_CHARS_MAX;
pub use registry::ToolRegistry;
pub use script::CODE_BYTES_MAX;
pub use spec::{ArgKind, ArgSpec, Choice, Role, ToolSpec};
pub use write_file::WRITE_BYTES_MAX;

use crate::domain::ids::RunId;
pub use crate::domain::run::{Effect, Risk};

/// Bytes of a step's output that are kept; what is beyond is drained, counted out and said to be missing.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// One kind of action.
#[async_trait]
pub trait Tool: fmt::Debug + Send + Sync + 'static {
    /// Its name, arguments, risk and bounds.
    fn spec(&self) -> &'static ToolSpec;

    /// Carries out one call. Dropping the future stops what it began; so does `context.cancel`, which answers
    /// [`ToolFailure::Cancelled`].
    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure>;

    /// The folder that this call would work in, with links resolved; `None` where a folder means nothing to the tool, or it
    /// cannot be used.
    fn folder(&self, _call: &Call, _context: &ToolContext) -> Option<PathBuf> {
        None
    }

    /// The files whose bytes this call would execute (programs and scripts that it names within the step's folders), with
    /// links resolved. An approval's digest covers them.
    fn programs(&self, _call: &Call, _context: &ToolContext) -> Vec<PathBuf> {
        Vec::new()
    }

    /// What carries the call out, in words, where that is set up outside the workflow. An approval's digest covers it.
    fn carried_out_by(&self) -> Option<String> {
        None
    }
}

/// One rendered action.
#[derive(Debug, Clone)]
pub struct Call {
    /// The rendered arguments.
    pub args: Map<String, Value>,
    /// JSON pointers into `args` of values in which payload text stands (`/argv/2`, `/env/TAG`, `/json`).
    pub tainted: Vec<String>,
    /// Those of `tainted` whose first character is the payload's: `{{ payload.tag }}`, and not `--tag={{ payload.tag }}`.
    pub tainted_first: Vec<String>,
    /// What processes read as JSON on their standard input.
    pub payload: Value,
    /// The run.
    pub run: RunId,
    /// The step's key within the run.
    pub step: String,
    /// 1 on the first attempt.
    pub attempt: u32,
    /// The same for every attempt of this step of this run.
    pub idempotency_key: String,
    /// The longest that it may take.
    pub timeout: Duration,
    /// What its outside effect is taken for: a tool that repeats by itself must not repeat what may have happened `once`.
    pub effect: Effect,
}

/// What a call gave back.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ToolOutput {
    /// Its result: JSON where it is JSON, else text.
    pub value: Value,
    /// More was there than is kept.
    pub truncated: bool,
    /// What it said besides (standard error), kept up to [`OUTPUT_BYTES_MAX`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub logs: String,
}

impl ToolOutput {
    /// A whole result.
    pub fn of(value: impl Into<Value>) -> Self {
        Self { value: value.into(), truncated: false, logs: String::new() }
    }
}

/// Why a call gave no result. Messages hold no secrets and may be shown.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ToolFailure {
    /// Certainly nothing happened outside: it may be tried again whatever its effect is.
    #[error("{message}")]
    NeverBegan {
        /// Why.
        message: String,
    },
    /// It ran and says that it failed.
    #[error("{message}")]
    Failed {
        /// Why.
        message: String,
        /// What it gave before.
        output: Option<Box<ToolOutput>>,
    },
    /// It ran, took too long and was stopped.
    #[error("took longer than {}", crate::domain::duration::shown(*.after))]
    TimedOut {
        /// The bound.
        after: Duration,
        /// What it gave before.
        output: Option<Box<ToolOutput>>,
    },
    /// It was stopped because somebody asked for that.
    #[error("cancelled")]
    Cancelled,
    /// Whether it happened cannot be known (a request left and no answer came).
    #[error("{message}")]
    Unknown {
        /// What is known.
        message: String,
    },
}

impl ToolFailure {
    /// [`ToolFailure::NeverBegan`].
    pub fn never_began(message: impl Into<String>) -> Self {
        Self::NeverBegan { message: message.into() }
    }

    /// [`ToolFailure::Failed`] without output.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), output: None }
    }

    /// What it gave before it failed.
    pub fn output(&self) -> Option<&ToolOutput> {
        match self {
            Self::Failed { output, .. } | Self::TimedOut { output, .. } => output.as_deref(),
            Self::NeverBegan { .. } | Self::Cancelled | Self::Unknown { .. } => None,
        }
    }
}

/// A value as bytes for a file or a process: a text as it is, anything else as JSON.
fn bytes_of(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string().into_bytes()
        }
    }
}
