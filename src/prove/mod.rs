//! `agent prove`: the promises P1 to P9, each tried against the very binary that the user has, on a scratch folder.
//!
//! It plays everybody around the agent: senders, Telegram and the people in its chats ([`telegram`]), and whoever is called by
//! a step (`stand`). It kills agents (`kills`), looks at what they left, and judges (`checks`). A check that cannot be
//! tried here says why; it never counts as passed. Nothing is printed here: the command line prints the [`Report`].

mod checks;
mod kills;
mod report;
mod stand;
pub mod telegram;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

pub use report::{Check, KillRow, Kills, Load, Outcome, Report};

use crate::ports::{Clock, Ids};
use stand::Scratch;

/// Kills of a whole run, when nobody says otherwise: what fits into five minutes.
pub const KILLS_DEFAULT: u32 = 300;
/// Kills of a quick run.
pub const KILLS_QUICK: u32 = 24;

/// What is wrong on purpose, so that a proof can be seen to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Every table has a row whose expectation is wrong.
    Tables,
    /// What receives the effects of steps forgets them.
    DropEffects,
    /// What receives the effects of steps sees each twice.
    DoubleEffects,
    /// A secret is written into a log.
    Leak,
}

/// What to prove, and with what.
#[derive(Clone)]
pub struct Options {
    /// The binary.
    pub program: PathBuf,
    /// As the user called it, for the report.
    pub command: String,
    /// The system and its processor, for the report.
    pub system: String,
    /// Under this folder the scratch folder is made.
    pub temp: PathBuf,
    /// Whether the scratch folder stays.
    pub keep: bool,
    /// Whether to take samples where a whole run tries everything.
    pub quick: bool,
    /// How often agents are killed, at the least.
    pub kills: u32,
    /// Only checks whose names are here; empty means all.
    pub only: Vec<String>,
    /// What is wrong on purpose.
    pub sabotage: Option<Sabotage>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers, and the seed of what happens at random times.
    pub ids: Arc<dyn Ids>,
    /// Is told what goes on.
    pub progress: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// There is no place to work in.
    #[error("cannot use {path}: {source}")]
    Scratch {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No check has that name.
    #[error("there is no check '{name}'; there are: {}", checks::names().join(", "))]
    NoCheck {
        /// What was asked for.
        name: String,
    },
}

/// What every check has.
#[derive(Clone)]
struct Context {
    options: Options,
    folder: PathBuf,
    seed: u64,
    /// The agents that were started write here, each in a folder of its own.
    secrets: stand::SecretBook,
}

impl Context {
    fn progress(&self, text: impl AsRef<str>) {
        (self.options.progress)(text.as_ref());
    }

    fn wrong(&self, sabotage: Sabotage) -> bool {
        self.options.sabotage == Some(sabotage)
    }
}

/// Names of the checks, in the order in which they are reported.
pub fn check_names() -> Vec<&'static str> {
    checks::names()
}

/// Proves. To be called within a runtime with several threads.
///
/// # Errors
/// When nothing can be tried at all; what is not kept is in the report.
pub async fn run(options: Options) -> Result<Report, ProveError> {
    let started = Instant::now();
    let started_at = options.clock.now();
    if let Some(name) = options.only.iter().find(|name| !checks::names().contains(&name.as_str())) {
        return Err(ProveError::NoCheck { name: name.clone() });
    }
    let seed = options.ids.ulid(started_at).random();
    let scratch = Scratch::make(&options.temp, &format!("hookhand-prove-{seed:x}"), options.keep)
        .map_err(|source| ProveError::Scratch { path: options.temp.clone(), source })?;
    #[allow(clippy::cast_possible_truncation, reason = "any 64 bits of it do")]
    let seed = seed as u64;
    let context = Context {
        options: options.clone(),
        folder: scratch.path().to_owned(),
        seed,
        secrets: stand::SecretBook::default(),
    };
    let mut report = Report::new(&options, started_at, seed);
    checks::run_all(&context, &mut report).await;
    report.finish(started.elapsed());
    if options.keep {
        report.kept = Some(scratch.path().display().to_string());
    }
    Ok(report)
}

/// What a task came to; a panic of ours is a failure of the check, not of the process.
async fn guarded<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
    // Dropped with whoever waits for it, which a task that was spawned would not be.
    let mut task = tokio::task::JoinSet::new();
    task.spawn(work);
    match task.join_next().await {
        Some(Ok(done)) => Ok(done),
        Some(Err(error)) => Err(format!("the check itself broke: {error}")),
        None => Err("the check itself did not run".into()),
    }
}
