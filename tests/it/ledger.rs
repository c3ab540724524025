//! The ledger's conformance suite: what any engine behind [`Ledger`] must do, as functions over `&dyn Ledger`, and below
//! them what only the SQLite engine promises (files, crashes, SQL).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookhand::domain::event::{DeliveryKey, EventStatus, HandlerName, Verdict};
use hookhand::domain::ids::{EventId, NoticeId};
use hookhand::domain::notice::{ChatKey, Message, NoticeKind, NoticeState, Severity};
use hookhand::ledger::models::{EditSettled, ModelBounds, ModelCallBegun, ModelLedger, NewModelCall, SummarySettled};
use hookhand::ledger::sqlite::{OpenError, SqliteLedger, SqliteOptions};
use hookhand::ledger::{
    EVENTS_PAGE_MAX, EventFilter, InboundItem, Ingested, Ledger, LedgerError, NewEvent, NewNotice, RefusedRequest,
    SendSettled, SendSettlement, Settled, Settlement,
};
use hookhand::ports::{Clock, Purpose};
use jiff::Timestamp;
use tempfile::TempDir;
use ulid::Ulid;

pub const START_MS: i64 = 1_790_000_000_000;
const LEASE: Duration = Duration::from_secs(60);

/// `ms` after the beginning of a test.
pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(START_MS + ms).expect("in range")
}

/// A clock that never moves.
#[derive(Debug)]
pub struct StoppedClock;

#[async_trait]
impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        at(3)
    }

    async fn sleep_until(&self, _: Timestamp) {}
}

fn event_id(n: u64) -> EventId {
    EventId::new(Ulid::from_parts(START_MS.unsigned_abs() + n, 7))
}

fn notice_id(n: u64) -> NoticeId {
    NoticeId::new(Ulid::from_parts(START_MS.unsigned_abs() + n, 9))
}

fn handler(name: &str) -> HandlerName {
    name.parse().expect("a valid name")
}

