//! The process between the agent and a step's program (`agent __sandbox`): it confines, starts, watches and clears up.
//!
//! It stays outside the confinement of what it starts, so the program cannot signal it, and it is the parent to which orphans
//! fall, so a program that leaves its process group is found all the same. It ends when everything that it started is gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group, waitid};

use super::protocol::{Confinement, KILL_GRACE, ORDER_BYTES_MAX, Order, Report, STOP};
use super::{confine, tree};

/// How often the number of processes is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);
/// Every so many looks the tree is counted although the machine as a whole has few new tasks.
const FULL_COUNT_EVERY: u32 = 20;
/// The longest that clearing up goes on; what is still there then hangs in the kernel.
const CLEAR_WAIT_MAX: Duration = Duration::from_secs(5);
/// Between two rounds of clearing up.
const CLEAR_PAUSE: Duration = Duration::from_millis(1);

/// Carries out the order that comes on standard input. Returns when everything is over and reported.
pub fn supervise() -> ExitCode {
    super::keep_private();
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return ExitCode::FAILURE;
    };
    let Ok(mut reports) = socket.try_clone() else { return ExitCode::FAILURE };
    let mut say = |report: &Report| {
        let mut line = serde_json::to_vec(report).unwrap_or_default();
        line.push(b'\n');
        // When nobody listens any more, the closed socket is what ends the program.
        let _unheard = reports.write_all(&line);
    };
    let mut control = BufReader::new(socket);
    match begin(&mut control) {
        Err(message) => say(&Report::NeverBegan(message)),
        Ok(Begun { child, pid, confinement, processes_max }) => {
            say(&Report::Began { pid: pid.as_raw_nonzero().get(), confinement });
            say(&watch(child, pid, control, processes_max));
        }
    }
    ExitCode::SUCCESS
}

struct Begun {
    child: Child,
    pid: Pid,
    confinement: Confinement,
    processes_max: u64,
}

fn begin(control: &mut BufReader<UnixStream>) -> Result<Begun, String> {
    let unread = |error: std::io::Error| format!("the order cannot be read: {error}");
    let mut line = Vec::new();
    control.by_ref().take(ORDER_BYTES_MAX).read_until(b'\n', &mut line).map_err(unread)?;
    let order: Order = serde_json::from_slice(&line).map_err(|error| format!("the order cannot be read: {error}"))?;
    let mut stdin = Vec::new();
    control.by_ref().take(order.stdin_bytes).read_to_end(&mut stdin).map_err(unread)?;
    if stdin.len() as u64 != order.stdin_bytes {
        return Err("the order is not whole".into());
    }
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|errno| format!("orphans cannot be kept: {errno}"))?;
    let uid = rustix::process::getuid();
    // The kernel does not bound root's processes; for root the watch alone does.
    let tasks = if uid.is_root() { 0 } else { tree::tasks_of(uid.as_raw()) };
    confine::limit(&order.limits, tasks).map_err(|error| format!("limits cannot be set: {error}"))?;
    let processes_max = order.limits.processes_max;
    // The confinement belongs to a thread of its own, and to the program that this thread starts.
    let started = thread::spawn(move || start(&order)).join().map_err(|_| "the start failed".to_owned())?;
    let (mut child, confinement) = started?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("the program has no id")?;
    let mut pipe = child.stdin.take();
    thread::spawn(move || {
        // A program that does not read its input to the end does nothing wrong.
        let _unread = pipe.as_mut().map(|pipe| pipe.write_all(&stdin));
    });
    Ok(Begun { child, pid, confinement, processes_max })
}

fn start(order: &Order) -> Result<(Child, Confinement), String> {
    let (program, args) = order.argv.split_first().ok_or("there is no program to run")?;
    let confinement = confine::restrict(&order.places)?;
    let mut command = Command::new(program);
    command.args(args).current_dir(&order.cwd).env_clear().envs(order.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(|error| format!("{program} cannot be started: {error}"))?;
    Ok((child, confinement))
}

enum News {
    /// The program ended by itself.
    Exited,
    /// The agent wants an end.
    Stop,
    /// The agent is gone.
    Gone,
}

fn watch(mut child: Child, pid: Pid, control: BufReader<UnixStream>, processes_max: u64) -> Report {
    let news = listen(pid, control);
    let mut watcher = Watcher::new(processes_max);
    let mut too_many_processes = false;
    let mut until: Option<Instant> = None;
    loop {
        let wait = until.map_or(WATCH_INTERVAL, |until| until.saturating_duration_since(instant()).min(WATCH_INTERVAL));
        match news.recv_timeout(wait) {
            Ok(News::Exited | News::Gone) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(News::Stop) if until.is_none() => {
                let _gone = kill_process_group(pid, Signal::TERM);
                until = Some(instant() + KILL_GRACE);
            }
            Ok(News::Stop) => {}
            Err(RecvTimeoutError::Timeout) => {
                if until.is_some_and(|until| instant() >= until) {
                    break;
                }
                if watcher.too_many() {
                    too_many_processes = true;
                    break;
                }
            }
        }
    }
    let status = clear(&mut child, pid);
    Report::Ended {
        code: status.and_then(|status| status.code()),
        signal: status.and_then(|status| status.signal()),
        too_many_processes,
    }
}

fn listen(pid: Pid, mut control: BufReader<UnixStream>) -> Receiver<News> {
    let (tell, news) = channel::<News>();
    let exits: Sender<News> = tell.clone();
    thread::spawn(move || {
        // Not reaped here: as long as it is not, its process group is nobody else's.
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
        }
        let _over = exits.send(News::Exited);
    });
    thread::spawn(move || {
        let mut byte = [0];
        while let Ok(1) = control.read(&mut byte) {
            if byte[0] == STOP && tell.send(News::Stop).is_err() {
                return;
            }
        }
        let _over = tell.send(News::Gone);
    });
    news
}

/// Counts the processes of the step, cheaply.
struct Watcher {
    own: i32,
    tasks_before: u64,
    processes_max: u64,
    looks: u32,
}

impl Watcher {
    fn new(processes_max: u64) -> Self {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        Self { own, tasks_before: tree::tasks_in_all().unwrap_or(0), processes_max, looks: 0 }
    }

    fn too_many(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        let grown = tree::tasks_in_all().is_none_or(|now| now > self.tasks_before + self.processes_max / 2);
        (grown || self.looks.is_multiple_of(FULL_COUNT_EVERY)) && tree::descendants(self.own).1 > self.processes_max
    }
}

/// Kills the group, then everything else that descends from here, until nothing is left.
fn clear(child: &mut Child, group: Pid) -> Option<ExitStatus> {
    let _none_left = kill_process_group(group, Signal::KILL);
    let status = child.wait().ok();
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let end = instant() + CLEAR_WAIT_MAX;
    while instant() < end {
        // Everybody whose parent died is a child of this process now.
        while let Ok(Some(_reaped)) = rustix::process::wait(WaitOptions::NOHANG) {}
        let (left, _tasks) = tree::descendants(own);
        if left.is_empty() {
            break;
        }
        for pid in left.into_iter().filter_map(Pid::from_raw) {
            let _gone = kill_process(pid, Signal::KILL);
        }
        thread::sleep(CLEAR_PAUSE);
    }
    status
}

/// The monotonic clock: this process has no other, and what it times are signals and not the user's time.
fn instant() -> Instant {
    Instant::now()
}
