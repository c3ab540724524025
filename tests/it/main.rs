//! The integration tests: one binary, so that `cargo test` links once, and one module per area.

mod cards;
mod channel;
mod commands;
mod config;
mod crash;
mod crash_runs;
mod decide;
mod definitions;
mod doctor;
mod examples;
mod harness;
mod init;
mod intake;
mod journey;
mod ledger;
mod net_tools;
mod pages;
mod queue;
mod runs;
mod senders_a;
mod senders_b;
mod summaries;
mod tidy;
mod tools;
mod workflow_routes;
