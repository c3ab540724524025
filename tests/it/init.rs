//! `agent init`, `agent webhook add`, `agent service install` and the generated documents, through the binary.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::scripted_bot::{ScriptedBot, TOKEN, agent, said};

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The value of a variable in `.env`.
fn variable(folder: &Path, name: &str) -> Option<String> {
    let text = read(folder, ".env");
    text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")).map(str::to_owned))
}

fn checked(folder: &Path) {
    let check = agent(folder, &["check"], &[], "");
    assert!(check.status.success(), "{}\n{}", said(&check), read(folder, "config.yaml"));
}

fn message(id: i32, chat: Value, from: Value) -> Value {
    json!({"update_id": id, "message": {"message_id": id, "date": 1_700_000_000, "chat": chat, "from": from, "text": "hi"}})
}

fn ann() -> Value {
    json!({"id": 7, "is_bot": false, "first_name": "Ann", "last_name": "Lee"})
}

#[test]
fn the_defaults_make_a_good_configuration_with_secrets_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = agent(folder.path(), &["init", "--yes"], &[], "");
    assert!(output.status.success(), "{}", said(&output));
    checked(folder.path());
    let list = agent(folder.path(), &["workflow", "list"], &[], "");
    assert!(list.status.success() && said(&list).contains("hello"), "{}", said(&list));
    let mode = std::fs::metadata(folder.path().join(".env")).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let secret = variable(folder.path(), "GITHUB_WEBHOOK_SECRET").expect("a secret");
    assert!(secret.len() >= 40, "too short");
    assert!(!said(&output).contains(&secret), "the secret is shown");
    assert!(!read(folder.path(), "config.yaml").contains(&secret));
    assert_eq!(variable(folder.path(), "STRIPE_WEBHOOK_SECRET").as_deref(), Some(""));
    assert!(said(&output).contains("https://YOUR-HOST/webhooks/github"), "{}", said(&output));
}

#[test]
fn a_second_time_overwrites_nothing_unless_told_and_never_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.yaml"), "# mine\n").expect("written");
    std::fs::write(folder.path().join(".env"), "GITHUB_WEBHOOK_SECRET=known-to-github\nOTHER=1\n").expect("written");
    let output = agent(folder.path(), &["init", "--yes"], &[], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--force"), "{}", said(&output));
    assert_eq!(read(folder.path(), "config.yaml"), "# mine\n");
    let output = agent(folder.path(), &["init", "--yes", "--force"], &[], "");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(read(folder.path(), "config.yaml.old"), "# mine\n");
    assert_eq!(variable(folder.path(), "GITHUB_WEBHOOK_SECRET").as_deref(), Some("known-to-github"));
    assert_eq!(variable(folder.path(), "OTHER").as_deref(), Some("1"));
}

#[test]
fn telegram_is_learned_from_the_first_message_of_the_right_person() {
    let (folder, api) = (tempfile::tempdir().expect("a folder"), ScriptedBot::start());
    let eve = json!({"id": 666, "is_bot": false, "first_name": "Eve"});
    api.answer("getupdates", json!([message(10, json!({"id": 666, "type": "private"}), eve)]));
    api.answer("getupdates", json!([message(11, json!({"id": 7, "type": "private"}), ann())]));
    api.answer("sendmessage", json!({"message_id": 1, "date": 1, "chat": {"id": 7, "type": "private"}}));
    // Data folder, senders, address, a wrong token and the right one; not Eve but Ann.
    let input = format!("\nGitHub\nhttps://hooks.example.com/\n1:wrong\n{TOKEN}\nn\ny\n");
    let output = agent(folder.path(), &["init", "--telegram-api-url", &api.url], &[], &input);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("Telegram refuses that token.") && text.contains("That is @hook_bot."), "{text}");
    assert!(
        text.contains("Eve (id 666) wrote. Is that you?") && text.contains("A test notice is in that chat."),
        "{text}"
    );
    assert!(text.contains("https://hooks.example.com/webhooks/github"), "{text}");
    assert!(!text.contains(TOKEN), "{text}");
    let yaml = read(folder.path(), "config.yaml");
    assert!(yaml.contains("chats: { default: 7 }   # Ann Lee") && yaml.contains("allowed_users: [7]"), "{yaml}");
    assert!(!yaml.contains(TOKEN) && variable(folder.path(), "TELEGRAM_BOT_TOKEN").as_deref() == Some(TOKEN), "{yaml}");
    let sent = api.asked("sendmessage");
    assert!(sent.len() == 1 && sent[0]["chat_id"] == json!(7), "{sent:?}");
    // Eve's message is confirmed by the second poll; Ann's stays for the agent.
    let polls: Vec<Value> = api.asked("getupdates").iter().map(|poll| poll["offset"].clone()).collect();
    assert_eq!(polls, [Value::Null, json!(11)]);
    checked(folder.path());
}

