//! Which files a command would execute: the program and the scripts that its words name within the step's folders.
//!
//! An approval covers their bytes. Programs of the system are not among them: whoever can change those is past any gate.

use std::path::{Path, PathBuf};

use super::PATH_DEFAULT;
use crate::tool::files::Files;

/// Most files that one command's words are searched for.
pub const FOUND_PROGRAMS_MAX: usize = 256;
/// What separates words of a shell's line, roughly: too many words are looked at rather than too few.
const SEPARATORS: &[char] = &[' ', '\t', '\n', ';', '|', '&', '(', ')', '<', '>', '"', '\'', '`', '=', '$', '{', '}'];

/// Words within words that are looked at.
const INNER_WORDS_MAX: usize = 1000;
/// Folders within the step's own that one command's words are looked for in besides `cwd` (`cd app && ./run.sh`).
const BASES_MAX: usize = 8;

/// Regular files that `words` name, with links resolved, each once, in order: within `cwd`, the files folder or the roots,
/// and the program itself wherever a path names it. A bare name that `search` leads to one of these folders counts as well,
/// and so do the words within a word (`bash -c "./x.sh --fast"`) and those behind a folder's name.
pub fn programs_in(words: &[String], cwd: &Path, search: Option<&str>, files: &Files) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut take = |path: PathBuf| {
        if found.len() < FOUND_PROGRAMS_MAX && !found.contains(&path) {
            found.push(path);
        }
    };
    for (at, word) in words.iter().enumerate() {
        // `--file=./x.sh` names a file too.
        let value = word.split_once('=').map(|(_, value)| value);
        for text in [Some(word.as_str()), value].into_iter().flatten() {
            let named = at == 0 && text.contains('/');
            if let Some(path) = regular_file(text, cwd).filter(|path| named || is_ours(path, cwd, files)) {
                take(path);
            }
        }
    }
    let inner: Vec<String> = words.iter().flat_map(|word| shell_words(word)).take(INNER_WORDS_MAX).collect();
    let folder =
        |word: &String| cwd.join(word).canonicalize().ok().filter(|path| path.is_dir() && is_ours(path, cwd, files));
    let bases = inner.iter().filter(|word| word.contains('/') || is_name(word)).filter_map(folder);
    let bases: Vec<PathBuf> = std::iter::once(cwd.to_path_buf()).chain(bases).take(BASES_MAX).collect();
    for word in &inner {
        let in_folders = bases.iter().filter_map(|base| regular_file(word, base));
        let on_path = search.filter(|_| !word.contains('/')).and_then(|_| resolve(word, cwd, search));
        for path in in_folders.chain(on_path).filter(|path| is_ours(path, cwd, files)) {
            take(path);
        }
    }
    found
}

/// Whether a word could name a folder beside the working one.
fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The words of a shell's line.
pub fn shell_words(command: &str) -> Vec<String> {
    command.split(SEPARATORS).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The program that `name` means when run in `cwd`: a path where it has a slash, else a file of the search path.
pub fn resolve(name: &str, cwd: &Path, search: Option<&str>) -> Option<PathBuf> {
    if name.contains('/') {
        return regular_file(name, cwd);
    }
    let folders = search.unwrap_or(PATH_DEFAULT).split(':').filter(|folder| !folder.is_empty());
    folders.filter_map(|folder| regular_file(&format!("{folder}/{name}"), cwd)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

fn regular_file(text: &str, cwd: &Path) -> Option<PathBuf> {
    let path = cwd.join(text).canonicalize().ok()?;
    path.is_file().then_some(path)
}

fn is_ours(path: &Path, cwd: &Path, files: &Files) -> bool {
    let inside = |folder: &Path| folder.canonicalize().is_ok_and(|folder| path.starts_with(folder));
    inside(cwd) || files.folders().iter().any(|folder| inside(folder))
}
