//! Channels: what reaches people, in which order and how often, whatever the network does; and what people may ask.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use hookhand::channel::{AgentInfo, Commands, HandlerInfo, Outbox, Poller, TelegramChannel, Terminal, Tested};
use hookhand::config::Secret;
use hookhand::domain::event::{EventStatus, Verdict};
use hookhand::domain::ids::{EventId, NoticeId};
use hookhand::domain::notice::{ChatKey, Message, NoticeKind, Severity};
use hookhand::ledger::sqlite::{SqliteLedger, SqliteOptions};
use hookhand::ledger::{Ledger, NewEvent, NewNotice, Settled, Settlement};
use hookhand::ports::{Clock, Ids, RandomIds};
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::bot_api::{BOT_NAME, BotApi, Fault, SeenMessage};
use crate::harness::clock::{FakeClock, START};

const ANN: i64 = 7001;
const STRANGER: i64 = 9009;
const GROUP: i64 = -100_500;

/// A ledger, a fake Telegram, a clock that stands still, and what runs between them.
struct World {
    clock: Arc<FakeClock>,
    api: BotApi,
    ledger: Arc<SqliteLedger>,
    ids: Arc<RandomIds>,
    channel: Arc<TelegramChannel>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl World {
    /// Nothing runs yet.
    async fn new() -> Self {
        let clock = FakeClock::new();
        let api = BotApi::start_with(clock.clone()).await;
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteOptions::new(folder.path().join("ledger.db"), clock.clone());
        let ledger = SqliteLedger::open(options).expect("a new ledger");
        let token = Secret::new(api.token()).expect("not empty");
        let channel = Arc::new(TelegramChannel::new(&token, &api.url(), clock.clone()).expect("a channel"));
        let (ids, stop) = (Arc::new(RandomIds::default()), CancellationToken::new());
        Self { clock, api, ledger, ids, channel, stop, tasks: Vec::new(), folder }
    }

    /// The outbox runs.
    async fn sending() -> Self {
        let mut world = Self::new().await;
        world.start_outbox();
        world
    }

    /// The outbox and the poller run; Ann may command.
    async fn talking() -> Self {
        let mut world = Self::sending().await;
        world.start_poller(world.ledger.clone());
        world
    }

    fn start_outbox(&mut self) {
        let outbox = Outbox::new(self.ledger.clone(), vec![self.channel.clone()], self.clock.clone());
        self.tasks.push(tokio::spawn(outbox.run(self.stop.clone())));
    }

    fn start_poller(&mut self, ledger: Arc<SqliteLedger>) {
        let info = Arc::new(Info(self.clock.now()));
        let commands = Commands::new(ledger.clone(), self.clock.clone(), info);
        let ann = u64::try_from(ANN).expect("positive");
        let poller = Poller::new(self.channel.clone(), ledger, self.clock.clone(), self.ids.clone(), commands, [ann]);
        self.tasks.push(tokio::spawn(poller.run(self.stop.clone())));
    }

    fn notice(&self, chat: &ChatKey, kind: NoticeKind, message: Message) -> NewNotice {
        let created_at = self.clock.now();
        let id = NoticeId::new(self.ids.ulid(created_at));
        NewNotice { id, chat: chat.clone(), kind, event: None, reply_to: None, message, created_at }
    }

    async fn say(&self, chat: i64, kind: NoticeKind, titles: &[&str]) {
        let chat = ChatKey::telegram(chat, None);
        let notices = titles.iter().map(|title| self.notice(&chat, kind, Message::title(*title))).collect();
        self.ledger.add_notices(notices).await.expect("kept");
    }

    async fn say_message(&self, chat: ChatKey, message: Message) {
        let notice = self.notice(&chat, NoticeKind::System, message);
        self.ledger.add_notices(vec![notice]).await.expect("kept");
    }

    /// The first `count` messages of `chat`, the clock moving as the outbox waits for it.
    async fn messages(&self, chat: i64, count: usize) -> Vec<SeenMessage> {
        self.clock.run_until(self.api.wait_for_messages(chat, count)).await
    }

    /// `state/attempts/message_id known` of every notice in order of acceptance, once `done` of them wait no more.
    async fn states(&self, done: usize) -> Vec<String> {
        let settled = async {
            loop {
                let sql = "SELECT state, attempts, message_id IS NOT NULL, error FROM notices ORDER BY seq";
                let rows = self.ledger.query(sql, 20_000).await.expect("rows").rows;
                let state = |row: &Vec<serde_json::Value>| row[0].as_str().expect("text").to_owned();
                let ended = rows.iter().filter(|row| !["pending", "sending"].contains(&state(row).as_str())).count();
                if ended >= done {
                    return rows.iter().map(|row| format!("{}/{}/{}", state(row), row[1], row[2])).collect();
                }
                tokio::task::yield_now().await;
            }
        };
        self.clock.run_until(settled).await
    }

    /// Everything stops cleanly and nothing unexpected was said.
    async fn finish(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("a task that ends well");
        }
        self.api.finish();
        self.ledger.close().await.expect("closed");
    }

