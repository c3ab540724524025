//! `notify`: a message to a chat, through the outbox that keeps it until the channel confirms it.

use async_trait::async_trait;
use serde_json::json;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::memory_store::failure;
use super::{Call, Tool, ToolContext, ToolFailure, ToolOutput, ToolSpec, specs};
use crate::domain::ids::NoticeId;
use crate::domain::notice::{ChatKey, Message, NoticeKind};
use crate::domain::text::clip_chars;
use crate::ledger::NewNotice;

/// Longest message, in characters; a longer one is cut and says so. Channels cut earlier where they must.
pub const TEXT_CHARS_MAX: usize = 8000;

/// The tool.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notify;

#[async_trait]
impl Tool for Notify {
    fn spec(&self) -> &'static ToolSpec {
        &specs::NOTIFY
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let text = call.needed_text("text")?;
        let chat = chat_of(call, context)?;
        let truncated = text.chars().nth(TEXT_CHARS_MAX).is_some();
        let notice = NewNotice {
            id: notice_id(call),
            chat: chat.clone(),
            kind: NoticeKind::System,
            // An event has one outcome notice; what steps say is apart from it.
            event: None,
            reply_to: None,
            message: message(&context.redactor.clean(&clip_chars(&text, TEXT_CHARS_MAX)))?,
            created_at: context.clock.now(),
        };
        let id = notice.id;
        context.ledger.add_notices(vec![notice]).await.map_err(failure)?;
        Ok(ToolOutput { value: json!({ "notice": id, "chat": chat.as_str() }), truncated, logs: String::new() })
    }
}

/// The same for every attempt of a step of a run, so that the outbox keeps one.
fn notice_id(call: &Call) -> NoticeId {
    let digest = Sha256::digest(format!("notify\n{}\n{}\n{}", call.run, call.step, call.idempotency_key));
    let mut random = [0; 16];
    random[6..].copy_from_slice(&digest[..10]);
    NoticeId::new(Ulid::from_parts(call.run.ulid().timestamp_ms(), u128::from_be_bytes(random)))
}

fn chat_of(call: &Call, context: &ToolContext) -> Result<ChatKey, ToolFailure> {
    let chats = &context.chats;
    let Some(name) = call.text("chat")? else {
        return Ok(context.chat.clone().unwrap_or_else(|| chats.default.clone()));
    };
    match chats.named.get(&name) {
        Some(chat) => Ok(chat.clone()),
        None if name == "default" => Ok(chats.default.clone()),
        None => {
            let known: Vec<&str> = chats.named.keys().map(String::as_str).collect();
            Err(ToolFailure::never_began(format!(
                "there is no chat {name:?} in telegram.chats; there are: {}",
                known.join(", ")
            )))
        }
    }
}

/// The first line that says something is the title.
fn message(text: &str) -> Result<Message, ToolFailure> {
    let mut lines = text.lines().skip_while(|line| line.trim().is_empty());
    let title = lines.next().ok_or_else(|| ToolFailure::never_began("the text is empty"))?;
    let mut message = Message::title(title);
    message.lines = lines.map(str::to_owned).collect();
    while message.lines.last().is_some_and(|line| line.trim().is_empty()) {
        message.lines.pop();
    }
    Ok(message)
}
