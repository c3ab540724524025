//! How the process starts, keeps and ends its tasks: a soft and a hard stop, named tasks with a policy, and how many files may be open.
//!
//! Every long-lived task starts here, so that none dies unseen: a panic or an error is logged with the task's name, and the
//! task starts again or the process stops, as its policy says. It knows nothing of what the tasks do, and reads no clock but
//! the runtime's timer.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// From the wish to stop until what is still in flight is cut off. Longer than the slowest request may take to answer
/// once its body is there, shorter than the 30 s after which service managers kill.
pub const STOP_GRACE: Duration = Duration::from_secs(25);

/// From the hard stop until [`Tasks::finish`] gives up waiting for tasks that do not listen.
pub const STOP_HARD_GRACE: Duration = Duration::from_secs(2);

/// First wait before a task starts again.
pub const RESTART_WAIT_MIN: Duration = Duration::from_millis(200);

/// Longest wait before a task starts again.
pub const RESTART_WAIT_MAX: Duration = Duration::from_secs(30);

/// The wish to stop, in two degrees. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Shutdown {
    /// A process that is meant to go on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everybody to take nothing new and to finish what was begun.
    pub fn stop_soon(&self) {
        self.soft.cancel();
    }

    /// Asks everybody to drop what is in flight.
    pub fn stop_now(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Whether a stop was asked for, soft or hard.
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Returns once a stop was asked for, soft or hard.
    pub async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// Returns once the hard stop was asked for.
    pub async fn stopped(&self) {
        self.hard.cancelled().await;
    }

    /// The soft stop as a token, for what takes one.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Listens for SIGINT and SIGTERM: the first is the soft stop, the second the hard one.
    ///
    /// # Errors
    /// When the signals cannot be listened for.
    pub async fn listen_to_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                () = self.stopped() => return Ok(()),
            };
            if self.is_stopping() {
                tracing::warn!(signal = name, "stopping at once");
                self.stop_now();
                return Ok(());
            }
            tracing::info!(signal = name, "stopping: finishing what is in flight, a second signal stops at once");
            self.stop_soon();
        }
    }
}

/// The signal of a write beyond the limit of a file's size (`ulimit -f`, `LimitFSIZE=`): the same number on Linux and macOS.
const FILE_SIZE_EXCEEDED: i32 = 25;

/// From here on a write beyond the limit of a file's size fails, like one to a full disk; its signal would end the process
/// without a word. Programs that are started get the signal's usual meaning back.
///
/// # Errors
/// When the signal cannot be listened for.
pub fn outlive_file_size_limit() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // The handler stays when this is dropped, and nobody needs to be woken by it.
    signal(SignalKind::from_raw(FILE_SIZE_EXCEEDED)).map(drop)
}

/// What happens when a task ends by an error or a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It starts again after a wait that doubles from `wait_min` to `wait_max`; a run longer than `wait_max` resets it.
    Restart {
        /// The first wait.
        wait_min: Duration,
        /// The longest wait.
        wait_max: Duration,
    },
    /// The process stops (softly), because it is of no use without the task.
    StopProcess,
}

impl Policy {
    /// Restart with the usual waits.
    pub const RESTART: Self = Self::Restart { wait_min: RESTART_WAIT_MIN, wait_max: RESTART_WAIT_MAX };
}

/// The task that stopped the process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{task} failed: {error}")]
pub struct TaskFailed {
    /// Its name.
    pub task: &'static str,
    /// What it said, or the panic's message.
    pub error: String,
}

/// The tasks of a process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    shutdown: Shutdown,
    tracker: TaskTracker,
    /// Names of those that run, so that a stop that takes long can say whom it waits for.
    running: Arc<Mutex<Vec<&'static str>>>,
    failed: Arc<OnceLock<TaskFailed>>,
}

/// A task that runs, as long as this lives.
struct Running {
    name: &'static str,
    all: Arc<Mutex<Vec<&'static str>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = all.iter().position(|name| *name == self.name) {
            all.swap_remove(at);
        }
    }
}