#[test]
fn a_webhook_in_the_way_is_removed_only_when_the_person_says_so() {
    let (folder, api) = (tempfile::tempdir().expect("a folder"), ScriptedBot::start());
    api.forget("getwebhookinfo");
    api.answer("getwebhookinfo", json!({"url": "https://other.example/hook"}));
    api.answer("deletewebhook", json!(true));
    api.answer("getupdates", json!([message(1, json!({"id": -5, "type": "group", "title": "Ops"}), ann())]));
    api.refuse("sendmessage", 403, "Forbidden: bot was kicked");
    let args = ["init", "--telegram-api-url", &api.url];
    let kept = agent(folder.path(), &args, &[], &format!("\n\n\n{TOKEN}\nn\n"));
    assert!(kept.status.success() && api.asked("deletewebhook").is_empty(), "{}", said(&kept));
    // What is not known yet is prepared and switched off.
    assert!(read(folder.path(), "config.yaml").contains("# telegram:"));
    checked(folder.path());
    let args = ["init", "--force", "--telegram-api-url", &api.url];
    let removed = agent(folder.path(), &args, &[], &format!("\n\n\n{TOKEN}\ny\ny\n"));
    assert!(removed.status.success() && api.asked("deletewebhook").len() == 1, "{}", said(&removed));
    assert!(
        said(&removed).contains("in the group 'Ops'") && said(&removed).contains("bot was kicked"),
        "{}",
        said(&removed)
    );
    assert!(read(folder.path(), "config.yaml").contains("chats: { default: -5 }"));
}

#[test]
fn leaving_before_the_last_answer_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    for input in ["", "\n", "\nnobody\n"] {
        let output = agent(folder.path(), &["init"], &[], input);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn one_more_handler_is_printed_and_only_its_secret_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = "webhooks: { public_url: \"https://h.example\", handlers: { github: {} } }\n";
    std::fs::write(folder.path().join("config.yaml"), yaml).expect("written");
    let output = agent(folder.path(), &["webhook", "add", "github", "--name", "second"], &[], "");
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let line = "    second: { provider: github, secret: \"${SECOND_WEBHOOK_SECRET}\" }";
    assert!(text.contains(line) && text.contains("https://h.example/webhooks/second"), "{text}");
    assert_eq!(read(folder.path(), "config.yaml"), yaml);
    let secret = variable(folder.path(), "SECOND_WEBHOOK_SECRET").expect("a secret");
    assert!(!text.contains(&secret));
    // What is printed works when it is pasted.
    let pasted = format!("webhooks:\n  public_url: https://h.example\n  handlers:\n    github: {{}}\n{line}\n");
    std::fs::write(folder.path().join("config.yaml"), pasted).expect("written");
    checked(folder.path());
    let again = agent(folder.path(), &["webhook", "add", "github", "--name", "second"], &[], "");
    assert!(said(&again).contains("is configured already"), "{}", said(&again));
    assert_eq!(variable(folder.path(), "SECOND_WEBHOOK_SECRET"), Some(secret));
    let unknown = agent(folder.path(), &["webhook", "add", "nobody"], &[], "");
    assert!(unknown.status.code() == Some(1) && said(&unknown).contains("standard-webhooks"), "{}", said(&unknown));
}

