//! Why a condition said no, in a person's words: "label is not ai:run", "not an issues event".
//!
//! Only the explanation is made here, of the first part that does not hold; the decision is always the whole expression's.

use super::{Expr, ExprError, Scope, scan};

/// Last parts of a path that say nothing to a person: `payload.label.name` is the label.
const SILENT: [&str; 4] = ["name", "login", "id", "title"];
/// Longest piece of a condition that is shown as it is written, in characters.
const SHOWN_CHARS_MAX: usize = 80;

impl Expr {
    /// `Ok` when it holds; else the reason, in words.
    pub fn holds(&self, scope: &Scope) -> Result<(), String> {
        match self.is_true(scope) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.why_not(scope)),
            Err(error) => Err(told(&error)),
        }
    }

    fn why_not(&self, scope: &Scope) -> String {
        for part in scan::conjuncts(self.source()) {
            let Ok(compiled) = Self::compile(part) else { break };
            match compiled.is_true(scope) {
                Ok(true) => {}
                Ok(false) => return describe(part),
                Err(error) => return told(&error),
            }
        }
        describe(self.source())
    }
}

fn told(error: &ExprError) -> String {
    error.message.strip_prefix("payload.").map_or_else(|| error.message.clone(), |rest| rest.to_owned())
}

/// What it means that `condition`, which has no outer `and`, does not hold.
fn describe(condition: &str) -> String {
    let condition = condition.trim();
    if let Some(rest) = condition.strip_prefix("not ") {
        if let Some((subject, object)) = comparison(rest.trim(), "==") {
            return format!("{subject} is {object}");
        }
        if let Some(subject) = subject(rest.trim()) {
            return format!("{subject} is true");
        }
    }
    if let Some((subject, object)) = comparison(condition, "==") {
        return format!("{subject} is not {object}");
    }
    if let Some((subject, object)) = comparison(condition, "!=") {
        return format!("{subject} is {object}");
    }
    if let Some((left, right)) = condition.split_once(" not in ")
        && let (Some(subject), Some(words)) = (subject(left.trim()), literals(right))
    {
        return format!("{subject} is one of {}", words.join(", "));
    }
    if let Some((left, right)) = condition.split_once(" in ") {
        match (subject(left.trim()), literals(right), literal(left.trim()), subject(right.trim())) {
            (Some(subject), Some(words), _, _) => {
                return format!("{subject} is not {}", list_words(&words));
            }
            (_, _, Some(object), Some(subject)) => return format!("{subject} has no {object}"),
            _ => {}
        }
    }
    if let Some((subject, object)) = prefix_test(condition) {
        return format!("{subject} does not begin with {object}");
    }
    for (test, words) in [(" is not defined", "is there"), (" is defined", "is not there")] {
        if let Some(subject) = condition.strip_suffix(test).and_then(|path| subject(path.trim())) {
            return format!("{subject} {words}");
        }
    }
    for (sign, words) in [(">=", "below"), ("<=", "above"), (">", "not above"), ("<", "not below")] {
        if let Some((subject, object)) = comparison(condition, sign) {
            return format!("{subject} is {words} {object}");
        }
    }
    match subject(condition) {
        Some(subject) => format!("{subject} is not true"),
        None => {
            let shown: String = condition.chars().take(SHOWN_CHARS_MAX).collect();
            let dots = if condition.chars().nth(SHOWN_CHARS_MAX).is_some() { "…" } else { "" };
            format!("the condition does not hold: {shown}{dots}")
        }
    }
}

fn comparison(condition: &str, sign: &str) -> Option<(String, String)> {
    let (left, right) = condition.split_once(sign)?;
    if sign.len() == 1 && right.starts_with('=') {
        return None;
    }
    let (left, right) = (left.trim(), right.trim());
    match (subject(left), literal(right)) {
        (Some(subject), Some(object)) => Some((subject, object)),
        _ if sign == "==" || sign == "!=" => Some((subject(right)?, literal(left)?)),
        _ => None,
    }
}

fn prefix_test(condition: &str) -> Option<(String, String)> {
    let (left, rest) = condition.split_once(" is startingwith")?;
    let object = rest.trim().trim_start_matches('(').trim_end_matches(')');
    Some((subject(left.trim())?, literal(object.trim())?))
}

