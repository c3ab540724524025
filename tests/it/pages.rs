//! The dashboard's pages as a person has them: what they show of events, runs and approvals, what their forms do, and that
//! nothing of a hostile payload acts or breaks a page.

use hookhand::ledger::EventFilter;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::app::{TestApp, delivery, pull_request};
use crate::harness::clock::patiently;
use crate::harness::http::{Reply, Request};

/// Largest page, in bytes: with style and script it stays under 100 KB.
const PAGE_BYTES_MAX: usize = 100 * 1024
    - include_bytes!("../../src/dashboard/assets/app.css").len()
    - include_bytes!("../../src/dashboard/assets/app.js").len();

const GATED: &str = "name: gated
description: Deploys what was opened
trigger: webhook
on: { handler: github, events: [pull_request.opened] }
steps:
  - name: deploy
    tool: memory_store
    args: { section: deploys, fact: \"{{ payload.pull_request.title }}\" }
    requires_approval: true
  - name: tell
    tool: notify
    args: { text: done }
";

/// Every page there is for this event.
async fn pages_about(app: &TestApp, event: &str) -> Vec<(String, Reply)> {
    let runs = app.api("GET", "/api/runs").await.json();
    let approvals = app.api("GET", "/api/approvals").await.json();
    let mut paths: Vec<String> = [
        "/",
        "/events",
        "/runs",
        "/approvals",
        "/workflows",
        "/workflows/gated",
        "/workflows/gated?last=20",
        "/handlers",
        "/handlers/github",
        "/memory",
        "/audit?verify=1",
        "/settings?all=1",
        "/events?search=alert",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.push(format!("/events/{event}"));
    paths.push(format!("/events/{event}/replay"));
    paths.extend(ids(&runs).map(|id| format!("/runs/{id}")));
    paths.extend(ids(&approvals).map(|id| format!("/approvals/{id}")));
    let mut pages = Vec::new();
    for path in paths {
        let reply = app.api("GET", &path).await;
        pages.push((path, reply));
    }
    pages
}

fn ids(list: &Value) -> impl Iterator<Item = String> + '_ {
    list["items"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_str().map(str::to_owned))
}

/// The event that was accepted last, once it was worked on.
async fn processed(app: &TestApp) -> String {
    let worked_on = async {
        loop {
            let rows = app.events(EventFilter::default()).await;
            if let Some(row) = rows.first().filter(|row| row.processed_at.is_some()) {
                return row.id.to_string();
            }
            tokio::task::yield_now().await;
        }
    };
    patiently(worked_on).await
}

/// The approval that waits, once one does.
async fn pending(app: &TestApp) -> Value {
    let waits = async {
        loop {
            let list = app.api("GET", "/api/approvals?state=pending").await.json();
            if let Some(first) = list["items"].as_array().and_then(|items| items.first()) {
                return first.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    patiently(waits).await
}

/// Starts the agent again with a part of its configuration replaced.
async fn change_config(app: &mut TestApp, part: &str, with: &str) {
    app.stop().await;
    let file = app.dir.path().join("config.yaml");
    let config = std::fs::read_to_string(&file).expect("there");
    std::fs::write(&file, config.replacen(part, with, 1)).expect("written");
    app.run().await;
}

fn location(reply: &Reply) -> String {
    assert_eq!(reply.status, 303, "{}", reply.text());
    reply.header("location").expect("a place").to_owned()
}

#[tokio::test]
async fn a_hostile_payload_is_text_on_every_page() {
    let app = TestApp::with_workflows("", &[("gated", GATED)]).await;
    let hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'\u{202E}gpj.exe\u{2066}\u{200B}";
    let mut payload = pull_request(1, hostile);
    payload["pull_request"]["html_url"] = json!("javascript:alert(3)");
    payload["sender"]["login"] = json!(hostile);
    payload[hostile] = json!({ "</details><script>alert(4)</script>": [hostile] });
    app.send(delivery(&format!("d{}", "<b>"), "pull_request", &payload)).await;
    let event = processed(&app).await;
    pending(&app).await;
    let pages = pages_about(&app, &event).await;
    assert!(pages.len() >= 16, "{}", pages.len());
    let mut seen = 0;
    for (path, reply) in pages {
        let text = reply.text();
        assert_eq!(reply.status, 200, "{path}: {text}");
        assert!(text.len() < PAGE_BYTES_MAX, "{path}: {} bytes", text.len());
        for open in
            ["<script>", "<img", "<b>", "href=\"javascript:", "style=", " onclick", "\u{202E}", "\u{2066}", "\u{200B}"]
        {
            assert!(!text.contains(open), "{path} has {open:?}");
        }
        seen += usize::from(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    }
    assert!(seen >= 6, "only {seen} pages show the title: the test looks at nothing");
}

#[tokio::test]
async fn five_megabytes_and_deep_nesting_make_small_pages_and_can_be_had_whole() {
    let app = TestApp::start().await;
    let rows: Vec<Value> = (0..40_000).map(|n| json!({ "id": n, "text": "<b>".repeat(30) })).collect();
    let large = json!({ "event": "large", "rows": rows }).to_string();
    assert!(large.len() > 4_500_000, "{}", large.len());
    let mut deep = json!("end");
    for _ in 0..55 {
        deep = json!({ "k": [deep] });
    }
    let deep = json!({ "event": "deep", "deep": deep }).to_string();
    for body in [large, deep] {
        let sent = Request::post("/webhooks/plain", &body).header("content-type", "application/json");
        assert_eq!(app.send(sent).await.status, 200);
        let event = processed(&app).await;
        let page = app.api("GET", &format!("/events/{event}")).await;
        assert_eq!(page.status, 200);
        assert!(page.body.len() < PAGE_BYTES_MAX, "{} bytes", page.body.len());
        assert!(page.text().contains("not shown here") || page.text().contains("too deep to unfold"));
        let whole = app.api("GET", &format!("/events/{event}/payload")).await;
        assert!(whole.body == body.as_bytes(), "byte for byte");
        assert!(whole.header("content-disposition").is_some_and(|value| value.starts_with("attachment")));
    }
}

#[tokio::test]
async fn an_approval_is_shown_in_full_and_decided_from_its_page() {
    let app = TestApp::with_workflows("", &[("gated", GATED)]).await;
    app.send(delivery("d1", "pull_request", &pull_request(1, "Fix <b> rounding"))).await;
    let asked = pending(&app).await;
    let (id, run) = (asked["id"].as_str().expect("an id"), asked["run_id"].as_str().expect("an id"));
    let overview = app.api("GET", "/").await.text();
    assert!(overview.contains(&format!("/approvals/{id}")) && overview.contains("Approve gated, step deploy?"));
    let page = app.api("GET", &format!("/approvals/{id}")).await.text();
    assert!(page.contains("<mark>‹Fix &lt;b&gt; rounding›</mark>"), "{page}");
    assert!(page.contains(asked["digest"].as_str().expect("a digest")));
    let decided = app.api_with("POST", &format!("/approvals/{id}"), "verdict=approve&reason=looks+good").await;
    assert_eq!(location(&decided), format!("/runs/{run}?done=approved"));
    let ended = app.ended(run).await;
    assert_eq!(ended["state"], "success");
    let page = app.api("GET", &format!("/runs/{run}?done=approved")).await.text();
    assert!(page.contains("Approved. The step runs now.") && page.contains("Fix &lt;b&gt; rounding"), "{page}");
    let page = app.api("GET", &format!("/approvals/{id}")).await.text();
    assert!(page.contains("local admin") && page.contains("looks good") && !page.contains("value=\"approve\""));
    let again = app.api_with("POST", &format!("/approvals/{id}"), "verdict=deny").await;
    assert_eq!(again.status, 409);
    assert!(again.text().contains("Already approved by local admin from dashboard"), "{}", again.text());
}

#[tokio::test]
async fn approvals_of_one_step_are_told_apart_wherever_they_are_listed() {
    let app = TestApp::with_workflows("", &[("gated", GATED)]).await;
    let titles = ["Raise the limit", "Lower the <b> limit"];
    for (n, title) in (1..).zip(titles) {
        app.send(delivery(&format!("d{n}"), "pull_request", &pull_request(n, title))).await;
    }
    let waits = async {
        loop {
            let list = app.api("GET", "/api/approvals?state=pending").await.json();
            if let [second, _first] = list["items"].as_array().expect("a list").as_slice() {
                return second.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let asked = patiently(waits).await;
    let shown = |title: &str| format!("memory_store section: deploys · fact: <mark>‹{title}›</mark>");
    let shown = [shown("Raise the limit"), shown("Lower the &lt;b&gt; limit")];
    for page in ["/", "/approvals"] {
        let page = app.api("GET", page).await.text();
        assert!(shown.iter().all(|action| page.contains(action)), "{page}");
    }
    let run = app.api("GET", &format!("/runs/{}", asked["run_id"].as_str().expect("an id"))).await.text();
    assert!(shown.iter().any(|action| run.contains(action)), "{run}");
    app.api_with("POST", &format!("/approvals/{}", asked["id"].as_str().expect("an id")), "verdict=deny").await;
    let decided = app.api("GET", "/approvals").await.text();
    assert!(shown.iter().all(|action| decided.contains(action)), "{decided}");
}

#[tokio::test]
async fn the_oldest_of_many_that_wait_can_be_reached() {
    let app = TestApp::with_workflows("", &[("gated", GATED)]).await;
    for n in 0..53 {
        app.send(delivery(&format!("d{n}"), "pull_request", &pull_request(n, "Fix it"))).await;
    }
    let waits = async {
        loop {
            let list = app.api("GET", "/api/approvals?state=pending&limit=100").await.json();
            if list["items"].as_array().is_some_and(|items| items.len() == 53) {
                return list;
            }
            tokio::task::yield_now().await;
        }
    };
    let waiting: Vec<String> = ids(&patiently(waits).await).collect();
    // Both ways down: what waits, and everything.
    for link in ["href=\"/approvals?state=pending&amp;cursor=", "href=\"/approvals?cursor="] {
        let (mut seen, mut page) = (String::new(), app.api("GET", "/approvals").await.text());
        for link in std::iter::once(link).chain(std::iter::repeat("rel=\"next\" href=\"")) {
            seen += &page;
            let Some((_, rest)) = page.split_once(link) else { break };
            let begin = if link.contains('?') { link.trim_start_matches("href=\"") } else { "" };
            let address = format!("{begin}{}", rest.split('"').next().expect("an end")).replace("&amp;", "&");
            page = app.api("GET", &address).await.text();
        }
        let missing: Vec<_> = waiting.iter().filter(|id| !seen.contains(&format!("data-id=\"{id}\""))).collect();
        assert!(missing.is_empty(), "{link}: {missing:?}");
    }
    assert_eq!(app.api("GET", "/approvals?state=wrong").await.status, 400);
}

#[tokio::test]
async fn a_replay_says_first_what_it_would_do_and_then_does_it() {
    let app = TestApp::with_workflows("", &[("gated", GATED)]).await;
    app.send(delivery("d1", "pull_request", &pull_request(7, "Fix rounding"))).await;
    let event = processed(&app).await;
    let page = app.api("GET", &format!("/events/{event}/replay")).await.text();
    for told in ["gated", "deploy asks first", "Replay: ", "Fix rounding", "One workflow starts"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert_eq!(app.events(EventFilter::default()).await.len(), 1, "looking changes nothing");
    let to = location(&app.api_with("POST", &format!("/events/{event}/replay"), "").await);
    let replay = app.api("GET", &to).await.text();
    assert!(replay.contains("Replayed: this is the new event.") && replay.contains("Replay of"), "{replay}");
    assert_eq!(app.events(EventFilter::default()).await.len(), 2);
}

#[tokio::test]
async fn a_refused_request_says_what_was_wrong_and_what_to_do() {
    let app = TestApp::start().await;
    let wrong = delivery("d1", "pull_request", &pull_request(1, "x")).header("x-extra", "1");
    let refused = app.send(wrong.without("x-hub-signature-256").header("x-hub-signature-256", "sha256=00")).await;
    let request = refused.json()["error"]["request_id"].as_str().expect("an id").to_owned();
    // A refusal is answered before its row is on disk.
    let kept = async {
        loop {
            let reply = app.api("GET", &format!("/events/{request}")).await;
            if reply.status == 200 {
                return reply.text();
            }
            tokio::task::yield_now().await;
        }
    };
    let page = patiently(kept).await;
    for told in ["invalid_signature", "What to do", "set the same secret here and at GitHub", "signature wrong"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(!page.contains("/replay"), "a refused request cannot be replayed");
    let replay = app.api("GET", &format!("/events/{request}/replay")).await;
    assert!(replay.status == 409 && replay.text().contains("cannot be replayed"), "{}", replay.text());
}

#[tokio::test]
async fn a_workflow_is_switched_in_its_file_and_run_by_hand() {
    let by_hand = "name: hello # mine\ntrigger: manual\nsteps:\n  - name: keep\n    tool: memory_store\n    args: { section: s, fact: \"hello {{ inputs.who }}\" }\n";
    let app = TestApp::with_workflows("", &[("hello", by_hand)]).await;
    let file = app.dir.path().join("data/workflows/hello.yaml");
    let to = location(&app.api_with("POST", "/workflows/hello/enabled", "enabled=false").await);
    assert!(app.api("GET", &to).await.text().contains("It is disabled."));
    assert_eq!(std::fs::read_to_string(&file).expect("there"), by_hand.replace("mine\n", "mine\nenabled: false\n"));
    location(&app.api_with("POST", "/workflows/hello/enabled", "enabled=true").await);
    let bad = app.api_with("POST", "/workflows/hello/run", "inputs=%7B%22who%22").await;
    assert_eq!(bad.status, 422);
    assert!(bad.text().contains("no JSON object") && bad.text().contains("{&quot;who&quot;"), "{}", bad.text());
    let to = location(&app.api_with("POST", "/workflows/hello/run", "inputs=%7B%22who%22%3A%22Ann%22%7D").await);
    let run = to.trim_start_matches("/runs/").split('?').next().expect("an id").to_owned();
    assert_eq!(app.ended(&run).await["state"], "success");
    assert!(app.api("GET", "/memory?search=ann").await.text().contains("hello Ann"));
}

#[tokio::test]
async fn a_fault_stands_at_its_line() {
    let mut app = TestApp::with_workflows("", &[("gated", GATED)]).await;
    let file = app.dir.path().join("data/workflows/gated.yaml");
    std::fs::write(&file, GATED.replace("tool: notify", "tool: notfy")).expect("written");
    // What a restart reads is bad from the beginning; an edit under a running agent keeps the last good version.
    app.api_with("POST", "/api/workflows", json!({ "name": "gated", "config_path": "gated.yaml" }).to_string()).await;
    let page = app.api("GET", "/workflows/gated").await.text();
    let at = page.find("notfy</span>").expect("the line");
    assert!(page[at..].starts_with("notfy</span><em>"), "{}", &page[at..at + 200]);
    assert!(page.contains("Its last good version runs"));
    let refused = app.api_with("POST", "/workflows/gated/enabled", "enabled=false").await;
    assert_eq!(refused.status, 409);
    app.stop().await;
}

#[tokio::test]
async fn a_file_that_never_loaded_shows_its_source_and_what_is_wrong_at_which_line() {
    let broken =
        "name: broken\ntrigger: manual\nsteps:\n  - name: tell # <b>\n    tool: notfy\n    args: { text: x }\n";
    let app =
        TestApp::with_workflows("", &[("gated", GATED), ("broken", broken), ("no yaml", "name: [<script>\n")]).await;
    let list = app.api("GET", "/workflows").await.text();
    assert!(list.contains(r#"href="/workflows?file=broken.yaml""#), "{list}");
    assert!(list.contains(r#"href="/workflows?file=no+yaml.yaml""#) && list.contains("not loaded"), "{list}");
    let page = app.api("GET", "/workflows?file=broken.yaml").await.text();
    let at = page.find("notfy</span>").expect("the line");
    assert!(page[at..].starts_with("notfy</span><em>"), "{page}");
    assert!(page.contains("No workflow is served from this file"), "{page}");
    let page = app.api("GET", "/workflows?file=no+yaml.yaml").await.text();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>") && page.contains("not YAML"), "{page}");
    for none in ["gated.yaml", "../config.yaml", "/etc/passwd", "broken"] {
        assert_eq!(app.api("GET", &format!("/workflows?file={none}")).await.status, 404, "{none}");
    }
}

#[tokio::test]
async fn a_download_is_what_was_sent_and_what_its_hash_is_of() {
    let app = TestApp::start().await;
    for sent in [
        r#"{ "a":12345678901234567890123456789,"b":0.10, "c":1E5,"d":-0,"event":"\ud800" }"#,
        "payload=%7B%22a%22%3A1%7D",
    ] {
        let kind = if sent.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        app.send(Request::post("/webhooks/plain", sent).header("content-type", kind)).await;
        let event = processed(&app).await;
        let file = app.api("GET", &format!("/events/{event}/payload")).await;
        assert_eq!(file.text(), sent);
        let hash = hex::encode(Sha256::digest(&file.body));
        assert_eq!(app.api("GET", &format!("/api/events/{event}")).await.json()["body_sha256"], hash);
    }
    assert_eq!(app.api("GET", "/events/evt_01KAX0000000000000000000AB/payload").await.status, 404);
}

#[tokio::test]
async fn lists_of_hostile_things_are_small_pages_too() {
    let app = TestApp::with_workflows("", &[("gated", GATED)]).await;
    let title = "<\"&>".repeat(500);
    for n in 0..60 {
        let mut request = delivery(&format!("d{n}"), "pull_request", &pull_request(n, &title));
        for header in 0..40 {
            request = request.header(&format!("x-note-{header}"), "<\"&>".repeat(80));
        }
        assert_eq!(app.send(request).await.status, 200);
    }
    let waits = async {
        loop {
            let list = app.api("GET", "/api/approvals?state=pending&limit=100").await.json();
            if ids(&list).count() == 60 {
                return list;
            }
            tokio::task::yield_now().await;
        }
    };
    let waiting = patiently(waits).await;
    for approval in ids(&waiting).take(30) {
        app.api_with("POST", &format!("/approvals/{approval}"), "verdict=deny").await;
    }
    let event = waiting["items"][0]["event_id"].as_str().expect("an event").to_owned();
    let mut pages = pages_about(&app, &event).await;
    pages.push(("a backtest".into(), app.api("GET", "/workflows/gated?last=200").await));
    for (path, reply) in pages {
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.body.len() < PAGE_BYTES_MAX, "{path}: {} bytes", reply.body.len());
    }
    assert!(app.api("GET", &format!("/events/{event}")).await.text().contains(" more; <a href=\"/api/events/"));
}

#[tokio::test]
async fn an_action_that_is_larger_than_a_page_leads_to_the_whole_of_it() {
    let save = "name: gated\ntrigger: webhook\non: { handler: github }\nsteps:\n  - name: save\n    tool: write_file\n    args: { path: x.txt, content: \"{{ payload.pull_request.title }}\" }\n    requires_approval: true\n";
    let app = TestApp::with_workflows("", &[("gated", save)]).await;
    for title in ["line <b> of text\n".repeat(20_000), "<".repeat(400_000)] {
        app.send(delivery(&title[..9], "pull_request", &pull_request(1, &title))).await;
        let asked = pending(&app).await;
        let page = format!("/approvals/{}", asked["id"].as_str().expect("an id"));
        for path in [page.as_str(), "/", "/approvals", &format!("/runs/{}", asked["run_id"].as_str().expect("an id"))] {
            let reply = app.api("GET", path).await;
            assert!(reply.status == 200 && reply.body.len() < PAGE_BYTES_MAX, "{path}: {} bytes", reply.body.len());
        }
        let text = app.api("GET", &page).await.text();
        assert!(
            text.contains("It is larger than this page") && text.contains(&format!("{page}/action")),
            "{text:.3000}"
        );
        let whole = app.api("GET", &format!("{page}/action")).await;
        assert!(whole.header("content-disposition").is_some_and(|value| value.starts_with("attachment")));
        assert!(whole.text().starts_with("write_file\n") && whole.body.len() > title.len());
        app.api_with("POST", &page, "verdict=deny").await;
    }
}

#[tokio::test]
async fn the_overview_does_not_say_that_nothing_was_acknowledged_where_it_cannot_know() {
    let mut app = TestApp::start().await;
    app.send(delivery("d1", "pull_request", &pull_request(1, "Fix it"))).await;
    processed(&app).await;
    app.stop().await;
    app.run().await;
    // The search index tells of the minutes, and is made beside.
    let shown = async {
        loop {
            let page = app.api("GET", "/").await.text();
            if page.contains("Acknowledgement latency") {
                return page;
            }
            tokio::task::yield_now().await;
        }
    };
    let page = patiently(shown).await;
    for told in ["not measured before 03:04 UTC", "Nothing was acknowledged since the agent started at 03:04 UTC."] {
        assert!(page.contains(told), "{told}: {page}");
    }
    app.clock.advance(std::time::Duration::from_secs(2 * 3600));
    let later = app.api("GET", "/").await.text();
    assert!(later.contains("nothing yet") && !later.contains("not measured"), "{later}");
    app.stop().await;
}

#[tokio::test]
async fn every_fact_can_be_reached() {
    let keep = "name: keep\ntrigger: manual\nsteps:\n  - { name: keep, for_each: inputs.facts, tool: memory_store, args: { section: s, fact: \"fact {{ item }}.\" } }\n";
    let app = TestApp::with_workflows("", &[("keep", keep)]).await;
    let inputs: String =
        form_urlencoded::byte_serialize(json!({ "facts": (0..61).collect::<Vec<_>>() }).to_string().as_bytes())
            .collect();
    let (run, _) = run_page(&app, "keep", &inputs).await;
    assert_eq!(run["state"], "success");
    let first = app.api("GET", "/memory").await.text();
    let (_, rest) = first.split_once("rel=\"next\" href=\"").expect("a second page");
    let second = app.api("GET", rest.split('"').next().expect("an end")).await.text();
    let places = (0..61).map(|n| format!("fact {n}.<")).map(|fact| (first.contains(&fact), second.contains(&fact)));
    assert_eq!(places.filter(|(one, other)| one != other).count(), 61, "each on one page");
    assert!(!second.contains("rel=\"next\"") && second.contains("← Newest"));
    let page = app.api("GET", "/api/memory?limit=60").await.json();
    let next = page["next"].as_str().expect("more");
    let rest = app.api("GET", &format!("/api/memory?cursor={next}")).await.json();
    assert_eq!((rest["items"][0]["fact"].as_str(), rest["next"].is_null()), (Some("fact 0."), true), "{rest}");
    let behind = app.api("GET", &format!("/api/memory?cursor={next}&query=fact")).await.json();
    assert_eq!(behind["items"], json!([]), "a search has one page");
    assert_eq!(app.api("GET", "/api/memory?cursor=0").await.status, 400);
}

#[tokio::test]
async fn a_fact_is_forgotten_from_the_page_and_is_gone_everywhere() {
    let keep = "name: keep\ntrigger: manual\nsteps:\n  - name: keep\n    tool: memory_store\n    args: { section: s, fact: \"{{ inputs.fact }}\" }\n";
    let app = TestApp::with_workflows("", &[("keep", keep)]).await;
    let to =
        location(&app.api_with("POST", "/workflows/keep/run", "inputs=%7B%22fact%22%3A%22the+%3Cb%3Ecat%22%7D").await);
    app.ended(to.trim_start_matches("/runs/").split('?').next().expect("an id")).await;
    let page = app.api("GET", "/memory").await.text();
    assert!(page.contains("the &lt;b&gt;cat") && page.contains("/memory/1/forget") && page.contains("#1"), "{page}");
    let to = location(&app.api_with("POST", "/memory/1/forget", "").await);
    let page = app.api("GET", &to).await.text();
    assert!(page.contains("The fact is forgotten.") && !page.contains("cat"), "{page}");
    assert!(app.api("GET", "/memory?search=cat").await.text().contains("Nothing matches"));
    assert_eq!(app.api_with("POST", "/memory/1/forget", "").await.status, 404);
    assert_eq!(app.api_with("POST", "/memory/x/forget", "").await.status, 404);
}

#[tokio::test]
async fn payloads_that_are_made_to_be_slow_make_small_pages() {
    let app = TestApp::start().await;
    let keys = Value::Object((0..100_000).map(|n| (format!("key<{n}"), json!(n))).collect());
    let hidden = json!({ "\u{202E}".repeat(50_000): "\u{200B}".repeat(100_000), "k".repeat(300_000): 1 });
    let deepest = format!("{}1{}", "{\"a\":".repeat(126), "}".repeat(126));
    let mut bodies = vec![keys.to_string(), hidden.to_string(), deepest];
    bodies.push(json!({ "title": "<img src=x>".repeat(200_000), "event": "x".repeat(100_000) }).to_string());
    bodies.push(json!({ "text": "a".repeat(4_900_000) }).to_string());
    for body in &bodies {
        let sent = Request::post("/webhooks/plain", body).header("content-type", "application/json");
        assert_eq!(app.send(sent).await.status, 200, "{:.60}", body);
        let event = processed(&app).await;
        for page in ["", "/paths", "/replay"] {
            let reply = app.api("GET", &format!("/events/{event}{page}")).await;
            assert_eq!(reply.status, 200, "{page} of {:.60}", body);
            assert!(reply.body.len() < PAGE_BYTES_MAX, "{page} of {:.60}: {} bytes", body, reply.body.len());
            let text = reply.text();
            assert!(!text.contains("<img") && !text.contains('\u{202E}') && !text.contains('\u{200B}'), "{:.60}", body);
        }
    }
    for list in ["/", "/events", "/handlers/plain"] {
        let reply = app.api("GET", list).await;
        assert!(reply.status == 200 && reply.body.len() < PAGE_BYTES_MAX, "{list}: {} bytes", reply.body.len());
    }
    // Deeper than what is parsed at all: refused, and its page shows the first bytes.
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let refused = app.send(Request::post("/webhooks/plain", &deep).header("content-type", "application/json")).await;
    assert_eq!(refused.status, 400);
    let told = refused.text();
    let at = told.find("req_").expect("an id");
    let request = &told[at..at + 30];
    let kept = async {
        loop {
            let reply = app.api("GET", &format!("/events/{request}")).await;
            if reply.status == 200 {
                return reply;
            }
            tokio::task::yield_now().await;
        }
    };
    let page = patiently(kept).await;
    assert!(page.body.len() < PAGE_BYTES_MAX && page.text().contains("[[[["), "{} bytes", page.body.len());
}

#[tokio::test]
async fn a_test_button_sends_a_signed_sample() {
    let app = TestApp::start().await;
    let page = app.api_with("POST", "/handlers/github/test", "").await.text();
    assert!(page.contains("answered 200 OK") && page.contains("accepted"), "{page}");
    assert_eq!(app.events(EventFilter::default()).await.len(), 1);
}

#[tokio::test]
async fn a_test_of_a_sender_that_signs_the_url_is_accepted_with_a_public_url_and_without() {
    let mut app = TestApp::start().await;
    let twilio = "  handlers:\n    twilio: { secret: a-token-of-an-account }\n";
    for public in ["", "  public_url: https://hooks.example.com/in\n"] {
        change_config(&mut app, "  handlers:\n", &format!("{public}{twilio}")).await;
        let page = app.api_with("POST", "/handlers/twilio/test", "").await.text();
        assert!(page.contains("answered 200 OK") && page.contains("accepted"), "{public}: {page}");
        change_config(&mut app, &format!("{public}{twilio}"), "  handlers:\n").await;
    }
    app.stop().await;
}

#[tokio::test]
async fn what_a_reader_needs_whole_is_not_cut_as_titles_are() {
    let note = format!("Look at {}the last word.", "each of these ".repeat(30));
    let noted = GATED.replace("requires_approval: true", &format!("requires_approval: {{ note: \"{note}\" }}"));
    let mut app = TestApp::with_workflows("", &[("gated", &noted)]).await;
    change_config(&mut app, "    plain:", "    grafana: { secret: a-long-enough-secret }\n    plain:").await;
    app.send(delivery("d1", "pull_request", &pull_request(1, "Fix it"))).await;
    let asked = pending(&app).await;
    let page = format!("/approvals/{}", asked["id"].as_str().expect("an id"));
    assert!(app.api("GET", &page).await.text().contains(&note));
    let reason = format!("Because {}of that.", "and because ".repeat(35));
    app.api_with("POST", &page, format!("verdict=deny&reason={}", reason.replace(' ', "+"))).await;
    assert!(app.api("GET", &page).await.text().contains(&reason));
    let handler = app.api("GET", "/handlers/grafana").await.text();
    assert!(handler.contains("Bearer and the secret as credentials, or Basic"), "{handler}");
}

/// A run by hand, once it has ended, and its page.
async fn run_page(app: &TestApp, workflow: &str, inputs: &str) -> (Value, String) {
    let to = location(&app.api_with("POST", &format!("/workflows/{workflow}/run"), format!("inputs={inputs}")).await);
    let run = to.trim_start_matches("/runs/").split('?').next().expect("an id").to_owned();
    (app.ended(&run).await, app.api("GET", &format!("/runs/{run}")).await.text())
}

#[tokio::test]
async fn groups_loops_and_skipped_steps_read_as_what_they_are() {
    let keep = |name: &str, more: &str| {
        format!("- {{ name: {name}, tool: memory_store, args: {{ section: s, fact: hello }}{more} }}")
    };
    let many = format!(
        "name: many\ntrigger: manual\nsteps:\n  - name: both\n    parallel:\n      {}\n      {}\n  {}\n  {}\n",
        keep("left", ""),
        keep("right", ""),
        keep("each-one", ", for_each: '[1, 2]'"),
        keep("not", ", when: 1 == 2"),
    );
    let app = TestApp::with_workflows("", &[("many", &many)]).await;
    let (run, page) = run_page(&app, "many", "%7B%7D").await;
    assert_eq!(run["state"], "success");
    let is_within = |name: &str| page.contains(&format!("<tr class=\"in1\"><td><span class=\"what\">{name}</span>"));
    assert_eq!(
        ["both", "left", "right", "each-one", "each-one[0]", "not"].map(is_within),
        [false, true, true, false, true, false],
        "{page}"
    );
    assert!(page.contains("<details class=\"out\" id=\"out-not\"><summary>"), "nobody has to look at it: {page}");
    assert!(page.contains("<p class=\"soft\">the condition does not hold: 1 == 2</p>"), "{page}");
    assert!(!page.contains("note bad") && !page.contains("derives from the payload"), "{page}");
    assert!(page.contains("data-root=\"steps.each_one.output\""), "as expressions name it: {page}");
    let workflow = app.api("GET", "/workflows/many").await.text();
    for step in ["both<small> side by side", "left<small> memory_store", "each-one<small> memory_store for each"] {
        assert!(workflow.contains(step), "{step}: {workflow}");
    }
}

#[tokio::test]
async fn the_page_of_a_large_run_is_small_and_shows_what_failed() {
    let mut steps = String::new();
    for n in 0..60 {
        steps +=
            &format!("  - {{ name: s{n:02}, tool: memory_search, args: {{ query: word }}, for_each: payload.rows }}\n");
    }
    let fails = "  - { name: last, tool: shell_exec, args: { argv: [ls, /no-such-folder] } }\n";
    let large = format!(
        "name: large\ntrigger: manual\nsteps:\n  - {{ name: keep, tool: memory_store, args: {{ section: s, fact: \"{{{{ payload.fact }}}}\" }} }}\n{steps}{fails}"
    );
    let app = TestApp::with_workflows("", &[("large", &large)]).await;
    let inputs =
        json!({ "fact": format!("word {}", "<\"&>".repeat(400)), "rows": [1, 2, 3], "more": vec!["<b>"; 4000] });
    let inputs: String = form_urlencoded::byte_serialize(inputs.to_string().as_bytes()).collect();
    let (run, page) = run_page(&app, "large", &inputs).await;
    assert_eq!((run["state"].as_str(), run["steps"].as_array().map(Vec::len)), (Some("error"), Some(242)));
    assert!(page.len() < PAGE_BYTES_MAX, "{} bytes", page.len());
    assert!(page.contains("id=\"out-last\" open") && page.contains("no-such-folder"), "{page}");
    assert!(page.contains("<span class=\"what\">last</span>") && page.contains("more steps; "), "{page}");
    assert!(page.contains("more; all are in the JSON") && page.contains("data-root=\"payload\""), "{page}");
}

#[tokio::test]
async fn an_id_in_the_search_leads_to_its_page_and_form_addresses_to_theirs() {
    let app = TestApp::start().await;
    let ulid = "01KAX0000000000000000000AB";
    for (id, place) in [("evt", "events"), ("req", "events"), ("run", "runs"), ("apr", "approvals")] {
        let found = app.api("GET", &format!("/events?search=+{id}_{ulid}")).await;
        assert_eq!(location(&found), format!("/{place}/{id}_{ulid}"));
    }
    for none in ["evt_x", "usr_01KAX0000000000000000000AB", "words_of"] {
        assert_eq!(app.api("GET", &format!("/events?search={none}")).await.status, 200, "{none}");
    }
    for (form, page) in [
        ("/handlers/github/test", "/handlers/github"),
        ("/workflows/x/run", "/workflows/x"),
        ("/runs/x/cancel", "/runs/x"),
        ("/memory/1/forget", "/memory"),
    ] {
        assert_eq!(location(&app.api("GET", form).await), page);
    }
}

#[tokio::test]
async fn the_list_of_events_says_that_a_run_failed() {
    let fails = GATED
        .replace("    requires_approval: true\n", "")
        .replace("tool: notify", "tool: shell_exec")
        .replace("args: { text: done }", "args: { argv: [ls, /no-such] }");
    let app = TestApp::with_workflows("", &[("gated", &fails)]).await;
    let sent = app.send(delivery("d1", "pull_request", &pull_request(1, "Fix it"))).await.json();
    let run = sent["runs"][0]["run_id"].as_str().expect("a run").to_owned();
    assert_eq!(app.ended(&run).await["state"], "error");
    let list = app.api("GET", "/events").await.text();
    assert!(list.contains("· its run failed</small>"), "{list}");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_form_is_said_on_a_page() {
    let app = TestApp::start().await;
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/events/evt_01KAX0000000000000000000AB", 404),
        ("GET", "/events/41", 404),
        ("GET", "/runs/x", 404),
        ("GET", "/workflows/none", 404),
        ("GET", "/events?status=wrong", 400),
        ("GET", "/events?cursor=wrong", 400),
        ("GET", "/events?since=nope", 400),
        ("POST", "/events", 405),
        ("POST", "/nothing", 404),
        ("DELETE", "/runs", 405),
    ] {
        let reply = app.api(method, path).await;
        assert_eq!((reply.status, reply.text().contains("</html>")), (status, true), "{method} {path}");
        let section = path.split(['/', '?']).nth(1).expect("one");
        let marked = reply.text().contains(&format!("<a href=\"/{section}\" aria-current=\"page\">"));
        assert_eq!(marked, section != "nothing", "{path} is marked where it lies");
    }
}
