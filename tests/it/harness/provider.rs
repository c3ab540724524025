//! A model's provider on loopback that answers what a test tells it to, byte for byte, and keeps what it was asked.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::clock::patiently;

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub headers: String,
    pub body: Value,
}

#[derive(Debug, Clone)]
enum Answer {
    Whole {
        status: u16,
        headers: String,
        body: String,
    },
    /// Events of a stream; then the connection closes.
    Stream(Vec<String>),
    /// Nothing, and the connection stays open.
    Silence,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
}

/// The server; it ends with the process.
pub struct Provider {
    pub url: String,
    state: Arc<Mutex<State>>,
    count: watch::Sender<usize>,
}

impl Provider {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State::default()));
        let count = watch::Sender::new(0);
        let (shared, counting) = (Arc::clone(&state), count.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, count) = (Arc::clone(&shared), counting.clone());
                std::thread::spawn(move || serve(stream, &state, &count));
            }
        });
        Self { url, state, count }
    }

    /// The next answer that nothing was told for yet.
    pub fn then(&self, status: u16, headers: &[(&str, &str)], body: impl Into<String>) -> &Self {
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.push(Answer::Whole { status, headers, body: body.into() })
    }

    /// OpenAI's answer with this text.
    pub fn says(&self, text: &str) -> &Self {
        self.then(200, &[], openai_text(text).to_string())
    }

    /// An answer of events, after which the connection closes.
    pub fn streams(&self, events: &[&str]) -> &Self {
        self.push(Answer::Stream(events.iter().map(|event| (*event).to_owned()).collect()))
    }

    /// No answer.
    pub fn stays_silent(&self) -> &Self {
        self.push(Answer::Silence)
    }

    /// What it was asked, once that is `count` requests.
    pub async fn asked(&self, count: usize) -> Vec<Asked> {
        let mut seen = self.count.subscribe();
        patiently(async move {
            seen.wait_for(|seen| *seen >= count).await.expect("the provider is there");
        })
        .await;
        self.state.lock().expect("not poisoned").asked.clone()
    }

    /// How often it was asked.
    pub fn times(&self) -> usize {
        self.state.lock().expect("not poisoned").asked.len()
    }

    fn push(&self, answer: Answer) -> &Self {
        self.state.lock().expect("not poisoned").answers.push_back(answer);
        self
    }
}

/// A chat completion of OpenAI.
pub fn openai_text(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    })
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, count: &watch::Sender<usize>) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    loop {
        let mut first = String::new();
        if !matches!(reader.read_line(&mut first), Ok(1..)) {
            return;
        }
        let (mut length, mut headers) = (0, String::new());
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
            headers.push_str(&line);
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = {
            let mut state = state.lock().expect("not poisoned");
            state.asked.push(Asked { path, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) });
            state.answers.pop_front()
        };
        count.send_modify(|count| *count += 1);
        let answer = answer.unwrap_or_else(|| Answer::Whole {
            status: 404,
            headers: String::new(),
            body: r#"{"error":{"message":"nothing was told"}}"#.into(),
        });
        match answer {
            Answer::Whole { status, headers, body } => {
                let head = format!(
                    "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
                    body.len()
                );
                if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                    return;
                }
            }
            Answer::Stream(events) => {
                let head = "HTTP/1.1 200 -\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
                let text: String = events.iter().map(|event| format!("{event}\n\n")).collect();
                let _gone = stream.write_all(format!("{head}{text}").as_bytes());
                let _gone = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
            Answer::Silence => {}
        }
    }
}
