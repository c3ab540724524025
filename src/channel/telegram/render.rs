//! A message in Telegram's HTML, within its limits.
//!
//! Pure. Each rendering exists twice, as HTML and as plain text, so that a markup that Telegram cannot parse costs the dress
//! and not the message. Limits: <https://core.telegram.org/bots/api#sendmessage>, <https://core.telegram.org/api/entities>.

use crate::channel::SUMMARY_MARK;
use crate::domain::card::{Block, Card};
use crate::domain::notice::{Message, Severity};
use crate::domain::text::{clean_lines, clip_chars, clip_utf16, html_escape, one_line, utf16_len};
use crate::ports::{DigestLine, Sent, Summarized};

/// Longest text, in UTF-16 units after entities are parsed.
pub(super) const TEXT_UNITS_MAX: usize = 4096;
/// Longest title; the rest of a message is for what stands beneath.
const TITLE_UNITS_MAX: usize = 1024;
/// Longest link, in bytes; a longer one is left out.
const URL_BYTES_MAX: usize = 1024;
/// What is shown of a link, in characters.
const URL_SHOWN_CHARS_MAX: usize = 100;
/// Longest line of a digest.
const DIGEST_LINE_UNITS_MAX: usize = 200;
/// Most lines on a digest page. Telegram drops entities after the 100th, and a line may have a link.
const DIGEST_LINES_MAX: usize = 80;
/// Most bytes of markup in one message: links cost nothing of the text's limit, and a server has others.
pub(super) const HTML_BYTES_MAX: usize = 12 * 1024;
/// What stands for a title of which nothing visible is left; Telegram refuses an empty text.
const NO_TITLE: &str = "(no title)";

/// One message, dressed and plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rendered {
    /// For `parse_mode: HTML`.
    pub(super) html: String,
    /// The same without markup, for no parse mode.
    pub(super) plain: String,
}

/// A notice: bold title, lines, link. When it is too long the lines are cut, never the title or the link.
pub(super) fn message(message: &Message) -> Rendered {
    let title = titled(&message.title, message.severity, TITLE_UNITS_MAX);
    let link = message.url.as_deref().and_then(safe_url);
    let shown = link.as_deref().map(|url| clip_chars(url, URL_SHOWN_CHARS_MAX));
    // The plain form writes the link in full, so room is kept for that.
    let reserved = utf16_len(&title) + link.as_deref().map_or(0, |url| utf16_len(url) + 1);
    let mut room = TEXT_UNITS_MAX - reserved;
    let mut body = String::new();
    for line in message.lines.iter().flat_map(|line| clean_lines(line)) {
        let needed = utf16_len(&line) + 1;
        if needed > room {
            body.push_str(&format!("\n{}", clip_utf16(&line, room.saturating_sub(1))));
            break;
        }
        body.push_str(&format!("\n{line}"));
        room -= needed;
    }
    let body = body.trim_end();
    let mut html = format!("<b>{}</b>{}", html_escape(&title), html_escape(body));
    let mut plain = format!("{title}{body}");
    if let (Some(url), Some(shown)) = (link, shown) {
        html.push_str(&format!("\n<a href=\"{}\">{}</a>", html_escape(&url), html_escape(&shown)));
        plain.push_str(&format!("\n{url}"));
    }
    Rendered { html, plain }
}

/// A card: bold title, lines, and the action in a block of its own. Nothing is shortened; [`card_fits`] tells whether it may
/// be sent.
pub(super) fn card(card: &Card) -> Rendered {
    let title = titled(&card.title, card.severity, usize::MAX);
    let mut rendered = Rendered { html: format!("<b>{}</b>", html_escape(&title)), plain: title };
    for block in &card.blocks {
        match block {
            Block::Text(line) => rendered.html.push_str(&format!("\n{}", html_escape(line))),
            Block::Code(lines) => rendered.html.push_str(&format!("\n<pre>{}</pre>", html_escape(lines))),
        }
        let (Block::Text(text) | Block::Code(text)) = block;
        rendered.plain.push('\n');
        rendered.plain.push_str(text);
    }
    rendered
}

/// Whether a card is within Telegram's limits as it is.
pub(super) fn card_fits(card: &Card) -> bool {
    let rendered = self::card(card);
    utf16_len(&rendered.plain) <= TEXT_UNITS_MAX && rendered.html.len() <= HTML_BYTES_MAX
}

/// A digest page: bold title and one line for each notice, linked where it has a link.
pub(super) fn digest(title: &str, lines: &[DigestLine]) -> Rendered {
    let title = clip_utf16(&one_line(title), TITLE_UNITS_MAX);
    let mut page = Rendered { html: format!("<b>{}</b>", html_escape(&title)), plain: title };
    for line in lines {
        let line = digest_line(line);
        page.html.push_str(&line.html);
        page.plain.push_str(&line.plain);
    }
    page
}

