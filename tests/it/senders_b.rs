//! Senders that most people meet after GitHub and Stripe: their signatures computed apart from the engine, their handshakes,
//! what they do with our answers, how their events read, and why their requests were refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use hookhand::config::*;
use hookhand::domain::event::{EventStatus, Verdict};
use hookhand::domain::text::utf16_len;
use hookhand::intake::{Intake, NoWorkflows, Parts, Server, ServerLimits};
use hookhand::lifecycle::{STOP_GRACE, Shutdown, Tasks};
use hookhand::ports::{Clock, RandomIds};
use hookhand::provider::{FINDINGS_MAX, LINE_CHARS_MAX, LINES_MAX, Registry, TITLE_CHARS_MAX, advice};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::harness::clock::FakeClock;
use crate::harness::http::{Reply, Request, mac};
use crate::harness::memory_ledger::{MemoryLedger, Mood};
use crate::harness::process::{Process, run, stdout};

/// The providers that this file is about.
const SENDERS: [&str; 10] = [
    "alertmanager",
    "basic",
    "bearer",
    "cloudevents",
    "custom",
    "discord",
    "grafana",
    "standard-webhooks",
    "svix",
    "twilio",
];
const SECRET: &str = "a-secret-of-many-senders";
/// Standard Webhooks: what is after the prefix is base64 of the key.
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PUBLIC_URL: &str = "https://hooks.example.com";
const BODY: &str = r#"{"type":"order.paid","id":"o-1","name":"Größe <b>","n":1.50}"#;

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn secret_of(provider: &str) -> String {
    match provider {
        "discord" => hex::encode(signing_key().verifying_key().to_bytes()),
        "svix" | "standard-webhooks" => WHSEC.to_owned(),
        _ => SECRET.to_owned(),
    }
}

struct TestServer {
    address: SocketAddr,
    ledger: Arc<MemoryLedger>,
    clock: Arc<FakeClock>,
    tasks: Tasks,
    intake: Intake,
}

fn handler(name: &str, provider: &str, secret: &str) -> Handler {
    Handler {
        name: name.parse().expect("a name"),
        enabled: true,
        provider: Some(provider.to_owned()),
        path: None,
        secrets: vec![Secret::new(secret).expect("not empty")],
        events: Vec::new(),
        response_type: ResponseType::Json,
        allowed_ips: Vec::new(),
        rate_limit: None,
        allow_unsigned: false,
        notify: Notify::Nobody,
        summarize: Summarize::Auto,
    }
}

/// A server with a handler for each sender, `more` handlers, and `registry`.
fn start_with(registry: Registry, more: Vec<Handler>, change: impl FnOnce(&mut Webhooks)) -> TestServer {
    let handlers = SENDERS.iter().map(|name| handler(name, name, &secret_of(name))).chain(more);
    let mut config = Webhooks {
        enabled: true,
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        public_url: Some(PUBLIC_URL.to_owned()),
        max_body_bytes: 1024 * 1024,
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
        handlers: handlers.map(|handler| (handler.name.clone(), handler)).collect::<BTreeMap<_, _>>(),
    };
    change(&mut config);
    let (ledger, clock, tasks) = (Arc::new(MemoryLedger::default()), FakeClock::new(), Tasks::new(Shutdown::new()));
    let parts = Parts {
        config,
        registry: Arc::new(registry),
        ledger: ledger.clone(),
        clock: clock.clone(),
        ids: Arc::new(RandomIds::default()),
        workflows: Arc::new(NoWorkflows),
        tasks: tasks.clone(),
        limits: ServerLimits { commit_min: Duration::from_millis(50), ..ServerLimits::default() },
    };
    let intake = Intake::new(parts).expect("a table of routes");
    let server = Server::bind(intake.clone()).expect("a port");
    let address = server.local_addr();
    let shutdown = tasks.shutdown().clone();
    tasks.spawn_short("server", server.run(shutdown));
    TestServer { address, ledger, clock, tasks, intake }
}

fn start() -> TestServer {
    start_with(Registry::builtin(), Vec::new(), |_| {})
}

impl TestServer {
    async fn send(&self, request: &Request) -> Reply {
        request.send(self.address).await
    }

