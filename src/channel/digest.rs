//! When notices of events and of runs fold into a digest, and what the pages of one say.
//!
//! Pure: the window and the paging are decided by times and notices alone. Who sends the pages is `sender`.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::ids::NoticeId;
use crate::domain::notice::NoticeKind;
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::WaitingNotice;
use crate::ports::{Channel, DigestLine};

/// Most notices that one digest takes into memory; a longer backlog becomes several digests, one after the other.
pub(super) const DIGEST_NOTICES_MAX: usize = 500;
/// Older than this, a digest names the time of its first event instead of counting seconds.
const RECENT: Duration = Duration::from_secs(90);

/// Longest line about a run, in characters; `/runs ID` has the rest.
const RUN_CHARS_MAX: usize = 300;
/// What a digest counts, one and many: events alone, or runs as well.
const EVENTS: [&str; 2] = ["event", "events"];
const NOTICES: [&str; 2] = ["notice", "notices"];

/// The time after an event's notice in which only a few more go alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// When it closes.
    pub(super) until: Timestamp,
    /// Notices of events that went alone in it.
    pub(super) alone: usize,
}

/// One page: the notices that it accounts for.
#[derive(Debug)]
pub(super) struct DigestPage {
    /// Which of the digest's pages it is, from 1.
    number: usize,
    /// The notices, and how many earlier sends of each were never answered.
    pub(super) notices: Vec<(NoticeId, u32)>,
    /// Their lines, in the same order.
    pub(super) lines: Vec<DigestLine>,
}

/// A digest on its way out.
#[derive(Debug)]
pub(super) struct Digest {
    /// It takes what was made up to here; what came later is for another window.
    pub(super) cutoff: Timestamp,
    /// The pages that are still to be sent.
    pub(super) pages: VecDeque<DigestPage>,
    pages_in_all: usize,
    total: usize,
    noun: [&'static str; 2],
    when: String,
}

impl Digest {
    /// A digest of the notices of events and runs among `waiting` that were made up to `cutoff`, in pages that fit `channel`; `None` when fewer
    /// than two are there, since one goes as itself.
    pub(super) fn of(
        waiting: Vec<WaitingNotice>,
        cutoff: Timestamp,
        now: Timestamp,
        channel: &dyn Channel,
    ) -> Option<Self> {
        let events: Vec<WaitingNotice> =
            waiting.into_iter().filter(|n| n.kind.folds() && n.created_at <= cutoff).collect();
        if events.len() < 2 {
            return None;
        }
        let total = events.len();
        let when = told_since(events.iter().map(|n| n.created_at).min().unwrap_or(now), now);
        let noun = if events.iter().all(|n| n.kind == NoticeKind::Event) { EVENTS } else { NOTICES };
        let widest = title(noun, total, &when, total, total, total);
        let mut notices: VecDeque<(NoticeId, u32)> = events.iter().map(|n| (n.id, n.unanswered)).collect();
        let mut lines: Vec<DigestLine> = events
            .into_iter()
            .map(|n| DigestLine { title: line_of(&n), url: n.message.url, severity: n.message.severity })
            .collect();
        let mut pages = VecDeque::new();
        while !lines.is_empty() {
            let fits = channel.digest_fits(&widest, &lines).clamp(1, lines.len());
            let rest = lines.split_off(fits);
            pages.push_back(DigestPage { number: pages.len() + 1, notices: notices.drain(..fits).collect(), lines });
            lines = rest;
        }
        Some(Self { cutoff, pages_in_all: pages.len(), pages, total, noun, when })
    }

    /// The title of the page that goes next.
    pub(super) fn title_of(&self, page: &DigestPage) -> String {
        title(self.noun, self.total, &self.when, page.number, self.pages_in_all, page.lines.len())
    }
}

/// A notice as one line: an event's title, or how a run went, step by step.
fn line_of(notice: &WaitingNotice) -> String {
    if notice.kind == NoticeKind::Event {
        return notice.message.title.clone();
    }
    let steps: Vec<String> = notice.message.lines.iter().map(|line| one_line(line)).collect();
    clip_chars(&format!("{} {}", notice.message.title, steps.join(", ")), RUN_CHARS_MAX)
}

fn title(noun: [&str; 2], total: usize, when: &str, page: usize, pages: usize, here: usize) -> String {
    let [one, many] = noun;
    match (pages, here) {
        (1, _) => format!("{total} more {many} {when}"),
        (_, 1) => format!("{total} more {many} {when} ({page} of {pages}: 1 {one})"),
        _ => format!("{total} more {many} {when} ({page} of {pages}: {here} {many})"),
    }
}

fn told_since(oldest: Timestamp, now: Timestamp) -> String {
    let age = Duration::try_from(now.duration_since(oldest)).unwrap_or_default();
    if age > RECENT {
        return format!("since {} UTC", oldest.strftime("%Y-%m-%d %H:%M"));
    }
    match age.as_millis().div_ceil(1000) {
        0 | 1 => "in the last second".to_owned(),
        seconds => format!("in the last {seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_counts_the_whole_the_page_and_the_time() {
        let start = Timestamp::from_second(1_700_000_000).expect("in range");
        let soon = told_since(start, start + Duration::from_millis(9_050));
        assert_eq!(title(EVENTS, 295, &soon, 1, 6, 52), "295 more events in the last 10 seconds (1 of 6: 52 events)");
        assert_eq!(title(EVENTS, 2, &told_since(start, start), 1, 1, 2), "2 more events in the last second");
        let late = told_since(start, start + Duration::from_secs(7200));
        assert_eq!(title(EVENTS, 500, &late, 2, 2, 1), "500 more events since 2023-11-14 22:13 UTC (2 of 2: 1 event)");
    }
}
