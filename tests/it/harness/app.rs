//! The whole agent in this process, between a fake clock, a fake Telegram and real sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hookhand::app::{Agent, Deps};
use hookhand::config::{self, Config, LoadOptions};
use hookhand::ledger::{EventFilter, EventRow};
use hookhand::lifecycle::Shutdown;
use hookhand::ports::{Model, RandomIds};
use serde_json::{Value, json};

use super::bot_api::{BotApi, SeenMessage, TapAnswer};
use super::clock::{FakeClock, PATIENCE};
use super::http::{Reply, Request};

/// The chat that notices go to.
pub const CHAT: i64 = 7001;
/// Another chat.
pub const OPS: i64 = -100_200;
/// A second user, in the group `leads` only.
pub const LEAD: i64 = 7002;
/// Somebody on no list.
pub const STRANGER: i64 = 9009;
/// The secret of the GitHub handler.
pub const SECRET: &str = "a-secret-for-tests-only";

/// A running agent and its surroundings.
pub struct TestApp {
    pub clock: Arc<FakeClock>,
    pub telegram: BotApi,
    pub dir: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    /// What the agent has for a model from its next start on.
    pub model: Option<Arc<dyn Model>>,
    agent: Option<Agent>,
    shutdown: Shutdown,
}

impl TestApp {
    /// An agent with a GitHub handler and a Telegram chat.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// The same with more keys under `webhooks:` (indented by two).
    pub async fn with(webhooks: &str) -> Self {
        Self::with_workflows(webhooks, &[]).await
    }

    /// The same with workflow files, by name and text.
    pub async fn with_workflows(webhooks: &str, workflows: &[(&str, &str)]) -> Self {
        Self::made(webhooks, workflows, BTreeMap::new(), None, "").await
    }

    /// With workflow files and more keys at the top of the configuration.
    pub async fn with_keys(keys: &str, workflows: &[(&str, &str)]) -> Self {
        Self::made("", workflows, BTreeMap::new(), None, keys).await
    }

    /// With workflow files and an environment variable.
    pub async fn with_env(name: &str, value: &str, workflows: &[(&str, &str)]) -> Self {
        Self::made("", workflows, BTreeMap::from([(name.to_owned(), value.to_owned())]), None, "").await
    }

    /// With more keys under `webhooks:`, workflow files, and a model.
    pub async fn with_model(webhooks: &str, workflows: &[(&str, &str)], model: Arc<dyn Model>) -> Self {
        Self::made(webhooks, workflows, BTreeMap::new(), Some(model), "").await
    }

    /// With more keys at the top of the configuration, and a model.
    pub async fn with_keys_and_model(keys: &str, model: Arc<dyn Model>) -> Self {
        Self::made("", &[], BTreeMap::new(), Some(model), keys).await
    }

    async fn made(
        webhooks: &str,
        workflows: &[(&str, &str)],
        environment: BTreeMap<String, String>,
        model: Option<Arc<dyn Model>>,
        keys: &str,
    ) -> Self {
        let clock = FakeClock::new();
        let telegram = BotApi::start_with(clock.clone()).await;
        let dir = tempfile::tempdir().expect("a folder");
        let config = format!(
            "webhooks:\n  enabled: true\n  port: 0\n  rate_limit: {{ enabled: false }}\n{webhooks}\n  handlers:\n    \
             github: {{ secret: {SECRET}, events: [pull_request, issues, ping, release] }}\n    stripe: {{ secret: whsec_{SECRET} }}\n    \
             plain: {{ response_type: text }}\n\
             telegram:\n  token: \"{}\"\n  api_url: \"{}\"\n  chats: {{ default: {CHAT}, ops: {OPS} }}\n  allowed_users: [{CHAT}, {LEAD}]\n  \
             groups: {{ oncall: [{CHAT}], leads: [{CHAT}, {LEAD}] }}\n\
             dashboard: {{ port: 0 }}\nnetwork: {{ allow: [\"127.0.0.0/8\"] }}\n{keys}\n",
            telegram.token(),
            telegram.url()
        );
        std::fs::write(dir.path().join("config.yaml"), config).expect("written");
        let folder = dir.path().join("data/workflows");
        std::fs::create_dir_all(&folder).expect("made");
        for (name, text) in workflows {
            std::fs::write(folder.join(format!("{name}.yaml")), text).expect("written");
        }
        let mut app = Self { clock, telegram, dir, environment, model, agent: None, shutdown: Shutdown::new() };
        app.run().await;
        app
    }

    /// Starts the agent (again) on the same folder.
    pub async fn run(&mut self) {
        self.shutdown = Shutdown::new();
        let deps = Deps {
            clock: self.clock.clone(),
            ids: Arc::new(RandomIds::default()),
            terminal: Box::new(std::io::sink()),
            colour: false,
            program: env!("CARGO_BIN_EXE_agent").into(),
            process_env: Vec::new(),
            model: self.model.clone(),
            abort: None,
        };
        let agent = Agent::start(load(self.dir.path(), &self.environment), deps, self.shutdown.clone())
            .await
            .expect("it starts");
        self.agent = Some(agent);
    }

