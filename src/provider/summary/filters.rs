//! What templates can say beyond Jinja's own filters: amounts, branches, dates and counts as people write them.
//!
//! Each one takes whatever the payload holds and answers with an empty text where it cannot make sense of it; none fails,
//! so that a sender's surprise costs a word and not the whole message. `docs/PROVIDERS.md` lists them with examples.

use jiff::Timestamp;
use minijinja::Environment;
use minijinja::value::{Rest, Value, ValueKind};

use super::changes::changes;
use super::clean;
use super::values::{is_plain, text};
use crate::domain::money;

/// A number above this is milliseconds, not seconds: as seconds it would be after the year 5000.
const SECONDS_MAX: f64 = 1e11;
/// Most characters that a filter looks at; the rest of a longer text is not shown anyway.
const TEXT_CHARS_MAX: usize = 4096;

/// Adds every filter and function.
pub(super) fn add_to(env: &mut Environment<'static>) {
    env.add_filter("money", money_minor);
    env.add_function("money", money_minor);
    env.add_filter("amount", money_major);
    env.add_function("amount", money_major);
    env.add_filter("branch", branch);
    env.add_filter("short_sha", short_sha);
    env.add_filter("first_line", first_line);
    env.add_filter("clip", clip);
    env.add_filter("count", count);
    env.add_filter("length", |value: &Value| value.len().unwrap_or(0));
    env.add_filter("number", number);
    env.add_filter("words", words_of);
    env.add_filter("changes", changes);
    env.add_filter("sentence", sentence);
    env.add_filter("duration", duration);
    env.add_function("between", between);
    env.add_filter("date", date);
    env.add_filter("day", day);
    env.add_filter("size", size);
    env.add_filter("figures", figures);
    env.add_filter("host", host);
    env.add_filter("web_url", |value: &Value| clean::web_url(&short(value)).unwrap_or_default());
    env.add_filter("user", user);
    env.add_filter("listing", listing);
    env.add_function("listing", listing);
    env.add_function("pick", pick);
    env.add_filter("text", short);
}

/// A value as text, bounded.
fn short(value: &Value) -> String {
    let mut text = text(value);
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(end);
    }
    text
}

/// `2999 | money("usd")` → `$29.99`. Minor units; a text of digits counts as a number.
fn money_minor(amount: &Value, currency: Option<&Value>) -> String {
    let currency = currency.map(short).unwrap_or_default();
    let whole = match amount.kind() {
        ValueKind::Number => i128::try_from(amount.clone()).ok(),
        ValueKind::String => short(amount).trim().parse().ok(),
        _ => None,
    };
    whole.map(|whole| money::minor(whole, &currency)).unwrap_or_default()
}

/// `"29.9" | amount("EUR")` → `€29.90`. Major units.
fn money_major(amount: &Value, currency: Option<&Value>) -> String {
    let currency = currency.map(short).unwrap_or_default();
    if is_plain(amount) { money::major(&short(amount), &currency).unwrap_or_default() } else { String::new() }
}

/// `refs/heads/main` → `main`, `refs/tags/v1` → `v1`.
fn branch(value: &Value) -> String {
    let text = short(value);
    let prefixes = ["refs/heads/", "refs/tags/", "refs/"];
    prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(&text).to_owned()
}

/// The first seven characters of a commit's hash.
fn short_sha(value: &Value) -> String {
    short(value).chars().take(7).collect()
}

