//! A Bot API server that behaves as Telegram's, on loopback: it keeps chats and messages, holds polls open, forgets confirmed
//! updates, refuses what Telegram refuses, and fails in every way that a network can when it is told to.
//!
//! `agent prove` and the tests play Telegram, and the people in its chats, with it. It knows nothing of the agent.

mod entities;
mod methods;
mod params;
mod seen;
mod wire;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::ports::{Clock, SystemClock};
use methods::chat_json;
pub use seen::{BOT_ID, BOT_NAME, Fault, SeenButton, SeenMessage, TOKEN, TapAnswer};

#[derive(Debug, Default)]
struct Chat {
    messages: Vec<SeenMessage>,
    read: usize,
    blocked: bool,
    unknown: bool,
    last_at: Option<Timestamp>,
}

#[derive(Debug)]
struct State {
    chats: HashMap<i64, Chat>,
    next_message: i64,
    next_update: i64,
    updates: VecDeque<Value>,
    faults: VecDeque<(Option<&'static str>, Fault)>,
    enforce_rates: bool,
    held: bool,
    token_accepted: bool,
    webhook_set: bool,
    answered_callbacks: HashMap<String, TapAnswer>,
    open_callbacks: BTreeSet<String>,
    /// Every call: method in lower case, and when.
    calls: Vec<(String, Timestamp)>,
    /// `offset` of every getUpdates.
    offsets: Vec<Option<i64>>,
    /// Until when a chat was asked to wait.
    waits: HashMap<i64, Timestamp>,
    /// Messages that came before that.
    early: Vec<String>,
    poll_generation: u64,
    polls_ended: u64,
    commands: Value,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

/// The server.
#[derive(Debug)]
pub struct BotApi {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Mutex<Option<AbortHandle>>,
}

impl BotApi {
    /// A server that stamps messages with the machine's time.
    pub async fn start() -> Self {
        Self::start_with(Arc::new(SystemClock)).await
    }

    /// A server that stamps messages with `clock`'s time.
    ///
    /// # Panics
    /// When this machine has no free port on loopback.
    pub async fn start_with(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            chats: HashMap::new(),
            next_message: 100,
            next_update: 5_000,
            updates: VecDeque::new(),
            faults: VecDeque::new(),
            enforce_rates: false,
            held: false,
            token_accepted: true,
            webhook_set: false,
            answered_callbacks: HashMap::new(),
            open_callbacks: BTreeSet::new(),
            calls: Vec::new(),
            offsets: Vec::new(),
            waits: HashMap::new(),
            early: Vec::new(),
            poll_generation: 0,
            polls_ended: 0,
            commands: Value::Null,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(0), clock });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let api = Self { shared, address, accepting: Mutex::new(None) };
        api.accept_on(listener);
        api
    }

    /// For `telegram.api_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// For `telegram.token`.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// A person writes to the bot; a positive chat id is a private chat, a negative one a group. Returns the message's id.
    pub fn user_says(&self, user: i64, chat: i64, text: &str) -> i64 {
        self.user_says_in(user, chat, None, text)
    }

    /// The same in a topic of a forum.
    pub fn user_says_in(&self, user: i64, chat: i64, thread: Option<i64>, text: &str) -> i64 {
        let mut message = json!({
            "from": {"id": user, "is_bot": false, "first_name": format!("User{user}"), "username": format!("user{user}")},
            "text": text,
        });
        if let Some(thread) = thread {
            message["message_thread_id"] = thread.into();
            message["is_topic_message"] = true.into();
        }
        self.message_arrives(chat, message)
    }

    /// Any message, completed with id, chat and date. Returns its id.
    pub fn message_arrives(&self, chat: i64, mut message: Value) -> i64 {
        let id = self.shared.with(|state| {
            state.next_message += 1;
            state.next_message
        });
        message["message_id"] = id.into();
        message["chat"] = chat_json(chat);
        if message.get("date").is_none() {
            message["date"] = self.shared.clock.now().as_second().into();
        }
        self.update_arrives(json!({"message": message}));
        id
    }