    /// Stops the agent as Ctrl-C does.
    pub async fn stop(&mut self) {
        self.shutdown.stop_soon();
        let agent = self.agent.take().expect("it runs");
        // What sleeps on the clock wakes by the stop, not by time.
        agent.finish().await.expect("a clean end");
    }

    fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("it runs")
    }

    pub fn webhooks(&self) -> SocketAddr {
        self.agent().webhooks_address().expect("webhooks are on")
    }

    pub fn api_address(&self) -> SocketAddr {
        self.agent().api_address().expect("the API is on")
    }

    /// The link that logs in once, without its host.
    pub fn login_link(&self) -> String {
        let link = self.agent().login_link().expect("the dashboard is on");
        link[link.find("/login").expect("a path")..].to_owned()
    }

    /// Sends a request to the dashboard and API, as it is but for the host.
    pub async fn dashboard(&self, request: Request) -> Reply {
        request.header("host", "localhost").send(self.api_address()).await
    }

    /// Sends a request to the webhook server.
    pub async fn send(&self, request: Request) -> Reply {
        request.send(self.webhooks()).await
    }

    /// Sends a request with the token to the local API.
    pub async fn api(&self, method: &str, path: &str) -> Reply {
        self.api_with(method, path, "").await
    }

    /// The same with a body.
    pub async fn api_with(&self, method: &str, path: &str, body: impl Into<String>) -> Reply {
        let token = std::fs::read_to_string(self.dir.path().join("data/admin_token")).expect("a token");
        Request::new(method, path)
            .body(body.into())
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"))
            .send(self.api_address())
            .await
    }

    /// The first `count` messages of the chat, the clock moving as the agent waits for it.
    pub async fn messages(&self, count: usize) -> Vec<SeenMessage> {
        self.clock.run_until(self.telegram.wait_for_messages(CHAT, count)).await
    }

    /// A person taps on a button; what they read.
    pub async fn tap(&self, user: i64, card: &SeenMessage, label: &str) -> TapAnswer {
        let callback = self.telegram.user_taps(user, CHAT, card.id, &card.button(label));
        self.telegram.wait_for_tap_answer(&callback).await
    }

    /// The message once it was changed so that it `holds`.
    pub async fn changed(&self, card: &SeenMessage, holds: impl Fn(&SeenMessage) -> bool) -> SeenMessage {
        self.clock.run_until(self.telegram.wait_for_message(CHAT, card.id, holds)).await
    }

    /// The run once it has ended, as the local API shows it. The clock stands still meanwhile: a step that waits for it never
    /// ends, and what the run looked like last is said.
    pub async fn ended(&self, run: &str) -> Value {
        let seen = Mutex::new(Value::Null);
        let ended = async {
            loop {
                let row = self.api("GET", &format!("/api/runs/{run}")).await.json();
                if !row["ended_at"].is_null() {
                    return row;
                }
                *seen.lock().expect("not poisoned") = row;
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(PATIENCE, ended).await {
            Ok(row) => row,
            Err(_) => panic!("the run does not end: {:#}", seen.lock().expect("not poisoned")),
        }
    }

    /// The rows of a query.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<Value>> {
        self.agent().ledger().query(sql, 1000).await.expect("queried").rows
    }

    /// Events as the ledger lists them.
    pub async fn events(&self, filter: EventFilter) -> Vec<EventRow> {
        self.agent().ledger().events(filter).await.expect("listed").items
    }
}

/// Loads `dir/config.yaml`.
fn load(dir: &Path, environment: &BTreeMap<String, String>) -> Config {
    let options = LoadOptions { cwd: dir.to_owned(), ..LoadOptions::default() };
    let loaded = config::load(&options, environment);
    let faults: Vec<String> = loaded.faults.iter().map(ToString::to_string).collect();
    loaded.config.unwrap_or_else(|| panic!("faults: {faults:#?}"))
}

/// A pull request that was opened, as GitHub tells it.
pub fn pull_request(number: u64, title: &str) -> Value {
    let page = format!("https://github.com/acme/shop/pull/{number}");
    json!({
        "action": "opened",
        "number": number,
        "pull_request": {
            "number": number, "title": title, "html_url": page, "user": { "login": "octocat" },
            "head": { "ref": "fix" }, "base": { "ref": "main" },
            "additions": 3, "deletions": 1, "changed_files": 1, "body": null,
        },
        "repository": { "full_name": "acme/shop", "html_url": "https://github.com/acme/shop" },
        "sender": { "login": "octocat" },
    })
}

/// A signed GitHub delivery.
pub fn delivery(id: &str, event: &str, payload: &Value) -> Request {
    Request::post("/webhooks/github", payload.to_string())
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header("x-github-delivery", id)
        .signed(SECRET)
}
