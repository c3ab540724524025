//! Questions to approvers: asked, closed, expired, reminded of; their buttons and cards.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::super::rows::{int, word};
use super::super::tx::{Tx, WriteError};
use super::advance::ms_of;
use super::start::poke;
use crate::domain::approval::ApprovalState;
use crate::domain::ids::ApprovalId;
use crate::ledger::LedgerError;
use crate::ledger::runs::{CardPlace, Expired, NewApproval, NewNonce};

/// Things that one transaction expires at most; the rest is due still.
const EXPIRE_MAX: usize = 500;
/// Buttons of one approval that are kept; older ones become stale.
const NONCES_MAX: i64 = 64;

/// Keeps a question.
pub(super) fn ask(tx: &mut Tx<'_>, run_seq: i64, new: &NewApproval, at_ms: i64) -> Result<(), WriteError> {
    let unwritable = |e: serde_json::Error| LedgerError::Invalid(format!("{} cannot be written: {e}", new.id));
    let action = serde_json::to_string(&new.action).map_err(unwritable)?;
    let approvers = serde_json::to_string(&new.approvers).map_err(unwritable)?;
    let expires_ms = new.expires_at.map(Timestamp::as_millisecond);
    let remind_every = ms_of(new.remind_every);
    let remind_ms = remind_every.map(|every| at_ms.saturating_add(every));
    tx.execute(
        "INSERT INTO approvals (id, run_seq, step_key, kind, state, action, digest, approvers, votes_needed, note,
             requested_at, expires_at, remind_every, remind_at, wake_at, card_at)
         VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?10)",
        params![
            new.id.to_string(),
            run_seq,
            new.step,
            new.kind.as_str(),
            action,
            new.digest,
            approvers,
            new.votes_needed,
            new.note,
            at_ms,
            expires_ms,
            remind_every,
            remind_ms,
            earlier(expires_ms, remind_ms),
        ],
    )?;
    tx.tally.approvals = true;
    // Whoever sleeps until the next thing is due must learn of an earlier one.
    tx.tally.runs |= expires_ms.is_some() || remind_ms.is_some();
    Ok(())
}

fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Closes an approval that is pending, or approved and not used.
pub(super) fn close_by_id(
    tx: &mut Tx<'_>,
    id: ApprovalId,
    state: ApprovalState,
    reason: &str,
    at_ms: i64,
) -> Result<(), WriteError> {
    let found = tx.first(
        "SELECT seq FROM approvals WHERE id = ?1 AND state IN ('pending', 'approved')",
        [id.to_string()],
        |row| row.get(0),
    )?;
    if let Some(seq) = found {
        close(tx, seq, state, Some(reason), at_ms)?;
    }
    Ok(())
}

/// Gives an approval its last state.
pub(super) fn close(
    tx: &mut Tx<'_>,
    seq: i64,
    state: ApprovalState,
    reason: Option<&str>,
    at_ms: i64,
) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE approvals SET state = ?2, reason = ?3, closed_at = ?4, wake_at = NULL,
             card_version = card_version + 1, card_at = ?4 WHERE seq = ?1",
        (seq, state.as_str(), reason, at_ms),
    )?;
    tx.tally.approvals = true;
    Ok(())
}

/// Something that its card must show changed.
pub(super) fn changed(tx: &mut Tx<'_>, seq: i64, at_ms: i64) -> rusqlite::Result<()> {
    tx.execute("UPDATE approvals SET card_version = card_version + 1, card_at = ?2 WHERE seq = ?1", (seq, at_ms))?;
    tx.tally.approvals = true;
    Ok(())
}

/// See [`crate::ledger::runs::RunLedger::expire`].
pub(super) fn expire(tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<Expired>, WriteError> {
    let now_ms = now.as_millisecond();
    let mut expired = Vec::new();
    let due = tx
        .conn
        .prepare_cached(
            "SELECT a.seq, a.id, a.run_seq, r.id, a.expires_at IS NOT NULL AND a.expires_at <= ?1
             FROM approvals a JOIN runs r ON r.seq = a.run_seq
             WHERE a.wake_at IS NOT NULL AND a.wake_at <= ?1 ORDER BY a.wake_at LIMIT ?2",
        )?
        .query_map((now_ms, int(EXPIRE_MAX)), |row| {
            Ok((row.get(0)?, word(row, 1)?, row.get(2)?, word(row, 3)?, row.get(4)?))
        })?
        .collect::<Result<Vec<(i64, ApprovalId, i64, _, bool)>, _>>()?;
    for (seq, approval, run_seq, run, is_over) in due {
        if is_over {
            close(tx, seq, ApprovalState::Expired, Some("nobody decided in time"), now_ms)?;
            poke(tx, run_seq, now_ms)?;
            expired.push(Expired::Approval { approval, run });
        } else {
            remind(tx, seq, now_ms)?;
            expired.push(Expired::Reminder { approval });
        }
    }
    let waits = tx
        .conn
        .prepare_cached(
            "SELECT w.seq, w.run_seq, r.id FROM event_waits w JOIN runs r ON r.seq = w.run_seq
             WHERE w.state = 'waiting' AND w.expires_at IS NOT NULL AND w.expires_at <= ?1 LIMIT ?2",
        )?
        .query_map((now_ms, int(EXPIRE_MAX)), |row| Ok((row.get(0)?, row.get(1)?, word(row, 2)?)))?
        .collect::<Result<Vec<(i64, i64, _)>, _>>()?;
    for (seq, run_seq, run) in waits {
        tx.execute("UPDATE event_waits SET state = 'expired' WHERE seq = ?1", [seq])?;
        poke(tx, run_seq, now_ms)?;
        expired.push(Expired::Wait { run });
    }
    Ok(expired)
}

/// The card is sent anew; the next reminder counts from now, so that an outage brings one and not many.
fn remind(tx: &mut Tx<'_>, seq: i64, now_ms: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE approvals SET reminders = reminders + 1, remind_at = ?2 + remind_every,
             wake_at = min(coalesce(expires_at, ?2 + remind_every), ?2 + remind_every), card_anew = 1 WHERE seq = ?1",
        (seq, now_ms),
    )?;
    changed(tx, seq, now_ms)
}