    /// An event that the agent is done with.
    async fn event(&self, handler: &str, event: &str, title: &str) -> EventId {
        let now = self.clock.now();
        let id = EventId::new(self.ids.ulid(now));
        let body = bytes::Bytes::from(json!({"title": title}).to_string());
        let new = NewEvent {
            id,
            handler: handler.parse().expect("a name"),
            provider: handler.to_owned(),
            event: event.to_owned(),
            delivery_id: Some(format!("delivery-{id}")),
            delivery_key: None,
            verdict: Verdict::Valid,
            status: EventStatus::Accepted,
            reason: None,
            received_at: now,
            client_ip: "192.0.2.7".parse().expect("an address"),
            headers: vec![],
            body,
            body_sha256: [7; 32],
            payload: None,
        };
        self.ledger.ingest(new).await.expect("kept");
        let claimed = self.ledger.claim(now, Duration::from_secs(60), 10).await.expect("claimed");
        let outcome = Settled::Processed {
            title: title.to_owned(),
            url: None,
            subject: None,
            severity: Severity::Info,
            notices: vec![],
            summarize: false,
        };
        let settled = Settlement { id, epoch: claimed[0].epoch, at: now, outcome };
        self.ledger.settle(vec![settled]).await.expect("settled");
        id
    }
}

#[derive(Debug)]
struct Info(Timestamp);

#[async_trait::async_trait]
impl AgentInfo for Info {
    fn version(&self) -> String {
        "0.1.0".into()
    }

    fn started_at(&self) -> Timestamp {
        self.0
    }

    fn handlers(&self) -> Vec<HandlerInfo> {
        let handler = |name: &str, enabled| HandlerInfo {
            name: name.into(),
            path: format!("/webhooks/{name}"),
            url: None,
            enabled,
            workflow: false,
        };
        vec![handler("deploy-notify", true), handler("github", true), handler("old-hook", false)]
    }

    fn listening(&self) -> Vec<String> {
        vec!["http://127.0.0.1:8080".into()]
    }

    async fn test_webhook(&self, name: &str) -> Result<Tested, String> {
        match name {
            "github" => {
                Ok(Tested { status: "200 OK".into(), accepted: true, body: "{\"status\":\"accepted\"}\n".into() })
            }
            "deploy-notify" => {
                Ok(Tested { status: "200 OK".into(), accepted: true, body: "{\"status\":\"error\"}".into() })
            }
            other => Err(format!("there is no webhook '{other}'; there are: github")),
        }
    }
}

fn texts(messages: &[SeenMessage]) -> Vec<&str> {
    messages.iter().map(|message| message.text.as_str()).collect()
}

fn seconds_between(messages: &[SeenMessage]) -> Vec<u64> {
    messages
        .windows(2)
        .map(|pair| Duration::try_from(pair[1].at.duration_since(pair[0].at)).expect("later").as_secs())
        .collect()
}

// --- order and pace ---

#[tokio::test]
async fn notices_of_a_chat_arrive_in_order_of_acceptance_at_the_pace_of_the_chat() {
    let world = World::sending().await;
    world.api.enforce_rates();
    world.say(ANN, NoticeKind::System, &["one", "two", "three"]).await;
    world.say(GROUP, NoticeKind::System, &["uno", "due"]).await;
    world.say(ANN, NoticeKind::System, &["four"]).await;
    let private = world.messages(ANN, 4).await;
    let group = world.messages(GROUP, 2).await;
    assert_eq!(texts(&private), ["one", "two", "three", "four"]);
    assert_eq!(texts(&group), ["uno", "due"]);
    assert!(seconds_between(&private).iter().all(|s| *s >= 1) && seconds_between(&group)[0] >= 3);
    assert_eq!(world.states(6).await, vec!["sent/1/1"; 6]);
    world.finish().await;
}

#[tokio::test]
async fn retry_after_is_honoured_is_no_attempt_and_holds_up_nobody_else() {
    let world = World::sending().await;
    world.say(ANN, NoticeKind::System, &["before"]).await;
    world.messages(ANN, 1).await;
    world.api.fault(Fault::RetryAfter(30));
    world.say(ANN, NoticeKind::System, &["held up", "after"]).await;
    world.clock.run_until(world.api.wait_for_calls("sendMessage", 2)).await;
    let held_up_at = world.clock.now();
    world.clock.until_sleeping(1).await;
    world.clock.advance(Duration::from_secs(1));
    world.say(8008, NoticeKind::System, &["elsewhere"]).await;
    // The clock stands still: another chat does not wait.
    assert_eq!(texts(&world.api.wait_for_messages(8008, 1).await), ["elsewhere"]);
    let messages = world.messages(ANN, 3).await;
    assert_eq!(texts(&messages), ["before", "held up", "after"]);
    assert!(messages[1].at >= held_up_at + Duration::from_secs(30), "{:?}", messages[1].at);
    assert_eq!(world.states(4).await, vec!["sent/1/1"; 4]);
    world.finish().await;
}

// --- failures ---

#[tokio::test]
async fn an_outage_of_hours_delays_notices_and_loses_and_doubles_none() {
    let world = World::sending().await;
    world.api.go_down().await;
    world.say(ANN, NoticeKind::System, &["one", "two", "three"]).await;
    world.clock.run_for(Duration::from_secs(3 * 3600)).await;
    assert_eq!(world.api.messages(ANN), []);
    world.api.come_back().await;
    let messages = world.messages(ANN, 3).await;
    assert_eq!(texts(&messages), ["one", "two", "three"]);
    assert!(world.states(3).await.iter().all(|state| state.starts_with("sent/")));
    world.finish().await;
}

