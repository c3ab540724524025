//! What cannot be reached through the trait: a store that fails, a writer that panics, the log's bound, migrations, and
//! that the statements which matter use their indexes.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, ffi};
use tempfile::TempDir;
use ulid::Ulid;

use super::tx::WriteError;
use super::{OpenError, SqliteLedger, SqliteOptions, migrate, open};
use crate::domain::event::{EventStatus, Verdict};
use crate::domain::ids::EventId;
use crate::ledger::{EventFilter, Ingested, Ledger, LedgerError, NewEvent, RunLedger};
use crate::ports::Clock;

#[derive(Debug)]
struct StoppedClock;

#[async_trait]
impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    async fn sleep_until(&self, _: Timestamp) {}
}

fn fresh() -> (TempDir, Arc<SqliteLedger>) {
    let dir = TempDir::new().expect("a temporary folder");
    let ledger = SqliteLedger::open(options(dir.path())).expect("opened");
    (dir, ledger)
}

fn options(dir: &Path) -> SqliteOptions {
    SqliteOptions::new(dir.join("ledger.db"), Arc::new(StoppedClock))
}

fn id(n: u64) -> EventId {
    EventId::new(Ulid::from_parts(n, 1))
}

fn event(n: u64, body_bytes: usize) -> NewEvent {
    NewEvent {
        id: id(n),
        handler: "github".parse().expect("valid"),
        provider: "github".into(),
        event: "push".into(),
        delivery_id: None,
        delivery_key: None,
        verdict: Verdict::Valid,
        status: EventStatus::Accepted,
        reason: None,
        received_at: Timestamp::UNIX_EPOCH,
        client_ip: [192, 0, 2, 7].into(),
        headers: Vec::new(),
        body: Bytes::from(vec![b'x'; body_bytes]),
        body_sha256: [0; 32],
        payload: None,
    }
}

async fn exists(ledger: &SqliteLedger, n: u64) -> bool {
    ledger.event(id(n)).await.expect("read").is_some()
}

