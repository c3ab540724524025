//! Life and death of a step's processes.

use std::time::Duration;

use hookhand::tool::process::{ARGUMENT_BYTES_MAX, ARGUMENTS_BYTES_MAX, Limits, STDIN_BYTES_MAX};
use hookhand::tool::{CODE_BYTES_MAX, OUTPUT_BYTES_MAX, ToolFailure};
use serde_json::{Value, json};

use super::{Bench, SECRET, TIMEOUT, is_alive};

/// Starts children of every kind, tells about them and goes on for ever: one in the group, one that left it with `setsid`, one
/// that is nobody's child any more. All hold the pipe.
const FAMILY: &str =
    "exec 3>pipe\nsleep 1000 &\nsetsid sleep 1001 &\n(sleep 1002 &)\nprintf '.%s %s' $$ $! >&3\nsleep 1003";

#[tokio::test]
async fn a_program_reads_the_payload_and_its_output_is_json_where_it_is_json() {
    let mut bench = Bench::new().await;
    bench.payload = json!({"ref": "refs/heads/main", "n": 1});
    assert_eq!(bench.value("shell_exec", json!({"argv": ["cat"]})).await, bench.payload);
    assert_eq!(
        bench.value("shell_exec", json!({"command": "echo 'Deployment received'"})).await,
        "Deployment received"
    );
    assert_eq!(bench.value("shell_exec", json!({"argv": ["cat"], "stdin": "as it is"})).await, "as it is");
    assert_eq!(bench.value("shell_exec", json!({"argv": ["cat"], "stdin": [1, null]})).await, json!([1, null]));
    let here = bench.path("data/files").canonicalize().expect("a folder");
    assert_eq!(bench.value("shell_exec", json!({"argv": ["pwd"]})).await, here.to_string_lossy().as_ref());
    let root = bench.path("root").canonicalize().expect("a folder");
    assert_eq!(bench.value("shell_exec", json!({"argv": ["pwd"], "cwd": root})).await, root.to_string_lossy().as_ref());
}

#[tokio::test]
async fn every_language_gets_the_payload_on_standard_input() {
    let mut bench = Bench::new().await;
    bench.payload = json!({"name": "alice"});
    for (language, code) in [
        ("bash", "set -u; read -r line; [[ $line == *alice* ]] && echo '\"alice\"'"),
        ("python", "import json, sys\nprint(json.dumps(json.load(sys.stdin)['name']))"),
        ("node", "const data = JSON.parse(require('fs').readFileSync(0)); console.log(JSON.stringify(data.name))"),
    ] {
        let value = bench.value("script", json!({"language": language, "code": code})).await;
        assert_eq!(value, "alice", "{language}");
    }
    assert!(!bench.path("data/tmp").join(bench.call(json!({})).run.to_string()).exists(), "temporary files are left");
}

#[tokio::test]
async fn what_cannot_start_says_so_and_certainly_did_nothing() {
    let bench = Bench::new().await;
    bench.file("data/files/plain.txt", "no program");
    for (args, said) in [
        (json!({"argv": ["no-such-program-here"]}), "no program \"no-such-program-here\" on the search path"),
        (json!({"argv": ["./missing.sh"]}), "no program \"./missing.sh\""),
        (json!({"argv": ["./plain.txt"]}), "ermission denied"),
        (json!({"argv": [""]}), "names no program"),
        (json!({"argv": []}), "names no program"),
        (json!({}), "is missing"),
        (json!({"argv": ["true"], "command": "true"}), "not both"),
        (json!({"argv": "true"}), "must be a list, not a text"),
        (json!({"argv": ["true"], "cwd": "nowhere"}), "nowhere"),
        (json!({"argv": ["true"], "env": {"A=B": "x"}}), "cannot name an environment variable"),
        (json!({"argv": ["echo", "a\u{0}b"]}), "argv[1] holds a NUL"),
        (json!({"argv": ["true"], "env": {"A": "\u{0}"}}), "env.A holds a NUL"),
        (json!({"argv": ["echo", "x".repeat(ARGUMENT_BYTES_MAX + 1)]}), "give it on standard input"),
        (json!({"argv": vec!["x".repeat(ARGUMENT_BYTES_MAX); 9]}), "no program"),
        (json!({"argv": ["true"], "stdin": "x".repeat(STDIN_BYTES_MAX + 1)}), "standard input would be"),
    ] {
        let message = bench.refusal("shell_exec", args).await;
        assert!(message.contains(said), "{said}: {message}");
    }
    let mut many = vec!["echo".to_owned()];
    many.resize(ARGUMENTS_BYTES_MAX / ARGUMENT_BYTES_MAX + 2, "x".repeat(ARGUMENT_BYTES_MAX));
    assert!(bench.refusal("shell_exec", json!({"argv": many})).await.contains("arguments and variables have"));
    let script = |language: &str, code: String| json!({"language": language, "code": code});
    assert!(bench.refusal("script", script("perl", "1".into())).await.contains("bash, python, node"));
    assert!(bench.refusal("script", script("bash", "x".repeat(CODE_BYTES_MAX + 1))).await.contains("more than"));
}