    /// Status, and the code or the status in words.
    async fn says(&self, request: &Request) -> (u16, String) {
        let reply = self.send(request).await;
        (reply.status, if reply.body.is_empty() { String::new() } else { reply.word() })
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    /// What the last refusal was found to come from.
    fn findings(&self) -> Vec<String> {
        let row = self.ledger.refused().pop().expect("a refusal");
        row.reason.lines().skip(1).map(str::to_owned).collect()
    }

    async fn stop(self) {
        self.tasks.shutdown().stop_soon();
        self.tasks.finish(STOP_GRACE).await.expect("no task failed");
    }
}

fn base64_mac(key: &[u8], content: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("any length");
    mac.update(content);
    BASE64.encode(mac.finalize().into_bytes())
}

fn sha1_mac(key: &str, content: &str) -> String {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).expect("any length");
    mac.update(content.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

fn standard(id: &str, at: i64, body: &str) -> String {
    let key = BASE64.decode(WHSEC.strip_prefix("whsec_").expect("prefixed")).expect("base64");
    format!("v1,{}", base64_mac(&key, format!("{id}.{at}.{body}").as_bytes()))
}

/// What one sender sends, signed at `at`, with a delivery id where it has one. Computed without the engine.
fn sent(provider: &str, at: i64, id: &str, body: &str) -> Request {
    let path = format!("/webhooks/{provider}");
    let post = || Request::post(&path, body).header("content-type", "application/json");
    match provider {
        "alertmanager" | "bearer" => post().header("authorization", format!("Bearer {SECRET}")),
        "basic" => post().header("authorization", format!("Basic {}", BASE64.encode(format!("any:{SECRET}")))),
        "cloudevents" => post()
            .header("ce-type", "order.paid")
            .header("ce-source", "/shop")
            .header("ce-id", id)
            .header("x-signature", format!("sha256={}", mac(SECRET, body.as_bytes()))),
        "custom" => post()
            .header("x-webhook-timestamp", at.to_string())
            .header("x-webhook-signature-v2", mac(SECRET, format!("{at}.{body}").as_bytes())),
        "discord" => {
            let signature = signing_key().sign(format!("{at}{body}").as_bytes());
            post()
                .header("x-signature-timestamp", at.to_string())
                .header("x-signature-ed25519", hex::encode(signature.to_bytes()))
        }
        "grafana" => post()
            .header("x-grafana-alerting-timestamp", at.to_string())
            .header("x-grafana-alerting-signature", mac(SECRET, format!("{at}:{body}").as_bytes())),
        "svix" => post()
            .header("svix-id", id)
            .header("svix-timestamp", at.to_string())
            .header("svix-signature", format!("v1,bm90IHRoaXMgb25l {}", standard(id, at, body))),
        "standard-webhooks" => post()
            .header("webhook-id", id)
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", standard(id, at, body)),
        "twilio" => twilio(&format!("{path}?x=1"), &format!("{PUBLIC_URL}{path}?x=1"), id),
        other => panic!("no sender {other}"),
    }
}

/// A form with its fields out of order, one of them twice.
fn twilio(path: &str, signed_url: &str, id: &str) -> Request {
    let body = "To=%2B15017122661&From=%2B15558675310&Body=Hi+there&SmsStatus=received&SmsSid=SM1&MessageSid=SM1";
    let content = format!(
        "{signed_url}{}{}{}{}{}{}",
        "BodyHi there", "From+15558675310", "MessageSidSM1", "SmsSidSM1", "SmsStatusreceived", "To+15017122661"
    );
    Request::post(path, body)
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
        .header("i-twilio-idempotency-token", id)
        .header("x-twilio-signature", sha1_mac(SECRET, &content))
}

/// The header that has the signature or the secret.
fn proof(provider: &str) -> &'static str {
    match provider {
        "alertmanager" | "basic" | "bearer" => "authorization",
        "cloudevents" => "x-signature",
        "custom" => "x-webhook-signature-v2",
        "discord" => "x-signature-ed25519",
        "grafana" => "x-grafana-alerting-signature",
        "svix" => "svix-signature",
        "standard-webhooks" => "webhook-signature",
        _ => "x-twilio-signature",
    }
}

fn accepted(provider: &str) -> (u16, String) {
    match provider {
        "discord" => (204, String::new()),
        _ => (200, "accepted".to_owned()),
    }
}

#[tokio::test]
async fn each_signature_is_accepted_when_right_and_refused_when_wrong_missing_or_malformed() {
    let server = start();
    for provider in SENDERS {
        let right = sent(provider, server.now(), "d-1", BODY);
        assert_eq!(server.says(&right).await, accepted(provider), "{provider}");
        let event = server.ledger.events().pop().expect("an event");
        assert_eq!((event.verdict, event.provider.as_str()), (Verdict::Valid, provider));

        let missing = right.clone().without(proof(provider));
        assert_eq!(server.says(&missing).await, (401, "missing_signature".into()), "{provider}");
        for nonsense in ["", "x", "v1,", "sha256=zz", "Bearer", "Basic !!!", "ÿ", &"f".repeat(9000)] {
            let (status, code) = server.says(&missing.clone().header(proof(provider), nonsense)).await;
            assert_eq!((status, code.ends_with("_signature")), (401, true), "{provider} {nonsense:.10}: {code}");
        }
        let has_key = !matches!(provider, "alertmanager" | "basic" | "bearer");
        let other_body = right.clone().with_body(if provider == "twilio" { "Body=Bye" } else { "{}" });
        let expected = if has_key { (401, "invalid_signature".to_owned()) } else { accepted(provider) };
        assert_eq!(server.says(&other_body).await, expected, "{provider}: a token covers no body");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_signed_time_outside_its_window_is_stale_both_ways_and_absurd_ones_are_no_panic() {
    let server = start();
    for provider in ["custom", "discord", "grafana", "svix", "standard-webhooks"] {
        for (offset, word) in
            [(-300, None), (300, None), (-301, Some("stale_signature")), (301, Some("stale_signature"))]
        {
            let body = BODY.replace("o-1", &offset.to_string());
            let request = sent(provider, server.now() + offset, &format!("d{offset}"), &body);
            let expected = word.map_or_else(|| accepted(provider), |word| (401, word.to_owned()));
            assert_eq!(server.says(&request).await, expected, "{provider} {offset}");
        }
        for absurd in [i64::MAX, i64::MIN, 0] {
            assert_eq!(server.says(&sent(provider, absurd, "d", BODY)).await.0, 401, "{provider} {absurd}");
        }
    }
    // Nobody may leave the time out and have the body alone count.
    let request = sent("grafana", server.now(), "d", BODY).without("x-grafana-alerting-timestamp");
    assert_eq!(server.says(&request).await, (401, "invalid_signature".into()));
    let plain =
        Request::post("/webhooks/grafana", BODY).header("x-grafana-alerting-signature", mac(SECRET, BODY.as_bytes()));
    assert_eq!(server.says(&plain).await, accepted("grafana"), "without a timestamp header it is not signed");
    server.stop().await;
}

#[tokio::test]
async fn secrets_are_sent_as_bearer_or_basic_and_a_password_may_hold_colons() {
    let whole = handler("whole", "alertmanager", "hook:pass:word");
    let server = start_with(Registry::builtin(), vec![whole], |_| {});
    let alert = r#"{"status":"firing","alerts":[]}"#;
    let with = |path: &str, value: String| Request::post(path, alert).header("authorization", value);
    let basic = |pair: &str| format!("Basic {}", BASE64.encode(pair));
    for (path, value, status) in [
        ("/webhooks/alertmanager", format!("bearer {SECRET}"), 200),
        ("/webhooks/alertmanager", basic(&format!("prometheus:{SECRET}")), 200),
        ("/webhooks/alertmanager", basic(SECRET), 401),
        ("/webhooks/alertmanager", format!("Token {SECRET}"), 401),
        ("/webhooks/grafana", format!("Bearer {SECRET}"), 200),
        ("/webhooks/grafana", basic(&format!("grafana:{SECRET}")), 200),
        ("/webhooks/cloudevents", format!("Bearer {SECRET}"), 400),
        ("/webhooks/whole", basic("hook:pass:word"), 200),
        ("/webhooks/whole", basic("other:pass:word"), 401),
        ("/webhooks/bearer", basic(&format!("x:{SECRET}")), 401),
        ("/webhooks/basic", format!("Bearer {SECRET}"), 401),
    ] {
        assert_eq!(server.send(&with(path, value.clone())).await.status, status, "{path} {value}");
    }
    server.stop().await;
}

#[tokio::test]
async fn two_equal_alarms_are_two_events_and_a_replayed_signed_one_is_a_duplicate() {
    let server = start();
    let alarm = sent("alertmanager", 0, "", r#"{"status":"firing","alerts":[]}"#);
    assert_eq!(server.says(&alarm).await, accepted("alertmanager"));
    assert_eq!(server.says(&alarm).await, accepted("alertmanager"));
    assert_eq!(server.ledger.events().len(), 2);
    let signed = sent("grafana", server.now(), "", r#"{"status":"firing","alerts":[]}"#);
    assert_eq!(server.says(&signed).await, accepted("grafana"));
    assert_eq!(server.says(&signed).await, (200, "duplicate".into()));
    for provider in ["cloudevents", "svix", "standard-webhooks", "twilio"] {
        let request = sent(provider, server.now(), "same", BODY);
        assert_eq!(server.says(&request).await, accepted(provider), "{provider}");
        assert_eq!(server.says(&request).await, (200, "duplicate".into()), "{provider}");
    }
    server.stop().await;
}

#[tokio::test]
async fn discord_pings_are_answered_after_their_signature_and_forged_ones_are_401() {
    let server = start();
    let signed = |body: &str| sent("discord", server.now(), "", body);
    let ping = server.send(&signed(r#"{"version":1,"application_id":"1","type":0}"#)).await;
    assert_eq!((ping.status, ping.body.len()), (204, 0));
    for body in [r#"{"type":1}"#, r#"{"id":"9","token":"t","type":1,"version":1,"user":{"id":"1"}}"#] {
        let pong = server.send(&signed(body)).await;
        assert_eq!((pong.status, pong.json()), (200, json!({"type": 1})));
    }
    assert!(server.ledger.events().is_empty(), "a handshake is no event");
    // An event is type 1 too.
    let event = r#"{"version":1,"application_id":"1","type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"x","data":{}}}"#;
    assert_eq!(server.says(&signed(event)).await, (204, String::new()));
    let interaction = r#"{"id":"77","token":"t","type":2,"data":{"name":"deploy"}}"#;
    assert_eq!(server.says(&signed(interaction)).await, (204, String::new()));
    let kept: Vec<(String, Option<String>)> =
        server.ledger.events().into_iter().map(|event| (event.event, event.delivery_id)).collect();
    assert_eq!(kept, [("ENTITLEMENT_CREATE".into(), None), ("interaction.deploy".into(), Some("77".to_owned()))]);

    let forged = signed(r#"{"type":0}"#).with_body(r#"{"type":1}"#);
    assert_eq!(server.says(&forged).await, (401, "invalid_signature".into()));
    let unsigned = Request::post("/webhooks/discord", r#"{"type":1}"#);
    assert_eq!(server.says(&unsigned).await, (401, "missing_signature".into()));
    server.stop().await;
}

#[tokio::test]
async fn cloudevents_asks_by_options_and_comes_in_headers_in_the_body_or_in_batches() {
    let server = start();
    let ask =
        || Request::new("OPTIONS", "/webhooks/cloudevents").header("webhook-request-origin", "source.example.com");
    let reply = server
        .send(&ask().header("webhook-request-rate", "120").header("webhook-request-callback", "http://127.0.0.1:1/"))
        .await;
    let header = |reply: &Reply, name: &str| reply.header(name).unwrap_or("-").to_owned();
    let allowed = |reply: &Reply| {
        (
            reply.status,
            header(reply, "webhook-allowed-origin"),
            header(reply, "webhook-allowed-rate"),
            header(reply, "allow"),
        )
    };
    assert_eq!(allowed(&reply), (200, "source.example.com".into(), "120".into(), "POST".into()));
    assert_eq!(allowed(&server.send(&ask()).await), (200, "source.example.com".into(), "*".into(), "POST".into()));
    // A signature that is there must be right; other questions and other senders have no OPTIONS.
    assert_eq!(server.says(&ask().header("x-signature", "00")).await, (401, "invalid_signature".into()));
    assert_eq!(server.says(&ask().header("x-signature", mac(SECRET, b""))).await, (200, String::new()));
    let bare = Request::new("OPTIONS", "/webhooks/cloudevents");
    assert_eq!(server.says(&bare).await, (405, "method_not_allowed".into()));
    let other = Request::new("OPTIONS", "/webhooks/custom").header("webhook-request-origin", "x");
    let reply = server.send(&other).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    assert!(server.ledger.events().is_empty());

    let bearer = |body: &str, kind: &str| {
        Request::post("/webhooks/cloudevents", body)
            .header("content-type", kind)
            .header("authorization", format!("Bearer {SECRET}"))
    };
    let one = r#"{"specversion":"1.0","type":"com.example.order.created","source":"/shop","id":"1","data":{"id":7}}"#;
    let structured = bearer(one, "application/cloudevents+json; charset=utf-8");
    assert_eq!(server.says(&structured).await, accepted("cloudevents"));
    assert_eq!(server.says(&structured).await, (200, "duplicate".into()));
    let binary =
        bearer("[7]", "application/json").header("ce-type", "a.b").header("ce-source", "/shop").header("ce-id", "1");
    assert_eq!(server.says(&binary).await, (200, "duplicate".into()), "source and id are the same in either mode");
    let other_source =
        bearer("7", "application/json").header("ce-type", "a.b").header("ce-source", "/other").header("ce-id", "1");
    assert_eq!(server.says(&other_source).await, accepted("cloudevents"));
    let batch = bearer(&format!("[{one},{one}]"), "application/cloudevents-batch+json");
    assert_eq!(server.says(&batch).await, accepted("cloudevents"));
    assert_eq!(server.says(&batch).await, accepted("cloudevents"), "a batch has no id");
    let kept: Vec<String> = server.ledger.events().into_iter().map(|event| event.event).collect();
    assert_eq!(kept, ["com.example.order.created", "a.b", "com.example.order.created", "com.example.order.created"]);
    assert_eq!(server.says(&bearer("{}", "application/json")).await, (400, "missing_event_type".into()));
    server.stop().await;
}

#[tokio::test]
async fn twilio_signs_the_public_url_with_or_without_its_port_and_json_by_its_hash() {
    let server = start();
    let path = "/webhook/twilio?shop=a%20b";
    for (n, base) in ["https://hooks.example.com", "https://hooks.example.com:443"].iter().enumerate() {
        let request = twilio(path, &format!("{base}{path}"), &format!("t-{n}"));
        assert_eq!(server.says(&request).await, accepted("twilio"), "{base}");
    }
    let event = server.ledger.events().pop().expect("an event");
    assert_eq!((event.event.as_str(), event.delivery_id.as_deref()), ("message.received", Some("t-1")));
    for url in ["http://hooks.example.com", "https://hooks.example.com:8443", "https://evil.example.com"] {
        let request = twilio(path, &format!("{url}{path}"), "t-9");
        assert_eq!(server.says(&request).await, (401, "invalid_signature".into()), "{url}");
    }
    let body =
        r#"[{"specversion":"1.0","type":"com.twilio.messaging.message.delivered","source":"/x","id":"EZ1","data":{}}]"#;
    let hash = hex::encode(sha2::Sha256::digest(body.as_bytes()));
    let json_to = |path: &str, body: &str| {
        Request::post(path, body)
            .header("content-type", "application/json")
            .header("x-twilio-signature", sha1_mac(SECRET, &format!("{PUBLIC_URL}{path}")))
    };
    let hashed = format!("/webhooks/twilio?bodySHA256={hash}");
    assert_eq!(server.says(&json_to(&hashed, body)).await, accepted("twilio"));
    assert_eq!(
        server.says(&json_to(&hashed, "{}")).await,
        (401, "invalid_signature".into()),
        "the hash is of another body"
    );
    let uncovered = json_to("/webhooks/twilio", body);
    assert_eq!(server.says(&uncovered).await, (401, "invalid_signature".into()), "nothing would vouch for this body");
    server.stop().await;
}

/// Whether a sender tries again after an answer, by its own documentation or source.
fn tries_again(provider: &str, reply: &Reply) -> bool {
    let failed = reply.status >= 300;
    match provider {
        // notify/util.go: 5xx alone is recoverable.
        "alertmanager" | "twilio" => reply.status >= 500,
        "grafana" => reply.status >= 500 || reply.status == 429,
        // http-webhook.md: 429 must carry Retry-After; a 4xx or 5xx besides may end the subscription.
        "cloudevents" => reply.status == 429 && reply.header("retry-after").is_some(),
        "discord" => failed,
        "svix" | "standard-webhooks" => failed && reply.status != 410,
        _ => reply.status == 429 || reply.status >= 500,
    }
}

#[tokio::test]
async fn whatever_stands_in_the_way_each_sender_tries_again_until_its_event_is_kept() {
    let limited = Some(RateLimit { max_requests: NonZeroU32::new(1).expect("not 0"), window: Duration::from_secs(60) });
    for provider in SENDERS {
        let server = start_with(Registry::builtin(), Vec::new(), |config| {
            config.handlers.get_mut(&provider.parse().expect("a name")).expect("a handler").rate_limit = Some(limited);
        });
        let mut attempts = Vec::new();
        for obstacle in ["not ready", "busy", "broken", "rate", ""] {
            server.clock.advance(Duration::from_secs(if obstacle == "rate" { 1 } else { 120 }));
            server.intake.set_ready(obstacle != "not ready");
            server.ledger.set(match obstacle {
                "busy" => Mood::Busy,
                "broken" => Mood::Broken,
                _ => Mood::Good,
            });
            let reply = server.send(&sent(provider, server.now(), "d-1", BODY)).await;
            assert_eq!(tries_again(provider, &reply), !obstacle.is_empty(), "{provider}, {obstacle}: {}", reply.status);
            if !obstacle.is_empty() {
                let wait = reply.header("retry-after").and_then(|text| text.parse::<u64>().ok());
                assert!(wait.is_some_and(|seconds| seconds >= 1), "{provider}, {obstacle}: Retry-After");
                assert!(!reply.text().contains("secret"), "our internals are not the sender's");
            }
            attempts.push(reply.status);
        }
        assert_eq!(server.ledger.events().len(), 1, "{provider}: {attempts:?}");
        let expected = match provider {
            "cloudevents" => [429, 429, 429, 429, 200],
            "alertmanager" | "twilio" => [503, 503, 503, 503, 200],
            "discord" => [503, 503, 503, 429, 204],
            _ => [503, 503, 503, 429, 200],
        };
        assert_eq!(attempts, expected, "{provider}");
        server.stop().await;
    }
}

/// A sender that takes a 4xx for the end of the hook, as GitLab does.
const TOUCHY: &str = "
name: touchy
sender: { timeout: 300ms (that is all), overload_status: 502, rate_limit_status: 503 }
setup: [Paste the URL]
signature: { schemes: [{ kind: token, header: X-Touchy-Token }] }
event: { payload: kind }
";

fn touchy() -> Registry {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("touchy.yaml"), TOUCHY).expect("written");
    let (registry, faults) = Registry::load(dir.path(), dir.path());
    assert!(faults.is_empty(), "{faults:?}");
    registry
}

#[tokio::test]
async fn a_sender_that_takes_a_4xx_for_the_end_is_told_503_when_it_sends_too_much() {
    let registry = touchy();
    assert_eq!(registry.get("touchy").expect("loaded").setup(), ["Paste the URL"]);
    let mut touchy = handler("touchy", "touchy", SECRET);
    touchy.rate_limit =
        Some(Some(RateLimit { max_requests: NonZeroU32::new(1).expect("not 0"), window: Duration::from_secs(60) }));
    let server = start_with(registry, vec![touchy], |_| {});
    let request = Request::post("/webhooks/touchy", r#"{"kind":"x"}"#).header("x-touchy-token", SECRET);
    assert_eq!(server.says(&request).await, (200, "accepted".into()));
    let reply = server.send(&request).await;
    assert_eq!((reply.status, reply.word().as_str()), (503, "rate_limited"));
    assert!(reply.header("retry-after").is_some());
    server.stop().await;
}

#[tokio::test]
async fn an_answer_leaves_before_the_sender_hangs_up_even_when_the_store_never_answers() {
    let server = start_with(touchy(), vec![handler("touchy", "touchy", SECRET)], |_| {});
    server.ledger.hold();
    let request = Request::post("/webhooks/touchy", r#"{"kind":"x"}"#).header("x-touchy-token", SECRET);
    let reply = server.send(&request).await;
    assert_eq!((reply.status, reply.word().as_str()), (502, "storage_unavailable"));
    assert_eq!(reply.header("retry-after"), Some("5"));
    server.ledger.release();
    assert_eq!(server.says(&request).await, (200, "accepted".into()), "the next attempt");
    server.stop().await;
}

#[test]
fn every_example_reads_as_a_colleague_would_write_it() {
    let registry = Registry::builtin();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/messages");
    for name in SENDERS {
        let mut text = String::new();
        let provider = registry.get(name).expect("built in");
        assert!(provider.events().len() >= 3, "{name} has few examples");
        assert!(provider.setup().len() >= 3, "{name} has few steps");
        for info in provider.events() {
            assert!(!info.description.is_empty(), "{name} {}", info.name);
            let example = info.example.as_ref().expect("an example");
            let headers: Vec<(String, String)> =
                info.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().expect("text").to_owned())).collect();
            let summary = provider.summarize(&info.name, example, &headers);
            let message = &summary.message;
            text.push_str(&format!("{}\n  [{}] {}\n", info.name, message.severity, message.title));
            for line in &message.lines {
                text.push_str(&format!("    {line}\n"));
            }
            let url = message.url.as_deref().unwrap_or("-");
            text.push_str(&format!("    link {url} subject {}\n", summary.subject.as_deref().unwrap_or("-")));
        }
        let file = folder.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_MESSAGES").is_some() {
            std::fs::write(&file, &text).expect("a writable file");
        }
        let kept = std::fs::read_to_string(&file).expect("the kept messages");
        let differs = text.lines().zip(kept.lines()).find(|(now, kept)| now != kept);
        assert!(text == kept, "{name} reads otherwise: {differs:?}");
    }
}

/// Every value of a payload replaced by `with`.
fn spoilt(value: &Value, with: &Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), spoilt(value, with))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|value| spoilt(value, with)).collect()),
        _ => with.clone(),
    }
}

#[test]
fn no_payload_breaks_a_message_or_falls_to_raw_json() {
    let registry = Registry::builtin();
    let hostile = [
        Value::Null,
        json!(""),
        json!(true),
        json!(-1e300),
        json!({}),
        json!([]),
        json!({"a": {"b": 1}}),
        json!([{"a": 1}, null]),
        json!("<b>\u{202e}\n\r\t{{ payload }} &amp; 👩‍👩‍👧 \u{0}"),
        json!("x".repeat(10_000)),
        json!("https://user:pass@api.example.com/?token=1"),
    ];
    for name in SENDERS {
        let provider = registry.get(name).expect("built in");
        let examples: Vec<(&str, Value)> =
            provider.events().iter().filter_map(|info| Some((info.name.as_str(), info.example.clone()?))).collect();
        let odd = [json!(null), json!([]), json!(7), json!("text"), json!({})].map(|value| ("never.heard_of", value));
        // Half of the hostile kinds for one payload, the other half for the next, and an unheard-of type with one of them.
        for (n, (event, payload)) in examples.iter().cloned().chain(odd).enumerate() {
            let kinds = hostile.iter().enumerate().filter(|(kind, _)| kind % 2 == n % 2).map(|(_, with)| (event, with));
            let unheard = ("never.heard_of", &hostile[n % hostile.len()]);
            let cases = kinds.chain([unheard]).map(|(event, with)| (event, spoilt(&payload, with)));
            for (event, payload) in cases.chain([(event, payload.clone()), ("never.heard_of", payload.clone())]) {
                let message = provider.summarize(event, &payload, &[]).message;
                let shown = format!("{}\n{}", message.title, message.lines.join("\n"));
                let context = || format!("{name} {event} {:.200}: {shown}", payload.to_string());
                assert!(!message.title.trim().is_empty(), "{}", context());
                let bounded = message.title.chars().count() <= TITLE_CHARS_MAX && message.lines.len() <= LINES_MAX;
                assert!(bounded, "{}", context());
                assert!(message.lines.iter().all(|line| line.chars().count() <= LINE_CHARS_MAX), "{}", context());
                assert!(utf16_len(&shown) < 4096, "{}", context());
                for raw in ["{\"", "[{", "null", "undefined", "\u{202e}"] {
                    assert!(!shown.contains(raw), "{raw} in {}", context());
                }
                assert!(message.url.as_ref().is_none_or(|url| !url.contains("pass@")), "{}", context());
            }
        }
    }
}

/// A request to `path` whose `header` was made by `make` over what the sender signed.
fn signed_otherwise(path: &str, body: impl AsRef<[u8]>, header: &str, value: String) -> Request {
    Request::post(path, body).header("content-type", "application/json").header(header, value)
}

#[tokio::test]
async fn usual_mistakes_are_found_out_and_told_to_the_operator_alone() {
    let stripe = handler("stripe", "stripe", WHSEC);
    let other = handler("other", "custom", "the-other-secret");
    let github = handler("github", "github", SECRET);
    let foreign = handler("foreign", "standard-webhooks", "no base64!");
    let server = start_with(Registry::builtin(), vec![stripe, other, github, foreign], |_| {});
    let now = server.now();
    let hub = |signed: &[u8]| format!("sha256={}", mac(SECRET, signed));
    let github = |body: &[u8], value: String| signed_otherwise("/webhooks/github", body, "x-hub-signature-256", value);
    let value: Value = serde_json::from_str(BODY).expect("JSON");
    let pretty = serde_json::to_string_pretty(&value).expect("JSON");
    let spaced = r#"{"type": "order.paid", "id": "o-1", "name": "Gr\u00f6\u00dfe <b>", "n": 1.5}"#;
    let compact = r#"{"type":"order.paid","id":"o-1","name":"Größe <b>","n":1.5}"#;
    let key = BASE64.decode(WHSEC.strip_prefix("whsec_").expect("prefixed")).expect("base64");
    let stripe =
        |mac: String| signed_otherwise("/webhooks/stripe", BODY, "stripe-signature", format!("t={now},v1={mac}"));
    let svix = |signature: String| {
        signed_otherwise("/webhooks/svix", BODY, "svix-signature", signature)
            .header("svix-id", "m")
            .header("svix-timestamp", now.to_string())
    };
    let ms = (now * 1000).to_string();
    let cases: Vec<(&str, Request, &str)> = vec![
        (
            "other secret",
            github(BODY.as_bytes(), format!("sha256={}", mac("the-other-secret", BODY.as_bytes()))),
            "secret of handler 'other'",
        ),
        ("pretty on the way", github(pretty.as_bytes(), hub(compact.as_bytes())), "same JSON written compactly"),
        ("python", github(compact.as_bytes(), hub(spaced.as_bytes())), "spaces and \\u escapes"),
        ("indented", github(compact.as_bytes(), hub(pretty.as_bytes())), "indented by two"),
        ("line break lost", github(BODY.as_bytes(), hub(format!("{BODY}\n").as_bytes())), "line break at its end"),
        ("line break added", github(format!("{BODY}\n").as_bytes(), hub(BODY.as_bytes())), "without the white space"),
        ("line ends", github(b"{\r\n}", hub(b"{\n}")), "LF where it has CR LF"),
        (
            "secret with a line break",
            github(BODY.as_bytes(), format!("sha256={}", mac(&format!("{SECRET}\n"), BODY.as_bytes()))),
            "secret with a line break",
        ),
        (
            "base64 for hex",
            github(BODY.as_bytes(), format!("sha256={}", base64_mac(SECRET.as_bytes(), BODY.as_bytes()))),
            "as base64, where hexadecimal",
        ),
        (
            "no prefix",
            github(BODY.as_bytes(), mac(SECRET, BODY.as_bytes())),
            "nothing stands before it, where 'sha256='",
        ),
        (
            "upper case prefix",
            github(BODY.as_bytes(), format!("SHA256={}", mac(SECRET, BODY.as_bytes()))),
            "'SHA256=' stands before it",
        ),
        (
            "SHA-1",
            github(
                BODY.as_bytes(),
                format!("sha256={}", hex::encode(BASE64.decode(sha1_mac(SECRET, BODY)).expect("base64"))),
            ),
            "with SHA-1",
        ),
        ("cut", github(BODY.as_bytes(), hub(BODY.as_bytes())[..47].to_owned()), "was it cut"),
        (
            "unknown",
            github(BODY.as_bytes(), format!("sha256={}", mac("nobody knows", BODY.as_bytes()))),
            "another secret",
        ),
        (
            "proxy",
            github(BODY.as_bytes(), format!("sha256={}", mac("?", BODY.as_bytes()))).header("via", "1.1 proxy"),
            "a proxy stands in between (via)",
        ),
        (
            "other header",
            signed_otherwise("/webhooks/svix", BODY, "x-hub-signature-256", hub(BODY.as_bytes())),
            "x-hub-signature-256 instead",
        ),
        (
            "other scheme",
            signed_otherwise(
                "/webhooks/custom",
                BODY,
                "stripe-signature",
                format!("t={now},v1={}", mac(SECRET, format!("{now}.{BODY}").as_bytes())),
            ),
            "in the way of Stripe",
        ),
        (
            "whsec_ decoded",
            stripe(hex::encode(BASE64.decode(base64_mac(&key, format!("{now}.{BODY}").as_bytes())).expect("base64"))),
            "`whsec_` decoded",
        ),
        (
            "whsec_ left out",
            stripe(mac(WHSEC.strip_prefix("whsec_").expect("prefixed"), format!("{now}.{BODY}").as_bytes())),
            "after `whsec_` as the key, not decoded",
        ),
        (
            "whsec_ not decoded",
            svix(format!("v1,{}", base64_mac(WHSEC.as_bytes(), format!("m.{now}.{BODY}").as_bytes()))),
            "whole text of the secret as the key",
        ),
        ("body alone", stripe(mac(WHSEC, BODY.as_bytes())), "for the body alone"),
        (
            "milliseconds",
            signed_otherwise(
                "/webhooks/grafana",
                BODY,
                "x-grafana-alerting-signature",
                mac(SECRET, format!("{ms}:{BODY}").as_bytes()),
            )
            .header("x-grafana-alerting-timestamp", &ms),
            "in milliseconds",
        ),
        ("clock", sent("discord", now - 4000, "", BODY), "clock"),
        ("form", github(b"payload=%7B%7D", hub(b"{}")), "form's `payload` field"),
        ("url", twilio("/webhooks/twilio", "http://hooks.example.com/webhooks/twilio", "t"), "set webhooks.public_url"),
        (
            "a base path",
            twilio("/webhook/twilio", "https://hooks.example.com/twilio", "t"),
            "right for the URL https://hooks.example.com/twilio and",
        ),
        (
            "no hash in the URL",
            Request::post("/webhooks/twilio", "{}")
                .header("x-twilio-signature", sha1_mac(SECRET, "https://hooks.example.com/webhooks/twilio")),
            "no 'bodySHA256' in it",
        ),
        (
            "no scheme word",
            Request::post("/webhooks/bearer", BODY).header("authorization", SECRET),
            "holds the right secret",
        ),
        (
            "password",
            Request::post("/webhooks/bearer", BODY)
                .header("authorization", format!("Basic {}", BASE64.encode(format!("me:{SECRET}")))),
            "Basic",
        ),
        (
            "case",
            Request::post("/webhooks/bearer", BODY)
                .header("authorization", format!("Bearer {}", SECRET.to_uppercase())),
            "upper and lower case only",
        ),
        ("ed25519", sent("discord", now, "", BODY).with_body(format!("{BODY}\n")), "without the white space"),
        (
            "whsec_ as the text",
            stripe(mac("${STRIPE_WEBHOOK_SECRET}", format!("{now}.{BODY}").as_bytes())),
            "name of a variable",
        ),
        ("no secret", github(BODY.as_bytes(), format!("sha256={}", mac("", BODY.as_bytes()))), "an empty secret"),
        (
            "a variable as a token",
            Request::post("/webhooks/bearer", BODY).header("authorization", "Bearer ${BEARER_WEBHOOK_SECRET}"),
            "name of a variable",
        ),
        ("no token", Request::post("/webhooks/bearer", BODY).header("authorization", "Bearer "), "holds no secret"),
        (
            "SHA-1 alone",
            signed_otherwise(
                "/webhooks/github",
                BODY,
                "x-hub-signature",
                format!("sha1={}", hex::encode(BASE64.decode(sha1_mac(SECRET, BODY)).expect("base64"))),
            ),
            "right in x-hub-signature, with SHA-1, which alone is not taken; X-Hub-Signature-256 did not come through",
        ),
        (
            "a wrong SHA-1 alone",
            signed_otherwise("/webhooks/github", BODY, "x-hub-signature", format!("sha1={}", "0".repeat(40))),
            "x-hub-signature is there, and it is not right",
        ),
        (
            "a header of its own",
            signed_otherwise("/webhooks/custom", BODY, "x-acme-signature", hub(BODY.as_bytes())),
            "right in x-acme-signature, as HMAC with SHA-256 of the body",
        ),
        (
            "a token of its own",
            Request::post("/webhooks/custom", BODY).header("x-acme-token", SECRET),
            "x-acme-token holds the right secret itself",
        ),
        ("nothing", Request::post("/webhooks/custom", BODY), "nothing in the request looks like a signature"),
        (
            "no id",
            signed_otherwise("/webhooks/standard-webhooks", BODY, "webhook-signature", standard("m", now, BODY))
                .header("webhook-timestamp", now.to_string()),
            "nothing could be compared, so nothing is known of the secret",
        ),
        (
            "a foreign secret",
            signed_otherwise("/webhooks/foreign", BODY, "webhook-signature", format!("v1,{}", base64_mac(b"?", b"?")))
                .header("webhook-id", "m")
                .header("webhook-timestamp", now.to_string()),
            "the secret that is set here is none of this sender's",
        ),
        (
            "another address",
            twilio("/webhooks/twilio", "https://elsewhere.example.com/webhooks/twilio", "t"),
            "Twilio signs the address",
        ),
        ("compressed", github(BODY.as_bytes(), hub(b"?")).header("content-encoding", "gzip"), "compressed (gzip)"),
        ("empty", github(b"", hub(BODY.as_bytes())), "the body is empty"),
    ];
    for (label, request, expected) in cases {
        server.clock.advance(Duration::from_millis(300));
        let reply = server.send(&request).await;
        assert_eq!(reply.status, 401, "{label}");
        let (findings, row) = (server.findings(), server.ledger.refused().pop().expect("a refusal"));
        assert_eq!(row.status, EventStatus::Rejected);
        assert!(findings.iter().any(|finding| finding.contains(expected)), "{label}: {findings:#?}");
        assert!(findings.len() <= FINDINGS_MAX && !findings.is_empty(), "{label}: {findings:#?}");
        assert!(findings.iter().all(|finding| !reply.text().contains(finding.as_str())), "{label}: the sender is told");
        for secret in [SECRET, WHSEC, "the-other-secret"] {
            assert!(!row.reason.contains(secret), "{label}: {}", row.reason);
        }
        let words = findings.join("\n");
        assert!(!words.contains("at Bearer") && !words.contains("Webhook probably"), "{label}: {words}");
        let proved = words.contains("signature is right") || words.contains("holds the right");
        let told = advice(&findings, "Acme");
        let keeps = told.iter().flatten().any(|line| line.starts_with("leave the secret"));
        let changes =
            told.is_none() || told.iter().flatten().any(|line| line.contains("secret") && !line.starts_with("leave"));
        assert!(!proved || told.is_some(), "{label}: what was proved has its advice: {words}");
        assert!(!(keeps && changes), "{label}: {told:?}");
        let mac_like = row.reason.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word.len() >= 32);
        assert!(!mac_like, "{label}: {}", row.reason);
    }
    server.stop().await;
}

#[tokio::test]
async fn an_address_behind_a_tls_proxy_is_found_out_by_the_hosts_that_the_request_names() {
    let server = start_with(Registry::builtin(), Vec::new(), |config| config.public_url = None);
    let signed = twilio("/webhooks/twilio", "https://hooks.example.com/webhooks/twilio", "t");
    for (name, value) in
        [("host", "hooks.example.com"), ("host", "hooks.example.com:8080"), ("x-forwarded-host", "hooks.example.com")]
    {
        server.clock.advance(Duration::from_millis(300));
        assert_eq!(server.says(&signed.clone().header(name, value)).await, (401, "invalid_signature".into()));
        let findings = server.findings();
        assert!(
            findings[0].contains("right for the URL https://hooks.example.com/webhooks/twilio and"),
            "{name}: {findings:?}"
        );
        assert_eq!(
            advice(&findings, "Twilio").expect("advice"),
            [
                "leave the secret as it is: it is the same here and at Twilio",
                "set webhooks.public_url, and restart the agent"
            ]
        );
    }
    server.clock.advance(Duration::from_millis(300));
    assert_eq!(server.says(&signed.header("host", "127.0.0.1:8080")).await.0, 401);
    let findings = server.findings();
    assert!(
        findings[0].contains("taken to be http://127.0.0.1:8080/webhooks/twilio: is that, letter by letter,"),
        "{findings:?}"
    );
    assert!(advice(&findings, "Twilio").expect("advice")[0].contains("set webhooks.public_url"));
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_forged_requests_is_not_looked_into() {
    let server = start();
    for _ in 0..20 {
        let forged = Request::post("/webhooks/custom", BODY).header("x-signature", mac("?", BODY.as_bytes()));
        assert_eq!(server.says(&forged).await.0, 401);
    }
    let looked_into = server.ledger.refused().iter().filter(|row| row.reason.contains('\n')).count();
    assert_eq!((server.ledger.refused().len(), looked_into), (20, 4));
    server.stop().await;
}

#[test]
fn explain_says_what_was_found_and_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let config = format!(
        "webhooks:\n  port: 0\n  handlers:\n    github: {{ secret: {SECRET} }}\n    custom: {{ secret: other-{SECRET} }}\n    \
         twilio: {{ secret: {SECRET} }}\n    discord: {{ secret: {} }}\n    walled: {{ secret: x, allowed_ips: [192.0.2.0/24] }}\n    off: {{ enabled: false }}\n    open: {{ provider: custom }}\n\
         dashboard: {{ port: 0 }}\n",
        secret_of("discord")
    );
    std::fs::write(dir.join("config.yaml"), config).expect("written");
    let process = Process::start(dir);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let send = |request: Request| runtime.block_on(request.send(process.webhooks));
    let signed = |path: &str, body: &str| {
        Request::post(path, body).header("x-hub-signature-256", format!("sha256={}", mac(SECRET, body.as_bytes())))
    };
    let event = |request: Request| request.header("x-github-event", "push");
    let cases = [
        (event(signed("/webhooks/custom", "{}")), "secret of handler 'github'"),
        (event(Request::post("/webhooks/github", "{}")), "enter the secret at GitHub too"),
        (event(signed("/webhooks/github", "{}")).with_body("{ }"), "leave the secret as it is"),
        (
            twilio("/webhooks/twilio", "https://hooks.example.com/webhooks/twilio", "t")
                .header("host", "hooks.example.com"),
            "set webhooks.public_url",
        ),
        (event(signed("/webhooks/gihtub", "{}")), "the nearest path that is served is /webhooks/github"),
        (event(signed("/webhooks/nope", "{}")), "no path is like it"),
        (event(signed("/webhooks/github", &"[".repeat(200))), "let the sender send less at once"),
        (event(signed("/webhooks/github", "{\"a\": x}")), "forgets to quote a value"),
        (Request::new("GET", "/webhooks/github"), "set the sender's method to POST"),
        (
            Request::post("/webhooks/open", "{}").header("origin", "https://page.example"),
            "header origin, so a page in a browser",
        ),
        (Request::post("/webhooks/walled", "{}"), "is not in webhooks.handlers.walled.allowed_ips"),
        (Request::post("/webhooks/off", "{}"), "enabled: true"),
        (
            event(signed("/webhooks/github", "<a/>").header("content-type", "application/xml")),
            "set the sender's format to JSON",
        ),
        (
            event(signed("/webhooks/github", "a=%zz").header("content-type", "application/x-www-form-urlencoded")),
            "application/json",
        ),
        (signed("/webhooks/github", "{}"), "is the handler's `provider` right?"),
        (event(signed("/webhooks/github", "{}")), "It was not refused"),
    ];
    let asked: Vec<(String, &str)> = cases
        .into_iter()
        .map(|(request, expected)| {
            let reply = send(request);
            let id = match reply.status {
                200 => reply.json()["event_id"].as_str().expect("an id").to_owned(),
                _ => reply.json()["error"]["request_id"].as_str().expect("an id").to_owned(),
            };
            (id, expected)
        })
        .collect();
    let keyless = run(dir, &["webhook", "test", "discord"]);
    let said = String::from_utf8_lossy(&keyless.stderr).into_owned();
    assert!(keyless.status.code() == Some(1) && said.contains("private key that only it has"), "{keyless:?}");
    let sample = stdout(dir, &["webhook", "send", "twilio", "message.received"]);
    assert!(sample.contains("Response: 200 OK"), "{sample}");
    let keyless = run(dir, &["webhook", "send", "discord", "ENTITLEMENT_CREATE"]);
    assert!(String::from_utf8_lossy(&keyless.stderr).contains("--key-file"), "{keyless:?}");
    std::fs::write(dir.join("key"), hex::encode([7; 32])).expect("written");
    let signed = stdout(dir, &["webhook", "send", "discord", "ENTITLEMENT_CREATE", "--key-file", "key"]);
    assert!(signed.contains("Response: 204 No Content"), "{signed}");
    // A refusal is written beside its answer, and whoever asks at once has an answer all the same.
    let refused = send(event(Request::post("/webhooks/github", "{}"))).json();
    let told = stdout(dir, &["webhook", "explain", refused["error"]["request_id"].as_str().expect("an id")]);
    assert!(told.contains("It was refused with missing_signature"), "{told}");
    for limit in ["0", "501"] {
        assert_eq!(run(dir, &["events", "list", "--limit", limit]).status.code(), Some(2), "{limit}");
    }
    let typo = run(dir, &["events", "list", "--handler", "gihub"]);
    let said = String::from_utf8_lossy(&typo.stderr).into_owned();
    assert!(typo.status.code() == Some(1) && said.contains("did you mean 'github'?"), "{typo:?}");
    assert!(run(dir, &["events", "list", "--handler", "off"]).status.success(), "a handler without events");
    // A stop writes what is left.
    assert_eq!(process.interrupt(), Some(0));
    for (id, expected) in &asked {
        let told = stdout(dir, &["webhook", "explain", id]);
        assert!(told.contains(expected), "{expected}: {told}");
        assert!(!(told.contains("leave the secret") && told.contains("set the same secret")), "{told}");
        assert!(!told.contains(SECRET) && !told.contains(&mac(SECRET, b"{}")), "{told}");
    }
    let id = asked[0].0.replace("req_", "evt_");
    let json: Value = serde_json::from_str(&stdout(dir, &["webhook", "explain", &id, "--json"])).expect("JSON");
    assert_eq!(
        (json["id"].as_str(), json["handler"].as_str(), json["verdict"].as_str()),
        (Some(id.as_str()), Some("custom"), Some("invalid"))
    );
    assert!(
        stdout(dir, &["events", "show", &id])
            .contains("likely     the signature is right under the secret of handler 'github'")
    );
    let list = stdout(dir, &["events", "list", "--status", "rejected"]);
    assert!(!list.contains("secret of handler"), "a list has one line a request: {list}");
    let unknown = run(dir, &["webhook", "explain", "evt_01KAX0000000000000000000AB"]);
    assert_eq!(unknown.status.code(), Some(1));
    let unknown = run(dir, &["webhook", "explain", "req_01KAX0000000000000000000AB"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("nothing is kept under req_01KAX0000000000000000000AB"), "{said}");
}
