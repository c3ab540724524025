//! The webhook server through real sockets: every row of the contract's table, and what clients do to servers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hookhand::config::*;
use hookhand::domain::event::{EventStatus, Verdict};
use hookhand::intake::{Intake, NoWorkflows, Parts, Server, ServerLimits};
use hookhand::lifecycle::{STOP_GRACE, Shutdown, Tasks};
use hookhand::ports::RandomIds;
use hookhand::provider::Registry;
use serde_json::json;

use crate::harness::clock::FakeClock;
use crate::harness::http::{Conn, Reply, Request, mac, sign, tls};
use crate::harness::memory_ledger::{MemoryLedger, Mood};

const SECRET: &str = "It's a Secret to Everybody";
const PUSH: &str = r#"{"ref":"refs/heads/main","repository":{"full_name":"acme/shop"}}"#;

/// Compiling every manifest takes longer than most tests do.
static REGISTRY: LazyLock<Arc<Registry>> = LazyLock::new(|| Arc::new(Registry::builtin()));

struct TestServer {
    address: SocketAddr,
    ledger: Arc<MemoryLedger>,
    clock: Arc<FakeClock>,
    tasks: Tasks,
    intake: Intake,
}

fn handler(name: &str) -> Handler {
    Handler {
        name: name.parse().expect("a name"),
        enabled: true,
        provider: None,
        path: None,
        secrets: vec![Secret::new(SECRET).expect("not empty")],
        events: Vec::new(),
        response_type: ResponseType::Json,
        allowed_ips: Vec::new(),
        rate_limit: None,
        allow_unsigned: false,
        notify: Notify::Nobody,
        summarize: Summarize::Auto,
    }
}

fn config() -> Webhooks {
    let mut off = handler("off");
    off.enabled = false;
    let mut text = handler("text");
    text.response_type = ResponseType::Text;
    let mut own = handler("own");
    own.path = Some("/hooks/own".into());
    let mut picky = handler("picky");
    picky.provider = Some("github".into());
    picky.events = vec!["pull_request".into()];
    let mut open = handler("open");
    open.secrets.clear();
    let mut lax = handler("lax");
    lax.allow_unsigned = true;
    let handlers = [handler("github"), handler("stripe"), handler("custom"), off, text, own, picky, open, lax];
    Webhooks {
        enabled: true,
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        public_url: None,
        max_body_bytes: 64 * 1024,
        allowed_ips: Vec::new(),
        trusted_proxies: Vec::new(),
        forwarded_header: ForwardedHeader::XForwardedFor,
        rate_limit: None,
        tls: None,
        logging: RequestLogging {
            enabled: true,
            level: tracing::Level::INFO,
            include_headers: false,
            include_payload: false,
        },
        allow_unsigned: false,
        common_secret: None,
        handlers: handlers.into_iter().map(|handler| (handler.name.clone(), handler)).collect::<BTreeMap<_, _>>(),
    }
}

fn build(config: Webhooks, limits: ServerLimits) -> Result<TestServer, String> {
    let (ledger, clock, tasks) = (Arc::new(MemoryLedger::default()), FakeClock::new(), Tasks::new(Shutdown::new()));
    let parts = Parts {
        config,
        registry: Arc::clone(&REGISTRY),
        ledger: ledger.clone(),
        clock: clock.clone(),
        ids: Arc::new(RandomIds::default()),
        workflows: Arc::new(NoWorkflows),
        tasks: tasks.clone(),
        limits,
    };
    let intake =
        Intake::new(parts).map_err(|faults| faults.iter().map(|fault| format!("{fault}\n")).collect::<String>())?;
    let server = Server::bind(intake.clone()).map_err(|fault| fault.to_string())?;
    let address = server.local_addr();
    let shutdown = tasks.shutdown().clone();
    tasks.spawn_short("server", server.run(shutdown));
    Ok(TestServer { address, ledger, clock, tasks, intake })
}

fn start(change: impl FnOnce(&mut Webhooks)) -> TestServer {
    start_with(ServerLimits::default(), change)
}

fn start_with(limits: ServerLimits, change: impl FnOnce(&mut Webhooks)) -> TestServer {
    let mut config = config();
    change(&mut config);
    build(config, limits).expect("a server")
}

fn at<'a>(config: &'a mut Webhooks, name: &str) -> &'a mut Handler {
    config.handlers.get_mut(&name.parse().expect("a name")).expect("a handler")
}

fn push() -> Request {
    Request::post("/webhooks/github", PUSH).header("x-github-event", "push").signed(SECRET)
}

impl TestServer {
    async fn send(&self, request: Request) -> Reply {
        request.send(self.address).await
    }

    async fn answers(&self, request: Request) -> (u16, String) {
        let reply = self.send(request).await;
        (reply.status, reply.word())
    }

    /// Stops softly and checks that everything ends.
    async fn stop(self) {
        self.tasks.shutdown().stop_soon();
        self.tasks.finish(STOP_GRACE).await.expect("no task failed");
        assert_eq!(self.intake.metrics().snapshot().connections_open, 0);
    }
}

