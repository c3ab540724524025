//! Between rows and types: columns in one order, words and times read back with an error instead of a guess.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;

use crate::domain::event::EventStatus;
use crate::domain::ids::EventId;
use crate::domain::notice::{ChatKey, NoticeState};
use crate::ledger::{EventRow, NoticeRow};

/// The columns that [`event_row`] reads, of `events e`.
pub(super) const EVENT_COLUMNS: &str = "e.seq, e.id, e.handler, e.provider, e.event, e.delivery_id, e.verdict, \
     e.status, e.reason, e.received_at, e.processed_at, e.client_ip, e.body_bytes, hex(e.body_sha256), e.title, e.url, \
     e.subject, e.severity, e.replay_of";

/// The columns that [`notice_row`] reads, of `notices n`.
pub(super) const NOTICE_COLUMNS: &str =
    "n.event_seq, n.id, n.chat, n.state, n.message_id, n.attempts, n.sent_at, n.error";

/// Reads an event without its notices, and its `seq`.
pub(super) fn event_row(row: &Row<'_>) -> rusqlite::Result<(i64, EventRow)> {
    let sha256: String = row.get(13)?;
    let event = EventRow {
        id: word(row, 1)?,
        handler: row.get(2)?,
        provider: row.get(3)?,
        event: row.get(4)?,
        delivery_id: row.get(5)?,
        verdict: word_opt(row, 6)?,
        status: word(row, 7)?,
        reason: row.get(8)?,
        received_at: time(row, 9)?,
        processed_at: time_opt(row, 10)?,
        client_ip: row.get(11)?,
        body_bytes: row.get::<_, i64>(12)?.unsigned_abs(),
        body_sha256: (!sha256.is_empty()).then(|| sha256.to_ascii_lowercase()),
        title: row.get(14)?,
        url: row.get(15)?,
        subject: row.get(16)?,
        severity: word_opt(row, 17)?,
        replay_of: word_opt::<EventId>(row, 18)?,
        notices: Vec::new(),
        runs: Vec::new(),
    };
    Ok((row.get(0)?, event))
}

/// Reads a notice and the `seq` of its event.
pub(super) fn notice_row(row: &Row<'_>) -> rusqlite::Result<(i64, NoticeRow)> {
    let chat = ChatKey::from_stored(row.get(2)?);
    let notice = NoticeRow {
        id: word(row, 1)?,
        channel: chat.channel().to_owned(),
        chat,
        state: notice_state(row, 3)?,
        message_id: row.get(4)?,
        attempts: row.get(5)?,
        sent_at: time_opt(row, 6)?,
        error: row.get(7)?,
    };
    Ok((row.get(0)?, notice))
}

/// `sending` is ours alone; outside it is `pending` still.
fn notice_state(row: &Row<'_>, index: usize) -> rusqlite::Result<NoticeState> {
    let text: String = row.get(index)?;
    if text == "sending" { Ok(NoticeState::Pending) } else { parse(&text, index) }
}

/// A word, id or address that is written as text.
pub(super) fn word<T: FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    parse(row.get_ref(index)?.as_str()?, index)
}

/// The same where it may be missing.
pub(super) fn word_opt<T: FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get_ref(index)?.as_str_or_null()?.map(|text| parse(text, index)).transpose()
}

fn parse<T: FromStr>(text: &str, index: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(e)))
}

/// A time.
pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    timestamp(row.get(index)?, index)
}

/// A time that may be missing.
pub(super) fn time_opt(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(index)?.map(|ms| timestamp(ms, index)).transpose()
}

fn timestamp(ms: i64, index: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(ms)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, Type::Integer, Box::new(e)))
}

/// A duration in milliseconds; what is too long to write becomes the longest that can be added to a time.
pub(super) fn duration_ms(duration: Duration) -> i64 {
    const LONGEST_MS: i64 = 1000 * 365 * 24 * 3600 * 1000;
    i64::try_from(duration.as_millis()).unwrap_or(LONGEST_MS).min(LONGEST_MS)
}

/// A count as SQLite takes it.
pub(super) fn int(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whether events of this status were refused and have no whole body.
pub(super) fn is_refused(status: EventStatus) -> bool {
    match status {
        EventStatus::Rejected | EventStatus::Duplicate => true,
        EventStatus::Accepted | EventStatus::Ignored | EventStatus::Processed | EventStatus::Failed => false,
    }
}

/// Headers as the JSON object that is kept: a name that came more than once has an array.
pub(super) fn headers_to_json(headers: &[(String, String)]) -> String {
    let repeats = |at: usize| headers[..at].iter().any(|(name, _)| *name == headers[at].0);
    if !(1..headers.len()).any(repeats) {
        return serde_json::to_string(&Once(headers)).expect("texts are JSON");
    }
    let mut map = serde_json::Map::with_capacity(headers.len());
    for (name, value) in headers {
        let value = serde_json::Value::String(value.clone());
        match map.get_mut(name) {
            None => {
                map.insert(name.clone(), value);
            }
            Some(serde_json::Value::Array(values)) => values.push(value),
            Some(first) => *first = serde_json::Value::Array(vec![first.take(), value]),
        }
    }
    serde_json::Value::Object(map).to_string()
}

/// Headers of which no name comes twice, as nearly all requests have them.
struct Once<'a>(&'a [(String, String)]);

impl serde::Serialize for Once<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The kept headers as an object. What is not readable is no reason to withhold the event.
pub(super) fn headers_map(json: &str) -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(json).unwrap_or_default()
}

/// The kept headers as pairs; those of one name follow one another.
pub(super) fn headers_pairs(json: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, value) in headers_map(json) {
        match value {
            serde_json::Value::String(value) => pairs.push((name, value)),
            serde_json::Value::Array(values) => {
                let texts = values.into_iter().filter_map(|v| v.as_str().map(str::to_owned));
                pairs.extend(texts.map(|value| (name.clone(), value)));
            }
            other => pairs.push((name, other.to_string())),
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_headers_keep_all_their_values() {
        let headers = [("a", "1"), ("b", "x"), ("a", "2"), ("a", "3")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let json = headers_to_json(&headers);
        assert_eq!(json, r#"{"a":["1","2","3"],"b":"x"}"#);
        let order = [("a", "1"), ("a", "2"), ("a", "3"), ("b", "x")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(headers_pairs(&json), order);
        assert_eq!(headers_to_json(&headers[..2]), r#"{"a":"1","b":"x"}"#);
        assert_eq!(headers_to_json(&[]), "{}");
    }
}
