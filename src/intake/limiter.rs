//! Counts requests per client with governor, in memory that is bounded however many clients come.
//!
//! governor's own keyed stores grow with every new key, so the store is ours: shards of limited size. A client that finds
//! its shard full shares that shard's overflow bucket with the others who did, which limits newcomers in a flood of
//! addresses and never those who were there before. Time comes from the process's clock and never runs back.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};
use jiff::Timestamp;

use super::limits::CLIENTS_TRACKED_MAX;
use crate::config::RateLimit;
use crate::domain::net::ClientKey;
use crate::ports::Clock;

const SHARDS: usize = 16;

/// Forgotten clients are swept out this often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// A full store is swept at most this often.
const SWEEP_FULL_EVERY: Duration = Duration::from_secs(1);

/// A clock that steps back by more than this is taken as set anew; time goes on from where it was.
const STEP_BACK_MIN_NS: i64 = 1_000_000_000;

/// A limiter of one quota.
#[derive(Debug)]
pub struct ClientLimiter {
    inner: RateLimiter<ClientKey, BoundedStore, MonotonicClock, NoOpMiddleware<Nanos>>,
    clock: MonotonicClock,
    full: Arc<AtomicBool>,
    swept_at: AtomicU64,
}

impl ClientLimiter {
    /// A limiter for `limit`: bursts of `max_requests`, refilled evenly over the window.
    pub fn new(limit: RateLimit, clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(limit, clock, CLIENTS_TRACKED_MAX)
    }

    fn with_capacity(limit: RateLimit, clock: Arc<dyn Clock>, clients_max: usize) -> Self {
        let clock = MonotonicClock::new(clock);
        let full = Arc::new(AtomicBool::new(false));
        let store = BoundedStore::new(clients_max, Arc::clone(&full));
        Self {
            inner: RateLimiter::new(quota(limit), store, clock.clone()),
            swept_at: AtomicU64::new(clock.now().as_u64()),
            clock,
            full,
        }
    }

    /// Counts one request of `client`.
    ///
    /// # Errors
    /// When it is over the limit: the whole seconds after which one more is admitted, at least 1.
    pub fn check(&self, client: ClientKey) -> Result<(), u64> {
        let verdict = self.inner.check_key(&client);
        self.sweep_if_due();
        verdict.map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
        })
    }

    /// How many clients are tracked.
    #[cfg(test)]
    fn clients(&self) -> usize {
        self.inner.len()
    }

    fn sweep_if_due(&self) {
        let now = self.clock.now().as_u64();
        let swept_at = self.swept_at.load(Ordering::Relaxed);
        let age = Duration::from_nanos(now.saturating_sub(swept_at));
        let due = age >= SWEEP_EVERY || (age >= SWEEP_FULL_EVERY && self.full.load(Ordering::Relaxed));
        if due && self.swept_at.compare_exchange(swept_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.full.store(false, Ordering::Relaxed);
            self.inner.retain_recent();
            self.inner.shrink_to_fit();
        }
    }
}

fn quota(limit: RateLimit) -> Quota {
    let interval = (limit.window / limit.max_requests.get()).max(Duration::from_nanos(1));
    Quota::with_period(interval).expect("at least a nanosecond").allow_burst(limit.max_requests)
}

/// The process's clock as governor wants it: nanoseconds since the start that never run back.
#[derive(Debug, Clone)]
struct MonotonicClock {
    clock: Arc<dyn Clock>,
    start: Timestamp,
    /// Latest reading and what is added to the raw one, in nanoseconds.
    shared: Arc<(AtomicI64, AtomicI64)>,
}

impl MonotonicClock {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self { start: clock.now(), clock, shared: Arc::default() }
    }
}

impl GovernorClock for MonotonicClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let (latest, added) = &*self.shared;
        let raw = i64::try_from(self.clock.now().duration_since(self.start).as_nanos()).unwrap_or(i64::MAX);
        let reading = raw.saturating_add(added.load(Ordering::Relaxed));
        let before = latest.fetch_max(reading, Ordering::Relaxed);
        if reading.saturating_add(STEP_BACK_MIN_NS) < before {
            // Without this a clock that is set back by an hour would refuse everybody for an hour.
            added.fetch_add(before - reading, Ordering::Relaxed);
        }
        Nanos::new(u64::try_from(reading.max(before)).unwrap_or(0))
    }
}

