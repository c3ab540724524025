//! The integration tests, one binary: a file per area, and what they share in `harness`.

mod harness;
mod intake;
