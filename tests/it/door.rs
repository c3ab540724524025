//! The dashboard's door, walked: every route of the API and every page, by callers that may not, from places that may not.

use std::time::Duration;

use serde_json::Value;

use crate::harness::app::{TestApp, delivery, pull_request};
use crate::harness::http::{Conn, Reply, Request};

/// Every page, and every address that a form is sent to, with made-up names.
const PAGES: [(&str, &str); 29] = [
    ("GET", "/"),
    ("GET", "/events"),
    ("GET", "/events?search=x"),
    ("GET", "/events/evt_01K00000000000000000000000"),
    ("GET", "/events/evt_01K00000000000000000000000/payload"),
    ("GET", "/events/evt_01K00000000000000000000000/paths"),
    ("GET", "/events/evt_01K00000000000000000000000/replay"),
    ("GET", "/runs"),
    ("GET", "/runs/run_01K00000000000000000000000"),
    ("GET", "/approvals"),
    ("GET", "/approvals/apr_01K00000000000000000000000"),
    ("GET", "/workflows"),
    ("GET", "/workflows?file=x.yaml"),
    ("GET", "/workflows/x"),
    ("GET", "/handlers"),
    ("GET", "/handlers/github"),
    ("GET", "/memory"),
    ("GET", "/audit?verify=1"),
    ("GET", "/settings?all=1"),
    ("POST", "/events/evt_01K00000000000000000000000/replay"),
    ("POST", "/runs/run_01K00000000000000000000000/cancel"),
    ("POST", "/runs/run_01K00000000000000000000000/retry"),
    ("POST", "/runs/run_01K00000000000000000000000/settle"),
    ("POST", "/approvals/apr_01K00000000000000000000000"),
    ("POST", "/workflows/x/run"),
    ("POST", "/workflows/x/enabled"),
    ("POST", "/handlers/github/test"),
    ("POST", "/memory/1/forget"),
    ("POST", "/logout"),
];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Every route: those of the OpenAPI document, which is made of the table that requests are judged by, and the pages.
async fn routes(app: &TestApp) -> Vec<(String, String)> {
    let document = app.api("GET", "/api/openapi.json").await.json();
    let id = "01K00000000000000000000000";
    let mut routes: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let kind =
            ["evt", "run", "apr"][usize::from(path.contains("/runs/")) + 2 * usize::from(path.contains("/approvals/"))];
        let filled = match path.contains("/memory/") {
            true => path.replace("{id}", "1"),
            false => path.replace("{id}", &format!("{kind}_{id}")),
        };
        let filled = filled.replace("{name}", "x").replace("{turn}", &format!("turn_{id}"));
        for method in methods.as_object().expect("methods").keys() {
            routes.push((method.to_uppercase(), filled.clone()));
        }
    }
    assert!(routes.len() > 25, "only {} routes", routes.len());
    routes.extend(PAGES.map(|(method, path)| (method.to_owned(), path.to_owned())));
    routes
}

/// A browser that has logged in: its cookie and the token of its forms.
struct Browser {
    cookie: String,
    csrf: String,
}

impl Browser {
    async fn enter(app: &TestApp) -> Self {
        let token = std::fs::read_to_string(app.dir.path().join("data/admin_token")).expect("a token");
        let entered = app.dashboard(Request::post("/login", format!("token={}", token.trim()))).await;
        let cookie = entered.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");
        let page = app.dashboard(Request::new("GET", "/").header("cookie", cookie)).await.text();
        let (_, rest) = page.split_once(r#"name="csrf" value=""#).expect("a form");
        Self { cookie: cookie.to_owned(), csrf: rest.split('"').next().expect("a value").to_owned() }
    }

    fn ask(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).header("cookie", &self.cookie)
    }
}

/// Whether the caller was turned away: told to log in, by a status or by being led there.
fn is_turned_away(reply: &Reply) -> bool {
    let led = reply.status == 303 && reply.header("location").is_some_and(|to| to.starts_with("/login"));
    led || reply.status == 401
}

