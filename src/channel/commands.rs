//! The slash commands, as every channel answers them: text in, messages out.
//!
//! It reads the ledger and what [`AgentInfo`] tells, and changes nothing; what changes workflows is in `workflow_commands`. Who
//! may ask is the channel's business.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::AgentInfo;
use super::cards::Deciding;
use super::operations::{Operations, Person};
use super::quiet_commands::QuietCommands;
use super::workflow_commands::WorkflowCommands;
use crate::domain::ids::EventId;
use crate::domain::money;
use crate::domain::notice::{ChatKey, Message, Severity};
use crate::domain::text::{clip_chars, one_line, pages, utf16_len};
use crate::ledger::chat::ChatLedger;
use crate::ledger::{EventDetail, EventFilter, EventRow, Ledger, LedgerError, ModelLedger};
use crate::ports::Clock;

/// Events that `/events` lists when nobody says how many, and at most.
const EVENTS_LISTED: usize = 10;
const EVENTS_LISTED_MAX: usize = 50;
/// Matches that a search lists.
const MATCHES_MAX: usize = 5;
/// Longest text that is searched for, in characters.
const SEARCH_CHARS_MAX: usize = 100;
/// A word shorter than this finds too much.
const SEARCH_WORD_CHARS_MIN: usize = 3;
/// Longest title in a list, in characters.
const LISTED_TITLE_CHARS_MAX: usize = 90;
/// Longest body of a tested webhook's answer, in characters.
const TESTED_BODY_CHARS_MAX: usize = 2000;
/// Longest answer in one message, in UTF-16 units; a longer one is split.
const ANSWER_UNITS_MAX: usize = 3500;
/// Most messages of one answer.
const ANSWER_MESSAGES_MAX: usize = 5;
/// How alike a wrong command must be to one that exists.
const SUGGESTION_LIKENESS_MIN: f64 = 0.7;

/// A command, as help and menus show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    /// With the slash.
    pub name: &'static str,
    /// What may follow it.
    pub arguments: &'static str,
    /// What it does.
    pub about: &'static str,
}

impl Command {
    /// The name without the slash, as Telegram's menu wants it.
    pub fn menu_name(&self) -> &'static str {
        self.name.trim_start_matches('/')
    }
}

/// Every command that answers now.
pub const COMMANDS: &[Command] = &[
    Command { name: "/help", arguments: "", about: "what I can do" },
    Command { name: "/status", arguments: "", about: "queue, outbox and the last event of every handler" },
    Command { name: "/events", arguments: "[count] [handler]", about: "the newest events" },
    Command { name: "/event", arguments: "ID", about: "one event: verdict, reason, timeline" },
    Command { name: "/runs", arguments: "[ID | workflow | state]", about: "the newest runs, or one" },
    Command { name: "/approvals", arguments: "[ID | all]", about: "what waits for a decision" },
    Command { name: "/approve", arguments: "ID", about: "say yes to a step" },
    Command { name: "/deny", arguments: "ID [reason]", about: "say no to a step" },
    Command {
        name: "/webhook",
        arguments: "list | test NAME",
        about: "the webhooks and where they are served; try one",
    },
    Command {
        name: "/workflow",
        arguments: "list | run NAME [key=value …] | reload",
        about: "the workflows; start one; read the files again",
    },
    Command { name: "/memory", arguments: "[WORDS | forget NUMBER]", about: "what I remember" },
    Command {
        name: "/mute",
        arguments: "[HANDLER [EVENT] [8h] [words]]",
        about: "keep notices quiet; alone: the rules, and what could be muted",
    },
    Command { name: "/unmute", arguments: "NUMBER", about: "end a rule of /mute" },
    Command { name: "/cancel", arguments: "[RUN]", about: "stop my answer, or end a run" },
    Command { name: "/settle", arguments: "RUN STEP happened | not-happened | leave", about: "settle a step in doubt" },
];

/// Whether `word` (with its slash) is a command that answers.
pub fn is_known(word: &str) -> bool {
    word.eq_ignore_ascii_case("/start") || COMMANDS.iter().any(|command| command.name.eq_ignore_ascii_case(word))
}

