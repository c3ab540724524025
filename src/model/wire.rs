//! Between our requests and the library's: messages, tools and stop reasons.

use genai::chat::{
    ChatMessage, ChatOptions, ChatRequest, ContentPart, MessageContent, StopReason, Tool, ToolCall as GenaiCall,
    ToolResponse, Usage,
};
use serde_json::{Map, Value};

use crate::ports::{Finish, ModelMessage, ModelRequest, ToolCall};

/// Between a call's own id and what its provider wants back with it (Gemini signs its thoughts). Not in any provider's ids.
const SIGNATURE_MARK: char = '\u{1f}';

/// What came back, before anybody counts money.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    /// As the provider counted; `None` when it does not say.
    pub(super) tokens_in: Option<u64>,
    pub(super) tokens_out: Option<u64>,
    pub(super) finish: Finish,
}

/// The request in the library's words.
pub(super) fn request(request: &ModelRequest) -> ChatRequest {
    let messages = request.messages.iter().map(|message| match message {
        ModelMessage::User { text } => ChatMessage::user(text.as_str()),
        ModelMessage::Assistant { text, calls } => assistant(text, calls),
        ModelMessage::Tool { call_id, text } => tool_result(call_id, text, &request.messages),
    });
    let tools: Vec<Tool> = request
        .tools
        .iter()
        .map(|tool| {
            Tool::new(tool.name.as_str()).with_description(tool.description.as_str()).with_schema(tool.schema.clone())
        })
        .collect();
    let chat = ChatRequest::from_messages(messages.collect());
    let chat = if request.system.is_empty() { chat } else { chat.with_system(request.system.as_str()) };
    if tools.is_empty() { chat } else { chat.with_tools(tools) }
}

/// What is asked of the library for every call.
pub(super) fn options(request: &ModelRequest) -> ChatOptions {
    ChatOptions::default()
        .with_max_tokens(request.max_tokens)
        .with_capture_usage(true)
        .with_capture_content(true)
        .with_capture_tool_calls(true)
}

fn assistant(text: &str, calls: &[ToolCall]) -> ChatMessage {
    let mut parts: Vec<ContentPart> = Vec::new();
    if !text.is_empty() {
        parts.push(ContentPart::from_text(text));
    }
    parts.extend(calls.iter().map(|call| {
        let (call_id, signature) = split_id(&call.id);
        ContentPart::ToolCall(GenaiCall {
            call_id: call_id.to_owned(),
            fn_name: call.name.clone(),
            fn_arguments: call.args.clone(),
            thought_signatures: signature.map(|signature| vec![signature.to_owned()]),
        })
    }));
    ChatMessage::assistant(MessageContent::from_parts(parts))
}

fn tool_result(id: &str, text: &str, messages: &[ModelMessage]) -> ChatMessage {
    let name = messages.iter().rev().find_map(|message| match message {
        ModelMessage::Assistant { calls, .. } => calls.iter().find(|call| call.id == id).map(|call| call.name.clone()),
        ModelMessage::User { .. } | ModelMessage::Tool { .. } => None,
    });
    let mut response = ToolResponse::new(split_id(id).0, text);
    response.fn_name = name;
    ChatMessage::from(response)
}

/// The provider's id of a call, and the signature that goes back with it.
fn split_id(id: &str) -> (&str, Option<&str>) {
    match id.split_once(SIGNATURE_MARK) {
        Some((id, signature)) => (id, Some(signature)),
        None => (id, None),
    }
}

/// The content of an answer.
pub(super) fn answer(content: MessageContent, usage: &Usage, stop: Option<&StopReason>) -> Answer {
    let mut text = String::new();
    let mut calls = Vec::new();
    for part in content.into_parts() {
        match part {
            ContentPart::Text(part) => text.push_str(&part),
            ContentPart::ToolCall(part) => calls.push(call(part)),
            _ => {}
        }
    }
    // A zero means that somebody did not count: no request is empty, and no answer that is shown.
    let count = |tokens: Option<i32>| tokens.and_then(|tokens| u64::try_from(tokens).ok()).filter(|tokens| *tokens > 0);
    let finish = match stop {
        _ if !calls.is_empty() => Finish::Tools,
        Some(StopReason::MaxTokens(_)) => Finish::Length,
        Some(StopReason::ContentFilter(_)) => Finish::Filtered,
        _ => Finish::Done,
    };
    Answer { text, calls, tokens_in: count(usage.prompt_tokens), tokens_out: count(usage.completion_tokens), finish }
}

fn call(call: GenaiCall) -> ToolCall {
    let signature = call.thought_signatures.and_then(|signatures| signatures.into_iter().next());
    let id = match signature {
        Some(signature) => format!("{}{SIGNATURE_MARK}{signature}", call.call_id),
        None => call.call_id,
    };
    let args = match call.fn_arguments {
        // No arguments at all, as some write it.
        Value::Null => Value::Object(Map::new()),
        Value::String(text) if text.trim().is_empty() => Value::Object(Map::new()),
        // A stream whose pieces were put together.
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    };
    ToolCall { id, name: call.fn_name, args }
}
