//! The command line as a person uses it, on the real binary.

use std::path::Path;

use serde_json::Value;

use hookhand::provider::Registry;

use crate::harness::process::{Process, run, stdout};

const SECRET: &str = "commands-secret-0123456789";

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let config = format!(
        "webhooks:\n  port: 0\n  handlers:\n    github: {{ secret: {SECRET} }}\n    stripe: {{ secret: whsec_{SECRET} }}\n    \
         svc: {{ enabled: false }}\ndashboard: {{ port: 0 }}\n"
    );
    std::fs::write(dir.path().join("config.yaml"), config).expect("written");
    dir
}

fn json(dir: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&stdout(dir, args)).expect("JSON")
}

#[test]
fn samples_are_sent_listed_shown_and_replayed() {
    let dir = folder();
    let dir = dir.path();
    let process = Process::start(dir);

    let sent = stdout(dir, &["webhook", "send", "github", "pull_request.opened", "--set", "payload.number=77"]);
    assert!(sent.contains("Response: 200 OK") && sent.contains("\"status\":\"accepted\""), "{sent}");
    let tested = stdout(dir, &["webhook", "test", "stripe"]);
    assert!(tested.starts_with("Testing webhook: stripe\nResponse: 200 OK\n"), "{tested}");
    let many = stdout(dir, &["webhook", "send", "github", "push", "--count", "20"]);
    assert!(many.contains("20 × 200 OK accepted"), "{many}");
    let told = json(dir, &["webhook", "send", "github", "ping", "--json"]);
    assert_eq!(told, serde_json::json!({"status": 200, "body": "pong"}));
    assert_eq!(json(dir, &["webhook", "test", "stripe", "--json"])["body"]["status"], "accepted");
    let unknown = run(dir, &["events", "replay", "evt_01K0000000000000000000000A"]);
    let error = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(error, "error: evt_01K0000000000000000000000A is not in the ledger\n");
    let disabled = run(dir, &["webhook", "test", "svc"]);
    assert_eq!(disabled.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&disabled.stdout).contains("Response: 409 Conflict"), "{disabled:?}");

    let list = json(dir, &["events", "list", "--type", "pull_request", "--json"]);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    let id = list["items"][0]["id"].as_str().expect("an id").to_owned();
    let event = json(dir, &["events", "show", &id, "--json"]);
    assert_eq!((&event["verdict"], &event["payload"]["number"]), (&"valid".into(), &77.into()));
    assert!(stdout(dir, &["events", "show", &id]).contains("timeline"));

    let replayed = json(dir, &["events", "replay", &id, "--json"]);
    assert_eq!(replayed["replay_of"], id.as_str());

    let rows = json(dir, &["sql", "SELECT count(*) AS n FROM webhook_events WHERE signature_valid", "--json"]);
    assert!(rows[0]["n"].as_i64().is_some_and(|count| count >= 22), "{rows}");
    let refused = run(dir, &["sql", "DELETE FROM events"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(process.interrupt(), Some(0));

    // Without a running agent the ledger still answers, and a replay waits for the next start.
    assert_eq!(json(dir, &["events", "show", &id, "--json"])["id"], id.as_str());
    let offline = json(dir, &["events", "replay", &id, "--json"]);
    let new = offline["event_id"].as_str().expect("an id");
    assert_eq!(json(dir, &["events", "show", new, "--json"])["status"], "accepted");
}

#[test]
fn a_sender_that_signs_the_url_is_tried_as_it_knows_the_agent() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = format!(
        "webhooks:\n  port: 0\n  public_url: https://hooks.example.com/in\n  handlers:\n    twilio: {{ secret: {SECRET} }}\n\
         dashboard: {{ port: 0 }}\n"
    );
    std::fs::write(dir.path().join("config.yaml"), config).expect("written");
    let process = Process::start(dir.path());
    let (address, port) = (process.webhooks, process.webhooks.port());
    let tested = stdout(dir.path(), &["webhook", "test", "twilio"]);
    assert!(tested.starts_with("Testing webhook: twilio\nResponse: 200 OK\n"), "{tested}");
    let sent = stdout(dir.path(), &["webhook", "send", "twilio", "message.received", "--count", "2"]);
    assert!(sent.contains("2 × 200 OK accepted"), "{sent}");
    for url in [format!("http://{address}/webhook/twilio?a=b"), format!("http://localhost:{port}/webhooks/twilio")] {
        let sent = stdout(dir.path(), &["webhook", "send", "twilio", "message.received", "--url", &url]);
        assert!(sent.contains("Response: 200 OK"), "{url}: {sent}");
    }
    assert_eq!(process.interrupt(), Some(0));
}

