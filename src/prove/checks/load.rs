//! A short load: `agent bench` of the same binary, as a process of its own.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::Verdict;
use crate::prove::Context;
use crate::prove::report::Load;

/// How long the whole load may take.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(120);

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    let seconds = if context.options.quick { "1" } else { "4" };
    let args = ["bench", "--rounds", "1", "--json", "--seconds", seconds];
    let mut command = Command::new(&context.options.program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LOAD_WAIT_MAX, command.output()).await;
    let output = output.map_err(|_| "the load does not end")?.map_err(|error| error.to_string())?;
    let found: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("agent bench: {error}"))?;
    let servers = found["servers"].as_array().ok_or("agent bench: no servers")?;
    let full = servers.iter().find(|row| row["server"] == "full").ok_or("agent bench: no full path")?;
    let number = |value: &Value| value.as_f64().ok_or("agent bench: a number is missing");
    let half = &found["full_at_half_rate"];
    let load = Load {
        command: format!("agent {}", args.join(" ")),
        events_per_second: number(&full["per_second"])?,
        ratio_to_bare: number(&full["ratio_to_bare"])?,
        p50_ms: number(&half["p50_ms"])?,
        p99_ms: number(&half["p99_ms"])?,
        refused: full["refused"].as_u64().unwrap_or_default(),
    };
    let mut faults = Vec::new();
    if load.refused > 0 {
        faults.push(format!("{} requests were refused", load.refused));
    }
    let seen = format!(
        "{:.0} durable events a second, {:.2} of a bare server; p50 {:.1} ms, p99 {:.1} ms at half of that",
        load.events_per_second, load.ratio_to_bare, load.p50_ms, load.p99_ms
    );
    Ok(Verdict { load: Some(load), ..Verdict::of(seen, faults) })
}
