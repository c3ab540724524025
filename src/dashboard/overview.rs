//! The numbers of the overview, for the API and the page alike: what waits, how fast it goes, what became of things.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::LocalApi;
use super::problem::Problem;
use crate::ledger;
use crate::telemetry::Latency;

/// How far back the overview looks.
pub(super) const LOOKS_BACK: Duration = Duration::from_secs(3600);

/// How it goes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Overview {
    /// When this was read.
    pub(super) at: Timestamp,
    /// What the ledger says.
    #[serde(flatten)]
    pub(super) ledger: ledger::Overview,
    /// How long acknowledgements took in the last hour.
    pub(super) acknowledgements: Acknowledgements,
}

/// How long acknowledgements took.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Acknowledgements {
    /// The whole hour together; `null` when there was none.
    pub(super) hour: Option<LatencyView>,
    /// Minute by minute, oldest first; minutes without one are left out.
    pub(super) minutes: Vec<LatencyView>,
}

/// Latencies of a stretch of time.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub(super) struct LatencyView {
    /// When it began.
    pub(super) at: Timestamp,
    /// Acknowledgements.
    pub(super) count: u64,
    /// The median, in milliseconds.
    pub(super) p50_ms: f64,
    /// What 99 of 100 stayed under, in milliseconds.
    pub(super) p99_ms: f64,
}

impl From<Latency> for LatencyView {
    fn from(Latency { at, count, p50_ms, p99_ms }: Latency) -> Self {
        Self { at, count, p50_ms, p99_ms }
    }
}

/// Reads the overview.
pub(super) async fn read(api: &LocalApi) -> Result<Overview, Problem> {
    let now = api.clock.now();
    let from = now - LOOKS_BACK;
    let ledger = api.ledger.overview(from).await?;
    let meters = api.meters.as_deref();
    let acknowledgements = Acknowledgements {
        hour: meters.and_then(|meters| meters.since(from)).map(Into::into),
        minutes: meters.map(|meters| meters.minutes(from)).unwrap_or_default().into_iter().map(Into::into).collect(),
    };
    Ok(Overview { at: now, ledger, acknowledgements })
}
