//! The surroundings of an agent that is put to the proof: its folder, its process, senders, receivers and people.

mod agent;
mod delivery;
mod model;
mod person;
mod receiver;
mod scratch;
mod secrets;
mod setup;

pub(super) use agent::{AgentProcess, Started, aborted_at};
pub(super) use delivery::{Acknowledged, Delivery, Sender, github, mac};
pub(super) use model::{ModelServer, Obeys};
pub(super) use person::{Person, Truth};
pub(super) use receiver::Receiver;
pub(super) use scratch::Scratch;
pub(super) use secrets::SecretBook;
pub(super) use setup::{APPROVER, SECRET, STRANGER, Setup, Wanted};
