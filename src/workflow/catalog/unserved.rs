//! Files of the folder that serve no workflow: they never loaded, or another file has their name. People mend them by what is
//! wrong at which line, so they are shown like the others.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::Catalog;
use super::files::FileState;
use super::switch::text_of;
use crate::domain::fault::Fault;

/// A file that serves no workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    /// Its name within the folder, which no workflow can have: it has a dot.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

impl Unserved {
    /// Its text as it is on disk now; `None` when it is gone, too large or no text.
    pub fn text(&self) -> Option<String> {
        text_of(&self.path)
    }
}

impl Catalog {
    /// The files that serve no workflow, by name.
    pub fn unserved(&self) -> Vec<Unserved> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.iter().filter(|(_, state)| serves_nothing(state)).map(|(path, state)| unserved(path, state)).collect()
    }
}

fn serves_nothing(state: &FileState) -> bool {
    state.good.is_none() || state.is_double()
}

fn unserved(path: &Path, state: &FileState) -> Unserved {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Unserved { name, path: path.to_owned(), faults: state.faults.clone() }
}
