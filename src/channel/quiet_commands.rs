//! The slash commands about memory and quiet: text in, messages out.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::operations::Person;
use crate::domain::duration;
use crate::domain::notice::{Message, Severity};
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::LedgerError;
use crate::ledger::chat::{ChatLedger, EventCount, MuteRow, MuteRule};
use crate::ledger::runs::{MemoryRow, RunLedger};

/// Facts that a list shows.
const FACTS_LISTED: usize = 20;
/// Longest fact in a list, in characters.
const FACT_CHARS_MAX: usize = 300;
/// Longest part of a rule, in characters.
const RULE_CHARS_MAX: usize = 100;
/// How far counts look back.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Kinds of events that are proposed to be muted.
const PROPOSED_MAX: usize = 8;

/// Answers commands about memory and quiet.
#[derive(Debug, Clone)]
pub(super) struct QuietCommands {
    chats: Arc<dyn ChatLedger>,
    runs: Option<Arc<dyn RunLedger>>,
    /// The names that a rule may be about.
    handlers: Vec<String>,
}

impl QuietCommands {
    pub(super) fn new(chats: Arc<dyn ChatLedger>, runs: Option<Arc<dyn RunLedger>>, handlers: Vec<String>) -> Self {
        Self { chats, runs, handlers }
    }

    /// The answer to a command of this module; `None` for another one. `text` is everything behind the command.
    pub(super) async fn answer(
        &self,
        command: &str,
        text: &str,
        person: Person,
        now: Timestamp,
    ) -> Result<Option<Message>, LedgerError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(Some(match command {
            "/memory" => self.memory(&words).await?,
            "/mute" => self.mute(&words, person, now).await?,
            "/unmute" => self.unmute(&words, now).await?,
            _ => return Ok(None),
        }))
    }

    async fn memory(&self, words: &[&str]) -> Result<Message, LedgerError> {
        if let ["forget", id] = words {
            let Ok(id) = id.trim_start_matches('#').parse::<i64>() else {
                return Ok(Message::title("Which fact? Write /memory forget and a number from /memory."));
            };
            return Ok(Message::title(if self.chats.forget(id).await? {
                format!("Forgotten: fact {id}.")
            } else {
                format!("There is no fact {id}.")
            }));
        }
        let Some(runs) = &self.runs else { return Ok(Message::title("Nothing is remembered here.")) };
        let facts = runs.recall(&words.join(" "), None, FACTS_LISTED).await?;
        if facts.is_empty() {
            return Ok(Message::title(if words.is_empty() {
                "I remember nothing yet."
            } else {
                "I remember nothing with these words."
            }));
        }
        let mut lines: Vec<String> = facts.iter().map(fact_line).collect();
        lines.push("/memory WORDS searches; /memory forget NUMBER forgets one.".to_owned());
        Ok(Message { lines, ..Message::title("What I remember") })
    }

    /// Without arguments: the rules, and what could be muted, with counts. With arguments: a rule is made.
    async fn mute(&self, words: &[&str], person: Person, now: Timestamp) -> Result<Message, LedgerError> {
        let since = now - LOOK_BACK;
        if words.is_empty() {
            return self.proposals(now, since).await;
        }
        let refused = |why| Ok(Message { severity: Severity::Warning, ..Message::title(why) });
        let rule = match rule(words, now) {
            Ok(rule) => rule,
            Err(why) => return refused(why),
        };
        if let Some(handler) = rule.handler.as_ref().filter(|handler| !self.handlers.contains(handler)) {
            // One that is gone may still have events, and one that has a workflow's route has no handler.
            let of_it = MuteRule { handler: Some(handler.clone()), ..MuteRule::default() };
            if total(&self.chats.would_mute(&of_it, since).await?) == 0 {
                let handlers = self.handlers.join(", ");
                return refused(format!("Nothing is muted: there is no handler '{handler}'. There are: {handlers}."));
            }
        }
        let matched: u64 = total(&self.chats.would_mute(&rule, since).await?);
        let of = total(&self.chats.would_mute(&MuteRule::default(), since).await?);
        let id = self.chats.mute(rule.clone(), &person.to_string(), now).await?;
        let lines = vec![
            format!("In the last 7 days it would have kept {matched} of {of} events quiet."),
            format!("They are stored and counted all the same. /unmute {id} ends it."),
        ];
        Ok(Message { lines, ..Message::title(format!("Muted: {}", described(&rule))) })
    }

    async fn proposals(&self, now: Timestamp, since: Timestamp) -> Result<Message, LedgerError> {
        let mut lines = Vec::new();
        for row in self.chats.mutes(now).await? {
            lines.push(rule_line(&row));
        }
        let title = if lines.is_empty() { "Nothing is muted." } else { "Muted" };
        let counts = self.chats.would_mute(&MuteRule::default(), since).await?;
        if !counts.is_empty() {
            lines.push("Most events of the last 7 days, and what would mute them:".to_owned());
        }
        for count in counts.iter().take(PROPOSED_MAX) {
            let (handler, event) = (one_line(&count.handler), one_line(&count.event));
            lines.push(format!("  {}×  /mute {handler} {event}", count.count));
        }
        lines.push("/mute HANDLER [EVENT] [8h] [words of the title …] mutes; /unmute NUMBER ends it.".to_owned());
        Ok(Message { lines, ..Message::title(title) })
    }

    async fn unmute(&self, words: &[&str], now: Timestamp) -> Result<Message, LedgerError> {
        let id = words.first().map(|word| word.trim_start_matches('#').parse::<i64>());
        match id {
            Some(Ok(id)) if self.chats.unmute(id).await? => Ok(Message::title(format!("Rule {id} is over."))),
            Some(Ok(id)) => Ok(Message::title(format!("There is no rule {id}."))),
            Some(Err(_)) | None => {
                let lines: Vec<String> = self.chats.mutes(now).await?.iter().map(rule_line).collect();
                let title = if lines.is_empty() { "Nothing is muted." } else { "Which rule? Write /unmute NUMBER." };
                Ok(Message { lines, ..Message::title(title) })
            }
        }
    }
}

