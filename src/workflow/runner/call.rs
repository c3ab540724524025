//! Carrying out what was begun: after the commit that says so, and never without a line in the audit log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Core, gate};
use crate::domain::approval::FileDigest;
use crate::domain::ids::{ApprovalId, EventId, RunId};
use crate::domain::notice::ChatKey;
use crate::telemetry::AuditEntry;
use crate::tool::{Call, Tool, ToolFailure, ToolOutput};

/// How much longer than its bound a tool may take to say that it was over. After that it is dropped.
const TIMEOUT_GRACE: Duration = Duration::from_secs(10);

/// What is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The step.
    Step,
    /// The question whether it happened.
    Verify,
}

/// Something that was written as begun.
#[derive(Debug)]
pub(super) struct Begun {
    /// The step's key.
    pub key: String,
    pub what: What,
    pub tool: Arc<dyn Tool>,
    pub call: Call,
    /// What was approved, where somebody had to.
    pub approved: Option<Approved>,
}

/// The approval that a call runs under.
#[derive(Debug, Clone)]
pub(super) struct Approved {
    pub id: ApprovalId,
    pub digest: String,
    /// The files as they were when the digest was compared.
    pub files: Vec<FileDigest>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    pub key: String,
    pub what: What,
    pub outcome: Result<ToolOutput, ToolFailure>,
    /// What was approved has changed; nothing was done.
    pub changed: bool,
}

impl Done {
    /// Of something that was written as begun, and then not done.
    pub(super) fn withdrawn(begun: Begun) -> Self {
        let outcome = Err(ToolFailure::never_began("withdrawn before it began"));
        Self { key: begun.key, what: begun.what, outcome, changed: true }
    }
}

/// What a call needs to know of its run.
#[derive(Debug, Clone)]
pub(super) struct Around {
    pub run: RunId,
    pub workflow: String,
    pub event: Option<EventId>,
    pub chat: Option<ChatKey>,
    pub cancel: CancellationToken,
}

/// Carries out one call.
pub(super) async fn carry_out(core: Arc<Core>, begun: Begun, around: Around) -> Done {
    let Begun { key, what, tool, call, approved } = begun;
    let name = tool.spec().name;
    let details = json!({
        "run": around.run, "workflow": around.workflow, "step": key, "tool": name, "attempt": call.attempt,
        "verify": what == What::Verify, "approval": approved.as_ref().map(|approved| approved.id),
        "digest": approved.as_ref().map(|approved| approved.digest.as_str()),
    });
    let entry = AuditEntry::new(core.deps.clock.now(), "step.started", "agent", details);
    if let Err(error) = core.deps.audit.record(entry).await {
        let outcome = Err(ToolFailure::never_began(error.to_string()));
        return Done { key, what, outcome, changed: false };
    }
    // The last look, right before the effect: the commit and the line in the audit log took a moment, in which a file can
    // change.
    if let Some(approved) = &approved
        && gate::files_of(&core, tool.as_ref(), &call).await != approved.files
    {
        let outcome = Err(ToolFailure::never_began("what would run has changed since it was approved"));
        note_end(&core, &around, &key, name, &outcome, core.deps.clock.now()).await;
        return Done { key, what, outcome, changed: true };
    }
    let began = core.deps.clock.now();
    let context = core.deps.context.for_call(around.cancel.clone(), around.event, around.chat.clone());
    let run = AssertUnwindSafe(tool.run(&call, &context)).catch_unwind();
    let outcome = tokio::select! {
        ended = run => match ended {
            Ok(outcome) => outcome,
            Err(_) => Err(ToolFailure::Unknown { message: "the tool panicked; the log has the place".into() }),
        },
        () = core.deps.clock.sleep(call.timeout + TIMEOUT_GRACE) => {
            Err(ToolFailure::TimedOut { after: call.timeout, output: None })
        }
    };
    let outcome = outcome.map(super::settle::bounded);
    note_end(&core, &around, &key, name, &outcome, began).await;
    Done { key, what, outcome, changed: false }
}

async fn note_end(
    core: &Core,
    around: &Around,
    key: &str,
    tool: &str,
    outcome: &Result<ToolOutput, ToolFailure>,
    began: Timestamp,
) {
    let now = core.deps.clock.now();
    let word = match outcome {
        Ok(_) => "success",
        Err(ToolFailure::NeverBegan { .. }) => "never_began",
        Err(ToolFailure::Failed { .. }) => "failed",
        Err(ToolFailure::TimedOut { .. }) => "timed_out",
        Err(ToolFailure::Cancelled) => "cancelled",
        Err(ToolFailure::Unknown { .. }) => "unknown",
    };
    let took = Duration::try_from(now.duration_since(began)).unwrap_or_default().as_millis();
    let details = json!({
        "run": around.run, "workflow": around.workflow, "step": key, "tool": tool, "outcome": word,
        "duration_ms": u64::try_from(took).unwrap_or(u64::MAX),
    });
    let entry = AuditEntry::new(now, "step.ended", "agent", details);
    if let Err(error) = core.deps.audit.record(entry).await {
        // It has happened; what came of it must not be lost for want of a line.
        tracing::error!(run.id = %around.run, step = key, error = %error, "the end of a step is not in the audit log");
    }
}
