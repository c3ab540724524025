//! What the tests share: fakes of the outside world, and clients that talk to ours.

pub mod bot_api;
pub mod clock;
pub mod http;
pub mod memory_ledger;
