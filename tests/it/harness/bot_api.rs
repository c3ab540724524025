//! A Bot API server that behaves as Telegram's, on loopback: it keeps chats and messages, holds polls open, forgets confirmed
//! updates, refuses what Telegram refuses, and fails in every way that a network can when a test asks for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hookhand::ports::{Clock, SystemClock};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::clock::patiently;

/// The token of the fake's only bot.
pub const TOKEN: &str = "424242:AAHfakeFakeFAKEfakeFakeFAKEfakeFake-_1";
/// The bot's numeric id.
pub const BOT_ID: i64 = 424_242;
/// The bot's name after the `@`.
pub const BOT_NAME: &str = "hookhand_test_bot";

/// A way in which one call fails. Each is used up by one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// 429 with `retry_after` in seconds.
    RetryAfter(u64),
    /// The call is done; the connection closes without an answer.
    DropAfterAccept,
    /// The connection closes without an answer and nothing is done.
    DropBefore,
    /// A 5xx with a gateway's page; nothing is done.
    ServerError(u16),
    /// The call is done; 200 with `{"ok":true,"result":{"message_id":…` that breaks off.
    TornAnswer,
    /// Nothing is done; 200 with a web page (a captive portal).
    WebPage,
    /// A refusal in Telegram's words.
    Refuse(u16, &'static str),
    /// The group has become a supergroup with this id.
    Migrated(i64),
}

/// A message in a chat, as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMessage {
    pub id: i64,
    /// Visible text, entities parsed.
    pub text: String,
    /// Targets of links that have one.
    pub links: Vec<String>,
    /// The text as it was sent.
    pub raw: String,
    pub html: bool,
    pub thread: Option<i64>,
    pub reply_to: Option<i64>,
    pub at: Timestamp,
    /// Bytes of the document, when it is one.
    pub document: Option<Vec<u8>>,
    /// Rows of buttons.
    pub buttons: Vec<Vec<SeenButton>>,
    /// How often it was changed.
    pub edits: usize,
    /// Whether Telegram would fetch and show what a link leads to.
    pub preview: bool,
}

impl SeenMessage {
    /// What the button with this label carries.
    pub fn button(&self, label: &str) -> String {
        let found = self.buttons.iter().flatten().find(|button| button.label.contains(label));
        found.unwrap_or_else(|| panic!("no button '{label}' on {self:#?}")).data.clone()
    }
}

/// A button as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenButton {
    pub label: String,
    pub data: String,
}

/// What the one who tapped reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapAnswer {
    pub text: String,
    pub alert: bool,
}

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

    /// Ends the test's use: fails when a message was never read or a fault never happened.
    pub fn finish(self) {
        self.shared.with(|state| {
            for (id, chat) in &state.chats {
                let unread: Vec<&str> = chat.messages[chat.read..].iter().map(|m| m.text.as_str()).collect();
                assert!(unread.is_empty(), "chat {id} has messages that the test did not look at: {unread:#?}");
            }
            assert!(state.faults.is_empty(), "faults that never happened: {:?}", state.faults);
        });
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let held = async {
            while !holds(&self.shared.state.lock().expect("not poisoned")) {
                changed.changed().await.expect("the server outlives its waiters");
            }
        };
        patiently(held).await;
    }

    fn accept_on(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            // Dropped with the task, which ends the connections too.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
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

/// The connection closes without an answer.
#[derive(Debug)]
struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the fake hangs up")
    }
}

