//! The integration tests: one binary, one module per area.

mod channel;
mod harness;
mod ledger;
