//! The agent: what is made of an event once it is safely kept.
//!
//! It reads events, writes notices and starts workflows; it knows nothing of sockets, and how a notice reaches a chat is the channels' business.

pub mod conversation;
mod daily;
mod summary;
mod traces;
mod triage;
mod triggers;

pub use daily::Daily;
pub use summary::Summaries;
pub use traces::{Traces, spans_of};
pub use triage::{Desk, Desks, Triage};
pub use triggers::{DryRun, Outcome, Tested, Triggers, backtest};