#[test]
fn the_unit_is_hardened_and_names_the_folders() {
    let folder = tempfile::tempdir().expect("a folder");
    let print = |yaml: &str, args: &[&str]| {
        std::fs::write(folder.path().join("config.yaml"), yaml).expect("written");
        let output = agent(folder.path(), &[&["service", "install", "--print"], args].concat(), &[], "");
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let data = std::fs::canonicalize(folder.path()).expect("there").join("my data");
    std::fs::create_dir(&data).expect("made");
    let unit = print("data_dir: my data\nwebhooks: { port: 443 }\n", &["--run-as", "hooks"]);
    for line in [
        "User=hooks",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "Restart=on-failure",
        "TimeoutStopSec=30",
        "UMask=0077",
        &format!("ReadWritePaths=\"{}\"", data.display()),
    ] {
        assert!(unit.lines().any(|found| found == line), "no '{line}' in:\n{unit}");
    }
    assert!(unit.contains("--webhooks\n"), "{unit}");
    let unit = print("webhooks: { enabled: true }\n", &["--run-as", "hooks"]);
    assert!(unit.contains("\nCapabilityBoundingSet=\n") && !unit.contains("--webhooks"), "{unit}");
    let unit = print("webhooks: { enabled: true }\n", &["--user"]);
    assert!(!unit.contains("User=") && unit.contains("WantedBy=default.target"), "{unit}");
}

#[test]
fn a_unit_is_written_where_systemd_is_and_nothing_is_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let home = path("home").display().to_string();
    let bin = path("bin").display().to_string();
    std::fs::create_dir(&bin).expect("made");
    let run = |args: &[&str]| {
        agent(
            folder.path(),
            &[&["service", "install", "--user"], args].concat(),
            &[("HOME", &home), ("PATH", &bin)],
            "",
        )
    };
    let output = run(&[]);
    assert!(output.status.code() == Some(1) && said(&output).contains("no systemctl"), "{}", said(&output));
    // One that would leave a mark, were it called.
    let systemctl = format!("#!/bin/sh\ntouch {}\n", path("called").display());
    std::fs::write(path("bin/systemctl"), systemctl).expect("written");
    std::fs::set_permissions(path("bin/systemctl"), std::fs::Permissions::from_mode(0o755)).expect("changed");
    let unit = path("home/.config/systemd/user/hookhand.service");
    assert!(run(&["--dry-run"]).status.success() && !unit.exists());
    let output = run(&[]);
    assert!(
        output.status.success() && said(&output).contains("systemctl --user enable --now hookhand"),
        "{}",
        said(&output)
    );
    assert!(unit.is_file() && !path("called").exists());
    std::fs::write(&unit, "# edited\n").expect("written");
    assert_eq!(run(&[]).status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&unit).expect("there"), "# edited\n");
    assert!(run(&["--force"]).status.success());
}

#[test]
fn the_documents_made_from_the_manifests_are_those_that_are_committed() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let made = tempfile::tempdir().expect("a folder");
    let blessed = std::env::var_os("HOOKHAND_BLESS").is_some();
    let target = if blessed { docs.as_path() } else { made.path() };
    let (providers, summaries) = (target.join("providers"), target.join("SUMMARIES.md"));
    for (what, out) in [("providers", &providers), ("summaries", &summaries)] {
        let output = agent(made.path(), &["docs", what, "--out", out.to_str().expect("text")], &[], "");
        assert!(output.status.success(), "{}", said(&output));
    }
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&docs.join("providers")), names(&providers), "run again with HOOKHAND_BLESS=1 to write them anew");
    let pages = names(&providers).into_iter().map(|name| Path::new("providers").join(name));
    for page in pages.chain([Path::new("SUMMARIES.md").to_path_buf()]) {
        let committed = std::fs::read_to_string(docs.join(&page)).unwrap_or_default();
        let fresh = std::fs::read_to_string(target.join(&page)).expect("made");
        assert!(committed == fresh, "docs/{} is old: run again with HOOKHAND_BLESS=1", page.display());
    }
}
