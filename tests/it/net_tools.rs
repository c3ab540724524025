//! What the tools that reach the network promise: where they do not go, and what they say became of a request.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hookhand::config::Secret;
use hookhand::domain::ids::RunId;
use hookhand::domain::notice::ChatKey;
use hookhand::domain::reach::{AllowList, Allowed};
use hookhand::ledger::LedgerError;
use hookhand::outbound::{ANSWER_BYTES_MAX, GuardedClient, GuardedOptions, Resolver, SystemResolver};
use hookhand::ports::{Ids, RandomIds};
use hookhand::provider::{Registry, SignedRequest, Verification};
use hookhand::telemetry::Redactor;
use hookhand::tool::files::Files;
use hookhand::tool::hook::{ATTEMPTS_MAX, Hook, RETRY_AFTER_MAX};
use hookhand::tool::http_request::HttpRequest;
use hookhand::tool::process::Sandbox;
use hookhand::tool::{Call, Chats, Effect, Memory, MemoryFact, Secrets, Tool, ToolContext, ToolFailure, ToolOutput};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::harness::clock::{FakeClock, patiently};
use crate::harness::memory_ledger::MemoryLedger;
use crate::harness::receiver::{Receiver, Script, answer, json as says, redirect};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HOUR: Duration = Duration::from_secs(3600);

/// A resolver that knows what it is told: each name has a list of answers, and the last one stays.
#[derive(Debug, Default)]
struct Names {
    known: Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    fn is(self, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        self.known.lock().expect("not poisoned").entry(name.to_owned()).or_default().push_back(addresses);
        self
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        self.asked.lock().expect("not poisoned").push(host.to_owned());
        if host == "slow.example" {
            std::future::pending::<()>().await;
        }
        let mut known = self.known.lock().expect("not poisoned");
        let answers = known.get_mut(host).ok_or_else(|| std::io::Error::other("no such name"))?;
        let first = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Ok(first.expect("an answer"))
    }
}

