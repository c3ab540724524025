//! How fast: backoff after failures, and the rate that all chats of one channel share.
//!
//! Times come in as arguments; nothing here sleeps or reads a clock.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// The first pause after a failure.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Pauses that double from one second to one minute. Without jitter: one process talks to one server.
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure.
    pub(super) fn after_failure(&mut self) -> Duration {
        let pause = BACKOFF_FIRST.saturating_mul(1 << self.failures.min(6)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// It worked: the next failure is a first one.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Hands out the moments at which the chats of one channel may send, so that together they stay below its rate.
#[derive(Debug)]
pub(super) struct Gate(Mutex<Timestamp>);

impl Gate {
    /// An idle channel.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Timestamp::MIN))
    }

    /// The moment, at or after `now`, that belongs to the caller; the next one is `interval` later.
    pub(super) fn reserve(&self, now: Timestamp, interval: Duration) -> Timestamp {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = now.max(*free);
        *free = mine + interval;
        mine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        let seconds: Vec<u64> = (0..9).map(|_| backoff.after_failure().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.after_failure(), BACKOFF_FIRST);
    }

    #[test]
    fn chats_that_ask_at_once_get_moments_one_interval_apart() {
        let gate = Gate::new();
        let now = Timestamp::UNIX_EPOCH;
        let step = Duration::from_millis(40);
        let moments: Vec<i64> = (0..3).map(|_| gate.reserve(now, step).as_millisecond()).collect();
        assert_eq!(moments, [0, 40, 80]);
        assert_eq!(gate.reserve(now + Duration::from_secs(1), step).as_millisecond(), 1000);
    }
}
