//! The agent: what is made of an event once it is safely kept.
//!
//! It reads events, writes notices and starts workflows; it knows nothing of sockets, and how a notice reaches a chat is the channels' business.

pub mod conversation;
mod summary;
mod triage;
mod triggers;

pub use summary::Summaries;
pub use triage::{Desk, Desks, Triage};
pub use triggers::{Outcome, Tested, Triggers, backtest};
