//! What waits for a collector of traces. Triggers put it into `trace_queue` in the transaction in which it ends.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::SqliteLedger;
use super::readers::ReadError;
use super::rows::{int, time, time_opt, word, word_opt};
use super::store::SMALL_BYTES;
use super::tx::{Tx, WriteError};
use crate::domain::ids::{EventId, RunId};
use crate::ledger::LedgerError;
use crate::ledger::traces::{
    EventTrace, ModelTrace, RunTrace, StepTrace, TRACES_WAITING_MAX, TraceLedger, TraceRecord, TraceRoot, TracesWaiting,
};

#[async_trait]
impl TraceLedger for SqliteLedger {
    async fn keep_traces(&self, keep: bool) -> Result<(), LedgerError> {
        self.write(SMALL_BYTES, move |tx| switch(tx, keep)).await
    }

    async fn traces_waiting(&self, limit: usize) -> Result<TracesWaiting, LedgerError> {
        let forgotten = self.write(SMALL_BYTES, |tx| forget(tx, int(TRACES_WAITING_MAX))).await?;
        let waiting = self.readers.run(move |conn| waiting(conn, limit)).await?;
        Ok(TracesWaiting { forgotten, ..waiting })
    }

    async fn traces_told(&self, seq: i64) -> Result<(), LedgerError> {
        self.write(SMALL_BYTES, move |tx| {
            tx.execute("DELETE FROM trace_queue WHERE seq <= ?1", [seq])?;
            Ok(())
        })
        .await
    }
}

fn switch(tx: &mut Tx<'_>, keep: bool) -> Result<(), WriteError> {
    tx.execute("UPDATE trace_state SET enabled = ?1 WHERE id = 1", [keep])?;
    if !keep {
        tx.execute("DELETE FROM trace_queue", [])?;
    }
    Ok(())
}

fn forget(tx: &mut Tx<'_>, most: i64) -> Result<usize, WriteError> {
    let oldest_kept = "SELECT seq FROM trace_queue ORDER BY seq DESC LIMIT 1 OFFSET ?1";
    Ok(tx.execute(&format!("DELETE FROM trace_queue WHERE seq <= ({oldest_kept})"), [most])?)
}

fn waiting(conn: &Connection, limit: usize) -> Result<TracesWaiting, ReadError> {
    let queued: Vec<(i64, String, i64)> = conn
        .prepare_cached("SELECT seq, kind, ref FROM trace_queue ORDER BY seq LIMIT ?1")?
        .query_map([int(limit)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut records = Vec::new();
    for (_, kind, of) in &queued {
        records.extend(match kind.as_str() {
            "event" => event(conn, *of)?.map(TraceRecord::Event),
            "run" => run(conn, *of)?.map(TraceRecord::Run),
            _ => model(conn, *of)?.map(TraceRecord::Model),
        });
    }
    Ok(TracesWaiting { upto: queued.last().map(|(seq, ..)| *seq), records, forgotten: 0 })
}

fn event(conn: &Connection, seq: i64) -> Result<Option<EventTrace>, ReadError> {
    let sql =
        "SELECT id, coalesce(handler, ''), coalesce(provider, ''), coalesce(event, ''), coalesce(verdict, ''), status,
                      received_at, committed_at, processed_at, body_bytes
               FROM events WHERE seq = ?1 AND processed_at IS NOT NULL";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(EventTrace {
            id: word(row, 0)?,
            handler: row.get(1)?,
            provider: row.get(2)?,
            event: row.get(3)?,
            verdict: row.get(4)?,
            status: row.get(5)?,
            received_at: time(row, 6)?,
            committed_at: time(row, 7)?,
            processed_at: time(row, 8)?,
            body_bytes: row.get(9)?,
        })
    };
    Ok(conn.prepare_cached(sql)?.query_row([seq], read).optional()?)
}

/// The run at the top of the one with `seq`, and its event.
fn root(conn: &Connection, seq: i64) -> Result<Option<(RunId, Option<EventId>)>, ReadError> {
    let sql = "WITH RECURSIVE above (seq, parent_seq, id, event_id) AS (
                   SELECT seq, parent_seq, id, event_id FROM runs WHERE seq = ?1
                   UNION ALL
                   SELECT r.seq, r.parent_seq, r.id, r.event_id FROM runs r JOIN above a ON r.seq = a.parent_seq
               ) SELECT id, event_id FROM above ORDER BY seq LIMIT 1";
    Ok(conn.prepare_cached(sql)?.query_row([seq], |row| Ok((word(row, 0)?, word_opt(row, 1)?))).optional()?)
}

fn run(conn: &Connection, seq: i64) -> Result<Option<RunTrace>, ReadError> {
    let Some((first, event)) = root(conn, seq)? else { return Ok(None) };
    let sql =
        "SELECT r.id, (SELECT p.id FROM runs p WHERE p.seq = r.parent_seq), r.parent_step, r.workflow, r.workflow_hash,
                      r.source, r.state, r.started_at, r.ended_at
               FROM runs r WHERE r.seq = ?1 AND r.ended_at IS NOT NULL";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(RunTrace {
            id: word(row, 0)?,
            root: TraceRoot { event, run: Some(first) },
            parent: word_opt(row, 1)?.zip(row.get(2)?),
            workflow: row.get(3)?,
            workflow_hash: row.get(4)?,
            source: row.get(5)?,
            state: row.get(6)?,
            started_at: time(row, 7)?,
            ended_at: time(row, 8)?,
            steps: Vec::new(),
        })
    };
    let Some(mut run) = conn.prepare_cached(sql)?.query_row([seq], read).optional()? else { return Ok(None) };
    run.steps = conn
        .prepare_cached(
            "SELECT key, tool, state, attempt, started_at, ended_at FROM run_steps
             WHERE run_seq = ?1 AND started_at IS NOT NULL ORDER BY pos",
        )?
        .query_map([seq], |row| {
            Ok(StepTrace {
                key: row.get(0)?,
                tool: row.get(1)?,
                state: row.get(2)?,
                attempt: row.get(3)?,
                started_at: time(row, 4)?,
                ended_at: time_opt(row, 5)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(run))
}

fn model(conn: &Connection, seq: i64) -> Result<Option<ModelTrace>, ReadError> {
    let sql =
        "SELECT m.seq, m.event_id, m.run_id, (SELECT r.seq FROM runs r WHERE r.id = m.run_id), m.model, m.purpose,
                      m.outcome, m.tokens_in, m.tokens_out, m.micro_usd, m.at, m.ended_at
               FROM model_calls m WHERE m.seq = ?1 AND m.ended_at IS NOT NULL";
    let read = |row: &rusqlite::Row<'_>| {
        let run_seq: Option<i64> = row.get(3)?;
        let root = TraceRoot { event: word_opt(row, 1)?, run: word_opt(row, 2)? };
        let model = ModelTrace {
            seq: row.get(0)?,
            root,
            run: root.run,
            model: row.get(4)?,
            purpose: row.get(5)?,
            outcome: row.get(6)?,
            tokens_in: row.get(7)?,
            tokens_out: row.get(8)?,
            micro_usd: row.get(9)?,
            at: time(row, 10)?,
            ended_at: time(row, 11)?,
        };
        Ok((run_seq, model))
    };
    let found = conn.prepare_cached(sql)?.query_row([seq], read).optional()?;
    let Some((run_seq, mut model)) = found else { return Ok(None) };
    if let Some((first, event)) = run_seq.map(|seq| root(conn, seq)).transpose()?.flatten() {
        model.root = TraceRoot { event, run: Some(first) };
    }
    Ok(Some(model))
}
