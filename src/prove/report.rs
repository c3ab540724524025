//! The report: what was tried, what came of it, and the numbers. It is data; how it looks is the command line's.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Options;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was as promised.
    Held,
    /// Something was not.
    Failed,
    /// It could not be tried here; nothing is known.
    NotTried,
}

impl Outcome {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Failed => "FAILED",
            Self::NotTried => "not tried",
        }
    }
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Its name, as `--only` takes it.
    pub name: &'static str,
    /// The promises that it is about.
    pub promises: &'static str,
    /// What was claimed.
    pub claim: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// What was seen, in one line; the reason where it was not tried.
    pub seen: String,
    /// What was not as promised.
    pub faults: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// Kills at one kind of commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KillRow {
    /// The part of an event's life.
    pub area: String,
    /// Which commit, as the ledger calls it; `before` or `after` it.
    pub boundary: String,
    /// Kills there.
    pub kills: u32,
    /// Acknowledged events, notices and effects that were lost.
    pub lost: u32,
    /// Events, runs, effects and notices that happened twice and nobody was told.
    pub doubled: u32,
    /// Steps that nobody could know about, each of them asked of a person.
    pub in_doubt: u32,
    /// Notices that may have been sent twice, each of them marked so.
    pub maybe_sent: u32,
}

/// All kills.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Kills {
    /// All of them.
    pub total: u32,
    /// Of all rows.
    pub lost: u32,
    /// Of all rows.
    pub doubled: u32,
    /// Of all rows.
    pub in_doubt: u32,
    /// Of all rows.
    pub maybe_sent: u32,
    /// By boundary.
    pub rows: Vec<KillRow>,
}

impl Kills {
    /// Adds rows; those of the same boundary become one.
    pub fn add(&mut self, rows: impl IntoIterator<Item = KillRow>) {
        for row in rows {
            self.total += row.kills;
            self.lost += row.lost;
            self.doubled += row.doubled;
            self.in_doubt += row.in_doubt;
            self.maybe_sent += row.maybe_sent;
            match self.rows.iter_mut().find(|known| known.area == row.area && known.boundary == row.boundary) {
                Some(known) => {
                    known.kills += row.kills;
                    known.lost += row.lost;
                    known.doubled += row.doubled;
                    known.in_doubt += row.in_doubt;
                    known.maybe_sent += row.maybe_sent;
                }
                None => self.rows.push(row),
            }
        }
    }
}

/// What the load test found; ratios, because machines differ.
#[derive(Debug, Clone, Serialize)]
pub struct Load {
    /// The command that says more.
    pub command: String,
    /// Acknowledged, durable events a second.
    pub events_per_second: f64,
    /// Against a bare server of the same library in the same run.
    pub ratio_to_bare: f64,
    /// At half of that rate, half of the answers came within this many milliseconds.
    pub p50_ms: f64,
    /// At half of that rate, 99 of 100 answers came within this many milliseconds.
    pub p99_ms: f64,
    /// Answers that were not 200.
    pub refused: u64,
}

/// Everything.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How to do it again.
    pub command: String,
    /// The version of the binary.
    pub version: &'static str,
    /// The SHA-256 of the binary, where it can be read.
    pub binary_sha256: Option<String>,
    /// The system and its processor.
    pub system: String,
    /// Processors.
    pub cores: usize,
    /// Whether samples were taken.
    pub quick: bool,
    /// The seed of random times.
    pub seed: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// Whether every promise that was tried held.
    pub held: bool,
    /// The checks.
    pub checks: Vec<Check>,
    /// The kills.
    pub kills: Kills,
    /// The load.
    pub load: Option<Load>,
    /// The scratch folder, where it was kept.
    pub kept: Option<String>,
}

impl Report {
    pub(super) fn new(options: &Options, started_at: Timestamp, seed: u64) -> Self {
        Self {
            command: options.command.clone(),
            version: env!("CARGO_PKG_VERSION"),
            binary_sha256: std::fs::read(&options.program).ok().map(|bytes| hex::encode(Sha256::digest(bytes))),
            system: options.system.clone(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            quick: options.quick,
            seed,
            started_at,
            seconds: 0.0,
            held: false,
            checks: Vec::new(),
            kills: Kills::default(),
            load: None,
            kept: None,
        }
    }

    pub(super) fn finish(&mut self, took: Duration) {
        self.seconds = took.as_secs_f64();
        // Nothing that was tried proves nothing.
        let tried = self.checks.iter().any(|check| check.outcome == Outcome::Held);
        self.held = tried && self.checks.iter().all(|check| check.outcome != Outcome::Failed);
    }

    /// How many checks came to this.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(boundary: &str, lost: u32) -> KillRow {
        let (area, boundary) = ("outbox".to_owned(), boundary.to_owned());
        KillRow { area, boundary, kills: 2, lost, doubled: 0, in_doubt: 1, maybe_sent: 0 }
    }

    #[test]
    fn rows_of_one_boundary_become_one_and_totals_are_their_sums() {
        let mut kills = Kills::default();
        kills.add([row("before a", 0), row("after a", 1), row("before a", 2)]);
        assert_eq!(kills.rows.iter().map(|row| (row.kills, row.lost)).collect::<Vec<_>>(), [(4, 2), (2, 1)]);
        assert_eq!((kills.total, kills.lost, kills.in_doubt), (6, 3, 3));
    }
}
