//! What a step's processes see of the machine.

use hookhand::tool::ToolFailure;
use hookhand::tool::process::{Confinement, PATH_DEFAULT, programs_in};
use serde_json::json;

use super::{Bench, is_alive};

/// Whether the kernel of this machine can confine: it then must have.
fn kernel_confines(bench: &Bench) -> bool {
    let status = bench.context.sandbox.status().expect("a process has run");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let old = (parts.next(), parts.next()) < (Some(5), Some(13));
    assert!(!old || status == Confinement::Unavailable, "{release} cannot confine");
    status != Confinement::Unavailable
}

#[tokio::test]
async fn a_process_gets_a_clean_environment() {
    let bench = Bench::new().await;
    let env = bench.value("shell_exec", json!({"argv": ["env"], "env": {"TAG": "v1", "LANG": "C"}})).await;
    let mut lines: Vec<&str> = env.as_str().expect("text").lines().collect();
    lines.sort_unstable();
    let names: Vec<&str> = lines.iter().map(|line| line.split('=').next().expect("a name")).collect();
    let expected =
        ["HOME", "HOOKHAND_IDEMPOTENCY_KEY", "HOOKHAND_RUN", "HOOKHAND_STEP", "LANG", "PATH", "TAG", "TMPDIR"];
    assert_eq!(names, expected);
    assert!(lines.contains(&format!("PATH={PATH_DEFAULT}").as_str()) && lines.contains(&"LANG=C"));
}

#[tokio::test]
async fn a_process_reads_and_writes_its_own_folders_and_temporary_files() {
    let bench = Bench::new().await;
    bench.file("root/in", "root");
    let root = bench.path("root").canonicalize().expect("a folder");
    let command = "echo a > made && cat made && cat \"$ROOT/in\" && echo b > \"$ROOT/out\" && mktemp > /dev/null && mkdir d && mv made d/ && ls d";
    let value = bench.value("shell_exec", json!({"command": command, "env": {"ROOT": root}})).await;
    assert_eq!(value, "a\nrootmade");
    assert_eq!(bench.text("root/out"), "b\n");
    let cwd = bench.path("outside");
    let value = bench.value("shell_exec", json!({"command": "cat secret && pwd", "cwd": cwd})).await;
    assert!(value.as_str().expect("text").starts_with("hands off"), "an author's cwd is the step's folder");
    // Beside something of the agent's own a file can be changed, and none made.
    bench.file("mixed/theirs", "");
    bench.value("shell_exec", json!({"command": "echo c > theirs", "cwd": bench.path("mixed")})).await;
    assert_eq!(bench.text("mixed/theirs"), "c\n");
}

#[tokio::test]
async fn a_process_sees_nothing_of_the_agent_and_nothing_outside() {
    let bench = Bench::new().await;
    let own = ["data/admin_token", "data/ledger.db", "data/workflows/w.yaml", "config.yaml", ".env", "mixed/own.yaml"];
    let mut denied = 0;
    for name in own.iter().chain(&["outside/secret"]) {
        let args = json!({"argv": ["cat", bench.path(name)]});
        let outcome = bench.run("shell_exec", args).await;
        let write = json!({"command": "echo x >> \"$TARGET\"", "env": {"TARGET": bench.path(name)}});
        if !kernel_confines(&bench) {
            assert!(outcome.is_ok(), "the kernel does not confine, and something does");
            continue;
        }
        let Err(ToolFailure::Failed { message, .. }) = outcome else { panic!("{name}: {outcome:?}") };
        assert!(message.contains("ermission denied"), "{name}: {message}");
        let outcome = bench.run("shell_exec", write).await;
        assert!(outcome.is_err(), "{name} was written: {outcome:?}");
        denied += 1;
    }
    assert!(denied == 7 || bench.context.sandbox.status() == Some(Confinement::Unavailable));
}

#[tokio::test]
async fn a_process_cannot_read_the_agents_environment_or_signal_who_watches_it() {
    let bench = Bench::new().await;
    let agent = std::process::id().to_string();
    let read = bench.run("shell_exec", json!({"argv": ["cat", format!("/proc/{agent}/environ")]})).await;
    let kill = bench.run("shell_exec", json!({"command": "kill -9 $PPID; echo alive"})).await;
    if kernel_confines(&bench) {
        assert!(read.is_err(), "{read:?}");
    }
    if bench.context.sandbox.status() == Some(Confinement::Full) {
        assert_eq!(kill.expect("ends by itself").value, "alive");
    } else {
        assert!(matches!(kill, Err(ToolFailure::Unknown { .. })), "{kill:?}");
    }
    assert!(is_alive(&agent));
}

#[tokio::test]
async fn a_process_makes_no_device_and_raises_no_limit_not_even_as_root() {
    let bench = Bench::new().await;
    for command in ["mknod disk b 8 0", "mknod memory c 1 1", "ulimit -n 100000"] {
        let outcome = bench.run("shell_exec", json!({ "command": command })).await;
        assert!(matches!(outcome, Err(ToolFailure::Failed { .. })), "{command}: {outcome:?}");
    }
    assert!(!bench.path("data/files/disk").exists() && !bench.path("data/files/memory").exists());
}

