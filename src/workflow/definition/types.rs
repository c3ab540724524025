//! A workflow as the engine sees it: every name resolved, every duration read, every template compiled and found safe.

use std::sync::Arc;
use std::time::Duration;

use super::args::Args;
use super::on::On;
use super::schedule::ScheduledStart;
use crate::domain::fault::Fault;
use crate::domain::retry::Backoff;
use crate::domain::run::Effect;
use crate::tool::ToolSpec;
use crate::workflow::expr::{Expr, Template};

/// One workflow file that loaded.
#[derive(Debug)]
pub struct Workflow {
    /// Its name, which is its route too.
    pub name: String,
    /// What it is for, in the author's words; may be empty.
    pub description: String,
    /// What may start it.
    pub trigger: Trigger,
    /// Which stored events start it, besides its own route.
    pub on: Option<On>,
    /// When the clock starts it: there with `trigger: schedule`, and only then.
    pub schedule: Option<ScheduledStart>,
    /// Whether it starts at all.
    pub enabled: bool,
    /// How many runs go side by side.
    pub concurrency: Option<Concurrency>,
    /// The longest that a run may take, time at gates included.
    pub timeout: Option<Duration>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What is done when a step failed.
    pub on_failure: Vec<Step>,
    /// `sha256:…` of the file's bytes; a run is pinned to it.
    pub hash: String,
    /// The file's text.
    pub source: Arc<str>,
    /// The file as faults name it.
    pub file: String,
    /// What is allowed and probably not meant; `agent check` shows it.
    pub notes: Vec<Fault>,
}

/// What may start a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Its route, `generic`, matching events, and a person.
    Webhook,
    /// A person, or a step of another workflow.
    Manual,
    /// The clock.
    Schedule,
}

impl Trigger {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Manual => "manual",
            Self::Schedule => "schedule",
        }
    }
}

/// How many runs with one key go side by side; the others wait.
#[derive(Debug)]
pub struct Concurrency {
    /// The key; runs of other keys do not count. Sees `payload`, `event`, `facts` and `inputs`.
    pub key: Template,
    /// How many.
    pub limit: u32,
}

/// One step or group.
#[derive(Debug)]
pub struct Step {
    /// Its name, unique within the file.
    pub name: String,
    /// Whether it is done; asked once, before `for_each`.
    pub when: Option<Expr>,
    /// The list whose every `item` it is done for.
    pub for_each: Option<Expr>,
    /// What its failure means.
    pub on_error: OnError,
    /// What it does.
    pub body: StepBody,
    /// The line of its name.
    pub line: u64,
}

impl Step {
    /// The call that it makes, when it is no group.
    pub fn tool_step(&self) -> Option<&ToolStep> {
        match &self.body {
            StepBody::Tool(tool) => Some(tool),
            StepBody::Parallel(_) => None,
        }
    }
}

/// What a failed step means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The run ends.
    #[default]
    Stop,
    /// The next step follows.
    Continue,
}

/// What a step does.
#[derive(Debug)]
pub enum StepBody {
    /// It calls a tool.
    Tool(Box<ToolStep>),
    /// It does these side by side; groups hold no groups.
    Parallel(Vec<Step>),
}

/// A call of a tool.
#[derive(Debug)]
pub struct ToolStep {
    /// The tool.
    pub tool: &'static ToolSpec,
    /// Its arguments.
    pub args: Args,
    /// Its arguments are taken as they are written: no templates, and no payload fills what is left out.
    pub verbatim: Option<Verbatim>,
    /// Who must agree first.
    pub gate: Option<Gate>,
    /// What the author says of its effect; `None` leaves it to the tool.
    pub effect: Option<Effect>,
    /// The question that tells whether it happened.
    pub verify: Option<Verify>,
    /// Whether it is tried again.
    pub retry: Option<Retry>,
    /// The longest that one attempt may take; `None` leaves it to the tool.
    pub timeout: Option<Duration>,
}

/// Arguments without templates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verbatim {
    /// JSON pointers of those in which text from outside stands; cards mark them.
    pub tainted: Vec<String>,
}

/// Who must agree before a step begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Groups and users; empty means every allowed user.
    pub from: Vec<Approver>,
    /// How many different people must say yes.
    pub votes: u32,
    /// How long the question stands; `None` for ever.
    pub expires: Option<Duration>,
    /// How often it is repeated.
    pub remind: Option<Duration>,
    /// What the card says beside the action.
    pub note: Option<String>,
}

/// One entry of `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approver {
    /// A group of the configuration.
    Group(String),
    /// A user's Telegram id.
    User(u64),
}

/// How a failed step is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first.
    pub max: u32,
    /// The waits between them.
    pub backoff: Backoff,
}

/// A call of `shell_exec` whose exit code tells whether the step happened: 0 it did, 1 it did not, else it stays unknown.
#[derive(Debug)]
pub struct Verify {
    /// The arguments of `shell_exec`. A `cwd` that it leaves out is the step's own.
    pub args: Args,
}
