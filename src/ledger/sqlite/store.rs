//! [`Ledger`] for [`SqliteLedger`]: each method hands its arguments to the writer or to a reader, and decides nothing.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::rows::headers_to_json;
use super::{SqliteLedger, detail, events, inbound, jobs, list, notices, overview, prune, read_only, sql, waiting};
use crate::domain::ids::{EventId, NoticeId};
use crate::domain::notice::{ChatKey, NoticeKind};
use crate::ledger::{
    Changes, ClaimedEvent, EventDetail, EventFilter, EventRow, InboundItem, Ingested, Ledger, LedgerError, NewEvent,
    NewNotice, NoticeMessage, Overview, Page, QueryResult, RefusedRequest, SendSettlement, Settlement, Stats,
    WaitingNotice,
};

/// Bytes that a command without a body counts as.
pub(super) const SMALL_BYTES: usize = 512;

#[async_trait]
impl Ledger for SqliteLedger {
    fn changes(&self) -> &Changes {
        &self.changes
    }

    async fn ingest(&self, event: NewEvent) -> Result<Ingested, LedgerError> {
        let bytes = SMALL_BYTES + event.body.len() + event.payload.as_ref().map_or(0, bytes::Bytes::len);
        let headers = headers_to_json(&event.headers);
        self.write(bytes, move |tx| events::ingest(tx, &event, &headers)).await
    }

    fn record_refused(&self, refused: RefusedRequest) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.inbox.push_refused(refused))
    }

    async fn claim(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<ClaimedEvent>, LedgerError> {
        self.write_behind(SMALL_BYTES, move |tx| jobs::claim(tx, now, lease, limit)).await
    }

    async fn recover_claims(&self, now: Timestamp) -> Result<usize, LedgerError> {
        self.write_behind(SMALL_BYTES, move |tx| jobs::recover_claims(tx, now)).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<bool>, LedgerError> {
        self.write_behind(SMALL_BYTES * settlements.len(), move |tx| jobs::settle(tx, &settlements)).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        self.readers.run(move |conn| waiting::next_due(conn, now)).await
    }

    async fn replay(&self, original: EventId, replay: EventId, now: Timestamp) -> Result<(), LedgerError> {
        self.write(SMALL_BYTES, move |tx| events::replay(tx, original, replay, now)).await
    }

    async fn add_notices(&self, new: Vec<NewNotice>) -> Result<(), LedgerError> {
        self.write(SMALL_BYTES * new.len(), move |tx| notices::insert_all(tx, &new, None)).await
    }

    async fn chats_waiting(&self) -> Result<Vec<ChatKey>, LedgerError> {
        self.readers.run(|conn| waiting::chats(conn)).await
    }

    async fn notices_waiting(&self, chat: &ChatKey, limit: usize) -> Result<Vec<WaitingNotice>, LedgerError> {
        let chat = chat.clone();
        self.readers.run(move |conn| waiting::notices(conn, &chat, limit)).await
    }

    async fn notices_waiting_apart(&self, chat: &ChatKey, limit: usize) -> Result<Vec<WaitingNotice>, LedgerError> {
        let chat = chat.clone();
        self.readers.run(move |conn| waiting::notices_apart(conn, &chat, limit)).await
    }

    async fn begin_send(&self, ids: &[NoticeId], now: Timestamp) -> Result<(), LedgerError> {
        let ids = ids.to_vec();
        self.write_behind(SMALL_BYTES * ids.len(), move |tx| notices::begin_send(tx, &ids, now)).await
    }

    async fn settle_send(&self, settlements: Vec<SendSettlement>) -> Result<(), LedgerError> {
        self.write_behind(SMALL_BYTES * settlements.len(), move |tx| notices::settle_send(tx, &settlements)).await
    }

    async fn recover_sends(&self) -> Result<usize, LedgerError> {
        self.write(SMALL_BYTES, notices::recover_sends).await
    }

    async fn keep_inbound(&self, channel: &str, items: Vec<InboundItem>) -> Result<(), LedgerError> {
        let channel = channel.to_owned();
        let bytes = items.iter().map(|item| SMALL_BYTES + item.body.len()).sum();
        self.write(bytes, move |tx| inbound::keep(tx, &channel, &items)).await
    }

    async fn inbound_waiting(&self, channel: &str, limit: usize) -> Result<Vec<InboundItem>, LedgerError> {
        let channel = channel.to_owned();
        self.readers.run(move |conn| waiting::inbound(conn, &channel, limit)).await
    }

    async fn inbound_done(&self, channel: &str, external_id: i64, replies: Vec<NewNotice>) -> Result<(), LedgerError> {
        let channel = channel.to_owned();
        let bytes = SMALL_BYTES * (1 + replies.len());
        self.write(bytes, move |tx| inbound::done(tx, &channel, external_id, &replies)).await
    }

    async fn has_notice_since(&self, chat: &ChatKey, kind: NoticeKind, since: Timestamp) -> Result<bool, LedgerError> {
        let chat = chat.clone();
        self.readers.run(move |conn| waiting::has_notice_since(conn, &chat, kind, since)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, LedgerError> {
        self.readers.run(move |conn| detail::event(conn, id)).await
    }

    async fn body_of(&self, event: EventId) -> Result<Option<Vec<u8>>, LedgerError> {
        self.readers.run(move |conn| detail::body_of(conn, event)).await
    }

    async fn messages_of(&self, event: EventId) -> Result<Vec<NoticeMessage>, LedgerError> {
        self.readers.run(move |conn| detail::messages_of(conn, event)).await
    }

    async fn events(&self, filter: EventFilter) -> Result<Page<EventRow>, LedgerError> {
        let health = self.readers.health();
        self.readers.run(move |conn| list::events(conn, &health, &filter)).await
    }

    async fn stats(&self) -> Result<Stats, LedgerError> {
        self.readers.run(|conn| waiting::stats(conn)).await
    }

    async fn index(&self) -> Result<usize, LedgerError> {
        let index = Arc::clone(self.index.as_ref().ok_or_else(read_only)?);
        let work = move || index.lock().unwrap_or_else(PoisonError::into_inner).slice();
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(|_| LedgerError::Unavailable("the indexing was cut off".into()))?;
        done.map_err(|error| LedgerError::Unavailable(error.to_string()))
    }

    async fn overview(&self, from: Timestamp) -> Result<Overview, LedgerError> {
        let health = self.readers.health();
        self.readers.run(move |conn| overview::overview(conn, &health, from)).await
    }

    async fn prune(&self, before: Timestamp) -> Result<usize, LedgerError> {
        self.write_behind(SMALL_BYTES, move |tx| prune::prune(tx, before.as_millisecond())).await
    }

    async fn query(&self, sql: &str, rows_max: usize) -> Result<QueryResult, LedgerError> {
        let (sql, path) = (sql.to_owned(), self.readers.path().to_owned());
        self.readers.run_apart(move || sql::query(&path, &sql, rows_max)).await
    }

    async fn close(&self) -> Result<(), LedgerError> {
        let engine = Arc::clone(self.engine.as_ref().ok_or_else(read_only)?);
        self.readers.close().await;
        tokio::task::spawn_blocking(move || engine.stop())
            .await
            .map_err(|_| LedgerError::Unavailable("closing it was cut off".into()))?
    }
}
