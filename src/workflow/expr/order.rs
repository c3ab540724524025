//! `<`, `<=`, `>` and `>=` compare only what is of one kind.
//!
//! The engine has an order over everything: any text is above any number, and null is below all. A gate over an amount that a
//! sender writes as a text would then always hold, or never. The engine lets nobody in between, so every comparison that asks
//! for an order is written anew, as a filter of ours over its operands, before the engine sees it. What is shown to people
//! and read by the taint check is always the source as it was written.

use super::ExprError;
use super::compare::ORDERED;
use super::scan::{self, Tag};

/// Longest source that may come of it, in bytes; operands are written twice, so that a message can name them.
const WRITTEN_BYTES_MAX: usize = 8 * super::SOURCE_BYTES_MAX;
/// Most characters of an operand that a message shows.
const SHOWN_CHARS_MAX: usize = 80;
/// The signs that ask for an order.
const SIGNS: [&str; 4] = ["<=", ">=", "<", ">"];

/// `code`, an expression that the engine understands, with its comparisons guarded; `None` when it has none.
pub(super) fn guarded_expression(code: &str) -> Result<Option<String>, ExprError> {
    guarded(code, false)
}

/// The template `source` with its comparisons guarded; `None` when it has none.
pub(super) fn guarded_template(source: &str) -> Result<Option<String>, ExprError> {
    let mut written = String::with_capacity(source.len());
    let (mut copied, mut changed) = (0, false);
    for (at, tag) in scan::code_tags(source) {
        let (code, is_statement) = match tag {
            Tag::Print(code) => (code, false),
            Tag::Statement(code) => (code, true),
        };
        let Some(new) = guarded(code, is_statement)? else { continue };
        written.push_str(&source[copied..at]);
        written.push_str(&new);
        (copied, changed) = (at + code.len(), true);
    }
    written.push_str(&source[copied..]);
    check_length(&written)?;
    Ok(changed.then_some(written))
}

fn guarded(code: &str, is_statement: bool) -> Result<Option<String>, ExprError> {
    let tokens = tokens(code);
    if !tokens.iter().any(|token| SIGNS.contains(&token.text)) {
        return Ok(None);
    }
    let mut writer = Writer { code, tokens, out: String::new(), copied: 0 };
    // The first word of a statement says what it is, and the last one of a loop may say how it is done.
    let (mut begin, mut end) = (0, writer.tokens.len());
    if is_statement {
        begin = 1;
        end -= usize::from(writer.tokens[0].text == "for" && writer.tokens[end - 1].text == "recursive");
    }
    writer.level(begin, end)?;
    writer.out.push_str(&code[writer.copied..]);
    check_length(&writer.out)?;
    Ok(Some(writer.out))
}

fn check_length(written: &str) -> Result<(), ExprError> {
    let fits = written.len() <= WRITTEN_BYTES_MAX;
    if fits { Ok(()) } else { Err(ExprError::new("has too many comparisons")) }
}

/// A word, a quoted text, or a sign.
#[derive(Debug, Clone, Copy)]
struct Token<'s> {
    text: &'s str,
    at: usize,
    /// Whether it is a word that the language may give a meaning to: not a name behind a dot, a bar or `is`.
    free: bool,
    /// Where the bracket that it opens is closed.
    close: usize,
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found: Vec<Token<'_>> = Vec::new();
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(c) = code[at..].chars().next() {
        let rest = &code[at..];
        let length = if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        } else if c == '"' || c == '\'' {
            quoted(rest, c)
        } else if c.is_alphanumeric() || c == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if ["==", "!=", "<=", ">=", "**", "//"].iter().any(|sign| rest.starts_with(sign)) {
            2
        } else {
            c.len_utf8()
        };
        let text = &rest[..length];
        let free = !is_name(&found);
        match c {
            '(' | '[' | '{' => open.push(found.len()),
            ')' | ']' | '}' => {
                if let Some(opened) = open.pop() {
                    let here = found.len();
                    let opened: &mut Token<'_> = &mut found[opened];
                    opened.close = here;
                }
            }
            _ => {}
        }
        found.push(Token { text, at, free, close: 0 });
        at += length;
    }
    found
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether what follows is the name of a key, a filter or a test.
fn is_name(before: &[Token<'_>]) -> bool {
    let is = |token: Option<&Token<'_>>| token.is_some_and(|token| token.text == "is" && token.free);
    match before {
        [.., last] if matches!(last.text, "." | "|") => true,
        [.., last] if is(Some(last)) => true,
        // `is not in […]`: both words belong to the test.
        [.., before, last] if last.text == "not" && is(Some(before)) => true,
        _ => false,
    }
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// Whether an operand of a comparison ends here.
    fn divides(&self) -> bool {
        matches!(self.text, "," | ":" | "=") || (self.free && matches!(self.text, "and" | "or" | "not" | "if" | "else"))
    }
}

/// Writes code anew.
struct Writer<'s> {
    code: &'s str,
    tokens: Vec<Token<'s>>,
    out: String,
    /// Up to where the code is in `out`.
    copied: usize,
}

/// Operands, and the signs between them.
#[derive(Default)]
struct Chain {
    operands: Vec<(usize, usize)>,
    signs: Vec<String>,
}

