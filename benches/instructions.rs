//! The way of a webhook from its connection to its answer, so many times, for a tool that counts instructions:
//! `instructions EVENTS` (see `benches/instructions.sh`).
//!
//! Signed GitHub deliveries of 1.5 KB go over one connection to the real webhook server and a real ledger on disk, each sent
//! when the one before is answered: so each is verified, judged and committed alone, and every run does the same. The clock
//! and the ids are made here; the server and its sender share one thread. It checks every answer and prints nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use hookhand::config::{self, LoadOptions};
use hookhand::intake::{Intake, NoWorkflows, Parts, Server, ServerLimits};
use hookhand::ledger::Ledger;
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::lifecycle::{Shutdown, Tasks};
use hookhand::ports::{Clock, Ids};
use hookhand::provider::Registry;
use jiff::Timestamp;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use ulid::Ulid;

const SECRET: &str = "bench-secret-that-guards-nothing";
const BODY_BYTES: usize = 1536;
const START_MS: i64 = 1_767_323_045_000;

/// A clock that goes on a millisecond each time it is read.
#[derive(Debug)]
struct Counted(AtomicI64);

#[async_trait]
impl Clock for Counted {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(START_MS + self.0.fetch_add(1, Ordering::Relaxed)).expect("in range")
    }

    async fn sleep_until(&self, _: Timestamp) {
        std::future::pending().await
    }
}

/// Ids that count.
#[derive(Debug, Default)]
struct Numbered(AtomicU64);

impl Ids for Numbered {
    fn ulid(&self, at: Timestamp) -> Ulid {
        let ms = u64::try_from(at.as_millisecond()).expect("after 1970");
        Ulid::from_parts(ms, self.0.fetch_add(1, Ordering::Relaxed).into())
    }

    fn token(&self) -> String {
        "0".repeat(40)
    }
}

fn body() -> String {
    let mut body = serde_json::json!({
        "action": "opened", "number": 42,
        "pull_request": { "number": 42, "title": "Fix login redirect", "html_url": "https://github.com/acme/shop/pull/42" },
        "repository": { "full_name": "acme/shop", "html_url": "https://github.com/acme/shop" },
        "sender": { "login": "octocat" }, "filler": "",
    });
    body["filler"] = "x".repeat(BODY_BYTES - body.to_string().len()).into();
    body.to_string()
}

fn start(dir: &Path, ledger: Arc<dyn Ledger>, shutdown: Shutdown) -> Server {
    let text = format!(
        "data_dir: data\nwebhooks:\n  port: 0\n  allowed_ips: [127.0.0.0/8]\n  \
         rate_limit: {{ max_requests: 1000000, window_seconds: 1 }}\n  handlers: {{ github: {{ secret: {SECRET} }} }}\n"
    );
    std::fs::write(dir.join("config.yaml"), text).expect("written");
    let options = LoadOptions {
        config: Some(dir.join("config.yaml")),
        webhooks: true,
        cwd: dir.to_owned(),
        ..LoadOptions::default()
    };
    let loaded = config::load(&options, &BTreeMap::new());
    let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.faults));
    let intake = Intake::new(Parts {
        config: config.webhooks,
        registry: Arc::new(Registry::builtin()),
        ledger,
        clock: Arc::new(Counted(AtomicI64::new(0))),
        ids: Arc::new(Numbered::default()),
        workflows: Arc::new(NoWorkflows),
        tasks: Tasks::new(shutdown),
        limits: ServerLimits::default(),
    });
    Server::bind(intake.expect("one route")).expect("bound")
}

async fn send(stream: &mut TcpStream, number: u64, signature: &str, body: &str) {
    let request = format!(
        "POST /webhook/github HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         x-github-event: pull_request\r\nx-hub-signature-256: sha256={signature}\r\nx-github-delivery: {number:016x}-bench\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = stream.read_buf(&mut answer).await.expect("answered");
        assert!(read > 0, "the server closed the connection");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let events: u64 = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(0);
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let clock = Arc::new(Counted(AtomicI64::new(0)));
    let ledger = SqliteLedger::open(SqliteOptions::new(dir.path().join("ledger.db"), clock)).expect("opened");
    let shutdown = Shutdown::new();
    let server = start(dir.path(), Arc::clone(&ledger) as Arc<dyn Ledger>, shutdown.clone());
    let address = server.local_addr();
    let serving = tokio::spawn(server.run(shutdown.clone()));
    let body = body();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key is long enough");
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    for number in 0..events {
        send(&mut stream, number, &signature, &body).await;
    }
    drop(stream);
    shutdown.stop_soon();
    serving.await.expect("ended");
    ledger.close().await.expect("closed");
}
