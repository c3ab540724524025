//! The checks: what each claims, in the order of the report, and when each runs.

mod addresses;
mod approvals;
mod definitions;
mod disk;
mod duplicates;
mod forwarded;
mod injections;
mod kills;
mod load;
mod model;
mod outage;
mod payloads;
mod secrets;
mod signatures;
mod table;

use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::task::JoinSet;

use super::kills::Killed;
use super::report::{Check, Load, Outcome, Report};
use super::{Context, guarded};

/// What a check came to.
#[derive(Debug)]
struct Verdict {
    outcome: Outcome,
    seen: String,
    faults: Vec<String>,
    kills: Option<Killed>,
    load: Option<Load>,
}

impl Verdict {
    /// Held when there are no faults.
    fn of(seen: impl Into<String>, faults: Vec<String>) -> Self {
        let outcome = if faults.is_empty() { Outcome::Held } else { Outcome::Failed };
        Self { outcome, seen: seen.into(), faults, kills: None, load: None }
    }

    fn not_tried(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotTried, seen: reason.into(), faults: Vec::new(), kills: None, load: None }
    }
}

type Run = fn(Context) -> BoxFuture<'static, Result<Verdict, String>>;

/// When a check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// With the others that take little.
    Together,
    /// Kills need the machine; in a quick run they go with the others.
    Kills,
    /// When everything else was said and written.
    Afterwards,
    /// Alone, because it measures.
    Alone,
}

struct Entry {
    name: &'static str,
    promises: &'static str,
    claim: &'static str,
    turn: Turn,
    run: Run,
}

macro_rules! entry {
    ($name:literal, $promises:literal, $turn:ident, $run:path, $claim:literal) => {
        Entry {
            name: $name,
            promises: $promises,
            claim: $claim,
            turn: Turn::$turn,
            run: |context| async move { $run(&context).await }.boxed(),
        }
    };
}

const CHECKS: &[Entry] = &[
    entry!(
        "kills",
        "P1 P2 P3 P4",
        Kills,
        kills::at_commits,
        "killed at every commit: nothing lost, nothing done twice, doubt is asked"
    ),
    entry!(
        "storm",
        "P1 P2 P3 P4",
        Kills,
        kills::at_random,
        "killed at any time under load: nothing lost, nothing done twice"
    ),
    entry!(
        "full-disk",
        "P1",
        Together,
        disk::full,
        "a full disk: refused while it is full, what was acknowledged is kept"
    ),
    entry!("fsync", "P1", Together, disk::fsync, "an fsync that fails: nothing is acknowledged that is not kept"),
    entry!(
        "duplicates",
        "P2",
        Together,
        duplicates::check,
        "one delivery many times at once: one event, one run, one effect"
    ),
    entry!(
        "outage",
        "P4",
        Together,
        outage::check,
        "Telegram gone, then slow: every notice told once, retry_after honoured"
    ),
    entry!("approvals", "P5 P6", Together, approvals::check, "who decides, once; what was approved is what runs"),
    entry!(
        "payloads",
        "P7",
        Together,
        payloads::check,
        "hostile payloads stay data: no command, no path, no host, no template"
    ),
    entry!(
        "definitions",
        "P7",
        Together,
        definitions::check,
        "no workflow loads that lets a payload choose what happens"
    ),
    entry!(
        "injections",
        "P7 P8",
        Together,
        injections::check,
        "a model that obeys every injection: no effect without a person, no leak"
    ),
    entry!(
        "secrets",
        "P8",
        Afterwards,
        secrets::check,
        "no secret in any log, database, answer or message of this run"
    ),
    entry!(
        "model",
        "P9",
        Together,
        model::check,
        "a model that never answers delays neither the answer nor the notice"
    ),
    entry!(
        "signatures",
        "section 5",
        Together,
        signatures::check,
        "what senders publish about their signatures verifies, and nothing else"
    ),
    entry!(
        "forwarded",
        "section 3",
        Together,
        forwarded::check,
        "a client cannot choose its address by X-Forwarded-For or Forwarded"
    ),
    entry!(
        "addresses",
        "section 12",
        Together,
        addresses::check,
        "tools reach public addresses and what is listed, nothing else"
    ),
    entry!(
        "load",
        "section 12",
        Alone,
        load::check,
        "a short load: every request taken; ratio to a bare server, times of answers"
    ),
];

/// Names of all checks.
pub(super) fn names() -> Vec<&'static str> {
    CHECKS.iter().map(|entry| entry.name).collect()
}

/// Runs what was asked for, turn by turn.
pub(super) async fn run_all(context: &Context, report: &mut Report) {
    let only = &context.options.only;
    let wanted: Vec<&'static Entry> =
        CHECKS.iter().filter(|entry| only.is_empty() || only.iter().any(|name| name == entry.name)).collect();
    let turn = |entry: &Entry| match entry.turn {
        Turn::Kills if context.options.quick => Turn::Together,
        turn => turn,
    };
    let mut done: Vec<(usize, Check)> = Vec::new();
    for now in [Turn::Together, Turn::Kills, Turn::Afterwards, Turn::Alone] {
        let mut running = JoinSet::new();
        for (at, entry) in wanted.iter().copied().enumerate().filter(|(_, entry)| turn(entry) == now) {
            let context = context.clone();
            running.spawn(async move { (at, one(&context, entry).await) });
        }
        while let Some(Ok((at, (check, kills, load)))) = running.join_next().await {
            context.progress(format!(
                "{:<12} {} ({:.1} s): {}",
                check.name,
                check.outcome.word(),
                check.seconds,
                check.seen
            ));
            report.kills.add(kills.into_iter().flat_map(|killed| killed.rows));
            report.load = load.or(report.load.take());
            done.push((at, check));
        }
    }
    done.sort_by_key(|(at, _)| *at);
    report.checks = done.into_iter().map(|(_, check)| check).collect();
}

async fn one(context: &Context, entry: &'static Entry) -> (Check, Option<Killed>, Option<Load>) {
    let begun = Instant::now();
    let verdict = guarded((entry.run)(context.clone())).await.and_then(|verdict| verdict);
    let verdict = verdict.unwrap_or_else(|error| Verdict::of("it came to no end", vec![error]));
    let Verdict { outcome, seen, faults, kills, load } = verdict;
    let Entry { name, promises, claim, .. } = *entry;
    (Check { name, promises, claim, outcome, seen, faults, seconds: begun.elapsed().as_secs_f64() }, kills, load)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let mut names = names();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }
}