/// What was sent, with a model's sentences beneath its title; `None` when they do not fit.
pub(super) fn summarized(summarized: &Summarized<'_>) -> Option<Rendered> {
    let sentences = format!("{SUMMARY_MARK} {}", one_line(summarized.text));
    let rendered = match summarized.sent {
        Sent::Notice(sent) => {
            let lines = std::iter::once(sentences.clone()).chain(sent.lines.iter().cloned()).collect();
            message(&Message { lines, ..sent.clone() })
        }
        Sent::Digest { title, lines } => {
            let head = digest(title, &[]);
            let rest = digest("", lines);
            // The list is kept as it was sent: its head is what changes.
            let (no_html, no_plain) = (digest("", &[]).html.len(), digest("", &[]).plain.len());
            Rendered {
                html: format!("{}\n{}{}", head.html, html_escape(&sentences), &rest.html[no_html..]),
                plain: format!("{}\n{sentences}{}", head.plain, &rest.plain[no_plain..]),
            }
        }
    };
    let fits = utf16_len(&rendered.plain) <= TEXT_UNITS_MAX && rendered.html.len() <= HTML_BYTES_MAX;
    fits.then_some(rendered)
}

/// How many of `lines` fit beneath `title`; at least 1.
pub(super) fn digest_fits(title: &str, lines: &[DigestLine]) -> usize {
    let head = digest(title, &[]);
    let (mut units, mut bytes) = (utf16_len(&head.plain), head.html.len());
    let fitting = lines.iter().take(DIGEST_LINES_MAX).take_while(|line| {
        let line = digest_line(line);
        units += utf16_len(&line.plain);
        bytes += line.html.len();
        units <= TEXT_UNITS_MAX && bytes <= HTML_BYTES_MAX
    });
    fitting.count().max(1)
}

fn digest_line(line: &DigestLine) -> Rendered {
    let title = titled(&line.title, line.severity, DIGEST_LINE_UNITS_MAX);
    let plain = format!("\n• {title}");
    let html = match line.url.as_deref().and_then(safe_url) {
        Some(url) => format!("\n• <a href=\"{}\">{}</a>", html_escape(&url), html_escape(&title)),
        None => html_escape(&plain),
    };
    Rendered { html, plain }
}

fn titled(title: &str, severity: Severity, units_max: usize) -> String {
    let sign = match severity {
        Severity::Info => "",
        Severity::Good => "✅ ",
        Severity::Warning => "⚠️ ",
        Severity::Critical => "🔴 ",
    };
    let title = one_line(title);
    clip_utf16(&format!("{sign}{}", if title.is_empty() { NO_TITLE } else { &title }), units_max)
}

/// The link, if it is one that a person may be sent to: http or https, of a sane length, without anything invisible.
fn safe_url(url: &str) -> Option<String> {
    let web = url.starts_with("https://") || url.starts_with("http://");
    let clean = !url.contains(|c: char| c.is_whitespace()) && one_line(url) == url;
    (web && clean && url.len() <= URL_BYTES_MAX).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(title: &str, lines: &[&str], url: Option<&str>) -> Message {
        Message {
            title: title.into(),
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            url: url.map(str::to_owned),
            severity: Severity::Info,
        }
    }

    #[test]
    fn a_notice_is_a_bold_title_lines_and_a_link() {
        let rendered = message(&full("a & b", &["1 < 2", "", "x"], Some("https://e.com/?a=1&b=\"2\"")));
        insta::assert_snapshot!(rendered.html, @r#"
        <b>a &amp; b</b>
        1 &lt; 2

        x
        <a href="https://e.com/?a=1&amp;b=&quot;2&quot;">https://e.com/?a=1&amp;b=&quot;2&quot;</a>
        "#);
    }

    #[test]
    fn what_is_too_long_loses_its_body_before_its_title_and_link() {
        let url = format!("https://e.com/{}", "u".repeat(900));
        for body in ["🙂".repeat(10_000), "<&>\"".repeat(5_000), "w ".repeat(9_000)] {
            let rendered = message(&full("Title", &[&body, "more"], Some(&url)));
            assert!(utf16_len(&rendered.plain) <= TEXT_UNITS_MAX, "{}", utf16_len(&rendered.plain));
            assert!(utf16_len(&rendered.plain) > TEXT_UNITS_MAX - 10, "uses its room");
            assert!(
                rendered.html.starts_with("<b>Title</b>")
                    && rendered.html.contains(&url)
                    && rendered.plain.contains('…')
            );
        }
    }

    #[test]
    fn a_link_that_is_no_link_is_left_out() {
        for bad in ["javascript:alert(1)", "tg://resolve?domain=x", "https://a b", "https://a\u{202e}b", ""] {
            assert!(!message(&full("t", &[], Some(bad))).html.contains("href"), "{bad:?}");
        }
    }

    #[test]
    fn nothing_visible_still_gives_a_text() {
        assert_eq!(message(&full("\u{200b}\u{202e} ", &[], None)).html, "<b>(no title)</b>");
    }

    #[test]
    fn as_many_digest_lines_as_fit_and_the_page_keeps_the_limits() {
        let line = |title: String, url: Option<String>| DigestLine { title, url, severity: Severity::Critical };
        let short: Vec<_> = (0..200).map(|i| line(format!("event {i}"), None)).collect();
        assert_eq!(digest_fits("title", &short), DIGEST_LINES_MAX);
        let wide: Vec<_> =
            (0..200).map(|_| line("&".repeat(500), Some(format!("https://e/{}", "x".repeat(1000))))).collect();
        let fits = digest_fits("title", &wide);
        let page = digest("title", &wide[..fits]);
        assert!(fits > 1 && page.html.len() <= HTML_BYTES_MAX && utf16_len(&page.plain) <= TEXT_UNITS_MAX);
    }
}
