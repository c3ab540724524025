//! The real binary: started, asked, killed.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Real time after which something that is waited for will not come any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running agent.
pub struct Process {
    child: Child,
    pub webhooks: SocketAddr,
    printed: Arc<(Mutex<String>, Condvar)>,
}

impl Process {
    /// Starts `agent --webhooks` in `dir` and returns once it says that it is up.
    pub fn start(dir: &Path) -> Self {
        Self::start_binary(Path::new(env!("CARGO_BIN_EXE_agent")), dir)
    }

    /// The same with this copy of the binary.
    pub fn start_binary(binary: &Path, dir: &Path) -> Self {
        let (mut process, mut out) = Self::spawn(agent(binary, dir, &["--webhooks"]), dir);
        // Pipes that nobody reads would stop the agent once they are full.
        let into = Arc::clone(&process.printed);
        std::thread::spawn(move || {
            let mut line = String::new();
            while out.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                into.0.lock().expect("not poisoned").push_str(&line);
                into.1.notify_all();
                line.clear();
            }
        });
        let mut error = process.child.stderr.take().expect("piped");
        std::thread::spawn(move || std::io::copy(&mut error, &mut std::io::sink()));
        process
    }

    /// The same, with its output left to the caller.
    pub fn start_unread(dir: &Path) -> (Self, BufReader<ChildStdout>) {
        Self::spawn(agent(Path::new(env!("CARGO_BIN_EXE_agent")), dir, &["--webhooks"]), dir)
    }

    fn spawn(mut command: Command, dir: &Path) -> (Self, BufReader<ChildStdout>) {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut banner = String::new();
        while !banner.contains("Ctrl-C stops it.") {
            if out.read_line(&mut banner).expect("readable") == 0 {
                let mut error = String::new();
                let _read = child.stderr.take().expect("piped").read_to_string(&mut error);
                panic!("it ended: {banner}{error}");
            }
        }
        let presence = std::fs::read_to_string(dir.join("data/agent.json")).expect("announced");
        let presence: serde_json::Value = serde_json::from_str(&presence).expect("JSON");
        let url = presence["webhooks"].as_str().expect("a URL");
        let webhooks = url.strip_prefix("http://").expect("plain").parse().expect("an address");
        (Self { child, webhooks, printed: Arc::default() }, out)
    }

    /// Ctrl-C twice, the second once the first is heard, and its exit code.
    pub fn interrupt_twice(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        let interrupt = || rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signalled");
        interrupt();
        let mut error = BufReader::new(self.child.stderr.take().expect("piped"));
        let mut heard = String::new();
        while !heard.contains("stopping:") {
            assert!(error.read_line(&mut heard).expect("readable") > 0, "{heard}");
        }
        interrupt();
        // The end of its output is the end of the process.
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(std::io::copy(&mut error, &mut std::io::sink()).is_ok()));
        assert_eq!(end.recv_timeout(std::time::Duration::from_secs(60)), Ok(true), "it does not end");
        self.child.wait().expect("reaped").code()
    }

    /// What it printed after its start, once that holds `text`.
    pub fn wait_for(&self, text: &str) -> String {
        let printed = self.printed.0.lock().expect("not poisoned");
        let wait = self.printed.1.wait_timeout_while(printed, PATIENCE, |printed| !printed.contains(text));
        let (printed, waited) = wait.expect("not poisoned");
        assert!(!waited.timed_out(), "'{text}' is not printed: {printed}");
        printed.clone()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    /// Ctrl-C, and its exit code.
    pub fn interrupt(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signalled");
        self.child.wait().expect("reaped").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that failed must not leave an agent behind; one that ended well has reaped it already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn agent(binary: &Path, dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).current_dir(dir).env_clear().env("NO_COLOR", "1");
    command
}

/// Runs a command to its end.
pub fn run(dir: &Path, args: &[&str]) -> Output {
    agent(Path::new(env!("CARGO_BIN_EXE_agent")), dir, args).stdin(Stdio::null()).output().expect("the binary runs")
}

/// Runs a command that succeeds and gives what it printed.
pub fn stdout(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?} failed: {error}");
    String::from_utf8(output.stdout).expect("text")
}
