//! What the tests share: fakes of the outside world.

pub mod clock;
pub mod http;
pub mod memory_ledger;
