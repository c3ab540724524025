//! `memory_search`: remembered facts by their words.

use async_trait::async_trait;
use serde_json::json;

use super::memory_store::{failure, section};
use super::{
    Call, MEMORY_LIMIT_DEFAULT, MEMORY_LIMIT_MAX, OUTPUT_BYTES_MAX, Tool, ToolContext, ToolFailure, ToolOutput,
    ToolSpec, specs,
};

/// Longest query, in characters; a longer one is cut.
const QUERY_CHARS_MAX: usize = 1000;

/// The tool.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemorySearch;

#[async_trait]
impl Tool for MemorySearch {
    fn spec(&self) -> &'static ToolSpec {
        &specs::MEMORY_SEARCH
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let query: String = call.needed_text("query")?.chars().take(QUERY_CHARS_MAX).collect();
        let limit = call.integer("limit", 1, MEMORY_LIMIT_MAX as u64)?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MEMORY_LIMIT_DEFAULT);
        let found = context.memory.recall(&query, section(call)?.as_deref(), limit).await.map_err(failure)?;
        let (mut facts, mut bytes, count) = (Vec::new(), 0, found.len());
        for fact in found {
            let fact = json!(fact);
            bytes += fact.to_string().len() + 1;
            if bytes > OUTPUT_BYTES_MAX {
                break;
            }
            facts.push(fact);
        }
        let truncated = facts.len() < count;
        Ok(ToolOutput { value: facts.into(), truncated, logs: String::new() })
    }
}
