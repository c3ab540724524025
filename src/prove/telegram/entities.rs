//! HTML as Telegram takes it: what a person sees of it and where its links lead, or Telegram's complaint.

use serde_json::Value;

use super::methods::{Refusal, bad};

/// Visible text and links, or Telegram's complaint.
pub(super) fn parse(params: &Value, raw: &str) -> Result<(String, Vec<String>, bool), Refusal> {
    match params["parse_mode"].as_str() {
        None => Ok((raw.to_owned(), Vec::new(), false)),
        Some(mode) if mode.eq_ignore_ascii_case("html") => {
            let (visible, links) = parse_html(raw).map_err(|why| bad(&format!("can't parse entities: {why}")))?;
            Ok((visible, links, true))
        }
        Some(_) => Err(bad("unsupported parse_mode")),
    }
}

fn parse_html(raw: &str) -> Result<(String, Vec<String>), String> {
    const TAGS: &[&str] =
        &["b", "strong", "i", "em", "u", "ins", "s", "del", "code", "pre", "a", "blockquote", "tg-spoiler"];
    let (mut visible, mut links, mut open) = (String::new(), Vec::new(), Vec::<String>::new());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        if c == '<' {
            let at = raw.len() - rest.len();
            let end = rest.find('>').ok_or(format!("Unclosed start tag at byte offset {at}"))?;
            let tag = &rest[1..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                let expected = open.pop().ok_or(format!("Unexpected end tag at byte offset {at}"))?;
                if expected != name {
                    return Err(format!(
                        "Unmatched end tag at byte offset {at}, expected \"</{expected}>\", found \"</{name}>\""
                    ));
                }
                continue;
            }
            let name = tag.split_whitespace().next().unwrap_or_default();
            if !TAGS.contains(&name) {
                return Err(format!("Unsupported start tag \"{name}\" at byte offset {at}"));
            }
            if name == "a" {
                let href = tag.split_once("href=\"").and_then(|(_, rest)| rest.split_once('"'));
                let (href, _) = href.ok_or(format!("Unclosed attribute at byte offset {at}"))?;
                links.push(unescape(href));
            }
            open.push(name.to_owned());
        } else if c == '&' {
            let known = ["&lt;", "&gt;", "&amp;", "&quot;"].into_iter().find(|known| rest.starts_with(known));
            let taken = known.unwrap_or("&");
            visible.push_str(&unescape(taken));
            rest = &rest[taken.len()..];
        } else {
            visible.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    match open.pop() {
        Some(name) => Err(format!("Can't find end tag corresponding to start tag \"{name}\"")),
        None => Ok((visible, links)),
    }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
