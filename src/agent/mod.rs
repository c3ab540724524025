//! The agent: what is made of an event once it is safely kept.
//!
//! It reads events and writes notices; it knows nothing of sockets, and how a notice reaches a chat is the channels' business.

mod triage;

pub use triage::{Desk, Triage};
