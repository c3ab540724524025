//! The rules of `fuzz/src/surfaces` on what fuzzing found before, on the corpora it starts from, and on what proptest makes up.
//!
//! Hours of the same rules are cargo-fuzz's (docs/FUZZING.md); here they take seconds.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use crate::surfaces;

/// Inputs that proptest makes up for one surface; fewer where one goes through every provider's templates.
const CASES: u32 = 48;
const CASES_SLOW: u32 = 8;

/// Files of a folder of `fuzz/`, sorted; none when there is no such folder.
fn inputs(of: &str, surface: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(of).join(surface);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

/// Every input of the corpus and of the regressions, then damaged ones.
fn holds(surface: &str) {
    let (_, check) = surfaces::ALL.into_iter().find(|(name, _)| *name == surface).expect("a surface");
    let corpus = inputs("corpus", surface);
    assert!(!corpus.is_empty(), "{surface} has no corpus");
    for (path, data) in inputs("regressions", surface).iter().chain(&corpus) {
        let outcome = std::panic::catch_unwind(|| check(data));
        assert!(outcome.is_ok(), "{} breaks a rule", path.display());
    }
    let seeds = corpus.into_iter().map(|(_, data)| data).collect();
    let cases = if surface == "summary" { CASES_SLOW } else { CASES };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&damaged(seeds, words(surface)), |data| {
        check(&data);
        Ok(())
    });
    if let Err(TestError::Fail(why, data)) = outcome {
        panic!("{surface}: {why}\n{}", data.escape_ascii());
    }
}

macro_rules! surfaces {
    ($($surface:ident)*) => {$(
        #[test]
        fn $surface() {
            holds(stringify!($surface));
        }
    )*
        #[test]
        fn every_surface_is_tested_and_has_a_target() {
            let manifest = include_str!("../../fuzz/Cargo.toml");
            let tested = [$(stringify!($surface)),*];
            assert_eq!(tested.len(), surfaces::ALL.len());
            for (surface, _) in surfaces::ALL {
                assert!(tested.contains(&surface), "{surface}");
                assert!(manifest.contains(&format!("path = \"targets/{surface}.rs\"")), "{surface}");
            }
        }
    };
}

surfaces! { signature forwarded cidr config workflow template summary request telegram }

/// A piece of a seed with some bytes of it replaced: what a mutating fuzzer does first.
fn damaged(seeds: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let put = prop_oneof![
        3 => prop::sample::select(words),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, put), 0..4);
    (prop::sample::select(seeds), edits).prop_map(|(mut bytes, edits)| {
        for (at, cut, put) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, put);
        }
        bytes
    })
}

/// The words of a dictionary.
fn words(surface: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/dictionaries/{surface}.dict"));
    let text = fs::read_to_string(path).expect("a dictionary");
    let words = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    words.map(|word| word.replace("\\x0a", "\n").replace("\\\"", "\"").replace("\\\\", "\\").into_bytes()).collect()
}
