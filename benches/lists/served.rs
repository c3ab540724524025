//! The same ledger behind the agent: its pages and the answers of its API, over HTTP on loopback, as a browser gets them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookhand::app::{Agent, Deps};
use hookhand::config::{self, LoadOptions};
use hookhand::ledger::Ledger;
use hookhand::ledger::sqlite::SqliteLedger;
use hookhand::lifecycle::Shutdown;
use hookhand::ports::RandomIds;

use super::{LIST_MAX, SEARCH_MAX, ask};

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/harness/http.rs"]
mod http;

/// Runs, approvals that were decided, and approvals that wait.
const RUNS: u64 = 200_000;
const DECIDED: u64 = 50_000;
const PENDING: u64 = 1_000;
/// A page with its style, script and sign, in bytes.
const PAGE_BYTES_MAX: usize = 100_000;
/// The page of an event of 5 MB is no list; this is what a person waits for without wondering.
const LARGE_MAX: Duration = Duration::from_millis(500);

/// Keeps an event of 5 MB with a hundred thousand values; its id.
pub(super) async fn keep_a_large_event(ledger: &Arc<SqliteLedger>) -> String {
    let rows: Vec<String> =
        (0..45_000).map(|n| format!(r#"{{"id":{n},"text":"{}"}}"#, "<b>&amp; ".repeat(11))).collect();
    let body = format!(r#"{{"title":"large","rows":[{}]}}"#, rows.join(","));
    println!("an event of {} bytes", body.len());
    let mut event = super::event(&RandomIds::default(), 77);
    event.delivery_id = Some("large".into());
    event.delivery_key = None;
    event.body = Bytes::from(body);
    let id = event.id.to_string();
    ledger.ingest(event).await.expect("kept");
    id
}

/// What the ledger's own calls would take long to make: a notice of each event that its chat did not take, runs, approvals.
pub(super) fn fill_besides(path: &Path) {
    let conn = rusqlite::Connection::open(path).expect("opened");
    let sql = format!(
        r#"
        BEGIN;
        INSERT INTO notices (id, event_seq, kind, chat, state, attempts, created_at, message)
        SELECT printf('ntc_%026d', seq), seq, 'event', 'telegram:1', 'failed', 3, received_at, '{{"title":"x","severity":"info"}}'
        FROM events;
        INSERT INTO definitions VALUES ('sha256:1', 'deploy', 'name: deploy', 1);
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {RUNS})
        INSERT INTO runs (id, workflow, workflow_hash, event_id, source, started_by, depth, state, queued, started_at, ended_at)
        SELECT printf('run_%026d', n), CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'deploy' END, 'sha256:1', NULL, 'event',
            'handler github', 0, CASE WHEN n % 50 = 0 THEN 'error' ELSE 'success' END, 0, 1790000000000 + n, 1790000001000 + n
        FROM n;
        INSERT INTO run_steps (run_seq, key, pos, name, tool, kind, state, attempt, truncated, tainted, revision, epoch)
        SELECT seq, 'a', 1, 'a', 'notify', 'tool', 'success', 1, 0, 0, 1, 0 FROM runs;
        INSERT INTO approvals (id, run_seq, step_key, kind, state, action, digest, approvers, votes_needed, requested_at,
            closed_at, card_at, card_shown)
        SELECT printf('apr_%026d', seq), seq, 'a', 'gate', CASE WHEN seq > {DECIDED} THEN 'pending' ELSE 'approved' END,
            '{{"tool":"notify","args":{{}},"cwd":null,"env":{{}},"stdin_sha256":null,"files":[],"workflow":"deploy","workflow_hash":"sha256:1","run":"' ||
            id || '","step":"a","revision":1,"tainted":[]}}', 'sha256:2', '[]', 1, started_at,
            CASE WHEN seq > {DECIDED} THEN NULL ELSE ended_at END, 5, 1
        FROM runs WHERE seq <= {DECIDED} + {PENDING};
        COMMIT;
        "#
    );
    conn.execute_batch(&sql).expect("filled");
}

/// Asks the agent over HTTP.
pub(super) async fn questions(dir: &Path, large: &str) -> bool {
    std::fs::write(dir.join("config.yaml"), "webhooks: { enabled: false }\ndashboard: { port: 0 }\n").expect("written");
    let loaded = config::load(&LoadOptions { cwd: dir.to_owned(), ..LoadOptions::default() }, &BTreeMap::new());
    let deps = Deps::unattended("/nowhere".into());
    let shutdown = Shutdown::new();
    let agent = Agent::start(loaded.config.expect("valid"), deps, shutdown.clone()).await.expect("it starts");
    let address = agent.api_address().expect("the API is on");
    let token = std::fs::read_to_string(dir.join("data/admin_token")).expect("a token");
    let get = async |path: &str| {
        let request = http::Request::new("GET", path).header("host", "localhost");
        let reply = request.header("authorization", format!("Bearer {}", token.trim())).send(address).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply
    };
    let overview = get("/").await.text();
    let mut assets = 0;
    for part in overview.split('"').filter(|part| part.starts_with("/assets/")) {
        assets += get(part).await.body.len();
    }
    println!("style, script and sign: {assets} bytes");
    let (page, replay) = (format!("/events/{large}"), format!("/events/{large}/replay"));
    let of_large = format!("/api/events/{large}");
    let mut good = true;
    for (path, most) in [
        ("/", LIST_MAX),
        ("/api/overview", LIST_MAX),
        ("/metrics", LIST_MAX),
        ("/events", LIST_MAX),
        ("/api/events", LIST_MAX),
        ("/events?handler=github&type=push", LIST_MAX),
        ("/events?handler=rare", LIST_MAX),
        ("/events?status=failed", LIST_MAX),
        ("/events?search=usual", SEARCH_MAX),
        ("/events?search=zanzibar", SEARCH_MAX),
        ("/api/events?search=refund+timeout", SEARCH_MAX),
        ("/runs", LIST_MAX),
        ("/api/runs", LIST_MAX),
        ("/runs?state=error", LIST_MAX),
        ("/runs?workflow=rare", LIST_MAX),
        ("/runs?state=cancelled", LIST_MAX),
        ("/approvals", LIST_MAX),
        ("/api/approvals", LIST_MAX),
        ("/handlers", LIST_MAX),
        ("/memory", LIST_MAX),
        (page.as_str(), LARGE_MAX),
        (replay.as_str(), LARGE_MAX),
        (of_large.as_str(), LARGE_MAX),
    ] {
        let is_page = !path.starts_with("/api/") && path != "/metrics";
        let shown = path.replace(large, "LARGE");
        good &= ask(&format!("GET {shown}"), most, async || {
            let length = get(path).await.body.len();
            format!("{length} bytes")
        })
        .await;
        let weight = if is_page { get(path).await.body.len() + assets } else { 0 };
        if weight >= PAGE_BYTES_MAX {
            println!("{shown} weighs {weight} bytes");
            good = false;
        }
    }
    shutdown.stop_soon();
    agent.finish().await.expect("a clean end");
    good
}