impl Tasks {
    /// Tasks that stop by `shutdown`.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, tracker: TaskTracker::new(), running: Arc::default(), failed: Arc::default() }
    }

    fn runs(&self, name: &'static str) -> Running {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        Running { name, all: Arc::clone(&self.running) }
    }

    /// The stop that these tasks listen to.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Starts a task. `make` is called for each run; a run that returns `Ok` is done for good, one that returns an error or
    /// panics is dealt with by `policy`. The hard stop drops it wherever it is.
    pub fn spawn<Make, Run, E>(&self, name: &'static str, policy: Policy, mut make: Make)
    where
        Make: FnMut() -> Run + Send + 'static,
        Run: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let (shutdown, failed) = (self.shutdown.clone(), Arc::clone(&self.failed));
        let running = self.runs(name);
        self.tracker.spawn(async move {
            let _running = running;
            let mut backoff = Duration::ZERO;
            loop {
                let started = tokio::time::Instant::now();
                let Some(error) = run_once(&shutdown, &mut make).await else { return };
                let Policy::Restart { wait_min, wait_max } = policy else {
                    tracing::error!(task.name = name, %error, "a task that the process needs has ended, stopping");
                    // The first failure is the cause; those that follow from it do not replace it.
                    let _ = failed.set(TaskFailed { task: name, error });
                    shutdown.stop_soon();
                    return;
                };
                backoff = if started.elapsed() > wait_max { wait_min } else { (backoff * 2).clamp(wait_min, wait_max) };
                tracing::error!(task.name = name, %error, wait_ms = backoff.as_millis(), "a task has ended, it starts again");
                tokio::select! {
                    () = tokio::time::sleep(backoff) => {}
                    () = shutdown.stopping() => return,
                }
            }
        });
    }

    /// Starts a task that works with `part` until the soft stop, and again after a panic. It ends itself when it is told to.
    pub fn keep<Part, Run>(
        &self,
        name: &'static str,
        part: Part,
        run: impl Fn(Part, CancellationToken) -> Run + Send + 'static,
    ) where
        Part: Clone + Send + 'static,
        Run: Future<Output = ()> + Send + 'static,
    {
        let soft = self.shutdown.soft().clone();
        self.spawn(name, Policy::RESTART, move || run(part.clone(), soft.clone()).map(Ok::<(), Infallible>));
    }

    /// Starts something short that nobody waits for but the end of the process. A panic is logged under `name`.
    pub fn spawn_short(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        let running = self.runs(name);
        self.tracker.spawn(async move {
            let _running = running;
            tokio::select! {
                done = AssertUnwindSafe(work).catch_unwind() => {
                    if let Err(panic) = done {
                        tracing::error!(task.name = name, error = panic_message(&*panic), "a short task panicked");
                    }
                }
                () = shutdown.stopped() => {}
            }
        });
    }

    /// Names of the tasks that run.
    fn left(&self) -> String {
        let mut names = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        names.sort_unstable();
        names.join(", ")
    }

    /// Returns once a stop was asked for and every task has ended, or the grace is over.
    ///
    /// # Errors
    /// The failure of the task that stopped the process.
    pub async fn finish(&self, grace: Duration) -> Result<(), TaskFailed> {
        self.shutdown.stopping().await;
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => {}
            () = async {
                tokio::select! {
                    () = self.shutdown.stopped() => {}
                    () = tokio::time::sleep(grace) => {
                        let tasks = self.left();
                        tracing::warn!(tasks, grace_seconds = grace.as_secs(), "what was in flight did not finish in time, it is cut off");
                        self.shutdown.stop_now();
                    }
                }
                tokio::time::sleep(STOP_HARD_GRACE).await;
            } => tracing::error!(tasks = self.left(), "some tasks did not end"),
        }
        self.failed.get().cloned().map_or(Ok(()), Err)
    }
}

/// One run of a task: `None` when it is done or the process stops hard, else what went wrong.
async fn run_once<Make, Run, E>(shutdown: &Shutdown, make: &mut Make) -> Option<String>
where
    Make: FnMut() -> Run,
    Run: Future<Output = Result<(), E>>,
    E: fmt::Display,
{
    // `make` runs inside the guard too: it may panic like the rest.
    let guarded = AssertUnwindSafe(async { make().await }).catch_unwind();
    let ended = tokio::select! {
        ended = guarded => ended,
        () = shutdown.stopped() => return None,
    };
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(panic) => Some(format!("panic: {}", panic_message(&*panic))),
    }
}

/// Lets this process have `wanted` files open at one time where the system allows it; how many it may have now.
pub fn raise_open_files(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // No limit is told as `None`.
    let now = getrlimit(Resource::Nofile);
    let (current, most) = (now.current.unwrap_or(u64::MAX), now.maximum.unwrap_or(u64::MAX));
    let raised = wanted.min(most);
    if current >= raised {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: now.maximum }) {
        Ok(()) => raised,
        // The system's own bound may be lower than the one that it tells.
        Err(_) => current,
    }
}

/// What a panic said.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const QUICK: Policy = Policy::Restart { wait_min: Duration::from_millis(1), wait_max: Duration::from_millis(2) };

    #[tokio::test]
    async fn a_task_that_panics_or_fails_starts_again_until_it_is_done() {
        let tasks = Tasks::new(Shutdown::new());
        let runs = Arc::new(AtomicU32::new(0));
        let (seen, shutdown) = (Arc::clone(&runs), tasks.shutdown().clone());
        tasks.spawn("flaky", QUICK, move || {
            let (run, shutdown) = (seen.fetch_add(1, Ordering::SeqCst), shutdown.clone());
            async move {
                match run {
                    0 => panic!("first"),
                    1 => Err("second"),
                    _ => {
                        shutdown.stop_soon();
                        Ok(())
                    }
                }
            }
        });
        assert_eq!(tasks.finish(STOP_GRACE).await, Ok(()));
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_needed_task_that_fails_stops_the_process_and_is_named() {
        let tasks = Tasks::new(Shutdown::new());
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("other", Policy::RESTART, move || {
            let shutdown = shutdown.clone();
            async move {
                shutdown.stopping().await;
                Ok::<(), String>(())
            }
        });
        tasks.spawn("ledger", Policy::StopProcess, || async { Err("disk full") });
        let failed = tasks.finish(STOP_GRACE).await.expect_err("the ledger failed");
        assert_eq!(failed.to_string(), "ledger failed: disk full");
    }

    #[tokio::test]
    async fn what_does_not_finish_in_the_grace_is_cut_off() {
        let tasks = Tasks::new(Shutdown::new());
        tasks.spawn("deaf", Policy::RESTART, std::future::pending::<Result<(), String>>);
        tasks.spawn_short("deaf too", std::future::pending());
        tasks.shutdown().stop_soon();
        assert_eq!(tasks.finish(Duration::from_millis(1)).await, Ok(()));
    }
}
