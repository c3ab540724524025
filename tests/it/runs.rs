//! Runs as a person meets them: a definition and a payload in; states, outputs, effects and one notice out. The ledger is real,
//! the clock stands still, and a tool that counts takes the place of the world.

mod flow;
mod gates;
mod recovery;
pub mod world;
