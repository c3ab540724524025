//! The search index: it finds what the ledger holds, forgets what it does not, and is made anew when it is lost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookhand::domain::event::{EventStatus, Verdict};
use hookhand::domain::ids::EventId;
use hookhand::domain::notice::Severity;
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ledger::{EventFilter, Ledger, NewEvent, RefusedRequest, Settled, Settlement};
use jiff::Timestamp;
use ulid::Ulid;

use crate::harness::clock::FakeClock;

/// More events than those in which parts of words are found.
const MANY: u64 = 2500;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).expect("small")).expect("in range")
}

fn id(n: u64) -> EventId {
    EventId::new(Ulid::from_parts(1_800_000_000_000 + n, u128::from(n)))
}

fn event(n: u64, handler: &str, event: &str, body: &str) -> NewEvent {
    NewEvent {
        id: id(n),
        handler: handler.parse().expect("a name"),
        provider: "custom".into(),
        event: event.into(),
        delivery_id: None,
        delivery_key: None,
        verdict: Verdict::Valid,
        status: EventStatus::Accepted,
        reason: None,
        received_at: at(n),
        client_ip: [192, 0, 2, 1].into(),
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        body_sha256: [0; 32],
        payload: None,
    }
}

fn open(dir: &Path) -> Arc<SqliteLedger> {
    open_with(dir, 2)
}

/// One that keeps so many refusals.
fn open_with(dir: &Path, rejected_max: usize) -> Arc<SqliteLedger> {
    SqliteLedger::open(SqliteOptions { rejected_max, ..SqliteOptions::new(dir.join("ledger.db"), FakeClock::new()) })
        .expect("opened")
}

/// A refusal of something for the handler `shop`.
fn refused(n: u64, status: EventStatus, event: Option<&str>, reason: &str) -> RefusedRequest {
    RefusedRequest {
        id: id(n),
        handler: Some("shop".parse().expect("a name")),
        provider: None,
        event: event.map(str::to_owned),
        delivery_id: None,
        verdict: Some(Verdict::Invalid),
        status,
        reason: reason.into(),
        received_at: at(n),
        client_ip: [192, 0, 2, 1].into(),
        headers: Vec::new(),
        body_prefix: Bytes::from_static(b"{}"),
        body_bytes: 2,
        body_sha256: None,
    }
}

async fn index(ledger: &SqliteLedger) {
    while ledger.index().await.expect("indexed") > 0 {}
}

async fn settle(ledger: &SqliteLedger, title: &str) {
    loop {
        let claimed = ledger.claim(at(90_000), Duration::from_secs(60), 500).await.expect("claimed");
        if claimed.is_empty() {
            return;
        }
        let settled = claimed.iter().map(|job| Settlement {
            id: job.id,
            epoch: job.epoch,
            at: at(90_000),
            outcome: Settled::Processed {
                summarize: false,
                title: title.into(),
                url: None,
                subject: None,
                severity: Severity::Info,
                notices: Vec::new(),
            },
        });
        ledger.settle(settled.collect()).await.expect("settled");
    }
}

/// All pages of a list.
async fn found(ledger: &SqliteLedger, filter: EventFilter) -> Vec<EventId> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = ledger.events(EventFilter { cursor, ..filter.clone() }).await.expect("listed");
        ids.extend(page.items.iter().map(|event| event.id));
        cursor = page.next;
        if cursor.is_none() {
            return ids;
        }
    }
}

async fn searched(ledger: &SqliteLedger, search: &str) -> Vec<EventId> {
    found(ledger, EventFilter { search: Some(search.into()), ..EventFilter::default() }).await
}

async fn of(ledger: &SqliteLedger, handler: Option<&str>, event: Option<&str>) -> Vec<EventId> {
    let (handler, event) = (handler.map(str::to_owned), event.map(str::to_owned));
    found(ledger, EventFilter { handler, event, ..EventFilter::default() }).await
}

