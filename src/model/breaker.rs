//! A circuit breaker: a model that keeps failing is left alone for a while, longer each time, and then tried with one call.
//!
//! Pure: times come in, decisions go out.

use std::time::Duration;

use jiff::Timestamp;

/// Failures in a row after which the model is left alone.
pub(super) const FAILURES_MAX: u32 = 4;
/// The first pause.
const PAUSE_FIRST: Duration = Duration::from_secs(30);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// The state of one model.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Breaker {
    /// In a row.
    failures: u32,
    /// How often it was opened in a row.
    opened: u32,
    /// While it is open: until when.
    until: Option<Timestamp>,
}

impl Breaker {
    /// Whether a call may be made at `now`; else until when not. After the pause one caller is let through, and the others
    /// wait for what becomes of that.
    pub(super) fn admit(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        match self.until {
            Some(until) if now < until => Err(until),
            Some(_) => {
                // The trial has this long to report; a trial that is dropped must not keep the model out for ever.
                self.until = Some(now + pause(self.opened));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A call that was let through was not made after all: the next one may be the trial.
    pub(super) fn not_tried(&mut self, now: Timestamp) {
        self.until = self.until.map(|_| now);
    }

    /// A call was answered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call failed for a reason that lies with the model.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        if self.until.is_some() || self.failures >= FAILURES_MAX {
            self.until = Some(now + pause(self.opened));
            self.opened = self.opened.saturating_add(1);
        }
    }
}

fn pause(opened: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << opened.min(8)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_tries_once_and_waits_longer_each_time() {
        let start = Timestamp::from_second(1_700_000_000).expect("in range");
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES_MAX {
            breaker.failed(start);
            assert_eq!(breaker.admit(start), Ok(()));
        }
        breaker.succeeded();
        for _ in 0..FAILURES_MAX {
            assert_eq!(breaker.admit(start), Ok(()));
            breaker.failed(start);
        }
        let first = start + PAUSE_FIRST;
        assert_eq!(breaker.admit(start), Err(first));
        assert_eq!(breaker.admit(first), Ok(()), "one trial");
        assert!(breaker.admit(first).is_err(), "and one only");
        breaker.failed(first);
        assert_eq!(breaker.admit(first), Err(first + PAUSE_FIRST * 2));
        let second = first + PAUSE_FIRST * 2;
        assert_eq!(breaker.admit(second), Ok(()));
        breaker.not_tried(second);
        assert_eq!(breaker.admit(second), Ok(()), "the trial was given back");
        breaker.succeeded();
        assert_eq!(breaker.admit(second), Ok(()));
        assert_eq!(pause(30), PAUSE_MAX);
    }
}
