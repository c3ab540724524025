//! Events that words without a command ask for.

use jiff::Timestamp;

use super::{EventFilter, EventRow, Ledger, LedgerError};
use crate::domain::money::day_began;
use crate::domain::question::Wanted;

/// The newest events, at most `limit`, of the first of `wanted`'s tries that finds any, and that try. `None`: none finds any.
///
/// # Errors
/// The ledger's.
pub async fn by_words(
    ledger: &dyn Ledger,
    wanted: &Wanted,
    limit: usize,
    now: Timestamp,
) -> Result<Option<(Wanted, Vec<EventRow>)>, LedgerError> {
    for tried in wanted.tries() {
        let since = tried.within.map(|within| match within.since {
            Some(back) => now.checked_sub(back).unwrap_or(Timestamp::MIN),
            None => day_began(now),
        });
        let filter = EventFilter {
            handler: tried.handler.clone(),
            status: tried.status,
            since,
            search: Some(tried.words.clone()).filter(|words| !words.is_empty()),
            limit,
            ..EventFilter::default()
        };
        let rows = ledger.events(filter).await?.items;
        if !rows.is_empty() {
            return Ok(Some((tried, rows)));
        }
    }
    Ok(None)
}
