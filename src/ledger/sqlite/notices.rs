//! The outbox's writes. A notice is `sending` from the commit that comes before a send to the one that says what became of
//! it, so that after a crash nobody has to guess which sends may have left.

use jiff::Timestamp;

use super::tx::{Tx, WriteError};
use super::{chat, events, summaries};
use crate::domain::ids::{EventId, NoticeId};
use crate::domain::notice::NoticeKind;
use crate::ledger::{LedgerError, NewNotice, SendSettled, SendSettlement};

/// Keeps notices. `settled` is the event whose settlement brings them, and its `seq`.
pub(super) fn insert_all(
    tx: &mut Tx<'_>,
    notices: &[NewNotice],
    settled: Option<(EventId, i64)>,
) -> Result<(), WriteError> {
    for notice in notices {
        let event_seq = match (notice.event, settled) {
            (None, settled) => settled.map(|(_, seq)| seq),
            (Some(id), Some((settled, seq))) if id == settled => Some(seq),
            (Some(id), _) => events::seq_of(tx, id)?,
        };
        insert(tx, notice, event_seq)?;
    }
    Ok(())
}

fn insert(tx: &mut Tx<'_>, notice: &NewNotice, event_seq: Option<i64>) -> Result<(), WriteError> {
    // Answers to a person may tell of one event as often as they are asked, one event may start several runs, and an event that
    // was delivered again and failed again is told again; that one comes with a settlement, whose epoch lets it in once.
    let repeats = match notice.kind {
        NoticeKind::Reply | NoticeKind::Refusal | NoticeKind::Outcome | NoticeKind::System => true,
        NoticeKind::Event => false,
    };
    let quiet = match event_seq {
        Some(seq) if notice.kind == NoticeKind::Event => {
            chat::keeps_quiet(tx, seq, &notice.message.title, notice.created_at.as_millisecond())?
        }
        Some(_) | None => None,
    };
    let message = serde_json::to_string(&notice.message)
        .map_err(|e| LedgerError::Invalid(format!("{} cannot be written: {e}", notice.id)))?;
    let kept = tx
        .conn
        .prepare_cached(
            "INSERT INTO notices (id, event_seq, kind, chat, repeat, state, created_at, reply_to, message, error)
             VALUES (?1, ?2, ?3, ?4, iif(?5, (SELECT coalesce(max(seq), 0) + 1 FROM notices), 0), ?9, ?6, ?7, ?8, ?10)
             ON CONFLICT DO NOTHING",
        )?
        .execute(rusqlite::params![
            notice.id.to_string(),
            event_seq,
            notice.kind.as_str(),
            notice.chat.as_str(),
            repeats,
            notice.created_at.as_millisecond(),
            notice.reply_to,
            message,
            if quiet.is_some() { "muted" } else { "pending" },
            quiet,
        ])?;
    if kept > 0 {
        tx.tally.notices = true;
        tx.tally.changed |= event_seq.is_some();
    }
    Ok(())
}

/// See [`crate::ledger::Ledger::begin_send`].
pub(super) fn begin_send(tx: &mut Tx<'_>, ids: &[NoticeId], now: Timestamp) -> Result<(), WriteError> {
    for id in ids {
        let state = tx.first("SELECT state FROM notices WHERE id = ?1", [id.to_string()], |row| row.get(0))?;
        let state: String = state.ok_or_else(|| LedgerError::NotFound(id.to_string()))?;
        if state != "pending" {
            return Err(LedgerError::Invalid(format!("{id} does not wait, it is {state}")).into());
        }
    }
    for id in ids {
        tx.execute(
            "UPDATE notices SET state = 'sending', attempts = attempts + 1, began_at = ?2
             WHERE id = ?1 AND state = 'pending'",
            (id.to_string(), now.as_millisecond()),
        )?;
    }
    Ok(())
}

/// See [`crate::ledger::Ledger::settle_send`].
pub(super) fn settle_send(tx: &mut Tx<'_>, settlements: &[SendSettlement]) -> Result<(), WriteError> {
    for settlement in settlements {
        let id = settlement.id.to_string();
        let at_ms = settlement.at.as_millisecond();
        let changed = match &settlement.outcome {
            SendSettled::Sent { message_id, digest } => {
                let changed = tx.execute(
                    "UPDATE notices SET state = iif(unanswered, 'maybe_sent', 'sent'), sent_at = ?2, message_id = ?3,
                         error = NULL WHERE id = ?1 AND state IN ('pending', 'sending')",
                    (&id, at_ms, message_id),
                )?;
                summaries::sent(tx, &id, digest.as_deref())?;
                changed
            }
            SendSettled::Waits { error, unanswered, counts } => tx.execute(
                "UPDATE notices SET state = 'pending', unanswered = unanswered + ?3, error = ?2,
                     attempts = max(0, attempts - ?4) WHERE id = ?1 AND state = 'sending'",
                (id, error, unanswered, i64::from(!counts)),
            )?,
            SendSettled::GivenUp { error } => tx.execute(
                "UPDATE notices SET state = 'maybe_sent', unanswered = unanswered + 1, error = ?2
                 WHERE id = ?1 AND state IN ('pending', 'sending')",
                (id, error),
            )?,
            SendSettled::Failed { error } => tx.execute(
                "UPDATE notices SET state = 'failed', error = ?2 WHERE id = ?1 AND state IN ('pending', 'sending')",
                (id, error),
            )?,
        };
        tx.tally.changed |= changed > 0;
        tx.tally.notices |= changed > 0 && matches!(settlement.outcome, SendSettled::Waits { .. });
    }
    Ok(())
}

/// See [`crate::ledger::Ledger::recover_sends`].
pub(super) fn recover_sends(tx: &mut Tx<'_>) -> Result<usize, WriteError> {
    // Whatever the number of crashes, one left to be repeated: a process that dies again and again must not use it up.
    let count = tx
        .execute("UPDATE notices SET state = 'pending', unanswered = max(unanswered, 1) WHERE state = 'sending'", ())?;
    tx.tally.notices |= count > 0;
    tx.tally.changed |= count > 0;
    Ok(count)
}
