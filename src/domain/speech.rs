//! What a model says, as text with a few marks: bold, italic, code, and links that were allowed before.
//!
//! Pure. It reads the subset of Markdown that models write and gives back runs of characters with their marks; channels turn
//! each run into their own markup, so that nothing a model writes is markup by itself. What a chat would turn into a link by
//! itself (`https://…`, `evil.example/x`) and is not on the list of allowed links becomes code, which no chat makes a link of. Images do not exist.

use super::text::{clean_lines, html_escape, joins};

/// Deepest nesting of marks; deeper ones stay as they are written.
const DEPTH_MAX: usize = 6;
/// How far the end of a mark is looked for, in characters.
const MARK_CHARS_MAX: usize = 2000;
/// Bytes of markup around one run, at most, without a link's address.
const MARKUP_BYTES: usize = 32;

/// The marks of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Bold.
    pub bold: bool,
    /// Italic.
    pub italic: bool,
    /// Code within a line.
    pub code: bool,
    /// A block of code.
    pub block: bool,
    /// Where it leads: an index of the allowed links.
    link: Option<u16>,
    /// An address that a chat must not turn into a link.
    address: bool,
}

impl Style {
    fn is_plain(self) -> bool {
        self == Self::default()
    }
}

/// A run of characters with the same marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<'s> {
    /// The characters.
    pub text: String,
    /// Their marks.
    pub style: Style,
    /// Where they lead.
    pub link: Option<&'s str>,
}

impl Run<'_> {
    /// The text for a chat that knows no marks: an address that is no allowed link is broken up (`https[:]//evil[.]example`),
    /// so that the chat makes no link of it.
    pub fn plain(&self) -> String {
        if self.style.address {
            self.text.replace(':', "[:]").replace(['.', '。', '．', '｡'], "[.]")
        } else {
            self.text.clone()
        }
    }
}

/// Text with marks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Speech {
    chars: Vec<(char, Style)>,
    links: Vec<String>,
}

/// What one message may hold.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// UTF-16 units of text.
    pub units: usize,
    /// Bytes of text with its marks as HTML.
    pub bytes: usize,
    /// Runs that have marks.
    pub marked: usize,
}

impl Speech {
    /// Reads `text`. Only `links` become links, each exactly as it is written there.
    pub fn parse(text: &str, links: &[String]) -> Self {
        let links: Vec<String> = links.iter().take(usize::from(u16::MAX)).cloned().collect();
        let mut reader = Reader { links: &links, chars: Vec::new() };
        reader.text(text);
        let mut chars = reader.chars;
        while chars.last().is_some_and(|(c, _)| c.is_whitespace()) {
            chars.pop();
        }
        tame_addresses(&mut chars, &links);
        Self { chars, links }
    }

    /// Whether nothing visible is in it.
    pub fn is_empty(&self) -> bool {
        self.chars.iter().all(|(c, _)| c.is_whitespace())
    }

    /// The runs, in order.
    pub fn runs(&self) -> Vec<Run<'_>> {
        let mut runs: Vec<Run<'_>> = Vec::new();
        for (c, style) in &self.chars {
            match runs.last_mut() {
                Some(run) if run.style == *style => run.text.push(*c),
                _ => {
                    let link = style.link.and_then(|at| self.links.get(usize::from(at))).map(String::as_str);
                    runs.push(Run { text: c.to_string(), style: *style, link });
                }
            }
        }
        runs
    }

    /// The text without marks.
    pub fn plain(&self) -> String {
        self.runs().iter().map(Run::plain).collect()
    }

    /// The same as messages that each keep within `room`: cut at ends of lines, else at spaces, else between characters.
    pub fn parts(&self, room: Room) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut part = Part::new(room);
        for line in self.chars.split_inclusive(|(c, _)| *c == '\n') {
            if !part.fits(line, self) {
                self.keep(&mut parts, part.take());
            }
            let mut rest = line;
            while !part.fits(rest, self) {
                let end = part.longest(rest, self);
                let (head, tail) = rest.split_at(cut(rest, end));
                part.add(head, self);
                self.keep(&mut parts, part.take());
                rest = tail;
            }
            part.add(rest, self);
        }
        self.keep(&mut parts, part.take());
        parts
    }

    fn keep(&self, parts: &mut Vec<Self>, chars: Vec<(char, Style)>) {
        let part = Self { chars, links: self.links.clone() };
        if !part.is_empty() {
            parts.push(part);
        }
    }
}

