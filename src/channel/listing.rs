//! How answers in a chat show events, counts and times, and how one that is too long becomes several messages.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::notice::{Message, Severity};
use crate::domain::text::{clip_chars, one_line, pages, utf16_len};
use crate::ledger::{EventDetail, EventRow};

/// Longest title in a list, in characters.
pub(super) const LISTED_TITLE_CHARS_MAX: usize = 90;
/// Longest answer in one message, in UTF-16 units; a longer one is split.
const ANSWER_UNITS_MAX: usize = 3500;
/// Most messages of one answer.
const ANSWER_MESSAGES_MAX: usize = 5;

/// One event in one line of a list.
pub(super) fn listed(row: &EventRow, now: Timestamp) -> String {
    let what = row.title.clone().unwrap_or_else(|| {
        let event = row.event.as_deref().unwrap_or("request");
        format!("{}: {event} ({})", row.handler.as_deref().unwrap_or("unknown path"), row.status)
    });
    let recent = since(row.received_at, now) < Duration::from_secs(20 * 60 * 60);
    let at = row.received_at.strftime(if recent { "%H:%M" } else { "%Y-%m-%d %H:%M" });
    format!("{at}  {}  {}", clip_chars(&one_line(&what), LISTED_TITLE_CHARS_MAX), row.id)
}

/// Everything a person asks about one event.
pub(super) fn described(event: &EventDetail) -> Message {
    let row = &event.row;
    let kind = row.event.as_deref().unwrap_or("request");
    let handler = row.handler.as_deref().unwrap_or("unknown path");
    let mut lines = vec![format!("{}  {handler}: {kind}", row.id)];
    let mut status = format!("Status: {}", row.status);
    if let Some(reason) = row.reason.as_deref().and_then(|reason| reason.lines().next()) {
        let _ = write!(status, " ({reason})");
    }
    lines.push(status);
    if let Some(verdict) = row.verdict {
        lines.push(format!("Signature: {verdict}"));
    }
    if let Some(delivery) = &row.delivery_id {
        lines.push(format!("Delivery: {delivery}"));
    }
    if let Some(first) = row.replay_of {
        lines.push(format!("Repeats {first}"));
    }
    lines.push(format!("From {}, {} bytes", row.client_ip, row.body_bytes));
    lines.push("Timeline (UTC):".to_owned());
    for entry in &event.timeline {
        let mut line = format!("  {}  {}", entry.at.strftime("%Y-%m-%d %H:%M:%S"), entry.what);
        if let Some(detail) = &entry.detail {
            let _ = write!(line, ": {detail}");
        }
        lines.push(line);
    }
    let title = row.title.clone().unwrap_or_else(|| format!("{handler}: {kind}"));
    Message { title, lines, url: row.url.clone(), severity: row.severity.unwrap_or(Severity::Info) }
}

/// A message as several when it is too long for one.
pub(super) fn split(message: Message) -> Vec<Message> {
    let room = ANSWER_UNITS_MAX.saturating_sub(utf16_len(&message.title)).max(ANSWER_UNITS_MAX / 2);
    let mut parts = pages(&message.lines.join("\n"), room);
    if parts.len() == 1 {
        return vec![message];
    }
    if parts.len() > ANSWER_MESSAGES_MAX {
        parts.truncate(ANSWER_MESSAGES_MAX);
        if let Some(last) = parts.last_mut() {
            last.push_str("\n… the rest is too long for a chat");
        }
    }
    let all = parts.len();
    let part = |(index, text): (usize, String)| Message {
        title: format!("{} ({} of {all})", clip_chars(&message.title, ANSWER_UNITS_MAX / 4), index + 1),
        lines: text.lines().map(str::to_owned).collect(),
        url: message.url.clone().filter(|_| index + 1 == all),
        severity: message.severity,
    };
    parts.into_iter().enumerate().map(part).collect()
}

/// `3 events`.
pub(super) fn events(number: u64) -> String {
    count(number, "event")
}

/// `1 notice`, `2 notices`.
pub(super) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// The time between two moments; none when it would be negative.
pub(super) fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A duration in the two units that matter.
pub(super) fn told(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_is_several_messages_that_lose_no_line() {
        let lines: Vec<String> = (0..200).map(|i| format!("{i:03} {}", "x".repeat(60))).collect();
        let parts = split(Message { lines: lines.clone(), ..Message::title("All") });
        assert_eq!(parts[0].title, format!("All (1 of {})", parts.len()));
        assert!(parts.len() > 2 && parts.len() <= ANSWER_MESSAGES_MAX);
        let told: Vec<String> = parts.into_iter().flat_map(|part| part.lines).collect();
        assert_eq!(told, lines);
    }

    #[test]
    fn durations_read_well() {
        let told: Vec<String> = [5, 90, 11_520, 200_000].map(|s| told(Duration::from_secs(s))).into();
        assert_eq!(told, ["5 s", "1 min", "3 h 12 min", "2 d 7 h"]);
    }
}
