//! What one message may hold, and a speech cut into such messages.

use super::super::text::{html_escape, joins};
use super::{Speech, Style};

/// Bytes of markup around one run, at most, without a link's address.
const MARKUP_BYTES: usize = 32;

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

/// Where to cut at or before `end`: after a space where there is one, never between characters that belong together. At least
/// one character is cut off.
pub(super) fn cut(chars: &[(char, Style)], end: usize) -> usize {
    let space = chars[..end].iter().rposition(|(c, _)| *c == ' ').map(|at| at + 1);
    let mut end = space.unwrap_or(end);
    while end > 1 && chars.get(end).is_some_and(|(next, _)| joins(chars[end - 1].0, *next)) {
        end -= 1;
    }
    end.max(1)
}

/// A message that is being filled.
pub(super) struct Part {
    room: Room,
    chars: Vec<(char, Style)>,
    used: Room,
}

impl Part {
    pub(super) fn new(room: Room) -> Self {
        Self { room, chars: Vec::new(), used: Room { units: 0, bytes: 0, marked: 0 } }
    }

    pub(super) fn take(&mut self) -> Vec<(char, Style)> {
        self.used = Room { units: 0, bytes: 0, marked: 0 };
        std::mem::take(&mut self.chars)
    }

    pub(super) fn add(&mut self, chars: &[(char, Style)], speech: &Speech) {
        self.used = self.with(chars, speech);
        self.chars.extend_from_slice(chars);
    }

    pub(super) fn fits(&self, chars: &[(char, Style)], speech: &Speech) -> bool {
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
    pub(super) fn longest(&self, chars: &[(char, Style)], speech: &Speech) -> usize {
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