#[test]
fn a_terminal_that_nobody_reads_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = format!(
        "webhooks:\n  port: 0\n  rate_limit: {{ enabled: false }}\n  handlers: {{ github: {{ secret: {SECRET} }} }}\ndashboard: {{ port: 0 }}\n"
    );
    std::fs::write(dir.path().join("config.yaml"), config).expect("written");
    let (process, unread) = Process::start_unread(dir.path());
    // More than a pipe holds.
    let title = format!("payload.pull_request.title={}", "long ".repeat(36));
    let sent =
        stdout(dir.path(), &["webhook", "send", "github", "pull_request.opened", "--set", &title, "--count", "500"]);
    assert!(sent.contains("500 × 200 OK accepted"), "{sent}");
    assert_eq!(process.interrupt_twice(), Some(0));
    drop(unread);
}

#[test]
fn usage_faults_are_2_failures_1_and_both_say_what_to_do() {
    let dir = folder();
    let dir = dir.path();
    for (args, code, hint) in [
        (&["--no-such-flag"][..], 2, "--no-such-flag"),
        (&["events", "show", "nonsense"], 2, "evt_"),
        (&["events", "list", "--status", "done"], 2, "rejected"),
        (&["--webhooks", "check"], 2, "without a command"),
        (&["webhook", "test", "nobody"], 1, "github"),
        (&["webhook", "send", "github", "no.such"], 1, "pull_request.opened"),
        (&["webhook", "send", "nobody", "push"], 1, "stripe"),
        (&["webhook", "send", "github", "push"], 1, "is the agent running"),
        (&["events", "list"], 1, "has the agent run here"),
        (&["logs"], 1, "has the agent run here"),
        (&["--config", "missing.yaml", "check"], 1, "missing.yaml"),
    ] {
        let output = run(dir, args);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(hint), "{args:?} does not mention '{hint}': {text}");
    }
}