/// A path as a person calls it: `payload.pull_request.head.ref` is "pull request head ref".
fn subject(path: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    if path.is_empty() || !path.chars().all(plain) || path.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut parts: Vec<&str> = path.split('.').collect();
    if parts.len() == 1 && !super::NAMES.contains(&parts[0]) {
        return None;
    }
    if parts.len() > 1 && matches!(parts[0], "payload" | "event" | "facts" | "inputs") {
        parts.remove(0);
    }
    if parts.len() > 1 && parts.last().is_some_and(|last| SILENT.contains(last)) {
        parts.pop();
    }
    Some(parts.join(" ").replace('_', " "))
}

/// A text, number or truth value as it is written, without quotes.
fn literal(text: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return (!inner.contains(quote) && !inner.contains('\\')).then(|| inner.to_owned());
        }
    }
    let number = !text.is_empty() && text.parse::<f64>().is_ok();
    (number || matches!(text, "true" | "false" | "none")).then(|| text.to_owned())
}

fn literals(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix(['[', '('])?.strip_suffix([']', ')'])?;
    inner.split(',').map(|item| literal(item.trim())).collect()
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn list_words<S: AsRef<str>>(words: &[S]) -> String {
    match words {
        [] => "anything".to_owned(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", first.join(", "), last.as_ref())
        }
    }
}

/// Why none of `wanted` covers `event`.
pub(crate) fn event_mismatch(wanted: &[String], event: &str) -> String {
    let family = |name: &str| name.split('.').next().unwrap_or(name).to_owned();
    let same: Vec<&String> = wanted.iter().filter(|name| family(name) == family(event)).collect();
    if same.is_empty() {
        let mut families: Vec<String> = wanted.iter().map(|name| family(name)).collect();
        families.dedup();
        let article = if families[0].starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        return format!("not {article} {} event", list_words(&families));
    }
    let actions: Vec<&str> = same.iter().filter_map(|name| name.split_once('.').map(|(_, action)| action)).collect();
    format!("action is not {}", list_words(&actions))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(condition: &str, payload: serde_json::Value) -> String {
        Expr::compile(condition).expect(condition).holds(&Scope::new(payload)).expect_err("does not hold")
    }

    #[test]
    fn a_condition_that_says_no_says_why() {
        let payload = || {
            json!({
                "action": "labeled", "label": {"name": "bug"}, "release": {"prerelease": true, "draft": false},
                "pull_request": {"head": {"ref": "dev"}}, "amount": 5, "labels": ["a"], "ref": "refs/heads/x"
            })
        };
        for (condition, expected) in [
            ("payload.action == 'labeled' and payload.label.name == \"ai:run\"", "label is not ai:run"),
            ("not payload.release.prerelease", "release prerelease is true"),
            ("payload.release.draft", "release draft is not true"),
            ("payload.action != 'labeled'", "action is labeled"),
            ("payload.action in ['opened', 'closed', 'x']", "action is not opened, closed or x"),
            ("'b' in payload.labels", "labels has no b"),
            ("payload.pull_request.head.ref == \"main\"", "pull request head ref is not main"),
            ("payload.amount >= 10", "amount is below 10"),
            ("payload.ref is startingwith('refs/tags/')", "ref does not begin with refs/tags/"),
            (
                "payload.amount == 1 or payload.amount == 2",
                "the condition does not hold: payload.amount == 1 or payload.amount == 2",
            ),
            ("payload.labl.name == 'x'", "labl is not there"),
            ("payload.fact is defined", "fact is not there"),
            ("payload.ref is not defined", "ref is there"),
        ] {
            assert_eq!(reason(condition, payload()), expected, "{condition}");
        }
    }

    #[test]
    fn an_event_that_is_not_wanted_is_told_by_its_family_or_its_action() {
        let wanted = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(event_mismatch(&wanted(&["issues.labeled"]), "push"), "not an issues event");
        assert_eq!(event_mismatch(&wanted(&["issues.labeled"]), "issues.opened"), "action is not labeled");
        assert_eq!(event_mismatch(&wanted(&["push", "issues"]), "ping"), "not a push or issues event");
    }
}
