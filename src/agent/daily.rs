//! The daily digest: one message a day that accounts for every event since the last one.
//!
//! A day without events has its digest too, so that silence means that something is wrong. Times that passed while the agent
//! did not run become one digest, which accounts for them all.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::NoticeId;
use crate::domain::notice::{ChatKey, Message, NoticeKind, Severity};
use crate::domain::schedule::Schedule;
use crate::domain::text::clip_chars;
use crate::ledger::digest::{Account, DigestLedger, ToldDigest};
use crate::ledger::runs::RunLedger;
use crate::ledger::{LedgerError, NewNotice};
use crate::ports::{Clock, Ids};

/// The schedule's name in the ledger.
const NAME: &str = "digest";
/// Handlers that get a line of their own; the others share one.
const HANDLERS_MAX: usize = 8;
/// Handlers and rules that the line about quiet notices names; the others are one number.
const MUTED_MAX: usize = 6;
/// Types that a handler's line names; the others are one number.
const TYPES_MAX: usize = 5;
/// Longest name of a type on a line, in characters.
const TYPE_CHARS_MAX: usize = 40;
/// The longest sleep: a clock that was set is noticed after this.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// The wait after the ledger did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// What the first digest looks back.
const FIRST_SPAN: Duration = Duration::from_secs(24 * 3600);

/// Tells the digest.
#[derive(Debug, Clone)]
pub struct Daily {
    /// When; `None`: never, and times that pass now are nobody's when it is turned on again.
    pub when: Option<Schedule>,
    /// The chat that gets it.
    pub chat: ChatKey,
    /// Accounts.
    pub digests: Arc<dyn DigestLedger>,
    /// Which times were dealt with.
    pub schedules: Arc<dyn RunLedger>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
}

impl Daily {
    /// Works until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let wake_at = match self.look().await {
                Ok(None) => return,
                Ok(Some(next)) => next.min(self.clock.now() + LOOK_MAX),
                Err(error) => {
                    tracing::warn!(%error, "the daily digest could not be made; trying again");
                    self.clock.now() + RETRY_AFTER
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until(wake_at) => {}
            }
        }
    }

    /// Tells what is due and gives the next time.
    async fn look(&self) -> Result<Option<Timestamp>, LedgerError> {
        let now = self.clock.now();
        let rules = self.when.iter().map(|when| (NAME.to_owned(), when.rule())).collect();
        let rows = self.schedules.sync_schedules(NAME, rules, now).await?;
        let (Some(when), Some(row)) = (&self.when, rows.first()) else { return Ok(None) };
        let Some(due) = when.due(row.after(), now) else { return Ok(when.next_after(row.after())) };
        let account = self.digests.account(due.latest - FIRST_SPAN).await?;
        let notice = NewNotice {
            id: NoticeId::new(self.ids.ulid(now)),
            chat: self.chat.clone(),
            kind: NoticeKind::System,
            event: None,
            reply_to: None,
            message: message(&account, when, due.latest - FIRST_SPAN),
            created_at: now,
        };
        let told = ToldDigest {
            schedule: NAME.to_owned(),
            fire_at: due.latest,
            upto_seq: account.upto_seq,
            events: account.total(),
            notice,
        };
        self.digests.tell_digest(told).await?;
        Ok(when.next_after(now.max(due.latest)))
    }
}

/// The digest of `account`. Its numbers add up: every accepted event is in one handler's line, every one that was not in its
/// own.
fn message(account: &Account, when: &Schedule, first_from: Timestamp) -> Message {
    let (accepted, failed_now) = (account.accepted(), account.with_status("failed"));
    let failed = failed_now + account.earlier.get("failed").copied().unwrap_or(0);
    let mut title = match accepted {
        0 => "Daily digest: no events".to_owned(),
        1 => "Daily digest: 1 event".to_owned(),
        many => format!("Daily digest: {many} events"),
    };
    if failed > 0 {
        // Writing to a String cannot fail, here and below.
        let _ = write!(title, ", {failed} failed");
    }
    let mut lines = vec![format!("Since {}", when.words(account.since.unwrap_or(first_from)))];
    lines.extend(handler_lines(account));
    if accepted > 0 {
        lines.push(fates(account, failed_now));
    }
    lines.extend(earlier(account));
    if let [first, ..] = account.failed.as_slice() {
        let more = if failed > 1 { " and others" } else { "" };
        lines.push(format!("Look at /event {first}{more}"));
    }
    lines.extend(muted_line(account));
    let turned_away = ["rejected", "ignored", "duplicate"].map(|status| (status, account.with_status(status)));
    lines.extend(counted("Not taken", turned_away.into_iter()));
    let runs = account.runs.iter().map(|(state, count)| (state.as_str(), *count));
    lines.extend(counted("Runs", runs));
    if account.approvals_pending > 0 {
        lines.push(format!("Waiting for a decision: {} (/approvals)", account.approvals_pending));
    }
    if account.notices_failed > 0 {
        lines.push(format!("Messages that no chat took: {}", account.notices_failed));
    }
    let severity = if failed > 0 { Severity::Warning } else { Severity::Info };
    Message { title, lines, url: None, severity }
}

