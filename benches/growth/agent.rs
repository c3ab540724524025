//! The real binary on a filled ledger: from its start to its first answer, and what it costs when nothing happens.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts; the median counts.
const STARTS: usize = 9;
/// How long the agent is left alone before its idle memory is read.
const SETTLE: Duration = Duration::from_secs(5);
/// How long its idle work is counted.
const IDLE: Duration = Duration::from_secs(30);
/// After this it will not start any more.
const PATIENCE: Duration = Duration::from_secs(60);

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // An idle agent has nothing to lose; one that was killed must start as fast.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Whether `/health` answers 200.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Starts the agent on the ledger in `data` and waits for its first answer.
fn start(data: &Path) -> (Agent, Duration) {
    let port = free_port();
    let dir = data.with_extension("agent");
    std::fs::create_dir_all(&dir).expect("made");
    let config = format!(
        "data_dir: {}\nwebhooks:\n  port: {port}\n  handlers: {{ github: {{ secret: bench-secret-that-guards-nothing }} }}\n\
         dashboard: {{ port: 0 }}\nretention: {{ events_days: 3650 }}\n",
        data.display()
    );
    std::fs::write(dir.join("config.yaml"), config).expect("written");
    let begun = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_agent"))
        .arg("--webhooks")
        .current_dir(&dir)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let agent = Agent(child);
    while !answers((Ipv4Addr::LOCALHOST, port).into()) {
        assert!(begun.elapsed() < PATIENCE, "the agent does not answer");
        std::thread::sleep(Duration::from_micros(500));
    }
    (agent, begun.elapsed())
}

fn status(agent: &Agent, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.0.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Context switches of all threads, and processor time in ticks of 10 ms.
fn work(agent: &Agent) -> (u64, u64) {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.0.id())).into_iter().flatten().flatten();
    let (mut switches, mut ticks) = (0, 0);
    for task in tasks {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        switches += counts.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum::<u64>();
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        ticks += after_name.split(' ').skip(12).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    (switches, ticks)
}

/// Measures the agent on the ledger in `data`.
pub(crate) fn measure(data: &Path) -> String {
    let mut starts: Vec<Duration> = (0..STARTS).map(|_| start(data).1).collect();
    starts.sort();
    let (agent, _) = start(data);
    std::thread::sleep(SETTLE);
    let rss_kib = status(&agent, "VmRSS");
    let (switches, ticks) = work(&agent);
    std::thread::sleep(IDLE);
    let (switches_after, ticks_after) = work(&agent);
    format!(
        "start to the first answer {:.0?} (slowest {:.0?}); idle: {:.1} MiB of memory ({:.1} of them its own), {} context switches and {} ms of CPU in {IDLE:.0?}",
        starts[STARTS / 2],
        starts[STARTS - 1],
        rss_kib as f64 / 1024.0,
        status(&agent, "RssAnon") as f64 / 1024.0,
        switches_after - switches,
        (ticks_after - ticks) * 10,
    )
}
