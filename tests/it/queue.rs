//! The queue: it wakes by commits, tries again, gives up visibly, and survives a worker that panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookhand::domain::event::{DeliveryKey, EventStatus, Verdict};
use hookhand::domain::ids::{EventId, NoticeId};
use hookhand::domain::notice::{ChatKey, Message, NoticeKind, Severity};
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ledger::{ClaimedEvent, EventDetail, Ingested, Ledger, NewEvent, NewNotice};
use hookhand::ports::{Clock, Ids, RandomIds};
use hookhand::queue::{ATTEMPTS_MAX, BEGINNINGS_MAX, EventWorker, Queue, Worked};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::clock::FakeClock;

/// What the worker does with each event.
#[derive(Debug, Clone, Copy)]
enum Does {
    Works,
    Fails,
    Panics,
}

#[derive(Debug)]
struct Worker {
    does: Does,
    begun: AtomicU32,
    told: Notify,
}

#[async_trait]
impl EventWorker for Worker {
    async fn work(&self, event: &ClaimedEvent) -> Result<Worked, String> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.told.notify_one();
        match self.does {
            Does::Works => Ok(Worked {
                title: format!("worked on {}", event.event),
                url: None,
                subject: None,
                severity: Severity::Info,
                notices: Vec::new(),
                summarize: false,
            }),
            Does::Fails => Err("the template is broken".into()),
            Does::Panics => panic!("a worker's bug"),
        }
    }

    fn give_up(&self, event: &ClaimedEvent, error: &str) -> Vec<NewNotice> {
        // Each life in the queue has an epoch of its own, and each notice an id of its own.
        let id = NoticeId::new(ulid::Ulid(event.id.ulid().0 + u128::from(event.epoch.unsigned_abs())));
        let message = Message::title(format!("gave up: {error}"));
        let chat = ChatKey::terminal();
        let (kind, created_at) = (NoticeKind::System, event.received_at);
        vec![NewNotice { id, chat, kind, event: Some(event.id), reply_to: None, message, created_at }]
    }
}

struct World {
    _folder: tempfile::TempDir,
    clock: Arc<FakeClock>,
    ledger: Arc<SqliteLedger>,
    worker: Arc<Worker>,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
    ids: RandomIds,
}

impl World {
    fn new(does: Does) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = FakeClock::new();
        let options = SqliteOptions::new(folder.path().join("ledger.db"), clock.clone());
        let ledger = SqliteLedger::open(options).expect("a ledger");
        let worker = Arc::new(Worker { does, begun: AtomicU32::new(0), told: Notify::new() });
        let stop = CancellationToken::new();
        Self { _folder: folder, clock, ledger, worker, stop, running: None, ids: RandomIds::default() }
    }

    fn start(&mut self) {
        let queue = Queue { ledger: self.ledger.clone(), worker: self.worker.clone(), clock: self.clock.clone() };
        let stop = self.stop.clone();
        self.running = Some(tokio::spawn(async move { queue.run(stop).await }));
    }

    async fn deliver(&self, delivery: &str) -> (EventId, Ingested) {
        let now = self.clock.now();
        let handler = "github".parse().expect("a name");
        let id = EventId::new(self.ids.ulid(now));
        let event = NewEvent {
            id,
            delivery_id: Some(delivery.into()),
            delivery_key: Some(DeliveryKey::new(&handler, delivery)),
            handler,
            provider: "github".into(),
            event: "push".into(),
            verdict: Verdict::Valid,
            status: EventStatus::Accepted,
            reason: None,
            received_at: now,
            client_ip: [127, 0, 0, 1].into(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            body_sha256: [0; 32],
            payload: None,
        };
        (id, self.ledger.ingest(event).await.expect("kept"))
    }

    /// Waits, the clock moving as the queue sleeps on it, until the event has left the queue.
    async fn settled(&self, id: EventId) -> EventDetail {
        let mut changed = self.ledger.changes().events.subscribe();
        self.clock
            .run_until(async {
                loop {
                    let event = self.ledger.event(id).await.expect("read").expect("there");
                    if event.row.status != EventStatus::Accepted {
                        return event;
                    }
                    changed.changed().await.expect("the ledger lives");
                }
            })
            .await
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.running.take().expect("it runs").await.expect("it ended well");
        self.ledger.close().await.expect("closed");
    }
}

