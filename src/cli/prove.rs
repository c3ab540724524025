//! `agent prove`: runs the proof of [`crate::prove`], tells on standard error how far it is, and prints the report.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::out;
use crate::lifecycle::Shutdown;
use crate::ports::{RandomIds, SystemClock};
use crate::prove::{self, Check, KILLS_DEFAULT, KILLS_QUICK, Options, Outcome, Report};

/// Faults of one check that are printed; `--json` has all.
const FAULTS_SHOWN_MAX: usize = 10;

#[derive(Debug, Args)]
pub(super) struct ProveArgs {
    /// Take samples where a whole run tries everything: half a minute instead of five
    #[arg(long)]
    quick: bool,
    /// Kills at the least [default: 300, or 24 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    kills: Option<u32>,
    /// Only these checks (comma-separated); `agent prove --list` names them
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    only: Vec<String>,
    /// Name the checks and end
    #[arg(long)]
    list: bool,
    /// Leave the scratch folder
    #[arg(long)]
    keep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Be wrong on purpose, so that the proof must fail
    #[arg(long, hide = true, value_name = "WHAT")]
    sabotage: Option<Sabotage>,
}

/// What is wrong on purpose.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sabotage {
    /// Every table has a wrong row.
    Tables,
    /// Effects are not seen.
    DropEffects,
    /// Effects are seen twice.
    DoubleEffects,
    /// A secret is written into a log.
    Leak,
}

pub(super) fn prove(args: &ProveArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        for name in prove::check_names() {
            out::line(name)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options {
        program: std::env::current_exe().context("cannot tell where this program is")?,
        command: command(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        temp: std::env::temp_dir(),
        keep: args.keep,
        quick: args.quick,
        kills: args.kills.unwrap_or(if args.quick { KILLS_QUICK } else { KILLS_DEFAULT }),
        only: args.only.clone(),
        sabotage: args.sabotage.map(|what| match what {
            Sabotage::Tables => prove::Sabotage::Tables,
            Sabotage::DropEffects => prove::Sabotage::DropEffects,
            Sabotage::DoubleEffects => prove::Sabotage::DoubleEffects,
            Sabotage::Leak => prove::Sabotage::Leak,
        }),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds::default()),
        progress: Arc::new(|text| out::error(text)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let shutdown = Shutdown::new();
        let signals = shutdown.clone();
        tokio::spawn(async move { signals.listen_to_signals().await });
        tokio::select! {
            report = prove::run(options) => report.map_err(anyhow::Error::from),
            // Agents that were started, and the folder, go with what is dropped here.
            () = shutdown.stopping() => bail!("stopped; nothing is proven"),
        }
    })?;
    if args.json {
        out::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(if report.held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As it was called, by its name alone.
fn command() -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(first) = words.first_mut() {
        *first =
            Path::new(&first).file_name().map_or_else(|| "agent".into(), |name| name.to_string_lossy().into_owned());
    }
    words.join(" ")
}

fn print(report: &Report) -> anyhow::Result<()> {
    out::line(format!("{}, version {}, {}, {} cores", report.command, report.version, report.system, report.cores))?;
    out::line(format!("binary sha256 {}", report.binary_sha256.as_deref().unwrap_or("not readable")))?;
    out::line(format!("begun {}, seed {:016x}", report.started_at, report.seed))?;
    out::line("")?;
    let rows: Vec<Vec<String>> = report.checks.iter().map(row).collect();
    out::table(&["RESULT", "CHECK", "PROMISE", "SECONDS", "CLAIM"], &rows)?;
    out::line("")?;
    for check in &report.checks {
        out::line(format!("{}: {}", check.name, check.seen))?;
        for fault in check.faults.iter().take(FAULTS_SHOWN_MAX) {
            out::line(format!("  ! {}", out::harmless(fault)))?;
        }
        if check.faults.len() > FAULTS_SHOWN_MAX {
            out::line(format!("  ! and {} more; --json has them", check.faults.len() - FAULTS_SHOWN_MAX))?;
        }
    }
    if !report.kills.rows.is_empty() {
        out::line("")?;
        kills(report)?;
    }
    out::line("")?;
    if let Some(kept) = &report.kept {
        out::line(format!("scratch folder: {kept}"))?;
    }
    out::line(summary(report))?;
    Ok(())
}

fn row(check: &Check) -> Vec<String> {
    vec![
        check.outcome.word().to_owned(),
        check.name.to_owned(),
        check.promises.to_owned(),
        format!("{:.1}", check.seconds),
        check.claim.to_owned(),
    ]
}

fn kills(report: &Report) -> anyhow::Result<()> {
    let numbers = |kills, lost, doubled, in_doubt, maybe_sent| {
        [kills, lost, doubled, in_doubt, maybe_sent].map(|number: u32| number.to_string())
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in &report.kills.rows {
        let mut cells = vec![row.area.clone(), row.boundary.clone()];
        cells.extend(numbers(row.kills, row.lost, row.doubled, row.in_doubt, row.maybe_sent));
        rows.push(cells);
    }
    let all = &report.kills;
    let mut cells = vec!["all".to_owned(), String::new()];
    cells.extend(numbers(all.total, all.lost, all.doubled, all.in_doubt, all.maybe_sent));
    rows.push(cells);
    out::table(&["AREA", "KILLED", "KILLS", "LOST", "DOUBLED", "IN DOUBT", "MAYBE SENT"], &rows)?;
    Ok(())
}

fn summary(report: &Report) -> String {
    let counts = format!(
        "{} held, {} failed, {} not tried, in {:.0} s",
        report.count(Outcome::Held),
        report.count(Outcome::Failed),
        report.count(Outcome::NotTried),
        report.seconds
    );
    if report.held {
        format!("Every promise that was tried held: {counts}.")
    } else {
        format!("Something is not as promised: {counts}.")
    }
}
