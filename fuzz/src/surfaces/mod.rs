//! One surface a module, each with `check(data)`: it panics when a rule is broken, for whatever bytes.
//!
//! The rules are here once: cargo-fuzz feeds them for hours, `cargo test` feeds them what was found before and what
//! proptest makes up. Inputs are made to be read by people: lines, and a rest.

pub mod cidr;
pub mod config;
pub mod forwarded;
pub mod request;
pub mod signature;
pub mod summary;
pub mod telegram;
pub mod template;
pub mod workflow;

use std::sync::{Arc, LazyLock};

use hookhand::domain::fault::Fault;
use hookhand::provider::Registry;

/// What a surface does with an input.
pub type Check = fn(&[u8]);

/// Every surface by the name of its target.
pub const ALL: [(&str, Check); 9] = [
    ("signature", signature::check),
    ("forwarded", forwarded::check),
    ("cidr", cidr::check),
    ("config", config::check),
    ("workflow", workflow::check),
    ("template", template::check),
    ("summary", summary::check),
    ("request", request::check),
    ("telegram", telegram::check),
];

/// The built-in providers; compiling every manifest takes longer than most inputs do.
static REGISTRY: LazyLock<Arc<Registry>> = LazyLock::new(|| Arc::new(Registry::builtin()));

/// The first line without its end, and the rest.
fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// One line, no longer than `max` characters, and nothing in it that a terminal or a reader could be led astray by.
fn one_line(text: &str, max: usize) {
    assert!(text.chars().count() <= max, "{} characters: {text:?}", text.chars().count());
    let leads_astray = |c: char| c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    assert!(!text.chars().any(leads_astray), "{text:?}");
}

/// What is said of a file that is refused: at least one fault, each with a line of that file.
fn faults_have_lines(faults: &[Fault], text: &str) {
    assert!(!faults.is_empty(), "refused without a reason");
    // A carriage return ends a line of YAML too, and what is missing at the end is missing on the line after the last.
    let lines = text.matches(['\n', '\r']).count() as u64 + 2;
    for fault in faults {
        let line = fault.line.unwrap_or_else(|| panic!("no line: {fault}"));
        assert!((1..=lines).contains(&line), "line {line} of {lines}: {fault}");
        assert!(!fault.message.is_empty());
    }
}
