//! The files themselves: which there are, whether they changed, and what is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{FILES_MAX, is_workflow_file};
use crate::domain::fault::Fault;
use crate::workflow::definition::{FILE_BYTES_MAX, Known, Rejected, Workflow};

/// How the fault of a name that is used twice begins.
const DOUBLE: &str = "the name is taken by ";

/// What tells one state of a file from another. Length and inode are there since a clock may be coarse, and editors
/// replace files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

/// What is known of one file.
#[derive(Debug, Clone)]
pub(super) struct FileState {
    pub(super) stamp: Stamp,
    /// The workflow as it last was good.
    pub(super) good: Option<Arc<Workflow>>,
    /// What is wrong with the file as it is.
    pub(super) faults: Vec<Fault>,
    /// What is probably not meant in a file that has faults; a good one's workflow has its own.
    pub(super) notes: Vec<Fault>,
}

impl FileState {
    /// Whether another file serves the name.
    pub(super) fn is_double(&self) -> bool {
        self.faults.iter().any(is_double)
    }
}

pub(super) fn is_double(fault: &Fault) -> bool {
    fault.message.starts_with(DOUBLE)
}

pub(super) fn double(workflow: &Workflow, owner: &str) -> Fault {
    Fault {
        file: workflow.file.clone(),
        line: None,
        column: None,
        key: Some("name".to_owned()),
        message: format!("{DOUBLE}{owner}"),
        hint: Some(format!("'{}' is served from there; give this one another name", workflow.name)),
    }
}

/// The workflow files of a folder; links are followed.
pub(super) fn list(folder: &Path, faults: &mut Vec<Fault>) -> BTreeMap<PathBuf, Stamp> {
    let mut found = BTreeMap::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return found,
        Err(error) => {
            faults.push(whole(folder, format!("cannot be read: {error}")));
            return found;
        }
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.filter(|path| is_workflow_file(path) && !is_hidden(path)).collect();
    paths.sort();
    if paths.len() > FILES_MAX {
        faults.push(whole(folder, format!("holds more than {FILES_MAX} workflow files; the rest is left out")));
        paths.truncate(FILES_MAX);
    }
    for path in paths {
        let Ok(meta) = std::fs::metadata(&path) else { continue };
        if meta.is_file() {
            let inode = std::os::unix::fs::MetadataExt::ino(&meta);
            found.insert(path, Stamp { modified: meta.modified().ok(), len: meta.len(), inode });
        }
    }
    found
}

/// Editors keep half-written files under names that begin with a dot.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Reads one file.
pub(super) fn read(path: &Path, known: &Known) -> Result<Workflow, Rejected> {
    let shown = path.display().to_string();
    let rejected = |message: String| Err(Rejected { faults: vec![whole(path, message)], notes: Vec::new() });
    let bytes = std::fs::metadata(path)
        .and_then(|meta| if meta.len() > FILE_BYTES_MAX as u64 { Ok(None) } else { std::fs::read(path).map(Some) });
    let bytes = match bytes {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return rejected(format!("is larger than {FILE_BYTES_MAX} bytes")),
        Err(error) => return rejected(format!("cannot be read: {error}")),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Workflow::parse_with_notes(&shown, &text, known),
        Err(_) => rejected("is not UTF-8 text".to_owned()),
    }
}

fn whole(path: &Path, message: String) -> Fault {
    Fault { file: path.display().to_string(), line: None, column: None, key: None, message, hint: None }
}