/// The first line that is not empty.
fn first_line(value: &Value) -> String {
    short(value).lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// At most `n` characters on one line, with `…` where it was cut.
fn clip(value: &Value, n: usize) -> String {
    clean::line(&short(value), n.clamp(1, TEXT_CHARS_MAX))
}

/// `payload.commits | count("commit")` → `3 commits`; works on lists and on numbers. The plural may be given.
fn count(value: &Value, noun: Option<String>, plural: Option<String>) -> String {
    let count = match value.kind() {
        ValueKind::Number => i128::try_from(value.clone()).ok(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => value.len().and_then(|n| i128::try_from(n).ok()),
        ValueKind::Undefined | ValueKind::None => Some(0),
        _ => short(value).trim().parse().ok(),
    };
    let Some(count) = count else { return String::new() };
    let digits = signed(count);
    match noun {
        None => digits,
        Some(noun) if count == 1 => format!("{digits} {noun}"),
        Some(noun) => format!("{digits} {}", plural.unwrap_or_else(|| plural_of(&noun))),
    }
}

fn signed(count: i128) -> String {
    let minus = if count < 0 { "-" } else { "" };
    format!("{minus}{}", money::grouped(&count.unsigned_abs().to_string()))
}

/// The regular English plural.
fn plural_of(noun: &str) -> String {
    let ends = |endings: &[&str]| endings.iter().any(|ending| noun.ends_with(ending));
    if ends(&["s", "x", "z", "ch", "sh"]) {
        format!("{noun}es")
    } else if noun.ends_with('y') && !ends(&["ay", "ey", "oy", "uy"]) {
        format!("{}ies", noun.trim_end_matches('y'))
    } else {
        format!("{noun}s")
    }
}

/// `1234567` → `1,234,567`; other numbers as they are.
fn number(value: &Value) -> String {
    if value.is_integer() { i128::try_from(value.clone()).map(signed).unwrap_or_default() } else { short(value) }
}

/// `pull_request.ready_for_review`, `payment-failed`, `orderCreated` → words with spaces, in lower case.
fn words_of(value: &Value) -> String {
    words(&short(value))
}

/// See [`words_of`].
pub(super) fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_lower = false;
    for c in text.chars() {
        let gap = matches!(c, '_' | '.' | '-' | '/' | ':') || c.is_whitespace();
        if (gap || (c.is_uppercase() && after_lower)) && !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
        if !gap {
            out.extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase() || c.is_ascii_digit();
    }
    out.trim_end().to_owned()
}

/// The first letter in upper case, the rest as it is.
fn sentence(value: &Value) -> String {
    let text = short(value);
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Seconds → `45 s`, `2 min 5 s`, `1 h 3 min`, `2 d 4 h`.
fn duration(value: &Value) -> String {
    let seconds = match value.kind() {
        ValueKind::Number | ValueKind::String => short(value).trim().parse::<f64>().ok(),
        _ => None,
    };
    seconds.filter(|s| s.is_finite()).map(duration_of).unwrap_or_default()
}

fn duration_of(seconds: f64) -> String {
    let minus = if seconds < 0.0 { "-" } else { "" };
    // A float converts to an integer by saturation, so an absurd length of time reads as a very long one.
    let (magnitude, s) = (seconds.abs(), seconds.abs().round() as u64);
    let pair = |a: u64, unit: &str, b: u64, smaller: &str| {
        if b == 0 { format!("{minus}{a} {unit}") } else { format!("{minus}{a} {unit} {b} {smaller}") }
    };
    match s {
        0 if magnitude > 0.0 => format!("{minus}{} ms", (magnitude * 1000.0).round()),
        0..60 => format!("{minus}{s} s"),
        60..3600 => pair(s / 60, "min", s % 60, "s"),
        3600..86_400 => pair(s / 3600, "h", s % 3600 / 60, "min"),
        _ => pair(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

/// The time from one instant to another, as `duration` writes it.
fn between(start: &Value, end: &Value) -> String {
    match (instant(start), instant(end)) {
        (Some(start), Some(end)) if end >= start => duration_of(end.duration_since(start).as_secs_f64()),
        _ => String::new(),
    }
}

/// An instant as senders write it: Unix seconds or milliseconds, RFC 3339, or `2026-10-03 14:05:00 UTC`.
fn instant(value: &Value) -> Option<Timestamp> {
    let text = short(value);
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(n) if n.abs() > SECONDS_MAX => Timestamp::from_millisecond(n as i64).ok(),
        Ok(n) if n.is_finite() => Timestamp::from_second(n as i64).ok(),
        Ok(_) => None,
        Err(_) => text.parse().ok().or_else(|| text.replacen(" UTC", "Z", 1).replacen(' ', "T", 1).parse().ok()),
    }
}

/// An instant → `3 Oct 2026 14:05 UTC`; a text that is no instant stays as it is.
fn date(value: &Value) -> String {
    instant(value).map_or_else(|| short(value), |at| at.strftime("%-d %b %Y %H:%M UTC").to_string())
}

/// An instant or a date → `3 Oct 2026`.
fn day(value: &Value) -> String {
    const FORMAT: &str = "%-d %b %Y";
    let text = short(value);
    match (instant(value), text.trim().parse::<jiff::civil::Date>()) {
        (Some(at), _) => at.strftime(FORMAT).to_string(),
        (None, Ok(date)) => date.strftime(FORMAT).to_string(),
        (None, Err(_)) => text,
    }
}

/// Bytes → `1.5 MB`.
fn size(value: &Value) -> String {
    let Ok(mut n) = short(value).trim().parse::<f64>() else { return String::new() };
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if n.abs() < 1000.0 || unit == "TB" {
            let decimals = usize::from(unit != "B" && n.fract().abs() >= 0.05);
            return format!("{n:.decimals$} {unit}");
        }
        n /= 1000.0;
    }
    String::new()
}

/// Measured numbers with four significant digits at most: `1.23456789` → `1.235`, `{A: 1.5, B: 0.1}` → `A = 1.5, B = 0.1`.
fn figures(value: &Value) -> String {
    if value.kind() != ValueKind::Map {
        return figure(value).unwrap_or_default();
    }
    let Ok(names) = value.try_iter() else { return String::new() };
    let named = names.filter_map(|name| {
        let name = name.as_str()?.to_owned();
        Some(format!("{name} = {}", figure(&value.get_attr(&name).ok()?)?))
    });
    named.collect::<Vec<_>>().join(", ")
}

fn figure(value: &Value) -> Option<String> {
    if value.kind() != ValueKind::Number {
        return None;
    }
    if value.is_integer() {
        return Some(short(value));
    }
    let n = f64::try_from(value.clone()).ok().filter(|n| n.is_finite())?;
    // Whole digits are never rounded away, and what is tiny keeps its size.
    let whole_digits = n.abs().max(f64::MIN_POSITIVE).log10().floor() as i64 + 1;
    let decimals = usize::try_from((4 - whole_digits).clamp(0, 12)).unwrap_or(0);
    let text = format!("{n:.decimals$}");
    Some(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text })
}

/// `https://example.com/x` → `example.com`.
fn host(value: &Value) -> String {
    let url = clean::url(&short(value)).and_then(|url| url.parse::<http::Uri>().ok());
    url.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
}

/// Whoever an object stands for: its login, name or address; a text stays as it is.
fn user(value: &Value) -> String {
    if is_plain(value) {
        return short(value);
    }
    let keys =
        ["login", "username", "display_name", "displayName", "full_name", "name", "summary", "email", "slug", "id"];
    let found = keys.iter().filter_map(|key| value.get_attr(key).ok()).filter(is_plain).map(|v| short(&v));
    found.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default()
}

/// A list → `a, b, c and 2 more`; with a key, that key of each item.
fn listing(value: &Value, n: Option<usize>, key: Option<String>) -> String {
    let n = n.unwrap_or(3).max(1);
    if is_plain(value) {
        return short(value);
    }
    let Ok(items) = value.try_iter() else { return String::new() };
    let mut texts = items.filter_map(|item| {
        let item = match &key {
            Some(key) => item.get_attr(key).ok()?,
            None if is_plain(&item) => item,
            None => Value::from(user(&item)),
        };
        Some(short(&item)).filter(|text| !text.is_empty())
    });
    let shown: Vec<String> = texts.by_ref().take(n).collect();
    match texts.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The first argument that is there and not empty.
fn pick(values: Rest<Value>) -> Value {
    let there = |value: &Value| match value.kind() {
        ValueKind::Undefined | ValueKind::None => false,
        ValueKind::String => value.as_str().is_some_and(|text| !text.trim().is_empty()),
        ValueKind::Seq | ValueKind::Map => value.len().is_some_and(|n| n > 0),
        _ => true,
    };
    values.0.into_iter().find(there).unwrap_or(Value::UNDEFINED)
}
