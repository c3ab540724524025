//! The order of values: numbers among numbers, texts among texts. What is of different kinds, or of a kind without an order,
//! is an error that says which value of the author's it was about.

use std::cmp::Ordering;

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters};

use super::{ExprError, Reads, Scope, paths};

/// The filter that comparisons are written as. No author can write it: it is not among the filters of the language.
pub(super) const ORDERED: &str = "_ordered";
/// Marks an error of ours; the rest is said by [`explain`].
const INCOMPARABLE: &str = "incomparable: ";
/// Between the parts of such an error.
const SEPARATOR: char = '\u{1f}';
/// Deepest lists that are compared, that of payloads and some.
const DEPTH_MAX: usize = 160;
/// Bytes of text that are compared for one unit of work, as the engine counts.
const BYTES_PER_FUEL: usize = 64;

/// Puts our own order in the place of the engine's, which has one over values of all kinds.
pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter(ORDERED, ordered);
    for names in [["<", "lt", "lessthan"], [">", "gt", "greaterthan"], ["<=", "le", "le"], [">=", "ge", "ge"]] {
        let sign = names[0];
        for name in names {
            env.add_test(name, move |state: &State<'_, '_>, left: &Value, right: &Value| {
                holds(state, sign, left, right).map_err(|wrong| wrong.error(sign, None))
            });
        }
    }
    env.add_filter("max", |state: &State<'_, '_>, list: Value, options: Kwargs| {
        filters::max(state, alike(state, "max", &list, &options)?, options)
    });
    env.add_filter("min", |state: &State<'_, '_>, list: Value, options: Kwargs| {
        filters::min(state, alike(state, "min", &list, &options)?, options)
    });
    env.add_filter("sort", |state: &State<'_, '_>, list: Value, options: Kwargs| {
        filters::sort(state, alike(state, "sort", &list, &options)?, options)
    });
}

/// `first|_ordered(sources, sign, next, sign, next …)`.
fn ordered(state: &State<'_, '_>, first: &Value, sources: Value, rest: Rest<Value>) -> Result<bool, Error> {
    let mut left = first;
    for (at, pair) in rest.chunks(2).enumerate() {
        let [sign, right] = pair else { return Err(Error::from(ErrorKind::MissingArgument)) };
        let sign = sign.as_str().unwrap_or_default();
        if !holds(state, sign, left, right).map_err(|wrong| wrong.error(sign, Some((&sources, at))))? {
            return Ok(false);
        }
        left = right;
    }
    Ok(true)
}

fn holds(state: &State<'_, '_>, sign: &str, left: &Value, right: &Value) -> Result<bool, Wrong> {
    if left.is_undefined() || right.is_undefined() {
        return Err(Wrong::Engine(Error::from(ErrorKind::UndefinedError)));
    }
    Ok(match sign {
        "==" => left == right,
        "!=" => left != right,
        "<" => order(state, left, right, DEPTH_MAX)?.is_lt(),
        "<=" => order(state, left, right, DEPTH_MAX)?.is_le(),
        ">" => order(state, left, right, DEPTH_MAX)?.is_gt(),
        ">=" => order(state, left, right, DEPTH_MAX)?.is_ge(),
        _ => return Err(Wrong::Engine(Error::from(ErrorKind::InvalidOperation))),
    })
}

/// Why two values were not compared.
enum Wrong {
    Kinds(&'static str, &'static str),
    Engine(Error),
}