async fn fill(ledger: &Arc<SqliteLedger>) {
    ledger
        .ingest(event(0, "shop", "order.created.eu", r#"{"who":"Zoë O'Hara","note":"first\nzanzibar"}"#))
        .await
        .expect("kept");
    let rest = (1..MANY).map(|n| ledger.ingest(event(n, "github", "push", r#"{"who":"alice"}"#)));
    for kept in futures::future::join_all(rest).await {
        kept.expect("kept");
    }
}

#[tokio::test]
async fn words_handlers_and_types_are_found_among_all_events() {
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = open(dir.path());
    fill(&ledger).await;
    settle(&ledger, "acme: something happened").await;
    index(&ledger).await;
    for search in ["zanzibar", "ZANZIBAR first", "Zoë", "zoë o'hara", "order.created.eu", "shop who"] {
        assert_eq!(searched(&ledger, search).await, [id(0)], "{search}");
    }
    for search in ["zanzibar alice", "anzibar", "\"zanzibar\" OR alice", "nowhere"] {
        assert_eq!(searched(&ledger, search).await, [], "{search}");
    }
    assert_eq!(searched(&ledger, "happened").await.len() as u64, MANY);
    assert_eq!(of(&ledger, Some("shop"), None).await, [id(0)]);
    for kind in ["order", "order.created", "order.created.eu"] {
        assert_eq!(of(&ledger, None, Some(kind)).await, [id(0)], "{kind}");
        assert_eq!(of(&ledger, Some("github"), Some(kind)).await, [], "{kind}");
    }
    assert_eq!(of(&ledger, None, Some("ord")).await, []);
    let pushes = of(&ledger, Some("github"), Some("push")).await;
    assert_eq!(pushes.len() as u64, MANY - 1);
    assert!(pushes.is_sorted_by(|a, b| a > b), "newest first");
    ledger.close().await.expect("closed");
}

#[tokio::test]
async fn what_is_not_indexed_or_not_settled_yet_is_found_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = open(dir.path());
    fill(&ledger).await;
    index(&ledger).await;
    // Nothing has a title yet, and no word was taken: the old one is beyond the scan.
    assert_eq!(of(&ledger, Some("shop"), None).await, [id(0)]);
    let newest = event(MANY, "shop", "order.paid", r#"{"who":"bob"}"#);
    ledger.ingest(newest).await.expect("kept");
    assert_eq!(searched(&ledger, "bo").await, [id(MANY)], "parts of words, among the newest");
    assert_eq!(of(&ledger, Some("shop"), None).await, [id(MANY), id(0)]);
    settle(&ledger, "told late").await;
    index(&ledger).await;
    assert_eq!(searched(&ledger, "zanzibar late").await, [id(0)], "its title came with its settlement");
    let minutes = ledger.overview(at(0)).await.expect("read").minutes;
    assert_eq!(minutes.iter().map(|minute| minute.count).sum::<u64>(), MANY + 1);
    ledger.close().await.expect("closed");
}

#[tokio::test]
async fn a_list_by_type_has_refusals_of_that_type_however_many_others_came_after() {
    const OTHERS: u64 = 300;
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = open_with(dir.path(), 1000);
    ledger.ingest(event(1, "shop", "push", "{}")).await.expect("kept");
    let refuse = async |n: u64, kind: &str| {
        assert!(ledger.record_refused(refused(n, EventStatus::Duplicate, Some(kind), "duplicate")));
        ledger.add_notices(Vec::new()).await.expect("committed");
    };
    refuse(2, "push").await;
    for n in 0..OTHERS {
        refuse(10 + n, "issues.opened").await;
    }
    index(&ledger).await;
    assert_eq!(of(&ledger, None, Some("push")).await, [id(2), id(1)]);
    let issues = of(&ledger, None, Some("issues")).await;
    assert_eq!((issues.len() as u64, issues.is_sorted_by(|a, b| a > b)), (OTHERS, true), "page by page, each once");
    ledger.close().await.expect("closed");
}

#[tokio::test]
async fn what_the_ledger_forgets_the_index_forgets_and_a_lost_index_is_made_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = open(dir.path());
    fill(&ledger).await;
    settle(&ledger, "t").await;
    for n in 0..4 {
        let reason = format!("invalid_signature: reason{n}");
        assert!(ledger.record_refused(refused(5000 + n, EventStatus::Rejected, None, &reason)));
        // The next answer comes after its commit.
        ledger.add_notices(Vec::new()).await.expect("committed");
        index(&ledger).await;
    }
    assert_eq!(of(&ledger, Some("shop"), None).await, [id(5003), id(5002), id(0)]);
    assert_eq!(searched(&ledger, "reason0").await, []);
    while ledger.prune(at(2000)).await.expect("pruned") > 0 {}
    index(&ledger).await;
    assert_eq!(searched(&ledger, "zanzibar").await, []);
    assert_eq!(of(&ledger, Some("shop"), None).await, [id(5003), id(5002)]);
    assert_eq!(of(&ledger, Some("github"), None).await.len() as u64, MANY - 2000);
    ledger.close().await.expect("closed");
    drop(ledger);

    std::fs::write(dir.path().join("ledger.search.db"), "rubbish").expect("written");
    let ledger = open(dir.path());
    index(&ledger).await;
    assert_eq!(searched(&ledger, "alice").await.len() as u64, MANY - 2000);
    ledger.close().await.expect("closed");
}
