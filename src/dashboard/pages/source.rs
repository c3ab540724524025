//! A workflow's file as it is on disk, what is wrong with it at its lines.

use maud::{Markup, html};

use super::parts;
use crate::domain::fault::Fault;
use crate::domain::text::{clip_chars, spelled_line};

/// Longest line of a source, in characters.
const SOURCE_CHARS_MAX: usize = 240;
/// Bytes of markup that the lines take.
const SOURCE_BYTES_MAX: usize = 32 * 1024;
/// Faults that are listed where they have no line.
const FAULTS_MAX: usize = 50;

/// The text of `file` with `faults` and `notes` at their lines; `told` is the consequence of its faults.
pub(super) fn source(file: &str, text: &str, faults: &[Fault], notes: &[Fault], told: &str) -> Markup {
    let of_line = |line: usize| faults.iter().chain(notes).filter(move |fault| fault.line == u64::try_from(line).ok());
    let lines: Vec<(usize, &str)> = (1..).zip(text.lines()).collect();
    let row = |(number, line): &(usize, &str)| {
        html! {
            span.fault[of_line(*number).next().is_some()] { (clip_chars(&spelled_line(line), SOURCE_CHARS_MAX)) @if line.is_empty() { " " } }
            @for fault in of_line(*number) { em { (words(fault)) } }
        }
    };
    let shown = parts::within(&lines, SOURCE_BYTES_MAX, |_| false, row);
    let is_elsewhere = |fault: &&Fault| fault.line.is_none_or(|line| line > shown.len() as u64 || line == 0);
    html! {
        section aria-labelledby="h-source" {
            div.title { h2 id="h-source" { "Definition" } small.mono { (parts::title(file)) } }
            @if !faults.is_empty() { p.note.bad { (told) } }
            @for fault in faults.iter().filter(is_elsewhere).take(FAULTS_MAX) { p.note.bad.gap { (words(fault)) } }
            @if !text.is_empty() {
                pre.code.source.gap tabindex="0" { @for line in &shown { (line) } }
            }
            @if lines.len() > shown.len() { p.soft.gap { "The file goes on; " (shown.len()) " of " (lines.len()) " lines are shown." } }
        }
    }
}

fn words(fault: &Fault) -> Markup {
    html! { (parts::told(&fault.message)) @if let Some(hint) = &fault.hint { " (" (parts::told(hint)) ")" } }
}
