//! `agent bench`: how fast this machine takes webhooks, as ratios against a bare server in the same run.
//!
//! Every server runs in a process of its own, one after the other, under the same load from this process. What it prints is
//! what to quote.

mod load;
mod server;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use super::out;
use load::{Plan, Stop, Template};

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds over all servers; the median of each counts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Connections
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Bytes of a body
    #[arg(long, default_value_t = 1536, value_name = "N", value_parser = clap::value_parser!(u32).range(300..=1_000_000))]
    body_bytes: u32,
    /// Measure another server too, in the same rounds: http://ADDRESS:PORT/PATH. It gets the same signed deliveries
    #[arg(long, value_name = "URL", num_args = 1)]
    beside: Vec<String>,
    /// Events of the memory measurement; 0 leaves it out
    #[arg(long, default_value_t = 0, value_name = "N")]
    soak: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Be one of the measured servers (used by the bench itself)
    #[arg(long, hide = true, value_name = "KIND")]
    serve: Option<Kind>,
}

/// The servers that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// A warp POST route that reads the body and answers.
    Bare,
    /// The same with signature, rate limiter and allowlist.
    Checked,
    /// The agent: the same, committed to disk, and handled by the queue up to the notice.
    Full,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Bare, Self::Checked, Self::Full];

    fn word(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Checked => "checked",
            Self::Full => "full",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Bare => "bare warp POST",
            Self::Checked => "+ signature, limiter, allowlist",
            Self::Full => "full durable path",
        }
    }
}

pub(super) fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    if let Some(kind) = args.serve {
        server::serve(kind)?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(measure(args))?;
    if args.json {
        out::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A server that somebody else started.
struct Beside {
    url: String,
    address: SocketAddr,
    template: Template,
    found: Vec<load::Found>,
}

impl Beside {
    fn new(url: &str, body_bytes: usize) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").context("--beside takes http://ADDRESS:PORT/PATH")?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = address.parse().with_context(|| format!("'{address}' is no address with a port"))?;
        let template = Template::new(&format!("/{path}"), body_bytes)?;
        Ok(Self { url: url.to_owned(), address, template, found: Vec::new() })
    }
}

/// One server's figures.
#[derive(Debug, Serialize)]
struct Row {
    server: String,
    what: String,
    per_second: f64,
    ratio_to_bare: f64,
    p50_ms: f64,
    p99_ms: f64,
    refused: u64,
}

/// The full path at half of its own maximum rate.
#[derive(Debug, Serialize)]
struct HalfRate {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Debug, Serialize)]
struct Soak {
    events: u64,
    per_second: f64,
    refused: u64,
    rss_mib: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    command: String,
    cores: usize,
    connections: u32,
    body_bytes: u32,
    start_to_listening_ms: f64,
    servers: Vec<Row>,
    full_at_half_rate: HalfRate,
    soak: Option<Soak>,
}

async fn measure(args: &BenchArgs) -> anyhow::Result<Report> {
    let template = Template::new(server::PATH, args.body_bytes as usize)?;
    let plan = Plan {
        connections: args.connections as usize,
        stop: Stop::After(Duration::from_secs(args.seconds)),
        pace: None,
    };
    let beside = args.beside.iter().map(|url| Beside::new(url, args.body_bytes as usize));
    let mut beside = beside.collect::<anyhow::Result<Vec<_>>>()?;
    let mut found: [Vec<load::Found>; 3] = Default::default();
    let mut starts = Vec::new();
    for round in 1..=args.rounds {
        for (kind, found) in Kind::ALL.into_iter().zip(&mut found) {
            out::error(format!("round {round} of {}: {}", args.rounds, kind.meaning()));
            let server = Server::start(kind)?;
            if kind == Kind::Full {
                starts.push(server.started_in.as_secs_f64() * 1000.0);
            }
            found.push(load::run(server.address, &template, plan).await?);
        }
        for other in &mut beside {
            out::error(format!("round {round} of {}: {}", args.rounds, other.url));
            other.found.push(load::run(other.address, &other.template, plan).await?);
        }
    }
    let medians = found.map(median);
    let bare = medians[0].per_second;
    let row = |server: &str, what: &str, found: &load::Found| Row {
        server: server.to_owned(),
        what: what.to_owned(),
        per_second: found.per_second,
        ratio_to_bare: found.per_second / bare,
        p50_ms: found.percentile_ms(0.50),
        p99_ms: found.percentile_ms(0.99),
        refused: found.refused,
    };
    let ours = Kind::ALL.into_iter().zip(&medians).map(|(kind, found)| row(kind.word(), kind.meaning(), found));
    let mut servers: Vec<Row> = ours.collect();
    servers.extend(beside.into_iter().map(|other| row("beside", &other.url, &median(other.found))));
    out::error("the full path at half of its own rate");
    let server = Server::start(Kind::Full)?;
    let half = load::run(server.address, &template, Plan { pace: Some(medians[2].per_second / 2.0), ..plan }).await?;
    drop(server);
    starts.sort_by(f64::total_cmp);
    Ok(Report {
        command: format!("agent {}", std::env::args().skip(1).collect::<Vec<_>>().join(" ")),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        connections: args.connections,
        body_bytes: args.body_bytes,
        start_to_listening_ms: starts[starts.len() / 2],
        servers,
        full_at_half_rate: HalfRate {
            per_second: half.per_second,
            p50_ms: half.percentile_ms(0.50),
            p99_ms: half.percentile_ms(0.99),
        },
        soak: if args.soak > 0 { Some(soak(args, &template).await?) } else { None },
    })
}

