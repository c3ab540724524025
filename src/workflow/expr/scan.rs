//! Where the tags of a template are, and which words stand in them. No parser: what it sees is a superset of what the
//! engine reads, which is all that the taint check needs, and it cannot disagree with the engine on the safe side.

use std::collections::BTreeSet;

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'s> {
    /// Text that is taken as it is.
    Text(&'s str),
    /// What stands between `{{` and `}}`.
    Print(&'s str),
    /// What stands between `{%` and `%}`.
    Statement(&'s str),
    /// A comment.
    Comment,
}

/// Whether a text is a template at all.
pub(crate) fn has_tags(source: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|tag| source.contains(tag))
}

/// The parts of a template in order. A tag that is never closed reaches to the end.
pub(super) fn pieces(source: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(start) = next_tag(rest) {
        if start > 0 {
            found.push(Piece::Text(&rest[..start]));
        }
        let (open, close) = match &rest[start..start + 2] {
            "{{" => ("{{", "}}"),
            "{%" => ("{%", "%}"),
            _ => ("{#", "#}"),
        };
        let body = &rest[start + 2..];
        let end = if open == "{#" { body.find(close) } else { end_of_code(body, close) };
        let (code, after) = match end {
            Some(end) => (&body[..end], &body[end + 2..]),
            None => (body, ""),
        };
        let code = code.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        found.push(match open {
            "{{" => Piece::Print(code),
            "{%" => Piece::Statement(code),
            _ => Piece::Comment,
        });
        rest = after;
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    found
}

/// Code that the engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag<'s> {
    /// What stands between `{{` and `}}`.
    Print(&'s str),
    /// What stands between `{%` and `%}`.
    Statement(&'s str),
}

/// Where the code of a template stands, without what `raw` keeps from the engine.
pub(super) fn code_tags(source: &str) -> Vec<(usize, Tag<'_>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = next_tag(&source[at..]) {
        let body = at + start + 2;
        let rest = &source[body..];
        let open = &source[at + start..body];
        if open == "{#" {
            at = rest.find("#}").map_or(source.len(), |end| body + end + 2);
            continue;
        }
        if let Some(length) = basic_tag(rest, "raw").filter(|_| open == "{%") {
            at = end_of_raw(source, body + length);
            continue;
        }
        let close = if open == "{{" { "}}" } else { "%}" };
        let end = end_of_code(rest, close).unwrap_or(rest.len());
        let code = &rest[..end];
        let code = code.strip_prefix(['-', '+']).unwrap_or(code);
        let begin = body + end - code.len();
        let code = code.strip_suffix(['-', '+']).unwrap_or(code);
        found.push((begin, if open == "{{" { Tag::Print(code) } else { Tag::Statement(code) }));
        at = (body + end + 2).min(source.len());
    }
    found
}

/// The length of a tag that is nothing but `name`, from behind its `{%`.
fn basic_tag(text: &str, name: &str) -> Option<usize> {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let rest = rest.trim_ascii_start().strip_prefix(name)?.trim_ascii_start();
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
    Some(text.len() - rest.len())
}

fn end_of_raw(source: &str, from: usize) -> usize {
    let ends = source[from..].match_indices("{%").find_map(|(at, tag)| {
        let body = from + at + tag.len();
        basic_tag(&source[body..], "endraw").map(|length| body + length)
    });
    ends.unwrap_or(source.len())
}

fn next_tag(text: &str) -> Option<usize> {
    ["{{", "{%", "{#"].iter().filter_map(|tag| text.find(tag)).min()
}

/// Where `close` stands outside of a quoted text. A `}` more than is opened ends a print, so that `{{ {"a": {}} }}` does not
/// end within the map.
fn end_of_code(body: &str, close: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let mut quote = None;
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'"' || byte == b'\'' => quote = Some(byte),
            None if depth == 0 && bytes[at..].starts_with(close.as_bytes()) => return Some(at),
            None if byte == b'{' => depth += 1,
            None if byte == b'}' => depth = depth.saturating_sub(1),
            None => {}
        }
        at += 1;
    }
    None
}

/// Every word of a piece of code, those within quoted texts included.
pub(super) fn words(code: &str) -> impl Iterator<Item = &str> {
    let starts_well = |word: &&str| word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(starts_well)
}

/// The text before the first tag, without the space that the tag takes away (`{{-`).
pub(super) fn prefix(source: &str) -> &str {
    let Some(tag) = next_tag(source) else { return source };
    let text = &source[..tag];
    if source[tag + 2..].starts_with('-') { text.trim_end() } else { text }
}

/// The expression of a template that is one `{{ … }}` and nothing else but space around it.
pub(super) fn whole(source: &str) -> Option<&str> {
    match pieces(source.trim()).as_slice() {
        [Piece::Print(code)] => Some(code),
        _ => None,
    }
}