/// Where to cut at or before `end`: after a space where there is one, never between characters that belong together. At least
/// one character is cut off.
fn cut(chars: &[(char, Style)], end: usize) -> usize {
    let space = chars[..end].iter().rposition(|(c, _)| *c == ' ').map(|at| at + 1);
    let mut end = space.unwrap_or(end);
    while end > 1 && chars.get(end).is_some_and(|(next, _)| joins(chars[end - 1].0, *next)) {
        end -= 1;
    }
    end.max(1)
}

/// A message that is being filled.
struct Part {
    room: Room,
    chars: Vec<(char, Style)>,
    used: Room,
}

impl Part {
    fn new(room: Room) -> Self {
        Self { room, chars: Vec::new(), used: Room { units: 0, bytes: 0, marked: 0 } }
    }

    fn take(&mut self) -> Vec<(char, Style)> {
        self.used = Room { units: 0, bytes: 0, marked: 0 };
        std::mem::take(&mut self.chars)
    }

    fn add(&mut self, chars: &[(char, Style)], speech: &Speech) {
        self.used = self.with(chars, speech);
        self.chars.extend_from_slice(chars);
    }

    fn fits(&self, chars: &[(char, Style)], speech: &Speech) -> bool {
        self.room.holds(self.with(chars, speech))
    }

    /// What would be used with `chars` added.
    fn with(&self, chars: &[(char, Style)], speech: &Speech) -> Room {
        let mut last = self.chars.last().map(|(_, style)| *style);
        chars.iter().fold(self.used, |used, (c, style)| {
            let next = used.with(*c, *style, last, speech);
            last = Some(*style);
            next
        })
    }

    /// How many of `chars` fit into an empty part; at least 1.
    fn longest(&self, chars: &[(char, Style)], speech: &Speech) -> usize {
        let mut used = self.used;
        let mut last = self.chars.last().map(|(_, style)| *style);
        for (at, (c, style)) in chars.iter().enumerate() {
            used = used.with(*c, *style, last, speech);
            last = Some(*style);
            if !self.room.holds(used) {
                return at.max(1);
            }
        }
        chars.len()
    }
}

impl Room {
    fn holds(self, used: Self) -> bool {
        used.units <= self.units && used.bytes <= self.bytes && used.marked <= self.marked
    }

    fn with(self, c: char, style: Style, last: Option<Style>, speech: &Speech) -> Self {
        let begins = last != Some(style) && !style.is_plain();
        let link = style.link.filter(|_| begins).and_then(|at| speech.links.get(usize::from(at)));
        // A plain message writes an address with brackets, four more units for each dot or colon.
        let broken = if style.address && matches!(c, '.' | ':' | '。' | '．' | '｡') { 2 } else { 0 };
        Self {
            units: self.units + c.len_utf16() + broken,
            bytes: self.bytes
                + html_escape(c.encode_utf8(&mut [0; 4])).len()
                + if begins { MARKUP_BYTES } else { 0 }
                + link.map_or(0, |url| html_escape(url).len()),
            marked: self.marked + usize::from(begins),
        }
    }
}

struct Reader<'l> {
    links: &'l [String],
    chars: Vec<(char, Style)>,
}