    /// A tap on a button. Returns the callback's id.
    pub fn user_taps(&self, user: i64, chat: i64, message_id: i64, data: &str) -> String {
        let id = self.shared.with(|state| {
            let id = format!("cb{}", state.next_update);
            state.open_callbacks.insert(id.clone());
            id
        });
        self.update_arrives(json!({"callback_query": {
            "id": id, "data": data, "chat_instance": "1",
            "from": {"id": user, "is_bot": false, "first_name": "User"},
            "message": {"message_id": message_id, "chat": chat_json(chat), "date": self.shared.clock.now().as_second(), "text": "card"},
        }}));
        id
    }

    /// Returns once the tap was answered, with what the one who tapped reads.
    pub async fn wait_for_tap_answer(&self, callback: &str) -> TapAnswer {
        self.until(|state| state.answered_callbacks.contains_key(callback)).await;
        self.shared.with(|state| state.answered_callbacks[callback].clone())
    }

    /// Returns once the message was changed so that `holds`.
    pub async fn wait_for_message(&self, chat: i64, message: i64, holds: impl Fn(&SeenMessage) -> bool) -> SeenMessage {
        let find = |state: &State| {
            state.chats.get(&chat)?.messages.iter().find(|seen| seen.id == message && holds(seen)).cloned()
        };
        self.until(|state| find(state).is_some()).await;
        self.shared.with(|state| find(state)).expect("it was there")
    }

    /// Updates that nobody fetched are forgotten, as Telegram does after a day.
    pub fn forget_updates(&self) {
        self.shared.with(|state| state.updates.clear());
    }

    /// A person answers the message `to`, which is the bot's. Returns the new message's id.
    pub fn user_replies(&self, user: i64, chat: i64, to: i64, text: &str) -> i64 {
        self.message_arrives(chat, json!({
            "from": {"id": user, "is_bot": false, "first_name": format!("User{user}"), "username": format!("user{user}")},
            "text": text,
            "reply_to_message": {
                "message_id": to, "chat": chat_json(chat), "date": self.shared.clock.now().as_second(), "text": "card",
                "from": {"id": BOT_ID, "is_bot": true, "first_name": "hookhand", "username": BOT_NAME},
            },
        }))
    }

    /// Any update, completed with its id, which is returned.
    pub fn update_arrives(&self, mut update: Value) -> i64 {
        self.shared.with(|state| {
            state.next_update += 1;
            update["update_id"] = state.next_update.into();
            state.updates.push_back(update);
            state.next_update
        })
    }

    /// The id of the next update will be `id`: after a quiet week ids start anywhere.
    pub fn next_update_id(&self, id: i64) {
        self.shared.with(|state| state.next_update = id - 1);
    }

    /// Every message of `chat` so far; they count as read.
    pub fn messages(&self, chat: i64) -> Vec<SeenMessage> {
        self.shared.with(|state| {
            let chat = state.chats.entry(chat).or_default();
            chat.read = chat.messages.len();
            chat.messages.clone()
        })
    }

    /// Returns once `chat` has at least `count` messages.
    pub async fn wait_for_messages(&self, chat: i64, count: usize) -> Vec<SeenMessage> {
        self.until(|state| state.chats.get(&chat).is_some_and(|chat| chat.messages.len() >= count)).await;
        self.messages(chat)
    }

    /// Returns once every update was fetched and confirmed.
    pub async fn wait_until_confirmed(&self) {
        self.until(|state| state.updates.is_empty()).await;
    }

    /// Returns once `method` was called at least `count` times.
    pub async fn wait_for_calls(&self, method: &str, count: usize) {
        let method = method.to_ascii_lowercase();
        self.until(|state| state.calls.iter().filter(|(called, _)| *called == method).count() >= count).await;
    }

