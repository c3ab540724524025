//! Templates: a text with tags that fills exactly one value.
//!
//! One that is nothing but `{{ payload.labels }}` gives the value itself, a list as a list; one with text around its tags
//! gives a text. How values are printed into a text depends on where the text goes: [`Mode`].

use std::io;
use std::sync::Arc;

use serde_json::Value as Json;

use super::engine::{ENGINE, check_words, compile_error, explain};
use super::scan::{self, Piece};
use super::{Expr, ExprError, NAMES, Reads, SOURCE_BYTES_MAX, Scope, TEXT_BYTES_MAX, order};

/// Statements that a template may use. The others reach other templates, or change how values are printed.
const STATEMENTS: [&str; 13] =
    ["if", "elif", "else", "endif", "for", "endfor", "set", "endset", "with", "endwith", "break", "continue", "raw"];
const END_RAW: &str = "endraw";

/// Where the value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// JSON: a template that is one expression keeps its value's kind.
    Value,
    /// A text for people or programs to read; null is empty.
    Text,
    /// A command's word, a variable, a header: null is refused.
    Word,
    /// A URL: null is refused and values are percent-encoded, `/` excepted.
    Url,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Text => "text",
            Self::Word => "word",
            Self::Url => "url",
        }
    }

    pub(super) fn of_name(name: &str) -> Self {
        [Self::Value, Self::Text, Self::Url].into_iter().find(|mode| mode.name() == name).unwrap_or(Self::Word)
    }
}

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {
    source: Arc<str>,
    /// As the engine gets it.
    guarded: Arc<str>,
    mode: Mode,
    reads: Reads,
    /// The expression, when the template is nothing else.
    whole: Option<Expr>,
}

impl Template {
    /// Compiles `source`. What it reads is not checked here.
    pub fn compile(source: &str, mode: Mode) -> Result<Self, ExprError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(ExprError::new(format!("is a template longer than {SOURCE_BYTES_MAX} bytes")));
        }
        check_statements(source)?;
        let compiled = ENGINE.template_from_named_str(mode.name(), source).map_err(|error| compile_error(&error))?;
        let reads = Reads::of_template(source, compiled.undeclared_variables(true));
        let whole = scan::whole(source).map(Expr::compile).transpose()?;
        let trimmed = if whole.is_some() { source.trim() } else { source };
        let guarded = order::guarded_template(trimmed)?;
        if let Some(guarded) = &guarded {
            ENGINE.template_from_named_str(mode.name(), guarded).map_err(|error| compile_error(&error))?;
        }
        let source: Arc<str> = source.into();
        let guarded = match guarded {
            Some(guarded) => guarded.into(),
            None if trimmed.len() == source.len() => Arc::clone(&source),
            None => trimmed.into(),
        };
        Ok(Self { source, guarded, mode, reads, whole })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it reads.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// The text before its first tag.
    pub fn prefix(&self) -> &str {
        if self.whole.is_some() { "" } else { scan::prefix(&self.source) }
    }

    /// Its value: of any kind when it is one expression and goes where JSON goes, else a text.
    pub fn value(&self, scope: &Scope) -> Result<Json, ExprError> {
        match (&self.whole, self.mode) {
            (Some(whole), Mode::Value) => whole.value(scope),
            (_, Mode::Value | Mode::Text | Mode::Word | Mode::Url) => self.text(scope).map(Json::String),
        }
    }

    /// Its text.
    pub fn text(&self, scope: &Scope) -> Result<String, ExprError> {
        // A text stands for itself; what the engine would do to a long one is only copying.
        if let (Some(whole), Mode::Value | Mode::Text | Mode::Word) = (&self.whole, self.mode)
            && let Ok(Json::String(text)) = whole.value(scope)
        {
            return if text.len() > TEXT_BYTES_MAX { Err(too_long()) } else { Ok(text) };
        }
        let compiled =
            ENGINE.template_from_named_str(self.mode.name(), &self.guarded).map_err(|error| compile_error(&error))?;
        let mut out = Bounded(Vec::new());
        compiled
            .render_captured_to(scope.value(), &mut out)
            .map(drop)
            .map_err(|error| explain(&error, &self.reads, scope))?;
        String::from_utf8(out.0).map_err(|_| ExprError::new("gives no text"))
    }
}

fn too_long() -> ExprError {
    ExprError::new(format!("gives more than {TEXT_BYTES_MAX} bytes"))
}

fn check_statements(source: &str) -> Result<(), ExprError> {
    for piece in scan::pieces(source) {
        if let Piece::Print(code) | Piece::Statement(code) = piece {
            check_words(code)?;
        }
        let Piece::Statement(code) = piece else { continue };
        let name = scan::words(code).next().unwrap_or_default();
        if !STATEMENTS.contains(&name) && name != END_RAW {
            return Err(ExprError::new(format!("the statement '{name}' is not part of the language"))
                .hint("if, for, set and with are"));
        }
        // `item` is what people call a loop's variable, and it is never trusted anyway.
        let taken = scan::assigned(code).into_iter().find(|word| NAMES.contains(word) && *word != "item");
        if let Some(word) = taken {
            return Err(
                ExprError::new(format!("'{word}' has a meaning already")).hint("give the variable another name")
            );
        }
    }
    Ok(())
}

/// Refuses what is beyond the bound; half a text would be another text.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEXT_BYTES_MAX {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_whose_digits_are_lost_is_not_passed_off_as_what_was_sent() {
        let long: Json = serde_json::from_str("123456789012345678901234567890").expect("JSON");
        let scope =
            Scope::new(json!({ "long": long, "huge": 1e21, "id": u64::MAX, "small": i64::MIN, "price": 29.99 }));
        let text = |source: &str, mode| Template::compile(source, mode).expect(source).value(&scope);
        for mode in [Mode::Value, Mode::Text, Mode::Word, Mode::Url] {
            for source in ["{{ payload.long }}", "x{{ payload.long }}", "{{ payload.huge }}", "x{{ payload.huge }}"] {
                let error = text(source, mode).expect_err(source);
                assert!(
                    error.message.contains("payload.") && error.message.contains("last digits are lost"),
                    "{error}"
                );
            }
            assert_eq!(text("x{{ payload.id }}", mode), Ok(json!("x18446744073709551615")));
            assert_eq!(text("x{{ payload.small }}", mode), Ok(json!("x-9223372036854775808")));
            assert_eq!(text("x{{ payload.price }}", mode), Ok(json!("x29.99")));
        }
        assert_eq!(text("{{ payload.long | tojson }}", Mode::Word), Ok(json!("1.2345678901234568e+29")));
    }
}