fn unavailable<T: std::fmt::Debug>(outcome: Result<T, LedgerError>) {
    assert!(matches!(outcome, Err(LedgerError::Unavailable(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_keeps_nothing_and_passes() {
    let (_dir, ledger) = fresh();
    let limit = async |pages: i64| {
        ledger
            .write(0, move |tx| {
                let used: i64 = tx.conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
                tx.conn.pragma_update_and_check(None, "max_page_count", used + pages, |_| Ok(()))?;
                Ok(())
            })
            .await
            .expect("set");
    };
    limit(2).await;
    unavailable(ledger.ingest(event(1, 100_000)).await);
    unavailable(ledger.ingest(event(2, 100_000)).await);
    limit(1000).await;
    assert_eq!(ledger.ingest(event(3, 100_000)).await, Ok(Ingested::Kept));
    assert_eq!((exists(&ledger, 1).await, exists(&ledger, 2).await, exists(&ledger, 3).await), (false, false, true));
    assert_eq!(ledger.stats().await.expect("stats").events["accepted"], 1);
}

#[tokio::test]
async fn after_an_io_error_the_file_is_opened_anew_before_anything_is_acknowledged() {
    let (dir, ledger) = fresh();
    assert_eq!(ledger.ingest(event(1, 10)).await, Ok(Ingested::Kept));
    let failing = |_: &mut super::Tx<'_>| -> Result<(), WriteError> {
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None).into())
    };
    let (failed, neighbour) = tokio::join!(ledger.write(0, failing), ledger.ingest(event(2, 10)));
    unavailable(failed);
    assert_eq!(neighbour.is_ok(), exists(&ledger, 2).await);
    // Somebody who reads the failed log keeps it from beginning anew: nothing is acknowledged until they are done.
    assert_eq!(ledger.ingest(event(3, 10)).await, Ok(Ingested::Kept));
    let reader = open::reader(&dir.path().join("ledger.db")).expect("opened");
    reader.execute_batch("BEGIN; SELECT * FROM events").expect("reads");
    assert_eq!(ledger.ingest(event(4, 10)).await, Ok(Ingested::Kept));
    unavailable(ledger.write(0, failing).await);
    unavailable(ledger.ingest(event(5, 10)).await);
    drop(reader);
    assert_eq!(ledger.ingest(event(6, 10)).await, Ok(Ingested::Kept));
    for (n, kept) in [(1, true), (3, true), (4, true), (5, false), (6, true)] {
        assert_eq!(exists(&ledger, n).await, kept, "{n}");
    }
}

#[tokio::test]
async fn a_writer_that_panics_answers_everybody() {
    let (_dir, ledger) = fresh();
    let panics = ledger.write(0, |_| -> Result<(), WriteError> { panic!("on purpose, in a test") });
    let (panicked, neighbour) = tokio::join!(panics, ledger.ingest(event(1, 10)));
    unavailable(panicked);
    if neighbour != Ok(Ingested::Kept) {
        unavailable(neighbour);
    }
    unavailable(ledger.ingest(event(2, 10)).await);
    assert!(!exists(&ledger, 2).await, "reading goes on");
    unavailable(ledger.close().await);
}

#[tokio::test]
async fn a_command_that_fails_half_way_leaves_nothing_behind() {
    let (_dir, ledger) = fresh();
    let half = ledger.write(0, |tx| {
        let seq = tx.take_seq();
        tx.execute("INSERT INTO jobs (event_seq, due_at) VALUES (?1, 0)", [seq])?;
        Err::<(), _>(LedgerError::Invalid("changed its mind".into()).into())
    });
    let (half, whole) = tokio::join!(half, ledger.ingest(event(1, 10)));
    assert_eq!(half, Err(LedgerError::Invalid("changed its mind".into())));
    assert_eq!(whole, Ok(Ingested::Kept));
    assert_eq!(ledger.stats().await.expect("stats").queue_depth, 1);
}

#[tokio::test]
async fn the_log_stays_bounded_however_much_is_written() {
    let (dir, ledger) = fresh();
    const BODY_BYTES: usize = 1 << 20;
    const LOG_BYTES_MAX: u64 = 64 << 20;
    for n in 0..40 {
        let four = (0..4).map(|m| ledger.ingest(event(n * 4 + m, BODY_BYTES)));
        let kept = futures::future::join_all(four).await;
        assert!(kept.iter().all(|outcome| *outcome == Ok(Ingested::Kept)), "{kept:?}");
        let log = std::fs::metadata(dir.path().join("ledger.db-wal")).expect("there").len();
        assert!(log <= LOG_BYTES_MAX, "{log} bytes of log");
    }
    ledger.close().await.expect("closed");
    let log = std::fs::metadata(dir.path().join("ledger.db-wal")).map_or(0, |file| file.len());
    assert_eq!(log, 0, "closing leaves no log");
}

#[tokio::test]
async fn a_damaged_search_index_is_made_anew_and_misses_nobody_meanwhile() {
    let (dir, ledger) = fresh();
    let indexed = async |ledger: &SqliteLedger| while ledger.index().await.expect("indexed") > 0 {};
    for n in 1..=50 {
        ledger.ingest(event(n, 2000)).await.expect("kept");
    }
    indexed(&ledger).await;
    ledger.close().await.expect("closed");
    drop(ledger);
    let path = super::search::path(&dir.path().join("ledger.db"));
    let mut bytes = std::fs::read(&path).expect("read");
    // The header and the schema stay whole.
    bytes[2 * 4096..].fill(0xAA);
    std::fs::write(&path, &bytes).expect("written");

    let ledger = SqliteLedger::open(options(dir.path())).expect("opened");
    let named = EventFilter { handler: Some("github".into()), limit: 100, ..EventFilter::default() };
    let found = async |filter: &EventFilter| ledger.events(filter.clone()).await.expect("listed").items.len();
    assert_eq!(found(&named).await, 50);
    let searched = EventFilter { search: Some("push".into()), ..named.clone() };
    assert_eq!(found(&searched).await, 50);
    let counted = ledger.overview(Timestamp::UNIX_EPOCH).await.expect("answered").minutes;
    assert_eq!(counted.iter().map(|minute| minute.count).sum::<u64>(), 50);
    ledger.ingest(event(51, 10)).await.expect("kept");
    indexed(&ledger).await;
    let index = Connection::open(&path).expect("opened");
    let postings: i64 = index.query_row("SELECT count(*) FROM postings", (), |row| row.get(0)).expect("whole");
    assert_eq!(postings, 2 * 51, "each event under its handler and its type");
    assert_eq!((found(&named).await, found(&searched).await), (51, 51));
}

#[tokio::test]
async fn a_query_without_end_is_stopped() {
    let (_dir, ledger) = fresh();
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let answer = ledger.query(endless, 10).await;
    assert!(matches!(&answer, Err(LedgerError::Invalid(reason)) if reason.contains("too long")), "{answer:?}");
    assert_eq!(ledger.query("SELECT 1", 1).await.expect("read").rows.len(), 1);
}

#[tokio::test]
async fn the_statements_that_matter_use_their_indexes() {
    let (dir, ledger) = fresh();
    ledger.ingest(event(1, 10)).await.expect("kept");
    let conn = open::reader(&dir.path().join("ledger.db")).expect("opened");
    let plan = |sql: &str| -> String {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("valid");
        let count = statement.parameter_count();
        let rows = statement.query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get::<_, String>(3));
        rows.expect("explained").collect::<Result<Vec<_>, _>>().expect("explained").join("; ")
    };
    let list = |status| super::list::sql_of(&conn, &EventFilter { status: Some(status), ..Default::default() });
    for (sql, index) in [
        (super::jobs::DUE.to_owned(), "jobs_due"),
        (super::digests::EARLIER.to_owned(), "events_received"),
        (super::digests::LOST.to_owned(), "notices_lost"),
        (super::prune::OLDEST.to_owned(), "events_received"),
        (super::refused::OLDEST.to_owned(), "events_unusual"),
        (super::waiting::NOTICES.to_owned(), "notices_waiting"),
        (super::waiting::NOTICES_APART.to_owned(), "notices_waiting_apart"),
        (super::waiting::CHATS.to_owned(), "notices_waiting"),
        (super::runs::DUE.to_owned(), "runs_due"),
        (super::runs::NEXT_DUE.to_owned(), "approvals_wake"),
        (super::runs::EXPIRES.to_owned(), "event_waits_expire"),
        (super::runs::cards_sql(), "approvals_cards"),
        (super::models::SPENT.to_owned(), "model_calls_at"),
        (super::models::EVENT_TOKENS.to_owned(), "model_calls_event"),
        (super::summaries::WANTED.to_owned(), "notice_summaries_wanted"),
        (super::summaries::READY.to_owned(), "notice_summaries_ready"),
        (super::summaries::OF_MESSAGE.to_owned(), "notices_message"),
        (super::overview::OUTBOX.to_owned(), "COVERING INDEX notices_lost"),
        (list(EventStatus::Rejected), "events_unusual"),
        (list(EventStatus::Failed), "events_unusual"),
    ] {
        let plan = plan(&sql);
        assert!(plan.contains(index), "{sql}: {plan}");
        assert!(!plan.contains("SCAN e ") && !plan.ends_with("SCAN e"), "{sql}: {plan}");
    }
    let newest_first = plan(&list(EventStatus::Processed));
    assert!(!newest_first.contains("TEMP B-TREE"), "{newest_first}");
}

#[tokio::test]
async fn statements_are_compiled_once_whatever_is_bound_to_them() {
    let (dir, ledger) = fresh();
    ledger.ingest(event(1, 10)).await.expect("kept");
    let conn = open::reader(&dir.path().join("ledger.db")).expect("opened");
    for sql in [
        "SELECT seq FROM event_waits WHERE handler = ?1 AND state = 'waiting'",
        "SELECT e.seq FROM events e JOIN event_bodies b ON b.event_seq = e.seq WHERE e.seq = ?1",
        super::waiting::NOTICES,
    ] {
        let mut statement = conn.prepare(sql).expect("valid");
        let count = statement.parameter_count();
        for value in 1..4 {
            let rows = statement.query_map(rusqlite::params_from_iter(vec![value; count]), |_| Ok(()));
            rows.expect("asked").for_each(|row| row.expect("read"));
        }
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0, "{sql}");
    }
}