#[tokio::test]
async fn nobody_unknown_is_answered_by_any_route_or_method() {
    let mut app = TestApp::start().await;
    let browser = Browser::enter(&app).await;
    let routes = routes(&app).await;
    // A day later the session is over, and nothing else was ever good.
    app.clock.advance(Duration::from_secs(24 * 3600 + 1));
    let expired = browser.cookie.clone();
    let callers = [
        None,
        Some(("authorization", "Bearer")),
        Some(("authorization", "Bearer ")),
        Some(("authorization", "Basic YWRtaW46YWRtaW4=")),
        Some(("cookie", expired.as_str())),
    ];
    for (_, path) in routes.iter().filter(|(_, path)| path != "/health") {
        for method in METHODS.iter().filter(|method| **method != "HEAD") {
            for caller in callers {
                let request = Request::new(method, path);
                let request = caller.map_or(request.clone(), |(name, value)| request.header(name, value));
                let reply = app.dashboard(request).await;
                assert!(is_turned_away(&reply), "{method} {path} with {caller:?}: {}", reply.status);
                assert_eq!(reply.header("cache-control"), Some("no-store"), "{method} {path}");
                assert_eq!(reply.header("set-cookie"), None, "{method} {path}");
            }
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn another_machines_name_is_answered_by_no_route_whoever_asks() {
    let mut app = TestApp::start().await;
    let token = std::fs::read_to_string(app.dir.path().join("data/admin_token")).expect("a token");
    let mut routes = routes(&app).await;
    routes.extend(["/login", "/assets/app.js"].map(|path| ("GET".to_owned(), path.to_owned())));
    for (method, path) in routes {
        for host in ["evil.example", "localhost.evil.example:1", "127.0.0.1.nip.io", ""] {
            let request = Request::new(&method, &path).header("host", host);
            let reply =
                request.header("authorization", format!("Bearer {}", token.trim())).send(app.api_address()).await;
            assert!([400, 421].contains(&reply.status), "{method} {path} at {host:?}: {}", reply.status);
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn no_change_by_a_browser_without_its_pages_token_or_from_elsewhere() {
    let mut app = TestApp::start().await;
    let browser = Browser::enter(&app).await;
    let changes: Vec<_> = routes(&app).await.into_iter().filter(|(method, _)| method != "GET").collect();
    assert!(changes.len() > 15, "{changes:?}");
    for (method, path) in &changes {
        let ask = || browser.ask(method, path).header("content-type", "application/x-www-form-urlencoded");
        let refused = [
            ("without a token", ask()),
            ("with another", ask().with_body("csrf=0000").header("x-other", "1")),
            ("with an empty one", ask().header("x-csrf-token", "")),
            (
                "from a foreign origin",
                ask().header("x-csrf-token", &browser.csrf).header("origin", "https://evil.example"),
            ),
            ("from nowhere", ask().header("x-csrf-token", &browser.csrf).header("origin", "null")),
            ("from another site", ask().header("x-csrf-token", &browser.csrf).header("sec-fetch-site", "same-site")),
            // The token is no part of an address, where other sites, histories and logs would have it.
            (
                "by the address",
                Request::new(method, &format!("{path}?csrf={}", browser.csrf)).header("cookie", &browser.cookie),
            ),
        ];
        for (how, request) in refused {
            let reply = app.dashboard(request).await;
            assert_eq!(reply.status, 403, "{method} {path} {how}");
        }
        let reply =
            app.dashboard(ask().header("x-csrf-token", &browser.csrf).header("origin", "http://localhost")).await;
        assert_ne!(reply.status, 403, "{method} {path} with its token");
        // The last one logged out; the others go on as before.
        assert_eq!(reply.header("set-cookie").is_some(), path == "/logout", "{method} {path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn private_answers_are_kept_by_nobody_and_assets_hold_nothing() {
    let mut app = TestApp::start().await;
    let browser = Browser::enter(&app).await;
    app.send(delivery("d1", "pull_request", &pull_request(1, "private words"))).await;
    for (method, path) in routes(&app).await.iter().filter(|(method, path)| method == "GET" && path != "/api/stream") {
        let reply = app.dashboard(browser.ask(method, path)).await;
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    }
    for path in ["/assets/app.js", "/assets/app.css", "/assets/icon.svg"] {
        let reply = app.dashboard(Request::new("GET", path)).await;
        assert!(reply.status == 200 && reply.header("cache-control").is_some_and(|kept| kept.contains("immutable")));
    }
    app.stop().await;
}

#[tokio::test]
async fn odd_addresses_and_cursors_are_the_callers_fault_and_never_ours() {
    let mut app = TestApp::start().await;
    let long = "x".repeat(30_000);
    let odd =
        ["s0", "s-1", "sffffffffffffffff", "0", "-1", "zz", "%00", "%ff%fe", "'%20OR%201=1", "s1%0d%0aset-cookie:a=b"];
    for list in ["events", "runs", "approvals"] {
        for cursor in odd.iter().copied().chain([long.as_str()]) {
            for base in ["", "/api"] {
                let reply = app.api("GET", &format!("{base}/{list}?cursor={cursor}")).await;
                assert_eq!(reply.status, 400, "{base}/{list} at {:.40}", cursor);
                assert_eq!(reply.header("set-cookie"), None);
                let problem = reply.header("content-type") == Some("application/problem+json");
                assert_eq!(problem, base == "/api");
            }
        }
    }
    for (path, statuses) in [
        (format!("/events?handler={long}&search={long}"), &[200][..]),
        (format!("/runs?workflow={long}"), &[200]),
        ("/runs?event=evt_x".into(), &[400]),
        ("/runs?state=%3Cscript%3E".into(), &[400]),
        (format!("/memory?search={long}&section={long}"), &[200]),
        ("/memory?search=%22*%20NEAR(%27--".into(), &[200]),
        (format!("/settings?search={long}"), &[200]),
        ("/workflows?file=..%2F..%2Fconfig.yaml".into(), &[404]),
        ("/workflows/..%2f..%2fconfig.yaml".into(), &[404]),
        ("/events/..%2f..%2fdata%2fadmin_token/payload".into(), &[404]),
        ("/assets/../data/admin_token".into(), &[404]),
        ("/handlers/%0d%0aset-cookie:%20a=b".into(), &[404]),
        (format!("/api/events?search={long}"), &[400]),
        ("/api/memory/x".into(), &[405]),
        (format!("/{long}"), &[404]),
        (format!("/?{}", "a=b&".repeat(5000)), &[200]),
    ] {
        let reply = app.api("GET", &path).await;
        assert!(statuses.contains(&reply.status), "{path:.60}: {} {:.300}", reply.status, reply.text());
        assert!(!reply.text().contains("<script>") && reply.header("set-cookie").is_none(), "{path:.60}");
        assert!(reply.body.len() < 100 * 1024, "{path:.60}: {} bytes", reply.body.len());
    }
    app.stop().await;
}

#[tokio::test]
async fn streams_are_bounded_and_a_closed_one_leaves_its_place() {
    let mut app = TestApp::start().await;
    let token = std::fs::read_to_string(app.dir.path().join("data/admin_token")).expect("a token");
    let ask = Request::new("GET", "/api/stream").header("host", "localhost");
    let ask = ask.header("authorization", format!("Bearer {}", token.trim()));
    let mut streams = Vec::new();
    for _ in 0..16 {
        let mut stream = Conn::open(app.api_address()).await;
        stream.write(&ask.bytes()).await;
        stream.read_to("event:reset").await;
        streams.push(stream);
    }
    let refused = ask.send(app.api_address()).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("10")));
    assert_eq!(app.api("GET", "/events").await.status, 200, "pages have places of their own");
    streams.pop();
    let freed = async {
        loop {
            let mut stream = Conn::open(app.api_address()).await;
            stream.write(&ask.bytes()).await;
            if stream.read_to("\r\n").await.contains("200") {
                return stream;
            }
            tokio::task::yield_now().await;
        }
    };
    streams.push(crate::harness::clock::patiently(freed).await);
    app.stop().await;
}

#[tokio::test]
async fn a_stream_that_comes_back_is_told_each_event_once_and_what_changed_meanwhile() {
    let gated = "name: gated\ntrigger: webhook\non: { handler: github }\nsteps:\n  - name: keep\n    tool: memory_store\n    \
                 args: { section: s, fact: kept }\n    requires_approval: true\n";
    let mut app = TestApp::with_workflows("", &[("gated", gated)]).await;
    let token = std::fs::read_to_string(app.dir.path().join("data/admin_token")).expect("a token");
    let ask = |last: Option<&str>| {
        let request = Request::new("GET", "/api/stream").header("host", "localhost");
        let request = request.header("authorization", format!("Bearer {}", token.trim()));
        last.map_or(request.clone(), |id| request.header("last-event-id", id))
    };
    let first = app.send(delivery("d1", "pull_request", &pull_request(1, "One"))).await.json();
    let first = first["event_id"].as_str().expect("an id").to_owned();
    let asked = async {
        loop {
            let list = app.api("GET", "/api/approvals?state=pending").await.json();
            if let Some(id) = list["items"][0]["id"].as_str() {
                return (id.to_owned(), list["items"][0]["run_id"].as_str().expect("an id").to_owned());
            }
            tokio::task::yield_now().await;
        }
    };
    let (approval, run) = crate::harness::clock::patiently(asked).await;
    // It was told of the first event and went away; then the approval is decided, and more events come.
    let body = serde_json::json!({ "verdict": "approve" }).to_string();
    assert_eq!(app.api_with("POST", &format!("/api/approvals/{approval}"), body).await.status, 200);
    app.ended(&run).await;
    let mut sent = Vec::new();
    for n in 2..5 {
        let reply = app.send(delivery(&format!("d{n}"), "pull_request", &pull_request(n, "More"))).await.json();
        sent.push(reply["event_id"].as_str().expect("an id").to_owned());
    }
    let mut again = Conn::open(app.api_address()).await;
    again.write(&ask(Some(&first)).bytes()).await;
    // The first message with an id ends what was missed.
    let mut told = app.clock.run_until(again.read_to("\nid:")).await;
    told += &app.clock.run_until(again.read_to("\n\n")).await;
    assert!(!told.contains("event:reset"), "{told}");
    let rows = |kind: &str| -> Vec<Value> {
        let messages = told.split("event:").filter(|message| message.starts_with(&format!("{kind}\n")));
        let data = messages.filter_map(|message| message.split_once("data:")?.1.lines().next());
        data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
    };
    let times = |id: &String| rows("event").iter().filter(|row| row["id"] == **id).count();
    assert_eq!(sent.iter().map(times).collect::<Vec<_>>(), [1, 1, 1], "{told}");
    let is_ended = |row: &Value| row["id"] == *run && row["state"] == "success";
    assert!(rows("run").iter().any(is_ended), "{told}");
    assert!(rows("approval").iter().any(|row| row["id"] == *approval && row["state"] == "approved"), "{told}");
    app.stop().await;
}

#[tokio::test]
async fn a_stream_that_comes_back_is_not_told_again_what_was_refused_before() {
    let mut app = TestApp::start().await;
    let token = std::fs::read_to_string(app.dir.path().join("data/admin_token")).expect("a token");
    let one = delivery("d1", "pull_request", &pull_request(1, "One"));
    app.send(one.clone()).await;
    app.send(one).await;
    app.send(delivery("d2", "push", &serde_json::json!({ "ref": "x" }))).await;
    app.send(Request::post("/webhooks/github", "{}")).await;
    let kept = async {
        loop {
            let list = app.api("GET", "/api/events").await.json();
            let rows = list["items"].as_array().expect("rows").clone();
            let mut statuses: Vec<_> = rows.iter().filter_map(|row| row["status"].as_str()).collect();
            statuses.sort_unstable();
            if statuses == ["duplicate", "ignored", "processed", "rejected"] {
                return rows;
            }
            tokio::task::yield_now().await;
        }
    };
    let before = crate::harness::clock::patiently(kept).await;
    let newest = before[0]["id"].as_str().expect("an id");
    app.clock.advance(std::time::Duration::from_secs(60));
    let ask = Request::new("GET", "/api/stream").header("host", "localhost");
    let ask = ask.header("authorization", format!("Bearer {}", token.trim())).header("last-event-id", newest);
    let mut again = Conn::open(app.api_address()).await;
    again.write(&ask.bytes()).await;
    let next = app.send(delivery("d3", "pull_request", &pull_request(3, "Next"))).await.json();
    let told = app.clock.run_until(again.read_to(next["event_id"].as_str().expect("an id"))).await;
    for row in before.iter().filter(|row| row["status"] != "processed") {
        assert!(!told.contains(&format!("data:{{\"id\":{}", row["id"])), "{} again: {told}", row["status"]);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_browser_is_answered_by_pages_whatever_goes_wrong() {
    let mut app = TestApp::start().await;
    let browser = Browser::enter(&app).await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let send = |cookie: &str, path: &str, body: String| {
        Request::post(path, body).header("cookie", cookie).header("host", "localhost").header(form.0, form.1)
    };
    // The agent was restarted meanwhile, so the session is gone.
    let form = |body: &str| send("hookhand_1=gone", "/handlers/github/test", body.to_owned());
    let late = form("csrf=old").header("referer", "http://localhost/handlers/github?a=b");
    let late = app.dashboard(late).await;
    let text = late.text();
    assert_eq!(late.status, 401);
    assert!(
        text.contains("You were signed out meanwhile, so nothing was changed.") && !text.contains("Bearer"),
        "{text}"
    );
    assert!(text.contains(r#"name="next" value="/handlers/github?a=b""#), "{text}");
    let elsewhere = form("csrf=old").header("referer", "https://evil.example/x");
    assert!(!app.dashboard(elsewhere).await.text().contains("evil.example"));
    assert!(app.events(hookhand::ledger::EventFilter::default()).await.is_empty(), "nothing was sent");

    let csrf = format!("csrf={}", browser.csrf);
    for (request, status, words) in [
        (send(&browser.cookie, "/handlers/github/test", "csrf=old".into()), 403, "older than this login"),
        (browser.ask("GET", "/logout").header("host", "localhost"), 405, "use POST here"),
        (
            send(&browser.cookie, "/workflows/x/run", format!("{csrf}&inputs={}", "x".repeat(300_000))),
            413,
            "is longer than",
        ),
        (browser.ask("GET", "/").header("host", "evil.example"), 421, "names another machine"),
        (send(&browser.cookie, "/events", csrf.clone()), 405, "use GET, HEAD here"),
    ] {
        let reply = app.dashboard(request).await;
        let text = reply.text();
        assert_eq!(reply.status, status, "{text}");
        assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{text}");
        assert!(text.contains(words) && text.contains("</html>"), "{text}");
        assert_eq!(reply.header("allow").is_some(), status == 405);
    }
    app.stop().await;
}
