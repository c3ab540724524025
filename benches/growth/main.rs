//! Whether a ledger stays fast as it grows: `cargo bench --bench growth [events…]`, by default 0, 1 and 10 million.
//!
//! It fills one ledger per size (`fill`, which is no path of the agent), then measures in turns, so that all sizes meet the
//! same moments of a busy machine: what an ingest costs (`load`), how long the real binary needs from its start to its first
//! answer and what it holds and does when idle (`agent`), and on the largest one what deleting a million old events
//! does to acknowledgements. It needs about 1.1 GB of disk per million events, in the temporary folder (`TMPDIR`), and deletes
//! it afterwards. It prints a table and fails when an ingest into the largest ledger costs more than 1.2 times one into
//! the smallest.

#![allow(clippy::print_stdout, reason = "its output is its result")]

mod agent;
mod fill;
mod load;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hookhand::ledger::Ledger;
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ports::{Clock, RandomIds, SystemClock};

use crate::load::Found;

/// Rounds over all sizes; the median of each counts.
const ROUNDS: usize = 7;
/// Events of one measurement.
const EVENTS_PER_ROUND: u64 = 20_000;
/// Tasks that hand events in.
const CLIENTS: u64 = 64;
/// What an ingest may cost beside one into the smallest ledger.
const RATIO_MAX: f64 = 1.2;
/// Events that retention deletes, at most.
const OLD_EVENTS: u64 = 1_000_000;
/// The pause between two slices of a deletion, as the agent makes it: so many times as long as a slice took, and this at least.
const RETENTION_PAUSE_SLICES: u32 = 4;
const RETENTION_PAUSE_MIN: Duration = Duration::from_millis(10);
/// How long acknowledgements are measured without a deletion, before it and after it.
const QUIET: Duration = Duration::from_secs(20);

/// One size.
struct Size {
    events: u64,
    dir: PathBuf,
    rounds: Vec<Found>,
}

fn open(dir: &Path) -> Arc<SqliteLedger> {
    SqliteLedger::open(SqliteOptions::new(dir.join("ledger.db"), Arc::new(SystemClock))).expect("opened")
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Ingests into each size in turn. An empty ledger is made anew each round, so that it stays one.
async fn measure(sizes: &mut [Size], ids: &Arc<RandomIds>) {
    for round in 0..ROUNDS {
        for size in sizes.iter_mut() {
            if size.events == 0 {
                std::fs::remove_dir_all(&size.dir).expect("removed");
                std::fs::create_dir(&size.dir).expect("made");
            }
            let ledger = open(&size.dir);
            // The first commits after a start read the inner pages of the trees; they are not what an ingest costs.
            load::ingest(&ledger, ids, CLIENTS * 4, CLIENTS).await;
            let found = load::ingest(&ledger, ids, EVENTS_PER_ROUND, CLIENTS).await;
            println!("round {round}, {:>9} events: {found}", size.events);
            size.rounds.push(found);
            ledger.close().await.expect("closed");
        }
    }
}

/// Prints the medians and whether the largest is within the bound.
fn judge(sizes: &[Size]) -> bool {
    let figure = |size: &Size, read: fn(&Found) -> f64| median(size.rounds.iter().map(read).collect());
    let first = &sizes[0];
    let wall: fn(&Found) -> f64 = |found| found.wall_us;
    let cpu: fn(&Found) -> f64 = |found| found.writer_us;
    println!(
        "\n| stored events | µs an event | ratio | of the writer's CPU | ratio | log written, bytes an event | p99 |"
    );
    println!("|---|---|---|---|---|---|---|");
    for size in sizes {
        println!(
            "| {} | {:.1} | {:.2} | {:.1} | {:.2} | {:.0} | {:.1} ms |",
            size.events,
            figure(size, wall),
            figure(size, wall) / figure(first, wall),
            figure(size, cpu),
            figure(size, cpu) / figure(first, cpu),
            figure(size, |found| found.written_bytes),
            figure(size, |found| found.at(0.99).as_secs_f64() * 1000.0),
        );
    }
    let last = sizes.last().expect("a size");
    figure(last, wall) / figure(first, wall) <= RATIO_MAX
}

/// Acknowledgements at half of the ledger's own rate while `beside` runs, in steps until it is done.
async fn retention(size: &Size, ids: &Arc<RandomIds>) {
    let ledger = open(&size.dir);
    let rate = 1e6 / median(size.rounds.iter().map(|found| found.wall_us).collect()) / 2.0;
    let quiet = |name: &'static str| {
        let ledger = Arc::clone(&ledger);
        async move {
            let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let stopper = Arc::clone(&stop);
            tokio::spawn(async move {
                tokio::time::sleep(QUIET).await;
                stopper.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            let found = load::paced(&ledger, ids, rate, CLIENTS, stop).await;
            println!("{name}: {found}");
        }
    };
    println!("\nacknowledgements at {rate:.0} a second, {} events stored", size.events);
    quiet("before").await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (pruner, stopper) = (Arc::clone(&ledger), Arc::clone(&stop));
    let pruning = tokio::spawn(async move {
        let before = SystemClock.now() - fill::OLD;
        let (begun, mut deleted, mut slices) = (Instant::now(), 0, Vec::new());
        loop {
            let slice = Instant::now();
            let gone = pruner.prune(before).await.expect("deleted");
            let took = slice.elapsed();
            slices.push(took);
            if gone == 0 {
                break;
            }
            deleted += gone;
            tokio::time::sleep((took * RETENTION_PAUSE_SLICES).max(RETENTION_PAUSE_MIN)).await;
        }
        stopper.store(true, std::sync::atomic::Ordering::Relaxed);
        slices.sort();
        println!(
            "deleted {deleted} events in {:.0?}, slices p50 {:.1?}, p99 {:.1?}",
            begun.elapsed(),
            slices[slices.len() / 2],
            slices[slices.len() * 99 / 100]
        );
    });
    let found = load::paced(&ledger, ids, rate, CLIENTS, stop).await;
    pruning.await.expect("ran");
    println!("while deleting: {found}");
    quiet("after").await;
    ledger.close().await.expect("closed");
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let mut sizes: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![0, 1_000_000, 10_000_000];
    }
    let root = tempfile::Builder::new().prefix("hookhand-growth-").tempdir().expect("a temporary folder");
    let ids = Arc::new(RandomIds::default());
    let mut made = Vec::new();
    for events in sizes {
        let dir = root.path().join(events.to_string());
        std::fs::create_dir(&dir).expect("made");
        open(&dir).close().await.expect("closed");
        let begun = Instant::now();
        let bytes = fill::fill(&dir.join("ledger.db"), events, OLD_EVENTS.min(events / 2));
        println!("filled {events} events in {:.0?}, {} MiB", begun.elapsed(), bytes >> 20);
        made.push(Size { events, dir, rounds: Vec::new() });
    }
    // Before anything is handed in, since an agent with work to do is not idle.
    for size in &made {
        println!("the agent on {} events: {}", size.events, agent::measure(&size.dir));
    }
    measure(&mut made, &ids).await;
    let within = judge(&made);
    if let Some(largest) = made.last().filter(|size| size.events > 0) {
        retention(largest, &ids).await;
    }
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
