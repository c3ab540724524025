//! hookhand: webhooks in, human summaries and approvals out.
//!
//! The modules below are listed in reading order, which is also the order of layers: a module imports only from
//! earlier ones (`tests/it/tidy.rs` keeps this true; `docs/ARCHITECTURE.md` explains it).

pub mod channel;
pub mod config;
pub mod domain;
pub mod intake;
pub mod ledger;
pub mod lifecycle;
pub mod ports;
pub mod provider;