#[test]
fn check_tells_every_fault_at_once() {
    let dir = folder();
    std::fs::write(
        dir.path().join("config.yaml"),
        "webhooks:\n  prot: 1\n  handlers:\n    github: { secret: x, evnts: [push] }\n    a: { provider: nope }\n",
    )
    .expect("written");
    let output = run(dir.path(), &["check"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("config.yaml:2:3") && text.contains("port"), "{text}");
    assert!(text.contains("webhooks.handlers.github.evnts") && text.contains("events"), "{text}");
    assert!(text.contains("there is no provider 'nope'"), "what is wrong in itself does not hide the rest: {text}");
}

#[test]
fn check_and_the_start_refuse_secrets_that_can_verify_nothing() {
    let dir = folder();
    let dir = dir.path();
    file(dir, "data/providers/acme.yaml", "name: acme\nsummaries: { default: { title: Hello } }\n");
    file(
        dir,
        "config.yaml",
        "webhooks:\n  handlers:\n    a: { provider: gihub, secret: x }\n    discord: { secret: nothex }\n    \
         sw: { provider: standard-webhooks, secret: 'not base64!!' }\n    acme: { secret: x }\n    \
         gitlab: { secret: any-token }\n    github: { secret: x, events: [pull_requests, issues.openned, issues.reopened] }\n",
    );
    let output = run(dir, &["check"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "{text}");
    for told in [
        "config.yaml:3: webhooks.handlers.a.provider: there is no provider 'gihub' (did you mean 'github'?)",
        "webhooks.handlers.discord.secret: this can be no secret of Discord",
        "webhooks.handlers.sw.secret: this can be no secret of Standard Webhooks",
        "webhooks.handlers.acme.secret: the manifest of provider 'acme' has no `signature`",
        "GitHub is not known to send 'pull_requests' (did you mean 'pull_request'?)",
        "GitHub is not known to send 'issues.openned' (did you mean 'issues.opened'?)",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains("gitlab") && !text.contains("reopened") && !text.contains("nothex"), "{text}");
    let start = run(dir, &["--webhooks", "--webhook-port", "0"]);
    let said = String::from_utf8_lossy(&start.stderr).into_owned();
    assert!(start.status.code() == Some(1) && said.contains("handlers.discord.secret"), "{said}");
    let doctor = run(dir, &["doctor", "--offline"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let discord = said.lines().filter(|line| line.contains("discord")).collect::<Vec<_>>().join("\n");
    assert!(discord.contains("this can be no secret") && !discord.contains("openssl"), "{said}");
}

#[test]
fn a_step_in_a_folder_that_no_tool_may_use_is_noted_before_anybody_agrees_to_it() {
    let dir = folder();
    let dir = dir.path();
    let steps = "name: w\nsteps:\n  - name: out\n    tool: shell_exec\n    args: { argv: [ls], cwd: /srv/app }\n  \
                 - name: in\n    tool: read_file\n    args: { path: note.txt }\n";
    file(dir, "data/workflows/w.yaml", steps);
    let noted = stdout(dir, &["check"]);
    assert!(noted.contains("w.yaml:3: steps.out.args.cwd: /srv/app lies outside"), "{noted}");
    assert!(noted.contains("files.roots") && !noted.contains("steps.in"), "{noted}");
    let config = std::fs::read_to_string(dir.join("config.yaml")).expect("text");
    file(dir, "config.yaml", &format!("{config}files: {{ roots: [/srv] }}\n"));
    assert!(!stdout(dir, &["check"]).contains("lies outside"));
}

#[test]
fn requests_and_files_that_are_certain_to_fail_are_noted() {
    let dir = folder();
    let dir = dir.path();
    let steps = "name: w\ntrigger: webhook\non: { handler: github, events: [pushh, issues.labeled, workflow_job] }\n\
                 steps:\n  - { name: up, tool: read_file, args: { path: ../.env } }\n  \
                 - { name: over, tool: write_file, args: { path: a/../../../x, content: x } }\n  \
                 - { name: fine, tool: read_file, args: { path: a/../note.txt } }\n  \
                 - { name: mine, tool: http_request, args: { url: \"http://127.0.0.1/x\" } }\n  \
                 - { name: out, tool: http_request, args: { url: \"https://1.1.1.1/x\" } }\n  \
                 - { name: signed, tool: hook, args: { url: \"https://a.example/\", secret: gitub } }\n";
    file(dir, "data/workflows/w.yaml", steps);
    let noted = stdout(dir, &["check"]);
    for (key, said) in [
        ("on.events", "no event of github is known as 'pushh' (did you mean 'push'?)"),
        ("steps.up.args.path", "lies outside"),
        ("steps.over.args.path", "lies outside"),
        ("steps.mine.args.url", "127.0.0.1 is no public address"),
        ("steps.signed.args.secret", "there is no secret 'gitub', so this step will fail (did you mean 'github'?)"),
    ] {
        assert!(noted.lines().any(|line| line.contains(key) && line.contains(said)), "{key}: {noted}");
    }
    assert!(!noted.contains("steps.fine") && !noted.contains("steps.out"), "{noted}");
    let config = std::fs::read_to_string(dir.join("config.yaml")).expect("text");
    file(dir, "config.yaml", &format!("{config}network: {{ allow: [127.0.0.1] }}\n"));
    assert!(!stdout(dir, &["check"]).contains("steps.mine"));
}

#[test]
fn a_fault_of_a_workflow_hides_no_note_on_it() {
    let dir = folder();
    let dir = dir.path();
    let text = "name: w\ntrigger: webhook\non: { handler: gihub }\nsteps:\n  - { name: a, tool: notfy }\n";
    file(dir, "data/workflows/w.yaml", text);
    let checked = String::from_utf8(run(dir, &["check"]).stdout).expect("text");
    assert!(checked.contains("there is no tool 'notfy'"), "{checked}");
    assert!(checked.contains("no handler is named 'gihub'") && checked.contains("did you mean 'github'"), "{checked}");
}

#[test]
fn a_manifest_of_ones_own_is_checked_listed_and_sent() {
    let dir = folder();
    let providers = dir.path().join("data/providers");
    std::fs::create_dir_all(&providers).expect("made");
    let manifest = "name: acmehook\ntitle: Acme\nsignature:\n  schemes:\n    - { kind: hmac, header: x-acme-mac, algorithm: sha256, encoding: base64, content: \"{body}\" }\n\
        event: { payload: [kind] }\nsummaries:\n  default: { title: \"{{ payload.who }} did {{ payload.kind }}\" }\n\
        events:\n  - { name: lunch, description: Lunch is served, example: { kind: lunch, who: Ann } }\n";
    std::fs::write(providers.join("acmehook.yaml"), manifest).expect("written");
    let config = "webhooks:\n  port: 0\n  handlers: { acmehook: { secret: acme-secret-1 } }\ndashboard: { port: 0 }\n";
    std::fs::write(dir.path().join("config.yaml"), config).expect("written");
    stdout(dir.path(), &["check"]);
    let process = Process::start(dir.path());
    let sent = stdout(dir.path(), &["webhook", "send", "acmehook", "lunch"]);
    assert!(sent.contains("\"provider\":\"acmehook\",\"event\":\"lunch\""), "{sent}");
    assert_eq!(process.interrupt(), Some(0));
    let list = json(dir.path(), &["events", "list", "--json"]);
    assert_eq!(list["items"][0]["verdict"], "valid");
}

#[test]
fn without_a_configuration_every_provider_is_served_and_those_of_ones_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    std::fs::create_dir_all(dir.join("data/providers")).expect("made");
    let manifest = "name: acmehook\ntitle: Acme\nsignature:\n  schemes:\n    - { kind: hmac, header: x-acme-mac, content: \"{body}\" }\n\
        event: { payload: [kind] }\nsummaries:\n  default: { title: \"{{ payload.who }} did {{ payload.kind }}\" }\n";
    std::fs::write(dir.join("data/providers/acme.yaml"), manifest).expect("written");
    std::fs::write(dir.join(".env"), "ACMEHOOK_WEBHOOK_SECRET=acme-secret-1\n").expect("written");
    let list = json(dir, &["webhook", "list", "--json"]);
    let listed: Vec<&str> =
        list["items"].as_array().expect("a list").iter().filter_map(|item| item["name"].as_str()).collect();
    let registry = Registry::builtin();
    let mut all = registry.names();
    all.insert(0, "acmehook");
    assert_eq!(listed, all);
    let acme = &list["items"][0];
    assert_eq!((&acme["provider"], &acme["signed"]), (&"acmehook".into(), &true.into()));
}

#[test]
fn schema_and_completions_print() {
    let dir = folder();
    let schema = json(dir.path(), &["config", "schema"]);
    assert!(schema["properties"]["webhooks"].is_object(), "{schema}");
    let shown = stdout(dir.path(), &["config", "show"]);
    assert!(shown.contains("webhooks.port") && !shown.contains(SECRET), "{shown}");
    assert!(stdout(dir.path(), &["completions", "bash"]).contains("agent"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = folder();
    let bin = env!("CARGO_BIN_EXE_agent");
    for command in ["completions bash", "config schema", "config show"] {
        // The reader is gone long before the first byte: the manifests are read first.
        let script = format!("{{ {bin} {command}; echo $? >code; }} | true; cat code");
        let output = std::process::Command::new("sh").args(["-c", &script]).current_dir(dir.path()).output();
        let output = output.expect("a shell");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((String::from_utf8_lossy(&output.stdout).trim(), error.as_str()), ("0", ""), "{command}");
    }
}

#[test]
fn no_secret_is_in_any_file_or_output_of_a_full_run() {
    let dir = folder();
    let dir = dir.path();
    let process = Process::start(dir);
    let mut printed = stdout(dir, &["webhook", "send", "github", "push"]);
    printed += &stdout(dir, &["webhook", "test", "stripe"]);
    let url = format!("http://{}/webhooks/stripe", process.webhooks);
    // Signed for the wrong handler, and a body that holds the secret itself.
    let wrong = run(dir, &["webhook", "send", "github", "push", "--url", &url]);
    printed += &String::from_utf8_lossy(&wrong.stdout);
    let body = format!("payload.ref={SECRET}");
    printed += &String::from_utf8_lossy(
        &run(dir, &["webhook", "send", "github", "push", "--url", &url, "--set", &body]).stdout,
    );
    for args in
        [&["config", "show", "--json"][..], &["events", "list", "--json"], &["webhook", "list", "--json"], &["check"]]
    {
        printed += &stdout(dir, args);
    }
    assert!(printed.contains("missing_signature") || printed.contains("invalid_signature"), "{printed}");
    let token = std::fs::read_to_string(dir.join("data/admin_token")).expect("a token");
    assert_eq!(process.interrupt(), Some(0));

    let mut files = Vec::new();
    collect(&dir.join("data"), &mut files);
    assert!(
        files.iter().any(|(path, _)| path.ends_with("ledger.db"))
            && files.iter().any(|(path, _)| path.ends_with("app.log"))
    );
    files.push(("output".into(), printed.into_bytes()));
    for secret in [SECRET, token.trim(), "sha256=", "v1="] {
        for (path, bytes) in files.iter().filter(|(path, _)| !path.ends_with("admin_token")) {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{path} holds '{}…'", &secret[..3]);
        }
    }
}

fn collect(dir: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            into.push((path.display().to_string(), std::fs::read(&path).expect("readable")));
        }
    }
}

const GATED: &str = r#"
name: note-it
description: Note what happened
trigger: webhook
on: { handler: github, events: [pull_request.opened], when: payload.number > 5 }
enabled: true
steps:
  - name: keep
    tool: write_file
    args: { path: note.txt, content: "{{ payload.what }}" }
    requires_approval: { from: [oncall] }
"#;

/// The id that begins with `prefix` in a text.
fn id_in(text: &str, prefix: &str) -> String {
    let at = text.rfind(prefix).unwrap_or_else(|| panic!("no {prefix} in {text}"));
    text[at..at + prefix.len() + 26].to_owned()
}

fn file(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
}

#[test]
fn workflows_are_run_asked_for_and_decided_in_a_terminal() {
    let dir = folder();
    let dir = dir.path();
    file(dir, "data/workflows/note-it.yaml", GATED);
    assert!(stdout(dir, &["check"]).contains("1 workflows"));
    let process = Process::start(dir);

    let list = stdout(dir, &["webhook", "list"]);
    assert!(list.contains("POST /webhooks/note-it  [enabled]"), "{list}");
    let tested = stdout(dir, &["webhook", "test", "note-it"]);
    assert!(tested.starts_with("Testing webhook: note-it\nResponse: 200 OK\n"), "{tested}");
    assert!(tested.contains("\"status\":\"error\"") || tested.contains("pending_approval"), "{tested}");

    let started = stdout(dir, &["workflow", "run", "note-it", "--input", "what=hello \u{1b}[31m"]);
    let id = id_in(&started, "run_");
    // The last line of the card.
    let printed = process.wait_for(" --reason '…'\n");
    let approval = id_in(&printed, "apr_");
    assert!(printed.contains("Approve note-it, step keep?"), "{printed}");
    assert!(printed.contains("write_file\n    path: note.txt\n    content: ‹hello \\u{1b}[31m›\n"), "{printed}");
    let printed = process.wait_for(&format!("Decide: agent approvals approve {approval}"));
    assert!(!printed.contains('\u{1b}'), "{printed:?}");

    let pending = json(dir, &["approvals", "list", "--json"]);
    assert_eq!(pending["items"][0]["id"], approval.as_str(), "{pending}");
    assert!(stdout(dir, &["approvals", "show", &approval]).contains("May decide: oncall"));
    let decided = json(dir, &["approvals", "approve", &approval, "--reason", "fine", "--json"]);
    assert_eq!(
        (&decided["state"], &decided["decisions"][0]["channel"]),
        (&"approved".into(), &"cli".into()),
        "{decided}"
    );
    assert_eq!(decided["decisions"][0]["by"], "local admin");
    process.wait_for("Workflow 'note-it' ran:");
    let shown = json(dir, &["runs", "show", &id, "--json"]);
    assert_eq!((&shown["state"], &shown["steps"][0]["state"]), (&"success".into(), &"success".into()), "{shown}");
    assert_eq!(std::fs::read_to_string(dir.join("data/files/note.txt")).expect("written"), "hello \u{1b}[31m");

    let late = run_of(dir, &["approvals", "deny", &approval]);
    assert!(late.contains("already approved by local admin from cli") && late.contains("nothing changed"), "{late}");

    let started = stdout(dir, &["workflow", "run", "note-it", "--input", "what=x"]);
    let id = id_in(&started, "run_");
    let cancelled = stdout(dir, &["runs", "cancel", &id]);
    assert!(cancelled.contains(&id), "{cancelled}");
    assert!(run_of(dir, &["runs", "cancel", &id]).contains("has ended"));
    assert_eq!(process.interrupt(), Some(0));

    // Without a running agent lists and files still answer, and what needs it says so.
    let list = json(dir, &["runs", "list", "--workflow", "note-it", "--state", "cancelled", "--json"]);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    assert!(stdout(dir, &["runs", "show", &id]).contains("cancelled"));
    assert!(run_of(dir, &["workflow", "run", "note-it"]).contains("no agent is running"));
    let verified = stdout(dir, &["audit", "verify"]);
    assert!(verified.starts_with("ok: ") && verified.contains("last hash: "), "{verified}");
    let path = dir.join("data/logs/audit.jsonl");
    let text = std::fs::read_to_string(&path).expect("text");
    assert!(text.contains("\"decision\"") && text.contains("run.started"), "{text}");
    std::fs::write(&path, text.replacen("local admin", "local adnim", 1)).expect("written");
    let broken = crate::harness::process::run(dir, &["audit", "verify"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&broken.stdout).contains("it was changed"), "{broken:?}");
}

/// What a command that fails prints.
fn run_of(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_bad_edit_leaves_the_list_of_what_is_served_and_a_new_binary_the_steps() {
    let dir = folder();
    let dir = dir.path();
    let echo = "name: echo\ntrigger: webhook\nsteps:\n  - name: say\n    tool: shell_exec\n    args: { argv: [echo, hello] }\n";
    file(dir, "data/workflows/echo.yaml", echo);
    let binary = dir.join("agent");
    std::fs::copy(env!("CARGO_BIN_EXE_agent"), &binary).expect("copied");
    let process = Process::start_binary(&binary, dir);

    file(dir, "data/workflows/echo.yaml", "name: echo\nsteps: [");
    assert!(run_of(dir, &["workflow", "reload"]).contains("1 workflows\nfault: "));
    let list = run_of(dir, &["workflow", "list"]);
    assert!(list.contains("echo  enabled, last good version  webhook") && list.contains("fault: "), "{list}");
    let shown = stdout(dir, &["workflow", "show", "echo"]);
    assert!(shown.contains("last good version") && shown.contains("argv: [echo, hello]"), "{shown}");

    // An upgrade replaces the file under the running agent.
    file(dir, "data/workflows/echo.yaml", echo);
    assert_eq!(stdout(dir, &["workflow", "reload"]), "1 workflows\n");
    std::fs::remove_file(&binary).expect("removed");
    std::fs::write(&binary, "not this program").expect("written");
    let tested = json(dir, &["webhook", "test", "echo", "--json"]);
    assert_eq!(tested["body"]["results"][0]["output"], "hello", "{tested}");
    assert_eq!(process.interrupt(), Some(0));
}

#[test]
fn a_workflow_is_tested_against_what_came_and_its_faults_are_told() {
    let dir = folder();
    let dir = dir.path();
    file(dir, "data/workflows/note-it.yaml", GATED);
    let process = Process::start(dir);
    for number in ["3", "7", "8"] {
        let set = format!("payload.number={number}");
        stdout(dir, &["webhook", "send", "github", "pull_request.opened", "--set", &set]);
    }
    stdout(dir, &["webhook", "send", "github", "push"]);
    let tested = json(dir, &["workflow", "test", "note-it", "--last", "10", "--json"]);
    let items = tested["items"].as_array().expect("items");
    let starts: Vec<bool> = items.iter().map(|item| item["starts"].as_bool().expect("known")).collect();
    assert_eq!(starts, [false, true, true, false], "newest first: {tested}");
    let text = stdout(dir, &["workflow", "test", "note-it"]);
    assert!(text.contains("2 of 4 events start 'note-it'"), "{text}");
    assert!(text.contains("not a pull_request"), "{text}");

    file(dir, "data/workflows/note-it.yaml", &GATED.replace("write_file", "write_fiel"));
    let check = run_of(dir, &["check"]);
    assert!(check.contains("note-it.yaml:9") && check.contains("write_file"), "{check}");
    let reload = run_of(dir, &["workflow", "reload"]);
    assert!(reload.contains("1 workflows") && reload.contains("write_file"), "{reload}");
    assert_eq!(process.interrupt(), Some(0));
    assert!(run_of(dir, &["workflow", "show", "nothing"]).contains("there is no workflow 'nothing'"));
}
