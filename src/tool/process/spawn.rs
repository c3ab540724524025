//! The agent's side of a step's processes: gives the order, drains what they print, and sees to their end.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

use super::output::{Keep, Kept};
use super::protocol::{Confinement, KILL_GRACE, Order, REPORTS_BYTES_MAX, Report, STOP};
use super::{SUPERVISE_COMMAND, Sandbox};
use crate::tool::{ToolContext, ToolFailure};

/// From the wish to stop until processes that cannot be killed (they hang in the kernel) are no longer waited for.
const STOP_WAIT_MAX: Duration = Duration::from_secs(10);

/// How a step's processes ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) how: How,
    pub(super) stdout: Kept,
    pub(super) stderr: Kept,
}

/// What became of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It ended by itself.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// There were too many processes.
    TooManyProcesses,
    /// It was stopped because its time was over.
    TimedOut,
    /// It was stopped because somebody asked for that.
    Cancelled,
    /// Nobody knows: the process that watched it is gone.
    Unknown,
}

/// Why processes are stopped before they end by themselves.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Time,
    Wish,
}

impl From<Stop> for How {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Time => Self::TimedOut,
            Stop::Wish => Self::Cancelled,
        }
    }
}

/// Runs `order` to its end. When the future is dropped, everything that runs is killed.
pub(super) async fn run(
    sandbox: &Sandbox,
    order: &Order,
    stdin: &[u8],
    timeout: Duration,
    context: &ToolContext,
) -> Result<Ended, ToolFailure> {
    let mut line = serde_json::to_vec(order).map_err(|error| ToolFailure::never_began(error.to_string()))?;
    line.push(b'\n');
    let (mut supervisor, socket) = start(sandbox).map_err(|error| {
        ToolFailure::never_began(format!("the process that holds a step's programs cannot be started: {error}"))
    })?;
    let (listening, mut speaking) = socket.into_split();
    let mut stopping = std::pin::pin!(async {
        tokio::select! {
            () = context.cancel.cancelled() => Stop::Wish,
            () = context.clock.sleep(timeout) => Stop::Time,
        }
    });
    // Until the order is whole nothing runs: dropping the socket is enough.
    tokio::select! {
        biased;
        _unheard = async { speaking.write_all(&line).await.and(speaking.write_all(stdin).await) } => {}
        stop = &mut stopping => return Ok(nothing(stop.into())),
    }
    let (mut stdout, mut stderr) = (Kept::new(Keep::Head), Kept::new(Keep::Tail));
    let mut heard = Heard::default();
    let how = {
        let (out, err) = (supervisor.stdout.take(), supervisor.stderr.take());
        let all = async {
            let printed = async {
                if let Some(out) = out {
                    stdout.drain(out).await;
                }
            };
            let logged = async {
                if let Some(err) = err {
                    stderr.drain(err).await;
                }
            };
            tokio::join!(printed, logged, heard.listen(listening, sandbox));
        };
        tokio::pin!(all);
        tokio::select! {
            biased;
            () = &mut all => None,
            stop = &mut stopping => {
                end(&mut speaking, &mut all).await;
                Some(How::from(stop))
            }
        }
    };
    if heard.ended.is_none() {
        heard.kill();
    }
    // It has closed its socket and pipes, so this takes no time; the runtime reaps it if it does.
    let _reaped = tokio::time::timeout(KILL_GRACE, supervisor.wait()).await;
    match (how, heard) {
        (None, Heard { never_began: Some(message), .. }) => Err(ToolFailure::NeverBegan { message }),
        (Some(how), _) => Ok(Ended { how, stdout, stderr }),
        (None, heard) => Ok(Ended { how: heard.ended.unwrap_or(How::Unknown), stdout, stderr }),
    }
}

fn nothing(how: How) -> Ended {
    Ended { how, stdout: Kept::new(Keep::Head), stderr: Kept::new(Keep::Tail) }
}

fn start(sandbox: &Sandbox) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new(&sandbox.program);
    // A group of its own, so that Ctrl-C in a terminal is the agent's to answer.
    command.arg(SUPERVISE_COMMAND).env_clear().process_group(0);
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

/// Asks for an end and waits for it, as long as it can take.
async fn end(speaking: &mut OwnedWriteHalf, all: &mut (impl Future<Output = ()> + Unpin)) {
    let _unheard = speaking.write_all(&[STOP]).await;
    let _hangs = tokio::time::timeout(KILL_GRACE + STOP_WAIT_MAX, all).await;
}

/// What the supervisor said.
#[derive(Default)]
struct Heard {
    never_began: Option<String>,
    group: Option<Pid>,
    ended: Option<How>,
}

impl Heard {
    async fn listen(&mut self, listening: OwnedReadHalf, sandbox: &Sandbox) {
        let mut lines = BufReader::new(listening.take(REPORTS_BYTES_MAX)).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(Report::NeverBegan(message)) => self.never_began = Some(message),
                Ok(Report::Began { pid, confinement }) => {
                    self.group = Pid::from_raw(pid);
                    self.tell(sandbox, confinement);
                }
                Ok(Report::Ended { too_many_processes: true, .. }) => self.ended = Some(How::TooManyProcesses),
                Ok(Report::Ended { code: Some(code), .. }) => self.ended = Some(How::Exited(code)),
                Ok(Report::Ended { signal: Some(signal), .. }) => self.ended = Some(How::Killed(signal)),
                Ok(Report::Ended { .. }) | Err(_) => {}
            }
        }
    }

    fn tell(&self, sandbox: &Sandbox, confinement: Confinement) {
        sandbox.learned(confinement);
    }

    /// Kills the program's group when nobody reported its end.
    fn kill(&self) {
        if let Some(group) = self.group {
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}
