//! The integration tests: one binary, so that `cargo test` links once.

mod bot_api;
mod config;
mod doctor;
mod init;
