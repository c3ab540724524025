//! How fast events are acknowledged, and how many: what the webhook server writes down and the dashboard reads.
//!
//! Latencies of the last hour are kept minute by minute, each minute a histogram whose buckets are 9 % wide, so that a
//! percentile costs no sorting and memory does not grow with the load. Counts are since the start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Minutes that are kept.
pub const METER_MINUTES: usize = 60;
/// Buckets per doubling of the latency.
const PER_OCTAVE: f64 = 8.0;
/// Buckets: up to 2^28 µs, 4.5 minutes; the last takes the rest.
const BUCKETS: usize = 28 * 8 + 1;
/// Combinations of handler, verdict and outcome that are counted apart.
const COUNTS_MAX: usize = 4096;
/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;
/// Upper bounds of the histogram since the start.
const BOUNDS_SECONDS: [f64; 12] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Acknowledgements since the start.
#[derive(Debug, Default)]
pub struct Meters(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<AckKey, u64>,
    /// By code, of which there are few.
    refusals: BTreeMap<&'static str, u64>,
    minutes: VecDeque<Minute>,
    /// Since the start, by [`BOUNDS_SECONDS`]; the last takes the rest.
    all: [u64; BOUNDS_SECONDS.len() + 1],
    sum_seconds: f64,
}

/// Latencies since the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Sum of all.
    pub sum_seconds: f64,
    /// How many.
    pub count: u64,
    /// Upper bounds in seconds, the last infinite, and how many fell into each.
    pub buckets: Vec<(f64, u64)>,
}

/// What acknowledgements are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AckKey {
    /// The handler or workflow.
    pub handler: String,
    /// What the signature check said.
    pub verdict: &'static str,
    /// What became of it: `accepted`, `ignored`, `duplicate`, `requeued`.
    pub outcome: &'static str,
}

#[derive(Debug)]
struct Minute {
    /// Minutes since 1970.
    number: i64,
    buckets: Box<[u32; BUCKETS]>,
    count: u64,
}

/// Percentiles of one minute, or of the whole hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// When the minute began.
    pub at: Timestamp,
    /// Acknowledgements.
    pub count: u64,
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// What 99 of 100 stayed under, in milliseconds.
    pub p99_ms: f64,
}

impl Meters {
    /// Counts an acknowledgement that went out at `now`, `took` after the head of its request.
    pub fn acknowledged(&self, key: AckKey, took: Duration, now: Timestamp) {
        let mut state = self.state();
        if state.counts.len() < COUNTS_MAX || state.counts.contains_key(&key) {
            *state.counts.entry(key).or_default() += 1;
        }
        let seconds = took.as_secs_f64();
        state.all[BOUNDS_SECONDS.partition_point(|bound| *bound < seconds)] += 1;
        state.sum_seconds += seconds;
        let number = now.as_millisecond().div_euclid(MINUTE_MS);
        if state.minutes.back().is_none_or(|last| last.number < number) {
            if state.minutes.len() >= METER_MINUTES {
                state.minutes.pop_front();
            }
            state.minutes.push_back(Minute { number, buckets: Box::new([0; BUCKETS]), count: 0 });
        }
        // A clock that stepped back counts into the newest minute.
        if let Some(minute) = state.minutes.back_mut() {
            let bucket = &mut minute.buckets[bucket(took)];
            *bucket = bucket.saturating_add(1);
            minute.count += 1;
        }
    }

    /// Counts a request that was refused with `code`.
    pub fn refused(&self, code: &'static str) {
        *self.state().refusals.entry(code).or_default() += 1;
    }

    /// Refusals by code.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.state().refusals.iter().map(|(code, count)| (*code, *count)).collect()
    }

    /// Acknowledgements by handler, verdict and outcome.
    pub fn counts(&self) -> Vec<(AckKey, u64)> {
        self.state().counts.iter().map(|(key, count)| (key.clone(), *count)).collect()
    }

    /// Latencies since the start.
    pub fn histogram(&self) -> Histogram {
        let state = self.state();
        let bounds = BOUNDS_SECONDS.into_iter().chain([f64::INFINITY]);
        Histogram {
            sum_seconds: state.sum_seconds,
            count: state.all.iter().sum(),
            buckets: bounds.zip(state.all).collect(),
        }
    }

    /// Latencies since `from`, a minute each, oldest first; minutes without an acknowledgement are left out.
    pub fn minutes(&self, from: Timestamp) -> Vec<Latency> {
        let state = self.state();
        let kept = state.minutes.iter().filter(|minute| minute.begins() >= from);
        kept.map(|minute| latency(minute.begins(), minute.count, &minute.buckets[..])).collect()
    }

    /// Latencies since `from`, all minutes together; `None` when nothing was acknowledged.
    pub fn since(&self, from: Timestamp) -> Option<Latency> {
        let state = self.state();
        let mut sum = [0_u32; BUCKETS];
        let mut count = 0;
        for minute in state.minutes.iter().filter(|minute| minute.begins() >= from) {
            count += minute.count;
            for (sum, bucket) in sum.iter_mut().zip(minute.buckets.iter()) {
                *sum = sum.saturating_add(*bucket);
            }
        }
        (count > 0).then(|| latency(from, count, &sum))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    fn begins(&self) -> Timestamp {
        Timestamp::from_millisecond(self.number.saturating_mul(MINUTE_MS)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

fn latency(at: Timestamp, count: u64, buckets: &[u32]) -> Latency {
    Latency { at, count, p50_ms: percentile(buckets, count, 0.50), p99_ms: percentile(buckets, count, 0.99) }
}

fn bucket(took: Duration) -> usize {
    let us = took.as_secs_f64() * 1e6;
    if us < 1.0 { 0 } else { ((us.log2() * PER_OCTAVE) as usize).min(BUCKETS - 1) }
}

/// The upper end of the bucket that holds the percentile, in milliseconds.
fn percentile(buckets: &[u32], count: u64, share: f64) -> f64 {
    let rank = ((count as f64 * share).ceil() as u64).max(1);
    let mut seen = 0;
    let at = buckets.iter().position(|bucket| {
        seen += u64::from(*bucket);
        seen >= rank
    });
    let us = (((at.unwrap_or(0) + 1) as f64) / PER_OCTAVE).exp2();
    // Three digits are what the buckets are good for.
    (us / 10.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
    }

    fn key(handler: &str) -> AckKey {
        AckKey { handler: handler.into(), verdict: "valid", outcome: "accepted" }
    }

    #[test]
    fn percentiles_come_within_a_tenth_of_the_truth() {
        let meters = Meters::default();
        for ms in 1..=1000 {
            meters.acknowledged(key("github"), Duration::from_millis(ms), at(0));
        }
        let latency = meters.since(at(-60)).expect("something came");
        assert_eq!(latency.count, 1000);
        assert!((500.0..550.0).contains(&latency.p50_ms), "{latency:?}");
        assert!((990.0..1090.0).contains(&latency.p99_ms), "{latency:?}");
    }

    #[test]
    fn minutes_are_apart_and_an_hour_of_them_is_kept() {
        let meters = Meters::default();
        for minute in 0..70 {
            meters.acknowledged(key("github"), Duration::from_millis(2), at(minute * 60));
        }
        assert_eq!(meters.minutes(at(-600)).len(), METER_MINUTES);
        assert_eq!(meters.minutes(at(68 * 60)).len(), 2);
        assert_eq!(meters.since(at(100 * 60)), None);
        assert_eq!(meters.counts(), [(key("github"), 70)]);
    }
}