fn median(mut rounds: Vec<load::Found>) -> load::Found {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rounds.swap_remove(rounds.len() / 2)
}

async fn soak(args: &BenchArgs, template: &Template) -> anyhow::Result<Soak> {
    out::error(format!("{} events, memory after each tenth", args.soak));
    let server = Server::start(Kind::Full)?;
    let mut rss_mib = vec![server.rss_mib()?];
    let (started, mut refused) = (Instant::now(), 0);
    for _ in 0..10 {
        let plan = Plan { connections: args.connections as usize, stop: Stop::Count(args.soak / 10), pace: None };
        refused += load::run(server.address, template, plan).await?.refused;
        rss_mib.push(server.rss_mib()?);
    }
    #[allow(clippy::cast_precision_loss)]
    let per_second = args.soak as f64 / started.elapsed().as_secs_f64();
    Ok(Soak { events: args.soak, per_second, refused, rss_mib })
}

/// A measured server: a child process that ends with this value.
struct Server {
    child: Child,
    address: SocketAddr,
    started_in: Duration,
}

impl Server {
    fn start(kind: Kind) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "--serve", kind.word()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a server to measure")?;
        let stdout = child.stdout.take().context("the server's output is a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let started_in = started.elapsed();
        match line.trim().parse() {
            Ok(address) => Ok(Self { child, address, started_in }),
            Err(_) => {
                let _gone = child.kill();
                bail!("the {} server did not start: '{}'", kind.word(), line.trim());
            }
        }
    }

    fn rss_mib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib: f64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
            .context("the system does not tell a process's memory")?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server ends when its standard input closes; the kill is for one that hangs.
        drop(self.child.stdin.take());
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn print(report: &Report) -> anyhow::Result<()> {
    out::line(format!(
        "{} cores, {} connections, bodies of {} bytes",
        report.cores, report.connections, report.body_bytes
    ))?;
    let rows: Vec<Vec<String>> = report
        .servers
        .iter()
        .map(|row| {
            vec![
                row.what.clone(),
                format!("{:.0}", row.per_second),
                format!("{:.2}", row.ratio_to_bare),
                format!("{:.2}", row.p50_ms),
                format!("{:.2}", row.p99_ms),
                row.refused.to_string(),
            ]
        })
        .collect();
    out::table(&["SERVER", "PER SECOND", "RATIO", "P50 MS", "P99 MS", "REFUSED"], &rows)?;
    let half = &report.full_at_half_rate;
    out::line(format!(
        "full path at half of its rate ({:.0} a second): p50 {:.2} ms, p99 {:.2} ms",
        half.per_second, half.p50_ms, half.p99_ms
    ))?;
    out::line(format!("start to listening: {:.0} ms", report.start_to_listening_ms))?;
    if let Some(soak) = &report.soak {
        let rss: Vec<String> = soak.rss_mib.iter().map(|mib| format!("{mib:.0}")).collect();
        out::line(format!(
            "{} events at {:.0} a second, {} refused; MiB of memory at the start and after each tenth: {}",
            soak.events,
            soak.per_second,
            soak.refused,
            rss.join(" ")
        ))?;
    }
    out::json_line(&json!({ "command": report.command }))
}