#[tokio::test]
async fn server_errors_and_foreign_pages_are_no_delivery() {
    let world = World::sending().await;
    for fault in [Fault::ServerError(500), Fault::ServerError(502), Fault::WebPage, Fault::Refuse(500, "Internal")] {
        world.api.fault(fault);
    }
    world.say(ANN, NoticeKind::System, &["at last"]).await;
    assert_eq!(texts(&world.messages(ANN, 1).await), ["at last"]);
    assert_eq!(world.states(1).await, ["sent/5/1"]);
    world.finish().await;
}

#[tokio::test]
async fn an_unanswered_send_is_repeated_once_and_stays_marked() {
    let world = World::sending().await;
    world.api.fault(Fault::DropAfterAccept);
    world.say(ANN, NoticeKind::System, &["twice", "next"]).await;
    assert_eq!(texts(&world.messages(ANN, 3).await), ["twice", "twice", "next"]);
    assert_eq!(world.states(2).await, ["maybe_sent/2/1", "sent/1/1"]);
    world.finish().await;
}

#[tokio::test]
async fn connections_that_break_again_and_again_lose_nothing() {
    let world = World::sending().await;
    for _ in 0..5 {
        world.api.fault(Fault::DropBefore);
    }
    world.say(ANN, NoticeKind::System, &["precious", "next"]).await;
    assert_eq!(texts(&world.messages(ANN, 2).await), ["precious", "next"]);
    assert_eq!(world.states(2).await, ["maybe_sent/6/1", "sent/1/1"]);
    world.finish().await;
}

#[tokio::test]
async fn eight_unanswered_sends_are_the_end_of_it() {
    let world = World::sending().await;
    world.api.fault(Fault::DropAfterAccept);
    for _ in 0..7 {
        world.api.fault(Fault::DropBefore);
    }
    world.say(ANN, NoticeKind::System, &["perhaps", "next"]).await;
    assert_eq!(texts(&world.messages(ANN, 2).await), ["perhaps", "next"]);
    assert_eq!(world.states(2).await, ["maybe_sent/8/0", "sent/1/1"]);
    world.finish().await;
}

