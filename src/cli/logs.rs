//! `agent logs`: the end of the log, and what is added to it.

use std::convert::Infallible;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::{Common, context, out};
use crate::telemetry;

/// Bytes of the log that are looked at for its last lines.
const TAIL_BYTES_MAX: u64 = 1024 * 1024;
/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// Go on printing what is added
    #[arg(long, short)]
    follow: bool,
    /// Lines to begin with
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N")]
    lines: usize,
}

pub(super) fn logs(common: &Common, args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let context = context::load(common)?;
    let path = telemetry::log_path(&context.config.data_dir.join("logs"));
    let mut file = std::fs::File::open(&path)
        .with_context(|| format!("cannot read the log {}: has the agent run here?", path.display()))?;
    let at = file.metadata()?.len();
    file.seek(SeekFrom::Start(at.saturating_sub(TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    (&file).take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(args.lines)..] {
        out::line(out::harmless(line))?;
    }
    if args.follow {
        follow(&path, at)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what is added to `path` behind `at` bytes, until the reader goes away or the command is stopped.
fn follow(path: &Path, mut at: u64) -> anyhow::Result<Infallible> {
    loop {
        std::thread::sleep(FOLLOW_EVERY);
        let mut file = match std::fs::File::open(path) {
            // The log is moving on to a new file.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let length = file.metadata()?.len();
        // A shorter file is a new one: the log has moved on.
        at = if length < at { 0 } else { at };
        file.seek(SeekFrom::Start(at))?;
        let mut added = Vec::new();
        file.take(TAIL_BYTES_MAX).read_to_end(&mut added)?;
        // Only whole lines, so that one is not torn in two.
        let whole = added.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        at += whole as u64;
        for line in String::from_utf8_lossy(&added[..whole]).lines() {
            out::line(out::harmless(line))?;
        }
    }
}
