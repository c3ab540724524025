//! The words of the product as pure types: no I/O, no clock, no randomness.
//!
//! Everything here is decided by its arguments alone, so that each rule can be tested in one line and reused by every
//! later layer.

pub mod action_text;
pub mod approval;
pub mod card;
pub mod duration;
pub mod event;
pub mod fault;
pub mod ids;
pub mod money;
pub mod net;
pub mod notice;
pub mod question;
pub mod reach;
pub mod retry;
pub mod run;
pub mod schedule;
pub mod speech;
pub mod text;
pub mod tree;
