//! A clock that stands still until a test moves it.
//!
//! Nothing here waits for real time: a test waits until somebody sleeps on this clock, then moves it to where that sleep ends.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hookhand::ports::Clock;
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

/// Where every fake clock starts: 2026-01-02 03:04:05 UTC.
pub const START: &str = "2026-01-02T03:04:05Z";

/// Real time after which a test that waits for something is told that it will not come, instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `future`'s result; a panic when it takes longer than any machine needs.
#[track_caller]
pub fn patiently<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let waiting_at = std::panic::Location::caller();
    async move {
        let result = tokio::time::timeout(PATIENCE, future).await;
        result.unwrap_or_else(|_| panic!("what {waiting_at} waits for does not happen"))
    }
}

/// The clock.
#[derive(Debug)]
pub struct FakeClock {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    next_id: u64,
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
}

impl FakeClock {
    /// A clock at [`START`].
    pub fn new() -> Arc<Self> {
        let now = START.parse().expect("a timestamp");
        let state = Mutex::new(State { now, next_id: 0, sleepers: BTreeMap::new() });
        Arc::new(Self { state, changed: watch::Sender::new(0) })
    }

    /// Moves the clock and wakes those whose time has come.
    pub fn advance(&self, by: Duration) {
        let target = self.now() + by;
        self.move_to(target);
    }

    /// Moves the clock to the end of the earliest sleep; false when nobody sleeps.
    pub fn advance_to_next(&self) -> bool {
        let next = self.next_deadline();
        if let Some(at) = next {
            self.move_to(at);
        }
        next.is_some()
    }

    /// How many sleep.
    pub fn sleepers(&self) -> usize {
        self.state.lock().expect("not poisoned").sleepers.len()
    }

    /// The end of the earliest sleep.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.state.lock().expect("not poisoned").sleepers.keys().next().map(|(at, _)| *at)
    }

    /// Returns once at least `count` sleep.
    pub async fn until_sleeping(&self, count: usize) {
        let mut changed = self.changed.subscribe();
        let asleep = async {
            while self.sleepers() < count {
                changed.changed().await.expect("the clock outlives its waiters");
            }
        };
        patiently(asleep).await;
    }

    /// Waits for `future`, moving the clock from sleep to sleep as long as somebody sleeps.
    pub async fn run_until<T>(&self, future: impl Future<Output = T>) -> T {
        let run = async {
            tokio::pin!(future);
            loop {
                tokio::select! {
                    biased;
                    done = &mut future => return done,
                    () = self.until_sleeping(1) => {
                        self.advance_to_next();
                        // Those who were woken go first.
                        tokio::task::yield_now().await;
                    }
                }
            }
        };
        patiently(run).await
    }

    /// Moves the clock from sleep to sleep until `by` has passed; the last sleep that is seen ends later.
    pub async fn run_for(&self, by: Duration) {
        let target = self.now() + by;
        loop {
            self.until_sleeping(1).await;
            match self.next_deadline() {
                Some(at) if at <= target => {
                    self.move_to(at);
                    tokio::task::yield_now().await;
                }
                Some(_) => break,
                None => {}
            }
        }
        self.move_to(target);
    }

    fn move_to(&self, target: Timestamp) {
        let due = {
            let mut state = self.state.lock().expect("not poisoned");
            state.now = state.now.max(target);
            let later = state.sleepers.split_off(&(target, u64::MAX));
            std::mem::replace(&mut state.sleepers, later)
        };
        for (_, wake) in due {
            let _ = wake.send(());
        }
        self.changed.send_modify(|n| *n += 1);
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.state.lock().expect("not poisoned").now
    }

    async fn sleep_until(&self, at: Timestamp) {
        let (wake, woken) = oneshot::channel();
        let key = {
            let mut state = self.state.lock().expect("not poisoned");
            if at <= state.now {
                return;
            }
            state.next_id += 1;
            let key = (at, state.next_id);
            state.sleepers.insert(key, wake);
            key
        };
        // A sleep that is given up (a select that ended otherwise) leaves the list.
        let _leave = Leave { clock: self, key };
        self.changed.send_modify(|n| *n += 1);
        let _ = woken.await;
    }
}

struct Leave<'a> {
    clock: &'a FakeClock,
    key: (Timestamp, u64),
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.clock.state.lock().expect("not poisoned").sleepers.remove(&self.key);
    }
}
