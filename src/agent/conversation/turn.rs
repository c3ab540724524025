//! One answer: the model is asked, its tools are used, it is asked again, within bounds.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::history::{Called, Entry, Remembered, Talk};
use super::offers::Offered;
use super::reads::Found;
use super::stream::Preview;
use super::taint::frame;
use super::{Assistant, Live, SoFar, prompt};
use crate::domain::question::Question;
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::chat::{TurnAnswer, TurnKind, TurnRow};
use crate::ledger::{LedgerError, by_words};
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
pub(super) const ANSWER_CHARS_MAX: usize = 16_000;
/// Longest name of a tool that a model wrote, in characters; providers refuse longer ones in the history.
const NAME_CHARS_MAX: usize = 64;
/// Longest id of a call, in bytes: some carry what a model thought.
const ID_BYTES_MAX: usize = 32 * 1024;
/// Largest arguments of a call, in bytes of JSON.
const ARGS_BYTES_MAX: usize = 64 * 1024;
/// What stands in the history for a tool whose name cannot be one.
const NO_TOOL: &str = "unknown_tool";
/// Room for the line above an answer and the one beneath it, in characters.
const AROUND_CHARS_MAX: usize = 500;
/// What stands beneath an answer that was cut.
const TOO_LONG_ANSWER: &str = "_(The answer was longer; the rest is left out.)_";
/// What a person reads when the model says nothing.
const NO_ANSWER: &str = "I have no answer to that.";
/// What a person reads when the model only ever used tools.
const TOO_MANY_ROUNDS: &str = "I looked many things up and came to no answer; please ask for less at once.";
/// Events that a search without a model shows.
const MATCHES_MAX: usize = 5;
/// Longest payloads of all events of one message together, in characters.
const ABOUT_CHARS_MAX: usize = 16_000;
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
            text: cut_answer(&self.text),
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
        let persona = self.parts.personas.of_chat(&row.turn.chat);
        let mut talk = self.recollect(row.session, persona).await?;
        let opening = match row.turn.kind {
            TurnKind::Said => self.opening(row).await?,
            TurnKind::Outcome => self.outcome_opening(row),
        };
        let tainted = opening.tainted;
        talk.add(opening.entry, tainted);
        let mut preview = Preview::of(row.message_id);
        if row.turn.kind == TurnKind::Outcome {
            if let Some(short) = super::outcome::needs_no_model(&row.turn.text) {
                return Ok(self.made(talk, short, preview));
            }
            preview = preview.under(super::outcome::headline(&row.turn.text));
        }
        if let Some(text) = self.proposed_before(row).await? {
            return Ok(self.made(talk, text, preview));
        }
        for round in 1..=ROUNDS_MAX {
            let request = ModelRequest {
                purpose: Purpose::Chat,
                system: prompt::system(self.parts.clock.now(), persona),
                messages: talk.messages(),
                tools: if round < ROUNDS_MAX { self.offers(persona) } else { Vec::new() },
                max_tokens: REPLY_TOKENS_MAX,
                event: row.turn.about.first().copied(),
                run: None,
                prefer: persona.model.clone(),
                timeout: None,
            };
            let links = talk.material.links.clone();
            let reply = match self.call(row, live, request, &links, &mut preview).await {
                Ok(reply) => reply,
                Err(error) => return self.without_model(row, live, talk, preview, &error).await,
            };
            let mut text = self.parts.context.redactor.clean(reply.text.trim()).into_owned();
            text = cut_answer(&text);
            if reply.finish == Finish::Length && reply.calls.is_empty() {
                text.push_str(" …");
            }
            if reply.calls.is_empty() || round == ROUNDS_MAX {
                if text.is_empty() {
                    tracing::debug!(turn.id = %row.turn.id, round, "a model gave no answer");
                    text = if reply.calls.is_empty() { NO_ANSWER.to_owned() } else { TOO_MANY_ROUNDS.to_owned() };
                }
                return Ok(self.made(talk, text, preview));
            }
            if let Some(proposed) = self.use_tools(row, &mut talk, &text, reply.calls).await? {
                return Ok(self.made(talk, proposed, preview));
            }
        }
        Ok(self.made(talk, TOO_MANY_ROUNDS.to_owned(), preview))
    }

    /// The answer to a turn that proposed something before a process ended: the model is not asked again, since it would propose
    /// it once more.
    async fn proposed_before(&self, row: &TurnRow) -> Result<Option<String>, LedgerError> {
        let mut names = Vec::new();
        for run in &row.proposed {
            let run = self.parts.engine.ledger().run(*run).await?;
            let step = run.and_then(|run| run.steps.into_iter().next());
            names.push(step.and_then(|step| step.tool).unwrap_or_else(|| "an action".to_owned()));
        }
        Ok((!names.is_empty()).then(|| format!("I was interrupted. Proposed before that, and {}", waits(&names))))
    }

    fn made(&self, mut talk: Talk, text: String, preview: Preview) -> Made {
        let text = format!("{}{text}", preview.head);
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
        let left_out = calls.len().saturating_sub(CALLS_MAX);
        let mut ids = talk.call_ids();
        let kept: Vec<Called> = calls.into_iter().take(CALLS_MAX).map(|call| called(call, &mut ids)).collect();
        talk.add(Entry::Assistant { text: text.to_owned(), calls: kept.clone() }, false);
        let mut proposed: Vec<String> = Vec::new();
        for (at, call) in kept.iter().enumerate() {
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
            let mut text = self.parts.context.redactor.clean(&text).into_owned();
            if left_out > 0 && at + 1 == kept.len() {
                text.push_str(&format!("\n({left_out} more calls of that reply were not made: {CALLS_MAX} at once.)"));
            }
            talk.add(Entry::Tool { id: call.id.clone(), text, links }, tainted);
        }
        if proposed.is_empty() {
            return Ok(None);
        }
        let line = format!("Proposed, and {}", waits(&proposed));
        Ok(Some(if text.is_empty() { line } else { format!("{text}\n\n{line}") }))
    }

    async fn use_tool(&self, row: &TurnRow, talk: &Talk, call: &Called) -> Result<Used, LedgerError> {
        let name = &call.name;
        let persona = self.parts.personas.of_chat(&row.turn.chat);
        let Some(offered) = self.offered(persona, &call.name) else {
            return Ok(Used::Found(Found::told(format!("There is no tool '{name}'."))));
        };
        if call.args == json!(TOO_LONG) {
            return Ok(Used::Found(Found::told(format!("The arguments are longer than {ARGS_BYTES_MAX} bytes."))));
        }
        let Some(args) = object(&call.args) else {
            return Ok(Used::Found(Found::told("The arguments are no JSON object.")));
        };
        match offered {
            Offered::Look(name) => {
                if let Some(strange) = super::offers::strange_look(name, &args) {
                    return Ok(Used::Found(Found::told(strange)));
                }
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
            let found = self.event_within(*id, ABOUT_CHARS_MAX / row.turn.about.len().min(ABOUT_MAX)).await?;
            links.extend(found.links);
            framed.push(found.text);
        }
        let tainted = !framed.is_empty();
        let framed = self.parts.context.redactor.clean(&framed.join("\n")).into_owned();
        let about = match row.turn.about.len() {
            0 => String::new(),
            1 => "(This answers a notice about the event below.)\n".to_owned(),
            all if all <= ABOUT_MAX => format!("(This answers a notice about the {all} events below.)\n"),
            all => {
                let others: Vec<String> = row.turn.about[ABOUT_MAX..].iter().map(ToString::to_string).collect();
                format!(
                    "(This answers a notice about {all} events. {ABOUT_MAX} of them stand below; look the others up: {}.)\n",
                    others.join(", ")
                )
            }
        };
        // Where several people speak, the model must know who says "I".
        let is_group = row.turn.chat.as_telegram().is_some_and(|(id, _)| id < 0);
        let who = if is_group { format!("{} says: ", row.turn.person) } else { String::new() };
        let text = format!("{about}{who}{}", self.parts.context.redactor.clean(&row.turn.text));
        Ok(Remembered { entry: Entry::User { text, framed, links }, tainted })
    }

    /// The model does not answer: what can be found without it.
    async fn without_model(
        &self,
        row: &TurnRow,
        live: &Live,
        talk: Talk,
        preview: Preview,
        error: &ModelError,
    ) -> Result<Made, LedgerError> {
        tracing::warn!(turn.id = %row.turn.id, code = error.code(), %error, "the model did not answer a conversation");
        let why = clip_chars(&one_line(&in_words(error)), 200);
        if row.turn.kind == TurnKind::Outcome {
            let text = super::outcome::plain(&row.turn.text);
            return Ok(self.made(talk, text, Preview::of(preview.message)));
        }
        let SoFar { text: shown, links, .. } = live.so_far.borrow().clone();
        if !shown.is_empty() {
            // Somebody has read it already, and the model does not remember having said it.
            let text = format!("{shown} …\n\n_The answer broke off here: {why}._");
            return Ok(Made { text, links, message: preview.message, remembered: Vec::new() });
        }
        let mut text = format!("I can't use the model now: {why}.");
        let mut links = Vec::new();
        let names: Vec<String> = self.parts.handlers.iter().map(|handler| handler.name.clone()).collect();
        let question = Question::read(&row.turn.text, &names);
        let hint = match &question {
            Question::Status => "/status tells how I am; all commands: /help",
            Question::Approvals => "/approvals lists what waits; all commands: /help",
            Question::Runs => "/runs lists what workflows did; all commands: /help",
            Question::Events(_) | Question::Help => "The commands work: /help",
        };
        if let Question::Events(wanted) = question {
            let found = by_words(&*self.parts.ledger, &wanted, MATCHES_MAX, self.parts.clock.now()).await?;
            if let Some((found, events)) = found {
                text.push_str(&format!("\n\nThe newest {}:", found.told()));
                for event in events {
                    let title = event.title.unwrap_or_else(|| event.event.unwrap_or_default());
                    text.push_str(&format!("\n- {} `{}`", clip_chars(&one_line(&title), 100), event.id));
                    links.extend(event.url);
                }
            }
        }
        text.push_str("\n\n");
        text.push_str(hint);
        // What the model did not see it shall not remember as said by itself.
        Ok(Made { text, links, message: preview.message, remembered: Vec::new() })
    }
}

