//! The slash commands, as every channel answers them: text in, messages out.
//!
//! It reads the ledger and what [`AgentInfo`] tells, and changes nothing; what changes workflows is in `workflow_commands`. Who
//! may ask is the channel's business.

use std::sync::Arc;

use jiff::Timestamp;

use super::AgentInfo;
use super::cards::Deciding;
use super::listing::{LISTED_TITLE_CHARS_MAX, count, described, events, listed, since, split, told};
use super::operations::{Operations, Person};
use super::quiet_commands::QuietCommands;
use super::workflow_commands::WorkflowCommands;
use crate::domain::ids::EventId;
use crate::domain::money;
use crate::domain::notice::{ChatKey, Message, Severity};
use crate::domain::question::Question;
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::chat::ChatLedger;
use crate::ledger::{EventFilter, EventRow, Ledger, LedgerError, ModelLedger, by_words};
use crate::ports::Clock;

/// Events that `/events` lists when nobody says how many, and at most.
const EVENTS_LISTED: usize = 10;
const EVENTS_LISTED_MAX: usize = 50;
/// Matches that a search lists.
const MATCHES_MAX: usize = 5;
/// Longest body of a tested webhook's answer, in characters.
const TESTED_BODY_CHARS_MAX: usize = 2000;
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
            let handlers = self.info.handlers().into_iter().map(|handler| handler.name).collect();
            let commands = QuietCommands::new(Arc::clone(chats), runs, handlers);
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
            _ => self.question(person, text).await,
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
        let (heard, silent): (Vec<_>, Vec<_>) =
            self.info.handlers().into_iter().partition(|handler| stats.last_event_at.contains_key(&handler.name));
        if !heard.is_empty() {
            lines.push("Last events:".to_owned());
        }
        for handler in heard {
            let ago = stats.last_event_at.get(&handler.name).map_or_else(String::new, |at| told(since(*at, now)));
            lines.push(format!("  {}: {ago} ago", handler.name));
        }
        if !silent.is_empty() {
            let names: Vec<&str> = silent.iter().map(|handler| handler.name.as_str()).collect();
            lines.push(format!("No event yet: {}", names.join(", ")));
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

    /// Words without a command, where no model reads them.
    async fn question(&self, person: Person, text: &str) -> Result<Message, LedgerError> {
        let names: Vec<String> = self.info.handlers().into_iter().map(|handler| handler.name).collect();
        let wanted = match Question::read(text, &names) {
            Question::Help => return Ok(help(self.talks)),
            Question::Status => return self.status().await,
            Question::Approvals => return self.of_workflows("/approvals", person).await,
            Question::Runs => return self.of_workflows("/runs", person).await,
            Question::Events(wanted) => wanted,
        };
        let now = self.clock.now();
        let list = |rows: &[EventRow]| rows.iter().map(|row| listed(row, now)).collect::<Vec<_>>();
        if let Some((found, rows)) = by_words(&*self.ledger, &wanted, MATCHES_MAX, now).await? {
            let mut lines = list(&rows);
            lines.push("/event and an id shows one; /help lists what I can do.".to_owned());
            return Ok(Message { lines, ..Message::title(format!("The newest {}", found.told())) });
        }
        let filter = EventFilter { limit: MATCHES_MAX, ..EventFilter::default() };
        let mut lines = list(&self.ledger.events(filter).await?.items);
        if !lines.is_empty() {
            lines.insert(0, "The newest of all:".to_owned());
        }
        lines.push("/help lists what I can do.".to_owned());
        Ok(Message { lines, ..Message::title(format!("I found no {}.", wanted.told())) })
    }

    /// What the command `name` alone answers.
    async fn of_workflows(&self, name: &str, person: Person) -> Result<Message, LedgerError> {
        let Some(operations) = &self.operations else { return Ok(help(self.talks)) };
        let commands = WorkflowCommands::new(Arc::clone(operations));
        let answer = commands.answer(name, "", person, self.clock.now()).await?;
        Ok(answer.unwrap_or_else(|| help(self.talks)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_is_answered_with_the_nearest_one() {
        assert!(suggestion("/evnts").title.contains("/events"), "{}", suggestion("/evnts").title);
        assert!(suggestion("/stat").title.contains("/status"));
        assert!(!suggestion("/xyzzy").title.contains("Did you mean"));
    }
}
