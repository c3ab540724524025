//! What an agent left on disk, read by a second reader, and how it is judged.

use std::collections::BTreeMap;
use std::path::Path;

use crate::domain::event::EventStatus;
use crate::ledger::runs::{RunFilter, RunRow};
use crate::ledger::sqlite::SqliteLedger;
use crate::ledger::{EventFilter, EventRow, Ledger, LedgerError, RunLedger};

/// What was harmed, in numbers, and each case in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::prove) struct Harm {
    pub(in crate::prove) lost: u32,
    pub(in crate::prove) doubled: u32,
    pub(in crate::prove) in_doubt: u32,
    pub(in crate::prove) maybe_sent: u32,
    pub(in crate::prove) faults: Vec<String>,
}

impl Harm {
    pub(in crate::prove) fn lost(&mut self, what: impl Into<String>) {
        self.lost += 1;
        self.faults.push(format!("lost: {}", what.into()));
    }

    pub(in crate::prove) fn doubled(&mut self, what: impl Into<String>) {
        self.doubled += 1;
        self.faults.push(format!("doubled: {}", what.into()));
    }

    /// An effect that its step's record and whoever received it tell differently.
    pub(in crate::prove) fn effect(&mut self, what: &str, recorded: bool, seen: usize) {
        match (recorded, seen) {
            (true, 0) => self.lost(format!("{what} is recorded as done, and nobody received it")),
            (_, 2..) => self.doubled(format!("{what} happened {seen} times")),
            (true | false, _) => {}
        }
    }
}

/// The events and runs of a ledger.
#[derive(Debug)]
pub(in crate::prove) struct Books {
    /// By delivery id; rows of redeliveries left out.
    pub(in crate::prove) events: BTreeMap<String, Vec<EventRow>>,
    pub(in crate::prove) runs: Vec<RunRow>,
}

impl Books {
    /// Reads them, whether an agent works on the file or not.
    pub(in crate::prove) async fn read(ledger: &Path) -> Result<Self, String> {
        let ledger = SqliteLedger::open_read_only(ledger).map_err(|error| error.to_string())?;
        let books = Self::read_from(&ledger).await.map_err(|error| error.to_string());
        let _closed = ledger.close().await;
        books
    }

    async fn read_from(ledger: &SqliteLedger) -> Result<Self, LedgerError> {
        let mut events: BTreeMap<String, Vec<EventRow>> = BTreeMap::new();
        let mut cursor = None;
        loop {
            let page = ledger.events(EventFilter { limit: 500, cursor, ..EventFilter::default() }).await?;
            for row in page.items.into_iter().filter(|row| row.status != EventStatus::Duplicate) {
                events.entry(row.delivery_id.clone().unwrap_or_default()).or_default().push(row);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let mut runs = Vec::new();
        loop {
            let page = RunLedger::runs(ledger, RunFilter { limit: 500, cursor, ..RunFilter::default() }).await?;
            for listed in page.items {
                runs.extend(RunLedger::run(ledger, listed.id).await?);
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(Self { events, runs });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_judged_by_what_was_recorded_and_what_was_seen() {
        let judge = |recorded, seen| {
            let mut harm = Harm::default();
            harm.effect("it", recorded, seen);
            (harm.lost, harm.doubled)
        };
        assert_eq!(judge(true, 1), (0, 0));
        assert_eq!(judge(false, 1), (0, 0), "a step in doubt may have happened");
        assert_eq!(judge(false, 0), (0, 0));
        assert_eq!(judge(true, 0), (1, 0));
        assert_eq!(judge(true, 2), (0, 1));
        assert_eq!(judge(false, 2), (0, 1));
    }
}
