//! HTTP requests up to the verdict: the bytes of one connection go through the webhook server without a socket.
//!
//! Whatever they are, the connection ends, every acceptance stands for a committed event, nothing verifies by chance, an address
//! list holds, and no secret is answered or kept.
//!
//! Input: the bytes that a client on loopback sends before it closes its side. The secret of the handler `bearer` is in the
//! corpus, so that the way of verified events is walked too.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hookhand::config::{ForwardedHeader, Handler, Notify, RequestLogging, ResponseType, Secret, Summarize, Webhooks};
use hookhand::domain::event::Verdict;
use hookhand::intake::{Intake, NoWorkflows, Parts, ServerLimits};
use hookhand::lifecycle::{Shutdown, Tasks};
use hookhand::ports::RandomIds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::REGISTRY;
use crate::harness::clock::FakeClock;
use crate::harness::memory_ledger::MemoryLedger;

/// Nobody knows it; a fuzzer that watches comparisons may learn it, and then may verify.
const SECRET: &str = "a-secret-nobody-can-guess-5150";
/// The corpus knows this one.
const TOKEN: &str = "t0ken-of-the-corpus";
/// Longer than any input may take.
const TIME_MAX: Duration = Duration::from_secs(5);
const STATUSES: [u16; 16] = [100, 200, 204, 400, 401, 403, 404, 405, 408, 409, 413, 414, 429, 431, 501, 503];
const LARGEST_BODY_BYTES: usize = 16 * 1024;

/// Checks one input.
pub fn check(data: &[u8]) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(one_connection(data)));
}

async fn one_connection(data: &[u8]) {
    let ledger = Arc::new(MemoryLedger::default());
    let tasks = Tasks::new(Shutdown::new());
    let intake = Intake::new(Parts {
        config: webhooks(),
        registry: Arc::clone(&REGISTRY),
        ledger: ledger.clone(),
        clock: FakeClock::new(),
        ids: Arc::new(RandomIds::default()),
        workflows: Arc::new(NoWorkflows),
        tasks: tasks.clone(),
        limits: ServerLimits::default(),
    })
    .expect("a server");
    let (mut client, server) = tokio::io::duplex(256 * 1024);
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 4711));
    let serve = intake.serve_bytes(server, peer, tasks.shutdown().clone());
    let mut answer = Vec::new();
    let talk = async {
        // The server may have closed already.
        let _ = client.write_all(data).await;
        let _ = client.shutdown().await;
        let _ = client.read_to_end(&mut answer).await;
    };
    let both = async { tokio::join!(serve, talk) };
    tokio::time::timeout(TIME_MAX, both).await.expect("the connection ends");
    let knows = data.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
    judge(&String::from_utf8_lossy(&answer), &ledger, knows);
}

fn judge(answer: &str, ledger: &MemoryLedger, knows: bool) {
    // Who said it may hear it again.
    assert!(knows || !answer.contains(SECRET), "a secret is answered: {answer}");
    for line in answer.split("\r\n").filter(|line| line.starts_with("HTTP/1.")) {
        let status: u16 = line.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        assert!(STATUSES.contains(&status), "{line}");
    }
    let events = ledger.events();
    let accepted = answer.matches("\"status\":\"accepted\"").count();
    assert!(accepted <= events.len(), "{accepted} accepted, {} kept: {answer}", events.len());
    for event in &events {
        let handler = event.handler.as_str();
        match event.verdict {
            Verdict::Valid => assert!(handler == "bearer" || knows, "{event:?}"),
            Verdict::Unsigned => {
                assert!(["open", "text", "near"].contains(&handler), "{event:?}");
                let proxied = |name: &str| name == "origin" || name == "forwarded" || name.starts_with("x-forwarded-");
                assert!(!event.headers.iter().any(|(name, _)| proxied(name)), "{event:?}");
            }
            Verdict::Missing | Verdict::Invalid | Verdict::Stale => panic!("{event:?}"),
        }
        assert!(handler != "near" || event.client_ip == IpAddr::V4(Ipv4Addr::LOCALHOST), "{event:?}");
        assert!(event.body.len() <= LARGEST_BODY_BYTES);
        let headers = format!("{:?}", event.headers);
        assert!(!headers.contains(SECRET) && !headers.contains(TOKEN), "a secret is kept: {headers}");
        assert!(event.event.len() <= 256 && !event.event.is_empty());
    }
    for refused in ledger.refused() {
        let row = format!("{refused:?}");
        assert!(!row.contains(SECRET) && !row.contains(TOKEN), "a secret is kept: {row}");
    }
}

fn handler(name: &str, secret: Option<&str>) -> Handler {
    Handler {
        name: name.parse().expect("a name"),
        enabled: true,
        provider: None,
        path: None,
        secrets: secret.map(|secret| Secret::new(secret).expect("not empty")).into_iter().collect(),
        events: Vec::new(),
        response_type: ResponseType::Json,
        allowed_ips: Vec::new(),
        rate_limit: None,
        allow_unsigned: false,
        notify: Notify::Nobody,
        summarize: Summarize::Auto,
    }
}

fn webhooks() -> Webhooks {
    let text = Handler { response_type: ResponseType::Text, path: Some("/hooks/own".into()), ..handler("text", None) };
    let off = Handler { enabled: false, ..handler("off", None) };
    let picky = Handler { events: vec!["push".into()], ..handler("github", Some(SECRET)) };
    let near = Handler { allowed_ips: vec!["127.0.0.1".parse().expect("an address")], ..handler("near", None) };
    let signed = ["stripe", "slack", "custom", "shopify", "discord", "twilio", "svix", "cloudevents", "gitlab"];
    let signed = signed.map(|name| {
        // Discord's secret is a public key, Svix's is base64.
        let secret = match name {
            "discord" => "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "svix" => "whsec_bm9ib2R5LWNhbi1ndWVzcy10aGlzLWVpdGhlcg==",
            _ => SECRET,
        };
        handler(name, Some(secret))
    });
    let open = handler("open", None);
    let handlers = [handler("bearer", Some(TOKEN)), open, text, off, picky, near].into_iter().chain(signed);
    Webhooks {
        enabled: true,
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        public_url: None,
        max_body_bytes: LARGEST_BODY_BYTES,
        allowed_ips: Vec::new(),
        trusted_proxies: vec!["127.0.0.1".parse().expect("an address")],
        forwarded_header: ForwardedHeader::XForwardedFor,
        rate_limit: None,
        tls: None,
        // Nobody listens to the log here, and a test beside this one counts its lines.
        logging: RequestLogging {
            enabled: false,
            level: tracing::Level::INFO,
            include_headers: false,
            include_payload: false,
        },
        allow_unsigned: false,
        common_secret: None,
        handlers: handlers.map(|handler| (handler.name.clone(), handler)).collect::<BTreeMap<_, _>>(),
    }
}