/// Rows as each version's program wrote them, one text per migration.
const SAMPLES: &[&str] = &["
    INSERT INTO events (seq, id, handler, provider, event, delivery_id, verdict, status, received_at, committed_at,
        processed_at, client_ip, body_bytes, body_sha256, title, severity)
    VALUES (1, 'evt_00000000010000000000000001', 'github', 'github', 'push', 'd-1', 'valid', 'processed', 1, 2, 3,
        '192.0.2.7', 2, zeroblob(32), 'alice pushed', 'info');
    INSERT INTO event_bodies (event_seq, headers, body) VALUES (1, '{\"a\":\"1\"}', x'7b7d');
    INSERT INTO deliveries VALUES (zeroblob(16), 1);
    INSERT INTO jobs (event_seq, due_at) VALUES (9, 1);
    INSERT INTO notices (id, event_seq, kind, chat, state, created_at, message)
    VALUES ('ntc_00000000010000000000000001', 1, 'event', 'telegram:1', 'sent', 3,
        '{\"title\":\"alice pushed\",\"severity\":\"info\"}');
    INSERT INTO inbound VALUES ('telegram', 10, '{}', 1, 0);
    INSERT INTO event_log (event_seq, at, what) VALUES (1, 2, 'retried');
    INSERT INTO handlers_seen VALUES ('github', 1);
    INSERT INTO counters VALUES ('events.processed', 1);
", "
    INSERT INTO definitions VALUES ('sha256:1', 'w', 'name: w', 1);
    INSERT INTO runs (seq, id, workflow, workflow_hash, event_id, source, started_by, depth, state, queued, started_at)
    VALUES (1, 'run_00000000010000000000000001', 'w', 'sha256:1', 'evt_00000000010000000000000001', 'event', 'x', 0,
        'waiting', 0, 4);
    INSERT INTO run_contexts VALUES (1, '{\"payload\":{},\"event\":null,\"facts\":null,\"inputs\":null}');
    INSERT INTO run_steps (run_seq, key, pos, name, tool, kind, state, attempt, truncated, tainted, revision, epoch)
    VALUES (1, 'a', 1, 'a', 'notify', 'tool', 'waiting', 0, 0, 0, 1, 0);
    INSERT INTO approvals (seq, id, run_seq, step_key, kind, state, action, digest, approvers, votes_needed,
        requested_at, card_at)
    VALUES (1, 'apr_00000000010000000000000001', 1, 'a', 'gate', 'pending',
        '{\"tool\":\"notify\",\"args\":{},\"cwd\":null,\"env\":{},\"stdin_sha256\":null,\"files\":[],\"workflow\":\"w\",\"workflow_hash\":\"sha256:1\",\"run\":\"run_00000000010000000000000001\",\"step\":\"a\",\"revision\":1,\"tainted\":[]}',
        'sha256:2', '[\"oncall\"]', 1, 5, 5);
    INSERT INTO approval_votes VALUES (1, 'telegram:1', 'telegram', 'approve', NULL, 6);
    INSERT INTO approval_nonces VALUES (zeroblob(32), 1, 'deny', 6, NULL);
    INSERT INTO approval_cards (approval_seq, chat, message_id, sent_at) VALUES (1, 'telegram:1', 7, 6);
    INSERT INTO event_waits (run_seq, step_key, handler, events, state) VALUES (1, 'b', 'github', '[]', 'waiting');
    INSERT INTO memories (id, section, fact, key, at) VALUES (1, 'ops', 'the cat is out', 'k', 6);
    INSERT INTO memories_text (rowid, section, fact) VALUES (1, 'ops', 'the cat is out');
", "
    INSERT INTO model_calls (at, purpose, model, event_id, tokens_in, tokens_out, micro_usd, outcome)
    VALUES (3, 'summary', 'openai/gpt-4o-mini', 'evt_00000000010000000000000001', 10, 5, 7, 'done');
    INSERT INTO notice_summaries (notice_seq, state, wanted_at) VALUES (1, 'wanted', 3);
", "
    INSERT INTO chat_sessions (seq, chat, started_at) VALUES (1, 'telegram:1', 7);
    INSERT INTO chat_turns (seq, id, session_seq, key, kind, person, text, about, state, at)
    VALUES (1, 'turn_00000000010000000000000001', 1, 'telegram:10', 'said', 'telegram:1', 'hello',
        '[\"evt_00000000010000000000000001\"]', 'waiting', 7);
    INSERT INTO chat_messages (session_seq, turn_seq, body, tainted, at) VALUES (1, 1, '{\"said\":\"hi\"}', 1, 7);
    INSERT INTO chat_actions (run_id, session_seq, turn_seq, tool, at)
    VALUES ('run_00000000010000000000000001', 1, 1, 'notify', 7);
    INSERT INTO mutes (handler, made_by, made_at) VALUES ('github', 'local admin', 7);
", "
    INSERT INTO schedules VALUES ('workflow:w', '0 9 * * * UTC', 1, 2, 1);
    INSERT INTO digests VALUES (3, 4, 1, 1);
    INSERT INTO trace_queue (kind, ref) VALUES ('event', 1);
", "
    INSERT INTO notices (id, kind, chat, state, created_at, message)
    VALUES ('ntc_00000000010000000000000002', 'outcome', 'telegram:1', 'failed', 8,
        '{\"title\":\"it failed\",\"severity\":\"info\"}');
", "
    INSERT INTO counters VALUES ('notices.sent', 1);
"];

#[tokio::test]
async fn rows_of_every_version_survive_the_migrations_after_it() {
    assert_eq!(SAMPLES.len(), migrate::MIGRATIONS.len(), "each migration brings a sample");
    for version in 1..=SAMPLES.len() {
        let dir = TempDir::new().expect("a temporary folder");
        let path = dir.path().join("ledger.db");
        let mut conn = Connection::open(&path).expect("opened");
        migrate::apply(&mut conn, &path, &migrate::MIGRATIONS[..version]).expect("migrated");
        SAMPLES[..version].iter().for_each(|sample| conn.execute_batch(sample).expect("inserted"));
        drop(conn);
        if version < SAMPLES.len() {
            let error = SqliteLedger::open_read_only(&path).expect_err("older");
            assert!(matches!(error, OpenError::Older { .. }), "{error}");
        }
        let ledger = SqliteLedger::open(options(dir.path())).expect("migrated to the newest");
        let detail = ledger.event(id(1)).await.expect("read").expect("there");
        assert_eq!(detail.row.title.as_deref(), Some("alice pushed"));
        assert_eq!((detail.row.notices.len(), detail.timeline.len()), (1, 6));
        assert_eq!(ledger.inbound_waiting("telegram", 9).await.expect("read").len(), 1);
        assert_eq!(ledger.stats().await.expect("stats").events["processed"], 1);
        if version >= 2 {
            assert_eq!(detail.row.runs.len(), 1);
            let cards = ledger.cards_due(10).await.expect("read");
            assert_eq!((cards[0].approval.decisions.len(), cards[0].places.len()), (1, 1));
            assert_eq!(ledger.recall("cats or cat", None, 10).await.expect("found").len(), 1);
            assert_eq!(ledger.event_waits("github", 0, 9).await.expect("read").len(), 1);
        }
    }
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join("ledger.db");
    let mut conn = Connection::open(&path).expect("opened");
    let migrations = [migrate::MIGRATIONS[0], "CREATE TABLE half (a); INSERT INTO nowhere VALUES (1)"];
    migrate::apply(&mut conn, &path, &migrations).expect_err("nowhere is no table");
    let tables: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'half'", (), |row| row.get(0)).expect("read");
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).expect("read");
    assert_eq!((tables, version), (0, 1));
}
