//! An action in full, as lines in which every character counts.
//!
//! Pure, and the same for cards and pages. What came from a payload stands between `‹` and `›`, and cannot contain these or
//! a line end; a value that needs several lines is indented, so that it cannot pretend to be another argument. The only
//! thing that is not shown is the value of a header that carries a credential: its hash stands there instead.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::approval::Action;
use super::text::{TAINT_CLOSE, TAINT_OPEN, clip_chars, spelled_line, spelled_out};

/// Longest text that stays on the line of its name, in characters.
const INLINE_CHARS_MAX: usize = 120;
/// Longest action in a line, in characters.
const SHORT_CHARS_MAX: usize = 120;
/// Entries of a list or an object, and levels, that such a line looks at.
const SHORT_ENTRIES_MAX: usize = 64;
const SHORT_DEPTH_MAX: usize = 4;
/// Hex digits of a hash that stands for a value.
const HASH_SHOWN_CHARS: usize = 16;
/// Deepest nesting that is indented further; JSON of steps is bounded long before.
const INDENT: &str = "  ";

/// The lines of an action.
pub fn lines(action: &Action) -> Vec<String> {
    let mut lines = vec![action.tool.clone()];
    if let Some(method) = method_left_out(action) {
        lines.push(format!("{INDENT}method: {method}"));
    }
    let shown_apart = |name: &str| match name {
        "cwd" => action.cwd.is_some(),
        "env" => !action.env.is_empty(),
        _ => false,
    };
    for (name, value) in &action.args {
        if !shown_apart(name) {
            argument(action, name, value, &mut lines);
        }
    }
    if let Some(cwd) = &action.cwd {
        lines.push(format!("{INDENT}in folder: {}", word(action, "/cwd", cwd)));
    }
    for (name, value) in &action.env {
        let pointer = format!("/env/{}", escape_token(name));
        lines.push(format!("{INDENT}env {}={}", spelled_line(name), word(action, &pointer, value)));
    }
    if let Some(hash) = &action.stdin_sha256 {
        lines.push(format!("{INDENT}stdin: the payload as JSON (sha256 {})", spelled_line(hash)));
    }
    for file in &action.files {
        lines.push(format!("{INDENT}file: {} (sha256 {})", spelled_line(&file.path), spelled_line(&file.sha256)));
    }
    lines
}

/// An action in a line, for lists: its command or the URL that it calls, else its tool and arguments. What is too long is cut,
/// so it tells actions apart and is nothing to decide by.
pub fn in_short(action: &Action) -> String {
    let lines = lines(&beginning(action));
    let arguments = || lines.iter().skip(1).filter_map(|line| line.strip_prefix(INDENT));
    let own = |name: &str| arguments().find_map(|line| line.strip_prefix(name));
    let command = own("$ ").map(|words| format!("$ {words}"));
    let request = || own("url: ").map(|url| format!("{} {url}", own("method: ").unwrap_or_default()).trim().to_owned());
    let text = command.or_else(request).unwrap_or_else(|| {
        let rest: Vec<&str> = arguments().map(str::trim_start).collect();
        format!("{} {}", lines[0], rest.join(" · ")).replace(": · ", ": ")
    });
    clip_chars(&text, SHORT_CHARS_MAX)
}

/// An action with the beginnings of its values: enough for a line, whatever a payload put into it.
fn beginning(action: &Action) -> Action {
    fn head(text: &str) -> String {
        text.chars().take(SHORT_CHARS_MAX + 1).collect()
    }
    fn cut(value: &Value, depth: usize) -> Value {
        match value {
            Value::String(text) => Value::String(head(text)),
            Value::Array(items) if depth > 0 => {
                items.iter().take(SHORT_ENTRIES_MAX).map(|item| cut(item, depth - 1)).collect()
            }
            Value::Object(map) if depth > 0 => {
                let entries = map.iter().take(SHORT_ENTRIES_MAX);
                Value::Object(entries.map(|(key, value)| (key.clone(), cut(value, depth - 1))).collect())
            }
            Value::Array(_) | Value::Object(_) => Value::Null,
            other => other.clone(),
        }
    }
    Action {
        args: action.args.iter().map(|(name, value)| (name.clone(), cut(value, SHORT_DEPTH_MAX))).collect(),
        tool: action.tool.clone(),
        cwd: action.cwd.clone(),
        env: action.env.iter().take(SHORT_ENTRIES_MAX).map(|(name, value)| (name.clone(), head(value))).collect(),
        stdin_sha256: action.stdin_sha256.clone(),
        files: action.files.clone(),
        workflow: action.workflow.clone(),
        workflow_hash: action.workflow_hash.clone(),
        run: action.run.clone(),
        step: action.step.clone(),
        revision: action.revision,
        tainted: action.tainted.clone(),
    }
}

