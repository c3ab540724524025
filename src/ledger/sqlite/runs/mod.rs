//! [`RunLedger`] for [`SqliteLedger`]: each method hands its arguments to the writer or to a reader, and decides nothing.
//!
//! `start` brings runs and gives them out, `advance` is what their holder writes, `end` closes them; `people` is what
//! persons do to them and `approvals` the questions; `waits` and `memory` speak for themselves; `read` and `rows` read.

mod advance;
mod approvals;
mod end;
mod memory;
mod people;
mod read;
mod rows;
pub(super) mod schedules;
mod settle;
mod start;
mod waits;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

pub(super) use self::end::prune;
pub(super) use self::memory::forget;
pub(super) use self::read::of_event;
#[cfg(test)]
pub(super) use self::read::{EXPIRES, NEXT_DUE, cards_sql};
#[cfg(test)]
pub(super) use self::start::DUE;
use super::SqliteLedger;
use super::store::SMALL_BYTES;
use crate::domain::ids::{ApprovalId, EventId, RunId};
use crate::domain::notice::ChatKey;
use crate::ledger::runs::*;
use crate::ledger::{Changes, LedgerError, Page};

#[async_trait]
impl RunLedger for SqliteLedger {
    fn changes(&self) -> &Changes {
        &self.changes
    }

    async fn start_run(&self, run: NewRun) -> Result<RunStarted, LedgerError> {
        let context = start::context_text(&run.context)?;
        let bytes = SMALL_BYTES * (1 + run.steps.len()) + context.len() + run.definition.len();
        self.write(bytes, move |tx| start::start(tx, &run, &context)).await
    }

    async fn start_proposed(&self, run: NewRun, proposal: Proposal) -> Result<RunStarted, LedgerError> {
        let context = start::context_text(&run.context)?;
        let bytes = SMALL_BYTES * (2 + run.steps.len()) + context.len() + run.definition.len();
        self.write(bytes, move |tx| start::propose(tx, &run, &context, &proposal)).await
    }

    async fn definition(&self, hash: &str) -> Result<Option<String>, LedgerError> {
        let hash = hash.to_owned();
        self.readers.run(move |conn| read::definition(conn, &hash)).await
    }

