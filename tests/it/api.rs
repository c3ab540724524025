//! The dashboard's door and the API behind it: who gets in, what callers are told, and that the OpenAPI document is true.

use serde_json::Value;

use crate::harness::app::{TestApp, delivery, pull_request};
use crate::harness::clock::patiently;
use crate::harness::http::{Conn, Reply, Request};

/// The pages that a browser may ask for.
const PAGES: [&str; 9] =
    ["/", "/events", "/runs", "/approvals", "/workflows", "/handlers", "/memory", "/audit", "/settings"];
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn get(path: &str) -> Request {
    Request::new("GET", path)
}

/// Every path and method of the document, with made-up variables.
fn routes(document: &Value) -> Vec<(String, Vec<String>)> {
    let id = "01K00000000000000000000000";
    let paths = document["paths"].as_object().expect("paths");
    let filled = |path: &String| {
        let kind =
            ["evt", "run", "apr"][usize::from(path.contains("/runs/")) + 2 * usize::from(path.contains("/approvals/"))];
        let id = if path.contains("/memory/") { "1".to_owned() } else { format!("{kind}_{id}") };
        path.replace("{id}", &id).replace("{name}", "some-name")
    };
    paths
        .iter()
        .map(|(path, methods)| (filled(path), methods.as_object().expect("methods").keys().cloned().collect()))
        .collect()
}

fn cookie(reply: &Reply) -> String {
    let cookie = reply.header("set-cookie").expect("a cookie");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().expect("a pair").to_owned()
}

/// Logs a browser in by the link; its cookie.
async fn log_in(app: &TestApp) -> String {
    let reply = app.dashboard(get(&app.login_link())).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/")));
    cookie(&reply)
}