impl Wrong {
    fn error(self, sign: &str, sources: Option<(&Value, usize)>) -> Error {
        let (left, right) = match self {
            Self::Engine(error) => return error,
            Self::Kinds(left, right) => (left, right),
        };
        let source = |next: usize| {
            let item = sources.and_then(|(list, at)| list.get_item_by_index(at + next).ok());
            item.and_then(|item| item.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let parts = [left, right, sign, &source(0), &source(1)].join(&SEPARATOR.to_string());
        Error::new(ErrorKind::InvalidOperation, format!("{INCOMPARABLE}{parts}"))
    }
}

fn order(state: &State<'_, '_>, left: &Value, right: &Value, depth: usize) -> Result<Ordering, Wrong> {
    let kinds = || Wrong::Kinds(kind(left), kind(right));
    let depth = depth.checked_sub(1).ok_or_else(kinds)?;
    match (left.kind(), right.kind()) {
        (ValueKind::Number, ValueKind::Number) if !is_nan(left) && !is_nan(right) => Ok(left.cmp(right)),
        (ValueKind::Bool, ValueKind::Bool) => Ok(left.is_true().cmp(&right.is_true())),
        (ValueKind::String, ValueKind::String) => {
            let (left, right) = (left.as_str().unwrap_or_default(), right.as_str().unwrap_or_default());
            let work = left.len().min(right.len()) / BYTES_PER_FUEL;
            state.consume_fuel(work as u64).map_err(Wrong::Engine)?;
            Ok(left.cmp(right))
        }
        (ValueKind::Seq | ValueKind::Iterable, ValueKind::Seq | ValueKind::Iterable) => {
            let items = |list: &Value| list.try_iter().map_err(Wrong::Engine);
            let (mut lefts, mut rights) = (items(left)?, items(right)?);
            loop {
                state.consume_fuel(1).map_err(Wrong::Engine)?;
                match (lefts.next(), rights.next()) {
                    (Some(left), Some(right)) => match order(state, &left, &right, depth)? {
                        Ordering::Equal => {}
                        found => return Ok(found),
                    },
                    (left, right) => return Ok(left.is_some().cmp(&right.is_some())),
                }
            }
        }
        _ => Err(kinds()),
    }
}

fn is_nan(value: &Value) -> bool {
    !value.is_integer() && f64::try_from(value.clone()).is_ok_and(f64::is_nan)
}

fn kind(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "not there",
        ValueKind::None => "null",
        ValueKind::Bool => "true or false",
        ValueKind::Number if is_nan(value) => "not a number",
        ValueKind::Number => "a number",
        ValueKind::String => "a text",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "an object",
        _ => "something else",
    }
}

/// `list`, if what `max`, `min` or `sort` compares in it is all of one kind.
fn alike(state: &State<'_, '_>, filter: &str, list: &Value, options: &Kwargs) -> Result<Value, Error> {
    let Ok(items) = list.try_iter() else { return Ok(list.clone()) };
    let items: Vec<Value> = items.collect();
    state.consume_fuel(items.len() as u64)?;
    let attributes = options.get::<Option<&str>>("attribute")?.unwrap_or_default();
    let keys: Vec<&str> = attributes.split(',').map(str::trim).collect();
    for key in keys {
        let mut first: Option<&'static str> = None;
        for item in &items {
            let found = if key.is_empty() { item.clone() } else { at_path(item, key) };
            let found = kind(&found);
            match first {
                Some(known) if known != found => return Err(Wrong::Kinds(known, found).error(filter, None)),
                Some(_) => {}
                None => first = Some(found),
            }
        }
    }
    Ok(Value::from(items))
}

fn at_path(item: &Value, path: &str) -> Value {
    path.split('.').fold(item.clone(), |value, part| {
        let found = match part.parse::<usize>() {
            Ok(index) => value.get_item_by_index(index).ok(),
            Err(_) => value.get_attr(part).ok(),
        };
        found.unwrap_or(Value::UNDEFINED)
    })
}

/// What to tell when `detail` is of a comparison that was not made.
pub(super) fn explain(detail: &str, reads: &Reads, scope: &Scope) -> Option<ExprError> {
    let mut parts = detail.strip_prefix(INCOMPARABLE)?.split(SEPARATOR);
    let mut next = || parts.next().unwrap_or_default();
    let (mut left, mut right, sign) = (next(), next(), next());
    let (mut source, mut other) = (next().to_owned(), next().to_owned());
    if source.is_empty() {
        // A test or a filter: it has values only, so the paths that are read are asked which of them it was.
        let wanted = |value: &serde_json::Value| [left, right].contains(&paths::shape(value));
        let (path, shape) = paths::explain_shape(reads, scope, wanted).unwrap_or_else(|| ("a value".to_owned(), left));
        source = path;
        if shape == right {
            (left, right) = (right, left);
        }
    } else if is_literal(&source) {
        (left, right) = (right, left);
        (source, other) = (other, source);
    }
    let verb = if matches!(sign, "max" | "min" | "sort") { format!("'{sign}'") } else { sign.to_owned() };
    if left == right || matches!(left, "not a number" | "an object") {
        return Some(ExprError::new(format!("{source} is {left}, which is neither above nor below anything ({verb})")));
    }
    let error = ExprError::new(format!("{source} is {left}, and {verb} compares it with {}", with(right)));
    let text = if left == "a text" { &source } else { &other };
    Some(match (left, right) {
        ("a text", "a number") | ("a number", "a text") if !text.is_empty() && !is_literal(text) => {
            error.hint(format!("make a number of it first: {text} | float"))
        }
        ("null", "a number") => error.hint(format!("say what counts instead: {source} | default(0, true)")),
        _ => error,
    })
}

fn with(kind: &str) -> &str {
    if kind == "not there" { "one that is not there" } else { kind }
}

fn is_literal(source: &str) -> bool {
    let bare = source.trim_start_matches('-');
    bare.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '"' | '\'' | '[' | '{'))
        || matches!(bare, "true" | "false" | "none" | "True" | "False" | "None")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::engine::ENGINE;
    use super::super::{Expr, Mode, Template};
    use super::*;

    fn scope() -> Scope {
        Scope::new(json!({
            "n": 3, "f": 2.5, "zero": "0", "word": "abc", "empty": "", "none": null, "flag": true, "list": [1, 2], "map": {},
            "mixed": [1, "2"], "people": [{"age": 3}, {"age": "4"}, {}]
        }))
    }

    #[test]
    fn what_is_of_different_kinds_is_not_compared() {
        for (condition, said, hint) in [
            ("payload.zero > 2", "payload.zero is a text, and > compares it with a number", "payload.zero | float"),
            ("payload.empty > 2", "payload.empty is a text, and > compares it with a number", "payload.empty | float"),
            ("2 <= payload.word", "payload.word is a text, and <= compares it with a number", "payload.word | float"),
            ("payload.n < '5'", "payload.n is a number, and < compares it with a text", ""),
            (
                "payload.n < payload.word",
                "payload.n is a number, and < compares it with a text",
                "payload.word | float",
            ),
            ("payload.none < 100", "payload.none is null, and < compares it with a number", "default(0, true)"),
            ("payload.list > 2", "payload.list is a list, and > compares it with a number", ""),
            ("payload.map >= 2", "payload.map is an object, which is neither above nor below anything (>=)", ""),
            ("payload.flag > 0", "payload.flag is true or false, and > compares it with a number", ""),
            ("payload.none <= payload.none", "payload.none is null, which is neither above", ""),
            ("1 < payload.n < payload.zero", "payload.n is a number, and < compares it with a text", ""),
            ("payload.mixed < [1, 3]", "payload.mixed is a text, and < compares it with a number", ""),
            ("payload.zero is gt 2", "payload.zero is a text, and > compares it with a number", ""),
            ("payload.mixed | select('>', 1) | list", "payload.mixed", ""),
            ("[payload.zero, 5] | max == 5", "payload.zero is a text, and 'max' compares it with a number", ""),
            ("payload.people | sort(attribute='age') | list", "'sort' compares it with a text", ""),
            ("('nan' | float) > 2", "('nan' | float) is not a number, which is neither above", ""),
            ("payload.missing > 2", "payload.missing is not there", ""),
            ("payload.word > 'a' and (payload.zero < 7 or true)", "payload.zero is a text", ""),
        ] {
            let error = Expr::compile(condition).expect(condition).value(&scope()).expect_err(condition);
            if !condition.contains("select") {
                assert!(error.message.contains(said), "{condition}: {error}");
            }
            assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{condition}: {:?}", error.hint);
            let template = format!("{{% if {condition} %}}a{{% endif %}}");
            let template = Template::compile(&template, Mode::Text).expect(condition);
            template.text(&scope()).expect_err(condition);
        }
    }

    #[test]
    fn what_is_of_one_kind_is_compared_and_equality_takes_all() {
        for condition in [
            "payload.n > 2 and payload.f < 3 and payload.n > payload.f",
            "payload.zero | float < 2",
            "payload.word > 'abb'",
            "1 < payload.n <= 3 != 4",
            "payload.list < [1, 3] and payload.list >= [1]",
            "payload.zero != 0 and payload.none != 1 and not payload.n == '3'",
            "payload.n is gt 2 and payload.n is not lt(3)",
            "payload.list | max == 2 and payload.list | sort(reverse=true) | first == 2",
            "payload.none | default(0, true) < 100",
            "payload.word | upper < 'b' if payload.n >= 3 else false",
            "payload.list[1 if payload.n < 2 else 0] < 2",
        ] {
            assert_eq!(Expr::compile(condition).expect(condition).is_true(&scope()), Ok(true), "{condition}");
        }
        let text = "{% for x in payload.list if x > 1 %}{{ x < 3 }}{% endfor %}{% set y = payload.n >= 3 %}{{ y }}{% raw %}{{ 1 < 2 }}{% endraw %}";
        let text = Template::compile(text, Mode::Text).expect("a template").text(&scope());
        assert_eq!(text.as_deref(), Ok("truetrue{{ 1 < 2 }}"));
    }

    fn expression() -> impl Strategy<Value = String> {
        let leaf =
            prop::sample::select(vec!["1", "2.5", "payload.n", "payload.list[0]", "'a<b'", "payload.word", "-3"]);
        leaf.prop_map(str::to_owned).prop_recursive(4, 40, 3, |inner| {
            let signs =
                vec![" < ", "<=", " >", " >= ", " == ", "!=", " and ", " or ", " + ", "*", " ~ ", " not in ", " - "];
            prop_oneof![
                (inner.clone(), prop::sample::select(signs), inner.clone())
                    .prop_map(|(a, sign, b)| format!("{a}{sign}{b}")),
                inner.clone().prop_map(|a| format!("({a})")),
                inner.clone().prop_map(|a| format!("not {a}")),
                inner.clone().prop_map(|a| format!("[{a}, 2]|first")),
                (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{a} if {b} else {c}")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("{a} is eq({b})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        /// Whatever is compared, the answer is the engine's own; the one thing that is added is an error.
        #[test]
        fn a_guard_changes_no_answer(source in expression()) {
            let plain = ENGINE.compile_expression(&source).and_then(|plain| plain.eval(scope().value()));
            let guarded = Expr::compile(&source).and_then(|guarded| guarded.value(&scope()));
            match (plain, guarded) {
                (Ok(plain), Ok(guarded)) => {
                    prop_assert_eq!(super::super::convert::to_json(&plain).expect("JSON"), guarded, "{}", source);
                }
                (_, Err(error)) if ["compares it with", "neither above", "joins '", "without two sides"].iter().any(|word| error.message.contains(word)) => {}
                (Err(_), Err(_)) => {}
                (plain, guarded) => prop_assert!(false, "{} {:?} {:?}", source, plain, guarded),
            }
        }
    }
}
