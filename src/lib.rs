//! hookhand: webhooks in, human summaries and approvals out.
//!
//! Read them in the order of their layers, `domain` first and `cli` last: a module imports only from
//! earlier ones (`tests/it/tidy.rs` keeps this true; `docs/ARCHITECTURE.md` explains it).

pub mod agent;
pub mod app;
pub mod channel;
pub mod cli;
pub mod config;
pub mod dashboard;
pub mod domain;
pub mod intake;
pub mod ledger;
pub mod lifecycle;
pub mod model;
pub mod outbound;
pub mod ports;
pub mod prove;
pub mod provider;
pub mod queue;
pub mod telemetry;
pub mod tool;
pub mod workflow;
