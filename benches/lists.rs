//! How fast lists, the search and the overview answer on a big ledger: `cargo bench --bench lists [events]`, by default a
//! million, in the temporary folder.
//!
//! It fills a ledger (ingest, claim, settle with a title), indexes it, and asks each question some times: the ledger itself,
//! and then the agent over HTTP. It prints the slowest and the middle answer, and fails when a list takes longer than 100 ms,
//! a search longer than 300 ms, or when a page with its style and script weighs 100 KB.

#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookhand::domain::event::{DeliveryKey, EventStatus, HandlerName, Verdict};
use hookhand::domain::ids::EventId;
use hookhand::domain::notice::Severity;
use hookhand::ledger::runs::{ApprovalFilter, RunFilter};
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ledger::{EventFilter, Ledger, NewEvent, RunLedger, Settled, Settlement};
use hookhand::ports::{Clock, Ids, RandomIds, SystemClock};

#[path = "lists/served.rs"]
mod served;

const EVENTS_DEFAULT: u64 = 1_000_000;
/// Events that are handed in at a time.
const AT_ONCE: u64 = 512;
/// How often each question is asked.
const ASKED: usize = 15;
const LIST_MAX: Duration = Duration::from_millis(100);
const SEARCH_MAX: Duration = Duration::from_millis(300);
const LEASE: Duration = Duration::from_secs(3600);
const WORDS: [&str; 16] = [
    "invoice", "deploy", "release", "login", "payment", "branch", "shop", "cart", "refund", "customer", "build",
    "pipeline", "alert", "disk", "memory", "timeout",
];
const KINDS: [(&str, &str); 5] = [
    ("github", "pull_request.opened"),
    ("github", "push"),
    ("stripe", "invoice.paid"),
    ("grafana", "alert.firing"),
    ("shop", "order.created"),
];

fn word(n: u64, salt: u64) -> &'static str {
    let mixed = (n ^ salt.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
    WORDS[usize::try_from(mixed).expect("24 bits") % WORDS.len()]
}

/// Every hundred thousandth event is of a handler, and holds a word, that no other has.
fn is_rare(n: u64) -> bool {
    n.is_multiple_of(100_000)
}

fn event(ids: &RandomIds, n: u64) -> NewEvent {
    let now = SystemClock.now();
    let (handler, event) = if is_rare(n) { ("rare", "needle.found") } else { KINDS[n as usize % KINDS.len()] };
    let handler: HandlerName = handler.parse().expect("valid");
    let delivery_id = format!("72d3162e-cc78-11e3-81ab-{n:012x}");
    let needle = if is_rare(n) { "zanzibar" } else { "usual" };
    let text: Vec<&str> = (0..40).map(|salt| word(n, salt)).collect();
    let body = format!(
        r#"{{"action":"opened","number":{n},"title":"{} {}","body":"{} {needle}","repository":{{"full_name":"acme/{}","html_url":"https://example.com/acme/{}"}},"sender":{{"login":"user{}"}},"sha":"{:040x}","filler":"{}"}}"#,
        word(n, 100),
        word(n, 101),
        text.join(" "),
        word(n, 102),
        word(n, 102),
        n % 5000,
        n.wrapping_mul(0x1234_5678_9abc_def1),
        "abcdefghij ".repeat(50),
    );
    NewEvent {
        id: EventId::new(ids.ulid(now)),
        provider: "custom".into(),
        event: event.into(),
        delivery_key: Some(DeliveryKey::new(&handler, &delivery_id)),
        handler,
        delivery_id: Some(delivery_id),
        verdict: Verdict::Valid,
        status: EventStatus::Accepted,
        reason: None,
        received_at: now,
        client_ip: [192, 0, 2, 7].into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: Bytes::from(body),
        body_sha256: [7; 32],
        payload: None,
    }
}

async fn fill(ledger: &Arc<SqliteLedger>, count: u64) {
    let ids = RandomIds::default();
    let mut n = 0;
    while n < count {
        let batch: Vec<_> = (n..count.min(n + AT_ONCE)).map(|n| ledger.ingest(event(&ids, n))).collect();
        n += AT_ONCE;
        for kept in futures::future::join_all(batch).await {
            kept.expect("kept");
        }
        let claimed = ledger.claim(SystemClock.now(), LEASE, AT_ONCE as usize).await.expect("claimed");
        let settled = claimed.iter().map(|job| Settlement {
            id: job.id,
            epoch: job.epoch,
            at: SystemClock.now(),
            outcome: Settled::Processed {
                summarize: false,
                title: format!("acme/shop: {} by somebody", job.event),
                url: None,
                subject: None,
                severity: Severity::Info,
                notices: Vec::new(),
            },
        });
        ledger.settle(settled.collect()).await.expect("settled");
    }
}