/// An accepted event, received `n` ms after the beginning, without a delivery id.
fn event(n: u64) -> NewEvent {
    let body = Bytes::from(format!(r#"{{"n":{n}}}"#));
    NewEvent {
        id: event_id(n),
        handler: handler("github"),
        provider: "github".into(),
        event: "pull_request.opened".into(),
        delivery_id: None,
        delivery_key: None,
        verdict: Verdict::Valid,
        status: EventStatus::Accepted,
        reason: None,
        received_at: at(i64::try_from(n).expect("small")),
        client_ip: [192, 0, 2, 7].into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body_sha256: [n as u8; 32],
        body,
        payload: None,
    }
}

fn delivery(n: u64, id: &str) -> NewEvent {
    let key = DeliveryKey::new(&handler("github"), id);
    NewEvent { delivery_id: Some(id.into()), delivery_key: Some(key), ..event(n) }
}

fn refused(n: u64, status: EventStatus) -> RefusedRequest {
    RefusedRequest {
        id: event_id(n),
        handler: Some(handler("github")),
        provider: Some("github".into()),
        event: None,
        delivery_id: None,
        verdict: Some(Verdict::Invalid),
        status,
        reason: "invalid_signature: it does not match".into(),
        received_at: at(i64::try_from(n).expect("small")),
        client_ip: [203, 0, 113, 9].into(),
        headers: vec![("user-agent".into(), "x".into())],
        body_prefix: Bytes::from_static(b"not json \xff"),
        body_bytes: 4096,
        body_sha256: None,
    }
}

fn notice(n: u64, chat: &ChatKey, event: Option<EventId>) -> NewNotice {
    NewNotice {
        id: notice_id(n),
        chat: chat.clone(),
        kind: NoticeKind::Event,
        event,
        reply_to: None,
        message: Message::title(format!("notice {n}")),
        created_at: at(i64::try_from(n).expect("small")),
    }
}

fn processed(id: EventId, epoch: i64, at: Timestamp, notices: Vec<NewNotice>) -> Settlement {
    let outcome = Settled::Processed {
        title: "alice opened #1 «Ünïcödé»".into(),
        url: Some("https://example.com/1".into()),
        subject: Some("acme/shop#1".into()),
        severity: Severity::Good,
        notices,
        summarize: false,
    };
    Settlement { id, epoch, at, outcome }
}

fn failed(id: EventId, epoch: i64, at: Timestamp) -> Settlement {
    Settlement { id, epoch, at, outcome: Settled::Failed { error: "broken".into(), notices: Vec::new() } }
}

fn sent(id: NoticeId, outcome: SendSettled) -> SendSettlement {
    SendSettlement { id, at: at(50), outcome }
}

async fn claim_ids(ledger: &dyn Ledger, now: Timestamp, limit: usize) -> Vec<EventId> {
    ledger.claim(now, LEASE, limit).await.expect("claim").into_iter().map(|job| job.id).collect()
}

async fn keep(ledger: &dyn Ledger, event: NewEvent) -> EventId {
    let id = event.id;
    assert_eq!(ledger.ingest(event).await, Ok(Ingested::Kept));
    id
}

/// Ingests, claims and settles.
async fn keep_processed(ledger: &dyn Ledger, event: NewEvent, notices: Vec<NewNotice>) -> EventId {
    let received_at = event.received_at;
    let id = keep(ledger, event).await;
    let job = ledger.claim(received_at, LEASE, 1).await.expect("claim").remove(0);
    assert_eq!(job.id, id);
    assert_eq!(ledger.settle(vec![processed(id, job.epoch, received_at, notices)]).await, Ok(vec![true]));
    id
}

/// Waits until refusals recorded before are committed: they are taken with or before a later command once few wait.
async fn flush_refused(ledger: &dyn Ledger, count: u64) {
    let mut seen = ledger.changes().events.subscribe();
    loop {
        let stats = ledger.stats().await.expect("stats");
        let kept: u64 = ["rejected", "duplicate"].iter().filter_map(|s| stats.events.get(*s)).sum();
        if kept >= count {
            return;
        }
        seen.changed().await.expect("the ledger lives");
    }
}

async fn listed(ledger: &dyn Ledger, filter: EventFilter) -> Vec<EventId> {
    ledger.events(filter).await.expect("list").items.into_iter().map(|event| event.id).collect()
}

// ---- what every engine must do -------------------------------------------------------------------------------------

async fn an_event_comes_back_as_it_was_kept(ledger: &dyn Ledger) {
    let mut new = delivery(1, "d-1");
    new.headers = vec![("a".into(), "1".into()), ("b".into(), "ü".into()), ("a".into(), "2".into())];
    keep(ledger, new.clone()).await;
    let detail = ledger.event(new.id).await.expect("read").expect("there");
    assert_eq!(detail.row.handler.as_deref(), Some("github"));
    assert_eq!(detail.row.event.as_deref(), Some("pull_request.opened"));
    assert_eq!(detail.row.delivery_id.as_deref(), Some("d-1"));
    assert_eq!(detail.row.verdict, Some(Verdict::Valid));
    assert_eq!(detail.row.status, EventStatus::Accepted);
    assert_eq!(detail.row.received_at, at(1));
    assert_eq!(detail.row.client_ip, "192.0.2.7");
    assert_eq!(detail.row.body_bytes, 7);
    assert_eq!(detail.row.body_sha256.as_deref(), Some("01".repeat(32).as_str()));
    assert_eq!(detail.payload, serde_json::json!({"n": 1}));
    assert_eq!(serde_json::Value::from(detail.headers), serde_json::json!({"a": ["1", "2"], "b": "ü"}));
    let whats: Vec<_> = detail.timeline.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(whats, ["received", "verified", "committed"]);
    let job = ledger.claim(at(1), LEASE, 1).await.expect("claim").remove(0);
    assert_eq!((job.payload, job.attempt, job.received_at), (new.body, 1, at(1)));
    assert_eq!(job.delivery_id.as_deref(), Some("d-1"));
    let pairs = [("a", "1"), ("a", "2"), ("b", "ü")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(job.headers, pairs);
    assert_eq!(ledger.event(event_id(99)).await, Ok(None));
}

async fn bodies_of_any_bytes_survive(ledger: &dyn Ledger) {
    for (n, body) in [&b"\xff\xfe\x00 not text"[..], b"", "\"\u{1F980} \\u0000\"".as_bytes()].into_iter().enumerate() {
        let new = NewEvent { body: Bytes::copy_from_slice(body), ..event(n as u64) };
        keep(ledger, new).await;
        let job = ledger.claim(at(10), LEASE, 1).await.expect("claim").remove(0);
        assert_eq!(job.payload, body);
        let search = EventFilter { search: Some("text".into()), ..Default::default() };
        ledger.events(search).await.expect("searching does not mind");
        ledger.event(job.id).await.expect("read").expect("there");
    }
    let form =
        NewEvent { body: Bytes::from_static(b"payload=%7B%7D"), payload: Some(Bytes::from_static(b"{}")), ..event(5) };
    let id = keep(ledger, form).await;
    let job = ledger.claim(at(10), LEASE, 1).await.expect("claim").remove(0);
    assert_eq!((job.id, &job.payload[..]), (id, &b"{}"[..]));
}

async fn a_delivery_is_kept_once(ledger: &dyn Ledger) {
    let first = keep(ledger, delivery(1, "d-1")).await;
    assert_eq!(ledger.ingest(delivery(2, "d-1")).await, Ok(Ingested::Duplicate { first }));
    let key = DeliveryKey::new(&handler("other"), "d-1");
    let elsewhere = NewEvent { handler: handler("other"), delivery_key: Some(key), ..delivery(3, "d-1") };
    keep(ledger, elsewhere).await;
    keep(ledger, delivery(4, "d-2")).await;
    let job = ledger.claim(at(1), LEASE, 1).await.expect("claim").remove(0);
    assert_eq!(ledger.settle(vec![processed(first, job.epoch, at(5), Vec::new())]).await, Ok(vec![true]));
    assert_eq!(ledger.ingest(delivery(6, "d-1")).await, Ok(Ingested::Duplicate { first }));
    assert_eq!(ledger.event(event_id(2)).await, Ok(None), "a duplicate is no event");
}

async fn of_equal_deliveries_at_once_one_is_kept(ledger: &dyn Ledger) {
    let tries = (0..64).map(|n| ledger.ingest(delivery(n, "same")));
    let outcomes = futures::future::join_all(tries).await;
    let kept: Vec<_> = outcomes.iter().enumerate().filter(|(_, o)| **o == Ok(Ingested::Kept)).collect();
    let [(winner, _)] = kept[..] else { panic!("{} were kept", kept.len()) };
    let first = event_id(winner as u64);
    let duplicates = outcomes.iter().filter(|o| **o == Ok(Ingested::Duplicate { first })).count();
    assert_eq!(duplicates, 63, "all the others name the one that was kept");
    assert_eq!(claim_ids(ledger, at(100), 100).await, [first]);
}

async fn the_same_event_handed_in_again_is_kept_once(ledger: &dyn Ledger) {
    keep(ledger, delivery(1, "d-1")).await;
    keep(ledger, delivery(1, "d-1")).await;
    assert_eq!(ledger.stats().await.expect("stats").queue_depth, 1);
    let clash = ledger.ingest(delivery(1, "d-2")).await;
    assert!(matches!(clash, Err(LedgerError::Invalid(_))), "{clash:?}");
    keep(ledger, delivery(2, "d-2")).await;
}

async fn one_bad_command_spoils_nothing_for_its_neighbours(ledger: &dyn Ledger) {
    keep(ledger, event(0)).await;
    let ids = [1, 0, 2, 3, 0, 4];
    let outcomes = futures::future::join_all(ids.map(|n| ledger.ingest(event(n)))).await;
    for (n, outcome) in ids.iter().zip(outcomes) {
        match n {
            0 => assert!(matches!(outcome, Err(LedgerError::Invalid(_))), "{outcome:?}"),
            _ => assert_eq!(outcome, Ok(Ingested::Kept)),
        }
    }
    let stats = ledger.stats().await.expect("stats");
    assert_eq!((stats.queue_depth, stats.events["accepted"]), (5, 5));
}

async fn ignored_events_are_kept_not_queued_and_claim_no_key(ledger: &dyn Ledger) {
    let ignored = |n| NewEvent {
        status: EventStatus::Ignored,
        reason: Some("event not in 'events'".into()),
        ..delivery(n, "d-1")
    };
    keep(ledger, ignored(1)).await;
    keep(ledger, ignored(2)).await;
    assert!(claim_ids(ledger, at(100), 10).await.is_empty());
    keep(ledger, delivery(3, "d-1")).await;
    let row = ledger.event(event_id(1)).await.expect("read").expect("there").row;
    assert_eq!((row.status, row.reason.as_deref()), (EventStatus::Ignored, Some("event not in 'events'")));
    let wrong = NewEvent { status: EventStatus::Processed, ..event(9) };
    assert!(matches!(ledger.ingest(wrong).await, Err(LedgerError::Invalid(_))));
}

async fn a_redelivery_of_a_failed_event_queues_it_again(ledger: &dyn Ledger) {
    let id = keep(ledger, delivery(1, "d-1")).await;
    let old = ledger.claim(at(1), LEASE, 1).await.expect("claim").remove(0);
    assert_eq!(ledger.settle(vec![failed(id, old.epoch, at(2))]).await, Ok(vec![true]));
    let row = ledger.event(id).await.expect("read").expect("there").row;
    assert_eq!((row.status, row.reason.as_deref()), (EventStatus::Failed, Some("broken")));
    assert_eq!(ledger.ingest(delivery(3, "d-1")).await, Ok(Ingested::Requeued { event: id }));
    assert_eq!(ledger.ingest(delivery(4, "d-1")).await, Ok(Ingested::Duplicate { first: id }));
    let job = ledger.claim(at(5), LEASE, 1).await.expect("claim").remove(0);
    assert_eq!((job.id, job.attempt), (id, 1));
    let stale = processed(id, old.epoch, at(6), Vec::new());
    assert_eq!(ledger.settle(vec![stale]).await, Ok(vec![false]), "a lease of its earlier life ends nothing");
    assert_eq!(ledger.settle(vec![processed(id, job.epoch, at(7), Vec::new())]).await, Ok(vec![true]));
    let detail = ledger.event(id).await.expect("read").expect("there");
    assert_eq!(detail.row.status, EventStatus::Processed);
    assert!(detail.timeline.iter().any(|entry| entry.what == "requeued"), "{:?}", detail.timeline);
}

async fn jobs_are_claimed_in_order_of_acceptance_and_by_one_worker(ledger: &dyn Ledger) {
    for n in [3, 1, 2, 5, 4] {
        keep(ledger, event(n)).await;
    }
    assert_eq!(claim_ids(ledger, at(3), 2).await, [event_id(3), event_id(1)]);
    let (a, b) = tokio::join!(claim_ids(ledger, at(9), 2), claim_ids(ledger, at(9), 2));
    assert_eq!([a, b].concat().len(), 3);
}

async fn a_start_frees_what_a_dead_process_held(ledger: &dyn Ledger) {
    let id = keep(ledger, event(1)).await;
    let held = ledger.claim(at(1), LEASE, 1).await.expect("claim").remove(0);
    assert_eq!(ledger.recover_claims(at(2)).await, Ok(1));
    assert_eq!(ledger.recover_claims(at(2)).await, Ok(0));
    assert_eq!(ledger.settle(vec![processed(id, held.epoch, at(3), Vec::new())]).await, Ok(vec![false]));
    let again = ledger.claim(at(3), LEASE, 1).await.expect("claim").remove(0);
    assert_eq!((again.id, again.attempt), (id, 2));
    assert!(again.epoch > held.epoch);
}

async fn a_fresh_event_waits_for_no_clock(ledger: &dyn Ledger) {
    let id = keep(ledger, event(1)).await;
    assert_eq!(claim_ids(ledger, at(-1_000_000), 9).await, [id], "the clock stepped back");
}

async fn a_lease_that_ran_out_goes_to_another_and_the_first_settles_nothing(ledger: &dyn Ledger) {
    let id = keep(ledger, event(1)).await;
    let slow = ledger.claim(at(1), LEASE, 1).await.expect("claim").remove(0);
    let chat = ChatKey::terminal();
    assert_eq!(ledger.next_due(at(1)).await, Ok(Some(at(60_001))));
    assert!(claim_ids(ledger, at(60_000), 1).await.is_empty());
    let quick = ledger.claim(at(60_001), LEASE, 1).await.expect("claim").remove(0);
    assert!(quick.epoch > slow.epoch && quick.attempt == 2, "{quick:?}");
    let late = processed(id, slow.epoch, at(60_002), vec![notice(1, &chat, Some(id))]);
    let real = processed(id, quick.epoch, at(60_003), vec![notice(2, &chat, Some(id))]);
    assert_eq!(ledger.settle(vec![late, real.clone(), real]).await, Ok(vec![false, true, false]));
    let waiting = ledger.notices_waiting(&chat, 9).await.expect("read");
    assert_eq!(waiting.iter().map(|n| n.id).collect::<Vec<_>>(), [notice_id(2)]);
    let timeline = ledger.event(id).await.expect("read").expect("there").timeline;
    assert!(timeline.iter().any(|entry| entry.what == "lease_lost"), "{timeline:?}");
}

async fn a_retry_waits_for_its_time(ledger: &dyn Ledger) {
    let id = keep(ledger, event(1)).await;
    let job = ledger.claim(at(1), LEASE, 1).await.expect("claim").remove(0);
    let outcome = Settled::Retry { due_at: at(500), error: "model down".into() };
    let retry = Settlement { id, epoch: job.epoch, at: at(2), outcome };
    assert_eq!(ledger.settle(vec![retry.clone()]).await, Ok(vec![true]));
    assert_eq!(ledger.settle(vec![retry]).await, Ok(vec![false]), "it holds no lease any more");
    assert_eq!(ledger.next_due(at(2)).await, Ok(Some(at(500))));
    assert!(claim_ids(ledger, at(499), 1).await.is_empty());
    let again = ledger.claim(at(500), LEASE, 1).await.expect("claim").remove(0);
    assert_eq!(again.attempt, 2);
    let detail = ledger.event(id).await.expect("read").expect("there");
    assert_eq!(detail.row.reason.as_deref(), Some("model down"));
    assert!(detail.timeline.iter().any(|entry| entry.what == "retried"));
    assert_eq!(ledger.settle(vec![processed(id, again.epoch, at(501), Vec::new())]).await, Ok(vec![true]));
    assert_eq!(ledger.next_due(at(0)).await, Ok(None));
    assert_eq!(ledger.event(id).await.expect("read").expect("there").row.reason, None);
}

async fn settling_fills_the_row_and_makes_each_notice_once(ledger: &dyn Ledger) {
    let (a, b) = (ChatKey::telegram(-100, Some(7)), ChatKey::terminal());
    let id = event_id(1);
    let twice = vec![notice(1, &a, Some(id)), notice(2, &b, Some(id)), notice(3, &a, Some(id))];
    keep_processed(ledger, event(1), twice).await;
    let row = listed_row(ledger, id).await;
    assert_eq!(row.title.as_deref(), Some("alice opened #1 «Ünïcödé»"));
    assert_eq!((row.severity, row.processed_at), (Some(Severity::Good), Some(at(1))));
    assert_eq!(row.subject.as_deref(), Some("acme/shop#1"));
    let ids: Vec<_> = row.notices.iter().map(|n| (n.id, n.channel.as_str(), n.state)).collect();
    assert_eq!(
        ids,
        [(notice_id(1), "telegram", NoticeState::Pending), (notice_id(2), "terminal", NoticeState::Pending)]
    );
}

async fn listed_row(ledger: &dyn Ledger, id: EventId) -> hookhand::ledger::EventRow {
    let page = ledger.events(EventFilter::default()).await.expect("list");
    page.items.into_iter().find(|event| event.id == id).expect("listed")
}

async fn notices_of_a_chat_wait_in_order_of_acceptance(ledger: &dyn Ledger) {
    let (a, b) = (ChatKey::telegram(1, None), ChatKey::telegram(2, None));
    assert_eq!(ledger.chats_waiting().await, Ok(Vec::new()));
    // The ids do not decide, nor do the times.
    let order = [5, 3, 4, 1];
    for n in order {
        ledger.add_notices(vec![notice(n, &a, None), notice(100 + n, &b, None)]).await.expect("kept");
    }
    ledger.add_notices(vec![notice(5, &a, None)]).await.expect("the same notice again is no fault");
    assert_eq!(ledger.chats_waiting().await, Ok(vec![a.clone(), b]));
    let ids = |waiting: Vec<hookhand::ledger::WaitingNotice>| waiting.into_iter().map(|n| n.id).collect::<Vec<_>>();
    assert_eq!(ids(ledger.notices_waiting(&a, 9).await.expect("read")), order.map(notice_id));
    assert_eq!(ids(ledger.notices_waiting(&a, 2).await.expect("read")), [notice_id(5), notice_id(3)]);
    assert_eq!(ledger.stats().await.expect("stats").notices_waiting, 8);

    // What is no event's can be read apart, and knows the message that it answers.
    let event = NewNotice { kind: NoticeKind::Event, ..notice(6, &a, None) };
    let reply = NewNotice { kind: NoticeKind::Reply, reply_to: Some(77), ..notice(7, &a, None) };
    ledger.add_notices(vec![event, reply]).await.expect("kept");
    let apart = ledger.notices_waiting_apart(&a, 9).await.expect("read");
    assert!(apart.iter().all(|n| n.kind != NoticeKind::Event));
    assert_eq!(apart.last().map(|n| (n.id, n.reply_to)), Some((notice_id(7), Some(77))));
}

async fn a_send_is_begun_and_settled(ledger: &dyn Ledger) {
    let chat = ChatKey::telegram(1, None);
    let id = event_id(1);
    keep_processed(ledger, event(1), vec![notice(1, &chat, Some(id))]).await;
    let n = notice_id(1);
    ledger.begin_send(&[n], at(40)).await.expect("begun");
    assert!(ledger.notices_waiting(&chat, 9).await.expect("read").is_empty(), "nobody else sends it");
    assert_eq!(listed_row(ledger, id).await.notices[0].state, NoticeState::Pending, "sending shows as pending");
    assert!(matches!(ledger.begin_send(&[n], at(41)).await, Err(LedgerError::Invalid(_))));
    assert!(matches!(ledger.begin_send(&[notice_id(99)], at(41)).await, Err(LedgerError::NotFound(_))));

    let flood = SendSettled::Waits { error: "429".into(), unanswered: false, counts: false };
    ledger.settle_send(vec![sent(n, flood)]).await.expect("settled");
    let waiting = ledger.notices_waiting(&chat, 9).await.expect("read").remove(0);
    assert_eq!((waiting.attempts, waiting.unanswered), (0, 0), "a 429 is no attempt");

    ledger.begin_send(&[n], at(42)).await.expect("begun");
    ledger.settle_send(vec![sent(n, SendSettled::Sent { message_id: Some(77), digest: None })]).await.expect("settled");
    let row = listed_row(ledger, id).await.notices.remove(0);
    assert_eq!((row.state, row.message_id, row.attempts), (NoticeState::Sent, Some(77), 1));
    assert_eq!(row.sent_at, Some(at(50)));
    let timeline = ledger.event(id).await.expect("read").expect("there").timeline;
    assert_eq!(timeline.last().map(|entry| entry.what.as_str()), Some("notice_sent"));
    // A late answer changes nothing.
    ledger.settle_send(vec![sent(n, SendSettled::Failed { error: "x".into() })]).await.expect("ignored");
    assert_eq!(listed_row(ledger, id).await.notices[0].state, NoticeState::Sent);
}

async fn an_unanswered_send_is_remembered(ledger: &dyn Ledger) {
    let chat = ChatKey::telegram(1, None);
    let id = event_id(1);
    let chats = [1, 2, 3].map(|n| ChatKey::telegram(n, None));
    let notices = (1..).zip(&chats).map(|(n, chat)| notice(n, chat, Some(id))).collect();
    keep_processed(ledger, event(1), notices).await;
    let n = [1, 2, 3].map(notice_id);
    ledger.begin_send(&n, at(40)).await.expect("begun");
    let unanswered = SendSettled::Waits { error: "time-out".into(), unanswered: true, counts: true };
    ledger.settle_send(n.iter().map(|n| sent(*n, unanswered.clone())).collect()).await.expect("settled");
    let waiting = ledger.notices_waiting(&chat, 9).await.expect("read").remove(0);
    assert_eq!((waiting.unanswered, waiting.attempts), (1, 1));
    ledger.begin_send(&n, at(41)).await.expect("begun");
    let refused = SendSettled::Waits { error: "refused".into(), unanswered: false, counts: true };
    ledger.settle_send(vec![sent(n[0], refused)]).await.expect("settled");
    assert_eq!(ledger.notices_waiting(&chat, 9).await.expect("read")[0].unanswered, 1, "it stays");
    ledger.begin_send(&n[..1], at(42)).await.expect("begun");
    ledger
        .settle_send(vec![
            sent(n[0], SendSettled::Sent { message_id: Some(1), digest: None }),
            sent(n[1], SendSettled::GivenUp { error: "silence".into() }),
            sent(n[2], SendSettled::Failed { error: "blocked".into() }),
        ])
        .await
        .expect("settled");
    let states: Vec<_> = listed_row(ledger, id).await.notices.iter().map(|n| n.state).collect();
    assert_eq!(states, [NoticeState::MaybeSent, NoticeState::MaybeSent, NoticeState::Failed]);
    assert_eq!(ledger.stats().await.expect("stats").notices_waiting, 0);
}

async fn sends_of_a_dead_process_wait_again_as_unanswered(ledger: &dyn Ledger) {
    let chat = ChatKey::telegram(1, None);
    ledger.add_notices(vec![notice(1, &chat, None), notice(2, &chat, None)]).await.expect("kept");
    ledger.begin_send(&[notice_id(1)], at(5)).await.expect("begun");
    assert_eq!(ledger.recover_sends().await, Ok(1));
    assert_eq!(ledger.recover_sends().await, Ok(0));
    // A second crash is no second loss.
    ledger.begin_send(&[notice_id(1)], at(6)).await.expect("begun");
    assert_eq!(ledger.recover_sends().await, Ok(1));
    let waiting = ledger.notices_waiting(&chat, 9).await.expect("read");
    let flags: Vec<_> = waiting.iter().map(|n| (n.id, n.unanswered, n.attempts)).collect();
    assert_eq!(flags, [(notice_id(1), 1, 2), (notice_id(2), 0, 0)]);
}

async fn inbound_items_are_done_once(ledger: &dyn Ledger) {
    let item = |n| InboundItem { external_id: n, body: format!("{{\"update_id\":{n}}}"), received_at: at(n) };
    ledger.keep_inbound("telegram", vec![item(11), item(10)]).await.expect("kept");
    ledger.keep_inbound("telegram", vec![item(10), item(12)]).await.expect("kept");
    ledger.keep_inbound("other", vec![item(99)]).await.expect("kept");
    assert_eq!(ledger.inbound_waiting("telegram", 2).await, Ok(vec![item(10), item(11)]));
    let chat = ChatKey::telegram(1, None);
    let reply = |n| NewNotice { kind: NoticeKind::Reply, ..notice(n, &chat, None) };
    ledger.inbound_done("telegram", 10, vec![reply(1)]).await.expect("done");
    ledger.inbound_done("telegram", 10, vec![reply(2)]).await.expect("no fault");
    ledger.keep_inbound("telegram", vec![item(10)]).await.expect("seen before");
    assert_eq!(ledger.inbound_waiting("telegram", 9).await, Ok(vec![item(11), item(12)]));
    assert_eq!(ledger.notices_waiting(&chat, 9).await.expect("read").len(), 1);
}

async fn answers_may_tell_of_one_event_twice(ledger: &dyn Ledger) {
    let chat = ChatKey::telegram(1, None);
    let id = keep(ledger, event(1)).await;
    for n in 1..=2 {
        let reply = NewNotice { kind: NoticeKind::Reply, ..notice(n, &chat, Some(id)) };
        ledger.add_notices(vec![reply]).await.expect("kept");
    }
    assert_eq!(ledger.notices_waiting(&chat, 9).await.expect("read").len(), 2);
}

async fn a_refusal_is_found_within_its_hour(ledger: &dyn Ledger) {
    let (chat, other) = (ChatKey::telegram(1, None), ChatKey::telegram(2, None));
    let refusal = NewNotice { kind: NoticeKind::Refusal, ..notice(100, &chat, None) };
    ledger.add_notices(vec![refusal, notice(101, &chat, None)]).await.expect("kept");
    let has = async |chat, kind, since| ledger.has_notice_since(chat, kind, at(since)).await.expect("read");
    assert!(has(&chat, NoticeKind::Refusal, 100).await);
    assert!(!has(&chat, NoticeKind::Refusal, 101).await);
    assert!(!has(&other, NoticeKind::Refusal, 0).await);
    assert!(!has(&chat, NoticeKind::Reply, 0).await);
    assert!(has(&chat, NoticeKind::Event, 101).await);
}

async fn lists_filter(ledger: &dyn Ledger) {
    let stripe = |n, event_type: &str| NewEvent {
        handler: handler("stripe"),
        event: event_type.into(),
        body: Bytes::from_static(r#"{"note":"Größe 100% PAID_in full"}"#.as_bytes()),
        ..event(n)
    };
    keep_processed(ledger, event(1), Vec::new()).await;
    keep(ledger, NewEvent { event: "pull_request".into(), ..event(2) }).await;
    keep(ledger, NewEvent { event: "pull_request_review.submitted".into(), ..delivery(3, "D-Three") }).await;
    keep(ledger, stripe(4, "invoice.paid")).await;
    assert!(ledger.record_refused(refused(5, EventStatus::Rejected)));
    flush_refused(ledger, 1).await;
    let [e1, e2, e3, e4, e5] = [1, 2, 3, 4, 5].map(event_id);
    let all = EventFilter::default;
    assert_eq!(listed(ledger, all()).await, [e5, e4, e3, e2, e1]);
    let by_handler = EventFilter { handler: Some("stripe".into()), ..all() };
    assert_eq!(listed(ledger, by_handler).await, [e4]);
    for (event, expected) in
        [("pull_request", vec![e2, e1]), ("pull_request.opened", vec![e1]), ("pull", vec![]), ("invoice", vec![e4])]
    {
        assert_eq!(listed(ledger, EventFilter { event: Some(event.into()), ..all() }).await, expected, "{event}");
    }
    for (status, expected) in [
        (EventStatus::Accepted, vec![e4, e3, e2]),
        (EventStatus::Processed, vec![e1]),
        (EventStatus::Rejected, vec![e5]),
        (EventStatus::Failed, vec![]),
    ] {
        assert_eq!(listed(ledger, EventFilter { status: Some(status), ..all() }).await, expected, "{status}");
    }
    assert_eq!(listed(ledger, EventFilter { since: Some(at(4)), ..all() }).await, [e5, e4]);
    assert_eq!(listed(ledger, EventFilter { since: Some(at(6)), ..all() }).await, []);
    for (search, expected) in [
        ("paid_IN", vec![e4]),
        ("Größe 100%", vec![e4]),
        ("d-three", vec![e3]),
        ("REVIEW", vec![e3]),
        ("alice", vec![e1]),
        ("does not match", vec![e5]),
        ("' OR 1=1 --", vec![]),
        ("%", vec![e4]),
    ] {
        assert_eq!(listed(ledger, EventFilter { search: Some(search.into()), ..all() }).await, expected, "{search}");
    }
}

async fn pages_follow_one_another_and_do_not_move(ledger: &dyn Ledger) {
    for n in 0..7 {
        keep(ledger, event(n)).await;
    }
    let page = |cursor| EventFilter { limit: 3, cursor, ..Default::default() };
    let first = ledger.events(page(None)).await.expect("list");
    keep(ledger, event(7)).await;
    let second = ledger.events(page(first.next.clone())).await.expect("list");
    let third = ledger.events(page(second.next.clone())).await.expect("list");
    let ids: Vec<_> = [&first, &second, &third].iter().flat_map(|p| p.items.iter().map(|e| e.id)).collect();
    assert_eq!(ids, [6, 5, 4, 3, 2, 1, 0].map(event_id));
    assert!(first.next.is_some() && second.next.is_some() && third.next.is_none());
    for bad in ["x", "", "s", "sxyz", "s-1", "s0", "s7fffffffffffffffff", "' OR 1"] {
        let answer = ledger.events(page(Some(bad.into()))).await;
        assert!(matches!(answer, Err(LedgerError::Invalid(_))), "{bad}: {answer:?}");
    }
    let capped = EventFilter { limit: usize::MAX, ..Default::default() };
    assert!(ledger.events(capped).await.expect("list").items.len() <= EVENTS_PAGE_MAX);
}

async fn a_tail_sees_what_is_newer_oldest_first(ledger: &dyn Ledger) {
    for n in [1, 2, 3, 4] {
        keep(ledger, event(n)).await;
    }
    let after = |n, limit| EventFilter { after: Some(event_id(n)), limit, ..Default::default() };
    assert_eq!(listed(ledger, after(2, 0)).await, [event_id(3), event_id(4)]);
    assert_eq!(listed(ledger, after(1, 2)).await, [event_id(2), event_id(3)]);
    assert_eq!(listed(ledger, after(4, 0)).await, []);
    let both = EventFilter { cursor: Some("s1".into()), ..after(1, 0) };
    assert!(matches!(ledger.events(both).await, Err(LedgerError::Invalid(_))));
}

async fn a_replay_is_a_new_event_of_the_same_bytes(ledger: &dyn Ledger) {
    let original = keep_processed(ledger, delivery(1, "d-1"), Vec::new()).await;
    ledger.replay(original, event_id(50), at(50)).await.expect("replayed");
    let job = ledger.claim(at(50), LEASE, 1).await.expect("claim").remove(0);
    assert_eq!((job.id, job.replay_of, &job.payload[..]), (event_id(50), Some(original), &br#"{"n":1}"#[..]));
    let row = listed_row(ledger, event_id(50)).await;
    assert_eq!((row.delivery_id, row.replay_of, row.received_at), (None, Some(original), at(50)));
    let timeline = ledger.event(original).await.expect("read").expect("there").timeline;
    assert!(timeline.iter().any(|entry| entry.what == "replayed"));
    let missing = ledger.replay(event_id(99), event_id(51), at(50)).await;
    assert!(matches!(missing, Err(LedgerError::NotFound(_))), "{missing:?}");
    assert!(ledger.record_refused(refused(60, EventStatus::Rejected)));
    flush_refused(ledger, 1).await;
    let whole_body_missing = ledger.replay(event_id(60), event_id(61), at(61)).await;
    assert!(matches!(whole_body_missing, Err(LedgerError::Invalid(_))), "{whole_body_missing:?}");
}

async fn refusals_are_kept_with_reason_and_first_bytes(ledger: &dyn Ledger) {
    let unknown = RefusedRequest { handler: None, provider: None, verdict: None, ..refused(1, EventStatus::Rejected) };
    assert!(ledger.record_refused(unknown));
    keep(ledger, delivery(2, "d-2")).await;
    let again = RefusedRequest { delivery_id: Some("d-2".into()), ..refused(3, EventStatus::Duplicate) };
    assert!(ledger.record_refused(again));
    flush_refused(ledger, 2).await;
    let detail = ledger.event(event_id(1)).await.expect("read").expect("there");
    assert_eq!((detail.row.handler, detail.row.verdict, detail.row.body_bytes), (None, None, 4096));
    assert_eq!(detail.row.reason.as_deref(), Some("invalid_signature: it does not match"));
    assert_eq!(detail.payload, serde_json::json!("not json \u{fffd}"));
    assert_eq!(detail.timeline.last().map(|entry| entry.what.as_str()), Some("rejected"));
    let first = ledger.event(event_id(2)).await.expect("read").expect("there");
    assert!(first.timeline.iter().any(|entry| entry.what == "delivered_again"), "{:?}", first.timeline);
    assert_eq!(claim_ids(ledger, at(100), 9).await, [event_id(2)]);
}

async fn pruning_forgets_the_old_and_spares_what_is_not_done(ledger: &dyn Ledger) {
    let chat = ChatKey::terminal();
    keep_processed(ledger, delivery(1, "d-1"), Vec::new()).await;
    keep_processed(ledger, event(2), vec![notice(2, &chat, Some(event_id(2)))]).await;
    keep_processed(ledger, event(3), Vec::new()).await;
    keep(ledger, event(4)).await;
    assert!(ledger.record_refused(refused(5, EventStatus::Rejected)));
    flush_refused(ledger, 1).await;
    keep_processed_later(ledger, 6).await;
    assert_eq!(ledger.prune(at(6)).await, Ok(3), "1, 3 and 5: 2 has a notice that waits, 4 a job");
    assert_eq!(ledger.prune(at(6)).await, Ok(0));
    assert_eq!(listed(ledger, EventFilter::default()).await, [6, 4, 2].map(event_id));
    ledger.begin_send(&[notice_id(2)], at(7)).await.expect("begun");
    assert_eq!(ledger.prune(at(6)).await, Ok(0), "it is being sent");
    ledger
        .settle_send(vec![sent(notice_id(2), SendSettled::Sent { message_id: None, digest: None })])
        .await
        .expect("settled");
    assert_eq!(ledger.prune(at(6)).await, Ok(1));
    let stats = ledger.stats().await.expect("stats");
    let counts: Vec<_> = stats.events.iter().map(|(status, count)| (status.as_str(), *count)).collect();
    assert_eq!(counts, [("accepted", 1), ("processed", 1)]);
    keep(ledger, delivery(8, "d-1")).await;
}

/// Keeps and processes an event while older ones wait.
async fn keep_processed_later(ledger: &dyn Ledger, n: u64) {
    let id = keep(ledger, event(n)).await;
    let jobs = ledger.claim(event(n).received_at, Duration::ZERO, 9).await.expect("claim");
    let job = jobs.iter().find(|job| job.id == id).expect("claimed");
    assert_eq!(ledger.settle(vec![processed(id, job.epoch, at(7), Vec::new())]).await, Ok(vec![true]));
}

async fn much_is_pruned_in_slices(ledger: &dyn Ledger) {
    let ignored = |n| NewEvent { status: EventStatus::Ignored, ..event(n) };
    let all = futures::future::join_all((0..1200).map(|n| ledger.ingest(ignored(n)))).await;
    assert!(all.iter().all(|outcome| *outcome == Ok(Ingested::Kept)));
    let mut slices = Vec::new();
    loop {
        match ledger.prune(at(1100)).await.expect("pruned") {
            0 => break,
            count => slices.push(count),
        }
    }
    assert_eq!(slices.iter().sum::<usize>(), 1100);
    assert!(slices.len() > 1 && slices.iter().all(|count| *count <= 500), "{slices:?}");
}

async fn counts_are_true(ledger: &dyn Ledger) {
    keep_processed(ledger, event(1), Vec::new()).await;
    keep(ledger, event(20)).await;
    keep(ledger, NewEvent { handler: handler("stripe"), ..event(10) }).await;
    keep(ledger, NewEvent { handler: handler("shop"), status: EventStatus::Ignored, ..event(30) }).await;
    let stats = ledger.stats().await.expect("stats");
    assert_eq!((stats.queue_depth, stats.oldest_job_at), (2, Some(at(20))), "the first that was committed");
    let counts: Vec<_> = stats.events.iter().map(|(status, count)| (status.as_str(), *count)).collect();
    assert_eq!(counts, [("accepted", 2), ("ignored", 1), ("processed", 1)]);
    let seen: Vec<_> = stats.last_event_at.iter().map(|(handler, at)| (handler.as_str(), *at)).collect();
    assert_eq!(seen, [("github", at(20)), ("stripe", at(10))]);
}

async fn commits_wake_those_who_wait(ledger: &dyn Ledger) {
    let changes = ledger.changes();
    let events = changes.events.subscribe();
    keep(ledger, event(1)).await;
    changes.jobs.notified().await;
    assert!(events.has_changed().expect("open"));
    ledger.add_notices(vec![notice(1, &ChatKey::terminal(), None)]).await.expect("kept");
    changes.notices.notified().await;
}

async fn closing_finishes_what_waits_and_ends_it(ledger: &dyn Ledger) {
    let last = ledger.ingest(event(1));
    let (kept, closed) = tokio::join!(last, ledger.close());
    assert_eq!((kept, closed), (Ok(Ingested::Kept), Ok(())));
    assert!(matches!(ledger.ingest(event(2)).await, Err(LedgerError::Unavailable(_))));
    assert!(matches!(ledger.stats().await, Err(LedgerError::Unavailable(_))));
    assert!(matches!(ledger.query("SELECT 1", 1).await, Err(LedgerError::Unavailable(_))));
    assert!(!ledger.record_refused(refused(3, EventStatus::Rejected)));
}

/// Runs every function above against an engine.
macro_rules! conformance {
    ($open:ident: $($name:ident)+) => {
        mod conformance {
            $(#[tokio::test]
            async fn $name() {
                let (_dir, ledger) = super::$open();
                super::$name(ledger.as_ref()).await;
            })+
        }
    };
}

fn fresh() -> (TempDir, Arc<SqliteLedger>) {
    let dir = TempDir::new().expect("a temporary folder");
    let ledger = open(dir.path());
    (dir, ledger)
}

conformance! { fresh:
    an_event_comes_back_as_it_was_kept
    bodies_of_any_bytes_survive
    a_delivery_is_kept_once
    of_equal_deliveries_at_once_one_is_kept
    the_same_event_handed_in_again_is_kept_once
    one_bad_command_spoils_nothing_for_its_neighbours
    ignored_events_are_kept_not_queued_and_claim_no_key
    a_redelivery_of_a_failed_event_queues_it_again
    jobs_are_claimed_in_order_of_acceptance_and_by_one_worker
    a_lease_that_ran_out_goes_to_another_and_the_first_settles_nothing
    a_start_frees_what_a_dead_process_held
    a_fresh_event_waits_for_no_clock
    a_retry_waits_for_its_time
    settling_fills_the_row_and_makes_each_notice_once
    notices_of_a_chat_wait_in_order_of_acceptance
    a_send_is_begun_and_settled
    an_unanswered_send_is_remembered
    sends_of_a_dead_process_wait_again_as_unanswered
    inbound_items_are_done_once
    answers_may_tell_of_one_event_twice
    a_refusal_is_found_within_its_hour
    lists_filter
    pages_follow_one_another_and_do_not_move
    a_tail_sees_what_is_newer_oldest_first
    a_replay_is_a_new_event_of_the_same_bytes
    refusals_are_kept_with_reason_and_first_bytes
    pruning_forgets_the_old_and_spares_what_is_not_done
    much_is_pruned_in_slices
    counts_are_true
    commits_wake_those_who_wait
    closing_finishes_what_waits_and_ends_it
}

// ---- what the SQLite engine promises beyond it -----------------------------------------------------------------------

fn options(dir: &Path) -> SqliteOptions {
    SqliteOptions::new(dir.join("ledger.db"), Arc::new(StoppedClock))
}

fn open(dir: &Path) -> Arc<SqliteLedger> {
    SqliteLedger::open(options(dir)).expect("opened")
}

#[tokio::test]
async fn an_event_that_waited_at_a_digest_is_told_of_in_the_next_one() {
    use hookhand::ledger::digest::{DigestLedger, ToldDigest};
    use hookhand::ledger::runs::RunLedger;

    let (_dir, ledger) = fresh();
    ledger.sync_schedules("digest", vec![("digest".into(), "r".into())], at(0)).await.expect("in use");
    keep_processed(&*ledger, event(1), vec![]).await;
    keep(&*ledger, event(2)).await;
    keep(&*ledger, event(3)).await;
    let first = ledger.account(at(0)).await.expect("an account");
    assert_eq!((first.total(), first.with_status("accepted"), first.earlier.len()), (3, 2, 0));
    let told = |fire_at, upto_seq, n| ToldDigest {
        schedule: "digest".into(),
        fire_at,
        upto_seq,
        events: 3,
        notice: NewNotice { created_at: fire_at, ..notice(n, &ChatKey::terminal(), None) },
    };
    assert!(ledger.tell_digest(told(at(100), first.upto_seq, 1)).await.expect("told"));
    assert!(!ledger.tell_digest(told(at(100), first.upto_seq, 2)).await.expect("once"));

    let claimed = ledger.claim(at(200), LEASE, 10).await.expect("claimed");
    let [one, two] = claimed.as_slice() else { panic!("{claimed:?}") };
    let ends = vec![processed(one.id, one.epoch, at(201), vec![]), failed(two.id, two.epoch, at(202))];
    assert_eq!(ledger.settle(ends).await, Ok(vec![true, true]));
    let second = ledger.account(at(0)).await.expect("an account");
    assert_eq!((second.total(), second.failed.len()), (0, 1));
    let earlier: Vec<(&str, u64)> = second.earlier.iter().map(|(status, count)| (status.as_str(), *count)).collect();
    assert_eq!(earlier, [("failed", 1), ("processed", 1)]);
    assert!(ledger.tell_digest(told(at(300), second.upto_seq, 3)).await.expect("told"));
    assert_eq!(ledger.account(at(0)).await.expect("an account").earlier.len(), 0);
}

#[tokio::test]
async fn a_digest_tells_of_what_comes_after_retention_took_everything() {
    use hookhand::ledger::digest::{DigestLedger, ToldDigest};
    use hookhand::ledger::runs::RunLedger;

    let dir = TempDir::new().expect("a temporary folder");
    let ledger = open(dir.path());
    ledger.sync_schedules("digest", vec![("digest".into(), "r".into())], at(0)).await.expect("in use");
    for n in 1..=3 {
        keep_processed(&*ledger, event(n), vec![]).await;
    }
    let upto_seq = ledger.account(at(0)).await.expect("an account").upto_seq;
    let notice = notice(1, &ChatKey::terminal(), None);
    let told = ToldDigest { schedule: "digest".into(), fire_at: at(100), upto_seq, events: 3, notice };
    assert!(ledger.tell_digest(told).await.expect("told"));
    while ledger.prune(at(1000)).await.expect("pruned") > 0 {}
    assert_eq!(listed(&*ledger, EventFilter::default()).await, []);
    keep(&*ledger, event(2000)).await;
    assert_eq!(ledger.account(at(0)).await.expect("an account").total(), 1);
    // The same after a restart in between.
    while ledger.prune(at(3000)).await.expect("pruned") > 0 {}
    let job = ledger.claim(at(2000), LEASE, 1).await.expect("claimed").remove(0);
    ledger.settle(vec![processed(job.id, job.epoch, at(2000), vec![])]).await.expect("settled");
    while ledger.prune(at(3000)).await.expect("pruned") > 0 {}
    ledger.close().await.expect("closed");
    drop(ledger);
    let ledger = open(dir.path());
    assert_eq!(listed(&*ledger, EventFilter::default()).await, []);
    keep(&*ledger, event(4000)).await;
    assert_eq!(ledger.account(at(0)).await.expect("an account").total(), 1);
}

#[tokio::test]
async fn a_schedule_survives_a_clock_that_ran_far_ahead_and_starts_nothing_twice_after_a_small_step_back() {
    use hookhand::ledger::runs::RunLedger;
    const DAY_MS: i64 = 24 * 3_600_000;

    let (_dir, ledger) = fresh();
    let rules = || vec![("workflow:w".to_owned(), "0 * * * * UTC".to_owned())];
    let after = async |now| ledger.sync_schedules("workflow:", rules(), now).await.expect("in use")[0].after();
    assert_eq!(after(at(0)).await, at(0));
    // An hour back, as time synchronisation does it: what was dealt with stays so.
    ledger.start_scheduled("workflow:w", at(7_200_000), None).await.expect("dealt with");
    assert_eq!(after(at(3_600_000)).await, at(7_200_000));
    assert_eq!(ledger.start_scheduled("workflow:w", at(7_200_000), None).await, Ok(None));
    // A month ahead and back again: times count from now, and not in a month.
    ledger.start_scheduled("workflow:w", at(30 * DAY_MS), None).await.expect("dealt with");
    assert_eq!(after(at(8_000_000)).await, at(8_000_000));
    // The same for one that was first seen with the wrong clock.
    ledger.sync_schedules("digest", vec![("digest".into(), "r".into())], at(60 * DAY_MS)).await.expect("in use");
    let digest = ledger.sync_schedules("digest", vec![("digest".into(), "r".into())], at(1)).await.expect("in use");
    assert_eq!(digest[0].after(), at(1));
}

#[tokio::test]
async fn nothing_is_acknowledged_once_the_files_are_gone_and_again_when_they_are_back() {
    for name in ["ledger.db", "ledger.db-wal"] {
        let dir = tempfile::tempdir().expect("a folder");
        let ledger = open(dir.path());
        ledger.ingest(event(1)).await.expect("kept");
        let (path, away) = (dir.path().join(name), dir.path().join("away"));
        std::fs::rename(&path, &away).expect("moved");
        let error = ledger.ingest(event(2)).await.expect_err("nobody would find it");
        assert!(error.to_string().contains("was deleted or replaced"), "{error}");
        std::fs::write(&path, "another file").expect("written");
        assert!(matches!(ledger.ingest(event(3)).await, Err(LedgerError::Unavailable(_))));
        std::fs::rename(&away, &path).expect("moved back");
        ledger.ingest(event(4)).await.expect("kept");
        ledger.close().await.expect("closed");
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_drop_without_close() {
    let dir = TempDir::new().expect("a temporary folder");
    let ledger = open(dir.path());
    let id = keep(ledger.as_ref(), delivery(1, "d-1")).await;
    drop(ledger);
    let ledger = open(dir.path());
    assert_eq!(ledger.ingest(delivery(2, "d-1")).await, Ok(Ingested::Duplicate { first: id }));
    assert_eq!(claim_ids(ledger.as_ref(), at(5), 9).await, [id]);
}

#[tokio::test]
async fn what_was_answered_is_in_the_files_at_that_moment() {
    let (dir, ledger) = fresh();
    for n in 0..20 {
        let id = keep(ledger.as_ref(), event(n)).await;
        let copy = TempDir::new().expect("a temporary folder");
        for name in ["ledger.db", "ledger.db-wal"] {
            let from = dir.path().join(name);
            std::fs::copy(&from, copy.path().join(name)).expect("copied");
        }
        let after_crash = open(copy.path());
        assert!(after_crash.event(id).await.expect("read").is_some(), "event {n} was acknowledged and is lost");
    }
}

#[tokio::test]
async fn a_full_inbox_says_busy_and_keeps_nothing() {
    let dir = TempDir::new().expect("a temporary folder");
    let ledger = SqliteLedger::open(SqliteOptions { inbox_max: 1, ..options(dir.path()) }).expect("opened");
    let outcomes = futures::future::join_all((0..500).map(|n| ledger.ingest(event(n)))).await;
    let kept = outcomes.iter().filter(|outcome| **outcome == Ok(Ingested::Kept)).count();
    let busy = outcomes.iter().filter(|outcome| **outcome == Err(LedgerError::Busy)).count();
    assert_eq!(kept + busy, 500);
    assert!(busy > 0, "500 at once do not fit one place");
    assert_eq!(ledger.stats().await.expect("stats").queue_depth, kept as u64);
}

#[tokio::test]
async fn only_the_newest_refusals_are_kept() {
    let dir = TempDir::new().expect("a temporary folder");
    let ledger = SqliteLedger::open(SqliteOptions { rejected_max: 10, ..options(dir.path()) }).expect("opened");
    keep(ledger.as_ref(), event(0)).await;
    for n in 1..=40 {
        let status = if n % 2 == 0 { EventStatus::Duplicate } else { EventStatus::Rejected };
        assert!(ledger.record_refused(refused(n, status)));
        keep(ledger.as_ref(), event(100 + n)).await;
    }
    ledger.close().await.expect("closed");
    let ledger = SqliteLedger::open_read_only(dir.path().join("ledger.db")).expect("opened");
    let sql = "SELECT id FROM events WHERE status IN ('rejected', 'duplicate') ORDER BY id";
    let rows = ledger.query(sql, 100).await.expect("read").rows;
    let expected: Vec<_> = (31..=40).map(|n| vec![serde_json::json!(event_id(n).to_string())]).collect();
    assert_eq!(rows, expected);
    let counters = "SELECT (SELECT count(*) FROM events GROUP BY status HAVING status = 'rejected')
        = (SELECT value FROM counters WHERE name = 'events.rejected')";
    assert_eq!(ledger.query(counters, 1).await.expect("read").rows, [[serde_json::json!(1)]]);
}

#[tokio::test]
async fn a_read_only_ledger_reads_while_the_agent_runs_and_after() {
    let (dir, agent) = fresh();
    let path = dir.path().join("ledger.db");
    keep(agent.as_ref(), event(1)).await;
    let beside = SqliteLedger::open_read_only(&path).expect("opened");
    keep(agent.as_ref(), event(2)).await;
    assert_eq!(listed(beside.as_ref(), EventFilter::default()).await, [event_id(2), event_id(1)]);
    let writes = beside.ingest(event(3)).await;
    assert_eq!(writes, Err(LedgerError::Unavailable("it was opened read-only".into())));
    agent.close().await.expect("closed");
    drop((agent, beside));
    let alone = SqliteLedger::open_read_only(&path).expect("opened");
    assert_eq!(listed(alone.as_ref(), EventFilter::default()).await, [event_id(2), event_id(1)]);
    drop(alone);
    // After a crash the log must be read too.
    let crashed = TempDir::new().expect("a temporary folder");
    let agent = open(dir.path());
    keep(agent.as_ref(), event(3)).await;
    for name in ["ledger.db", "ledger.db-wal"] {
        std::fs::copy(dir.path().join(name), crashed.path().join(name)).expect("copied");
    }
    let after_crash = SqliteLedger::open_read_only(crashed.path().join("ledger.db")).expect("opened");
    assert_eq!(listed(after_crash.as_ref(), EventFilter::default()).await, [3, 2, 1].map(event_id));
}

#[tokio::test]
async fn a_read_only_ledger_is_not_made_where_none_is() {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join("ledger.db");
    let error = SqliteLedger::open_read_only(&path).expect_err("nothing there");
    assert_eq!(error.to_string(), format!("no ledger at {}: has the agent run here?", path.display()));
    assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
}

#[tokio::test]
async fn a_second_agent_is_kept_out_and_the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, agent) = fresh();
    keep(agent.as_ref(), event(1)).await;
    for entry in std::fs::read_dir(dir.path()).expect("readable") {
        let entry = entry.expect("readable");
        let mode = entry.metadata().expect("readable").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    let second = SqliteLedger::open(options(dir.path())).expect_err("locked");
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    agent.close().await.expect("closed");
    SqliteLedger::open(options(dir.path())).expect("free again");
}

#[tokio::test]
async fn foreign_damaged_and_newer_files_are_refused_with_the_reason() {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join("ledger.db");
    std::fs::write(&path, "this is a shopping list, long enough to be taken for a header".repeat(20)).expect("written");
    let error = SqliteLedger::open(options(dir.path())).expect_err("no database");
    assert!(matches!(error, OpenError::NotALedger(_)), "{error}");
    std::fs::remove_file(&path).expect("removed");

    open(dir.path()).close().await.expect("closed");
    let mut bytes = std::fs::read(&path).expect("read");
    // user_version, at offset 60 of the header.
    bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
    std::fs::write(&path, bytes).expect("written");
    for error in [
        SqliteLedger::open(options(dir.path())).expect_err("newer"),
        SqliteLedger::open_read_only(&path).expect_err("newer"),
    ] {
        assert!(matches!(error, OpenError::Newer { found: 999, .. }), "{error}");
    }
}

#[tokio::test]
async fn sql_reads_and_cannot_write() {
    let (dir, ledger) = fresh();
    let id = keep(ledger.as_ref(), event(1)).await;
    let target = dir.path().join("other.db");
    let attach = format!("ATTACH '{}' AS other", target.display());
    let vacuum = format!("VACUUM INTO '{}'", target.display());
    for sql in [
        "INSERT INTO handlers_seen VALUES ('x', 1)",
        "UPDATE events SET status = 'failed' RETURNING id",
        "DELETE FROM events",
        "DROP TABLE events",
        "CREATE TEMP TABLE t (a)",
        "PRAGMA query_only = OFF",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 7",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA writable_schema = ON",
        "BEGIN IMMEDIATE",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM events",
        "",
        "SELEC",
        &attach,
        &vacuum,
    ] {
        let answer = ledger.query(sql, 10).await;
        assert!(matches!(answer, Err(LedgerError::Invalid(_))), "{sql}: {answer:?}");
    }
    assert!(!target.exists());
    assert_eq!(listed(ledger.as_ref(), EventFilter::default()).await, [id]);
    let result = ledger
        .query("SELECT 1 AS a, x'00ff' AS b, NULL AS c, 1.5 AS d, CAST(x'ff41' AS TEXT) AS e", 10)
        .await
        .expect("read");
    assert_eq!(result.columns, ["a", "b", "c", "d", "e"]);
    assert_eq!(
        result.rows,
        [serde_json::json!([1, "x'00ff'", null, 1.5, "\u{fffd}A"]).as_array().expect("one").clone()]
    );
    let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9) SELECT i FROM n";
    let cut = ledger.query(rows, 5).await.expect("read");
    assert!(cut.truncated && cut.rows.len() == 5);
    assert!(!ledger.query(rows, 9).await.expect("read").truncated);
    assert!(!ledger.query("PRAGMA table_info(events)", 99).await.expect("read").rows.is_empty());
}

#[tokio::test]
async fn webhook_events_can_be_queried_as_earlier_documents_show() {
    let (_dir, ledger) = fresh();
    keep_processed(ledger.as_ref(), event(1), Vec::new()).await;
    let form = Bytes::from_static(br#"{"form":true}"#);
    keep(ledger.as_ref(), NewEvent { payload: Some(form), verdict: Verdict::Unsigned, ..event(2) }).await;
    assert!(ledger.record_refused(refused(1234, EventStatus::Rejected)));
    flush_refused(ledger.as_ref(), 1).await;
    let rows = |sql: &'static str| {
        let ledger = ledger.clone();
        async move { ledger.query(sql, 10).await.expect("read").rows }
    };
    let recent = rows("SELECT * FROM webhook_events ORDER BY processed_at DESC LIMIT 10").await;
    let id = |n| serde_json::json!(event_id(n).to_string());
    assert_eq!(recent.len(), 3);
    assert_eq!(recent[0][0], id(1234));
    assert_eq!(recent[0][4], at(1234).to_string());
    assert_eq!(
        recent[1],
        [id(1), "pull_request.opened".into(), r#"{"n":1}"#.into(), 1.into(), at(1).to_string().into()]
    );
    assert_eq!(recent[2], [id(2), "pull_request.opened".into(), r#"{"form":true}"#.into(), 0.into(), ().into()]);
    let bad = rows("SELECT id FROM webhook_events WHERE signature_valid = false AND processed_at IS NOT NULL").await;
    assert_eq!(bad, [[id(1234)]]);
    let json = rows("SELECT json_extract(payload, '$.n') FROM webhook_events WHERE signature_valid").await;
    assert_eq!(json, [[serde_json::json!(1)]]);
}

/// Events 1 to `count`, each with a notice for `chat` that wants sentences.
async fn want_summaries(ledger: &SqliteLedger, chat: &ChatKey, count: u64) -> Vec<NoticeId> {
    let mut ids = Vec::new();
    for n in 1..=count {
        ledger.ingest(event(n)).await.expect("kept");
        let job = ledger.claim(at(10), LEASE, 1).await.expect("claimed").remove(0);
        let mut settlement = processed(job.id, job.epoch, at(11), vec![notice(n, chat, Some(job.id))]);
        let Settled::Processed { summarize, .. } = &mut settlement.outcome else { panic!("it was processed") };
        *summarize = true;
        assert_eq!(ledger.settle(vec![settlement]).await, Ok(vec![true]));
        ids.push(notice_id(n));
    }
    ids
}

#[tokio::test]
async fn notices_wait_for_sentences_once_they_are_sent_and_each_wait_ends_once() {
    let (_dir, ledger) = fresh();
    let chat = ChatKey::telegram(1, None);
    let ids = want_summaries(&ledger, &chat, 3).await;
    assert!(ledger.summaries_wanted(9).await.expect("read").is_empty(), "nothing was sent yet");
    ledger.begin_send(&ids, at(12)).await.expect("begun");
    assert!(ledger.summaries_wanted(9).await.expect("read").is_empty(), "nor confirmed");
    let digest = || SendSettled::Sent { message_id: Some(7), digest: Some("2 more events".into()) };
    let alone = SendSettled::Sent { message_id: Some(6), digest: None };
    let sends = vec![sent(ids[0], alone), sent(ids[1], digest()), sent(ids[2], digest())];
    ledger.settle_send(sends).await.expect("settled");
    let wanted = ledger.summaries_wanted(9).await.expect("read");
    let seen: Vec<_> = wanted.iter().map(|w| (w.notice, w.event, w.message_id, w.digest, w.sent, w.attempts)).collect();
    assert_eq!(
        seen,
        [
            (ids[0], event_id(1), Some(6), false, true, 0),
            (ids[1], event_id(2), Some(7), true, true, 0),
            (ids[2], event_id(3), Some(7), true, true, 0),
        ]
    );
    ledger.begin_summaries(vec![ids[0]]).await.expect("counted");
    assert_eq!(ledger.summaries_wanted(1).await.expect("read")[0].attempts, 1);

    let ready = |text: &str| SummarySettled::Ready { text: text.into(), model: "test/m".into() };
    let stands = SummarySettled::Stands { reason: "it is empty".into() };
    let settled = vec![(ids[0], stands), (ids[1], ready("Both.")), (ids[2], ready("Both."))];
    ledger.settle_summaries(settled, at(60)).await.expect("settled");
    ledger.settle_summaries(vec![(ids[0], ready("Too late."))], at(61)).await.expect("ignored");
    assert!(ledger.summaries_wanted(9).await.expect("read").is_empty());
    let edits = ledger.edits_waiting(9).await.expect("read");
    assert_eq!(edits.len(), 1, "one message, however many notices: {edits:?}");
    assert_eq!((edits[0].text.as_str(), edits[0].digest.as_deref()), ("Both.", Some("2 more events")));
    assert_eq!(edits[0].notices.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids[1..]);
    ledger.settle_edit(ids[1..].to_vec(), EditSettled::Shown, at(70)).await.expect("settled");
    assert!(ledger.edits_waiting(9).await.expect("read").is_empty());
    let states = |rows: Vec<EventId>| {
        let ledger = Arc::clone(&ledger);
        async move {
            let mut states = Vec::new();
            for id in rows {
                let event = ledger.event(id).await.expect("read").expect("there");
                let last = event.timeline.last().map(|entry| (entry.what.clone(), entry.detail.clone()));
                states.push((event.row.notices[0].state, last));
            }
            states
        }
    };
    let said = |what: &str, detail: &str| Some((what.to_owned(), Some(detail.to_owned())));
    assert_eq!(
        states(vec![event_id(1), event_id(3)]).await,
        [
            (NoticeState::Sent, said("summary_kept", "it is empty")),
            (NoticeState::Edited, said("notice_edited", "test/m")),
        ]
    );
}

#[tokio::test]
async fn what_waits_for_sentences_and_what_calls_cost_goes_when_events_do() {
    let (_dir, ledger) = fresh();
    let chat = ChatKey::telegram(1, None);
    let ids = want_summaries(&ledger, &chat, 1).await;
    ledger.begin_send(&ids, at(12)).await.expect("begun");
    let sent_alone = SendSettled::Sent { message_id: Some(6), digest: None };
    ledger.settle_send(vec![sent(ids[0], sent_alone)]).await.expect("settled");
    let call = NewModelCall {
        at: at(20),
        purpose: Purpose::Summary,
        model: "test/m".into(),
        event: Some(event_id(1)),
        run: None,
        tokens_in: 10,
        tokens_out: 10,
        micro_usd: 5,
    };
    let bounds = ModelBounds { day_began: at(0), day_micro_usd_max: 8, event_tokens_max: 30 };
    assert!(matches!(ledger.begin_model_call(call.clone(), bounds).await, Ok(ModelCallBegun::Begun(_))));
    let dearer = NewModelCall { event: None, ..call.clone() };
    let refused = ledger.begin_model_call(dearer.clone(), bounds).await;
    assert_eq!(refused, Ok(ModelCallBegun::OverBudget { micro_usd: 5 }), "an open call counts in full");
    assert_eq!(ledger.begin_model_call(call, bounds).await, Ok(ModelCallBegun::EventFull { tokens: 20 }));
    let tomorrow = ModelBounds { day_began: at(21), ..bounds };
    assert!(matches!(ledger.begin_model_call(dearer, tomorrow).await, Ok(ModelCallBegun::Begun(_))));
    assert_eq!(ledger.prune(at(1000)).await, Ok(1));
    for table in ["notice_summaries", "model_calls", "notices"] {
        let rows = ledger.query(&format!("SELECT count(*) FROM {table}"), 1).await.expect("read").rows;
        assert_eq!(rows, [[serde_json::json!(0)]], "{table}");
    }
}
