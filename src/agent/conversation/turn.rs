//! One answer: the model is asked, its tools are used, it is asked again, within bounds.

use serde_json::{Map, Value, json};

use super::history::{Called, Entry, Remembered, Talk};
use super::offers::Offered;
use super::reads::Found;
use super::stream::Preview;
use super::taint::frame;
use super::{Assistant, Live, prompt};
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::chat::{TurnAnswer, TurnKind, TurnRow};
use crate::ledger::{EventFilter, LedgerError};
use crate::ports::{Finish, ModelError, ModelRequest, Purpose, ToolCall};
use crate::telemetry::AuditEntry;

/// Calls of the model in one turn.
const ROUNDS_MAX: usize = 8;
/// Tools that one reply may ask for; the others are refused.
const CALLS_MAX: usize = 6;
/// Actions that one reply may propose.
const PROPOSALS_MAX: usize = 3;
/// Most tokens of one reply.
const REPLY_TOKENS_MAX: u32 = 2000;
/// Longest answer, in characters.
const ANSWER_CHARS_MAX: usize = 16_000;
/// Events that a search without a model shows.
const MATCHES_MAX: usize = 5;
/// Events of one message that are loaded.
const ABOUT_MAX: usize = 10;

/// An answer that was made.
#[derive(Debug, Default)]
pub(super) struct Made {
    text: String,
    links: Vec<String>,
    message: Option<i64>,
    remembered: Vec<Remembered>,
}

impl Made {
    pub(super) fn into_answer(self, row: &TurnRow, at: jiff::Timestamp) -> TurnAnswer {
        TurnAnswer {
            turn: row.seq,
            text: clip_chars(&self.text, ANSWER_CHARS_MAX),
            links: self.links,
            message_id: self.message,
            messages: self.remembered.into_iter().map(Remembered::kept).collect(),
            at,
        }
    }
}

/// The answer to a turn that was begun too often.
pub(super) fn given_up(row: &TurnRow) -> Made {
    Made {
        text: "I began this answer several times and could not finish it. Please ask again, or use the commands: /help"
            .into(),
        message: row.message_id,
        ..Made::default()
    }
}

/// What became of one tool.
enum Used {
    Found(Found),
    Proposed,
}

impl Assistant {
    /// Makes the answer to one turn.
    pub(super) async fn make(&self, row: &TurnRow, live: &Live) -> Result<Made, LedgerError> {
        let mut talk = self.recollect(row.session).await?;
        let opening = match row.turn.kind {
            TurnKind::Said => self.opening(row).await?,
            TurnKind::Outcome => self.outcome_opening(row),
        };
        let tainted = opening.tainted;
        talk.add(opening.entry, tainted);
        let mut preview = Preview::of(row.message_id);
        if let (TurnKind::Outcome, Some(short)) = (row.turn.kind, super::outcome::needs_no_model(&row.turn.text)) {
            return Ok(self.made(talk, short, preview));
        }
        for round in 1..=ROUNDS_MAX {
            let request = ModelRequest {
                purpose: Purpose::Chat,
                system: prompt::system(self.parts.clock.now(), None),
                messages: talk.messages(),
                tools: if round < ROUNDS_MAX { self.offers() } else { Vec::new() },
                max_tokens: REPLY_TOKENS_MAX,
                event: row.turn.about.first().copied(),
                run: None,
                prefer: None,
                timeout: None,
            };
            let links = talk.material.links.clone();
            let reply = match self.call(row, live, request, &links, &mut preview).await {
                Ok(reply) => reply,
                Err(error) => return self.without_model(row, talk, preview, &error).await,
            };
            let mut text = self.parts.context.redactor.clean(reply.text.trim()).into_owned();
            if reply.finish == Finish::Length && reply.calls.is_empty() {
                text.push_str(" …");
            }
            if reply.calls.is_empty() || round == ROUNDS_MAX {
                let text = if text.is_empty() { "I have no answer to that.".to_owned() } else { text };
                return Ok(self.made(talk, text, preview));
            }
            if let Some(proposed) = self.use_tools(row, &mut talk, &text, reply.calls).await? {
                return Ok(self.made(talk, proposed, preview));
            }
        }
        Ok(self.made(talk, "That took too many steps; please ask for less at once.".to_owned(), preview))
    }

    fn made(&self, mut talk: Talk, text: String, preview: Preview) -> Made {
        talk.add(Entry::Assistant { text: text.clone(), calls: Vec::new() }, false);
        Made { text, links: talk.material.links, message: preview.message, remembered: talk.fresh }
    }

    /// Uses the tools of one reply. Gives the text that ends the turn when something was proposed.
    async fn use_tools(
        &self,
        row: &TurnRow,
        talk: &mut Talk,
        text: &str,
        calls: Vec<ToolCall>,
    ) -> Result<Option<String>, LedgerError> {
        let called = |(at, call): (usize, &ToolCall)| Called {
            // Ids of providers may repeat; a model must see which result belongs to which call.
            id: if call.id.is_empty() { format!("call_{at}") } else { call.id.clone() },
            name: call.name.clone(),
            args: call.args.clone(),
        };
        let kept: Vec<Called> = calls.iter().take(CALLS_MAX).enumerate().map(called).collect();
        talk.add(Entry::Assistant { text: text.to_owned(), calls: kept.clone() }, false);
        let mut proposed: Vec<String> = Vec::new();
        for call in &kept {
            let used = if proposed.len() < PROPOSALS_MAX {
                self.use_tool(row, talk, call).await?
            } else {
                Used::Found(Found::told("Not proposed: there are enough proposals in this turn."))
            };
            let found = match used {
                Used::Found(found) => found,
                Used::Proposed => {
                    proposed.push(call.name.clone());
                    Found::told("Proposed. A card shows it to a person, who has not decided yet.")
                }
            };
            let Found { text, tainted, links } = found;
            let text = self.parts.context.redactor.clean(&text).into_owned();
            talk.add(Entry::Tool { id: call.id.clone(), text, links }, tainted);
        }
        if proposed.is_empty() {
            return Ok(None);
        }
        let names = proposed.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let line = format!("Proposed, and waiting for your decision on the card: {names}");
        Ok(Some(if text.is_empty() { line } else { format!("{text}\n\n{line}") }))
    }

