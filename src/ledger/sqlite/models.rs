//! [`ModelLedger`] for [`SqliteLedger`]: calls of models and what they cost; `summaries` has the rest.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;

use super::store::SMALL_BYTES;
use super::tx::{Tx, WriteError};
use super::{SqliteLedger, summaries};
use crate::domain::ids::{EventId, NoticeId};
use crate::ledger::models::*;
use crate::ledger::{Changes, LedgerError};

/// What was spent on the calls since a time.
pub(super) const SPENT: &str =
    "SELECT count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0), coalesce(sum(micro_usd), 0)
     FROM model_calls WHERE at >= ?1";
/// Tokens of the calls about one event.
pub(super) const EVENT_TOKENS: &str =
    "SELECT coalesce(sum(tokens_in + tokens_out), 0) FROM model_calls WHERE event_id = ?1";
/// Calls that one slice of a deletion takes.
const SLICE_CALLS_MAX: i64 = 500;

#[async_trait]
impl ModelLedger for SqliteLedger {
    fn changes(&self) -> &Changes {
        &self.changes
    }

    async fn begin_model_call(&self, call: NewModelCall, bounds: ModelBounds) -> Result<ModelCallBegun, LedgerError> {
        self.write_behind(SMALL_BYTES, move |tx| begin(tx, &call, bounds)).await
    }

    async fn end_model_call(&self, call: i64, ended: ModelCallEnded) -> Result<(), LedgerError> {
        self.write_behind(SMALL_BYTES, move |tx| end(tx, call, &ended)).await
    }

    async fn spent_since(&self, since: Timestamp) -> Result<Spent, LedgerError> {
        self.readers.run(move |conn| Ok(spent(conn, since)?)).await
    }

    async fn summaries_wanted(&self, limit: usize) -> Result<Vec<WantedSummary>, LedgerError> {
        self.readers.run(move |conn| summaries::wanted(conn, limit)).await
    }

    async fn begin_summaries(&self, notices: Vec<NoticeId>) -> Result<(), LedgerError> {
        self.write_behind(SMALL_BYTES, move |tx| summaries::begin(tx, &notices)).await
    }

    async fn settle_summaries(
        &self,
        settled: Vec<(NoticeId, SummarySettled)>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        self.write_behind(SMALL_BYTES * (1 + settled.len()), move |tx| summaries::settle(tx, &settled, at)).await
    }

    async fn edits_waiting(&self, limit: usize) -> Result<Vec<WaitingEdit>, LedgerError> {
        self.readers.run(move |conn| summaries::edits(conn, limit)).await
    }

    async fn settle_edit(
        &self,
        notices: Vec<NoticeId>,
        outcome: EditSettled,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        self.write_behind(SMALL_BYTES, move |tx| summaries::settle_edit(tx, &notices, &outcome, at)).await
    }
}

fn begin(tx: &mut Tx<'_>, call: &NewModelCall, bounds: ModelBounds) -> Result<ModelCallBegun, WriteError> {
    if let Some(event) = call.event {
        let tokens = event_tokens(tx.conn, event)?;
        if tokens.saturating_add(call.tokens_in).saturating_add(call.tokens_out) > bounds.event_tokens_max {
            return Ok(ModelCallBegun::EventFull { tokens });
        }
    }
    let micro_usd = spent(tx.conn, bounds.day_began)?.micro_usd;
    // What costs nothing is never too dear.
    if call.micro_usd > 0 && micro_usd.saturating_add(call.micro_usd) > bounds.day_micro_usd_max {
        return Ok(ModelCallBegun::OverBudget { micro_usd });
    }
    tx.execute(
        "INSERT INTO model_calls (at, purpose, model, event_id, run_id, tokens_in, tokens_out, micro_usd, outcome)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'open')",
        rusqlite::params![
            call.at.as_millisecond(),
            call.purpose.as_str(),
            call.model,
            call.event.map(|id| id.to_string()),
            call.run.map(|id| id.to_string()),
            number(call.tokens_in),
            number(call.tokens_out),
            number(call.micro_usd),
        ],
    )?;
    Ok(ModelCallBegun::Begun(tx.conn.last_insert_rowid()))
}

fn end(tx: &mut Tx<'_>, call: i64, ended: &ModelCallEnded) -> Result<(), WriteError> {
    tx.execute(
        "UPDATE model_calls SET ended_at = ?2, tokens_in = ?3, tokens_out = ?4, micro_usd = ?5, outcome = ?6
         WHERE seq = ?1 AND outcome = 'open'",
        (
            call,
            ended.at.as_millisecond(),
            number(ended.tokens_in),
            number(ended.tokens_out),
            number(ended.micro_usd),
            ended.outcome,
        ),
    )?;
    Ok(())
}

fn spent(conn: &Connection, since: Timestamp) -> rusqlite::Result<Spent> {
    conn.prepare_cached(SPENT)?.query_row([since.as_millisecond()], |row| {
        let count = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
        Ok(Spent { calls: count(0)?, tokens_in: count(1)?, tokens_out: count(2)?, micro_usd: count(3)? })
    })
}

fn event_tokens(conn: &Connection, event: EventId) -> rusqlite::Result<u64> {
    conn.prepare_cached(EVENT_TOKENS)?.query_row([event.to_string()], |row| row.get(0)).map(i64::unsigned_abs)
}

/// Deletes a slice of the calls made before a time.
pub(super) fn prune(tx: &mut Tx<'_>, before_ms: i64) -> Result<(), WriteError> {
    tx.execute(
        "DELETE FROM model_calls WHERE seq IN (SELECT seq FROM model_calls WHERE at < ?1 ORDER BY at LIMIT ?2)",
        (before_ms, SLICE_CALLS_MAX),
    )?;
    Ok(())
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
