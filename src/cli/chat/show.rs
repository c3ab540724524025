//! Answers on a terminal: the same marks and the same allowed links as in Telegram, dressed by termimad where there is colour.

use serde_json::{Value, json};
use termimad::MadSkin;

use super::super::out;
use crate::domain::speech::Speech;
use crate::domain::text::one_line;

/// How much of a line that is being written is shown, in characters: its end, so that it fits beside the mark.
const TAIL_CHARS_MAX: usize = 60;
/// Empty lines in a row that are printed between parts of an answer.
const EMPTY_LINES_MAX: usize = 1;

/// Prints a message of a command.
pub(super) fn message(message: &Value) -> anyhow::Result<()> {
    out::line(out::harmless(message["title"].as_str().unwrap_or_default()))?;
    for line in message["lines"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        for line in line.lines() {
            out::line(format!("  {}", out::harmless(line)))?;
        }
    }
    if let Some(url) = message["url"].as_str() {
        out::line(format!("  {}", out::harmless(url)))?;
    }
    Ok(())
}

/// Prints answers while they grow: what is a whole line, or a whole block of code, is dressed and printed; the rest waits.
#[derive(Debug, Default)]
pub(super) struct Growing {
    /// What was printed of the text that grows, as it was written.
    printed: String,
    /// The last line of the terminal shows what is being written.
    hinted: bool,
}

impl Growing {
    /// Shows on a terminal that something is being written, and the end of it.
    pub(super) fn hint(&mut self, unfinished: &str, links: &[String]) -> anyhow::Result<()> {
        if out::colour() {
            let line = one_line(&Speech::parse(unfinished, links).in_terminal());
            let tail = line.chars().count().saturating_sub(TAIL_CHARS_MAX);
            out::transient(&format!("… {}", out::harmless(&line.chars().skip(tail).collect::<String>())))?;
            self.hinted = true;
        }
        Ok(())
    }

    /// Takes the hint away.
    pub(super) fn clear(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.hinted) {
            out::transient("")?;
        }
        Ok(())
    }

    /// Prints what is new and whole in `turn`, and at its end everything.
    pub(super) fn show(&mut self, turn: &Value) -> anyhow::Result<()> {
        let text = turn["text"].as_str().unwrap_or_default();
        let links = turn["links"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let links: Vec<String> = links.collect();
        let ended = turn["ended"] == json!(true);
        // The model began anew, or what is kept is another text than what grew: what was printed stands above it.
        if !text.starts_with(&self.printed) {
            self.printed.clear();
        }
        let rest = &text[self.printed.len()..];
        let new = if ended { rest } else { &rest[..whole(rest)] };
        self.clear()?;
        if !new.trim().is_empty() {
            dressed(new, &links)?;
        }
        self.printed.push_str(new);
        if ended { Ok(()) } else { self.hint(&rest[new.len()..], &links) }
    }
}

/// How much of a text that grows is whole lines, without a block of code that is still open.
fn whole(text: &str) -> usize {
    let (mut at, mut end, mut in_block) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        if !line.ends_with('\n') {
            break;
        }
        at += line.len();
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        if !in_block {
            end = at;
        }
    }
    end
}

/// Prints a text of a model.
fn dressed(text: &str, links: &[String]) -> anyhow::Result<()> {
    // Speech takes empty lines at the ends away; between two parts of one answer they belong there.
    for _ in 0..text.chars().take_while(|c| *c == '\n').count().min(EMPTY_LINES_MAX) {
        out::line("")?;
    }
    let speech = Speech::parse(text, links);
    let end = text.len() - text.trim_end_matches('\n').len();
    print(&speech)?;
    for _ in 1..end.clamp(1, 1 + EMPTY_LINES_MAX) {
        out::line("")?;
    }
    Ok(())
}

fn print(speech: &Speech) -> anyhow::Result<()> {
    if !out::colour() {
        return Ok(speech.in_terminal().lines().try_for_each(|line| out::line(out::harmless(line)))?);
    }
    let text: Vec<String> = marked(speech).lines().map(out::harmless).collect();
    let skin = MadSkin::default();
    Ok(out::line(skin.term_text(&text.join("\n")).to_string().trim_end())?)
}

/// The text with its marks written out again: what was read as a mark is one, and nothing else is.
fn marked(speech: &Speech) -> String {
    let mut text = String::new();
    for run in speech.runs() {
        let shown = run.in_terminal();
        let style = run.style;
        if style.block {
            text.push_str(&format!("```\n{}\n```", shown.trim_matches('\n')));
        } else if style.code {
            text.push_str(&format!("`{}`", shown.replace('`', "'")));
        } else {
            let sign = if style.bold {
                "**"
            } else if style.italic {
                "*"
            } else {
                ""
            };
            let spaces = |text: &str| text.len() - text.trim_start().len();
            let (start, body) = shown.split_at(spaces(&shown));
            let bare = body.trim_end();
            let sign = if bare.is_empty() { "" } else { sign };
            text.push_str(&format!("{start}{sign}{}{sign}{}", bare.replace(['*', '`'], ""), &body[bare.len()..]));
        }
        if let Some(link) = run.link.filter(|link| *link != run.text) {
            text.push_str(&format!(" ({link})"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_printed_and_a_block_when_it_is_closed() {
        let upto = |text: &str| text[..whole(text)].to_owned();
        assert_eq!(upto("one\ntwo"), "one\n");
        assert_eq!(upto("one\n```\nlet a;\n"), "one\n");
        assert_eq!(upto("one\n```\nlet a;\n```\nthree"), "one\n```\nlet a;\n```\n");
        assert_eq!(upto("no end"), "");
    }

    #[test]
    fn marks_are_written_out_again_and_addresses_are_broken_up() {
        let ok = "https://ok.example/1".to_owned();
        let speech = Speech::parse("**two words** and `x` [pr](https://ok.example/1) https://evil.example", &[ok]);
        assert_eq!(marked(&speech), "**two words** and `x` pr (https://ok.example/1) `https[:]//evil.example`");
    }
}