#[tokio::test]
async fn a_link_or_a_cwd_leads_no_process_to_what_is_the_agents() {
    let bench = Bench::new().await;
    std::os::unix::fs::symlink(bench.path("data"), bench.path("root/link")).expect("a link");
    for cwd in ["..", "../workflows", "../../data"] {
        let message = bench.refusal("shell_exec", json!({"argv": ["true"], "cwd": cwd})).await;
        assert!(message.contains("agent's own"), "{cwd}: {message}");
    }
    let cwd = bench.path("root/link");
    assert!(bench.refusal("shell_exec", json!({"argv": ["true"], "cwd": cwd})).await.contains("agent's own"));
    // The whole place as working folder: the agent's part of it stays out.
    let outcome =
        bench.run("shell_exec", json!({"command": "ls; cat data/admin_token", "cwd": bench.dir.path()})).await;
    if kernel_confines(&bench) {
        let Err(ToolFailure::Failed { output: Some(output), .. }) = outcome else { panic!("{outcome:?}") };
        assert!(!output.value.to_string().contains("hands off"), "{output:?}");
    }
}

#[tokio::test]
async fn the_status_is_known_before_the_first_step() {
    let bench = Bench::new().await;
    assert_eq!(bench.context.sandbox.status(), None);
    let probed = bench.context.sandbox.probe(&bench.context).await.expect("a process runs");
    assert_eq!(bench.context.sandbox.status(), Some(probed));
}

#[tokio::test]
async fn the_files_that_a_command_would_run_are_named_for_its_approval() {
    let bench = Bench::new().await;
    let deploy = bench.program("data/files/deploy.sh", "#!/bin/sh\necho deployed $1\n").canonicalize().expect("a file");
    let other = bench.file("root/other.py", "").canonicalize().expect("a file");
    let outside = bench.program("outside/tool", "#!/bin/sh\necho tool\n").canonicalize().expect("a file");
    std::os::unix::fs::symlink(&deploy, bench.path("data/files/link.sh")).expect("a link");
    let named = |args| {
        let tool = bench.registry.get("shell_exec").expect("a tool");
        tool.programs(&bench.call(args), &bench.context)
    };
    assert_eq!(named(json!({"argv": ["./deploy.sh", "v1"]})), std::slice::from_ref(&deploy));
    assert_eq!(named(json!({"argv": ["sh", "deploy.sh"]})), std::slice::from_ref(&deploy));
    assert_eq!(named(json!({"argv": ["sh", "link.sh", "deploy.sh"]})), std::slice::from_ref(&deploy));
    assert_eq!(named(json!({"argv": ["python3", other, "--with=./deploy.sh"]})), [other.clone(), deploy.clone()]);
    assert_eq!(named(json!({"argv": [outside, "/bin/sh"]})), std::slice::from_ref(&outside));
    assert_eq!(named(json!({"command": "cd . && ./deploy.sh 'v1'; X=deploy.sh"})), std::slice::from_ref(&deploy));
    assert_eq!(named(json!({"argv": ["echo", "v1"]})), Vec::<std::path::PathBuf>::new());
    assert_eq!(bench.value("shell_exec", json!({"argv": ["./deploy.sh", "v1"]})).await, "deployed v1");
    assert_eq!(bench.value("shell_exec", json!({"argv": [outside]})).await, "tool");
    // Behind another folder, within a word, and by the search path that the step sets.
    std::fs::create_dir_all(bench.path("data/files/app")).expect("a folder");
    std::fs::create_dir_all(bench.path("data/files/bin")).expect("a folder");
    let inner = bench.program("data/files/app/run.sh", "#!/bin/sh\n").canonicalize().expect("a file");
    let tool = bench.program("data/files/bin/tool", "#!/bin/sh\n").canonicalize().expect("a file");
    assert_eq!(named(json!({"command": "cd app && ./run.sh"})), std::slice::from_ref(&inner));
    assert_eq!(named(json!({"argv": ["bash", "-c", "./deploy.sh --now"]})), std::slice::from_ref(&deploy));
    let path = format!("{}:/usr/bin", bench.path("data/files/bin").display());
    assert_eq!(named(json!({"argv": ["tool"], "env": {"PATH": path}})), std::slice::from_ref(&tool));
    assert_eq!(named(json!({"command": "tool x", "env": {"PATH": path}})), [tool]);
    let words: Vec<String> =
        (0..300).map(|n| bench.file(&format!("data/files/{n}"), "").display().to_string()).collect();
    let most = hookhand::tool::process::FOUND_PROGRAMS_MAX;
    assert_eq!(programs_in(&words, &bench.path("data/files"), None, &bench.context.files).len(), most);
}
