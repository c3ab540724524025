//! Traces for a collector: what ended is read from the ledger, made into spans and handed over, in the background.
//!
//! Nothing waits for this. Records queue in the ledger, bounded, so a collector that is away for an hour or a restart of the
//! agent loses none; identifiers come from the records' own, so a span that is told twice is the same span.

mod spans;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ledger::LedgerError;
use crate::ledger::traces::TraceLedger;
use crate::outbound::Collector;
use crate::ports::Clock;

pub use spans::spans_of;

/// Records that go into one request.
const BATCH_RECORDS: usize = 128;
/// How often the queue is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The longest wait after a failure; waits double up to it.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Hands traces over.
#[derive(Debug, Clone)]
pub struct Traces {
    /// What ended.
    pub ledger: Arc<dyn TraceLedger>,
    /// Who collects; `None` for nobody.
    pub collector: Option<Arc<Collector>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Traces {
    /// Works until `stop`; without a collector it sees to it that nothing is queued, and ends.
    ///
    /// # Errors
    /// When the ledger does not take the switch.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), LedgerError> {
        self.ledger.keep_traces(self.collector.is_some()).await?;
        let Some(collector) = &self.collector else { return Ok(()) };
        let mut failures = 0;
        loop {
            let wait = match self.hand_over(collector).await {
                Ok(true) => {
                    failures = 0;
                    continue;
                }
                Ok(false) => {
                    failures = 0;
                    LOOK_EVERY
                }
                Err(reason) => {
                    if failures == 0 {
                        tracing::warn!(reason, "traces cannot be handed over; they wait in the ledger");
                    }
                    failures += 1;
                    (LOOK_EVERY * 2_u32.saturating_pow(failures.min(10))).min(RETRY_WAIT_MAX)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.clock.sleep(wait) => {}
            }
        }
    }

    /// Hands one batch over; `true` when there may be more.
    async fn hand_over(&self, collector: &Collector) -> Result<bool, String> {
        let waiting = self.ledger.traces_waiting(BATCH_RECORDS).await.map_err(|error| error.to_string())?;
        if waiting.forgotten > 0 {
            tracing::warn!(
                records = waiting.forgotten,
                "too many traces wait for their collector; the oldest are forgotten"
            );
        }
        let Some(upto) = waiting.upto else { return Ok(false) };
        let spans: Vec<_> = waiting.records.iter().flat_map(spans_of).collect();
        if !spans.is_empty() {
            collector.export(spans).await?;
        }
        self.ledger.traces_told(upto).await.map_err(|error| error.to_string())?;
        Ok(true)
    }
}
