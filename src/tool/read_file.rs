//! `read_file`: the beginning of a text file.

use std::io::Read;
use std::sync::Arc;

use async_trait::async_trait;

use super::files::{Files, reason};
use super::{Call, OUTPUT_BYTES_MAX, Tool, ToolContext, ToolFailure, ToolOutput, ToolSpec, specs};

/// The tool.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadFile;

#[async_trait]
impl Tool for ReadFile {
    fn spec(&self) -> &'static ToolSpec {
        &specs::READ_FILE
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let path = call.needed_text("path")?;
        let files = Arc::clone(&context.files);
        let read = tokio::task::spawn_blocking(move || read(&files, &path)).await;
        let output = read.map_err(|error| ToolFailure::failed(error.to_string()))?.map_err(ToolFailure::never_began)?;
        Ok(ToolOutput { value: context.redactor.clean(&output.0).into(), truncated: output.1, logs: String::new() })
    }
}

/// The text, and whether more is there.
fn read(files: &Files, path: &str) -> Result<(String, bool), String> {
    let file = files.open(path)?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|e| format!("{path}: {}", reason(&e)))?;
    let cut = bytes.len() > OUTPUT_BYTES_MAX;
    bytes.truncate(OUTPUT_BYTES_MAX);
    if cut
        && let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
    {
        // The cut went through a character.
        bytes.truncate(error.valid_up_to());
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), cut))
}
