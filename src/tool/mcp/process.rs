//! The process of a server: what it may see, and its end with everything that it started.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::config::McpServer;

/// Bytes of what it says besides (standard error) that are looked at in one line.
const LINE_BYTES_MAX: u64 = 4096;

/// A process that runs; dropping this ends it and its group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

/// Its ends of the pipes.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// Starts the server's program: no shell, a group of its own, and no variable of ours but `base_env`.
pub(super) fn start(server: &McpServer, base_env: &[(String, String)]) -> std::io::Result<(Process, Pipes)> {
    let Some((program, arguments)) = server.command.split_first() else {
        return Err(std::io::Error::other("it has no command"));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&server.cwd)
        .env_clear()
        .envs(base_env.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .envs(server.env.iter().map(|(name, secret)| (name.as_str(), secret.expose())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let missing = || std::io::Error::other("a pipe is missing");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    Ok((Process { child }, Pipes { stdin, stdout, stderr }))
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its group goes with it: `npx` is no more than the parent of the server.
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Reads what it says besides until it ends, and gives each line to `on_line`.
pub(super) async fn drain(stderr: ChildStderr, mut on_line: impl FnMut(String)) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => on_line(String::from_utf8_lossy(&line).trim().to_owned()),
        }
    }
}
