//! JSON that its grammar allows and our values cannot hold, written so that they can.
//!
//! Only a body that did not parse comes here, and what comes out is parsed again: a text that is no JSON stays none. The body
//! itself is kept as it came.

/// The text without what cannot be held; `None` when there is nothing of the kind.
pub(super) fn mended(text: &str) -> Option<String> {
    let whole = without_lone_surrogates(text);
    let in_range = without_huge_numbers(whole.as_deref().unwrap_or(text));
    in_range.or(whole)
}

/// The text with `\ufffd` for each `\ud800` to `\udfff` that has no partner; `None` when there is none. Senders that cut
/// a text in the middle of an emoji write such halves, which JSON's grammar allows and UTF-8 cannot hold.
fn without_lone_surrogates(text: &str) -> Option<String> {
    let mut mended = String::with_capacity(text.len());
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let kept = match unit(escape) {
            Some(0xd800..=0xdbff) if matches!(escape.get(6..).and_then(unit), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                found = true;
                mended.push_str("\\ufffd");
                rest = &escape[6..];
                continue;
            }
            Some(_) => 6,
            // The escaped character may be of several bytes in a text that is not JSON anyway.
            None => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        let (kept, after) = escape.split_at(kept);
        mended.push_str(kept);
        rest = after;
    }
    mended.push_str(rest);
    found.then_some(mended)
}

/// The UTF-16 unit that an escape at the start of `text` stands for.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    // `from_str_radix` takes a sign.
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

/// The text with numbers beyond the range of floating point (`1e999`) as texts of the same digits; `None` when there is none.
/// A number of another size would be a lie, and a refusal would lose an event over a value that mostly nobody reads.
fn without_huge_numbers(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    let mut mended = String::with_capacity(text.len() + 16);
    let (mut rest, mut found) = (text, false);
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let (before, token) = rest.split_at(at);
        mended.push_str(before);
        let end = if token.starts_with('"') {
            string_end(token)
        } else {
            token.find(|c: char| !is_part(c)).unwrap_or(token.len())
        };
        let (token, after) = token.split_at(end);
        // A number in a key's place would become a key, and the text JSON that was none.
        if is_huge(token) && !after.trim_start().starts_with(':') {
            found = true;
            mended.push('"');
            mended.push_str(token);
            mended.push('"');
        } else {
            mended.push_str(token);
        }
        rest = after;
    }
    mended.push_str(rest);
    found.then_some(mended)
}

/// A number by JSON's grammar that no `f64` is near.
fn is_huge(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    let exponent = digits.split(['e', 'E']).nth(1).unwrap_or("0").trim_start_matches(['+', '-']);
    let whole = digits.starts_with(|c: char| c.is_ascii_digit())
        && !digits.contains(".e")
        && !digits.contains(".E")
        && !digits.ends_with('.')
        && !exponent.is_empty();
    whole && !leading_zero && token.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// Where a string that begins here ends, with its quotation marks; the end of the text when it does not.
fn string_end(text: &str) -> usize {
    let mut escaped = true; // The first quotation mark opens.
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Option<Value> {
        serde_json::from_str(&mended(text)?).ok()
    }

    #[test]
    fn half_an_emoji_is_a_replacement_character_and_whole_ones_stay() {
        let cut = r#"{"a":"\ud83d","b":"\uD83D\uDE00\udc00x","c":"\\ud83d","d":"\ud83d\n"}"#;
        assert_eq!(
            read(cut).expect("JSON by its grammar"),
            json!({"a": "\u{fffd}", "b": "😀\u{fffd}x", "c": "\\ud83d", "d": "\u{fffd}\n"})
        );
        for bad in [r#"{"a":"\ud83"#, r#"{"a":"\ud83d"#, "\"\\", "\"\\é", r#""\ud83d\u+123""#, r#""\ud83d"é"#] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_number_beyond_every_float_is_a_text_of_its_digits() {
        let text = r#"{"a":1e999,"b":[-2.5E+400,1e-999,17],"c":"1e999 \\" 1e999","1e999":0}"#.replace("\\\\", "\\");
        let expected = json!({"a": "1e999", "b": ["-2.5E+400", 0.0, 17], "c": "1e999 \" 1e999", "1e999": 0});
        assert_eq!(read(&text).expect("JSON"), expected);
        let long = format!("[{}]", "9".repeat(400));
        assert_eq!(read(&long).expect("JSON"), json!(["9".repeat(400)]));
        for same in ["", "1", "[1e308]", r#""1e999""#, "1e", "-", "01e999", "1.e999", "\"1e999"] {
            assert_eq!(mended(same), None, "{same}");
        }
    }
}
