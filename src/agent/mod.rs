//! The agent: what is made of an event once it is safely kept.
//!
//! It reads events, writes notices and starts workflows; it knows nothing of sockets, and how a notice reaches a chat is the channels' business.

mod triage;
mod triggers;

pub use triage::{Desk, Desks, Triage};
pub use triggers::{DryRun, Outcome, Tested, Triggers, backtest};
