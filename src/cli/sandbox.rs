//! `agent __sandbox`: not for people. The agent starts it for each program that a step runs; see `tool::process`.

use std::process::ExitCode;

use crate::tool::process;

/// Supervises one program until it and all that it started are gone.
pub(super) fn sandbox() -> anyhow::Result<ExitCode> {
    Ok(process::supervise())
}
