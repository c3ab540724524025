//! How fast the ledger takes events, on a file in the temporary folder: `cargo bench --bench ledger [events] [clients]`.
//!
//! Two runs: ingest alone, and the whole life of an event (ingest, claim, settle with one notice, send). It prints rates,
//! the slowest percent of ingests, the log's greatest size and the process's memory; it asserts nothing.

#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookhand::domain::event::{DeliveryKey, EventStatus, HandlerName, Verdict};
use hookhand::domain::ids::{EventId, NoticeId};
use hookhand::domain::notice::{ChatKey, Message, NoticeKind, Severity};
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ledger::{Ledger, NewEvent, NewNotice, SendSettled, SendSettlement, Settled, Settlement};
use hookhand::ports::{Clock, Ids, RandomIds, SystemClock};

const BODY_BYTES: usize = 1500;
const LEASE: Duration = Duration::from_secs(60);

fn new_event(ids: &RandomIds, n: u64, handler: &HandlerName, body: &Bytes) -> NewEvent {
    let now = SystemClock.now();
    let delivery_id = format!("72d3162e-cc78-11e3-81ab-{n:012x}");
    NewEvent {
        id: EventId::new(ids.ulid(now)),
        handler: handler.clone(),
        provider: "github".into(),
        event: "pull_request.opened".into(),
        delivery_key: Some(DeliveryKey::new(handler, &delivery_id)),
        delivery_id: Some(delivery_id),
        verdict: Verdict::Valid,
        status: EventStatus::Accepted,
        reason: None,
        received_at: now,
        client_ip: [192, 0, 2, 7].into(),
        headers: [
            ("host", "hooks.example.com"),
            ("user-agent", "GitHub-Hookshot/044aadd"),
            ("content-type", "application/json"),
            ("x-github-event", "pull_request"),
            ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            ("x-hub-signature-256", "sha256=***"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        body: body.clone(),
        body_sha256: [7; 32],
        payload: None,
    }
}

/// Hands in `count` events from `clients` tasks and returns the sorted latencies.
async fn ingest(
    ledger: &Arc<SqliteLedger>,
    ids: &Arc<RandomIds>,
    first: u64,
    count: u64,
    clients: u64,
) -> Vec<Duration> {
    let next = Arc::new(AtomicU64::new(first));
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let (ledger, ids, next) = (ledger.clone(), ids.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            let handler: HandlerName = "github".parse().expect("valid");
            let body = Bytes::from(format!(r#"{{"x":"{}"}}"#, "a".repeat(BODY_BYTES)));
            let mut latencies = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= first + count {
                    return latencies;
                }
                let event = new_event(&ids, n, &handler, &body);
                let begun = Instant::now();
                ledger.ingest(event).await.expect("kept");
                latencies.push(begun.elapsed());
            }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("ran"));
    }
    all.sort();
    all
}

/// Works the queue and the outbox until `count` events are done.
async fn work(ledger: Arc<SqliteLedger>, ids: Arc<RandomIds>, count: u64) {
    let chat = ChatKey::terminal();
    let mut done = 0;
    while done < count {
        let jobs = ledger.claim(SystemClock.now(), LEASE, 64).await.expect("claimed");
        if jobs.is_empty() {
            ledger.changes().jobs.notified().await;
            continue;
        }
        done += jobs.len() as u64;
        let now = SystemClock.now();
        let settlements = jobs.iter().map(|job| {
            let title = "alice opened pull request #42 «Faster» in acme/shop";
            let notice = NewNotice {
                id: NoticeId::new(ids.ulid(now)),
                chat: chat.clone(),
                kind: NoticeKind::Event,
                event: Some(job.id),
                reply_to: None,
                message: Message::title(title),
                created_at: now,
            };
            let outcome = Settled::Processed {
                title: title.into(),
                url: Some("https://github.com/acme/shop/pull/42".into()),
                subject: Some("acme/shop#42".into()),
                severity: Severity::Info,
                notices: vec![notice],
                summarize: false,
            };
            Settlement { id: job.id, epoch: job.epoch, at: now, outcome }
        });
        ledger.settle(settlements.collect()).await.expect("settled");
        let waiting = ledger.notices_waiting(&chat, 64).await.expect("read");
        let waiting: Vec<_> = waiting.iter().map(|notice| notice.id).collect();
        ledger.begin_send(&waiting, now).await.expect("begun");
        let sent = |id: &NoticeId| SendSettlement {
            id: *id,
            at: now,
            outcome: SendSettled::Sent { message_id: None, digest: None },
        };
        ledger.settle_send(waiting.iter().map(sent).collect()).await.expect("sent");
    }
}

/// Processor time of the writing thread so far, in ticks of 10 ms: steadier than rates on a busy machine.
fn writer_ticks() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let writer = stats.filter(|stat| stat.contains("(ledger-writer)"));
    writer.map(|stat| stat.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>()).sum()
}

fn report(what: &str, latencies: &[Duration], took: Duration, path: &std::path::Path) {
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    let mib = |name: &str| std::fs::metadata(path.join(name)).map_or(0, |file| file.len() >> 20);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rss = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("VmRSS: unknown").to_owned();
    println!(
        "{what}: {:.0}/s, writer's CPU so far {} ms, p50 {:?}, p99 {:?}, max {:?}; db {} MiB, log {} MiB, {rss}",
        latencies.len() as f64 / took.as_secs_f64(),
        writer_ticks() * 10,
        at(0.5),
        at(0.99),
        at(1.0),
        mib("ledger.db"),
        mib("ledger.db-wal"),
    );
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let (count, clients): (u64, u64) = (numbers.next().unwrap_or(200_000), numbers.next().unwrap_or(64));
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let ids = Arc::new(RandomIds::default());
    let ledger =
        SqliteLedger::open(SqliteOptions::new(dir.path().join("ledger.db"), Arc::new(SystemClock))).expect("opened");

    for round in 0..4 {
        let begun = Instant::now();
        let latencies = ingest(&ledger, &ids, round * count / 4, count / 4, clients).await;
        report("ingest alone", &latencies, begun.elapsed(), dir.path());
    }
    ledger.close().await.expect("closed");

    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let ledger =
        SqliteLedger::open(SqliteOptions::new(dir.path().join("ledger.db"), Arc::new(SystemClock))).expect("opened");
    let begun = Instant::now();
    let worker = tokio::spawn(work(ledger.clone(), ids.clone(), count / 4));
    let latencies = ingest(&ledger, &ids, 0, count / 4, clients).await;
    report("beside the queue", &latencies, begun.elapsed(), dir.path());
    worker.await.expect("ran");
    println!("whole life: {:.0}/s", (count / 4) as f64 / begun.elapsed().as_secs_f64());
    ledger.close().await.expect("closed");
}
