//! `agent doctor` as a person meets it: a set-up on disk, a Bot API server, and one line for each thing.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::scripted_bot::{ScriptedBot, TOKEN, agent, said};

/// A folder with this configuration, which `doctor` looks at; its checks by name, and whether it succeeded.
struct Examined {
    checks: Vec<(String, String, String)>,
    good: bool,
    text: String,
}

impl Examined {
    /// Status and text of the first check of that name.
    fn check(&self, name: &str) -> (&str, &str) {
        let found = self.checks.iter().find(|(found, ..)| found == name);
        let (_, status, text) = found.unwrap_or_else(|| panic!("no check '{name}' in:\n{}", self.text));
        (status, text)
    }

    fn has(&self, name: &str, status: &str, part: &str) -> bool {
        self.checks.iter().any(|(n, s, text)| n == name && s == status && text.contains(part))
    }
}

fn examine(folder: &Path, yaml: &str) -> Examined {
    std::fs::write(folder.join("config.yaml"), yaml).expect("written");
    let output = agent(folder, &["doctor", "--json"], &[], "");
    let text = said(&output);
    assert!(!text.contains(TOKEN), "the token is shown: {text}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {text}"));
    let word = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let checks = report["checks"].as_array().expect("a list").iter();
    let checks =
        checks.map(|c| (word(c, "name"), word(c, "status"), format!("{} {}", word(c, "message"), word(c, "fix"))));
    assert_eq!(report["ok"], json!(output.status.success()));
    Examined { checks: checks.collect(), good: output.status.success(), text }
}

/// Ports that nothing has.
const PORTS: &str = "dashboard: { enabled: false }\n";

fn with_telegram(api: &ScriptedBot, rest: &str) -> String {
    format!("{PORTS}webhooks: {{ port: 0 }}\ntelegram: {{ token: \"{TOKEN}\", api_url: \"{}\", {rest} }}\n", api.url)
}

#[test]
fn a_good_set_up_has_nothing_bad_and_every_chat_by_its_name() {
    let (folder, api) = (tempfile::tempdir().expect("a folder"), ScriptedBot::start());
    api.answer("getchat", json!({"id": 7, "type": "private", "first_name": "Ann", "username": "ann"}));
    let found = examine(folder.path(), &with_telegram(&api, "chats: { default: 7 }, allowed_users: [7]"));
    assert!(found.good, "{}", found.text);
    assert_eq!(found.check("chat default"), ("ok", "Ann (@ann) "));
    assert!(found.has("telegram", "ok", "@hook_bot"), "{}", found.text);
    assert_eq!(api.asked("getchat"), [json!({"chat_id": 7})]);
    assert!(!folder.path().join("data").exists(), "doctor made something");
}

#[test]
fn a_refused_token_is_bad_and_is_not_shown() {
    let (folder, api) = (tempfile::tempdir().expect("a folder"), ScriptedBot::start());
    let yaml = with_telegram(&api, "chats: { default: 7 }, allowed_users: [7]").replace(TOKEN, "1:wrong-token");
    let found = examine(folder.path(), &yaml);
    assert!(!found.good);
    assert_eq!(found.check("telegram").0, "bad");
    assert!(found.check("telegram").1.contains("refuses the token"), "{}", found.text);
    assert!(!found.text.contains("wrong-token"), "{}", found.text);
}

#[test]
fn an_unreachable_chat_a_webhook_at_telegram_and_nobody_allowed_are_each_told() {
    let (folder, api) = (tempfile::tempdir().expect("a folder"), ScriptedBot::start());
    api.refuse("getchat", 400, "Bad Request: chat not found");
    api.forget("getwebhookinfo");
    api.answer("getwebhookinfo", json!({"url": "https://other.example/s3cret-path"}));
    let found = examine(folder.path(), &with_telegram(&api, "chats: { default: 7, ops: -100 }"));
    assert!(!found.good);
    assert!(found.has("chat ops", "bad", "chat not found"), "{}", found.text);
    assert!(found.has("telegram", "bad", "a webhook to other.example"), "{}", found.text);
    assert!(!found.text.contains("s3cret-path"), "{}", found.text);
    assert!(found.has("telegram", "warn", "allowed_users is empty"), "{}", found.text);
}