    async fn claim_runs(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ClaimedRun>, LedgerError> {
        self.write(SMALL_BYTES, move |tx| start::claim(tx, now, lease, limit)).await
    }

    async fn renew_runs(&self, held: Vec<(RunId, i64)>, until: Timestamp) -> Result<Vec<RunId>, LedgerError> {
        self.write(SMALL_BYTES, move |tx| start::renew(tx, &held, until)).await
    }

    async fn recover_runs(&self, now: Timestamp) -> Result<usize, LedgerError> {
        self.write(SMALL_BYTES, move |tx| start::recover(tx, now)).await
    }

    async fn advance(&self, advance: Advance) -> Result<Advanced, LedgerError> {
        let bytes = advance.changes.iter().map(|change| SMALL_BYTES + advance::output_bytes(change)).sum();
        self.write(bytes, move |tx| advance::advance(tx, &advance)).await
    }

    async fn run_news(&self, run: RunId) -> Result<Option<RunNews>, LedgerError> {
        self.readers.run(move |conn| read::news_of(conn, run)).await
    }

    async fn next_run_due(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        self.readers.run(move |conn| read::next_due(conn, now)).await
    }

    async fn expire(&self, now: Timestamp) -> Result<Vec<Expired>, LedgerError> {
        // Mostly there is nothing to expire, and a look costs no commit.
        if !self.readers.run(move |conn| read::something_expires(conn, now)).await? {
            return Ok(Vec::new());
        }
        self.write(SMALL_BYTES, move |tx| approvals::expire(tx, now)).await
    }

    async fn cancel_run(&self, cancel: CancelRun) -> Result<CancelOutcome, LedgerError> {
        self.write(SMALL_BYTES, move |tx| people::cancel(tx, &cancel)).await
    }

    async fn retry_run(&self, retry: RetryRun) -> Result<RetryOutcome, LedgerError> {
        self.write(SMALL_BYTES, move |tx| people::retry(tx, &retry)).await
    }

    async fn settle_step(&self, settle: SettleStep) -> Result<SettleOutcome, LedgerError> {
        self.write(SMALL_BYTES, move |tx| settle::settle(tx, &settle)).await
    }

    async fn decide(&self, decision: NewDecision) -> Result<DecideOutcome, LedgerError> {
        self.write(SMALL_BYTES, move |tx| people::decide(tx, &decision)).await
    }

    async fn add_nonces(&self, approval: ApprovalId, nonces: Vec<NewNonce>) -> Result<(), LedgerError> {
        self.write(SMALL_BYTES, move |tx| approvals::add_nonces(tx, approval, &nonces)).await
    }

    async fn nonce(&self, hash: [u8; 32]) -> Result<Option<NonceRow>, LedgerError> {
        self.readers.run(move |conn| read::nonce(conn, &hash)).await
    }

    async fn cards_due(&self, limit: usize) -> Result<Vec<CardDue>, LedgerError> {
        self.readers.run(move |conn| read::cards_due(conn, limit)).await
    }

    async fn card_shown(
        &self,
        approval: ApprovalId,
        version: i64,
        place: Option<CardPlace>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        self.write(SMALL_BYTES, move |tx| approvals::card_shown(tx, approval, version, place.as_ref(), at)).await
    }

    async fn card_at(&self, chat: &ChatKey, message_id: i64) -> Result<Option<ApprovalId>, LedgerError> {
        let chat = chat.clone();
        self.readers.run(move |conn| read::card_at(conn, &chat, message_id)).await
    }

    async fn resend_cards(&self, sent_before: Timestamp) -> Result<usize, LedgerError> {
        self.write(SMALL_BYTES, move |tx| approvals::resend_cards(tx, sent_before)).await
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<ApprovalRow>, LedgerError> {
        self.readers.run(move |conn| Ok(rows::approval_by_id(conn, id)?.map(|(_, row)| row))).await
    }

    async fn approvals(&self, filter: ApprovalFilter) -> Result<Page<ApprovalRow>, LedgerError> {
        self.readers.run(move |conn| read::approvals(conn, &filter)).await
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRow>, LedgerError> {
        self.readers.run(move |conn| read::run(conn, id)).await
    }

    async fn run_context(&self, run: RunId) -> Result<Option<RunContext>, LedgerError> {
        self.readers.run(move |conn| read::context(conn, run)).await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Page<RunRow>, LedgerError> {
        self.readers.run(move |conn| read::runs(conn, &filter)).await
    }

    async fn event_waits(&self, handler: &str, after: i64, limit: usize) -> Result<Vec<EventWait>, LedgerError> {
        let handler = handler.to_owned();
        self.readers.run(move |conn| waits::of_handler(conn, &handler, after, limit)).await
    }

    async fn event_matched(
        &self,
        wait: i64,
        event: EventId,
        output: serde_json::Value,
        at: Timestamp,
    ) -> Result<bool, LedgerError> {
        self.write(SMALL_BYTES, move |tx| waits::matched(tx, wait, event, &output, at)).await
    }

    async fn remember(&self, memory: NewMemory) -> Result<i64, LedgerError> {
        self.write(SMALL_BYTES + memory.fact.len(), move |tx| memory::remember(tx, &memory)).await
    }

    async fn recall(&self, query: &str, section: Option<&str>, limit: usize) -> Result<Vec<MemoryRow>, LedgerError> {
        let (query, section) = (query.to_owned(), section.map(str::to_owned));
        self.readers.run(move |conn| memory::recall(conn, &query, section.as_deref(), limit)).await
    }

    async fn facts(
        &self,
        section: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<MemoryRow>, LedgerError> {
        let (section, cursor) = (section.map(str::to_owned), cursor.map(str::to_owned));
        self.readers.run(move |conn| memory::facts(conn, section, cursor.as_deref(), limit)).await
    }

    async fn sync_schedules(
        &self,
        prefix: &str,
        rules: Vec<(String, String)>,
        now: Timestamp,
    ) -> Result<Vec<ScheduleRow>, LedgerError> {
        let prefix = prefix.to_owned();
        self.write(SMALL_BYTES * (1 + rules.len()), move |tx| schedules::sync(tx, &prefix, &rules, now)).await
    }

    async fn start_scheduled(
        &self,
        schedule: &str,
        fire_at: Timestamp,
        run: Option<NewRun>,
    ) -> Result<Option<RunStarted>, LedgerError> {
        let schedule = schedule.to_owned();
        let run = run.map(|run| start::context_text(&run.context).map(|context| (run, context))).transpose()?;
        let bytes = run
            .as_ref()
            .map_or(0, |(run, context)| SMALL_BYTES * run.steps.len() + context.len() + run.definition.len());
        self.write(SMALL_BYTES + bytes, move |tx| {
            let run = run.as_ref().map(|(run, context)| (run, context.as_str()));
            schedules::start(tx, &schedule, fire_at, run)
        })
        .await
    }
}