/// Theoretical arrival times per client, in shards of limited size.
#[derive(Debug)]
struct BoundedStore {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    clients_per_shard: usize,
    full: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Shard {
    arrivals: HashMap<ClientKey, u64>,
    /// What the clients beyond the bound share.
    overflow: Option<Nanos>,
}

impl BoundedStore {
    fn new(clients_max: usize, full: Arc<AtomicBool>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), clients_per_shard: clients_max.div_ceil(SHARDS), full }
    }

    fn each(&self, mut visit: impl FnMut(&mut Shard)) {
        for shard in &self.shards {
            visit(&mut shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl StateStore for BoundedStore {
    type Key = ClientKey;

    fn measure_and_replace<T, F, E>(&self, key: &ClientKey, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let at = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).expect("below the number of shards");
        let mut shard = self.shards[at].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrival) = shard.arrivals.get_mut(key) {
            let (answer, next) = decide(Some(Nanos::new(*arrival)))?;
            *arrival = next.as_u64();
            return Ok(answer);
        }
        if shard.arrivals.len() < self.clients_per_shard {
            let (answer, next) = decide(None)?;
            shard.arrivals.insert(*key, next.as_u64());
            return Ok(answer);
        }
        self.full.store(true, Ordering::Relaxed);
        let (answer, next) = decide(shard.overflow)?;
        shard.overflow = Some(next);
        Ok(answer)
    }
}

impl ShrinkableKeyedStateStore<ClientKey> for BoundedStore {
    fn retain_recent(&self, drop_below: Nanos) {
        self.each(|shard| shard.arrivals.retain(|_, arrival| *arrival > drop_below.as_u64()));
    }

    fn shrink_to_fit(&self) {
        self.each(|shard| shard.arrivals.shrink_to_fit());
    }

    fn len(&self) -> usize {
        let mut clients = 0;
        self.each(|shard| clients += shard.arrivals.len());
        clients
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;

    use async_trait::async_trait;

    use super::*;

    #[derive(Debug, Default)]
    struct HandClock(AtomicI64);

    impl HandClock {
        fn advance(&self, seconds: i64) {
            self.0.fetch_add(seconds, Ordering::SeqCst);
        }
    }

    #[async_trait]
    impl Clock for HandClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(1_700_000_000 + self.0.load(Ordering::SeqCst)).expect("in range")
        }

        async fn sleep_until(&self, _: Timestamp) {}
    }

    fn limit(max_requests: u32, window_seconds: u64) -> RateLimit {
        let max_requests = NonZeroU32::new(max_requests).expect("not zero");
        RateLimit { max_requests, window: Duration::from_secs(window_seconds) }
    }

    fn client(n: u32) -> ClientKey {
        ClientKey::of(IpAddr::V4(Ipv4Addr::from_bits(n)))
    }

    #[test]
    fn a_client_is_held_to_its_share_and_told_when_to_come_back() {
        let clock = Arc::new(HandClock::default());
        let limiter = ClientLimiter::new(limit(3, 60), clock.clone());
        for _ in 0..3 {
            assert_eq!(limiter.check(client(1)), Ok(()));
        }
        assert_eq!(limiter.check(client(1)), Err(20));
        assert_eq!(limiter.check(client(2)), Ok(()), "another client has its own share");
        clock.advance(20);
        assert_eq!(limiter.check(client(1)), Ok(()));
        assert_eq!(limiter.check(client(1)), Err(20));
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let clock = Arc::new(HandClock::default());
        let limiter = ClientLimiter::new(limit(1, 10), clock.clone());
        clock.advance(3600);
        assert_eq!(limiter.check(client(1)), Ok(()));
        clock.advance(-3600);
        assert_eq!(limiter.check(client(1)), Err(10));
        clock.advance(10);
        assert_eq!(limiter.check(client(1)), Ok(()));
    }

    #[test]
    fn two_hundred_thousand_addresses_stay_within_the_bound_and_are_forgotten() {
        let clock = Arc::new(HandClock::default());
        let limiter = ClientLimiter::new(limit(100, 60), clock.clone());
        let mut refused = 0;
        for n in 0..200_000 {
            refused += u32::from(limiter.check(client(n)).is_err());
        }
        assert!(limiter.clients() <= CLIENTS_TRACKED_MAX, "{}", limiter.clients());
        assert!(refused > 100_000, "those beyond the bound share a bucket: {refused}");
        assert_eq!(limiter.check(client(0)), Ok(()), "who was there before keeps its own share");
        clock.advance(120);
        assert_eq!(limiter.check(client(300_000)), Ok(()));
        assert!(limiter.clients() <= 1, "{}", limiter.clients());
    }
}