/// The method of a request that names none.
fn method_left_out(action: &Action) -> Option<&'static str> {
    match action.tool.as_str() {
        _ if action.args.contains_key("method") => None,
        "http_request" => Some("GET"),
        "hook" => Some("POST"),
        _ => None,
    }
}

/// Whether anything in `action` came from a payload.
pub fn is_tainted(action: &Action) -> bool {
    !action.tainted.is_empty()
}

fn argument(action: &Action, name: &str, value: &Value, lines: &mut Vec<String>) {
    let pointer = format!("/{}", escape_token(name));
    let label = spelled_line(name);
    match value {
        Value::Array(items) if name == "argv" => {
            let words: Vec<String> = items
                .iter()
                .enumerate()
                .map(|(index, item)| word(action, &format!("{pointer}/{index}"), &text_of(item)))
                .collect();
            lines.push(format!("{INDENT}$ {}", words.join(" ")));
        }
        Value::Object(headers) if name == "headers" => {
            for (header, value) in headers {
                let pointer = format!("{pointer}/{}", escape_token(header));
                // What a payload brought is no secret of ours, and who decides must see it.
                let shown = match is_credential(header) && !tainted(action, &pointer) {
                    true => format!("(hidden, sha256 {})", short_hash(&text_of(value))),
                    false => word(action, &pointer, &text_of(value)),
                };
                lines.push(format!("{INDENT}{}: {shown}", spelled_line(header)));
            }
        }
        Value::String(text) => text_argument(&label, text, tainted(action, &pointer), lines),
        Value::Object(_) | Value::Array(_) => {
            lines.push(format!("{INDENT}{label}:"));
            let whole = tainted(action, &pointer);
            let mut written = Vec::new();
            json(action, &pointer, value, whole, String::new(), &mut written);
            let last = written.len().saturating_sub(1);
            for (index, line) in written.into_iter().enumerate() {
                let open = if whole && index == 0 { TAINT_OPEN.to_string() } else { String::new() };
                let close = if whole && index == last { TAINT_CLOSE.to_string() } else { String::new() };
                lines.push(format!("{INDENT}{INDENT}{open}{line}{close}"));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let text = value.to_string();
            let shown = if tainted(action, &pointer) { mark(&text) } else { text };
            lines.push(format!("{INDENT}{label}: {shown}"));
        }
    }
}

/// A text of one line stands behind its name, a longer one beneath it, a line each.
fn text_argument(label: &str, text: &str, tainted: bool, lines: &mut Vec<String>) {
    if !text.contains('\n') && text.chars().nth(INLINE_CHARS_MAX).is_none() {
        let shown = if tainted { mark(&spelled_out(text)) } else { spelled_line(text) };
        lines.push(format!("{INDENT}{label}: {shown}"));
        return;
    }
    let parts: Vec<&str> = text.split('\n').collect();
    let last = parts.len() - 1;
    lines.push(format!("{INDENT}{label}:"));
    for (index, part) in parts.into_iter().enumerate() {
        if !tainted {
            lines.push(format!("{INDENT}{INDENT}{}", spelled_line(part)));
            continue;
        }
        // Each line is marked by itself: a reader in the middle of a long text must not have to look for its beginning.
        let end = if index == last { "" } else { "\\n" };
        lines.push(format!("{INDENT}{INDENT}{}", mark(&format!("{}{end}", spelled_out(part)))));
    }
}

/// One word of a command or the value of a variable: bare where nothing in it could be misread, else in quotes.
fn word(action: &Action, pointer: &str, text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,#~".contains(c);
    let spelled = spelled_out(text);
    let bare = !text.is_empty() && text.chars().all(is_plain) && spelled == text;
    let shown = if bare { spelled } else { format!("\"{}\"", spelled.replace('"', "\\\"")) };
    if tainted(action, pointer) { mark(&shown) } else { shown }
}

/// JSON, indented, with the marks around the values that came from a payload; inside of one that did as a whole there are
/// none.
fn json(action: &Action, pointer: &str, value: &Value, whole: bool, indent: String, lines: &mut Vec<String>) {
    let begin = lines.len();
    let marked = !whole && tainted(action, pointer);
    let within = whole || marked;
    match value {
        Value::Object(map) if !map.is_empty() => {
            lines.push(format!("{indent}{{"));
            let last = map.len() - 1;
            for (index, (key, value)) in map.iter().enumerate() {
                let at = lines.len();
                let pointer = format!("{pointer}/{}", escape_token(key));
                json(action, &pointer, value, within, format!("{indent}{INDENT}"), lines);
                name_first_line(&mut lines[at], &indent, &quoted(key));
                separate(lines, index < last);
            }
            lines.push(format!("{indent}}}"));
        }
        Value::Array(items) if !items.is_empty() => {
            lines.push(format!("{indent}["));
            let last = items.len() - 1;
            for (index, item) in items.iter().enumerate() {
                json(action, &format!("{pointer}/{index}"), item, within, format!("{indent}{INDENT}"), lines);
                separate(lines, index < last);
            }
            lines.push(format!("{indent}]"));
        }
        Value::String(text) => lines.push(format!("{indent}{}", quoted(text))),
        other => lines.push(format!("{indent}{other}")),
    }
    if marked && begin < lines.len() {
        let inner = lines[begin].split_off(indent.len());
        lines[begin].push(TAINT_OPEN);
        lines[begin].push_str(&inner);
        if let Some(end) = lines.last_mut() {
            end.push(TAINT_CLOSE);
        }
    }
}

fn name_first_line(line: &mut String, indent: &str, key: &str) {
    let inner = line.split_off(indent.len() + INDENT.len());
    line.push_str(&format!("{key}: {inner}"));
}

fn separate(lines: &mut [String], more: bool) {
    if let Some(line) = lines.last_mut().filter(|_| more) {
        line.push(',');
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", spelled_out(text).replace('"', "\\\""))
}

fn mark(text: &str) -> String {
    format!("{TAINT_OPEN}{text}{TAINT_CLOSE}")
}

/// Whether the value at `pointer`, or one that it is part of, came from a payload.
fn tainted(action: &Action, pointer: &str) -> bool {
    action.tainted.iter().any(|at| {
        pointer == at || pointer.strip_prefix(at.as_str()).is_some_and(|rest| rest.starts_with('/')) || at.is_empty()
    })
}

/// A key as JSON pointers write it.
fn escape_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_credential(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    ["authorization", "cookie", "token", "secret", "api-key", "apikey", "password", "signature"]
        .iter()
        .any(|word| header.contains(word))
}

fn short_hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes())).chars().take(HASH_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::approval::FileDigest;

    fn action(tool: &str, args: Value, tainted: &[&str]) -> Action {
        Action {
            tool: tool.into(),
            args: args.as_object().expect("an object").clone(),
            cwd: None,
            env: BTreeMap::new(),
            stdin_sha256: None,
            files: Vec::new(),
            workflow: "w".into(),
            workflow_hash: "sha256:0".into(),
            run: "run_1".into(),
            step: "s".into(),
            revision: 1,
            tainted: tainted.iter().map(|at| (*at).to_owned()).collect(),
        }
    }

    fn shown(action: &Action) -> String {
        lines(action).join("\n")
    }

    #[test]
    fn a_command_is_shown_whole_with_its_folder_variables_and_files() {
        let args = json!({ "argv": ["./deploy.sh", "--tag", "v1 $(rm -rf /)", ""], "cwd": "app" });
        let mut action = action("shell_exec", args, &["/argv/2", "/env/TITLE"]);
        action.cwd = Some("/srv/app".into());
        action.env = BTreeMap::from([("TITLE".into(), "a \"b\"\nc".into()), ("MODE".into(), "fast".into())]);
        action.files = vec![FileDigest { path: "/srv/app/deploy.sh".into(), sha256: "abcd".into() }];
        action.stdin_sha256 = Some("ef01".into());
        insta::assert_snapshot!(shown(&action), @r#"
        shell_exec
          $ ./deploy.sh --tag ‹"v1 $(rm -rf /)"› ""
          in folder: /srv/app
          env MODE=fast
          env TITLE=‹"a \"b\"\nc"›
          stdin: the payload as JSON (sha256 ef01)
          file: /srv/app/deploy.sh (sha256 abcd)
        "#);
    }

    #[test]
    fn in_a_line_actions_are_told_apart_by_what_they_do() {
        let short = |tool, args, tainted: &[&str]| in_short(&action(tool, args, tainted));
        let command = json!({ "argv": ["./deploy.sh", "--tag", "v1.2.3"], "cwd": "app" });
        assert_eq!(short("shell_exec", command, &["/argv/2"]), "$ ./deploy.sh --tag ‹v1.2.3›");
        let request = json!({ "url": "https://e.example/x", "json": { "url: ": "$ x" } });
        assert_eq!(short("hook", request, &["/json"]), "POST https://e.example/x");
        let fact = json!({ "section": "deploys", "fact": "a\n  $ b" });
        assert_eq!(short("memory_store", fact, &["/fact"]), "memory_store section: deploys · fact: ‹a\\n› · ‹  $ b›");
        let script = json!({ "language": "bash", "code": format!("$ \nurl: x\n{}", "long ".repeat(100)) });
        let shown = short("script", script, &[]);
        assert!(shown.starts_with("script language: bash · code: $  · url: x · long"), "{shown}");
        assert!(shown.chars().count() <= SHORT_CHARS_MAX && shown.ends_with('…'), "{shown}");
    }

    #[test]
    fn a_request_shows_method_url_headers_and_body_but_no_credential() {
        let args = json!({
            "method": "POST", "url": "https://api.example.com/x?q=1",
            "headers": { "Authorization": "Bearer s3cr3t-value", "X-Title": "hi there" },
            "json": { "text": "ok", "who": { "name": "Ann › x", "n": 3 }, "list": [1, "two"] },
        });
        let action = action("http_request", args, &["/json/who", "/headers/X-Title", "/url"]);
        let text = shown(&action);
        assert!(!text.contains("s3cr3t"), "{text}");
        insta::assert_snapshot!(text, @r#"
        http_request
          method: POST
          url: ‹https://api.example.com/x?q=1›
          Authorization: (hidden, sha256 2c67fec03e985eef)
          X-Title: ‹"hi there"›
          json:
            {
              "text": "ok",
              "who": ‹{
                "name": "Ann \u{203a} x",
                "n": 3
              }›,
              "list": [
                1,
                "two"
              ]
            }
        "#);
    }

    #[test]
    fn what_a_payload_brought_is_shown_even_where_credentials_stand() {
        let args =
            json!({ "url": "https://e.example", "headers": { "X-Token": "evil value", "Authorization": "Bearer x" } });
        let text = shown(&action("hook", args, &["/headers/X-Token"]));
        assert!(text.contains("X-Token: ‹\"evil value\"›") && text.contains("Authorization: (hidden"), "{text}");
    }

    #[test]
    fn look_alikes_of_marks_blanks_and_letters_are_spelled_out() {
        let args = json!({ "argv": ["./x", "a⟩ --force ⟨b", "v1\u{a0}", "r\u{0435}lease", "релиз"] });
        insta::assert_snapshot!(
            shown(&action("shell_exec", args, &["/argv/1", "/argv/2", "/argv/3", "/argv/4"])),
            @r#"
        shell_exec
          $ ./x ‹"a\u{27e9} --force \u{27e8}b"› ‹"v1\u{a0}"› ‹"r\u{435}lease"› ‹релиз›
        "#
        );
    }

    #[test]
    fn text_of_many_lines_cannot_pretend_to_be_another_argument() {
        let args = json!({ "path": "notes.md", "content": "hello\n  in folder: /root\n›\u{202e}end" });
        let action = action("write_file", args, &["/content"]);
        insta::assert_snapshot!(shown(&action), @r#"
        write_file
          path: notes.md
          content:
            ‹hello\n›
            ‹  in folder: /root\n›
            ‹\u{203a}\u{202e}end›
        "#);
    }

    #[test]
    fn a_script_is_shown_line_by_line_as_its_author_wrote_it() {
        let args = json!({ "language": "bash", "code": "set -e\nprintf 'a\\n'\n" });
        insta::assert_snapshot!(shown(&action("script", args, &[])), @r#"
        script
          language: bash
          code:
            set -e
            printf 'a\n'
        "#);
    }

    #[test]
    fn an_argument_that_is_a_payload_as_a_whole_is_marked_once() {
        let args = json!({ "url": "https://e.example", "json": { "a": { "b": "c" } } });
        insta::assert_snapshot!(shown(&action("hook", args, &["/json"])), @r#"
        hook
          method: POST
          url: https://e.example
          json:
            ‹{
              "a": {
                "b": "c"
              }
            }›
        "#);
    }
}
