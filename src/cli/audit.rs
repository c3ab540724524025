//! `agent audit verify`: whether the audit log is as it was written.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;

use super::{Common, context, out};
use crate::telemetry;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check the chain of hashes from the first line to the last
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn audit(common: &Common, command: AuditCommand) -> anyhow::Result<ExitCode> {
    let context = context::load(common)?;
    let AuditCommand::Verify { json } = command;
    let path = telemetry::audit_path(&context.config.data_dir.join("logs"));
    let report =
        telemetry::verify(&path).with_context(|| format!("cannot read {}: has the agent run here?", path.display()))?;
    if json {
        out::json(&report)?;
    } else {
        if let Some(broken) = &report.broken {
            out::line(format!("broken: {}:{}: {}", path.display(), broken.line, broken.reason))?;
        }
        let at = report.last_at.as_deref().map(|at| format!(", the last of {at}")).unwrap_or_default();
        let word = if report.broken.is_some() { "good before it" } else { "ok" };
        out::line(format!("{word}: {} lines{at}", report.lines))?;
        out::line(format!("last hash: {}", report.last_hash))?;
        if report.unfinished {
            out::line("the file ends in an unfinished line: it is being written, or a crash cut it short")?;
        }
    }
    Ok(if report.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
