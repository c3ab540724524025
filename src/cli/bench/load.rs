//! The load: signed deliveries over keep-alive connections, as fast as they are answered or at a fixed pace.
//!
//! It writes bytes that were made before and reads no more of an answer than its status and length, so that the client costs
//! as little as possible of the two cores that it shares with the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The secret that the bench's handler has.
pub(super) const SECRET: &str = "bench-secret-that-guards-nothing";
/// Bytes of an answer's head and body that are read at once.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// One request, cut at the place where the delivery id goes.
#[derive(Debug, Clone)]
pub(super) struct Template {
    before_id: Vec<u8>,
    after_id: Vec<u8>,
}

impl Template {
    /// A signed GitHub delivery of about `body_bytes` bytes for `path`.
    pub(super) fn new(path: &str, body_bytes: usize) -> anyhow::Result<Self> {
        let mut body = serde_json::json!({
            "action": "opened", "number": 42,
            "pull_request": { "number": 42, "title": "Fix login redirect", "html_url": "https://github.com/acme/shop/pull/42" },
            "repository": { "full_name": "acme/shop", "html_url": "https://github.com/acme/shop" },
            "sender": { "login": "octocat" }, "filler": "",
        });
        let missing = body_bytes.saturating_sub(body.to_string().len());
        body["filler"] = "x".repeat(missing).into();
        let body = body.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).context("any key is long enough")?;
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let before = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             x-github-event: pull_request\r\nx-hub-signature-256: sha256={signature}\r\nx-github-delivery: ",
            body.len()
        );
        Ok(Self { before_id: before.into_bytes(), after_id: format!("\r\n\r\n{body}").into_bytes() })
    }

    fn fill(&self, id: u64, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.before_id);
        into.extend_from_slice(format!("{id:016x}-bench").as_bytes());
        into.extend_from_slice(&self.after_id);
    }
}

/// What a load found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Answers a second.
    pub(super) per_second: f64,
    /// Answers that were not 200.
    pub(super) refused: u64,
    /// Latencies in microseconds, sorted.
    latencies: Vec<u32>,
}

impl Found {
    /// The latency in milliseconds that `share` (0 to 1) of the answers stayed under.
    pub(super) fn percentile_ms(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (last as f64 * share).round() as usize;
        self.latencies.get(at).map_or(0.0, |us| f64::from(*us) / 1000.0)
    }
}

/// How long and how fast to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Connections.
    pub(super) connections: usize,
    /// When to stop.
    pub(super) stop: Stop,
    /// Requests a second over all connections; `None` sends the next one when the last is answered.
    pub(super) pace: Option<f64>,
}

/// When a load ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// After this time.
    After(Duration),
    /// After this many requests.
    Count(u64),
}

/// Delivery ids that were never used before in this process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Sends to `address` as `plan` says.
pub(super) async fn run(address: SocketAddr, template: &Template, plan: Plan) -> anyhow::Result<Found> {
    let template = Arc::new(template.clone());
    let sent = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = Vec::with_capacity(plan.connections);
    for index in 0..plan.connections {
        let (template, sent) = (Arc::clone(&template), Arc::clone(&sent));
        tasks.push(tokio::spawn(connection(address, template, plan, index, started, sent)));
    }
    let (mut latencies, mut refused) = (Vec::new(), 0);
    for task in tasks {
        let (part, bad) = task.await.context("a connection's task ended")??;
        latencies.extend(part);
        refused += bad;
    }
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    #[allow(clippy::cast_precision_loss)]
    let per_second = latencies.len() as f64 / elapsed.as_secs_f64();
    Ok(Found { per_second, refused, latencies })
}

async fn connection(
    address: SocketAddr,
    template: Arc<Template>,
    plan: Plan,
    index: usize,
    started: Instant,
    sent: Arc<AtomicU64>,
) -> anyhow::Result<(Vec<u32>, u64)> {
    let mut stream = TcpStream::connect(address).await.context("the bench's server does not answer")?;
    stream.set_nodelay(true)?;
    let (mut request, mut answer) = (Vec::new(), vec![0; ANSWER_BYTES_MAX]);
    let (mut latencies, mut refused) = (Vec::new(), 0);
    #[allow(clippy::cast_precision_loss)]
    let interval = plan.pace.map(|rate| Duration::from_secs_f64(plan.connections as f64 / rate));
    #[allow(clippy::cast_possible_truncation)]
    let mut due =
        started + interval.map_or(Duration::ZERO, |wait| wait.mul_f64(index as f64 / plan.connections as f64));
    loop {
        let over = match plan.stop {
            Stop::After(limit) => started.elapsed() >= limit,
            Stop::Count(count) => sent.fetch_add(1, Ordering::Relaxed) >= count,
        };
        if over {
            return Ok((latencies, refused));
        }
        // At a fixed pace, time counts from when the request was due: a server that stalls pays for those that queue up.
        let from = match interval {
            Some(wait) => {
                tokio::time::sleep_until(due.into()).await;
                let from = due;
                due += wait;
                from
            }
            None => Instant::now(),
        };
        template.fill(NEXT_ID.fetch_add(1, Ordering::Relaxed), &mut request);
        stream.write_all(&request).await?;
        if read_answer(&mut stream, &mut answer).await? != 200 {
            refused += 1;
        }
        latencies.push(u32::try_from(from.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<u16> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            bail!("the server closed the connection");
        }
        filled += read;
        let Some(head) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).context("the answer's head is not text")?;
        let status = text.get(9..12).and_then(|code| code.parse().ok()).context("the answer has no status")?;
        let length: usize = text
            .lines()
            .find_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")))
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0);
        if filled >= head + 4 + length {
            return Ok(status);
        }
    }
}
