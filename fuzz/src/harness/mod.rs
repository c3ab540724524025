//! Fakes that the integration tests have too; `surfaces` names them by the same path in both crates.

#[path = "../../../tests/it/harness/clock.rs"]
pub mod clock;
#[path = "../../../tests/it/harness/memory_ledger.rs"]
pub mod memory_ledger;