/// The words that a statement gives a meaning to.
pub(super) fn assigned(statement: &str) -> BTreeSet<&str> {
    let mut parts = words(statement);
    match parts.next() {
        Some("for") => parts.take_while(|word| *word != "in").collect(),
        Some("set") => {
            let end = statement.find('=').unwrap_or(statement.len());
            words(&statement[..end]).skip(1).collect()
        }
        Some("with") => {
            let ends = statement.match_indices('=').filter(|(at, _)| {
                let bytes = statement.as_bytes();
                bytes.get(at + 1) != Some(&b'=')
                    && !matches!(bytes.get(at.wrapping_sub(1)), Some(b'=' | b'!' | b'<' | b'>'))
            });
            ends.filter_map(|(at, _)| words(&statement[..at]).last()).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// The texts `x` of every `name["x"]` in a piece of code.
pub(super) fn subscripts<'s>(code: &'s str, name: &str) -> Vec<&'s str> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(name) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.') {
            continue;
        }
        let Some(rest) = code[at + name.len()..].trim_start().strip_prefix('[') else { continue };
        let rest = rest.trim_start();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
        if let Some((text, _)) = rest[1..].split_once(quote) {
            found.push(text);
        }
    }
    found
}

/// The names of filters (`x | name`) and of tests (`x is name`) in a piece of code.
pub(super) fn filters_and_tests(code: &str) -> (Vec<String>, Vec<String>) {
    let code = without_texts(code);
    let first_word = |text: &str| {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        (end > 0).then(|| text[..end].to_owned())
    };
    let filters = code.match_indices('|').filter_map(|(at, _)| first_word(&code[at + 1..])).collect();
    let bytes = code.as_bytes();
    let places = code.match_indices("is").filter(|(at, _)| is_word_at(bytes, *at, b"is"));
    let tests = places.filter_map(|(at, _)| {
        let rest = code[at + 2..].trim_start();
        first_word(rest.strip_prefix("not ").unwrap_or(rest))
    });
    (filters, tests.collect())
}

/// The code with its quoted texts blanked.
pub(super) fn without_texts(code: &str) -> String {
    let mut blank = String::with_capacity(code.len());
    let mut quote = None;
    let mut escaped = false;
    for c in code.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {
                blank.push(c);
                continue;
            }
        }
        blank.push(' ');
    }
    blank
}

/// The parts of an expression between its outermost `and`s; only itself where something binds weaker.
pub(super) fn conjuncts(code: &str) -> Vec<&str> {
    let bytes = code.as_bytes();
    let (mut quote, mut depth, mut start, mut at) = (None, 0_usize, 0, 0);
    let mut parts = Vec::new();
    while at < bytes.len() {
        let byte = bytes[at];
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'"' || byte == b'\'' => quote = Some(byte),
            None if matches!(byte, b'(' | b'[' | b'{') => depth += 1,
            None if matches!(byte, b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            None if depth == 0 && is_word_at(bytes, at, b"and") => {
                parts.push(code[start..at].trim());
                start = at + 3;
            }
            None if depth == 0 && (is_word_at(bytes, at, b"or") || is_word_at(bytes, at, b"if")) => {
                return vec![code.trim()];
            }
            None => {}
        }
        at += 1;
    }
    parts.push(code[start..].trim());
    parts
}

fn is_word_at(bytes: &[u8], at: usize, word: &[u8]) -> bool {
    let part_of_word = |byte: Option<&u8>| {
        byte.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.') || !b.is_ascii())
    };
    bytes[at..].starts_with(word)
        && !part_of_word(at.checked_sub(1).and_then(|before| bytes.get(before)))
        && !part_of_word(bytes.get(at + word.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_and_quotes_within_them_hold() {
        let found = pieces("a {{ x ~ \"}}\" }} b {%- if y %}{# }} #}c");
        assert_eq!(
            found,
            [
                Piece::Text("a "),
                Piece::Print("x ~ \"}}\""),
                Piece::Text(" b "),
                Piece::Statement("if y"),
                Piece::Comment,
                Piece::Text("c")
            ]
        );
        assert_eq!(whole("  {{ {'a': {'b': 1}} }} "), Some("{'a': {'b': 1}}"));
        assert_eq!(whole("{{ a }}{{ b }}"), None);
        assert_eq!(pieces("{{ never closed"), [Piece::Print("never closed")]);
        assert_eq!(prefix("--tag={{ x }}"), "--tag=");
        assert_eq!((prefix("  {{- x }}y"), prefix(" {{ x }}y")), ("", " "));
    }

    #[test]
    fn what_statements_assign_is_seen() {
        let of = |statement: &'static str| assigned(statement).into_iter().collect::<Vec<_>>();
        assert_eq!(of("set payload = 1"), ["payload"]);
        assert_eq!(of("set a, b = payload.x"), ["a", "b"]);
        assert_eq!(of("for k, v in payload.map"), ["k", "v"]);
        assert_eq!(of("with steps = payload.x == 1, b = 2"), ["b", "steps"]);
        assert_eq!(of("if payload == 1"), Vec::<&str>::new());
        assert_eq!(of("set block"), ["block"]);
    }

    #[test]
    fn filters_and_tests_are_found_outside_of_texts() {
        let (filters, tests) =
            filters_and_tests("(a|upper ~ 'x | no is nothing') | default('y') if b is not defined and this.is == 1");
        assert_eq!((filters, tests), (vec!["upper".to_owned(), "default".to_owned()], vec!["defined".to_owned()]));
    }

    #[test]
    fn conjuncts_are_split_only_where_that_is_true() {
        assert_eq!(conjuncts("a == 'x and y' and not (b and c)"), ["a == 'x and y'", "not (b and c)"]);
        assert_eq!(conjuncts("a and b or c"), ["a and b or c"]);
        assert_eq!(conjuncts("payload.and.order and band"), ["payload.and.order", "band"]);
    }
}