/// `github pull_request.labeled 8h dependabot bump`: a handler (`*` for every one), an event type, how long, words.
fn rule(words: &[&str], now: Timestamp) -> Result<MuteRule, String> {
    let mut rule = MuteRule::default();
    let part = |text: &str| clip_chars(&one_line(text), RULE_CHARS_MAX);
    let mut rest = words.iter().copied().peekable();
    rule.handler = rest.next().filter(|word| *word != "*").map(part);
    let is_length = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && duration::parse(word).is_ok();
    no_length(rest.peek().copied().filter(|word| !is_length(word)))?;
    rule.event = rest.next_if(|word| !is_length(word) && !word.starts_with('"')).filter(|word| *word != "*").map(part);
    if let Some(length) = rest.next_if(|word| is_length(word)) {
        let length = duration::parse(length).map_err(|error| error.to_string())?;
        rule.until = Some(now.checked_add(length).map_err(|_| "That is too long.".to_owned())?);
    }
    no_length(rest.peek().copied().filter(|_| rule.until.is_none()))?;
    let title = rest.collect::<Vec<_>>().join(" ");
    rule.words = Some(part(title.trim_matches('"'))).filter(|words| !words.is_empty());
    if rule.handler.is_none() && rule.event.is_none() && rule.words.is_none() {
        return Err("That would mute everything. Name a handler, an event type or words of the title.".to_owned());
    }
    Ok(rule)
}

/// `8hours` or `2x`, left to the title's words, would mute for ever whatever has it in its title. In quotes it may stand.
fn no_length(word: Option<&str>) -> Result<(), String> {
    match word.filter(|word| word.starts_with(|c: char| c.is_ascii_digit())) {
        Some(word) => {
            Err(format!("'{word}' is no length of time: write 30m, 8h or 7d, or words of a title in quotes."))
        }
        None => Ok(()),
    }
}

fn total(counts: &[EventCount]) -> u64 {
    counts.iter().map(|count| count.count).sum()
}

fn fact_line(row: &MemoryRow) -> String {
    let source = row.source.as_deref().map_or_else(String::new, |source| format!(", from {}", one_line(source)));
    let tainted = if row.tainted { ", text from outside" } else { "" };
    format!(
        "{}  [{}] {} ({}{source}{tainted})",
        row.id,
        one_line(&row.section),
        clip_chars(&one_line(&row.fact), FACT_CHARS_MAX),
        row.at.strftime("%Y-%m-%d")
    )
}

fn rule_line(row: &MuteRow) -> String {
    format!("{}  {}, {} so far, by {}", row.id, described(&row.rule), row.matched, one_line(&row.made_by))
}

fn described(rule: &MuteRule) -> String {
    let mut text = rule.handler.as_deref().map_or("every handler".to_owned(), one_line);
    if let Some(event) = &rule.event {
        text.push_str(&format!(" {}", one_line(event)));
    }
    if let Some(words) = &rule.words {
        text.push_str(&format!(" with '{}' in the title", one_line(words)));
    }
    match rule.until {
        Some(until) => text.push_str(&format!(" until {}", until.strftime("%Y-%m-%d %H:%M UTC"))),
        None => text.push_str(" for ever"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_from_words() {
        let now: Timestamp = "2026-01-02T03:00:00Z".parse().expect("a time");
        let told = |text: &str| {
            let words: Vec<&str> = text.split(' ').collect();
            rule(&words, now).map(|rule| described(&rule))
        };
        assert_eq!(told("github"), Ok("github for ever".into()));
        assert_eq!(told("github push 8h"), Ok("github push until 2026-01-02 11:00 UTC".into()));
        assert_eq!(
            told("* pull_request 7d dependabot bump"),
            Ok("every handler pull_request with 'dependabot bump' in the title until 2026-01-09 03:00 UTC".into())
        );
        assert!(told("* *").is_err());
        for wrong in ["stripe invoice 2x", "stripe 8hours", "stripe 2x"] {
            assert!(told(wrong).is_err(), "{wrong}");
        }
        assert!(told("stripe invoice \"2x\"").is_ok_and(|told| told.contains("'2x' in the title")));
    }
}
