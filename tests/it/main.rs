//! x
mod ledger;
