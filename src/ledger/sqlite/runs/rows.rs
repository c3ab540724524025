//! Between rows and types of runs: columns in one order, JSON read back with an error instead of a guess.

use std::collections::HashMap;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::de::DeserializeOwned;

use super::super::rows::{time, time_opt, word, word_opt};
use crate::domain::ids::{ApprovalId, RunId};
use crate::domain::notice::ChatKey;
use crate::ledger::runs::{
    ApprovalBrief, ApprovalRow, ChildBrief, DecisionRow, ParentStep, RunNews, RunRow, StepRow, WaitBrief,
};

/// The columns that [`run_row`] reads, of `runs r`.
pub(super) const RUN_COLUMNS: &str = "r.seq, r.id, r.workflow, r.workflow_hash, r.event_id, r.source, r.started_by, \
     (SELECT p.id FROM runs p WHERE p.seq = r.parent_seq), r.parent_step, r.state, r.reason, r.queued, r.started_at, \
     r.ended_at, r.chat, \
     iif(r.queued, (SELECT f.id || ' ' || f.state FROM runs f WHERE f.workflow = r.workflow AND f.slot_key = r.slot_key AND f.queued = 0 \
     AND f.slot_key IS NOT NULL AND f.ended_at IS NULL ORDER BY f.state = 'in_doubt' DESC, f.seq LIMIT 1), NULL), \
     iif(r.ended_at IS NULL, (SELECT c.id || ' ' || c.state FROM runs c WHERE c.parent_seq = r.seq AND c.ended_at IS NULL \
     AND c.state IN ('waiting', 'in_doubt') ORDER BY c.state = 'in_doubt' DESC, c.seq LIMIT 1), NULL)";
/// Where columns of the caller's own begin after [`RUN_COLUMNS`].
pub(super) const RUN_COLUMNS_COUNT: usize = 17;

const STEP_COLUMNS: &str = "key, name, tool, kind, state, attempt, effect, output, truncated, tainted, error, \
     approval_id, revision, started_at, ended_at, due_at, epoch, pos";

/// The columns that [`approval_row`] reads, of `approvals a JOIN runs r`.
pub(super) const APPROVAL_COLUMNS: &str = "a.seq, a.id, a.kind, r.id, r.workflow, a.step_key, r.event_id, \
     coalesce((SELECT e.title FROM events e WHERE e.id = r.event_id), \
     (SELECT json_extract(c.context, '$.event.title') FROM run_contexts c WHERE c.run_seq = r.seq)), \
     a.state, a.action, a.digest, a.approvers, a.votes_needed, a.note, a.requested_at, a.expires_at, a.closed_at, a.reason, a.reminders, r.chat";
/// Where columns of the caller's own begin after [`APPROVAL_COLUMNS`].
pub(super) const APPROVAL_COLUMNS_COUNT: usize = 20;

/// A column of JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    parse_json(row.get_ref(index)?.as_str()?, index)
}

/// The same where it may be missing.
pub(super) fn json_opt<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>> {
    row.get_ref(index)?.as_str_or_null()?.map(|text| parse_json(text, index)).transpose()
}

fn parse_json<T: DeserializeOwned>(text: &str, index: usize) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(e)))
}

/// Reads a run without its steps, and its `seq`.
pub(super) fn run_row(row: &Row<'_>) -> rusqlite::Result<(i64, RunRow)> {
    let parent = match (word_opt::<RunId>(row, 7)?, row.get::<_, Option<String>>(8)?) {
        (Some(run), Some(step)) => Some(ParentStep { run, step }),
        _ => None,
    };
    let run = RunRow {
        id: word(row, 1)?,
        workflow: row.get(2)?,
        workflow_hash: row.get(3)?,
        event_id: word_opt(row, 4)?,
        source: word(row, 5)?,
        started_by: row.get(6)?,
        parent,
        state: word(row, 9)?,
        reason: reason(row)?,
        queued: row.get(11)?,
        started_at: time(row, 12)?,
        ended_at: time_opt(row, 13)?,
        chat: row.get::<_, Option<String>>(14)?.map(ChatKey::from_stored),
        steps: Vec::new(),
    };
    Ok((row.get(0)?, run))
}

