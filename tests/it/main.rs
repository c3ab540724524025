//! The integration tests: one binary, so that `cargo test` links once.

mod config;
mod ledger;
mod tidy;
