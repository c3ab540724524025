//! What a piece of the language reads: the engine's own answer, and every word that stands in it.

use std::collections::{BTreeSet, HashSet};

use super::scan::{self, Piece};

/// The names that the language has, in the order in which documentation lists them.
pub const NAMES: [&str; 8] = ["payload", "event", "facts", "inputs", "item", "steps", "previous_output", "error"];
/// In `wait_for_event.when` only: the event that the run itself came from.
pub(super) const RUN: &str = "run";
/// Functions and words of the language that are no variables.
const BUILTIN: [&str; 5] = ["range", "dict", "namespace", "loop", "self"];

/// What is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Paths of variables as they are written, `payload.release.tag_name`; only the first part where the rest is computed.
    pub paths: BTreeSet<String>,
    /// Every word, whatever it means there.
    pub words: BTreeSet<String>,
    /// Names of steps that are read by `steps["name"]`.
    pub quoted_steps: BTreeSet<String>,
}

impl Reads {
    pub(super) fn of_template(source: &str, undeclared: HashSet<String>) -> Self {
        let mut reads = Self { paths: undeclared.into_iter().collect(), ..Self::default() };
        for piece in scan::pieces(source) {
            match piece {
                Piece::Print(code) | Piece::Statement(code) => reads.add_code(code),
                Piece::Text(_) | Piece::Comment => {}
            }
        }
        reads.forget_builtin();
        reads
    }

    pub(super) fn of_expression(code: &str, undeclared: HashSet<String>) -> Self {
        let mut reads = Self { paths: undeclared.into_iter().collect(), ..Self::default() };
        reads.add_code(code);
        reads.forget_builtin();
        reads
    }

    fn add_code(&mut self, code: &str) {
        self.words.extend(scan::words(code).map(str::to_owned));
        self.quoted_steps.extend(scan::subscripts(code, "steps").into_iter().map(str::to_owned));
    }

    fn forget_builtin(&mut self) {
        self.paths.retain(|path| !BUILTIN.contains(&root(path)));
    }

    /// Whether the name `name` may be read.
    pub fn reads(&self, name: &str) -> bool {
        self.paths.iter().any(|path| root(path) == name) || self.words.contains(name)
    }

    /// The first parts of the paths.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|path| root(path))
    }
}

/// The first part of a path.
pub(super) fn root(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}
