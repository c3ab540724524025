//! Handing events in: as fast as they are kept, or at a pace.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookhand::domain::event::{DeliveryKey, EventStatus, HandlerName, Verdict};
use hookhand::domain::ids::EventId;
use hookhand::ledger::sqlite::SqliteLedger;
use hookhand::ledger::{Ledger, NewEvent};
use hookhand::ports::{Clock, Ids, RandomIds, SystemClock};

const BODY_BYTES: usize = 1500;

/// Delivery ids that were never used before in this process.
static NEXT: AtomicU64 = AtomicU64::new(1 << 40);

/// What a load found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Wall-clock time per event, in microseconds.
    pub(crate) wall_us: f64,
    /// Processor time of the writing thread per event, in microseconds.
    pub(crate) writer_us: f64,
    /// Bytes handed to the disk per event.
    pub(crate) written_bytes: f64,
    latencies: Vec<Duration>,
}

impl Found {
    /// The latency that `share` (0 to 1) of the events stayed under.
    pub(crate) fn at(&self, share: f64) -> Duration {
        self.latencies[((self.latencies.len() - 1) as f64 * share) as usize]
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events, {:.1} µs each, {:.1} of the writer's CPU, p50 {:.1?}, p99 {:.1?}, max {:.1?}",
            self.latencies.len(),
            self.wall_us,
            self.writer_us,
            self.at(0.5),
            self.at(0.99),
            self.at(1.0),
        )
    }
}

fn new_event(ids: &RandomIds, handler: &HandlerName, body: &Bytes) -> NewEvent {
    let now = SystemClock.now();
    let delivery_id = format!("72d3162e-cc78-11e3-81ab-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed));
    let headers = [
        ("host", "hooks.example.com"),
        ("user-agent", "GitHub-Hookshot/044aadd"),
        ("content-type", "application/json"),
        ("x-github-event", "pull_request"),
        ("x-github-delivery", &delivery_id),
        ("x-hub-signature-256", "sha256=***"),
    ];
    NewEvent {
        id: EventId::new(ids.ulid(now)),
        handler: handler.clone(),
        provider: "github".into(),
        event: "pull_request.opened".into(),
        delivery_key: Some(DeliveryKey::new(handler, &delivery_id)),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        delivery_id: Some(delivery_id),
        verdict: Verdict::Valid,
        status: EventStatus::Accepted,
        reason: None,
        received_at: now,
        client_ip: [192, 0, 2, 7].into(),
        body: body.clone(),
        body_sha256: [7; 32],
        payload: None,
    }
}

/// Processor time of the writing thread so far, in nanoseconds.
fn writer_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let writer = tasks.filter(|task| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "ledger-writer")
    });
    let spent = writer.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    spent.filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// Bytes that this process has handed to the disk.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")).and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// Hands in `count` events from `clients` tasks, each the next when the last is kept.
pub(crate) async fn ingest(ledger: &Arc<SqliteLedger>, ids: &Arc<RandomIds>, count: u64, clients: u64) -> Found {
    let left = Arc::new(AtomicU64::new(0));
    run(ledger, ids, clients, None, move || left.fetch_add(1, Ordering::Relaxed) < count).await
}

/// Hands in `rate` events a second until `stop`. Time counts from when an event was due.
pub(crate) async fn paced(
    ledger: &Arc<SqliteLedger>,
    ids: &Arc<RandomIds>,
    rate: f64,
    clients: u64,
    stop: Arc<AtomicBool>,
) -> Found {
    run(ledger, ids, clients, Some(rate), move || !stop.load(Ordering::Relaxed)).await
}

async fn run(
    ledger: &Arc<SqliteLedger>,
    ids: &Arc<RandomIds>,
    clients: u64,
    rate: Option<f64>,
    goes_on: impl Fn() -> bool + Clone + Send + 'static,
) -> Found {
    let (begun, cpu, bytes) = (Instant::now(), writer_ns(), written());
    let interval = rate.map(|rate| Duration::from_secs_f64(clients as f64 / rate));
    let mut tasks = Vec::new();
    for client in 0..clients {
        let (ledger, ids, goes_on) = (Arc::clone(ledger), Arc::clone(ids), goes_on.clone());
        tasks.push(tokio::spawn(async move {
            let handler: HandlerName = "github".parse().expect("valid");
            let body = Bytes::from(format!(r#"{{"x":"{}"}}"#, "a".repeat(BODY_BYTES)));
            let mut latencies = Vec::new();
            let mut due = begun + interval.map_or(Duration::ZERO, |wait| wait.mul_f64(client as f64 / clients as f64));
            while goes_on() {
                let from = match interval {
                    None => Instant::now(),
                    Some(wait) => {
                        tokio::time::sleep_until(due.into()).await;
                        let from = due;
                        due += wait;
                        from
                    }
                };
                ledger.ingest(new_event(&ids, &handler, &body)).await.expect("kept");
                latencies.push(from.elapsed());
            }
            latencies
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("ran"));
    }
    latencies.sort();
    let count = latencies.len() as f64;
    Found {
        wall_us: begun.elapsed().as_secs_f64() * 1e6 / count,
        writer_us: (writer_ns() - cpu) as f64 / 1000.0 / count,
        written_bytes: (written() - bytes) as f64 / count,
        latencies,
    }
}
