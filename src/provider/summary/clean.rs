//! The last word on what is shown: one line, bounded, without characters that hide or reorder others, whatever the
//! template and the payload were. Text from a payload is a stranger's.

use http::Uri;

/// Longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 200;
/// Longest line beneath a title, in characters.
pub const LINE_CHARS_MAX: usize = 300;
/// Most lines beneath a title.
pub const LINES_MAX: usize = 6;
/// Longest link, in bytes.
pub const URL_BYTES_MAX: usize = 2048;
/// Longest subject, in characters.
pub const SUBJECT_CHARS_MAX: usize = 200;
/// Most combining marks on one letter. Three are enough for every living script; more is a way to paint over other lines.
const MARKS_MAX: usize = 3;

/// One line of at most `chars_max` characters; a longer one is cut and ends with `…`.
pub(super) fn line(text: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(chars_max * 4));
    let (mut count, mut marks, mut space) = (0_usize, 0_usize, false);
    let mut last: Option<char> = None;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            space = last.is_some();
            continue;
        }
        if hides(c) || (joins(c) && (space || last.is_none_or(|l| l.is_ascii()))) {
            continue;
        }
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if marks > MARKS_MAX {
            continue;
        }
        let needed = 1 + usize::from(space);
        if count + needed > chars_max {
            return cut(out, count, chars_max);
        }
        if space {
            out.push(' ');
        }
        out.push(c);
        count += needed;
        space = false;
        last = Some(c);
    }
    out
}

/// Makes room for `…` at the end.
fn cut(mut out: String, mut count: usize, chars_max: usize) -> String {
    while count + 1 > chars_max || out.ends_with(' ') {
        if out.pop().is_none() {
            break;
        }
        count -= 1;
    }
    out.push('…');
    out
}

/// Characters that change the direction of others, are invisible, or mark text for machines.
fn hides(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFD}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Joiners are part of some scripts and of emoji, so they stay after a character that is not ASCII.
fn joins(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}'
        | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}')
}

/// A link that a person may follow: `http` or `https`, a host, nobody's name or password before it, at most
/// [`URL_BYTES_MAX`] bytes.
pub(super) fn url(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty()
        || text.len() > URL_BYTES_MAX
        || text.chars().any(|c| c.is_whitespace() || c.is_control() || hides(c))
    {
        return None;
    }
    let text = ascii(text);
    let uri: Uri = text.parse().ok()?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority()?;
    let named = !authority.host().is_empty() && !authority.as_str().contains(['@', '%', '\\']);
    (web && named && text.len() <= URL_BYTES_MAX && !text.contains(['<', '>', '"', '\\'])).then_some(text)
}

/// Writes what is not ASCII as percent-encoded UTF-8, as browsers do in paths.
fn ascii(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _infallible = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Like [`url`], and never a machine's address: `api.github.com` answers a person with JSON.
pub(super) fn web_url(text: &str) -> Option<String> {
    let text = url(text)?;
    let uri: Uri = text.parse().ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    let for_machines = host.starts_with("api.") || uri.path().starts_with("/api/v");
    (!for_machines).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_without_what_hides_or_reorders() {
        let cases = [
            ("  a\n\tb\r\n c ", "a b c"),
            ("safe\u{202E}gnp.exe", "safegnp.exe"),
            ("pay\u{200B}pal\u{FEFF}", "paypal"),
            ("a\u{200D}b", "ab"),
            ("\u{200D}", ""),
            ("👩\u{200D}💻", "👩\u{200D}💻"),
            ("می\u{200C}خواهم", "می\u{200C}خواهم"),
            ("a\u{0}b\u{1b}[31m", "a b [31m"),
            ("a\u{2028}b\u{85}c", "a b c"),
            ("z\u{300}\u{301}\u{302}\u{303}\u{304}!", "z\u{300}\u{301}\u{302}!"),
        ];
        for (given, expected) in cases {
            assert_eq!(line(given, 100), expected, "{given:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_at_the_limit_and_says_so() {
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("abcdefg", 6), "abcde…");
        assert_eq!(line("abcd efgh", 6), "abcd…");
        assert_eq!(line(&"é".repeat(500), 200).chars().count(), 200);
    }

    #[test]
    fn only_links_for_people_pass() {
        assert_eq!(url(" https://github.com/a/b ").as_deref(), Some("https://github.com/a/b"));
        assert_eq!(url("https://x.io/é").as_deref(), Some("https://x.io/%C3%A9"));
        let long = format!("https://x.io/{}", "a".repeat(URL_BYTES_MAX));
        for bad in [
            "",
            "javascript:alert(1)",
            "ftp://x.io/",
            "https://",
            "https://github.com@evil.io/",
            "/a/b",
            "https://x.io/a b",
            "https://x.io/\u{202E}",
            "https://\u{430}pple.com/",
            "https://x.io/\"><",
            "https://x\\.io/",
            long.as_str(),
        ] {
            assert_eq!(url(bad), None, "{bad}");
        }
        assert!(url("https://github.com/a/b/compare/1a2b^...3c4d?q=[x]#top").is_some());
        assert_eq!(web_url("https://api.github.com/repos/a/b"), None);
        assert_eq!(web_url("https://git.acme.com/api/v3/repos/a"), None);
        assert!(web_url("https://github.com/a/b").is_some());
    }
}