#[tokio::test]
async fn an_outage_after_an_unanswered_send_does_not_use_up_its_repetition() {
    let world = World::sending().await;
    world.api.fault(Fault::DropBefore);
    world.say(ANN, NoticeKind::System, &["precious"]).await;
    world.api.wait_for_calls("sendMessage", 1).await;
    world.clock.until_sleeping(1).await;
    world.api.go_down().await;
    world.clock.run_for(Duration::from_secs(3600)).await;
    world.api.come_back().await;
    assert_eq!(texts(&world.messages(ANN, 1).await), ["precious"]);
    assert_eq!(world.states(1).await, ["maybe_sent/2/1"]);
    assert_eq!(world.api.calls("sendMessage").len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn a_success_whose_answer_cannot_be_read_is_a_success() {
    let world = World::sending().await;
    world.api.fault(Fault::TornAnswer);
    world.say(ANN, NoticeKind::System, &["once"]).await;
    assert_eq!(world.states(1).await, ["sent/1/1"]);
    assert_eq!(texts(&world.messages(ANN, 1).await), ["once"]);
    world.finish().await;
}

#[tokio::test]
async fn what_a_dead_process_was_sending_is_sent_once_more_after_the_channel_answers() {
    let mut world = World::new().await;
    world.say(ANN, NoticeKind::System, &["in flight", "behind"]).await;
    let chat = ChatKey::telegram(ANN, None);
    let first = world.ledger.notices_waiting(&chat, 1).await.expect("rows")[0].id;
    world.ledger.begin_send(&[first], world.clock.now()).await.expect("begun");
    world.api.fault_on("getme", Fault::ServerError(502));
    world.start_outbox();
    assert_eq!(texts(&world.messages(ANN, 2).await), ["in flight", "behind"]);
    assert_eq!(world.states(2).await, ["maybe_sent/2/1", "sent/1/1"]);
    assert_eq!(world.api.calls("getMe").len(), 2, "asked before the repetition, until it answered");
    world.finish().await;
}

#[tokio::test]
async fn a_chat_that_blocks_the_bot_fails_its_notices_and_nobody_elses() {
    let world = World::sending().await;
    world.api.block(ANN);
    world.api.unknown_chat(8008);
    world.say(ANN, NoticeKind::System, &["a", "b"]).await;
    world.say(8008, NoticeKind::System, &["c"]).await;
    world.say(GROUP, NoticeKind::System, &["d"]).await;
    assert_eq!(world.states(4).await, ["failed/1/0", "failed/1/0", "failed/1/0", "sent/1/1"]);
    assert_eq!(texts(&world.messages(GROUP, 1).await), ["d"]);
    world.finish().await;
}

#[tokio::test]
async fn a_refused_token_keeps_notices_until_it_works() {
    let world = World::sending().await;
    world.api.accept_token(false);
    world.say(ANN, NoticeKind::System, &["patient"]).await;
    world.clock.run_for(Duration::from_secs(600)).await;
    assert_eq!(world.api.messages(ANN), []);
    world.api.accept_token(true);
    assert_eq!(texts(&world.messages(ANN, 1).await), ["patient"]);
    world.finish().await;
}

#[tokio::test]
async fn a_moved_group_and_a_vanished_topic_get_their_notices_all_the_same() {
    let world = World::sending().await;
    world.api.fault(Fault::Migrated(-100_777));
    world.say(GROUP, NoticeKind::System, &["moved", "again"]).await;
    assert_eq!(texts(&world.messages(-100_777, 2).await), ["moved", "again"]);
    world.api.fault(Fault::Refuse(400, "Bad Request: message thread not found"));
    world.say_message(ChatKey::telegram(-100_900, Some(7)), Message::title("topic")).await;
    assert_eq!(world.messages(-100_900, 1).await[0].thread, None);
    world.finish().await;
}

#[tokio::test]
async fn a_stop_finishes_the_send_in_flight_and_leaves_the_rest() {
    let mut world = World::sending().await;
    world.api.hold(true);
    world.say(ANN, NoticeKind::System, &["in flight", "waiting"]).await;
    world.api.wait_for_calls("sendMessage", 1).await;
    world.stop.cancel();
    world.api.hold(false);
    for task in world.tasks.drain(..) {
        task.await.expect("a task that ends well");
    }
    assert_eq!(world.states(1).await, ["sent/1/1", "pending/0/0"]);
    assert_eq!(texts(&world.api.messages(ANN)), ["in flight"]);
    world.finish().await;
}

// --- digests ---

/// How often each of `titles` is in `messages`, and what the digest pages say they hold.
fn accounted(messages: &[SeenMessage], titles: &[String]) -> (BTreeMap<String, usize>, usize) {
    let lines: Vec<&str> =
        messages.iter().flat_map(|m| m.text.lines()).map(|line| line.trim_start_matches("• ")).collect();
    let known: HashSet<&str> = titles.iter().map(String::as_str).collect();
    let mut counts = BTreeMap::new();
    for line in lines.iter().filter(|line| known.contains(**line)) {
        *counts.entry((*line).to_owned()).or_default() += 1;
    }
    let counted = messages
        .iter()
        .filter(|m| m.text.contains("more events"))
        .map(|m| {
            let title = m.text.lines().next().expect("a title");
            match title.split_once(": ") {
                Some((_, here)) => here.split(' ').next().and_then(|n| n.parse().ok()).expect("a count"),
                None => title.split(' ').next().and_then(|n| n.parse::<usize>().ok()).expect("a count"),
            }
        })
        .sum();
    (counts, counted)
}

#[tokio::test]
async fn three_hundred_events_in_three_seconds_are_a_handful_of_messages_that_account_for_all() {
    for chat in [ANN, GROUP] {
        let world = World::sending().await;
        world.api.enforce_rates();
        let titles: Vec<String> = (0..300).map(|i| format!("acme/shop: alice pushed commit number {i}")).collect();
        for title in &titles {
            world.say(chat, NoticeKind::Event, &[title]).await;
            world.clock.advance(Duration::from_millis(10));
        }
        assert!(world.states(300).await.iter().all(|state| state == "sent/1/1"));
        let messages = world.api.messages(chat);
        assert!(messages.len() <= 12, "{} messages", messages.len());
        let (counts, counted) = accounted(&messages, &titles);
        assert!(counts.len() == 300 && counts.values().all(|n| *n == 1), "every title exactly once");
        let alone = messages.iter().filter(|m| !m.text.contains("more events")).count();
        assert_eq!(alone + counted, 300);
        assert!((4..=5).contains(&alone), "the first few go alone: {alone}");
        assert!(
            messages[alone].text.starts_with(&format!("{} more events in the last 1", 300 - alone)),
            "{}",
            messages[alone].text
        );
        world.finish().await;
    }
}

#[tokio::test]
async fn a_few_events_go_alone_and_a_single_one_too_many_goes_as_itself() {
    let world = World::sending().await;
    world.say(ANN, NoticeKind::Event, &["1", "2", "3", "4", "5"]).await;
    assert_eq!(texts(&world.messages(ANN, 5).await), ["1", "2", "3", "4", "5"]);
    world.say(ANN, NoticeKind::Event, &["6"]).await;
    let messages = world.messages(ANN, 6).await;
    assert_eq!(messages[5].text, "6");
    assert!(messages[5].at >= messages[0].at + Duration::from_secs(10), "it waited for the window to close");
    world.finish().await;
}

#[tokio::test]
async fn answers_and_words_of_the_agent_do_not_wait_for_a_digest_and_never_fold() {
    let world = World::sending().await;
    let titles: Vec<String> = (0..20).map(|i| format!("event {i}")).collect();
    let all: Vec<&str> = titles.iter().map(String::as_str).collect();
    world.say(ANN, NoticeKind::Event, &all).await;
    world.messages(ANN, 5).await;
    world.clock.until_sleeping(1).await;
    world.say(ANN, NoticeKind::Reply, &["answer"]).await;
    world.say(ANN, NoticeKind::System, &["news"]).await;
    let messages = world.messages(ANN, 8).await;
    assert_eq!(texts(&messages[5..7]), ["answer", "news"]);
    assert!(messages[7].text.starts_with("15 more events"), "{}", messages[7].text);
    world.finish().await;
}

#[tokio::test]
async fn the_outcomes_of_many_runs_are_one_digest_that_tells_each() {
    let world = World::sending().await;
    let chat = ChatKey::telegram(ANN, None);
    let outcome = |n: usize| {
        let lines = vec!["  build: success".to_owned(), format!("  ship: error (exit code {n})")];
        let message =
            Message { lines, severity: Severity::Warning, ..Message::title("Webhook 'deploy' triggered workflow:") };
        world.notice(&chat, NoticeKind::Outcome, message)
    };
    world.ledger.add_notices((0..20).map(outcome).collect()).await.expect("kept");
    let messages = world.messages(ANN, 6).await;
    assert!(messages[4].text.contains("\n  ship: error (exit code 4)"), "{}", messages[4].text);
    let digest = &messages[5].text;
    assert!(digest.starts_with("15 more notices in the last"), "{digest}");
    for n in 5..20 {
        let line = format!("Webhook 'deploy' triggered workflow: build: success, ship: error (exit code {n})");
        assert_eq!(digest.matches(&line).count(), 1, "{digest}");
    }
    assert_eq!(world.states(20).await, vec!["sent/1/1"; 20]);
    world.finish().await;
}

#[tokio::test]
async fn a_long_backlog_is_told_page_by_page_and_an_answer_overtakes_it() {
    let world = World::sending().await;
    world.api.go_down().await;
    let titles: Vec<String> = (0..1300).map(|i| format!("event number {i} of the backlog")).collect();
    let all: Vec<&str> = titles.iter().map(String::as_str).collect();
    world.say(ANN, NoticeKind::Event, &all).await;
    world.say(ANN, NoticeKind::Reply, &["answer"]).await;
    world.clock.run_for(Duration::from_secs(7200)).await;
    world.api.fault(Fault::RetryAfter(3));
    world.api.come_back().await;
    assert!(world.states(1301).await.iter().all(|state| state.starts_with("sent/")));
    let messages = world.api.messages(ANN);
    let (counts, counted) = accounted(&messages, &titles);
    assert!(counts.len() == 1300 && counts.values().all(|n| *n == 1), "every title exactly once");
    assert_eq!(counted, 1295);
    assert_eq!(messages[5].text, "answer", "an answer is not behind a thousand events");
    assert!(messages[6].text.starts_with("500 more events since 2026-01-02 03:04 UTC (1 of "), "{}", messages[6].text);
    assert!(messages.len() < 40, "{}", messages.len());
    world.finish().await;
}

#[tokio::test]
async fn an_unanswered_digest_page_is_repeated_once_for_all_of_its_notices() {
    let world = World::sending().await;
    let titles: Vec<String> = (0..10).map(|i| format!("event {i}")).collect();
    let all: Vec<&str> = titles.iter().map(String::as_str).collect();
    world.say(ANN, NoticeKind::Event, &all).await;
    world.messages(ANN, 5).await;
    world.api.fault(Fault::DropAfterAccept);
    let messages = world.messages(ANN, 7).await;
    assert_eq!(messages[5].text, messages[6].text);
    let states = world.states(10).await;
    assert_eq!(
        (states[..5].to_vec(), states[5..].to_vec()),
        (vec!["sent/1/1".into(); 5], vec!["maybe_sent/2/1".to_owned(); 5])
    );
    world.finish().await;
}

// --- what it looks like ---

#[tokio::test]
async fn hostile_text_arrives_as_text() {
    let world = World::sending().await;
    let message = Message {
        title: "<b>bold</b> & <script>alert(1)</script> \u{202e}gnp.exe".into(),
        lines: vec!["</b></a><i>".into(), "a < b && c > d \"q\"".into()],
        url: Some("https://example.com/?a=\"><script>&b=1".into()),
        severity: Severity::Warning,
    };
    world.say_message(ChatKey::telegram(ANN, None), message).await;
    let seen = &world.messages(ANN, 1).await[0];
    assert_eq!(
        seen.text,
        "⚠️ <b>bold</b> & <script>alert(1)</script> gnp.exe\n</b></a><i>\na < b && c > d \"q\"\nhttps://example.com/?a=\"><script>&b=1"
    );
    assert_eq!(seen.links, ["https://example.com/?a=\"><script>&b=1"]);
    assert!(seen.html);
    world.finish().await;
}

#[tokio::test]
async fn markup_that_telegram_cannot_parse_costs_the_dress_and_not_the_message() {
    let world = World::sending().await;
    world.api.fault(Fault::Refuse(400, "Bad Request: can't parse entities: Unsupported start tag"));
    world.say(ANN, NoticeKind::System, &["a < b"]).await;
    let seen = &world.messages(ANN, 1).await[0];
    assert_eq!((seen.text.as_str(), seen.html), ("a < b", false));
    assert_eq!(world.states(1).await, ["sent/1/1"]);
    world.finish().await;
}

#[tokio::test]
async fn a_body_of_ten_thousand_characters_is_cut_and_its_title_and_link_stay() {
    let world = World::sending().await;
    for body in ["🙂".repeat(10_000), "<&>".repeat(10_000)] {
        let message = Message {
            title: "Long".into(),
            lines: vec![body],
            url: Some("https://example.com/1".into()),
            severity: Severity::Info,
        };
        world.say_message(ChatKey::telegram(ANN, None), message).await;
    }
    for seen in world.messages(ANN, 2).await {
        assert!(seen.text.starts_with("Long\n") && seen.text.ends_with("…\nhttps://example.com/1"));
        assert!(seen.text.encode_utf16().count() > 4000);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_notice_for_a_topic_goes_to_the_topic() {
    let world = World::sending().await;
    world.say_message(ChatKey::telegram(GROUP, Some(7)), Message::title("in the topic")).await;
    assert_eq!(world.messages(GROUP, 1).await[0].thread, Some(7));
    world.finish().await;
}

// --- what people ask ---

#[tokio::test]
async fn a_stranger_gets_one_refusal_an_hour_with_the_numeric_id() {
    let world = World::talking().await;
    let first = world.api.user_says(STRANGER, STRANGER, "/status");
    world.api.user_says(STRANGER, STRANGER, "hello?");
    let refusal = &world.messages(STRANGER, 1).await[0];
    assert!(refusal.text.contains("9009") && !refusal.text.contains("Queue"), "{}", refusal.text);
    assert_eq!(refusal.reply_to, Some(first));
    world.clock.run_until(world.api.wait_until_confirmed()).await;
    world.clock.advance(Duration::from_secs(3601));
    world.api.user_says(STRANGER, STRANGER, "and now?");
    assert_eq!(world.messages(STRANGER, 2).await.len(), 2);
    world.clock.run_until(world.api.wait_until_confirmed()).await;
    world.finish().await;
}

#[tokio::test]
async fn an_allowed_user_is_known_by_id_and_not_by_name() {
    let world = World::talking().await;
    let posing = json!({
        "from": {"id": STRANGER, "is_bot": false, "first_name": "User7001", "username": "user7001"}, "text": "/status",
    });
    world.api.message_arrives(STRANGER, posing);
    assert!(world.messages(STRANGER, 1).await[0].text.starts_with("Sorry"));
    world.finish().await;
}

#[tokio::test]
async fn commands_are_answered() {
    let world = World::talking().await;
    let first = world.event("github", "push", "acme/shop: alice pushed 2 commits to main").await;
    world.clock.advance(Duration::from_secs(90));
    world.event("deploy-notify", "unknown", "deploy-notify: deployment of <v2>").await;
    world.clock.advance(Duration::from_secs(310));
    let mut answers = Vec::new();
    for text in [
        "/start",
        "/status",
        "/events",
        "/events 1 github",
        &format!("/event {first}"),
        "/webhook list",
        "/webhook test github",
        "/webhook test deploy-notify",
        "/webhook test nope",
        "/webhook test",
        "/evnts",
        "alice pushed",
        "zebra",
    ] {
        let asked = world.api.user_says(ANN, ANN, text);
        let seen = world.messages(ANN, answers.len() + 1).await;
        let answer = seen.last().expect("an answer");
        assert_eq!(answer.reply_to, Some(asked), "{text}");
        answers.push(answer.text.clone());
    }
    let masked: Vec<String> = answers.iter().map(|text| mask_ids(text)).collect();
    insta::assert_snapshot!(masked.join("\n---\n"), @r#"
    I tell you what your webhooks bring.
    /help – what I can do
    /status – queue, outbox and the last event of every handler
    /events [count] [handler] – the newest events
    /event ID – one event: verdict, reason, timeline
    /runs [ID | workflow | state] – the newest runs, or one
    /approvals [ID | all] – what waits for a decision
    /approve ID – say yes to a step
    /deny ID [reason] – say no to a step
    /webhook list | test NAME – the webhooks and where they are served; try one
    /workflow list | run NAME [key=value …] | reload – the workflows; start one; read the files again
    /memory [WORDS | forget NUMBER] – what I remember
    /mute [HANDLER [EVENT] [8h] [words]] – keep notices quiet; alone: the rules, and what could be muted
    /unmute NUMBER – end a rule of /mute
    /cancel [RUN] – stop my answer, or end a run
    /settle RUN STEP happened | not-happened | leave – settle a step in doubt
    Anything else: I look for events with those words. Answer a notice to read more about it.
    ---
    hookhand 0.1.0, up 6 min
    Queue: empty
    Outbox: 0 notices waiting
    Events kept: 2 processed
    Listening on http://127.0.0.1:8080
    Last events:
      deploy-notify: 5 min ago
      github: 6 min ago
    No event yet: old-hook
    ---
    The newest 2 events, newest first
    03:05  deploy-notify: deployment of <v2>  evt_ID
    03:04  acme/shop: alice pushed 2 commits to main  evt_ID
    ---
    The newest event of github
    03:04  acme/shop: alice pushed 2 commits to main  evt_ID
    ---
    acme/shop: alice pushed 2 commits to main
    evt_ID  github: push
    Status: processed
    Signature: valid
    Delivery: delivery-evt_ID
    From 192.0.2.7, 53 bytes
    Timeline (UTC):
      2026-01-02 03:04:05  received: from 192.0.2.7
      2026-01-02 03:04:05  verified: signature valid
      2026-01-02 03:04:05  committed
      2026-01-02 03:04:05  processed: acme/shop: alice pushed 2 commits to main
    ---
    Webhooks:
      POST /webhooks/deploy-notify  [enabled]
      POST /webhooks/github         [enabled]
      POST /webhooks/old-hook       [disabled]
    ---
    ✅ Testing webhook: github
    Response: 200 OK
    {"status":"accepted"}
    ---
    ⚠️ Testing webhook: deploy-notify
    Response: 200 OK
    {"status":"error"}
    ---
    ⚠️ Testing webhook: nope
    there is no webhook 'nope'; there are: github
    ---
    Which one? Write /webhook test and a name from /webhook list.
    ---
    I don't know /evnts. Did you mean /events? /help lists what I can do.
    ---
    The newest events with 'alice pushed'
    03:04  acme/shop: alice pushed 2 commits to main  evt_ID
    /event and an id shows one; /help lists what I can do.
    ---
    I found no events with 'zebra'.
    The newest of all:
    03:05  deploy-notify: deployment of <v2>  evt_ID
    03:04  acme/shop: alice pushed 2 commits to main  evt_ID
    /help lists what I can do.
    "#);
    let menu = world.api.menu();
    assert!(menu.as_array().is_some_and(|menu| menu.iter().any(|command| command["command"] == "events")), "{menu}");
    world.finish().await;
}

fn mask_ids(text: &str) -> String {
    let mut masked = String::new();
    for (index, part) in text.split("evt_").enumerate() {
        masked.push_str(if index == 0 { part } else { "evt_ID" });
        if index > 0 {
            masked.push_str(part.get(26..).unwrap_or_default());
        }
    }
    masked
}

#[tokio::test]
async fn in_a_group_the_bot_answers_only_what_is_meant_for_it() {
    let world = World::talking().await;
    world.api.user_says(ANN, GROUP, "good morning all");
    world.api.user_says(ANN, GROUP, "/roll 2d6");
    world.api.user_says(ANN, GROUP, "/status@other_bot");
    world.api.user_says(STRANGER, GROUP, "/help");
    world.api.user_says_in(ANN, GROUP, Some(5), &format!("/webhook@{BOT_NAME} list"));
    let seen = world.messages(GROUP, 1).await;
    assert!(seen[0].text.starts_with("Webhooks:\n  POST /webhooks/deploy-notify  [enabled]\n"), "{}", seen[0].text);
    assert_eq!(seen[0].thread, Some(5));
    world.clock.run_until(world.api.wait_until_confirmed()).await;
    assert_eq!(world.api.messages(GROUP).len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn an_update_of_an_unknown_kind_is_passed_over_and_the_next_is_answered() {
    let world = World::talking().await;
    world
        .api
        .message_arrives(ANN, json!({"from": {"id": ANN, "is_bot": false, "first_name": "A"}, "hologram": {"x": 1}}));
    world.api.user_says(ANN, ANN, "/help");
    assert!(world.messages(ANN, 1).await[0].text.contains("/events"));
    world.finish().await;
}

#[tokio::test]
async fn telegram_hears_that_we_have_a_message_only_after_it_is_on_disk() {
    let mut world = World::sending().await;
    // A ledger that can be read and not written is one that never commits.
    let stuck = SqliteLedger::open_read_only(world.folder.path().join("ledger.db")).expect("it exists");
    world.start_poller(stuck);
    world.api.user_says(ANN, ANN, "/help");
    world.clock.run_until(world.api.wait_for_calls("getUpdates", 4)).await;
    assert!(world.api.offsets().iter().all(Option::is_none), "{:?}", world.api.offsets());
    world.tasks.pop().expect("the poller").abort();
    world.start_poller(world.ledger.clone());
    assert!(world.messages(ANN, 1).await[0].text.contains("/events"));
    world.clock.run_until(world.api.wait_until_confirmed()).await;
    world.finish().await;
}

#[tokio::test]
async fn a_message_fetched_twice_is_answered_once() {
    let world = World::talking().await;
    world.api.next_update_id(777);
    world.api.user_says(ANN, ANN, "/help");
    world.messages(ANN, 1).await;
    world.clock.run_until(world.api.wait_until_confirmed()).await;
    // The same update once more, as after a crash between the commit and the confirmation.
    world.api.next_update_id(777);
    world.api.user_says(ANN, ANN, "/help");
    world.clock.run_until(world.api.wait_until_confirmed()).await;
    world.say(ANN, NoticeKind::System, &["the end"]).await;
    assert_eq!(texts(&world.messages(ANN, 2).await)[1..], ["the end"]);
    world.finish().await;
}

#[tokio::test]
async fn after_a_quiet_week_lower_update_ids_are_heard_too() {
    let world = World::talking().await;
    world.api.user_says(ANN, ANN, "/help");
    world.messages(ANN, 1).await;
    world.clock.run_until(world.api.wait_until_confirmed()).await;
    let polls = world.api.calls("getUpdates").len();
    world.api.end_polls();
    world.clock.run_until(world.api.wait_for_calls("getUpdates", polls + 1)).await;
    world.api.next_update_id(17);
    world.api.user_says(ANN, ANN, "/webhook list");
    assert!(world.messages(ANN, 2).await[1].text.starts_with("Webhooks:"));
    world.finish().await;
}

#[tokio::test]
async fn another_reader_of_the_bot_is_waited_out() {
    let mut world = World::sending().await;
    world.api.set_webhook(true);
    world.start_poller(world.ledger.clone());
    world.api.user_says(ANN, ANN, "/help");
    world.clock.run_until(world.api.wait_for_calls("getUpdates", 5)).await;
    world.api.set_webhook(false);
    assert!(world.messages(ANN, 1).await[0].text.contains("/events"));
    world.finish().await;
}

// --- the terminal ---

#[tokio::test]
async fn the_terminal_gets_everything_at_once_and_in_order() {
    let mut world = World::new().await;
    let captured = Captured::default();
    let terminal = Terminal::new(Box::new(captured.clone()), false);
    let outbox = Outbox::new(world.ledger.clone(), vec![Arc::new(terminal)], world.clock.clone());
    world.tasks.push(tokio::spawn(outbox.run(world.stop.clone())));
    let titles: Vec<String> = (0..150).map(|i| format!("event {i}")).collect();
    let notice = |title: &String| world.notice(&ChatKey::terminal(), NoticeKind::Event, Message::title(title));
    world.ledger.add_notices(titles.iter().map(notice).collect()).await.expect("kept");
    // Nobody moves the clock: nothing waits for a pace or a window.
    assert_eq!(world.states(150).await, vec!["sent/1/0"; 150]);
    let printed = String::from_utf8(captured.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    let expected: String = titles.iter().map(|title| format!("● {title}\n")).collect();
    assert_eq!(printed, expected);
    world.finish().await;
}

// --- secrets ---

#[derive(Clone, Default)]
struct Captured(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_token_is_in_no_log_line_row_or_debug_text_whatever_fails() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With a single subscriber in the process, a call site first met on another test's thread is switched off for all
    // (tracing-core asks that thread's own default). A second one that takes nothing keeps it asking ours.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut world = World::sending().await;
    let echo: &'static str = format!("Bad Request: no such path /bot{}/sendMessage", world.api.token()).leak();
    world.api.fault(Fault::DropBefore);
    world.api.fault(Fault::ServerError(502));
    world.api.fault(Fault::Refuse(500, echo));
    world.api.fault(Fault::Refuse(400, echo));
    world.say(ANN, NoticeKind::System, &["refused", "next"]).await;
    world.messages(ANN, 1).await;
    world.states(2).await;
    world.api.accept_token(false);
    world.say(ANN, NoticeKind::System, &["waits"]).await;
    let asked = world.api.calls("getMe").len();
    world.start_poller(world.ledger.clone());
    let refused = async {
        world.api.wait_for_calls("sendMessage", 7).await;
        world.api.wait_for_calls("getMe", asked + 2).await;
    };
    world.clock.run_until(refused).await;
    world.api.go_down().await;
    world.clock.run_for(Duration::from_secs(60)).await;
    let secret = world.api.token().split_once(':').expect("id and key").1;
    let debug = format!("{:?}", world.channel);
    let started: Timestamp = START.parse().expect("a timestamp");
    let passed = Duration::try_from(world.clock.now().duration_since(started)).expect("later");
    let rows = world.ledger.query("SELECT state, error FROM notices ORDER BY seq", 10).await.expect("rows").rows;
    let folder = std::mem::replace(&mut world.folder, tempfile::tempdir().expect("a folder"));
    world.finish().await;
    let logs = String::from_utf8(captured.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    for expected in ["check telegram.token", "was not delivered yet", "refuses notices", "does not answer yet"] {
        assert!(logs.contains(expected), "{expected} is told");
    }
    let told = logs.matches("check telegram.token").count() as u64;
    assert!(told <= 1 + passed.as_secs() / 3600, "told once an hour, not {told} times in {passed:?}");
    let mut looked_at = vec![logs, debug, format!("{rows:?}")];
    for file in std::fs::read_dir(folder.path()).expect("a folder") {
        let bytes = std::fs::read(file.expect("an entry").path()).expect("readable");
        looked_at.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    assert!(looked_at.iter().any(|text| text.contains("no such path /bot***")), "the echo was kept, masked");
    assert!(looked_at.iter().all(|text| !text.contains(secret)), "the token leaked");
}

// --- the fake itself ---

#[tokio::test]
async fn the_fake_answers_what_teloxide_can_read_and_refuses_what_telegram_refuses() {
    use teloxide::payloads::{GetUpdatesSetters as _, SendMessageSetters as _};
    use teloxide::prelude::{Bot, Request as _, Requester as _};
    use teloxide::types::{CallbackQueryId, ChatId, InputFile, ParseMode, UpdateKind};
    use teloxide::{ApiError, RequestError};

    let api = BotApi::start().await;
    let bot = Bot::new(api.token()).set_api_url(api.url().parse().expect("a URL"));
    assert_eq!(bot.get_me().await.expect("me").username(), BOT_NAME);
    let chat = ChatId(ANN);
    let sent = bot.send_message(chat, "<b>a</b> &amp; b").parse_mode(ParseMode::Html).await.expect("sent");
    assert_eq!(sent.text(), Some("a & b"));
    bot.edit_message_text(chat, sent.id, "new").await.expect("edited");
    let same = bot.edit_message_text(chat, sent.id, "new").await;
    assert!(matches!(same, Err(RequestError::Api(ApiError::MessageNotModified))), "{same:?}");
    let open = bot.send_message(chat, "<b>a").parse_mode(ParseMode::Html).await;
    assert!(matches!(open, Err(RequestError::Api(ApiError::CantParseEntities(_)))), "{open:?}");
    let long = bot.send_message(chat, "🙂".repeat(2049)).await;
    assert!(matches!(long, Err(RequestError::Api(ApiError::MessageIsTooLong))), "{long:?}");
    bot.send_document(chat, InputFile::memory("a whole text").file_name("a.txt")).await.expect("sent");
    assert_eq!(api.messages(ANN)[1].document.as_deref(), Some(b"a whole text".as_slice()));

    api.user_says(ANN, ANN, "hello");
    let tapped = CallbackQueryId(api.user_taps(ANN, ANN, i64::from(sent.id.0), "nonce"));
    let updates = bot.get_updates().timeout(1).send().await.expect("updates");
    assert!(
        matches!(updates[0].kind, UpdateKind::Message(_)) && matches!(updates[1].kind, UpdateKind::CallbackQuery(_))
    );
    bot.answer_callback_query(tapped.clone()).await.expect("answered");
    assert!(bot.answer_callback_query(tapped).await.is_err(), "a second answer is refused");
    let next = i32::try_from(updates[1].id.0 + 1).expect("small");
    assert_eq!(bot.get_updates().offset(next).send().await.expect("none").len(), 0, "confirmed ones are gone");
    api.finish();
}
