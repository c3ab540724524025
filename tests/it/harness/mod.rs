//! What the tests share: fakes of the outside world, clients that talk to ours, and the agent as a whole.

pub mod app;
pub mod bot_api;
pub mod clock;
pub mod http;
pub mod memory_ledger;
pub mod model;
pub mod process;
pub mod provider;
pub mod receiver;
pub mod scripted_bot;
