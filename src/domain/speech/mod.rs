//! What a model says, as text with a few marks: bold, italic, code, and links that were allowed before.
//!
//! Pure. It reads the subset of Markdown that models write and gives back runs of characters with their marks; channels turn
//! each run into their own markup, so that nothing a model writes is markup by itself. What a chat would turn into a link by
//! itself (`https://…`, `evil.example/x`) and is not on the list of allowed links becomes code, which no chat makes a link of. Images do not exist.

mod addresses;
mod reader;
mod room;

use reader::Reader;
pub use room::Room;
use room::{Part, cut};

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

    fn block() -> Self {
        Self { block: true, ..Self::default() }
    }

    fn code() -> Self {
        Self { code: true, ..Self::default() }
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

    /// The text for a terminal, which opens only what has a scheme: an address that is no allowed link loses it
    /// (`https[:]//evil.example`), and names of files stay what they are.
    pub fn in_terminal(&self) -> String {
        if self.style.address { self.text.replace("://", "[:]//") } else { self.text.clone() }
    }
}

/// Text with marks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Speech {
    chars: Vec<(char, Style)>,
    links: Vec<String>,
}

impl Speech {
    /// Reads `text`. Only `links` become links, each exactly as it is written there.
    pub fn parse(text: &str, links: &[String]) -> Self {
        let links: Vec<String> = links.iter().take(usize::from(u16::MAX)).cloned().collect();
        let mut chars = Reader::read(text, &links);
        while chars.last().is_some_and(|(c, _)| c.is_whitespace()) {
            chars.pop();
        }
        addresses::tame(&mut chars, &links);
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

    /// The text without marks, for a terminal.
    pub fn in_terminal(&self) -> String {
        self.runs().iter().map(Run::in_terminal).collect()
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
            ("[safe](https://evil.example/?q=1)", "safe (<c>https://evil.example/?q=1</c>)"),
            ("![x](https://evil.example/p.png)", "x (<c>https://evil.example/p.png</c>)"),
            ("ask @octocat, (evil.example).", "ask @<c>octocat</c>, (<c>evil.example</c>)."),
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
        let speech = Speech::parse("`./deploy.sh --now` in README.md, then https://evil.example/a.b", &[]);
        assert_eq!(speech.in_terminal(), "./deploy.sh --now in README.md, then https[:]//evil.example/a.b");
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
