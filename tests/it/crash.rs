//! `kill -9` on the real binary under load: what was acknowledged is there afterwards (P1), under one id (P2), and is told (P4).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hookhand::domain::notice::NoticeState;
use hookhand::ledger::sqlite::SqliteLedger;
use hookhand::ledger::{EventFilter, EventRow, Ledger};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::app::{CHAT, SECRET, delivery, pull_request};
use crate::harness::bot_api::{BotApi, SeenMessage};
use crate::harness::process::Process;

/// The limit of a file's size, in the 512 bytes that a shell counts by.
const FILE_BLOCKS_MAX: u64 = 3000;

/// The status of one delivery of 40 KB.
async fn large(address: SocketAddr, number: u64) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let payload = pull_request(number, &"x".repeat(40_000));
    stream.write_all(&delivery(&format!("large-{number}"), "pull_request", &payload).bytes()).await.expect("sent");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("answered");
    String::from_utf8_lossy(&status[9..]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_file_sizes_is_survived_like_a_full_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let telegram = BotApi::start().await;
    configure(folder.path(), &telegram);
    let script = folder.path().join("limited.sh");
    let text = format!("#!/bin/sh\nulimit -f {FILE_BLOCKS_MAX}\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_agent"));
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    let process = Process::start_binary(&script, folder.path());
    let mut refused = 0;
    for number in 0..300 {
        match large(process.webhooks, number).await.as_str() {
            "200" => {}
            "503" => refused += 1,
            other => panic!("{other}"),
        }
        if refused == 3 {
            return;
        }
    }
    panic!("the limit was never reached: {refused}");
}

/// Kills of one test.
const KILLS: u64 = 6;
/// Connections of the load.
const CONNECTIONS: usize = 6;

fn configure(dir: &Path, telegram: &BotApi) {
    let config = format!(
        "webhooks:\n  port: 0\n  rate_limit: {{ enabled: false }}\n  handlers: {{ github: {{ secret: {SECRET} }} }}\n\
         telegram:\n  token: \"{}\"\n  api_url: \"{}\"\n  chats: {{ default: {CHAT} }}\ndashboard: {{ port: 0 }}\n",
        telegram.token(),
        telegram.url()
    );
    std::fs::write(dir.join("config.yaml"), config).expect("written");
}

/// Acknowledged deliveries: number to event id.
type Acknowledged = Arc<Mutex<BTreeMap<u64, String>>>;

fn request(number: u64) -> Vec<u8> {
    delivery(&format!("delivery-{number}"), "pull_request", &pull_request(number, &format!("Case {number:05}"))).bytes()
}

/// Sends one delivery; the event's id and the answer's status, or `None` when the agent died in between.
async fn post(stream: &mut TcpStream, number: u64) -> Option<(String, String)> {
    stream.write_all(&request(number)).await.ok()?;
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 2048];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let Ok(answer) = serde_json::from_str::<serde_json::Value>(body) else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{text}");
        let word = |key: &str| answer[key].as_str().expect("a text").to_owned();
        return Some((word("event_id"), word("status")));
    }
}

/// Posts deliveries nobody posted before until the agent is gone; calls `enough` after each acknowledgement.
async fn load(
    address: SocketAddr,
    next: Arc<AtomicU64>,
    acknowledged: Acknowledged,
    enough: Arc<dyn Fn(usize) + Send + Sync>,
) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some((id, status)) = post(&mut stream, number).await else { return };
        assert_eq!(status, "accepted", "a delivery nobody sent before");
        let count = {
            let mut acknowledged = acknowledged.lock().expect("not poisoned");
            acknowledged.insert(number, id);
            acknowledged.len()
        };
        enough(count);
    }
}

async fn all_rows(ledger: &dyn Ledger) -> Vec<EventRow> {
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let page = ledger.events(EventFilter { limit: 500, cursor, ..EventFilter::default() }).await.expect("listed");
        rows.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return rows,
        }
    }
}

fn times_told(messages: &[SeenMessage], number: u64) -> usize {
    messages.iter().map(|message| message.text.matches(&format!("Case {number:05}")).count()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_once_and_is_told() {
    let telegram = BotApi::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    configure(dir.path(), &telegram);
    let (next, acknowledged) = (Arc::new(AtomicU64::new(1)), Acknowledged::default());

    for round in 1..=KILLS {
        let process = Process::start(dir.path());
        let address = process.webhooks;
        // The moment of the kill differs by round: after so many more acknowledgements, wherever the others are then.
        let target =
            acknowledged.lock().expect("not poisoned").len() + usize::try_from(round * 7 % 23 + 3).expect("small");
        let (kill, killed) = tokio::sync::watch::channel(false);
        let enough: Arc<dyn Fn(usize) + Send + Sync> = Arc::new(move |count| {
            if count >= target {
                kill.send_replace(true);
            }
        });
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|_| tokio::spawn(load(address, Arc::clone(&next), Arc::clone(&acknowledged), Arc::clone(&enough))))
            .collect();
        let mut killed = killed;
        killed.wait_for(|killed| *killed).await.expect("the load goes on");
        process.kill();
        for sender in senders {
            sender.await.expect("no sender saw a wrong answer");
        }
    }

    let process = Process::start(dir.path());
    let acknowledged = acknowledged.lock().expect("not poisoned").clone();
    let mut stream = TcpStream::connect(process.webhooks).await.expect("it answers");
    for (number, id) in &acknowledged {
        let (again, status) = post(&mut stream, *number).await.expect("it lives");
        assert_eq!((&again, status.as_str()), (id, "duplicate"), "delivery {number}");
    }
    let mut messages = telegram.wait_for_messages(CHAT, 1).await;
    while let Some(missing) = acknowledged.keys().find(|number| times_told(&messages, **number) == 0) {
        let more = telegram.wait_for_messages(CHAT, messages.len() + 1);
        let waited = tokio::time::timeout(std::time::Duration::from_secs(90), more).await;
        messages = waited.unwrap_or_else(|_| panic!("delivery {missing} was acknowledged and never told"));
    }
    assert_eq!(process.interrupt(), Some(0));

    let ledger = SqliteLedger::open_read_only(dir.path().join("data/ledger.db")).expect("a ledger");
    let rows = all_rows(&*ledger).await;
    let mut by_delivery: BTreeMap<&str, Vec<&EventRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.status.as_str() != "duplicate") {
        by_delivery.entry(row.delivery_id.as_deref().expect("GitHub's")).or_default().push(row);
    }
    for (delivery, rows) in &by_delivery {
        assert_eq!(rows.len(), 1, "{delivery} became several events");
        assert!(rows[0].notices.len() <= 1, "{delivery} has several notices");
    }
    for number in acknowledged.keys() {
        let row = by_delivery[format!("delivery-{number}").as_str()][0];
        let told = times_told(&messages, *number);
        let state = row.notices[0].state;
        assert!(told == 1 || state == NoticeState::MaybeSent, "delivery {number} was told {told} times and is {state}");
    }
}