/// The steps of a run, items beneath their loop.
pub(super) fn steps(conn: &Connection, run_seq: i64) -> rusqlite::Result<Vec<StepRow>> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {STEP_COLUMNS} FROM run_steps WHERE run_seq = ?1 ORDER BY pos"))?;
    let mut steps = statement
        .query_map([run_seq], |row| Ok((row.get::<_, i64>(17)?, step_row(row)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    let places: HashMap<String, i64> = steps.iter().map(|(pos, step)| (step.key.clone(), *pos)).collect();
    steps.sort_by_cached_key(|(pos, step)| {
        let base = step.key.split_once('[').and_then(|(base, _)| places.get(base));
        (base.copied().unwrap_or(*pos), base.is_some(), *pos)
    });
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}

/// What is kept; else, of a run that cannot go on by itself, for whom it waits.
fn reason(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    let kept: Option<String> = row.get(10)?;
    let (front, child): (Option<String>, Option<String>) = (row.get(15)?, row.get(16)?);
    Ok(kept.or_else(|| front.as_deref().map(turn)).or_else(|| child.as_deref().map(child_waits)))
}

/// Why a run waits, when `child` is the id and the state of the run that a step of its started.
fn child_waits(child: &str) -> String {
    match child.split_once(' ') {
        Some((id, "in_doubt")) => {
            format!("waits for its child {id}, which is in doubt until somebody settles it: agent runs show {id}")
        }
        Some((id, state)) => format!("waits for its child {id}, which is {state}"),
        None => "waits for a child".to_owned(),
    }
}

/// Why a run waits for its turn, when `front` is the id and the state of the run before it.
fn turn(front: &str) -> String {
    match front.split_once(' ') {
        Some((id, "in_doubt")) => format!(
            "waits for its turn behind {id}, which has its concurrency key and is in doubt until somebody settles it: agent runs show {id}"
        ),
        Some((id, state)) => format!("waits for its turn behind {id}, which has its concurrency key and is {state}"),
        None => "waits for its turn".to_owned(),
    }
}

fn step_row(row: &Row<'_>) -> rusqlite::Result<StepRow> {
    Ok(StepRow {
        key: row.get(0)?,
        name: row.get(1)?,
        tool: row.get(2)?,
        kind: word(row, 3)?,
        state: word(row, 4)?,
        attempt: row.get(5)?,
        effect: word_opt(row, 6)?,
        output: json_opt(row, 7)?,
        truncated: row.get(8)?,
        tainted: row.get(9)?,
        error: row.get(10)?,
        approval_id: word_opt(row, 11)?,
        revision: row.get(12)?,
        started_at: time_opt(row, 13)?,
        ended_at: time_opt(row, 14)?,
        due_at: time_opt(row, 15)?,
        epoch: row.get(16)?,
    })
}

/// Reads an approval without its votes, and its `seq`.
pub(super) fn approval_row(row: &Row<'_>) -> rusqlite::Result<(i64, ApprovalRow)> {
    let approval = ApprovalRow {
        id: word(row, 1)?,
        kind: word(row, 2)?,
        run_id: word(row, 3)?,
        workflow: row.get(4)?,
        step: row.get(5)?,
        event_id: word_opt(row, 6)?,
        event_title: row.get(7)?,
        state: word(row, 8)?,
        action: json(row, 9)?,
        digest: row.get(10)?,
        approvers: json(row, 11)?,
        votes_needed: row.get(12)?,
        note: row.get(13)?,
        requested_at: time(row, 14)?,
        expires_at: time_opt(row, 15)?,
        closed_at: time_opt(row, 16)?,
        reason: row.get(17)?,
        reminders: row.get(18)?,
        chat: row.get::<_, Option<String>>(19)?.map(ChatKey::from_stored),
        decisions: Vec::new(),
    };
    Ok((row.get(0)?, approval))
}

/// One approval with its votes, and its `seq`.
pub(super) fn approval_by_id(conn: &Connection, id: ApprovalId) -> rusqlite::Result<Option<(i64, ApprovalRow)>> {
    let sql = format!("SELECT {APPROVAL_COLUMNS} FROM approvals a JOIN runs r ON r.seq = a.run_seq WHERE a.id = ?1");
    let found = conn.prepare_cached(&sql)?.query_row([id.to_string()], approval_row).optional()?;
    let Some((seq, mut approval)) = found else { return Ok(None) };
    approval.decisions = decisions(conn, seq)?;
    Ok(Some((seq, approval)))
}

/// The votes on an approval, oldest first.
pub(super) fn decisions(conn: &Connection, approval_seq: i64) -> rusqlite::Result<Vec<DecisionRow>> {
    let mut statement = conn.prepare_cached(
        "SELECT voter, channel, verdict, reason, at FROM approval_votes WHERE approval_seq = ?1 ORDER BY at, voter",
    )?;
    let votes = statement.query_map([approval_seq], |row| {
        Ok(DecisionRow {
            by: row.get(0)?,
            channel: row.get(1)?,
            verdict: row.get(2)?,
            reason: row.get(3)?,
            at: time(row, 4)?,
        })
    })?;
    votes.collect()
}

/// What others may have changed about a run.
pub(super) fn news(conn: &Connection, run_seq: i64) -> rusqlite::Result<RunNews> {
    let cancelled_by = conn
        .prepare_cached("SELECT cancelled_by FROM runs WHERE seq = ?1")?
        .query_row([run_seq], |row| row.get(0))
        .optional()?
        .flatten();
    let mut approvals = conn.prepare_cached(
        "SELECT a.id, a.step_key, a.state, a.digest, a.reason, (SELECT v.voter FROM approval_votes v
             WHERE v.approval_seq = a.seq ORDER BY v.at DESC LIMIT 1)
         FROM approvals a WHERE a.run_seq = ?1 ORDER BY a.seq",
    )?;
    let approvals = approvals.query_map([run_seq], |row| {
        Ok(ApprovalBrief {
            id: word(row, 0)?,
            step: row.get(1)?,
            state: word(row, 2)?,
            digest: row.get(3)?,
            reason: row.get(4)?,
            decided_by: row.get(5)?,
        })
    })?;
    let mut waits =
        conn.prepare_cached("SELECT step_key, output, state = 'expired' FROM event_waits WHERE run_seq = ?1")?;
    let waits = waits.query_map([run_seq], |row| {
        Ok(WaitBrief { step: row.get(0)?, output: json_opt(row, 1)?, expired: row.get(2)? })
    })?;
    Ok(RunNews {
        cancelled_by,
        approvals: approvals.collect::<Result<_, _>>()?,
        children: children(conn, run_seq)?,
        waits: waits.collect::<Result<_, _>>()?,
    })
}

fn children(conn: &Connection, run_seq: i64) -> rusqlite::Result<Vec<ChildBrief>> {
    let mut statement = conn.prepare_cached(
        "SELECT c.id, c.parent_step, c.state, c.reason, c.ended_at IS NOT NULL,
                (SELECT s.output FROM run_steps s WHERE s.run_seq = c.seq AND s.output IS NOT NULL
                     AND s.state = 'success' AND instr(s.key, '[') = 0 AND s.key NOT LIKE 'on\\_failure.%' ESCAPE '\\'
                 ORDER BY s.pos DESC LIMIT 1)
         FROM runs c WHERE c.parent_seq = ?1",
    )?;
    let children = statement.query_map([run_seq], |row| {
        Ok(ChildBrief {
            run: word(row, 0)?,
            step: row.get(1)?,
            state: word(row, 2)?,
            reason: row.get(3)?,
            ended: row.get(4)?,
            output: json_opt(row, 5)?,
        })
    })?;
    children.collect()
}
