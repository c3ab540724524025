//! Addresses that a chat would make links of by itself: those that are not allowed become code.

use super::Style;

/// Addresses that a chat would turn into links by itself become links where they are allowed, else code. Looked for in the
/// text as it is read, whatever its marks: a chat reads across them.
pub(super) fn tame(chars: &mut [(char, Style)], links: &[String]) {
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
    for (_, style) in &mut word[start..end.max(start)] {
        *style = Style { address: true, ..Style::code() };
    }
}

/// Whether a chat might take a word for an address: a scheme, a name with a dot and letters behind it, numbers with dots.
fn looks_like_address(word: &[char]) -> bool {
    // A name that a chat would call.
    let marks = word.iter().take_while(|c| !c.is_alphanumeric()).count();
    if marks > 0 && word[marks - 1] == '@' && word.get(marks).is_some_and(|c| c.is_alphabetic()) {
        return true;
    }
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