/// An answer no longer than it may be; one that is cut says so, and is short enough with what else stands around it.
fn cut_answer(text: &str) -> String {
    let at = |chars| text.char_indices().nth(chars).map(|(at, _)| at);
    match (at(ANSWER_CHARS_MAX), at(ANSWER_CHARS_MAX - AROUND_CHARS_MAX)) {
        (Some(_), Some(end)) => {
            let end = text[..end].rfind(char::is_whitespace).unwrap_or(end);
            format!("{} …\n\n{TOO_LONG_ANSWER}", &text[..end])
        }
        _ => text.to_owned(),
    }
}

/// What went wrong with a model, for the person who asked; the log has the rest.
fn in_words(error: &ModelError) -> String {
    match error {
        ModelError::OverBudget { message } | ModelError::Unavailable { message } => message.clone(),
        ModelError::TooSlow { after } => format!("it did not go on within {} s", after.as_secs()),
        ModelError::Refused { message, .. } => format!("its provider says {message}"),
        ModelError::Malformed { message } => format!("its answer cannot be used, {message}"),
        ModelError::Cut { .. } => "the connection to the model was lost".to_owned(),
    }
}

/// What stands in the history for arguments that are too long.
const TOO_LONG: &str = "(too long)";

/// A call as the conversation keeps it: whatever a model wrote, providers must take it as part of the next request.
fn called(call: ToolCall, ids: &mut HashSet<String>) -> Called {
    let ToolCall { mut id, name, args } = call;
    // A model must see which result belongs to which call, and ids of providers may repeat.
    if id.is_empty() || id.len() > ID_BYTES_MAX || ids.contains(&id) {
        id = (1..).map(|number| format!("call_{number}")).find(|id| !ids.contains(id)).expect("numbers do not end");
    }
    ids.insert(id.clone());
    let is_name = !name.is_empty()
        && name.len() <= NAME_CHARS_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let name = if is_name { name } else { NO_TOOL.to_owned() };
    let args = if args.to_string().len() > ARGS_BYTES_MAX { json!(TOO_LONG) } else { args };
    Called { id, name, args }
}

/// What was proposed, in words.
fn waits(tools: &[String]) -> String {
    let names = tools.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    format!("waiting for your decision on the card: {names}")
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
