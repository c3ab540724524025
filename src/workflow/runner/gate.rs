//! The gate before a step: what is asked, and whether what was approved is what would run now (P5).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Core;
use super::call::Approved;
use super::held::Held;
use crate::domain::approval::{Action, ApprovalKind, ApprovalState, FileDigest};
use crate::domain::ids::ApprovalId;
use crate::domain::run::{Risk, StepState};
use crate::ledger::runs::{NewApproval, RunChange, StepRow};
use crate::tool::{Call, Tool};
use crate::workflow::definition::{Approver, Gate, ToolStep};

/// Bytes of one program file that are read for its digest; a larger one cannot be gated.
const PROGRAM_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What the gate says.
pub(super) enum Gated {
    /// This very action was approved.
    Open { approved: Approved },
    /// A file that would run cannot be read, so that no approval could be bound to its bytes.
    Unreadable(String),
    /// People must be asked.
    Ask {
        action: Box<Action>,
        /// An approval of something else, and why it does not hold.
        closed: Option<(ApprovalId, String)>,
    },
}

/// Asks the gate about `call`.
pub(super) async fn check(core: &Core, held: &Held, row: &StepRow, call: &Call, step: &ToolStep) -> Gated {
    let approval = held.news.approvals.iter().find(|approval| Some(approval.id) == row.approval_id);
    let revision = row.revision.max(1);
    let action = action_of(core, held, call, step.tool.name, revision).await;
    if let Some(file) = action.files.iter().find(|file| !is_hash(&file.sha256)) {
        return Gated::Unreadable(format!("{} is {}, so nobody could approve what would run", file.path, file.sha256));
    }
    match approval {
        Some(approval) if approval.state == ApprovalState::Approved => {
            let digest = action.digest();
            if digest == approval.digest {
                return Gated::Open { approved: Approved { id: approval.id, digest, files: action.files } };
            }
            let reason = "what would run has changed since it was approved".to_owned();
            Gated::Ask { action: Box::new(next(action, row)), closed: Some((approval.id, reason)) }
        }
        Some(_) | None => Gated::Ask { action: Box::new(next(action, row)), closed: None },
    }
}

fn next(mut action: Action, row: &StepRow) -> Action {
    action.revision = row.revision + 1;
    action
}

/// Puts the question; the step waits.
pub(super) fn ask(
    core: &Core,
    held: &mut Held,
    mut row: StepRow,
    gate: &Gate,
    action: Box<Action>,
    closed: Option<(ApprovalId, String)>,
) {
    let now = core.deps.clock.now();
    let id = ApprovalId::new(core.deps.ids.ulid(now));
    let mut note = gate.note.clone();
    if let Some((approval, reason)) = closed {
        let again = format!("Asked again: {reason}.");
        note = Some(note.map_or(again.clone(), |note| format!("{again} {note}")));
        held.changes.push(RunChange::Close { approval, state: ApprovalState::Cancelled, reason });
    }
    row.state = StepState::Waiting;
    row.approval_id = Some(id);
    row.revision = action.revision;
    row.due_at = None;
    let digest = action.digest();
    held.ask(NewApproval {
        id,
        kind: ApprovalKind::Gate,
        step: row.key.clone(),
        action: *action,
        digest,
        approvers: approvers(gate),
        votes_needed: gate.votes,
        expires_at: gate.expires.map(|expires| now + expires),
        remind_every: gate.remind,
        note,
    });
    held.put(row);
}

/// Who may decide, as the ledger keeps it.
pub(super) fn approvers(gate: &Gate) -> Vec<String> {
    let name = |approver: &Approver| match approver {
        Approver::Group(name) => name.clone(),
        Approver::User(id) => format!("telegram:{id}"),
    };
    gate.from.iter().map(name).collect()
}

/// The action in full, as it would run now.
pub(super) async fn action_of(core: &Core, held: &Held, call: &Call, tool_name: &str, revision: u32) -> Action {
    let tool = core.deps.tools.get(tool_name);
    let mut files = match tool {
        Some(ref tool) => files_of(core, tool.as_ref(), call).await,
        None => Vec::new(),
    };
    let folder = tool.and_then(|tool| tool.folder(call, &core.deps.context)).map(|path| path.display().to_string());
    if tool_name == "run_workflow" {
        files.extend(child_of(core, call));
    }
    let reads_stdin =
        core.deps.tools.spec(tool_name).is_some_and(|spec| spec.risk == Risk::Execute && !spec.is_foreign())
            && !call.args.contains_key("stdin")
            && !call.payload.is_null();
    Action {
        tool: tool_name.to_owned(),
        args: call.args.clone(),
        cwd: folder.or_else(|| call.args.get("cwd").and_then(Value::as_str).map(str::to_owned)),
        env: env_of(call),
        stdin_sha256: reads_stdin.then(|| hex::encode(Sha256::digest(call.payload.to_string().as_bytes()))),
        files,
        workflow: held.run.workflow.clone(),
        workflow_hash: held.run.workflow_hash.clone(),
        run: held.run.id.to_string(),
        step: call.step.clone(),
        revision,
        tainted: call.tainted.clone(),
    }
}

/// The workflow that a child run would follow, as it is now: its file is what is run.
fn child_of(core: &Core, call: &Call) -> Option<FileDigest> {
    let name = call.args.get("workflow").and_then(Value::as_str)?;
    let found = core.deps.workflows.get(name);
    let sha256 =
        found.map_or_else(|| "missing".to_owned(), |workflow| workflow.hash.trim_start_matches("sha256:").to_owned());
    Some(FileDigest { path: format!("workflow {name}"), sha256 })
}

fn env_of(call: &Call) -> BTreeMap<String, String> {
    let entries = call.args.get("env").and_then(Value::as_object);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    entries.into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// The digests of the files that a call would execute, as they are now.
pub(super) async fn files_of(core: &Core, tool: &dyn Tool, call: &Call) -> Vec<FileDigest> {
    let mut files: Vec<FileDigest> = tool
        .carried_out_by()
        .map(|by| FileDigest { sha256: hex::encode(Sha256::digest(by.as_bytes())), path: by })
        .into_iter()
        .collect();
    let mut paths = tool.programs(call, &core.deps.context);
    if paths.is_empty() {
        return files;
    }
    paths.sort();
    paths.dedup();
    let read =
        tokio::task::spawn_blocking(move || paths.iter().map(PathBuf::as_path).map(digest_of).collect::<Vec<_>>());
    // A reading that was cut off must not look like anything that was approved.
    files.extend(read.await.unwrap_or_else(|_| vec![FileDigest { path: "?".into(), sha256: "unreadable".into() }]));
    files
}

/// Whether a file's bytes are known; the words that stand there otherwise are the same for any bytes.
fn is_hash(sha256: &str) -> bool {
    sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit())
}

fn digest_of(path: &Path) -> FileDigest {
    let sha256 = sha256_of(path).unwrap_or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "missing".into(),
        _ => format!("unreadable or larger than {} MiB", PROGRAM_BYTES_MAX >> 20),
    });
    FileDigest { path: path.display().to_string(), sha256 }
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut file = std::fs::File::open(path)?.take(PROGRAM_BYTES_MAX + 1);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        total += read as u64;
        if total > PROGRAM_BYTES_MAX {
            return Err(std::io::Error::other("too large"));
        }
        hash.update(&chunk[..read]);
    }
}