/// What became of the accepted ones.
fn fates(account: &Account, failed: u64) -> String {
    let (processed, waiting) = (account.with_status("processed"), account.with_status("accepted"));
    let mut line = format!("Processed {processed}, waiting {waiting}, failed {failed}");
    if account.replayed > 0 {
        let _ = write!(line, "; {} of them replayed", account.replayed);
    }
    line
}

/// What became meanwhile of events that earlier digests counted.
fn earlier(account: &Account) -> Option<String> {
    counted("Of earlier ones", account.earlier.iter().map(|(status, count)| (status.as_str(), *count)))
}

/// Who was kept quiet and by which rule: `Kept quiet: 12 (github 10 by rule 3 (github push), …)`.
fn muted_line(account: &Account) -> Option<String> {
    if account.muted_total == 0 {
        return None;
    }
    let (shown, _) = account.muted.split_at(account.muted.len().min(MUTED_MAX));
    let mut parts: Vec<String> = shown
        .iter()
        .map(|group| {
            let by = if group.rule.is_empty() { String::new() } else { format!(" by {}", group.rule) };
            format!("{} {}{by}", group.handler, group.count)
        })
        .collect();
    let rest = account.muted_total - shown.iter().map(|group| group.count).sum::<u64>();
    if rest > 0 {
        parts.push(format!("others {rest}"));
    }
    Some(format!("Kept quiet: {} ({})", account.muted_total, parts.join(", ")))
}

/// Events of a handler, and of its types.
type Counted<'a> = (u64, Vec<(&'a str, u64)>);

/// A line a handler, most events first: `github: 30 (push 18, issues.opened 12)`.
fn handler_lines(account: &Account) -> Vec<String> {
    let mut handlers: BTreeMap<&str, Counted<'_>> = BTreeMap::new();
    for group in &account.groups {
        let (total, types) = handlers.entry(&group.handler).or_default();
        *total += group.count;
        types.push((&group.event, group.count));
    }
    let mut handlers: Vec<_> = handlers.into_iter().collect();
    handlers.sort_by_key(|(name, (total, _))| (std::cmp::Reverse(*total), *name));
    let listed: u64 = account.groups.iter().map(|group| group.count).sum();
    let rest = handlers.split_off(handlers.len().min(HANDLERS_MAX));
    let mut lines: Vec<String> =
        handlers.into_iter().map(|(name, (total, types))| handler_line(name, total, &types)).collect();
    let others = rest.iter().map(|(_, (total, _))| total).sum::<u64>() + account.accepted().saturating_sub(listed);
    if others > 0 {
        lines.push(format!("others: {others}"));
    }
    lines
}

fn handler_line(name: &str, total: u64, types: &[(&str, u64)]) -> String {
    let (shown, rest) = types.split_at(types.len().min(TYPES_MAX));
    let mut parts: Vec<String> =
        shown.iter().map(|(event, count)| format!("{} {count}", clip_chars(event, TYPE_CHARS_MAX))).collect();
    if !rest.is_empty() {
        parts.push(format!("other types {}", rest.iter().map(|(_, count)| count).sum::<u64>()));
    }
    format!("{name}: {total} ({})", parts.join(", "))
}

fn counted<'a>(what: &str, counts: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
    let parts: Vec<String> = counts
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| format!("{} {count}", word.replace('_', " ")))
        .collect();
    (!parts.is_empty()).then(|| format!("{what}: {}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::utf16_len;
    use crate::ledger::digest::AccountGroup;

    fn said(account: &Account) -> Message {
        let when = Schedule::daily((18, 0), "Europe/Berlin").expect("a schedule");
        message(account, &when, "2026-06-01T16:00:00Z".parse().expect("a timestamp"))
    }

    #[test]
    fn however_many_handlers_and_types_there_are_the_numbers_add_up_and_the_message_fits() {
        let group = |handler: usize, kind: usize| AccountGroup {
            handler: format!("{}{handler}", "handler-".repeat(7)),
            event: format!("{}{kind}", "type.".repeat(20)),
            count: 3,
        };
        let groups: Vec<_> = (0..20).flat_map(|handler| (0..25).map(move |kind| group(handler, kind))).collect();
        // 1500 in groups, and 77 beyond the bound on groups.
        let account = Account { groups, statuses: BTreeMap::from([("processed".into(), 1577)]), ..Account::default() };
        let message = said(&account);
        let number = |line: &String| {
            let (_, rest) = line.split_once(": ")?;
            rest.split(' ').next()?.parse::<u64>().ok()
        };
        assert_eq!(message.lines.iter().filter_map(number).sum::<u64>(), 1577, "{:#?}", message.lines);
        let types: u64 = message.lines[1]
            .split(['(', ',', ')'])
            .skip(1)
            .filter_map(|part| part.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        assert_eq!(types, 75, "{}", message.lines[1]);
        let whole = message.lines.iter().map(|line| utf16_len(line) + 1).sum::<usize>() + utf16_len(&message.title);
        assert!(whole < 3500, "{whole}");
    }

    #[test]
    fn a_day_without_events_is_told_too() {
        let message = said(&Account::default());
        assert_eq!(message.title, "Daily digest: no events");
        assert_eq!(message.lines, ["Since 2026-06-01 18:00 CEST"]);
    }
}
