//! Keeps the shape of the code: layers, places of the outside world, file sizes, module docs.

use std::fs;
use std::path::{Path, PathBuf};

/// Levels of modules: a module imports from its own level's own files and from lower levels only.
const LEVELS: &[&[&str]] = &[
    &["domain", "lifecycle", "telemetry"],
    &["ports", "config"],
    &["ledger", "provider", "outbound", "model"],
    &["queue", "tool"],
    &["workflow"],
    &["agent"],
    &["intake", "channel", "dashboard"],
    &["app"],
    &["prove"],
    &["cli"],
];

/// Pairs that are forbidden although the levels would allow them.
const FORBIDDEN: &[(&str, &str)] = &[
    ("ledger", "config"),
    ("intake", "agent"),
    ("intake", "workflow"),
    ("intake", "model"),
    ("channel", "model"),
    ("ledger", "model"),
    ("channel", "workflow"),
    ("channel", "agent"),
    ("intake", "channel"),
    ("channel", "intake"),
    ("dashboard", "intake"),
    ("dashboard", "channel"),
    ("channel", "dashboard"),
    ("intake", "dashboard"),
    ("provider", "ledger"),
    ("ledger", "provider"),
];

/// What may be named only in files whose path begins with one of these.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("warp::", &["intake/", "dashboard/", "cli/bench/"]),
    ("rusqlite", &["ledger/sqlite/"]),
    ("teloxide", &["channel/telegram/"]),
    ("reqwest", &["outbound/", "channel/telegram/", "model/"]),
    ("genai::", &["model/"]),
    ("std::env::", &["config/", "cli/", "main.rs"]),
    ("println!", &[]),
    ("thread_rng", &[]),
];

/// Most lines of a file, its tests aside.
const FILE_LINES_MAX: usize = 600;

struct Source {
    path: String,
    code: String,
    whole: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 40, "the walk found only {} files", files.len());
    files
        .into_iter()
        .map(|file| {
            let whole = fs::read_to_string(&file).expect("a source file is readable");
            let code = whole.split("#[cfg(test)]\nmod ").next().expect("split gives one part at least").to_owned();
            let path = file.strip_prefix(&root).expect("under src").to_string_lossy().into_owned();
            Source { path, code, whole }
        })
        .collect()
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder is readable") {
        let path = entry.expect("an entry is readable").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

fn module_of(path: &str) -> &str {
    path.split('/').next().expect("a path has a first part").trim_end_matches(".rs")
}

fn level(module: &str) -> Option<usize> {
    LEVELS.iter().position(|names| names.contains(&module))
}

/// Names of the modules that a file uses: `crate::name`.
fn uses(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (_, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for rest in line.split("crate::").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            names.push(name);
        }
    }
    names
}

fn faults(check: impl Fn(&Source) -> Vec<String>) {
    let faults: Vec<String> = sources().iter().flat_map(check).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_module_imports_from_earlier_layers_only() {
    faults(|source| {
        let from = module_of(&source.path);
        let Some(own) = level(from) else {
            assert!(["lib", "main"].contains(&from), "{from} has no level: give it one in tests/it/tidy.rs");
            return Vec::new();
        };
        uses(&source.code)
            .into_iter()
            .filter(|to| to != from)
            .filter(|to| {
                let upward = level(to).is_some_and(|level| level > own);
                upward || FORBIDDEN.contains(&(from, to.as_str()))
            })
            .map(|to| format!("{}: {from} must not import {to}", source.path))
            .collect()
    });
}

#[test]
fn the_outside_world_is_touched_in_one_place_each() {
    faults(|source| {
        ONLY_IN
            .iter()
            .filter(|(word, places)| {
                let named = source.code.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word));
                named && !places.iter().any(|place| source.path.starts_with(place))
            })
            .map(|(word, places)| format!("{}: '{word}' belongs in {places:?}", source.path))
            .collect()
    });
}

#[test]
fn every_file_says_what_it_is_and_stays_short() {
    faults(|source| {
        let mut faults = Vec::new();
        if !source.whole.starts_with("//!") {
            faults.push(format!("{}: does not open with //!", source.path));
        }
        let lines = source.code.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{}: {lines} lines, more than {FILE_LINES_MAX}", source.path));
        }
        faults
    });
}

#[test]
fn the_check_for_layers_sees_a_forbidden_import() {
    assert_eq!(uses("use crate::agent::Triage;\n// crate::app\nlet x = crate::cli::main;"), ["agent", "cli"]);
    assert!(level("agent") > level("ledger"));
}
