//! Payload text in every place of a process where it may stand: nothing executes, every byte arrives.

use serde_json::{Value, json};

use super::Bench;

/// Texts that somebody could put into a payload to make them more than text. `touch pwned` is what they try.
pub(super) const CORPUS: &[&str] = &[
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "&& touch pwned",
    "|| touch pwned",
    "| touch pwned",
    "& touch pwned &",
    "\ntouch pwned\n",
    "\r\ntouch pwned\r\n",
    "'; touch pwned; '",
    "\"; touch pwned; \"",
    "'\"'\"'; touch pwned #",
    "${IFS}touch${IFS}pwned",
    "$PATH $HOME ${HOME}",
    "${x:-$(touch pwned)}",
    "<(touch pwned)",
    "> pwned",
    ">> pwned",
    "< /etc/passwd",
    "<<EOF\ntouch pwned\nEOF",
    "-rf /",
    "--exec=touch pwned",
    "-",
    "--",
    "-c touch pwned",
    "../../admin_token",
    "/etc/passwd",
    "~root/.ssh/id_rsa",
    "*",
    "?[a-z]*{a,b}",
    "{{ 7 * 7 }}",
    "{% for x in range(9) %}{{ x }}{% endfor %}",
    "{# comment #}",
    "%s%n%x%d",
    "\\x41\\u0041\\n\\0",
    "\\",
    "\\\\\"'",
    "!!history!$",
    "a=b",
    "#comment",
    "",
    " ",
    "\t\u{b}\u{c}",
    "\u{1b}[31mred\u{1b}[0m\u{7}",
    "photo\u{202E}gpj.exe",
    "zero\u{200B}width\u{FEFF}",
    "e\u{301}\u{1F469}\u{200D}\u{1F680}",
    "\u{FFFD}\u{FFFF}\u{10FFFF}",
    "ÿ\u{80}\u{85}\u{2028}\u{2029}",
    "\u{1}\u{2}\u{7f}",
    "() { :;}; touch pwned",
    "__import__('os').system('touch pwned')",
    "require('child_process').execSync('touch pwned')",
    "null",
    "{\"json\": true}",
    "<script>alert(1)</script>",
];

#[tokio::test]
async fn every_byte_arrives_as_an_argument_a_variable_and_on_standard_input() {
    let bench = Bench::new().await;
    assert!(CORPUS.len() >= 40);
    let code = "import json, os, sys\n\
        env = [os.environ['V%d' % n] for n in range(len(sys.argv) - 1)]\n\
        print(json.dumps({'argv': sys.argv[1:], 'env': env, 'stdin': sys.stdin.read()}))\n";
    bench.file("data/files/echo.py", code);
    let mut argv = vec!["python3", "echo.py"];
    argv.extend(CORPUS);
    let env: serde_json::Map<String, Value> =
        CORPUS.iter().enumerate().map(|(n, text)| (format!("V{n}"), json!(text))).collect();
    let stdin = CORPUS.join("\u{0}");
    let value = bench.value("shell_exec", json!({"argv": argv, "env": env, "stdin": stdin})).await;
    assert_eq!(value, json!({"argv": CORPUS, "env": CORPUS, "stdin": stdin}));
    assert!(!bench.path("data/files/pwned").exists());
}

#[tokio::test]
async fn a_shell_line_that_quotes_its_variables_passes_them_on_untouched() {
    let bench = Bench::new().await;
    let env: serde_json::Map<String, Value> =
        CORPUS.iter().enumerate().map(|(n, text)| (format!("V{n}"), json!(text))).collect();
    let words: Vec<String> = (0..CORPUS.len()).map(|n| format!("\"$V{n}\"")).collect();
    let command = format!("printf '%s\\0' {} | od -An -v -tx1 | tr -d ' \\n'", words.join(" "));
    let value = bench.value("shell_exec", json!({"command": command, "env": env})).await;
    let bytes: Vec<u8> = CORPUS.iter().flat_map(|text| text.bytes().chain([0])).collect();
    let expected: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(value, Value::from(expected));
    assert!(!bench.path("data/files/pwned").exists());
}

#[tokio::test]
async fn scripts_get_hostile_payloads_as_data_in_every_language() {
    let mut bench = Bench::new().await;
    bench.payload = json!({ "texts": CORPUS, "nul": "a\u{0}b" });
    for (language, code) in [
        ("bash", "cat"),
        ("python", "import json, sys\nprint(json.dumps(json.load(sys.stdin)))"),
        ("node", "console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0))))"),
    ] {
        let value = bench.value("script", json!({"language": language, "code": code})).await;
        assert_eq!(value, bench.payload, "{language}");
    }
    assert!(!bench.path("data/files/pwned").exists());
}

#[tokio::test]
async fn a_payload_chooses_no_options_and_an_author_does() {
    let bench = Bench::new().await;
    let run = async |element: &str, tainted: &[&str], first: &[&str]| {
        let mut call = bench.call(json!({"argv": ["echo", element]}));
        call.tainted = tainted.iter().map(|text| (*text).to_owned()).collect();
        call.tainted_first = first.iter().map(|text| (*text).to_owned()).collect();
        bench.run_call("shell_exec", &call).await.map(|output| output.value)
    };
    let refused = run("--version", &["/argv/1"], &["/argv/1"]).await.expect_err("an option");
    assert!(refused.to_string().contains("argv[1] comes from the payload and begins with '-'"), "{refused}");
    assert!(matches!(refused, hookhand::tool::ToolFailure::NeverBegan { .. }));
    assert_eq!(run("--tag=v1", &["/argv/1"], &[]).await, Ok(json!("--tag=v1")));
    assert_eq!(run("-x", &[], &[]).await, Ok(json!("-x")));
    assert_eq!(run("v-1", &["/argv/1"], &["/argv/1"]).await, Ok(json!("v-1")));
    assert!(run("-n", &["/argv"], &["/argv"]).await.is_err(), "the whole list is the payload's");
}
