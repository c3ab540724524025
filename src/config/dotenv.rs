//! `.env`: `NAME=value` lines, read by `dotenvy` and never put into the process's environment (that would be a data race and
//! would leak secrets into every program that a workflow starts). A bad line is a fault that shows no part of the line.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::files::{self, DOTENV_BYTES_MAX};
use crate::domain::fault::Fault;

/// What `.env` says: each value with its line.
#[derive(Default)]
pub(super) struct DotEnv {
    /// The file as faults name it.
    pub(super) file: String,
    /// Name → (value, line).
    pub(super) values: BTreeMap<String, (String, u64)>,
}

/// Reads `path` (none there: nothing), told as `shown`. Adds what is wrong to `faults` and what is odd to `notes`.
pub(super) fn read(path: &Path, shown: &str, faults: &mut Vec<Fault>, notes: &mut Vec<Fault>) -> DotEnv {
    let mut dotenv = DotEnv { file: shown.to_owned(), values: BTreeMap::new() };
    match files::read_text(path, DOTENV_BYTES_MAX) {
        Ok(text) => parse(&text, &mut dotenv, faults, notes),
        Err(error) if error.not_found => {}
        Err(error) => faults.push(fault(shown, None, error.message)),
    }
    dotenv
}

fn parse(text: &str, dotenv: &mut DotEnv, faults: &mut Vec<Fault>, notes: &mut Vec<Fault>) {
    let text = text.trim_start_matches('\u{feff}');
    let line = Cell::new(0);
    let lines = LineReader { rest: text.as_bytes(), line: &line };
    for item in dotenvy::from_read_iter(lines) {
        match item {
            Ok((name, value)) => {
                let at = line.get().saturating_sub(newlines(&value));
                if let Some((_, first)) = dotenv.values.insert(name.clone(), (value, at)) {
                    let mut note =
                        fault(&dotenv.file, Some(at), format!("{name} is set a second time; the last one counts"));
                    note.hint = Some(format!("first on line {first}"));
                    notes.push(note);
                }
            }
            Err(dotenvy::Error::LineParse(rest, _)) => {
                let at = line.get().saturating_sub(newlines(rest.trim_end_matches('\n')));
                let mut bad = fault(&dotenv.file, Some(at), "this line is not NAME=value".to_owned());
                bad.hint = Some("put a value with spaces, '#', '$' or quotes in single quotes".to_owned());
                faults.push(bad);
            }
            Err(_) => faults.push(fault(&dotenv.file, Some(line.get()), "cannot be read on".to_owned())),
        }
    }
}

fn newlines(text: &str) -> u64 {
    text.matches('\n').count() as u64
}

fn fault(file: &str, line: Option<u64>, message: String) -> Fault {
    Fault { file: file.to_owned(), line, column: None, key: None, message, hint: None }
}

/// Hands out one line per read, so that the count of lines is that of what `dotenvy` has taken.
struct LineReader<'a> {
    rest: &'a [u8],
    line: &'a Cell<u64>,
}

impl Read for LineReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let taken = end.min(buffer.len());
        let (head, tail) = self.rest.split_at(taken);
        buffer[..taken].copy_from_slice(head);
        self.rest = tail;
        if taken > 0 && (head.ends_with(b"\n") || tail.is_empty()) {
            self.line.set(self.line.get() + 1);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_line_is_told_by_its_number_and_none_is_shown() {
        let text = "# c\nA=1\n\nB C hunter2\nD='two\nlines'\nexport E=5 # x\nF=a b\nA=2\nG=\"open hunter2\n";
        let (mut dotenv, mut faults, mut notes) = (DotEnv::default(), Vec::new(), Vec::new());
        dotenv.file = ".env".into();
        parse(text, &mut dotenv, &mut faults, &mut notes);
        let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [Some(4), Some(8), Some(10)]);
        assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
        assert_eq!(dotenv.values.get("D"), Some(&("two\nlines".to_owned(), 5)));
        assert_eq!(dotenv.values.get("E"), Some(&("5".to_owned(), 7)));
        assert_eq!(dotenv.values.get("A"), Some(&("2".to_owned(), 9)));
        assert_eq!(
            notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [".env:9: A is set a second time; the last one counts (first on line 2)"]
        );
    }
}
