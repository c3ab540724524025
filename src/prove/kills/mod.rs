//! Agents that are killed: at every commit of an event's life ([`walk`]), and at any time under load ([`storm`]).

mod areas;
mod books;
mod dice;
mod life;
mod storm;
mod walk;

pub(super) use books::{Books, Harm};
pub(super) use storm::storms;
pub(super) use walk::walk;

use super::report::KillRow;

/// What kills came to.
#[derive(Debug, Default)]
pub(super) struct Killed {
    /// By boundary.
    pub(super) rows: Vec<KillRow>,
    /// What was not as promised.
    pub(super) faults: Vec<String>,
}

impl Killed {
    fn add(&mut self, area: &str, boundary: &str, kills: u32, harm: Harm) {
        self.rows.push(KillRow {
            area: area.to_owned(),
            boundary: boundary.to_owned(),
            kills,
            lost: harm.lost,
            doubled: harm.doubled,
            in_doubt: harm.in_doubt,
            maybe_sent: harm.maybe_sent,
        });
        self.faults.extend(harm.faults);
    }
}