/// Identifiers whose randomness is the same every time.
#[derive(Debug)]
struct Dice(RandomIds, &'static str);

impl Ids for Dice {
    fn ulid(&self, at: Timestamp) -> Ulid {
        self.0.ulid(at)
    }

    fn token(&self) -> String {
        self.1.repeat(5)
    }
}

#[derive(Debug)]
struct NoMemory;

#[async_trait]
impl Memory for NoMemory {
    async fn remember(&self, _: &str, _: &str, _: &str, _: bool, _: Timestamp) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn recall(&self, _: &str, _: Option<&str>, _: usize) -> Result<Vec<MemoryFact>, LedgerError> {
        Ok(Vec::new())
    }
}

/// One set-up: what may be reached, what names mean, and a clock.
struct Net {
    clock: Arc<FakeClock>,
    names: Arc<Names>,
    client: GuardedClient,
    context: ToolContext,
}

/// `127.0.0.1` may be reached.
fn net(names: Names) -> Net {
    Net::new(&["127.0.0.1/32"], names, "")
}

impl Net {
    fn new(allow: &[&str], names: Names, authority: &str) -> Self {
        let (clock, names) = (FakeClock::new(), Arc::new(names));
        let allow: Vec<Allowed> = allow.iter().map(|entry| entry.parse().expect("an entry")).collect();
        let options = GuardedOptions {
            allow: AllowList::new(allow),
            resolver: names.clone(),
            authorities: authority.as_bytes().to_vec(),
        };
        let client = GuardedClient::new(options).expect("a client");
        let secret = |text: &str| Secret::new(text).expect("not empty");
        let secrets = [("partner", secret(SECRET)), ("plain", secret("hunter2")), ("broken", secret("whsec_!"))];
        let context = ToolContext {
            cancel: CancellationToken::new(),
            event: None,
            chat: None,
            clock: clock.clone(),
            ids: Arc::new(Dice(RandomIds::default(), "ffffffff")),
            ledger: Arc::new(MemoryLedger::default()),
            memory: Arc::new(NoMemory),
            files: Arc::new(Files::new(Path::new("/nowhere"), Vec::new(), Vec::new())),
            sandbox: Arc::new(Sandbox::new("/nowhere".into(), Vec::new())),
            chats: Arc::new(Chats { named: BTreeMap::new(), default: ChatKey::terminal() }),
            secrets: Arc::new(Secrets::new(
                secrets.into_iter().map(|(name, secret)| (name.to_owned(), secret)).collect(),
            )),
            redactor: Arc::new(Redactor::new([SECRET.to_owned(), "hunter2-token".to_owned()])),
        };
        Self { clock, names, client, context }
    }

    async fn request(&self, args: Value) -> Result<ToolOutput, ToolFailure> {
        patiently(HttpRequest::new(self.client.clone()).run(&call(args), &self.context)).await
    }

    /// Runs `hook`, moving the clock over its pauses and never over its wait for an answer.
    async fn hook(&self, args: Value) -> (Result<ToolOutput, ToolFailure>, Vec<u128>) {
        self.hook_call(&call(args)).await
    }

    async fn hook_call(&self, call: &Call) -> (Result<ToolOutput, ToolFailure>, Vec<u128>) {
        let hook = Hook::new(self.client.clone());
        let run = hook.run(call, &self.context);
        tokio::pin!(run);
        let mut pauses = Vec::new();
        let driven = async {
            loop {
                tokio::select! {
                    biased;
                    done = &mut run => return done,
                    pause = self.pause() => {
                        pauses.push(pause.as_millis());
                        self.clock.advance(pause);
                    }
                }
            }
        };
        let result = patiently(driven).await;
        (result, pauses)
    }

    /// Returns once somebody sleeps for less than a wait for an answer, with how long.
    async fn pause(&self) -> Duration {
        loop {
            if let Some(at) = self.clock.next_deadline() {
                let wait = Duration::try_from(at.duration_since(hookhand::ports::Clock::now(&*self.clock)));
                if let Some(wait) = wait.ok().filter(|wait| *wait < HOUR) {
                    return wait;
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A call that may take two hours, and waits an hour for each answer unless it says otherwise.
fn call(mut args: Value) -> Call {
    let fields = args.as_object_mut().expect("arguments");
    fields.entry("timeout").or_insert(json!("1h"));
    Call {
        args: fields.clone(),
        tainted: Vec::new(),
        tainted_first: Vec::new(),
        payload: json!({ "type": "order.paid", "data": { "id": 7, "name": "Zoë" } }),
        run: RunId::new(Ulid::from_parts(1, 1)),
        step: "tell".into(),
        attempt: 1,
        idempotency_key: "run_01/tell".into(),
        timeout: HOUR * 2,
        effect: Effect::Idempotent,
    }
}

fn never_began(result: Result<ToolOutput, ToolFailure>) -> String {
    match result {
        Err(ToolFailure::NeverBegan { message }) => message,
        other => panic!("it did begin: {other:?}"),
    }
}

fn unknown(result: Result<ToolOutput, ToolFailure>) -> String {
    match result {
        Err(ToolFailure::Unknown { message }) => message,
        other => panic!("it is known: {other:?}"),
    }
}

fn failed(result: Result<ToolOutput, ToolFailure>) -> (String, Value) {
    match result {
        Err(ToolFailure::Failed { message, output }) => {
            (message, output.map(|output| output.value).unwrap_or_default())
        }
        other => panic!("it did not fail: {other:?}"),
    }
}

#[tokio::test]
async fn nothing_but_public_addresses_is_reached_unless_it_is_listed() {
    let names = Names::default()
        .is("localhost", &["127.0.0.1", "::1"])
        .is("intranet.example", &["10.0.0.5"])
        .is("metadata.google.internal", &["169.254.169.254"])
        .is("half.example", &["93.184.215.14", "192.168.0.1"])
        .is("other-half.example", &["2606:4700::1111", "::ffff:10.0.0.1"])
        .is("nat64.example", &["64:ff9b::a9fe:a9fe"]);
    let net = Net::new(&[], names, "");
    for (url, kind) in [
        ("http://127.0.0.1/", "127.0.0.1 is loopback"),
        ("http://localhost:8080/", "is loopback"),
        ("http://0x7f.1/", "127.0.0.1 is loopback"),
        ("http://0177.0.0.1/", "127.0.0.1 is loopback"),
        ("http://2130706433/", "127.0.0.1 is loopback"),
        ("http://[::1]/", "::1 is loopback"),
        ("http://[::ffff:127.0.0.1]/", "is loopback"),
        ("http://[::127.0.0.1]/", "is translated"),
        ("http://[64:ff9b::7f00:1]/", "is translated"),
        ("http://[64:ff9b:1::7f00:1]/", "is translated"),
        ("http://[2002:7f00:1::]/", "is translated"),
        ("http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/", "is translated"),
        ("http://0.0.0.0/", "is unspecified"),
        ("http://[::]/", "is unspecified"),
        ("https://10.1.2.3/", "is private"),
        ("https://172.16.0.1/", "is private"),
        ("https://192.168.1.1/", "is private"),
        ("http://100.64.0.1/", "is shared"),
        ("http://169.254.1.1/", "is link-local"),
        ("http://169.254.169.254/latest/meta-data/", "is cloud metadata"),
        ("http://[fd00:ec2::254]/", "is cloud metadata"),
        ("http://[fe80::1]/", "is link-local"),
        ("http://[fc00::1]/", "is private"),
        ("http://[fec0::1]/", "is private"),
        ("http://[ff02::1]/", "is multicast"),
        ("http://224.0.0.1/", "is multicast"),
        ("http://255.255.255.255/", "is broadcast"),
        ("http://198.18.0.1/", "is benchmarking"),
        ("http://203.0.113.7/", "is documentation"),
        ("http://intranet.example/", "10.0.0.5 is private"),
        ("http://METADATA.google.internal/", "is cloud metadata"),
        ("https://half.example/", "192.168.0.1 is private"),
        ("https://other-half.example/", "is private"),
        ("https://nat64.example/", "is translated"),
    ] {
        let message = never_began(net.request(json!({ "url": url, "method": "POST" })).await);
        assert!(message.contains(kind) && message.contains("network.allow"), "{url}: {message}");
        let (result, pauses) = net.hook(json!({ "url": url })).await;
        assert!(never_began(result).contains(kind) && pauses.is_empty(), "{url}");
    }
}

#[tokio::test]
async fn what_is_no_place_to_send_to_is_refused_before_anything_is_sent() {
    let net = net(Names::default().is("empty.example", &[]));
    for (args, why) in [
        (json!({ "url": "ftp://a.example/hunter2" }), "scheme must be http or https"),
        (json!({ "url": "file:///etc/hunter2" }), "scheme must be http or https"),
        (json!({ "url": "a.example/hunter2" }), "no URL"),
        (json!({}), "'url' is missing"),
        (json!({ "url": "http://nowhere.example/hunter2" }), "nowhere.example is not resolved: no such name"),
        (json!({ "url": "http://empty.example/" }), "it has no address"),
        (json!({ "url": "http://127.0.0.1/", "json": 1, "body": "x" }), "one body"),
        (json!({ "url": "http://127.0.0.1/", "headers": { "Host": "b.example" } }), "'Host' is set by this tool"),
        (json!({ "url": "http://127.0.0.1/", "headers": { "X-A": "b\r\nX-C: d" } }), "line break"),
        (json!({ "url": "http://127.0.0.1/", "headers": { "X A": "b" } }), "no name"),
        (json!({ "url": "http://127.0.0.1/", "headers": { "X-A": "b".repeat(9000) } }), "longer than 8192"),
        (json!({ "url": "http://127.0.0.1/", "method": "GE T" }), "no HTTP method"),
        (json!({ "url": "http://127.0.0.1/", "timeout": "soon" }), "no duration"),
    ] {
        let message = never_began(net.request(args.clone()).await);
        assert!(message.contains(why) && !message.contains("hunter2"), "{args}: {message}");
    }
    let many: serde_json::Map<String, Value> = (0..65).map(|n| (format!("x-{n}"), json!("v"))).collect();
    assert!(
        never_began(net.request(json!({ "url": "http://127.0.0.1/", "headers": many })).await).contains("64 headers")
    );
}

#[tokio::test]
async fn payload_text_does_not_climb_out_of_a_path() {
    let mut receiver = Receiver::start([says(200, "1")]).await;
    let net = net(Names::default());
    let tool = HttpRequest::new(net.client.clone());
    let with = |path: &str, tainted: bool| {
        let mut call = call(json!({ "url": format!("http://{}{path}", receiver.address) }));
        call.tainted.extend(tainted.then(|| "/url".to_owned()));
        call
    };
    for path in ["/users/../admin", "/users/%2e%2E/admin", "/users/..%2fadmin", "/users\\..\\admin", "/users/.."] {
        assert!(never_began(tool.run(&with(path, true), &net.context).await).contains("'..'"), "{path}");
    }
    let fine = tool.run(&with("/users/a..b?x=../y", true), &net.context).await;
    assert_eq!(fine.expect("an answer").value["body"], 1);
    assert_eq!(receiver.next().await.path, "/users/a..b?x=../y");
}

#[tokio::test]
async fn a_request_goes_out_as_it_is_written_and_its_answer_comes_back() {
    let headers =
        [("content-type", "application/json"), ("set-cookie", "session=1"), ("x-internal", "1"), ("etag", "\"7\"")];
    let body = r#"{"id":7,"echo":"hunter2-token"}"#;
    let scripts = [answer(201, &headers, body), answer(200, &[], "plain"), answer(204, &[], ""), says(200, "null")];
    let mut receiver = Receiver::start(scripts).await;
    let net = net(Names::default().is("api.example", &["127.0.0.1"]));
    let port = receiver.address.port();
    let output = net.request(json!({
        "method": "post",
        "url": format!("http://user:p%40ss@api.example:{port}/v1/orders?a=b c#frag"),
        "headers": { "X-Name": "Zoë ", "Accept": "application/json" },
        "json": { "total": 5, "list": [null] },
    }));
    assert_eq!(
        output.await.expect("an answer").value,
        json!({
            "status": 201,
            "headers": { "content-type": "application/json", "etag": "\"7\"" },
            "body": { "id": 7, "echo": "***" },
        })
    );
    let sent = receiver.next().await;
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/v1/orders?a=b%20c"));
    assert_eq!(sent.body, br#"{"total":5,"list":[null]}"#);
    assert_eq!(sent.header("host"), Some(&*format!("api.example:{port}")));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(sent.header("accept"), Some("application/json"));
    assert_eq!(sent.header("authorization"), Some("Basic dXNlcjpwQHNz"));
    assert_eq!(sent.headers["x-name"].as_bytes(), "Zoë".as_bytes());
    assert!(sent.header("user-agent").is_some_and(|agent| agent.starts_with("hookhand/")), "{sent:?}");

    let url = format!("http://{}/", receiver.address);
    let output = net.request(json!({ "url": url, "method": "PUT", "body": "a=b" })).await.expect("an answer");
    assert_eq!(output.value["body"], "plain");
    let sent = receiver.next().await;
    assert_eq!(
        (sent.header("content-type"), sent.header("content-length")),
        (Some("text/plain; charset=utf-8"), Some("3"))
    );

    let output = net.request(json!({ "url": url, "method": "DELETE" })).await.expect("an answer");
    assert_eq!((&output.value["status"], &output.value["body"]), (&json!(204), &Value::Null));
    assert_eq!(receiver.next().await.header("content-length"), Some("0"));

    net.request(json!({ "url": url })).await.expect("an answer");
    let sent = receiver.next().await;
    assert_eq!((sent.method.as_str(), sent.header("content-length"), sent.header("content-type")), ("GET", None, None));
    assert_eq!(net.names.asked(), ["api.example"]);
}

#[tokio::test]
async fn an_answer_of_400_and_above_is_a_failure_that_keeps_the_answer() {
    let receiver =
        Receiver::start([says(404, r#"{"error":"no such order"}"#), says(503, "{}"), redirect(304, "/x")]).await;
    let net = net(Names::default());
    let url = format!("http://{}/orders/hunter2", receiver.address);
    let (message, output) = failed(net.request(json!({ "url": url })).await);
    assert_eq!(message, format!("http://{} answered 404 Not Found", receiver.address));
    assert_eq!((&output["status"], &output["body"]["error"]), (&json!(404), &json!("no such order")));
    let (message, _) = failed(net.request(json!({ "url": url })).await);
    assert!(message.ends_with("answered 503 Service Unavailable"), "{message}");
    assert_eq!(net.request(json!({ "url": url })).await.expect("an answer").value["status"], 304);
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_never_called_failed() {
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    let chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec();
    let scripts = [
        (Vec::new(), "no answer came"),
        (b"HTTP/1.1 200 O".to_vec(), "no answer came"),
        (b"SSH-2.0-OpenSSH_9\r\n".to_vec(), "no answer came"),
        (short, "answered 200 and the answer broke off"),
        (chunk, "answered 200 and the answer broke off"),
    ];
    let net = net(Names::default());
    for (bytes, why) in scripts {
        let receiver = Receiver::start([Script::Answer(bytes)]).await;
        let url = format!("http://{}/hunter2", receiver.address);
        let message = unknown(net.request(json!({ "url": url, "method": "POST", "json": {} })).await);
        assert!(message.contains(why) && !message.contains("hunter2"), "{message}");
    }
}

#[tokio::test]
async fn a_refused_connection_never_began() {
    let gone = Receiver::start([]).await.address;
    let net = net(Names::default());
    // The listener is closed as soon as its scripts are over.
    while tokio::net::TcpStream::connect(gone).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let message = never_began(net.request(json!({ "url": format!("http://{gone}/"), "method": "POST" })).await);
    assert!(message.contains("cannot be reached") && message.contains("refused"), "{message}");
}

#[tokio::test]
async fn time_and_cancellation_end_a_request_with_the_truth() {
    let mut receiver = Receiver::start([Script::Silence, Script::Silence]).await;
    let net = net(Names::default());
    let tool = HttpRequest::new(net.client.clone());
    let call = call(json!({ "url": format!("http://{}/", receiver.address), "method": "POST", "timeout": "5s" }));
    let (result, ()) = tokio::join!(tool.run(&call, &net.context), async {
        receiver.next().await;
        net.clock.advance(Duration::from_secs(5));
    });
    assert_eq!(unknown(result), "no answer within 5s, and the request may have arrived");

    let (result, ()) = tokio::join!(tool.run(&call, &net.context), async {
        receiver.next().await;
        net.context.cancel.cancel();
    });
    assert_eq!(result, Err(ToolFailure::Cancelled));

    let slow = self::net(Names::default());
    let call = self::call(json!({ "url": "http://slow.example/", "method": "POST", "timeout": 3 }));
    let tool = HttpRequest::new(slow.client.clone());
    let (result, ()) = tokio::join!(tool.run(&call, &slow.context), async {
        slow.clock.until_sleeping(1).await;
        slow.clock.advance(Duration::from_secs(3));
    });
    assert_eq!(never_began(result), "no answer within 3s, the request has not left");
}

#[tokio::test]
async fn of_an_endless_answer_only_the_beginning_is_kept() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    // Three bytes a letter: the cut falls within one.
    let receiver = Receiver::start([Script::Endless(head, "€".repeat(1000).into_bytes())]).await;
    let net = net(Names::default());
    let output = net.request(json!({ "url": format!("http://{}/", receiver.address) })).await.expect("an answer");
    let body = output.value["body"].as_str().expect("text");
    assert!(output.truncated && body.chars().all(|c| c == '€'));
    assert_eq!(body.len(), ANSWER_BYTES_MAX - ANSWER_BYTES_MAX % 3);

    let head = b"HTTP/1.1 200 OK\r\n".to_vec();
    let receiver = Receiver::start([Script::Endless(head, b"x-more: and more\r\n".to_vec())]).await;
    let message = unknown(net.request(json!({ "url": format!("http://{}/", receiver.address) })).await);
    assert!(message.contains("no answer came"), "{message}");
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_first_request() {
    let net = net(Names::default().is("intranet.example", &["10.0.0.5"]));
    for (location, why) in [
        ("http://169.254.169.254/latest/meta-data/hunter2", "169.254.169.254 is cloud metadata"),
        ("http://127.0.0.2:1/", "127.0.0.2 is loopback"),
        ("http://[::1]/", "::1 is loopback"),
        ("//intranet.example/", "10.0.0.5 is private"),
        ("http://2852039166/", "169.254.169.254 is cloud metadata"),
        ("gopher://127.0.0.1/", "scheme must be http or https"),
    ] {
        let receiver = Receiver::start([redirect(302, location), redirect(307, location)]).await;
        let url = format!("http://{}/", receiver.address);
        let (message, _) = failed(net.request(json!({ "url": url, "method": "POST" })).await);
        assert!(message.contains(why) && !message.contains("hunter2"), "{location}: {message}");
        let (result, pauses) = net.hook(json!({ "url": url })).await;
        assert!(failed(result).0.contains(why) && pauses.is_empty(), "{location}");
    }
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_more() {
    let net = net(Names::default());
    let hops = |count: usize| (0..count).map(|n| redirect(302, &format!("/{n}"))).chain([says(200, "1")]);
    let mut receiver = Receiver::start(hops(5)).await;
    let output = net.request(json!({ "url": format!("http://{}/", receiver.address) })).await.expect("an answer");
    assert_eq!(output.value["body"], 1);
    assert_eq!(receiver.rest().last().map(|request| request.path.clone()).as_deref(), Some("/4"));
    let receiver = Receiver::start(hops(6)).await;
    let (message, _) = failed(net.request(json!({ "url": format!("http://{}/", receiver.address) })).await);
    assert!(message.starts_with("more than 5 redirects"), "{message}");
}

#[tokio::test]
async fn credentials_stay_with_the_host_that_they_were_written_for() {
    let mut other = Receiver::start([says(200, "1")]).await;
    let elsewhere = format!("http://evil:pw@other.example:{}/in", other.address.port());
    let mut first = Receiver::start([redirect(307, "/again"), redirect(307, &elsewhere)]).await;
    let net = net(Names::default().is("first.example", &["127.0.0.1"]).is("other.example", &["127.0.0.1"]));
    let args = json!({
        "url": format!("http://me:pw@first.example:{}/", first.address.port()),
        "method": "POST",
        "headers": { "Cookie": "a=b", "X-Api-Key": "k", "Accept-Language": "de" },
        "body": "text",
    });
    net.request(args).await.expect("an answer");
    for request in [first.next().await, first.next().await] {
        assert_eq!(request.header("authorization"), Some("Basic bWU6cHc="));
        assert_eq!((request.header("cookie"), request.header("x-api-key")), (Some("a=b"), Some("k")));
    }
    let request = other.next().await;
    assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", b"text".as_slice()));
    assert_eq!(request.header("accept-language"), Some("de"));
    for name in ["authorization", "cookie", "x-api-key", "referer"] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let mut receiver = Receiver::start([redirect(302, "/second"), says(200, "1")]).await;
    let names = Names::default().is("rebind.example", &["127.0.0.1"]).is("rebind.example", &["169.254.169.254"]);
    let net = net(names);
    let url = format!("http://rebind.example:{}/first", receiver.address.port());
    let (message, _) = failed(net.request(json!({ "url": url })).await);
    assert!(message.contains("cloud metadata"), "{message}");
    // One look-up a hop: the first connection went to the address that was checked, the second was never made.
    assert_eq!(net.names.asked(), ["rebind.example", "rebind.example"]);
    assert_eq!(receiver.rest().iter().map(|request| request.path.as_str()).collect::<Vec<_>>(), ["/first"]);
}

#[tokio::test]
async fn a_listed_name_is_reached_by_exactly_this_name() {
    let receiver = Receiver::start([says(200, "1")]).await;
    let port = receiver.address.port();
    let names = || {
        Names::default()
            .is("internal.example.com", &["127.0.0.1"])
            .is("internal.example.com.", &["127.0.0.1"])
            .is("x.internal.example.com", &["127.0.0.1"])
            .is("sly.example.com", &["169.254.169.254"])
    };
    let net = Net::new(&["internal.example.com", "sly.example.com"], names(), "");
    net.request(json!({ "url": format!("http://Internal.example.com.:{port}/") })).await.expect("an answer");
    for url in ["http://x.internal.example.com/", "http://127.0.0.1/", "http://sly.example.com/"] {
        assert!(never_began(net.request(json!({ "url": url })).await).contains("network.allow"), "{url}");
    }
}

#[tokio::test]
async fn certificates_are_verified_and_tls_is_not_given_up() {
    let names = || Names::default().is("secure.example", &["127.0.0.1"]).is("wrong.example", &["127.0.0.1"]);
    let mut receiver = Receiver::tls(
        "secure.example",
        [says(200, "0"), says(200, "0"), says(200, "1"), redirect(302, "http://secure.example/")],
    )
    .await;
    let port = receiver.address.port();
    let allow = ["127.0.0.1"];
    let to = |host: &str| json!({ "url": format!("https://{host}:{port}/"), "method": "POST" });
    let distrusting = net(names());
    let message = never_began(distrusting.request(to("secure.example")).await);
    assert!(message.contains("TLS") && message.contains("certificate"), "{message}");
    let net = Net::new(&allow, names(), &receiver.certificate);
    assert!(never_began(net.request(to("wrong.example")).await).contains("TLS"));
    assert!(receiver.rest().is_empty(), "no byte of a request was sent");
    assert_eq!(net.request(to("secure.example")).await.expect("an answer").value["body"], 1);
    let (message, _) = failed(net.request(to("secure.example")).await);
    assert!(message.contains("from https to http://secure.example, without TLS"), "{message}");
}

#[tokio::test]
async fn the_machines_own_resolver_is_checked_too() {
    let mut net = Net::new(&[], Names::default(), "");
    let options =
        GuardedOptions { allow: AllowList::default(), resolver: Arc::new(SystemResolver), authorities: Vec::new() };
    net.client = GuardedClient::new(options).expect("a client");
    assert!(never_began(net.request(json!({ "url": "http://localhost/" })).await).contains("is loopback"));
}

fn verdict(secret: &str, request: &crate::harness::receiver::Received, now: Timestamp) -> Verification {
    let registry = Registry::builtin();
    let provider = registry.get("standard-webhooks").expect("built in");
    let signed = SignedRequest { method: "POST", url: "http://x/", headers: &request.headers, body: &request.body };
    provider.verify(&[Secret::new(secret).expect("not empty")], &signed, now)
}

#[tokio::test]
async fn a_hook_is_signed_so_that_our_own_intake_takes_it() {
    let mut receiver = Receiver::start([says(200, r#"{"status":"accepted"}"#), says(200, "1"), says(200, "1")]).await;
    let net = net(Names::default());
    let url = format!("http://{}/in", receiver.address);
    let (result, _) = net.hook(json!({ "url": url, "secret": "partner", "headers": { "X-Team": "a" } })).await;
    assert_eq!(result.expect("taken").value, json!({ "status": "accepted" }));
    let sent = receiver.next().await;
    assert_eq!((sent.method.as_str(), sent.header("x-team")), ("POST", Some("a")));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(serde_json::from_slice::<Value>(&sent.body).expect("JSON"), call(json!({})).payload);
    assert_eq!(sent.header("idempotency-key"), Some("run_01/tell"));
    let now = hookhand::ports::Clock::now(&*net.clock);
    assert!(matches!(verdict(SECRET, &sent, now), Verification::Valid { .. }));
    assert!(matches!(verdict("b3RoZXI=", &sent, now), Verification::Invalid { .. }));
    let mut changed = sent.clone();
    changed.body.push(b' ');
    assert!(matches!(verdict(SECRET, &changed, now), Verification::Invalid { .. }));

    // A secret that is no base64 is its own bytes; that is what its base64 stands for.
    let (result, _) = net.hook(json!({ "url": url, "secret": "plain", "json": [1], "method": "PUT" })).await;
    result.expect("taken");
    let sent = receiver.next().await;
    assert_eq!((sent.method.as_str(), sent.body.as_slice()), ("PUT", b"[1]".as_slice()));
    assert!(matches!(verdict("whsec_aHVudGVyMg==", &sent, now), Verification::Valid { .. }));

    let (result, _) = net.hook(json!({ "url": url, "body": "text", "headers": { "Idempotency-Key": "mine" } })).await;
    result.expect("taken");
    let sent = receiver.next().await;
    assert_eq!((sent.header("idempotency-key"), sent.header("webhook-signature")), (Some("mine"), None));
    assert!(sent.header("webhook-id").is_some_and(|id| id.starts_with("msg_")));
}

#[tokio::test]
async fn a_hook_without_a_usable_secret_is_not_sent_unsigned() {
    let net = net(Names::default());
    for (secret, why) in [("hunter2", "names no secret"), ("broken", "not base64")] {
        let (result, _) = net.hook(json!({ "url": "http://127.0.0.1/", "secret": secret })).await;
        let message = never_began(result);
        assert!(message.contains(why) && !message.contains("hunter2"), "{message}");
    }
    let forged = json!({ "url": "http://127.0.0.1/", "headers": { "Webhook-Id": "x" } });
    assert!(never_began(net.hook(forged).await.0).contains("set by this tool"));
}

#[tokio::test]
async fn a_hook_is_repeated_under_one_id_with_growing_pauses() {
    let scripts =
        [says(503, "{}"), says(500, ""), says(425, ""), Script::Answer(Vec::new()), says(408, ""), says(202, "\"ok\"")];
    let mut receiver = Receiver::start(scripts).await;
    let net = net(Names::default());
    let args = json!({ "url": format!("http://{}/", receiver.address), "secret": "partner" });
    let (result, pauses) = net.hook(args.clone()).await;
    assert_eq!(result.expect("taken at last").value, "ok");
    // The dice throw the highest number: the bounds themselves.
    assert_eq!(pauses, [2000, 6000, 18_000, 54_000, 60_000]);
    let sent = receiver.rest();
    assert_eq!(sent.len(), ATTEMPTS_MAX as usize);
    let mut at: Timestamp = crate::harness::clock::START.parse().expect("a time");
    for (attempt, request) in sent.iter().enumerate() {
        assert_eq!(request.header("webhook-id"), sent[0].header("webhook-id"));
        assert_eq!(request.header("idempotency-key"), Some("run_01/tell"));
        assert_eq!(request.body, sent[0].body);
        assert_eq!(request.header("webhook-timestamp"), Some(&*at.as_second().to_string()), "its own time");
        assert!(matches!(verdict(SECRET, request, at), Verification::Valid { .. }), "attempt {attempt}");
        at += Duration::from_millis(pauses.get(attempt).copied().unwrap_or_default() as u64);
    }

    // A restart carries the step out again: the same id. Another step has another one.
    let mut again = Receiver::start([says(200, "1"), says(200, "1")]).await;
    let mut other = call(json!({ "url": format!("http://{}/", again.address) }));
    net.hook_call(&other).await.0.expect("taken");
    other.idempotency_key = "run_01/another é".into();
    net.hook_call(&other).await.0.expect("taken");
    let (first, second) = (again.next().await, again.next().await);
    assert_eq!(first.header("webhook-id"), sent[0].header("webhook-id"));
    assert_ne!(second.header("webhook-id"), first.header("webhook-id"));
}

#[tokio::test]
async fn a_hook_whose_step_says_once_is_sent_once() {
    for (script, uncertain) in [(Script::Answer(Vec::new()), true), (says(503, ""), false)] {
        let mut receiver = Receiver::start([script, says(200, "")]).await;
        let net = net(Names::default());
        let mut once = call(json!({ "url": format!("http://{}/", receiver.address) }));
        once.effect = Effect::Once;
        let (result, pauses) = net.hook_call(&once).await;
        assert_eq!(matches!(result, Err(ToolFailure::Unknown { .. })), uncertain, "{result:?}");
        assert!(result.is_err() && pauses.is_empty());
        assert_eq!(receiver.rest().len(), 1);
    }
}

#[tokio::test]
async fn pauses_are_drawn_from_the_dice() {
    for (dice, expected) in [("00000000", vec![]), ("80000000", vec![1000, 3000])] {
        let receiver = Receiver::start([says(503, ""), says(503, ""), says(200, "1")]).await;
        let mut net = net(Names::default());
        net.context.ids = Arc::new(Dice(RandomIds::default(), dice));
        let (result, pauses) = net.hook(json!({ "url": format!("http://{}/", receiver.address) })).await;
        result.expect("taken");
        assert_eq!(pauses, expected, "{dice}");
    }
}

#[tokio::test]
async fn a_receiver_that_asks_to_wait_is_given_its_time_within_bounds() {
    let cap = RETRY_AFTER_MAX.as_millis();
    for (asks, expected) in [
        ("30", 30_000),
        ("Fri, 02 Jan 2026 03:04:50 GMT", 45_000),
        ("86400", cap),
        ("Fri, 01 Jan 2027 00:00:00 GMT", cap),
        ("1", 2000),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 2000),
        ("nonsense", 2000),
    ] {
        let receiver = Receiver::start([answer(429, &[("retry-after", asks)], ""), says(200, "1")]).await;
        let net = net(Names::default());
        let (result, pauses) = net.hook(json!({ "url": format!("http://{}/", receiver.address) })).await;
        result.expect("taken");
        assert_eq!(pauses, [expected], "{asks}");
    }
}

#[tokio::test]
async fn a_pause_that_does_not_fit_into_the_step_is_not_begun() {
    let receiver = Receiver::start([answer(429, &[("retry-after", "60")], "busy")]).await;
    let net = net(Names::default());
    let mut call = call(json!({ "url": format!("http://{}/", receiver.address) }));
    call.timeout = Duration::from_secs(45);
    let result = patiently(Hook::new(net.client.clone()).run(&call, &net.context)).await;
    let (message, output) = failed(result);
    assert!(message.ends_with("answered 429 Too Many Requests"), "{message}");
    assert_eq!(output, "busy");
}

#[tokio::test]
async fn what_the_receiver_will_never_take_is_given_up_at_once() {
    for (script, why) in [
        (says(400, r#"{"error":"what?"}"#), "answered 400 Bad Request"),
        (says(401, ""), "answered 401 Unauthorized"),
        (says(404, ""), "answered 404 Not Found"),
        (says(410, ""), "wants no more webhooks"),
        (redirect(302, "/login"), "follows only 307 and 308"),
    ] {
        let mut receiver = Receiver::start([script]).await;
        let net = net(Names::default());
        let (result, pauses) = net.hook(json!({ "url": format!("http://{}/", receiver.address) })).await;
        let (message, _) = failed(result);
        assert!(message.contains(why) && pauses.is_empty(), "{message}");
        assert_eq!(receiver.rest().len(), 1);
    }
    let mut receiver = Receiver::start([redirect(308, "/new"), says(200, "1")]).await;
    let net = net(Names::default());
    net.hook(json!({ "url": format!("http://{}/", receiver.address) })).await.0.expect("taken");
    let (old, new) = (receiver.next().await, receiver.next().await);
    assert_eq!((new.path.as_str(), &new.body, new.header("webhook-id")), ("/new", &old.body, old.header("webhook-id")));
}

#[tokio::test]
async fn a_hook_that_is_given_up_says_whether_it_may_have_arrived() {
    let net = net(Names::default());
    // Nobody knows the name: it never began.
    let (result, pauses) = net.hook(json!({ "url": "http://nowhere.example/" })).await;
    assert!(never_began(result).ends_with("(given up after 6 attempts)"));
    assert_eq!(pauses.len(), ATTEMPTS_MAX as usize - 1);
    // Cut once, then "not now" until the end: it may have been taken the first time.
    let scripts = [Script::Answer(Vec::new())].into_iter().chain((1..ATTEMPTS_MAX).map(|_| says(503, "")));
    let receiver = Receiver::start(scripts).await;
    let (result, _) = net.hook(json!({ "url": format!("http://{}/", receiver.address) })).await;
    assert!(unknown(result).contains("an earlier attempt may have arrived"));
    // Cut once, then a clear no.
    let receiver = Receiver::start([Script::Answer(Vec::new()), says(422, "")]).await;
    let (result, _) = net.hook(json!({ "url": format!("http://{}/", receiver.address) })).await;
    assert!(failed(result).0.contains("422"));
    // "Not now" until the end.
    let receiver = Receiver::start((0..ATTEMPTS_MAX).map(|_| says(503, "later"))).await;
    let (result, _) = net.hook(json!({ "url": format!("http://{}/", receiver.address) })).await;
    let (message, output) = failed(result);
    assert!(message.ends_with("answered 503 Service Unavailable (given up after 6 attempts)"), "{message}");
    assert_eq!(output, "later");
}

#[tokio::test]
async fn a_hook_that_waits_is_stopped_at_once() {
    let mut receiver = Receiver::start([says(503, "")]).await;
    let net = net(Names::default());
    let call = call(json!({ "url": format!("http://{}/", receiver.address) }));
    let hook = Hook::new(net.client.clone());
    let (result, ()) = tokio::join!(hook.run(&call, &net.context), async {
        receiver.next().await;
        patiently(net.pause()).await;
        net.context.cancel.cancel();
    });
    assert_eq!(result, Err(ToolFailure::Cancelled));
}