/// The token that the page's forms carry.
async fn csrf(app: &TestApp, cookie: &str) -> String {
    let page = app.dashboard(get("/").header("cookie", cookie)).await.text();
    let (_, rest) = page.split_once(r#"name="csrf" value=""#).expect("a form");
    rest.split('"').next().expect("a value").to_owned()
}

#[tokio::test]
async fn without_the_token_nothing_answers_but_the_login_and_health() {
    let mut app = TestApp::start().await;
    let document = app.api("GET", "/api/openapi.json").await.json();
    let routes = routes(&document);
    assert!(routes.len() > 20, "only {} paths", routes.len());
    let paths = routes.iter().map(|(path, _)| path.as_str()).filter(|path| *path != "/health");
    let more =
        ["/api", "/api/", "/api/none", "/logout", "/assets/none.js", "/metrics/", "//api/events", "/events/x/replay"];
    for path in paths.chain(PAGES).chain(more) {
        for method in METHODS {
            for wrong in [None, Some(("authorization", "Bearer nonsense")), Some(("cookie", "hookhand=x"))] {
                let mut request = Request::new(method, path);
                if let Some((name, value)) = wrong {
                    request = request.header(name, value);
                }
                let reply = app.dashboard(request).await;
                let led = reply.status == 303 && reply.header("location").is_some_and(|to| to.starts_with("/login"));
                assert!(reply.status == 401 || led && method == "GET", "{method} {path}: {}", reply.status);
                assert!(!led || !path.starts_with("/api/"), "{path}");
            }
        }
    }
    for open in ["/health", "/login"] {
        assert_eq!(app.dashboard(get(open)).await.status, 200, "{open}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_link_logs_a_browser_in_once_and_its_changes_need_the_tokens_of_its_pages() {
    let mut app = TestApp::start().await;
    let sent = app.send(delivery("d1", "pull_request", &pull_request(1, "Fix it"))).await.json();
    let replay = format!("/api/events/{}/replay", sent["event_id"].as_str().expect("an id"));

    // A page of another site opens the link in a frame or an image: the person is asked, and the link is still good.
    let elsewhere = app.dashboard(get(&app.login_link()).header("sec-fetch-site", "cross-site")).await;
    assert_eq!((elsewhere.status, elsewhere.header("set-cookie")), (200, None));
    let cookie = log_in(&app).await;
    assert_eq!(app.dashboard(get(&app.login_link())).await.status, 403, "it works once");

    for page in PAGES.iter().chain(&["/api/events"]) {
        assert_eq!(app.dashboard(get(page).header("cookie", &cookie)).await.status, 200, "{page}");
    }
    let post = || Request::post(&replay, "").header("cookie", &cookie);
    let refused = app.dashboard(post()).await;
    assert_eq!((refused.status, refused.header("content-type")), (403, Some("application/problem+json")));
    let csrf = csrf(&app, &cookie).await;
    assert_eq!(app.dashboard(post().header("x-csrf-token", "0".repeat(40))).await.status, 403);
    let foreign = post().header("x-csrf-token", &csrf).header("origin", "https://evil.example");
    assert_eq!(app.dashboard(foreign).await.status, 403);
    assert_eq!(app.dashboard(post().header("x-csrf-token", &csrf)).await.status, 202);

    let out = |body: String| {
        let form = ("content-type", "application/x-www-form-urlencoded");
        app.dashboard(Request::post("/logout", body).header("cookie", &cookie).header(form.0, form.1))
    };
    assert_eq!(out(String::new()).await.status, 403, "nobody else logs one out");
    assert_eq!(out(format!("csrf={csrf}")).await.status, 303);
    assert_eq!(app.dashboard(get("/api/events").header("cookie", &cookie)).await.status, 401);
    app.stop().await;
}

#[tokio::test]
async fn the_form_takes_the_token_leads_on_and_stops_guessing() {
    let mut app = TestApp::start().await;
    let token = std::fs::read_to_string(app.dir.path().join("data/admin_token")).expect("a token");
    let asked = app.dashboard(get("/events?handler=github")).await;
    assert_eq!(asked.header("location"), Some("/login?next=%2Fevents%3Fhandler%3Dgithub"));
    let form = app.dashboard(get(asked.header("location").expect("a place"))).await.text();
    assert!(form.contains(r#"name="next" value="/events?handler=github""#), "{form}");

    let enter = |token: &str, next: &str| Request::post("/login", format!("token={token}&next={next}"));
    let entered = app.dashboard(enter(&token, "%2Fevents%3Fhandler%3Dgithub")).await;
    assert_eq!((entered.status, entered.header("location")), (303, Some("/events?handler=github")));
    cookie(&entered);
    let elsewhere = app.dashboard(enter(&token, "%2F%2Fevil.example")).await;
    assert_eq!(elsewhere.header("location"), Some("/"), "a login leads nowhere else");
    let forged = enter(&token, "%2F").header("origin", "https://evil.example");
    assert_eq!(app.dashboard(forged).await.status, 403);

    for _ in 0..10 {
        let wrong = app.dashboard(enter("guess", "%2F")).await;
        assert_eq!(wrong.status, 403);
        assert!(!wrong.text().contains(token.trim()));
    }
    let stopped = app.dashboard(enter(&token, "%2F")).await;
    assert_eq!((stopped.status, stopped.header("retry-after")), (429, Some("300")));
    // Who has a session, or the token in a header, is not kept out by somebody's guessing.
    assert_eq!(app.api("GET", "/api/events").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn every_answer_tells_browsers_to_do_no_more_than_it_says() {
    let mut app = TestApp::start().await;
    let cookie = log_in(&app).await;
    for path in ["/", "/login", "/health", "/api/events", "/api/none", "/metrics", "/none"] {
        let reply = app.dashboard(get(path).header("cookie", &cookie)).await;
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn the_document_tells_the_truth_about_parameters_and_methods() {
    let mut app = TestApp::start().await;
    let document = app.api("GET", "/api/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in routes(&document) {
        for method in METHODS {
            let documented = methods.iter().any(|known| known.eq_ignore_ascii_case(method));
            let reply = app.api(method, &format!("{path}?statsu=x")).await;
            let problem = reply.json();
            if documented {
                assert_eq!(reply.status, 400, "{method} {path}: a typo must not go unseen");
                assert!(problem["detail"].as_str().expect("a detail").contains("'statsu'"), "{problem}");
            } else {
                assert_eq!(reply.status, 405, "{method} {path}");
                assert!(methods.iter().all(|m| reply.header("allow").is_some_and(|a| a.contains(&m.to_uppercase()))));
            }
            assert_eq!(reply.header("content-type"), Some("application/problem+json"));
            assert_eq!(problem["status"], reply.status);
        }
    }
    let twice = app.api("GET", "/api/events?limit=1&limit=2").await;
    assert_eq!(twice.status, 400);
    let form = Request::post("/api/workflows", "name=x").header("content-type", "application/x-www-form-urlencoded");
    let token = std::fs::read_to_string(app.dir.path().join("data/admin_token")).expect("a token");
    assert_eq!(app.dashboard(form.header("authorization", format!("Bearer {token}"))).await.status, 415);
    app.stop().await;
}

#[tokio::test]
async fn the_overview_and_the_metrics_count_what_came() {
    let mut app = TestApp::start().await;
    for n in 0..3 {
        app.send(delivery(&format!("d{n}"), "pull_request", &pull_request(n, "Fix it"))).await;
    }
    app.send(delivery("d0", "pull_request", &pull_request(0, "Fix it"))).await;
    app.send(Request::post("/webhooks/github", "{}")).await;
    // A refusal is answered before it is kept. The clock stands still meanwhile: the overview looks back an hour.
    let counted = async {
        loop {
            let overview = app.api("GET", "/api/overview").await.json();
            let count = |outcome: &str| -> u64 {
                let minutes = overview["minutes"].as_array().expect("minutes").iter();
                let those = minutes.filter(|m| m["outcome"] == outcome && m["handler"] == "github");
                those.filter_map(|m| m["count"].as_u64()).sum()
            };
            if [count("accepted"), count("duplicate"), count("rejected")] == [3, 1, 1] {
                return overview;
            }
            tokio::task::yield_now().await;
        }
    };
    let overview = patiently(counted).await;
    assert_eq!(overview["acknowledgements"]["hour"]["count"], 4);
    assert_eq!(overview["approvals_pending"], 0);

    let metrics = app.api("GET", "/metrics").await;
    assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let text = metrics.text();
    for line in [
        r#"hookhand_acknowledgements_total{handler="github",verdict="valid",outcome="accepted"} 3"#,
        r#"hookhand_acknowledgements_total{handler="github",verdict="valid",outcome="duplicate"} 1"#,
        "hookhand_ack_latency_seconds_count 4",
        r#"hookhand_ack_latency_seconds_bucket{le="+Inf"} 4"#,
        r#"hookhand_events{status="rejected"} 1"#,
        r#"hookhand_refusals_total{code="missing_signature"} 1"#,
        "hookhand_approvals_pending 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    app.stop().await;
}

#[tokio::test]
async fn every_metric_is_documented_and_grafana_asks_for_none_that_is_not_there() {
    let mut app = TestApp::start().await;
    app.send(delivery("d1", "pull_request", &pull_request(1, "Fix it"))).await;
    let text = app.api("GET", "/metrics").await.text();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 10, "{text}");
    let docs = include_str!("../../docs/DASHBOARD.md");
    for name in &names {
        assert!(docs.contains(&format!("| `{name}")), "docs/DASHBOARD.md does not have {name}");
    }
    let board: Value = serde_json::from_str(include_str!("../../docs/grafana/hookhand.json")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels").iter();
    let asked = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let asked: Vec<&str> = asked.filter_map(|target| target["expr"].as_str()).collect();
    assert!(asked.len() > 8, "{asked:?}");
    for expr in asked {
        let at = expr.find("hookhand_").expect("one of ours");
        let name = expr[at..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().expect("a name");
        let family = ["_total", "_bucket"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(names.contains(&family), "{expr}: there is no {family}");
        for label in ["handler", "outcome", "verdict", "state"] {
            let is_asked = expr.contains(&format!("{label},")) || expr.contains(&format!("{label})"));
            assert!(!is_asked || text.contains(&format!("{label}=\"")), "{expr}: no label {label}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_workflow_is_switched_and_a_fact_forgotten_over_the_api() {
    let hello = "name: hello # mine\ntrigger: manual\nenabled: true\nsteps:\n  - name: keep\n    tool: memory_store\n    args: { section: s, fact: hello }\n";
    let mut app = TestApp::with_workflows("", &[("hello", hello)]).await;
    let switched = app.api_with("POST", "/api/workflows/hello/enabled", r#"{"enabled":false}"#).await;
    assert_eq!((switched.status, switched.json()["enabled"].as_bool()), (200, Some(false)));
    let file = std::fs::read_to_string(app.dir.path().join("data/workflows/hello.yaml")).expect("there");
    assert_eq!(file, hello.replace("enabled: true", "enabled: false"), "nothing else of the file changes");
    assert_eq!(app.api("POST", "/api/workflows/hello/run").await.status, 409);
    for (body, status) in [("{}", 400), (r#"{"enabled":"yes"}"#, 400), (r#"{"enabled":true,"more":1}"#, 400)] {
        assert_eq!(app.api_with("POST", "/api/workflows/hello/enabled", body).await.status, status, "{body}");
    }
    assert_eq!(app.api_with("POST", "/api/workflows/none/enabled", r#"{"enabled":true}"#).await.status, 404);
    app.api_with("POST", "/api/workflows/hello/enabled", r#"{"enabled":true}"#).await;
    let run = app.api("POST", "/api/workflows/hello/run").await.json();
    app.ended(run["run_id"].as_str().expect("an id")).await;

    let facts = app.api("GET", "/api/memory").await.json();
    let id = facts["items"][0]["id"].as_i64().expect("a fact");
    assert_eq!(app.api("DELETE", &format!("/api/memory/{id}")).await.json()["status"], "forgotten");
    assert_eq!(app.api("DELETE", &format!("/api/memory/{id}")).await.status, 404);
    assert_eq!(app.api("DELETE", "/api/memory/x").await.status, 400);
    assert_eq!(app.api("GET", "/api/memory?query=hello").await.json()["items"], serde_json::json!([]));
    app.stop().await;
}

#[tokio::test]
async fn a_replay_can_be_tried_without_doing_anything() {
    let mut app = TestApp::start().await;
    let sent = app.send(delivery("d1", "pull_request", &pull_request(1, "Fix it"))).await.json();
    let path = format!("/api/events/{}/replay", sent["event_id"].as_str().expect("an id"));
    let dry = app.api("POST", &format!("{path}?dry_run=true")).await;
    assert_eq!(dry.status, 200);
    assert_eq!(dry.json()["message"]["title"], "Replay: octocat opened pull request acme/shop#1: Fix it");
    assert_eq!(app.api("GET", "/api/events").await.json()["items"].as_array().map(Vec::len), Some(1));
    app.stop().await;
}

#[tokio::test]
async fn a_stream_tells_what_comes_and_goes_on_where_it_ended() {
    let mut app = TestApp::start().await;
    let token = std::fs::read_to_string(app.dir.path().join("data/admin_token")).expect("a token");
    let ask = |last: Option<&str>| {
        let request = get("/api/stream").header("host", "localhost").header("authorization", format!("Bearer {token}"));
        match last {
            Some(id) => request.header("last-event-id", id),
            None => request,
        }
    };
    let mut stream = Conn::open(app.api_address()).await;
    stream.write(&ask(None).bytes()).await;
    let head = stream.read_to("\r\n\r\n").await.to_lowercase();
    assert!(head.contains("200 ok") && head.contains("content-type: text/event-stream"), "{head}");
    stream.read_to("event:reset").await;

    let sent = app.send(delivery("d1", "pull_request", &pull_request(1, "Fix it"))).await.json();
    let first = sent["event_id"].as_str().expect("an id").to_owned();
    app.clock.run_until(stream.read_to("event:event\n")).await;
    let data = app.clock.run_until(stream.read_to("\n")).await;
    let row: Value = serde_json::from_str(data.trim().trim_start_matches("data:")).expect("JSON");
    assert_eq!((row["id"].as_str(), row["handler"].as_str()), (Some(first.as_str()), Some("github")));
    app.clock.run_until(stream.read_to("event:notice")).await;
    drop(stream);

    let second = app.send(delivery("d2", "pull_request", &pull_request(2, "More"))).await.json();
    let second = second["event_id"].as_str().expect("an id");
    let mut again = Conn::open(app.api_address()).await;
    again.write(&ask(Some(&first)).bytes()).await;
    let missed = app.clock.run_until(again.read_to(second)).await;
    assert!(!missed.contains("event:reset") && missed.contains("event:event"), "{missed}");
    // A stream that is open does not hold up the end.
    app.stop().await;
    assert!(again.ends().await);
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives() {
    let mut app = TestApp::start().await;
    let token = std::fs::read_to_string(app.dir.path().join("data/admin_token")).expect("a token");
    let mut stream = Conn::open(app.api_address()).await;
    let request = get("/api/stream").header("host", "localhost").header("authorization", format!("Bearer {token}"));
    stream.write(&request.bytes()).await;
    stream.read_to("event:reset").await;
    app.clock.run_until(stream.read_to(":alive")).await;
    app.stop().await;
}

#[tokio::test]
async fn ages_are_times_reasons_have_a_bound_and_refusals_read_well() {
    let gated = "name: gated\ntrigger: manual\nsteps:\n  - name: keep\n    tool: memory_store\n    args: { section: s, fact: x }\n    requires_approval: true\n";
    let mut app = TestApp::with_workflows("", &[("gated", gated)]).await;
    app.send(delivery("d1", "pull_request", &pull_request(1, "Fix it"))).await;
    app.clock.advance(std::time::Duration::from_secs(3600));
    for (query, count) in [("since=30m", 0), ("since=2h", 1), ("since=2000-01-01T00:00:00Z", 1)] {
        let list = app.api("GET", &format!("/api/events?{query}")).await.json();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(count), "{query}");
    }
    assert_eq!(app.api("GET", "/api/runs?since=7d").await.status, 200);
    let wrong = app.api("GET", "/api/events?since=soon").await;
    assert_eq!((wrong.status, wrong.text().contains("30m, 2h, 7d or 2026")), (400, true));

    app.api("POST", "/api/workflows/gated/run").await;
    let asked = async {
        loop {
            let list = app.api("GET", "/api/approvals?state=pending").await.json();
            if let Some(id) = list["items"][0]["id"].as_str() {
                return format!("/api/approvals/{id}");
            }
            tokio::task::yield_now().await;
        }
    };
    let approval = patiently(asked).await;
    let deny = |reason: String| serde_json::json!({ "verdict": "deny", "reason": reason }).to_string();
    let long = app.api_with("POST", &approval, deny("x".repeat(501))).await;
    assert_eq!((long.status, long.text().contains("at most 500 characters")), (400, true), "{}", long.text());
    assert_eq!(app.api("GET", &approval).await.json()["state"], "pending");
    for (path, body) in [(approval.as_str(), "[]"), (approval.as_str(), "7")] {
        let refused = app.api_with("POST", path, body).await;
        assert_eq!((refused.status, refused.text().contains("a JSON object")), (400, true), "{}", refused.text());
    }
    let memory = app.api("DELETE", "/api/memory/abc").await;
    assert_eq!((memory.status, memory.text().contains("named by its number")), (400, true));
    assert_eq!(app.api_with("POST", &approval, deny("é".repeat(500))).await.json()["state"], "denied");
    app.stop().await;
}

#[tokio::test]
async fn health_says_that_nothing_can_be_kept() {
    let mut app = TestApp::start().await;
    let health = || app.dashboard(get("/health"));
    assert_eq!((health().await.status, health().await.json()["status"].as_str()), (200, Some("ok")));
    let (there, away) = (app.dir.path().join("data/ledger.db"), app.dir.path().join("data/away.db"));
    std::fs::rename(&there, &away).expect("moved");
    assert_eq!(app.send(delivery("d1", "pull_request", &pull_request(1, "Fix it"))).await.status, 503);
    let told = health().await;
    assert_eq!((told.status, told.json()["status"].as_str()), (503, Some("degraded")), "{}", told.text());
    std::fs::rename(&away, &there).expect("moved back");
    let again = async {
        let mut n = 2;
        while app.send(delivery(&format!("d{n}"), "pull_request", &pull_request(n, "Fix it"))).await.status != 200 {
            n += 1;
        }
    };
    patiently(again).await;
    assert_eq!(health().await.status, 200);
    app.stop().await;
}