#[test]
fn a_clock_that_is_off_is_told_with_the_direction() {
    let (folder, api) = (tempfile::tempdir().expect("a folder"), ScriptedBot::start());
    api.answer("getchat", json!({"id": 7, "type": "private", "first_name": "Ann"}));
    let yaml = with_telegram(&api, "chats: { default: 7 }, allowed_users: [7]");
    api.date("Wed, 21 Oct 2015 07:28:00 GMT");
    let found = examine(folder.path(), &yaml);
    let (status, text) = found.check("clock");
    assert!(status == "warn" && text.contains("ahead of that of Telegram"), "{}", found.text);
    assert!(found.good, "a warning is no failure: {}", found.text);
    api.date("Fri, 21 Oct 2095 07:28:00 GMT");
    assert!(examine(folder.path(), &yaml).check("clock").1.contains("behind that of Telegram"));
}

#[test]
fn a_port_of_another_program_is_bad_where_it_is_needed() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let found = examine(folder.path(), &format!("{PORTS}webhooks: {{ enabled: true, port: {port} }}\n"));
    assert!(!found.good);
    assert!(found.has("webhooks port", "bad", "another program has"), "{}", found.text);
    let found = examine(folder.path(), &format!("{PORTS}webhooks: {{ port: {port} }}\n"));
    assert!(found.good && found.has("webhooks port", "warn", "another program has"), "{}", found.text);
}

#[test]
fn certificates_are_looked_at_before_senders_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |name: &str, year: i32| {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join(format!("{name}.crt")), cert.pem()).expect("written");
        std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).expect("written");
    };
    make("good", 2090);
    make("old", 2020);
    let tls = |cert: &str, key: &str| {
        let yaml = format!("{PORTS}webhooks: {{ port: 0, ssl: {{ cert: {cert}.crt, key: {key}.key }} }}\n");
        let found = examine(folder.path(), &yaml);
        (found.check("tls").0.to_owned(), found.check("tls").1.replace(&format!("{}/", folder.path().display()), ""))
    };
    assert_eq!(tls("good", "good"), ("ok".into(), "the key fits good.crt, which ends on 3 Feb 2090 ".into()));
    assert!(tls("old", "old").0 == "bad" && tls("old", "old").1.contains("ended on 3 Feb 2020"));
    assert!(tls("good", "old").0 == "bad" && tls("good", "old").1.contains("does not belong"));
}

#[test]
fn secrets_that_are_missing_short_or_readable_by_others_are_told_without_being_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let dotenv = folder.path().join(".env");
    std::fs::write(&dotenv, "GITHUB_WEBHOOK_SECRET=hunter2\n").expect("written");
    std::fs::set_permissions(&dotenv, std::fs::Permissions::from_mode(0o644)).expect("changed");
    let yaml =
        |rest: &str| format!("{PORTS}webhooks: {{ port: 0, handlers: {{ github: {{}}, custom: {{}} }}{rest} }}\n");
    let found = examine(folder.path(), &yaml(""));
    assert!(found.has("handler github", "warn", "can be guessed"), "{}", found.text);
    assert!(found.has("handlers", "warn", "CUSTOM_WEBHOOK_SECRET"), "{}", found.text);
    assert!(found.has(".env", "warn", "chmod 600"), "{}", found.text);
    assert!(found.good && !found.text.contains("hunter2"), "{}", found.text);
    // Through a proxy the unsigned ones would be refused, and the proxy would count as the client.
    let found = examine(folder.path(), &yaml(", public_url: \"https://hooks.example.com\""));
    assert!(found.has("handlers", "bad", "custom"), "{}", found.text);
    assert!(found.has("proxy", "warn", "trusted_proxies"), "{}", found.text);
    let found = examine(folder.path(), &yaml(", trusted_proxies: [0.0.0.0/0]"));
    assert!(found.has("proxy", "bad", "anybody"), "{}", found.text);
}