/// Answers commands and searches.
#[derive(Debug, Clone)]
pub struct Commands {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    info: Arc<dyn AgentInfo>,
    operations: Option<Arc<dyn Operations>>,
    spending: Option<Arc<dyn ModelLedger>>,
    chats: Option<Arc<dyn ChatLedger>>,
    /// Whether free text is answered by a model.
    talks: bool,
}

impl Commands {
    /// Commands over `ledger`, told by `info`.
    pub fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, info: Arc<dyn AgentInfo>) -> Self {
        Self { ledger, clock, info, operations: None, spending: None, chats: None, talks: false }
    }

    /// The commands about workflows work too.
    pub fn with_operations(self, operations: Arc<dyn Operations>) -> Self {
        Self { operations: Some(operations), ..self }
    }

    /// `/status` tells what the model has cost.
    pub fn with_spending(self, spending: Arc<dyn ModelLedger>) -> Self {
        Self { spending: Some(spending), ..self }
    }

    /// The commands about memory and quiet work too. `talks`: a model answers what is no command.
    pub fn with_chats(self, chats: Arc<dyn ChatLedger>, talks: bool) -> Self {
        Self { chats: Some(chats), talks, ..self }
    }

    /// The events that the message `message_id` of `chat` tells of.
    pub(super) async fn events_of(&self, chat: &ChatKey, message_id: i64) -> Result<Vec<EventId>, LedgerError> {
        match &self.chats {
            Some(chats) => chats.events_of_message(chat, message_id).await,
            None => Ok(Vec::new()),
        }
    }

    /// Without a model, words under a notice are answered by what is known of its events.
    pub(super) async fn about(&self, events: &[EventId]) -> Result<Vec<Message>, LedgerError> {
        let mut messages = Vec::new();
        for id in events.iter().take(MATCHES_MAX) {
            if let Some(event) = self.ledger.event(*id).await? {
                messages.extend(split(described(&event)));
            }
        }
        Ok(messages)
    }

    /// What decides, where there are workflows.
    pub(super) fn deciding(&self) -> Option<Deciding> {
        self.operations.clone().map(Deciding::new)
    }

    /// What is asked of workflows, where there are any.
    pub(super) fn operations(&self) -> Option<&Arc<dyn Operations>> {
        self.operations.as_ref()
    }

    /// The answer to `text` of `person`: a slash command, or words to look for. An error means that the ledger cannot answer
    /// now.
    pub async fn answer(&self, person: Person, text: &str) -> Result<Vec<Message>, LedgerError> {
        let mut words = text.split_whitespace();
        let Some(first) = words.next() else { return Ok(vec![help(self.talks)]) };
        let arguments: Vec<&str> = words.collect();
        let command = first.to_ascii_lowercase();
        if let Some(operations) = &self.operations {
            let commands = WorkflowCommands::new(Arc::clone(operations));
            let rest = text.trim_start().get(first.len()..).unwrap_or_default();
            if let Some(message) = commands.answer(&command, rest, person, self.clock.now()).await? {
                return Ok(split(message));
            }
        }
        if let Some(chats) = &self.chats {
            let runs = self.operations.as_ref().map(|operations| Arc::clone(operations.runs()));
            let commands = QuietCommands::new(Arc::clone(chats), runs);
            let rest = text.trim_start().get(first.len()..).unwrap_or_default();
            match commands.answer(&command, rest, person, self.clock.now()).await {
                Ok(Some(message)) => return Ok(split(message)),
                Ok(None) => {}
                Err(LedgerError::Invalid(why)) => return Ok(vec![Message::title(why)]),
                Err(error) => return Err(error),
            }
        }
        let answered = match command.as_str() {
            "/start" | "/help" => Ok(help(self.talks)),
            "/status" => self.status().await,
            "/events" => self.events(&arguments).await,
            "/event" => self.event(&arguments).await,
            "/webhook" | "/webhooks" => Ok(self.webhook(&arguments).await),
            unknown if unknown.starts_with('/') => Ok(suggestion(unknown)),
            _ => self.search(text).await,
        };
        match answered {
            Ok(message) => Ok(split(message)),
            Err(error @ (LedgerError::Busy | LedgerError::Unavailable(_))) => Err(error),
            Err(error @ (LedgerError::Invalid(_) | LedgerError::NotFound(_))) => {
                Ok(vec![Message::title(clip_chars(&error.to_string(), LISTED_TITLE_CHARS_MAX))])
            }
        }
    }

    async fn status(&self) -> Result<Message, LedgerError> {
        let (stats, now) = (self.ledger.stats().await?, self.clock.now());
        let uptime = told(since(self.info.started_at(), now));
        let queue = match (stats.queue_depth, stats.oldest_job_at) {
            (0, _) => "Queue: empty".to_owned(),
            (depth, Some(oldest)) => format!("Queue: {}, the oldest for {}", events(depth), told(since(oldest, now))),
            (depth, None) => format!("Queue: {}", events(depth)),
        };
        let mut lines = vec![queue, format!("Outbox: {} waiting", count(stats.notices_waiting, "notice"))];
        if !stats.events.is_empty() {
            let parts: Vec<String> = stats.events.iter().map(|(status, count)| format!("{count} {status}")).collect();
            lines.push(format!("Events kept: {}", parts.join(", ")));
        }
        lines.extend(self.model(now).await?);
        lines.extend(self.info.agents());
        lines.extend(self.info.listening().iter().map(|address| format!("Listening on {address}")));
        let handlers = self.info.handlers();
        if !handlers.is_empty() {
            lines.push("Last events:".to_owned());
        }
        for handler in handlers {
            let last = match stats.last_event_at.get(&handler.name) {
                Some(at) => format!("{} ago", told(since(*at, now))),
                None => "none yet".to_owned(),
            };
            lines.push(format!("  {}: {last}", handler.name));
        }
        let title = format!("hookhand {}, up {uptime}", self.info.version());
        Ok(Message { lines, ..Message::title(title) })
    }

    /// The model and what it has cost today.
    async fn model(&self, now: Timestamp) -> Result<Option<String>, LedgerError> {
        let (Some(model), Some(spending)) = (self.info.model(), &self.spending) else { return Ok(None) };
        let spent = spending.spent_since(money::day_began(now)).await?;
        let (cost, budget) = (money::micro_usd(spent.micro_usd), money::micro_usd(model.day_micro_usd_max));
        Ok(Some(format!("Model: {}, {cost} of {budget} spent today ({})", model.name, count(spent.calls, "call"))))
    }

    async fn events(&self, arguments: &[&str]) -> Result<Message, LedgerError> {
        let limit = arguments.iter().find_map(|word| word.parse::<usize>().ok()).unwrap_or(EVENTS_LISTED);
        let handler = arguments.iter().find(|word| word.parse::<usize>().is_err()).map(|word| (*word).to_owned());
        let filter = EventFilter {
            handler: handler.clone(),
            limit: limit.clamp(1, EVENTS_LISTED_MAX),
            ..EventFilter::default()
        };
        let page = self.ledger.events(filter).await?;
        let of = handler.map_or(String::new(), |handler| format!(" of {}", clip_chars(&handler, 64)));
        if page.items.is_empty() {
            return Ok(Message::title(format!("No events{of} yet.")));
        }
        let lines = page.items.iter().map(|row| listed(row, self.clock.now())).collect();
        let title = match page.items.len() {
            1 => format!("The newest event{of}"),
            several => format!("The newest {several} events{of}, newest first"),
        };
        Ok(Message { lines, ..Message::title(title) })
    }

    async fn event(&self, arguments: &[&str]) -> Result<Message, LedgerError> {
        let Some(word) = arguments.first() else {
            return Ok(Message::title("Which event? Write /event and an id from /events."));
        };
        let text =
            if word.starts_with(EventId::PREFIX) { (*word).to_owned() } else { format!("{}{word}", EventId::PREFIX) };
        let id = match text.parse::<EventId>() {
            Ok(id) => id,
            Err(error) => return Ok(Message::title(error.to_string())),
        };
        Ok(match self.ledger.event(id).await? {
            Some(event) => described(&event),
            None => Message::title(format!("{id} is not here; it may have been pruned. /events lists the newest.")),
        })
    }

    async fn webhook(&self, arguments: &[&str]) -> Message {
        match (arguments.first().map(|word| word.to_ascii_lowercase()).as_deref(), arguments.get(1)) {
            (None | Some("list"), _) => self.webhooks(),
            (Some("test"), Some(name)) => self.test_webhook(name).await,
            (Some("test"), None) => Message::title("Which one? Write /webhook test and a name from /webhook list."),
            (Some(_), _) => Message::title("I know /webhook list and /webhook test NAME."),
        }
    }

    async fn test_webhook(&self, name: &str) -> Message {
        let title = format!("Testing webhook: {}", clip_chars(&one_line(name), LISTED_TITLE_CHARS_MAX));
        let (severity, lines) = match self.info.test_webhook(name).await {
            Ok(tested) => {
                // A run that failed is answered 200 too: the sender did its part.
                let body: Option<serde_json::Value> = serde_json::from_str(&tested.body).ok();
                let failed = body.is_some_and(|body| body["status"] == "error");
                let severity = if tested.accepted && !failed { Severity::Good } else { Severity::Warning };
                let body = clip_chars(tested.body.trim(), TESTED_BODY_CHARS_MAX);
                (severity, vec![format!("Response: {}", tested.status), body])
            }
            Err(why) => (Severity::Warning, vec![why]),
        };
        Message { title, lines, url: None, severity }
    }

    fn webhooks(&self) -> Message {
        let handlers = self.info.handlers();
        if handlers.is_empty() {
            return Message::title("No webhooks are configured.");
        }
        let width = handlers.iter().map(|handler| handler.path.chars().count()).max().unwrap_or(0);
        let lines = handlers
            .iter()
            .map(|handler| {
                let state = if handler.enabled { "enabled" } else { "disabled" };
                format!("  POST {:width$}  [{state}]", handler.path)
            })
            .collect();
        Message { lines, ..Message::title("Webhooks:") }
    }

    /// Without a model, words are looked for in titles, types, ids, reasons and payloads: all of them, else the longest.
    async fn search(&self, text: &str) -> Result<Message, LedgerError> {
        let phrase = clip_chars(&one_line(text), SEARCH_CHARS_MAX);
        let longest = phrase.split(' ').max_by_key(|word| word.chars().count()).unwrap_or_default().to_owned();
        let mut tried = vec![phrase.clone()];
        if longest != phrase && longest.chars().count() >= SEARCH_WORD_CHARS_MIN {
            tried.push(longest);
        }
        for search in tried.into_iter().filter(|search| search.chars().count() >= SEARCH_WORD_CHARS_MIN) {
            let filter = EventFilter { search: Some(search.clone()), limit: MATCHES_MAX, ..EventFilter::default() };
            let page = self.ledger.events(filter).await?;
            if !page.items.is_empty() {
                let mut lines: Vec<String> = page.items.iter().map(|row| listed(row, self.clock.now())).collect();
                lines.push("/event and an id shows one; /help lists what I can do.".to_owned());
                return Ok(Message { lines, ..Message::title(format!("The newest events with '{search}'")) });
            }
        }
        let lines = vec!["/help lists what I can do.".to_owned()];
        Ok(Message { lines, ..Message::title(format!("I found no event with '{phrase}'.")) })
    }
}