    /// When `method` was called, refusals and faults included.
    pub fn calls(&self, method: &str) -> Vec<Timestamp> {
        let method = method.to_ascii_lowercase();
        self.shared
            .with(|state| state.calls.iter().filter(|(called, _)| *called == method).map(|(_, at)| *at).collect())
    }

    /// The `offset` of every getUpdates so far.
    pub fn offsets(&self) -> Vec<Option<i64>> {
        self.shared.with(|state| state.offsets.clone())
    }

    /// Messages that came although their chat had been asked to wait (429), each in words.
    pub fn too_early(&self) -> Vec<String> {
        self.shared.with(|state| state.early.clone())
    }

    /// What `setMyCommands` set.
    pub fn menu(&self) -> Value {
        self.shared.with(|state| state.commands.clone())
    }

    /// The next call that sends or edits fails so.
    pub fn fault(&self, fault: Fault) {
        self.shared.with(|state| state.faults.push_back((None, fault)));
    }

    /// The next call of `method` (in lower case) fails so.
    pub fn fault_on(&self, method: &'static str, fault: Fault) {
        self.shared.with(|state| state.faults.push_back((Some(method), fault)));
    }

    /// A person blocks the bot.
    pub fn block(&self, chat: i64) {
        self.shared.with(|state| state.chats.entry(chat).or_default().blocked = true);
    }

    /// The chat does not exist.
    pub fn unknown_chat(&self, chat: i64) {
        self.shared.with(|state| state.chats.entry(chat).or_default().unknown = true);
    }

    /// From now on a second message to one chat within a second is answered 429.
    pub fn enforce_rates(&self) {
        self.shared.with(|state| state.enforce_rates = true);
    }

    /// The open poll is answered with nothing, as when its time is up.
    pub fn end_polls(&self) {
        self.shared.with(|state| state.polls_ended += 1);
    }

    /// While held, calls that send or edit are taken and neither done nor answered.
    pub fn hold(&self, held: bool) {
        self.shared.with(|state| state.held = held);
    }

    /// Whether the token is accepted; otherwise 401.
    pub fn accept_token(&self, accepted: bool) {
        self.shared.with(|state| state.token_accepted = accepted);
    }

    /// A webhook is set for the bot, so that getUpdates is answered 409.
    pub fn set_webhook(&self, set: bool) {
        self.shared.with(|state| state.webhook_set = set);
    }

    /// Closes the listener and every connection: connections are refused.
    pub async fn go_down(&self) {
        let accepting = self.accepting.lock().expect("not poisoned").take();
        if let Some(task) = accepting {
            task.abort();
        }
        // The port is closed when the task is gone, which the kernel can tell.
        while tokio::net::TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Listens again at the same address.
    pub async fn come_back(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is still free");
        self.accept_on(listener);
    }

    /// What the one who uses this did not look at or use up: messages that nobody read, faults that never happened.
    pub fn left_over(&self) -> Vec<String> {
        self.shared.with(|state| {
            let unread = state.chats.iter().flat_map(|(id, chat)| {
                chat.messages[chat.read..].iter().map(move |message| format!("chat {id} has unread: {}", message.text))
            });
            let unused = state.faults.iter().map(|fault| format!("a fault that never happened: {fault:?}"));
            unread.chain(unused).collect()
        })
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let held = async {
            while !holds(&self.shared.state.lock().expect("not poisoned")) {
                changed.changed().await.expect("the server outlives its waiters");
            }
        };
        held.await;
    }

    fn accept_on(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            // Dropped with the task, which ends the connections too.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| wire::answer(Arc::clone(&shared), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        *self.accepting.lock().expect("not poisoned") = Some(task.abort_handle());
    }
}

impl Drop for BotApi {
    fn drop(&mut self) {
        if let Some(task) = self.accepting.lock().expect("not poisoned").take() {
            task.abort();
        }
    }
}

impl Shared {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().expect("not poisoned"));
        self.changed.send_modify(|n| *n += 1);
        result
    }
}