#[test]
fn faults_of_the_configuration_and_a_file_that_is_no_ledger_are_bad() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = examine(folder.path(), "webhooks: { prot: 1 }\n");
    assert!(!found.good && found.has("config", "bad", "prot"), "{}", found.text);
    std::fs::create_dir(folder.path().join("data")).expect("made");
    std::fs::write(folder.path().join("data/ledger.db"), "this is no database, whatever its name says")
        .expect("written");
    let found = examine(folder.path(), &format!("{PORTS}webhooks: {{ port: 0 }}\n"));
    assert!(!found.good && found.check("ledger").0 == "bad", "{}", found.text);
}

#[test]
fn a_running_agent_answers_and_its_ports_and_ledger_are_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = "webhooks: { enabled: true, port: 0, handlers: { github: { secret: \"0123456789abcdef\" } } }\ndashboard: { port: 0 }\n";
    std::fs::write(folder.path().join("config.yaml"), yaml).expect("written");
    let process = crate::harness::process::Process::start(folder.path());
    let found = examine(folder.path(), yaml);
    assert!(found.good && found.checks.iter().all(|(_, status, _)| status == "ok"), "{}", found.text);
    assert!(found.check("webhooks port").1.contains(&process.webhooks.to_string()), "{}", found.text);
    assert!(found.check("ledger").1.contains("sound"), "{}", found.text);
    assert!(found.check("clock").1.contains("the running agent"), "{}", found.text);
    // A token that is not this agent's opens nothing.
    std::fs::write(folder.path().join("data/admin_token"), "somebody-else").expect("written");
    let found = examine(folder.path(), yaml);
    assert!(!found.good && found.has("agent", "bad", "HTTP 401"), "{}", found.text);
    process.kill();
    assert!(examine(folder.path(), yaml).has("agent", "warn", "none is running"));
}

#[test]
fn schedules_mcp_servers_and_the_collector_of_traces_have_a_line_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("bound").port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mcp_server.py");
    let server =
        |mode: &str| format!("{{ command: [python3, {}, {mode}], env: {{ TOKEN: hunter2secret }} }}", script.display());
    let yaml = format!(
        "{PORTS}mcp: {{ servers: {{ good: {}, broken: {} }} }}\ntelemetry: {{ otlp: {{ endpoint: \"http://127.0.0.1:{closed}\" }} }}\n",
        server("noise"),
        server("die")
    );
    let workflows = folder.path().join("data/workflows");
    std::fs::create_dir_all(&workflows).expect("made");
    let schedule = "trigger: schedule\nenabled: true\nsteps: [{ name: a, tool: notify, args: { text: hi } }]\n";
    for (name, cron) in [("daily", "0 9 * * *"), ("never", "0 0 31 2 *")] {
        let text = format!("name: {name}\nschedule: {{ cron: \"{cron}\", timezone: Europe/Berlin }}\n{schedule}");
        std::fs::write(workflows.join(format!("{name}.yaml")), text).expect("written");
    }
    let found = examine(folder.path(), &yaml);
    assert!(
        found.has("schedule", "ok", "daily: next ") && found.has("workflows", "ok", "1 can be used"),
        "{}",
        found.text
    );
    assert!(found.has("workflows", "warn", "never.yaml:2:19: schedule.cron"), "{}", found.text);
    assert_eq!(found.check("mcp good"), ("ok", "lists 6 tools "));
    assert!(found.has("mcp broken", "bad", "it said last: no licence"), "{}", found.text);
    assert!(found.has("traces", "warn", "does not take them"), "{}", found.text);
    assert!(!found.text.contains("hunter2secret"));
    let offline = said(&agent(folder.path(), &["doctor", "--offline"], &[], ""));
    assert!(offline.contains("were not asked") && !offline.contains("mcp good"), "{offline}");
}