fn help(talks: bool) -> Message {
    let otherwise = if talks {
        "Anything else: I answer, with what is stored. Answer a notice to ask about it."
    } else {
        "Anything else: I look for events with those words. Answer a notice to read more about it."
    };
    let lines = COMMANDS
        .iter()
        .map(|command| {
            let usage = format!("{} {}", command.name, command.arguments);
            format!("{} – {}", usage.trim_end(), command.about)
        })
        .chain([otherwise.to_owned()])
        .collect();
    Message { lines, ..Message::title("I tell you what your webhooks bring.") }
}

fn suggestion(unknown: &str) -> Message {
    let nearest = COMMANDS
        .iter()
        .map(|command| (strsim::jaro_winkler(command.name, unknown), command.name))
        .filter(|(likeness, _)| *likeness >= SUGGESTION_LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let unknown = clip_chars(unknown, 40);
    Message::title(match nearest {
        Some((_, name)) => format!("I don't know {unknown}. Did you mean {name}? /help lists what I can do."),
        None => format!("I don't know {unknown}. /help lists what I can do."),
    })
}

/// One event in one line of a list.
fn listed(row: &EventRow, now: Timestamp) -> String {
    let what = row.title.clone().unwrap_or_else(|| {
        let event = row.event.as_deref().unwrap_or("request");
        format!("{}: {event} ({})", row.handler.as_deref().unwrap_or("unknown path"), row.status)
    });
    let recent = since(row.received_at, now) < Duration::from_secs(20 * 60 * 60);
    let at = row.received_at.strftime(if recent { "%H:%M" } else { "%Y-%m-%d %H:%M" });
    format!("{at}  {}  {}", clip_chars(&one_line(&what), LISTED_TITLE_CHARS_MAX), row.id)
}

/// Everything a person asks about one event.
fn described(event: &EventDetail) -> Message {
    let row = &event.row;
    let kind = row.event.as_deref().unwrap_or("request");
    let handler = row.handler.as_deref().unwrap_or("unknown path");
    let mut lines = vec![format!("{}  {handler}: {kind}", row.id)];
    let mut status = format!("Status: {}", row.status);
    if let Some(reason) = row.reason.as_deref().and_then(|reason| reason.lines().next()) {
        let _ = write!(status, " ({reason})");
    }
    lines.push(status);
    if let Some(verdict) = row.verdict {
        lines.push(format!("Signature: {verdict}"));
    }
    if let Some(delivery) = &row.delivery_id {
        lines.push(format!("Delivery: {delivery}"));
    }
    if let Some(first) = row.replay_of {
        lines.push(format!("Repeats {first}"));
    }
    lines.push(format!("From {}, {} bytes", row.client_ip, row.body_bytes));
    lines.push("Timeline (UTC):".to_owned());
    for entry in &event.timeline {
        let mut line = format!("  {}  {}", entry.at.strftime("%Y-%m-%d %H:%M:%S"), entry.what);
        if let Some(detail) = &entry.detail {
            let _ = write!(line, ": {detail}");
        }
        lines.push(line);
    }
    let title = row.title.clone().unwrap_or_else(|| format!("{handler}: {kind}"));
    Message { title, lines, url: row.url.clone(), severity: row.severity.unwrap_or(Severity::Info) }
}

/// A message as several when it is too long for one.
fn split(message: Message) -> Vec<Message> {
    let room = ANSWER_UNITS_MAX.saturating_sub(utf16_len(&message.title)).max(ANSWER_UNITS_MAX / 2);
    let mut parts = pages(&message.lines.join("\n"), room);
    if parts.len() == 1 {
        return vec![message];
    }
    if parts.len() > ANSWER_MESSAGES_MAX {
        parts.truncate(ANSWER_MESSAGES_MAX);
        if let Some(last) = parts.last_mut() {
            last.push_str("\n… the rest is too long for a chat");
        }
    }
    let all = parts.len();
    let part = |(index, text): (usize, String)| Message {
        title: format!("{} ({} of {all})", clip_chars(&message.title, ANSWER_UNITS_MAX / 4), index + 1),
        lines: text.lines().map(str::to_owned).collect(),
        url: message.url.clone().filter(|_| index + 1 == all),
        severity: message.severity,
    };
    parts.into_iter().enumerate().map(part).collect()
}

fn events(number: u64) -> String {
    count(number, "event")
}

fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A duration in the two units that matter.
fn told(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_is_answered_with_the_nearest_one() {
        assert!(suggestion("/evnts").title.contains("/events"), "{}", suggestion("/evnts").title);
        assert!(suggestion("/stat").title.contains("/status"));
        assert!(!suggestion("/xyzzy").title.contains("Did you mean"));
    }

    #[test]
    fn a_long_answer_is_several_messages_that_lose_no_line() {
        let lines: Vec<String> = (0..200).map(|i| format!("{i:03} {}", "x".repeat(60))).collect();
        let parts = split(Message { lines: lines.clone(), ..Message::title("All") });
        assert_eq!(parts[0].title, format!("All (1 of {})", parts.len()));
        assert!(parts.len() > 2 && parts.len() <= ANSWER_MESSAGES_MAX);
        let told: Vec<String> = parts.into_iter().flat_map(|part| part.lines).collect();
        assert_eq!(told, lines);
    }

    #[test]
    fn durations_read_well() {
        let told: Vec<String> = [5, 90, 11_520, 200_000].map(|s| told(Duration::from_secs(s))).into();
        assert_eq!(told, ["5 s", "1 min", "3 h 12 min", "2 d 7 h"]);
    }
}