/// See [`crate::ledger::runs::RunLedger::add_nonces`].
pub(super) fn add_nonces(tx: &mut Tx<'_>, approval: ApprovalId, nonces: &[NewNonce]) -> Result<(), WriteError> {
    let seq: i64 = tx
        .first("SELECT seq FROM approvals WHERE id = ?1", [approval.to_string()], |row| row.get(0))?
        .ok_or_else(|| LedgerError::NotFound(approval.to_string()))?;
    for nonce in nonces {
        tx.execute(
            "INSERT INTO approval_nonces (hash, approval_seq, purpose, made_at) VALUES (?1, ?2, ?3, ?4)",
            (nonce.hash.as_slice(), seq, &nonce.purpose, tx.began_ms),
        )?;
    }
    let kept: i64 = tx
        .conn
        .prepare_cached("SELECT count(*) FROM approval_nonces WHERE approval_seq = ?1")?
        .query_row([seq], |row| row.get(0))?;
    if kept > NONCES_MAX {
        let spare = kept - NONCES_MAX;
        tx.execute(
            "DELETE FROM approval_nonces WHERE hash IN (SELECT hash FROM approval_nonces WHERE approval_seq = ?1
                 AND used_at IS NULL ORDER BY made_at LIMIT ?2)",
            (seq, spare),
        )?;
    }
    Ok(())
}

/// Whether a button with this hash does `purpose` for the approval and no decision came of it.
pub(super) fn is_fresh(tx: &Tx<'_>, approval_seq: i64, hash: &[u8; 32], purpose: &str) -> rusqlite::Result<bool> {
    let sql =
        "SELECT 1 FROM approval_nonces WHERE hash = ?1 AND approval_seq = ?2 AND purpose = ?3 AND used_at IS NULL";
    Ok(tx.first(sql, (hash.as_slice(), approval_seq, purpose), |_| Ok(()))?.is_some())
}

/// A decision came of the buttons of an approval: none of them works again.
pub(super) fn use_up(tx: &Tx<'_>, approval_seq: i64, at_ms: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE approval_nonces SET used_at = ?2 WHERE approval_seq = ?1 AND used_at IS NULL",
        (approval_seq, at_ms),
    )?;
    Ok(())
}

/// See [`crate::ledger::runs::RunLedger::card_shown`].
pub(super) fn card_shown(
    tx: &mut Tx<'_>,
    approval: ApprovalId,
    version: i64,
    place: Option<&CardPlace>,
    at: Timestamp,
) -> Result<(), WriteError> {
    let seq: i64 = tx
        .conn
        .prepare_cached("SELECT seq FROM approvals WHERE id = ?1")?
        .query_row([approval.to_string()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| LedgerError::NotFound(approval.to_string()))?;
    tx.execute(
        "UPDATE approvals SET card_shown = max(card_shown, ?2), card_anew = iif(card_version > ?2, card_anew, 0)
         WHERE seq = ?1",
        (seq, version),
    )?;
    if let Some(place) = place {
        tx.execute(
            "INSERT INTO approval_cards (approval_seq, chat, message_id, sent_at) VALUES (?1, ?2, ?3, ?4)",
            (seq, place.chat.as_str(), place.message_id, at.as_millisecond()),
        )?;
    }
    Ok(())
}

/// See [`crate::ledger::runs::RunLedger::resend_cards`].
pub(super) fn resend_cards(tx: &mut Tx<'_>, sent_before: Timestamp) -> Result<usize, WriteError> {
    let count = tx.execute(
        "UPDATE approvals SET card_version = card_version + 1, card_anew = 1
         WHERE state = 'pending' AND card_version = card_shown
             AND (SELECT max(sent_at) FROM approval_cards c WHERE c.approval_seq = approvals.seq) < ?1",
        [sent_before.as_millisecond()],
    )?;
    tx.tally.approvals |= count > 0;
    Ok(count)
}
