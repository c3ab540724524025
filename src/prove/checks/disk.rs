//! A disk that is full and empties again, and an fsync that fails: the kernel's answers to a running agent are changed by
//! `strace`, where it is installed and may trace. Without it nothing is known, and that is what is reported.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::Verdict;
use crate::prove::Context;
use crate::prove::kills::Books;
use crate::prove::stand::{Sender, Setup, Wanted, github};

/// Deliveries before the fault, and within it.
const DELIVERIES: u64 = 10;
/// How long the tracer may take to attach or to let go.
const TRACER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the agent may take until it commits again.
const RECOVER_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// No write to the ledger succeeds: the disk is full.
pub(super) async fn full(context: &Context) -> Result<Verdict, String> {
    broken(context, "full-disk", "pwrite64", "ENOSPC").await
}

/// Writes succeed, and no fsync does.
pub(super) async fn fsync(context: &Context) -> Result<Verdict, String> {
    broken(context, "fsync", "fsync,fdatasync", "EIO").await
}

async fn broken(context: &Context, name: &str, calls: &str, error: &str) -> Result<Verdict, String> {
    let program = context.options.program.as_path();
    let setup = Setup::write(&context.folder.join(name), &Wanted::default(), &context.secrets).await?;
    let mut agent = setup.up(program).await?;
    let sender = Sender::new(context.secrets.clone())?;
    let mut faults = Vec::new();
    let delivery = |number: u64| github("github", &format!("d-{number}"), number, &format!("Disk {number}"));
    for number in 0..DELIVERIES {
        let _acknowledged = sender.deliver(agent.webhooks, &delivery(number)).await?.ok_or("an idle agent refused")?;
    }
    let Some(pid) = agent.pid() else { return Err("the agent is gone".into()) };
    let tracer = match Tracer::attach(pid, calls, error).await {
        Ok(tracer) => tracer,
        Err(reason) => return Ok(Verdict::not_tried(reason)),
    };
    let (mut refused, mut unanswered) = (0, 0);
    for number in DELIVERIES..2 * DELIVERIES {
        match sender.send(agent.webhooks, &delivery(number)).await {
            Some(answer) if answer.status.is_success() => {
                faults.push(format!("delivery {number} was acknowledged while nothing could be written"));
            }
            Some(_) => refused += 1,
            None => unanswered += 1,
        }
    }
    tracer.let_go().await?;
    let ended = agent.has_ended();
    if ended {
        agent = setup.up(program).await?;
    }
    let begun = Instant::now();
    for number in DELIVERIES..2 * DELIVERIES {
        while sender.deliver(agent.webhooks, &delivery(number)).await?.is_none() {
            if begun.elapsed() > RECOVER_WAIT_MAX {
                return Err("the agent does not commit again when the fault is over".into());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
    agent.kill().await;
    let agent = setup.up(program).await?;
    let books = Books::read(&setup.ledger()).await?;
    agent.kill().await;
    for number in 0..2 * DELIVERIES {
        let events = books.events.get(&format!("d-{number}")).map_or(0, Vec::len);
        if events != 1 {
            faults.push(format!("delivery {number} is there {events} times"));
        }
    }
    let stopped = if ended { ", the agent stopped itself and was started again" } else { "" };
    let seen = format!(
        "{error} from {calls}: {refused} refused, {unanswered} unanswered{stopped}; afterwards all {} acknowledged, and there after a kill",
        2 * DELIVERIES
    );
    Ok(Verdict::of(seen, faults))
}

/// `strace` on a running process.
struct Tracer(Child);

impl Tracer {
    /// Every call of `calls` fails with `error` from now on; else why it cannot be tried.
    async fn attach(pid: u32, calls: &str, error: &str) -> Result<Self, String> {
        let mut command = Command::new("strace");
        command
            .args([
                "-f",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={calls}"),
                "-e",
                &format!("inject={calls}:error={error}"),
            ])
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("strace cannot be run: {error}"))?;
        let said = child.stderr.take().ok_or("strace says nothing")?;
        let mut lines = BufReader::new(said).lines();
        let first = tokio::time::timeout(TRACER_WAIT_MAX, lines.next_line()).await;
        match first {
            Ok(Ok(Some(line))) if line.contains("attached") => {
                // It goes on talking about threads that come and go.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                Ok(Self(child))
            }
            Ok(Ok(Some(line))) => Err(format!("strace may not trace here: {line}")),
            Ok(_) | Err(_) => Err("strace did not attach".into()),
        }
    }

    /// The kernel answers for itself again.
    async fn let_go(mut self) -> Result<(), String> {
        let pid = self.0.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or("strace ended by itself")?;
        kill_process(pid, Signal::TERM).map_err(|error| error.to_string())?;
        let ended = tokio::time::timeout(TRACER_WAIT_MAX, self.0.wait()).await;
        ended.map_err(|_| "strace does not let go")?.map(|_| ()).map_err(|error| error.to_string())
    }
}
