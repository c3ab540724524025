//! `memory_store`: a fact that is remembered.

use async_trait::async_trait;
use serde_json::json;

use super::{Call, Tool, ToolContext, ToolFailure, ToolOutput, ToolSpec, specs};
use crate::domain::text::{clip_chars, one_line};
use crate::ledger::LedgerError;

/// Longest fact, in bytes.
pub const FACT_BYTES_MAX: usize = 16 * 1024;
/// Longest name of a section, in characters; a longer one is cut.
pub const SECTION_CHARS_MAX: usize = 100;
/// The section of facts that name none.
pub const SECTION_DEFAULT: &str = "General";

/// The tool.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryStore;

#[async_trait]
impl Tool for MemoryStore {
    fn spec(&self) -> &'static ToolSpec {
        &specs::MEMORY_STORE
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let fact = call.needed_text("fact")?;
        if fact.trim().is_empty() {
            return Err(ToolFailure::never_began("the fact is empty"));
        }
        if fact.len() > FACT_BYTES_MAX {
            let message = format!("the fact has {} bytes, more than {FACT_BYTES_MAX}", fact.len());
            return Err(ToolFailure::NeverBegan { message });
        }
        let section = section(call)?.unwrap_or_else(|| SECTION_DEFAULT.to_owned());
        let fact = context.redactor.clean(&fact).into_owned();
        let tainted = !call.tainted.is_empty();
        let kept = context.memory.remember(&call.idempotency_key, &section, &fact, tainted, context.clock.now()).await;
        kept.map_err(failure)?;
        Ok(ToolOutput::of(json!({ "section": section, "fact": fact })))
    }
}

/// The argument `section` as one short line.
pub(super) fn section(call: &Call) -> Result<Option<String>, ToolFailure> {
    let section = call.text("section")?.map(|text| clip_chars(&one_line(&text), SECTION_CHARS_MAX));
    Ok(section.filter(|section| !section.is_empty()))
}

/// What a ledger's refusal means for a call.
pub(super) fn failure(error: LedgerError) -> ToolFailure {
    match error {
        LedgerError::Busy | LedgerError::Invalid(_) | LedgerError::NotFound(_) => {
            ToolFailure::never_began(error.to_string())
        }
        LedgerError::Unavailable(_) => ToolFailure::Unknown { message: error.to_string() },
    }
}