#[tokio::test]
async fn the_longest_argument_that_is_taken_arrives() {
    let bench = Bench::new().await;
    let args = json!({"argv": ["sh", "-c", "printf %s \"$1\" | wc -c", "sh", "x".repeat(ARGUMENT_BYTES_MAX)]});
    assert_eq!(bench.value("shell_exec", args).await, json!(ARGUMENT_BYTES_MAX));
}

#[tokio::test]
async fn a_failure_tells_its_code_and_its_last_words() {
    let bench = Bench::new().await;
    let failed = bench.run("shell_exec", json!({"command": "echo half; echo one >&2; echo two >&2; exit 3"})).await;
    let Err(ToolFailure::Failed { message, output: Some(output) }) = failed else { panic!("{failed:?}") };
    assert_eq!(message, "exit code 3: one | two");
    assert_eq!((output.value, output.logs.as_str()), (json!("half"), "one\ntwo\n"));
    let failed = bench.run("shell_exec", json!({"command": "kill -9 $$"})).await;
    assert!(
        matches!(&failed, Err(ToolFailure::Failed { message, .. }) if message == "ended by signal 9"),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_program_that_does_not_read_its_input_does_nothing_wrong() {
    let bench = Bench::new().await;
    let value =
        bench.value("shell_exec", json!({"command": "exec <&-; echo done", "stdin": "x".repeat(4 << 20)})).await;
    assert_eq!(value, "done");
}

#[tokio::test]
async fn a_flood_on_both_outputs_is_drained_and_cut() {
    let bench = Bench::new().await;
    let flood = "yes out | head -c 3000000 & yes err | head -c 3000000 >&2; wait; echo the end >&2";
    let output = bench.run("shell_exec", json!({"command": flood})).await.expect("goes well");
    assert!(output.truncated);
    assert_eq!(output.value.as_str().map(str::len), Some(OUTPUT_BYTES_MAX));
    assert_eq!(output.logs.len(), OUTPUT_BYTES_MAX);
    assert!(output.logs.ends_with("the end\n"), "the end of a log counts");
    let binary = bench.value("shell_exec", json!({"command": "printf 'a\\377b'"})).await;
    assert_eq!(binary, "a\u{FFFD}b");
}

#[tokio::test]
async fn a_secret_that_a_program_prints_is_cut_out() {
    let bench = Bench::new().await;
    let command = format!("echo {SECRET}; echo {SECRET} >&2; exit 1");
    let failed = bench.run("shell_exec", json!({"command": command})).await.expect_err("fails");
    assert!(!format!("{failed:?}").contains(SECRET), "{failed:?}");
}

#[tokio::test]
async fn children_that_are_left_behind_end_with_the_program() {
    let bench = Bench::new().await;
    let pipe = bench.pipe();
    let args = json!({"command": "exec 3>pipe; printf . >&3; sleep 1000 & setsid sleep 1001 & echo done"});
    let (gone, value) = tokio::join!(pipe.opened(), bench.value("shell_exec", args));
    assert_eq!(value, "done");
    gone.await.expect("nobody holds the pipe");
}

#[tokio::test]
async fn when_its_time_is_over_a_step_is_stopped_with_all_its_descendants() {
    let bench = Bench::new().await;
    let pipe = bench.pipe();
    let moved = async {
        let gone = pipe.opened().await;
        bench.clock.advance(TIMEOUT);
        gone.await.expect("nobody holds the pipe")
    };
    let (pids, outcome) = tokio::join!(moved, bench.run("shell_exec", json!({"command": FAMILY})));
    assert!(matches!(outcome, Err(ToolFailure::TimedOut { after: TIMEOUT, .. })), "{outcome:?}");
    for pid in pids.split_whitespace() {
        assert!(!is_alive(pid), "{pid} is alive");
    }
}

#[tokio::test]
async fn a_cancelled_step_is_stopped_with_all_its_descendants() {
    let bench = Bench::new().await;
    let pipe = bench.pipe();
    let cancelled = async {
        let gone = pipe.opened().await;
        bench.context.cancel.cancel();
        gone.await.expect("nobody holds the pipe")
    };
    let (pids, outcome) = tokio::join!(cancelled, bench.run("shell_exec", json!({"command": FAMILY})));
    assert_eq!(outcome, Err(ToolFailure::Cancelled));
    assert!(pids.split_whitespace().all(|pid| !is_alive(pid)), "{pids}");
}

#[tokio::test]
async fn a_program_may_clean_up_when_it_is_stopped_and_one_that_will_not_stop_is_killed() {
    let bench = Bench::new().await;
    let pipe = bench.pipe();
    // The second one ignores every polite signal.
    let command = "exec 3>pipe; trap 'echo cleaned >cleaned; exit 0' TERM\n(trap '' TERM; sleep 1000; sleep 1000) &\nprintf . >&3; wait";
    let cancelled = async {
        let gone = pipe.opened().await;
        bench.context.cancel.cancel();
        gone.await.expect("nobody holds the pipe");
    };
    let ((), outcome) = tokio::join!(cancelled, bench.run("shell_exec", json!({"command": command})));
    assert_eq!(outcome, Err(ToolFailure::Cancelled));
    assert_eq!(bench.text("data/files/cleaned"), "cleaned\n");
}

#[tokio::test]
async fn a_program_that_ignores_the_polite_signal_is_killed_after_the_grace() {
    let bench = Bench::new().await;
    let pipe = bench.pipe();
    let cancelled = async {
        let gone = pipe.opened().await;
        bench.context.cancel.cancel();
        gone.await.expect("nobody holds the pipe");
    };
    let command = "exec 3>pipe; trap '' TERM; printf . >&3; while :; do sleep 1000; done";
    let ((), outcome) = tokio::join!(cancelled, bench.run("shell_exec", json!({"command": command})));
    assert_eq!(outcome, Err(ToolFailure::Cancelled));
}

#[tokio::test]
async fn when_the_agent_lets_go_of_a_step_everything_is_killed() {
    let bench = Bench::new().await;
    let pipe = bench.pipe();
    let gone = {
        let call = bench.call(json!({"command": FAMILY}));
        let running = bench.run_call("shell_exec", &call);
        tokio::select! {
            outcome = running => panic!("ended: {outcome:?}"),
            gone = pipe.opened() => gone,
        }
    };
    gone.await.expect("nobody holds the pipe");
}

#[tokio::test]
async fn a_step_that_is_cancelled_before_it_begins_does_not_begin() {
    let bench = Bench::new().await;
    bench.context.cancel.cancel();
    let outcome = bench.run("shell_exec", json!({"command": "touch began; sleep 1000"})).await;
    assert_eq!(outcome, Err(ToolFailure::Cancelled));
}

#[tokio::test]
async fn memory_file_size_open_files_and_processes_are_bounded() {
    let bench = Bench::with_limits(Limits { processes_max: 40, ..Limits::STANDARD }).await;
    let python = |code: &str| json!({"language": "python", "code": code});
    let failed = |outcome: Result<_, ToolFailure>| match outcome {
        Err(ToolFailure::Failed { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    let memory = format!("bytearray({})", Limits::STANDARD.memory_bytes_max + 1);
    assert!(failed(bench.run("script", python(&memory)).await).contains("MemoryError"));
    let size = Limits::STANDARD.file_bytes_max + 1;
    let message = failed(bench.run("shell_exec", json!({"command": format!("truncate -s {size} big")})).await);
    // A shell tells the signal in its own words.
    let told = ["too large", "signal", "size limit exceeded"].iter().any(|words| message.contains(words));
    assert!(told, "{message}");
    let open = format!("files = [open('/dev/null') for _ in range({})]", Limits::STANDARD.open_files_max);
    assert!(failed(bench.run("script", python(&open)).await).contains("Too many open files"));
    let bomb = json!({"command": "while :; do sleep 1000 & done 2>/dev/null"});
    let message = failed(bench.run("shell_exec", bomb).await);
    assert!(message.contains("more than 40 processes"), "{message}");
}

#[tokio::test]
async fn a_failure_keeps_what_was_printed_before() {
    let bench = Bench::new().await;
    let pipe = bench.pipe();
    let moved = async {
        let gone = pipe.opened().await;
        bench.clock.advance(TIMEOUT + Duration::from_secs(1));
        gone.await.expect("nobody holds the pipe");
    };
    let args = json!({"command": "echo half; exec 3>pipe; printf . >&3; sleep 1000"});
    let ((), outcome) = tokio::join!(moved, bench.run("shell_exec", args));
    let failure = outcome.expect_err("times out");
    assert_eq!(failure.output().map(|output| output.value.clone()), Some(Value::from("half")));
    assert_eq!(failure.to_string(), "took longer than 1m");
}
