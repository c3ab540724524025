//! A Bot API server on loopback that knows one token and answers what a test tells it to, and the agent's binary run against
//! it. Requests are kept, so that a test can see what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// The one token that is somebody's.
pub const TOKEN: &str = "4711:AAF-it_is-a-secret";

#[derive(Default)]
struct State {
    /// Method in lower case → answers, the last of which stays.
    answers: BTreeMap<String, VecDeque<Value>>,
    asked: Vec<(String, Value)>,
    date: Option<String>,
}

/// The server; it ends with the process.
pub struct ScriptedBot {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl ScriptedBot {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        let api = Self { url, state };
        api.answer("getme", json!({"id": 42, "is_bot": true, "first_name": "Hook", "username": "hook_bot"}));
        api.answer("getwebhookinfo", json!({"url": "", "has_custom_certificate": false, "pending_update_count": 0}));
        api
    }

    /// From now on `method` answers this result, after those that were told before.
    pub fn answer(&self, method: &str, result: Value) {
        self.reply(method, json!({"ok": true, "result": result}));
    }

    /// From now on `method` is refused.
    pub fn refuse(&self, method: &str, code: u16, description: &str) {
        self.reply(method, json!({"ok": false, "error_code": code, "description": description}));
    }

    /// Forgets what `method` answers.
    pub fn forget(&self, method: &str) {
        self.state.lock().expect("not poisoned").answers.remove(method);
    }

    /// What the header `Date` says.
    pub fn date(&self, date: &str) {
        self.state.lock().expect("not poisoned").date = Some(date.to_owned());
    }

    /// What was asked of `method`.
    pub fn asked(&self, method: &str) -> Vec<Value> {
        let state = self.state.lock().expect("not poisoned");
        state.asked.iter().filter(|(name, _)| name == method).map(|(_, body)| body.clone()).collect()
    }

    fn reply(&self, method: &str, reply: Value) {
        self.state.lock().expect("not poisoned").answers.entry(method.to_owned()).or_default().push_back(reply);
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    loop {
        let mut first = String::new();
        if !matches!(reader.read_line(&mut first), Ok(1..)) {
            return;
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            if !matches!(reader.read_line(&mut line), Ok(1..)) {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let (status, reply, date) = answer(&path, &body, state);
        let date = date.map(|date| format!("Date: {date}\r\n")).unwrap_or_default();
        let text = reply.to_string();
        let head = format!(
            "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n{date}Content-Length: {}\r\n\r\n",
            text.len()
        );
        if stream.write_all(format!("{head}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(path: &str, body: &[u8], state: &Mutex<State>) -> (u64, Value, Option<String>) {
    let mut state = state.lock().expect("not poisoned");
    let date = state.date.clone();
    let method = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    if !path.starts_with(&format!("/bot{TOKEN}/")) {
        return (401, json!({"ok": false, "error_code": 401, "description": "Unauthorized"}), date);
    }
    let asked = serde_json::from_slice(body).unwrap_or(Value::Null);
    state.asked.push((method.clone(), asked));
    let Some(answers) = state.answers.get_mut(&method) else {
        return (404, json!({"ok": false, "error_code": 400, "description": format!("no answer to {method}")}), date);
    };
    let reply = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
    let reply = reply.expect("an answer is there");
    (reply["error_code"].as_u64().unwrap_or(200), reply, date)
}

/// Runs the agent in `folder` with nothing of this process's environment, `input` on its standard input.
pub fn agent(folder: &Path, args: &[&str], variables: &[(&str, &str)], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_agent"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the agent starts");
    // One that asks nothing may be gone before it has read.
    let _unread = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("the agent ends")
}

/// Standard output and standard error as one text.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
