//! Payloads to people: every provider makes a message of any JSON, within its limits, and Telegram gets nothing that it would
//! take for markup.
//!
//! Input: an event, then header lines (`name: value`), an empty line, and JSON (or a text, which is taken as one).

use hookhand::channel::telegram::fuzzing::rendered;
use hookhand::domain::notice::Summary;
use hookhand::domain::text::utf16_len;
use hookhand::provider::{LINE_CHARS_MAX, LINES_MAX, SUBJECT_CHARS_MAX, TITLE_CHARS_MAX, URL_BYTES_MAX};
use serde_json::Value;

use super::{REGISTRY, one_line};

/// Telegram's own limit.
const MESSAGE_UNITS_MAX: usize = 4096;

/// Checks one input.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (event, mut rest) = text.split_once('\n').unwrap_or((&text, ""));
    let mut headers = Vec::new();
    while let Some((line, after)) = rest.split_once('\n') {
        let Some((name, value)) = line.split_once(": ") else {
            rest = if line.is_empty() { after } else { rest };
            break;
        };
        if line.starts_with(['{', '[', '"']) || headers.len() > 8 {
            break;
        }
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
        rest = after;
    }
    let payload: Value = serde_json::from_str(rest).unwrap_or_else(|_| Value::String(rest.to_owned()));
    for provider in REGISTRY.iter() {
        let summary = provider.summarize(event, &payload, &headers);
        keeps_the_limits(&summary);
        assert_eq!(summary, provider.summarize(event, &payload, &headers), "{}", provider.name());
        let _facts = provider.facts(event, &payload, &headers);
    }
    // The event is known for one provider at the most, so its template is tried by its own name too.
    if let Some(provider) = REGISTRY.iter().nth(data.len() % REGISTRY.names().len()) {
        for info in provider.events() {
            keeps_the_limits(&provider.summarize(&info.name, &payload, &headers));
        }
    }
}

/// What holds for every summary.
pub fn keeps_the_limits(summary: &Summary) {
    let message = &summary.message;
    assert!(!message.title.trim().is_empty());
    one_line(&message.title, TITLE_CHARS_MAX);
    assert!(message.lines.len() <= LINES_MAX);
    for line in &message.lines {
        one_line(line, LINE_CHARS_MAX);
        assert!(!line.is_empty());
    }
    if let Some(url) = &message.url {
        assert!(url.len() <= URL_BYTES_MAX && (url.starts_with("http://") || url.starts_with("https://")), "{url}");
        one_line(url, URL_BYTES_MAX);
    }
    one_line(summary.subject.as_deref().unwrap_or_default(), SUBJECT_CHARS_MAX);
    let (html, plain) = rendered(message);
    assert!(utf16_len(&plain) <= MESSAGE_UNITS_MAX, "{} units", utf16_len(&plain));
    only_our_markup(&html);
}

/// Nothing is left that opens a tag or an entity once ours are taken away.
pub fn only_our_markup(html: &str) {
    let mut left = html.to_owned();
    for tag in ["<b>", "</b>", "</a>", "<pre>", "</pre>"] {
        left = left.replace(tag, "");
    }
    while let Some(at) = left.find("<a href=\"") {
        let start = at + "<a href=\"".len();
        let end = start + left[start..].find("\">").unwrap_or_else(|| panic!("a link without an end: {html}"));
        assert!(!left[start..end].contains(['"', '<', '>']), "{html}");
        left.replace_range(at..end + 2, "");
    }
    assert!(!left.contains(['<', '>']), "{html}");
    for (at, _) in left.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;"].iter().any(|entity| left[at..].starts_with(entity));
        assert!(known, "{html}");
    }
}
