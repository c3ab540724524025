//! What the tests share: fakes of the outside world.

pub mod bot_api;
pub mod clock;
