//! From a person's tap to the beginning of what they approved: `cargo bench --bench taps`.
//!
//! The whole agent runs on a ledger on disk, between a Telegram on loopback and a receiver of requests. Each round posts one
//! event to each of the handlers, waits for the cards of their gates, taps Approve on one after the other, and times how long
//! it takes until the approved request arrives at the receiver. Named beside it, from the same run: how long a webhook takes
//! from its first byte to its acknowledgement, which is one connection and one commit.

#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use hookhand::app::{Agent, Deps};
use hookhand::config::{self, LoadOptions};
use hookhand::lifecycle::Shutdown;

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use harness::bot_api::{BotApi, SeenMessage};
use harness::http::Request;
use harness::receiver::{Receiver, json};

/// Handlers, each with a chat and a workflow of its own, because one chat takes a message a second.
const HANDLERS: i64 = 20;
/// Cards of each.
const ROUNDS: usize = 8;
/// The chat of the first handler.
const FIRST_CHAT: i64 = 5_000;
/// Who taps.
const USER: i64 = 4_999;

fn write_files(dir: &Path, telegram: &BotApi, receiver: &Receiver) {
    let each = |line: &dyn Fn(i64) -> String| (0..HANDLERS).map(line).collect::<String>();
    let handlers = each(&|n| format!("    h{n}: {{ notify: c{n} }}\n"));
    let chats = each(&|n| format!("    c{n}: {}\n", FIRST_CHAT + n));
    let text = format!(
        "webhooks:\n  enabled: true\n  port: 0\n  rate_limit: {{ enabled: false }}\n  handlers:\n{handlers}telegram:\n  \
         token: \"{}\"\n  api_url: \"{}\"\n  allowed_users: [{USER}]\n  chats:\n    default: {USER}\n{chats}dashboard: {{ enabled: false }}\n\
         network: {{ allow: [\"127.0.0.1/32\"] }}\n",
        telegram.token(),
        telegram.url()
    );
    std::fs::write(dir.join("config.yaml"), text).expect("written");
    std::fs::create_dir_all(dir.join("data/workflows")).expect("made");
    for n in 0..HANDLERS {
        let text = format!(
            "name: gated-{n}\ntrigger: webhook\non: {{ handler: h{n} }}\nsteps:\n  - name: call\n    tool: http_request\n    args: {{ method: POST, \
             url: \"http://{}/begun\", json: \"{{{{ payload.n }}}}\" }}\n    requires_approval: true\n",
            receiver.address
        );
        std::fs::write(dir.join(format!("data/workflows/gated-{n}.yaml")), text).expect("written");
    }
}

/// The card of the round: the newest message with buttons that nobody has tapped.
async fn card(telegram: &BotApi, chat: i64, tapped: &mut Vec<i64>) -> SeenMessage {
    loop {
        let found =
            telegram.messages(chat).into_iter().find(|seen| !seen.buttons.is_empty() && !tapped.contains(&seen.id));
        if let Some(card) = found {
            tapped.push(card.id);
            return card;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn say(name: &str, waits: &mut [Duration]) {
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share).round() as usize];
    println!("{name}: {} times, p50 {:.2?}, p99 {:.2?}, longest {:.2?}", waits.len(), at(0.5), at(0.99), at(1.0));
}

async fn measure() {
    let dir = tempfile::tempdir().expect("a folder");
    let telegram = BotApi::start().await;
    let scripts = (0..ROUNDS * usize::try_from(HANDLERS).expect("small")).map(|_| json(200, "{}"));
    let mut receiver = Receiver::start(scripts).await;
    write_files(dir.path(), &telegram, &receiver);
    let loaded = config::load(&LoadOptions { cwd: dir.path().to_owned(), ..LoadOptions::default() }, &BTreeMap::new());
    let deps = Deps::unattended("/nowhere".into());
    let shutdown = Shutdown::new();
    let agent = Agent::start(loaded.config.expect("valid"), deps, shutdown.clone()).await.expect("it starts");
    let address = agent.webhooks_address().expect("webhooks are on");
    let (mut acknowledged, mut begun, mut tapped) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for n in 0..HANDLERS {
            let began = Instant::now();
            let reply = Request::post(&format!("/webhooks/h{n}"), format!("{{\"n\":{round}}}")).send(address).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            acknowledged.push(began.elapsed());
        }
        for n in 0..HANDLERS {
            let chat = FIRST_CHAT + n;
            let card = card(&telegram, chat, &mut tapped).await;
            let began = Instant::now();
            telegram.user_taps(USER, chat, card.id, &card.button("Approve"));
            receiver.next().await;
            begun.push(began.elapsed());
        }
    }
    say("webhook to acknowledgement", &mut acknowledged);
    say("tap to the approved request", &mut begun);
    println!(
        "ratio of the medians: {:.1}",
        begun[begun.len() / 2].as_secs_f64() / acknowledged[acknowledged.len() / 2].as_secs_f64()
    );
    shutdown.stop_soon();
    agent.finish().await.expect("a clean end");
}

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(measure());
}