impl std::error::Error for HangUp {}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, HangUp> {
    let path = request.uri().path().to_owned();
    let kind = request.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map_err(|_| HangUp)?.to_bytes();
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (bot, method) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().to_ascii_lowercase());
    let now = shared.clock.now();
    shared.with(|state| state.calls.push((method.clone(), now)));
    if !bot.starts_with("bot") {
        return Ok(refusal(404, "Not Found"));
    }
    if bot != format!("bot{TOKEN}") || !shared.with(|state| state.token_accepted) {
        return Ok(refusal(401, "Unauthorized"));
    }
    let params = match params(&kind, &query, &body) {
        Ok(params) => params,
        Err(error) => return Ok(refusal(400, &format!("Bad Request: {error}"))),
    };
    let sends = (method.starts_with("send") && method != "sendchataction") || method.starts_with("edit");
    let mut changed = shared.changed.subscribe();
    while sends && shared.state.lock().expect("not poisoned").held {
        changed.changed().await.expect("the server outlives its calls");
    }
    let fault = shared.with(|state| {
        let index = state.faults.iter().position(|(on, _)| on.map_or(sends, |on| on == method))?;
        state.faults.remove(index).map(|(_, fault)| fault)
    });
    match fault {
        None => Ok(respond(perform(&shared, &method, &params).await)),
        Some(Fault::RetryAfter(seconds)) => Ok(too_many(seconds)),
        Some(Fault::DropBefore) => Err(HangUp),
        Some(Fault::DropAfterAccept) => {
            perform(&shared, &method, &params).await.expect("what is accepted is right");
            Err(HangUp)
        }
        Some(Fault::ServerError(status)) => Ok(text(status, "text/html", "<html><h1>Bad Gateway</h1></html>".into())),
        Some(Fault::WebPage) => Ok(text(200, "text/html", "<html>Welcome to Hotel Wi-Fi</html>".into())),
        Some(Fault::TornAnswer) => {
            let result = perform(&shared, &method, &params).await.expect("what is accepted is right");
            let id = &result["message_id"];
            Ok(text(200, "application/json", format!("{{\"ok\":true,\"result\":{{\"message_id\":{id},\"from\":{{\"id")))
        }
        Some(Fault::Refuse(code, description)) => Ok(refusal(code, description)),
        Some(Fault::Migrated(to)) => {
            let mut body = error_body(400, "Bad Request: group chat was upgraded to a supergroup chat");
            body["parameters"] = json!({"migrate_to_chat_id": to});
            Ok(text(400, "application/json", body.to_string()))
        }
    }
}

/// A refusal: code, description, and seconds to wait for a 429.
type Refusal = (u16, String, Option<u64>);

fn bad(description: &str) -> Refusal {
    (400, format!("Bad Request: {description}"), None)
}

async fn perform(shared: &Shared, method: &str, params: &Value) -> Result<Value, Refusal> {
    match method {
        "getme" => Ok(json!({
            "id": BOT_ID, "is_bot": true, "first_name": "hookhand", "username": BOT_NAME, "can_join_groups": true,
            "can_read_all_group_messages": false, "supports_inline_queries": false, "can_connect_to_business": false,
            "has_main_web_app": false,
        })),
        "getupdates" => get_updates(shared, params).await,
        "sendmessage" => send_message(shared, params),
        "senddocument" => send_document(shared, params),
        "editmessagetext" => edit_message_text(shared, params),
        "answercallbackquery" => {
            let id = params["callback_query_id"].as_str().unwrap_or_default().to_owned();
            let text = params["text"].as_str().unwrap_or_default().to_owned();
            if text.chars().count() > 200 {
                return Err(bad("MESSAGE_TOO_LONG"));
            }
            let answer = TapAnswer { text, alert: params["show_alert"].as_bool().unwrap_or(false) };
            shared.with(|state| {
                if !state.open_callbacks.remove(&id) {
                    return Err(bad("query is too old and response timeout expired or query ID is invalid"));
                }
                state.answered_callbacks.insert(id, answer);
                Ok(true.into())
            })
        }
        "sendchataction" => Ok(true.into()),
        "setmycommands" => {
            shared.with(|state| state.commands = params["commands"].clone());
            Ok(true.into())
        }
        "deletewebhook" => {
            shared.with(|state| state.webhook_set = false);
            Ok(true.into())
        }
        _ => Err((404, "Not Found: method not found".into(), None)),
    }
}

