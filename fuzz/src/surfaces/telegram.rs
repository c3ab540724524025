//! What people write to the bot: an update is read, answered as a command or a search on a real ledger, and the answer is
//! dressed for Telegram.
//!
//! Input: the JSON of one update, or a text, which then is what an allowed person wrote.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hookhand::channel::telegram::fuzzing::{Words, heard, rendered};
use hookhand::channel::{AgentInfo, Commands, HandlerInfo, Person, Tested};
use hookhand::domain::event::{EventStatus, Verdict};
use hookhand::domain::ids::EventId;
use hookhand::domain::text::utf16_len;
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ledger::{Ledger, NewEvent};
use hookhand::ports::{Clock, Ids, RandomIds};
use jiff::Timestamp;

use super::summary::only_our_markup;
use crate::harness::clock::FakeClock;

/// Telegram's own limits.
const MESSAGE_UNITS_MAX: usize = 4096;
const BUTTON_BYTES_MAX: usize = 64;
/// Most messages that one command is answered with.
const ANSWERS_MAX: usize = 6;

/// Checks one input.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let now: Timestamp = crate::harness::clock::START.parse().expect("a timestamp");
    let words = heard(&text, now);
    assert_eq!(words, heard(&text, now));
    if let Some(Words { text, tap: true, .. }) = &words {
        assert!(text.len() <= 4 * BUTTON_BYTES_MAX, "{} bytes", text.len());
        return;
    }
    let said = match words {
        Some(Words { text, .. }) => text,
        None if text.starts_with('{') => return,
        None => text.into_owned(),
    };
    assert!(said.len() <= data.len() * 3);
    WORLD.with(|world| world.answers(&said));
}

struct World {
    runtime: tokio::runtime::Runtime,
    commands: Commands,
    _folder: tempfile::TempDir,
}

thread_local! {
    static WORLD: World = World::new();
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let clock = FakeClock::new();
        let ledger =
            SqliteLedger::open(SqliteOptions::new(folder.path().join("ledger.db"), clock.clone())).expect("a ledger");
        runtime.block_on(async {
            let ids = RandomIds::default();
            for (handler, body) in [("github", r#"{"ref":"refs/heads/main"}"#), ("stripe", r#"{"amount":2999}"#)] {
                ledger
                    .ingest(event(EventId::new(ids.ulid(clock.now())), handler, body, clock.now()))
                    .await
                    .expect("kept");
            }
            while ledger.index().await.expect("indexed") > 0 {}
        });
        let commands =
            Commands::new(ledger.clone(), clock.clone(), Arc::new(Info(clock.now()))).with_chats(ledger, false);
        Self { runtime, commands, _folder: folder }
    }

    fn answers(&self, said: &str) {
        // What it changes (rules, memory) is bounded by the ledger.
        let answers = self.runtime.block_on(self.commands.answer(Person::Telegram(7), said));
        let answers = answers.unwrap_or_else(|error| panic!("{said:?} is not answered: {error}"));
        assert!(!answers.is_empty() && answers.len() <= ANSWERS_MAX, "{} answers to {said:?}", answers.len());
        for message in answers {
            let (html, plain) = rendered(&message);
            assert!(utf16_len(&plain) <= MESSAGE_UNITS_MAX);
            assert!(!plain.trim().is_empty());
            only_our_markup(&html);
        }
    }
}

fn event(id: EventId, handler: &str, body: &str, now: Timestamp) -> NewEvent {
    NewEvent {
        id,
        handler: handler.parse().expect("a name"),
        provider: handler.to_owned(),
        event: "push".to_owned(),
        delivery_id: Some("d-1".to_owned()),
        delivery_key: None,
        verdict: Verdict::Valid,
        status: EventStatus::Accepted,
        reason: None,
        received_at: now,
        client_ip: [127, 0, 0, 1].into(),
        headers: vec![("x-github-event".to_owned(), "push".to_owned())],
        body: Bytes::copy_from_slice(body.as_bytes()),
        body_sha256: [7; 32],
        payload: None,
    }
}

#[derive(Debug)]
struct Info(Timestamp);

#[async_trait]
impl AgentInfo for Info {
    fn version(&self) -> String {
        "0.0.0".to_owned()
    }

    fn started_at(&self) -> Timestamp {
        self.0
    }

    fn handlers(&self) -> Vec<HandlerInfo> {
        let handler = |name: &str| HandlerInfo {
            name: name.to_owned(),
            path: format!("/webhooks/{name}"),
            url: None,
            enabled: true,
            workflow: false,
        };
        vec![handler("github"), handler("stripe")]
    }

    fn listening(&self) -> Vec<String> {
        vec!["http://127.0.0.1:8080".to_owned()]
    }

    async fn test_webhook(&self, name: &str) -> Result<Tested, String> {
        Err(format!("there is no webhook '{name}'"))
    }
}
