//! The live stream: what changed, told to browsers and scripts as server-sent events.
//!
//! A stream looks at the newest events, runs and approvals after each change, at most four times a second, and tells the rows
//! that are new or different since it looked last. So a burst costs it no more than a trickle, and a slow reader holds up
//! nobody: what it missed is one `reset`. What is older than the newest rows and changes is not told.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use warp::reply::{Reply, Response};
use warp::sse;

use super::call::Call;
use crate::dashboard::LocalApi;
use crate::dashboard::problem::Problem;
use crate::domain::event::EventStatus;
use crate::domain::ids::{EventId, NoticeId};
use crate::domain::notice::NoticeState;
use crate::ledger::runs::{ApprovalFilter, RunFilter};
use crate::ledger::{EventFilter, EventRow, LedgerError};

/// Streams at one time.
const STREAMS_MAX: usize = 16;
/// Rows of each kind that a look covers.
const ROWS_LOOKED_AT: usize = 50;
/// Events that a stream that comes back is told; more are a `reset`.
const CAUGHT_UP_MAX: usize = 200;
/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// A comment is sent when nothing else was for so long, so that both sides notice a dead connection.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// Where a row says when it ended: an event, a notice, a run, an approval.
const ENDS: [&str; 4] = ["processed_at", "sent_at", "ended_at", "closed_at"];

/// The places for streams, and when they must end.
#[derive(Debug)]
pub struct Streams {
    places: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl Streams {
    /// `stopping`: the agent ends.
    pub fn new(stopping: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(STREAMS_MAX)), stopping }
    }
}

pub(super) async fn stream(call: Call) -> Result<Response, Problem> {
    let streams = &call.api.streams;
    let place = Arc::clone(&streams.places).try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable(format!("there are {STREAMS_MAX} streams already")))?;
    let last = call.headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<EventId>().ok());
    let news = call.api.ledger.changes().news.subscribe();
    let teller =
        Teller { api: Arc::clone(&call.api), news, known: Known::default(), newest: last, waiting: Vec::new() };
    let stopping = streams.stopping.clone();
    Ok(sse::reply(Shared(Mutex::new(Box::pin(told(teller, last, stopping, place))))).into_response())
}

/// A stream that may be shared between threads, as the server wants its bodies, for nobody can reach into it from two.
struct Shared<S>(Mutex<Pin<Box<S>>>);

impl<S: Stream> Stream for Shared<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let inner = self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner);
        inner.as_mut().poll_next(context)
    }
}

/// The stream itself: what is new, or a sign of life.
fn told(
    teller: Teller,
    last: Option<EventId>,
    stopping: CancellationToken,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<sse::Event, std::convert::Infallible>> + Send + 'static {
    let begun = false;
    futures::stream::unfold((teller, begun, place), move |(mut teller, begun, place)| {
        let stopping = stopping.clone();
        async move {
            let next = async {
                if !begun {
                    teller.begin(last).await;
                }
                teller.next().await
            };
            let message = tokio::select! {
                message = next => message,
                () = stopping.cancelled() => return None,
            };
            Some((Ok(message), (teller, true, place)))
        }
    })
}

/// One row that changed.
struct Told {
    kind: &'static str,
    row: Value,
}

/// What one stream knows.
struct Teller {
    api: Arc<LocalApi>,
    news: watch::Receiver<u64>,
    known: Known,
    /// The newest event that was told; the id that a stream comes back with.
    newest: Option<EventId>,
    /// What is to be told, last first.
    waiting: Vec<Told>,
}

/// Rows that were seen, as hashes of what they showed.
#[derive(Default)]
struct Known(HashMap<String, u64>);

impl Known {
    /// Whether the row is new or shows something else; it is known from now on.
    fn is_news(&mut self, id: &str, row: &Value) -> bool {
        let mut hasher = DefaultHasher::new();
        row.to_string().hash(&mut hasher);
        let now = hasher.finish();
        self.0.insert(id.to_owned(), now) != Some(now)
    }
}

impl Teller {
    /// What is there at the start is known; what came and changed since `last` is told.
    async fn begin(&mut self, last: Option<EventId>) {
        // Errors show again at the first change.
        let there = self.look().await.unwrap_or_default();
        let missed = match last {
            Some(last) => self.missed(last, there).await.unwrap_or(None),
            None => None,
        };
        self.waiting = match missed {
            Some(mut rows) => {
                rows.reverse();
                rows
            }
            None => vec![reset()],
        };
    }