async fn get_updates(shared: &Shared, params: &Value) -> Result<Value, Refusal> {
    let offset = integer(&params["offset"]);
    let limit = integer(&params["limit"]).unwrap_or(100).clamp(1, 100) as usize;
    let timeout = Duration::from_secs(integer(&params["timeout"]).unwrap_or(0).clamp(0, 50) as u64);
    let allowed = params["allowed_updates"].as_array().cloned().unwrap_or_default();
    let mut changed = shared.changed.subscribe();
    let (generation, ended) = shared.with(|state| {
        state.offsets.push(offset);
        state.poll_generation += 1;
        if let Some(offset) = offset {
            state.updates.retain(|update| update["update_id"].as_i64() >= Some(offset));
        }
        if !allowed.is_empty() {
            let wanted =
                |update: &Value| allowed.iter().any(|kind| update.get(kind.as_str().unwrap_or_default()).is_some());
            state.updates.retain(wanted);
        }
        (state.poll_generation, state.polls_ended)
    });
    let arrived = async {
        loop {
            {
                let state = shared.state.lock().expect("not poisoned");
                if state.webhook_set {
                    return Err((409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first".to_owned(), None));
                }
                if state.poll_generation != generation {
                    return Err((409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running".to_owned(), None));
                }
                if state.polls_ended != ended {
                    return Ok(json!([]));
                }
                if !state.updates.is_empty() {
                    return Ok(Value::Array(state.updates.iter().take(limit).cloned().collect()));
                }
            }
            changed.changed().await.expect("the server outlives its polls");
        }
    };
    tokio::time::timeout(timeout, arrived).await.unwrap_or_else(|_| Ok(json!([])))
}

fn send_message(shared: &Shared, params: &Value) -> Result<Value, Refusal> {
    let chat = integer(&params["chat_id"]).ok_or_else(|| bad("chat_id is empty"))?;
    let raw = params["text"].as_str().unwrap_or_default().to_owned();
    let (visible, links, html) = parse(params, &raw)?;
    if visible.trim().is_empty() {
        return Err(bad("message text is empty"));
    }
    if visible.encode_utf16().count() > 4096 {
        return Err(bad("message is too long"));
    }
    keep(shared, chat, params, visible, links, raw, html, None)
}

fn send_document(shared: &Shared, params: &Value) -> Result<Value, Refusal> {
    let chat = integer(&params["chat_id"]).ok_or_else(|| bad("chat_id is empty"))?;
    let caption = params["caption"].as_str().unwrap_or_default().to_owned();
    let (visible, links, html) = parse(params, &caption)?;
    if visible.encode_utf16().count() > 1024 {
        return Err(bad("message caption is too long"));
    }
    let document = params["document"].as_str().ok_or_else(|| bad("there is no document in the request"))?;
    // The file itself is in a part of its own.
    let part = document.strip_prefix("attach://").map_or(Some(document), |name| params[name].as_str());
    let bytes = part.ok_or_else(|| bad("the attached file is missing"))?.as_bytes().to_vec();
    keep(shared, chat, params, visible, links, caption, html, Some(bytes))
}

fn edit_message_text(shared: &Shared, params: &Value) -> Result<Value, Refusal> {
    let chat = integer(&params["chat_id"]).ok_or_else(|| bad("chat_id is empty"))?;
    let id = integer(&params["message_id"]).ok_or_else(|| bad("message identifier is not specified"))?;
    let raw = params["text"].as_str().unwrap_or_default().to_owned();
    let (visible, links, html) = parse(params, &raw)?;
    if visible.encode_utf16().count() > 4096 {
        return Err(bad("MESSAGE_TOO_LONG"));
    }
    let buttons = buttons(params)?;
    shared.with(|state| {
        let messages = &mut state.chats.entry(chat).or_default().messages;
        let message = messages.iter_mut().find(|m| m.id == id).ok_or_else(|| bad("message to edit not found"))?;
        if message.text == visible && message.links == links && message.buttons == buttons {
            return Err(bad(
                "message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message",
            ));
        }
        (message.text, message.links, message.raw, message.html) = (visible, links, raw, html);
        message.buttons = buttons;
        message.preview |= previews(params);
        message.edits += 1;
        Ok(message_json(chat, message))
    })
}

#[allow(clippy::too_many_arguments)]
fn keep(
    shared: &Shared,
    chat_id: i64,
    params: &Value,
    visible: String,
    links: Vec<String>,
    raw: String,
    html: bool,
    document: Option<Vec<u8>>,
) -> Result<Value, Refusal> {
    let now = shared.clock.now();
    let buttons = buttons(params)?;
    shared.with(|state| {
        state.next_message += 1;
        let id = state.next_message;
        let enforce = state.enforce_rates;
        let chat = state.chats.entry(chat_id).or_default();
        if chat.unknown {
            return Err(bad("chat not found"));
        }
        if chat.blocked {
            return Err((403, "Forbidden: bot was blocked by the user".into(), None));
        }
        let early = chat.last_at.is_some_and(|last| now < last + Duration::from_secs(1));
        if enforce && early {
            return Err((429, "Too Many Requests: retry after 1".into(), Some(1)));
        }
        chat.last_at = Some(now);
        let message = SeenMessage {
            id,
            text: visible,
            links,
            raw,
            html,
            thread: integer(&params["message_thread_id"]),
            reply_to: integer(&params["reply_parameters"]["message_id"]),
            at: now,
            document,
            buttons,
            edits: 0,
            preview: previews(params),
        };
        let shown = message_json(chat_id, &message);
        chat.messages.push(message);
        Ok(shown)
    })
}

/// A file's caption never has one.
fn previews(params: &Value) -> bool {
    params.get("document").is_none() && params["link_preview_options"]["is_disabled"] != json!(true)
}

/// The inline keyboard of a call, within Telegram's limits.
fn buttons(params: &Value) -> Result<Vec<Vec<SeenButton>>, Refusal> {
    let rows = params["reply_markup"]["inline_keyboard"].as_array().cloned().unwrap_or_default();
    let button = |button: &Value| {
        let text = |key: &str| button[key].as_str().unwrap_or_default().to_owned();
        let (label, data) = (text("text"), text("callback_data"));
        match label.is_empty() || data.is_empty() || data.len() > 64 {
            true => Err(bad("BUTTON_DATA_INVALID")),
            false => Ok(SeenButton { label, data }),
        }
    };
    rows.iter().map(|row| row.as_array().into_iter().flatten().map(button).collect()).collect()
}

fn chat_json(chat: i64) -> Value {
    if chat < 0 {
        json!({"id": chat, "type": "supergroup", "title": "A group"})
    } else {
        json!({"id": chat, "type": "private", "first_name": "User", "username": format!("user{chat}")})
    }
}

fn message_json(chat: i64, message: &SeenMessage) -> Value {
    json!({
        "message_id": message.id, "date": message.at.as_second(), "chat": chat_json(chat), "text": message.text,
        "from": {"id": BOT_ID, "is_bot": true, "first_name": "hookhand", "username": BOT_NAME},
    })
}

/// Visible text and links, or Telegram's complaint.
fn parse(params: &Value, raw: &str) -> Result<(String, Vec<String>, bool), Refusal> {
    match params["parse_mode"].as_str() {
        None => Ok((raw.to_owned(), Vec::new(), false)),
        Some(mode) if mode.eq_ignore_ascii_case("html") => {
            let (visible, links) = parse_html(raw).map_err(|why| bad(&format!("can't parse entities: {why}")))?;
            Ok((visible, links, true))
        }
        Some(_) => Err(bad("unsupported parse_mode")),
    }
}

fn parse_html(raw: &str) -> Result<(String, Vec<String>), String> {
    const TAGS: &[&str] =
        &["b", "strong", "i", "em", "u", "ins", "s", "del", "code", "pre", "a", "blockquote", "tg-spoiler"];
    let (mut visible, mut links, mut open) = (String::new(), Vec::new(), Vec::<String>::new());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        if c == '<' {
            let at = raw.len() - rest.len();
            let end = rest.find('>').ok_or(format!("Unclosed start tag at byte offset {at}"))?;
            let tag = &rest[1..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                let expected = open.pop().ok_or(format!("Unexpected end tag at byte offset {at}"))?;
                if expected != name {
                    return Err(format!(
                        "Unmatched end tag at byte offset {at}, expected \"</{expected}>\", found \"</{name}>\""
                    ));
                }
                continue;
            }
            let name = tag.split_whitespace().next().unwrap_or_default();
            if !TAGS.contains(&name) {
                return Err(format!("Unsupported start tag \"{name}\" at byte offset {at}"));
            }
            if name == "a" {
                let href = tag.split_once("href=\"").and_then(|(_, rest)| rest.split_once('"'));
                let (href, _) = href.ok_or(format!("Unclosed attribute at byte offset {at}"))?;
                links.push(unescape(href));
            }
            open.push(name.to_owned());
        } else if c == '&' {
            let known = ["&lt;", "&gt;", "&amp;", "&quot;"].into_iter().find(|known| rest.starts_with(known));
            let taken = known.unwrap_or("&");
            visible.push_str(&unescape(taken));
            rest = &rest[taken.len()..];
        } else {
            visible.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    match open.pop() {
        Some(name) => Err(format!("Can't find end tag corresponding to start tag \"{name}\"")),
        None => Ok((visible, links)),
    }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// The parameters of a call in any of the encodings that Telegram takes.
fn params(kind: &str, query: &str, body: &[u8]) -> Result<Value, String> {
    if kind.starts_with("application/json") {
        return serde_json::from_slice(body).map_err(|_| "can't parse JSON object".to_owned());
    }
    let mut found = serde_json::Map::new();
    if let Some((_, boundary)) = kind.split_once("boundary=") {
        let text = String::from_utf8_lossy(body).into_owned();
        for part in text.split(&format!("--{}", boundary.trim_matches('"'))) {
            let Some((head, value)) = part.split_once("\r\n\r\n") else { continue };
            let Some(name) = head.split_once("name=\"").and_then(|(_, rest)| rest.split_once('"')) else { continue };
            found.insert(name.0.to_owned(), field(value.strip_suffix("\r\n").unwrap_or(value)));
        }
    } else {
        let form = if kind.starts_with("application/x-www-form-urlencoded") {
            String::from_utf8_lossy(body)
        } else {
            "".into()
        };
        for pair in form.split('&').chain(query.split('&')).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            found.insert(percent_decode(name), field(&percent_decode(value)));
        }
    }
    Ok(Value::Object(found))
}

/// Objects and lists travel as JSON text in forms.
fn field(value: &str) -> Value {
    let structured = value.starts_with(['{', '[']);
    serde_json::from_str(value).ok().filter(|_| structured).unwrap_or_else(|| value.into())
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let hex =
            (bytes[i] == b'%').then(|| bytes.get(i + 1..i + 3)).flatten().and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(if bytes[i] == b'+' { b' ' } else { bytes[i] });
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

fn respond(result: Result<Value, Refusal>) -> Response<Full<Bytes>> {
    match result {
        Ok(result) => text(200, "application/json", json!({"ok": true, "result": result}).to_string()),
        Err((_, _, Some(seconds))) => too_many(seconds),
        Err((code, description, None)) => refusal(code, &description),
    }
}

fn too_many(seconds: u64) -> Response<Full<Bytes>> {
    let mut body = error_body(429, &format!("Too Many Requests: retry after {seconds}"));
    body["parameters"] = json!({"retry_after": seconds});
    text(429, "application/json", body.to_string())
}

fn refusal(code: u16, description: &str) -> Response<Full<Bytes>> {
    text(code, "application/json", error_body(code, description).to_string())
}

fn error_body(code: u16, description: &str) -> Value {
    json!({"ok": false, "error_code": code, "description": description})
}

fn text(status: u16, kind: &str, body: String) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(status).expect("a status");
    let response = Response::builder().status(status).header("content-type", kind).body(Full::new(Bytes::from(body)));
    response.expect("a valid answer")
}
