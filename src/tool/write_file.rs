//! `write_file`: a file with new content, as a whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fs::{AtFlags, Mode, OFlags};
use serde_json::json;

use super::files::{Files, Place, reason};
use super::{Call, Tool, ToolContext, ToolFailure, ToolOutput, ToolSpec, bytes_of, specs};

/// Largest file that is written, in bytes.
pub const WRITE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rights of a file that was not there before.
const NEW_FILE_MODE: u32 = 0o640;

/// The tool.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteFile;

#[async_trait]
impl Tool for WriteFile {
    fn spec(&self) -> &'static ToolSpec {
        &specs::WRITE_FILE
    }

    async fn run(&self, call: &Call, context: &ToolContext) -> Result<ToolOutput, ToolFailure> {
        let path = call.needed_text("path")?;
        let missing = || ToolFailure::never_began("the argument 'content' is missing");
        let content = bytes_of(call.arg("content").ok_or_else(missing)?);
        if content.len() > WRITE_BYTES_MAX {
            let message = format!("the content has {} bytes, more than {WRITE_BYTES_MAX}", content.len());
            return Err(ToolFailure::NeverBegan { message });
        }
        let files = Arc::clone(&context.files);
        let draft = format!(".{}.new", context.ids.token());
        let written = tokio::task::spawn_blocking(move || write(&files, &path, &content, &draft)).await;
        written.map_err(|error| ToolFailure::failed(error.to_string()))?
    }
}

fn write(files: &Files, path: &str, content: &[u8], draft: &str) -> Result<ToolOutput, ToolFailure> {
    let place = files.place(path).map_err(ToolFailure::never_began)?;
    replace(&place, content, draft)
        .map_err(|error| ToolFailure::failed(format!("{}: {}", place.path.display(), reason(&error))))?;
    Ok(ToolOutput::of(json!({ "path": place.path.to_string_lossy(), "bytes": content.len() })))
}

/// Writes beside the file and puts it in its place: whoever reads sees the old content or the new, also after a crash.
fn replace(place: &Place, content: &[u8], draft: &str) -> io::Result<()> {
    let old = rustix::fs::statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW).ok();
    let mode = old.filter(|old| rustix::fs::FileType::from_raw_mode(old.st_mode).is_file());
    let mode = mode.map_or(NEW_FILE_MODE, |old| old.st_mode & 0o777);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(&place.folder, draft, flags, Mode::from_raw_mode(mode))?);
    let done = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(rustix::fs::renameat(&place.folder, draft, &place.folder, &place.name)?));
    if done.is_err() {
        // What was begun is of no use to anybody; the error that matters is the first.
        let _left = rustix::fs::unlinkat(&place.folder, draft, AtFlags::empty());
    }
    done?;
    Ok(rustix::fs::fsync(&place.folder)?)
}
