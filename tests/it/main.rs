//! The integration tests: one binary, so that `cargo test` links once, and one module per area.

mod channel;
mod config;
mod harness;
mod intake;
mod ledger;
mod tidy;
