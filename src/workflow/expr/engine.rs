//! The one template engine: strict, without anything that reaches outside of the scope, and with a way to print that
//! depends on where the text goes.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Object, ObjectRepr, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

use super::template::Mode;
use super::{ExprError, FUEL, Reads, Scope, compare, convert, paths};
use crate::workflow::nearest::nearest;

/// The filters of the language.
pub(super) const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "zip",
];
/// The tests of the language.
const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "even",
    "false",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "upper",
];
/// Marks an error of our own printing; the rest is said by [`explain`].
const UNPRINTABLE: &str = "unprintable: ";
/// What cannot be printed of a number that [`convert`] calls rounded.
const ROUNDED: &str = "a number beyond 64 bits";

/// The engine. Templates are compiled when they are rendered (microseconds), so that it holds nothing.
pub(super) static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.set_auto_escape_callback(|name| AutoEscape::Custom(Mode::of_name(name).name().into()));
    env.set_formatter(print);
    // These would mark a text as needing no escape, or show values as the engine sees them.
    for filter in ["safe", "escape", "e", "pprint"] {
        env.remove_filter(filter);
    }
    env.remove_global("debug");
    compare::install(&mut env);
    env.add_filter("tojson", to_json);
    env.add_filter("urlencode", |text: String| Value::from_object(Encoded(percent_encoded(&text, false))));
    env
});

/// What `urlencode` gives: printed into a URL as it is. Anything that is made from it is an ordinary text again, so that no
/// payload can borrow the mark; the engine's own "safe" texts are not heeded, since joining passes that mark on.
#[derive(Debug)]
pub(super) struct Encoded(pub(super) String);

impl Object for Encoded {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON as it is; the engine's own filter writes it for HTML.
fn to_json(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let json = convert::to_json(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.message))?;
    Ok(json.to_string())
}

fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let mode = match state.auto_escape() {
        AutoEscape::Custom(name) => Mode::of_name(name),
        _ => Mode::Word,
    };
    if let Some(encoded) = value.downcast_object_ref::<Encoded>() {
        return out.write_str(&encoded.0).map_err(Error::from);
    }
    let unprintable = |what: &str| Error::new(ErrorKind::BadEscape, format!("{UNPRINTABLE}{what}"));
    let text = match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None if mode == Mode::Text || mode == Mode::Value => return Ok(()),
        ValueKind::None => return Err(unprintable("null")),
        ValueKind::Bool => if value.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Number if convert::is_rounded_number(value) => return Err(unprintable(ROUNDED)),
        ValueKind::Number => value.to_string(),
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        ValueKind::Seq | ValueKind::Iterable => return Err(unprintable("a list")),
        ValueKind::Map => return Err(unprintable("an object")),
        _ => return Err(unprintable("no text")),
    };
    let text = if mode == Mode::Url { percent_encoded(&text, true) } else { text };
    out.write_str(&text).map_err(Error::from)
}

/// Every byte but unreserved ones (RFC 3986, 2.3) as `%XX`, so that a value stays within its place in a URL.
pub(super) fn percent_encoded(text: &str, keep_slash: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let kept = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/');
        if kept {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Tells a filter or test that does not exist, which the engine would tell only when it comes to it.
pub(super) fn check_words(code: &str) -> Result<(), ExprError> {
    let (filters, tests) = super::scan::filters_and_tests(code);
    for (what, used, known) in [("filter", filters, FILTERS), ("test", tests, TESTS)] {
        let Some(wrong) = used.iter().find(|name| !known.contains(&name.as_str())) else { continue };
        let hint = match nearest(wrong, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("there are {}", known.join(", ")),
        };
        return Err(ExprError::new(format!("there is no {what} '{wrong}'")).hint(hint));
    }
    Ok(())
}

/// The word for a sign of other languages in `code`.
fn foreign_sign(code: &str) -> Option<&'static str> {
    let code = super::scan::without_texts(code);
    let alone = |at: usize, length: usize| {
        let before = code[..at].chars().next_back();
        let after = code[at + length..].chars().next();
        !matches!(before, Some('=' | '!' | '<' | '>')) && after != Some('=')
    };
    if code.contains("&&") {
        return Some("'and' is the word for &&");
    }
    if code.contains("||") {
        return Some("'or' is the word for ||");
    }
    if code.match_indices('!').any(|(at, sign)| !code[at + sign.len()..].starts_with('=')) {
        return Some("'not' is the word for !");
    }
    code.match_indices('=').any(|(at, sign)| alone(at, sign.len())).then_some("== compares; = gives a value a name")
}

/// What the engine said of the expression `code`.
pub(super) fn expression_error(error: &Error, code: &str) -> ExprError {
    let told = compile_error(error);
    match foreign_sign(code) {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

/// What the engine said when it compiled something.
pub(super) fn compile_error(error: &Error) -> ExprError {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let wrong = ExprError::new(format!("this is not an expression of the language: {detail}"));
    match error.line() {
        Some(line) if line > 1 => ExprError { message: format!("{} (its line {line})", wrong.message), ..wrong },
        _ => wrong,
    }
}

/// What to tell of a number that is not what its sender wrote.
pub(super) fn lost_digits(path: &str) -> ExprError {
    ExprError::new(format!("{path} is {ROUNDED}, and its last digits are lost"))
        .hint(format!("have its sender write it as a text; rounded it is {{{{ {path} | tojson }}}}"))
}

/// What the engine said when it evaluated something, with the path that it was about.
pub(super) fn explain(error: &Error, reads: &Reads, scope: &Scope) -> ExprError {
    if let Some(what) = error.detail().and_then(|detail| detail.strip_prefix(UNPRINTABLE)) {
        let is_it = |value: &serde_json::Value| {
            if what == ROUNDED { convert::has_lost_digits(value) } else { paths::shape(value) == what }
        };
        let found = paths::explain_shape(reads, scope, is_it);
        let path = found.map_or_else(|| "a value".to_owned(), |(path, _)| path);
        if what == ROUNDED {
            return lost_digits(&path);
        }
        let hint = match what {
            "null" => format!("give it another value: {{{{ {path} | default(\"-\", true) }}}}"),
            _ => format!("write it as JSON: {{{{ {path} | tojson }}}}"),
        };
        return ExprError::new(format!("{path} is {what}, and a text is needed")).hint(hint);
    }
    if let Some(told) = error.detail().and_then(|detail| compare::explain(detail, reads, scope)) {
        return told;
    }
    match error.kind() {
        ErrorKind::UndefinedError => {
            paths::explain_missing(reads, scope).unwrap_or_else(|| ExprError::new("a value that it reads is not there"))
        }
        ErrorKind::OutOfFuel => ExprError::new("takes too much work to evaluate"),
        ErrorKind::WriteFailure => ExprError::new(format!("gives more than {} bytes", super::TEXT_BYTES_MAX)),
        kind => match error.detail() {
            // Some details quote values; none is longer than this.
            Some(detail) => ExprError::new(format!("{kind}: {}", detail.chars().take(200).collect::<String>())),
            None => ExprError::new(kind.to_string()),
        },
    }
}
