//! The subset of Markdown that models write, read into characters with marks.

use super::super::text::clean_lines;
use super::Style;

/// Deepest nesting of marks; deeper ones stay as they are written.
const DEPTH_MAX: usize = 6;
/// How far the end of a mark is looked for, in characters.
const MARK_CHARS_MAX: usize = 2000;

/// Reads one text.
pub(super) struct Reader<'l> {
    links: &'l [String],
    chars: Vec<(char, Style)>,
}

impl<'l> Reader<'l> {
    /// The characters of `text`, each with its marks; only `links` lead anywhere.
    pub(super) fn read(text: &str, links: &'l [String]) -> Vec<(char, Style)> {
        let mut reader = Self { links, chars: Vec::new() };
        reader.text(text);
        reader.chars
    }

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
                let style = if both { Style::block() } else { Style::default() };
                self.chars.push(('\n', style));
            }
            first = false;
            if in_block {
                self.put(&line, Style::block());
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
                self.put(address.trim(), Style { address: true, ..Style::code() });
                self.put(")", style);
            }
        }
        end + 1 - at
    }
}

/// Where `what` stands at or after `from`, not too far.
fn find(chars: &[char], from: usize, what: &[char]) -> Option<usize> {
    let end = chars.len().min(from + MARK_CHARS_MAX);
    chars.get(from..end)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
}
