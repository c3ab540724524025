//! Fills a ledger with settled events faster than the agent could: straight into the tables, without durability.
//!
//! What it writes is what the agent leaves behind after an event's whole life (event, body, delivery key, a notice that
//! was sent, counters). It is a tool of this bench and no path of the agent; it follows the schema of `migrations/` by hand.

use std::path::Path;
use std::time::Duration;

use hookhand::domain::notice::{ChatKey, Message};
use hookhand::ports::{Clock, SystemClock};
use rusqlite::Connection;

/// How old what retention deletes is at least.
pub(crate) const OLD: Duration = Duration::from_secs(90 * 24 * 3600);
/// Events in one transaction.
const SLICE: u64 = 250_000;
/// Page cache while filling, in KiB: delivery keys come in random order.
const CACHE_KIB: i64 = 1024 * 1024;

/// The events from the `?1`-th to the `?2`-th; `?3` is the time of the first, each comes `?4` milliseconds after the one before.
const EVENTS: &str = "
    WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
    INSERT INTO events (seq, id, handler, provider, event, delivery_id, delivery_key, verdict, status, received_at,
        committed_at, processed_at, client_ip, body_bytes, body_sha256, title, url, subject, severity)
    SELECT i, printf('evt_01%024d', i), 'github', 'github', 'pull_request.opened',
        printf('72d3162e-cc78-11e3-81ab-%012x', i), randomblob(16), 'valid', 'processed', ?3 + i * ?4, ?3 + i * ?4 + 2,
        ?3 + i * ?4 + 5, '192.0.2.7', 150, randomblob(32), 'octocat opened pull request #42 «Faster» in acme/shop',
        'https://github.com/acme/shop/pull/42', 'acme/shop#42', 'info'
    FROM n";
const BODIES: &str = r#"
    INSERT INTO event_bodies (event_seq, headers, body)
    SELECT seq, '{"content-type":"application/json","x-github-event":"pull_request"}',
        CAST(printf('{"action":"opened","number":%d,"repository":{"full_name":"acme/shop"},"sender":{"login":"octocat"}}', seq)
            AS BLOB)
    FROM events WHERE seq BETWEEN ?1 AND ?2"#;
const DELIVERIES: &str = "
    INSERT INTO deliveries (key, event_seq)
    SELECT delivery_key, seq FROM events WHERE seq BETWEEN ?1 AND ?2 ORDER BY delivery_key";
const NOTICES: &str = "
    INSERT INTO notices (id, event_seq, kind, chat, state, attempts, created_at, began_at, sent_at, message_id, message)
    SELECT printf('ntc_01%024d', seq), seq, 'event', ?3, 'sent', 1, processed_at, processed_at, processed_at + 80, seq, ?4
    FROM events WHERE seq BETWEEN ?1 AND ?2";

/// Writes `count` events, the first `old` of them older than [`OLD`]; the bytes of the file.
pub(crate) fn fill(path: &Path, count: u64, old: u64) -> u64 {
    if count > 0 {
        write(path, count, old).expect("filled");
    }
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn write(path: &Path, count: u64, old: u64) -> rusqlite::Result<()> {
    let conn = Connection::open(path)?;
    for (name, value) in [("locking_mode", "EXCLUSIVE"), ("journal_mode", "OFF"), ("synchronous", "OFF")] {
        conn.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            other => Err(other),
        })?;
    }
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    let whole = |number: u64| i64::try_from(number).expect("far below 2^63");
    let now = SystemClock.now().as_millisecond();
    // The old ones lie in the day before, the others in the time since.
    let (day, kept) = (24 * 3_600_000, i64::try_from(OLD.as_millis()).expect("90 days"));
    let parts = [
        (0, old, now - kept - day, day / whole(old).max(1)),
        (old, count, now - kept + day, (kept - day) / whole(count - old).max(1)),
    ];
    let (chat, message) = (
        ChatKey::telegram(123_456_789, None),
        serde_json::to_string(&Message::title("octocat opened pull request #42 «Faster» in acme/shop")).expect("JSON"),
    );
    for (first, end, from, step) in parts {
        let mut begun = first;
        while begun < end {
            let until = end.min(begun + SLICE);
            let (low, high) = (whole(begun + 1), whole(until));
            conn.execute_batch("BEGIN")?;
            conn.execute(EVENTS, (low, high, from - whole(first) * step, step))?;
            conn.execute(BODIES, (low, high))?;
            conn.execute(DELIVERIES, (low, high))?;
            conn.execute(NOTICES, (low, high, chat.as_str(), &message))?;
            conn.execute_batch("COMMIT")?;
            begun = until;
        }
    }
    conn.execute("INSERT INTO counters (name, value) VALUES ('events.processed', ?1)", [whole(count)])?;
    conn.execute("INSERT INTO handlers_seen (handler, last_at) VALUES ('github', ?1)", [now])?;
    let _mode: String = conn.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    mark_as_indexed(path, whole(count))
}

/// The search index is made of the ledger afterwards and by itself; here it is taken as made, so that the agent does not spend
/// its idle time on it.
fn mark_as_indexed(path: &Path, newest: i64) -> rusqlite::Result<()> {
    let index = Connection::open(path.with_extension("search.db"))?;
    index.execute("INSERT OR REPLACE INTO marks (name, value) VALUES ('seq', ?1)", [newest])?;
    Ok(())
}