/// Asks `ASKED` times; prints and judges.
async fn ask<F, T>(name: &str, most: Duration, question: F) -> bool
where
    F: AsyncFn() -> T,
    T: std::fmt::Display,
{
    let mut took = Vec::new();
    let mut answer = String::new();
    for _ in 0..ASKED {
        let begun = Instant::now();
        answer = question().await.to_string();
        took.push(begun.elapsed());
    }
    took.sort();
    let (middle, slowest) = (took[ASKED / 2], took[ASKED - 1]);
    println!("{name:<44} middle {middle:>10.2?}  slowest {slowest:>10.2?}  {answer}");
    slowest <= most
}

fn main() {
    let count = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(EVENTS_DEFAULT);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("data")).expect("made");
    let path = dir.path().join("data/ledger.db");
    let good = runtime.block_on(async {
        let ledger = SqliteLedger::open(SqliteOptions::new(&path, Arc::new(SystemClock))).expect("opened");
        let begun = Instant::now();
        fill(&ledger, count).await;
        println!("{count} events filled in {:.1?}", begun.elapsed());
        let begun = Instant::now();
        while ledger.index().await.expect("indexed") > 0 {}
        let took = begun.elapsed();
        let size = |path: &std::path::Path| path.metadata().map_or(0, |meta| meta.len()) / (1024 * 1024);
        println!(
            "indexed in {took:.1?} ({:.0} a second); ledger {} MiB, index {} MiB",
            count as f64 / took.as_secs_f64(),
            size(&path),
            size(&path.with_extension("search.db"))
        );
        let good = questions(&ledger, count).await;
        let large = served::keep_a_large_event(&ledger).await;
        ledger.close().await.expect("closed");
        served::fill_besides(&path);
        good & served::questions(dir.path(), &large).await
    });
    assert!(good, "a question took too long");
}

async fn questions(ledger: &Arc<SqliteLedger>, count: u64) -> bool {
    let list = async |filter: EventFilter| {
        let page = ledger.events(filter).await.expect("listed");
        format!("{} rows{}", page.items.len(), if page.next.is_some() { ", more" } else { "" })
    };
    let all = EventFilter::default;
    let middle = Some(format!("s{:x}", count / 2));
    let hour = SystemClock.now() - Duration::from_secs(3600);
    let mut good = true;
    let lists = [
        ("newest", all()),
        ("the middle", EventFilter { cursor: middle.clone(), ..all() }),
        ("500 of them", EventFilter { limit: 500, ..all() }),
        ("a common handler", EventFilter { handler: Some("github".into()), ..all() }),
        ("a rare handler", EventFilter { handler: Some("rare".into()), ..all() }),
        ("a handler that is not there", EventFilter { handler: Some("nobody".into()), ..all() }),
        ("a common type", EventFilter { event: Some("pull_request".into()), ..all() }),
        ("a rare type", EventFilter { event: Some("needle".into()), ..all() }),
        (
            "a handler and another's type",
            EventFilter { handler: Some("stripe".into()), event: Some("push".into()), ..all() },
        ),
        ("failed", EventFilter { status: Some(EventStatus::Failed), ..all() }),
        (
            "processed, of a handler",
            EventFilter { status: Some(EventStatus::Processed), handler: Some("shop".into()), ..all() },
        ),
        ("of the last hour", EventFilter { since: Some(hour), ..all() }),
    ];
    for (name, filter) in lists {
        good &= ask(name, LIST_MAX, async || list(filter.clone()).await).await;
    }
    let searches = [
        ("a word that is in every event", "usual"),
        ("a word that is in ten", "zanzibar"),
        ("two common words", "refund timeout"),
        ("a common and a rare word", "usual zanzibar"),
        ("one event by its number", "777777"),
        ("part of a word", "anzib"),
        ("no word at all", "§§"),
        ("a word that is nowhere", "xylophone"),
    ];
    for (name, search) in searches {
        let filter = EventFilter { search: Some(search.into()), ..all() };
        good &= ask(&format!("search: {name}"), SEARCH_MAX, async || list(filter.clone()).await).await;
    }
    let rare = EventFilter { search: Some("usual".into()), handler: Some("rare".into()), ..all() };
    good &= ask("search: a common word, of a rare handler", SEARCH_MAX, async || list(rare.clone()).await).await;
    good &= ask("overview", LIST_MAX, async || {
        let overview = ledger.overview(hour).await.expect("read");
        format!("{} minutes", overview.minutes.len())
    })
    .await;
    good &= ask("runs", LIST_MAX, async || ledger.runs(RunFilter::default()).await.expect("listed").items.len()).await;
    good &= ask("approvals", LIST_MAX, async || {
        ledger.approvals(ApprovalFilter::default()).await.expect("listed").items.len()
    })
    .await;
    good
}
