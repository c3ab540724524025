//! Counters of the webhook server: what became of requests, how long acknowledgements took, how many connections are open.
//!
//! Plain atomics, so that counting costs nothing worth measuring; who exports them reads [`IntakeMetrics::snapshot`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::refusal::Code;
use crate::domain::event::words;
use crate::telemetry::Meters;

words! {
    /// What became of a request that was not refused.
    Outcome {
        /// A new event.
        Accepted = "accepted",
        /// Kept, and wanted by nobody.
        Ignored = "ignored",
        /// Seen before.
        Duplicate = "duplicate",
        /// Seen before, had failed, queued again.
        Requeued = "requeued",
        /// A sender's handshake.
        Handshake = "handshake",
        /// `/health`, `/test` and other pages.
        Page = "page",
    }
}

/// Upper bounds of the latency buckets, in microseconds; one more bucket takes the rest.
pub const LATENCY_BUCKETS_US: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// The counters.
#[derive(Debug, Default)]
pub struct IntakeMetrics {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    refusals: [AtomicU64; Code::ALL.len()],
    latency: [AtomicU64; LATENCY_BUCKETS_US.len() + 1],
    latency_sum_us: AtomicU64,
    connections_open: AtomicU64,
    connections_total: AtomicU64,
    connections_refused: AtomicU64,
    refusals_dropped: AtomicU64,
    meters: Arc<Meters>,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeSnapshot {
    /// Requests by outcome.
    pub outcomes: Vec<(Outcome, u64)>,
    /// Refusals by code.
    pub refusals: Vec<(Code, u64)>,
    /// Acknowledgements by latency: upper bound in microseconds (`None`: no bound) and how many fell in.
    pub latency: Vec<(Option<u64>, u64)>,
    /// Sum of all acknowledgement latencies, in microseconds.
    pub latency_sum_us: u64,
    /// Connections that are open.
    pub connections_open: u64,
    /// Connections ever accepted.
    pub connections_total: u64,
    /// Connections closed at once because their client had too many.
    pub connections_refused: u64,
    /// Refusals that were not kept, because there were too many.
    pub refusals_dropped: u64,
}

impl IntakeMetrics {
    pub(super) fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn count_refusal(&self, code: Code) {
        self.refusals[code as usize].fetch_add(1, Relaxed);
        self.meters.refused(code.as_str());
    }

    pub(super) fn count_refusal_dropped(&self) {
        self.refusals_dropped.fetch_add(1, Relaxed);
    }

    /// How long one event took from its head to its acknowledgement.
    pub(super) fn acknowledged(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BUCKETS_US.iter().position(|bound| us <= *bound).unwrap_or(LATENCY_BUCKETS_US.len());
        self.latency[bucket].fetch_add(1, Relaxed);
        self.latency_sum_us.fetch_add(us, Relaxed);
    }

    pub(super) fn connection_opened(&self) {
        self.connections_open.fetch_add(1, Relaxed);
        self.connections_total.fetch_add(1, Relaxed);
    }

    pub(super) fn connection_closed(&self) {
        self.connections_open.fetch_sub(1, Relaxed);
    }

    pub(super) fn connection_refused(&self) {
        self.connections_refused.fetch_add(1, Relaxed);
    }

    /// Acknowledgements by handler, and their latencies minute by minute.
    pub fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.meters)
    }

    /// The counters now.
    pub fn snapshot(&self) -> IntakeSnapshot {
        let bounds = LATENCY_BUCKETS_US.iter().copied().map(Some).chain([None]);
        IntakeSnapshot {
            outcomes: Outcome::ALL.iter().map(|o| (*o, self.outcomes[*o as usize].load(Relaxed))).collect(),
            refusals: Code::ALL.iter().map(|c| (*c, self.refusals[*c as usize].load(Relaxed))).collect(),
            latency: bounds.zip(self.latency.iter().map(|n| n.load(Relaxed))).collect(),
            latency_sum_us: self.latency_sum_us.load(Relaxed),
            connections_open: self.connections_open.load(Relaxed),
            connections_total: self.connections_total.load(Relaxed),
            connections_refused: self.connections_refused.load(Relaxed),
            refusals_dropped: self.refusals_dropped.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_falls_into_the_first_bucket_that_holds_it_and_the_slowest_into_the_last() {
        let metrics = IntakeMetrics::default();
        metrics.acknowledged(Duration::from_micros(250));
        metrics.acknowledged(Duration::from_micros(251));
        metrics.acknowledged(Duration::from_secs(60));
        let latency = metrics.snapshot().latency;
        assert_eq!((latency[0], latency[1], latency[12]), ((Some(250), 1), (Some(500), 1), (None, 1)));
    }
}
