//! What chats sent us: kept before the channel is told that we have it, done together with the answer.

use super::notices;
use super::tx::{Tx, WriteError};
use crate::ledger::{InboundItem, NewNotice};

/// See [`crate::ledger::Ledger::keep_inbound`].
pub(super) fn keep(tx: &mut Tx<'_>, channel: &str, items: &[InboundItem]) -> Result<(), WriteError> {
    for item in items {
        tx.execute(
            "INSERT INTO inbound (channel, external_id, body, received_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            (channel, item.external_id, &item.body, item.received_at.as_millisecond()),
        )?;
    }
    Ok(())
}

/// See [`crate::ledger::Ledger::inbound_done`].
pub(super) fn done(tx: &mut Tx<'_>, channel: &str, external_id: i64, replies: &[NewNotice]) -> Result<(), WriteError> {
    let changed = tx.execute(
        "UPDATE inbound SET done = 1 WHERE channel = ?1 AND external_id = ?2 AND done = 0",
        (channel, external_id),
    )?;
    if changed > 0 { notices::insert_all(tx, replies, None) } else { Ok(()) }
}