    /// Events after `last`, and of the rows that are `there` those that are open or ended since: a state that goes on may be
    /// told twice, what came and ended before is not. `None` when there are too many to tell.
    async fn missed(&mut self, last: EventId, there: Vec<Told>) -> Result<Option<Vec<Told>>, LedgerError> {
        let filter = EventFilter { after: Some(last), limit: CAUGHT_UP_MAX, ..EventFilter::default() };
        let rows = self.api.ledger.events(filter).await?.items;
        if rows.len() >= CAUGHT_UP_MAX {
            return Ok(None);
        }
        let new: HashSet<String> = rows.iter().map(|row| row.id.to_string()).collect();
        let mut missed = Vec::new();
        for event in &rows {
            let (row, _notices) = without_notices(event);
            // One that came after the look is told here and not again by the next.
            self.known.is_news(&event.id.to_string(), &row);
            missed.push(Told { kind: "event", row });
        }
        self.newest = rows.last().map(|row| row.id).or(self.newest);
        let since = last.ulid().timestamp_ms();
        let is_told = |told: &Told| told.row["id"].as_str().is_some_and(|id| new.contains(id));
        missed.extend(there.into_iter().filter(|told| !is_told(told) && may_have_changed(told, since)));
        Ok(Some(missed))
    }

    /// The next message; waits until there is one.
    async fn next(&mut self) -> sse::Event {
        loop {
            if let Some(told) = self.waiting.pop() {
                return self.message(told);
            }
            let clock = Arc::clone(&self.api.clock);
            tokio::select! {
                changed = self.news.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                () = clock.sleep(HEARTBEAT_EVERY) => return sse::Event::default().comment("alive"),
            }
            match self.look().await {
                Ok(mut rows) => {
                    rows.reverse();
                    self.waiting = rows;
                }
                Err(error) => {
                    tracing::debug!(%error, "a stream cannot look");
                    self.waiting = vec![reset()];
                }
            }
            clock.sleep(LOOK_PAUSE).await;
        }
    }

    /// What is new among the newest rows, oldest first.
    async fn look(&mut self) -> Result<Vec<Told>, LedgerError> {
        self.news.mark_unchanged();
        let limit = ROWS_LOOKED_AT;
        let events = self.api.ledger.events(EventFilter { limit, ..EventFilter::default() }).await?;
        let runs = self.api.triggers.engine.ledger();
        let approvals = runs.approvals(ApprovalFilter { limit, ..ApprovalFilter::default() }).await?;
        let runs = runs.runs(RunFilter { limit, ..RunFilter::default() }).await?;
        let before = std::mem::take(&mut self.known);
        let (mut rows, mut fresh) = (Vec::new(), 0);
        let mut see = |kind, id: String, row: Value| {
            let was = before.0.get(&id).copied();
            if let Some(was) = was {
                self.known.0.insert(id.clone(), was);
            }
            if self.known.is_news(&id, &row) {
                fresh += usize::from(kind == "event" && was.is_none());
                rows.push(Told { kind, row });
            }
        };
        for event in events.items.iter().rev() {
            let (row, notices) = without_notices(event);
            see("event", event.id.to_string(), row);
            for notice in notices.iter().filter_map(Value::as_array).flatten() {
                let id = notice["id"].as_str().unwrap_or_default().to_owned();
                let mut row = notice.clone();
                row["event_id"] = value(&event.id);
                see("notice", id, row);
            }
        }
        runs.items.iter().rev().for_each(|run| see("run", run.id.to_string(), value(run)));
        approvals.items.iter().rev().for_each(|approval| see("approval", approval.id.to_string(), value(approval)));
        self.newest = events.items.first().map(|event| event.id).or(self.newest);
        // Where every event that was looked at is new, others were not seen.
        if fresh >= ROWS_LOOKED_AT && !before.0.is_empty() {
            rows.insert(0, reset());
        }
        Ok(rows)
    }

    fn message(&self, told: Told) -> sse::Event {
        let mut message = sse::Event::default().event(told.kind).data(told.row.to_string());
        // Who comes back goes on behind the last of what was told together.
        if let Some(newest) = self.newest.filter(|_| self.waiting.is_empty()) {
            message = message.id(newest.to_string());
        }
        message
    }
}

fn reset() -> Told {
    Told { kind: "reset", row: json!({ "detail": "something may have been missed: load the lists again" }) }
}

/// An event's row, and its notices, which are told by themselves.
fn without_notices(event: &EventRow) -> (Value, Option<Value>) {
    let mut row = value(event);
    let notices = row.as_object_mut().and_then(|row| row.shift_remove("notices"));
    (row, notices)
}

/// Whether a row is open, or ended at or after `since` (milliseconds).
fn may_have_changed(told: &Told, since: u64) -> bool {
    let row = &told.row;
    let ended = ENDS.iter().find_map(|name| row.get(name)?.as_str()?.parse::<jiff::Timestamp>().ok());
    match (told.kind, ended) {
        (_, Some(at)) => u64::try_from(at.as_millisecond()).is_ok_and(|at| at >= since),
        // A request that was refused, ignored or a duplicate has no end: it stays as it came.
        ("event", None) => row["status"] == EventStatus::Accepted.as_str(),
        // A muted notice is never sent, and is made in the moment in which its event was worked on.
        ("notice", None) if row["state"] == NoticeState::Muted.as_str() => row["id"]
            .as_str()
            .and_then(|id| id.parse::<NoticeId>().ok())
            .is_some_and(|id| id.ulid().timestamp_ms() >= since),
        (_, None) => true,
    }
}

fn value(row: &impl Serialize) -> Value {
    serde_json::to_value(row).unwrap_or_default()
}