fn says(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[tokio::test]
async fn an_accepted_event_is_answered_after_its_commit_and_kept_whole() {
    let server = start(|_| {});
    let request =
        push().header("x-github-delivery", "d-1").header("authorization", "Bearer x").header("x-note", SECRET);
    let reply = server.send(request).await;
    let event = server.ledger.events().pop().expect("an event");
    assert_eq!(
        (reply.status, reply.json()),
        (
            200,
            json!({"status": "accepted", "event_id": event.id, "provider": "github", "event": "push", "execution_id": event.id, "runs": []})
        )
    );
    assert!(reply.header("x-request-id").is_some_and(|id| id.starts_with("req_")));
    assert_eq!((event.body.as_ref(), event.payload), (PUSH.as_bytes(), None));
    assert_eq!((event.verdict, event.status), (Verdict::Valid, EventStatus::Accepted));
    assert_eq!(event.delivery_id.as_deref(), Some("d-1"));
    let masked = event.headers.iter().filter(|(_, value)| value == "***").map(|(name, _)| name.as_str());
    assert_eq!(masked.collect::<Vec<_>>(), ["x-hub-signature-256", "authorization", "x-note"]);
    server.stop().await;
}

#[tokio::test]
async fn a_compressed_body_is_refused_by_its_name_after_its_signature_was_checked() {
    let server = start(|_| {});
    for (coding, told) in [("gzip", "gzip"), ("BR", "br"), ("gzip, br", "of another kind")] {
        let packed = Request::post("/webhook/custom", "\u{1f}packed").header("content-encoding", coding);
        let reply = server.send(packed.clone().signed(SECRET)).await;
        assert_eq!((reply.status, reply.word().as_str()), (400, "invalid_payload"));
        assert!(reply.text().contains(&format!("content-encoding {told}")), "{}", reply.text());
        assert_eq!(server.answers(packed.signed("another secret")).await, says(401, "invalid_signature"));
    }
    let plain = Request::post("/webhook/custom", "{}").header("content-encoding", "identity").signed(SECRET);
    assert_eq!(server.answers(plain).await, says(200, "accepted"));
    server.stop().await;
}

#[tokio::test]
async fn a_text_that_was_cut_within_an_emoji_is_taken_and_kept_readable() {
    let server = start(|_| {});
    let cut = Request::post("/webhook/custom", r#"{"event":"note","text":"well \ud83d"}"#).signed(SECRET);
    assert_eq!(server.answers(cut).await, says(200, "accepted"));
    let event = server.ledger.events().pop().expect("an event");
    assert!(event.body.ends_with(br#"\ud83d"}"#), "what was signed is kept as it came");
    let payload: serde_json::Value = serde_json::from_slice(&event.payload.expect("beside it")).expect("JSON");
    assert_eq!(payload["text"], "well \u{fffd}");
    server.stop().await;
}

#[tokio::test]
async fn ids_beyond_64_bits_do_not_swallow_each_other() {
    let server = start(|_| {});
    for id in ["12345678901234567890123", "12345678901234567890124", "18446744073709551615", "18446744073709551614"] {
        let body = format!(r#"{{"event":"a","id":{id}}}"#);
        let request = Request::post("/webhook/custom", body).signed(SECRET);
        assert_eq!(server.answers(request.clone()).await, says(200, "accepted"), "{id}");
    }
    server.stop().await;
}

#[tokio::test]
async fn three_prefixes_one_trailing_slash_a_query_and_nothing_else() {
    let server = start(|_| {});
    for path in ["/webhook/github", "/webhooks/github/", "/api/webhooks/github", "/webhook/github?x=1"] {
        let request = Request::post(path, PUSH).header("x-github-event", "push").signed(SECRET);
        assert_eq!(server.answers(request).await, says(200, "accepted"), "{path}");
    }
    let own = Request::post("/hooks/own", "{}").signed(SECRET);
    assert_eq!(server.answers(own).await, says(200, "accepted"));
    for path in [
        "/",
        "/webhook/",
        "/webhooks/own",
        "/webhooks//github",
        "//webhooks/github",
        "/webhooks/github//",
        "/webhooks/gith%75b",
        "/webhooks/GitHub",
        "/webhooks/nobody",
    ] {
        let request = Request::post(path, PUSH).signed(SECRET);
        assert_eq!(server.answers(request).await, says(404, "not_found"), "{path}");
    }
    let refused = server.ledger.refused();
    assert_eq!(refused.len(), 5, "unknown paths are recorded at most five a second");
    assert_eq!((refused[1].reason.as_str(), refused[1].headers.len()), ("not_found: POST /webhook/", 0));
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_method_says_which_is_right() {
    let server = start(|_| {});
    for (method, path, allow) in [
        ("GET", "/webhooks/github", "POST"),
        ("PUT", "/webhooks/generic", "GET, HEAD, POST"),
        ("POST", "/health", "GET, HEAD"),
    ] {
        let reply = server.send(Request::new(method, path)).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
        assert_eq!(reply.word(), "method_not_allowed");
    }
    server.stop().await;
}

#[tokio::test]
async fn both_address_lists_must_admit_the_client() {
    let range = |text: &str| vec![text.parse().expect("a range")];
    let server = start(|config| {
        config.allowed_ips = range("127.0.0.0/8");
        at(config, "github").allowed_ips = range("192.0.2.7");
        at(config, "custom").allowed_ips = range("127.0.0.1");
    });
    assert_eq!(server.answers(push()).await, says(403, "ip_not_allowed"));
    assert_eq!(server.answers(Request::post("/webhook/custom", "{}").signed(SECRET)).await, says(200, "accepted"));
    assert_eq!(server.ledger.refused()[0].reason, "ip_not_allowed: this address may not send here");
    let closed = start(|config| config.allowed_ips = range("192.0.2.0/24"));
    assert_eq!(closed.answers(push()).await, says(403, "ip_not_allowed"));
    assert_eq!(closed.answers(Request::new("GET", "/health")).await, says(200, "ok"));
    server.stop().await;
    closed.stop().await;
}

#[tokio::test]
async fn a_client_over_its_rate_is_told_when_to_come_back_and_health_is_never_limited() {
    let limit =
        |n: u32| RateLimit { max_requests: NonZeroU32::new(n).expect("not 0"), window: Duration::from_secs(60) };
    let server = start(|config| {
        config.rate_limit = Some(limit(2));
        config.trusted_proxies = vec!["127.0.0.1".parse().expect("an address")];
        at(config, "custom").rate_limit = Some(None);
        at(config, "stripe").rate_limit = Some(Some(limit(1)));
    });
    let from = |client: &str| push().header("x-forwarded-for", client);
    for _ in 0..2 {
        assert_eq!(server.answers(from("2001:db8::1")).await, says(200, "accepted"));
    }
    let reply = server.send(from("2001:db8::ffff")).await;
    assert_eq!((reply.status, reply.word().as_str(), reply.header("retry-after")), (429, "rate_limited", Some("30")));
    assert_eq!(server.answers(from("2001:db8:0:1::1")).await, says(200, "accepted"), "another /64");
    assert_eq!(server.answers(from("6.6.6.6, 192.0.2.1")).await, says(200, "accepted"));
    assert_eq!(server.answers(from("7.7.7.7, 192.0.2.1")).await, says(200, "accepted"));
    assert_eq!(
        server.answers(from("8.8.8.8, 192.0.2.1")).await,
        says(429, "rate_limited"),
        "the claimed part is nothing"
    );
    for _ in 0..5 {
        let free = Request::post("/webhook/custom", "{}").signed(SECRET).header("x-forwarded-for", "2001:db8::1");
        assert_eq!(server.answers(free).await, says(200, "accepted"));
        assert_eq!(server.answers(Request::new("GET", "/health")).await, says(200, "ok"));
    }
    server.clock.advance(Duration::from_secs(30));
    assert_eq!(server.answers(from("2001:db8::1")).await, says(200, "accepted"));
    server.stop().await;
}

#[tokio::test]
async fn not_ready_disabled_and_a_store_that_cannot_commit() {
    let server = start(|_| {});
    server.intake.set_ready(false);
    let reply = server.send(push()).await;
    assert_eq!((reply.status, reply.word().as_str(), reply.header("retry-after")), (503, "not_ready", Some("1")));
    server.intake.set_ready(true);
    assert_eq!(server.answers(Request::post("/webhook/off", "{}")).await, says(409, "disabled"));
    for mood in [Mood::Busy, Mood::Broken] {
        server.ledger.set(mood);
        let reply = server.send(push()).await;
        assert_eq!(
            (reply.status, reply.word().as_str(), reply.header("retry-after")),
            (503, "storage_unavailable", Some("5"))
        );
        assert!(!reply.text().contains("secret"), "our internals are not the sender's");
    }
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(server.answers(Request::new("GET", "/health")).await, says(503, "degraded"));
    // It can be read again, and nobody knows yet whether it commits.
    server.ledger.set(Mood::Good);
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(server.answers(Request::new("GET", "/health")).await, says(503, "degraded"));
    assert_eq!(server.answers(push()).await, says(200, "accepted"));
    assert_eq!(server.answers(Request::new("GET", "/health")).await, says(200, "ok"));
    server.ledger.set(Mood::Broken);
    assert_eq!(server.answers(push()).await, says(503, "storage_unavailable"));
    server.ledger.set(Mood::Good);
    server.clock.advance(Duration::from_secs(31));
    assert_eq!(server.answers(Request::new("GET", "/health")).await, says(200, "ok"), "nothing was sent since");
    server.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_declared_or_chunked_and_the_client_sees_the_answer() {
    let server = start(|config| config.max_body_bytes = 1000);
    let fits = Request::post("/webhook/custom", format!("\"{}\"", "x".repeat(998))).signed(SECRET);
    assert_eq!(server.answers(fits.clone()).await, says(200, "accepted"));
    let mut conn = Conn::open(server.address).await;
    conn.write(&fits.chunked(7)).await;
    assert_eq!(conn.reply().await.word(), "accepted");
    // More than the buffers of both sockets hold: the client can only finish because the rest is read away.
    let large = Request::post("/webhook/custom", "x".repeat(16_000_000));
    for bytes in [large.bytes(), large.chunked(900)] {
        let mut conn = Conn::open(server.address).await;
        conn.write(&bytes).await;
        let reply = conn.reply().await;
        assert_eq!((reply.status, reply.word().as_str()), (413, "body_too_large"));
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(conn.is_closed().await);
    }
    let rows = server.ledger.refused();
    assert_eq!((rows[0].body_bytes, rows[0].body_sha256), (0, None));
    assert!(rows[1].body_prefix.starts_with(b"xxx") && rows[1].body_bytes <= 1000);
    server.stop().await;
}

#[tokio::test]
async fn bodies_beyond_what_may_be_in_hand_together_are_told_to_come_again() {
    let server = start_with(ServerLimits { bodies_bytes: 100, ..ServerLimits::default() }, |_| {});
    let large = || Request::post("/webhook/custom", "x".repeat(101));
    for bytes in [large().bytes(), large().chunked(60)] {
        let mut conn = Conn::open(server.address).await;
        conn.write(&bytes).await;
        let reply = conn.reply().await;
        assert_eq!((reply.status, reply.word().as_str(), reply.header("retry-after")), (503, "not_ready", Some("5")));
    }
    assert_eq!(server.answers(push()).await, says(200, "accepted"), "a refused body holds no room");
    server.stop().await;
}

#[tokio::test]
async fn expect_100_continue_is_answered_and_an_early_refusal_asks_for_no_body() {
    let server = start(|config| config.max_body_bytes = 1000);
    let request = push().header("expect", "100-continue");
    let mut conn = Conn::open(server.address).await;
    let bytes = request.bytes();
    let (head, body) = bytes.split_at(bytes.len() - PUSH.len());
    conn.write(head).await;
    assert_eq!(conn.reply().await.status, 100);
    conn.write(body).await;
    assert_eq!(conn.reply().await.word(), "accepted");

    let large = Request::post("/webhook/custom", "x".repeat(1001)).header("expect", "100-continue").bytes();
    let mut conn = Conn::open(server.address).await;
    conn.write(&large[..large.len() - 1001]).await;
    assert_eq!(conn.reply().await.status, 413);
    assert!(conn.is_closed().await);
    server.stop().await;
}

#[tokio::test]
async fn a_slow_head_is_closed_and_a_slow_body_is_408() {
    let limits =
        ServerLimits { head: Duration::from_millis(50), body: Duration::from_millis(50), ..ServerLimits::default() };
    let server = start_with(limits, |_| {});
    let mut conn = Conn::open(server.address).await;
    conn.write(b"POST /webhook/github HTTP/1.1\r\nhost: te").await;
    assert!(conn.ends().await, "the server closes it");
    let mut conn = Conn::open(server.address).await;
    let bytes = push().bytes();
    conn.write(&bytes[..bytes.len() - 10]).await;
    let reply = conn.reply().await;
    assert_eq!((reply.status, reply.word().as_str(), reply.header("connection")), (408, "body_timeout", Some("close")));
    let row = server.ledger.refused().pop().expect("a row");
    assert_eq!(row.body_bytes as usize, PUSH.len() - 10);
    server.stop().await;
}

#[tokio::test]
async fn signatures_missing_wrong_and_stale() {
    let server = start(|_| {});
    let bare = Request::post("/webhooks/github", PUSH).header("x-github-event", "push");
    assert_eq!(server.answers(bare.clone()).await, says(401, "missing_signature"));
    assert_eq!(server.answers(bare.clone().signed("other")).await, says(401, "invalid_signature"));
    let sha1 = bare.header("x-hub-signature", "sha1=0000000000000000000000000000000000000000");
    assert_eq!(server.send(sha1).await.status, 401);
    let stripe = |seconds: i64| {
        let body = r#"{"id":"evt_1","type":"invoice.paid","data":{"object":{}}}"#;
        let signature = format!("t={seconds},v1={}", mac(SECRET, format!("{seconds}.{body}").as_bytes()));
        Request::post("/webhooks/stripe", body).header("stripe-signature", signature)
    };
    use hookhand::ports::Clock;
    let now = server.clock.now().as_second();
    assert_eq!(server.answers(stripe(now - 301)).await, says(401, "stale_signature"));
    assert_eq!(server.answers(stripe(now - 300)).await, says(200, "accepted"));
    let verdicts: Vec<_> = server.ledger.refused().iter().map(|row| row.verdict).collect();
    assert_eq!(verdicts[..2], [Some(Verdict::Missing), Some(Verdict::Invalid)]);
    assert_eq!(verdicts.last(), Some(&Some(Verdict::Stale)));
    server.stop().await;
}

#[tokio::test]
async fn unsigned_is_for_direct_loopback_or_where_it_is_allowed() {
    let server = start(|_| {});
    let open = || Request::post("/webhook/open", "{}");
    assert_eq!(server.answers(open()).await, says(200, "accepted"));
    assert_eq!(server.ledger.events()[0].verdict, Verdict::Unsigned);
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "origin"] {
        let reply = open().header(name, "x").send(server.address).await;
        assert_eq!((reply.status, reply.word().as_str()), (401, "missing_signature"), "{name}");
        assert!(reply.text().contains(&format!("this one has the header {name}, so")), "{}", reply.text());
    }
    let lax = || Request::post("/webhook/lax", "{}");
    assert_eq!(server.answers(lax().header("forwarded", "for=1.2.3.4")).await, says(200, "accepted"));
    assert_eq!(server.answers(lax().signed("wrong")).await, says(401, "invalid_signature"));
    assert_eq!(server.answers(lax().signed(SECRET)).await, says(200, "accepted"));
    let verdicts: Vec<_> = server.ledger.events().iter().map(|event| event.verdict).collect();
    assert_eq!(verdicts, [Verdict::Unsigned, Verdict::Unsigned, Verdict::Valid]);
    let public = start(|config| config.host = IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, public.address.port()));
    let reply = open().send(to).await;
    assert_eq!(reply.word(), "missing_signature");
    assert!(reply.text().contains("this server listens beyond this machine"), "{}", reply.text());
    server.stop().await;
    public.stop().await;
}

#[tokio::test]
async fn a_request_that_proxies_may_read_otherwise_is_refused_before_anything_else() {
    let server = start(|_| {});
    let raw = async |head: &str, body: &str| {
        let mut conn = Conn::open(server.address).await;
        conn.write(format!("{head}\r\n\r\n{body}").as_bytes()).await;
        let reply = conn.reply().await;
        (reply.status, reply.word())
    };
    let post = "POST /webhook/open HTTP/1.1";
    let bad = |status: u16| (status, "bad_request".to_owned());
    assert_eq!(raw(&format!("{post}\r\ncontent-length: 2"), "{}").await, bad(400));
    assert_eq!(raw(&format!("{post}\r\nhost: a\r\nhost: b\r\ncontent-length: 2"), "{}").await, bad(400));
    assert_eq!(raw(&format!("{post}\r\nhost: a/b\r\ncontent-length: 2"), "{}").await, bad(400));
    let chunks = "2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(raw(&format!("{post}\r\nhost: a\r\ntransfer-encoding: gzip, chunked"), chunks).await, bad(501));
    assert_eq!(raw("POST /nowhere HTTP/1.1\r\ncontent-length: 2", "{}").await, bad(400));
    assert_eq!(server.ledger.events().len(), 0);
    let rows = server.ledger.refused();
    assert_eq!(rows.iter().map(|row| row.handler.is_some()).collect::<Vec<_>>(), [true, true, true, true, false]);
    assert_eq!(rows[0].reason, "bad_request: the request has no Host header");
    let fine = says(200, "accepted");
    assert_eq!(raw(&format!("{post}\r\nhost: a\r\ntransfer-encoding: chunked"), chunks).await, fine);
    assert_eq!(raw("POST /webhook/open HTTP/1.0\r\ncontent-length: 2", "{}").await, fine);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_what_its_type_says_and_one_without_an_event_type() {
    let server = start(|_| {});
    let send = |kind: &'static str, body: &'static [u8]| {
        server.answers(Request::post("/webhook/custom", body).header("content-type", kind).signed(SECRET))
    };
    for (kind, body) in [
        ("application/json", b"{\"a\":".as_slice()),
        ("application/json", b"{\"a\":\"\xff\"}"),
        ("application/x-www-form-urlencoded", b"payload=%7B"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n--x--"),
        ("application/xml", b"<a/>"),
    ] {
        assert_eq!(send(kind, body).await, says(400, "invalid_payload"), "{kind}");
    }
    assert_eq!(send("application/json", b"").await, says(200, "accepted"));
    assert_eq!(
        send("application/x-www-form-urlencoded", b"payload=%7B%22type%22%3A%22x%22%7D").await,
        says(200, "accepted")
    );
    let events = server.ledger.events();
    assert_eq!((events[0].payload.as_deref(), events[0].event.as_str()), (Some(b"{}".as_slice()), "unknown"));
    assert_eq!((events[1].payload.as_deref(), events[1].event.as_str()), (Some(br#"{"type":"x"}"#.as_slice()), "x"));
    let untyped = Request::post("/webhooks/github", PUSH).signed(SECRET);
    assert_eq!(server.answers(untyped).await, says(400, "missing_event_type"));
    let row = server.ledger.refused().pop().expect("a row");
    assert_eq!(
        (row.verdict, row.body_bytes as usize, row.body_sha256.is_some()),
        (Some(Verdict::Valid), PUSH.len(), true)
    );
    server.stop().await;
}

#[tokio::test]
async fn events_that_are_not_wanted_are_kept_as_ignored_and_claim_no_delivery() {
    let server = start(|_| {});
    let event = |name: &str, body: &str| {
        Request::post("/webhook/picky", body)
            .header("x-github-event", name)
            .header("x-github-delivery", "d")
            .signed(SECRET)
    };
    let reply = server.send(event("push", "{}")).await;
    assert_eq!((reply.status, reply.word().as_str()), (200, "ignored"));
    assert!(reply.json()["reason"].as_str().expect("a reason").contains("push"));
    assert_eq!(server.answers(event("pull_request", r#"{"action":"opened"}"#)).await, says(200, "accepted"));
    let kept = server.ledger.events();
    assert_eq!(
        (kept[0].status, kept[0].delivery_key, kept[1].status),
        (EventStatus::Ignored, None, EventStatus::Accepted)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_redelivery_is_a_duplicate_one_of_a_failed_event_is_queued_again_and_no_id_is_no_duplicate() {
    let server = start(|_| {});
    let delivery = || push().header("x-github-delivery", "d-1");
    let first = server.send(delivery()).await.json()["event_id"].clone();
    let second = server.send(delivery()).await;
    assert_eq!((second.status, second.json()), (200, json!({"status": "duplicate", "event_id": first})));
    let row = server.ledger.refused().pop().expect("a row");
    assert_eq!(
        (row.status, row.reason),
        (EventStatus::Duplicate, format!("same delivery as {}", first.as_str().expect("id")))
    );
    server.ledger.fail(first.as_str().expect("id").parse().expect("an id"));
    assert_eq!(server.send(delivery()).await.json(), json!({"status": "requeued", "event_id": first}));
    for _ in 0..2 {
        assert_eq!(server.answers(Request::post("/webhook/custom", "{}").signed(SECRET)).await, says(200, "accepted"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_is_answered_after_its_signature_and_kept() {
    let server = start(|config| at(config, "github").events = vec!["push".into()]);
    let ping = Request::post("/webhook/github", r#"{"zen":"x"}"#).header("x-github-event", "ping");
    assert_eq!(server.answers(ping.clone()).await, says(401, "missing_signature"));
    let reply = server.send(ping.signed(SECRET)).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "pong"));
    assert_eq!(server.ledger.events().pop().map(|event| event.event).as_deref(), Some("ping"));
    server.stop().await;
}

#[tokio::test]
async fn a_text_handler_speaks_text() {
    let server = start(|_| {});
    let accepted = server.send(Request::post("/webhook/text", "{}").signed(SECRET)).await;
    assert!(accepted.text().starts_with("accepted evt_"), "{}", accepted.text());
    let refused = server.send(Request::post("/webhook/text", "{}")).await;
    assert_eq!(refused.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(
        refused.text().starts_with("missing_signature: ") && refused.text().contains("(req_"),
        "{}",
        refused.text()
    );
    server.stop().await;
}

#[tokio::test]
async fn pages_say_what_is_expected_and_generic_knows_no_workflow() {
    let server = start(|config| {
        config.public_url = Some("https://hooks.example.com".into());
        config.common_secret = Secret::new("common");
    });
    let page = server.send(Request::new("GET", "/webhooks/github/test")).await.json();
    assert_eq!(
        (&page["provider"], &page["webhook_url"]),
        (&json!("github"), &json!("https://hooks.example.com/webhooks/github"))
    );
    assert_eq!((&page["webhook_support"], &page["signature_validation"]), (&json!(true), &json!(true)));
    assert_eq!(page["signature_header"], json!("X-Hub-Signature-256"));
    assert!(
        page["supported_events"].as_array().is_some_and(|events| events.iter().any(|event| event["name"] == "push"))
    );
    let health = server.send(Request::new("GET", "/health")).await.json();
    assert_eq!(
        (&health["status"], &health["queue_depth"], &health["uptime_seconds"]),
        (&json!("ok"), &json!(0), &json!(0))
    );
    assert!(
        health["handlers"]
            .as_array()
            .is_some_and(|names| names.contains(&json!("github")) && !names.contains(&json!("off")))
    );
    assert_eq!(server.send(Request::new("GET", "/webhooks/generic")).await.status, 200);
    let generic = |body: &str| Request::post("/webhooks/generic", body);
    let named = r#"{"workflow_name":"deploy","inputs":{}}"#;
    assert_eq!(server.answers(generic(named)).await, says(401, "missing_signature"));
    assert_eq!(server.answers(generic(named).signed("wrong")).await, says(403, "invalid_signature"));
    assert_eq!(server.answers(generic(named).signed("common")).await, says(404, "not_found"));
    assert_eq!(server.answers(generic("{}").signed("common")).await, says(400, "invalid_payload"));
    server.stop().await;
}

#[tokio::test]
async fn a_panic_costs_one_answer_and_not_the_connection() {
    let server = start(|_| {});
    server.ledger.set(Mood::Panics);
    let mut conn = Conn::open(server.address).await;
    conn.write(&push().bytes()).await;
    let reply = conn.reply().await;
    assert_eq!((reply.status, reply.word().as_str()), (500, "internal"));
    assert_eq!(reply.json()["error"]["request_id"].as_str(), reply.header("x-request-id"));
    server.ledger.set(Mood::Good);
    conn.write(&push().bytes()).await;
    assert_eq!(conn.reply().await.word(), "accepted");
    server.ledger.set(Mood::Panics);
    let reply = server.send(Request::post("/webhook/text", "{}").signed(SECRET)).await;
    assert!(reply.status == 500 && reply.text().starts_with("internal: "), "{}", reply.text());
    server.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_a_half_closed_client_gets_its_answer() {
    let server = start(|_| {});
    let mut conn = Conn::open(server.address).await;
    let bad = Request::post("/webhooks/github", PUSH)
        .header("x-github-event", "push")
        .header("x-hub-signature-256", sign("no", b""));
    conn.write(&[push().bytes(), bad.bytes(), push().chunked(5), Request::new("GET", "/health").bytes()].concat())
        .await;
    conn.finish_writing().await;
    for word in ["accepted", "invalid_signature", "accepted", "ok"] {
        assert_eq!(conn.reply().await.word(), word);
    }
    assert!(conn.is_closed().await);
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let server = start(|_| {});
    let many = (0..500).fold(push(), |request, n| request.header(&format!("x-{n}"), "1"));
    let long = push().header("x-long", "x".repeat(200_000));
    for request in [many, long] {
        let mut conn = Conn::open(server.address).await;
        conn.try_write(&request.bytes()).await;
        assert_eq!(conn.reply().await.status, 431);
    }
    assert!(server.ledger.events().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_closes_what_idles_and_takes_nothing_new() {
    let server = start(|_| {});
    let mut idle = Conn::open(server.address).await;
    idle.write(&Request::new("GET", "/health").bytes()).await;
    assert_eq!(idle.reply().await.word(), "ok");
    let mut fresh = Conn::open(server.address).await;
    server.ledger.hold();
    let mut busy = Conn::open(server.address).await;
    busy.write(&push().bytes()).await;
    server.ledger.until_held().await;
    server.tasks.shutdown().stop_soon();
    assert!(idle.is_closed().await && fresh.is_closed().await);
    server.ledger.release();
    assert_eq!(busy.reply().await.word(), "accepted");
    assert!(busy.is_closed().await);
    let (address, ledger) = (server.address, server.ledger.clone());
    server.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert_eq!(ledger.events().len(), 1);
}

#[tokio::test]
async fn a_client_has_its_share_of_connections() {
    // Loopback is never capped by client, so this reaches the total: the third waits until the first ends.
    let limits = ServerLimits { connections: 2, ..ServerLimits::default() };
    let server = start_with(limits, |_| {});
    let mut first = Conn::open(server.address).await;
    let mut second = Conn::open(server.address).await;
    for conn in [&mut first, &mut second] {
        conn.write(&push().bytes()).await;
        assert_eq!(conn.reply().await.word(), "accepted");
    }
    let mut third = Conn::open(server.address).await;
    third.write(&push().bytes()).await;
    drop(first);
    assert_eq!(third.reply().await.word(), "accepted");
    server.stop().await;
}

#[test]
fn two_things_that_claim_one_path_and_unknown_providers_are_all_told() {
    let mut config = config();
    at(&mut config, "own").path = Some("/webhooks/github".into());
    at(&mut config, "text").provider = Some("nobody".into());
    at(&mut config, "lax").path = Some("/health".into());
    let told = build(config, ServerLimits::default()).err().expect("faults");
    assert!(told.contains("handler 'own' and handler 'github' both claim the path /webhooks/github"), "{told}");
    assert!(told.contains("there is no provider 'nobody'") && told.contains("both claim the path /health"), "{told}");
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_key_to_change() {
    let server = start(|_| {});
    let mut second = config();
    second.port = server.address.port();
    let told = build(second, ServerLimits::default()).err().expect("in use");
    assert!(told.contains("is in use") && told.contains("webhooks.port"), "{told}");
    server.stop().await;
}

struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().expect("a folder") };
        made.renew("current.pem");
        made
    }

    /// Writes a new pair, and its certificate beside it as `copy` for clients.
    fn renew(&self, copy: &str) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(self.path(copy), made.cert.pem()).expect("written");
        std::fs::write(self.path("key.pem"), made.signing_key.serialize_pem()).expect("written");
        std::fs::write(self.path("cert.pem"), made.cert.pem()).expect("written");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn tls(&self) -> Option<Tls> {
        Some(Tls { cert: self.path("cert.pem"), key: self.path("key.pem") })
    }
}

async fn over_h2(to: SocketAddr, cert: &Path) -> (u16, Vec<u8>) {
    use http_body_util::{BodyExt, Full};
    let stream = tls(to, cert, "h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.expect("a handshake");
    let driver = tokio::spawn(connection);
    let request = http::Request::post("https://localhost/webhook/github")
        .header("x-github-event", "push")
        .header("x-hub-signature-256", sign(SECRET, PUSH.as_bytes()))
        .body(Full::new(bytes::Bytes::from_static(PUSH.as_bytes())))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes().to_vec();
    drop(sender);
    driver.abort();
    (status, body)
}

#[tokio::test]
async fn tls_speaks_http_1_and_2_and_refuses_plain_text() {
    let certificate = Certificate::new();
    let server = start(|config| config.tls = certificate.tls());
    let mut conn = Conn::over(tls(server.address, &certificate.path("current.pem"), "http/1.1").await);
    conn.write(&push().bytes()).await;
    assert_eq!(conn.reply().await.word(), "accepted");
    let (status, body) = over_h2(server.address, &certificate.path("current.pem")).await;
    assert!(status == 200 && body.starts_with(b"{\"status\":\"accepted\""));
    let mut plain = Conn::open(server.address).await;
    plain.write(&push().bytes()).await;
    assert!(plain.ends().await);
    assert_eq!(server.ledger.events().len(), 2);
    drop(conn);
    server.stop().await;
}

#[tokio::test]
async fn a_changed_certificate_is_served_without_dropping_a_connection_and_a_bad_one_is_not() {
    let certificate = Certificate::new();
    let server = start(|config| config.tls = certificate.tls());
    let mut old = Conn::over(tls(server.address, &certificate.path("current.pem"), "http/1.1").await);
    server.clock.until_sleeping(1).await;
    std::fs::write(certificate.path("cert.pem"), "half a certif").expect("written");
    server.clock.advance_to_next();
    server.clock.until_sleeping(1).await;
    let mut still = Conn::over(tls(server.address, &certificate.path("current.pem"), "http/1.1").await);
    certificate.renew("renewed.pem");
    server.clock.advance_to_next();
    server.clock.until_sleeping(1).await;
    let mut new = Conn::over(tls(server.address, &certificate.path("renewed.pem"), "http/1.1").await);
    for conn in [&mut old, &mut still, &mut new] {
        conn.write(&push().bytes()).await;
        assert_eq!(conn.reply().await.word(), "accepted");
    }
    drop((old, still, new));
    server.stop().await;
}

#[tokio::test]
async fn a_tls_client_that_says_nothing_and_an_http_2_client_that_asks_nothing_are_closed() {
    let certificate = Certificate::new();
    let short = Duration::from_millis(30);
    let limits = ServerLimits { handshake: short, h2_idle: short, ..ServerLimits::default() };
    let server = start_with(limits, |config| config.tls = certificate.tls());
    assert!(Conn::open(server.address).await.ends().await);
    let h2 = tls(server.address, &certificate.path("current.pem"), "h2").await;
    assert!(Conn::over(h2).ends().await);
    server.stop().await;
}

#[tokio::test]
async fn a_large_body_is_verified_to_its_last_byte_and_a_gone_client_is_recorded() {
    let server = start(|config| config.max_body_bytes = 2_000_000);
    let body = format!("{{\"id\":\"big\",\"x\":\"{}\"}}", "y".repeat(1_000_000));
    let good = Request::post("/webhook/custom", &body).signed(SECRET);
    assert_eq!(server.answers(good.clone()).await, says(200, "accepted"));
    let mut forged = good.bytes();
    let last = forged.len() - 3;
    forged[last] = b'z';
    let mut conn = Conn::open(server.address).await;
    conn.write(&forged).await;
    assert_eq!(conn.reply().await.word(), "invalid_signature");
    assert_eq!(server.ledger.events()[0].body.len(), body.len());
    let mut gone = Conn::open(server.address).await;
    let bytes = push().bytes();
    gone.write(&bytes[..bytes.len() - 1]).await;
    gone.finish_writing().await;
    gone.ends().await;
    let row = server.ledger.refused().pop().expect("a row");
    assert_eq!(row.reason, "invalid_payload: the connection ended before the body did");
    server.stop().await;
}

#[tokio::test]
async fn a_replayed_timestamped_signature_is_one_event_and_no_secret_is_in_what_is_kept() {
    use hookhand::ports::Clock;
    let server = start(|_| {});
    let body = r#"{"type":"invoice.paid","data":{"object":{}}}"#;
    let seconds = server.clock.now().as_second();
    let signature = format!("t={seconds},v1={}", mac(SECRET, format!("{seconds}.{body}").as_bytes()));
    let request = Request::post("/webhooks/stripe", body).header("stripe-signature", &signature);
    assert_eq!(server.answers(request.clone()).await, says(200, "accepted"));
    assert_eq!(server.answers(request).await, says(200, "duplicate"));
    let told = Request::post("/webhooks/stripe", format!("my secret is {SECRET}")).header("x-my-token", SECRET);
    assert_eq!(server.answers(told).await, says(401, "missing_signature"));
    let kept = format!("{:?} {:?}", server.ledger.events(), server.ledger.refused());
    assert!(kept.contains("my secret is ***"), "{kept}");
    assert!(!kept.contains(SECRET) && !kept.contains(&signature));
    server.stop().await;
}

/// What the server logs, on this thread.
#[derive(Clone, Default)]
struct Logged(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn logged(change: impl FnOnce(&mut RequestLogging)) -> Vec<serde_json::Value> {
    // Other tests log without anybody who listens; a line that is first reached there at the moment in which this listener is
    // made would be switched off for good. With a listener of the process that wants everything none is. It may be set already.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    let to = Logged::default();
    let writer = to.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = start(|config| change(&mut config.logging));
    server.send(push().header("x-note", "seen")).await;
    server.send(Request::post("/webhooks/github", PUSH).header("x-github-event", "push").signed("wrong")).await;
    server.stop().await;
    let text = String::from_utf8(to.0.lock().expect("not poisoned").clone()).expect("text");
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    lines.filter(|line| line["message"].as_str().is_some_and(|message| message.starts_with("webhook "))).collect()
}

#[tokio::test]
async fn the_log_tells_as_much_as_was_asked_for() {
    let told = |lines: &[serde_json::Value]| -> Vec<String> {
        lines.iter().map(|line| format!("{} {}", line["level"].as_str().unwrap_or("-"), line["status"])).collect()
    };
    assert_eq!(told(&logged(|_| {}).await), ["INFO 401"], "at INFO an accepted event is worth no line");
    assert_eq!(told(&logged(|log| log.level = tracing::Level::DEBUG).await), ["DEBUG \"accepted\"", "INFO 401"]);
    assert!(logged(|log| log.level = tracing::Level::WARN).await.is_empty());
    assert!(logged(|log| log.enabled = false).await.is_empty());
    let lines = logged(|log| (log.include_headers, log.include_payload) = (true, true)).await;
    assert_eq!(told(&lines), ["INFO \"accepted\"", "INFO 401"]);
    for line in &lines {
        let headers = line["headers"].as_str().expect("headers");
        assert!(headers.contains("x-hub-signature-256: ***"), "{headers}");
        assert_eq!(line["payload"], PUSH);
    }
    assert!(lines[0]["headers"].as_str().is_some_and(|headers| headers.contains("x-note: seen")));
}

#[tokio::test]
async fn counters_tell_what_became_of_requests() {
    let server = start(|_| {});
    server.send(push()).await;
    server.send(Request::post("/webhooks/github", "{}")).await;
    let counted = server.intake.metrics().snapshot();
    let of = |word: &str| counted.outcomes.iter().find(|(outcome, _)| outcome.as_str() == word).map(|(_, n)| *n);
    let refused = |word: &str| counted.refusals.iter().find(|(code, _)| code.as_str() == word).map(|(_, n)| *n);
    assert_eq!((of("accepted"), refused("missing_signature"), refused("not_found")), (Some(1), Some(1), Some(0)));
    assert_eq!(counted.latency.iter().map(|(_, n)| n).sum::<u64>(), 1);
    server.stop().await;
}