impl Reader<'_> {
    fn text(&mut self, text: &str) {
        let mut in_block = false;
        let mut first = true;
        for line in clean_lines(text.trim()) {
            let is_fence = line.trim_start().starts_with("```");
            if is_fence {
                in_block = !in_block;
                continue;
            }
            if !first {
                let both = in_block && self.chars.last().is_some_and(|(_, style)| style.block);
                let style = if both { block() } else { Style::default() };
                self.chars.push(('\n', style));
            }
            first = false;
            if in_block {
                self.put(&line, block());
            } else {
                self.line(&line);
            }
        }
    }

    fn put(&mut self, text: &str, style: Style) {
        self.chars.extend(text.chars().map(|c| (c, style)));
    }

    fn line(&mut self, line: &str) {
        let indent = line.len() - line.trim_start().len();
        let (spaces, rest) = line.split_at(indent);
        self.put(spaces, Style::default());
        let hashes = rest.bytes().take_while(|b| *b == b'#').count();
        if (1..=6).contains(&hashes) && rest[hashes..].starts_with(' ') {
            let heading: Vec<char> = rest[hashes..].trim().chars().collect();
            self.inline(&heading, Style { bold: true, ..Style::default() }, 0);
            return;
        }
        let rest = match rest.strip_prefix("- ").or_else(|| rest.strip_prefix("* ")) {
            Some(item) => {
                self.put("• ", Style::default());
                item
            }
            None => rest,
        };
        let chars: Vec<char> = rest.chars().collect();
        self.inline(&chars, Style::default(), 0);
    }

    fn inline(&mut self, chars: &[char], style: Style, depth: usize) {
        let mut at = 0;
        while at < chars.len() {
            let read = if depth < DEPTH_MAX { self.mark(chars, at, style, depth) } else { 0 };
            if read == 0 {
                self.chars.push((chars[at], style));
            }
            at += read.max(1);
        }
    }

    /// Reads the mark that begins at `at`; gives how many characters it took, 0 when there is none.
    fn mark(&mut self, chars: &[char], at: usize, style: Style, depth: usize) -> usize {
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied();
        match chars[at] {
            '\\' => match chars.get(at + 1) {
                Some(next) if next.is_ascii_punctuation() => {
                    self.chars.push((*next, style));
                    2
                }
                _ => 0,
            },
            '`' => {
                let ticks = chars[at..].iter().take_while(|c| **c == '`').count();
                let fence = vec!['`'; ticks];
                let Some(end) = find(chars, at + ticks, &fence) else { return 0 };
                let code: String = chars[at + ticks..end].iter().collect();
                self.put(code.trim(), Style { code: true, link: None, ..style });
                end + ticks - at
            }
            '!' if chars.get(at + 1) == Some(&'[') => {
                let read = self.link(chars, at + 1, style, depth, false);
                if read == 0 { 0 } else { read + 1 }
            }
            '[' => self.link(chars, at, style, depth, true),
            '*' if chars.get(at + 1) == Some(&'*') => {
                let Some(end) = find(chars, at + 2, &['*', '*']).filter(|end| *end > at + 2) else { return 0 };
                self.inline(&chars[at + 2..end], Style { bold: true, ..style }, depth + 1);
                end + 2 - at
            }
            sign @ ('*' | '_') => {
                let opens = before.is_none_or(|c| !c.is_alphanumeric() && c != sign)
                    && chars.get(at + 1).is_some_and(|c| !c.is_whitespace() && *c != sign);
                let Some(end) = find(chars, at + 1, &[sign]).filter(|_| opens) else { return 0 };
                let closes = !chars[end - 1].is_whitespace() && chars.get(end + 1).is_none_or(|c| !c.is_alphanumeric());
                if !closes {
                    return 0;
                }
                self.inline(&chars[at + 1..end], Style { italic: true, ..style }, depth + 1);
                end + 1 - at
            }
            _ => 0,
        }
    }

    /// `[text](address)`. An address that is not allowed is written out behind the text.
    fn link(&mut self, chars: &[char], at: usize, style: Style, depth: usize, may_lead: bool) -> usize {
        let Some(middle) = find(chars, at + 1, &[']', '(']) else { return 0 };
        let Some(end) = find(chars, middle + 2, &[')']) else { return 0 };
        let address: String = chars[middle + 2..end].iter().collect();
        let text = &chars[at + 1..middle];
        let place = self.links.iter().position(|link| *link == address.trim()).filter(|_| may_lead);
        match place.and_then(|place| u16::try_from(place).ok()) {
            Some(place) => self.inline(text, Style { link: Some(place), ..style }, DEPTH_MAX),
            None => {
                self.inline(text, style, depth + 1);
                self.put(" (", style);
                self.put(address.trim(), Style { address: true, ..code() });
                self.put(")", style);
            }
        }
        end + 1 - at
    }
}