    async fn use_tool(&self, row: &TurnRow, talk: &Talk, call: &Called) -> Result<Used, LedgerError> {
        let name = clip_chars(&one_line(&call.name), 64);
        let Some(offered) = self.offered(&call.name) else {
            return Ok(Used::Found(Found::told(format!("There is no tool '{name}'."))));
        };
        let Some(args) = object(&call.args) else {
            return Ok(Used::Found(Found::told("The arguments are no JSON object.")));
        };
        match offered {
            Offered::Look(name) => {
                self.note(row, "chat.read", name).await;
                Ok(Used::Found(self.look_up(name, &args).await?))
            }
            Offered::Free(spec) => {
                self.note(row, "chat.read", spec.name).await;
                Ok(Used::Found(self.read_free(row, spec, args).await))
            }
            Offered::Propose(spec) => {
                let proposed = self.propose(row, talk, spec, args).await?;
                self.note(row, if proposed.is_ok() { "chat.proposed" } else { "chat.refused" }, spec.name).await;
                Ok(match proposed {
                    Ok(_run) => Used::Proposed,
                    Err(why) => Used::Found(Found::told(why)),
                })
            }
        }
    }

    /// Writes down what the model did.
    async fn note(&self, row: &TurnRow, what: &'static str, tool: &str) {
        let details = json!({ "turn": row.turn.id, "tool": tool, "chat": row.turn.chat.as_str() });
        let by = format!("assistant for {}", row.turn.person);
        let entry = AuditEntry::new(self.parts.clock.now(), what, &by, details);
        if let Err(error) = self.parts.audit.record(entry).await {
            tracing::error!(what, tool, %error, "something is not in the audit log");
        }
    }

    /// What a person said, with the events of the notice that it answers.
    async fn opening(&self, row: &TurnRow) -> Result<Remembered, LedgerError> {
        let mut framed = Vec::new();
        let mut links = Vec::new();
        for id in row.turn.about.iter().take(ABOUT_MAX) {
            let found = self.event_found(*id).await?;
            links.extend(found.links);
            framed.push(found.text);
        }
        let tainted = !framed.is_empty();
        let framed = self.parts.context.redactor.clean(&framed.join("\n")).into_owned();
        let about = if tainted { "(This answers a notice about the event below.)\n" } else { "" };
        let text = format!("{about}{}", self.parts.context.redactor.clean(&row.turn.text));
        Ok(Remembered { entry: Entry::User { text, framed, links }, tainted })
    }

    /// The model does not answer: what can be found without it.
    async fn without_model(
        &self,
        row: &TurnRow,
        talk: Talk,
        preview: Preview,
        error: &ModelError,
    ) -> Result<Made, LedgerError> {
        tracing::warn!(turn.id = %row.turn.id, code = error.code(), "the model did not answer a conversation");
        let why = clip_chars(&one_line(&error.to_string()), 200);
        let mut text = format!("I can't use the model now: {why}");
        if row.turn.kind == TurnKind::Outcome {
            let text = super::outcome::plain(&row.turn.text);
            return Ok(self.made(talk, text, preview));
        }
        let mut links = Vec::new();
        let words = one_line(&row.turn.text);
        let longest = words.split(' ').max_by_key(|word| word.chars().count()).unwrap_or_default().to_owned();
        let bare = |text: &str| text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
        for search in [bare(&words), bare(&longest)].into_iter().filter(|search| search.chars().count() > 2) {
            let search = clip_chars(&search, 100);
            let filter = EventFilter { search: Some(search.clone()), limit: MATCHES_MAX, ..EventFilter::default() };
            let found = self.parts.ledger.events(filter).await?.items;
            if found.is_empty() {
                continue;
            }
            text.push_str(&format!("\n\nThe newest events with '{search}':"));
            for event in found {
                let title = event.title.unwrap_or_else(|| event.event.unwrap_or_default());
                text.push_str(&format!("\n- {} `{}`", clip_chars(&one_line(&title), 100), event.id));
                links.extend(event.url);
            }
            break;
        }
        text.push_str("\n\nThe commands work: /help");
        // What the model did not see it shall not remember as said by itself.
        Ok(Made { text, links, message: preview.message, remembered: Vec::new() })
    }
}

/// A call's arguments: an object, or the text of one.
fn object(args: &Value) -> Option<Map<String, Value>> {
    match args {
        Value::Object(map) => Some(map.clone()),
        Value::Null => Some(Map::new()),
        Value::String(text) if text.trim().is_empty() => Some(Map::new()),
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// What an event says, as data for a model.
pub(super) fn framed_event(id: &str, text: &str) -> String {
    frame(&format!("event {id}"), text)
}
