//! [`ChatLedger`] for [`SqliteLedger`]: each method hands its arguments to the writer or to a reader, and decides nothing.
//!
//! `turns` is what was said and answered, `history` what a model is given of it, `mutes` the rules and their counts.

mod history;
mod mutes;
mod turns;

use async_trait::async_trait;
use jiff::Timestamp;

pub(super) use self::mutes::keeps_quiet;
pub(super) use self::turns::{proposes, prune};
use super::SqliteLedger;
use super::store::SMALL_BYTES;
use crate::domain::ids::{EventId, RunId, TurnId};
use crate::domain::notice::ChatKey;
use crate::ledger::chat::*;
use crate::ledger::{Changes, LedgerError};

#[async_trait]
impl ChatLedger for SqliteLedger {
    fn changes(&self) -> &Changes {
        &self.changes
    }

    async fn say(&self, turn: NewTurn) -> Result<Option<TurnId>, LedgerError> {
        self.write(SMALL_BYTES + turn.text.len(), move |tx| turns::say(tx, &turn)).await
    }

    async fn turns_open(&self, limit: usize) -> Result<Vec<TurnRow>, LedgerError> {
        self.readers.run(move |conn| turns::open(conn, limit)).await
    }

    async fn turn(&self, id: TurnId) -> Result<Option<TurnRow>, LedgerError> {
        self.readers.run(move |conn| turns::by_id(conn, id)).await
    }

    async fn turn_of_run(&self, run: RunId) -> Result<Option<TurnRow>, LedgerError> {
        self.readers.run(move |conn| turns::of_run(conn, run)).await
    }

    async fn begin_turn(&self, seq: i64) -> Result<bool, LedgerError> {
        self.write(SMALL_BYTES, move |tx| turns::begin(tx, seq)).await
    }

    async fn turn_appears(&self, seq: i64, message_id: i64) -> Result<(), LedgerError> {
        self.write(SMALL_BYTES, move |tx| turns::appears(tx, seq, message_id)).await
    }

    async fn answer_turn(&self, answer: TurnAnswer) -> Result<bool, LedgerError> {
        let bytes = SMALL_BYTES * (1 + answer.messages.len()) + answer.text.len();
        self.write(bytes, move |tx| turns::answer(tx, &answer)).await
    }

    async fn turn_shown(
        &self,
        seq: i64,
        shown: u32,
        message_id: Option<i64>,
        done: bool,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        self.write(SMALL_BYTES, move |tx| turns::shown(tx, seq, shown, message_id, done, at)).await
    }

    async fn cancel_turn(&self, chat: &ChatKey, at: Timestamp) -> Result<Option<CancelledTurn>, LedgerError> {
        let chat = chat.clone();
        self.write(SMALL_BYTES, move |tx| turns::cancel(tx, &chat, at)).await
    }

    async fn history(&self, session: i64, bytes_max: usize) -> Result<ChatHistory, LedgerError> {
        self.readers.run(move |conn| history::newest(conn, session, bytes_max)).await
    }

    async fn history_old(
        &self,
        session: i64,
        bytes_kept: usize,
        bytes_max: usize,
    ) -> Result<Vec<ChatMessage>, LedgerError> {
        self.readers.run(move |conn| history::old(conn, session, bytes_kept, bytes_max)).await
    }

    async fn keep_summary(&self, session: i64, to: i64, summary: &str, tainted: bool) -> Result<(), LedgerError> {
        let summary = summary.to_owned();
        self.write(SMALL_BYTES + summary.len(), move |tx| history::keep(tx, session, to, &summary, tainted)).await
    }

    async fn actions_ended(&self, limit: usize) -> Result<Vec<EndedAction>, LedgerError> {
        self.readers.run(move |conn| turns::actions_ended(conn, limit)).await
    }

    async fn tell_outcome(&self, run: RunId, turn: Option<NewTurn>) -> Result<(), LedgerError> {
        self.write(SMALL_BYTES, move |tx| turns::tell(tx, run, turn.as_ref())).await
    }

    async fn events_of_message(&self, chat: &ChatKey, message_id: i64) -> Result<Vec<EventId>, LedgerError> {
        let chat = chat.clone();
        self.readers.run(move |conn| turns::events_of_message(conn, &chat, message_id)).await
    }

    async fn mute(&self, rule: MuteRule, by: &str, at: Timestamp) -> Result<i64, LedgerError> {
        let by = by.to_owned();
        self.write(SMALL_BYTES, move |tx| mutes::add(tx, &rule, &by, at)).await
    }

    async fn unmute(&self, id: i64) -> Result<bool, LedgerError> {
        self.write(SMALL_BYTES, move |tx| mutes::remove(tx, id)).await
    }

    async fn mutes(&self, now: Timestamp) -> Result<Vec<MuteRow>, LedgerError> {
        self.readers.run(move |conn| mutes::in_force(conn, now)).await
    }

    async fn would_mute(&self, rule: &MuteRule, since: Timestamp) -> Result<Vec<EventCount>, LedgerError> {
        let rule = rule.clone();
        self.readers.run(move |conn| mutes::would(conn, &rule, since)).await
    }

    async fn muted_since(&self, since: Timestamp) -> Result<Vec<EventCount>, LedgerError> {
        self.readers.run(move |conn| mutes::muted_since(conn, since)).await
    }

    async fn forget(&self, id: i64) -> Result<bool, LedgerError> {
        self.write(SMALL_BYTES, move |tx| super::runs::forget(tx, id)).await
    }
}