impl Writer<'_> {
    /// What stands between two brackets, or the whole.
    fn level(&mut self, from: usize, to: usize) -> Result<(), ExprError> {
        let mut chain = Chain::default();
        let (mut begin, mut at) = (from, from);
        while at < to {
            let token = self.tokens[at];
            let next = self.tokens.get(at + 1).filter(|_| at + 1 < to);
            let negated = token.free && token.text == "not" && next.is_some_and(|next| next.text == "in");
            if token.close > at {
                at = token.close + 1;
                continue;
            }
            // `f(*list)`: the star belongs to the argument, not to what it says.
            let splat = at == begin && matches!(token.text, "*" | "**");
            if splat || (token.divides() && !negated) {
                chain.operands.push((begin, at));
                self.write(&std::mem::take(&mut chain))?;
                begin = at + 1;
            } else if negated || is_comparison(&token) {
                chain.operands.push((begin, at));
                chain.signs.push(if negated { "not in".to_owned() } else { token.text.to_owned() });
                at += usize::from(negated);
                begin = at + 1;
            }
            at += 1;
        }
        chain.operands.push((begin, to));
        self.write(&chain)
    }

    fn write(&mut self, chain: &Chain) -> Result<(), ExprError> {
        check_length(&self.out)?;
        if !chain.signs.iter().any(|sign| SIGNS.contains(&sign.as_str())) {
            for (from, to) in &chain.operands {
                self.copy(*from, *to)?;
            }
            return Ok(());
        }
        if chain.operands.iter().any(|(from, to)| from >= to) {
            return Err(ExprError::new("has a comparison without two sides"));
        }
        if let Some(other) = chain.signs.iter().find(|sign| sign.ends_with("in")) {
            return Err(ExprError::new(format!("joins '{other}' with another comparison"))
                .hint("write each by itself, with 'and' between them"));
        }
        let (first, rest) = (chain.operands[0], &chain.operands[1..]);
        self.upto(self.tokens[first.0].at);
        self.out.push_str("((");
        self.copy(first.0, first.1)?;
        let shown: Vec<String> = chain.operands.iter().map(|(from, to)| self.shown(*from, *to)).collect();
        self.out.push_str(&format!(")|{ORDERED}([{}]", shown.join(",")));
        for (sign, (from, to)) in chain.signs.iter().zip(rest) {
            self.copied = self.tokens[*from].at;
            self.out.push_str(&format!(",'{sign}',("));
            self.copy(*from, *to)?;
            self.out.push(')');
        }
        self.out.push_str("))");
        Ok(())
    }

    /// These tokens, with what stands in their brackets guarded too.
    fn copy(&mut self, from: usize, to: usize) -> Result<(), ExprError> {
        let mut at = from;
        while at < to {
            let token = self.tokens[at];
            self.upto(token.end());
            if token.close > at {
                self.level(at + 1, token.close)?;
                at = token.close;
                self.upto(self.tokens[at].end());
            }
            at += 1;
        }
        Ok(())
    }

    fn upto(&mut self, end: usize) {
        if end > self.copied {
            self.out.push_str(&self.code[self.copied..end]);
            self.copied = end;
        }
    }

    /// The source of an operand as a quoted text of the language.
    fn shown(&self, from: usize, to: usize) -> String {
        let source = &self.code[self.tokens[from].at..self.tokens[to - 1].end()];
        let shown: String = source.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
        format!("'{}'", shown.replace('\\', "\\\\").replace('\'', "\\'"))
    }
}

fn is_comparison(token: &Token<'_>) -> bool {
    SIGNS.contains(&token.text) || matches!(token.text, "==" | "!=") || (token.text == "in" && token.free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comparisons_that_ask_for_an_order_are_written_anew() {
        let guarded = |code: &str| guarded_expression(code).expect(code);
        for code in ["a == b and c", "'x < y' in a", "a is gt 3", "payload.a[\"<\"]"] {
            assert!(guarded(code).is_none(), "{code}");
        }
        for (code, expected) in [
            ("a < 2", "((a)|_ordered(['a','2'],'<',(2)))"),
            (
                "not a.b+1 >= f(c < 2, *d)",
                "not ((a.b+1)|_ordered(['a.b+1','f(c < 2, *d)'],'>=',(f(((c)|_ordered(['c','2'],'<',(2))), *d))))",
            ),
            ("x if a < b else y", "x if ((a)|_ordered(['a','b'],'<',(b))) else y"),
            ("a.not < b | in(c)", "((a.not)|_ordered(['a.not','b | in(c)'],'<',(b | in(c))))"),
            ("1 < a <= 'it\\'s'", "((1)|_ordered(['1','a','\\'it\\\\\\'s\\''],'<',(a),'<=',('it\\'s')))"),
            (
                "a is not in [1 < 2] and b\n> c",
                "a is not in [((1)|_ordered(['1','2'],'<',(2)))] and ((b)|_ordered(['b','c'],'>',(c)))",
            ),
        ] {
            assert_eq!(guarded(code).as_deref(), Some(expected), "{code}");
        }
        assert!(guarded_expression("a < b in c").is_err());
    }

    #[test]
    fn a_template_is_guarded_within_its_tags_only() {
        let source = "a < b {%- if x < 1 -%} {{ \"}}\" ~ y }}{% endif %}{% raw %}{{ x < 1 }}{% endraw %}{# < #}{% for i in l if i > 2 recursive %}{% endfor %}";
        let expected = "a < b {%- if ((x)|_ordered(['x','1'],'<',(1))) -%} {{ \"}}\" ~ y }}{% endif %}{% raw %}{{ x < 1 }}{% endraw %}{# < #}{% for i in l if ((i)|_ordered(['i','2'],'>',(2))) recursive %}{% endfor %}";
        assert_eq!(guarded_template(source).expect("a template").as_deref(), Some(expected));
        assert_eq!(guarded_template("{{ a }} < {% set x = '<' %}").expect("a template"), None);
    }
}