#[tokio::test]
async fn an_event_is_worked_on_as_soon_as_it_is_committed_without_any_clock() {
    let mut world = World::new(Does::Works);
    world.start();
    for delivery in ["a", "b", "c"] {
        let (id, _) = world.deliver(delivery).await;
        world.worker.told.notified().await;
        assert_eq!(world.settled(id).await.row.title.as_deref(), Some("worked on push"));
    }
    world.end().await;
}

#[tokio::test]
async fn what_fails_is_tried_again_later_and_then_given_up_in_sight() {
    let mut world = World::new(Does::Fails);
    world.start();
    let began = world.clock.now();
    let (id, _) = world.deliver("d").await;
    let event = world.settled(id).await;
    assert_eq!(event.row.status, EventStatus::Failed);
    assert_eq!(event.row.reason.as_deref(), Some("the template is broken"));
    assert_eq!(world.worker.begun.load(Ordering::SeqCst), ATTEMPTS_MAX);
    // 1 s, 5 s, 25 s and 120 s between the five attempts.
    assert_eq!(world.clock.now().duration_since(began).as_secs(), 151);
    assert_eq!(event.timeline.iter().filter(|entry| entry.what == "retried").count(), 4);
    let told = world.ledger.notices_waiting(&ChatKey::terminal(), 9).await.expect("read");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].message.title, "gave up: the template is broken");
    world.end().await;
}

#[tokio::test]
async fn a_redelivery_of_a_dead_letter_puts_it_back() {
    let mut world = World::new(Does::Fails);
    world.start();
    let (id, _) = world.deliver("d").await;
    world.settled(id).await;
    let (_, again) = world.deliver("d").await;
    assert_eq!(again, Ingested::Requeued { event: id });
    assert_eq!(world.settled(id).await.row.status, EventStatus::Failed);
    assert_eq!(world.worker.begun.load(Ordering::SeqCst), 2 * ATTEMPTS_MAX);
    let told = world.ledger.notices_waiting(&ChatKey::terminal(), 9).await.expect("read");
    assert_eq!(told.len(), 2, "who pressed Redeliver reads that it failed again");
    world.end().await;
}

#[tokio::test]
async fn a_worker_that_panics_costs_its_event_an_attempt_and_nobody_else() {
    let mut world = World::new(Does::Panics);
    world.start();
    let (first, _) = world.deliver("a").await;
    let (second, _) = world.deliver("b").await;
    for id in [first, second] {
        let event = world.settled(id).await;
        assert_eq!(event.row.status, EventStatus::Failed);
        assert!(event.row.reason.is_some_and(|reason| reason.contains("panicked")));
    }
    world.end().await;
}

#[tokio::test]
async fn an_event_that_brings_the_process_down_again_and_again_is_given_up_unseen() {
    let mut world = World::new(Does::Works);
    let (id, _) = world.deliver("poison").await;
    for _ in 0..BEGINNINGS_MAX {
        let held = world.ledger.claim(world.clock.now(), Duration::from_secs(60), 1).await.expect("claimed");
        assert_eq!(held.len(), 1);
        // The process dies here, and its successor frees what it held.
        assert_eq!(world.ledger.recover_claims(world.clock.now()).await, Ok(1));
    }
    world.start();
    let event = world.settled(id).await;
    assert_eq!(event.row.status, EventStatus::Failed);
    assert_eq!(world.worker.begun.load(Ordering::SeqCst), 0, "it was not begun once more");
    world.end().await;
}