fn block() -> Style {
    Style { block: true, ..Style::default() }
}

fn code() -> Style {
    Style { code: true, ..Style::default() }
}

/// Where `what` stands at or after `from`, not too far.
fn find(chars: &[char], from: usize, what: &[char]) -> Option<usize> {
    let end = chars.len().min(from + MARK_CHARS_MAX);
    chars.get(from..end)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

/// Addresses that a chat would turn into links by itself become links where they are allowed, else code. Looked for in the
/// text as it is read, whatever its marks: a chat reads across them.
fn tame_addresses(chars: &mut [(char, Style)], links: &[String]) {
    let mut at = 0;
    while at < chars.len() {
        if chars[at].0.is_whitespace() || chars[at].1.block {
            at += 1;
            continue;
        }
        let length = chars[at..].iter().take_while(|(c, style)| !c.is_whitespace() && !style.block).count();
        tame_word(&mut chars[at..at + length], links);
        at += length;
    }
}

fn tame_word(word: &mut [(char, Style)], links: &[String]) {
    let text: Vec<char> = word.iter().map(|(c, _)| *c).collect();
    if !looks_like_address(&text) {
        return;
    }
    // An allowed link whose text looks like an address leads where it is allowed to.
    if word.iter().all(|(_, style)| style.link.is_some()) {
        return;
    }
    let is_edge = |c: &char| !c.is_alphanumeric() && *c != '/';
    let start = text.iter().take_while(|c| is_edge(c)).count();
    let end = text.len() - text.iter().rev().take_while(|c| is_edge(c)).count();
    let bare: String = text[start..end.max(start)].iter().collect();
    let plain = word.iter().all(|(_, style)| !style.code && style.link.is_none());
    let place = links.iter().position(|link| *link == bare).and_then(|at| u16::try_from(at).ok());
    if let (Some(place), true) = (place, plain) {
        for (_, style) in &mut word[start..end] {
            style.link = Some(place);
        }
        return;
    }
    for (_, style) in word {
        *style = Style { address: true, ..code() };
    }
}

/// Whether a chat might take a word for an address: a scheme, a name with a dot and letters behind it, numbers with dots.
fn looks_like_address(word: &[char]) -> bool {
    let is_dot = |c: &char| matches!(c, '.' | '。' | '．' | '｡');
    if word.windows(3).any(|window| window == [':', '/', '/']) || word.contains(&'@') && word.iter().any(is_dot) {
        return true;
    }
    let numbers = word.split(|c| !c.is_ascii_digit() && !is_dot(c));
    numbers.into_iter().any(|numbers| numbers.split(|c| is_dot(c)).filter(|digits| !digits.is_empty()).count() == 4)
        || word.iter().enumerate().any(|(at, c)| {
            is_dot(c)
                && at > 0
                && word[at - 1].is_alphanumeric()
                && word[at + 1..].iter().take_while(|c| c.is_alphabetic()).count() >= 2
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::text::utf16_len;

    const ROOM: Room = Room { units: 4096, bytes: 12 * 1024, marked: 90 };

    fn shown(text: &str, links: &[&str]) -> String {
        let links: Vec<String> = links.iter().map(|link| (*link).to_owned()).collect();
        let speech = Speech::parse(text, &links);
        let run = |run: &Run<'_>| {
            let style = run.style;
            let mut text = run.text.clone();
            for (is, mark) in [(style.bold, 'b'), (style.italic, 'i'), (style.code, 'c'), (style.block, 'p')] {
                if is {
                    text = format!("<{mark}>{text}</{mark}>");
                }
            }
            run.link.map_or(text.clone(), |link| format!("<a {link}>{text}</a>"))
        };
        speech.runs().iter().map(run).collect()
    }

    #[test]
    fn the_marks_of_models_are_read() {
        insta::assert_snapshot!(
            shown("# Two *events*\n- **push** by `alice`\n* _done_ snake_case 2*3*4 \\*no\\*\n```rust\nlet a = \"*\";\n\nb\n```\nend", &[]),
            @r#"
        <b>Two </b><i><b>events</b></i>
        • <b>push</b> by <c>alice</c>
        • <i>done</i> snake_case 2*3*4 *no*
        <p>let a = "*";

        b</p>
        end
        "#
        );
    }

    #[test]
    fn only_allowed_links_lead_anywhere() {
        let ok = "https://github.com/acme/shop/pull/42";
        assert_eq!(shown(&format!("see {ok}."), &[ok]), format!("see <a {ok}>{ok}</a>."));
        assert_eq!(shown(&format!("[the PR]({ok})"), &[ok]), format!("<a {ok}>the PR</a>"));
        for (text, expected) in [
            ("see https://evil.example/?q=1", "see <c>https://evil.example/?q=1</c>"),
            ("[safe](https://evil.example/?q=1)", "safe <c>(https://evil.example/?q=1)</c>"),
            ("![x](https://evil.example/p.png)", "x <c>(https://evil.example/p.png)</c>"),
            ("go to evil.example/x now", "go to <c>evil.example/x</c> now"),
            ("https://ev**il**.example", "<c>https://evil.example</c>"),
            ("https://git**hub.com/acme/shop/pull/42**?leak=1", "<c>https://github.com/acme/shop/pull/42?leak=1</c>"),
            ("write to bob@evil.example", "write to <c>bob@evil.example</c>"),
            ("at 10.1.2.3:80/x", "at <c>10.1.2.3:80/x</c>"),
            ("v1.2.3, e.g. this. Next", "v1.2.3, e.g. this. Next"),
        ] {
            assert_eq!(shown(text, &[ok]), expected, "{text}");
        }
    }

    #[test]
    fn an_address_is_broken_up_where_there_are_no_marks() {
        let speech = Speech::parse("see https://evil.example/a.b", &[]);
        assert_eq!(speech.plain(), "see https[:]//evil[.]example/a[.]b");
    }

    #[test]
    fn a_long_answer_is_cut_at_lines_and_every_part_keeps_its_marks() {
        let text = format!("```\n{}\n```\n**{}**", "x = 1\n".repeat(900).trim_end(), "word ".repeat(300));
        let speech = Speech::parse(&text, &[]);
        let parts = speech.parts(ROOM);
        assert!(parts.len() >= 2);
        assert!(parts[0].runs().iter().all(|run| run.style.block));
        assert!(parts.last().expect("some").runs().iter().any(|run| run.style.bold));
    }

    proptest! {
        #[test]
        fn parts_are_short_enough_and_lose_nothing_but_space(text in "([a-z]{1,6}|[*_`~#\\[\\]()! \n<>&\"]|https://evil\\.example/|\\PC){0,400}", units in 20usize..300) {
            let links = vec!["https://ok.example/1".to_owned()];
            let speech = Speech::parse(&text, &links);
            let room = Room { units, bytes: 3000, marked: 9 };
            let parts = speech.parts(room);
            let solid = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let all: String = parts.iter().map(Speech::plain).collect();
            prop_assert_eq!(solid(&all), solid(&speech.plain()));
            for part in &parts {
                prop_assert!(utf16_len(&part.plain()) <= units.max(4), "{:?}", part.plain());
                for run in part.runs() {
                    prop_assert!(run.link.is_none_or(|link| link == links[0]));
                    if run.link.is_none() && !run.style.code && !run.style.block {
                        prop_assert!(!run.text.contains("://"), "{:?}", run.text);
                    }
                }
            }
        }
    }
}
