//! Answers on a terminal: the same marks and the same allowed links as in Telegram, dressed by termimad where there is colour.

use serde_json::Value;
use termimad::MadSkin;

use super::super::out;
use crate::domain::speech::Speech;

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

/// Prints an answer.
pub(super) fn answer(turn: &Value) -> anyhow::Result<()> {
    let links = turn["links"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let speech = Speech::parse(turn["text"].as_str().unwrap_or_default(), &links.collect::<Vec<_>>());
    if !out::colour() {
        return Ok(speech.plain().lines().try_for_each(|line| out::line(out::harmless(line)))?);
    }
    let text: Vec<String> = marked(&speech).lines().map(out::harmless).collect();
    let skin = MadSkin::default();
    Ok(out::line(skin.term_text(&text.join("\n")).to_string().trim_end())?)
}

/// The text with its marks written out again: what was read as a mark is one, and nothing else is.
fn marked(speech: &Speech) -> String {
    let mut text = String::new();
    for run in speech.runs() {
        let shown = run.plain();
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
    fn marks_are_written_out_again_and_addresses_are_broken_up() {
        let ok = "https://ok.example/1".to_owned();
        let speech = Speech::parse("**two words** and `x` [pr](https://ok.example/1) https://evil.example", &[ok]);
        assert_eq!(marked(&speech), "**two words** and `x` pr (https://ok.example/1) `https[:]//evil[.]example`");
    }
}
